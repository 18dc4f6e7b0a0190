//! Imports over HTTP: a file comes in, runs in the background, and tells how far it is and what may be there twice; entitlements
//! go out as CSV.

use std::time::Duration;

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Request, State, multipart::Field as Part},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use commands::Accepted;
use domain::{
    Aggregate, FieldError, Id, Via, catalogue,
    data::import::{Command, Import, Kind, Start, Status},
    desk::entitlement::Entitlement,
    kernel::{custom::Definitions, external::ExternalId},
    org::field::Field,
};
use encoding_rs::{Encoding, UTF_8};
use futures::stream;
use projections::{List, ListRequest, Listed, ReadModel, Sort, desk::product_holders::ProductHolders};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::kernel::{
    commands::id_of,
    csv::{self, Dialect},
    lists::{filter_of, invalid},
    request::{self, Body, Given, Nothing, POSITION, Params},
    routes::Routes,
    write::{Answer, Write, answer, answer_with},
};
use crate::{
    app::App,
    auth::Caller,
    import::{
        COLUMNS, CUSTOM, Columns, FileError, Guess, Header, Layout, Mapping, MappingError, Rows, Sheet, shipped_or,
        store,
    },
    problem::Problem,
};

/// The file is stored in pieces of this many bytes.
const PIECE: usize = 256 << 10;
/// Most bytes of a field that is not the file.
const TEXT: usize = 1 << 20;
/// Rows of a report that are read at once.
const REPORT_PAGE: i64 = 1000;
/// Most rows of a page of duplicates.
const MOST_DUPLICATES: u32 = 200;
/// How long progress waits at most, in seconds.
const MOST_WAIT: u64 = 60;
/// How often waiting progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `POST /imports`, and of each import its progress, its report of refused rows, its duplicates and its taking up again; and
/// `GET /entitlements.csv`.
pub(in crate::http) fn routes() -> Routes {
    let upload = post(upload).layer(DefaultBodyLimit::disable());
    Routes::new()
        .route(Method::POST, "/imports", upload)
        .get("/imports/{id}/progress", progress)
        .get("/imports/{id}/report", report)
        .get("/imports/{id}/duplicates", duplicates)
        .post("/imports/{id}/resume", resume)
        .get("/entitlements.csv", export)
}

/// What a form says of the file; a form that is put together by hand is read in any order.
#[derive(Default)]
struct Form {
    kind: Option<String>,
    source: Option<String>,
    mapping: Option<String>,
    dry_run: Option<String>,
    file: Option<Stored>,
}

/// A file that has been stored.
struct Stored {
    name: String,
    digest: String,
    bytes: usize,
    /// Its beginning, in which the header is.
    head: Vec<u8>,
    encoding: &'static Encoding,
}

/// What a checked form asks for.
struct Asked {
    start: Start,
    columns: Vec<String>,
    layout: Layout,
    bytes: i64,
}

/// The answer of every command, and where to go from here.
#[derive(Serialize)]
struct Started<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    links: Value,
}

