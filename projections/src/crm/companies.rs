//! Companies. Table: `read_companies`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id,
    catalogue::listed,
    crm::company::{Brought, Company, Event, Fields},
    kernel::{external::ExternalId, named::Either, record::Happened},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::record::{Common, created},
};

/// The companies.
#[derive(Clone, Copy, Debug)]
pub struct Companies;

/// A company.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub fields: Fields,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
    /// The company it was merged into.
    pub merged_into: Option<Id>,
    /// The companies that were merged into it.
    pub absorbed: BTreeSet<Id>,
    /// Whose tags and external ids show here, its own among them, while others are merged into it.
    #[schemars(skip)]
    pub parts: BTreeMap<Id, Brought>,
}

/// A company with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The company itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
}

impl ReadModel for Companies {
    const NAME: &'static str = "companies";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Company::KIND];
    type Row = Row;

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Company>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            return Ok(created(happened, event).map(|(fields, common)| Row {
                fields,
                common,
                external_ids: BTreeSet::new(),
                merged_into: None,
                absorbed: BTreeSet::new(),
                parts: BTreeMap::new(),
            }));
        };
        row.common.touch(event);
        if let Some(own) = row.parts.remove(&id) {
            row.common.tags = own.tags;
            row.external_ids = own.external_ids;
        }
        match happened {
            Either::Common(happened) => {
                if let Happened::Untagged { tag } = &happened {
                    row.parts.values_mut().for_each(|brought| brought.tags.retain(|known| known != tag));
                }
                row.common.happened(&mut row.fields, happened);
            }
            Either::Own(Event::ExternalIdAdded(id)) => drop(row.external_ids.insert(id)),
            Either::Own(Event::ExternalIdRemoved(id)) => drop(row.external_ids.remove(&id)),
            Either::Own(Event::Merged { into }) => row.merged_into = Some(into),
            Either::Own(Event::Unmerged { .. }) => row.merged_into = None,
            Either::Own(Event::Absorbed { company, parts }) => {
                row.absorbed.insert(company);
                row.parts.extend(parts);
            }
            Either::Own(Event::Released { company, parts }) => {
                row.absorbed.remove(&company);
                row.parts.retain(|id, _| !parts.contains(id));
            }
        }
        if !row.parts.is_empty() {
            let own = Brought { tags: row.common.tags.clone(), external_ids: row.external_ids.clone() };
            for brought in row.parts.values() {
                row.common.tags.extend(brought.tags.iter().cloned());
                row.external_ids.extend(brought.external_ids.iter().cloned());
            }
            row.parts.insert(id, own);
        }
        Ok(Some(row))
    }
}

impl Listed for Companies {
    const PATH: &'static str = Company::PLURAL;
    const READ: &'static str = Company::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("domain").nullable(),
        Column::text("industry").nullable(),
        Column::email("email").nullable(),
        Column::phone("phone").nullable(),
        Column::word("phone_e164").nullable(),
        Column::word("phone_extension").nullable(),
        Column::text("website").nullable(),
        Column::text("address").nullable(),
        Column::text("city").nullable(),
        Column::text("country").nullable(),
        Column::text("description").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::id("merged_into").nullable().hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::OWNER),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Company::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.domain, t.industry, t.email, t.phone, t.phone_e164, t.phone_extension, \
        t.website, t.address, t.city, t.country, t.description, t.owner_id, owner.name as owner_name, t.tags, t.shared, \
        r.custom, t.archived, t.copied_from, t.created_at, t.updated_at, t.external_ids, t.merged_into, t.absorbed";
    const JOINS: &'static str = "left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_company_is_tagged_archived_and_merged() {
        let created = event::<Company>("created", json!({ "name": "Rossi" }));
        refuses_strangers::<Companies, Company>(&created);
        let events = [
            created,
            event::<Company>("tagged", json!({ "tag": "vip" })),
            event::<Company>("owner_changed", json!({ "from": null, "to": id(4) })),
            event::<Company>("archived", json!({})),
            Either::Own(Event::Absorbed { company: id(3), parts: BTreeMap::new() }),
            Either::Own(Event::Merged { into: id(9) }),
        ];
        let row = folded::<Companies, Company>(events).unwrap();
        assert_eq!((row.common.tags, row.common.archived), (["vip".to_owned()].into(), true));
        assert_eq!((row.common.owner_id, row.merged_into, row.absorbed), (Some(id(4)), Some(id(9)), [id(3)].into()));
    }
}
