//! The read side in one run on one PostgreSQL with fsync on: `cargo bench -p deskfold-tests --bench read_models`, with
//! `-- --tickets 1000000` for a larger desk. Rebuilds against replay, and pages of the ticket list, first to deepest. With
//! `-- --walls 1000000` nothing but what a broker sees of so many tickets, which are copies of fewer real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use common::{Server, Times, median, tell_rate, tell_time};
use domain::{
    Aggregate, Authority, Id, Party, Time,
    desk::ticket::{AssignMethod, Event, Opened, Priority, Ticket},
    kernel::{
        access::{Teams, Viewer},
        custom::{Definitions, FieldType},
    },
    org::{
        field::{self, Field},
        stage::Means,
    },
};
use eventstore::{Expected, Log, StreamWrite};
use futures::StreamExt;
use projections::{
    AsOf, Count, DEFAULT_LIMIT, Earlier, List, ListRequest, MAX_LIMIT, Sight, desk::ticket_list::TicketList,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use sqlx::PgPool;

#[derive(Parser)]
struct Arguments {
    /// How many tickets there are.
    #[arg(long, default_value_t = 100_000)]
    tickets: usize,
    /// How many pages of each list are timed.
    #[arg(long, default_value_t = 2_000)]
    pages: usize,
    /// Only pages of what a broker sees of so many tickets, beside the same list for whoever sees all.
    #[arg(long)]
    walls: Option<usize>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

const SITES: usize = 500;
/// When the desk opened.
const FIRST: i64 = 1_640_995_200;
/// Tickets that a day's work changes, at most.
const WORKED: usize = 5_000;
/// Tickets of the broker, who sees no others.
const BROKERED: usize = 500;
/// How many there are of each ticket, the real one among them, where only walls are timed.
const COPIES: usize = 50;
/// The read models that pages of tickets are made of.
const LISTED: &[&str] =
    &["ticket_list", "record_access", "contacts", "companies", "users", "teams", "product_catalogue"];

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let rounds = if arguments.tickets > 200_000 { 1 } else { 3 };
    let cluster = common::cluster().await;
    let pool = common::database(&cluster, "desk").await;
    let server = Server::start(&cluster.url("desk"), None).await;
    let desk = Desk::furnish(&server, &pool).await;
    let key = server.key.clone();
    server.stop();

    let log = Log::open(pool.clone(), eventstore::Options::default()).await.unwrap();
    if let Some(tickets) = arguments.walls {
        desk.seed(&log, tickets / COPIES).await;
        rebuild(&log, log.head().await.unwrap(), LISTED).await;
        multiply(&pool, desk.broker).await;
        walled(&desk, &pool, arguments.pages).await;
        log.close().await;
        pool.close().await;
        cluster.stop().await.unwrap();
        return;
    }
    let began = Instant::now();
    desk.seed(&log, arguments.tickets).await;
    let head = log.head().await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!("    {} tickets in {head} events, appended at {:.0} events/s", arguments.tickets, head as f64 / seconds);
    sqlx::raw_sql("vacuum analyze log_event").execute(&pool).await.unwrap();

    let (mut replays, mut rebuilds) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        replays.push(replay(&log, head).await);
        rebuilds.push(rebuild(&log, head, &["ticket_list"]).await);
    }
    let replayed = median(replays);
    tell_rate("rebuild of ticket_list, events", median(rebuilds), "the log's own replay, typed", replayed, 0.3);
    let all = rebuild(&log, head, &projections::names()).await;
    println!("    {} read models in {:.1} s", projections::names().len(), head as f64 / all);
    tell_rate("rebuild of all read models, events", all, "the log's own replay, typed", replayed, 0.1);
    log.close().await;

    let server = Server::start(&cluster.url("desk"), Some(&key)).await;
    let lists = desk.lists();
    for (name, filters) in &lists {
        let mut pages = Vec::new();
        for filter in filters {
            pages.push(Pages::of(&desk, &pool, filter.as_ref()).await);
        }
        let (mut inside, mut outside) = (Times::default(), Times::default());
        let mut connection = server.connect().await;
        let mut random = StdRng::seed_from_u64(7);
        for turn in 0..arguments.pages {
            let of = pages.choose(&mut random).unwrap();
            let after = of.choose(turn, &mut random);
            let request = ListRequest { after: after.cloned(), ..of.request.clone() };
            let began = Instant::now();
            let page = projections::list(List::of::<TicketList>(), &pool, desk.tenant, &request).await.unwrap();
            inside.add(began.elapsed());
            let path = of.path(after);
            let began = Instant::now();
            let reply = connection.get(&path).await;
            outside.add(began.elapsed());
            assert!(reply.body.windows(8).filter(|window| window == b"\"number\"").count() == page.data.len());
        }
        let deepest = pages.iter().map(|pages| pages.rows).max().unwrap_or_default();
        println!(
            "    tickets {name}, pages of {DEFAULT_LIMIT} of up to {deepest}: p50 {:.2} ms, over HTTP {:.2} ms",
            inside.percentile(50),
            outside.percentile(50)
        );
        tell_time(&format!("tickets {name}, p99"), inside.percentile(99), 5.0);
        let most = if *name == "by a custom field" { 10.0 } else { 5.0 };
        tell_time(&format!("tickets {name}, over HTTP, p99"), outside.percentile(99), most);
        if *name == "in the usual order" {
            walled(&desk, &pool, arguments.pages).await;
        }
        if *name == "by product" {
            let rate = together(&server, pages, Duration::from_secs(3)).await;
            println!("    tickets {name}, over HTTP, 32 clients: {rate:.0} pages/s");
        }
    }
    let log = Log::open(pool.clone(), eventstore::Options::default()).await.unwrap();
    past(&desk, &pool, &log, arguments.tickets).await;
    log.close().await;
    server.stop();
    pool.close().await;
    cluster.stop().await.unwrap();
}

