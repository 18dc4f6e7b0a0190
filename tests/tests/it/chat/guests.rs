//! What stands before a chat and after it: questions, a proof, who is kept out, and what goes home by mail.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Form, Json, Router, extract::State, routing::post};
use deskfold_tests::{Client, Server};
use parking_lot::Mutex;
use reqwest::StatusCode;
use ring::digest;
use serde_json::{Value, json};

use super::live::Screen;
use super::visitors::{at, visitor, writes};
use crate::org::auth::user_with;

async fn channel(server: &Server) -> String {
    server.admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Shop" })).await
}

/// Has a channel or a conversation do something.
async fn does(client: &Client, kind: &str, id: &str, command: &str, body: Value) {
    client.run(&format!("/v1/{kind}/{id}/{command}"), body).await;
}

/// The places that a problem points at.
fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_chat_begins_once_what_must_be_answered_is() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server).await;
    let questions = json!({ "questions": [
        { "key": "name", "type": "name", "required": true },
        { "key": "email", "type": "email", "required": true },
        { "key": "phone", "type": "phone" },
        { "key": "order", "type": "text", "label": "Which order is it about?" },
    ] });
    let ask = format!("/v1/channels/{channel}/ask_before");
    let odd = [
        (json!([{ "key": "Name!", "type": "name" }]), "/questions/0/key"),
        (json!([{ "key": "a", "type": "text" }]), "/questions/0/label"),
        (json!([{ "key": "a", "type": "email" }, { "key": "b", "type": "email" }]), "/questions/1/type"),
    ];
    for (questions, place) in odd {
        let refused = admin.post(&ask, json!({ "questions": questions })).await;
        assert_eq!(pointers(&refused.problem(422, "channel_questions_invalid")), [place]);
    }
    admin.run(&ask, questions.clone()).await;
    let maria = visitor(&server, "maria");
    assert_eq!(maria.read(&at(&channel, "config")).await["questions"], questions["questions"]);

    // Without them it does not begin, and everything that is wrong is told at once.
    let begins = async |answers: Value| {
        let body =
            json!({ "external_id": "1", "body": "Where is it?", "visitor": { "path": "/" }, "answers": answers });
        maria.post(&at(&channel, "messages"), body).await
    };
    let bare = begins(json!({})).await.problem(422, "channel_answer_missing");
    assert_eq!(pointers(&bare), ["/answers/name", "/answers/email"]);
    let wrong = begins(json!({ "name": "Maria", "email": "maria at home", "phone": "call me" })).await;
    assert_eq!(pointers(&wrong.problem(422, "email_invalid")), ["/answers/email", "/answers/phone"]);
    let unasked = begins(json!({ "name": "Maria", "email": "maria@example.com", "age": "40" })).await;
    assert_eq!(pointers(&unasked.problem(422, "channel_answer_unasked")), ["/answers/age"]);
    maria.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    let answers =
        json!({ "name": " Maria ", "email": "maria@example.com", "phone": "+39 06 555 0101", "order": "№ 7" });
    let begun = begins(answers.clone()).await.expect(StatusCode::CREATED);
    let chat = begun["conversation"].as_str().unwrap();
    // An answer that was lost, and what comes next, are asked nothing.
    assert_eq!(begins(answers).await.status, StatusCode::OK);
    writes(&maria, &channel, "2", "Are you there?").await;

    server.settle().await;
    let seen = admin.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&seen["visitor"]["name"], &seen["visitor"]["path"]), (&json!("Maria"), &json!("/")));
    assert_eq!(seen["identity"], json!({ "kind": "email", "value": "maria@example.com" }));
    let told: Vec<_> = seen["answers"].as_array().unwrap().iter().map(|one| (&one["key"], &one["answer"])).collect();
    let keys = [("name", "Maria"), ("email", "maria@example.com"), ("phone", "+39065550101"), ("order", "№ 7")];
    assert!(
        told.into_iter().eq(keys.map(|(key, answer)| (json!(key), json!(answer))).iter().map(|(k, a)| (k, a))),
        "{seen}"
    );
    assert_eq!(seen["answers"][3]["label"], "Which order is it about?");

    // Once it is over for good the next one begins with what is known.
    does(admin, "channels", &channel, "change_settings", json!({ "reopen_after_s": 60 })).await;
    does(admin, "conversations", chat, "close", json!({})).await;
    server.app.advance(Duration::from_secs(120));
    let next = writes(&maria, &channel, "3", "Something else").await;
    assert_ne!(next["conversation"], begun["conversation"]);
    server.settle().await;
    let next = admin.read(&format!("/v1/conversations/{}", next["conversation"].as_str().unwrap())).await;
    assert_eq!((&next["answers"], &next["identity"]), (&seen["answers"], &seen["identity"]));

    // A program that brings messages in has no page to ask on.
    let brought = json!({ "external_id": "p1", "sender": "p", "body": "By another way" });
    admin.post(&format!("/v1/channels/{channel}/messages"), brought).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn who_is_sent_away_or_kept_out_is_so_at_once() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server).await;
    let maria = visitor(&server, "maria");
    let body = json!({ "external_id": "1", "body": "Good day", "email": "maria@example.com" });
    let begun = maria.post(&at(&channel, "messages"), body.clone()).await.expect(StatusCode::CREATED);
    let chat = begun["conversation"].as_str().unwrap();

    // What a visitor gives up is worth nothing for writing either.
    let paolo = visitor(&server, "paolo");
    writes(&paolo, &channel, "1", "Good day").await;
    let renewed = json!({ "token": format!("dfv_{:A<43}", "paolo2") });
    assert_eq!(paolo.post(&at(&channel, "renew"), renewed).await.status, StatusCode::NO_CONTENT);
    let late = json!({ "external_id": "2", "body": "by the old token" });
    paolo.post(&at(&channel, "messages"), late.clone()).await.problem(404, "visitor_unknown");
    let paolo = visitor(&server, "paolo2");
    assert_eq!(paolo.post(&at(&channel, "forget"), json!({})).await.status, StatusCode::NO_CONTENT);
    paolo.post(&at(&channel, "messages"), late).await.problem(404, "visitor_unknown");

    // Blocked: told on the open page, and nothing is taken in; nor from another browser with the same address.
    let mut page = Screen::of(&maria, &format!("{}?after={}", at(&channel, "stream"), begun["position"])).await;
    assert_eq!(page.next().await.unwrap().event, "presence");
    let (_, guest) = user_with(&server, "guest@example.com", &["conversation.read"]).await;
    guest.post(&format!("/v1/conversations/{chat}/block_visitor"), json!({})).await.problem(403, "permission_denied");
    does(admin, "conversations", chat, "block_visitor", json!({})).await;
    assert_eq!(page.next().await.unwrap().event, "blocked");
    let again = json!({ "external_id": "2", "body": "And again" });
    maria.post(&at(&channel, "messages"), again.clone()).await.problem(403, "visitor_blocked");
    maria
        .post(&at(&channel, "transcript"), json!({ "email": "you@example.com" }))
        .await
        .problem(403, "visitor_blocked");
    let file = maria.request(reqwest::Method::POST, &at(&channel, "uploads?external_id=f1&name=a.txt")).body("x");
    maria.send(file).await.problem(403, "visitor_blocked");
    assert_eq!(maria.read(&at(&channel, "messages")).await["blocked"], true);
    let other = visitor(&server, "maria2");
    other.post(&at(&channel, "messages"), body.clone()).await.problem(403, "visitor_blocked");
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/conversations/{chat}")).await["visitor_blocked"], true);
    let kept_out = admin.read(&format!("/v1/channels/{channel}")).await["blocked_identities"].clone();
    assert_eq!(kept_out[0]["value"], "maria@example.com");
    // Nor as a new conversation, when this one is over for good.
    does(admin, "channels", &channel, "change_settings", json!({ "reopen_after_s": 0 })).await;
    does(admin, "conversations", chat, "close", json!({})).await;
    server.app.advance(Duration::from_secs(5));
    maria.post(&at(&channel, "messages"), again.clone()).await.problem(403, "visitor_blocked");
    does(admin, "channels", &channel, "change_settings", json!({})).await;
    does(admin, "conversations", chat, "unblock_visitor", json!({})).await;
    assert_eq!(
        maria.post(&at(&channel, "messages"), again).await.expect(StatusCode::CREATED)["conversation"],
        begun["conversation"]
    );
    other.post(&at(&channel, "messages"), body).await.expect(StatusCode::CREATED);

    // Sent away: the open page hears so and ends, the token is worth nothing, not even for another chat.
    does(admin, "conversations", chat, "revoke_visitor", json!({})).await;
    let mut heard = Vec::new();
    while let Some(message) = page.next().await {
        heard.push(message.event);
    }
    assert_eq!(
        (heard.iter().filter(|name| *name == "unblocked").count(), heard.last().unwrap().as_str()),
        (1, "revoked")
    );
    maria.get(&at(&channel, "messages")).await.problem(404, "visitor_unknown");
    let token = json!({ "external_id": "3", "body": "It is me" });
    maria.post(&at(&channel, "messages"), token.clone()).await.problem(404, "visitor_unknown");
    // However long ago that was.
    server.app.advance(Duration::from_secs(90 * 24 * 60 * 60));
    sqlx::query("delete from auth_visitor").execute(&server.database.pool).await.unwrap();
    maria.post(&at(&channel, "messages"), token).await.problem(404, "visitor_unknown");
    let telegram = admin.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    let revoke = format!("/v1/conversations/{telegram}/revoke_visitor");
    admin.post(&revoke, json!({})).await.problem(422, "conversation_no_tokens");
}

