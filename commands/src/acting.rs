//! What reactors, timers and runs share: the clock, what they wait for, what is due, what they count.

use std::sync::Arc;

use domain::{
    Id, Need, Time,
    desk::ticket::Ticket,
    work::{rule_run::RuleRun, task::Task},
};
use futures::{StreamExt, future::BoxFuture, stream};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Cause;

/// Commands under way at once: few enough that people's commands find room between them.
const CONCURRENT: usize = 32;

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

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RuleRun,
    TaskDueSoon,
    TaskOverdue,
    TicketWake,
    HandOver,
}

impl Kind {
    pub(crate) const ALL: [Kind; 5] =
        [Kind::RuleRun, Kind::TaskDueSoon, Kind::TaskOverdue, Kind::TicketWake, Kind::HandOver];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::RuleRun => "rule_run",
            Kind::TaskDueSoon => "task_due_soon",
            Kind::TaskOverdue => "task_overdue",
            Kind::TicketWake => "ticket_wake",
            Kind::HandOver => "hand_over",
        }
    }
}

/// Tenant, row and cause: a timer that is set anew is another one.
pub(crate) type Key = (String, String, String);

/// A timer that is due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) key: Key,
    pub(crate) tenant: Id,
    pub(crate) kind: Kind,
    pub(crate) record: Id,
    pub(crate) due_at: Time,
    pub(crate) cause: Cause,
}

impl Due {
    /// The record that is asked first.
    pub(crate) fn need(&self) -> Option<Need> {
        match self.kind {
            Kind::RuleRun => Some(Need::of::<RuleRun>(self.record)),
            Kind::TaskDueSoon | Kind::TaskOverdue => Some(Need::of::<Task>(self.record)),
            Kind::TicketWake => Some(Need::of::<Ticket>(self.record)),
            Kind::HandOver => None,
        }
    }
}

/// What came of firing a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// It was fired.
    Done,
    /// There was nothing to do any more.
    Nothing,
    /// It has to be fired again.
    Later,
}

/// A command's id that follows from its parts.
pub(crate) fn command_id(parts: &[&str]) -> Uuid {
    Uuid::from_u128(Id::named(parts).bits())
}

/// What comes of futures, some of which run at once, in their order.
pub(crate) async fn at_once<T: Send>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(futures).buffered(CONCURRENT).collect().await
}
