//! What webhooks have besides commands and lists: their secrets, with whose eyes they see, what was sent to them, and sending again.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use channels::{
    calling::{SECRET_BYTES, is_secret, secret_of},
    webhooks::{Look, check_url, message_id},
};
use commands::{Accepted, Refused};
use domain::{
    Actor, Aggregate, Id, Time,
    kernel::reference::Subject,
    work::webhook::{Command, Eyes, New, OVERLAP_S, SECRET_INVALID, Settings, TESTED, UNKNOWN, URL_UNFIT, Webhook},
};
use eventstore::Recorded;
use jiff_sqlx::Timestamp;
use rand::TryRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use sqlx::FromRow;

use crate::http::kernel::{
    commands::id_of,
    events::shown,
    request::{self, Body, Nothing, POSITION, Params},
    routes::Routes,
    write::{Answer, Write, answer, answer_with, is_new},
};
use crate::{
    app::App,
    auth::{Caller, Pass},
    problem::Problem,
    sealed,
};

/// Deliveries on a page unless asked otherwise.
const PAGE: i64 = 50;
/// Most deliveries on a page.
const MOST: i64 = 200;

/// `POST /webhooks`, what changes one, and what was sent to it.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .post("/webhooks", subscribe)
        .post("/webhooks/{id}/change", change)
        .post("/webhooks/{id}/rotate_secret", rotate_secret)
        .post("/webhooks/{id}/enable", enable)
        .post("/webhooks/{id}/test", test)
        .post("/webhooks/{id}/replay", replay)
        .get("/webhooks/{id}/progress", progress)
        .get("/webhooks/{id}/deliveries", deliveries)
        .post("/webhooks/{id}/deliveries/{delivery}/redeliver", redeliver)
}

/// What webhooks see, with the eyes of whoever set them up.
pub(crate) fn look(app: App) -> Look {
    Arc::new(move |tenant, eyes, events| {
        let app = app.clone();
        Box::pin(async move { seen(&app, tenant, eyes, events).await.map_err(|problem| problem.to_string()) })
    })
}

async fn seen(
    app: &App,
    tenant: Id,
    eyes: Eyes,
    events: Vec<Arc<Recorded>>,
) -> Result<Option<Vec<Option<String>>>, Problem> {
    let Some(caller) = app.standing(tenant, &Actor::user(eyes.user), eyes.key).await? else { return Ok(None) };
    let mut bodies = Vec::with_capacity(events.len());
    for event in events {
        // What a webhook is tried with is there for it alone.
        let told = &*event.kind == TESTED || app.sees_event(&caller, &event).await?;
        bodies.push(if told { Some(shown(&event)?.get().to_owned()) } else { None });
    }
    Ok(Some(bodies))
}

