//! A phone call from outside: received, then answered or missed, and ended.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Aggregate, Ctx, Decision, Id, Need, Personal, Rejection, all,
    kernel::{
        access::Relation,
        phone,
        reference::{REFERENCE_UNFIT, Subject},
        text::is_blank,
        valid,
    },
    must,
    org::tenant::Tenant,
};

/// A new call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The number that calls, or whatever the exchange says of it.
    #[schemars(extend("format" = "phone"))]
    pub from: Personal<String>,
    /// That number as it is dialled from anywhere (E.164), worked out from `from`; absent when nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub from_e164: Option<Personal<String>>,
    /// The number that is called.
    #[schemars(extend("format" = "phone"))]
    pub to: String,
    /// That number as it is dialled from anywhere (E.164), worked out from `to`; absent when nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub to_e164: Option<String>,
    /// Who calls, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
}

/// What may be asked of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Takes in that the phone rings.
    Receive(New),
    /// Says who calls.
    LinkContact {
        /// The contact.
        #[schemars(extend("x-reference" = "contact"))]
        contact: Id,
    },
    /// Records that somebody took it.
    Answer {
        /// Who.
        #[schemars(extend("x-reference" = "colleague"))]
        user: Id,
    },
    /// Records that nobody took it.
    Miss,
    /// Records that it is over.
    End {
        /// How long it lasted, in seconds.
        #[schemars(range(min = 0, max = 604800))]
        duration_s: u32,
    },
}

/// What has happened to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The phone rang.
    Received(New),
    /// It is known who calls.
    ContactLinked {
        /// The contact.
        contact: Id,
    },
    /// Somebody took it.
    Answered {
        /// Who.
        user: Id,
    },
    /// Nobody took it.
    Missed {
        /// The number that called.
        #[schemars(extend("format" = "phone"))]
        from: Personal<String>,
        /// The number that was called.
        #[schemars(extend("format" = "phone"))]
        to: String,
        /// Who called, as far as known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<Id>,
    },
    /// It is over.
    Ended {
        /// How long it lasted, in seconds.
        duration_s: u32,
    },
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such call.
    #[default]
    Missing,
    /// The phone rings.
    Ringing,
    /// Somebody is talking.
    Answered,
    /// Nobody took it.
    Missed,
    /// It is over.
    Ended,
}

/// A call.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// How far it has come.
    pub status: Status,
    received: Option<New>,
    user: Option<Id>,
}

/// A call as rules see it.
#[derive(Serialize, JsonSchema)]
struct Document {
    #[serde(flatten)]
    received: New,
    status: Status,
    user: Option<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("call_unknown", "There is no such call.");
const EXISTS: Rejection = Rejection::conflict("call_exists", "A call with this id exists already.");
const ANSWERED: Rejection = Rejection::conflict("call_answered", "Somebody else has taken the call.");
const OVER: Rejection = Rejection::conflict("call_over", "The call is over.");

/// A number, or what stands in its place (`anonymous`): what the exchange says is never refused for its looks.
fn known_by(text: &str, pointer: &str) -> Result<(), Rejection> {
    must(!text.chars().all(is_blank) && text.chars().count() <= 200, valid::PHONE_INVALID, pointer)
}

impl New {
    /// Says what the numbers mean.
    fn read(self, ctx: &Ctx<'_>) -> New {
        let country = ctx.fact::<Tenant>(ctx.tenant).default_country();
        let e164 = |text: &str| phone::number(text, country).map(|number| number.e164);
        New { from_e164: e164(&self.from).map(Personal), to_e164: e164(&self.to), ..self }
    }
}

impl Aggregate for Call {
    const KIND: &'static str = "call";
    const PLURAL: &'static str = "calls";
    const CREATE: &'static str = "receive";
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let Some(received) = &self.received else {
            let Command::Receive(new) = command else { return Err(UNKNOWN) };
            all([known_by(&new.from, "/from"), known_by(&new.to, "/to")])?;
            return Ok(vec![Event::Received(new.read(ctx))]);
        };
        match (command, self.status) {
            (Command::Receive(new), _) if new.from == received.from && new.to == received.to => Ok(vec![]),
            (Command::Receive(_), _) => Err(EXISTS),
            (Command::LinkContact { contact }, _) if received.contact == Some(contact) => Ok(vec![]),
            (Command::LinkContact { contact }, _) => Ok(vec![Event::ContactLinked { contact }]),
            (Command::Answer { user }, Status::Ringing) => Ok(vec![Event::Answered { user }]),
            (Command::Answer { user }, _) if self.user == Some(user) => Ok(vec![]),
            (Command::Answer { .. }, Status::Answered) => Err(ANSWERED),
            (Command::Miss, Status::Ringing) => {
                let New { from, to, contact, .. } = received.clone();
                Ok(vec![Event::Missed { from, to, contact }])
            }
            (Command::Miss, Status::Missed) | (Command::End { .. }, Status::Ended) => Ok(vec![]),
            (Command::End { duration_s }, Status::Answered | Status::Ringing) => Ok(vec![Event::Ended { duration_s }]),
            _ => Err(OVER),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        let with = |contact: Id| Relation::About("contact", vec![Subject::new("contact", contact)]);
        match event {
            Event::Received(new) => new.contact.map(with).into_iter().collect(),
            Event::ContactLinked { contact } => vec![with(*contact)],
            Event::Answered { user } => vec![Relation::Assignee(Some(*user))],
            Event::Missed { .. } | Event::Ended { .. } => Vec::new(),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Received(new) => {
                self.received = Some(new.clone());
                self.status = Status::Ringing;
            }
            Event::ContactLinked { contact } => {
                if let Some(received) = &mut self.received {
                    received.contact = Some(*contact);
                }
            }
            Event::Answered { user } => {
                self.user = Some(*user);
                self.status = Status::Answered;
            }
            Event::Missed { .. } => self.status = Status::Missed,
            Event::Ended { .. } => self.status = Status::Ended,
        }
    }

