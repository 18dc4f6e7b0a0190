//! What is to be done: tasks, projects, the rules that make them, and webhooks.

pub(crate) mod explained;
mod notifications;
pub(crate) mod rules;
pub(crate) mod tasks;
pub(crate) mod timers;
pub(crate) mod vocabulary;
pub(crate) mod webhooks;
