//! What answers events with commands: the reactors and the timers of this process, started and stopped in one place.

use std::sync::Arc;

use eventstore::{Handle, Handler, Log, Start, Subscription, SubscriptionOptions};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Commands,
    acting::{Clock, Reach, ReactMetrics, Shared},
    bots::Bots,
    channel_policies::ChannelPolicies,
    notices::Notices,
    notifications::Notifications,
    rules::Rules,
    team_forms::TeamForms,
    timers::Timers,
};

/// The reactors and timers of this process. Of all workers of a reactor in all processes one at a time works; timers are
/// shared out among all.
pub struct Reactors {
    shared: Arc<Shared>,
    reactors: Mutex<Vec<Handle>>,
    timers: Timers,
}

/// Starts one, from the first event on: it answers events as of then, and every answer exists once.
fn spawn(log: &Log, reactor: impl Handler) -> Handle {
    spawn_at(log, reactor, Start::Beginning)
}

/// The same from where it is told to begin.
fn spawn_at(log: &Log, reactor: impl Handler, start: Start) -> Handle {
    let options = SubscriptionOptions { relaxed_commit: false, start, ..SubscriptionOptions::default() };
    Subscription::spawn(log, reactor, options, log.metrics().clone())
}

impl Reactors {
    /// Starts them.
    pub fn start(commands: &Commands, clock: Clock, reach: Reach, metrics: ReactMetrics) -> Reactors {
        let log = commands.log();
        let shared = Arc::new(Shared { clock, reach, metrics, nudge: Notify::new() });
        let rules = spawn(log, Rules::new(commands.clone(), Arc::clone(&shared)));
        let channels = spawn(log, ChannelPolicies::new(commands.clone(), Arc::clone(&shared.clock)));
        let timers = Timers::start(commands.clone(), Arc::clone(&shared), rules.position());
        let bots = spawn(log, Bots::new(commands.clone()));
        let team_forms = spawn(log, TeamForms::new(commands.clone()));
        // What failed before there were notices calls nobody now.
        let notices = spawn_at(log, Notices::new(commands.clone(), Arc::clone(&shared.clock)), Start::Now);
        // The same of what concerned somebody.
        let notifications = Notifications::new(commands.clone(), Arc::clone(&shared.clock));
        let notifications = spawn_at(log, notifications, Start::Now);
        // A further reactor is a further line here.
        let reactors = vec![rules, channels, bots, team_forms, notices, notifications];
        Reactors { shared, reactors: Mutex::new(reactors), timers }
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
        let positions: Vec<_> = self.reactors.lock().iter().map(Handle::position).collect();
        for mut reached in positions {
            reached.wait_for(|reached| *reached >= position).await.map_err(|_| stopped())?;
        }
        self.timers.settle().await.ok_or_else(stopped)
    }

    /// Finishes what is under way and gives up the leases.
    pub async fn stop(&self) {
        self.timers.stop().await;
        let reactors = std::mem::take(&mut *self.reactors.lock());
        for reactor in reactors {
            reactor.stop().await;
        }
    }
}
