//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub mod activities;
pub mod comments;
pub mod contacts;
pub mod feed;
pub mod offers;
pub mod relations;
