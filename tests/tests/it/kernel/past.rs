//! Records as they were, and queries that wait for what their asker has just done.

use std::collections::{BTreeMap, VecDeque};

use deskfold_tests::{Client, Server};
use domain::kernel::filter::FieldKind;
use projections::{Column, List};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::browser::person,
    world::{
        Customer, NOBODY, condition, contact, each, everything, field, filtered, pages, party, product, texts, ticket,
        user, widget,
    },
};

/// What a record was after each of its events, as it was read then: position and body.
pub(crate) struct Film {
    path: String,
    frames: Vec<(i64, Value)>,
}

/// Does one thing after another to a record and looks at it each time.
async fn film(server: &Server, path: String, steps: &[(&str, Value)]) -> Film {
    let client = &server.admin;
    let mut frames = Vec::new();
    let mut look = async |position: i64| {
        server.settle().await;
        let reply = client.get(&path).await;
        if reply.status == StatusCode::OK {
            // A bot may have answered meanwhile.
            let shown = reply.json();
            frames.push((position.max(shown["position"].as_i64().unwrap_or_default()), shown));
        }
    };
    server.settle().await;
    let first = client.get(&path).await;
    look(first.json()["position"].as_i64().unwrap_or_default()).await;
    for (command, body) in steps {
        let reply = match *command {
            "" => client.patch(&path, body.clone()).await,
            command => client.post(&format!("{path}/{command}"), body.clone()).await,
        };
        assert!(reply.status.is_success(), "{path} {command}: {}", reply.text);
        look(reply.json()["position"].as_i64().unwrap()).await;
    }
    Film { path, frames }
}

