//! The inbox in a real browser: what an agent does there all day, live, by mouse and by keyboard, on a desk and on a telephone.

use deskfold_tests::{Client, Server, root};
use fantoccini::{Locator, key::Key};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    browser::signs_in,
    chromium::{Chromium, Size, Window, is_its_turn},
};
use crate::{
    chat::outbox::{self, Program, Says},
    org::{auth::user_with, browser::person},
    world::{euros, texts},
};

/// What an agent may: all that the role has which a new tenant starts with, as far as chats need it.
pub(super) const AGENT: &[&str] = &[
    "conversation.*",
    "contact.*",
    "label.*",
    "quick_reply.*",
    "order.*",
    "ticket.*",
    "channel.read",
    "search.read",
    "upload.create",
    "upload.read:own",
    "user.read",
];

impl Window {
    /// Waits until this is true of the page.
    pub(super) async fn sees(&self, what: &str) {
        if !self.becomes(&format!("try {{ return Boolean({what}) }} catch {{ return false }}")).await {
            self.picture("inbox-wrong").await;
            panic!("not so: {what}\n{}\n{:?}", self.text("body").await, self.complaints().await);
        }
    }

    /// Waits until a part of the page says this.
    pub(super) async fn tells(&self, css: &str, text: &str) {
        let place = format!("document.querySelector({})", json!(css));
        self.sees(&format!("{place}.checkVisibility() && {place}.innerText.includes({})", json!(text))).await;
    }

    /// Clicks what is shown.
    pub(super) async fn hits(&self, css: &str) {
        self.sees(&format!("document.querySelector({})?.checkVisibility()", json!(css))).await;
        self.click(css).await;
    }

    pub(super) async fn types(&self, css: &str, text: &str) {
        self.sees(&format!("document.querySelector({})?.checkVisibility()", json!(css))).await;
        self.find(css).await.send_keys(text).await.unwrap();
    }

    /// Presses a key wherever the focus is.
    pub(super) async fn key(&self, key: &str) {
        self.client.active_element().await.unwrap().send_keys(key).await.unwrap();
    }

    /// Waits until the messages are these, in this order and each once.
    pub(super) async fn has_said(&self, messages: &[&str]) {
        let bodies = "[...document.querySelectorAll('#messages .body')].map((body) => body.textContent)";
        self.sees(&format!("JSON.stringify({bodies}) === {}", json!(json!(messages).to_string()))).await;
    }

    /// Waits until the list has these chats, in this order.
    pub(super) async fn lists(&self, names: &[&str]) {
        let shown = "[...document.querySelectorAll('#chats strong')].map((name) => name.textContent)";
        self.sees(&format!("JSON.stringify({shown}) === {}", json!(json!(names).to_string()))).await;
    }
}

/// The wire between browsers and the server, which can be cut.
struct Wire {
    base: String,
    whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: &Server) -> Wire {
        let desk = server.admin.base.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (whole, is_whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (desk, mut is_whole) = (desk.clone(), is_whole.clone());
                tokio::spawn(async move {
                    if !*is_whole.borrow_and_update() {
                        return;
                    }
                    let mut far = TcpStream::connect(desk).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_whole.changed() => {}
                    }
                });
            }
        });
        Wire { base, whole }
    }

    /// Breaks every connection and lets none through, or lets them through again.
    fn is_whole(&self, whole: bool) {
        self.whole.send(whole).unwrap();
    }
}

fn at(chat: &str, command: &str) -> String {
    format!("/v1/conversations/{chat}/{command}")
}

/// A channel, and a number for what comes in by it.
struct Shop<'a> {
    admin: &'a Client,
    channel: String,
}

impl Shop<'_> {
    async fn open<'a>(admin: &'a Client, kind: &str, name: &str, operators: &[&str]) -> Shop<'a> {
        let channel = admin.create("/v1/channels", json!({ "kind": kind, "name": name })).await;
        if !operators.is_empty() {
            admin.run(&format!("/v1/channels/{channel}/add_operators"), json!({ "users": operators })).await;
        }
        Shop { admin, channel }
    }

    /// Somebody writes; which conversation that is.
    async fn hears(&self, sender: &str, name: &str, body: &str) -> String {
        let external_id = format!("{sender} {body}");
        let said = json!({ "external_id": external_id, "sender": sender, "visitor": { "name": name }, "body": body });
        let taken = self.admin.post(&format!("/v1/channels/{}/messages", self.channel), said).await;
        assert!(taken.status.is_success(), "{}", taken.text);
        taken.json()["id"].as_str().unwrap().to_owned()
    }
}

/// Moves the messages that wait to be sent on, as a program would.
async fn left(admin: &Client, chat: &str) -> Vec<String> {
    let messages = admin.read(&at(chat, "messages?limit=1000")).await;
    let waiting = messages["data"].as_array().unwrap().iter().filter(|one| one["delivery"] == "queued");
    let ids: Vec<String> = waiting.map(|one| one["message_id"].as_str().unwrap().to_owned()).collect();
    for id in &ids {
        admin.run(&at(chat, "mark_message_sent"), json!({ "message_id": id })).await;
    }
    ids
}

