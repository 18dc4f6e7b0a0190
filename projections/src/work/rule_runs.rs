//! Runs of rules: what each rule made of each event that triggered it. Table: `read_rule_runs`.

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    kernel::{filter::Check, reference::Subject},
    work::{
        automation::{Candidate, Dispatch, TriggerRef, Unknown},
        rule_run::{Asked, CancelReason, Event, RuleRun, SkipReason},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The runs of rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleRuns;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The rule did nothing.
    Skipped,
    /// The rule matched; it waits to be carried out.
    Pending,
    /// It was carried out.
    Executed,
    /// It was called off.
    Cancelled,
    /// It was given up.
    Parked,
}

/// Why a rule did nothing, or nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its conditions did not hold.
    NotMatched,
    /// A rule of a higher rank matched and stops.
    Stopped,
    /// The chain of events that rules caused had become too long.
    TooDeep,
    /// The conditions did not hold any more when it was due.
    Recheck,
    /// Another event came first.
    Event,
    /// Somebody asked for it.
    Request,
}

/// What a version of a rule made of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The rule.
    pub rule_id: Id,
    /// Its version.
    pub rule_version: u32,
    /// Where it stands.
    pub status: Status,
    /// Why the rule did nothing, or nothing more.
    pub reason: Option<Reason>,
    /// The rule that stopped it.
    pub stopped_by: Option<Id>,
    /// The type of the event that triggered it.
    pub trigger_type: String,
    /// The position of that event.
    pub trigger_position: u64,
    /// The id of that event, a UUID.
    pub trigger_event_id: String,
    /// The kind of record that the event happened to.
    pub subject_kind: String,
    /// That record.
    pub subject_id: Id,
    /// The contact that it concerns.
    pub contact_id: Option<Id>,
    /// Every condition with the value it found and its verdict.
    pub trace: Vec<Check>,
    /// When it is carried out or tried again; absent when that is over, or at once.
    pub due_at: Option<Time>,
    /// When it became clear who was chosen and what is to be done.
    pub prepared_at: Option<Time>,
    /// Everybody who fitted.
    pub candidates: Vec<Candidate>,
    /// Who of them was chosen.
    pub chosen: Vec<Id>,
    /// What was to be done.
    pub actions: Vec<Dispatch>,
    /// What templates named that was not there.
    pub unknown: Vec<Unknown>,
    /// The records it was done to.
    pub produced: Vec<Subject>,
    /// How often it failed since it was last set going.
    pub attempts: u32,
    /// What went wrong last.
    pub error: Option<String>,
    /// The event that called it off.
    pub cancelled_by: Option<TriggerRef>,
    /// The conditions as they were when it was due, if they did not hold any more.
    pub recheck: Vec<Check>,
    /// When the rule was asked.
    pub asked_at: Time,
    /// When it was carried out.
    pub executed_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A run of a rule.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The run itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the rule.
    pub rule_name: Option<String>,
}

impl Row {
    fn asked(asked: Asked, status: Status, at: Time) -> Row {
        let Asked { rule, version, trigger, trace } = asked;
        let TriggerRef { event_id, position, event_type, subject, person } = trigger;
        Row {
            rule_id: rule,
            rule_version: version,
            status,
            reason: None,
            stopped_by: None,
            trigger_type: event_type,
            trigger_position: position,
            trigger_event_id: event_id,
            subject_kind: subject.kind,
            subject_id: subject.id,
            contact_id: person,
            trace,
            due_at: None,
            prepared_at: None,
            candidates: Vec::new(),
            chosen: Vec::new(),
            actions: Vec::new(),
            unknown: Vec::new(),
            produced: Vec::new(),
            attempts: 0,
            error: None,
            cancelled_by: None,
            recheck: Vec::new(),
            asked_at: at,
            executed_at: None,
            updated_at: at,
        }
    }
}

