//! The one integration binary: one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod comforts;
mod commands;
mod crash;
mod explained;
mod feed_worlds;
mod feeds;
mod ground;
mod harness;
mod health;
mod imports;
mod inbox;
mod lists;
mod log_api;
mod nats;
mod newcomer;
mod openapi;
mod past;
mod postgres;
mod products;
mod program;
mod replies;
mod rights;
mod rooms;
mod rules;
mod sales;
mod settings;
mod story;
mod tenancy;
mod tickets;
mod timers;
mod work;
mod world;
mod writes;
