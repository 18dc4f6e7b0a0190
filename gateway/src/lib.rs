//! The gateway: HTTP in front of commands and read models, with everything that running Deskfold takes.

pub mod app;
mod auth;
mod bootstrap;
pub mod cli;
pub mod config;
mod http;
mod limits;
pub mod postgres;
mod problem;

pub use app::{App, StartError};
pub use bootstrap::{FirstAdmin, issue_key};
pub use http::{Route, openapi, routes};
