//! What visitors of pages do: they see how the chat looks, write, read what is answered, follow it, and rate it. `/chat/{channel}/...`, for
//! pages of any origin that the channel allows; nobody is signed in here, and nothing here sets a cookie.

mod listening;
pub(in crate::http) mod proof;
pub(in crate::http) mod site;
pub(in crate::http) mod thread;
pub(in crate::http) mod writing;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use channels::inbound;
use commands::Envelope;
use domain::{
    ActorKind, Authority, Country, Id, Personal, Via,
    chat::{
        channel::{self, Channel, Display, Question},
        conversation::{Command, Conversation},
    },
    kernel::color::Color,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    app::App,
    http::{
        kernel::{
            request::{Body, Nothing, Params},
            routes::Routes,
        },
        pages as shown,
    },
    live::{Shown, Signal},
    problem::Problem,
    sign_in::Browser,
    visitors::{Token, Visiting, unknown},
};

/// The colour of a chat that was given none.
const USUAL: Color = Color::rgb(0x1d, 0x4e, 0xd8);
/// As how many messages a transcript counts, for whoever floods.
const TRANSCRIPT_COUNTS_AS: u32 = 10;
/// Messages that one receipt names at most.
const RECEIPTS: usize = 100;

/// Everything under `/chat/{channel}` that pages ask.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .route(Method::GET, "/chat/{channel}/config", get(config).options(preflight))
        .route(Method::GET, "/chat/{channel}/messages", get(thread::messages).options(preflight))
        .route(Method::POST, "/chat/{channel}/messages", post(writing::write))
        .route(
            Method::POST,
            "/chat/{channel}/uploads",
            post(writing::upload).layer(DefaultBodyLimit::disable()).options(preflight),
        )
        .route(Method::GET, "/chat/{channel}/stream", get(listening::follow).options(preflight))
        .route(Method::POST, "/chat/{channel}/signals", post(signal).options(preflight))
        .route(Method::POST, "/chat/{channel}/receipts", post(receipts).options(preflight))
        .route(Method::GET, "/chat/{channel}/challenge", get(proof::challenge).options(preflight))
        .route(Method::POST, "/chat/{channel}/proof", post(proof::shown).options(preflight))
        .route(Method::POST, "/chat/{channel}/transcript", post(transcript).options(preflight))
        .route(Method::POST, "/chat/{channel}/close", post(close).options(preflight))
        .route(Method::POST, "/chat/{channel}/rate", post(rate).options(preflight))
        .route(Method::POST, "/chat/{channel}/renew", post(renew).options(preflight))
        .route(Method::POST, "/chat/{channel}/forget", post(forget).options(preflight))
        .merge(site::routes())
}

async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The chat as a page, and the script that other pages load.
pub(in crate::http) fn pages() -> Router<App> {
    Router::new().route("/chat/{channel}", get(page)).route("/chat.js", get(script))
}

/// A chat on pages that visitors can reach.
#[derive(Clone)]
struct Chat {
    tenant: Id,
    id: Id,
    channel: Arc<Channel>,
}

impl FromRequestParts<App> for Chat {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Chat, Problem> {
        if let Some(chat) = parts.extensions.get::<Chat>() {
            return Ok(chat.clone());
        }
        let missing = || Problem::from(channel::UNKNOWN);
        let named = RawPathParams::from_request_parts(parts, app).await.map_err(|_| missing())?;
        let named = named.iter().find(|(name, _)| *name == "channel").map(|(_, channel)| channel);
        let id: Id = named.and_then(|channel| channel.parse().ok()).ok_or_else(missing)?;
        let tenant = app.tenant_of_channel(id).await?.ok_or_else(missing)?;
        let channel = app.commands.find::<Channel>(tenant, id).await?.ok_or_else(missing)?;
        if parts.uri.path().starts_with("/site/") {
            site::must_be_a_site(&channel)?;
        } else {
            if !channel.kind.is_some_and(|kind| kind.can().widget) {
                return Err(missing());
            }
            channel.must_converse()?;
        }
        let chat = Chat { tenant, id, channel };
        parts.extensions.insert(chat.clone());
        Ok(chat)
    }
}

impl Chat {
    /// Whether anybody of those who answer is there.
    pub(super) async fn is_attended(&self, app: &App) -> Result<bool, Problem> {
        Ok(inbound::is_attended(&app.commands, self.tenant, &self.channel).await?)
    }
}

