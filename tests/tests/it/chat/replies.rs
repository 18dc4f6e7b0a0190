//! Who replies in a chat, how far a message of ours comes, and what counts as an answer.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{colleague, condition, each, filtered, texts};

async fn chat(client: &Client) -> String {
    client.create("/v1/conversations", json!({ "medium": "whatsapp", "visitor": { "name": "Maria" } })).await
}

fn at(chat: &str, command: &str) -> String {
    format!("/v1/conversations/{chat}/{command}")
}

async fn receives(client: &Client, chat: &str, body: &str) {
    client.run(&at(chat, "receive_message"), json!({ "body": body })).await;
}

async fn sends(client: &Client, chat: &str, body: &str) -> String {
    let said = client.post(&at(chat, "send_message"), json!({ "body": body })).await.expect(StatusCode::OK);
    said["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

/// Reports of a channel about a message; what each wrote.
async fn reports(client: &Client, chat: &str, message: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut written = Vec::new();
    for name in names {
        let mut body = json!({ "message_id": message });
        if *name == "failed" {
            body["error"] = json!("131026: undeliverable");
        }
        written.push(client.run(&at(chat, &format!("mark_message_{name}")), body).await);
    }
    written
}

/// A colleague with a key of one's own.
pub(crate) async fn with_key(server: &Server, name: &str, role: &str) -> (String, Client) {
    let id = colleague(&server.admin, name, role).await;
    let issued = server.admin.post("/v1/api_keys", json!({ "name": name, "user": id })).await;
    (id, server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap()))
}

#[tokio::test]
async fn only_whoever_is_responsible_replies_in_a_chat() {
    let server = Server::start().await;
    let admin = &server.admin;
    let ((anna, as_anna), (boris, as_boris)) =
        (with_key(&server, "Anna", "agent").await, with_key(&server, "Boris", "agent").await);
    // Both answer in its channel, so both see it.
    let channel = admin.create("/v1/channels", json!({ "kind": "telegram", "name": "Telegram" })).await;
    admin.run(&format!("/v1/channels/{channel}/add_operators"), json!({ "users": [anna, boris] })).await;
    let begun = json!({ "medium": "telegram", "channel": channel, "visitor": { "name": "Maria" } });
    let chat = admin.create("/v1/conversations", begun).await;
    receives(admin, &chat, "Good day").await;
    let say = json!({ "body": "Good day!" });

    // Nobody has taken it: not even a rehearsal goes through.
    let refused = as_anna.post(&at(&chat, "send_message"), say.clone()).await;
    let refused = refused.problem(403, "conversation_not_responsible");
    assert!(refused["detail"].as_str().unwrap().contains("claim"), "{refused}");
    let dry = format!("{}?dry_run=true", at(&chat, "send_message"));
    as_anna.post(&dry, say.clone()).await.problem(403, "conversation_not_responsible");

    as_anna.run(&at(&chat, "claim"), json!({})).await;
    let first = sends(&as_anna, &chat, "How can we help?").await;
    let refused = as_boris.post(&at(&chat, "send_message"), say.clone()).await;
    let refused = refused.problem(403, "conversation_not_responsible");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("Anna") && detail.contains(&anna), "it names who is responsible: {detail}");

    // Handed over: the one before is refused, and what was sent before is still what it was.
    as_anna.run(&at(&chat, "assign"), json!({ "assignee": boris })).await;
    let refused = as_anna.post(&at(&chat, "send_message"), say.clone()).await;
    let detail = refused.problem(403, "conversation_not_responsible")["detail"].to_string();
    assert!(detail.contains("Boris"), "{detail}");
    let again = json!({ "body": "How can we help?", "message_id": first });
    assert!(as_boris.run(&at(&chat, "send_message"), again).await.is_empty(), "sent once");
    sends(&as_boris, &chat, "I have taken over").await;

    // What is not a reply is everybody's: handing over, tidying up, helping.
    for (command, body) in [
        ("mark_read", json!({})),
        ("label", json!({ "name": "VIP" })),
        ("mark_message_sent", json!({ "message_id": first })),
        ("rate", json!({ "score": 5 })),
        ("close", json!({})),
        ("reopen", json!({})),
        ("unassign", json!({})),
    ] {
        as_anna.run(&at(&chat, command), body).await;
    }
    as_boris.post(&at(&chat, "send_message"), say.clone()).await.problem(403, "conversation_not_responsible");

    // A permission that says so, and only by its name: the agent's role has `conversation.*`.
    let known = admin.read("/v1/permissions").await;
    assert!(known.to_string().contains("conversation.reply_any"), "{known}");
    let role = json!({ "name": "supervisor", "permissions": ["conversation.reply_any"] });
    let role = admin.create("/v1/roles", role).await;
    admin.run(&format!("/v1/users/{boris}/grant_role"), json!({ "role": role })).await;
    sends(&as_boris, &chat, "Somebody will be with you").await;
    sends(admin, &chat, "Indeed").await;
    as_anna.post(&at(&chat, "send_message"), say).await.problem(403, "conversation_not_responsible");
}

