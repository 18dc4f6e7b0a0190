//! Snapshots: what long streams came to, as bytes that only who wrote them understands. They may be thrown away at any time.

use bytes::Bytes;
use crc32fast::Hasher;
use uuid::Uuid;

use crate::Recorded;
use crate::error::Error;
use crate::log::Log;
use crate::wire::{Decoder, columns};

/// What a stream has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose it is.
    pub tenant: String,
    /// Of which stream.
    pub stream: String,
    /// The version of the last event in it.
    pub version: i64,
    /// That event.
    pub event_id: Uuid,
    /// The version of the code that folded it.
    pub code: String,
    /// The state.
    pub state: Bytes,
}

impl Snapshot {
    fn checksum(&self) -> i64 {
        let mut hasher = Hasher::new();
        for text in [&self.tenant, &self.stream, &self.code] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&self.version.to_be_bytes());
        hasher.update(self.event_id.as_bytes());
        hasher.update(&self.state);
        i64::from(hasher.finalize())
    }
}

/// A stream as far as it has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// What it came to; `None` when there is no snapshot that fits.
    pub snapshot: Option<Snapshot>,
    /// Whether there is one that was meant to fit and is damaged, or of another history.
    pub unfit: bool,
    /// The first events after it; all of them when there are fewer than were asked for.
    pub events: Vec<Recorded>,
}

impl Log {
    /// What a stream came to by this version of the code, and the first `limit` events since; the first of all when there is no
    /// snapshot that fits: one that is damaged, of other code, or not of this stream as the log has it is none.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_latest(&self, tenant: &str, stream: &str, code: &str, limit: i64) -> Result<Latest, Error> {
        // It begins with the last event in the snapshot, which shows whether that is of this history.
        let statement = concat!(
            "select ",
            columns!(),
            " from log_event where tenant_id = $1 and stream = $2 and version >= coalesce(
                 (select s.version from log_snapshot s join log_stream l using (tenant_id, stream)
                  where s.tenant_id = $1 and s.stream = $2 and s.code = $3 and s.version <= l.version), 0)
             order by version limit $4"
        );
        let rows = sqlx::query(statement).bind(tenant).bind(stream).bind(code).bind(limit).fetch_all(self.pool());
        let mut events = Decoder::rows(&rows.await?)?;
        let Some(last) = events.first().filter(|first| first.version > 0) else {
            return Ok(Latest { snapshot: None, unfit: false, events });
        };
        let (version, event_id) = (last.version, last.id);
        let stored: Option<(Uuid, i64, Vec<u8>)> = sqlx::query_as(
            "select event_id, checksum, state from log_snapshot
             where tenant_id = $1 and stream = $2 and code = $3 and version = $4",
        )
        .bind(tenant)
        .bind(stream)
        .bind(code)
        .bind(version)
        .fetch_optional(self.pool())
        .await?;
        let snapshot = stored.and_then(|(of, checksum, state)| {
            let (tenant, stream, code) = (tenant.to_owned(), stream.to_owned(), code.to_owned());
            let snapshot = Snapshot { tenant, stream, version, event_id, code, state: state.into() };
            (of == event_id && snapshot.checksum() == checksum).then_some(snapshot)
        });
        if snapshot.is_some() {
            events.remove(0);
            return Ok(Latest { snapshot, unfit: false, events });
        }
        let events = self.read_stream(tenant, stream, 0, crate::Direction::Forward, limit).await?;
        Ok(Latest { snapshot: None, unfit: true, events })
    }

    /// Keeps what a stream came to, in place of an older snapshot or one of other code. A full disk keeps nothing.
    ///
    /// # Errors
    /// When the database cannot be reached, or goes meanwhile.
    pub async fn keep_snapshot(&self, snapshot: &Snapshot) -> Result<(), Error> {
        if self.room().is_full() {
            return Ok(());
        }
        // Whoever comes last is kept: an older one only means some more events to read.
        let written = sqlx::query(
            "insert into log_snapshot as known (tenant_id, stream, version, event_id, code, checksum, state)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id, stream) do update set version = excluded.version, event_id = excluded.event_id,
                 code = excluded.code, checksum = excluded.checksum, state = excluded.state",
        )
        .bind(&snapshot.tenant)
        .bind(&snapshot.stream)
        .bind(snapshot.version)
        .bind(snapshot.event_id)
        .bind(&snapshot.code)
        .bind(snapshot.checksum())
        .bind(&*snapshot.state)
        .execute(self.pool());
        self.presence().guard(written).await??;
        Ok(())
    }
}
