//! One command for many records over HTTP: by ids or by a filter, tried or carried out, how far it is, what became of each, and
//! what takes it back.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use commands::Accepted;
use domain::{
    Aggregate, Id,
    catalogue::{self, Kind},
    data::{
        bulk::{Bulk, Command, Counts, Request, Status},
        import::Import,
    },
    kernel::reference::Subject,
};
use projections::{Export, List};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::kernel::{
    commands::{id_of, must_fit},
    lists::{question, reached},
    request::{self, Body, Nothing, POSITION, Params},
    routes::Routes,
    write::{Answer, Write, answer, answer_with},
};
use crate::{
    app::App,
    auth::{Caller, Pass},
    bulk::{MAX_IDS, store},
    problem::Problem,
};

/// The permission to begin one.
pub(in crate::http) const RUN: &str = "bulk.run";
/// How long progress waits at most, in seconds.
const MOST_WAIT: u64 = 60;
/// How often waiting progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Items on a page, unless it is said.
const PAGE: i64 = 100;
/// Most items on a page.
const MOST: i64 = 1000;

/// `POST /bulk`, and of each its progress, its items, its going on and its taking back; and the taking back of imports.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .post("/bulk", begin)
        .get("/bulk/{id}/progress", progress)
        .get("/bulk/{id}/items", items)
        .post("/bulk/{id}/resume", resume)
        .post("/bulk/{id}/undo", undo_bulk)
        .post("/imports/{id}/undo", undo_import)
}

/// What is asked of many records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BulkAsked")]
pub(in crate::http) struct Asked {
    /// The kind of the records, such as `ticket`.
    kind: String,
    /// The command that each is given, such as `close`.
    command: String,
    /// The body of that command.
    #[serde(default)]
    body: Map<String, Value>,
    /// The records, at most 10,000; or `filter`.
    #[serde(default)]
    ids: Option<Vec<Id>>,
    /// Which records: those of the kind's list that it finds now, however many; `{}` finds all.
    #[serde(default)]
    filter: Option<Value>,
    /// Only show what would happen to each.
    #[serde(default)]
    dry_run: bool,
}

/// What is asked of a taking back.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "UndoAsked")]
pub(in crate::http) struct Undo {
    /// Only show what would happen to each record.
    dry_run: bool,
}

/// The answer of every command, and where to go from here.
#[derive(Serialize)]
struct Started<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    links: Value,
}

fn links(bulk: Id) -> Value {
    let own = format!("/v1/{}/{bulk}", Bulk::PLURAL);
    let of = |what: &str| format!("{own}/{what}");
    json!({
        "self": own, "progress": of("progress"), "items": of("items"), "pause": of("pause"), "resume": of("resume"),
        "cancel": of("cancel"), "undo": of("undo"),
    })
}

async fn begin(State(app): State<App>, write: Write, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let caller = &write.caller;
    caller.must(RUN)?;
    if caller.is_outside() {
        return Err(Problem::forbidden(RUN));
    }
    let bytes = body.bytes.clone();
    let like = json!({ "kind": "ticket", "command": "close", "ids": [] });
    let asked: Asked = body.read(&like)?;
    let kind = kind_of(&asked.kind)?;
    check_command(&app, caller, kind, &asked).await?;
    let request = Request {
        kind: Some(kind.name.to_owned()),
        command: Some(asked.command.clone()),
        body: asked.body.clone(),
        filter: asked.filter.clone(),
        undoes: None,
        items: None,
        dry_run: asked.dry_run,
        requester: caller.actor.principal(),
    };
    let chosen = chosen(&app, caller, &headers, kind, &asked).await?;
    start(&app, &write, &bytes, request, None, chosen).await
}

/// The records that something is asked of.
enum Chosen {
    Named(Vec<Id>),
    Found(Box<Export>),
    /// What something wrote: found as it runs.
    Written,
}

fn kind_of(name: &str) -> Result<&'static Kind, Problem> {
    catalogue::kind(name)
        .ok_or_else(|| Problem::invalid("bulk_kind_unknown", format!("There is no kind of record {name}.")).at("/kind"))
}

