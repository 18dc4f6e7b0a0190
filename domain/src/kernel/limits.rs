//! What a value may be at most: read from the JSON schema of each command, and held to in one place.
//!
//! A field says more with `#[schemars(range(...))]`, `#[schemars(length(...))]` or, for exact decimals,
//! `#[schemars(extend("x-minimum" = "0", "x-maximum" = "100"))]`. What says nothing has the limits here, and a new field
//! cannot be without.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::{Rejection, kernel::reference};

/// Most characters of a text in one line.
pub const LINE: u64 = 1_000;
/// Most characters of a text that people read.
pub const TEXT: u64 = 200_000;
/// Most items of a list and members of a map.
pub const ITEMS: u64 = 1_000;
/// Most bytes of a value of any shape, written as JSON.
pub const JSON: usize = 100_000;
/// Largest whole number where nothing narrower is said: readers of JSON know no larger one exactly.
pub const NUMBER: i64 = 9_007_199_254_740_991;

/// On the schema of an exact decimal: the least that it may be.
const MINIMUM: &str = "x-minimum";
/// On the schema of an exact decimal: the most that it may be.
const MAXIMUM: &str = "x-maximum";

/// Members that are texts rather than lines.
const TEXTS: &[&str] = &[
    "text",
    "body",
    "description",
    "comment",
    "answer",
    "error",
    "errors",
    "mapping",
    "outcome",
    "reason",
    "from",
    "to",
];

/// A text that is longer or shorter than its field takes.
pub const LENGTH_INVALID: Rejection =
    Rejection::invalid("length_invalid", "The text is longer or shorter than this field takes.");
/// A number beyond the range of its field.
pub const OUT_OF_RANGE: Rejection = Rejection::invalid("out_of_range", "The number is beyond the range of this field.");
/// A list or a value of any shape that is too large.
pub const TOO_LARGE: Rejection = Rejection::invalid("too_large", "There is more of it than this field takes.");

/// Every refusal here: any command may meet them.
pub fn refusals() -> Vec<Rejection> {
    vec![LENGTH_INVALID, OUT_OF_RANGE, TOO_LARGE]
}

/// What the values at one place in a command's body may be.
#[derive(Clone, Debug)]
pub struct Limit {
    path: Vec<String>,
    bound: Bound,
}

#[derive(Clone, Debug)]
enum Bound {
    Length { least: u64, most: u64 },
    Number { least: Decimal, most: Decimal },
    Items { least: u64, most: u64 },
    Json,
}

impl Limit {
    /// As a JSON pointer, such as `/items/*/name`.
    pub fn pointer(&self) -> String {
        self.path.iter().map(|step| format!("/{step}")).collect()
    }

    /// A value just beyond it; `None` where there is none.
    pub fn beyond(&self) -> Option<Value> {
        match self.bound {
            Bound::Length { most, .. } => Some("x".repeat(usize::try_from(most).ok()? + 1).into()),
            Bound::Number { most, .. } if most >= NUMBER.into() => None,
            Bound::Number { most, .. } => serde_json::from_str((most + Decimal::ONE).to_string().as_str()).ok(),
            Bound::Items { most, .. } => Some(vec![Value::Null; usize::try_from(most).ok()? + 1].into()),
            Bound::Json => Some(json!({ "x": "x".repeat(JSON) })),
        }
    }

    /// What is wrong with the values at this place in a body.
    pub fn faults(&self, body: &Value) -> Vec<Rejection> {
        let mut faults = Vec::new();
        reference::find(body, &self.path, String::new(), &mut |pointer, value| {
            faults.extend(self.bound.fault(value).map(|fault| fault.at(pointer)));
        });
        faults
    }
}

impl Bound {
    fn of(name: &str, schema: &Value) -> Option<Bound> {
        let number = |key: &str| schema[key].as_number().and_then(|number| Decimal::from_str(&number.to_string()).ok());
        let exact = |key: &str| schema[key].as_str().and_then(|text| Decimal::from_str(text).ok());
        let is = |kind: &str| {
            schema["type"] == kind || schema["type"].as_array().is_some_and(|all| all.contains(&kind.into()))
        };
        let closed = ["enum", "const", "format", "pattern"].iter().any(|key| schema.get(*key).is_some());
        if exact(MINIMUM).is_some() || exact(MAXIMUM).is_some() {
            let (least, most) = (exact(MINIMUM).unwrap_or(Decimal::MIN), exact(MAXIMUM).unwrap_or(Decimal::MAX));
            return Some(Bound::Number { least, most });
        }
        if is("integer") || is("number") {
            let least = number("minimum").unwrap_or_else(|| (-NUMBER).into());
            return Some(Bound::Number { least, most: number("maximum").unwrap_or_else(|| NUMBER.into()) });
        }
        let most = |key: &str, usual: u64| schema[key].as_u64().unwrap_or(usual);
        if is("string") && !closed {
            let usual = if TEXTS.contains(&name) { TEXT } else { LINE };
            return Some(Bound::Length { least: most("minLength", 0), most: most("maxLength", usual) });
        }
        if is("array") {
            return Some(Bound::Items { least: most("minItems", 0), most: most("maxItems", ITEMS) });
        }
        let anything = *schema == true
            || schema["additionalProperties"] == true
            || schema.as_object().is_some_and(|members| {
                members.keys().all(|key| ["description", "default", "title"].contains(&key.as_str()))
            });
        anything.then_some(Bound::Json)
    }

    fn fault(&self, value: &Value) -> Option<Rejection> {
        match (self, value) {
            (Bound::Length { least, most }, Value::String(text)) => {
                let length = text.chars().count() as u64;
                let fits = (*least..=*most).contains(&length);
                (!fits).then(|| LENGTH_INVALID.because(format!("It has {least} to {most} characters, not {length}.")))
            }
            (Bound::Number { least, most }, Value::Number(_) | Value::String(_)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                let number = Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).ok()?;
                let fits = (*least..=*most).contains(&number);
                (!fits).then(|| OUT_OF_RANGE.because(format!("It is {least} to {most}, not {number}.")))
            }
            (Bound::Items { least, most }, Value::Array(items)) => {
                let fits = (*least..=*most).contains(&(items.len() as u64));
                (!fits).then(|| TOO_LARGE.because(format!("It has {least} to {most} items, not {}.", items.len())))
            }
            (Bound::Json, value) => {
                let size = value.to_string().len();
                (size > JSON).then(|| TOO_LARGE.because(format!("It has at most {JSON} bytes as JSON, not {size}.")))
            }
            _ => None,
        }
    }
}

/// The limits of a command's body of this JSON schema.
pub fn limits(schema: &Value, definitions: &Map<String, Value>) -> Vec<Limit> {
    let mut limits = Vec::new();
    reference::walk(schema, definitions, &mut Vec::new(), &mut |path, schema| {
        let name = path.iter().rev().find(|step| *step != "*").map(String::as_str).unwrap_or_default();
        let bound = Bound::of(name, schema);
        let whole = matches!(bound, Some(Bound::Json));
        limits.extend(bound.map(|bound| Limit { path: path.to_vec(), bound }));
        whole
    });
    limits
}
