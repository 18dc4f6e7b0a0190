//! What messengers brought, as it waits to be taken in: `react_messenger_update`; and how channels fare: `react_messenger`.

use std::time::Duration;

use domain::{Id, Time};
use jiff_sqlx::ToSqlx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::Whose;

/// For how long it is known what was brought: messengers bring again what they believe lost for a week at the most.
const KNOWN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 8);
/// Updates looked at together.
const PAGE: i64 = 128;

/// Something that a messenger brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Brought {
    /// What the messenger calls it, or its digest: the same is taken in once.
    pub key: String,
    /// The chat: what belongs to one is taken in in order.
    pub lane: String,
    /// Its place, as the messenger counts.
    pub ordinal: i64,
    /// What it says.
    pub body: Value,
}

/// Writes down what was brought to a channel; how much of it is new.
///
/// # Errors
/// When the database fails: then nothing is written, and it has to be brought again.
pub async fn bring(pool: &PgPool, whose: &Whose, brought: &[Brought], now: Time) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let new = write(&mut transaction, whose, brought, now).await?;
    transaction.commit().await?;
    Ok(new)
}

async fn write(
    connection: &mut PgConnection,
    whose: &Whose,
    brought: &[Brought],
    now: Time,
) -> Result<u64, sqlx::Error> {
    let mut new = 0;
    for one in brought {
        let written = sqlx::query(
            "insert into react_messenger_update (tenant_id, channel_id, key, lane, ordinal, body, due_at, came_at)
             values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict do nothing",
        )
        .bind(whose.tenant.to_string())
        .bind(whose.id.to_string())
        .bind(&one.key)
        .bind(&one.lane)
        .bind(one.ordinal)
        .bind(without_nul(&one.body))
        .bind(now.to_sqlx())
        .execute(&mut *connection)
        .await?;
        new += written.rows_affected();
    }
    Ok(new)
}

/// The same without the character U+0000, which no database keeps.
fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "")),
        Value::Array(items) => Value::Array(items.iter().map(without_nul).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.replace('\0', ""), without_nul(value))).collect())
        }
        value => value.clone(),
    }
}

/// Writes down what was asked for, and in the same transaction what is asked for next.
pub(super) async fn bring_up_to(
    pool: &PgPool,
    whose: &Whose,
    brought: &[Brought],
    next: i64,
    now: Time,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    write(&mut transaction, whose, brought, now).await?;
    sqlx::query(
        "insert into react_messenger (tenant_id, channel_id, next_update, connected, failures, checked_at)
         values ($1, $2, $3, true, 0, now())
         on conflict (tenant_id, channel_id) do update set next_update = $3, connected = true, error = null, failures = 0,
             checked_at = now()",
    )
    .bind(whose.tenant.to_string())
    .bind(whose.id.to_string())
    .bind(next)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// What is asked for next, and which webhook was set.
pub(super) async fn reached(pool: &PgPool, (tenant, channel): (Id, Id)) -> Result<(i64, Option<String>), sqlx::Error> {
    let known: Option<(i64, Option<String>)> =
        sqlx::query_as("select next_update, hook from react_messenger where tenant_id = $1 and channel_id = $2")
            .bind(tenant.to_string())
            .bind(channel.to_string())
            .fetch_optional(pool)
            .await?;
    Ok(known.unwrap_or_default())
}

/// Says that a channel is connected: what its bot is called, and by which webhook, if by one.
pub(super) async fn connected(
    pool: &PgPool,
    (tenant, channel): (Id, Id),
    called: &str,
    hook: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_messenger (tenant_id, channel_id, called, hook, connected, failures, checked_at)
         values ($1, $2, $3, $4, true, 0, now())
         on conflict (tenant_id, channel_id) do update set called = $3, hook = $4, connected = true, error = null, failures = 0,
             checked_at = now()",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(called)
    .bind(hook)
    .execute(pool)
    .await?;
    Ok(())
}

/// Says that it is not: what went wrong, and how often.
pub(super) async fn troubled(
    pool: &PgPool,
    (tenant, channel): (Id, Id),
    error: Option<&str>,
    failures: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_messenger (tenant_id, channel_id, connected, error, failures, checked_at)
         values ($1, $2, false, $3, $4, now())
         on conflict (tenant_id, channel_id) do update set connected = false, error = $3, failures = $4, checked_at = now()",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(error)
    .bind(failures)
    .execute(pool)
    .await?;
    Ok(())
}

/// Something that waits to be taken in.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) tenant: String,
    pub(super) channel: String,
    pub(super) key: String,
    pub(super) lane: String,
    pub(super) body: Value,
    pub(super) attempts: i32,
    pub(super) came_at: Time,
}

/// Which may be taken in: what is due, with nothing before it in its chat.
const READY: &str = "u.state = 'waiting' and u.due_at <= $1 and not exists (
    select from react_messenger_update e
    where e.tenant_id = u.tenant_id and e.channel_id = u.channel_id and e.lane = u.lane and e.state = 'waiting'
      and (e.ordinal, e.position) < (u.ordinal, u.position))";