/// With how many zeros the digest of an answer begins.
fn zeros(challenge: &str, solution: &str) -> u32 {
    let digest = digest::digest(&digest::SHA256, format!("{challenge}.{solution}").as_bytes());
    u32::from_be_bytes(digest.as_ref()[..4].try_into().unwrap()).leading_zeros()
}

/// What a browser finds out.
fn solved(challenge: &str, bits: u32) -> String {
    let fits = |solution: &String| zeros(challenge, solution) >= bits;
    (0..).map(|number| format!("{number:x}")).find(fits).unwrap()
}

type Asked = Arc<Mutex<Vec<Vec<(String, String)>>>>;

/// A service that answers as `siteverify` does: what it was asked.
async fn siteverify() -> (String, Asked) {
    let asked = Asked::default();
    let answers = async |State(asked): State<Asked>, Form(form): Form<Vec<(String, String)>>| {
        let given = form.iter().find(|(name, _)| name == "response").unwrap().1.clone();
        asked.lock().push(form);
        match given.as_str() {
            "person" => Ok(Json(json!({ "success": true, "hostname": "shop.example" }))),
            "broken" => Err(StatusCode::BAD_GATEWAY),
            _ => Ok(Json(json!({ "success": false, "error-codes": ["invalid-input-response"] }))),
        }
    };
    let router = Router::new().route("/siteverify", post(answers)).with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/siteverify"), asked)
}

