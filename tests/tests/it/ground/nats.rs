//! Events on their way over NATS JetStream: published by the relay, followed by other processes and by strangers.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, jetstream};
use deskfold_tests::{Client, NatsServer, Server, nats_server, root};
use eventstore::{RelayState, RelayStatus};
use gateway::App;
use jetstream::message::StreamMessage;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    data::{imports, takeover::shown},
    ground::program::{Running, failure, home, keys, output},
    world::{texts, ticket},
};

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it happens in time")
}

/// Waits until the relay is like this.
async fn until(app: &App, wanted: impl Fn(&RelayStatus) -> bool) -> RelayStatus {
    let mut status = app.relay().expect("a relay");
    let found =
        tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status))).await.map(|found| found.is_ok());
    let last = status.borrow().clone();
    assert_eq!(found, Ok(true), "{last:?}");
    last
}

/// Waits until everything in the log is in JetStream.
pub(crate) async fn relayed(app: &App, pool: &PgPool) {
    let head = head(pool).await;
    until(app, |status| status.state == RelayState::Publishing && status.position >= head).await;
}

/// Waits until events come from JetStream, or do so no more.
async fn follows(app: &App, wanted: bool) {
    let mut follows = app.follows_nats().expect("NATS");
    within(follows.wait_for(|follows| *follows == wanted)).await.unwrap();
}

async fn head(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select position from log_head").fetch_one(pool).await.unwrap()
}

async fn jetstream_of(nats: &NatsServer) -> jetstream::Context {
    jetstream::new(within(nats.client()).await)
}

/// Every message of the stream, by its sequence.
async fn messages(nats: &NatsServer) -> BTreeMap<i64, StreamMessage> {
    let stream = jetstream_of(nats).await.get_stream("DESKFOLD").await.unwrap();
    let state = &stream.cached_info().state;
    let mut messages = BTreeMap::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        messages.insert(i64::try_from(sequence).unwrap(), message);
    }
    assert_eq!(messages.len() as u64, state.messages);
    messages
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(async_nats::HeaderValue::as_str).unwrap_or_default()
}

/// JetStream holds the log's events from here on to the end, each once, and each where it belongs.
pub(crate) async fn agrees(nats: &NatsServer, pool: &PgPool, first: i64) {
    let log: Vec<(i64, Uuid, String)> =
        sqlx::query_as("select position, event_id, tenant_id from log_event where position >= $1 order by position")
            .bind(first)
            .fetch_all(pool)
            .await
            .unwrap();
    let messages = messages(nats).await;
    assert_eq!(messages.len(), log.len());
    for (position, id, tenant) in log {
        let message = &messages[&position];
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!((&body["position"], &body["id"]), (&json!(position), &json!(id)));
        let expected = [position.to_string(), id.to_string(), tenant];
        assert_eq!(
            ["Nats-Msg-Id", "Deskfold-Event-Id", "Deskfold-Tenant"].map(|name| header(&message.headers, name)),
            expected
        );
    }
}

/// The value of a metric, 0 when it has none yet.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

async fn relay_says(client: &Client) -> Value {
    let ready = client.read("/readyz").await;
    assert_eq!(ready["ready"], true, "the API does not depend on NATS: {ready}");
    ready["relay"].clone()
}

