//! Custom fields: what an administrator may define for any kind of record, and what a value of each type must be.

use std::{collections::BTreeMap, str::FromStr};

use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Ctx, Id, Money, Need, Rejection, Time, all,
    kernel::{
        choice::Choice,
        email,
        filter::FieldKind,
        phone,
        reference::{self, Reference, Subject},
    },
    org::field::Field,
};

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

/// The values that the changed had before: what is to be said for all to be as it was.
pub fn before(changes: &Changes) -> CustomChanges {
    changes.iter().map(|(key, change)| (key.clone(), change.from.clone())).collect()
}

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
    /// An exact amount in a currency: `{"amount": "12.50", "currency": "EUR"}`.
    Money,
    /// Another record, by its id.
    Reference,
}

impl FieldType {
    /// The parts of its values by which records are filtered, when it is not the value itself.
    pub const fn parts(self) -> &'static [(&'static str, FieldKind)] {
        match self {
            FieldType::Money => &[("amount", FieldKind::Decimal), ("currency", FieldKind::Word)],
            _ => &[],
        }
    }
}

/// The kind of record that a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A contact.
    Contact,
    /// A company.
    Company,
    /// A user.
    User,
    /// A product.
    Product,
    /// A property.
    Property,
}

impl Target {
    /// The name of that kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Target::Contact => "contact",
            Target::Company => "company",
            Target::User => "user",
            Target::Product => "product",
            Target::Property => "property",
        }
    }
}

/// What a filter may ask about a custom field, `key` or `key.part`, whose types are looked up by key.
pub fn filtered(path: &str, type_of: impl Fn(&str) -> Option<FieldType>) -> Option<FieldKind> {
    let (key, part) = path.split_once('.').map_or((path, None), |(key, part)| (key, Some(part)));
    let field_type = type_of(key)?;
    match part {
        Some(part) => field_type.parts().iter().find(|(name, _)| *name == part).map(|(_, kind)| *kind),
        None if field_type.parts().is_empty() => Some(field_type.into()),
        None => None,
    }
}

/// The names by which a filter may ask about a custom field.
pub fn filter_names(key: &str, field_type: FieldType) -> Vec<String> {
    match field_type.parts() {
        [] => vec![key.to_owned()],
        parts => parts.iter().map(|(part, _)| format!("{key}.{part}")).collect(),
    }
}

/// A custom field as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its type.
    pub field_type: FieldType,
    /// Its name for people.
    pub label: String,
    /// The choices of a select, retired ones included.
    pub options: Vec<Choice>,
    /// What a reference names.
    pub target: Option<Target>,
    /// Whether a new record must have it.
    pub required: bool,
    /// Whether its values are personal data.
    pub personal: bool,
    /// No longer offered; old values stay.
    pub retired: bool,
}

/// The custom fields of one kind of record by key.
pub type Definitions = BTreeMap<String, Definition>;

/// What a copy of a record has of its custom fields: what a new record may have.
pub fn copied(custom: &mut Map<String, Value>, definitions: &Definitions) {
    custom.retain(|key, value| {
        let Some(field) = definitions.get(key).filter(|field| !field.retired) else { return false };
        let offered = |value: &Value| {
            let option = field.options.iter().find(|option| value.as_str() == Some(option.value.as_str()));
            option.is_some_and(|option| !option.retired)
        };
        match (field.field_type, value) {
            (FieldType::Select, value) => offered(value),
            (FieldType::MultiSelect, Value::Array(values)) => {
                values.retain(offered);
                !values.is_empty()
            }
            _ => true,
        }
    });
}

/// A custom field that nobody has defined.
pub const UNKNOWN_FIELD: Rejection = Rejection::invalid("custom_field_unknown", "There is no such custom field.");
/// A custom field that is no longer offered.
pub const RETIRED_FIELD: Rejection = Rejection::invalid("custom_field_retired", "The custom field is retired.");
/// A choice that is no longer offered.
pub const OPTION_RETIRED: Rejection = Rejection::invalid("custom_option_retired", "The option is retired.");
/// A value that its field's type does not allow.
pub const INVALID_VALUE: Rejection = Rejection::invalid("custom_value_invalid", "The value does not fit the field.");
/// A required custom field without a value.
pub const REQUIRED_FIELD: Rejection =
    Rejection::invalid("custom_field_required", "A required custom field is missing.");

