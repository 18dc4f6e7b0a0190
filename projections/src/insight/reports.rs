//! The numbers of a report, and the records behind each of them: one statement for each measure, over the facts known at a
//! position of the log.
//!
//! A statement has three steps. Items are what counts: each is of a record, at an instant, perhaps with a length or a score. To
//! each the values of its dimensions are looked up, as they were at that instant or as they are now. Then they are grouped.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Id, Time,
    insight::{
        clock::Clock,
        definition::{By, Compiled, Values},
        facts::{Dimension, How, MERGED, Measure, Unit},
    },
    kernel::{
        filter::{FieldKind, Filter, Scalar},
        merging,
        reference::Subject,
    },
};
use serde_json::{Map, Number, Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    Sight,
    kernel::{
        sql::{self, Bound, Sql},
        told::hidden,
    },
};

/// Where the bars of a histogram end, in seconds: a minute to thirty days. The last bar has no end.
pub const HISTOGRAM: [i64; 10] = [60, 300, 900, 3600, 14_400, 28_800, 86_400, 172_800, 604_800, 2_592_000];

/// What is asked of the facts.
pub struct Asked<'a> {
    /// What is measured, by what, and which records count.
    pub compiled: &'a Compiled,
    /// As they were then, or as they are now.
    pub values: Values,
    /// The last position that is known.
    pub known: i64,
    /// From when on, and up to when.
    pub range: (Time, Time),
    /// The periods of each dimension that is one, in the order of the dimensions.
    pub clocks: &'a [Option<Clock>],
    /// Who asks.
    pub sight: &'a Sight,
}

/// A number, or what is told of lengths and scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// How many.
    Count(i64),
    /// How they are spread; nothing but the count where there are none.
    Spread(Spread),
    /// What they come to, by currency: exact decimals.
    Money(BTreeMap<String, String>),
}

/// Lengths in seconds, or scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: i64,
    /// By name: `sum`, `mean`, `min`, `median`, `p90`, `max`.
    pub values: BTreeMap<&'static str, Number>,
    /// How many are less than each of [`HISTOGRAM`] and not less than the one before; of lengths alone.
    pub histogram: Vec<i64>,
}

/// A number with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The value of each dimension; `None` where all of them are taken together.
    pub key: Vec<Option<Value>>,
    /// The number.
    pub figure: Figure,
}

/// One of what was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The record.
    pub id: Id,
    /// When it counts.
    pub at: Time,
    /// The position of the event by which it counts.
    pub position: i64,
    /// The length in seconds, or the score.
    pub value: Option<Number>,
    /// The amount of money and its currency.
    pub money: Option<Value>,
    /// What the record is called now, if that may be told: a conversation is called what its contact is.
    pub name: Option<String>,
}

/// A statement in the making: its items with the values of the fields that it names are `t`.
struct Statement<'a> {
    asked: &'a Asked<'a>,
    sql: Sql,
}

/// How many times there are in a second, or points in a score.
fn scale(unit: Unit) -> i64 {
    if unit == Unit::Seconds { 1_000_000 } else { 1 }
}

fn micros(later: &str, earlier: &str) -> String {
    format!("(extract(epoch from {later} - {earlier}) * 1000000)::bigint")
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

/// What is known of moments.
fn moments(kind: &str, words: &[&str]) -> String {
    format!("tenant_id = $1 and kind = '{kind}' and moment in ({}) and position <= $2", quoted(words))
}

/// What is known of the values of a dimension.
fn known(kind: &str, dimension: &str) -> String {
    format!("tenant_id = $1 and kind = '{kind}' and dimension = '{dimension}' and part = '' and position <= $2")
}

/// The stretches in which a dimension had one value: of what happened at one instant the last counts, and a value that is
/// said again goes on.
fn stretches(kind: &str, dimension: &str) -> String {
    format!(
        "(select record_id, value, at, position, lead(at) over turns as until, lead(position) over turns as ended
          from (select record_id, value, at, position, lag(value) over (partition by record_id order by at) as before
                from (select distinct on (record_id, at) record_id, value, at, position from read_fact_values
                      where {} order by record_id, at, position desc) last) told
          where before is distinct from value
          window turns as (partition by record_id order by at))",
        known(kind, dimension)
    )
}