#[tokio::test]
async fn an_agent_takes_answers_labels_orders_hands_over_and_closes() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let (boris_id, boris) = user_with(&server, "boris@example.com", AGENT).await;
    user_with(&server, "clara@example.com", AGENT).await;
    for (id, name) in [(&anna_id, "Anna Bianchi"), (&boris_id, "Boris")] {
        admin.run(&format!("/v1/users/{id}/change_profile"), json!({ "name": name })).await;
    }
    let shop = Shop::open(admin, "telegram", "Bakery", &[&anna_id, &boris_id]).await;
    let phone = json!({ "name": "Maria Rossi", "phone": "+420 777 123 456", "city": "Brno" });
    let maria = admin.create("/v1/contacts", phone).await;
    let bread = json!({ "name": "Rye bread", "quantity": "2", "price": euros("3.50") });
    admin.create("/v1/orders", json!({ "source": "storefront", "customer": maria, "items": [bread] })).await;
    let chat = shop.hears("@mary", "Mary", "Do you have rye?").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;

    // From every page one sees that something is unread, and comes to it.
    anna.tells("#unread .number", "1").await;
    anna.goto("/inbox").await;
    anna.lists(&["Mary"]).await;
    anna.tells("#chats .count-unread", "1").await;
    anna.tells("#chats .by", "Bakery").await;
    anna.hits("#chats a").await;
    anna.has_said(&["Do you have rye?"]).await;
    anna.tells("#about", "Bakery").await;
    anna.sees("!document.querySelector('#chats .count-unread') && document.querySelector('#unread').hidden").await;

    // Only who is responsible answers: she takes it.
    anna.tells("#cannot", "Take the chat to answer").await;
    anna.hits("#take").await;
    anna.tells("#about", "Responsible: me").await;
    anna.hits("#words").await;
    anna.key("Good day!").await;
    anna.key(&format!("{}{}{}", char::from(Key::Shift), char::from(Key::Enter), char::from(Key::Shift))).await;
    anna.key("We do.").await;
    anna.key(&char::from(Key::Enter).to_string()).await;
    anna.has_said(&["Do you have rye?", "Good day!\nWe do."]).await;
    anna.tells("#messages li:last-child .delivery", "Sending").await;
    server.settle().await;
    let message = left(admin, &chat).await.remove(0);
    anna.tells("#messages li:last-child .delivery", "Sent").await;
    admin.run(&at(&chat, "mark_message_delivered"), json!({ "message_id": message })).await;
    anna.tells("#messages li:last-child .delivery", "Delivered").await;
    admin.run(&at(&chat, "mark_message_read"), json!({ "message_id": message })).await;
    anna.tells("#messages li:last-child .delivery", "Read").await;

    // What the other side writes is there, and who types is shown.
    shop.hears("@mary", "Mary", "One, please").await;
    anna.has_said(&["Do you have rye?", "Good day!\nWe do.", "One, please"]).await;
    boris.post("/v1/inbox/signals", json!({ "conversation": chat, "signal": "typing" })).await;
    anna.tells("#typing", "Boris is typing").await;

    // A quick reply of hers: its label comes once the message is sent.
    anna.hits("#rocket").await;
    anna.hits("#reply-new").await;
    anna.types("#reply-name", "prices").await;
    anna.types("#reply-text", "A loaf is 3.50.").await;
    anna.types("#reply-label", "Price").await;
    anna.hits("#reply-asked [type=submit]").await;
    anna.sees("!document.querySelector('#reply-asked').open").await;
    anna.types("#words", "pri").await;
    anna.tells("#offers", "A loaf is 3.50.").await;
    anna.key(&format!("{}{}", char::from(Key::Down), char::from(Key::Enter))).await;
    anna.sees("document.querySelector('#words').value === 'A loaf is 3.50.'").await;
    anna.tells("#with-reply", "Price").await;
    anna.key(&char::from(Key::Enter).to_string()).await;
    anna.tells("#messages li:last-child .delivery", "Sending").await;
    server.settle().await;
    assert!(
        admin.read(&format!("/v1/conversations/{chat}")).await["label_names"] == json!([]),
        "not before it is sent"
    );
    left(admin, &chat).await;
    anna.tells("#client-labels", "Price").await;
    // She changes it, and has it no longer.
    anna.hits("#rocket").await;
    anna.hits("#replies-list button[aria-label^=Change]").await;
    anna.find("#reply-text").await.clear().await.unwrap();
    anna.types("#reply-text", "A loaf is 4.").await;
    anna.hits("#reply-asked [type=submit]").await;
    anna.sees("!document.querySelector('#reply-asked').open").await;
    anna.hits("#rocket").await;
    anna.tells("#replies-list", "A loaf is 4.").await;
    anna.hits("#replies-list button[aria-label^=Delete]").await;
    anna.client.accept_alert().await.unwrap();
    anna.tells("#replies-list", "There is no such quick reply").await;
    anna.key(&char::from(Key::Escape).to_string()).await;

    // Emoji, and files by picker, drop and paste: nothing leaves before she has said so.
    anna.hits("#smile").await;
    anna.hits("#faces button").await;
    anna.sees("document.querySelector('#words').value === '😀'").await;
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("list.txt");
    std::fs::write(&note, "rye").unwrap();
    let picker = anna.client.find(Locator::Css("#files")).await.unwrap();
    picker.send_keys(note.to_str().unwrap()).await.unwrap();
    anna.tells("#files-asked", "list.txt").await;
    anna.hits("#files-asked [data-leaves]").await;
    for how in ["drop", "paste"] {
        let given = format!(
            "const given = new DataTransfer(); given.items.add(new File(['rye'], '{how}.txt', {{ type: 'text/plain' }}));
             const event = '{how}' === 'drop' ? new DragEvent('drop', {{ dataTransfer: given, bubbles: true, cancelable: true }})
                 : new ClipboardEvent('paste', {{ clipboardData: given, bubbles: true, cancelable: true }});
             document.querySelector('#words').dispatchEvent(event);"
        );
        anna.run(&given).await;
        anna.tells("#files-asked", &format!("{how}.txt")).await;
        if how == "drop" {
            anna.hits("#files-asked [data-leaves]").await;
        }
    }
    server.settle().await;
    let messages = admin.read(&at(&chat, "messages")).await;
    assert_eq!(messages["data"].as_array().unwrap().len(), 4, "nothing was sent: {messages}");
    anna.hits("#files-asked [type=submit]").await;
    anna.tells("#messages li:last-child .file", "paste.txt").await;
    server.settle().await;
    let sent = admin.read(&at(&chat, "messages")).await["data"][4].clone();
    assert_eq!((&sent["body"], &sent["attachments"][0]["name"]), (&json!("😀"), &json!("paste.txt")));

    // Whom she speaks with: by a phone number in another spelling. A wrong one is taken back, a new one filled in.
    anna.types("#link-text", "00420777123456").await;
    anna.tells("#link-options", "Maria Rossi").await;
    anna.key(&format!("{}{}", char::from(Key::Down), char::from(Key::Enter))).await;
    anna.tells("#client-who", "Brno").await;
    anna.lists(&["Maria Rossi"]).await;
    server.settle().await;
    let linked = admin.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&linked["contact_id"], &linked["matched_by"]), (&json!(maria), &json!("phone")));
    let owner = admin.read(&format!("/v1/contacts/{maria}")).await["owner_id"].clone();
    assert_eq!(owner, json!(anna_id), "the contact is now hers");
    anna.hits("#client-who button").await;
    anna.tells("#client-who", "Nobody has said yet who this is").await;
    anna.types("#link-text", "ross").await;
    anna.tells("#link-options", "Maria Rossi").await;
    anna.key(&char::from(Key::Escape).to_string()).await;
    anna.hits("#client-who summary").await;
    anna.find("#hand-name").await.clear().await.unwrap();
    anna.types("#hand-name", "Mary Smith").await;
    anna.types("#hand-email", "mary@example.com").await;
    anna.hits("#client-who form [type=submit]").await;
    anna.tells("#client-who", "mary@example.com").await;
    anna.hits("#client-who button").await;
    anna.types("#link-text", "rossi").await;
    anna.hits("#link-options [role=option]").await;

    // Her orders, with items and sums, and a new one.
    anna.tells("#client-orders summary", "€7.00").await;
    anna.hits("#client-orders summary").await;
    anna.tells("#client-orders", "Rye bread").await;
    anna.hits("#client-orders .content > p button").await;
    anna.types("[data-item=name]", "Cake").await;
    anna.types("[data-item=price]", "12,50").await;
    anna.tells("#order-total", "€12.50").await;
    anna.hits("#order-asked [type=submit]").await;
    anna.tells("#client-orders", "€12.50").await;
    server.settle().await;
    let order = admin.read("/v1/orders").await["data"][0].clone();
    assert_eq!((&order["source"], &order["conversation_id"]), (&json!("chat"), &json!(chat)));
    assert_eq!((&order["customer_id"], &order["total"]), (&json!(maria), &euros("12.50")));

    // A label that nobody knew, and a note about the client.
    anna.types("#label-text", &format!("Regular{}", char::from(Key::Enter))).await;
    anna.tells("#client-labels", "Regular").await;
    anna.hits("#client-labels button[aria-label$=Price]").await;
    anna.sees("document.querySelector('#client-labels ul').innerText.trim() === 'Regular'").await;
    anna.types("#note-text", "Likes it warm").await;
    anna.hits("#client-notes [type=submit]").await;
    anna.tells("#client-notes li", "Likes it warm").await;
    anna.tells("#client-notes li", "Anna Bianchi").await;

    // Handed over, among those who have access: she cannot answer any more, and sees it at once.
    anna.types("#words", "I was about to").await;
    anna.hits("#assign").await;
    anna.tells("#assign-options", "Boris").await;
    anna.sees("!document.querySelector('#assign-options').innerText.includes('clara')").await;
    boris.run(&at(&chat, "assign"), json!({ "assignee": boris_id })).await;
    anna.tells("#cannot", "you can no longer answer. Now responsible: Boris").await;
    anna.sees("document.querySelector('#writing').hidden").await;
    boris.run(&at(&chat, "assign"), json!({ "assignee": anna_id })).await;
    anna.sees(
        "!document.querySelector('#writing').hidden && document.querySelector('#words').value === 'I was about to'",
    )
    .await;

    // Closed, and open again by itself.
    anna.hits("#close-chat").await;
    anna.tells("#close-chat", "CLOSED").await;
    anna.tells("#cannot", "This chat is closed").await;
    anna.lists(&[]).await;
    shop.hears("@mary", "Mary", "Thanks!").await;
    anna.tells("#close-chat", "Close").await;
    anna.lists(&["Maria Rossi"]).await;
    anna.tells("#messages li:last-child", "Thanks!").await;
    assert_eq!(anna.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_slash_makes_a_ticket_of_what_was_said_and_each_leads_to_the_other() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let shop = Shop::open(admin, "telegram", "Bakery", &[&anna_id]).await;
    let chat = shop.hears("@mary", "Mary", "The oven is cold").await;
    let maria = admin.create("/v1/contacts", json!({ "name": "Maria Rossi" })).await;
    admin.run(&at(&chat, "assign"), json!({ "assignee": anna_id })).await;
    admin.run(&at(&chat, "link_contact"), json!({ "contact": maria })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto(&format!("/inbox?chat={chat}")).await;
    anna.has_said(&["The oven is cold"]).await;
    anna.types("#words", "/ti").await;
    anna.tells("#offers", "Make a ticket of it").await;
    anna.types("#words", &format!("cket Cold oven{}", char::from(Key::Enter))).await;
    anna.tells("#client-tickets a", "Cold oven").await;
    anna.sees("document.querySelector('#words').value === ''").await;
    server.settle().await;
    let tickets = admin.read("/v1/tickets").await;
    let ticket = &tickets["data"][0];
    assert_eq!((&ticket["title"], &ticket["requester_id"]), (&json!("Cold oven"), &json!(maria)), "{ticket}");
    let told = admin.read(&format!("/v1/tickets/{}", ticket["id"].as_str().unwrap())).await;
    assert!(told.to_string().contains("The oven is cold"), "{told}");
    let shown = admin.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!(shown["ticket_ids"], json!([ticket["id"]]));
    anna.has_said(&["The oven is cold"]).await;

    // Once more, by the button: nothing was said since.
    anna.hits("#client-tickets button").await;
    anna.tells("#fault", "Nothing was said since the last ticket").await;
    anna.hits("#client-tickets a").await;
    anna.tells("h1", "Cold oven").await;
    anna.sees(&format!("document.querySelector('a[href$=\"/conversations/{chat}\"], a[href*=\"chat={chat}\"]')")).await;
}

#[tokio::test]
async fn what_may_have_left_or_not_is_sent_once_more_only_when_somebody_says_so() {
    let (program, address) = Program::start().await;
    let server = Server::with(&["--private-addresses", "--send-timeout=500ms"]).await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let channel = outbox::channel(admin, address, json!({})).await;
    admin.run(&format!("/v1/channels/{channel}/add_operators"), json!({ "users": [anna_id] })).await;
    let shop = Shop { admin, channel };
    let chat = shop.hears("mary", "Mary", "Is there rye?").await;
    admin.run(&at(&chat, "assign"), json!({ "assignee": anna_id })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto(&format!("/inbox?chat={chat}")).await;
    program.says([Says::Nothing]);
    anna.types("#words", &format!("Two left{}", char::from(Key::Enter))).await;
    anna.tells("#messages li:last-child .delivery", "Perhaps not sent").await;
    anna.sees("document.querySelector('#chats .warns') && !document.querySelector('[data-flag=uncertain]').hidden")
        .await;
    assert_eq!(program.texts(), ["Two left"]);
    anna.hits("#messages li:last-child .foot button").await;
    anna.tells("#messages li:last-child .delivery", "Sent").await;
    anna.has_said(&["Is there rye?", "Two left"]).await;
    anna.sees("!document.querySelector('#chats .warns')").await;
    assert_eq!(program.texts(), ["Two left", "Two left"]);
}

#[tokio::test]
async fn a_reload_a_lost_connection_and_a_second_tab_lose_and_double_nothing() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let shop = Shop::open(admin, "telegram", "Bakery", &[&anna_id]).await;
    let chat = shop.hears("@mary", "Mary", "one").await;
    admin.run(&at(&chat, "assign"), json!({ "assignee": anna_id })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let wire = Wire::to(&server).await;
    let mut anna = chromium.window(&server, Size::Wide).await;
    anna.base = wire.base.clone();
    signs_in(&anna, "anna@example.com").await;
    anna.goto(&format!("/inbox?chat={chat}")).await;
    anna.has_said(&["one"]).await;
    anna.sees("document.querySelector('#lost').hidden").await;

    wire.is_whole(false);
    anna.tells("#lost", "The connection is lost").await;
    shop.hears("@mary", "Mary", "two").await;
    anna.types("#words", &format!("mine{}", char::from(Key::Enter))).await;
    anna.tells("#messages li:last-child .delivery", "Not sent").await;
    wire.is_whole(true);
    anna.sees("document.querySelector('#lost').hidden").await;
    anna.has_said(&["one", "two", "mine"]).await;
    anna.hits("#messages li:last-child .foot button").await;
    anna.tells("#messages li:last-child .delivery", "Sending").await;
    anna.has_said(&["one", "two", "mine"]).await;
    server.settle().await;
    let messages = admin.read(&at(&chat, "messages")).await;
    assert_eq!(texts(&messages, "body"), ["one", "two", "mine"]);

    // A second tab says the same, and what is not sent yet is kept where it was written.
    anna.types("#words", "not yet").await;
    anna.goto(&format!("/inbox?chat={chat}")).await;
    anna.has_said(&["one", "two", "mine"]).await;
    anna.sees("document.querySelector('#words').value === 'not yet'").await;
    let one = anna.client.window().await.unwrap();
    let other = anna.client.new_window(true).await.unwrap().handle;
    anna.client.switch_to_window(other).await.unwrap();
    anna.goto(&format!("/inbox?chat={chat}")).await;
    anna.has_said(&["one", "two", "mine"]).await;
    shop.hears("@mary", "Mary", "three").await;
    anna.has_said(&["one", "two", "mine", "three"]).await;
    anna.client.switch_to_window(one).await.unwrap();
    anna.has_said(&["one", "two", "mine", "three"]).await;

    // A long one is read from its end, and further as one goes back.
    let long = shop.hears("@paul", "Paul", "0").await;
    for number in 1..60 {
        shop.hears("@paul", "Paul", &number.to_string()).await;
    }
    server.settle().await;
    anna.goto(&format!("/inbox?chat={long}")).await;
    anna.sees("document.querySelector('#messages li:last-child .body').textContent === '59'").await;
    anna.sees("document.querySelectorAll('#messages li').length === 50").await;
    anna.run("document.querySelector('#scroll').scrollTop = 0").await;
    anna.sees("document.querySelector('#messages li .body').textContent === '0'").await;
    anna.sees("document.querySelectorAll('#messages li').length === 60").await;
}

#[tokio::test]
async fn the_list_is_narrowed_by_all_that_matters_says_how_many_there_are_and_is_searched() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let (boris_id, boris) = user_with(&server, "boris@example.com", AGENT).await;
    let telegram = Shop::open(admin, "telegram", "Bakery", &[&anna_id, &boris_id]).await;
    let whatsapp = Shop::open(admin, "whatsapp", "Mill", &[&anna_id, &boris_id]).await;
    let ada = telegram.hears("@ada", "Ada", "Is there rye?").await;
    let bela = telegram.hears("@bela", "Bela", "Good day").await;
    let cyril = whatsapp.hears("420777", "Cyril", "When do you open?").await;
    let dora = whatsapp.hears("420778", "Dora", "Thanks").await;
    admin.run(&at(&ada, "assign"), json!({ "assignee": anna_id })).await;
    admin.run(&at(&bela, "assign"), json!({ "assignee": boris_id })).await;
    boris.run(&at(&bela, "mark_read"), json!({})).await;
    boris.run(&at(&bela, "send_message"), json!({ "body": "Good day to you" })).await;
    admin.run(&at(&cyril, "label"), json!({ "name": "Hours" })).await;
    let contact = admin.create("/v1/contacts", json!({ "name": "Ada Lovelace" })).await;
    admin.run(&at(&ada, "link_contact"), json!({ "contact": contact })).await;
    admin.run(&at(&dora, "close"), json!({})).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/inbox").await;
    anna.lists(&["Bela", "Cyril", "Ada Lovelace"]).await;

    // States and flags, with how many they leave.
    for (button, count) in [
        ("[data-state=open]", "3"),
        ("[data-state=closed]", "1"),
        ("[data-state=all]", "4"),
        ("[data-flag=unread]", "2"),
        ("[data-flag=unanswered]", "2"),
        ("[data-flag=mine]", "1"),
        ("[data-flag=nobody]", "1"),
    ] {
        anna.sees(&format!("document.querySelector('{button} .count').textContent === '{count}'")).await;
    }
    for (button, left) in [
        ("[data-state=closed]", &["Dora"][..]),
        ("[data-state=all]", &["Bela", "Dora", "Cyril", "Ada Lovelace"]),
        ("[data-state=open]", &["Bela", "Cyril", "Ada Lovelace"]),
        ("[data-flag=unread]", &["Cyril", "Ada Lovelace"]),
        ("[data-flag=mine]", &["Ada Lovelace"]),
        ("[data-flag=mine]", &["Cyril", "Ada Lovelace"]),
        ("[data-flag=unread]", &["Bela", "Cyril", "Ada Lovelace"]),
        ("[data-flag=nobody]", &["Cyril"]),
        ("[data-flag=nobody]", &["Bela", "Cyril", "Ada Lovelace"]),
        ("[data-flag=unanswered]", &["Cyril", "Ada Lovelace"]),
        ("[data-flag=unanswered]", &["Bela", "Cyril", "Ada Lovelace"]),
    ] {
        anna.hits(button).await;
        anna.lists(left).await;
    }

    // Colleague, channel and client behind one switch, labels behind another.
    anna.hits("#filters-switch").await;
    for (choice, option, left) in [
        ("who", "boris@example.com (1)", &["Bela"][..]),
        ("who", "Anybody (3)", &["Bela", "Cyril", "Ada Lovelace"]),
        ("channel", "Mill (1)", &["Cyril"]),
        ("channel", "Telegram (2)", &["Bela", "Ada Lovelace"]),
        ("channel", "Any channel (3)", &["Bela", "Cyril", "Ada Lovelace"]),
        ("linked", "Linked to a client (1)", &["Ada Lovelace"]),
        ("linked", "Not linked (2)", &["Bela", "Cyril"]),
    ] {
        let select = format!("#filter-{choice}");
        anna.tells(&select, option).await;
        anna.run(&format!("document.querySelector('{select}').focus()")).await;
        anna.find(&select).await.select_by_label(option).await.unwrap();
        anna.run("document.activeElement.blur()").await;
        anna.lists(left).await;
    }
    anna.sees("location.search === '?linked=no'").await;
    anna.goto("/inbox?linked=no").await;
    anna.lists(&["Bela", "Cyril"]).await;
    anna.hits("#filters-switch").await;
    anna.hits("#filters-clear").await;
    anna.lists(&["Bela", "Cyril", "Ada Lovelace"]).await;
    anna.hits("#labels-switch").await;
    anna.tells("#labels-filter .tag", "Hours").await;
    anna.tells("#labels-filter .count", "1").await;
    anna.hits("#labels-filter button").await;
    anna.lists(&["Cyril"]).await;
    anna.hits("#labels-filter [aria-pressed=true]").await;

    // Words that were written, and after an @ whom it is with.
    anna.types("#find-text", "open").await;
    anna.lists(&["Cyril"]).await;
    anna.find("#find-text").await.clear().await.unwrap();
    anna.types("#find-text", "@love").await;
    anna.lists(&["Ada Lovelace"]).await;
    anna.find("#find-text").await.clear().await.unwrap();
    anna.types("#find-text", "@rye").await;
    anna.lists(&[]).await;
    anna.tells("#none", "No chat fits").await;
    assert_eq!(anna.complaints().await, Vec::<String>::new());
}

#[test]
fn the_page_hears_whatever_happens_in_a_chat() {
    let script = std::fs::read_to_string(root().join("web/assets/inbox.js")).unwrap();
    let events = script.lines().find(|line| line.starts_with("const EVENTS")).expect("the names of what is heard");
    for event in
        domain::catalogue::event_types().filter_map(|event| event.strip_prefix("conversation.").map(str::to_owned))
    {
        assert!(events.contains(&format!("\"{event}\"")), "{event} is not heard");
    }
}

/// How many chats the large desk has besides the one that was written in: at five times as many all is as quick, and filling them in takes a minute.
const MANY: i32 = 20_000;

#[tokio::test]
async fn of_many_chats_only_what_is_seen_is_loaded() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let shop = Shop::open(admin, "telegram", "Bakery", &[&anna_id]).await;
    let chat = shop.hears("@mary", "Mary", "Do you have rye?").await;
    server.settle().await;
    // The same again and again, each a minute older, as the read model has it: one in ten is open.
    let copies = "insert into read_conversations
        select (jsonb_populate_record(t, jsonb_build_object('id', lpad(n::text, 26, '0'), 'active_at', t.active_at - n * interval '1 minute',
            'visitor', jsonb_build_object('name', 'Visitor ' || n), 'status', case n % 10 when 0 then 'open' else 'closed' end,
            'unread', n % 10 = 0 and n % 3 = 0, 'last_message', 'Message ' || n))).*
        from read_conversations t cross join generate_series(1, $2) n where t.id = $1";
    sqlx::query(copies).bind(&chat).bind(MANY).execute(&server.database.pool).await.unwrap();
    sqlx::query("analyze").execute(&server.database.pool).await.unwrap();
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/inbox?state=all").await;
    anna.sees("document.querySelector('[data-state=all] .count').textContent === '20001'").await;
    anna.sees("document.querySelector('[data-state=open] .count').textContent === '2001'").await;
    anna.sees("document.querySelectorAll('#chats li').length === 40").await;
    anna.run("document.querySelector('#list').scrollTop = 1e6").await;
    anna.sees("document.querySelectorAll('#chats li').length === 80").await;
    // How long each request of the page took, for whoever asks.
    let taken = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/')).map((one) => \
        `${Math.round(one.duration)} ms ${decodeURIComponent(one.name).slice(0, 160)}`).join('\\n')";
    eprintln!("{}", anna.run(taken).await.as_str().unwrap());

    // What happens goes to its place, without reading the list anew.
    anna.run("performance.clearResourceTimings()").await;
    shop.hears("@mary", "Mary", "Hello?").await;
    anna.sees("document.querySelector('#chats li:first-child').textContent.includes('Hello?')").await;
    anna.sees("document.querySelectorAll('#chats li').length === 80").await;
    let pages = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('limit=40')).length";
    assert_eq!(anna.run(pages).await, json!(0));
    anna.types("#find-text", "@Visitor 17777").await;
    anna.lists(&["Visitor 17777"]).await;
    eprintln!("{}", anna.run(taken).await.as_str().unwrap());
}

