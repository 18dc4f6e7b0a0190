//! `deskfold files`: whether the bytes that the log knows are there, and what is there besides.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use channels::files::Files;
use domain::{
    Aggregate, Id,
    org::upload::{Event, New, Upload},
};
use eventstore::{Log, Query};
use futures::TryStreamExt;
use serde_json::{Value, json};

use super::{Failure, print};
use crate::{config::FilesCommand, database::Connected};

/// Events read at once.
const PAGE: i64 = 1000;
/// Most files that are named one by one.
const NAMED: usize = 1000;

/// A file, as its digest names it.
type Key = (Id, String);

pub(super) async fn run(command: FilesCommand) -> Result<(), Failure> {
    let FilesCommand::Verify { database, files, digests } = command;
    let files = files.open(&database.data_dir)?;
    let connected = Connected::to(&database).await?;
    let pool = connected.pool(4).await?;
    let log = Log::open(pool.clone(), eventstore::Options::default()).await?;
    let done = verify(&log, &files, digests).await;
    log.close().await;
    pool.close().await;
    connected.stop().await;
    done
}

/// The files that uploads have which are kept, with their sizes.
async fn known(log: &Log) -> Result<BTreeMap<Key, u64>, Failure> {
    let mut kept: HashMap<(Id, Id), New> = HashMap::new();
    let mut query = Query { limit: PAGE, categories: vec![Upload::KIND.to_owned()], ..Query::default() };
    loop {
        let page = log.read_all(&query).await?;
        for event in &page {
            let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { continue };
            match Upload::decode(&event.kind, &event.data)? {
                Event::Completed(new) => drop(kept.insert((tenant, id), new)),
                Event::Deleted { .. } => drop(kept.remove(&(tenant, id))),
                Event::Attached { .. } | Event::Carried { .. } | Event::Detached { .. } => {}
            }
        }
        query.after = page.last().map(|event| event.position);
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    let mut known = BTreeMap::new();
    for ((tenant, _), new) in kept {
        known.insert((tenant, new.digest), new.size);
        known.extend(new.thumbnail.map(|small| ((tenant, small.digest), small.size)));
    }
    Ok(known)
}

async fn verify(log: &Log, files: &Files, digests: bool) -> Result<(), Failure> {
    // What comes meanwhile is in what is read later, and so not missed.
    let known = known(log).await?;
    let found: Vec<_> = files.all().try_collect().await?;
    let expected: Vec<(String, String)> =
        sqlx::query_as("select tenant_id, digest from react_file").fetch_all(log.pool()).await?;
    let expected: BTreeSet<(String, String)> = expected.into_iter().collect();
    let there: BTreeMap<Key, u64> = found.into_iter().map(|found| ((found.tenant, found.digest), found.size)).collect();
    let (mut missing, mut damaged, mut superfluous) = (Vec::new(), Vec::new(), Vec::new());
    for (key, size) in &known {
        match there.get(key) {
            None => missing.push(key),
            Some(found) if found != size => damaged.push(key),
            Some(_) if digests && !files.is_sound(key.0, &key.1).await? => damaged.push(key),
            Some(_) => {}
        }
    }
    for key in there.keys() {
        // What has a row is about to be kept, or is swept.
        if !known.contains_key(key) && !expected.contains(&(key.0.to_string(), key.1.clone())) {
            superfluous.push(key);
        }
    }
    let told = |keys: &[&Key]| -> Value {
        keys.iter().take(NAMED).map(|(tenant, digest)| json!({ "tenant": tenant, "digest": digest })).collect()
    };
    print(&serde_json::to_string(&json!({
        "files": known.len(),
        "bytes": known.values().sum::<u64>(),
        "missing": told(&missing),
        "damaged": told(&damaged),
        "superfluous": told(&superfluous),
    }))?)?;
    if missing.is_empty() && damaged.is_empty() {
        return Ok(());
    }
    Err(format!("{} files are missing and {} damaged", missing.len(), damaged.len()).into())
}
