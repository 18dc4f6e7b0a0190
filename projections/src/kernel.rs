//! What all the others stand on.

pub mod access;
pub mod analytics;
pub(crate) mod as_of;
pub mod author;
pub mod collation;
pub mod columns;
pub(crate) mod cursor;
pub(crate) mod custom_names;
pub(crate) mod described;
pub(crate) mod earlier;
pub(crate) mod engine;
pub(crate) mod export;
pub(crate) mod fold;
pub(crate) mod list;
pub(crate) mod model;
pub(crate) mod models;
pub(crate) mod rebuild;
pub(crate) mod record;
pub mod redirects;
pub(crate) mod registry;
pub mod sight;
pub(crate) mod sql;
pub(crate) mod then;
pub(crate) mod times;
pub(crate) mod told;
pub(crate) mod totals;
