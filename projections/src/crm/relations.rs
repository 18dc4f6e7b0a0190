//! What records are to one another. Table: `read_relations`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id, Time,
    crm::relation::{Event, Relation},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode};

/// The relations.
#[derive(Clone, Copy, Debug)]
pub struct Relations;

/// What one record is to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The kind of the one.
    pub from_kind: String,
    /// The one.
    pub from_id: Id,
    /// The kind of the other.
    pub to_kind: String,
    /// The other.
    pub to_id: Id,
    /// What the one is to the other: `owner`, `buyer`, `spouse`, ...
    pub role: String,
    /// Both of them.
    pub record_ids: BTreeSet<Id>,
    /// Whether it is so no longer.
    pub removed: bool,
    /// When it was last said.
    pub added_at: Time,
    /// When it ended.
    pub removed_at: Option<Time>,
}

/// A relation with the names of both records as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The relation itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the one.
    pub from_name: Option<String>,
    /// Name of the other.
    pub to_name: Option<String>,
}

impl ReadModel for Relations {
    const NAME: &'static str = "relations";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Relation::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        Ok(match decode::<Relation>(event)? {
            Event::Added(ends) => Some(Row {
                record_ids: [ends.from.id, ends.to.id].into(),
                from_kind: ends.from.kind,
                from_id: ends.from.id,
                to_kind: ends.to.kind,
                to_id: ends.to.id,
                role: ends.role,
                removed: false,
                added_at: at,
                removed_at: None,
            }),
            Event::Removed(_) => row.map(|row| Row { removed: true, removed_at: Some(at), ..row }),
        })
    }
}

impl Listed for Relations {
    const PATH: &'static str = Relation::PLURAL;
    const READ: &'static str = Relation::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("from_kind"),
        Column::reference("from_id", Refers::By("from_kind")),
        Column::word("to_kind"),
        Column::reference("to_id", Refers::By("to_kind")),
        Column::word("role"),
        Column::set("record_ids").of(Refers::Any),
        Column::bool("removed").hiding(),
        Column::time("added_at"),
        Column::time("removed_at").nullable(),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("added_at")];
    const TELLS: &'static [Told] =
        &[Told::by("from_name", "from_id", "from_kind"), Told::by("to_name", "to_id", "to_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.from_kind, r.from_id, \
        read_name(t.tenant_id, t.from_kind, r.from_id) as from_name, t.to_kind, r.to_id, \
        read_name(t.tenant_id, t.to_kind, r.to_id) as to_name, t.role, r.record_ids, t.removed, t.added_at, t.removed_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_relation_ends_and_comes_back() {
        let ends = json!({ "from": { "kind": "contact", "id": id(1) }, "to": { "kind": "property", "id": id(2) },
            "role": "owner" });
        let (added, removed) = (event::<Relation>("added", ends.clone()), event::<Relation>("removed", ends));
        refuses_strangers::<Relations, Relation>(&added);
        let row = folded::<Relations, Relation>([added.clone(), removed.clone()]).unwrap();
        assert_eq!((row.removed, row.removed_at, row.record_ids), (true, Some(at(1)), [id(1), id(2)].into()));
        let row = folded::<Relations, Relation>([added.clone(), removed, added]).unwrap();
        assert_eq!((row.removed, row.added_at, row.removed_at), (false, at(2), None));
    }
}
