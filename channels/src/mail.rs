//! Mail: how it is read.

pub mod read;
