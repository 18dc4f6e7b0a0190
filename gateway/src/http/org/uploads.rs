//! Files: sent in one request or in several (tus 1.0), looked at by whoever sees what refers to them, and by whoever was handed a
//! signed address.

use axum::{
    Json,
    body::Body,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, head, patch, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use channels::files::{Part, Received, intake::Told, limits::Narrowed, names, resumable::Resumable};
use commands::{Accepted, Envelope};
use domain::{
    Aggregate, Authority, Id, Time, Via,
    org::upload::{New, Upload},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    auth::Caller,
    http::kernel::{
        request::{self, Nothing, POSITION, Params},
        routes::Routes,
        write::{Write, answer, is_new},
    },
    problem::Problem,
    uploads::{How, Of, Signed, too_large},
};

/// The permission to send files.
pub(in crate::http) const CREATE: &str = "upload.create";
/// The version of tus that is spoken.
const TUS: &str = "1.0.0";
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// What tus calls the bytes that follow.
const TUS_BYTES: &str = "application/offset+octet-stream";
/// How long a signed address lasts that nobody says more of, in seconds.
const LASTS: u32 = 3600;
/// How long one lasts at most, in seconds.
const LASTS_MOST: u32 = 7 * 24 * 3600;

/// `POST /uploads` and what comes in several requests under `/uploads/resumable`; the bytes, the small picture and a signed address
/// of each.
pub(in crate::http) fn routes() -> Routes {
    fn unlimited(handler: MethodRouter<App>) -> MethodRouter<App> {
        handler.layer(DefaultBodyLimit::disable())
    }
    Routes::new()
        .route(Method::POST, "/uploads", unlimited(post(send)))
        .post("/uploads/resumable", begin)
        .route(Method::HEAD, "/uploads/resumable/{id}", head(come))
        .route(Method::PATCH, "/uploads/resumable/{id}", unlimited(patch(go_on)))
        .delete("/uploads/resumable/{id}", give_up)
        .get("/uploads/{id}/content", content)
        .get("/uploads/{id}/thumbnail", thumbnail)
        .get("/uploads/{id}/link", link)
}

/// `GET /files/{signed}`, for whoever has the address.
pub(in crate::http) fn signed_routes() -> Routes {
    Routes::new().get("/files/{signed}", by_signature)
}

/// What is said of a file in the address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Named {
    /// Its name; `Content-Disposition` says it too.
    name: Option<String>,
    /// Say what would be written, and write nothing.
    #[allow(dead_code, reason = "read with every write's parameters")]
    dry_run: bool,
}

/// How bytes are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Shown {
    /// Have it saved, even where it may be shown.
    download: bool,
}

/// What address is asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Linked {
    /// How long it lasts, in seconds: 1 to 604800, an hour by default.
    expires_in: Option<u32>,
    /// Of the small picture.
    thumbnail: bool,
    /// Have it saved, even where it may be shown.
    download: bool,
}

/// An address that needs no key.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Link {
    /// The address, from this server's root on, or whole where the server knows what it is called.
    pub(in crate::http) url: String,
    /// Until when it is good.
    expires_at: Time,
}

fn told(name: Option<String>, headers: &HeaderMap) -> Result<Told, Problem> {
    let said = request::text(headers, "content-disposition")?.and_then(names::in_disposition);
    let media_type = request::text(headers, "content-type")?.unwrap_or_default().to_owned();
    Ok(Told { name: name.or(said).unwrap_or_default(), media_type })
}

fn part(tenant: Id, upload: Id) -> Part {
    Part { tenant, upload, name: Uuid::now_v7().simple().to_string() }
}

