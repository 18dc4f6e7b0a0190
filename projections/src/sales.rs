//! What is sold and who calls.

pub mod calls;
pub mod orders;
