//! What somebody filled in and sent: a ticket with its contact, or kept with the reason why it is none.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Echo, Faults, Id, Need, Party, PartyKind, Personal, Rejection,
    crm::contact::{self, Contact, Identity, IdentityKind},
    desk::{
        form::{self, Device, Form, InputType, Page, Values},
        ticket::{self, Attachment, Priority, Ticket},
    },
    kernel::{
        access::Relation,
        custom::{self, Custom},
        files::{self, Files},
        named::Either,
        record::{self, Common},
        reference::{REFERENCE_UNFIT, Subject},
    },
    org::{field::Field, tenant::Tenant},
};

/// What was noticed of a submission besides what was filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Noticed {
    /// Whether a field was filled in that people do not see.
    pub trapped: bool,
    /// How many milliseconds lie between the page and its answer, where the page says when it was made.
    pub took_ms: Option<u64>,
    /// Whether it came from the page itself or from a site that may show the form.
    pub allowed_site: bool,
    /// Whether too much came from the same address.
    pub flooding: bool,
}

/// Nobody reads and fills in a form in less, in milliseconds.
const FASTEST: u64 = 2_000;
/// A page that is older is not believed, in milliseconds.
const OLDEST: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Why something that was sent is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A field was filled in that people do not see.
    Honeypot,
    /// It came sooner than anybody reads.
    TooFast,
    /// Its page is older than a week.
    Expired,
    /// It came from a site that may not show the form.
    Site,
    /// Too much came from the same address.
    Flood,
    /// No ticket could be made of it: the code says why.
    Unfit,
}

impl Noticed {
    fn reason(&self) -> Option<Reason> {
        if self.trapped {
            return Some(Reason::Honeypot);
        }
        if !self.allowed_site {
            return Some(Reason::Site);
        }
        if self.flooding {
            return Some(Reason::Flood);
        }
        match self.took_ms? {
            took if took < FASTEST => Some(Reason::TooFast),
            took if took > OLDEST => Some(Reason::Expired),
            _ => None,
        }
    }
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// The form.
    pub form: Id,
    /// The version of it that was filled in.
    pub version: u32,
    /// What was filled in, by the keys of its fields.
    pub values: Values,
    /// The files, by the keys of their fields, of which the values are their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Attachment>,
    /// The site that sent it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// On what it was filled in.
    pub device: Device,
}

/// What may be asked of a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Takes in what somebody sent.
    Submit {
        /// The form.
        #[schemars(extend("x-reference" = "form"))]
        form: Id,
        /// The version of it that was filled in.
        version: u32,
        /// What was filled in, by the keys of its fields.
        values: Values,
        /// The files, by the keys of their fields, of which the values are their names.
        #[serde(default)]
        files: BTreeMap<String, Attachment>,
        /// The site that sent it.
        #[serde(default)]
        site: Option<String>,
        /// On what it was filled in.
        device: Device,
        /// What was noticed besides.
        noticed: Noticed,
        /// The contact who has the address that was given.
        #[serde(default)]
        #[schemars(extend("x-reference" = "contact"))]
        contact: Option<Id>,
        /// By what the sender owns the product that was chosen.
        #[serde(default)]
        #[schemars(extend("x-reference" = "entitlement"))]
        entitlement: Option<Id>,
        /// Makes no contact of a sender who is not known: somebody who is put away has the address.
        #[serde(default)]
        nameless: bool,
    },
    /// Makes a ticket after all of what was kept.
    Accept {
        /// The contact who sent it; by default one that comes into being.
        #[serde(default)]
        #[schemars(extend("x-reference" = "contact"))]
        contact: Option<Id>,
        /// The owned product that it is about.
        #[serde(default)]
        #[schemars(extend("x-reference" = "entitlement"))]
        entitlement: Option<Id>,
    },
}

/// What has happened to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It came in.
    Received(Received),
    /// It has become a ticket.
    Accepted {
        /// The ticket.
        ticket: Id,
        /// The contact who asks, if anybody can be answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<Id>,
        /// The owned product that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entitlement: Option<Id>,
    },
    /// It is kept, and no ticket.
    Rejected {
        /// Why.
        reason: Reason,
        /// What stood in the way, where no ticket could be made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such submission.
    #[default]
    Missing,
    /// It is a ticket.
    Accepted,
    /// It is kept.
    Rejected,
}

