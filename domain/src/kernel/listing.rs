//! The list of a descriptive kind, as it follows from the one description of its attributes: columns, what they refer to, by
//! what it is filtered, and the fold that makes its rows.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value, json};

use crate::{
    Aggregate, Id, Time,
    kernel::{
        custom::{self, Custom},
        filter::FieldKind,
        named::{self, Either, Undecodable},
        record::{Event, Happened, Level, New, Record, Spec, apply_changes},
        reference::{ANY, COLLEAGUE, REFERENCE, REFUSAL, SAME, USER_OR_TEAM},
        schema::{leaf, referred},
    },
};

/// What every record of a descriptive kind has in its list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// The user who owns it.
    #[schemars(extend("x-reference" = "user"))]
    pub owner_id: Option<Id>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// With whom it is shared, and how far.
    pub shared: BTreeMap<Id, Level>,
    /// Custom fields.
    pub custom: Custom,
    /// Whether it is put away.
    pub archived: bool,
    /// The record it is a copy of.
    pub copied_from: Option<Id>,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

impl Common {
    /// Of a record that came into being then.
    pub fn of<F>(new: &New<F>, at: Time) -> Common {
        Common {
            owner_id: new.owner.flatten(),
            tags: new.tags.clone(),
            shared: BTreeMap::new(),
            custom: new.custom.clone(),
            archived: false,
            copied_from: new.copied_from,
            created_at: at,
            updated_at: at,
        }
    }

    /// Takes in what happens to every record, with these attributes.
    pub fn happened<F: Serialize + DeserializeOwned>(&mut self, fields: &mut F, event: &Happened<F>) {
        match event {
            Happened::Created(_) | Happened::StageChanged { .. } => {}
            Happened::DetailsChanged { changes } => apply_changes(fields, changes),
            Happened::CustomChanged { changes } => custom::apply(&mut self.custom, changes),
            Happened::OwnerChanged { to, .. } => self.owner_id = *to,
            Happened::Shared { grantee, level } => drop(self.shared.insert(*grantee, *level)),
            Happened::Unshared { grantee } => drop(self.shared.remove(grantee)),
            Happened::Tagged { tag } => drop(self.tags.insert(tag.clone())),
            Happened::Untagged { tag } => drop(self.tags.remove(tag)),
            Happened::Archived { .. } => self.archived = true,
            Happened::Restored => self.archived = false,
        }
    }

    /// Something happened to the record.
    pub fn touch(&mut self, at: Time) {
        self.updated_at = self.updated_at.max(at);
    }
}

/// What a list shows besides attributes where nothing else happens to records of the kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

/// A record as its list has it. In JSON its members are named as the columns are.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<S: Spec> {
    /// Its attributes.
    pub fields: S::Fields,
    /// What every record has.
    pub common: Common,
    /// Its stage; empty when the kind has none.
    pub stage: String,
    /// What its own events have made of it.
    pub shown: S::Shown,
}

impl<S: Spec> Row<S> {
    fn created(event: Event<S>, at: Time) -> Option<Row<S>> {
        let Either::Common(Happened::Created(new)) = event else { return None };
        let common = Common::of(&new, at);
        let first = || S::STAGES.first().copied().unwrap_or_default().to_owned();
        let stage = new.stage.unwrap_or_else(first);
        Some(Row { fields: new.fields, common, stage, shown: S::Shown::default() })
    }

    /// Takes in what happens to every record.
    pub fn happened(&mut self, event: &Happened<S::Fields>) {
        if let Happened::StageChanged { to, .. } = event {
            self.stage.clone_from(to);
        }
        self.common.happened(&mut self.fields, event);
    }
}

impl<S: Spec> Serialize for Row<S> {
    fn serialize<R: Serializer>(&self, serializer: R) -> Result<R::Ok, R::Error> {
        let listing = Listing::of::<S>();
        let object = |value: Result<Value, _>| match value {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(serde::ser::Error::custom("a row is made of objects")),
            Err(error) => Err(serde::ser::Error::custom(error)),
        };
        let mut fields = object(serde_json::to_value(&self.fields))?;
        let mut row = Map::new();
        for column in listing.attributes() {
            let empty = || if column.is_list() { json!([]) } else { Value::Null };
            row.insert(column.name.clone(), fields.remove(&column.attribute).unwrap_or_else(empty));
        }
        if !S::STAGES.is_empty() {
            row.insert("stage".into(), self.stage.clone().into());
        }
        let mut shown = object(serde_json::to_value(&self.shown))?;
        for column in listing.columns.iter().filter(|column| column.of == Part::Shown) {
            row.insert(column.name.clone(), shown.remove(&column.attribute).unwrap_or_default());
        }
        row.extend(object(serde_json::to_value(&self.common))?);
        row.serialize(serializer)
    }
}

