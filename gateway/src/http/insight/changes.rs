//! What the numbers of a report became between two knowings: number by number, with the records and events that made the
//! difference.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{Id, Money, Time, insight::definition::Definition, insight::facts::Unit};
use futures::stream;
use projections::insight::reports::{self, Change, Figure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reports::{
    Counted, DimensionData, Format, Key, Links, MeasureData, Numbers, Over, Past, Prepared, Range, TOLD, cursor,
    cursor_of, dimensions, figured, figures, known_at, number_of, posted, prepare, reflecting, saved,
};
use crate::{
    app::App,
    auth::Caller,
    http::kernel::{
        csv::{self, Dialect, Separator},
        events::page_size,
        request::{Body, Faults, Given},
        routes::Routes,
    },
    problem::Problem,
};

/// `GET /reports/{id}/changes`, `GET /reports/{id}/changes/records` and the same by `POST` for what is not saved.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/reports/{id}/changes", changes)
        .get("/reports/{id}/changes/records", records)
        .post("/reports/changes", run)
        .post("/reports/changes/records", run_records)
}

/// Between which two knowings, and over what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ChangeOptions {
    /// What was known then is compared: an instant, a day, which is taken to its end in the tenant's time zone, or a position of
    /// the log. Without it nothing was known yet.
    known_from: Option<String>,
    /// With what was known then; with what is known now by default.
    known_to: Option<String>,
    /// From this day on, in the report's time zone, or from this instant on; from the first fact by default.
    from: Option<String>,
    /// Up to and including this day, or up to this instant; up to now by default.
    to: Option<String>,
    /// A time zone from the IANA database instead of the report's.
    tz: Option<String>,
    /// JSON by default.
    format: Option<Format>,
    /// Whether CSV begins with a byte order mark, without which some spreadsheets do not read it as UTF-8.
    bom: Option<bool>,
    /// What stands between the cells of CSV.
    separator: Option<Separator>,
    /// Wait until the report reflects this position.
    min_position: Option<i64>,
}

/// Which number, and which part of the records that made its difference.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ChangeRecordOptions {
    /// The measure; the report's first by default.
    measure: Option<String>,
    /// The number's `key` as JSON text: a value for each dimension. Dimensions that are left out are taken together.
    cell: Option<String>,
    /// As for the numbers.
    known_from: Option<String>,
    /// As for the numbers.
    known_to: Option<String>,
    /// As for the numbers.
    from: Option<String>,
    /// As for the numbers.
    to: Option<String>,
    /// As for the numbers.
    tz: Option<String>,
    /// Entries on a page: 1 to 1000, 100 by default.
    limit: Option<i64>,
    /// The page after this cursor.
    after: Option<String>,
    /// Wait until the report reflects this position.
    min_position: Option<i64>,
}

/// What the numbers of a report became.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ReportChanges {
    /// The kind of records it is about.
    of: String,
    /// Over what it goes, both times.
    range: Range,
    /// The time zone of its periods.
    time_zone: String,
    /// What it is divided by.
    dimensions: Vec<DimensionData>,
    /// What it measures.
    measures: Vec<MeasureData>,
    /// The last position of the log that was known before.
    known_from: i64,
    /// The last position of the log that was known after.
    known_to: i64,
    /// The numbers that differ, in the order of the report.
    rows: Vec<ChangedRow>,
    /// The same for each value of each dimension by itself, and for everything.
    totals: Vec<ChangedRow>,
    /// Where to find the records that made a difference: the address takes `measure` and `cell` besides.
    links: Links,
}

/// Numbers that differ, with where they stand.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ChangedRow {
    /// The value of each dimension; in totals only of some.
    key: Map<String, Value>,
    /// By measure, those that differ.
    values: BTreeMap<String, Became>,
}

/// What a number was and what it became.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Became {
    /// What it was, as the report said it; null where it said nothing.
    before: Value,
    /// What it became; null where nothing is said any more.
    after: Value,
}

