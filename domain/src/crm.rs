//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub mod activity;
pub mod comment;
pub mod company;
pub mod contact;
pub mod deal;
pub mod enquiry;
pub mod lead;
pub mod offer;
pub(crate) mod party;
pub mod property;
pub mod relation;
