//! Something a colleague has to do by a certain time.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Ctx, Decision, Faults, Id, Personal, Rejection, Time, all,
    desk::ticket::{AssignMethod, Priority},
    kernel::{
        access::Relation,
        custom::{self, Changes},
        record::{self, FIELD_INVALID},
        reference::{self, REFERENCE_UNFIT, SUBJECTS_INVALID, Subject},
    },
    must,
};

/// What a task says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What is to be done, in one line.
    pub title: Personal<String>,
    /// The whole story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Personal<String>>,
    /// 0 (low) to 3 (urgent).
    #[serde(default)]
    pub priority: Priority,
    /// The project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "project"))]
    pub project: Option<Id>,
    /// The records it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// The run of the rule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "rule_run"))]
    pub rule_run: Option<Id>,
}

/// A new task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// What is to be done, in one line.
    pub title: Personal<String>,
    /// The whole story.
    #[serde(default)]
    pub text: Option<Personal<String>>,
    /// 0 (low) to 3 (urgent).
    #[serde(default)]
    pub priority: Priority,
    /// The project it belongs to.
    #[serde(default)]
    #[schemars(extend("x-reference" = "project"))]
    pub project: Option<Id>,
    /// The records it is about.
    #[serde(default)]
    pub subjects: Vec<Subject>,
    /// When it should be done.
    #[serde(default)]
    pub due_at: Option<Time>,
    /// Within how many seconds from now it should be done, instead of a time.
    #[serde(default)]
    #[schemars(range(min = 0, max = 315360000))]
    pub due_in_s: Option<u32>,
    /// Who is to do it.
    #[serde(default)]
    #[schemars(extend("x-reference" = "colleague"))]
    pub assignee: Option<Id>,
    /// How that user was found.
    #[serde(default)]
    pub method: AssignMethod,
    /// The run of the rule that asks for it.
    #[serde(default)]
    #[schemars(extend("x-reference" = "rule_run"))]
    pub rule_run: Option<Id>,
}

/// What an edit may change: who, when and about what have commands of their own.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Editable {
    /// What is to be done, in one line.
    title: Personal<String>,
    /// The whole story.
    text: Option<Personal<String>>,
    /// 0 (low) to 3 (urgent).
    priority: Priority,
    /// The project it belongs to.
    #[schemars(extend("x-reference" = "project"))]
    project: Option<Id>,
}

