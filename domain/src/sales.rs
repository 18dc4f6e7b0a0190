//! What is sold and who calls.

pub mod call;
pub mod order;
