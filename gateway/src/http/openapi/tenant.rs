//! A tenant's own document: its custom fields, where the general one only says that there may be some, and no features
//! that it has switched off.

use std::collections::BTreeMap;

use domain::{
    kernel::custom::{self, Definition, Definitions, FieldType},
    org::field::Field,
};
use serde_json::{Map, Value, json};

use super::schemas::CUSTOM_OF;
use crate::{app::App, auth::Caller, problem::Problem};

/// The custom fields of each kind of record.
pub(super) type Fields = BTreeMap<&'static str, Definitions>;

/// Those of the caller's tenant.
pub(super) async fn fields(app: &App, caller: &Caller) -> Result<Fields, Problem> {
    struct Kinds(Vec<&'static str>);
    impl domain::catalogue::Visitor for Kinds {
        fn visit<A: domain::Aggregate>(&mut self) {
            self.0.push(A::KIND);
        }
    }
    let mut kinds = Kinds(Vec::new());
    domain::catalogue::visit_all(&mut kinds);
    let mut fields = Fields::new();
    for kind in kinds.0 {
        let (known, _) = app.commands.load::<Field>(caller.tenant, Field::id_for(caller.tenant, kind)).await?;
        if !known.definitions.is_empty() {
            fields.insert(kind, known.definitions.clone());
        }
    }
    Ok(fields)
}

/// Tells them wherever a schema is marked.
pub(super) fn tell(schema: &mut Value, fields: &Fields) {
    match schema {
        Value::Object(members) => {
            let kind = members.get(CUSTOM_OF).and_then(Value::as_str);
            if let Some(known) = kind.and_then(|kind| fields.get(kind)) {
                if members.remove("pattern").is_some() {
                    let names = known.iter().flat_map(|(key, field)| custom::filter_names(key, field.field_type));
                    let names: Vec<_> = names.map(|name| format!("custom.{name}")).collect();
                    members.insert("enum".into(), json!(names));
                } else {
                    let properties: Map<_, _> = known.iter().map(|(key, field)| (key.clone(), of(field))).collect();
                    members.insert("properties".into(), properties.into());
                }
            }
            members.values_mut().for_each(|member| tell(member, fields));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tell(item, fields)),
        _ => {}
    }
}

/// Leaves out the operations that need a permission which nobody has, and the tags that nothing is left of.
pub(super) fn leave_out(document: &mut Value, gone: &dyn Fn(&str) -> bool) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let mut tags = std::collections::BTreeSet::new();
    paths.retain(|_, operations| {
        let Some(operations) = operations.as_object_mut() else { return true };
        operations.retain(|_, operation| !operation["x-permission"].as_str().is_some_and(gone));
        tags.extend(operations.values().filter_map(|operation| operation["tags"][0].as_str()).map(ToOwned::to_owned));
        !operations.is_empty()
    });
    if let Some(all) = document["tags"].as_array_mut() {
        all.retain(|tag| tag["name"].as_str().is_some_and(|name| tags.contains(name)));
    }
    let groups = document["x-tagGroups"].as_array_mut().into_iter().flatten();
    for group in groups.filter_map(|group| group["tags"].as_array_mut()) {
        group.retain(|tag| tag.as_str().is_some_and(|name| tags.contains(name)));
    }
}

/// The schema of a field's values; null is "not set".
fn of(field: &Definition) -> Value {
    let text = |format: &str| json!({ "type": ["string", "null"], "format": format });
    let options = || field.options.iter().map(|option| json!(option.value));
    let mut schema = match field.field_type {
        FieldType::Text | FieldType::Phone => json!({ "type": ["string", "null"] }),
        FieldType::Number => json!({ "type": ["integer", "null"] }),
        FieldType::Decimal => json!({ "type": ["string", "null"], "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$" }),
        FieldType::Date => text("date"),
        FieldType::Datetime => text("date-time"),
        FieldType::Bool => json!({ "type": ["boolean", "null"] }),
        FieldType::Select => json!({ "enum": options().chain([Value::Null]).collect::<Vec<_>>() }),
        FieldType::MultiSelect => {
            json!({ "type": ["array", "null"], "items": { "enum": options().collect::<Vec<_>>() } })
        }
        FieldType::Url => text("uri"),
        FieldType::Email => text("email"),
        FieldType::Money => json!({ "anyOf": [{ "$ref": "#/components/schemas/Money" }, { "type": "null" }] }),
        FieldType::Reference => {
            json!({ "type": ["string", "null"], "pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$" })
        }
    };
    let label = field.label.trim_end_matches('.');
    let required = if field.required && !field.retired { " New records must have it." } else { "" };
    let personal = if field.personal { " Personal data." } else { "" };
    schema["description"] = format!("{label}.{required}{personal}").into();
    if field.retired {
        schema["deprecated"] = true.into();
    }
    schema
}
