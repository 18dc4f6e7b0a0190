//! Chatbots: what they say, how they carry a chat along, and the ticket that comes of it.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{colleague, each, texts};

/// A script that asks what it is about, where to reach the visitor, and makes a ticket.
fn script() -> Value {
    json!({ "steps": [
        { "id": "hello", "type": "message", "text": "Good day!" },
        { "id": "topic", "type": "question", "text": "What is it about?", "answers": ["A price", "A person"] },
        {
            "id": "person", "type": "forward_to_operator", "text": "One moment.",
            "only_if": [{ "step": "topic", "answer": "A person" }],
        },
        { "id": "email", "type": "email", "text": "Your e-mail address?", "again": "That is none. Once more?" },
        { "id": "story", "type": "free_input_multi", "text": "Tell us." },
        { "id": "ticket", "type": "create_ticket", "text": "Noted.", "title": "From the chat" },
    ] })
}

async fn bot(client: &Client, script: Value) -> String {
    let bot = client.create("/v1/chatbots", json!({ "name": "Reception" })).await;
    client.run(&format!("/v1/chatbots/{bot}/publish"), script).await;
    bot
}

fn at(chat: &str, command: &str) -> String {
    format!("/v1/conversations/{chat}/{command}")
}

async fn starts(client: &Client, bot: &str) -> String {
    let visitor = json!({ "name": "Maria" });
    client.create("/v1/conversations", json!({ "medium": "live_chat", "visitor": visitor, "chatbot": bot })).await
}

/// The visitor writes, and the bot has its say.
async fn writes(server: &Server, chat: &str, body: &str) {
    server.admin.run(&at(chat, "receive_message"), json!({ "body": body })).await;
    server.settle().await;
}

async fn talk(server: &Server, chat: &str) -> Vec<String> {
    server.settle().await;
    texts(&server.admin.read(&at(chat, "messages")).await, "body")
}

async fn shown(server: &Server, chat: &str) -> Value {
    server.settle().await;
    server.admin.read(&format!("/v1/conversations/{chat}")).await
}

#[tokio::test]
async fn a_bot_asks_and_makes_a_ticket_of_what_it_hears() {
    let server = Server::start().await;
    let client = &server.admin;
    let bot = bot(client, script()).await;
    let chat = starts(client, &bot).await;
    server.settle().await;
    let asks = "What is it about?\n1. A price\n2. A person";
    assert_eq!(talk(&server, &chat).await, ["Good day!", asks]);
    let thread = client.read(&at(&chat, "messages")).await;
    assert_eq!(each(&thread, "author_kind"), [json!("chatbot"), json!("chatbot")]);
    assert_eq!(each(&thread, "author_id"), [json!(bot), json!(bot)]);

    // What is no answer is asked again, and nothing is lost.
    writes(&server, &chat, "Hm").await;
    assert_eq!(talk(&server, &chat).await[2..], ["Hm", asks]);
    writes(&server, &chat, "1").await;
    assert_eq!(talk(&server, &chat).await[4..], ["1", "Your e-mail address?"]);
    writes(&server, &chat, "maria at example").await;
    assert_eq!(talk(&server, &chat).await[6..], ["maria at example", "That is none. Once more?"]);
    writes(&server, &chat, "maria@example.com").await;
    writes(&server, &chat, "It is broken.\nSince Monday.").await;
    assert_eq!(talk(&server, &chat).await.last().unwrap(), "Noted.");

    // The ticket: whom it is from, what was said, and a way back.
    let seen = shown(&server, &chat).await;
    assert_eq!((&seen["bot_finished"], &seen["handed_over"]), (&json!(true), &json!(false)));
    assert_eq!(
        seen["bot_answers"],
        json!({
            "topic": "A price", "email": "maria@example.com", "story": "It is broken.\nSince Monday.",
        })
    );
    let ticket = seen["ticket_ids"][0].as_str().unwrap().to_owned();
    let ticket = client.read(&format!("/v1/tickets/{ticket}")).await;
    assert_eq!((&ticket["title"], &ticket["channel"]), (&json!("From the chat"), &json!("live_chat")));
    assert_eq!(ticket["origin"], format!("conversations/{chat}"));
    let told = ticket["description"].as_str().unwrap();
    assert!(told.contains("Maria: It is broken.\nSince Monday.") && told.contains("Good day!"), "{told}");
    let contact = client.read(&format!("/v1/contacts/{}", seen["contact_id"].as_str().unwrap())).await;
    assert_eq!((&contact["name"], &contact["email"]), (&json!("Maria"), &json!("maria@example.com")));
    assert_eq!(ticket["requester_id"], seen["contact_id"]);

    // Once it has said everything it is silent.
    let before = talk(&server, &chat).await.len();
    writes(&server, &chat, "Thank you").await;
    assert_eq!(talk(&server, &chat).await.len(), before + 1);

    // Somebody who is known by that address is found, however it is written.
    let again = starts(client, &bot).await;
    server.settle().await;
    for words in ["A price", "MARIA@example.com", "Again"] {
        writes(&server, &again, words).await;
    }
    let again = shown(&server, &again).await;
    assert_eq!((&again["contact_id"], &again["matched_by"]), (&seen["contact_id"], &json!("email")));
    assert_eq!(client.read("/v1/contacts?count=exact").await["total"], 1);
}