/// A list of 1,000 tickets as it was before a day's work on some of them, and half-way through the life of the desk.
async fn past(desk: &Desk, pool: &PgPool, log: &Log, tickets: usize) {
    const ROWS: usize = 1_000;
    let before = log.head().await.unwrap();
    let changed = (tickets / 100).min(WORKED);
    common::seed(log, desk.tenant, (0..changed).map(|turn| desk.work(turn * (tickets / changed)))).await;
    common::reached(log, pool).await;
    let half = Time::from_second(FIRST + tickets as i64 * 30).unwrap();
    for (name, as_of) in [
        (format!("before {changed} of {tickets} were worked on"), AsOf::Position(before)),
        (format!("as of the day on which {} were there", tickets / 2), AsOf::Instant(half)),
    ] {
        for (order, sort) in [("in the usual order", None), ("the last changed first", Some("-updated_at"))] {
            let list = List::of::<TicketList>();
            let asked = ListRequest::parse(list, None, sort, &desk.definitions, None).unwrap();
            let asked = ListRequest { as_of: Some(as_of), limit: MAX_LIMIT, ..asked };
            let began = Instant::now();
            let mut earlier =
                Earlier::begin(list, (log, pool), desk.tenant, as_of, desk.definitions.clone()).await.unwrap();
            let folded = began.elapsed();
            let (mut rows, mut after) = (0, None);
            while rows < ROWS {
                let page = earlier.list(&ListRequest { after: after.take(), ..asked.clone() }).await.unwrap();
                rows += page.data.len();
                after = page.next;
                assert!(after.is_some(), "there are more than {rows}");
            }
            println!("    {rows} tickets {name}, {order}: folded in {:.0} ms", folded.as_secs_f64() * 1e3);
            tell_time(&format!("{rows} tickets {name}, {order}"), began.elapsed().as_secs_f64() * 1e3, 1_000.0);
        }
    }
}

