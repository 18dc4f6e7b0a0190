//! A person or office outside who writes, calls, buys and owns products.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Actor, Aggregate, Claim, Ctx, Decision, Echo, Id, Need, Personal, Rejection, Time, all,
    crm::company::Company,
    kernel::{
        access::Relation,
        email,
        external::{self, EXTERNAL_ID_INVALID, ExternalId},
        listing::Nothing,
        merging,
        named::Either,
        phone::{self, Dialled},
        record::{self, Record},
        reference::Subject,
        text::{self, trimmed},
        valid,
    },
};

/// A contact.
pub type Contact = Record<Spec>;

/// What makes a record a contact.
#[derive(Clone, Default)]
pub struct Spec;

/// Whether a contact is one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One person.
    #[default]
    Person,
    /// An office or a shared mailbox behind which several people sit.
    Office,
}

/// Attributes of a contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Full name.
    pub name: Personal<String>,
    /// Whether it is one person.
    #[serde(default)]
    pub kind: Kind,
    /// Where the contact came from, such as `website`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Primary e-mail address; no other contact may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "email"))]
    pub email: Option<Personal<String>>,
    /// Primary phone number; no other contact may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "phone"))]
    pub phone: Option<Personal<String>>,
    /// The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_e164: Option<Personal<String>>,
    /// The extension in `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_extension: Option<Personal<String>>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Preferred language, BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Time zone, IANA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Anything worth knowing at first sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Personal<String>>,
}

/// A contact as somebody outside says who he is.
pub fn described(
    name: Personal<String>,
    email: Option<Personal<String>>,
    phone: Option<Personal<String>>,
    source: Option<String>,
) -> record::New<Fields> {
    let name = Personal(name.0.trim().chars().take(200).collect());
    let fields = Fields {
        name,
        kind: Kind::default(),
        source,
        email,
        phone,
        phone_e164: None,
        phone_extension: None,
        address: None,
        city: None,
        country: None,
        locale: None,
        time_zone: None,
        description: None,
    };
    let (custom, tags) = (BTreeMap::new(), BTreeSet::new());
    record::New { fields, custom, owner: None, stage: None, tags, copied_from: None }
}

/// The scope in which contacts claim their addresses: who is found by one.
pub const IDENTITY_SCOPE: &str = "contact.identity";

/// Where a contact may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// WhatsApp, by phone number.
    Whatsapp,
    /// Viber, by phone number.
    Viber,
    /// A Telegram name or number.
    Telegram,
    /// An Instagram name.
    Instagram,
    /// A Facebook Messenger id.
    Messenger,
}

/// An address at which exactly one contact is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Where.
    pub kind: IdentityKind,
    /// The address, name or number there.
    pub value: Personal<String>,
    /// A phone number as it is dialled from anywhere (E.164), worked out from `value`; absent when nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true))]
    pub e164: Option<Personal<String>>,
}

impl Identity {
    /// An address as it is given.
    pub fn new(kind: IdentityKind, value: impl Into<Personal<String>>) -> Identity {
        Identity { kind, value: value.into(), e164: None }
    }

    /// Whether it is reached by a phone number.
    pub(crate) fn is_dialled(&self) -> bool {
        matches!(self.kind, IdentityKind::Phone | IdentityKind::Whatsapp | IdentityKind::Viber)
    }

    /// The same with what its number means, if it has one: for what a channel says of somebody. Name [`phone::need`] first.
    pub fn read(self, ctx: &Ctx<'_>) -> Identity {
        self.clone().dialled(ctx).unwrap_or(Identity { e164: None, ..self })
    }

    /// The same with what its number means.
    fn dialled(self, ctx: &Ctx<'_>) -> Result<Identity, Rejection> {
        if !self.is_dialled() {
            return Ok(Identity { e164: None, ..self });
        }
        let dialled = Dialled::of(Some(&self.value), "/value", ctx);
        let Dialled { e164, .. } = dialled.map_err(|fault| IDENTITY_INVALID.because(fault.detail).at("/value"))?;
        Ok(Identity { e164: e164.map(Personal), ..self })
    }

    /// The name it claims, the same however it is written: `email:anna@example.com`, `phone:+390612345`.
    pub fn key(&self) -> String {
        let value = trimmed(&self.value);
        let name = || value.trim_start_matches('@').to_lowercase();
        match self.kind {
            IdentityKind::Email => format!("email:{}", email::key(value)),
            IdentityKind::Phone => format!("phone:{}", self.number()),
            IdentityKind::Whatsapp => format!("whatsapp:{}", self.number()),
            IdentityKind::Viber => format!("viber:{}", self.number()),
            IdentityKind::Telegram => format!("telegram:{}", name()),
            IdentityKind::Instagram => format!("instagram:{}", name()),
            IdentityKind::Messenger => format!("messenger:{value}"),
        }
    }