/// A new webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookAsked")]
pub(in crate::http) struct Asked {
    /// The address, http or https.
    #[schemars(length(min = 1, max = 2000))]
    url: String,
    /// The types of events, such as `ticket.opened`; `ticket.*` is all that happens to tickets, `*` everything.
    #[schemars(length(min = 1, max = 100))]
    types: Vec<String>,
    /// Which of them: a filter over `event.*` and the records that the event concerns, as they are after it; all by default.
    #[serde(default)]
    filter: Map<String, Value>,
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    description: Option<String>,
    /// The secret by which it is signed, `whsec_` and 24 to 64 bytes in base64; one is made by default.
    #[serde(default)]
    secret: Option<String>,
    /// Whether it works at once.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// What of a webhook is to be otherwise; what is not named stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookChange")]
pub(in crate::http) struct Change {
    /// The address.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2000))]
    url: Option<String>,
    /// The types of events.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    types: Option<Vec<String>>,
    /// Which of them; `{}` is all.
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    filter: Option<Map<String, Value>>,
    /// What it is for; an empty text takes it away.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    description: Option<String>,
}

/// Another secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookRotation")]
pub(in crate::http) struct Rotation {
    /// The secret, `whsec_` and 24 to 64 bytes in base64; one is made by default.
    #[serde(default)]
    secret: Option<String>,
    /// For how many seconds the former one still counts, so that everything is signed with both; a day by default.
    #[serde(default = "overlap")]
    #[schemars(range(min = 0, max = 2_592_000))]
    overlap_s: u32,
}

fn overlap() -> u32 {
    OVERLAP_S
}

/// The answer of every command, and the secret.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    /// It is shown this once: it is kept sealed, a retry with the same Idempotency-Key cannot show it again, and a rehearsal has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// An example of a secret.
pub(in crate::http) const EXAMPLE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a new webhook may be asked with.
pub(in crate::http) fn example() -> Value {
    json!({
        "url": "https://shop.example/hooks/deskfold", "types": ["ticket.opened", "ticket.closed"],
        "filter": { "field": "ticket.priority", "op": "gte", "value": 2 }, "description": "Pager of the night shift",
    })
}

/// With whose eyes a webhook sees that the caller sets up.
fn eyes(caller: &Caller, permission: &str) -> Result<Eyes, Problem> {
    if caller.is_outside() {
        return Err(Problem::forbidden(permission));
    }
    let key = match caller.pass {
        // In a colleague's name it sees what the colleague sees, who may do no more than the caller.
        Pass::Key(key) if caller.actor.on_behalf_of.is_none() => Some(key),
        _ => None,
    };
    Ok(Eyes { user: caller.actor.principal(), key })
}

fn must_be_callable(app: &App, url: &str) -> Result<(), Problem> {
    // What is no URL at all is told by whoever decides.
    match check_url(url, app.config.private_addresses) {
        Err(reason) if url.starts_with("http") => Err(URL_UNFIT.because(format!("{reason}.")).at("/url").into()),
        _ => Ok(()),
    }
}

/// The secret that was given, or a new one.
fn secret(given: Option<String>) -> Result<String, Problem> {
    match given {
        Some(secret) if is_secret(&secret) => Ok(secret),
        Some(_) => Err(SECRET_INVALID.at("/secret").into()),
        None => {
            let mut bytes = [0u8; SECRET_BYTES];
            rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| Problem::broken(&error))?;
            Ok(secret_of(&bytes))
        }
    }
}

/// Deletes what is not in force of a webhook's secrets.
async fn forget_others(app: &App, tenant: Id, id: Id) -> Result<(), Problem> {
    let (known, _) = app.commands.load_current::<Webhook>(tenant, id).await?;
    app.forget_other_secrets(sealed::WEBHOOKS, (tenant, id), known.credentials_at(app.now())).await
}

async fn subscribe(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    write.caller.must("webhook.subscribe")?;
    let eyes = eyes(&write.caller, "webhook.subscribe")?;
    let (tenant, id) = (write.caller.tenant, app.new_id());
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let asked: Asked = body.read(&example())?;
    must_be_callable(&app, &asked.url)?;
    let (secret, credential) = (secret(asked.secret)?, app.new_id());
    if !write.dry_run {
        app.keep_secret(sealed::WEBHOOKS, (tenant, id), credential, &secret).await?;
    }
    let description = asked.description.filter(|text| !text.is_empty());
    let settings = Settings { url: asked.url, types: asked.types, filter: asked.filter, description };
    let new = New { settings, enabled: asked.enabled, credential, eyes };
    let done = app.commands.dispatch::<Webhook>(&envelope, Command::Subscribe(new)).await;
    if !write.dry_run {
        forget_others(&app, tenant, id).await?;
    }
    let accepted = done?;
    let created = (is_new(&accepted) && !write.dry_run).then_some(Webhook::PLURAL);
    Ok(told(&accepted, created, write.dry_run, secret))
}

fn told(accepted: &Accepted, created: Option<&str>, dry_run: bool, secret: String) -> Response {
    let secret = (!accepted.repeated && !dry_run && !accepted.events.is_empty()).then_some(secret);
    answer_with(accepted, created, Json(Told { answer: Answer::from(accepted), secret }))
}

async fn change(State(app): State<App>, write: Write, Path(id): Path<String>, body: Body) -> Result<Response, Problem> {
    write.caller.must("webhook.change")?;
    let eyes = eyes(&write.caller, "webhook.change")?;
    let id = id_of::<Webhook>(&write.caller, &id)?;
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let asked: Change = body.read(&json!({ "types": ["ticket.*"] }))?;
    if let Some(url) = &asked.url {
        must_be_callable(&app, url)?;
    }
    let known = app.commands.find::<Webhook>(write.caller.tenant, id).await?.ok_or(UNKNOWN)?;
    let before = known.settings.clone().unwrap_or_default();
    let description = match asked.description {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None => before.description,
    };
    let settings = Settings {
        url: asked.url.unwrap_or(before.url),
        types: asked.types.unwrap_or(before.types),
        filter: asked.filter.unwrap_or(before.filter),
        description,
    };
    let done = app.commands.dispatch::<Webhook>(&envelope, Command::Change { settings, eyes }).await?;
    Ok(answer(&done, None))
}

