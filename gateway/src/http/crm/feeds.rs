//! Feeds: what happened to a record and to whatever belongs to it, and what concerns me.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use domain::{Aggregate, Id, Time, catalogue, kernel::reference::Subject, org::user::User};
use eventstore::Direction;
use projections::{
    ReadModel,
    crm::feed::{self, Asked, Entry, Feed},
    desk::ticket_thread::TicketThread,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::kernel::{
    commands::id_of,
    events::{page_size, with_parameter_instead},
    moment::past,
    request::{self, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// The kinds of records that have a feed of their own: whatever may be remarked about.
pub(in crate::http) const KINDS: &[&str] = &[
    "contact",
    "company",
    "property",
    "enquiry",
    "deal",
    "order",
    "ticket",
    "lead",
    "project",
    "task",
    "conversation",
    "email",
    "call",
    "offer",
    "entitlement",
    "product",
    "product_category",
    "user",
    "team",
    "role",
    "rule",
    "rule_run",
    "label",
    "quick_reply",
    "report",
    "dashboard",
    "view",
    "channel",
    "chatbot",
    "article",
    "article_category",
    "form",
    "form_submission",
    "intake_source",
    "upload",
    "webhook",
];

/// Whether records of this kind have a feed.
pub(in crate::http) fn has_feed(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// `GET /{kind}/{id}/feed` for every kind that has one, and `GET /me/feed`.
pub(in crate::http) fn routes() -> Routes {
    struct Mount(Routes);
    impl catalogue::Visitor for Mount {
        fn visit<A: Aggregate>(&mut self) {
            if has_feed(A::KIND) {
                let routes = std::mem::take(&mut self.0);
                self.0 = routes.get(&format!("/{}/{{id}}/feed", A::PLURAL), of_record::<A>);
            }
        }
    }
    let mut mount = Mount(Routes::new().get("/me/feed", mine));
    catalogue::visit_all(&mut mount);
    mount.0
}

/// In which order a feed is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// What happened last comes first.
    #[default]
    Newest,
    /// What happened first comes first.
    Oldest,
}

/// Which part of a feed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct FeedOptions {
    /// The page after this cursor.
    after: Option<String>,
    /// The page before this cursor: what is newer, when the newest come first.
    before: Option<String>,
    /// Comma-separated kinds of records and types of events: `offer,comment,deal.won`. The rest is left out.
    types: Option<String>,
    /// `newest` (the default) or `oldest` first.
    order: Order,
    /// Entries on a page: 1 to 1000, 100 by default.
    limit: Option<i64>,
    /// An instant or a day: what had happened by then, among what belonged together then; or a position of the log.
    as_of: Option<String>,
    /// An instant or a day: what was known here by then.
    known_at: Option<String>,
    /// Wait until the feed reflects this position.
    min_position: Option<i64>,
}

/// An entry and where to go from it.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Shown {
    #[serde(flatten)]
    entry: Entry,
    /// `event` is the page of the log that begins with its event, `record` the record it happened to.
    links: BTreeMap<&'static str, String>,
}

/// A page of a feed.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct FeedPage {
    /// Entries, in the order asked for.
    data: Vec<Shown>,
    /// The page that follows; null on the last.
    next: Option<String>,
    /// The page before this one, what is yet to come included. What is told late, or brought in by a new reference, may stand
    /// elsewhere.
    previous: String,
    /// The position that the page reflects.
    position: i64,
}

async fn of_record<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<FeedOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", A::KIND))?;
    let id = id_of::<A>(&caller, &id)?;
    // What a colleague did is the auditor's to know.
    if A::KIND == User::KIND && id != caller.actor.principal() {
        caller.must("event.read")?;
    }
    let (asked, wanted) = asked(&app, &caller, Subject::new(A::KIND, id), &headers, options).await?;
    app.must_show(&caller, A::KIND, id).await?;
    let first = app.log.read_stream(&caller.tenant.to_string(), &A::stream(id), 0, Direction::Forward, 1).await?;
    if !first.first().is_some_and(|first| asked.part.as_of.is_none_or(|as_of| as_of.includes(first))) {
        let kind = A::KIND;
        let detail = format!("There is no such {}.", kind.replace('_', " "));
        return Err(Problem::missing(format!("{kind}_unknown"), detail));
    }
    read(&app, &caller, asked, wanted, &uri).await
}

/// What I did, and what happened to what is mine: assigned to me, owned or followed by me.
async fn mine(
    State(app): State<App>,
    caller: Caller,
    options: Given<FeedOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let me: Id = caller.actor.principal();
    let (asked, wanted) = asked(&app, &caller, Subject::new("user", me), &headers, options).await?;
    read(&app, &caller, asked, wanted, &uri).await
}

/// A part of a feed, and how it is read.
struct Part {
    part: Asked,
    order: Order,
    backwards: bool,
}

