//! The one integration binary: one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod postgres;
mod rooms;