#[tokio::test]
async fn it_is_used_by_keyboard_and_shows_only_what_one_may_see_and_do() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let own = ["conversation.*:own", "channel.read", "user.read"];
    let (boris_id, _) = person(&server, "boris@example.com", &own).await;
    let (_, clara) = person(&server, "clara@example.com", &["ticket.read"]).await;
    assert_eq!(clara.get("/inbox").await.status, StatusCode::NOT_FOUND);
    assert!(!clara.get("/").await.text.contains("/inbox"), "nobody is led where he may not go");
    let hers = Shop::open(admin, "telegram", "Bakery", &[&anna_id]).await;
    let his = Shop::open(admin, "telegram", "Mill", &[&anna_id, &boris_id]).await;
    hers.hears("@ada", "Ada", "Is there rye?").await;
    let bela = his.hears("@bela", "Bela", "Is there flour?").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/inbox").await;
    anna.lists(&["Bela", "Ada"]).await;

    // Down, down, take, reply, leave, close; and what the keys do.
    let body = anna.find("body").await;
    body.send_keys("j").await.unwrap();
    anna.tells("#whom", "Bela").await;
    anna.find("body").await.send_keys("j").await.unwrap();
    anna.tells("#whom", "Ada").await;
    anna.find("body").await.send_keys("t").await.unwrap();
    anna.sees("!document.querySelector('#writing').hidden").await;
    anna.find("body").await.send_keys("r").await.unwrap();
    anna.sees("document.activeElement.id === 'words'").await;
    anna.key("jx").await;
    anna.sees("document.querySelector('#words').value === 'jx'").await;
    anna.key(&char::from(Key::Escape).to_string()).await;
    anna.sees("document.activeElement.id === 'thread'").await;
    anna.key("?").await;
    anna.tells("#keys-asked", "Next chat").await;
    anna.hits("#keys-asked [type=submit]").await;
    anna.key("x").await;
    anna.tells("#close-chat", "CLOSED").await;

    // Boris sees what is in his channel, until he is let go.
    let boris = chromium.window(&server, Size::Wide).await;
    signs_in(&boris, "boris@example.com").await;
    boris.goto(&format!("/inbox?chat={bela}")).await;
    boris.lists(&["Bela"]).await;
    boris.has_said(&["Is there flour?"]).await;
    boris.sees("document.querySelector('#rocket').hidden && document.querySelector('#client-orders').hidden").await;
    admin.run(&format!("/v1/channels/{}/remove_operator", his.channel), json!({ "user": boris_id })).await;
    boris.lists(&[]).await;
    boris.sees("document.querySelector('#open').hidden").await;
}

