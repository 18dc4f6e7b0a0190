//! Looks after the private PostgreSQL: starts it again when it ends, and says so when that is no use.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use eventstore::Presence;
use sqlx::postgres::PgConnectOptions;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::postgres::{Embedded, EmbeddedError};

/// So often a start may fail before the process gives up, so that whoever runs it sees that.
const TRIES: u32 = 6;
/// So often for want of space, which somebody may be making: about two minutes.
const TRIES_FOR_SPACE: u32 = 12;
/// So often in a row PostgreSQL may end soon after its start.
const DEATHS: u32 = 20;
/// A server that has lived so long did not end because of how it was started.
const SOUND: Duration = Duration::from_secs(60);
/// How long to wait before the second try; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A private PostgreSQL that is looked after.
pub(crate) struct Supervisor {
    options: PgConnectOptions,
    stopping: CancellationToken,
    presence: Arc<OnceLock<Presence>>,
    failure: watch::Receiver<Option<Arc<EmbeddedError>>>,
    task: JoinHandle<Result<(), EmbeddedError>>,
}

impl Supervisor {
    /// Looks after a cluster that runs.
    pub(crate) fn new(embedded: Embedded) -> Supervisor {
        let options = embedded.connect_options();
        let (failed, failure) = watch::channel(None);
        let (stopping, presence) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        let keeper = Keeper { embedded, stopping: stopping.clone(), presence: Arc::clone(&presence), failed };
        Supervisor { options, stopping, presence, failure, task: tokio::spawn(keeper.run()) }
    }

    /// How to connect to its database.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Whom to tell at once when it has ended.
    pub(crate) fn tell(&self, presence: &Presence) {
        // Told once; a second log of one process would find out by itself.
        let _ = self.presence.set(presence.clone());
    }

    /// Waits until it is given up; why.
    pub(crate) async fn failed(&self) -> Arc<EmbeddedError> {
        let mut failure = self.failure.clone();
        let failed = failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match failed {
            Some(failure) => failure,
            // It was stopped.
            None => std::future::pending().await,
        }
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> Result<(), EmbeddedError> {
        self.stopping.cancel();
        // A keeper that panicked has dropped the cluster, and that stops it.
        self.task.await.unwrap_or(Ok(()))
    }
}

struct Keeper {
    embedded: Embedded,
    stopping: CancellationToken,
    presence: Arc<OnceLock<Presence>>,
    failed: watch::Sender<Option<Arc<EmbeddedError>>>,
}

impl Keeper {
    async fn run(mut self) -> Result<(), EmbeddedError> {
        let stopping = self.stopping.clone();
        let mut deaths = 0;
        loop {
            let began = Instant::now();
            let (cause, log, tail) = tokio::select! {
                biased;
                () = stopping.cancelled() => return self.embedded.stop().await,
                ended = self.embedded.ended() => ended,
            };
            if let Some(presence) = self.presence.get() {
                presence.tell_lost("the private PostgreSQL has ended");
            }
            deaths = if began.elapsed() < SOUND { deaths + 1 } else { 1 };
            tracing::error!(log = %log.display(), "the private PostgreSQL has ended: {cause}; it is started again\n{tail}");
            if deaths > DEATHS {
                self.give_up(EmbeddedError::Dying { times: deaths, cause, log, tail });
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                again = self.start_again(deaths - 1) => if let Err(error) = again {
                    self.give_up(error);
                    return Ok(());
                },
            }
            tracing::info!("the private PostgreSQL runs again");
        }
    }

    /// Tries until it runs, or there is no sense in trying; `deaths` have gone before this one.
    async fn start_again(&mut self, deaths: u32) -> Result<(), EmbeddedError> {
        let mut tries = 0;
        loop {
            tokio::time::sleep(pause(deaths + tries)).await;
            let Err(error) = self.embedded.restart().await else { return Ok(()) };
            tries += 1;
            let limit = if error.wants_space() { TRIES_FOR_SPACE } else { TRIES };
            if tries >= limit || error.is_final() {
                return Err(error);
            }
            let next = pause(deaths + tries).as_secs_f64();
            tracing::error!(tries, "the private PostgreSQL is tried again in {next} s: {error}");
        }
    }

    fn give_up(&self, error: EmbeddedError) {
        tracing::error!("the private PostgreSQL is given up: {error}");
        self.failed.send_replace(Some(Arc::new(error)));
    }
}

/// How long to wait after so many failures.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_started_at_once_and_then_with_growing_pauses() {
        let pauses: Vec<u128> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [0, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
