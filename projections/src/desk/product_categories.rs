//! Groups of products. A deleted one leaves the table. Table: `read_product_categories`.

use domain::{
    Aggregate, Id, Time,
    desk::product_category::{Event, ProductCategory},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The product categories.
#[derive(Clone, Copy, Debug)]
pub struct ProductCategories;

/// A product category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The category above; none at the top.
    pub parent_id: Option<Id>,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A product category with the name of the one above as it is now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The category itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the category above.
    pub parent_name: Option<String>,
}

impl ReadModel for ProductCategories {
    const NAME: &'static str = "product_categories";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[ProductCategory::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let mut row = match (row, decode::<ProductCategory>(event)?) {
            (_, Event::Created(new)) => {
                return Ok(Some(Row { name: new.name, parent_id: new.parent, created_at: at, updated_at: at }));
            }
            (_, Event::Deleted) | (None, _) => return Ok(None),
            (Some(row), Event::Renamed { to, .. }) => Row { name: to, ..row },
            (Some(row), Event::Moved { to, .. }) => Row { parent_id: to, ..row },
        };
        raise(&mut row.updated_at, at);
        Ok(Some(row))
    }
}

impl Listed for ProductCategories {
    const PATH: &'static str = ProductCategory::PLURAL;
    const READ: &'static str = ProductCategory::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::id("parent_id").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.parent_id, parent.name as parent_name, \
        t.created_at, t.updated_at";
    const JOINS: &'static str =
        "left join read_product_categories parent on parent.tenant_id = t.tenant_id and parent.id = t.parent_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_category_is_renamed_moved_and_deleted() {
        let created = event::<ProductCategory>("created", json!({ "name": "Services" }));
        refuses_strangers::<ProductCategories, ProductCategory>(&created);
        let renamed = Event::Renamed { from: "Services".into(), to: "Work".into() };
        let moved = Event::Moved { from: None, to: Some(id(2)) };
        let events = vec![created, renamed, moved];
        let row = folded::<ProductCategories, ProductCategory>(events.clone()).unwrap();
        let expected = Row { name: "Work".into(), parent_id: Some(id(2)), created_at: at(0), updated_at: at(2) };
        assert_eq!(row, expected);
        let deleted = events.into_iter().chain([Event::Deleted]);
        assert_eq!(folded::<ProductCategories, ProductCategory>(deleted), None);
    }
}
