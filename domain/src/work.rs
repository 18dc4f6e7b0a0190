//! What is to be done: tasks, projects, the rules that make them, what colleagues are told, and the webhooks that tell others of it all.

pub mod automation;
pub mod notification;
pub mod project;
pub mod rule;
pub mod rule_run;
pub mod task;
pub mod webhook;

/// Shows the kinds of record of this context to a visitor.
pub(crate) fn kinds(visitor: &mut impl crate::catalogue::Visitor) {
    visitor.visit::<project::Project>();
    visitor.visit::<task::Task>();
    visitor.visit::<rule::Rule>();
    visitor.visit::<rule_run::RuleRun>();
    visitor.visit::<webhook::Webhook>();
    visitor.visit::<notification::Notification>();
}
