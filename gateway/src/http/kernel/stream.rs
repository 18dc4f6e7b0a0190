//! The log as it grows, and which records change in it, over server-sent events: a client that reconnects with `Last-Event-ID`
//! misses nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use domain::{
    Aggregate, Id, catalogue,
    insight::{dashboard::Dashboard, report::Report},
    kernel::access::tells,
};
use eventstore::{Direction, Query, Recorded};
use futures::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::http::{
    insight::dashboards::{Board, Followed},
    kernel::{
        events::{Filter, shown},
        request::{self, Faults, Given},
        routes::Routes,
    },
};
use crate::{app::App, auth::Caller, problem::Problem, sign_in::Browser};

/// How often a quiet stream says that it lives, and how far it has come.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait after the log could not be read.
const PAUSE: Duration = Duration::from_millis(100);
/// Events read at once.
const PAGE: i64 = 500;

/// Kinds of records that say what somebody may and sees.
const DECIDING: &[&str] = &["user", "role", "team", "channel", "tenant", "session", "api_key"];

/// `GET /events/stream`, `GET /changes/stream` and `GET /dashboards/{id}/stream`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/events/stream", follow).get("/changes/stream", changes).get("/dashboards/{id}/stream", board)
}

async fn follow(
    State(app): State<App>,
    caller: Caller,
    query: Given<Filter>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("event.read")?;
    let Given { asked: filter, mut faults } = query;
    for name in filter.not_followed() {
        let problem = request::parameter_invalid(&format!("/{name}"), format!("A stream knows no {name}."));
        faults.check::<()>(Err(problem))?;
    }
    let (types, categories) = filter.names(&mut faults)?;
    let told = Told::Events { types, categories, stream: filter.stream };
    begin(app, caller, browser, headers, (told, filter.after), faults).await
}

/// Since when.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Since {
    /// Only what changed after this position.
    after: Option<i64>,
}

/// A record that changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedRecord")]
pub(in crate::http) struct Changed {
    /// Its kind.
    kind: String,
    /// Its id.
    id: Id,
    /// The position of the event by which it did.
    position: i64,
}

/// That one sees more or less than before.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedAccess")]
pub(in crate::http) struct ChangedAccess {
    /// The position up to which this is known.
    position: i64,
}

/// What somebody's sight depends on besides the records: what he may, his teams, and who is in them.
#[derive(PartialEq, Eq)]
struct Rights {
    patterns: BTreeSet<String>,
    teams: BTreeSet<Id>,
    channels: BTreeSet<Id>,
    colleagues: BTreeSet<Id>,
}

async fn changes(
    State(app): State<App>,
    caller: Caller,
    query: Given<Since>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked: Since { after }, faults } = query;
    begin(app, caller, browser, headers, (Told::Changes, after), faults).await
}

/// Widgets that may show something else now.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ChangedWidgets {
    /// Their ids; all of them when the dashboard itself changed.
    widgets: Vec<String>,
    /// The position of the event by which they do.
    position: i64,
}

async fn board(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    query: Given<Since>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked: Since { after }, faults } = query;
    let board = Board::find(&app, &caller, &id).await?;
    let widgets = Followed::of(&app, &caller, &board).await?;
    let told = Told::Widgets { name: id, board: board.id, widgets };
    begin(app, caller, browser, headers, (told, after), faults).await
}

