//! Fires what is due: runs of rules, tasks that are due soon or overdue, tickets that wake, work that is handed over.
//!
//! Due rows come from the read model of timers and are shared out among processes with `skip locked`. The lock only
//! divides the work: that a second firing changes nothing follows from the ids of the commands.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{
    Actor, Id, Time, Via,
    desk::ticket::{self, Ticket},
    work::task::{self, Task},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use jiff_sqlx::{Timestamp, ToSqlx};
use parking_lot::Mutex;
use sqlx::PgConnection;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use uuid::Uuid;

use crate::{
    Cause, Commands, Envelope, Refused,
    acting::{Due, Fired, Key, Kind, Shared, at_once, command_id},
    hand_over,
    runs::Runs,
};

/// The read model that says what is due.
const READ_MODEL: &str = "timer";
/// Timers taken at once.
const BATCH: i64 = 512;
/// Batches that may be fired before the read model has taken in the first of them.
const AHEAD: usize = 2;
/// Tenants whose runs are carried out at once; each takes a connection.
const TENANTS: usize = 4;
/// How long nothing is looked at when nobody nudges.
const POLL: Duration = Duration::from_secs(1);
/// How long the reactor of rules may be behind before other timers are fired without waiting for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a timer may lead to nothing before it is left alone: as a rule it is gone from the read model by then.
const TRIES: u32 = 3;
/// How long a timer that led to nothing is left alone, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often what waits is counted.
const COUNT: Duration = Duration::from_secs(10);

/// The worker of this process that fires timers.
pub(crate) struct Timers {
    orders: mpsc::UnboundedSender<oneshot::Sender<()>>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Timers {
    /// Starts it. `rules` is how far the reactor of rules has come.
    pub(crate) fn start(commands: Commands, shared: Arc<Shared>, rules: watch::Receiver<i64>) -> Timers {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let runs = Runs::new(commands.clone(), Arc::clone(&shared));
        let worker = Worker { commands, shared, rules, runs, later: HashMap::new(), fired: VecDeque::new(), stopped };
        Timers { orders, stop, task: Mutex::new(Some(tokio::spawn(worker.run(ordered)))) }
    }

    /// Waits until everything that is due now has been fired by whatever process, but for what has to wait because
    /// something was out of reach. `None` when the worker has stopped.
    pub(crate) async fn settle(&self) -> Option<()> {
        let (reply, done) = oneshot::channel();
        self.orders.send(reply).ok()?;
        done.await.ok()
    }

    /// Finishes what is under way.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().take();
        if let Some(task) = task {
            // Ended or failed: either way it has stopped.
            let _ = task.await;
        }
    }
}

/// Timers that were fired, and the position after which the read model knows.
struct Batch {
    position: i64,
    keys: Vec<Key>,
}

/// A timer that is left alone for a while.
struct Left {
    tries: u32,
    until: Instant,
    pause: Duration,
}

struct Worker {
    commands: Commands,
    shared: Arc<Shared>,
    rules: watch::Receiver<i64>,
    runs: Runs,
    later: HashMap<Key, Left>,
    /// What was just fired is in the read model until that has taken in what came of it. Nobody waits for that but whoever is
    /// [`AHEAD`].
    fired: VecDeque<Batch>,
    stopped: watch::Receiver<bool>,
}

type Row = (String, String, String, String, Timestamp, String, i64, String, i64);

