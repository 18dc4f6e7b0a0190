//! Contacts with everything known of them. Table: `read_contacts`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    crm::contact::{Brought, Consent, Contact, Event, Fields, Identity},
    kernel::{external::ExternalId, listing::Common, named::Either, record::Happened},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode,
    kernel::author::{AuthorKind, author},
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
    /// Whose tags, companies, addresses, external ids and consents show here, its own among them, while others are merged
    /// into it.
    #[schemars(skip)]
    pub parts: BTreeMap<Id, Brought>,
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

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Contact>(event)?;
        let Some(mut row) = row else {
            let Either::Common(Happened::Created(new)) = happened else { return Ok(None) };
            return Ok(Some(Row {
                common: Common::of(&new, event.occurred_at),
                fields: new.fields,
                identities: BTreeSet::new(),
                external_ids: BTreeSet::new(),
                company_ids: BTreeSet::new(),
                company_roles: BTreeMap::new(),
                notes: Vec::new(),
                consents: BTreeMap::new(),
                merged_into: None,
                absorbed: BTreeSet::new(),
                parts: BTreeMap::new(),
                erasure_requested_at: None,
            }));
        };
        row.common.touch(event.occurred_at);
        row.part(id);
        match happened {
            Either::Common(happened) => {
                if let Happened::Untagged { tag } = &happened {
                    row.parts.values_mut().for_each(|brought| brought.tags.retain(|known| known != tag));
                }
                row.common.happened(&mut row.fields, &happened);
            }
            Either::Own(happened) => row.own(happened, event),
        }
        row.join(id);
        Ok(Some(row))
    }
}

impl Row {
    /// Leaves only what is its own.
    fn part(&mut self, id: Id) {
        let Some(own) = self.parts.remove(&id) else { return };
        self.common.tags = own.tags;
        self.company_ids = own.companies;
        self.company_roles = own.roles;
        self.identities = own.identities;
        self.external_ids = own.external_ids;
        self.consents = own.consents;
    }

