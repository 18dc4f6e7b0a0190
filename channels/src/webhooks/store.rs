//! What is kept of webhooks between attempts: how far each is, which records wait, and what was sent of late.

use std::collections::BTreeMap;

use domain::{Id, Time};
use jiff_sqlx::{Timestamp, ToSqlx};
use serde_json::{Map, Value};
use sqlx::{FromRow, PgConnection, PgPool};

/// What a lane begins with that is no record's.
pub(super) const ONCE: char = '!';

/// A webhook: tenant and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) tenant: Id,
    pub(super) webhook: Id,
}

/// How far a webhook is.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) position: i64,
    pub(super) turn: i64,
    pub(super) round: i64,
    pub(super) failures: i32,
    pub(super) failing_since: Option<Time>,
    pub(super) rests_until: Option<Time>,
    pub(super) delivered_at: Option<Time>,
}

#[derive(FromRow)]
struct PlaceRow {
    position: i64,
    turn: i64,
    round: i64,
    failures: i32,
    failing_since: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

/// The event of a record that waits for its next attempt.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) position: i64,
    pub(super) attempts: i32,
    pub(super) failing_since: Option<Time>,
    pub(super) due_at: Time,
    pub(super) tried_at: Option<Time>,
    pub(super) last_error: Option<String>,
}

#[derive(FromRow)]
struct LaneRow {
    lane: String,
    position: i64,
    attempts: i32,
    failing_since: Option<Timestamp>,
    due_at: Timestamp,
    tried_at: Option<Timestamp>,
    last_error: Option<String>,
}

/// A webhook that is to be told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Working {
    pub(super) key: Key,
    pub(super) turn: i64,
    pub(super) changed_at: i64,
}

/// An attempt, as it is written down.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) id: Id,
    pub(super) position: i64,
    pub(super) stream: String,
    pub(super) event_type: String,
    pub(super) cause: &'static str,
    pub(super) attempt: i32,
    pub(super) status: &'static str,
    pub(super) url: String,
    pub(super) request_headers: Map<String, Value>,
    pub(super) response_status: Option<i32>,
    pub(super) response_headers: Option<Map<String, Value>>,
    pub(super) response_body: Option<String>,
    pub(super) error: Option<String>,
    pub(super) started_at: Time,
    pub(super) took_ms: i64,
    pub(super) next_attempt_at: Option<Time>,
}

fn time(stored: Option<Timestamp>) -> Option<Time> {
    stored.map(Timestamp::to_jiff)
}

/// The webhooks that are to be told something.
pub(super) async fn working(pool: &PgPool) -> Result<Vec<Working>, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64)> =
        sqlx::query_as("select tenant_id, webhook_id, turn, changed_at from react_webhook where works")
            .fetch_all(pool)
            .await?;
    let read = |(tenant, webhook, turn, changed_at): (String, String, i64, i64)| {
        let key = Key { tenant: tenant.parse().ok()?, webhook: webhook.parse().ok()? };
        Some(Working { key, turn, changed_at })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Goes on with a webhook: whoever did before writes nothing more. `None` when it is not to be told anything by now.
pub(super) async fn go_on(pool: &PgPool, key: Key) -> Result<Option<Place>, sqlx::Error> {
    let row: Option<PlaceRow> = sqlx::query_as(
        "update react_webhook set turn = turn + 1 where tenant_id = $1 and webhook_id = $2 and works
         returning position, turn, round, failures, failing_since, rests_until, delivered_at",
    )
    .bind(key.tenant.to_string())
    .bind(key.webhook.to_string())
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Place {
        position: row.position,
        turn: row.turn,
        round: row.round,
        failures: row.failures,
        failing_since: time(row.failing_since),
        rests_until: time(row.rests_until),
        delivered_at: time(row.delivered_at),
    }))
}

/// What waits.
pub(super) async fn lanes(pool: &PgPool, key: Key) -> Result<BTreeMap<String, Lane>, sqlx::Error> {
    let rows: Vec<LaneRow> = sqlx::query_as(
        "select lane, position, attempts, failing_since, due_at, tried_at, last_error
         from react_webhook_lane where tenant_id = $1 and webhook_id = $2",
    )
    .bind(key.tenant.to_string())
    .bind(key.webhook.to_string())
    .fetch_all(pool)
    .await?;
    let lane = |row: LaneRow| Lane {
        position: row.position,
        attempts: row.attempts,
        failing_since: time(row.failing_since),
        due_at: row.due_at.to_jiff(),
        tried_at: time(row.tried_at),
        last_error: row.last_error.clone(),
    };
    Ok(rows.into_iter().map(|row| (row.lane.clone(), lane(row))).collect())
}