async fn upload(State(app): State<App>, write: Write, request: Request) -> Result<Response, Problem> {
    write.caller.must("import.run")?;
    if app.log.room().is_full() {
        return Err(Problem::storage_full());
    }
    let form = Multipart::from_request(request, &app).await;
    let form = form.map_err(|error| Problem::bad_request("body_unreadable", error.body_text()))?;
    let (import, tenant) = (app.new_id(), write.caller.tenant);
    store::begin(&app.pool, tenant, import, &write.caller.actor).await?;
    let started = start(&app, &write, import, form).await;
    if write.dry_run || !started.as_ref().is_ok_and(|accepted| accepted.id == import) {
        store::discard(&app.pool, tenant, import).await?;
    }
    let accepted = started?;
    if write.dry_run {
        return Ok(answer(&accepted, None));
    }
    set_to_work(&app, tenant, accepted.id).await?;
    let own = place(accepted.id);
    let links = json!({
        "self": own,
        "progress": format!("{own}/progress"),
        "report": format!("{own}/report"),
        "duplicates": format!("{own}/duplicates"),
        "cancel": format!("{own}/cancel"),
    });
    let body = Json(Started { answer: Answer::from(&accepted), links });
    let mut response = answer_with(&accepted, Some(Import::PLURAL), body);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Lets a runner take an import that the log says is at work. Whoever asks again with the same Idempotency-Key finds it
/// where it has come to since.
async fn set_to_work(app: &App, tenant: Id, id: Id) -> Result<(), Problem> {
    let (import, _) = app.commands.load_current::<Import>(tenant, id).await?;
    if import.status == Status::Running {
        store::ready(&app.pool, tenant, id).await?;
        app.imports.notify_one();
    }
    Ok(())
}

fn place(import: Id) -> String {
    format!("/v1/{}/{import}", Import::PLURAL)
}

async fn start(app: &App, write: &Write, import: Id, form: Multipart) -> Result<Accepted, Problem> {
    let tenant = write.caller.tenant;
    let form = read(app, tenant, import, form).await?;
    let Asked { start, columns, layout, bytes } = check(form)?;
    let uploaded = store::Uploaded {
        kind: start.kind,
        source: &start.source,
        file_name: &start.file_name,
        mapping: start.mapping.as_deref(),
        dry_run: start.dry_run,
        digest: &start.digest,
        bytes,
        columns: &columns,
        layout,
    };
    // The digest of what is asked stands for the body, which is too large to be kept.
    let said = serde_json::to_vec(&start).map_err(|error| Problem::broken(&error))?;
    let envelope = write.envelope(app, import, &said)?.through(Via::Import);
    store::describe(&app.pool, tenant, import, &uploaded).await?;
    Ok(app.commands.dispatch::<Import>(&envelope, Command::Start(start)).await?)
}

/// Reads the form; the file goes straight into the database.
async fn read(app: &App, tenant: Id, import: Id, mut form: Multipart) -> Result<Form, Problem> {
    let mut read = Form::default();
    while let Some(part) = form.next_field().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_owned();
        let target = match name.as_str() {
            "file" if read.file.is_none() => {
                read.file = Some(keep(app, tenant, import, part).await?);
                continue;
            }
            "kind" => &mut read.kind,
            "source" => &mut read.source,
            "mapping" => &mut read.mapping,
            "dry_run" => &mut read.dry_run,
            "file" => return Err(Problem::invalid("file_twice", "An import brings in one file.").at("/file")),
            other => {
                let detail = format!("There is no field {other}; there are kind, source, mapping, dry_run and file.");
                return Err(Problem::invalid("body_invalid", detail).at(format!("/{other}")));
            }
        };
        *target = text_of(&name, part).await?;
    }
    Ok(read)
}