/// What is asked of a feed, and the position that it must reflect.
async fn asked(
    app: &App,
    caller: &Caller,
    subject: Subject,
    headers: &HeaderMap,
    options: Given<FeedOptions>,
) -> Result<(Part, Option<i64>), Problem> {
    let Given { asked: options, mut faults } = options;
    let after = faults.check(options.after.as_deref().map(|after| cursor(after, "/after")).transpose())?.flatten();
    let before = faults.check(options.before.as_deref().map(|before| cursor(before, "/before")).transpose())?.flatten();
    if options.after.is_some() && options.before.is_some() {
        faults.check::<()>(Err(Problem::invalid("cursor_invalid", "Give after or before, not both.").at("/before")))?;
    }
    let (kinds, types) = faults.check(names(options.types.as_deref()))?.unwrap_or_default();
    let limit = faults.check(page_size(options.limit))?.unwrap_or_default();
    let as_of = past(app, caller, options.as_of.as_deref(), options.known_at.as_deref()).await;
    let as_of = faults.check(as_of)?.flatten();
    let wanted = faults.check(request::min_position(app, headers, options.min_position).await)?.flatten();
    faults.done()?;
    let may = |kind: &&&str| !caller.may(&format!("{kind}.read"));
    let hidden: Vec<String> = feed::KINDS.iter().filter(may).map(|kind| (*kind).to_owned()).collect();
    let backwards = before.is_some();
    let part = Asked {
        subject,
        beyond: before.or(after),
        forward: (options.order == Order::Oldest) != backwards,
        limit,
        kinds,
        types,
        hidden,
        outside: caller.is_outside(),
        as_of,
        sight: app.sight_at(caller, wanted).await?,
    };
    Ok((Part { part, order: options.order, backwards }, wanted))
}

async fn read(app: &App, caller: &Caller, asked: Part, wanted: Option<i64>, uri: &Uri) -> Result<Response, Problem> {
    let Part { part: asked, order, backwards } = asked;
    for read_model in [Feed::NAME, TicketThread::NAME] {
        request::reach(app, read_model, wanted).await?;
    }
    let position = app.reads().models.position(Feed::NAME).await?;
    let feed::Page { mut entries, more } = feed::page(&app.log, caller.tenant, &asked).await?;
    if backwards {
        entries.reverse();
    }
    let newest = order == Order::Newest;
    let link =
        |name: &str, other: &str, place: (Time, i64)| with_parameter_instead(uri, name, &cursor_of(place), other);
    let place = |entry: &Entry| (entry.occurred_at, entry.position);
    // Whoever came back from somewhere can go on to there.
    let next = entries.last().filter(|_| more || backwards).map(|last| link("after", "before", place(last)));
    // An empty page lies behind all there is: behind the entry after which it was to begin, if there was one.
    let behind = match asked.beyond {
        Some(beyond) if backwards => beyond,
        Some((at, position)) if newest => (at, position.saturating_sub(1)),
        Some((at, position)) => (at, position.saturating_add(1)),
        None if newest => FIRST,
        None => LAST,
    };
    let previous = link("before", "after", entries.first().map_or(behind, place));
    let data = entries.into_iter().map(show).collect();
    Ok(([(POSITION, position)], Json(FeedPage { data, next, previous, position })).into_response())
}

/// What happened lately to a record that the caller sees, and to what belongs to it.
pub(in crate::http) async fn lately(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    record: &Subject,
    limit: i64,
) -> Result<Vec<Entry>, Problem> {
    caller.must(&format!("{}.read", record.kind))?;
    if record.kind == User::KIND && record.id != caller.actor.principal() {
        caller.must("event.read")?;
    }
    app.must_show(caller, &record.kind, record.id).await?;
    let options = Given {
        asked: FeedOptions { limit: Some(limit), ..FeedOptions::default() },
        faults: request::Faults::default(),
    };
    let (Part { part, .. }, wanted) = asked(app, caller, record.clone(), headers, options).await?;
    for read_model in [Feed::NAME, TicketThread::NAME] {
        request::reach(app, read_model, wanted).await?;
    }
    Ok(feed::page(&app.log, caller.tenant, &part).await?.entries)
}

fn show(entry: Entry) -> Shown {
    let event = format!("/v1/events?after={}&limit=1", entry.position - 1);
    let record = entry.subjects.first().and_then(|record| {
        let kind = catalogue::kind(&record.kind)?;
        Some(format!("/v1/{}/{}", kind.plural, record.id))
    });
    let links = [("event", Some(event)), ("record", record)];
    Shown { entry, links: links.into_iter().filter_map(|(name, link)| Some((name, link?))).collect() }
}

/// The kinds of records and the types of events asked for.
fn names(types: Option<&str>) -> Result<(Vec<String>, Vec<String>), Problem> {
    let (mut kinds, mut events) = (Vec::new(), Vec::new());
    let names = types.into_iter().flat_map(|types| types.split(','));
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        let kind = name.split('.').next().unwrap_or(name);
        if !feed::KINDS.contains(&kind) || (name != kind && !catalogue::has_event(name)) {
            let detail = format!(
                "types names kinds of records and types of events, such as offer,comment,deal.won; feeds show no {name}. \
                 There are: {}.",
                feed::KINDS.join(", ")
            );
            return Err(Problem::invalid("feed_type_unknown", detail).at("/types"));
        }
        let list = if name == kind { &mut kinds } else { &mut events };
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    }
    events.retain(|event: &String| !kinds.iter().any(|kind| event.split('.').next() == Some(kind)));
    Ok((kinds, events))
}

/// Before all entries, and after all of them, as far as times reach in the database.
const FIRST: (Time, i64) = (Time::constant(-62_135_596_800, 0), 0);
const LAST: (Time, i64) = (Time::constant(253_370_764_800, 0), i64::MAX);

fn cursor_of((at, position): (Time, i64)) -> String {
    format!("{}-{position}", at.as_microsecond())
}

fn cursor(text: &str, place: &str) -> Result<(Time, i64), Problem> {
    let read = || {
        let (micros, position) = text.rsplit_once('-')?;
        Some((Time::from_microsecond(micros.parse().ok()?).ok()?, position.parse().ok()?))
    };
    let invalid = || Problem::invalid("cursor_invalid", "after and before are cursors of pages of a feed.").at(place);
    read().ok_or_else(invalid)
}
