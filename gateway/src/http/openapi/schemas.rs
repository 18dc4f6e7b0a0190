//! JSON schemas under names that are unique in the whole document: types of one kind of record carry its name.

use std::collections::BTreeMap;

use domain::{
    Actor, Aggregate, Id, Money, Party, Via,
    kernel::{custom, filter, named::Variant, record},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Where schemas are found in the document.
const COMPONENTS: &str = "#/components/schemas/";

/// The document's schemas by name.
pub(super) struct Schemas {
    components: Map<String, Value>,
    /// Types of the whole product: they stand under their own names.
    common: Map<String, Value>,
    /// Schemas whose `custom` holds the custom fields of a kind.
    custom: BTreeMap<String, &'static str>,
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
        Schemas { components: common.clone(), common, custom: BTreeMap::new() }
    }

    /// The commands and events of a kind.
    pub(super) fn kind<A: Aggregate>(&mut self) -> (Vec<Variant>, Vec<Variant>) {
        let mut generator = generator();
        let (mut commands, mut events) = (A::commands(&mut generator), A::events(&mut generator));
        let owner = pascal(A::KIND);
        let names = self.adopt(&owner, generator);
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
        let names = self.adopt(owner, generator);
        names.rename(&mut schema);
        schema
    }

    /// The same for what a read model shows: types that are the kind's own keep their names, others carry the model's.
    /// `custom` is the kind whose custom fields it shows.
    pub(super) fn view<T: JsonSchema>(&mut self, kind: &str, model: &str, custom: Option<&'static str>) -> Value {
        let mut generator = generator();
        let mut schema = generator.subschema_for::<T>().to_value();
        let definitions = generator.take_definitions(true);
        let all = Names(definitions.keys().map(|name| (name.clone(), json!(owned(kind, name)))).collect());
        let mut shared: Map<String, Value> = definitions
            .iter()
            .filter(|(name, schema)| {
                let mut schema = (*schema).clone();
                all.rename(&mut schema);
                self.components.get(&owned(kind, name)) == Some(&schema)
            })
            .map(|(name, _)| (name.clone(), json!(owned(kind, name))))
            .collect();
        // A type is the kind's own only if everything it refers to is.
        loop {
            let foreign = shared.keys().find(|name| {
                let others = definitions
                    .keys()
                    .filter(|other| !shared.contains_key(*other) && !self.common.contains_key(*other));
                others.into_iter().any(|other| refers_to(&definitions[*name], other))
            });
            match foreign.cloned() {
                Some(name) => drop(shared.remove(&name)),
                None => break,
            }
        }
        let names = self.adopt_as(definitions, |name| {
            shared.get(name).and_then(Value::as_str).map_or_else(|| owned(model, name), ToOwned::to_owned)
        });
        names.rename(&mut schema);
        if let Some(custom) = custom {
            self.holds_custom_of(&names, custom);
            let named = json!({
                "type": "object",
                "description": "A record with custom fields.",
                "properties": { "custom_names": {
                    "type": "object", "additionalProperties": { "type": "string" }, "description": CUSTOM_NAMES,
                } },
            });
            schema = json!({ "allOf": [schema, named] });
        }
        schema
    }

    /// The properties of a struct, each with its schema and whether it is required: for parameters.
    pub(super) fn properties<T: JsonSchema>(&mut self, owner: &str) -> Vec<(String, Value, bool)> {
        let mut generator = generator();
        let mut schema = T::json_schema(&mut generator).to_value();
        let names = self.adopt(owner, generator);
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

    pub(super) fn into_components(mut self) -> Map<String, Value> {
        for (name, kind) in self.custom {
            if let Some(schema) = self.components.get_mut(&name) {
                mark(schema, kind);
            }
        }
        self.components
    }

    fn holds_custom_of(&mut self, names: &Names, kind: &'static str) {
        for name in names.0.values().filter_map(Value::as_str) {
            self.custom.entry(name.to_owned()).or_insert(kind);
        }
    }

    /// Takes over what a generator has defined on the way.
    fn adopt(&mut self, owner: &str, mut generator: SchemaGenerator) -> Names {
        self.adopt_as(generator.take_definitions(true), |name| owned(owner, name))
    }

    fn adopt_as(&mut self, definitions: Map<String, Value>, called: impl Fn(&str) -> String) -> Names {
        let common = |name: &String, schema: &Value| self.common.get(name) == Some(schema);
        let names = definitions.iter().filter(|(name, schema)| !common(name, schema));
        let names = Names(names.map(|(name, _)| (name.clone(), json!(called(name)))).collect());
        for (name, mut schema) in definitions {
            if let Some(Value::String(name)) = names.0.get(&name) {
                names.rename(&mut schema);
                self.add(name, schema);
            }
        }
        names
    }
}

const CUSTOM_NAMES: &str = "By key, the names of the records that custom fields refer to, as they are now; only where \
    the kind has such fields.";

/// Marks the property `custom`, wherever in a schema it is a map of values.
fn mark(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(members) => {
            if let Some(custom) = members.get_mut("properties").and_then(|properties| properties.get_mut("custom"))
                && custom["additionalProperties"] == true
            {
                custom[CUSTOM_OF] = kind.into();
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

/// Whether a schema refers to the definition called `name`.
fn refers_to(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, member)| {
            let here = key == "$ref" && member.as_str().and_then(|path| path.strip_prefix(COMPONENTS)) == Some(name);
            here || refers_to(member, name)
        }),
        Value::Array(items) => items.iter().any(|item| refers_to(item, name)),
        _ => false,
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
    if own.starts_with(owner) { own } else { format!("{owner}{own}") }
}
