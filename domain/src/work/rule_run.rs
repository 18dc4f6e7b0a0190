//! One run of one version of a rule for one event: matched or not and why, for whom, and what came of it.
//!
//! Its id follows from rule, version and event, so that there is one run whatever crashes, restarts or replays. What
//! was decided first stays decided: the world may have moved on when it is asked again.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Rejection, Time,
    kernel::{access::Relation, filter::Check, reference::Subject},
    work::automation::{Preparation, TriggerRef},
};

/// How many seconds a run that failed waits, after its first, second, ... try. One more failure and it is given up.
pub const RETRY_AFTER_S: [u32; 5] = [1, 5, 30, 120, 600];

/// Which rule was asked about what, and what its conditions said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-held-reference" = "any"))]
pub struct Asked {
    /// The rule.
    pub rule: Id,
    /// Its version.
    pub version: u32,
    /// The event that triggered it.
    pub trigger: TriggerRef,
    /// Every condition with the value it found and its verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Check>,
}

/// Why a rule did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its conditions did not hold.
    NotMatched,
    /// A rule of a higher rank matched and stops.
    Stopped,
    /// The chain of events that rules caused has become too long.
    TooDeep,
}

/// Why a run was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The conditions did not hold any more when it was due.
    Recheck,
    /// Another event came first.
    Event,
    /// Somebody asked for it.
    Request,
}

/// What may be asked of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Records that a rule matched.
    Match {
        /// Which rule was asked about what.
        asked: Asked,
        /// When it is carried out, if later.
        #[serde(default)]
        due_at: Option<Time>,
    },
    /// Records that it did not.
    Skip {
        /// Which rule was asked about what.
        asked: Asked,
        /// Why it did nothing.
        reason: SkipReason,
        /// The rule that stopped it.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "rule"))]
        stopped_by: Option<Id>,
    },
    /// Records who was chosen and what is to be done.
    Prepare(Preparation),
    /// Records what was done.
    Execute {
        /// The records it was done to.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "any"))]
        produced: Vec<Subject>,
    },
    /// Calls it off before it is carried out.
    Cancel {
        /// Why.
        #[serde(default = "request")]
        reason: CancelReason,
        /// The event that came first.
        #[serde(default)]
        event: Option<TriggerRef>,
        /// The conditions as they were then.
        #[serde(default)]
        trace: Vec<Check>,
    },
    /// Records that it could not be carried out: it is tried again later, or given up after too many tries.
    Fail {
        /// Which try, from 1.
        attempt: u32,
        /// What went wrong.
        error: String,
    },
    /// Gives it up until somebody has it tried again.
    Park {
        /// What went wrong.
        error: String,
    },
    /// Has a run that was given up tried again.
    Retry,
}

fn request() -> CancelReason {
    CancelReason::Request
}

/// What has happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The rule matched.
    Matched(Asked),
    /// The rule did nothing.
    Skipped {
        /// Which rule was asked about what.
        asked: Asked,
        /// Why it did nothing.
        reason: SkipReason,
        /// The rule that stopped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped_by: Option<Id>,
    },
    /// It is carried out later.
    Scheduled {
        /// When.
        due_at: Time,
    },
    /// It is clear who was chosen and what is to be done.
    Prepared(Preparation),
    /// It was carried out.
    Executed {
        /// The records it was done to.
        produced: Vec<Subject>,
    },
    /// It was called off.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// The event that came first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<TriggerRef>,
        /// The conditions as they were then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        trace: Vec<Check>,
    },
    /// It could not be carried out.
    Failed {
        /// Which try, from 1.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// When it is tried again; absent when it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Time>,
    },
    /// It was given up.
    Parked {
        /// What went wrong.
        error: String,
    },
    /// It is tried again.
    Retried,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such run.
    #[default]
    Missing,
    /// The rule did nothing.
    Skipped,
    /// Matched, and waits to be carried out.
    Pending,
    /// Carried out.
    Executed,
    /// Called off.
    Cancelled,
    /// Given up.
    Parked,
}

/// A run.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleRun {
    /// Where it stands.
    pub status: Status,
    /// Which rule was asked about what.
    pub asked: Option<Asked>,
    /// When it is carried out or tried again, if not at once.
    pub due_at: Option<Time>,
    /// Who was chosen and what is to be done, once that is clear.
    pub preparation: Option<Preparation>,
    /// How often it failed.
    pub attempts: u32,
}

const UNKNOWN: Rejection = Rejection::missing("rule_run_unknown", "There is no such run.");
const ID_UNFIT: Rejection =
    Rejection::invalid("rule_run_id_unfit", "A run's id follows from its rule, its version and its event.");