impl<'de, S: Spec> Deserialize<'de> for Row<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn part<T: DeserializeOwned, E: serde::de::Error>(members: Map<String, Value>) -> Result<T, E> {
            named::read(Value::Object(members)).map_err(E::custom)
        }
        let mut row = Map::deserialize(deserializer)?;
        let listing = Listing::of::<S>();
        let mut take = |of: Part| -> Map<String, Value> {
            let columns = listing.columns.iter().filter(|column| column.of == of);
            let values = columns.filter_map(|column| Some((column.attribute.clone(), row.remove(&column.name)?)));
            values.filter(|(_, value)| of != Part::Attribute || !value.is_null()).collect()
        };
        let (fields, mut stage, shown) = (take(Part::Attribute), take(Part::Stage), take(Part::Shown));
        let stage = stage.remove("stage").and_then(|stage| stage.as_str().map(ToOwned::to_owned)).unwrap_or_default();
        Ok(Row { fields: part(fields)?, stage, shown: part(shown)?, common: part(row)? })
    }
}

/// Its members as [`Listing::columns`] have them.
impl<S: Spec> JsonSchema for Row<S> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Row".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let columns = columns::<S>(generator);
        let shown = columns.into_iter().filter(|column| !column.hidden);
        object(S::ABOUT, shown.map(|column| (column.name, column.schema, column.nullable)))
    }
}

/// The schema of an object of these members.
fn object(about: &str, members: impl Iterator<Item = (String, Value, bool)>) -> Schema {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema, nullable) in members {
        required.extend((!nullable).then(|| Value::String(name.clone())));
        properties.insert(name, schema);
    }
    let schema = json!({ "type": "object", "description": about, "properties": properties, "required": required });
    match schema {
        Value::Object(members) => members.into(),
        _ => Schema::default(),
    }
}

/// A record as its list tells it: a [`Row`] with the names of what it refers to.
struct View<S>(std::marker::PhantomData<S>);

impl<S: Spec> JsonSchema for View<S> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "View".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = json!({ "type": "integer", "format": "int64" });
        let kept = |name: &str, mut schema: Value, about: &str| {
            schema["description"] = about.into();
            (name.to_owned(), schema, false)
        };
        let id = generator.subschema_for::<Id>().to_value();
        let mut members = vec![
            kept("id", id, "Its id."),
            kept("version", whole.clone(), "How many events it has had, less one."),
            kept("position", whole, "The position of the last of them."),
        ];
        for column in columns::<S>(generator) {
            if let Some(name) = column.called() {
                let about = format!("Name of the {}.", column.base().replace('_', " "));
                members.push((name, json!({ "type": ["string", "null"], "description": about }), true));
            }
            members.extend((!column.hidden).then_some((column.name, column.schema, column.nullable)));
        }
        object(&format!("{} With the names of what it refers to as they are now.", S::ABOUT), members.into_iter())
    }
}

/// From what a column comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An attribute.
    Attribute,
    /// The stage.
    Stage,
    /// What the kind's own events make of it.
    Shown,
    /// What every record has.
    Common,
}

/// The kinds whose lists tell no name or title of a record: what refers to one shows its id alone.
pub const NAMELESS: &[&str] = &[
    "activity",
    "bulk",
    "call",
    "comment",
    "conversation",
    "delivery",
    "email",
    "entitlement",
    "field",
    "form_submission",
    "import",
    "offer",
    "order",
    "relation",
    "rule_run",
    "notification",
    "session",
    "system_notice",
    "webhook",
];

