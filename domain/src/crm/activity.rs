//! Something that happened in the world and is put on record, perhaps much later: a visit, a letter, a meeting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Aggregate, Ctx, Decision, Id, Personal, Rejection, Time, all,
    kernel::{
        access::Relation,
        custom::Changes,
        record,
        reference::{self, REFERENCE_UNFIT, SUBJECTS_INVALID, Subject},
    },
    must,
    org::authority::DENIED,
};

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// What sort: `visit`, `letter`, `meeting`, ...
    pub kind: String,
    /// Whom and what it concerned; it shows in the feed of each of them.
    pub subjects: Vec<Subject>,
    /// What happened.
    pub text: Personal<String>,
    /// When it happened; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Time>,
}

/// What may be asked of an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Puts it on record.
    Log(New),
    /// Corrects the record; what is absent stays.
    Correct {
        /// What sort.
        #[serde(default)]
        kind: Option<String>,
        /// What happened.
        #[serde(default)]
        text: Option<Personal<String>>,
        /// When it happened.
        #[serde(default)]
        occurred_at: Option<Time>,
    },
    /// Takes it off the record: it never happened.
    Withdraw {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// What has happened to an activity's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is on record.
    Logged(New),
    /// The record was corrected.
    Corrected {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// It is off the record.
    Withdrawn {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// An activity.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What was logged, as it stands.
    pub logged: Option<New>,
    withdrawn: bool,
    author: Option<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("activity_unknown", "There is no such activity.");
const EXISTS: Rejection = Rejection::conflict("activity_exists", "An activity with this id exists already.");
const WITHDRAWN: Rejection = Rejection::conflict("activity_withdrawn", "The activity is off the record.");
const KIND_INVALID: Rejection =
    Rejection::invalid("activity_kind_invalid", "A sort of activity has 1 to 64 characters, such as visit.");
const TEXT_INVALID: Rejection = Rejection::invalid("activity_text_invalid", "A text may not be blank.");
const IN_FUTURE: Rejection = Rejection::invalid("activity_in_future", "It cannot have happened in the future.");

impl New {
    fn check(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let kind = !self.kind.trim().is_empty() && self.kind.chars().count() <= 64;
        all([
            must(kind, KIND_INVALID, "/kind"),
            must(!self.text.trim().is_empty(), TEXT_INVALID, "/text"),
            must(self.occurred_at.is_none_or(|at| at <= ctx.now), IN_FUTURE, "/occurred_at"),
        ])
    }
}

impl Aggregate for Activity {
    const KIND: &'static str = "activity";
    const PLURAL: &'static str = "activities";
    const CREATE: &'static str = "log";
    const OWN: &'static [&'static str] = &["correct", "withdraw"];
    const ATTRIBUTED: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (&self.logged, &command) {
            (Some(_), Command::Correct { .. }) => ctx.must_own(self.author, "activity.correct")?,
            (Some(_), Command::Withdraw { .. }) => ctx.must_own(self.author, "activity.withdraw")?,
            _ => {}
        }
        match (&self.logged, command) {
            (None, Command::Log(new)) => {
                all([new.check(ctx), reference::check_subjects(&new.subjects)])?;
                Ok(vec![Event::Logged(New { occurred_at: new.occurred_at.or(Some(ctx.now)), ..new })])
            }
            (None, _) => Err(UNKNOWN),
            (Some(known), Command::Log(new)) => {
                let same = (&known.kind, &known.text, &known.subjects) == (&new.kind, &new.text, &new.subjects);
                if same { Ok(vec![]) } else { Err(EXISTS) }
            }
            (Some(_), Command::Withdraw { reason }) => {
                Ok(if self.withdrawn { vec![] } else { vec![Event::Withdrawn { reason }] })
            }
            (Some(_), Command::Correct { .. }) if self.withdrawn => Err(WITHDRAWN),
            (Some(known), Command::Correct { kind, text, occurred_at }) => {
                let corrected = New {
                    kind: kind.unwrap_or_else(|| known.kind.clone()),
                    text: text.unwrap_or_else(|| known.text.clone()),
                    occurred_at: occurred_at.or(known.occurred_at),
                    subjects: known.subjects.clone(),
                };
                corrected.check(ctx)?;
                let changes = record::difference(known, &corrected);
                Ok(if changes.is_empty() { vec![] } else { vec![Event::Corrected { changes }] })
            }
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Logged(new) => vec![Relation::About("subjects", new.subjects.clone())],
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Logged(_) => Command::Withdraw { reason: None },
            Event::Corrected { .. } => {
                let logged = self.logged.clone()?;
                Command::Correct { kind: Some(logged.kind), text: Some(logged.text), occurred_at: logged.occurred_at }
            }
            Event::Withdrawn { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match (event, &mut self.logged) {
            (Event::Logged(new), _) => self.logged = Some(new.clone()),
            (Event::Corrected { changes }, Some(known)) => record::apply_changes(known, changes),
            (Event::Corrected { .. }, None) => {}
            (Event::Withdrawn { .. }, _) => self.withdrawn = true,
        }
    }

    fn attribute(&mut self, event: &Event, actor: &Actor) {
        if let Event::Logged(_) = event {
            self.author = Some(actor.principal());
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match (event, &self.logged) {
            (Event::Logged(new), _) | (_, Some(new)) => reference::person(&new.subjects),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        let own = [UNKNOWN, EXISTS, WITHDRAWN, KIND_INVALID, TEXT_INVALID, IN_FUTURE];
        own.into_iter().chain([SUBJECTS_INVALID, REFERENCE_UNFIT, DENIED]).collect()
    }

    fn examples() -> Vec<Command> {
        let id = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let at = |second| Time::from_second(second).ok();
        let subjects = vec![Subject::new("contact", id)];
        let text = || Personal::from("Saw the flat on Via Roma.");
        vec![
            Command::Log(New { kind: "visit".into(), subjects, text: text(), occurred_at: at(1_760_000_000) }),
            Command::Correct { kind: None, text: None, occurred_at: at(1_760_003_600) },
            Command::Withdraw { reason: Some("Another contact".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{BORIS, at, given};

    const MARIA: Id = Id::from_bits(0xC);

    fn visit(occurred_at: Option<Time>) -> New {
        let subjects = vec![Subject::new("contact", MARIA)];
        New { kind: "visit".into(), subjects, text: "Saw the flat.".into(), occurred_at }
    }

    fn correct(occurred_at: Time) -> Command {
        Command::Correct { kind: None, text: None, occurred_at: Some(occurred_at) }
    }

    #[test]
    fn it_happened_before_now_or_just_now() {
        let there = || given::<Activity>([]);
        there().when(Command::Log(visit(Some(at(-86_400))))).then([Event::Logged(visit(Some(at(-86_400))))]);
        there().when(Command::Log(visit(None))).then([Event::Logged(visit(Some(at(0))))]);
        given::<Activity>([Event::Logged(visit(Some(at(-9))))]).when(Command::Log(visit(None))).nothing();
        there().when(Command::Log(visit(Some(at(1))))).rejected(IN_FUTURE);
        there().when(Command::Log(New { kind: " ".into(), ..visit(None) })).rejected(KIND_INVALID);
        there().when(Command::Log(New { text: " ".into(), ..visit(None) })).rejected(TEXT_INVALID);
        there().when(Command::Log(New { subjects: vec![], ..visit(None) })).rejected(SUBJECTS_INVALID);
    }

    #[test]
    fn it_is_its_author_s_to_correct_and_withdraw() {
        for command in [correct(at(-5)), Command::Withdraw { reason: None }] {
            let logged = || given::<Activity>([Event::Logged(visit(Some(at(-9))))]);
            logged().may(&["activity.*"]).when(command.clone()).events();
            logged().by(BORIS).may(&["activity.*"]).when(command.clone()).rejected(DENIED);
            logged().by(BORIS).may(&["activity.correct_any", "activity.withdraw_any"]).when(command).events();
        }
    }

    #[test]
    fn the_record_is_corrected_or_withdrawn() {
        let logged = || Event::Logged(visit(Some(at(-9))));
        let changes = record::difference(&visit(Some(at(-9))), &visit(Some(at(-5))));
        assert_eq!(changes.len(), 1);
        let corrected = || Event::Corrected { changes: changes.clone() };
        given::<Activity>([logged()]).when(correct(at(-5))).then([corrected()]);
        given::<Activity>([logged(), corrected()]).when(correct(at(-5))).nothing();
        given::<Activity>([logged()]).when(correct(at(5))).rejected(IN_FUTURE);
        let withdraw = || Command::Withdraw { reason: Some("Another contact".into()) };
        let withdrawn = || Event::Withdrawn { reason: Some("Another contact".into()) };
        given::<Activity>([logged()]).when(withdraw()).then([withdrawn()]);
        given::<Activity>([logged(), withdrawn()]).when(withdraw()).nothing();
        given::<Activity>([logged(), withdrawn()]).when(correct(at(-5))).rejected(WITHDRAWN);
        given::<Activity>([]).when(withdraw()).rejected(UNKNOWN);
    }
}
