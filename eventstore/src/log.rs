//! The log as the rest of the system holds it.

use std::sync::Arc;

use sqlx::PgPool;
use uuid::Uuid;

use crate::append::{Append, AppendError, Appended, ClaimOwner, StoredCommand};
use crate::error::Error;
use crate::group::Group;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::partition;
use crate::presence::{self, Presence};
use crate::room::Room;
use crate::surroundings::Surroundings;
use crate::tail::{self, Tail};
use crate::turn::{Turn, Turns};
use crate::wire::Instant;
use crate::writer::{self, Outcome, Writers};

/// The log of one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    options: Options,
    metrics: Metrics,
    presence: Presence,
    room: Room,
    writers: Writers,
    tail: Tail,
    turns: Turns,
    group: Group,
    tasks: parking_lot::Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// Tasks that end only when they are told to: the keeper of the partitions, who looks after the database, and
    /// who writes for subscriptions.
    endless: [tokio::task::AbortHandle; 3],
}

impl Log {
    /// Opens the log of a migrated database and starts its writers, its tail and the keeper of its partitions.
    ///
    /// # Errors
    /// When the database cannot be reached or has no log.
    pub async fn open(pool: PgPool, options: Options) -> Result<Log, Error> {
        let metrics = match &options.metrics {
            Some(metrics) => metrics.clone(),
            None => Metrics::unregistered().map_err(|error| Error::Invalid(error.to_string()))?,
        };
        let ahead = i32::from(options.partitions_ahead);
        partition::create(&pool, ahead, 0).await?;
        let (presence, watching) = presence::start(&pool);
        let (tail, pump) = tail::start(pool.clone(), &options, metrics.clone(), presence.clone()).await?;
        let (keeper, keeping) = partition::keep(pool.clone(), ahead, options.command_retention).await?;
        let room = Room::default();
        let surroundings = Surroundings {
            pool: pool.clone(),
            options: options.clone(),
            metrics: metrics.clone(),
            tail: tail.clone(),
            keeper,
            presence: presence.clone(),
            room: room.clone(),
        };
        let (writers, mut tasks) = writer::start(surroundings);
        let (group, grouping) = Group::start(pool.clone(), presence.clone());
        let endless = [keeping.abort_handle(), watching.abort_handle(), grouping.abort_handle()];
        tasks.extend([pump, keeping, watching, grouping]);
        let (turns, tasks) = (Turns::new(options.workers), tasks.into());
        let shared = Shared { pool, options, metrics, presence, room, writers, tail, turns, group, tasks, endless };
        Ok(Log { shared: Arc::new(shared) })
    }

    /// Writes what was accepted, then stops the log's tasks. Later appends are refused as unavailable.
    pub async fn close(&self) {
        self.shared.writers.close();
        self.shared.writers.drained().await;
        self.shared.tail.close();
        self.shared.endless.iter().for_each(tokio::task::AbortHandle::abort);
        self.shared.turns.close();
        let tasks = std::mem::take(&mut *self.shared.tasks.lock());
        for task in tasks {
            // Cancelled or done: either way it has stopped.
            let _ = task.await;
        }
    }

