//! Every promise of the log, held against a real PostgreSQL with concurrent writers, rollbacks and conflicts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eventstore::{
    Append, AppendError, Appended, Claim, ClaimAction, Direction, Expected, Failure, Handler, Log, Metrics, NewEvent,
    Number, Options, Query, Recorded, Start, StreamWrite, Subscription, SubscriptionOptions,
};
use futures::{StreamExt, TryStreamExt};
use jiff::{Timestamp, ToSpan};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

/// The lock every batch takes before it takes positions: who holds it holds up every batch just before its insert.
const HEAD_LOCK: i64 = 7_813_887_466;

// ---- What the tests say things with

async fn log() -> Log {
    open(&cluster::database().await).await
}

async fn open(database: &str) -> Log {
    open_with(database, Options::default()).await
}

async fn open_with(database: &str, options: Options) -> Log {
    Log::open(cluster::shared().pool(database).await, options).await.unwrap()
}

/// Two logs on one database, as two processes have.
async fn two() -> (Log, Log) {
    let database = cluster::database().await;
    (open(&database).await, open(&database).await)
}

fn event(kind: &str) -> NewEvent {
    let data = format!(r#"{{"said":"{kind}"}}"#);
    NewEvent {
        id: Uuid::now_v7(),
        kind: kind.into(),
        occurred_at: None,
        is_json: true,
        data: data.into(),
        metadata: Bytes::from_static(br#"{"actor":"anna"}"#),
        number: None,
    }
}

fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| event("thing.happened")).collect()
}

/// `{"number":0,...}` whose number is drawn in the append.
fn numbered() -> NewEvent {
    let number = Number { counter: "ticket".into(), offset: 10 };
    NewEvent {
        data: Bytes::from_static(br#"{"number":0,"open":true}"#),
        number: Some(number),
        ..event("ticket.opened")
    }
}

fn write(stream: &str, expected: Expected, events: Vec<NewEvent>) -> StreamWrite {
    StreamWrite { stream: stream.into(), expected, events }
}

fn append(writes: impl IntoIterator<Item = StreamWrite>) -> Append {
    Append {
        tenant: "acme".into(),
        command_id: Uuid::now_v7(),
        fingerprint: 1,
        remember: true,
        writes: writes.into_iter().collect(),
        claims: Vec::new(),
    }
}

fn one(stream: &str, expected: Expected) -> Append {
    append([write(stream, expected, events(1))])
}

fn claim(action: ClaimAction, key: &str, stream: &str) -> Claim {
    Claim { scope: "contact.email".into(), key: key.into(), stream: stream.into(), global: false, action }
}

fn claiming(stream: &str, claims: impl IntoIterator<Item = Claim>) -> Append {
    Append { claims: claims.into_iter().collect(), ..one(stream, Expected::Any) }
}

fn conflict(result: Result<Appended, AppendError>) -> (String, i64) {
    match result {
        Err(AppendError::Conflict { stream, actual, .. }) => (stream, actual),
        other => panic!("a conflict, not {other:?}"),
    }
}

async fn everything(log: &Log) -> Vec<Recorded> {
    log.read_all(&Query { limit: i64::MAX, ..Query::default() }).await.unwrap()
}

async fn kinds(log: &Log, stream: &str) -> Vec<String> {
    let events = log.read_stream("acme", stream, 0, Direction::Forward, i64::MAX).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).collect()
}

/// Positions without a hole, versions without a hole, both in the same order, and times that never run backwards.
async fn assert_dense(log: &Log) -> i64 {
    let events = everything(log).await;
    let mut versions = BTreeMap::new();
    let mut recorded_at = Timestamp::MIN;
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event.position, position, "positions have a hole");
        let version = versions.entry((event.tenant.clone(), event.stream.clone())).or_insert(0);
        assert_eq!(event.version, *version, "versions of {} have a hole or another order", event.stream);
        *version += 1;
        assert!(event.recorded_at >= recorded_at, "recorded_at runs backwards at {position}");
        recorded_at = event.recorded_at;
    }
    for ((tenant, stream), versions) in versions {
        assert_eq!(log.stream_version(&tenant, &stream).await.unwrap(), versions - 1);
    }
    i64::try_from(events.len()).unwrap()
}

/// Holds up all batches before they take positions.
async fn hold_head(log: &Log) -> PgConnection {
    let mut gate = PgConnection::connect_with(&log.pool().connect_options()).await.unwrap();
    sqlx::query("select pg_advisory_lock($1)").bind(HEAD_LOCK).execute(&mut gate).await.unwrap();
    gate
}

async fn release_head(gate: PgConnection) {
    gate.close().await.unwrap();
}

/// Waits until a query, asked again and again, answers true.
async fn until(pool: &PgPool, question: &str) {
    let asking = async {
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(question.to_owned())).fetch_one(pool).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .unwrap_or_else(|_| panic!("never became true: {question}"));
}

/// Waits until so many batches stand before the held head.
async fn until_held(log: &Log, batches: usize) {
    let held = format!(
        "select count(*) >= {batches} from pg_stat_activity a join pg_locks l using (pid)
         where a.datname = current_database() and l.locktype = 'advisory' and not l.granted"
    );
    until(log.pool(), &held).await;
}

async fn scalar<T>(log: &Log, question: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(log.pool()).await.unwrap()
}

/// Small numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

