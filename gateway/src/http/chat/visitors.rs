//! What visitors of pages do: they see how the chat looks, write, read what is answered, follow it, and rate it. `/chat/{channel}/...`, for
//! pages of any origin that the channel allows; nobody is signed in here, and nothing here sets a cookie.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response, sse::Event},
    routing::{get, post},
};
use channels::inbound::{self, Inbound};
use commands::Envelope;
use domain::{
    ActorKind, Aggregate, Authority, Country, Id, Personal, Time, Via,
    chat::{
        channel::{self, Channel, Display},
        conversation::{Command, Conversation, Status, Visitor},
    },
    crm::contact::{Identity, IdentityKind},
    kernel::color::Color,
    org::user::User,
};
use eventstore::{Query, Recorded};
use projections::{
    AuthorKind,
    chat::conversation_messages::{Delivery, Direction, Row},
};
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{broadcast, watch};

use crate::{
    app::App,
    auth::unhex,
    channel_secrets,
    http::{
        kernel::{
            request::{self, Body, Nothing, Params},
            stream::{HEARTBEAT, PAGE, sse},
        },
        pages,
    },
    live::{Sent, Shown, Signal},
    problem::Problem,
    sign_in::Browser,
    visitors::{LOOKED_AT_EVERY, Token, Visiting, unknown},
};

/// The colour of a chat that was given none.
const USUAL: Color = Color::rgb(0x1d, 0x4e, 0xd8);
/// Messages on a page.
const MOST: usize = 200;
/// Messages that one receipt names at most.
const RECEIPTS: usize = 100;

/// Everything under `/chat/{channel}`.
pub(in crate::http) fn routes(app: &App) -> Router<App> {
    let preflight = || async { StatusCode::NO_CONTENT };
    Router::new()
        .route("/chat/{channel}/config", get(config).options(preflight))
        .route("/chat/{channel}/messages", get(messages).post(write).options(preflight))
        .route("/chat/{channel}/stream", get(follow).options(preflight))
        .route("/chat/{channel}/signals", post(signal).options(preflight))
        .route("/chat/{channel}/receipts", post(receipts).options(preflight))
        .route("/chat/{channel}/close", post(close).options(preflight))
        .route("/chat/{channel}/rate", post(rate).options(preflight))
        .route("/chat/{channel}/renew", post(renew).options(preflight))
        .route("/chat/{channel}/forget", post(forget).options(preflight))
        .route_layer(middleware::from_fn_with_state(app.clone(), allowed))
        .route("/chat/{channel}", get(page))
        .route("/chat.js", get(script))
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
        let Path(named) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| missing())?;
        let id: Id = named.parse().map_err(|_| missing())?;
        let tenant = app.tenant_of_channel(id).await?.ok_or_else(missing)?;
        let channel = app.commands.find::<Channel>(tenant, id).await?.ok_or_else(missing)?;
        if !channel.kind.is_some_and(|kind| kind.can().widget) {
            return Err(missing());
        }
        channel.must_converse()?;
        let chat = Chat { tenant, id, channel };
        parts.extensions.insert(chat.clone());
        Ok(chat)
    }
}

impl Chat {
    /// Whether anybody of those who answer is there.
    async fn is_attended(&self, app: &App) -> Result<bool, Problem> {
        Ok(inbound::is_attended(&app.commands, self.tenant, &self.channel).await?)
    }
}

/// Lets pages of the channel's origins in, and no others; whoever names no origin is no page.
async fn allowed(State(app): State<App>, request: Request, next: Next) -> Response {
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
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, last-event-id"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        for (name, value) in set {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// The page on which the chat is to appear.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Where {
    path: Option<String>,
}

/// How the chat looks, and to whom one would speak.
#[derive(Debug, Serialize)]
struct Config {
    channel: Id,
    name: String,
    greeting: Option<String>,
    color: Color,
    text_color: Color,
    display: Display,
    delay_s: Option<u32>,
    operators_present: bool,
    chatbot: bool,
    max_text: usize,
    files: bool,
}

/// The country that a proxy says a visitor comes from, if it is believed.
fn country(app: &App, headers: &HeaderMap) -> Option<String> {
    let told = headers.get(app.config.country_header.as_deref()?)?.to_str().ok()?.trim().to_ascii_uppercase();
    told.parse::<Country>().is_ok().then_some(told)
}

