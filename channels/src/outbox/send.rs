//! The sender: of all processes one sends, several rows at once, those of a lane one after the other.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use commands::{Clock, Commands, Refused};
use domain::{Id, Time};
use jiff_sqlx::ToSqlx;
use parking_lot::Mutex;
use sqlx::PgPool;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    Options, Outcome,
    api::Api,
    item::{Carriers, Item},
    message::Messages,
    metrics::Metrics,
    notification::Notifying,
};
use crate::calling::Caller;
use crate::turn::{Turn, backoff};

/// Held by the process that sends.
const SENDING: i64 = 7_813_887_468;
/// Attempts under way at once.
const AT_ONCE: usize = 32;
/// Of those, in one channel: a program that keeps us waiting keeps nobody else waiting.
const IN_A_CHANNEL: usize = 4;
/// Rows looked at together.
const PAGE: i64 = 256;
/// Attempts after which it is given up: over some two and a half hours.
const ATTEMPTS: i32 = 12;
/// From the first attempt to the second; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long one looks away when nothing tells that there is something to do.
const IDLE: Duration = Duration::from_secs(1);
/// How often it is counted what waits.
const COUNTED_EVERY: Duration = Duration::from_secs(5);
/// What a message whose fate is unknown is told to be.
const INTERRUPTED: &str = "Deskfold was interrupted while it was being sent; whether it has left is not known";

/// Which rows may be tried: due ones with nothing before them in their lane.
const READY: &str = "o.state = 'waiting' and o.due_at <= $1 and not exists (
    select from react_outbox e where e.tenant_id = o.tenant_id and e.lane = o.lane and e.position < o.position)";

type Stored = (String, i64, String, String, String, Option<String>, i32);

/// A row.
#[derive(Clone, Debug)]
struct Row {
    tenant: String,
    position: i64,
    sort: String,
    item: String,
    known: Option<Item>,
    /// Attempts that were made.
    attempts: i32,
}

impl Row {
    fn of((tenant, position, sort, lane, item, channel, attempts): Stored) -> Row {
        let known = || {
            let (tenant, message) = (tenant.parse().ok()?, item.parse().ok()?);
            Item::of(&sort, tenant, &lane, message, channel.as_ref()?.parse().ok()?, position)
        };
        let known = known();
        Row { tenant, position, sort, item, known, attempts }
    }

    fn channel(&self) -> Option<Id> {
        self.known.as_ref().map(Item::channel)
    }
}

const COLUMNS: &str = "o.tenant_id, o.position, o.sort, o.lane, o.item, o.channel_id, o.attempts";

/// How a channel fares.
#[derive(Default)]
struct Pace {
    under_way: usize,
    /// When messages left of late.
    left: Vec<Time>,
    /// Until then it wants to be left alone.
    rests_until: Option<Time>,
}

/// Sends what is in the outbox.
pub(super) struct Sender {
    pool: PgPool,
    clock: Clock,
    carriers: Carriers,
    nudge: Notify,
    stopping: AtomicBool,
    paces: Mutex<HashMap<Id, Pace>>,
    metrics: Metrics,
}

