//! Takes an archive in: into an empty log, in one transaction, so that all of it is there in the end or nothing.

use std::{collections::BTreeSet, fs::File, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use channels::files::{Files, Incoming};
use domain::{Id, Metadata, Via};
use eventstore::{Filler, Refill};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{EVENTS, FILES, Fault, KEPT, Kept, Manifest, Part, Stretch, event_of, read, schema};
use crate::{auth::SYSTEM, bootstrap::FIRST_TENANT};

/// Positions that were other tenants' are events of nobody: a kind of record that there is not, in a tenant that nobody has.
const ELSEWHERE: &str = "elsewhere";

/// What was taken in.
pub(crate) struct Restored {
    pub(crate) manifest: Manifest,
    /// The SHA-256 of the manifest.
    pub(crate) sha256: String,
}

/// Takes in an archive.
///
/// # Errors
/// When it is damaged, does not fit, or the log is not empty; then nothing has been changed.
pub(crate) async fn restore(pool: &PgPool, files: &Files, file: File) -> Result<Restored, Fault> {
    let (verified, file) = blocking(move || Ok((read::verify(&file), file))).await?;
    let (manifest, sha256) = verified?;
    if manifest.schema > schema() {
        return Err(Fault::Unfit(format!(
            "a later Deskfold made this archive ({}, with the schema of {}): take it in with that one, or a later one",
            manifest.program, manifest.schema
        )));
    }
    // A server that starts meanwhile waits, and then finds a tenant.
    let mut turn = pool.acquire().await?.detach();
    sqlx::query("select pg_advisory_lock($1)").bind(FIRST_TENANT).execute(&mut turn).await?;
    let done = fill(pool, files, file, &manifest).await;
    // Closing the connection releases the lock.
    let _ = turn.close().await;
    done.map(|()| Restored { manifest, sha256 })
}

async fn fill(pool: &PgPool, files: &Files, file: File, manifest: &Manifest) -> Result<(), Fault> {
    let empty = |error: eventstore::Error| match error {
        eventstore::Error::Invalid(why) => Fault::Unfit(format!(
            "{why}, and an archive goes into an empty one, where its positions are still free: name a database, or a data \
             directory, in which no `deskfold serve` has been run"
        )),
        error => error.into(),
    };
    let mut refill = Refill::begin(pool, manifest.position, filler()?).await.map_err(empty)?;
    let tenant: Arc<str> = manifest.tenant.to_string().into();
    // One part is taken in while the next is read.
    let (sender, mut receiver) = mpsc::channel::<(Part, String)>(1);
    let of = manifest.clone();
    let reading = tokio::spawn(blocking(move || {
        read::parts(&file, &of, |part, text| sender.blocking_send((part, text)).map_err(|_| Fault::GivenUp))
    }));
    let (mut events, mut parts) = (0, 0);
    let mut incoming: Option<Incoming> = None;
    while let Some((part, text)) = receiver.recv().await {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() as u64 != part.lines {
            return Err(Fault::Damaged(format!("{} has not as many lines as the manifest says", part.name)));
        }
        if part.table == EVENTS {
            events += part.lines;
            let page = lines.into_iter().map(|line| event_of(line, &tenant)).collect::<Result<_, _>>()?;
            refill.push(page).await.map_err(misplaced)?;
        } else if part.table == FILES {
            for line in lines {
                stretch(files, manifest.tenant, line, &mut incoming).await?;
            }
        } else {
            let kept = KEPT.iter().find(|kept| kept.table == part.table).ok_or_else(|| {
                Fault::Unfit(format!("it has rows of {}, which this Deskfold does not know", part.table))
            })?;
            rows(kept, refill.transaction(), &manifest.tenant.to_string(), &lines).await?;
        }
        parts += 1;
    }
    reading.await.map_err(|error| Fault::Damaged(error.to_string()))??;
    if incoming.is_some() {
        return Err(Fault::Damaged("a file in it does not end".into()));
    }
    if (events, parts) != (manifest.events, manifest.parts.len()) {
        return Err(Fault::Damaged("it has not as many events as its manifest says".into()));
    }
    for reactor in &manifest.reactors {
        sqlx::query("insert into log_subscription (name, version, position) values ($1, $2, $3)")
            .bind(&reactor.name)
            .bind(reactor.version)
            .bind(reactor.position.min(manifest.position))
            .execute(refill.transaction())
            .await?;
    }
    refill.finish(manifest.position).await.map_err(misplaced)?;
    Ok(refill.commit().await?)
}

/// Takes in a stretch of a file; with the last one the file is kept.
async fn stretch(files: &Files, tenant: Id, line: &str, incoming: &mut Option<Incoming>) -> Result<(), Fault> {
    let damaged = |why: &dyn std::fmt::Display| Fault::Damaged(format!("a file in it cannot be read: {why}"));
    let Stretch { digest, at, bytes, ends } = serde_json::from_str(line).map_err(|error| damaged(&error))?;
    let bytes = STANDARD.decode(bytes).map_err(|error| damaged(&error))?;
    let mut file = match incoming.take() {
        None if at == 0 => files.incoming(tenant, &digest),
        Some(file) if file.follows(&digest, at) => file,
        _ => return Err(damaged(&"its stretches do not follow each other")),
    };
    file.push(bytes.into()).await?;
    if !ends {
        *incoming = Some(file);
    } else if !file.keep().await? {
        return Err(damaged(&format!("{digest} is not what it says")));
    }
    Ok(())
}

fn misplaced(error: eventstore::Error) -> Fault {
    match error {
        eventstore::Error::Invalid(why) => Fault::Damaged(why),
        error => error.into(),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Fault::Damaged(error.to_string()))?
}

fn filler() -> Result<Filler, Fault> {
    let metadata = Metadata {
        actor: SYSTEM,
        via: Via::Import,
        command_id: Uuid::nil().to_string(),
        causation_id: None,
        causation_position: None,
        depth: 0,
        correlation_id: Uuid::nil().to_string(),
        subject: None,
        redirected: Vec::new(),
    };
    let metadata = serde_json::to_vec(&metadata).map_err(|error| Fault::Damaged(error.to_string()))?;
    Ok(Filler {
        tenant: Id::NIL.to_string().into(),
        stream: format!("{ELSEWHERE}-{}", Id::NIL).into(),
        kind: format!("{ELSEWHERE}.happened").into(),
        metadata: metadata.into(),
    })
}

/// Rows of a table, by the columns that they name: what a later schema adds has its defaults.
async fn rows(kept: &Kept, transaction: &mut PgConnection, tenant: &str, lines: &[&str]) -> Result<(), Fault> {
    let Kept { table, owner, .. } = kept;
    let Some(first) = lines.first() else { return Ok(()) };
    let damaged = |why: &dyn std::fmt::Display| Fault::Damaged(format!("a row of {table} cannot be read: {why}"));
    let named: std::collections::BTreeMap<String, serde::de::IgnoredAny> =
        serde_json::from_str(first).map_err(|error| damaged(&error))?;
    let known: Vec<String> = sqlx::query_scalar(
        "select attname::text from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped",
    )
    .bind(*table)
    .fetch_all(&mut *transaction)
    .await?;
    let known: BTreeSet<String> = known.into_iter().collect();
    if let Some(name) = named.keys().find(|name| !known.contains(*name)) {
        return Err(Fault::Unfit(format!("a row of {table} has a {name}, which this Deskfold does not know")));
    }
    let columns = named.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    // Whose a row is must be said as everywhere: no archive brings another tenant's.
    let insert = format!(
        "insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1::text::jsonb)
         where {owner} = $2"
    );
    let inserted = sqlx::query(AssertSqlSafe(insert))
        .persistent(false)
        .bind(format!("[{}]", lines.join(",")))
        .bind(tenant)
        .execute(transaction)
        .await;
    let inserted = inserted.map_err(|error| match &error {
        sqlx::Error::Database(refused) => damaged(refused),
        _ => error.into(),
    })?;
    match inserted.rows_affected() == lines.len() as u64 {
        true => Ok(()),
        false => Err(damaged(&"it is another tenant's")),
    }
}