/// Copies of every ticket but the broker's in the tables that lists read, as if each had been opened by itself; the broker's are as
/// far apart as among tickets that were all opened one after the other.
async fn multiply(pool: &PgPool, broker: Id) {
    let copies = "create unlogged table copied as select t.tenant_id, t.id as of, k,
                      left(t.id, 10) || upper(left(md5(t.id || k), 16)) collate \"C\" as id
                  from read_ticket_list t cross join generate_series(1, $1) k where t.assignee_id is distinct from $2";
    sqlx::query(copies).bind(COPIES as i64 - 1).bind(broker.to_string()).execute(pool).await.unwrap();
    // Indexes are made once, at the end; and nothing of it outlives the bench, so that no log of it is written.
    sqlx::raw_sql(
        "analyze;
         create table grown as select i.indrelid::regclass::text as heap, i.indexrelid::regclass::text as index,
             pg_get_indexdef(i.indexrelid) as made, i.indisprimary as is_key
         from pg_index i join pg_class t on t.oid = i.indrelid
         where t.relname ~ '^read_(ticket_list|ticket_updated|record_principal)_v[0-9]+(_g[0-9]+)?$';
         do $$ declare part record; begin
             for part in select * from grown where not is_key loop execute format('drop index %s', part.index); end loop;
             for part in select distinct heap from grown loop execute format('alter table %s set unlogged', part.heap); end loop;
         end $$;
         insert into read_ticket_list select (jsonb_populate_record(t, jsonb_build_object('id', c.id,
             'number', t.number + 1000000 * c.k, 'title', t.title || ' ' || c.k,
             'opened_at', t.opened_at + c.k * interval '1 s', 'updated_at', t.updated_at + c.k * interval '1 s'))).*
         from copied c join read_ticket_list t on t.tenant_id = c.tenant_id and t.id = c.of;
         insert into read_ticket_updated select t.tenant_id, t.id, t.updated_at
         from copied c join read_ticket_list t on t.tenant_id = c.tenant_id and t.id = c.id;
         insert into read_record_principal select p.tenant_id, p.kind, c.id, p.principal, p.level, p.holds
         from copied c join read_record_principal p on p.tenant_id = c.tenant_id and p.kind = 'ticket' and p.record_id = c.of;
         do $$ declare part record; begin
             for part in select * from grown where is_key loop execute format('cluster %s using %s', part.heap, part.index); end loop;
             for part in select * from grown where not is_key loop execute part.made; end loop;
         end $$;
         drop table grown;
         drop table copied",
    )
    .execute(pool)
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(pool).await.unwrap();
    let (tickets, size): (i64, String) =
        sqlx::query_as("select count(*), pg_size_pretty(pg_database_size(current_database())) from read_ticket_list")
            .fetch_one(pool)
            .await
            .unwrap();
    println!("    {tickets} tickets, {BROKERED} of them a broker's; the database has {size}");
}

/// Pages of what a broker sees of all tickets, in several orders, beside the same of whoever sees all.
async fn walled(desk: &Desk, pool: &PgPool, turns: usize) {
    let own = Authority::of(&["ticket.read:own".to_owned()].into());
    let teams = Teams::default();
    let sight = Sight::of(&Viewer { user: desk.broker, authority: &own, teams: &teams });
    for sort in ["", "title", "-opened_at,priority", "-updated_at", "number"] {
        let sort = Some(sort).filter(|sort| !sort.is_empty());
        let list = List::of::<TicketList>();
        let all = ListRequest::parse(list, None, sort, &desk.definitions, None).unwrap();
        let few = ListRequest { sight: sight.clone(), limit: DEFAULT_LIMIT, ..all.clone() };
        let (mut cursors, mut rows, mut after) = (vec![None], 0, None);
        loop {
            let request = ListRequest { after: after.take(), ..few.clone() };
            let page = projections::list(list, pool, desk.tenant, &request).await.unwrap();
            rows += page.data.len();
            let Some(next) = page.next else { break };
            cursors.push(Some(next.clone()));
            after = Some(next);
        }
        assert_eq!(rows, BROKERED, "what the broker sees");
        let (mut inside, mut whole) = (Times::default(), Times::default());
        let mut random = StdRng::seed_from_u64(11);
        // No index has the order of titles: whoever sees all waits for all to be sorted.
        let most = if sort == Some("title") { turns.min(20) } else { turns };
        for turn in 0..turns {
            let after = cursors.choose(&mut random).unwrap().clone();
            let began = Instant::now();
            projections::list(list, pool, desk.tenant, &ListRequest { after: after.clone(), ..few.clone() })
                .await
                .unwrap();
            inside.add(began.elapsed());
            if turn < most {
                let began = Instant::now();
                projections::list(list, pool, desk.tenant, &ListRequest { after, ..all.clone() }).await.unwrap();
                whole.add(began.elapsed());
            }
        }
        let order = sort.unwrap_or("in the usual order");
        println!(
            "    {BROKERED} tickets of a broker, {order}, {turns} pages: least {:.2}, p50 {:.2}, p99 {:.2} ms; all tickets, {most} \
             pages: least {:.2}, p50 {:.2}, p99 {:.2} ms",
            inside.percentile(0),
            inside.percentile(50),
            inside.percentile(99),
            whole.percentile(0),
            whole.percentile(50),
            whole.percentile(99)
        );
        tell_time(&format!("tickets of a broker, {order}, p99"), inside.percentile(99), 5.0);
    }
}

