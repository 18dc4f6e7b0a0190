//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub(in crate::http) mod callers;
pub(in crate::http) mod feeds;
