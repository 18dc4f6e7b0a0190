//! Properties put before a customer who enquired: drafted, sent, opened, accepted or declined.
//!
//! The same property is never offered twice by mistake. What an enquiry and its contact were offered is written into
//! their own streams together with `offer.sent`, so that the check reads no list that may lag behind.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Aggregate, Ctx, Decision, Echo, Id, Need, Personal, Rejection, all,
    crm::{
        contact::{self, Contact},
        enquiry::{self, Enquiry},
        property::Property,
    },
    kernel::{
        access::Relation,
        merging,
        named::Either,
        reference::{self, REFERENCE_UNFIT, Subject},
    },
    must,
    org::{settings, tenant::Tenant},
};

/// A new offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The enquiry it answers; it goes to whoever enquires then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "enquiry"))]
    pub enquiry: Option<Id>,
    /// The contact it goes to, when it answers no enquiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
    /// What it offers.
    #[schemars(extend("x-reference" = "property"))]
    pub properties: Vec<Id>,
    /// What is written with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Personal<String>>,
}

/// What may be asked of an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Drafts an offer.
    Draft(New),
    /// Changes a draft.
    Revise {
        /// What it offers from now on.
        #[schemars(extend("x-reference" = "property"))]
        properties: Vec<Id>,
        /// What is written with it.
        #[serde(default)]
        text: Option<Personal<String>>,
    },
    /// Sends it. A property that this enquiry or its contact was offered before is refused, unless a reason is given.
    Send {
        /// By what means, such as `email`.
        medium: String,
        /// Why a property is offered once more.
        #[serde(default)]
        repeat_reason: Option<String>,
    },
    /// Records that the customer has looked at it.
    MarkOpened,
    /// Records that the customer wants one or more of the properties.
    Accept {
        /// Which of them; all when empty.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "property"))]
        properties: Vec<Id>,
    },
    /// Records that the customer wants none.
    Decline {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// A property that had been offered before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repeated {
    /// The property.
    pub property: Id,
    /// The offer that first had it.
    pub offer: Id,
}

/// What has happened to an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was drafted.
    Drafted {
        /// The enquiry it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enquiry: Option<Id>,
        /// Who enquired.
        contact: Id,
        /// What it offers.
        properties: Vec<Id>,
        /// What is written with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Personal<String>>,
    },
    /// The draft changed.
    Revised {
        /// What it offers.
        properties: Vec<Id>,
        /// What is written with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Personal<String>>,
    },
    /// It was sent.
    Sent {
        /// The contact it went to.
        to: Id,
        /// What it offers.
        properties: Vec<Id>,
        /// By what means.
        medium: String,
        /// What had been offered before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        repeated: Vec<Repeated>,
        /// Why it was offered once more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeat_reason: Option<String>,
    },
    /// The customer has looked at it.
    Opened,
    /// The customer wants these.
    Accepted {
        /// The properties.
        properties: Vec<Id>,
    },
    /// The customer wants none.
    Declined {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// How far an offer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such offer.
    #[default]
    Missing,
    /// Not sent yet.
    Draft,
    /// Sent.
    Sent,
    /// Looked at.
    Opened,
    /// Wanted.
    Accepted,
    /// Not wanted.
    Declined,
}

/// An offer.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// How far it has come.
    pub status: Status,
    /// The enquiry it answers.
    pub enquiry: Option<Id>,
    /// Who enquired, or whom it is for.
    pub contact: Id,
    /// What it offers.
    pub properties: Vec<Id>,
    text: Option<Personal<String>>,
    accepted: Vec<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("offer_unknown", "There is no such offer.");
const EXISTS: Rejection = Rejection::conflict("offer_exists", "An offer with this id exists already.");
const SENT: Rejection = Rejection::conflict("offer_sent", "The offer is sent and cannot change any more.");
const NOT_SENT: Rejection = Rejection::conflict("offer_not_sent", "The offer is not sent yet.");
const ANSWERED: Rejection = Rejection::conflict("offer_answered", "The customer has answered otherwise already.");
const PROPERTIES_INVALID: Rejection =
    Rejection::invalid("offer_properties_invalid", "An offer has 1 to 50 properties, each once.");
