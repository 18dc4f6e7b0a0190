//! What mails have besides commands and lists: the door by which raw ones come in, and what they say.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State},
    http::{Method, StatusCode, request::Parts},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use channels::mail::{
    addresses::Found,
    imap,
    intake::{Fault, LARGEST},
    read::{self, Shown},
};
use commands::Refused;
use domain::{
    Aggregate, Id, Personal,
    chat::{
        channel::{self, Channel, Kind},
        email::{self, Email},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::kernel::{
    commands::id_of,
    request::{self, Nothing, Params},
    routes::Routes,
    write::{Write, answer, is_new},
};
use crate::{app::App, auth::Caller, problem::Problem, uploads::Of};

/// For how long the addresses of pictures within a mail are good, in seconds.
const PICTURES_LAST: i64 = 3600;

/// `POST /channels/{id}/email`, `GET /channels/{id}/mailbox` and `GET /emails/{id}/content`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .route(Method::POST, "/channels/{id}/email", post(taken_in).layer(DefaultBodyLimit::disable()))
        .get("/emails/{id}/content", content)
        .get("/channels/{id}/mailbox", mailbox)
}

/// What is said of a raw mail in the address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Delivered {
    /// The address that it was delivered to, where whoever brings it knows.
    recipient: Option<String>,
    /// Say what would be written, and write nothing.
    #[allow(dead_code, reason = "read with every write's parameters")]
    dry_run: bool,
}

/// A write of a raw mail: as every write, with whom it was delivered to.
struct DeliveredWrite {
    write: Write,
    recipient: Option<String>,
}

impl FromRequestParts<App> for DeliveredWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<DeliveredWrite, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(Delivered { recipient, dry_run }) = Params::from_request_parts(parts, app).await?;
        Ok(DeliveredWrite { write: Write::of(parts, caller, dry_run), recipient })
    }
}

/// How a mail is shown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Asked {
    /// Show pictures that stand elsewhere: whoever sent the mail learns then that it was read.
    remote_images: bool,
}

/// A header field of a mail.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmailHeader")]
pub(in crate::http) struct Header {
    /// Its name.
    name: String,
    /// Its value, decoded.
    value: Personal<String>,
}

/// What a mail says.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmailContent")]
pub(in crate::http) struct Content {
    /// All of its text.
    text: Personal<String>,
    /// What is new in it: without what it quotes and without its signature.
    answer: Personal<String>,
    /// Its HTML, made safe to show: without scripts, forms, and what would leave its place. None where it has none.
    html: Option<Personal<String>>,
    /// How many pictures that stand elsewhere are not shown.
    blocked_images: usize,
    /// The fields of its head, as they came.
    headers: Vec<Header>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        match fault {
            Fault::Refused(refusal) => refusal.into(),
            Fault::Later(why) => {
                tracing::warn!(why, "a mail cannot be taken in now");
                Problem::unavailable("email_unavailable", "The mail cannot be kept now. Try again.")
            }
        }
    }
}

async fn taken_in(
    State(app): State<App>,
    DeliveredWrite { write, recipient }: DeliveredWrite,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    write.caller.must("channel.receive")?;
    let (tenant, id) = (write.caller.tenant, id_of::<Channel>(&write.caller, &id)?);
    let raw = body(request.into_body()).await?;
    let turn = write.envelope(&app, id, &raw)?;
    let (actor, expected) = (turn.actor.clone(), turn.expected);
    let (channel, actual) = app.commands.load_current::<Channel>(tenant, id).await?;
    if expected.is_some_and(|expected| expected != actual) {
        return Err(Refused::Stale { expected, actual }.into());
    }
    match channel.kind {
        Some(Kind::Email) => {}
        Some(_) => return Err(channel::UNABLE.into()),
        None => return Err(channel::UNKNOWN.into()),
    }
    let found = Found { tenant, id, channel };
    let accepted = match write.dry_run {
        true => app.post().would_take_in(&found, raw).await?,
        false => app.post().take_in(&found, actor, recipient.as_deref(), raw).await?,
    };
    Ok(answer(&accepted, (is_new(&accepted) && !write.dry_run).then_some(Email::PLURAL)))
}

