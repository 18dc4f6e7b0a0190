//! What is to be done: tasks, projects, the rules that make them, and webhooks.

pub mod causation;
pub mod notifications;
pub mod rule_runs;
pub mod rules;
pub mod tasks;
pub mod timers;
pub mod webhooks;