/// A column of a list.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name: that of the attribute, and `_id` where it refers to another record.
    pub name: String,
    /// The attribute's.
    pub attribute: String,
    /// From what it comes.
    pub of: Part,
    /// The schema of its values, description included.
    pub schema: Value,
    /// Whether it may be without a value.
    pub nullable: bool,
    /// The kind of records that it refers to.
    pub target: Option<String>,
    /// Whether folds alone read it: no answer has it.
    pub hidden: bool,
    /// The kind of its values, where it is a single value or a set of them.
    pub kind: Option<FieldKind>,
    /// What of it is filtered: it itself, or what is in it.
    pub filtered: Vec<Filtered>,
}

/// Something by which a list is filtered.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// Its name: `amount.currency`.
    pub name: String,
    /// The kind of its values.
    pub kind: FieldKind,
    /// Whether it may be without a value.
    pub nullable: bool,
    /// The kind of records that it refers to.
    pub target: Option<String>,
}

impl Column {
    fn is_list(&self) -> bool {
        self.schema["type"] == "array"
    }

    /// What it refers to, in a word: `contact` of `contact_id`.
    pub fn base(&self) -> &str {
        self.name.strip_suffix("_id").unwrap_or(&self.name)
    }

    /// The name under which the list tells what the record is called that it refers to.
    pub fn called(&self) -> Option<String> {
        let named = self.target.as_deref().is_some_and(|kind| !NAMELESS.contains(&kind));
        let refers = self.kind == Some(FieldKind::Id) && self.name.ends_with("_id");
        (named && refers).then(|| format!("{}_name", self.base()))
    }
}

/// A field that tells what another record is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The field: `contact_name`.
    pub field: &'static str,
    /// The field that has the id of the other record, or the ids of several.
    pub column: &'static str,
    /// The kinds of records that it may be.
    pub kinds: &'static [&'static str],
    /// The field that says which of them, where there are several.
    pub by: Option<&'static str>,
    /// Text, or tags where there may be several.
    pub kind: FieldKind,
}

/// A row of some listing: a [`Row`].
pub type AnyRow = Box<dyn Any + Send + Sync>;

/// The row after an event: the id, the row before it, its type and data, and when it occurred.
type Fold = fn(Id, Option<AnyRow>, &str, &[u8], Time) -> Result<Option<AnyRow>, Undecodable>;

/// All that follows for its list from the description of a descriptive kind.
#[derive(Debug)]
pub struct Listing {
    /// The kind.
    pub kind: &'static str,
    /// The name of its collection in paths.
    pub plural: &'static str,
    /// The read model's name: analysts query the view `read_<name>`.
    pub name: &'static str,
    /// The read model's version.
    pub version: i32,
    /// [`Spec::ORDER`].
    pub order: &'static str,
    /// Its columns, besides what every read model has.
    pub columns: Vec<Column>,
    /// What it tells of the names of others.
    pub names: Vec<Name>,
    /// The row after an event.
    pub fold: Fold,
    /// A row from its JSON.
    pub read: fn(&str) -> serde_json::Result<AnyRow>,
    /// Appends the JSON of a row.
    pub write: fn(&AnyRow, &mut Vec<u8>) -> serde_json::Result<()>,
    /// The same row once more.
    pub copy: fn(&AnyRow) -> Option<AnyRow>,
    /// The schema of a row.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of a record as the list tells it, whose definition it leaves in the generator.
    pub view: fn(&mut SchemaGenerator) -> Schema,
}

impl Listing {
    /// That of a kind.
    pub fn of<S: Spec>() -> &'static Listing {
        static KNOWN: Mutex<BTreeMap<&'static str, &'static Listing>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.entry(S::KIND).or_insert_with(|| {
            let columns = columns::<S>(&mut SchemaGenerator::default());
            Box::leak(Box::new(Listing {
                kind: S::KIND,
                plural: S::PLURAL,
                name: S::LIST.0,
                version: S::LIST.1,
                order: S::ORDER,
                names: names(&columns),
                columns,
                fold: fold::<S>,
                read: |json| Ok(Box::new(serde_json::from_str::<Row<S>>(json)?)),
                write: |row, json| serde_json::to_writer(json, &row.downcast_ref::<Row<S>>()),
                copy: |row| row.downcast_ref::<Row<S>>().cloned().map(|row| Box::new(row) as AnyRow),
                schema: Row::<S>::json_schema,
                view: |generator| generator.subschema_for::<View<S>>(),
            }))
        })
    }

    fn attributes(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.of == Part::Attribute)
    }

    /// The attributes that refer to other records, and the kind of those.
    pub fn references(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes().filter_map(|column| Some((column.attribute.as_str(), column.target.as_deref()?)))
    }

    /// The attributes whose columns have other names, and those.
    pub fn renamings(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.attributes().filter(|column| column.name != column.attribute);
        others.map(|column| (column.attribute.as_str(), column.name.as_str())).chain([("owner", "owner_id")])
    }

    /// What a column is called whose attribute has another name.
    pub fn renamed(&self, attribute: &str) -> Option<&str> {
        self.renamings().find(|(before, _)| *before == attribute).map(|(_, now)| now)
    }
}

