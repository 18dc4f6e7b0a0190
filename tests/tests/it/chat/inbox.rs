//! The chat inbox: who is responsible, what is unread and unanswered, labels, quick replies, and what was written.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{NOBODY, condition, contact, each, filtered, pages, texts, user};

async fn chat(client: &Client, medium: &str) -> String {
    client.create("/v1/conversations", json!({ "medium": medium, "visitor": { "name": "Maria" } })).await
}

fn at(chat: &str, command: &str) -> String {
    format!("/v1/conversations/{chat}/{command}")
}

async fn receives(client: &Client, chat: &str, body: &str) -> String {
    let said = client.post(&at(chat, "receive_message"), json!({ "body": body })).await.expect(StatusCode::OK);
    said["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

async fn sends(client: &Client, chat: &str, body: &str) -> String {
    let said = client.post(&at(chat, "send_message"), json!({ "body": body })).await.expect(StatusCode::OK);
    said["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

async fn inbox(client: &Client, filter: Value) -> Vec<String> {
    texts(&client.read(&filtered("/v1/conversations", &filter)).await, "id")
}

#[tokio::test]
async fn the_inbox_is_filtered_by_all_that_matters() {
    let server = Server::start().await;
    let client = &server.admin;
    let me = client.read("/v1/me").await["user"].as_str().unwrap().to_owned();
    let (ada, anna) = (contact(client, "Ada").await, user(client, "Anna").await);
    let known = client.create("/v1/conversations", json!({ "medium": "telegram", "contact": ada })).await;
    let (waiting, over, mine) =
        (chat(client, "live_chat").await, chat(client, "live_chat").await, chat(client, "whatsapp").await);
    receives(client, &known, "Are you there?").await;
    client.run(&at(&known, "assign"), json!({ "assignee": anna })).await;
    sends(client, &known, "Yes").await;
    client.run(&at(&known, "mark_read"), json!({})).await;
    receives(client, &waiting, "Good day").await;
    receives(client, &over, "Bye").await;
    client.run(&at(&over, "label"), json!({ "name": "Done" })).await;
    client.run(&at(&over, "close"), json!({})).await;
    assert_eq!(
        client.run(&at(&mine, "claim"), json!({})).await,
        ["conversation.claimed", "conversation.assigned"],
        "whoever takes it is responsible"
    );
    server.settle().await;

    assert_eq!(inbox(client, json!({})).await, [&*over, &*waiting, &*known, &*mine], "what was written last first");
    for (filter, expected) in [
        (condition("status", "eq", "closed"), vec![&*over]),
        (condition("status", "ne", "closed"), vec![&*waiting, &*known, &*mine]),
        (condition("unread", "eq", true), vec![&*over, &*waiting]),
        (condition("unanswered", "eq", true), vec![&*over, &*waiting]),
        (condition("contact_id", "is_null", false), vec![&*known]),
        (condition("contact_id", "is_null", true), vec![&*over, &*waiting, &*mine]),
        (condition("assignee_id", "is_null", true), vec![&*over, &*waiting]),
        (condition("assignee_id", "eq", &*anna), vec![&*known]),
        (condition("assignee_id", "eq", &*me), vec![&*mine]),
        (condition("medium", "eq", "whatsapp"), vec![&*mine]),
        (condition("visitor.name", "contains", "mari"), vec![&*over, &*waiting, &*mine]),
        (json!({ "all": [condition("status", "eq", "open"), condition("unanswered", "eq", true)] }), vec![&*waiting]),
    ] {
        assert_eq!(inbox(client, filter.clone()).await, expected, "{filter}");
    }
    let shown = client.read(&format!("/v1/conversations/{known}")).await;
    assert_eq!((&shown["contact_name"], &shown["assignee_name"]), (&json!("Ada"), &json!("Anna")));
    assert_eq!((&shown["last_message"], &shown["message_count"]), (&json!("Yes"), &json!(2)));
    client.post(&at(&known, "claim"), json!({})).await.problem(409, "conversation_taken");
    client.post(&at(&over, "send_message"), json!({ "body": "x" })).await.problem(409, "conversation_closed");
    client.post(&at(&known, "assign"), json!({ "assignee": NOBODY })).await.problem(422, "reference_unfit");
    client.post(&at(&known, "label"), json!({})).await.problem(422, "conversation_label_unclear");

    // The other side writes again: it is open once more.
    receives(client, &over, "One more thing").await;
    server.settle().await;
    let shown = client.read(&format!("/v1/conversations/{over}")).await;
    assert_eq!((&shown["status"], &shown["reopened_count"]), (&json!("open"), &json!(1)));
    assert_eq!((&shown["closed_at"], &shown["unread_count"]), (&Value::Null, &json!(2)));
    let history = client.read(&at(&over, "history")).await;
    let reopened = history["data"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&reopened["type"], &reopened["data"]["cause"]),
        (&json!("conversation.reopened"), &json!("customer_message"))
    );
}

#[tokio::test]
async fn everybody_reads_for_oneself() {
    let server = Server::start().await;
    let client = &server.admin;
    let me = client.read("/v1/me").await["user"].as_str().unwrap().to_owned();
    let anna = user(client, "Anna").await;
    let chat = chat(client, "live_chat").await;
    let first = receives(client, &chat, "one").await;
    receives(client, &chat, "two").await;
    client.run(&at(&chat, "mark_read"), json!({ "up_to": first })).await;
    server.settle().await;
    let shown = async || client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&shown().await["unread_count"], &shown().await["read_by_ids"]), (&json!(1), &json!([])));
    let mine = condition("read_by_ids", "ne", &*me);
    assert_eq!(inbox(client, mine.clone()).await, [&*chat], "I have not read it all");
    client.run(&at(&chat, "mark_read"), json!({})).await;
    server.settle().await;
    assert_eq!((&shown().await["unread"], &shown().await["read_by_ids"]), (&json!(false), &json!([me])));
    assert!(inbox(client, mine.clone()).await.is_empty());
    assert_eq!(inbox(client, condition("read_by_ids", "ne", &*anna)).await, [&*chat], "but Anna has not");
    client.run(&at(&chat, "mark_read"), json!({ "user": anna })).await;
    assert!(client.run(&at(&chat, "mark_read"), json!({ "user": anna, "up_to": first })).await.is_empty());
    client.post(&at(&chat, "mark_read"), json!({ "up_to": NOBODY })).await.problem(422, "conversation_message_unknown");
    server.settle().await;
    assert!(inbox(client, condition("read_by_ids", "ne", &*anna)).await.is_empty());
    receives(client, &chat, "three").await;
    server.settle().await;
    assert_eq!(inbox(client, mine).await, [&*chat], "news for everybody");
}

#[tokio::test]
async fn messages_go_both_ways_and_show_how_far_they_have_come() {
    let server = Server::start().await;
    let client = &server.admin;
    let anna = user(client, "Anna").await;
    let chat = chat(client, "live_chat").await;
    let inbound = json!({ "body": "Good day", "external_id": "w1" });
    client.run(&at(&chat, "receive_message"), inbound.clone()).await;
    assert!(client.run(&at(&chat, "receive_message"), inbound).await.is_empty(), "delivered twice, taken in once");
    let acting = client.header("deskfold-on-behalf-of", &anna);
    let reply = sends(&acting, &chat, "How can we help?").await;
    let lost = sends(client, &chat, "Hello?").await;
    client.post(&at(&chat, "send_message"), json!({ "body": " " })).await.problem(422, "body_empty");
    let before = client.read("/v1/events").await["position"].clone();
    client.run(&at(&chat, "mark_message_sent"), json!({ "message_id": reply, "external_id": "w2" })).await;
    client.run(&at(&chat, "mark_message_delivered"), json!({ "message_id": reply })).await;
    client.run(&at(&chat, "mark_message_read"), json!({ "message_id": reply })).await;
    let late = json!({ "message_id": reply, "error": "late" });
    assert!(client.run(&at(&chat, "mark_message_failed"), late).await.is_empty(), "it only moves on");
    client.run(&at(&chat, "mark_message_failed"), json!({ "message_id": lost, "error": "number unknown" })).await;
    server.settle().await;

    let path = at(&chat, "messages");
    let thread = client.read(&path).await;
    assert_eq!(texts(&thread, "body"), ["Good day", "How can we help?", "Hello?"]);
    assert_eq!(texts(&thread, "direction"), ["received", "sent", "sent"]);
    assert_eq!(each(&thread, "delivery"), [Value::Null, json!("read"), json!("failed")]);
    assert_eq!(each(&thread, "author_name")[..2], [json!("Maria"), json!("Anna")]);
    assert_eq!(each(&thread, "external_id"), [json!("w1"), json!("w2"), Value::Null]);
    assert_eq!(thread["data"][2]["delivery_error"], "number unknown");
    for time in ["sent_at", "delivered_at", "read_at"] {
        assert!(thread["data"][1][time].is_string(), "{time}");
    }
    assert_eq!(pages(client, &format!("{path}?limit=1")).await, *thread["data"].as_array().unwrap());
    let then = client.read(&format!("{path}?as_of={before}")).await;
    assert_eq!(each(&then, "delivery"), [Value::Null, json!("queued"), json!("queued")]);
    let now = client.read(&format!("{path}?as_of={}", i64::MAX)).await;
    assert_eq!(now["data"], thread["data"]);
    client.get(&format!("{path}?as_of=1")).await.problem(404, "conversation_unknown");
    client.get(&format!("{path}?as_of=soon")).await.problem(422, "as_of_invalid");
    client.get(&format!("{path}?after=x")).await.problem(422, "cursor_invalid");
    client.get(&at(NOBODY, "messages")).await.problem(404, "conversation_unknown");
    let failed = filtered("/v1/conversation_messages", &condition("delivery", "eq", "failed"));
    assert_eq!(texts(&client.read(&failed).await, "message_id"), [&*lost]);
}

#[tokio::test]
async fn a_label_is_in_the_list_as_long_as_something_bears_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let (first, second) = (chat(client, "live_chat").await, chat(client, "telegram").await);
    let preset = client.create("/v1/labels", json!({ "name": "VIP", "color": "#00a09d", "preset": true })).await;
    client.create("/v1/labels", json!({ "name": "Unused", "preset": false })).await;
    let labels = async || {
        server.settle().await;
        let page = client.read("/v1/labels?count=exact").await;
        assert_eq!(page["total"], page["data"].as_array().unwrap().len());
        let counts = each(&page, "conversation_count");
        texts(&page, "name").into_iter().zip(counts.iter().map(|count| count.as_i64().unwrap())).collect::<Vec<_>>()
    };
    let as_text =
        |labels: &[(String, i64)]| labels.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>();
    assert_eq!(as_text(&labels().await), ["VIP 0"], "a preset is there before anything bears it");
    let typed = client.post(&at(&first, "label"), json!({ "name": "Late" })).await.expect(StatusCode::OK);
    let late = typed["events"][0]["data"]["label"].as_str().unwrap().to_owned();
    client.run(&at(&second, "label"), json!({ "name": "LATE" })).await;
    client.run(&at(&second, "label"), json!({ "label": preset })).await;
    assert_eq!(as_text(&labels().await), ["Late 2", "VIP 1"], "a name that is typed means one label");
    assert_eq!(inbox(client, condition("label_ids", "contains", &*late)).await.len(), 2);
    assert_eq!(inbox(client, condition("label_ids", "contains", &*preset)).await, [&*second]);
    let shown = client.read(&format!("/v1/conversations/{second}")).await;
    assert_eq!(shown["labels"][1], json!({ "id": preset, "name": "VIP", "color": "#00a09d" }));

    for chat in [&first, &second] {
        client.run(&at(chat, "unlabel"), json!({ "label": late })).await;
    }
    client.run(&at(&second, "unlabel"), json!({ "label": preset })).await;
    assert_eq!(as_text(&labels().await), ["VIP 0"], "nothing bears the other");
    assert_eq!(client.read(&format!("/v1/labels/{late}")).await["conversation_count"], 0, "it can still be read");
    client.run(&format!("/v1/labels/{late}/pin"), json!({})).await;
    client.run(&format!("/v1/labels/{preset}/unpin"), json!({})).await;
    assert_eq!(as_text(&labels().await), ["Late 0"]);

    // Under its new name it is still the same one, and the old name leads to it.
    client.run(&format!("/v1/labels/{late}/rename"), json!({ "name": "Overdue" })).await;
    client.run(&at(&first, "label"), json!({ "name": "overdue" })).await;
    client.run(&at(&second, "label"), json!({ "name": "late" })).await;
    assert_eq!(as_text(&labels().await), ["Overdue 2"]);
    client.post("/v1/labels", json!({ "name": "overdue" })).await.problem(409, "label_name_taken");
    client.post("/v1/labels", json!({ "name": " " })).await.problem(422, "label_name_invalid");
}