async fn config(
    State(app): State<App>,
    chat: Chat,
    Params(Where { path }): Params<Where>,
    headers: HeaderMap,
) -> Result<Json<Config>, Problem> {
    let operators_present = chat.is_attended(&app).await?;
    let (channel, looks) = (&chat.channel, &chat.channel.appearance);
    let rule = channel.rule_for(path.as_deref().unwrap_or("/"), country(&app, &headers).as_deref());
    let (display, delay_s) = rule.map_or((looks.display, looks.delay_s), |(_, rule)| (rule.display, rule.delay_s));
    let chatbot = match rule {
        Some((_, rule)) => inbound::speaking(&app.commands, chat.tenant, channel, rule).await?.is_some(),
        None => false,
    };
    let color = looks.color.unwrap_or(USUAL);
    let can = channel.can();
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
        files: false,
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

    async fn dispatch(&self, app: &App, command: Command) -> Result<(), Problem> {
        app.commands.dispatch::<Conversation>(&self.envelope(app), command).await?;
        Ok(())
    }
}

/// A user of the page's site, who it says it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Identified {
    /// Their id there.
    id: String,
    /// HMAC-SHA-256 of the id under the channel's secret, in hex.
    hash: String,
}

/// What a page tells of its visitor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Told {
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
struct Written {
    /// Made by the page: what is sent again under the same one is taken in once.
    external_id: String,
    /// The text.
    body: Personal<String>,
    /// What the page tells.
    #[serde(default)]
    visitor: Told,
    /// Where an answer reaches them when they are gone.
    #[serde(default)]
    email: Option<Personal<String>>,
    /// Who the site says they are.
    #[serde(default)]
    user: Option<Identified>,
}

/// Where it was written down.
#[derive(Debug, Serialize)]
struct Taken {
    conversation: Id,
    message: Id,
    position: i64,
}

async fn write(
    State(app): State<App>,
    chat: Chat,
    Params(Nothing {}): Params<Nothing>,
    browser: Browser,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let token = Token::sent(&headers)?;
    let example = json!({ "external_id": "8d6e…", "body": "Good day" });
    let Written { external_id, body, visitor, email, user } = body.read(&example)?;
    if external_id.is_empty() || external_id.chars().count() > 200 {
        return Err(Problem::invalid("external_id_invalid", "external_id has 1 to 200 characters.").at("/external_id"));
    }
    let known = app.visiting(chat.id, &token).await?;
    let holder = known.as_ref().map_or_else(|| token.holder(), |known| known.visitor);
    app.flood.take(browser.address, holder)?;
    let sender = match (&known, user) {
        (Some(known), _) => known.sender.clone(),
        (None, Some(user)) => {
            must_be_said_by_the_site(&app, &chat, &user).await?;
            format!("user:{}", user.id)
        }
        (None, None) => format!("visitor:{holder}"),
    };
    let Told { name, path, language } = visitor;
    let visitor = Visitor { name, country: country(&app, &headers), path, language };
    let message = Inbound {
        // What one visitor calls a message is no other's.
        external_id: format!("{holder}:{external_id}"),
        sender: Some(sender.clone()),
        identity: email.map(|email| Identity::new(IdentityKind::Email, email)),
        visitor: Some(visitor),
        body,
        attachments: Vec::new(),
        written_at: None,
    };
    let actor = domain::Actor { kind: ActorKind::Visitor, id: holder, on_behalf_of: None };
    let mut envelope = Envelope::new(chat.tenant, chat.id, actor, Via::Chat, app.now());
    envelope.authority = Authority::full();
    let message_id = inbound::message_id(chat.id, &message.external_id);
    let accepted = inbound::take_in(&app.commands, &envelope, chat.id, message).await?;
    app.admit((chat.tenant, chat.id), &token, &sender, accepted.id).await?;
    let status = if accepted.events.is_empty() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Taken { conversation: accepted.id, message: message_id, position: accepted.position })))
}

/// Refuses a user that the site did not vouch for.
async fn must_be_said_by_the_site(app: &App, chat: &Chat, user: &Identified) -> Result<(), Problem> {
    let refused = || {
        let detail = "hash is the HMAC-SHA-256 of id under the secret of the channel's credentials, in hex.";
        Problem::new(StatusCode::FORBIDDEN, "visitor_hash_invalid", detail).at("/user/hash")
    };
    let credential = chat.channel.credential.ok_or_else(refused)?;
    let open = channel_secrets::opened(&app.pool, &app.sign_in.seal);
    let secret = open(chat.tenant, chat.id, credential).await.map_err(|error| Problem::broken(&error))?;
    let secret = secret.ok_or_else(refused)?;
    let hash = unhex(&user.hash).ok_or_else(refused)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, user.id.as_bytes(), &hash).map_err(|_| refused())
}

