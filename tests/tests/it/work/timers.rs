//! Timers: tasks become overdue, tickets wake, runs are carried out; each once, however many servers race for them.

use std::time::Duration;

use deskfold_tests::Server;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::{events, manager, order, role, rule, shares, task, tasks},
    world::{instant, ticket},
};

fn in_seconds(seconds: i64) -> Value {
    json!(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn a_task_that_is_not_done_in_time_becomes_overdue_once() {
    let server = Server::start().await;
    let client = &server.admin;
    let create = async |title: &str| client.create("/v1/tasks", json!({ "title": title, "due_in_s": 3600 })).await;
    let (late, done, off, again) =
        (create("late").await, create("done").await, create("off").await, create("again").await);
    client.run(&format!("/v1/tasks/{done}/complete"), json!({})).await;
    client.run(&format!("/v1/tasks/{again}/complete"), json!({})).await;
    let later = in_seconds(7200);
    client.run(&format!("/v1/tasks/{off}/change_due"), json!({ "due_at": later })).await;
    server.app.advance(Duration::from_secs(3590));
    server.settle().await;
    assert_eq!(events(client, "task.became_overdue").await, Vec::<Value>::new());
    server.app.advance(Duration::from_secs(11));
    server.settle().await;
    let overdue = events(client, "task.became_overdue").await;
    assert_eq!(overdue.len(), 1);
    assert_eq!(overdue[0]["stream"], format!("task-{late}"));
    assert_eq!((&overdue[0]["actor"]["kind"], &overdue[0]["via"]), (&json!("system"), &json!("timer")));
    // Its cause is the event that set the time.
    let created = events(client, "task.created").await;
    assert_eq!(overdue[0]["causation_id"], created[0]["id"]);
    assert_eq!(overdue[0]["causation_position"], created[0]["position"]);
    client.run(&format!("/v1/tasks/{again}/reopen"), json!({})).await;
    server.settle().await;
    assert_eq!(events(client, "task.became_overdue").await.len(), 2, "back again, and late");
    server.app.advance(Duration::from_secs(3600));
    server.settle().await;
    server.app.advance(Duration::from_secs(36_000));
    server.settle().await;
    let overdue = events(client, "task.became_overdue").await;
    assert_eq!(overdue.len(), 3, "the one that was put off; none twice");
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("deskfold_timers_fired_total{kind=\"task_overdue\"} 3"), "{metrics}");
    assert!(metrics.contains("deskfold_timers_fired_total{kind=\"task_due_soon\"} 1"), "the one that was put off");
    assert!(metrics.contains("deskfold_timer_late_seconds_count 4"), "{metrics}");
}

#[tokio::test]
async fn a_snoozed_ticket_wakes_unless_it_is_put_off_again() {
    let server = Server::start().await;
    let client = &server.admin;
    let (first, second, third) = (ticket(client, "a").await, ticket(client, "b").await, ticket(client, "c").await);
    for id in [&first, &second, &third] {
        let until = in_seconds(600);
        client.run(&format!("/v1/tickets/{id}/snooze"), json!({ "until": until })).await;
    }
    let until = in_seconds(1200);
    client.run(&format!("/v1/tickets/{second}/snooze"), json!({ "until": until })).await;
    client.run(&format!("/v1/tickets/{third}/close"), json!({})).await;
    server.settle().await;
    assert_eq!(events(client, "ticket.woken").await, Vec::<Value>::new());
    let woken =
        async || events(client, "ticket.woken").await.iter().map(|event| event["stream"].clone()).collect::<Vec<_>>();
    server.app.advance(Duration::from_secs(601));
    server.settle().await;
    assert_eq!(woken().await, [format!("ticket-{first}")]);
    assert_eq!(client.read(&format!("/v1/tickets/{first}")).await["snoozed_until"], json!(null));
    server.app.advance(Duration::from_secs(600));
    server.settle().await;
    assert_eq!(woken().await, [format!("ticket-{first}"), format!("ticket-{second}")]);
}

#[tokio::test]
async fn a_chain_of_rules_and_timers_comes_to_an_end_too() {
    let server = Server::start().await;
    let client = &server.admin;
    let again = json!({ "actions": [{ "create_task": { "title": "again", "due_in_s": 60 } }] });
    rule(client, "Again", "task.became_overdue", 1, again).await;
    client.create("/v1/tasks", json!({ "title": "first", "due_in_s": 60 })).await;
    for _ in 0..12 {
        server.settle().await;
        server.app.advance(Duration::from_secs(61));
    }
    server.settle().await;
    assert_eq!(tasks(client).await.len(), 9, "the first and eight more");
    assert_eq!(events(client, "task.became_overdue").await.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_race_fire_every_timer_once() {
    let server = Server::start().await;
    let client = &server.admin;
    let (other, _) = server.beside(&[]).await;
    let sales = role(client, "Sales").await;
    for name in ["Anna", "Boris", "Clara"] {
        manager(client, &sales, name, "Moscow").await;
    }
    let definition =
        json!({ "delay_s": 3600, "selector": [{ "role": sales }], "actions": [task("call {{ order.number }}")] });
    rule(client, "Call", "order.placed", 1, definition).await;
    join_all((0..60).map(|_| order(client, "5", json!({})))).await;
    let due = json!({ "title": "by hand", "due_in_s": 3600 });
    join_all((0..60).map(|_| client.create("/v1/tasks", due.clone()))).await;
    server.settle().await;
    assert_eq!(events(client, "rule_run.scheduled").await.len(), 60);

    for app in [&server.app, &other] {
        app.advance(Duration::from_secs(3605));
    }
    let (first, second) = tokio::join!(server.app.settle(), other.settle());
    first.unwrap();
    second.unwrap();
    server.settle().await;
    for (kind, count) in [
        ("task.became_overdue", 60),
        ("rule_run.matched", 60),
        ("rule_run.prepared", 60),
        ("rule_run.executed", 60),
        ("task.created", 120),
        ("rule_run.failed", 0),
    ] {
        assert_eq!(events(client, kind).await.len(), count, "{kind}");
    }
    let mut shares = shares(client).await;
    assert_eq!(shares.remove(&None), Some(60), "by hand, for nobody");
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [20, 20, 20], "each prepared in sight of the others");
    other.stop().await;
}

#[tokio::test]
async fn a_timer_fires_by_itself_when_its_time_comes() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = client.create("/v1/tasks", json!({ "title": "soon", "due_in_s": 1 })).await;
    // Nobody settles and nobody moves the clock: a listener hears it.
    let stream = client.request(reqwest::Method::GET, "/v1/events/stream?after=0&types=task.became_overdue");
    let response = stream.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut bytes = response.bytes_stream();
    let mut text = String::new();
    let heard = async {
        while !text.contains(&id) {
            let chunk = futures::StreamExt::next(&mut bytes).await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("it becomes overdue in time");
    let overdue = events(client, "task.became_overdue").await;
    let late = instant(&overdue[0]["recorded_at"]).duration_since(instant(&overdue[0]["data"]["due_at"]));
    assert!(!late.is_negative() && late.as_secs() < 10, "{late}");
}
