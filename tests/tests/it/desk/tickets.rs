//! The whole life of a ticket over HTTP, as commands tell it and as read models show it.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{Customer, NOBODY, contact, each, field, instant, party, texts, ticket, user};

fn at(id: &str, command: &str) -> String {
    format!("/v1/tickets/{id}/{command}")
}

async fn detail(client: &Client, id: &str) -> Value {
    client.read(&format!("/v1/tickets/{id}")).await
}

/// What a thread says, line by line.
async fn bodies(client: &Client, id: &str) -> Vec<Value> {
    each(&client.read(&at(id, "thread")).await, "body")
}

/// Says something on behalf of the requester; the message.
async fn receive(client: &Client, id: &str, body: &str) -> String {
    let received = client.post(&at(id, "receive_message"), json!({ "body": body })).await.expect(StatusCode::OK);
    received["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_is_opened_with_all_that_is_known_of_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let team = client.create("/v1/teams", json!({ "name": "First line" })).await;
    let boris = user(client, "Boris").await;
    field(client, "ticket", "site", "text", json!({})).await;
    let opened = client
        .post(
            "/v1/tickets",
            json!({
                "title": "The site is down", "description": "Since this morning.", "priority": 2,
                "requester": party("contact", &customer.contact), "team": team, "assignee": boris, "channel": "phone",
                "origin": "hotline", "category": "outage", "entitlement": customer.entitlement, "tags": ["vip", "web"],
                "custom": { "site": "rossi.example" },
            }),
        )
        .await
        .expect(StatusCode::CREATED);
    let types: Vec<_> = opened["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["ticket.opened", "ticket.product_selected", "ticket.assigned"]);
    let id = opened["id"].as_str().unwrap();
    server.settle().await;

    let shown = detail(client, id).await;
    let expected = json!({
        "id": id, "version": 2, "number": 1, "title": "The site is down", "description": "Since this morning.",
        "status": "open", "stage": "new", "priority": 2, "category": "outage", "requester_kind": "contact",
        "requester_id": customer.contact, "requester_name": "Ada Rossi", "company_id": customer.company,
        "company_name": "Rossi Srl", "team_id": team, "team_name": "First line", "assignee_id": boris,
        "assignee_name": "Boris", "product_id": customer.product, "product_name": "Hosting",
        "product_color": "#00a09d", "product_icon": "server", "entitlement_id": customer.entitlement,
        "tags": ["vip", "web"], "custom": { "site": "rossi.example" }, "channel": "phone", "origin": "hotline",
        "followers": [], "linked_tickets": [], "message_count": 0, "reopened_count": 0, "resolved_at": null,
        "links": {
            "self": format!("/v1/tickets/{id}"), "history": format!("/v1/tickets/{id}/history"),
            "feed": format!("/v1/tickets/{id}/feed"),
        },
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    let listed = client.read("/v1/tickets").await["data"][0].clone();
    for (name, value) in listed.as_object().unwrap() {
        assert_eq!(shown[name], *value, "list and detail agree on {name}");
    }
    let reply = client.get(&format!("/v1/tickets/{id}")).await;
    assert_eq!(reply.header("etag"), "\"2\"");
    let position: i64 = reply.header("deskfold-position").parse().unwrap();
    assert!(position >= opened["position"].as_i64().unwrap(), "{position}");

    let bare = ticket(client, "Just a title").await;
    server.settle().await;
    let bare = detail(client, &bare).await;
    for (name, value) in
        [("number", json!(2)), ("priority", json!(0)), ("channel", json!("api")), ("stage", json!("new"))]
    {
        assert_eq!(bare[name], value, "{name}");
    }
}

#[tokio::test]
async fn an_opening_that_refers_to_nobody_is_refused_and_says_where() {
    let server = Server::start().await;
    let company = server.admin.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
    for (body, code, pointer) in [
        (json!({ "requester": party("contact", NOBODY) }), "requester_unknown", "/requester/id"),
        (json!({ "requester": party("company", &company) }), "requester_invalid", "/requester/kind"),
        (json!({ "assignee": NOBODY }), "assignee_unknown", "/assignee"),
        (json!({ "team": NOBODY }), "team_unfit", "/team"),
        (json!({ "stage": "nowhere" }), "stage_unknown", "/stage"),
        (json!({ "custom": { "size": 1 } }), "custom_field_unknown", "/custom/size"),
    ] {
        let mut body = body;
        body["title"] = json!("x");
        let problem = server.admin.post("/v1/tickets", body).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    server.settle().await;
    assert_eq!(server.admin.read("/v1/tickets").await["data"], json!([]));
}

#[tokio::test]
async fn messages_replies_and_notes_make_a_thread() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let me = client.read("/v1/me").await["user"].clone();
    let id = customer.ticket(client, "No mail").await;
    let first = receive(client, &id, "My mail does not arrive.").await;
    client.run(&at(&id, "add_note"), json!({ "body": "The third this week." })).await;
    let replied = client.run(&at(&id, "reply"), json!({ "body": "Try again now." })).await;
    assert_eq!(replied, ["ticket.reply_queued", "ticket.reply_sent"], "the API has no transport of its own");
    receive(client, &id, "It works, my password is swordfish.").await;
    server.settle().await;

    let thread = client.read(&at(&id, "thread")).await;
    assert_eq!(each(&thread, "kind"), ["message", "note", "reply", "message"]);
    assert_eq!(each(&thread, "author_kind"), ["contact", "user", "user", "contact"]);
    assert_eq!(thread["data"][0]["author_name"], "Ada Rossi", "the requester, unless somebody else is named");
    assert_eq!(thread["data"][0]["message_id"], first);
    assert_eq!(thread["data"][1]["author_id"], me);
    assert_eq!(each(&thread, "delivery"), [json!(null), json!(null), json!("sent"), json!(null)]);
    let shown = detail(client, &id).await;
    assert_eq!(shown["message_count"], 3, "a note is no message");
    assert_eq!(shown["last_customer_message_at"], thread["data"][3]["written_at"]);
    assert!(shown["first_reply_at"].is_string());

    let last = thread["data"][3]["message_id"].clone();
    let redact = json!({ "message_id": last, "reason": "Held a password" });
    assert_eq!(client.run(&at(&id, "redact_message"), redact.clone()).await, ["ticket.message_redacted"]);
    assert!(client.run(&at(&id, "redact_message"), redact).await.is_empty(), "asked twice");
    let unknown = json!({ "message_id": NOBODY, "reason": "x" });
    client.post(&at(&id, "redact_message"), unknown).await.problem(422, "message_unknown");
    client.post(&at(&id, "reply"), json!({ "body": " " })).await.problem(422, "body_empty");
    server.settle().await;
    let thread = client.get(&at(&id, "thread")).await;
    assert!(!thread.text.contains("swordfish"), "{}", thread.text);
    let thread = thread.json();
    let redacted = &thread["data"][3];
    assert_eq!((&redacted["body"], &redacted["redacted"]), (&Value::Null, &json!(true)));
    assert_eq!(redacted["redaction_reason"], "Held a password");
    let messages = client.get("/v1/messages").await;
    assert!(!messages.text.contains("swordfish"), "nor does any list show it");
}

#[tokio::test]
async fn a_message_is_taken_in_once() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "Mail").await;
    let mail = json!({ "body": "Hello", "external_id": "<1@mail.example>" });
    assert_eq!(client.run(&at(&id, "receive_message"), mail.clone()).await, ["ticket.message_received"]);
    assert!(client.run(&at(&id, "receive_message"), mail).await.is_empty());
    let own = json!({ "body": "Note", "message_id": NOBODY });
    assert_eq!(client.run(&at(&id, "add_note"), own.clone()).await, ["ticket.note_added"]);
    assert!(client.run(&at(&id, "add_note"), own).await.is_empty());
    client.post(&at(&id, "reply"), json!({ "body": "x", "message_id": NOBODY })).await.problem(409, "message_exists");
    server.settle().await;
    assert_eq!(bodies(client, &id).await, ["Hello", "Note"]);
}

#[tokio::test]
async fn a_reply_is_queued_until_its_channel_has_sent_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = client.create("/v1/tickets", json!({ "title": "By mail", "channel": "email" })).await;
    assert_eq!(client.run(&at(&id, "reply"), json!({ "body": "One" })).await, ["ticket.reply_queued"]);
    assert_eq!(client.run(&at(&id, "reply"), json!({ "body": "Two" })).await, ["ticket.reply_queued"]);
    server.settle().await;
    let thread = client.read(&at(&id, "thread")).await;
    assert_eq!(each(&thread, "delivery"), ["queued", "queued"]);
    assert_eq!(detail(client, &id).await["first_reply_at"], Value::Null, "none has left yet");
    let message = |index: usize| thread["data"][index]["message_id"].clone();
    let failed = json!({ "message_id": message(0), "error": "550 mailbox unavailable" });
    client.run(&at(&id, "mark_reply_failed"), failed).await;
    let sent = json!({ "message_id": message(1), "external_id": "<2@mail.example>" });
    client.run(&at(&id, "mark_reply_sent"), sent.clone()).await;
    assert!(client.run(&at(&id, "mark_reply_sent"), sent).await.is_empty());
    server.settle().await;
    let thread = client.read(&at(&id, "thread")).await;
    assert_eq!(each(&thread, "delivery"), ["failed", "sent"]);
    assert_eq!(thread["data"][0]["delivery_error"], "550 mailbox unavailable");
    assert_eq!(thread["data"][1]["external_id"], "<2@mail.example>");
    assert!(detail(client, &id).await["first_reply_at"].is_string());
}

#[tokio::test]
async fn a_long_thread_comes_in_pages() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "Long").await;
    let mut said = Vec::new();
    for number in 0..7 {
        receive(client, &id, &format!("message {number}")).await;
        said.push(json!(format!("message {number}")));
    }
    server.settle().await;
    for limit in [1, 2, 3, 7, 100] {
        let read = crate::world::pages(client, &format!("/v1/tickets/{id}/thread?limit={limit}")).await;
        assert_eq!(read.iter().map(|entry| entry["body"].clone()).collect::<Vec<_>>(), said, "pages of {limit}");
    }
    assert_eq!(client.read(&at(&id, "thread?limit=7")).await["next"], Value::Null, "the last page knows that it is");
    client.get(&at(&id, "thread?after=here")).await.problem(422, "cursor_invalid");
    client.get(&at(&id, "thread?limit=0")).await.problem(422, "limit_invalid");
    client.get(&at(NOBODY, "thread")).await.problem(404, "ticket_unknown");
}

