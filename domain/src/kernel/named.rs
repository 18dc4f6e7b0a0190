//! Commands and events as a name and a JSON object: serde's own variant name *is* the name.

use std::{fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor},
};
use serde_json::Value;

/// One variant of a command or event type, for documents and checks.
pub struct Variant {
    /// Its name, such as `assign` or `assigned`.
    pub name: String,
    /// Its docstring.
    pub description: String,
    /// JSON schema of its data.
    pub schema: Schema,
}

/// A body that does not decode: where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// JSON pointer (RFC 6901) to the place at fault; empty for the whole.
    pub pointer: String,
    /// Stable code: `unknown_name`, `unknown_field`, `required` or `invalid`.
    pub code: &'static str,
    /// For a person.
    pub detail: String,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at '{}': {}", self.code, self.pointer, self.detail)
    }
}

impl std::error::Error for Undecodable {}

/// A closed set of named shapes: every derived, externally tagged serde enum is one.
pub trait Named: Sized {
    /// Reads the shape called `name` from its JSON text. What is wrong with it is not located: so text that was written by
    /// this very type is read at full speed, and everything is compiled for it only once.
    fn decode(name: &str, data: &[u8]) -> Result<Self, Undecodable>;

    /// Reads the shape called `name` from a JSON value.
    fn from_value(name: &str, data: Value) -> Result<Self, Undecodable>;

    /// Its name and its JSON text; always an object.
    fn encode(&self) -> (String, Vec<u8>);

    /// Every shape there is.
    fn variants(generator: &mut SchemaGenerator) -> Vec<Variant>;
}

impl<T: Serialize + DeserializeOwned + JsonSchema> Named for T {
    fn decode(name: &str, data: &[u8]) -> Result<Self, Undecodable> {
        let mut json = serde_json::Deserializer::from_slice(data);
        T::deserialize(Called { name, data: &mut json }).map_err(|error| {
            let detail = error.to_string();
            let unknown = detail.starts_with(&format!("unknown variant `{name}`"));
            let code = if unknown { "unknown_name" } else { "invalid" };
            Undecodable { pointer: String::new(), code, detail }
        })
    }

    fn from_value(name: &str, data: Value) -> Result<Self, Undecodable> {
        let mut track = serde_path_to_error::Track::new();
        let data = serde_path_to_error::Deserializer::new(data, &mut track);
        T::deserialize(Called { name, data }).map_err(|error| located(&track.path().to_string(), &error.to_string()))
    }

    // A derived enum of plain data always serialises.
    #[allow(clippy::expect_used)]
    fn encode(&self) -> (String, Vec<u8>) {
        let mut text = serde_json::to_vec(self).expect("plain data serialises");
        if text[0] == b'"' {
            let name = String::from_utf8_lossy(&text[1..text.len() - 1]).into_owned();
            return (name, b"{}".to_vec());
        }
        // {"name":data}
        let end = 2 + text[2..].iter().position(|byte| *byte == b'"').unwrap_or_default();
        let name = String::from_utf8_lossy(&text[2..end]).into_owned();
        text.pop();
        text.drain(..end + 2);
        (name, text)
    }

    fn variants(generator: &mut SchemaGenerator) -> Vec<Variant> {
        let schema = T::json_schema(generator);
        let choices = schema.get("oneOf").and_then(Value::as_array).cloned();
        choices.unwrap_or_else(|| vec![schema.clone().to_value()]).iter().flat_map(variants_of).collect()
    }
}

fn variants_of(choice: &Value) -> Vec<Variant> {
    let description = choice["description"].as_str().unwrap_or_default().to_owned();
    let unit = |name: &Value| Variant {
        name: name.as_str().unwrap_or_default().to_owned(),
        description: description.clone(),
        schema: schemars::json_schema!({ "type": "object", "additionalProperties": false }),
    };
    if let Some(name) = choice.get("const") {
        return vec![unit(name)];
    }
    if let Some(names) = choice["enum"].as_array() {
        return names.iter().map(unit).collect();
    }
    let Some(properties) = choice["properties"].as_object() else { return Vec::new() };
    let schema = |value: &Value| Schema::try_from(value.clone()).unwrap_or_default();
    properties
        .iter()
        .map(|(name, value)| Variant { name: name.clone(), description: description.clone(), schema: schema(value) })
        .collect()
}

/// Marks the place inside a message, where a hand-written `Deserialize` has it and serde's path does not.
const PLACE: char = '\u{1}';

/// Reads a value.
///
/// # Errors
/// What does not fit, and where.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, Undecodable> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| located(&error.path().to_string(), &error.inner().to_string()))
}

/// Reads a part of a hand-written `Deserialize` so that errors keep their place in the whole.
pub fn part<T: DeserializeOwned, E: de::Error>(value: Value) -> Result<T, E> {
    read(value).map_err(|found| E::custom(format_args!("{}{PLACE}{}", found.pointer, found.detail)))
}

