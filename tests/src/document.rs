//! Holds every answer that passes through a client against the OpenAPI document: its route, its status, its code, its body.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::Reply;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(gateway::openapi::document()));

/// Panics when the document does not say that `method path` may be answered so.
pub(crate) fn hold(method: &Method, path: &str, reply: &Reply) {
    if let Err(lie) = DOCUMENT.hold(method, path, reply) {
        panic!("{method} {path} answers {}, and the document lies: {lie}\n{}", reply.status, reply.text);
    }
}

struct Document {
    whole: Value,
    /// Every path with its segments, those with most literal segments first.
    paths: Vec<(Vec<String>, String)>,
    /// Validators by where their schema stands.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn new(mut whole: Value) -> Document {
        discriminate(&mut whole);
        let paths = whole["paths"].as_object().into_iter().flatten().map(|(path, _)| path.clone());
        let mut paths: Vec<_> = paths.map(|path| (path.split('/').map(ToOwned::to_owned).collect(), path)).collect();
        paths.sort_by_key(|(segments, _): &(Vec<String>, String)| {
            segments.iter().filter(|segment| segment.starts_with('{')).count()
        });
        Document { whole, paths, validators: Mutex::default() }
    }

    fn hold(&self, method: &Method, path: &str, reply: &Reply) -> Result<(), String> {
        let name = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
        let Some((place, operation)) = self.operation(&name, path) else {
            let code = reply.json()["code"].clone();
            let nowhere = ["route_unknown", "method_not_allowed", "command_unknown"].iter().any(|known| code == *known);
            return if nowhere || reply.status == 401 { Ok(()) } else { Err("there is no such operation".into()) };
        };
        let status = reply.status.as_str();
        let response = self.follow(&operation["responses"][status]);
        if !response.is_object() {
            return Err("this status is not described".into());
        }
        let empty = reply.text.is_empty() || method == Method::HEAD;
        for header in response["headers"].as_object().into_iter().flatten().map(|(header, _)| header.as_str()) {
            // Limits are off in most tests; the others depend on the request.
            let sometimes = header.to_lowercase().contains("ratelimit")
                || ["Idempotency-Replayed", "Retry-After", "Location"].contains(&header);
            if !sometimes && !reply.headers.contains_key(header) {
                return Err(format!("the header {header} is missing"));
            }
        }
        let Some(content) = response["content"].as_object() else {
            return if empty { Ok(()) } else { Err("no body is described".into()) };
        };
        let media_type = reply.header("content-type").split(';').next().unwrap_or_default();
        let Some((described, content)) = content.get_key_value(media_type).or(content.get_key_value("*/*")) else {
            return Err(format!("the media type {media_type} is not described"));
        };
        if empty || !media_type.ends_with("json") || described == "*/*" {
            return Ok(());
        }
        let key = match operation["responses"][status]["$ref"].as_str() {
            Some(reference) => format!("{reference} {media_type}"),
            None => format!("{place} {status} {media_type}"),
        };
        let validator = self.validator(key, &content["schema"]);
        let body = reply.json();
        let faults: Vec<_> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    /// The operation that answers, and where it stands. Commands that create and edit are also answered by their names.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == segments.len()
                && template.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
        };
        for (_, path) in self.paths.iter().filter(|(template, _)| fits(template)) {
            if let Some(operation) = self.whole["paths"][path].get(method) {
                return Some((format!("{method} {path}"), operation));
            }
        }
        let ["", "v1", collection, _, command] = segments.as_slice() else { return None };
        let kind = domain::catalogue::kinds().find(|kind| kind.plural == *collection)?;
        let method = match *command {
            "edit" => "patch",
            name if name == kind.create => "put",
            _ => return None,
        };
        let path = format!("/v1/{collection}/{{id}}");
        self.whole["paths"][&path].get(method).map(|operation| (format!("{method} {path}"), operation))
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(path) => self.whole.pointer(&path[1..]).unwrap_or(&Value::Null),
            None => value,
        }
    }

    fn validator(&self, key: String, schema: &Value) -> Arc<Validator> {
        if let Some(known) = self.validators.lock().expect("nobody panics with it").get(&key) {
            return known.clone();
        }
        let made = Arc::new(validator(&self.whole, schema));
        self.validators.lock().expect("nobody panics with it").entry(key).or_insert(made).clone()
    }
}

/// A validator of one schema of a document, with whatever it refers to.
pub fn validator(document: &Value, schema: &Value) -> Validator {
    let (mut needed, mut open) = (Map::new(), vec![schema]);
    while let Some(schema) = open.pop() {
        let mut found = BTreeSet::new();
        references(schema, &mut found);
        for path in found {
            let name = path.strip_prefix("#/components/schemas/").unwrap_or_default();
            if !needed.contains_key(name) {
                needed.insert(name.to_owned(), document["components"]["schemas"][name].clone());
                open.push(&document["components"]["schemas"][name]);
            }
        }
    }
    let mut whole = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema] });
    whole["components"] = json!({ "schemas": needed });
    jsonschema::validator_for(&whole).expect("schemas of the document are schemas")
}

/// Every reference in a part of a document.
pub fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Where a type tells which of many schemas holds, only that one is tried: an event is of one type among hundreds.
fn discriminate(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let mapping = |schema: &Value| schema["discriminator"]["mapping"].as_object().cloned();
    let all: Map<String, Value> = schemas.values().filter_map(mapping).flatten().collect();
    for (name, schema) in schemas.iter_mut() {
        let Some(choices) = mapping(schema).or_else(|| (name == "Event").then(|| all.clone())) else { continue };
        let cases: Vec<_> = choices
            .iter()
            .map(|(kind, reference)| {
                let is = json!({ "properties": { "type": { "const": kind } } });
                json!({ "if": is, "then": { "$ref": reference } })
            })
            .collect();
        let names: Vec<_> = choices.keys().collect();
        *schema = json!({ "required": ["type"], "properties": { "type": { "enum": names } }, "allOf": cases });
    }
}