#[tokio::test]
async fn every_event_is_in_jetstream_and_its_sequence_is_its_position() {
    let nats = NatsServer::start();
    let server = Server::with(&["--nats-url", &nats.url()]).await;
    let other = server.another_tenant("Other").await;
    for number in 0..20 {
        ticket(&server.admin, &format!("Ticket {number}, \"quoted\" Zoë\n")).await;
        ticket(&other, "Theirs").await;
    }
    relayed(&server.app, &server.database.pool).await;
    agrees(&nats, &server.database.pool, 1).await;

    // What a stranger reads there is what the API answers, under a subject that says what it is.
    let messages = messages(&nats).await;
    let events = server.admin.read("/v1/events?limit=1000").await;
    let events = events["data"].as_array().unwrap();
    assert!(events.len() > 20);
    for event in events {
        let message = &messages[&event["position"].as_i64().unwrap()];
        let mut payload: Value = serde_json::from_slice(&message.payload).unwrap();
        // What is secret is in no answer; a stranger who reads the log itself has it.
        payload["data"] = shown(event["type"].as_str().unwrap(), payload["data"].to_string().as_bytes());
        assert_eq!(&payload, event);
        let (category, id) = event["stream"].as_str().unwrap().split_once('-').unwrap();
        let kind = event["type"].as_str().unwrap();
        let kind_told = kind.strip_prefix(category).and_then(|rest| rest.strip_prefix('.')).unwrap_or(kind);
        assert_eq!(message.subject.as_str(), format!("deskfold.{}.{category}.{id}.{kind_told}", server.tenant));
        let headers = &message.headers;
        for (name, member) in [("Type", "type"), ("Stream", "stream"), ("Recorded-At", "recorded_at")] {
            assert_eq!(header(headers, &format!("Deskfold-{name}")), event[member].as_str().unwrap());
        }
        for (name, member) in [("Position", "position"), ("Version", "version")] {
            assert_eq!(header(headers, &format!("Deskfold-{name}")), event[member].to_string());
        }
    }
    assert!(messages.values().any(|message| message.subject.ends_with(".opened")));

    let stream = jetstream_of(&nats).await.get_stream("DESKFOLD").await.unwrap();
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, ["deskfold.>"]);
    assert_eq!((config.max_age, config.max_bytes), (Duration::from_secs(168 * 3600), 1 << 30));
    assert_eq!(
        (config.storage, config.discard),
        (jetstream::stream::StorageType::File, jetstream::stream::DiscardPolicy::Old)
    );

    // It is told to whoever watches.
    let head = head(&server.database.pool).await;
    assert_eq!(relay_says(&server.admin).await, json!({ "state": "publishing", "position": head, "behind": 0 }));
    assert!((metric(&server.admin, "deskfold_relay_position").await - head as f64).abs() < 0.1);
    assert!((metric(&server.admin, "deskfold_relay_published_total").await - head as f64).abs() < 0.1);
    for still in ["deskfold_relay_lag_positions", "deskfold_relay_lag_seconds", "deskfold_relay_refusals_total"] {
        assert!(metric(&server.admin, still).await.abs() < 0.1, "{still}");
    }

    // Other settings reach the stream that is there.
    let url = server.database.url.clone();
    server.app.stop().await;
    let (app, _) = server.beside(&["--nats-url", &nats.url(), "--nats-max-age", "24h", "--nats-max-bytes", "0"]).await;
    relayed(&app, &server.database.pool).await;
    let stream = jetstream_of(&nats).await.get_stream("DESKFOLD").await.unwrap();
    let config = &stream.cached_info().config;
    assert_eq!((config.max_age, config.max_bytes), (Duration::from_secs(24 * 3600), -1));
    agrees(&nats, &server.database.pool, 1).await;
    let status = output(&["relay", "status", "--database-url", &url, "--nats-url", &nats.url()]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let told = ["standing", "first", "last", "messages", "head", "behind"].map(|name| status[name].clone());
    assert_eq!(told, [json!("agrees"), json!(1), json!(head), json!(head), json!(head), json!(0)]);
    app.stop().await;
}

