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
    fn new(whole: Value) -> Document {
        let paths = whole["paths"].as_object().into_iter().flatten().map(|(path, _)| path.clone());
        let mut paths: Vec<_> = paths.map(|path| (path.split('/').map(ToOwned::to_owned).collect(), path)).collect();
        paths.sort_by_key(|(segments, _): &(Vec<String>, String)| {
            segments.iter().filter(|segment| segment.starts_with('{')).count()
        });
        Document { whole, paths, validators: Mutex::default() }
    }

    fn hold(&self, method: &Method, path: &str, reply: &Reply) -> Result<(), String> {
        let name = method.as_str().to_lowercase();
        // What is not described for itself is answered as it would be with a body.
        let found =
            self.operation(&name, path).or_else(|| self.operation("get", path).filter(|_| *method == Method::HEAD));
        let Some((place, operation)) = found else {
            // Pages and what they load are no part of the API.
            if !path.starts_with("/v1/") {
                return Ok(());
            }
            let code = reply.json()["code"].clone();
            let nowhere = ["route_unknown", "method_not_allowed", "command_unknown"].iter().any(|known| code == *known);
            return if nowhere || reply.status == 401 { Ok(()) } else { Err("there is no such operation".into()) };
        };
        let (status, response) = self.response(operation, reply.status.as_str());
        let codes = match response["x-codes"].as_object() {
            Some(by_status) => by_status.get(reply.status.as_str()),
            None => response.get("x-codes"),
        };
        let problem = reply.header("content-type").starts_with("application/problem+json");
        // So is the page that a browser is shown again whose plain form was refused.
        if reply.header("content-type").starts_with("text/html") && reply.status.is_client_error() {
            return Ok(());
        }
        if !response.is_object() || status == "default" && codes.is_none() {
            return Err("this status is not described".into());
        }
        if problem && method != Method::HEAD {
            let code = reply.json()["code"].clone();
            let told = codes.and_then(Value::as_array).is_some_and(|codes| codes.contains(&code));
            if !told {
                return Err(format!("the code {code} is not described"));
            }
        }
        if reply.status == 401 && reply.header("www-authenticate").is_empty() {
            return Err("nothing says how to authenticate".into());
        }
        let empty = reply.text.is_empty() || method == Method::HEAD;
        for header in response["headers"].as_object().into_iter().flatten().map(|(header, _)| header.as_str()) {
            // Limits are off in most tests; the others depend on the request.
            let sometimes = header.to_lowercase().contains("ratelimit")
                || ["Idempotency-Replayed", "Retry-After", "Location", "WWW-Authenticate"].contains(&header);
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

    /// The answer that is described for a status, and under which name: its own, or that of all others.
    fn response<'a>(&'a self, operation: &'a Value, status: &'a str) -> (&'a str, &'a Value) {
        let responses = &operation["responses"];
        let name = if responses.get(status).is_some() { status } else { "default" };
        (name, follow(&self.whole, &responses[name]))
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

/// The parameters of an operation, those that it shares with others included.
pub fn parameters<'a>(document: &'a Value, operation: &'a Value) -> impl Iterator<Item = &'a Value> {
    operation["parameters"].as_array().into_iter().flatten().map(|parameter| follow(document, parameter))
}

/// What stands in a document where a value may only refer to it.
pub fn follow<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => document.pointer(&path[1..]).unwrap_or_else(|| panic!("{path} leads nowhere")),
        None => value,
    }
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
