//! What is due when: runs of rules, tasks that are due soon or become overdue, tickets that wake, work that is handed over. Table: `read_timer`.
//!
//! Whoever fires timers takes due rows from here; that a second firing changes nothing is the commands' business.

use domain::{
    Aggregate, Id, Metadata, Time,
    desk::ticket::{self, Ticket},
    org::user::{self, User},
    work::{
        rule_run::{self, RuleRun},
        task::{self, Task},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Keys, ReadModel, Unreadable, decode, kernel::fold::micros};

/// The timers.
#[derive(Clone, Copy, Debug)]
pub struct Timers;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run of a rule is carried out.
    RuleRun,
    /// A task that is not done is due soon.
    TaskDueSoon,
    /// A task that is not done becomes overdue.
    TaskOverdue,
    /// A snoozed ticket wakes.
    TicketWake,
    /// What a colleague is responsible for goes to another one.
    HandOver,
}

/// Something that is to happen at a certain time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What is due.
    pub kind: Kind,
    /// The record it is about.
    pub record_id: Id,
    /// When; absent while the record is closed or merged and might come back.
    pub due_at: Option<Time>,
    /// When it is due should the record come back.
    pub held_until: Option<Time>,
    /// The event that made it due then.
    pub cause_id: String,
    /// The position of that event.
    pub cause_position: i64,
    /// The story that the event is part of.
    pub correlation_id: String,
    /// How many rules lie between the event and what a person or another program did.
    pub depth: u32,
}

impl Row {
    fn new(kind: Kind, due_at: Time, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let record_id = event.key().parse().map_err(|_| Unreadable(format!("{} names no record", event.stream)))?;
        let row = Row {
            kind,
            record_id,
            due_at: Some(micros(due_at)),
            held_until: None,
            cause_id: String::new(),
            cause_position: 0,
            correlation_id: String::new(),
            depth: 0,
        };
        Ok(Some(row.caused_by(event)))
    }

    fn caused_by(self, event: &Recorded) -> Row {
        let metadata = serde_json::from_slice::<Metadata>(&event.metadata).ok();
        Row {
            cause_id: event.id.to_string(),
            cause_position: event.position,
            depth: metadata.as_ref().map_or(0, |metadata| metadata.depth),
            correlation_id: metadata.map_or_else(|| event.id.to_string(), |metadata| metadata.correlation_id),
            ..self
        }
    }

    fn hold(self) -> Row {
        Row { held_until: self.due_at.or(self.held_until), due_at: None, ..self }
    }

    fn resume(self, event: &Recorded) -> Row {
        Row { due_at: self.held_until.or(self.due_at), held_until: None, ..self }.caused_by(event)
    }
}

/// What a task that is due soon has its row by, beside the one by which it becomes overdue.
const SOON: &str = "task_due_soon";

/// The row of a record: two kinds may have records of one id.
fn key(kind: &str, id: Id) -> Id {
    Id::named(&["timer", kind, &id.to_string()])
}

fn of_run(row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
    use rule_run::Event::*;
    match decode::<RuleRun>(event)? {
        Matched(_) | Retried => Row::new(Kind::RuleRun, event.recorded_at, event),
        Scheduled { due_at } | Failed { retry_at: Some(due_at), .. } => Row::new(Kind::RuleRun, due_at, event),
        Prepared(_) => Ok(row),
        Failed { retry_at: None, .. } | Skipped { .. } | Executed { .. } | Cancelled { .. } | Parked { .. } => Ok(None),
    }
}

fn of_task(row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
    use task::Event::*;
    match decode::<Task>(event)? {
        Created(task::Details { due_at: Some(due_at), .. }) | DueChanged { to: Some(due_at), .. } => {
            Row::new(Kind::TaskOverdue, due_at, event)
        }
        Created(_) | DueChanged { to: None, .. } | BecameOverdue { .. } => Ok(None),
        Completed { .. } | Cancelled { .. } => Ok(row.map(Row::hold)),
        Reopened => Ok(row.map(|row| row.resume(event))),
        DetailsChanged { .. } | Assigned { .. } | Unassigned { .. } | Started | BecameDueSoon { .. } => Ok(row),
    }
}

/// The same of when it is due soon; what is due sooner than that when it is told is no news an instant later.
fn of_task_soon(row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
    use task::Event::*;
    match decode::<Task>(event)? {
        Created(task::Details { due_at: Some(due_at), .. }) | DueChanged { to: Some(due_at), .. } => {
            match task::soon_at(due_at) {
                soon if soon > event.recorded_at => Row::new(Kind::TaskDueSoon, soon, event),
                _ => Ok(None),
            }
        }
        Created(_) | DueChanged { to: None, .. } | BecameDueSoon { .. } | BecameOverdue { .. } => Ok(None),
        Completed { .. } | Cancelled { .. } => Ok(row.map(Row::hold)),
        Reopened => Ok(row.map(|row| row.resume(event))),
        DetailsChanged { .. } | Assigned { .. } | Unassigned { .. } | Started => Ok(row),
    }
}

