//! Read models over HTTP: lists, searches and single records, now or as of the past.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{
    FieldError, Id,
    kernel::{
        custom::Definitions,
        filter::{Condition, FieldKind, Filter, Scalar, Test},
    },
    org::{field::Field, tenant::Tenant},
};
use projections::{
    AsOf, Count, DEFAULT_LIMIT, Earlier, Group, List, ListError, ListRequest, MAX_LIMIT, Page, ReadModel, Record,
    RecordAccess, Sight, Totalled,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::http::{
    crm::feeds,
    kernel::{
        events::with_parameter,
        moment::{Moment, past},
        request::{self, Body, Given, Nothing, POSITION, Params},
        routes::Routes,
    },
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /tickets`, `POST /tickets/search` and `GET /tickets/{id}` for every listed read model.
pub(in crate::http) fn routes() -> Routes {
    projections::lists().fold(Routes::new(), |mut routes, list| {
        let path = format!("/{}", list.path);
        if list.listed {
            routes = routes
                .get(&path, move |app, caller, asked, uri, headers| page(list, app, caller, asked, uri, headers))
                .post(&format!("{path}/search"), move |app, caller, nothing, headers, body| {
                    search(list, app, caller, nothing, headers, body)
                });
        }
        if list.single {
            routes = routes.get(&format!("{path}/{{id}}"), move |app, caller, id, moment, uri, headers| {
                read(list, app, caller, id, moment, uri, headers)
            });
        }
        routes
    })
}

/// What is asked of a list, in an address or in a body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Asked<F> {
    /// The filter tree; in an address it is JSON text.
    filter: Option<F>,
    /// `-priority,opened_at`.
    sort: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
    count: Option<Counted>,
    /// Also say how many match by the value of this field.
    group: Option<String>,
    /// Also say what these fields add up to: `unread_count,message_count`.
    sum: Option<String>,
    min_position: Option<i64>,
    /// As [`Moment`] says it.
    as_of: Option<String>,
    known_at: Option<String>,
}

/// Which page of what is said elsewhere already.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Paged {
    pub(in crate::http) limit: Option<u32>,
    pub(in crate::http) after: Option<String>,
    pub(in crate::http) count: Option<Counted>,
    pub(in crate::http) min_position: Option<i64>,
    pub(in crate::http) as_of: Option<String>,
    pub(in crate::http) known_at: Option<String>,
}

impl Asked<Value> {
    /// A page of what a filter matches, in an order, with how many there are in each group.
    pub(in crate::http) fn of(
        filter: Value,
        (sort, group): (Option<String>, Option<String>),
        Paged { limit, after, count, min_position, as_of, known_at }: Paged,
    ) -> Asked<Value> {
        Asked { filter: Some(filter), sort, limit, after, count, group, sum: None, min_position, as_of, known_at }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Counted {
    Exact,
    Estimate,
}

/// A page of a list.
#[derive(Serialize)]
pub(in crate::http) struct Listing {
    data: Vec<Box<RawValue>>,
    next: Option<String>,
    pub(in crate::http) position: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    #[serde(flatten)]
    totals: Totals,
}

impl Listing {
    /// How many there are, in all and in each group, where that was asked.
    pub(in crate::http) fn counted(self) -> (Option<i64>, Option<Vec<Group>>) {
        (self.total, self.totals.groups)
    }
}

/// What else was asked about all that match.
#[derive(Default, Serialize)]
struct Totals {
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<Group>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<BTreeMap<String, i64>>,
}

async fn page(
    list: &'static List,
    State(app): State<App>,
    caller: Caller,
    asked: Given<Asked<String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    listed(list, &app, &caller, &uri, &headers, asked, None).await
}

/// A part of a list: what also matches another filter.
pub(in crate::http) async fn part(
    list: &'static List,
    app: &App,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
    asked: Given<Asked<String>>,
    only: Filter,
) -> Result<Response, Problem> {
    listed(list, app, caller, uri, headers, asked, Some(only)).await
}

/// The same of what is one's own, which nobody needs a permission to read.
pub(in crate::http) async fn own(
    list: &'static List,
    app: &App,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
    asked: Given<Asked<String>>,
    only: Filter,
) -> Result<Response, Problem> {
    let (page, totals, position) = read_own(list, app, caller, headers, parsed(asked)?, Some(only)).await?;
    let next = page.next.as_deref().map(|cursor| with_parameter(uri, "after", cursor));
    Ok(respond(page, totals, next, position))
}

/// How much there is of what is one's own and matches a filter, and the position up to which that is known.
pub(in crate::http) async fn own_total(
    list: &'static List,
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    min_position: Option<i64>,
    only: Filter,
) -> Result<(i64, i64), Problem> {
    let asked = Asked { limit: Some(1), count: Some(Counted::Exact), min_position, ..Asked::default() };
    let asked = Given { asked, faults: request::Faults::default() };
    let (page, _, position) = read_own(list, app, caller, headers, asked, Some(only)).await?;
    Ok((page.total.unwrap_or_default(), position))
}

async fn listed(
    list: &'static List,
    app: &App,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
    asked: Given<Asked<String>>,
    only: Option<Filter>,
) -> Result<Response, Problem> {
    let (page, totals, position) = read_page(list, app, caller, headers, parsed(asked)?, only).await?;
    let next = page.next.as_deref().map(|cursor| with_parameter(uri, "after", cursor));
    Ok(respond(page, totals, next, position))
}

/// The same with the filter in the body; `next` is then the value of `after` in the next body.
async fn search(
    list: &'static List,
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: Given<Asked<Value>> = body.query(&json!({}))?;
    let (mut page, totals, position) = read_page(list, &app, &caller, &headers, asked, None).await?;
    let next = page.next.take();
    Ok(respond(page, totals, next, position))
}

/// What a report asks of a list.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Plain {
    pub(in crate::http) filter: Value,
    pub(in crate::http) sort: Option<String>,
    pub(in crate::http) limit: Option<u32>,
    pub(in crate::http) after: Option<String>,
    pub(in crate::http) min_position: Option<i64>,
    /// Whether it is to be said how many match.
    pub(in crate::http) counted: bool,
    /// By what they are counted.
    pub(in crate::http) group: Option<String>,
    pub(in crate::http) as_of: Option<String>,
    pub(in crate::http) known_at: Option<String>,
}

/// A page of a list, its records as members by name.
pub(in crate::http) struct PlainPage {
    pub(in crate::http) rows: Vec<serde_json::Map<String, Value>>,
    pub(in crate::http) next: Option<String>,
    pub(in crate::http) position: i64,
    pub(in crate::http) total: Option<i64>,
    pub(in crate::http) groups: Vec<Group>,
}

/// A page of a list for whoever puts it into a form of his own.
pub(in crate::http) async fn plain(
    list: &'static List,
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    asked: Plain,
) -> Result<PlainPage, Problem> {
    let Plain { filter, sort, limit, after, min_position, counted, group, as_of, known_at } = asked;
    let count = counted.then_some(Counted::Exact);
    let paged = Paged { limit, after, count, min_position, as_of, known_at };
    let asked = Asked::of(filter, (sort, group), paged);
    let asked = Given { asked, faults: request::Faults::default() };
    let (page, totals, position) = read_page(list, app, caller, headers, asked, None).await?;
    let row = |record: &RawValue| serde_json::from_str(record.get()).map_err(|error| Problem::broken(&error));
    Ok(PlainPage {
        rows: page.data.iter().map(|record| row(record)).collect::<Result<_, _>>()?,
        next: page.next,
        position,
        total: page.total,
        groups: totals.groups.unwrap_or_default(),
    })
}

/// The same with its filter as JSON.
fn parsed(query: Given<Asked<String>>) -> Result<Given<Asked<Value>>, Problem> {
    let Given { asked, mut faults } = query;
    let Asked { filter, sort, limit, after, count, group, sum, min_position, as_of, known_at } = asked;
    let filter = faults.check(filter_of(filter.as_deref()))?.flatten();
    let asked = Asked { filter, sort, limit, after, count, group, sum, min_position, as_of, known_at };
    Ok(Given { asked, faults })
}

/// A filter that stands in an address as JSON text.
pub(in crate::http) fn filter_of(text: Option<&str>) -> Result<Option<Value>, Problem> {
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|error| Problem::invalid("filter_malformed", format!("The filter is no JSON: {error}.")).at("/filter"))
}

fn limit_of(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        limit => {
            let detail = format!("limit is 1 to {MAX_LIMIT}, not {limit}.");
            Err(Problem::invalid("limit_invalid", detail).at("/limit"))
        }
    }
}

/// What is in the list for this caller, whatever else is asked.
fn shown_to(list: &'static List, caller: &Caller) -> Option<Filter> {
    let outside = if caller.is_outside() { (list.outside)() } else { None };
    let off: Vec<_> = caller.missing_kinds().map(|kind| Scalar::Text(kind.into())).collect();
    let about = list.about.filter(|_| !off.is_empty()).map(|column| {
        Filter::Condition(Condition { field: column.into(), kind: FieldKind::Word, test: Test::NotIn(off) })
    });
    match (outside, about) {
        (None, None) => None,
        (outside, about) => Some(Filter::All(outside.into_iter().chain(about).collect())),
    }
}

async fn read_page(
    list: &'static List,
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    query: Given<Asked<Value>>,
    only: Option<Filter>,
) -> Result<(Page, Totals, i64), Problem> {
    caller.must(&format!("{}.read", list.read))?;
    read_own(list, app, caller, headers, query, only).await
}

/// The same of what nobody needs a permission to read: `only` says what is one's own.
async fn read_own(
    list: &'static List,
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    query: Given<Asked<Value>>,
    only: Option<Filter>,
) -> Result<(Page, Totals, i64), Problem> {
    let Given { asked, mut faults } = query;
    let limit = faults.check(limit_of(asked.limit))?.unwrap_or(DEFAULT_LIMIT);
    let (parsed, custom) = question(list, app, caller, (asked.filter.as_ref(), asked.sort.as_deref()), only).await?;
    let parsed = faults.check(parsed)?;
    let fault = |fault| invalid(vec![fault]);
    let group = asked.group.as_deref().map(|name| Totalled::group(list, name, &custom).map_err(fault));
    let group = faults.check(group.transpose())?.flatten();
    let names = asked.sum.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let mut sums = Vec::new();
    for name in names {
        sums.extend(faults.check(Totalled::sum(list, name, &custom).map_err(fault))?);
    }
    let count = match asked.count {
        None => Count::None,
        Some(Counted::Exact) => Count::Exact,
        Some(Counted::Estimate) => Count::Estimate,
    };
    let (is_read, parsed) = (parsed.is_some(), parsed.unwrap_or_default());
    let as_of = past(app, caller, asked.as_of.as_deref(), asked.known_at.as_deref()).await;
    let as_of = faults.check(as_of)?.flatten();
    let asked_for = ListRequest { limit, after: asked.after, count, as_of, ..parsed };
    let after = asked_for.check_after(list);
    // Whether a cursor belongs to a filter and an order is only known of those that can be read.
    let after = after.or_else(|fault| if is_read || fault.code == "cursor_invalid" { Err(fault) } else { Ok(()) });
    faults.check(after.map_err(fault))?;
    let wanted = faults.check(request::min_position(app, headers, asked.min_position).await)?.flatten();
    faults.done()?;
    if let Some(as_of) = as_of {
        let mut turn = earlier(list, app, caller, &asked_for, (as_of, wanted), custom).await?;
        let page = turn.earlier.list(&asked_for).await?;
        let mut totals = Totals::default();
        if let Some(group) = group {
            totals.groups = Some(turn.earlier.groups(&asked_for.filter, &asked_for.sight, &group).await?);
        }
        for field in sums {
            let sum = turn.earlier.sum(&asked_for.filter, &asked_for.sight, &field).await?;
            totals.sums.get_or_insert_default().insert(field.name().to_owned(), sum);
        }
        return Ok((page, totals, turn.position));
    }
    let position = reached(list, app, &asked_for.sight, wanted).await?;
    let mut page = projections::list(list, &app.reads().pool, caller.tenant, &asked_for).await?;
    projections::name_custom(
        &mut *app.reads().pool.acquire().await?,
        caller.tenant,
        &asked_for.sight,
        &custom,
        &mut page.data,
    )
    .await?;
    let mut totals = Totals::default();
    if let Some(group) = group {
        totals.groups = Some(
            projections::groups(list, &app.reads().pool, caller.tenant, (&asked_for.filter, &asked_for.sight), &group)
                .await?,
        );
    }
    for field in sums {
        let sum =
            projections::sum(list, &app.reads().pool, caller.tenant, (&asked_for.filter, &asked_for.sight), &field)
                .await?;
        totals.sums.get_or_insert_default().insert(field.name().to_owned(), sum);
    }
    Ok((page, totals, position))
}

/// A filter and an order as somebody asks them of a list, with what he sees of it, and the custom fields of its kind.
/// `only` is what must match besides.
pub(in crate::http) async fn question(
    list: &'static List,
    app: &App,
    caller: &Caller,
    (filter, sort): (Option<&Value>, Option<&str>),
    only: Option<Filter>,
) -> Result<(Result<ListRequest, Problem>, Definitions), Problem> {
    let custom = custom_fields(list, app, caller.tenant).await?;
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let (country, me) = (tenant.default_country(), Some(caller.actor.principal()));
    let parsed = match ListRequest::asked(list, (filter, sort), &custom, country, me) {
        Ok(parsed) => parsed,
        Err(faults) => return Ok((Err(invalid(faults)), custom)),
    };
    let filter = match (only, shown_to(list, caller)) {
        (None, None) => parsed.filter,
        (only, shown) => Filter::All(only.into_iter().chain(shown).chain([parsed.filter]).collect()),
    };
    let collation = projections::kernel::collation::of(&app.reads().pool, tenant.language().as_deref()).await?;
    let sight = app.sight(caller).await?;
    Ok((Ok(ListRequest { filter, collation, sight, ..parsed }), custom))
}

/// A list as it was, and whose turn it is to read one.
pub(in crate::http) struct Turn {
    pub(in crate::http) earlier: Earlier,
    /// The position up to which it is known.
    pub(in crate::http) position: i64,
    _turn: OwnedSemaphorePermit,
}

/// A list as it was at a point in the past, no older than a position.
pub(in crate::http) async fn earlier(
    list: &'static List,
    app: &App,
    caller: &Caller,
    request: &ListRequest,
    (as_of, wanted): (AsOf, Option<i64>),
    custom: Definitions,
) -> Result<Turn, Problem> {
    let then = Earlier::position(&app.log, as_of).await?;
    let reached = reached(list, app, &request.sight, Some(wanted.map_or(then, |wanted| wanted.max(then)))).await?;
    // What was told late may still change what had happened by an instant.
    let position = if matches!(as_of, AsOf::Instant(_)) { reached } else { then };
    let turn = timeout(app.config.read_wait, Arc::clone(&app.earlier).acquire_owned()).await;
    let _turn = turn.map_err(|_| busy())?.map_err(|error| Problem::broken(&error))?;
    let earlier = Earlier::begin(list, (&app.log, &app.snapshots), caller.tenant, as_of, custom).await?;
    Ok(Turn { earlier, position, _turn })
}

fn busy() -> Problem {
    let detail = "As many lists of the past are being read as there may be at once. Try again.";
    Problem::unavailable("past_busy", detail).retry_after(1)
}

/// Waits until a list, as far as somebody sees it, has reached a position; the one that it has reached.
pub(in crate::http) async fn reached(
    list: &'static List,
    app: &App,
    sight: &Sight,
    wanted: Option<i64>,
) -> Result<i64, Problem> {
    request::can_be_read(list, app).await?;
    let walls = matches!(sight, Sight::Walled(_)).then_some(RecordAccess::NAME);
    let mut position = i64::MAX;
    for name in projections::needs(list).iter().copied().chain(walls) {
        request::reach(app, name, wanted).await?;
        position = position.min(app.reads().models.position(name).await?);
    }
    Ok(position)
}

/// The definitions of the custom fields that a list can be filtered by.
pub(in crate::http) async fn custom_fields(list: &'static List, app: &App, tenant: Id) -> Result<Definitions, Problem> {
    match list.custom {
        Some(kind) => {
            let (fields, _) = app.commands.load::<Field>(tenant, Field::id_for(tenant, kind)).await?;
            Ok(fields.definitions.clone())
        }
        None => Ok(Definitions::new()),
    }
}

/// The problem of these faults; the first one decides its code.
pub(in crate::http) fn invalid(errors: Vec<FieldError>) -> Problem {
    let first = errors.first().cloned();
    let (code, detail) = first.map_or(("query_invalid".into(), String::new()), |error| (error.code, error.detail));
    Problem::invalid(code, detail).with(errors)
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Problem {
        match error {
            ListError::Cursor(fault) => invalid(vec![fault]),
            ListError::Store(error) => error.into(),
            ListError::Past(error) => error.into(),
        }
    }
}

async fn read(
    list: &'static List,
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    query: Given<Moment>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", list.read))?;
    let kind = list.read;
    let missing =
        || Problem::missing(format!("{kind}_unknown"), format!("There is no such {}.", kind.replace('_', " ")));
    let Given { asked: moment, mut faults } = query;
    let wanted = faults.check(request::min_position(&app, &headers, moment.min_position).await)?.flatten();
    let past = faults.check(past(&app, &caller, moment.as_of.as_deref(), moment.known_at.as_deref()).await)?.flatten();
    faults.done()?;
    let id: Id = (list.id_of)(caller.tenant, &id).ok_or_else(missing)?;
    app.must_show(&caller, kind, id).await?;
    request::can_be_read(list, &app).await?;
    let custom = custom_fields(list, &app, caller.tenant).await?;
    if let Some(past) = past {
        let record = projections::get_as_of(list, &app.log, caller.tenant, id, past, &custom).await?;
        let mut record = record.ok_or_else(missing)?;
        let (sight, data) = (app.sight_at(&caller, wanted).await?, std::slice::from_mut(&mut record.data));
        projections::veil(list, &mut *app.reads().pool.acquire().await?, caller.tenant, &sight, data).await?;
        projections::veil_custom(&mut *app.reads().pool.acquire().await?, caller.tenant, &sight, &custom, data).await?;
        return one(list, &record, record.position, &uri);
    }
    for name in projections::needs(list).iter() {
        request::reach(&app, name, wanted).await?;
    }
    let position = app.reads().models.position(list.name).await?;
    let mut record = projections::get(list, &app.reads().pool, caller.tenant, id).await?.ok_or_else(missing)?;
    let (sight, data) = (app.sight_at(&caller, wanted).await?, std::slice::from_mut(&mut record.data));
    projections::veil(list, &mut *app.reads().pool.acquire().await?, caller.tenant, &sight, data).await?;
    projections::name_custom(&mut *app.reads().pool.acquire().await?, caller.tenant, &sight, &custom, data).await?;
    one(list, &record, position, &uri)
}

/// Where to go from a record of this kind.
pub(in crate::http) fn links(kind: &str, path: &str) -> Value {
    let mut links = json!({ "self": path, "history": format!("{path}/history") });
    if feeds::has_feed(kind) {
        links["feed"] = format!("{path}/feed").into();
    }
    links
}

/// Takes out of rows what they tell of records that the caller does not see.
pub(in crate::http) async fn veiled(
    list: &'static List,
    app: &App,
    caller: &Caller,
    wanted: Option<i64>,
    rows: &mut [Box<RawValue>],
) -> Result<(), Problem> {
    let sight = app.sight_at(caller, wanted).await?;
    Ok(projections::veil(list, &mut *app.reads().pool.acquire().await?, caller.tenant, &sight, rows).await?)
}

/// One record with its links, its version as ETag, and the position that it reflects.
fn one(list: &'static List, record: &Record, position: i64, uri: &Uri) -> Result<Response, Problem> {
    let links = links(list.read, uri.path());
    let text = record.data.get();
    let fields = text.trim_end().strip_suffix('}').ok_or_else(|| Problem::broken(&"a record is no object"))?;
    let body = format!("{fields},\"links\":{links}}}");
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, position.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", record.version)) {
        headers.insert(header::ETAG, tag);
    }
    Ok((headers, body).into_response())
}

fn respond(page: Page, totals: Totals, next: Option<String>, position: i64) -> Response {
    ([(POSITION, position)], Json(Listing { data: page.data, next, position, total: page.total, totals }))
        .into_response()
}

/// The page of a list, with the address of the next.
pub(in crate::http) async fn listing(
    list: &'static List,
    app: &App,
    caller: &Caller,
    (uri, headers): (&Uri, &HeaderMap),
    asked: Given<Asked<Value>>,
) -> Result<Listing, Problem> {
    let (page, totals, position) = read_page(list, app, caller, headers, asked, None).await?;
    let next = page.next.as_deref().map(|cursor| with_parameter(uri, "after", cursor));
    Ok(Listing { data: page.data, next, position, total: page.total, totals })
}
