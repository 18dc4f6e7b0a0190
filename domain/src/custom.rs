//! Custom fields: what an administrator may define for any kind of record, and what a value of each type must be.

use std::{collections::BTreeMap, str::FromStr};

use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Rejection, Time, all};

/// The values of a record's custom fields by key.
pub type Custom = BTreeMap<String, Value>;

/// What changes about custom fields: a value sets one, null clears it.
pub type CustomChanges = BTreeMap<String, Value>;

/// From what to what something changed; null is "not set".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change<T = Value> {
    /// Before.
    pub from: T,
    /// After.
    pub to: T,
}

/// Every changed field by its key.
pub type Changes = BTreeMap<String, Change>;

/// The type of a custom field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Free text.
    Text,
    /// A whole number.
    Number,
    /// An exact decimal, as text: `"12.50"`.
    Decimal,
    /// A calendar day: `"2026-11-21"`.
    Date,
    /// An instant, RFC 3339.
    Datetime,
    /// True or false.
    Bool,
    /// One of its options.
    Select,
    /// Any of its options.
    MultiSelect,
    /// An http or https address.
    Url,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
}

/// A custom field as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its type.
    pub field_type: FieldType,
    /// Its name for people.
    pub label: String,
    /// The choices of a select.
    pub options: Vec<String>,
    /// Whether a new record must have it.
    pub required: bool,
    /// Whether its values are personal data.
    pub personal: bool,
    /// No longer offered; old values stay.
    pub retired: bool,
}

/// The custom fields of one kind of record by key.
pub type Definitions = BTreeMap<String, Definition>;

/// A custom field that nobody has defined, or that is retired.
pub const UNKNOWN_FIELD: Rejection = Rejection::invalid("custom_field_unknown", "There is no such custom field.");
/// A value that its field's type does not allow.
pub const INVALID_VALUE: Rejection = Rejection::invalid("custom_value_invalid", "The value does not fit the field.");
/// A required custom field without a value.
pub const REQUIRED_FIELD: Rejection =
    Rejection::invalid("custom_field_required", "A required custom field is missing.");

/// Checks a new record's custom values, required fields included.
pub fn check_new(definitions: &Definitions, custom: &Custom) -> Result<(), Rejection> {
    let required = definitions.iter().filter(|(_, field)| field.required && !field.retired);
    let missing = required.filter(|(key, _)| custom.get(*key).is_none_or(Value::is_null));
    all(missing.map(|(key, _)| Err(required_field(key))).chain([check_changes(definitions, custom)]))
}

/// Checks changed values; null clears a field unless it is required.
pub fn check_changes(definitions: &Definitions, changes: &CustomChanges) -> Result<(), Rejection> {
    all(changes.iter().map(|(key, value)| match definitions.get(key) {
        None => Err(UNKNOWN_FIELD.because(format!("There is no custom field {key}.")).at(pointer(key))),
        Some(field) if value.is_null() && field.required && !field.retired => Err(required_field(key)),
        Some(_) if value.is_null() => Ok(()),
        Some(field) if field.retired => Err(UNKNOWN_FIELD.because(format!("{key} is retired.")).at(pointer(key))),
        Some(field) => check_value(field, value)
            .map_err(|wanted| INVALID_VALUE.because(format!("{key} must be {wanted}.")).at(pointer(key))),
    }))
}

fn required_field(key: &str) -> Rejection {
    REQUIRED_FIELD.because(format!("{key} is required.")).at(pointer(key))
}

/// The changes that a merge of `changes` into `current` really makes.
pub fn difference(current: &Custom, changes: &CustomChanges) -> Changes {
    let of = |key: &String| current.get(key).cloned().unwrap_or(Value::Null);
    changes
        .iter()
        .filter(|(key, value)| of(key) != **value)
        .map(|(key, value)| (key.clone(), Change { from: of(key), to: value.clone() }))
        .collect()
}

/// The changes that clear every field.
pub fn all_cleared(current: &Custom) -> CustomChanges {
    current.keys().map(|key| (key.clone(), Value::Null)).collect()
}

/// Applies recorded changes.
pub fn apply(custom: &mut Custom, changes: &Changes) {
    for (key, change) in changes {
        if change.to.is_null() {
            custom.remove(key);
        } else {
            custom.insert(key.clone(), change.to.clone());
        }
    }
}