/// Lets pages of the channel's origins in, and no others; whoever names no origin is no page.
pub(in crate::http) async fn allowed(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let checked = app.log.presence().guard(async {
        let chat = Chat::from_request_parts(&mut parts, &app).await?;
        let browser = Browser::from_request_parts(&mut parts, &app).await?;
        let origins = &chat.channel.settings.allowed_origins;
        let told = origin.as_ref().and_then(|origin| origin.to_str().ok());
        let is_ours = told.is_none_or(|told| told == browser.origin);
        if is_ours || origins.is_empty() || told.is_some_and(|told| origins.contains(told)) {
            return Ok(());
        }
        let detail = "Pages of this origin may not speak to the channel: add it to its allowed_origins.";
        Err(Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail))
    });
    let checked = checked.await.unwrap_or_else(|lost| Err(lost.into()));
    let mut response = match checked {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        // Which page asked is no secret to it; what it may not have it is not given.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let set = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, if-none-match, last-event-id"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after, etag"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        for (name, value) in set {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// The page on which the chat is to appear.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Where {
    /// Its path, by which display rules go; `/` without it.
    path: Option<String>,
}

/// How the chat looks, and to whom one would speak.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorConfig")]
pub(in crate::http) struct Config {
    /// The channel.
    channel: Id,
    /// Its name.
    name: String,
    /// The text beside the button.
    greeting: Option<String>,
    /// The colour.
    color: Color,
    /// The colour that is read on it.
    text_color: Color,
    /// How it appears on this page, for this visitor.
    display: Display,
    /// After how many seconds it opens by itself.
    delay_s: Option<u32>,
    /// Whether somebody who answers is there.
    operators_present: bool,
    /// Whether a chatbot speaks first.
    chatbot: bool,
    /// Most characters of a message.
    max_text: usize,
    /// Whether messages carry files.
    files: bool,
    /// Most bytes of one.
    max_file_bytes: u64,
    /// What is asked before the first message.
    questions: Vec<Question>,
    /// Whether something must be shown before the first message: GET challenge says what.
    protected: bool,
}

/// The country that a visitor comes from: what a proxy that is trusted says, and else what is known of the address.
fn country(app: &App, browser: &Browser, headers: &HeaderMap) -> Option<String> {
    let header = app.config.country_header.as_deref().filter(|_| browser.through_proxy);
    let told = header.and_then(|name| headers.get(name)?.to_str().ok()).and_then(code);
    told.or_else(|| app.countries.of(browser.address?))
}

/// The code of a country, in capitals.
fn code(told: &str) -> Option<String> {
    let told = told.trim().to_ascii_uppercase();
    told.parse::<Country>().is_ok().then_some(told)
}

async fn config(
    State(app): State<App>,
    chat: Chat,
    Params(Where { path }): Params<Where>,
    browser: Browser,
    headers: HeaderMap,
) -> Result<Json<Config>, Problem> {
    let operators_present = chat.is_attended(&app).await?;
    let (channel, looks) = (&chat.channel, &chat.channel.appearance);
    let rule = channel.rule_for(path.as_deref().unwrap_or("/"), country(&app, &browser, &headers).as_deref());
    let (display, delay_s) = rule.map_or((looks.display, looks.delay_s), |(_, rule)| (rule.display, rule.delay_s));
    let chatbot = match rule {
        Some((_, rule)) => inbound::speaking(&app.commands, chat.tenant, channel, rule).await?.is_some(),
        None => false,
    };
    let color = looks.color.unwrap_or(USUAL);
    let can = channel.can();
    let takes = can.filter(|can| can.files);
    let largest = match takes {
        Some(can) => app.uploads.intake.limits(chat.tenant, None).await?.most(can.max_file_bytes).largest,
        None => 0,
    };
    Ok(Json(Config {
        channel: chat.id,
        name: channel.name.clone(),
        greeting: looks.greeting.clone(),
        color,
        text_color: color.readable(),
        display,
        delay_s,
        operators_present,
        chatbot,
        max_text: can.map_or(0, |can| can.max_text),
        files: takes.is_some(),
        max_file_bytes: largest,
        questions: channel.questions.clone(),
        protected: channel.protection.asks(),
    }))
}

/// A visitor who has written before, by the token that the request is sent with.
struct Known {
    chat: Chat,
    visiting: Visiting,
}

impl FromRequestParts<App> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, Problem> {
        let token = Token::sent(&parts.headers)?;
        let chat = Chat::from_request_parts(parts, app).await?;
        let visiting = app.visiting(chat.id, &token).await?.ok_or_else(unknown)?;
        Ok(Known { chat, visiting })
    }
}

