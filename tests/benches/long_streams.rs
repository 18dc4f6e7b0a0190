//! Loading a ticket and a conversation of 100,000 events after a restart, from their snapshots and without, in one run on one
//! PostgreSQL: `cargo bench -p deskfold-tests --bench long_streams`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::time::Instant;

use clap::Parser;
use commands::{Commands, Metrics};
use common::{median, tell_rate, tell_time};
use domain::{Aggregate, Id, Time, chat::conversation::Conversation, desk::ticket::Ticket};
use eventstore::{Append, Expected, Log, NewEvent, Options, StreamWrite};
use prometheus::Registry;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Parser)]
struct Arguments {
    /// How many events each has.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// How many times each is loaded either way.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

const BODY: &str = "Good morning, since the last update the device on our second floor blinks and prints nothing. We have \
                    restarted it twice. Could somebody have a look, please?";

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let cluster = common::cluster().await;
    let pool = common::database(&cluster, "desk").await;
    let log = Log::open(pool.clone(), Options::default()).await.unwrap();
    let contact = json!({ "kind": "contact", "id": id(1) });
    let opened = json!({ "opened": {
        "number": 1, "title": "It never ends", "channel": "email", "priority": 0, "stage": "new", "requester": contact,
    } });
    let said = |number| match number % 2 {
        0 => json!({ "message_received": { "message_id": id(number), "from": contact, "body": BODY } }),
        _ => json!({ "note_added": { "message_id": id(number), "body": BODY, "attachments": [] } }),
    };
    long::<Ticket>(&arguments, &log, &pool, "ticket", &opened, &said).await;
    let identity = json!({ "kind": "whatsapp", "value": "+39 06 555 0101" });
    let started =
        json!({ "started": { "channel": id(5), "medium": "whatsapp", "identity": identity, "contact": id(1) } });
    let said = |number| match number % 2 {
        0 => {
            json!({ "message_received": { "message_id": id(number), "external_id": format!("wa-{number}"), "body": BODY } })
        }
        _ => json!({ "message_queued": { "message_id": id(number), "body": BODY } }),
    };
    long::<Conversation>(&arguments, &log, &pool, "conversation", &started, &said).await;
    log.close().await;
    pool.close().await;
    cluster.stop().await.unwrap();
}

fn id(number: usize) -> Id {
    Id::derived(1_700_000_000_000 + number as u64 * 1000, &[&number.to_string()])
}

/// Commands of a process that has just started.
fn restarted(log: &Log) -> Commands {
    Commands::new(log.clone(), 100, Metrics::new(&Registry::new()).unwrap())
}

async fn long<A: Aggregate>(
    arguments: &Arguments,
    log: &Log,
    pool: &PgPool,
    what: &str,
    first: &Value,
    next: &dyn Fn(usize) -> Value,
) {
    let (tenant, record) = (id(2), id(3));
    // Some events more than the last snapshot has: what happens until the next one is due.
    let more = 250;
    append::<A>(log, tenant, record, 0, std::iter::once(first.clone()).chain((1..arguments.events).map(next))).await;
    sqlx::raw_sql("vacuum analyze log_event").execute(pool).await.unwrap();
    let load = async || {
        let commands = restarted(log);
        let began = Instant::now();
        let (state, version) = commands.load::<A>(tenant, record).await.unwrap();
        let took = began.elapsed().as_secs_f64() * 1000.0;
        commands.settle().await;
        commands.close().await;
        (state, version, took)
    };
    load().await;
    let rest = (arguments.events..arguments.events + more).map(next);
    append::<A>(log, tenant, record, arguments.events as i64, rest).await;
    let (mut whole, mut short) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let (state, version, took) = load().await;
        short.push(took);
        // The same without the snapshot, which is put back afterwards.
        sqlx::raw_sql("begin; create table aside as table log_snapshot; truncate log_snapshot; commit")
            .execute(pool)
            .await
            .unwrap();
        let (again, folded, took) = load().await;
        whole.push(took);
        assert!(state == again && version == folded, "the snapshot and the log say the same");
        sqlx::raw_sql("begin; truncate log_snapshot; insert into log_snapshot table aside; drop table aside; commit")
            .execute(pool)
            .await
            .unwrap();
    }
    let (whole, short) = (median(whole), median(short));
    let size: i64 = sqlx::query_scalar("select max(length(state))::bigint from log_snapshot where stream = $1")
        .bind(A::stream(record))
        .fetch_one(pool)
        .await
        .unwrap();
    println!("    a {what} of {} events: read whole {whole:.0} ms, its snapshot has {size} bytes", arguments.events);
    tell_time(&format!("{what} of {} events after a restart", arguments.events), short, 20.0);
    let rate = |milliseconds: f64| 1000.0 / milliseconds;
    tell_rate(&format!("{what} loaded from its snapshot"), rate(short), "read whole", rate(whole), 10.0);
}

/// Appends to one stream, some thousands at once.
async fn append<A: Aggregate>(log: &Log, tenant: Id, record: Id, mut from: i64, events: impl Iterator<Item = Value>) {
    let user =
        json!({ "actor": { "kind": "user", "id": id(4) }, "via": "api", "command_id": "c", "correlation_id": "c" });
    let metadata = bytes::Bytes::from(user.to_string());
    let events: Vec<NewEvent> = events
        .map(|event| {
            let event: A::Event = decoded::<A>(&event);
            let (kind, data) = A::encode(&event);
            let (data, metadata, occurred_at) = (data.into(), metadata.clone(), Some(Time::now()));
            NewEvent { id: Uuid::now_v7(), kind, occurred_at, is_json: true, data, metadata, number: None }
        })
        .collect();
    for chunk in events.chunks(5_000) {
        let expected = if from == 0 { Expected::NoStream } else { Expected::Exact(from - 1) };
        from += chunk.len() as i64;
        let writes = vec![StreamWrite { stream: A::stream(record), expected, events: chunk.to_vec() }];
        let (tenant, command_id) = (tenant.to_string(), Uuid::now_v7());
        log.append(Append { tenant, command_id, fingerprint: 0, remember: false, writes, claims: vec![] })
            .await
            .unwrap();
    }
}

/// An event as `{"name": data}`.
fn decoded<A: Aggregate>(event: &Value) -> A::Event {
    let (name, data) = event.as_object().unwrap().iter().next().unwrap();
    A::decode(&format!("{}.{name}", A::KIND), data.to_string().as_bytes()).unwrap()
}