fn pointer(key: &str) -> String {
    format!("/custom/{key}")
}

fn check_value(field: &Definition, value: &Value) -> Result<(), String> {
    let text = |wanted: &str, ok: fn(&str) -> bool| match value.as_str() {
        Some(text) if ok(text) => Ok(()),
        _ => Err(wanted.to_owned()),
    };
    let option = |value: &Value| value.as_str().is_some_and(|text| field.options.iter().any(|option| option == text));
    let options = || field.options.join(", ");
    match field.field_type {
        FieldType::Text => text("text", |_| true),
        FieldType::Number => value.as_i64().map(|_| ()).ok_or_else(|| "a whole number".into()),
        FieldType::Decimal => text("a decimal as text, such as \"12.50\"", |text| Decimal::from_str(text).is_ok()),
        FieldType::Date => text("a date such as \"2026-11-21\"", |text| Date::from_str(text).is_ok()),
        FieldType::Datetime => text("an RFC 3339 instant", |text| Time::from_str(text).is_ok()),
        FieldType::Bool => value.as_bool().map(|_| ()).ok_or_else(|| "true or false".into()),
        FieldType::Select if option(value) => Ok(()),
        FieldType::Select => Err(format!("one of {}", options())),
        FieldType::MultiSelect => match value.as_array() {
            Some(chosen) if chosen.iter().all(option) => Ok(()),
            _ => Err(format!("a list of any of {}", options())),
        },
        FieldType::Url => text("an http or https address", is_url),
        FieldType::Email => text("an e-mail address", is_email),
        FieldType::Phone => text("a phone number", is_phone),
    }
}

/// Whether a text looks like an http(s) address.
pub fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// Whether a text looks like an e-mail address: one `@`, something on both sides, no white space. Whether it receives
/// mail only sending shows.
pub fn is_email(text: &str) -> bool {
    text.len() <= 254
        && !text.contains(char::is_whitespace)
        && text
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
}

/// Whether a text looks like a phone number: at least three digits among the usual separators.
pub fn is_phone(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || "+-() ./x".contains(c))
        && text.chars().filter(char::is_ascii_digit).count() >= 3
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(field_type: FieldType) -> Definition {
        let options = vec!["a".into(), "b".into()];
        Definition { field_type, label: String::new(), options, required: false, personal: false, retired: false }
    }

    #[test]
    fn each_type_takes_its_own_values_and_no_others() {
        use FieldType::*;
        let cases = [
            (Text, json!("x"), json!(1)),
            (Number, json!(12), json!(1.5)),
            (Decimal, json!("12.50"), json!("twelve")),
            (Date, json!("2026-02-28"), json!("2026-02-30")),
            (Datetime, json!("2026-02-28T10:00:00Z"), json!("2026-02-28")),
            (Bool, json!(true), json!("true")),
            (Select, json!("a"), json!("c")),
            (MultiSelect, json!(["a", "b"]), json!(["a", "c"])),
            (Url, json!("https://example.com"), json!("example.com")),
            (Email, json!("a@example.com"), json!("a@@example")),
            (Phone, json!("+7 (812) 555-01-02"), json!("call me")),
        ];
        for (field_type, good, bad) in cases {
            let definitions = BTreeMap::from([("key".to_owned(), field(field_type))]);
            let check = |value| check_changes(&definitions, &BTreeMap::from([("key".to_owned(), value)]));
            assert_eq!(check(good), Ok(()), "{field_type:?}");
            assert_eq!(check(bad), Err(INVALID_VALUE), "{field_type:?}");
        }
    }

    #[test]
    fn a_new_record_needs_the_required_fields() {
        let definitions = BTreeMap::from([("key".to_owned(), Definition { required: true, ..field(FieldType::Text) })]);
        assert_eq!(check_new(&definitions, &Custom::new()), Err(REQUIRED_FIELD));
        assert_eq!(check_new(&definitions, &BTreeMap::from([("key".to_owned(), json!("x"))])), Ok(()));
    }

    #[test]
    fn only_real_changes_remain() {
        let current = BTreeMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
        let wanted = BTreeMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), Value::Null)]);
        let changes = difference(&current, &wanted);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes["b"], Change { from: json!(2), to: Value::Null });
    }
}