impl Worker {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        let mut stopped = self.stopped.clone();
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut counted = Instant::now();
        let mut pause = Duration::ZERO;
        let presence = self.commands.log().presence().clone();
        loop {
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                order = orders.recv() => match order {
                    Some(reply) => waiting.push(reply),
                    None => return,
                },
                () = shared.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let Ok(fired) = presence.guard(self.fire_all()).await else {
                // What was under way is fired again when the database is back: the ids of its commands are the same.
                tokio::select! {
                    () = presence.found() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
                pause = Duration::ZERO;
                continue;
            };
            pause = match fired {
                Ok(quiet) => {
                    if quiet {
                        // Whoever waits no longer listens when it has given up.
                        for reply in waiting.drain(..) {
                            let _ = reply.send(());
                        }
                        self.until_next().await
                    } else {
                        Duration::from_millis(5)
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot fire timers, trying again");
                    POLL
                }
            };
            if counted.elapsed() > COUNT {
                counted = Instant::now();
                self.count().await;
            }
        }
    }

    /// Fires what is due, batch by batch. False when something is due that could not be taken: another process has it.
    async fn fire_all(&mut self) -> Result<bool, sqlx::Error> {
        let mut reached = false;
        loop {
            if *self.stopped.borrow() {
                return Ok(true);
            }
            let head = *self.commands.log().tail().watch().borrow();
            let mut rules = self.rules.clone();
            // An event that calls a run off comes before the run if it was there before the run was due.
            let caught_up = rules.wait_for(|reached| *reached >= head);
            let mut stopped = self.stopped.clone();
            let caught_up = tokio::select! {
                reached = tokio::time::timeout(PATIENCE, caught_up) => matches!(reached, Ok(Ok(_))),
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(true),
            };
            if self.fired.len() >= AHEAD
                && let Some(position) = self.fired.front().map(|batch| batch.position)
            {
                if !self.known(position).await {
                    return Ok(*self.stopped.borrow());
                }
                self.fired.pop_front();
            }
            let kinds: &[Kind] = if caught_up { &Kind::ALL } else { &Kind::ALL[1..] };
            let mut transaction = self.commands.log().pool().begin().await?;
            let due = self.claim(&mut transaction, kinds).await?;
            if due.is_empty() {
                transaction.commit().await?;
                if reached {
                    return Ok(caught_up && !self.anything_due().await?);
                }
                // Perhaps the read model only does not know yet.
                if !self.known(head).await {
                    return Ok(*self.stopped.borrow());
                }
                self.fired.clear();
                reached = true;
                continue;
            }
            reached = false;
            let keys = due.iter().map(|due| due.key.clone()).collect();
            self.fire(due).await;
            transaction.commit().await?;
            self.fired.push_back(Batch { position: *self.commands.log().tail().watch().borrow(), keys });
        }
    }

    /// Waits until the read model has everything up to a position. False when it takes too long, or all is to stop.
    async fn known(&self, position: i64) -> bool {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            known = (self.shared.reach)(READ_MODEL, position) => known,
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }

    /// Timers that are not to be taken now: those that led to nothing, and those just fired.
    fn left_alone(&mut self) -> [Vec<String>; 3] {
        let now = Instant::now();
        self.later.retain(|_, left| left.until + LONGEST_PAUSE > now);
        let paused = self.later.iter().filter(|(_, left)| left.until > now).map(|(key, _)| key);
        let mut left = [Vec::new(), Vec::new(), Vec::new()];
        for (tenant, id, cause) in paused.chain(self.fired.iter().flat_map(|batch| &batch.keys)) {
            left[0].push(tenant.clone());
            left[1].push(id.clone());
            left[2].push(cause.clone());
        }
        left
    }

    /// Takes due timers that nobody else has, those first that have waited longest. They are held as long as the
    /// transaction.
    async fn claim(&mut self, transaction: &mut PgConnection, kinds: &[Kind]) -> Result<Vec<Due>, sqlx::Error> {
        let [tenants, ids, causes] = self.left_alone();
        let rows: Vec<Row> = sqlx::query_as(
            "select tenant_id, id, kind, record_id, due_at, cause_id, cause_position, correlation_id, depth
             from read_timer t
             where due_at <= $1 and kind = any ($2)
               and not exists (select from unnest($3::text[], $4::text[], $5::text[]) l (tenant_id, id, cause_id)
                               where l.tenant_id = t.tenant_id and l.id = t.id and l.cause_id = t.cause_id)
             order by due_at limit $6
             for update skip locked",
        )
        .bind((self.shared.clock)().to_sqlx())
        .bind(kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>())
        .bind(tenants)
        .bind(ids)
        .bind(causes)
        .bind(BATCH)
        .fetch_all(transaction)
        .await?;
        Ok(rows.into_iter().filter_map(due).collect())
    }

    /// Whether anything is due that need not wait, whoever has it.
    async fn anything_due(&mut self) -> Result<bool, sqlx::Error> {
        let [tenants, ids, causes] = self.left_alone();
        sqlx::query_scalar(
            "select exists (
                 select from read_timer t where due_at <= $1
                   and not exists (select from unnest($2::text[], $3::text[], $4::text[]) l (tenant_id, id, cause_id)
                                   where l.tenant_id = t.tenant_id and l.id = t.id and l.cause_id = t.cause_id))",
        )
        .bind((self.shared.clock)().to_sqlx())
        .bind(tenants)
        .bind(ids)
        .bind(causes)
        .fetch_one(self.commands.log().pool())
        .await
    }

