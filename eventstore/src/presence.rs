//! Whether the database is there: asked all the time on a connection of its own, so that nobody waits to find out.
//!
//! Work that needs the database goes through [`Presence::guard`]: it ends as soon as the database is lost, whether its
//! server is gone or only hangs, and begins again only when the server has accepted a new connection.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::reason::{address, reason};

/// How often it is asked while it answers.
const BEAT: Duration = Duration::from_millis(250);
/// How often while it does not.
const RETRY: Duration = Duration::from_millis(100);
/// How often it is asked to accept a new connection: a server may serve those it has and hang all the same.
const RENEW: Duration = Duration::from_secs(2);
/// Asked on behalf of slow work, at most this often.
const RENEW_SOONER: Duration = Duration::from_millis(500);
/// How long an answer may take, as so many waits of this length: where this process itself is held up, that is not the
/// database's fault.
const WAIT: Duration = Duration::from_millis(50);
const WAITS: u32 = 18;
/// Work that takes longer makes the database suspect.
const SUSPICIOUS: Duration = Duration::from_millis(300);

/// Whether the database is there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Why it is away; `None` while it is there.
    away: watch::Sender<Option<Arc<str>>>,
    suspected: Notify,
}

/// The database is away, or was lost before the work was done: how much of it was done is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the database is away: {0}")]
pub struct Lost(Arc<str>);

impl Lost {
    /// Found out by work on it.
    pub(crate) fn because(error: &sqlx::Error) -> Lost {
        Lost(error.to_string().into())
    }
}

impl From<Lost> for sqlx::Error {
    fn from(lost: Lost) -> Self {
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, lost.to_string()))
    }
}

impl Presence {
    /// Whether it is there, as far as is known.
    pub fn is_there(&self) -> bool {
        self.shared.away.borrow().is_none()
    }

    /// Why it is not there.
    pub fn why_away(&self) -> Option<Arc<str>> {
        self.shared.away.borrow().clone()
    }

    /// Waits until it is away; why.
    pub async fn lost(&self) -> Lost {
        let mut away = self.shared.away.subscribe();
        let why = match away.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            // The sender lives as long as this does.
            Err(_) => None,
        };
        Lost(why.unwrap_or_else(|| "unknown".into()))
    }

    /// Waits until it is there.
    pub async fn found(&self) {
        // The sender lives as long as this does.
        let _ = self.shared.away.subscribe().wait_for(Option::is_none).await;
    }

    /// Somebody knows already that it is away: nobody has to find out.
    pub fn tell_lost(&self, why: &str) {
        self.shared.lose(why.into());
        self.shared.suspected.notify_one();
    }

    /// Works as long as the database is there.
    ///
    /// # Errors
    /// When it is away, or is lost before the work is done.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        if let Some(why) = self.why_away() {
            return Err(Lost(why));
        }
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            lost = self.lost() => return Err(lost),
            () = tokio::time::sleep(SUSPICIOUS) => self.shared.suspected.notify_one(),
        }
        tokio::select! {
            biased;
            done = work => Ok(done),
            lost = self.lost() => Err(lost),
        }
    }
}

/// Begins to ask, of a database that has just answered.
pub(crate) fn start(pool: &PgPool) -> (Presence, JoinHandle<()>) {
    let shared = Arc::new(Shared { away: watch::Sender::new(None), suspected: Notify::new() });
    let task = tokio::spawn(Arc::clone(&shared).watch(pool.clone()));
    (Presence { shared }, task)
}

impl Shared {
    async fn watch(self: Arc<Self>, pool: PgPool) {
        let options = pool.connect_options().as_ref().clone().application_name("deskfold presence");
        let options = options.disable_statement_logging();
        let mut kept: Option<PgConnection> = None;
        let mut renewed = Instant::now();
        let mut suspected = false;
        loop {
            let there = self.away.borrow().is_none();
            let old = renewed.elapsed() >= if suspected { RENEW_SOONER } else { RENEW };
            // What was lost is found again only by a new connection: an old one may outlive its server for a moment.
            let fresh = !there || old;
            let answered = if pool.is_closed() {
                Err("its connections are closed".into())
            } else if fresh {
                let connected = connect(&options).await;
                connected.map(|connection| {
                    renewed = Instant::now();
                    kept = connection;
                })
            } else {
                ask(&mut kept, &options).await
            };
            match answered {
                Ok(()) => self.find(),
                Err(why) => {
                    kept = None;
                    self.lose(format!("{}: {why}", address(&options)).into());
                }
            }
            let pause = if self.away.borrow().is_none() { BEAT } else { RETRY };
            suspected = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = self.suspected.notified() => true,
            };
        }
    }

    fn lose(&self, why: Arc<str>) {
        self.away.send_if_modified(|away| {
            let lost = away.is_none();
            if lost {
                tracing::error!(%why, "the database is away: requests are answered 503 until it is back");
            }
            if away.as_ref() != Some(&why) {
                *away = Some(why);
            }
            lost
        });
    }

    fn find(&self) {
        self.away.send_if_modified(|away| {
            let found = away.take().is_some();
            if found {
                tracing::info!("the database is back");
            }
            found
        });
    }
}

/// Asks on the connection that is kept; when only that has ended, on a new one.
async fn ask(kept: &mut Option<PgConnection>, options: &PgConnectOptions) -> Result<(), String> {
    if let Some(connection) = kept {
        match in_time(connection.ping()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(_)) => {}
            None => return Err(no_answer()),
        }
    }
    *kept = connect(options).await?;
    Ok(())
}

/// A new connection; none when the server is there and has just no connection to spare.
async fn connect(options: &PgConnectOptions) -> Result<Option<PgConnection>, String> {
    match in_time(PgConnection::connect_with(options)).await {
        Some(Ok(connection)) => Ok(Some(connection)),
        // too_many_connections
        Some(Err(sqlx::Error::Database(error))) if error.code().is_some_and(|code| code == "53300") => Ok(None),
        Some(Err(error)) => Err(reason(&error, options)),
        None => Err(no_answer()),
    }
}

fn no_answer() -> String {
    "it accepts connections and does not answer".into()
}

/// Waits for an answer as long as one may take.
async fn in_time<T>(answer: impl Future<Output = T>) -> Option<T> {
    let patience = async {
        for _ in 0..WAITS {
            tokio::time::sleep(WAIT).await;
        }
    };
    tokio::select! {
        biased;
        answered = answer => Some(answered),
        () = patience => None,
    }
}
