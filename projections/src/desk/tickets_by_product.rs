//! How many tickets each product has had, in all or over time: reports over the counters `read_tickets_by_product`.

use domain::Id;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{Error, Sight};

/// How a report is divided over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// By day.
    Day,
    /// By week, from Monday on.
    Week,
    /// By month.
    Month,
}

/// Tickets of one product, in one period or in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TicketsOfProduct {
    /// The product; none for tickets without one.
    pub product_id: Option<Id>,
    /// Its name as it is now.
    pub product_name: Option<String>,
    /// Colour of its badge.
    pub product_color: Option<String>,
    /// Icon of its badge.
    pub product_icon: Option<String>,
    /// First day of the period, in UTC; none when the report is not divided over time.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub period: Option<Date>,
    /// Tickets opened then, whatever became of them; those merged into others are not counted.
    pub total: i64,
    /// Of these, still open.
    pub open: i64,
    /// Of these, resolved.
    pub resolved: i64,
    /// Of these, closed.
    pub closed: i64,
}

/// Tickets by product and day of opening (UTC), from `from` up to and including `to`. With an interval: by period, oldest
/// first, products with most tickets first within; without: in all, products with most tickets first.
///
/// # Errors
/// When the database fails.
pub async fn tickets_by_product(
    pool: &PgPool,
    tenant: Id,
    sight: &Sight,
    (from, to): (Option<Date>, Option<Date>),
    interval: Option<Interval>,
) -> Result<Vec<TicketsOfProduct>, Error> {
    type Counted =
        (String, Option<String>, Option<String>, Option<String>, Option<jiff_sqlx::Date>, i64, i64, i64, i64);
    // Counters know of no single ticket: whoever does not see all has those counted that he sees.
    let counters = match sight {
        Sight::Everything => "read_tickets_by_product".to_owned(),
        Sight::Walled(_) => format!(
            "(select tenant_id, coalesce(product_id, '') as product_id, (opened_at at time zone 'UTC')::date as day, \
             status, 1 as count from read_ticket_list t where t.tenant_id = $1 and {}) seen",
            sight.sees(5, "'ticket'::text collate \"C\"", "t.id")
        ),
    };
    let statement = format!(
        "with counted as (
             select product_id, case when $4::text is not null then date_trunc($4, day::timestamp)::date end as period,
                    sum(count) filter (where status <> 'merged') as total,
                    sum(count) filter (where status = 'open') as open,
                    sum(count) filter (where status = 'resolved') as resolved,
                    sum(count) filter (where status = 'closed') as closed
             from {counters}
             where tenant_id = $1 and day >= coalesce($2, '-infinity'::date) and day <= coalesce($3, 'infinity'::date)
             group by 1, 2
         )
         select c.product_id, p.name, p.color, p.icon, c.period, c.total::bigint, coalesce(c.open, 0)::bigint,
                coalesce(c.resolved, 0)::bigint, coalesce(c.closed, 0)::bigint
         from counted c left join read_product_catalogue p on p.tenant_id = $1 and p.id = c.product_id
         where c.total > 0 order by c.period, c.total desc, p.name collate \"und-x-icu\", c.product_id"
    );
    let mut query = sqlx::query_as(AssertSqlSafe(statement))
        .bind(tenant.to_string())
        .bind(from.map(ToSqlx::to_sqlx))
        .bind(to.map(ToSqlx::to_sqlx))
        .bind(interval.map(|interval| match interval {
            Interval::Day => "day",
            Interval::Week => "week",
            Interval::Month => "month",
        }));
    for value in sight.values() {
        query = query.bind(value);
    }
    let rows: Vec<Counted> = query.fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|(product, product_name, product_color, product_icon, period, total, open, resolved, closed)| {
            TicketsOfProduct {
                product_id: product.parse().ok(),
                product_name,
                product_color,
                product_icon,
                period: period.map(jiff_sqlx::Date::to_jiff),
                total,
                open,
                resolved,
                closed,
            }
        })
        .collect())
}