/// How many bytes the request says that it brings.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl App {
    fn must_have_room(&self) -> Result<(), Problem> {
        if self.log.room().is_full() { Err(Problem::storage_full()) } else { Ok(()) }
    }

    async fn receive_part(&self, part: &Part, body: Body, most: u64) -> Result<Received, Problem> {
        let received = self.uploads.files().receive(part, body.into_data_stream(), most).await?;
        self.uploads.count(received.bytes);
        Ok(received)
    }

    /// Takes in a file that is the body of a request, under the envelope that is made of what its write says.
    pub(in crate::http) async fn take_file<E: std::ops::Deref<Target = Envelope>>(
        &self,
        told: &Told,
        limits: &Narrowed,
        request: Request,
        (tenant, upload): (Id, Id),
        envelope: impl FnOnce(&[u8]) -> Result<E, Problem>,
    ) -> Result<Accepted, Problem> {
        self.must_have_room()?;
        if announced(request.headers()).is_some_and(|bytes| bytes > limits.largest) {
            return Err(too_large(limits.largest));
        }
        let part = part(tenant, upload);
        let parts = std::slice::from_ref(&part);
        let received = self.receive_part(&part, request.into_body(), limits.largest).await?;
        let kept = async {
            if !received.whole {
                return Err(Problem::bad_request("body_unreadable", "The body broke off."));
            }
            if received.bytes == 0 {
                return Err(channels::files::intake::Refusal::Empty.into());
            }
            let sent = self.uploads.files().examine(parts).await?;
            let envelope = envelope(format!("{} {}", sent.digest, told.name).as_bytes())?;
            Ok(self.uploads.intake.take_in(&envelope, told, limits, parts).await?)
        }
        .await;
        // What stays after a kill is swept.
        if let Err(fault) = self.uploads.files().delete_parts(parts).await {
            tracing::warn!(error = %fault, "a part of a file stays until it is swept");
        }
        kept
    }
}

async fn send(State(app): State<App>, write: SentWrite, request: Request) -> Result<Response, Problem> {
    let SentWrite { write, name } = write;
    write.caller.must(CREATE)?;
    let (tenant, upload) = (write.caller.tenant, app.new_id());
    let limits = app.uploads.intake.limits(tenant, None).await?;
    let told = told(name, request.headers())?;
    // What is wrong with the request is told before its body is waited for.
    drop(write.envelope(&app, upload, &[])?);
    let envelope = |said: &[u8]| write.envelope(&app, upload, said);
    let accepted = app.take_file(&told, &limits, request, (tenant, upload), envelope).await?;
    Ok(answer(&accepted, (is_new(&accepted) && !write.dry_run).then_some(Upload::PLURAL)))
}

/// A write of a file: as every write, with a name.
struct SentWrite {
    write: Write,
    name: Option<String>,
}

impl axum::extract::FromRequestParts<App> for SentWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> Result<SentWrite, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(Named { name, dry_run }) = Params::from_request_parts(parts, app).await?;
        Ok(SentWrite { write: Write::of(parts, caller, dry_run), name })
    }
}

/// Refuses whoever speaks another version of tus, or none.
fn must_speak_tus(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(TUS_RESUMABLE).is_some_and(|version| version == TUS) {
        return Ok(());
    }
    let detail = "This speaks tus 1.0: send Tus-Resumable: 1.0.0.";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version_unsupported", detail))
}

/// A number in one of tus' headers.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    value.ok_or_else(|| {
        let detail = format!("{name} is missing, or no whole number.");
        Problem::bad_request("tus_header_invalid", detail)
    })
}

/// What tus' metadata says of a file: `filename` and `filetype`, in Base64.
fn metadata(headers: &HeaderMap) -> Result<Told, Problem> {
    let invalid = || Problem::bad_request("tus_header_invalid", "Upload-Metadata is keys with values in Base64.");
    let mut told = Told { name: String::new(), media_type: String::new() };
    let Some(said) = headers.get(UPLOAD_METADATA) else { return Ok(told) };
    for pair in said.to_str().map_err(|_| invalid())?.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value =
            STANDARD.decode(value.trim()).ok().and_then(|value| String::from_utf8(value).ok()).ok_or_else(invalid)?;
        match key {
            "filename" | "name" => told.name = names::clean(&value),
            "filetype" | "type" => told.media_type = value.chars().filter(|c| !c.is_control()).take(200).collect(),
            _ => {}
        }
    }
    Ok(told)
}

fn with_tus(mut response: Response, file: Option<&Resumable>) -> Response {
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static(TUS));
    if let Some(file) = file {
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(file.received));
        headers.insert(UPLOAD_LENGTH, HeaderValue::from(file.length));
        let until = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&file.expires_at);
        if let Some(until) = until.ok().and_then(|until| HeaderValue::from_str(&until).ok()) {
            headers.insert(UPLOAD_EXPIRES, until);
        }
    }
    response
}

