//! One customer by every door: who writes on a page, by mail and on Telegram is one contact, answered where he wrote.

use deskfold_tests::{
    PostOffice, Server,
    telegram::{TOKEN, Telegram},
    until,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    channels::connect,
    visitors::{at, visitor, writes},
};
use crate::world::{condition, filtered, texts};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_customer_writes_on_a_page_by_mail_and_on_telegram_and_is_answered_there() {
    let Some(office) = PostOffice::start(&["maria"]) else { return };
    let (telegram, address) = Telegram::start().await;
    let (smtp, telegram_url) = (format!("smtp+plain://127.0.0.1:{}", office.smtp), format!("http://{address}"));
    let arguments = ["--smtp-url", &smtp, "--telegram-url", &telegram_url, "--private-addresses"];
    let public = ["--public-url", "https://desk.example.com"];
    let server = Server::with(&[&arguments[..], &public].concat()).await;
    let client = &server.admin;
    client.run("/v1/tenants/current/set_alias_domain", json!({ "domain": "desk.example" })).await;
    let team = client.create("/v1/teams", json!({ "name": "Support" })).await;
    let page = client.create("/v1/channels", json!({ "kind": "live_chat", "name": "Shop" })).await;
    let bot = connect(client, "telegram", "Bot").await;
    client.put(&format!("/v1/channels/{bot}/credentials"), json!({ "secret": TOKEN })).await.expect(StatusCode::OK);
    server.settle().await;
    telegram.comes("setWebhook", 1).await;
    let (_, secret) = telegram.hook().unwrap();
    let of_team = client.read(&filtered("/v1/channels", &condition("team_id", "eq", &*team))).await;
    let mail = texts(&of_team, "id").remove(0);

    // On the page she says under which address she is reached; by mail she writes from it, and is known.
    let maria = visitor(&server, "maria");
    let first = json!({ "external_id": "1", "body": "Is the shop open?", "email": "maria@mail.example" });
    let first = maria.post(&at(&page, "messages"), first).await.expect(StatusCode::CREATED);
    let chat = first["conversation"].as_str().unwrap().to_owned();
    let raw = "From: Maria Rossi <maria@mail.example>\r\nTo: support@desk.example\r\nSubject: The display stays dark\r\n\
        Message-ID: <1@mail.example>\r\n\r\nSince Monday.\r\n";
    let brought = client.request(Method::POST, &format!("/v1/channels/{mail}/email"));
    client.send(brought.header("content-type", "message/rfc822").body(raw)).await.expect(StatusCode::CREATED);
    server.settle().await;
    let ticket = client.read("/v1/tickets").await["data"][0].clone();
    let contact = ticket["requester_id"].as_str().unwrap().to_owned();
    // On Telegram she is a number, until a colleague says who she is; from then on she is known there too.
    let hook = async |update: Value| {
        let anybody = server.client("");
        let request =
            anybody.request(Method::POST, &format!("/hooks/{bot}")).header("content-type", "application/json");
        let request = request.header("x-telegram-bot-api-secret-token", &*secret).body(update.to_string());
        anybody.send(request).await.expect(StatusCode::OK);
        server.settle().await;
    };
    hook(telegram.message(42, 1, &json!({ "text": "Hello from the train" }))).await;
    let chats = client.read(&filtered("/v1/conversations", &condition("medium", "eq", "telegram"))).await;
    let on_telegram = chats["data"][0]["id"].as_str().unwrap().to_owned();
    for conversation in [&chat, &on_telegram] {
        client.run(&format!("/v1/conversations/{conversation}/claim"), json!({})).await;
        client.post(&format!("/v1/conversations/{conversation}/link_contact"), json!({ "contact": contact })).await;
    }
    server.settle().await;
    let hers = client.read(&filtered("/v1/conversations", &condition("contact_id", "eq", &*contact))).await;
    assert_eq!(hers["data"].as_array().unwrap().len(), 2, "{hers}");

    // She is answered where she wrote.
    for conversation in [&chat, &on_telegram] {
        client.run(&format!("/v1/conversations/{conversation}/send_message"), json!({ "body": "Until six." })).await;
    }
    let id = ticket["id"].as_str().unwrap();
    client.run(&format!("/v1/tickets/{id}/reply"), json!({ "body": "Please hold the power key." })).await;
    server.settle().await;
    assert!(until(async || telegram.texts() == ["Until six."]).await, "{:?}", telegram.texts());
    assert!(until(async || office.mailbox("maria").len() == 1).await, "{}", office.log());
    assert!(office.mailbox("maria")[0].contains("Please hold the power key."));
    let read = maria.read(&at(&page, "messages")).await;
    assert_eq!(texts(&read, "body"), ["Is the shop open?", "Until six."]);
    // Whatever she says next, by whatever door, comes to the same places.
    writes(&maria, &page, "2", "Thank you").await;
    hook(telegram.message(42, 2, &json!({ "text": "I am late" }))).await;
    let threads = async |path: String| texts(&client.read(&path).await, "body");
    assert_eq!(threads(format!("/v1/conversations/{chat}/messages")).await.last().unwrap(), "Thank you");
    let by_telegram = threads(format!("/v1/conversations/{on_telegram}/messages")).await;
    assert!(by_telegram.len() == 3 && by_telegram.contains(&"I am late".to_owned()), "{by_telegram:?}");
    let feed = client.read(&format!("/v1/contacts/{contact}/feed?limit=100")).await.to_string();
    for said in ["Is the shop open?", "The display stays dark", "Hello from the train"] {
        assert!(feed.contains(said), "{said} is in her feed: {feed}");
    }
}
