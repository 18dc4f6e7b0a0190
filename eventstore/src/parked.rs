//! Subscriptions as an operator sees them: how far each has come, and what it could not take.

use jiff::Timestamp;
use sqlx::{FromRow, PgConnection};

use crate::Recorded;
use crate::error::Error;
use crate::log::Log;
use crate::wire::Instant;

/// How far a subscription has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Everything up to this position is handled or parked.
    pub position: i64,
    /// Positions up to the head that are not handled yet.
    pub positions: i64,
    /// Age of the oldest event not handled yet, in seconds; 0 when there is none.
    pub seconds: f64,
    /// Events parked.
    pub parked: i64,
    /// The worker that holds the lease, if it has not run out.
    pub owner: Option<String>,
}

/// An event a subscription could not take, or a later one of the same stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Position of the event.
    pub position: i64,
    /// Its tenant.
    pub tenant: String,
    /// Its stream.
    pub stream: String,
    /// Its type.
    pub kind: String,
    /// Why it could not be taken.
    pub reason: String,
    /// How often it was tried; 0 for an event that only waits for an earlier one of its stream.
    pub attempts: i32,
    /// When it was parked.
    pub parked_at: Timestamp,
}

#[derive(FromRow)]
struct LagRow {
    name: String,
    version: i32,
    position: i64,
    positions: i64,
    seconds: f64,
    parked: i64,
    owner: Option<String>,
}

impl Log {
    /// All subscriptions, with their lag.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn subscriptions(&self) -> Result<Vec<Lag>, Error> {
        let rows: Vec<LagRow> = sqlx::query_as(
            "select s.name, s.version, s.position, coalesce(h.position, 0) - s.position as positions,
                    coalesce(extract(epoch from clock_timestamp() - e.recorded_at), 0)::float8 as seconds,
                    (select count(*) from log_parked p where p.subscription = s.name and p.version = s.version) as parked,
                    case when s.leased_until > clock_timestamp() then s.owner end as owner
             from log_subscription s
             left join log_head h on true
             left join log_event e on e.position = s.position + 1
             order by s.name, s.version",
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|LagRow { name, version, position, positions, seconds, parked, owner }| Lag {
                name,
                version,
                position,
                positions: positions.max(0),
                seconds,
                parked,
                owner,
            })
            .collect())
    }

    /// The events a subscription has parked, oldest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn parked(&self, name: &str, version: i32) -> Result<Vec<Parked>, Error> {
        let rows: Vec<(i64, String, String, String, String, i32, Instant)> = sqlx::query_as(
            "select position, tenant_id, stream, type, reason, attempts, parked_at from log_parked
             where subscription = $1 and version = $2 order by position",
        )
        .bind(name)
        .bind(version)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(position, tenant, stream, kind, reason, attempts, parked_at)| Parked {
                position,
                tenant,
                stream,
                kind,
                reason,
                attempts,
                parked_at: parked_at.0,
            })
            .collect())
    }

    /// Asks for the parked events of a subscription to be handled again by whoever holds its lease, within about a
    /// second. Returns how many there are. [`crate::Handle::replay_parked`] does it at once and waits for the result.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn replay_parked(&self, name: &str, version: i32) -> Result<u64, Error> {
        let marked = sqlx::query("update log_parked set retry = true where subscription = $1 and version = $2")
            .bind(name)
            .bind(version)
            .execute(self.pool())
            .await?;
        Ok(marked.rows_affected())
    }

    /// Removes the checkpoint and the parked events of a subscription that is no longer run.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn forget_subscription(&self, name: &str, version: i32) -> Result<(), Error> {
        let mut transaction = self.pool().begin().await?;
        sqlx::query("delete from log_parked where subscription = $1 and version = $2")
            .bind(name)
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("delete from log_subscription where name = $1 and version = $2")
            .bind(name)
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

/// Parks an event within the transaction that moves the checkpoint past it, unless it is parked already. `attempts` is 0
/// for an event that only waits for an earlier one of its stream.
///
/// # Errors
/// When the database fails.
pub async fn park(
    transaction: &mut PgConnection,
    subscription: (&str, i32),
    event: &Recorded,
    reason: &str,
    attempts: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into log_parked (subscription, version, position, tenant_id, stream, type, reason, attempts)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(subscription.0)
    .bind(subscription.1)
    .bind(event.position)
    .bind(&*event.tenant)
    .bind(&*event.stream)
    .bind(&*event.kind)
    .bind(reason)
    .bind(attempts)
    .execute(transaction)
    .await?;
    Ok(())
}
