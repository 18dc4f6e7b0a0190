//! Messengers: what comes by Telegram and by Meta's three is taken in once and in order, what is said there leaves once, and whoever calls
//! must be who he says. Their servers are played by `deskfold_tests::telegram` and `::meta`.

mod meta;
mod program;

use std::time::Duration;

use deskfold_tests::{
    Client, Reply, Server, database,
    telegram::{Says, TOKEN, Telegram},
    until,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    chat::channels::connect,
    ground::program::{Running, home, keys},
    world::{self, condition, filtered, texts},
};

/// A small picture.
fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(8, 8, image::Rgb([200, 30, 30])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The messages of a conversation, oldest first.
async fn thread(client: &Client, chat: &str) -> Vec<Value> {
    client.read(&format!("/v1/conversations/{chat}/messages")).await["data"].as_array().unwrap().clone()
}

fn bodies(thread: &[Value]) -> Vec<&str> {
    thread.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

/// Says something; the message.
async fn say(client: &Client, chat: &str, said: Value) -> String {
    let said = client.post(&format!("/v1/conversations/{chat}/send_message"), said).await;
    said.expect(StatusCode::OK)["events"][0]["data"]["message_id"].as_str().unwrap().to_owned()
}

async fn message(client: &Client, chat: &str, id: &str) -> Value {
    thread(client, chat).await.into_iter().find(|message| message["message_id"] == id).unwrap()
}

/// Calls a channel's hook with headers.
async fn calls(server: &Server, channel: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let anybody = server.client("");
    let mut request = anybody.request(Method::POST, &format!("/hooks/{channel}")).body(body.to_owned());
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    anybody.send(request).await
}

/// Brings updates of Telegram, as it does; how many were new.
async fn brings(server: &Server, channel: &str, secret: &str, updates: &[&Value]) -> u64 {
    let mut new = 0;
    for update in updates {
        let headers = [("x-telegram-bot-api-secret-token", secret)];
        let reply = calls(server, channel, &headers, &update.to_string()).await;
        new += reply.expect(StatusCode::OK)["taken"].as_u64().unwrap();
    }
    server.settle().await;
    new
}

/// The only conversation that there is.
async fn only_chat(client: &Client) -> String {
    let all = client.read("/v1/conversations").await;
    let [id] = texts(&all, "id").try_into().unwrap();
    id
}

async fn bot(client: &Client) -> String {
    let channel = connect(client, "telegram", "Bot").await;
    client.put(&format!("/v1/channels/{channel}/credentials"), json!({ "secret": TOKEN })).await.expect(StatusCode::OK);
    channel
}

#[tokio::test]
async fn telegram_brings_what_is_written_to_the_bot_once_and_in_order_and_takes_what_is_answered() {
    let (telegram, address) = Telegram::start().await;
    let url = format!("http://{address}");
    let server = Server::with(&["--telegram-url", &url, "--public-url", "https://desk.example.com"]).await;
    let client = &server.admin;
    // A token that stands in an address must be one.
    let channel = connect(client, "telegram", "Bot").await;
    let credentials = format!("/v1/channels/{channel}/credentials");
    client.put(&credentials, json!({ "secret": "1:../../x" })).await.problem(422, "channel_secret_invalid");
    assert_eq!(client.read(&format!("/v1/channels/{channel}/messenger")).await["carried"], false);
    client.put(&credentials, json!({ "secret": TOKEN })).await.expect(StatusCode::OK);
    server.settle().await;

    // Deskfold tells Telegram itself where to bring what comes.
    telegram.comes("setWebhook", 1).await;
    let (hook, secret) = telegram.hook().unwrap();
    assert_eq!(hook, format!("https://desk.example.com/hooks/{channel}"));
    assert!(secret.len() >= 32 && !secret.contains(TOKEN));
    let fares = async || client.read(&format!("/v1/channels/{channel}/messenger")).await;
    assert!(until(async || fares().await["connected"] == true).await);
    assert_eq!((&fares().await["called"], &fares().await["webhook_url"]), (&json!("@acme_bot"), &json!(hook)));

    // Nobody else brings anything.
    let hello = telegram.message(42, 1, &json!({ "text": "/start prices" }));
    for headers in
        [&[][..], &[("x-telegram-bot-api-secret-token", "x")], &[("x-telegram-bot-api-secret-token", &secret[1..])]]
    {
        calls(&server, &channel, headers, &hello.to_string()).await.problem(401, "hook_signature_invalid");
    }
    let known = [("x-telegram-bot-api-secret-token", &*secret)];
    calls(&server, &channel, &known, "nonsense").await.problem(422, "hook_unreadable");
    calls(&server, world::NOBODY, &known, "{}").await.problem(404, "channel_unknown");
    server.settle().await;
    assert!(texts(&client.read("/v1/conversations").await, "id").is_empty());

    // What comes twice is taken in once; what comes late stands where it belongs; what groups say is not the desk's.
    let second = telegram.message(42, 2, &json!({ "text": "And a picture" }));
    let group = telegram.message(-7, 3, &json!({ "chat": { "id": -7, "type": "group" }, "text": "In a group" }));
    let place = telegram.message(42, 5, &json!({ "location": { "latitude": 41.9, "longitude": 12.5 } }));
    assert_eq!(brings(&server, &channel, &secret, &[&hello]).await, 1);
    assert_eq!(brings(&server, &channel, &secret, &[&place, &second, &place, &hello, &group]).await, 3);
    let chat = only_chat(client).await;
    assert_eq!(bodies(&thread(client, &chat).await)[..2], ["/start prices", "And a picture"]);
    let shown = client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&shown["medium"], &shown["visitor"]["path"]), (&json!("telegram"), &json!("/start/prices")));
    assert_eq!((&shown["visitor"]["name"], &shown["identity"]["value"]), (&json!("Maria Rossi"), &json!("42")));

    // Files come in; what is no text is told in words; what cannot be fetched is told, too.
    telegram.keep("pic", picture());
    let sizes = json!([{ "file_id": "tiny" }, { "file_id": "pic", "file_size": 90 }]);
    let photo = telegram.message(42, 4, &json!({ "photo": sizes, "caption": "The lamp" }));
    let sticker = telegram.message(42, 6, &json!({ "sticker": { "file_id": "s", "emoji": "😀", "is_video": true } }));
    let gone = json!({ "document": { "file_id": "gone", "file_name": "bill.pdf", "mime_type": "application/pdf" } });
    let gone = telegram.message(42, 7, &gone);
    brings(&server, &channel, &secret, &[&photo, &sticker, &gone]).await;
    let said = thread(client, &chat).await;
    assert_eq!((&said[2]["body"], &said[2]["attachments"][0]["media_type"]), (&json!("The lamp"), &json!("image/png")));
    let file = said[2]["attachments"][0]["upload_id"].as_str().unwrap();
    assert!(client.get(&format!("/v1/uploads/{file}/content")).await.status.is_success());
    assert!(said[3]["body"].as_str().unwrap().starts_with("[location] 41.9, 12.5"), "{}", said[3]);
    assert_eq!(said[4]["body"], "[sticker 😀]");
    assert!(said[5]["body"].as_str().unwrap().contains("bill.pdf could not be taken in"), "{}", said[5]);

    // What is changed there is changed here, and what was there before is in the past.
    let contact = client.post("/v1/contacts", json!({ "name": "Paolo" })).await;
    let before = contact.expect(StatusCode::CREATED)["position"].clone();
    let edit = |text: &str, at: i64| {
        let more = json!({ "text": text, "edit_date": at });
        telegram.update("edited_message", &deskfold_tests::telegram::said(42, 2, &more))
    };
    let (first, later) = (edit("And two pictures", 1_764_400_100), edit("And three pictures", 1_764_400_200));
    brings(&server, &channel, &secret, &[&later, &first]).await;
    let edited = &thread(client, &chat).await[1];
    assert_eq!((&edited["body"], edited["edited_at"].is_string()), (&json!("And three pictures"), true));
    let past = client.read(&format!("/v1/conversations/{chat}/messages?as_of={before}")).await;
    assert_eq!(past["data"][1]["body"], "And a picture");

    // An answer, a reaction to it, and one of ours.
    client.run(&format!("/v1/conversations/{chat}/claim"), json!({})).await;
    let answer = say(client, &chat, json!({ "body": "Good day" })).await;
    server.settle().await;
    let sent = message(client, &chat, &answer).await;
    assert_eq!((&sent["delivery"], &sent["external_id"]), (&json!("sent"), &json!("42:101")));
    let reaction = |emoji: Value| {
        let chat = json!({ "id": 42, "type": "private" });
        let value = json!({ "chat": chat, "message_id": 101, "date": 1_764_400_300, "old_reaction": [], "new_reaction": emoji });
        telegram.update("message_reaction", &value)
    };
    brings(&server, &channel, &secret, &[&reaction(json!([{ "type": "emoji", "emoji": "👍" }]))]).await;
    assert_eq!(message(client, &chat, &answer).await["reactions"], json!(["👍"]));
    brings(&server, &channel, &secret, &[&reaction(json!([]))]).await;
    assert_eq!(message(client, &chat, &answer).await["reactions"], json!([]));
    let theirs = edited["message_id"].as_str().unwrap().to_owned();
    let react = format!("/v1/conversations/{chat}/react");
    client
        .post(&react, json!({ "message_id": theirs, "reaction": "two words" }))
        .await
        .problem(422, "conversation_reaction_invalid");
    client.run(&react, json!({ "message_id": theirs, "reaction": "🙏" })).await;
    server.settle().await;
    let reacted = telegram.calls("setMessageReaction").pop().unwrap().told;
    assert_eq!((&reacted["message_id"], &reacted["reaction"][0]["emoji"]), (&json!(2), &json!("🙏")));
    assert_eq!(message(client, &chat, &theirs).await["own_reaction"], "🙏");
    telegram.says([Says::Refused(400, "Bad Request: REACTION_INVALID", None)]);
    client.run(&react, json!({ "message_id": theirs, "reaction": "🦄" })).await;
    server.settle().await;
    let failed = message(client, &chat, &theirs).await;
    assert_eq!(failed["own_reaction"], Value::Null);
    assert!(failed["own_reaction_error"].as_str().unwrap().starts_with("Telegram has no such reaction"), "{failed}");

    // Files leave by themselves and in albums, within what Telegram takes.
    let one = json!({ "upload_id": world::sent(client, "lamp.png", picture()).await, "name": "lamp.png" });
    let other =
        json!({ "upload_id": world::sent(client, "bill.txt", b"Two loaves".to_vec()).await, "name": "bill.txt" });
    let too_long = json!({ "body": "x".repeat(1025), "attachments": [one] });
    let send = format!("/v1/conversations/{chat}/send_message");
    client.post(&send, too_long).await.problem(422, "conversation_message_unsendable");
    say(client, &chat, json!({ "body": "The bill", "attachments": [other] })).await;
    say(client, &chat, json!({ "body": "", "attachments": [one, other] })).await;
    server.settle().await;
    let document = telegram.calls("sendDocument").pop().unwrap();
    assert_eq!(document.told["caption"], "The bill");
    assert_eq!((document.files[0].1.as_str(), &document.files[0].3[..]), ("bill.txt", &b"Two loaves"[..]));
    let album = telegram.calls("sendMediaGroup").pop().unwrap();
    assert_eq!((album.files.len(), &album.told["media"][0]["type"]), (2, &json!("document")));

    // /ticket works here as everywhere.
    let ticket =
        client.post(&format!("/v1/conversations/{chat}/convert_to_ticket"), json!({ "title": "The lamp" })).await;
    ticket.expect(StatusCode::OK);
    server.settle().await;
    let tickets = client.read("/v1/tickets").await;
    let made = client.read(&format!("/v1/tickets/{}", tickets["data"][0]["id"].as_str().unwrap())).await;
    assert!(made["description"].as_str().unwrap().contains("And three pictures"), "{made}");

    // What was taken in is known by its name alone.
    let kept = "select count(*), count(body) from react_messenger_update where state = 'done'";
    let (all, with_words): (i64, i64) = sqlx::query_as(kept).fetch_one(&server.database.pool).await.unwrap();
    assert!(all >= 10 && with_words == 0, "{all} known, {with_words} with what they said");

    // The token is nowhere to be read.
    for path in
        ["/v1/events?limit=200", &format!("/v1/channels/{channel}"), &format!("/v1/channels/{channel}/messenger")]
    {
        assert!(!client.get(path).await.text.contains(TOKEN), "{path}");
    }
}

