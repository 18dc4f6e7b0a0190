//! Search over as many tickets with their threads as are wanted: `cargo bench -p deskfold-tests --bench search`. The table is filled by
//! PostgreSQL itself, with words as often as they are in a language: the word of rank n is met every n log(vocabulary) words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::{collections::BTreeMap, time::Instant};

use clap::Parser;
use common::{Times, tell_time};
use domain::{Id, kernel::search::Query};
use projections::{
    Sight,
    insight::search::{Asked, KINDS, marks, search},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{AssertSqlSafe, PgPool};

#[derive(Parser)]
struct Arguments {
    /// How many tickets there are.
    #[arg(long, default_value_t = 100_000)]
    tickets: i64,
    /// How many messages each of them has.
    #[arg(long, default_value_t = 3)]
    messages: i64,
    /// How many searches of each sort are timed.
    #[arg(long, default_value_t = 500)]
    searches: usize,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Different words.
const VOCABULARY: i64 = 300_000;
/// Positions of the log for each ticket.
const EVENTS: i64 = 10;
/// Rows that one statement makes.
const ROWS: i64 = 50_000;

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let cluster = common::cluster().await;
    let pool = common::database(&cluster, "searched").await;
    let tenant = Id::named(&["bench"]);
    let began = Instant::now();
    fill(&pool, tenant, &arguments).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from read_search").fetch_one(&pool).await.unwrap();
    println!(
        "    {} tickets, {rows} rows, filled in {:.0} s; {}",
        arguments.tickets,
        began.elapsed().as_secs_f64(),
        sizes(&pool).await
    );
    let position = (arguments.tickets + 1) * EVENTS;
    let mut random = StdRng::seed_from_u64(7);
    let mut times_of_all = Times::default();
    for sort in SORTS {
        let mut times = Times::default();
        let mut found = 0;
        for turn in 0..arguments.searches + 20 {
            let typed = sort.typed(&pool, &arguments, &mut random).await;
            let asked = asked(&typed);
            let began = Instant::now();
            let page = search(&pool, tenant, position, &asked).await.unwrap();
            let took = began.elapsed();
            if turn >= 20 {
                times.add(took);
                found += usize::from(!page.data.is_empty());
            }
        }
        println!(
            "    {}: p50 {:.2} ms, p99 {:.2} ms, {found} of {} found something",
            sort.name(),
            times.percentile(50),
            times.percentile(99),
            arguments.searches
        );
        tell_time(&format!("search by {}, p99", sort.name()), times.percentile(99), 50.0);
        times_of_all.extend(times);
    }
    tell_time("search, all sorts, p99", times_of_all.percentile(99), 50.0);
    pool.close().await;
}

/// What somebody searches for.
#[derive(Clone, Copy)]
enum Sort {
    Common,
    Rare,
    Two,
    Apart,
    Phrase,
    Prefix,
    Typo,
    Number,
    Phone,
    Nothing,
}

const SORTS: [Sort; 10] = [
    Sort::Common,
    Sort::Rare,
    Sort::Two,
    Sort::Apart,
    Sort::Phrase,
    Sort::Prefix,
    Sort::Typo,
    Sort::Number,
    Sort::Phone,
    Sort::Nothing,
];

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Sort::Common => "a common word",
            Sort::Rare => "a rare word",
            Sort::Two => "two words",
            Sort::Apart => "a rare and a common word",
            Sort::Phrase => "a phrase",
            Sort::Prefix => "a beginning",
            Sort::Typo => "a typing error",
            Sort::Number => "a number",
            Sort::Phone => "a phone number",
            Sort::Nothing => "what is nowhere",
        }
    }

    async fn typed(self, pool: &PgPool, arguments: &Arguments, random: &mut StdRng) -> String {
        let words = async |ranks: &[i64]| -> Vec<String> {
            sqlx::query_scalar("select bench_word(rank) from unnest($1::bigint[]) rank")
                .bind(ranks)
                .fetch_all(pool)
                .await
                .unwrap()
        };
        let ticket = random.random_range(1..=arguments.tickets);
        let text = async |part: bool| -> String {
            let id = if part { id_of_message("$1::bigint", "1") } else { id_of_ticket("$1::bigint") };
            let statement =
                format!("select texts->>'{}' from read_search where id = {id}", if part { "body" } else { "title" });
            sqlx::query_scalar(AssertSqlSafe(statement)).bind(ticket).fetch_one(pool).await.unwrap()
        };
        match self {
            Sort::Common => words(&[random.random_range(1..30)]).await.remove(0) + " ",
            Sort::Rare => words(&[random.random_range(20_000..VOCABULARY)]).await.remove(0) + " ",
            Sort::Two => words(&[random.random_range(30..300), random.random_range(300..3000)]).await.join(" ") + " ",
            Sort::Apart => {
                words(&[random.random_range(1..30), random.random_range(20_000..VOCABULARY)]).await.join(" ") + " "
            }
            Sort::Phrase => {
                let text = text(true).await;
                let words: Vec<&str> = text.split(' ').collect();
                let at = random.random_range(0..words.len() - 2);
                format!("\"{}\"", words[at..at + 3].join(" "))
            }
            Sort::Prefix => text(false).await.chars().take(random.random_range(3..6)).collect(),
            Sort::Typo => {
                let title = text(false).await;
                let word = title.split(' ').next_back().unwrap();
                format!("{}q{} ", &word[..3], &word[3..])
            }
            Sort::Number => format!("#{ticket}"),
            Sort::Phone => format!("+420 {:09}", 600_000_000 + ticket),
            Sort::Nothing => words(&[VOCABULARY + ticket]).await.remove(0).chars().rev().collect::<String>() + "zz ",
        }
    }
}

