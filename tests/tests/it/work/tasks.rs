//! What is to be done and what was done: tasks, projects, calls, comments and activities, and the table of rules.

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{NOBODY, colleague, condition, contact, each, euros, filtered, subject, texts, user};

#[tokio::test]
async fn tasks_are_found_by_who_when_and_what() {
    let server = Server::start().await;
    let client = &server.admin;
    let (anna, ada) = (user(client, "Anna").await, contact(client, "Ada").await);
    let order = client.create("/v1/orders", json!({ "source": "shop", "total": euros("5"), "customer": ada })).await;
    let project = client.create("/v1/projects", json!({ "name": "New customers" })).await;
    let task = async |title: &str, more: Value| {
        let mut body = json!({ "title": title });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.create("/v1/tasks", body).await
    };
    let late = task("Late", json!({ "due_at": "2020-01-01T10:00:00Z", "assignee": anna })).await;
    let call = json!({ "due_in_s": 3600, "priority": 3, "assignee": anna, "project": project, "subjects": [subject("order", &order), subject("contact", &ada)] });
    let call = task("Confirm the order", call).await;
    let soon = task("Soon", json!({ "due_at": "2999-01-01T10:00:00Z", "priority": 1 })).await;
    let urgent = task("Soon and urgent", json!({ "due_at": "2999-01-01T10:00:00Z", "priority": 3 })).await;
    let someday = task("Some day", json!({ "project": project })).await;
    server.settle().await;
    let of = async |filter: Value| texts(&client.read(&filtered("/v1/tasks", &filter)).await, "id");
    assert_eq!(
        of(json!({})).await,
        [&*late, &*call, &*urgent, &*soon, &*someday],
        "what is due first, the most urgent of it first"
    );
    let mine = json!({ "all": [condition("assignee_id", "eq", &*anna), condition("open", "eq", true)] });
    assert_eq!(of(mine.clone()).await, [&*late, &*call]);
    let due = json!({ "all": [condition("open", "eq", true), condition("due_at", "lt", "2026-01-01T00:00:00Z")] });
    assert_eq!(of(due).await, [&*late]);
    assert_eq!(of(condition("project_id", "eq", &*project)).await, [&*call, &*someday]);
    assert_eq!(of(condition("subject_ids", "contains", &*ada)).await, [&*call]);
    assert_eq!(of(condition("subject_ids", "in", json!([order, NOBODY]))).await, [&*call]);
    assert_eq!(of(condition("assignee_id", "is_null", true)).await, [&*urgent, &*soon, &*someday]);
    assert_eq!(of(condition("due_at", "is_null", true)).await, [&*someday]);
    let shown = client.read(&format!("/v1/tasks/{call}")).await;
    assert_eq!((&shown["assignee_name"], &shown["project_name"]), (&json!("Anna"), &json!("New customers")));
    assert_eq!(shown["subject_names"], json!({ &*order: "#1", &*ada: "Ada" }));
    assert_eq!((&shown["status"], &shown["author_kind"]), (&json!("open"), &json!("user")));

    let path = format!("/v1/tasks/{call}");
    let edited =
        client.patch(&path, json!({ "title": "Confirm by phone", "project": null })).await.expect(StatusCode::OK);
    client.post(&format!("{path}/start"), json!({})).await.expect(StatusCode::OK);
    client.run(&format!("{path}/complete"), json!({ "outcome": "Confirmed" })).await;
    assert!(client.run(&format!("{path}/complete"), json!({ "outcome": "Confirmed" })).await.is_empty());
    client.post(&format!("{path}/assign"), json!({ "assignee": anna })).await.problem(409, "task_closed");
    client.run(&format!("/v1/tasks/{soon}/cancel"), json!({ "reason": "Not needed" })).await;
    server.settle().await;
    assert_eq!(of(mine.clone()).await, [&*late], "done is done");
    assert_eq!(of(condition("status", "eq", "cancelled")).await, [&*soon]);
    let shown = client.read(&path).await;
    assert_eq!((&shown["outcome"], &shown["project_id"]), (&json!("Confirmed"), &Value::Null));
    let then = client.read(&format!("{path}?as_of={}", edited["position"])).await;
    assert_eq!(
        (&then["title"], &then["status"], &then["open"]),
        (&json!("Confirm by phone"), &json!("open"), &json!(true))
    );
    client.run(&format!("{path}/reopen"), json!({})).await;
    server.settle().await;
    assert_eq!(of(mine).await, [&*late, &*call]);

    for (body, code, pointer) in [
        (json!({ "title": " " }), "title_invalid", "/title"),
        (json!({ "title": "x", "due_at": "2027-01-01T00:00:00Z", "due_in_s": 5 }), "task_due_unclear", "/due_in_s"),
        (json!({ "title": "x", "project": NOBODY }), "reference_unfit", "/project"),
        (json!({ "title": "x", "assignee": NOBODY }), "reference_unfit", "/assignee"),
        (json!({ "title": "x", "subjects": [subject("order", NOBODY)] }), "reference_unfit", "/subjects/0"),
        (json!({ "title": "x", "subjects": [subject("spaceship", NOBODY)] }), "reference_unfit", "/subjects/0"),
    ] {
        let problem = client.post("/v1/tasks", body).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    client.patch(&path, json!({ "due_at": null })).await.problem(422, "field_invalid");
    client.post(&format!("{path}/mark_overdue"), json!({})).await.problem(404, "command_unknown");
}

#[tokio::test]
async fn the_table_of_rules_is_in_the_order_in_which_they_are_asked() {
    let server = Server::start().await;
    let client = &server.admin;
    let anna = user(client, "Anna").await;
    let definition =
        |title: &str| json!({ "actions": [{ "create_task": { "title": title } }], "selector": [{ "user": anna }] });
    let rule = async |name: &str, trigger: &str, rank: i64| {
        let body = json!({ "name": name, "trigger": trigger, "rank": rank, "definition": definition(name) });
        client.create("/v1/rules", body).await
    };
    let any = rule("Any manager", "order.placed", 20).await;
    rule("Call back", "call.missed", 50).await;
    let sidorov = rule("Sidorov", "order.placed", 10).await;
    let draft = client.create("/v1/rules", json!({ "name": "Draft", "trigger": "lead.created" })).await;
    server.settle().await;
    let names = async || {
        server.settle().await;
        texts(&client.read("/v1/rules").await, "name")
    };
    assert_eq!(names().await, ["Call back", "Draft", "Sidorov", "Any manager"], "by trigger, then by rank");
    let shown = client.read(&format!("/v1/rules/{any}")).await;
    assert_eq!((&shown["enabled"], &shown["rule_version"]), (&json!(true), &json!(1)));
    assert_eq!(shown["definition"]["actions"][0]["create_task"]["title"], "Any manager");
    let shown = client.read(&format!("/v1/rules/{draft}")).await;
    assert_eq!(
        (&shown["enabled"], &shown["rule_version"], &shown["definition"]),
        (&json!(false), &json!(0), &Value::Null)
    );
    client.post(&format!("/v1/rules/{draft}/enable"), json!({})).await.problem(409, "rule_unpublished");
    let placed = filtered(
        "/v1/rules",
        &json!({ "all": [condition("trigger", "eq", "order.placed"), condition("enabled", "eq", true)] }),
    );
    assert_eq!(texts(&client.read(&placed).await, "name"), ["Sidorov", "Any manager"]);

    client.run(&format!("/v1/rules/{sidorov}/change_rank"), json!({ "rank": 30 })).await;
    assert_eq!(names().await, ["Call back", "Draft", "Any manager", "Sidorov"]);
    let before = client.read("/v1/events").await["position"].clone();
    client.run(&format!("/v1/rules/{any}/publish"), definition("Call at once")).await;
    client.run(&format!("/v1/rules/{any}/disable"), json!({ "reason": "Holidays" })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/rules/{any}")).await;
    assert_eq!((&shown["rule_version"], &shown["disabled_reason"]), (&json!(2), &json!("Holidays")));
    assert_eq!(shown["definition"]["actions"][0]["create_task"]["title"], "Call at once");
    let then = client.read(&format!("/v1/rules/{any}?as_of={before}")).await;
    assert_eq!((&then["rule_version"], &then["enabled"]), (&json!(1), &json!(true)));
    client.run(&format!("/v1/rules/{sidorov}/delete"), json!({})).await;
    assert_eq!(names().await, ["Call back", "Draft", "Any manager"]);
    let deleted = filtered("/v1/rules", &condition("deleted", "eq", true));
    assert_eq!(texts(&client.read(&deleted).await, "name"), ["Sidorov"], "what it did stays explained");
    client.post(&format!("/v1/rules/{sidorov}/enable"), json!({})).await.problem(409, "rule_deleted");
    client
        .post("/v1/rules", json!({ "name": "x", "trigger": "order.eaten" }))
        .await
        .problem(422, "rule_trigger_unknown");
    let wrong = json!({ "when": { "field": "order.colour", "op": "eq", "value": 1 }, "actions": [{ "create_task": { "title": "x" } }] });
    let wrong = json!({ "name": "x", "trigger": "order.placed", "definition": wrong });
    client.post("/v1/rules", wrong).await.problem(422, "rule_invalid");
}

#[tokio::test]
async fn comments_and_activities_are_found_by_what_they_are_about() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ada, dora) = (contact(client, "Ada").await, contact(client, "Dora").await);
    let enquiry = client.create("/v1/enquiries", json!({ "name": "A flat", "contact": ada })).await;
    let both = json!([subject("enquiry", &enquiry), subject("contact", &ada)]);
    let comment =
        client.create("/v1/comments", json!({ "subjects": both, "text": "On Monday", "internal": true })).await;
    let other =
        client.create("/v1/comments", json!({ "subjects": [subject("contact", &dora)], "text": "Calls back" })).await;
    server.settle().await;
    let of = async |list: &str, record: &str| {
        texts(&client.read(&filtered(list, &condition("subject_ids", "contains", record))).await, "id")
    };
    assert_eq!(of("/v1/comments", &ada).await, [&*comment]);
    assert_eq!(of("/v1/comments", &enquiry).await, [&*comment]);
    assert_eq!(of("/v1/comments", &dora).await, [&*other]);
    let shown = client.read(&format!("/v1/comments/{comment}")).await;
    assert_eq!(shown["subjects"], both);
    assert_eq!(shown["subject_names"], json!({ &*enquiry: "A flat", &*ada: "Ada" }));
    assert_eq!((&shown["internal"], &shown["author_name"]), (&json!(true), &json!("admin")));
    client.patch(&format!("/v1/comments/{comment}"), json!({ "text": "On Tuesday" })).await.expect(StatusCode::OK);
    let before = client.read("/v1/events").await["position"].clone();
    client.run(&format!("/v1/comments/{comment}/delete"), json!({ "reason": "Wrong enquiry" })).await;
    client.patch(&format!("/v1/comments/{comment}"), json!({ "text": "x" })).await.problem(409, "comment_deleted");
    server.settle().await;
    assert!(of("/v1/comments", &ada).await.is_empty());
    let shown = client.read(&format!("/v1/comments/{comment}")).await;
    assert_eq!((&shown["text"], &shown["deleted"]), (&Value::Null, &json!(true)));
    assert_eq!(client.read(&format!("/v1/comments/{comment}?as_of={before}")).await["text"], "On Tuesday");
    for (subjects, code) in [(json!([]), "subjects_invalid"), (json!([subject("contact", NOBODY)]), "reference_unfit")]
    {
        client.post("/v1/comments", json!({ "subjects": subjects, "text": "x" })).await.problem(422, code);
    }
    let blank = json!({ "subjects": both, "text": " " });
    client.post("/v1/comments", blank).await.problem(422, "comment_text_invalid");

    // What happened long ago, told today.
    let visit =
        |when: &str, text: &str| json!({ "kind": "visit", "subjects": both, "text": text, "occurred_at": when });
    let second = client.create("/v1/activities", visit("2025-06-02T10:00:00Z", "Again")).await;
    let first = client.create("/v1/activities", visit("2025-06-01T10:00:00Z", "Saw the flat")).await;
    client.post("/v1/activities", visit("2999-01-01T00:00:00Z", "x")).await.problem(422, "activity_in_future");
    server.settle().await;
    assert_eq!(of("/v1/activities", &enquiry).await, [&*second, &*first], "by when it happened");
    let early = condition("occurred_at", "lt", "2025-06-02T00:00:00Z");
    let early = client.read(&filtered("/v1/activities", &early)).await;
    assert_eq!((texts(&early, "id"), texts(&early, "text")), (vec![first.clone()], vec!["Saw the flat".to_owned()]));
    client.run(&format!("/v1/activities/{first}/correct"), json!({ "occurred_at": "2025-06-03T10:00:00Z" })).await;
    server.settle().await;
    assert_eq!(of("/v1/activities", &ada).await, [&*first, &*second]);
    client.run(&format!("/v1/activities/{second}/withdraw"), json!({ "reason": "Another contact" })).await;
    client
        .post(&format!("/v1/activities/{second}/correct"), json!({ "text": "x" }))
        .await
        .problem(409, "activity_withdrawn");
    server.settle().await;
    assert_eq!(of("/v1/activities", &ada).await, [&*first]);
}

