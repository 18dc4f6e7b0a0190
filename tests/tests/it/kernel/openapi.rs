//! The OpenAPI document is valid, complete, true of what the server answers, and to be looked at without the internet.

use std::{collections::BTreeSet, fs};

use deskfold_tests::{
    Client, Reply, Server,
    document::{follow, parameters, references, validator},
    root,
};
use domain::{Aggregate, catalogue};
use gateway::openapi;
use jsonschema::Validator;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::world::{everything, field, ticket};

fn official() -> Validator {
    let text = fs::read_to_string(root().join("tests/data/openapi/schema-3.1.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[track_caller]
fn assert_fits(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} does not fit: {}\n{value}", errors.join("\n"));
}

fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (method, path, operation))
        })
        .collect()
}

#[test]
fn the_document_is_valid_openapi_and_its_schemas_are_valid_schemas() {
    let document = openapi::document();
    assert_fits(&official(), &document, "the document");
    assert!(!official().is_valid(&json!({ "openapi": "3.1.0", "info": { "title": "x" }, "paths": {} })));
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    let document = openapi::document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 300);
    for path in &found {
        let pointer = path.strip_prefix('#').unwrap_or_else(|| panic!("{path} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{path} leads nowhere");
    }
    for section in ["responses", "parameters", "headers"] {
        for name in document["components"][section].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{section}/{name}")), "nothing refers to {section}/{name}");
        }
    }
}

fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect()
}

#[test]
fn every_command_and_every_event_is_described() {
    struct Check(Value, usize);
    impl catalogue::Visitor for Check {
        fn visit<A: Aggregate>(&mut self) {
            let document = &self.0;
            let kind = pascal(A::KIND);
            for command in A::commands(&mut schemars::SchemaGenerator::default()) {
                if !A::offers(&command.name) {
                    continue;
                }
                let (method, path) = match command.name.as_str() {
                    name if name == A::CREATE => ("post", format!("/v1/{}", A::PLURAL)),
                    "edit" => ("patch", format!("/v1/{}/{{id}}", A::PLURAL)),
                    name => ("post", format!("/v1/{}/{{id}}/{name}", A::PLURAL)),
                };
                let operation = &document["paths"][&path][method];
                assert_eq!(operation["x-permission"], format!("{}.{}", A::KIND, command.name), "{method} {path}");
                assert!(operation["requestBody"]["content"].is_object(), "{method} {path} has no body");
                for refusal in A::refusals() {
                    let told = operation["responses"].as_object().unwrap().values().any(|response| {
                        follow(document, response)["description"]
                            .as_str()
                            .unwrap()
                            .contains(&format!("`{}`", refusal.code))
                    });
                    assert!(told, "{method} {path} does not tell of {}", refusal.code);
                }
            }
            for event in A::events(&mut schemars::SchemaGenerator::default()) {
                let name = format!("{}.{}", A::KIND, event.name);
                let schema = &document["components"]["schemas"][format!("{kind}Event")];
                let types = schema["properties"]["type"]["enum"].as_array().unwrap();
                assert!(types.iter().any(|known| *known == name), "{name}");
                let cases = schema["dependentSchemas"]["type"]["allOf"].as_array().unwrap();
                let case = cases.iter().find(|case| case["if"]["properties"]["type"]["const"] == name);
                let data = &case.unwrap_or_else(|| panic!("{name}"))["then"]["properties"]["data"];
                let golden = root().join(format!("domain/golden/{}/{}.json", A::KIND, event.name));
                let mut golden: Value = serde_json::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
                // What no answer shows is not described.
                golden["data"].as_object_mut().unwrap().retain(|member, _| !A::SECRETS.contains(&member.as_str()));
                assert_fits(&validator(document, data), &golden["data"], &name);
                self.1 += 1;
            }
        }
    }
    let mut check = Check(openapi::document(), 0);
    catalogue::visit_all(&mut check);
    assert!(check.1 > 100, "events are checked");
}

