//! Rules explained and rehearsed: why something happened, what followed, and what a draft would have done.

use std::time::Duration;

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    rules::{events, manager, order, role, rule, task},
    world::{each, pages, user},
};

fn types(steps: &Value) -> Vec<String> {
    let steps = steps.as_array().unwrap().iter();
    steps.map(|step| step["event"]["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn from_a_task_one_comes_to_the_rule_the_order_and_the_person_and_back() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales").await;
    manager(client, &sales, "Anna", "Moscow").await;
    let definition = json!({ "selector": [{ "role": sales }], "actions": [{ "create_task": { "title": "Confirm", "due_in_s": 60 } }] });
    let id = rule(client, "Confirm orders", "order.placed", 1, definition).await;
    client.run(&format!("/v1/rules/{id}/rename"), json!({ "name": "Confirm all orders" })).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    server.app.advance(Duration::from_secs(61));
    server.settle().await;

    let me = client.read("/v1/me").await;
    let placed = events(client, "order.placed").await[0].clone();
    let overdue = events(client, "task.became_overdue").await[0].clone();
    let why = client.read(&format!("/v1/events/{}/why", overdue["position"])).await;
    let chain = ["task.became_overdue", "task.created", "rule_run.prepared", "rule_run.matched", "order.placed"];
    assert_eq!(types(&why["chain"]), chain);
    assert_eq!(why["chain"][4]["event"], placed);
    let rule = &why["chain"][3]["rule"];
    assert_eq!((&rule["id"], &rule["name"], &rule["version"]), (&json!(id), &json!("Confirm all orders"), &json!(1)));
    assert_eq!(rule["definition"]["actions"][0]["create_task"]["title"], "Confirm");
    assert_eq!(why["origin"]["actor"], json!({ "kind": "user", "id": me["user"] }));
    assert!(why["origin"]["name"].is_string());
    assert_eq!((&why["origin"]["command_id"], &why["origin"]["via"]), (&placed["command_id"], &json!("api")));
    let stories: Vec<_> =
        why["chain"].as_array().unwrap().iter().map(|step| &step["event"]["correlation_id"]).collect();
    assert!(stories.iter().all(|story| **story == placed["correlation_id"]), "one story: {stories:?}");
    let first = client.read(&format!("/v1/events/{}/why", placed["position"])).await;
    assert_eq!(types(&first["chain"]), ["order.placed"]);

    let path = format!("/v1/events/{}/effects", placed["position"]);
    let effects = client.read(&path).await;
    let all = [
        "rule_run.matched",
        "rule_run.prepared",
        "task.created",
        "task.assigned",
        "rule_run.executed",
        "task.became_overdue",
    ];
    assert_eq!(types(&effects["data"]), all);
    assert_eq!(each(&effects, "steps"), [1, 2, 3, 3, 2, 4]);
    assert_eq!(effects["data"][1]["cause"], effects["data"][0]["event"]["position"]);
    assert_eq!(effects["data"][5]["event"], overdue);
    let mut paged = Vec::new();
    for effect in pages(client, &format!("{path}?limit=2")).await {
        paged.push(effect["event"]["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(paged, all);
    assert_eq!(types(&client.read(&format!("{path}?steps=1")).await["data"]), ["rule_run.matched"]);
    assert_eq!(client.read(&format!("/v1/events/{}/effects", overdue["position"])).await["data"], json!([]));

    for path in ["/v1/events/1000000/why", "/v1/events/1000000/effects", "/v1/events/x/why"] {
        client.get(path).await.problem(404, "event_unknown");
    }
    client.get(&format!("{path}?steps=0")).await.problem(400, "parameter_invalid");
    let stranger = server.another_tenant("Quagga").await;
    stranger.get(&path).await.problem(404, "event_unknown");
    let bare = client.create("/v1/roles", json!({ "name": "bare", "permissions": ["order.read"] })).await;
    let anna = user(client, "Nobody Special").await;
    let issued = client.post("/v1/api_keys", json!({ "name": "x", "user": anna, "role": bare })).await;
    let modest = server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap());
    modest.get(&path).await.problem(403, "permission_denied");
    let draft =
        json!({ "draft": { "trigger": "order.placed", "definition": { "actions": [task("x")] } }, "position": 1 });
    modest.post("/v1/rules/dry_run", draft.clone()).await.problem(403, "permission_denied");
    modest.post("/v1/rules/backtest", draft).await.problem(403, "permission_denied");
}