/// Turns serde's message and path into a pointer and a code.
pub fn located(path: &str, message: &str) -> Undecodable {
    let (inner, message) = message.split_once(PLACE).unwrap_or(("", message));
    let mut pointer = String::new();
    if path != "." {
        for part in path.split(['.', '[']) {
            let part = part.trim_end_matches(']');
            if !part.is_empty() && part != "?" {
                pointer.push('/');
                pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
            }
        }
    }
    pointer.push_str(inner);
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let mut below = |code: &'static str| {
        if !pointer.ends_with(&format!("/{quoted}")) {
            pointer.push('/');
            pointer.push_str(quoted);
        }
        code
    };
    let code = if message.starts_with("unknown field") {
        below("unknown_field")
    } else if message.starts_with("missing field") {
        below("required")
    } else if message.starts_with("unknown variant") && pointer.is_empty() {
        "unknown_name"
    } else {
        "invalid"
    };
    // serde_json adds its line and column, which mean nothing in one line of text.
    let detail = message.split(" at line ").next().unwrap_or(message).to_owned();
    Undecodable { pointer, code, detail }
}

/// Most faults of one body that are told.
const MOST_FAULTS: usize = 64;

/// Everything that keeps a body from decoding, and what it decodes to without that: each fault gives way to what stands in
/// its place in `like`, a body that decodes, or to nothing, and the rest is read again.
pub fn faults<T>(
    body: &Value,
    like: &Value,
    decode: impl Fn(Value) -> Result<T, Undecodable>,
) -> (Vec<Undecodable>, Option<T>) {
    let mut rest = body.clone();
    let mut found: Vec<Undecodable> = Vec::new();
    while found.len() < MOST_FAULTS {
        let fault = match decode(rest.clone()) {
            Ok(value) => return (found, Some(value)),
            Err(fault) => fault,
        };
        let mended = if found.iter().any(|known| known.pointer == fault.pointer) {
            // What it was replaced by does not fit either: what it is a part of has to go.
            mended_above(&mut rest, like, &fault.pointer)
        } else {
            let pointer = fault.pointer.clone();
            let stand_in = like.pointer(&of_first_items(&pointer)).filter(|_| fault.code != "unknown_field").cloned();
            found.push(fault);
            let stand_in = stand_in.or_else(|| another_item(&rest, &pointer, &found));
            replaced(&mut rest, &pointer, stand_in) || mended_above(&mut rest, like, &pointer)
        };
        if !mended {
            break;
        }
    }
    (found, None)
}

/// An item of the same list in which no fault was found so far.
fn another_item(body: &Value, pointer: &str, found: &[Undecodable]) -> Option<Value> {
    let (above, _) = pointer.rsplit_once('/')?;
    let items = body.pointer(above)?.as_array()?.iter().enumerate();
    let is_sound = |place: usize| found.iter().all(|fault| fault.pointer != format!("{above}/{place}"));
    items.into_iter().find(|(place, _)| is_sound(*place)).map(|(_, item)| item.clone())
}

/// Replaces the innermost part around a place that can be replaced. Whether anything changed.
fn mended_above(body: &mut Value, like: &Value, pointer: &str) -> bool {
    let mut around = pointer;
    while let Some((above, _)) = around.rsplit_once('/') {
        if above.is_empty() {
            return false;
        }
        let stand_in = like.pointer(&of_first_items(above)).cloned();
        if body.pointer(above) != stand_in.as_ref() && replaced(body, above, stand_in) {
            return true;
        }
        around = above;
    }
    false
}

/// Puts a value where a pointer leads, or takes out what is there. Whether anything changed.
fn replaced(body: &mut Value, pointer: &str, value: Option<Value>) -> bool {
    let Some((above, last)) = pointer.rsplit_once('/') else { return false };
    let name = last.replace("~1", "/").replace("~0", "~");
    match (body.pointer_mut(above), value) {
        (Some(Value::Object(members)), Some(value)) => {
            members.insert(name, value);
            true
        }
        (Some(Value::Object(members)), None) => members.remove(&name).is_some(),
        (Some(Value::Array(items)), Some(value)) => {
            let item = name.parse().ok().and_then(|index: usize| items.get_mut(index));
            item.map(|item| *item = value).is_some()
        }
        _ => false,
    }
}

/// The same place in lists of one: what stands first there stands for every item.
fn of_first_items(pointer: &str) -> String {
    let part = |part: &str| if part.bytes().all(|b| b.is_ascii_digit()) { "0".to_owned() } else { part.to_owned() };
    let parts: Vec<String> =
        pointer.split('/').map(|text| if text.is_empty() { String::new() } else { part(text) }).collect();
    parts.join("/")
}

