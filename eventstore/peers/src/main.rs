//! Appends per second of another event store: `peers <esrs|postgres-es> <socket directory> <database> <clients> <seconds>`.
//!
//! As in the bench of the log: each client has streams of 50 events, an append adds one of 250 bytes of data and 110 of
//! metadata to a version it knows, and nothing is loaded or folded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use esrs::store::EventStore;
use esrs::store::postgres::{PgStore, PgStoreBuilder};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

/// Connections: more are slower on few processors.
const CONNECTIONS: u32 = 16;
/// Events of one stream.
const EVENTS: usize = 50;

fn text(bytes: usize) -> String {
    "The printer on the second floor blinks again. ".chars().cycle().take(bytes).collect()
}

fn data() -> Value {
    json!({"type": "commented", "comment": "01J2Z3K4M5N6P7Q8R9S0T1V2W3", "author": "01J2Z3K4M5N6P7Q8R9S0T1V2W4", "seconds": 90,
        "internal": false, "text": text(113)})
}

fn metadata() -> Value {
    json!({"actor": "01J2Z3K4M5N6P7Q8R9S0T1V2W4", "channel": "api", "correlation": "01J2Z3K4M5N6P7Q8R9S0T1V2W3", "x": text(11)})
}

/// A client that writes one stream after the other.
trait Client: Send + 'static {
    /// Appends one event to the stream that has so many, the first to a new stream.
    fn append(&mut self, events: usize) -> impl Future<Output = ()> + Send;
}

/// Appends per second.
async fn run<C: Client>(clients: Vec<C>, length: Duration) -> f64 {
    let appends = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let appends = Arc::clone(&appends);
        tokio::spawn(async move {
            for turn in 0.. {
                if began.elapsed() >= length {
                    return;
                }
                client.append(turn % EVENTS).await;
                appends.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.expect("a client that ends");
    }
    appends.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// What both stores call an aggregate; nothing of it is used but its name.
#[derive(Default, Serialize, Deserialize)]
struct Ticket;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Commented {
    data: Value,
    metadata: Value,
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

// ---- esrs

impl esrs::Aggregate for Ticket {
    const NAME: &'static str = "ticket";
    type State = ();
    type Command = ();
    type Event = Commented;
    type Error = Never;

    fn handle_command(_: &(), (): ()) -> Result<Vec<Commented>, Never> {
        Ok(Vec::new())
    }

    fn apply_event((): (), _: Commented) {}
}

struct Esrs {
    store: PgStore<Ticket>,
    state: esrs::AggregateState<()>,
    event: Commented,
}

impl Client for Esrs {
    async fn append(&mut self, events: usize) {
        if events == 0 {
            self.state = esrs::AggregateState::with_id(Uuid::now_v7());
        }
        self.store.persist(&mut self.state, vec![self.event.clone()]).await.expect("an append");
    }
}

async fn esrs(pool: PgPool, clients: usize) -> Vec<Esrs> {
    let store = PgStoreBuilder::<Ticket>::new(pool).try_build().await.expect("its tables");
    let event = Commented { data: data(), metadata: metadata() };
    (0..clients)
        .map(|_| Esrs { store: store.clone(), state: esrs::AggregateState::new(), event: event.clone() })
        .collect()
}

// ---- postgres-es

impl cqrs_es::DomainEvent for Commented {
    fn event_type(&self) -> String {
        "ticket.commented".into()
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}

impl cqrs_es::Aggregate for Ticket {
    const TYPE: &'static str = "ticket";
    type Command = ();
    type Event = Commented;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &cqrs_es::event_sink::EventSink<Self>) -> Result<(), Never> {
        Ok(())
    }

    fn apply(&mut self, _: Commented) {}
}

struct PostgresEs {
    store: Arc<PostgresEventRepository>,
    stream: String,
    event: Commented,
}

impl Client for PostgresEs {
    async fn append(&mut self, events: usize) {
        if events == 0 {
            self.stream = Uuid::now_v7().to_string();
        }
        let Commented { data, metadata } = self.event.clone();
        let (stream, kind) = (self.stream.clone(), "ticket".to_owned());
        let event =
            SerializedEvent::new(stream, events + 1, kind, "ticket.commented".into(), "1.0".into(), data, metadata);
        self.store.persist::<Ticket>(&[event], None).await.expect("an append");
    }
}

async fn postgres_es(pool: PgPool, clients: usize) -> Vec<PostgresEs> {
    // As its documentation says.
    sqlx::query(
        "create table if not exists events (aggregate_type text not null, aggregate_id text not null,
             sequence bigint check (sequence >= 0) not null, event_type text not null, event_version text not null,
             payload json not null, metadata json not null, primary key (aggregate_type, aggregate_id, sequence))",
    )
    .execute(&pool)
    .await
    .expect("its table");
    let store = Arc::new(PostgresEventRepository::new(pool));
    let event = Commented { data: data(), metadata: metadata() };
    (0..clients)
        .map(|_| PostgresEs { store: Arc::clone(&store), stream: String::new(), event: event.clone() })
        .collect()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, socket, database, clients, seconds] = arguments.as_slice() else {
        panic!("peers <esrs|postgres-es> <socket directory> <database> <clients> <seconds>");
    };
    let clients = clients.parse().expect("a number of clients");
    let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let options = PgConnectOptions::new_without_pgpass().socket(socket).username("postgres").database(database);
    let pool = PgPoolOptions::new().min_connections(1).max_connections(CONNECTIONS).connect_with(options);
    let pool = pool.await.expect("a connection");
    let rate = match peer.as_str() {
        "esrs" => run(esrs(pool, clients).await, length).await,
        "postgres-es" => run(postgres_es(pool, clients).await, length).await,
        other => panic!("no such peer: {other}"),
    };
    println!("{rate}");
}
