//! Rules: what they make of events, for whom, and that each answers each event once whatever happens.

use std::{collections::BTreeMap, time::Duration};

use deskfold_tests::{Client, Server};
use eventstore::Log;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{NOBODY, condition, contact, each, employ, encoded, pages, party, product, user};

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
    pages(client, &format!("/v1/rules/{rule}/runs?sort=trigger_position,id&limit=200")).await
}

/// How many tasks each colleague has got.
pub(crate) async fn shares(client: &Client) -> BTreeMap<Option<String>, usize> {
    let mut shares = BTreeMap::new();
    for (_, assignee) in tasks(client).await {
        *shares.entry(assignee).or_default() += 1;
    }
    shares
}

async fn head(client: &Client) -> Value {
    client.read("/v1/events?limit=1").await["position"].clone()
}

#[tokio::test]
async fn the_first_rule_that_matches_stops_the_rest_unless_it_lets_them_go_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let large = condition("order.total.amount", "gte", json!("1000"));
    let first = json!({ "when": large, "actions": [task("large")] });
    let first = rule(client, "Large", "order.placed", 1, first).await;
    let on = json!({ "on_match": "continue", "actions": [task("every")] });
    let second = rule(client, "Every", "order.placed", 2, on).await;
    let third = rule(client, "Also", "order.placed", 3, json!({ "actions": [task("also")] })).await;
    // What several rules do about one event is done in any order.
    let titles = async |known: usize| {
        let mut titles: Vec<_> = tasks(client).await.into_iter().map(|(title, _)| title).skip(known).collect();
        titles.sort();
        titles
    };
    order(client, "5000", json!({})).await;
    server.settle().await;
    assert_eq!(titles(0).await, ["large"]);
    order(client, "50", json!({})).await;
    server.settle().await;
    assert_eq!(titles(1).await, ["also", "every"]);
    let said = async |rule: &str| {
        let runs = runs(client, rule).await;
        runs.iter().map(|run| (run["status"].clone(), run["reason"].clone())).collect::<Vec<_>>()
    };
    let (executed, stopped) = ((json!("executed"), json!(null)), (json!("skipped"), json!("stopped")));
    assert_eq!(said(&first).await, [executed.clone(), (json!("skipped"), json!("not_matched"))]);
    assert_eq!(said(&second).await, [stopped.clone(), executed.clone()]);
    assert_eq!(said(&third).await, [stopped, executed]);
    let skipped = &runs(client, &third).await[0];
    assert_eq!(skipped["stopped_by"], first);
    let unfit = &runs(client, &first).await[1]["trace"][0];
    assert_eq!(
        (&unfit["field"], &unfit["actual"], &unfit["holds"]),
        (&json!("order.total.amount"), &json!("50"), &json!(false))
    );

    // Another order of the two is another result.
    client.run(&format!("/v1/rules/{second}/change_rank"), json!({ "rank": 0 })).await;
    order(client, "5000", json!({})).await;
    server.settle().await;
    assert_eq!(titles(3).await, ["every", "large"]);
}