    /// A subscription's turn at the database.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        self.shared.turns.turn().await
    }

    /// Where subscriptions hand in what is written together.
    pub(crate) fn group(&self) -> &Group {
        &self.shared.group
    }

    /// A connection for a subscription that reads before it writes, when it has its turn.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn aside<T>(
        &self,
        read: impl AsyncFnOnce(&mut sqlx::PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let turn = self.turn().await;
        let mut connection = turn.connection(self.pool()).await?;
        let result = read(&mut connection).await?;
        turn.keep(connection);
        Ok(result)
    }

    /// The pool for reads.
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Whether its database is there.
    pub fn presence(&self) -> &Presence {
        &self.shared.presence
    }

    /// The room that is left to write.
    pub fn room(&self) -> &Room {
        &self.shared.room
    }

    /// The newest events of the log, shared by everybody in this process.
    pub fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    /// Appends, together with whatever else is waiting. Dropping the future does not take back what has been sent to the
    /// database; what still waits is dropped with it.
    ///
    /// # Errors
    /// When it is refused, see [`AppendError`]; its neighbours in the batch are not affected.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.validate(self.shared.options.event_bytes, self.shared.options.append_events)?;
        if self.shared.room.is_full() {
            return Err(AppendError::StorageFull);
        }
        if !self.shared.presence.is_there() {
            return Err(self.shared.presence.lost().await.into());
        }
        let began = std::time::Instant::now();
        let (append, outcome) = self.shared.writers.append(append).await?;
        self.shared.metrics.append_seconds.observe(began.elapsed().as_secs_f64());
        match outcome {
            Outcome::Accepted(appended) => Ok(appended),
            Outcome::Stored { first, last, recorded_at, ours } => {
                let (versions, numbers, same) = self.stored_result(&append, first, last).await?;
                let recorded_at = recorded_at.0;
                Ok(Appended {
                    // While a connection was lost, another process may have applied the command, and to another stream.
                    duplicate: !(ours && same),
                    first_position: first,
                    last_position: last,
                    recorded_at,
                    versions,
                    numbers,
                })
            }
        }
    }

    /// Versions and numbers as they were stored, and whether it was to these streams that so many events were written.
    async fn stored_result(
        &self,
        append: &writer::Brief,
        first: i64,
        last: i64,
    ) -> Result<(Vec<i64>, Vec<i64>, bool), AppendError> {
        let store = |error| AppendError::Store(Arc::new(error));
        let stored: Vec<(String, i64, i64)> = sqlx::query_as(
            "select stream, max(version), count(*) from log_event where position between $1 and $2 group by stream",
        )
        .bind(first)
        .bind(last)
        .fetch_all(self.pool())
        .await
        .map_err(store)?;
        let numbers: Option<Option<Vec<i64>>> =
            sqlx::query_scalar("select numbers from log_command where command_id = $1")
                .bind(append.command_id)
                .fetch_optional(self.pool())
                .await
                .map_err(store)?;
        let (mut versions, mut same, mut all) = (Vec::with_capacity(append.streams.len()), true, 0);
        for (stream, events) in &append.streams {
            let found = stored.iter().find(|(name, ..)| name == stream);
            let (version, written) = found.map_or((-1, 0), |(_, version, written)| (*version, *written));
            versions.push(version);
            same &= usize::try_from(written) == Ok(*events);
            all += events;
        }
        same &= usize::try_from(last - first + 1) == Ok(all);
        Ok((versions, numbers.flatten().unwrap_or_default(), same))
    }

    /// Position of the newest event, 0 before the first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn head(&self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("select coalesce((select position from log_head), 0)").fetch_one(self.pool()).await?)
    }

    /// The last position recorded at or before an instant, 0 before the first event.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn position_at(&self, instant: jiff::Timestamp) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("select log_position_at($1)").bind(Instant(instant)).fetch_one(self.pool()).await?)
    }

    /// The version of a stream, -1 when it has no events.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn stream_version(&self, tenant: &str, stream: &str) -> Result<i64, Error> {
        let version: Option<i64> =
            sqlx::query_scalar("select version from log_stream where tenant_id = $1 and stream = $2")
                .bind(tenant)
                .bind(stream)
                .fetch_optional(self.pool())
                .await?;
        Ok(version.unwrap_or(-1))
    }

    /// Those of these streams that have events.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn known_streams(&self, tenant: &str, streams: &[String]) -> Result<Vec<String>, Error> {
        let known = sqlx::query_scalar("select stream from log_stream where tenant_id = $1 and stream = any ($2)")
            .bind(tenant)
            .bind(streams)
            .fetch_all(self.pool())
            .await?;
        Ok(known)
    }

    /// Who owns a unique key; an empty tenant asks for a key of the whole deployment.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn claim_owner(&self, tenant: &str, scope: &str, key: &str) -> Result<Option<ClaimOwner>, Error> {
        let owner: Option<(String, String)> = sqlx::query_as(
            "select owner_tenant, stream from log_claim where tenant_id = $1 and scope = $2 and key = $3",
        )
        .bind(tenant)
        .bind(scope)
        .bind(key)
        .fetch_optional(self.pool())
        .await?;
        Ok(owner.map(|(tenant, stream)| ClaimOwner { tenant, stream }))
    }

    /// The streams that hold any of these unique keys, each once.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn claim_owners(&self, tenant: &str, scope: &str, keys: &[String]) -> Result<Vec<String>, Error> {
        Ok(sqlx::query_scalar(
            "select distinct stream from log_claim where tenant_id = $1 and scope = $2 and key = any ($3)",
        )
        .bind(tenant)
        .bind(scope)
        .bind(keys)
        .fetch_all(self.pool())
        .await?)
    }

    /// Which of these unique keys are taken.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn claims_taken(
        &self,
        tenant: &str,
        scope: &str,
        keys: &[String],
    ) -> Result<std::collections::HashSet<String>, Error> {
        let taken: Vec<String> =
            sqlx::query_scalar("select key from log_claim where tenant_id = $1 and scope = $2 and key = any ($3)")
                .bind(tenant)
                .bind(scope)
                .bind(keys)
                .fetch_all(self.pool())
                .await?;
        Ok(taken.into_iter().collect())
    }

    /// What is remembered of a command, as long as its id is retained.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn stored_command(&self, id: Uuid) -> Result<Option<StoredCommand>, Error> {
        let stored: Option<(String, i64, i64, i64)> = sqlx::query_as(
            "select tenant_id, fingerprint, first_position, last_position from log_command where command_id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?;
        Ok(stored.map(|(tenant, fingerprint, first_position, last_position)| StoredCommand {
            tenant,
            fingerprint,
            first_position,
            last_position,
        }))
    }
}
