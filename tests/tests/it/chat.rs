//! The inbox: conversations, their labels and quick replies.

pub(crate) mod bots;
pub(crate) mod inbox;
pub(crate) mod replies;
