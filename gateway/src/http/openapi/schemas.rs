//! JSON schemas under names that are unique in the whole document: types of one kind of record carry its name.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Actor, Aggregate, Id, Money, Party, Via,
    kernel::{custom, filter, named::Variant, record},
};
use projections::List;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Where schemas are found in the document.
pub(super) const COMPONENTS: &str = "#/components/schemas/";

/// The document's schemas by name.
pub(super) struct Schemas {
    components: Map<String, Value>,
    /// Types of the whole product: they stand under their own names.
    common: Map<String, Value>,
    /// Schemas whose `custom` holds the custom fields of a kind.
    custom: BTreeMap<String, &'static str>,
    /// Schemas of records that are shown with the names of what their custom fields refer to.
    shows_custom: BTreeSet<String>,
}

/// Says on a schema of custom fields whose they are: a tenant's own document tells them there.
pub(super) const CUSTOM_OF: &str = "x-custom-fields-of";

impl Schemas {
    pub(super) fn new() -> Schemas {
        let mut generator = generator();
        generator.subschema_for::<Id>();
        generator.subschema_for::<Money>();
        generator.subschema_for::<Party>();
        generator.subschema_for::<Actor>();
        generator.subschema_for::<Via>();
        generator.subschema_for::<record::Level>();
        generator.subschema_for::<custom::Change>();
        generator.subschema_for::<custom::FieldType>();
        generator.subschema_for::<filter::FieldKind>();
        generator.subschema_for::<filter::Op>();
        let common = generator.take_definitions(true);
        Schemas { components: common.clone(), common, custom: BTreeMap::new(), shows_custom: BTreeSet::new() }
    }

    /// The commands and events of a kind.
    pub(super) fn kind<A: Aggregate>(&mut self) -> (Vec<Variant>, Vec<Variant>) {
        let mut generator = generator();
        let (mut commands, mut events) = (A::commands(&mut generator), A::events(&mut generator));
        let owner = pascal(A::KIND);
        let fields = json!({
            "type": "object",
            "additionalProperties": true,
            "description": format!("Custom fields of the kind `{}`, by key.", A::KIND),
            CUSTOM_OF: A::KIND,
        });
        self.add(&custom_fields(A::KIND), fields);
        let names = self.adopt(&owner, &owner, generator);
        self.holds_custom_of(&names, A::KIND);
        for variant in commands.iter_mut().chain(&mut events) {
            let mut schema = std::mem::take(&mut variant.schema).to_value();
            names.rename(&mut schema);
            mark(&mut schema, A::KIND);
            variant.schema = schema.try_into().unwrap_or_default();
        }
        (commands, events)
    }

    /// A reference to the schema of `T`, a type of `owner`'s.
    pub(super) fn of<T: JsonSchema>(&mut self, owner: &str) -> Value {
        let mut generator = generator();
        let mut schema = generator.subschema_for::<T>().to_value();
        let names = self.adopt(owner, owner, generator);
        names.rename(&mut schema);
        schema
    }

    /// The same for what a read model shows, under the name that people know it by. Types that it has in common with its
    /// kind are the kind's; those of which the kind has another form carry the model's name.
    pub(super) fn view(&mut self, list: &'static List, name: &str) -> Value {
        let mut generator = generator();
        let schema = (list.view)(list, &mut generator).to_value();
        let definitions = generator.take_definitions(true);
        let mut names = self.named(&definitions, &pascal(list.read), &pascal(list.name));
        let own = schema["$ref"].as_str().and_then(|path| path.strip_prefix(COMPONENTS)).unwrap_or_default().to_owned();
        names.0.insert(own, json!(name));
        self.take(definitions, &names);
        if let Some(custom) = list.custom {
            self.holds_custom_of(&names, custom);
            self.shows_custom.insert(name.to_owned());
        }
        refer(name)
    }

    /// The properties of a struct, each with its schema and whether it is required: for parameters.
    pub(super) fn properties<T: JsonSchema>(&mut self, owner: &str) -> Vec<(String, Value, bool)> {
        let mut generator = generator();
        let mut schema = T::json_schema(&mut generator).to_value();
        let names = self.adopt(owner, owner, generator);
        names.rename(&mut schema);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let Value::Object(properties) = schema["properties"].take() else { return Vec::new() };
        let is_required = |name: &String| required.iter().any(|required| required == name);
        properties.into_iter().map(|(name, schema)| (name.clone(), schema, is_required(&name))).collect()
    }

    /// Adds a schema under a name of its own.
    pub(super) fn add(&mut self, name: &str, schema: Value) -> Value {
        let before = self.components.insert(name.to_owned(), schema);
        debug_assert!(before.is_none_or(|before| before == self.components[name]), "two schemas are called {name}");
        refer(name)
    }