#[test]
fn every_example_fits_its_schema() {
    let document = openapi::document();
    let mut count = 0;
    let mut check = |content: &Map<String, Value>, what: &str| {
        for content in content.values() {
            let named = content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
            let single = content.get("example").filter(|example| !example.is_string());
            let examples: Vec<_> = named.map(|example| &example["value"]).chain(single).collect();
            if examples.is_empty() {
                continue;
            }
            let validator = validator(&document, &content["schema"]);
            for example in examples {
                assert_fits(&validator, example, what);
                count += 1;
            }
        }
    };
    for (method, path, operation) in operations(&document) {
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            check(content, &format!("an example of {method} {path}"));
        }
    }
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        check(response["content"].as_object().unwrap(), &format!("the example of {name}"));
    }
    assert!(count > 200, "examples are checked: {count}");
}

#[test]
fn every_command_of_the_catalogue_has_an_example() {
    let document = openapi::document();
    for (method, path, operation) in operations(&document) {
        let command =
            operation["requestBody"]["content"].as_object().filter(|_| operation.get("x-permission").is_some());
        let upsert = path.contains("/by/external/") || path.starts_with("/v1/imports");
        for content in command.into_iter().filter(|_| !upsert).flat_map(|content| content.values()) {
            assert!(content["examples"].is_object(), "{method} {path} has no example");
        }
    }
}

/// A client of routes as the document writes them: it holds every answer against the document, as all clients of tests do.
struct Checked<'a> {
    document: Value,
    client: &'a Client,
}

impl Checked<'_> {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = self.client.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.client.send(request).await
    }

    async fn get(&self, template: &str, id: &str) -> Value {
        self.ask(Method::GET, &template.replace("{id}", id), None).await.expect(StatusCode::OK)
    }

    async fn post(&self, template: &str, id: &str, body: Value) -> Value {
        self.ask(Method::POST, &template.replace("{id}", id), Some(body)).await.json()
    }
}

