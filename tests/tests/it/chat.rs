//! The inbox: channels, conversations, their labels and quick replies.

pub(crate) mod bots;
pub(crate) mod channels;
pub(crate) mod door;
mod everywhere;
pub(crate) mod guests;
pub(crate) mod inbox;
pub(crate) mod live;
pub(crate) mod mail;
pub(crate) mod messengers;
pub(crate) mod outbox;
pub(crate) mod replies;
pub(crate) mod visitors;