#[tokio::test]
async fn calls_are_answered_or_missed() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ada, anna, boris) = (contact(client, "Ada").await, user(client, "Anna").await, user(client, "Boris").await);
    let rings = |from: &str| json!({ "from": from, "to": "+39 06 555 0100" });
    let answered = client.create("/v1/calls", rings("+39 06 555 0101")).await;
    let missed = client.create("/v1/calls", rings("+39 06 555 0102")).await;
    // What telephones say is kept as they say it.
    let odd = client.create("/v1/calls", rings("nobody")).await;
    let at = |id: &str, command: &str| format!("/v1/calls/{id}/{command}");
    client.run(&at(&answered, "link_contact"), json!({ "contact": ada })).await;
    client.run(&at(&answered, "answer"), json!({ "user": anna })).await;
    client.post(&at(&answered, "answer"), json!({ "user": boris })).await.problem(409, "call_answered");
    client.post(&at(&answered, "miss"), json!({})).await.problem(409, "call_over");
    client.run(&at(&answered, "end"), json!({ "duration_s": 95 })).await;
    client.run(&at(&missed, "miss"), json!({})).await;
    client.post(&at(&missed, "answer"), json!({ "user": anna })).await.problem(409, "call_over");
    server.settle().await;
    let of = async |filter: Value| texts(&client.read(&filtered("/v1/calls", &filter)).await, "id");
    assert_eq!(of(json!({})).await, [&*odd, &*missed, &*answered], "the latest first");
    assert_eq!(of(condition("status", "eq", "missed")).await, [&*missed]);
    assert_eq!(of(condition("contact_id", "eq", &*ada)).await, [&*answered]);
    assert_eq!(of(condition("user_id", "eq", &*anna)).await, [&*answered]);
    assert_eq!(of(condition("from_number", "eq", "+39 06 555 0102")).await, [&*missed]);
    let shown = client.read(&format!("/v1/calls/{answered}")).await;
    assert_eq!(
        (&shown["contact_name"], &shown["user_name"], &shown["duration_s"]),
        (&json!("Ada"), &json!("Anna"), &json!(95))
    );
}

