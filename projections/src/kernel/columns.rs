//! What the rows of a list are made of, by name: the columns that exports and views choose among.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use domain::{
    FieldError,
    kernel::{
        custom::{self, Definitions, FieldType},
        filter::FieldKind,
        schema,
    },
};
use parking_lot::Mutex;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

use crate::List;

/// How deep the members of members are told apart.
const DEPTH: usize = 4;
/// The member of a row that has its custom fields.
const CUSTOM: &str = "custom";
/// The member of a row that says what the records are called that its custom fields refer to.
const CUSTOM_NAMES: &str = "custom_names";

/// What the values of a column are, for files that have types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; of what is several values, or has members, JSON.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers that need not be exact.
    Number,
    /// Exact decimals.
    Decimal,
    /// Instants.
    Time,
    /// Calendar days.
    Date,
    /// True or false.
    Bool,
}

impl From<FieldKind> for Kind {
    fn from(kind: FieldKind) -> Kind {
        match kind {
            FieldKind::Integer => Kind::Integer,
            FieldKind::Decimal => Kind::Decimal,
            FieldKind::Bool => Kind::Bool,
            FieldKind::Time => Kind::Time,
            FieldKind::Date => Kind::Date,
            FieldKind::Text
            | FieldKind::Word
            | FieldKind::Email
            | FieldKind::Phone
            | FieldKind::Id
            | FieldKind::Set
            | FieldKind::Tags => Kind::Text,
        }
    }
}

impl Kind {
    /// What every value of some schemas is; text where they are of several kinds.
    fn of(parts: &[&Value]) -> Kind {
        let named = |part: &Value| match &part["type"] {
            Value::Array(names) => names.clone(),
            Value::Null => Vec::new(),
            name => vec![name.clone()],
        };
        let mut kinds = Vec::new();
        for part in parts {
            for name in named(part).iter().filter_map(Value::as_str) {
                let kind = match (name, part["format"].as_str()) {
                    ("null", _) => continue,
                    ("integer", _) => Kind::Integer,
                    ("number", _) => Kind::Number,
                    ("boolean", _) => Kind::Bool,
                    ("string", Some("date-time")) => Kind::Time,
                    ("string", Some("date")) => Kind::Date,
                    ("string", None) if part["pattern"].as_str().is_some_and(|pattern| pattern == *DECIMAL) => {
                        Kind::Decimal
                    }
                    _ => Kind::Text,
                };
                kinds.push(kind);
            }
        }
        match kinds.first() {
            Some(first) if kinds.iter().all(|kind| kind == first) => *first,
            _ => Kind::Text,
        }
    }
}

/// By which pattern schemas know exact decimals.
static DECIMAL: LazyLock<String> = LazyLock::new(|| {
    let schema = SchemaGenerator::default().into_root_schema_for::<rust_decimal::Decimal>();
    schema.get("pattern").and_then(Value::as_str).unwrap_or("^$").to_owned()
});

/// What is known of a value by its schema.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// One value, or several.
    Plain(Kind),
    /// An object with whatever members.
    Open,
    /// An object with these members.
    Members(Vec<(String, Shape)>),
}

impl Shape {
    fn of(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Shape {
        let resolved = |part| schema::resolved(part, definitions);
        let schema = resolved(schema);
        let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array());
        let parts: Vec<&Value> = [schema].into_iter().chain(branches.flatten().map(resolved)).collect();
        let (mut members, mut open): (Vec<(String, Shape)>, _) = (Vec::new(), false);
        let is_object = |kind: &Value| kind == "object";
        for part in &parts {
            open |= is_object(&part["type"]) || part["type"].as_array().is_some_and(|all| all.iter().any(is_object));
            for (name, property) in part["properties"].as_object().into_iter().flatten() {
                if depth > 0 && members.iter().all(|(known, _)| known != name) {
                    members.push((name.clone(), Shape::of(property, definitions, depth - 1)));
                }
            }
        }
        match members {
            members if !members.is_empty() => Shape::Members(members),
            _ if open => Shape::Open,
            _ => Shape::Plain(Kind::of(&parts)),
        }
    }

    fn has<'a>(&self, mut path: impl Iterator<Item = &'a str>) -> bool {
        let Some(name) = path.next() else { return true };
        match self {
            Shape::Plain(_) => false,
            Shape::Open => true,
            Shape::Members(members) => {
                members.iter().find(|(known, _)| known == name).is_some_and(|(_, shape)| shape.has(path))
            }
        }
    }

    /// What is there along a path.
    fn kind<'a>(&self, mut path: impl Iterator<Item = &'a str>) -> Kind {
        match (self, path.next()) {
            (Shape::Plain(kind), None) => *kind,
            (Shape::Members(members), Some(name)) => {
                members.iter().find(|(known, _)| known == name).map_or(Kind::Text, |(_, shape)| shape.kind(path))
            }
            _ => Kind::Text,
        }
    }

    /// The names of all that has no members of its own.
    fn leaves(&self, name: &str, found: &mut Vec<String>) {
        match self {
            Shape::Members(members) => {
                for (member, shape) in members {
                    let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                    shape.leaves(&name, found);
                }
            }
            _ => found.push(name.to_owned()),
        }
    }
}

