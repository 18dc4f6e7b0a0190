//! What tickets have besides lists: their threads, the products that may be picked for them, and reports over them.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Id, Party, PartyKind, Time,
    desk::{entitlement::Entitlement, ticket::Ticket},
};
use jiff::civil::Date;
use projections::desk::{
    ticket_detail::TicketDetail,
    ticket_list::TicketList,
    ticket_thread::{Kind, TicketThread},
};
use projections::{
    AsOf, Interval, List, ReadModel, TicketsOfProduct, TimeOrder, desk::product_holders::ProductHolders,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::kernel::{
    commands::id_of,
    events::{page_size, with_parameter},
    lists::veiled,
    moment::past,
    request::{self, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /tickets/{id}/thread`, `GET /entitlements/picker` and `GET /reports/tickets_by_product`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/tickets/{id}/thread", thread)
        .get("/entitlements/picker", picker)
        .get("/reports/tickets_by_product", tickets_by_product)
}

/// Which part of a thread.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ThreadOptions {
    /// The page after this cursor.
    after: Option<String>,
    /// Whether the newest come first, and each page has older ones.
    newest: bool,
    /// Entries on a page: 1 to 1000, 100 by default.
    limit: Option<i64>,
    /// An instant or a day: what had happened by then; or a position of the log. The thread is then answered whole.
    as_of: Option<String>,
    /// An instant or a day: what was known here by then.
    known_at: Option<String>,
    /// Wait until the thread reflects this position.
    min_position: Option<i64>,
}

/// A part of a thread.
pub(in crate::http) struct ThreadPart {
    /// In which order, and after which entry it begins.
    pub(in crate::http) from: (TimeOrder, Option<(Time, i64)>),
    /// How many entries it has at most.
    pub(in crate::http) limit: i64,
    /// As of when, if not now.
    pub(in crate::http) past: Option<AsOf>,
    /// The position that it must reflect.
    pub(in crate::http) wanted: Option<i64>,
}

/// The part that is asked for.
pub(in crate::http) async fn part(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    options: Given<ThreadOptions>,
) -> Result<ThreadPart, Problem> {
    let Given { asked: ThreadOptions { after, newest, limit, as_of, known_at, min_position }, mut faults } = options;
    let after = faults.check(after.as_deref().map(cursor).transpose())?.flatten();
    let limit = faults.check(page_size(limit))?.unwrap_or_default();
    let past = faults.check(past(app, caller, as_of.as_deref(), known_at.as_deref()).await)?.flatten();
    let wanted = faults.check(request::min_position(app, headers, min_position).await)?.flatten();
    faults.done()?;
    let order = if newest { TimeOrder::Newest } else { TimeOrder::Oldest };
    Ok(ThreadPart { from: (order, after), limit, past, wanted })
}

/// A page of entries.
#[derive(Serialize)]
struct Entries {
    data: Vec<Box<RawValue>>,
    next: Option<String>,
    position: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_until: Option<Time>,
}

async fn thread(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<ThreadOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("ticket.read")?;
    let id = id_of::<Ticket>(&caller, &id)?;
    let missing = || Problem::missing("ticket_unknown", "There is no such ticket.");
    app.commands.find::<Ticket>(caller.tenant, id).await?.ok_or_else(missing)?;
    app.must_show(&caller, Ticket::KIND, id).await?;
    let ThreadPart { from, limit, past, wanted } = part(&app, &caller, &headers, options).await?;
    let list = List::of::<TicketThread>();
    request::can_be_read(list, &app).await?;
    if let Some(moment) = past {
        if projections::row_as_of::<TicketDetail>(&app.log, caller.tenant, id, moment).await?.is_none() {
            return Err(missing());
        }
        let position = app.log.head().await?;
        let mut data = projections::thread_as_of(&app.log, caller.tenant, id, moment).await?;
        from.0.arrange(&mut data);
        data.retain(|entry| !caller.is_outside() || !is_note(entry));
        veiled(list, &app, &caller, wanted, &mut data).await?;
        return Ok(respond(data, None, position));
    }
    request::reach(&app, TicketThread::NAME, wanted).await?;
    request::reach(&app, TicketList::NAME, wanted).await?;
    let position = app.reads().models.position(TicketThread::NAME).await?;
    let mut data = projections::thread(&app.reads().pool, caller.tenant, id, from, limit + 1).await?;
    veiled(list, &app, &caller, wanted, &mut data).await?;
    page_of(data, limit, &uri, (position, None), |entry| !caller.is_outside() || !is_note(entry))
}

/// Whether an entry of a thread is a note, which only colleagues see.
fn is_note(entry: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Entry {
        kind: Kind,
    }
    serde_json::from_str(entry.get()).is_ok_and(|Entry { kind }| kind == Kind::Note)
}

/// A page of a thread as of a position, of which one entry more than fits was read, with until when one may answer where that
/// ends; `shows` leaves entries out.
pub(in crate::http) fn page_of(
    mut data: Vec<Box<RawValue>>,
    limit: i64,
    uri: &Uri,
    (position, reply_until): (i64, Option<Time>),
    shows: impl Fn(&RawValue) -> bool,
) -> Result<Response, Problem> {
    let more = data.len() as i64 > limit;
    data.truncate(usize::try_from(limit).unwrap_or_default());
    let next = match data.last() {
        Some(last) if more => Some(with_parameter(uri, "after", &cursor_of(last)?)),
        _ => None,
    };
    data.retain(|entry| shows(entry));
    Ok(respond_until(data, next, position, reply_until))
}

/// Where an entry stands in its thread.
#[derive(Deserialize)]
struct Place {
    written_at: Time,
    written_position: i64,
}

fn cursor_of(entry: &RawValue) -> Result<String, Problem> {
    let place: Place = serde_json::from_str(entry.get()).map_err(|error| Problem::broken(&error))?;
    Ok(format!("{}-{}", place.written_at.as_microsecond(), place.written_position))
}

fn cursor(text: &str) -> Result<(Time, i64), Problem> {
    let read = || {
        let (micros, position) = text.split_once('-')?;
        Some((Time::from_microsecond(micros.parse().ok()?).ok()?, position.parse().ok()?))
    };
    read()
        .ok_or_else(|| Problem::invalid("cursor_invalid", "after is the cursor of a page of this thread.").at("/after"))
}

pub(in crate::http) fn respond(data: Vec<Box<RawValue>>, next: Option<String>, position: i64) -> Response {
    respond_until(data, next, position, None)
}

/// The same, where one may answer only until then.
fn respond_until(data: Vec<Box<RawValue>>, next: Option<String>, position: i64, reply_until: Option<Time>) -> Response {
    ([(POSITION, position)], Json(Entries { data, next, position, reply_until })).into_response()
}

/// For whom products are picked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PickerOptions {
    /// The contact, company or user who asks.
    requester_id: Id,
    /// Which of them; a contact by default.
    requester_kind: Option<PartyKind>,
    /// Part of the product's name, or of a contract or serial number.
    search: Option<String>,
    /// Entries: 1 to 1000, 100 by default.
    limit: Option<i64>,
    /// Wait until the picker reflects this position.
    min_position: Option<i64>,
}

async fn picker(
    State(app): State<App>,
    caller: Caller,
    query: Given<PickerOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", Entitlement::KIND))?;
    let Given { asked: options, mut faults } = query;
    let requester = Party { kind: options.requester_kind.unwrap_or(PartyKind::Contact), id: options.requester_id };
    let limit = faults.check(page_size(options.limit))?.unwrap_or_default();
    let wanted = faults.check(request::min_position(&app, &headers, options.min_position).await)?.flatten();
    faults.done()?;
    for read_model in [ProductHolders::NAME, "product_catalogue", "contacts", "redirects"] {
        request::reach(&app, read_model, wanted).await?;
    }
    let position = app.reads().models.position(ProductHolders::NAME).await?;
    let search = options.search.as_deref();
    let sight = app.sight_at(&caller, wanted).await?;
    let mut data =
        projections::entitlement_picker(&app.reads().pool, caller.tenant, requester, app.now(), search, &sight, limit)
            .await?;
    let list = List::of::<ProductHolders>();
    projections::veil(list, &mut *app.reads().pool.acquire().await?, caller.tenant, &sight, &mut data).await?;
    Ok(respond(data, None, position))
}

/// Which tickets are counted, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ReportOptions {
    /// Opened on this day (UTC) or later.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    from: Option<Date>,
    /// Opened on this day (UTC) or earlier.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    to: Option<Date>,
    /// Divided by day, week or month; not divided by default.
    interval: Option<Interval>,
    /// Wait until the report reflects this position.
    min_position: Option<i64>,
}

/// Tickets by product.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TicketsByProduct")]
pub(in crate::http) struct Report {
    /// Products with most tickets first; by period, oldest first, when divided.
    data: Vec<TicketsOfProduct>,
    /// The position that the numbers reflect.
    position: i64,
}

async fn tickets_by_product(
    State(app): State<App>,
    caller: Caller,
    query: Given<ReportOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("report.read")?;
    if let Some(feature) = ["ticket.read", "product.read"].iter().find_map(|read| caller.missing_feature(read)) {
        return Err(feature.disabled().into());
    }
    let Given { asked: options, mut faults } = query;
    let wanted = faults.check(request::min_position(&app, &headers, options.min_position).await)?.flatten();
    faults.done()?;
    request::reach(&app, TicketList::NAME, wanted).await?;
    let position = app.reads().models.position(TicketList::NAME).await?;
    let ReportOptions { from, to, interval, .. } = options;
    let sight = app.sight_at(&caller, wanted).await?;
    let data = projections::tickets_by_product(&app.reads().pool, caller.tenant, &sight, (from, to), interval).await?;
    Ok(([(POSITION, position)], Json(Report { data, position })).into_response())
}
