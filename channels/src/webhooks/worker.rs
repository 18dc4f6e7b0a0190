//! One webhook: reads on in the log, tells what it is asked for, several records at once and the events of a record one after the other, and
//! tries again what was not taken.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use commands::{Clock, Commands, Envelope, Refused, Selection};
use domain::{
    Actor, Aggregate, Id, Time, Via, catalogue,
    work::webhook::{Cause, Command, Settings, TESTED, Webhook, asks_for},
};
use eventstore::{Direction, Query, Recorded};
use reqwest::StatusCode;
use serde_json::{Map, Value};
use sqlx::PgPool;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
};
use uuid::Uuid;

use super::{
    Look, message_id,
    metrics::Metrics,
    store::{self, Attempt, Becomes, Key, Lane, ONCE, Place},
};
use crate::{
    calling::{Answered, Call, Caller, Silence},
    outbox::Secrets,
    turn::backoff,
};

/// Calls of one webhook under way at once.
const AT_ONCE: usize = 8;
/// Of those, calls that were tried before: they take nobody's place for long.
const AGAIN_AT_ONCE: usize = 4;
/// Events read on and not finished.
const WINDOW: usize = 64;
/// Events read at once.
const PAGE: i64 = 256;
/// Times that it is read on before it is looked what else there is to do.
const PAGES: usize = 16;
/// Events up to the end of the log that are read from memory.
const RECENT: i64 = 1024;
/// Records that may wait: with more it reads on no further.
pub(super) const MOST_LANES: i64 = 1000;
/// Records that fail with no success in between, after which it is the receiver that is taken to be down: from then on there is one
/// attempt at a time.
const DOWN: usize = 5;
/// While it is, so many records are tried for the first time.
const PROBED: usize = 64;
/// From the first attempt to the second; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 60 * 60);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How long one looks away when nothing tells that there is something to do, and how often it is written down how far it is.
const IDLE: Duration = Duration::from_secs(1);
/// Most bytes of an answer that are kept.
const ANSWER: usize = 4096;
/// Most headers of an answer that are kept.
const HEADERS: usize = 50;

/// What all webhooks share.
pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) commands: Commands,
    pub(super) clock: Clock,
    pub(super) secrets: Secrets,
    pub(super) look: Look,
    pub(super) caller: Caller,
    pub(super) metrics: Metrics,
}

/// What a webhook is told by whoever started it.
#[derive(Clone, Copy)]
struct Orders {
    stop: bool,
    /// The position of its last own event.
    changed_at: i64,
}

/// A webhook that this process tells.
pub(super) struct Running {
    orders: watch::Sender<Orders>,
    turn: Arc<AtomicI64>,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(shared: &Arc<Shared>, key: Key, changed_at: i64) -> Running {
        let (orders, heard) = watch::channel(Orders { stop: false, changed_at });
        let (turn, nudge) = (Arc::new(AtomicI64::new(-1)), Arc::new(Notify::new()));
        let (shared, known, nudged) = (Arc::clone(shared), Arc::clone(&turn), Arc::clone(&nudge));
        let task = tokio::spawn(async move {
            let mut orders = heard;
            while !orders.borrow().stop {
                match Worker::begin(&shared, key, orders.clone(), Arc::clone(&nudged)).await {
                    Ok(Some(worker)) => {
                        known.store(worker.place.turn, Ordering::SeqCst);
                        return worker.run().await;
                    }
                    Ok(None) => return,
                    Err(reason) => tracing::debug!(webhook = %key.webhook, reason, "a webhook cannot begin yet"),
                }
                let _ = tokio::time::timeout(IDLE, orders.changed()).await;
            }
        });
        Running { orders, turn, nudge, task }
    }

    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) fn tell(&self, changed_at: i64) {
        self.orders.send_if_modified(|orders| {
            let changed = orders.changed_at != changed_at;
            orders.changed_at = changed_at;
            changed
        });
    }

    pub(super) fn stop(&self) {
        self.orders.send_modify(|orders| orders.stop = true);
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Whether somebody else goes on with it since.
    pub(super) fn is_overtaken(&self, turn: i64) -> bool {
        let own = self.turn.load(Ordering::SeqCst);
        own >= 0 && turn > own
    }

    pub(super) async fn ended(self) {
        // One that was aborted or panicked has ended too.
        let _ = self.task.await;
    }
}