async fn body(body: Body) -> Result<Bytes, Problem> {
    let most = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    to_bytes(body, most).await.map_err(|_| request::too_large())
}

/// How the mailbox of a channel fares.
async fn mailbox(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    Path(id): Path<String>,
) -> Result<Json<imap::State>, Problem> {
    caller.must("channel.read")?;
    let (tenant, id) = (caller.tenant, id_of::<Channel>(&caller, &id)?);
    let channel = app.commands.find::<Channel>(tenant, id).await?.ok_or(channel::UNKNOWN)?;
    let missing = || Problem::missing("mailbox_unknown", "The channel has no mailbox that mail is fetched from.");
    channel.mail.incoming.as_ref().ok_or_else(missing)?;
    let state = imap::State::of(&app.pool, tenant, id).await?;
    // It was connected a moment ago.
    let begins = imap::State { connected: false, error: None, failures: 0, taken: 0, checked_at: None };
    Ok(Json(state.unwrap_or(begins)))
}

async fn content(
    State(app): State<App>,
    caller: Caller,
    Params(Asked { remote_images }): Params<Asked>,
    Path(id): Path<String>,
) -> Result<Json<Content>, Problem> {
    caller.must("email.read")?;
    let (tenant, id) = (caller.tenant, id_of::<Email>(&caller, &id)?);
    let known = app.commands.find::<Email>(tenant, id).await?.ok_or(email::UNKNOWN)?;
    app.must_show(&caller, Email::KIND, id).await?;
    let Some(received) = known.received.as_deref() else {
        let body = known.new.as_ref().map(|new| new.body.clone()).unwrap_or_default();
        let headers = Vec::new();
        return Ok(Json(Content { text: body.clone(), answer: body, html: None, blocked_images: 0, headers }));
    };
    let gone = || Problem::missing("email_gone", "What came is not kept any more.");
    let (_, raw) = app.uploads.intake.content(tenant, received.raw).await?.ok_or_else(gone)?;
    let mail = tokio::task::spawn_blocking(move || read::read(&raw)).await.map_err(|error| Problem::broken(&error))?;
    let unreadable = |why: read::Unreadable| {
        let detail =
            format!("The mail cannot be read: {why}. It is kept as it came: look at the file {}.", received.raw);
        Problem::new(StatusCode::CONFLICT, "email_unreadable", detail)
    };
    let mail = mail.map_err(unreadable)?;
    let pictures = pictures(&app, tenant, id, &mail)?;
    let picture = |content_id: &str| pictures.get(content_id).cloned();
    let shown = mail.html.as_deref().map(|html| read::sanitised(html, &Shown { remote_images, inline: &picture }));
    let blocked_images = shown.as_ref().map_or(0, |shown| shown.blocked);
    let headers = mail
        .headers
        .iter()
        .map(|(name, value)| Header { name: name.clone(), value: Personal(value.clone()) })
        .collect();
    Ok(Json(Content {
        text: Personal(mail.text),
        answer: Personal(mail.answer),
        html: shown.map(|shown| Personal(shown.html)),
        blocked_images,
        headers,
    }))
}

/// The addresses of pictures that stand within a mail, by what it calls them.
fn pictures(app: &App, tenant: Id, email: Id, mail: &read::Mail) -> Result<BTreeMap<String, String>, Problem> {
    let mut pictures = BTreeMap::new();
    for (place, part) in mail.parts.iter().enumerate() {
        let Some(content_id) = &part.content_id else { continue };
        let upload = channels::mail::intake::part_of(email, place);
        pictures.insert(content_id.clone(), app.link(tenant, upload, (Of::Content, false), PICTURES_LAST)?.url);
    }
    Ok(pictures)
}
