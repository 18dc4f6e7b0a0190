//! Rules explained and rehearsed: why something happened, what followed, and what a draft would have done.

use std::time::Duration;

use deskfold_tests::{Client, Server};
use domain::catalogue;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    work::rules::{events, manager, order, role, rule, runs, task, tasks},
    world::{NOBODY, condition, contact, each, employ, pages, user},
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
    // That somebody is told of it follows too, at some moment.
    let is_told = |effect: &Value| effect["event"]["type"] == "notification.sent";
    let (told, effects): (Vec<Value>, Vec<Value>) =
        effects["data"].as_array().unwrap().iter().cloned().partition(is_told);
    assert_eq!(told.len(), 2, "that there is a task, and that it is late");
    let effects = json!({ "data": effects });
    assert_eq!(types(&effects["data"]), all);
    assert_eq!(each(&effects, "steps"), [1, 2, 3, 3, 2, 4]);
    assert_eq!(effects["data"][1]["cause"], effects["data"][0]["event"]["position"]);
    assert_eq!(effects["data"][5]["event"], overdue);
    let mut paged = Vec::new();
    for effect in pages(client, &format!("{path}?limit=2")).await.iter().filter(|effect| !is_told(effect)) {
        paged.push(effect["event"]["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(paged, all);
    assert_eq!(types(&client.read(&format!("{path}?steps=1")).await["data"]), ["rule_run.matched"]);
    let last = client.read(&format!("/v1/events/{}/effects", overdue["position"])).await;
    assert_eq!(types(&last["data"]), ["notification.sent"]);

    for path in ["/v1/events/1000000/why", "/v1/events/1000000/effects", "/v1/events/x/why"] {
        client.get(path).await.problem(404, "event_unknown");
    }
    client.get(&format!("{path}?steps=0")).await.problem(422, "parameter_invalid");
    let stranger = server.another_tenant("Quagga").await;
    stranger.get(&path).await.problem(404, "event_unknown");
    let bare = client.create("/v1/roles", json!({ "name": "bare", "permissions": ["order.read"] })).await;
    let anna = user(client, "Nobody Special").await;
    employ(client, &anna, &bare).await;
    let issued = client.post("/v1/api_keys", json!({ "name": "x", "user": anna, "role": bare })).await;
    let modest = server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap());
    modest.get(&path).await.problem(403, "permission_denied");
    let draft =
        json!({ "draft": { "trigger": "order.placed", "definition": { "actions": [task("x")] } }, "position": 1 });
    modest.post("/v1/rules/dry_run", draft.clone()).await.problem(403, "permission_denied");
    modest.post("/v1/rules/backtest", draft).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_draft_is_asked_about_one_event_as_it_was_then() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales").await;
    let anna = manager(client, &sales, "Anna", "Moscow").await;
    let definition = json!({
        "when": { "all": [condition("order.total.amount", "gte", json!("100")), condition("order.status", "eq", json!("new"))] },
        "selector": [{ "role": sales }],
        "actions": [{ "create_task": { "title": "Confirm {{ order.number }} #NAME#", "due_in_s": 60 } }],
    });
    let live = rule(client, "Live", "order.placed", 5, definition.clone()).await;
    let maria = contact(client, "Maria").await;
    let placed = order(client, "100.50", json!({ "customer": maria })).await;
    let small = order(client, "1", json!({ "customer": maria })).await;
    server.settle().await;
    // The world moves on; the rehearsal is about then.
    client.run(&format!("/v1/orders/{placed}/change_status"), json!({ "status": "packed" })).await;
    manager(client, &sales, "Boris", "Moscow").await;
    server.settle().await;
    let (head, orders) = (client.read("/v1/events").await["position"].clone(), events(client, "order.placed").await);

    let ask = async |draft: Value, position: &Value| {
        client.post("/v1/rules/dry_run", json!({ "draft": draft, "position": position })).await
    };
    let draft = json!({ "trigger": "order.placed", "definition": definition });
    let done = ask(draft.clone(), &orders[0]["position"]).await.expect(StatusCode::OK);
    let run = runs(client, &live).await.remove(0);
    assert_eq!(
        (&done["verdict"], &done["trace"]),
        (&json!("matched"), &run["trace"]),
        "the same function, the same world"
    );
    assert_eq!(done["preparation"]["chosen"], json!([anna]));
    assert_eq!(done["preparation"]["candidates"], run["candidates"]);
    let action = &done["preparation"]["actions"][0];
    assert_eq!((&action["command"], &action["body"]["title"]), (&json!("create"), &json!("Confirm 1 Maria")));
    assert_eq!((&done["trigger"]["subject"]["id"], &done["others"]), (&json!(placed), &json!([])));
    let done = ask(draft.clone(), &orders[1]["position"]).await.expect(StatusCode::OK);
    assert_eq!(
        (&done["verdict"], &done["reason"], &done["preparation"]),
        (&json!("skipped"), &json!("not_matched"), &json!(null))
    );
    assert_eq!(done["trigger"]["subject"]["id"], small);

    // Among the others it is stopped; in the place of the live one it is not.
    let mut among = draft.clone();
    among["with_others"] = json!(true);
    let done = ask(among.clone(), &orders[0]["position"]).await.expect(StatusCode::OK);
    assert_eq!((&done["reason"], &done["stopped_by"]), (&json!("stopped"), &json!(live)));
    assert_eq!((&done["others"][0]["rule"], &done["others"][0]["verdict"]), (&json!(live), &json!("matched")));
    among["rule"] = json!(live);
    let done = ask(among, &orders[0]["position"]).await.expect(StatusCode::OK);
    assert_eq!((&done["verdict"], &done["others"]), (&json!("matched"), &json!([])));

    let contact = events(client, "contact.created").await[0]["position"].clone();
    let problem = ask(draft.clone(), &contact).await.problem(422, "rule_event_unfit");
    assert_eq!(problem["errors"][0]["pointer"], "/position");
    ask(draft.clone(), &json!(1_000_000)).await.problem(404, "event_unknown");
    let odd = json!({ "trigger": "order.placed", "definition": { "actions": [task("{{")] } });
    let problem = ask(odd, &orders[0]["position"]).await.problem(422, "rule_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/draft/definition/actions/0/create_task/title");
    let odd = json!({ "trigger": "order.placed", "definition": { "actions": [task("x")], "selector": [{ "user": NOBODY }] } });
    let problem = ask(odd, &orders[0]["position"]).await.problem(422, "reference_unfit");
    assert_eq!(problem["errors"][0]["pointer"], "/draft/definition/selector/0/user");
    let odd = json!({ "trigger": "order.eaten", "definition": { "actions": [task("x")] } });
    let problem = ask(odd, &orders[0]["position"]).await.problem(422, "rule_trigger_unknown");
    assert_eq!(problem["errors"][0]["pointer"], "/draft/trigger");
    client.post("/v1/rules/dry_run", json!({ "draft": draft, "where": 1 })).await.problem(422, "body_invalid");
    server.settle().await;
    assert_eq!(client.read("/v1/events").await["position"], head, "nothing was written");
}

#[tokio::test]
async fn whoever_does_not_see_all_that_rules_see_rehearses_none() {
    let server = Server::start().await;
    let admin = &server.admin;
    let placed = order(admin, "100", json!({})).await;
    let position = events(admin, "order.placed").await[0]["position"].clone();
    let draft = json!({ "trigger": "order.placed", "definition": { "actions": [task("Call")] } });
    let one = json!({ "draft": draft, "position": position });
    let rehearse = async |client: &Client| {
        let dry_run = client.post("/v1/rules/dry_run", one.clone()).await;
        (dry_run, client.post("/v1/rules/backtest", json!({ "draft": draft })).await)
    };
    let seen: Vec<_> = catalogue::kinds().filter(|kind| kind.document.is_some() && kind.open.is_none()).collect();
    assert!(seen.len() > 5);
    for kind in &seen {
        for left in [format!("{}.read:own", kind.name), format!("{}.read:team", kind.name), "user.read".to_owned()] {
            let others =
                seen.iter().filter(|other| other.name != kind.name).map(|other| format!("{}.read", other.name));
            let others = others.chain(["rule.create", "task.create", "*.read_any"].map(ToOwned::to_owned));
            let permissions: Vec<_> = others.chain([left.clone()]).collect();
            let permissions: Vec<_> = permissions.iter().map(String::as_str).collect();
            let email = format!("{}@example.com", left.replace([':', '_'], "."));
            let email = email.replacen("user.read", &format!("none.{}", kind.name.replace('_', ".")), 1);
            let (dry_run, backtest) = rehearse(&user_with(&server, &email, &permissions).await.1).await;
            for refused in [dry_run, backtest] {
                let problem = refused.problem(403, "permission_denied");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(&format!("{}.read", kind.name)) && !refused.text.contains(&placed), "{detail}");
            }
        }
    }
    // A scope elsewhere is none of its business.
    let (_, able) = user_with(
        &server,
        "able@example.com",
        &["*.read", "*.read_any", "rule.create", "task.create", "deal.edit:own"],
    )
    .await;
    let (dry_run, backtest) = rehearse(&able).await;
    assert_eq!(dry_run.expect(StatusCode::OK)["trigger"]["subject"]["id"], placed);
    assert_eq!(backtest.expect(StatusCode::OK)["totals"]["matched"], 1);
}

