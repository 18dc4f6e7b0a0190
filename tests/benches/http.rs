//! Deskfold end to end over HTTP, in one run on one PostgreSQL with fsync on: `cargo bench -p deskfold-tests --bench http`.
//!
//! The server is a process of its own that does everything it does by default; beside it stands one that only takes
//! commands (`--roles api`), as where read models have machines of their own, and one with ninety read models. Commands per second are compared with what
//! the log alone takes from as many clients, rounds interleaved, medians compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Server, Times, median, tell_rate, tell_time};
use eventstore::Log;
use serde_json::json;

const NOTE: &str = "Called back: the printer on the second floor blinks again after the last update. The customer \
                    has restarted it twice; a technician comes by on Thursday morning.";

/// How long each contender runs per round, and how many rounds.
fn length() -> (Duration, usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<f64>().ok());
    let (seconds, rounds) = (number("BENCH_SECONDS").unwrap_or(2.0), number("BENCH_ROUNDS").unwrap_or(3.0));
    (Duration::from_secs_f64(seconds), rounds as usize)
}

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let (length, rounds) = length();
    let cluster = common::cluster().await;
    let log = Log::open(common::database(&cluster, "log").await, eventstore::Options::default()).await.unwrap();
    common::database(&cluster, "desk").await.close().await;
    common::database(&cluster, "counter").await.close().await;
    let server = Server::start(&cluster.url("desk"), None).await;
    let crowd = common::database(&cluster, "crowd").await;
    let crowded = Server::crowded(&cluster.url("crowd"), &crowd).await;
    let counter = Server::with(&cluster.url("counter"), None, &["--roles", "api"]).await;
    let desk = Desk::furnish(&server).await;
    let counter_desk = Desk::furnish(&counter).await;
    let crowded_desk = Desk::furnish(&crowded).await;

    // Caches warm, plans made, files grown.
    common::appends_per_second(&log, 32, length / 2).await;
    let mut tickets = desk.open(32, length / 2).await.made;
    desk.note(&tickets, 32, length / 2).await;
    let taken = counter_desk.open(32, length / 2).await.made;
    counter_desk.note(&taken, 32, length / 2).await;
    let crowd_tickets = crowded_desk.open(32, length / 2).await.made;
    crowded_desk.note(&crowd_tickets, 32, length / 2).await;

    let mut most = 0.0;
    for clients in [1, 32, 128] {
        let mut appends = Vec::new();
        let [mut opened, mut noted, mut taken] = [const { Vec::new() }; 3];
        let [mut behind, mut crowd_opened, mut crowd_noted] = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            appends.push(common::appends_per_second(&log, clients, length).await);
            opened.push(desk.open(clients, length).await);
            tickets = Arc::clone(&opened[opened.len() - 1].made);
            noted.push(desk.note(&tickets, clients, length).await);
            let began = Instant::now();
            server.connect().await.settle(&tickets[0], noted[noted.len() - 1].position).await;
            behind.push(began.elapsed().as_secs_f64() * 1000.0);
            if clients > 1 {
                let opened = crowded_desk.open(clients, length).await;
                crowd_noted.push(crowded_desk.note(&opened.made, clients, length).await.per_second);
                crowd_opened.push(opened.per_second);
            }
            let tickets = counter_desk.open(32, length / 8).await.made;
            taken.push(counter_desk.note(&tickets, clients, length).await);
        }
        let plural = if clients == 1 { "client" } else { "clients" };
        let (appends, against) = (median(appends), format!("the log's own append, {clients} {plural}"));
        let rate = |loads: &[Load]| median(loads.iter().map(|load| load.per_second).collect());
        let alone = [rate(&opened), rate(&noted)];
        most = (rate(&noted).min(rate(&opened)) / 2.0).max(most);
        for (what, loads) in [("open a ticket", opened), ("add a note", noted), ("note, commands only", taken)] {
            let per_second = rate(&loads);
            let mut times = Times::default();
            loads.into_iter().for_each(|load| times.extend(load.times));
            println!(
                "    {what}, {clients} {plural}: p50 {:.2} ms, p99 {:.2} ms of {} answers",
                times.percentile(50),
                times.percentile(99),
                times.count()
            );
            tell_rate(&format!("HTTP, {what}, {clients} {plural}"), per_second, &against, appends, 0.25);
        }
        if clients > 1 {
            let crowd = [("open a ticket", crowd_opened), ("add a note", crowd_noted)];
            for ((what, rates), alone) in crowd.into_iter().zip(alone) {
                let what = format!("HTTP, {what}, {clients} {plural}, 90 models");
                tell_rate(&what, median(rates), "the same with those there are", alone, 0.9);
            }
        }
        println!("    read models had it all {:.0} ms after the last answer", median(behind));
    }
    commit_to_visible(&desk, most, length * 4).await;
    one_ticket(&server, &tickets[0], length).await;
    server.stop();
    counter.stop();
    crowded.stop();
    crowd.close().await;
    log.close().await;
    cluster.stop().await.unwrap();
}

