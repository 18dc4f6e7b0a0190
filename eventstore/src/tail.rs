//! The newest events, read once per process however many listen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::Recorded;
use crate::log::{Error, Options};
use crate::wire::{Decoder, columns};

/// Most events read at once by the pump.
const READ: i64 = 2048;

/// The newest events of the log, kept by one task of this process.
#[derive(Clone, Debug)]
pub struct Tail {
    shared: Arc<Shared>,
    news: mpsc::UnboundedSender<News>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    head: watch::Sender<i64>,
    ring: RwLock<VecDeque<Arc<Recorded>>>,
    /// Somebody reads events, not only positions: worth keeping the ring.
    wanted: AtomicBool,
}

/// What the pump is told.
#[derive(Debug)]
pub(crate) enum News {
    /// A batch of this process is committed. Without its events they are read if anybody wants them.
    Committed { first: i64, last: i64, events: Vec<Recorded> },
    /// Stop.
    Close,
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
        if position >= *self.shared.head.borrow() {
            return Some(Vec::new());
        }
        let ring = self.shared.ring.read();
        let skip = usize::try_from(position + 1 - ring.front()?.position).ok()?;
        let limit = usize::try_from(limit).unwrap_or(0);
        (skip < ring.len()).then(|| ring.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Whether the pump wants the events of a batch.
    pub(crate) fn wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn committed(&self, first: i64, last: i64, events: Vec<Recorded>) {
        // A closed pump needs no news.
        let _ = self.news.send(News::Committed { first, last, events });
    }

    pub(crate) fn close(&self) {
        let _ = self.news.send(News::Close);
    }
}

/// Starts the pump at the present head.
pub(crate) async fn start(pool: PgPool, options: &Options) -> Result<(Tail, JoinHandle<()>), Error> {
    let head: i64 = sqlx::query_scalar("select coalesce((select position from log_head), 0)").fetch_one(&pool).await?;
    let shared = Arc::new(Shared {
        pool,
        head: watch::Sender::new(head),
        ring: RwLock::new(VecDeque::new()),
        wanted: AtomicBool::new(false),
    });
    let (news, receiver) = mpsc::unbounded_channel();
    let pump = Pump { shared: Arc::clone(&shared), last: head, kept: options.tail_events };
    let task = tokio::spawn(pump.run(receiver, options.clone()));
    Ok((Tail { shared, news }, task))
}

struct Pump {
    shared: Arc<Shared>,
    last: i64,
    kept: usize,
}

impl Pump {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>, options: Options) {
        let mut listener = if options.notify { listen(&self.shared.pool).await } else { None };
        let mut poll = tokio::time::interval(options.poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                told = news.recv() => match told {
                    Some(News::Committed { first, last, events }) => self.take(first, last, events).await,
                    Some(News::Close) | None => return,
                },
                position = hint(&mut listener) => if position > self.last { self.catch_up().await } else { Ok(()) },
                _ = poll.tick() => {
                    if listener.is_none() && options.notify {
                        listener = listen(&self.shared.pool).await;
                    }
                    self.catch_up().await
                }
            };
            if let Err(error) = result {
                tracing::warn!(%error, "cannot read the newest events, trying again");
            }
        }
    }

    /// A batch of this process: taken as it is when it follows what is known, else everything missing is read.
    async fn take(&mut self, first: i64, last: i64, events: Vec<Recorded>) -> Result<(), Error> {
        if last <= self.last {
            return Ok(());
        }
        if first != self.last + 1 || (events.is_empty() && self.shared.wanted.load(Ordering::Relaxed)) {
            return self.catch_up().await;
        }
        self.publish(events, last);
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        if !self.shared.wanted.load(Ordering::Relaxed) {
            let head: i64 = sqlx::query_scalar("select coalesce((select position from log_head), 0)")
                .fetch_one(&self.shared.pool)
                .await?;
            if head > self.last {
                self.publish(Vec::new(), head);
            }
            return Ok(());
        }
        loop {
            let events = read(&self.shared.pool, self.last, READ).await?;
            let Some(newest) = events.last().map(|event| event.position) else { return Ok(()) };
            let more = i64::try_from(events.len()).is_ok_and(|read| read == READ);
            self.publish(events, newest);
            if !more {
                return Ok(());
            }
        }
    }

    /// Keeps the events, then tells everybody: whoever wakes finds them in memory.
    fn publish(&mut self, events: Vec<Recorded>, last: i64) {
        {
            let mut ring = self.shared.ring.write();
            if events.is_empty() {
                ring.clear();
            }
            ring.extend(events.into_iter().map(Arc::new));
            let surplus = ring.len().saturating_sub(self.kept);
            ring.drain(..surplus);
        }
        self.last = last;
        self.shared.head.send_replace(last);
    }
}

async fn read(pool: &PgPool, after: i64, limit: i64) -> Result<Vec<Recorded>, Error> {
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
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with((*pool.connect_options()).clone());
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
