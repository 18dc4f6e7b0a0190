//! Group commit for subscriptions: what several of them write at the same moment goes in one statement and one commit.
//!
//! Each keeps its own checkpoint and its own fence. If one of them has lost its lease, or its data is refused, none of the
//! statement happens; then each writes for itself, so that nobody suffers for another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};

use crate::lease::Taken;
use crate::presence::Presence;

/// A part of what a subscription writes: one statement with its values.
#[derive(Clone, Debug)]
pub struct Write {
    /// Insert, update or delete, without `returning`. It says `$1`, `$2`, ... and touches no row that another part touches.
    pub sql: Arc<str>,
    /// What these stand for.
    pub values: Vec<Value>,
}

/// A value of a [`Write`].
#[derive(Clone, Debug)]
pub enum Value {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

/// What one subscription wants to have written.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) version: i32,
    /// Under which lease, and from which checkpoint on.
    pub(crate) taken: Taken,
    /// The checkpoint afterwards.
    pub(crate) to: i64,
    /// By how much the lease is renewed.
    pub(crate) lease: Duration,
    pub(crate) writes: Vec<Write>,
}

impl Work {
    fn bytes(&self) -> usize {
        let bytes = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Texts(texts) => texts.iter().map(String::len).sum(),
        };
        self.writes.iter().flat_map(|write| &write.values).map(bytes).sum()
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Written and committed.
    Done,
    /// The lease has passed to somebody else: nothing is written.
    Lost,
    /// A table is locked by somebody who takes its time: nothing is written. Whoever waits for it should do so alone.
    Busy,
    /// Nothing is written if the database said so; else that is not known.
    Failed(sqlx::Error),
}

#[derive(Debug)]
struct Submitted {
    work: Work,
    reply: oneshot::Sender<Outcome>,
}

/// Where subscriptions hand in what they want to have written.
#[derive(Debug)]
pub(crate) struct Group {
    queue: mpsc::UnboundedSender<Submitted>,
}

impl Group {
    /// Starts to work for the subscriptions of this process.
    pub(crate) fn start(pool: PgPool, presence: Presence) -> (Group, JoinHandle<()>) {
        let (queue, submitted) = mpsc::unbounded_channel();
        (Group { queue }, tokio::spawn(Writer { pool, presence, idle: None }.run(submitted)))
    }

    /// Has it written, together with what others want to have written now.
    pub(crate) async fn commit(&self, work: Work) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let gone = || Outcome::Failed(sqlx::Error::WorkerCrashed);
        match self.queue.send(Submitted { work, reply }) {
            Ok(()) => outcome.await.unwrap_or_else(|_| gone()),
            Err(_) => gone(),
        }
    }
}

/// Most that is written at once, in bytes: what is large holds others up.
const MOST_BYTES: usize = 1 << 20;
/// Whoever has been woken by the same event comes within so many rounds of the scheduler.
const ROUNDS: usize = 3;
/// A connection that lay idle for longer is looked after before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// Prepared statements: one for each set of tables that are written together.
const STATEMENTS: usize = 512;
/// What of it a crash loses is handled again. Nobody waits long for a table that is being exchanged.
const SESSION: &str = "set jit = off; set synchronous_commit = off; set lock_timeout = '50ms'";

struct Writer {
    pool: PgPool,
    presence: Presence,
    idle: Option<(Instant, PgConnection)>,
}

impl Writer {
    async fn run(mut self, mut submitted: mpsc::UnboundedReceiver<Submitted>) {
        while let Some(first) = submitted.recv().await {
            for _ in 0..ROUNDS {
                yield_now().await;
            }
            let mut bytes = first.work.bytes();
            let mut together = vec![first];
            while bytes < MOST_BYTES
                && let Ok(next) = submitted.try_recv()
            {
                bytes += next.work.bytes();
                together.push(next);
            }
            // The same set is the same statement.
            together.sort_by(|a, b| (&a.work.name, a.work.version).cmp(&(&b.work.name, b.work.version)));
            self.write(together).await;
        }
    }

    async fn write(&mut self, together: Vec<Submitted>) {
        let all: Vec<&Work> = together.iter().map(|one| &one.work).collect();
        match self.commit(&all).await {
            Ok(()) => together.into_iter().for_each(|one| drop(one.reply.send(Outcome::Done))),
            Err(sqlx::Error::Database(error)) if together.len() > 1 => {
                tracing::debug!(%error, members = together.len(), "each for itself");
                for one in together {
                    let outcome = match self.commit(&[&one.work]).await {
                        Ok(()) => Outcome::Done,
                        Err(error) => failed(error),
                    };
                    drop(one.reply.send(outcome));
                }
            }
            Err(error) => {
                let reason = error.to_string();
                let mut error = Some(error);
                for one in together {
                    let error = error.take().unwrap_or_else(|| sqlx::Error::Protocol(reason.clone()));
                    drop(one.reply.send(failed(error)));
                }
            }
        }
    }

