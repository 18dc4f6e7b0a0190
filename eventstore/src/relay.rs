//! The relay: publishes every event of the log to one JetStream stream, where its sequence is its position.
//!
//! One relay at a time works, by a lease in the database. Nothing rests on that: each message expects the sequence before
//! its own, so a relay that lost its lease and does not know it yet publishes the very event that belongs there, or is
//! refused. PostgreSQL is the truth; what JetStream has lost is published again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Recorded;
use crate::error::Error;
use crate::lease::{Lease, Taken};
use crate::log::Log;
use crate::nats::{Connection, Found, Nats, Standing, explained, headers};

/// The name of its lease and checkpoint among those of the subscriptions.
const NAME: &str = "relay";
const VERSION: i32 = 1;
/// How long a relay that has died keeps others out.
const LEASE: Duration = Duration::from_secs(10);
/// How often the checkpoint is written, and a quiet stream looked at.
const CHECKPOINT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(5);
/// Messages, and their bytes, on their way at once.
const IN_FLIGHT: usize = 512;
const BYTES_IN_FLIGHT: usize = 4 << 20;
/// Events read at once, and how far behind pages are read ahead instead.
const BATCH: i64 = 1024;
const FAR: i64 = 16_384;
/// How long to wait before trying again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What a message has beside data and metadata: headers, envelope, and JetStream's own.
const MESSAGE_OVERHEAD: u64 = 700;
/// Of how many events the size is averaged to guess how many fit into the stream.
const SAMPLE: i64 = 1000;

/// What a relay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayState {
    /// This process publishes.
    Publishing,
    /// Another process holds the lease.
    StandingBy,
    /// It cannot publish now, and tries again.
    Degraded,
    /// The stream is not the log's: somebody must decide.
    Refusing,
}

/// How a relay fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayStatus {
    /// What it is doing.
    pub state: RelayState,
    /// The last event known to be in JetStream.
    pub position: i64,
    /// Events that are not there yet.
    pub behind: i64,
    /// What is wrong, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Starts relays.
#[derive(Debug)]
pub struct Relay;

/// A running relay. Dropping it ends it without giving up its lease.
#[derive(Debug)]
pub struct RelayHandle {
    status: watch::Receiver<RelayStatus>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The stream as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct RelayReport {
    /// Name of the stream.
    pub stream: String,
    /// `agrees`, `ahead`, `foreign` or `absent`.
    pub standing: &'static str,
    /// The oldest and the newest position in JetStream; 0 when it is empty.
    pub first: i64,
    /// See `first`.
    pub last: i64,
    /// Messages kept.
    pub messages: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// The last position of the log.
    pub head: i64,
    /// Events that are not in JetStream yet.
    pub behind: i64,
    /// What is wrong, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Relay {
    /// Starts a relay. Of all relays of a deployment one at a time publishes.
    pub fn spawn(log: &Log, nats: &Nats) -> RelayHandle {
        let starting = RelayStatus {
            state: RelayState::Degraded,
            position: 0,
            behind: 0,
            reason: Some("NATS has not been reached yet".into()),
        };
        let (told, status) = watch::channel(starting);
        let (stop, stopped) = watch::channel(false);
        let worker = Worker::new(log, nats, told);
        RelayHandle { status, stop, task: tokio::spawn(worker.run(stopped)) }
    }

    /// Deletes the stream, makes it anew and publishes the events of its window again, up to the log's present end.
    /// Consumers of the old stream are gone with it. `progress` is told the last position published, and the end.
    ///
    /// # Errors
    /// When NATS or the database cannot be reached, or somebody else rebuilds at the same time.
    pub async fn rebuild(log: &Log, nats: &Nats, progress: impl Fn(i64, i64)) -> Result<RelayReport, Error> {
        let (told, _) = watch::channel(RelayStatus::publishing(0, 0));
        let mut worker = Worker::new(log, nats, told);
        let taken = worker.lease.seize(log.pool()).await?;
        worker.taken = Some(taken);
        let rebuilt = worker.rebuild(progress).await;
        worker.let_go().await;
        match rebuilt {
            Ok(()) => Relay::report(log, nats).await,
            Err(Trouble::Lost) => Err(Error::Invalid("another process rebuilds the stream too".into())),
            Err(Trouble::Disagreed) => {
                Err(Error::Invalid("JetStream refused an event: somebody else publishes".into()))
            }
            Err(Trouble::Failed(reason)) => Err(Error::Invalid(reason)),
        }
    }

    /// Compares the stream with the log.
    ///
    /// # Errors
    /// When NATS or the database cannot be reached.
    pub async fn report(log: &Log, nats: &Nats) -> Result<RelayReport, Error> {
        let found = nats.standing(log).await.map_err(Error::Invalid)?;
        let state = found.info.as_ref().map(|info| &info.state);
        let position = |sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX);
        let last = state.map_or(0, |state| position(state.last_sequence));
        Ok(RelayReport {
            stream: nats.options().stream.clone(),
            standing: match found.standing {
                _ if state.is_none() => "absent",
                Standing::Agrees(_) => "agrees",
                Standing::Ahead(_) => "ahead",
                Standing::Foreign(_) => "foreign",
            },
            first: state.map_or(0, |state| position(state.first_sequence)),
            last,
            messages: state.map_or(0, |state| state.messages),
            bytes: state.map_or(0, |state| state.bytes),
            head: found.head,
            behind: (found.head - last).max(0),
            reason: found.standing.refusal(),
        })
    }
}

