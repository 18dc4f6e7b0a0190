//! Processes killed without warning: what was acknowledged is in the log once, and everything follows from the log.
//!
//! `make crash` runs as many rounds as asked for; `DESKFOLD_CRASH_SEED` repeats the choices of one.

#![allow(clippy::print_stdout, reason = "a round says its seed, so that its choices can be repeated")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use deskfold_tests::{Client, NatsServer, config, free_port};
use futures::future::join_all;
use gateway::{
    App,
    postgres::{Embedded, EmbeddedError, Options},
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::ground::{
    nats::{agrees, relayed},
    program::{deskfold, home},
};

/// Clients that write at once.
const CLIENTS: usize = 8;
/// Kills in a round, at least one of each victim.
const KILLS: usize = 7;
/// How long anything may take, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whatever may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    First,
    Second,
    Postgres,
    Nats,
}

const VICTIMS: [Victim; 4] = [Victim::First, Victim::Second, Victim::Postgres, Victim::Nats];

/// A `deskfold serve` that comes back on the same address.
pub(crate) struct Node {
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// Starts one on a database, with more arguments than every one has.
    pub(crate) async fn start(home: &Path, name: &str, url: &str, more: &[&str]) -> Node {
        let port = free_port();
        let directory = home.join(name);
        let texts = [
            ["--listen", &format!("127.0.0.1:{port}")],
            ["--database-url", url],
            ["--data-dir", directory.to_str().unwrap()],
            ["--rate-limit", "0"],
        ];
        let arguments = texts.concat().into_iter().chain(more.iter().copied());
        let mut node = Node { port, arguments: arguments.map(str::to_owned).collect(), child: None };
        node.run().await;
        node
    }

