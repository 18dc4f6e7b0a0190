//! What is to be done: tasks, projects, and the rules that make them.

pub(crate) mod explained;
pub(crate) mod rules;
pub(crate) mod tasks;
pub(crate) mod timers;
pub(crate) mod vocabulary;
