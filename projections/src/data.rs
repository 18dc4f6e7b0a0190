//! What is brought in from elsewhere, and what is done to many records at once.

pub mod bulk;
pub mod deliveries;
pub mod imports;
