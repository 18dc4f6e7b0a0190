//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub mod activities;
pub mod comments;
pub mod companies;
pub mod contacts;
pub mod deals;
pub mod enquiries;
pub mod feed;
pub mod leads;
pub mod offers;
pub mod properties;
pub mod relations;
