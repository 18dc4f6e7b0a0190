//! Which of its products a ticket may be about: a query over `read_product_holders`.

use domain::{Id, Party, PartyKind, Time, kernel::text::searched};
use jiff_sqlx::ToSqlx;
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    Error, List, Listed, Sight,
    desk::product_holders::ProductHolders,
    kernel::{list, redirects},
};

/// Most entitlements that are offered at once.
const MAX_OFFERED: i64 = 1000;

/// The entitlements that a requester may choose from, by name of the product: its own and, for a contact, those of the
/// companies it belongs to, whatever any of them owned before it was merged included, as long as they are active and valid
/// at that time. Products that are retired or archived stay hidden. `search` keeps those whose product, contract or serial number has this text in it, case ignored; only those that `sight` reaches are offered.
///
/// # Errors
/// When the database fails.
pub async fn entitlement_picker(
    pool: &PgPool,
    tenant: Id,
    requester: Party,
    at: Time,
    search: Option<&str>,
    sight: &Sight,
    limit: i64,
) -> Result<Vec<Box<RawValue>>, Error> {
    let statement = format!(
        "with holder (kind, id) as (
             select $2::text collate \"C\", $3::text collate \"C\"
             union all
             select 'company', unnest(c.company_ids) from read_contacts c
             where $2 = 'contact' and c.tenant_id = $1 and c.id = read_survivor($1, 'contact', $3)
         ), family (kind, id) as (
             select distinct holder.kind, f.id collate \"C\" from holder
             cross join lateral read_family($1, holder.kind, holder.id) f (id)
         ), page as materialized (
             select t.*, p.name as offered_name from family holder
             join read_product_holders t
                 on t.tenant_id = $1 and t.holder_kind = holder.kind and t.holder_id = holder.id and t.status = 'active'
             join read_product_catalogue p
                 on p.tenant_id = t.tenant_id and p.id = t.product_id and not p.retired and not p.archived
             where (t.valid_from is null or t.valid_from <= $4) and (t.valid_to is null or t.valid_to > $4)
               and ($5::text is null or strpos(text_loose(
                   concat_ws(' ', p.name, t.contract_number, t.serial_number)), $5) > 0) and {}
             order by p.name collate \"und-x-icu\", t.granted_at, t.id limit $6
         )
         select (select row_to_json(v) from (select {}) v)::text from {}
         order by t.offered_name collate \"und-x-icu\", t.granted_at, t.id",
        sight.sees(7, "'entitlement'::text collate \"C\"", "t.id"),
        ProductHolders::SELECT,
        redirects::shown(List::of::<ProductHolders>(), "page", None)
    );
    let kind = match requester.kind {
        PartyKind::Contact => "contact",
        PartyKind::Company => "company",
        PartyKind::User => "user",
    };
    let mut query = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(tenant.to_string())
        .bind(kind)
        .bind(requester.id.to_string())
        .bind(at.to_sqlx())
        .bind(search.map(searched))
        .bind(limit.clamp(1, MAX_OFFERED));
    for value in sight.values() {
        query = query.bind(value);
    }
    let rows: Vec<String> = query.fetch_all(pool).await?;
    Ok(list::raws(List::of::<ProductHolders>(), rows)?)
}
