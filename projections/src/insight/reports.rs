//! The numbers of a report, and the records behind each of them: one statement for each measure, over the facts known at a
//! position of the log.
//!
//! A statement has three steps. Items are what counts: each is of a record, at an instant, perhaps with a length or a score. To
//! each the values of its dimensions are looked up, as they were at that instant or as they are now. Then they are grouped.
//!
//! What the dashboards that are shipped ask again and again is worked out as it is told (`domain/src/insight/facts/ahead.rs`): its items
//! are found with their values, and no other facts are looked at. Both ways find the same.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Id, Time,
    insight::{
        clock::Clock,
        definition::{By, Compiled, Values},
        facts::{self, Dimension, How, MERGED, Measure, Unit},
    },
    kernel::{
        filter::{FieldKind, Filter, Scalar},
        merging,
        reference::Subject,
    },
};
use serde_json::{Map, Number, Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::{
    Sight,
    kernel::{
        sight::Seen,
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
    /// Whether that is as far as the tables go: what is worked out ahead may be asked then.
    pub is_now: bool,
    /// Only what had happened by then, if an instant of the past is asked about.
    pub happened: Option<Time>,
    /// The stretches of work by which lengths are measured, if they are business time.
    pub calendar: Option<&'a [(Time, Time)]>,
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

/// One of what was counted at one knowing and not at another, or with another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// As it is counted, or was.
    pub item: Item,
    /// Which of those of its record at that instant.
    pub turn: i64,
    /// How it differs.
    pub change: Change,
    /// Of one that was counted with another value: that length or score.
    pub value_before: Option<Number>,
    /// Of one that was counted with another amount: that.
    pub money_before: Option<Value>,
}

/// How what is counted differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is counted, and was not.
    Came,
    /// It was counted, and is not.
    Went,
    /// It is counted with another value.
    Changed,
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
    /// Whether a row of `t` stands for `times` items.
    is_summed: bool,
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

/// How much was worked before an instant, in microseconds.
fn worked(at: &str) -> String {
    format!(
        "(select coalesce(sums[k] + least(lengths[k], {}), 0)
          from calendar cross join lateral width_bucket({at}, starts) k)",
        micros(at, "starts[k]")
    )
}

impl Asked<'_> {
    /// The condition on a row of facts that it is known, and had happened.
    fn cut(&self, row: &str) -> String {
        let happened = self.happened.map(|at| format!(" and {row}at <= '{at}'"));
        format!("{row}position <= {}{}", self.known, happened.unwrap_or_default())
    }

    /// How long it was, by the clock or by the hours of work.
    fn length(&self, later: &str, earlier: &str) -> String {
        match self.calendar {
            None => micros(later, earlier),
            Some(_) => format!("({} - {})", worked(later), worked(earlier)),
        }
    }

    /// What is known of moments.
    fn moments(&self, kind: &str, words: &[&str]) -> String {
        format!("tenant_id = $1 and kind = '{kind}' and moment in ({}) and {}", quoted(words), self.cut(""))
    }

    /// What is known of the values of a dimension.
    fn told(&self, kind: &str, dimension: &str) -> String {
        let cut = self.cut("");
        format!("tenant_id = $1 and kind = '{kind}' and dimension = '{dimension}' and part = '' and {cut}")
    }

    /// The stretches in which a dimension had one value: of what happened at one instant the last counts, and a value that is
    /// said again goes on.
    fn stretches(&self, kind: &str, dimension: &str) -> String {
        format!(
            "(select record_id, value, at, position, lead(at) over turns as until, lead(position) over turns as ended
              from (select record_id, value, at, position, lag(value) over (partition by record_id order by at) as before
                    from (select distinct on (record_id, at) record_id, value, at, position from read_fact_values
                          where {} order by record_id, at, position desc) last) told
              where before is distinct from value
              window turns as (partition by record_id order by at))",
            self.told(kind, dimension)
        )
    }

    /// The same, only while another dimension has a value.
    fn within(&self, kind: &str, dimension: &str, within: Option<(&str, &str)>) -> String {
        let Some((other, value)) = within else { return self.stretches(kind, dimension) };
        format!(
            "(select * from (
                 select s.record_id, s.value, greatest(s.at, w.at) as at, least(s.until, w.until) as until,
                        case when w.at > s.at then w.position else s.position end as position,
                        case when w.until < s.until or s.until is null then w.ended else s.ended end as ended
                 from {} s join {} w using (record_id) where w.value #>> '{{}}' = '{value}') both_held
              where at < until or until is null)",
            self.stretches(kind, dimension),
            self.stretches(kind, other)
        )
    }

    /// The items of a measure. `$2` and `$3` are the range, `$4` where the periods end.
    fn items(&self, kind: &str, Measure { how, unit, worth, .. }: &Measure) -> String {
        let told = |of: &str, to: &[&str]| {
            format!("(select record_id, at, position, {of} from read_fact_moments where {})", self.moments(kind, to))
        };
        let all = |to: &[&str]| told("moment", to);
        match *how {
            How::Each(of) => format!(
                "select record_id, at, at as seen, position, {} from read_fact_moments
                 where {} and at >= $2 and at < $3",
                match unit {
                    Unit::Money if worth.is_none() => {
                        "(value ->> 'amount')::numeric as measured, value ->> 'currency' as currency"
                    }
                    Unit::Points => "(value #>> '{}')::bigint as measured",
                    Unit::Seconds => "(value #>> '{}')::bigint * 1000000 as measured",
                    _ => "null::bigint as measured",
                },
                self.moments(kind, of)
            ),
            How::Last { of, undone } => format!(
                "select record_id, at, at as seen, position, null::bigint as measured
                 from (select distinct on (record_id) * from {} m where at >= $2
                       order by record_id, at desc, position desc) last
                 where moment = '{of}'",
                all(&[of, undone])
            ),
            How::Level { dimension, value, within } => format!(
                "select record_id, bound - interval '1 microsecond' as at, bound - interval '1 microsecond' as seen,
                        position, null::bigint as measured
                 from (select s.*, ((select $4::text[]::timestamptz[]))[period + 1] as bound from {} s
                       cross join lateral generate_series(
                           greatest(1, width_bucket(s.at, (select $4::text[]::timestamptz[]))),
                           coalesce(width_bucket(s.until, (select $4::text[]::timestamptz[])),
                                    cardinality((select $4::text[]::timestamptz[]))) - 1) period
                       where s.value #>> '{{}}' = '{value}') held",
                self.within(kind, dimension, within)
            ),
            How::First { from, to } => format!(
                "select e.record_id, e.at, e.at as seen, e.position, {} as measured
                 from (select distinct on (record_id) * from {} m order by record_id, at, position) e
                 join {} b using (record_id)",
                self.length("e.at", "b.at"),
                all(to),
                all(&[from])
            ),
            How::Whole { from, to, undone } => format!(
                "select e.record_id, e.at, e.at as seen, e.position, {} as measured
                 from {} e join {} b using (record_id)",
                self.length("e.at", "b.at"),
                self.ends(kind, to, undone),
                all(&[from])
            ),
            How::OneTouch { to, undone, touch } => format!(
                "select e.record_id, e.at, e.at as seen, e.position, null::bigint as measured from {} e
                 where not e.taken_back and e.record_id in (
                     select record_id from {} m group by record_id having count(*) = 1)",
                self.ends(kind, to, undone),
                all(&[touch])
            ),
            How::Outcome { from, hoped, others, undone } => {
                let of: Vec<&str> = others.iter().copied().chain([hoped]).chain(undone).collect();
                let last = format!(
                    "(select distinct on (record_id) * from {} m order by record_id, at desc, position desc)",
                    all(&of)
                );
                match from {
                    None => format!(
                        "select record_id, at, at as seen, position, (moment = '{hoped}')::int::bigint as measured
                         from {last} last where moment <> '{}'",
                        undone.unwrap_or_default()
                    ),
                    Some(from) => format!(
                        "select b.record_id, b.at, b.at as seen, b.position,
                                coalesce(last.moment = '{hoped}', false)::int::bigint as measured
                         from {} b left join {last} last using (record_id)",
                        all(&[from])
                    ),
                }
            }
            How::Times { from, of } => format!(
                "select b.record_id, b.at, b.at as seen, b.position, coalesce(n.times, 0) as measured
                 from {} b left join (select record_id, count(*) as times from {} m group by record_id) n using (record_id)",
                all(&[from]),
                all(&[of])
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
                self.length("at", "since"),
                all(&[from, to])
            ),
            How::Held { dimension, within } => format!(
                "select record_id, until as at, until - interval '1 microsecond' as seen, ended as position,
                        {} as measured
                 from {} s where value is not null and until is not null",
                self.length("until", "at"),
                self.within(kind, dimension, within)
            ),
        }
    }

    /// Whether the items of a measure are worked out ahead with all that is asked of them.
    fn is_ahead(&self, measure: &Measure, fields: &BTreeMap<String, FieldKind>) -> bool {
        let source = self.compiled.source;
        let is_beside = |name: &String| {
            let dimension = source.dimension(name);
            let by = dimension.and_then(|dimension| dimension.via).map_or(name.as_str(), |(by, ..)| by);
            source.ahead.contains(&by)
        };
        let is_elapsed = measure.unit != Unit::Seconds || self.calendar.is_none();
        let is_now = self.is_now && self.happened.is_none() && self.values == Values::Then;
        measure.ahead && is_now && is_elapsed && fields.keys().all(is_beside)
    }

    /// The items of a measure that are worked out ahead, with their values. `$2` to `$4` are as for others.
    fn items_ahead(&self, kind: &str, measure: &Measure) -> String {
        let of = format!("i.tenant_id = $1 and i.kind = '{kind}' and i.measure = '{}'", measure.name);
        match measure.how {
            How::Level { .. } => format!(
                "select record_id, bound - interval '1 microsecond' as at, bound - interval '1 microsecond' as seen,
                        0::bigint as position, null::bigint as measured, dims
                 from (select i.*, ((select $4::text[]::timestamptz[]))[period + 1] as bound from read_fact_items i
                       cross join lateral generate_series(
                           greatest(1, width_bucket(i.at, (select $4::text[]::timestamptz[]))),
                           width_bucket(i.until, (select $4::text[]::timestamptz[])) - 1) period
                       where {of} and i.until >= ((select $4::text[]::timestamptz[]))[2] and i.at < $3) held"
            ),
            how => format!(
                "select record_id, at, {} as seen, 0::bigint as position, measured, dims from read_fact_items i
                 where {of} and i.until >= $2 and i.until < $3",
                if matches!(how, How::Held { .. }) { "at - interval '1 microsecond'" } else { "at" }
            ),
        }
    }

    /// How many records of a level there are at the end of each period for each combination of values, worked out ahead. All those that
    /// begin and end in the same periods are counted together, and only then told apart by period.
    fn levels_ahead(&self, kind: &str, measure: &Measure, values: &[(String, String)]) -> String {
        let columns: String = values.iter().map(|(name, value)| format!(", {value} as {name}")).collect();
        let names: String = values.iter().map(|(name, _)| format!(", {name}")).collect();
        format!(
            "(select null::text as record_id, bound - interval '1 microsecond' as at, 0::bigint as position,
                     null::bigint as measured, times{names}
              from (select greatest(1, width_bucket(i.at, (select $4::text[]::timestamptz[]))) as begun,
                           width_bucket(i.until, (select $4::text[]::timestamptz[])) as ended, count(*) as times{columns}
                    from read_fact_items i
                    where i.tenant_id = $1 and i.kind = '{kind}' and i.measure = '{}'
                      and i.until >= ((select $4::text[]::timestamptz[]))[2] and i.at < $3
                    group by 1, 2{names}) held
              cross join lateral generate_series(begun, ended - 1) period
              cross join lateral (select ((select $4::text[]::timestamptz[]))[period + 1] as bound) b
              where bound > $2 and bound <= $3)",
            measure.name
        )
    }

    /// Of each record the first of the moments that end it after which nothing was taken back, and whether anything was before.
    fn ends(&self, kind: &str, to: &[&str], undone: &str) -> String {
        let all: Vec<&str> = to.iter().copied().chain([undone]).collect();
        format!(
            "(select distinct on (record_id) record_id, at, position, later < whole as taken_back
              from (select record_id, at, position, moment,
                           count(*) filter (where moment = '{undone}') over (partition by record_id) as whole,
                           count(*) filter (where moment = '{undone}') over (
                               partition by record_id order by at desc, position desc) as later
                    from read_fact_moments where {}) told
              where moment <> '{undone}' and later = 0 order by record_id, at, position)",
            self.moments(kind, &all)
        )
    }

    /// The records of a kind that are a part of another one as far as is known, each with the one that goes on, through chains.
    fn gone(&self, kind: &str) -> String {
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
            self.told(kind, MERGED)
        )
    }

    /// A join that finds the value of a dimension of a record at an instant.
    fn value_of(&self, kind: &str, sql: &mut Sql, dimension: &str, record: &str, seen: &str, alias: &str) -> String {
        sql.values.push(dimension.into());
        format!(
            " left join lateral (select v.value from read_fact_values v
                  where v.tenant_id = $1 and v.kind = '{kind}' and v.dimension = ${} and v.record_id = {record}
                    and v.part = '' and v.at <= {seen} and {}
                  order by v.at desc, v.position desc limit 1) {alias} on true",
            sql.values.len(),
            self.cut("v.")
        )
    }
}

