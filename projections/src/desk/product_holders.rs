//! Who owns which product: entitlements with the names of product and holder. Table: `read_product_holders`.

use domain::{
    Aggregate, Id, PartyKind, Time,
    catalogue::listed,
    desk::entitlement::{Details, Entitlement, Event},
    kernel::{
        custom::{self, Custom},
        record::apply_changes,
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Tally, Told, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The entitlements.
#[derive(Clone, Copy, Debug)]
pub struct ProductHolders;

/// Where an entitlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Owned.
    Active,
    /// Taken away.
    Revoked,
    /// Over.
    Expired,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Revoked => "revoked",
            Status::Expired => "expired",
        }
    }
}

/// A product that somebody owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Which product.
    pub product_id: Id,
    /// What kind of party owns it.
    pub holder_kind: PartyKind,
    /// Who owns it.
    pub holder_id: Id,
    /// Where it stands.
    pub status: Status,
    /// Contract number, serial number, price, quantity, validity.
    #[serde(flatten)]
    pub details: Details,
    /// Custom fields.
    pub custom: Custom,
    /// The system it was taken over from.
    pub source: Option<String>,
    /// Its id there.
    pub external_id: Option<String>,
    /// Why it was taken away.
    pub revoked_reason: Option<String>,
    /// When it was granted.
    pub granted_at: Time,
    /// When it was taken away or expired, unless it was given back since.
    pub ended_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// An entitlement with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The entitlement itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the product.
    pub product_name: Option<String>,
    /// Colour of the product's badge.
    pub product_color: Option<String>,
    /// Icon of the product's badge.
    pub product_icon: Option<String>,
    /// The product's category.
    pub product_category_id: Option<Id>,
    /// Name of the holder.
    pub holder_name: Option<String>,
    /// E-mail address of the holder.
    pub holder_email: Option<String>,
}

fn rounded(mut details: Details) -> Details {
    details.valid_from = details.valid_from.map(micros);
    details.valid_to = details.valid_to.map(micros);
    details
}

impl ReadModel for ProductHolders {
    const NAME: &'static str = "product_holders";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Entitlement::KIND];
    const TALLY: Option<&'static str> = Some("entitlements_by_product");
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Entitlement>(event)?;
        if let Event::Granted(grant) = happened {
            return Ok(Some(Row {
                product_id: grant.product,
                holder_kind: grant.holder.kind,
                holder_id: grant.holder.id,
                status: Status::Active,
                details: rounded(grant.details()),
                custom: grant.custom,
                source: grant.source,
                external_id: grant.external_id,
                revoked_reason: None,
                granted_at: at,
                ended_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Granted(_) => {}
            Event::DetailsChanged { changes } => {
                apply_changes(&mut row.details, &changes);
                row.details = rounded(row.details);
            }
            Event::CustomChanged { changes } => custom::apply(&mut row.custom, &changes),
            Event::Transferred { to, .. } => {
                row.holder_kind = to.kind;
                row.holder_id = to.id;
            }
            Event::Revoked { reason } => {
                row.status = Status::Revoked;
                row.revoked_reason = reason;
                row.ended_at = Some(at);
            }
            Event::Reinstated => {
                row.status = Status::Active;
                row.revoked_reason = None;
                row.ended_at = None;
            }
            Event::Expired => {
                row.status = Status::Expired;
                row.ended_at = Some(at);
            }
        }
        Ok(Some(row))
    }

    /// Entitlements by product, kind of holder and status.
    fn tally(row: &Row) -> Vec<Tally> {
        let holder = match row.holder_kind {
            PartyKind::Contact => "contact",
            PartyKind::Company => "company",
            PartyKind::User => "user",
        };
        let key = vec![
            ("product_id", row.product_id.to_string()),
            ("holder_kind", holder.to_owned()),
            ("status", row.status.name().to_owned()),
        ];
        vec![Tally { key, count: 1 }]
    }
}

impl Listed for ProductHolders {
    const PATH: &'static str = Entitlement::PLURAL;
    const READ: &'static str = Entitlement::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("product_id"),
        Column::word("holder_kind"),
        Column::reference("holder_id", Refers::By("holder_kind")),
        Column::word("status"),
        Column::text("contract_number").nullable(),
        Column::text("serial_number").nullable(),
        Column::integer("quantity").nullable(),
        Column::time("valid_from").nullable(),
        Column::time("valid_to").nullable(),
        Column::word("source").nullable(),
        Column::word("external_id").nullable(),
        Column::time("granted_at"),
        Column::time("ended_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::PRODUCT),
        Column::called(&listed::HOLDER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Entitlement::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("granted_at")];
    const TELLS: &'static [Told] = &[Told::by("holder_email", "holder_id", "holder_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.product_id, product.name as product_name, \
        product.color as product_color, product.icon as product_icon, product.category_id as product_category_id, \
        t.holder_kind, r.holder_id, coalesce(contact.name, company.name, colleague.name) as holder_name, \
        coalesce(contact.email, company.email, colleague.email) as holder_email, t.status, t.contract_number, \
        t.serial_number, t.price, t.quantity, t.valid_from, t.valid_to, r.custom, t.source, t.external_id, \
        t.revoked_reason, t.granted_at, t.ended_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_product_catalogue product on product.tenant_id = t.tenant_id and product.id = t.product_id \
        left join read_contacts contact \
            on t.holder_kind = 'contact' and contact.tenant_id = t.tenant_id and contact.id = r.holder_id \
        left join read_companies company \
            on t.holder_kind = 'company' and company.tenant_id = t.tenant_id and company.id = r.holder_id \
        left join read_users colleague \
            on t.holder_kind = 'user' and colleague.tenant_id = t.tenant_id and colleague.id = r.holder_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn an_entitlement_changes_hands_and_ends() {
        let party = |kind: &str, number: u128| json!({ "kind": kind, "id": id(number) });
        let granted = event::<Entitlement>(
            "granted",
            json!({
                "product": id(1), "holder": party("contact", 2), "serial_number": "SN-1", "quantity": 3,
                "valid_to": "2026-02-01T00:00:00.123456789Z"
            }),
        );
        refuses_strangers::<ProductHolders, Entitlement>(&granted);
        let changes = json!({ "changes": { "serial_number": { "from": "SN-1", "to": "SN-2" } } });
        let changed = event::<Entitlement>("details_changed", changes);
        let moved = json!({ "from": party("contact", 2), "to": party("company", 3) });
        let moved = event::<Entitlement>("transferred", moved);
        let revoked = Event::Revoked { reason: Some("returned".into()) };
        let row = folded::<ProductHolders, Entitlement>([granted.clone(), changed, moved, revoked.clone()]).unwrap();
        assert_eq!((row.holder_kind, row.holder_id, row.status), (PartyKind::Company, id(3), Status::Revoked));
        assert_eq!((row.details.serial_number.as_deref(), row.ended_at), (Some("SN-2"), Some(at(3))));
        // As precise as the table.
        assert_eq!(row.details.valid_to.unwrap().to_string(), "2026-02-01T00:00:00.123457Z");
        let tally: Vec<_> = ProductHolders::tally(&row)[0].key.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(tally, [&id(1).to_string(), "company", "revoked"]);
        let back = folded::<ProductHolders, Entitlement>([granted, revoked, Event::Reinstated]).unwrap();
        assert_eq!((back.status, back.ended_at, back.revoked_reason), (Status::Active, None, None));
    }
}
