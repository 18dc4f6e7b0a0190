//! The API's description (OpenAPI 3.1), made from the code: whatever is mounted is in it, and a test sees to that.

#![allow(clippy::needless_pass_by_value, reason = "JSON is made where it is handed over")]

mod archive;
mod bulk;
mod callers;
mod channels;
mod chatbots;
mod commands;
mod conversations;
mod dashboards;
mod emails;
mod events;
mod exports;
mod external;
mod feeds;
mod folding;
mod holdings;
mod imports;
mod intake;
mod lists;
mod notifications;
mod operation;
mod pages;
pub mod problems;
mod reports;
mod rules;
mod schemas;
mod search;
mod service;
mod shared;
mod sign_in;
pub(in crate::http) mod tags;
mod tenant;
#[cfg(test)]
mod tests;
mod tickets;
mod uploads;
mod views;
mod visitors;
mod walls;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use domain::{Aggregate, catalogue};
use serde_json::{Map, Value, json};

use self::{
    operation::CODES,
    problems::Code,
    schemas::{Schemas, refer},
    tags::Tags,
};
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

**Problems** are `application/problem+json` with a stable `code`; `errors` points at the fields at fault. An answer lists its \
codes, for programs in `x-codes`; `default` has those that any request may meet, by status.

**Shapes.** Ids are ULIDs, times RFC 3339 in UTC, money is `{\"amount\": \"12.50\", \"currency\": \"EUR\"}`. An unknown field \
or parameter is an error that names it.";

/// A document in the making.
struct Document {
    schemas: Schemas,
    paths: Map<String, Value>,
    responses: Map<String, Value>,
    /// The events of each kind.
    events: Vec<(&'static str, Value)>,
    /// The records that can be read alone, where links lead on.
    linked: BTreeSet<String>,
    tags: Tags,
}

impl catalogue::Visitor for Document {
    fn visit<A: Aggregate>(&mut self) {
        let (commands, events) = self.schemas.kind::<A>();
        let happens: Vec<_> = events.iter().map(|event| event.name.replace('_', " ")).collect();
        self.tags.kind::<A>(format!("What happens to one: {}.", happens.join(", ")));
        commands::describe::<A>(self, commands);
        events::of_kind::<A>(self, &events);
        walls::of_kind::<A>(self);
    }
}

impl Document {
    fn put(&mut self, method: &str, path: &str, operation: Value) {
        if let Some(tag) = operation["tags"][0].as_str() {
            self.tags.used(tag);
        }
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        debug_assert!(item.get(method).is_none(), "{method} {path} is described twice");
        item[method] = operation;
    }

    /// The problems of some layers by status: a reference, and the codes. What any request may meet is not among them but where
    /// a layer adds to it: see [`Self::anywhere`]. A response is called by the last layer that adds to it.
    fn problems(&mut self, layers: Vec<(String, Vec<Code>)>, keyed: bool) -> BTreeMap<u16, (Value, Value)> {
        let mut by_status: BTreeMap<u16, (Option<String>, Vec<Code>)> = BTreeMap::new();
        for code in anywhere(keyed) {
            by_status.entry(code.status).or_default().1.push(code);
        }
        for (layer, codes) in layers {
            for code in codes {
                let (name, known) = by_status.entry(code.status).or_default();
                if !known.iter().any(|known| known.code == code.code) {
                    *name = Some(layer.clone());
                    known.push(code);
                }
            }
        }
        let mut references = BTreeMap::new();
        for (status, (layer, mut codes)) in by_status {
            let Some(layer) = layer else { continue };
            codes.sort_by(|a, b| a.code.cmp(&b.code));
            let response = problem_response(status, &codes);
            let codes = response[CODES].clone();
            references.insert(status, (self.respond(format!("{layer}{status}"), response), codes));
        }
        references
    }

    /// The problems that any request may meet, those that only a request with a key meets included.
    fn anywhere(&mut self, keyed: bool) -> Value {
        let mut codes = anywhere(keyed);
        codes.sort_by(|a, b| (a.status, &a.code).cmp(&(b.status, &b.code)));
        let mut by_status = json!({});
        for code in &codes {
            match by_status[code.status.to_string()].as_array_mut() {
                Some(known) => known.push(json!(code.code)),
                None => by_status[code.status.to_string()] = json!([code.code]),
            }
        }
        let lines: Vec<_> =
            codes.iter().map(|code| format!("- {} `{}`: {}", code.status, code.code, code.meaning)).collect();
        let header = |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
        let headers = ["X-Request-Id", "Retry-After"].into_iter().chain(keyed.then_some("WWW-Authenticate"));
        let response = json!({
            "description": format!("What any request may be answered with.\n\n{}", lines.join("\n")),
            "headers": headers.map(header).collect::<Map<_, _>>(),
            "content": { "application/problem+json": { "schema": refer("Problem") } },
            CODES: by_status,
        });
        self.respond(if keyed { "AnyRequest" } else { "OpenRequest" }.to_owned(), response)
    }

