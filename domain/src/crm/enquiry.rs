//! What a buyer or tenant is looking for, and what was offered.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Ctx, Decision, Id, Money, Personal, Rejection, Time, all,
    crm::property::{Kind, Purpose},
    kernel::{
        custom::{self, Changes},
        money,
        named::Either,
        record::{self, Common, Record, Row},
        valid,
    },
    must,
};

/// An enquiry.
pub type Enquiry = Record<Spec>;

/// What makes a record an enquiry.
#[derive(Clone, Default)]
pub struct Spec;

/// What is looked for; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Criteria {
    /// To buy or to rent.
    #[serde(default)]
    pub purpose: Purpose,
    /// Any of these sorts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    /// Any of these cities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cities: Vec<String>,
    /// From this price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_from: Option<Money>,
    /// Up to this price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_to: Option<Money>,
    /// At least so many rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub rooms_from: Option<u16>,
    /// At least so many square metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "0", "x-maximum" = "100000000"))]
    pub area_from: Option<Decimal>,
    /// In the customer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Personal<String>>,
}

impl Criteria {
    fn has_sound_range(&self) -> bool {
        let range = self.price_from.zip(self.price_to);
        range.is_none_or(|(from, to)| from.currency == to.currency && from.amount <= to.amount)
    }
}

/// Attributes of an enquiry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// What it is called.
    pub name: String,
    /// Who is looking.
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Id,
    /// What for.
    #[serde(default)]
    pub criteria: Criteria,
    /// Where it came from, such as `website`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What may be asked of an enquiry, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Notes a property from elsewhere that was offered, such as one on a portal.
    NoteExternalOffer {
        /// Its id; made for you when absent.
        #[serde(default)]
        note_id: Option<Id>,
        /// What it is.
        text: String,
        /// Where it is advertised.
        #[serde(default)]
        url: Option<String>,
    },
    /// Ends it.
    Close {
        /// What came of it.
        #[serde(default)]
        outcome: Option<String>,
    },
    /// Takes its end back.
    Reopen,
}

/// What has happened to an enquiry, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something else is looked for.
    CriteriaChanged {
        /// Before.
        from: Criteria,
        /// After.
        to: Criteria,
    },
    /// An offer was sent.
    OfferSent {
        /// The offer.
        offer: Id,
        /// What it offers.
        properties: Vec<Id>,
        /// The contact it went to.
        to: Id,
        /// By what means, such as `email`.
        medium: String,
    },
    /// A property from elsewhere was offered.
    ExternalOfferNoted {
        /// The note.
        note_id: Id,
        /// What it is.
        text: String,
        /// Where it is advertised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// It is over.
    Closed {
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
    },
    /// It goes on.
    Reopened,
}

/// What an enquiry's own commands, and the offers for it, must remember.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Whether it is over.
    pub closed: bool,
    /// The properties that were offered, with the offer that first did.
    pub offered: BTreeMap<Id, Id>,
    notes: BTreeMap<Id, (String, Option<String>)>,
}

const CLOSED: Rejection = Rejection::conflict("enquiry_closed", "The enquiry is closed; reopen it first.");
const RANGE_INVALID: Rejection = Rejection::invalid(
    "enquiry_range_invalid",
    "The highest price is in the currency of the lowest, and not below it.",
);
const TEXT_INVALID: Rejection = Rejection::invalid("enquiry_text_invalid", "A text may not be blank.");
const NOTE_EXISTS: Rejection = Rejection::conflict("enquiry_note_exists", "A note with this id says something else.");

/// Whether an enquiry goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    #[default]
    Open,
    /// It is over.
    Closed,
}

/// A property from elsewhere that was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExternalOffer {
    /// The note.
    pub note_id: Id,
    /// What it is.
    pub text: String,
    /// Where it is advertised.
    pub url: Option<String>,
    /// When it was noted.
    pub noted_at: Time,
}

