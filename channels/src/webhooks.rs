//! Webhooks: events of the log, told to the addresses that ask for them. Tables: `react_webhook`, `react_webhook_lane` and
//! `react_webhook_delivery`.
//!
//! Nothing is queued: of each webhook it is known up to which position it has been told everything, and of which records an event
//! waits for its next attempt; all else is read from the log. So a receiver that is away for days takes up no room, and what comes
//! after an event that waits is found again in the stream of its record. One process at a time sends. What it had sent when it died and
//! had not written down is sent again, under the same id.

mod metrics;
mod store;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use commands::{Clock, Commands, Refused};
use domain::{
    Aggregate, Id,
    work::webhook::{Event, Eyes, Webhook},
};
use eventstore::{Failure, Handle, Handler, Recorded, Subscription, SubscriptionOptions};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prometheus::Registry;
use sqlx::{PgConnection, PgPool};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use self::{
    metrics::Metrics,
    store::{Heeded, Key},
    worker::{Running, Shared},
};
use crate::{calling::Caller, outbox::Secrets, turn::Turn};

/// Held by the process that sends.
const SENDING: i64 = 7_813_887_469;
/// How often it is looked which webhooks there are when nothing tells that any changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what waits is counted and what was sent long ago is deleted.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// Attempts that are kept of each webhook.
const KEPT: i64 = 10_000;

/// What somebody sees of events: of each what is told of it, or nothing; `None` when nobody is left with these eyes.
pub type Seen = Option<Vec<Option<String>>>;
/// Looks at events with somebody's eyes.
pub type Look = Arc<dyn Fn(Id, Eyes, Vec<Arc<Recorded>>) -> BoxFuture<'static, Result<Seen, String>> + Send + Sync>;

/// The name under which an event goes to a webhook: the same for every attempt, so that whoever hears it twice knows.
pub fn message_id(webhook: Id, position: i64) -> String {
    format!("msg_{webhook}_{position}")
}

/// What webhooks are told from outside.
pub struct Options {
    /// What time it is.
    pub clock: Clock,
    /// Opens secrets.
    pub secrets: Secrets,
    /// Looks at events.
    pub look: Look,
    /// Whether addresses of private networks may be called.
    pub private_addresses: bool,
    /// How long a receiver may take to answer.
    pub patience: Duration,
    /// For how long what was sent is kept.
    pub kept: Duration,
    /// Where what they tell of themselves is gathered.
    pub registry: Registry,
}

/// The webhooks of this process.
pub struct Webhooks {
    reactor: Mutex<Option<Handle>>,
    sender: Arc<Sender>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Sender {
    shared: Arc<Shared>,
    kept: Duration,
    nudge: Notify,
    stopping: AtomicBool,
    /// Whether it is this process's turn, and how often it has looked since which webhooks there are.
    leads: AtomicBool,
    looked: AtomicU64,
    /// Those that this process tells.
    running: Mutex<HashMap<Key, Running>>,
}

/// Whether a URL may be called, as far as that can be told without looking its name up.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str, private_addresses: bool) -> Result<(), String> {
    crate::address::check(url, private_addresses).map(drop)
}

impl Webhooks {
    /// Starts them.
    ///
    /// # Errors
    /// When their metrics are registered already.
    pub fn start(commands: &Commands, options: Options) -> Result<Webhooks, prometheus::Error> {
        let metrics = Metrics::register(&options.registry)?;
        let log = commands.log();
        let durable = SubscriptionOptions { relaxed_commit: false, ..SubscriptionOptions::default() };
        let (told, changed) = watch::channel(0);
        let heeding = Heeding { commands: commands.clone(), clock: Arc::clone(&options.clock), told };
        let reactor = Subscription::spawn(log, heeding, durable, log.metrics().clone());
        let Options { clock, secrets, look, private_addresses, patience, kept, registry: _ } = options;
        let caller = Caller::new(private_addresses, patience);
        let pool = log.pool().clone();
        let shared = Shared { pool, commands: commands.clone(), clock, secrets, look, caller, metrics };
        let sender = Arc::new(Sender {
            shared: Arc::new(shared),
            kept,
            nudge: Notify::new(),
            stopping: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            running: Mutex::default(),
        });
        let task = tokio::spawn(Arc::clone(&sender).run(changed));
        Ok(Webhooks { reactor: Mutex::new(Some(reactor)), sender, task: Mutex::new(Some(task)) })
    }