// ---- Dense and commit-ordered, ordered streams

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn positions_are_dense_and_visible_in_order_whatever_the_writers_do() {
    let (left, right) = two().await;
    let done = Arc::new(AtomicBool::new(false));

    // A poller sees only whole prefixes of the log: in one look, and from its checkpoint onwards.
    let poller = tokio::spawn({
        let (log, done) = (left.clone(), Arc::clone(&done));
        async move {
            let (mut checkpoint, mut looks) = (0, 0);
            loop {
                let finished = done.load(Ordering::Acquire);
                let (count, head): (i64, i64) =
                    sqlx::query_as("select count(*), coalesce(max(position), 0) from log_event")
                        .fetch_one(log.pool())
                        .await
                        .unwrap();
                assert_eq!(count, head, "a position was visible before one below it");
                let query = Query { after: Some(checkpoint), limit: 1000, ..Query::default() };
                for event in log.read_all(&query).await.unwrap() {
                    checkpoint += 1;
                    assert_eq!(event.position, checkpoint, "a subscriber would have missed an event");
                }
                looks += 1;
                if finished {
                    return (checkpoint, looks);
                }
            }
        }
    });

    // Somebody whose transactions are rolled back after they took positions.
    let rollbacks = tokio::spawn({
        let (log, done) = (right.clone(), Arc::clone(&done));
        async move {
            let mut count = 0;
            while !done.load(Ordering::Acquire) {
                let mut transaction = log.pool().begin().await.unwrap();
                let head: i64 = sqlx::query_scalar(
                    "select head from log_append(true, false, array[gen_random_uuid()], '{1}', '{acme}', '{1}', '{1}',
                         '{1}', '{doomed-1}', '{-2}', '{1}', false, false,
                         '{1}', '{1}', '{0}', array[gen_random_uuid()], '{doomed.happened}',
                         '{}', '{}', '{\"{}\"}', '{\"{}\"}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
                )
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
                assert!(head >= 0);
                transaction.rollback().await.unwrap();
                count += 1;
            }
            count
        }
    });

    let writers = (0..8).map(|writer| {
        let log = if writer % 2 == 0 { left.clone() } else { right.clone() };
        tokio::spawn(async move {
            let mut dice = Dice(writer);
            let (mut accepted, mut refused) = (0, 0);
            for _ in 0..150 {
                let streams: HashSet<u64> = (0..=dice.roll(2)).map(|_| dice.roll(12)).collect();
                let mut writes = Vec::new();
                for stream in streams {
                    let stream = format!("thing-{stream}");
                    let expected = match dice.roll(3) {
                        0 => Expected::Any,
                        // Stale at times, as the other writers move on.
                        _ => match log.stream_version("acme", &stream).await.unwrap() {
                            -1 => Expected::NoStream,
                            version => Expected::Exact(version),
                        },
                    };
                    writes.push(write(&stream, expected, events(dice.roll(4) as usize)));
                }
                let count: usize = writes.iter().map(|write| write.events.len()).sum();
                match log.append(append(writes)).await {
                    Ok(appended) => {
                        accepted += count;
                        assert_eq!(appended.last_position - appended.first_position + 1, count as i64);
                    }
                    Err(AppendError::Conflict { .. }) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (accepted, refused)
        })
    });
    let (mut accepted, mut refused) = (0, 0);
    for writer in futures::future::join_all(writers).await {
        let (more, less) = writer.unwrap();
        accepted += more;
        refused += less;
    }
    done.store(true, Ordering::Release);
    assert!(rollbacks.await.unwrap() > 0 && refused > 0, "the test must roll back and refuse to mean anything");
    let (seen, looks) = poller.await.unwrap();
    assert!(looks > 10);
    assert_eq!(assert_dense(&left).await, accepted as i64);
    assert_eq!(seen, accepted as i64);
}

#[tokio::test]
async fn appends_of_one_caller_to_one_stream_keep_their_order_without_waiting_for_answers() {
    let log = log().await;
    let appends = (0..50)
        .map(|version| one("thing-1", if version == 0 { Expected::NoStream } else { Expected::Exact(version - 1) }));
    let results = futures::future::join_all(appends.map(|append| log.append(append))).await;
    let versions: Vec<i64> = results.into_iter().flat_map(|result| result.unwrap().versions).collect();
    assert_eq!(versions, (0..50).collect::<Vec<_>>());
}

// ---- Optimistic concurrency

#[tokio::test]
async fn each_expectation_holds_or_refuses() {
    let log = log().await;
    // New stream: (expected, accepted).
    for (expected, accepted) in [
        (Expected::Any, true),
        (Expected::NoStream, true),
        (Expected::StreamExists, false),
        (Expected::Exact(0), false),
        (Expected::Exact(1), false),
    ] {
        let stream = format!("fresh-{}", Uuid::now_v7());
        let result = log.append(one(&stream, expected)).await;
        match accepted {
            true => assert_eq!(result.unwrap().versions, [0], "{expected:?}"),
            false => assert_eq!(conflict(result), (stream, -1), "{expected:?}"),
        }
    }
    // A stream at version 1.
    for (expected, accepted) in [
        (Expected::Any, true),
        (Expected::NoStream, false),
        (Expected::StreamExists, true),
        (Expected::Exact(0), false),
        (Expected::Exact(1), true),
        (Expected::Exact(2), false),
    ] {
        let stream = format!("old-{}", Uuid::now_v7());
        log.append(append([write(&stream, Expected::NoStream, events(2))])).await.unwrap();
        let result = log.append(one(&stream, expected)).await;
        match accepted {
            true => assert_eq!(result.unwrap().versions, [2], "{expected:?}"),
            false => assert_eq!(conflict(result), (stream, 1), "{expected:?}"),
        }
    }
    assert_dense(&log).await;
}

#[tokio::test]
async fn a_refused_append_never_hurts_its_neighbours_in_the_batch() {
    let metrics = Metrics::unregistered().unwrap();
    let options = Options { metrics: Some(metrics), writers: 1, ..Options::default() };
    let log = open_with(&cluster::database().await, options).await;
    log.append(claiming("taken-1", [claim(ClaimAction::Take, "a@example.com", "taken-1")])).await.unwrap();
    let stored = one("stored-1", Expected::NoStream);
    log.append(stored.clone()).await.unwrap();

    // While one batch is held up, all the others gather in the next.
    let gate = hold_head(&log).await;
    let first = tokio::spawn({
        let log = log.clone();
        async move { log.append(one("first-1", Expected::NoStream)).await }
    });
    until_held(&log, 1).await;
    let appends = [
        one("good-1", Expected::NoStream),
        one("bad-1", Expected::Exact(7)),
        one("good-2", Expected::Any),
        claiming("bad-2", [claim(ClaimAction::Take, "a@example.com", "bad-2")]),
        append([write("good-3", Expected::NoStream, vec![numbered()])]),
        append([write("bad-3", Expected::StreamExists, vec![numbered()])]),
        append([write("good-4", Expected::NoStream, vec![numbered()])]),
        stored.clone(),
        Append { fingerprint: 2, ..stored.clone() },
        one("good-5", Expected::NoStream),
    ];
    // The two that share a command id cannot be in one batch; the other nine are.
    let waiting = appends.map(|append| log.append(append));
    let (results, _) = tokio::join!(futures::future::join_all(waiting), async {
        tokio::task::yield_now().await;
        release_head(gate).await;
    });
    first.await.unwrap().unwrap();
    let results: Vec<_> = results
        .into_iter()
        .map(|result| match result {
            Ok(appended) if appended.duplicate => "duplicate",
            Ok(_) => "accepted",
            Err(AppendError::Conflict { .. }) => "conflict",
            Err(AppendError::Claimed { .. }) => "claimed",
            Err(AppendError::CommandReused) => "reused",
            Err(other) => panic!("{other}"),
        })
        .collect();
    let expected = [
        "accepted",
        "conflict",
        "accepted",
        "claimed",
        "accepted",
        "conflict",
        "accepted",
        "duplicate",
        "reused",
        "accepted",
    ];
    assert_eq!(results, expected);
    assert_eq!(assert_dense(&log).await, 8);
    let batches: i64 = scalar(&log, "select count(distinct recorded_at) from log_command").await;
    assert_eq!(batches, 4, "the accepted ones went in one batch");
}

// ---- Atomic across streams

#[tokio::test]
async fn an_append_of_several_streams_is_all_or_nothing() {
    let log = log().await;
    log.append(append([
        write("ticket-1", Expected::NoStream, events(3)),
        write("ticket-2", Expected::NoStream, events(1)),
    ]))
    .await
    .unwrap();
    let merge = |from: i64, into: i64| {
        append([
            write("ticket-1", Expected::Exact(from), vec![event("ticket.merged_into"), event("ticket.closed")]),
            write("ticket-2", Expected::Exact(into), vec![event("ticket.took_over")]),
        ])
    };
    assert_eq!(conflict(log.append(merge(2, 5)).await), ("ticket-2".into(), 0));
    assert_eq!(conflict(log.append(merge(1, 0)).await), ("ticket-1".into(), 2));
    assert_eq!(
        (kinds(&log, "ticket-1").await.len(), kinds(&log, "ticket-2").await.len()),
        (3, 1),
        "nothing was written"
    );

    let merged = log.append(merge(2, 0)).await.unwrap();
    assert_eq!(merged.versions, [4, 1]);
    assert_eq!((merged.first_position, merged.last_position), (5, 7));
    assert_eq!(kinds(&log, "ticket-2").await, ["thing.happened", "ticket.took_over"]);
    assert_dense(&log).await;
}

#[tokio::test]
async fn a_stream_can_be_checked_without_being_written() {
    let log = log().await;
    log.append(one("product-1", Expected::NoStream)).await.unwrap();
    let take = |ticket: &str, version: i64| {
        append([write(ticket, Expected::NoStream, events(1)), write("product-1", Expected::Exact(version), vec![])])
    };
    assert_eq!(log.append(take("ticket-1", 0)).await.unwrap().versions, [0, 0]);
    assert_eq!(conflict(log.append(take("ticket-2", 1)).await), ("product-1".into(), 0));
    assert_eq!(log.stream_version("acme", "product-1").await.unwrap(), 0);
    assert_eq!(log.stream_version("acme", "ticket-2").await.unwrap(), -1);
    assert_dense(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_excludes_a_concurrent_write_of_the_checked_stream() {
    // Two on-call agents may not both leave: each append checks the other's stream and writes its own.
    let (left, right) = two().await;
    for round in 0..40 {
        let (anna, bert) = (format!("agent-a{round}"), format!("agent-b{round}"));
        left.append(append([write(&anna, Expected::NoStream, events(1)), write(&bert, Expected::NoStream, events(1))]))
            .await
            .unwrap();
        let leave = |own: &str, other: &str| {
            append([write(own, Expected::Exact(0), events(1)), write(other, Expected::Exact(0), vec![])])
        };
        let (a, b) = tokio::join!(left.append(leave(&anna, &bert)), right.append(leave(&bert, &anna)));
        assert!(a.is_ok() != b.is_ok(), "exactly one may leave: {a:?} {b:?}");
    }
}

// ---- Idempotent

#[tokio::test]
async fn a_command_is_applied_once_and_answers_the_same_for_ever() {
    let database = cluster::database().await;
    let log = open(&database).await;
    log.append(one("noise-1", Expected::Any)).await.unwrap();
    let command = append([
        write("ticket-1", Expected::NoStream, vec![numbered(), event("ticket.assigned")]),
        write("ticket-2", Expected::Any, vec![numbered()]),
        write("noise-1", Expected::Exact(0), vec![]),
    ]);
    let first = log.append(command.clone()).await.unwrap();
    assert!(!first.duplicate);
    assert_eq!(first.numbers, [1, 2]);
    log.append(one("noise-1", Expected::Any)).await.unwrap();

    let again = log.append(command.clone()).await.unwrap();
    let mut versions = first.versions.clone();
    *versions.last_mut().unwrap() = -1;
    assert_eq!(again, Appended { duplicate: true, versions, ..first.clone() });

    log.close().await;
    let log = open(&database).await;
    assert_eq!(log.append(command.clone()).await.unwrap(), again, "also after a restart");
    assert_eq!(assert_dense(&log).await, 5);

    let stored = log.stored_command(command.command_id).await.unwrap().unwrap();
    assert_eq!((stored.first_position, stored.last_position, stored.fingerprint), (2, 4, 1));
    assert_eq!(log.stored_command(Uuid::now_v7()).await.unwrap(), None);

    let other = Append { fingerprint: 2, ..command.clone() };
    assert!(matches!(log.append(other).await, Err(AppendError::CommandReused)));
    let other = Append { tenant: "globex".into(), ..command };
    assert!(matches!(log.append(other).await, Err(AppendError::CommandReused)), "and tells another tenant nothing");
}

#[tokio::test]
async fn a_command_without_events_is_remembered_too() {
    let log = log().await;
    log.append(one("thing-1", Expected::Any)).await.unwrap();
    let command = append([]);
    let first = log.append(command.clone()).await.unwrap();
    assert_eq!((first.first_position, first.last_position), (2, 1));
    let again = log.append(command).await.unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!(log.head().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_racing_with_one_command_apply_it_once() {
    let (left, right) = two().await;
    for round in 0..60 {
        // Not even the same stream: nothing but the command id can stop the second.
        let command = append([write(&format!("left-{round}"), Expected::Any, events(2))]);
        let other =
            Append { writes: vec![write(&format!("right-{round}"), Expected::Any, events(2))], ..command.clone() };
        let neighbour = one(&format!("neighbour-{round}"), Expected::NoStream);
        let (a, b, c) = tokio::join!(left.append(command), right.append(other), right.append(neighbour));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.duplicate != b.duplicate);
        assert_eq!((a.first_position, a.last_position), (b.first_position, b.last_position));
        c.unwrap();
    }
    assert_eq!(assert_dense(&left).await, 60 * 3);
}

#[tokio::test]
async fn a_race_for_a_command_is_lost_to_a_batch_that_commits_between_look_up_and_insert() {
    let (left, right) = two().await;
    let command = one("left-1", Expected::Any);
    let other = Append { writes: vec![write("right-1", Expected::Any, events(1))], ..command.clone() };
    let gate = hold_head(&left).await;
    let racing = [(left.clone(), command), (right.clone(), other)]
        .map(|(log, append)| tokio::spawn(async move { log.append(append).await.unwrap() }));
    // Both have looked the command up, found nothing, and wait for their positions.
    until_held(&left, 2).await;
    release_head(gate).await;
    let duplicates =
        futures::future::join_all(racing).await.into_iter().filter(|result| result.as_ref().unwrap().duplicate).count();
    assert_eq!(duplicates, 1);
    assert_eq!(assert_dense(&left).await, 1);
}

#[tokio::test]
async fn a_race_for_a_command_is_told_apart_from_ones_own_try_when_connections_are_lost_meanwhile() {
    let (left, right) = two().await;
    let command = one("left-1", Expected::Any);
    let other = Append { writes: vec![write("right-1", Expected::Any, events(1))], ..command.clone() };
    let gate = hold_head(&left).await;
    let racing = [(left.clone(), command), (right.clone(), other)]
        .map(|(log, append)| tokio::spawn(async move { log.append(append).await.unwrap() }));
    until_held(&left, 2).await;
    // From now on each may have been committed, as far as its sender knows.
    let killed: i64 = scalar(&left, KILL).await;
    assert!(killed >= 2);
    until_held(&left, 2).await;
    release_head(gate).await;
    let results: Vec<Appended> = futures::future::join_all(racing).await.into_iter().map(Result::unwrap).collect();
    let mut answers: Vec<_> = results.iter().map(|result| (result.duplicate, result.versions.clone())).collect();
    answers.sort();
    assert_eq!(answers, [(false, vec![0]), (true, vec![-1])], "one of them wrote, the other is told that it did not");
    assert_eq!(assert_dense(&left).await, 1);
}

// ---- The short way, and commands that are not remembered

/// A command that nobody will ask for.
fn forgettable(stream: &str, expected: Expected) -> Append {
    Append { remember: false, ..one(stream, expected) }
}

fn at(version: i64) -> Expected {
    if version < 0 { Expected::NoStream } else { Expected::Exact(version) }
}

/// How many of the log's appends went the short way.
fn short(log: &Log) -> f64 {
    log.metrics().short()
}

#[tokio::test]
async fn an_append_that_meets_nobody_goes_the_short_way() {
    let log = log().await;
    log.tail().after(0, 1).await.unwrap();
    let mut position = log.append(one("thing-0", Expected::NoStream)).await.unwrap().last_position;
    assert_eq!(short(&log), 0.0, "the first asks where the head is");
    let (mut appends, mut remembered) = (0.0, 1);
    for stream in ["thing-1", "single"] {
        let mut version = -1;
        for round in 0..8 {
            let mut events = events([1, 1, 3, 100][round % 4]);
            events[0].is_json = round % 3 > 0;
            events[0].occurred_at = (round % 3 == 1).then(|| "2012-10-09T14:50:17.123456Z".parse().unwrap());
            let count = events.len() as i64;
            let remember = round >= 4;
            let command = Append { remember, ..append([write(stream, at(version), events)]) };
            let appended = log.append(command).await.unwrap();
            assert_eq!((appended.first_position, appended.last_position), (position + 1, position + count));
            assert_eq!((appended.duplicate, appended.versions), (false, vec![version + count]));
            (position, version) = (position + count, version + count);
            appends += 1.0;
            remembered += i64::from(remember);
            assert_eq!(short(&log), appends);
        }
    }
    assert_eq!(assert_dense(&log).await, position);
    assert_eq!(scalar::<i64>(&log, "select count(*) from log_command").await, remembered);
    // What others are told is what was written.
    let told: Vec<Recorded> = log.tail().after(1, 1000).await.unwrap().iter().map(|event| (**event).clone()).collect();
    assert_eq!(told, everything(&log).await[1..]);
    let query = Query { tenant: Some("acme".into()), categories: vec!["single".into()], ..Query::default() };
    let read = log.read_all(&Query { limit: 1000, ..query }).await.unwrap();
    assert!(read.iter().all(|event| &*event.stream == "single") && read.len() == 210);
    // Whatever needs more than one stream's version goes the long way.
    let two = append([write("a-1", Expected::NoStream, events(1)), write("a-2", Expected::NoStream, events(1))]);
    let claims = claiming("a-3", [claim(ClaimAction::Take, "a@example.com", "a-3")]);
    let numbers = append([write("a-4", Expected::NoStream, vec![numbered()])]);
    let nothing = append([write("a-4", Expected::Exact(0), vec![])]);
    for append in [two, claims, numbers, nothing, one("a-5", Expected::Any), one("a-5", Expected::StreamExists)] {
        log.append(Append { remember: false, ..append }).await.unwrap();
    }
    assert_eq!(short(&log), appends);
    log.append(forgettable("a-5", Expected::Exact(1))).await.unwrap();
    assert_eq!(short(&log), appends + 1.0, "and the next is short again");
    assert_dense(&log).await;
}

#[tokio::test]
async fn a_repeat_of_a_command_that_is_not_remembered_is_told_by_its_events() {
    let database = cluster::database().await;
    let log = open(&database).await;
    log.append(one("noise-1", Expected::Any)).await.unwrap();
    let single = Append { remember: false, ..append([write("ticket-1", Expected::NoStream, events(3))]) };
    let several = Append {
        remember: false,
        ..append([
            write("ticket-1", Expected::Exact(2), events(2)),
            write("noise-1", Expected::Exact(0), vec![]),
            write("ticket-2", Expected::NoStream, events(1)),
        ])
    };
    let claiming = Append {
        claims: vec![claim(ClaimAction::Take, "a@example.com", "ticket-2")],
        ..forgettable("ticket-2", Expected::Exact(0))
    };
    let commands = [single, several, claiming];
    let mut first = Vec::new();
    for command in &commands {
        first.push(log.append(command.clone()).await.unwrap());
    }
    assert!(first.iter().all(|appended| !appended.duplicate));
    assert_eq!(short(&log), 1.0);
    assert_eq!(scalar::<i64>(&log, "select count(*) from log_command").await, 1, "only what comes at any version");
    log.append(one("ticket-1", Expected::Any)).await.unwrap();
    log.append(one("ticket-2", Expected::Any)).await.unwrap();
    let head = log.head().await.unwrap();

    let answers = async |log: &Log| {
        for (command, first) in commands.iter().zip(&first) {
            let again = log.append(command.clone()).await.unwrap();
            let written = |write: &StreamWrite| !write.events.is_empty();
            let versions = command.writes.iter().zip(&first.versions);
            let versions = versions.map(|(write, version)| if written(write) { *version } else { -1 }).collect();
            assert_eq!(again, Appended { duplicate: true, versions, ..first.clone() });
        }
    };
    answers(&log).await;
    log.close().await;
    let log = open(&database).await;
    answers(&log).await;
    // Beside one that is no repeat.
    let ((), fresh) = tokio::join!(answers(&log), log.append(forgettable("ticket-3", Expected::NoStream)));
    assert!(!fresh.unwrap().duplicate);

    // The same ids with something else in them are another command, and other ids one that came too late.
    for (command, first) in commands.iter().zip(&first) {
        let mut other = command.clone();
        let last = other.writes.iter_mut().rev().find(|write| !write.events.is_empty()).unwrap();
        last.events.last_mut().unwrap().data = Bytes::from_static(b"{}");
        assert!(matches!(log.append(other).await, Err(AppendError::CommandReused)));
        let mut more = command.clone();
        more.writes[0].events.push(event("thing.happened"));
        assert!(matches!(log.append(more).await, Err(AppendError::CommandReused)));
        let mut late = command.clone();
        late.writes[0].events[0].id = Uuid::now_v7();
        let actual = log.stream_version("acme", &late.writes[0].stream).await.unwrap();
        assert_eq!(conflict(log.append(late).await), (command.writes[0].stream.clone(), actual));
        let stranger = Append { tenant: "globex".into(), ..command.clone() };
        let answered = log.append(stranger).await;
        assert!(!answered.is_ok_and(|appended| appended.first_position == first.first_position), "of another tenant");
    }
    assert_eq!(everything(&log).await[..head as usize].len() as i64, head);
    assert_dense(&log).await;
}

#[tokio::test]
async fn a_conflict_on_the_short_way_is_told_with_the_version_there_is() {
    let log = log().await;
    log.append(append([write("thing-1", Expected::NoStream, events(3))])).await.unwrap();
    for (stream, expected, actual) in [
        ("thing-1", Expected::NoStream, 2),
        ("thing-1", Expected::Exact(1), 2),
        ("thing-1", Expected::Exact(3), 2),
        ("thing-2", Expected::Exact(0), -1),
    ] {
        assert_eq!(conflict(log.append(forgettable(stream, expected)).await), (stream.to_owned(), actual));
        assert_eq!(conflict(log.append(one(stream, expected)).await), (stream.to_owned(), actual));
    }
    assert_eq!(log.head().await.unwrap(), 3);
    log.append(forgettable("thing-1", Expected::Exact(2))).await.unwrap();
    assert_eq!(log.stream_version("acme", "thing-2").await.unwrap(), -1);
    assert_dense(&log).await;
}

#[tokio::test]
async fn a_remembered_command_is_told_by_its_id_on_the_short_way_too() {
    let log = log().await;
    log.append(one("thing-0", Expected::NoStream)).await.unwrap();
    let command = one("thing-1", Expected::NoStream);
    let first = log.append(command.clone()).await.unwrap();
    assert_eq!(short(&log), 1.0);
    // Decided anew at another version, as who asks again does.
    let again = Append { writes: vec![write("thing-1", Expected::Exact(0), events(1))], ..command.clone() };
    assert_eq!(log.append(again.clone()).await.unwrap(), Appended { duplicate: true, ..first.clone() });
    let other = Append { fingerprint: 2, ..again };
    assert!(matches!(log.append(other).await, Err(AppendError::CommandReused)));
    let stored = log.stored_command(command.command_id).await.unwrap().unwrap();
    assert_eq!((stored.first_position, stored.last_position, stored.fingerprint), (2, 2, 1));
    assert_eq!(assert_dense(&log).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_that_take_turns_keep_the_log_dense() {
    let (left, right) = two().await;
    for version in -1..100 {
        // Each knows only by and by what the other has written.
        left.append(forgettable("left-1", at(version))).await.unwrap();
        right.append(Append { remember: version % 2 == 0, ..one("right-1", at(version)) }).await.unwrap();
    }
    assert_eq!(assert_dense(&left).await, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_racing_with_one_command_that_is_not_remembered_apply_it_once() {
    let (left, right) = two().await;
    for version in -1..60 {
        let command = forgettable("thing-1", at(version));
        let (a, b) = tokio::join!(left.append(command.clone()), right.append(command));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.duplicate != b.duplicate, "{a:?} {b:?}");
        assert_eq!((a.first_position, a.recorded_at, a.versions), (b.first_position, b.recorded_at, b.versions));
    }
    assert_eq!(assert_dense(&left).await, 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn short_and_long_ways_mix_in_two_processes() {
    let (left, right) = two().await;
    let done = Arc::new(AtomicBool::new(false));
    let poller = tokio::spawn({
        let (log, done) = (left.clone(), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Acquire) {
                let (count, head): (i64, i64) =
                    sqlx::query_as("select count(*), coalesce(max(position), 0) from log_event")
                        .fetch_one(log.pool())
                        .await
                        .unwrap();
                assert_eq!(count, head, "a position was visible before one below it");
            }
        }
    });
    // Few enough that many find nobody before them.
    let writers = (0..3_u64).map(|writer| {
        let log = if writer == 0 { left.clone() } else { right.clone() };
        tokio::spawn(async move {
            let mut dice = Dice(writer + 7);
            let mut written = 0;
            for round in 0..200 {
                let stream = format!("thing-{}", dice.roll(3));
                let version = log.stream_version("acme", &stream).await.unwrap();
                let mut command = Append {
                    remember: dice.roll(2) == 0,
                    ..append([write(&stream, at(version), events(1 + dice.roll(3) as usize))])
                };
                match dice.roll(6) {
                    0 => command.claims = vec![claim(ClaimAction::Take, &format!("{writer}-{round}"), &stream)],
                    1 => command.writes.push(write(&format!("other-{writer}-{round}"), Expected::NoStream, events(1))),
                    _ => {}
                }
                let count: usize = command.writes.iter().map(|write| write.events.len()).sum();
                match log.append(command.clone()).await {
                    Ok(appended) => {
                        written += count as i64;
                        let again = log.append(command).await.unwrap();
                        assert_eq!(again, Appended { duplicate: true, ..appended });
                    }
                    Err(AppendError::Conflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            written
        })
    });
    let mut written = 0;
    for writer in futures::future::join_all(writers).await {
        written += writer.unwrap();
    }
    done.store(true, Ordering::Release);
    poller.await.unwrap();
    // Who is alone again goes the short way again.
    for version in -1..60 {
        left.append(forgettable("last-1", at(version))).await.unwrap();
    }
    assert!(short(&left) > 0.0);
    assert_eq!(assert_dense(&left).await, written + 61);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(scalar::<i64>(&left, deadlocks).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_was_lost_is_found_and_not_doubled() {
    for (way, said) in [("short", "pg_try_advisory_xact_lock"), ("long", "log_append(")] {
        for remember in [false, true] {
            let lossy = cluster::Lossy::start(said);
            let options = lossy.options(&cluster::database().await);
            let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
            let log = Log::open(pool, Options::default()).await.unwrap();
            let next = |version: i64| {
                let mut command = Append { remember, ..append([write("thing-1", at(version), events(2))]) };
                if way == "long" {
                    command.writes.push(write("thing-2", at(version), events(2)));
                }
                command
            };
            for version in [-1, 1, 3] {
                log.append(next(version)).await.unwrap();
            }
            let command = next(5);
            lossy.lose_an_answer();
            let appended = log.append(command.clone()).await.unwrap();
            assert!(lossy.has_lost(), "{way}: the answer was to be lost");
            assert!(!appended.duplicate, "{way}: it is the first time, as far as the caller can know");
            assert_eq!(appended.versions, vec![7; command.writes.len()]);
            assert_eq!(appended.last_position, log.head().await.unwrap());
            let again = log.append(command).await.unwrap();
            assert_eq!(again, Appended { duplicate: true, ..appended });
            log.append(next(7)).await.unwrap();
            assert_eq!(assert_dense(&log).await % 10, 0);
            assert_eq!(short(&log) > 0.0, way == "short");
            log.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_killed_under_a_lone_client_lose_and_double_nothing() {
    let log = log().await;
    let done = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let (log, done) = (log.clone(), Arc::clone(&done));
        async move {
            let mut killed = 0;
            while !done.load(Ordering::Acquire) {
                let head = log.head().await.unwrap();
                killed += scalar::<i64>(&log, KILL).await;
                while log.head().await.unwrap() < head + 7 && !done.load(Ordering::Acquire) {
                    tokio::task::yield_now().await;
                }
            }
            killed
        }
    });
    for version in -1..400 {
        let command = Append { remember: version % 3 == 0, ..one("thing-1", at(version)) };
        let appended = log.append(command).await.unwrap();
        assert_eq!((appended.duplicate, appended.versions), (false, vec![version + 1]));
    }
    done.store(true, Ordering::Release);
    assert!(killer.await.unwrap() > 4 && short(&log) > 100.0);
    assert_eq!(assert_dense(&log).await, 401);
}

/// Holds up whoever writes this stream.
async fn hold_stream(log: &Log, stream: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut gate = log.pool().begin().await.unwrap();
    sqlx::query("select from log_stream where tenant_id = 'acme' and stream = $1 for update")
        .bind(stream)
        .execute(&mut *gate)
        .await
        .unwrap();
    gate
}

const UNTIL_SHORT_IS_HELD: &str = "select exists (select from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%pg_try_advisory_xact_lock%')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_caller_on_the_short_way_does_not_stop_it() {
    let log = log().await;
    log.append(one("thing-1", Expected::NoStream)).await.unwrap();
    let gate = hold_stream(&log, "thing-1").await;
    let mut impatient = Box::pin(log.append(forgettable("thing-1", Expected::Exact(0))));
    tokio::select! {
        _ = &mut impatient => panic!("the stream is held"),
        () = until(log.pool(), UNTIL_SHORT_IS_HELD) => {}
    }
    drop(impatient);
    // The next of the stream is not sent before, wherever it stands.
    let next = tokio::spawn({
        let log = log.clone();
        async move { log.append(forgettable("thing-1", Expected::Exact(1))).await }
    });
    gate.rollback().await.unwrap();
    assert_eq!(next.await.unwrap().unwrap().versions, [2]);
    assert_eq!(short(&log), 1.0);
    assert_eq!(assert_dense(&log).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_the_short_way() {
    let database = cluster::database().await;
    let log = open(&database).await;
    log.append(one("thing-1", Expected::NoStream)).await.unwrap();
    let gate = hold_stream(&log, "thing-1").await;
    let held = tokio::spawn({
        let log = log.clone();
        async move { log.append(forgettable("thing-1", Expected::Exact(0))).await }
    });
    until(log.pool(), UNTIL_SHORT_IS_HELD).await;
    let closing = tokio::spawn({
        let log = log.clone();
        async move { log.close().await }
    });
    gate.rollback().await.unwrap();
    held.await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(60), closing).await.unwrap().unwrap();
    assert_eq!(assert_dense(&open(&database).await).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes_hear_of_the_short_way() {
    let database = cluster::database().await;
    // It looks once and then only when it is told.
    let right = open_with(&database, Options { poll: Duration::from_secs(3600), ..Options::default() }).await;
    let listening = "select exists (select from pg_stat_activity where datname = current_database()
         and application_name = 'deskfold log listener' and query ilike 'listen%' and state = 'idle')";
    until(right.pool(), listening).await;
    let left = open(&database).await;
    left.append(one("thing-1", Expected::NoStream)).await.unwrap();
    for (version, count) in [(0, 1), (1, 3)] {
        for remember in [false, true] {
            let version = version + if remember { count } else { 0 } + if version > 0 { 1 } else { 0 };
            let command = Append { remember, ..append([write("thing-1", at(version), events(count as usize))]) };
            let last = left.append(command).await.unwrap().last_position;
            let mut watch = right.tail().watch();
            let heard = watch.wait_for(|head| *head >= last);
            tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap().unwrap();
        }
    }
    assert_eq!(short(&left), 4.0);
}

// ---- Claims

#[tokio::test]
async fn a_key_is_owned_by_one_stream_until_it_lets_go() {
    use ClaimAction::{Release, Take};
    let log = log().await;
    let owner = async |tenant: &str| {
        log.claim_owner(tenant, "contact.email", "a@example.com")
            .await
            .unwrap()
            .map(|owner| (owner.tenant, owner.stream))
    };
    let take = |stream: &str| claiming(stream, [claim(Take, "a@example.com", stream)]);
    log.append(take("contact-1")).await.unwrap();
    log.append(take("contact-1")).await.unwrap();
    assert_eq!(owner("acme").await, Some(("acme".into(), "contact-1".into())));

    let refused = log.append(take("contact-2")).await.unwrap_err();
    assert!(
        matches!(&refused, AppendError::Claimed { owner_stream, .. } if owner_stream == "contact-1"),
        "{refused:?}"
    );
    assert!(kinds(&log, "contact-2").await.is_empty(), "the refused append wrote nothing");

    let stranger = Append { tenant: "globex".into(), ..take("contact-9") };
    log.append(stranger).await.expect("another tenant has keys of its own");

    // A release by somebody else changes nothing; one by the owner frees the key.
    log.append(claiming("contact-2", [claim(Release, "a@example.com", "contact-2")])).await.unwrap();
    assert_eq!(owner("acme").await.unwrap().1, "contact-1");
    log.append(claiming("contact-1", [claim(Release, "a@example.com", "contact-1")])).await.unwrap();
    assert_eq!(owner("acme").await, None);
    log.append(take("contact-2")).await.unwrap();

    // A merge hands the key over in one append, and a refused merge hands over nothing.
    let merge = |expected| Append {
        writes: vec![write("contact-3", expected, events(1))],
        claims: vec![claim(Take, "a@example.com", "contact-3"), claim(Release, "a@example.com", "contact-2")],
        ..append([])
    };
    conflict(log.append(merge(Expected::Exact(4))).await);
    assert_eq!(owner("acme").await.unwrap().1, "contact-2");
    log.append(merge(Expected::NoStream)).await.unwrap();
    assert_eq!(owner("acme").await.unwrap().1, "contact-3");

    // One refused key refuses them all.
    let both = [claim(Take, "free@example.com", "contact-4"), claim(Take, "a@example.com", "contact-4")];
    log.append(claiming("contact-4", both)).await.unwrap_err();
    assert_eq!(log.claim_owner("acme", "contact.email", "free@example.com").await.unwrap(), None);
}

#[tokio::test]
async fn a_global_key_is_unique_across_tenants_and_names_no_stranger() {
    let log = log().await;
    let take = |tenant: &str, stream: &str| {
        let global = Claim { global: true, ..claim(ClaimAction::Take, "support", stream) };
        Append { tenant: tenant.into(), ..claiming(stream, [global]) }
    };
    log.append(take("acme", "alias-1")).await.unwrap();
    // The same stream name in another tenant is another stream.
    for stream in ["alias-1", "alias-2"] {
        let refused = log.append(take("globex", stream)).await.unwrap_err();
        assert!(
            matches!(&refused, AppendError::Claimed { owner_stream, .. } if owner_stream.is_empty()),
            "{refused:?}"
        );
    }
    let owner = log.claim_owner("", "contact.email", "support").await.unwrap().unwrap();
    assert_eq!((owner.tenant.as_str(), owner.stream.as_str()), ("acme", "alias-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_race_for_a_key_one_gets_it() {
    let (left, right) = two().await;
    for round in 0..30 {
        let racers = (0..6).map(|racer| {
            let log = if racer % 2 == 0 { left.clone() } else { right.clone() };
            let stream = format!("contact-{round}-{racer}");
            // Two keys in opposite orders: a deadlock, if keys were not locked in order.
            let mut claims = ["x", "y"].map(|key| claim(ClaimAction::Take, &format!("{key}{round}"), &stream)).to_vec();
            if racer % 3 == 0 {
                claims.reverse();
            }
            tokio::spawn(async move { log.append(claiming(&stream, claims)).await })
        });
        let won = futures::future::join_all(racers)
            .await
            .into_iter()
            .filter(|result| result.as_ref().unwrap().is_ok())
            .count();
        assert_eq!(won, 1);
    }
    assert_eq!(assert_dense(&left).await, 30);
    assert_eq!(scalar::<i64>(&left, "select count(*) from log_claim").await, 60);
    assert_eq!(
        scalar::<i64>(&left, "select deadlocks from pg_stat_database where datname = current_database()").await,
        0
    );
}

// ---- Numbers

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_run_without_a_hole_per_tenant_and_a_refused_command_burns_none() {
    let (left, right) = two().await;
    let tasks = (0..8_i64).map(|writer| {
        let log = if writer % 2 == 0 { left.clone() } else { right.clone() };
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for round in 0..40 {
                let tenant = if round % 4 == 0 { "globex" } else { "acme" };
                let expected = if round % 3 == 1 { Expected::StreamExists } else { Expected::NoStream };
                let stream = format!("ticket-{writer}-{round}");
                let opened = append([write(&stream, expected, vec![numbered(), event("ticket.assigned"), numbered()])]);
                match log.append(Append { tenant: tenant.into(), ..opened }).await {
                    Ok(appended) => numbers.extend(appended.numbers.into_iter().map(|number| (tenant, number))),
                    Err(refused) => assert!(matches!(refused, AppendError::Conflict { .. })),
                }
            }
            numbers
        })
    });
    let mut told: Vec<(&str, i64)> = Vec::new();
    for task in futures::future::join_all(tasks).await {
        told.extend(task.unwrap());
    }
    told.sort_unstable();
    for tenant in ["acme", "globex"] {
        let numbers: Vec<i64> = told.iter().filter(|(of, _)| *of == tenant).map(|(_, number)| *number).collect();
        assert!(numbers.len() > 100);
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
        // In the order of positions, as JSON, and nothing else of the event touched.
        let query = Query {
            tenant: Some(tenant.into()),
            types: vec!["ticket.opened".into()],
            limit: i64::MAX,
            ..Query::default()
        };
        let opened = left.read_all(&query).await.unwrap();
        let written: Vec<i64> = opened
            .iter()
            .map(|event| {
                let data: serde_json::Value = event.decode().unwrap();
                assert_eq!(data["open"], true);
                data["number"].as_i64().unwrap()
            })
            .collect();
        assert_eq!(written, numbers);
    }
    assert_dense(&left).await;
}

// ---- Partitions

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_rolls_over_partitions_under_load() {
    let database = cluster::database().await;
    // As if the log had always had tiny partitions.
    let pool = cluster::shared().pool(&database).await;
    sqlx::raw_sql(
        "update log_setting set value = 25;
         do $$ declare name regclass; begin
             for name in select p.name from log_partition p loop execute format('drop table %s', name); end loop;
         end $$",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (left, right) = (open(&database).await, open(&database).await);
    let tasks = (0..8).map(|writer| {
        let log = if writer % 2 == 0 { left.clone() } else { right.clone() };
        tokio::spawn(async move {
            for round in 0..20 {
                let write = write(&format!("thing-{writer}"), Expected::Any, events(1 + round % 4));
                log.append(append([write])).await.unwrap();
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    // A single append larger than everything made ahead.
    left.append(append([write("import-1", Expected::NoStream, events(300))])).await.unwrap();
    // Appends that are alone, over the bounds and across them.
    for version in 0..60 {
        left.append(forgettable("alone-1", at(3 * version - 1))).await.unwrap();
        left.append(append([write("alone-1", Expected::Exact(3 * version), events(2))])).await.unwrap();
    }
    assert!(short(&left) > 60.0);
    let total = assert_dense(&left).await;
    assert_eq!(total, 8 * 20 * 5 / 2 + 300 + 180);
    let covering: i64 =
        scalar(&left, "select count(*) from log_partition where first_position <= (select position from log_head)")
            .await;
    assert_eq!(covering, (total + 24) / 25);
    let replayed: Vec<_> = left.replay(0, i64::MAX).try_concat().await.unwrap();
    assert_eq!(replayed, everything(&left).await);
    assert_eq!(left.read_stream("acme", "import-1", 299, Direction::Backward, 1000).await.unwrap().len(), 300);
}

#[tokio::test]
async fn partitions_lie_ready_ahead_of_the_head() {
    let log = log().await;
    let ready = "select (max(end_position) - 1) / 10000000 from log_partition";
    assert!(scalar::<i64>(&log, ready).await >= i64::from(log.options().partitions_ahead));
}

// ---- Two times

#[tokio::test]
async fn an_event_keeps_both_its_times() {
    let log = log().await;
    let past: Timestamp = "2012-10-09T14:50:17.123456Z".parse().unwrap();
    let mut imported = event("ticket.opened");
    imported.occurred_at = Some(past);
    let before: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let appended =
        log.append(append([write("ticket-1", Expected::Any, vec![imported, event("ticket.closed")])])).await.unwrap();
    let events = everything(&log).await;
    assert_eq!(events[0].occurred_at, past);
    assert_eq!(events[1].occurred_at, events[1].recorded_at);
    assert!(events.iter().all(|event| event.recorded_at == appended.recorded_at && event.recorded_at > before));
}

#[tokio::test]
async fn an_instant_has_a_position() {
    let log = log().await;
    assert_eq!(log.position_at(Timestamp::MAX).await.unwrap(), 0);
    let mut appended = Vec::new();
    for count in [1, 3, 2] {
        appended.push(log.append(append([write("thing-1", Expected::Any, events(count))])).await.unwrap());
    }
    for one in &appended {
        assert_eq!(log.position_at(one.recorded_at).await.unwrap(), one.last_position);
        assert_eq!(log.position_at(one.recorded_at - 1.microsecond()).await.unwrap(), one.first_position - 1);
    }
    assert_eq!(log.position_at("1999-12-31T00:00:00Z".parse().unwrap()).await.unwrap(), 0);
    assert_eq!(log.position_at("9000-01-01T00:00:00Z".parse().unwrap()).await.unwrap(), 6);
}

// ---- Bloat

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_left_open_does_not_make_the_head_or_the_counters_dearer() {
    let log = log().await;
    log.append(append([write("ticket-0", Expected::Any, vec![numbered()])])).await.unwrap();
    let cost = async || {
        let mut pages = 0;
        for question in [
            "select position, recorded_at from log_event order by position desc limit 1",
            "select max(value) from log_counter where tenant_id = 'acme' and name = 'ticket'",
        ] {
            let explain = format!("explain (analyze, buffers, format json) {question}");
            let plan: serde_json::Value = scalar(&log, &explain).await;
            let plan = &plan[0]["Plan"];
            pages += plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap();
        }
        pages
    };
    let before = cost().await;
    // A backup, say: its snapshot keeps every row version alive that exists from now on.
    let mut backup = log.pool().begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; select count(*) from log_event")
        .execute(&mut *backup)
        .await
        .unwrap();
    for _ in 0..40 {
        let appends = (0..50)
            .map(|_| append([write(&format!("ticket-{}", Uuid::now_v7()), Expected::NoStream, vec![numbered()])]));
        for result in futures::future::join_all(appends.map(|append| log.append(append))).await {
            result.unwrap();
        }
    }
    let after = cost().await;
    backup.rollback().await.unwrap();
    assert_eq!(assert_dense(&log).await, 2001);
    assert!(after <= before + 4, "{before} pages before, {after} with a transaction open");
    // No table holds a row per log that each batch updates.
    sqlx::raw_sql("analyze").execute(log.pool()).await.unwrap();
    let updated: i64 = scalar(
        &log,
        "select coalesce(sum(n_tup_upd), 0)::bigint from pg_stat_user_tables where relname in ('log_counter', 'log_setting') or relname like 'log_event%'",
    )
    .await;
    assert_eq!(updated, 0);
}

// ---- Losing the database

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_killed_amid_a_batch_loses_and_doubles_nothing() {
    let log = log().await;
    let gate = hold_head(&log).await;
    let held = tokio::spawn({
        let log = log.clone();
        async move {
            let appends = (0..20).map(|index| one(&format!("thing-{index}"), Expected::NoStream));
            futures::future::join_all(appends.map(|append| log.append(append))).await
        }
    });
    until_held(&log, 1).await;
    let killed: i64 = scalar(&log, KILL).await;
    assert!(killed > 0);
    release_head(gate).await;
    for result in held.await.unwrap() {
        let appended = result.unwrap();
        assert_eq!((appended.duplicate, appended.versions), (false, vec![0]));
    }
    assert_eq!(assert_dense(&log).await, 20);
}

const KILL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
     where datname = current_database() and application_name = 'deskfold log writer'";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_killed_again_and_again_under_load_lose_and_double_nothing() {
    let (left, right) = two().await;
    let done = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let (log, done) = (left.clone(), Arc::clone(&done));
        async move {
            let mut killed = 0;
            while !done.load(Ordering::Acquire) {
                // As soon as the writers are at work again.
                let head = log.head().await.unwrap();
                killed += scalar::<i64>(&log, KILL).await;
                while log.head().await.unwrap() < head + 20 && !done.load(Ordering::Acquire) {
                    tokio::task::yield_now().await;
                }
            }
            killed
        }
    });
    let writers = (0..8).map(|writer| {
        let log = if writer % 2 == 0 { left.clone() } else { right.clone() };
        tokio::spawn(async move {
            // Exact versions: an append lost or doubled would refuse the next.
            for version in 0..60 {
                let command = one(&format!("thing-{writer}"), at(version - 1));
                let appended = log.append(Append { remember: writer < 4, ..command }).await.unwrap();
                assert_eq!(appended.versions, [version]);
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(killer.await.unwrap() > 4);
    assert_eq!(assert_dense(&left).await, 8 * 60);
}

#[tokio::test]
async fn dropping_the_caller_does_not_hurt_the_batch() {
    let log = log().await;
    let gate = hold_head(&log).await;
    let mut impatient = Box::pin(log.append(one("thing-1", Expected::NoStream)));
    let patient = tokio::spawn({
        let log = log.clone();
        async move { log.append(one("thing-2", Expected::NoStream)).await }
    });
    tokio::select! {
        _ = &mut impatient => panic!("the head is held"),
        () = until_held(&log, 1) => {}
    }
    drop(impatient);
    release_head(gate).await;
    patient.await.unwrap().unwrap();
    log.append(one("thing-1", Expected::Exact(0))).await.expect("what was in flight is written");
    assert_dense(&log).await;
}

#[tokio::test]
async fn closing_writes_what_was_accepted_and_refuses_the_rest() {
    let database = cluster::database().await;
    let log = open(&database).await;
    let appends: Vec<_> = (0..50).map(|index| one(&format!("thing-{index}"), Expected::NoStream)).collect();
    let waiting = futures::future::join_all(appends.into_iter().map(|append| log.append(append)));
    let (results, ()) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        log.close().await;
    });
    assert!(results.iter().all(Result::is_ok));
    assert!(matches!(log.append(one("thing-1", Expected::Any)).await, Err(AppendError::Unavailable(_))));
    assert_eq!(assert_dense(&open(&database).await).await, 50);
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_at_the_door() {
    let log = log().await;
    let bad = |change: fn(&mut Append)| {
        let mut append = append([write("thing-1", Expected::Any, vec![event("thing.happened")])]);
        change(&mut append);
        append
    };
    for append in [
        bad(|append| append.tenant.clear()),
        bad(|append| append.writes[0].stream = "thing-\0".into()),
        bad(|append| append.writes[0].stream = "x".repeat(513)),
        bad(|append| append.writes[0].expected = Expected::Exact(-1)),
        bad(|append| append.writes[0].events[0].kind.clear()),
        bad(|append| append.writes[0].events[0].data = vec![b' '; 9 << 20].into()),
        bad(|append| append.writes[0].events[0].number = Some(Number { counter: "ticket".into(), offset: 3 })),
        bad(|append| append.writes[0].events[0].number = Some(Number { counter: "ticket".into(), offset: 99_999 })),
        bad(|append| append.writes.push(append.writes[0].clone())),
        bad(|append| append.claims = vec![claim(ClaimAction::Take, "", "thing-1")]),
        bad(|append| {
            append.claims = vec![claim(ClaimAction::Take, "a", "thing-1"), claim(ClaimAction::Take, "a", "thing-2")];
        }),
    ] {
        let result = log.append(append).await;
        assert!(matches!(result, Err(AppendError::Invalid(_))), "{result:?}");
    }
    assert_eq!(log.head().await.unwrap(), 0);
}

// ---- Reading

#[tokio::test]
async fn reading_filters_and_goes_both_ways() {
    let log = log().await;
    let mut tickets = Vec::new();
    for round in 0..10 {
        for (tenant, stream) in [("acme", "ticket-1"), ("acme", "contact-1"), ("globex", "ticket-1"), ("acme", "order")]
        {
            let kind = if round % 2 == 0 { "even.happened" } else { "odd.happened" };
            let append = append([write(stream, Expected::Any, vec![event(kind)])]);
            tickets.push(log.append(Append { tenant: tenant.into(), ..append }).await.unwrap());
        }
    }
    let all = everything(&log).await;
    assert_eq!(all.len(), 40);
    let tenant = Some("acme".to_owned());
    let query = || Query { limit: 1000, ..Query::default() };
    let ticket = || vec!["ticket".to_owned()];
    let even = || vec!["even.happened".to_owned()];
    let middle = tickets[20].recorded_at;
    type Filter = fn(&Recorded) -> bool;
    let cases: Vec<(Query, Filter)> = vec![
        (Query { tenant: tenant.clone(), ..query() }, |event| &*event.tenant == "acme"),
        (Query { tenant: tenant.clone(), categories: ticket(), ..query() }, |event| {
            &*event.tenant == "acme" && event.category() == "ticket"
        }),
        (Query { tenant: tenant.clone(), types: even(), ..query() }, |event| {
            &*event.tenant == "acme" && &*event.kind == "even.happened"
        }),
        (Query { tenant: tenant.clone(), stream: Some("ticket-1".into()), ..query() }, |event| {
            &*event.tenant == "acme" && &*event.stream == "ticket-1"
        }),
        (Query { tenant: tenant.clone(), stream: Some("ticket-1".into()), types: even(), ..query() }, |event| {
            &*event.tenant == "acme" && &*event.stream == "ticket-1" && &*event.kind == "even.happened"
        }),
        (Query { categories: ticket(), ..query() }, |event| event.category() == "ticket"),
        (Query { types: even(), ..query() }, |event| &*event.kind == "even.happened"),
        (Query { after: Some(7), until: Some(30), ..query() }, |event| event.position > 7 && event.position <= 30),
        (Query { tenant: tenant.clone(), after: Some(7), until: Some(30), ..query() }, |event| {
            &*event.tenant == "acme" && event.position > 7 && event.position <= 30
        }),
        (Query { from: Some(middle), ..query() }, |event| event.position >= 21),
        (Query { to: Some(middle), ..query() }, |event| event.position < 21),
        (Query { tenant: Some("nobody".into()), ..query() }, |_| false),
    ];
    for (query, keep) in cases {
        let expected: Vec<_> = all.iter().filter(|event| keep(event)).cloned().collect();
        assert_eq!(log.read_all(&query).await.unwrap(), expected, "{query:?}");

        let (after, until) = (query.until.map(|until| until + 1), query.after.map(|after| after + 1));
        let backward = Query { direction: Direction::Backward, after, until, ..query };
        let mut expected = expected;
        expected.reverse();
        assert_eq!(log.read_all(&backward).await.unwrap(), expected, "{backward:?}");

        // Page by page is the same as at once.
        let mut paged = Vec::new();
        let mut page = Query { limit: 3, ..backward };
        loop {
            let events = log.read_all(&page).await.unwrap();
            let Some(last) = events.last() else { break };
            page.after = Some(last.position);
            paged.extend(events);
        }
        assert_eq!(paged, expected, "{page:?}");
    }
    let versions = async |from, direction, limit| -> Vec<i64> {
        let events = log.read_stream("acme", "ticket-1", from, direction, limit).await.unwrap();
        events.iter().map(|event| event.version).collect()
    };
    assert_eq!(versions(7, Direction::Forward, 100).await, [7, 8, 9]);
    assert_eq!(versions(2, Direction::Backward, 2).await, [2, 1]);
    // By position: of one tenant, in order, and none that is not there.
    let found = log.read_positions("acme", &[9, 3, 2, 1, 400]).await.unwrap();
    assert_eq!(found, [&all[0], &all[1], &all[8]].map(Clone::clone));
}

#[tokio::test]
async fn a_replay_reads_the_same_as_everything_else() {
    let log = log().await;
    let opaque = NewEvent {
        is_json: false,
        data: Bytes::from_static(&[0, 255, 7]),
        metadata: Bytes::new(),
        ..event("raw.bytes")
    };
    log.append(append([write("thing-1", Expected::Any, vec![opaque])])).await.unwrap();
    for _ in 0..3 {
        log.append(append([write("thing-1", Expected::Any, events(3000))])).await.unwrap();
    }
    let all = everything(&log).await;
    let pages: Vec<_> = log.replay(0, i64::MAX).try_collect().await.unwrap();
    assert!(pages.len() > 1);
    assert_eq!(pages.concat(), all);
    let some: Vec<_> = log.replay(10, 20).try_concat().await.unwrap();
    assert_eq!(some, all[10..20]);
    assert!(log.replay(9001, i64::MAX).next().await.is_none());
    let (json, raw): (i64, i64) =
        sqlx::query_as("select count(data), count(*) from log_event_json").fetch_one(log.pool()).await.unwrap();
    assert_eq!((json, raw), (9000, 9001));
}

#[tokio::test]
async fn the_tail_hands_out_what_the_database_holds() {
    let (left, right) = two().await;
    assert!(left.tail().after(0, 100).await.unwrap().is_empty());
    let mut back_dated = event("ticket.closed");
    back_dated.occurred_at = Some("2012-10-09T14:50:17.123456789Z".parse().unwrap());
    left.append(append([
        write("ticket-1", Expected::Any, vec![numbered(), back_dated]),
        write("ticket-2", Expected::Any, events(2)),
    ]))
    .await
    .unwrap();
    // One that the left process hears of only from the database.
    let last = right.append(append([write("ticket-1", Expected::Any, vec![numbered()])])).await.unwrap().last_position;
    left.append(one("ticket-1", Expected::Any)).await.unwrap();
    let mut watch = left.tail().watch();
    watch.wait_for(|head| *head > last).await.unwrap();
    let told: Vec<Recorded> = left.tail().after(0, 100).await.unwrap().iter().map(|event| (**event).clone()).collect();
    assert_eq!(told, everything(&left).await);
    assert_eq!(left.tail().after(2, 2).await.unwrap().len(), 2);
    right.tail().watch().wait_for(|head| *head > last).await.unwrap();
}

// ---- Subscriptions

type Hook = Arc<dyn Fn(&Recorded) -> Result<(), Failure> + Send + Sync>;

/// Writes each event it sees into the table `seen`, without a key: what is handled twice stands there twice.
struct Notes {
    categories: &'static [&'static str],
    hook: Hook,
    gate: Option<Arc<Gate>>,
}

/// Holds a handler up amid its batch, once.
#[derive(Default)]
struct Gate {
    armed: AtomicBool,
    entered: tokio::sync::Notify,
    open: tokio::sync::Notify,
}

impl Notes {
    fn new() -> Self {
        Self { categories: &[], hook: Arc::new(|_| Ok(())), gate: None }
    }
}

impl Handler for Notes {
    fn name(&self) -> &str {
        "notes"
    }
    fn version(&self) -> i32 {
        1
    }
    fn categories(&self) -> &[&str] {
        self.categories
    }
    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch {
            (self.hook)(event)?;
            sqlx::query("insert into seen (position, said) values ($1, convert_from($2, 'UTF8')::jsonb->>'said')")
                .bind(event.position)
                .bind(&*event.data)
                .execute(&mut *transaction)
                .await?;
        }
        if let Some(gate) = &self.gate
            && gate.armed.swap(false, Ordering::AcqRel)
        {
            gate.entered.notify_one();
            gate.open.notified().await;
        }
        Ok(())
    }
}

async fn noted() -> Log {
    let log = log().await;
    sqlx::raw_sql("create table seen (number bigint generated always as identity, position bigint, said text)")
        .execute(log.pool())
        .await
        .unwrap();
    log
}

fn subscribe(log: &Log, notes: Notes) -> eventstore::Handle {
    let options =
        SubscriptionOptions { batch: 16, lease: Duration::from_millis(600), ..SubscriptionOptions::default() };
    Subscription::spawn(log, notes, options, log.metrics().clone())
}

/// What was handled, in the order it was.
async fn seen(log: &Log) -> Vec<i64> {
    sqlx::query_scalar("select position from seen order by number").fetch_all(log.pool()).await.unwrap()
}

async fn fill(log: &Log, count: usize) -> i64 {
    for index in 0..count {
        log.append(one(&format!("thing-{}", index % 5), Expected::Any)).await.unwrap();
    }
    log.head().await.unwrap()
}

async fn reached(handle: &eventstore::Handle, position: i64) {
    tokio::time::timeout(Duration::from_secs(60), handle.wait_for(position)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscription_handles_each_event_once_in_order_though_workers_die() {
    let log = noted().await;
    let writer = tokio::spawn({
        let log = log.clone();
        async move { fill(&log, 600).await }
    });
    // Workers killed amid their batches, one after the other; a second one always stands by.
    for _ in 0..4 {
        let gate = Arc::new(Gate::default());
        gate.armed.store(true, Ordering::Release);
        let worker = subscribe(&log, Notes { gate: Some(Arc::clone(&gate)), ..Notes::new() });
        gate.entered.notified().await;
        worker.abort().await;
    }
    let (worker, stand_by) = (subscribe(&log, Notes::new()), subscribe(&log, Notes::new()));
    let head = writer.await.unwrap();
    reached(&worker, head).await;
    reached(&stand_by, head).await;
    assert_eq!(seen(&log).await, (1..=head).collect::<Vec<_>>());
    worker.stop().await;
    stand_by.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_lost_its_lease_cannot_commit() {
    let log = noted().await;
    let head = fill(&log, 10).await;
    let gate = Arc::new(Gate::default());
    gate.armed.store(true, Ordering::Release);
    let slow = subscribe(&log, Notes { gate: Some(Arc::clone(&gate)), ..Notes::new() });
    gate.entered.notified().await;
    // It has handled its batch and not committed when its lease runs out and another takes over.
    let thief = subscribe(&log, Notes::new());
    reached(&thief, head).await;
    gate.open.notify_one();
    let more = fill(&log, 10).await;
    reached(&thief, more).await;
    reached(&slow, more).await;
    assert_eq!(seen(&log).await, (1..=more).collect::<Vec<_>>());
    let epoch: i64 = scalar(&log, "select epoch from log_subscription").await;
    assert!(epoch >= 2);
    thief.stop().await;
    slow.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn poison_is_parked_with_its_stream_and_replayed_in_order() {
    let log = noted().await;
    let broken = Arc::new(AtomicBool::new(true));
    let hook: Hook = Arc::new({
        let broken = Arc::clone(&broken);
        move |event| match broken.load(Ordering::Acquire) && [3, 17].contains(&event.position) {
            true => Err(Failure::Poison { position: event.position, reason: "cannot read this".into() }),
            false => Ok(()),
        }
    });
    // Streams 0 to 4 in turn: 3 is of stream 2, 17 of stream 1.
    let head = fill(&log, 30).await;
    let worker = subscribe(&log, Notes { hook, ..Notes::new() });
    reached(&worker, head).await;
    let parked: Vec<i64> = log.parked("notes", 1).await.unwrap().iter().map(|parked| parked.position).collect();
    let of = |position: i64| (position - 1) % 5;
    let expected: Vec<i64> =
        (1..=30).filter(|position| of(*position) == 2 || of(*position) == 1 && *position >= 17).collect();
    assert_eq!(parked, expected);
    assert_eq!(seen(&log).await, (1..=30).filter(|position| !expected.contains(position)).collect::<Vec<_>>());
    let first = &log.parked("notes", 1).await.unwrap()[0];
    assert_eq!((first.stream.as_str(), first.reason.as_str(), first.attempts), ("thing-2", "cannot read this", 1));
    assert_eq!(log.subscriptions().await.unwrap()[0].parked, expected.len() as i64);

    // Still broken: nothing changes but the count of attempts.
    let replayed = worker.replay_parked().await.unwrap();
    assert_eq!((replayed.handled, replayed.parked), (0, expected.len() as u64));
    assert_eq!(log.parked("notes", 1).await.unwrap()[0].attempts, 2);

    // More of a parked stream waits behind it, also after a change of workers.
    worker.stop().await;
    let worker = subscribe(&log, Notes::new());
    let more = fill(&log, 5).await;
    reached(&worker, more).await;
    assert_eq!(log.parked("notes", 1).await.unwrap().len(), expected.len() + 2);

    broken.store(false, Ordering::Release);
    assert_eq!(log.replay_parked("notes", 1).await.unwrap(), expected.len() as u64 + 2);
    until(log.pool(), "select not exists (select from log_parked)").await;
    let last = fill(&log, 5).await;
    reached(&worker, last).await;
    let seen = seen(&log).await;
    assert_eq!(seen.iter().copied().collect::<HashSet<_>>().len(), 40);
    assert_eq!(seen.len(), 40, "each once");
    for stream in 0..5 {
        let order: Vec<i64> = seen.iter().copied().filter(|position| of(*position) == stream).collect();
        assert!(order.is_sorted(), "stream {stream} out of order: {order:?}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_the_database_or_the_code_chokes_on_is_found_and_parked() {
    let log = noted().await;
    let mut unreadable = event("thing.happened");
    unreadable.data = Bytes::from_static(b"{not json");
    log.append(append([write("thing-9", Expected::Any, vec![event("a.b"), unreadable, event("a.b")])])).await.unwrap();
    let head = fill(&log, 40).await;
    let hook: Hook = Arc::new(|event| if event.position == 20 { panic!("off by one") } else { Ok(()) });
    let worker = subscribe(&log, Notes { hook, ..Notes::new() });
    reached(&worker, head).await;
    let parked = log.parked("notes", 1).await.unwrap();
    let positions: Vec<i64> = parked.iter().map(|parked| parked.position).collect();
    assert_eq!(positions, [2, 3, 20, 25, 30, 35, 40]);
    assert!(parked[2].reason.contains("off by one"), "{}", parked[2].reason);
    assert_eq!(seen(&log).await.len(), head as usize - 7);
    assert!(seen(&log).await.is_sorted());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_only_away_parks_nothing() {
    let log = noted().await;
    let head = fill(&log, 5).await;
    let failures = Arc::new(AtomicUsize::new(3));
    let hook: Hook = Arc::new({
        let failures = Arc::clone(&failures);
        move |_| match failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
            Ok(_) => Err(Failure::Store(sqlx::Error::PoolTimedOut)),
            Err(_) => Ok(()),
        }
    });
    let worker = subscribe(&log, Notes { hook, ..Notes::new() });
    reached(&worker, head).await;
    assert_eq!(seen(&log).await, [1, 2, 3, 4, 5]);
    assert!(log.parked("notes", 1).await.unwrap().is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_no_interest_move_the_position_and_on_request_the_checkpoint() {
    let log = noted().await;
    let worker = subscribe(&log, Notes { categories: &["ticket"], ..Notes::new() });
    let head = fill(&log, 20).await;
    reached(&worker, head).await;
    worker.flush().await.unwrap();
    assert_eq!(scalar::<i64>(&log, "select position from log_subscription").await, head);
    log.append(one("ticket-1", Expected::Any)).await.unwrap();
    reached(&worker, head + 1).await;
    assert_eq!(seen(&log).await, [head + 1]);
    let lag = &log.subscriptions().await.unwrap()[0];
    assert_eq!((lag.position, lag.positions, lag.seconds), (head + 1, 0, 0.0));
    worker.stop().await;
    assert_eq!(log.subscriptions().await.unwrap()[0].owner, None, "a stopped worker frees its lease");
}

/// How many of these are at work, and how many were at most.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

struct Member(String, Crowd);

impl Handler for Member {
    fn name(&self) -> &str {
        &self.0
    }
    fn version(&self) -> i32 {
        1
    }
    fn categories(&self) -> &[&str] {
        &[]
    }
    async fn handle(&mut self, transaction: &mut PgConnection, _: &[Arc<Recorded>]) -> Result<(), Failure> {
        let (now, most) = &*self.1.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        for _ in 0..3 {
            sqlx::query("select 1").execute(&mut *transaction).await?;
        }
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_take_turns_and_leave_connections_to_others() {
    let log = open_with(&cluster::database().await, Options { workers: 2, ..Options::default() }).await;
    let crowd = Crowd::default();
    let members: Vec<_> = (0..12)
        .map(|number| {
            let member = Member(format!("member {number}"), crowd.clone());
            let options = SubscriptionOptions { batch: 4, rest: Duration::ZERO, ..SubscriptionOptions::default() };
            Subscription::spawn(&log, member, options, log.metrics().clone())
        })
        .collect();
    let head = fill(&log, 40).await;
    for member in &members {
        reached(member, head).await;
    }
    assert_eq!(crowd.0.1.load(Ordering::SeqCst), 2, "no more than two at once, and two when there is enough to do");
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscriptions_far_behind_get_along_with_few_connections() {
    let database = cluster::database().await;
    let options = cluster::shared().pool(&database).await.connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let log = Log::open(pool, Options::default()).await.unwrap();
    for _ in 0..5 {
        log.append(append([write("import-1", Expected::Any, events(4000))])).await.unwrap();
    }
    let members: Vec<_> = (0..8)
        .map(|number| {
            let member = Member(format!("member {number}"), Crowd::default());
            Subscription::spawn(&log, member, SubscriptionOptions::default(), log.metrics().clone())
        })
        .collect();
    for member in &members {
        // Less than a pool waits for a connection: nobody has to be thrown out.
        tokio::time::timeout(Duration::from_secs(25), member.wait_for(20_000)).await.unwrap().unwrap();
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_can_begin_now_and_a_long_way_back() {
    let log = noted().await;
    for _ in 0..5 {
        log.append(append([write("import-1", Expected::Any, events(4000))])).await.unwrap();
    }
    struct Counting(i64, &'static str);
    impl Handler for Counting {
        fn name(&self) -> &str {
            self.1
        }
        fn version(&self) -> i32 {
            1
        }
        fn categories(&self) -> &[&str] {
            &[]
        }
        async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
            for event in batch {
                if event.position != self.0 + 1 && self.1 == "all" {
                    return Err(Failure::Poison { position: event.position, reason: "out of order".into() });
                }
                self.0 = event.position;
            }
            let count = i64::try_from(batch.len()).unwrap();
            sqlx::query("insert into seen (position, said) values ($1, $2)")
                .bind(count)
                .bind(self.1)
                .execute(transaction)
                .await?;
            Ok(())
        }
    }
    let all = Subscription::spawn(&log, Counting(0, "all"), SubscriptionOptions::default(), log.metrics().clone());
    let now = SubscriptionOptions { start: Start::Now, ..SubscriptionOptions::default() };
    let new = Subscription::spawn(&log, Counting(0, "new"), now, log.metrics().clone());
    reached(&all, 20_000).await;
    reached(&new, 20_000).await;
    let head = fill(&log, 3).await;
    reached(&all, head).await;
    reached(&new, head).await;
    let counts: Vec<(String, i64)> =
        sqlx::query_as("select said, sum(position)::bigint from seen group by said order by said")
            .fetch_all(log.pool())
            .await
            .unwrap();
    assert_eq!(counts, [("all".to_owned(), 20_003), ("new".to_owned(), 3)]);
    all.stop().await;
    new.stop().await;
}