/// What its list shows of an enquiry besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Whether it goes on.
    pub status: Status,
    /// What came of it.
    #[schemars(extend("format" = "word"))]
    pub outcome: Option<String>,
    /// When it was closed, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// The properties that were offered.
    #[schemars(extend("x-reference" = "property"))]
    pub offered_property_ids: BTreeSet<Id>,
    /// How many offers were sent.
    pub offer_count: u32,
    /// When the last of them was sent.
    pub last_offer_at: Option<Time>,
    /// Properties from elsewhere that were offered, oldest first.
    pub external_offers: Vec<ExternalOffer>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "enquiry";
    const PLURAL: &'static str = "enquiries";
    const ABOUT: &'static str = "What a buyer or tenant is looking for, and what was offered.";
    const ORDER: &'static str = "-created_at";
    const STAGES: &'static [&'static str] = &["new", "searching", "viewing", "deciding"];
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        let shown = &mut row.shown;
        match event.clone() {
            Event::CriteriaChanged { to, .. } => row.fields.criteria = to,
            Event::OfferSent { properties, .. } => {
                shown.offered_property_ids.extend(properties);
                shown.offer_count += 1;
                shown.last_offer_at = shown.last_offer_at.max(Some(at));
            }
            Event::ExternalOfferNoted { note_id, text, url } => {
                shown.external_offers.push(ExternalOffer { note_id, text, url, noted_at: at });
            }
            Event::Closed { outcome } => {
                (shown.status, shown.outcome, shown.closed_at) = (Status::Closed, outcome, Some(at));
            }
            Event::Reopened => (shown.status, shown.outcome, shown.closed_at) = (Status::Open, None, None),
        }
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            valid::amount(fields.criteria.price_from.as_ref(), "/criteria/price_from"),
            valid::amount(fields.criteria.price_to.as_ref(), "/criteria/price_to"),
            must(fields.criteria.has_sound_range(), RANGE_INVALID, "/criteria/price_to"),
        ])
    }

    fn person(fields: &Fields) -> Option<Id> {
        Some(fields.contact)
    }

    fn named(before: &Fields, after: &Fields, changes: &mut Changes) -> Vec<Event> {
        let (from, to) = (&before.criteria, &after.criteria);
        let changed = || Event::CriteriaChanged { from: from.clone(), to: to.clone() };
        changes.remove("criteria").map(|_| changed()).into_iter().collect()
    }

    fn settled(enquiry: &Enquiry) -> Option<Rejection> {
        enquiry.state.closed.then_some(CLOSED)
    }

    fn undo(_: &Enquiry, event: &Event) -> Option<Vec<record::Command<Self>>> {
        Some(vec![match event {
            Event::CriteriaChanged { from, .. } => {
                let criteria = serde_json::to_value(from).ok()?;
                Either::Common(Common::Edit(Map::from_iter([("criteria".to_owned(), criteria)])))
            }
            Event::Closed { .. } => Either::Own(Command::Reopen),
            Event::Reopened => Either::Own(Command::Close { outcome: None }),
            Event::OfferSent { .. } | Event::ExternalOfferNoted { .. } => return None,
        }])
    }

    fn decide(enquiry: &Enquiry, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let state = &enquiry.state;
        Ok(match command {
            Command::Close { .. } if state.closed => vec![],
            Command::Close { outcome } => vec![Event::Closed { outcome }],
            Command::Reopen if state.closed => vec![Event::Reopened],
            Command::Reopen => vec![],
            Command::NoteExternalOffer { note_id, text, url } => {
                let note_id = note_id.unwrap_or_else(|| ctx.fresh("note"));
                match state.notes.get(&note_id) {
                    Some(known) if *known == (text.clone(), url.clone()) => return Ok(vec![]),
                    Some(_) => return Err(NOTE_EXISTS.at("/note_id")),
                    None if state.closed => return Err(CLOSED),
                    None => {
                        let address = url.as_deref().is_none_or(custom::is_url);
                        all([
                            must(!text.trim().is_empty(), TEXT_INVALID, "/text"),
                            must(address, valid::URL_INVALID, "/url"),
                        ])?;
                        vec![Event::ExternalOfferNoted { note_id, text, url }]
                    }
                }
            }
        })
    }

    fn evolve(enquiry: &mut Enquiry, event: &Event) {
        let state = &mut enquiry.state;
        match event {
            Event::CriteriaChanged { to, .. } => {
                if let Some(fields) = &mut enquiry.fields {
                    fields.criteria = to.clone();
                }
            }
            Event::OfferSent { offer, properties, .. } => {
                for property in properties {
                    state.offered.entry(*property).or_insert(*offer);
                }
            }
            Event::ExternalOfferNoted { note_id, text, url } => {
                state.notes.insert(*note_id, (text.clone(), url.clone()));
            }
            Event::Closed { .. } => state.closed = true,
            Event::Reopened => state.closed = false,
        }
    }

    fn document(enquiry: &Enquiry, document: &mut Map<String, Value>) {
        document.insert("status".into(), if enquiry.state.closed { "closed" } else { "open" }.into());
    }

    fn document_schemas() -> Vec<(&'static str, Value)> {
        vec![("status", json!({ "type": "string", "enum": ["open", "closed"] }))]
    }

    fn refusals() -> Vec<Rejection> {
        let own = [CLOSED, RANGE_INVALID, TEXT_INVALID, NOTE_EXISTS];
        own.into_iter()
            .chain([valid::NAME_INVALID, valid::AMOUNT_INVALID, valid::URL_INVALID])
            .chain(money::REFUSALS)
            .collect()
    }

    fn examples() -> (Fields, Vec<Command>) {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let money =
            |amount: &str| serde_json::from_value(serde_json::json!({ "amount": amount, "currency": "EUR" })).ok();
        let criteria = Criteria {
            purpose: Purpose::Sale,
            kinds: vec![Kind::Apartment],
            cities: vec!["Roma".into()],
            price_from: money("200000"),
            price_to: money("350000"),
            rooms_from: Some(2),
            area_from: Some(Decimal::new(600, 1)),
            text: Some("Near a park, please.".into()),
        };
        let fields =
            Fields { name: "A flat in Rome".into(), contact: id(0xC), criteria, source: Some("website".into()) };
        let commands = vec![
            Command::NoteExternalOffer {
                note_id: Some(id(0xD)),
                text: "Two rooms by the river".into(),
                url: Some("https://portal.example/77".into()),
            },
            Command::Close { outcome: Some("Bought".into()) },
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
        record::{Common, Happened, New, Spec as _},
    };

    fn flat(events: impl IntoIterator<Item = Event>) -> Given<Enquiry> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    #[test]
    fn somebody_known_is_looking() {
        let create = || Either::Common(Common::Create(crate::kernel::given::new::<Spec>()));
        let contact = Spec::examples().0.contact;
        let own = New { owner: Some(Some(crate::kernel::given::ANNA)), ..crate::kernel::given::new::<Spec>() };
        let created = [Either::Common(Happened::Created(own))];
        given::<Enquiry>([]).alive("contact", contact).when(create()).then(created);
    }

    #[test]
    fn other_criteria_have_an_event_of_their_own() {
        let from = Spec::examples().0.criteria;
        let to = Criteria { rooms_from: Some(3), ..from.clone() };
        let edit =
            || Either::Common(Common::Edit(json!({ "criteria": { "rooms_from": 3 } }).as_object().unwrap().clone()));
        let changed = || Event::CriteriaChanged { from: from.clone(), to: to.clone() };
        flat([]).when(edit()).then([Either::Own(changed())]);
        flat([changed()]).when(edit()).nothing();
    }

    #[test]
    fn offers_from_elsewhere_are_noted_while_it_is_open() {
        let (_, commands) = Spec::examples();
        let note = || Either::Own(commands[0].clone());
        let noted = || Event::ExternalOfferNoted {
            note_id: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000D),
            text: "Two rooms by the river".into(),
            url: Some("https://portal.example/77".into()),
        };
        flat([]).when(note()).then([Either::Own(noted())]);
        flat([noted()]).when(note()).nothing();
        let closed = || Event::Closed { outcome: Some("Bought".into()) };
        flat([]).when(Either::Own(commands[1].clone())).then([Either::Own(closed())]);
        flat([closed()]).when(note()).rejected(CLOSED);
        flat([closed()]).when(Either::Common(Common::MoveStage { stage: "viewing".into() })).rejected(CLOSED);
        flat([closed()]).when(Either::Own(Command::Reopen)).then([Either::Own(Event::Reopened)]);
        let blank = Command::NoteExternalOffer { note_id: None, text: " ".into(), url: None };
        flat([]).when(Either::Own(blank)).rejected(TEXT_INVALID);
    }

    #[test]
    fn it_knows_what_was_offered() {
        let sent = |offer: u128, properties: &[u128]| Event::OfferSent {
            offer: Id::from_bits(offer),
            properties: properties.iter().map(|id| Id::from_bits(*id)).collect(),
            to: Id::from_bits(0xC),
            medium: "email".into(),
        };
        let offered = flat([sent(1, &[5, 6]), sent(2, &[6])]).state.state.offered;
        let pairs: Vec<_> = offered.iter().map(|(property, offer)| (property.bits(), offer.bits())).collect();
        assert_eq!(pairs, [(5, 1), (6, 1)]);
    }
}