/// The shape of the rows of a list.
fn shape(list: &'static List) -> Arc<Shape> {
    type Shapes = HashMap<&'static str, Arc<Shape>>;
    static SHAPES: LazyLock<Mutex<Shapes>> = LazyLock::new(Mutex::default);
    let known = SHAPES.lock().get(list.name).cloned();
    known.unwrap_or_else(|| {
        let mut generator = SchemaGenerator::default();
        let schema = (list.view)(list, &mut generator).to_value();
        let shape = Arc::new(Shape::of(&schema, generator.definitions(), DEPTH));
        SHAPES.lock().insert(list.name, Arc::clone(&shape));
        shape
    })
}

/// Every column of a list that holds one value or several: `id` and what it is filtered by first, custom fields last. Of
/// what has members there is a column for each, `total.amount`.
pub fn columns(list: &'static List, custom: &Definitions) -> Vec<String> {
    let mut leaves = Vec::new();
    shape(list).leaves("", &mut leaves);
    leaves.retain(|name| name != CUSTOM);
    let place = |name: &String| {
        let place = list.columns.iter().position(|column| column.name == name);
        (name != "id", place.unwrap_or(usize::MAX))
    };
    leaves.sort_by_key(place);
    if list.custom.is_some() {
        let names = custom.iter().flat_map(|(key, field)| custom::filter_names(key, field.field_type));
        leaves.extend(names.map(|name| format!("{CUSTOM}.{name}")));
    }
    leaves
}

/// Whether the rows of a list may have a column of this name: any of [`columns`], what has members as a whole, and
/// `custom_names.<key>`.
pub fn has_column(list: &'static List, custom: &Definitions, name: &str) -> bool {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let known = |key: &str| custom.get(key).map(|field| field.field_type);
    match (first, rest) {
        (CUSTOM, Some(path)) => {
            list.custom.is_some() && (custom.contains_key(path) || custom::filtered(path, known).is_some())
        }
        (CUSTOM_NAMES, rest) => {
            list.custom.is_some() && rest.is_none_or(|key| known(key) == Some(FieldType::Reference))
        }
        _ => shape(list).has(name.split('.')),
    }
}

/// What the values of a column are.
pub fn kind(list: &'static List, custom: &Definitions, name: &str) -> Kind {
    let known = |key: &str| custom.get(key).map(|field| field.field_type);
    if let Some(column) = list.columns.iter().find(|column| column.name == name) {
        return column.kind.into();
    }
    match name.split_once('.') {
        Some((CUSTOM, path)) => custom::filtered(path, known).map_or(Kind::Text, Kind::from),
        _ => shape(list).kind(name.split('.')),
    }
}

/// The columns that are named, each once; `pointer` is where they are named.
///
/// # Errors
/// `column_unknown` for those that the list does not have.
pub fn chosen<'a>(
    list: &'static List,
    custom: &Definitions,
    names: impl IntoIterator<Item = &'a str>,
    pointer: impl Fn(usize) -> String,
) -> Result<Vec<String>, Vec<FieldError>> {
    let (mut found, mut errors) = (Vec::<String>::new(), Vec::new());
    for (place, name) in names.into_iter().enumerate() {
        if !has_column(list, custom, name) {
            let detail = format!("There is no column {name}; there are {}.", columns(list, custom).join(", "));
            errors.push(FieldError { pointer: pointer(place), code: "column_unknown".into(), detail });
        } else if found.iter().all(|known| known != name) {
            found.push(name.to_owned());
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// What a row has in a column.
pub fn value<'a>(row: &'a Value, column: &str) -> &'a Value {
    column.split('.').fold(row, |value, name| &value[name])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::ticket_list::TicketList, lists, sales::orders::Orders};

    #[test]
    fn columns_are_known_by_name() {
        let (orders, none) = (List::of::<Orders>(), Definitions::new());
        let all = columns(orders, &none);
        assert_eq!(all[0], "id");
        assert!(all.iter().any(|name| name == "total.amount"), "{all:?}");
        for (name, known) in [("total", true), ("total.currency", true), ("total.colour", false), ("number.x", false)] {
            assert_eq!(has_column(orders, &none, name), known, "{name}");
        }
        let kinds = ["total.amount", "total.currency", "placed_at", "paid_in_full", "items", "number"];
        let kinds = kinds.map(|name| kind(orders, &none, name));
        assert_eq!(kinds, [Kind::Decimal, Kind::Text, Kind::Time, Kind::Bool, Kind::Text, Kind::Integer], "{all:?}");
        for list in lists() {
            let all = columns(list, &none);
            assert!(all.iter().all(|name| has_column(list, &none, name)), "{}: {all:?}", list.path);
            assert!(all.len() > 2, "{}: {all:?}", list.path);
        }
        let faults =
            chosen(List::of::<TicketList>(), &none, ["id", "custom.x", "y"], |place| format!("/columns/{place}"));
        let faults = faults.unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/columns/1", "/columns/2"]);
        assert!(faults.iter().all(|fault| fault.code == "column_unknown"));
    }
}
