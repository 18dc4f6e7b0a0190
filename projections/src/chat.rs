//! The inbox: channels, conversations, their labels and quick replies.

pub mod channels;
pub mod conversation_messages;
pub mod conversations;
pub mod emails;
pub mod labels;
