//! Every write goes one way: what a request says besides its command is heeded alike by each write route of the document;
//! null clears by one rule; faults are all told; positions, parameters and times follow one rule each.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{
    Client, Reply, Server,
    document::{follow, parameters},
};
use gateway::openapi;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::world::{NOBODY, contact, encoded, everything, pages};

/// What is asked by POST for the length of its body, or is over in a moment, and writes nothing: there is nothing to rehearse or repeat.
const READS: &[&str] = &[
    "/search",
    "/export",
    "/v1/chatbots/rehearse",
    "/v1/rules/dry_run",
    "/v1/rules/backtest",
    "/v1/reports/run",
    "/v1/reports/records",
    "/v1/reports/changes",
    "/v1/reports/changes/records",
    "/v1/dashboards/preview",
    "/v1/imports/preview",
    "/v1/inbox/signals",
    "/v1/inbox/touch",
    // What comes in several requests is written once it is whole: tus has its own way to go on after a lost answer.
    "/v1/uploads/resumable",
    "/v1/uploads/resumable/{id}",
];

/// A write route of the document, with a request that it takes.
struct Route {
    method: Method,
    /// As the document writes it.
    template: String,
    path: String,
    body: Value,
}

impl Route {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Sends it, with the body as this text.
    async fn send(&self, client: &Client, query: &str, body: &str) -> Reply {
        let path = format!("{}{query}", self.path);
        let request = client.request(self.method.clone(), &path);
        if self.template == "/v1/imports" {
            let request = request.header("content-type", "multipart/form-data; boundary=X").body(form(body));
            return client.send(request).await;
        }
        client.send(request.header("content-type", "application/json").body(body.to_owned())).await
    }

    fn text(&self) -> String {
        self.body.to_string()
    }
}

/// An import whose source is a text.
fn form(text: &str) -> String {
    let part = |head: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let source = format!("s{}", text.len());
    let file = "product,holder_kind,holder\n";
    part("name=\"kind\"", "entitlements")
        + &part("name=\"dry_run\"", "true")
        + &part("name=\"source\"", &source)
        + &part("name=\"file\"; filename=\"new.csv\"", file)
        + "--X--\r\n"
}

/// The collection of what is named so in bodies.
fn collection(name: &str) -> Option<&'static str> {
    Some(match name {
        "contact" | "customer" | "contacts" => "contacts",
        "company" => "companies",
        "product" => "products",
        "user" | "users" | "owner" | "assignee" | "grantee" | "member" | "to_user" => "users",
        "role" => "roles",
        "team" => "teams",
        "ticket" => "tickets",
        "entitlement" => "entitlements",
        "enquiry" => "enquiries",
        "property" | "properties" => "properties",
        "deal" => "deals",
        "order" => "orders",
        "conversation" => "conversations",
        "channel" => "channels",
        "chatbot" => "chatbots",
        "form" => "forms",
        "project" => "projects",
        "label" => "labels",
        "quick_reply" => "quick_replies",
        "category" | "parent" => "product_categories",
        "rule" => "rules",
        "report" => "reports",
        "dashboard" => "dashboards",
        "upload_id" => "uploads",
        _ => return None,
    })
}

/// An example with ids of records that there are.
fn filled(body: &Value, name: &str, own: &str, all: &BTreeMap<&'static str, Vec<String>>) -> Value {
    match body {
        Value::Object(members) => {
            let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let fill = |(key, value): (&String, &Value)| {
                let name = if key == "id" && !kind.is_empty() { &kind } else { key };
                (key.clone(), filled(value, name, own, all))
            };
            Value::Object(members.iter().map(fill).collect())
        }
        Value::Array(items) => {
            let ids =
                |item: &Value| item.as_str().is_some_and(|text| text.parse::<domain::Id>().is_ok() && text.len() == 26);
            let known = collection(name).map(|collection| &all[collection]);
            match known {
                Some(known) if items.iter().all(ids) => known.iter().take(items.len().max(1)).cloned().collect(),
                _ => items.iter().map(|item| filled(item, name, own, all)).collect(),
            }
        }
        Value::String(text) if text.len() == 26 && text.parse::<domain::Id>().is_ok() => {
            let collection = collection(name).or_else(|| all.keys().find(|known| **known == own).copied());
            // What a record is joined with is another one of its kind.
            let place = usize::from(collection == Some(own) && ["into", "with", own].contains(&name));
            let known = collection.and_then(|collection| all[collection].get(place).or(all[collection].first()));
            json!(known.filter(|_| !name.ends_with("_id") || name == "upload_id").unwrap_or(text))
        }
        other => other.clone(),
    }
}