/// Commands at half the rate that the server has just shown; of every tenth it is asked at once when its ticket shows it.
async fn commit_to_visible(desk: &Desk<'_>, rate: f64, length: Duration) {
    const CLIENTS: usize = 64;
    let period = Duration::from_secs_f64(CLIENTS as f64 / rate);
    let began = Instant::now();
    let tasks = desk.server.connections(CLIENTS).await.into_iter().enumerate().map(|(client, mut connection)| {
        let opening = opening(&desk.contacts, client);
        tokio::spawn(async move {
            let (mut times, mut commands) = (Times::default(), 0);
            let start = tokio::time::Instant::now() + period.mul_f64(client as f64 / CLIENTS as f64);
            let mut tick = tokio::time::interval_at(start, period);
            let mut ticket = connection.post("/v1/tickets", &opening).await.id();
            while began.elapsed() < length {
                tick.tick().await;
                if commands % 20 == 0 {
                    ticket = connection.post("/v1/tickets", &opening).await.id();
                }
                let position = connection.post(&format!("/v1/tickets/{ticket}/add_note"), &note()).await.position;
                commands += 1;
                if commands % 10 == 0 {
                    let answered = Instant::now();
                    connection.get(&format!("/v1/tickets/{ticket}?min_position={position}")).await;
                    times.add(answered.elapsed());
                }
            }
            (times, commands)
        })
    });
    let (mut times, mut commands) = (Times::default(), 0);
    for task in futures::future::join_all(tasks).await {
        let (more, count) = task.unwrap();
        times.extend(more);
        commands += count;
    }
    let (p50, p99) = (times.percentile(50), times.percentile(99));
    println!(
        "    from a command's answer to its ticket's answer, at {:.0} commands/s: p50 {p50:.2} ms, p99 {p99:.2} ms of {}",
        f64::from(commands) / length.as_secs_f64(),
        times.count()
    );
    tell_time("commit to visible under half load, p50", p50, 5.0);
    tell_time("commit to visible under half load, p99", p99, 20.0);
}

/// One ticket with a thread of 20 entries: two requests.
async fn one_ticket(server: &Server, ticket: &str, length: Duration) {
    let mut connection = server.connect().await;
    let mut position = 0;
    for _ in 0..20 {
        position = connection.post(&format!("/v1/tickets/{ticket}/add_note"), &note()).await.position;
    }
    connection.settle(ticket, position).await;
    for clients in [1, 32] {
        let get = |path: String| Request { method: "GET", path, body: String::new() };
        let path = format!("/v1/tickets/{ticket}");
        let both = move |_: usize, _: usize| vec![get(path.clone()), get(format!("{path}/thread"))];
        let mut load = load(server, clients, length, both).await;
        println!(
            "    one ticket with its thread of 20, {clients} clients: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            load.per_second,
            load.times.percentile(50),
            load.times.percentile(99)
        );
    }
}