#[tokio::test]
async fn a_chat_finishes_on_the_version_it_began_with_and_people_take_over() {
    let server = Server::start().await;
    let client = &server.admin;
    let bot = bot(client, script()).await;
    let chat = starts(client, &bot).await;
    server.settle().await;
    let mut second = script();
    second["steps"][0]["text"] = json!("Welcome!");
    second["steps"][2]["text"] = json!("Somebody comes.");
    client.run(&format!("/v1/chatbots/{bot}/publish"), second).await;
    writes(&server, &chat, "a person").await;
    assert_eq!(talk(&server, &chat).await.last().unwrap(), "One moment.");
    let seen = shown(&server, &chat).await;
    assert_eq!((&seen["chatbot_version"], &seen["handed_over"]), (&json!(1), &json!(true)));
    let later = starts(client, &bot).await;
    server.settle().await;
    assert_eq!(talk(&server, &later).await[0], "Welcome!");
    let versions = client.read(&format!("/v1/chatbots/{bot}")).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    assert_eq!((&versions["script_version"], &versions["versions"][1]["version"]), (&json!(2), &json!(2)));

    // Whoever takes the chat has the word: the bot hears nothing more.
    let anna = colleague(client, "Anna", "agent").await;
    client.run(&at(&later, "assign"), json!({ "assignee": anna })).await;
    let before = talk(&server, &later).await.len();
    writes(&server, &later, "A price").await;
    assert_eq!(talk(&server, &later).await.len(), before + 1);
    assert_eq!(shown(&server, &later).await["handed_over"], true);
    client.post(&at(&later, "start_bot"), json!({ "chatbot": bot })).await.problem(409, "conversation_bot_too_late");

    // Put away it begins nothing; in a chat that has none it can be begun at any time.
    let plain = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    writes(&server, &plain, "A price").await;
    client.run(&at(&plain, "start_bot"), json!({ "chatbot": bot, "version": 1 })).await;
    server.settle().await;
    assert_eq!(talk(&server, &plain).await[1], "Good day!", "what was written before is no answer");
    assert_eq!(talk(&server, &plain).await.len(), 3);
    client.run(&format!("/v1/chatbots/{bot}/archive"), json!({})).await;
    let refused = client.post("/v1/conversations", json!({ "medium": "live_chat", "chatbot": bot })).await;
    assert_eq!(refused.problem(422, "reference_unfit")["errors"][0]["pointer"], "/chatbot");
    writes(&server, &plain, "2").await;
    assert_eq!(talk(&server, &plain).await.last().unwrap(), "One moment.", "what has begun goes on");
}

#[tokio::test]
async fn a_bot_says_everything_once_however_often_it_is_asked() {
    let server = Server::start().await;
    let client = &server.admin;
    let bot = bot(client, script()).await;
    let chat = starts(client, &bot).await;
    server.settle().await;
    for words in ["A price", "x", "maria@example.com", "It broke"] {
        writes(&server, &chat, words).await;
    }
    let half = starts(client, &bot).await;
    writes(&server, &half, "Hm").await;
    writes(&server, &half, "A price").await;
    let (said, asked) = (talk(&server, &chat).await, talk(&server, &half).await);
    // As after a crash before the checkpoint, and worse: from the first event of all.
    let reset =
        "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null where name = 'react_bots'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    writes(&server, &chat, "Thank you").await;
    let now = talk(&server, &chat).await;
    assert_eq!(now[..said.len()], said);
    assert_eq!(now.len(), said.len() + 1);
    assert_eq!(client.read("/v1/tickets?count=exact").await["total"], 1);
    assert_eq!(talk(&server, &half).await, asked, "it waits where it waited");
    writes(&server, &half, "maria@example.com").await;
    assert_eq!(talk(&server, &half).await.last().unwrap(), "Tell us.");
}