/// Every write route of the document, each with a request that fits the world.
fn routes(all: &BTreeMap<&'static str, Vec<String>>, word: &str) -> Vec<Route> {
    let document = openapi::document();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "get") {
            let own = operation["tags"][0].as_str().unwrap();
            // Signing in and out is no order about a record, nor is what one wants to be told and has read; visitors and messengers give none.
            let is_own = ["sign_in", "visitors", "hooks", "notifications"].contains(&own);
            if READS.iter().any(|read| path.ends_with(read)) || is_own {
                continue;
            }
            let (method, template) = (method.to_uppercase().parse::<Method>().unwrap(), path.clone());
            let content = operation["requestBody"]["content"].as_object();
            let example = content.and_then(|content| content.values().next()?["examples"].as_object()?.values().next());
            let mut body = example.map_or_else(|| json!({}), |example| filled(&example["value"], "", own, all));
            let mut path = path.clone();
            if let Some(collection) = path.strip_suffix("/by/external/{source}/{id}") {
                let known = format!("{collection}/by/external/{word}/{word}-5");
                path = if method == Method::DELETE { known } else { format!("{collection}/by/external/shop/new-1") };
                let holder = json!({ "kind": "contact", "id": all["contacts"][0] });
                body = match (own, method.as_str()) {
                    (_, "DELETE") => json!({ "reason": "Returned" }),
                    ("entitlements", _) => json!({ "product": all["products"][0], "holder": holder }),
                    ("forms", _) => json!({ "name": "Ask the shop", "slug": "ask-the-shop" }),
                    _ => json!({ "name": "Rossi of the shop" }),
                };
            } else if template == format!("/v1/{own}/{{id}}") && method == Method::PUT {
                path = path.replace("{id}", NOBODY);
            } else {
                let id = all.get(own).and_then(|ids| ids.first()).map_or(NOBODY, String::as_str);
                path = path.replace("{id}", if own == "fields" { "ticket" } else { id });
            }
            routes.push(Route { method, template, path, body });
        }
    }
    assert!(routes.len() > 250, "write routes: {}", routes.len());
    routes
}

async fn head(server: &Server) -> i64 {
    sqlx::query_scalar("select coalesce(max(position), 0) from log_event")
        .fetch_one(&server.database.pool)
        .await
        .unwrap()
}

/// Everything in the database but what only says how far background work is and when a key was used.
async fn contents(server: &Server) -> BTreeMap<String, String> {
    let pool = &server.database.pool;
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'
         and table_name not like 'log_subscription%' and table_name not in ('auth_key_use', '_sqlx_migrations')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut contents = BTreeMap::new();
    for table in tables {
        let digest = format!("select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t");
        let digest: String = sqlx::query_scalar(sqlx::AssertSqlSafe(digest)).fetch_one(pool).await.unwrap();
        contents.insert(table, digest);
    }
    contents
}

/// What an answer says, without the secret that is shown once.
fn said(reply: &Reply) -> Value {
    let mut said = reply.json();
    if let Some(said) = said.as_object_mut() {
        said.remove("key");
        said.remove("link");
        said.remove("secret");
        said.remove("trace_id");
    }
    said
}

#[tokio::test]
async fn a_character_that_no_database_keeps_is_refused_at_its_place() {
    let server = Server::start().await;
    let client = &server.admin;
    let body = json!({ "name": "Ada", "tags": ["vip", "a\0b"] });
    let told = client.post("/v1/contacts", body).await.problem(422, "text_invalid");
    assert_eq!(told["errors"][0]["pointer"], "/tags/1");
    let sign_in = json!({ "email": "a\0@example.com", "password": "seven tired otters" });
    let told = server.client("").post("/v1/sign_in", sign_in).await.problem(422, "text_invalid");
    assert_eq!(told["errors"][0]["pointer"], "/email");
    client.get("/v1/contacts/by/external/web/a%00b").await.problem(422, "text_invalid");
}

#[tokio::test]
async fn each_write_route_rehearses_and_refuses_what_it_cannot_heed() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let (before, first) = (contents(&server).await, head(&server).await);
    let (mut taken, mut refused) = (0, Vec::new());
    for route in routes(&all, "Word") {
        let (name, body) = (route.name(), route.text());
        let would = route.send(&server.admin, "?dry_run=true", &body).await;
        assert!(would.status.as_u16() < 500, "{name}: {}", would.text);
        if would.status.is_success() {
            assert_eq!(would.status, StatusCode::OK, "{name}: nothing is created");
            assert!(would.json()["events"].is_array() && would.json().get("key").is_none(), "{name}: {}", would.text);
            assert!(would.json().get("link").is_none(), "{name}: {}", would.text);
            assert!(would.json().get("secret").is_none(), "{name}: {}", would.text);
            taken += 1;
        } else {
            refused.push(format!("{name}: {}", would.json()["code"]));
        }
        assert_eq!(head(&server).await, first, "{name} wrote although it was rehearsed");

        let unknown = route.send(&server.admin, "?colour=red", &body).await;
        unknown.problem(422, "parameter_invalid");
        let several = route.send(&server.admin, "?colour=red&dry_run=maybe&shade=blue", &body).await;
        let told = faults(&several.problem(422, "parameter_invalid"));
        let places: Vec<_> = told.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/colour", "/dry_run", "/shade"], "{name}");

        let stale = server.admin.header("if-match", "\"9999\"");
        route.send(&stale, "", &body).await.problem(412, "version_mismatch");
        let other = server.admin.header("if-match", "yesterday");
        route.send(&other, "", &body).await.problem(400, "if_match_invalid");
        let other = server.admin.header("if-none-match", "\"7\"");
        let answer = route.send(&other, "", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name} {body}: {}", answer.text);
        answer.problem(400, "if_none_match_invalid");
        let future = server.admin.header("deskfold-occurred-at", "2999-01-01T00:00:00Z");
        route.send(&future, "", &body).await.problem(400, "occurred_at_invalid");
        let nobody = server.admin.header("deskfold-on-behalf-of", NOBODY);
        route.send(&nobody, "", &body).await.problem(422, "on_behalf_of_unknown");
        assert_eq!(head(&server).await, first, "{name} wrote although it was refused");
    }
    let after = contents(&server).await;
    let changed: Vec<_> = after.iter().filter(|(table, digest)| before.get(*table) != Some(*digest)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert!(taken > 4 * refused.len(), "most examples make sense here: {taken}, but not {refused:#?}");
}