    /// Runs it, and waits until it can work.
    pub(crate) async fn run(&mut self) {
        let mut arguments = vec!["serve"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let log = fs::File::create(format!("{}.log", self.arguments[5])).unwrap();
        self.child = Some(deskfold(&arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let client = self.client("");
        let ready = async {
            let mut pulse = pulse();
            loop {
                pulse.tick().await;
                let answer = client.request(Method::GET, "/readyz").send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                let ended = self.child.as_mut().unwrap().try_wait().unwrap();
                assert!(ended.is_none(), "{}: {}", self.arguments[5], self.said());
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("it is ready in time");
    }

    fn said(&self) -> String {
        fs::read_to_string(format!("{}.log", self.arguments[5])).unwrap_or_default()
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(([127, 0, 0, 1], self.port).into(), key)
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it in order.
    fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        signal("TERM", child.id());
        assert!(child.wait().unwrap().success(), "{}", self.said());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A moment between one look and the next.
fn pulse() -> tokio::time::Interval {
    let mut pulse = tokio::time::interval(Duration::from_millis(20));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

async fn postgres(home: &Path) -> Embedded {
    let options = Options { fsync: true, max_connections: 100, ..Options::default() };
    let mut pulse = pulse();
    let starting = async {
        loop {
            pulse.tick().await;
            match Embedded::start(&home.join("postgres"), &options).await {
                // Whoever watched over the one that died has yet to notice.
                Err(EmbeddedError::InUse { .. }) => {}
                started => return started.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, starting).await.expect("PostgreSQL starts in time")
}

/// Kills every process of the cluster at once, as a power cut would, and starts it again.
async fn cut_power(home: &Path, cluster: Embedded) -> Embedded {
    let file = fs::read_to_string(home.join("postgres/postgres/postmaster.pid")).unwrap();
    let postmaster: u32 = file.lines().next().unwrap().trim().parse().unwrap();
    signal("KILL", postmaster);
    drop(cluster);
    postgres(home).await
}

/// What a client asks for: a route and a body with a mark that is nowhere else.
struct Wish {
    mark: String,
    path: String,
    body: Value,
}

/// What a client was told.
struct Told {
    mark: String,
    /// Types of the events that its command wrote.
    events: Vec<String>,
    position: u64,
}

/// Asks until there is an answer, of whichever process has one; the same question each time.
async fn insist(nodes: &[Client], dice: &mut StdRng, wish: Wish) -> (Told, Value) {
    let mut pulse = pulse();
    let insisting = async {
        loop {
            pulse.tick().await;
            let node = &nodes[dice.random_range(0..nodes.len())];
            let request = node.request(Method::POST, &wish.path).header("idempotency-key", &wish.mark);
            let Ok(response) = request.timeout(Duration::from_secs(20)).json(&wish.body).send().await else { continue };
            let status = response.status();
            let Ok(text) = response.text().await else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            if status.is_success() {
                let events = answer["events"].as_array().unwrap().iter();
                let events = events.map(|event| event["type"].as_str().unwrap().to_owned()).collect();
                let position = answer["position"].as_u64().unwrap();
                return (Told { mark: wish.mark.clone(), events, position }, answer);
            }
            let later = status.is_server_error() || answer["code"] == "idempotency_key_in_flight";
            assert!(later, "{} {}: {status} {text}", wish.path, wish.body);
        }
    };
    tokio::time::timeout(PATIENCE, insisting).await.unwrap_or_else(|_| panic!("no answer to {} in time", wish.mark))
}

/// Writes until it is told to stop; everything that was acknowledged.
async fn work(
    client: usize,
    nodes: Vec<Client>,
    mut dice: StdRng,
    done: Arc<watch::Sender<usize>>,
    stop: watch::Receiver<bool>,
) -> Vec<Told> {
    let (mut told, mut tickets) = (Vec::new(), Vec::<String>::new());
    for turn in 0.. {
        if *stop.borrow() {
            break;
        }
        let mark = format!("mark-{client}-{turn}.");
        let wish = match dice.random_range(0..10) {
            0..5 if !tickets.is_empty() => {
                let ticket = &tickets[dice.random_range(0..tickets.len())];
                Wish { path: format!("/v1/tickets/{ticket}/add_note"), body: json!({ "body": mark }), mark }
            }
            5..8 => {
                let price = json!({ "amount": "100.00", "currency": "EUR" });
                let items = json!([{ "name": "Chair", "price": price }]);
                let body = json!({ "source": "storefront", "external_number": mark, "items": items });
                Wish { path: "/v1/orders".into(), body, mark }
            }
            _ => Wish { path: "/v1/tickets".into(), body: json!({ "title": mark }), mark },
        };
        let opens = wish.path == "/v1/tickets";
        let (answer, body) = insist(&nodes, &mut dice, wish).await;
        if opens {
            tickets.push(body["id"].as_str().unwrap().to_owned());
        }
        told.push(answer);
        done.send_modify(|done| *done += 1);
    }
    told
}

/// Every event of the log, in order.
async fn whole_log(client: &Client) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event["position"].as_u64().unwrap());
        let page = client.read(&format!("/v1/events?after={after}&limit=1000")).await;
        let page = page["data"].as_array().unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page.iter().cloned());
    }
}

/// Positions and versions have no hole, and everything acknowledged is there, once, where the answer said.
fn check_log(events: &[Value], told: &[Told]) {
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event["position"], position, "positions are dense");
    }
    let mut versions = BTreeMap::<&str, i64>::new();
    let mut ids = BTreeSet::new();
    for event in events {
        let version = versions.entry(event["stream"].as_str().unwrap()).or_insert(-1);
        *version += 1;
        assert_eq!(event["version"], *version, "{event}");
        assert!(ids.insert(event["id"].as_str().unwrap()), "{event}");
    }
    let mut marked = BTreeMap::<String, Vec<&Value>>::new();
    for event in events {
        let data = &event["data"];
        let texts = ["body", "title", "external_number"].map(|name| data[name].as_str().unwrap_or_default());
        if let Some(mark) = texts.iter().find(|text| text.starts_with("mark-")) {
            marked.entry((*mark).to_owned()).or_default().push(event);
        }
    }
    for Told { mark, events: types, position } in told {
        let found = marked.remove(mark).unwrap_or_default();
        assert_eq!(found.len(), 1, "{mark} was acknowledged at {position} and is {} times in the log", found.len());
        assert!(types.iter().any(|kind| found[0]["type"] == *kind.as_str()), "{mark}: {types:?}, {}", found[0]);
        assert!(found[0]["position"].as_u64().unwrap() <= *position, "{mark}");
    }
    // Clients insist until they have an answer, so nothing is there that nobody knows of.
    assert!(marked.is_empty(), "{:?}", marked.keys());
    for (kind, what) in [("ticket.opened", "tickets"), ("order.placed", "orders")] {
        let numbers: BTreeSet<u64> =
            of_type(events, kind).map(|event| event["data"]["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect(), "{what} are numbered without a hole");
        assert_eq!(numbers.len(), of_type(events, kind).count(), "no two {what} have one number");
    }
}

/// Every order has one run of the rule, which was carried out, and one task.
fn check_rule(events: &[Value]) {
    let orders: Vec<&Value> = of_type(events, "order.placed").collect();
    let triggers = of_type(events, "rule_run.matched").map(|run| run["data"]["trigger"]["event_id"].clone());
    let mut runs = BTreeMap::<String, usize>::new();
    triggers.for_each(|trigger| *runs.entry(trigger.to_string()).or_default() += 1);
    for order in &orders {
        let count = runs.remove(&order["id"].to_string()).unwrap_or_default();
        assert_eq!(count, 1, "one run for the order at {} of {}", order["position"], events.len());
    }
    assert!(runs.is_empty(), "{runs:?}");
    for kind in ["rule_run.prepared", "rule_run.executed", "task.created"] {
        assert_eq!(of_type(events, kind).count(), orders.len(), "one {kind} for each order");
    }
    let titles = of_type(events, "task.created").map(|task| task["data"]["title"].as_str().unwrap());
    let titles: BTreeSet<&str> = titles.collect();
    assert_eq!(titles.len(), orders.len(), "{titles:?}");
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["type"] == kind)
}

async fn round(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let home = home();
    let mut cluster = postgres(home.path()).await;
    let mut nats = NatsServer::start();
    let url = cluster.url("deskfold");
    let mut first = Node::start(home.path(), "first", &url, &["--nats-url", &nats.url()]).await;
    let mut second = Node::start(home.path(), "second", &url, &["--nats-url", &nats.url()]).await;
    let key = fs::read_to_string(home.path().join("first/admin.key")).unwrap().trim().to_owned();
    let nodes = vec![first.client(&key), second.client(&key)];
    let rule = json!({
        "name": "Confirm every order",
        "trigger": "order.placed",
        "definition": { "actions": [{ "create_task": { "title": "Confirm order {{ order.number }}" } }] },
    });
    nodes[0].post("/v1/rules", rule).await.expect(StatusCode::CREATED);

    let (stop, stopped) = watch::channel(false);
    let (done, mut progress) = watch::channel(0);
    let done = Arc::new(done);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let dice = StdRng::seed_from_u64(dice.next_u64());
            tokio::spawn(work(client, nodes.clone(), dice, Arc::clone(&done), stopped.clone()))
        })
        .collect();
    let mut victims: Vec<Victim> = VICTIMS.to_vec();
    victims.extend((VICTIMS.len()..KILLS).map(|_| VICTIMS[dice.random_range(0..VICTIMS.len())]));
    while !victims.is_empty() {
        let victim = victims.swap_remove(dice.random_range(0..victims.len()));
        let more = dice.random_range(20..100);
        assert!(goes_on(&mut progress, more).await, "seed {seed}: clients get nowhere before {victim:?} is killed");
        match victim {
            Victim::First => first.kill(),
            Victim::Second => second.kill(),
            Victim::Postgres => cluster = cut_power(home.path(), cluster).await,
            Victim::Nats => nats.kill(),
        }
        // The others work on meanwhile.
        if victim != Victim::Postgres {
            assert!(goes_on(&mut progress, 20).await, "seed {seed}: clients get nowhere without {victim:?}");
        }
        match victim {
            Victim::First => first.run().await,
            Victim::Second => second.run().await,
            Victim::Postgres => {}
            Victim::Nats => {
                if dice.random_bool(0.5) {
                    nats.empty();
                }
                nats.run();
            }
        }
    }
    assert!(goes_on(&mut progress, 50).await, "seed {seed}: clients get nowhere after everything is back");
    stop.send(true).unwrap();
    let told: Vec<Told> =
        join_all(clients).await.into_iter().flat_map(|told| told.expect("the client lives")).collect();
    first.kill();
    second.stop();
    check(&cluster, &nats, &key, &told).await;
    println!("seed {seed}: {KILLS} kills, {} commands acknowledged", told.len());
    cluster.stop().await.unwrap();
}

/// Waits until so many more commands are acknowledged; false when that takes too long.
async fn goes_on(progress: &mut watch::Receiver<usize>, more: usize) -> bool {
    let until = *progress.borrow() + more;
    let moved = tokio::time::timeout(PATIENCE, progress.wait_for(|done| *done >= until)).await;
    moved.is_ok_and(|done| done.is_ok())
}

/// Lets everything come to rest, and looks whether it is as it should be.
async fn check(cluster: &Embedded, nats: &NatsServer, key: &str, told: &[Told]) {
    let options = cluster.connect_options_for("deskfold");
    let pool = sqlx::PgPool::connect_with(options.clone()).await.unwrap();
    let (app, first) =
        App::start(config(&["--rate-limit", "0", "--nats-url", &nats.url()]), pool.clone()).await.unwrap();
    assert!(first.is_none(), "nobody becomes first admin twice");
    let (address, _) = app.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    app.settle().await.unwrap();
    let events = whole_log(&Client::new(address, key)).await;
    check_log(&events, told);
    check_rule(&events);
    relayed(&app, &pool).await;
    agrees(nats, &pool, 1).await;
    let log = eventstore::Log::open(pool, eventstore::Options::default()).await.unwrap();
    for name in projections::names() {
        let differences = projections::compare(&log, name).await.unwrap().differences;
        assert!(differences.is_empty(), "{name} differs from what the log says: {differences:?}");
    }
    log.close().await;
    app.stop().await;
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let parked: i64 = sqlx::query_scalar("select count(*) from log_parked").fetch_one(&mut connection).await.unwrap();
    assert_eq!(parked, 0, "no event was given up");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let rounds = number("DESKFOLD_CRASH_ROUNDS").unwrap_or(2);
    let first = number("DESKFOLD_CRASH_SEED").unwrap_or_else(|| rand::rng().next_u64() >> 32);
    for seed in first..first + rounds {
        println!("seed {seed}");
        Box::pin(round(seed)).await;
    }
}
