//! What reports count, and the reports themselves.

pub mod facts;
pub mod reports;
pub mod search;
