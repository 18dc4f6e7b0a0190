//! What webhooks tell of themselves.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What may come of attempts.
const OUTCOMES: [&str; 4] = ["delivered", "failed", "given_up", "disabled"];

/// Counters and gauges of webhooks. What waits is told by the process that sends; it is 0 in all others.
#[derive(Clone)]
pub(super) struct Metrics {
    /// Records of which an event waits for its next attempt.
    pub(super) waiting: IntGauge,
    /// Events between the end of the log and the webhook that is farthest behind.
    pub(super) behind: IntGauge,
    /// Webhooks whose last attempt failed.
    pub(super) failing: IntGauge,
    pub(super) attempts: IntCounter,
    outcomes: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let outcomes = Opts::new("deskfold_webhook_outcomes_total", "What came of calls to webhooks, by what it was.");
        let metrics = Metrics {
            waiting: IntGauge::new(
                "deskfold_webhook_waiting",
                "Records of which an event waits for another attempt to tell a webhook of it.",
            )?,
            behind: IntGauge::new(
                "deskfold_webhook_behind_events",
                "Events of the log that the webhook farthest behind has not come to.",
            )?,
            failing: IntGauge::new(
                "deskfold_webhook_failing",
                "Webhooks that have taken nothing since an attempt failed.",
            )?,
            attempts: IntCounter::new("deskfold_webhook_attempts_total", "Calls to webhooks.")?,
            outcomes: IntCounterVec::new(outcomes, &["outcome"])?,
        };
        for outcome in OUTCOMES {
            metrics.outcomes.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.behind.clone()))?;
        registry.register(Box::new(metrics.failing.clone()))?;
        registry.register(Box::new(metrics.attempts.clone()))?;
        registry.register(Box::new(metrics.outcomes.clone()))?;
        Ok(metrics)
    }

    /// Counts what came of something.
    pub(super) fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[outcome]).inc();
    }
}