/// What the records are called that columns refer to.
fn names(columns: &[Column]) -> Vec<Name> {
    let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let name = |column: &Column| {
        let kinds = Box::leak(Box::new([kept(column.target.as_deref()?)]));
        let (field, column) = (kept(&column.called()?), kept(&column.name));
        Some(Name { field, column, kinds, by: None, kind: FieldKind::Text })
    };
    columns.iter().filter_map(name).collect()
}

fn fold<S: Spec>(
    id: Id,
    row: Option<AnyRow>,
    kind: &str,
    data: &[u8],
    at: Time,
) -> Result<Option<AnyRow>, Undecodable> {
    let event = Record::<S>::decode(kind, data)?;
    // Only rows that this fold made come here.
    let row = match row.and_then(|row| row.downcast::<Row<S>>().ok()) {
        None => Row::<S>::created(event, at).map(Box::new),
        Some(mut row) => {
            row.common.touch(at);
            S::take(&mut row, id, &event, at);
            Some(row)
        }
    };
    Ok(row.map(|row| row as AnyRow))
}

/// The columns of a kind's list; the definitions of what they refer to are left in the generator.
fn columns<S: Spec>(generator: &mut SchemaGenerator) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut add = |of: Part, names: &[&str], schema: Schema| {
        let schema = schema.to_value();
        let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        for name in names {
            let property = schema["properties"][*name].clone();
            if !property.is_null() || of == Part::Shown {
                columns.push((of, (*name).to_owned(), property, required(name)));
            }
        }
    };
    add(Part::Attribute, names_of::<S::Fields>(), S::Fields::json_schema(generator));
    if !S::STAGES.is_empty() {
        let stage = json!({ "properties": {
            "stage": { "type": "string", "format": "word", "description": "Its stage." },
        }, "required": ["stage"] });
        add(Part::Stage, &["stage"], Schema::try_from(stage).unwrap_or_default());
    }
    add(Part::Shown, names_of::<S::Shown>(), S::Shown::json_schema(generator));
    add(Part::Common, names_of::<Common>(), Common::json_schema(generator));
    let definitions = generator.definitions();
    let column = |(of, name, schema, required)| column(S::KIND, of, name, schema, required, definitions);
    columns.into_iter().map(column).collect()
}

fn column(
    own: &str,
    of: Part,
    attribute: String,
    mut schema: Value,
    required: bool,
    definitions: &Map<String, Value>,
) -> Column {
    let default = schema.as_object_mut().and_then(|members| members.remove("default"));
    let hidden = schema.is_null();
    let nullable = !hidden && !required && default.is_none_or(|default| default.is_null()) && schema["type"] != "array";
    if hidden {
        schema = json!({ "type": "object" });
    }
    let refers = schema[REFERENCE].is_string();
    let target = meant(own, &schema);
    // What it refers to is said by its name; what was recorded before there were bounds is shown all the same.
    for said in [REFERENCE, REFUSAL, "x-minimum", "x-maximum", "minimum", "maximum", "readOnly"] {
        schema.as_object_mut().and_then(|members| members.remove(said));
    }
    let mut filtered = Vec::new();
    let kind = kind_of(&schema, definitions);
    let name = match (&target, kind) {
        (_, Some(FieldKind::Id)) if refers && !attribute.ends_with("_id") => format!("{attribute}_id"),
        (Some(target), Some(FieldKind::Set)) if !attribute.ends_with("_ids") => format!("{target}_ids"),
        _ => attribute.clone(),
    };
    walk(own, &schema, definitions, (&name, nullable, target.as_ref()), 0, &mut filtered);
    Column { name, attribute, of, schema, nullable, target, hidden, kind, filtered }
}