    /// Every name it claims: [`Identity::key`], and those under which the same address was claimed before numbers and
    /// domains were read, so that an old contact and a new one meet.
    pub fn keys(&self) -> BTreeSet<String> {
        let value = self.value.trim();
        let key = self.key();
        let mut keys = BTreeSet::from([key.clone()]);
        if self.kind == IdentityKind::Email {
            keys.insert(format!("email:{}", value.to_lowercase()));
        }
        if let (true, Some((kind, number))) = (self.is_dialled(), key.split_once(':')) {
            keys.extend(
                [number.trim_start_matches('+'), &plain_digits(value)].map(|number| format!("{kind}:{number}")),
            );
        }
        keys
    }

    /// Whether both are one address.
    pub fn is_same(&self, other: &Identity) -> bool {
        !self.keys().is_disjoint(&other.keys())
    }

    /// The number as it is dialled from anywhere, or what can be known of it.
    fn number(&self) -> String {
        let read = || phone::number(&self.value, None).map(|number| number.e164);
        let known = self.e164.as_ref().map(|e164| e164.0.clone());
        known.or_else(read).unwrap_or_else(|| plain_digits(self.value.trim()))
    }

    fn check(&self) -> Result<(), Rejection> {
        let sound = match self.kind {
            IdentityKind::Email => email::is_email(&self.value),
            // Read where the tenant's country is known.
            IdentityKind::Phone | IdentityKind::Whatsapp | IdentityKind::Viber => true,
            IdentityKind::Telegram | IdentityKind::Instagram | IdentityKind::Messenger => {
                let name = self.value.trim_start_matches('@');
                !name.is_empty() && name.len() <= 200 && !name.contains(char::is_whitespace)
            }
        };
        if sound { Ok(()) } else { Err(IDENTITY_INVALID.at("/value")) }
    }
}

/// A phone number without its separators; the plus of an international one stays, and `00` means the same. What has no
/// digit stays as it is: something is known by it nevertheless.
fn plain_digits(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("00") {
        _ if digits.is_empty() => text::typed(number),
        Some(rest) => format!("+{rest}"),
        None if number.starts_with('+') => format!("+{digits}"),
        None => digits,
    }
}

/// Whether a contact agrees to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Agrees.
    Granted,
    /// Does not agree any more, or never did.
    Withdrawn,
}

/// What a contact that was merged into another shows there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Brought {
    /// Its tags.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The companies it belongs to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub companies: BTreeSet<Id>,
    /// As what it belongs to them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Id, String>,
    /// The addresses at which it is reached.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub identities: BTreeSet<Identity>,
    /// What other systems call it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub external_ids: BTreeSet<ExternalId>,
    /// To what it agrees.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub consents: BTreeMap<String, Consent>,
}

/// What may be asked of a contact, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a further address at which this contact alone is reached.
    AddIdentity(Identity),
    /// Removes a further address.
    RemoveIdentity(Identity),
    /// Records what another system calls this contact.
    AddExternalId(ExternalId),
    /// Forgets what another system calls it.
    RemoveExternalId(ExternalId),
    /// Says that the contact belongs to a company.
    LinkCompany {
        /// The company.
        #[schemars(extend("x-reference" = "company", "x-refusal" = "contact_company_unfit"))]
        company: Id,
        /// As what, such as `buyer`.
        #[serde(default)]
        role: Option<String>,
    },
    /// Says that it belongs to the company no longer.
    UnlinkCompany {
        /// The company.
        #[schemars(extend("x-held-reference" = "company"))]
        company: Id,
    },
    /// Writes a note about the contact.
    AddNote {
        /// The note's id; a new one when absent.
        #[serde(default)]
        note_id: Option<Id>,
        /// What it says.
        text: Personal<String>,
    },
    /// Rewrites a note.
    EditNote {
        /// Which note.
        note_id: Id,
        /// What it says now.
        text: Personal<String>,
    },
    /// Removes a note.
    DeleteNote {
        /// Which note.
        note_id: Id,
    },
    /// Merges this contact into another, to which everything of it leads from then on.
    Merge {
        /// The contact that remains.
        #[schemars(extend("x-reference" = "contact"))]
        into: Id,
    },
    /// Takes a merge back.
    Unmerge,
    /// Records whether the contact agrees to something.
    ChangeConsent {
        /// To what, such as `newsletter`.
        purpose: String,
        /// Whether it agrees.
        state: Consent,
    },
    /// Records that the contact's personal data is to be erased.
    RequestErasure {
        /// On what legal basis or at whose wish.
        basis: String,
    },
    /// Lets the contact into the portal for a while: it has proved that an address is its own.
    StartPortalSession {
        /// The session.
        session: Id,
        /// When it ends at the latest.
        expires_at: Time,
    },
    /// Signs the contact out of the portal.
    EndPortalSessions {
        /// Which session; all of them by default.
        #[serde(default)]
        session: Option<Id>,
    },
}