fn note() -> String {
    json!({ "body": NOTE }).to_string()
}

/// The body of a new ticket.
fn opening(contacts: &[String], number: usize) -> String {
    json!({
        "title": "Printer on the second floor blinks",
        "description": "It has been blinking since this morning's update, and nothing is printed.",
        "requester": { "kind": "contact", "id": contacts[number % contacts.len()] },
        "priority": number % 4,
        "channel": "form",
        "tags": ["printer"]
    })
    .to_string()
}

/// A server with contacts who ask.
struct Desk<'a> {
    server: &'a Server,
    contacts: Arc<Vec<String>>,
}

impl<'a> Desk<'a> {
    async fn furnish(server: &'a Server) -> Desk<'a> {
        let mut connection = server.connect().await;
        let mut contacts = Vec::new();
        for number in 0..200 {
            let contact =
                json!({ "name": format!("Anna Bianchi {number}"), "email": format!("anna{number}@example.com") });
            contacts.push(connection.post("/v1/contacts", &contact.to_string()).await.id());
        }
        Desk { server, contacts: Arc::new(contacts) }
    }

    /// Clients that open one ticket after another.
    async fn open(&self, clients: usize, length: Duration) -> Load {
        let contacts = Arc::clone(&self.contacts);
        let next = move |client: usize, turn: usize| {
            let body = opening(&contacts, client * 7 + turn);
            vec![Request { method: "POST", path: "/v1/tickets".into(), body }]
        };
        load(self.server, clients, length, next).await
    }

    /// Clients that each add notes to tickets just opened, in turn.
    async fn note(&self, tickets: &Arc<Vec<String>>, clients: usize, length: Duration) -> Load {
        let tickets = Arc::clone(tickets);
        let next = move |client: usize, turn: usize| {
            let ticket = &tickets[(client + turn * clients) % tickets.len()];
            vec![Request { method: "POST", path: format!("/v1/tickets/{ticket}/add_note"), body: note() }]
        };
        load(self.server, clients, length, next).await
    }
}

struct Request {
    method: &'static str,
    path: String,
    body: String,
}

/// What clients that send one request after another came to.
struct Load {
    per_second: f64,
    times: Times,
    /// Records made.
    made: Arc<Vec<String>>,
    /// The highest position seen.
    position: i64,
}

/// Clients that each do one thing after another; a thing is a few requests.
async fn load(
    server: &Server,
    clients: usize,
    length: Duration,
    next: impl Fn(usize, usize) -> Vec<Request> + Send + Sync + 'static,
) -> Load {
    let next = Arc::new(next);
    let connections = server.connections(clients).await;
    let began = Instant::now();
    let tasks = connections.into_iter().enumerate().map(|(client, mut connection)| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            let (mut times, mut made, mut position) = (Times::default(), Vec::new(), 0);
            for turn in 0.. {
                let requests = next(client, turn);
                let sent = Instant::now();
                for Request { method, path, body } in &requests {
                    let reply = connection.call(method, path, body).await;
                    assert!(reply.status < 300, "{path}: {} {}", reply.status, reply.text());
                    position = reply.position.max(position);
                    if reply.status == 201 {
                        made.push(reply.id());
                    }
                }
                times.add(sent.elapsed());
                if began.elapsed() >= length {
                    break;
                }
            }
            (times, made, position)
        })
    });
    let (mut times, mut made, mut position) = (Times::default(), Vec::new(), 0);
    for task in futures::future::join_all(tasks).await {
        let (more, ids, reached) = task.unwrap();
        times.extend(more);
        made.extend(ids);
        position = reached.max(position);
    }
    Load { per_second: times.count() as f64 / began.elapsed().as_secs_f64(), times, made: Arc::new(made), position }
}
