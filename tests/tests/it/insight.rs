//! Reports: what they count, and against what they are checked.

pub(crate) mod history;
pub(crate) mod reports;
