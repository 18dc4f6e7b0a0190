//! The short way of an append that meets nobody: one prepared statement, sent by the caller's own task.
//!
//! It moves one stream from a version that is given to the next, takes the head, and writes behind the newest event that this
//! process knows. The primary key of the log holds it to account: when another process has written meanwhile, the position is
//! taken, the statement fails as a whole, and the append goes the long way, through the queue and `log_append`, which says what
//! became of it. So does everything else that is not as it should be.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::runtime::Handle;

use crate::append::{Append, Expected, StreamWrite};
use crate::surroundings::{Surroundings, connect, is_lost};
use crate::wire::Instant;

/// The lock that `log_append` takes before it takes positions.
const HEAD: i64 = 7_813_887_466;
/// How many appends go the long way after one that failed: where several processes write at once, most would fail.
const REST: u32 = 32;

/// The newest event that is known to be committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) position: i64,
    pub(crate) recorded_at: Timestamp,
}

/// What became of an append on the short way.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It was written.
    Written(Timestamp),
    /// Nothing was written.
    Nothing,
    /// The connection was lost before the answer came.
    Unknown,
}

/// A connection for one append at a time, and what is known of the place where it writes.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    connection: Option<PgConnection>,
    partition: Option<Partition>,
    rest: u32,
}

/// The partition of the log that holds positions from `first` up to, not including, `end`.
#[derive(Debug)]
struct Partition {
    first: i64,
    end: i64,
    /// Statements, see [`Shape`].
    statements: [Arc<str>; 8],
}

/// What an append is like, as far as its statement depends on it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    new_stream: bool,
    several: bool,
    remembered: bool,
}

impl Shape {
    fn of(append: &Append, write: &StreamWrite) -> Self {
        Self {
            new_stream: write.expected == Expected::NoStream,
            several: write.events.len() > 1,
            remembered: append.is_remembered(),
        }
    }

    fn from_index(index: usize) -> Self {
        Self { new_stream: index & 1 > 0, several: index & 2 > 0, remembered: index & 4 > 0 }
    }

    fn index(self) -> usize {
        usize::from(self.new_stream) | usize::from(self.several) << 1 | usize::from(self.remembered) << 2
    }

    /// The whole append. A stream that is not as expected gives no row. A head that is not free gives a position that is null,
    /// which the log refuses together with all the rest; the lock comes after the row of the stream, as everywhere.
    fn statement(self, partition: &str) -> String {
        let count = if self.several { "cardinality($8)" } else { "1" };
        let moved = if self.new_stream {
            format!("insert into log_stream (tenant_id, stream, version) values ($1, $2, $3 + {count})")
        } else {
            format!(
                "update log_stream set version = version + {count} where tenant_id = $1 and stream = $2 and version = $3"
            )
        };
        let (event, place, columns) = if self.several {
            let unnested = "unnest($8, $9, $10, $11, $12, $13) with ordinality
                 as event (event_id, type, occurred_at, is_json, data, metadata, place)";
            (format!(", {unnested}"), "place", ["event_id", "type", "occurred_at", "is_json", "data", "metadata"])
        } else {
            (String::new(), "1", ["$8", "$9", "$10", "$11", "$12", "$13"])
        };
        let [id, kind, occurred_at, is_json, data, metadata] = columns;
        let written = format!(
            "insert into {partition} (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream,
                 type, category, data, metadata)
             select case when pg_try_advisory_xact_lock({HEAD}) then $4 + {place} end, $3 + {place},
                 coalesce({occurred_at}, greatest($5, now())), greatest($5, now()), {id}, {is_json}, $1, $2,
                 {kind}, $7, {data}, {metadata}
             from moved{event}"
        );
        let told = |last: &str| format!("recorded_at, case when $6 then pg_notify('log', ({last})::text) end");
        let moved = format!("with moved as ({moved} returning version)");
        if self.remembered {
            format!(
                "{moved}, written as ({written} returning position, recorded_at)
                 insert into log_command (command_id, fingerprint, first_position, last_position, recorded_at, tenant_id)
                 select $14, $15, min(position), max(position), min(recorded_at), $1 from written having count(*) > 0
                 returning {}",
                told("last_position")
            )
        } else if self.several {
            let told = told("$4 + cardinality($8)");
            format!("{moved}, written as ({written} returning recorded_at) select {told} from written limit 1")
        } else {
            format!("{moved} {written} returning {}", told("position"))
        }
    }
}

