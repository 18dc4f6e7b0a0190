//! Where queries are answered: by the database itself, or by a replica of it that is close behind.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use eventstore::Log;
use projections::{Options, ReadModels};
use prometheus::{IntGauge, Registry};
use sqlx::PgPool;

use crate::{StartError, app::App, config::Serve, database};

/// How often it is looked how far the replica is.
const LOOK: Duration = Duration::from_millis(250);
/// How long the replica may take to say so.
const ANSWER: Duration = Duration::from_secs(1);
/// So far it may be behind. A query that asks for a position waits for it there.
const BEHIND: Duration = Duration::from_secs(5);

/// What answers queries.
pub(crate) struct Source {
    /// The read models there.
    pub(crate) models: ReadModels,
    /// Connections to it.
    pub(crate) pool: PgPool,
}

/// All that may answer queries.
pub(crate) struct Reads {
    own: Source,
    replica: Option<Replica>,
}

/// A replica of the database.
struct Replica {
    source: Source,
    /// Whether queries go there.
    fit: AtomicBool,
    gauge: IntGauge,
}

impl Reads {
    /// The database itself, and the replica that is configured, which need not be there yet.
    pub(crate) fn new(
        config: &Serve,
        log: &Log,
        models: &ReadModels,
        registry: &Registry,
    ) -> Result<Reads, StartError> {
        let own = Source { models: models.clone(), pool: log.pool().clone() };
        Ok(Reads { own, replica: Replica::of(config, log, registry)? })
    }
}

impl Replica {
    fn of(config: &Serve, log: &Log, registry: &Registry) -> Result<Option<Replica>, StartError> {
        let Some(url) = &config.database_read_url else { return Ok(None) };
        let pool = database::read_pool(url, config.database.database_connections)?;
        let models = ReadModels::observe_at(log.clone(), pool.clone(), Options::default());
        let help = "1 while queries go to the replica of the database.";
        let gauge = IntGauge::new("deskfold_read_replica_used", help)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Some(Replica { source: Source { models, pool }, fit: AtomicBool::new(false), gauge }))
    }

    fn use_it(&self, fit: bool) {
        if self.fit.swap(fit, Ordering::Relaxed) != fit {
            self.gauge.set(i64::from(fit));
            if fit {
                tracing::info!("queries go to the replica");
            } else {
                tracing::warn!("the replica is gone or far behind: queries go to the database itself");
            }
        }
    }

    /// How far the replica has replayed, in bytes of the write-ahead log; `None` when it does not say.
    async fn replayed(&self) -> Option<i64> {
        let statement = "select pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint";
        let asked = sqlx::query_scalar(statement).fetch_one(&self.source.pool);
        tokio::time::timeout(ANSWER, asked).await.ok()?.ok()
    }
}

/// How far a database has written, in bytes of the write-ahead log.
async fn written(pool: &PgPool) -> Option<i64> {
    let statement = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    sqlx::query_scalar(statement).fetch_one(pool).await.ok()
}

impl App {
    /// What answers queries now.
    pub(crate) fn reads(&self) -> &Source {
        let Reads { own, replica } = &self.0.reads;
        replica.as_ref().filter(|replica| replica.fit.load(Ordering::Relaxed)).map_or(own, |replica| &replica.source)
    }

    /// Looks after the replica until the system stops.
    pub(crate) async fn watch_replica(self) {
        let Some(replica) = &self.0.reads.replica else { return };
        let mut known: VecDeque<(Instant, i64)> = VecDeque::new();
        loop {
            // What was written before the replica is asked: one that has all of it knows whatever anybody was told.
            let now = Instant::now();
            if let Some(written) = written(&self.pool).await {
                known.push_back((now, written));
            }
            let replayed = replica.replayed().await;
            while known.len() > 1 && known.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= BEHIND) {
                known.pop_front();
            }
            let oldest = known.front().filter(|(at, _)| now.duration_since(*at) >= BEHIND);
            let is_fit = replica.fit.load(Ordering::Relaxed);
            replica.use_it(match replayed {
                None => false,
                Some(replayed) if is_fit => oldest.is_none_or(|(_, written)| replayed >= *written),
                Some(replayed) => known.back().is_some_and(|(_, written)| replayed >= *written),
            });
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}
