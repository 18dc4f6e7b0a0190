//! The inbox: conversations, their labels and quick replies.

pub(in crate::http) mod chatbots;
pub(in crate::http) mod conversations;
