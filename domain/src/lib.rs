//! Deskfold's pure core: aggregates, events and rules as data; no async, no I/O, no clock, no randomness.

pub mod api_key;
pub mod catalogue;
pub mod color;
pub mod company;
pub mod contact;
pub mod custom;
pub mod deal;
pub mod enquiry;
pub mod entitlement;
pub mod envelope;
pub mod external;
pub mod field;
pub mod filter;
#[cfg(test)]
mod given;
mod id;
pub mod import;
pub mod kernel;
pub mod lead;
mod money;
pub mod named;
pub mod offer;
mod party;
mod personal;
pub mod product;
pub mod product_category;
pub mod project;
pub mod property;
pub mod record;
pub mod reference;
mod rejection;
pub mod role;
pub mod team;
pub mod tenant;
pub mod ticket;
pub mod user;
pub mod valid;

pub use envelope::{Actor, ActorKind, Metadata, Via};
pub use id::{Id, Time};
pub use kernel::{Aggregate, Claim, Ctx, Decision, Echo, Facts, Need};
pub use money::{Currency, Money};
pub use party::{Party, PartyKind};
pub use personal::Personal;
pub use rejection::{Class, FieldError, Rejection};
