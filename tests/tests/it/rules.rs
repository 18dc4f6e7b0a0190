//! Rules: what they make of events, for whom, and that each answers each event once whatever happens.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Server};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{NOBODY, contact, each, encoded, pages, party, product, user};

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

/// A task to create.
pub(crate) fn task(title: &str) -> Value {
    json!({ "create_task": { "title": title } })
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
    let none = client.get(&format!("/v1/rules/{rule}/runs?filter={}", encoded(filter))).await;
    assert_eq!(none.expect(StatusCode::OK)["data"], json!([]));
}

/// The runs of a rule, oldest first.
pub(crate) async fn runs(client: &Client, rule: &str) -> Vec<Value> {
    pages(client, &format!("/v1/rules/{rule}/runs?sort=asked_at,id&limit=200")).await
}

/// How many tasks each colleague has got.
pub(crate) async fn shares(client: &Client) -> BTreeMap<Option<String>, usize> {
    let mut shares = BTreeMap::new();
    for (_, assignee) in tasks(client).await {
        *shares.entry(assignee).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn work_is_given_to_whoever_has_least_in_turn_first_or_to_all() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales").await;
    let mut managers = Vec::new();
    for name in ["Anna", "Boris", "Clara"] {
        managers.push(manager(client, &sales, name, "Moscow").await);
    }
    managers.sort();
    let other = user(client, "Dora").await;
    let fair = json!({ "selector": [{ "role": sales }], "actions": [task("fair")] });
    let id = rule(client, "Fair", "order.placed", 1, fair).await;
    // All at once: what is prepared counts before it exists.
    join_all((0..9).map(|_| order(client, "5", json!({})))).await;
    server.settle().await;
    let counts: Vec<_> = shares(client).await.into_values().collect();
    assert_eq!(counts, [3, 3, 3]);
    // Whoever is done with something gets the next.
    let tasks_of = events(client, "task.assigned").await;
    let done = tasks_of.iter().find(|event| event["data"]["to"] == *managers[1]).unwrap();
    let done = done["stream"].as_str().unwrap().strip_prefix("task-").unwrap();
    client.run(&format!("/v1/tasks/{done}/complete"), json!({})).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    assert_eq!(tasks(client).await.last().unwrap().1.as_ref(), Some(&managers[1]));

    let turn = json!({ "strategy": "round_robin", "selector": [{ "role": sales }], "actions": [task("turn")] });
    client.run(&format!("/v1/rules/{id}/publish"), turn).await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        order(client, "5", json!({})).await;
        server.settle().await;
        turns.push(tasks(client).await.last().unwrap().1.clone().unwrap());
    }
    let after = |user: &String| managers[(managers.iter().position(|known| known == user).unwrap() + 1) % 3].clone();
    assert!(turns.windows(2).all(|pair| pair[1] == after(&pair[0])), "{turns:?}");
    assert_eq!(turns[0], after(&managers[1]), "the turn goes on where least busy left off");

    let first =
        json!({ "strategy": "first", "selector": [{ "user": other }, { "role": sales }], "actions": [task("first")] });
    client.run(&format!("/v1/rules/{id}/publish"), first).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    assert_eq!(tasks(client).await.last().unwrap().1.as_ref(), Some(&other));

    let all = json!({ "strategy": "all", "selector": [{ "role": sales }], "actions": [task("all")] });
    client.run(&format!("/v1/rules/{id}/publish"), all).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    let mut got: Vec<_> = tasks(client).await.into_iter().filter(|(title, _)| title == "all").collect();
    got.sort();
    assert_eq!(got.into_iter().map(|(_, user)| user.unwrap()).collect::<Vec<_>>(), managers);

    // Nobody is there: the task is not lost.
    let online = json!({ "selector": [{ "role": sales, "presence": "online" }], "actions": [task("online")] });
    client.run(&format!("/v1/rules/{id}/publish"), online).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    assert_eq!(*tasks(client).await.last().unwrap(), ("online".to_owned(), None));
    client.run(&format!("/v1/users/{}/set_presence", managers[2]), json!({ "presence": "online" })).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    assert_eq!(tasks(client).await.last().unwrap().1.as_ref(), Some(&managers[2]));
}

#[tokio::test]
async fn orders_of_a_city_go_to_managers_of_that_city_or_team() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales").await;
    let anna = manager(client, &sales, "Anna", "Saint Petersburg").await;
    let boris = manager(client, &sales, "Boris", "Moscow").await;
    let clara = user(client, "Clara").await;
    let team = client.create("/v1/teams", json!({ "name": "Night shift" })).await;
    client.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": clara })).await;
    let same = json!([{ "role": sales, "city": { "equals": "order.city" } }, { "team": team }]);
    let definition = json!({ "strategy": "first", "selector": same, "actions": [task("{{ order.city }}")] });
    rule(client, "By city", "order.placed", 1, definition).await;
    for city in ["saint petersburg", "Moscow", "Kazan"] {
        order(client, "5", json!({ "city": city })).await;
        server.settle().await;
    }
    let got: Vec<_> = tasks(client).await.into_iter().map(|(_, user)| user.unwrap()).collect();
    assert_eq!(got, [anna, boris, clara]);
}

