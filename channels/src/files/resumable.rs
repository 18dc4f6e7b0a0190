//! Files that come in several requests: what has come is kept until they are whole, or a day is over.

use commands::{Accepted, Envelope};
use domain::{Actor, Id, Time};
use jiff::SignedDuration;
use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::types::Json;

use super::{
    Part,
    intake::{Intake, Refusal, Told},
    limits::Narrowed,
};

/// How long one may take.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// A file that comes in several requests.
#[derive(Clone, Debug)]
pub struct Resumable {
    /// Whose.
    pub tenant: Id,
    /// Its upload, once it is whole.
    pub upload: Id,
    /// Who sends it.
    pub actor: Actor,
    /// What is said of it.
    pub told: Told,
    /// How many bytes it has.
    pub length: u64,
    /// How many have come.
    pub received: u64,
    /// Whether it is whole and kept.
    pub completed: bool,
    /// Until when the rest may come.
    pub expires_at: Time,
}

type Row = (Json<Actor>, String, String, i64, i64, bool, Timestamp);

impl Intake {
    /// Begins a file of so many bytes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        &self,
        (tenant, upload): (Id, Id),
        actor: Actor,
        told: Told,
        length: u64,
        now: Time,
    ) -> Result<Resumable, sqlx::Error> {
        let expires_at = now.saturating_add(LIFETIME).unwrap_or(now);
        sqlx::query(
            "insert into react_upload (tenant_id, upload_id, actor, name, media_type, length, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(tenant.to_string())
        .bind(upload.to_string())
        .bind(Json(&actor))
        .bind(&told.name)
        .bind(&told.media_type)
        .bind(i64::try_from(length).unwrap_or(i64::MAX))
        .bind(now.to_sqlx())
        .bind(expires_at.to_sqlx())
        .execute(self.pool())
        .await?;
        Ok(Resumable { tenant, upload, actor, told, length, received: 0, completed: false, expires_at })
    }

    /// One that was begun and has not expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resumable(&self, tenant: Id, upload: Id, now: Time) -> Result<Option<Resumable>, sqlx::Error> {
        let row: Option<Row> = sqlx::query_as(
            "select u.actor, u.name, u.media_type, u.length,
                 coalesce((select sum(size)::bigint from react_upload_part p
                           where p.tenant_id = u.tenant_id and p.upload_id = u.upload_id), 0),
                 u.completed, u.expires_at
             from react_upload u where u.tenant_id = $1 and u.upload_id = $2 and u.expires_at > $3",
        )
        .bind(tenant.to_string())
        .bind(upload.to_string())
        .bind(now.to_sqlx())
        .fetch_optional(self.pool())
        .await?;
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
        Ok(row.map(|(actor, name, media_type, length, received, completed, expires_at)| Resumable {
            tenant,
            upload,
            actor: actor.0,
            told: Told { name, media_type },
            length: size(length),
            // The parts of one that is kept are gone.
            received: if completed { size(length) } else { size(received) },
            completed,
            expires_at: expires_at.to_jiff(),
        }))
    }

    /// Counts a part that has come; whether it goes on where the last one ended. One that does not is deleted.
    ///
    /// # Errors
    /// When the database or the place of the files fails.
    pub async fn add(&self, file: &Resumable, part: &Part, bytes: u64) -> Result<bool, Refusal> {
        let added = sqlx::query(
            "insert into react_upload_part (tenant_id, upload_id, start, size, name)
             select $1, $2, $3, $4, $5
             where $3 = coalesce((select sum(size)::bigint from react_upload_part where tenant_id = $1 and upload_id = $2), 0)
                 and exists (select from react_upload where tenant_id = $1 and upload_id = $2)
             on conflict do nothing",
        )
        .bind(file.tenant.to_string())
        .bind(file.upload.to_string())
        .bind(i64::try_from(file.received).unwrap_or(i64::MAX))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(&part.name)
        .execute(self.pool())
        .await?;
        let counts = added.rows_affected() == 1;
        if !counts {
            self.files.delete_parts(std::slice::from_ref(part)).await?;
        }
        Ok(counts)
    }

    /// Keeps a file that has come whole. Asked again it is the same.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn finish(&self, file: &Resumable, envelope: &Envelope, limits: &Narrowed) -> Result<Accepted, Refusal> {
        let parts = self.parts(file.tenant, file.upload).await?;
        let accepted = self.take_in(envelope, &file.told, limits, &parts).await?;
        sqlx::query("update react_upload set completed = true where tenant_id = $1 and upload_id = $2")
            .bind(file.tenant.to_string())
            .bind(file.upload.to_string())
            .execute(self.pool())
            .await?;
        self.forget_parts(file.tenant, file.upload, &parts).await?;
        Ok(accepted)
    }

    /// Gives one up.
    ///
    /// # Errors
    /// When the database or the place of the files fails.
    pub async fn give_up(&self, tenant: Id, upload: Id) -> Result<(), Refusal> {
        let parts = self.parts(tenant, upload).await?;
        self.forget_parts(tenant, upload, &parts).await?;
        sqlx::query("delete from react_upload where tenant_id = $1 and upload_id = $2")
            .bind(tenant.to_string())
            .bind(upload.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    async fn parts(&self, tenant: Id, upload: Id) -> Result<Vec<Part>, sqlx::Error> {
        let names: Vec<String> = sqlx::query_scalar(
            "select name from react_upload_part where tenant_id = $1 and upload_id = $2 order by start",
        )
        .bind(tenant.to_string())
        .bind(upload.to_string())
        .fetch_all(self.pool())
        .await?;
        Ok(names.into_iter().map(|name| Part { tenant, upload, name }).collect())
    }

    async fn forget_parts(&self, tenant: Id, upload: Id, parts: &[Part]) -> Result<(), Refusal> {
        self.files.delete_parts(parts).await?;
        sqlx::query("delete from react_upload_part where tenant_id = $1 and upload_id = $2")
            .bind(tenant.to_string())
            .bind(upload.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
