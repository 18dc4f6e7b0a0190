//! Tasks. Table: `read_tasks`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Personal, Time,
    catalogue::listed,
    desk::ticket::Priority,
    kernel::reference::Subject,
    work::task::{Details, Event, Status, Task},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode,
    kernel::{
        author::{AuthorKind, author},
        fold::{micros, raise},
        record::{self, Attributes as _},
    },
};

/// The tasks.
#[derive(Clone, Copy, Debug)]
pub struct Tasks;

/// What a task says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// What is to be done, in one line.
    pub title: Personal<String>,
    /// The whole story.
    pub text: Option<Personal<String>>,
    /// 0 (low) to 3 (urgent).
    pub priority: Priority,
    /// The project it belongs to.
    pub project_id: Option<Id>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["project"];
}

/// Something a colleague has to do by a certain time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What it says.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// The records it is about.
    pub subjects: Vec<Subject>,
    /// The ids of the records it is about.
    pub subject_ids: BTreeSet<Id>,
    /// Where it stands.
    pub status: Status,
    /// Whether it is still to be done: `open` or `started`.
    pub open: bool,
    /// Who is to do it.
    pub assignee_id: Option<Id>,
    /// When it should be done.
    pub due_at: Option<Time>,
    /// Whether its time has come while it was still to be done, and was not put off since.
    pub overdue: bool,
    /// The run of the rule that asked for it.
    pub rule_run_id: Option<Id>,
    /// What came of it.
    pub outcome: Option<String>,
    /// Why it need not be done.
    pub cancel_reason: Option<String>,
    /// What sort of author.
    pub author_kind: Option<AuthorKind>,
    /// Who created it.
    pub author_id: Option<Id>,
    /// When it was created.
    pub created_at: Time,
    /// When it was begun.
    pub started_at: Option<Time>,
    /// When it was done or cancelled, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A task with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The task itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of whoever is to do it.
    pub assignee_name: Option<String>,
    /// Name of the project.
    pub project_name: Option<String>,
    /// Name of the author; of the rule when a rule asked for it.
    pub author_name: Option<String>,
    /// The names of the records it is about, by id.
    pub subject_names: BTreeMap<Id, Option<String>>,
}

impl Row {
    fn created(details: Details, event: &Recorded) -> Row {
        let at = event.occurred_at;
        let (author_kind, author_id) = author(event);
        let Details { title, text, priority, project, subjects, due_at, rule_run } = details;
        Row {
            attributes: Attributes { title, text, priority, project_id: project },
            subject_ids: subjects.iter().map(|subject| subject.id).collect(),
            subjects,
            status: Status::Open,
            open: true,
            assignee_id: None,
            due_at: due_at.map(micros),
            overdue: false,
            rule_run_id: rule_run,
            outcome: None,
            cancel_reason: None,
            author_kind,
            author_id,
            created_at: at,
            started_at: None,
            closed_at: None,
            updated_at: at,
        }
    }
}

impl ReadModel for Tasks {
    const NAME: &'static str = "tasks";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Task::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Task>(event)?;
        if let Event::Created(details) = happened {
            return Ok(Some(Row::created(details, event)));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created(_) => {}
            Event::DetailsChanged { changes } => row.attributes.change(changes),
            Event::Assigned { to, .. } => row.assignee_id = Some(to),
            Event::Unassigned { .. } => row.assignee_id = None,
            Event::Started => {
                row.status = Status::Started;
                row.started_at = Some(at);
            }
            Event::DueChanged { to, .. } => {
                row.due_at = to.map(micros);
                row.overdue = false;
            }
            Event::BecameDueSoon { .. } => {}
            Event::BecameOverdue { .. } => row.overdue = true,
            Event::Completed { outcome } => {
                row.status = Status::Completed;
                row.outcome = outcome;
                row.closed_at = Some(at);
            }
            Event::Cancelled { reason } => {
                row.status = Status::Cancelled;
                row.cancel_reason = reason;
                row.closed_at = Some(at);
            }
            Event::Reopened => {
                row.status = Status::Open;
                row.outcome = None;
                row.cancel_reason = None;
                row.closed_at = None;
            }
        }
        row.open = matches!(row.status, Status::Open | Status::Started);
        Ok(Some(row))
    }
}