/// Presents (name, data) to serde as an externally tagged enum.
struct Called<'a, D> {
    name: &'a str,
    data: D,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Called<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(de::Error::custom("only an enum has names"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> EnumAccess<'de> for Called<'_, D> {
    type Error = D::Error;
    type Variant = Data<D>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Data<D>), D::Error> {
        let name: de::value::StrDeserializer<'_, D::Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Data(self.data)))
    }
}

struct Data<D>(D);

impl<'de, D: Deserializer<'de>> VariantAccess<'de> for Data<D> {
    type Error = D::Error;

    fn unit_variant(self) -> Result<(), D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        Nothing::deserialize(self.0).map(|Nothing {}| ())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, D::Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, D::Error> {
        Err(de::Error::custom("a command or event is an object"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

/// The shapes of both, those of the first by preference.
#[derive(Clone, Debug, PartialEq)]
pub enum Either<A, B> {
    /// One of the first.
    Common(A),
    /// One of the second.
    Own(B),
}

impl<A: Named, B: Named> Named for Either<A, B> {
    fn decode(name: &str, data: &[u8]) -> Result<Self, Undecodable> {
        match A::decode(name, data) {
            Err(error) if error.code == "unknown_name" => B::decode(name, data).map(Either::Own),
            decoded => decoded.map(Either::Common),
        }
    }

    fn from_value(name: &str, data: Value) -> Result<Self, Undecodable> {
        match A::from_value(name, data.clone()) {
            Err(error) if error.code == "unknown_name" => B::from_value(name, data).map(Either::Own),
            decoded => decoded.map(Either::Common),
        }
    }

    fn encode(&self) -> (String, Vec<u8>) {
        match self {
            Either::Common(shape) => shape.encode(),
            Either::Own(shape) => shape.encode(),
        }
    }

    fn variants(generator: &mut SchemaGenerator) -> Vec<Variant> {
        let mut variants = A::variants(generator);
        variants.extend(B::variants(generator));
        variants
    }
}

/// No shapes at all: for kinds that add nothing of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Never(PhantomData<()>, std::convert::Infallible);

impl Named for Never {
    fn decode(name: &str, _: &[u8]) -> Result<Self, Undecodable> {
        Self::from_value(name, Value::Null)
    }

    fn from_value(name: &str, _: Value) -> Result<Self, Undecodable> {
        Err(located(".", &format!("unknown variant `{name}`")))
    }

    fn encode(&self) -> (String, Vec<u8>) {
        match self.1 {}
    }

    fn variants(_: &mut SchemaGenerator) -> Vec<Variant> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Sample {
        /// Says something.
        Say {
            text: String,
            times: Option<u8>,
        },
        Stop,
    }

    #[test]
    fn names_and_data_go_out_and_come_back() {
        for sample in [Sample::Say { text: "a\"}b".into(), times: Some(2) }, Sample::Stop] {
            let (name, data) = sample.encode();
            assert_eq!(Sample::decode(&name, &data), Ok(sample));
        }
        assert_eq!(Sample::Stop.encode(), ("stop".into(), b"{}".to_vec()));
    }

    #[test]
    fn errors_point_at_the_place() {
        let error = |name: &str, data: &str| Sample::from_value(name, serde_json::from_str(data).unwrap()).unwrap_err();
        let found = error("say", r#"{"text":"a","time":2}"#);
        assert_eq!((found.pointer.as_str(), found.code), ("/time", "unknown_field"));
        let found = error("say", "{}");
        assert_eq!((found.pointer.as_str(), found.code), ("/text", "required"));
        let found = error("say", r#"{"text":"a","times":"x"}"#);
        assert_eq!((found.pointer.as_str(), found.code), ("/times", "invalid"));
        assert_eq!(error("shout", "{}").code, "unknown_name");
        let found = error("stop", r#"{"now":true}"#);
        assert_eq!((found.pointer.as_str(), found.code), ("/now", "unknown_field"));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Basket {
        owner: String,
        paid: bool,
        #[serde(default)]
        note: Option<String>,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
        number: u8,
    }

    #[test]
    fn every_fault_of_a_body_is_found_and_the_rest_decodes() {
        use serde_json::json;
        let decode = read::<Basket>;
        let like = json!({ "owner": "x", "paid": true, "items": [{ "name": "y", "number": 1 }] });
        let body = json!({
            "colour": 1, "note": 7, "paid": "no", "size": 2,
            "items": [{ "name": 3, "number": 300 }, { "name": "b", "number": 2 }, { "number": 4, "more": 5 }],
        });
        let (found, rest) = faults(&body, &like, decode);
        let mut places: Vec<_> = found.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                ("/colour", "unknown_field"),
                ("/items/0/name", "invalid"),
                ("/items/0/number", "invalid"),
                ("/items/2/more", "unknown_field"),
                ("/items/2/name", "required"),
                ("/note", "invalid"),
                ("/owner", "required"),
                ("/paid", "invalid"),
                ("/size", "unknown_field"),
            ]
        );
        let rest = rest.unwrap();
        assert_eq!((rest.owner.as_str(), rest.note), ("x", None));
        assert_eq!(rest.items[1], Item { name: "b".into(), number: 2 });
        assert_eq!(faults(&like, &like, decode).0, []);
        assert_eq!(faults(&json!({}), &json!({}), decode).0.len(), 1, "nothing stands in for what is missing");
    }

    #[test]
    fn variants_are_listed_with_their_schema() {
        let mut variants = Sample::variants(&mut SchemaGenerator::default());
        variants.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["say", "stop"]);
        assert_eq!(variants[0].description, "Says something.");
    }
}