/// A field of a form that is a text; `None` when it is blank.
pub(super) async fn text_of(name: &str, mut part: Part<'_>) -> Result<Option<String>, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(unreadable)? {
        text.extend_from_slice(&chunk);
        if text.len() > TEXT {
            let detail = format!("{name} has more than {TEXT} bytes.");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
    }
    let text = String::from_utf8(text);
    let text =
        text.map_err(|_| Problem::invalid("text_invalid", format!("{name} is not UTF-8.")).at(format!("/{name}")))?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// A form that does not come whole.
pub(super) fn unreadable(error: axum::extract::multipart::MultipartError) -> Problem {
    Problem::bad_request("body_unreadable", error.body_text())
}

async fn keep(app: &App, tenant: Id, import: Id, mut part: Part<'_>) -> Result<Stored, Problem> {
    let limit = app.config.upload_limit;
    let name = part.file_name().filter(|name| !name.is_empty()).unwrap_or("upload.csv").to_owned();
    let mut stored = Stored { name, digest: String::new(), bytes: 0, head: Vec::new(), encoding: UTF_8 };
    let mut guess = Guess::new();
    let mut digest = Sha256::new();
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
    let mut chunk = 0;
    loop {
        let more = part.chunk().await.map_err(unreadable)?;
        if let Some(bytes) = &more {
            stored.bytes += bytes.len();
            if stored.bytes > limit {
                let detail = format!("The file is larger than the {limit} bytes that this server takes.");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
            }
            digest.update(bytes);
            guess.push(bytes);
            piece.extend_from_slice(bytes);
        }
        if piece.len() >= PIECE || (more.is_none() && !piece.is_empty()) {
            if chunk == 0 {
                stored.head = piece.clone();
            }
            store::store(&app.pool, tenant, import, chunk, &piece).await?;
            chunk += 1;
            piece.clear();
        }
        if more.is_none() {
            stored.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            stored.encoding = guess.encoding();
            return Ok(stored);
        }
    }
}

impl From<MappingError> for Problem {
    fn from(error: MappingError) -> Problem {
        let fault = |detail: String| FieldError { pointer: "/mapping".into(), code: "mapping_invalid".into(), detail };
        let detail = error.to_string();
        Problem::invalid("mapping_invalid", detail).with(error.0.into_iter().map(fault).collect())
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Problem {
        Problem::invalid("file_invalid", format!("The file: {error}.")).at("/file")
    }
}

/// Checks all that can be checked before a row is read.
fn check(mut form: Form) -> Result<Asked, Problem> {
    let required = |name: &str| Problem::invalid("required", format!("{name} is missing.")).at(format!("/{name}"));
    let named = form.kind.as_deref().map(str::trim).ok_or_else(|| required("kind"))?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == named).ok_or_else(|| {
        let detail = format!("kind is history, entitlements or records, not {named}.");
        Problem::invalid("kind_invalid", detail).at("/kind")
    })?;
    let dry_run = match form.dry_run.as_deref().map(str::trim) {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let detail = format!("dry_run is true or false, not {other}.");
            return Err(Problem::invalid("dry_run_invalid", detail).at("/dry_run"));
        }
    };
    let file = form.file.take().ok_or_else(|| required("file"))?;
    let head = |layout: Layout| -> Result<Header, FileError> {
        Ok(Rows::open(layout.decoded(&*file.head), layout)?.header().clone())
    };
    if let (Kind::Records, Some(text)) = (kind, form.mapping.as_deref()) {
        let fitted = shipped_or(text, || head(Layout::of(file.encoding, &file.head)))?.into_owned();
        form.mapping = Some(fitted);
    }
    let written = |delimiter: u8| Layout { encoding: file.encoding, ..Layout::separated_by(delimiter) };
    let (mapped_source, header, layout) = match (kind, form.mapping.as_deref()) {
        (Kind::History | Kind::Records, None) => return Err(required("mapping")),
        (Kind::History, Some(text)) => {
            let mapping = Mapping::parse(text)?;
            let layout = written(mapping.delimiter);
            let header = head(layout)?;
            mapping.check(&header)?;
            (mapping.source, header, layout)
        }
        (Kind::Entitlements, text) => {
            let columns = Columns::parse(text)?;
            let layout = written(columns.delimiter);
            let header = head(layout)?;
            columns.check(&header)?;
            (columns.source.or_else(|| Some("csv".into())), header, layout)
        }
        (Kind::Records, Some(text)) => {
            let sheet = Sheet::parse(text)?;
            let layout = sheet.layout(file.encoding, &file.head);
            let header = head(layout)?;
            sheet.check(&header)?;
            (sheet.source.or_else(|| Some("csv".into())), header, layout)
        }
    };
    let source =
        form.source.map(|source| source.trim().to_owned()).or(mapped_source).ok_or_else(|| required("source"))?;
    ExternalId { source: source.clone(), external_id: "-".into() }.check()?;
    let start =
        Start { source, kind, file_name: file.name, digest: file.digest, mapping: form.mapping, rows: None, dry_run };
    Ok(Asked { start, columns: header.names().to_vec(), layout, bytes: i64::try_from(file.bytes).unwrap_or(i64::MAX) })
}

/// Takes an import that failed or was cancelled up again where it stopped.
async fn resume(State(app): State<App>, Path(id): Path<String>, write: Write, body: Body) -> Result<Response, Problem> {
    let caller = &write.caller;
    caller.must("import.run")?;
    let id = id_of::<Import>(caller, &id)?;
    let bytes = body.bytes.clone();
    let Nothing {} = body.read(&json!({}))?;
    let (import, _) = app.commands.load_current::<Import>(caller.tenant, id).await?;
    let Some(start) = import.start.clone() else { return Err(unknown()) };
    let ended = matches!(import.status, Status::Failed | Status::Cancelled);
    if ended && !store::has_file(&app.pool, caller.tenant, id).await? {
        let detail = "The file is no longer kept: import it again, what is there already is passed over.";
        return Err(Problem::new(StatusCode::GONE, "import_file_gone", detail));
    }
    let envelope = write.envelope(&app, id, &bytes)?.through(Via::Import);
    let accepted = app.commands.dispatch::<Import>(&envelope, Command::Start(start)).await?;
    if !write.dry_run {
        set_to_work(&app, caller.tenant, id).await?;
    }
    Ok(answer(&accepted, None))
}

