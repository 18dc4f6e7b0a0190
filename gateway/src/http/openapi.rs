//! The API's description (OpenAPI 3.1), made from the code: whatever is mounted is in it, and a test sees to that.

#![allow(clippy::needless_pass_by_value, reason = "JSON is made where it is handed over")]

mod commands;
mod conversations;
mod events;
mod external;
mod feeds;
mod holdings;
mod imports;
mod lists;
mod operation;
mod pages;
pub mod problems;
mod rules;
mod schemas;
mod service;
mod shared;
mod tenant;
#[cfg(test)]
mod tests;
mod tickets;

use std::collections::BTreeMap;

use domain::{Aggregate, catalogue};
use serde_json::{Map, Value, json};

use self::{operation::problem_with, problems::Code, schemas::Schemas};
use crate::http::kernel::routes::Routes;

/// What every client should know first.
const INTRODUCTION: &str = "\
Deskfold appends what happens and never overwrites: every change is a command, every command answers with the events it \
wrote, and every record can be read as it was at any time.

**Commands.** `POST /v1/tickets` creates, `POST /v1/tickets/{id}/assign` tells what is meant, `PATCH` edits plain \
attributes by JSON merge patch. Every command of a record is also at `POST /v1/{collection}/{id}/{command}`, those that \
create and edit included. The answer names the events written; a command that changes nothing is no error and writes \
nothing. `?dry_run=true` tells what would be written.

**Retries.** Send an `Idempotency-Key` with every command, and repeat it as it was when no answer came.

**Reading your own writes.** A command answers with `Deskfold-Position`; send it back as `Deskfold-Min-Position` and the \
query waits until its read model has come that far.

**Lists.** `?filter=` takes a tree of conditions as JSON: `{\"all\": [...]}`, `{\"any\": [...]}`, `{\"not\": {...}}`, \
`{\"field\": \"priority\", \"op\": \"gte\", \"value\": 2}`; custom fields are `custom.<key>`. `?sort=-priority,opened_at` \
sorts, `next` leads to the next page.

**Problems** are `application/problem+json` with a stable `code`; `errors` points at the fields at fault.

**Shapes.** Ids are ULIDs, times RFC 3339 in UTC, money is `{\"amount\": \"12.50\", \"currency\": \"EUR\"}`. An unknown field \
or parameter is an error that names it.";

/// A document in the making.
struct Document {
    schemas: Schemas,
    paths: Map<String, Value>,
    responses: Map<String, Value>,
    /// The events of each kind.
    events: Vec<Value>,
    /// What is said of a tag; tags nothing is said of are listed all the same.
    tags: BTreeMap<String, String>,
}

impl catalogue::Visitor for Document {
    fn visit<A: Aggregate>(&mut self) {
        let (commands, events) = self.schemas.kind::<A>();
        let happens: Vec<_> = events.iter().map(|event| event.name.replace('_', " ")).collect();
        self.tags.insert(A::PLURAL.to_owned(), format!("What happens to one: {}.", happens.join(", ")));
        commands::describe::<A>(self, commands);
        events::of_kind::<A>(self, &events);
    }
}

impl Document {
    fn put(&mut self, method: &str, path: &str, operation: Value) {
        if let Some(tag) = operation["tags"][0].as_str() {
            self.tags.entry(tag.to_owned()).or_default();
        }
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        debug_assert!(item.get(method).is_none(), "{method} {path} is described twice");
        item[method] = operation;
    }

    /// The problems of some layers, and those any request may meet, by status: a reference, and the schema. A response is
    /// called by the last layer that adds to it.
    fn problems(&mut self, layers: Vec<(String, Vec<Code>)>, keyed: bool) -> BTreeMap<u16, (Value, Value)> {
        let mut all = vec![("Open".to_owned(), Code::of(&[problems::ANY]))];
        if keyed {
            all.push(("Keyed".to_owned(), Code::of(&[problems::KEYED])));
        }
        all.extend(layers);
        let mut by_status: BTreeMap<u16, (String, Vec<Code>)> = BTreeMap::new();
        for (layer, codes) in all {
            for code in codes {
                let (name, known) = by_status.entry(code.status).or_default();
                if !known.iter().any(|known| known.code == code.code) {
                    name.clone_from(&layer);
                    known.push(code);
                }
            }
        }
        let mut references = BTreeMap::new();
        for (status, (layer, mut codes)) in by_status {
            codes.sort_by(|a, b| a.code.cmp(&b.code));
            let name = format!("{layer}{status}");
            let schema = problem_with(&codes);
            let response = problem_response(status, &codes, &schema);
            let before = self.responses.insert(name.clone(), response);
            debug_assert!(
                before.is_none_or(|before| before == self.responses[&name]),
                "two responses are called {name}"
            );
            references.insert(status, (json!({ "$ref": format!("#/components/responses/{name}") }), schema));
        }
        references
    }
}

fn problem_response(status: u16, codes: &[Code], schema: &Value) -> Value {
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.code, code.meaning)).collect();
    let title = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let example = codes.first().map(|code| {
        json!({
            "type": format!("{}{}", crate::problem::PROBLEMS, code.code),
            "title": title,
            "status": status,
            "code": code.code,
            "detail": code.meaning,
        })
    });
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
    let retry = matches!(status, 429 | 503 | 507) || codes.iter().any(|code| code.code == "idempotency_key_in_flight");
    for (name, _) in [("Retry-After", retry), ("WWW-Authenticate", status == 401)].iter().filter(|(_, sent)| *sent) {
        headers[*name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
    json!({
        "description": format!("{}.\n\n{}", title.unwrap_or("Problem"), lines.join("\n")),
        "headers": headers,
        "content": { "application/problem+json": { "schema": schema, "example": example } },
    })
}

/// The whole document.
pub fn document() -> Value {
    let mut document = Document {
        schemas: Schemas::new(),
        paths: Map::new(),
        responses: Map::new(),
        events: Vec::new(),
        tags: BTreeMap::new(),
    };
    shared::schemas(&mut document);
    let parameters = shared::parameters(&mut document);
    catalogue::visit_all(&mut document);
    events::log(&mut document);
    projections::visit_lists(&mut document);
    service::describe(&mut document);
    external::record::<domain::crm::contact::Contact>(&mut document);
    external::record::<domain::crm::company::Company>(&mut document);
    external::record::<domain::desk::product::Product>(&mut document);
    external::entitlements(&mut document);
    imports::describe(&mut document);
    tickets::describe(&mut document);
    conversations::describe(&mut document);
    feeds::describe(&mut document);
    rules::describe(&mut document);
    holdings::describe(&mut document);
    let tags: Vec<_> = document.tags.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Deskfold",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Help desk, chat inbox, CRM and task automation on an event log.",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "tags": tags,
        "paths": document.paths,
        "components": {
            "schemas": document.schemas.into_components(),
            "responses": document.responses,
            "parameters": parameters,
            "headers": shared::headers(),
            "securitySchemes": shared::security(),
        },
    })
}

/// `GET /openapi.json`.
pub(super) fn routes() -> Routes {
    pages::document()
}

/// `GET /docs` with what it needs, and `GET /`, which leads there.
pub(super) fn pages() -> Routes {
    pages::pages()
}
