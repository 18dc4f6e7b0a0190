//! The log as it grows, which records change in it, and the inbox, over server-sent events: a client that reconnects with
//! `Last-Event-ID` misses nothing.

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
    chat::conversation::Conversation,
    insight::{dashboard::Dashboard, report::Report},
    kernel::access::tells,
    org::notifying::Medium,
    work::notification::{self, Notification},
};
use eventstore::{Direction, Log, Query, Recorded};
use futures::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use crate::http::{
    insight::dashboards::{Board, Followed},
    kernel::{
        events::{Filter, shown},
        request::{self, Faults, Given},
        routes::Routes,
    },
};
use crate::{
    app::App,
    auth::Caller,
    live::{Attending, Sent},
    problem::Problem,
    sign_in::Browser,
};

/// How often a quiet stream says that it lives, and how far it has come.
pub(in crate::http) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait after the log could not be read.
const PAUSE: Duration = Duration::from_millis(100);
/// Events read at once.
pub(in crate::http) const PAGE: i64 = 500;

/// Without it there is no inbox.
const READ_CHATS: &str = "conversation.read";
/// The event by which a colleague comes or goes.
const PRESENCE_CHANGED: &str = "user.presence_changed";

/// Kinds of records that say what somebody may and sees.
const DECIDING: &[&str] = &["user", "role", "team", "channel", "tenant", "session", "api_key"];

/// `GET /events/stream`, `GET /changes/stream`, `GET /dashboards/{id}/stream`, `GET /inbox/stream` and
/// `GET /me/notifications/stream`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/events/stream", follow)
        .get("/changes/stream", changes)
        .get("/dashboards/{id}/stream", board)
        .get("/inbox/stream", inbox)
        .get("/me/notifications/stream", notifications)
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

/// A conversation that one sees no longer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GoneConversation")]
pub(in crate::http) struct Gone {
    /// Its id.
    conversation: Id,
    /// The position of the event by which one lost it.
    position: i64,
}

async fn inbox(
    State(app): State<App>,
    caller: Caller,
    query: Given<Since>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(READ_CHATS)?;
    let Given { asked: Since { after }, faults } = query;
    let (shown, signals) = app.signals.listen(caller.tenant);
    let told = Told::Inbox(Box::new(Screen { shown: shown.into(), signals, attending: None }));
    begin(app, caller, browser, headers, (told, after), faults).await
}

/// What happened to a notification.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NotificationChange")]
enum Became {
    /// It is new.
    Sent,
    /// It has been read, on whatever screen.
    Read,
}

/// A notification of one's own that is new, or has been read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedNotification")]
pub(in crate::http) struct ChangedNotification {
    /// Its id.
    notification: Id,
    /// What happened to it.
    became: Became,
    /// The position of the event that tells so.
    position: i64,
}

async fn notifications(
    State(app): State<App>,
    caller: Caller,
    query: Given<Since>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked: Since { after }, faults } = query;
    begin(app, caller, browser, headers, (Told::Notifications, after), faults).await
}

/// Begins to tell what comes after a position, or after the last that the client has seen.
async fn begin(
    app: App,
    caller: Caller,
    browser: Browser,
    headers: HeaderMap,
    (mut told, after): (Told, Option<i64>),
    mut faults: Faults,
) -> Result<Response, Problem> {
    let resume = last_event(&headers)?;
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
    if let Told::Inbox(screen) = &mut told
        // Whoever listens in another's name is not there for him.
        && caller.actor.on_behalf_of.is_none()
    {
        screen.attending = Some(app.attend(caller.tenant, caller.actor.id).await?);
    }
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

/// The last event that a client has seen, if it says so.
pub(in crate::http) fn last_event(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let unfit = || {
        Problem::bad_request("last_event_id_invalid", "Last-Event-ID is the position of the last event you have seen.")
    };
    let last = request::text(headers, "last-event-id")?.filter(|id| !id.is_empty());
    let last = last.map(str::parse::<i64>).transpose().map_err(|_| unfit())?;
    if last.is_some_and(|position| position < 0) { Err(unfit()) } else { Ok(last) }
}

pub(in crate::http) fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
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
    /// Which notifications of his own are new, and which have been read.
    Notifications,
    /// What happens in the conversations that he sees, which colleagues are there, and what these are doing.
    Inbox(Box<Screen>),
}

