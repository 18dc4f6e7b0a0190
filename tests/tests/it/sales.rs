//! What is sold and who calls.

pub(crate) mod orders;