#[tokio::test]
async fn it_is_handed_around_and_followed() {
    let server = Server::start().await;
    let client = &server.admin;
    let me = client.read("/v1/me").await["user"].clone();
    let (anna, boris) = (user(client, "Anna").await, user(client, "Boris").await);
    let team = client.create("/v1/teams", json!({ "name": "Second line" })).await;
    let id = ticket(client, "x").await;
    assert_eq!(client.run(&at(&id, "assign"), json!({ "assignee": anna })).await, ["ticket.assigned"]);
    assert!(client.run(&at(&id, "assign"), json!({ "assignee": anna })).await.is_empty(), "asked twice");
    client.run(&at(&id, "assign"), json!({ "assignee": boris })).await;
    client.post(&at(&id, "assign"), json!({ "assignee": NOBODY })).await.problem(422, "assignee_unknown");
    client.run(&at(&id, "change_team"), json!({ "team": team })).await;
    client.run(&at(&id, "follow"), json!({})).await;
    client.run(&at(&id, "follow"), json!({ "user": anna })).await;
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!((&shown["assignee_name"], &shown["team_name"]), (&json!("Boris"), &json!("Second line")));
    let followers = shown["followers"].as_array().unwrap();
    assert_eq!(followers.len(), 2);
    assert!(followers.iter().any(|follower| follower["id"] == me), "whoever asks, by default");
    assert!(followers.contains(&json!({ "id": anna, "name": "Anna" })));

    client.run(&at(&id, "unfollow"), json!({})).await;
    client.run(&at(&id, "unassign"), json!({})).await;
    client.run(&at(&id, "change_team"), json!({ "team": null })).await;
    client.run(&format!("/v1/users/{boris}/deactivate"), json!({})).await;
    client.post(&at(&id, "assign"), json!({ "assignee": boris })).await.problem(422, "assignee_unknown");
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!((&shown["assignee_id"], &shown["team_id"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["followers"], json!([{ "id": anna, "name": "Anna" }]));
}

#[tokio::test]
async fn it_sleeps_until_its_time_or_the_next_message() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "Later").await;
    let past = json!({ "until": "2020-01-01T00:00:00Z" });
    client.post(&at(&id, "snooze"), past).await.problem(422, "until_past");
    let until = json!({ "until": "2999-01-01T00:00:00Z" });
    client.run(&at(&id, "snooze"), until.clone()).await;
    server.settle().await;
    assert_eq!(instant(&detail(client, &id).await["snoozed_until"]), instant(&until["until"]));
    assert_eq!(client.run(&at(&id, "wake"), json!({})).await, ["ticket.woken"]);
    assert!(client.run(&at(&id, "wake"), json!({})).await.is_empty());
    client.run(&at(&id, "snooze"), until).await;
    let woken = client.run(&at(&id, "receive_message"), json!({ "body": "Well?" })).await;
    assert_eq!(woken, ["ticket.message_received", "ticket.woken"]);
    server.settle().await;
    assert_eq!(detail(client, &id).await["snoozed_until"], Value::Null);
}