/// An event on its way.
struct Item {
    event: Arc<Recorded>,
    body: Bytes,
    /// The lane that it waited in.
    lane: Option<String>,
    attempt: i32,
}

/// What came of a call.
struct Done {
    item: Item,
    url: String,
    headers: Vec<(&'static str, String)>,
    started: Time,
    took: Duration,
    answer: Result<Answered, Silence>,
}

/// Everything that is known of one webhook.
struct Worker {
    shared: Arc<Shared>,
    key: Key,
    orders: watch::Receiver<Orders>,
    nudge: Arc<Notify>,
    webhook: Arc<Webhook>,
    /// Its stream, and the position of the last event there that was heeded.
    own: String,
    heeded: i64,
    selection: Selection,
    place: Place,
    /// The position that is written down.
    stored: i64,
    lanes: BTreeMap<String, Lane>,
    /// Those of them that are being tried.
    flying: HashSet<String>,
    /// Lanes that failed since something was last taken.
    failed: HashSet<String>,
    /// Everything up to here has been looked at.
    scanned: i64,
    /// What comes after it, as far as it was read, and how far that is.
    buffer: VecDeque<Arc<Recorded>>,
    buffered: i64,
    /// Positions that were looked at and are not finished.
    window: BTreeSet<i64>,
    /// By stream, events that wait for the one before them; where there is an entry, one is on its way.
    queues: HashMap<Arc<str>, VecDeque<Item>>,
    ready: VecDeque<Item>,
    /// Taken by the receiver before a process died that had not moved on.
    taken: BTreeSet<i64>,
    calls: JoinSet<Done>,
    /// Why it can go on no further.
    halted: Option<(Cause, String)>,
    /// There is more to read.
    more: bool,
    /// Somebody else goes on with it.
    lost: bool,
}

impl Worker {
    async fn begin(
        shared: &Arc<Shared>,
        key: Key,
        orders: watch::Receiver<Orders>,
        nudge: Arc<Notify>,
    ) -> Result<Option<Worker>, String> {
        let broken = |error: sqlx::Error| error.to_string();
        let Some(place) = store::go_on(&shared.pool, key).await.map_err(broken)? else { return Ok(None) };
        let lanes = store::lanes(&shared.pool, key).await.map_err(broken)?;
        let taken = store::taken_beyond(&shared.pool, key, &place).await.map_err(broken)?;
        let webhook = shared.commands.load_current::<Webhook>(key.tenant, key.webhook).await;
        let (webhook, _) = webhook.map_err(|refused| refused.to_string())?;
        let since = place.delivered_at;
        let failed = lanes.iter().filter(|(name, lane)| !name.starts_with(ONCE) && lane.tried_at > since);
        let failed = failed.map(|(name, _)| name.clone()).collect();
        let selection = select(shared, key, &webhook);
        Ok(Some(Worker {
            shared: Arc::clone(shared),
            key,
            orders,
            nudge,
            webhook,
            own: Webhook::stream(key.webhook),
            heeded: 0,
            selection,
            stored: place.position,
            scanned: place.position,
            buffered: place.position,
            place,
            lanes,
            flying: HashSet::new(),
            failed,
            buffer: VecDeque::new(),
            window: BTreeSet::new(),
            queues: HashMap::new(),
            ready: VecDeque::new(),
            taken: taken.into_iter().collect(),
            calls: JoinSet::new(),
            halted: None,
            more: false,
            lost: false,
        }))
    }

    fn now(&self) -> Time {
        (self.shared.clock)()
    }

