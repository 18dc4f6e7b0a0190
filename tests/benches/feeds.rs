//! Feeds in one run on one PostgreSQL with fsync on: `cargo bench -p deskfold-tests --bench feeds`. Pages of the feed of
//! a contact with 200 related records and 100,000 entries, first to deepest, and the rebuild of all feeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::time::Instant;

use clap::Parser;
use common::{Server, Times, tell_rate, tell_time};
use domain::{
    Aggregate, Id, Time,
    crm::{contact, deal},
    kernel::{
        record::{self, Happened},
        reference::Subject,
    },
};
use domain::{
    crm::{comment::Comment, contact::Contact, deal::Deal, relation::Relation},
    desk::ticket::Ticket,
    kernel::named::Either,
};
use eventstore::{Log, StreamWrite};
use projections::crm::feed::{self, Asked};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// How many entries the contact's feed has.
    #[arg(long, default_value_t = 100_000)]
    entries: usize,
    /// How many records are related to the contact.
    #[arg(long, default_value_t = 200)]
    related: usize,
    /// How many times as much there is besides.
    #[arg(long, default_value_t = 2)]
    others: usize,
    /// How many pages of each sort are timed.
    #[arg(long, default_value_t = 1_000)]
    pages: usize,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Entries on a page.
const LIMIT: i64 = 50;

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let cluster = common::cluster().await;
    let pool = common::database(&cluster, "agency").await;
    let server = Server::start(&cluster.url("agency"), None).await;
    let key = server.key.clone();
    let (tenant, user) = common::tenant_and_user(&server, &pool).await;
    let agency = Agency { tenant, user };
    server.stop();

    let log = Log::open(pool.clone(), eventstore::Options::default()).await.unwrap();
    let began = Instant::now();
    for client in 0..=arguments.others {
        agency.seed(&log, client, arguments.related, arguments.entries).await;
    }
    let head = log.head().await.unwrap();
    println!("    {head} events, appended at {:.0} events/s", head as f64 / began.elapsed().as_secs_f64());
    sqlx::raw_sql("vacuum analyze log_event").execute(&pool).await.unwrap();
    let replayed = common::replay(&log, head).await;
    let began = Instant::now();
    projections::rebuild(&log, &["feed"], tokio::sync::watch::Sender::default()).await.unwrap();
    let rebuilt = head as f64 / began.elapsed().as_secs_f64();
    tell_rate("rebuild of feed, events", rebuilt, "the log's own replay, as JSON", replayed, 0.1);

    let server = Server::with(&cluster.url("agency"), Some(&key), &["--roles", "api,project"]).await;
    common::reached(&log, &pool).await;
    sqlx::raw_sql("vacuum analyze").execute(&pool).await.unwrap();
    let contact = agency.id(0, "contact", 0);
    let everything = Asked {
        sight: projections::Sight::Everything,
        subject: Subject::new("contact", contact),
        beyond: None,
        forward: false,
        limit: 1000,
        kinds: Vec::new(),
        types: Vec::new(),
        hidden: Vec::new(),
        outside: false,
        as_of: None,
    };
    for (name, types, as_of) in [
        ("all of it", "", false),
        ("comments and deals", "comment,deal", false),
        ("one rare type", "deal.won", false),
        ("as of the past", "", true),
    ] {
        let (kinds, types): (Vec<_>, Vec<_>) =
            types.split(',').filter(|name| !name.is_empty()).partition(|name| !name.contains('.'));
        let owned = |names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
        let filter = [kinds.clone(), types.clone()].concat().join(",");
        let as_of = as_of.then_some(projections::AsOf::Position(head * 2 / 3));
        let whole = Asked { kinds: owned(kinds), types: owned(types), as_of, ..everything.clone() };
        // Where pages begin, all through the feed.
        let (mut cursors, mut count) = (vec![None], 0);
        let mut beyond = None;
        loop {
            let page = feed::page(&log, agency.tenant, &Asked { beyond, ..whole.clone() }).await.unwrap();
            count += page.entries.len();
            let Some(last) = page.entries.last().filter(|_| page.more) else { break };
            beyond = Some((last.occurred_at, last.position));
            cursors.push(beyond);
        }
        let mut random = StdRng::seed_from_u64(7);
        let mut connection = server.connect().await;
        // Not timed: the server comes up, statements are prepared.
        for _ in 0..20 {
            connection.get(&format!("/v1/contacts/{contact}/feed?limit={LIMIT}&min_position={head}")).await;
        }
        let (mut inside, mut outside) = (Times::default(), Times::default());
        for turn in 0..arguments.pages {
            // The first page, and one from anywhere, in turn.
            let beyond = if turn % 2 == 0 { None } else { *cursors.choose(&mut random).unwrap() };
            let asked = Asked { beyond, limit: LIMIT, ..whole.clone() };
            let began = Instant::now();
            let page = feed::page(&log, agency.tenant, &asked).await.unwrap();
            inside.add(began.elapsed());
            assert!(!page.entries.is_empty());
            let after = beyond.map_or_else(String::new, |(at, position): (Time, i64)| {
                format!("&after={}-{position}", at.as_microsecond())
            });
            let as_of = if as_of.is_some() { format!("&as_of={}", head * 2 / 3) } else { String::new() };
            let path = format!("/v1/contacts/{contact}/feed?limit={LIMIT}&types={filter}{after}{as_of}");
            let began = Instant::now();
            connection.get(&path).await;
            outside.add(began.elapsed());
        }
        println!(
            "    feed, {name}, pages of {LIMIT} of {count}: p50 {:.2} ms, over HTTP {:.2} ms",
            inside.percentile(50),
            outside.percentile(50)
        );
        tell_time(&format!("feed, {name}, p99"), inside.percentile(99), 20.0);
        tell_time(&format!("feed, {name}, over HTTP, p99"), outside.percentile(99), 20.0);
    }
    server.stop();
    log.close().await;
    pool.close().await;
    cluster.stop().await.unwrap();
}