/// Begins a file that comes in several requests (tus: creation).
async fn begin(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(CREATE)?;
    must_speak_tus(&headers)?;
    app.must_have_room()?;
    let length = number(&headers, &UPLOAD_LENGTH)?;
    let limits = app.uploads.intake.limits(caller.tenant, None).await?;
    if length == 0 {
        return Err(channels::files::intake::Refusal::Empty.into());
    }
    if length > limits.largest {
        return Err(too_large(limits.largest));
    }
    let place = (caller.tenant, app.new_id());
    let file = app.uploads.intake.begin(place, caller.actor.clone(), metadata(&headers)?, length, app.now()).await?;
    let response = with_tus(StatusCode::CREATED.into_response(), Some(&file));
    let location = format!("/v1/uploads/resumable/{}", file.upload);
    let location = HeaderValue::from_str(&location).map_err(|error| Problem::broken(&error))?;
    Ok(([(header::LOCATION, location)], response).into_response())
}

/// One's own file that has not expired.
async fn resumable(app: &App, caller: &Caller, id: &str) -> Result<Resumable, Problem> {
    caller.must(CREATE)?;
    let unknown = || Problem::missing("upload_unknown", "There is no such upload on its way, or it has expired.");
    let id: Id = id.parse().map_err(|_| unknown())?;
    let file = app.uploads.intake.resumable(caller.tenant, id, app.now()).await?.ok_or_else(unknown)?;
    if file.actor != caller.actor { Err(unknown()) } else { Ok(file) }
}

/// Keeps a file that has come whole, if it is; also where that was cut short before.
async fn finish(app: &App, file: Resumable) -> Result<(Resumable, Option<Accepted>), Problem> {
    if file.completed || file.received < file.length {
        return Ok((file, None));
    }
    let limits = app.uploads.intake.limits(file.tenant, None).await?;
    let mut envelope = Envelope::new(file.tenant, file.upload, file.actor.clone(), Via::Api, app.now());
    // Whether whoever began it might was asked then.
    envelope.authority = Authority::full();
    match app.uploads.intake.finish(&file, &envelope, &limits).await {
        Ok(accepted) => Ok((Resumable { completed: true, ..file }, Some(accepted))),
        Err(refusal) => {
            let problem = Problem::from(refusal);
            if problem.status().is_client_error() {
                app.uploads.intake.give_up(file.tenant, file.upload).await?;
            }
            Err(problem)
        }
    }
}

/// How much has come (tus: core).
async fn come(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    must_speak_tus(&headers)?;
    let file = resumable(&app, &caller, &id).await?;
    let (file, _) = finish(&app, file).await?;
    Ok(with_tus(StatusCode::OK.into_response(), Some(&file)))
}

/// Takes in what follows (tus: core); with the last byte the file is kept.
async fn go_on(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    must_speak_tus(headers)?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != TUS_BYTES && kind != "application/octet-stream") {
        let detail = format!("Send the bytes as Content-Type: {TUS_BYTES}.");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail));
    }
    let offset = number(headers, &UPLOAD_OFFSET)?;
    let mut file = resumable(&app, &caller, &id).await?;
    app.must_have_room()?;
    let elsewhere = |received: u64| {
        let detail = format!("{received} bytes have come: go on from there.");
        Problem::new(StatusCode::CONFLICT, "upload_offset_mismatch", detail)
    };
    if offset != file.received {
        return Err(elsewhere(file.received));
    }
    let rest = file.length - file.received;
    if announced(headers).is_some_and(|bytes| bytes > rest) {
        return Err(too_large(file.length));
    }
    // It goes on when the connection breaks: what has come is written down by then, and nobody waits for the answer.
    let taken = tokio::spawn({
        let (app, file, body) = (app.clone(), file.clone(), request.into_body());
        async move {
            let part = part(file.tenant, file.upload);
            let received = app.receive_part(&part, body, rest).await?;
            let fits = received.bytes == 0 || app.uploads.intake.add(&file, &part, received.bytes).await?;
            Ok::<_, Problem>(fits.then_some(received.bytes))
        }
    });
    match taken.await.map_err(|error| Problem::broken(&error))?? {
        Some(bytes) => file.received += bytes,
        None => {
            let now = resumable(&app, &caller, &id).await?;
            return Err(elsewhere(now.received));
        }
    }
    let (file, accepted) = finish(&app, file).await?;
    let mut response = with_tus(StatusCode::NO_CONTENT.into_response(), Some(&file));
    if let Some(accepted) = accepted {
        response.headers_mut().insert(POSITION, HeaderValue::from(accepted.position));
    }
    Ok(response)
}

