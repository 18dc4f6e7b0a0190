//! Projects. Table: `read_projects`.

use domain::{
    Aggregate, Id,
    catalogue::listed,
    kernel::named::Either,
    work::project::{Fields, Project},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::record::{Common, created},
};

/// The projects.
#[derive(Clone, Copy, Debug)]
pub struct Projects;

/// What tasks belong together under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub fields: Fields,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
}

/// A project with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The project itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
}

impl ReadModel for Projects {
    const NAME: &'static str = "projects";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Project::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let Either::Common(happened) = decode::<Project>(event)? else { return Ok(row) };
        let Some(mut row) = row else {
            return Ok(created(happened, event).map(|(fields, common)| Row { fields, common }));
        };
        row.common.touch(event);
        row.common.happened(&mut row.fields, happened);
        Ok(Some(row))
    }
}

impl Listed for Projects {
    const PATH: &'static str = Project::PLURAL;
    const READ: &'static str = Project::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("description").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::OWNER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Project::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.description, t.owner_id, \
        owner.name as owner_name, t.tags, t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at";
    const JOINS: &'static str = "left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, refuses_strangers};

    #[test]
    fn a_project_is_renamed_and_put_away() {
        let created = event::<Project>("created", json!({ "name": "New customers", "description": "Calls" }));
        refuses_strangers::<Projects, Project>(&created);
        let changes = json!({ "changes": { "name": { "from": "New customers", "to": "Customers" } } });
        let archived = event::<Project>("archived", json!({}));
        let row =
            folded::<Projects, Project>([created, event::<Project>("details_changed", changes), archived]).unwrap();
        assert_eq!((row.fields.name.as_str(), row.common.archived), ("Customers", true));
    }
}
