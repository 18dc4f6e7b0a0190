//! What tasks are counted by, and what is measured of them.

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    kernel::{custom::Change, filter::FieldKind},
    work::task::{Event, Task},
};

pub(super) const SOURCE: Source =
    Source { kind: "task", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Task> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("open", FieldKind::Bool),
    Dimension::of("overdue", FieldKind::Bool),
    Dimension::of("priority", FieldKind::Integer),
    Dimension::refers("assignee_id", &["user"]),
    Dimension::refers("project_id", &["project"]),
    Dimension::refers("rule_run_id", &["rule_run"]),
    Dimension { via: Some(("rule_run_id", "rule_run", "rule_id")), ..Dimension::refers("rule_id", &["rule"]) },
];

const MEASURES: &[Measure] = &[
    Measure::count("created", How::Each(&["created"]), "Tasks created."),
    Measure::count(
        "completed",
        How::Last { of: "completed", undone: "reopened" },
        "Tasks done and not reopened since, each when it was done last.",
    ),
    Measure::count(
        "cancelled",
        How::Last { of: "cancelled", undone: "reopened" },
        "Tasks called off and not reopened since, each when it was called off last.",
    ),
    Measure::count("completions", How::Each(&["completed"]), "Each time a task was done, those taken back too."),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening."),
    Measure::count("assigned", How::Each(&["assigned"]), "Every assignment to a user."),
    Measure::count("overdue", How::Each(&["overdue"]), "Each time the time of a task came and it was not done."),
    Measure::count(
        "backlog",
        How::Level { dimension: "open", value: "true", within: None },
        "Tasks neither done nor called off at the end of each period.",
    ),
    Measure::seconds(
        "time_to_start",
        How::First { from: "created", to: &["started"] },
        "From the beginning until somebody set to work for the first time, counted then.",
    ),
    Measure::seconds(
        "first_completion",
        How::First { from: "created", to: &["completed"] },
        "From the beginning until the task was done for the first time, counted then.",
    ),
    Measure::seconds(
        "time_to_complete",
        How::Whole { from: "created", to: &["completed"], undone: "reopened" },
        "From the beginning until the task was done for good, counted then.",
    ),
    Measure::seconds(
        "time_with_assignee",
        How::Held { dimension: "assignee_id", within: Some(("open", "true")) },
        "Each stretch in which a user was to do an open task, counted when it ends.",
    ),
    Measure::share(
        "completion_rate",
        How::Outcome { from: Some("created"), hoped: "completed", others: &["cancelled"], undone: Some("reopened") },
        "Of the tasks created, counted then, those that have been done.",
    ),
];

/// Whether it is still to be done.
fn stands(status: &'static str, open: bool) -> [Fact; 2] {
    [Fact::value("status", status), Fact::value("open", open)]
}

impl Tells for Task {
    fn facts(event: Event) -> Vec<Fact> {
        let with = |moment: &'static str, status, open| {
            [Fact::moment(moment)].into_iter().chain(stands(status, open)).collect()
        };
        match event {
            Event::Created(details) => {
                let mut facts: Vec<Fact> = with("created", "open", true);
                facts.push(Fact::value("overdue", false));
                facts.push(Fact::value("priority", details.priority.level()));
                facts.extend(details.project.map(|project| Fact::id("project_id", Some(project))));
                facts.extend(details.rule_run.map(|run| Fact::id("rule_run_id", Some(run))));
                facts
            }
            Event::DetailsChanged { changes } => {
                let changed = |(key, change): (String, Change)| match key.as_str() {
                    "priority" => Some(Fact::value("priority", change.to)),
                    "project" => Some(Fact::value("project_id", change.to)),
                    _ => None,
                };
                changes.into_iter().filter_map(changed).collect()
            }
            Event::Assigned { to, .. } => vec![Fact::moment("assigned"), Fact::id("assignee_id", Some(to))],
            Event::Unassigned { .. } => vec![Fact::id("assignee_id", None)],
            Event::Started => with("started", "started", true),
            Event::DueChanged { .. } => vec![Fact::value("overdue", false)],
            Event::BecameDueSoon { .. } => Vec::new(),
            Event::BecameOverdue { .. } => vec![Fact::moment("overdue"), Fact::value("overdue", true)],
            Event::Completed { .. } => with("completed", "completed", false),
            Event::Cancelled { .. } => with("cancelled", "cancelled", false),
            Event::Reopened => with("reopened", "open", true),
        }
    }
}