/// The refusals of every check here.
pub fn refusals() -> Vec<Rejection> {
    vec![UNKNOWN_FIELD, RETIRED_FIELD, INVALID_VALUE, OPTION_RETIRED, REQUIRED_FIELD, reference::REFERENCE_UNFIT]
}

/// What must be loaded to check custom values of a kind of record: the definitions.
pub fn needs(kind: &str, ctx: &Ctx<'_>) -> Need {
    Need::of::<Field>(Field::id_for(ctx.tenant, kind))
}

/// The records that the changed values in a command's body refer to.
pub(crate) fn references(
    definitions: &Definitions,
    current: Option<&Custom>,
    changes: &Map<String, Value>,
) -> Vec<Reference> {
    let named = |(key, value): (&String, &Value)| {
        let target = definitions.get(key).filter(|field| field.field_type == FieldType::Reference)?.target?;
        let id: Id = value.as_str()?.parse().ok()?;
        let stays = current.and_then(|current| current.get(key)) == Some(value);
        (!stays).then(|| Reference::subject(pointer(key), &Subject::new(target.kind(), id)))
    };
    changes.iter().filter_map(named).collect()
}

/// Checks a new record's custom values, required fields included.
pub fn check_new(kind: &str, custom: &Custom, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let definitions = &ctx.fact::<Field>(Field::id_for(ctx.tenant, kind)).definitions;
    let missing = |(key, field): &(&String, &Definition)| {
        field.required && !field.retired && custom.get(*key).is_none_or(Value::is_null)
    };
    let required = definitions.iter().filter(missing);
    let required = required.map(|(key, _)| Err(REQUIRED_FIELD.because(format!("{key} is required.")).at(pointer(key))));
    all(required.chain([check_changes(kind, &Custom::new(), custom, ctx)]))
}

/// Checks changed values; null clears a field unless it is required. What stays as it is, is not asked about.
pub fn check_changes(kind: &str, current: &Custom, changes: &CustomChanges, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let definitions = &ctx.fact::<Field>(Field::id_for(ctx.tenant, kind)).definitions;
    check_values(definitions, current, changes)
}

