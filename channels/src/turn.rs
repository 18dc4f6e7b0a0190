//! Whose turn it is to send: one process at a time, for as long as its connection lasts; and how long to wait between attempts.

use std::time::Duration;

use rand::RngExt;
use sqlx::{Connection, PgConnection, PgPool};

/// The turn: a connection that keeps others from sending. It is given back when the process ends, however that comes about.
pub(crate) struct Turn(PgConnection);

impl Turn {
    /// The turn under this key, if nobody else has it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn take(pool: &PgPool, key: i64) -> Result<Option<Turn>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let ours: bool =
            sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(key).fetch_one(&mut *connection).await?;
        Ok(ours.then(|| Turn(connection.detach())))
    }

    /// Fails when it is lost.
    ///
    /// # Errors
    /// When its connection is gone.
    pub(crate) async fn check(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("select 1").execute(&mut self.0).await.map(drop)
    }

    /// Gives it back.
    pub(crate) async fn give_back(self) {
        drop(self.0.close().await);
    }
}

/// How long to wait after so many attempts: twice as long each time, and never all at the same moment.
pub(crate) fn backoff(attempts: i32, first: Duration, longest: Duration) -> Duration {
    let doubled = u32::try_from(attempts.clamp(1, 24) - 1).unwrap_or_default();
    let pause = first.saturating_mul(1 << doubled).min(longest);
    pause.mul_f64(rand::rng().random_range(0.8..1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let (first, longest) = (Duration::from_secs(5), Duration::from_secs(3600));
        for (attempts, seconds) in [(1, 5.0), (2, 10.0), (5, 80.0), (12, 3600.0), (99, 3600.0)] {
            let pause = backoff(attempts, first, longest).as_secs_f64();
            assert!((seconds * 0.8..=seconds * 1.2).contains(&pause), "{attempts}: {pause}");
        }
    }
}