/// Begins to tell what comes after a position, or after the last that the client has seen.
async fn begin(
    app: App,
    caller: Caller,
    browser: Browser,
    headers: HeaderMap,
    (told, after): (Told, Option<i64>),
    mut faults: Faults,
) -> Result<Response, Problem> {
    let last = request::text(&headers, "last-event-id")?.filter(|id| !id.is_empty());
    let resume = last.map(str::parse).transpose().map_err(|_| {
        Problem::bad_request("last_event_id_invalid", "Last-Event-ID is the position of the last event you have seen.")
    })?;
    let head = app.log.tail().watch();
    request::min_position(&app, &headers, None).await?;
    let position = match resume.or(after) {
        // Of another log, or of one that has been set back: waiting for it would miss what comes before.
        Some(position) => {
            let place = if resume.is_some() { "" } else { "/after" };
            faults.check(request::must_exist(&app, position, place).await)?;
            position
        }
        None => app.log.head().await?,
    };
    faults.done()?;
    let mut follower = Follower {
        tenant: caller.tenant.to_string(),
        caller,
        told,
        position,
        said: position,
        ready: VecDeque::new(),
        head,
        headers,
        browser: browser.listening(),
        checked: Some(Instant::now()),
        rights: None,
        moved: false,
        app,
    };
    // Whoever comes back has missed what was decided about him meanwhile.
    if follower.position >= *follower.head.borrow() {
        follower.rights = follower.rights().await.ok();
    }
    let events = futures::stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|event| (Ok::<_, Infallible>(event), follower))
    });
    Ok(sse(events))
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).into_response();
    // Proxies that buffer would hold events back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

/// What a client is told.
enum Told {
    /// Events, of these types, categories and stream where such are asked for.
    Events { types: Vec<String>, categories: Vec<String>, stream: Option<String> },
    /// Which records changed among those that he sees.
    Changes,
    /// Which widgets of a dashboard may show something else, as far as he sees why.
    Widgets { name: String, board: Option<Id>, widgets: Vec<Followed> },
}

impl Told {
    /// The widgets that an event of a record concerns, where widgets are told.
    fn minding(&self, event: &Recorded, id: Id) -> Option<Vec<String>> {
        let Told::Widgets { board, widgets, .. } = self else { return None };
        let all = event.category() == Dashboard::KIND && *board == Some(id);
        let minding = widgets.iter().filter(|widget| all || widget.minds(event.category(), id, &event.data));
        Some(minding.map(|widget| widget.id.clone()).collect())
    }
}

/// One client's place in the log.
struct Follower {
    app: App,
    caller: Caller,
    tenant: String,
    told: Told,
    /// Everything up to here has been looked at.
    position: i64,
    /// The last position the client was told.
    said: i64,
    /// What is to be told, each with whether it is the last that happened to its record.
    ready: VecDeque<(Arc<Recorded>, bool)>,
    head: watch::Receiver<i64>,
    headers: HeaderMap,
    browser: Browser,
    /// When it was last looked who he is and what he may; `None` where that may have changed since.
    checked: Option<Instant>,
    /// What he saw by when that was last looked at; `None` where that may have been long ago.
    rights: Option<Rights>,
    /// Whether that has changed since he was told.
    moved: bool,
}