#[tokio::test]
async fn a_rule_replies_as_itself() {
    let server = Server::start().await;
    let client = &server.admin;
    let body = json!({ "body": "We will be with you shortly." });
    let greeting = json!({ "command": { "kind": "conversation", "command": "send_message", "body": body } });
    let rule = json!({
        "name": "Greet", "trigger": "conversation.started", "definition": { "actions": [greeting] },
    });
    client.post("/v1/rules", rule).await.expect(StatusCode::CREATED);
    let chat = chat(client).await;
    server.settle().await;
    let thread = client.read(&at(&chat, "messages")).await;
    assert_eq!(texts(&thread, "body"), ["We will be with you shortly."]);
    assert_eq!(each(&thread, "author_kind"), [json!("rule")]);
}

#[tokio::test]
async fn what_was_accepted_may_still_fail_and_reports_come_in_any_order() {
    let server = Server::start().await;
    let client = &server.admin;
    let chat = chat(client).await;
    let all = [
        (&["sent", "failed"][..], "failed"),
        (&["failed", "sent"], "failed"),
        (&["sent", "delivered", "failed"], "delivered"),
        (&["failed", "delivered"], "delivered"),
        (&["read", "delivered", "sent", "failed"], "read"),
        (&["delivered", "sent", "read"], "read"),
        (&["sent", "sent", "failed", "failed", "sent"], "failed"),
        (&["failed", "read"], "read"),
    ];
    let mut messages = Vec::new();
    for (names, _) in all {
        let message = sends(client, &chat, &names.join(", ")).await;
        reports(client, &chat, &message, names).await;
        assert!(reports(client, &chat, &message, names).await.concat().is_empty(), "told twice, recorded once");
        messages.push(message);
    }
    server.settle().await;
    let thread = client.read(&at(&chat, "messages")).await;
    let expected: Vec<Value> = all.iter().map(|(_, end)| json!(end)).collect();
    assert_eq!(each(&thread, "delivery"), expected);
    assert_eq!(thread["data"][0]["delivery_error"], "131026: undeliverable");
    assert!(thread["data"][0]["sent_at"].is_string(), "it had left");
    assert_eq!(thread["data"][3]["delivery_error"], Value::Null);
    let failed = filtered("/v1/conversation_messages", &condition("delivery", "eq", "failed"));
    assert_eq!(texts(&client.read(&failed).await, "message_id"), [&*messages[0], &messages[1], &messages[6]]);

    // Sent once more under its id, it stays where it was written.
    let again = json!({ "message_id": messages[0], "body": "sent, failed" });
    assert_eq!(client.run(&at(&chat, "send_message"), again.clone()).await, ["conversation.message_queued"]);
    assert!(client.run(&at(&chat, "send_message"), again).await.is_empty());
    reports(client, &chat, &messages[0], &["sent", "delivered"]).await;
    server.settle().await;
    let thread = client.read(&at(&chat, "messages")).await;
    assert_eq!(thread["data"][0]["delivery"], "delivered");
    assert_eq!(thread["data"][0]["delivery_error"], Value::Null);
    assert_eq!(thread["data"].as_array().unwrap().len(), all.len());
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["message_count"], all.len());
}

#[tokio::test]
async fn a_chat_whose_only_answer_failed_is_unanswered() {
    let server = Server::start().await;
    let client = &server.admin;
    let (chat, other) = (chat(client).await, chat(client).await);
    receives(client, &chat, "Are you there?").await;
    receives(client, &other, "And you?").await;
    let unanswered = async || {
        server.settle().await;
        let list = format!("{}&count=exact", filtered("/v1/conversations", &condition("unanswered", "eq", true)));
        let page = client.read(&list).await;
        let mut ids = texts(&page, "id");
        assert_eq!(page["total"], ids.len(), "counts follow");
        ids.sort();
        ids
    };
    let mut both = vec![chat.clone(), other.clone()];
    both.sort();
    assert_eq!(unanswered().await, both);
    let answer = sends(client, &chat, "Yes").await;
    assert_eq!(unanswered().await, [&*other], "what waits to be sent is an answer");
    reports(client, &chat, &answer, &["sent"]).await;
    assert_eq!(unanswered().await, [&*other]);
    let before = client.read("/v1/events").await["position"].clone();
    reports(client, &chat, &answer, &["failed"]).await;
    assert_eq!(unanswered().await, both, "what failed is none");
    let then = client.read(&format!("/v1/conversations/{chat}?as_of={before}")).await;
    assert_eq!(then["unanswered"], false, "as it was then");

    // One of two answers is enough; an old one that fails late takes nothing away.
    let second = sends(client, &chat, "Yes!").await;
    assert_eq!(unanswered().await, [&*other]);
    reports(client, &chat, &second, &["sent", "delivered"]).await;
    receives(client, &chat, "Good").await;
    assert_eq!(unanswered().await, both);
    let third = sends(client, &chat, "Is it?").await;
    let fourth = sends(client, &chat, "It is").await;
    reports(client, &chat, &third, &["failed"]).await;
    assert_eq!(unanswered().await, [&*other]);
    reports(client, &chat, &fourth, &["failed"]).await;
    assert_eq!(unanswered().await, both);
    // That it arrived after all, or is sent once more, makes it an answer again.
    reports(client, &chat, &fourth, &["delivered"]).await;
    assert_eq!(unanswered().await, [&*other]);
    let lost = sends(client, &other, "Here").await;
    reports(client, &other, &lost, &["failed"]).await;
    assert_eq!(unanswered().await, [&*other]);
    client.run(&at(&other, "send_message"), json!({ "message_id": lost, "body": "Here" })).await;
    assert!(unanswered().await.is_empty());
}