/// The items of a measure. `$3` and `$4` are the range, `$5` where the periods end.
fn items(kind: &str, Measure { how, unit, .. }: &Measure) -> String {
    let told = |of: &str, to: &[&str]| {
        format!("(select record_id, at, position, {of} from read_fact_moments where {})", moments(kind, to))
    };
    let all = |to: &[&str]| told("moment", to);
    match *how {
        How::Each(moment) => format!(
            "select record_id, at, at as seen, position, {} from read_fact_moments
             where {} and at >= $3 and at < $4",
            match unit {
                Unit::Money => "(value ->> 'amount')::numeric as measured, value ->> 'currency' as currency",
                _ => "(value #>> '{}')::bigint as measured",
            },
            moments(kind, &[moment])
        ),
        How::Last { of, undone } => format!(
            "select record_id, at, at as seen, position, null::bigint as measured
             from (select distinct on (record_id) * from {} m order by record_id, at desc, position desc) last
             where moment = '{of}'",
            all(&[of, undone])
        ),
        How::Level { dimension, value } => format!(
            "select record_id, bound - interval '1 microsecond' as at, bound - interval '1 microsecond' as seen,
                    position, null::bigint as measured
             from (select s.*, ((select $5::text[]::timestamptz[]))[period + 1] as bound from {} s
                   cross join lateral generate_series(
                       greatest(1, width_bucket(s.at, (select $5::text[]::timestamptz[]))),
                       coalesce(width_bucket(s.until, (select $5::text[]::timestamptz[])),
                                cardinality((select $5::text[]::timestamptz[]))) - 1) period
                   where s.value = to_jsonb('{value}'::text)) held",
            stretches(kind, dimension)
        ),
        How::First { from, to } => format!(
            "select e.record_id, e.at, e.at as seen, e.position, {} as measured
             from (select distinct on (record_id) * from {} m order by record_id, at, position) e
             join {} b using (record_id)",
            micros("e.at", "b.at"),
            all(to),
            all(&[from])
        ),
        How::Whole { from, to, undone } => format!(
            "select e.record_id, e.at, e.at as seen, e.position, {} as measured from {} e join {} b using (record_id)",
            micros("e.at", "b.at"),
            ends(kind, to, undone),
            all(&[from])
        ),
        How::OneTouch { to, undone, touch } => format!(
            "select e.record_id, e.at, e.at as seen, e.position, null::bigint as measured from {} e
             where not e.taken_back and e.record_id in (
                 select record_id from {} m group by record_id having count(*) = 1)",
            ends(kind, to, undone),
            all(&[touch])
        ),
        How::Next { from, to } => format!(
            "select record_id, at, at as seen, position, {} as measured
             from (select record_id, at, position, moment, turn,
                          min(at) filter (where moment = '{from}') over (partition by record_id, turn) as since
                   from (select record_id, at, position, moment,
                                count(*) filter (where moment = '{to}') over (
                                    partition by record_id order by at, position
                                    rows between unbounded preceding and 1 preceding) as turn
                         from {} m) told) turns
             where moment = '{to}' and turn > 0 and since is not null",
            micros("at", "since"),
            all(&[from, to])
        ),
        How::Held { dimension, within: None } => format!(
            "select record_id, until as at, until - interval '1 microsecond' as seen, ended as position,
                    {} as measured
             from {} s where value is not null and until is not null",
            micros("until", "at"),
            stretches(kind, dimension)
        ),
        How::Held { dimension, within: Some((other, value)) } => format!(
            "select record_id, until as at, until - interval '1 microsecond' as seen, ended as position,
                    {} as measured
             from (select s.record_id, greatest(s.at, w.at) as begun, least(s.until, w.until) as until,
                          case when w.until < s.until or s.until is null then w.ended else s.ended end as ended
                   from {} s join {} w using (record_id)
                   where s.value is not null and w.value = to_jsonb('{value}'::text)) both_held
             where begun < until",
            micros("until", "begun"),
            stretches(kind, dimension),
            stretches(kind, other)
        ),
    }
}

