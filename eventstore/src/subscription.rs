//! Subscriptions: events in, work and checkpoint out in one transaction, by one worker at a time.
//!
//! Exactly once rests on one statement: the checkpoint moves only `where position = $old and epoch = $mine`. A worker
//! that lost its lease, however late it wakes up, finds no such row and rolls its work back.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use sqlx::{Connection, PgConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Recorded;
use crate::error::Error;
use crate::group::{Outcome, Work, Write};
use crate::lease::{Lease, Taken};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::parked::park;
use crate::presence::Presence;
use crate::wire::{Decoder, columns};

/// What a subscription does with events.
pub trait Handler: Send + 'static {
    /// Name of the subscription: with the version, the key of its checkpoint.
    fn name(&self) -> &str;

    /// Raised when all events must be handled anew.
    fn version(&self) -> i32;

    /// Categories it cares about; none means all.
    fn categories(&self) -> &[&str];

    /// Whether an event of these categories is any of its business. Where none of a batch is, there is no transaction.
    fn concerns(&self, _event: &Recorded) -> bool {
        true
    }

    /// Handles events, in the order of their positions, within the transaction that will move the checkpoint.
    fn handle(
        &mut self,
        transaction: &mut PgConnection,
        batch: &[Arc<Recorded>],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Handles events by saying what is to be written: it is written together with what others write at that moment, in one
    /// commit that moves the checkpoints too. `None` where that does not suit: then [`Handler::handle`] is asked.
    fn fold(
        &mut self,
        _log: &Log,
        _batch: &[Arc<Recorded>],
    ) -> impl Future<Output = Result<Option<Vec<Write>>, Failure>> + Send {
        std::future::ready(Ok(None))
    }

    /// The transaction of the last `handle` or `fold` was rolled back, or the lease changed hands: what is kept in memory may be
    /// ahead of the database or behind it.
    fn rolled_back(&mut self) {}
}

/// Why a batch could not be handled. All of its work is rolled back.
#[derive(Debug)]
pub enum Failure {
    /// One event can never be handled as the code stands: it is parked, with the later events of its stream.
    Poison {
        /// Which event.
        position: i64,
        /// Why, for the operator.
        reason: String,
    },
    /// The database failed. If the data is to blame, the event that carries it is found and parked; else it is tried again.
    Store(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

/// Where a subscription without a checkpoint begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first event.
    #[default]
    Beginning,
    /// With the first event after now: for effects that must not be had for history.
    Now,
}

/// How a subscription works.
#[derive(Clone, Debug)]
pub struct SubscriptionOptions {
    /// Most events handled in one transaction while following the head. Far behind it, pages of 4096.
    pub batch: i64,
    /// How long a worker that has died keeps others out.
    pub lease: Duration,
    /// Commit without waiting for the disk. What a crash loses is handled again: right for everything that can be replayed.
    pub relaxed_commit: bool,
    /// How long after one transaction the next may begin: under load events come together instead of one by one, and
    /// an event that comes alone is handled at once. Far behind the head nobody rests.
    pub rest: Duration,
    /// How often a checkpoint is written while nothing relevant happens.
    pub checkpoint: Duration,
    /// Where to begin.
    pub start: Start,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            batch: 1024,
            lease: Duration::from_secs(10),
            relaxed_commit: true,
            rest: Duration::from_millis(5),
            checkpoint: Duration::from_secs(1),
            start: Start::Beginning,
        }
    }
}

/// Starts subscriptions.
#[derive(Debug)]
pub struct Subscription;

/// A running worker of a subscription. Dropping it leaves the worker running until the runtime ends.
#[derive(Debug)]
pub struct Handle {
    position: watch::Receiver<i64>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

/// What came of replaying parked events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Handled now.
    pub handled: u64,
    /// Still parked.
    pub parked: u64,
}

#[derive(Debug)]
enum Order {
    Stop,
    Flush(oneshot::Sender<()>),
    Replay(oneshot::Sender<Result<Replayed, Error>>),
}

