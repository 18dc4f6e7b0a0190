//! What the `deskfold` binary is made of: the HTTP API, configuration, subcommands and the embedded PostgreSQL.

pub mod postgres;