/// What may be asked of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a task.
    Create(New),
    /// Changes title, text, priority or project by JSON merge patch (RFC 7396). Only real changes are recorded.
    Edit(#[schemars(with = "record::Patch<Editable>")] Map<String, Value>),
    /// Gives it to a user.
    Assign {
        /// The user.
        #[schemars(extend("x-reference" = "colleague"))]
        assignee: Id,
        /// How the user was found.
        #[serde(default)]
        method: AssignMethod,
        /// The run of the rule that chose.
        #[serde(default)]
        #[schemars(extend("x-reference" = "rule_run"))]
        rule_run: Option<Id>,
    },
    /// Gives it to nobody.
    Unassign,
    /// Begins it.
    Start,
    /// Puts it off, or sooner.
    ChangeDue {
        /// When it should be done; null for any time.
        due_at: Option<Time>,
    },
    /// Records that its time is near and it is not done.
    MarkDueSoon,
    /// Records that its time has come and it is not done.
    MarkOverdue,
    /// Says that it is done.
    Complete {
        /// What came of it.
        #[serde(default)]
        outcome: Option<String>,
    },
    /// Says that it is not done after all.
    Reopen,
    /// Says that it need not be done.
    Cancel {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// What has happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created(Details),
    /// It says something else.
    DetailsChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// Somebody is to do it.
    Assigned {
        /// Who was.
        from: Option<Id>,
        /// Who is.
        to: Id,
        /// How the user was found.
        method: AssignMethod,
        /// The run of the rule that chose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule_run: Option<Id>,
    },
    /// Nobody is to do it.
    Unassigned {
        /// Who was.
        from: Id,
    },
    /// It was begun.
    Started,
    /// It should be done at another time.
    DueChanged {
        /// Before.
        from: Option<Time>,
        /// After.
        to: Option<Time>,
    },
    /// Its time is near and it is not done.
    BecameDueSoon {
        /// When it should be done.
        due_at: Time,
    },
    /// Its time came and it was not done.
    BecameOverdue {
        /// When it should have been done.
        due_at: Time,
    },
    /// It is done.
    Completed {
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
    },
    /// It is to be done after all.
    Reopened,
    /// It need not be done.
    Cancelled {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such task.
    #[default]
    Missing,
    /// To be done.
    Open,
    /// Being done.
    Started,
    /// Done.
    Completed,
    /// Not to be done.
    Cancelled,
}

/// A task.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Where it stands.
    pub status: Status,
    /// Who is to do it.
    pub assignee: Option<Id>,
    /// What it says.
    pub details: Details,
    #[serde(default)]
    due_soon: bool,
    overdue: bool,
}

/// A task as rules see it.
#[derive(Serialize, JsonSchema)]
struct Document {
    #[serde(flatten)]
    details: Details,
    status: Status,
    assignee: Option<Id>,
    overdue: bool,
}

const UNKNOWN: Rejection = Rejection::missing("task_unknown", "There is no such task.");
const EXISTS: Rejection = Rejection::conflict("task_exists", "A task with this id exists already.");
const CLOSED: Rejection = Rejection::conflict("task_closed", "The task is done or cancelled; reopen it first.");
const TITLE_INVALID: Rejection = Rejection::invalid("title_invalid", "A title has 1 to 500 characters.");
const DUE_UNCLEAR: Rejection =
    Rejection::invalid("task_due_unclear", "Say when it is due or within how many seconds, one of the two.");

/// How long before its time a task is due soon.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// When a task is due soon that is due at this time.
pub fn soon_at(due_at: Time) -> Time {
    due_at.checked_sub(SOON).unwrap_or(Time::MIN)
}

/// The attributes that an edit changes; who, when and about what have commands of their own.
const EDITED: &[&str] = &["title", "text", "priority", "project"];

impl Task {
    fn create(new: New, ctx: &Ctx<'_>) -> Decision<Event> {
        let in_time = |seconds: u32| ctx.now.checked_add(jiff::SignedDuration::from_secs(seconds.into())).ok();
        let due_at = new.due_at.or_else(|| new.due_in_s.and_then(in_time));
        let New { title, text, priority, project, subjects, rule_run, .. } = new;
        let details = Details { title, text, priority, project, subjects, due_at, rule_run };
        let mut faults = Faults::default();
        if new.due_at.is_some() && new.due_in_s.is_some() {
            faults.add(DUE_UNCLEAR.at("/due_in_s"));
        }
        faults.check(details.check());
        faults.done()?;
        let assigned = new.assignee.map(|to| Event::Assigned { from: None, to, method: new.method, rule_run });
        Ok([Event::Created(details)].into_iter().chain(assigned).collect())
    }

    fn edit(&self, patch: Map<String, Value>) -> Decision<Event> {
        let (plain, others): (Map<_, _>, Map<_, _>) =
            patch.into_iter().partition(|(key, _)| EDITED.contains(&key.as_str()));
        let mut faults = Faults::default();
        for key in others.keys() {
            faults.add(FIELD_INVALID.because(format!("{key} is not edited.")).at(format!("/{key}")));
        }
        let (edited, changes) = record::patched(&self.details, plain, &mut faults);
        faults.check(edited.check());
        faults.done()?;
        Ok(if changes.is_empty() { vec![] } else { vec![Event::DetailsChanged { changes }] })
    }
}

impl Details {
    fn check(&self) -> Result<(), Rejection> {
        let titled = !self.title.trim().is_empty() && self.title.chars().count() <= 500;
        all([
            must(titled, TITLE_INVALID, "/title"),
            must(self.subjects.len() <= reference::MAX_SUBJECTS, SUBJECTS_INVALID, "/subjects"),
        ])
    }
}

impl Aggregate for Task {
    const KIND: &'static str = "task";
    const PLURAL: &'static str = "tasks";
    const CREATE: &'static str = "create";
    const INTERNAL: &'static [&'static str] = &["mark_due_soon", "mark_overdue"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let over = matches!(self.status, Status::Completed | Status::Cancelled);
        Ok(match (self.status, command) {
            (Status::Missing, Create(new)) => return Task::create(new, ctx),
            (Status::Missing, _) => return Err(UNKNOWN),
            (_, Create(new)) if new.title == self.details.title && new.subjects == self.details.subjects => vec![],
            (_, Create(_)) => return Err(EXISTS),
            (_, Complete { outcome }) if !over => vec![Event::Completed { outcome }],
            (_, Cancel { reason }) if !over => vec![Event::Cancelled { reason }],
            (Status::Completed, Complete { .. }) | (Status::Cancelled, Cancel { .. }) => vec![],
            (_, Reopen) => {
                if over {
                    vec![Event::Reopened]
                } else {
                    vec![]
                }
            }
            (_, MarkDueSoon) => {
                let soon = |due_at: &Time| ctx.now < *due_at && soon_at(*due_at) <= ctx.now;
                let due_at = self.details.due_at.filter(soon).filter(|_| !self.due_soon && !over);
                due_at.map(|due_at| Event::BecameDueSoon { due_at }).into_iter().collect()
            }
            // The clock may come too late.
            (_, MarkOverdue) => {
                let due_at = self.details.due_at.filter(|due_at| *due_at <= ctx.now && !self.overdue && !over);
                due_at.map(|due_at| Event::BecameOverdue { due_at }).into_iter().collect()
            }
            _ if over => return Err(CLOSED),
            (_, Edit(patch)) => return self.edit(patch),
            (_, Assign { assignee, .. }) if self.assignee == Some(assignee) => vec![],
            (_, Assign { assignee, method, rule_run }) => {
                vec![Event::Assigned { from: self.assignee, to: assignee, method, rule_run }]
            }
            (_, Unassign) => self.assignee.map(|from| Event::Unassigned { from }).into_iter().collect(),
            (Status::Open, Start) => vec![Event::Started],
            (_, ChangeDue { due_at }) if due_at != self.details.due_at => {
                vec![Event::DueChanged { from: self.details.due_at, to: due_at }]
            }
            _ => vec![],
        })
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Assigned { to, .. } => vec![Relation::Assignee(Some(*to))],
            Event::Unassigned { .. } => vec![Relation::Assignee(None)],
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        let assigned = |assignee| Command::Assign { assignee, method: AssignMethod::Manual, rule_run: None };
        Some(vec![match event {
            Event::Created(_) => Command::Cancel { reason: None },
            Event::DetailsChanged { changes } => Command::Edit(custom::before(changes).into_iter().collect()),
            Event::Assigned { from: Some(from), .. } | Event::Unassigned { from } => assigned(*from),
            Event::Assigned { from: None, .. } => Command::Unassign,
            Event::DueChanged { from, .. } => Command::ChangeDue { due_at: *from },
            Event::Completed { .. } | Event::Cancelled { .. } => Command::Reopen,
            Event::Reopened => match self.status {
                Status::Cancelled => Command::Cancel { reason: None },
                _ => Command::Complete { outcome: None },
            },
            Event::Started | Event::BecameDueSoon { .. } | Event::BecameOverdue { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(details) => {
                self.status = Status::Open;
                self.details = details.clone();
            }
            Event::DetailsChanged { changes } => record::apply_changes(&mut self.details, changes),
            Event::Assigned { to, .. } => self.assignee = Some(*to),
            Event::Unassigned { .. } => self.assignee = None,
            Event::Started => self.status = Status::Started,
            Event::DueChanged { to, .. } => {
                self.details.due_at = *to;
                (self.due_soon, self.overdue) = (false, false);
            }
            Event::BecameDueSoon { .. } => self.due_soon = true,
            Event::BecameOverdue { .. } => self.overdue = true,
            Event::Completed { .. } => self.status = Status::Completed,
            Event::Reopened => self.status = Status::Open,
            Event::Cancelled { .. } => self.status = Status::Cancelled,
        }
    }

    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn document(&self) -> Option<Value> {
        let Task { status, assignee, details, overdue, .. } = self.clone();
        let document = serde_json::to_value(Document { details, status, assignee, overdue }).ok();
        document.filter(|_| status != Status::Missing)
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(Document::json_schema(generator))
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Created(details) => reference::person(&details.subjects),
            _ => reference::person(&self.details.subjects),
        }
    }

    fn refusals() -> Vec<Rejection> {
        let own = [UNKNOWN, EXISTS, CLOSED, TITLE_INVALID, DUE_UNCLEAR];
        own.into_iter().chain([FIELD_INVALID, REFERENCE_UNFIT, SUBJECTS_INVALID]).collect()
    }

    fn examples() -> Vec<Command> {
        use Command::*;
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let at = |second| Time::from_second(second).ok();
        vec![
            Create(New {
                title: "Confirm order 7".into(),
                text: Some("Call Maria within the hour.".into()),
                priority: Priority::URGENT,
                project: Some(id(0xE)),
                subjects: vec![Subject::new("order", id(0xC)), Subject::new("contact", id(0xD))],
                due_at: at(1_767_229_200),
                due_in_s: None,
                assignee: Some(id(0xA)),
                method: AssignMethod::LeastBusy,
                rule_run: Some(id(0xF)),
            }),
            Edit(Map::from_iter([("title".to_owned(), "Confirm order 7 by phone".into())])),
            Assign { assignee: id(0xB), method: AssignMethod::Manual, rule_run: None },
            Unassign,
            Start,
            ChangeDue { due_at: at(1_767_232_800) },
            MarkDueSoon,
            MarkOverdue,
            Complete { outcome: Some("Confirmed".into()) },
            Reopen,
            Cancel { reason: Some("Order cancelled".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::given::{ANNA, BORIS, Given, at, given};

    const ORDER: Id = Id::from_bits(0xC);
    const PROJECT: Id = Id::from_bits(0xE);

    fn details() -> Details {
        Details {
            title: "Confirm order 7".into(),
            text: Some("Call Maria.".into()),
            priority: Priority::URGENT,
            project: Some(PROJECT),
            subjects: vec![Subject::new("order", ORDER)],
            due_at: Some(at(3600)),
            rule_run: Some(ORDER),
        }
    }

    fn new() -> New {
        let Details { title, text, priority, project, subjects, rule_run, .. } = details();
        let (due_at, due_in_s) = (None, Some(3600));
        let method = AssignMethod::LeastBusy;
        New { title, text, priority, project, subjects, due_at, due_in_s, assignee: Some(ANNA), method, rule_run }
    }

    fn assigned(from: Option<Id>, to: Id, method: AssignMethod) -> Event {
        Event::Assigned { from, to, method, rule_run: Some(ORDER) }
    }

    fn task(events: impl IntoIterator<Item = Event>) -> Given<Task> {
        given([Event::Created(details())].into_iter().chain(events))
    }

    #[test]
    fn it_is_created_for_somebody_and_due_in_time() {
        let there = || given::<Task>([]);
        let born = || [Event::Created(details()), assigned(None, ANNA, AssignMethod::LeastBusy)];
        there().when(Command::Create(new())).then(born());
        given::<Task>(born()).when(Command::Create(new())).nothing();
        given::<Task>(born()).when(Command::Create(New { title: "Other".into(), ..new() })).rejected(EXISTS);
        let both = New { due_at: Some(at(1)), ..new() };
        there().when(Command::Create(both)).rejected(DUE_UNCLEAR);
        there().when(Command::Create(New { title: " ".into(), ..new() })).rejected(TITLE_INVALID);
        let crowd = New { subjects: vec![Subject::new("order", ORDER); 51], ..new() };
        there().when(Command::Create(crowd)).rejected(SUBJECTS_INVALID);
    }

    #[test]
    fn it_says_something_else_and_goes_to_somebody_else() {
        let edit = |patch: Value| Command::Edit(patch.as_object().unwrap().clone());
        let changes = record::difference(&details(), &Details { priority: Priority::LOW, ..details() });
        let changed = || Event::DetailsChanged { changes: changes.clone() };
        task([]).when(edit(json!({ "priority": 0 }))).then([changed()]);
        task([changed()]).when(edit(json!({ "priority": 0 }))).nothing();
        task([]).when(edit(json!({ "due_at": null }))).rejected(FIELD_INVALID);
        let assign = || Command::Assign { assignee: BORIS, method: AssignMethod::Rule, rule_run: Some(ORDER) };
        let anna = || assigned(None, ANNA, AssignMethod::LeastBusy);
        let boris = || assigned(Some(ANNA), BORIS, AssignMethod::Rule);
        task([anna()]).when(assign()).then([boris()]);
        task([anna(), boris()]).when(assign()).nothing();
        task([anna()]).when(Command::Unassign).then([Event::Unassigned { from: ANNA }]);
        task([]).when(Command::Unassign).nothing();
    }

    #[test]
    fn it_is_due_soon_once() {
        let soon = |seconds| Event::BecameDueSoon { due_at: at(seconds) };
        let due = |to: i64| Event::DueChanged { from: Some(at(3600)), to: Some(at(to)) };
        task([]).when(Command::MarkDueSoon).then([soon(3600)]);
        task([soon(3600)]).when(Command::MarkDueSoon).nothing();
        task([soon(3600), due(1800)]).when(Command::MarkDueSoon).then([soon(1800)]);
        for too_late_or_early in [due(7200), due(0), Event::Completed { outcome: None }] {
            task([too_late_or_early]).when(Command::MarkDueSoon).nothing();
        }
    }

    #[test]
    fn its_time_comes_once() {
        let overdue = |seconds| Event::BecameOverdue { due_at: at(seconds) };
        let due = |from: i64, to: i64| Event::DueChanged { from: Some(at(from)), to: Some(at(to)) };
        task([]).when(Command::MarkOverdue).nothing();
        task([due(3600, 0)]).when(Command::MarkOverdue).then([overdue(0)]);
        task([due(3600, 0), overdue(0)]).when(Command::MarkOverdue).nothing();
        let over = Event::Completed { outcome: None };
        task([due(3600, 0), over]).when(Command::MarkOverdue).nothing();
        task([due(3600, 0), overdue(0), due(0, -5)]).when(Command::MarkOverdue).then([overdue(-5)]);
        let later = || Command::ChangeDue { due_at: Some(at(7200)) };
        task([]).when(later()).then([due(3600, 7200)]);
        task([due(3600, 7200)]).when(later()).nothing();
    }

    #[test]
    fn it_is_begun_done_or_dropped() {
        let done = || Event::Completed { outcome: Some("Confirmed".into()) };
        let complete = || Command::Complete { outcome: Some("Confirmed".into()) };
        task([]).when(Command::Start).then([Event::Started]);
        task([Event::Started]).when(Command::Start).nothing();
        task([Event::Started]).when(complete()).then([done()]);
        task([done()]).when(complete()).nothing();
        task([done()]).when(Command::Start).rejected(CLOSED);
        task([done()]).when(Command::Reopen).then([Event::Reopened]);
        task([done(), Event::Reopened]).when(Command::Reopen).nothing();
        let cancel = || Command::Cancel { reason: Some("Order cancelled".into()) };
        let cancelled = || Event::Cancelled { reason: Some("Order cancelled".into()) };
        task([]).when(cancel()).then([cancelled()]);
        task([cancelled()]).when(cancel()).nothing();
        task([cancelled()]).when(complete()).rejected(CLOSED);
        given::<Task>([]).when(complete()).rejected(UNKNOWN);
    }
}
