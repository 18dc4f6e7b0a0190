//! Rules: what they make of events, for whom, and that each answers each event once whatever happens.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{contact, each, pages, user};

/// Every event of these types, oldest first.
pub(crate) async fn events(client: &Client, types: &str) -> Vec<Value> {
    pages(client, &format!("/v1/events?limit=1000&types={types}")).await
}

/// The tasks there are: title, assignee, due.
pub(crate) async fn tasks(client: &Client) -> Vec<(String, Option<String>)> {
    let assigned = events(client, "task.assigned").await;
    let created = events(client, "task.created").await;
    let to = |stream: &Value| {
        let assigned = assigned.iter().rfind(|event| event["stream"] == *stream)?;
        assigned["data"]["to"].as_str().map(ToOwned::to_owned)
    };
    let text = |event: &Value| event["data"]["title"].as_str().unwrap().to_owned();
    created.iter().map(|event| (text(event), to(&event["stream"]))).collect()
}

/// A rule that works at once.
pub(crate) async fn rule(client: &Client, name: &str, trigger: &str, rank: i64, definition: Value) -> String {
    client
        .create("/v1/rules", json!({ "name": name, "trigger": trigger, "rank": rank, "definition": definition }))
        .await
}

/// An order; `more` says what is particular of it.
pub(crate) async fn order(client: &Client, total: &str, more: Value) -> String {
    let mut body = json!({ "source": "storefront", "total": { "amount": total, "currency": "RUB" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.create("/v1/orders", body).await
}

/// A sales manager in this city.
pub(crate) async fn manager(client: &Client, role: &str, name: &str, city: &str) -> String {
    let id = user(client, name).await;
    client.run(&format!("/v1/users/{id}/grant_role"), json!({ "role": role })).await;
    client.run(&format!("/v1/users/{id}/change_profile"), json!({ "city": city })).await;
    id
}

pub(crate) async fn role(client: &Client, name: &str) -> String {
    client.create("/v1/roles", json!({ "name": name, "permissions": [] })).await
}

#[tokio::test]
async fn an_order_gives_a_manager_a_call_to_make_within_the_hour() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales manager").await;
    let anna = manager(client, &sales, "Anna Ivanova", "Moscow").await;
    let maria = contact(client, "Maria").await;
    let call = json!({
        "selector": [{ "role": sales }],
        "actions": [{ "create_task": {
            "title": "Confirm order #ORDER_ID#", "text": "Call #NAME#, #PHONE#: {{ order.total.amount }}. #WHATEVER#",
            "due_in_s": 3600, "priority": 3,
        } }],
    });
    let rule = rule(client, "Confirmation call", "order.placed", 10, call).await;
    let placed = order(client, "100500.00", json!({ "customer": maria, "phone": "+7 495 123-45-67" })).await;
    server.settle().await;

    let created = events(client, "task.created").await;
    assert_eq!(created.len(), 1);
    let details = &created[0]["data"];
    assert_eq!(details["title"], "Confirm order 1");
    assert_eq!(details["text"], "Call Maria, +7 495 123-45-67: 100500.00. #WHATEVER#");
    assert_eq!(details["priority"], 3);
    let subjects = json!([{ "kind": "order", "id": placed }, { "kind": "contact", "id": maria }]);
    assert_eq!(details["subjects"], subjects);
    assert_eq!(created[0]["actor"], json!({ "kind": "rule", "id": rule }));
    assert_eq!(created[0]["via"], "rule");
    assert_eq!(tasks(client).await, [("Confirm order 1".to_owned(), Some(anna.clone()))]);

    let runs = client.read(&format!("/v1/rules/{rule}/runs")).await;
    let run = &runs["data"][0];
    assert_eq!((runs["data"].as_array().unwrap().len(), &run["status"]), (1, &json!("executed")));
    assert_eq!(run["chosen"], json!([anna]));
    assert_eq!(run["unknown"][0]["name"], "#WHATEVER#");
    assert_eq!(run["produced"][0]["kind"], "task");
    assert_eq!(run["id"], details["rule_run"]);
    let other = client.create("/v1/rules", json!({ "name": "Other", "trigger": "order.placed" })).await;
    assert_eq!(each(&client.read(&format!("/v1/rules/{other}/runs")).await, "id"), Vec::<Value>::new());
    client.get("/v1/rules/01K9Z3T8W0QX6V5N4M3K2J1H0G/runs").await.problem(404, "rule_unknown");
    let filter = r#"{"field":"status","op":"eq","value":"skipped"}"#;
    let none = client.get(&format!("/v1/rules/{rule}/runs?filter={}", crate::world::encoded(filter))).await;
    assert_eq!(none.expect(StatusCode::OK)["data"], json!([]));
}