#[tokio::test]
async fn nothing_waits_for_nats_and_nothing_is_lost_or_doubled_without_it() {
    let mut nats = NatsServer::absent();
    let server = Server::with(&["--nats-url", &nats.url()]).await;
    let (client, pool) = (&server.admin, &server.database.pool);

    // Not there at all.
    for number in 0..10 {
        ticket(client, &format!("Before {number}")).await;
    }
    server.settle().await;
    let status = until(&server.app, |status| status.behind > 10).await;
    assert_eq!((status.state, status.position), (RelayState::Degraded, 0));
    let said = relay_says(client).await;
    assert_eq!((&said["state"], &said["reason"]), (&json!("degraded"), &json!("NATS cannot be reached")));
    assert_eq!(client.read("/readyz").await["events_from"], "postgresql");
    assert!(metric(client, "deskfold_relay_lag_positions").await > 10.0);
    assert!(metric(client, "deskfold_relay_lag_seconds").await > 0.0);
    assert!(metric(client, "deskfold_nats_connected").await.abs() < 0.1);

    // It appears: everything is there.
    nats.run();
    relayed(&server.app, pool).await;
    agrees(&nats, pool, 1).await;
    assert!((metric(client, "deskfold_nats_connected").await - 1.0).abs() < 0.1);

    // It is killed while commands come, and comes back with what it had.
    for round in 0..3 {
        let writing = async {
            for number in 0..40 {
                ticket(client, &format!("Round {round}, {number}")).await;
            }
        };
        let killing = async {
            let half = head(pool).await + 20;
            until(&server.app, |status| status.position > half).await;
            nats.kill();
            until(&server.app, |status| status.state == RelayState::Degraded).await;
        };
        tokio::join!(writing, killing);
        assert_eq!(relay_says(client).await["state"], "degraded");
        nats.run();
        relayed(&server.app, pool).await;
        agrees(&nats, pool, 1).await;
    }
    assert!(metric(client, "deskfold_nats_reconnects_total").await > 2.5);

    // It is emptied while it is down, and while it is up.
    nats.kill();
    nats.empty();
    ticket(client, "While it was down").await;
    nats.run();
    relayed(&server.app, pool).await;
    agrees(&nats, pool, 1).await;
    jetstream_of(&nats).await.delete_stream("DESKFOLD").await.unwrap();
    ticket(client, "There is no stream").await;
    relayed(&server.app, pool).await;
    agrees(&nats, pool, 1).await;

    // It answers no more, but keeps its connections.
    nats.signal("STOP");
    let began = Instant::now();
    for number in 0..10 {
        ticket(client, &format!("While it hangs {number}")).await;
    }
    server.settle().await;
    assert!(began.elapsed() < Duration::from_secs(4), "appends do not wait for it: {:?}", began.elapsed());
    until(&server.app, |status| status.state == RelayState::Degraded).await;
    nats.signal("CONT");
    relayed(&server.app, pool).await;
    agrees(&nats, pool, 1).await;
}

#[tokio::test]
async fn a_stream_that_is_not_the_logs_is_refused_until_it_is_rebuilt() {
    let nats = NatsServer::start();
    let server = Server::with(&["--nats-url", &nats.url()]).await;
    let (client, pool) = (&server.admin, &server.database.pool);
    ticket(client, "First").await;
    relayed(&server.app, pool).await;

    // Somebody else publishes where only the relay may: the log's next event has no place any more.
    let stranger = jetstream_of(&nats).await;
    stranger.publish("deskfold.x", "{}".into()).await.unwrap().await.unwrap();
    ticket(client, "Second").await;
    let refusing = until(&server.app, |status| status.state == RelayState::Refusing).await;
    assert!(refusing.reason.unwrap().contains("relay rebuild"));
    assert_eq!(relay_says(client).await["state"], "refusing");
    assert!(metric(client, "deskfold_relay_refusals_total").await > 0.9);
    let of = ["--database-url", &server.database.url, "--nats-url", &nats.url()];
    let status = output(&[&["relay", "status"], &of[..]].concat()).await;
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["standing"], "foreign");

    // Rebuilt beside the running server, which goes on from there.
    let told = output(&[&["relay", "rebuild"], &of[..]].concat()).await;
    assert!(told.contains("published again"), "{told}");
    ticket(client, "Third").await;
    relayed(&server.app, pool).await;
    agrees(&nats, pool, 1).await;

    // A log that ends before the stream does, as after a restore of an older backup; nobody follows that stream.
    let older = Server::with(&["--nats-url", &nats.url()]).await;
    let refusing = until(&older.app, |status| status.state == RelayState::Refusing).await;
    assert!(refusing.reason.unwrap().contains("backup"));
    ticket(&older.admin, "Another history").await;
    older.settle().await;
    assert_eq!(older.admin.read("/readyz").await["events_from"], "postgresql");
    agrees(&nats, pool, 1).await;
    // And one that is as long by now, but says something else.
    for number in 0..10 {
        ticket(&older.admin, &format!("Other {number}")).await;
    }
    assert!(head(&older.database.pool).await > head(pool).await);
    let refusing =
        |status: &RelayStatus| status.reason.as_ref().is_some_and(|reason| reason.contains("is not the log's"));
    until(&older.app, refusing).await;
    older.settle().await;
    assert_eq!(older.admin.read("/readyz").await["events_from"], "postgresql");
    assert_eq!(texts(&older.admin.read("/v1/tickets?limit=100").await, "title").len(), 11);
    server.app.stop().await;
    let of = ["--database-url", &older.database.url, "--nats-url", &nats.url()];
    output(&[&["relay", "rebuild"], &of[..]].concat()).await;
    relayed(&older.app, &older.database.pool).await;
    agrees(&nats, &older.database.pool, 1).await;

    let said = failure(&["relay", "status", "--database-url", &server.database.url]).await;
    assert!(said.contains("--nats-url"), "{said}");
}