struct Agency {
    tenant: Id,
    user: Id,
}

impl Agency {
    /// The id of one of a client's records.
    fn id(&self, client: usize, kind: &str, number: usize) -> Id {
        Id::derived(1_700_000_000_000 + number as u64, &[&client.to_string(), kind, &number.to_string()])
    }

    /// A client, the records related to it (half of them tickets, a quarter deals, a quarter contacts), and what happens
    /// to them.
    async fn seed(&self, log: &Log, client: usize, related: usize, entries: usize) {
        let random = &mut StdRng::seed_from_u64(client as u64);
        let contact = self.id(client, "contact", 0);
        let person = |name: String| -> <Contact as Aggregate>::Event {
            let new: record::New<contact::Fields> = serde_json::from_value(json!({ "name": name })).unwrap();
            Either::Common(Happened::Created(new))
        };
        let mut streams = vec![self.stream::<Contact>(contact, vec![(0, person(format!("Client {client}")))])];
        let each = entries / related;
        for number in 1..=related {
            let spread = |turn: usize| (turn * related + number) as i64 * 60;
            match number % 4 {
                0 => {
                    let id = self.id(client, "contact", number);
                    streams.push(self.stream::<Contact>(id, vec![(0, person(format!("Relative {number}")))]));
                    let ends = json!({ "from": { "kind": "contact", "id": contact }, "to": { "kind": "contact", "id": id }, "role": "relative" });
                    let added = serde_json::from_value(json!({ "added": ends })).unwrap();
                    streams.push(self.stream::<Relation>(self.id(client, "relation", number), vec![(0, added)]));
                    streams.extend((1..each).map(|turn| {
                        let new =
                            json!({ "subjects": [{ "kind": "contact", "id": id }], "text": format!("Remark {turn}") });
                        let added = serde_json::from_value(json!({ "added": new })).unwrap();
                        let id = self.id(client, "comment", number * entries + turn);
                        self.stream::<Comment>(id, vec![(spread(turn), added)])
                    }));
                }
                1 => {
                    let new = json!({ "name": format!("Deal {number}"), "contact": contact, "owner": self.user });
                    let new: record::New<deal::Fields> = serde_json::from_value(new).unwrap();
                    let mut events: Vec<(i64, <Deal as Aggregate>::Event)> =
                        vec![(0, Either::Common(Happened::Created(new)))];
                    events.push((spread(each), Either::Own(deal::Event::Won { reason: None })));
                    streams.push(self.stream::<Deal>(self.id(client, "deal", number), events));
                    let id = self.id(client, "deal", number);
                    streams.extend((2..each).map(|turn| {
                        let new =
                            json!({ "subjects": [{ "kind": "deal", "id": id }], "text": format!("Remark {turn}") });
                        let added = serde_json::from_value(json!({ "added": new })).unwrap();
                        let id = self.id(client, "comment", number * entries + turn);
                        self.stream::<Comment>(id, vec![(spread(turn), added)])
                    }));
                }
                _ => {
                    let opened = json!({ "opened": {
                        "number": number, "title": format!("Ticket {number}"), "channel": "email", "priority": 0, "stage": "new",
                        "requester": { "kind": "contact", "id": contact },
                    } });
                    let mut events = vec![(0, serde_json::from_value(opened).unwrap())];
                    events.extend((1..each).map(|turn| {
                        let message = self.id(client, "message", number * entries + turn);
                        let body = "Good morning, since the last update the device blinks and prints nothing.";
                        let received =
                            json!({ "message_received": { "message_id": message, "from": null, "body": body } });
                        let changed = json!({ "priority_changed": { "from": 0, "to": random.random_range(1..4) } });
                        let event = if turn % 5 == 0 { changed } else { received };
                        (spread(turn), serde_json::from_value(event).unwrap())
                    }));
                    streams.push(self.stream::<Ticket>(self.id(client, "ticket", number), events));
                }
            }
        }
        common::seed(log, self.tenant, streams.into_iter()).await;
    }

    /// Events by the second since 2022.
    fn stream<A: Aggregate>(&self, id: Id, events: Vec<(i64, A::Event)>) -> StreamWrite {
        let at = |seconds: i64| Time::from_second(1_640_995_200 + seconds).unwrap();
        common::stream::<A>(id, self.user, None, events.into_iter().map(|(seconds, event)| (at(seconds), event)))
    }
}
