//! WhatsApp, Instagram and Messenger: one form of webhook, batches, receipts, the window of 24 hours and templates.

use std::time::Duration;

use data_encoding::HEXLOWER;
use deskfold_tests::{
    Client, Reply, Server,
    meta::{ACCOUNT, APP_SECRET, Meta, Says, TOKEN},
};
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use super::{bodies, calls, message, only_chat, picture, say, thread};
use crate::{
    chat::channels::connect,
    world::{self, texts},
};

/// A channel of Meta's that was given all it needs.
async fn channel(client: &Client, kind: &str, account: &str) -> String {
    let channel = connect(client, kind, kind).await;
    let settings = format!("/v1/channels/{channel}/change_settings");
    client.post(&settings, json!({ "account": "../me" })).await.problem(422, "channel_account_invalid");
    client.run(&settings, json!({ "account": account })).await;
    let credentials = format!("/v1/channels/{channel}/credentials");
    client.put(&credentials, json!({ "secret": TOKEN })).await.expect(StatusCode::OK);
    client.put(&credentials, json!({ "secret": APP_SECRET, "of": "app" })).await.expect(StatusCode::OK);
    channel
}

fn signed(body: &str, secret: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    format!("sha256={}", HEXLOWER.encode(tag.as_ref()))
}

/// Brings a batch, as Meta does.
async fn brings(server: &Server, channel: &str, batch: &Value) -> Reply {
    let body = batch.to_string();
    let signature = signed(&body, APP_SECRET);
    let reply = calls(server, channel, &[("x-hub-signature-256", &signature)], &body).await;
    server.settle().await;
    reply
}

/// A batch of WhatsApp: messages of Maria's, and statuses.
fn batch(account: &str, messages: &[Value], statuses: &[Value]) -> Value {
    let whose = |message: &Value| {
        let mut message = message.clone();
        message["from"] = json!("39065550101");
        message
    };
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550783881", "phone_number_id": account },
        "contacts": [{ "profile": { "name": "Maria" }, "wa_id": "39065550101" }],
        "messages": messages.iter().map(whose).collect::<Vec<_>>(), "statuses": statuses,
    });
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": value }] }] })
}

fn text(id: &str, body: &str, at: i64) -> Value {
    json!({ "id": id, "timestamp": at.to_string(), "type": "text", "text": { "body": body } })
}

fn status(id: &str, status: &str, more: Value) -> Value {
    let mut told = json!({ "id": id, "status": status, "timestamp": "1764400000", "recipient_id": "39065550101" });
    told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    told
}

