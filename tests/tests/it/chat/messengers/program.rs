//! A program of one's own brings what happens in its channel, signed as what it is told is.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use deskfold_tests::{Reply, Server};
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use super::{bodies, calls, message, only_chat, say, thread};
use crate::chat::outbox::{Program, channel};

const KEY: &[u8] = b"a key that is long enough for it";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Brings something, signed at this moment with this key.
async fn brings(server: &Server, channel: &str, what: &str, data: Value, (at, key): (i64, &[u8])) -> Reply {
    let body = json!({ "type": what, "timestamp": "2026-11-29T09:00:00Z", "data": data }).to_string();
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), format!("msg_1.{at}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(signed.as_ref()));
    let at = at.to_string();
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &*at), ("webhook-signature", &*signature)];
    calls(server, channel, &headers, &body).await
}

#[tokio::test]
async fn a_program_brings_signed_what_is_written_changed_taken_back_and_answered_with_an_emoji() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses"]).await;
    let client = &server.admin;
    let shop = channel(client, address, json!({})).await;
    let good = (now(), KEY);
    let hello = || json!({ "external_id": "m1", "sender": "maria", "body": "Good day" });
    for (at, key) in [(now() - 3600, KEY), (now(), &b"another key that is long enough"[..])] {
        let refused = brings(&server, &shop, "message.received", hello(), (at, key)).await;
        refused.problem(401, "hook_signature_invalid");
    }
    calls(&server, &shop, &[], &hello().to_string()).await.problem(401, "hook_signature_invalid");
    let taken = async |what: &str, data: Value| {
        brings(&server, &shop, what, data, good).await.expect(StatusCode::OK)["taken"].as_u64().unwrap()
    };
    assert_eq!(taken("message.received", hello()).await, 1);
    assert_eq!(taken("message.received", hello()).await, 0, "it was there");
    let odd = brings(&server, &shop, "message.received", json!({ "external_id": "m2" }), good).await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", odd.text);
    server.settle().await;
    let chat = only_chat(client).await;
    assert_eq!(taken("message.edited", json!({ "external_id": "m1", "body": "Good evening" })).await, 1);
    assert_eq!(taken("message.reacted", json!({ "external_id": "m1", "reactions": ["🎉"] })).await, 1);
    server.settle().await;
    let said = thread(client, &chat).await;
    assert_eq!((bodies(&said), &said[0]["reactions"]), (vec!["Good evening"], &json!(["🎉"])));

    // What becomes of ours is told by what we call it; a reaction of ours is told to the program.
    let ours = say(client, &chat, json!({ "body": "Hello" })).await;
    server.settle().await;
    let which = json!({ "conversation": chat, "message": ours });
    assert_eq!(taken("message.read", which).await, 1);
    let theirs = said[0]["message_id"].as_str().unwrap();
    client.run(&format!("/v1/conversations/{chat}/react"), json!({ "message_id": theirs, "reaction": "🙏" })).await;
    server.settle().await;
    assert_eq!(message(client, &chat, &ours).await["delivery"], "read");
    let told = program.data();
    assert_eq!((&told[1]["reaction"], &told[1]["external_id"]), (&json!("🙏"), &json!("m1")));
    assert_eq!(taken("message.deleted", json!({ "external_id": "m1" })).await, 1);
    server.settle().await;
    let gone = message(client, &chat, theirs).await;
    assert_eq!((&gone["body"], gone["deleted_at"].is_string()), (&json!(""), true));
    let unknown = brings(&server, &shop, "message.deleted", json!({ "external_id": "m9" }), good).await;
    unknown.problem(422, "channel_message_unknown");
    // In a chat on a page nobody takes back what they wrote.
    let site = crate::chat::channels::connect(client, "live_chat", "Site").await;
    let visitor =
        crate::chat::channels::brings(client, &site, "1", "v", "Hello").await["id"].as_str().unwrap().to_owned();
    server.settle().await;
    let written = thread(client, &visitor).await[0]["message_id"].clone();
    let delete = format!("/v1/conversations/{visitor}/receive_deletion");
    client.post(&delete, json!({ "message_id": written })).await.problem(422, "conversation_no_edits");
}
