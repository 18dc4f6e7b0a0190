//! What rows of a file can say of a record of each kind: its attributes with their types, and by which command each is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use domain::{
    Aggregate,
    catalogue::{self, Kind, Visitor},
    kernel::{
        filter::FieldKind,
        reference::REFERENCE,
        schema::{leaf, resolved},
    },
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

/// Kinds that are no descriptive ones, of which rows of a file may tell all the same.
const RICH: &[&str] = &["call", "contact", "order", "task", "ticket"];
/// Descriptive kinds of which they may not: what they hold is no row of a table.
const UNFIT: &[&str] = &["view"];
/// Attributes of new records that only Deskfold itself or another record knows.
const INWARD: &[&str] = &["copied_from", "rule_run", "method", "due_in_s", "custom"];

/// Attributes that are changed, or said at all, by a command of their own that takes the one attribute.
const BY_COMMAND: &[(&str, &str)] = &[
    ("owner", "change_owner"),
    ("stage", "move_stage"),
    ("assignee", "assign"),
    ("due_at", "change_due"),
    ("team", "change_team"),
    ("requester", "change_requester"),
    ("status", "change_status"),
    ("company", "link_company"),
    ("category", "categorise"),
    ("contact", "link_contact"),
    ("user", "answer"),
    ("duration_s", "end"),
];
/// Further addresses of a record: the attribute, and of which kind of identity it is.
pub(crate) const FURTHER: &[(&str, &str)] = &[("further_emails", "email"), ("further_phones", "phone")];
/// How far records of a kind are, and the command that brings them there.
const STANDINGS: &[(&str, &[(&str, &str)])] = &[
    ("ticket", &[("open", "reopen"), ("resolved", "resolve"), ("closed", "close")]),
    ("task", &[("open", "reopen"), ("started", "start"), ("completed", "complete"), ("cancelled", "cancel")]),
    ("deal", &[("open", "reopen"), ("won", "win"), ("lost", "lose")]),
    ("lead", &[("open", "reopen"), ("lost", "lose")]),
    ("call", &[("ringing", ""), ("answered", ""), ("missed", "miss"), ("ended", "")]),
];

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Text,
    /// One of these words, or any where there are none.
    Word(Vec<String>),
    Integer,
    Decimal,
    Bool,
    Time,
    Date,
    /// Another record of this kind.
    Record(String),
    /// A record whose kind stands beside its id.
    AnyRecord,
    List(Box<Type>),
    Object(BTreeMap<String, Type>),
    /// Something else, taken as it is.
    Json,
}

/// By what a record is told an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum By {
    /// The command that creates it, and an edit if `edited`.
    Attribute { edited: bool },
    /// A command of its own that takes the attribute by its name; `created` where the creation takes it too.
    Command { name: &'static str, created: bool },
    /// A command for each: its tags.
    Tags,
    /// A further address, of this kind of identity.
    Address(&'static str),
    /// A command for each word: how far it is.
    Standing(&'static [(&'static str, &'static str)]),
}

/// Something that a row can say of a record.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: Type,
    pub(crate) required: bool,
    pub(crate) by: By,
}

/// What rows can say of records of one kind.
pub(crate) struct Shape {
    pub(crate) kind: &'static Kind,
    /// The command that changes attributes, where there is one.
    pub(crate) edit: Option<&'static str>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

impl Shape {
    /// Whether other systems' names for its records are kept with them.
    pub(crate) fn keeps_external_ids(&self) -> bool {
        self.kind.commands.contains("add_external_id")
    }

    /// The attributes that a new record must be told: where an order came in is known of its import.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Attribute> {
        let kind = self.kind.name;
        let implied = move |attribute: &Attribute| kind == "order" && attribute.name == "source";
        self.attributes.values().filter(move |attribute| attribute.required && !implied(attribute))
    }

    /// The attribute of this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.get(name)
    }
}

/// The shape of a kind of which a file may tell.
pub(crate) fn shape(kind: &str) -> Option<&'static Shape> {
    SHAPES.get(kind)
}

/// Every such kind, by name.
pub(crate) fn shapes() -> impl Iterator<Item = &'static Shape> {
    SHAPES.values()
}

