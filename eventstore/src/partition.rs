//! Partitions made ahead of the writers, and what is no longer needed removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How often the keeper looks without being called. The purge reads all command ids: an index by time would cost every
/// append something, for a statement that runs once an hour.
const ROUND: Duration = Duration::from_secs(60 * 60);
/// Command ids are kept at least this long: a client may repeat a command for a day.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Command ids forgotten in one statement, so that no statement runs long.
const PURGE: i64 = 10_000;

/// Calls the keeper when the head enters another partition.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    size: i64,
    called: Arc<Notify>,
}

impl Keeper {
    pub(crate) fn moved(&self, first: i64, last: i64) {
        if (first - 1) / self.size != last / self.size {
            self.called.notify_one();
        }
    }
}

/// Makes partitions until `ahead` whole ones lie beyond the head, and room for `events` besides.
pub(crate) async fn create(pool: &PgPool, ahead: i32, events: i64) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("select log_create_partitions($1, $2)").bind(ahead).bind(events).fetch_one(pool).await
}

/// Starts the keeper.
pub(crate) async fn keep(
    pool: PgPool,
    ahead: i32,
    retention: Duration,
) -> Result<(Keeper, JoinHandle<()>), sqlx::Error> {
    let size: i64 =
        sqlx::query_scalar("select value from log_setting where name = 'partition_size'").fetch_one(&pool).await?;
    let keeper = Keeper { size: size.max(1), called: Arc::new(Notify::new()) };
    let called = Arc::clone(&keeper.called);
    let retention = retention.max(SHORTEST_RETENTION).as_secs_f64();
    let mut purged = Instant::now();
    let task = tokio::spawn(async move {
        loop {
            match create(&pool, ahead, 0).await {
                Ok(0) => {}
                Ok(made) => tracing::info!(made, "made partitions of the log"),
                Err(error) => tracing::error!(%error, "cannot make partitions of the log"),
            }
            if purged.elapsed() >= ROUND {
                if let Err(error) = purge(&pool, retention).await {
                    tracing::error!(%error, "cannot forget old command ids");
                }
                purged = Instant::now();
            }
            // Called or not, there is something to look after.
            let _ = tokio::time::timeout(ROUND, called.notified()).await;
        }
    });
    Ok((keeper, task))
}

/// Forgets command ids older than the retention, and values that counters have left behind.
async fn purge(pool: &PgPool, seconds: f64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from log_counter c where c.value < (
             select max(n.value) from log_counter n where n.tenant_id = c.tenant_id and n.name = c.name)",
    )
    .execute(pool)
    .await?;
    loop {
        let forgotten = sqlx::query(
            "delete from log_command where command_id = any (array(
                select command_id from log_command where recorded_at < now() - make_interval(secs => $1) limit $2))",
        )
        .bind(seconds)
        .bind(PURGE)
        .execute(pool)
        .await?
        .rows_affected();
        if forgotten == 0 {
            return Ok(());
        }
    }
}
