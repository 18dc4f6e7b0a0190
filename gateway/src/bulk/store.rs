//! Bulks at work: their items, leases and counts.

use std::time::Duration;

use domain::{Actor, Id, data::bulk::Counts};
use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{PgPool, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::Outcome;

/// How long a runner may be silent before another takes its job over.
const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is kept.
pub(crate) const KEEP_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 3);
/// Items that are written down with one statement.
const PIECE: usize = 10_000;

/// A bulk at work.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) tenant: Id,
    pub(crate) bulk: Id,
    pub(crate) actor: Actor,
    /// The API key that asked.
    pub(crate) key: Option<Id>,
    /// Where it takes something back: after which position, and up to which one, that was written.
    pub(crate) undoes: Option<(i64, i64)>,
    pub(crate) attempt: bool,
    pub(crate) progress: Progress,
}

/// How far a bulk is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) items_total: Option<i64>,
    pub(crate) counts: Counts,
    pub(crate) at_work: bool,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) progressed_at: Option<Timestamp>,
}

/// An item that is to be dealt with.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) record: Id,
    /// The positions of events to be taken back, each with the command that wrote it.
    pub(crate) undoes: Vec<(i64, usize)>,
}

fn number(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

fn id(text: &str) -> sqlx::Result<Id> {
    text.parse().map_err(|error: ulid::DecodeError| sqlx::Error::Decode(Box::new(error)))
}

fn progress(row: &PgRow) -> sqlx::Result<Progress> {
    let state: String = row.try_get("state")?;
    Ok(Progress {
        items_total: row.try_get("items_total")?,
        counts: Counts {
            items: number(row, "items_done")?,
            applied: number(row, "applied")?,
            unchanged: number(row, "unchanged")?,
            refused: number(row, "refused")?,
            events: number(row, "events")?,
        },
        at_work: state == "ready",
        reason: row.try_get("reason")?,
        started_at: row.try_get("started_at")?,
        progressed_at: row.try_get("progressed_at")?,
    })
}

fn job(row: &PgRow) -> sqlx::Result<Job> {
    let Json(actor) = row.try_get("actor")?;
    let key: Option<String> = row.try_get("key_id")?;
    let after: Option<i64> = row.try_get("undo_after")?;
    let until: Option<i64> = row.try_get("undo_until")?;
    Ok(Job {
        tenant: id(row.try_get("tenant_id")?)?,
        bulk: id(row.try_get("bulk_id")?)?,
        actor,
        key: key.as_deref().map(id).transpose()?,
        undoes: after.zip(until),
        attempt: row.try_get::<Option<Timestamp>, _>("started_before")?.is_some(),
        progress: progress(row)?,
    })
}

/// Begins writing one down.
pub(crate) async fn begin(
    pool: &PgPool,
    tenant: Id,
    bulk: Id,
    (actor, key): (&Actor, Option<Id>),
    undoes: Option<(i64, i64)>,
) -> sqlx::Result<()> {
    let (after, until) = undoes.unzip();
    sqlx::query(
        "insert into bulk_job (tenant_id, bulk_id, actor, key_id, undo_after, undo_until, progressed_at)
         values ($1, $2, $3, $4, $5, $6, now())",
    )
    .bind(tenant.to_string())
    .bind(bulk.to_string())
    .bind(Json(actor))
    .bind(key.map(|key| key.to_string()))
    .bind(after)
    .bind(until)
    .execute(pool)
    .await?;
    Ok(())
}

/// Writes records of one kind down after `from` others.
pub(crate) async fn add(pool: &PgPool, tenant: Id, bulk: Id, kind: &str, from: i64, ids: &[Id]) -> sqlx::Result<()> {
    for (piece, ids) in ids.chunks(PIECE).enumerate() {
        let from = from + i64::try_from(piece * PIECE).unwrap_or(i64::MAX);
        sqlx::query(
            "insert into bulk_item (tenant_id, bulk_id, number, kind, record_id)
             select $1, $2, $4 + number, $3, id from unnest($5::text[]) with ordinality as named (id, number)",
        )
        .bind(tenant.to_string())
        .bind(bulk.to_string())
        .bind(kind)
        .bind(from)
        .bind(ids.iter().map(Id::to_string).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    }
    // Whoever looks for what was left behind leaves alone what is still being written down.
    sqlx::query("update bulk_job set progressed_at = now() where tenant_id = $1 and bulk_id = $2")
        .bind(tenant.to_string())
        .bind(bulk.to_string())
        .execute(pool)
        .await?;
    Ok(())
}

/// Writes down what is to be taken back, and how many records that are; anew if it was begun before.
pub(crate) async fn replace(pool: &PgPool, job: &Job, items: &[Item]) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("delete from bulk_item where tenant_id = $1 and bulk_id = $2")
        .bind(job.tenant.to_string())
        .bind(job.bulk.to_string())
        .execute(&mut *transaction)
        .await?;
    for items in items.chunks(PIECE) {
        sqlx::query(
            "insert into bulk_item (tenant_id, bulk_id, number, kind, record_id, undoes)
             select $1, $2, * from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]::jsonb[])",
        )
        .bind(job.tenant.to_string())
        .bind(job.bulk.to_string())
        .bind(items.iter().map(|item| item.number).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.kind.clone()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.record.to_string()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| serde_json::json!(item.undoes).to_string()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    total(&mut *transaction, job.tenant, job.bulk, items.len()).await?;
    transaction.commit().await
}

/// Records how many records it is about.
pub(crate) async fn total(executor: impl sqlx::PgExecutor<'_>, tenant: Id, bulk: Id, items: usize) -> sqlx::Result<()> {
    sqlx::query("update bulk_job set items_total = $3, progressed_at = now() where tenant_id = $1 and bulk_id = $2")
        .bind(tenant.to_string())
        .bind(bulk.to_string())
        .bind(i64::try_from(items).unwrap_or(i64::MAX))
        .execute(executor)
        .await?;
    Ok(())
}

/// Lets a runner take the job, for the first time or again. One that is at work stays as it is.
pub(crate) async fn ready(pool: &PgPool, tenant: Id, bulk: Id) -> sqlx::Result<()> {
    sqlx::query(
        "update bulk_job set state = 'ready', reason = null, ended_at = null, lease_owner = null, lease_until = null
         where tenant_id = $1 and bulk_id = $2 and state <> 'ready'",
    )
    .bind(tenant.to_string())
    .bind(bulk.to_string())
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets one that leads nowhere.
pub(crate) async fn discard(pool: &PgPool, tenant: Id, bulk: Id) -> sqlx::Result<()> {
    for statement in [
        "delete from bulk_item where tenant_id = $1 and bulk_id = $2",
        "delete from bulk_job where tenant_id = $1 and bulk_id = $2",
    ] {
        sqlx::query(statement).bind(tenant.to_string()).bind(bulk.to_string()).execute(pool).await?;
    }
    Ok(())
}

/// How far a bulk is.
pub(crate) async fn find(pool: &PgPool, tenant: Id, bulk: Id) -> sqlx::Result<Option<Progress>> {
    let row = sqlx::query("select * from bulk_job where tenant_id = $1 and bulk_id = $2")
        .bind(tenant.to_string())
        .bind(bulk.to_string())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(progress).transpose()
}

/// Takes the oldest job that nobody works at.
pub(crate) async fn claim(pool: &PgPool, runner: Uuid) -> sqlx::Result<Option<Job>> {
    let row = sqlx::query(
        "with next as (
             select tenant_id, bulk_id, started_at as started_before from bulk_job
             where (state = 'ready' and (lease_until is null or lease_until < now()))
                -- Whoever asked for it was stopped before it could say so.
                or (state = 'preparing' and progressed_at < now() - interval '1 minute')
             order by created_at
             limit 1
             for update skip locked
         )
         update bulk_job
         set state = 'ready', lease_owner = $1, lease_until = now() + $2 * interval '1 second',
             started_at = coalesce(started_at, now()), progressed_at = now()
         from next where bulk_job.tenant_id = next.tenant_id and bulk_job.bulk_id = next.bulk_id
         returning bulk_job.*, next.started_before",
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
        "update bulk_job set lease_until = now() + $4 * interval '1 second'
         where tenant_id = $1 and bulk_id = $2 and lease_owner = $3 and state = 'ready'",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(runner)
    .bind(LEASE.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Gives a job back, to be taken up at once or after a pause.
pub(crate) async fn release(pool: &PgPool, runner: Uuid, job: &Job, pause: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "update bulk_job set lease_owner = null, lease_until = now() + $4 * interval '1 second'
         where tenant_id = $1 and bulk_id = $2 and lease_owner = $3",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(runner)
    .bind(pause.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(())
}

/// The next items that nobody has dealt with.
pub(crate) async fn window(pool: &PgPool, job: &Job, after: i64, limit: i64) -> sqlx::Result<Vec<Item>> {
    type Row = (i64, String, String, Option<Json<Vec<(i64, usize)>>>);
    let rows: Vec<Row> = sqlx::query_as(
        "select number, kind, record_id, undoes from bulk_item
         where tenant_id = $1 and bulk_id = $2 and number > $3 order by number limit $4",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let item = |(number, kind, record, undoes): Row| {
        let undoes = undoes.map(|Json(undoes)| undoes).unwrap_or_default();
        Ok(Item { number, kind, record: id(&record)?, undoes })
    };
    rows.into_iter().map(item).collect()
}

/// Records what became of the items up to `counts.items`, all or nothing; false when another runner has the job.
pub(crate) async fn checkpoint(
    pool: &PgPool,
    runner: Uuid,
    job: &Job,
    counts: &Counts,
    outcomes: &[(i64, Outcome)],
) -> sqlx::Result<bool> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut transaction = pool.begin().await?;
    let moved = sqlx::query(
        "update bulk_job
         set items_done = $4, applied = $5, unchanged = $6, refused = $7, events = $8, progressed_at = now(),
             lease_until = now() + $9 * interval '1 second'
         where tenant_id = $1 and bulk_id = $2 and lease_owner = $3 and state = 'ready'",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(runner)
    .bind(signed(counts.items))
    .bind(signed(counts.applied))
    .bind(signed(counts.unchanged))
    .bind(signed(counts.refused))
    .bind(signed(counts.events))
    .bind(LEASE.as_secs_f64())
    .execute(&mut *transaction)
    .await?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    type Refusal = (Option<String>, Option<String>, Option<String>);
    let refusal = |outcome: &Outcome| -> Refusal {
        match outcome {
            Outcome::Refused { code, detail, pointer } => {
                (Some(code.clone()), Some(detail.replace('\0', "\u{FFFD}")), pointer.clone())
            }
            Outcome::Applied { .. } | Outcome::Unchanged => (None, None, None),
        }
    };
    let written = |outcome: &Outcome| match outcome {
        Outcome::Applied { events, position } => (Some(Value::from(events.clone()).to_string()), Some(*position)),
        Outcome::Unchanged | Outcome::Refused { .. } => (None, None),
    };
    let named = |outcome: &Outcome| match outcome {
        Outcome::Applied { .. } => "applied",
        Outcome::Unchanged => "unchanged",
        Outcome::Refused { .. } => "refused",
    };
    sqlx::query(
        "update bulk_item item
         set outcome = done.outcome, code = done.code, detail = done.detail, pointer = done.pointer,
             events = done.events::jsonb, position = done.position
         from unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[])
             as done (number, outcome, code, detail, pointer, events, position)
         where item.tenant_id = $1 and item.bulk_id = $2 and item.number = done.number",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(outcomes.iter().map(|(number, _)| *number).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| named(outcome)).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| refusal(outcome).0).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| refusal(outcome).1).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| refusal(outcome).2).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| written(outcome).0).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|(_, outcome)| written(outcome).1).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Ends a job, or halts it until it is resumed.
pub(crate) async fn rest(pool: &PgPool, job: &Job, state: &str, reason: Option<&str>) -> sqlx::Result<()> {
    sqlx::query(
        "update bulk_job
         set state = $3, reason = $4, lease_owner = null, lease_until = null,
             ended_at = case $3 when 'ended' then now() end
         where tenant_id = $1 and bulk_id = $2",
    )
    .bind(job.tenant.to_string())
    .bind(job.bulk.to_string())
    .bind(state)
    .bind(reason)
    .execute(pool)
    .await?;
    Ok(())
}

/// Whether any bulk is still to be worked at.
pub(crate) async fn busy(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from bulk_job where state = 'ready')").fetch_one(pool).await
}

/// An item as it is told.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Told {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) record_id: String,
    pub(crate) outcome: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) pointer: Option<String>,
    pub(crate) events: Option<Json<Value>>,
    pub(crate) position: Option<i64>,
}

/// Items after a number, in order; only those that came out so, if that is asked.
pub(crate) async fn items(
    pool: &PgPool,
    tenant: Id,
    bulk: Id,
    outcome: Option<&str>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Told>> {
    sqlx::query_as(
        "select number, kind, record_id, outcome, code, detail, pointer, events, position from bulk_item
         where tenant_id = $1 and bulk_id = $2 and number > $3 and ($4::text is null or outcome = $4)
         order by number limit $5",
    )
    .bind(tenant.to_string())
    .bind(bulk.to_string())
    .bind(after)
    .bind(outcome)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// How many items were refused, by why.
pub(crate) async fn refusals(pool: &PgPool, tenant: Id, bulk: Id) -> sqlx::Result<Vec<(String, String, i64)>> {
    sqlx::query_as(
        "select code, min(detail), count(*) from bulk_item
         where tenant_id = $1 and bulk_id = $2 and outcome = 'refused' group by code order by 3 desc, 1",
    )
    .bind(tenant.to_string())
    .bind(bulk.to_string())
    .fetch_all(pool)
    .await
}