async fn rotate_secret(
    State(app): State<App>,
    write: Write,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    write.caller.must("webhook.rotate_secret")?;
    let (tenant, id) = (write.caller.tenant, id_of::<Webhook>(&write.caller, &id)?);
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let Rotation { secret: given, overlap_s } = body.read(&json!({ "secret": EXAMPLE }))?;
    app.commands.find::<Webhook>(tenant, id).await?.ok_or(UNKNOWN)?;
    let (secret, credential) = (secret(given)?, app.new_id());
    if !write.dry_run {
        app.keep_secret(sealed::WEBHOOKS, (tenant, id), credential, &secret).await?;
    }
    let done = app.commands.dispatch::<Webhook>(&envelope, Command::RotateSecret { credential, overlap_s }).await;
    if !write.dry_run {
        forget_others(&app, tenant, id).await?;
    }
    Ok(told(&done?, None, write.dry_run, secret))
}

async fn enable(State(app): State<App>, write: Write, Path(id): Path<String>, body: Body) -> Result<Response, Problem> {
    write.caller.must("webhook.enable")?;
    let eyes = eyes(&write.caller, "webhook.enable")?;
    let id = id_of::<Webhook>(&write.caller, &id)?;
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let Nothing {} = body.read(&json!({}))?;
    Ok(answer(&app.commands.dispatch::<Webhook>(&envelope, Command::Enable { eyes }).await?, None))
}

async fn test(State(app): State<App>, write: Write, Path(id): Path<String>, body: Body) -> Result<Response, Problem> {
    write.caller.must("webhook.test")?;
    let id = id_of::<Webhook>(&write.caller, &id)?;
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let Nothing {} = body.read(&json!({}))?;
    let command = Command::Test { test: app.new_id() };
    Ok(answer(&app.commands.dispatch::<Webhook>(&envelope, command).await?, None))
}

/// From where.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct From {
    /// The position of the first event that is sent again, which must be said; that after the end of the log leaves out what has
    /// not been sent.
    from: Option<i64>,
    /// Say what would be written, and write nothing.
    dry_run: bool,
}

/// A replay as it was sent.
struct Replaying {
    write: Write,
    from: i64,
}

impl FromRequestParts<App> for Replaying {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Replaying, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(From { from, dry_run }) = Params::from_request_parts(parts, app).await?;
        // Where nothing is said, nothing can be sent: whoever decides tells that.
        Ok(Replaying { write: Write::of(parts, caller, dry_run), from: from.unwrap_or_default() })
    }
}

async fn replay(
    State(app): State<App>,
    Replaying { write, from }: Replaying,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    write.caller.must("webhook.replay")?;
    let id = id_of::<Webhook>(&write.caller, &id)?;
    let envelope = write.envelope(&app, id, format!("{from}").as_bytes())?;
    let Nothing {} = body.read(&json!({}))?;
    request::must_exist(&app, from.saturating_sub(1), "/from").await?;
    let command = Command::Replay { replay: app.new_id(), from };
    Ok(answer(&app.commands.dispatch::<Webhook>(&envelope, command).await?, None))
}

fn delivery_unknown() -> Problem {
    Problem::missing("webhook_delivery_unknown", "There is no such delivery, or it is kept no longer.")
}