    /// What a schema says once its reference has been followed.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix(COMPONENTS));
        name.and_then(|name| self.components.get(name)).unwrap_or(schema)
    }

    /// Leaves members out of what a schema describes, once its reference has been followed.
    pub(super) fn conceal(&mut self, schema: &mut Value, hidden: &[&str]) {
        let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix(COMPONENTS)).map(ToOwned::to_owned);
        let schema = name.and_then(|name| self.components.get_mut(&name)).unwrap_or(schema);
        if let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            members.retain(|member, _| !hidden.contains(&member.as_str()));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|member| member.as_str().is_none_or(|member| !hidden.contains(&member)));
        }
    }

    /// The schemas called by name, with the custom fields that records show.
    pub(super) fn into_components(mut self) -> Map<String, Value> {
        for name in self.shows_custom {
            if let Some(properties) = self.components.get_mut(&name).and_then(|view| view["properties"].as_object_mut())
            {
                properties.insert("custom_names".to_owned(), refer("CustomNames"));
            }
        }
        for (name, kind) in self.custom {
            if let Some(schema) = self.components.get_mut(&name) {
                mark(schema, kind);
            }
        }
        self.components
    }

    /// The attributes that the schema called `name` takes may be custom fields of `kind`.
    pub(super) fn takes_custom_of(&mut self, name: &str, kind: &'static str) {
        self.custom.insert(name.to_owned(), kind);
    }

    fn holds_custom_of(&mut self, names: &Names, kind: &'static str) {
        for name in names.0.values().filter_map(Value::as_str) {
            self.custom.entry(name.to_owned()).or_insert(kind);
        }
    }

    /// Takes over what a generator has defined on the way: as `owner`'s, or where the owner has another type of that name, as
    /// `other`'s.
    fn adopt(&mut self, owner: &str, other: &str, mut generator: SchemaGenerator) -> Names {
        let definitions = generator.take_definitions(true);
        let names = self.named(&definitions, owner, other);
        self.take(definitions, &names);
        names
    }

    fn take(&mut self, definitions: Map<String, Value>, names: &Names) {
        for (name, mut schema) in definitions {
            if let Some(Value::String(name)) = names.0.get(&name) {
                names.rename(&mut schema);
                self.add(name, schema);
            }
        }
    }

    /// What definitions are called in the document, those of the whole product aside.
    fn named(&self, definitions: &Map<String, Value>, owner: &str, other: &str) -> Names {
        let common = |name: &String, schema: &Value| self.common.get(name) == Some(schema);
        let own = definitions.iter().filter(|(name, schema)| !common(name, schema));
        let mut names = Names(own.map(|(name, _)| (name.clone(), json!(owned(owner, name)))).collect());
        // Whatever refers to a type of another name is another type itself.
        loop {
            let differs = names.0.iter().find(|(name, called)| {
                let known = called.as_str().and_then(|called| self.components.get(called));
                let mut schema = definitions[*name].clone();
                names.rename(&mut schema);
                known.is_some_and(|known| *known != schema) && **called != *owned(other, name)
            });
            match differs.map(|(name, _)| name.clone()) {
                Some(name) => names.0.insert(name.clone(), json!(owned(other, &name))),
                None => return names,
            };
        }
    }
}

/// What the custom fields of a kind are called.
fn custom_fields(kind: &str) -> String {
    format!("{}CustomFields", pascal(kind))
}

/// Says of the property `custom` whose custom fields it holds, wherever in a schema it is a map of values.
fn mark(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(members) => {
            if let Some(custom) = members.get_mut("properties").and_then(|properties| properties.get_mut("custom"))
                && custom["additionalProperties"] == true
                && let Value::Object(said) = custom
            {
                said.remove("additionalProperties");
                let fields = refer(&custom_fields(kind));
                match said.remove("type") {
                    Some(Value::Array(_)) => said.insert("anyOf".to_owned(), json!([fields, { "type": "null" }])),
                    _ => said.insert("$ref".to_owned(), fields["$ref"].clone()),
                };
            }
            members.values_mut().for_each(|member| mark(member, kind));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, kind)),
        _ => {}
    }
}

/// New names of definitions by their old ones.
struct Names(Map<String, Value>);

impl Names {
    fn rename(&self, schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                if let Some(Value::String(path)) = members.get_mut("$ref")
                    && let Some(Value::String(name)) = path.strip_prefix(COMPONENTS).and_then(|name| self.0.get(name))
                {
                    *path = format!("{COMPONENTS}{name}");
                }
                members.values_mut().for_each(|member| self.rename(member));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            _ => {}
        }
    }
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// A reference to the schema called `name`.
pub(super) fn refer(name: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}{name}") })
}

/// `product_category` as type names are written: `ProductCategory`.
pub(super) fn pascal(name: &str) -> String {
    let words = name.split(['_', '.', '-', ' ']);
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

/// The name of a type in the document: its owner's name, then its own, which only letters and digits may make up.
fn owned(owner: &str, name: &str) -> String {
    let own = pascal(name);
    match own.as_str() {
        "New" => format!("New{owner}"),
        _ if own.starts_with(owner) => own,
        _ => format!("{owner}{own}"),
    }
}