#[tokio::test]
async fn what_the_server_answers_is_what_the_document_says() {
    let server = Server::start().await;
    let document = server.admin.read("/v1/openapi.json").await;
    assert_eq!(document, openapi::document());
    let api = Checked { document, client: &server.admin };

    let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    let company = id(&api.post("/v1/companies", "", json!({ "name": "Acme" })).await);
    let contact = id(&api.post("/v1/contacts", "", json!({ "name": "Ada", "email": "ada@acme.example" })).await);
    api.post("/v1/contacts/{id}/link_company", &contact, json!({ "company": company })).await;
    let product = id(&api.post("/v1/products", "", json!({ "name": "Printer", "kind": "goods" })).await);
    let grant = json!({ "product": product, "holder": { "kind": "contact", "id": contact } });
    let entitlement = id(&api.post("/v1/entitlements", "", grant).await);
    let team = id(&api.post("/v1/teams", "", json!({ "name": "First line" })).await);
    let open = json!({
        "title": "It does not print",
        "requester": { "kind": "contact", "id": contact },
        "entitlement": entitlement,
        "team": team,
        "tags": ["vip"],
    });
    let ticket = id(&api.post("/v1/tickets", "", open).await);
    api.post("/v1/tickets/{id}/reply", &ticket, json!({ "body": "Is it plugged in?" })).await;
    api.ask(Method::PATCH, &format!("/v1/tickets/{ticket}"), Some(json!({ "priority": 2 }))).await;
    api.ask(Method::PATCH, &format!("/v1/contacts/{contact}"), Some(json!({ "email": null }))).await;
    let new = "01KAE4T0000000000000000009";
    let create = Some(json!({ "name": "Other" }));
    api.ask(Method::PUT, &format!("/v1/companies/{new}"), create).await;
    api.post("/v1/api_keys", "", json!({ "name": "test" })).await;
    api.post("/v1/tenants", "", json!({ "name": "Other", "admin_email": "admin@other.example" })).await;
    server.settle().await;

    for (method, path, operation) in operations(&api.document) {
        let needs = parameters(&api.document, operation).filter(|parameter| parameter["required"] == true).count();
        // What one has handed out oneself no key asks for.
        if method != "get" || needs > 0 || path.ends_with("/stream") || path == "/v1/me/widget_addresses" {
            continue;
        }
        let json = operation["responses"]["200"]["content"]["application/json"].is_object();
        if json {
            api.get(path, "").await;
        }
    }
    api.get("/v1/tickets/{id}/thread", &ticket).await;
    let picker = format!("/v1/entitlements/picker?requester_id={contact}");
    let picked = api.ask(Method::GET, &picker, None).await.expect(StatusCode::OK);
    assert_eq!(picked["data"][0]["id"], *entitlement, "{picked}");
    for (collection, id) in [
        ("tickets", &ticket),
        ("contacts", &contact),
        ("companies", &company),
        ("products", &product),
        ("teams", &team),
    ] {
        let record = api.get(&format!("/v1/{collection}/{{id}}"), id).await;
        assert_eq!(record["id"], **id);
        api.get(&format!("/v1/{collection}/{{id}}/history"), id).await;
        let search = json!({ "filter": { "field": "id", "op": "eq", "value": id }, "count": "exact" });
        let found = api.post(&format!("/v1/{collection}/search"), "", search).await;
        assert_eq!(found["total"], 1, "{found}");
    }

    // And what it refuses.
    for (path, body) in [
        ("/v1/tickets", json!({})),
        ("/v1/tickets", json!({ "title": "x", "what": 1 })),
        ("/v1/tickets", json!({ "title": "" })),
        ("/v1/tickets/search", json!({ "filter": { "field": "nothing", "op": "eq", "value": 1 } })),
    ] {
        let reply = api.ask(Method::POST, path, Some(body)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.text);
    }
    let nobody = Checked { document: api.document, client: &server.client("") };
    nobody.ask(Method::GET, "/v1/tickets", None).await.problem(401, "key_missing");
}

#[tokio::test]
async fn whatever_there_is_reads_as_the_document_says() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let api = Checked { document: openapi::document(), client: &server.admin };
    // What one was told is read at an address of one's own.
    for (collection, ids) in all.iter().filter(|(collection, _)| **collection != "notifications") {
        let template = format!("/v1/{collection}/{{id}}");
        for id in ids.iter().filter(|_| api.document["paths"][&template]["get"].is_object()) {
            assert_eq!(api.get(&template, id).await["id"], **id);
        }
        let listed = api.get(&format!("/v1/{collection}"), "").await;
        assert!(!listed["data"].as_array().unwrap().is_empty(), "{collection}");
    }
    for id in &all["conversations"] {
        api.get("/v1/conversations/{id}/messages", id).await;
    }
}

/// The id of no record.
const RECORD: &str = "01KAE4T0000000000000000009";

/// A value that a parameter takes.
fn sample(document: &Value, parameter: &Value) -> String {
    let schema = &parameter["schema"];
    let choice = schema["anyOf"][0].as_object().map_or(schema, |_| &schema["anyOf"][0]);
    let schema = follow(document, choice);
    if let Some(example) = parameter["schema"]["examples"][0].as_str() {
        return example.to_owned();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => "1".to_owned(),
        (Some("boolean"), _) => "true".to_owned(),
        (_, Some("date-time")) => "2026-11-21T10:00:00Z".to_owned(),
        (_, Some("date")) => "2026-11-21".to_owned(),
        _ if schema["pattern"].is_string() => RECORD.to_owned(),
        _ => {
            let constant = schema["oneOf"][0]["const"].as_str();
            schema["enum"][0].as_str().or(constant).unwrap_or("{}").to_owned()
        }
    }
}