static SHAPES: LazyLock<BTreeMap<&'static str, Shape>> = LazyLock::new(|| {
    struct Shapes(BTreeMap<&'static str, Shape>);
    impl Visitor for Shapes {
        fn visit<A: Aggregate>(&mut self) {
            let fits =
                |kind: &&Kind| RICH.contains(&kind.name) || kind.listing.is_some() && !UNFIT.contains(&kind.name);
            let shape = catalogue::kind(A::KIND).filter(fits).and_then(of::<A>);
            self.0.extend(shape.map(|shape| (A::KIND, shape)));
        }
    }
    let mut shapes = Shapes(BTreeMap::new());
    catalogue::visit_all(&mut shapes);
    shapes.0
});

fn of<A: Aggregate>(kind: &'static Kind) -> Option<Shape> {
    let mut generator = SchemaGenerator::default();
    let commands = A::commands(&mut generator);
    let definitions = generator.take_definitions(true);
    let schema = |name: &str| Some(commands.iter().find(|command| command.name == name)?.schema.as_value());
    let edit = ["edit", "amend"].into_iter().find(|name| kind.commands.contains(*name));
    let edited = edit.and_then(|edit| Some(members(schema(edit)?, &definitions).into_keys().collect()));
    let edited: BTreeSet<String> = edited.unwrap_or_default();
    let create = resolved(schema(A::CREATE)?, &definitions);
    let created = members(create, &definitions);
    let is_required =
        |name: &str| create["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    let mut attributes = BTreeMap::new();
    let mut add = |name: &str, about: &str, kind: Type, by: By| {
        let (name, about, required) = (name.to_owned(), about.to_owned(), is_required(name));
        attributes.entry(name.clone()).or_insert(Attribute { name, about, kind, required, by });
    };
    let about = |schema: &Value| schema["description"].as_str().unwrap_or_default().to_owned();

    for (name, schema) in &created {
        let inward = INWARD.contains(&name.as_str()) || schema["readOnly"] == true;
        if inward || core(schema, &definitions)["readOnly"] == true {
            continue;
        }
        let command =
            BY_COMMAND.iter().find(|(attribute, command)| attribute == name && kind.commands.contains(*command));
        let by = match command {
            _ if edited.contains(name) => By::Attribute { edited: true },
            _ if name == "tags" && kind.commands.contains("tag") => By::Tags,
            Some((_, command)) => By::Command { name: command, created: true },
            None => By::Attribute { edited: false },
        };
        add(name, &about(schema), type_of(schema, &definitions, 0), by);
    }
    for (name, command) in BY_COMMAND.iter().filter(|(_, command)| kind.commands.contains(*command)) {
        let own = schema(command).map(|schema| members(schema, &definitions)).unwrap_or_default();
        if let Some(schema) = own.get(*name) {
            add(name, &about(schema), type_of(schema, &definitions, 0), By::Command { name: command, created: false });
        }
    }
    if kind.commands.contains("add_identity") {
        for (name, identity) in FURTHER {
            let about = format!("Further addresses at which it is reached ({identity}).");
            add(name, &about, Type::List(Box::new(Type::Text)), By::Address(identity));
        }
    }
    if let Some((_, words)) = STANDINGS.iter().find(|(name, _)| *name == kind.name) {
        let standing = Type::Word(words.iter().map(|(word, _)| (*word).to_owned()).collect());
        add("status", "How far it is.", standing, By::Standing(words));
    }
    Some(Shape { kind, edit, attributes })
}

/// The members of an object, with their schemas.
fn members(schema: &Value, definitions: &Map<String, Value>) -> BTreeMap<String, Value> {
    let schema = resolved(schema, definitions);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let mut all: BTreeMap<String, Value> = parts.flat_map(|part| members(part, definitions)).collect();
    let own = schema["properties"].as_object().into_iter().flatten();
    all.extend(own.map(|(name, schema)| (name.clone(), schema.clone())));
    all
}

/// What a schema says, null aside.
fn core<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let choices = schema["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    match choices {
        [one, null] if null["type"] == "null" => core(one, definitions),
        _ => resolved(schema, definitions),
    }
}

