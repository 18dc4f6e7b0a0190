//! Custom fields: options with labels, references and money, and one identity for each field.

use std::collections::BTreeSet;

use deskfold_tests::{Client, Server, document::follow};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{
    NOBODY, condition, contact, euros, everything, field, filtered, pages, product, texts, ticket, user,
};

/// The definition of a field as its list shows it.
async fn shown(server: &Server, client: &Client, key: &str) -> Value {
    server.settle().await;
    client.read(&filtered("/v1/fields", &condition("key", "eq", key))).await["data"][0].clone()
}

#[tokio::test]
async fn options_have_labels_colours_and_an_order_and_retire() {
    let server = Server::start().await;
    let client = &server.admin;
    let options = json!(["s", { "value": "m", "label": "Medium", "color": "#ff0000" }]);
    field(client, "ticket", "size", "select", json!({ "options": options })).await;
    let size = shown(&server, client, "size").await;
    let plain = json!({ "value": "s", "label": "s", "color": null, "order": 0, "retired": false });
    assert_eq!(size["options"][0], plain);
    assert_eq!(size["options"][1]["label"], "Medium");
    let open = async |size: &str| client.post("/v1/tickets", json!({ "title": "x", "custom": { "size": size } })).await;
    let small = open("s").await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    server.settle().await;
    let version = client.read(&format!("/v1/tickets/{small}")).await["version"].clone();

    // Another label touches no record.
    let change = "/v1/fields/ticket/change";
    let renamed = json!({ "key": "size", "options": [{ "value": "s", "label": "Small" }, "m", "l"] });
    client.run(change, renamed).await;
    let size = shown(&server, client, "size").await;
    assert_eq!((&size["options"][0]["label"], &size["options"][1]["label"]), (&json!("Small"), &json!("Medium")));
    let ticket = client.read(&format!("/v1/tickets/{small}")).await;
    assert_eq!((&ticket["custom"]["size"], &ticket["version"]), (&json!("s"), &version));

    // What is no longer named is retired: kept where it is, refused where it is new, and known to filters.
    client.run(change, json!({ "key": "size", "options": [{ "value": "m", "order": 1 }, "l"] })).await;
    let size = shown(&server, client, "size").await;
    let retired: Vec<_> =
        size["options"].as_array().unwrap().iter().map(|o| (o["value"].clone(), o["retired"].clone())).collect();
    assert_eq!(retired.last(), Some(&(json!("s"), json!(true))));
    let refused = open("s").await;
    assert_eq!(refused.problem(422, "custom_option_retired")["errors"][0]["pointer"], "/custom/size");
    client.run(&format!("/v1/tickets/{small}/set_custom"), json!({ "custom": { "size": "s" } })).await;
    client.run(&format!("/v1/tickets/{small}/change_title"), json!({ "title": "y" })).await;
    server.settle().await;
    let found = client.read(&filtered("/v1/tickets", &condition("custom.size", "eq", "s"))).await;
    assert_eq!(texts(&found, "id"), std::slice::from_ref(&small));
    open("xl").await.problem(422, "custom_value_invalid");
    let odd = client.post(change, json!({ "key": "size", "options": ["a", "a"] })).await;
    odd.problem(422, "field_options_invalid");
    // Whoever asks for the document sees the options that there are.
    let document = client.read("/v1/openapi.json").await.to_string();
    assert!(document.contains(r#""enum":["m","l","s",null]"#) || document.contains(r#""l","m","s",null"#));
}

#[tokio::test]
async fn a_retired_key_is_told_apart_from_one_that_never_was() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "site", "text", json!({})).await;
    let id = client.create("/v1/tickets", json!({ "title": "x", "custom": { "site": "Roma" } })).await;
    client.run("/v1/fields/ticket/retire", json!({ "key": "site" })).await;
    let open = async |key: &str| client.post("/v1/tickets", json!({ "title": "x", "custom": { key: "Bari" } })).await;
    open("site").await.problem(422, "custom_field_retired");
    open("sight").await.problem(422, "custom_field_unknown");
    client.run(&format!("/v1/tickets/{id}/set_custom"), json!({ "custom": { "site": "Roma" } })).await;
    client.run(&format!("/v1/tickets/{id}/set_custom"), json!({ "custom": { "site": null } })).await;
}