#[tokio::test]
async fn a_chat_begins_once_a_page_has_shown_what_is_wanted() {
    let server = Server::with(&["--private-addresses"]).await;
    let admin = &server.admin;
    let channel = channel(&server).await;
    let protect = format!("/v1/channels/{channel}/change_protection");
    admin.post(&protect, json!({ "proof_of_work": 40 })).await.problem(422, "out_of_range");
    let (maria, paolo) = (visitor(&server, "maria"), visitor(&server, "paolo"));
    writes(&paolo, &channel, "0", "I was here before").await;
    admin.run(&protect, json!({ "proof_of_work": 8 })).await;
    assert_eq!(maria.read(&at(&channel, "config")).await["protected"], true);
    let first = json!({ "external_id": "1", "body": "Good day" });
    maria.post(&at(&channel, "messages"), first.clone()).await.problem(403, "visitor_unproven");
    let file = maria.request(reqwest::Method::POST, &at(&channel, "uploads?external_id=f1&name=a.txt")).body("x");
    maria.send(file).await.problem(403, "visitor_unproven");
    writes(&paolo, &channel, "1", "Who has begun goes on").await;

    // A challenge of this channel, answered, in time, and for one visitor.
    let challenge = async |who: &Client, channel: &str| {
        let given = who.read(&at(channel, "challenge")).await;
        assert_eq!(given["bits"], 8);
        given["challenge"].as_str().unwrap().to_owned()
    };
    let shows = async |who: &Client, challenge: &str, solution: &str| {
        who.post(&at(&channel, "proof"), json!({ "challenge": challenge, "solution": solution })).await
    };
    let one = challenge(&maria, &channel).await;
    let wrong = (0..).map(|n| format!("w{n}")).find(|w| zeros(&one, w) < 8).unwrap();
    shows(&maria, &one, &wrong).await.problem(422, "challenge_unsolved");
    shows(&maria, "1.8.00.00", "1").await.problem(422, "challenge_invalid");
    let easier = one.replacen(".8.", ".1.", 1);
    shows(&maria, &easier, &solved(&easier, 1)).await.problem(422, "challenge_invalid");
    let other = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Other" })).await;
    does(admin, "channels", &other, "change_protection", json!({ "proof_of_work": 8 })).await;
    let foreign = challenge(&maria, &other).await;
    shows(&maria, &foreign, &solved(&foreign, 8)).await.problem(422, "challenge_invalid");
    let solution = solved(&one, 8);
    assert_eq!(shows(&maria, &one, &solution).await.status, StatusCode::NO_CONTENT);
    assert_eq!(shows(&maria, &one, &solution).await.status, StatusCode::NO_CONTENT, "its answer was lost");
    let anna = visitor(&server, "anna");
    shows(&anna, &one, &solution).await.problem(409, "challenge_spent");
    maria.post(&at(&channel, "messages"), first.clone()).await.expect(StatusCode::CREATED);
    let late = challenge(&anna, &channel).await;
    admin.run(&protect, json!({ "proof_of_work": 9 })).await;
    shows(&anna, &late, &solved(&late, 8)).await.problem(422, "challenge_outdated");
    admin.run(&protect, json!({ "proof_of_work": 8 })).await;
    server.app.advance(Duration::from_secs(11 * 60));
    shows(&anna, &late, &solved(&late, 8)).await.problem(422, "challenge_outdated");

    // A captcha beside it, or instead.
    let (url, asked) = siteverify().await;
    let captcha = json!({ "captcha": { "verify_url": url, "site_key": "10000000-ffff" } });
    // Without its secret nobody would be let in: it is not taken before.
    let early = admin.post(&protect, captcha.clone()).await.problem(409, "channel_captcha_unsealed");
    assert_eq!(pointers(&early), ["/captcha"]);
    let secrets = format!("/v1/channels/{channel}/credentials");
    admin.put(&secrets, json!({ "secret": "0x0000", "of": "captcha" })).await.expect(StatusCode::OK);
    admin.run(&protect, captcha).await;
    let wanted = anna.read(&at(&channel, "challenge")).await;
    assert_eq!((&wanted["challenge"], &wanted["site_key"]), (&Value::Null, &json!("10000000-ffff")));
    let passes = async |given: &str| anna.post(&at(&channel, "proof"), json!({ "captcha": given })).await;
    admin.put(&secrets, json!({ "secret": "the site's own" })).await.expect(StatusCode::OK);
    anna.post(&at(&channel, "proof"), json!({})).await.problem(422, "captcha_missing");
    let refused = passes("program").await.problem(422, "captcha_refused");
    assert!(refused["detail"].as_str().unwrap().contains("invalid-input-response"), "{refused}");
    let broken = passes("broken").await;
    broken.problem(503, "captcha_unavailable");
    assert!(broken.header("retry-after").parse::<u64>().unwrap() > 0);
    anna.post(&at(&channel, "messages"), first.clone()).await.problem(403, "visitor_unproven");
    assert_eq!(passes("person").await.status, StatusCode::NO_CONTENT);
    anna.post(&at(&channel, "messages"), first).await.expect(StatusCode::CREATED);
    let form = asked.lock().last().unwrap().clone();
    let told = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(
        (told("secret"), told("response"), told("remoteip")),
        (Some("0x0000"), Some("person"), Some("127.0.0.1"))
    );
    let log = admin.read("/v1/events?category=channel&limit=100").await.to_string();
    assert!(!log.contains("0x0000"), "secrets are in no event");
}

