//! The read models against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lists;
mod models;
mod rebuilds;
mod workers;
mod world;