#[tokio::test]
async fn each_write_route_answers_a_repeated_key_as_the_first_time_and_writes_once() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let (mut taken, mut refused) = (0, Vec::new());
    for route in routes(&all, "Word") {
        let (name, body) = (route.name(), route.text());
        let client = server.admin.header("idempotency-key", &name);
        // A rehearsal leaves the key to the request that is meant.
        route.send(&client, "?dry_run=true", &body).await;
        let first = route.send(&client, "", &body).await;
        if !first.status.is_success() {
            refused.push(format!("{name}: {}", first.json()["code"]));
            continue;
        }
        taken += 1;
        if first.json()["events"] != json!([]) {
            server.settle().await;
        }
        let before = head(&server).await;
        let again = route.send(&client, "", &body).await;
        assert_eq!((again.status, said(&again)), (first.status, said(&first)), "{name}");
        assert_eq!(again.header("idempotency-replayed"), "true", "{name}");
        for header in ["location", "etag", "deskfold-position"] {
            assert_eq!(again.header(header), first.header(header), "{name}: {header}");
        }
        // To the letter, but for a secret.
        let secret = |reply: &Reply| ["key", "link", "secret"].iter().any(|name| reply.json().get(name).is_some());
        if !secret(&first) {
            assert_eq!(again.text, first.text, "{name}");
        }
        assert!(!secret(&again), "{name} shows a secret twice");
        route.send(&client, "", &format!("{body} ")).await.problem(422, "idempotency_key_reused");
        assert_eq!(head(&server).await, before, "{name} wrote twice");
    }
    assert!(taken > refused.len(), "most examples make sense here: {taken}, but not {refused:#?}");
}