/// The records that made a difference.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ChangedRecords {
    /// In the order in which they happened.
    data: Vec<ChangedRecord>,
    /// The cursor of the next page; null on the last.
    next: Option<String>,
    /// The last position of the log that was known before.
    known_from: i64,
    /// The last position of the log that was known after.
    known_to: i64,
}

/// Something that counts at one knowing and not at the other, or with another value.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ChangedRecord {
    /// Whether it came, went, or counts with another value.
    change: Change,
    /// As it counts, or did.
    #[serde(flatten)]
    counted: Counted,
    /// Of what counts with another value: the length or the score before.
    value_before: Option<serde_json::Number>,
    /// Of what counts with another amount: the amount before.
    money_before: Option<Money>,
    /// What became known of the record in between. None where another record made the difference: one that it refers to.
    events: Vec<BecameKnown>,
}

/// An event that became known between two knowings.
#[derive(Clone, Serialize, JsonSchema)]
pub(in crate::http) struct BecameKnown {
    /// Its position in the log.
    position: i64,
    /// Its type.
    #[serde(rename = "type")]
    event_type: String,
    /// When it happened.
    occurred_at: Time,
    /// When it was told.
    recorded_at: Time,
}

/// A report at two knowings.
struct Compared {
    prepared: Prepared,
    before: i64,
}

async fn compared(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    (known_from, known_to): (Option<String>, Option<String>),
    (mut over, mut faults): (Over, Faults),
) -> Result<Compared, Problem> {
    if definition.is_list() {
        let detail = "A report that lists records has no numbers; ask for its lists as_of two moments.";
        return Err(Problem::invalid("report_shape_invalid", detail).at("/measures"));
    }
    let before = faults.check(known_at(app, caller, known_from.as_deref(), "/known_from").await)?.flatten();
    let before = before.unwrap_or_default();
    let after = faults.check(known_at(app, caller, known_to.as_deref(), "/known_to").await)?.flatten();
    if after.is_some_and(|after| before > after) {
        let detail = "What was known from a moment on is compared with what was known later.";
        faults.check::<()>(Err(Problem::invalid("report_range_invalid", detail).at("/known_from")))?;
    }
    over.past = Past { as_known_at: after.map(|after| after.to_string()), ..Past::default() };
    let prepared = prepare(app, caller, headers, definition, over, faults).await?;
    let before = before.min(prepared.known);
    Ok(Compared { prepared, before })
}

async fn changes(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<ChangeOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, definition) = saved(&app, &caller, &id).await?;
    answer(&app, &caller, &headers, Some(id), definition, options).await
}