/// The dimensions that name records which may be merged, with the kinds of these.
fn merging_kinds(dimension: &Dimension) -> impl Iterator<Item = &'static str> {
    let refers = dimension.refers;
    merging::KINDS.iter().copied().filter(move |kind| refers.contains(kind))
}

impl<'a> Statement<'a> {
    /// What counts for a measure, with its fields. `sql` is one that has the values of another statement about the same range, or
    /// none.
    fn new(
        asked: &'a Asked<'a>,
        tenant: Id,
        measure: &Measure,
        fields: &BTreeMap<String, FieldKind>,
        mut sql: Sql,
    ) -> Self {
        let source = asked.compiled.source;
        let kind = source.kind;
        let bounds = asked.clocks.iter().flatten().find(|clock| !clock.is_cyclic()).map(|clock| clock.bounds.clone());
        let bounds = bounds.unwrap_or_else(|| vec![asked.range.0, asked.range.1]);
        if sql.values.is_empty() {
            sql.values = vec![
                Scalar::Text(tenant.to_string()).into(),
                Scalar::Time(asked.range.0).into(),
                Scalar::Time(asked.range.1).into(),
                Bound::Texts(bounds.iter().map(ToString::to_string).collect()),
            ];
        }
        // PostgreSQL must learn the type of a placeholder that only some measures use.
        sql.push("with recursive asked as (select $4::text[]), ");
        if let Some(calendar) = asked.calendar {
            let lengths = calendar.iter().map(|(open, shut)| shut.as_microsecond() - open.as_microsecond());
            let mut before = 0;
            let sums = lengths.clone().map(|length| {
                before += length;
                (before - length).to_string()
            });
            let sums = sums.collect();
            let starts = calendar.iter().map(|(open, _)| open.to_string()).collect();
            let lengths = lengths.map(|length| length.to_string()).collect();
            sql.push("calendar as materialized (select ").bind(Bound::Texts(starts));
            sql.push("::text[]::timestamptz[] as starts, ").bind(Bound::Texts(sums));
            sql.push("::text[]::bigint[] as sums, ").bind(Bound::Texts(lengths));
            sql.push("::text[]::bigint[] as lengths), ");
        }
        let is_ahead = asked.is_ahead(measure, fields);
        let beside = |name: &str| {
            let place = source.ahead.iter().position(|known| *known == name);
            place.filter(|_| is_ahead).map(|place| format!("(i.dims[{}]) collate \"C\"", place + 1))
        };
        let is_level = matches!(measure.how, How::Level { .. }) && matches!(asked.sight, Sight::Everything);
        if is_ahead && is_level && fields.keys().all(|name| beside(name).is_some()) {
            let typed = |(name, kind): (&String, &FieldKind)| Some((name.clone(), typed(beside(name)?, *kind)));
            let values: Vec<(String, String)> = fields.iter().filter_map(typed).collect();
            sql.push("t as ").push(&asked.levels_ahead(kind, measure, &values));
            return Statement { asked, sql, is_summed: true };
        }
        let items = if is_ahead { asked.items_ahead(kind, measure) } else { asked.items(kind, measure) };
        sql.push("item as (").push(&items).push(")");
        let dimensions: Vec<&Dimension> = fields.keys().filter_map(|name| source.dimension(name)).collect();
        let mut merged: BTreeSet<&str> = dimensions.iter().flat_map(|dimension| merging_kinds(dimension)).collect();
        let may_be_parts = !measure.parts && !is_ahead;
        if may_be_parts {
            merged.insert(kind);
        }
        for kind in &merged {
            sql.push(&asked.gone(kind));
        }
        let mut joins = String::new();
        sql.push(", t as (select i.record_id, i.at, i.position, ");
        let counted = match (measure.worth, measure.unit) {
            (Some(of), _) => {
                joins = asked.value_of(kind, &mut sql, of, "i.record_id", "i.seen", "worth");
                "(worth.value ->> 'amount')::numeric as measured, worth.value ->> 'currency' as currency"
            }
            (None, Unit::Money) => "i.measured, i.currency",
            (None, _) => "i.measured",
        };
        sql.push(counted);
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
                joins.push_str(&asked.value_of(
                    source.kind,
                    &mut sql,
                    &dimension,
                    "i.record_id",
                    seen,
                    &format!("f{index}"),
                ));
                continue;
            }
            let Some(dimension) = source.dimension(name) else { continue };
            if kind.is_set() {
                joins.push_str(&format!(
                    " left join lateral (select array_agg(part order by part) as parts from (
                          select distinct on (v.part) v.part, v.value from read_fact_values v
                          where v.tenant_id = $1 and v.kind = '{}' and v.dimension = '{name}' and v.record_id = i.record_id
                            and v.at <= {seen} and {}
                          order by v.part, v.at desc, v.position desc) p where value is not null) f{index} on true",
                    source.kind,
                    asked.cut("v.")
                ));
                sql.push(&format!(", f{index}.parts as {name}"));
                continue;
            }
            let (of, over, record) = match dimension.via {
                None => (source.kind, name.as_str(), "i.record_id".to_owned()),
                Some((by, kind, over)) => {
                    let whose = format!("g{index}");
                    let value = beside(by).unwrap_or_else(|| {
                        joins.push_str(&asked.value_of(source.kind, &mut sql, by, "i.record_id", seen, &whose));
                        format!("({whose}.value #>> '{{}}') collate \"C\"")
                    });
                    (kind, over, value)
                }
            };
            let mut value = beside(name).unwrap_or_else(|| {
                joins.push_str(&asked.value_of(of, &mut sql, over, &record, seen, &format!("f{index}")));
                format!("(f{index}.value #>> '{{}}') collate \"C\"")
            });
            for kind in merging_kinds(dimension) {
                joins.push_str(&format!(
                    " left join gone_{kind} m{index}_{kind} on m{index}_{kind}.record_id = {value}"
                ));
                value = format!("coalesce(m{index}_{kind}.into_id, {value})");
            }
            sql.push(&format!(", {} as {name}", typed(value, *kind)));
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
        sql.push(" from item i").push(&joins).push(" where i.at >= $2 and i.at < $3");
        if may_be_parts {
            sql.push(&format!(" and not exists (select from gone_{kind} g where g.record_id = i.record_id)"));
        }
        if let Sight::Walled(_) = asked.sight {
            let first = sql.values.len() + 1;
            sql.values.extend(asked.sight.values().into_iter().map(Bound::Texts));
            sql.push(" and ").push(&asked.sight.sees(first, &format!("'{kind}'::text collate \"C\""), "i.record_id"));
        }
        sql.push(")");
        Statement { asked, sql, is_summed: false }
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

    /// The same, of one number: those at this key, dimensions that it does not name taken together. Answers the word that joins
    /// further conditions.
    fn narrowed(&mut self, measure: &Measure, key: &Map<String, Value>) -> &'static str {
        let named = |by: &By| match by {
            By::Field(name, _) => key.get(name),
            By::Period(division) => key.get(division.name()),
        };
        let by = &self.asked.compiled.by;
        let which: Vec<usize> = (0..).zip(by).filter(|(_, by)| named(by).is_some()).map(|(index, _)| index).collect();
        self.keyed(&which);
        let mut joined = " where ";
        // Money that is none adds nothing to what is told.
        if measure.unit == Unit::Money {
            self.sql.push(" where currency is not null");
            joined = " and ";
        }
        for index in which {
            let Some((by, value)) = by.get(index).and_then(|by| Some((by, named(by)?))) else { continue };
            self.sql.push(joined).push("to_jsonb(").push(&format!("k{index}")).push(") is not distinct from ");
            joined = " and ";
            let wanted = match self.asked.clocks.get(index).and_then(Option::as_ref) {
                Some(clock) if matches!(by, By::Period(_)) => clock.number(value).unwrap_or(json!(-1)),
                _ => value.clone(),
            };
            match wanted {
                Value::Null => drop(self.sql.push("null::jsonb")),
                wanted => drop(self.sql.bind(Bound::Json(wanted))),
            }
        }
        joined
    }
}