/// The kind of records that a value refers to, where there is one kind alone.
fn meant(own: &str, schema: &Value) -> Option<String> {
    match schema[REFERENCE].as_str()? {
        COLLEAGUE => Some("user".to_owned()),
        SAME => Some(own.to_owned()),
        ANY | USER_OR_TEAM => None,
        kind => Some(kind.to_owned()),
    }
}

/// The kind of a single value or a set, null or behind a reference as it may be.
fn kind_of(schema: &Value, definitions: &Map<String, Value>) -> Option<FieldKind> {
    if let Some((name, definition)) = referred(schema, definitions) {
        return if name == "Id" { Some(FieldKind::Id) } else { kind_of(definition, definitions) };
    }
    let mut parts = schema["anyOf"].as_array().into_iter().chain(schema["allOf"].as_array()).flatten();
    leaf(schema, definitions).or_else(|| parts.find_map(|part| kind_of(part, definitions)))
}

/// Levels of objects within a column whose values are filtered.
const MAX_DEPTH: usize = 3;

fn walk(
    own: &str,
    schema: &Value,
    definitions: &Map<String, Value>,
    (path, nullable, target): (&str, bool, Option<&String>),
    depth: usize,
    filtered: &mut Vec<Filtered>,
) {
    if let Some(kind) = kind_of(schema, definitions) {
        filtered.push(Filtered { name: path.to_owned(), kind, nullable, target: target.cloned() });
        return;
    }
    for part in schema["anyOf"].as_array().into_iter().chain(schema["allOf"].as_array()).flatten() {
        walk(own, part, definitions, (path, nullable, target), depth, filtered);
    }
    if let Some((_, definition)) = referred(schema, definitions) {
        walk(own, definition, definitions, (path, nullable, target), depth, filtered);
    }
    let required = schema["required"].as_array();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten().filter(|_| depth < MAX_DEPTH) {
        let has_value = required.is_some_and(|all| all.iter().any(|one| one == name));
        let has_default = !inner["default"].is_null() || inner["type"] == "array";
        let target = meant(own, inner);
        let inner_path = format!("{path}.{name}");
        let may_lack = nullable || !(has_value || has_default);
        walk(own, inner, definitions, (&inner_path, may_lack, target.as_ref()), depth + 1, filtered);
    }
}

/// The names of a struct's members, in the order in which they are declared: JSON objects do not keep it.
fn names_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde_json::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("only the names are asked for"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    // It fails by design, having seen the names.
    drop(T::deserialize(Names(&mut names)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::deal;

    #[test]
    fn what_a_value_refers_to_is_one_kind_or_none() {
        let of = |target: &str| meant("deal", &json!({ REFERENCE: target }));
        assert_eq!((of("contact"), of(COLLEAGUE)), (Some("contact".into()), Some("user".into())));
        assert_eq!((of(SAME), of(ANY), of(USER_OR_TEAM)), (Some("deal".into()), None, None));
    }

    #[test]
    fn columns_say_what_attributes_are() {
        let listing = Listing::of::<deal::Spec>();
        let column = |name: &str| listing.columns.iter().find(|column| column.name == name).unwrap();
        let contact = column("contact_id");
        assert_eq!((contact.attribute.as_str(), contact.target.as_deref()), ("contact", Some("contact")));
        assert_eq!((contact.called().as_deref(), contact.nullable), (Some("contact_name"), true));
        assert_eq!((column("name").nullable, column("name").kind), (false, Some(FieldKind::Text)));
        let filtered: Vec<_> = column("sale").filtered.iter().map(|one| (one.name.as_str(), one.kind)).collect();
        let expected = [
            ("sale.contacts", FieldKind::Set),
            ("sale.price.amount", FieldKind::Decimal),
            ("sale.price.currency", FieldKind::Word),
            ("sale.property", FieldKind::Id),
        ];
        assert_eq!(filtered, expected);
        let names: Vec<_> = listing.columns.iter().take(4).map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["name", "pipeline", "amount", "contact_id"], "as they are declared");
        let renamed: Vec<_> = listing.renamings().collect();
        assert!(
            renamed.contains(&("contact", "contact_id")) && renamed.contains(&("owner", "owner_id")),
            "{renamed:?}"
        );
    }
}
