//! Webhooks: what is told to whom, signed, in order and at least once, whatever those do who are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode as Status},
    response::{IntoResponse, Response},
    routing::post,
};
use deskfold_tests::{Client, Server, database, root, until};
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    ground::program::{Running, home, keys},
    kernel::clients::python,
    org::auth::user_with,
    world::{condition, contact, each, texts, ticket},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a receiver answers.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    /// This.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// Nothing, until the caller is gone.
    Nothing,
}

const TAKEN: Says = Says::Status(204, &[]);

/// A call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    fn signatures(&self) -> usize {
        self.headers["webhook-signature"].to_str().unwrap().split(' ').count()
    }
}

type Answers = Arc<Mutex<Box<dyn FnMut(&Call) -> Says + Send>>>;

/// A program that is told of events, at any path.
#[derive(Clone)]
pub(crate) struct Receiver {
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Answers,
}

impl Receiver {
    pub(crate) async fn start() -> (Receiver, SocketAddr) {
        let receiver = Receiver { calls: Arc::default(), answers: Arc::new(Mutex::new(Box::new(|_| TAKEN))) };
        let router = Router::new().route("/{path}", post(Receiver::answer)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address)
    }

    async fn answer(State(receiver): State<Receiver>, uri: OriginalUri, headers: HeaderMap, body: Bytes) -> Response {
        let call = Call { path: uri.path().to_owned(), headers, body };
        let says = (*receiver.answers.lock())(&call);
        receiver.calls.lock().push(call);
        match says {
            Says::Status(status, headers) => {
                let mut response = (Status::from_u16(status).unwrap(), "as you like it").into_response();
                for (name, value) in headers {
                    response.headers_mut().insert(*name, value.parse().unwrap());
                }
                response
            }
            Says::Nothing => {
                std::future::pending::<()>().await;
                unreachable!()
            }
        }
    }

    pub(crate) fn says(&self, answers: impl FnMut(&Call) -> Says + Send + 'static) {
        *self.answers.lock() = Box::new(answers);
    }

    /// The calls at a path since the last time.
    pub(crate) fn heard(&self, path: &str) -> Vec<Call> {
        let mut calls = self.calls.lock();
        let (heard, others) = calls.drain(..).partition(|call| call.path == path);
        *calls = others;
        heard
    }

    /// What came at a path since the last time: the stream and the type of each event.
    fn told(&self, path: &str) -> Vec<(String, String)> {
        let of = |call: &Call| {
            let event = call.event();
            (event["stream"].as_str().unwrap().to_owned(), event["type"].as_str().unwrap().to_owned())
        };
        self.heard(path).iter().map(of).collect()
    }

    pub(crate) fn types(&self, path: &str) -> Vec<String> {
        self.told(path).into_iter().map(|(_, kind)| kind).collect()
    }
}

/// A webhook, and its secret.
async fn subscribe(client: &Client, url: &str, types: &[&str], more: Value) -> (String, String) {
    let mut body = json!({ "url": url, "types": types });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = client.post("/v1/webhooks", body).await.expect(StatusCode::CREATED);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn deliveries(client: &Client, webhook: &str, query: &str) -> Vec<Value> {
    let page = client.read(&format!("/v1/webhooks/{webhook}/deliveries?{query}")).await;
    page["data"].as_array().unwrap().clone()
}

async fn describe(client: &Client, ticket: &str, title: &str) {
    client.run(&format!("/v1/tickets/{ticket}/change_title"), json!({ "title": title })).await;
}

/// Has the verifiers of two languages look at calls.
fn verified(calls: &[Call], secrets: &[&str]) {
    let headers = |call: &Call| {
        let pairs = call.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let told = |call: &Call| {
        let body = std::str::from_utf8(&call.body).unwrap();
        json!({ "headers": headers(call), "body": body, "secrets": secrets })
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!(calls.iter().map(told).collect::<Vec<_>>()).to_string()).unwrap();
    let mut in_python = python();
    if in_python.args(["-c", "import standardwebhooks"]).output().is_ok_and(|tried| tried.status.success()) {
        let mut verify = python();
        ran(verify.arg(root().join("tests/verify_webhooks.py")).arg(file.path()), calls.len());
    } else {
        eprintln!(
            "SKIPPED: standardwebhooks is not installed; deploy/install-prerequisites.sh puts it into target/python"
        );
    }
    let mut verify = Command::new("node");
    verify.env("NODE_PATH", root().join("target/node/node_modules"));
    ran(verify.arg(root().join("tests/verify_webhooks.js")).arg(file.path()), calls.len());
}

fn ran(command: &mut Command, times: usize) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("verified").count(), times, "{said}");
}