/// The text of a value as a value of its kind.
fn typed(text: String, kind: FieldKind) -> String {
    match kind {
        FieldKind::Integer => format!("({text})::bigint"),
        FieldKind::Bool => format!("({text})::boolean"),
        _ => text,
    }
}

fn of_custom(name: &str, key: &str) -> bool {
    name.strip_prefix("custom.").is_some_and(|path| path.split('.').next() == Some(key))
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
pub async fn cells(
    db: &mut PgConnection,
    tenant: Id,
    asked: &Asked<'_>,
    measure: &Measure,
) -> Result<Vec<Cell>, sqlx::Error> {
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
        let mut statement = Statement::new(asked, tenant, measure, &fields, Sql::default());
        let names = |set: &[usize]| set.iter().map(|index| format!("k{index}")).collect::<Vec<_>>().join(", ");
        let keys = names(&which);
        let grouping = if which.is_empty() { "0".to_owned() } else { format!("grouping({keys})") };
        let count = if statement.is_summed { "coalesce(sum(times), 0)" } else { "count(*)" };
        let begin =
            format!("select jsonb_build_array({keys})::text as keys, {grouping} as totalled, {count}::bigint as count");
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
        let rows: Vec<Row> = Sql::supply(statement.sql.values.clone(), query).fetch_all(&mut *db).await?;
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
    let mut statement = Statement::new(asked, tenant, measure, &fields(asked), Sql::default());
    statement.sql.push(&format!(
        " select record_id, at, position, {}, read_name($1, '{kind}', record_id) from ",
        told(measure, "measured", "currency").join(", ")
    ));
    let joined = statement.narrowed(measure, key);
    if let Some((at, id, position)) = after {
        statement.sql.push(joined).push("(at, record_id, position) > (").bind(Scalar::Time(at)).push(", ");
        statement.sql.bind(id.to_string().as_str()).push(" collate \"C\", ").bind(Scalar::Integer(position)).push(")");
    }
    statement.sql.push(&format!(" order by at, record_id, position limit {limit}"));
    type Row = (String, jiff_sqlx::Timestamp, i64, Option<String>, Option<Value>, Option<String>);
    let query = sqlx::query_as(AssertSqlSafe(statement.sql.text.as_str()));
    let rows: Vec<Row> = Sql::supply(statement.sql.values.clone(), query).fetch_all(pool).await?;
    let item = |(id, at, position, value, money, name): Row| {
        let value = value.as_deref().and_then(number);
        Ok(Item { id: id_of(&id)?, at: at.to_jiff(), position, value, money, name })
    };
    let mut items = rows.into_iter().map(item).collect::<Result<Vec<Item>, sqlx::Error>>()?;
    unname(pool, tenant, asked, items.iter_mut()).await?;
    Ok(items)
}

fn id_of(text: &str) -> Result<Id, sqlx::Error> {
    text.parse().map_err(|_| sqlx::Error::Decode("a record has no id".into()))
}

/// The value and the money of an item, as they are told.
fn told(measure: &Measure, measured: &str, currency: &str) -> [String; 2] {
    match measure.unit {
        Unit::Money => {
            let money = format!("jsonb_build_object('amount', {measured}::text, 'currency', {currency})");
            ["null::text".to_owned(), format!("case when {currency} is not null then {money} end")]
        }
        unit => [format!("round({measured}::numeric / {}, 6)::text", scale(unit)), "null::jsonb".to_owned()],
    }
}

/// Takes away the names of records that whoever asks does not see.
async fn unname(
    pool: &PgPool,
    tenant: Id,
    asked: &Asked<'_>,
    items: impl Iterator<Item = &mut Item>,
) -> Result<(), sqlx::Error> {
    let kind = asked.compiled.source.kind;
    let items: Vec<&mut Item> = items.collect();
    let record = |item: &Item| Subject::new(kind, item.id);
    let records = items.iter().map(|item| record(item)).collect();
    let hidden = hidden(&mut *pool.acquire().await?, tenant, asked.sight, records).await?;
    items.into_iter().filter(|item| hidden.contains(&record(item))).for_each(|item| item.name = None);
    Ok(())
}

/// What counts for a number at one knowing and not at another, or with another value: both are asked about the same range. In the
/// order in which it happened; `after` has the turn of the last one instead of its position.
///
/// # Errors
/// When the database fails.
pub async fn differences(
    pool: &PgPool,
    tenant: Id,
    (before, asked): (&Asked<'_>, &Asked<'_>),
    measure: &Measure,
    key: &Map<String, Value>,
    (after, limit): (Option<After>, i64),
) -> Result<Vec<Difference>, sqlx::Error> {
    let kind = asked.compiled.source.kind;
    let mut sql = Sql::default();
    let mut sides = Vec::new();
    for asked in [before, asked] {
        let mut statement = Statement::new(asked, tenant, measure, &fields(asked), sql);
        let currency = if measure.unit == Unit::Money { "currency" } else { "null::text as currency" };
        statement.sql.push(&format!(
            " select record_id, at, position, measured, {currency},
                     row_number() over (partition by record_id, at order by position) as turn from "
        ));
        statement.narrowed(measure, key);
        sides.push(std::mem::take(&mut statement.sql.text));
        sql = statement.sql;
    }
    let mut sides = sides.into_iter();
    let [value, money] = told(measure, "measured", "currency");
    let [value_before, money_before] = told(measure, "measured_before", "currency_before");
    sql.push(&format!(
        "select id, at, position, turn, came, went, {value} as value, {money} as money, {value_before} as value_before,
                {money_before} as money_before, read_name($1, '{kind}', id) as name from (
        select record_id as id, at, turn, coalesce(i.position, w.position) as position,
               w.turn is null as came, i.turn is null as went,
               coalesce(i.measured, w.measured) as measured, coalesce(i.currency, w.currency) as currency,
               w.measured as measured_before, w.currency as currency_before
        from ("
    ));
    sql.push(&sides.next().unwrap_or_default()).push(") w full join (").push(&sides.next().unwrap_or_default());
    sql.push(
        ") i using (record_id, at, turn)
        where w.turn is null or i.turn is null or (w.measured, w.currency) is distinct from (i.measured, i.currency)) x",
    );
    if let Some((at, id, turn)) = after {
        sql.push(" where (at, id, turn) > (").bind(Scalar::Time(at)).push(", ").bind(id.to_string().as_str());
        sql.push(" collate \"C\", ").bind(Scalar::Integer(turn)).push(")");
    }
    sql.push(&format!(" order by at, id, turn limit {limit}"));
    #[derive(sqlx::FromRow)]
    struct Row {
        id: String,
        at: jiff_sqlx::Timestamp,
        position: i64,
        turn: i64,
        came: bool,
        went: bool,
        value: Option<String>,
        money: Option<Value>,
        value_before: Option<String>,
        money_before: Option<Value>,
        name: Option<String>,
    }
    let query = sqlx::query_as(AssertSqlSafe(sql.text.as_str()));
    let rows: Vec<Row> = Sql::supply(sql.values.clone(), query).fetch_all(pool).await?;
    let difference = |row: Row| {
        let change = match (row.came, row.went) {
            (true, _) => Change::Came,
            (_, true) => Change::Went,
            _ => Change::Changed,
        };
        let changed = change == Change::Changed;
        let read = |text: Option<String>| text.as_deref().and_then(number);
        let (id, at) = (id_of(&row.id)?, row.at.to_jiff());
        let item = Item { id, at, position: row.position, value: read(row.value), money: row.money, name: row.name };
        let value_before = read(row.value_before).filter(|_| changed);
        Ok(Difference {
            item,
            turn: row.turn,
            change,
            value_before,
            money_before: row.money_before.filter(|_| changed),
        })
    };
    let mut found = rows.into_iter().map(difference).collect::<Result<Vec<Difference>, sqlx::Error>>()?;
    unname(pool, tenant, asked, found.iter_mut().map(|difference| &mut difference.item)).await?;
    Ok(found)
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

/// When the first fact of a kind happened, whatever is known: no length begins before.
///
/// # Errors
/// When the database fails.
pub async fn earliest(pool: &PgPool, tenant: Id, kind: &str) -> Result<Option<Time>, sqlx::Error> {
    let first: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("select min(first_at) from read_facts where tenant_id = $1 and kind = $2")
            .bind(tenant.to_string())
            .bind(kind)
            .fetch_one(pool)
            .await?;
    Ok(first.map(jiff_sqlx::Timestamp::to_jiff))
}

/// When the first thing that reports could count happened, as far as is known, to a record that is seen.
///
/// # Errors
/// When the database fails.
pub async fn beginning(
    pool: &PgPool,
    tenant: Id,
    (kind, known): (&str, i64),
    sight: &Sight,
) -> Result<Option<Time>, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let seen = sight.over_kind(kind, &mut db, tenant).await?;
    // The first of each moment is one step in an index; the first of all would be all of them.
    let moments: Vec<&str> = facts::source(kind).map(facts::Source::moments).unwrap_or_default();
    let first = "select at as first from read_fact_moments f
                 where f.tenant_id = $1 and f.kind = $2 and f.moment = m.moment collate \"C\" and f.position <= $4";
    let (records, condition, values) = match &seen {
        Seen::Everything(_) | Seen::Sought(_) => ("", String::new(), Vec::new()),
        Seen::Few(few) => {
            let each = "cross join unnest($5::text[]) s (id)";
            (each, " and f.record_id = s.id collate \"C\"".to_owned(), vec![few.ids().to_vec()])
        }
        Seen::Many(sight) => ("", format!(" and {}", sight.sees(5, "f.kind", "f.record_id")), sight.values()),
    };
    let statement = format!(
        "select min(first) from unnest($3::text[]) m (moment) {records}
         cross join lateral ({first}{condition} order by at limit 1) f"
    );
    let mut query =
        sqlx::query_scalar(AssertSqlSafe(statement)).bind(tenant.to_string()).bind(kind).bind(moments).bind(known);
    for value in values {
        query = query.bind(value);
    }
    let first: Option<jiff_sqlx::Timestamp> = query.fetch_one(&mut *db).await?;
    Ok(first.map(jiff_sqlx::Timestamp::to_jiff))
}
