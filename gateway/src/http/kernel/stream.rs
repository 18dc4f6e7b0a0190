//! The log as it grows, over server-sent events: a client that reconnects with `Last-Event-ID` misses nothing.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use eventstore::{Direction, Query, Recorded};
use futures::Stream;
use tokio::sync::watch;

use crate::http::kernel::{
    events::{Filter, shown},
    request::{self, Given},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem, sign_in::Browser};

/// How often a quiet stream says that it lives, and how far it has come.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait after the log could not be read.
const PAUSE: Duration = Duration::from_millis(100);
/// Events read at once.
const PAGE: i64 = 500;

/// `GET /events/stream`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/events/stream", follow)
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
    let last = request::text(&headers, "last-event-id")?.filter(|id| !id.is_empty());
    let resume = last.map(str::parse).transpose().map_err(|_| {
        Problem::bad_request("last_event_id_invalid", "Last-Event-ID is the position of the last event you have seen.")
    })?;
    let head = app.log.tail().watch();
    request::min_position(&app, &headers, None).await?;
    let position = match resume.or(filter.after) {
        // Of another log, or of one that has been set back: waiting for it would miss what comes before.
        Some(position) => {
            let place = if resume.is_some() { "" } else { "/after" };
            faults.check(request::must_exist(&app, position, place).await)?;
            position
        }
        None => app.log.head().await?,
    };
    faults.done()?;
    let follower = Follower {
        tenant: caller.tenant.to_string(),
        caller,
        types,
        categories,
        stream: filter.stream,
        position,
        said: position,
        ready: VecDeque::new(),
        head,
        headers,
        browser: browser.listening(),
        checked: Instant::now(),
        app,
    };
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

/// One client's place in the log.
struct Follower {
    app: App,
    caller: Caller,
    tenant: String,
    types: Vec<String>,
    categories: Vec<String>,
    stream: Option<String>,
    /// Everything up to here has been looked at.
    position: i64,
    /// The last position the client was told.
    said: i64,
    ready: VecDeque<Arc<Recorded>>,
    head: watch::Receiver<i64>,
    headers: HeaderMap,
    browser: Browser,
    checked: Instant,
}

impl Follower {
    /// The next event to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.stopping.is_cancelled() || !self.still_allowed().await {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                match self.app.hides_event(&self.caller, &event).await {
                    Ok(false) => {}
                    Ok(true) => continue,
                    Err(_) => return None,
                }
                self.said = event.position;
                let shown = shown(&event).ok()?;
                let sse = Event::default().id(event.position.to_string()).event(&*event.kind);
                return sse.json_data(shown).ok();
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
            self.ready.extend(wanted);
            return Ok(());
        }
        let query = Query {
            tenant: Some(self.tenant.clone()),
            after: Some(self.position),
            until: Some(head),
            direction: Direction::Forward,
            limit: PAGE,
            categories: self.categories.clone(),
            types: self.types.clone(),
            stream: self.stream.clone(),
            ..Query::default()
        };
        let events = self.app.log.read_all(&query).await?;
        let full = events.len() as i64 == PAGE;
        self.position = events.last().filter(|_| full).map_or(head, |event| event.position);
        self.ready.extend(events.into_iter().map(Arc::new));
        Ok(())
    }

    fn wants(&self, event: &Recorded) -> bool {
        *event.tenant == *self.tenant
            && (self.types.is_empty() || self.types.iter().any(|name| *name == *event.kind))
            && (self.categories.is_empty() || self.categories.iter().any(|name| name == event.category()))
            && self.stream.as_ref().is_none_or(|stream| **stream == *event.stream)
    }

    /// Looks at the key or session again now and then: a revoked one sees no more. Without the database nothing is seen anyway.
    async fn still_allowed(&mut self) -> bool {
        if self.checked.elapsed() < HEARTBEAT {
            return true;
        }
        let caller = self.app.log.presence().guard(self.app.caller(&self.headers, &self.browser)).await;
        let Ok(caller) = caller else { return true };
        self.checked = Instant::now();
        matches!(caller, Ok(caller) if caller.may("event.read"))
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