type Stored = (String, String, String, String, Value, i32, jiff_sqlx::Timestamp);

/// What may be taken in now.
pub(super) async fn ready(pool: &PgPool, now: Time) -> Result<Vec<Waiting>, sqlx::Error> {
    let ready = format!(
        "select u.tenant_id, u.channel_id, u.key, u.lane, u.body, u.attempts, u.came_at
         from react_messenger_update u where {READY} order by u.due_at, u.position limit {PAGE}"
    );
    let rows: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(ready)).bind(now.to_sqlx()).fetch_all(pool).await?;
    let waiting = |(tenant, channel, key, lane, body, attempts, came_at): Stored| Waiting {
        tenant,
        channel,
        key,
        lane,
        body,
        attempts,
        came_at: came_at.to_jiff(),
    };
    Ok(rows.into_iter().map(waiting).collect())
}

/// Whether anything may be taken in now.
pub(super) async fn is_any_ready(pool: &PgPool, now: Time) -> Result<bool, sqlx::Error> {
    let any = format!("select exists (select from react_messenger_update u where {READY})");
    sqlx::query_scalar(sqlx::AssertSqlSafe(any)).bind(now.to_sqlx()).fetch_one(pool).await
}

/// It was taken in, or never will be: its words are kept only of the latter.
pub(super) async fn settle(pool: &PgPool, one: &Waiting, error: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update react_messenger_update set state = case when $4::text is null then 'done' else 'failed' end, error = $4,
             attempts = attempts + 1, body = case when $4::text is null then null else body end
         where tenant_id = $1 and channel_id = $2 and key = $3",
    )
    .bind(&one.tenant)
    .bind(&one.channel)
    .bind(&one.key)
    .bind(error)
    .execute(pool)
    .await?;
    Ok(())
}

/// It is tried again later.
pub(super) async fn put_off(
    pool: &PgPool,
    one: &Waiting,
    until: Time,
    error: &str,
    counts: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update react_messenger_update set due_at = $4, error = $5, attempts = attempts + $6
         where tenant_id = $1 and channel_id = $2 and key = $3",
    )
    .bind(&one.tenant)
    .bind(&one.channel)
    .bind(&one.key)
    .bind(until.to_sqlx())
    .bind(error)
    .bind(i32::from(counts))
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets what messengers bring no more.
pub(super) async fn forget(pool: &PgPool, now: Time) -> Result<(), sqlx::Error> {
    sqlx::query("delete from react_messenger_update where came_at < $1 and state <> 'waiting'")
        .bind(now.checked_sub(KNOWN).unwrap_or(now).to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

/// How the channel of a messenger fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MessengerState")]
pub struct State {
    /// Whether Deskfold carries it: it was given what that needs. Otherwise a program does.
    pub carried: bool,
    /// What the bot is called there.
    pub called: Option<String>,
    /// Where the messenger brings what comes. Of Telegram it is told by Deskfold, of Meta it is entered there; none where nobody has said
    /// how this server is found (`--public-url`, by https): Telegram is then asked what has come.
    pub webhook_url: Option<String>,
    /// What Meta is to say when it asks whether this is the place.
    pub verify_token: Option<String>,
    /// Whether it was reached last time.
    pub connected: bool,
    /// What went wrong last.
    pub error: Option<String>,
    /// How many attempts failed one after the other.
    pub failures: i32,
    /// How much was brought, and waits to be taken in.
    pub waiting: i64,
    /// How much was brought within the last week and cannot be taken in.
    pub failed: i64,
    /// Why not, of the last.
    pub failed_error: Option<String>,
    /// When it was last looked after.
    pub checked_at: Option<Time>,
}

type Fares = (Option<String>, bool, Option<String>, i32, Option<jiff_sqlx::Timestamp>);

impl State {
    /// How a channel fares, as far as the database tells.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(pool: &PgPool, tenant: Id, channel: Id) -> Result<State, sqlx::Error> {
        let fares: Option<Fares> = sqlx::query_as(
            "select called, connected, error, failures, checked_at from react_messenger
             where tenant_id = $1 and channel_id = $2",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .fetch_optional(pool)
        .await?;
        let (called, connected, error, failures, checked_at) = fares.unwrap_or_default();
        let (waiting, failed, failed_error): (i64, i64, Option<String>) = sqlx::query_as(
            "select count(*) filter (where state = 'waiting'), count(*) filter (where state = 'failed'),
                    (array_agg(error order by position desc) filter (where state = 'failed'))[1]
             from react_messenger_update where tenant_id = $1 and channel_id = $2",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .fetch_one(pool)
        .await?;
        let checked_at = checked_at.map(jiff_sqlx::Timestamp::to_jiff);
        Ok(State { called, connected, error, failures, waiting, failed, failed_error, checked_at, ..State::default() })
    }
}

/// How long is waited between looking for what is due.
pub(super) const IDLE: Duration = Duration::from_secs(1);