/// Who wrote a message, as a visitor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum From {
    Visitor,
    Desk,
    Bot,
}

/// A message, as a visitor sees it.
#[derive(Debug, Serialize)]
struct Message {
    id: Id,
    from: From,
    /// Who of the desk wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    body: Personal<String>,
    at: Time,
    /// How far one of the desk's has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Delivery>,
    /// What the page called one of the visitor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip)]
    position: i64,
}

impl Message {
    async fn of(app: &App, tenant: Id, row: Row) -> Result<Message, Problem> {
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
        let called = row.external_id.filter(|_| from == From::Visitor);
        Ok(Message {
            id: row.message_id,
            from,
            name,
            body: row.body,
            at: row.written_at,
            state: row.delivery,
            external_id: called.and_then(|id| id.split_once(':').map(|(_, own)| own.to_owned())),
            position: row.written_position,
        })
    }
}

/// Which part of the messages.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Part {
    after: Option<i64>,
    limit: Option<usize>,
}

/// The messages of a conversation, and where it stands.
#[derive(Debug, Serialize)]
struct Thread {
    data: Vec<Message>,
    /// What to ask for next, as `after`; null on the last page.
    next: Option<i64>,
    status: Status,
    rating: Option<u8>,
    position: i64,
}

async fn messages(
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
    Ok(Json(Thread { data, next, status: state.status, rating: state.score(), position }))
}

/// What a visitor does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Doing {
    signal: Shown,
}

async fn signal(
    State(app): State<App>,
    known: Known,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Doing { signal } = body.read(&json!({ "signal": "typing" }))?;
    let Visiting { tenant, conversation, visitor: by, .. } = known.visiting;
    app.signals.show(tenant, Signal { conversation, signal, kind: ActorKind::Visitor, by });
    Ok(StatusCode::NO_CONTENT)
}