/// Commands, each with its body; an empty one is a patch.
type Steps = Vec<(&'static str, Value)>;

/// A life of each kind of record that is read one by one.
fn lives(all: &BTreeMap<&'static str, Vec<String>>) -> Vec<(&'static str, Steps)> {
    let other = all["companies"][1].clone();
    vec![
        (
            "contacts",
            vec![
                ("", json!({ "city": "Roma" })),
                ("link_company", json!({ "company": other, "role": "owner" })),
                ("add_note", json!({ "text": "Calls back" })),
                ("archive", json!({})),
                ("restore", json!({})),
            ],
        ),
        ("companies", vec![("", json!({ "city": "Milano", "industry": null })), ("tag", json!({ "tag": "big" }))]),
        (
            "products",
            vec![
                ("", json!({ "color": "#ff0000" })),
                ("categorise", json!({ "category": null })),
                ("retire", json!({})),
            ],
        ),
        ("product_categories", vec![("rename", json!({ "name": "Work" })), ("delete", json!({}))]),
        ("article_categories", vec![("", json!({ "name": "Money" }))]),
        (
            "articles",
            vec![
                ("", json!({ "body": "Otherwise" })),
                ("vote", json!({ "voter": other, "helpful": true })),
                ("publish", json!({})),
                ("unpublish", json!({})),
            ],
        ),
        (
            "entitlements",
            vec![
                ("change_details", json!({ "serial_number": "SN-2", "custom": { "seats": 6 } })),
                ("revoke", json!({ "reason": "x" })),
            ],
        ),
        (
            "users",
            vec![("activate", json!({})), ("change_profile", json!({ "city": "Roma" })), ("deactivate", json!({}))],
        ),
        (
            "roles",
            vec![("change_permissions", json!({ "add": ["contact.read"] })), ("rename", json!({ "name": "day" }))],
        ),
        (
            "teams",
            vec![
                ("rename", json!({ "name": "Zero" })),
                ("change_alias", json!({ "alias": "zero" })),
                ("archive", json!({})),
            ],
        ),
        (
            "tickets",
            vec![
                ("", json!({ "title": "Other", "priority": 3 })),
                ("unassign", json!({})),
                ("snooze", json!({ "until": "2999-01-01T00:00:00Z" })),
                ("receive_message", json!({ "body": "Still" })),
                ("resolve", json!({ "outcome": "Gone" })),
                ("reopen", json!({})),
            ],
        ),
        ("api_keys", vec![("rename", json!({ "name": "feed" })), ("revoke", json!({}))]),
        ("sessions", vec![("end", json!({}))]),
        (
            "webhooks",
            vec![
                ("change", json!({ "types": ["contact.*"] })),
                ("rotate_secret", json!({})),
                ("retire_former_secret", json!({})),
                ("archive", json!({})),
            ],
        ),
        (
            "leads",
            vec![("", json!({ "city": "Bari" })), ("move_stage", json!({ "stage": "qualified" })), ("lose", json!({}))],
        ),
        (
            "properties",
            vec![
                ("", json!({ "price": { "amount": "1.50", "currency": "EUR" }, "features": null })),
                ("add_media", json!({ "url": "https://pictures.example/2.jpg", "kind": "plan" })),
                ("publish_to_portal", json!({ "portal": "immo" })),
                ("mark_portal_rejected", json!({ "portal": "immo", "error": "No" })),
            ],
        ),
        (
            "offers",
            vec![
                ("send", json!({ "medium": "phone" })),
                ("mark_opened", json!({})),
                ("decline", json!({ "reason": "x" })),
            ],
        ),
        (
            "enquiries",
            vec![
                ("", json!({ "criteria": { "rooms_from": 4 } })),
                ("note_external_offer", json!({ "text": "x" })),
                ("close", json!({})),
            ],
        ),
        (
            "deals",
            vec![
                ("", json!({ "amount": { "amount": "7.70", "currency": "EUR" }, "company": null })),
                ("lose", json!({})),
                ("reopen", json!({})),
            ],
        ),
        ("projects", vec![("", json!({ "name": "Other" })), ("archive", json!({}))]),
        ("views", vec![("", json!({ "columns": ["number", "title"], "group_by": null })), ("archive", json!({}))]),
        (
            "orders",
            vec![
                ("amend", json!({ "city": null })),
                ("change_status", json!({ "status": "packed" })),
                ("pay", json!({ "amount": { "amount": "5", "currency": "EUR" } })),
                ("cancel", json!({})),
            ],
        ),
        ("calls", vec![("answer", json!({ "user": all["users"][1] })), ("end", json!({ "duration_s": 9 }))]),
        (
            "channels",
            vec![
                ("rename", json!({ "name": "Other" })),
                ("change_appearance", json!({ "greeting": "Hello", "color": "#123456", "display": "hide" })),
                ("add_display_rule", json!({ "rule": { "path_regex": "^/a", "countries": ["DE"] } })),
                ("add_operators", json!({ "users": [all["users"][1]] })),
                ("change_settings", json!({ "allowed_origins": ["https://a.example"], "reopen_after_s": 60 })),
                ("disable", json!({})),
            ],
        ),
        (
            "conversations",
            vec![
                ("send_message", json!({ "body": "Hello" })),
                ("receive_message", json!({ "body": "Still here" })),
                ("mark_read", json!({})),
                ("label", json!({ "label": all["labels"][0] })),
                ("start_bot", json!({ "chatbot": all["chatbots"][0] })),
                ("convert_to_ticket", json!({ "title": "Wants a price" })),
                ("claim", json!({})),
                ("close", json!({})),
            ],
        ),
        (
            "forms",
            vec![
                ("", json!({ "name": "Ask anything" })),
                (
                    "add_field",
                    json!({ "field": { "key": "story", "input_type": "textarea", "label": "Story" }, "before": "email" }),
                ),
                (
                    "change_field",
                    json!({ "field": { "key": "story", "input_type": "textarea", "label": "All of it" } }),
                ),
                ("move_field", json!({ "key": "story" })),
                ("bind_site", json!({ "origin": "https://www.example.com" })),
                ("publish", json!({})),
                ("unpublish", json!({})),
                ("unbind_site", json!({ "origin": "https://www.example.com" })),
                ("remove_field", json!({ "key": "story" })),
                ("archive", json!({})),
            ],
        ),
        ("form_submissions", vec![("accept", json!({}))]),
        ("intake_sources", vec![("", json!({ "name": "The other shop" })), ("archive", json!({}))]),
        ("deliveries", vec![("try_again", json!({}))]),
        ("emails", vec![("cancel", json!({}))]),
        ("notices", vec![("clear", json!({}))]),
        (
            "chatbots",
            vec![
                ("", json!({ "description": null })),
                ("publish", json!({ "steps": [{ "id": "bye", "type": "message", "text": "Good bye" }] })),
                ("archive", json!({})),
            ],
        ),
        ("labels", vec![("rename", json!({ "name": "Gold" })), ("unpin", json!({}))]),
        ("quick_replies", vec![("", json!({ "text": "Hi", "label": null })), ("archive", json!({}))]),
        ("reports", vec![("", json!({ "definition": { "measures": ["closed"] } })), ("archive", json!({}))]),
        (
            "dashboards",
            vec![
                ("add_page", json!({ "page": "hours", "name": "Hours" })),
                ("rename_page", json!({ "page": "hours", "name": "When" })),
                ("reorder_pages", json!({ "pages": ["hours", "later", "overview"] })),
                ("add_widget", json!({ "page": "hours", "widget": widget("mine", 6) })),
                ("configure_widget", json!({ "widget": "mine", "shows": { "kind": "text", "text": "Hello" } })),
                (
                    "place_widgets",
                    json!({ "places": [{ "widget": "mine", "place": { "x": 0, "y": 4, "w": 6, "h": 4 }, "page": "overview" }] }),
                ),
                ("remove_widget", json!({ "widget": "mine" })),
                ("remove_page", json!({ "page": "hours" })),
                ("", json!({ "range": "this_month" })),
                ("archive", json!({})),
            ],
        ),
        ("uploads", vec![("delete", json!({ "reason": "x" }))]),
        ("comments", vec![("", json!({ "text": "Other" })), ("delete", json!({}))]),
        ("activities", vec![("correct", json!({ "text": "Other" })), ("withdraw", json!({}))]),
        ("relations", vec![("remove", json!({}))]),
        (
            "tasks",
            vec![
                ("", json!({ "title": "Other", "project": null })),
                ("start", json!({})),
                ("change_due", json!({ "due_at": "2999-01-02T00:00:00Z" })),
                ("complete", json!({ "outcome": "x" })),
                ("reopen", json!({})),
            ],
        ),
        (
            "rules",
            vec![("rename", json!({ "name": "Other" })), ("change_rank", json!({ "rank": 5 })), ("disable", json!({}))],
        ),
        ("rule_runs", vec![("cancel", json!({}))]),
        ("fields", vec![("change", json!({ "label": "Other" })), ("retire", json!({}))]),
        (
            "tenants",
            vec![
                ("change_setting", json!({ "key": "time_zone", "value": "Europe/Rome" })),
                ("disable_feature", json!({ "feature": "leads" })),
                // What is switched off is not read either.
                ("enable_feature", json!({ "feature": "leads" })),
            ],
        ),
    ]
}

/// The lives of all kinds, each step looked at.
pub(crate) async fn films(server: &Server) -> BTreeMap<&'static str, Film> {
    let client = &server.admin;
    let all = everything(server, client, "Word").await;
    let mut films = BTreeMap::new();
    let path = |collection: &str| format!("/v1/{collection}/{}", all[collection][0]);
    for (collection, steps) in lives(&all) {
        films.insert(collection, film(server, path(collection), &steps).await);
    }
    films.insert("imports", film(server, path("imports"), &[]).await);
    films.insert("bulk", film(server, path("bulk"), &[]).await);
    films
}

