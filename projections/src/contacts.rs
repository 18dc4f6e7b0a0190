//! Contacts with everything known of them. Table: `read_contacts`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Time,
    contact::{Consent, Contact, Event, Fields, Identity},
    external::ExternalId,
    named::Either,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable,
    author::{AuthorKind, author},
    decode,
    record::{Common, created},
};

/// The contacts.
#[derive(Clone, Copy, Debug)]
pub struct Contacts;

/// A note about a contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Its id.
    pub id: Id,
    /// What it says.
    pub text: String,
    /// What sort of author.
    pub author_kind: Option<AuthorKind>,
    /// Who wrote it.
    pub author_id: Option<Id>,
    /// When it was written.
    pub written_at: Time,
    /// When it was last rewritten.
    pub edited_at: Option<Time>,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub fields: Fields,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Further addresses at which it is reached.
    pub identities: BTreeSet<Identity>,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
    /// The companies it belongs to.
    pub company_ids: BTreeSet<Id>,
    /// As what it belongs to them.
    pub company_roles: BTreeMap<Id, String>,
    /// Notes about it, oldest first.
    pub notes: Vec<Note>,
    /// To what it agrees.
    pub consents: BTreeMap<String, Consent>,
    /// The contact it was merged into.
    pub merged_into: Option<Id>,
    /// The contacts that were merged into it.
    pub absorbed: BTreeSet<Id>,
    /// When the erasure of its personal data was asked for.
    pub erasure_requested_at: Option<Time>,
}

/// A contact with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The contact itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// The companies it belongs to.
    pub companies: Vec<Membership>,
    /// The names of who wrote the notes, by id.
    pub note_author_names: BTreeMap<Id, Option<String>>,
}

/// A company that a contact belongs to.
#[derive(Clone, Debug, JsonSchema)]
pub struct Membership {
    /// The company.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// As what.
    pub role: Option<String>,
}

impl ReadModel for Contacts {
    const NAME: &'static str = "contacts";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Contact::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Contact>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            return Ok(created(happened, event).map(|(fields, common)| Row {
                fields,
                common,
                identities: BTreeSet::new(),
                external_ids: BTreeSet::new(),
                company_ids: BTreeSet::new(),
                company_roles: BTreeMap::new(),
                notes: Vec::new(),
                consents: BTreeMap::new(),
                merged_into: None,
                absorbed: BTreeSet::new(),
                erasure_requested_at: None,
            }));
        };
        row.common.touch(event);
        match happened {
            Either::Common(happened) => row.common.happened(&mut row.fields, happened),
            Either::Own(happened) => row.own(happened, event),
        }
        Ok(Some(row))
    }
}

impl Row {
    fn own(&mut self, happened: Event, event: &Recorded) {
        match happened {
            Event::IdentityAdded(identity) => drop(self.identities.insert(identity)),
            Event::IdentityRemoved(identity) => drop(self.identities.remove(&identity)),
            Event::ExternalIdAdded(id) => drop(self.external_ids.insert(id)),
            Event::ExternalIdRemoved(id) => drop(self.external_ids.remove(&id)),
            Event::CompanyLinked { company, role } => {
                self.company_ids.insert(company);
                match role {
                    Some(role) => self.company_roles.insert(company, role),
                    None => self.company_roles.remove(&company),
                };
            }
            Event::CompanyUnlinked { company } => {
                self.company_ids.remove(&company);
                self.company_roles.remove(&company);
            }
            Event::NoteAdded { note_id, text } => {
                let (author_kind, author_id) = author(event);
                let (text, written_at) = (text.0, event.occurred_at);
                self.notes.push(Note { id: note_id, text, author_kind, author_id, written_at, edited_at: None });
            }
            Event::NoteEdited { note_id, to, .. } => {
                if let Some(note) = self.notes.iter_mut().find(|note| note.id == note_id) {
                    note.text = to.0;
                    note.edited_at = Some(event.occurred_at);
                }
            }
            Event::NoteDeleted { note_id } => self.notes.retain(|note| note.id != note_id),
            Event::Merged { into, .. } => self.merged_into = Some(into),
            Event::Unmerged { .. } => self.merged_into = None,
            Event::Absorbed { contact, .. } => drop(self.absorbed.insert(contact)),
            Event::Released { contact } => drop(self.absorbed.remove(&contact)),
            Event::ConsentChanged { purpose, to, .. } => drop(self.consents.insert(purpose, to)),
            Event::ErasureRequested { .. } => self.erasure_requested_at = Some(event.occurred_at),
            // Offers have a list of their own.
            Event::OfferReceived { .. } => {}
        }
    }
}