/// Of each record the first of the moments that end it after which nothing was taken back, and whether anything was before.
fn ends(kind: &str, to: &[&str], undone: &str) -> String {
    let all: Vec<&str> = to.iter().copied().chain([undone]).collect();
    format!(
        "(select distinct on (record_id) record_id, at, position, later < whole as taken_back
          from (select record_id, at, position, moment,
                       count(*) filter (where moment = '{undone}') over (partition by record_id) as whole,
                       count(*) filter (where moment = '{undone}') over (
                           partition by record_id order by at desc, position desc) as later
                from read_fact_moments where {}) told
          where moment <> '{undone}' and later = 0 order by record_id, at, position)",
        moments(kind, &all)
    )
}

/// The dimensions that name records which may be merged, with the kinds of these.
fn merging_kinds(dimension: &Dimension) -> impl Iterator<Item = &'static str> {
    let refers = dimension.refers;
    merging::KINDS.iter().copied().filter(move |kind| refers.contains(kind))
}

impl<'a> Statement<'a> {
    /// What counts for a measure, with its fields.
    fn new(asked: &'a Asked<'a>, tenant: Id, measure: &Measure, fields: &BTreeMap<String, FieldKind>) -> Self {
        let source = asked.compiled.source;
        let kind = source.kind;
        let mut sql = Sql::default();
        let bounds = asked.clocks.iter().flatten().find(|clock| !clock.is_cyclic()).map(|clock| clock.bounds.clone());
        let bounds = bounds.unwrap_or_else(|| vec![asked.range.0, asked.range.1]);
        sql.values = vec![
            Scalar::Text(tenant.to_string()).into(),
            Scalar::Integer(asked.known).into(),
            Scalar::Time(asked.range.0).into(),
            Scalar::Time(asked.range.1).into(),
            Bound::Texts(bounds.iter().map(ToString::to_string).collect()),
        ];
        // PostgreSQL must learn the type of a placeholder that only some measures use.
        sql.push("with recursive asked as (select $5::text[]), item as (").push(&items(kind, measure)).push(")");
        let dimensions: Vec<&Dimension> = fields.keys().filter_map(|name| source.dimension(name)).collect();
        let mut merged: BTreeSet<&str> = dimensions.iter().flat_map(|dimension| merging_kinds(dimension)).collect();
        if !measure.parts {
            merged.insert(kind);
        }
        for kind in &merged {
            sql.push(&gone(kind));
        }
        sql.push(", t as (select i.record_id, i.at, i.position, i.measured");
        sql.push(if measure.unit == Unit::Money { ", i.currency" } else { "" });
        let mut joins = String::new();
        let mut custom = Vec::new();
        for (index, (name, kind)) in fields.iter().enumerate() {
            let seen = if asked.values == Values::Now { "'infinity'" } else { "i.seen" };
            if let Some(path) = name.strip_prefix("custom.") {
                let key = path.split('.').next().unwrap_or_default();
                if custom.contains(&key) {
                    continue;
                }
                custom.push(key);
                let dimension = format!("custom.{key}");
                joins.push_str(&value_of(source.kind, &mut sql, &dimension, "i.record_id", seen, &format!("f{index}")));
                continue;
            }
            let Some(dimension) = source.dimension(name) else { continue };
            if kind.is_set() {
                joins.push_str(&format!(
                    " left join lateral (select array_agg(part order by part) as parts from (
                          select distinct on (v.part) v.part, v.value from read_fact_values v
                          where v.tenant_id = $1 and v.kind = '{}' and v.dimension = '{name}' and v.record_id = i.record_id
                            and v.at <= {seen} and v.position <= $2
                          order by v.part, v.at desc, v.position desc) p where value is not null) f{index} on true",
                    source.kind
                ));
                sql.push(&format!(", f{index}.parts as {name}"));
                continue;
            }
            let (of, over, record) = match dimension.via {
                None => (source.kind, name.as_str(), "i.record_id".to_owned()),
                Some((by, kind, over)) => {
                    let whose = format!("g{index}");
                    joins.push_str(&value_of(source.kind, &mut sql, by, "i.record_id", seen, &whose));
                    (kind, over, format!("({whose}.value #>> '{{}}') collate \"C\""))
                }
            };
            joins.push_str(&value_of(of, &mut sql, over, &record, seen, &format!("f{index}")));
            let mut value = format!("(f{index}.value #>> '{{}}') collate \"C\"");
            for kind in merging_kinds(dimension) {
                joins.push_str(&format!(
                    " left join gone_{kind} m{index}_{kind} on m{index}_{kind}.record_id = {value}"
                ));
                value = format!("coalesce(m{index}_{kind}.into_id, {value})");
            }
            let value = match kind {
                FieldKind::Integer => format!("({value})::bigint"),
                FieldKind::Bool => format!("({value})::boolean"),
                _ => value,
            };
            sql.push(&format!(", {value} as {name}"));
        }
        if !custom.is_empty() {
            sql.push(", jsonb_strip_nulls(jsonb_build_object(");
            let place = |key: &str| fields.keys().position(|name| of_custom(name, key)).unwrap_or_default();
            for (index, key) in custom.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                sql.push(&format!("{comma}'{key}', f{}.value", place(key)));
            }
            sql.push(")) as custom");
        }
        sql.push(" from item i").push(&joins).push(" where i.at >= $3 and i.at < $4");
        if !measure.parts {
            sql.push(&format!(" and not exists (select from gone_{kind} g where g.record_id = i.record_id)"));
        }
        if let Sight::Walled(_) = asked.sight {
            let first = sql.values.len() + 1;
            sql.values.extend(asked.sight.values().into_iter().map(Bound::Texts));
            sql.push(" and ").push(&asked.sight.sees(first, &format!("'{kind}'::text collate \"C\""), "i.record_id"));
        }
        sql.push(")");
        Statement { asked, sql }
    }

    /// The items that match the filter, with the key of each dimension of `which` as `k0` and `k1`.
    fn keyed(&mut self, which: &[usize]) {
        let mut sets = String::new();
        self.sql.push("(select t.*");
        for &index in which {
            let Some(by) = self.asked.compiled.by.get(index) else { continue };
            self.sql.push(", ");
            match (by, self.asked.clocks.get(index).and_then(Option::as_ref)) {
                (By::Field(name, kind), _) => {
                    let value = sql::column(name, *kind);
                    if kind.is_set() {
                        sets.push_str(&format!(
                            " cross join lateral unnest(case when cardinality({value}) > 0 then {value} \
                             else array[null]::text[] end) s{index} (part)"
                        ));
                        self.sql.push(&format!("s{index}.part"));
                    } else {
                        self.sql.push(&value);
                    }
                }
                (By::Period(_), Some(clock)) => {
                    let bounds = Bound::Texts(clock.bounds.iter().map(ToString::to_string).collect());
                    let labels =
                        clock.labels().map(|labels| Bound::Texts(labels.iter().map(ToString::to_string).collect()));
                    if let Some(labels) = labels {
                        self.sql.push("((select ").bind(labels).push("::text[]::int[]))[");
                        self.sql.push("width_bucket(t.at, (select ").bind(bounds).push("::text[]::timestamptz[]))]");
                    } else {
                        self.sql.push("width_bucket(t.at, (select ").bind(bounds).push("::text[]::timestamptz[]))");
                    }
                }
                (By::Period(_), None) => drop(self.sql.push("null::int")),
            }
            self.sql.push(&format!(" as k{index}"));
        }
        self.sql.push(" from t").push(&sets);
        if self.asked.compiled.filter != Filter::EVERYTHING {
            self.sql.push(" where ").filter(&self.asked.compiled.filter);
        }
        self.sql.push(") x");
    }
}