#[tokio::test]
async fn a_quick_reply_labels_the_chat_once_it_has_been_sent() {
    let server = Server::start().await;
    let client = &server.admin;
    let chat = chat(client, "live_chat").await;
    let label = client.create("/v1/labels", json!({ "name": "Prices", "preset": true })).await;
    let body = json!({ "name": "prices", "text": "Here are our prices.", "label": label });
    let reply = client.create("/v1/quick_replies", body.clone()).await;
    client.create("/v1/quick_replies", json!({ "name": "hello", "text": "Good day!" })).await;
    client.post("/v1/quick_replies", body).await.problem(409, "quick_reply_name_taken");
    client
        .post("/v1/quick_replies", json!({ "name": "x", "text": " " }))
        .await
        .problem(422, "quick_reply_text_invalid");
    server.settle().await;
    let page = client.read("/v1/quick_replies").await;
    assert_eq!(
        (texts(&page, "name"), each(&page, "label_name")),
        (vec!["hello".into(), "prices".into()], vec![Value::Null, json!("Prices")])
    );
    let typed = filtered("/v1/quick_replies", &condition("name", "starts_with", "PRI"));
    assert_eq!(texts(&client.read(&typed).await, "text"), ["Here are our prices."]);

    let sent = json!({ "body": "Here are our prices.", "quick_reply": reply });
    let queued = client.post(&at(&chat, "send_message"), sent).await.expect(StatusCode::OK);
    let message = queued["events"][0]["data"]["message_id"].clone();
    server.settle().await;
    assert_eq!(
        client.read(&format!("/v1/conversations/{chat}")).await["label_ids"],
        json!([]),
        "not before it is sent"
    );
    let events = client.run(&at(&chat, "mark_message_sent"), json!({ "message_id": message })).await;
    assert_eq!(events, ["conversation.message_sent", "conversation.labelled"]);
    client.patch(&format!("/v1/quick_replies/{reply}"), json!({ "text": "New prices." })).await.expect(StatusCode::OK);
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["labels"][0]["name"], "Prices");
    let messages = client.read(&at(&chat, "messages")).await;
    assert_eq!(messages["data"][0]["quick_reply_id"], json!(reply));
    assert_eq!(messages["data"][0]["body"], "Here are our prices.", "what was sent stays as it was");
    client.run(&format!("/v1/quick_replies/{reply}/archive"), json!({})).await;
    server.settle().await;
    assert_eq!(texts(&client.read("/v1/quick_replies").await, "name"), ["hello"]);
}