/// Refuses what no record would take: a command that there is not, one that begins a record, a body that is no such command.
async fn check_command(app: &App, caller: &Caller, kind: &'static Kind, asked: &Asked) -> Result<(), Problem> {
    let Asked { command, body, .. } = asked;
    if !kind.commands.contains(command) || command == kind.create {
        let known = kind.commands.iter().filter(|name| *name != kind.create);
        let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
        let detail =
            format!("{} has no command {command} for records that are there. There are: {known}.", kind.plural);
        return Err(Problem::invalid("bulk_command_unknown", detail).at("/command"));
    }
    caller.must(&format!("{}.{command}", kind.name))?;
    let body = Value::Object(body.clone());
    if let Err(undecoded) = commands::read(kind.name, command, &body) {
        return Err(Problem::undecodable(undecoded.faults).below("/body"));
    }
    must_fit(app, caller, kind, command, None, &body).await.map_err(|problem| problem.below("/body"))
}

async fn chosen(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    kind: &'static Kind,
    asked: &Asked,
) -> Result<Chosen, Problem> {
    match (&asked.ids, &asked.filter) {
        (Some(ids), None) if ids.len() > MAX_IDS => {
            let detail = format!("At most {MAX_IDS} records are named; a filter finds any number.");
            Err(Problem::invalid("bulk_too_many", detail).at("/ids"))
        }
        (Some(ids), None) => {
            let mut seen = std::collections::HashSet::new();
            let ids: Vec<Id> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
            Ok(Chosen::Named(ids))
        }
        (None, Some(filter)) => {
            caller.must(&format!("{}.read", kind.name))?;
            let list = list_of(kind).ok_or_else(|| {
                let detail = format!("{} have no list that could be filtered: name them.", kind.plural);
                Problem::invalid("bulk_filter_unfit", detail).at("/filter")
            })?;
            let (request, custom) = question(list, app, caller, (Some(filter), None), None).await?;
            let request = request?;
            let wanted = request::min_position(app, headers, None).await?;
            reached(list, app, &request.sight, wanted).await?;
            let export = Export::begin(list, &app.read_models, &app.pool, caller.tenant, &request, custom).await?;
            Ok(Chosen::Found(Box::new(export)))
        }
        _ => {
            let detail = "Either ids or a filter say which records: {} finds all.";
            Err(Problem::invalid("bulk_which", detail).at("/ids"))
        }
    }
}

fn list_of(kind: &Kind) -> Option<&'static List> {
    projections::lists().find(|list| list.listed && list.read == kind.name && list.path == kind.plural)
}

