//! `deskfold log`: events, subscriptions and parked events, straight from the database.

use std::collections::BTreeMap;

use eventstore::{Log, Query};
use serde_json::json;
use sqlx::PgPool;

use super::{Failure, print};
use crate::{
    app::Connected,
    config::{Database, LogCommand},
};

/// Events read at once.
const PAGE: i64 = 1000;

pub(super) async fn run(command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Events { database, after, limit, stream, types, tenant } => {
            let query = Query { after: Some(after), stream, types, tenant, ..Query::default() };
            with_log(&database, async |log| events(&log, query, limit).await).await
        }
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