fn asked(typed: &str) -> Asked {
    Asked {
        query: Query::parse(typed).unwrap(),
        kinds: KINDS.to_vec(),
        only: BTreeMap::new(),
        writers: None,
        limit: 5,
        archived: false,
        outside: false,
        country: Some("CZ".parse().unwrap()),
        sight: Sight::Everything,
    }
}

fn id_of_ticket(number: &str) -> String {
    format!("lpad(({number})::text, 26, '0')")
}

fn id_of_message(number: &str, message: &str) -> String {
    format!("'1' || lpad((({number}) * 100 + {message})::text, 25, '0')")
}

async fn fill(pool: &PgPool, tenant: Id, arguments: &Arguments) {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create function bench_word(rank bigint) returns text language sql immutable parallel safe return
             translate(lpad(to_hex(rank * 7368787 % 16777216), 6, '0'), '0123456789abcdef', 'kaoetrinslumpdvb');
         create function bench_text(words bigint) returns text language sql volatile parallel safe as $$
             select string_agg(bench_word(ceil(exp(random() * ln({VOCABULARY})))::bigint), ' ') from generate_series(1, words) $$;
         create function bench_beginnings(title text) returns text[] language sql immutable parallel safe as $$
             select array_agg(distinct '^' || left(word, size)) from unnest(string_to_array(title, ' ')) word, generate_series(2, 6) size $$;
         create function bench_slips(title text) returns text[] language sql immutable parallel safe as $$
             select array_agg(distinct '?' || overlay(word placing '' from at for 1))
             from unnest(string_to_array(title, ' ')) word, generate_series(1, length(word) + 1) at $$"
    )))
    .execute(pool)
    .await
    .unwrap();
    // No server has run here that would have filled the newest table and let it serve.
    let serve = "create or replace view read_search as select * from read_search_v2";
    sqlx::raw_sql(serve).execute(pool).await.unwrap();
    // As after a rebuild: indexes come last.
    let indexes: Vec<String> = sqlx::query_scalar(
        "select indexdef from pg_indexes where tablename = 'read_search_v2' and indexname <> 'read_search_v2_pkey'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let names: Vec<String> = sqlx::query_scalar(
        "select indexname::text from pg_indexes where tablename = 'read_search_v2' and indexname <> 'read_search_v2_pkey'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for name in names {
        sqlx::raw_sql(AssertSqlSafe(format!("drop index {name}"))).execute(pool).await.unwrap();
    }
    let marks_at = |kind: &str| {
        let marks = marks(&tenant.to_string(), kind).into_iter().map(|(mark, bits)| match bits {
            Some(bits) => format!("'{mark}' || to_hex(p.position >> {bits})"),
            None => format!("'{mark}'"),
        });
        format!("array[{}]", marks.collect::<Vec<_>>().join(", "))
    };
    let columns = "tenant_id, id, version, position, kind, record_id, part, title, number, texts, about, author_kind, author_id, \
                   internal, archived, happened_at, marked_position, words";
    let age = format!("now() - make_interval(mins => ({} - g)::int)", arguments.tickets);
    let at = |offset: i64| format!("cross join lateral (select g * {EVENTS} + {offset} as position) p");
    let mut from = 1;
    while from <= arguments.tickets {
        let to = (from + ROWS - 1).min(arguments.tickets);
        let mut statements = vec![format!(
            "insert into read_search_v2 ({columns})
             select '{tenant}', {id}, 0, p.position, 'ticket', {id}, null, title, g, jsonb_build_object('title', title), '[]', null, null, false,
                 false, {age}, p.position, setweight(to_tsvector('simple', title), 'A') || array_to_tsvector({marks} || bench_beginnings(title) || bench_slips(title))
             from generate_series({from}::bigint, {to}) g {at}
             cross join lateral (select bench_text(4 + g % 5) as title) t",
            id = id_of_ticket("g"),
            marks = marks_at("ticket"),
            at = at(0),
        )];
        for message in 1..=arguments.messages {
            statements.push(format!(
                "insert into read_search_v2 ({columns})
                 select '{tenant}', {id}, 0, p.position, 'ticket', {ticket}, {id}, null, null, jsonb_build_object('body', body), '[]', 'user', null,
                     false, false, {age}, p.position, to_tsvector('simple', body) || array_to_tsvector({marks})
                 from generate_series({from}::bigint, {to}) g {at}
                 cross join lateral (select bench_text(8 + (g * 7 + {message}) % 40) as body) t",
                id = id_of_message("g", &message.to_string()),
                ticket = id_of_ticket("g"),
                marks = marks_at("ticket"),
                at = at(message),
            ));
        }
        // For ten tickets there is a contact.
        statements.push(format!(
            "insert into read_search_v2 ({columns})
             select '{tenant}', {id}, 0, p.position, 'contact', {id}, null, name, null, jsonb_build_object('name', name, 'phone', phone), '[]', null,
                 null, false, false, {age}, p.position, setweight(to_tsvector('simple', name), 'A') || array_to_tsvector({marks} || bench_beginnings(name) || bench_slips(name)
                 || array['=420' || phone] || array(select '#' || right('420' || phone, size) from generate_series(4, 12) size))
             from generate_series({from}::bigint, {to}) g {at}
             cross join lateral (select bench_text(2) as name, lpad((600000000 + g)::text, 9, '0') as phone) t where g % 10 = 0",
            id = id_of_message("g", "99"),
            marks = marks_at("contact"),
            at = at(9),
        ));
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await.unwrap();
        }
        from = to + 1;
    }
    for index in indexes {
        sqlx::raw_sql(AssertSqlSafe(format!("set maintenance_work_mem = '1GB'; {index}"))).execute(pool).await.unwrap();
    }
    sqlx::raw_sql("vacuum analyze read_search_v2").execute(pool).await.unwrap();
}

async fn sizes(pool: &PgPool) -> String {
    let sizes: Vec<(String, i64)> = sqlx::query_as(
        "select 'table', pg_table_size('read_search_v2') union all
         select case when indexdef like '%words%' then 'index of words' else 'other indexes' end, sum(pg_relation_size(indexname::regclass))::bigint
         from pg_indexes where tablename = 'read_search_v2' group by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let told = sizes.into_iter().map(|(what, bytes)| format!("{what} {} MB", bytes >> 20));
    told.collect::<Vec<_>>().join(", ")
}
