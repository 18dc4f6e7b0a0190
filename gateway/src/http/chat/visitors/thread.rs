//! What was said, as a visitor reads it.

use axum::{Json, extract::State};
use domain::{
    Id, Personal, Time,
    chat::{
        chatbot::{self, Chatbot},
        conversation::{Conversation, Status},
    },
    org::{
        upload::{New, Upload},
        user::User,
    },
};
use projections::{
    AuthorKind,
    chat::conversation_messages::{Delivery, Direction, Row},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Known;
use crate::{
    app::App,
    http::kernel::request::Params,
    problem::Problem,
    uploads::{Of, Signed},
    visitors::Visiting,
};

/// Messages on a page.
const MOST: usize = 200;
/// For how many seconds addresses of files stay the same; each is good for as long again at least.
const ADDRESSES_LAST: i64 = 24 * 3600;

/// A file, as a visitor sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorFile")]
pub(in crate::http) struct Attached {
    /// Its id.
    id: Id,
    /// What it is called.
    name: Personal<String>,
    /// What its bytes say that it is.
    media_type: String,
    /// Its bytes.
    size: u64,
    /// Where it is, for whoever has the address.
    url: String,
    /// Where a small picture of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail: Option<Picture>,
}

/// A small picture of a file.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorThumbnail")]
struct Picture {
    /// Where it is, for whoever has the address.
    url: String,
    /// Its width.
    width: u32,
    /// Its height.
    height: u32,
}

impl Attached {
    pub(super) fn of(app: &App, tenant: Id, upload: Id, file: &New) -> Result<Attached, Problem> {
        // The same all day: a browser that has a picture does not ask for it again.
        let day = app.now().as_second().div_euclid(ADDRESSES_LAST);
        let expires_at = Time::from_second((day + 2) * ADDRESSES_LAST).map_err(|error| Problem::broken(&error))?;
        let root = app.config.sign_in.public_url.as_deref().unwrap_or_default();
        let address = |of| {
            let signed = app.sign(&Signed { tenant, upload, of, download: false, expires_at })?;
            Ok::<_, Problem>(format!("{root}/files/{signed}"))
        };
        let picture = |small: &domain::org::upload::Thumbnail| {
            let (width, height) = (small.width, small.height);
            Ok::<_, Problem>(Picture { url: address(Of::Thumbnail)?, width, height })
        };
        Ok(Attached {
            id: upload,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.size,
            url: address(Of::Content)?,
            thumbnail: file.thumbnail.as_ref().map(picture).transpose()?,
        })
    }
}

/// Who wrote a message, as a visitor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "VisitorMessageFrom")]
enum From {
    /// The visitor.
    Visitor,
    /// Somebody of the desk.
    Desk,
    /// A chatbot, a rule or a program.
    Bot,
}

/// A message, as a visitor sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorMessage")]
pub(in crate::http) struct Message {
    /// Its id.
    id: Id,
    /// Who wrote it.
    from: From,
    /// Who of the desk wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its text.
    body: Personal<String>,
    /// Files, those that were deleted left out.
    attachments: Vec<Attached>,
    /// When it was written.
    at: Time,
    /// How far one of the desk's has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Delivery>,
    /// What the page called one of the visitor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// Which of two of one moment comes first.
    position: i64,
}

impl Message {
    pub(super) async fn of(app: &App, tenant: Id, row: Row) -> Result<Message, Problem> {
        let is_colleague = row.author_kind.is_some_and(|kind| kind == AuthorKind::User);
        let from = match row.direction {
            Direction::Received => From::Visitor,
            Direction::Sent if is_colleague => From::Desk,
            Direction::Sent => From::Bot,
        };
        let name = match row.author_id.filter(|_| from == From::Desk) {
            Some(author) => Some(app.commands.load::<User>(tenant, author).await?.0.profile.name.0.clone()),
            None => None,
        };
        let mut attachments = Vec::new();
        for attached in &row.attachments {
            let (upload, _) = app.commands.load::<Upload>(tenant, attached.upload_id).await?;
            if let Some(file) = upload.file.as_deref().filter(|_| upload.is_kept()) {
                attachments.push(Attached::of(app, tenant, attached.upload_id, file)?);
            }
        }
        let called = row.external_id.filter(|_| from == From::Visitor);
        Ok(Message {
            id: row.message_id,
            from,
            name,
            body: row.body,
            attachments,
            at: row.written_at,
            state: row.delivery,
            external_id: called.and_then(|id| id.split_once(':').map(|(_, own)| own.to_owned())),
            position: row.written_position,
        })
    }
}

/// The answers that a chatbot offers, as long as it waits for one of them.
pub(super) async fn choices(app: &App, tenant: Id, state: &Conversation) -> Result<Vec<String>, Problem> {
    let Some((chatbot, version, step)) = state.waits_for() else { return Ok(Vec::new()) };
    let (chatbot, _) = app.commands.load::<Chatbot>(tenant, chatbot).await?;
    let script = chatbot::version_of(&chatbot, Some(version)).ok().map(|(_, script)| script);
    let step = script.and_then(|script| script.step(step));
    Ok(step.map(|step| step.answers.clone()).unwrap_or_default())
}

/// Which part of the messages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Part {
    /// What comes after this position.
    pub(super) after: Option<i64>,
    /// How many messages: 1 to 200.
    #[schemars(range(min = 1, max = 200))]
    pub(super) limit: Option<usize>,
}

/// The messages of a conversation, and where it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorThread")]
pub(in crate::http) struct Thread {
    /// Messages, oldest first.
    data: Vec<Message>,
    /// What to ask for next, as `after`; null on the last page.
    next: Option<i64>,
    /// Where the conversation stands.
    status: Status,
    /// How satisfied the visitor said to be: 1 to 5.
    rating: Option<u8>,
    /// Whether what they write is refused.
    blocked: bool,
    /// The answers that the chatbot offers to its question.
    choices: Vec<String>,
    /// As of where in the log.
    position: i64,
}

pub(super) async fn messages(
    State(app): State<App>,
    known: Known,
    Params(Part { after, limit }): Params<Part>,
) -> Result<Json<Thread>, Problem> {
    let Visiting { tenant, conversation, .. } = known.visiting;
    let limit = limit.unwrap_or(MOST);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit_invalid", format!("limit is 1 to {MOST}.")).at("/limit"));
    }
    let position = app.log.head().await?;
    let rows = projections::conversation_said(&app.log, tenant, conversation, position).await?;
    let begin = match after {
        Some(after) => rows.iter().position(|row| row.written_position == after).map_or(rows.len(), |at| at + 1),
        None => 0,
    };
    let more = rows.len() - begin > limit;
    let mut data = Vec::new();
    for row in rows.into_iter().skip(begin).take(limit) {
        data.push(Message::of(&app, tenant, row).await?);
    }
    let next = data.last().filter(|_| more).map(|message| message.position);
    let (state, _) = app.commands.load_current::<Conversation>(tenant, conversation).await?;
    let choices = choices(&app, tenant, &state).await?;
    let (status, rating, blocked) = (state.status, state.score(), state.is_blocked());
    Ok(Json(Thread { data, next, status, rating, blocked, choices, position }))
}
