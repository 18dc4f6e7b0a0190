//! The log against the limits of the machine, in one run on one PostgreSQL with fsync on: `cargo bench -p eventstore`.
//!
//! Events have 250 bytes of data and 110 of metadata; appends expect an exact version. The limits write the same rows
//! with the same indexes and check nothing. Peers are the stores of `eventstore/peers`, if that is built. Rounds of the
//! contenders are interleaved, and medians compared.
//!
//! With `-- --events 10000000` it compares a log of so many events with one of a hundred thousand instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/cluster/mod.rs"]
mod cluster;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use cluster::Cluster;
use eventstore::{Append, Direction, Expected, Log, NewEvent, Options, Query, StreamWrite};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use sqlx::{Connection, PgConnection, PgPool, Row};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const TENANT: &str = "01J00000000000000000000000";

/// How long each contender runs per round, and how many rounds.
fn length() -> (Duration, usize) {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(3.0);
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    (Duration::from_secs_f64(seconds), rounds)
}

/// Two hundred and fifty bytes of JSON, made once: what clients do to make events is not what is measured.
fn data() -> Bytes {
    static DATA: LazyLock<Bytes> = LazyLock::new(some_data);
    DATA.clone()
}

fn some_data() -> Bytes {
    let start = r#"{"type":"commented","comment":"01J2Z3K4M5N6P7Q8R9S0T1V2W3","author":"01J2Z3K4M5N6P7Q8R9S0T1V2W4","seconds":90,"internal":false,"text":""#;
    let text = "The printer on the second floor blinks again. ".repeat(4);
    Bytes::from(format!("{start}{}\"}}", &text[..250 - start.len() - 2]))
}

/// A hundred and ten bytes of JSON.
fn metadata() -> Bytes {
    static METADATA: LazyLock<Bytes> = LazyLock::new(some_metadata);
    METADATA.clone()
}