#[tokio::test]
async fn an_agent_works_with_all_of_it_and_a_viewer_looks_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let with = async |name: &str| {
        let id = colleague(client, &format!("A {name}"), name).await;
        let key = client.post("/v1/api_keys", json!({ "name": name, "user": id })).await.expect(StatusCode::CREATED);
        server.client(key["key"].as_str().unwrap())
    };
    let (agent, viewer) = (with("agent").await, with("viewer").await);
    let ada = agent.create("/v1/contacts", json!({ "name": "Ada" })).await;
    let about = json!([subject("contact", &ada)]);
    for (collection, body) in [
        ("orders", json!({ "source": "chat", "total": euros("5"), "customer": ada })),
        ("leads", json!({ "name": "Oleg" })),
        ("properties", json!({ "name": "A flat" })),
        ("enquiries", json!({ "name": "A flat", "contact": ada })),
        ("deals", json!({ "name": "A flat" })),
        ("conversations", json!({ "medium": "live_chat" })),
        ("labels", json!({ "name": "VIP", "preset": true })),
        ("quick_replies", json!({ "name": "hello", "text": "Good day" })),
        ("comments", json!({ "subjects": about, "text": "x" })),
        ("activities", json!({ "kind": "visit", "subjects": about, "text": "x" })),
        ("calls", json!({ "from": "+39 06 555 0101", "to": "main" })),
        ("projects", json!({ "name": "House" })),
        ("tasks", json!({ "title": "Call" })),
    ] {
        let path = format!("/v1/{collection}");
        viewer.post(&path, body.clone()).await.problem(403, "permission_denied");
        let id = agent.create(&path, body).await;
        server.settle().await;
        for reader in [&agent, &viewer] {
            assert_eq!(texts(&reader.read(&path).await, "id"), [&*id], "{collection}");
        }
    }
    let rule = json!({ "name": "x", "trigger": "order.placed" });
    agent.post("/v1/rules", rule).await.problem(403, "permission_denied");
    assert_eq!(each(&viewer.read("/v1/rules").await, "id"), [Value::Null; 0]);
}