    async fn fire(&mut self, due: Vec<Due>) {
        self.commands.prefetch(due.iter().filter_map(|due| Some((due.tenant, due.need()?))).collect()).await;
        let mut runs: BTreeMap<Id, Vec<Due>> = BTreeMap::new();
        let mut others = Vec::new();
        for due in due {
            match due.kind {
                Kind::RuleRun => runs.entry(due.tenant).or_default().push(due),
                Kind::TaskDueSoon | Kind::TaskOverdue | Kind::TicketWake | Kind::HandOver => others.push(due),
            }
        }
        let worker = &*self;
        let carry_out = runs.into_iter().map(|(tenant, due)| {
            async move {
                let fired = worker.runs.carry_out(tenant, &due).await;
                due.into_iter().zip(fired).collect::<Vec<_>>()
            }
            .boxed()
        });
        let carry_out: Vec<BoxFuture<'_, _>> = carry_out.collect();
        let runs = stream::iter(carry_out).buffer_unordered(TENANTS).collect::<Vec<_>>();
        let fire = others.into_iter().map(|due| {
            async move {
                let fired = worker.fire_one(&due).await;
                (due, fired)
            }
            .boxed()
        });
        let (runs, others) = tokio::join!(runs, at_once(fire.collect()));
        let now = (self.shared.clock)();
        for (due, fired) in runs.into_iter().flatten().chain(others) {
            if fired == Fired::Done {
                self.shared.metrics.fired(due.kind.name(), now.duration_since(due.due_at).as_secs_f64());
                self.later.remove(&due.key);
                continue;
            }
            let left =
                self.later.entry(due.key).or_insert(Left { tries: 0, until: Instant::now(), pause: FIRST_PAUSE / 2 });
            left.tries += 1;
            if fired == Fired::Later || left.tries >= TRIES {
                left.pause = (left.pause * 2).min(LONGEST_PAUSE);
                left.until = Instant::now() + left.pause;
            }
        }
    }

    async fn fire_one(&self, due: &Due) -> Fired {
        let now = (self.shared.clock)();
        if due.kind == Kind::HandOver {
            return hand_over::carry_out(&self.commands, &self.shared.reach, due, now).await.unwrap_or_else(
                |refused| {
                    tracing::debug!(user = %due.record, %refused, "work is handed over later");
                    Fired::Later
                },
            );
        }
        let envelope = Envelope::new(due.tenant, due.record, Actor::SYSTEM, Via::Timer, now).caused_by(&due.cause);
        let name = ["timer", due.kind.name(), &due.record.to_string(), &due.cause.event.to_string()];
        let envelope = Envelope { command_id: command_id(&name), ..envelope };
        let fired = match due.kind {
            Kind::TicketWake => self.wake(envelope, now).await,
            kind => {
                let command = match kind {
                    Kind::TaskDueSoon => task::Command::MarkDueSoon,
                    _ => task::Command::MarkOverdue,
                };
                self.commands.dispatch::<Task>(&envelope, command).await.map(|done| done.events.len())
            }
        };
        match fired {
            Ok(0) | Err(Refused::Rejected(_)) => Fired::Nothing,
            Ok(_) => Fired::Done,
            Err(refused) => {
                tracing::debug!(record = %due.record, %refused, "a timer is fired later");
                Fired::Later
            }
        }
    }

    /// Wakes a ticket, unless it was put off meanwhile.
    async fn wake(&self, envelope: Envelope, now: Time) -> Result<usize, Refused> {
        let (ticket, version) = self.commands.load::<Ticket>(envelope.tenant, envelope.id).await?;
        if ticket.snoozed_until().is_none_or(|until| until > now) {
            return Ok(0);
        }
        let envelope = Envelope { expected: Some(version), ..envelope };
        Ok(self.commands.dispatch::<Ticket>(&envelope, ticket::Command::Wake).await?.events.len())
    }

    /// How long until something is due, as far as that is known.
    async fn until_next(&self) -> Duration {
        let now = (self.shared.clock)();
        let next: Result<Option<Timestamp>, _> =
            sqlx::query_scalar("select min(due_at) from read_timer where due_at > $1")
                .bind(now.to_sqlx())
                .fetch_one(self.commands.log().pool())
                .await;
        let next = next.ok().flatten().and_then(|next| Duration::try_from(next.to_jiff().duration_since(now)).ok());
        next.map_or(POLL, |next| next.min(POLL))
    }

    async fn count(&self) {
        let counted: Result<(i64, i64), _> = sqlx::query_as(
            "select (select count(*) from read_timer where due_at <= $1),
                    (select count(*) from read_rule_runs where status = 'parked')",
        )
        .bind((self.shared.clock)().to_sqlx())
        .fetch_one(self.commands.log().pool())
        .await;
        match counted {
            Ok((due, parked)) => {
                self.shared.metrics.due.set(due);
                self.shared.metrics.parked.set(parked);
            }
            Err(error) => tracing::warn!(%error, "cannot count timers"),
        }
    }
}

fn due(row: Row) -> Option<Due> {
    let (tenant_id, id, kind, record_id, due_at, cause_id, position, correlation_id, depth) = row;
    let event = Uuid::parse_str(&cause_id).ok()?;
    let correlation = Uuid::parse_str(&correlation_id).unwrap_or(event);
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    Some(Due {
        tenant: tenant_id.parse().ok()?,
        kind: Kind::ALL.into_iter().find(|known| known.name() == kind)?,
        record: record_id.parse().ok()?,
        due_at: due_at.to_jiff(),
        cause: Cause { event, position, correlation, depth },
        key: (tenant_id, id, cause_id),
    })
}
