//! The numbers of reports, saved and ad hoc, and the records behind each number.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Id, Money, Time, catalogue,
    insight::{
        clock::{Clock, Division},
        definition::{By, Compiled, Definition, Values},
        facts::{How, Measure, Unit},
        report::Report,
    },
    kernel::{filter::Lookup, listing::NAMELESS},
    org::{field::Field, tenant::Tenant},
};
use futures::{TryStreamExt, stream};
use jiff::{civil::Date, tz::TimeZone};
use projections::{
    AsOf, List, ReadModel, Sight,
    insight::{
        facts::Facts,
        reports::{self, After, Asked, Badge, Figure, HISTOGRAM},
    },
    kernel::columns::{self, Kind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::called;
use crate::http::kernel::{
    commands::id_of,
    csv::{self, Dialect, Separator},
    events::page_size,
    lists,
    moment::past,
    parquet,
    request::{self, Body, Faults, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /reports/{id}/data`, `GET /reports/{id}/records`, `POST /reports/run` and `POST /reports/records`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/reports/{id}/data", data)
        .get("/reports/{id}/records", records)
        .post("/reports/run", run)
        .post("/reports/records", run_records)
}

/// How a report is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Format {
    /// JSON, with totals and names.
    #[default]
    Json,
    /// CSV (RFC 4180): a line for each row.
    Csv,
    /// Apache Parquet: a row for each row, with types, for large reports.
    Parquet,
}

/// Over what a report goes, and how it is answered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct DataOptions {
    /// From this day on, in the report's time zone, or from this instant on; from the first fact by default.
    from: Option<String>,
    /// Up to and including this day, or up to this instant; up to now by default.
    to: Option<String>,
    /// A time zone from the IANA database instead of the report's.
    tz: Option<String>,
    /// What was known then: an instant, a day, which is taken to its end in the tenant's time zone, or a position of the log.
    as_known_at: Option<String>,
    /// The same, as lists call it.
    known_at: Option<String>,
    /// What had happened by then: an instant or a day, taken to its end in the tenant's time zone. Or a position of the log.
    as_of: Option<String>,
    /// JSON by default.
    format: Option<Format>,
    /// Whether CSV begins with a byte order mark, without which some spreadsheets do not read it as UTF-8.
    bom: Option<bool>,
    /// What stands between the cells of CSV.
    separator: Option<Separator>,
    /// Of a list of records: rows on a page, 1 to 200, 50 by default. CSV and Parquet have all of them.
    limit: Option<u32>,
    /// Of a list of records: the page after this cursor.
    after: Option<String>,
    /// Wait until the report reflects this position.
    min_position: Option<i64>,
}

/// Which number of a report, and which part of the records behind it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct RecordOptions {
    /// The measure; the report's first by default.
    pub(in crate::http) measure: Option<String>,
    /// The number's `key` as JSON text: a value for each dimension. Dimensions that are left out are taken together.
    pub(in crate::http) cell: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) from: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) to: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) tz: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) as_known_at: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) known_at: Option<String>,
    /// As for the report's numbers.
    pub(in crate::http) as_of: Option<String>,
    /// Entries on a page: 1 to 1000, 100 by default.
    pub(in crate::http) limit: Option<i64>,
    /// The page after this cursor.
    pub(in crate::http) after: Option<String>,
    /// Wait until the report reflects this position.
    pub(in crate::http) min_position: Option<i64>,
}

/// What a report says.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ReportData {
    /// The kind of records it is about.
    pub(in crate::http) of: String,
    /// Over what it goes; null for a list of records.
    pub(in crate::http) range: Option<Range>,
    /// Of numbers: what had happened by then, where an instant of the past was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::http) as_of: Option<Time>,
    /// The time zone of its periods.
    pub(in crate::http) time_zone: String,
    /// What it is divided by.
    pub(in crate::http) dimensions: Vec<DimensionData>,
    /// What it measures.
    pub(in crate::http) measures: Vec<MeasureData>,
    /// The fields that a list of records shows.
    pub(in crate::http) columns: Vec<String>,
    /// Its numbers, by period and the first measure, the largest first; or the records of a list.
    pub(in crate::http) rows: Vec<RowData>,
    /// The same for each value of each dimension by itself, and for everything: a record with several values counts once.
    pub(in crate::http) totals: Vec<RowData>,
    /// Where to find the records behind a number: the address takes `measure` and `cell` besides.
    pub(in crate::http) links: Links,
    /// Of a list of records: the cursor of the next page; null on the last.
    pub(in crate::http) next: Option<String>,
    /// The last position of the log that is known here. Asked for again as `as_known_at`, the numbers are the same.
    pub(in crate::http) position: i64,
}

/// From when on, and up to when.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub(in crate::http) struct Range {
    /// From this instant on.
    pub(in crate::http) from: Time,
    /// Up to this instant.
    pub(in crate::http) to: Time,
}

/// A dimension of a report.
#[derive(Default, Serialize, JsonSchema)]
pub(in crate::http) struct DimensionData {
    /// Its name.
    pub(in crate::http) name: String,
    /// Of periods: all of them in order, those without a number too.
    #[schemars(extend("items" = json!({ "type": ["string", "integer"] })))]
    pub(in crate::http) periods: Option<Vec<Value>>,
    /// Of records: what those in the rows that the caller sees are called now, by id.
    pub(in crate::http) names: BTreeMap<String, String>,
    /// Of records that have one: their badges, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::http) badges: BTreeMap<String, Badge>,
    /// Whether its values name records.
    #[serde(skip)]
    pub(in crate::http) refers: bool,
    /// Whether a record may have several of its values.
    #[serde(skip)]
    pub(in crate::http) several: bool,
}

/// A measure of a report.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct MeasureData {
    /// Its name.
    pub(in crate::http) name: &'static str,
    /// What its numbers are.
    pub(in crate::http) unit: UnitName,
    /// What it says.
    pub(in crate::http) about: &'static str,
    /// Of lengths: whether they are business time by the report's calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::http) business_time: Option<bool>,
    /// Of lengths: where the bars of their histograms end, in seconds; the last bar has no end.
    pub(in crate::http) histogram: Option<[i64; HISTOGRAM.len()]>,
}

/// What numbers are.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum UnitName {
    /// How many.
    Count,
    /// Elapsed seconds, to the microsecond; of business time where the report has a calendar.
    Seconds,
    /// Points that were given, or how many of something each record has.
    Points,
    /// Of each record, 1 or 0: `mean` is the share of those that did, `sum` how many.
    Share,
    /// Exact amounts by currency.
    Money,
}

/// Numbers with where they stand.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct RowData {
    /// The value of each dimension; in totals only of some.
    pub(in crate::http) key: Map<String, Value>,
    /// By measure: how many; or of lengths and scores `count`, `sum`, `mean`, `min`, `median`, `p90`, `max` and `histogram`,
    /// nothing but the count where there are none; of money amounts by currency. Of a list of records its columns.
    pub(in crate::http) values: Map<String, Value>,
}

/// Where to go from a report.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Links {
    /// The records behind its numbers; null for one that is not saved, which is posted to `/v1/reports/records`.
    pub(in crate::http) records: Option<String>,
}

/// The records behind a number.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ReportRecords {
    /// In the order in which they happened. A record may be among them more than once if it counts more than once.
    pub(in crate::http) data: Vec<Counted>,
    /// The cursor of the next page; null on the last.
    pub(in crate::http) next: Option<String>,
    /// The last position of the log that is known here.
    pub(in crate::http) position: i64,
}

/// One of what was counted.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Counted {
    /// The record.
    pub(in crate::http) id: Id,
    /// What it is called now, or was at the moment of `as_of`; what has no name of its own goes by what its list tells of it.
    pub(in crate::http) name: Option<String>,
    /// When it counts.
    pub(in crate::http) at: Time,
    /// The length in seconds, or the score.
    pub(in crate::http) value: Option<serde_json::Number>,
    /// The amount of money and its currency.
    pub(in crate::http) money: Option<Money>,
    /// The position of the event by which it counts.
    pub(in crate::http) position: i64,
    /// Where the record is.
    pub(in crate::http) link: String,
}

/// A report whose facts can be asked for.
pub(super) struct Prepared {
    pub(super) compiled: Compiled,
    values: Values,
    pub(super) zone: TimeZone,
    pub(super) range: (Time, Time),
    clocks: Vec<Option<Clock>>,
    pub(super) known: i64,
    /// Whether nobody asked for what was known before.
    is_now: bool,
    happened: Option<Time>,
    calendar: Option<Vec<(Time, Time)>>,
    sight: Sight,
}

impl Prepared {
    /// What is asked of the facts known at a position.
    pub(super) fn asked(&self, known: i64) -> Asked<'_> {
        Asked {
            compiled: &self.compiled,
            values: self.values,
            known,
            is_now: false,
            happened: self.happened,
            calendar: self.calendar.as_deref(),
            range: self.range,
            clocks: &self.clocks,
            sight: &self.sight,
        }
    }
}

/// Over what a report goes.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Over {
    pub(in crate::http) from: Option<String>,
    pub(in crate::http) to: Option<String>,
    pub(in crate::http) tz: Option<String>,
    pub(in crate::http) past: Past,
    pub(in crate::http) min_position: Option<i64>,
}

/// A moment of the past as a report, a dashboard or a number names it.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Past {
    pub(in crate::http) as_of: Option<String>,
    pub(in crate::http) known_at: Option<String>,
    pub(in crate::http) as_known_at: Option<String>,
}

impl Past {
    /// Whether any was named.
    pub(in crate::http) fn is_named(&self) -> bool {
        self.as_of.is_some() || self.known_at.is_some() || self.as_known_at.is_some()
    }

    /// The same as lists take it: `as_of` and `known_at`.
    pub(in crate::http) fn of_lists(&self) -> (Option<String>, Option<String>) {
        let known = self.known_at.clone().or_else(|| self.as_known_at.clone());
        match (&self.as_of, known) {
            // A position says what was known, and what had happened: lists fold the log up to it.
            (None, Some(known)) if known.parse::<i64>().is_ok() => (Some(known), None),
            (as_of, known) => (as_of.clone(), known),
        }
    }

    /// The last position that was known then, and the instant by which things had happened, where these are asked.
    pub(in crate::http) async fn resolve(
        &self,
        app: &App,
        caller: &Caller,
        faults: &mut Faults,
    ) -> Result<(Option<i64>, Option<Time>), Problem> {
        if self.known_at.is_some() && self.as_known_at.is_some() {
            let detail = "known_at and as_known_at are two names of the same; give one of them.";
            faults.check::<()>(Err(Problem::invalid("as_of_invalid", detail).at("/as_known_at")))?;
        }
        let (text, place) = match &self.known_at {
            Some(text) => (Some(text.as_str()), "/known_at"),
            None => (self.as_known_at.as_deref(), "/as_known_at"),
        };
        let known = faults.check(known_at(app, caller, text, place).await)?.flatten();
        let Some(text) = self.as_of.as_deref() else { return Ok((known, None)) };
        if let Ok(position) = text.parse::<i64>() {
            if known.is_some() {
                let detail = "A position of the log says what was known; give as_of or known_at.";
                faults.check::<()>(Err(Problem::invalid("as_of_invalid", detail).at("/as_of")))?;
            }
            faults.check(request::must_exist(app, position, "/as_of").await)?;
            return Ok((Some(position), None));
        }
        let happened = faults.check(past(app, caller, Some(text), None).await)?.flatten();
        Ok((known, happened.and_then(|then| if let AsOf::Instant(instant) = then { Some(instant) } else { None })))
    }
}

/// The definition of a saved report that the caller sees.
pub(in crate::http) async fn saved(app: &App, caller: &Caller, id: &str) -> Result<(Id, Definition), Problem> {
    caller.must("report.read")?;
    let id = id_of::<Report>(caller, id)?;
    let missing = || Problem::missing("report_unknown", "There is no such report.");
    let report = app.commands.find::<Report>(caller.tenant, id).await?.ok_or_else(missing)?;
    app.must_show(caller, Report::KIND, id).await?;
    let fields = report.fields.as_ref().ok_or_else(missing)?;
    Ok((id, fields.definition.clone()))
}

/// The definition in a body.
pub(super) fn posted(caller: &Caller, body: Body) -> Result<Definition, Problem> {
    caller.must("report.read")?;
    body.read(&json!({}))
}

async fn data(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<DataOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, definition) = saved(&app, &caller, &id).await?;
    answer(&app, &caller, &headers, Some(id), definition, options).await
}

async fn run(
    State(app): State<App>,
    caller: Caller,
    options: Given<DataOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let definition = posted(&caller, body)?;
    answer(&app, &caller, &headers, None, definition, options).await
}

async fn records(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<RecordOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, definition) = saved(&app, &caller, &id).await?;
    behind(&app, &caller, &headers, &definition, options).await
}

async fn run_records(
    State(app): State<App>,
    caller: Caller,
    options: Given<RecordOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let definition = posted(&caller, body)?;
    behind(&app, &caller, &headers, &definition, options).await
}

/// What may be asked of the records of a report.
async fn compiled(app: &App, caller: &Caller, definition: &Definition) -> Result<(Compiled, String), Problem> {
    let (fields, _) = app.commands.load::<Field>(caller.tenant, Field::id_for(caller.tenant, &definition.of)).await?;
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let compiled = definition.compile(&fields.definitions, tenant.default_country())?;
    // Numbers know of what only colleagues may see.
    if caller.is_outside() {
        return Err(Problem::forbidden("report.read"));
    }
    caller.must(&format!("{}.read", compiled.source.kind))?;
    Ok((compiled, tenant.time_zone()))
}

pub(super) async fn prepare(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    over: Over,
    mut faults: Faults,
) -> Result<Prepared, Problem> {
    let (compiled, tenants) = compiled(app, caller, definition).await?;
    let zone = match over.tz.as_deref() {
        None => definition.zone(&tenants),
        Some(name) => faults.check(zone_of(name))?.unwrap_or(TimeZone::UTC),
    };
    let (known, happened) = over.past.resolve(app, caller, &mut faults).await?;
    let from = faults.check(edge(over.from.as_deref(), &zone, "/from"))?.flatten();
    let to = faults.check(edge(over.to.as_deref(), &zone, "/to"))?.flatten();
    let wanted = faults.check(request::min_position(app, headers, over.min_position).await)?.flatten();
    faults.done()?;
    request::reach(app, Facts::NAME, wanted.max(known)).await?;
    let reached = app.reads().models.position(Facts::NAME).await?;
    let is_now = known.is_none();
    let known = known.map_or(reached, |known| known.min(reached));
    // Nothing of what came later had happened yet: the last period ends there.
    let after = happened.map(|then| then + jiff::SignedDuration::from_micros(1));
    let to = to.unwrap_or_else(|| app.now());
    let to = after.map_or(to, |after| to.min(after));
    let sight = app.sight_at(caller, wanted).await?;
    let from = match from {
        Some(from) => from,
        None => {
            // When the first record was there is told of those that the caller sees.
            let kind = compiled.source.kind;
            let first = reports::beginning(&app.reads().pool, caller.tenant, (kind, known), &sight).await?;
            first.filter(|first| *first < to).unwrap_or(to - jiff::SignedDuration::from_micros(1))
        }
    };
    if from >= to {
        return Err(Problem::invalid("report_range_invalid", "A report begins before it ends.").at("/from"));
    }
    let clock = |by: &By| match by {
        By::Field(..) => Ok(None),
        By::Period(division) => Clock::new(Some(*division), &zone, (from, to)).map(Some).ok_or_else(|| {
            let detail = "A report has at most 100,000 periods: give a shorter range, or longer periods.";
            Problem::invalid("report_range_invalid", detail).at("/from")
        }),
    };
    let clocks = compiled.by.iter().map(clock).collect::<Result<_, _>>()?;
    let measures_time = compiled.measures.iter().any(|measure| measure.unit == Unit::Seconds);
    let calendar = match &definition.calendar {
        Some(calendar) if measures_time => {
            let first = reports::earliest(&app.reads().pool, caller.tenant, compiled.source.kind).await?;
            // Whoever looks at other days does not work at other hours.
            let own = definition.zone(&tenants);
            let worked = calendar.stretches(&own, (first.map_or(from, |first| first.min(from)), to));
            Some(worked.ok_or_else(|| {
                let detail = "The calendar has too many stretches of work since the first record.";
                Problem::invalid("report_range_invalid", detail).at("/to")
            })?)
        }
        _ => None,
    };
    Ok(Prepared {
        compiled,
        values: definition.values,
        zone,
        range: (from, to),
        clocks,
        known,
        is_now,
        happened,
        calendar,
        sight,
    })
}

/// The last position that was known then, where that is asked.
pub(super) async fn known_at(
    app: &App,
    caller: &Caller,
    text: Option<&str>,
    place: &str,
) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(position) = text.parse::<i64>() {
        return request::must_exist(app, position, place).await.map(|()| Some(position));
    }
    let instant = past(app, caller, None, Some(text)).await.map_err(|_| {
        let name = place.trim_start_matches('/');
        let detail = format!("{name} is an RFC 3339 instant, a day such as 2026-11-21, or a position of the log.");
        Problem::invalid("as_of_invalid", detail).at(place)
    });
    match instant? {
        Some(AsOf::KnownAt(instant)) => Ok(Some(app.log.position_at(instant).await?)),
        _ => Ok(None),
    }
}

pub(in crate::http) fn zone_of(name: &str) -> Result<TimeZone, Problem> {
    let unknown = || {
        let detail = "A time zone is a name from the IANA database, such as Europe/Rome.";
        Problem::invalid("time_zone_invalid", detail).at("/tz")
    };
    if domain::kernel::valid::is_time_zone(name) { TimeZone::get(name).map_err(|_| unknown()) } else { Err(unknown()) }
}

/// Where a range begins or ends: at an instant, or with a day.
pub(in crate::http) fn edge(text: Option<&str>, zone: &TimeZone, place: &str) -> Result<Option<Time>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(instant) = text.parse::<Time>() {
        return Ok(Some(instant));
    }
    let invalid = || {
        let detail = "A range begins and ends with an RFC 3339 instant or a day such as 2026-11-21.";
        Problem::invalid("report_range_invalid", detail).at(place)
    };
    // A longer text would be a date with a time of day and no zone.
    let day: Date = text.parse().ok().filter(|_| text.len() == 10).ok_or_else(invalid)?;
    let day = if place == "/to" { day.tomorrow().map_err(|_| invalid())? } else { day };
    Ok(Some(day.to_zoned(zone.clone()).map_err(|_| invalid())?.timestamp()))
}

async fn answer(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    id: Option<Id>,
    definition: Definition,
    options: Given<DataOptions>,
) -> Result<Response, Problem> {
    let Given { asked: options, mut faults } = options;
    let dialect = Dialect { bom: options.bom.unwrap_or_default(), separator: options.separator.unwrap_or_default() };
    if definition.is_list() {
        return listed(app, caller, headers, definition, (options, faults), dialect).await;
    }
    let DataOptions { from, to, tz, as_known_at, known_at, as_of, min_position, format, limit, after, .. } = options;
    for (place, is_given) in [("/limit", limit.is_some()), ("/after", after.is_some())] {
        if is_given {
            let fault = request::parameter_invalid(place, "Only a report that lists records has pages.");
            faults.check::<()>(Err(fault))?;
        }
    }
    let over = Over { from, to, tz, past: Past { as_of, known_at, as_known_at }, min_position };
    let numbers = count(app, caller, headers, &definition, over, faults).await?;
    let file = match format.unwrap_or_default() {
        Format::Json => return respond(numbers.told(definition.of, id)),
        file => file,
    };
    let Counting { prepared, dimensions, rows, .. } = numbers;
    let (columns, lines) = sheet(&prepared.compiled, &dimensions, rows);
    let response = match file {
        Format::Parquet => parquet::file("report.parquet", columns, stream::iter([Ok(lines)]))?,
        _ => {
            let lines = lines.iter().map(|line| line.iter().map(csv::cell).collect()).collect();
            let names = columns.into_iter().map(|(name, _)| name).collect();
            csv::file("report.csv", dialect, names, stream::iter([Ok(lines)]))
        }
    };
    Ok(reflecting(prepared.known, response))
}

/// What a report that counts says.
pub(in crate::http) async fn numbers(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    over: Over,
) -> Result<ReportData, Problem> {
    let counting = count(app, caller, headers, definition, over, Faults::default()).await?;
    Ok(counting.told(definition.of.clone(), None))
}

/// Numbers with all that is known of them.
struct Counting {
    prepared: Prepared,
    dimensions: Vec<DimensionData>,
    rows: Vec<(Key, Numbers)>,
    totals: Vec<(Key, Numbers)>,
}

async fn count(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    over: Over,
    faults: Faults,
) -> Result<Counting, Problem> {
    let mut prepared = prepare(app, caller, headers, definition, over, faults).await?;
    let (rows, totals) = if prepared.is_now {
        figures_now(app, caller, &mut prepared).await?
    } else {
        figures(app, caller, &prepared, prepared.known).await?
    };
    let rows = rows.ordered(&prepared);
    let dimensions = dimensions(app, caller, &prepared, &rows).await?;
    let totals = totals.ordered(&prepared);
    Ok(Counting { prepared, dimensions, rows, totals })
}

/// All numbers as they are known at a position: those of every key, and totals.
pub(super) async fn figures(
    app: &App,
    caller: &Caller,
    prepared: &Prepared,
    known: i64,
) -> Result<(Rows, Rows), Problem> {
    let mut db = app.reads().pool.acquire().await?;
    all(&mut db, caller, prepared, &prepared.asked(known)).await
}

/// All numbers as they are known now. They are read at one moment, of which the position is told: asked as known at that position the
/// same is answered.
async fn figures_now(app: &App, caller: &Caller, prepared: &mut Prepared) -> Result<(Rows, Rows), Problem> {
    let mut db = app.reads().pool.begin_with("begin isolation level repeatable read, read only").await?;
    let reached = app.reads().models.position_in(&mut db, Facts::NAME).await?;
    prepared.known = reached.unwrap_or(prepared.known);
    let asked = Asked { is_now: reached.is_some(), ..prepared.asked(prepared.known) };
    let figures = all(&mut db, caller, prepared, &asked).await?;
    db.rollback().await?;
    Ok(figures)
}

async fn all(
    db: &mut PgConnection,
    caller: &Caller,
    prepared: &Prepared,
    asked: &Asked<'_>,
) -> Result<(Rows, Rows), Problem> {
    let (mut rows, mut totals): (Rows, Rows) = Default::default();
    for measure in &prepared.compiled.measures {
        for cell in reports::cells(db, caller.tenant, asked, measure).await? {
            let whole = cell.key.iter().all(Option::is_some);
            let into = if whole && !cell.key.is_empty() { &mut rows } else { &mut totals };
            into.add(cell.key, measure, cell.figure);
        }
    }
    Ok((rows, totals))
}

/// What rows are divided by, with the names of the records among their values.
pub(super) async fn dimensions<T>(
    app: &App,
    caller: &Caller,
    prepared: &Prepared,
    rows: &[(Key, T)],
) -> Result<Vec<DimensionData>, Problem> {
    let mut dimensions = Vec::new();
    for (place, by) in prepared.compiled.by.iter().enumerate() {
        dimensions.push(match by {
            By::Period(division) => {
                let clock = prepared.clocks.get(place).and_then(Option::as_ref);
                let mut periods = clock.map(|clock| clock.keys.clone()).unwrap_or_default();
                if division.is_cyclic() {
                    periods.sort_by_key(Value::as_i64);
                    periods.dedup();
                }
                let name = division.name().to_owned();
                DimensionData { name, periods: Some(periods), ..DimensionData::default() }
            }
            By::Field(name, kind) => {
                let refers = prepared.compiled.source.dimension(name).map_or(&[][..], |dimension| dimension.refers);
                let values = rows.iter().filter_map(|(key, _)| key.get(place)?.as_ref()?.as_str());
                let ids: BTreeSet<String> = values.filter(|_| !refers.is_empty()).map(ToOwned::to_owned).collect();
                let names = reports::names(&app.reads().pool, caller.tenant, &prepared.sight, refers, ids).await?;
                let badges = reports::badges(&app.reads().pool, caller.tenant, refers, names.keys()).await?;
                let (refers, several) = (!refers.is_empty(), kind.is_set());
                DimensionData { name: name.clone(), names, badges, refers, several, ..DimensionData::default() }
            }
        });
    }
    Ok(dimensions)
}

impl Counting {
    fn told(self, of: String, id: Option<Id>) -> ReportData {
        let Counting { prepared, dimensions, rows, totals } = self;
        let told = |rows: Vec<(Key, Numbers)>| rows.into_iter().map(|row| told(&dimensions, row)).collect();
        let (rows, totals) = (told(rows), told(totals));
        let range = Range { from: prepared.range.0, to: prepared.range.1 };
        let zone = prepared.zone.iana_name().unwrap_or("UTC").to_owned();
        let address = |id: Id| {
            format!(
                "/v1/reports/{id}/records?from={}&to={}&tz={}&as_known_at={}{}",
                range.from,
                range.to,
                zone.replace('+', "%2B"),
                prepared.known,
                prepared.happened.map(|then| format!("&as_of={then}")).unwrap_or_default()
            )
        };
        ReportData {
            of,
            range: Some(range),
            as_of: prepared.happened,
            links: Links { records: id.map(address) },
            time_zone: zone,
            measures: prepared.described(),
            dimensions,
            columns: Vec::new(),
            rows,
            totals,
            next: None,
            position: prepared.known,
        }
    }
}

fn respond(data: ReportData) -> Result<Response, Problem> {
    Ok(reflecting(data.position, Json(data).into_response()))
}

/// An answer that says up to which position it knows the log.
pub(super) fn reflecting(position: i64, mut response: Response) -> Response {
    response.headers_mut().insert(POSITION, position.into());
    response
}

impl Prepared {
    /// What it measures.
    pub(super) fn described(&self) -> Vec<MeasureData> {
        let described = |measure: &&'static Measure| {
            let unit = match measure.unit {
                Unit::Count => UnitName::Count,
                Unit::Seconds => UnitName::Seconds,
                Unit::Points => UnitName::Points,
                Unit::Share => UnitName::Share,
                Unit::Money => UnitName::Money,
            };
            let is_length = measure.unit == Unit::Seconds;
            // What a moment tells itself is no time between two.
            let is_between = is_length && !matches!(measure.how, How::Each(_));
            MeasureData {
                name: measure.name,
                unit,
                about: measure.about,
                business_time: self.calendar.is_some().then_some(is_between).filter(|_| is_length),
                histogram: is_length.then_some(HISTOGRAM),
            }
        };
        self.compiled.measures.iter().map(described).collect()
    }
}

/// The value of each dimension, `None` where all are taken together.
pub(super) type Key = Vec<Option<Value>>;
/// By measure.
pub(super) type Numbers = BTreeMap<&'static str, Figure>;

/// Numbers of several measures, brought together by their keys.
#[derive(Default)]
pub(super) struct Rows(pub(super) BTreeMap<String, (Key, Numbers)>);

impl Rows {
    /// What a key is called among them.
    pub(super) fn name(key: &Key) -> String {
        json!(key.iter().map(|value| json!([value.is_some(), value])).collect::<Vec<_>>()).to_string()
    }

    fn add(&mut self, key: Key, measure: &'static Measure, figure: Figure) {
        let (_, numbers) = self.0.entry(Rows::name(&key)).or_insert_with(|| (key, Numbers::new()));
        match (numbers.get_mut(measure.name), figure) {
            // Each currency comes by itself.
            (Some(Figure::Money(known)), Figure::Money(more)) => known.extend(more),
            (_, figure) => drop(numbers.insert(measure.name, figure)),
        }
    }

    /// Periods in their order, and then what has most of the first measure; those taken together come last.
    pub(super) fn ordered(self, prepared: &Prepared) -> Vec<(Key, Numbers)> {
        let places: Vec<BTreeMap<String, usize>> = prepared
            .clocks
            .iter()
            .map(|clock| {
                let mut keys = clock.as_ref().map(|clock| clock.keys.clone()).unwrap_or_default();
                if clock.as_ref().is_some_and(Clock::is_cyclic) {
                    keys.sort_by_key(Value::as_i64);
                }
                // The first of those that are called the same.
                keys.iter().enumerate().rev().map(|(place, key)| (key.to_string(), place)).collect()
            })
            .collect();
        let first = prepared.compiled.measures.first().map_or("", |measure| measure.name);
        let rank = |(key, numbers): &(Key, Numbers)| {
            let together = key.iter().filter(|value| value.is_none()).count();
            let of = |(value, places): (&Option<Value>, &BTreeMap<String, usize>)| {
                value.as_ref().and_then(|value| places.get(&value.to_string()).copied())
            };
            let periods: Vec<Option<usize>> = key.iter().zip(&places).map(of).collect();
            let many = numbers.get(first).map_or(0, |figure| match figure {
                Figure::Count(count) => *count,
                Figure::Spread(spread) => spread.count,
                // Of amounts in different currencies none is the larger one.
                Figure::Money(_) => 0,
            });
            (together, periods, std::cmp::Reverse(many))
        };
        let mut rows: Vec<_> = self.0.into_values().collect();
        rows.sort_by_cached_key(rank);
        rows
    }
}

/// A row as it is told; what does not occur in it counts nothing.
fn told(dimensions: &[DimensionData], (key, numbers): (Key, Numbers)) -> RowData {
    let named = dimensions.iter().zip(key).filter_map(|(dimension, value)| Some((dimension.name.clone(), value?)));
    let values = numbers.into_iter().map(|(measure, figure)| (measure.to_owned(), figured(figure)));
    RowData { key: named.collect(), values: values.collect() }
}

pub(super) fn figured(figure: Figure) -> Value {
    match figure {
        Figure::Count(count) => count.into(),
        Figure::Money(amounts) => json!(amounts),
        Figure::Spread(spread) => {
            let mut told = Map::from_iter([("count".to_owned(), spread.count.into())]);
            told.extend(spread.values.into_iter().map(|(name, number)| (name.to_owned(), Value::Number(number))));
            if !spread.histogram.is_empty() {
                told.insert("histogram".to_owned(), spread.histogram.into());
            }
            told.into()
        }
    }
}

/// What files tell of lengths and scores.
pub(super) const TOLD: [&str; 7] = ["count", "sum", "mean", "min", "median", "p90", "max"];

/// Columns by name, with what their values are; and the values, row by row.
type Sheet = (Vec<(String, Kind)>, Vec<Vec<Value>>);

/// Rows as files have them: a column for each dimension, and one with the names of records beside; for each number one.
fn sheet(compiled: &Compiled, dimensions: &[DimensionData], rows: Vec<(Key, Numbers)>) -> Sheet {
    let mut columns = Vec::new();
    for (place, (dimension, by)) in dimensions.iter().zip(&compiled.by).enumerate() {
        let said = match by {
            By::Period(division) if division.is_cyclic() => Kind::Integer,
            By::Period(Division::Day) => Kind::Date,
            By::Period(_) => Kind::Text,
            By::Field(_, kind) => Kind::from(*kind),
        };
        let values = rows.iter().filter_map(|(key, _)| key.get(place)?.as_ref());
        columns.push((dimension.name.clone(), parquet::fitting(said, values)));
        let base = dimension.name.trim_end_matches("_id");
        columns.extend(dimension.refers.then(|| (format!("{base}_name"), Kind::Text)));
    }
    let money = |measure: &Measure| -> BTreeSet<String> {
        let figures = rows.iter().filter_map(|(_, numbers)| numbers.get(measure.name));
        let amounts =
            figures.filter_map(|figure| if let Figure::Money(amounts) = figure { Some(amounts) } else { None });
        amounts.flat_map(BTreeMap::keys).cloned().collect()
    };
    let measures = &compiled.measures;
    let currencies: Vec<BTreeSet<String>> = measures.iter().map(|measure| money(measure)).collect();
    for (measure, currencies) in measures.iter().zip(&currencies) {
        let called = |part: &str| format!("{}.{part}", measure.name);
        match measure.unit {
            Unit::Count => columns.push((measure.name.to_owned(), Kind::Integer)),
            Unit::Money => columns.extend(currencies.iter().map(|currency| (called(currency), Kind::Decimal))),
            _ => columns.extend(TOLD.iter().map(|told| {
                let kind = if *told == "count" { Kind::Integer } else { Kind::Number };
                (called(told), kind)
            })),
        }
    }
    let lines = rows.into_iter().map(|(key, mut numbers)| {
        let mut line = Vec::new();
        for (dimension, value) in dimensions.iter().zip(key) {
            let value = value.unwrap_or_default();
            let name = value.as_str().and_then(|id| dimension.names.get(id)).cloned();
            line.push(value);
            line.extend(dimension.refers.then(|| name.into()));
        }
        for (measure, currencies) in measures.iter().zip(&currencies) {
            match (measure.unit, numbers.remove(measure.name).map(figured).unwrap_or_default()) {
                (Unit::Count, number) => line.push(number),
                (Unit::Money, amounts) => line.extend(currencies.iter().map(|currency| amounts[currency].clone())),
                (_, spread) => line.extend(TOLD.iter().map(|told| spread[*told].clone())),
            }
        }
        line
    });
    let lines = lines.collect();
    (columns, lines)
}

/// The list whose records a report lists.
pub(in crate::http) fn list_of(kind: &str) -> Option<&'static List> {
    projections::lists().find(|list| list.lists(kind))
}

/// A list of records: those columns of it that the report shows.
async fn listed(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: Definition,
    (options, mut faults): (DataOptions, Faults),
    dialect: Dialect,
) -> Result<Response, Problem> {
    let DataOptions { from, to, tz, as_known_at, known_at, as_of, format, limit, after, min_position, .. } = options;
    let past = Past { as_of, known_at, as_known_at };
    for (place, given) in [("/from", from), ("/to", to), ("/tz", tz)] {
        if given.is_some() {
            let detail = "A report that lists records shows them as they are, or were as_of a moment.";
            let fault = request::parameter_invalid(place, detail);
            faults.check::<()>(Err(fault))?;
        }
    }
    let (compiled, zone) = compiled(app, caller, &definition).await?;
    let list = list_of(compiled.source.kind).ok_or_else(|| Problem::broken(&"a kind that is counted has no list"))?;
    past.resolve(app, caller, &mut faults).await?;
    faults.done()?;
    let (as_of, known_at) = past.of_lists();
    let is_file = matches!(format, Some(Format::Csv | Format::Parquet));
    let asked = lists::Plain {
        as_of,
        known_at,
        filter: Value::Object(definition.filter.clone()),
        sort: definition.sort.clone(),
        limit: if is_file { Some(projections::MAX_LIMIT) } else { limit },
        after,
        min_position,
        ..lists::Plain::default()
    };
    let page = lists::plain(list, app, caller, headers, asked.clone()).await?;
    if is_file {
        let (columns, position) = (definition.columns.clone(), page.position);
        let state = Some((page, app.clone(), caller.clone(), headers.clone(), asked, columns.clone()));
        let pages = stream::try_unfold(state, async move |state| {
            let Some((page, app, caller, headers, asked, columns)) = state else { return Ok(None) };
            let line = |row: &Map<String, Value>| columns.iter().map(|name| column(row, name)).collect();
            let lines: Vec<Vec<Value>> = page.rows.iter().map(line).collect();
            let next = match page.next {
                None => None,
                Some(after) => {
                    let asked = lists::Plain { after: Some(after), ..asked };
                    let page = lists::plain(list, &app, &caller, &headers, asked.clone()).await?;
                    Some((page, app, caller, headers, asked, columns))
                }
            };
            Ok::<_, Problem>(Some((lines, next)))
        });
        let response = if format == Some(Format::Parquet) {
            let key = Field::id_for(caller.tenant, compiled.source.kind);
            let (fields, _) = app.commands.load::<Field>(caller.tenant, key).await?;
            let kind = |name: String| {
                let kind = columns::kind(list, &fields.definitions, &name);
                (name, kind)
            };
            parquet::file("report.parquet", columns.into_iter().map(kind).collect(), pages)?
        } else {
            let cells = |page: Vec<Vec<Value>>| page.iter().map(|row| row.iter().map(csv::cell).collect()).collect();
            csv::file("report.csv", dialect, columns, pages.map_ok(cells))
        };
        return Ok(reflecting(position, response));
    }
    let row = |row: &Map<String, Value>| {
        let values = definition.columns.iter().map(|name| (name.clone(), column(row, name)));
        RowData { key: Map::new(), values: values.collect() }
    };
    respond(ReportData {
        of: definition.of,
        range: None,
        as_of: None,
        time_zone: definition.time_zone.unwrap_or(zone),
        dimensions: Vec::new(),
        measures: Vec::new(),
        rows: page.rows.iter().map(row).collect(),
        columns: definition.columns,
        totals: Vec::new(),
        links: Links { records: None },
        next: page.next,
        position: page.position,
    })
}

/// A column of a record: `total.amount` is a member of `total`, `custom.size` a custom field.
pub(in crate::http) fn column(row: &Map<String, Value>, name: &str) -> Value {
    row.value(name).cloned().unwrap_or_default()
}

async fn behind(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    options: Given<RecordOptions>,
) -> Result<Response, Problem> {
    let data = records_of(app, caller, headers, definition, options).await?;
    Ok(reflecting(data.position, Json(data).into_response()))
}

/// The records behind a number.
pub(in crate::http) async fn records_of(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    definition: &Definition,
    options: Given<RecordOptions>,
) -> Result<ReportRecords, Problem> {
    let Given { asked: options, mut faults } = options;
    let RecordOptions { measure, cell, from, to, tz, as_known_at, known_at, as_of, limit, after, min_position } =
        options;
    let limit = faults.check(page_size(limit))?.unwrap_or_default();
    let after = faults.check(after.as_deref().map(cursor).transpose())?.flatten();
    let (name, cell) = number_of(definition, measure, cell, &mut faults)?;
    let then = as_of.clone();
    let over = Over { from, to, tz, past: Past { as_of, known_at, as_known_at }, min_position };
    let prepared = prepare(app, caller, headers, definition, over, faults).await?;
    let measure = prepared.measure(&name)?;
    let asked = prepared.asked(prepared.known);
    let mut items =
        reports::behind(&app.reads().pool, caller.tenant, &asked, measure, &cell, (after, limit + 1)).await?;
    let more = items.len() as i64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or_default());
    let next = items.last().filter(|_| more).map(|last| cursor_of(last.at, last.id, last.position));
    let (kind, as_of) = (prepared.compiled.source.kind, then.as_deref());
    // What has no name of its own is called as its list tells it; and what is asked of the past, as it was called then.
    if as_of.is_some() || NAMELESS.contains(&kind) {
        let ids = items.iter().map(|item| item.id).collect();
        let names = called::names(app, caller, headers, kind, ids, as_of).await?;
        items.iter_mut().for_each(|item| item.name = names.get(&item.id).cloned());
    }
    let counted = |item: reports::Item| prepared.counted(item);
    Ok(ReportRecords { data: items.into_iter().map(counted).collect(), next, position: prepared.known })
}

impl Prepared {
    /// A measure that there is.
    pub(super) fn measure(&self, name: &str) -> Result<&'static Measure, Problem> {
        let gone = || Problem::invalid("report_measure_unknown", "There is no such measure.").at("/measure");
        self.compiled.source.measure(name).ok_or_else(gone)
    }

    /// One of what was counted, with where its record is.
    pub(super) fn counted(&self, item: reports::Item) -> Counted {
        let plural = catalogue::kind(self.compiled.source.kind).map_or("", |kind| kind.plural);
        Counted {
            link: format!("/v1/{plural}/{}", item.id),
            id: item.id,
            name: item.name,
            at: item.at,
            value: item.value,
            money: item.money.and_then(|money| serde_json::from_value(money).ok()),
            position: item.position,
        }
    }
}

/// Which number of a report: its measure and its key.
pub(super) fn number_of(
    definition: &Definition,
    measure: Option<String>,
    cell: Option<String>,
    faults: &mut Faults,
) -> Result<(String, Map<String, Value>), Problem> {
    let cell = faults.check(cell.as_deref().map(cell_of).transpose())?.flatten().unwrap_or_default();
    let names = &definition.measures;
    let name = measure.or_else(|| names.first().cloned()).unwrap_or_default();
    if !names.contains(&name) {
        let detail = format!("The report does not measure {name}; it measures {}.", names.join(", "));
        faults.check::<()>(Err(Problem::invalid("report_measure_unknown", detail).at("/measure")))?;
    }
    if let Some(strange) = cell.keys().find(|key| !definition.dimensions.contains(*key)) {
        let detail = format!("The report is not divided by {strange}.");
        faults.check::<()>(Err(Problem::invalid("report_cell_invalid", detail).at("/cell")))?;
    }
    Ok((name, cell))
}

pub(in crate::http) fn cell_of(text: &str) -> Result<Map<String, Value>, Problem> {
    serde_json::from_str(text).map_err(|_| {
        let detail = "cell is the key of a number as JSON text: {\"product_id\": null, \"month\": \"2026-11\"}.";
        Problem::invalid("report_cell_invalid", detail).at("/cell")
    })
}

/// The cursor of the page after one.
pub(super) fn cursor_of(at: Time, id: Id, place: i64) -> String {
    format!("{}-{id}-{place}", at.as_microsecond())
}

pub(super) fn cursor(text: &str) -> Result<After, Problem> {
    let read = || {
        let (at, rest) = text.split_once('-')?;
        let (id, position) = rest.split_once('-')?;
        Some((Time::from_microsecond(at.parse().ok()?).ok()?, id.parse().ok()?, position.parse().ok()?))
    };
    read().ok_or_else(|| {
        Problem::invalid("cursor_invalid", "after is the cursor of a page of these records.").at("/after")
    })
}
