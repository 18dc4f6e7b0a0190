//! Products with their category. Table: `read_product_catalogue`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id,
    catalogue::listed,
    desk::product::{Event, Fields, Product},
    kernel::{external::ExternalId, named::Either},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::record::{Common, created},
};

/// The products.
#[derive(Clone, Copy, Debug)]
pub struct ProductCatalogue;

/// A product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub fields: Fields,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Its category.
    pub category_id: Option<Id>,
    /// Whether it has left the range.
    pub retired: bool,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
}

/// A product with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The product itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// Name of the category.
    pub category_name: Option<String>,
    /// How many entitlements to it are active.
    pub active_entitlements: i64,
}

impl ReadModel for ProductCatalogue {
    const NAME: &'static str = "product_catalogue";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Product::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Product>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            return Ok(created(happened, event).map(|(fields, common)| Row {
                fields,
                common,
                category_id: None,
                retired: false,
                external_ids: BTreeSet::new(),
            }));
        };
        row.common.touch(event);
        match happened {
            Either::Common(happened) => row.common.happened(&mut row.fields, happened),
            Either::Own(Event::Categorised { to, .. }) => row.category_id = to,
            Either::Own(Event::Retired { .. }) => row.retired = true,
            Either::Own(Event::Reinstated) => row.retired = false,
            Either::Own(Event::ExternalIdAdded(id)) => drop(row.external_ids.insert(id)),
            Either::Own(Event::ExternalIdRemoved(id)) => drop(row.external_ids.remove(&id)),
        }
        Ok(Some(row))
    }
}

impl Listed for ProductCatalogue {
    const PATH: &'static str = Product::PLURAL;
    const READ: &'static str = Product::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("kind"),
        Column::text("description").nullable(),
        Column::word("color").nullable(),
        Column::word("icon").nullable(),
        Column::text("sku").nullable(),
        Column::id("category_id").nullable(),
        Column::bool("retired"),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::OWNER),
        Column::called(&listed::CATEGORY),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Product::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.kind, t.description, t.color, t.icon, t.sku, \
        t.price, t.category_id, category.name as category_name, t.retired, t.owner_id, owner.name as owner_name, t.tags, \
        t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at, t.external_ids, \
        coalesce((select sum(h.count) from read_entitlements_by_product h where h.tenant_id = t.tenant_id \
            and h.product_id = t.id and h.status = 'active'), 0)::bigint as active_entitlements";
    const JOINS: &'static str = "\
        left join read_product_categories category \
            on category.tenant_id = t.tenant_id and category.id = t.category_id \
        left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_product_has_its_badge_category_and_price() {
        let price = json!({ "amount": "12.50", "currency": "EUR" });
        let created = event::<Product>("created", json!({ "name": "Hosting", "color": "#00a09d", "price": price }));
        refuses_strangers::<ProductCatalogue, Product>(&created);
        let own = [Event::Categorised { from: None, to: Some(id(2)) }, Event::Retired { reason: None }];
        let row = folded::<ProductCatalogue, Product>([created].into_iter().chain(own.map(Either::Own))).unwrap();
        assert_eq!((row.category_id, row.retired), (Some(id(2)), true));
        assert_eq!(serde_json::to_value(&row).unwrap()["price"], price);
    }
}
