//! Writes an archive as it is read, in constant memory: parts of some mebibytes, each compressed by itself, the manifest last.

use std::{io::Write, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use channels::files::{self, Files};
use domain::{Id, Time};
use eventstore::{Log, Presence, Query};
use flate2::{Compression, write::GzEncoder};
use futures::{Stream, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    EVENTS, FILES, FORMAT, Fault, KEPT, Kept, LEFT_OUT, MANIFEST, Manifest, Part, Reactor, Stretch, line_of, schema,
};
use crate::auth::hex;

/// A part ends with the line that brings it here.
const PART: usize = 4 << 20;
/// Bytes of a file that stand on one line.
const STRETCH: usize = 1 << 20;
/// Events read at once.
const PAGE: i64 = 1000;
/// How long whoever takes the archive may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// An archive that is about to be written, of the moment at which it was begun.
pub(crate) struct Archive {
    log: Log,
    files: Files,
    snapshot: PgConnection,
    tenant: Id,
    made_at: Time,
    position: i64,
}

impl Archive {
    /// Takes a snapshot of the database; events are never changed, so that they need none.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn begin(log: &Log, files: &Files, tenant: Id, made_at: Time) -> Result<Archive, Fault> {
        // A connection of its own, which ends with the snapshot.
        let mut snapshot = log.pool().acquire().await?.detach();
        snapshot.execute("begin isolation level repeatable read read only").await?;
        let head = sqlx::query_scalar("select coalesce((select position from log_head), 0)");
        let position = head.fetch_one(&mut snapshot).await?;
        Ok(Archive { log: log.clone(), files: files.clone(), snapshot, tenant, made_at, position })
    }

    /// The newest position of the log.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The file, written as fast as it is taken. `kept` is let go of in the end.
    pub(crate) fn file(
        self,
        stopping: CancellationToken,
        kept: Box<dyn Send>,
    ) -> impl Stream<Item = Result<Bytes, Fault>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _kept = kept;
            let presence = self.log.presence().clone();
            let mut tape = Tape { sender, made_at: self.made_at, parts: Vec::new(), presence };
            let written = tokio::select! {
                written = self.write(&mut tape) => written,
                () = stopping.cancelled() => Err(Fault::GivenUp),
            };
            // A file that ends is whole: an error is told, or where nobody listens any more, nothing.
            if let Err(fault) = written {
                let _ = tape.sender.send(Err(fault)).await;
            } else {
                let _ = tape.sender.send(Ok(Bytes::new())).await;
            }
        });
        // Only what is empty is the end: where it does not come, somebody has given up.
        stream::unfold(Some(receiver), async |receiver| {
            let mut receiver: mpsc::Receiver<Result<Bytes, Fault>> = receiver?;
            match receiver.recv().await {
                Some(Ok(bytes)) if bytes.is_empty() => None,
                Some(Ok(bytes)) => Some((Ok(bytes), Some(receiver))),
                Some(Err(fault)) => Some((Err(fault), None)),
                None => Some((Err(Fault::GivenUp), None)),
            }
        })
    }

    async fn write(self, tape: &mut Tape) -> Result<(), Fault> {
        let Archive { log, files, mut snapshot, tenant, made_at, position } = self;
        let presence = tape.presence.clone();
        for kept in KEPT {
            rows(kept, &mut snapshot, tenant, tape).await?;
        }
        let reactors: Vec<(String, i32, i64)> = sqlx::query_as(
            "select name, version, position from log_subscription where name like 'react\\_%' order by name, version",
        )
        .fetch_all(&mut snapshot)
        .await?;
        let digests: Vec<(String, bool)> = sqlx::query_as(
            "select f.digest, exists (
                 select from read_uploads u where u.tenant_id = f.tenant_id and u.status = 'kept'
                 and f.digest in (u.digest, u.thumbnail_digest))
             from react_file f where f.tenant_id = $1 order by f.digest",
        )
        .bind(tenant.to_string())
        .fetch_all(&mut snapshot)
        .await?;
        // Nothing of it is needed any more, and what comes may take long.
        let _ = snapshot.close().await;
        let mut lines = Lines::of(FILES);
        for (digest, is_wanted) in digests {
            bytes_of(&files, tenant, (digest, is_wanted), &mut lines, tape).await?;
        }
        lines.end(tape).await?;
        let mut lines = Lines::of(EVENTS);
        let (mut after, mut events, mut first) = (0, 0, None);
        while after < position {
            let query = Query {
                tenant: Some(tenant.to_string()),
                after: Some(after),
                until: Some(position),
                limit: PAGE,
                ..Query::default()
            };
            let page = guarded(&presence, async { Ok(log.read_all(&query).await?) }).await?;
            let Some(last) = page.last().map(|event| event.position) else { break };
            for event in &page {
                first.get_or_insert(event.position);
                let line = line_of(event).map_err(|error| eventstore::Error::Unreadable(error.to_string()))?;
                lines.push(line, tape).await?;
            }
            events += page.len() as u64;
            after = last;
        }
        lines.end(tape).await?;
        let manifest = Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: schema(),
            tenant,
            made_at,
            position,
            events,
            first_position: first,
            last_position: first.map(|_| after),
            reactors: reactors
                .into_iter()
                .map(|(name, version, position)| Reactor { name, version, position })
                .collect(),
            kept: [EVENTS, FILES]
                .into_iter()
                .chain(KEPT.iter().map(|kept| kept.table))
                .map(ToOwned::to_owned)
                .collect(),
            left_out: LEFT_OUT.iter().map(|(table, why)| ((*table).to_owned(), (*why).to_owned())).collect(),
            parts: std::mem::take(&mut tape.parts),
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Fault::Damaged(error.to_string()))?;
        tape.entry(MANIFEST.to_owned(), text, true).await
    }
}