#[tokio::test]
async fn what_telegram_refuses_is_told_in_words_and_what_nobody_knows_is_uncertain() {
    let (telegram, address) = Telegram::start().await;
    let url = format!("http://{address}");
    let server = Server::with(&["--telegram-url", &url, "--public-url", "https://desk.example.com"]).await;
    let client = &server.admin;
    let channel = bot(client).await;
    server.settle().await;
    telegram.comes("setWebhook", 1).await;
    let (_, secret) = telegram.hook().unwrap();
    brings(&server, &channel, &secret, &[&telegram.message(42, 1, &json!({ "text": "Good day" }))]).await;
    let chat = only_chat(client).await;
    let fate = async |id: &str| {
        let message = message(client, &chat, id).await;
        let told = message["delivery_error"].as_str().unwrap_or_default().to_owned();
        (message["delivery"].as_str().unwrap().to_owned(), told)
    };

    // Whoever asks to be left alone is.
    telegram.says([Says::Refused(429, "Too Many Requests: retry after 30", Some(30))]);
    let first = say(client, &chat, json!({ "body": "First" })).await;
    server.settle().await;
    let second = say(client, &chat, json!({ "body": "Second" })).await;
    server.app.advance(Duration::from_secs(20));
    server.settle().await;
    assert_eq!(telegram.texts(), ["First"]);
    server.app.advance(Duration::from_secs(20));
    server.settle().await;
    assert_eq!(telegram.texts(), ["First", "First", "Second"]);
    assert_eq!((fate(&first).await.0, fate(&second).await.0), ("sent".into(), "sent".into()));

    // What Telegram will never take has failed. Of what it says nothing about nobody knows whether it has left.
    telegram.says([Says::Refused(400, "Bad Request: message is too long", None), Says::Broken(502)]);
    let long = say(client, &chat, json!({ "body": "Long" })).await;
    let lost = say(client, &chat, json!({ "body": "Lost" })).await;
    server.settle().await;
    let (delivery, told) = fate(&long).await;
    assert_eq!(delivery, "failed");
    assert!(told.starts_with("the message is longer than Telegram takes"), "{told}");
    assert_eq!(fate(&lost).await.0, "uncertain");
    assert_eq!(telegram.texts().iter().filter(|text| *text == "Lost").count(), 1, "it is not sent twice");
    telegram.block(42);
    let blocked = say(client, &chat, json!({ "body": "Are you there?" })).await;
    server.settle().await;
    let (delivery, told) = fate(&blocked).await;
    assert_eq!(delivery, "failed");
    assert!(told.starts_with("the other side has blocked the bot"), "{told}");

    // A channel that is closed takes nothing, and Telegram keeps it; a token that is another's is told.
    client.run(&format!("/v1/channels/{channel}/disable"), json!({})).await;
    let later = telegram.message(42, 2, &json!({ "text": "Later" }));
    let known = [("x-telegram-bot-api-secret-token", &*secret)];
    calls(&server, &channel, &known, &later.to_string()).await.problem(409, "channel_disabled");
    client.run(&format!("/v1/channels/{channel}/enable"), json!({})).await;
    let wrong = TOKEN.replace('A', "B");
    client.put(&format!("/v1/channels/{channel}/credentials"), json!({ "secret": wrong })).await.expect(StatusCode::OK);
    let fares = async || client.read(&format!("/v1/channels/{channel}/messenger")).await;
    assert!(until(async || fares().await["error"].is_string()).await);
    let told = fares().await;
    assert!(told["error"].as_str().unwrap().starts_with("Telegram does not know the bot's token"), "{told}");
    assert!(!told.to_string().contains(&wrong));
    // What Telegram knows the bot by has changed with the token.
    calls(&server, &channel, &known, &later.to_string()).await.problem(401, "hook_signature_invalid");
}