#[tokio::test]
async fn a_chat_becomes_a_ticket_by_a_word() {
    let server = Server::start().await;
    let client = &server.admin;
    let ada = client.create("/v1/contacts", json!({ "name": "Ada" })).await;
    let chat = client.create("/v1/conversations", json!({ "medium": "whatsapp", "contact": ada })).await;
    client.post(&at(&chat, "convert_to_ticket"), json!({})).await.problem(409, "conversation_nothing_said");
    writes(&server, &chat, "My chair is broken\nsince Monday").await;
    client.run(&at(&chat, "send_message"), json!({ "body": "Which one?" })).await;
    let made = client.run(&at(&chat, "convert_to_ticket"), json!({ "priority": 2 })).await;
    assert_eq!(made, ["conversation.converted_to_ticket", "ticket.opened"]);
    assert!(client.run(&at(&chat, "convert_to_ticket"), json!({})).await.is_empty(), "nothing was said since");
    let seen = shown(&server, &chat).await;
    let ticket = client.read(&format!("/v1/tickets/{}", seen["ticket_ids"][0].as_str().unwrap())).await;
    assert_eq!((&ticket["title"], &ticket["priority"]), (&json!("My chair is broken"), &json!(2)));
    assert_eq!((&ticket["requester_id"], &ticket["channel"]), (&json!(ada), &json!("whatsapp")));
    let told = ticket["description"].as_str().unwrap();
    assert!(told.starts_with("Ada: My chair is broken") && told.ends_with(": Which one?"), "{told}");
    let nobody = json!({ "team": crate::world::NOBODY });
    writes(&server, &chat, "The blue one").await;
    client.post(&at(&chat, "convert_to_ticket"), nobody).await.problem(422, "team_unfit");

    // Whoever may not open tickets opens none this way either.
    let role = json!({ "name": "talker", "permissions": ["conversation.*"] });
    let role = client.create("/v1/roles", role).await;
    let issued = client.post("/v1/api_keys", json!({ "name": "talker", "role": role })).await;
    let talker = server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap());
    talker.post(&at(&chat, "convert_to_ticket"), json!({})).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_script_that_leads_nowhere_is_refused_and_a_sound_one_can_be_rehearsed() {
    let server = Server::start().await;
    let client = &server.admin;
    let bot = bot(client, script()).await;
    let path = format!("/v1/chatbots/{bot}/publish");
    let mut wrong = script();
    wrong["steps"][2]["only_if"] =
        json!([{ "step": "story", "answer": "x" }, { "step": "topic", "answer": "Nothing" }]);
    let refused = client.post(&path, wrong.clone()).await.problem(422, "chatbot_step_unknown");
    let places: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(places, ["/steps/2/only_if/0/step", "/steps/2/only_if/1/answer"]);
    let dead = json!({ "steps": [{ "id": "mail", "type": "email", "text": "Your address?" }] });
    client.post(&path, dead).await.problem(422, "chatbot_dead_end");

    let rehearse = async |body: Value| client.post("/v1/chatbots/rehearse", body).await;
    let refused = rehearse(json!({ "script": wrong })).await.problem(422, "chatbot_step_unknown");
    assert_eq!(refused["errors"][0]["pointer"], "/script/steps/2/only_if/0/step");
    let answers = json!({ "topic": "1", "email": "nonsense" });
    let said = rehearse(json!({ "script": script(), "answers": answers })).await.expect(StatusCode::OK);
    assert_eq!((&said["stands"], &said["waits_for"]), (&json!("waits"), &json!("email")));
    assert_eq!(said["understood"], json!({ "topic": "A price" }));
    assert_eq!(said["problems"][0]["code"], "email_invalid");
    assert_eq!(said["problems"][0]["says"], "That is none. Once more?");
    let steps: Vec<_> = said["says"].as_array().unwrap().iter().map(|line| line["step"].clone()).collect();
    assert_eq!(steps, ["hello", "topic", "email"]);
    let answers = json!({ "topic": "A person" });
    let said = rehearse(json!({ "chatbot": bot, "version": 1, "answers": answers })).await.expect(StatusCode::OK);
    assert_eq!(said["stands"], "forwarded");
    rehearse(json!({ "chatbot": bot, "version": 7 })).await.problem(409, "chatbot_unpublished");
    rehearse(json!({})).await.problem(422, "chatbot_rehearsal_unclear");
    rehearse(json!({ "script": script(), "answers": { "x": "y" } })).await.problem(422, "chatbot_step_unknown");
    server.settle().await;
    let head = client.read(&format!("/v1/chatbots/{bot}")).await;
    assert_eq!(head["script_version"], 1, "a rehearsal writes nothing");
}