#[tokio::test]
async fn whatsapp_brings_batches_tells_how_far_messages_have_come_and_takes_templates_after_a_day() {
    let (meta, address) = Meta::start().await;
    let url = format!("http://{address}");
    let arguments = ["--meta-url", &url, "--public-url", "https://desk.example.com", "--private-addresses"];
    let server = Server::with(&arguments).await;
    let client = &server.admin;
    let whatsapp = channel(client, "whatsapp", ACCOUNT).await;
    server.settle().await;

    // Meta asks whether this is the place, and is answered if it says the right word.
    let fares = client.read(&format!("/v1/channels/{whatsapp}/messenger")).await;
    assert_eq!(
        (&fares["carried"], &fares["webhook_url"]),
        (&json!(true), &json!(format!("https://desk.example.com/hooks/{whatsapp}")))
    );
    let word = fares["verify_token"].as_str().unwrap();
    let asks =
        |word: &str| format!("/hooks/{whatsapp}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={word}");
    let anybody = server.client("");
    assert_eq!(anybody.get(&asks(word)).await.expect_text(), "1158201444");
    anybody.get(&asks("wrong")).await.problem(401, "hook_signature_invalid");

    // Only what is signed is taken, all of a batch once, and what was said late where it belongs.
    let at = jiff::Timestamp::now().as_second();
    let both = batch(ACCOUNT, &[text("wamid.2", "Second", at - 5), text("wamid.1", "First", at - 10)], &[]);
    for (body, signature) in [
        (both.to_string(), signed(&both.to_string(), "another")),
        (both.to_string(), "sha256=00".into()),
        (both.to_string() + " ", signed(&both.to_string(), APP_SECRET)),
    ] {
        calls(&server, &whatsapp, &[("x-hub-signature-256", &signature)], &body)
            .await
            .problem(401, "hook_signature_invalid");
    }
    calls(&server, &whatsapp, &[], &both.to_string()).await.problem(401, "hook_signature_invalid");
    assert_eq!(brings(&server, &whatsapp, &both).await.expect(StatusCode::OK)["taken"], 2);
    assert_eq!(brings(&server, &whatsapp, &both).await.expect(StatusCode::OK)["taken"], 0);
    let chat = only_chat(client).await;
    assert_eq!(bodies(&thread(client, &chat).await), ["First", "Second"]);
    let shown = client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&shown["identity"]["e164"], &shown["visitor"]["name"]), (&json!("+39065550101"), &json!("Maria")));

    // Files, reactions, and what was taken back.
    meta.keep("pic1", "image/png", picture());
    let image = json!({ "id": "wamid.3", "type": "image", "image": { "id": "pic1", "mime_type": "image/png", "caption": "The lamp" } });
    let contacts = json!({ "id": "wamid.4", "type": "contacts", "contacts": [{ "name": { "formatted_name": "Eva" }, "phones": [{ "phone": "+420123" }] }] });
    let reaction =
        json!({ "id": "wamid.5", "type": "reaction", "reaction": { "message_id": "wamid.1", "emoji": "🎉" } });
    let revoke = json!({ "id": "wamid.6", "type": "revoke", "revoke": { "original_message_id": "wamid.2" } });
    brings(&server, &whatsapp, &batch(ACCOUNT, &[image, contacts, reaction, revoke], &[])).await.expect(StatusCode::OK);
    let said = thread(client, &chat).await;
    assert_eq!((&said[0]["reactions"], &said[1]["body"]), (&json!(["🎉"]), &json!("")));
    assert!(said[1]["deleted_at"].is_string());
    let with_file: Vec<_> =
        said.iter().filter(|message| message["attachments"][0]["media_type"] == "image/png").collect();
    assert_eq!(bodies(&with_file.into_iter().cloned().collect::<Vec<_>>()), ["The lamp"]);
    assert!(bodies(&said).contains(&"[contact] Eva, +420123"));

    // An answer leaves, arrives and is read; another comes back.
    let answer = say(client, &chat, json!({ "body": "Good day" })).await;
    server.settle().await;
    let sent = message(client, &chat, &answer).await;
    let wamid = sent["external_id"].as_str().unwrap().to_owned();
    assert!(sent["delivery"] == "sent" && wamid.starts_with("wamid.sent"), "{sent}");
    let told = meta.calls("messages").pop().unwrap().told;
    assert_eq!((&told["to"], &told["text"]["body"]), (&json!("39065550101"), &json!("Good day")));
    let receipts = [status(&wamid, "read", json!({})), status(&wamid, "delivered", json!({}))];
    brings(&server, &whatsapp, &batch(ACCOUNT, &[], &receipts)).await.expect(StatusCode::OK);
    assert_eq!(message(client, &chat, &answer).await["delivery"], "read", "in whatever order they come");
    let other = say(client, &chat, json!({ "body": "And" })).await;
    server.settle().await;
    let wamid = message(client, &chat, &other).await["external_id"].as_str().unwrap().to_owned();
    let undeliverable = json!({ "errors": [{ "code": 131_026, "title": "Message undeliverable" }] });
    brings(&server, &whatsapp, &batch(ACCOUNT, &[], &[status(&wamid, "failed", undeliverable)]))
        .await
        .expect(StatusCode::OK);
    let failed = message(client, &chat, &other).await;
    assert!(failed["delivery_error"].as_str().unwrap().contains("not on WhatsApp"), "{failed}");

    // Too much at once is tried later; a token that is over is told; of what nobody answers the first receipt says that it has left.
    meta.says([
        Says::Refused(400, 130_429, "Rate limit hit", Some(30)),
        Says::Refused(500, 131_000, "Something went wrong", None),
    ]);
    let later = say(client, &chat, json!({ "body": "Later" })).await;
    server.settle().await;
    assert_eq!(message(client, &chat, &later).await["delivery"], "queued");
    server.app.advance(Duration::from_secs(31));
    server.settle().await;
    assert_eq!(message(client, &chat, &later).await["delivery"], "uncertain");
    let ours = meta.calls("messages").pop().unwrap().told["biz_opaque_callback_data"].clone();
    let heard = status("wamid.lost", "delivered", json!({ "biz_opaque_callback_data": ours }));
    brings(&server, &whatsapp, &batch(ACCOUNT, &[], &[heard])).await.expect(StatusCode::OK);
    assert_eq!(message(client, &chat, &later).await["delivery"], "delivered");
    meta.says([Says::Refused(401, 190, "Session has expired", None)]);
    let expired = say(client, &chat, json!({ "body": "x" })).await;
    server.settle().await;
    let failed = message(client, &chat, &expired).await;
    assert!(failed["delivery_error"].as_str().unwrap().starts_with("Meta's access token has expired"), "{failed}");

    // One file a message, of a type and size that WhatsApp takes.
    let lamp = json!({ "upload_id": world::sent(client, "lamp.png", picture()).await, "name": "lamp.png" });
    let send = format!("/v1/conversations/{chat}/send_message");
    let two = json!({ "body": "x", "attachments": [lamp, lamp] });
    client.post(&send, two).await.problem(422, "conversation_message_unsendable");
    say(client, &chat, json!({ "body": "This one", "attachments": [lamp] })).await;
    server.settle().await;
    let uploaded = meta.calls("media").pop().unwrap();
    assert_eq!((&uploaded.told["type"], uploaded.files[0].1.as_str()), (&json!("image/png"), "lamp.png"));
    let told = meta.calls("messages").pop().unwrap().told;
    assert_eq!((&told["image"]["caption"], told["image"]["id"].is_string()), (&json!("This one"), true));
    let first = thread(client, &chat).await[0]["message_id"].clone();
    client.run(&format!("/v1/conversations/{chat}/react"), json!({ "message_id": first, "reaction": "🙏" })).await;
    server.settle().await;
    let told = meta.calls("messages").pop().unwrap().told;
    assert_eq!(told["reaction"], json!({ "message_id": "wamid.1", "emoji": "🙏" }));

    // After a day only a template reaches them.
    server.app.advance(Duration::from_secs(25 * 60 * 60));
    client.post(&send, json!({ "body": "Are you there?" })).await.problem(409, "window_closed");
    let template = |name: &str| json!({ "body": "Your order 17 is ready", "template": { "name": name, "language": "en_US", "parameters": ["17"] } });
    let odd = client.post(&send, template("order ready")).await.problem(422, "conversation_template_invalid");
    assert_eq!(odd["errors"][0]["pointer"], "/template/name");
    let ready = say(client, &chat, template("order_ready")).await;
    server.settle().await;
    let told = meta.calls("messages").pop().unwrap().told;
    assert_eq!((&told["type"], &told["template"]["language"]["code"]), (&json!("template"), &json!("en_US")));
    assert_eq!(told["template"]["components"][0]["parameters"][0]["text"], "17");
    let shown = message(client, &chat, &ready).await;
    assert_eq!((&shown["template"]["name"], &shown["delivery"]), (&json!("order_ready"), &json!("sent")));
    for path in
        ["/v1/events?limit=200", &format!("/v1/channels/{whatsapp}"), &format!("/v1/channels/{whatsapp}/messenger")]
    {
        let text = client.get(path).await.text;
        assert!(!text.contains(TOKEN) && !text.contains(APP_SECRET), "{path}");
    }
}

