//! What is to be done: tasks, projects, and the rules that make them.

pub(in crate::http) mod explained;
pub(in crate::http) mod rules;