#[tokio::test]
async fn a_stream_begins_with_its_window() {
    let nats = NatsServer::start();
    let server = Server::start().await;
    let pool = &server.database.pool;
    for number in 0..10 {
        ticket(&server.admin, &format!("Old {number}")).await;
    }
    server.app.stop().await;
    let old = head(pool).await;
    let aged = "update log_event set recorded_at = recorded_at - interval '3 days'";
    sqlx::query(aged).execute(pool).await.unwrap();
    let arguments = ["--nats-url", &nats.url(), "--nats-max-age", "48h"];
    let (app, client) = server.beside(&arguments).await;
    // Nothing of it is young enough; what comes next has the sequence that is its position.
    relayed(&app, pool).await;
    assert_eq!(messages(&nats).await.len(), 0);
    ticket(&client, "New").await;
    relayed(&app, pool).await;
    agrees(&nats, pool, old + 1).await;
    // The beginning lasts, also when the server crashes before there is an event.
    app.stop().await;
    let mut other = NatsServer::start();
    let (app, client) = server.beside(&["--nats-url", &other.url(), "--nats-max-age", "48h"]).await;
    relayed(&app, pool).await;
    other.kill();
    other.run();
    ticket(&client, "After the crash").await;
    relayed(&app, pool).await;
    agrees(&other, pool, old + 1).await;
    let of = ["--database-url", &server.database.url, "--nats-url", &other.url(), "--nats-max-age", "48h"];
    output(&[&["relay", "rebuild"], &of[..]].concat()).await;
    relayed(&app, pool).await;
    agrees(&other, pool, old + 1).await;
    app.stop().await;
    output(&[&["relay", "rebuild"], &of[..]].concat()).await;
    agrees(&other, pool, old + 1).await;

    // More than a window later the relay does not begin with what would be dropped at once.
    let (silent, client) = server.beside(&[]).await;
    for number in 0..10 {
        ticket(&client, &format!("Not published {number}")).await;
    }
    silent.stop().await;
    let aged = "select clock_timestamp() - recorded_at > interval '500 milliseconds' from log_head";
    while !sqlx::query_scalar::<_, bool>(aged).fetch_one(pool).await.unwrap() {}
    let (app, client) = server.beside(&["--nats-url", &nats.url(), "--nats-max-age", "500ms"]).await;
    ticket(&client, "Newer").await;
    relayed(&app, pool).await;
    let published = metric(&client, "deskfold_relay_published_total").await;
    assert!((published - 1.0).abs() < 0.1, "{published}");
    let stream = jetstream_of(&nats).await.get_stream("DESKFOLD").await.unwrap();
    assert_eq!(i64::try_from(stream.cached_info().state.last_sequence), Ok(head(pool).await));
    app.stop().await;
}

