//! What answers events with commands: the reactors and the timers of this process, started and stopped in one place.

use std::sync::Arc;

use domain::Time;
use eventstore::{Handle, Subscription, SubscriptionOptions};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::{Notify, watch};

use crate::{
    Commands,
    rules::Rules,
    timers::{Kind, Timers},
};

/// Waits until a read model has every event up to a position, for a while; whether it has.
pub type Reach = Arc<dyn Fn(&'static str, i64) -> BoxFuture<'static, bool> + Send + Sync>;

/// What time it is: tests move it.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What may become of a rule's run.
const OUTCOMES: [&str; 6] = ["matched", "skipped", "cancelled", "executed", "failed", "parked"];

/// What is counted of reactors and timers. How far reactors are behind is counted with the other subscriptions.
#[derive(Clone, Debug)]
pub struct ReactMetrics {
    runs: IntCounterVec,
    fired: IntCounterVec,
    late: Histogram,
    pub(crate) due: IntGauge,
    pub(crate) parked: IntGauge,
}

impl ReactMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<ReactMetrics, prometheus::Error> {
        let late = HistogramOpts::new("deskfold_timer_late_seconds", "From when a timer was due to when it was fired.");
        let metrics = ReactMetrics {
            runs: IntCounterVec::new(Opts::new("deskfold_rule_runs_total", "Runs of rules by outcome."), &["outcome"])?,
            fired: IntCounterVec::new(Opts::new("deskfold_timers_fired_total", "Timers fired."), &["kind"])?,
            late: Histogram::with_opts(late.buckets(prometheus::exponential_buckets(0.004, 2.5, 14)?))?,
            due: IntGauge::new("deskfold_timers_due", "Timers that are due and not fired yet.")?,
            parked: IntGauge::new(
                "deskfold_rule_runs_parked",
                "Runs of rules that were given up and wait for somebody.",
            )?,
        };
        // There from the start, so that the first failure is an increase and not only a new series.
        for outcome in OUTCOMES {
            metrics.runs(outcome, 0);
        }
        for kind in Kind::ALL {
            metrics.fired.with_label_values(&[kind.name()]);
        }
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.fired.clone()))?;
        registry.register(Box::new(metrics.late.clone()))?;
        registry.register(Box::new(metrics.due.clone()))?;
        registry.register(Box::new(metrics.parked.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn runs(&self, outcome: &str, count: u64) {
        self.runs.with_label_values(&[outcome]).inc_by(count);
    }

    pub(crate) fn fired(&self, kind: &str, late_seconds: f64) {
        self.fired.with_label_values(&[kind]).inc();
        self.late.observe(late_seconds.max(0.0));
    }
}

/// What reactors and timers share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) reach: Reach,
    pub(crate) metrics: ReactMetrics,
    /// Something has become due.
    pub(crate) nudge: Notify,
}

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
