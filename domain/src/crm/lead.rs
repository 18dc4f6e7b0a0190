//! A person who may become a customer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Ctx, Decision, Id, Money, Personal, Rejection, Time, all,
    kernel::{
        named::Either,
        phone::Dialled,
        record::{self, Record, Row},
        valid,
    },
};

/// A lead.
pub type Lead = Record<Spec>;

/// What makes a record a lead.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Name.
    pub name: Personal<String>,
    /// Where the lead came from, such as `website`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The contact, when it is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "email"))]
    pub email: Option<Personal<String>>,
    /// Phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "phone"))]
    pub phone: Option<Personal<String>>,
    /// That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_e164: Option<Personal<String>>,
    /// The extension in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_extension: Option<Personal<String>>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// What it may be worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// What the lead wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Personal<String>>,
}

/// What may be asked of a lead, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Says that the lead has become a customer.
    Convert {
        /// The contact that it is now.
        #[schemars(extend("x-reference" = "contact"))]
        contact: Id,
        /// The deal that came of it.
        #[serde(default)]
        #[schemars(extend("x-reference" = "deal"))]
        deal: Option<Id>,
    },
    /// Says that nothing will come of it.
    Lose {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Takes a conversion or a loss back.
    Reopen,
}

/// What has happened to a lead, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It became a customer.
    Converted {
        /// The contact that it is now.
        contact: Id,
        /// The deal that came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deal: Option<Id>,
    },
    /// Nothing will come of it.
    Lost {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is worked on again.
    Reopened,
}

/// What came of a lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing yet.
    #[default]
    Open,
    /// A customer: this contact, and perhaps this deal.
    Converted(Id, Option<Id>),
    /// Nothing.
    Lost,
}

const CLOSED: Rejection = Rejection::conflict("lead_closed", "The lead is converted or lost; reopen it first.");

/// What came of a lead, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing yet.
    #[default]
    Open,
    /// A customer.
    Converted,
    /// Nothing.
    Lost,
}