/// Events per second of a replay that decodes every ticket's event.
async fn replay(log: &Log, head: i64) -> f64 {
    let began = Instant::now();
    let (mut count, mut opened) = (0, 0);
    let mut pages = log.replay(0, head);
    while let Some(page) = pages.next().await {
        for event in page.unwrap() {
            count += 1;
            if event.category() == Ticket::KIND
                && let Event::Opened(_) = Ticket::decode(&event.kind, &event.data).unwrap()
            {
                opened += 1;
            }
        }
    }
    assert!(count == head && opened > 0);
    head as f64 / began.elapsed().as_secs_f64()
}

/// Events of the log per second of a rebuild: fold, write, indexes and swap.
async fn rebuild(log: &Log, head: i64, names: &[&str]) -> f64 {
    let began = Instant::now();
    projections::rebuild(log, names, tokio::sync::watch::Sender::default()).await.unwrap();
    head as f64 / began.elapsed().as_secs_f64()
}

/// Pages per second of 32 clients at once.
async fn together(server: &Server, pages: Vec<Pages>, length: Duration) -> f64 {
    let pages = Arc::new(pages);
    let began = Instant::now();
    let tasks = server.connections(32).await.into_iter().enumerate().map(|(client, mut connection)| {
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(client as u64);
            let mut count = 0;
            while began.elapsed() < length {
                let of = pages.choose(&mut random).unwrap();
                connection.get(&of.path(of.choose(count, &mut random))).await;
                count += 1;
            }
            count
        })
    });
    let counts = futures::future::join_all(tasks).await;
    counts.into_iter().map(Result::unwrap).sum::<usize>() as f64 / began.elapsed().as_secs_f64()
}

/// A list under one filter, and where its pages begin.
struct Pages {
    request: ListRequest,
    filter: String,
    cursors: Vec<String>,
    rows: usize,
}

impl Pages {
    /// Walks the whole list.
    async fn of(desk: &Desk, pool: &PgPool, filter: Option<&Value>) -> Pages {
        let request = ListRequest::parse(List::of::<TicketList>(), filter, None, &desk.definitions, None).unwrap();
        let request = ListRequest { limit: MAX_LIMIT, count: Count::None, ..request };
        let (mut cursors, mut rows, mut after) = (Vec::new(), 0, None);
        loop {
            let request = ListRequest { after: after.take(), ..request.clone() };
            let page = projections::list(List::of::<TicketList>(), pool, desk.tenant, &request).await.unwrap();
            rows += page.data.len();
            let Some(next) = page.next else { break };
            cursors.push(next.clone());
            after = Some(next);
        }
        assert!(rows > 0, "no ticket matches {filter:?}");
        let filter = filter.map_or_else(String::new, |filter| format!("&filter={}", encoded(&filter.to_string())));
        Pages { request: ListRequest { limit: DEFAULT_LIMIT, ..request }, filter, cursors, rows }
    }

