//! What reports say, and what views show.

pub(in crate::http) mod reports;
pub(in crate::http) mod search;
pub(in crate::http) mod views;