fn unknown() -> Problem {
    Problem::missing("import_unknown", "There is no such import.")
}

/// Parameters of progress.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Wait {
    /// Answer when the import has ended, or after so many seconds, at most 60.
    wait: u64,
}

/// How far an import is.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Progress {
    /// The import.
    id: Id,
    /// `running`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether it only shows what it would do.
    dry_run: bool,
    /// Size of the file.
    bytes: i64,
    /// How many rows the file has, once it has been read to its end.
    rows_total: Option<i64>,
    /// What has become of the rows so far: `rows = applied + unchanged + rejected`.
    counts: domain::data::import::Counts,
    /// Rows that led to records which may be the same as others: `links.duplicates` tells them.
    duplicates: i64,
    /// Rows a second so far.
    rows_per_second: f64,
    /// Where to go from here.
    links: Value,
}

async fn progress(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Wait { wait }): Params<Wait>,
) -> Result<Response, Problem> {
    caller.must("import.read")?;
    let id = id_of::<Import>(&caller, &id)?;
    app.must_show(&caller, Import::KIND, id).await?;
    let until = tokio::time::Instant::now() + Duration::from_secs(wait.min(MOST_WAIT));
    loop {
        let found = store::find(&app.pool, caller.tenant, id).await?.ok_or_else(unknown)?;
        let (import, _) = app.commands.load::<Import>(caller.tenant, id).await?;
        let Some(start) = &import.start else { return Err(unknown()) };
        if !found.ended && tokio::time::Instant::now() < until && !app.stopping.is_cancelled() {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let status = match import.status {
            // The command is in the log before the job has ended.
            Status::Running | Status::Missing => "running",
            _ if !found.ended => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        };
        let seconds = match (found.started_at, found.progressed_at) {
            (Some(from), Some(to)) => to.to_jiff().duration_since(from.to_jiff()).as_secs_f64(),
            _ => 0.0,
        };
        let rows = found.counts.rows as f64;
        let own = place(id);
        let position = *app.log.tail().watch().borrow();
        let mut headers = HeaderMap::new();
        headers.insert(POSITION, position.into());
        let body = Progress {
            id,
            status,
            reason: found.reason,
            dry_run: start.dry_run,
            bytes: found.bytes,
            rows_total: found.rows_total,
            counts: found.counts,
            duplicates: store::count_duplicates(&app.pool, caller.tenant, id).await?,
            rows_per_second: if seconds > 0.0 { (rows / seconds * 10.0).round() / 10.0 } else { 0.0 },
            links: json!({ "self": own, "report": format!("{own}/report"), "duplicates": format!("{own}/duplicates") }),
        };
        return Ok((headers, Json(body)).into_response());
    }
}

/// The refused rows as CSV: number, line, code and reason, then the row's own cells.
async fn report(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    caller.must("import.read")?;
    let id = id_of::<Import>(&caller, &id)?;
    app.must_show(&caller, Import::KIND, id).await?;
    let columns = store::columns(&app.pool, caller.tenant, id).await?.ok_or_else(unknown)?;
    let width = columns.len();
    let mut names: Vec<String> = ["row", "line", "code", "reason"].map(str::to_owned).into();
    names.extend(columns);
    let tenant = caller.tenant;
    let pages = stream::try_unfold(Some(0), move |after| {
        let app = app.clone();
        async move {
            let Some(after) = after else { return Ok(None) };
            let refused = store::refused(&app.pool, tenant, id, after, REPORT_PAGE).await?;
            let more = refused.len() as i64 == REPORT_PAGE;
            let next = refused.last().filter(|_| more).map(|last| last.row_number);
            let rows = refused.into_iter().map(|refused| {
                let mut row =
                    vec![refused.row_number.to_string(), refused.line.to_string(), refused.code, refused.reason];
                row.extend(refused.cells.0);
                row.resize(row.len().max(width + 4), String::new());
                row
            });
            Ok(Some((rows.collect(), next)))
        }
    });
    Ok(csv::file(&format!("import-{id}-rejected.csv"), Dialect::default(), names, pages))
}

/// Which duplicates of an import are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct DuplicatesPage {
    /// Those of rows after this one.
    after: i64,
    /// Of at most so many rows: 50 unless said otherwise, 200 at most.
    limit: Option<u32>,
}

