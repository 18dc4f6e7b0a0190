//! What is to be done: tasks, projects, the rules that make them, and webhooks.

pub(in crate::http) mod explained;
pub(in crate::http) mod notifications;
pub(in crate::http) mod rules;
pub(in crate::http) mod webhooks;