impl Subscription {
    /// Starts a worker. Of all workers of the same name and version, in all processes, one at a time works.
    pub fn spawn<H: Handler>(log: &Log, handler: H, options: SubscriptionOptions, metrics: Metrics) -> Handle {
        let (position, receiver) = watch::channel(0);
        let (orders, ordered) = mpsc::unbounded_channel();
        let worker = Worker {
            name: handler.name().to_owned(),
            version: handler.version(),
            categories: handler.categories().iter().map(|category| (*category).to_owned()).collect(),
            lease: Lease::new(handler.name(), handler.version(), options.lease),
            head: log.tail().watch(),
            log: log.clone(),
            handler,
            options,
            metrics,
            position,
        };
        Handle { position: receiver, orders, task: tokio::spawn(worker.run(ordered)) }
    }
}

impl Handle {
    /// Everything up to this position is handled and committed, or parked. It moves in every process, also where
    /// another process holds the lease, there with a delay of up to a second.
    pub fn position(&self) -> watch::Receiver<i64> {
        self.position.clone()
    }

    /// Waits until a position is handled. Without limit: put a timeout around it.
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn wait_for(&self, position: i64) -> Result<(), Error> {
        let mut watch = self.position.clone();
        watch.wait_for(|reached| *reached >= position).await.map_err(|_| stopped())?;
        Ok(())
    }

    /// Writes the checkpoint now, if this worker holds the lease.
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn flush(&self) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.orders.send(Order::Flush(reply)).map_err(|_| stopped())?;
        done.await.map_err(|_| stopped())
    }

    /// Handles the parked events again, in the order of their positions, and lets go of the streams that come through.
    ///
    /// # Errors
    /// When the worker has stopped, does not hold the lease, or cannot reach the database.
    pub async fn replay_parked(&self) -> Result<Replayed, Error> {
        let (reply, done) = oneshot::channel();
        self.orders.send(Order::Replay(reply)).map_err(|_| stopped())?;
        done.await.map_err(|_| stopped())?
    }

    /// Finishes the batch at hand, writes the checkpoint and gives up the lease.
    pub async fn stop(self) {
        // A worker that has ended already needs no order.
        let _ = self.orders.send(Order::Stop);
        let _ = self.task.await;
    }

    /// Stops at once, as a crash would: the batch at hand is rolled back, the lease stays until it runs out.
    pub async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn stopped() -> Error {
    Error::Invalid("the subscription has stopped".into())
}

struct Worker<H> {
    name: String,
    version: i32,
    categories: Vec<String>,
    lease: Lease,
    handler: H,
    log: Log,
    options: SubscriptionOptions,
    metrics: Metrics,
    position: watch::Sender<i64>,
    head: watch::Receiver<i64>,
}

/// What a worker knows while it holds the lease.
struct Hold {
    taken: Taken,
    /// How far this worker has come: ahead of the checkpoint only by events that are none of its business.
    reached: i64,
    /// Streams of which an event is parked, and the position of the first: what follows it must be parked too.
    parked: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Pages read ahead while far behind.
    pages: Option<Pages>,
    /// When the next transaction may begin.
    rested: Instant,
}

type Pages = Pin<Box<dyn Stream<Item = Result<Vec<Recorded>, Error>> + Send>>;

/// Farther behind than this, pages are read ahead instead of one batch after another.
const FAR: i64 = 16_384;
/// How long to wait before trying again what failed for no fault of the data.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a worker stops working on a lease.
enum Ended {
    Stopped,
    Lost,
    /// The database is away. It may have done what was asked of it last.
    Away,
}