#[tokio::test]
async fn threads_are_read_from_either_end() {
    let server = Server::start().await;
    let client = &server.admin;
    let chat = client.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    let ticket = client.create("/v1/tickets", json!({ "title": "Oven" })).await;
    for number in 0..5 {
        client.run(&at(&chat, "receive_message"), json!({ "body": number.to_string() })).await;
        client.run(&format!("/v1/tickets/{ticket}/add_note"), json!({ "body": number.to_string() })).await;
    }
    server.settle().await;
    let threads = [at(&chat, "messages"), format!("/v1/tickets/{ticket}/thread")];
    for path in &threads {
        let mut read = Vec::new();
        let mut next = Some(format!("{path}?newest=true&limit=2"));
        while let Some(page) = next {
            let page = client.read(&page).await;
            read.extend(texts(&page, "body"));
            next = page["next"].as_str().map(ToOwned::to_owned);
        }
        assert_eq!(read, ["4", "3", "2", "1", "0"], "{path}");
        let position = client.read("/v1/events").await["position"].clone();
        let then = client.read(&format!("{path}?newest=true&as_of={position}")).await;
        assert_eq!(texts(&then, "body"), ["4", "3", "2", "1", "0"], "{path}, as it was");
        client.get(&format!("{path}?newest=perhaps")).await.problem(422, "parameter_invalid");
    }
}

