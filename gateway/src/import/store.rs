//! Imports at work: their files, leases, counts and refused rows.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    Actor, Id,
    data::import::{Counts, Kind},
};
use jiff_sqlx::Timestamp;
use sqlx::{PgPool, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    layout::{self, Layout},
    records::Duplicate,
    rows::{Fault, Row},
};

/// How long a runner may be silent before another takes its job over.
const LEASE: Duration = Duration::from_secs(30);
/// How long a file that nobody finished uploading is kept, in hours.
const ABANDONED_HOURS: i32 = 24;
/// How long the file of an import that failed or was cancelled is kept for taking it up again, in days.
const RESUMABLE_DAYS: i32 = 30;

/// An import at work.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) tenant: Id,
    pub(crate) import: Id,
    pub(crate) kind: Kind,
    pub(crate) source: String,
    pub(crate) mapping: Option<String>,
    /// How the file is written, as it was found out when it came in.
    pub(crate) layout: Option<Layout>,
    pub(crate) dry_run: bool,
    pub(crate) actor: Actor,
    pub(crate) attempt: i32,
    pub(crate) progress: Progress,
}

/// How far an import is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) bytes: i64,
    pub(crate) rows_total: Option<i64>,
    pub(crate) counts: Counts,
    pub(crate) ended: bool,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) progressed_at: Option<Timestamp>,
}

fn number(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

fn progress(row: &PgRow) -> sqlx::Result<Progress> {
    let state: String = row.try_get("state")?;
    Ok(Progress {
        bytes: row.try_get("bytes")?,
        rows_total: row.try_get("rows_total")?,
        counts: Counts {
            rows: number(row, "rows_done")?,
            applied: number(row, "applied")?,
            unchanged: number(row, "unchanged")?,
            rejected: number(row, "rejected")?,
            events: number(row, "events")?,
        },
        ended: state == "ended",
        reason: row.try_get("reason")?,
        started_at: row.try_get("started_at")?,
        progressed_at: row.try_get("progressed_at")?,
    })
}

fn id(row: &PgRow, column: &str) -> sqlx::Result<Id> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error: ulid::DecodeError| sqlx::Error::Decode(Box::new(error)))
}

fn job(row: &PgRow) -> sqlx::Result<Job> {
    let name: String = row.try_get("kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Kind::Entitlements);
    let byte = |column: &str| -> sqlx::Result<Option<u8>> {
        Ok(row.try_get::<Option<&str>, _>(column)?.and_then(|text| text.bytes().next()))
    };
    let encoding = row.try_get::<Option<&str>, _>("encoding")?.and_then(|name| layout::encoding(name).ok());
    let layout = match (encoding, byte("delimiter")?, byte("quote")?) {
        (Some(encoding), Some(delimiter), Some(quote)) => {
            Some(Layout { encoding, delimiter, quote, names_columns: kind == Kind::Records })
        }
        _ => None,
    };
    let Json(actor) = row.try_get("actor")?;
    Ok(Job {
        tenant: id(row, "tenant_id")?,
        import: id(row, "import_id")?,
        kind,
        layout,
        source: row.try_get("source")?,
        mapping: row.try_get("mapping")?,
        dry_run: row.try_get("dry_run")?,
        actor,
        attempt: row.try_get("attempt")?,
        progress: progress(row)?,
    })
}

/// Begins an upload.
pub(crate) async fn begin(pool: &PgPool, tenant: Id, import: Id, actor: &Actor) -> sqlx::Result<()> {
    sqlx::query(
        "insert into import_job (tenant_id, import_id, kind, source, file_name, dry_run, actor)
         values ($1, $2, '', '', '', false, $3)",
    )
    .bind(tenant.to_string())
    .bind(import.to_string())
    .bind(Json(actor))
    .execute(pool)
    .await?;
    Ok(())
}

/// Stores a piece of the file.
pub(crate) async fn store(pool: &PgPool, tenant: Id, import: Id, chunk: i32, data: &[u8]) -> sqlx::Result<()> {
    sqlx::query("insert into import_upload (tenant_id, import_id, chunk, data) values ($1, $2, $3, $4)")
        .bind(tenant.to_string())
        .bind(import.to_string())
        .bind(chunk)
        .bind(data)
        .execute(pool)
        .await?;
    Ok(())
}

/// What an upload turned out to be.
pub(crate) struct Uploaded<'a> {
    pub(crate) kind: Kind,
    pub(crate) source: &'a str,
    pub(crate) file_name: &'a str,
    pub(crate) mapping: Option<&'a str>,
    pub(crate) dry_run: bool,
    pub(crate) digest: &'a str,
    pub(crate) bytes: i64,
    pub(crate) columns: &'a [String],
    pub(crate) layout: Layout,
}