fn of_custom(name: &str, key: &str) -> bool {
    name.strip_prefix("custom.").is_some_and(|path| path.split('.').next() == Some(key))
}

/// The records of a kind that are a part of another one as far as is known, each with the one that goes on, through chains.
fn gone(kind: &str) -> String {
    format!(
        ", step_{kind} as materialized (
             select record_id, (value #>> '{{}}') collate \"C\" as into_id
             from (select distinct on (record_id) record_id, value from read_fact_values
                   where {} order by record_id, position desc) last where value is not null),
         walk_{kind} (record_id, into_id, steps) as (
             select record_id, into_id, 1 from step_{kind}
             union all
             select w.record_id, s.into_id, w.steps + 1 from walk_{kind} w
             join step_{kind} s on s.record_id = w.into_id where w.steps < 1000),
         gone_{kind} as materialized (
             select distinct on (record_id) record_id, into_id from walk_{kind} order by record_id, steps desc)",
        known(kind, MERGED)
    )
}

/// A join that finds the value of a dimension of a record at an instant.
fn value_of(kind: &str, sql: &mut Sql, dimension: &str, record: &str, seen: &str, alias: &str) -> String {
    sql.values.push(dimension.into());
    format!(
        " left join lateral (select v.value from read_fact_values v
              where v.tenant_id = $1 and v.kind = '{kind}' and v.dimension = ${} and v.record_id = {record} and v.part = ''
                and v.at <= {seen} and v.position <= $2
              order by v.at desc, v.position desc limit 1) {alias} on true",
        sql.values.len()
    )
}