/// A submission, as far as decisions need it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FormSubmission {
    /// How far it has come.
    pub status: Status,
    /// What was sent.
    pub received: Option<Received>,
    contact: Option<Id>,
}

const UNKNOWN: Rejection = Rejection::missing("form_submission_unknown", "There is no such submission.");
/// The form cannot be filled in now.
pub const UNPUBLISHED: Rejection =
    Rejection::conflict("form_unpublished", "The form is not published, or was never so in this version.");

/// Under which name the id of a contact is derived that comes into being with it.
const CONTACT: &str = "contact";
/// The same of the ticket.
const TICKET: &str = "ticket";
/// The same of the message with which its files come.
const MESSAGE: &str = "message";

/// How a ticket is made.
#[derive(Clone, Copy)]
struct Making {
    contact: Option<Id>,
    entitlement: Option<Id>,
    nameless: bool,
}

/// What a ticket is made of.
struct Taken {
    page: Page,
    values: Values,
    files: Vec<Attachment>,
}

/// The ticket and the contact that come of a submission.
struct Made {
    ticket: Id,
    contact: Option<Id>,
    entitlement: Option<Id>,
    echoes: Vec<Echo>,
}

fn uploads(files: &BTreeMap<String, Attachment>) -> impl Iterator<Item = Id> {
    files.values().map(|file| file.upload_id)
}

/// By what a ticket leads back to the submission that it came from.
pub fn origin(submission: Id) -> String {
    format!("form_submissions/{submission}")
}

/// Where the sender is reached.
pub fn addresses(page: &Page, taken: &Values) -> Vec<Identity> {
    let email = page.filled(taken, "contact.email").map(|email| Identity::new(IdentityKind::Email, email));
    let phone = page.filled(taken, "contact.phone").map(|phone| Identity::new(IdentityKind::Phone, phone));
    email.into_iter().chain(phone).collect()
}

/// The sender as a contact, if there is anywhere to reach him.
fn sender(page: &Page, taken: &Values) -> Option<record::New<contact::Fields>> {
    let of = |what: &str| page.filled(taken, what).map(|value| Personal(value.to_owned()));
    let (email, phone) = (of("contact.email"), of("contact.phone"));
    let name = of("contact.name").or_else(|| email.clone()).or_else(|| phone.clone())?;
    (email.is_some() || phone.is_some()).then(|| contact::described(name, email, phone, Some("form".into())))
}

/// The text of a ticket: what was told, and what every other field holds.
fn story(page: &Page, taken: &Values, owned: bool) -> Option<Personal<String>> {
    let told = page.filled(taken, "ticket.description").map(ToOwned::to_owned);
    let rest = page.fields.iter().filter_map(|field| {
        let value = taken.get(&field.key)?;
        let kept = match field.maps_to.as_deref() {
            None => true,
            // What the sender does not own the ticket cannot be about.
            Some("ticket.product") => !owned,
            Some(_) => false,
        };
        kept.then(|| format!("{}: {}", field.label, field.called(value)))
    });
    let rest: Vec<String> = rest.collect();
    let rest = (!rest.is_empty()).then(|| rest.join("\n"));
    let parts: Vec<String> = told.into_iter().chain(rest).collect();
    (!parts.is_empty()).then(|| Personal(parts.join("\n\n")))
}

/// The custom fields of a ticket.
fn custom_of(page: &Page, taken: &Values, ctx: &Ctx<'_>) -> Custom {
    let definitions = &ctx.fact::<Field>(Field::id_for(ctx.tenant, Ticket::KIND)).definitions;
    let values = page.fields.iter().filter_map(|field| {
        let key = field.custom()?;
        let definition = definitions.get(key)?;
        let value = match taken.get(&field.key) {
            Some(value) => form::as_custom(definition.field_type, field.input_type, value)?,
            None if field.input_type == InputType::Checkbox => false.into(),
            None => return None,
        };
        Some((key.to_owned(), value))
    });
    values.collect()
}