#[tokio::test]
async fn money_is_checked_and_filtered_by_its_parts() {
    let server = Server::start().await;
    let client = &server.admin;
    for kind in ["lead", "ticket"] {
        field(client, kind, "budget", "money", json!({})).await;
    }
    for (name, amount) in [("Small", "99.90"), ("Large", "1500")] {
        client.create("/v1/leads", json!({ "name": name, "custom": { "budget": euros(amount) } })).await;
    }
    client.create("/v1/leads", json!({ "name": "None" })).await;
    for odd in [json!("12 EUR"), json!({ "amount": "12" }), json!({ "amount": 12.5, "currency": "euro" })] {
        let refused = client.post("/v1/leads", json!({ "name": "Odd", "custom": { "budget": odd } })).await;
        assert_eq!(refused.problem(422, "custom_value_invalid")["errors"][0]["pointer"], "/custom/budget");
    }
    server.settle().await;
    let named = async |filter: Value| texts(&client.read(&filtered("/v1/leads", &filter)).await, "name");
    assert_eq!(named(condition("custom.budget.amount", "gt", "100")).await, ["Large"]);
    assert_eq!(named(condition("custom.budget.amount", "lte", "99.9")).await, ["Small"]);
    assert_eq!(named(condition("custom.budget.currency", "eq", "EUR")).await.len(), 2);
    assert_eq!(named(condition("custom.budget.amount", "is_null", true)).await, ["None"]);
    client
        .get(&filtered("/v1/leads", &condition("custom.budget", "eq", "1")))
        .await
        .problem(422, "filter_field_unknown");
}

#[tokio::test]
async fn references_are_checked_named_and_filtered() {
    let server = Server::start().await;
    let client = &server.admin;
    let (maria, boris) = (contact(client, "Maria").await, user(client, "Boris").await);
    let hosting = product(client, "Hosting").await;
    let company = client.create("/v1/companies", json!({ "name": "Rossi" })).await;
    let flat = client.create("/v1/properties", json!({ "name": "Flat", "kind": "apartment", "purpose": "sale" })).await;
    let all = [
        ("contact", &maria, "Maria"),
        ("user", &boris, "Boris"),
        ("product", &hosting, "Hosting"),
        ("company", &company, "Rossi"),
        ("property", &flat, "Flat"),
    ];
    let nothing = json!({ "entity": "ticket", "key": "x", "type": "reference" });
    client.post("/v1/fields", nothing).await.problem(422, "field_target_needed");
    let mut custom = json!({});
    let mut names = json!({});
    for (target, id, name) in all {
        field(client, "ticket", &format!("a_{target}"), "reference", json!({ "target": target })).await;
        custom[format!("a_{target}")] = json!(id);
        names[format!("a_{target}")] = json!(name);
    }
    let id = client.create("/v1/tickets", json!({ "title": "x", "custom": custom })).await;
    server.settle().await;
    let one = client.read(&format!("/v1/tickets/{id}")).await;
    assert_eq!(one["custom_names"], names);
    let list = client.read(&filtered("/v1/tickets", &condition("custom.a_user", "eq", boris.clone()))).await;
    assert_eq!((texts(&list, "id"), &list["data"][0]["custom_names"]), (vec![id.clone()], &names));
    for (target, _, _) in all {
        let key = format!("a_{target}");
        for odd in [NOBODY, if target == "contact" { boris.as_str() } else { maria.as_str() }] {
            let refused = client.post("/v1/tickets", json!({ "title": "x", "custom": { &key: odd } })).await;
            assert_eq!(refused.problem(422, "reference_unfit")["errors"][0]["pointer"], format!("/custom/{key}"));
        }
        let refused = client.post("/v1/tickets", json!({ "title": "x", "custom": { &key: "Maria" } })).await;
        refused.problem(422, "custom_value_invalid");
    }
    // Who is gone stays where it was named before.
    client.run(&format!("/v1/contacts/{maria}/archive"), json!({})).await;
    client.run(&format!("/v1/tickets/{id}/set_custom"), json!({ "custom": { "a_contact": maria } })).await;
    let other = ticket(client, "y").await;
    let again = json!({ "custom": { "a_contact": maria } });
    client.post(&format!("/v1/tickets/{other}/set_custom"), again).await.problem(422, "reference_unfit");
    // The same in records of descriptive kinds and in entitlements.
    field(client, "lead", "agent", "reference", json!({ "target": "user" })).await;
    let lead = client.create("/v1/leads", json!({ "name": "Oleg", "custom": { "agent": boris } })).await;
    let patch = json!({ "custom": { "agent": NOBODY } });
    client.patch(&format!("/v1/leads/{lead}"), patch).await.problem(422, "reference_unfit");
}