#[tokio::test]
async fn whoever_is_responsible_for_the_chat_owns_its_contact() {
    let server = Server::start().await;
    let client = &server.admin;
    let me = client.read("/v1/me").await["user"].as_str().unwrap().to_owned();
    let (ada, dora, anna) = (contact(client, "Ada").await, contact(client, "Dora").await, user(client, "Anna").await);
    for contact in [&ada, &dora] {
        client.run(&format!("/v1/contacts/{contact}/change_owner"), json!({ "owner": null })).await;
    }
    let chat = chat(client, "live_chat").await;
    client.run(&at(&chat, "assign"), json!({ "assignee": anna })).await;
    client.run(&at(&chat, "link_contact"), json!({ "contact": dora, "matched_by": "name" })).await;
    client.run(&at(&chat, "unlink_contact"), json!({})).await;
    client.run(&at(&chat, "unassign"), json!({})).await;
    let events = client.run(&at(&chat, "link_contact"), json!({ "contact": ada, "matched_by": "phone" })).await;
    assert_eq!(
        events,
        ["conversation.assigned", "conversation.contact_linked", "contact.owner_changed"],
        "nobody was responsible: the linker is"
    );
    client.post(&at(&chat, "link_contact"), json!({ "contact": NOBODY })).await.problem(422, "reference_unfit");
    server.settle().await;
    let shown = client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&shown["contact_name"], &shown["matched_by"]), (&json!("Ada"), &json!("phone")));
    assert_eq!(shown["assignee_id"], json!(me));
    assert_eq!(client.read(&format!("/v1/contacts/{ada}")).await["owner_id"], json!(me));
    assert_eq!(client.read(&format!("/v1/contacts/{dora}")).await["owner_name"], "Anna");
    assert_eq!(inbox(client, condition("contact_id", "eq", &*ada)).await, [&*chat]);
}