fn new_ticket(page: &Page, taken: &Values, making: Making, id: Id, ctx: &Ctx<'_>) -> ticket::New {
    let Making { contact, entitlement, .. } = making;
    let of = |what: &str| page.filled(taken, what).map(ToOwned::to_owned);
    let tenant = ctx.fact::<Tenant>(ctx.tenant);
    let priority = of("ticket.priority").and_then(|level| Priority::try_from(level.parse::<u8>().ok()?).ok());
    ticket::New {
        title: Personal(of("ticket.title").unwrap_or_else(|| page.about.name.clone())),
        description: story(page, taken, entitlement.is_some()),
        requester: contact.map(|id| Party { kind: PartyKind::Contact, id }),
        team: page.about.team,
        channel: tenant.media().contains(&"form".to_owned()).then(|| "form".to_owned()),
        origin: Some(origin(id)),
        priority: priority.unwrap_or_default(),
        category: of("ticket.category"),
        entitlement,
        custom: custom_of(page, taken, ctx),
        ..ticket::New::default()
    }
}

impl FormSubmission {
    /// Makes a ticket of what was taken. It is asked twice, when it is decided and when it is written down, and answers alike.
    fn make(&self, taken: &Taken, making: Making, ctx: &Ctx<'_>) -> Result<Made, Rejection> {
        let Taken { page, values, files } = taken;
        let born = sender(page, values).filter(|_| making.contact.is_none() && !making.nameless);
        let fresh = ctx.fresh(CONTACT);
        let mut echoes = Vec::new();
        let facts = match born {
            Some(new) => {
                let (contact, told) = Echo::of_new::<Contact>(fresh, Either::Common(Common::Create(new)), ctx)?;
                echoes.extend(told);
                Some((fresh, ctx.facts.with::<Contact>(fresh, contact)))
            }
            None => None,
        };
        let contact = facts.as_ref().map(|(id, _)| *id).or(making.contact);
        let ctx = Ctx { facts: facts.as_ref().map_or(ctx.facts, |(_, facts)| facts), ..*ctx };
        let ticket = ctx.fresh(TICKET);
        let open = |entitlement: Option<Id>| {
            let new = new_ticket(page, values, Making { contact, entitlement, ..making }, ctx.id, &ctx);
            Echo::of_new::<Ticket>(ticket, ticket::Command::Open(new), &ctx)
        };
        // A product that the sender does not own after all leaves the ticket; it is told in its text.
        let (entitlement, (opened, told)) = match open(making.entitlement) {
            Ok(opened) => (making.entitlement, opened),
            Err(refusal) if making.entitlement.is_none() => return Err(refusal),
            Err(_) => (None, open(None)?),
        };
        echoes.extend(told);
        if !files.is_empty() {
            let (_, told) = Echo::of_next::<Ticket>(opened, ticket, message(files, &ctx), &ctx)?;
            echoes.extend(told);
        }
        Ok(Made { ticket, contact, entitlement, echoes })
    }

    fn needs_of(&self, form: Id, version: u32, values: &Values, making: Making, ctx: &Ctx<'_>) -> Vec<Need> {
        let mut needs = vec![
            Need::of::<Form>(form),
            Need::of::<Tenant>(ctx.tenant),
            custom::needs(Ticket::KIND, ctx),
            Need::guarded::<Contact>(ctx.fresh(CONTACT)),
            Need::guarded::<Ticket>(ctx.fresh(TICKET)),
        ];
        if !ctx.facts.has(Form::KIND, form) || !ctx.facts.has(Tenant::KIND, ctx.tenant) {
            return needs;
        }
        let form = ctx.fact::<Form>(form);
        let Some(page) = form.state.versions.get(&version) else { return needs };
        let born = sender(page, values).filter(|_| making.contact.is_none() && !making.nameless);
        let requester = match born {
            Some(new) => {
                let create = Either::Common(Common::Create(new));
                needs.extend(Contact::default().needs(&create, &Ctx { id: ctx.fresh(CONTACT), ..*ctx }));
                Some(ctx.fresh(CONTACT))
            }
            None => making.contact,
        };
        let requester = requester.map(|id| Party { kind: PartyKind::Contact, id });
        for (requester, entitlement) in [(requester, making.entitlement), (requester, None), (None, None)] {
            let new = ticket::New { requester, entitlement, team: page.about.team, ..ticket::New::default() };
            let there = Ctx { id: ctx.fresh(TICKET), ..*ctx };
            needs.extend(Ticket::default().needs(&ticket::Command::Open(new), &there));
            needs.extend(Ticket::default().needs(&message(&[], ctx), &there));
        }
        needs
    }
}

