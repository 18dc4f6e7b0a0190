//! A server that plays the Graph API of Meta, as the documents of WhatsApp's Cloud API and of the Messenger Platform describe it, with
//! its errors: for one account.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
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
use serde_json::{Value, json};

use crate::telegram::form;

/// The access token that it knows.
pub const TOKEN: &str = "EAAJB-secret-token-of-meta";
/// The secret of the app.
pub const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The account.
pub const ACCOUNT: &str = "106540352242922";

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// What of the account: `messages`, `media`, `message_attachments`.
    pub what: String,
    /// The body; of a form what is no file.
    pub told: Value,
    /// The files: their fields, names, types and bytes.
    pub files: Vec<(String, String, String, Bytes)>,
}

/// What it says to the next call that sends a message.
#[derive(Clone, Debug)]
pub enum Says {
    /// An error: its status, code and message, and how long it wants to be left alone.
    Refused(u16, i64, &'static str, Option<u64>),
    /// Nothing, for as long as it is waited for.
    Nothing,
}

#[derive(Default)]
struct Known {
    address: Option<SocketAddr>,
    calls: Vec<Call>,
    says: VecDeque<Says>,
    media: BTreeMap<String, (String, Bytes)>,
    next: u32,
}

/// The server.
#[derive(Clone, Default)]
pub struct Meta(Arc<Mutex<Known>>);

fn refused(status: u16, code: i64, message: &str, after: Option<u64>) -> Response {
    let error = json!({ "error": { "message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A" } });
    let mut answer = (StatusCode::from_u16(status).expect("a status"), error.to_string()).into_response();
    if let Some(after) = after {
        answer.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    answer
}

fn told(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn is_let_in(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|said| *said == format!("Bearer {TOKEN}"))
}

impl Meta {
    /// A running one, and where it is.
    pub async fn start() -> (Meta, SocketAddr) {
        let meta = Meta::default();
        let router = Router::new()
            .route("/{account}/{what}", post(Meta::call))
            .route("/{medium}", get(Meta::medium))
            .route("/lookaside/{medium}", get(Meta::content))
            .layer(DefaultBodyLimit::disable())
            .with_state(meta.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        meta.0.lock().address = Some(address);
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it is served") });
        (meta, address)
    }

    /// What it says to the next calls that send a message.
    pub fn says(&self, all: impl IntoIterator<Item = Says>) {
        self.0.lock().says.extend(all);
    }

    /// Calls of the account, oldest first.
    pub fn calls(&self, what: &str) -> Vec<Call> {
        self.0.lock().calls.iter().filter(|call| call.what == what).cloned().collect()
    }

    /// A file that somebody has sent.
    pub fn keep(&self, id: &str, media_type: &str, content: impl Into<Bytes>) {
        self.0.lock().media.insert(id.to_owned(), (media_type.to_owned(), content.into()));
    }

    async fn call(
        State(meta): State<Meta>,
        Path((account, what)): Path<(String, String)>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        if !is_let_in(&headers) {
            return refused(401, 190, "Error validating access token: Session has expired", None);
        }
        if account != ACCOUNT {
            return refused(400, 100, "Unsupported post request. Object does not exist", None);
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (told_us, files) = match kind.split_once("boundary=") {
            Some((_, boundary)) => form(&body, boundary),
            None => (serde_json::from_slice(&body).unwrap_or_default(), Vec::new()),
        };
        meta.0.lock().calls.push(Call { what: what.clone(), told: told_us.clone(), files: files.clone() });
        let number = {
            let mut known = meta.0.lock();
            known.next += 1;
            known.next
        };
        match what.as_str() {
            "media" if files.len() == 1 => told(&json!({ "id": format!("medium{number}") })),
            "message_attachments" if files.len() == 1 => {
                told(&json!({ "attachment_id": format!("attachment{number}") }))
            }
            "messages" => {
                let says = meta.0.lock().says.pop_front();
                match says {
                    Some(Says::Refused(status, code, message, after)) => return refused(status, code, message, after),
                    Some(Says::Nothing) => std::future::pending::<()>().await,
                    None => {}
                }
                if told_us["messaging_product"] == "whatsapp" {
                    let to = &told_us["to"];
                    return told(&json!({
                        "messaging_product": "whatsapp", "contacts": [{ "input": to, "wa_id": to }],
                        "messages": [{ "id": format!("wamid.sent{number}") }],
                    }));
                }
                let to = &told_us["recipient"]["id"];
                told(&json!({ "recipient_id": to, "message_id": format!("m_sent{number}") }))
            }
            _ => refused(400, 100, "Invalid parameter", None),
        }
    }

    async fn medium(State(meta): State<Meta>, Path(id): Path<String>, headers: HeaderMap) -> Response {
        if !is_let_in(&headers) {
            return refused(401, 190, "Error validating access token", None);
        }
        if id == "7001" {
            return told(&json!({ "id": id, "name": "Maria Rossi" }));
        }
        let known = meta.0.lock();
        match (known.media.get(&id), known.address) {
            (Some((media_type, content)), Some(address)) => told(&json!({
                "messaging_product": "whatsapp", "url": format!("http://{address}/lookaside/{id}"), "mime_type": media_type,
                "file_size": content.len(), "id": id,
            })),
            _ => refused(400, 100, "Unsupported get request. Object does not exist", None),
        }
    }

    async fn content(State(meta): State<Meta>, Path(id): Path<String>, headers: HeaderMap) -> Response {
        match meta.0.lock().media.get(&id).filter(|_| is_let_in(&headers)) {
            Some((_, content)) => content.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}