fn single_collections() -> Vec<&'static str> {
    let mut paths: Vec<&str> = Vec::new();
    for list in projections::lists().filter(|list| list.single) {
        if !paths.contains(&list.path) {
            paths.push(list.path);
        }
    }
    paths
}

#[tokio::test]
async fn every_record_reads_as_it_was_at_each_of_its_events() {
    let server = Server::start().await;
    let client = &server.admin;
    let films = films(&server).await;
    let mut collections = single_collections();
    collections.sort_unstable();
    assert_eq!(films.keys().copied().collect::<Vec<_>>(), collections, "every kind that is read one by one");
    for (collection, Film { path, frames }) in &films {
        assert!(!frames.is_empty() && (frames.len() > 1 || ["bulk", "imports"].contains(collection)), "{path}");
        for (position, then) in frames {
            // The first frame was read when others had changed already: what is joined has a test of its own.
            let reply = client.get(&format!("{path}?as_of={position}")).await;
            let mut read = reply.expect(StatusCode::OK);
            let mut then = then.clone();
            for body in [&mut read, &mut then] {
                let names: Vec<_> =
                    body.as_object().unwrap().keys().filter(|name| name.ends_with("_name")).cloned().collect();
                for name in names {
                    body[&name] = Value::Null;
                }
                for name in ["companies", "members", "roles", "teams", "followers", "linked_tickets", "labels"] {
                    body[name] = Value::Null;
                }
                for name in
                    ["active_entitlements", "conversation_count", "label_names", "product_category_id", "product_color"]
                {
                    body[name] = Value::Null;
                }
            }
            assert_eq!(read, then, "{path}?as_of={position}");
            assert_eq!(reply.header("etag"), format!("\"{}\"", then["version"]), "{path}?as_of={position}");
            assert_eq!(reply.header("deskfold-position"), then["position"].to_string());
        }
        let (_, first) = &frames[0];
        let before = frames[0].0.min(first["position"].as_i64().unwrap());
        assert!(before > 1, "{path}");
        let long_ago = client.get(&format!("{path}?as_of=2001-01-01T00:00:00Z")).await;
        assert_eq!(long_ago.status, StatusCode::NOT_FOUND, "{path} was not there yet");
        client.get(&format!("{path}?as_of=0")).await.problem(404, &unknown(collection));
        client.get(&format!("{path}?known_at=2001-01-01T00:00:00Z")).await.problem(404, &unknown(collection));
        let missing = path.rsplit_once('/').unwrap().0;
        client.get(&format!("{missing}/{NOBODY}?as_of=5")).await.problem(404, &unknown(collection));
        client.get(&format!("{missing}/{NOBODY}")).await.problem(404, &unknown(collection));
        client.get(&format!("{missing}/nonsense")).await.problem(404, &unknown(collection));
        for wrong in ["as_of=yesterday", "as_of=1&known_at=2026-01-01T00:00:00Z"] {
            client.get(&format!("{path}?{wrong}")).await.problem(422, "as_of_invalid");
        }
        client.get(&format!("{path}?known_at=soon")).await.problem(422, "as_of_invalid");
        client.get(&format!("{path}?when=now")).await.problem(422, "parameter_invalid");
    }
    // What is deleted is gone from the present only.
    let category = &films["product_categories"];
    client.get(&category.path).await.problem(404, "product_category_unknown");
    let last = &category.frames.last().unwrap();
    assert_eq!(client.read(&format!("{}?as_of={}", category.path, last.0)).await["name"], "Work");
}

/// Whatever is renamed afterwards, a record of then names others as they were called then; today's reading names them anew.
#[tokio::test]
async fn the_past_has_the_names_of_then() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "contact", "broker", "reference", json!({ "target": "user" })).await;
    let all = everything(&server, client, "Alpha").await;
    let broker = json!({ "custom": { "broker": all["users"][1] } });
    client.patch(&format!("/v1/contacts/{}", all["contacts"][1]), broker).await.expect(StatusCode::OK);
    server.settle().await;
    let paths: Vec<String> = single_collections()
        .into_iter()
        .flat_map(|collection| {
            all.get(collection).into_iter().flatten().map(move |id| format!("/v1/{collection}/{id}"))
        })
        .collect();
    assert!(paths.len() > 40, "{paths:?}");
    let mut before = Vec::new();
    for path in &paths {
        before.push(client.read(path).await);
    }
    let thread = format!("/v1/tickets/{}/thread", all["tickets"][0]);
    let said = client.read(&thread).await;
    let head = client.read("/v1/events?backwards=true&limit=1").await["data"][0]["position"].as_i64().unwrap();
    let mut renamed = 0;
    for collection in [
        "companies",
        "contacts",
        "enquiries",
        "labels",
        "product_categories",
        "products",
        "projects",
        "properties",
        "roles",
        "teams",
        "users",
    ] {
        for (index, id) in all[collection].iter().enumerate() {
            let name = json!({ "name": format!("Renamed {index}") });
            let path = format!("/v1/{collection}/{id}");
            match collection {
                "users" => drop(client.run(&format!("{path}/change_profile"), name).await),
                "labels" | "product_categories" | "roles" | "teams" => {
                    drop(client.run(&format!("{path}/rename"), name).await);
                }
                _ => drop(client.patch(&path, name).await.expect(StatusCode::OK)),
            }
            renamed += 1;
        }
    }
    assert!(renamed > 15);
    server.settle().await;
    let others = |record: &Value| {
        let mut record = record.clone();
        for own in ["name", "version", "position", "updated_at"] {
            record[own] = Value::Null;
        }
        record
    };
    let mut told_anew = 0;
    for (path, before) in paths.iter().zip(&before) {
        told_anew += usize::from(others(&client.read(path).await) != others(before));
        let then = client.read(&format!("{path}?as_of={head}")).await;
        assert_eq!(then, *before, "{path}");
    }
    assert!(told_anew > 20, "{told_anew}");
    assert_ne!(client.read(&thread).await["data"], said["data"]);
    assert_eq!(client.read(&format!("{thread}?as_of={head}")).await["data"], said["data"]);
}