impl Follower {
    /// The next event to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.stopping.is_cancelled() || !self.still_allowed().await {
                return None;
            }
            if std::mem::take(&mut self.moved) {
                // What is still to be told comes after it.
                let (sse, position) = (Event::default().id(self.said.to_string()), self.position);
                let told = match &self.told {
                    Told::Widgets { widgets, .. } => {
                        let widgets = widgets.iter().map(|widget| widget.id.clone()).collect();
                        sse.event("changed").json_data(ChangedWidgets { widgets, position })
                    }
                    _ => sse.event("access").json_data(ChangedAccess { position }),
                };
                return told.ok();
            }
            if let Some((event, last)) = self.ready.pop_front() {
                let told = match self.follow_anew(&event).await {
                    Ok(()) => self.tell(&event, last).await,
                    Err(problem) => Err(problem),
                };
                match told {
                    Ok(None) => continue,
                    Ok(Some(told)) => {
                        self.said = event.position;
                        return Some(told);
                    }
                    Err(_) => return None,
                }
            }
            let stopping = self.app.stopping.clone();
            if self.position < *self.head.borrow_and_update() {
                let presence = self.app.log.presence().clone();
                match presence.guard(self.read()).await.unwrap_or_else(|lost| Err(lost.into())) {
                    Ok(()) => continue,
                    Err(error) if !is_away(&error) => {
                        tracing::warn!(%error, "an event stream ends because the log cannot be read");
                        return None;
                    }
                    Err(_) => {}
                }
                // It goes on where it was when the database is back.
                tokio::select! {
                    () = async { tokio::time::sleep(PAUSE).await; presence.found().await } => continue,
                    () = stopping.cancelled() => return None,
                    () = tokio::time::sleep(HEARTBEAT) => return Some(self.heartbeat()),
                }
            }
            tokio::select! {
                moved = self.head.changed() => if moved.is_err() { return None },
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep(HEARTBEAT) => return Some(self.heartbeat()),
            }
        }
    }

    /// Looks at a dashboard again that has changed, or at a report that it shows.
    async fn follow_anew(&mut self, event: &Recorded) -> Result<(), Problem> {
        let Told::Widgets { name, widgets, .. } = &mut self.told else { return Ok(()) };
        if ![Dashboard::KIND, Report::KIND].contains(&event.category()) {
            return Ok(());
        }
        let board = Board::find(&self.app, &self.caller, name).await?;
        *widgets = Followed::of(&self.app, &self.caller, &board).await?;
        Ok(())
    }

    /// What is told of an event; `None` when it is none of the client's business.
    async fn tell(&self, event: &Recorded, last: bool) -> Result<Option<Event>, Problem> {
        let sse = Event::default().id(event.position.to_string());
        let told = match self.told {
            Told::Events { .. } if self.app.hides_event(&self.caller, event).await? => return Ok(None),
            Told::Events { .. } => sse.event(&*event.kind).json_data(shown(event)?),
            Told::Changes | Told::Widgets { .. } => {
                let (kind, Ok(id)) = (event.category(), event.key().parse::<Id>()) else { return Ok(None) };
                let minding = self.told.minding(event, id);
                if minding.as_ref().is_some_and(Vec::is_empty) {
                    return Ok(None);
                }
                if !self.caller.may(&format!("{kind}.read")) {
                    return Ok(None);
                }
                match self.app.must_show(&self.caller, kind, id).await {
                    Ok(()) if last => {}
                    Ok(()) => return Ok(None),
                    Err(problem) if !problem.status().is_client_error() => return Err(problem),
                    // Whoever has just lost it is told that too.
                    Err(_) if self.app.showed_before(&self.caller, event).await? => {}
                    Err(_) => return Ok(None),
                }
                let position = event.position;
                match minding {
                    Some(widgets) => sse.event("changed").json_data(ChangedWidgets { widgets, position }),
                    None => sse.event("changed").json_data(Changed { kind: kind.to_owned(), id, position }),
                }
            }
        };
        told.map(Some).map_err(|error| Problem::broken(&error))
    }

    /// Says that the stream lives. An id without data moves the client's Last-Event-ID, so that it need not look at all
    /// this again.
    fn heartbeat(&mut self) -> Event {
        self.said = self.position;
        Event::default().id(self.position.to_string()).comment("here")
    }

    /// Reads on: recent events from memory, older ones by the log's indexes.
    async fn read(&mut self) -> Result<(), eventstore::Error> {
        let head = *self.head.borrow();
        if head - self.position <= 4 * PAGE {
            let events = self.app.log.tail().after(self.position, PAGE).await?;
            self.position = events.last().map_or(self.position, |event| event.position);
            let wanted: Vec<_> = events.into_iter().filter(|event| self.wants(event)).collect();
            self.take_in(wanted);
            return Ok(());
        }
        let (types, categories, stream) = match &self.told {
            Told::Events { types, categories, stream } => (types.clone(), categories.clone(), stream.clone()),
            Told::Changes | Told::Widgets { .. } => (Vec::new(), Vec::new(), None),
        };
        let query = Query {
            tenant: Some(self.tenant.clone()),
            after: Some(self.position),
            until: Some(head),
            direction: Direction::Forward,
            limit: PAGE,
            categories,
            types,
            stream,
            ..Query::default()
        };
        let events = self.app.log.read_all(&query).await?;
        let full = events.len() as i64 == PAGE;
        self.position = events.last().filter(|_| full).map_or(head, |event| event.position);
        self.take_in(events.into_iter().map(Arc::new).collect());
        Ok(())
    }

    /// Keeps what is to be told of events that were read together: of each record that changed, what did so last, and what may
    /// have taken somebody's sight of it.
    fn take_in(&mut self, events: Vec<Arc<Recorded>>) {
        if let Told::Changes | Told::Widgets { .. } = self.told {
            if events.iter().any(|event| DECIDING.contains(&event.category())) {
                self.checked = None;
            }
            let last: BTreeMap<_, _> = events.iter().map(|event| (event.stream.clone(), event.position)).collect();
            let takes = |event: &Recorded| event.kind.split_once('.').is_some_and(|(kind, name)| tells(kind, name));
            let known = events.into_iter().filter(|event| catalogue::has(event.category()));
            let known = known.map(|event| (last.get(&event.stream) == Some(&event.position), event));
            self.ready.extend(known.filter(|(last, event)| *last || takes(event)).map(|(last, event)| (event, last)));
            return;
        }
        self.ready.extend(events.into_iter().map(|event| (event, true)));
    }

    fn wants(&self, event: &Recorded) -> bool {
        let fits = match &self.told {
            Told::Events { types, categories, stream } => {
                (types.is_empty() || types.iter().any(|name| *name == *event.kind))
                    && (categories.is_empty() || categories.iter().any(|name| name == event.category()))
                    && stream.as_ref().is_none_or(|stream| **stream == *event.stream)
            }
            Told::Changes | Told::Widgets { .. } => true,
        };
        fits && *event.tenant == *self.tenant
    }

    /// What he sees by now.
    async fn rights(&self) -> Result<Rights, Problem> {
        let teams = self.app.commands.teams(self.caller.tenant).await?;
        let (me, patterns) = (self.caller.actor.principal(), self.caller.authority.patterns());
        Ok(Rights { patterns, teams: teams.of(me), channels: teams.channels_of(me), colleagues: teams.colleagues(me) })
    }

    /// Who the client is and what he may now.
    async fn look(&self) -> Result<Caller, Problem> {
        if self.checked.is_none() {
            self.app.recall(&self.caller).await?;
        }
        self.app.caller(&self.headers, &self.browser).await
    }

    /// Looks at the key or session again now and then: a revoked one sees no more. Without the database nothing is seen anyway.
    async fn still_allowed(&mut self) -> bool {
        if self.checked.is_some_and(|checked| checked.elapsed() < HEARTBEAT) {
            return true;
        }
        let caller = self.app.log.presence().guard(self.look()).await;
        let Ok(caller) = caller else { return true };
        let decided = self.checked.replace(Instant::now()).is_none();
        let Ok(caller) = caller else { return false };
        let is_allowed = match self.told {
            Told::Events { .. } => caller.may("event.read"),
            Told::Changes => true,
            Told::Widgets { board: None, .. } => caller.may("report.read"),
            Told::Widgets { board: Some(id), .. } => {
                caller.may("dashboard.read") && self.app.must_show(&caller, Dashboard::KIND, id).await.is_ok()
            }
        };
        self.caller = caller;
        if let Told::Events { .. } = self.told {
            return is_allowed;
        }
        if let Ok(Ok(rights)) = self.app.log.presence().guard(self.rights()).await {
            self.moved |= match &self.rights {
                Some(before) => *before != rights,
                None => decided,
            };
            self.rights = Some(rights);
        }
        is_allowed
    }
}

/// Whether the log cannot be read only because its database is away.
fn is_away(error: &eventstore::Error) -> bool {
    match error {
        eventstore::Error::Lost(_) => true,
        eventstore::Error::Database(error) => eventstore::is_away(error),
        _ => false,
    }
}
