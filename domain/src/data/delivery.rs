//! What another system handed in, whole: kept before anything is tried, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Aggregate, Ctx, Decision, Id, Personal, Rejection, all,
    data::intake_source::{self, Takes},
    kernel::{access::Relation, reference::Subject, valid},
    must,
};

/// Most bytes of a body.
pub const MOST_BYTES: usize = 1_000_000;
/// Most characters of one in base64.
const MOST_BASE64: usize = MOST_BYTES / 3 * 4 + 4;

/// What was handed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// What it is.
    pub takes: Takes,
    /// What the system that handed it in calls itself.
    #[schemars(extend("format" = "word"))]
    pub source: String,
    /// What that system calls the delivery; absent where it has no name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub key: Option<String>,
    /// The body as it came, whether or not it is the JSON that it should be.
    #[schemars(length(max = 1_500_000))]
    pub body: Personal<String>,
    /// Whether the body came as bytes that are no text, and stands here in base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
}

/// What may be asked of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Takes in what another system hands in.
    Receive(Received),
    /// Records what became of it.
    Take {
        /// Of which attempt.
        attempt: u32,
        /// The record.
        #[schemars(extend("x-held-reference" = "any"))]
        record: Subject,
        /// The contact whom it is about.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "contact"))]
        contact: Option<Id>,
    },
    /// Records that nothing could be made of it.
    Refuse {
        /// Of which attempt.
        attempt: u32,
        /// The stable code of what stood in the way.
        code: String,
        /// The same for a person.
        reason: Personal<String>,
        /// The field that it lies in, as a JSON pointer.
        #[serde(default)]
        pointer: Option<String>,
    },
    /// Puts another body in the place of one that could not be taken, and tries it. The first one is kept.
    Correct {
        /// The body, JSON.
        #[schemars(length(max = 1_000_000))]
        body: Personal<String>,
    },
    /// Tries it once more as it is: after the mapping of its source was mended, or whatever else stood in the way.
    TryAgain,
    /// Gives up what could not be taken; it is kept.
    Dismiss {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// What has happened to a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It came in.
    Received(Received),
    /// It has become a record, or part of one.
    Taken {
        /// The record.
        record: Subject,
        /// The contact whom it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<Id>,
    },
    /// Nothing could be made of it.
    Refused {
        /// The stable code of what stood in the way.
        #[schemars(extend("format" = "word"))]
        code: String,
        /// The same for a person.
        reason: Personal<String>,
        /// The field that it lies in, as a JSON pointer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("format" = "word"))]
        pointer: Option<String>,
    },
    /// It has another body, which is tried.
    Corrected {
        /// The body, JSON.
        body: Personal<String>,
    },
    /// It is tried once more.
    TriedAgain,
    /// It was given up.
    Dismissed {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DeliveryStatus")]
pub enum Status {
    /// There is no such delivery.
    #[default]
    Missing,
    /// It is kept, and about to be tried.
    Received,
    /// It has become a record.
    Taken,
    /// Nothing could be made of it.
    Refused,
    /// It was given up.
    Dismissed,
}

/// A delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// How far it has come.
    pub status: Status,
    /// What was handed in.
    pub received: Option<Received>,
    /// The body that is tried, where it is another one by now.
    pub corrected: Option<Personal<String>>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// What it has become.
    pub record: Option<Subject>,
    /// Whom it is about.
    pub contact: Option<Id>,
    /// Why nothing could be made of it: code, reason and field.
    pub refused: Option<(String, Personal<String>, Option<String>)>,
}

/// There is no such delivery.
pub const UNKNOWN: Rejection = Rejection::missing("delivery_unknown", "There is no such delivery.");
const EXISTS: Rejection = Rejection::conflict(
    "delivery_differs",
    "The source has handed in something else under this name: what it names is taken once.",
);
const UNDER_WAY: Rejection = Rejection::conflict("delivery_under_way", "The delivery is about to be tried.");
const TAKEN: Rejection = Rejection::conflict("delivery_taken", "The delivery has been taken.");
/// A body that is no JSON.
pub const BODY_INVALID: Rejection = Rejection::invalid("delivery_body_invalid", "The body is no JSON.");
const TOO_LARGE: Rejection = Rejection::invalid("delivery_too_large", "A body has at most a million bytes.");
const KEY_INVALID: Rejection =
    Rejection::invalid("delivery_key_invalid", "A delivery is called by 1 to 255 characters.");

impl Delivery {
    /// The id of what a source calls so: the same each time.
    pub fn id_for(tenant: Id, takes: Takes, source: &str, key: &str) -> Id {
        Id::named(&[&tenant.to_string(), "delivery", takes.name(), source, key])
    }

    /// Whether the body that is to be taken now is no text, and stands in base64.
    pub fn is_base64(&self) -> bool {
        self.corrected.is_none() && self.received.as_ref().is_some_and(|received| received.base64)
    }

    /// The body that is to be taken now.
    pub fn body(&self) -> &str {
        let first = self.received.as_ref().map(|received| &received.body);
        self.corrected.as_ref().or(first).map(|body| body.as_str()).unwrap_or_default()
    }
}

/// Two bodies that say the same.
fn says_the_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || read(one).is_some_and(|one| read(other) == Some(one))
}

