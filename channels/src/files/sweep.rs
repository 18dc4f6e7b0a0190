//! What nobody wants any more: files that nothing refers to for too long, bytes that no upload has, and what has come of files
//! whose rest never came.

use std::time::Duration;

use commands::{Envelope, Reach};
use domain::{
    Actor, Id, Time, Via,
    org::{
        tenant::Tenant,
        upload::{Command, Upload},
    },
};
use jiff::SignedDuration;
use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::PgConnection;

use super::{
    intake::{Intake, Refusal},
    resumable::LIFETIME,
};

/// The read model that tells which uploads there are.
const UPLOADS: &str = "uploads";
/// Files dealt with at once.
const PAGE: i64 = 200;
/// For how long it is looked whether the bytes of a deleted upload are gone.
const LOOKED_AFTER: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What was swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that nothing referred to.
    pub expired: u64,
    /// Files.
    pub files: u64,
    /// Parts of files that never came whole.
    pub parts: u64,
}

impl Intake {
    /// Sweeps. `reach` waits until the read model of uploads has come to a position: nothing is deleted by what it does not know.
    ///
    /// # Errors
    /// When the database, the log or the place of the files fails; what was done until then is done.
    pub async fn sweep(&self, now: Time, reach: &Reach) -> Result<Swept, Refusal> {
        let mut swept = Swept::default();
        self.sweep_resumables(now, &mut swept).await?;
        let head =
            self.commands.log().head().await.map_err(|error| commands::Refused::Unavailable(error.to_string()))?;
        if !reach(UPLOADS, head).await {
            return Ok(swept);
        }
        self.expire(now, &mut swept).await?;
        self.sweep_files(now, &mut swept).await?;
        Ok(swept)
    }

    async fn sweep_resumables(&self, now: Time, swept: &mut Swept) -> Result<(), Refusal> {
        let over: Vec<(String, String)> = sqlx::query_as(
            "select tenant_id, upload_id from react_upload where expires_at <= $1 order by expires_at limit $2",
        )
        .bind(now.to_sqlx())
        .bind(PAGE)
        .fetch_all(self.pool())
        .await?;
        for (tenant, upload) in over {
            if let (Ok(tenant), Ok(upload)) = (tenant.parse(), upload.parse()) {
                self.give_up(tenant, upload).await?;
            }
        }
        // Parts that stand nowhere are of requests that were cut off.
        let moment = now.saturating_sub(LIFETIME + LIFETIME).unwrap_or(now);
        for part in self.files.parts_from_before(moment).await? {
            self.files.delete_parts(&[part]).await?;
            swept.parts += 1;
        }
        let age = Duration::from_secs(2 * 24 * 60 * 60);
        let files = self.files.clone();
        let unfinished = tokio::task::spawn_blocking(move || files.sweep_unfinished(age)).await;
        swept.parts += unfinished.ok().and_then(Result::ok).unwrap_or_default() as u64;
        Ok(())
    }

    /// Deletes uploads that nothing has referred to for as long as their tenant keeps such.
    async fn expire(&self, now: Time, swept: &mut Swept) -> Result<(), Refusal> {
        let tenants: Vec<String> =
            sqlx::query_scalar("select distinct tenant_id from read_uploads where unused_since is not null")
                .fetch_all(self.pool())
                .await?;
        for tenant in tenants.iter().filter_map(|tenant| tenant.parse::<Id>().ok()) {
            let (settings, _) = self.commands.load_current::<Tenant>(tenant, tenant).await?;
            let kept = SignedDuration::from_hours(24 * settings.upload_retention_days());
            let since = now.saturating_sub(kept).unwrap_or(now);
            let unused: Vec<(String, Timestamp)> = sqlx::query_as(
                "select id, unused_since from read_uploads where tenant_id = $1 and unused_since <= $2
                 order by unused_since limit $3",
            )
            .bind(tenant.to_string())
            .bind(since.to_sqlx())
            .bind(PAGE)
            .fetch_all(self.pool())
            .await?;
            for (id, unused_since) in unused {
                let Ok(id) = id.parse() else { continue };
                let envelope = Envelope::new(tenant, id, Actor::SYSTEM, Via::Timer, now);
                let unused_since = unused_since.to_jiff();
                let done = self.commands.dispatch::<Upload>(&envelope, Command::Expire { unused_since }).await?;
                swept.expired += u64::from(!done.events.is_empty());
            }
        }
        Ok(())
    }

    /// Deletes bytes that no upload has.
    async fn sweep_files(&self, now: Time, swept: &mut Swept) -> Result<(), Refusal> {
        let recently = now.saturating_sub(LOOKED_AFTER).unwrap_or(now);
        let candidates: Vec<(String, String)> = sqlx::query_as(
            "(select tenant_id, digest from react_file where held_until <= $1 order by held_until limit $3)
             union
             (select f.tenant_id, f.digest from read_uploads u
              join react_file f on f.tenant_id = u.tenant_id and f.digest in (u.digest, u.thumbnail_digest)
              where u.deleted_at > $2 limit $3)",
        )
        .bind(now.to_sqlx())
        .bind(recently.to_sqlx())
        .bind(PAGE)
        .fetch_all(self.pool())
        .await?;
        for (tenant, digest) in candidates {
            let Ok(owner) = tenant.parse::<Id>() else { continue };
            let mut transaction = self.pool().begin().await?;
            if self.is_wanted(&mut transaction, &tenant, &digest, now).await? {
                transaction.commit().await?;
                continue;
            }
            // Whoever is about to keep the same bytes waits for this row, and then keeps them anew.
            self.files.delete(owner, &digest).await?;
            sqlx::query("delete from react_file where tenant_id = $1 and digest = $2")
                .bind(&tenant)
                .bind(&digest)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            swept.files += 1;
        }
        Ok(())
    }

    /// Whether an upload has these bytes, or is about to; their row is locked.
    async fn is_wanted(
        &self,
        transaction: &mut PgConnection,
        tenant: &str,
        digest: &str,
        now: Time,
    ) -> Result<bool, sqlx::Error> {
        let held: Option<Option<Timestamp>> =
            sqlx::query_scalar("select held_until from react_file where tenant_id = $1 and digest = $2 for update")
                .bind(tenant)
                .bind(digest)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(held) = held else { return Ok(true) };
        if held.is_some_and(|until| until.to_jiff() > now) {
            // It is looked at again then, or once the upload that was to have it is deleted.
            return Ok(true);
        }
        let has: bool = sqlx::query_scalar(
            "select exists (select from read_uploads where tenant_id = $1 and digest = $2 and status = 'kept')
                 or exists (select from read_uploads where tenant_id = $1 and thumbnail_digest = $2 and status = 'kept')",
        )
        .bind(tenant)
        .bind(digest)
        .fetch_one(&mut *transaction)
        .await?;
        if has {
            sqlx::query("update react_file set held_until = null where tenant_id = $1 and digest = $2")
                .bind(tenant)
                .bind(digest)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(has)
    }
}