/// The positions beyond one that were taken in this round: what a process that is no more had sent and had not moved on from.
pub(super) async fn taken_beyond(pool: &PgPool, key: Key, place: &Place) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select distinct position from react_webhook_delivery
         where tenant_id = $1 and webhook_id = $2 and position > $3 and round = $4 and status = 'delivered' and cause = 'event'",
    )
    .bind(key.tenant.to_string())
    .bind(key.webhook.to_string())
    .bind(place.position)
    .bind(place.round)
    .fetch_all(pool)
    .await
}

/// What becomes of a lane.
pub(super) enum Becomes<'a> {
    Stays(&'a str, &'a Lane),
    Ends(&'a str),
}

/// Writes down what was attempted, how far the webhook is now, and what becomes of a lane; whether one may go on with it. An attempt
/// is written down in any case: it was made.
pub(super) async fn write(
    pool: &PgPool,
    key: Key,
    place: &Place,
    attempt: Option<&Attempt>,
    lane: Option<Becomes<'_>>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if let Some(attempt) = attempt {
        write_attempt(&mut transaction, key, place.round, attempt).await?;
    }
    let ours = sqlx::query(
        "update react_webhook set position = $4, failures = $5, failing_since = $6, rests_until = $7, delivered_at = $8
         where tenant_id = $1 and webhook_id = $2 and turn = $3",
    )
    .bind(key.tenant.to_string())
    .bind(key.webhook.to_string())
    .bind(place.turn)
    .bind(place.position)
    .bind(place.failures)
    .bind(place.failing_since.map(ToSqlx::to_sqlx))
    .bind(place.rests_until.map(ToSqlx::to_sqlx))
    .bind(place.delivered_at.map(ToSqlx::to_sqlx))
    .execute(&mut *transaction)
    .await?
    .rows_affected()
        == 1;
    if ours && let Some(lane) = lane {
        write_lane(&mut transaction, key, lane).await?;
    }
    transaction.commit().await?;
    Ok(ours)
}

async fn write_lane(db: &mut PgConnection, key: Key, lane: Becomes<'_>) -> Result<(), sqlx::Error> {
    match lane {
        Becomes::Ends(name) => {
            sqlx::query("delete from react_webhook_lane where tenant_id = $1 and webhook_id = $2 and lane = $3")
                .bind(key.tenant.to_string())
                .bind(key.webhook.to_string())
                .bind(name)
                .execute(db)
                .await?;
        }
        Becomes::Stays(name, lane) => {
            sqlx::query(
                "insert into react_webhook_lane
                     (tenant_id, webhook_id, lane, position, attempts, failing_since, due_at, tried_at, last_error)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 on conflict (tenant_id, webhook_id, lane) do update
                 set position = excluded.position, attempts = excluded.attempts, failing_since = excluded.failing_since,
                     due_at = excluded.due_at, tried_at = excluded.tried_at, last_error = excluded.last_error",
            )
            .bind(key.tenant.to_string())
            .bind(key.webhook.to_string())
            .bind(name)
            .bind(lane.position)
            .bind(lane.attempts)
            .bind(lane.failing_since.map(ToSqlx::to_sqlx))
            .bind(lane.due_at.to_sqlx())
            .bind(lane.tried_at.map(ToSqlx::to_sqlx))
            .bind(lane.last_error.as_deref())
            .execute(db)
            .await?;
        }
    }
    Ok(())
}

async fn write_attempt(db: &mut PgConnection, key: Key, round: i64, attempt: &Attempt) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_webhook_delivery
             (tenant_id, id, webhook_id, position, stream, type, cause, round, attempt, status, url, request_headers,
              response_status, response_headers, response_body, error, started_at, took_ms, next_attempt_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         on conflict do nothing",
    )
    .bind(key.tenant.to_string())
    .bind(attempt.id.to_string())
    .bind(key.webhook.to_string())
    .bind(attempt.position)
    .bind(&attempt.stream)
    .bind(&attempt.event_type)
    .bind(attempt.cause)
    .bind(round)
    .bind(attempt.attempt)
    .bind(attempt.status)
    .bind(&attempt.url)
    .bind(Value::Object(attempt.request_headers.clone()))
    .bind(attempt.response_status)
    .bind(attempt.response_headers.clone().map(Value::Object))
    .bind(attempt.response_body.as_deref())
    .bind(attempt.error.as_deref())
    .bind(attempt.started_at.to_sqlx())
    .bind(attempt.took_ms)
    .bind(attempt.next_attempt_at.map(ToSqlx::to_sqlx))
    .execute(db)
    .await?;
    Ok(())
}

/// What an event of a webhook's own means for how far it is.
pub(super) enum Heeded<'a> {
    /// It goes on as it is.
    GoesOn,
    /// It is told other things, or somebody else is: what waits is tried at once.
    Mended,
    /// It goes on from another position.
    From(i64),
    /// One event is sent by itself.
    Once(&'a str, i64),
    /// Nothing is sent any more.
    Ends,
}

