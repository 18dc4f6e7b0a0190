//! What is sold and who calls.

pub(crate) mod callers;
pub(crate) mod orders;
