//! One vocabulary: what filters a list may be said in a rule, and decides the same.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::{events, order, rule, runs, task},
    world::{condition, contact, everything, field, filtered, pages},
};

/// What a rule with this condition says about the last event of a record: whether it matches.
async fn decides(client: &Client, record: &Value, trigger: &str, when: &Value) -> Value {
    let definition = json!({ "when": when, "actions": [task("x")] });
    let body = json!({ "draft": { "trigger": trigger, "definition": definition }, "position": record["position"] });
    let said = client.post("/v1/rules/dry_run", body).await.expect(StatusCode::OK);
    assert_eq!(said["deprecated"], json!([]), "{when}");
    said["verdict"].clone()
}

/// The value of a field of a record, by its dotted name.
fn value<'a>(record: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(record, |value, name| &value[name])
}

/// Every filterable field of every list of a kind that rules know, copied as it stands into a rule, decides what the list
/// decides.
#[tokio::test]
async fn a_filter_copied_from_a_list_into_a_rule_decides_the_same() {
    let server = Server::start().await;
    let client = &server.admin;
    everything(&server, client, "Alpha").await;
    let document = client.read("/v1/openapi.json").await;
    let kinds: Vec<(&str, &str)> = domain::catalogue::kinds()
        .filter(|kind| kind.document.is_some())
        .map(|kind| (kind.name, kind.plural))
        .collect();
    assert!(kinds.len() >= 12);
    let mut tried = 0;
    for (kind, plural) in kinds {
        let records = pages(client, &format!("/v1/{plural}")).await;
        for (turn, record) in records.iter().take(2).enumerate() {
            let last =
                client.read(&format!("/v1/events?after={}&limit=1", record["position"].as_i64().unwrap() - 1)).await;
            let trigger = last["data"][0]["type"].as_str().unwrap().to_owned();
            if !trigger.starts_with(&format!("{kind}.")) {
                continue;
            }
            for (name, field_kind) in domain::catalogue::listed::fields(kind) {
                let found = value(record, name);
                let set = field_kind.is_set();
                let filter = match found {
                    Value::Null => condition(name, "is_null", true),
                    Value::Array(values) => match values.first() {
                        Some(first) => condition(name, "eq", first.clone()),
                        None => condition(name, "is_null", true),
                    },
                    found => condition(name, "eq", found.clone()),
                };
                for filter in [filter.clone(), json!({ "not": filter })] {
                    let both = json!({ "all": [filter, condition("id", "eq", record["id"].clone())] });
                    let listed = client.read(&filtered(&format!("/v1/{plural}"), &both)).await;
                    let listed = !listed["data"].as_array().unwrap().is_empty();
                    let expected = if listed { "matched" } else { "skipped" };
                    let said = decides(client, record, &trigger, &filter).await;
                    assert_eq!(said, expected, "{kind}: {filter} of {record} (set: {set})");
                    tried += 1;
                }
                if turn > 0 {
                    continue;
                }
                // With the name of its kind before it, as rules say it and as a list takes it too.
                let named = condition(&format!("{kind}.{name}"), "is_null", found.is_null());
                let plain = condition(name, "is_null", found.is_null());
                assert_eq!(
                    decides(client, record, &trigger, &named).await,
                    decides(client, record, &trigger, &plain).await
                );
                let path = |filter: &Value| filtered(&format!("/v1/{plural}"), filter);
                assert_eq!(
                    client.read(&path(&named)).await["data"],
                    client.read(&path(&plain)).await["data"],
                    "{named}"
                );
            }
        }
    }
    assert!(tried > 200, "{tried}");
    assert!(document["paths"].is_object());
}

#[tokio::test]
async fn former_names_still_mean_the_same_and_are_told_as_deprecated() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria").await;
    field(client, "contact", "size", "text", json!({})).await;
    let old = json!({ "all": [
        condition("order.customer", "eq", maria.clone()), condition("order.paid", "eq", "0"),
    ] });
    let definition = json!({
        "when": old,
        "selector": [{ "user": { "equals": "contact.owner" } }],
        "actions": [task("Call {{ order.customer }} about {{ order.number }}")],
    });
    let body = json!({ "name": "Old", "trigger": "order.placed", "definition": definition });
    let made = client.post("/v1/rules", body).await.expect(StatusCode::CREATED);
    let told: Vec<(&str, &str)> = made["deprecated"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["name"].as_str().unwrap(), found["instead"].as_str().unwrap()))
        .collect();
    let expected = [
        ("order.customer", "order.customer_id"),
        ("order.paid", "order.paid.amount"),
        ("contact.owner", "contact.owner_id"),
        ("order.customer", "order.customer_id"),
    ];
    assert_eq!(told, expected);
    assert_eq!(made["deprecated"][0]["place"], "/definition/when/all/0/field");

    let new = json!({
        "when": { "all": [condition("customer_id", "eq", maria.clone()), condition("order.placed_at", "gt", "2020-01-01T00:00:00Z")] },
        "actions": [task("New {{ order.customer_id }} {{ order.placed_at }}")],
        "on_match": "continue",
    });
    let present = rule(client, "New", "order.placed", 1, new.clone()).await;
    order(client, "100", json!({ "customer": maria })).await;
    order(client, "100", json!({})).await;
    server.settle().await;
    let titles: Vec<_> =
        events(client, "task.created").await.iter().map(|event| event["data"]["title"].clone()).collect();
    assert!(titles.contains(&json!(format!("Call {maria} about 1"))), "{titles:?}");
    assert!(titles.iter().any(|title| title.as_str().unwrap().starts_with(&format!("New {maria} 20"))), "{titles:?}");
    assert_eq!(titles.len(), 2);
    assert_eq!(runs(client, &present).await.len(), 2);
    // A rehearsal tells it too, and says what happened.
    let placed = events(client, "order.placed").await;
    let draft = json!({ "trigger": "order.placed", "definition": definition });
    let rehearsed =
        client.post("/v1/rules/dry_run", json!({ "draft": draft, "position": placed[0]["position"] })).await;
    let rehearsed = rehearsed.expect(StatusCode::OK);
    assert_eq!(
        (&rehearsed["verdict"], &rehearsed["deprecated"][0]["name"]),
        (&json!("matched"), &json!("order.customer"))
    );
    let tested =
        client.post("/v1/rules/backtest", json!({ "draft": { "trigger": "order.placed", "definition": new } })).await;
    let tested = tested.expect(StatusCode::OK);
    assert_eq!((&tested["totals"]["matched"], &tested["deprecated"]), (&json!(1), &json!([])));
    // What a rule calls a field a list takes too.
    let listed = client.read(&filtered("/v1/orders", &condition("order.customer", "eq", maria))).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}
