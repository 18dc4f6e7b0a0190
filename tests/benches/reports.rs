//! The reports of the dashboards that are shipped, over as many tickets as are wanted: `cargo bench -p deskfold-tests --bench reports`, beside
//! other reports, which are computed from facts, and the same questions to a table of tickets as a plain schema has it. PostgreSQL
//! itself fills the tables (`reports.sql`) with what the events of so many tickets would have told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::time::Instant;

use clap::Parser;
use common::{Times, tell_time};
use domain::{
    Id, Time,
    insight::{
        clock::Clock,
        definition::{By, Compiled, Definition},
        shipped::Shipped,
    },
    kernel::custom::Definitions,
};
use jiff::{SignedDuration, tz::TimeZone};
use projections::{
    Sight,
    insight::reports::{Asked, Cell, cells},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

#[derive(Parser)]
struct Arguments {
    /// How many tickets there are: four years of them.
    #[arg(long, default_value_t = 100_000)]
    tickets: i64,
    /// How often each report of a dashboard is asked.
    #[arg(long, default_value_t = 100)]
    times: usize,
    /// A database that was filled before, as `fill` does it; then nothing is made. Without facts in it nothing is compared with them.
    #[arg(long)]
    url: Option<String>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Tickets that one statement makes.
const ROWS: i64 = 50_000;

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let began = Instant::now();
    let mut cluster = None;
    let pool = match &arguments.url {
        Some(url) => {
            let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
            PgPool::connect_with(options.options([("jit", "off"), ("join_collapse_limit", "1")])).await.unwrap()
        }
        None => {
            let pool = common::database(cluster.insert(common::cluster().await), "reported").await;
            fill(&pool, Id::named(&["bench"]), arguments.tickets).await;
            pool
        }
    };
    println!("    filled in {:.0} s; {}", began.elapsed().as_secs_f64(), sizes(&pool).await);
    let (tenant, tickets): (String, i64) =
        sqlx::query_as("select tenant, tickets from bench_desk").fetch_one(&pool).await.unwrap();
    println!("    {tickets} tickets");
    let tells = "select exists (select from read_fact_values where tenant_id = $1)";
    let has_facts: bool = sqlx::query_scalar(tells).bind(&tenant).fetch_one(&pool).await.unwrap();
    let now = "select (extract(epoch from now_) * 1000000)::bigint from bench_desk";
    let now: i64 = sqlx::query_scalar(now).fetch_one(&pool).await.unwrap();
    let mut bench = Bench {
        db: pool.acquire().await.unwrap().detach(),
        tenant: tenant.parse().unwrap(),
        has_facts,
        now: Time::from_microsecond(now).unwrap(),
        known: (tickets + 1) * 12,
        random: StdRng::seed_from_u64(7),
    };
    bench.dashboards(arguments.times).await;
    if has_facts {
        bench.others().await;
    }
    bench.plain(arguments.times).await;
    drop(bench);
    pool.close().await;
}

struct Bench {
    db: PgConnection,
    tenant: Id,
    has_facts: bool,
    now: Time,
    known: i64,
    random: StdRng,
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Prague").unwrap()
}

fn compiled(definition: &Value) -> Compiled {
    let definition: Definition = serde_json::from_value(definition.clone()).unwrap();
    definition.compile(&Definitions::default(), None).unwrap()
}

/// What a report says of tickets, in a line.
fn called(definition: &Value) -> String {
    let list = |of: &str| {
        let all: Vec<&str> = definition[of].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        all.join(", ")
    };
    let by = list("dimensions");
    let by = if by.is_empty() { by } else { format!(" by {by}") };
    let now = if definition["values"] == "now" { ", values of now" } else { "" };
    format!("{}{by}{now}", list("measures"))
}

impl Bench {
    /// The numbers of a report over a range, and how long they took.
    async fn ask(
        &mut self,
        compiled: &Compiled,
        range: (Time, Time),
        is_now: bool,
        values: &Value,
    ) -> (Vec<Vec<Cell>>, f64) {
        let clocks: Vec<Option<Clock>> = compiled
            .by
            .iter()
            .map(|by| match by {
                By::Period(division) => Some(Clock::new(Some(*division), &zone(), range).unwrap()),
                By::Field(..) => None,
            })
            .collect();
        let asked = Asked {
            compiled,
            values: serde_json::from_value(values.clone()).unwrap_or_default(),
            known: self.known,
            is_now,
            happened: None,
            calendar: None,
            range,
            clocks: &clocks,
            sight: &Sight::Everything,
        };
        let began = Instant::now();
        let mut all = Vec::new();
        for measure in &compiled.measures {
            let mut found = cells(&mut self.db, self.tenant, &asked, measure).await.unwrap();
            found.sort_by_key(|cell| format!("{:?}", cell.key));
            all.push(found);
        }
        (all, began.elapsed().as_secs_f64() * 1000.0)
    }

    /// Every report about tickets of the dashboards that are shipped, over thirty days that end within the last two.
    async fn dashboards(&mut self, times: usize) {
        let widgets = Shipped::ALL.iter().flat_map(|shipped| shipped.pages()).flat_map(|page| page.widgets);
        let shows = widgets.map(|widget| serde_json::to_value(widget).unwrap()["shows"]["definition"].clone());
        let definitions: Vec<Value> = shows.filter(|definition| definition["of"] == "ticket").collect();
        let mut all = Times::default();
        for definition in definitions {
            let compiled = compiled(&definition);
            let mut took = Times::default();
            for turn in 0..times + 10 {
                let to = self.now - SignedDuration::from_mins(self.random.random_range(0..2880));
                let range = (to - SignedDuration::from_hours(24 * 30), to);
                let began = Instant::now();
                let (found, _) = self.ask(&compiled, range, true, &Value::Null).await;
                if turn >= 10 {
                    took.add(began.elapsed());
                }
                if turn == 0 && self.has_facts {
                    let (same, from_facts) = self.ask(&compiled, range, false, &Value::Null).await;
                    assert!(found.iter().any(|cells| !cells.is_empty()), "{definition}");
                    assert_eq!(found, same, "{definition}");
                    println!("    {}: {from_facts:.0} ms from facts alone", called(&definition));
                }
            }
            println!(
                "    {}: p50 {:.1} ms, p99 {:.1} ms",
                called(&definition),
                took.percentile(50),
                took.percentile(99)
            );
            tell_time(&format!("report: {}, p99", called(&definition)), took.percentile(99), 50.0);
            all.extend(took);
        }
        tell_time("reports of the dashboards, p99", all.percentile(99), 50.0);
    }

    /// Others: over all four years, and what is not worked out ahead.
    async fn others(&mut self) {
        let year = SignedDuration::from_hours(24 * 365);
        let (all, month) = (self.now - year * 4, self.now - SignedDuration::from_hours(24 * 30));
        for (definition, from) in [
            (json!({ "measures": ["opened"], "dimensions": ["month"] }), all),
            (json!({ "measures": ["closed"], "dimensions": ["month", "product_id"] }), all),
            (json!({ "measures": ["resolution"], "dimensions": ["quarter"] }), all),
            (json!({ "measures": ["backlog"], "dimensions": ["month"] }), all),
            (json!({ "measures": ["opened"], "dimensions": ["channel"] }), all),
            (json!({ "measures": ["opened"], "dimensions": ["month", "company_id"] }), all),
            (json!({ "measures": ["opened"], "dimensions": ["assignee_id"], "values": "now" }), all),
            (json!({ "measures": ["closed"], "dimensions": ["channel"] }), all),
            (json!({ "measures": ["received"], "dimensions": ["month"] }), all),
            (json!({ "measures": ["next_reply"], "dimensions": ["month"] }), all),
            (json!({ "measures": ["one_touch"], "dimensions": ["month"] }), all),
            (json!({ "measures": ["time_in_stage"], "dimensions": ["stage"] }), all),
            (json!({ "measures": ["opened"], "dimensions": ["tags"] }), month),
            (json!({ "measures": ["next_reply"], "dimensions": ["assignee_id"] }), month),
            (json!({ "measures": ["backlog"], "dimensions": ["stage"] }), month),
        ] {
            let compiled = compiled(&definition);
            let range = (from, self.now);
            let (_, first) = self.ask(&compiled, range, true, &definition["values"]).await;
            let (found, took) = self.ask(&compiled, range, true, &definition["values"]).await;
            assert!(!found[0].is_empty(), "{definition}");
            let years = if from == all { "four years" } else { "thirty days" };
            println!("    {}, {years}: {first:.0} ms, then {took:.0} ms", called(&definition));
            tell_time(&format!("{}, {years}", called(&definition)), took, 2000.0);
        }
    }

    /// The same questions to a plain schema, as far as it can answer them.
    async fn plain(&mut self, times: usize) {
        let now = format!("timestamptz '{}'", self.now);
        let range = format!("between {now} - interval '30 days' and {now}");
        for (name, sql) in [
            (
                "opened by day",
                format!(
                    "select date_trunc('day', opened_at, 'Europe/Prague'), count(*) from crud_tickets \
                where opened_at {range} and merged_into is null group by 1"
                ),
            ),
            (
                "opened by week, product_id",
                format!(
                    "select date_trunc('week', opened_at, 'Europe/Prague'), product_id, count(*) \
                from crud_tickets where opened_at {range} and merged_into is null group by 1, 2"
                ),
            ),
            (
                "resolution by week",
                format!(
                    "select date_trunc('week', ended_at, 'Europe/Prague'), \
                percentile_cont(array[0.5, 0.9]) within group (order by ended_at - opened_at) \
                from crud_tickets where ended_at {range} and merged_into is null group by 1"
                ),
            ),
            (
                "backlog by assignee_id, now",
                "select assignee_id, count(*) from crud_tickets \
                where status = 'open' and merged_into is null group by 1"
                    .to_owned(),
            ),
            (
                "backlog by day",
                format!(
                    "select d, count(t.id) from generate_series({now} - interval '30 days', {now}, interval '1 day') d \
                join crud_tickets t on t.opened_at < d and (t.ended_at is null or t.ended_at >= d) and t.merged_into is null group by 1"
                ),
            ),
        ] {
            let mut took = Times::default();
            for turn in 0..times.min(30) + 3 {
                let began = Instant::now();
                sqlx::query(AssertSqlSafe(sql.as_str())).fetch_all(&mut self.db).await.unwrap();
                if turn >= 3 {
                    took.add(began.elapsed());
                }
            }
            let (p50, p99) = (took.percentile(50), took.percentile(99));
            println!("    a plain schema, {name}: p50 {p50:.1} ms, p99 {p99:.1} ms");
        }
    }
}

async fn run(pool: &PgPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// Fills the tables; as after a rebuild, indexes come last.
async fn fill(pool: &PgPool, tenant: Id, tickets: i64) {
    run(pool, include_str!("reports.sql").to_owned()).await;
    // No server has run here that would have filled the newest tables and let them serve.
    for name in ["fact_moments", "fact_values"] {
        run(pool, format!("create or replace view read_{name} as select * from read_{name}_v3")).await;
    }
    run(pool, format!("insert into bench_desk values ('{tenant}', {tickets}, now(), 1, 1)")).await;
    let indexes: Vec<(String, String, String, bool)> = sqlx::query_as(
        "select i.indrelid::regclass::text, i.indexrelid::regclass::text,
                coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid)), c.oid is not null
         from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.contype = 'p'
         where i.indrelid::regclass::text in ('read_fact_moments_v3', 'read_fact_values_v3', 'read_fact_items_v3')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, name, _, is_key) in &indexes {
        let drop =
            if *is_key { format!("alter table {table} drop constraint {name}") } else { format!("drop index {name}") };
        run(pool, drop).await;
    }
    let mut from = 1;
    while from <= tickets {
        let to = (from + ROWS - 1).min(tickets);
        run(pool, format!("update bench_desk set first = {from}, last = {to}")).await;
        for statement in [
            "insert into read_fact_moments_v3
             select tenant, 'ticket', moment, at, position, record_id, value, null from bench_moments, bench_desk order by position",
            "insert into read_fact_values_v3
             select tenant, 'ticket', dimension, record_id, part, at, position, value, null from bench_values, bench_desk order by position",
            "insert into read_fact_items_v3
             select tenant, 'ticket', record_id, measure, turn, at, until, measured, dims from bench_items, bench_desk order by record_id",
            "insert into crud_tickets select * from bench_crud",
        ] {
            run(pool, statement.to_owned()).await;
        }
        from = to + 1;
    }
    for (table, _, definition, is_key) in indexes {
        let make = if is_key { format!("alter table {table} add {definition}") } else { definition };
        run(pool, format!("set maintenance_work_mem = '1GB'; {make}")).await;
    }
    for column in ["opened_at", "ended_at", "status, assignee_id"] {
        run(pool, format!("create index on crud_tickets ({column})")).await;
    }
    for table in ["read_fact_moments_v3", "read_fact_values_v3", "read_fact_items_v3", "crud_tickets"] {
        run(pool, format!("vacuum analyze {table}")).await;
    }
}

async fn sizes(pool: &PgPool) -> String {
    let sizes: Vec<(String, i64, i64)> = sqlx::query_as(
        "select relname::text, pg_table_size(oid), pg_indexes_size(oid) from pg_class
         where relname in ('read_fact_moments_v3', 'read_fact_values_v3', 'read_fact_items_v3', 'crud_tickets') order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let told = sizes
        .into_iter()
        .map(|(table, rows, indexes)| format!("{table} {} MB and indexes {} MB", rows >> 20, indexes >> 20));
    told.collect::<Vec<_>>().join(", ")
}
