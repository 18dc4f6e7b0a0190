//! The gateway: HTTP in front of commands and read models, with everything that running Deskfold takes.

pub mod app;
mod archive;
mod auth;
mod bootstrap;
mod bulk;
pub mod cli;
pub mod config;
mod countries;
pub mod database;
mod former_roles;
mod http;
mod import;
mod intake;
mod limits;
mod live;
mod mail;
mod metrics;
mod notifying;
mod pictures;
pub mod postgres;
mod problem;
mod reads;
mod sealed;
mod sign_in;
mod start;
mod storage;
mod supervisor;
mod uploads;
mod visitors;

pub use app::App;
pub use bootstrap::{FirstAdmin, issue_key};
pub use http::{Route, openapi, pages, routes};
pub use start::{StartError, reserve};

/// Chooses the cryptography behind TLS for this process. Every HTTP client of ours needs it; asking twice is fine.
pub fn install_crypto_provider() {
    // It fails only when one has been chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
