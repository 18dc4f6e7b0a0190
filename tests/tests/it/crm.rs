//! Whom one deals with and what about: contacts, companies, properties, enquiries, offers, deals.

pub(crate) mod copies;
pub(crate) mod feed_worlds;
pub(crate) mod feeds;
pub(crate) mod followed;
pub(crate) mod merging;
