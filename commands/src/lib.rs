//! The write side: commands in, decided over by the domain, events into the log.

mod cache;
mod dispatch;

pub use cache::Cache;
pub use dispatch::{Accepted, Commands, Metrics, Order, Refused, Written};