#[tokio::test]
async fn an_event_too_large_for_nats_is_told_of_without_its_data() {
    let nats = NatsServer::with("max_payload: 65536");
    let server = Server::with(&["--nats-url", &nats.url(), "--roles", "api,relay"]).await;
    let (reader, client) = server.beside(&["--nats-url", &nats.url(), "--roles", "api,project"]).await;
    relayed(&server.app, &server.database.pool).await;
    follows(&reader, true).await;
    let large = "x".repeat(100_000);
    let id = server.admin.create("/v1/tickets", json!({ "title": "Large", "description": large })).await;
    ticket(&server.admin, "After").await;
    relayed(&server.app, &server.database.pool).await;
    agrees(&nats, &server.database.pool, 1).await;
    let bodies: Vec<Value> =
        messages(&nats).await.values().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect();
    let omitted: Vec<_> = bodies.iter().filter(|body| body.get("omitted").is_some()).collect();
    let [omitted] = omitted.as_slice() else { panic!("{omitted:?}") };
    assert_eq!((&omitted["omitted"], &omitted["data"]), (&json!("too_large"), &Value::Null));
    assert_eq!((&omitted["type"], &omitted["stream"]), (&json!("ticket.opened"), &json!(format!("ticket-{id}"))));
    // It is where everything is.
    let after = omitted["position"].as_i64().unwrap() - 1;
    let whole = server.admin.read(&format!("/v1/events?after={after}&limit=1")).await;
    assert_eq!(whole["data"][0]["data"]["description"], large);
    let position = head(&server.database.pool).await;
    let fresh = client.header("deskfold-min-position", position);
    assert_eq!(texts(&fresh.read("/v1/tickets?sort=number").await, "title"), ["Large", "After"]);
    let parked = sqlx::query_scalar::<_, i64>("select count(*) from log_parked").fetch_one(&server.database.pool).await;
    assert_eq!(parked.unwrap(), 0);
    reader.stop().await;
}

#[tokio::test]
async fn a_process_learns_from_jetstream_and_from_postgresql_when_it_must() {
    let mut nats = NatsServer::start();
    let writer = Server::with(&["--nats-url", &nats.url(), "--roles", "api,relay"]).await;
    let (reader, client) = writer.beside(&["--nats-url", &nats.url(), "--roles", "api,project"]).await;
    let pool = &writer.database.pool;
    relayed(&writer.app, pool).await;
    follows(&reader, true).await;
    assert_eq!(client.read("/readyz").await["events_from"], "nats");
    assert_eq!(writer.admin.read("/readyz").await["events_from"], "postgresql", "it publishes what it reads there");

    let mut titles = Vec::new();
    let write = async |titles: &mut Vec<String>, what: &str| {
        for number in 0..10 {
            titles.push(format!("{what} {number}"));
            ticket(&writer.admin, titles.last().unwrap()).await;
        }
        let fresh = client.header("deskfold-min-position", head(pool).await);
        let read = fresh.read("/v1/tickets?sort=number&limit=200").await;
        assert_eq!(&texts(&read, "title"), titles);
    };
    let brought =
        async |source: &str| metric(&client, &format!("deskfold_log_tail_events_total{{source=\"{source}\"}}")).await;
    reader.settle().await.unwrap();
    let (by_nats, by_postgresql) = (brought("nats").await, brought("postgresql").await);
    write(&mut titles, "Over NATS").await;
    // Slow machines may have read some of them before NATS brought them.
    assert!(brought("nats").await > by_nats, "{} came over NATS", brought("nats").await - by_nats);
    assert!(brought("nats").await - by_nats + brought("postgresql").await - by_postgresql > 9.5);

    // Killed.
    nats.kill();
    follows(&reader, false).await;
    let by_nats = brought("nats").await;
    write(&mut titles, "Without").await;
    assert!((brought("nats").await - by_nats).abs() < 0.1);
    assert_eq!(client.read("/readyz").await["events_from"], "postgresql");

    // Back, with what was published meanwhile.
    nats.run();
    relayed(&writer.app, pool).await;
    follows(&reader, true).await;
    let by_nats = brought("nats").await;
    write(&mut titles, "Back").await;
    assert!(brought("nats").await > by_nats);

    // Slow: what it does not bring in time is read.
    nats.signal("STOP");
    write(&mut titles, "Slow").await;
    nats.signal("CONT");
    write(&mut titles, "Not slow").await;
    relayed(&writer.app, pool).await;

    // Emptied and rebuilt.
    let of = ["relay", "rebuild", "--database-url", &writer.database.url, "--nats-url", &nats.url()];
    output(&of).await;
    write(&mut titles, "Rebuilt").await;
    relayed(&writer.app, pool).await;
    // It takes a moment until the reader knows that the stream it followed is gone; until then it reads the log.
    let by_nats = brought("nats").await;
    let mut rounds = 0..15;
    while brought("nats").await <= by_nats {
        let round = rounds.next().expect("events over NATS again");
        write(&mut titles, &format!("Round {round}")).await;
        follows(&reader, true).await;
    }
    agrees(&nats, pool, 1).await;

    // What was folded out of JetStream is what PostgreSQL would have given: byte for byte the same rows when made anew.
    let rows = "select to_jsonb(t) - 'handled_at' from read_ticket_list t order by 1";
    let folded: Vec<Value> = sqlx::query_scalar(rows).fetch_all(pool).await.unwrap();
    reader.stop().await;
    output(&["rebuild", "--database-url", &writer.database.url, "ticket_list"]).await;
    let again: Vec<Value> = sqlx::query_scalar(rows).fetch_all(pool).await.unwrap();
    assert_eq!(folded.len(), titles.len());
    assert_eq!(folded, again);
}

