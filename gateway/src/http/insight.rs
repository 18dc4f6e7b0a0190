//! What reports say.

pub(in crate::http) mod reports;