/// Every order has one run and one task.
async fn once_each(client: &Client, orders: &[String]) {
    let created = events(client, "task.created").await;
    let mut served: Vec<String> =
        created.iter().map(|event| event["data"]["subjects"][0]["id"].as_str().unwrap().to_owned()).collect();
    let mut orders = orders.to_vec();
    served.sort();
    orders.sort();
    assert_eq!(served, orders);
    for kind in ["matched", "prepared", "executed"] {
        assert_eq!(events(client, &format!("rule_run.{kind}")).await.len(), orders.len(), "{kind}");
    }
}

#[tokio::test]
async fn a_restart_midway_loses_nothing_and_doubles_nothing() {
    let server = Server::start().await;
    let sales = role(&server.admin, "Sales").await;
    for name in ["Anna", "Boris"] {
        manager(&server.admin, &sales, name, "Moscow").await;
    }
    let definition = json!({ "selector": [{ "role": sales }], "actions": [task("Confirm {{ order.number }}")] });
    rule(&server.admin, "Confirm", "order.placed", 1, definition).await;
    let orders = join_all((0..40).map(|_| order(&server.admin, "5", json!({})))).await;
    server.app.stop().await;
    let (app, client) = server.beside(&[]).await;
    let more = join_all((0..10).map(|_| order(&client, "5", json!({})))).await;
    app.settle().await.unwrap();
    once_each(&client, &[orders, more].concat()).await;
    assert_eq!(shares(&client).await.into_values().collect::<Vec<_>>(), [25, 25]);
    app.stop().await;
}

#[tokio::test]
async fn a_server_without_reactors_leaves_the_work_to_another() {
    let server = Server::with(&["--roles", "api,project"]).await;
    let client = &server.admin;
    let id = rule(client, "Confirm", "order.placed", 1, json!({ "actions": [task("x")] })).await;
    let placed = order(client, "5", json!({})).await;
    server.settle().await;
    assert_eq!(runs(client, &id).await, Vec::<Value>::new());
    let (app, _) = server.beside(&["--roles", "react"]).await;
    app.settle().await.unwrap();
    once_each(client, &[placed]).await;
    app.stop().await;
}

#[tokio::test]
async fn whoever_publishes_a_rule_may_do_what_the_rule_does() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = user(admin, "Anna").await;
    let key = async |permissions: Value| {
        let role =
            admin.create("/v1/roles", json!({ "name": format!("{permissions}"), "permissions": permissions })).await;
        let issued = admin.post("/v1/api_keys", json!({ "name": "x", "user": anna, "role": role })).await;
        server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap())
    };
    let modest = key(json!(["rule.create", "rule.publish"])).await;
    let body = |actions: Value| json!({ "name": "x", "trigger": "order.placed", "definition": { "actions": actions } });
    let problem = modest.post("/v1/rules", body(json!([task("x")]))).await.problem(403, "permission_denied");
    assert_eq!(problem["errors"][0]["pointer"], "/definition/actions/0");
    assert!(problem["detail"].as_str().unwrap().contains("task.create"), "{problem}");
    let able = key(json!(["rule.create", "rule.publish", "task.create"])).await;
    let id = able.create("/v1/rules", body(json!([task("x")]))).await;
    let grant =
        json!({ "command": { "kind": "user", "id": anna, "command": "grant_role", "body": { "role": NOBODY } } });
    let publish = format!("/v1/rules/{id}/publish");
    let problem = able.post(&publish, json!({ "actions": [task("x"), grant] })).await.problem(403, "permission_denied");
    assert_eq!(problem["errors"][0]["pointer"], "/actions/1");
    modest.post(&publish, json!({ "actions": [task("y")] })).await.problem(403, "permission_denied");
    assert_eq!(able.run(&publish, json!({ "actions": [task("y")] })).await, ["rule.version_published"]);
}

#[tokio::test]
async fn an_import_triggers_nothing_and_a_rule_answers_for_its_own_tenant() {
    let server = Server::start().await;
    let client = &server.admin;
    let stranger = server.another_tenant("Quagga").await;
    let granted = rule(client, "Granted", "entitlement.granted", 1, json!({ "actions": [task("granted")] })).await;
    let placed = rule(client, "Placed", "order.placed", 1, json!({ "actions": [task("placed")] })).await;
    order(&stranger, "5", json!({})).await;
    let (hosting, ada) = (product(client, "Hosting").await, contact(client, "Ada").await);
    let part = |head: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let mut body = part("name=\"kind\"", "entitlements");
    body += &part("name=\"source\"", "old");
    let file = format!("product,holder_kind,holder\n{hosting},contact,{ada}\n");
    body += &part("name=\"file\"; filename=\"old.csv\"", &file);
    body += "--X--\r\n";
    let request = client.request(Method::POST, "/v1/imports");
    let request = request.header("content-type", "multipart/form-data; boundary=X").body(body);
    client.send(request).await.expect(StatusCode::ACCEPTED);
    server.settle().await;
    assert_eq!(events(client, "entitlement.granted").await.len(), 1);
    assert_eq!(runs(client, &granted).await, Vec::<Value>::new());
    let own = json!({ "product": hosting, "holder": party("contact", &ada), "contract_number": "2" });
    client.create("/v1/entitlements", own).await;
    server.settle().await;
    assert_eq!(runs(client, &granted).await.len(), 1);
    assert_eq!(runs(client, &placed).await, Vec::<Value>::new());
    assert_eq!(events(&stranger, "rule_run.matched,task.created").await, Vec::<Value>::new());
    stranger.get(&format!("/v1/rules/{placed}/runs")).await.problem(404, "rule_unknown");
}