/// What has happened to a contact, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A further address was added.
    IdentityAdded(Identity),
    /// A further address was removed.
    IdentityRemoved(Identity),
    /// Another system's id was recorded.
    ExternalIdAdded(ExternalId),
    /// Another system's id was forgotten.
    ExternalIdRemoved(ExternalId),
    /// It belongs to a company.
    CompanyLinked {
        /// The company.
        company: Id,
        /// As what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// It belongs to the company no longer.
    CompanyUnlinked {
        /// The company.
        company: Id,
    },
    /// A note was written.
    NoteAdded {
        /// Its id.
        note_id: Id,
        /// What it says.
        text: Personal<String>,
        /// The contact it was meant for, who is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_contact: Option<Id>,
    },
    /// A note was rewritten.
    NoteEdited {
        /// Which note.
        note_id: Id,
        /// Before.
        from: Personal<String>,
        /// After.
        to: Personal<String>,
    },
    /// A note was removed.
    NoteDeleted {
        /// Which note.
        note_id: Id,
    },
    /// It was merged into another contact.
    Merged {
        /// The contact that remains.
        into: Id,
        /// The addresses that lead there from now on.
        redirects: Vec<Identity>,
    },
    /// Its merge was taken back.
    Unmerged {
        /// The contact that it had been merged into.
        from: Id,
    },
    /// It signed in to the portal.
    PortalSessionStarted {
        /// The session.
        session: Id,
        /// When it ends at the latest.
        expires_at: Time,
    },
    /// It is signed out of the portal.
    PortalSessionsEnded {
        /// Which session; all of them by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Id>,
    },
    /// Another contact was merged into this one.
    Absorbed {
        /// The other contact.
        contact: Id,
        /// The addresses that lead here from now on.
        redirects: Vec<Identity>,
        /// What it shows here, and what those show that were merged into it before.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parts: BTreeMap<Id, Brought>,
    },
    /// The merge of another contact into this one, or into one that is merged into this one, was taken back.
    Released {
        /// The other contact.
        contact: Id,
        /// Those of whom nothing shows here any more.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        parts: BTreeSet<Id>,
    },
    /// Something that was meant for it, while it is merged into another, was taken in there.
    Forwarded {
        /// The command.
        command: String,
        /// The contact that took it in.
        into: Id,
        /// The note that it brought or was about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note_id: Option<Id>,
    },
    /// It was sent an offer.
    OfferReceived {
        /// The offer.
        offer: Id,
        /// What it offers.
        properties: Vec<Id>,
    },
    /// It agrees to something, or no longer.
    ConsentChanged {
        /// To what.
        purpose: String,
        /// Before; absent when it had not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Consent>,
        /// After.
        to: Consent,
        /// The contact who said so, who is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_contact: Option<Id>,
    },
    /// Its personal data is to be erased.
    ErasureRequested {
        /// On what legal basis or at whose wish.
        basis: String,
        /// The contact of whom it was asked, who is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_contact: Option<Id>,
    },
}

/// What a contact's own commands must remember.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    companies: BTreeSet<Id>,
    /// The contact it is merged into.
    pub merged_into: Option<Id>,
    /// Its further addresses.
    pub identities: BTreeSet<Identity>,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
    /// The properties it was ever offered, with the offer that first did.
    pub offered: BTreeMap<Id, Id>,
    roles: BTreeMap<Id, String>,
    notes: BTreeMap<Id, Personal<String>>,
    note_authors: BTreeMap<Id, Id>,
    absorbed: BTreeMap<Id, BTreeSet<String>>,
    /// What shows here of the contacts merged into it, or into those. Their tags are with the record's own.
    brought: BTreeMap<Id, Brought>,
    /// Notes that came while it was merged, and are where it went.
    forwarded: BTreeSet<Id>,
    consents: BTreeMap<String, Consent>,
    erasure_requested: bool,
    /// Its last sessions in the portal, and until when each of them lasts unless it was ended.
    #[serde(default)]
    portal_sessions: BTreeMap<Id, Option<Time>>,
}