/// The code of a record that there is not.
fn unknown(collection: &str) -> String {
    let kind = match collection {
        "notices" => "system_notice".to_owned(),
        plural if plural.ends_with("ies") => format!("{}y", plural.trim_end_matches("ies")),
        plural => plural.trim_end_matches('s').to_owned(),
    };
    format!("{kind}_unknown")
}

/// A ticket whose history was told on different days than it happened.
async fn told_late(client: &Client) -> (String, Vec<Value>) {
    let on = |day: &str| client.header("deskfold-occurred-at", format!("2026-{day}T12:00:00Z"));
    let id = on("01-10").create("/v1/tickets", json!({ "title": "January", "priority": 1 })).await;
    let at = |command: &str| format!("/v1/tickets/{id}/{command}");
    on("01-30").run(&at("change_title"), json!({ "title": "Late January" })).await;
    // Told after, although it happened before.
    on("01-20").run(&at("change_priority"), json!({ "priority": 3 })).await;
    on("02-10").run(&at("resolve"), json!({ "outcome": "Done" })).await;
    let history = client.read(&at("history")).await;
    (id, history["data"].as_array().unwrap().clone())
}

#[tokio::test]
async fn what_had_happened_differs_from_what_was_known() {
    let server = Server::start().await;
    let client = &server.admin;
    let (id, events) = told_late(client).await;
    let path = format!("/v1/tickets/{id}");
    let as_of = async |instant: &str| client.read(&format!("{path}?as_of={instant}")).await;
    client.get(&format!("{path}?as_of=2026-01-10T11:59:59Z")).await.problem(404, "ticket_unknown");
    for (instant, title, priority, status) in [
        ("2026-01-10T12:00:00Z", "January", 1, "open"),
        ("2026-01-25T00:00:00Z", "January", 3, "open"),
        ("2026-02-01T00:00:00Z", "Late January", 3, "open"),
        ("2026-02-01T01:00:00%2B01:00", "Late January", 3, "open"),
        ("2026-03-01T00:00:00Z", "Late January", 3, "resolved"),
    ] {
        let then = as_of(instant).await;
        let seen = (&then["title"], &then["priority"], &then["status"]);
        assert_eq!(seen, (&json!(title), &json!(priority), &json!(status)), "{instant}");
    }
    // Known here: in the order in which it was told.
    for (index, (title, priority, status)) in [
        ("January", 1, "open"),
        ("Late January", 1, "open"),
        ("Late January", 3, "open"),
        ("Late January", 3, "resolved"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = &events[index];
        let recorded = event["recorded_at"].as_str().unwrap();
        for moment in [format!("known_at={recorded}"), format!("as_of={}", event["position"])] {
            let then = client.read(&format!("{path}?{moment}")).await;
            let seen = (&then["title"], &then["priority"], &then["status"]);
            assert_eq!(seen, (&json!(title), &json!(priority), &json!(status)), "{moment}");
            assert_eq!((&then["version"], &then["position"]), (&json!(index), &event["position"]));
        }
    }
    let today = format!("{path}?as_of={}", i64::MAX);
    server.settle().await;
    assert_eq!(client.read(&today).await, client.read(&path).await);
}

#[tokio::test]
async fn a_thread_reads_as_it_was_merges_and_splits_included() {
    let server = Server::start().await;
    let client = &server.admin;
    let (main, part) = (ticket(client, "Main").await, ticket(client, "Part").await);
    let at = |id: &str, command: &str| format!("/v1/tickets/{id}/{command}");
    let mut frames: Vec<(i64, Vec<Value>, Vec<Value>)> = Vec::new();
    let mut second = Value::Null;
    for (ticket, command, body) in [
        (&main, "receive_message", json!({ "body": "one" })),
        (&part, "receive_message", json!({ "body": "two" })),
        (&main, "add_note", json!({ "body": "three" })),
        (&part, "merge", json!({ "into": main })),
        (&main, "reply", json!({ "body": "four" })),
        (&part, "unmerge", json!({})),
        (&part, "split", Value::Null),
        (&part, "receive_message", json!({ "body": "five" })),
    ] {
        let body = if body.is_null() { json!({ "messages": [second] }) } else { body };
        let done = client.post(&at(ticket, command), body.clone()).await.expect(StatusCode::OK);
        if body["body"] == "two" {
            second = done["events"][0]["data"]["message_id"].clone();
        }
        server.settle().await;
        let now = async |id: &str| each(&client.read(&at(id, "thread")).await, "body");
        frames.push((done["position"].as_i64().unwrap(), now(&main).await, now(&part).await));
    }
    assert_eq!(frames[3].1, ["one", "two", "three"], "merged");
    assert_eq!((&frames[6].1.len(), &frames[6].2.len()), (&3, &0), "split off");
    for (position, main_then, part_then) in &frames {
        for (id, then) in [(&main, main_then), (&part, part_then)] {
            let read = client.read(&at(id, &format!("thread?as_of={position}"))).await;
            assert_eq!(each(&read, "body"), *then, "as of {position}");
        }
    }
    client.get(&at(&main, "thread?as_of=never")).await.problem(422, "as_of_invalid");
    let long_ago = client.get(&at(&main, "thread?as_of=2001-01-01T00:00:00Z")).await;
    long_ago.problem(404, "ticket_unknown");
}

/// Every list and single read, with a record to find in each: (query, id, position of the command that wrote it).
async fn fresh(client: &Client) -> Vec<(String, String, i64)> {
    let mut asked = Vec::new();
    let customer = Customer::new(client).await;
    let boris = user(client, "Boris").await;
    let id = customer.ticket(client, "x").await;
    for (collection, body) in [
        ("companies", json!({ "name": "Neri" })),
        ("contacts", json!({ "name": "Eva" })),
        ("products", json!({ "name": "Phone" })),
        ("product_categories", json!({ "name": "All" })),
        ("entitlements", json!({ "product": customer.product, "holder": party("contact", &customer.contact) })),
        ("users", json!({ "email": "eva@example.com", "name": "Eva" })),
        ("roles", json!({ "name": "night", "permissions": [] })),
        ("teams", json!({ "name": "First" })),
        ("tickets", json!({ "title": "New" })),
        ("api_keys", json!({ "name": "feed", "user": boris })),
        ("webhooks", json!({ "url": "https://example.com/hook", "types": ["ticket.*"], "enabled": false })),
        ("leads", json!({ "name": "Oleg" })),
        ("properties", json!({ "name": "Three rooms" })),
        ("enquiries", json!({ "name": "A flat", "contact": customer.contact })),
        ("deals", json!({ "name": "Flat" })),
        ("projects", json!({ "name": "House" })),
        ("views", json!({ "name": "Tickets", "collection": "tickets" })),
        ("orders", json!({ "source": "chat", "total": { "amount": "5", "currency": "EUR" } })),
        ("calls", json!({ "from": "+39 06 555 0101", "to": "main" })),
        ("conversations", json!({ "medium": "live_chat" })),
        ("labels", json!({ "name": "VIP", "preset": true })),
        ("quick_replies", json!({ "name": "hello", "text": "Good day" })),
        ("comments", json!({ "subjects": [party("contact", &customer.contact)], "text": "x" })),
        ("activities", json!({ "kind": "visit", "subjects": [party("contact", &customer.contact)], "text": "x" })),
        (
            "relations",
            json!({ "from": party("contact", &customer.contact), "to": party("company", &customer.company), "role": "boss" }),
        ),
        ("tasks", json!({ "title": "Call" })),
        ("rules", json!({ "name": "Nothing yet", "trigger": "order.placed" })),
        ("reports", json!({ "name": "Backlog", "definition": { "measures": ["backlog"] } })),
        ("dashboards", json!({ "name": "Today", "from_shipped": "desk" })),
    ] {
        let created = client.post(&format!("/v1/{collection}"), body).await.expect(StatusCode::CREATED);
        let (id, position) = (created["id"].as_str().unwrap().to_owned(), created["position"].as_i64().unwrap());
        asked.push((format!("/v1/{collection}/{id}"), id.clone(), position));
        asked.push((format!("/v1/{collection}?limit=200"), id, position));
    }
    let said = client.post(&format!("/v1/tickets/{id}/add_note"), json!({ "body": "x" })).await.expect(StatusCode::OK);
    let message = said["events"][0]["data"]["message_id"].as_str().unwrap().to_owned();
    let position = said["position"].as_i64().unwrap();
    asked.push((format!("/v1/tickets/{id}/thread"), message.clone(), position));
    asked.push(("/v1/messages".to_owned(), message, position));
    let flat = client.create("/v1/properties", json!({ "name": "Two rooms" })).await;
    let enquiry = client.create("/v1/enquiries", json!({ "name": "Any flat", "contact": customer.contact })).await;
    let offer = json!({ "enquiry": enquiry, "properties": [flat] });
    let drafted = client.post("/v1/offers", offer).await.expect(StatusCode::CREATED);
    let (offer, position) = (drafted["id"].as_str().unwrap().to_owned(), drafted["position"].as_i64().unwrap());
    asked.push((format!("/v1/offers/{offer}"), offer.clone(), position));
    asked.push(("/v1/offers".to_owned(), offer, position));
    let chat = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    let said = json!({ "body": "Good day" });
    let said = client.post(&format!("/v1/conversations/{chat}/receive_message"), said).await.expect(StatusCode::OK);
    let message = said["events"][0]["data"]["message_id"].as_str().unwrap().to_owned();
    let position = said["position"].as_i64().unwrap();
    asked.push((format!("/v1/conversations/{chat}/messages"), message.clone(), position));
    asked.push(("/v1/conversation_messages".to_owned(), message, position));
    let labelled = client.post(&format!("/v1/conversations/{chat}/label"), json!({ "name": "Typed" })).await;
    let position = labelled.expect(StatusCode::OK)["position"].as_i64().unwrap();
    asked.push(("/v1/labels".to_owned(), "Typed".to_owned(), position));
    let phone = product(client, "Fax").await;
    let body = json!({ "product": phone, "holder": party("contact", &customer.contact) });
    let granted = client.post("/v1/entitlements", body).await.expect(StatusCode::CREATED);
    let entitlement = granted["id"].as_str().unwrap().to_owned();
    let position = granted["position"].as_i64().unwrap();
    asked.push((format!("/v1/entitlements/picker?requester_id={}", customer.contact), entitlement.clone(), position));
    asked.push(("/v1/entitlements.csv".to_owned(), entitlement, position));
    let other = contact(client, "Gio").await;
    let body = json!({ "product": phone, "holder": party("contact", &other) });
    let granted = client.create("/v1/entitlements", body).await;
    let body = json!({ "title": "x", "requester": party("contact", &other), "entitlement": granted });
    let opened = client.post("/v1/tickets", body).await.expect(StatusCode::CREATED);
    asked.push(("/v1/reports/tickets_by_product".to_owned(), phone, opened["position"].as_i64().unwrap()));
    let defined = json!({ "entity": "ticket", "key": "brand_new", "type": "text" });
    let defined = client.post("/v1/fields", defined).await.expect(StatusCode::CREATED);
    asked.push(("/v1/fields".to_owned(), "brand_new".to_owned(), defined["position"].as_i64().unwrap()));
    let tenant = client.read("/v1/me").await["tenant"].as_str().unwrap().to_owned();
    let renamed = client.post(&format!("/v1/tenants/{tenant}/rename"), json!({ "name": "Renamed" })).await;
    let position = renamed.expect(StatusCode::OK)["position"].as_i64().unwrap();
    asked.push(("/v1/tenants".to_owned(), "Renamed".to_owned(), position));
    asked.push((format!("/v1/tenants/{tenant}"), "Renamed".to_owned(), position));
    asked
}

#[tokio::test]
async fn whoever_has_written_reads_it_at_once() {
    let server = Server::start().await;
    let client = &server.admin;
    for (path, shows, position) in fresh(client).await {
        let reply = client.header("deskfold-min-position", position).get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        assert!(reply.text.contains(&shows), "{path} shows {shows}: {}", reply.text);
        let reflected: i64 = reply.header("deskfold-position").parse().unwrap_or(i64::MAX);
        assert!(reflected >= position, "{path} reflects {reflected}, not {position}");
    }
    // The same by a parameter, in a body, and with nothing but what the command answered.
    for round in 0..20 {
        let title = format!("Round {round}");
        let opened = client.post("/v1/tickets", json!({ "title": title })).await;
        let position = opened.header("deskfold-position").to_owned();
        let only = condition("title", "eq", &*title);
        let listed = client.read(&filtered(&format!("/v1/tickets?min_position={position}"), &only)).await;
        assert_eq!(texts(&listed, "title"), [&*title]);
        let number: i64 = position.parse().unwrap();
        let body = json!({ "filter": only, "min_position": number });
        let searched = client.post("/v1/tickets/search", body).await.expect(StatusCode::OK);
        assert_eq!(texts(&searched, "title"), [&*title]);
        let id = opened.json()["id"].as_str().unwrap().to_owned();
        let read = client.header("deskfold-min-position", &position).read(&format!("/v1/tickets/{id}")).await;
        assert_eq!(read["title"], *title);
    }
}

#[tokio::test]
async fn a_position_that_is_not_reached_in_time_is_told() {
    let server = Server::start().await;
    let asked = fresh(&server.admin).await;
    server.settle().await;
    // Nobody works at read models any more.
    let (app, client) = server.beside(&["--roles", "api", "--read-wait", "20ms"]).await;
    server.app.stop().await;
    let opened = client.post("/v1/tickets", json!({ "title": "x" })).await.expect(StatusCode::CREATED);
    let position = opened["position"].as_i64().unwrap();
    for (path, ..) in &asked {
        let reply = client.header("deskfold-min-position", position).get(path).await;
        reply.problem(503, "position_not_reached");
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{path}");
    }
    client.header("deskfold-min-position", "soon").get("/v1/tickets").await.problem(400, "min_position_invalid");
    client.get("/v1/tickets?min_position=soon").await.problem(422, "parameter_invalid");
    // The past is there already: it waits for nothing.
    let past = format!("{}?as_of={position}", asked[0].0);
    client.header("deskfold-min-position", position).get(&past).await.expect(StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn a_query_waits_until_the_position_is_there() {
    let server = Server::start().await;
    let client = &server.admin;
    for name in ["Ada", "Dora", "Carlo"] {
        let created = client.post("/v1/contacts", json!({ "name": name })).await.expect(StatusCode::CREATED);
        let waiting = client.header("deskfold-min-position", &created["position"]);
        let found = waiting.read("/v1/contacts?sort=-created_at&limit=1").await;
        assert_eq!(texts(&found, "name"), [name]);
    }
}

/// A position waits for the names of others too: whoever has renamed somebody reads the new name everywhere at once.
#[tokio::test]
async fn a_position_waits_for_the_names_of_others_too() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria").await;
    let ticket = client.create("/v1/tickets", json!({ "title": "x", "requester": party("contact", &maria) })).await;
    let task = json!({ "title": "Call", "subjects": [{ "kind": "contact", "id": maria }] });
    let task = client.create("/v1/tasks", task).await;
    for turn in 0..15 {
        let name = format!("Maria {turn}");
        let renamed = client.patch(&format!("/v1/contacts/{maria}"), json!({ "name": name })).await;
        let fresh = client.header("deskfold-min-position", renamed.header("deskfold-position"));
        assert_eq!(fresh.read(&format!("/v1/tasks/{task}")).await["subject_names"][&maria], *name);
        assert_eq!(fresh.read(&format!("/v1/tickets/{ticket}")).await["requester_name"], *name);
        let by_name = filtered("/v1/tickets", &condition("requester_name", "eq", name));
        assert_eq!(each(&fresh.read(&by_name).await, "id"), [json!(ticket)]);
    }
}

/// A moment at which all lists were asked.
struct Moment {
    position: i64,
    instant: String,
    answers: Vec<(&'static List, String, Value)>,
}

/// What is asked of a list at a moment: all of it, and something else each time.
fn questions(list: &'static List, turn: usize, rows: &Value) -> Vec<String> {
    let path = format!("/v1/{}?limit=200&count=exact", list.path);
    let mut asked = vec![path.clone()];
    let of = |fits: &dyn Fn(&Column) -> bool| -> Vec<&'static Column> {
        list.columns.iter().filter(|column| fits(column)).collect()
    };
    let turned = |columns: Vec<&'static Column>| columns.get(turn % columns.len().max(1)).copied();
    let sorted = turned(of(&|column| column.sortable));
    asked.extend(sorted.map(|column| format!("{path}&sort=-{}", column.name)));
    let is_told = |kind: FieldKind| !matches!(kind, FieldKind::Decimal | FieldKind::Date | FieldKind::Time);
    let grouped = turned(of(&|column| is_told(column.kind) && column.names.is_none()));
    asked.extend(grouped.map(|column| format!("{path}&group={}", column.name)));
    let summed = turned(of(&|column| column.kind == FieldKind::Integer));
    asked.extend(summed.map(|column| format!("{path}&sum={}", column.name)));
    let value = |column: &Column| {
        let pointer = format!("/{}", column.name.replace('.', "/"));
        let rows = rows["data"].as_array().unwrap().iter();
        rows.filter_map(|row| row.pointer(&pointer))
            .find(|value| value.is_string() || value.is_i64() || value.is_boolean())
            .cloned()
    };
    let filled = turned(of(&|column| value(column).is_some()));
    asked.extend(filled.map(|column| filtered(&path, &condition(column.name, "eq", value(column).unwrap()))));
    let called = turned(of(&|column| column.names.is_some()));
    let op = |column: &Column| if column.kind.is_set() { "eq" } else { "contains" };
    asked.extend(called.map(|column| filtered(&path, &condition(column.name, op(column), "Word"))));
    let hiding = turned(of(&|column| column.hides));
    asked.extend(hiding.map(|column| filtered(&path, &condition(column.name, "is_null", false))));
    asked
}

/// A page, without where the log is.
fn shown(mut page: Value) -> Value {
    page.as_object_mut().unwrap().remove("position");
    for row in page["data"].as_array_mut().unwrap() {
        // They are in no event.
        for name in ["last_used_at", "last_seen_at"] {
            row.as_object_mut().unwrap().remove(name);
        }
    }
    page
}

/// Where two answers differ, each place with what the first and the second says.
fn differing(one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            let pairs = one.iter().map(|(name, value)| (name, value, &other[name]));
            pairs
                .flat_map(|(name, one, other)| differing(one, other).into_iter().map(move |at| format!("{name}/{at}")))
                .collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs
                .flat_map(|(place, (one, other))| {
                    differing(one, other).into_iter().map(move |at| format!("{place}/{at}"))
                })
                .collect()
        }
        (one, other) if one == other => Vec::new(),
        (one, other) => vec![format!(": {one} is not {other}")],
    }
}