/// The fields that dimensions and filter name.
fn fields(asked: &Asked<'_>) -> BTreeMap<String, FieldKind> {
    let by = asked.compiled.by.iter().filter_map(|by| match by {
        By::Field(name, kind) => Some((name.clone(), *kind)),
        By::Period(_) => None,
    });
    let mut fields: BTreeMap<_, _> = by.collect();
    named(&asked.compiled.filter, &mut fields);
    fields
}

fn named(filter: &Filter, fields: &mut BTreeMap<String, FieldKind>) {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().for_each(|filter| named(filter, fields)),
        Filter::Not(filter) => named(filter, fields),
        Filter::Condition(condition) => drop(fields.insert(condition.field.clone(), condition.kind)),
    }
}

/// A decimal as JSON has it.
fn number(text: &str) -> Option<Number> {
    let number: f64 = text.parse().ok()?;
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Some(Number::from(number as i64))
    } else {
        Number::from_f64(number)
    }
}

/// The value that ranks at this share of an ordered array, between two of them in proportion.
fn ranked(share: &str) -> String {
    let rank = format!("({share} * (count - 1))");
    let at = |rounded: &str| format!("ordered[{rounded}({rank})::int + 1]");
    format!("{low} + ({rank} - floor({rank})) * ({high} - {low})", low = at("floor"), high = at("ceil"))
}

/// What is told of lengths and scores, in the order of the columns.
const SPREAD: [&str; 6] = ["sum", "mean", "min", "median", "p90", "max"];

