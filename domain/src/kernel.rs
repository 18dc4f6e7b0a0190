//! What all the others stand on.

pub mod access;
pub mod aggregate;
pub mod any;
pub mod choice;
pub mod color;
pub mod country;
pub mod custom;
pub mod email;
pub mod envelope;
pub mod external;
pub mod files;
pub mod filter;
#[cfg(test)]
pub(crate) mod given;
pub(crate) mod id;
pub mod limits;
pub mod listing;
pub mod mention;
pub mod merging;
pub mod money;
pub mod named;
pub(crate) mod personal;
pub mod phone;
pub mod record;
pub mod reference;
pub(crate) mod rejection;
pub(crate) mod said;
pub mod schema;
pub mod search;
pub mod snapshot;
pub(crate) mod sorted;
pub mod text;
pub mod undo;
pub mod valid;
