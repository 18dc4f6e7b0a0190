//! Rules and timers in one run on one PostgreSQL with fsync on: `cargo bench -p deskfold-tests --bench rules`. Timers that
//! are all due in the same minute and what commands feel of them, and a backtest over a long log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::time::{Duration, Instant};

use clap::Parser;
use common::{Server, Times, tell_rate, tell_time, tell_times};
use domain::{
    Aggregate, Id, Time,
    crm::contact::{self, Contact},
    desk::ticket::Ticket,
    kernel::{
        named::Either,
        record::{self, Happened},
    },
    sales::order::Order,
    work::task::Task,
};
use eventstore::{Log, Options, StreamWrite};
use serde_json::{Value, json};
use sqlx::PgPool;

#[derive(Parser)]
struct Arguments {
    /// How many timers are due in one minute.
    #[arg(long, default_value_t = 100_000)]
    timers: usize,
    /// How many commands come in per second meanwhile.
    #[arg(long, default_value_t = 200)]
    commands: usize,
    /// How long the log is that a rule is tested on.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Those who send commands at once.
const CLIENTS: usize = 8;

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let cluster = common::cluster().await;
    let pool = common::database(&cluster, "office").await;
    timers(&arguments, &cluster.url("office"), &pool).await;
    pool.close().await;
    let pool = common::database(&cluster, "shop").await;
    backtest(&arguments, &cluster.url("shop"), &pool).await;
    pool.close().await;
    cluster.stop().await.unwrap();
}

fn id(name: &str, number: usize) -> Id {
    Id::derived(1_700_000_000_000 + number as u64, &[name, &number.to_string()])
}

