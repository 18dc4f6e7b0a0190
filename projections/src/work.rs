//! What is to be done: tasks, projects, and the rules that make them.

pub mod causation;
pub mod rule_runs;
pub mod rules;
pub mod tasks;
pub mod timers;