#[tokio::test]
async fn a_retry_finds_the_tenant_and_the_key_that_were_made() {
    let server = Server::start().await;
    let retrying = server.admin.header("idempotency-key", "acme");
    let body = json!({ "name": "Acme", "admin_email": "ada@acme.example" });
    let would = server.admin.post("/v1/tenants?dry_run=true", body.clone()).await.expect(StatusCode::OK);
    let types: Vec<_> =
        would["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.starts_with(&["tenant.created"]) && types.contains(&"user.invited"), "{types:?}");
    let first = retrying.post("/v1/tenants", body.clone()).await.expect(StatusCode::CREATED);
    let again = retrying.post("/v1/tenants", body.clone()).await.expect(StatusCode::CREATED);
    assert_eq!((&first["id"], &first["admin"]), (&again["id"], &again["admin"]));
    assert!(first["key"].is_string() && again.get("key").is_none(), "the secret is shown once");
    let acme = server.client(first["key"].as_str().unwrap());
    assert_eq!(acme.read("/v1/me").await["tenant"], first["id"]);
    let other = json!({ "name": "Other", "admin_email": "ada@acme.example" });
    retrying.post("/v1/tenants", other.clone()).await.problem(422, "idempotency_key_reused");
    let problem = server.admin.post("/v1/tenants", json!({ "name": "", "admin_email": "ada" })).await;
    let problem = problem.problem(422, "name_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/name", "{problem}");

    let before = server.admin.read("/v1/events").await["position"].clone();
    let would = server.admin.post("/v1/api_keys?dry_run=true", json!({ "name": "shop" })).await.expect(StatusCode::OK);
    assert!(would.get("key").is_none(), "{would}");
    assert_eq!(server.admin.read("/v1/events").await["position"], before);
    let retrying = server.admin.header("idempotency-key", "shop");
    let first = retrying.post("/v1/api_keys", json!({ "name": "shop" })).await.expect(StatusCode::CREATED);
    let again = retrying.post("/v1/api_keys", json!({ "name": "shop" })).await.expect(StatusCode::CREATED);
    assert_eq!(first["id"], again["id"]);
    assert!(first["key"].is_string() && again.get("key").is_none());
}

#[tokio::test]
async fn if_match_with_a_star_needs_the_record() {
    let server = Server::start().await;
    let there = server.admin.header("if-match", "*");
    there.put(&format!("/v1/companies/{NOBODY}"), json!({ "name": "Rossi" })).await.problem(412, "version_mismatch");
    let id = server.admin.create("/v1/companies", json!({ "name": "Rossi" })).await;
    there.patch(&format!("/v1/companies/{id}"), json!({ "city": "Roma" })).await.expect(StatusCode::OK);
    let new = server.admin.header("if-none-match", "*");
    let (at, body) = ("/v1/companies/by/external/shop/7", json!({ "name": "Bianchi" }));
    new.put(at, body.clone()).await.expect(StatusCode::CREATED);
    new.put(at, body).await.problem(412, "already_exists");
}

/// The path of pictures of a widget that there is in every tenant.
fn pictured(template: &str) -> String {
    template.replace("{id}/widgets/{image}", "desk/widgets/opened.svg").replace("{image}", "desk.opened.svg")
}

#[tokio::test]
async fn a_position_beyond_the_head_is_refused_at_once() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let document = openapi::document();
    let ahead = head(&server).await + 1_000_000;
    let mut asked = BTreeSet::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        let own = operation["tags"][0].as_str().unwrap();
        let parameters: Vec<_> =
            parameters(&document, operation).map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        let id = all.get(own).and_then(|ids| ids.first()).map_or(NOBODY, String::as_str);
        let path = pictured(template).replace("{id}", if own == "fields" { "ticket" } else { id });
        let path = path.replace("{position}", "1");
        let path = path.replace("{source}", "Word").replace("{id}", "Word-5");
        let needed = if parameters.iter().any(|name| name == "requester_id") {
            format!("requester_id={}&", all["contacts"][0])
        } else {
            String::new()
        };
        let started = std::time::Instant::now();
        for name in parameters.iter().map(String::as_str) {
            match name {
                "Deskfold-Min-Position" => {
                    let client = server.admin.header("deskfold-min-position", ahead);
                    client.get(&format!("{path}?{needed}")).await.problem(422, "position_ahead");
                }
                "min_position" => {
                    let reply = server.admin.get(&format!("{path}?{needed}{name}={ahead}")).await;
                    let problem = reply.problem(422, "position_ahead");
                    assert_eq!(problem["errors"][0]["pointer"], format!("/{name}"), "{path}");
                }
                _ => continue,
            }
            asked.insert(name.to_owned());
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(4), "{template} waited");
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
    let search = json!({ "min_position": ahead });
    server.admin.post("/v1/tickets/search", search).await.problem(422, "position_ahead");
    server.admin.get(&format!("/v1/events?after={ahead}")).await.problem(422, "position_ahead");
    server.admin.get(&format!("/v1/events/stream?after={ahead}")).await.problem(422, "position_ahead");
    let resuming = server.admin.header("last-event-id", ahead);
    resuming.get("/v1/events/stream").await.problem(422, "position_ahead");

    // Another process's write is one of this log, although this process may not have heard of it yet.
    let (app, other) = server.beside(&["--roles", "api"]).await;
    let opened = other.post("/v1/tickets", json!({ "title": "x" })).await.expect(StatusCode::CREATED);
    let (id, position) = (opened["id"].as_str().unwrap(), opened["position"].as_i64().unwrap());
    let shown = server.admin.read(&format!("/v1/tickets/{id}?min_position={position}")).await;
    assert_eq!(shown["id"], *id);
    app.stop().await;
}

/// The attributes that a merge patch takes, by whether null clears them.
fn patched(document: &Value, operation: &Value) -> Vec<(String, bool)> {
    let content = operation["requestBody"]["content"].as_object().unwrap().values().next().unwrap();
    let schema = follow(document, &content["schema"]);
    let null = |schema: &Value| {
        let types = schema["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null"));
        let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
        types || choices.into_iter().any(|choice| choice["type"] == "null")
    };
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    properties.iter().map(|(name, schema)| (name.clone(), null(schema))).collect()
}

