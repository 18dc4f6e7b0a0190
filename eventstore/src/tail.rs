//! The newest events, read once per process however many listen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::Recorded;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::presence::Presence;
use crate::wire::{Decoder, columns};

/// Most events read at once by the pump.
const READ: i64 = 2048;
/// By this name processes that listen for hints know of each other.
const LISTENER: &str = "deskfold log listener";

/// The newest events of the log, read once for this process.
#[derive(Clone, Debug)]
pub struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    head: watch::Sender<i64>,
    ring: RwLock<Ring>,
    /// Somebody reads events, not only positions: worth keeping the ring.
    wanted: AtomicBool,
    /// Another process listens for hints.
    others: AtomicBool,
    /// JetStream brings the events: the pump only looks whether it keeps up.
    fed: AtomicBool,
    /// This process publishes to JetStream, and so cannot learn of events from there.
    publishing: watch::Sender<bool>,
    /// Calls the pump to read what this process has not written itself.
    behind: Notify,
    closed: AtomicBool,
    metrics: Metrics,
    presence: Presence,
}

/// Events up to `last`, without a hole.
#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Recorded>>,
    last: i64,
    kept: usize,
}

impl Tail {
    /// The newest position that can be read; all positions below it can be read too.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.shared.head.subscribe()
    }

    /// Events after a position, oldest first: from memory if it reaches back that far, else from the database.
    /// Empty when there are none yet.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn after(&self, position: i64, limit: i64) -> Result<Vec<Arc<Recorded>>, Error> {
        self.shared.wanted.store(true, Ordering::Relaxed);
        if let Some(events) = self.remembered(position, limit) {
            return Ok(events);
        }
        Ok(read(&self.shared.pool, position, limit).await?.into_iter().map(Arc::new).collect())
    }

    fn remembered(&self, position: i64, limit: i64) -> Option<Vec<Arc<Recorded>>> {
        let ring = self.shared.ring.read();
        if position >= ring.last {
            return Some(Vec::new());
        }
        let skip = usize::try_from(position + 1 - ring.events.front()?.position).ok()?;
        let limit = usize::try_from(limit).unwrap_or(0);
        (skip < ring.events.len()).then(|| ring.events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Whether the events of a batch are worth handing over.
    pub(crate) fn wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::Relaxed)
    }

    /// Whether a hint to other processes would be heard.
    pub(crate) fn others(&self) -> bool {
        self.shared.others.load(Ordering::Relaxed)
    }

    /// A batch of this process is committed: told at once when it follows what is known. Else something is missing that
    /// another writer wrote, and the pump reads it all.
    pub(crate) fn committed(&self, first: i64, last: i64, events: Vec<Recorded>) {
        let mut ring = self.shared.ring.write();
        if last <= ring.last {
            return;
        }
        if first == ring.last + 1 && (!events.is_empty() || !self.wanted()) {
            self.shared.publish(&mut ring, events, last, "own");
        } else {
            drop(ring);
            self.shared.behind.notify_one();
        }
    }

    /// The newest position that is known.
    pub(crate) fn last(&self) -> i64 {
        self.shared.ring.read().last
    }

    /// Events came from JetStream, in order. What is known already is passed over; where something is missing the pump
    /// reads it all. Without events, only that they are there up to `last`.
    pub(crate) fn delivered(&self, mut events: Vec<Recorded>, last: i64) {
        let mut ring = self.shared.ring.write();
        if last <= ring.last {
            return;
        }
        events.retain(|event| event.position > ring.last);
        let follows = events.first().is_some_and(|event| event.position == ring.last + 1);
        if follows || (events.is_empty() && !self.wanted()) {
            self.shared.publish(&mut ring, events, last, "nats");
        } else {
            drop(ring);
            self.shared.behind.notify_one();
        }
    }

    /// JetStream begins or ceases to bring the events.
    pub(crate) fn feed(&self, fed: bool) {
        if self.shared.fed.swap(fed, Ordering::AcqRel) != fed {
            self.shared.behind.notify_one();
        }
    }

    /// Whether this process publishes to JetStream: then it reads the log from PostgreSQL itself.
    pub(crate) fn publishing(&self) -> &watch::Sender<bool> {
        &self.shared.publishing
    }

    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.behind.notify_one();
    }
}

/// Starts the pump at the present head.
pub(crate) async fn start(
    pool: PgPool,
    options: &Options,
    metrics: Metrics,
    presence: Presence,
) -> Result<(Tail, JoinHandle<()>), Error> {
    let last: i64 = head(&pool).await?;
    let shared = Arc::new(Shared {
        pool,
        head: watch::Sender::new(last),
        ring: RwLock::new(Ring { events: VecDeque::new(), last, kept: options.tail_events }),
        wanted: AtomicBool::new(false),
        others: AtomicBool::new(options.notify),
        fed: AtomicBool::new(false),
        publishing: watch::Sender::new(false),
        behind: Notify::new(),
        closed: AtomicBool::new(false),
        metrics,
        presence,
    });
    let task = tokio::spawn(Arc::clone(&shared).pump(options.clone()));
    Ok((Tail { shared }, task))
}