#[tokio::test]
async fn a_bot_behind_a_firewall_is_asked_by_one_process_and_goes_on_where_it_was_after_a_crash() {
    let (telegram, address) = Telegram::start().await;
    let database = database().await;
    let home = home();
    let url = format!("http://{address}");
    let arguments =
        ["--database-url", &database.url, "--telegram-url", &url, "--rate-limit", "0", "--send-timeout", "60s"];
    let running = Running::start(home.path(), &arguments).await;
    let key = keys(&running.printed()).into_iter().next().unwrap();
    let client = running.client(&key);
    telegram.waits(telegram.message(42, 1, &json!({ "text": "One" })));
    bot(&client).await;
    let said = async |client: &Client, count: usize| {
        let all = client.read("/v1/conversations").await;
        let Some(chat) = texts(&all, "id").pop() else { return false };
        thread(client, &chat).await.len() == count
    };
    assert!(until(async || said(&client, 1).await).await, "what waited is taken in");
    let chat = only_chat(&client).await;
    // Another process on the same database asks nothing as long as this one does.
    let other = Running::start(home.path(), &arguments).await;
    telegram.waits(telegram.message(42, 2, &json!({ "text": "Two" })));
    assert!(until(async || said(&client, 2).await).await);

    // It is being sent when the process dies: nobody knows whether it has left. What comes meanwhile waits at Telegram.
    telegram.says([Says::Nothing]);
    let lost = say(&client, &chat, json!({ "body": "Lost" })).await;
    telegram.comes("sendMessage", 1).await;
    running.signal("KILL");
    running.end().await;
    telegram.waits(telegram.message(42, 3, &json!({ "text": "Three" })));
    let client = other.client(&key);
    assert!(until(async || said(&client, 4).await).await, "the other goes on where it was");
    assert_eq!(telegram.clashes(), 0, "one of them asks at a time");
    assert!(until(async || telegram.unheard() == 0).await, "and says so");
    assert!(until(async || message(&client, &chat, &lost).await["delivery"] == "uncertain").await);
    let uncertain = filtered("/v1/conversations", &condition("uncertain", "eq", true));
    assert!(until(async || texts(&client.read(&uncertain).await, "id") == [&*chat]).await);
    assert_eq!(telegram.texts(), ["Lost"], "what may have arrived is not sent again");
    let said = thread(&client, &chat).await;
    let theirs: Vec<_> = said.iter().filter(|message| message["direction"] == "received").cloned().collect();
    assert_eq!(bodies(&theirs), ["One", "Two", "Three"]);
    // What was asked for last is where the next process begins.
    let next: i64 =
        sqlx::query_scalar("select next_update from react_messenger").fetch_one(&database.pool).await.unwrap();
    assert_eq!(next, 1004);
    let asked = telegram.calls("getUpdates").pop().unwrap().told;
    assert_eq!((&asked["offset"], &asked["allowed_updates"][2]), (&json!(1004), &json!("message_reaction")));
    other.signal("TERM");
    other.end().await;
}