const OVER: Rejection = Rejection::conflict("rule_run_over", "The run is over.");
const PARKED: Rejection = Rejection::conflict("rule_run_parked", "The run was given up; have it tried again first.");
const UNPREPARED: Rejection =
    Rejection::conflict("rule_run_unprepared", "It is not clear yet who was chosen and what is to be done.");

impl RuleRun {
    /// The id of the run of a rule's version for an event.
    pub fn id_for(rule: Id, version: u32, event_id: &str) -> Id {
        Id::named(&["rule_run", &rule.to_string(), &version.to_string(), event_id])
    }
}

impl Asked {
    /// The id of this run.
    pub fn id(&self) -> Id {
        RuleRun::id_for(self.rule, self.version, &self.trigger.event_id)
    }
}

impl Aggregate for RuleRun {
    const KIND: &'static str = "rule_run";
    const PLURAL: &'static str = "rule_runs";
    const CREATE: &'static str = "match";
    const INTERNAL: &'static [&'static str] = &["match", "skip", "prepare", "execute", "fail", "park"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        Ok(match (self.status, command) {
            (_, Match { asked, .. } | Skip { asked, .. }) if asked.id() != ctx.id => return Err(ID_UNFIT),
            (Status::Missing, Match { asked, due_at }) => {
                let scheduled = due_at.map(|due_at| Event::Scheduled { due_at });
                [Event::Matched(asked)].into_iter().chain(scheduled).collect()
            }
            (Status::Missing, Skip { asked, reason, stopped_by }) => {
                vec![Event::Skipped { asked, reason, stopped_by }]
            }
            (Status::Missing, _) => return Err(UNKNOWN),
            // Asked again after a crash: what was decided first stays decided.
            (_, Match { .. } | Skip { .. }) => vec![],
            (Status::Executed, Execute { .. }) | (Status::Cancelled, Cancel { .. }) => vec![],
            (Status::Parked, Retry) => vec![Event::Retried],
            (Status::Parked, Park { .. }) | (Status::Pending, Retry) => vec![],
            (Status::Pending | Status::Parked, Cancel { reason, event, trace }) => {
                vec![Event::Cancelled { reason, event, trace }]
            }
            (Status::Parked, _) => return Err(PARKED),
            (Status::Pending, Prepare(preparation)) => match &self.preparation {
                None => vec![Event::Prepared(preparation)],
                Some(_) => vec![],
            },
            (Status::Pending, Execute { .. }) if self.preparation.is_none() => return Err(UNPREPARED),
            (Status::Pending, Execute { produced }) => vec![Event::Executed { produced }],
            (Status::Pending, Fail { attempt, .. }) if attempt <= self.attempts => vec![],
            (Status::Pending, Fail { attempt, error }) => {
                let wait = RETRY_AFTER_S.get(attempt.saturating_sub(1) as usize);
                let retry_at =
                    wait.and_then(|seconds| ctx.now.checked_add(SignedDuration::from_secs((*seconds).into())).ok());
                let parked = retry_at.is_none().then(|| Event::Parked { error: error.clone() });
                [Event::Failed { attempt, error, retry_at }].into_iter().chain(parked).collect()
            }
            (Status::Pending, Park { error }) => vec![Event::Parked { error }],
            _ => return Err(OVER),
        })
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Matched(asked) | Event::Skipped { asked, .. } => {
                vec![Relation::About("trigger", vec![asked.trigger.subject.clone()])]
            }
            _ => Vec::new(),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Matched(asked) => {
                self.status = Status::Pending;
                self.asked = Some(asked.clone());
            }
            Event::Skipped { asked, .. } => {
                self.status = Status::Skipped;
                self.asked = Some(asked.clone());
            }
            Event::Scheduled { due_at } => self.due_at = Some(*due_at),
            Event::Prepared(preparation) => self.preparation = Some(preparation.clone()),
            Event::Executed { .. } => self.status = Status::Executed,
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::Failed { attempt, retry_at, .. } => {
                self.attempts = *attempt;
                self.due_at = *retry_at;
            }
            Event::Parked { .. } => self.status = Status::Parked,
            Event::Retried => {
                self.status = Status::Pending;
                self.attempts = 0;
                self.due_at = None;
            }
        }
    }

    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match (event, &self.asked) {
            (Event::Matched(asked) | Event::Skipped { asked, .. }, _) | (_, Some(asked)) => asked.trigger.person,
            _ => None,
        }
    }

    fn id_for_new(_: Id, command: &Command) -> Option<Id> {
        match command {
            Command::Match { asked, .. } | Command::Skip { asked, .. } => Some(asked.id()),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, ID_UNFIT, OVER, PARKED, UNPREPARED]
    }

    fn examples() -> Vec<Command> {
        use Command::*;
        let asked = || crate::work::automation::example_asked();
        let order = asked().trigger.subject;
        let error = || "reference_unfit: There is no such project.".to_owned();
        let preparation = crate::work::automation::example_preparation();
        vec![
            Match { asked: asked(), due_at: Time::from_second(1_767_657_600).ok() },
            Skip { asked: asked(), reason: SkipReason::NotMatched, stopped_by: None },
            Prepare(preparation),
            Execute { produced: vec![order] },
            Cancel { reason: CancelReason::Event, event: Some(asked().trigger), trace: asked().trace },
            Fail { attempt: 1, error: error() },
            Park { error: error() },
            Retry,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::given::{Given, SUBJECT, at, given},
        work::automation::{example_asked, example_preparation},
    };

    fn run(events: impl IntoIterator<Item = Event>) -> Given<RuleRun> {
        given(events).at(example_asked().id())
    }

    fn matched() -> Event {
        Event::Matched(example_asked())
    }

    fn prepared() -> Event {
        Event::Prepared(example_preparation())
    }

    fn skip() -> Command {
        Command::Skip { asked: example_asked(), reason: SkipReason::Stopped, stopped_by: Some(SUBJECT) }
    }

    #[test]
    fn there_is_one_run_for_a_version_and_an_event() {
        let asked = || Command::Match { asked: example_asked(), due_at: None };
        run([]).when(asked()).then([matched()]);
        run([matched()]).when(asked()).nothing();
        let later = Command::Match { asked: example_asked(), due_at: Some(at(60)) };
        run([]).when(later).then([matched(), Event::Scheduled { due_at: at(60) }]);
        let skipped =
            || Event::Skipped { asked: example_asked(), reason: SkipReason::Stopped, stopped_by: Some(SUBJECT) };
        run([]).when(skip()).then([skipped()]);
        // What was decided first stays decided.
        run([matched()]).when(skip()).nothing();
        run([skipped()]).when(asked()).nothing();
        run([]).at(SUBJECT).when(skip()).rejected(ID_UNFIT);
        run([]).when(Command::Retry).rejected(UNKNOWN);
        let second = Asked { version: 2, ..example_asked() };
        assert_ne!(second.id(), example_asked().id());
    }

    #[test]
    fn it_is_prepared_and_carried_out_once() {
        let prepare = || Command::Prepare(example_preparation());
        let execute = || Command::Execute { produced: vec![example_asked().trigger.subject] };
        let executed = || Event::Executed { produced: vec![example_asked().trigger.subject] };
        run([matched()]).when(prepare()).then([prepared()]);
        run([matched(), prepared()]).when(prepare()).nothing();
        run([matched()]).when(execute()).rejected(UNPREPARED);
        run([matched(), prepared()]).when(execute()).then([executed()]);
        run([matched(), prepared(), executed()]).when(execute()).nothing();
        run([matched(), prepared(), executed()]).when(prepare()).rejected(OVER);
    }

    #[test]
    fn it_is_called_off_before_but_not_after() {
        let (event, trace) = (Some(example_asked().trigger), example_asked().trace);
        let cancelled = || Event::Cancelled { reason: CancelReason::Event, event: event.clone(), trace: trace.clone() };
        let cancel = || Command::Cancel { reason: CancelReason::Event, event: event.clone(), trace: trace.clone() };
        run([matched()]).when(cancel()).then([cancelled()]);
        run([matched(), cancelled()]).when(cancel()).nothing();
        let executed = Event::Executed { produced: vec![] };
        run([matched(), prepared(), executed]).when(cancel()).rejected(OVER);
    }

    #[test]
    fn it_fails_is_given_up_and_tried_again() {
        let error = || "project_unknown".to_owned();
        let failed = |attempt| {
            let wait = RETRY_AFTER_S.get(attempt as usize - 1);
            Event::Failed { attempt, error: error(), retry_at: wait.map(|seconds| at((*seconds).into())) }
        };
        let fail = |attempt| Command::Fail { attempt, error: error() };
        run([matched()]).when(fail(1)).then([failed(1)]);
        run([matched(), failed(1)]).when(fail(1)).nothing();
        run([matched(), failed(1)]).when(fail(2)).then([failed(2)]);
        assert_eq!(run([matched(), failed(2)]).state.due_at, Some(at(5)));
        let parked = || Event::Parked { error: error() };
        run([matched(), failed(5)]).when(fail(6)).then([failed(6), parked()]);
        run([matched(), failed(1)]).when(Command::Park { error: error() }).then([parked()]);
        run([matched(), parked()]).when(Command::Park { error: error() }).nothing();
        run([matched(), parked()]).when(fail(2)).rejected(PARKED);
        run([matched(), parked()]).when(Command::Retry).then([Event::Retried]);
        run([matched(), parked(), Event::Retried]).when(Command::Retry).nothing();
        assert_eq!(run([matched(), failed(3), parked(), Event::Retried]).state.attempts, 0);
    }
}
