//! A server that plays the Bot API of Telegram, as <https://core.telegram.org/bots/api> describes it, with its errors: for one bot.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

/// The token of its bot.
pub const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Its parameters; of a form those that are no files, JSON read.
    pub told: Value,
    /// The files: their fields, names, types and bytes.
    pub files: Vec<(String, String, String, Bytes)>,
}

/// What it says to the next call that sends something.
#[derive(Clone, Debug)]
pub enum Says {
    /// An error.
    Refused(u16, &'static str, Option<u64>),
    /// Something else that no bot is told: what stands between says it.
    Broken(u16),
    /// It does what it is asked, and says nothing for as long as it is waited for.
    Nothing,
}

#[derive(Default)]
struct Known {
    calls: Vec<Call>,
    says: VecDeque<Says>,
    updates: VecDeque<Value>,
    files: BTreeMap<String, Bytes>,
    hook: Option<(String, String)>,
    blocked: BTreeSet<i64>,
    next: i64,
    update: i64,
    asking: usize,
    clashes: usize,
}

/// The server.
#[derive(Clone, Default)]
pub struct Telegram {
    known: Arc<Mutex<Known>>,
    news: Arc<Notify>,
    called: Arc<Notify>,
}

fn refused(code: u16, description: &str, after: Option<u64>) -> Response {
    let mut answer = json!({ "ok": false, "error_code": code, "description": description });
    if let Some(after) = after {
        answer["parameters"] = json!({ "retry_after": after });
    }
    (StatusCode::from_u16(code).expect("a status"), answer.to_string()).into_response()
}

fn told(result: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json!({ "ok": true, "result": result }).to_string()).into_response()
}

