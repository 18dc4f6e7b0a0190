//! One operation of the document: a method at a path, with everything that may be sent and answered.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Document,
    problems::{self, Code},
    schemas::refer,
};

/// An operation as it is put together.
pub(super) struct Operation {
    id: String,
    tag: String,
    description: String,
    permission: Option<String>,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    /// Its problems, layer by layer from the common to the particular, each layer with its name.
    problems: Vec<(String, Vec<Code>)>,
    keyed: bool,
    /// Whether a visitor's token opens it.
    visited: bool,
}

impl Operation {
    /// An operation under a stable id that needs a key.
    pub(super) fn new(id: impl Into<String>, tag: &str, description: impl Into<String>) -> Operation {
        Operation {
            id: id.into(),
            tag: tag.to_owned(),
            description: description.into(),
            permission: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
            keyed: true,
            visited: false,
        }
    }

    /// Answered without a key.
    pub(super) fn open(self) -> Operation {
        Operation { keyed: false, ..self }
    }

    /// Answered to whoever holds a visitor's token.
    pub(super) fn visited(self) -> Operation {
        Operation { keyed: false, visited: true, ..self }
    }

    /// What the key must be permitted.
    pub(super) fn permission(self, permission: impl Into<String>) -> Operation {
        Operation { permission: Some(permission.into()), ..self }
    }

    /// One more parameter.
    pub(super) fn parameter(mut self, parameter: Value) -> Operation {
        self.parameters.push(parameter);
        self
    }

    /// More parameters that are described once for all.
    pub(super) fn shared(mut self, names: &[&str]) -> Operation {
        self.parameters.extend(names.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })));
        self
    }

    /// What every write takes besides its body, and the problems that go with it.
    pub(super) fn write(self) -> Operation {
        self.problems("Command", Code::of(&[problems::PARAMETERS, problems::BODY, problems::COMMAND])).shared(&[
            "dry_run",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match-Any",
            "Deskfold-Occurred-At",
        ])
    }

    /// Query parameters: name, schema, whether required.
    pub(super) fn query(mut self, properties: Vec<(String, Value, bool)>) -> Operation {
        self.parameters
            .extend(properties.into_iter().map(|(name, schema, required)| in_query(&name, schema, required)));
        self
    }

    /// What it takes as JSON.
    pub(super) fn body(self, schema: Value, required: bool, examples: Map<String, Value>) -> Operation {
        self.body_as(&["application/json"], schema, required, examples)
    }

    /// What it takes, as any of these media types.
    pub(super) fn body_as(
        mut self,
        media_types: &[&str],
        schema: Value,
        required: bool,
        examples: Map<String, Value>,
    ) -> Operation {
        let mut content = json!({ "schema": schema });
        if !examples.is_empty() {
            content["examples"] = examples.into();
        }
        let content: Map<_, _> = media_types.iter().map(|name| ((*name).to_owned(), content.clone())).collect();
        self.body = Some(json!({ "required": required, "content": content }));
        self
    }

    /// An answer in JSON, with these headers.
    pub(super) fn answer(self, status: u16, description: &str, schema: Value, headers: &[&str]) -> Operation {
        self.answer_as(status, description, json!({ "application/json": { "schema": schema } }), headers)
    }

    /// An answer with this content by media type.
    pub(super) fn answer_as(mut self, status: u16, description: &str, content: Value, headers: &[&str]) -> Operation {
        let mut answer = json!({ "description": description });
        if content.as_object().is_some_and(|content| !content.is_empty()) {
            answer["content"] = content;
        }
        let limits =
            ["RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
        let limits = limits.iter().filter(|_| self.keyed);
        let headers = headers.iter().chain(limits).chain(&["X-Request-Id"]);
        let refer = |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
        answer["headers"] = headers.map(refer).collect::<Map<_, _>>().into();
        self.answers.insert(status, answer);
        self
    }

    /// More problems that it may answer with. Whoever names the same layers has the same problems below and in them.
    pub(super) fn problems(mut self, layer: impl Into<String>, codes: Vec<Code>) -> Operation {
        self.problems.push((layer.into(), codes));
        self
    }

    /// Puts it into the document.
    pub(super) fn at(self, document: &mut Document, method: &str, path: &str) {
        let paragraph = self.description.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let summary = paragraph.split(". ").next().and_then(|sentence| sentence.split([':', ';']).next());
        let summary = summary.unwrap_or_default().trim_end_matches('.');
        let mut description = self.description.clone();
        if let Some(permission) = &self.permission {
            description.push_str(&format!("\n\nPermission: `{permission}`."));
        }
        let mut responses: Map<String, Value> =
            self.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        for (status, (reference, codes)) in document.problems(self.problems, self.keyed) {
            // An answer with that status may still be a problem.
            match responses.get_mut(&status.to_string()) {
                Some(answer) => {
                    answer["content"]["application/problem+json"] = json!({ "schema": refer("Problem") });
                    answer[CODES] = codes;
                }
                None => drop(responses.insert(status.to_string(), reference)),
            }
        }
        responses.insert("default".to_owned(), document.anywhere(self.keyed));
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": summary,
            "description": description,
            "responses": responses,
        });
        if !self.parameters.is_empty() {
            let (mut parameters, others): (Vec<_>, Vec<_>) =
                self.parameters.into_iter().partition(|parameter| parameter["in"] == "path");
            parameters.extend(others);
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if let Some(permission) = self.permission {
            operation["x-permission"] = permission.into();
        }
        if !self.keyed {
            operation["security"] = if self.visited { json!([{ "visitor": [] }]) } else { json!([]) };
        }
        document.put(method, path, operation);
    }
}

/// A parameter in the address after the question mark.
pub(super) fn in_query(name: &str, mut schema: Value, required: bool) -> Value {
    let mut description = json!("");
    if let Value::Object(schema) = &mut schema {
        description = schema.remove("description").unwrap_or(description);
        // A parameter is there or not; there is no null in an address.
        schema.retain(|name, value| !(name == "default" && value.is_null()));
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_mut_slice() {
                let only = only.take();
                schema.insert("type".to_owned(), only);
            }
        }
    }
    json!({ "name": name, "in": "query", "description": description, "required": required, "schema": schema })
}

/// A parameter in the path.
pub(super) fn in_path(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "description": description, "required": true, "schema": schema })
}

/// Says in an answer with which codes problems come; in that which stands for several statuses, by status. They are many and
/// of every operation's own: as a schema each set would be a type of its own in generated clients.
pub(super) const CODES: &str = "x-codes";