#[tokio::test]
async fn instagram_and_messenger_come_by_the_same_door_and_an_account_finds_its_channel() {
    let (meta, address) = Meta::start().await;
    let url = format!("http://{address}");
    let server = Server::with(&["--meta-url", &url, "--private-addresses"]).await;
    let client = &server.admin;
    let page = channel(client, "messenger", ACCOUNT).await;
    let instagram = channel(client, "instagram", "17841400000000001").await;
    server.settle().await;
    let batch = |object: &str, account: &str, events: Value| json!({ "object": object, "entry": [{ "id": account, "time": 1, "messaging": events }] });
    let event = |sender: &str, more: Value| {
        let at = jiff::Timestamp::now().as_millisecond();
        let mut event = json!({ "sender": { "id": sender }, "recipient": { "id": ACCOUNT }, "timestamp": at });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let written = event("7001", json!({ "message": { "mid": "m_1", "text": "Good day" } }));
    let echo = event("7001", json!({ "message": { "mid": "m_2", "text": "Ours", "is_echo": true } }));
    let answer = brings(&server, &page, &batch("page", ACCOUNT, json!([written, echo]))).await;
    assert_eq!(answer.expect(StatusCode::OK)["taken"], 2);
    let chat = only_chat(client).await;
    assert_eq!(bodies(&thread(client, &chat).await), ["Good day"], "what we said ourselves is not theirs");
    let shown = client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!(shown["visitor"]["name"], "Maria Rossi");
    let ours = say(client, &chat, json!({ "body": "Hello" })).await;
    server.settle().await;
    let told = meta.calls("messages").pop().unwrap().told;
    assert_eq!((&told["recipient"]["id"], &told["message"]["text"]), (&json!("7001"), &json!("Hello")));
    let until = jiff::Timestamp::now().as_millisecond() + 1000;
    let read = event("7001", json!({ "read": { "watermark": until } }));
    brings(&server, &page, &batch("page", ACCOUNT, json!([read]))).await.expect(StatusCode::OK);
    assert_eq!(message(client, &chat, &ours).await["delivery"], "read");

    // Words or a file, not both.
    let lamp = json!({ "upload_id": world::sent(client, "lamp.png", picture()).await, "name": "lamp.png" });
    let send = format!("/v1/conversations/{chat}/send_message");
    let both = json!({ "body": "x", "attachments": [lamp] });
    client.post(&send, both).await.problem(422, "conversation_message_unsendable");
    say(client, &chat, json!({ "body": "", "attachments": [lamp] })).await;
    server.settle().await;
    let told = meta.calls("messages").pop().unwrap().told;
    assert!(told["message"]["attachment"]["payload"]["attachment_id"].is_string(), "{told}");

    // An app brings what is for all of its accounts to one place; what was taken back says nothing any more.
    let direct = event("8001", json!({ "message": { "mid": "ig_1", "text": "Ciao" } }));
    brings(&server, &page, &batch("instagram", "17841400000000001", json!([direct]))).await.expect(StatusCode::OK);
    let of_instagram = world::filtered("/v1/conversations", &world::condition("medium", "eq", "instagram"));
    let [ciao] = texts(&client.read(&of_instagram).await, "id").try_into().unwrap();
    assert_eq!(client.read(&format!("/v1/conversations/{ciao}")).await["channel_id"], json!(instagram));
    let deleted = event("8001", json!({ "message": { "mid": "ig_1", "is_deleted": true } }));
    brings(&server, &instagram, &batch("instagram", "17841400000000001", json!([deleted])))
        .await
        .expect(StatusCode::OK);
    assert_eq!(bodies(&thread(client, &ciao).await), [""]);
    assert_eq!(client.read(&format!("/v1/conversations/{ciao}")).await["last_message"], "");
    server.app.advance(Duration::from_secs(25 * 60 * 60));
    client.post(&send, json!({ "body": "Still there?" })).await.problem(409, "window_closed");
    let template = json!({ "body": "x", "template": { "name": "a", "language": "en" } });
    client.post(&send, template).await.problem(422, "conversation_template_unfit");
}