impl RelayHandle {
    /// How it fares.
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.status.clone()
    }

    /// Stops publishing, writes the checkpoint and gives up the lease.
    pub async fn stop(self) {
        // A relay that has ended already needs no order.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

impl RelayStatus {
    fn publishing(position: i64, behind: i64) -> RelayStatus {
        RelayStatus { state: RelayState::Publishing, position, behind, reason: None }
    }
}

type Pages = Pin<Box<dyn Stream<Item = Result<Vec<Recorded>, Error>> + Send>>;

struct Worker {
    log: Log,
    nats: Nats,
    lease: Lease,
    head: watch::Receiver<i64>,
    connection: watch::Receiver<Connection>,
    status: watch::Sender<RelayStatus>,
    /// The lease, while this worker has it.
    taken: Option<Taken>,
    /// The last event that is in JetStream.
    reached: i64,
    /// How often the connection had come and gone when that was last made sure of.
    changes: u64,
    /// The event that JetStream has just refused for its sequence.
    refused: Option<i64>,
    renewed: Instant,
    written: Instant,
    looked: Instant,
}

/// Why a relay ceases to publish.
enum Trouble {
    /// Somebody else has the lease.
    Lost,
    /// JetStream is not where we thought: look again.
    Disagreed,
    /// NATS or the database fails.
    Failed(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(format!("the database: {error}"))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(format!("the log: {error}"))
    }
}

/// A message on its way.
struct Flying {
    event: Arc<Recorded>,
    bytes: usize,
    ack: PublishAckFuture,
}

fn interrupted() -> Trouble {
    Trouble::Failed("the connection to NATS was interrupted".into())
}

impl Worker {
    fn new(log: &Log, nats: &Nats, status: watch::Sender<RelayStatus>) -> Worker {
        let now = Instant::now();
        Worker {
            lease: Lease::new(NAME, VERSION, LEASE),
            head: log.tail().watch(),
            connection: nats.connection(),
            log: log.clone(),
            nats: nats.clone(),
            status,
            taken: None,
            reached: 0,
            changes: 0,
            refused: None,
            renewed: now,
            written: now,
            looked: now,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let turn = async {
                let (next, wait) = self.turn(pause).await;
                pause = next;
                tokio::time::sleep(wait).await;
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = turn => {}
            }
        }
        self.log.tail().publishing().send_replace(false);
        self.let_go().await;
    }

    /// Takes the lease if it can be had, and publishes as long as that goes well. The pause after the next failure, and
    /// how long to wait now.
    async fn turn(&mut self, pause: Duration) -> (Duration, Duration) {
        if !self.connection.borrow_and_update().up {
            // Whoever reaches NATS shall have the lease.
            self.known_position().await;
            self.tell(RelayState::Degraded, Some("NATS cannot be reached".into())).await;
            let back = self.connection.wait_for(|connection| connection.up);
            // Told again now and then, so that the lag is as it is.
            let _ = tokio::time::timeout(CHECKPOINT, back).await;
            return (FIRST_PAUSE, Duration::ZERO);
        }
        let trouble = match self.lease.take(self.log.pool()).await {
            Ok(Some(taken)) => {
                tracing::info!(epoch = taken.epoch, "the relay takes the lease");
                self.taken = Some(taken);
                self.renewed = Instant::now();
                self.log.tail().publishing().send_replace(true);
                let trouble = self.work().await;
                self.log.tail().publishing().send_replace(false);
                trouble
            }
            Ok(None) => {
                self.known_position().await;
                self.tell(RelayState::StandingBy, None).await;
                return (FIRST_PAUSE, Duration::from_millis(250));
            }
            Err(error) => error.into(),
        };
        match trouble {
            Trouble::Failed(reason) => {
                tracing::warn!(reason, "the relay cannot publish, trying again");
                self.tell(RelayState::Degraded, Some(reason)).await;
            }
            Trouble::Lost | Trouble::Disagreed => {
                tracing::warn!("the relay has lost its lease");
                self.taken = None;
            }
        }
        self.let_go().await;
        ((pause * 2).min(LONGEST_PAUSE), pause)
    }

    /// Writes the checkpoint and frees the lease, if this worker has it.
    async fn let_go(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        match self.lease.move_checkpoint(self.log.pool(), &taken, self.reached).await {
            Ok(_) => self.lease.give_up(self.log.pool(), &taken).await,
            Err(error) => tracing::warn!(%error, "the relay's lease runs out by itself"),
        }
    }

    /// What whoever publishes has written down.
    async fn known_position(&mut self) {
        match self.lease.position(self.log.pool()).await {
            Ok(Some(position)) => self.reached = position,
            Ok(None) => {
                if let Err(error) = self.lease.create(self.log.pool(), 0).await {
                    tracing::warn!(%error, "the relay cannot write its checkpoint");
                }
            }
            Err(error) => tracing::warn!(%error, "the relay cannot read its checkpoint"),
        }
    }

    /// Publishes until something is in the way.
    async fn work(&mut self) -> Trouble {
        let mut pause = FIRST_PAUSE;
        let mut refused = false;
        loop {
            match self.agree().await {
                Ok(None) => {
                    refused = false;
                    let before = self.reached;
                    match self.publish_all().await {
                        Trouble::Disagreed if self.reached > before => pause = FIRST_PAUSE,
                        Trouble::Disagreed => pause = (pause * 2).min(LONGEST_PAUSE),
                        other => return other,
                    }
                }
                Ok(Some(reason)) => {
                    if !refused {
                        tracing::error!(reason, "the relay refuses the stream");
                        self.nats.metrics().refusals.inc();
                        refused = true;
                    }
                    self.tell(RelayState::Refusing, Some(reason)).await;
                    pause = LONGEST_PAUSE;
                }
                Err(trouble) => return trouble,
            }
            tokio::time::sleep(pause).await;
            if let Err(trouble) = self.keep().await {
                return trouble;
            }
        }
    }

    /// Makes sure that there is a stream, and learns where to go on. The reason when the stream must not be touched.
    async fn agree(&mut self) -> Result<Option<String>, Trouble> {
        self.changes = self.connection.borrow().changes;
        let found = self.nats.standing(&self.log).await.map_err(Trouble::Failed)?;
        let Standing::Agrees(last) = found.standing else {
            return Ok(found.standing.refusal());
        };
        let config = self.adjusted(&found).await?;
        let begin = self.window(found.head).await?.max(last + 1);
        if begin > last + 1 {
            // Nothing so old would be kept: the next sequence is moved ahead. Servers before 2.10 can do it only so.
            let stream = self.nats.context().get_stream_no_info(&self.nats.options().stream).await;
            let stream = stream.map_err(|error| Trouble::Failed(explained("the stream", &error)))?;
            let moved = stream.purge().sequence(u64::try_from(begin).unwrap_or_default()).await;
            moved.map_err(|error| Trouble::Failed(explained("moving the stream's beginning", &error)))?;
            tracing::info!(position = begin, "the stream begins anew");
        } else if self.refused == Some(begin) && found.info.is_some_and(|info| info.state.messages == 0) {
            self.remind(config).await?;
        }
        self.refused = None;
        self.reached = begin - 1;
        self.looked = Instant::now();
        Ok(None)
    }

    /// Creates the stream if there is none, and gives the one there is the settings it should have.
    async fn adjusted(&self, found: &Found) -> Result<Config, Trouble> {
        let config = self.nats.config();
        let context = self.nats.context();
        let Some(info) = &found.info else {
            let made = context.create_stream(config.clone()).await;
            made.map_err(|error| Trouble::Failed(explained("creating the stream", &error)))?;
            tracing::info!(stream = config.name, "stream created");
            return Ok(config);
        };
        let known = &info.config;
        // An operator's own setting of the rest is left alone.
        let wanted = Config {
            subjects: config.subjects,
            discard: config.discard,
            max_age: config.max_age,
            max_bytes: config.max_bytes,
            num_replicas: config.num_replicas,
            duplicate_window: config.duplicate_window,
            ..known.clone()
        };
        if wanted != *known
            && let Err(error) = context.update_stream(&wanted).await
        {
            let reason = explained("changing the stream's settings", &error);
            if (&known.subjects, known.discard) != (&wanted.subjects, wanted.discard) {
                return Err(Trouble::Failed(reason));
            }
            tracing::warn!(reason, "the stream stays as it is");
        }
        Ok(wanted)
    }

    /// A stream that is empty and whose beginning was moved expects, in servers before 2.10, the sequence from before that.
    /// They look again after a message that they could not store: for that moment there is room for none.
    async fn remind(&self, config: Config) -> Result<(), Trouble> {
        let failed = |error| Trouble::Failed(explained("moving the stream's beginning", &error));
        let closed = Config { discard: DiscardPolicy::New, max_bytes: 1, ..config.clone() };
        self.nats.context().update_stream(closed).await.map_err(failed)?;
        let subject = self.nats.subjects().replace('>', "none");
        let stored = match self.nats.context().publish(subject, Bytes::from_static(b"{}")).await {
            Ok(acknowledged) => acknowledged.await.is_ok(),
            Err(_) => false,
        };
        if stored {
            // Another relay opened the stream in between. There was nothing else in it: once more from the beginning.
            let deleted = self.nats.context().delete_stream(&config.name).await;
            deleted.map_err(|error| Trouble::Failed(explained("deleting the stream", &error)))?;
            return Err(Trouble::Disagreed);
        }
        self.nats.context().update_stream(config).await.map_err(failed)?;
        Ok(())
    }

    /// The first position that JetStream would still keep.
    async fn window(&self, head: i64) -> Result<i64, Trouble> {
        let options = self.nats.options();
        let age = SignedDuration::try_from(options.max_age).unwrap_or(SignedDuration::MAX);
        let oldest = Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN);
        let by_age = self.log.position_at(oldest).await? + 1;
        if options.max_bytes == 0 || head - by_age < SAMPLE {
            return Ok(by_age);
        }
        let average: f64 = sqlx::query_scalar(
            "select coalesce(avg(octet_length(data) + octet_length(metadata)), 0)::float8 from log_event
             where position > $1 - $2 and position <= $1",
        )
        .bind(head)
        .bind(SAMPLE)
        .fetch_one(self.log.pool())
        .await?;
        let fitting = options.max_bytes / (average as u64 + MESSAGE_OVERHEAD);
        // Twice what is guessed: better some too many than a window that begins late.
        let by_bytes = head.saturating_sub(i64::try_from(fitting).unwrap_or(i64::MAX).saturating_mul(2));
        Ok(by_age.max(by_bytes))
    }

    /// Publishes what the log has and what it gets.
    async fn publish_all(&mut self) -> Trouble {
        loop {
            let head = *self.head.borrow_and_update();
            if let Err(trouble) = self.publish_up_to(head, |_| ()).await {
                return trouble;
            }
            self.tell(RelayState::Publishing, None).await;
            if self.looked.elapsed() > LOOK {
                match self.nats.info().await {
                    Ok(Some(info)) if i64::try_from(info.state.last_sequence) == Ok(self.reached) => {}
                    Ok(_) => return Trouble::Disagreed,
                    Err(reason) => return Trouble::Failed(reason),
                }
                self.looked = Instant::now();
            }
            let changes = self.changes;
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return Trouble::Failed("the log is closed".into()) },
                _ = self.connection.wait_for(|connection| connection.changes != changes) => return interrupted(),
                () = tokio::time::sleep(CHECKPOINT) => {}
            }
        }
    }

    /// Publishes up to a position, keeping the lease and the checkpoint meanwhile.
    async fn publish_up_to(&mut self, head: i64, progress: impl Fn(i64)) -> Result<(), Trouble> {
        let mut pages: Option<Pages> = None;
        if head - self.reached > FAR {
            pages = Some(Box::pin(self.log.replay(self.reached, head)));
        }
        self.keep().await?;
        while self.reached < head {
            let batch: Vec<Arc<Recorded>> = match &mut pages {
                Some(ahead) => match ahead.next().await {
                    Some(page) => page?.into_iter().map(Arc::new).collect(),
                    None => {
                        pages = None;
                        continue;
                    }
                },
                None => self.log.tail().after(self.reached, BATCH).await?,
            };
            if batch.is_empty() {
                return Ok(());
            }
            for part in batch.chunks(IN_FLIGHT * 2) {
                let published = self.publish(part).await;
                self.report(part.first().map(|event| event.recorded_at));
                published?;
                self.keep().await?;
                progress(self.reached);
            }
        }
        Ok(())
    }

    /// Publishes events one after another without waiting for each, and waits for all in the end.
    async fn publish(&mut self, events: &[Arc<Recorded>]) -> Result<(), Trouble> {
        let mut flying: VecDeque<Flying> = VecDeque::with_capacity(IN_FLIGHT);
        let mut bytes = 0;
        for event in events {
            let body = match event.public() {
                Ok(body) => Bytes::from(Box::<str>::from(body).into_boxed_bytes()),
                Err(_) => event.envelope("not_json").into(),
            };
            while flying.len() >= IN_FLIGHT || (bytes > 0 && bytes + body.len() > BYTES_IN_FLIGHT) {
                let Some(first) = flying.pop_front() else { break };
                bytes -= first.bytes;
                self.landed(first).await?;
            }
            let length = body.len();
            let ack = self.send(event, body).await?;
            bytes += length;
            flying.push_back(Flying { event: Arc::clone(event), bytes: length, ack });
        }
        for flying in flying {
            self.landed(flying).await?;
        }
        Ok(())
    }

    async fn send(&self, event: &Recorded, body: Bytes) -> Result<PublishAckFuture, Trouble> {
        let subject = self.nats.subject(event);
        let message = |body: Bytes| {
            let message = PublishMessage::build().payload(body).headers(headers(event));
            let before = u64::try_from(event.position - 1).unwrap_or_default();
            message.expected_last_sequence(before).message_id(event.position.to_string())
        };
        let context = self.nats.context();
        let sent = match context.send_publish(subject.clone(), message(body)).await {
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                context.send_publish(subject, message(event.envelope("too_large").into())).await
            }
            sent => sent,
        };
        sent.map_err(|error| Trouble::Failed(explained("publishing", &error)))
    }

    /// Waits for an acknowledgement.
    async fn landed(&mut self, flying: Flying) -> Result<(), Trouble> {
        let changes = self.changes;
        let acknowledged = tokio::select! {
            biased;
            acknowledged = flying.ack.into_future() => acknowledged,
            _ = self.connection.wait_for(|connection| connection.changes != changes) => return Err(interrupted()),
        };
        let position = flying.event.position;
        match acknowledged {
            Ok(acknowledged) if i64::try_from(acknowledged.sequence) == Ok(position) => {
                self.reached = position;
                self.nats.metrics().published.inc();
                Ok(())
            }
            Ok(acknowledged) => {
                tracing::warn!(position, sequence = acknowledged.sequence, "JetStream put an event elsewhere");
                self.nats.metrics().refusals.inc();
                Err(Trouble::Disagreed)
            }
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                tracing::warn!(position, %error, "JetStream refused an event");
                self.nats.metrics().refusals.inc();
                self.refused = Some(position);
                Err(Trouble::Disagreed)
            }
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => Err(Trouble::Disagreed),
            Err(error) => Err(Trouble::Failed(explained("publishing", &error))),
        }
    }

    /// Renews the lease and writes the checkpoint when it is time.
    async fn keep(&mut self) -> Result<(), Trouble> {
        let Some(taken) = &mut self.taken else { return Err(Trouble::Lost) };
        let kept = if taken.position != self.reached && self.written.elapsed() > CHECKPOINT {
            self.written = Instant::now();
            let moved = self.lease.move_checkpoint(self.log.pool(), taken, self.reached).await?;
            taken.position = self.reached;
            moved
        } else if self.renewed.elapsed() > LEASE / 3 {
            self.lease.renew(self.log.pool(), taken).await?
        } else {
            return Ok(());
        };
        self.renewed = Instant::now();
        if kept { Ok(()) } else { Err(Trouble::Lost) }
    }

    /// Says how it fares, with the lag.
    async fn tell(&mut self, state: RelayState, reason: Option<String>) {
        let behind = (*self.head.borrow() - self.reached).max(0);
        let oldest = match behind {
            0 => None,
            _ => self.log.tail().after(self.reached, 1).await.ok(),
        };
        self.report(oldest.and_then(|events| events.first().map(|event| event.recorded_at)));
        self.nats.metrics().refusing.set(i64::from(state == RelayState::Refusing));
        let status = RelayStatus { state, position: self.reached, behind, reason };
        self.status.send_if_modified(|known| {
            let news = *known != status;
            *known = status;
            news
        });
    }

    /// Counts; `oldest` is when the oldest event that is not in JetStream was recorded, unless all are.
    fn report(&self, oldest: Option<Timestamp>) {
        let metrics = self.nats.metrics();
        let behind = (*self.head.borrow() - self.reached).max(0);
        metrics.position.set(self.reached);
        metrics.lag_positions.set(behind);
        let age = oldest.filter(|_| behind > 0);
        let age = age.map_or(0.0, |oldest| Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0));
        metrics.lag_seconds.set(age);
    }

    async fn rebuild(&mut self, progress: impl Fn(i64, i64)) -> Result<(), Trouble> {
        let found = self.nats.info().await.map_err(Trouble::Failed)?;
        if found.is_some() {
            // Purging would keep the sequence, and the ids of messages with it.
            let deleted = self.nats.context().delete_stream(&self.nats.options().stream).await;
            deleted.map_err(|error| Trouble::Failed(explained("deleting the stream", &error)))?;
        }
        let head = self.log.head().await?;
        let mut tries = 5;
        loop {
            if let Some(reason) = self.agree().await? {
                return Err(Trouble::Failed(reason));
            }
            match self.publish_up_to(head, |reached| progress(reached, head)).await {
                // The beginning may have to be moved first, or a relay that runs does not know yet that this is ours.
                Err(Trouble::Disagreed | Trouble::Failed(_)) if tries > 0 => tries -= 1,
                done => return done,
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    }
}