    /// The first page, one from the middle and one from the end, in turn.
    fn choose(&self, turn: usize, random: &mut impl Rng) -> Option<&String> {
        let third = self.cursors.len() / 3;
        match turn % 3 {
            0 => None,
            1 => self.cursors[third..].choose(random),
            _ => self.cursors[2 * third..].choose(random),
        }
    }

    fn path(&self, after: Option<&String>) -> String {
        let after = after.map_or_else(String::new, |after| format!("&after={after}"));
        format!("/v1/tickets?limit={DEFAULT_LIMIT}{}{after}", self.filter)
    }
}

/// Percent-encoded for an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What there is besides tickets.
struct Desk {
    tenant: Id,
    definitions: Definitions,
    contacts: Vec<Id>,
    companies: Vec<Id>,
    products: Vec<Id>,
    users: Vec<Id>,
    teams: Vec<Id>,
    broker: Id,
}

const STATUSES: usize = 3;
const TEXT: &str = "Good morning, since the last update the device on our second floor blinks and prints nothing. We \
                    have restarted it twice. Could somebody have a look, please? Reference ";

impl Desk {
    /// Creates it through the API.
    async fn furnish(server: &Server, pool: &PgPool) -> Desk {
        let mut connection = server.connect().await;
        let mut create = async |path: &str, count: usize, body: &dyn Fn(usize) -> Value| {
            let mut ids = Vec::new();
            for number in 0..count {
                ids.push(connection.post(path, &body(number).to_string()).await.id().parse().unwrap());
            }
            ids
        };
        let options: Vec<String> = (0..SITES).map(|site| format!("site {site}")).collect();
        let site = json!({ "entity": "ticket", "key": "site", "type": "select", "options": options });
        create("/v1/fields", 1, &|_| site.clone()).await;
        let person =
            |number: usize| json!({ "name": format!("Person {number}"), "email": format!("p{number}@example.com") });
        let contacts = create("/v1/contacts", 2_000, &person).await;
        let companies = create("/v1/companies", 200, &|number| json!({ "name": format!("Company {number}") })).await;
        let products = create("/v1/products", 50, &|number| json!({ "name": format!("Product {number}") })).await;
        let users = create("/v1/users", 20, &person).await;
        let teams = create("/v1/teams", 5, &|number| json!({ "name": format!("Team {number}") })).await;
        let tenant: String =
            sqlx::query_scalar("select tenant_id from log_event limit 1").fetch_one(pool).await.unwrap();
        let mut fields = Field::default();
        let defined = field::New {
            entity: Ticket::KIND.into(),
            key: "site".into(),
            label: None,
            field_type: FieldType::Select,
            options: options.iter().map(|option| option.as_str().into()).collect(),
            target: None,
            required: false,
            personal: false,
        };
        fields.evolve(&field::Event::Defined(defined));
        let definitions = fields.definitions;
        let broker = Id::derived(1, &["broker"]);
        Desk { tenant: tenant.parse().unwrap(), definitions, contacts, companies, products, users, teams, broker }
    }

    /// The lists that are timed, each under one filter or several.
    fn lists(&self) -> Vec<(&'static str, Vec<Option<Value>>)> {
        let of = |field: &str, value: &Value| Some(json!({ "field": field, "op": "eq", "value": value }));
        let product = |at: usize| of("product_id", &json!(self.products[at]));
        let assignee = |at: usize| of("assignee_id", &json!(self.users[at]));
        let site = |at: usize| of("custom.site", &json!(format!("site {at}")));
        vec![
            ("by product", vec![product(0), product(1), product(10), product(49)]),
            ("in the usual order", vec![None]),
            ("by assignee", vec![assignee(0), assignee(19)]),
            ("by a custom field", vec![site(0), site(250)]),
        ]
    }

    /// Appends the lives of so many tickets.
    async fn seed(&self, log: &Log, tickets: usize) {
        common::seed(log, self.tenant, (0..tickets).map(|number| self.life(number, tickets))).await;
    }