#[tokio::test]
async fn a_mail_that_was_accepted_may_come_back() {
    let server = Server::start().await;
    let client = &server.admin;
    let ticket = client.create("/v1/tickets", json!({ "title": "x", "channel": "email" })).await;
    let at = |command: &str| format!("/v1/tickets/{ticket}/{command}");
    let replied = client.post(&at("reply"), json!({ "body": "Try this." })).await.expect(StatusCode::OK);
    let message = replied["events"][0]["data"]["message_id"].clone();
    let sent = json!({ "message_id": message, "external_id": "<1@mail.example>" });
    let bounced = json!({ "message_id": message, "error": "550 no such mailbox" });
    assert_eq!(client.run(&at("mark_reply_sent"), sent.clone()).await, ["ticket.reply_sent"]);
    assert_eq!(client.run(&at("mark_reply_failed"), bounced.clone()).await, ["ticket.reply_failed"]);
    assert!(client.run(&at("mark_reply_failed"), bounced).await.is_empty());
    assert!(client.run(&at("mark_reply_sent"), sent.clone()).await.is_empty(), "told late");
    let shown = async || {
        server.settle().await;
        let thread = client.read(&at("thread")).await;
        assert_eq!(thread["data"].as_array().unwrap().len(), 1);
        (thread["data"][0]["delivery"].clone(), thread["data"][0]["delivery_error"].clone())
    };
    assert_eq!(shown().await, (json!("failed"), json!("550 no such mailbox")));
    let again = json!({ "message_id": message, "body": "Try this." });
    assert_eq!(client.run(&at("reply"), again).await, ["ticket.reply_queued"]);
    assert_eq!(shown().await, (json!("queued"), Value::Null));
    assert_eq!(client.run(&at("mark_reply_sent"), sent).await, ["ticket.reply_sent"]);
    assert_eq!(shown().await, (json!("sent"), Value::Null));
    assert_eq!(client.read(&format!("/v1/tickets/{ticket}")).await["message_count"], 1, "written once");
}

/// A message under an id that is known is a repetition only if it says the same: nothing that was accepted is dropped.
#[tokio::test]
async fn a_message_id_that_comes_again_with_other_words_is_refused() {
    let server = Server::start().await;
    let client = &server.admin;
    let said = |id: &str, body: &str| json!({ "message_id": id, "body": body });
    let id = |number: u32| format!("01K9Z3T8W0QX6V5N4M3K2J1H{number:02}");
    let ticket = client.create("/v1/tickets", json!({ "title": "Printer", "channel": "email" })).await;
    let chat = chat(client).await;
    let tickets = ["receive_message", "reply", "add_note"].map(|command| format!("/v1/tickets/{ticket}/{command}"));
    let chats = ["receive_message", "send_message"].map(|command| format!("/v1/conversations/{chat}/{command}"));
    for (index, path) in tickets.iter().chain(&chats).enumerate() {
        let id = id(index as u32);
        assert_eq!(client.run(path, said(&id, "One")).await.len(), 1, "{path}");
        assert!(client.run(path, said(&id, "One")).await.is_empty(), "{path}: told twice");
        let code = if path.contains("tickets") { "message_exists" } else { "conversation_message_exists" };
        let problem = client.post(path, said(&id, "Two")).await.problem(409, code);
        assert_eq!(problem["errors"][0]["pointer"], "/message_id", "{path}");
    }
    let received = said(&id(1), "The reply's id, but the customer's words");
    client.post(&tickets[0], received).await.problem(409, "message_exists");
}
