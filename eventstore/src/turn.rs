//! Turns: a few connections that the subscriptions of this process use one after the other.
//!
//! They are kept apart from the pool, which looks after each connection with a round trip before and after each use: a
//! subscription that keeps up has small transactions, and these would be a third of them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A connection that lay idle for longer is looked after before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// Prepared statements of a connection: those of all subscriptions, which all use it.
const STATEMENTS: usize = 512;

/// The turns of a process.
#[derive(Debug)]
pub(crate) struct Turns {
    permits: Semaphore,
    /// What those who had a turn left behind, and when.
    idle: Mutex<Vec<(Instant, PgConnection)>>,
}

/// A subscription's turn at the database, as long as this lives.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// So many at a time.
    pub(crate) fn new(workers: usize) -> Turns {
        Turns { permits: Semaphore::new(workers.max(1)), idle: Mutex::default() }
    }

    /// Waits for a turn. There would be no permit only if turns were over, which they never are.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { turns: self, _permit: self.permits.acquire().await.ok() }
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle.lock().clear();
    }
}

impl Turn<'_> {
    /// A connection to the pool's database.
    pub(crate) async fn connection(&self, pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
        loop {
            let kept = self.turns.idle.lock().pop();
            match kept {
                Some((since, connection)) if since.elapsed() < FRESH => return Ok(connection),
                Some((_, mut connection)) => {
                    if connection.ping().await.is_ok() {
                        return Ok(connection);
                    }
                }
                None => {
                    let options = pool.connect_options().as_ref().clone().statement_cache_capacity(STATEMENTS);
                    let mut connection = options.connect().await?;
                    connection.execute("set jit = off").await?;
                    return Ok(connection);
                }
            }
        }
    }

    /// Keeps a connection on which everything went well for the next turn; any other is simply dropped.
    pub(crate) fn keep(self, connection: PgConnection) {
        self.turns.idle.lock().push((Instant::now(), connection));
    }
}