impl Listed for Tasks {
    const PATH: &'static str = Task::PLURAL;
    const READ: &'static str = Task::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("title"),
        Column::text("text").nullable(),
        Column::integer("priority"),
        Column::id("project_id").nullable(),
        Column::set("subject_ids").of(Refers::Listed("subjects")),
        Column::word("status"),
        Column::bool("open"),
        Column::id("assignee_id").nullable(),
        Column::time("due_at").nullable(),
        Column::bool("overdue"),
        Column::id("rule_run_id").nullable(),
        Column::text("outcome").nullable(),
        Column::word("author_kind").nullable(),
        Column::reference("author_id", Refers::By("author_kind")).nullable(),
        Column::time("created_at"),
        Column::time("started_at").nullable(),
        Column::time("closed_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::ASSIGNEE),
        Column::called(&listed::PROJECT),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("due_at"), Sort::descending("priority")];
    const TELLS: &'static [Told] =
        &[Told::by_id("subject_names", "subjects", "kind", "id"), Told::by("author_name", "author_id", "author_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.title, t.text, t.priority, t.project_id, \
        project.name as project_name, r.subjects, r.subject_ids, read_names(t.tenant_id, r.subjects) as subject_names, \
        t.status, t.open, t.assignee_id, assignee.name as assignee_name, t.due_at, t.overdue, t.rule_run_id, t.outcome, \
        t.cancel_reason, t.author_kind, r.author_id, read_name(t.tenant_id, t.author_kind, r.author_id) as author_name, \
        t.created_at, t.started_at, t.closed_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_projects project on project.tenant_id = t.tenant_id and project.id = t.project_id \
        left join read_users assignee on assignee.tenant_id = t.tenant_id and assignee.id = t.assignee_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    fn created() -> Event {
        let subjects = json!([{ "kind": "order", "id": id(1) }]);
        let task =
            json!({ "title": "Call", "priority": 3, "subjects": subjects, "due_at": at(3600), "rule_run": id(5) });
        event::<Task>("created", task)
    }

    #[test]
    fn a_task_becomes_overdue_is_put_off_done_and_reopened() {
        refuses_strangers::<Tasks, Task>(&created());
        let assigned = event::<Task>("assigned", json!({ "from": null, "to": id(2), "method": "manual" }));
        let changes =
            json!({ "changes": { "project": { "from": null, "to": id(3) }, "priority": { "from": 3, "to": 1 } } });
        let changed = event::<Task>("details_changed", changes);
        let late = [created(), assigned, changed, Event::Started, Event::BecameOverdue { due_at: at(3600) }];
        let row = folded::<Tasks, Task>(late.clone()).unwrap();
        assert_eq!((row.overdue, row.open, row.status), (true, true, Status::Started));
        assert_eq!((row.assignee_id, row.attributes.project_id), (Some(id(2)), Some(id(3))));
        assert_eq!((row.attributes.priority.level(), row.rule_run_id, row.started_at), (1, Some(id(5)), Some(at(3))));
        let put_off = Event::DueChanged { from: Some(at(3600)), to: Some(at(7200)) };
        let done = Event::Completed { outcome: Some("Confirmed".into()) };
        let row = folded::<Tasks, Task>(late.clone().into_iter().chain([put_off.clone(), done.clone()])).unwrap();
        assert_eq!((row.overdue, row.due_at, row.open), (false, Some(at(7200)), false));
        assert_eq!((row.outcome.as_deref(), row.closed_at), (Some("Confirmed"), Some(at(6))));
        let row = folded::<Tasks, Task>(late.into_iter().chain([put_off, done, Event::Reopened])).unwrap();
        assert_eq!((row.open, row.outcome, row.closed_at), (true, None, None));
        let cancelled = Event::Cancelled { reason: Some("Twice".into()) };
        let row = folded::<Tasks, Task>([created(), cancelled]).unwrap();
        assert_eq!((row.open, row.cancel_reason.as_deref(), row.closed_at), (false, Some("Twice"), Some(at(1))));
    }
}