#[tokio::test]
async fn what_is_asked_for_is_told_signed_in_order_and_as_the_contract_says() {
    let (receiver, address) = Receiver::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let before = ticket(client, "Before").await;
    let (hook, secret) = subscribe(client, &format!("http://{address}/all"), &["ticket.*"], json!({})).await;
    let urgent = json!({ "filter": condition("ticket.priority", "gte", 2) });
    let filtered_at = format!("http://{address}/urgent");
    subscribe(client, &filtered_at, &["ticket.opened", "contact.created"], urgent).await;
    contact(client, "Nobody").await;
    let opened = json!({ "title": "Fire", "priority": 3 });
    let fire = client.create("/v1/tickets", opened).await;
    describe(client, &fire, "Fire!").await;
    ticket(client, "Later").await;
    describe(client, &before, "After").await;
    server.settle().await;

    // Everything of tickets since, of each record in order; what is told is the event as the API shows it.
    let calls = receiver.heard("/all");
    let events = client.read("/v1/events?category=ticket&limit=1000").await;
    let since = events["data"].as_array().unwrap().iter().filter(|event| {
        let own = event["stream"] != format!("ticket-{before}");
        own || event["version"].as_i64().unwrap() > 0
    });
    let expected: BTreeMap<i64, &Value> = since.map(|event| (event["position"].as_i64().unwrap(), event)).collect();
    let told: BTreeMap<i64, Value> =
        calls.iter().map(|call| (call.event()["position"].as_i64().unwrap(), call.event())).collect();
    assert_eq!(told.len(), calls.len(), "each once");
    assert_eq!(told.values().collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
    let versions = |stream: &str| {
        let own = calls.iter().map(Call::event).filter(|event| event["stream"] == format!("ticket-{stream}"));
        own.map(|event| event["version"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert!(versions(&fire).is_sorted() && versions(&fire).len() >= 2);
    verified(&calls, &[&secret]);
    assert_eq!(receiver.told("/urgent"), [(format!("ticket-{fire}"), "ticket.opened".to_owned())]);

    // During a rotation both secrets count, then the new one alone.
    let rotated = client.post(&format!("/v1/webhooks/{hook}/rotate_secret"), json!({})).await.expect(StatusCode::OK);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    describe(client, &fire, "Fire?").await;
    server.settle().await;
    let calls = receiver.heard("/all");
    assert_eq!(calls.iter().map(Call::signatures).collect::<Vec<_>>(), [2]);
    verified(&calls, &[&secret, &second]);
    client.run(&format!("/v1/webhooks/{hook}/retire_former_secret"), json!({})).await;
    describe(client, &fire, "Fire.").await;
    server.settle().await;
    let calls = receiver.heard("/all");
    assert_eq!(calls[0].signatures(), 1);
    verified(&calls, &[&second]);
    let mine = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let given = json!({ "secret": mine, "overlap_s": 60 });
    client.run(&format!("/v1/webhooks/{hook}/rotate_secret"), given).await;
    server.app.advance(Duration::from_secs(61));
    describe(client, &fire, "Out").await;
    server.settle().await;
    let calls = receiver.heard("/all");
    assert_eq!(calls[0].signatures(), 1, "a time ends too");
    let log = client.read(&format!("/v1/webhooks/{hook}/history")).await;
    let list = client.read("/v1/webhooks").await;
    for secret in [&secret, &second, mine] {
        assert!(!log.to_string().contains(secret) && !list.to_string().contains(secret));
    }

    // The log of what was sent, and sending one again under its name.
    let sent = deliveries(client, &hook, "limit=1").await;
    let last = &sent[0];
    assert_eq!((&last["status"], &last["attempt"], &last["cause"]), (&json!("delivered"), &json!(1), &json!("event")));
    assert_eq!(last["request"]["body"], calls[0].event());
    assert_eq!(last["request"]["headers"]["webhook-id"], calls[0].id());
    assert_eq!((&last["response"]["status"], &last["record"]["id"]), (&json!(204), &json!(fire)));
    let again = format!("/v1/webhooks/{hook}/deliveries/{}/redeliver", last["id"].as_str().unwrap());
    client.run(&again, json!({})).await;
    server.settle().await;
    let repeated = receiver.heard("/all");
    assert_eq!(repeated.iter().map(Call::id).collect::<Vec<_>>(), [calls[0].id()]);
    assert_eq!(deliveries(client, &hook, "limit=1").await[0]["cause"], "redelivery");
    client.run(&format!("/v1/webhooks/{hook}/test"), json!({})).await;
    server.settle().await;
    assert_eq!(receiver.types("/all"), ["webhook.tested"]);
    assert!(receiver.types("/urgent").is_empty(), "for this one alone");
    let page = client.read(&format!("/v1/webhooks/{hook}/deliveries?limit=2&status=delivered")).await;
    let next = page["next"].as_str().unwrap();
    let further = deliveries(client, &hook, &format!("limit=2&after={next}")).await;
    assert!(further.iter().all(|delivery| delivery["id"].as_str().unwrap() < next), "{further:?}");
    let progress = client.read(&format!("/v1/webhooks/{hook}/progress")).await;
    assert_eq!((&progress["waiting"], &progress["failing_since"]), (&json!(0), &Value::Null));
    assert_eq!(progress["sent_to"], progress["position"]);

    // What a replay sends, it sends under the same names; from the end of the log on it is nothing.
    let end = progress["position"].as_i64().unwrap();
    client
        .post(&format!("/v1/webhooks/{hook}/replay?from={}", end + 100), json!({}))
        .await
        .problem(422, "position_ahead");
    client.run(&format!("/v1/webhooks/{hook}/replay?from=1"), json!({})).await;
    server.settle().await;
    let all = receiver.heard("/all");
    let opened = all.iter().filter(|call| call.event()["type"] == "ticket.opened").count();
    assert_eq!(opened, 3, "what was before it was set up too");
    assert!(all.iter().any(|call| call.id() == repeated[0].id()));
    server.app.advance(15 * 24 * HOUR);
    server.settle().await;
    assert!(deliveries(client, &hook, "limit=200").await.is_empty(), "it is kept for two weeks");
}

#[tokio::test]
async fn whoever_fails_or_is_slow_holds_up_nobody_else() {
    let (receiver, address) = Receiver::start().await;
    let server = Server::with(&["--private-addresses", "--send-timeout", "1s"]).await;
    let client = &server.admin;
    let (slow, _) = subscribe(client, &format!("http://{address}/slow"), &["*"], json!({})).await;
    let (hook, _) = subscribe(client, &format!("http://{address}/hook"), &["ticket.*"], json!({})).await;
    let (bad, good) = (ticket(client, "Bad").await, ticket(client, "Good").await);
    server.settle().await;
    receiver.heard("/hook");
    let failing = format!("ticket-{bad}");
    receiver.says(move |call| match call.path.as_str() {
        "/slow" => Says::Nothing,
        _ if call.event()["stream"] == *failing => Says::Status(500, &[]),
        _ => TAKEN,
    });
    for number in 0..3 {
        describe(client, &bad, &format!("Bad {number}")).await;
        describe(client, &good, &format!("Good {number}")).await;
    }
    // It is told at once, while the slow one has not answered a single call.
    let good_told = async || receiver.calls.lock().iter().filter(|call| call.path == "/hook").count() >= 4;
    assert!(until(good_told).await);
    server.settle().await;
    let told = receiver.told("/hook");
    let of = |told: &[(String, String)], ticket: &str| {
        told.iter().filter(|(stream, _)| *stream == format!("ticket-{ticket}")).count()
    };
    assert_eq!((of(&told, &bad), of(&told, &good)), (1, 3), "what comes after it in its record waits");
    let failed = deliveries(client, &hook, "status=failed").await;
    assert_eq!(
        (&failed[0]["response"]["status"], &failed[0]["error"]),
        (&json!(500), &json!("it answered 500 Internal Server Error"))
    );
    assert!(failed[0]["next_attempt_at"].is_string());
    assert_eq!(failed[0]["response"]["body"], "as you like it");
    assert_eq!(deliveries(client, &slow, "status=failed&limit=1").await[0]["error"], "no answer within 1 seconds");
    let waiting: i64 = sqlx::query_scalar("select count(*) from react_webhook_lane where webhook_id = $1")
        .bind(&hook)
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert_eq!(waiting, 1, "of a record one event, however many wait");

    // Once it is taken, the others follow in order.
    receiver.says(|_| TAKEN);
    server.app.advance(Duration::from_secs(10));
    server.settle().await;
    let calls = receiver.heard("/hook");
    let titles: Vec<String> = calls.iter().map(|call| call.event()["data"].to_string()).collect();
    assert_eq!(calls.len(), 3, "{titles:?}");
    assert!((0..3).all(|number| titles[number].contains(&format!("Bad {number}"))), "{titles:?}");

    // Whoever asks to be left alone is, and where an answer leads is not followed.
    receiver.says(|_| Says::Status(429, &[("retry-after", "120")]));
    describe(client, &good, "Busy").await;
    server.settle().await;
    assert_eq!(receiver.heard("/hook").len(), 1);
    server.app.advance(Duration::from_secs(100));
    describe(client, &bad, "Busy").await;
    server.settle().await;
    assert!(receiver.heard("/hook").is_empty());
    client.run(&format!("/v1/webhooks/{slow}/archive"), json!({})).await;
    server.settle().await;
    receiver.says(|_| Says::Status(302, &[("location", "/slow")]));
    receiver.heard("/slow");
    server.app.advance(Duration::from_secs(30));
    server.settle().await;
    assert!(!receiver.heard("/hook").is_empty());
    assert!(receiver.heard("/slow").is_empty());
    assert!(deliveries(client, &hook, "limit=1").await[0]["error"].as_str().unwrap().contains("not followed"));

    // One that wants nothing more is told nothing more, until somebody says so.
    receiver.says(|_| Says::Status(410, &[]));
    server.app.advance(HOUR);
    server.settle().await;
    let gone = client.read(&format!("/v1/webhooks/{hook}")).await;
    assert_eq!((&gone["status"], &gone["disabled_by"]), (&json!("disabled"), &json!("gone")));
    let notices = client.read("/v1/notices").await;
    assert_eq!(texts(&notices, "code"), ["gone"], "{notices}");
    receiver.says(|_| TAKEN);
    receiver.heard("/hook");
    describe(client, &good, "Gone").await;
    client.post(&format!("/v1/webhooks/{hook}/test"), json!({})).await.problem(409, "webhook_disabled");
    server.settle().await;
    assert!(receiver.heard("/hook").is_empty());
    client.run(&format!("/v1/webhooks/{hook}/enable"), json!({})).await;
    server.settle().await;
    assert_eq!(receiver.heard("/hook").len(), 3, "it goes on where it stopped");
}

#[tokio::test]
async fn a_receiver_that_is_away_for_three_days_takes_up_no_room_and_misses_nothing() {
    let (receiver, address) = Receiver::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let (hook, _) = subscribe(client, &format!("http://{address}/hook"), &["ticket.*"], json!({})).await;
    receiver.says(|_| Says::Status(503, &[]));
    let mut tickets = Vec::new();
    for number in 0..80 {
        let opened = json!({ "title": format!("Ticket {number}") });
        tickets.push(client.create("/v1/tickets", opened).await);
    }
    for ticket in &tickets {
        describe(client, ticket, "Changed").await;
    }
    server.settle().await;
    assert!(receiver.heard("/hook").len() < 20, "whoever is down is not called by everybody");
    let mut calls = 0;
    for _ in 0..24 {
        server.app.advance(2 * HOUR);
        server.settle().await;
        calls += receiver.heard("/hook").len();
    }
    assert!((8..60).contains(&calls), "{calls}");
    let webhook = client.read(&format!("/v1/webhooks/{hook}")).await;
    assert_eq!(webhook["status"], "enabled", "after two days it is still tried");
    let room: i64 =
        sqlx::query_scalar("select count(*) from react_webhook_lane").fetch_one(&server.database.pool).await.unwrap();
    assert!(room <= 64, "{room}");
    server.app.advance(25 * HOUR);
    server.settle().await;
    let webhook = client.read(&format!("/v1/webhooks/{hook}")).await;
    assert_eq!((&webhook["status"], &webhook["disabled_by"]), (&json!("disabled"), &json!("unreachable")));
    let notices = client.read("/v1/notices").await;
    assert_eq!(texts(&notices, "code"), ["unreachable"]);
    receiver.heard("/hook");
    receiver.says(|_| TAKEN);
    server.app.advance(24 * HOUR);
    server.settle().await;
    assert!(receiver.heard("/hook").is_empty());
    // It goes on where it stopped; a replay sends everything once more under the same ids.
    let events = client.read("/v1/events?category=ticket&limit=1000").await["data"].as_array().unwrap().len();
    let mut ids = Vec::new();
    for order in ["enable", "replay?from=1"] {
        client.run(&format!("/v1/webhooks/{hook}/{order}"), json!({})).await;
        server.settle().await;
        let calls = receiver.heard("/hook");
        let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for call in &calls {
            let event = call.event();
            let of = versions.entry(event["stream"].as_str().unwrap().to_owned()).or_default();
            of.push(event["version"].as_i64().unwrap());
        }
        assert_eq!(versions.values().map(Vec::len).sum::<usize>(), events, "{order}");
        assert!(versions.len() == 80 && versions.values().all(|versions| versions.is_sorted()), "{order}");
        ids.push(calls.iter().map(Call::id).collect::<BTreeSet<_>>());
    }
    assert_eq!(ids[0], ids[1]);
    let open = client.read("/v1/notices").await;
    assert!(each(&open, "id").is_empty(), "{open}");

    // An event that is not taken while others are is given up by itself, and what comes after it goes on.
    let (poison, other) = (format!("ticket-{}", tickets[0]), tickets[1].clone());
    receiver.says(move |call| {
        let event = call.event();
        let bad = event["stream"] == *poison && event["data"].to_string().contains("Poison");
        if bad { Says::Status(422, &[]) } else { TAKEN }
    });
    describe(client, &tickets[0], "Poison").await;
    describe(client, &tickets[0], "Antidote").await;
    for _ in 0..4 {
        describe(client, &other, &format!("At {}", jiff::Timestamp::now())).await;
        server.settle().await;
        server.app.advance(24 * HOUR);
    }
    server.settle().await;
    let told = receiver.heard("/hook");
    assert!(told.iter().any(|call| call.event()["data"].to_string().contains("Antidote")));
    assert_eq!(deliveries(client, &hook, "status=given_up").await.len(), 1);
    let open = client.read("/v1/notices").await;
    assert!(texts(&open, "code").contains(&"webhook_event_given_up".to_owned()), "{open}");
    assert_eq!(client.read(&format!("/v1/webhooks/{hook}")).await["status"], "enabled");
}

#[tokio::test]
async fn what_somebody_may_not_see_does_not_leave_by_his_webhook() {
    let (receiver, address) = Receiver::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let (user, own) = user_with(&server, "own@example.com", &["webhook.*", "ticket.*:own", "contact.create"]).await;
    let url = format!("http://{address}/own");
    let (hook, _) = subscribe(&own, &url, &["ticket.*", "contact.*", "user.*"], json!({})).await;
    let theirs = ticket(&own, "Theirs").await;
    ticket(client, "Not theirs").await;
    contact(&own, "Not to be read").await;
    client.run(&format!("/v1/users/{user}/deactivate"), json!({ "reason": "Test" })).await;
    client.run(&format!("/v1/users/{user}/activate"), json!({})).await;
    server.settle().await;
    let told = receiver.told("/own");
    assert_eq!(told, [(format!("ticket-{theirs}"), "ticket.opened".to_owned())]);

    // Nor is it told by the log of somebody's else webhook; secrets of events are in nobody's.
    subscribe(client, &format!("http://{address}/all"), &["*"], json!({})).await;
    let key = client.post("/v1/api_keys", json!({ "name": "Shop", "user": user })).await.expect(StatusCode::CREATED);
    let shop = server.client(key["key"].as_str().unwrap());
    server.settle().await;
    let issued: Vec<Value> = receiver.heard("/all").iter().map(Call::event).collect();
    let issued = issued.iter().find(|event| event["type"] == "api_key.issued").unwrap();
    assert_eq!(issued["data"]["digest"], Value::Null);
    let all = client.read("/v1/webhooks").await;
    let all = each(&all, "id").iter().map(|id| id.as_str().unwrap().to_owned()).find(|id| *id != hook).unwrap();
    let (_, reader) = user_with(&server, "reader@example.com", &["webhook.*"]).await;
    assert!(!deliveries(client, &all, "").await.is_empty());
    let shown = deliveries(&reader, &all, "").await;
    let kinds: Vec<&Value> = shown.iter().map(|delivery| &delivery["record"]["kind"]).collect();
    assert!(kinds.iter().all(|kind| **kind == "webhook"), "{kinds:?}");
    let hidden = deliveries(client, &all, "limit=200").await;
    let hidden = hidden.iter().find(|delivery| delivery["event_type"] == "api_key.issued").unwrap();
    let again = format!("/v1/webhooks/{all}/deliveries/{}/redeliver", hidden["id"].as_str().unwrap());
    reader.post(&again, json!({})).await.problem(404, "webhook_delivery_unknown");

    // Whoever changes it lends it his eyes: what the admin's shows does not go where somebody else says.
    reader.run(&format!("/v1/webhooks/{all}/change"), json!({ "url": format!("http://{address}/stolen") })).await;
    ticket(client, "Secret").await;
    server.settle().await;
    assert!(
        receiver.heard("/stolen").iter().all(|call| call.event()["stream"].as_str().unwrap().starts_with("webhook-"))
    );
    receiver.heard("/all");

    // It ends with the key by which it was set up, and says so.
    let (by_key, _) = subscribe(&shop, &format!("http://{address}/shop"), &["ticket.*"], json!({})).await;
    client.run(&format!("/v1/api_keys/{}/revoke", key["id"].as_str().unwrap()), json!({})).await;
    ticket(client, "Later").await;
    server.settle().await;
    let ended = client.read(&format!("/v1/webhooks/{by_key}")).await;
    assert_eq!((&ended["status"], &ended["disabled_by"]), (&json!("disabled"), &json!("rights_ended")));
    assert!(receiver.heard("/shop").is_empty());
    let notices = client.read("/v1/notices").await;
    assert!(texts(&notices, "code").contains(&"rights_ended".to_owned()), "{notices}");
}

#[tokio::test]
async fn addresses_of_private_networks_are_not_called_and_what_makes_no_sense_is_refused() {
    let (receiver, address) = Receiver::start().await;
    let server = Server::start().await;
    let client = &server.admin;
    let asked = |url: &str| json!({ "url": url, "types": ["ticket.*"] });
    for url in [format!("http://{address}/hook"), format!("http://2130706433:{}/hook", address.port())] {
        let refused = client.post("/v1/webhooks", asked(&url)).await.problem(422, "webhook_url_invalid");
        assert!(refused["detail"].as_str().unwrap().contains("private network"), "{refused}");
    }
    // A name is looked up when it is called.
    let local = format!("http://localhost:{}/hook", address.port());
    let (hook, _) = subscribe(client, &local, &["ticket.*"], json!({})).await;
    ticket(client, "Hello").await;
    server.settle().await;
    let failed = deliveries(client, &hook, "").await;
    assert!(failed[0]["error"].as_str().unwrap().contains("private network"), "{failed:?}");
    assert!(receiver.heard("/hook").is_empty());
    let url = "https://example.com/hook";
    for (body, code, pointer) in [
        (json!({ "url": "ftp://example.com", "types": ["*"] }), "webhook_url_invalid", "/url"),
        (json!({ "url": "https://me:you@example.com/", "types": ["*"] }), "webhook_url_invalid", "/url"),
        (json!({ "url": url, "types": ["ticket.opened", "ticket.eaten"] }), "webhook_types_invalid", "/types/1"),
        (json!({ "url": url, "types": [] }), "webhook_types_invalid", "/types"),
        (json!({ "url": url, "types": ["*"], "secret": "short" }), "webhook_secret_invalid", "/secret"),
        (
            json!({ "url": url, "types": ["ticket.*"], "filter": { "field": "unicorn", "op": "eq", "value": 1 } }),
            "webhook_filter_invalid",
            "/filter/field",
        ),
    ] {
        let problem = client.post("/v1/webhooks", body.clone()).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    assert_eq!(each(&client.read("/v1/webhooks").await, "id").len(), 1, "and nothing is kept of it");
    let kept: i64 =
        sqlx::query_scalar("select count(*) from auth_webhook_secret").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn after_a_crash_between_call_and_record_the_same_is_sent_again_under_the_same_id() {
    let (receiver, address) = Receiver::start().await;
    let (database, home) = (database().await, home());
    let arguments =
        ["--database-url", &database.url, "--private-addresses", "--rate-limit", "0", "--send-timeout", "60s"];
    let running = Running::start(home.path(), &arguments).await;
    let key = keys(&running.printed()).into_iter().next().unwrap();
    let client = running.client(&key);
    subscribe(&client, &format!("http://{address}/hook"), &["ticket.*"], json!({})).await;
    receiver.says(|_| Says::Nothing);
    let opened = ticket(&client, "Held").await;
    describe(&client, &opened, "And after").await;
    assert!(until(async || !receiver.calls.lock().is_empty()).await, "it is called");
    // It holds the request, and whoever sent it dies.
    running.signal("KILL");
    running.end().await;
    let first = receiver.heard("/hook");
    receiver.says(|_| TAKEN);
    let running = Running::start(home.path(), &arguments).await;
    assert!(until(async || receiver.calls.lock().len() >= 2).await, "and told by whoever comes next");
    let again = receiver.heard("/hook");
    assert_eq!((first[0].id(), first.len()), (again[0].id(), 1));
    let told: Vec<Value> = again.iter().map(|call| call.event()["version"].clone()).collect();
    assert_eq!(told, [0, 1], "in order");
    running.signal("TERM");
    running.end().await;
}
