//! The inbox: conversations, their labels and quick replies.

pub mod conversation;
pub mod label;
pub mod quick_reply;