#[tokio::test]
async fn a_relay_that_has_lost_its_lease_changes_nothing() {
    let nats = NatsServer::start();
    let server = Server::start().await;
    let pool = &server.database.pool;
    let home = home();
    let of = ["--database-url", &server.database.url, "--nats-url", &nats.url()];
    let mut first = Running::start(home.path(), &[&of[..], &["--roles", "relay"]].concat()).await;
    first.says("the relay takes the lease").await;
    ticket(&server.admin, "By the first").await;
    let (second, _) = server.beside(&[&of[2..], &["--roles", "api,relay"]].concat()).await;
    let position = head(pool).await;
    until(&second, |status| status.state == RelayState::StandingBy && status.position >= position).await;

    // The first is held up; its lease runs out; the second goes on.
    first.signal("STOP");
    let expired =
        "update log_subscription set leased_until = clock_timestamp() - interval '1 second' where name = 'relay'";
    sqlx::query(expired).execute(pool).await.unwrap();
    until(&second, |status| status.state == RelayState::Publishing).await;
    for number in 0..50 {
        ticket(&server.admin, &format!("By the second {number}")).await;
    }
    relayed(&second, pool).await;
    // It wakes up and still believes that it is its turn.
    first.signal("CONT");
    ticket(&server.admin, "After").await;
    first.says("lost its lease").await;
    relayed(&second, pool).await;
    agrees(&nats, pool, 1).await;

    // In order: the one stops, the other takes over at once.
    second.stop().await;
    first.says("the relay takes the lease").await;
    ticket(&server.admin, "By the first again").await;
    let (third, _) = server.beside(&[&of[2..], &["--roles", "api,relay"]].concat()).await;
    let position = head(pool).await;
    until(&third, |status| status.state == RelayState::StandingBy && status.position >= position).await;
    agrees(&nats, pool, 1).await;
    first.signal("TERM");
    assert!(first.end().await.0);
    third.stop().await;
}

