//! Every command of the catalogue as an operation, with its body, its examples and its refusals.

use domain::{
    Aggregate, Id,
    kernel::named::{Named, Variant},
};
use serde_json::{Map, Value, json};

use super::{
    Document,
    operation::{Operation, in_path},
    problems::Code,
    schemas::{pascal, refer},
};

/// Adds the commands of a kind.
pub(super) fn describe<A: Aggregate>(document: &mut Document, commands: Vec<Variant>) {
    let refusals = Code::refusals::<A>();
    let examples = examples::<A>();
    for command in commands.into_iter().filter(|command| A::offers(&command.name)) {
        let required = document.schemas.resolve(command.schema.as_value())["required"].as_array();
        let required = required.is_some_and(|required| !required.is_empty());
        let name = format!("{}{}Command", pascal(A::KIND), pascal(&command.name));
        let body = document.schemas.add(&name, described(&command));
        let command = Described::<A> {
            name: command.name.clone(),
            description: match A::AHEAD.contains(&command.name.as_str()) {
                true => format!("{}\n\n{AHEAD}", command.description),
                false => command.description.clone(),
            },
            body,
            required,
            examples: examples.get(&command.name).and_then(Value::as_object).cloned().unwrap_or_default(),
            refusals: refusals.clone(),
            kind: std::marker::PhantomData,
        };
        command.put(document);
    }
}

/// What is said of commands whose record nobody reads yet.
const AHEAD: &str = "It is recorded and shown; nothing acts on it yet.";

struct Described<A> {
    name: String,
    description: String,
    body: Value,
    required: bool,
    examples: Map<String, Value>,
    refusals: Vec<Code>,
    kind: std::marker::PhantomData<A>,
}

impl<A: Aggregate> Described<A> {
    fn operation(&self, id: &str, description: &str) -> Operation {
        let operation = Operation::new(id, A::PLURAL, description)
            .permission(format!("{}.{}", A::KIND, self.name))
            .write()
            .shared(&["Deskfold-On-Behalf-Of"])
            .problems(pascal(A::KIND), self.refusals.clone());
        let done = "Done. `events` is empty when it was so already.";
        let headers = ["ETag", "Deskfold-Position", "Idempotency-Replayed"];
        operation.answer(200, done, refer("Accepted"), &headers)
    }

    fn put(&self, document: &mut Document) {
        let kind = A::KIND;
        let (collection, record) = (format!("/v1/{}", A::PLURAL), format!("/v1/{}/{{id}}", A::PLURAL));
        let own_id = format!("{kind}_{}", self.name);
        let id = id_of::<A>(document);
        if self.name == A::CREATE {
            let headers = ["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"];
            let create = |operation: Operation| {
                let operation = operation.answer(201, "Created, and where it is.", refer("Accepted"), &headers);
                operation.body(self.body.clone(), self.required, self.examples.clone())
            };
            create(self.operation(&own_id, &self.description)).at(document, "post", &collection);
            let description = format!("{} The client chooses the id.", self.description);
            let operation = self.operation(&format!("{own_id}_at"), &description).parameter(id);
            create(operation).at(document, "put", &record);
            if A::COPIES {
                let description = "Creates another one like it: attributes, tags and custom fields are copied, with the \
                     changes in the body (a merge patch of what it is created with); what is its own is not.";
                let body =
                    json!({ "type": "object", "description": "What is different in the copy; null leaves it out." });
                let body = document.schemas.add("CopyChanges", body);
                let id = id_of::<A>(document);
                self.operation(&format!("{kind}_copy"), description)
                    .parameter(id)
                    .answer(201, "Created, and where it is.", refer("Accepted"), &headers)
                    .body(body, false, like_it())
                    .at(document, "post", &format!("{record}/copy"));
            }
        } else if self.name == "edit" {
            let operation = self.operation(&own_id, &self.description).parameter(id);
            let media_types = ["application/merge-patch+json", "application/json"];
            operation
                .body_as(&media_types, self.body.clone(), self.required, self.examples.clone())
                .at(document, "patch", &record);
        } else {
            let operation = self.operation(&own_id, &self.description).parameter(id);
            operation.body(self.body.clone(), self.required, self.examples.clone()).at(
                document,
                "post",
                &format!("{record}/{}", self.name),
            );
        }
    }
}

/// The record that a path names.
pub(super) fn id_of<A: Aggregate>(document: &mut Document) -> Value {
    let kind = A::KIND.replace('_', " ");
    if A::id_of(Id::NIL, "ticket").is_some() {
        return in_path("id", "The kind of record, such as `ticket`, or the id.", json!({ "type": "string" }));
    }
    in_path("id", &format!("The {kind}."), document.schemas.of::<Id>(""))
}

/// The schema of a command or an event's data with its own description.
pub(super) fn described(variant: &Variant) -> Value {
    let mut schema = variant.schema.as_value().clone();
    if !variant.description.is_empty() {
        schema["description"] = json!(variant.description);
    }
    schema
}

/// Examples by command: each a map of OpenAPI examples.
fn examples<A: Aggregate>() -> Map<String, Value> {
    let mut examples = Map::new();
    for command in A::examples() {
        let (name, data) = command.encode();
        let Ok(mut value) = serde_json::from_slice::<Value>(&data) else { continue };
        // What is absent says the same as null, and reads better.
        if let Value::Object(members) = &mut value {
            members.retain(|_, member| !member.is_null());
        }
        let of_command = examples.entry(name).or_insert_with(|| json!({}));
        if let Value::Object(of_command) = of_command {
            of_command.insert(format!("example{}", of_command.len() + 1), json!({ "value": value }));
        }
    }
    examples
}

/// A copy that differs in nothing.
fn like_it() -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": {} }))])
}