#[tokio::test]
async fn a_field_has_one_id_for_lists_locations_and_commands() {
    let server = Server::start().await;
    let client = &server.admin;
    let made = client.post("/v1/fields", json!({ "entity": "ticket", "key": "site", "type": "text" })).await;
    let body = made.expect(StatusCode::CREATED);
    let location = made.header("location").to_owned();
    server.settle().await;
    let one = client.read(&location).await;
    assert_eq!((&one["key"], &one["id"]), (&json!("site"), &body["id"]));
    let listed = shown(&server, client, "site").await;
    assert_eq!(listed["id"], body["id"]);
    // The id says which field is meant.
    let at = |command: &str| format!("{location}/{command}");
    client.run(&at("change"), json!({ "label": "Site" })).await;
    client.run(&at("change"), json!({ "key": "site", "required": true })).await;
    let other = client.post(&at("change"), json!({ "key": "sight", "label": "x" })).await;
    assert_eq!(other.problem(422, "body_invalid")["errors"][0]["pointer"], "/key");
    client.run(&at("retire"), json!({})).await;
    server.settle().await;
    let one = client.read(&location).await;
    assert_eq!((&one["label"], &one["required"], &one["retired"]), (&json!("Site"), &json!(true), &json!(true)));
    let first = body["position"].as_i64().unwrap();
    assert_eq!(client.read(&format!("{location}?as_of={first}")).await["label"], "site");
    assert_eq!(
        client.get(&format!("{location}/history")).await.expect(StatusCode::OK)["data"].as_array().unwrap().len(),
        4
    );
    client.post(&format!("/v1/fields/{NOBODY}/retire"), json!({ "key": "site" })).await.problem(404, "field_unknown");
    let again = json!({ "entity": "ticket", "key": "site", "type": "text" });
    client.post("/v1/fields/ticket/define", again).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn every_location_can_be_read_and_every_id_of_a_list_is_known_to_its_routes() {
    let server = Server::start().await;
    let client = &server.admin;
    let world = everything(&server, client, "Alpha").await;
    assert!(world.len() > 20);
    let document = client.read("/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let mut read = BTreeSet::new();
    for (path, operations) in paths {
        let collection = path.strip_prefix("/v1/").unwrap_or_default();
        let created = follow(&document, &operations["post"]["responses"]["201"]);
        let creates = created["headers"].get("Location").is_some();
        // A copy stands in the collection of what it is a copy of.
        // What is only coming in several requests is asked about with HEAD.
        // What is handed in stands among the deliveries.
        let elsewhere = path == "/v1/uploads/resumable" || path.starts_with("/v1/intake/");
        if creates && !path.contains('{') && !elsewhere {
            assert!(paths.contains_key(&format!("{path}/{{id}}")), "what {path} creates cannot be read");
            assert!(paths[&format!("{path}/{{id}}")].get("get").is_some(), "what {path} creates cannot be read");
        }
        let lists =
            operations.get("get").is_some() && !path.contains('{') && paths.contains_key(&format!("{path}/search"));
        if !lists || !paths.contains_key(&format!("{path}/{{id}}")) {
            continue;
        }
        for record in pages(client, path).await {
            let id = record["id"].as_str().unwrap();
            let one = client.get(&format!("{path}/{id}")).await.expect(StatusCode::OK);
            assert_eq!(one["id"], id, "{path}");
            let history = client.get(&format!("{path}/{id}/history")).await.expect(StatusCode::OK);
            assert!(history["data"].as_array().is_some_and(|events| !events.is_empty()), "{path}/{id}");
            // Every command knows the record: whatever it refuses, it is not that there is none.
            for (command, operations) in paths {
                let Some(name) = command.strip_prefix(&format!("{path}/{{id}}/")) else { continue };
                let Some(operation) = operations.get("post").filter(|_| !name.contains('{')) else { continue };
                let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
                let example = examples.as_object().and_then(|all| all.values().next());
                let body = example.map_or_else(|| json!({}), |example| example["value"].clone());
                let mut body = body;
                if collection == "fields" {
                    body.as_object_mut().unwrap().remove("key");
                    if name == "define" {
                        continue;
                    }
                }
                let answer = client.post(&format!("{path}/{id}/{name}?dry_run=true"), body).await;
                let kind =
                    operation["x-permission"].as_str().and_then(|of| of.split_once('.')).map_or("", |(kind, _)| kind);
                let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
                assert_ne!(code, format!("{kind}_unknown"), "{path}/{id}/{name}");
                assert_ne!(code, "command_unknown", "{path}/{id}/{name}");
            }
            read.insert(collection.to_owned());
        }
    }
    for collection in ["tickets", "fields", "contacts", "orders", "labels", "rules", "teams", "relations"] {
        assert!(read.contains(collection), "{collection} was not tried: {read:?}");
    }
}