/// All numbers of a measure: for each value of each dimension, and for each of these with all of the others taken together.
///
/// # Errors
/// When the database fails.
pub async fn cells(pool: &PgPool, tenant: Id, asked: &Asked<'_>, measure: &Measure) -> Result<Vec<Cell>, sqlx::Error> {
    let by = &asked.compiled.by;
    let fields = fields(asked);
    let all: Vec<usize> = (0..by.len()).collect();
    let mut subsets = vec![vec![]];
    for index in &all {
        let with: Vec<Vec<usize>> =
            subsets.iter().map(|subset| subset.iter().chain([index]).copied().collect()).collect();
        subsets.extend(with);
    }
    // What there is at the end of one period and of another does not add up.
    if let How::Level { .. } = measure.how {
        let periods = |index: &usize| matches!(by.get(*index), Some(By::Period(_)));
        let whole: Vec<usize> = all.iter().copied().filter(periods).collect();
        subsets.retain(|subset| whole.iter().all(|index| subset.contains(index)));
    }
    // Where a record has several values, a total counts it once.
    let several = by.iter().any(|by| matches!(by, By::Field(_, kind) if kind.is_set()));
    let statements: Vec<(Vec<usize>, Vec<Vec<usize>>)> = if several {
        subsets.into_iter().map(|subset| (subset.clone(), vec![subset])).collect()
    } else {
        vec![(all, subsets)]
    };
    let mut cells = Vec::new();
    for (which, sets) in statements {
        let mut statement = Statement::new(asked, tenant, measure, &fields);
        let names = |set: &[usize]| set.iter().map(|index| format!("k{index}")).collect::<Vec<_>>().join(", ");
        let keys = names(&which);
        let grouping = if which.is_empty() { "0".to_owned() } else { format!("grouping({keys})") };
        let begin = format!(
            "select jsonb_build_array({keys})::text as keys, {grouping} as totalled, count(*)::bigint as count"
        );
        let end: Vec<String> = sets.iter().map(|set| format!("({})", names(set))).collect();
        let end = format!(" group by grouping sets ({})", end.join(", "));
        match measure.unit {
            Unit::Count => {
                statement.sql.push(" ").push(&begin).push(", null::text[] as spread, null::bigint[] as bars from ");
                statement.keyed(&which);
                statement.sql.push(&end);
            }
            Unit::Money => {
                let sums = ", array[currency, sum(measured)::text] as spread, null::bigint[] as bars from ";
                statement.sql.push(" ").push(&begin).push(sums);
                statement.keyed(&which);
                let comma = |set: &Vec<usize>| if set.is_empty() { "" } else { ", " };
                let sets: Vec<String> =
                    sets.iter().map(|set| format!("({}{}currency)", names(set), comma(set))).collect();
                let end = format!(" where currency is not null group by grouping sets ({})", sets.join(", "));
                statement.sql.push(&end);
            }
            unit => {
                let scale = scale(unit);
                let told = [
                    "sum".to_owned(),
                    "sum / nullif(count, 0)".to_owned(),
                    "ordered[1]".to_owned(),
                    ranked("0.5"),
                    ranked("0.9"),
                    "ordered[count]".to_owned(),
                ];
                let told = told.map(|value| format!("round(({value})::numeric / {scale}, 6)::text")).join(", ");
                statement.sql.push(&format!(" select keys, totalled, count, array[{told}] as spread, bars from ("));
                statement.sql.push(&begin).push(
                    ", sum(measured)::numeric as sum, array_agg(measured order by measured)::numeric[] as ordered, array[",
                );
                let mut before = None;
                for end in HISTOGRAM.iter().map(Some).chain([None]) {
                    let from = before.map_or(String::new(), |from| format!("measured >= {}", from * scale));
                    let to = end.map_or(String::new(), |to| format!("measured < {}", to * scale));
                    let and = if from.is_empty() || to.is_empty() { "" } else { " and " };
                    let comma = if before.is_none() { "" } else { ", " };
                    statement.sql.push(&format!("{comma}count(*) filter (where {from}{and}{to})"));
                    before = end.copied();
                }
                statement.sql.push("]::bigint[] as bars from ");
                statement.keyed(&which);
                statement.sql.push(&end).push(") told");
            }
        }
        let query = sqlx::query_as(AssertSqlSafe(statement.sql.text.as_str()));
        type Row = (String, i32, i64, Option<Vec<Option<String>>>, Option<Vec<i64>>);
        let rows: Vec<Row> = Sql::supply(statement.sql.values.clone(), query).fetch_all(pool).await?;
        for (keys, totalled, count, spread, bars) in rows {
            let keys: Vec<Value> = serde_json::from_str(&keys).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let mut key = vec![None; by.len()];
            for ((place, index), value) in which.iter().enumerate().zip(keys) {
                let taken_together = totalled >> (which.len() - 1 - place) & 1 == 1;
                if let Some(slot) = key.get_mut(*index).filter(|_| !taken_together) {
                    *slot = Some(
                        asked
                            .clocks
                            .get(*index)
                            .and_then(Option::as_ref)
                            .map_or(value.clone(), |clock| clock.called(&value)),
                    );
                }
            }
            let figure = match spread {
                None => Figure::Count(count),
                Some(spread) if measure.unit == Unit::Money => {
                    let mut told = spread.into_iter().flatten();
                    Figure::Money(told.next().zip(told.next()).into_iter().collect())
                }
                Some(spread) => {
                    let told = SPREAD.into_iter().zip(spread);
                    let values = told.filter_map(|(name, text)| Some((name, number(text?.as_str())?))).collect();
                    let histogram = if measure.unit == Unit::Seconds { bars.unwrap_or_default() } else { Vec::new() };
                    Figure::Spread(Spread { count, values, histogram })
                }
            };
            cells.push(Cell { key, figure });
        }
    }
    Ok(cells)
}

