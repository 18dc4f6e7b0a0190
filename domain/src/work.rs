//! What is to be done: tasks, projects, and the rules that make them.

pub mod automation;
pub mod project;
pub mod rule;
pub mod rule_run;
pub mod task;