fn some_metadata() -> Bytes {
    let start =
        r#"{"actor":"01J2Z3K4M5N6P7Q8R9S0T1V2W4","channel":"api","correlation":"01J2Z3K4M5N6P7Q8R9S0T1V2W3","x":""#;
    Bytes::from(format!("{start}{}\"}}", "y".repeat(110 - start.len() - 2)))
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Fact {
    Commented { comment: String, author: String, seconds: u32, internal: bool, text: String },
}

fn events(count: usize) -> Vec<NewEvent> {
    let event = || NewEvent {
        id: Uuid::now_v7(),
        kind: "ticket.commented".into(),
        occurred_at: None,
        is_json: true,
        data: data(),
        metadata: metadata(),
        number: None,
    };
    (0..count).map(|_| event()).collect()
}

fn stream() -> String {
    format!("ticket-{}", &Uuid::now_v7().simple().to_string()[..26])
}

fn one(write: StreamWrite, remember: bool) -> Append {
    let command_id = Uuid::now_v7();
    Append { tenant: TENANT.into(), command_id, fingerprint: 7, remember, writes: vec![write], claims: vec![] }
}

/// Appends per second through the log: each client has its streams of 50 events, and expects exact versions.
async fn ours(log: &Log, clients: usize, per_append: usize, remember: bool, length: Duration) -> f64 {
    let appends = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let (log, appends) = (log.clone(), Arc::clone(&appends));
        tokio::spawn(async move {
            let (mut name, mut version) = (stream(), -1);
            while began.elapsed() < length {
                let expected = if version < 0 { Expected::NoStream } else { Expected::Exact(version) };
                let write = StreamWrite { stream: name.clone(), expected, events: events(per_append) };
                version = log.append(one(write, remember)).await.unwrap().versions[0];
                if version >= 49 {
                    (name, version) = (stream(), -1);
                }
                appends.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let (batches_before, appends_before) = (log.metrics().batches(), log.metrics().appended());
    futures::future::join_all(tasks).await;
    let (batches, done) = (log.metrics().batches() - batches_before, log.metrics().appended() - appends_before);
    println!("    {clients} clients: {:.1} appends per batch", done / batches);
    appends.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// A row of the limit's table, which is log_event without partitions.
struct RawRow {
    stream: String,
    version: i64,
    data: Bytes,
    metadata: Bytes,
}

const COPY: &str = "copy raw_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, category, data, metadata)
     from stdin (format binary)";

fn encode(buffer: &mut BytesMut, position: i64, row: &RawRow) {
    let field = |buffer: &mut BytesMut, bytes: &[u8]| {
        buffer.put_i32(bytes.len() as i32);
        buffer.put_slice(bytes);
    };
    buffer.put_i16(12);
    field(buffer, &position.to_be_bytes());
    field(buffer, &row.version.to_be_bytes());
    field(buffer, &800_000_000_000_000_i64.to_be_bytes());
    field(buffer, &800_000_000_000_000_i64.to_be_bytes());
    field(buffer, Uuid::now_v7().as_bytes());
    field(buffer, &[1]);
    field(buffer, TENANT.as_bytes());
    field(buffer, row.stream.as_bytes());
    field(buffer, b"ticket.commented");
    field(buffer, b"ticket");
    field(buffer, &row.data);
    field(buffer, &row.metadata);
}

/// Appends per second of group commit by binary COPY: one batch in flight, no checks at all.
async fn copying(connection: PgConnection, clients: usize, length: Duration) -> (PgConnection, f64) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(RawRow, oneshot::Sender<i64>)>();
    let writer = tokio::spawn(async move {
        let mut connection = connection;
        let mut position: i64 = sqlx::query_scalar("select coalesce(max(position), 0) from raw_event")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let mut waiting = Vec::new();
        while receiver.recv_many(&mut waiting, 1024).await > 0 {
            let mut buffer = BytesMut::with_capacity(waiting.len() * 600);
            buffer.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
            for (row, _) in &waiting {
                position += 1;
                encode(&mut buffer, position, row);
            }
            buffer.put_i16(-1);
            let mut copy = connection.copy_in_raw(COPY).await.unwrap();
            copy.send(buffer).await.unwrap();
            copy.finish().await.unwrap();
            for (_, reply) in waiting.drain(..) {
                let _ = reply.send(position);
            }
        }
        connection
    });
    let appends = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (sender, appends) = (sender.clone(), Arc::clone(&appends));
            tokio::spawn(async move {
                let (mut name, mut version) = (stream(), 0);
                while began.elapsed() < length {
                    let (reply, answer) = oneshot::channel();
                    let row = RawRow { stream: name.clone(), version, data: data(), metadata: metadata() };
                    sender.send((row, reply)).unwrap();
                    answer.await.unwrap();
                    version += 1;
                    if version == 50 {
                        (name, version) = (stream(), 0);
                    }
                    appends.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    drop(sender);
    futures::future::join_all(tasks).await;
    let rate = appends.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    (writer.await.unwrap(), rate)
}

/// Events per second of clients that each insert a hundred rows at once.
async fn inserting(pool: &PgPool, clients: usize, length: Duration) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let first: i64 =
        sqlx::query_scalar("select coalesce(max(position), 0) + 1 from raw_event").fetch_one(pool).await.unwrap();
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let (pool, next) = (pool.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut connection = pool.acquire().await.unwrap();
            while began.elapsed() < length {
                let position = first + 100 * next.fetch_add(1, Ordering::Relaxed) as i64;
                let name = stream();
                let (data, metadata) = (vec![data(); 100], vec![metadata(); 100]);
                sqlx::query(
                    "insert into raw_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, category, data, metadata)
                     select $1 + i - 1, i, now(), now(), id, true, $2, $3, 'ticket.commented', 'ticket', data, metadata
                     from unnest($4::uuid[], $5::bytea[], $6::bytea[]) with ordinality as row (id, data, metadata, i)",
                )
                .bind(position)
                .bind(TENANT)
                .bind(&name)
                .bind((0..100).map(|_| Uuid::now_v7()).collect::<Vec<_>>())
                .bind(data.iter().map(|data| &data[..]).collect::<Vec<_>>())
                .bind(metadata.iter().map(|metadata| &metadata[..]).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await
                .unwrap();
            }
        })
    });
    futures::future::join_all(tasks).await;
    100.0 * next.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Transactions per second of pgbench with one prepared insert and one client.
fn pgbench(cluster: &Cluster, length: Duration) -> Option<f64> {
    let installed =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let binary = std::iter::once(cluster.binaries.clone())
        .chain(installed)
        .map(|bin| bin.join("pgbench"))
        .find(|file| file.exists())?;
    let script = std::env::temp_dir().join(format!("pgbench-{}.sql", std::process::id()));
    // In hexadecimal: pgbench takes a colon in JSON for a variable.
    let hexadecimal = |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (data, metadata) = (hexadecimal(data()), hexadecimal(metadata()));
    std::fs::write(
        &script,
        format!(
            "insert into raw_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, category, data, metadata)
             values (nextval('raw_position'), 0, now(), now(), gen_random_uuid(), true, '{TENANT}', 'ticket-01J2Z3K4M5N6P7Q8R9S0T1V2W3',
             'ticket.commented', 'ticket', '\\x{data}', '\\x{metadata}');"
        )
        .replace('\n', " "),
    )
    .unwrap();
    let output = Command::new(binary)
        .args(["-n", "-M", "prepared", "-c", "1", "-j", "1", "-U", "postgres", "-T"])
        .arg(length.as_secs().max(1).to_string())
        .arg("-h")
        .arg(&cluster.directory)
        .arg("-f")
        .arg(&script)
        .arg("bench")
        .output()
        .unwrap();
    std::fs::remove_file(&script).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.starts_with("tps = "));
    Some(
        line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
            .split(' ')
            .nth(2)?
            .parse()
            .unwrap(),
    )
}

/// Rows per second of COPY TO, as text, read and thrown away.
async fn copy_out(connection: &mut PgConnection, rows: i64) -> f64 {
    let began = Instant::now();
    let mut copy = connection.copy_out_raw("copy (select * from log_event order by position) to stdout").await.unwrap();
    let mut bytes = 0;
    while let Some(message) = copy.try_next().await.unwrap() {
        bytes += message.len();
    }
    assert!(bytes > 0);
    rows as f64 / began.elapsed().as_secs_f64()
}

/// Events per second of a replay that decodes every event to a typed value.
async fn replay(log: &Log, rows: i64) -> f64 {
    let began = Instant::now();
    let (mut count, mut sum) = (0, 0);
    let mut pages = log.replay(0, i64::MAX);
    while let Some(page) = pages.next().await {
        for event in page.unwrap() {
            let Fact::Commented { comment, author, seconds, internal, text } = event.decode().unwrap();
            sum += comment.len() + author.len() + text.len() + seconds as usize + usize::from(internal);
            count += 1;
        }
    }
    assert!(count == rows && sum > 0);
    rows as f64 / began.elapsed().as_secs_f64()
}

/// Appends per second of other event stores on the same PostgreSQL.
#[derive(Default)]
struct Peers {
    esrs: Vec<f64>,
    postgres_es: Vec<f64>,
}

impl Peers {
    fn run(&mut self, cluster: &Cluster, clients: usize, length: Duration) {
        self.esrs.extend(peer(cluster, "esrs", clients, length));
        self.postgres_es.extend(peer(cluster, "postgres-es", clients, length));
    }

    fn tell(&self, what: &str, ours: &[f64], target: f64) {
        for (name, rates) in [("esrs 0.18", &self.esrs), ("postgres-es 0.5", &self.postgres_es)] {
            if !rates.is_empty() {
                tell(what, ours, name, rates, target);
            }
        }
    }
}

/// Appends per second of another event store, as a program of its own; `None` if that is not built.
fn peer(cluster: &Cluster, name: &str, clients: usize, length: Duration) -> Option<f64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/release/peers");
    if !program.exists() {
        return None;
    }
    let output = Command::new(program)
        .args([name.as_ref(), cluster.directory.as_os_str(), "bench".as_ref()])
        .args([clients.to_string(), length.as_secs_f64().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// How many events the streams of [`fill`] have.
const STREAM_EVENTS: usize = 50;

fn numbered_stream(number: usize) -> String {
    format!("ticket-{number:026}")
}

/// Writes streams of 50 events until the log has so many.
async fn fill(log: &Log, events_wanted: usize) {
    let streams = futures::stream::iter(0..events_wanted / STREAM_EVENTS).map(|number| async move {
        let write = StreamWrite {
            stream: numbered_stream(number),
            expected: Expected::NoStream,
            events: events(STREAM_EVENTS),
        };
        log.append(one(write, false)).await.unwrap();
    });
    streams.buffer_unordered(64).collect::<Vec<()>>().await;
    for statement in ["vacuum analyze log_event", "vacuum analyze log_stream", "checkpoint"] {
        sqlx::raw_sql(statement).execute(log.pool()).await.unwrap();
    }
}

/// Streams of 50 events per second, or pages of 50 events of one category, read by 32 clients at places without a pattern.
async fn reading(log: &Log, events_there: usize, pages: bool, length: Duration) -> f64 {
    let reads = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks = (0..32_u64).map(|client| {
        let (log, reads) = (log.clone(), Arc::clone(&reads));
        tokio::spawn(async move {
            let mut dice = client;
            while began.elapsed() < length {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let stream = (dice >> 33) as usize % (events_there / STREAM_EVENTS);
                let limit = STREAM_EVENTS as i64;
                let read = if pages {
                    let after = Some((stream * STREAM_EVENTS) as i64);
                    let categories = vec!["ticket".to_owned()];
                    let query = Query { tenant: Some(TENANT.into()), categories, after, limit, ..Query::default() };
                    log.read_all(&query).await.unwrap()
                } else {
                    log.read_stream(TENANT, &numbered_stream(stream), 0, Direction::Forward, limit).await.unwrap()
                };
                assert_eq!(read.len(), STREAM_EVENTS);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    futures::future::join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
    reads.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// A log of many events against one of a hundred thousand.
async fn sizes(large: usize) {
    const SMALL: usize = 100_000;
    let (length, rounds) = length();
    let cluster = Cluster::start("-c shared_buffers=512MB -c max_wal_size=2GB");
    let mut logs = Vec::new();
    for (name, count) in [("small", SMALL), ("large", large)] {
        cluster.migrated(name).await;
        let log = Log::open(cluster.pool(name).await, Options { notify: false, ..Options::default() }).await.unwrap();
        let began = Instant::now();
        fill(&log, count).await;
        let size: i64 =
            sqlx::query_scalar("select pg_database_size(current_database())").fetch_one(log.pool()).await.unwrap();
        println!("{name}: {count} events, {} MB, filled in {:.0} s", size >> 20, began.elapsed().as_secs_f64());
        logs.push((log, count));
    }
    let mut rates = [const { [const { Vec::new() }; 2] }; 4];
    for _ in 0..=rounds {
        for (size, (log, count)) in logs.iter().enumerate() {
            rates[0][size].push(ours(log, 1, 1, false, length).await);
            rates[1][size].push(ours(log, 32, 1, false, length).await);
            rates[2][size].push(reading(log, *count, false, length).await);
            rates[3][size].push(reading(log, *count, true, length).await);
        }
    }
    let what =
        ["append, 1 client", "append, 32 clients", "load of 50 events, 32 clients", "page of 50 events, 32 clients"];
    for (what, [small, large]) in what.into_iter().zip(&rates) {
        // The first round warms the caches.
        let (small, large) = (median(&small[1..]), median(&large[1..]));
        let ratio = small / large;
        let verdict = if ratio <= 1.5 { "reached" } else { "MISSED" };
        println!(
            "{what:<30} {large:>10.0}/s   {:<34} {small:>10.0}/s   ratio {ratio:.2} (at most 1.50: {verdict})",
            "the same with 100,000 events"
        );
    }
    for (log, _) in logs {
        log.close().await;
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn tell(what: &str, ours: &[f64], limit_name: &str, limit: &[f64], target: f64) {
    let ratio = median(ours) / median(limit);
    let verdict = if ratio >= target { "reached" } else { "MISSED" };
    println!("{} (at least {target:.2}: {verdict})", line(what, ours, limit_name, limit));
}

/// The same without a target.
fn compare(what: &str, ours: &[f64], limit_name: &str, limit: &[f64]) {
    println!("{}", line(what, ours, limit_name, limit));
}

fn line(what: &str, ours: &[f64], limit_name: &str, limit: &[f64]) -> String {
    let (ours, limit) = (median(ours), median(limit));
    format!("{what:<30} {ours:>10.0}/s   {limit_name:<34} {limit:>10.0}/s   ratio {:.2}", ours / limit)
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--events") {
        return sizes(arguments[at + 1].parse().expect("a number of events")).await;
    }
    let (length, rounds) = length();
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|wanted| wanted == name);
    let more = std::env::var("BENCH_SETTINGS").unwrap_or_default();
    let cluster = Cluster::start(&format!("-c shared_buffers=512MB -c max_wal_size=8GB {more}"));
    cluster.migrated("bench").await;
    let pool = cluster.pool("bench").await;
    sqlx::raw_sql("create table raw_event (like log_event including all); create sequence raw_position")
        .execute(&pool)
        .await
        .unwrap();
    let indexes = "select count(*) from pg_indexes where tablename in ('raw_event')";
    println!("indexes of the limit's table: {}", sqlx::query(indexes).fetch_one(&pool).await.unwrap().get::<i64, _>(0));
    let notify = std::env::var("BENCH_NOTIFY").is_ok();
    let log = Log::open(pool.clone(), Options { notify, ..Options::default() }).await.unwrap();
    let mut raw = PgConnection::connect_with(&cluster.options("bench")).await.unwrap();
    let truncate = async || {
        sqlx::raw_sql("truncate raw_event; alter sequence raw_position restart").execute(&pool).await.unwrap();
    };
    // Caches warm, plans made, files grown.
    ours(&log, 32, 1, false, length / 3).await;

    if wanted("1") {
        let (mut mine, mut remembered, mut limit, mut others) = (Vec::new(), Vec::new(), Vec::new(), Peers::default());
        for _ in 0..rounds {
            truncate().await;
            limit.extend(pgbench(&cluster, length));
            mine.push(ours(&log, 1, 1, false, length).await);
            others.run(&cluster, 1, length);
            remembered.push(ours(&log, 1, 1, true, length).await);
        }
        if limit.is_empty() {
            println!("append, 1 client: {:.0}/s (pgbench is not installed)", median(&mine));
        } else {
            tell("append, 1 client", &mine, "pgbench, one prepared insert", &limit, 0.75);
            compare("append, 1 client, remembered", &remembered, "pgbench, one prepared insert", &limit);
        }
        others.tell("append, 1 client", &mine, 1.25);
    }
    for clients in [32, 128] {
        if !wanted(&clients.to_string()) {
            continue;
        }
        let (mut mine, mut remembered, mut limit, mut others) = (Vec::new(), Vec::new(), Vec::new(), Peers::default());
        for _ in 0..rounds {
            truncate().await;
            let (connection, rate) = copying(raw, clients, length).await;
            raw = connection;
            limit.push(rate);
            mine.push(ours(&log, clients, 1, false, length).await);
            others.run(&cluster, clients, length);
            remembered.push(ours(&log, clients, 1, true, length).await);
        }
        let what = format!("append, {clients} clients");
        tell(&what, &mine, "group commit by binary COPY", &limit, 0.75);
        compare(&format!("{what}, remembered"), &remembered, "group commit by binary COPY", &limit);
        others.tell(&what, &mine, 4.0);
    }
    if wanted("8x100") {
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            truncate().await;
            limit.push(inserting(&pool, 8, length).await);
            mine.push(100.0 * ours(&log, 8, 100, false, length).await);
        }
        tell("events, 8 x 100", &mine, "raw inserts of 100 rows", &limit, 0.85);
    }
    if wanted("replay") {
        sqlx::raw_sql("vacuum analyze log_event").execute(&mut raw).await.unwrap();
        let rows = log.head().await.unwrap();
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            limit.push(copy_out(&mut raw, rows).await);
            mine.push(replay(&log, rows).await);
        }
        tell("events, typed replay", &mine, "COPY TO of the same rows", &limit, 1.0);
    }
    let (batches, appends) = (log.metrics().batches(), log.metrics().appended());
    println!("appends per batch, all in all: {:.1}", appends / batches);
    log.close().await;
}
