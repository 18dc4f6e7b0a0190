//! What all the others stand on.

pub(in crate::http) mod commands;
pub(in crate::http) mod csv;
pub(in crate::http) mod events;
pub(in crate::http) mod exports;
pub(in crate::http) mod faults;
pub(in crate::http) mod health;
pub(in crate::http) mod internal;
pub(in crate::http) mod lists;
pub(in crate::http) mod moment;
pub(in crate::http) mod parquet;
pub(in crate::http) mod request;
pub(in crate::http) mod routes;
pub(in crate::http) mod rows;
pub(in crate::http) mod stream;
pub(in crate::http) mod walls;
pub(in crate::http) mod write;