impl Sender {
    pub(super) fn new(commands: Commands, options: Options, metrics: Metrics) -> Sender {
        let Options { clock, secrets, private_addresses, patience, mail, messengers, reaching, registry: _ } = options;
        let pool = commands.log().pool().clone();
        let caller = Caller::new(private_addresses, patience);
        let notifying = Notifying { commands: commands.clone(), reaching, mail: mail.clone(), caller };
        let messages = Messages { commands, secrets, api: Api::new(private_addresses, patience), messengers };
        let (nudge, stopping) = (Notify::new(), AtomicBool::new(false));
        Sender {
            pool,
            clock,
            carriers: Carriers { messages, mail, notifying },
            nudge,
            stopping,
            paces: Mutex::default(),
            metrics,
        }
    }

    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until nothing is under way or due.
    pub(super) async fn idle(&self) -> Result<(), sqlx::Error> {
        loop {
            let busy = format!("select exists (select from react_outbox o where o.state = 'trying' or {READY})");
            let busy: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(busy))
                .bind((self.clock)().to_sqlx())
                .fetch_one(&self.pool)
                .await?;
            if !busy {
                return Ok(());
            }
            self.nudge.notify_one();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends whenever it is this process's turn, until it is stopped.
    pub(super) async fn run(self: Arc<Self>, mut filled: watch::Receiver<i64>) {
        while !self.is_stopping() {
            match Turn::take(&self.pool, SENDING).await {
                Ok(Some(turn)) => {
                    if let Err(error) = Arc::clone(&self).send_all(turn, &mut filled).await {
                        tracing::warn!(%error, "the outbox rests");
                        self.rest().await;
                    }
                }
                Ok(None) => self.rest().await,
                Err(error) => {
                    tracing::debug!(%error, "the outbox cannot look whose turn it is");
                    self.rest().await;
                }
            }
        }
    }

    async fn rest(&self) {
        let _ = tokio::time::timeout(IDLE, self.nudge.notified()).await;
    }

    /// Sends until stopped, or until the turn is lost with its connection.
    async fn send_all(self: Arc<Self>, mut turn: Turn, filled: &mut watch::Receiver<i64>) -> Result<(), sqlx::Error> {
        self.paces.lock().clear();
        self.look_after_the_dead().await?;
        let mut under_way: JoinSet<()> = JoinSet::new();
        let mut counted: Option<Instant> = None;
        let outcome = loop {
            if self.is_stopping() {
                break Ok(());
            }
            if let Err(error) = turn.check().await {
                break Err(error);
            }
            if let Err(error) = self.begin(&mut under_way).await {
                break Err(error);
            }
            if counted.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
                counted = Some(Instant::now());
                if let Err(error) = self.count().await {
                    tracing::debug!(%error, "cannot count what waits to be sent");
                }
            }
            let pause = self.pause().await.unwrap_or(IDLE);
            tokio::select! {
                () = self.nudge.notified() => {}
                changed = filled.changed() => {
                    if changed.is_err() {
                        break Err(sqlx::Error::WorkerCrashed);
                    }
                }
                Some(_) = under_way.join_next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        // What has begun is finished: nobody else could say what became of it.
        while under_way.join_next().await.is_some() {}
        turn.give_back().await;
        // Whoever sends next tells what waits.
        self.metrics.waiting.set(0);
        self.metrics.oldest.set(0.0);
        outcome
    }

    /// Tells how much waits, and for how long.
    async fn count(&self) -> Result<(), Refused> {
        let (waiting, oldest): (i64, Option<i64>) =
            sqlx::query_as("select count(*), min(position) from react_outbox").fetch_one(&self.pool).await?;
        self.metrics.waiting.set(waiting);
        let queued = match oldest {
            Some(position) => self.carriers.messages.queued_at(position).await?,
            None => None,
        };
        let waits = queued.map_or(0.0, |at| (self.clock)().duration_since(at).as_secs_f64());
        self.metrics.oldest.set(waits.max(0.0));
        Ok(())
    }

    /// How long until something is due.
    async fn pause(&self) -> Option<Duration> {
        let next: Option<jiff_sqlx::Timestamp> =
            sqlx::query_scalar("select min(due_at) from react_outbox where state = 'waiting' and due_at > $1")
                .bind((self.clock)().to_sqlx())
                .fetch_one(&self.pool)
                .await
                .ok()?;
        let wait = Duration::try_from(next?.to_jiff().duration_since((self.clock)())).ok()?;
        Some(wait.min(IDLE))
    }

    /// What a sender that is no more had begun.
    async fn look_after_the_dead(&self) -> Result<(), sqlx::Error> {
        let begun = format!("select {COLUMNS} from react_outbox o where o.state = 'trying' order by o.position");
        let rows: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(begun)).fetch_all(&self.pool).await?;
        for row in rows.into_iter().map(Row::of) {
            self.finish(&row, Outcome::Unknown { reason: INTERRUPTED.into() }).await;
        }
        Ok(())
    }

    /// Begins what may be tried now.
    async fn begin(self: &Arc<Self>, under_way: &mut JoinSet<()>) -> Result<(), sqlx::Error> {
        while under_way.try_join_next().is_some() {}
        let ready =
            format!("select {COLUMNS} from react_outbox o where {READY} order by o.due_at, o.position limit {PAGE}");
        let now = (self.clock)();
        let rows: Vec<Stored> =
            sqlx::query_as(sqlx::AssertSqlSafe(ready)).bind(now.to_sqlx()).fetch_all(&self.pool).await?;
        for row in rows.into_iter().map(Row::of) {
            if under_way.len() >= AT_ONCE || self.is_stopping() {
                break;
            }
            match self.admits(&row, now).await {
                Admitted::Now => {}
                Admitted::Full => continue,
                Admitted::From(at) => {
                    self.put_off(&row, at, None).await?;
                    continue;
                }
            }
            if !self.note_attempt(&row, now).await? {
                self.done_in(row.channel());
                continue;
            }
            let row = Row { attempts: row.attempts + 1, ..row };
            let sender = Arc::clone(self);
            self.metrics.attempts.inc();
            under_way.spawn(async move {
                let outcome = sender.attempt(&row).await;
                sender.finish(&row, outcome).await;
                sender.done_in(row.channel());
                sender.nudge.notify_one();
            });
        }
        Ok(())
    }

    /// Whether a row's channel takes one more now. What is admitted is counted.
    async fn admits(&self, row: &Row, now: Time) -> Admitted {
        let Some(item) = &row.known else { return Admitted::Now };
        let most = self.carriers.most_per_minute(item).await;
        let mut paces = self.paces.lock();
        let pace = paces.entry(item.channel()).or_default();
        if let Some(until) = pace.rests_until.filter(|until| *until > now) {
            return Admitted::From(until);
        }
        if pace.under_way >= IN_A_CHANNEL {
            return Admitted::Full;
        }
        let minute = jiff::SignedDuration::from_secs(60);
        pace.left.retain(|at| now.duration_since(*at) < minute);
        if let Some(most) = most {
            let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
            if pace.left.len() >= most
                && let Some(first) = pace.left.get(pace.left.len() - most)
                && let Ok(free) = first.checked_add(minute)
            {
                return Admitted::From(free);
            }
            pace.left.push(now);
        }
        pace.under_way += 1;
        Admitted::Now
    }

    fn done_in(&self, channel: Option<Id>) {
        let Some(channel) = channel else { return };
        let mut paces = self.paces.lock();
        if let Some(pace) = paces.get_mut(&channel) {
            pace.under_way = pace.under_way.saturating_sub(1);
        }
    }

    /// Writes down that a row is being tried; whether it still waits to be.
    async fn note_attempt(&self, row: &Row, now: Time) -> Result<bool, sqlx::Error> {
        let noted = sqlx::query(
            "update react_outbox set state = 'trying', attempts = attempts + 1, tried_at = $4
             where tenant_id = $1 and position = $2 and item = $3 and state = 'waiting'",
        )
        .bind(&row.tenant)
        .bind(row.position)
        .bind(&row.item)
        .bind(now.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(noted.rows_affected() == 1)
    }

    async fn attempt(&self, row: &Row) -> Outcome {
        let Some(item) = &row.known else {
            return Outcome::Failed { reason: format!("nobody knows how to send a {}", row.sort) };
        };
        let later = |reason: String| Outcome::Later { reason, after: None };
        match self.carriers.waits(item).await {
            Ok(true) => {}
            // Somebody has said meanwhile what became of it; to say so once more changes nothing.
            Ok(false) => return Outcome::Sent { external_id: None },
            Err(refused) => return later(refused.to_string()),
        }
        self.carriers.send(item, (self.clock)()).await
    }

    /// Says what became of an attempt, for as long as it takes: once it is known it must not be forgotten.
    async fn finish(&self, row: &Row, outcome: Outcome) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.settled(row, outcome.clone()).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(item = row.item, %error, "cannot say what became of a message yet"),
            }
            if self.is_stopping() {
                return; // Whoever comes next finds that it was tried.
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn settled(&self, row: &Row, outcome: Outcome) -> Result<(), String> {
        let broken = |error: &dyn std::fmt::Display| error.to_string();
        let now = (self.clock)();
        let Some(item) = &row.known else { return self.forget(row).await.map_err(|error| broken(&error)) };
        if !self.carriers.waits(item).await.map_err(|error| broken(&error))? {
            return self.forget(row).await.map_err(|error| broken(&error));
        }
        let outcome = match outcome {
            Outcome::Unknown { reason } => match self.carriers.dedupes(item).await.map_err(|error| broken(&error))? {
                true => Outcome::Later { reason, after: None },
                false => Outcome::Unknown { reason },
            },
            outcome => outcome,
        };
        let outcome = match outcome {
            Outcome::Later { reason, .. } if row.attempts >= ATTEMPTS => {
                Outcome::Failed { reason: format!("given up after {} attempts: {reason}", row.attempts) }
            }
            outcome => outcome,
        };
        self.metrics.count(&outcome);
        if let Outcome::Later { reason, after } = outcome {
            let pause = after.unwrap_or_else(|| backoff(row.attempts, FIRST_PAUSE, LONGEST_PAUSE));
            let at = now.checked_add(pause).unwrap_or(now);
            // Whoever says how long wants to be left alone by all.
            if after.is_some() {
                let mut paces = self.paces.lock();
                paces.entry(item.channel()).or_default().rests_until = Some(at);
            }
            return self.put_off(row, at, Some(&reason)).await.map_err(|error| broken(&error));
        }
        self.carriers.tell(item, outcome, now).await.map_err(|error| broken(&error))?;
        self.forget(row).await.map_err(|error| broken(&error))
    }

    async fn put_off(&self, row: &Row, at: Time, reason: Option<&str>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update react_outbox set state = 'waiting', due_at = $4, last_error = coalesce($5, last_error)
             where tenant_id = $1 and position = $2 and item = $3",
        )
        .bind(&row.tenant)
        .bind(row.position)
        .bind(&row.item)
        .bind(at.to_sqlx())
        .bind(reason)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn forget(&self, row: &Row) -> Result<(), sqlx::Error> {
        sqlx::query("delete from react_outbox where tenant_id = $1 and position = $2 and item = $3")
            .bind(&row.tenant)
            .bind(row.position)
            .bind(&row.item)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Whether a channel takes one more.
enum Admitted {
    Now,
    /// When one of those under way is done.
    Full,
    From(Time),
}