/// A screen that shows the inbox.
struct Screen {
    /// Signals to be shown before others.
    shown: VecDeque<Arc<Sent>>,
    signals: broadcast::Receiver<Arc<Sent>>,
    /// Kept as long as it is open.
    attending: Option<Attending>,
}

impl Screen {
    /// The next signal, of whatever tenant. It may be given up at any moment.
    async fn next(&mut self) -> Arc<Sent> {
        if let Some(sent) = self.shown.pop_front() {
            return sent;
        }
        loop {
            match self.signals.recv().await {
                Ok(sent) => return sent,
                // What was missed is repeated, or over.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Told {
    /// The next signal, where such are shown.
    async fn signal(&mut self) -> Arc<Sent> {
        match self {
            Told::Inbox(screen) => screen.next().await,
            _ => std::future::pending().await,
        }
    }

    /// Whether an event may concern the inbox.
    fn is_of_inbox(event: &Recorded) -> bool {
        event.category() == Conversation::KIND || &*event.kind == PRESENCE_CHANGED
    }

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
                sent = self.told.signal() => if let Some(shown) = self.show(&sent).await { return Some(shown) },
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

    /// What is told of a signal; `None` when it is none of the client's business.
    async fn show(&self, sent: &Sent) -> Option<Event> {
        let Sent { tenant, signal } = sent;
        if *tenant != self.caller.tenant || signal.by == self.caller.actor.id {
            return None;
        }
        let seen = self.app.must_show(&self.caller, Conversation::KIND, signal.conversation);
        // Without the database nobody can say who sees it; it is over soon.
        self.app.log.presence().guard(seen).await.ok()?.ok()?;
        Event::default().event("signal").json_data(signal).ok()
    }

    /// What is told of an event in the inbox.
    async fn tell_inbox(&self, event: &Recorded) -> Result<Option<Event>, Problem> {
        let sse = Event::default().id(event.position.to_string());
        let (kind, Ok(id)) = (event.category(), event.key().parse::<Id>()) else { return Ok(None) };
        if kind != Conversation::KIND && !self.caller.may("user.read") {
            return Ok(None);
        }
        let told = match self.app.must_show(&self.caller, kind, id).await {
            Ok(()) => sse.event(&*event.kind).json_data(shown(event)?),
            Err(problem) if !problem.status().is_client_error() => return Err(problem),
            Err(_) if self.app.showed_before(&self.caller, event).await? => {
                sse.event("gone").json_data(Gone { conversation: id, position: event.position })
            }
            Err(_) => return Ok(None),
        };
        told.map(Some).map_err(|error| Problem::broken(&error))
    }

    /// What is told of an event of a notification; nothing of others' and of what is about a record that he sees no longer.
    async fn tell_notification(&self, event: &Recorded) -> Result<Option<Event>, Problem> {
        let Ok(id) = event.key().parse::<Id>() else { return Ok(None) };
        let (became, sent) = match Notification::decode(&event.kind, &event.data) {
            Ok(notification::Event::Sent(sent)) => (Became::Sent, Some(sent)),
            Ok(notification::Event::Read) => {
                // What is remembered may be older than the event, but not from before it was sent.
                let known = self.app.commands.find::<Notification>(self.caller.tenant, id).await?;
                (Became::Read, known.and_then(|known| known.sent.clone()))
            }
            _ => return Ok(None),
        };
        let Some(sent) = sent.filter(|sent| sent.to == self.caller.actor.principal()) else { return Ok(None) };
        let listed = sent.medium.contains(&Medium::InApp);
        if !listed || !self.app.shows(&self.caller, &sent.record.kind, sent.record.id).await? {
            return Ok(None);
        }
        let told = ChangedNotification { notification: id, became, position: event.position };
        let told = Event::default().id(event.position.to_string()).event("notification").json_data(told);
        told.map(Some).map_err(|error| Problem::broken(&error))
    }

    /// What is told of an event; `None` when it is none of the client's business.
    async fn tell(&self, event: &Recorded, last: bool) -> Result<Option<Event>, Problem> {
        let sse = Event::default().id(event.position.to_string());
        let told = match self.told {
            Told::Inbox(_) => return self.tell_inbox(event).await,
            Told::Notifications => return self.tell_notification(event).await,
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
        let (types, categories, stream) = match &self.told {
            Told::Events { types, categories, stream } => (types.clone(), categories.clone(), stream.clone()),
            Told::Changes | Told::Widgets { .. } => (Vec::new(), Vec::new(), None),
            Told::Inbox(_) | Told::Notifications => {
                let own = if matches!(self.told, Told::Inbox(_)) { Conversation::KIND } else { Notification::KIND };
                let kinds = DECIDING.iter().copied().chain([own]);
                (Vec::new(), kinds.map(ToOwned::to_owned).collect(), None)
            }
        };
        let only = || Query { tenant: Some(self.tenant.clone()), categories, types, stream, ..Query::default() };
        let (position, events) = read_on(&self.app.log, self.position, head, only).await?;
        self.position = position;
        let wanted: Vec<_> = events.into_iter().filter(|event| self.wants(event)).collect();
        self.take_in(wanted);
        Ok(())
    }

    /// Keeps what is to be told of events that were read together: of each record that changed, what did so last, and what may
    /// have taken somebody's sight of it.
    fn take_in(&mut self, mut events: Vec<Arc<Recorded>>) {
        let decides = |event: &Recorded| DECIDING.contains(&event.category()) && &*event.kind != PRESENCE_CHANGED;
        if !matches!(self.told, Told::Events { .. }) && events.iter().any(|event| decides(event)) {
            self.checked = None;
        }
        match self.told {
            Told::Inbox(_) => events.retain(|event| Told::is_of_inbox(event)),
            Told::Notifications => events.retain(|event| event.category() == Notification::KIND),
            _ => {}
        }
        if let Told::Changes | Told::Widgets { .. } = self.told {
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
            Told::Inbox(_) => Told::is_of_inbox(event) || DECIDING.contains(&event.category()),
            Told::Notifications => event.category() == Notification::KIND || DECIDING.contains(&event.category()),
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
            Told::Changes | Told::Notifications => true,
            Told::Inbox(_) => caller.may(READ_CHATS),
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

/// Reads on from a position, and how far: recent events of all sorts from memory, of older ones by the log's indexes only those
/// that are asked for.
pub(in crate::http) async fn read_on(
    log: &Log,
    position: i64,
    head: i64,
    only: impl FnOnce() -> Query,
) -> Result<(i64, Vec<Arc<Recorded>>), eventstore::Error> {
    if head - position <= 4 * PAGE {
        let events = log.tail().after(position, PAGE).await?;
        return Ok((events.last().map_or(position, |event| event.position), events));
    }
    let query =
        Query { after: Some(position), until: Some(head), direction: Direction::Forward, limit: PAGE, ..only() };
    let events = log.read_all(&query).await?;
    let full = events.len() as i64 == PAGE;
    let position = events.last().filter(|_| full).map_or(head, |event| event.position);
    Ok((position, events.into_iter().map(Arc::new).collect()))
}

/// Whether the log cannot be read only because its database is away.
fn is_away(error: &eventstore::Error) -> bool {
    match error {
        eventstore::Error::Lost(_) => true,
        eventstore::Error::Database(error) => eventstore::is_away(error),
        _ => false,
    }
}