#[tokio::test]
async fn null_clears_an_optional_attribute_of_any_kind_and_is_refused_for_one_that_must_have_a_value() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let document = openapi::document();
    let (mut cleared, mut kept) = (0, 0);
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = template.rsplit('/').next().unwrap();
            let merge_patch = ["change_profile", "change_details", "amend"].contains(&name) || method == "patch";
            // A comment's text is all that there is to edit of it; what follows of a file has no attributes; one's own profile has a test among the pages.
            if !merge_patch
                || ["/v1/comments/{id}", "/v1/uploads/resumable/{id}"].contains(&template.as_str())
                || !template.contains("{id}")
            {
                continue;
            }
            let own = operation["tags"][0].as_str().unwrap();
            let path = template.replace("{id}", &all[own][0]);
            let attributes = patched(&document, operation);
            assert!(!attributes.is_empty(), "{template} says nothing of its attributes");
            let must: Vec<_> = attributes.iter().filter(|(name, null)| !null && name != "custom").collect();
            let send = async |patch: Value| {
                let request = server.admin.request(method.to_uppercase().parse().unwrap(), &path);
                server.admin.send(request.json(&patch)).await
            };
            for (name, _) in &must {
                let problem = send(json!({ name.as_str(): null })).await.problem(422, "field_invalid");
                assert_eq!(problem["errors"][0]["pointer"], format!("/{name}"), "{template}: {problem}");
                kept += 1;
            }
            let together: Map<_, _> = must.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
            if must.len() > 1 {
                let problem = send(together.into()).await.problem(422, "field_invalid");
                assert_eq!(problem["errors"].as_array().unwrap().len(), must.len(), "{template}: {problem}");
            }
            for (name, _) in attributes.iter().filter(|(_, null)| *null) {
                let reply = send(json!({ name.as_str(): null })).await;
                // An order has a total or items, a quick reply a text or attachments: that is another rule.
                if ["order_empty", "quick_reply_text_invalid"].iter().any(|code| reply.json()["code"] == *code) {
                    continue;
                }
                let accepted = reply.expect(StatusCode::OK);
                cleared += usize::from(!accepted["events"].as_array().unwrap().is_empty());
                let again = send(json!({ name.as_str(): null })).await.expect(StatusCode::OK);
                assert_eq!(again["events"], json!([]), "{template}: {name} is cleared already");
            }
            let problem = send(json!({ "colour": null })).await;
            assert_eq!(problem.json()["errors"][0]["pointer"], "/colour", "{template}: {}", problem.text);
        }
    }
    assert!(cleared > 20 && kept > 20, "{cleared} cleared, {kept} kept");
}

#[tokio::test]
async fn null_clears_a_tickets_description_and_category_but_not_its_priority() {
    let server = Server::start().await;
    let body = json!({ "title": "x", "description": "y", "category": "hardware", "priority": 2 });
    let path = format!("/v1/tickets/{}", server.admin.create("/v1/tickets", body).await);
    let problem =
        server.admin.patch(&path, json!({ "priority": null, "title": null })).await.problem(422, "field_invalid");
    let places: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(places, ["/title", "/priority"]);
    let edited = server.admin.patch(&path, json!({ "description": null, "category": null })).await;
    let edited = edited.expect(StatusCode::OK);
    let types: Vec<_> = edited["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["ticket.description_cleared", "ticket.category_set"]);
    server.settle().await;
    let ticket = server.admin.read(&path).await;
    assert_eq!(
        (&ticket["description"], &ticket["category"], &ticket["priority"]),
        (&json!(null), &json!(null), &json!(2))
    );
}

/// The faults that an answer tells, by place and code.
#[track_caller]
fn faults(problem: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}

#[track_caller]
fn assert_faults(problem: &Value, wanted: &[(&str, &str)]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect();
    assert_eq!(faults(problem), wanted, "{problem}");
}

#[tokio::test]
async fn a_body_with_several_faults_is_answered_with_all_of_them() {
    let server = Server::start().await;
    let client = &server.admin;
    // What does not decode, and what would be refused of the rest.
    let body = json!({ "colour": 1, "nick": "e", "kind": "robot", "email": "no address", "locale": "German" });
    let problem = client.post("/v1/contacts", body).await.problem(422, "body_invalid");
    assert_faults(
        &problem,
        &[
            ("/colour", "unknown_field"),
            ("/nick", "unknown_field"),
            ("/kind", "invalid"),
            ("/name", "required"),
            ("/email", "email_invalid"),
            ("/locale", "locale_invalid"),
        ],
    );
    // What decodes and makes no sense.
    let body = json!({ "name": " ", "email": "no address", "country": "Italy", "tags": [""], "custom": { "size": 1 } });
    let problem = client.post("/v1/contacts", body).await.problem(422, "name_invalid");
    assert_faults(
        &problem,
        &[
            ("/name", "name_invalid"),
            ("/email", "email_invalid"),
            ("/country", "country_invalid"),
            ("/tags", "tag_invalid"),
            ("/custom/size", "custom_field_unknown"),
        ],
    );
    let id = contact(client, "Ada").await;
    let patch = json!({ "name": null, "email": "no", "colour": "red", "kind": 7, "custom": { "size": 1 } });
    let problem = client.patch(&format!("/v1/contacts/{id}"), patch).await.problem(422, "field_invalid");
    let places: BTreeSet<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    for place in ["/name", "/colour", "/kind", "/email", "/custom/size"] {
        assert!(places.contains(place), "{place}: {problem}");
    }
    // A reference that leads nowhere, a title that is too long, a stage that there is not.
    let body = json!({ "title": "x".repeat(501), "team": NOBODY, "assignee": NOBODY, "requester": { "kind": "contact", "id": NOBODY } });
    let problem = client.post("/v1/tickets", body).await.problem(422, "title_invalid");
    let places: BTreeSet<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    for place in ["/title", "/team", "/requester/id", "/assignee"] {
        assert!(places.contains(place), "{place}: {problem}");
    }
    // Several of a kind, deep in a body.
    let items = json!([{ "name": "a", "quantity": "none" }, { "quantity": "1", "price": { "amount": "1", "currency": "EUR" }, "size": 1 }]);
    let problem =
        client.post("/v1/orders", json!({ "source": "shop", "items": items })).await.problem(422, "body_invalid");
    let places: BTreeSet<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    for place in ["/items/0/quantity", "/items/0/price", "/items/1/name", "/items/1/size"] {
        assert!(places.contains(place), "{place}: {problem}");
    }
    // Bodies that are no commands of the catalogue.
    let problem =
        client.post("/v1/tenants", json!({ "title": "x", "admin_email": 7 })).await.problem(422, "body_invalid");
    assert_faults(&problem, &[("/title", "unknown_field"), ("/admin_email", "invalid"), ("/name", "required")]);
    let problem = client.post("/v1/tickets/search", json!({ "limit": "x", "colour": 1, "sort": "colour" })).await;
    let problem = problem.problem(422, "body_invalid");
    assert_faults(&problem, &[("/limit", "invalid"), ("/colour", "unknown_field"), ("/sort", "sort_field_unknown")]);
    let told = json!({ "product": "nothing", "holder": { "kind": "contact", "id": "nobody" }, "status": "odd" });
    let problem = client.put("/v1/entitlements/by/external/shop/1", told).await.problem(422, "product_unknown");
    let places: BTreeSet<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["/holder/id", "/product", "/status"].map(ToOwned::to_owned).into());
}