#[tokio::test]
async fn two_processes_with_split_roles_share_the_work() {
    let nats = NatsServer::guarded("deskfold", "s3cret/@x", "");
    let database = deskfold_tests::database().await;
    let of = ["--database-url", &database.url, "--nats-url", &nats.url()];
    let (one, two, three) = (home(), home(), home());
    let api = Running::start(one.path(), &[&of[..], &["--roles", "api"]].concat()).await;
    let key = keys(&api.printed()).remove(0);
    let client = api.client(&key);
    let not_ready = client.get("/readyz").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(!not_ready["building"].as_array().unwrap().is_empty(), "somebody else folds: {not_ready}");

    let work = [&of[..], &["--roles", "project,react,relay"]].concat();
    let mut worker = Running::start(two.path(), &work).await;
    let mut said = worker.says("the relay takes the lease").await;
    let titles = |count: usize| (1..=count).map(|number| format!("Ticket {number}")).collect::<Vec<_>>();
    let write = async |from: usize, to: usize| {
        for number in from..=to {
            ticket(&client, &format!("Ticket {number}")).await;
        }
        let position = head(&database.pool).await;
        let fresh = client.header("deskfold-min-position", position);
        let began = Instant::now();
        let mut listed = fresh.get("/v1/tickets?sort=number&limit=200").await;
        while listed.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(began.elapsed() < PATIENCE, "{}", listed.text);
            listed = fresh.get("/v1/tickets?sort=number&limit=200").await;
        }
        assert_eq!(texts(&listed.expect(StatusCode::OK), "title"), titles(to));
        position
    };
    write(1, 20).await;
    let ready = client.read("/readyz").await;
    assert_eq!((&ready["ready"], ready.get("relay")), (&json!(true), None));
    // A second worker stands by, and goes on when the first is killed.
    let mut heir = Running::start(three.path(), &work).await;
    said += &heir.says("events come from JetStream").await;
    worker.signal("KILL");
    assert!(!worker.end().await.0);
    let expired = "update log_subscription set leased_until = clock_timestamp() where leased_until is not null";
    sqlx::query(expired).execute(&database.pool).await.unwrap();
    write(21, 40).await;
    said += &heir.says("the relay takes the lease").await;
    let last = write(41, 60).await;
    // An import is the business of whoever reacts.
    let imported = imports::history(&client, &imports::extract()).await;
    assert_eq!(imported["status"], "completed", "{imported}");
    heir.signal("TERM");
    let (well, rest) = heir.end().await;
    assert!(well, "{rest}");

    // Everything once, in order, in both places; and no secret in any log.
    let status = output(&[&["relay", "status"], &of[..]].concat()).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["standing"], &status["first"]), (&json!("agrees"), &json!(1)));
    let behind = status["behind"].as_i64().unwrap();
    assert!(status["last"].as_i64().unwrap() >= last && behind >= 0, "{status}");
    // Who left has published all there was, or the next one does.
    output(&[&["relay", "rebuild"], &of[..]].concat()).await;
    agrees(&nats, &database.pool, 1).await;
    api.signal("TERM");
    let (well, log) = api.end().await;
    assert!(well);
    for log in [said, rest, log] {
        assert!(!log.contains("s3cret"), "{log}");
    }
}

/// A program that may read and not publish, as `docs/events-contract.md` says it is set up.
const READER: &str = r#"{ user: warehouse, password: hunter2, permissions: {
    publish: [ "$JS.API.INFO", "$JS.API.STREAM.INFO.DESKFOLD", "$JS.API.CONSUMER.*.DESKFOLD.>", "$JS.API.CONSUMER.*.DESKFOLD",
               "$JS.API.CONSUMER.MSG.NEXT.DESKFOLD.>", "$JS.ACK.DESKFOLD.>", "$JS.FC.>" ]
    subscribe: [ "_INBOX.>" ] } }"#;