    /// A response under a name of its own.
    fn respond(&mut self, name: String, response: Value) -> Value {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        let before = self.responses.insert(name.clone(), response);
        debug_assert!(before.is_none_or(|before| before == self.responses[&name]), "two responses are called {name}");
        reference
    }
}

/// The codes that any request may meet.
fn anywhere(keyed: bool) -> Vec<Code> {
    Code::of(if keyed { &[problems::ANY, problems::KEYED] } else { &[problems::ANY] })
}

fn problem_response(status: u16, codes: &[Code]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| &code.code).collect();
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.code, code.meaning)).collect();
    let title = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
    let retry = matches!(status, 429 | 503 | 507) || codes.iter().any(|code| code.code == "idempotency_key_in_flight");
    for (name, _) in [("Retry-After", retry), ("WWW-Authenticate", status == 401)].iter().filter(|(_, sent)| *sent) {
        headers[*name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
    json!({
        "description": format!("{}.\n\n{}", title.unwrap_or("Problem"), lines.join("\n")),
        "headers": headers,
        "content": { "application/problem+json": { "schema": refer("Problem") } },
        CODES: names,
    })
}

/// The whole document.
pub fn document() -> Value {
    let mut document = Document {
        schemas: Schemas::new(),
        paths: Map::new(),
        responses: Map::new(),
        events: Vec::new(),
        linked: BTreeSet::new(),
        tags: Tags::default(),
    };
    shared::schemas(&mut document);
    lists::shared(&mut document);
    exports::shared(&mut document);
    let parameters = shared::parameters(&mut document);
    catalogue::visit_all(&mut document);
    events::log(&mut document);
    lists::describe(&mut document);
    exports::describe(&mut document);
    service::describe(&mut document);
    sign_in::describe(&mut document);
    external::record::<domain::crm::contact::Contact>(&mut document);
    external::record::<domain::crm::company::Company>(&mut document);
    external::record::<domain::desk::product::Product>(&mut document);
    external::entitlements(&mut document);
    imports::describe(&mut document);
    intake::describe(&mut document);
    bulk::describe(&mut document);
    archive::describe(&mut document);
    uploads::describe(&mut document);
    tickets::describe(&mut document);
    channels::describe(&mut document);
    chatbots::describe(&mut document);
    conversations::describe(&mut document);
    emails::describe(&mut document);
    conversations::inbox(&mut document);
    callers::describe(&mut document);
    feeds::describe(&mut document);
    walls::mine(&mut document);
    rules::describe(&mut document);
    dashboards::describe(&mut document);
    reports::describe(&mut document);
    search::describe(&mut document);
    holdings::describe(&mut document);
    notifications::describe(&mut document);
    views::describe(&mut document);
    visitors::describe(&mut document);
    webhooks::describe(&mut document);
    let mut schemas = document.schemas.into_components();
    for name in &document.linked {
        schemas[name]["properties"]["links"] = json!({ "$ref": refer("Links")["$ref"], "description": LINKS });
    }
    let mut whole = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Deskfold",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Help desk, chat inbox, CRM and task automation on an event log.",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }, { "session": [] }],
        "tags": document.tags.list(),
        "x-tagGroups": document.tags.groups(),
        "paths": document.paths,
        "webhooks": webhooks::told(),
        "components": {
            "schemas": schemas,
            "responses": document.responses,
            "parameters": parameters,
            "headers": shared::headers(),
            "securitySchemes": shared::security(),
        },
    });
    folding::fold(&mut whole);
    whole
}

const LINKS: &str = "Where to go from here, when the record is read alone: `history` is its events, `feed` what happened to it \
    and to what belongs to it.";

/// `GET /openapi.json`.
pub(super) fn routes() -> Routes {
    pages::document()
}

/// `GET /docs` with what it needs.
pub(super) fn pages() -> Routes {
    pages::pages()
}
