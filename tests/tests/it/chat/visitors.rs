//! Visitors of pages: they write without being anybody, are answered, follow it, and are let into one conversation alone.

use deskfold_tests::{Client, Reply, Server};
use reqwest::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};

use super::live::Screen;

/// A token as a browser makes one.
fn token(of: &str) -> String {
    format!("dfv_{of:A<43}")
}

async fn channel(server: &Server, name: &str) -> String {
    server.admin.create("/v1/channels", json!({ "kind": "live_chat", "name": name })).await
}

pub(super) fn visitor(server: &Server, of: &str) -> Client {
    server.client(&token(of))
}

pub(super) fn at(channel: &str, what: &str) -> String {
    format!("/chat/{channel}/{what}")
}

pub(super) async fn writes(visitor: &Client, channel: &str, id: &str, body: &str) -> Value {
    let reply = visitor.post(&at(channel, "messages"), json!({ "external_id": id, "body": body })).await;
    assert!(reply.status.is_success(), "{}", reply.text);
    reply.json()
}

/// What a visitor reads: who wrote what, and how far it has come.
async fn thread(visitor: &Client, channel: &str) -> Vec<(String, String, Value)> {
    let read = visitor.read(&at(channel, "messages")).await;
    let messages = read["data"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    messages.map(|message| (text(&message["from"]), text(&message["body"]), message["state"].clone())).collect()
}

#[tokio::test]
async fn a_visitor_writes_and_is_answered_and_nothing_is_doubled_or_missed() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server, "Shop").await;
    let maria = visitor(&server, "maria");
    maria.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    let first = writes(&maria, &channel, "1", "Good day").await;
    // The answer was lost: the page asks once more.
    let again = maria.post(&at(&channel, "messages"), json!({ "external_id": "1", "body": "Good day" })).await;
    assert_eq!((again.status, &again.json()["message"]), (StatusCode::OK, &first["message"]));
    assert_eq!(thread(&maria, &channel).await, [("visitor".to_owned(), "Good day".to_owned(), Value::Null)]);
    let conversation = first["conversation"].as_str().unwrap();

    let mut follows = Screen::of(&maria, &format!("{}?after={}", at(&channel, "stream"), first["position"])).await;
    admin.run(&format!("/v1/conversations/{conversation}/claim"), json!({})).await;
    admin.run(&format!("/v1/conversations/{conversation}/send_message"), json!({ "body": "Good day, Maria!" })).await;
    server.settle().await;
    let present = follows.next().await.unwrap();
    assert_eq!((present.event.as_str(), &present.data), ("presence", &json!({ "operators_present": false })));
    let message = follows.next().await.unwrap();
    assert_eq!((message.event.as_str(), &message.data["body"]), ("message", &json!("Good day, Maria!")));
    assert_eq!((&message.data["from"], &message.data["state"]), (&json!("desk"), &json!("queued")));
    assert!(message.data["name"].is_string(), "{message:?}");
    let answer = message.data["id"].clone();
    let sent = follows.next().await.unwrap();
    assert_eq!((sent.event.as_str(), &sent.data), ("state", &json!({ "message": answer, "state": "sent" })));

    // What arrived and was read, the desk knows.
    assert_eq!(
        maria.post(&at(&channel, "receipts"), json!({ "delivered": [answer] })).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(maria.post(&at(&channel, "receipts"), json!({ "read": [answer] })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(thread(&maria, &channel).await[1].2, "read");
    server.settle().await;
    let messages = admin.read(&format!("/v1/conversations/{conversation}/messages")).await;
    assert_eq!(messages["data"][1]["delivery"], "read", "{messages}");
    let nobodys = json!({ "read": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"] });
    maria.post(&at(&channel, "receipts"), nobodys).await.problem(422, "conversation_message_unknown");

    // A page that was away hears the rest from where it was, and once.
    let position = sent.id.unwrap();
    drop(follows);
    admin.run(&format!("/v1/conversations/{conversation}/send_message"), json!({ "body": "Anything else?" })).await;
    admin.run(&format!("/v1/conversations/{conversation}/close"), json!({})).await;
    server.settle().await;
    let mut follows = Screen::of(&maria.header("Last-Event-ID", position), &at(&channel, "stream")).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|name| name != "closed") {
        heard.push(follows.next().await.unwrap().event);
    }
    assert_eq!(heard.iter().filter(|name| *name == "message").count(), 1, "{heard:?}");
    assert_eq!(maria.read(&at(&channel, "messages")).await["status"], "closed");
    assert_eq!(
        maria.post(&at(&channel, "rate"), json!({ "score": 5, "text": "Quick!" })).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(maria.read(&at(&channel, "messages")).await["rating"], 5);

    // Writing again opens it again.
    assert_eq!(writes(&maria, &channel, "2", "One more thing").await["conversation"], conversation);
    assert_eq!(maria.read(&at(&channel, "messages")).await["status"], "open");
    server.settle().await;
    let read = admin.read(&format!("/v1/conversations/{conversation}")).await;
    assert_eq!(
        (&read["channel_id"], &read["medium"], &read["reopened_count"]),
        (&json!(channel), &json!("live_chat"), &json!(1))
    );
}

#[tokio::test]
async fn a_token_opens_one_conversation_until_it_is_given_up() {
    let server = Server::start().await;
    let channel = channel(&server, "Shop").await;
    let (maria, paolo) = (visitor(&server, "maria"), visitor(&server, "paolo"));
    let hers = writes(&maria, &channel, "1", "from Maria").await;
    let his = writes(&paolo, &channel, "1", "from Paolo").await;
    assert_ne!(hers["conversation"], his["conversation"], "the same name for a message is not the same message");
    assert_eq!(thread(&paolo, &channel).await.len(), 1);
    let other = self::channel(&server, "Other").await;
    maria.get(&at(&other, "messages")).await.problem(404, "visitor_unknown");
    server.client("dfv_short").get(&at(&channel, "messages")).await.problem(401, "visitor_token_invalid");
    server.admin.get(&at(&channel, "messages")).await.problem(401, "visitor_token_invalid");
    // It is a key to nothing else.
    maria.get("/v1/conversations").await.problem(401, "key_invalid");

    let renewed = maria.post(&at(&channel, "renew"), json!({ "token": token("maria2") })).await;
    assert_eq!(renewed.status, StatusCode::NO_CONTENT);
    maria.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    let maria = visitor(&server, "maria2");
    assert_eq!(writes(&maria, &channel, "2", "still me").await["conversation"], hers["conversation"]);
    let taken = maria.post(&at(&channel, "renew"), json!({ "token": token("paolo") })).await;
    taken.problem(401, "visitor_token_invalid");
    assert_eq!(maria.post(&at(&channel, "forget"), json!({})).await.status, StatusCode::NO_CONTENT);
    maria.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    // Nobody comes back to a token after a month.
    server.app.advance(std::time::Duration::from_secs(62 * 24 * 60 * 60));
    paolo.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    let kept: String = sqlx::query_scalar("select coalesce(string_agg(digest, ''), '') from auth_visitor")
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert!(!kept.contains("dfv_"), "{kept}");
}

#[tokio::test]
async fn pages_are_told_how_the_chat_looks_and_only_those_of_its_origins_speak_to_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server, "Shop").await;
    let command = async |name: &str, body: Value| {
        admin.run(&format!("/v1/channels/{channel}/{name}"), body).await;
    };
    let nobody = server.client("");
    let config = async |path: &str| nobody.read(&format!("/chat/{channel}/config?path={path}")).await;
    let plain = config("/").await;
    assert_eq!(
        (&plain["name"], &plain["display"], &plain["operators_present"]),
        (&json!("Shop"), &json!("show"), &json!(false))
    );
    command(
        "change_appearance",
        json!({ "greeting": "Can we help?", "color": "rgb(255, 212, 0)", "display": "show_with_notification" }),
    )
    .await;
    command("add_display_rule", json!({ "rule": { "path_regex": "^/cart", "display": "auto_open", "delay_s": 5 } }))
        .await;
    let shop = config("/shop").await;
    assert_eq!((&shop["display"], &shop["greeting"]), (&json!("show_with_notification"), &json!("Can we help?")));
    assert_eq!((&shop["color"], &shop["text_color"]), (&json!("#ffd400"), &json!("#000000")));
    let cart = config("/cart/1").await;
    assert_eq!((&cart["display"], &cart["delay_s"]), (&json!("auto_open"), &json!(5)));
    let me = admin.read("/v1/me").await["user"].as_str().unwrap().to_owned();
    admin.run(&format!("/v1/users/{me}/set_presence"), json!({ "presence": "online" })).await;
    assert_eq!(config("/").await["operators_present"], true);

    let from = |origin: &str| nobody.header("origin", origin);
    let open = from("https://anywhere.example").get(&at(&channel, "config")).await;
    assert_eq!((open.status, open.header("access-control-allow-origin")), (StatusCode::OK, "https://anywhere.example"));
    command("change_settings", json!({ "allowed_origins": ["https://shop.example"] })).await;
    from("https://anywhere.example").get(&at(&channel, "config")).await.problem(403, "origin_not_allowed");
    let shop = from("https://shop.example");
    assert_eq!(shop.get(&at(&channel, "config")).await.status, StatusCode::OK);
    let asked = shop.header("access-control-request-method", "POST");
    let asked = asked.send(asked.request(Method::OPTIONS, &at(&channel, "messages"))).await;
    assert_eq!(
        (asked.status, asked.header("access-control-allow-headers")),
        (StatusCode::NO_CONTENT, "authorization, content-type, if-none-match, last-event-id")
    );
    assert_eq!(asked.header("set-cookie"), "");
    command("disable", json!({})).await;
    shop.get(&at(&channel, "config")).await.problem(409, "channel_disabled");
    let mail = admin.create("/v1/channels", json!({ "kind": "telegram", "name": "Bot" })).await;
    nobody.get(&at(&mail, "config")).await.problem(404, "channel_unknown");
    nobody.get(&at("01K9Z3T8W0QX6V5N4M3K2J1H0G", "config")).await.problem(404, "channel_unknown");
}

#[tokio::test]
async fn a_site_says_who_its_user_is_and_nobody_else_can() {
    const SECRET: &str = "a secret of the site";
    let server = Server::start().await;
    let channel = channel(&server, "Shop").await;
    let hash = |id: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), id.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let write = async |of: &str, id: &str, hash: &str| {
        let body = json!({ "external_id": "1", "body": of, "user": { "id": id, "hash": hash } });
        visitor(&server, of).post(&at(&channel, "messages"), body).await
    };
    write("phone", "42", &hash("42")).await.problem(403, "visitor_hash_invalid");
    server
        .admin
        .put(&format!("/v1/channels/{channel}/credentials"), json!({ "secret": SECRET }))
        .await
        .expect(StatusCode::OK);
    for wrong in [hash("43"), "zz".to_owned(), String::new()] {
        write("phone", "42", &wrong).await.problem(403, "visitor_hash_invalid");
    }
    let phone = write("phone", "42", &hash("42")).await.expect(StatusCode::CREATED);
    let laptop = write("laptop", "42", &hash("42")).await.expect(StatusCode::CREATED);
    assert_eq!(phone["conversation"], laptop["conversation"], "one user, one conversation");
    assert_eq!(thread(&visitor(&server, "phone"), &channel).await.len(), 2);
    let other = write("tablet", "43", &hash("43")).await.expect(StatusCode::CREATED);
    assert_ne!(phone["conversation"], other["conversation"]);
}

#[tokio::test]
async fn who_types_is_shown_both_ways_and_whoever_floods_is_held_back() {
    let server = Server::with(&["--visitor-rate-limit", "5"]).await;
    let admin = &server.admin;
    let channel = channel(&server, "Shop").await;
    let maria = visitor(&server, "maria");
    let first = writes(&maria, &channel, "1", "Good day").await;
    let conversation = first["conversation"].as_str().unwrap();
    let mut desk = Screen::open(admin).await;
    let mut page = Screen::of(&maria, &at(&channel, "stream")).await;
    assert_eq!(
        maria.post(&at(&channel, "signals"), json!({ "signal": "typing" })).await.status,
        StatusCode::NO_CONTENT
    );
    let shown = loop {
        let message = desk.next().await.unwrap();
        if message.event == "signal" {
            break message.data;
        }
    };
    assert_eq!(
        (&shown["conversation"], &shown["kind"], &shown["signal"]),
        (&json!(conversation), &json!("visitor"), &json!("typing"))
    );
    for signal in ["looking", "typing"] {
        let body = json!({ "conversation": conversation, "signal": signal });
        assert_eq!(admin.post("/v1/inbox/signals", body).await.status, StatusCode::NO_CONTENT);
    }
    let told = loop {
        let message = page.next().await.unwrap();
        if message.event == "signal" {
            break message.data;
        }
    };
    assert_eq!(told["signal"], "typing", "that somebody looks is the desk's alone");
    for id in 2..=5 {
        writes(&maria, &channel, &id.to_string(), "again").await;
    }
    let refused = maria.post(&at(&channel, "messages"), json!({ "external_id": "6", "body": "again" })).await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    // Another browser at the same address is not a way around it.
    let other =
        visitor(&server, "other").post(&at(&channel, "messages"), json!({ "external_id": "1", "body": "x" })).await;
    other.problem(429, "rate_limited");
    assert_eq!(thread(&maria, &channel).await.len(), 5);
}

/// A picture of one colour.
fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(640, 480, image::Rgb([200, 120, 40]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

async fn sends(visitor: &Client, channel: &str, query: &str, bytes: impl Into<Vec<u8>>) -> Reply {
    let request = visitor.request(Method::POST, &at(channel, &format!("uploads?{query}")));
    visitor.send(request.header("content-type", "application/octet-stream").body(bytes.into())).await
}

#[tokio::test]
async fn a_visitor_sends_files_and_nobody_else_can_name_them() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server, "Shop").await;
    let (maria, paolo) = (visitor(&server, "maria"), visitor(&server, "paolo"));
    let config = server.client("").read(&at(&channel, "config")).await;
    assert_eq!((&config["files"], &config["max_file_bytes"]), (&json!(true), &json!(20 * 1024 * 1024)));

    // Before she has written anything; what it is its bytes tell. Sent twice it is there once.
    let door = sends(&maria, &channel, "external_id=f1&name=door.txt", picture()).await.expect(StatusCode::CREATED);
    assert_eq!((&door["media_type"], &door["name"]), (&json!("image/png"), &json!("door.txt")), "{door}");
    let again = sends(&maria, &channel, "external_id=f1&name=door.txt", picture()).await.expect(StatusCode::OK);
    assert_eq!(again["id"], door["id"]);
    sends(&maria, &channel, "external_id=f2&name=list.txt", "rye, wheat").await.expect(StatusCode::CREATED);
    sends(&maria, &channel, "external_id=f1&name=door.txt", "another").await.problem(409, "upload_exists");
    sends(&maria, &channel, "name=door.txt", "x").await.problem(422, "external_id_invalid");
    sends(&maria, &channel, "external_id=f3", "").await.problem(422, "upload_empty");
    sends(&maria, &channel, "external_id=f3", vec![b'x'; 20 * 1024 * 1024 + 1]).await.problem(413, "upload_too_large");
    sends(&server.client("dfv_short"), &channel, "external_id=f3", "x").await.problem(401, "visitor_token_invalid");

    // A message has them by the names that she gave them, and nobody else by any.
    let with = |files: Value| json!({ "external_id": "1", "files": files });
    let messages = at(&channel, "messages");
    let theft = paolo.post(&messages, with(json!(["f1"]))).await;
    assert_eq!(theft.problem(422, "visitor_file_unknown")["errors"][0]["pointer"], "/files/0");
    maria.post(&messages, with(json!(["f1", "f9"]))).await.problem(422, "visitor_file_unknown");
    let many: Vec<String> = (0..11).map(|file| format!("f{file}")).collect();
    maria.post(&messages, with(json!(many))).await.problem(422, "files_too_many");
    maria.post(&messages, with(json!([]))).await.problem(422, "body_empty");
    let sent = maria.post(&messages, with(json!(["f1", "f2"]))).await.expect(StatusCode::CREATED);
    let conversation = sent["conversation"].as_str().unwrap();

    // She sees them, and so does whoever has the address and nobody else.
    let read = maria.read(&messages).await;
    let (door, list) = (&read["data"][0]["attachments"][0], &read["data"][0]["attachments"][1]);
    assert_eq!((&list["name"], &list["size"], &list["thumbnail"]), (&json!("list.txt"), &json!(10), &Value::Null));
    assert_eq!(server.client("").get(list["url"].as_str().unwrap()).await.text, "rye, wheat");
    let small = server.client("").get(door["thumbnail"]["url"].as_str().unwrap()).await;
    assert_eq!((small.status, small.header("content-type")), (StatusCode::OK, "image/jpeg"));
    maria.get(&format!("/v1/uploads/{}/content", list["id"].as_str().unwrap())).await.problem(401, "key_invalid");
    let later = maria.read(&messages).await;
    assert_eq!(later["data"][0]["attachments"][1]["url"], list["url"], "the same all day");
    server.app.advance(std::time::Duration::from_secs(49 * 60 * 60));
    server.client("").get(list["url"].as_str().unwrap()).await.problem(404, "file_unknown");

    // The desk sees them as of any message, and answers with a file of its own.
    server.settle().await;
    let desk = admin.read(&format!("/v1/conversations/{conversation}/messages")).await;
    assert_eq!(desk["data"][0]["attachments"][0]["upload_id"], door["id"], "{desk}");
    let offer = admin.request(Method::POST, "/v1/uploads?name=offer.txt").body("2.40");
    let offer = admin.send(offer).await.expect(StatusCode::CREATED)["id"].clone();
    let mut follows = Screen::of(&maria, &at(&channel, "stream")).await;
    admin.run(&format!("/v1/conversations/{conversation}/claim"), json!({})).await;
    let answer = json!({ "body": "Our offer", "attachments": [{ "upload_id": offer, "name": "offer.txt" }] });
    admin.run(&format!("/v1/conversations/{conversation}/send_message"), answer).await;
    let heard = loop {
        let heard = follows.next().await.unwrap();
        if heard.event == "message" {
            break heard.data;
        }
    };
    assert_eq!(server.client("").get(heard["attachments"][0]["url"].as_str().unwrap()).await.text, "2.40");
}

#[tokio::test]
async fn files_count_for_more_than_words_when_somebody_floods() {
    let server = Server::with(&["--visitor-rate-limit", "12"]).await;
    let channel = channel(&server, "Shop").await;
    let maria = visitor(&server, "maria");
    for file in ["external_id=1", "external_id=2"] {
        sends(&maria, &channel, file, "x").await.expect(StatusCode::CREATED);
    }
    let refused = sends(&maria, &channel, "external_id=3", "x").await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    writes(&maria, &channel, "1", "words go on").await;
}