impl Lane {
    /// Whether it may be tried again. Each question counts.
    pub(crate) fn is_rested(&mut self) -> bool {
        self.rest = self.rest.saturating_sub(1);
        self.rest == 0
    }

    /// Tries to write an append that is a [single](Append::single) one behind the head.
    pub(crate) async fn write(&mut self, around: &Surroundings, append: &Append, head: Head) -> Tried {
        let Some(write) = append.single() else { return Tried::Nothing };
        let next = head.position + 1;
        if self.connection.is_none() || self.partition.as_ref().is_none_or(|partition| !partition.holds(next)) {
            let prepared = around.presence.guard(self.prepare(around, next)).await;
            if let Err(error) = prepared.unwrap_or_else(|lost| Err(lost.into())) {
                tracing::debug!(%error, "no short way for an append");
                *self = Self { rest: REST, ..Self::default() };
                return Tried::Nothing;
            }
        }
        // A server that hangs is left alone; what comes of this on it is found out on the long way.
        let answered = around.presence.guard(self.send(around, append, write, head)).await;
        match answered.unwrap_or_else(|lost| Err(lost.into())) {
            Ok(Some(recorded_at)) => Tried::Written(recorded_at),
            Ok(None) => Tried::Nothing,
            Err(error) if is_lost(&error) => {
                *self = Self::default();
                Tried::Unknown
            }
            Err(error) => {
                tracing::debug!(%error, "an append goes the long way");
                self.rest = REST;
                Tried::Nothing
            }
        }
    }

    /// Connects, and looks where the next position lies.
    async fn prepare(&mut self, around: &Surroundings, next: i64) -> Result<(), sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(around.pool.connect_options().as_ref()).await?),
        };
        self.partition = Partition::of(connection, next).await?;
        Ok(())
    }

    async fn send(
        &mut self,
        around: &Surroundings,
        append: &Append,
        write: &StreamWrite,
        head: Head,
    ) -> Result<Option<Timestamp>, sqlx::Error> {
        let last = head.position.saturating_add_unsigned(write.events.len() as u64);
        let partition = self.partition.as_ref().filter(|partition| partition.holds(last));
        let (Some(connection), Some(partition)) = (&mut self.connection, partition) else { return Ok(None) };
        let shape = Shape::of(append, write);
        let Some(statement) = partition.statements.get(shape.index()) else { return Ok(None) };
        let expected = match write.expected {
            Expected::Exact(version) => version,
            _ => -1,
        };
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(statement)))
            .bind(&append.tenant)
            .bind(&write.stream)
            .bind(expected)
            .bind(head.position)
            .bind(Instant(head.recorded_at))
            .bind(around.options.notify && around.tail.others())
            .bind(write.stream.split('-').next());
        query = match write.events.as_slice() {
            [event] => query
                .bind(event.id)
                .bind(&event.kind)
                .bind(event.occurred_at.map(Instant))
                .bind(event.is_json)
                .bind(&*event.data)
                .bind(&*event.metadata),
            events => query
                .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
                .bind(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>())
                .bind(events.iter().map(|event| event.occurred_at.map(Instant)).collect::<Vec<_>>())
                .bind(events.iter().map(|event| event.is_json).collect::<Vec<_>>())
                .bind(events.iter().map(|event| &*event.data).collect::<Vec<_>>())
                .bind(events.iter().map(|event| &*event.metadata).collect::<Vec<_>>()),
        };
        if shape.remembered {
            query = query.bind(append.command_id).bind(append.fingerprint);
        }
        let row = query.fetch_optional(&mut *connection).await?;
        row.map(|row| Ok(row.try_get::<Instant, _>(0)?.0)).transpose()
    }
}

impl Partition {
    fn holds(&self, position: i64) -> bool {
        self.first <= position && position < self.end
    }

    async fn of(connection: &mut PgConnection, position: i64) -> Result<Option<Self>, sqlx::Error> {
        let row: Option<PgRow> = sqlx::query(
            "select name::text, first_position, end_position from log_partition
             where first_position <= $1 and end_position > $1",
        )
        .bind(position)
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let name: &str = row.try_get(0)?;
        let statements = std::array::from_fn(|index| Shape::from_index(index).statement(name).into());
        Ok(Some(Self { first: row.try_get(1)?, end: row.try_get(2)?, statements }))
    }
}

/// Work that is finished even if nobody waits for it any more.
pub(crate) struct Finishing<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    runtime: Handle,
}

impl<T: Send + 'static> Finishing<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static, runtime: &Handle) -> Self {
        Self { work: Some(Box::pin(work)), runtime: runtime.clone() }
    }
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
}