#[tokio::test]
async fn all_faults_within_one_attribute_of_an_edit_are_told() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria").await;
    let enquiry = client.create("/v1/enquiries", json!({ "name": "Flat", "contact": maria })).await;
    let criteria =
        json!({ "purpose": "theft", "rooms_from": "many", "kinds": ["castle", "apartment", 7], "colour": 1 });
    let patch = json!({ "criteria": criteria, "name": " ", "contact": NOBODY });
    let problem = client.patch(&format!("/v1/enquiries/{enquiry}"), patch).await.problem(422, "field_invalid");
    let places: Vec<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    let inside = ["colour", "kinds/0", "kinds/2", "purpose", "rooms_from"].map(|name| format!("/criteria/{name}"));
    let wanted: Vec<_> = ["/contact".to_owned()].into_iter().chain(inside).chain(["/name".to_owned()]).collect();
    assert_eq!(places, wanted, "{problem}");
    // An order's items likewise.
    let order = json!({ "source": "shop", "total": { "amount": "5", "currency": "EUR" } });
    let order = client.create("/v1/orders", order).await;
    let items =
        json!([{ "name": "a", "quantity": "none", "price": { "amount": "1", "currency": "EUR" } }, { "size": 1 }]);
    let problem = client.post(&format!("/v1/orders/{order}/amend"), json!({ "items": items })).await;
    let places: BTreeSet<_> =
        faults(&problem.problem(422, "field_invalid")).into_iter().map(|(place, _)| place).collect();
    for place in ["/items/0/quantity", "/items/1/name", "/items/1/size"] {
        assert!(places.contains(place), "{place}: {places:?}");
    }
}

/// Each create command of the document is sent a body of faults alone: every required field is missing, and an unknown
/// one is there.
#[tokio::test]
async fn every_create_command_tells_all_missing_fields_at_once() {
    let server = Server::start().await;
    let document = openapi::document();
    let mut several = 0;
    for kind in domain::catalogue::kinds().filter(|kind| kind.commands.contains(kind.create)) {
        let path = format!("/v1/{}", kind.plural);
        let content = &document["paths"][&path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        let schema = follow(&document, content);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let reply = server.admin.post(&path, json!({ "colour_": 1 })).await;
        let told = faults(&reply.problem(422, "body_invalid"));
        for name in &required {
            assert!(
                told.contains(&(format!("/{}", name.as_str().unwrap()), "required".to_owned())),
                "{path}: {told:?}"
            );
        }
        assert!(told.contains(&("/colour_".to_owned(), "unknown_field".to_owned())), "{path}: {told:?}");
        several += usize::from(required.len() > 1);
    }
    assert!(several > 8, "{several} kinds need several fields");
}

#[tokio::test]
async fn errors_of_query_parameters_follow_one_rule_on_every_route() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let document = openapi::document();
    let mut asked = BTreeSet::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|operation| operation.get("security").is_none()) else { continue };
        let own = operation["tags"][0].as_str().unwrap();
        let id = all.get(own).and_then(|ids| ids.first()).map_or(NOBODY, String::as_str);
        let path = pictured(template).replace("{id}", if own == "fields" { "ticket" } else { id });
        let path = path.replace("{position}", "1");
        let path = path.replace("{source}", "Word").replace("{id}", "Word-5");
        let refused = async |name: &str, value: &str| {
            let needed = format!("requester_id={}&", all["contacts"][0]);
            let needed = match name {
                "requester_id" | "record" => String::new(),
                _ if template.ends_with("/picker") => needed,
                _ if template == "/v1/me/access" => format!("record=contact:{}&", all["contacts"][0]),
                _ => String::new(),
            };
            let reply = server.admin.get(&format!("{path}?{needed}{name}={}", encoded(value))).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {name}={value}: {}", reply.text);
            let pointer = reply.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
            let place = format!("/{name}");
            assert!(pointer == place || pointer.starts_with(&format!("{place}/")), "{path}: {}", reply.text);
        };
        refused("colour", "red").await;
        for parameter in parameters(&document, operation).filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let wrong = match name {
                "search" | "q" | "stream" | "position" | "widgets" => continue,
                "filter" => "{\"field\": \"nothing\", \"op\": \"eq\", \"value\": 1}",
                _ => "-no such-",
            };
            refused(name, wrong).await;
            if name == "limit" {
                refused(name, "0").await;
            }
            asked.insert(name.to_owned());
        }
    }
    for name in
        ["filter", "sort", "limit", "after", "before", "count", "as_of", "known_at", "types", "min_position", "from"]
    {
        assert!(asked.contains(name), "{name} is asked: {asked:?}");
    }
}