async fn redeliver(
    State(app): State<App>,
    write: Write,
    Path((id, delivery)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    write.caller.must("webhook.redeliver")?;
    let id = id_of::<Webhook>(&write.caller, &id)?;
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let Nothing {} = body.read(&json!({}))?;
    app.commands.find::<Webhook>(write.caller.tenant, id).await?.ok_or(UNKNOWN)?;
    let position: Option<i64> = sqlx::query_scalar(
        "select position from react_webhook_delivery where tenant_id = $1 and webhook_id = $2 and id = $3",
    )
    .bind(write.caller.tenant.to_string())
    .bind(id.to_string())
    .bind(&delivery)
    .fetch_optional(&app.pool)
    .await?;
    let Some(position) = position else {
        // Whoever names a version is told first that it is another.
        let version = app.log.stream_version(&write.caller.tenant.to_string(), &Webhook::stream(id)).await?;
        if envelope.expected.is_some_and(|expected| expected != version) {
            return Err(Refused::Stale { expected: envelope.expected, actual: version }.into());
        }
        return Err(delivery_unknown());
    };
    let event = app.log.read_positions(&write.caller.tenant.to_string(), &[position]).await?.into_iter().next();
    let event = event.ok_or_else(delivery_unknown)?;
    // Whoever does not see the event is told nothing of its delivery.
    if !app.sees_event(&write.caller, &event).await? {
        return Err(delivery_unknown());
    }
    let command = Command::Redeliver { redelivery: app.new_id(), position };
    Ok(answer(&app.commands.dispatch::<Webhook>(&envelope, command).await?, None))
}

/// How far a webhook is.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "WebhookProgress")]
pub(in crate::http) struct Progress {
    /// Up to this position of the log everything has been taken, or waits for another attempt, or is none of its business.
    sent_to: Option<i64>,
    /// How many records have an event that waits for another attempt.
    waiting: i64,
    /// How many attempts have failed since the last that succeeded.
    failures: i32,
    /// Since when every attempt has failed.
    failing_since: Option<Time>,
    /// Until when it is left alone.
    rests_until: Option<Time>,
    /// When something was last taken.
    delivered_at: Option<Time>,
    /// The end of the log.
    position: i64,
}

#[derive(FromRow)]
struct ProgressRow {
    position: i64,
    failures: i32,
    failing_since: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    waiting: i64,
}

async fn progress(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    let id = known(&app, &caller, &id).await?;
    let row: Option<ProgressRow> = sqlx::query_as(
        "select position, failures, failing_since, rests_until, delivered_at,
                (select count(*) from react_webhook_lane l where l.tenant_id = w.tenant_id and l.webhook_id = w.webhook_id) as waiting
         from react_webhook w where tenant_id = $1 and webhook_id = $2",
    )
    .bind(caller.tenant.to_string())
    .bind(id.to_string())
    .fetch_optional(&app.pool)
    .await?;
    let position = app.log.head().await?;
    let time = |stored: Option<Timestamp>| stored.map(Timestamp::to_jiff);
    let told = row.map_or(Progress { position, ..Progress::default() }, |row| Progress {
        sent_to: Some(row.position),
        waiting: row.waiting,
        failures: row.failures,
        failing_since: time(row.failing_since),
        rests_until: time(row.rests_until),
        delivered_at: time(row.delivered_at),
        position,
    });
    Ok(([(POSITION, position)], Json(told)).into_response())
}

/// The webhook that a path names, if the caller sees it.
async fn known(app: &App, caller: &Caller, segment: &str) -> Result<Id, Problem> {
    caller.must("webhook.read")?;
    let id = id_of::<Webhook>(caller, segment)?;
    app.must_show(caller, Webhook::KIND, id).await?;
    app.commands.find::<Webhook>(caller.tenant, id).await?.ok_or(UNKNOWN)?;
    Ok(id)
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookDeliveryStatus")]
pub(in crate::http) enum Status {
    /// It was taken.
    Delivered,
    /// It was not: where `next_attempt_at` is told it is tried again.
    Failed,
    /// It was not for three days, and is not tried again by itself.
    GivenUp,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::GivenUp => "given_up",
        }
    }
}

/// Which deliveries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "WebhookDeliveriesAsked")]
pub(in crate::http) struct Which {
    /// Only those that came out so.
    status: Option<Status>,
    /// Only of this event, by its position.
    event: Option<i64>,
    /// Only those before this one: the `next` of the page before.
    after: Option<Id>,
    /// Most deliveries to answer with: 50 by default, at most 200.
    limit: Option<i64>,
}

/// What was sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookRequest")]
struct Sent {
    /// Its headers.
    headers: Value,
    /// Its body: the event.
    #[schemars(with = "Value")]
    body: Option<Box<RawValue>>,
}

/// What was answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookResponse")]
struct Answered {
    /// The status.
    status: i32,
    /// The headers.
    headers: Value,
    /// The first bytes of the body, as text.
    body: String,
}