/// Does it, unless the database is lost meanwhile.
async fn guarded<T>(presence: &Presence, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    presence.guard(work).await.unwrap_or_else(|lost| Err(eventstore::Error::Lost(lost).into()))
}

/// The rows of a table that are a tenant's, as JSON.
async fn rows(kept: &Kept, snapshot: &mut PgConnection, tenant: Id, tape: &mut Tape) -> Result<(), Fault> {
    let Kept { table, owner, only, row, at_once } = kept;
    let presence = tape.presence.clone();
    let declare = format!(
        "declare kept no scroll cursor for select ({row})::text from {table} t where {owner} = '{tenant}' and {only}"
    );
    snapshot.execute(AssertSqlSafe(declare)).await?;
    let mut lines = Lines::of(table);
    loop {
        let fetch = format!("fetch forward {at_once} from kept");
        let fetch = sqlx::query_scalar(AssertSqlSafe(fetch)).persistent(false);
        let page: Vec<String> = guarded(&presence, async { Ok(fetch.fetch_all(&mut *snapshot).await?) }).await?;
        if page.is_empty() {
            break;
        }
        for line in page {
            lines.push(line, tape).await?;
        }
    }
    snapshot.execute("close kept").await?;
    lines.end(tape).await
}

/// A file, stretch by stretch. What no upload has may be about to be kept, or just given up: then it is not there, nor in the archive.
async fn bytes_of(
    files: &Files,
    tenant: Id,
    (digest, is_wanted): (String, bool),
    lines: &mut Lines,
    tape: &mut Tape,
) -> Result<(), Fault> {
    let mut pieces = match files.read(tenant, &digest, None).await {
        Err(files::Fault::Missing) if !is_wanted => return Ok(()),
        Err(files::Fault::Missing) => {
            return Err(Fault::Unfit(format!(
                "the file {digest} is not where files are kept: is --data-dir or --files-url that of the server?"
            )));
        }
        read => read?,
    };
    let (mut at, mut rest, mut ends) = (0, Vec::new(), false);
    while !ends {
        match pieces.try_next().await? {
            Some(piece) => rest.extend_from_slice(&piece),
            None => ends = true,
        }
        while rest.len() > STRETCH || (ends && !rest.is_empty()) {
            let left = rest.split_off(rest.len().min(STRETCH));
            let is_last = ends && left.is_empty();
            let stretch = Stretch { digest: digest.clone(), at, bytes: STANDARD.encode(&rest), ends: is_last };
            at += rest.len() as u64;
            rest = left;
            let line = serde_json::to_string(&stretch).map_err(|error| Fault::Damaged(error.to_string()))?;
            lines.push(line, tape).await?;
        }
    }
    Ok(())
}

/// Lines of one kind on their way into parts.
struct Lines {
    table: &'static str,
    number: usize,
    text: Vec<u8>,
    count: u64,
}

impl Lines {
    fn of(table: &'static str) -> Lines {
        Lines { table, number: 0, text: Vec::new(), count: 0 }
    }

    async fn push(&mut self, line: String, tape: &mut Tape) -> Result<(), Fault> {
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
        self.count += 1;
        if self.text.len() >= PART { self.end(tape).await } else { Ok(()) }
    }

    /// Ends a part, if there is anything in it.
    async fn end(&mut self, tape: &mut Tape) -> Result<(), Fault> {
        if self.count == 0 {
            return Ok(());
        }
        self.number += 1;
        let name = match self.table {
            EVENTS => format!("events/{:06}.jsonl", self.number),
            table => format!("tables/{table}/{:06}.jsonl", self.number),
        };
        let text = std::mem::take(&mut self.text);
        let part = Part {
            name: name.clone(),
            table: self.table.to_owned(),
            lines: std::mem::take(&mut self.count),
            bytes: text.len() as u64,
            sha256: hex(&Sha256::digest(&text)),
        };
        tape.parts.push(part);
        tape.entry(name, text, false).await
    }
}

/// Where the archive goes.
struct Tape {
    sender: mpsc::Sender<Result<Bytes, Fault>>,
    made_at: Time,
    parts: Vec<Part>,
    presence: Presence,
}

impl Tape {
    async fn entry(&self, name: String, content: Vec<u8>, is_last: bool) -> Result<(), Fault> {
        let at = u64::try_from(self.made_at.as_second()).unwrap_or_default();
        let made = tokio::task::spawn_blocking(move || entry(&name, &content, at, is_last)).await;
        let broken = |why: String| Fault::Damaged(format!("it cannot be written: {why}"));
        let made = made.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(error.to_string()))?;
        match timeout(PATIENCE, self.sender.send(Ok(Bytes::from(made)))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Fault::GivenUp),
        }
    }
}

/// A file within the archive, compressed by itself: what follows another such member is one file with it.
fn entry(name: &str, content: &[u8], at: u64, is_last: bool) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(at);
    let mut tar = tar::Builder::new(Vec::with_capacity(content.len() + (4 << 10)));
    tar.append_data(&mut header, name, content)?;
    // Only after the last one come the blocks that end an archive.
    let bytes = if is_last { tar.into_inner()? } else { std::mem::take(tar.get_mut()) };
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&bytes)?;
    gz.finish()
}
