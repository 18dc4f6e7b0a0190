//! The inbox: channels, conversations, their labels and quick replies.

pub mod channel;
pub mod chatbot;
pub mod conversation;
pub mod email;
pub mod label;
pub mod quick_reply;
pub mod script;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<channel::Channel>();
    visitor.visit::<chatbot::Chatbot>();
    visitor.visit::<conversation::Conversation>();
    visitor.visit::<email::Email>();
    visitor.visit::<label::Label>();
    visitor.visit::<quick_reply::QuickReply>();
}
