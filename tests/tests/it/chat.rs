//! The inbox: conversations, their labels and quick replies.

pub(crate) mod inbox;
pub(crate) mod live;
pub(crate) mod replies;
