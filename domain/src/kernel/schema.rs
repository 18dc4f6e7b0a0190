//! What a JSON schema says of a value: by which ops it is filtered.

use serde_json::{Map, Value};

use crate::kernel::filter::FieldKind;

/// The definition that a schema refers to.
pub(crate) fn referred<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> Option<(&'a str, &'a Value)> {
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    Some((name, definitions.get(name)?))
}

/// What a schema says once its reference has been followed.
pub fn resolved<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    referred(schema, definitions).map_or(schema, |(_, definition)| definition)
}

/// Its kind, if it is a single value or a set of them.
pub fn leaf(schema: &Value, definitions: &Map<String, Value>) -> Option<FieldKind> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => Vec::new(),
    };
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match (types.as_slice(), schema["format"].as_str()) {
        (["string"], Some("date-time")) => Some(FieldKind::Time),
        (["string"], Some("date")) => Some(FieldKind::Date),
        (["integer"], _) => Some(FieldKind::Integer),
        (["boolean"], _) => Some(FieldKind::Bool),
        (["number"], _) | (["string", "number"] | ["number", "string"], _) => Some(FieldKind::Decimal),
        (["string"], _) if pattern.starts_with("^-?") => Some(FieldKind::Decimal),
        (["string"], Some("phone")) => Some(FieldKind::Phone),
        (["string"], Some("email")) => Some(FieldKind::Email),
        (["string"], Some("word")) => Some(FieldKind::Word),
        (["string"], _) if !pattern.is_empty() || schema["enum"].is_array() => Some(FieldKind::Word),
        (["string"], _) => Some(FieldKind::Text),
        (["array"], _) => match leaf(resolved(&schema["items"], definitions), definitions) {
            Some(FieldKind::Text) => Some(FieldKind::Tags),
            Some(FieldKind::Word | FieldKind::Id) => Some(FieldKind::Set),
            _ => None,
        },
        // An enum whose variants are described one by one.
        _ if schema["oneOf"].as_array().is_some_and(|all| all.iter().all(|one| one["const"].is_string())) => {
            Some(FieldKind::Word)
        }
        _ => None,
    }
}