/// Gives up what has come so far (tus: termination).
async fn give_up(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    must_speak_tus(&headers)?;
    let file = resumable(&app, &caller, &id).await?;
    app.uploads.intake.give_up(file.tenant, file.upload).await?;
    Ok(with_tus(StatusCode::NO_CONTENT.into_response(), None))
}

/// An upload whose bytes are there, for whoever sees it.
async fn seen(app: &App, caller: &Caller, id: &str) -> Result<(Id, New), Problem> {
    caller.must("upload.read")?;
    let unknown = || Problem::missing("upload_unknown", "There is no such upload.");
    let id = id.parse().map_err(|_| unknown())?;
    app.must_show(caller, Upload::KIND, id).await?;
    let (upload, _) = app.commands.load_current::<Upload>(caller.tenant, id).await?;
    match &upload.file {
        Some(file) if upload.is_kept() => Ok((id, (**file).clone())),
        Some(_) => Err(Problem::new(StatusCode::GONE, "upload_deleted", "The file was deleted.")),
        None => Err(unknown()),
    }
}

async fn content(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Shown { download }): Params<Shown>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, file) = seen(&app, &caller, &id).await?;
    app.send_file(caller.tenant, &file, How { of: Of::Content, download, fresh: None }, &headers).await
}

async fn thumbnail(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, file) = seen(&app, &caller, &id).await?;
    app.send_file(caller.tenant, &file, How { of: Of::Thumbnail, download: false, fresh: None }, &headers).await
}

async fn link(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(asked): Params<Linked>,
) -> Result<Json<Link>, Problem> {
    let (upload, file) = seen(&app, &caller, &id).await?;
    let lasts = asked.expires_in.unwrap_or(LASTS);
    if !(1..=LASTS_MOST).contains(&lasts) {
        return Err(request::parameter_invalid("/expires_in", format!("expires_in is 1 to {LASTS_MOST} seconds.")));
    }
    let of = if asked.thumbnail { Of::Thumbnail } else { Of::Content };
    if of == Of::Thumbnail && file.thumbnail.is_none() {
        return Err(Problem::missing("thumbnail_missing", "There is no small picture of this file."));
    }
    Ok(Json(app.link(caller.tenant, upload, (of, asked.download), i64::from(lasts))?))
}

impl App {
    /// An address of a file that lasts so many seconds.
    pub(in crate::http) fn link(
        &self,
        tenant: Id,
        upload: Id,
        (of, download): (Of, bool),
        lasts: i64,
    ) -> Result<Link, Problem> {
        // Whole seconds, which is what an address says.
        let until = self.now().as_second().saturating_add(lasts);
        let expires_at = Time::from_second(until).map_err(|error| Problem::broken(&error))?;
        let signed = self.sign(&Signed { tenant, upload, of, download, expires_at })?;
        let root = self.config.sign_in.public_url.as_deref().unwrap_or_default();
        Ok(Link { url: format!("{root}/files/{signed}"), expires_at })
    }
}

async fn by_signature(
    State(app): State<App>,
    Path(signed): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::missing("file_unknown", "There is no such file, or its address has expired.");
    let signed = app.signed(&signed)?.ok_or_else(unknown)?;
    let (upload, _) = app.commands.load_current::<Upload>(signed.tenant, signed.upload).await?;
    let file = upload.file.as_deref().filter(|_| upload.is_kept()).ok_or_else(unknown)?;
    let fresh = Some(signed.expires_at.as_second().saturating_sub(app.now().as_second()));
    app.send_file(signed.tenant, file, How { of: signed.of, download: signed.download, fresh }, &headers).await
}
