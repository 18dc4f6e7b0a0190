//! Notifications: whom something concerns is told once, by what he chose, of what he sees, until he has read it.

use std::time::Duration;

use deskfold_tests::{Client, Server};
use serde_json::{Value, json};

use crate::{
    chat::live::Screen,
    org::auth::user_with,
    work::rules::{events, order, role, rule, task},
    world::{NOBODY, condition, contact, filtered, subject, texts, ticket},
};

const LIST: &str = "/v1/me/notifications";

/// What somebody was told: the kinds, those told last first.
async fn told(client: &Client) -> Vec<String> {
    texts(&client.read(LIST).await, "kind")
}

async fn unread(client: &Client) -> Value {
    client.read(&format!("{LIST}/unread")).await["count"].clone()
}

#[tokio::test]
async fn whom_something_concerns_is_told_once_and_reads_it_everywhere() {
    let server = Server::start().await;
    let admin = &server.admin;
    let all = ["ticket.*", "comment.*", "task.*", "order.*", "contact.*"];
    let (anna_id, anna) = user_with(&server, "anna@example.com", &all).await;
    let (boris_id, boris) = user_with(&server, "boris@example.com", &all).await;
    let (cecil_id, cecil) = user_with(&server, "cecil@example.com", &["ticket.*:own", "comment.*:own"]).await;
    let mut screen = Screen::of(&anna, &format!("{LIST}/stream")).await;

    // What is assigned by somebody else; nobody is told of what he does himself.
    let printer = ticket(admin, "Printer").await;
    let path = format!("/v1/tickets/{printer}");
    admin.run(&format!("{path}/assign"), json!({ "assignee": anna_id })).await;
    let own = ticket(&anna, "My own").await;
    anna.run(&format!("/v1/tickets/{own}/assign"), json!({ "assignee": anna_id })).await;
    server.settle().await;
    let page = anna.read(LIST).await;
    assert_eq!(texts(&page, "kind"), ["assigned"], "{page}");
    let first = &page["data"][0];
    assert_eq!((&first["record_name"], &first["record_kind"]), (&json!("Printer"), &json!("ticket")));
    assert_eq!((&first["by_kind"], first["by_name"].is_string()), (&json!("user"), true));
    let heard = screen.next().await.unwrap();
    assert_eq!((heard.event.as_str(), &heard.data["became"]), ("notification", &json!("sent")));
    assert_eq!(heard.data["notification"], first["id"]);

    // Who is named sees the record, or is not told; who is named in what is his is told that he was named.
    let note = json!({ "body": "@boris@example.com please, with @cecil and @anna" });
    anna.run(&format!("{path}/add_note"), note).await;
    let comment = json!({ "subjects": [subject("ticket", &printer)], "text": "Done, @anna" });
    boris.create("/v1/comments", comment).await;
    admin.run(&format!("{path}/receive_message"), json!({ "body": "Still broken, @boris" })).await;
    server.settle().await;
    assert_eq!(told(&anna).await, ["replied", "mentioned", "assigned"]);
    assert_eq!(told(&boris).await, ["mentioned"]);
    assert!(told(&cecil).await.is_empty());

    // What a rule does is nobody's own deed.
    let sales = role(admin, "Sales").await;
    admin.run(&format!("/v1/users/{anna_id}/grant_role"), json!({ "role": sales })).await;
    let definition = json!({ "selector": [{ "role": sales }], "actions": [task("Call")] });
    rule(admin, "Call", "order.placed", 1, definition).await;
    order(&anna, "5.00", json!({})).await;
    server.settle().await;
    assert_eq!(told(&anna).await[0], "rule_task");
    assert_eq!(unread(&anna).await, 4);

    // Handling all events anew tells nobody anything.
    let before = events(admin, "notification.sent").await.len();
    let reset = "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null \
        where name = 'react_notifications'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    contact(admin, "Maria").await;
    server.settle().await;
    assert_eq!(events(admin, "notification.sent").await.len(), before);

    // Read on one screen is read on all.
    for _ in 0..3 {
        assert_eq!(screen.next().await.unwrap().data["became"], "sent");
    }
    let which = json!({ "notifications": [first["id"]] });
    boris.post(&format!("{LIST}/mark_read"), which.clone()).await.problem(404, "notification_unknown");
    assert_eq!(anna.post(&format!("{LIST}/mark_read"), which.clone()).await.json()["count"], 1);
    assert_eq!(anna.post(&format!("{LIST}/mark_read"), which).await.json()["count"], 0);
    let heard = screen.next().await.unwrap();
    assert_eq!((&heard.data["became"], &heard.data["notification"]), (&json!("read"), &first["id"]));
    server.settle().await;
    let open = filtered(LIST, &condition("read", "eq", false));
    assert_eq!(texts(&anna.read(&format!("{open}&limit=2")).await, "kind"), ["rule_task", "replied"]);
    let marked = anna.post(&format!("{LIST}/mark_read"), json!({})).await.json();
    assert_eq!(marked["count"], 3);
    let path = format!("{LIST}/unread?min_position={}", marked["position"]);
    assert_eq!(anna.read(&path).await["count"], 0);
    anna.post(&format!("{LIST}/mark_read"), json!({ "notifications": [NOBODY] })).await.problem(404, "notification_unknown");

    // What one sees no longer is in no list; whoever is shut out is told nothing.
    admin.run(&format!("/v1/tickets/{printer}/assign"), json!({ "assignee": cecil_id })).await;
    server.settle().await;
    assert_eq!((told(&cecil).await, unread(&cecil).await), (vec!["assigned".to_owned()], json!(1)));
    admin.run(&format!("/v1/tickets/{printer}/assign"), json!({ "assignee": anna_id })).await;
    admin.run(&format!("/v1/users/{boris_id}/deactivate"), json!({})).await;
    admin.run(&format!("/v1/tickets/{printer}/add_note"), json!({ "body": "@boris @anna" })).await;
    server.settle().await;
    assert_eq!((told(&cecil).await, unread(&cecil).await), (vec![], json!(0)));
    let to = |event: &Value| event["data"]["to"].clone();
    let sent: Vec<Value> = events(admin, "notification.sent").await.iter().map(to).collect();
    assert_eq!(sent.iter().filter(|to| **to == *boris_id).count(), 1);
}

#[tokio::test]
async fn a_task_is_told_of_before_its_time_and_when_it_has_come() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, anna) = user_with(&server, "anna@example.com", &["task.*"]).await;
    let create = async |title: &str, more: Value| {
        let mut body = json!({ "title": title, "due_in_s": 7200, "assignee": anna_id });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        admin.create("/v1/tasks", body).await
    };
    create("Call", json!({})).await;
    let done = create("Done", json!({})).await;
    create("Soon", json!({ "due_in_s": 1800 })).await;
    admin.run(&format!("/v1/tasks/{done}/complete"), json!({})).await;
    server.app.advance(Duration::from_secs(3700));
    server.settle().await;
    assert_eq!(told(&anna).await, ["overdue", "due_soon", "assigned", "assigned", "assigned"]);
    assert_eq!(events(admin, "task.became_due_soon").await.len(), 1);
    server.app.advance(Duration::from_secs(3700));
    server.settle().await;
    let page = anna.read(&filtered(LIST, &condition("kind", "eq", "overdue"))).await;
    assert_eq!(texts(&page, "record_name"), ["Call", "Soon"]);
}