/// So many sessions in the portal last at once; with the next one the oldest is over.
const MOST_PORTAL_SESSIONS: usize = 20;

const IDENTITY_INVALID: Rejection =
    Rejection::invalid("identity_invalid", "The value is no address, name or number of this kind.");
const IDENTITY_PRIMARY: Rejection = Rejection::conflict(
    "contact_identity_primary",
    "The primary e-mail address and phone number are edited, not removed.",
);
const IDENTITY_TAKEN: Rejection =
    Rejection::conflict("contact_identity_taken", "Another contact is reached at this address.");
const EXTERNAL_ID_TAKEN: Rejection =
    Rejection::conflict("contact_external_id_taken", "Another contact has this external id.");
const COMPANY_UNFIT: Rejection =
    Rejection::invalid("contact_company_unfit", "There is no such company, or it is archived or merged.");
const NOTE_UNKNOWN: Rejection = Rejection::missing("contact_note_unknown", "There is no such note.");
const NOTE_EXISTS: Rejection = Rejection::conflict("contact_note_exists", "A note with this id says something else.");
const TEXT_INVALID: Rejection = Rejection::invalid("contact_text_invalid", "A text may not be blank.");
const MERGED: Rejection = Rejection::conflict("contact_merged", "The contact is merged into another one.");
const MERGE_UNFIT: Rejection = Rejection::invalid(
    "contact_merge_unfit",
    "A contact merges into another one that exists and is not archived or merged itself.",
);

impl Contact {
    /// Every address at which it is reached, the primary ones first.
    pub fn addresses(&self) -> Vec<Identity> {
        let of = |kind, value: &Option<Personal<String>>| value.clone().map(|value| Identity::new(kind, value));
        let primary = self.fields.iter().flat_map(|fields| {
            let phone = of(IdentityKind::Phone, &fields.phone);
            let phone = phone.map(|phone| Identity { e164: fields.phone_e164.clone(), ..phone });
            [of(IdentityKind::Email, &fields.email), phone].into_iter().flatten()
        });
        primary.chain(self.state.identities.iter().cloned()).collect()
    }

    /// The companies it belongs to, and those of the contacts merged into it.
    pub fn companies(&self) -> BTreeSet<Id> {
        let brought = self.state.brought.values().flat_map(|brought| &brought.companies);
        self.state.companies.iter().chain(brought).copied().collect()
    }

    /// Whether it agrees, as it said itself or as a contact merged into it did.
    fn consent(&self, purpose: &str) -> Option<Consent> {
        let brought = || self.state.brought.values().find_map(|brought| brought.consents.get(purpose));
        self.state.consents.get(purpose).or_else(brought).copied()
    }

    /// What it shows of itself and of those merged into it: what it brings to another.
    fn brings(&self, here: Id) -> BTreeMap<Id, Brought> {
        let state = &self.state;
        let own = Brought {
            tags: BTreeSet::new(),
            companies: state.companies.clone(),
            roles: state.roles.clone(),
            identities: self.addresses().into_iter().collect(),
            external_ids: state.external_ids.clone(),
            consents: state.consents.clone(),
        };
        let mut parts: BTreeMap<Id, Brought> = state.brought.clone();
        parts.insert(here, own);
        for (contact, tags) in self.brings_tags(here) {
            parts.entry(contact).or_default().tags = tags;
        }
        parts
    }

    /// The contacts that are merged into it.
    pub fn absorbed(&self) -> impl Iterator<Item = Id> {
        self.state.absorbed.keys().copied()
    }

    /// Where in a command's body the address with this key stands.
    fn place_of(&self, key: &str) -> &'static str {
        let is = |kind, value: &Option<Personal<String>>| {
            let identity = value.clone().map(|value| Identity::new(kind, value));
            let e164 = self.fields.as_ref().and_then(|fields| fields.phone_e164.clone());
            identity.is_some_and(|identity| Identity { e164, ..identity }.keys().contains(key))
        };
        match &self.fields {
            Some(fields) if is(IdentityKind::Email, &fields.email) => "/email",
            Some(fields) if is(IdentityKind::Phone, &fields.phone) => "/phone",
            _ => "/value",
        }
    }

    fn address_keys(&self) -> BTreeSet<String> {
        self.addresses().iter().flat_map(Identity::keys).collect()
    }

    /// Whether a session in the portal was begun, and if so, whether it lasts at this time.
    pub fn portal_session(&self, session: Id, now: Time) -> Option<bool> {
        let until = self.state.portal_sessions.get(&session)?;
        Some(!self.archived && !self.state.erasure_requested && until.is_some_and(|until| until > now))
    }

    fn note(&self, note_id: Id) -> Result<&Personal<String>, Rejection> {
        self.state.notes.get(&note_id).ok_or(NOTE_UNKNOWN)
    }

    fn must_own_note(&self, note_id: Id, permission: &str, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        self.note(note_id)?;
        ctx.must_own(self.state.note_authors.get(&note_id).copied(), permission)
    }
}