/// Writes down of which records, and lets a runner begin.
async fn start(
    app: &App,
    write: &Write,
    bytes: &[u8],
    request: Request,
    undoes: Option<(i64, i64)>,
    chosen: Chosen,
) -> Result<Response, Problem> {
    if app.log.room().is_full() {
        return Err(Problem::storage_full());
    }
    let (bulk, caller) = (app.new_id(), &write.caller);
    let tenant = caller.tenant;
    let key = match caller.pass {
        Pass::Key(key) => Some(key),
        Pass::Session(_) => None,
    };
    store::begin(&app.pool, tenant, bulk, (&caller.actor, key), undoes).await?;
    let accepted = write_down(app, write, bytes, bulk, request, chosen).await;
    if write.dry_run || !accepted.as_ref().is_ok_and(|accepted| accepted.id == bulk) {
        store::discard(&app.pool, tenant, bulk).await?;
    }
    let accepted = accepted?;
    if write.dry_run {
        return Ok(answer(&accepted, None));
    }
    set_to_work(app, tenant, accepted.id).await?;
    let body = Json(Started { answer: Answer::from(&accepted), links: links(accepted.id) });
    let mut response = answer_with(&accepted, Some(Bulk::PLURAL), body);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

async fn write_down(
    app: &App,
    write: &Write,
    bytes: &[u8],
    bulk: Id,
    mut request: Request,
    chosen: Chosen,
) -> Result<Accepted, Problem> {
    let tenant = write.caller.tenant;
    let kind = request.kind.clone().unwrap_or_default();
    let items = match chosen {
        Chosen::Named(ids) => {
            store::add(&app.pool, tenant, bulk, &kind, 0, &ids).await?;
            Some(ids.len())
        }
        Chosen::Found(mut export) => {
            let mut found = 0;
            loop {
                let ids = export.next_ids().await?;
                if ids.is_empty() {
                    break Some(found);
                }
                store::add(&app.pool, tenant, bulk, &kind, i64::try_from(found).unwrap_or(i64::MAX), &ids).await?;
                found += ids.len();
            }
        }
        Chosen::Written => None,
    };
    if let Some(items) = items {
        store::total(&app.pool, tenant, bulk, items).await?;
        request.items = Some(items as u64);
    }
    let envelope = write.envelope(app, bulk, bytes)?;
    Ok(app.commands.dispatch::<Bulk>(&envelope, Command::Request(request)).await?)
}

/// Lets a runner take a bulk that the log says is at work. Whoever asks again with the same Idempotency-Key finds it where it has
/// come to since.
async fn set_to_work(app: &App, tenant: Id, id: Id) -> Result<(), Problem> {
    let (bulk, _) = app.commands.load_current::<Bulk>(tenant, id).await?;
    if bulk.status == Status::Running {
        store::ready(&app.pool, tenant, id).await?;
        app.bulks.notify_one();
    }
    Ok(())
}

async fn resume(State(app): State<App>, Path(id): Path<String>, write: Write, body: Body) -> Result<Response, Problem> {
    let caller = &write.caller;
    caller.must(RUN)?;
    let id = id_of::<Bulk>(caller, &id)?;
    app.must_show(caller, Bulk::KIND, id).await?;
    let bytes = body.bytes.clone();
    let Nothing {} = body.read(&json!({}))?;
    let envelope = write.envelope(&app, id, &bytes)?;
    let accepted = app.commands.dispatch::<Bulk>(&envelope, Command::Resume).await?;
    if !write.dry_run {
        set_to_work(&app, caller.tenant, id).await?;
    }
    Ok(answer(&accepted, None))
}

async fn undo_bulk(
    State(app): State<App>,
    Path(id): Path<String>,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_of::<Bulk>(&write.caller, &id)?;
    undo(&app, &write, Subject::new(Bulk::KIND, id), body).await
}

async fn undo_import(
    State(app): State<App>,
    Path(id): Path<String>,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_of::<Import>(&write.caller, &id)?;
    undo(&app, &write, Subject::new(Import::KIND, id), body).await
}

/// Takes back what a bulk or an import wrote, record by record, as a bulk of its own.
async fn undo(app: &App, write: &Write, undone: Subject, body: Body) -> Result<Response, Problem> {
    let stream = format!("{}-{}", undone.kind, undone.id);
    // Whoever has seen a version has seen that of what is taken back.
    let version = app.log.stream_version(&write.caller.tenant.to_string(), &stream).await?;
    let write = &write.of_copy(version)?;
    // Headers that make no sense are refused before anything is looked for.
    drop(write.envelope(app, undone.id, &body.bytes)?);
    let caller = &write.caller;
    caller.must(RUN)?;
    caller.must(&format!("{}.read", undone.kind))?;
    if caller.is_outside() {
        return Err(Problem::forbidden(RUN));
    }
    app.must_show(caller, &undone.kind, undone.id).await?;
    let bytes = body.bytes.clone();
    let Undo { dry_run } = body.read(&json!({}))?;
    let tenant = caller.tenant.to_string();
    let first = app.log.read_stream(&tenant, &stream, 0, eventstore::Direction::Forward, 1).await?;
    let Some(after) = first.first().map(|event| event.position) else {
        let detail = format!("There is no such {}.", undone.kind);
        return Err(Problem::missing(format!("{}_unknown", undone.kind), detail));
    };
    let until = app.log.head().await?;
    let request = Request {
        kind: None,
        command: None,
        body: Map::new(),
        filter: None,
        undoes: Some(undone),
        items: None,
        dry_run,
        requester: caller.actor.principal(),
    };
    start(app, write, &bytes, request, Some((after, until)), Chosen::Written).await
}

fn unknown() -> Problem {
    Problem::missing("bulk_unknown", "There is no such bulk.")
}

/// Parameters of progress.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "BulkWait")]
pub(in crate::http) struct Wait {
    /// Answer when the bulk has ended or is halted, or after so many seconds, at most 60.
    wait: u64,
}

/// How far a bulk is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkProgress")]
pub(in crate::http) struct Progress {
    /// The bulk.
    id: Id,
    /// `running`, `paused`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether it only shows what it would do.
    dry_run: bool,
    /// How many records it is about, once that is known.
    items_total: Option<i64>,
    /// What has become of them so far: `items = applied + unchanged + refused`.
    counts: Counts,
    /// Why records were refused, most frequent first.
    refusals: Vec<Reason>,
    /// Records a second so far.
    items_per_second: f64,
    /// Where to go from here.
    links: Value,
}

/// Why records were refused.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkRefusals")]
struct Reason {
    /// The refusal.
    code: String,
    /// What one of them says.
    detail: String,
    /// How many records were refused so.
    items: i64,
}

async fn progress(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Wait { wait }): Params<Wait>,
) -> Result<Response, Problem> {
    caller.must("bulk.read")?;
    let id = id_of::<Bulk>(&caller, &id)?;
    app.must_show(&caller, Bulk::KIND, id).await?;
    let until = tokio::time::Instant::now() + Duration::from_secs(wait.min(MOST_WAIT));
    loop {
        let found = store::find(&app.pool, caller.tenant, id).await?.ok_or_else(unknown)?;
        let (bulk, _) = app.commands.load::<Bulk>(caller.tenant, id).await?;
        let Some(request) = &bulk.request else { return Err(unknown()) };
        if found.at_work && tokio::time::Instant::now() < until && !app.stopping.is_cancelled() {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let status = match bulk.status {
            // The command is in the log before the job has ended.
            Status::Running | Status::Missing => "running",
            Status::Paused => "paused",
            _ if found.at_work => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        };
        let seconds = match (found.started_at, found.progressed_at) {
            (Some(from), Some(to)) => to.to_jiff().duration_since(from.to_jiff()).as_secs_f64(),
            _ => 0.0,
        };
        let refusals = store::refusals(&app.pool, caller.tenant, id).await?;
        let refusals = refusals.into_iter().map(|(code, detail, items)| Reason { code, detail, items });
        let done = found.counts.items as f64;
        let position = *app.log.tail().watch().borrow();
        let mut headers = HeaderMap::new();
        headers.insert(POSITION, position.into());
        let body = Progress {
            id,
            status,
            reason: found.reason,
            dry_run: request.dry_run,
            items_total: found.items_total,
            counts: found.counts,
            refusals: refusals.collect(),
            items_per_second: if seconds > 0.0 { (done / seconds * 10.0).round() / 10.0 } else { 0.0 },
            links: links(id),
        };
        return Ok((headers, Json(body)).into_response());
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkOutcome")]
pub(in crate::http) enum Outcome {
    /// It led to events.
    Applied,
    /// It was so already.
    Unchanged,
    /// It was refused.
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "unchanged",
            Outcome::Refused => "refused",
        }
    }
}

/// Which items.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "BulkItemsAsked")]
pub(in crate::http) struct Which {
    /// Only those that came out so.
    outcome: Option<Outcome>,
    /// Only items after this number.
    after: i64,
    /// Most items to answer with: 100 by default, at most 1000.
    limit: Option<i64>,
}

/// The records of a bulk, and what became of each.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkItems")]
pub(in crate::http) struct Items {
    /// The items.
    data: Vec<Item>,
    /// The number of the last of them, when there are more.
    next: Option<i64>,
}

/// A record, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BulkItem")]
struct Item {
    /// Its place in the bulk: 1, 2, 3, ...
    number: i64,
    /// The record.
    record: Subject,
    /// What became of it; absent until it is dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// The refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The place in the body that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// The events that were written, each with its type, and with its stream where it is another record's; with their data where
    /// it was only tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Value>,
    /// The position of the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
}

async fn items(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Which { outcome, after, limit }): Params<Which>,
) -> Result<Response, Problem> {
    caller.must("bulk.read")?;
    let id = id_of::<Bulk>(&caller, &id)?;
    app.must_show(&caller, Bulk::KIND, id).await?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        let detail = format!("limit is 1 to {MOST}, not {limit}.");
        return Err(Problem::invalid("limit_invalid", detail).at("/limit"));
    }
    store::find(&app.pool, caller.tenant, id).await?.ok_or_else(unknown)?;
    let found = store::items(&app.pool, caller.tenant, id, outcome.map(Outcome::name), after, limit).await?;
    let next = found.last().map(|item| item.number).filter(|_| found.len() as i64 == limit);
    let walled = caller.authority.is_walled();
    let mut data = Vec::with_capacity(found.len());
    for item in found {
        let record = item.record_id.parse().map_err(|error| Problem::broken(&error))?;
        // Whoever does not see a record is told nothing of it.
        if walled && !app.shows(&caller, &item.kind, record).await? {
            continue;
        }
        data.push(Item {
            number: item.number,
            record: Subject::new(&item.kind, record),
            outcome: item.outcome,
            code: item.code,
            detail: item.detail,
            pointer: item.pointer,
            events: item.events.map(|events| events.0),
            position: item.position,
        });
    }
    let position = *app.log.tail().watch().borrow();
    Ok(([(POSITION, position)], Json(Items { data, next })).into_response())
}
