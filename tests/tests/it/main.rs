//! The one integration binary: one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chat;
mod crm;
mod data;
mod desk;
mod ground;
mod harness;
mod insight;
mod kernel;
mod org;
mod sales;
mod web;
mod work;
mod world;
