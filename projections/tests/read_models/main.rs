//! The read models against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../eventstore/tests/cluster/mod.rs"]
mod cluster;
mod harness;
mod lists;
mod models;
mod rebuilds;
mod walls;
mod workers;
mod world;
