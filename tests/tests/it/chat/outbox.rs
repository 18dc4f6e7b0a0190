//! What leaves: once, in order, at the pace that is set, and with what became of it; whoever it goes to fails, delays and dies.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode as Status},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use deskfold_tests::{Client, Server, database, until};
use parking_lot::Mutex;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    chat::channels::{brings, connect},
    ground::program::{Running, home},
    world::{condition, filtered, texts},
};

const KEY: &[u8] = b"a key that is long enough for it";

/// What a program answers to a call.
#[derive(Clone)]
pub(crate) enum Says {
    /// This.
    Status(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Nothing, until the caller is gone.
    Nothing,
}

/// A call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn text(&self) -> String {
        serde_json::from_slice::<Value>(&self.body).unwrap()["data"]["body"].as_str().unwrap().to_owned()
    }

    fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    /// The signature, worked out by hand.
    fn is_signed(&self) -> bool {
        let timestamp = self.headers["webhook-timestamp"].to_str().unwrap();
        let signed = [format!("{}.{timestamp}.", self.id()).as_bytes(), &self.body].concat();
        let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), &signed);
        self.headers["webhook-signature"] == format!("v1,{}", STANDARD.encode(expected.as_ref()))
    }
}

/// A program of the tenant's own, which says what it is told to and then 204.
#[derive(Clone, Default)]
pub(crate) struct Program {
    calls: Arc<Mutex<Vec<Call>>>,
    says: Arc<Mutex<VecDeque<Says>>>,
    called: Arc<Notify>,
}