fn check_body(body: &str) -> Result<(), Rejection> {
    all([
        must(body.len() <= MOST_BYTES, TOO_LARGE, "/body"),
        // Whoever corrects one can be told at once.
        must(serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok(), BODY_INVALID, "/body"),
    ])
}

fn receive(delivery: &Delivery, new: Received) -> Decision<Event> {
    all([
        intake_source::check_name(&new.source, "/source"),
        must(
            new.key.as_deref().is_none_or(|key| (1..=255).contains(&key.chars().count()) && !key.contains('\0')),
            KEY_INVALID,
            "/key",
        ),
        // What is no JSON is kept too: nothing that was handed in vanishes.
        must(new.body.len() <= if new.base64 { MOST_BASE64 } else { MOST_BYTES }, TOO_LARGE, "/body"),
    ])?;
    match &delivery.received {
        None => Ok(vec![Event::Received(new)]),
        Some(known) if says_the_same(&known.body, &new.body) => Ok(vec![]),
        Some(_) => Err(EXISTS),
    }
}

impl Aggregate for Delivery {
    const KIND: &'static str = "delivery";
    const PLURAL: &'static str = "deliveries";
    const CREATE: &'static str = "receive";
    const INTERNAL: &'static [&'static str] = &["receive", "take", "refuse"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, _: &Ctx<'_>) -> Decision<Event> {
        use Command::{Correct, Dismiss, Receive, Refuse, Take, TryAgain};
        match (command, self.status) {
            (Receive(new), _) => receive(self, new),
            (_, Status::Missing) => Err(UNKNOWN),
            (Take { attempt, record, contact }, Status::Received) if attempt == self.attempt => {
                Ok(vec![Event::Taken { record, contact }])
            }
            (Refuse { attempt, code, reason, pointer }, Status::Received) if attempt == self.attempt => {
                must(!code.trim().is_empty(), valid::NAME_INVALID, "/code")?;
                Ok(vec![Event::Refused { code, reason, pointer }])
            }
            // What became of an attempt is known already.
            (Take { .. } | Refuse { .. }, _) => Ok(vec![]),
            (Correct { body }, Status::Refused | Status::Dismissed) => {
                check_body(&body)?;
                Ok(vec![Event::Corrected { body }])
            }
            (Correct { body }, Status::Received | Status::Taken) if self.body() == body.as_str() => Ok(vec![]),
            (Correct { .. }, Status::Received) => Err(UNDER_WAY),
            (Correct { .. } | Dismiss { .. }, Status::Taken) => Err(TAKEN),
            (TryAgain, Status::Refused | Status::Dismissed) => Ok(vec![Event::TriedAgain]),
            (TryAgain, Status::Received | Status::Taken) | (Dismiss { .. }, Status::Dismissed) => Ok(vec![]),
            (Dismiss { reason }, Status::Refused) => Ok(vec![Event::Dismissed { reason }]),
            (Dismiss { .. }, Status::Received) => Err(UNDER_WAY),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Received(received) => {
                self.received = Some(received.clone());
                (self.status, self.attempt) = (Status::Received, 1);
            }
            Event::Taken { record, contact } => {
                (self.status, self.record, self.contact) = (Status::Taken, Some(record.clone()), *contact);
                self.refused = None;
            }
            Event::Refused { code, reason, pointer } => {
                self.status = Status::Refused;
                self.refused = Some((code.clone(), reason.clone(), pointer.clone()));
            }
            Event::Corrected { body } => {
                self.corrected = Some(body.clone());
                self.status = Status::Received;
                self.attempt += 1;
            }
            Event::TriedAgain => {
                self.status = Status::Received;
                self.attempt += 1;
            }
            Event::Dismissed { .. } => self.status = Status::Dismissed,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Taken { record, .. } => vec![Relation::About("record", vec![record.clone()])],
            _ => Vec::new(),
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Taken { contact, .. } => *contact,
            _ => self.contact,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![
            UNKNOWN,
            EXISTS,
            TAKEN,
            UNDER_WAY,
            BODY_INVALID,
            TOO_LARGE,
            KEY_INVALID,
            valid::NAME_INVALID,
            intake_source::NAME_INVALID,
        ]
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let received = Received {
            takes: Takes::Orders,
            source: "shop".into(),
            key: Some("evt_1001".into()),
            body: r#"{"order_id":"1001","sum":"12,x"}"#.into(),
            base64: false,
        };
        vec![
            Command::Receive(received),
            Command::Refuse {
                attempt: 1,
                code: "number_invalid".into(),
                reason: "total: 12,x is no number.".into(),
                pointer: Some("/total".into()),
            },
            Command::Dismiss { reason: Some("A test of the shop's".into()) },
            Command::TryAgain,
            Command::Correct { body: r#"{"order_id":"1001","sum":"12.00"}"#.into() },
            Command::Take { attempt: 2, record: Subject::new("order", id(0x0D)), contact: Some(id(0xC)) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, given};

    const MARIA: Id = Id::from_bits(0xC);

    fn received() -> Received {
        let Some(Command::Receive(received)) = Delivery::examples().into_iter().next() else { unreachable!() };
        received
    }

    fn delivery(events: impl IntoIterator<Item = Event>) -> Given<Delivery> {
        given([Event::Received(received())].into_iter().chain(events))
    }

    fn refused() -> Event {
        let reason = "total: 12,x is no number.".into();
        Event::Refused { code: "number_invalid".into(), reason, pointer: Some("/total".into()) }
    }

    fn refuse(attempt: u32) -> Command {
        let reason = "total: 12,x is no number.".into();
        Command::Refuse { attempt, code: "number_invalid".into(), reason, pointer: Some("/total".into()) }
    }

    fn order() -> Subject {
        Subject::new("order", Id::from_bits(0x0D))
    }

    fn take(attempt: u32) -> Command {
        Command::Take { attempt, record: order(), contact: Some(MARIA) }
    }

    fn taken() -> Event {
        Event::Taken { record: order(), contact: Some(MARIA) }
    }

    #[test]
    fn what_a_source_names_is_taken_in_once() {
        given::<Delivery>([]).when(Command::Receive(received())).then([Event::Received(received())]);
        delivery([]).when(Command::Receive(received())).nothing();
        delivery([taken()]).when(Command::Receive(received())).nothing();
        let spaced = Received { body: r#"{ "sum": "12,x", "order_id": "1001" }"#.into(), ..received() };
        delivery([]).when(Command::Receive(spaced)).nothing();
        let other = Received { body: r#"{"order_id":"1002"}"#.into(), ..received() };
        delivery([]).when(Command::Receive(other)).rejected(EXISTS);
        let refused = |new, why| given::<Delivery>([]).when(Command::Receive(new)).rejected(why);
        let odd = || Received { body: "order=1".into(), ..received() };
        given::<Delivery>([]).when(Command::Receive(odd())).then([Event::Received(odd())]);
        refused(Received { key: Some(String::new()), ..received() }, KEY_INVALID);
        refused(Received { source: "The Shop".into(), ..received() }, intake_source::NAME_INVALID);
        let large = format!("\"{}\"", "x".repeat(MOST_BYTES));
        refused(Received { body: large.into(), ..received() }, TOO_LARGE);
    }

    #[test]
    fn an_attempt_comes_to_one_end() {
        delivery([]).when(take(1)).then([taken()]);
        delivery([]).when(refuse(1)).then([refused()]);
        delivery([taken()]).when(refuse(1)).nothing();
        delivery([refused()]).when(take(1)).nothing();
        delivery([refused(), Event::TriedAgain]).when(refuse(1)).nothing();
        delivery([refused(), Event::TriedAgain]).when(take(2)).then([taken()]);
        given::<Delivery>([]).when(take(1)).rejected(UNKNOWN);
    }

    #[test]
    fn what_was_refused_is_corrected_tried_again_or_given_up() {
        let body = || Personal::from(r#"{"order_id":"1001","sum":"12.00"}"#);
        let correct = || Command::Correct { body: body() };
        let corrected = || Event::Corrected { body: body() };
        let dismiss = || Command::Dismiss { reason: None };
        let dismissed = || Event::Dismissed { reason: None };
        delivery([refused()]).when(correct()).then([corrected()]);
        delivery([refused(), corrected()]).when(correct()).nothing();
        delivery([refused(), dismissed()]).when(correct()).then([corrected()]);
        delivery([]).when(correct()).rejected(UNDER_WAY);
        delivery([taken()]).when(correct()).rejected(TAKEN);
        delivery([refused()]).when(Command::Correct { body: "no".into() }).rejected(BODY_INVALID);
        delivery([refused()]).when(Command::TryAgain).then([Event::TriedAgain]);
        delivery([]).when(Command::TryAgain).nothing();
        delivery([refused()]).when(dismiss()).then([dismissed()]);
        delivery([refused(), dismissed()]).when(dismiss()).nothing();
        delivery([taken()]).when(dismiss()).rejected(TAKEN);
        delivery([]).when(dismiss()).rejected(UNDER_WAY);
    }

    #[test]
    fn the_last_body_counts_and_the_first_is_kept() {
        let mut delivery = Delivery::default();
        delivery.evolve(&Event::Received(received()));
        delivery.evolve(&refused());
        delivery.evolve(&Event::Corrected { body: "{}".into() });
        assert_eq!((delivery.body(), delivery.attempt), ("{}", 2));
        assert_eq!(delivery.received, Some(received()));
    }
}