/// Heeds an event of a webhook's own, once.
pub(super) async fn heed(
    db: &mut PgConnection,
    key: Key,
    position: i64,
    works: bool,
    now: Time,
    means: Heeded<'_>,
) -> Result<(), sqlx::Error> {
    let (tenant, webhook) = (key.tenant.to_string(), key.webhook.to_string());
    sqlx::query(
        "insert into react_webhook (tenant_id, webhook_id, position, changed_at, works) values ($1, $2, $3, $3 - 1, $4)
         on conflict do nothing",
    )
    .bind(&tenant)
    .bind(&webhook)
    .bind(position)
    .bind(works)
    .execute(&mut *db)
    .await?;
    let from = match means {
        Heeded::From(from) => Some(from - 1),
        _ => None,
    };
    let anew = matches!(means, Heeded::From(_) | Heeded::Mended | Heeded::Ends);
    let heeded = sqlx::query(
        "update react_webhook
         set changed_at = $3, works = $4, position = coalesce($5, position),
             round = round + case when $5 is null then 0 else 1 end, turn = turn + case when $6 then 1 else 0 end,
             failures = case when $6 then 0 else failures end,
             failing_since = case when $6 then null else failing_since end,
             rests_until = case when $6 then null else rests_until end
         where tenant_id = $1 and webhook_id = $2 and changed_at < $3",
    )
    .bind(&tenant)
    .bind(&webhook)
    .bind(position)
    .bind(works)
    .bind(from)
    .bind(anew)
    .execute(&mut *db)
    .await?;
    if heeded.rows_affected() == 0 {
        return Ok(());
    }
    match means {
        Heeded::GoesOn => {}
        Heeded::Mended => {
            sqlx::query(
                "update react_webhook_lane set due_at = $3, failing_since = null, attempts = 0
                 where tenant_id = $1 and webhook_id = $2",
            )
            .bind(&tenant)
            .bind(&webhook)
            .bind(now.to_sqlx())
            .execute(db)
            .await?;
        }
        Heeded::From(_) | Heeded::Ends => {
            sqlx::query("delete from react_webhook_lane where tenant_id = $1 and webhook_id = $2")
                .bind(&tenant)
                .bind(&webhook)
                .execute(db)
                .await?;
        }
        Heeded::Once(name, of) => {
            let lane =
                Lane { position: of, attempts: 0, failing_since: None, due_at: now, tried_at: None, last_error: None };
            write_lane(db, key, Becomes::Stays(&format!("{ONCE}{name}"), &lane)).await?;
        }
    }
    Ok(())
}

/// Whether anything is due, or not looked at up to a position.
pub(super) async fn is_busy(pool: &PgPool, position: i64, now: Time, most_lanes: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
             select from react_webhook w
             where w.works and (
                 exists (select from react_webhook_lane l
                         where l.tenant_id = w.tenant_id and l.webhook_id = w.webhook_id and l.due_at <= $2
                           and (starts_with(l.lane, '!') or w.rests_until is null or w.rests_until <= $2))
                 or ((w.rests_until is null or w.rests_until <= $2) and w.position < $1
                     and (select count(*) from react_webhook_lane l
                          where l.tenant_id = w.tenant_id and l.webhook_id = w.webhook_id) < $3)))",
    )
    .bind(position)
    .bind(now.to_sqlx())
    .bind(most_lanes)
    .fetch_one(pool)
    .await
}

/// How many records wait, how far the last webhook is, and how many webhooks fail.
pub(super) async fn counted(pool: &PgPool) -> Result<(i64, Option<i64>, i64), sqlx::Error> {
    sqlx::query_as(
        "select (select count(*) from react_webhook_lane l join react_webhook w using (tenant_id, webhook_id) where w.works),
                min(position), count(*) filter (where failing_since is not null)
         from react_webhook where works",
    )
    .fetch_one(pool)
    .await
}

/// Deletes what was sent before a moment, and of each webhook all but the newest.
pub(super) async fn sweep(pool: &PgPool, before: Time, most: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from react_webhook_delivery where started_at < $1")
        .bind(before.to_sqlx())
        .execute(pool)
        .await?;
    sqlx::query(
        "delete from react_webhook_delivery d
         using react_webhook w, lateral (
             select id from react_webhook_delivery n where n.tenant_id = w.tenant_id and n.webhook_id = w.webhook_id
             order by id desc offset $1 limit 1) oldest
         where d.tenant_id = w.tenant_id and d.webhook_id = w.webhook_id and d.id <= oldest.id",
    )
    .bind(most)
    .execute(pool)
    .await?;
    Ok(())
}