impl Program {
    pub(crate) async fn start() -> (Program, SocketAddr) {
        let program = Program::default();
        let router = Router::new().route("/hook", post(Program::answer)).with_state(program.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (program, address)
    }

    async fn answer(State(program): State<Program>, headers: HeaderMap, body: Bytes) -> Response {
        program.calls.lock().push(Call { headers, body });
        program.called.notify_one();
        let says = program.says.lock().pop_front();
        match says {
            None => Status::NO_CONTENT.into_response(),
            Some(Says::Status(status, headers, body)) => {
                let mut response = (Status::from_u16(status).unwrap(), body).into_response();
                for (name, value) in headers {
                    response.headers_mut().insert(*name, value.parse().unwrap());
                }
                response
            }
            Some(Says::Nothing) => {
                std::future::pending::<()>().await;
                unreachable!()
            }
        }
    }

    pub(crate) fn says(&self, all: impl IntoIterator<Item = Says>) {
        self.says.lock().extend(all);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// What it was told, without what is about it.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.calls().iter().map(|call| serde_json::from_slice::<Value>(&call.body).unwrap()["data"].clone()).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.calls().iter().map(Call::text).collect()
    }
}

fn status(status: u16) -> Says {
    Says::Status(status, &[], "")
}

/// A channel that goes to this program.
pub(crate) async fn channel(client: &Client, address: SocketAddr, more: Value) -> String {
    let channel = connect(client, "api", "Shop").await;
    let mut settings = json!({ "url": format!("http://{address}/hook") });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.run(&format!("/v1/channels/{channel}/change_settings"), settings).await;
    let secret = json!({ "secret": format!("whsec_{}", STANDARD.encode(KEY)) });
    client.put(&format!("/v1/channels/{channel}/credentials"), secret).await.expect(StatusCode::OK);
    channel
}

/// A conversation in it.
async fn chat(client: &Client, channel: &str, sender: &str) -> String {
    brings(client, channel, &format!("from {sender}"), sender, "Good day").await["id"].as_str().unwrap().to_owned()
}

/// Says something; the message.
async fn say(client: &Client, chat: &str, body: &str) -> String {
    let said = client.post(&format!("/v1/conversations/{chat}/send_message"), json!({ "body": body })).await;
    said.expect(StatusCode::OK)["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

async fn message(client: &Client, chat: &str, id: &str) -> Value {
    let thread = client.read(&format!("/v1/conversations/{chat}/messages")).await;
    thread["data"].as_array().unwrap().iter().find(|message| message["message_id"] == id).unwrap().clone()
}

async fn waiting(server: &Server) -> i64 {
    sqlx::query_scalar("select count(*) from react_outbox").fetch_one(&server.database.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_said_reaches_the_program_signed_once_and_in_order() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let shop = channel(client, address, json!({})).await;
    let chat = chat(client, &shop, "maria").await;
    program.says([Says::Status(200, &[], r#"{ "external_id": "shop-1" }"#)]);
    let mut said = Vec::new();
    for number in 0..5 {
        said.push(say(client, &chat, &format!("Number {number}")).await);
    }
    server.settle().await;
    assert_eq!(program.texts(), ["Number 0", "Number 1", "Number 2", "Number 3", "Number 4"]);
    assert!(program.calls().iter().all(Call::is_signed));
    let first = message(client, &chat, &said[0]).await;
    assert_eq!((&first["delivery"], &first["external_id"]), (&json!("sent"), &json!("shop-1")));
    assert_eq!(message(client, &chat, &said[4]).await["delivery"], "sent");
    assert_eq!(waiting(&server).await, 0);

    // Handling all events anew, and rebuilding what is shown of them, sends nothing.
    let reset =
        "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null where name = 'react_outbox'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    let again = say(client, &chat, "After that").await;
    server.settle().await;
    assert_eq!(program.calls().len(), 6);
    assert_eq!(message(client, &chat, &again).await["delivery"], "sent");

    // What is said in a chat on a site is on the visitor's screen once it is committed; what a program sends waits for it.
    let site = connect(client, "live_chat", "Chat").await;
    let visitor = self::chat(client, &site, "visitor").await;
    let shown = say(client, &visitor, "Hello").await;
    let telegram = connect(client, "telegram", "Bot").await;
    let elsewhere = self::chat(client, &telegram, "tg").await;
    let queued = say(client, &elsewhere, "Hello").await;
    server.settle().await;
    assert_eq!(message(client, &visitor, &shown).await["delivery"], "sent");
    assert_eq!(message(client, &elsewhere, &queued).await["delivery"], "queued");
    assert_eq!(program.calls().len(), 6);
}

#[tokio::test]
async fn a_program_that_fails_is_tried_again_later_and_holds_up_its_conversation_alone() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let shop = channel(client, address, json!({})).await;
    let (maria, boris) = (chat(client, &shop, "maria").await, chat(client, &shop, "boris").await);
    server.settle().await;
    program.says([status(503)]);
    let first = say(client, &maria, "First").await;
    server.settle().await;
    say(client, &maria, "Second").await;
    say(client, &boris, "Other").await;
    server.settle().await;
    assert_eq!(program.texts(), ["First", "Other"], "what comes after it waits");
    assert_eq!(message(client, &maria, &first).await["delivery"], "queued");
    server.app.advance(Duration::from_secs(10));
    server.settle().await;
    assert_eq!(program.texts(), ["First", "Other", "First", "Second"]);
    let calls = program.calls();
    assert_eq!(calls[0].id(), calls[2].id(), "the same for each attempt");

    // Whoever asks to be left alone is, by all.
    program.says([Says::Status(429, &[("retry-after", "100")], "")]);
    say(client, &maria, "Third").await;
    server.settle().await;
    say(client, &boris, "Fourth").await;
    server.app.advance(Duration::from_secs(60));
    server.settle().await;
    assert_eq!(program.calls().len(), 5);
    server.app.advance(Duration::from_secs(60));
    server.settle().await;
    assert_eq!(program.calls().len(), 7);

    // What it will never take has failed, with what it says; so has what it did not take for hours. It is sent once more when
    // somebody says so.
    program.says([status(400)]);
    let refused = say(client, &maria, "Fifth").await;
    server.settle().await;
    let failed = message(client, &maria, &refused).await;
    assert_eq!(
        (&failed["delivery"], &failed["delivery_error"]),
        (&json!("failed"), &json!("it answered 400 Bad Request"))
    );
    client
        .run(&format!("/v1/conversations/{maria}/send_message"), json!({ "message_id": refused, "body": "Fifth" }))
        .await;
    server.settle().await;
    assert_eq!(message(client, &maria, &refused).await["delivery"], "sent");
    program.says((0..12).map(|_| status(500)));
    let given_up = say(client, &maria, "Sixth").await;
    for _ in 0..12 {
        server.settle().await;
        server.app.advance(Duration::from_secs(5000));
    }
    server.settle().await;
    let failed = message(client, &maria, &given_up).await;
    assert_eq!(failed["delivery"], "failed");
    assert!(failed["delivery_error"].as_str().unwrap().starts_with("given up after 12 attempts"), "{failed}");
    // Where it leads is not followed.
    program.says([Says::Status(302, &[("location", "/elsewhere")], "")]);
    let led = say(client, &maria, "Seventh").await;
    server.settle().await;
    assert_eq!(message(client, &maria, &led).await["delivery"], "failed");
    assert_eq!(waiting(&server).await, 0);
}

#[tokio::test]
async fn a_channel_keeps_its_pace_and_one_that_is_closed_sends_nothing() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let shop = channel(client, address, json!({ "max_per_minute": 2 })).await;
    for sender in ["a", "b", "c", "d", "e"] {
        let chat = chat(client, &shop, sender).await;
        say(client, &chat, sender).await;
    }
    server.settle().await;
    assert_eq!(program.calls().len(), 2);
    server.app.advance(Duration::from_secs(61));
    server.settle().await;
    assert_eq!(program.calls().len(), 4);
    server.app.advance(Duration::from_secs(61));
    server.settle().await;
    assert_eq!(program.calls().len(), 5);

    let chat = chat(client, &shop, "f").await;
    program.says([status(503)]);
    server.app.advance(Duration::from_secs(61));
    let message = say(client, &chat, "f").await;
    server.settle().await;
    client.run(&format!("/v1/channels/{shop}/disable"), json!({})).await;
    server.app.advance(Duration::from_secs(61));
    server.settle().await;
    assert_eq!(program.calls().len(), 6);
    let failed = self::message(client, &chat, &message).await;
    assert_eq!((&failed["delivery"], &failed["delivery_error"]), (&json!("failed"), &json!("the channel is disabled")));
    let refused = client.post(&format!("/v1/conversations/{chat}/send_message"), json!({ "body": "x" })).await;
    refused.problem(409, "conversation_channel_disabled");
}

#[tokio::test]
async fn private_addresses_are_not_called_unless_the_operator_allows_it() {
    let (program, address) = Program::start().await;
    let server = Server::start().await;
    let client = &server.admin;
    for host in [address.to_string(), format!("localhost:{}", address.port()), format!("2130706433:{}", address.port())]
    {
        let shop = channel(client, address, json!({ "url": format!("http://{host}/hook") })).await;
        let chat = chat(client, &shop, "maria").await;
        let said = say(client, &chat, "Hello").await;
        server.settle().await;
        let failed = message(client, &chat, &said).await;
        assert_eq!(failed["delivery"], "failed", "{host}: {failed}");
        assert!(failed["delivery_error"].as_str().unwrap().contains("private network"), "{failed}");
    }
    assert!(program.calls().is_empty());
}

/// Waits until a message has come so far, in a server that nobody can ask to settle.
async fn comes_to(client: &Client, chat: &str, id: &str, delivery: &str) -> Value {
    let thread = format!("/v1/conversations/{chat}/messages");
    let mut often = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..600 {
        often.tick().await;
        let found = client.read(&thread).await;
        let known = found["data"].as_array().unwrap().iter().find(|message| message["message_id"] == id).cloned();
        if let Some(message) = known.filter(|message| message["delivery"] == delivery) {
            return message;
        }
    }
    panic!("{id} does not come to be {delivery}");
}

#[tokio::test]
async fn after_a_crash_between_call_and_record_only_what_arrives_once_is_sent_again() {
    let (program, address) = Program::start().await;
    let database = database().await;
    let home = home();
    let arguments =
        ["--database-url", &database.url, "--private-addresses", "--rate-limit", "0", "--send-timeout", "60s"];
    for dedupes in [true, false] {
        let running = Running::start(home.path(), &arguments).await;
        let key = crate::ground::program::keys(&running.printed()).into_iter().next();
        let key = key.unwrap_or_else(|| std::fs::read_to_string(home.path().join("key")).unwrap());
        std::fs::write(home.path().join("key"), &key).unwrap();
        let client = running.client(&key);
        let shop = channel(&client, address, json!({ "dedupes": dedupes })).await;
        let chat = chat(&client, &shop, "maria").await;
        let before = program.calls().len();
        program.says([Says::Nothing]);
        let said = say(&client, &chat, "Hello").await;
        let later = say(&client, &chat, "And").await;
        while program.calls().len() == before {
            tokio::time::timeout(Duration::from_secs(60), program.called.notified()).await.expect("it is called");
        }
        // It holds the request, and whoever sent it dies.
        running.signal("KILL");
        running.end().await;
        let running = Running::start(home.path(), &arguments).await;
        let client = running.client(&key);
        comes_to(&client, &chat, &later, "sent").await;
        let calls = program.calls().split_off(before);
        let texts = calls.iter().map(Call::text).collect::<Vec<_>>();
        if dedupes {
            comes_to(&client, &chat, &said, "sent").await;
            assert_eq!(texts, ["Hello", "Hello", "And"], "once more, and in order");
            assert_eq!(calls[0].id(), calls[1].id());
        } else {
            let uncertain = comes_to(&client, &chat, &said, "uncertain").await;
            assert!(uncertain["delivery_error"].as_str().unwrap().contains("interrupted"), "{uncertain}");
            assert_eq!(texts, ["Hello", "And"], "what may have arrived is not sent again");
            let doubtful = filtered("/v1/conversations", &condition("uncertain", "eq", true));
            // The list may be a moment behind the thread.
            assert!(
                until(async || self::texts(&client.read(&doubtful).await, "id") == [&*chat]).await,
                "the list shows it"
            );
            // A person says so.
            let again = json!({ "message_id": said, "body": "Hello" });
            client.run(&format!("/v1/conversations/{chat}/send_message"), again).await;
            comes_to(&client, &chat, &said, "sent").await;
            assert_eq!(program.calls().len(), before + 3);
        }
        running.signal("TERM");
        running.end().await;
    }
}

/// A number that the server tells of itself.
async fn measured(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.expect_text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_outbox_tells_what_waits_and_what_came_of_its_attempts() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let shop = channel(client, address, json!({})).await;
    let maria = chat(client, &shop, "maria").await;
    program.says([status(503), status(503), status(503), status(503)]);
    say(client, &maria, "First").await;
    server.settle().await;
    assert!(measured(client, "deskfold_outbox_attempts_total").await >= 1.0);
    assert!(measured(client, "deskfold_outbox_outcomes_total{outcome=\"later\"}").await >= 1.0);
    // It is counted every few seconds.
    assert!(until(async || measured(client, "deskfold_outbox_waiting").await >= 1.0).await, "what waits is told");
    let sent = async || {
        server.app.advance(Duration::from_secs(600));
        server.settle().await;
        measured(client, "deskfold_outbox_outcomes_total{outcome=\"sent\"}").await == 1.0
    };
    assert!(until(sent).await, "it leaves in the end");
    assert_eq!(program.texts(), ["First"; 5]);
    assert_eq!(measured(client, "deskfold_outbox_outcomes_total{outcome=\"failed\"}").await, 0.0);
    assert!(until(async || measured(client, "deskfold_outbox_waiting").await == 0.0).await, "nothing waits");
}

#[tokio::test]
async fn after_a_day_whoever_wrote_by_whatsapp_is_answered_only_when_they_write_again() {
    let server = Server::start().await;
    let client = &server.admin;
    let channel = connect(client, "whatsapp", "WhatsApp").await;
    let chat = chat(client, &channel, "maria").await;
    let thread = async || {
        server.settle().await;
        client.read(&format!("/v1/conversations/{chat}/messages")).await
    };
    let until = thread().await["reply_until"].as_str().unwrap().to_owned();
    say(client, &chat, "Good day, Maria").await;
    server.app.advance(Duration::from_secs(25 * 60 * 60));
    let send = format!("/v1/conversations/{chat}/send_message");
    let late = client.post(&send, json!({ "body": "Are you still there?" })).await;
    let problem = late.problem(409, "window_closed");
    assert!(problem["detail"].as_str().unwrap().contains("24 hours"), "{problem}");
    assert_eq!(thread().await["data"].as_array().unwrap().len(), 2);
    brings(client, &channel, "another", "maria", "I am").await;
    assert!(*thread().await["reply_until"].as_str().unwrap() > *until, "it is open again");
    say(client, &chat, "Good").await;
    // A channel without such a rule says nothing of it.
    let program = connect(client, "api", "Shop").await;
    let other = self::chat(client, &program, "paolo").await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{other}/messages")).await["reply_until"], Value::Null);
}