    /// One statement is one transaction.
    async fn commit(&mut self, all: &[&Work]) -> Result<(), sqlx::Error> {
        let presence = self.presence.clone();
        let work = async {
            let mut connection = self.connection().await?;
            let statement = statement(all);
            let done = bound(sqlx::query(AssertSqlSafe(statement)), all).execute(&mut connection).await;
            if matches!(done, Ok(_) | Err(sqlx::Error::Database(_))) {
                self.idle = Some((Instant::now(), connection));
            }
            done.map(drop)
        };
        presence.guard(work).await.unwrap_or_else(|lost| Err(lost.into()))
    }

    async fn connection(&mut self) -> Result<PgConnection, sqlx::Error> {
        if let Some((since, mut connection)) = self.idle.take()
            && (since.elapsed() < FRESH || connection.ping().await.is_ok())
        {
            return Ok(connection);
        }
        let options = self.pool.connect_options().as_ref().clone().statement_cache_capacity(STATEMENTS);
        let mut connection = options.connect().await?;
        connection.execute(SESSION).await?;
        Ok(connection)
    }
}

fn failed(error: sqlx::Error) -> Outcome {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some("DF001") => Outcome::Lost,
        Some("55P03") => Outcome::Busy,
        _ => Outcome::Failed(error),
    }
}

/// All parts of all work, the checkpoints, and the fence over them.
fn statement(all: &[&Work]) -> String {
    let mut sql = String::from("with ");
    let mut values = 0;
    for (index, write) in all.iter().flat_map(|work| &work.writes).enumerate() {
        sql.push_str(&format!("part_{index} as ("));
        renumbered(&mut sql, &write.sql, values);
        sql.push_str("), ");
        values += write.values.len();
    }
    let next = |index: usize| values + index;
    sql.push_str(&format!(
        "moved as (update log_subscription s set position = m.target, updated_at = clock_timestamp(),
             leased_until = clock_timestamp() + make_interval(secs => m.lease)
         from unnest(${}::text[], ${}::int[], ${}::bigint[], ${}::bigint[], ${}::bigint[], ${}::float8[])
             m (name, version, position, epoch, target, lease)
         where s.name = m.name and s.version = m.version and s.position = m.position and s.epoch = m.epoch
         returning 1)
         select log_fence((select count(*) from moved), ${})",
        next(1),
        next(2),
        next(3),
        next(4),
        next(5),
        next(6),
        next(7)
    ));
    sql
}

/// Appends a statement whose first value comes after so many others.
fn renumbered(to: &mut String, sql: &str, before: usize) {
    let mut parts = sql.split('$');
    to.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        match number.parse::<usize>() {
            Ok(number) => to.push_str(&format!("${}", number + before)),
            Err(_) => to.push('$'),
        }
        to.push_str(rest);
    }
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

fn bound<'q>(mut query: Bound<'q>, all: &[&Work]) -> Bound<'q> {
    for value in all.iter().flat_map(|work| &work.writes).flat_map(|write| &write.values) {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Texts(texts) => query.bind(texts.clone()),
        };
    }
    query
        .bind(all.iter().map(|work| work.name.clone()).collect::<Vec<_>>())
        .bind(all.iter().map(|work| work.version).collect::<Vec<_>>())
        .bind(all.iter().map(|work| work.taken.position).collect::<Vec<_>>())
        .bind(all.iter().map(|work| work.taken.epoch).collect::<Vec<_>>())
        .bind(all.iter().map(|work| work.to).collect::<Vec<_>>())
        .bind(all.iter().map(|work| work.lease.as_secs_f64()).collect::<Vec<_>>())
        .bind(i64::try_from(all.len()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_through_all_parts() {
        let write =
            |sql: &str, values: usize| Write { sql: sql.into(), values: vec![Value::Text(String::new()); values] };
        let work = |name: &str, writes| Work {
            name: name.into(),
            version: 1,
            taken: Taken { epoch: 1, position: 0 },
            to: 1,
            lease: Duration::from_secs(1),
            writes,
        };
        let first = work("a", vec![write("insert $1::text", 1), write("delete $1, $2, '$'", 2)]);
        let second = work("b", vec![write("insert $1", 1)]);
        let sql = statement(&[&first, &second]);
        for part in [
            "part_0 as (insert $1::text)",
            "part_1 as (delete $2, $3, '$')",
            "part_2 as (insert $4)",
            "unnest($5::text[]",
        ] {
            assert!(sql.contains(part), "{sql}");
        }
        assert!(sql.ends_with("$11)"), "{sql}");
    }
}
