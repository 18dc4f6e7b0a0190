//! The inbox: channels, conversations, their labels and quick replies.

pub(in crate::http) mod channels;
pub(in crate::http) mod chatbots;
pub(in crate::http) mod conversations;
pub(in crate::http) mod emails;
pub(in crate::http) mod inbox;
pub(in crate::http) mod messengers;
pub(in crate::http) mod visitors;