#[tokio::test]
async fn every_state_of_the_inbox_is_for_everybody() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    admin.run(&format!("/v1/users/{anna_id}/change_profile"), json!({ "name": "Anna Bianchi" })).await;
    let Some(chromium) = Chromium::start().await else { return };
    for size in [Size::Wide, Size::Phone] {
        let wire = Wire::to(&server).await;
        let mut anna = chromium.window(&server, size).await;
        anna.base = wire.base.clone();
        signs_in(&anna, "anna@example.com").await;
        anna.goto("/inbox").await;
        if matches!(size, Size::Wide) {
            anna.tells("#none", "There is no chat yet").await;
            fitting(&anna, "empty", size).await;
            let telegram = Shop::open(admin, "telegram", "Bakery", &[&anna_id]).await;
            let whatsapp = Shop::open(admin, "whatsapp", "Mill in the valley", &[&anna_id]).await;
            busy(admin, &telegram, &whatsapp, &anna_id).await;
            server.settle().await;
            anna.goto("/inbox").await;
        }
        anna.sees("document.querySelectorAll('#chats li').length > 10").await;
        fitting(&anna, "list", size).await;
        anna.hits("#filters-switch").await;
        anna.hits("#labels-switch").await;
        anna.tells("#labels-filter", "VIP").await;
        fitting(&anna, "filters", size).await;
        anna.hits("#filters-switch").await;
        anna.hits("#labels-switch").await;
        anna.hits("#chats li:first-child a").await;
        anna.tells("#whom", "Maria Rossi").await;
        anna.sees("document.querySelector('#messages .foot')").await;
        if matches!(size, Size::Phone) {
            anna.hits("#to-client").await;
            anna.tells("#client-orders", "€7.00").await;
            fitting(&anna, "client", size).await;
            anna.hits("#to-thread").await;
        } else {
            anna.tells("#client-orders", "€7.00").await;
        }
        fitting(&anna, "thread", size).await;
        for (button, name) in [("#rocket", "replies"), ("#smile", "faces")] {
            anna.hits(button).await;
            fitting(&anna, name, size).await;
            anna.key(&char::from(Key::Escape).to_string()).await;
        }
        anna.hits("#assign").await;
        anna.sees("document.querySelectorAll('#assign-options [role=option]').length > 0").await;
        fitting(&anna, "assign", size).await;
        anna.key(&format!("{0}{0}", char::from(Key::Escape))).await;
        anna.run(
            "const given = new DataTransfer(); given.items.add(new File(['rye'], 'A list of what we need for Saturday.txt'));
             document.querySelector('#words').dispatchEvent(new ClipboardEvent('paste', { clipboardData: given, bubbles: true }))",
        )
        .await;
        anna.sees("document.querySelector('#files-asked').open").await;
        fitting(&anna, "files", size).await;
        anna.hits("#files-asked [data-leaves]").await;
        anna.run("document.querySelector('#client-orders .content > p button').click()").await;
        fitting(&anna, "order", size).await;
        anna.hits("#order-asked [data-leaves]").await;
        anna.types("#words", "pri").await;
        anna.tells("#offers", "A loaf").await;
        fitting(&anna, "offers", size).await;
        anna.find("#words").await.clear().await.unwrap();
        anna.run("document.documentElement.dir = 'rtl'").await;
        fitting(&anna, "rtl", size).await;
        anna.run("document.documentElement.dir = 'ltr'").await;
        for (state, what) in [("closed", "This chat is closed"), ("all&who=nobody", "Take the chat")] {
            anna.goto(&format!("/inbox?state={state}")).await;
            anna.hits("#chats li:last-child a").await;
            anna.tells("#cannot", what).await;
            fitting(&anna, if state == "closed" { "closed" } else { "untaken" }, size).await;
        }
        wire.is_whole(false);
        anna.tells("#lost", "The connection is lost").await;
        fitting(&anna, "lost", size).await;
        wire.is_whole(true);
        anna.goto("/inbox").await;
        if matches!(size, Size::Wide) {
            anna.find("body").await.send_keys("?").await.unwrap();
            fitting(&anna, "keys", size).await;
        }
    }
}