const PROPERTY_UNKNOWN: Rejection = Rejection::invalid("offer_property_unknown", "The offer has no such property.");
const MEDIUM_INVALID: Rejection =
    Rejection::invalid("offer_medium_invalid", "A medium is one of those in the setting media, such as email.");
const REASON_INVALID: Rejection = Rejection::invalid("repeat_reason_invalid", "A reason may not be blank.");
const ENQUIRY_CLOSED: Rejection = Rejection::conflict("enquiry_closed", "The enquiry is closed; reopen it first.");
const FOR_WHOM: Rejection =
    Rejection::invalid("offer_for_whom", "Say for which enquiry or for which contact, one of the two.");
const ALREADY_OFFERED: Rejection = Rejection::conflict(
    "already_offered",
    "This enquiry or its contact was offered the property before; give a repeat_reason to offer it once more.",
);

/// The contact with everybody merged into it, as far as the facts go.
fn everybody(contact: Id, ctx: &Ctx<'_>) -> Vec<Id> {
    let mut all = vec![merging::survivor::<Contact>(contact, ctx)];
    let mut next = 0;
    while let Some(one) = all.get(next).copied() {
        next += 1;
        if ctx.facts.has(Contact::KIND, one) {
            let absorbed: Vec<_> = ctx.fact::<Contact>(one).absorbed().filter(|id| !all.contains(id)).collect();
            all.extend(absorbed);
        }
    }
    all
}

fn draft(new: New, ctx: &Ctx<'_>) -> Decision<Event> {
    let contact = match (new.enquiry, new.contact) {
        (Some(enquiry), None) => ctx.fact::<Enquiry>(enquiry).fields.as_ref().map(|fields| fields.contact),
        (None, contact) => contact,
        _ => None,
    };
    let unclear = new.enquiry.is_some() == new.contact.is_some();
    all([must(!unclear, FOR_WHOM, "/enquiry"), check_properties(&new.properties)])?;
    let contact = contact.ok_or_else(|| REFERENCE_UNFIT.at("/enquiry"))?;
    let New { enquiry, properties, text, .. } = new;
    Ok(vec![Event::Drafted { enquiry, contact, properties, text }])
}

fn check_properties(properties: &[Id]) -> Result<(), Rejection> {
    let distinct = properties.iter().collect::<BTreeSet<_>>().len() == properties.len();
    let sound = distinct && (1..=reference::MAX_SUBJECTS).contains(&properties.len());
    if sound { Ok(()) } else { Err(PROPERTIES_INVALID.at("/properties")) }
}

impl Offer {
    /// Whom it goes to: whoever enquires now, as far as the facts go, or the contact it was drafted for.
    fn addressee(&self, ctx: &Ctx<'_>) -> Id {
        let enquiry = self.enquiry.filter(|id| ctx.facts.has(Enquiry::KIND, *id)).map(|id| ctx.fact::<Enquiry>(id));
        let enquires = enquiry.and_then(|enquiry| enquiry.fields.as_ref().map(|fields| fields.contact));
        enquires.unwrap_or(self.contact)
    }