/// Records what was uploaded; [`ready`] then lets a runner take it.
pub(crate) async fn describe(pool: &PgPool, tenant: Id, import: Id, uploaded: &Uploaded<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "update import_job
         set kind = $3, source = $4, file_name = $5, mapping = $6, dry_run = $7, digest = $8, bytes = $9, columns = $10,
             encoding = $11, delimiter = $12, quote = $13, progressed_at = now()
         where tenant_id = $1 and import_id = $2",
    )
    .bind(tenant.to_string())
    .bind(import.to_string())
    .bind(uploaded.kind.name())
    .bind(uploaded.source)
    .bind(uploaded.file_name)
    .bind(uploaded.mapping)
    .bind(uploaded.dry_run)
    .bind(uploaded.digest)
    .bind(uploaded.bytes)
    .bind(uploaded.columns)
    .bind(uploaded.layout.encoding.name())
    .bind(char::from(uploaded.layout.delimiter).to_string())
    .bind(char::from(uploaded.layout.quote).to_string())
    .execute(pool)
    .await?;
    Ok(())
}

/// Lets a runner take the job, for the first time or again. One that is at work stays as it is.
pub(crate) async fn ready(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<()> {
    sqlx::query(
        "update import_job set state = 'ready', reason = null, ended_at = null, lease_owner = null, lease_until = null
         where tenant_id = $1 and import_id = $2 and (state = 'ended' or (state = 'uploading' and digest is not null))",
    )
    .bind(tenant.to_string())
    .bind(import.to_string())
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets an upload that leads nowhere.
pub(crate) async fn discard(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<()> {
    for statement in [
        "delete from import_upload where tenant_id = $1 and import_id = $2",
        "delete from import_job where tenant_id = $1 and import_id = $2 and state = 'uploading'",
    ] {
        sqlx::query(statement).bind(tenant.to_string()).bind(import.to_string()).execute(pool).await?;
    }
    Ok(())
}

/// How far an import is.
pub(crate) async fn find(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<Option<Progress>> {
    let row = sqlx::query("select * from import_job where tenant_id = $1 and import_id = $2")
        .bind(tenant.to_string())
        .bind(import.to_string())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(progress).transpose()
}

/// Whether the file is still there.
pub(crate) async fn has_file(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from import_upload where tenant_id = $1 and import_id = $2)")
        .bind(tenant.to_string())
        .bind(import.to_string())
        .fetch_one(pool)
        .await
}

/// Takes the oldest job that nobody works at.
pub(crate) async fn claim(pool: &PgPool, runner: Uuid) -> sqlx::Result<Option<Job>> {
    let row = sqlx::query(
        "update import_job
         set state = 'ready', lease_owner = $1, lease_until = now() + $2 * interval '1 second', attempt = attempt + 1,
             started_at = coalesce(started_at, now()), progressed_at = now()
         where (tenant_id, import_id) = (
             select tenant_id, import_id from import_job
             where (state = 'ready' and (lease_until is null or lease_until < now()))
                -- Whoever uploaded it was stopped before it could say so.
                or (state = 'uploading' and digest is not null and progressed_at < now() - interval '1 minute')
             order by created_at
             limit 1
             for update skip locked
         )
         returning *",
    )
    .bind(runner)
    .bind(LEASE.as_secs_f64())
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(job).transpose()
}

/// Keeps a job; false when another runner has taken it.
pub(crate) async fn keep(pool: &PgPool, runner: Uuid, job: &Job) -> sqlx::Result<bool> {
    let kept = sqlx::query(
        "update import_job set lease_until = now() + $4 * interval '1 second'
         where tenant_id = $1 and import_id = $2 and lease_owner = $3 and state = 'ready'",
    )
    .bind(job.tenant.to_string())
    .bind(job.import.to_string())
    .bind(runner)
    .bind(LEASE.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// How often a lease is kept.
pub(crate) const KEEP_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 3);

/// Gives a job back, to be taken up at once or after a pause.
pub(crate) async fn release(pool: &PgPool, runner: Uuid, job: &Job, pause: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "update import_job set lease_owner = null, lease_until = now() + $4 * interval '1 second'
         where tenant_id = $1 and import_id = $2 and lease_owner = $3",
    )
    .bind(job.tenant.to_string())
    .bind(job.import.to_string())
    .bind(runner)
    .bind(pause.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(())
}

/// Records how many rows the file has.
pub(crate) async fn total(pool: &PgPool, job: &Job, rows: u64) -> sqlx::Result<()> {
    sqlx::query("update import_job set rows_total = $3 where tenant_id = $1 and import_id = $2")
        .bind(job.tenant.to_string())
        .bind(job.import.to_string())
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .execute(pool)
        .await?;
    Ok(())
}

/// Records what became of the rows up to `counts.rows`, all or nothing; false when another runner has the job.
pub(crate) async fn checkpoint(
    pool: &PgPool,
    runner: Uuid,
    job: &Job,
    counts: &Counts,
    rejected: &[(Row, Fault)],
    duplicates: &[Duplicate],
) -> sqlx::Result<bool> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut transaction = pool.begin().await?;
    let moved = sqlx::query(
        "update import_job
         set rows_done = $4, applied = $5, unchanged = $6, rejected = $7, events = $8, progressed_at = now(),
             lease_until = now() + $9 * interval '1 second'
         where tenant_id = $1 and import_id = $2 and lease_owner = $3 and state = 'ready'",
    )
    .bind(job.tenant.to_string())
    .bind(job.import.to_string())
    .bind(runner)
    .bind(signed(counts.rows))
    .bind(signed(counts.applied))
    .bind(signed(counts.unchanged))
    .bind(signed(counts.rejected))
    .bind(signed(counts.events))
    .bind(LEASE.as_secs_f64())
    .execute(&mut *transaction)
    .await?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    if !rejected.is_empty() {
        let column = |of: fn(&(Row, Fault)) -> String| rejected.iter().map(of).collect::<Vec<_>>();
        sqlx::query(
            "insert into import_rejection (tenant_id, import_id, row_number, line, code, reason, cells)
             select $1, $2, * from unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[]::jsonb[])
             on conflict do nothing",
        )
        .bind(job.tenant.to_string())
        .bind(job.import.to_string())
        .bind(rejected.iter().map(|(row, _)| signed(row.number)).collect::<Vec<_>>())
        .bind(rejected.iter().map(|(row, _)| signed(row.line)).collect::<Vec<_>>())
        .bind(column(|(_, fault)| without_nul(&fault.code)))
        .bind(column(|(_, fault)| without_nul(&fault.reason)))
        .bind(column(|(row, _)| {
            let cells: Vec<String> = row.cells.iter().map(|cell| without_nul(cell)).collect();
            serde_json::to_string(&cells).unwrap_or_else(|_| "[]".into())
        }))
        .execute(&mut *transaction)
        .await?;
    }
    if !duplicates.is_empty() {
        let kind = job.mapping.as_deref().and_then(record_kind).unwrap_or_default();
        sqlx::query(
            "insert into import_duplicate (tenant_id, import_id, kind, row_number, line, record_id, candidates)
             select $1, $2, $3, * from unnest($4::bigint[], $5::bigint[], $6::text[], $7::text[]::jsonb[])
             on conflict do nothing",
        )
        .bind(job.tenant.to_string())
        .bind(job.import.to_string())
        .bind(kind)
        .bind(duplicates.iter().map(|found| signed(found.row)).collect::<Vec<_>>())
        .bind(duplicates.iter().map(|found| signed(found.line)).collect::<Vec<_>>())
        .bind(duplicates.iter().map(|found| found.record.to_string()).collect::<Vec<_>>())
        .bind(duplicates.iter().map(|found| candidates(found).to_string()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

fn candidates(found: &Duplicate) -> serde_json::Value {
    found.candidates.iter().map(|(id, by)| serde_json::json!({ "id": id, "by": by })).collect()
}

/// The kind of records that a mapping is of.
fn record_kind(mapping: &str) -> Option<String> {
    mapping.parse::<toml::Table>().ok()?.get("record")?.as_str().map(str::to_owned)
}

/// PostgreSQL keeps no U+0000.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Ends a job; its file goes when nothing is left to do with it.
pub(crate) async fn end(pool: &PgPool, job: &Job, reason: Option<&str>, delete_file: bool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "update import_job set state = 'ended', reason = $3, ended_at = now(), lease_owner = null, lease_until = null
         where tenant_id = $1 and import_id = $2",
    )
    .bind(job.tenant.to_string())
    .bind(job.import.to_string())
    .bind(reason)
    .execute(&mut *transaction)
    .await?;
    if delete_file {
        sqlx::query("delete from import_upload where tenant_id = $1 and import_id = $2")
            .bind(job.tenant.to_string())
            .bind(job.import.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Whether any import is still to be worked at.
pub(crate) async fn busy(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from import_job where state = 'ready')").fetch_one(pool).await
}

/// A piece of the file, `None` behind its end.
pub(crate) async fn piece(pool: &PgPool, tenant: Id, import: Id, chunk: i32) -> sqlx::Result<Option<Bytes>> {
    let data: Option<Vec<u8>> =
        sqlx::query_scalar("select data from import_upload where tenant_id = $1 and import_id = $2 and chunk = $3")
            .bind(tenant.to_string())
            .bind(import.to_string())
            .bind(chunk)
            .fetch_optional(pool)
            .await?;
    Ok(data.map(Bytes::from))
}

/// The columns of an import's file.
pub(crate) async fn columns(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<Option<Vec<String>>> {
    sqlx::query_scalar("select coalesce(columns, '{}') from import_job where tenant_id = $1 and import_id = $2")
        .bind(tenant.to_string())
        .bind(import.to_string())
        .fetch_optional(pool)
        .await
}

/// A refused row as the report shows it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Refused {
    pub(crate) row_number: i64,
    pub(crate) line: i64,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) cells: Json<Vec<String>>,
}

/// Refused rows after a row, in order.
pub(crate) async fn refused(
    pool: &PgPool,
    tenant: Id,
    import: Id,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Refused>> {
    sqlx::query_as(
        "select row_number, line, code, reason, cells from import_rejection
         where tenant_id = $1 and import_id = $2 and row_number > $3
         order by row_number limit $4",
    )
    .bind(tenant.to_string())
    .bind(import.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// A row's record with others that may be the same.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Alike {
    pub(crate) row_number: i64,
    pub(crate) line: i64,
    pub(crate) kind: String,
    pub(crate) record_id: String,
    pub(crate) candidates: Json<Vec<Candidate>>,
}

/// A record that may be the same, and by what it is like it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Candidate {
    pub(crate) id: Id,
    pub(crate) by: Vec<String>,
}

/// Duplicates of an import after a row, in order.
pub(crate) async fn duplicates(
    pool: &PgPool,
    tenant: Id,
    import: Id,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Alike>> {
    sqlx::query_as(
        "select row_number, line, kind, record_id, candidates from import_duplicate
         where tenant_id = $1 and import_id = $2 and row_number > $3
         order by row_number limit $4",
    )
    .bind(tenant.to_string())
    .bind(import.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// How many rows of an import led to records that others may be the same as.
pub(crate) async fn count_duplicates(pool: &PgPool, tenant: Id, import: Id) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from import_duplicate where tenant_id = $1 and import_id = $2")
        .bind(tenant.to_string())
        .bind(import.to_string())
        .fetch_one(pool)
        .await
}

/// Deletes files that nobody will read any more.
pub(crate) async fn tidy(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(
        "with stale as (
             select tenant_id, import_id from import_job
             where (state = 'uploading' and created_at < now() - $1 * interval '1 hour')
                or (state = 'ended' and ended_at < now() - $2 * interval '1 day')
         )
         delete from import_upload using stale
         where import_upload.tenant_id = stale.tenant_id and import_upload.import_id = stale.import_id",
    )
    .bind(ABANDONED_HOURS)
    .bind(RESUMABLE_DAYS)
    .execute(pool)
    .await?;
    sqlx::query("delete from import_job where state = 'uploading' and created_at < now() - $1 * interval '1 hour'")
        .bind(ABANDONED_HOURS)
        .execute(pool)
        .await?;
    Ok(())
}