    async fn run(mut self) {
        let mut head = self.shared.commands.log().tail().watch();
        let mut written = Instant::now();
        loop {
            if self.lost || self.orders.borrow().stop {
                break;
            }
            if self.orders.has_changed().unwrap_or(true) {
                self.orders.borrow_and_update();
                if let Err(reason) = self.heed().await {
                    tracing::debug!(webhook = %self.key.webhook, reason, "a webhook cannot see what has become of it");
                    self.orders.mark_changed();
                }
            }
            let end = *head.borrow_and_update();
            self.more = false;
            let mut pause = match self.step(end).await {
                Ok(()) if self.more => Duration::ZERO,
                Ok(()) => self.pause(),
                Err(reason) => {
                    tracing::debug!(webhook = %self.key.webhook, reason, "a webhook rests");
                    IDLE
                }
            };
            if self.cursor() != self.stored {
                pause = pause.min(IDLE);
            }
            let mut nudged = false;
            tokio::select! {
                Some(done) = self.calls.join_next() => if let Ok(done) = done { self.finished(done).await },
                moved = head.changed() => if moved.is_err() { break },
                changed = self.orders.changed() => if changed.is_err() { break } else { self.orders.mark_changed() },
                () = self.nudge.notified() => nudged = true,
                () = tokio::time::sleep(pause) => {}
            }
            if nudged || written.elapsed() >= IDLE {
                written = Instant::now();
                self.write_position().await;
            }
        }
        // What has begun is finished.
        while let Some(done) = self.calls.join_next().await {
            if let Ok(done) = done {
                self.finished(done).await;
            }
        }
        self.write_position().await;
    }

    /// Sees what has become of the webhook itself, and what is to be sent by itself.
    async fn heed(&mut self) -> Result<(), String> {
        let webhook = self.shared.commands.load_current::<Webhook>(self.key.tenant, self.key.webhook).await;
        let (webhook, _) = webhook.map_err(|refused| refused.to_string())?;
        if webhook.settings != self.webhook.settings {
            self.selection = select(&self.shared, self.key, &webhook);
        }
        self.webhook = webhook;
        let lanes = store::lanes(&self.shared.pool, self.key).await.map_err(|error| error.to_string())?;
        let once = lanes.into_iter().filter(|(name, _)| name.starts_with(ONCE) && !self.flying.contains(name));
        self.lanes.extend(once);
        Ok(())
    }

    /// Begins what is to be begun now.
    async fn step(&mut self, head: i64) -> Result<(), String> {
        if let Some((cause, reason)) = self.halted.clone() {
            return self.halt(cause, reason).await;
        }
        if !self.webhook.works() {
            return Ok(());
        }
        let now = self.now();
        let once = |(name, _): &(&String, &Lane)| name.starts_with(ONCE);
        let by_itself: Vec<String> = self.lanes.iter().filter(once).map(|(name, _)| name.clone()).collect();
        for name in by_itself.into_iter().filter(|name| !self.flying.contains(name)).collect::<Vec<_>>() {
            self.try_lane(&name).await?;
        }
        if self.place.rests_until.is_some_and(|until| until > now) {
            return Ok(());
        }
        let mut due: Vec<(Option<Time>, String)> = self
            .lanes
            .iter()
            .filter(|(name, lane)| !name.starts_with(ONCE) && lane.due_at <= now && !self.flying.contains(*name))
            .map(|(name, lane)| (lane.tried_at, name.clone()))
            .collect();
        due.sort();
        if self.is_down() {
            if !self.calls.is_empty() {
                return Ok(());
            }
            if self.ready.is_empty() && self.lanes.len() < PROBED {
                self.fill(head, 1).await?;
            }
            return match (self.ready.pop_front(), due.into_iter().next()) {
                (Some(item), _) => {
                    self.call(item);
                    Ok(())
                }
                (None, Some((_, name))) => self.try_lane(&name).await,
                (None, None) => {
                    self.rest_until_due(now).await;
                    Ok(())
                }
            };
        }
        let again = self.flying.iter().filter(|name| !name.starts_with(ONCE)).count();
        for (_, name) in due.into_iter().take(AGAIN_AT_ONCE.saturating_sub(again)) {
            if self.calls.len() < AT_ONCE {
                self.try_lane(&name).await?;
            }
        }
        loop {
            while self.calls.len() < AT_ONCE
                && let Some(item) = self.ready.pop_front()
            {
                self.call(item);
            }
            let room = WINDOW.saturating_sub(self.window.len());
            let full = i64::try_from(self.lanes.len()).unwrap_or(i64::MAX) >= MOST_LANES;
            if room == 0 || full || self.calls.len() >= AT_ONCE || !self.fill(head, room).await? {
                return Ok(());
            }
        }
    }