impl record::Spec for Spec {
    const KIND: &'static str = "contact";
    const PLURAL: &'static str = "contacts";
    const ABOUT: &'static str = "A contact.";
    const RICH: bool = true;
    const PERSON: bool = true;
    const OWN: &'static [&'static str] = &["edit_note", "delete_note"];
    const ATTRIBUTED: bool = true;
    const PHONE: bool = true;
    const UNIQUE: &'static [&'static str] = &["email", "phone"];
    const INTERNAL: &'static [&'static str] = &["start_portal_session"];
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Nothing;
    type State = State;

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
            valid::country(fields.country.as_deref()),
            valid::locale(fields.locale.as_deref()),
            valid::time_zone(fields.time_zone.as_deref()),
        ])
    }

    fn merged_into(contact: &Contact) -> Option<Id> {
        contact.state.merged_into
    }

    fn ended(contact: &Contact) -> Option<Rejection> {
        contact.state.merged_into.map(|into| MERGED.because(format!("The contact is merged into {into}.")))
    }

    fn passes_on(contact: &Contact, command: &Command) -> Option<Command> {
        let state = &contact.state;
        let passes = match command {
            Command::AddNote { note_id, .. } => !note_id.is_some_and(|note| state.notes.contains_key(&note)),
            Command::EditNote { note_id, .. } | Command::DeleteNote { note_id } => state.forwarded.contains(note_id),
            Command::ChangeConsent { .. } | Command::RequestErasure { .. } => true,
            _ => false,
        };
        passes.then(|| command.clone())
    }

    fn passed_on(_: &Contact, command: &Command, into: Id, ctx: &Ctx<'_>) -> Option<Event> {
        let (command, note_id) = match command {
            Command::AddNote { note_id, .. } => ("add_note", Some(note_id.unwrap_or_else(|| ctx.fresh("note")))),
            Command::EditNote { note_id, .. } => ("edit_note", Some(*note_id)),
            Command::DeleteNote { note_id } => ("delete_note", Some(*note_id)),
            Command::ChangeConsent { .. } => ("change_consent", None),
            Command::RequestErasure { .. } => ("request_erasure", None),
            _ => return None,
        };
        Some(Event::Forwarded { command: command.to_owned(), into, note_id })
    }

    fn came_via(mut event: Event, from: Id) -> Event {
        match &mut event {
            Event::NoteAdded { via_contact, .. }
            | Event::ConsentChanged { via_contact, .. }
            | Event::ErasureRequested { via_contact, .. } => *via_contact = Some(from),
            _ => {}
        }
        event
    }

    fn undo(contact: &Contact, event: &Event) -> Option<Vec<record::Command<Self>>> {
        Some(vec![Either::Own(match event {
            Event::IdentityAdded(identity) => Command::RemoveIdentity(identity.clone()),
            Event::IdentityRemoved(identity) => Command::AddIdentity(identity.clone()),
            Event::ExternalIdAdded(id) => Command::RemoveExternalId(id.clone()),
            Event::ExternalIdRemoved(id) => Command::AddExternalId(id.clone()),
            Event::CompanyLinked { company, .. } | Event::CompanyUnlinked { company } => {
                match contact.state.companies.contains(company) {
                    true => Command::LinkCompany { company: *company, role: contact.state.roles.get(company).cloned() },
                    false => Command::UnlinkCompany { company: *company },
                }
            }
            Event::NoteAdded { note_id, .. } => Command::DeleteNote { note_id: *note_id },
            Event::NoteEdited { note_id, from, .. } => Command::EditNote { note_id: *note_id, text: from.clone() },
            Event::Merged { .. } => Command::Unmerge,
            Event::Unmerged { from } => Command::Merge { into: *from },
            Event::ConsentChanged { purpose, from: Some(from), .. } => {
                Command::ChangeConsent { purpose: purpose.clone(), state: *from }
            }
            _ => return None,
        })])
    }

    fn decide(contact: &Contact, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let state = &contact.state;
        // Notes that were written here stay here. What is new belongs to the contact who goes on: see `passes_on`.
        let merged = match &command {
            Command::Merge { .. } | Command::Unmerge => true,
            // What was its own to see it still signs out of.
            Command::EndPortalSessions { .. } => true,
            Command::AddNote { .. } | Command::EditNote { .. } | Command::DeleteNote { .. } => {
                Self::passes_on(contact, &command).is_none()
            }
            _ => false,
        };
        if let Some(ended) = contact.ended(ctx).filter(|_| !merged) {
            return Err(ended);
        }
        Ok(match command {
            Command::AddIdentity(identity) => {
                identity.check()?;
                let identity = identity.dialled(ctx)?;
                let keys = identity.keys();
                let mut brought =
                    state.brought.values().flat_map(|brought| &brought.identities).flat_map(Identity::keys);
                let known = !contact.address_keys().is_disjoint(&keys)
                    || state.absorbed.values().any(|absorbed| !absorbed.is_disjoint(&keys))
                    || brought.any(|brought| keys.contains(&brought));
                if known { vec![] } else { vec![Event::IdentityAdded(identity)] }
            }
            Command::RemoveIdentity(identity) => {
                let identity = identity.clone().dialled(ctx).unwrap_or(identity);
                match state.identities.iter().find(|known| known.is_same(&identity)) {
                    Some(known) => vec![Event::IdentityRemoved(known.clone())],
                    None if !contact.address_keys().is_disjoint(&identity.keys()) => {
                        return Err(IDENTITY_PRIMARY.at("/value"));
                    }
                    None => vec![],
                }
            }
            Command::AddExternalId(id) => {
                id.check()?;
                if state.external_ids.contains(&id) { vec![] } else { vec![Event::ExternalIdAdded(id)] }
            }
            Command::RemoveExternalId(id) if state.external_ids.contains(&id) => vec![Event::ExternalIdRemoved(id)],
            Command::RemoveExternalId(_) => vec![],
            Command::LinkCompany { company, role } => {
                if state.companies.contains(&company) && state.roles.get(&company) == role.as_ref() {
                    return Ok(vec![]);
                }
                vec![Event::CompanyLinked { company, role }]
            }
            Command::UnlinkCompany { company } => {
                // By whatever name the company is linked: its own, or that of one merged into it.
                let meant = merging::survivor::<Company>(company, ctx);
                let linked = contact.companies().into_iter();
                let gone = linked.filter(|id| *id == company || merging::survivor::<Company>(*id, ctx) == meant);
                gone.map(|company| Event::CompanyUnlinked { company }).collect()
            }
            Command::AddNote { note_id, text } => {
                not_blank(&text, "/text")?;
                let note_id = note_id.unwrap_or_else(|| ctx.fresh("note"));
                match state.notes.get(&note_id) {
                    None if state.forwarded.contains(&note_id) => vec![],
                    None => vec![Event::NoteAdded { note_id, text, via_contact: None }],
                    Some(known) if *known == text => vec![],
                    Some(_) => return Err(NOTE_EXISTS.at("/note_id")),
                }
            }
            Command::EditNote { note_id, text } => {
                contact.must_own_note(note_id, "contact.edit_note", ctx)?;
                not_blank(&text, "/text")?;
                let from = contact.note(note_id)?.clone();
                if from == text { vec![] } else { vec![Event::NoteEdited { note_id, from, to: text }] }
            }
            Command::DeleteNote { note_id } if state.notes.contains_key(&note_id) => {
                contact.must_own_note(note_id, "contact.delete_note", ctx)?;
                vec![Event::NoteDeleted { note_id }]
            }
            Command::DeleteNote { .. } => vec![],
            Command::Merge { into } => {
                let into = merging::survivor::<Contact>(into, ctx);
                match state.merged_into.map(|known| merging::survivor::<Contact>(known, ctx)) {
                    Some(known) if known == into => return Ok(vec![]), // Asked twice.
                    _ => contact.ended(ctx).map_or(Ok(()), Err)?,
                }
                if into == ctx.id || !ctx.fact::<Contact>(into).is_live() {
                    return Err(MERGE_UNFIT.at("/into"));
                }
                vec![Event::Merged { into, redirects: contact.addresses() }]
            }
            Command::Unmerge => state.merged_into.map(|from| Event::Unmerged { from }).into_iter().collect(),
            Command::ChangeConsent { purpose, state: to } => {
                not_blank(&purpose, "/purpose")?;
                let from = contact.consent(&purpose);
                let changed = state.consents.get(&purpose) != Some(&to);
                if changed { vec![Event::ConsentChanged { purpose, from, to, via_contact: None }] } else { vec![] }
            }
            Command::RequestErasure { .. } if state.erasure_requested => vec![],
            Command::RequestErasure { basis } => {
                not_blank(&basis, "/basis")?;
                vec![Event::ErasureRequested { basis, via_contact: None }]
            }
            Command::StartPortalSession { session, .. } if state.portal_sessions.contains_key(&session) => vec![],
            Command::StartPortalSession { session, expires_at } => {
                vec![Event::PortalSessionStarted { session, expires_at }]
            }
            Command::EndPortalSessions { session } => {
                let lasts = |known: &Id| session.is_none_or(|session| session == *known);
                let any = state.portal_sessions.iter().any(|(known, until)| lasts(known) && until.is_some());
                if any { vec![Event::PortalSessionsEnded { session }] } else { vec![] }
            }
        })
    }

    fn attribute(contact: &mut Contact, event: &Event, actor: &Actor) {
        if let Event::NoteAdded { note_id, .. } = event {
            contact.state.note_authors.insert(*note_id, actor.principal());
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        // Whoever sees the one that goes on sees what it was made of.
        match event {
            Event::Merged { into, .. } => vec![Relation::About("merged_into", vec![Subject::new("contact", *into)])],
            Event::Unmerged { .. } => vec![Relation::About("merged_into", Vec::new())],
            _ => Vec::new(),
        }
    }

    fn evolve(contact: &mut Contact, event: &Event) {
        let state = &mut contact.state;
        match event {
            Event::IdentityAdded(identity) => drop(state.identities.insert(identity.clone())),
            Event::IdentityRemoved(identity) => drop(state.identities.remove(identity)),
            Event::ExternalIdAdded(id) => drop(state.external_ids.insert(id.clone())),
            Event::ExternalIdRemoved(id) => drop(state.external_ids.remove(id)),
            Event::CompanyLinked { company, role } => {
                state.companies.insert(*company);
                match role {
                    Some(role) => state.roles.insert(*company, role.clone()),
                    None => state.roles.remove(company),
                };
            }
            Event::CompanyUnlinked { company } => {
                let brought = state.brought.values_mut().map(|brought| (&mut brought.companies, &mut brought.roles));
                for (companies, roles) in brought.chain([(&mut state.companies, &mut state.roles)]) {
                    companies.remove(company);
                    roles.remove(company);
                }
            }
            Event::NoteAdded { note_id, text, .. } | Event::NoteEdited { note_id, to: text, .. } => {
                state.notes.insert(*note_id, text.clone());
            }
            Event::NoteDeleted { note_id } => {
                state.notes.remove(note_id);
                state.note_authors.remove(note_id);
            }
            Event::Merged { into, .. } => state.merged_into = Some(*into),
            Event::Unmerged { .. } => state.merged_into = None,
            Event::Absorbed { contact: absorbed, redirects, parts } => {
                state.absorbed.insert(*absorbed, redirects.iter().flat_map(Identity::keys).collect());
                state.brought.extend(parts.clone());
                contact.take_tags(parts.iter().map(|(id, brought)| (*id, brought.tags.clone())));
            }
            Event::Released { contact: released, parts } => {
                state.absorbed.remove(released);
                state.brought.retain(|id, _| !parts.contains(id));
                contact.give_tags_back(parts);
            }
            Event::Forwarded { note_id, .. } => state.forwarded.extend(*note_id),
            Event::OfferReceived { offer, properties } => {
                for property in properties {
                    state.offered.entry(*property).or_insert(*offer);
                }
            }
            Event::ConsentChanged { purpose, to, .. } => drop(state.consents.insert(purpose.clone(), *to)),
            Event::ErasureRequested { .. } => state.erasure_requested = true,
            Event::PortalSessionStarted { session, expires_at } => {
                // Ids tell when they were made: the first is the oldest.
                while state.portal_sessions.len() >= MOST_PORTAL_SESSIONS {
                    state.portal_sessions.pop_first();
                }
                state.portal_sessions.insert(*session, Some(*expires_at));
            }
            Event::PortalSessionsEnded { session: Some(session) } => {
                state.portal_sessions.entry(*session).and_modify(|until| *until = None);
            }
            Event::PortalSessionsEnded { session: None } => {
                state.portal_sessions.values_mut().for_each(|until| *until = None);
            }
        }
    }

    fn needs(contact: &Contact, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Either::Own(Command::AddIdentity(identity) | Command::RemoveIdentity(identity))
                if identity.is_dialled() =>
            {
                vec![phone::need(ctx)]
            }
            Either::Own(Command::LinkCompany { company, .. }) => vec![Need::guarded::<Company>(*company)],
            Either::Own(Command::UnlinkCompany { company }) => {
                let companies = contact.companies().into_iter().chain([*company]);
                companies.flat_map(|company| merging::needs::<Company>(company, ctx)).collect()
            }
            Either::Own(Command::Merge { into }) => merging::needs::<Contact>(*into, ctx),
            _ => vec![],
        }
    }

    /// A merged contact keeps its addresses: they lead to the one that remains, and a merge taken back finds them here.
    fn claims(contact: &Contact, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        let mut after = contact.clone();
        Aggregate::evolve(&mut after, event);
        let mut claims = Claim::moved(IDENTITY_SCOPE, &contact.address_keys(), &after.address_keys(), &IDENTITY_TAKEN);
        for claim in &mut claims {
            claim.taken = claim.taken.clone().at(after.place_of(&claim.key));
        }
        let (old, new) = (external::keys(&contact.state.external_ids), external::keys(&after.state.external_ids));
        claims.extend(Claim::moved("contact.external", &old, &new, &EXTERNAL_ID_TAKEN.at("/external_id")));
        claims
    }

    fn echoes(contact: &Contact, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        match event {
            Event::Merged { into, redirects } => {
                let (redirects, parts) = (redirects.clone(), contact.brings(ctx.id));
                let absorbed = Event::Absorbed { contact: ctx.id, redirects, parts };
                vec![Echo::to::<Contact>(*into, &Either::Own(absorbed))]
            }
            // Everybody who goes on for it gives back what it and those merged into it brought.
            Event::Unmerged { from } => {
                let parts = contact.brings(ctx.id).into_keys().collect();
                let released = Either::Own(Event::Released { contact: ctx.id, parts });
                let holders = merging::chain::<Contact>(*from, ctx).into_iter();
                holders.map(|holder| Echo::to::<Contact>(holder, &released)).collect()
            }
            _ => vec![],
        }
    }

    fn document(contact: &Contact, document: &mut Map<String, Value>) {
        let companies = contact.companies();
        document.insert("companies".into(), companies.iter().map(ToString::to_string).collect());
    }

    fn document_schemas() -> Vec<(&'static str, Value)> {
        vec![("companies", json!({ "type": "array", "items": { "type": "string", "format": "word" } }))]
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend([IDENTITY_INVALID, IDENTITY_PRIMARY, IDENTITY_TAKEN, EXTERNAL_ID_INVALID, EXTERNAL_ID_TAKEN]);
        refusals.extend([COMPANY_UNFIT, NOTE_UNKNOWN, NOTE_EXISTS, TEXT_INVALID, MERGED, MERGE_UNFIT]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let other = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let note = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000D);
        let telegram = Identity::new(IdentityKind::Telegram, "@maria_r");
        let customer = ExternalId { source: "shop".into(), external_id: "C-1007".into() };
        let fields = Fields {
            name: "Maria Rossi".into(),
            kind: Kind::Person,
            source: Some("website".into()),
            email: Some("maria.rossi@example.com".into()),
            phone: Some("+39 06 555 0101".into()),
            phone_e164: Some("+39065550101".into()),
            phone_extension: None,
            address: Some("Via Roma 1".into()),
            city: Some("Roma".into()),
            country: Some("IT".into()),
            locale: Some("it".into()),
            time_zone: Some("Europe/Rome".into()),
            description: Some("Prefers to be called after noon.".into()),
        };
        let commands = vec![
            Command::AddIdentity(telegram.clone()),
            Command::RemoveIdentity(telegram),
            Command::AddExternalId(customer.clone()),
            Command::RemoveExternalId(customer),
            Command::LinkCompany { company: other, role: Some("buyer".into()) },
            Command::UnlinkCompany { company: other },
            Command::AddNote { note_id: Some(note), text: "Likes paper invoices.".into() },
            Command::EditNote { note_id: note, text: "Likes paper invoices, twice.".into() },
            Command::DeleteNote { note_id: note },
            Command::Merge { into: other },
            Command::Unmerge,
            Command::ChangeConsent { purpose: "newsletter".into(), state: Consent::Granted },
            Command::StartPortalSession {
                session: note,
                expires_at: "2030-01-01T00:00:00Z".parse().unwrap_or_default(),
            },
            Command::EndPortalSessions { session: Some(note) },
            Command::RequestErasure { basis: "GDPR article 17".into() },
        ];
        (fields, commands)
    }
}

fn not_blank(text: &str, pointer: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() { Err(TEXT_INVALID.at(pointer)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