/// What the consumer in Python printed, one JSON object a line.
async fn consume(nats: &NatsServer, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new("python3");
    let url = nats.url_of("warehouse", "hunter2");
    command.env("PYTHONPATH", python()).arg(root().join("tests/consumer.py")).arg(url).args(arguments);
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where `deploy/install-prerequisites.sh` puts the client.
fn python() -> std::path::PathBuf {
    root().join("target/python")
}

fn has_python_client(libraries: &Path) -> bool {
    let tried = Command::new("python3").env("PYTHONPATH", libraries).args(["-c", "import nats"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

#[tokio::test]
async fn a_stranger_reads_the_public_contract_in_python() {
    if !has_python_client(&python()) {
        eprintln!("SKIPPED: nats-py is not installed; deploy/install-prerequisites.sh installs it into target/python");
        return;
    }
    let contract = std::fs::read_to_string(root().join("docs/events-contract.md")).unwrap();
    for right in READER.split('"').filter(|part| part.starts_with(['$', '_'])) {
        assert!(contract.contains(right), "{right} is needed, and not written there");
    }
    let nats = NatsServer::guarded("deskfold", "s3cret", READER);
    let server = Server::with(&["--nats-url", &nats.url()]).await;
    let other = server.another_tenant("Other").await;
    let (client, tenant) = (&server.admin, &server.tenant);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(ticket(client, &format!("Ticket {number}")).await);
        ticket(&other, "Theirs").await;
    }
    client.run(&format!("/v1/tickets/{}/close", ids[0]), json!({})).await;
    relayed(&server.app, &server.database.pool).await;

    // Every ticket event of one tenant, as the API shows them.
    let of_tickets = client.read("/v1/events?category=ticket&limit=1000").await["data"].clone();
    let of_tickets = of_tickets.as_array().unwrap();
    let subject = format!("deskfold.{tenant}.ticket.>");
    let count = of_tickets.len().to_string();
    let read = consume(&nats, &[&subject, "1", &count]).await;
    let events: Vec<_> = read.iter().map(|message| message["event"].clone()).collect();
    assert_eq!(&events, of_tickets);
    for message in &read {
        let event = &message["event"];
        assert_eq!(message["sequence"], event["position"]);
        assert_eq!(message["headers"]["Deskfold-Tenant"], **tenant);
        assert_eq!(message["headers"]["Nats-Msg-Id"], event["position"].to_string());
        assert_eq!(message["headers"]["Deskfold-Type"], event["type"]);
    }

    // It resumes after what it has seen, and filters by record and by type.
    let seen = of_tickets[2]["position"].as_i64().unwrap();
    let count = (of_tickets.len() - 3).to_string();
    let rest = consume(&nats, &[&subject, &(seen + 1).to_string(), &count]).await;
    let events: Vec<_> = rest.iter().map(|message| message["event"].clone()).collect();
    assert_eq!(events, of_tickets[3..]);
    let closed = consume(&nats, &[&format!("deskfold.*.ticket.{}.closed", ids[0]), "1", "1"]).await;
    assert_eq!(closed[0]["event"]["stream"], format!("ticket-{}", ids[0]));

    // It cannot write.
    let reader = async_nats::ConnectOptions::new().user_and_password("warehouse".into(), "hunter2".into());
    let reader = reader.connect(nats.url()).await.unwrap();
    reader.publish("deskfold.x", "{}".into()).await.unwrap();
    reader.flush().await.unwrap();

    // It waits for what is to come.
    let next = (head(&server.database.pool).await + 1).to_string();
    let arguments = [&*subject, &next, "1"];
    let (coming, _) = tokio::join!(consume(&nats, &arguments), ticket(client, "Coming"));
    assert_eq!(coming[0]["event"]["data"]["title"], "Coming");
}

#[tokio::test]
async fn the_shipped_configurations_are_valid() {
    let (_, version) = nats_server(&["--version"]);
    let old = version.contains("v2.9.");
    for (file, valid) in [("nats.conf", !old), ("nats-2.9.conf", true)] {
        let (well, said) = nats_server(&["-t", "-c", root().join("deploy").join(file).to_str().unwrap()]);
        assert_eq!(well, valid, "{said}");
        // What an old server does not know is what the other file leaves out, and nothing else.
        assert!(well || said.contains("unknown field \"sync_interval\""), "{said}");
    }
}
