//! The fields that a rule's conditions may ask about: those of its trigger and of the records that the trigger concerns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Asks;
use crate::{
    Country,
    catalogue::{self, Kind, listed},
    kernel::{
        custom::{self, FieldType},
        filter::{FieldKind, Fields},
        schema::leaf,
    },
};

/// How deep fields of fields are offered: `order.total.amount`.
const MAX_DEPTH: usize = 5;

/// The kind of record that a field of this name refers to.
pub(super) fn kind_meant(field: &str) -> &str {
    match field {
        "customer" => "contact",
        other => other,
    }
}

/// What a tenant adds to the vocabulary: the types of its custom fields, by kind of record and key, and its country.
#[derive(Clone, Debug, Default)]
pub struct CustomTypes {
    types: BTreeMap<(String, String), FieldType>,
    /// The country whose phone numbers are written without its code.
    country: Option<Country>,
}

impl CustomTypes {
    /// Of a tenant that has neither.
    pub fn new() -> CustomTypes {
        CustomTypes::default()
    }

    /// Of a tenant in this country.
    pub fn of(country: Option<Country>) -> CustomTypes {
        CustomTypes { country, ..CustomTypes::default() }
    }
}

impl Extend<((String, String), FieldType)> for CustomTypes {
    fn extend<T: IntoIterator<Item = ((String, String), FieldType)>>(&mut self, types: T) {
        self.types.extend(types);
    }
}

/// What the conditions of a rule with a certain trigger may ask about.
pub struct Vocabulary {
    fields: BTreeMap<String, FieldKind>,
    /// The fields that only lists tell: what rules see of a record has them neither so nor under a former name.
    listed: BTreeSet<String>,
    /// The kind of record that the trigger happens to.
    own: &'static str,
    custom: CustomTypes,
    kinds: BTreeSet<&'static str>,
}

impl Vocabulary {
    /// For rules with this trigger; `None` when there is no such type of event.
    pub fn of(trigger: &str, custom: CustomTypes) -> Option<Vocabulary> {
        let (name, event) = trigger.split_once('.')?;
        let kind = catalogue::kind(name)?;
        let schema = kind.events.get(event)?;
        let mut fields = BTreeMap::new();
        fields_of(schema.as_value(), &kind.definitions, "event", 0, &mut fields);
        for (field, kind) in ENVELOPE {
            fields.entry(format!("event.{field}")).or_insert(*kind);
        }
        let mut kinds = BTreeSet::new();
        add_kind(kind, &mut fields, &mut kinds);
        for other in meant(&fields) {
            add_kind(other, &mut fields, &mut kinds);
        }
        let mut only = BTreeSet::new();
        for kind in &kinds {
            for (field, field_kind) in listed::fields(kind) {
                let path = format!("{kind}.{field}");
                let former = listed::former(kind, field).map(|before| format!("{kind}.{before}"));
                // What is counted or summed up is so in a list of its own way.
                let named = field_kind.is_text() || field_kind.is_set() || field_kind == FieldKind::Id;
                let known = named && former.is_some_and(|former| fields.contains_key(&former));
                if !known && !fields.contains_key(&path) {
                    only.insert(path.clone());
                }
                fields.insert(path, field_kind);
            }
        }
        Some(Vocabulary { fields, listed: only, own: kind.name, custom, kinds })
    }

    /// How much of the records must be known to tell a field.
    pub(super) fn asks(&self, field: &str) -> Asks {
        let name = |(kind, field): (&str, &str)| listed::names(kind).iter().any(|name| name.field == field);
        match field.split_once('.') {
            _ if !self.listed.contains(field) => Asks::Documents,
            Some(own) if name(own) => Asks::Names,
            _ => Asks::Rows,
        }
    }

    /// The same of every field that lists alone tell and that is asked for.
    pub(super) fn asked(&self, is_asked: impl Fn(&str) -> bool) -> impl Iterator<Item = Asks> {
        self.listed.iter().filter(move |field| is_asked(field)).map(|field| self.asks(field))
    }

    /// The kinds of record that the trigger may concern.
    pub fn kinds(&self) -> &BTreeSet<&'static str> {
        &self.kinds
    }
}

