//! Totals of a list: how many records match by the value of a field, and what a field of them adds up to.

use std::sync::Arc;

use domain::{
    FieldError, Id,
    kernel::{
        custom::Definitions,
        filter::{FieldKind, Fields, Filter},
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::{
    List,
    kernel::{
        earlier::Tables,
        list::{columns_of, condition},
        redirects,
        sight::Sight,
        sql::{self, Bound, Sql},
    },
};

/// Most groups of one answer: the largest ones.
pub const MAX_GROUPS: i64 = 1000;

/// The records that have one value.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Group {
    /// The value; null for those without one. Of a field with several values, each record counts under each of them. Text
    /// that people type counts as one where `eq` does; this is how most write it, the smallest where several do.
    pub value: Value,
    /// How many records.
    pub count: i64,
}

/// A field by which a list is grouped, or which is added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Totalled {
    name: String,
    kind: FieldKind,
}

impl Totalled {
    /// The name of the field.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A field whose values are few enough to be told: not an exact decimal, a day or an instant.
    ///
    /// # Errors
    /// `group_field_unknown` with what there is.
    pub fn group(list: &'static List, name: &str, custom: &Definitions) -> Result<Totalled, FieldError> {
        let fits = |kind| !matches!(kind, FieldKind::Decimal | FieldKind::Date | FieldKind::Time);
        find(list, name, custom, fits, "/group", "group_field_unknown", "group by")
    }

    /// A field of whole numbers.
    ///
    /// # Errors
    /// `sum_field_unknown` with what there is. Amounts of money are not added up across currencies.
    pub fn sum(list: &'static List, name: &str, custom: &Definitions) -> Result<Totalled, FieldError> {
        find(list, name, custom, |kind| kind == FieldKind::Integer, "/sum", "sum_field_unknown", "add up")
    }

    fn expression(&self) -> String {
        sql::column(&self.name, self.kind)
    }
}

fn find(
    list: &'static List,
    name: &str,
    custom: &Definitions,
    fits: impl Fn(FieldKind) -> bool,
    pointer: &str,
    code: &'static str,
    to: &str,
) -> Result<Totalled, FieldError> {
    let fields = columns_of(list, custom, None);
    // What others are called is told by their ids.
    let own = |name: &str| list.columns.iter().all(|column| column.name != name || column.names.is_none());
    match fields.kind(name).filter(|kind| fits(*kind) && own(name)) {
        Some(kind) => Ok(Totalled { name: name.to_owned(), kind }),
        None => {
            let names: Vec<_> =
                fields.names().into_iter().filter(|name| own(name) && fields.kind(name).is_some_and(&fits)).collect();
            let detail = format!("There is no field {name} to {to}; there are {}.", names.join(", "));
            Err(FieldError { pointer: pointer.into(), code: code.into(), detail })
        }
    }
}

/// How many records match by the value of a field, the largest groups first.
///
/// # Errors
/// When the database fails.
pub async fn groups(
    list: &'static List,
    pool: &PgPool,
    tenant: Id,
    asked: (&Filter, &Sight),
    by: &Totalled,
) -> Result<Vec<Group>, sqlx::Error> {
    grouped(list, &mut *pool.acquire().await?, tenant, asked, by, None).await
}

/// The same, now or in the past.
pub(crate) async fn grouped(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    (filter, sight): (&Filter, &Sight),
    by: &Totalled,
    past: Option<&Arc<Tables>>,
) -> Result<Vec<Group>, sqlx::Error> {
    let filter = &redirects::followed(list, &mut *db, tenant, filter, past).await?;
    let seen = sight.over(list, &mut *db, tenant).await?;
    let mut sql = Sql::over(list, tenant, past);
    let merged = past.map(|past| {
        sql.values.push(Bound::Json(past.merged()));
        format!("${}", sql.values.len())
    });
    let value = redirects::totalled(list, &by.name, by.kind, merged.as_deref()).unwrap_or_else(|| by.expression());
    // A record without any value of a set counts as one without a value; one with two spellings of a tag counts once.
    let value = match by.kind {
        FieldKind::Tags => format!(
            "unnest(case when cardinality({value}) > 0 then array(select distinct on (text_typed(u.tag)) u.tag \
             from unnest({value}) u (tag) order by text_typed(u.tag), u.tag collate \"C\") else array[null] end)"
        ),
        kind if kind.is_set() => {
            format!("unnest(case when cardinality({value}) > 0 then {value} else array[null] end)")
        }
        _ => value,
    };
    let one = if by.kind == FieldKind::Tags { FieldKind::Text } else { by.kind };
    let typed = matches!(one, FieldKind::Text | FieldKind::Email | FieldKind::Phone);
    sql.push("spelt as (select value, count(*) as number from (select ").push(&value).push(" as value");
    condition(list, &mut sql, filter, &seen, &[]);
    sql.push(") matching group by value)").common();
    sql.push("select ");
    if typed {
        let same = sql::compared("value", one);
        sql.push(
            "to_jsonb((array_agg(value order by number desc, value collate \"C\"))[1])::text, sum(number)::bigint",
        );
        sql.push(" from spelt group by ").push(&same).push(" order by 2 desc, 1");
    } else {
        sql.push("to_jsonb(value)::text, number from spelt order by number desc, value");
    }
    sql.push(&format!(" limit {MAX_GROUPS}"));
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let rows: Vec<(Option<String>, i64)> = Sql::supply(sql.values, query).fetch_all(db).await?;
    let read = |(value, count): (Option<String>, i64)| {
        let value = value.as_deref().map_or(Ok(Value::Null), serde_json::from_str);
        Ok(Group { value: value.map_err(|error| sqlx::Error::Decode(Box::new(error)))?, count })
    };
    rows.into_iter().map(read).collect()
}

/// What a field adds up to over all records that match.
///
/// # Errors
/// When the database fails.
pub async fn sum(
    list: &'static List,
    pool: &PgPool,
    tenant: Id,
    asked: (&Filter, &Sight),
    of: &Totalled,
) -> Result<i64, sqlx::Error> {
    summed(list, &mut *pool.acquire().await?, tenant, asked, of, None).await
}

/// The same, now or in the past.
pub(crate) async fn summed(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    (filter, sight): (&Filter, &Sight),
    of: &Totalled,
    past: Option<&Arc<Tables>>,
) -> Result<i64, sqlx::Error> {
    let filter = &redirects::followed(list, &mut *db, tenant, filter, past).await?;
    let seen = sight.over(list, &mut *db, tenant).await?;
    let mut sql = Sql::over(list, tenant, past);
    sql.push("select coalesce(sum(").push(&of.expression()).push("), 0)::bigint");
    condition(list, &mut sql, filter, &seen, &[]);
    let statement = sql.statement();
    let query = sqlx::query_as(AssertSqlSafe(statement.as_str()));
    let (sum,): (i64,) = Sql::supply(sql.values, query).fetch_one(db).await?;
    Ok(sum)
}
