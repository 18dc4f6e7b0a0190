//! Fills an empty log with events that have their places already: positions, versions, ids and times stay what they are.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::Recorded;
use crate::error::Error;
use crate::partition;
use crate::wire::Instant;

/// Rows written in one statement.
const ROWS: usize = 2000;
/// More positions than this in a row are filled by the database itself.
const FEW: i64 = 1000;
/// What `log_append` locks before it takes positions.
const HEAD: i64 = 7_813_887_466;

/// What stands at positions where the events given have nothing, so that positions remain without a hole.
#[derive(Clone, Debug)]
pub struct Filler {
    /// Whose event it is.
    pub tenant: Arc<str>,
    /// Its stream.
    pub stream: Arc<str>,
    /// Its type.
    pub kind: Arc<str>,
    /// Its metadata, in JSON. Its data is an empty object.
    pub metadata: Bytes,
}

/// An empty log that is being filled, in one transaction: either all of it is there in the end, or nothing.
#[derive(Debug)]
pub struct Refill {
    connection: PgConnection,
    filler: Filler,
    /// How many fillers there are.
    filled: i64,
    /// The last position that is taken.
    last: i64,
    /// When that was recorded.
    recorded_at: Option<Timestamp>,
    waiting: Vec<Recorded>,
}

impl Refill {
    /// Begins, with room for positions up to `until`. Nobody else writes until it is committed or dropped.
    ///
    /// # Errors
    /// When the log is not empty, or the database cannot be reached.
    pub async fn begin(pool: &PgPool, until: i64, filler: Filler) -> Result<Refill, Error> {
        partition::create(pool, 1, until).await?;
        // A connection of its own, which rolls back when it is dropped.
        let mut connection = pool.acquire().await?.detach();
        connection.execute("begin").await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(HEAD).execute(&mut connection).await?;
        let head: Option<i64> =
            sqlx::query_scalar("select position from log_head").fetch_optional(&mut connection).await?;
        if let Some(head) = head {
            return Err(Error::Invalid(format!("the log is not empty: it has {head} events")));
        }
        let waiting = Vec::with_capacity(ROWS);
        Ok(Refill { connection, filler, filled: 0, last: 0, recorded_at: None, waiting })
    }

    /// The transaction, for what belongs to the log beside its events.
    pub fn transaction(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Takes further events, in the order of their positions.
    ///
    /// # Errors
    /// When they are out of order, or the database fails.
    pub async fn push(&mut self, events: Vec<Recorded>) -> Result<(), Error> {
        for event in events {
            let Recorded { position, recorded_at, .. } = event;
            if position <= self.last || self.recorded_at.is_some_and(|before| before > recorded_at) {
                return Err(Error::Invalid(format!("the event at position {position} comes too late")));
            }
            self.recorded_at.get_or_insert(recorded_at);
            self.fill(position - 1).await?;
            (self.last, self.recorded_at) = (position, Some(recorded_at));
            self.waiting.push(event);
            self.write(ROWS).await?;
        }
        Ok(())
    }

    /// Fills what is left up to a position, and makes the versions of the streams.
    ///
    /// # Errors
    /// When a stream lacks an event, or the database fails.
    pub async fn finish(&mut self, until: i64) -> Result<(), Error> {
        self.fill(until).await?;
        self.write(0).await?;
        let versions = "insert into log_stream (tenant_id, stream, version)
            select tenant_id, stream, max(version) from log_event group by 1, 2";
        self.connection.execute(versions).await?;
        let broken: Option<String> = sqlx::query_scalar(
            "select stream from (
                 select stream, version, row_number() over (partition by tenant_id, stream order by position) as place
                 from log_event) e
             where version <> place - 1 limit 1",
        )
        .fetch_optional(&mut self.connection)
        .await?;
        match broken {
            Some(stream) => {
                Err(Error::Invalid(format!("the stream {stream} lacks events, or has them in another order")))
            }
            None => Ok(()),
        }
    }

    /// Makes all of it visible.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.connection.execute("commit").await?;
        self.connection.execute("analyze log_event, log_stream, log_claim, log_command").await?;
        // What counts is committed.
        let _ = self.connection.close().await;
        Ok(())
    }

    async fn fill(&mut self, until: i64) -> Result<(), Error> {
        let gap = until - self.last;
        if gap <= 0 {
            return Ok(());
        }
        let recorded_at = self.recorded_at.unwrap_or_default();
        if gap <= FEW {
            for position in self.last + 1..=until {
                let Filler { tenant, stream, kind, metadata } = self.filler.clone();
                let (id, data) = (Uuid::now_v7(), Bytes::from_static(b"{}"));
                let (version, occurred_at) = (self.filled, recorded_at);
                self.filled += 1;
                let event = Recorded {
                    position,
                    tenant,
                    stream,
                    version,
                    id,
                    kind,
                    occurred_at,
                    recorded_at,
                    is_json: true,
                    data,
                    metadata,
                };
                self.waiting.push(event);
            }
        } else {
            self.write(0).await?;
            sqlx::query(
                "insert into log_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream,
                                        type, category, data, metadata)
                 select $1 + place, $2 + place - 1, $3, $3, gen_random_uuid(), true, $4, $5, $6, split_part($5, '-', 1),
                        '{}', $7
                 from generate_series(1, $8::bigint) place",
            )
            .bind(self.last)
            .bind(self.filled)
            .bind(Instant(recorded_at))
            .bind(&*self.filler.tenant)
            .bind(&*self.filler.stream)
            .bind(&*self.filler.kind)
            .bind(&*self.filler.metadata)
            .bind(gap)
            .execute(&mut self.connection)
            .await?;
            self.filled += gap;
        }
        self.last = until;
        Ok(())
    }

    /// Writes what waits, where that is more than so many.
    async fn write(&mut self, most: usize) -> Result<(), Error> {
        if self.waiting.len() <= most {
            return Ok(());
        }
        let events = std::mem::take(&mut self.waiting);
        let text = |part: fn(&Recorded) -> &str| events.iter().map(part).collect::<Vec<_>>();
        let bytes = |part: fn(&Recorded) -> &[u8]| events.iter().map(part).collect::<Vec<_>>();
        let number = |part: fn(&Recorded) -> i64| events.iter().map(part).collect::<Vec<_>>();
        let instant =
            |part: fn(&Recorded) -> Timestamp| events.iter().map(|event| Instant(part(event))).collect::<Vec<_>>();
        sqlx::query(
            "insert into log_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type,
                                    category, data, metadata)
             select position, version, occurred_at, recorded_at, id, is_json, tenant, stream, kind,
                    split_part(stream, '-', 1), data, metadata
             from unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::boolean[],
                         $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[])
                  e (position, version, occurred_at, recorded_at, id, is_json, tenant, stream, kind, data, metadata)",
        )
        .bind(number(|event| event.position))
        .bind(number(|event| event.version))
        .bind(instant(|event| event.occurred_at))
        .bind(instant(|event| event.recorded_at))
        .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.is_json).collect::<Vec<_>>())
        .bind(text(|event| &event.tenant))
        .bind(text(|event| &event.stream))
        .bind(text(|event| &event.kind))
        .bind(bytes(|event| &event.data))
        .bind(bytes(|event| &event.metadata))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}