fn type_of(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Type {
    let within = core(schema, definitions);
    let list = within["items"].is_object();
    match [schema, within].into_iter().find_map(|schema| schema[REFERENCE].as_str()) {
        Some("any") if !list => return Type::AnyRecord,
        Some(target) if target != "any" => {
            let target = if target == "colleague" { "user" } else { target };
            let record = Type::Record(target.to_owned());
            return if list { Type::List(Box::new(record)) } else { record };
        }
        _ => {}
    }
    // Nothing that a row says lies deeper.
    if depth > 4 {
        return Type::Json;
    }
    if list {
        return Type::List(Box::new(type_of(&within["items"], definitions, depth + 1)));
    }
    let members = members(within, definitions);
    if !members.is_empty() {
        let typed = members.into_iter().map(|(name, schema)| (name, type_of(&schema, definitions, depth + 1)));
        return Type::Object(typed.collect());
    }
    match leaf(schema, definitions).or_else(|| leaf(within, definitions)) {
        Some(FieldKind::Integer) => Type::Integer,
        Some(FieldKind::Decimal) => Type::Decimal,
        Some(FieldKind::Bool) => Type::Bool,
        Some(FieldKind::Time) => Type::Time,
        Some(FieldKind::Date) => Type::Date,
        Some(FieldKind::Word) => Type::Word(words(within)),
        Some(_) => Type::Text,
        None => Type::Json,
    }
}

/// The words among which a value is one.
fn words(schema: &Value) -> Vec<String> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let described = schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
    listed.chain(described).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_kind_that_people_keep_lists_of_has_a_shape() {
        let names: Vec<&str> = shapes().map(|shape| shape.kind.name).collect();
        for kind in ["contact", "company", "property", "product", "order", "lead", "task", "deal", "ticket", "project"]
        {
            assert!(names.contains(&kind), "{kind} is not among {names:?}");
        }
        assert!(!names.contains(&"view") && !names.contains(&"role"), "{names:?}");
        for shape in shapes() {
            assert!(shape.attributes.values().any(|attribute| attribute.required), "{}", shape.kind.name);
            assert!(!shape.attributes.contains_key("phone_e164"), "{}", shape.kind.name);
        }
    }

    #[test]
    fn attributes_have_the_types_of_their_commands() {
        let kind = |of: &str, name: &str| shape(of).unwrap().attribute(name).unwrap().kind.clone();
        let by = |of: &str, name: &str| shape(of).unwrap().attribute(name).unwrap().by.clone();
        assert_eq!(kind("contact", "name"), Type::Text);
        assert_eq!(kind("contact", "kind"), Type::Word(vec!["person".into(), "office".into()]));
        assert_eq!(kind("contact", "company"), Type::Record("company".into()));
        assert_eq!(by("contact", "company"), By::Command { name: "link_company", created: false });
        assert_eq!(by("contact", "owner"), By::Command { name: "change_owner", created: true });
        assert_eq!(by("contact", "further_phones"), By::Address("phone"));
        let money = Type::Object([("amount".into(), Type::Decimal), ("currency".into(), Type::Word(vec![]))].into());
        assert_eq!(kind("product", "price"), money);
        assert_eq!(kind("property", "rooms"), Type::Integer);
        assert_eq!(kind("property", "features"), Type::List(Box::new(Type::Text)));
        assert_eq!(kind("deal", "expected_on"), Type::Date);
        assert_eq!(kind("order", "customer"), Type::Record("contact".into()));
        assert_eq!(by("order", "status"), By::Command { name: "change_status", created: false });
        assert_eq!(kind("task", "due_at"), Type::Time);
        assert_eq!(kind("task", "assignee"), Type::Record("user".into()));
        assert_eq!(kind("task", "subjects"), Type::List(Box::new(Type::AnyRecord)));
        assert_eq!(kind("ticket", "requester"), Type::AnyRecord);
        assert_eq!(kind("ticket", "priority"), Type::Integer);
        assert!(matches!(by("ticket", "status"), By::Standing(_)));
    }
}