/// What its list shows of a lead besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// What came of it.
    pub status: Status,
    /// The contact that it has become.
    #[schemars(extend("x-reference" = "contact"))]
    pub converted_contact: Option<Id>,
    /// The deal that came of it.
    #[schemars(extend("x-reference" = "deal"))]
    pub converted_deal: Option<Id>,
    /// Why it was lost.
    pub lost_reason: Option<String>,
    /// When it was converted or lost, unless it was reopened since.
    pub closed_at: Option<Time>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "lead";
    const PLURAL: &'static str = "leads";
    const ABOUT: &'static str = "A person who may become a customer.";
    const ORDER: &'static str = "-created_at";
    const STAGES: &'static [&'static str] = &["new", "contacted", "qualified"];
    const PERSON: bool = true;
    const PHONE: bool = true;
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = Outcome;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        let closed_at = Some(at);
        row.shown = match event.clone() {
            Event::Converted { contact, deal } => Shown {
                status: Status::Converted,
                converted_contact: Some(contact),
                converted_deal: deal,
                closed_at,
                ..Shown::default()
            },
            Event::Lost { reason } => {
                Shown { status: Status::Lost, lost_reason: reason, closed_at, ..row.shown.clone() }
            }
            Event::Reopened => Shown::default(),
        };
    }

    fn phone(fields: &Fields) -> Option<&str> {
        fields.phone.as_ref().map(|phone| phone.as_str())
    }

    fn dial(fields: &mut Fields, Dialled { e164, extension }: Dialled) {
        fields.phone_e164 = e164.map(Personal);
        fields.phone_extension = extension.map(Personal);
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            valid::email(fields.email.as_ref().map(|email| email.as_str())),
            valid::amount(fields.amount.as_ref(), "/amount"),
        ])
    }

    fn settled(lead: &Lead) -> Option<Rejection> {
        (lead.state != Outcome::Open).then_some(CLOSED)
    }

    fn undo(lead: &Lead, event: &Event) -> Option<Vec<record::Command<Self>>> {
        Some(vec![Either::Own(match event {
            Event::Converted { .. } | Event::Lost { .. } | Event::Reopened => match lead.state {
                Outcome::Open => Command::Reopen,
                Outcome::Converted(contact, deal) => Command::Convert { contact, deal },
                Outcome::Lost => Command::Lose { reason: None },
            },
        })])
    }

    fn decide(lead: &Lead, command: Command, _: &Ctx<'_>) -> Decision<Event> {
        Ok(match (command, lead.state) {
            (Command::Convert { contact, deal }, Outcome::Converted(to, with)) if (contact, deal) == (to, with) => {
                vec![]
            }
            (Command::Convert { contact, deal }, Outcome::Open) => vec![Event::Converted { contact, deal }],
            (Command::Lose { reason }, Outcome::Open) => vec![Event::Lost { reason }],
            (Command::Lose { .. }, Outcome::Lost) | (Command::Reopen, Outcome::Open) => vec![],
            (Command::Reopen, _) => vec![Event::Reopened],
            _ => return Err(CLOSED),
        })
    }

    fn evolve(lead: &mut Lead, event: &Event) {
        lead.state = match event {
            Event::Converted { contact, deal } => Outcome::Converted(*contact, *deal),
            Event::Lost { .. } => Outcome::Lost,
            Event::Reopened => Outcome::Open,
        };
    }

    fn document(lead: &Lead, document: &mut Map<String, Value>) {
        let status = match lead.state {
            Outcome::Open => "open",
            Outcome::Converted(..) => "converted",
            Outcome::Lost => "lost",
        };
        document.insert("status".into(), status.into());
    }

    fn document_schemas() -> Vec<(&'static str, Value)> {
        vec![("status", json!({ "type": "string", "enum": ["open", "converted", "lost"] }))]
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.push(CLOSED);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let fields = Fields {
            name: "Oleg Ivanov".into(),
            source: Some("website".into()),
            contact: Some(id(0xC)),
            email: Some("oleg@example.com".into()),
            phone: Some("+7 812 555 0101".into()),
            phone_e164: Some("+78125550101".into()),
            phone_extension: None,
            city: Some("Saint Petersburg".into()),
            amount: serde_json::from_str(r#"{"amount":"90000","currency":"RUB"}"#).ok(),
            description: Some("Asks for ten chairs.".into()),
        };
        let commands = vec![
            Command::Convert { contact: id(0xC), deal: Some(id(0xD)) },
            Command::Lose { reason: Some("Bought elsewhere".into()) },
            Command::Reopen,
        ];
        (fields, commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        given::{Given, created, given},
        named::Either,
        record::{Common, Happened},
    };

    const MARIA: Id = Id::from_bits(0xC);
    const CHAIRS: Id = Id::from_bits(0xD);

    fn oleg(events: impl IntoIterator<Item = Event>) -> Given<Lead> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    fn convert() -> record::Command<Spec> {
        Either::Own(Command::Convert { contact: MARIA, deal: Some(CHAIRS) })
    }

    fn converted() -> Event {
        Event::Converted { contact: MARIA, deal: Some(CHAIRS) }
    }

    #[test]
    fn it_becomes_a_customer() {
        oleg([]).when(convert()).then([Either::Own(converted())]);
        oleg([converted()]).when(convert()).nothing();
        let lose = || Either::Own(Command::Lose { reason: None });
        oleg([converted()]).when(lose()).rejected(CLOSED);
        oleg([converted(), Event::Reopened]).when(lose()).then([Either::Own(Event::Lost { reason: None })]);
    }

    #[test]
    fn it_is_lost_and_reopened_and_moves_only_while_it_is_open() {
        let lost = || Event::Lost { reason: Some("Bought elsewhere".into()) };
        let moved = || Either::Common(Common::MoveStage { stage: "contacted".into() });
        let changed = Happened::StageChanged { from: "new".into(), to: "contacted".into() };
        oleg([lost()]).when(moved()).rejected(CLOSED);
        oleg([lost()]).when(convert()).rejected(CLOSED);
        oleg([lost()]).when(Either::Own(Command::Reopen)).then([Either::Own(Event::Reopened)]);
        oleg([lost(), Event::Reopened]).when(moved()).then([Either::Common(changed)]);
    }
}