impl ReadModel for RuleRuns {
    const NAME: &'static str = "rule_runs";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[RuleRun::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = match decode::<RuleRun>(event)? {
            Event::Matched(asked) => return Ok(Some(Row::asked(asked, Status::Pending, at))),
            Event::Skipped { asked, reason, stopped_by } => {
                let reason = Some(match reason {
                    SkipReason::NotMatched => Reason::NotMatched,
                    SkipReason::Stopped => Reason::Stopped,
                    SkipReason::TooDeep => Reason::TooDeep,
                });
                return Ok(Some(Row { reason, stopped_by, ..Row::asked(asked, Status::Skipped, at) }));
            }
            happened => happened,
        };
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Matched(_) | Event::Skipped { .. } => {}
            Event::Scheduled { due_at } => row.due_at = Some(micros(due_at)),
            Event::Prepared(preparation) => {
                row.prepared_at = Some(micros(preparation.at));
                row.candidates = preparation.candidates;
                row.chosen = preparation.chosen;
                row.actions = preparation.actions;
                row.unknown = preparation.unknown;
            }
            Event::Executed { produced } => {
                row.status = Status::Executed;
                row.produced = produced;
                row.executed_at = Some(at);
                row.due_at = None;
                row.error = None;
            }
            Event::Cancelled { reason, event, trace } => {
                row.status = Status::Cancelled;
                row.reason = Some(match reason {
                    CancelReason::Recheck => Reason::Recheck,
                    CancelReason::Event => Reason::Event,
                    CancelReason::Request => Reason::Request,
                });
                row.cancelled_by = event;
                row.recheck = trace;
                row.due_at = None;
            }
            Event::Failed { attempt, error, retry_at } => {
                row.attempts = attempt;
                row.error = Some(error);
                row.due_at = retry_at.map(micros);
            }
            Event::Parked { error } => {
                row.status = Status::Parked;
                row.error = Some(error);
                row.due_at = None;
            }
            Event::Retried => {
                row.status = Status::Pending;
                row.attempts = 0;
                row.due_at = None;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for RuleRuns {
    const PATH: &'static str = RuleRun::PLURAL;
    const READ: &'static str = RuleRun::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("rule_id"),
        Column::integer("rule_version"),
        Column::word("status"),
        Column::word("reason").nullable(),
        Column::id("stopped_by").nullable(),
        Column::word("trigger_type"),
        Column::integer("trigger_position"),
        Column::word("trigger_event_id"),
        Column::word("subject_kind"),
        Column::reference("subject_id", Refers::By("subject_kind")),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::time("due_at").nullable(),
        Column::set("chosen"),
        Column::integer("attempts"),
        Column::text("error").nullable(),
        Column::time("asked_at"),
        Column::time("executed_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::RULE),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("trigger_position")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.rule_id, rule.name as rule_name, t.rule_version, t.status, t.reason, \
        t.stopped_by, t.trigger_type, t.trigger_position, t.trigger_event_id, t.subject_kind, r.subject_id, \
        r.contact_id, t.trace, t.due_at, t.prepared_at, t.candidates, t.chosen, t.actions, t.unknown, t.produced, \
        t.attempts, t.error, t.cancelled_by, t.recheck, t.asked_at, t.executed_at, t.updated_at";
    const JOINS: &'static str = "left join read_rules rule on rule.tenant_id = t.tenant_id and rule.id = t.rule_id";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, refuses_strangers};

    /// The golden event of this name.
    fn golden(name: &str) -> Event {
        let path = format!("{}/../domain/golden/rule_run/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        event::<RuleRun>(name, golden["data"].clone())
    }

    #[test]
    fn a_run_says_what_was_asked_who_was_chosen_and_what_came_of_it() {
        refuses_strangers::<RuleRuns, RuleRun>(&golden("matched"));
        let row = folded::<RuleRuns, RuleRun>([golden("matched"), golden("prepared"), golden("executed")]).unwrap();
        assert_eq!((row.status, row.trigger_type.as_str()), (Status::Executed, "order.placed"));
        assert_eq!((row.trace.len(), row.chosen.len(), row.candidates.len()), (1, 1, 1));
        assert_eq!((row.asked_at, row.executed_at, row.due_at), (at(0), Some(at(2)), None));
        assert!(!row.produced.is_empty());
    }

    #[test]
    fn a_run_fails_is_given_up_tried_again_and_called_off() {
        let scheduled = Event::Scheduled { due_at: at(60) };
        let failed = Event::Failed { attempt: 1, error: "no project".into(), retry_at: Some(at(61)) };
        let parked = Event::Parked { error: "no project".into() };
        let start = || [golden("matched"), scheduled.clone(), failed.clone()];
        let row = folded::<RuleRuns, RuleRun>(start()).unwrap();
        assert_eq!((row.status, row.attempts, row.due_at), (Status::Pending, 1, Some(at(61))));
        let row = folded::<RuleRuns, RuleRun>(start().into_iter().chain([parked.clone()])).unwrap();
        assert_eq!((row.status, row.error.as_deref(), row.due_at), (Status::Parked, Some("no project"), None));
        let again = start().into_iter().chain([parked, Event::Retried, golden("cancelled")]);
        let row = folded::<RuleRuns, RuleRun>(again).unwrap();
        assert_eq!((row.status, row.attempts, row.reason), (Status::Cancelled, 0, Some(Reason::Event)));
        assert!(row.cancelled_by.is_some());
    }

    #[test]
    fn a_run_that_did_nothing_says_why() {
        let row = folded::<RuleRuns, RuleRun>([golden("skipped")]).unwrap();
        assert_eq!(row.status, Status::Skipped);
        assert!(row.reason.is_some());
    }
}
