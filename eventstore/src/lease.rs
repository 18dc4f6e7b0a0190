//! Who works: one row per subscription says how far it is and which worker holds it, with an epoch that fences the rest.

use std::time::Duration;

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

/// A worker's claim to a row of `log_subscription`. Every claim that succeeds raises the epoch, so that a worker that lost
/// its lease, however late it wakes up, changes nothing.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) name: String,
    pub(crate) version: i32,
    owner: String,
    /// How long a worker that has died keeps others out.
    pub(crate) duration: Duration,
}

/// A lease that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) epoch: i64,
    /// The checkpoint in the database.
    pub(crate) position: i64,
}

impl Lease {
    /// A claim under a name of its own.
    pub(crate) fn new(name: &str, version: i32, duration: Duration) -> Lease {
        Lease { name: name.to_owned(), version, owner: Uuid::now_v7().to_string(), duration }
    }

    /// Takes the lease if it is free.
    pub(crate) async fn take(&self, pool: &PgPool) -> Result<Option<Taken>, sqlx::Error> {
        let taken: Option<(i64, i64)> = sqlx::query_as(
            "update log_subscription set owner = $3, epoch = epoch + 1, updated_at = clock_timestamp(),
                 leased_until = clock_timestamp() + make_interval(secs => $4)
             where (name, version) = (
                 select name, version from log_subscription
                 where name = $1 and version = $2 and (leased_until is null or leased_until < clock_timestamp())
                 for update skip locked)
             returning epoch, position",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(&self.owner)
        .bind(self.duration.as_secs_f64())
        .fetch_optional(pool)
        .await?;
        Ok(taken.map(|(epoch, position)| Taken { epoch, position }))
    }

    /// Takes the lease whoever has it; its holder finds out with its next renewal or checkpoint.
    pub(crate) async fn seize(&self, pool: &PgPool) -> Result<Taken, sqlx::Error> {
        let (epoch, position) = sqlx::query_as(
            "insert into log_subscription as known (name, version, owner, epoch, leased_until)
             values ($1, $2, $3, 1, clock_timestamp() + make_interval(secs => $4))
             on conflict (name, version) do update set owner = excluded.owner, epoch = known.epoch + 1,
                 leased_until = excluded.leased_until, updated_at = clock_timestamp()
             returning epoch, position",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(&self.owner)
        .bind(self.duration.as_secs_f64())
        .fetch_one(pool)
        .await?;
        Ok(Taken { epoch, position })
    }

    /// The checkpoint as its holder last wrote it; `None` when nobody has ever worked.
    pub(crate) async fn position(&self, pool: &PgPool) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("select position from log_subscription where name = $1 and version = $2")
            .bind(&self.name)
            .bind(self.version)
            .fetch_optional(pool)
            .await
    }

    /// Makes the row that is leased, unless there is one.
    pub(crate) async fn create(&self, pool: &PgPool, position: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into log_subscription (name, version, position) values ($1, $2, $3) on conflict do nothing",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(position)
        .execute(pool)
        .await?;
        Ok(())
    }

    /// Moves the checkpoint if the lease is still ours, and renews it. False when it is not.
    pub(crate) async fn move_checkpoint(
        &self,
        executor: impl PgExecutor<'_>,
        taken: &Taken,
        to: i64,
    ) -> Result<bool, sqlx::Error> {
        let moved = sqlx::query(
            "update log_subscription set position = $5, updated_at = clock_timestamp(),
                 leased_until = clock_timestamp() + make_interval(secs => $6)
             where name = $1 and version = $2 and position = $3 and epoch = $4",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(taken.position)
        .bind(taken.epoch)
        .bind(to)
        .bind(self.duration.as_secs_f64())
        .execute(executor)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Keeps the lease. False when it is ours no more.
    pub(crate) async fn renew(&self, pool: &PgPool, taken: &Taken) -> Result<bool, sqlx::Error> {
        let renewed = sqlx::query(
            "update log_subscription set leased_until = clock_timestamp() + make_interval(secs => $4)
             where name = $1 and version = $2 and epoch = $3",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(taken.epoch)
        .bind(self.duration.as_secs_f64())
        .execute(pool)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Frees the lease for the next worker; if that fails it runs out by itself.
    pub(crate) async fn give_up(&self, pool: &PgPool, taken: &Taken) {
        let freed = sqlx::query(
            "update log_subscription set owner = null, leased_until = null where name = $1 and version = $2 and epoch = $3",
        )
        .bind(&self.name)
        .bind(self.version)
        .bind(taken.epoch)
        .execute(pool)
        .await;
        if let Err(error) = freed {
            tracing::warn!(subscription = self.name, %error, "the lease runs out by itself");
        }
    }
}