#[tokio::test]
async fn what_was_said_is_queued_as_mail_and_words_and_choices_have_an_end() {
    let server = Server::start().await;
    let admin = &server.admin;
    let channel = channel(&server).await;
    let script = json!({ "steps": [
        { "id": "topic", "type": "question", "text": "What is it about?", "answers": ["A price", "A person"] },
        { "id": "bye", "type": "message", "text": "One moment." },
    ] });
    let bot = admin.create("/v1/chatbots", json!({ "name": "Reception" })).await;
    does(admin, "chatbots", &bot, "publish", script).await;
    does(admin, "channels", &channel, "add_display_rule", json!({ "rule": { "chatbot": bot } })).await;
    let maria = visitor(&server, "maria");
    let asks = async |email: &str| maria.post(&at(&channel, "transcript"), json!({ "email": email })).await;
    asks("maria@example.com").await.problem(404, "visitor_unknown");

    // A page says no more than its channel takes.
    let message = |id: &str, body: &str| json!({ "external_id": id, "body": body, "visitor": { "path": "/" } });
    let long = maria.post(&at(&channel, "messages"), message("1", &"x".repeat(20_001))).await;
    assert_eq!(pointers(&long.problem(422, "conversation_message_unsendable")), ["/body"]);
    let begun = maria.post(&at(&channel, "messages"), message("1", "Good day")).await.expect(StatusCode::CREATED);
    let chat = begun["conversation"].as_str().unwrap();

    // What the bot offers is told as such, on the page that follows too, until it is answered.
    let mut page = Screen::of(&maria, &format!("{}?after={}", at(&channel, "stream"), begun["position"])).await;
    server.settle().await;
    assert_eq!(maria.read(&at(&channel, "messages")).await["choices"], json!(["A price", "A person"]));
    maria.post(&at(&channel, "messages"), message("2", "A price")).await.expect(StatusCode::CREATED);
    server.settle().await;
    assert_eq!(maria.read(&at(&channel, "messages")).await["choices"], json!([]));
    let mut offered = Vec::new();
    while offered.len() < 2 {
        let heard = page.next().await.unwrap();
        if heard.event == "choices" {
            offered.push(heard.data["choices"].as_array().unwrap().len());
        }
    }
    assert_eq!(offered, [2, 0]);

    // By mail: once for what was said, to an address, and not without end.
    asks("maria at home").await.problem(422, "email_invalid");
    for _ in 0..2 {
        assert_eq!(asks("maria@example.com").await.status, StatusCode::ACCEPTED);
    }
    server.settle().await;
    let log = async || admin.read("/v1/events?types=conversation.transcript_queued").await["data"].clone();
    let queued = log().await;
    assert_eq!(queued.as_array().unwrap().len(), 1, "{queued}");
    let (transcript, data) = (queued[0]["data"]["transcript_id"].clone(), &queued[0]["data"]);
    let said = admin.read(&format!("/v1/conversations/{chat}/messages")).await;
    let last = said["data"].as_array().unwrap().last().unwrap();
    assert_eq!((&data["email"], &data["up_to"]), (&json!("maria@example.com"), &last["message_id"]));
    let shown = async || admin.read(&format!("/v1/conversations/{chat}")).await["transcripts"].clone();
    assert_eq!(
        (shown().await[0]["state"].clone(), shown().await[0]["email"].clone()),
        (json!("queued"), json!("maria@example.com"))
    );
    // Until Deskfold sends mail itself, whoever does says what became of it.
    let failed = json!({ "transcript_id": transcript, "error": "no such mailbox" });
    does(admin, "conversations", chat, "mark_transcript_failed", failed).await;
    server.settle().await;
    assert_eq!(
        (shown().await[0]["state"].clone(), shown().await[0]["error"].clone()),
        (json!("failed"), json!("no such mailbox"))
    );
    assert_eq!(asks("maria@example.com").await.status, StatusCode::ACCEPTED, "it may be asked for again");
    let again = log().await[1]["data"]["transcript_id"].clone();
    does(admin, "conversations", chat, "mark_transcript_sent", json!({ "transcript_id": again })).await;
    server.settle().await;
    assert_eq!(shown().await[1]["state"], "sent");
    let unknown = json!({ "transcript_id": begun["message"] });
    let unknown = admin.post(&format!("/v1/conversations/{chat}/mark_transcript_sent"), unknown).await;
    unknown.problem(422, "conversation_transcript_unknown");
    let mut refused = None;
    for number in 0..10 {
        let reply = asks(&format!("m{number}@example.com")).await;
        if reply.status != StatusCode::ACCEPTED {
            refused = Some(reply);
            break;
        }
    }
    refused.expect("not without end").problem(429, "rate_limited");
}