    /// With as many records as are tried while it is down, nothing is done before the first of them is due.
    async fn rest_until_due(&mut self, now: Time) {
        let due = self.lanes.iter().filter(|(name, _)| !name.starts_with(ONCE)).map(|(_, lane)| lane.due_at);
        let next = due.min().filter(|next| *next > now && self.lanes.len() >= PROBED);
        if next.is_some() {
            self.place.rests_until = next;
            self.write(None, None).await;
        }
    }

    fn is_down(&self) -> bool {
        self.failed.len() >= DOWN
    }

    /// How long until something is due.
    fn pause(&self) -> Duration {
        let now = self.now();
        if self.halted.is_some() {
            return IDLE;
        }
        let waiting = self.lanes.iter().filter(|(name, _)| !self.flying.contains(*name)).map(|(_, lane)| lane.due_at);
        let rests = self.place.rests_until.filter(|until| *until > now);
        let next = match rests {
            Some(until) => Some(until),
            None => waiting.min(),
        };
        let next = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
        // What is due and has not begun waits for a call to end.
        next.filter(|next| !next.is_zero()).unwrap_or(IDLE).min(IDLE)
    }

    /// Everything up to here is finished, or waits in a lane.
    fn cursor(&self) -> i64 {
        self.window.first().map_or(self.scanned, |first| first - 1)
    }

    /// Whether a record's events are asked for at all.
    fn wants(&self, event: &Recorded) -> bool {
        let settings = self.webhook.settings.as_ref();
        &*event.kind != TESTED
            && event.is_json
            && settings.is_some_and(|settings| asks_for(&settings.types, &event.kind))
    }