    /// Shows what those merged into it brought along besides, and keeps what is its own.
    fn join(&mut self, id: Id) {
        if self.parts.is_empty() {
            return;
        }
        let own = Brought {
            tags: self.common.tags.clone(),
            companies: self.company_ids.clone(),
            roles: self.company_roles.clone(),
            identities: self.identities.clone(),
            external_ids: self.external_ids.clone(),
            consents: self.consents.clone(),
        };
        for brought in self.parts.values() {
            self.common.tags.extend(brought.tags.iter().cloned());
            self.company_ids.extend(&brought.companies);
            for (company, role) in &brought.roles {
                self.company_roles.entry(*company).or_insert_with(|| role.clone());
            }
            self.identities.extend(brought.identities.iter().cloned());
            self.external_ids.extend(brought.external_ids.iter().cloned());
            for (purpose, consent) in &brought.consents {
                self.consents.entry(purpose.clone()).or_insert(*consent);
            }
        }
        self.parts.insert(id, own);
    }

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
                let brought = self.parts.values_mut().map(|brought| (&mut brought.companies, &mut brought.roles));
                for (companies, roles) in brought.chain([(&mut self.company_ids, &mut self.company_roles)]) {
                    companies.remove(&company);
                    roles.remove(&company);
                }
            }
            Event::NoteAdded { note_id, text, .. } => {
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
            Event::Absorbed { contact, parts, .. } => {
                self.absorbed.insert(contact);
                self.parts.extend(parts);
            }
            Event::Released { contact, parts } => {
                self.absorbed.remove(&contact);
                self.parts.retain(|id, _| !parts.contains(id));
            }
            Event::ConsentChanged { purpose, to, .. } => drop(self.consents.insert(purpose, to)),
            Event::ErasureRequested { .. } => self.erasure_requested_at = Some(event.occurred_at),
            // Offers have a list of their own, and what was passed on shows where it went.
            // Who is signed in where is nobody's list.
            Event::OfferReceived { .. }
            | Event::Forwarded { .. }
            | Event::PortalSessionStarted { .. }
            | Event::PortalSessionsEnded { .. } => {}
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
        Column::set("company_ids").of(Refers::To("company")),
        Column::bool("archived").hiding(),
        Column::id("merged_into").nullable().hiding(),
        Column::time("erasure_requested_at").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::OWNER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Contact::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const TELLS: &'static [Told] =
        &[Told::listed("companies", "company"), Told::by_id("note_author_names", "notes", "author_kind", "author_id")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.kind, t.source, t.email, t.phone, t.phone_e164, t.phone_extension, t.address, \
        t.city, t.country, t.locale, t.time_zone, t.description, t.owner_id, owner.name as owner_name, t.tags, \
        t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at, t.identities, t.external_ids, \
        r.company_ids, \
        (select coalesce(jsonb_object_agg(m.id, m.role), '{}') from (\
            select read_survivor(t.tenant_id, 'company', role.key, r.past) as id, max(role.value) as role \
            from jsonb_each_text(t.company_roles) role group by 1) m) as company_roles, \
        array(select json_build_object('id', c.id, 'name', c.name, 'role', m.role) from (\
            select read_survivor(t.tenant_id, 'company', known.id, r.past) as id, max(t.company_roles->>known.id) as role \
            from unnest(t.company_ids) known (id) group by 1) m \
            join read_companies c on c.tenant_id = t.tenant_id and c.id = m.id order by c.name collate \"und-x-icu\", c.id) as companies, \
        written.notes, coalesce((select jsonb_object_agg(a.id, coalesce(u.name, c.name)) from ( \
                select distinct note->>'author_id' as id from jsonb_array_elements(written.notes) note \
                where note->>'author_id' is not null) a \
            left join read_users u on u.tenant_id = t.tenant_id and u.id = a.id \
            left join read_contacts c on c.tenant_id = t.tenant_id and c.id = a.id), '{}') as note_author_names, \
        t.consents, t.merged_into, t.absorbed, t.erasure_requested_at";
    // Its notes, and those of the contacts merged into it, through chains.
    const JOINS: &'static str = "\
        left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id \
        cross join lateral (select case when cardinality(t.absorbed) = 0 then t.notes else ( \
            with recursive part (id) as ( \
                select unnest(t.absorbed) collate \"C\" \
                union select unnest(c.absorbed) collate \"C\" from part \
                    join read_contacts c on c.tenant_id = t.tenant_id and c.id = part.id \
            ) select coalesce(jsonb_agg(note order by note->>'written_at', note->>'id'), '[]') from ( \
                select jsonb_array_elements(t.notes) as note \
                union all select jsonb_array_elements(c.notes) from part \
                    join read_contacts c on c.tenant_id = t.tenant_id and c.id = part.id) every \
        ) end as notes) written";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn what_merged_contacts_brought_along_shows_until_it_is_given_back() {
        let created = || event::<Contact>("created", json!({ "name": "Maria", "tags": ["own"] }));
        let brought = Brought {
            tags: ["vip".to_owned()].into(),
            companies: [id(2)].into(),
            roles: [(id(2), "buyer".to_owned())].into(),
            consents: [("news".to_owned(), Consent::Granted)].into(),
            ..Brought::default()
        };
        let parts = BTreeMap::from([(id(9), brought)]);
        let absorbed = || Either::Own(Event::Absorbed { contact: id(9), redirects: vec![], parts: parts.clone() });
        let released = || Either::Own(Event::Released { contact: id(9), parts: [id(9)].into() });
        let whole = folded::<Contacts, Contact>([created(), absorbed()]).unwrap();
        assert_eq!(whole.common.tags, ["own".to_owned(), "vip".into()].into());
        assert_eq!((whole.company_ids, whole.company_roles.len(), whole.consents.len()), ([id(2)].into(), 1, 1));
        let mut back = folded::<Contacts, Contact>([created(), absorbed(), released()]).unwrap();
        let alone = folded::<Contacts, Contact>([created()]).unwrap();
        back.common.updated_at = alone.common.updated_at;
        assert_eq!(back, alone);
        let tag = event::<Contact>("tagged", json!({ "tag": "vip" }));
        let kept = folded::<Contacts, Contact>([created(), absorbed(), tag, released()]).unwrap();
        assert_eq!(kept.common.tags, ["own".to_owned(), "vip".into()].into());
    }

    #[test]
    fn a_contact_gathers_what_is_known_of_it() {
        let created =
            event::<Contact>("created", json!({ "name": "Maria", "tags": ["vip"], "custom": { "size": "m" } }));
        refuses_strangers::<Contacts, Contact>(&created);
        let changed =
            json!({ "changes": { "city": { "from": null, "to": "Roma" }, "name": { "from": "Maria", "to": "Mara" } } });
        let note = |text: &str| Event::NoteAdded { note_id: id(5), text: text.into(), via_contact: None };
        let edited = Event::NoteEdited { note_id: id(5), from: "a".into(), to: "b".into() };
        let own = [
            Event::CompanyLinked { company: id(2), role: Some("buyer".into()) },
            Event::CompanyLinked { company: id(3), role: None },
            Event::CompanyUnlinked { company: id(3) },
            note("a"),
            edited,
            Event::ConsentChanged { purpose: "news".into(), from: None, to: Consent::Granted, via_contact: None },
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