/// Each read of the document is asked with everything at fault at once.
#[tokio::test]
async fn every_faulty_query_parameter_is_told_at_once() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let document = openapi::document();
    let mut several = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|operation| operation.get("security").is_none()) else { continue };
        let own = operation["tags"][0].as_str().unwrap();
        let id = all.get(own).and_then(|ids| ids.first()).map_or(NOBODY, String::as_str);
        let path = pictured(template).replace("{id}", if own == "fields" { "ticket" } else { id });
        let path = path.replace("{position}", "1");
        let path = path.replace("{source}", "Word").replace("{id}", "Word-5");
        let names: BTreeSet<_> = parameters(&document, operation)
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            // Any text will do, and whoever gives both moments is told that one is too many.
            .filter(|name| !["search", "q", "stream", "position", "widgets", "as_of"].contains(name))
            .collect();
        let query: Vec<_> = names.iter().map(|name| format!("{name}={}", encoded("-no such-"))).collect();
        let reply = server.admin.get(&format!("{path}?colour=red&{}", query.join("&"))).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", reply.text);
        let told: BTreeSet<_> = faults(&reply.json()).into_iter().map(|(place, _)| place).collect();
        for name in names.iter().chain([&"colour"]) {
            let place = format!("/{name}");
            let is_told = told.iter().any(|told| *told == place || told.starts_with(&format!("{place}/")));
            assert!(is_told, "{path}: {name} is not told: {}", reply.text);
        }
        several += usize::from(names.len() > 2);
    }
    assert!(several > 60, "{several} reads have several parameters");

    // What can be read and makes no sense, beside what cannot be read.
    let filter =
        json!({ "all": [{ "field": "nothing", "op": "eq", "value": 1 }, { "field": "title", "op": "flies" }] });
    let ahead = head(&server).await + 1_000_000;
    let query = format!(
        "limit=0&sort=nothing&group=nothing&count=maybe&min_position={ahead}&filter={}",
        encoded(&filter.to_string())
    );
    let problem = server.admin.get(&format!("/v1/tickets?{query}&limit=7")).await.problem(422, "parameter_invalid");
    let places: BTreeSet<_> = faults(&problem).into_iter().map(|(place, _)| place).collect();
    for place in ["/count", "/limit", "/sort", "/group", "/min_position", "/filter/all/0/field", "/filter/all/1/op"] {
        assert!(places.contains(place), "{place}: {problem}");
    }
    // A cursor of this list is not blamed for a filter that cannot be read.
    let next = server.admin.read("/v1/events?limit=1").await["next"].clone();
    assert!(next.is_string());
    let page = server.admin.read("/v1/contacts?limit=1").await;
    let next = page["next"].as_str().unwrap();
    let problem = server.admin.get(&format!("{next}&filter=x")).await.problem(422, "filter_malformed");
    assert_faults(&problem, &[("/filter", "filter_malformed")]);
    let problem = server.admin.get("/v1/contacts?limit=1&limit=2&colour=red").await.problem(422, "parameter_invalid");
    assert_faults(&problem, &[("/limit", "parameter_invalid"), ("/colour", "parameter_invalid")]);
}