    /// Reads on until so many events are there to be told, or there is nothing more; whether there may be.
    async fn fill(&mut self, head: i64, room: usize) -> Result<bool, String> {
        let (mut room, mut pages) = (room, 0);
        while room > 0 {
            if self.buffer.is_empty() {
                self.scanned = self.scanned.max(self.buffered);
                if self.scanned >= head {
                    return Ok(false);
                }
                if pages == PAGES || self.orders.borrow().stop {
                    // Others have their turn meanwhile.
                    self.more = true;
                    return Ok(false);
                }
                pages += 1;
                self.read_on(head).await?;
                continue;
            }
            // What happens to the webhook itself is heeded before what comes after it is told.
            let own = |event: &&Arc<Recorded>| *event.stream == *self.own && event.position > self.heeded;
            if let Some(position) = self.buffer.front().filter(own).map(|event| event.position) {
                self.heed().await?;
                self.heeded = position;
                // What comes after it may be asked for otherwise: it is read anew.
                self.buffer.clear();
                self.buffered = self.scanned;
                if !self.webhook.works() {
                    return Ok(false);
                }
                continue;
            }
            let chunk: Vec<Arc<Recorded>> =
                self.buffer.iter().take(room).take_while(|event| !own(event)).cloned().collect();
            let tenant = self.key.tenant.to_string();
            let asked = |event: &&Arc<Recorded>| {
                *event.tenant == *tenant
                    && self.wants(event)
                    && !self.lanes.contains_key(&*event.stream)
                    && !self.taken.contains(&event.position)
            };
            let asked: Vec<Arc<Recorded>> = chunk.iter().filter(asked).cloned().collect();
            let told = self.prepare(asked).await?;
            self.buffer.drain(..chunk.len());
            if let Some(last) = chunk.last() {
                self.scanned = last.position;
            }
            room = room.saturating_sub(told.len());
            for (event, body) in told {
                let item = Item { body, lane: None, attempt: 1, event };
                self.window.insert(item.event.position);
                match self.queues.get_mut(&item.event.stream) {
                    Some(queue) => queue.push_back(item),
                    None => {
                        self.queues.insert(Arc::clone(&item.event.stream), VecDeque::new());
                        self.ready.push_back(item);
                    }
                }
            }
            if !self.ready.is_empty() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Reads what comes next: recent events of all sorts from memory, of older ones by the log's indexes only those that are asked for.
    async fn read_on(&mut self, head: i64) -> Result<(), String> {
        let log = self.shared.commands.log();
        let broken = |error: eventstore::Error| error.to_string();
        if head - self.scanned <= RECENT {
            let events = log.tail().after(self.scanned, PAGE).await.map_err(broken)?;
            self.buffered = events.last().map_or(head, |event| event.position);
            self.buffer.extend(events);
            return Ok(());
        }
        let settings = self.webhook.settings.as_ref();
        let all = settings.is_none_or(|settings| settings.types.iter().any(|name| name == "*"));
        let mut types = settings.map(Settings::event_types).filter(|_| !all).unwrap_or_default();
        if !all {
            // What happens to the webhook itself is among them.
            types.extend(catalogue::event_types().filter(|name| name.split('.').next() == Some(Webhook::KIND)));
        }
        let query = Query {
            tenant: Some(self.key.tenant.to_string()),
            after: Some(self.scanned),
            until: Some(head),
            direction: Direction::Forward,
            limit: PAGE,
            types,
            ..Query::default()
        };
        let events = log.read_all(&query).await.map_err(broken)?;
        let full = i64::try_from(events.len()) == Ok(PAGE);
        self.buffered = events.last().filter(|_| full).map_or(head, |event| event.position);
        self.buffer.extend(events.into_iter().map(Arc::new));
        Ok(())
    }

    /// Those of these events that are told, each with what is told of it: they are seen, and the filter selects them.
    async fn prepare(&mut self, events: Vec<Arc<Recorded>>) -> Result<Vec<(Arc<Recorded>, Bytes)>, String> {
        let mut told = Vec::new();
        for (event, body) in self.seen(events).await? {
            if self.selection.selects(&event).await.map_err(|refused| refused.to_string())? {
                told.push((event, body));
            }
        }
        Ok(told)
    }

    async fn seen(&mut self, events: Vec<Arc<Recorded>>) -> Result<Vec<(Arc<Recorded>, Bytes)>, String> {
        let Some(eyes) = self.webhook.eyes.filter(|_| !events.is_empty()) else { return Ok(Vec::new()) };
        let Some(bodies) = (self.shared.look)(self.key.tenant, eyes, events.clone()).await? else {
            let reason = "Whoever set it up is here no more, or the key is worthless by which that was done.";
            self.halted = Some((Cause::RightsEnded, reason.to_owned()));
            return Err(reason.to_owned());
        };
        let told = events.into_iter().zip(bodies);
        Ok(told.filter_map(|(event, body)| Some((event, Bytes::from(body?)))).collect())
    }

    /// Tries again what waits in a lane.
    async fn try_lane(&mut self, name: &str) -> Result<(), String> {
        let Some(lane) = self.lanes.get(name).cloned() else { return Ok(()) };
        let log = self.shared.commands.log();
        let found = log.read_positions(&self.key.tenant.to_string(), &[lane.position]).await;
        let event = found.map_err(|error| error.to_string())?.into_iter().next().map(Arc::new);
        let told = match event {
            Some(event) if name.starts_with(ONCE) => self.seen(vec![event]).await?.pop(),
            Some(event) if self.wants(&event) => self.prepare(vec![event]).await?.pop(),
            _ => None,
        };
        let Some((event, body)) = told else {
            // It is none of its business any more.
            return self.leave_lane(name, lane.position, None).await;
        };
        self.flying.insert(name.to_owned());
        self.call(Item { event, body, lane: Some(name.to_owned()), attempt: lane.attempts + 1 });
        Ok(())
    }

    fn call(&mut self, item: Item) {
        self.shared.metrics.attempts.inc();
        let (shared, key, webhook) = (Arc::clone(&self.shared), self.key, Arc::clone(&self.webhook));
        self.calls.spawn(async move {
            let (started, began) = ((shared.clock)(), Instant::now());
            let url = webhook.settings.as_ref().map(|settings| settings.url.clone()).unwrap_or_default();
            let mut secrets = Vec::new();
            let mut failed = None;
            for credential in webhook.credentials_at(started) {
                match (shared.secrets)(key.tenant, key.webhook, credential).await {
                    Ok(secret) => secrets.extend(secret),
                    Err(reason) => failed = Some(reason),
                }
            }
            let id = message_id(key.webhook, item.event.position);
            let call = Call { url: &url, secrets: &secrets, id: &id, at: started, body: item.body.clone() };
            let headers = call.headers().unwrap_or_default();
            let answer = match failed {
                Some(reason) => Err(Silence::Unreached(reason)),
                None => shared.caller.call(&call, ANSWER).await,
            };
            Done { item, url, headers, started, took: began.elapsed(), answer }
        });
    }

    /// Takes in what came of a call.
    async fn finished(&mut self, done: Done) {
        let now = self.now();
        let status = done.answer.as_ref().ok().map(|answer| answer.status);
        let after = done.answer.as_ref().ok().and_then(|answer| answer.after);
        let taken = status.is_some_and(|status| status.is_success());
        let reason = match &done.answer {
            _ if taken => None,
            Ok(answer) => Some(answer.reason()),
            Err(silence) => Some(silence.reason().to_owned()),
        };
        let mut attempt = written(&done, reason.clone());
        let Item { event, lane, .. } = done.item;
        let by_itself = lane.as_ref().filter(|name| name.starts_with(ONCE)).cloned();
        if by_itself.is_some() {
            attempt.cause = if &*event.kind == TESTED { "test" } else { "redelivery" };
        }
        self.shared.metrics.count(if taken { "delivered" } else { "failed" });
        if status == Some(StatusCode::GONE) {
            let reason = reason.clone().unwrap_or_default();
            self.halted.get_or_insert((Cause::Gone, reason));
        }
        if taken {
            let was_down = self.is_down();
            self.place.failures = 0;
            self.place.failing_since = None;
            self.place.rests_until = None;
            self.place.delivered_at = Some(now);
            self.failed.clear();
            if was_down {
                self.hurry(now).await;
            }
        }
        if let Some(name) = by_itself {
            self.lanes.remove(&name);
            self.flying.remove(&name);
            return self.write(Some(&attempt), Some(Becomes::Ends(&name))).await;
        }
        let Some(reason) = reason else {
            attempt.status = "delivered";
            return match lane {
                Some(name) => {
                    self.flying.remove(&name);
                    self.go_on_in_lane(&name, event.position, Some(&attempt)).await;
                }
                None => {
                    self.window.remove(&event.position);
                    match self.queues.get_mut(&event.stream).and_then(VecDeque::pop_front) {
                        Some(next) => self.ready.push_back(next),
                        None => drop(self.queues.remove(&event.stream)),
                    }
                    self.write(Some(&attempt), None).await;
                }
            };
        };
        self.failed(&event, lane, attempt, &reason, after, now).await;
    }

    async fn failed(
        &mut self,
        event: &Arc<Recorded>,
        lane: Option<String>,
        mut attempt: Attempt,
        reason: &str,
        after: Option<Duration>,
        now: Time,
    ) {
        let name = lane.unwrap_or_else(|| event.stream.to_string());
        self.flying.remove(&name);
        // What comes after it waits with it; it is found again in the log.
        self.window.remove(&event.position);
        for later in self.queues.remove(&event.stream).into_iter().flatten() {
            self.window.remove(&later.event.position);
        }
        let started = attempt.started_at;
        self.place.failures = self.place.failures.saturating_add(1);
        let failing_since = *self.place.failing_since.get_or_insert(started);
        self.failed.insert(name.clone());
        let known = self.lanes.remove(&name);
        let attempts = known.as_ref().map_or(0, |lane| lane.attempts).saturating_add(1);
        let since = known.and_then(|lane| lane.failing_since).unwrap_or(started);
        let later = |pause: Duration| now.checked_add(pause).unwrap_or(now);
        let over = later_by(since, PATIENCE);
        let mut due_at = later(after.unwrap_or_else(|| backoff(attempts, FIRST_PAUSE, LONGEST_PAUSE)));
        if over > now {
            due_at = due_at.min(over);
        }
        if let Some(after) = after {
            self.place.rests_until = Some(later(after));
        } else if self.is_down() {
            let beyond = self.place.failures - i32::try_from(DOWN).unwrap_or_default() + 1;
            let until = later(backoff(beyond, FIRST_PAUSE, LONGEST_PAUSE));
            let ends = later_by(failing_since, PATIENCE);
            self.place.rests_until = Some(if ends > now { until.min(ends) } else { until });
        }
        let lane = Lane {
            position: event.position,
            attempts,
            failing_since: Some(since),
            due_at,
            tried_at: Some(started),
            last_error: Some(reason.to_owned()),
        };
        self.lanes.insert(name.clone(), lane.clone());
        if self.halted.is_none() && later_by(failing_since, PATIENCE) <= now {
            let reason = format!("For three days it took nothing; at last {reason}.");
            self.halted = Some((Cause::Unreachable, reason));
        } else if self.halted.is_none() && over <= now {
            attempt.status = "given_up";
            return self.give_up(event, &name, &attempt, reason).await;
        }
        attempt.next_attempt_at = Some(self.place.rests_until.map_or(due_at, |until| until.max(due_at)));
        if self.halted.is_some() {
            attempt.next_attempt_at = None;
        }
        self.write(Some(&attempt), Some(Becomes::Stays(&name, &lane))).await;
    }

    /// Records that an event is not sent by itself any more, and goes on with what comes after it.
    async fn give_up(&mut self, event: &Recorded, name: &str, attempt: &Attempt, reason: &str) {
        self.shared.metrics.count("given_up");
        let (position, event_type) = (event.position, event.kind.to_string());
        let command = Command::GiveUp { position, event_type, reason: reason.to_owned() };
        let id = format!("{} {}", message_id(self.key.webhook, position), self.place.round);
        self.until_done(|worker| {
            let (command, id) = (command.clone(), id.clone());
            Box::pin(async move { worker.tell(&["given_up", &id], command).await })
        })
        .await;
        self.failed.remove(name);
        self.go_on_in_lane(name, position, Some(attempt)).await;
    }

    /// Goes on with what comes after an event in its record, as far as that has been looked at.
    async fn go_on_in_lane(&mut self, name: &str, position: i64, attempt: Option<&Attempt>) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.leave_lane(name, position, attempt).await {
                Ok(()) => return,
                Err(reason) => tracing::debug!(webhook = %self.key.webhook, reason, "a webhook cannot go on yet"),
            }
            if self.halted.is_some() || self.orders.borrow().stop {
                // Whoever comes next sends it again.
                return self.write(attempt, None).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(IDLE);
        }
    }

    async fn leave_lane(&mut self, name: &str, position: i64, attempt: Option<&Attempt>) -> Result<(), String> {
        let next = if name.starts_with(ONCE) { None } else { self.next_in(name, position).await? };
        match next {
            Some(position) => {
                let due_at = self.now();
                let lane =
                    Lane { position, attempts: 0, failing_since: None, due_at, tried_at: None, last_error: None };
                self.lanes.insert(name.to_owned(), lane.clone());
                self.write(attempt, Some(Becomes::Stays(name, &lane))).await;
            }
            None => {
                self.lanes.remove(name);
                self.write(attempt, Some(Becomes::Ends(name))).await;
            }
        }
        Ok(())
    }

    /// The next event of a record that is to be told, among those that have been looked at.
    async fn next_in(&mut self, stream: &str, position: i64) -> Result<Option<i64>, String> {
        let mut after = position;
        loop {
            let query = Query {
                tenant: Some(self.key.tenant.to_string()),
                after: Some(after),
                until: Some(self.scanned),
                limit: PAGE,
                stream: Some(stream.to_owned()),
                ..Query::default()
            };
            let page = self.shared.commands.log().read_all(&query).await.map_err(|error| error.to_string())?;
            let full = i64::try_from(page.len()) == Ok(PAGE);
            let Some(last) = page.last().map(|event| event.position) else { return Ok(None) };
            for event in page.into_iter().map(Arc::new) {
                if self.wants(&event)
                    && !self.taken.contains(&event.position)
                    && let Some((event, _)) = self.prepare(vec![event]).await?.pop()
                {
                    return Ok(Some(event.position));
                }
            }
            if !full {
                return Ok(None);
            }
            after = last;
        }
    }

    /// The receiver is back: what waits is tried now.
    async fn hurry(&mut self, now: Time) {
        let waiting: Vec<String> =
            self.lanes.iter().filter(|(_, lane)| lane.due_at > now).map(|(name, _)| name.clone()).collect();
        for name in waiting {
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            lane.due_at = now;
            let lane = lane.clone();
            self.write(None, Some(Becomes::Stays(&name, &lane))).await;
        }
    }

    async fn write_position(&mut self) {
        if !self.lost && self.cursor() != self.stored {
            self.write(None, None).await;
        }
    }

    /// Writes down what is so now, for as long as it takes: once something was sent it must not be forgotten.
    async fn write(&mut self, attempt: Option<&Attempt>, lane: Option<Becomes<'_>>) {
        self.place.position = self.cursor();
        let mut pause = Duration::from_millis(100);
        let lane = lane.as_ref();
        loop {
            let becomes = lane.map(|lane| match lane {
                Becomes::Stays(name, lane) => Becomes::Stays(name, lane),
                Becomes::Ends(name) => Becomes::Ends(name),
            });
            match store::write(&self.shared.pool, self.key, &self.place, attempt, becomes).await {
                Ok(ours) => {
                    self.lost |= !ours;
                    self.stored = self.place.position;
                    return;
                }
                Err(error) => {
                    tracing::debug!(webhook = %self.key.webhook, %error, "cannot write down how far a webhook is");
                }
            }
            if self.orders.borrow().stop {
                return; // Whoever comes next sends it again.
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(IDLE);
        }
    }

    /// Says that it can go on no further.
    async fn halt(&mut self, cause: Cause, reason: String) -> Result<(), String> {
        let changed = self.orders.borrow().changed_at.to_string();
        self.tell(&["stop", &self.key.webhook.to_string(), &changed], Command::Stop { cause, reason }).await?;
        self.shared.metrics.count("disabled");
        // Nothing more is begun until whoever started it has heard.
        let mut webhook = (*self.webhook).clone();
        webhook.enabled = false;
        self.webhook = Arc::new(webhook);
        self.halted = None;
        Ok(())
    }

    async fn tell(&self, parts: &[&str], command: Command) -> Result<(), String> {
        let Key { tenant, webhook } = self.key;
        let envelope = Envelope::new(tenant, webhook, Actor::SYSTEM, Via::Api, self.now());
        let parts = [&["webhook"], parts].concat();
        let envelope = Envelope { command_id: Uuid::from_u128(Id::named(&parts).bits()), ..envelope };
        match self.shared.commands.dispatch::<Webhook>(&envelope, command).await {
            Ok(_) => Ok(()),
            // It is gone meanwhile.
            Err(Refused::Rejected(refusal)) => {
                tracing::info!(%refusal, %webhook, "a webhook is told nothing of itself");
                Ok(())
            }
            Err(refused) => Err(refused.to_string()),
        }
    }

    async fn until_done<F>(&mut self, mut work: F)
    where
        F: for<'a> FnMut(&'a mut Worker) -> futures::future::BoxFuture<'a, Result<(), String>>,
    {
        let mut pause = Duration::from_millis(100);
        loop {
            match work(self).await {
                Ok(()) => return,
                Err(reason) => {
                    tracing::debug!(webhook = %self.key.webhook, reason, "a webhook cannot say what became of it");
                }
            }
            if self.orders.borrow().stop {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(IDLE);
        }
    }
}

fn select(shared: &Shared, key: Key, webhook: &Webhook) -> Selection {
    Selection::new(&shared.commands, key.tenant, webhook.settings.clone().unwrap_or_default())
}

fn later_by(time: Time, by: Duration) -> Time {
    time.checked_add(by).unwrap_or(time)
}

/// An attempt as it is written down.
fn written(done: &Done, reason: Option<String>) -> Attempt {
    let answer = done.answer.as_ref().ok();
    let headers = |pairs: &mut dyn Iterator<Item = (String, String)>| {
        pairs.take(HEADERS).map(|(name, value)| (name, Value::String(value))).collect::<Map<_, _>>()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    let request = done.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let millis = u64::try_from(done.started.as_millisecond()).unwrap_or_default();
    let event = &done.item.event;
    Attempt {
        id: Id::derived(millis, &[&Uuid::now_v7().to_string()]),
        position: event.position,
        stream: event.stream.to_string(),
        event_type: event.kind.to_string(),
        cause: "event",
        attempt: done.item.attempt,
        status: if reason.is_none() { "delivered" } else { "failed" },
        url: done.url.clone(),
        request_headers: headers(&mut request.into_iter()),
        response_status: answer.map(|answer| i32::from(answer.status.as_u16())),
        response_headers: answer.map(|answer| {
            let pairs = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
            headers(&mut pairs.into_iter())
        }),
        response_body: answer.map(|answer| text(&answer.body)),
        error: reason,
        started_at: done.started,
        took_ms: i64::try_from(done.took.as_millis()).unwrap_or(i64::MAX),
        next_attempt_at: None,
    }
}
