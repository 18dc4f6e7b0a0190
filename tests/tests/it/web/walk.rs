//! The whole way of a chat, in two real browsers: a page of somebody else, a bot, the inbox, a ticket, and a server that is killed.

use deskfold_tests::{SECRET_KEY, Server};
use fantoccini::{key::Key, wd::WindowHandle};
use serde_json::json;

use super::{
    browser::signs_in,
    chat::Shop,
    chromium::{Chromium, Size},
    inbox::AGENT,
};
use crate::{
    ground::{crash::Node, program::home},
    org::browser::person,
    world::texts,
};

#[tokio::test]
async fn a_visitor_and_an_agent_go_all_the_way_and_a_killed_server_loses_and_doubles_nothing() {
    let server = Server::start().await;
    let admin = &server.admin;
    let home = home();
    let mut desk = Node::start(home.path(), "desk", &server.database.url, &["--secret-key", SECRET_KEY]).await;
    let base = desk.client("").base;

    // A bot asks first; Anna answers, and has a quick reply.
    let bot = admin.create("/v1/chatbots", json!({ "name": "Reception" })).await;
    let asks = json!({ "steps": [
        { "id": "hello", "type": "message", "text": "Good day!" },
        { "id": "topic", "type": "question", "text": "What is it about?", "answers": ["A price", "A person"] },
        { "id": "wait", "type": "forward_to_operator", "text": "One moment." },
    ] });
    admin.run(&format!("/v1/chatbots/{bot}/publish"), asks).await;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let channel = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Bakery" })).await;
    admin.run(&format!("/v1/channels/{channel}/add_operators"), json!({ "users": [anna_id] })).await;
    let rule = json!({ "rule": { "path_regex": "^/", "display": "show", "chatbot": bot } });
    admin.run(&format!("/v1/channels/{channel}/add_display_rule"), rule).await;
    admin.create("/v1/quick_replies", json!({ "name": "prices", "text": "A loaf is 3.50." })).await;
    let maria = json!({ "name": "Maria Rossi", "phone": "+420 777 123 456" });
    let maria = admin.create("/v1/contacts", maria).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let visitor = chromium.window(&server, Size::Wide).await;
    let mut anna = chromium.window(&server, Size::Wide).await;
    anna.base.clone_from(&base);
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/inbox").await;

    // A visitor on a page of another origin opens the chat; the bot asks.
    let shop = Shop::open(&base, &channel).await;
    visitor.goto(&shop).await;
    visitor.press(".launch").await;
    visitor.writes("Hello").await;
    let question = "What is it about?\n1. A price\n2. A person";
    // Where the answers are buttons they do not stand in the question too.
    let asked = |said: &[&'static str]| {
        said.iter().map(|words| if *words == question { "What is it about?" } else { words }).collect::<Vec<_>>()
    };
    visitor.reads(&["Hello", "Good day!", "What is it about?"]).await;
    visitor.writes("A price").await;
    let mut said = vec!["Hello", "Good day!", question, "A price", "One moment."];
    visitor.reads(&asked(&said)).await;

    // Anna takes it, and answers with a quick reply by its shortcut.
    anna.hits("#chats a").await;
    anna.has_said(&said).await;
    anna.hits("#take").await;
    anna.tells("#about", "Responsible: me").await;
    anna.types("#words", "pri").await;
    anna.tells("#offers", "A loaf is 3.50.").await;
    anna.key(&format!("{}{}", char::from(Key::Down), char::from(Key::Enter))).await;
    anna.sees("document.querySelector('#words').value === 'A loaf is 3.50.'").await;
    let enter = char::from(Key::Enter).to_string();
    anna.key(&enter).await;
    said.push("A loaf is 3.50.");
    visitor.reads(&asked(&said)).await;
    anna.has_said(&said).await;

    // She links the client by a phone number in another spelling.
    anna.types("#link-text", "00420777123456").await;
    anna.tells("#link-options", "Maria Rossi").await;
    anna.key(&format!("{}{}", char::from(Key::Down), char::from(Key::Enter))).await;
    anna.tells("#client-who", "Maria Rossi").await;

    // The server is killed while both write; a second tab says the same as the first, and nothing twice.
    let one = visitor.client.window().await.unwrap();
    let other = visitor.client.new_window(true).await.unwrap().handle;
    let at = async |tab: &WindowHandle| visitor.client.switch_to_window(tab.clone()).await.unwrap();
    at(&other).await;
    visitor.goto(&format!("{shop}/bread")).await;
    visitor.press(".launch").await;
    visitor.reads(&said).await;
    desk.kill();
    visitor.writes("Two, please").await;
    anna.tells("#lost", "The connection is lost").await;
    desk.run().await;
    said.push("Two, please");
    anna.sees("document.querySelector('#lost').hidden").await;
    anna.has_said(&said).await;
    visitor.reads(&said).await;
    at(&one).await;
    visitor.reads(&asked(&said)).await;

    // A ticket of it, with a way to it and back.
    anna.types("#words", &format!("/ticket Two loaves{enter}")).await;
    anna.sees("document.querySelector('a[href*=\"/records/tickets/\"]')").await;
    server.settle().await;
    let ticket = admin.read("/v1/tickets").await["data"][0].clone();
    assert_eq!((&ticket["title"], &ticket["requester_id"]), (&json!("Two loaves"), &json!(maria)));
    let told = admin.read(&format!("/v1/tickets/{}", ticket["id"].as_str().unwrap())).await;
    for words in &said {
        assert!(told["description"].as_str().unwrap().contains(words.lines().next().unwrap()), "{words}: {told}");
    }
    let chat = admin.read("/v1/conversations").await["data"][0].clone();
    assert_eq!(chat["ticket_ids"], json!([ticket["id"]]));
    let id = chat["id"].as_str().unwrap();
    assert_eq!(told["origin"], format!("conversations/{id}"), "{told}");

    // Closed; the visitor writes again, and it is open again by itself.
    anna.hits("#close-chat").await;
    anna.tells("#close-chat", "CLOSED").await;
    visitor.writes("And a cake").await;
    said.push("And a cake");
    visitor.reads(&asked(&said)).await;
    anna.tells("#close-chat", "Close").await;
    anna.has_said(&said).await;
    server.settle().await;
    let chat = admin.read(&format!("/v1/conversations/{id}")).await;
    assert_eq!((&chat["status"], &chat["reopened_count"]), (&json!("open"), &json!(1)), "{chat}");
    let messages = admin.read(&format!("/v1/conversations/{id}/messages?limit=100")).await;
    assert_eq!(texts(&messages, "body"), said);
    assert_eq!(admin.read("/v1/conversations").await["data"].as_array().unwrap().len(), 1);
}