#[tokio::test]
async fn a_replayed_answer_tells_which_merged_records_were_taken_for_others() {
    let server = Server::start().await;
    let client = &server.admin;
    let (x, y, z) = (contact(client, "X").await, contact(client, "Y").await, contact(client, "Z").await);
    let merge = async |plural: &str, from: &str, into: &str| {
        client.run(&format!("/v1/{plural}/{from}/merge"), json!({ "into": into })).await;
    };
    merge("contacts", &x, &y).await;
    let part = client.create("/v1/tickets", json!({ "title": "Part" })).await;
    let main = client.create("/v1/tickets", json!({ "title": "Main" })).await;
    merge("tickets", &part, &main).await;
    let company = client.create("/v1/companies", json!({ "name": "Rossi" })).await;
    let ends = json!({
        "from": { "kind": "contact", "id": x }, "to": { "kind": "company", "id": company }, "role": "owner"
    });
    let requests = [
        ("/v1/deals".to_owned(), json!({ "name": "Flat", "contact": x })),
        ("/v1/tickets".to_owned(), json!({ "title": "Broken", "requester": { "kind": "contact", "id": x } })),
        ("/v1/relations".to_owned(), ends),
        // What is meant for a merged record goes on to another.
        (format!("/v1/tickets/{part}/receive_message"), json!({ "body": "It smokes", "external_id": "m1" })),
        (format!("/v1/contacts/{x}/add_note"), json!({ "text": "Likes tea" })),
        // Nothing of this names anything that is merged.
        ("/v1/deals".to_owned(), json!({ "name": "House", "contact": y })),
    ];
    let mut answers = Vec::new();
    for (place, (path, body)) in requests.iter().enumerate() {
        let client = client.header("idempotency-key", place);
        let first = client.post(path, body.clone()).await;
        assert!(first.status.is_success(), "{path}: {}", first.text);
        assert_eq!(first.json().get("redirected").is_some(), place < 5, "{path}: {}", first.text);
        answers.push(first);
    }
    // Whatever becomes of them afterwards.
    merge("contacts", &y, &z).await;
    for (place, (path, body)) in requests.iter().enumerate() {
        let again = client.header("idempotency-key", place).post(path, body.clone()).await;
        let first = &answers[place];
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
        for header in ["etag", "location", "deskfold-position"] {
            assert_eq!(again.header(header), first.header(header), "{path}: {header}");
        }
    }
    // The log says so too, on the first event of the command.
    let told = client.read("/v1/events?types=deal.created").await;
    assert_eq!(told["data"][0]["redirected"], json!([{ "pointer": "/contact", "from": x, "to": y }]));
    assert!(told["data"][1].get("redirected").is_none(), "{told}");
}

/// Every text in an answer that looks like a time, with its place.
fn times(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| times(member, &format!("{place}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| times(item, place, found)),
        Value::String(text) if text.len() > 18 && text.parse::<jiff::Timestamp>().is_ok() => {
            found.push((place.to_owned(), text.clone()));
        }
        _ => {}
    }
}

#[tokio::test]
async fn times_end_in_z_in_every_list_and_record_as_in_events() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let form = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$").unwrap();
    let document = openapi::document();
    let mut count = 0;
    let mut check = |answer: &Value, path: &str| {
        let mut found = Vec::new();
        times(answer, "", &mut found);
        for (place, text) in &found {
            let trailing = text.contains('.') && text.ends_with("0Z");
            assert!(form.is_match(text) && !trailing, "{path}{place}: {text}");
        }
        count += found.len();
    };
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        let visited = template.starts_with("/chat/");
        let json = operation["responses"]["200"]["content"]["application/json"].is_object();
        if !json || visited || template.ends_with("/picker") {
            continue;
        }
        let own = operation["tags"][0].as_str().unwrap();
        let ids = all.get(own).cloned().unwrap_or_default();
        let path =
            template.replace("{position}", "1").replace("/by/external/{source}/{id}", "/by/external/Word/Word-5");
        if path.contains("{id}") {
            for id in &ids {
                let reply = server.admin.get(&path.replace("{id}", id)).await;
                check(&reply.json(), &path);
                if reply.status.is_success() && path.ends_with("/{id}") {
                    let now = head(&server).await;
                    let then = server.admin.get(&format!("{}?as_of={now}", path.replace("{id}", id))).await;
                    check(&then.json(), &path);
                    let (mut then, mut now) = (then.json(), reply.json());
                    // What is only in the position of the answer differs.
                    for answer in [&mut then, &mut now] {
                        answer.as_object_mut().unwrap().remove("position");
                    }
                    assert_eq!(then, now, "{path} as of now");
                }
            }
        } else if path.ends_with("/events") || !path.contains("/v1/") {
            continue;
        } else {
            check(&server.admin.get(&path).await.json(), &path);
        }
    }
    assert!(count > 500, "{count} times are looked at");

    // The same instant is the same text in the event and in the list.
    let due = "2999-01-01T10:00:00.25Z";
    let id = server.admin.create("/v1/tasks", json!({ "title": "x", "due_at": due })).await;
    server.settle().await;
    let event = &pages(&server.admin, &format!("/v1/tasks/{id}/history")).await[0];
    let task = server.admin.read(&format!("/v1/tasks/{id}")).await;
    assert_eq!((&event["data"]["due_at"], &task["due_at"]), (&json!(due), &json!(due)));
    assert_eq!(event["occurred_at"], task["created_at"]);
}