impl Listed for Contacts {
    const PATH: &'static str = Contact::PLURAL;
    const READ: &'static str = Contact::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("kind"),
        Column::text("source").nullable(),
        Column::email("email").nullable(),
        Column::phone("phone").nullable(),
        Column::word("phone_e164").nullable(),
        Column::word("phone_extension").nullable(),
        Column::text("address").nullable(),
        Column::text("city").nullable(),
        Column::text("country").nullable(),
        Column::text("locale").nullable(),
        Column::text("time_zone").nullable(),
        Column::text("description").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::set("company_ids"),
        Column::bool("archived").hiding(),
        Column::id("merged_into").nullable(),
        Column::time("erasure_requested_at").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Contact::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.kind, t.source, t.email, t.phone, t.phone_e164, t.phone_extension, t.address, \
        t.city, t.country, t.locale, t.time_zone, t.description, t.owner_id, owner.name as owner_name, t.tags, \
        t.shared, t.custom, t.archived, t.copied_from, t.created_at, t.updated_at, t.identities, t.external_ids, \
        t.company_ids, t.company_roles, \
        array(select json_build_object('id', c.id, 'name', c.name, 'role', t.company_roles->>c.id) from read_companies c \
            where c.tenant_id = t.tenant_id and c.id = any (t.company_ids) order by c.name collate \"und-x-icu\", c.id) as companies, \
        t.notes, coalesce((select jsonb_object_agg(a.id, coalesce(u.name, c.name)) from ( \
                select distinct note->>'author_id' as id from jsonb_array_elements(t.notes) note \
                where note->>'author_id' is not null) a \
            left join read_users u on u.tenant_id = t.tenant_id and u.id = a.id \
            left join read_contacts c on c.tenant_id = t.tenant_id and c.id = a.id), '{}') as note_author_names, \
        t.consents, t.merged_into, t.absorbed, t.erasure_requested_at";
    const JOINS: &'static str = "left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_contact_gathers_what_is_known_of_it() {
        let created =
            event::<Contact>("created", json!({ "name": "Maria", "tags": ["vip"], "custom": { "size": "m" } }));
        refuses_strangers::<Contacts, Contact>(&created);
        let changed =
            json!({ "changes": { "city": { "from": null, "to": "Roma" }, "name": { "from": "Maria", "to": "Mara" } } });
        let note = |text: &str| Event::NoteAdded { note_id: id(5), text: text.into() };
        let edited = Event::NoteEdited { note_id: id(5), from: "a".into(), to: "b".into() };
        let own = [
            Event::CompanyLinked { company: id(2), role: Some("buyer".into()) },
            Event::CompanyLinked { company: id(3), role: None },
            Event::CompanyUnlinked { company: id(3) },
            note("a"),
            edited,
            Event::ConsentChanged { purpose: "news".into(), from: None, to: Consent::Granted },
            Event::Merged { into: id(9), redirects: vec![] },
        ];
        let events = [created, event::<Contact>("details_changed", changed)];
        let row = folded::<Contacts, Contact>(events.into_iter().chain(own.map(Either::Own))).unwrap();
        assert_eq!((row.fields.name.as_str(), row.fields.city.as_deref()), ("Mara", Some("Roma")));
        assert_eq!((row.company_ids, row.company_roles.len()), ([id(2)].into(), 1));
        assert_eq!((row.notes[0].text.as_str(), row.notes[0].edited_at), ("b", Some(at(6))));
        assert_eq!((row.merged_into, row.consents["news"]), (Some(id(9)), Consent::Granted));
        assert_eq!((row.common.created_at, row.common.updated_at), (at(0), at(8)));
    }
}