/// Where a page of items begins: after this one.
pub type After = (Time, Id, i64);

/// The items behind a number: those of a measure at this key, dimensions that it does not name taken together. In the order
/// in which they happened.
///
/// # Errors
/// When the database fails.
pub async fn behind(
    pool: &PgPool,
    tenant: Id,
    asked: &Asked<'_>,
    measure: &Measure,
    key: &Map<String, Value>,
    (after, limit): (Option<After>, i64),
) -> Result<Vec<Item>, sqlx::Error> {
    let kind = asked.compiled.source.kind;
    let mut statement = Statement::new(asked, tenant, measure, &fields(asked));
    let named = |by: &By| match by {
        By::Field(name, _) => key.get(name),
        By::Period(division) => key.get(division.name()),
    };
    let which: Vec<usize> =
        (0..).zip(&asked.compiled.by).filter(|(_, by)| named(by).is_some()).map(|(index, _)| index).collect();
    statement.sql.push(&format!(
        " select record_id, at, position, {}, read_name($1, '{kind}', record_id) from ",
        match measure.unit {
            Unit::Money => {
                "null::text, jsonb_build_object('amount', measured::text, 'currency', currency)".to_owned()
            }
            unit => format!("round(measured::numeric / {}, 6)::text, null::jsonb", scale(unit)),
        }
    ));
    statement.keyed(&which);
    let mut joined = " where ";
    for index in which {
        let Some((by, value)) = asked.compiled.by.get(index).and_then(|by| Some((by, named(by)?))) else { continue };
        statement.sql.push(joined).push("to_jsonb(").push(&format!("k{index}")).push(") is not distinct from ");
        joined = " and ";
        let wanted = match asked.clocks.get(index).and_then(Option::as_ref) {
            Some(clock) if matches!(by, By::Period(_)) => clock.number(value).unwrap_or(json!(-1)),
            _ => value.clone(),
        };
        match wanted {
            Value::Null => drop(statement.sql.push("null::jsonb")),
            wanted => drop(statement.sql.bind(Bound::Json(wanted))),
        }
    }
    if let Some((at, id, position)) = after {
        statement.sql.push(joined).push("(at, record_id, position) > (").bind(Scalar::Time(at)).push(", ");
        statement.sql.bind(id.to_string().as_str()).push(" collate \"C\", ").bind(Scalar::Integer(position)).push(")");
    }
    statement.sql.push(&format!(" order by at, record_id, position limit {limit}"));
    type Row = (String, jiff_sqlx::Timestamp, i64, Option<String>, Option<Value>, Option<String>);
    let query = sqlx::query_as(AssertSqlSafe(statement.sql.text.as_str()));
    let rows: Vec<Row> = Sql::supply(statement.sql.values.clone(), query).fetch_all(pool).await?;
    let item = |(id, at, position, value, money, name): Row| {
        let id = id.parse().map_err(|_| sqlx::Error::Decode("a record has no id".into()))?;
        Ok(Item { id, at: at.to_jiff(), position, value: value.as_deref().and_then(number), money, name })
    };
    let mut items = rows.into_iter().map(item).collect::<Result<Vec<Item>, sqlx::Error>>()?;
    let record = |item: &Item| Subject::new(kind, item.id);
    let hidden = hidden(&mut *pool.acquire().await?, tenant, asked.sight, items.iter().map(record).collect()).await?;
    items.iter_mut().filter(|item| hidden.contains(&record(item))).for_each(|item| item.name = None);
    Ok(items)
}