#[tokio::test]
async fn it_is_resolved_closed_and_comes_back() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "x").await;
    client.run(&at(&id, "resolve"), json!({ "outcome": "Firmware replaced" })).await;
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!((&shown["status"], &shown["outcome"]), (&json!("resolved"), &json!("Firmware replaced")));
    assert!(shown["resolved_at"].is_string());
    let back = client.run(&at(&id, "receive_message"), json!({ "body": "Dark again" })).await;
    assert_eq!(back, ["ticket.message_received", "ticket.reopened"], "the requester may answer");
    client.run(&at(&id, "resolve"), json!({})).await;
    client.run(&at(&id, "close"), json!({})).await;
    for (command, body) in [
        ("assign", json!({ "assignee": NOBODY })),
        ("change_priority", json!({ "priority": 3 })),
        ("change_title", json!({ "title": "y" })),
        ("reply", json!({ "body": "y" })),
        ("resolve", json!({})),
    ] {
        client.post(&at(&id, command), body).await.problem(409, "ticket_closed");
    }
    client.patch(&format!("/v1/tickets/{id}"), json!({ "priority": 3 })).await.problem(409, "ticket_closed");
    client.run(&at(&id, "add_note"), json!({ "body": "For the record" })).await;
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!(shown["status"], "closed");
    assert!(shown["closed_at"].is_string());
    assert_eq!(client.run(&at(&id, "reopen"), json!({})).await, ["ticket.reopened"]);
    assert!(client.run(&at(&id, "reopen"), json!({})).await.is_empty());
    server.settle().await;
    let shown = detail(client, &id).await;
    let (status, count) = (&shown["status"], &shown["reopened_count"]);
    assert_eq!((status, count), (&json!("open"), &json!(2)));
    assert_eq!(
        (&shown["resolved_at"], &shown["closed_at"], &shown["outcome"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn plain_attributes_change_one_by_one_or_together() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "x").await;
    assert_eq!(client.run(&at(&id, "change_title"), json!({ "title": "y" })).await, ["ticket.title_changed"]);
    assert_eq!(client.run(&at(&id, "change_priority"), json!({ "priority": 1 })).await, ["ticket.priority_changed"]);
    assert!(client.run(&at(&id, "change_priority"), json!({ "priority": 1 })).await.is_empty());
    client.post(&at(&id, "change_priority"), json!({ "priority": 4 })).await.problem(422, "body_invalid");
    client.run(&at(&id, "set_category"), json!({ "category": "billing" })).await;
    client.run(&at(&id, "tag"), json!({ "tag": "vip" })).await;
    client.run(&at(&id, "tag"), json!({ "tag": "late" })).await;
    client.run(&at(&id, "untag"), json!({ "tag": "late" })).await;
    let edit = json!({ "title": "z", "description": "d", "priority": 3, "stage": "waiting", "category": "sales" });
    let edited = client.patch(&format!("/v1/tickets/{id}"), edit.clone()).await.expect(StatusCode::OK);
    assert_eq!(edited["events"].as_array().unwrap().len(), 5, "an event for each thing that changed");
    let again = client.patch(&format!("/v1/tickets/{id}"), edit.clone()).await.expect(StatusCode::OK);
    assert_eq!(again["events"], json!([]));
    server.settle().await;
    let shown = detail(client, &id).await;
    for (name, value) in edit.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!(shown["tags"], json!(["vip"]));
    client.run(&at(&id, "set_category"), json!({ "category": null })).await;
    server.settle().await;
    assert_eq!(detail(client, &id).await["category"], Value::Null);
}

#[tokio::test]
async fn stages_are_those_of_the_team() {
    let server = Server::start().await;
    let client = &server.admin;
    let team = client.create("/v1/teams", json!({ "name": "Repairs" })).await;
    let stages = json!({ "stages": ["received", "on the bench", "done"] });
    client.run(&format!("/v1/teams/{team}/change_stages"), stages).await;
    let id = ticket(client, "Broken").await;
    let refused = client.post(&at(&id, "move_stage"), json!({ "stage": "on the bench" })).await;
    let problem = refused.problem(422, "stage_unknown");
    assert!(problem["detail"].as_str().unwrap().contains("in_progress"), "it says which there are: {problem}");
    client.run(&at(&id, "move_stage"), json!({ "stage": "in_progress" })).await;
    let moved = client.run(&at(&id, "change_team"), json!({ "team": team })).await;
    assert_eq!(moved, ["ticket.team_changed", "ticket.stage_changed"], "a stage that the team has not gives way");
    client.run(&at(&id, "move_stage"), json!({ "stage": "on the bench" })).await;
    let other = client.create("/v1/tickets", json!({ "title": "New", "team": team })).await;
    server.settle().await;
    assert_eq!(detail(client, &id).await["stage"], "on the bench");
    assert_eq!(detail(client, &other).await["stage"], "received");
    client.run(&format!("/v1/teams/{team}/archive"), json!({})).await;
    client.post("/v1/tickets", json!({ "title": "x", "team": team })).await.problem(422, "team_unfit");
}

#[tokio::test]
async fn a_merged_ticket_shows_in_the_other_and_an_unmerge_restores_both() {
    let server = Server::start().await;
    let client = &server.admin;
    let (main, part, deeper) =
        (ticket(client, "Main").await, ticket(client, "Part").await, ticket(client, "Deeper").await);
    receive(client, &main, "main 1").await;
    receive(client, &part, "part 1").await;
    receive(client, &deeper, "deeper 1").await;
    receive(client, &main, "main 2").await;
    client.run(&at(&part, "resolve"), json!({})).await;
    client.post(&at(&main, "merge"), json!({ "into": main })).await.problem(422, "same_ticket");
    client.post(&at(&main, "merge"), json!({ "into": NOBODY })).await.problem(422, "other_ticket_unknown");
    let merged = client.run(&at(&part, "merge"), json!({ "into": main })).await;
    assert_eq!(merged, ["ticket.merged", "ticket.linked", "ticket.absorbed"]);
    assert!(client.run(&at(&part, "merge"), json!({ "into": main })).await.is_empty());
    client.post(&at(&part, "merge"), json!({ "into": deeper })).await.problem(409, "ticket_merged");
    client.post(&at(&part, "close"), json!({})).await.problem(409, "ticket_merged");
    server.settle().await;
    assert_eq!(bodies(client, &main).await, ["main 1", "part 1", "main 2"], "both, in order of time");
    let thread = client.read(&at(&main, "thread")).await;
    assert_eq!(texts(&thread, "ticket_id"), [&*main, &*part, &*main], "each says where it belongs");
    let shown = detail(client, &part).await;
    assert_eq!((&shown["status"], &shown["merged_into"]), (&json!("merged"), &json!(main)));
    let link = json!([{ "id": part, "kind": "merged_from", "number": 2, "title": "Part", "status": "merged" }]);
    assert_eq!(detail(client, &main).await["linked_tickets"], link);

    client.run(&at(&main, "merge"), json!({ "into": deeper })).await;
    server.settle().await;
    assert_eq!(bodies(client, &deeper).await, ["main 1", "part 1", "deeper 1", "main 2"], "parts of parts too");
    client.run(&at(&main, "unmerge"), json!({})).await;

    assert_eq!(
        client.run(&at(&part, "unmerge"), json!({})).await,
        ["ticket.unmerged", "ticket.unlinked", "ticket.released"]
    );
    assert!(client.run(&at(&part, "unmerge"), json!({})).await.is_empty());
    server.settle().await;
    let shown = detail(client, &part).await;
    assert_eq!((&shown["status"], &shown["merged_into"]), (&json!("resolved"), &Value::Null), "as it was before");
    let main_shown = detail(client, &main).await;
    assert_eq!((&main_shown["linked_tickets"], &main_shown["status"]), (&json!([]), &json!("open")));
    assert_eq!(bodies(client, &main).await, ["main 1", "main 2"]);
    assert_eq!(bodies(client, &part).await, ["part 1"]);
    assert_eq!(bodies(client, &deeper).await, ["deeper 1"]);
    client.run(&at(&part, "receive_message"), json!({ "body": "part 2" })).await;
}

#[tokio::test]
async fn messages_about_another_matter_split_off() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let id = customer.ticket(client, "Two matters").await;
    receive(client, &id, "The site is slow.").await;
    let second = receive(client, &id, "And my invoice is wrong, code 4711.").await;
    client.post(&at(&id, "split"), json!({ "messages": [] })).await.problem(422, "message_unknown");
    client.post(&at(&id, "split"), json!({ "messages": [NOBODY] })).await.problem(422, "message_unknown");
    let split = json!({ "messages": [second], "title": "Invoice" });
    let answer = client.post(&at(&id, "split"), split).await.expect(StatusCode::OK);
    let types: Vec<_> = answer["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["ticket.split", "ticket.opened"]);
    let new = answer["events"][0]["data"]["new_ticket"].as_str().unwrap().to_owned();
    assert_eq!(answer["events"][1]["stream"], format!("ticket-{new}"), "an event of another record says so");
    server.settle().await;
    let shown = detail(client, &new).await;
    assert_eq!((&shown["title"], &shown["number"]), (&json!("Invoice"), &json!(2)));
    assert_eq!((&shown["split_from"], &shown["requester_name"]), (&json!(id), &json!("Ada Rossi")));
    assert_eq!(detail(client, &id).await["split_into"], json!([new]));
    assert_eq!(bodies(client, &id).await, ["The site is slow."]);
    let moved = client.read(&at(&new, "thread")).await;
    assert_eq!(each(&moved, "body"), ["And my invoice is wrong, code 4711."]);
    assert_eq!(each(&moved, "moved_from"), [json!(id)]);

    let redact = json!({ "message_id": second, "reason": "Held a code" });
    client.run(&at(&id, "redact_message"), redact).await;
    server.settle().await;
    assert_eq!(bodies(client, &new).await, [Value::Null], "where it was written, it can still be redacted");
    let nothing_left = json!({ "messages": [second] });
    client.post(&at(&id, "split"), nothing_left).await.problem(422, "message_unknown");
}

#[tokio::test]
async fn links_show_on_both_sides() {
    let server = Server::start().await;
    let client = &server.admin;
    let (one, other) = (ticket(client, "One").await, ticket(client, "Other").await);
    for (kind, seen) in
        [("related", "related"), ("blocks", "blocked_by"), ("child_of", "parent_of"), ("duplicates", "duplicated_by")]
    {
        let link = json!({ "ticket": other, "kind": kind });
        assert_eq!(client.run(&at(&one, "link"), link.clone()).await, ["ticket.linked", "ticket.linked"]);
        assert!(client.run(&at(&one, "link"), link.clone()).await.is_empty());
        server.settle().await;
        let (here, there) = (detail(client, &one).await, detail(client, &other).await);
        assert_eq!(
            here["linked_tickets"][0],
            json!({ "id": other, "kind": kind, "number": 2, "title": "Other", "status": "open" })
        );
        assert_eq!(
            there["linked_tickets"][0],
            json!({ "id": one, "kind": seen, "number": 1, "title": "One", "status": "open" })
        );
        client.run(&at(&other, "unlink"), json!({ "ticket": one, "kind": seen })).await;
        server.settle().await;
        assert_eq!(detail(client, &one).await["linked_tickets"], json!([]), "from either side");
    }
    client
        .post(&at(&one, "link"), json!({ "ticket": other, "kind": "merged_from" }))
        .await
        .problem(422, "link_invalid");
    client.post(&at(&one, "link"), json!({ "ticket": one })).await.problem(422, "same_ticket");
    client.post(&at(&one, "link"), json!({ "ticket": NOBODY })).await.problem(422, "other_ticket_unknown");
}

#[tokio::test]
async fn the_requester_rates_the_help() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "x").await;
    for score in [0, 6] {
        client.post(&at(&id, "rate"), json!({ "score": score })).await.problem(422, "score_invalid");
    }
    client.run(&at(&id, "rate"), json!({ "score": 2 })).await;
    assert_eq!(client.run(&at(&id, "rate"), json!({ "score": 5, "text": "Quick!" })).await, ["ticket.rated"]);
    assert!(client.run(&at(&id, "rate"), json!({ "score": 5, "text": "Quick!" })).await.is_empty());
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!((&shown["rating"], &shown["rating_text"]), (&json!(5), &json!("Quick!")));
}