    /// The clock was moved: what is due now is sent now.
    pub fn nudge(&self) {
        self.sender.nudge();
    }

    /// Waits until everything up to a position that is due now has been tried, by whatever process. Without limit: put a
    /// timeout around it.
    ///
    /// # Errors
    /// When they have stopped, or the database fails.
    pub async fn settle(&self, position: i64) -> Result<(), eventstore::Error> {
        let stopped = || eventstore::Error::Invalid("the webhooks have stopped".into());
        let mut reached = self.reactor.lock().as_ref().map(Handle::position).ok_or_else(stopped)?;
        reached.wait_for(|reached| *reached >= position).await.map_err(|_| stopped())?;
        self.sender.sweep().await?;
        self.sender.look().await;
        Ok(self.sender.idle(position).await?)
    }

    /// Finishes what is under way and gives up the leases.
    pub async fn stop(&self) {
        self.sender.stopping.store(true, Ordering::SeqCst);
        self.sender.nudge.notify_one();
        let (task, reactor) = (self.task.lock().take(), self.reactor.lock().take());
        if let Some(task) = task {
            // A task that panicked has been reported.
            let _ = task.await;
        }
        if let Some(reactor) = reactor {
            reactor.stop().await;
        }
    }
}

impl Sender {
    fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    fn nudge(&self) {
        self.nudge.notify_one();
        self.running.lock().values().for_each(Running::nudge);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Looks once more which webhooks there are, where it is this process that does.
    async fn look(&self) {
        let before = self.looked.load(Ordering::SeqCst);
        // What it looks at now it may have begun to look at before.
        while self.leads.load(Ordering::SeqCst) && self.looked.load(Ordering::SeqCst) < before + 2 {
            self.nudge.notify_one();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn idle(&self, position: i64) -> Result<(), sqlx::Error> {
        while store::is_busy(self.pool(), position, (self.shared.clock)(), worker::MOST_LANES).await? {
            self.nudge();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Sends whenever it is this process's turn, until it is stopped.
    async fn run(self: Arc<Self>, mut changed: watch::Receiver<i64>) {
        while !self.is_stopping() {
            match Turn::take(self.pool(), SENDING).await {
                Ok(Some(turn)) => {
                    if let Err(error) = self.send_all(turn, &mut changed).await {
                        tracing::warn!(%error, "the webhooks rest");
                        self.rest().await;
                    }
                }
                Ok(None) => self.rest().await,
                Err(error) => {
                    tracing::debug!(%error, "the webhooks cannot look whose turn it is");
                    self.rest().await;
                }
            }
        }
    }

    async fn rest(&self) {
        let _ = tokio::time::timeout(LOOK_EVERY, self.nudge.notified()).await;
    }

    /// Sends until stopped, or until the turn is lost with its connection.
    async fn send_all(&self, mut turn: Turn, changed: &mut watch::Receiver<i64>) -> Result<(), sqlx::Error> {
        let mut tidied: Option<Instant> = None;
        let outcome = loop {
            if self.is_stopping() {
                break Ok(());
            }
            if let Err(error) = turn.check().await {
                break Err(error);
            }
            match store::working(self.pool()).await {
                Ok(rows) => {
                    self.reconcile(&rows);
                    self.looked.fetch_add(1, Ordering::SeqCst);
                    self.leads.store(true, Ordering::SeqCst);
                }
                Err(error) => break Err(error),
            }
            if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
                tidied = Some(Instant::now());
                if let Err(error) = self.tidy().await {
                    tracing::debug!(%error, "cannot count what waits for webhooks");
                }
            }
            tokio::select! {
                () = self.nudge.notified() => {}
                told = changed.changed() => if told.is_err() { break Err(sqlx::Error::WorkerCrashed) },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        };
        self.leads.store(false, Ordering::SeqCst);
        let running = std::mem::take(&mut *self.running.lock());
        // Whoever has lost the turn must be silent at once: somebody else goes on.
        let lost = outcome.is_err();
        for one in running.values() {
            if lost { one.abort() } else { one.stop() }
        }
        for (_, one) in running {
            one.ended().await;
        }
        turn.give_back().await;
        self.shared.metrics.waiting.set(0);
        self.shared.metrics.behind.set(0);
        self.shared.metrics.failing.set(0);
        outcome
    }

    /// Begins with webhooks that work now, ends with those that do not, and tells the others that they have changed.
    fn reconcile(&self, rows: &[store::Working]) {
        let mut running = self.running.lock();
        running.retain(|_, one| !one.is_finished());
        let wanted: HashMap<Key, &store::Working> = rows.iter().map(|row| (row.key, row)).collect();
        for (key, one) in running.iter() {
            match wanted.get(key) {
                Some(row) if !one.is_overtaken(row.turn) => one.tell(row.changed_at),
                _ => one.stop(),
            }
        }
        for row in rows {
            running.entry(row.key).or_insert_with(|| Running::start(&self.shared, row.key, row.changed_at));
        }
    }

    async fn tidy(&self) -> Result<(), sqlx::Error> {
        let (waiting, last, failing) = store::counted(self.pool()).await?;
        let head = *self.shared.commands.log().tail().watch().borrow();
        self.shared.metrics.waiting.set(waiting);
        self.shared.metrics.behind.set(last.map_or(0, |last| (head - last).max(0)));
        self.shared.metrics.failing.set(failing);
        self.sweep().await
    }

    async fn sweep(&self) -> Result<(), sqlx::Error> {
        let now = (self.shared.clock)();
        let before = now.checked_sub(self.kept).unwrap_or(now);
        store::sweep(self.pool(), before, KEPT).await
    }
}

/// Heeds what happens to webhooks themselves.
struct Heeding {
    commands: Commands,
    clock: Clock,
    /// The position of the last that was heeded here.
    told: watch::Sender<i64>,
}

impl Handler for Heeding {
    fn name(&self) -> &str {
        "react_webhooks"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Webhook::KIND]
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch {
            let (Ok(tenant), Ok(webhook)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { continue };
            let Ok(happened) = Webhook::decode(&event.kind, &event.data) else { continue };
            let known = self.commands.load_current::<Webhook>(tenant, webhook).await;
            let (known, _) = known.map_err(|refused| unavailable(&refused))?;
            let name;
            let means = match happened {
                Event::Changed { .. } | Event::Enabled { .. } => Heeded::Mended,
                Event::Replayed { from, .. } => Heeded::From(from),
                Event::Tested { test } => {
                    name = test.to_string();
                    Heeded::Once(&name, event.position)
                }
                Event::Redelivered { redelivery, position } => {
                    name = redelivery.to_string();
                    Heeded::Once(&name, position)
                }
                Event::Archived => Heeded::Ends,
                _ => Heeded::GoesOn,
            };
            let key = Key { tenant, webhook };
            store::heed(transaction, key, event.position, known.works(), (self.clock)(), means).await?;
        }
        if let Some(last) = batch.last() {
            self.told.send_replace(last.position);
        }
        Ok(())
    }
}

/// The log is out of reach: the batch is handled again.
fn unavailable(refused: &Refused) -> Failure {
    Failure::Store(sqlx::Error::Protocol(refused.to_string()))
}