    fn send(&self, medium: String, repeat_reason: Option<String>, ctx: &Ctx<'_>) -> Decision<Event> {
        let media = ctx.fact::<Tenant>(ctx.tenant).media();
        let reasoned = repeat_reason.as_ref().is_none_or(|reason| !reason.trim().is_empty());
        all([
            settings::check_name(&media, &medium, MEDIUM_INVALID, "/medium"),
            must(reasoned, REASON_INVALID, "/repeat_reason"),
        ])?;
        let enquiry = self.enquiry.map(|enquiry| ctx.fact::<Enquiry>(enquiry));
        if enquiry.as_ref().is_some_and(|enquiry| enquiry.state.closed) {
            return Err(ENQUIRY_CLOSED);
        }
        if enquiry.as_ref().is_some_and(|enquiry| enquiry.archived) {
            return Err(REFERENCE_UNFIT.because("The enquiry is archived."));
        }
        let contact = self.addressee(ctx);
        let to = merging::survivor::<Contact>(contact, ctx);
        if !ctx.fact::<Contact>(to).is_live() {
            return Err(REFERENCE_UNFIT.because("The contact it would go to is archived."));
        }
        if let Some(gone) = self.properties.iter().find(|id| !ctx.fact::<Property>(**id).is_live()) {
            return Err(REFERENCE_UNFIT.because(format!("Property {gone} is archived: revise the offer.")));
        }
        let contacts: Vec<_> = everybody(contact, ctx).into_iter().map(|id| ctx.fact::<Contact>(id)).collect();
        let before = |property: &Id| {
            let known = contacts.iter().find_map(|contact| contact.state.offered.get(property).copied());
            enquiry.as_ref().and_then(|enquiry| enquiry.state.offered.get(property).copied()).or(known)
        };
        let repeated: Vec<Repeated> = self
            .properties
            .iter()
            .filter_map(|property| before(property).map(|offer| Repeated { property: *property, offer }))
            .collect();
        if let (Some(first), None) = (repeated.first(), &repeat_reason) {
            let detail = format!(
                "Property {} was offered before, by offer {}; give a repeat_reason to offer it once more.",
                first.property, first.offer
            );
            return Err(ALREADY_OFFERED.because(detail));
        }
        // A reason for nothing is not worth keeping.
        let repeat_reason = repeat_reason.filter(|_| !repeated.is_empty());
        Ok(vec![Event::Sent { to, properties: self.properties.clone(), medium, repeated, repeat_reason }])
    }
}

impl Aggregate for Offer {
    const KIND: &'static str = "offer";
    const PLURAL: &'static str = "offers";
    const CREATE: &'static str = "draft";
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (self.status, command) {
            (Status::Missing, Command::Draft(new)) => draft(new, ctx),
            (Status::Missing, _) => Err(UNKNOWN),
            (_, Command::Draft(new))
                if (new.enquiry, &new.properties) == (self.enquiry, &self.properties)
                    && new.contact.is_none_or(|contact| contact == self.contact) =>
            {
                Ok(vec![])
            }
            (_, Command::Draft(_)) => Err(EXISTS),
            (Status::Draft, Command::Revise { properties, text }) => {
                if (&properties, &text) == (&self.properties, &self.text) {
                    return Ok(vec![]);
                }
                check_properties(&properties)?;
                Ok(vec![Event::Revised { properties, text }])
            }
            (_, Command::Revise { .. }) => Err(SENT),
            (Status::Draft, Command::Send { medium, repeat_reason }) => self.send(medium, repeat_reason, ctx),
            (_, Command::Send { .. }) => Ok(vec![]), // Asked twice: it is on its way.
            (Status::Draft, _) => Err(NOT_SENT),
            (Status::Sent, Command::MarkOpened) => Ok(vec![Event::Opened]),
            (_, Command::MarkOpened) => Ok(vec![]),
            (status, Command::Accept { properties }) => {
                let properties = if properties.is_empty() { self.properties.clone() } else { properties };
                if let Some(stranger) = properties.iter().position(|property| !self.properties.contains(property)) {
                    return Err(PROPERTY_UNKNOWN.at(format!("/properties/{stranger}")));
                }
                match status {
                    Status::Accepted if properties == self.accepted => Ok(vec![]),
                    Status::Accepted | Status::Declined => Err(ANSWERED),
                    _ => Ok(vec![Event::Accepted { properties }]),
                }
            }
            (Status::Accepted, Command::Decline { .. }) => Err(ANSWERED),
            (Status::Declined, Command::Decline { .. }) => Ok(vec![]),
            (_, Command::Decline { reason }) => Ok(vec![Event::Declined { reason }]),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        let to = |contact: Id| Relation::About("contact", vec![Subject::new("contact", contact)]);
        match event {
            Event::Drafted { enquiry, contact, .. } => {
                let enquiry = enquiry.map(|enquiry| Subject::new("enquiry", enquiry));
                vec![Relation::About("enquiry", enquiry.into_iter().collect()), to(*contact)]
            }
            Event::Sent { to: contact, .. } => vec![to(*contact)],
            _ => Vec::new(),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Drafted { enquiry, contact, properties, text } => {
                *self = Offer {
                    status: Status::Draft,
                    enquiry: *enquiry,
                    contact: *contact,
                    properties: properties.clone(),
                    text: text.clone(),
                    accepted: Vec::new(),
                };
            }
            Event::Revised { properties, text } => {
                self.properties.clone_from(properties);
                self.text.clone_from(text);
            }
            Event::Sent { to, .. } => {
                self.status = Status::Sent;
                self.contact = *to;
            }
            Event::Opened => self.status = Status::Opened,
            Event::Accepted { properties } => {
                self.status = Status::Accepted;
                self.accepted.clone_from(properties);
            }
            Event::Declined { .. } => self.status = Status::Declined,
        }
    }

    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn document(&self) -> Option<Value> {
        let Offer { status, enquiry, contact, properties, .. } = self;
        let document = json!({ "status": status, "enquiry": enquiry, "contact": contact, "properties": properties });
        (*status != Status::Missing).then_some(document)
    }