/// What every event tells about itself besides its data.
const ENVELOPE: &[(&str, FieldKind)] = &[
    ("type", FieldKind::Word),
    ("occurred_at", FieldKind::Time),
    ("via", FieldKind::Word),
    ("actor.kind", FieldKind::Word),
    ("actor.id", FieldKind::Id),
];

fn add_kind(kind: &'static Kind, fields: &mut BTreeMap<String, FieldKind>, kinds: &mut BTreeSet<&'static str>) {
    let Some(document) = &kind.document else { return };
    fields_of(document.as_value(), &kind.definitions, kind.name, 0, fields);
    fields.insert(format!("{}.id", kind.name), FieldKind::Id);
    kinds.insert(kind.name);
}

/// The kinds that these fields refer to: by their name, or as a party of one of three kinds.
fn meant(fields: &BTreeMap<String, FieldKind>) -> Vec<&'static Kind> {
    let ids = fields.iter().filter(|(_, kind)| **kind == FieldKind::Id);
    let names = ids.filter_map(|(path, _)| path.split_once('.')).flat_map(|(_, path)| match path.strip_suffix(".id") {
        Some("actor") | None => vec![kind_meant(path)],
        Some(_) => vec!["contact", "company"],
    });
    names.filter_map(catalogue::kind).collect()
}

fn fields_of(
    schema: &Value,
    definitions: &Map<String, Value>,
    path: &str,
    depth: usize,
    fields: &mut BTreeMap<String, FieldKind>,
) {
    if depth > MAX_DEPTH {
        return;
    }
    for part in ["anyOf", "allOf"] {
        let parts = schema[part].as_array().into_iter().flatten();
        parts.for_each(|part| fields_of(part, definitions, path, depth, fields));
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        match definitions.get(name) {
            _ if name == "Id" => drop(fields.insert(path.to_owned(), FieldKind::Id)),
            Some(definition) => fields_of(definition, definitions, path, depth, fields),
            None => {}
        }
    }
    if let Some(kind) = leaf(schema, definitions) {
        fields.insert(path.to_owned(), kind);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        // What the key names is known only per tenant.
        if name != "custom" {
            fields_of(inner, definitions, &format!("{path}.{name}"), depth + 1, fields);
        }
    }
}

impl Fields for Vocabulary {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        if let Some(kind) = self.fields.get(field) {
            return Some(*kind);
        }
        let (kind, rest) = field.split_once('.')?;
        let path = rest.strip_prefix("custom.").filter(|_| self.kinds.contains(kind))?;
        custom::filtered(path, |key| self.custom.types.get(&(kind.to_owned(), key.to_owned())).copied())
    }

    fn names(&self) -> Vec<String> {
        let custom = self.custom.types.iter().filter(|((kind, _), _)| self.kinds.contains(kind.as_str()));
        let custom = custom.flat_map(|((kind, key), field_type)| {
            let names = custom::filter_names(key, *field_type).into_iter();
            names.map(move |path| format!("{kind}.custom.{path}"))
        });
        let present = |field: &&String| deprecated(field).is_none();
        self.fields.keys().filter(present).cloned().chain(custom).collect()
    }

    /// A filter of the list of the trigger's own kind means the same here.
    fn called(&self, field: &str) -> Option<String> {
        let first = field.split('.').next().unwrap_or_default();
        if first == "event" || self.kinds.contains(first) && field.contains('.') {
            return None;
        }
        let own = listed::kind_of(self.own, field).is_some() || first == "custom" && self.kinds.contains(self.own);
        own.then(|| format!("{}.{field}", self.own))
    }

    fn country(&self) -> Option<Country> {
        self.custom.country
    }
}

