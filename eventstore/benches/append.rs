//! The log against the limits of the machine, in one run on one PostgreSQL with fsync on: `cargo bench -p eventstore`.
//!
//! Events have 250 bytes of data and 110 of metadata; appends expect an exact version. The limits write the same rows
//! with the same indexes and check nothing. Rounds of the contenders are interleaved, and medians compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/cluster/mod.rs"]
mod cluster;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use cluster::Cluster;
use eventstore::{Append, Expected, Log, NewEvent, Options, StreamWrite};
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

/// Appends per second through the log: each client has its streams of 50 events, and expects exact versions.
async fn ours(log: &Log, clients: usize, per_append: usize, length: Duration) -> f64 {
    let appends = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let (log, appends) = (log.clone(), Arc::clone(&appends));
        tokio::spawn(async move {
            let (mut name, mut version) = (stream(), -1);
            while began.elapsed() < length {
                let expected = if version < 0 { Expected::NoStream } else { Expected::Exact(version) };
                let write = StreamWrite { stream: name.clone(), expected, events: events(per_append) };
                let append = Append {
                    tenant: TENANT.into(),
                    command_id: Uuid::now_v7(),
                    fingerprint: 7,
                    writes: vec![write],
                    claims: vec![],
                };
                version = log.append(append).await.unwrap().versions[0];
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

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn tell(what: &str, ours: Vec<f64>, limit_name: &str, limit: Vec<f64>, target: f64) {
    let (ours, limit) = (median(ours), median(limit));
    let ratio = ours / limit;
    let verdict = if ratio >= target { "reached" } else { "MISSED" };
    println!(
        "{what:<22} {ours:>10.0}/s   {limit_name:<34} {limit:>10.0}/s   ratio {ratio:.2} (at least {target:.2}: {verdict})"
    );
}

#[tokio::main]
async fn main() {
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
    ours(&log, 32, 1, length / 3).await;

    if wanted("1") {
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            truncate().await;
            limit.extend(pgbench(&cluster, length));
            mine.push(ours(&log, 1, 1, length).await);
        }
        let name = if limit.is_empty() { "(pgbench is not installed)" } else { "pgbench, one prepared insert" };
        if limit.is_empty() {
            println!("append, 1 client: {:.0}/s {name}", median(mine));
        } else {
            tell("append, 1 client", mine, name, limit, 0.75);
        }
    }
    for clients in [32, 128] {
        if !wanted(&clients.to_string()) {
            continue;
        }
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            truncate().await;
            let (connection, rate) = copying(raw, clients, length).await;
            raw = connection;
            limit.push(rate);
            mine.push(ours(&log, clients, 1, length).await);
        }
        tell(&format!("append, {clients} clients"), mine, "group commit by binary COPY", limit, 0.75);
    }
    if wanted("8x100") {
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            truncate().await;
            limit.push(inserting(&pool, 8, length).await);
            mine.push(100.0 * ours(&log, 8, 100, length).await);
        }
        tell("events, 8 x 100", mine, "raw inserts of 100 rows", limit, 0.85);
    }
    if wanted("replay") {
        sqlx::raw_sql("vacuum analyze log_event").execute(&mut raw).await.unwrap();
        let rows = log.head().await.unwrap();
        let (mut mine, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            limit.push(copy_out(&mut raw, rows).await);
            mine.push(replay(&log, rows).await);
        }
        tell("events, typed replay", mine, "COPY TO of the same rows", limit, 1.0);
    }
    let (batches, appends) = (log.metrics().batches(), log.metrics().appended());
    println!("appends per batch, all in all: {:.1}", appends / batches);
    log.close().await;
}
