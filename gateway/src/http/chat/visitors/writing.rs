//! What visitors send: messages, and the files that go with them.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use channels::{
    files::{intake::Told as ToldFile, limits::Limits, names},
    inbound::{self, Inbound},
};
use commands::Envelope;
use domain::{
    Actor, ActorKind, Authority, Id, Personal, Via,
    chat::{
        channel,
        conversation::{Conversation, Visitor},
    },
    crm::contact::{Identity, IdentityKind},
    desk::ticket::Attachment,
    kernel::{email::is_email, valid::EMAIL_INVALID},
    org::upload::Upload,
};
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Chat, country, proof, thread::Attached};
use crate::{
    app::App,
    auth::unhex,
    http::kernel::request::{self, Body, Nothing, Params},
    problem::Problem,
    sealed,
    sign_in::Browser,
    visitors::{Token, unknown},
};

/// Files that a message has at most.
const FILES: usize = 10;
/// As how many messages a file counts, for whoever floods.
const FILE_COUNTS_AS: u32 = 5;

/// A user of the page's site, who it says it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorUser")]
struct Identified {
    /// Their id there.
    id: String,
    /// HMAC-SHA-256 of the id under the channel's secret, in hex.
    hash: String,
}

/// What a page tells of its visitor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "VisitorPage")]
pub(super) struct Told {
    /// A name.
    name: Option<Personal<String>>,
    /// The path of the page.
    path: Option<String>,
    /// The language, BCP 47.
    language: Option<String>,
}

/// What a visitor writes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorWrites")]
pub(in crate::http) struct Written {
    /// Made by the page: what is sent again under the same one is taken in once.
    external_id: String,
    /// The text; a message that has files may be without.
    #[serde(default)]
    body: Personal<String>,
    /// Files that were sent before, by what the page called them.
    #[serde(default)]
    files: Vec<String>,
    /// What the page tells.
    #[serde(default)]
    visitor: Told,
    /// Where an answer reaches them when they are gone.
    #[serde(default)]
    email: Option<Personal<String>>,
    /// Who the site says they are.
    #[serde(default)]
    user: Option<Identified>,
    /// What they answered to the channel's questions, by their keys; with the first message.
    #[serde(default)]
    answers: BTreeMap<String, Personal<String>>,
}

/// Where it was written down.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorWrote")]
pub(in crate::http) struct Taken {
    /// The conversation.
    conversation: Id,
    /// The message.
    message: Id,
    /// Where it stands in the log.
    position: i64,
}

pub(super) async fn write(
    State(app): State<App>,
    chat: Chat,
    Params(Nothing {}): Params<Nothing>,
    browser: Browser,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let token = Token::sent(&headers)?;
    let example = json!({ "external_id": "8d6e…", "body": "Good day" });
    let Written { external_id, body, files, visitor, email, user, answers } = body.read(&example)?;
    check_name(&external_id)?;
    if email.as_ref().is_some_and(|email| !is_email(email.trim())) {
        return Err(Problem::from(EMAIL_INVALID.at("/email")));
    }
    if files.len() > FILES {
        return Err(Problem::invalid("files_too_many", format!("A message has at most {FILES} files.")).at("/files"));
    }
    let known = app.admitted(chat.id, &token).await?.known()?;
    let holder = known.as_ref().map_or_else(|| token.holder(), |known| known.visitor);
    app.flood.take(browser.address, holder, 1)?;
    // For its own users the site vouches.
    if known.is_none() && user.is_none() {
        proof::must_be_shown(&app, &chat, &token).await?;
    }
    let attachments = attachments(&app, &chat, holder, &files).await?;
    let sender = match (&known, user) {
        (Some(known), _) => known.sender.clone(),
        (None, Some(user)) => {
            must_be_said_by_the_site(&app, &chat, &user).await?;
            format!("user:{}", user.id)
        }
        (None, None) => format!("visitor:{holder}"),
    };
    let own = format!("visitor:{holder}");
    if known.is_none()
        && inbound::is_revoked(&app.commands, chat.tenant, (chat.id, &chat.channel), &own, app.now()).await?
    {
        return Err(unknown());
    }
    let Told { name, path, language } = visitor;
    let visitor = Visitor { name, country: country(&app, &browser, &headers), path, language };
    let message = Inbound {
        // What one visitor calls a message is no other's.
        external_id: format!("{holder}:{external_id}"),
        sender: Some(sender.clone()),
        identity: email.map(|email| Identity::new(IdentityKind::Email, email)),
        visitor: Some(visitor),
        answers,
        body,
        attachments,
        written_at: None,
    };
    let envelope = envelope(&app, chat.tenant, chat.id, holder);
    let message_id = inbound::message_id(chat.id, &message.external_id);
    let accepted = inbound::take_in(&app.commands, &envelope, chat.id, message).await?;
    app.admit((chat.tenant, chat.id), &token, &sender, accepted.id).await?;
    let status = if accepted.events.is_empty() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Taken { conversation: accepted.id, message: message_id, position: accepted.position })))
}