#[tokio::test]
async fn every_query_parameter_that_is_described_is_taken() {
    let server = Server::start().await;
    let document = openapi::document();
    let mut taken = 0;
    for (method, path, operation) in operations(&document) {
        let needs_record = path.contains('{');
        if method != "get" || needs_record && !path.ends_with("/history") || path.ends_with("/stream") {
            continue;
        }
        let path = path.replace("{id}", RECORD);
        let (needed, others): (Vec<_>, Vec<_>) = parameters(&document, operation)
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| (parameter["name"].as_str().unwrap(), sample(&document, parameter), parameter))
            .partition(|(_, _, parameter)| parameter["required"] == true);
        let needed: Vec<_> = needed.into_iter().map(|(name, value, _)| (name, value)).collect();
        for (name, value, _) in others {
            let query = [needed.clone(), vec![(name, value)]].concat();
            let reply = server.admin.send(server.admin.request(Method::GET, &path).query(&query)).await;
            assert!(!reply.text.contains("parameter_invalid"), "{path} with {query:?}: {}", reply.text);
            assert_ne!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{path} with {query:?}: {}", reply.text);
            taken += 1;
        }
        let query = [needed, vec![("nothing", "1".to_owned())]].concat();
        let reply = server.admin.send(server.admin.request(Method::GET, &path).query(&query)).await;
        let keyed = operation.get("security").is_none();
        assert!(!keyed || reply.status == StatusCode::UNPROCESSABLE_ENTITY, "{path} takes any parameter");
    }
    assert!(taken > 50, "parameters are tried: {taken}");
}

#[tokio::test]
async fn the_documentation_is_served_to_anybody_from_this_server_alone() {
    let server = Server::start().await;
    let anybody = server.client("");
    let page = anybody.get("/docs").await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let files = page.text.split('"').filter(|text| text.starts_with("/docs/") || text.starts_with("/v1/"));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for path in files.into_iter().chain(["/docs", "/docs/licence.txt"]) {
        let plain = anybody.get(path).await;
        assert_eq!(plain.status, StatusCode::OK, "{path}");
        assert!(!plain.text.is_empty() && plain.header("content-encoding").is_empty());
        let gzip = anybody.header("accept-encoding", "gzip");
        let packed = gzip.request(Method::GET, path).send().await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{path}");
        assert!(packed.bytes().await.unwrap().len() < plain.text.len() + 64, "{path}");
        let again = anybody.header("if-none-match", plain.header("etag")).get(path).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
    }
    anybody.get("/docs/nothing.js").await.problem(404, "route_unknown");
}