#[tokio::test]
async fn custom_fields_of_every_type_are_kept_and_checked() {
    let server = Server::start().await;
    let client = &server.admin;
    let options = json!({ "options": ["a", "b"] });
    let fields = [
        ("text", json!({}), json!("x"), json!(1)),
        ("number", json!({}), json!(12), json!(1.5)),
        ("decimal", json!({}), json!("12.50"), json!("twelve")),
        ("date", json!({}), json!("2026-02-28"), json!("2026-02-30")),
        ("datetime", json!({}), json!("2026-02-28T10:00:00Z"), json!("2026-02-28")),
        ("bool", json!({}), json!(true), json!("true")),
        ("select", options.clone(), json!("a"), json!("c")),
        ("multi_select", options, json!(["a", "b"]), json!(["c"])),
        ("url", json!({}), json!("https://example.com"), json!("example.com")),
        ("email", json!({}), json!("a@example.com"), json!("a@@b")),
        ("phone", json!({}), json!("+7 812 555-01-02"), json!("call me")),
    ];
    let mut good = json!({});
    for (kind, more, value, _) in &fields {
        field(client, "ticket", &format!("a_{kind}"), kind, more.clone()).await;
        good[format!("a_{kind}")] = value.clone();
    }
    let id = client.create("/v1/tickets", json!({ "title": "x", "custom": good })).await;
    for (kind, _, _, bad) in &fields {
        let key = format!("a_{kind}");
        let refused = client.post(&at(&id, "set_custom"), json!({ "custom": { &key: bad } })).await;
        assert_eq!(refused.problem(422, "custom_value_invalid")["errors"][0]["pointer"], format!("/custom/{key}"));
    }
    server.settle().await;
    assert_eq!(detail(client, &id).await["custom"], good);
    let change = json!({ "custom": { "a_text": null, "a_number": 13 } });
    assert_eq!(client.run(&at(&id, "set_custom"), change.clone()).await, ["ticket.custom_changed"]);
    assert!(client.run(&at(&id, "set_custom"), change).await.is_empty());
    client.post("/v1/fields/ticket/retire", json!({ "key": "a_url" })).await.expect(StatusCode::OK);
    client
        .post(&at(&id, "set_custom"), json!({ "custom": { "a_url": "https://b.example" } }))
        .await
        .problem(422, "custom_field_retired");
    client.run("/v1/fields/ticket/change", json!({ "key": "a_email", "required": true })).await;
    client.post("/v1/tickets", json!({ "title": "y" })).await.problem(422, "custom_field_required");
    server.settle().await;
    let custom = detail(client, &id).await["custom"].clone();
    assert_eq!((custom.get("a_text"), &custom["a_number"]), (None, &json!(13)));
    assert_eq!(custom["a_url"], "https://example.com", "what it has of a retired field stays");
}

