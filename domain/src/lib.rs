//! Deskfold's pure core: aggregates, events and rules as data; no async, no I/O, no clock, no randomness.

pub mod catalogue;
pub mod chat;
pub mod crm;
pub mod data;
pub mod desk;
pub mod insight;
pub mod kernel;
pub mod org;
pub mod sales;
pub mod work;

pub use crm::party::{Party, PartyKind};
pub use kernel::aggregate::{Aggregate, Claim, Ctx, Decision, Echo, Facts, Need};
pub use kernel::country::Country;
pub use kernel::envelope::{Actor, ActorKind, Metadata, Via};
pub use kernel::id::{Id, Time};
pub use kernel::money::{Currency, Money};
pub use kernel::personal::Personal;
pub use kernel::rejection::{Class, Faults, FieldError, Rejection, all, must};
pub use org::authority::Authority;