async fn run(
    State(app): State<App>,
    caller: Caller,
    options: Given<ChangeOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let definition = posted(&caller, body)?;
    answer(&app, &caller, &headers, None, definition, options).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    id: Option<Id>,
    definition: Definition,
    options: Given<ChangeOptions>,
) -> Result<Response, Problem> {
    let Given { asked, faults } = options;
    let ChangeOptions { known_from, known_to, from, to, tz, format, bom, separator, min_position } = asked;
    let over = Over { from, to, tz, past: Past::default(), min_position };
    let Compared { prepared, before } =
        compared(app, caller, headers, &definition, (known_from, known_to), (over, faults)).await?;
    let (rows_before, totals_before) = figures(app, caller, &prepared, before).await?;
    let (rows, totals) = figures(app, caller, &prepared, prepared.known).await?;
    let differ = |mut before: super::reports::Rows, after: super::reports::Rows| {
        let mut told: BTreeMap<String, Numbers> = BTreeMap::new();
        let mut all = super::reports::Rows::default();
        for (name, (key, numbers)) in after.0 {
            let was = before.0.remove(&name).map(|(_, numbers)| numbers).unwrap_or_default();
            if was != numbers {
                told.insert(name.clone(), was);
                all.0.insert(name, (key, numbers));
            }
        }
        for (name, (key, numbers)) in before.0 {
            told.insert(name.clone(), numbers);
            all.0.insert(name, (key, Numbers::new()));
        }
        let ordered = all.ordered(&prepared).into_iter();
        let both = ordered.map(|(key, after)| {
            let before = told.remove(&super::reports::Rows::name(&key)).unwrap_or_default();
            (key, (before, after))
        });
        both.collect::<Vec<_>>()
    };
    let (rows, totals) = (differ(rows_before, rows), differ(totals_before, totals));
    let dimensions = dimensions(app, caller, &prepared, &rows).await?;
    let known = prepared.known;
    if format == Some(Format::Csv) {
        let dialect = Dialect { bom: bom.unwrap_or_default(), separator: separator.unwrap_or_default() };
        return Ok(reflecting(known, sheet(dialect, &dimensions, &prepared, rows)));
    }
    let range = Range { from: prepared.range.0, to: prepared.range.1 };
    let time_zone = prepared.zone.iana_name().unwrap_or("UTC").to_owned();
    let address = |id: Id| {
        let zone = time_zone.replace('+', "%2B");
        let (from, to) = (range.from, range.to);
        format!("/v1/reports/{id}/changes/records?from={from}&to={to}&tz={zone}&known_from={before}&known_to={known}")
    };
    let told = |rows: Vec<(Key, (Numbers, Numbers))>| rows.into_iter().map(|row| told(&dimensions, row)).collect();
    let (rows, totals) = (told(rows), told(totals));
    let changes = ReportChanges {
        of: definition.of,
        range,
        links: Links { records: id.map(address) },
        time_zone,
        measures: prepared.described(),
        known_from: before,
        known_to: known,
        rows,
        totals,
        dimensions,
    };
    Ok(reflecting(known, Json(changes).into_response()))
}

/// The measures that differ, each with what it was and what it became.
fn became(mut before: Numbers, mut after: Numbers) -> Vec<(&'static str, Option<Figure>, Option<Figure>)> {
    let names: BTreeSet<&'static str> = before.keys().chain(after.keys()).copied().collect();
    let both = names.into_iter().map(|name| (name, before.remove(name), after.remove(name)));
    both.filter(|(_, before, after)| before != after).collect()
}

fn told(dimensions: &[DimensionData], (key, (before, after)): (Key, (Numbers, Numbers))) -> ChangedRow {
    let named = dimensions.iter().zip(key).filter_map(|(dimension, value)| Some((dimension.name.clone(), value?)));
    let figure = |figure: Option<Figure>| figure.map(figured).unwrap_or_default();
    let values = became(before, after).into_iter();
    let values =
        values.map(|(name, before, after)| (name.to_owned(), Became { before: figure(before), after: figure(after) }));
    ChangedRow { key: named.collect(), values: values.collect() }
}

/// What differs as CSV: a line for each number and statistic, or currency.
fn sheet(
    dialect: Dialect,
    dimensions: &[DimensionData],
    prepared: &Prepared,
    rows: Vec<(Key, (Numbers, Numbers))>,
) -> Response {
    let mut columns = Vec::new();
    for dimension in dimensions {
        columns.push(dimension.name.clone());
        let base = dimension.name.trim_end_matches("_id");
        columns.extend(dimension.refers.then(|| format!("{base}_name")));
    }
    columns.extend(["measure", "before", "after"].map(ToOwned::to_owned));
    let mut lines = Vec::new();
    for (key, (before, after)) in rows {
        let mut begin = Vec::new();
        for (dimension, value) in dimensions.iter().zip(key) {
            let value = value.unwrap_or_default();
            begin.push(csv::cell(&value));
            if dimension.refers {
                let name = value.as_str().and_then(|id| dimension.names.get(id)).cloned();
                begin.push(csv::cell(&name.into()));
            }
        }
        for (name, before, after) in became(before, after) {
            let unit = prepared.compiled.source.measure(name).map(|measure| measure.unit);
            let [before, after] = [before, after].map(|figure| figure.map(figured).unwrap_or_default());
            let parts: Vec<String> = match unit {
                Some(Unit::Count) | None => Vec::new(),
                Some(Unit::Money) => {
                    let currencies = before.as_object().into_iter().chain(after.as_object()).flat_map(Map::keys);
                    currencies.cloned().collect::<BTreeSet<_>>().into_iter().collect()
                }
                Some(_) => TOLD.map(ToOwned::to_owned).to_vec(),
            };
            let mut line = |name: String, before: &Value, after: &Value| {
                if before != after {
                    let cells = [csv::cell(&name.into()), csv::cell(before), csv::cell(after)];
                    lines.push(begin.iter().cloned().chain(cells).collect());
                }
            };
            if parts.is_empty() {
                line(name.to_owned(), &before, &after);
            }
            for part in parts {
                line(format!("{name}.{part}"), &before[&part], &after[&part]);
            }
        }
    }
    csv::file("changes.csv", dialect, columns, stream::iter([Ok(lines)]))
}