/// With what the files of a submission come to its ticket.
fn message(files: &[Attachment], ctx: &Ctx<'_>) -> ticket::Command {
    ticket::Command::ReceiveMessage {
        message_id: Some(ctx.fresh(MESSAGE)),
        external_id: None,
        from: None,
        body: Personal(String::new()),
        attachments: files.to_vec(),
        email: None,
    }
}

/// The version of a form that was filled in, and what is taken of the values and files.
fn taken(received: &Received, ctx: &Ctx<'_>) -> Result<Taken, Rejection> {
    let form = ctx.fact::<Form>(received.form);
    let page = form.state.versions.get(&received.version).ok_or(UNPUBLISHED)?.clone();
    let country = ctx.fact::<Tenant>(ctx.tenant).default_country();
    let values = page.take(&received.values, received.device, country)?;
    let asked =
        page.fields.iter().filter(|field| field.input_type == InputType::File && values.contains_key(&field.key));
    let mut faults = Faults::default();
    let mut files = Vec::new();
    for field in asked {
        match received.files.get(&field.key) {
            Some(file) => files.push(file.clone()),
            None => faults.add(form::VALUE_INVALID.at(format!("/values/{}", field.key))),
        }
    }
    faults.done()?;
    Ok(Taken { page, values, files })
}