/// A desk with chats in every state.
async fn busy(admin: &Client, telegram: &Shop<'_>, whatsapp: &Shop<'_>, anna: &str) {
    for (number, (name, words)) in [
        ("Oleksandr Kovalenko", "Доброго дня! Чи є у вас житній хліб на завтра?"),
        ("مريم", "هل لديكم خبز طازج اليوم؟"),
        ("Jonas Petrauskas", "Ar galite pristatyti į namus?"),
        ("Ada Lovelace", "Thanks, that was quick"),
        (
            "Bela Bartók",
            "I would like to order two large cakes for Saturday afternoon, with candles, and have them delivered",
        ),
        ("Cyril", "?"),
    ]
    .iter()
    .cycle()
    .take(12)
    .enumerate()
    {
        let shop = if number % 2 == 0 { telegram } else { whatsapp };
        let chat = shop.hears(&format!("sender{number}"), name, words).await;
        match number % 4 {
            0 => drop(admin.run(&at(&chat, "assign"), json!({ "assignee": anna })).await),
            1 => drop(admin.run(&at(&chat, "label"), json!({ "name": "VIP" })).await),
            _ => {}
        }
    }
    for label in ["Complaint", "Wholesale"] {
        admin.create("/v1/labels", json!({ "name": label, "color": "#d55e00", "preset": true })).await;
    }
    let over = telegram.hears("over", "Paul", "Bye").await;
    admin.run(&at(&over, "close"), json!({})).await;
    let maria =
        json!({ "name": "Maria Rossi", "phone": "+420 777 123 456", "email": "maria@example.com", "city": "Brno" });
    let maria = admin.create("/v1/contacts", maria).await;
    admin
        .run(&format!("/v1/contacts/{maria}/add_note"), json!({ "text": "Likes it warm; calls in the morning" }))
        .await;
    let bread = json!({ "name": "Rye bread", "quantity": "2", "price": euros("3.50") });
    admin.create("/v1/orders", json!({ "source": "storefront", "customer": maria, "items": [bread] })).await;
    admin.create("/v1/quick_replies", json!({ "name": "hello", "text": "Good day, how can we help?" })).await;
    admin
        .create(
            "/v1/quick_replies",
            json!({ "name": "prices", "text": "A loaf is 3.50, a large one 5.20, and delivery is free from 20 on." }),
        )
        .await;
    let chat = whatsapp.hears("maria", "Maria", "Good day! Do you have rye bread? https://example.com/rye").await;
    admin.run(&at(&chat, "assign"), json!({ "assignee": anna })).await;
    admin.run(&at(&chat, "link_contact"), json!({ "contact": maria, "matched_by": "phone" })).await;
    admin.run(&at(&chat, "label"), json!({ "name": "VIP" })).await;
    for (body, reports) in [
        ("Good day, how can we help?", &["sent", "read"][..]),
        ("We do, fresh from the oven:\n– rye\n– wheat", &["delivered"]),
        ("Shall we keep one for you?", &["sent"]),
        ("It is 3.50.", &["failed"]),
        ("See you soon!", &[]),
    ] {
        let sent = admin.post(&at(&chat, "send_message"), json!({ "body": body })).await.expect(StatusCode::OK);
        for report in reports {
            let mut told = json!({ "message_id": sent["events"][0]["data"]["message_id"] });
            if *report == "failed" {
                told["error"] = json!("number unknown");
            }
            admin.run(&at(&chat, &format!("mark_message_{report}")), told).await;
        }
    }
    whatsapp.hears("maria", "Maria", "Two, please").await;
}

/// Light and dark, the page has no barriers, and nothing is wider than the window.
async fn fitting(window: &Window, name: &str, size: Size) {
    for theme in ["light", "dark"] {
        window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
        window.picture(&format!("inbox-{name}-{size:?}-{theme}")).await;
        if is_its_turn(name.len(), size, theme) {
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{name}, {theme}, {size:?}: {barriers:#?}");
        }
    }
    window.run("document.documentElement.dataset.theme = 'light'").await;
    assert!(!window.overflows().await, "{name} is wider than the window: {size:?}");
    let complaints: Vec<String> = window.complaints().await;
    let own: Vec<&String> = complaints.iter().filter(|line| !line.contains("net::ERR_")).collect();
    assert!(own.is_empty(), "{name}: {own:#?}");
}