#[tokio::test]
async fn a_backtest_finds_what_the_rule_did_live() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales").await;
    for name in ["Anna", "Boris"] {
        manager(client, &sales, name, "Moscow").await;
    }
    let definition = json!({
        "when": condition("order.total.amount", "gte", json!("50")), "delay_s": 3600, "recheck": true, "cancel_on": ["order.paid"],
        "selector": [{ "role": sales }], "actions": [task("Ask {{ order.number }}")],
    });
    let live = rule(client, "Live", "order.placed", 5, definition.clone()).await;
    let stranger = server.another_tenant("Quagga").await;
    order(&stranger, "500", json!({})).await;
    let mut orders = Vec::new();
    for total in [10, 60, 70, 80, 20, 90, 95] {
        orders.push(order(client, &total.to_string(), json!({})).await);
    }
    let pay = json!({ "amount": { "amount": "60", "currency": "RUB" } });
    client.run(&format!("/v1/orders/{}/pay", orders[1]), pay).await;
    let less = json!({ "total": { "amount": "30", "currency": "RUB" } });
    client.run(&format!("/v1/orders/{}/amend", orders[2]), less).await;
    server.settle().await;
    server.app.advance(Duration::from_secs(3610));
    server.settle().await;
    assert_eq!(tasks(client).await.len(), 3);
    let head = client.read("/v1/events").await["position"].clone();

    let test = async |more: Value| {
        let mut body = json!({ "draft": { "trigger": "order.placed", "definition": definition } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.post("/v1/rules/backtest", body).await.expect(StatusCode::OK)
    };
    let done = test(json!({})).await;
    let totals = json!({
        "asked": 7, "matched": 5, "not_matched": 2, "stopped": 0, "too_deep": 0, "executed": 3, "cancelled_by_event": 1,
        "cancelled_by_recheck": 1, "pending": 0, "tasks": 3, "tasks_for_nobody": 0, "commands": 0, "with_unknown": 0,
    });
    assert_eq!(done["totals"], totals);
    let statuses: Vec<_> = runs(client, &live).await.iter().map(|run| run["status"].clone()).collect();
    for (status, count) in [("executed", 3), ("cancelled", 2), ("skipped", 2)] {
        assert_eq!(statuses.iter().filter(|found| *found == status).count(), count, "{status}: as it was live");
    }
    let mut given: Vec<_> =
        done["by_user"].as_array().unwrap().iter().map(|of| of["tasks"].as_u64().unwrap()).collect();
    given.sort();
    assert_eq!(given, [1, 2]);
    assert!(done["by_user"][0]["name"].is_string());
    let titles = |done: &Value| -> Vec<String> {
        let runs = done["runs"].as_array().unwrap().iter();
        runs.map(|run| run["preparation"]["actions"][0]["body"]["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&done), ["Ask 4", "Ask 6", "Ask 7"]);
    let (occurred, at) = (&done["runs"][0]["occurred_at"], &done["runs"][0]["preparation"]["at"]);
    let later = crate::world::instant(at).duration_since(crate::world::instant(occurred));
    assert_eq!(later.as_secs(), 3600);

    let page = test(json!({ "limit": 2 })).await;
    assert_eq!((titles(&page).len(), &page["totals"]), (2, &totals));
    let rest = test(json!({ "limit": 2, "cursor": page["next"] })).await;
    assert_eq!((titles(&rest), &rest["next"]), (vec!["Ask 7".to_owned()], &json!(null)));

    // A part of the log, by position or by time.
    let placed = events(client, "order.placed").await;
    let part = test(json!({ "after": placed[3]["position"], "until": placed[5]["position"] })).await;
    assert_eq!((&part["totals"]["asked"], &part["totals"]["matched"]), (&json!(2), &json!(1)));
    assert_eq!(titles(&part), ["Ask 6"], "due by now, whatever happened after");
    let since = test(json!({ "from": placed[6]["recorded_at"] })).await;
    assert_eq!(since["totals"]["asked"], 1);
    let until = test(json!({ "to": placed[0]["recorded_at"] })).await;
    assert_eq!(until["totals"]["asked"], 0);

    let among =
        json!({ "draft": { "trigger": "order.placed", "rank": 9, "with_others": true, "definition": definition } });
    let among = client.post("/v1/rules/backtest", among).await.expect(StatusCode::OK);
    assert_eq!((&among["totals"]["stopped"], &among["totals"]["matched"]), (&json!(5), &json!(0)));
    let mut patient = definition.clone();
    patient["delay_s"] = json!(86_400);
    let patient = json!({ "draft": { "trigger": "order.placed", "definition": patient } });
    let patient = client.post("/v1/rules/backtest", patient).await.expect(StatusCode::OK);
    assert_eq!((&patient["totals"]["pending"], &patient["totals"]["executed"]), (&json!(4), &json!(0)));
    server.settle().await;
    assert_eq!(client.read("/v1/events").await["position"], head, "nothing was written");
}