/// What rows of an import led to that may be there twice.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Duplicates {
    /// By row.
    data: Vec<Duplicate>,
    /// The `after` of the next page; null behind the last.
    next: Option<i64>,
}

/// A row's record with others that may be the same.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Duplicate {
    /// The row, 1 being the first after the header.
    row: i64,
    /// Its first line in the file.
    line: i64,
    /// The kind of its record.
    kind: String,
    /// The record that was created or brought up to date; null where a rehearsal would create it.
    record: Option<Alike>,
    /// Those that may be the same: give the command under `links.merge` to make one of two.
    candidates: Vec<Alike>,
}

/// A record that may be the same as another.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Alike {
    /// Its id.
    id: Id,
    /// What it is called.
    name: Option<String>,
    /// By what it is like the row: `email`, `phone` (both stay with who has them) or `name`.
    by: Vec<String>,
    /// Where to go from here: itself, and the command that merges it into another, where its kind merges.
    links: Value,
}

async fn duplicates(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(DuplicatesPage { after, limit }): Params<DuplicatesPage>,
) -> Result<Json<Duplicates>, Problem> {
    caller.must("import.read")?;
    let id = id_of::<Import>(&caller, &id)?;
    app.must_show(&caller, Import::KIND, id).await?;
    store::columns(&app.pool, caller.tenant, id).await?.ok_or_else(unknown)?;
    let limit = match limit.unwrap_or(50) {
        limit @ 1..=MOST_DUPLICATES => i64::from(limit),
        limit => {
            let detail = format!("limit is 1 to {MOST_DUPLICATES}, not {limit}.");
            return Err(Problem::invalid("limit_invalid", detail).at("/limit"));
        }
    };
    let found = store::duplicates(&app.pool, caller.tenant, id, after, limit).await?;
    let next = found.last().map(|last| last.row_number).filter(|_| found.len() as i64 == limit);
    let mut data = Vec::new();
    for row in found {
        let Some(kind) = catalogue::kind(&row.kind) else { continue };
        let own: Option<Id> = row.record_id.parse().ok();
        let record = match own {
            Some(own) => alike(&app, &caller, kind, own, Vec::new()).await?,
            None => None,
        };
        let mut candidates = Vec::new();
        for candidate in row.candidates.0 {
            let found = alike(&app, &caller, kind, candidate.id, candidate.by).await?;
            let is_other = |found: &Alike| record.as_ref().is_none_or(|record| record.id != found.id);
            candidates.extend(found.filter(is_other));
        }
        // Merged since, or none of the caller's business.
        if !candidates.is_empty() {
            data.push(Duplicate { row: row.row_number, line: row.line, kind: row.kind, record, candidates });
        }
    }
    Ok(Json(Duplicates { data, next }))
}

/// A record as far as the caller sees it, or the one that goes on for it.
async fn alike(
    app: &App,
    caller: &Caller,
    kind: &'static catalogue::Kind,
    first: Id,
    by: Vec<String>,
) -> Result<Option<Alike>, Problem> {
    let (mut id, mut seen) = (first, vec![first]);
    let mut state = app.commands.state(&kind.need(id), caller.tenant).await?;
    while let Some(next) = kind.merged_into(&state).filter(|next| !seen.contains(next)) {
        seen.push(next);
        id = next;
        state = app.commands.state(&kind.need(id), caller.tenant).await?;
    }
    let Some(there) = kind.see(&state) else { return Ok(None) };
    if !app.shows(caller, kind.name, id).await? {
        return Ok(None);
    }
    let own = format!("/v1/{}/{id}", kind.plural);
    let mut links = json!({ "self": own });
    if kind.commands.contains("merge") {
        links["merge"] = format!("{own}/merge").into();
    }
    let name = there["name"].as_str().or(there["title"].as_str()).map(str::to_owned);
    Ok(Some(Alike { id, name, by, links }))
}

/// Which entitlements go out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Wanted {
    /// The filter tree as JSON text, the same as of the list of entitlements.
    filter: Option<String>,
    /// The position in the log that must be reflected.
    min_position: Option<i64>,
}

