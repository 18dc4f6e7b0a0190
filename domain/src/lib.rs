//! Deskfold's pure core: aggregates, events and rules as data; no async, no I/O, no clock, no randomness.

pub mod catalogue;
pub mod custom;
pub mod envelope;
pub mod field;
//pub mod filter;
#[cfg(test)]
mod given;
mod id;
pub mod kernel;
mod money;
pub mod named;
mod party;
mod personal;
pub mod record;
mod rejection;

//pub mod ticket;

pub use envelope::{Actor, ActorKind, Metadata, Via};
pub use id::{Id, Time};
pub use kernel::{Aggregate, Claim, Ctx, Decision, Echo, Facts, Need};
pub use money::{Currency, Money};
pub use party::{Party, PartyKind};
pub use personal::Personal;
pub use rejection::{Class, FieldError, Rejection};
