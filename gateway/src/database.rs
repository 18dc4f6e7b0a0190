//! The database that the system stands on: yours, or the private cluster, and how to come to it.

use std::{path::Path, time::Duration};

use eventstore::Presence;
use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    StartError,
    config::Database,
    postgres::{Embedded, OLDEST_VERSION, Options},
    supervisor::Supervisor,
};

/// A database, with the private cluster that holds it if there is one.
pub struct Connected {
    /// How to connect.
    pub options: PgConnectOptions,
    supervisor: Option<Supervisor>,
}

/// A connection that lay idle for longer is looked after before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// How long a connection may take to answer then. One that takes longer is given up: its server may be gone unnoticed.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a server may take to let us in at the start.
const ENTRY: Duration = Duration::from_secs(5);
/// How long a server that is starting, or recovering, is waited for.
const RECOVERY: Duration = Duration::from_secs(60);

impl Connected {
    /// Your database if one is configured, the private cluster otherwise: the one that runs already, else a new one.
    ///
    /// # Errors
    /// When neither can be reached or started.
    pub async fn to(database: &Database) -> Result<Connected, StartError> {
        if let Some(url) = &database.database_url {
            let options = parsed("DATABASE_URL", url)?;
            enter(&options).await?;
            return Ok(Connected { options, supervisor: None });
        }
        if let Some(options) = Embedded::running(&database.data_dir) {
            enter(&options).await?;
            return Ok(Connected { options, supervisor: None });
        }
        Connected::start(&database.data_dir).await
    }

    /// The private cluster, started by this process.
    ///
    /// # Errors
    /// When it does not start, or another process has it.
    pub async fn start(data_dir: &Path) -> Result<Connected, StartError> {
        let embedded = Embedded::start(data_dir, &Options::default()).await?;
        let supervisor = Supervisor::new(embedded);
        Ok(Connected { options: supervisor.connect_options(), supervisor: Some(supervisor) })
    }

    /// Whom to tell at once when the private cluster has ended, if this process started one.
    pub(crate) fn tell(&self, presence: &Presence) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(presence);
        }
    }

    /// Waits until the private cluster, if this process started one, is given up.
    pub(crate) async fn gone(&self) -> StartError {
        match &self.supervisor {
            Some(supervisor) => StartError::Gone(supervisor.failed().await),
            None => std::future::pending().await,
        }
    }

    /// A pool of this many connections.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn pool(&self, connections: u32) -> Result<PgPool, StartError> {
        Ok(pool_options(connections).connect_with(of_ours(&self.options)).await?)
    }

    /// Stops the private cluster, if this process started one.
    pub async fn stop(self) {
        if let Some(supervisor) = self.supervisor
            && let Err(error) = supervisor.stop().await
        {
            tracing::warn!(%error, "the private PostgreSQL did not stop");
        }
    }
}

/// A pool of this many connections to the database at this address, which need not be there yet.
///
/// # Errors
/// When it is no address of a database.
pub(crate) fn read_pool(url: &str, connections: u32) -> Result<PgPool, StartError> {
    let options = parsed("DATABASE_READ_URL", url)?;
    Ok(pool_options(connections).acquire_timeout(ENTRY).connect_lazy_with(of_ours(&options)))
}

fn parsed(variable: &'static str, url: &str) -> Result<PgConnectOptions, StartError> {
    url.parse().map_err(|error: sqlx::Error| StartError::Url(variable, error.to_string()))
}

fn of_ours(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().application_name("deskfold")
}

fn pool_options(connections: u32) -> PgPoolOptions {
    // Compiling a page's query, or trying its joins in every order, takes longer than running it as it is written.
    let pool = PgPoolOptions::new().max_connections(connections).after_connect(|connection, _| {
        Box::pin(async move { connection.execute("set jit = off; set join_collapse_limit = 1").await.map(drop) })
    });
    // Of one just used nothing has to be asked: that would be a round trip before each query.
    pool.test_before_acquire(false).before_acquire(|connection, known| {
        Box::pin(async move {
            if known.idle_for <= FRESH {
                return Ok(true);
            }
            match tokio::time::timeout(ANSWER, connection.ping()).await {
                Ok(answered) => answered.map(|()| true),
                Err(_) => Ok(false),
            }
        })
    })
}

/// Looks whether a database can be used, and if not why: a pool would try for long and tell no reason.
async fn enter(options: &PgConnectOptions) -> Result<(), StartError> {
    let unusable = |reason: String| StartError::Unusable { address: eventstore::address(options), reason };
    let began = std::time::Instant::now();
    loop {
        let connecting = PgConnection::connect_with(options);
        let error = match tokio::time::timeout(ENTRY, connecting).await {
            Ok(Ok(connection)) => {
                let version = connection.server_version_num();
                // The answer is what counts; a failing goodbye says nothing.
                let _ = connection.close().await;
                // 150004 is 15.4.
                return match version {
                    Some(version) if version < OLDEST_VERSION * 10_000 => {
                        let (major, minor) = (version / 10_000, version % 10_000);
                        let reason =
                            format!("it is PostgreSQL {major}.{minor}; Deskfold needs {OLDEST_VERSION} or newer");
                        Err(unusable(reason))
                    }
                    _ => Ok(()),
                };
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = ENTRY.as_secs();
                return Err(unusable(format!(
                    "there is no answer within {seconds} s: the server hangs, or a firewall swallows what is sent"
                )));
            }
        };
        // cannot_connect_now: it is the right one, and starting.
        let starting = error.as_database_error().is_some_and(|error| error.code().is_some_and(|code| code == "57P03"));
        let reason = eventstore::reason(&error, options);
        if !starting || began.elapsed() > RECOVERY {
            return Err(unusable(reason));
        }
        tracing::info!("waiting for the database: {reason}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
