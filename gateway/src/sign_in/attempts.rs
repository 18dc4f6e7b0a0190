//! Who tries too often waits: longer each time, for each account and each address, in the database, so that all gateways agree.

use axum::http::StatusCode;
use domain::Time;
use jiff_sqlx::{Timestamp, ToSqlx};

use crate::{app::App, auth::digest, problem::Problem};

/// What is counted.
pub(super) struct Subject {
    key: String,
    /// How many attempts are free before each costs a wait.
    free: i32,
}

impl Subject {
    /// An account, whether there is such a one or not.
    pub(super) fn account(name: &str) -> Subject {
        Subject { key: digest(&format!("account {name}")), free: 5 }
    }

    /// A second factor.
    pub(super) fn code(tenant: domain::Id, user: domain::Id) -> Subject {
        Subject { key: digest(&format!("code {tenant} {user}")), free: 5 }
    }

    /// A customer's address in a portal.
    pub(super) fn customer(tenant: domain::Id, address: &str) -> Subject {
        Subject { key: digest(&format!("customer {tenant} {address}")), free: 5 }
    }

    /// A code that was mailed.
    pub(super) fn mailed(tenant: domain::Id, email: domain::Id) -> Subject {
        Subject { key: digest(&format!("mailed {tenant} {email}")), free: 5 }
    }

    /// An address: many people may share one.
    pub(super) fn address(address: std::net::IpAddr) -> Subject {
        Subject { key: digest(&format!("address {}", network(address))), free: 20 }
    }
}

/// What one person has: an address of IPv4, or the network that a household is given of IPv6.
fn network(address: std::net::IpAddr) -> String {
    match address.to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("{:x}/64", address.to_bits() >> 64),
    }
}

/// The longest wait, in seconds.
const LONGEST: i32 = 900;
/// After how many seconds of quiet everything is forgotten.
const FORGOTTEN: i64 = 24 * 60 * 60;

impl App {
    /// Counts an attempt before it is made, so that many at once are no way around; refused while a wait is on.
    pub(super) async fn attempt(&self, subjects: &[&Subject]) -> Result<(), Problem> {
        let now = self.now();
        for subject in subjects {
            if let Err(wait) = self.count_attempt(subject, now).await? {
                self.sign_in.count("throttled");
                let detail = format!("Too many attempts. Try again in {wait} s.");
                return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail).retry_after(wait));
            }
        }
        Ok(())
    }

    /// The seconds to wait, if it must.
    async fn count_attempt(&self, subject: &Subject, now: Time) -> Result<Result<(), u64>, Problem> {
        // One statement: of two that come at once the second sees the wait that the first brought about.
        let counted = sqlx::query(
            "insert into auth_throttle as known (key, attempts, blocked_until, last_at) values ($1, 1, $2, $2)
             on conflict (key) do update set
               attempts = case when known.last_at < $2 - $5 * interval '1 second' then 1 else known.attempts + 1 end,
               blocked_until = case
                 when known.last_at < $2 - $5 * interval '1 second' or known.attempts < $3 then $2
                 else $2 + least($4, 2 ^ least(known.attempts - $3, 20)) * interval '1 second' end,
               last_at = $2
             where known.blocked_until <= $2",
        )
        .bind(&subject.key)
        .bind(now.to_sqlx())
        .bind(subject.free)
        .bind(LONGEST)
        .bind(FORGOTTEN)
        .execute(&self.pool)
        .await?;
        if counted.rows_affected() == 1 {
            return Ok(Ok(()));
        }
        let until: Option<Timestamp> = sqlx::query_scalar("select blocked_until from auth_throttle where key = $1")
            .bind(&subject.key)
            .fetch_optional(&self.pool)
            .await?;
        let wait = until.map(|until| until.to_jiff().duration_since(now).as_secs()).unwrap_or_default();
        Ok(Err(u64::try_from(wait).unwrap_or_default() + 1))
    }

    /// An attempt succeeded: the account's are forgotten, and the address has one less.
    pub(super) async fn succeeded(&self, account: &Subject, address: Option<&Subject>) -> Result<(), Problem> {
        sqlx::query("delete from auth_throttle where key = $1").bind(&account.key).execute(&self.pool).await?;
        if let Some(address) = address {
            sqlx::query(
                "update auth_throttle set attempts = greatest(attempts - 1, 0), blocked_until = $2 where key = $1",
            )
            .bind(&address.key)
            .bind(self.now().to_sqlx())
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Forgets those who have been quiet.
    pub(super) async fn forget_attempts(&self) -> sqlx::Result<()> {
        sqlx::query("delete from auth_throttle where last_at < $1 - $2 * interval '1 second'")
            .bind(self.now().to_sqlx())
            .bind(FORGOTTEN)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
