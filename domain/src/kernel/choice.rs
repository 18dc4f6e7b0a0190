//! The choices of a select: a value that records keep, and how it is shown.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{
    Rejection,
    kernel::{color::Color, named},
};

/// A choice of a select as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// What records keep; it never changes.
    pub value: String,
    /// Its name for people.
    pub label: String,
    /// Its colour, if it has one.
    pub color: Option<Color>,
    /// Its place among the choices, from 0.
    pub order: u32,
    /// No longer offered; records that have it keep it.
    pub retired: bool,
}

/// A choice as somebody names it: a plain word, or with how it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// What records keep.
    pub value: String,
    /// Its name for people; as before, or the value.
    pub label: Option<String>,
    /// Its colour; as before, or none.
    pub color: Option<Color>,
    /// Its place among the choices; where it stands in the list by default.
    pub order: Option<u32>,
    /// No longer offered.
    pub retired: bool,
}

impl From<&str> for Named {
    fn from(value: &str) -> Named {
        Named { value: value.into(), ..Named::default() }
    }
}

/// A choice with how it is shown, in JSON.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamedChoice")]
struct Object {
    /// What records keep; it never changes.
    value: String,
    /// Its name for people; as before, or the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Its colour; as before, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    color: Option<Color>,
    /// Its place among the choices, from 0; where it stands in the list by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<u32>,
    /// No longer offered; records that have it keep it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
}

/// A plain word stays one, as before choices had more to them.
impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Named { value, label, color, order, retired } = self.clone();
        if label.is_none() && color.is_none() && order.is_none() && !retired {
            return value.serialize(serializer);
        }
        Object { value, label, color, order, retired }.serialize(serializer)
    }
}

// By hand, since an untagged enum does not say what is wrong with an object.
impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(value) => Ok(Named { value, ..Named::default() }),
            other => {
                let Object { value, label, color, order, retired } = named::part(other)?;
                Ok(Named { value, label, color, order, retired })
            }
        }
    }
}

impl JsonSchema for Named {
    fn schema_name() -> Cow<'static, str> {
        "NamedChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<Object>();
        json_schema!({
            "description": "A choice: a plain word, or with how it is shown.",
            "anyOf": [{ "type": "string" }, object],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Choices that make no sense.
pub const OPTIONS_INVALID: Rejection = Rejection::invalid(
    "field_options_invalid",
    "At most 500 options, each with another value and a label of 1 to 200 characters.",
);

/// Most choices of a select.
const MOST: usize = 500;

/// The choices after these are named: what is not said of one stays as it was, and one that is not named is retired, so
/// that what records keep never loses its meaning.
pub fn after(before: &[Choice], named: &[Named]) -> Vec<Choice> {
    let known = |value: &str| before.iter().find(|choice| choice.value == value);
    let mut choices: Vec<(usize, Choice)> = Vec::new();
    for (index, named) in named.iter().enumerate() {
        let was = known(&named.value);
        let label = named.label.clone().or_else(|| was.map(|was| was.label.clone()));
        let choice = Choice {
            value: named.value.clone(),
            label: label.unwrap_or_else(|| named.value.clone()),
            color: named.color.or_else(|| was.and_then(|was| was.color)),
            order: 0,
            retired: named.retired,
        };
        let place = named.order.and_then(|order| usize::try_from(order).ok()).unwrap_or(index);
        choices.push((place, choice));
    }
    choices.sort_by_key(|(place, _)| *place);
    let gone = before.iter().filter(|choice| named.iter().all(|named| named.value != choice.value));
    let gone = gone.map(|choice| Choice { retired: true, ..choice.clone() });
    let all = choices.into_iter().map(|(_, choice)| choice).chain(gone);
    (0..).zip(all).map(|(order, choice)| Choice { order, ..choice }).collect()
}

/// Refuses choices that make no sense.
pub fn check(named: &[Named]) -> Result<(), Rejection> {
    let fits = |text: &str| !text.trim().is_empty() && text.chars().count() <= 200;
    let odd = named.iter().enumerate().position(|(index, choice)| {
        let twice = named[..index].iter().any(|other| other.value == choice.value);
        twice || !fits(&choice.value) || !choice.label.as_deref().is_none_or(fits)
    });
    match odd {
        Some(index) => Err(OPTIONS_INVALID.at(format!("/options/{index}"))),
        None if named.len() > MOST => Err(OPTIONS_INVALID.at("/options")),
        None => Ok(()),
    }
}

/// Choices as an event records them: a plain word where there is nothing else to say.
pub fn recorded(choices: &[Choice]) -> Vec<Named> {
    let named = |choice: &Choice| Named {
        value: choice.value.clone(),
        label: (choice.label != choice.value).then(|| choice.label.clone()),
        color: choice.color,
        order: None,
        retired: choice.retired,
    };
    choices.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(json: Value) -> Vec<Named> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_not_said_stays_and_what_is_not_named_is_retired() {
        let first = after(&[], &named(json!(["s", { "value": "m", "label": "Medium", "color": "#ff0000" }])));
        assert_eq!((first[0].label.as_str(), first[1].label.as_str(), first[1].order), ("s", "Medium", 1));
        let second = after(&first, &named(json!([{ "value": "l", "order": 5 }, "m"])));
        let shown: Vec<_> = second.iter().map(|choice| (choice.value.as_str(), choice.retired)).collect();
        assert_eq!(shown, [("m", false), ("l", false), ("s", true)]);
        assert_eq!((second[0].label.as_str(), second[0].color), ("Medium", first[1].color));
        let back = after(&second, &named(json!(["s", "m", "l"])));
        assert!(back.iter().all(|choice| !choice.retired));
        assert_eq!(after(&[], &recorded(&second)), second, "what is recorded says all of it");
        assert_eq!(serde_json::to_value(recorded(&first)).unwrap()[0], json!("s"), "a plain word stays one");
    }

    #[test]
    fn odd_choices_are_refused() {
        for odd in [json!(["a", "a"]), json!([""]), json!([{ "value": "a", "label": " " }])] {
            assert_eq!(check(&named(odd)), Err(OPTIONS_INVALID));
        }
        assert_eq!(check(&named(json!(["a", "b"]))), Ok(()));
    }
}