impl Aggregate for FormSubmission {
    const KIND: &'static str = "form_submission";
    const PLURAL: &'static str = "form_submissions";
    const CREATE: &'static str = "submit";
    const INTERNAL: &'static [&'static str] = &["submit"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (self.status, command) {
            // The same page was sent twice.
            (Status::Accepted | Status::Rejected, Command::Submit { .. }) => Ok(vec![]),
            (
                Status::Missing,
                Command::Submit { form, version, values, files, site, device, noticed, contact, entitlement, nameless },
            ) => {
                let known = ctx.fact::<Form>(form);
                if known.page().is_none() || !known.state.versions.contains_key(&version) {
                    return Err(UNPUBLISHED);
                }
                let received = Received { form, version, values, files, site, device };
                if let Some(reason) = noticed.reason() {
                    return Ok(vec![Event::Received(received), Event::Rejected { reason, code: None }]);
                }
                let taken = taken(&received, ctx)?;
                let made = self.make(&taken, Making { contact, entitlement, nameless }, ctx);
                let outcome = match made {
                    Ok(Made { ticket, contact, entitlement, .. }) => Event::Accepted { ticket, contact, entitlement },
                    // The sender can do nothing about it: it is kept, and whoever looks after the form learns why.
                    Err(refusal) => {
                        let code = Some(refusal.code.into_owned());
                        Event::Rejected { reason: Reason::Unfit, code }
                    }
                };
                Ok(vec![Event::Received(received), outcome])
            }
            (Status::Missing, Command::Accept { .. }) => Err(UNKNOWN),
            (Status::Accepted, Command::Accept { .. }) => Ok(vec![]),
            (Status::Rejected, Command::Accept { contact, entitlement }) => {
                let Some(received) = &self.received else { return Err(UNKNOWN) };
                let taken = taken(received, ctx)?;
                let making = Making { contact, entitlement, nameless: false };
                let Made { ticket, contact, entitlement, .. } = self.make(&taken, making, ctx)?;
                Ok(vec![Event::Accepted { ticket, contact, entitlement }])
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Received(received) => self.received = Some(received.clone()),
            Event::Accepted { contact, .. } => {
                self.status = Status::Accepted;
                self.contact = *contact;
            }
            Event::Rejected { .. } => self.status = Status::Rejected,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Received(received) => vec![Relation::About("form", vec![Subject::new(Form::KIND, received.form)])],
            _ => Vec::new(),
        }
    }

    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match (command, &self.received) {
            (Command::Submit { form, version, values, contact, entitlement, nameless, .. }, _) => {
                let making = Making { contact: *contact, entitlement: *entitlement, nameless: *nameless };
                self.needs_of(*form, *version, values, making, ctx)
            }
            (Command::Accept { contact, entitlement }, Some(received)) => {
                let making = Making { contact: *contact, entitlement: *entitlement, nameless: false };
                let mut needs = self.needs_of(received.form, received.version, &received.values, making, ctx);
                needs.extend(files::needs(uploads(&received.files)));
                needs
            }
            (Command::Accept { .. }, None) => Vec::new(),
        }
    }

    fn files(&self, event: &Event) -> Files {
        match event {
            Event::Received(received) => Files::taken(uploads(&received.files)),
            _ => Files::default(),
        }
    }

    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let (Event::Accepted { contact, entitlement, .. }, Some(received)) = (event, &self.received) else {
            return Vec::new();
        };
        let fresh = ctx.fresh(CONTACT);
        let known = contact.filter(|contact| *contact != fresh);
        let making = Making { contact: known, entitlement: *entitlement, nameless: contact.is_none() };
        let made = taken(received, ctx).and_then(|taken| self.make(&taken, making, ctx));
        made.map(|made| made.echoes).unwrap_or_default()
    }

    fn requires(command: &Command) -> Vec<(String, String)> {
        match command {
            Command::Submit { .. } => Vec::new(),
            Command::Accept { .. } => vec![(String::new(), "ticket.open".to_owned())],
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Accepted { contact, .. } => *contact,
            _ => self.contact,
        }
    }

    fn refusals() -> Vec<Rejection> {
        let values = [form::VALUE_MISSING, form::VALUE_INVALID, form::VALUE_TOO_LONG, form::VALUE_UNKNOWN];
        let own = [UNKNOWN, UNPUBLISHED, REFERENCE_UNFIT].into_iter().chain(values);
        own.chain(Contact::refusals()).chain(Ticket::refusals()).collect()
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        vec![
            Command::Submit {
                form: id(0xF),
                version: 1,
                values: BTreeMap::from([("email".to_owned(), "maria@example.com".into())]),
                files: BTreeMap::new(),
                site: Some("https://www.example.com".into()),
                device: Device::Desktop,
                noticed: Noticed { took_ms: Some(9_000), allowed_site: true, ..Noticed::default() },
                contact: None,
                entitlement: None,
                nameless: false,
            },
            Command::Accept { contact: None, entitlement: None },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desk::form::{Field as Asked, InputType},
        kernel::given::{Given, SUBJECT, TENANT, created, given},
    };

    const FORM: Id = Id::from_bits(0xF);
    const MARIA: Id = Id::from_bits(0xC);

    fn page() -> Page {
        let Either::Common(record::Happened::Created(new)) = created::<form::Spec>().into_iter().next().unwrap() else {
            unreachable!()
        };
        let story = Asked {
            key: "story".into(),
            maps_to: Some("ticket.description".into()),
            input_type: InputType::Textarea,
            required: false,
            ..form::example()
        };
        let room = Asked {
            key: "room".into(),
            maps_to: None,
            label: "Room".into(),
            input_type: InputType::Text,
            ..story.clone()
        };
        Page { about: form::Fields { team: None, ..new.fields }, fields: vec![form::example(), story, room] }
    }

    fn sent(values: &[(&str, &str)], noticed: Noticed) -> Command {
        Command::Submit {
            form: FORM,
            version: 1,
            values: values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect(),
            files: BTreeMap::new(),
            site: None,
            device: Device::Desktop,
            noticed,
            contact: None,
            entitlement: None,
            nameless: false,
        }
    }

    fn fair() -> Noticed {
        Noticed { took_ms: Some(9_000), allowed_site: true, ..Noticed::default() }
    }

    fn received(values: &[(&str, &str)]) -> Event {
        let Command::Submit { form, version, values, files, site, device, .. } = sent(values, fair()) else {
            unreachable!()
        };
        Event::Received(Received { form, version, values, files, site, device })
    }

    fn told(events: impl IntoIterator<Item = Event>) -> Given<FormSubmission> {
        let published = form::Event::Published { version: 1, page: page() };
        let form = created::<form::Spec>().into_iter().chain([Either::Own(published)]);
        let fresh = |name: &str| {
            let facts = crate::Facts::default();
            let actor = crate::Actor::user(crate::kernel::given::ANNA);
            let authority = crate::Authority::full();
            let now = crate::kernel::given::at(0);
            Ctx {
                tenant: TENANT,
                id: SUBJECT,
                now,
                actor: &actor,
                authority: &authority,
                seed: "command",
                facts: &facts,
            }
            .fresh(name)
        };
        given::<FormSubmission>(events)
            .with::<Form>(FORM, form)
            .with::<Tenant>(TENANT, [])
            .with::<Field>(Field::id_for(TENANT, "ticket"), [])
            .with::<Field>(Field::id_for(TENANT, "contact"), [])
            .with::<Contact>(fresh(CONTACT), [])
            .with::<Ticket>(fresh(TICKET), [])
            .with::<Contact>(MARIA, created::<contact::Spec>())
    }

    const MAIL: (&str, &str) = ("email", "maria@example.com");

    #[test]
    fn it_becomes_a_ticket_and_its_sender_a_contact() {
        let values = [MAIL, ("story", "It is broken"), ("room", "12")];
        let events = told([]).when(sent(&values, fair())).events();
        assert_eq!(events[0], received(&values));
        let [_, Event::Accepted { contact: Some(accepted), .. }] = events[..] else { panic!("{events:?}") };
        let echoes = told([received(&values)]).tells(&Event::Accepted {
            ticket: SUBJECT,
            contact: Some(accepted),
            entitlement: None,
        });
        let kinds: Vec<_> = echoes.iter().map(|echo| echo.event_type.as_str()).collect();
        assert_eq!(kinds, ["contact.created", "ticket.opened"]);
        assert_eq!(
            echoes[0].claims.iter().map(|claim| claim.key.as_str()).collect::<Vec<_>>(),
            ["email:maria@example.com"]
        );
        let opened: serde_json::Value = serde_json::from_slice(&echoes[1].data).unwrap();
        assert_eq!(opened["description"], "It is broken\n\nRoom: 12");
        assert_eq!(opened["requester"]["id"], serde_json::json!(accepted));
    }

    #[test]
    fn what_fails_a_policy_is_kept_with_its_reason() {
        let kept = |noticed: Noticed, reason| {
            let rejected = Event::Rejected { reason, code: None };
            told([]).when(sent(&[MAIL], noticed)).then([received(&[MAIL]), rejected]);
        };
        kept(Noticed { trapped: true, ..fair() }, Reason::Honeypot);
        kept(Noticed { took_ms: Some(300), ..fair() }, Reason::TooFast);
        kept(Noticed { took_ms: Some(OLDEST + 1), ..fair() }, Reason::Expired);
        kept(Noticed { allowed_site: false, ..fair() }, Reason::Site);
        kept(Noticed { flooding: true, ..fair() }, Reason::Flood);
        told([]).when(sent(&[("story", "x")], fair())).rejected(form::VALUE_MISSING);
    }

    #[test]
    fn what_was_kept_becomes_a_ticket_after_all_once() {
        let kept = [received(&[MAIL]), Event::Rejected { reason: Reason::TooFast, code: None }];
        let accept = Command::Accept { contact: Some(MARIA), entitlement: None };
        let events = told(kept.clone()).when(accept).events();
        assert!(matches!(events[..], [Event::Accepted { contact: Some(MARIA), entitlement: None, .. }]), "{events:?}");
        told(kept.clone()).when(sent(&[MAIL], fair())).nothing();
        let accepted = Event::Accepted { ticket: SUBJECT, contact: Some(MARIA), entitlement: None };
        told(kept.into_iter().chain([accepted])).when(Command::Accept { contact: None, entitlement: None }).nothing();
        told([]).when(Command::Accept { contact: None, entitlement: None }).rejected(UNKNOWN);
    }
}