/// Checks changed values as far as the definitions tell.
fn check_values(definitions: &Definitions, current: &Custom, changes: &CustomChanges) -> Result<(), Rejection> {
    all(changes.iter().map(|(key, value)| match definitions.get(key) {
        None => Err(UNKNOWN_FIELD.because(format!("There is no custom field {key}.")).at(pointer(key))),
        Some(_) if current.get(key) == Some(value) => Ok(()),
        Some(field) if value.is_null() && field.required && !field.retired => {
            Err(REQUIRED_FIELD.because(format!("{key} is required.")).at(pointer(key)))
        }
        Some(_) if value.is_null() => Ok(()),
        Some(field) if field.retired => Err(RETIRED_FIELD.because(format!("{key} is retired.")).at(pointer(key))),
        Some(field) => check_value(key, field, current.get(key), value).map_err(|refusal| refusal.at(pointer(key))),
    }))
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

fn check_value(key: &str, field: &Definition, current: Option<&Value>, value: &Value) -> Result<(), Rejection> {
    let must = |holds: bool, wanted: &str| {
        if holds { Ok(()) } else { Err(INVALID_VALUE.because(format!("{key} must be {wanted}."))) }
    };
    let text = |wanted: &str, ok: fn(&str) -> bool| must(value.as_str().is_some_and(ok), wanted);
    let offered = || {
        let live = field.options.iter().filter(|option| !option.retired);
        live.map(|option| option.value.as_str()).collect::<Vec<_>>().join(", ")
    };
    let held = |value: &Value| match current {
        Some(Value::Array(values)) => values.contains(value),
        current => current == Some(value),
    };
    let option = |value: &Value, wanted: &str| {
        let known = field.options.iter().find(|option| value.as_str() == Some(option.value.as_str()));
        match known {
            Some(option) if option.retired && !held(value) => {
                Err(OPTION_RETIRED.because(format!("{} of {key} is retired.", option.value)))
            }
            Some(_) => Ok(()),
            None => must(held(value), wanted),
        }
    };
    match field.field_type {
        FieldType::Text => text("text", |_| true),
        FieldType::Number => must(value.as_i64().is_some(), "a whole number"),
        FieldType::Decimal => text("a decimal as text, such as \"12.50\"", |text| Decimal::from_str(text).is_ok()),
        FieldType::Date => text("a date such as \"2026-11-21\"", |text| Date::from_str(text).is_ok()),
        FieldType::Datetime => text("an RFC 3339 instant", |text| Time::from_str(text).is_ok()),
        FieldType::Bool => must(value.is_boolean(), "true or false"),
        FieldType::Select => option(value, &format!("one of {}", offered())),
        FieldType::MultiSelect => {
            let wanted = format!("a list of any of {}", offered());
            let Some(chosen) = value.as_array() else { return must(false, &wanted) };
            chosen.iter().try_for_each(|value| option(value, &wanted))
        }
        FieldType::Url => text("an http or https address", is_url),
        FieldType::Email => text("an e-mail address", email::is_email),
        FieldType::Phone => text("a phone number", |text| phone::read(text, None).is_ok()),
        FieldType::Money => {
            let wanted = "money, such as {\"amount\": \"12.50\", \"currency\": \"EUR\"}";
            must(Money::deserialize(value).is_ok_and(|money| money.check("").is_ok()), wanted)
        }
        FieldType::Reference => {
            let kind = field.target.map_or("record", Target::kind);
            must(value.as_str().is_some_and(|text| Id::from_str(text).is_ok()), &format!("the id of a {kind}"))
        }
    }
}

/// Whether a text looks like an http(s) address.
pub fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(field_type: FieldType) -> Definition {
        let named = ["a", "b"].map(crate::kernel::choice::Named::from);
        let options = crate::kernel::choice::after(&[], &named);
        let target = Some(Target::Contact);
        let label = String::new();
        Definition { field_type, label, options, target, required: false, personal: false, retired: false }
    }

    fn one(value: Value) -> Custom {
        BTreeMap::from([("key".to_owned(), value)])
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
            (Money, json!({ "amount": "12.50", "currency": "EUR" }), json!("12.50 EUR")),
            (Reference, json!("01K9Z3T8W0QX6V5N4M3K2J1H0G"), json!("Maria")),
        ];
        for (field_type, good, bad) in cases {
            let definitions = BTreeMap::from([("key".to_owned(), field(field_type))]);
            let check = |value| check_values(&definitions, &Custom::new(), &one(value));
            assert_eq!(check(good), Ok(()), "{field_type:?}");
            assert_eq!(check(bad), Err(INVALID_VALUE), "{field_type:?}");
        }
    }

    #[test]
    fn what_is_retired_is_kept_and_not_taken_anew() {
        let mut select = field(FieldType::Select);
        select.options[0].retired = true;
        let definitions = BTreeMap::from([("key".to_owned(), select.clone())]);
        let check = |current: Custom, value| check_values(&definitions, &current, &one(value));
        assert_eq!(check(Custom::new(), json!("a")), Err(OPTION_RETIRED));
        assert_eq!(check(one(json!("a")), json!("a")), Ok(()));
        assert_eq!(check(one(json!("b")), json!("a")), Err(OPTION_RETIRED));
        let several = Definition { field_type: FieldType::MultiSelect, ..select.clone() };
        let definitions = BTreeMap::from([("key".to_owned(), several)]);
        let check = |current: Custom, value| check_values(&definitions, &current, &one(value));
        assert_eq!(check(one(json!(["a"])), json!(["a", "b"])), Ok(()));
        assert_eq!(check(one(json!(["b"])), json!(["a", "b"])), Err(OPTION_RETIRED));
        let definitions = BTreeMap::from([("key".to_owned(), Definition { retired: true, ..select })]);
        let check = |current: Custom, value| check_values(&definitions, &current, &one(value));
        assert_eq!(check(Custom::new(), json!("b")), Err(RETIRED_FIELD));
        assert_eq!(check(one(json!("b")), json!("b")), Ok(()));
        assert_eq!(check_values(&Definitions::new(), &Custom::new(), &one(json!("b"))), Err(UNKNOWN_FIELD));
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
