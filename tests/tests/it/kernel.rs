//! What all the others stand on.

pub(crate) mod clients;
pub(crate) mod comforts;
pub(crate) mod commands;
pub(crate) mod exports;
pub(crate) mod health;
pub(crate) mod lists;
pub(crate) mod log_api;
pub(crate) mod openapi;
pub(crate) mod past;
pub(crate) mod references;
pub(crate) mod values;
pub(crate) mod writes;