impl Shared {
    /// Keeps the events, then tells everybody: whoever wakes finds them in memory.
    fn publish(&self, ring: &mut Ring, events: Vec<Recorded>, last: i64, source: &str) {
        self.metrics.tail.with_label_values(&[source]).inc_by(u64::try_from(last - ring.last).unwrap_or_default());
        if events.is_empty() {
            ring.events.clear();
        }
        ring.events.extend(events.into_iter().map(Arc::new));
        let surplus = ring.events.len().saturating_sub(ring.kept);
        ring.events.drain(..surplus);
        ring.last = last;
        self.head.send_replace(last);
    }

    /// Reads what other processes write, on their hints and now and then without.
    async fn pump(self: Arc<Self>, options: Options) {
        let mut listener = None;
        let mut expected = 0;
        let mut poll = tokio::time::interval(options.poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.closed.load(Ordering::Acquire) {
            if !self.presence.is_there() {
                // A listener may not notice that its server is gone.
                listener = None;
                // An append of our own is known to whoever wrote it, so that nothing else is to be done meanwhile.
                tokio::select! {
                    () = self.presence.found() => {}
                    () = self.behind.notified() => continue,
                }
            }
            let result = tokio::select! {
                () = self.behind.notified() => self.presence.guard(self.catch_up()).await,
                position = hint(&mut listener) => {
                    let known = self.ring.read().last;
                    if position > known { self.presence.guard(self.catch_up()).await } else { Ok(Ok(())) }
                }
                _ = poll.tick() => self.presence.guard(self.look(&options, &mut listener, &mut expected)).await,
            };
            // That the database is lost is said once, by whoever found out.
            if let Ok(Err(error)) = result {
                tracing::warn!(%error, "cannot read the newest events, trying again");
            }
        }
    }

    /// Looks for listeners and events without having been called.
    async fn look(
        &self,
        options: &Options,
        listener: &mut Option<PgListener>,
        expected: &mut i64,
    ) -> Result<(), Error> {
        let fed = self.fed.load(Ordering::Acquire);
        if options.notify {
            // A hint would make us read what JetStream is about to bring.
            match (fed, &listener) {
                (true, Some(_)) => *listener = None,
                (false, None) => *listener = listen(&self.pool).await,
                _ => {}
            }
            self.look_around(listener.is_some()).await;
        }
        if fed { self.check(expected).await } else { self.catch_up().await }
    }

    async fn catch_up(&self) -> Result<(), Error> {
        loop {
            let known = self.ring.read().last;
            if !self.wanted.load(Ordering::Relaxed) {
                let head = head(&self.pool).await?;
                let mut ring = self.ring.write();
                if head > ring.last {
                    self.publish(&mut ring, Vec::new(), head, "postgresql");
                }
                return Ok(());
            }
            let mut events = read(&self.pool, known, READ).await?;
            let more = i64::try_from(events.len()).is_ok_and(|read| read == READ);
            let mut ring = self.ring.write();
            // A batch of our own may have come in between.
            events.retain(|event| event.position > ring.last);
            if let Some(newest) = events.last().map(|event| event.position) {
                self.publish(&mut ring, events, newest, "postgresql");
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What was there at the last look and JetStream has not brought since is read from PostgreSQL.
    async fn check(&self, expected: &mut i64) -> Result<(), Error> {
        if *expected > self.ring.read().last {
            self.catch_up().await?;
        }
        *expected = head(&self.pool).await?;
        Ok(())
    }

    /// A hint costs each batch a little and wakes every listener: not sent when only we listen.
    async fn look_around(&self, listening: bool) {
        let listeners: Result<i64, _> = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = $1",
        )
        .bind(LISTENER)
        .fetch_one(&self.pool)
        .await;
        let own = i64::from(listening);
        self.others.store(!listeners.is_ok_and(|listeners| listeners <= own), Ordering::Relaxed);
    }
}

async fn head(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select coalesce((select position from log_head), 0)").fetch_one(pool).await
}

/// Events after a position from the database.
pub(crate) async fn read(pool: &PgPool, after: i64, limit: i64) -> Result<Vec<Recorded>, Error> {
    let rows =
        sqlx::query(concat!("select ", columns!(), " from log_event where position > $1 order by position limit $2"))
            .bind(after)
            .bind(limit)
            .fetch_all(pool)
            .await?;
    Ok(Decoder::rows(&rows)?)
}

/// Listens on a connection of its own; without one the poll goes on alone.
async fn listen(pool: &PgPool) -> Option<PgListener> {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(pool.connect_options().as_ref().clone().application_name(LISTENER));
    let mut listener = PgListener::connect_with(&own).await.ok()?;
    listener.listen("log").await.ok()?;
    Some(listener)
}

/// The position of the next hint. A listener that fails is dropped and made anew with the next poll.
async fn hint(listener: &mut Option<PgListener>) -> i64 {
    loop {
        let Some(listening) = listener else { return std::future::pending().await };
        match listening.recv().await {
            Ok(notification) => return notification.payload().parse().unwrap_or(i64::MAX),
            Err(error) => {
                tracing::warn!(%error, "hints of the log are interrupted");
                *listener = None;
            }
        }
    }
}