    fn is_live(&self) -> bool {
        self.received.is_some()
    }

    fn document(&self) -> Option<Value> {
        let received = self.received.clone()?;
        serde_json::to_value(Document { received, status: self.status, user: self.user }).ok()
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(Document::json_schema(generator))
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Receive(_) => vec![phone::need(ctx)],
            _ => Vec::new(),
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Received(new) => new.contact,
            Event::ContactLinked { contact } => Some(*contact),
            _ => self.received.as_ref().and_then(|received| received.contact),
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, ANSWERED, OVER, REFERENCE_UNFIT, valid::PHONE_INVALID]
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let to = "+7 812 555 0100".to_owned();
        vec![
            Command::Receive(New {
                from: "+7 921 555 0101".into(),
                from_e164: None,
                to,
                to_e164: None,
                contact: Some(id(0xC)),
            }),
            Command::LinkContact { contact: id(0xD) },
            Command::Answer { user: id(0xA) },
            Command::Miss,
            Command::End { duration_s: 95 },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{ANNA, BORIS, given};

    const MARIA: Id = Id::from_bits(0xC);

    fn new() -> New {
        New {
            from: "+7 921 555 0101".into(),
            from_e164: Some("+79215550101".into()),
            to: "+7 812 555 0100".into(),
            to_e164: Some("+78125550100".into()),
            contact: Some(MARIA),
        }
    }

    #[test]
    fn it_rings_once() {
        given::<Call>([]).when(Command::Receive(new())).then([Event::Received(new())]);
        given::<Call>([Event::Received(new())]).when(Command::Receive(new())).nothing();
        let other = New { to: "+7 812 555 0199".into(), ..new() };
        given::<Call>([Event::Received(new())]).when(Command::Receive(other)).rejected(EXISTS);
        let hidden = New { from: "anonymous".into(), from_e164: None, contact: None, ..new() };
        given::<Call>([]).when(Command::Receive(hidden.clone())).then([Event::Received(hidden)]);
        let nobody = New { from: " ".into(), contact: None, ..new() };
        given::<Call>([]).when(Command::Receive(nobody)).rejected(valid::PHONE_INVALID);
        given::<Call>([]).when(Command::Miss).rejected(UNKNOWN);
    }

    #[test]
    fn somebody_takes_it_or_nobody_does() {
        let rings = || Event::Received(new());
        let answered = || Event::Answered { user: ANNA };
        given::<Call>([rings()]).when(Command::Answer { user: ANNA }).then([answered()]);
        given::<Call>([rings(), answered()]).when(Command::Answer { user: ANNA }).nothing();
        given::<Call>([rings(), answered()]).when(Command::Answer { user: BORIS }).rejected(ANSWERED);
        given::<Call>([rings(), answered()]).when(Command::Miss).rejected(OVER);
        let ended = || Event::Ended { duration_s: 95 };
        given::<Call>([rings(), answered()]).when(Command::End { duration_s: 95 }).then([ended()]);
        given::<Call>([rings(), answered(), ended()]).when(Command::End { duration_s: 95 }).nothing();
        let New { from, to, contact, .. } = new();
        let missed = Event::Missed { from, to, contact };
        given::<Call>([rings()]).when(Command::Miss).then([missed.clone()]);
        given::<Call>([rings(), missed.clone()]).when(Command::Miss).nothing();
        given::<Call>([rings(), missed]).when(Command::Answer { user: ANNA }).rejected(OVER);
    }

    #[test]
    fn who_calls_may_turn_out_later() {
        let linked = || Event::ContactLinked { contact: BORIS };
        let link = || Command::LinkContact { contact: BORIS };
        given::<Call>([Event::Received(new())]).when(link()).then([linked()]);
        given::<Call>([Event::Received(new()), linked()]).when(link()).nothing();
    }
}