async fn look(server: &Server, turn: usize) -> Moment {
    let client = &server.admin;
    server.settle().await;
    let position = client.read("/v1/events?limit=1").await["position"].as_i64().unwrap();
    let instant = jiff::Timestamp::now().to_string();
    let mut answers = Vec::new();
    for list in projections::lists().filter(|list| list.listed) {
        let all = client.read(&format!("/v1/{}?limit=200", list.path)).await;
        for question in questions(list, turn, &all) {
            let answer = shown(client.read(&question).await);
            answers.push((list, question, answer));
        }
    }
    Moment { position, instant, answers }
}

#[tokio::test]
async fn every_list_reads_as_it_was_at_any_moment() {
    let server = Server::start().await;
    let client = &server.admin;
    let all = everything(&server, client, "Word").await;
    let mut lives: Vec<(String, VecDeque<(&str, Value)>)> = lives(&all)
        .into_iter()
        .map(|(collection, steps)| (format!("/v1/{collection}/{}", all[collection][0]), steps.into()))
        .collect();
    // A list that is switched off is not read either.
    lives.iter_mut().for_each(|(_, steps)| steps.retain(|(command, _)| !command.ends_with("able_feature")));
    let other = |collection: &str, place: usize| format!("/v1/{collection}/{}", all[collection][place]);
    let renamed = |name: &str| ("", json!({ "name": name }));
    // Others are called otherwise, and merged for a while.
    lives.push((other("companies", 1), [renamed("Verdi"), ("archive", json!({}))].into()));
    lives.push((
        other("contacts", 1),
        [renamed("Theodora Word"), ("merge", json!({ "into": all["contacts"][0] })), ("unmerge", json!({}))].into(),
    ));
    lives.push((other("contacts", 2), [renamed("Charles"), ("merge", json!({ "into": all["contacts"][0] }))].into()));
    lives.push((other("users", 1), [("change_profile", json!({ "name": "Boris of Word" }))].into()));
    lives.push((
        other("tickets", 1),
        [("merge", json!({ "into": all["tickets"][0] })), ("unmerge", json!({})), ("close", json!({}))].into(),
    ));
    let (mut random, mut moments, mut refused, mut done) = (StdRng::seed_from_u64(11), Vec::new(), 0, 0);
    while !lives.is_empty() {
        let life = random.random_range(0..lives.len());
        let (path, steps) = &mut lives[life];
        let Some((command, body)) = steps.pop_front() else {
            lives.swap_remove(life);
            continue;
        };
        let reply = match command {
            "" => client.patch(path, body).await,
            command => client.post(&format!("{path}/{command}"), body).await,
        };
        // What comes in another order is not always possible.
        if reply.status.is_success() {
            done += 1;
        } else {
            refused += 1;
        }
        if done % 16 == 1 {
            moments.push(look(&server, moments.len()).await);
        }
    }
    assert!(done > 70 && refused < 20, "{done} done, {refused} refused");
    assert!(moments.len() >= 5);
    server.settle().await;
    let (mut checked, mut wrong) = (0, BTreeMap::new());
    let mut hold = |list: &'static List, what: String, told: &Value, then: &Value| {
        checked += 1;
        if told != then {
            wrong.entry(list.path).or_insert_with(|| (what, differing(told, then)));
        }
    };
    for (turn, Moment { position, instant, answers }) in moments.iter().enumerate() {
        let ways = [format!("as_of={position}"), format!("known_at={instant}"), format!("as_of={instant}")];
        for (list, question, answer) in answers {
            let is_plain = !question.contains("count=exact&");
            for (way, moment) in ways.iter().enumerate().filter(|(way, _)| is_plain || *way == turn % ways.len()) {
                let reply = client.get(&format!("{question}&{moment}")).await;
                let then = shown(reply.expect(StatusCode::OK));
                hold(list, format!("{question}&{moment}"), &then, answer);
                if way != turn % ways.len() || !is_plain {
                    continue;
                }
                // Page by page, with what is asked in a body, and as a file.
                let (name, value) = moment.split_once('=').unwrap();
                let path = format!("/v1/{}", list.path);
                let paged = pages(client, &format!("{path}?limit=2&{moment}")).await;
                let paged = shown(json!({ "data": paged }));
                hold(list, format!("{path} page by page, {moment}"), &paged["data"], &answer["data"]);
                let found = client.post(&format!("{path}/search"), json!({ name: value, "limit": 200 })).await;
                let found = shown(found.expect(StatusCode::OK));
                hold(list, format!("{path}/search, {moment}"), &found["data"], &answer["data"]);
                let file = client.get(&format!("{path}/export?format=jsonl&{moment}")).await;
                assert_eq!(file.status, StatusCode::OK, "{path}/export: {}", file.text);
                let lines: Vec<Value> = file.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let lines = shown(json!({ "data": lines }));
                hold(list, format!("{path}/export, {moment}"), &lines["data"], &answer["data"]);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 1000, "{checked}");
    // A cursor goes on at its own moment, and only there.
    let [first, last] = [moments.first().unwrap(), moments.last().unwrap()].map(|moment| moment.position);
    let page = client.read(&format!("/v1/contacts?limit=1&as_of={first}")).await;
    let next = page["next"].as_str().unwrap();
    assert!(next.contains(&format!("as_of={first}")), "{next}");
    for other in
        [next.replace(&format!("as_of={first}"), &format!("as_of={last}")), next.replace("as_of=", "min_position=")]
    {
        client.get(&other).await.problem(422, "cursor_mismatch");
    }
    client.get("/v1/contacts?as_of=never").await.problem(422, "as_of_invalid");
    client.get("/v1/contacts?as_of=1&known_at=2026-01-01").await.problem(422, "as_of_invalid");
    assert_eq!(client.read("/v1/contacts?as_of=2001-01-01").await["data"], json!([]));
}

#[tokio::test]
async fn a_list_of_the_past_tells_what_had_happened_or_was_known_and_shows_what_one_sees_now() {
    let server = Server::start().await;
    let client = &server.admin;
    let (anna_id, anna) = person(&server, "anna@example.com", &["ticket.read:own", "contact.read", "view.*:own"]).await;
    let maria = contact(client, "Maria").await;
    let one = json!({ "title": "One", "requester": party("contact", &maria), "assignee": anna_id });
    let one = client.create("/v1/tickets", one).await;
    let two = client.create("/v1/tickets", json!({ "title": "Two", "requester": party("contact", &maria) })).await;
    server.settle().await;
    let before = jiff::Timestamp::now().to_string();
    client.patch(&format!("/v1/contacts/{maria}"), json!({ "name": "Marie" })).await.expect(StatusCode::OK);
    client.patch(&format!("/v1/tickets/{one}"), json!({ "title": "Changed" })).await.expect(StatusCode::OK);
    // Told later than it happened.
    let late = client.header("deskfold-occurred-at", &before);
    late.post(&format!("/v1/tickets/{two}/resolve"), json!({})).await.expect(StatusCode::OK);
    server.settle().await;
    let titles = async |client: &Client, moment: &str, filter: &Value| {
        let page = client.read(&filtered(&format!("/v1/tickets?sort=number&{moment}"), filter)).await;
        texts(&page, "title")
    };
    let (happened, known) = (format!("as_of={before}"), format!("known_at={before}"));
    let resolved = condition("status", "eq", "resolved");
    assert_eq!(titles(client, &happened, &resolved).await, ["Two"]);
    assert_eq!(titles(client, &known, &resolved).await, [""; 0]);
    let (maria_s, marie_s) = (condition("requester_name", "eq", "Maria"), condition("requester_name", "eq", "Marie"));
    assert_eq!(titles(client, &known, &maria_s).await, ["One", "Two"]);
    assert_eq!(titles(client, &known, &marie_s).await, [""; 0]);
    assert_eq!(titles(client, "limit=5", &marie_s).await, ["Changed", "Two"]);
    let hers = anna.get(&format!("/v1/tickets?{known}")).await.expect(StatusCode::OK);
    assert_eq!(texts(&hers, "title"), ["One"], "what she sees now, as it was");
    // Through a view, and how many there were.
    let view = json!({ "name": "Open", "collection": "tickets", "filter": condition("status", "eq", "open"), "group_by": "status", "sort": "number" });
    let view = client.create("/v1/views", view).await;
    server.settle().await;
    let seen = client.read(&format!("/v1/views/{view}/records?{known}")).await;
    assert_eq!(texts(&seen, "title"), ["One", "Two"]);
    let seen = client.read(&format!("/v1/views/{view}/records?{happened}")).await;
    assert_eq!(texts(&seen, "title"), ["One"]);
    let counted = client.read(&format!("/v1/views/{view}/counts?{known}")).await;
    assert_eq!((&counted["total"], &counted["groups"]), (&json!(2), &json!([{ "value": "open", "count": 2 }])));
    let file = client.get(&format!("/v1/tickets/export?columns=title,requester_name&sort=number&{known}")).await;
    assert_eq!(file.text.lines().collect::<Vec<_>>(), ["title,requester_name", "One,Maria", "Two,Maria"]);
}