/// Tasks that all become overdue within one minute, while commands come in.
async fn timers(arguments: &Arguments, url: &str, pool: &PgPool) {
    let server = Server::start(url, None).await;
    let key = server.key.clone();
    let (tenant, user) = common::tenant_and_user(&server, pool).await;
    server.stop();
    let log = Log::open(pool.clone(), Options::default()).await.unwrap();
    let created = Time::from_second(1_750_000_000).unwrap();
    let tasks = (0..arguments.timers).map(|number| {
        let due_at = created + Duration::from_millis(86_400_000 + number as u64 % 60_000);
        let new = json!({ "created": { "title": format!("Call customer {number}"), "priority": 1, "due_at": due_at } });
        let new = serde_json::from_value(new).unwrap();
        common::stream::<Task>(id("task", number), user, None, [(created, new)])
    });
    common::seed(&log, tenant, tasks).await;

    // Nothing reacts yet: timers wait.
    let server = Server::with(url, Some(&key), &["--roles", "api,project"]).await;
    let waiting = "select count(*) from read_timer";
    until(pool, waiting, arguments.timers).await;
    common::reached(&log, pool).await;
    sqlx::raw_sql("vacuum analyze").execute(pool).await.unwrap();
    let tickets = tickets(&server).await;
    let load = Load { server: &server, tickets: &tickets, per_second: arguments.commands };
    load.during(tokio::time::sleep(Duration::from_secs(1))).await;
    let (mut quiet, _) = load.during(tokio::time::sleep(Duration::from_secs(10))).await;
    server.stop();

    let server = Server::with(url, Some(&key), &[]).await;
    let load = Load { server: &server, tickets: &tickets, per_second: arguments.commands };
    let (mut busy, took) = load.during(until(pool, waiting, 0)).await;
    let overdue: i64 = sqlx::query_scalar("select count(*) from log_event where type = 'task.became_overdue'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(overdue, arguments.timers as i64, "each once");
    server.stop();
    println!(
        "    {} timers due in one minute, all fired after {:.1} s; commands at {}/s meanwhile: p50 {:.2} ms, before: {:.2} ms",
        arguments.timers,
        took.as_secs_f64(),
        arguments.commands,
        busy.percentile(50),
        quiet.percentile(50)
    );
    let fired = arguments.timers as f64 / took.as_secs_f64();
    let appends = common::appends_per_second(&log, 32, Duration::from_secs(4)).await;
    tell_rate("timers fired", fired, "the log's own append, 32 clients", appends, 0.1);
    let against = "the same with no timer due";
    tell_times("command while timers are fired, p50", busy.percentile(50), against, quiet.percentile(50), 3.0);
    tell_times("command while timers are fired, p99", busy.percentile(99), against, quiet.percentile(99), 3.0);
    log.close().await;
}

/// Waits until a query finds so many.
async fn until(pool: &PgPool, count: &'static str, many: usize) {
    while sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.unwrap() != many as i64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn tickets(server: &Server) -> Vec<String> {
    let mut connection = server.connect().await;
    let mut tickets = Vec::new();
    for number in 0..100 {
        let opening = json!({ "title": format!("Printer {number} blinks") }).to_string();
        tickets.push(connection.post("/v1/tickets", &opening).await.id());
    }
    tickets
}

/// Notes on tickets at a steady rate.
struct Load<'a> {
    server: &'a Server,
    tickets: &'a [String],
    per_second: usize,
}

impl Load<'_> {
    /// How long answers took until something else was done, and how long that took.
    async fn during(&self, other: impl Future<Output = ()>) -> (Times, Duration) {
        let period = Duration::from_secs_f64(CLIENTS as f64 / self.per_second as f64);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let began = Instant::now();
        let tasks = self.server.connections(CLIENTS).await.into_iter().enumerate().map(|(client, mut connection)| {
            let (tickets, stopped) = (self.tickets.to_vec(), stopped.clone());
            tokio::spawn(async move {
                let mut times = Times::default();
                let start = tokio::time::Instant::now() + period.mul_f64(client as f64 / CLIENTS as f64);
                let mut tick = tokio::time::interval_at(start, period);
                for turn in 0.. {
                    if *stopped.borrow() {
                        break;
                    }
                    // From when it should have been sent: whoever is kept waiting by the one before waits too.
                    let due = tick.tick().await;
                    let ticket = &tickets[(client + turn * CLIENTS) % tickets.len()];
                    let note = r#"{ "body": "Called back: the printer blinks again after the last update." }"#;
                    connection.post(&format!("/v1/tickets/{ticket}/add_note"), note).await;
                    times.add(due.elapsed());
                }
                times
            })
        });
        let tasks: Vec<_> = tasks.collect();
        other.await;
        let took = began.elapsed();
        stop.send_replace(true);
        let mut times = Times::default();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        (times, took)
    }
}

/// A rule that is tested on everything that ever happened.
async fn backtest(arguments: &Arguments, url: &str, pool: &PgPool) {
    let server = Server::start(url, None).await;
    let key = server.key.clone();
    let (tenant, user) = common::tenant_and_user(&server, pool).await;
    let mut connection = server.connect().await;
    let role = json!({ "name": "Sales manager", "permissions": ["order.read"] }).to_string();
    let role = connection.post("/v1/roles", &role).await.id();
    for number in 0..20 {
        let manager = json!({ "name": format!("Manager {number}"), "email": format!("m{number}@example.com") });
        let manager = connection.post("/v1/users", &manager.to_string()).await.id();
        connection.post(&format!("/v1/users/{manager}/activate"), "{}").await;
        let granted = json!({ "role": role }).to_string();
        connection.post(&format!("/v1/users/{manager}/grant_role"), &granted).await;
    }
    server.stop();
    let log = Log::open(pool.clone(), Options::default()).await.unwrap();
    common::seed(&log, tenant, history(arguments.events, user)).await;
    let head = log.head().await.unwrap();
    sqlx::raw_sql("vacuum analyze log_event").execute(pool).await.unwrap();
    let replayed = common::replay(&log, head).await;
    log.close().await;

    // Read models are of no use here, and would take the machine.
    let server = Server::with(url, Some(&key), &["--roles", "api"]).await;
    let mut connection = server.connect().await;
    let draft = json!({ "draft": { "trigger": "order.placed", "definition": {
        "when": { "all": [
            { "field": "order.total.amount", "op": "gte", "value": "50000" },
            { "field": "order.city", "op": "eq", "value": "Saint Petersburg" },
        ] },
        "delay_s": 60, "recheck": true, "cancel_on": ["order.paid"], "selector": [{ "role": role }],
        "actions": [{ "create_task": { "title": "Ask about order {{ order.number }}", "due_in_s": 3600 } }],
    } } });
    let mut times = Times::default();
    let mut totals = Value::Null;
    for _ in 0..3 {
        let began = Instant::now();
        let reply = connection.post("/v1/rules/backtest", &draft.to_string()).await;
        times.add(began.elapsed());
        totals = serde_json::from_slice::<Value>(reply.body).unwrap()["totals"].take();
    }
    server.stop();
    println!("    a backtest over {head} events: {totals}");
    let took = times.percentile(50);
    tell_time("backtest over the whole log", took, 10_000.0);
    let rate = head as f64 / took * 1000.0;
    tell_rate("backtest, events", rate, "the log's own replay, as JSON", replayed, 0.25);
}

