//! `deskfold log`: events, subscriptions and parked events, straight from the database.

use std::collections::BTreeMap;

use eventstore::{Log, Query, Recorded};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::{Failure, print};
use crate::{
    config::{Database, LogCommand},
    database::Connected,
};

/// Events read at once.
const PAGE: i64 = 1000;

pub(super) async fn run(command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Events { database, after, limit, stream, types, tenant } => {
            let query = Query { after: Some(after), stream, types, tenant, ..Query::default() };
            with_log(&database, async |log| events(&log, query, limit).await).await
        }
        LogCommand::Verify { database, until } => with_log(&database, async |log| verify(&log, until).await).await,
        LogCommand::Subscriptions(database) => with_log(&database, async |log| subscriptions(&log).await).await,
        LogCommand::Parked(database) => with_log(&database, async |log| parked(&log).await).await,
        LogCommand::Replay { database, subscription } => {
            with_log(&database, async |log| replay(&log, &subscription).await).await
        }
    }
}

async fn with_log(database: &Database, work: impl AsyncFnOnce(Log) -> Result<(), Failure>) -> Result<(), Failure> {
    let connected = Connected::to(database).await?;
    let pool: PgPool = connected.pool(2).await?;
    let options = eventstore::Options { notify: true, ..eventstore::Options::default() };
    let log = Log::open(pool.clone(), options).await?;
    let done = work(log.clone()).await;
    log.close().await;
    pool.close().await;
    connected.stop().await;
    done
}

async fn events(log: &Log, mut query: Query, limit: i64) -> Result<(), Failure> {
    let mut left = limit;
    while left > 0 {
        query.limit = left.min(PAGE);
        let events = log.read_all(&query).await?;
        for event in &events {
            print(event.public()?.get())?;
        }
        left -= query.limit;
        match events.last() {
            Some(last) if events.len() as i64 == query.limit => query.after = Some(last.position),
            _ => break,
        }
    }
    Ok(())
}

/// A stream whose version is not that of its last event, or that lacks one, in one snapshot of the whole log.
const BROKEN_STREAM: &str = "
    select coalesce(s.tenant_id, e.tenant_id), coalesce(s.stream, e.stream)
    from (select tenant_id, stream, count(*) as events, min(version) as first, max(version) as last
          from log_event group by tenant_id, stream) e
    full join log_stream s on s.tenant_id = e.tenant_id and s.stream = e.stream
    where s.version is distinct from coalesce(e.last, -1) or e.first <> 0 or e.events <> e.last + 1
    limit 1";

async fn verify(log: &Log, until: Option<i64>) -> Result<(), Failure> {
    let head = log.head().await?;
    let last = until.unwrap_or(head);
    if last > head {
        return Err(format!("the log ends at position {head}, before {last}").into());
    }
    let broken: Option<(String, String)> = sqlx::query_as(BROKEN_STREAM).fetch_optional(log.pool()).await?;
    if let Some((tenant, stream)) = broken {
        return Err(format!("stream {stream} of tenant {tenant} has not the events that its version says").into());
    }
    let mut query = Query { after: Some(0), until: Some(last), limit: PAGE, ..Query::default() };
    let mut hash = Sha256::new();
    let mut before: Option<Recorded> = None;
    while before.as_ref().map_or(0, |event| event.position) < last {
        let events = log.read_all(&query).await?;
        let reached = before.as_ref().map_or(0, |event| event.position);
        if events.is_empty() {
            return Err(format!("position {} is missing", reached + 1).into());
        }
        for event in events {
            let expected = before.as_ref().map_or(1, |event| event.position + 1);
            if event.position != expected {
                return Err(format!("position {expected} is missing").into());
            }
            if before.as_ref().is_some_and(|before| before.recorded_at > event.recorded_at) {
                return Err(format!("the event at position {expected} was recorded before the one it follows").into());
            }
            absorb(&mut hash, &event);
            before = Some(event);
        }
        query.after = before.as_ref().map(|event| event.position);
    }
    print(&serde_json::to_string(&json!({
        "position": last,
        "recorded_at": before.map(|event| event.recorded_at),
        "sha256": crate::auth::hex(&hash.finalize()),
    }))?)
}

/// Everything an event consists of; with their lengths, so that no other parts give the same bytes.
fn absorb(hash: &mut Sha256, event: &Recorded) {
    for number in
        [event.position, event.version, event.occurred_at.as_microsecond(), event.recorded_at.as_microsecond()]
    {
        hash.update(number.to_be_bytes());
    }
    hash.update(event.id.as_bytes());
    hash.update([u8::from(event.is_json)]);
    let texts = [&event.tenant, &event.stream, &event.kind].map(|text| text.as_bytes());
    for part in texts.into_iter().chain([&event.data[..], &event.metadata[..]]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
}

async fn subscriptions(log: &Log) -> Result<(), Failure> {
    for subscription in log.subscriptions().await? {
        print(&serde_json::to_string(&json!({
            "subscription": subscription.name,
            "version": subscription.version,
            "position": subscription.position,
            "behind": subscription.positions,
            "behind_seconds": subscription.seconds,
            "parked": subscription.parked,
        }))?)?;
    }
    Ok(())
}

async fn parked(log: &Log) -> Result<(), Failure> {
    for subscription in log.subscriptions().await? {
        for event in log.parked(&subscription.name, subscription.version).await? {
            print(&serde_json::to_string(&json!({
                "subscription": subscription.name,
                "position": event.position,
                "tenant": event.tenant,
                "stream": event.stream,
                "type": event.kind,
                "reason": event.reason,
                "attempts": event.attempts,
                "parked_at": event.parked_at,
            }))?)?;
        }
    }
    Ok(())
}

async fn replay(log: &Log, name: &str) -> Result<(), Failure> {
    let known: BTreeMap<_, _> =
        log.subscriptions().await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let Some(subscription) = known.get(name) else {
        let names: Vec<_> = known.into_keys().collect();
        return Err(format!("there is no subscription {name}; there are: {}", names.join(", ")).into());
    };
    let asked = log.replay_parked(name, subscription.version).await?;
    print(&format!("{asked} parked events of {name} are handed to its worker again."))
}
