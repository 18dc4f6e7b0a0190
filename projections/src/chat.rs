//! The inbox: conversations, their labels and quick replies.

pub mod conversation_messages;
pub mod conversations;
pub mod labels;