    fn document_schema(generator: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Document {
            status: Status,
            enquiry: Option<Id>,
            contact: Id,
            properties: Vec<Id>,
        }
        Some(Document::json_schema(generator))
    }

    /// Sending waits for nobody who sends the same to the same customer: enquiry and contacts are guarded.
    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Draft(new) => new.enquiry.map(Need::of::<Enquiry>).into_iter().collect(),
            Command::Send { .. } if self.status == Status::Draft => {
                let contact = self.addressee(ctx);
                let chain = [contact].into_iter().chain(everybody(contact, ctx));
                let mut needs = vec![Need::of::<Tenant>(ctx.tenant)];
                needs.extend(self.enquiry.map(Need::guarded::<Enquiry>));
                needs.extend(chain.map(Need::guarded::<Contact>));
                needs.extend(self.properties.iter().copied().map(Need::of::<Property>));
                needs
            }
            _ => Vec::new(),
        }
    }

    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let Event::Sent { to, properties, medium, .. } = event else { return Vec::new() };
        let (offer, properties) = (ctx.id, properties.clone());
        let received = contact::Event::OfferReceived { offer, properties: properties.clone() };
        let sent = enquiry::Event::OfferSent { offer, properties, to: *to, medium: medium.clone() };
        let enquiry = self.enquiry.map(|enquiry| Echo::to::<Enquiry>(enquiry, &Either::Own(sent)));
        enquiry.into_iter().chain([Echo::to::<Contact>(*to, &Either::Own(received))]).collect()
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Drafted { contact, .. } => Some(*contact),
            _ => Some(self.contact),
        }
    }

    fn refusals() -> Vec<Rejection> {
        let states = [UNKNOWN, EXISTS, SENT, NOT_SENT, ANSWERED, ENQUIRY_CLOSED, ALREADY_OFFERED];
        let fields = [FOR_WHOM, PROPERTIES_INVALID, PROPERTY_UNKNOWN, MEDIUM_INVALID, REASON_INVALID, REFERENCE_UNFIT];
        states.into_iter().chain(fields).collect()
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let text = || Some(Personal::from("Two flats that may suit you."));
        vec![
            Command::Draft(New { enquiry: Some(id(0xC)), contact: None, properties: vec![id(1), id(2)], text: text() }),
            Command::Revise { properties: vec![id(1)], text: text() },
            Command::Send { medium: "email".into(), repeat_reason: Some("The price has fallen".into()) },
            Command::MarkOpened,
            Command::Accept { properties: vec![id(1)] },
            Command::Decline { reason: Some("Too far out".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, SUBJECT, created, given};

    const ENQUIRY: Id = Id::from_bits(0xE);
    const FLAT: Id = Id::from_bits(0x21);
    const HOUSE: Id = Id::from_bits(0x22);
    const BEFORE: Id = Id::from_bits(0x31);
    const SURVIVOR: Id = Id::from_bits(0x32);

    fn maria() -> Id {
        <enquiry::Spec as crate::kernel::record::Spec>::examples().0.contact
    }

    fn drafted() -> Event {
        Event::Drafted {
            enquiry: Some(ENQUIRY),
            contact: maria(),
            properties: vec![FLAT, HOUSE],
            text: Some("Two".into()),
        }
    }

    fn sent() -> Event {
        let medium = "email".to_owned();
        Event::Sent { to: maria(), properties: vec![FLAT, HOUSE], medium, repeated: vec![], repeat_reason: None }
    }

    fn received() -> contact::Event {
        contact::Event::OfferReceived { offer: BEFORE, properties: vec![FLAT] }
    }

    /// The enquiry after these events, its contact after those, and both properties.
    fn world(
        offer: impl IntoIterator<Item = Event>,
        enquiry: impl IntoIterator<Item = enquiry::Event>,
        contact: impl IntoIterator<Item = contact::Event>,
    ) -> Given<Offer> {
        given(offer)
            .alive("property", FLAT)
            .alive("property", HOUSE)
            .with::<Enquiry>(
                ENQUIRY,
                created::<enquiry::Spec>().into_iter().chain(enquiry.into_iter().map(Either::Own)),
            )
            .with::<Contact>(
                maria(),
                created::<contact::Spec>().into_iter().chain(contact.into_iter().map(Either::Own)),
            )
    }

    fn send(repeat_reason: Option<&str>) -> Command {
        Command::Send { medium: "email".into(), repeat_reason: repeat_reason.map(ToOwned::to_owned) }
    }

    #[test]
    fn it_is_drafted_for_an_enquiry_and_revised_until_it_is_sent() {
        let draft = |properties| {
            Command::Draft(New { enquiry: Some(ENQUIRY), contact: None, properties, text: Some("Two".into()) })
        };
        world([], [], []).when(draft(vec![FLAT, HOUSE])).then([drafted()]);
        world([drafted()], [], []).when(draft(vec![FLAT, HOUSE])).nothing();
        world([], [], []).when(draft(vec![])).rejected(PROPERTIES_INVALID);
        world([], [], []).when(draft(vec![FLAT, FLAT])).rejected(PROPERTIES_INVALID);
        given::<Offer>([]).when(draft(vec![FLAT])).rejected(REFERENCE_UNFIT);
        let revise = || Command::Revise { properties: vec![HOUSE], text: Some("One".into()) };
        let revised = || Event::Revised { properties: vec![HOUSE], text: Some("One".into()) };
        world([drafted()], [], []).when(revise()).then([revised()]);
        world([drafted(), revised()], [], []).when(revise()).nothing();
        world([drafted(), sent()], [], []).when(revise()).rejected(SENT);
    }

    #[test]
    fn sending_is_known_to_the_enquiry_and_to_the_contact() {
        world([drafted()], [], []).when(send(None)).then([sent()]);
        world([drafted(), sent()], [], []).when(send(None)).nothing();
        let (actor, facts) = (crate::Actor::SYSTEM, crate::Facts::default());
        let ctx = Ctx {
            tenant: Id::NIL,
            id: SUBJECT,
            now: crate::kernel::given::at(0),
            actor: &actor,
            authority: &crate::Authority::full(),
            seed: "x",
            facts: &facts,
        };
        let told: Vec<_> = given::<Offer>([drafted()])
            .state
            .echoes(&sent(), &ctx)
            .iter()
            .map(|echo| (echo.event_type.clone(), echo.id))
            .collect();
        let expected = [("enquiry.offer_sent", ENQUIRY), ("contact.offer_received", maria())];
        assert_eq!(told, expected.map(|(kind, id)| (kind.to_owned(), id)));
    }

    #[test]
    fn what_was_offered_before_is_refused_unless_there_is_a_reason() {
        let by_enquiry = || {
            [enquiry::Event::OfferSent { offer: BEFORE, properties: vec![FLAT], to: maria(), medium: "email".into() }]
        };
        world([drafted()], by_enquiry(), []).when(send(None)).rejected(ALREADY_OFFERED);
        // Through another enquiry of the same contact.
        world([drafted()], [], [received()]).when(send(None)).rejected(ALREADY_OFFERED);
        world([drafted()], [], [received()]).when(send(Some(" "))).rejected(REASON_INVALID);
        world([drafted()], [], [received()]).when(send(Some("The price has fallen"))).then([Event::Sent {
            to: maria(),
            properties: vec![FLAT, HOUSE],
            medium: "email".into(),
            repeated: vec![Repeated { property: FLAT, offer: BEFORE }],
            repeat_reason: Some("The price has fallen".into()),
        }]);
        // A reason for nothing is not kept.
        world([drafted()], [], []).when(send(Some("Just in case"))).then([sent()]);
    }

    #[test]
    fn contacts_merged_into_one_are_one() {
        let merged = || contact::Event::Merged { into: SURVIVOR, redirects: vec![] };
        let absorbed = contact::Event::Absorbed { contact: maria(), redirects: vec![], parts: Default::default() };
        let survivor = |events: Vec<contact::Event>| {
            created::<contact::Spec>().into_iter().chain(events.into_iter().map(Either::Own)).collect::<Vec<_>>()
        };
        let fresh = world([drafted()], [], [merged()]).with::<Contact>(SURVIVOR, survivor(vec![absorbed.clone()]));
        let events = fresh.when(send(None)).events();
        assert!(matches!(&events[..], [Event::Sent { to, .. }] if *to == SURVIVOR));
        // What either of them was offered counts.
        let before = world([drafted()], [], [received(), merged()]).with::<Contact>(SURVIVOR, survivor(vec![absorbed]));
        before.when(send(None)).rejected(ALREADY_OFFERED);
        let after = world([drafted()], [], [merged()]).with::<Contact>(SURVIVOR, survivor(vec![received()]));
        after.when(send(None)).rejected(ALREADY_OFFERED);
    }

    #[test]
    fn nothing_is_sent_for_what_is_over() {
        world([drafted()], [enquiry::Event::Closed { outcome: None }], []).when(send(None)).rejected(ENQUIRY_CLOSED);
        let gone = given::<Offer>([drafted()])
            .alive("property", FLAT)
            .with::<Enquiry>(ENQUIRY, created::<enquiry::Spec>())
            .with::<Contact>(maria(), created::<contact::Spec>());
        gone.when(send(None)).rejected(REFERENCE_UNFIT);
        let blank = Command::Send { medium: " ".into(), repeat_reason: None };
        world([drafted()], [], []).when(blank).rejected(MEDIUM_INVALID);
    }

    #[test]
    fn the_customer_looks_and_answers_once() {
        let sent = || [drafted(), sent()];
        given::<Offer>([drafted()]).when(Command::MarkOpened).rejected(NOT_SENT);
        given::<Offer>(sent()).when(Command::MarkOpened).then([Event::Opened]);
        let accept = |properties| Command::Accept { properties };
        let accepted = || Event::Accepted { properties: vec![FLAT] };
        given::<Offer>(sent()).when(accept(vec![FLAT])).then([accepted()]);
        given::<Offer>(sent().into_iter().chain([accepted()])).when(accept(vec![FLAT])).nothing();
        given::<Offer>(sent().into_iter().chain([accepted()])).when(accept(vec![])).rejected(ANSWERED);
        given::<Offer>(sent()).when(accept(vec![BEFORE])).rejected(PROPERTY_UNKNOWN);
        let decline = || Command::Decline { reason: Some("Too far".into()) };
        let declined = || Event::Declined { reason: Some("Too far".into()) };
        given::<Offer>(sent()).when(decline()).then([declined()]);
        given::<Offer>(sent().into_iter().chain([declined()])).when(decline()).nothing();
        given::<Offer>(sent().into_iter().chain([accepted()])).when(decline()).rejected(ANSWERED);
    }
}