/// As whom somebody writes whom nobody has let in yet.
fn envelope(app: &App, tenant: Id, record: Id, visitor: Id) -> Envelope {
    let actor = Actor { kind: ActorKind::Visitor, id: visitor, on_behalf_of: None };
    let mut envelope = Envelope::new(tenant, record, actor, Via::Chat, app.now());
    envelope.authority = Authority::full();
    envelope
}

fn check_name(external_id: &str) -> Result<(), Problem> {
    if (1..=200).contains(&external_id.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid("external_id_invalid", "external_id has 1 to 200 characters.").at("/external_id"))
}

/// The id of a visitor's file, which follows from whose it is and what the page calls it: nobody can name one of another's.
fn file_id(chat: &Chat, visitor: Id, external_id: &str) -> Id {
    Id::named(&["visitor's file", &chat.id.to_string(), &visitor.to_string(), external_id])
}

/// What a message has that names files.
async fn attachments(app: &App, chat: &Chat, visitor: Id, files: &[String]) -> Result<Vec<Attachment>, Problem> {
    let mut attachments = Vec::new();
    for (at, named) in files.iter().enumerate() {
        let upload_id = file_id(chat, visitor, named);
        let (upload, _) = app.commands.load_current::<Upload>(chat.tenant, upload_id).await?;
        let Some(file) = upload.file.as_deref().filter(|_| upload.is_kept()) else {
            let detail = "This visitor has sent no file of that name, or it was deleted: send it (POST uploads) before the message.";
            return Err(Problem::invalid("visitor_file_unknown", detail).at(format!("/files/{at}")));
        };
        let (name, media_type, size) = (file.name.clone(), Some(file.media_type.clone()), Some(file.size));
        attachments.push(Attachment { upload_id, name, media_type, size });
    }
    Ok(attachments)
}

/// What a page calls a file, and what it is called by people.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Named {
    /// By what the page calls it: the same is taken in once.
    external_id: String,
    /// What it is called by people.
    name: String,
}

/// Takes in a file that a message is to have.
pub(super) async fn upload(
    State(app): State<App>,
    chat: Chat,
    Params(Named { external_id, name }): Params<Named>,
    browser: Browser,
    request: Request,
) -> Result<(StatusCode, Json<Attached>), Problem> {
    let token = Token::sent(request.headers())?;
    check_name(&external_id)?;
    let can = chat.channel.can().filter(|can| can.files);
    let can = can.ok_or_else(|| Problem::from(channel::UNABLE))?;
    let known = app.admitted(chat.id, &token).await?.known()?;
    if known.is_none() {
        proof::must_be_shown(&app, &chat, &token).await?;
    }
    if let Some(known) = &known {
        let (conversation, _) = app.commands.load::<Conversation>(known.tenant, known.conversation).await?;
        if conversation.is_blocked() {
            return Err(channel::BLOCKED.into());
        }
    }
    let visitor = known.map_or_else(|| token.holder(), |known| known.visitor);
    app.flood.take(browser.address, visitor, FILE_COUNTS_AS)?;
    let types = can.file_types.iter().map(|kind| (*kind).to_owned()).collect();
    let limits = Limits { largest: can.max_file_bytes, types };
    let limits = app.uploads.intake.limits(chat.tenant, Some(&limits)).await?;
    let media_type = request::text(request.headers(), "content-type")?.unwrap_or_default().to_owned();
    let told = ToldFile { name: names::clean(&name), media_type };
    let id = file_id(&chat, visitor, &external_id);
    let envelope = envelope(&app, chat.tenant, id, visitor);
    let accepted = app.take_file(&told, &limits, request, (chat.tenant, id), |_| Ok(Box::new(envelope))).await?;
    let (upload, _) = app.commands.load_current::<Upload>(chat.tenant, id).await?;
    let status = if accepted.events.is_empty() { StatusCode::OK } else { StatusCode::CREATED };
    let missing = || Problem::missing("file_unknown", "The file was deleted.");
    let file = upload.file.as_deref().filter(|_| upload.is_kept()).ok_or_else(missing)?;
    Ok((status, Json(Attached::of(&app, chat.tenant, id, file)?)))
}

/// Refuses a user that the site did not vouch for.
async fn must_be_said_by_the_site(app: &App, chat: &Chat, user: &Identified) -> Result<(), Problem> {
    let refused = || {
        let detail = "hash is the HMAC-SHA-256 of id under the secret of the channel's credentials, in hex.";
        Problem::new(StatusCode::FORBIDDEN, "visitor_hash_invalid", detail).at("/user/hash")
    };
    let credential = chat.channel.credential.ok_or_else(refused)?;
    let open = sealed::opened(sealed::CHANNELS, &app.pool, &app.sign_in.seal);
    let secret = open(chat.tenant, chat.id, credential).await.map_err(|error| Problem::broken(&error))?;
    let secret = secret.ok_or_else(refused)?;
    let hash = unhex(&user.hash).ok_or_else(refused)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, user.id.as_bytes(), &hash).map_err(|_| refused())
}