impl Telegram {
    /// A running one, and where it is.
    pub async fn start() -> (Telegram, SocketAddr) {
        let telegram = Telegram::default();
        telegram.known.lock().next = 100;
        telegram.known.lock().update = 1000;
        let router = Router::new()
            .route("/{bot}/{method}", post(Telegram::call))
            .route("/file/{bot}/{*path}", get(Telegram::file))
            .layer(DefaultBodyLimit::disable())
            .with_state(telegram.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it is served") });
        (telegram, address)
    }

    /// What it says to the next calls that send something.
    pub fn says(&self, all: impl IntoIterator<Item = Says>) {
        self.known.lock().says.extend(all);
    }

    /// Calls of a method, oldest first.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.known.lock().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// The texts that were sent.
    pub fn texts(&self) -> Vec<String> {
        self.calls("sendMessage").iter().map(|call| call.told["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until a method was called so often.
    pub async fn comes(&self, method: &str, often: usize) {
        while self.calls(method).len() < often {
            let called = tokio::time::timeout(Duration::from_secs(60), self.called.notified()).await;
            assert!(called.is_ok() || self.calls(method).len() >= often, "{method} is not called");
        }
    }

    /// The webhook that was set, and its secret.
    pub fn hook(&self) -> Option<(String, String)> {
        self.known.lock().hook.clone()
    }

    /// The user has blocked the bot.
    pub fn block(&self, chat: i64) {
        self.known.lock().blocked.insert(chat);
    }

    /// A file that somebody has sent; its id.
    pub fn keep(&self, id: &str, content: impl Into<Bytes>) {
        self.known.lock().files.insert(id.to_owned(), content.into());
    }

    /// An update, by its number.
    pub fn update(&self, what: &str, value: &Value) -> Value {
        let mut known = self.known.lock();
        known.update += 1;
        json!({ "update_id": known.update, what: value })
    }

    /// A message to the bot, as an update has it.
    pub fn message(&self, chat: i64, number: i64, more: &Value) -> Value {
        self.update("message", &said(chat, number, more))
    }

    /// Something that the bot is told when it asks.
    pub fn waits(&self, update: Value) {
        self.known.lock().updates.push_back(update);
        self.news.notify_one();
    }

    /// How much nobody has asked for yet, or said to have.
    pub fn unheard(&self) -> usize {
        self.known.lock().updates.len()
    }

    async fn call(
        State(telegram): State<Telegram>,
        Path((bot, method)): Path<(String, String)>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        if bot != format!("bot{TOKEN}") {
            return refused(401, "Unauthorized", None);
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (told_us, files) = match kind.split_once("boundary=") {
            Some((_, boundary)) => form(&body, boundary),
            None => (serde_json::from_slice(&body).unwrap_or_default(), Vec::new()),
        };
        let text = |name: &str| told_us[name].as_str().unwrap_or_default().to_owned();
        let sets = method == "setWebhook" && text("url").starts_with("https://");
        {
            // Whoever hears of the call finds the webhook set.
            let mut known = telegram.known.lock();
            if sets {
                known.hook = Some((text("url"), text("secret_token")));
            }
            known.calls.push(Call { method: method.clone(), told: told_us.clone(), files: files.clone() });
        }
        telegram.called.notify_one();
        match method.as_str() {
            "getMe" => {
                told(&json!({ "id": 110_201_543, "is_bot": true, "first_name": "Acme", "username": "acme_bot" }))
            }
            "getWebhookInfo" => {
                let url = telegram.hook().map(|(url, _)| url).unwrap_or_default();
                told(&json!({ "url": url, "has_custom_certificate": false, "pending_update_count": 0 }))
            }
            "setWebhook" if sets => told(&json!(true)),
            "setWebhook" => refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook", None),
            "deleteWebhook" => {
                telegram.known.lock().hook = None;
                told(&json!(true))
            }
            "getUpdates" => telegram.updates(&told_us).await,
            "getFile" => {
                let id = told_us["file_id"].as_str().unwrap_or_default();
                match telegram.known.lock().files.get(id) {
                    Some(content) if content.len() > 20 << 20 => refused(400, "Bad Request: file is too big", None),
                    Some(content) => {
                        told(&json!({ "file_id": id, "file_size": content.len(), "file_path": format!("files/{id}") }))
                    }
                    None => refused(400, "Bad Request: invalid file_id", None),
                }
            }
            _ => telegram.sends(&method, &told_us, &files).await,
        }
    }

    async fn file(State(telegram): State<Telegram>, Path((bot, path)): Path<(String, String)>) -> Response {
        let id = path.trim_start_matches("files/");
        match telegram.known.lock().files.get(id).filter(|_| bot == format!("bot{TOKEN}")) {
            Some(content) => content.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// How often it was asked what has come while somebody was asking already.
    pub fn clashes(&self) -> usize {
        self.known.lock().clashes
    }

    async fn updates(&self, asked: &Value) -> Response {
        let Some(_asking) = Asking::begin(&self.known) else {
            let description =
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
            return refused(409, description, None);
        };
        if self.known.lock().hook.is_some() {
            let description = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";
            return refused(409, description, None);
        }
        let offset = asked["offset"].as_i64().unwrap_or_default();
        let until = tokio::time::Instant::now() + Duration::from_secs(asked["timeout"].as_u64().unwrap_or_default());
        loop {
            {
                let mut known = self.known.lock();
                // To ask for what comes after says that what comes before is there.
                known.updates.retain(|update| update["update_id"].as_i64() >= Some(offset));
                if !known.updates.is_empty() {
                    return told(&known.updates.iter().cloned().collect());
                }
            }
            if tokio::time::timeout_at(until, self.news.notified()).await.is_err() {
                return told(&json!([]));
            }
        }
    }

    async fn sends(&self, method: &str, asked: &Value, files: &[(String, String, String, Bytes)]) -> Response {
        let says = self.known.lock().says.pop_front();
        match says {
            Some(Says::Refused(code, description, after)) => return refused(code, description, after),
            Some(Says::Broken(status)) => return StatusCode::from_u16(status).expect("a status").into_response(),
            Some(Says::Nothing) => std::future::pending::<()>().await,
            None => {}
        }
        let chat = asked["chat_id"].as_i64().or_else(|| asked["chat_id"].as_str()?.parse().ok());
        let Some(chat) = chat.filter(|chat| *chat > 0) else {
            return refused(400, "Bad Request: chat not found", None);
        };
        if self.known.lock().blocked.contains(&chat) {
            return refused(403, "Forbidden: bot was blocked by the user", None);
        }
        let text = asked["text"].as_str().unwrap_or_default();
        let caption = asked["caption"].as_str().unwrap_or_default();
        match method {
            "sendMessage" if text.is_empty() => return refused(400, "Bad Request: message text is empty", None),
            "sendMessage" if text.chars().count() > 4096 => {
                return refused(400, "Bad Request: message is too long", None);
            }
            "sendMessage" => {}
            "setMessageReaction" => return told(&json!(true)),
            "sendPhoto" | "sendVideo" | "sendAudio" | "sendDocument" => {
                let field = method.trim_start_matches("send").to_lowercase();
                if !files.iter().any(|(name, ..)| *name == field) {
                    return refused(400, "Bad Request: there is no file in the request", None);
                }
                if caption.chars().count() > 1024 {
                    return refused(400, "Bad Request: message caption is too long", None);
                }
            }
            "sendMediaGroup" => {
                let media = asked["media"].as_array().cloned().unwrap_or_default();
                let there = |one: &Value| {
                    let name = one["media"].as_str().and_then(|media| media.strip_prefix("attach://"));
                    files.iter().any(|(field, ..)| Some(field.as_str()) == name)
                };
                if !(2..=10).contains(&media.len()) || !media.iter().all(there) {
                    return refused(400, "Bad Request: wrong number of items in the media group", None);
                }
                let sent: Vec<Value> = media.iter().map(|_| self.sent(chat)).collect();
                return told(&Value::Array(sent));
            }
            _ => return refused(404, "Not Found", None),
        }
        told(&self.sent(chat))
    }

    fn sent(&self, chat: i64) -> Value {
        let mut known = self.known.lock();
        known.next += 1;
        json!({ "message_id": known.next, "date": 1_764_400_000, "chat": { "id": chat, "type": "private" } })
    }
}

/// Somebody asks what has come, and nobody else may.
struct Asking(Arc<Mutex<Known>>);

impl Asking {
    fn begin(known: &Arc<Mutex<Known>>) -> Option<Asking> {
        let mut told = known.lock();
        if told.asking > 0 {
            told.clashes += 1;
            return None;
        }
        told.asking += 1;
        Some(Asking(Arc::clone(known)))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.lock().asking -= 1;
    }
}

/// A message of Maria's to the bot.
pub fn said(chat: i64, number: i64, more: &Value) -> Value {
    let mut said = json!({
        "message_id": number, "date": 1_764_400_000 + number, "chat": { "id": chat, "type": "private", "first_name": "Maria" },
        "from": { "id": chat, "is_bot": false, "first_name": "Maria", "last_name": "Rossi", "language_code": "it" },
    });
    let more: Map<String, Value> = more.as_object().cloned().expect("an object");
    said.as_object_mut().expect("an object").extend(more);
    said
}

/// A part of a form: what it is called, its file's name and type, its bytes.
type Parts = Vec<(String, String, String, Bytes)>;

/// The parts of a form (RFC 7578): what is text, and what is a file.
pub fn form(body: &Bytes, boundary: &str) -> (Value, Parts) {
    let (mut texts, mut files) = (Map::new(), Vec::new());
    let mark = format!("--{boundary}");
    let find =
        |from: usize, what: &[u8]| body[from..].windows(what.len()).position(|part| part == what).map(|at| from + at);
    let mut from = 0;
    while let Some(begins) = find(from, mark.as_bytes()) {
        let begins = begins + mark.len() + 2;
        let Some(head) = find(begins.min(body.len()), b"\r\n\r\n") else { break };
        let Some(end) = find(head + 4, format!("\r\n{mark}").as_bytes()) else { break };
        let told = String::from_utf8_lossy(&body[begins..head]).into_owned();
        let value = |name: &str| {
            let after = told.split(&format!("{name}=\"")).nth(1)?;
            after.split('"').next().map(ToOwned::to_owned)
        };
        let content = body.slice(head + 4..end);
        let name = value(" name").unwrap_or_default();
        match value("filename") {
            Some(file) => {
                let kind = told.split("Content-Type: ").nth(1).unwrap_or_default().trim().to_owned();
                files.push((name, file, kind, content));
            }
            None => {
                let text = String::from_utf8_lossy(&content).into_owned();
                let read =
                    serde_json::from_str(&text).ok().filter(|value: &Value| value.is_array() || value.is_object());
                texts.insert(name, read.unwrap_or(Value::String(text)));
            }
        }
        from = end + 2;
    }
    (Value::Object(texts), files)
}
