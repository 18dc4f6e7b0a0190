//! What a visitor meets before and after a chat, in a real browser: questions, a proof, answers as buttons, a closed door, and the way home.

use deskfold_tests::Server;
use serde_json::{Value, json};

use super::{
    browser::signs_in,
    chat::{Shop, bakery, is_present, looks},
    chromium::{Chromium, Size},
    inbox::AGENT,
};
use crate::{org::browser::person, world::texts};

#[tokio::test]
async fn whoever_is_asked_first_answers_chooses_and_takes_the_chat_home() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    let shop = Shop::open(&server.admin.base, &channel).await;
    is_present(&anna, &user, "online").await;
    let of_channel = async |command: &str, body: Value| {
        anna.run(&format!("/v1/channels/{channel}/{command}"), body).await;
    };
    let questions = json!([
        { "key": "name", "type": "name" },
        { "key": "email", "type": "email", "required": true },
        { "key": "phone", "type": "phone" },
        { "key": "order", "type": "text", "label": "Which order is it about?", "required": true },
    ]);
    of_channel("ask_before", json!({ "questions": questions })).await;
    of_channel("change_protection", json!({ "proof_of_work": 12 })).await;
    let script = json!({ "steps": [
        { "id": "topic", "type": "question", "text": "What is it about?", "answers": ["A price", "Something else altogether"] },
        { "id": "bye", "type": "message", "text": "One moment, please." },
    ] });
    let bot = anna.create("/v1/chatbots", json!({ "name": "Reception" })).await;
    anna.run(&format!("/v1/chatbots/{bot}/publish"), script).await;
    of_channel("add_display_rule", json!({ "rule": { "chatbot": bot } })).await;
    looks(&anna, &channel, json!({ "greeting": "Ask us about bread.", "color": "#0b6b5d" })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let mut chats: Vec<String> = Vec::new();
    for (size, scheme, language) in [(Size::Wide, "light", "en"), (Size::Phone, "dark", "uk")] {
        let window = chromium.window(&server, size).await;
        let looked_at = async |name: &str| {
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{name}, {scheme}, {size:?}: {barriers:#?}");
            assert!(!window.overflows().await, "{name}, {size:?}");
            window.picture(&format!("guest-{name}-{size:?}-{scheme}")).await;
        };
        window.goto(&format!("{shop}/?scheme={scheme}&language={language}")).await;
        window.press(".launch").await;
        window.part(".pre").await;
        looked_at("questions").await;
        assert_eq!(window.kept().await["here"], json!({}), "nothing is kept before the first message");

        // What must be answered is, and nothing that was written is lost meanwhile.
        window.writes("Where is it?").await;
        window
            .holds("root.activeElement.id === 'ask-email' && root.querySelector('#ask-email-wrong').textContent")
            .await;
        window.holds("root.querySelector('#ask-order').ariaInvalid === 'true'").await;
        looked_at("unanswered").await;
        for (field, words) in [("email", "maria@example.com"), ("phone", "call me"), ("order", "№ 7")] {
            window.part(&format!("#ask-{field}")).await.send_keys(words).await.unwrap();
        }
        window.press(".send").await;
        // Of numbers the server knows more than the page.
        window
            .holds("root.activeElement.id === 'ask-phone' && root.querySelector('#ask-phone-wrong').textContent")
            .await;
        window.holds("root.querySelector('.text').value === 'Where is it?'").await;
        window.part("#ask-phone").await.clear().await.unwrap();
        window.press(".send").await;
        window.reads(&["Where is it?"]).await;
        window.holds("root.querySelector('.pre').hidden && root.querySelector('.notice').hidden").await;
        server.settle().await;
        let found = texts(&anna.read("/v1/conversations").await, "id");
        let chat = found.into_iter().find(|id| !chats.contains(id)).expect("a conversation began");
        chats.push(chat.clone());
        let seen = anna.read(&format!("/v1/conversations/{chat}")).await;
        let answers: Vec<_> = seen["answers"].as_array().unwrap().iter().map(|one| one["answer"].clone()).collect();
        assert_eq!(answers, ["Maria", "maria@example.com", "№ 7"]);

        // The bot's answers are buttons, and not said twice.
        window.reads(&["Where is it?", "What is it about?"]).await;
        window.holds("root.querySelectorAll('.offered button').length === 2").await;
        looked_at("choices").await;
        window.press(".offered button:last-child").await;
        server.settle().await;
        let all = ["Where is it?", "What is it about?", "Something else altogether", "One moment, please."];
        window.holds("root.querySelector('.offered').hidden").await;
        window
            .holds(&format!(
                "[...root.querySelectorAll('li:not(.greeting) .body')].at(-1).textContent === {}",
                json!(all[3])
            ))
            .await;

        // Kept out, and let in again.
        let does = async |command: &str, body: Value| {
            anna.run(&format!("/v1/conversations/{chat}/{command}"), body).await;
        };
        does("block_visitor", json!({})).await;
        window.holds("root.querySelector('.text').disabled && !root.querySelector('.notice').hidden").await;
        looked_at("blocked").await;
        does("unblock_visitor", json!({})).await;
        window.holds("!root.querySelector('.text').disabled && root.querySelector('.notice').hidden").await;

        // At the end it goes home by mail.
        window.press(".end").await;
        window.press(".yes").await;
        window.press(".copies").await;
        window.holds("root.querySelector('#copy').value === 'maria@example.com'").await;
        window.types_into("#copy", " nowhere").await;
        window.press(".copy .act").await;
        window.holds("root.querySelector('#uncopied').textContent && root.activeElement.id === 'copy'").await;
        looked_at("copy").await;
        let copy = window.part("#copy").await;
        copy.clear().await.unwrap();
        copy.send_keys("maria@example.org").await.unwrap();
        window.press(".copy .act").await;
        window.holds("root.querySelector('.asked').innerText.includes('maria@example.org')").await;
        looked_at("copied").await;
        server.settle().await;
        let seen = anna.read(&format!("/v1/conversations/{chat}")).await;
        assert_eq!(seen["transcripts"][0]["email"], "maria@example.org");

        // Sent away: the chat is gone from the browser.
        does("revoke_visitor", json!({})).await;
        window.reads(&[]).await;
        assert_eq!(window.kept().await["here"], json!({}));
        let complaints = window.complaints().await;
        assert!(complaints.iter().all(|line| line.contains("422") || line.contains("404")), "{complaints:?}");
        window.close().await;
    }
}

#[tokio::test]
async fn the_inbox_shows_what_was_answered_and_shuts_the_door() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, _) = person(&server, "anna@example.com", AGENT).await;
    let channel = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Bakery" })).await;
    admin.run(&format!("/v1/channels/{channel}/add_operators"), json!({ "users": [anna_id] })).await;
    let questions = json!([
        { "key": "email", "type": "email" },
        { "key": "order", "type": "text", "label": "Which order is it about?" },
    ]);
    admin.run(&format!("/v1/channels/{channel}/ask_before"), json!({ "questions": questions })).await;
    let maria = server.client(&format!("dfv_{:A<43}", "maria"));
    let first = json!({
        "external_id": "1", "body": "Where is it?", "answers": { "email": "maria@example.com", "order": "№ 7" },
    });
    let chat = maria.post(&format!("/chat/{channel}/messages"), first).await.json();
    let chat = chat["conversation"].as_str().unwrap();
    maria.post(&format!("/chat/{channel}/transcript"), json!({ "email": "maria@example.com" })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    for (size, theme) in [(Size::Wide, "light"), (Size::Phone, "dark")] {
        let anna = chromium.window(&server, size).await;
        signs_in(&anna, "anna@example.com").await;
        anna.goto(&format!("/inbox?chat={chat}")).await;
        anna.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
        anna.tells(".told.before", "Which order is it about?").await;
        anna.tells(".told.before", "№ 7").await;
        anna.sees("document.querySelector('#client-door')?.textContent.includes('maria@example.com')").await;
        anna.picture(&format!("inbox-answers-{size:?}-{theme}")).await;
        if let Size::Phone = size {
            let barriers = anna.barriers().await;
            assert!(barriers.is_empty() && !anna.overflows().await, "{barriers:#?}");
            anna.close().await;
            continue;
        }
        let blocked = async || {
            server.settle().await;
            admin.read(&format!("/v1/conversations/{chat}")).await["visitor_blocked"].clone()
        };
        let press = |at: usize| format!("document.querySelectorAll('#client-door button')[{at}].click()");
        anna.run(&press(0)).await;
        anna.tells("#client-door .hint", "blocked").await;
        anna.picture("inbox-blocked-Wide-light").await;
        assert_eq!(blocked().await, true);
        let barriers = anna.barriers().await;
        assert!(barriers.is_empty(), "{barriers:#?}");
        anna.run(&press(0)).await;
        anna.sees("!document.querySelector('#client-door .hint')").await;
        assert_eq!(blocked().await, false);
        anna.run(&press(1)).await;
        let gone = async { while maria.get(&format!("/chat/{channel}/messages")).await.status != 404 {} };
        tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("her token is worthless");
        assert_eq!(anna.complaints().await, Vec::<String>::new());
        anna.close().await;
    }
}