impl Known {
    fn envelope(&self, app: &App) -> Envelope {
        let Visiting { tenant, conversation, .. } = self.visiting;
        let mut envelope = Envelope::new(tenant, conversation, self.visiting.actor(), Via::Chat, app.now());
        envelope.authority = Authority::full();
        envelope.from_outside = true;
        envelope
    }

    /// Refuses whoever is kept out.
    async fn must_not_be_blocked(&self, app: &App) -> Result<(), Problem> {
        let Visiting { tenant, conversation, .. } = self.visiting;
        let (state, _) = app.commands.load::<Conversation>(tenant, conversation).await?;
        if state.is_blocked() { Err(channel::BLOCKED.into()) } else { Ok(()) }
    }

    async fn dispatch(&self, app: &App, command: Command) -> Result<(), Problem> {
        app.commands.dispatch::<Conversation>(&self.envelope(app), command).await?;
        Ok(())
    }
}

/// What a visitor does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorSignal")]
pub(in crate::http) struct Doing {
    /// Which.
    signal: Shown,
}

async fn signal(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Doing { signal } = body.read(&json!({ "signal": "typing" }))?;
    known.must_not_be_blocked(&app).await?;
    let Visiting { tenant, conversation, visitor: by, .. } = known.visiting;
    app.signals.show(tenant, Signal { conversation, signal, kind: ActorKind::Visitor, by });
    Ok(StatusCode::NO_CONTENT)
}

/// What has arrived at a visitor, and what was read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorReceipts")]
pub(in crate::http) struct Receipts {
    /// Messages that arrived.
    #[serde(default)]
    delivered: Vec<Id>,
    /// Messages that were seen.
    #[serde(default)]
    read: Vec<Id>,
}

async fn receipts(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Receipts { delivered, read } = body.read(&json!({ "delivered": [], "read": [] }))?;
    if delivered.len() + read.len() > RECEIPTS {
        return Err(Problem::invalid("receipts_invalid", format!("At most {RECEIPTS} messages at once.")));
    }
    let delivered = delivered.into_iter().map(|message_id| Command::MarkMessageDelivered { message_id });
    let read = read.into_iter().map(|message_id| Command::MarkMessageRead { message_id });
    let commands: Vec<Command> = delivered.chain(read).collect();
    if !commands.is_empty() {
        app.commands.dispatch_all::<Conversation>(&known.envelope(&app), commands).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn close(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    known.dispatch(&app, Command::Close).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How satisfied a visitor is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorRating")]
pub(in crate::http) struct Rating {
    /// 1 (bad) to 5 (good).
    #[schemars(range(min = 1, max = 5))]
    score: u8,
    /// In the visitor's words.
    #[serde(default)]
    text: Option<Personal<String>>,
}

async fn rate(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Rating { score, text } = body.read(&json!({ "score": 5 }))?;
    known.must_not_be_blocked(&app).await?;
    known.dispatch(&app, Command::Rate { score, text }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where what was said goes by mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorTranscript")]
pub(in crate::http) struct Transcript {
    /// An e-mail address.
    email: Personal<String>,
    /// The language of the mail, BCP 47.
    #[serde(default)]
    language: Option<String>,
}

async fn transcript(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    browser: Browser,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Transcript { email, language } = body.read(&json!({ "email": "maria@example.com" }))?;
    app.flood.take(browser.address, known.visiting.visitor, TRANSCRIPT_COUNTS_AS)?;
    known.dispatch(&app, Command::RequestTranscript { transcript_id: None, email, language }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Another token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorRenewal")]
pub(in crate::http) struct Renewal {
    /// `dfv_` and 32 random bytes in base64 for URLs, without padding.
    token: String,
}

async fn renew(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Renewal { token } = body.read(&json!({ "token": "dfv_..." }))?;
    app.renew(&known.visiting, &Token::read(&token)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    app.forget_visitor(&known.visiting).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The chat as a page of its own: where a link in a mail leads.
async fn page(chat: Chat, browser: Browser, headers: HeaderMap) -> Response {
    shown::chat(&headers, &browser, &chat.id.to_string(), &chat.channel.name)
}

/// The script that pages of others load.
async fn script() -> Result<Response, Problem> {
    let asset = web::asset_named("chat.js");
    let asset = asset.ok_or_else(|| Problem::missing("route_unknown", "There is no such script."))?;
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, Bytes::from_static(asset.text.as_bytes())).into_response())
}