/// What a field with the name of its kind before it is called now, if it was called so before.
pub(super) fn deprecated(field: &str) -> Option<String> {
    let (kind, rest) = field.split_once('.')?;
    listed::present(kind, rest).map(|now| format!("{kind}.{now}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_kinds_that_their_schemas_say() {
        use FieldKind::*;
        type Case<'a> = (&'a str, &'a [(&'a str, Option<FieldKind>)]);
        let cases: [Case<'_>; 5] = [
            (
                "order.placed",
                &[
                    ("event.number", Some(Integer)),
                    ("event.total.amount", Some(Decimal)),
                    ("event.occurred_at", Some(Time)),
                    ("order.total.amount", Some(Decimal)),
                    ("order.total.currency", Some(Word)),
                    ("order.city", Some(Text)),
                    ("order.customer", Some(Id)),
                    ("order.source", Some(Word)),
                    ("order.phone", Some(Phone)),
                    ("order.email", Some(Email)),
                    ("order.cancelled", Some(Bool)),
                    ("order.paid", Some(Decimal)),
                    ("order.customer_id", Some(Id)),
                    ("order.paid.amount", Some(Decimal)),
                    ("order.placed_at", Some(Time)),
                    ("contact.company_ids", Some(Set)),
                    ("order.id", Some(Id)),
                    ("contact.city", Some(Text)),
                    ("contact.tags", Some(Tags)),
                    ("contact.companies", Some(Set)),
                    ("contact.custom.size", Some(Integer)),
                    ("conversation.status", Some(Word)),
                    ("order.items", None),
                    ("ticket.title", None),
                    ("order.custom.size", None),
                ],
            ),
            (
                "ticket.opened",
                &[
                    ("ticket.product", Some(Id)),
                    ("ticket.priority", Some(Integer)),
                    ("ticket.tags", Some(Tags)),
                    ("ticket.status", Some(Word)),
                    ("contact.name", Some(Text)),
                    ("product.name", Some(Text)),
                    ("company.name", Some(Text)),
                ],
            ),
            (
                "order.status_changed",
                &[("event.from", Some(Word)), ("event.to", Some(Word)), ("order.city", Some(Text))],
            ),
            ("call.missed", &[("event.from", Some(Phone)), ("contact.city", Some(Text)), ("call.status", Some(Word))]),
            ("task.became_overdue", &[("event.due_at", Some(Time)), ("task.due_at", Some(Time))]),
        ];
        let mut custom = CustomTypes::new();
        custom.extend([(("contact".to_owned(), "size".to_owned()), FieldType::Number)]);
        for (trigger, fields) in cases {
            let vocabulary = Vocabulary::of(trigger, custom.clone()).unwrap();
            for (field, kind) in fields {
                assert_eq!(vocabulary.kind(field), *kind, "{trigger}: {field}");
            }
            assert!(vocabulary.names().iter().all(|name| vocabulary.kind(name).is_some()));
        }
        assert!(Vocabulary::of("order.eaten", CustomTypes::new()).is_none());
        assert!(Vocabulary::of("order", CustomTypes::new()).is_none());
    }

    #[test]
    fn every_event_may_trigger_and_every_document_has_the_fields_it_promises() {
        struct Documents;
        impl catalogue::Visitor for Documents {
            fn visit<A: crate::Aggregate>(&mut self) {
                let kind = catalogue::kind(A::KIND).unwrap();
                for event in kind.events.keys() {
                    assert!(Vocabulary::of(&format!("{}.{event}", A::KIND), CustomTypes::new()).is_some());
                }
                let born = catalogue::tests::born(A::KIND);
                let document = kind.see(&born);
                assert_eq!(document.is_some(), kind.document.is_some(), "{}", A::KIND);
                let (Some(document), Some(event)) = (document, kind.events.keys().next()) else { return };
                let vocabulary = Vocabulary::of(&format!("{}.{event}", A::KIND), CustomTypes::new()).unwrap();
                for (field, value) in document.as_object().unwrap().iter().filter(|(field, _)| *field != "custom") {
                    let path = format!("{}.{field}", A::KIND);
                    let read = |kind: FieldKind| kind.is_set() && value.is_array() || kind.read(value).is_some();
                    let leaf = value.is_string() || value.is_number() || value.is_boolean();
                    assert!(!leaf || vocabulary.kind(&path).is_some_and(read), "{path} is {value}");
                }
            }
        }
        catalogue::visit_all(&mut Documents);
    }
}
