//! What reports say, the dashboards that show it, what views show, and what is found.

pub(in crate::http) mod called;
pub(in crate::http) mod changes;
pub(in crate::http) mod dashboards;
pub(in crate::http) mod reports;
pub(in crate::http) mod search;
pub(in crate::http) mod views;