#[tokio::test]
async fn a_tenants_own_document_tells_its_custom_fields() {
    let server = Server::start().await;
    let (client, anybody) = (&server.admin, server.client(""));
    let general = anybody.read("/v1/openapi.json").await;
    assert_eq!(client.read("/v1/openapi.json").await, general, "there are none yet");
    field(client, "ticket", "seats", "number", json!({ "label": "How many seats" })).await;
    field(client, "ticket", "size", "select", json!({ "label": "Size", "options": ["S", "M"] })).await;
    field(client, "entitlement", "serial", "text", json!({ "label": "Serial number" })).await;
    let own = client.read("/v1/openapi.json").await;
    assert_eq!(anybody.read("/v1/openapi.json").await, general, "nobody else sees them");
    anybody.header("authorization", "Bearer dfk_stolen").get("/v1/openapi.json").await.problem(401, "key_invalid");
    let errors: Vec<_> = official().iter_errors(&own).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    let opening = &own["paths"]["/v1/tickets"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    let opening = validator(&own, opening);
    let ticket = |custom: Value| json!({ "title": "Printer on fire", "custom": custom });
    assert_fits(&opening, &ticket(json!({ "seats": 3, "size": "M" })), "a ticket with custom fields");
    for wrong in [json!({ "seats": "three" }), json!({ "size": "XL" })] {
        assert!(!opening.is_valid(&ticket(wrong.clone())), "{wrong}");
    }
    let id = client.create("/v1/tickets", ticket(json!({ "seats": 3, "size": "M" }))).await;
    server.settle().await;
    let shown = &own["paths"]["/v1/tickets/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let ticket = client.read(&format!("/v1/tickets/{id}")).await;
    assert_fits(&validator(&own, shown), &ticket, "the ticket");
    let mut wrong = ticket.clone();
    wrong["custom"]["seats"] = json!("three");
    assert!(!validator(&own, shown).is_valid(&wrong), "{wrong}");

    let filter = validator(&own, &json!({ "$ref": "#/components/schemas/TicketsFilter" }));
    let condition = |field: &str| json!({ "field": field, "op": "gte", "value": 2 });
    assert_fits(&filter, &condition("custom.seats"), "a condition");
    for other in ["custom.colour", "custom.serial"] {
        assert!(!filter.is_valid(&condition(other)), "{other}");
    }
    let holders = serde_json::to_string(&own["components"]["schemas"]).unwrap();
    assert!(holders.contains("custom.serial") && holders.contains("Serial number."));
}

#[test]
fn a_filter_is_a_tree_of_conditions_on_fields_with_their_ops() {
    let document = openapi::document();
    let filter = validator(&document, &json!({ "$ref": "#/components/schemas/RolesFilter" }));
    let condition = |field: &str, op: &str| json!({ "field": field, "op": op, "value": "Agent" });
    let name = condition("name", "eq");
    for right in [
        json!({}),
        name.clone(),
        json!({ "all": [] }),
        json!({ "any": [name, { "not": { "all": [name] } }] }),
        json!({ "not": condition("name", "starts_with") }),
    ] {
        assert_fits(&filter, &right, "a filter");
    }
    let wrong = condition("nothing", "eq");
    for wrong in [
        wrong.clone(),
        json!({ "all": [wrong] }),
        json!({ "any": [name, { "not": { "all": [wrong] } }] }),
        condition("name", "louder"),
        condition("id", "contains"),
        json!({ "field": "name", "op": "eq" }),
        json!({ "op": "eq" }),
        json!({ "value": 1 }),
        json!({ "all": [name], "any": [name] }),
        json!({ "not": name, "field": "name", "op": "eq", "value": "Agent" }),
        json!({ "some": [] }),
    ] {
        assert!(!filter.is_valid(&wrong), "{wrong}");
    }
    let search = validator(&document, &json!({ "$ref": "#/components/schemas/RolesSearch" }));
    assert_fits(&search, &json!({ "filter": name, "limit": 20, "count": "exact" }), "a search");
    for wrong in [json!({ "filter": wrong }), json!({ "limit": 0 }), json!({ "filters": name })] {
        assert!(!search.is_valid(&wrong), "{wrong}");
    }
}

#[tokio::test]
async fn an_event_is_held_against_what_its_type_says() {
    let server = Server::start().await;
    ticket(&server.admin, "Printer on fire").await;
    let document = openapi::document();
    let schema = |name: &str| validator(&document, &json!({ "$ref": format!("#/components/schemas/{name}") }));
    let (any, of_tickets, of_users) = (schema("AnyEvent"), schema("TicketEvent"), schema("UserEvent"));
    let opened = server.admin.read("/v1/events?types=ticket.opened").await["data"][0].clone();
    assert_fits(&any, &opened, "the event");
    assert_fits(&of_tickets, &opened, "the event");
    assert!(!of_users.is_valid(&opened));
    let with = |name: &str, value: Value| {
        let mut event = opened.clone();
        event[name] = value;
        event
    };
    let wrong = [
        with("type", json!("ticket.flown")),
        with("type", json!("balloon.flown")),
        with("data", json!({ "title": 1 })),
        with("data", json!("nothing")),
        with("position", json!("first")),
    ];
    for wrong in wrong {
        assert!(!any.is_valid(&wrong) && !of_tickets.is_valid(&wrong), "{wrong}");
    }
}