/// What records are called now, of whichever of some kinds they are, if they are seen.
///
/// # Errors
/// When the database fails.
pub async fn names(
    pool: &PgPool,
    tenant: Id,
    sight: &Sight,
    kinds: &[&str],
    ids: BTreeSet<String>,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "select k.kind, i.id, n.name from unnest($2::text[]) i (id) cross join unnest($3::text[]) k (kind)
         cross join lateral (select read_name($1, k.kind, i.id) as name) n where n.name is not null",
    )
    .bind(tenant.to_string())
    .bind(ids.into_iter().collect::<Vec<_>>())
    .bind(kinds)
    .fetch_all(pool)
    .await?;
    let named = |(kind, id, name): (String, String, String)| Some((Subject::new(&kind, id.parse().ok()?), name));
    let found: Vec<(Subject, String)> = found.into_iter().filter_map(named).collect();
    let records = found.iter().map(|(record, _)| record.clone()).collect();
    let hidden = hidden(&mut *pool.acquire().await?, tenant, sight, records).await?;
    let seen = found.into_iter().filter(|(record, _)| !hidden.contains(record));
    Ok(seen.map(|(record, name)| (record.id.to_string(), name)).collect())
}

/// How records of some kinds look beside others.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Badge {
    /// The colour, as `#rrggbb`.
    pub color: Option<String>,
    /// The name of the icon.
    pub icon: Option<String>,
}

/// The badges of records of these kinds, of those that have one.
pub async fn badges(
    pool: &PgPool,
    tenant: Id,
    kinds: &[&str],
    ids: impl Iterator<Item = &String>,
) -> Result<BTreeMap<String, Badge>, sqlx::Error> {
    const BADGED: [(&str, &str); 2] = [
        ("product", "select id, color, icon from read_product_catalogue"),
        ("label", "select id, color, null::text as icon from read_labels"),
    ];
    let ids: Vec<String> = ids.cloned().collect();
    let mut badges = BTreeMap::new();
    for (_, select) in BADGED.iter().filter(|(kind, _)| kinds.contains(kind) && !ids.is_empty()) {
        let having = format!("{select} where tenant_id = $1 and id = any($2)");
        let found: Vec<(String, Option<String>, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(having)).bind(tenant.to_string()).bind(&ids).fetch_all(pool).await?;
        let badged = found.into_iter().filter(|(_, color, icon)| color.is_some() || icon.is_some());
        badges.extend(badged.map(|(id, color, icon)| (id, Badge { color, icon })));
    }
    Ok(badges)
}

/// When the first thing that reports could count happened, as far as is known.
///
/// # Errors
/// When the database fails.
pub async fn beginning(pool: &PgPool, tenant: Id, kind: &str, known: i64) -> Result<Option<Time>, sqlx::Error> {
    let first: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select min(at) from read_fact_moments where tenant_id = $1 and kind = $2 and position <= $3",
    )
    .bind(tenant.to_string())
    .bind(kind)
    .bind(known)
    .fetch_one(pool)
    .await?;
    Ok(first.map(jiff_sqlx::Timestamp::to_jiff))
}
