//! What the log tells Prometheus.

use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, IntGaugeVec, Opts, Registry};

/// Counters, gauges and histograms of the log. Cheap to clone; without a registry they count for nobody.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) appends: IntCounter,
    pub(crate) append_events: prometheus::IntCounterVec,
    pub(crate) append_short: IntCounter,
    pub(crate) append_conflicts: IntCounter,
    pub(crate) append_retries: IntCounter,
    pub(crate) append_batch_size: Histogram,
    pub(crate) append_seconds: Histogram,
    pub(crate) lag_positions: IntGaugeVec,
    pub(crate) lag_seconds: GaugeVec,
    pub(crate) parked: IntGaugeVec,
    pub(crate) handled: prometheus::IntCounterVec,
    pub(crate) tail: prometheus::IntCounterVec,
}

impl Metrics {
    /// Makes them and registers them as `deskfold_*`.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::unregistered()?;
        registry.register(Box::new(metrics.appends.clone()))?;
        registry.register(Box::new(metrics.append_events.clone()))?;
        registry.register(Box::new(metrics.append_short.clone()))?;
        registry.register(Box::new(metrics.append_conflicts.clone()))?;
        registry.register(Box::new(metrics.append_retries.clone()))?;
        registry.register(Box::new(metrics.append_batch_size.clone()))?;
        registry.register(Box::new(metrics.append_seconds.clone()))?;
        registry.register(Box::new(metrics.lag_positions.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.parked.clone()))?;
        registry.register(Box::new(metrics.handled.clone()))?;
        registry.register(Box::new(metrics.tail.clone()))?;
        Ok(metrics)
    }

    /// Metrics nobody reads.
    ///
    /// # Errors
    /// Never, as long as the names below are valid.
    pub fn unregistered() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::with_opts(Opts::new(name, help).namespace("deskfold"));
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            Histogram::with_opts(HistogramOpts::new(name, help).namespace("deskfold").buckets(buckets))
        };
        let of_subscription = ["subscription", "version"];
        let gauge = |name: &str, help: &str| Opts::new(name, help).namespace("deskfold");
        Ok(Self {
            appends: counter("appends_total", "Appends accepted.")?,
            append_events: prometheus::IntCounterVec::new(
                gauge("append_events_total", "Events written by this process."),
                &["type"],
            )?,
            append_short: counter("append_short_total", "Appends accepted that were alone and went the short way.")?,
            append_conflicts: counter(
                "append_conflicts_total",
                "Appends refused: a stream had another version or a key was taken.",
            )?,
            append_retries: counter(
                "append_retries_total",
                "Batches sent again after a lost race or a lost connection.",
            )?,
            append_batch_size: histogram(
                "append_batch_size",
                "Appends per batch.",
                prometheus::exponential_buckets(1.0, 2.0, 12)?,
            )?,
            append_seconds: histogram(
                "append_seconds",
                "Time from asking for an append to its answer.",
                prometheus::exponential_buckets(0.000_125, 2.0, 18)?,
            )?,
            lag_positions: IntGaugeVec::new(
                gauge("subscription_lag_positions", "Events a subscription has not handled yet."),
                &of_subscription,
            )?,
            lag_seconds: GaugeVec::new(
                gauge("subscription_lag_seconds", "Age of the oldest event a subscription has not handled yet."),
                &of_subscription,
            )?,
            parked: IntGaugeVec::new(gauge("parked_events", "Events parked by a subscription."), &of_subscription)?,
            handled: prometheus::IntCounterVec::new(
                gauge("subscription_events_total", "Events a subscription has handled."),
                &of_subscription,
            )?,
            tail: prometheus::IntCounterVec::new(
                gauge(
                    "log_tail_events_total",
                    "New events this process learned of: own, or brought by postgresql or nats.",
                ),
                &["source"],
            )?,
        })
    }

    /// Counts events of these types from 0, so that the first one of each is an increase and not only a new series.
    #[must_use]
    pub fn expecting(self, types: impl IntoIterator<Item = String>) -> Self {
        for kind in types {
            self.append_events.with_label_values(&[kind]);
        }
        self
    }

    /// Says no more how a subscription stands: whoever works on it now does.
    pub(crate) fn forget(&self, subscription: &[String; 2]) {
        // What was never told of cannot be removed, and need not be.
        let _ = self.lag_positions.remove_label_values(subscription);
        let _ = self.lag_seconds.remove_label_values(subscription);
        let _ = self.parked.remove_label_values(subscription);
    }

    /// Batches written so far.
    pub fn batches(&self) -> f64 {
        self.append_batch_size.get_sample_count() as f64
    }

    /// Appends accepted so far.
    pub fn appended(&self) -> f64 {
        self.appends.get() as f64
    }

    /// How many of them went the short way.
    pub fn short(&self) -> f64 {
        self.append_short.get() as f64
    }
}
