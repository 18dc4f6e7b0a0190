//! What is brought in from elsewhere.

pub mod import;