async fn export(
    State(app): State<App>,
    caller: Caller,
    query: Given<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("export.run")?;
    caller.must("entitlement.read")?;
    let Given { asked: wanted, mut faults } = query;
    let filter = faults.check(filter_of(wanted.filter.as_deref()))?.flatten();
    let fields = Field::id_for(caller.tenant, Entitlement::KIND);
    let (fields, _) = app.commands.load::<Field>(caller.tenant, fields).await?;
    let definitions: Definitions = fields.definitions.clone();
    let request =
        ListRequest::parse(List::of::<ProductHolders>(), filter.as_ref(), None, &definitions, None).map_err(invalid);
    let request = faults.check(request)?.unwrap_or_default();
    let request = ListRequest { sort: vec![Sort::ascending("id")], limit: projections::MAX_LIMIT, ..request };
    let position = faults.check(request::min_position(&app, &headers, wanted.min_position).await)?.flatten();
    faults.done()?;
    request::can_be_read(List::of::<ProductHolders>(), &app).await?;
    request::reach(&app, ProductHolders::NAME, position).await?;
    let request = ListRequest { sight: app.sight_at(&caller, position).await?, ..request };
    let keys: Vec<String> = definitions.keys().cloned().collect();
    let mut names: Vec<String> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    names.extend(keys.iter().map(|key| format!("{CUSTOM}{key}")));
    let tenant = caller.tenant;
    let pages = stream::try_unfold(Some(request), move |request| {
        let (app, keys) = (app.clone(), keys.clone());
        async move {
            let Some(request) = request else { return Ok(None) };
            let page = projections::list(List::of::<ProductHolders>(), &app.pool, tenant, &request).await?;
            let rows = page.data.iter().map(|row| cells(row.get(), &keys)).collect::<Result<_, _>>();
            let rows = rows.map_err(|error| Problem::broken(&error))?;
            let next = page.next.map(|after| ListRequest { after: Some(after), ..request });
            Ok(Some((rows, next)))
        }
    });
    Ok(csv::file(&format!("{}.csv", ProductHolders::PATH), Dialect::default(), names, pages))
}

/// An entitlement as a row of the file that an import takes.
fn cells(row: &str, keys: &[String]) -> Result<Vec<String>, serde_json::Error> {
    let row: Value = serde_json::from_str(row)?;
    let mut cells: Vec<String> = COLUMNS
        .iter()
        .map(|column| match *column {
            "product" => cell(&row["product_id"]),
            "holder" => cell(&row["holder_id"]),
            "price" => cell(&row["price"]["amount"]),
            "currency" => cell(&row["price"]["currency"]),
            column => cell(&row[column]),
        })
        .collect();
    cells.extend(keys.iter().map(|key| cell(&row["custom"][key])));
    Ok(cells)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_entitlement_goes_out_as_an_import_takes_it() {
        let row = json!({
            "id": "01", "product_id": "02", "product_name": "Hosting, large", "holder_kind": "company",
            "holder_id": "03",
            "holder_name": "Rossi", "source": "shop", "external_id": "7", "contract_number": null,
            "price": { "amount": "12.50", "currency": "EUR" }, "quantity": 3, "status": "active",
            "custom": { "seats": 5, "tags": ["a", "b"] }
        });
        let keys = ["seats".to_owned(), "tags".to_owned()];
        let cells = cells(&row.to_string(), &keys).unwrap();
        let text = Dialect::default().lines(&[cells]).unwrap();
        let wanted = "01,02,\"Hosting, large\",company,03,Rossi,shop,7,,,12.50,EUR,3,,,active,5,a;b\r\n";
        assert_eq!(String::from_utf8(text.to_vec()).unwrap(), wanted);
    }

    #[test]
    fn a_form_says_what_it_lacks() {
        let file = || {
            Some(Stored {
                name: "f".into(),
                digest: "0".repeat(64),
                bytes: 3,
                head: b"a,b\n".to_vec(),
                encoding: UTF_8,
            })
        };
        let history = || Form { kind: Some("history".into()), file: file(), ..Form::default() };
        let text = |form: Form| format!("{:?}", check(form).map(|_| ()).unwrap_err());
        assert!(text(Form::default()).contains("kind is missing"));
        assert!(text(Form { kind: Some("mail".into()), ..history() }).contains("not mail"));
        assert!(text(history()).contains("mapping is missing"));
        assert!(text(Form { file: None, ..history() }).contains("file is missing"));
        assert!(text(Form { dry_run: Some("maybe".into()), ..history() }).contains("dry_run is true or false"));
        assert!(text(Form { mapping: Some("[columns".into()), ..history() }).contains("line 1"));
    }
}