/// Customers, their orders, and tickets in between: of ten events four are an order's.
fn history(events: usize, user: Id) -> impl Iterator<Item = StreamWrite> {
    const CUSTOMERS: usize = 2_000;
    // The orders of the first half were due before they were recorded, those of the second are not due yet.
    let start = Time::now().as_second() - events as i64 / 20;
    let at = move |seconds: usize| Time::from_second(start + seconds as i64).unwrap();
    let customers = (0..CUSTOMERS).map(move |number| {
        let new: record::New<contact::Fields> =
            serde_json::from_value(json!({ "name": format!("Customer {number}") })).unwrap();
        let created = <Contact as Aggregate>::Event::from(Either::Common(Happened::Created(new)));
        common::stream::<Contact>(id("contact", number), user, None, [(at(number), created)])
    });
    let lives = (0..events / 10).flat_map(move |number| {
        let customer = id("contact", number % CUSTOMERS);
        let city = ["Saint Petersburg", "Moscow", "Kazan"][number % 3];
        let amount = number % 100 * 1000 + 500;
        let money = json!({ "amount": amount.to_string(), "currency": "RUB" });
        let mut order = vec![
            json!({ "placed": { "number": number + 1, "source": "shop", "city": city, "customer": customer, "total": money } }),
            json!({ "status_changed": { "from": "new", "to": "packed" } }),
            json!({ "status_changed": { "from": "packed", "to": "sent" } }),
        ];
        order.push(match number % 2 {
            0 => json!({ "paid": { "payment_id": id("payment", number), "amount": money, "in_full": true } }),
            _ => json!({ "status_changed": { "from": "sent", "to": "delivered" } }),
        });
        let order = order.into_iter().enumerate();
        let order = order.map(|(turn, event)| (at(number + turn), serde_json::from_value(event).unwrap()));
        let opened = json!({ "opened": {
            "number": number + 1, "title": "Printer blinks", "channel": "email", "priority": 0, "stage": "new",
            "requester": { "kind": "contact", "id": customer },
        } });
        let messages = (0..5).map(|turn| {
            let body = "Good morning, since the last update the device blinks and prints nothing.";
            json!({ "message_received": { "message_id": id("message", number * 5 + turn), "from": null, "body": body } })
        });
        let ticket = std::iter::once(opened).chain(messages);
        let ticket = ticket.map(|event| (at(number), serde_json::from_value(event).unwrap()));
        [
            common::stream::<Order>(id("order", number), user, Some(customer), order),
            common::stream::<Ticket>(id("ticket", number), user, Some(customer), ticket),
        ]
    });
    customers.chain(lives)
}