/// Why a step did not succeed.
enum Trouble {
    /// Somebody else has the lease.
    Lost,
    /// The database is away.
    Away,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Does it, unless the database is lost meanwhile.
async fn guarded<T>(presence: &Presence, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    presence.guard(work).await.unwrap_or(Err(Trouble::Away))
}

/// How handling some events went.
enum Tried {
    Done,
    Poisoned(i64, String),
    /// The data of some event is to blame, it is not known which.
    Blamed(String),
}

impl<H: Handler> Worker<H> {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut pause = FIRST_PAUSE;
        let presence = self.log.presence().clone();
        let mut left = None;
        loop {
            let acquired = presence.guard(self.acquire(left)).await;
            let wait = match acquired.unwrap_or_else(|lost| Err(lost.into())) {
                Ok(Some(mut lease)) => {
                    left = None;
                    pause = FIRST_PAUSE;
                    tracing::debug!(
                        subscription = self.name,
                        version = self.version,
                        epoch = lease.taken.epoch,
                        "lease taken"
                    );
                    self.handler.rolled_back();
                    match self.work(&mut lease, &mut orders).await {
                        Ended::Stopped => return,
                        Ended::Lost => {
                            tracing::warn!(subscription = self.name, version = self.version, "lease lost");
                            self.handler.rolled_back();
                            FIRST_PAUSE
                        }
                        Ended::Away => {
                            self.handler.rolled_back();
                            left = Some(lease.taken);
                            Duration::ZERO
                        }
                    }
                }
                Err(Error::Lost(_)) => Duration::ZERO,
                Ok(None) => {
                    self.metrics.forget(&self.labels());
                    (self.options.lease / 4).min(Duration::from_millis(250))
                }
                Err(error) => {
                    tracing::warn!(subscription = self.name, %error, "cannot take the lease, trying again");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    pause
                }
            };
            let deadline = Instant::now() + wait;
            let rested = async {
                presence.found().await;
                tokio::time::sleep_until(deadline).await;
            };
            let mut rested = std::pin::pin!(rested);
            loop {
                tokio::select! {
                    () = &mut rested => break,
                    order = orders.recv() => match order {
                        Some(Order::Flush(reply)) => drop(reply.send(())),
                        Some(Order::Replay(reply)) => {
                            let refusal = Error::Invalid("another worker holds the lease".into());
                            drop(reply.send(Err(refusal)));
                        }
                        Some(Order::Stop) | None => return,
                    }
                }
            }
        }
    }

    /// Takes the lease if it is free. If not, learns how far its holder has come. One that was `left` while the database
    /// was away is given up first, so that nobody waits until it runs out.
    async fn acquire(&mut self, left: Option<Taken>) -> Result<Option<Hold>, Error> {
        let pool = self.log.pool();
        if let Some(taken) = left {
            self.lease.give_up(pool, &taken).await;
        }
        let Some(taken) = self.lease.take(pool).await? else {
            match self.lease.position(pool).await? {
                Some(position) => self.advance(position),
                None => {
                    let position = match self.options.start {
                        Start::Beginning => 0,
                        Start::Now => self.log.head().await?,
                    };
                    self.lease.create(pool, position).await?;
                }
            }
            return Ok(None);
        };
        let parked: Vec<(String, String, i64)> = sqlx::query_as(
            "select tenant_id, stream, min(position) from log_parked where subscription = $1 and version = $2
             group by tenant_id, stream",
        )
        .bind(&self.name)
        .bind(self.version)
        .fetch_all(pool)
        .await?;
        let parked =
            parked.into_iter().map(|(tenant, stream, first)| ((tenant.into(), stream.into()), first)).collect();
        self.position.send_replace(taken.position);
        Ok(Some(Hold { taken, reached: taken.position, parked, pages: None, rested: Instant::now() }))
    }