async fn records(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<ChangeRecordOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, definition) = saved(&app, &caller, &id).await?;
    behind(&app, &caller, &headers, &definition, options).await
}

async fn run_records(
    State(app): State<App>,
    caller: Caller,
    options: Given<ChangeRecordOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let definition = posted(&caller, body)?;
    behind(&app, &caller, &headers, &definition, options).await
}

async fn behind(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    options: Given<ChangeRecordOptions>,
) -> Result<Response, Problem> {
    let Given { asked, mut faults } = options;
    let ChangeRecordOptions { measure, cell, known_from, known_to, from, to, tz, limit, after, min_position } = asked;
    let limit = faults.check(page_size(limit))?.unwrap_or_default();
    let after = faults.check(after.as_deref().map(cursor).transpose())?.flatten();
    let (name, cell) = number_of(definition, measure, cell, &mut faults)?;
    let over = Over { from, to, tz, past: Past::default(), min_position };
    let Compared { prepared, before } =
        compared(app, caller, headers, definition, (known_from, known_to), (over, faults)).await?;
    let measure = prepared.measure(&name)?;
    let sides = (&prepared.asked(before), &prepared.asked(prepared.known));
    let page = (after, limit + 1);
    let mut found = reports::differences(&app.reads().pool, caller.tenant, sides, measure, &cell, page).await?;
    let more = found.len() as i64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or_default());
    let next = found.last().filter(|_| more).map(|last| cursor_of(last.item.at, last.item.id, last.turn));
    let source = prepared.compiled.source;
    let streams: BTreeSet<String> = found.iter().map(|one| format!("{}-{}", source.kind, one.item.id)).collect();
    let streams: Vec<String> = streams.into_iter().collect();
    let between = (before, prepared.known);
    let mut known: BTreeMap<String, Vec<BecameKnown>> = BTreeMap::new();
    for event in app.log.read_between(&caller.tenant.to_string(), &streams, between).await? {
        // What says nothing of what is counted made no difference.
        if source.tells(&event.kind, &event.data).is_ok_and(|facts| !facts.is_empty()) {
            known.entry(event.key().to_owned()).or_default().push(BecameKnown {
                position: event.position,
                event_type: event.kind.to_string(),
                occurred_at: event.occurred_at,
                recorded_at: event.recorded_at,
            });
        }
    }
    let told = |one: reports::Difference| ChangedRecord {
        change: one.change,
        events: known.get(&one.item.id.to_string()).cloned().unwrap_or_default(),
        value_before: one.value_before,
        money_before: one.money_before.and_then(|money| serde_json::from_value(money).ok()),
        counted: prepared.counted(one.item),
    };
    let data = found.into_iter().map(told).collect();
    let changed = ChangedRecords { data, next, known_from: before, known_to: prepared.known };
    Ok(reflecting(prepared.known, Json(changed).into_response()))
}