#[tokio::test]
async fn names_are_those_of_today_wherever_they_show() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let id = customer.ticket(client, "x").await;
    client
        .patch(&format!("/v1/contacts/{}", customer.contact), json!({ "name": "Ada Bianchi" }))
        .await
        .expect(StatusCode::OK);
    client
        .patch(&format!("/v1/products/{}", customer.product), json!({ "name": "Cloud", "color": "#123456" }))
        .await
        .expect(StatusCode::OK);
    server.settle().await;
    for shown in [detail(client, &id).await, client.read("/v1/tickets").await["data"][0].clone()] {
        assert_eq!((&shown["requester_name"], &shown["product_name"]), (&json!("Ada Bianchi"), &json!("Cloud")));
        assert_eq!(shown["product_color"], "#123456");
    }
}

#[tokio::test]
async fn another_requester_keeps_the_product_only_if_it_is_theirs() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let (colleague, stranger) = (contact(client, "Carlo").await, contact(client, "Dora").await);
    client.run(&format!("/v1/contacts/{colleague}/link_company"), json!({ "company": customer.company })).await;
    let id = customer.ticket(client, "x").await;
    let to = |id: &str| json!({ "requester": party("contact", id) });
    assert_eq!(client.run(&at(&id, "change_requester"), to(&colleague)).await, ["ticket.requester_changed"]);
    let gone = client.run(&at(&id, "change_requester"), to(&stranger)).await;
    assert_eq!(gone, ["ticket.requester_changed", "ticket.product_cleared"]);
    server.settle().await;
    let shown = detail(client, &id).await;
    assert_eq!(
        (&shown["requester_name"], &shown["product_id"], &shown["company_id"]),
        (&json!("Dora"), &Value::Null, &Value::Null)
    );
}