    /// Works until stopped or until the lease is gone.
    async fn work(&mut self, lease: &mut Hold, orders: &mut mpsc::UnboundedReceiver<Order>) -> Ended {
        let mut checkpoint = tokio::time::interval(self.options.checkpoint);
        let mut renew = tokio::time::interval(self.options.lease / 3);
        checkpoint.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pause = FIRST_PAUSE;
        // Where there is more to read than one batch, the next follows at once; orders and ticks still come first.
        let mut more = true;
        let presence = self.log.presence().clone();
        // Only a metric: the next time it is counted again.
        let _ = presence.guard(self.count_parked()).await;
        loop {
            let result = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Flush(reply)) => {
                        let result = guarded(&presence, self.checkpoint(lease)).await;
                        let _ = reply.send(());
                        result
                    }
                    Some(Order::Replay(reply)) => match guarded(&presence, self.replay(lease, false)).await {
                        Ok(replayed) => { let _ = reply.send(Ok(replayed)); Ok(()) }
                        Err(trouble @ (Trouble::Lost | Trouble::Away)) => Err(trouble),
                        Err(Trouble::Failed(error)) => { let _ = reply.send(Err(error)); Ok(()) }
                    },
                    Some(Order::Stop) | None => {
                        // Without its database the lease runs out by itself.
                        let _ = presence.guard(self.release(lease)).await;
                        return Ended::Stopped;
                    }
                },
                _ = renew.tick() => guarded(&presence, self.renew(lease.taken)).await,
                _ = checkpoint.tick() => match guarded(&presence, self.checkpoint(lease)).await {
                    Ok(()) => guarded(&presence, self.replay(lease, true)).await.map(drop),
                    trouble => trouble,
                },
                changed = self.head.changed(), if !more => match changed {
                    Ok(()) => { more = true; Ok(()) }
                    // The log is closed.
                    Err(_) => {
                        let _ = presence.guard(self.release(lease)).await;
                        return Ended::Stopped;
                    }
                },
                () = tokio::time::sleep_until(lease.rested), if more => match guarded(&presence, self.step(lease)).await {
                    Ok(progress) => { more = progress; pause = FIRST_PAUSE; Ok(()) }
                    Err(trouble) => Err(trouble),
                },
            };
            match result {
                Ok(()) => {}
                Err(Trouble::Lost) => return Ended::Lost,
                Err(Trouble::Away) => return Ended::Away,
                Err(Trouble::Failed(error)) => {
                    tracing::warn!(subscription = self.name, version = self.version, %error, "trying again");
                    lease.pages = None;
                    more = true;
                    self.report(lease, None);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Reads and handles one batch. False when there is nothing to read.
    async fn step(&mut self, lease: &mut Hold) -> Result<bool, Trouble> {
        // Seen before reading, so that news during the read wakes us again.
        let head = *self.head.borrow_and_update();
        let batch = self.read(lease, head).await?;
        let Some(last) = batch.last().map(|event| event.position) else {
            self.report(lease, None);
            return Ok(false);
        };
        self.report(lease, batch.first().map(|event| event.recorded_at));
        let full = lease.pages.is_some() || batch.len() as i64 >= self.options.batch;
        let before = lease.taken.position;
        self.take(lease, batch, last).await?;
        if !full && lease.taken.position > before {
            lease.rested = Instant::now() + self.options.rest;
        }
        self.report(lease, None);
        Ok(true)
    }

    async fn read(&mut self, lease: &mut Hold, head: i64) -> Result<Vec<Arc<Recorded>>, Error> {
        if lease.pages.is_none() && head - lease.reached > FAR {
            lease.pages = Some(Box::pin(self.log.replay(lease.reached, head)));
        }
        if let Some(pages) = &mut lease.pages {
            let _turn = self.log.turn().await;
            match pages.next().await {
                Some(page) => return Ok(page?.into_iter().map(Arc::new).collect()),
                None => lease.pages = None,
            }
        }
        self.log.tail().after(lease.reached, self.options.batch).await
    }

    /// Handles a batch that ends at `last`, parking what cannot be handled.
    async fn take(&mut self, lease: &mut Hold, batch: Vec<Arc<Recorded>>, last: i64) -> Result<(), Trouble> {
        let mut parts = vec![(batch, last)];
        let mut poisoned: Vec<(Arc<Recorded>, String)> = Vec::new();
        while let Some((mut part, last)) = parts.pop() {
            part.retain(|event| self.concerns(event));
            let (behind, part): (Vec<_>, Vec<_>) = part.into_iter().partition(|event| {
                let stream = (Arc::clone(&event.tenant), Arc::clone(&event.stream));
                lease.parked.get(&stream).is_some_and(|first| event.position > *first)
                    && !poisoned.iter().any(|(poison, _)| poison.position == event.position)
            });
            let part: Vec<_> = part
                .into_iter()
                .filter(|event| !poisoned.iter().any(|(poison, _)| poison.position == event.position))
                .collect();
            if part.is_empty() && behind.is_empty() && poisoned.is_empty() {
                lease.reached = last;
                self.advance(last);
                continue;
            }
            match self.transact(lease, &part, &behind, &poisoned, last).await? {
                Tried::Done => poisoned.clear(),
                Tried::Poisoned(position, reason) => {
                    let Some(event) = part.iter().find(|event| event.position == position) else {
                        let reason = format!("poison at {position}, which was not in the batch: {reason}");
                        return Err(Trouble::Failed(Error::Invalid(reason)));
                    };
                    tracing::error!(subscription = self.name, position, stream = %event.stream, reason, "event parked");
                    lease.parked.insert((Arc::clone(&event.tenant), Arc::clone(&event.stream)), event.position);
                    poisoned.push((Arc::clone(event), reason));
                    let mut again = [part, behind].concat();
                    again.sort_by_key(|event| event.position);
                    parts.push((again, last));
                }
                Tried::Blamed(reason) => match part.as_slice() {
                    [] => return Err(Trouble::Failed(Error::Invalid(reason))),
                    [event] => {
                        tracing::error!(subscription = self.name, position = event.position, stream = %event.stream, reason, "event parked");
                        lease.parked.insert((Arc::clone(&event.tenant), Arc::clone(&event.stream)), event.position);
                        poisoned.push((Arc::clone(event), reason));
                        parts.push(([part, behind].concat(), last));
                    }
                    several => {
                        // The first half for itself, up to where it ends; then the rest.
                        let middle = several.get(several.len() / 2 - 1).map_or(last, |event| event.position);
                        let mut all = [part, behind].concat();
                        all.sort_by_key(|event| event.position);
                        let rest = all.split_off(all.partition_point(|event| event.position <= middle));
                        parts.push((rest, last));
                        parts.push((all, middle));
                    }
                },
            }
        }
        Ok(())
    }

    fn concerns(&self, event: &Recorded) -> bool {
        let category = || self.categories.iter().any(|category| category == event.category());
        (self.categories.is_empty() || category()) && self.handler.concerns(event)
    }

    /// Work, parking and checkpoint in one transaction.
    async fn transact(
        &mut self,
        lease: &mut Hold,
        part: &[Arc<Recorded>],
        behind: &[Arc<Recorded>],
        poisoned: &[(Arc<Recorded>, String)],
        last: i64,
    ) -> Result<Tried, Trouble> {
        // What is parked is so in the same transaction, and whoever is far behind holds nobody up.
        let alone = part.is_empty() || !poisoned.is_empty() || !behind.is_empty() || lease.pages.is_some();
        if !alone
            && self.options.relaxed_commit
            && let Some(tried) = self.together(lease, part, last).await?
        {
            return Ok(tried);
        }
        let log = self.log.clone();
        let turn = log.turn().await;
        let mut connection = turn.connection(log.pool()).await?;
        let begin = if self.options.relaxed_commit { "begin; set local synchronous_commit = off" } else { "begin" };
        let mut transaction = connection.begin_with(begin).await?;
        if !part.is_empty() {
            let handled = AssertUnwindSafe(self.handler.handle(&mut transaction, part)).catch_unwind().await;
            match self.tried(handled)? {
                Tried::Done => {}
                blamed => {
                    transaction.rollback().await?;
                    return Ok(blamed);
                }
            }
        }
        for (event, reason) in poisoned {
            park(&mut transaction, (&self.name, self.version), event, reason, 1).await?;
        }
        for event in behind {
            park(&mut transaction, (&self.name, self.version), event, "an earlier event of its stream is parked", 0)
                .await?;
        }
        let moved = self.lease.move_checkpoint(&mut *transaction, &lease.taken, last).await;
        let committed = match moved {
            Ok(true) => transaction.commit().await.map_err(Trouble::from),
            Ok(false) => {
                drop(transaction);
                Err(Trouble::Lost)
            }
            Err(error) => {
                drop(transaction);
                Err(error.into())
            }
        };
        if let Err(trouble) = committed {
            return Err(self.in_doubt(lease.taken, trouble).await);
        }
        turn.keep(connection);
        self.done(lease, part, last);
        if !poisoned.is_empty() || !behind.is_empty() {
            self.count_parked().await;
        }
        Ok(Tried::Done)
    }

    /// Work and checkpoint in one commit with those of others. `None` where it must be done alone.
    async fn together(
        &mut self,
        lease: &mut Hold,
        part: &[Arc<Recorded>],
        last: i64,
    ) -> Result<Option<Tried>, Trouble> {
        let log = self.log.clone();
        let folded = AssertUnwindSafe(self.handler.fold(&log, part)).catch_unwind().await;
        let writes = match folded {
            Ok(Ok(Some(writes))) => writes,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(failure)) => return self.tried(Ok(Err(failure))).map(Some),
            Err(panic) => return self.tried(Err(panic)).map(Some),
        };
        let (name, version, taken) = (self.name.clone(), self.version, lease.taken);
        let work = Work { name, version, taken, to: last, lease: self.lease.duration, writes };
        match self.log.group().commit(work).await {
            Outcome::Done => {
                self.done(lease, part, last);
                Ok(Some(Tried::Done))
            }
            Outcome::Busy => {
                self.handler.rolled_back();
                Ok(None)
            }
            Outcome::Failed(error) if blames_data(&error) => {
                self.handler.rolled_back();
                Ok(Some(Tried::Blamed(error.to_string())))
            }
            Outcome::Failed(error) => Err(self.in_doubt(lease.taken, error.into()).await),
            Outcome::Lost => Err(self.in_doubt(lease.taken, Trouble::Lost).await),
        }
    }

    /// What a handler made of some events. Unless it is done with them, it forgets what it has made.
    fn tried(&mut self, handled: Result<Result<(), Failure>, Box<dyn Any + Send>>) -> Result<Tried, Trouble> {
        let tried = match handled {
            Ok(Ok(())) => return Ok(Tried::Done),
            Ok(Err(Failure::Poison { position, reason })) => Ok(Tried::Poisoned(position, reason)),
            Ok(Err(Failure::Store(error))) if blames_data(&error) => Ok(Tried::Blamed(error.to_string())),
            Ok(Err(Failure::Store(error))) => Err(error.into()),
            // A panic is the fault of some event, not of the subscription.
            Err(panic) => {
                let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Ok(Tried::Blamed(format!("the handler panicked: {said}")))
            }
        };
        self.handler.rolled_back();
        tried
    }

    /// A commit whose answer was lost may have happened: the checkpoint in the database knows, and taking the lease anew
    /// reads it.
    async fn in_doubt(&mut self, taken: Taken, trouble: Trouble) -> Trouble {
        self.handler.rolled_back();
        if let Trouble::Failed(error) = trouble {
            tracing::warn!(subscription = self.name, %error, "commit in doubt");
            self.lease.give_up(self.log.pool(), &taken).await;
        }
        Trouble::Lost
    }

    /// Some events are handled and committed, with everything up to `last`.
    fn done(&mut self, lease: &mut Hold, part: &[Arc<Recorded>], last: i64) {
        lease.taken.position = last;
        lease.reached = last;
        self.metrics.handled.with_label_values(&self.labels()).inc_by(part.len() as u64);
        self.advance(last);
    }

    /// Writes how far we have come, if that is farther than written.
    async fn checkpoint(&mut self, lease: &mut Hold) -> Result<(), Trouble> {
        if lease.reached > lease.taken.position {
            if !self.lease.move_checkpoint(self.log.pool(), &lease.taken, lease.reached).await? {
                return Err(Trouble::Lost);
            }
            lease.taken.position = lease.reached;
        }
        Ok(())
    }

    async fn renew(&mut self, taken: Taken) -> Result<(), Trouble> {
        if self.lease.renew(self.log.pool(), &taken).await? { Ok(()) } else { Err(Trouble::Lost) }
    }

    async fn release(&mut self, lease: &mut Hold) {
        if let Err(Trouble::Failed(error)) = self.checkpoint(lease).await {
            tracing::warn!(subscription = self.name, %error, "stopped without a last checkpoint");
        }
        self.lease.give_up(self.log.pool(), &lease.taken).await;
    }

    /// Handles parked events again, stream by stream, each in a transaction with the fence.
    async fn replay(&mut self, lease: &mut Hold, only_asked: bool) -> Result<Replayed, Trouble> {
        let mut replayed = Replayed::default();
        if lease.parked.is_empty() {
            return Ok(replayed);
        }
        let streams: Vec<(String, String)> = sqlx::query_as(
            "select tenant_id, stream from log_parked where subscription = $1 and version = $2
             group by tenant_id, stream having bool_or(retry) or not $3 order by min(position)",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(only_asked)
        .fetch_all(self.log.pool())
        .await?;
        if streams.is_empty() {
            return Ok(replayed);
        }
        // The fence compares the checkpoint in the database.
        self.checkpoint(lease).await?;
        for (tenant, stream) in streams {
            let (handled, left) = self.replay_stream(lease, &tenant, &stream).await?;
            replayed.handled += handled;
            replayed.parked += left;
            if left == 0 {
                lease.parked.remove(&(tenant.into(), stream.into()));
            }
        }
        self.count_parked().await;
        Ok(replayed)
    }

    /// Handles the parked events of one stream, oldest first, up to the first that fails again.
    async fn replay_stream(&mut self, lease: &mut Hold, tenant: &str, stream: &str) -> Result<(u64, u64), Trouble> {
        let rows = sqlx::query(concat!(
            "select ",
            columns!(),
            " from log_event where position in (
                 select position from log_parked where subscription = $1 and version = $2 and tenant_id = $3 and stream = $4)
             order by position"
        ))
        .bind(&self.name)
        .bind(self.version)
        .bind(tenant)
        .bind(stream)
        .fetch_all(self.log.pool())
        .await?;
        let events = Decoder::rows(&rows)?;
        let mut left = events.len() as u64;
        let mut handled = 0;
        for event in events {
            let event = [Arc::new(event)];
            let position = event.first().map_or(0, |event| event.position);
            let mut transaction = self.log.pool().begin().await?;
            let tried = AssertUnwindSafe(self.handler.handle(&mut transaction, &event)).catch_unwind().await;
            let failed = match self.tried(tried)? {
                Tried::Done => {
                    sqlx::query("delete from log_parked where subscription = $1 and version = $2 and position = $3")
                        .bind(&self.name)
                        .bind(self.version)
                        .bind(position)
                        .execute(&mut *transaction)
                        .await?;
                    None
                }
                Tried::Poisoned(_, reason) | Tried::Blamed(reason) => {
                    transaction.rollback().await?;
                    transaction = self.log.pool().begin().await?;
                    sqlx::query(
                        "update log_parked set attempts = attempts + case when position = $5 then 1 else 0 end, retry = false,
                             reason = case when position = $5 then $6 else reason end
                         where subscription = $1 and version = $2 and tenant_id = $3 and stream = $4",
                    )
                    .bind(&self.name)
                    .bind(self.version)
                    .bind(tenant)
                    .bind(stream)
                    .bind(position)
                    .bind(&reason)
                    .execute(&mut *transaction)
                    .await?;
                    Some(reason)
                }
            };
            if !self.lease.move_checkpoint(&mut *transaction, &lease.taken, lease.taken.position).await? {
                self.handler.rolled_back();
                return Err(Trouble::Lost);
            }
            transaction.commit().await?;
            if let Some(reason) = failed {
                tracing::error!(subscription = self.name, position, stream, reason, "event stays parked");
                return Ok((handled, left));
            }
            handled += 1;
            left -= 1;
        }
        Ok((handled, left))
    }

    fn advance(&self, position: i64) {
        self.position.send_if_modified(|known| {
            let newer = position > *known;
            if newer {
                *known = position;
            }
            newer
        });
    }

    fn labels(&self) -> [String; 2] {
        [self.name.clone(), self.version.to_string()]
    }

    /// Sets the lag as it is now; `oldest` is when the oldest event at hand was recorded.
    fn report(&self, lease: &Hold, oldest: Option<Timestamp>) {
        let behind = (*self.head.borrow() - lease.reached).max(0);
        let labels = self.labels();
        self.metrics.lag_positions.with_label_values(&labels).set(behind);
        let seconds = self.metrics.lag_seconds.with_label_values(&labels);
        match oldest {
            Some(oldest) => seconds.set(Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0)),
            None if behind == 0 => seconds.set(0.0),
            None => {}
        }
    }

    async fn count_parked(&mut self) {
        let count = sqlx::query_scalar("select count(*) from log_parked where subscription = $1 and version = $2")
            .bind(&self.name)
            .bind(self.version)
            .fetch_one(self.log.pool())
            .await;
        match count {
            Ok(count) => self.metrics.parked.with_label_values(&self.labels()).set(count),
            Err(error) => tracing::warn!(subscription = self.name, %error, "cannot count parked events"),
        }
    }
}

/// Whether the data of an event, not the database or the statement, is the cause of a failure.
pub fn blames_data(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            code.starts_with("22") || code.starts_with("23") || code.starts_with("54")
        }
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}
