//! How the log works.

use std::time::Duration;

use crate::metrics::Metrics;

/// How the log works. The defaults suit a help desk on a small machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Batches in flight at once, each on a connection of its own.
    pub writers: usize,
    /// Most appends in a batch.
    pub batch_appends: usize,
    /// Most events in a batch of several appends.
    pub batch_events: usize,
    /// Most bytes in a batch of several appends.
    pub batch_bytes: usize,
    /// Most appends waiting; more are turned away as unavailable.
    pub queue: usize,
    /// How long a batch is tried again while the database cannot be reached.
    pub patience: Duration,
    /// Most bytes of data and metadata of one event.
    pub event_bytes: usize,
    /// Most events in one append.
    pub append_events: usize,
    /// Send a hint to other processes with each batch, as long as others listen, and listen to theirs.
    pub notify: bool,
    /// How often the head is looked up when no hint comes.
    pub poll: Duration,
    /// How many recent events stay in memory for the subscriptions of this process.
    pub tail_events: usize,
    /// How many of this process's subscriptions read pages or write at once, in turn, each turn on a connection of its own:
    /// many that have much to do leave connections and processors to those who wait for an answer.
    pub workers: usize,
    /// How many empty partitions lie ready beyond the head.
    pub partitions_ahead: u16,
    /// How long command ids are remembered: at least a day.
    pub command_retention: Duration,
    /// What is counted; `None` counts for nobody.
    pub metrics: Option<Metrics>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writers: 2,
            batch_appends: 1024,
            batch_events: 4096,
            batch_bytes: 4 << 20,
            queue: 65_536,
            patience: Duration::from_secs(30),
            event_bytes: 8 << 20,
            append_events: 10_000,
            notify: true,
            poll: Duration::from_millis(250),
            tail_events: 16_384,
            workers: 4,
            partitions_ahead: 2,
            command_retention: Duration::from_secs(30 * 24 * 60 * 60),
            metrics: None,
        }
    }
}