#[tokio::test]
async fn a_rule_is_asked_as_it_was_when_the_event_happened() {
    let server = Server::start().await;
    let client = &server.admin;
    order(client, "1", json!({})).await;
    let id = rule(client, "Calls", "order.placed", 1, json!({ "actions": [task("one")] })).await;
    order(client, "2", json!({})).await;
    client.run(&format!("/v1/rules/{id}/publish"), json!({ "actions": [task("two")] })).await;
    order(client, "3", json!({})).await;
    client.run(&format!("/v1/rules/{id}/disable"), json!({})).await;
    order(client, "4", json!({})).await;
    client.run(&format!("/v1/rules/{id}/enable"), json!({})).await;
    order(client, "5", json!({})).await;
    client.run(&format!("/v1/rules/{id}/delete"), json!({})).await;
    order(client, "6", json!({})).await;
    server.settle().await;
    let mut titles: Vec<_> = tasks(client).await.into_iter().map(|(title, _)| title).collect();
    titles.sort();
    assert_eq!(titles, ["one", "two", "two"]);
    let versions: Vec<_> = runs(client, &id).await.iter().map(|run| run["rule_version"].clone()).collect();
    assert_eq!(versions, [1, 2, 2]);
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

#[tokio::test]
async fn what_is_due_later_is_asked_again_and_called_off_by_what_comes_first() {
    let server = Server::start().await;
    let client = &server.admin;
    let still_new = condition("order.status", "eq", json!("new"));
    let definition = json!({
        "when": still_new, "delay_s": 3600, "recheck": true, "cancel_on": ["order.paid"], "actions": [task("Ask {{ order.number }}")],
    });
    let id = rule(client, "Later", "order.placed", 1, definition).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(order(client, "5", json!({})).await);
    }
    server.settle().await;
    let statuses = async || runs(client, &id).await.iter().map(|run| run["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses().await, ["pending", "pending", "pending", "pending"]);
    let confirm = json!({ "status": "confirmed" });
    client.run(&format!("/v1/orders/{}/change_status", orders[0]), confirm).await;
    let pay = json!({ "amount": { "amount": "5", "currency": "RUB" } });
    client.run(&format!("/v1/orders/{}/pay", orders[1]), pay.clone()).await;
    let run = runs(client, &id).await[2]["id"].as_str().unwrap().to_owned();
    client.run(&format!("/v1/rule_runs/{run}/cancel"), json!({})).await;
    server.settle().await;
    assert_eq!(statuses().await, ["pending", "cancelled", "cancelled", "pending"], "paid, and by hand");
    server.app.advance(Duration::from_secs(3590));
    server.settle().await;
    assert_eq!(tasks(client).await, [], "not yet");
    server.app.advance(Duration::from_secs(11));
    server.settle().await;
    assert_eq!(statuses().await, ["cancelled", "cancelled", "cancelled", "executed"]);
    assert_eq!(tasks(client).await, [("Ask 4".to_owned(), None)]);
    let all = runs(client, &id).await;
    let reasons: Vec<_> = all.iter().map(|run| run["reason"].clone()).collect();
    assert_eq!(reasons, [json!("recheck"), json!("event"), json!("request"), json!(null)]);
    assert_eq!(all[0]["recheck"][0]["actual"], "confirmed");
    assert_eq!(all[1]["cancelled_by"]["type"], "order.paid");
    let left: i64 =
        sqlx::query_scalar("select count(*) from react_pending_run").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(left, 0, "what is over is forgotten");
    // Paid afterwards: it was asked for, and that stands.
    client.run(&format!("/v1/orders/{}/pay", orders[3]), pay).await;
    server.settle().await;
    assert_eq!(statuses().await.last().unwrap(), "executed");
}

#[tokio::test]
async fn what_rules_cause_triggers_rules_until_the_chain_is_too_long() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = rule(client, "Echo", "task.created", 1, json!({ "actions": [task("echo of {{ task.title }}")] })).await;
    client.create("/v1/tasks", json!({ "title": "a shout" })).await;
    server.settle().await;
    let created = events(client, "task.created").await;
    assert_eq!(created.len(), 9, "the shout and eight echoes");
    let depths: Vec<_> = created.iter().map(|event| event["depth"].as_u64().unwrap_or_default()).collect();
    assert_eq!(depths, (0..=8).collect::<Vec<u64>>());
    let runs = runs(client, &id).await;
    assert_eq!(runs.len(), 9);
    assert_eq!((&runs[8]["status"], &runs[8]["reason"]), (&json!("skipped"), &json!("too_deep")));
    // A rule about runs sees its own, and comes to an end as well.
    let never = |actions: Value| json!({ "when": condition("event.via", "eq", json!("never")), "actions": actions });
    rule(client, "Never", "order.placed", 1, never(json!([task("x")]))).await;
    let watch = rule(client, "Watch", "rule_run.skipped", 1, never(json!([task("y")]))).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    let reasons: Vec<_> = self::runs(client, &watch).await.iter().map(|run| run["reason"].clone()).collect();
    assert_eq!(reasons, [vec!["not_matched"; 7], vec!["too_deep"]].concat());
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_given_up_and_taken_up_again() {
    let server = Server::start().await;
    let client = &server.admin;
    let urgent = json!({ "command": { "kind": "ticket", "id": NOBODY, "command": "change_priority", "body": { "priority": 3 } } });
    let id = rule(client, "Urgent", "order.placed", 1, json!({ "actions": [task("first"), urgent] })).await;
    order(client, "5", json!({})).await;
    server.settle().await;
    for (attempt, wait) in [(1, 1), (2, 5), (3, 30), (4, 120), (5, 600)] {
        let run = runs(client, &id).await.remove(0);
        assert_eq!((&run["status"], &run["attempts"]), (&json!("pending"), &json!(attempt)), "{run}");
        assert!(run["due_at"].is_string() && run["error"].as_str().unwrap().contains("ticket_unknown"), "{run}");
        server.app.advance(Duration::from_secs(wait));
        server.settle().await;
    }
    let run = runs(client, &id).await.remove(0);
    assert_eq!(
        (&run["status"], &run["attempts"], &run["due_at"]),
        (&json!("parked"), &json!(6), &json!(null)),
        "{run}"
    );
    let error = run["error"].as_str().unwrap();
    assert!(error.starts_with("ticket change_priority: ticket_unknown: "), "{error}");
    assert_eq!(tasks(client).await.len(), 1, "what succeeded is done once");
    server.app.advance(Duration::from_secs(100_000));
    server.settle().await;
    assert_eq!(events(client, "rule_run.failed").await.len(), 6, "nobody tries any more");

    let retry = format!("/v1/rule_runs/{}/retry", run["id"].as_str().unwrap());
    assert_eq!(client.run(&retry, json!({})).await, ["rule_run.retried"]);
    server.settle().await;
    let run = runs(client, &id).await.remove(0);
    assert_eq!((&run["status"], &run["attempts"]), (&json!("pending"), &json!(1)), "the ticket is still not there");
    client.put(&format!("/v1/tickets/{NOBODY}"), json!({ "title": "Late" })).await.expect(StatusCode::CREATED);
    server.app.advance(Duration::from_secs(2));
    server.settle().await;
    let run = runs(client, &id).await.remove(0);
    assert_eq!((&run["status"], &run["error"]), (&json!("executed"), &json!(null)), "{run}");
    assert_eq!(client.read(&format!("/v1/tickets/{NOBODY}")).await["priority"], 3);
    assert_eq!(tasks(client).await.len(), 1);
    let metrics = client.get("/metrics").await.text;
    for line in [
        "deskfold_rule_runs_total{outcome=\"parked\"} 1",
        "deskfold_rule_runs_total{outcome=\"executed\"} 1",
        "deskfold_rule_runs_total{outcome=\"matched\"} 1",
        "deskfold_timers_fired_total{kind=\"rule_run\"} 8",
        "deskfold_subscription_lag_positions{subscription=\"react_rules\",version=\"1\"} 0",
        "deskfold_timers_due 0",
        "deskfold_rule_runs_parked 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
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
async fn neither_a_replay_nor_a_rebuild_fires_a_rule_again() {
    let server = Server::start().await;
    let client = &server.admin;
    let definition = json!({ "when": condition("order.status", "eq", json!("new")), "cancel_on": ["order.paid"], "actions": [task("x")] });
    rule(client, "Confirm", "order.placed", 1, definition).await;
    rule(
        client,
        "Never",
        "order.placed",
        0,
        json!({ "when": condition("order.status", "eq", json!("odd")), "actions": [task("y")] }),
    )
    .await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(order(client, "5", json!({})).await);
    }
    // The world moves on: asked anew about today, the answers would be others.
    server.settle().await;
    for id in &orders {
        client.run(&format!("/v1/orders/{id}/change_status"), json!({ "status": "odd" })).await;
    }
    let late = json!({ "actions": [task("z")] });
    rule(client, "Late", "order.placed", 2, late).await;
    server.settle().await;
    let before =
        events(client, "rule_run.matched,rule_run.skipped,rule_run.executed,rule_run.cancelled,task.created").await;

    let reset =
        "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null where name = 'react_rules'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    // Its worker learns of it with the next event.
    contact(client, "Maria").await;
    server.settle().await;
    let replayed: i64 = sqlx::query_scalar("select position from log_subscription where name = 'react_rules'")
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert_eq!(json!(replayed), head(client).await);
    let log = Log::open(server.database.pool.clone(), eventstore::Options::default()).await.unwrap();
    for name in ["timer", "rule_runs", "causation", "tasks"] {
        projections::rebuild(&log, &[name], Default::default()).await.unwrap();
        server.settle().await;
        assert_eq!(projections::compare(&log, name).await.unwrap().differences, [], "{name}");
    }
    log.close().await;
    let after =
        events(client, "rule_run.matched,rule_run.skipped,rule_run.executed,rule_run.cancelled,task.created").await;
    assert_eq!(after, before);
    assert_eq!(tasks(client).await.len(), 5);
}

#[tokio::test]
async fn whoever_publishes_a_rule_may_do_what_the_rule_does() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = user(admin, "Anna").await;
    let key = async |permissions: Value| {
        let role =
            admin.create("/v1/roles", json!({ "name": format!("{permissions}"), "permissions": permissions })).await;
        employ(admin, &anna, &role).await;
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
