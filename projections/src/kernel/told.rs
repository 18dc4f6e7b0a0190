//! What rows tell of other records beside their ids, such as their names: left out where whoever asks does not see those.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Id, catalogue,
    kernel::{
        custom::{Definitions, FieldType},
        listing::Name,
        reference::Subject,
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::MapAccess, ser::SerializeMap};
use serde_json::{Value, value::RawValue};
use sqlx::PgConnection;

use crate::{List, Sight};

/// What is called as another record is, and that one.
const CONVERSATION: &str = "conversation";
const CONTACT: &str = "contact";

/// The member that has the names of what custom fields refer to.
const NAMES: &str = "custom_names";

/// Something that a row tells of other records.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The member that tells it.
    member: &'static str,
    /// Of which records.
    of: Of,
}

/// Of which records a member tells something.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Of the one whose id this member has, of this kind.
    One(&'static str, Kind),
    /// Of those that it lists, each with its `id`, of this kind.
    Listed(&'static str),
    /// Of those whose ids are its keys, and which this member lists, with the members that have their kinds and ids.
    ById(&'static str, &'static str, &'static str),
}

/// What kind of record an id belongs to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Is(&'static str),
    /// The one that this member says.
    By(&'static str),
}

impl Told {
    /// What the record is called by which lists are filtered under that name.
    pub const fn name(name: &'static Name) -> Told {
        let kind = match (name.by, name.kinds) {
            (Some(by), _) => Kind::By(by),
            (None, [kind, ..]) => Kind::Is(kind),
            (None, []) => Kind::Is(""),
        };
        Told { member: name.field, of: Of::One(name.column, kind) }
    }

    /// Something of the record of this kind whose id another member has.
    pub const fn of(member: &'static str, id: &'static str, kind: &'static str) -> Told {
        Told { member, of: Of::One(id, Kind::Is(kind)) }
    }

    /// Something of the record whose id another member has, and its kind a third.
    pub const fn by(member: &'static str, id: &'static str, kind: &'static str) -> Told {
        Told { member, of: Of::One(id, Kind::By(kind)) }
    }

    /// Records of this kind, listed with their ids: those that are not seen are not listed.
    pub const fn listed(member: &'static str, kind: &'static str) -> Told {
        Told { member, of: Of::Listed(kind) }
    }

    /// Names by id, of records that another member lists with their kinds and ids under these names.
    pub const fn by_id(member: &'static str, list: &'static str, kind: &'static str, id: &'static str) -> Told {
        Told { member, of: Of::ById(list, kind, id) }
    }

    /// The records of which it tells something in this row.
    fn records(&self, row: &Row) -> Vec<Subject> {
        match self.of {
            Of::One(id, kind) => {
                let kind = match kind {
                    Kind::Is(kind) => Some(kind.to_owned()),
                    Kind::By(member) => row.text(member),
                };
                kind.zip(row.text(id)).and_then(|(kind, id)| subject(&kind, &id)).into_iter().collect()
            }
            Of::Listed(kind) => {
                let listed = row.value(self.member);
                each(&listed).filter_map(|one| subject(kind, one["id"].as_str()?)).collect()
            }
            Of::ById(list, kind, id) => {
                let listed = row.value(list);
                each(&listed).filter_map(|one| subject(one[kind].as_str()?, one[id].as_str()?)).collect()
            }
        }
    }

    /// Takes out of a row what it tells of hidden records.
    fn take_out(&self, row: &mut Row, hidden: &BTreeSet<Subject>) {
        let records = self.records(row);
        let gone: BTreeSet<String> =
            records.iter().filter(|record| hidden.contains(record)).map(|record| record.id.to_string()).collect();
        if gone.is_empty() {
            return;
        }
        let mut value = row.value(self.member);
        match (self.of, &mut value) {
            (Of::One(..), value) => *value = Value::Null,
            (_, Value::Array(listed)) => listed.retain(|one| one["id"].as_str().is_none_or(|id| !gone.contains(id))),
            (_, Value::Object(names)) => names.retain(|id, _| !gone.contains(id)),
            _ => {}
        }
        row.set(self.member, &value);
    }
}

fn subject(kind: &str, id: &str) -> Option<Subject> {
    Some(Subject::new(kind, id.parse().ok()?))
}

fn each(listed: &Value) -> impl Iterator<Item = &Value> {
    listed.as_array().into_iter().flatten()
}

/// A row as it is told, member by member: what is not looked into stays as it is.
struct Row(Vec<(String, Box<RawValue>)>);

impl Row {
    fn value(&self, member: &str) -> Value {
        let found = self.0.iter().find(|(name, _)| name == member);
        found.and_then(|(_, raw)| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    fn text(&self, member: &str) -> Option<String> {
        self.value(member).as_str().map(ToOwned::to_owned)
    }

    fn set(&mut self, member: &str, value: &Value) {
        let Ok(raw) = serde_json::value::to_raw_value(value) else { return };
        self.0.iter_mut().filter(|(name, _)| name == member).for_each(|(_, told)| told.clone_from(&raw));
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Row;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Row(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What the names are told of, to which the custom fields of a row refer.
fn custom(definitions: &Definitions, row: &Row) -> BTreeMap<String, Subject> {
    let values = row.value("custom");
    let references = definitions.iter().filter(|(_, field)| field.field_type == FieldType::Reference);
    let named = references.filter_map(|(key, field)| {
        let record = subject(field.target?.kind(), values[key.as_str()].as_str()?)?;
        Some((key.as_str().to_owned(), record))
    });
    named.collect()
}

/// Takes out of rows of a list what they tell of records that are not seen: their ids stay.
///
/// # Errors
/// When the database fails.
pub async fn veil(
    list: &'static List,
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    rows: &mut [Box<RawValue>],
) -> Result<(), sqlx::Error> {
    let names = list.columns.iter().filter_map(|column| column.names).map(Told::name);
    let tells: Vec<Told> = names.chain(list.tells.iter().copied()).collect();
    let of = |row: &Row| tells.iter().flat_map(|tells| tells.records(row)).collect();
    let take_out =
        |row: &mut Row, hidden: &BTreeSet<Subject>| tells.iter().for_each(|tells| tells.take_out(row, hidden));
    veiled(db, tenant, sight, rows, of, take_out).await
}

/// The same of the names that are told of what custom fields refer to; `definitions` are those of the kind.
///
/// # Errors
/// When the database fails.
pub async fn veil_custom(
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    definitions: &Definitions,
    rows: &mut [Box<RawValue>],
) -> Result<(), sqlx::Error> {
    let of = |row: &Row| custom(definitions, row).into_values().collect();
    let take_out = |row: &mut Row, hidden: &BTreeSet<Subject>| {
        let custom = custom(definitions, row);
        if let Value::Object(mut names) = row.value(NAMES) {
            names.retain(|key, _| custom.get(key).is_none_or(|record| !hidden.contains(record)));
            row.set(NAMES, &Value::Object(names));
        }
    };
    veiled(db, tenant, sight, rows, of, take_out).await
}

/// Asks once which of the records that rows tell of are hidden, and takes out what is told of those.
async fn veiled(
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    rows: &mut [Box<RawValue>],
    of: impl Fn(&Row) -> Vec<Subject>,
    take_out: impl Fn(&mut Row, &BTreeSet<Subject>),
) -> Result<(), sqlx::Error> {
    if matches!(sight, Sight::Everything) || rows.is_empty() {
        return Ok(());
    }
    let unfit = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let told = rows.iter().map(|row| serde_json::from_str(row.get())).collect::<Result<Vec<Row>, _>>();
    let mut told = told.map_err(unfit)?;
    let hidden = hidden(db, tenant, sight, told.iter().flat_map(of).collect()).await?;
    if hidden.is_empty() {
        return Ok(());
    }
    for (row, told) in rows.iter_mut().zip(&mut told) {
        take_out(told, &hidden);
        *row = serde_json::value::to_raw_value(told).map_err(unfit)?;
    }
    Ok(())
}

/// Those of the records of which nothing may be told.
pub(crate) async fn hidden(
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    records: BTreeSet<Subject>,
) -> Result<BTreeSet<Subject>, sqlx::Error> {
    let mut hidden = unseen(&mut *db, tenant, sight, records.clone()).await?;
    // A conversation is called what its contact is.
    let of_contacts = |record: &&Subject| record.kind == CONVERSATION && !hidden.contains(*record);
    let conversations: Vec<String> = records.iter().filter(of_contacts).map(|record| record.id.to_string()).collect();
    if conversations.is_empty() || sight.of_kind(CONTACT) == Some(true) {
        return Ok(hidden);
    }
    let pairs: Vec<(String, String)> = sqlx::query_as(
        "select id, read_survivor(tenant_id, 'contact', contact_id) from read_conversations
         where tenant_id = $1 and id = any ($2) and contact_id is not null",
    )
    .bind(tenant.to_string())
    .bind(conversations)
    .fetch_all(&mut *db)
    .await?;
    let contacts = pairs.iter().filter_map(|(_, contact)| subject(CONTACT, contact)).collect();
    let unseen = unseen(&mut *db, tenant, sight, contacts).await?;
    let of_unseen = |contact: &str| subject(CONTACT, contact).is_some_and(|contact| unseen.contains(&contact));
    let pairs = pairs.iter().filter(|(_, contact)| of_unseen(contact));
    hidden.extend(pairs.filter_map(|(conversation, _)| subject(CONVERSATION, conversation)));
    Ok(hidden)
}

/// Those of the records that are not seen.
async fn unseen(
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    records: BTreeSet<Subject>,
) -> Result<BTreeSet<Subject>, sqlx::Error> {
    let known = |record: &Subject| catalogue::has(&record.kind) && !sight.is_oneself(record.id);
    let (mut unseen, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for record in records.into_iter().filter(known) {
        match sight.of_kind(&record.kind) {
            Some(true) => continue,
            Some(false) => unseen.insert(record),
            None => asked.insert(record),
        };
    }
    let seen = sight.among(db, tenant, asked.clone()).await?;
    unseen.extend(asked.difference(&seen).cloned());
    Ok(unseen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::id;

    #[test]
    fn what_is_told_of_hidden_records_is_taken_out_and_the_rest_stays_as_it_is() {
        let (seen, other) = (id(1).to_string(), id(2).to_string());
        let text = json!({
            "zeta": 1.50, "company_id": other, "company_name": "Rossi", "by": "contact", "by_id": seen, "by_name": "Ada",
            "companies": [{ "id": seen, "name": "A" }, { "id": other, "name": "B" }],
            "subjects": [{ "kind": "company", "id": other }, { "kind": "contact", "id": seen }],
            "subject_names": { other.clone(): "Rossi", seen.clone(): "Ada" },
        });
        let mut row: Row = serde_json::from_str(&text.to_string()).unwrap();
        let hidden = BTreeSet::from([Subject::new("company", id(2))]);
        let tells = [
            Told::of("company_name", "company_id", "company"),
            Told::by("by_name", "by_id", "by"),
            Told::listed("companies", "company"),
            Told::by_id("subject_names", "subjects", "kind", "id"),
        ];
        tells.iter().for_each(|tells| tells.take_out(&mut row, &hidden));
        let told = serde_json::to_value(&row).unwrap();
        assert_eq!((&told["company_name"], &told["company_id"]), (&Value::Null, &json!(other)));
        assert_eq!((&told["by_name"], &told["companies"]), (&json!("Ada"), &json!([{ "id": seen, "name": "A" }])));
        assert_eq!(told["subject_names"], json!({ seen: "Ada" }));
        assert_eq!(told["subjects"], text["subjects"]);
        assert!(serde_json::to_string(&row).unwrap().contains("\"zeta\":1.5"));
    }
}