fn of_ticket(row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
    use ticket::Event::*;
    match decode::<Ticket>(event)? {
        Snoozed { until, .. } => Row::new(Kind::TicketWake, until, event),
        Woken { .. } | Resolved { .. } | Closed { .. } => Ok(None),
        Merged { .. } => Ok(row.map(Row::hold)),
        Unmerged { .. } => Ok(row.map(|row| row.resume(event))),
        _ => Ok(row),
    }
}

fn of_user(row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
    use user::Event::*;
    match decode::<User>(event)? {
        HandOverBegun { .. } => Row::new(Kind::HandOver, event.recorded_at, event),
        HandedOver { .. } => Ok(None),
        _ => Ok(row),
    }
}

impl ReadModel for Timers {
    const NAME: &'static str = "timer";
    const VERSION: i32 = 3;
    const KINDS: &'static [&'static str] = &[RuleRun::KIND, Task::KIND, Ticket::KIND, User::KIND];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        // Most of what happens to tickets makes nothing due.
        let name = event.kind.split_once('.').map_or("", |(_, name)| name);
        let touches = match event.category() {
            Ticket::KIND => matches!(name, "snoozed" | "woken" | "resolved" | "closed" | "merged" | "unmerged"),
            User::KIND => matches!(name, "hand_over_begun" | "handed_over"),
            Task::KIND => !matches!(name, "details_changed" | "assigned" | "unassigned" | "started"),
            _ => !matches!(name, "skipped" | "prepared"),
        };
        let id = event.key().parse().ok().filter(|_| touches);
        match id {
            None => Keys::None,
            Some(id) if event.category() == Task::KIND => Keys::Many(vec![key(Task::KIND, id), key(SOON, id)]),
            Some(id) => Keys::One(key(event.category(), id)),
        }
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        match event.category() {
            Ticket::KIND => of_ticket(row, event),
            Task::KIND if event.key().parse().is_ok_and(|task| key(SOON, task) == id) => of_task_soon(row, event),
            Task::KIND => of_task(row, event),
            User::KIND => of_user(row, event),
            _ => of_run(row, event),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::work::rule_run::Event as Run;
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, recorded};

    /// The row after these events, each folded as the engine would; each step goes through the table's form and back.
    fn folded<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Option<Row> {
        let mut row: Option<Row> = None;
        for (version, event) in (0..).zip(events) {
            let event = recorded::<A>(version, &event);
            if Timers::keys(&event) != Keys::None {
                row = Timers::apply(Id::NIL, row, &event).unwrap();
                row = row.map(|row| serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap());
            }
        }
        row
    }

    fn due<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Option<Time> {
        folded::<A>(events).and_then(|row| row.due_at)
    }

    #[test]
    fn a_run_is_due_at_once_later_or_again_until_it_is_over() {
        let golden = |name: &str| {
            let path = format!("{}/../domain/golden/rule_run/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            event::<RuleRun>(name, golden["data"].clone())
        };
        let matched = || golden("matched");
        let failed = |retry_at| Run::Failed { attempt: 1, error: "x".into(), retry_at };
        assert_eq!(due::<RuleRun>([matched()]), Some(at(0)));
        assert_eq!(due::<RuleRun>([golden("skipped")]), None);
        let later = || [matched(), Run::Scheduled { due_at: at(60) }];
        assert_eq!(due::<RuleRun>(later()), Some(at(60)));
        assert_eq!(due::<RuleRun>([matched(), golden("prepared")]), Some(at(0)));
        assert_eq!(due::<RuleRun>([matched(), failed(Some(at(5)))]), Some(at(5)));
        assert_eq!(folded::<RuleRun>([matched(), failed(None)]), None);
        let parked = || Run::Parked { error: "x".into() };
        assert_eq!(folded::<RuleRun>([matched(), parked()]), None);
        let retried = folded::<RuleRun>([matched(), parked(), Run::Retried]).unwrap();
        assert_eq!((retried.due_at, retried.cause_position), (Some(at(2)), 3));
        assert_eq!(folded::<RuleRun>([matched(), golden("executed")]), None);
        let cancelled = Run::Cancelled { reason: rule_run::CancelReason::Request, event: None, trace: vec![] };
        assert_eq!(folded::<RuleRun>(later().into_iter().chain([cancelled])), None);
    }

    #[test]
    fn a_task_becomes_overdue_once_unless_it_is_done() {
        use task::Event::*;
        let created = |due| event::<Task>("created", json!({ "title": "Call", "due_at": due }));
        let completed = || Completed { outcome: None };
        assert_eq!(due::<Task>([created(None)]), None);
        assert_eq!(due::<Task>([created(Some(at(60)))]), Some(at(60)));
        assert_eq!(due::<Task>([created(Some(at(60))), completed()]), None);
        assert_eq!(due::<Task>([created(Some(at(60))), completed(), Reopened]), Some(at(60)));
        assert_eq!(
            folded::<Task>([created(Some(at(60))), BecameOverdue { due_at: at(60) }, completed(), Reopened]),
            None
        );
        let put_off = DueChanged { from: Some(at(60)), to: Some(at(90)) };
        let overdue = [created(Some(at(60))), BecameOverdue { due_at: at(60) }, put_off];
        assert_eq!(due::<Task>(overdue), Some(at(90)));
        assert_eq!(due::<Task>([created(Some(at(60))), DueChanged { from: Some(at(60)), to: None }]), None);
    }

    #[test]
    fn a_task_is_due_soon_once_unless_it_was_so_from_the_start() {
        use task::Event::*;
        let created = |due| event::<Task>("created", json!({ "title": "Call", "due_at": at(due) }));
        let soon = |events: Vec<task::Event>| {
            let mut row: Option<Row> = None;
            for (version, event) in (0..).zip(events) {
                let event = recorded::<Task>(version, &event);
                let key = key(SOON, event.key().parse().unwrap());
                if matches!(Timers::keys(&event), Keys::Many(keys) if keys.contains(&key)) {
                    row = Timers::apply(key, row, &event).unwrap();
                }
            }
            row.and_then(|row| row.due_at)
        };
        let put_off = || DueChanged { from: Some(at(7200)), to: Some(at(9000)) };
        assert_eq!(soon(vec![created(7200)]), Some(at(3600)));
        assert_eq!(soon(vec![created(7200), put_off()]), Some(at(5400)));
        assert_eq!(soon(vec![created(1800)]), None, "whoever makes it knows");
        assert_eq!(soon(vec![created(7200), BecameDueSoon { due_at: at(7200) }]), None);
        assert_eq!(soon(vec![created(7200), Completed { outcome: None }]), None);
        assert_eq!(soon(vec![created(7200), Completed { outcome: None }, Reopened]), Some(at(3600)));
    }

    #[test]
    fn a_snoozed_ticket_wakes_unless_it_is_closed_or_a_part_of_another() {
        let snoozed = || ticket::Event::Snoozed { until: at(60), stage: None };
        let merged = || ticket::Event::Merged { into: Id::from_bits(9) };
        assert_eq!(due::<Ticket>([snoozed()]), Some(at(60)));
        assert_eq!(folded::<Ticket>([snoozed(), ticket::Event::Woken { stage: None }]), None);
        assert_eq!(folded::<Ticket>([snoozed(), ticket::Event::Closed { stage: None }]), None);
        assert_eq!(due::<Ticket>([snoozed(), merged()]), None);
        let unmerged = ticket::Event::Unmerged { from: Id::from_bits(9) };
        assert_eq!(due::<Ticket>([snoozed(), merged(), unmerged]), Some(at(60)));
    }

    #[test]
    fn what_is_handed_over_is_due_at_once_until_it_is_done() {
        let begun = || user::Event::HandOverBegun { to: Id::from_bits(9) };
        let done = || user::Event::HandedOver { to: Id::from_bits(9) };
        assert_eq!(due::<User>([user::Event::Activated, begun()]), Some(at(1)));
        assert_eq!(folded::<User>([begun(), done()]), None);
        assert_eq!(due::<User>([begun(), done(), begun()]), Some(at(2)));
    }

    #[test]
    fn a_timer_carries_the_story_of_the_event_that_set_it() {
        let created = event::<Task>("created", json!({ "title": "Call", "due_at": at(60) }));
        let event = Recorded {
            metadata: br#"{"actor":{"kind":"user","id":"0000000000000000000000000A"},"via":"rule","command_id":"c",
                "correlation_id":"story","depth":3}"#
                .as_slice()
                .into(),
            ..recorded::<Task>(0, &created)
        };
        let row = Timers::apply(Id::NIL, None, &event).unwrap().unwrap();
        assert_eq!((row.correlation_id.as_str(), row.depth, row.cause_position), ("story", 3, 1));
        let stranger = Recorded { kind: "task.teleported".into(), ..event };
        assert!(Timers::apply(Id::NIL, None, &stranger).is_err());
    }
}