/// What has arrived at a visitor, and what was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipts {
    #[serde(default)]
    delivered: Vec<Id>,
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rating {
    score: u8,
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
    known.dispatch(&app, Command::Rate { score, text }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
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

async fn follow(
    State(app): State<App>,
    known: Known,
    Params(Part { after, limit: _ }): Params<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = Token::sent(&headers)?;
    let last = request::text(&headers, "last-event-id")?.and_then(|id| id.parse().ok());
    let head = app.log.tail().watch();
    let position = match last.or(after) {
        Some(position) => {
            request::must_exist(&app, position, "/after").await?;
            position
        }
        None => app.log.head().await?,
    };
    let (shown, signals) = app.signals.listen(known.visiting.tenant);
    let attended = known.chat.is_attended(&app).await?;
    let listener = Listener {
        tenant: known.visiting.tenant.to_string(),
        visiting: known.visiting,
        token,
        position,
        head,
        shown: shown.into(),
        signals,
        ready: VecDeque::new(),
        attended: Some(attended),
        looked: Instant::now(),
        app,
    };
    let events = futures::stream::unfold(listener, |mut listener| async move {
        Box::pin(listener.next()).await.map(|event| (Ok::<_, Infallible>(event), listener))
    });
    Ok(sse(events))
}

/// A visitor who listens.
struct Listener {
    app: App,
    visiting: Visiting,
    tenant: String,
    token: Token,
    position: i64,
    head: watch::Receiver<i64>,
    shown: VecDeque<Arc<Sent>>,
    signals: broadcast::Receiver<Arc<Sent>>,
    ready: VecDeque<Event>,
    /// Whether somebody who answers is there, as far as told; `None` where that may have changed.
    attended: Option<bool>,
    looked: Instant,
}

impl Listener {
    /// The next event to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let stopping = self.app.stopping.clone();
        loop {
            if stopping.is_cancelled() || !self.is_let_in().await {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.position < *self.head.borrow_and_update() {
                let presence = self.app.log.presence().clone();
                match presence.guard(self.read()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(problem)) => {
                        tracing::warn!(%problem, "a visitor's stream ends");
                        return None;
                    }
                    // The visitor's page comes back by itself, when the database is back too.
                    Err(_) => return None,
                }
            }
            if let Some(sent) = self.shown.pop_front() {
                if let Some(event) = self.show(&sent).await {
                    return Some(event);
                }
                continue;
            }
            tokio::select! {
                moved = self.head.changed() => if moved.is_err() { return None },
                sent = self.signals.recv() => match sent {
                    Ok(sent) => self.shown.push_back(sent),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep(HEARTBEAT) => {
                    return Some(Event::default().id(self.position.to_string()).comment("here"));
                }
            }
        }
    }

    /// Looks now and then whether the token is good still, and for the same conversation.
    async fn is_let_in(&mut self) -> bool {
        if self.looked.elapsed() < LOOKED_AT_EVERY {
            return true;
        }
        self.looked = Instant::now();
        match self.app.log.presence().guard(self.app.visiting(self.visiting.channel, &self.token)).await {
            Ok(Ok(visiting)) => visiting.is_some_and(|now| now.conversation == self.visiting.conversation),
            // Without the database nothing is seen anyway.
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let head = *self.head.borrow();
        let stream = Conversation::stream(self.visiting.conversation);
        let events: Vec<Arc<Recorded>> = if head - self.position <= 4 * PAGE {
            let events = self.app.log.tail().after(self.position, PAGE).await?;
            self.position = events.last().map_or(self.position, |event| event.position);
            events
        } else {
            let query = Query {
                tenant: Some(self.tenant.clone()),
                after: Some(self.position),
                until: Some(head),
                limit: PAGE,
                stream: Some(stream.clone()),
                ..Query::default()
            };
            let events = self.app.log.read_all(&query).await?;
            let full = events.len() as i64 == PAGE;
            self.position = events.last().filter(|_| full).map_or(head, |event| event.position);
            self.attended = None;
            events.into_iter().map(Arc::new).collect()
        };
        let told = self.attended;
        for event in events {
            if *event.tenant != *self.tenant {
                continue;
            }
            if *event.stream == *stream {
                self.take_in(&event).await?;
            } else if [User::KIND, Channel::KIND].contains(&event.category()) {
                self.attended = None;
            }
        }
        if self.attended.is_none() {
            let (channel, _) = self.app.commands.load::<Channel>(self.visiting.tenant, self.visiting.channel).await?;
            let attended = inbound::is_attended(&self.app.commands, self.visiting.tenant, &channel).await?;
            self.attended = Some(attended);
            if told != Some(attended) {
                let said = Event::default().event("presence").json_data(json!({ "operators_present": attended }));
                self.ready.extend(said.ok());
            }
        }
        Ok(())
    }

    /// What a visitor is told of an event of the conversation.
    async fn take_in(&mut self, event: &Recorded) -> Result<(), Problem> {
        let sse = Event::default().id(event.position.to_string());
        let unreadable = |error: projections::Unreadable| Problem::broken(&error);
        let name = event.kind.strip_prefix("conversation.").unwrap_or_default();
        let told = if let Some(row) = projections::conversation_message(event).map_err(unreadable)? {
            let message = Message::of(&self.app, self.visiting.tenant, row).await?;
            sse.event("message").json_data(message)
        } else if let Some(state) = name.strip_prefix("message_") {
            let data: serde_json::Value = event.decode().unwrap_or_default();
            sse.event("state").json_data(json!({ "message": data["message_id"], "state": state }))
        } else {
            match name {
                "closed" | "reopened" | "handed_over" => sse.event(name).json_data(json!({})),
                _ => return Ok(()),
            }
        };
        self.ready.push_back(told.map_err(|error| Problem::broken(&error))?);
        Ok(())
    }

    /// What a visitor is told of a signal: that somebody of the desk types, or has left off.
    async fn show(&self, sent: &Sent) -> Option<Event> {
        let Signal { conversation, signal, kind, by } = sent.signal;
        let is_here = sent.tenant == self.visiting.tenant && conversation == self.visiting.conversation;
        if !is_here || kind == ActorKind::Visitor || signal == Shown::Looking {
            return None;
        }
        let (user, _) = self.app.commands.load::<User>(self.visiting.tenant, by).await.ok()?;
        let name = (!user.profile.name.0.is_empty()).then(|| user.profile.name.0.clone());
        Event::default().event("signal").json_data(json!({ "signal": signal, "name": name })).ok()
    }
}

/// The chat as a page of its own: where a link in a mail leads.
async fn page(chat: Chat, browser: Browser, headers: HeaderMap) -> Response {
    pages::chat(&headers, &browser, &chat.id.to_string(), &chat.channel.name)
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
