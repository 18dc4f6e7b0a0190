//! The inbox: conversations, their labels and quick replies.

pub(in crate::http) mod conversations;
pub(in crate::http) mod inbox;
