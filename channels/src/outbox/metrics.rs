//! What the outbox tells of itself.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::Outcome;

/// Counters and gauges of an outbox. What waits is told by the process that sends; it is 0 in all others.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) waiting: IntGauge,
    /// Seconds since the oldest of what waits was to leave.
    pub(super) oldest: Gauge,
    pub(super) attempts: IntCounter,
    outcomes: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let outcomes = Opts::new("deskfold_outbox_outcomes_total", "What came of attempts to send, by what it was.");
        let metrics = Metrics {
            waiting: IntGauge::new("deskfold_outbox_waiting", "Messages that are to leave and have not yet.")?,
            oldest: Gauge::new(
                "deskfold_outbox_oldest_seconds",
                "For how long the oldest of the messages that are to leave has waited.",
            )?,
            attempts: IntCounter::new("deskfold_outbox_attempts_total", "Attempts to send a message.")?,
            outcomes: IntCounterVec::new(outcomes, &["outcome"])?,
        };
        for outcome in ["sent", "later", "failed", "uncertain"] {
            metrics.outcomes.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.oldest.clone()))?;
        registry.register(Box::new(metrics.attempts.clone()))?;
        registry.register(Box::new(metrics.outcomes.clone()))?;
        Ok(metrics)
    }

    /// Counts what came of an attempt.
    pub(super) fn count(&self, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Sent { .. } => "sent",
            Outcome::Later { .. } => "later",
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { .. } => "uncertain",
        };
        self.outcomes.with_label_values(&[outcome]).inc();
    }
}
