//! What answers events with commands: the reactors and the timers of this process, started and stopped in one place.

use std::sync::Arc;

use eventstore::{Handle, Subscription, SubscriptionOptions};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    Commands,
    acting::{Clock, Reach, ReactMetrics, Shared},
    rules::Rules,
    timers::Timers,
};

/// The reactors and timers of this process. Of all workers of a reactor in all processes one at a time works; timers are
/// shared out among all.
pub struct Reactors {
    shared: Arc<Shared>,
    rules: Mutex<Option<Handle>>,
    position: watch::Receiver<i64>,
    timers: Timers,
}

impl Reactors {
    /// Starts them.
    pub fn start(commands: &Commands, clock: Clock, reach: Reach, metrics: ReactMetrics) -> Reactors {
        let log = commands.log();
        let shared = Arc::new(Shared { clock, reach, metrics, nudge: Notify::new() });
        // From the first event on: rules answer events as of then, and every answer exists once.
        let options = SubscriptionOptions { relaxed_commit: false, ..SubscriptionOptions::default() };
        let rules = Rules::new(commands.clone(), Arc::clone(&shared));
        let rules = Subscription::spawn(log, rules, options, log.metrics().clone());
        let position = rules.position();
        let timers = Timers::start(commands.clone(), Arc::clone(&shared), position.clone());
        Reactors { shared, rules: Mutex::new(Some(rules)), position, timers }
    }

    /// The clock was moved: what is due now is fired now.
    pub fn nudge(&self) {
        self.shared.nudge.notify_one();
    }

    /// Waits until every event up to a position has been answered and everything that is due now has been fired, by
    /// whatever process. Without limit: put a timeout around it.
    ///
    /// # Errors
    /// When they have stopped.
    pub async fn settle(&self, position: i64) -> Result<(), eventstore::Error> {
        let stopped = || eventstore::Error::Invalid("the reactors have stopped".into());
        self.position.clone().wait_for(|reached| *reached >= position).await.map_err(|_| stopped())?;
        self.timers.settle().await.ok_or_else(stopped)
    }

    /// Finishes what is under way and gives up the leases.
    pub async fn stop(&self) {
        self.timers.stop().await;
        let rules = self.rules.lock().take();
        if let Some(rules) = rules {
            rules.stop().await;
        }
    }
}