    /// A day's work on a ticket.
    fn work(&self, number: usize) -> StreamWrite {
        let (id, at) = (Self::ticket(number), Time::now());
        let by = self.users[number % self.users.len()];
        let changed = Event::PriorityChanged { from: Priority::default(), to: Priority::try_from(3).unwrap() };
        let write = common::stream::<Ticket>(id, by, None, [(at, changed)]);
        StreamWrite { expected: Expected::StreamExists, ..write }
    }

    /// When a ticket was opened.
    fn begun(number: usize) -> Time {
        Time::from_second(FIRST + number as i64 * 60).unwrap()
    }

    fn ticket(number: usize) -> Id {
        Id::derived(Self::begun(number).as_millisecond() as u64, &[&number.to_string()])
    }

    /// What happens to a ticket, from opening to closing.
    fn life(&self, number: usize, of: usize) -> StreamWrite {
        let random = &mut StdRng::seed_from_u64(number as u64);
        let (id, mut at) = (Self::ticket(number), Self::begun(number));
        let message = |name: &str| Id::derived(at.as_millisecond() as u64, &[&number.to_string(), name]);
        let contact = *self.contacts.choose(random).unwrap();
        let site = random.random_range(0..SITES);
        let opened = Opened {
            number: number as u64 + 1,
            title: format!("Device {number} blinks and prints nothing").into(),
            description: Some(format!("{TEXT}{number}.").into()),
            requester: Some(Party::contact(contact)),
            company: self.companies.choose(random).copied(),
            team: self.teams.choose(random).copied(),
            channel: "email".into(),
            origin: None,
            priority: Priority::try_from(random.random_range(0..4)).unwrap(),
            stage: "new".into(),
            stage_means: None,
            category: None,
            tags: [format!("tag {}", random.random_range(0..30))].into(),
            custom: [("site".to_owned(), json!(format!("site {site}")))].into(),
            split_from: None,
        };
        let body = || format!("{TEXT}{number}.").into();
        let mut events = vec![Event::Opened(opened)];
        // The first product has a seventh of all tickets, the last one in a hundred.
        let product = (random.random::<f64>().powi(2) * self.products.len() as f64) as usize;
        if random.random_bool(0.9) {
            events.push(Event::ProductSelected { entitlement: contact, product: self.products[product] });
        }
        if random.random_bool(0.9) {
            let to = *self.users.choose(random).unwrap();
            events.push(Event::Assigned { from: None, to, method: AssignMethod::Manual, rule_run: None });
        }
        let written = random.random_range(1..4);
        for turn in 0..written {
            let (external_id, from) = (None, Some(Party::contact(contact)));
            let message_id = message(&format!("m{turn}"));
            events.push(Event::MessageReceived {
                message_id,
                external_id,
                from,
                body: body(),
                attachments: vec![],
                email: None,
                via_ticket: None,
            });
            let message_id = message(&format!("r{turn}"));
            events.push(Event::ReplyQueued {
                message_id,
                body: body(),
                attachments: vec![],
                again: false,
                send_at: None,
                via_ticket: None,
            });
        }
        events.push(Event::NoteAdded { message_id: message("n"), body: body(), attachments: vec![], via_ticket: None });
        events.push(Event::StageChanged { from: "new".into(), to: "in_progress".into(), means: Some(Means::Open) });
        if number.is_multiple_of(of / BROKERED) && number / (of / BROKERED) < BROKERED {
            events.push(Event::Assigned { from: None, to: self.broker, method: AssignMethod::Manual, rule_run: None });
        }
        match random.random_range(0..STATUSES) {
            0 => events.push(Event::Resolved { outcome: None, stage: None }),
            1 => events.push(Event::Closed { stage: None }),
            _ => {}
        }
        let by = self.users[number % self.users.len()];
        let events = events.into_iter().map(|event| {
            at += jiff::SignedDuration::from_secs(600);
            (at, event)
        });
        common::stream::<Ticket>(id, by, Some(contact), events)
    }
}