/// An attempt to tell a webhook of an event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDelivery")]
struct Delivery {
    /// Its id.
    id: Id,
    /// What is sent as `webhook-id`: the same for every attempt to tell of this event.
    message_id: String,
    /// The position of the event.
    event: i64,
    /// Its type.
    event_type: String,
    /// The record that it happened to.
    record: Option<Subject>,
    /// Why it was sent: `event`, `test` or `redelivery`.
    cause: String,
    /// Which attempt it was since the event was first due: 1, 2, 3, ...
    attempt: i32,
    /// What came of it: `delivered`, `failed` or `given_up`.
    status: String,
    /// Where it went.
    url: String,
    /// What was sent.
    request: Sent,
    /// What was answered; null when nothing was.
    response: Option<Answered>,
    /// What went wrong.
    error: Option<String>,
    /// When it was sent.
    started_at: Time,
    /// How many milliseconds that took.
    took_ms: i64,
    /// When it is tried again, as was thought then.
    next_attempt_at: Option<Time>,
}

/// What was sent to a webhook of late.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDeliveries")]
pub(in crate::http) struct Deliveries {
    /// The attempts, the newest first.
    data: Vec<Delivery>,
    /// What to ask for the next page with as `after`, when there is more.
    next: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    position: i64,
    #[sqlx(rename = "type")]
    event_type: String,
    cause: String,
    attempt: i32,
    status: String,
    url: String,
    request_headers: Value,
    response_status: Option<i32>,
    response_headers: Option<Value>,
    response_body: Option<String>,
    error: Option<String>,
    started_at: Timestamp,
    took_ms: i64,
    next_attempt_at: Option<Timestamp>,
}

async fn deliveries(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Which { status, event, after, limit }): Params<Which>,
) -> Result<Response, Problem> {
    let id = known(&app, &caller, &id).await?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        let detail = format!("limit is 1 to {MOST}, not {limit}.");
        return Err(Problem::invalid("limit_invalid", detail).at("/limit"));
    }
    let rows: Vec<Row> = sqlx::query_as(
        "select id, position, type, cause, attempt, status, url, request_headers, response_status, response_headers,
                response_body, error, started_at, took_ms, next_attempt_at
         from react_webhook_delivery
         where tenant_id = $1 and webhook_id = $2 and ($3::text is null or status = $3)
           and ($4::bigint is null or position = $4) and ($5::text is null or id < $5)
         order by id desc limit $6",
    )
    .bind(caller.tenant.to_string())
    .bind(id.to_string())
    .bind(status.map(Status::name))
    .bind(event)
    .bind(after.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(&app.pool)
    .await?;
    let next = rows.last().map(|row| row.id.clone()).filter(|_| rows.len() as i64 == limit);
    let mut positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
    positions.sort_unstable();
    positions.dedup();
    let events = app.log.read_positions(&caller.tenant.to_string(), &positions).await?;
    let mut bodies = HashMap::new();
    for event in &events {
        if app.sees_event(&caller, event).await? {
            bodies.insert(event.position, (subject(event), shown(event)?));
        }
    }
    // Whoever does not see an event is told nothing of its deliveries.
    let seen = |row: Row| {
        let (record, body) = bodies.get(&row.position)?;
        Some(delivery(id, row, record.clone(), body.clone()))
    };
    let data = rows.into_iter().filter_map(seen).collect();
    let position = *app.log.tail().watch().borrow();
    Ok(([(POSITION, position)], Json(Deliveries { data, next })).into_response())
}

fn subject(event: &Recorded) -> Option<Subject> {
    Some(Subject::new(event.category(), event.key().parse().ok()?))
}

fn delivery(webhook: Id, row: Row, record: Option<Subject>, body: Box<RawValue>) -> Delivery {
    let response = row.response_status.map(|status| Answered {
        status,
        headers: row.response_headers.unwrap_or_default(),
        body: row.response_body.unwrap_or_default(),
    });
    Delivery {
        id: row.id.parse().unwrap_or(Id::NIL),
        message_id: message_id(webhook, row.position),
        event: row.position,
        event_type: row.event_type,
        record,
        cause: row.cause,
        attempt: row.attempt,
        status: row.status,
        url: row.url,
        request: Sent { headers: row.request_headers, body: Some(body) },
        response,
        error: row.error,
        started_at: row.started_at.to_jiff(),
        took_ms: row.took_ms,
        next_attempt_at: row.next_attempt_at.map(Timestamp::to_jiff),
    }
}
