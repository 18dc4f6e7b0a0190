//! What the gateway itself counts: requests, and what is looked up when somebody asks for the metrics.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What is counted of requests.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    pub(crate) seconds: HistogramVec,
    pub(crate) total: IntCounterVec,
}

impl Requests {
    pub(crate) fn new(registry: &Registry) -> Result<Requests, prometheus::Error> {
        let buckets = prometheus::exponential_buckets(0.0005, 2.0, 15)?;
        let seconds = HistogramOpts::new("deskfold_http_request_seconds", "From a request's head to its answer's.");
        let total = Opts::new("deskfold_http_requests_total", "Requests by route and status.");
        let metrics = Requests {
            seconds: HistogramVec::new(seconds.buckets(buckets), &["method", "route"])?,
            total: IntCounterVec::new(total, &["method", "route", "status"])?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.total.clone()))?;
        Ok(metrics)
    }
}

/// What is looked up when somebody asks for the metrics.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    pub(crate) pool: IntGaugeVec,
    pub(crate) position: IntGauge,
    pub(crate) database_up: IntGauge,
}

impl Gauges {
    pub(crate) fn new(registry: &Registry) -> Result<Gauges, prometheus::Error> {
        let pool = Opts::new("deskfold_pool_connections", "Database connections of this process by state.");
        let gauges = Gauges {
            pool: IntGaugeVec::new(pool, &["state"])?,
            position: IntGauge::new("deskfold_log_position", "The last position of the log that this process knows.")?,
            database_up: IntGauge::new("deskfold_database_up", "1 while the database answers, else 0.")?,
        };
        registry.register(Box::new(gauges.database_up.clone()))?;
        registry.register(Box::new(gauges.pool.clone()))?;
        registry.register(Box::new(gauges.position.clone()))?;
        Ok(gauges)
    }
}
