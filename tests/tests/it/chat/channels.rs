//! Channels: what they look like, who answers in them and sees what is said there, what comes in by them, and their secrets.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{NOBODY, condition, each, filtered, shipped_role, texts, user},
};

fn at(channel: &str, command: &str) -> String {
    format!("/v1/channels/{channel}/{command}")
}

pub(crate) async fn connect(client: &Client, kind: &str, name: &str) -> String {
    client.create("/v1/channels", json!({ "kind": kind, "name": name })).await
}

/// Brings a message in; the answer.
pub(crate) async fn brings(client: &Client, channel: &str, external_id: &str, sender: &str, body: &str) -> Value {
    let message = json!({ "external_id": external_id, "sender": sender, "body": body });
    let reply = client.post(&at(channel, "messages"), message).await;
    assert!(reply.status.is_success(), "{}", reply.text);
    reply.json()
}

async fn me(client: &Client) -> String {
    client.read("/v1/me").await["user"].as_str().unwrap().to_owned()
}

async fn conversations(client: &Client) -> Vec<String> {
    texts(&client.read("/v1/conversations").await, "id")
}

#[tokio::test]
async fn a_channel_is_a_card_with_its_looks_rules_and_operators() {
    let server = Server::start().await;
    let client = &server.admin;
    let site = connect(client, "live_chat", "Chat on our site").await;
    let looks = json!({ "greeting": "How can we help?", "color": "hsl(178.9, 100%, 31.4%)", "display": "auto_open", "delay_s": 5 });
    client.run(&at(&site, "change_appearance"), looks).await;
    let timed = client.post(&at(&site, "change_appearance"), json!({ "display": "show", "delay_s": 5 })).await;
    assert_eq!(timed.problem(422, "channel_delay_invalid")["errors"][0]["pointer"], "/delay_s");
    let rule = |path: &str| json!({ "rule": { "path_regex": path, "countries": ["it"], "display": "hide" } });
    client.run(&at(&site, "add_display_rule"), rule("^/prices")).await;
    let evil = client.post(&at(&site, "add_display_rule"), rule(r"(a)\1")).await;
    assert_eq!(evil.problem(422, "channel_path_invalid")["errors"][0]["pointer"], "/rule/path_regex");
    let anna = user(client, "Anna").await;
    let boris = user(client, "Boris").await;
    client.run(&at(&site, "add_operators"), json!({ "users": [anna, boris] })).await;
    client.post(&at(&site, "add_operators"), json!({ "users": [NOBODY] })).await.problem(422, "reference_unfit");
    server.settle().await;

    let shown = client.read(&format!("/v1/channels/{site}")).await;
    assert_eq!((&shown["color"], &shown["delay_s"], &shown["enabled"]), (&json!("#00a09d"), &json!(5), &json!(true)));
    assert_eq!(shown["display_rules"][0]["countries"], json!(["IT"]));
    let names: Vec<_> = shown["operators"].as_array().unwrap().iter().map(|user| user["name"].clone()).collect();
    assert_eq!(names, [json!("admin"), json!("Anna"), json!("Boris")], "whoever connects it answers, too");
    client.run(&at(&site, "change_appearance"), json!({ "color": null })).await;
    client.run(&at(&site, "remove_operator"), json!({ "user": boris })).await;
    client.run(&at(&site, "rename"), json!({ "name": "Chat" })).await;
    connect(client, "telegram", "Bot").await;
    server.settle().await;
    let shown = client.read(&format!("/v1/channels/{site}")).await;
    assert_eq!((&shown["color"], &shown["name"], &shown["greeting"]), (&Value::Null, &json!("Chat"), &Value::Null));
    let chats = filtered("/v1/channels", &condition("kind", "eq", "live_chat"));
    assert_eq!(texts(&client.read(&chats).await, "id"), [&*site]);
    let annas = filtered("/v1/channels", &condition("operator_ids", "eq", &*anna));
    assert_eq!(texts(&client.read(&annas).await, "id"), [&*site]);

    // What a kind cannot is refused, and told.
    let settings = json!({ "url": "https://shop.example/hook" });
    client.post(&at(&site, "change_settings"), settings).await.problem(422, "channel_unable");
    let kinds = client.read("/v1/channel_kinds").await;
    let whatsapp = kinds["data"].as_array().unwrap().iter().find(|kind| kind["kind"] == "whatsapp").unwrap().clone();
    assert_eq!((&whatsapp["reply_window_hours"], &whatsapp["dedupes"]), (&json!(24), &json!(false)));
}

#[tokio::test]
async fn a_team_has_its_mail_at_once_and_its_chat_once_that_is_switched_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let team = client.create("/v1/teams", json!({ "name": "Care", "alias": "care" })).await;
    server.settle().await;
    let of_team = || filtered("/v1/channels", &condition("team_id", "eq", &*team));
    let mail = client.read(&of_team()).await["data"][0].clone();
    assert_eq!((&mail["kind"], &mail["name"], &mail["alias"]), (&json!("email"), &json!("Care"), &json!("care")));
    assert_eq!(mail["operator_ids"], json!([me(client).await]));
    // One that was given no alias is called after its name, and otherwise where that is somebody's.
    let mut called = Vec::new();
    for name in ["Péče, 2. stupeň", "Pece 2 stupen", "Поддержка"] {
        let team = client.create("/v1/teams", json!({ "name": name })).await;
        server.settle().await;
        let mail = client.read(&filtered("/v1/channels", &condition("team_id", "eq", &*team))).await["data"][0].clone();
        assert_eq!(
            (&mail["kind"], &mail["address"]),
            (&json!("email"), &Value::Null),
            "nobody has said under which domain"
        );
        called.push(mail["alias"].as_str().unwrap().to_owned());
    }
    assert_eq!(called, ["pece-2-stupen", "pece-2-stupen-2", "team"]);
    let me_there = server.tenant.clone();
    client.run(&format!("/v1/tenants/{me_there}/set_alias_domain"), json!({ "domain": "desk.example.com" })).await;
    server.settle().await;
    assert_eq!(client.read(&of_team()).await["data"][0]["address"], "care@desk.example.com");
    // The alias is the team's, in one place.
    client.run(&format!("/v1/teams/{team}/change_alias"), json!({ "alias": "help" })).await;
    client.run(&format!("/v1/teams/{team}/enable_channel"), json!({ "kind": "live_chat" })).await;
    server.settle().await;
    let both = client.read(&of_team()).await;
    let found = |page: &Value, kind: &str| page["data"].as_array().unwrap().iter().find(|c| c["kind"] == kind).cloned();
    assert_eq!(found(&both, "email").unwrap()["alias"], "help");
    let chat = found(&both, "live_chat").unwrap();
    assert_eq!((&chat["name"], &chat["operator_ids"]), (&json!("Care"), &json!([me(client).await])));
    let id = chat["id"].as_str().unwrap().to_owned();
    // Its name is the team's at first, and its own.
    client.run(&at(&id, "rename"), json!({ "name": "Chat" })).await;
    client.run(&format!("/v1/teams/{team}/disable_channel"), json!({ "kind": "live_chat" })).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/channels/{id}")).await["enabled"], false);
    client.run(&format!("/v1/teams/{team}/enable_channel"), json!({ "kind": "live_chat" })).await;
    server.settle().await;
    let again = client.read(&format!("/v1/channels/{id}")).await;
    assert_eq!((&again["enabled"], &again["name"]), (&json!(true), &json!("Chat")), "the same one");
    client.run(&at(&id, "disable"), json!({})).await;

    // From the first event on it does nothing once more; an alias that was taken back stays so.
    let named = client.create("/v1/teams", json!({ "name": "Sales" })).await;
    server.settle().await;
    client.run(&format!("/v1/teams/{named}/change_alias"), json!({ "alias": null })).await;
    server.settle().await;
    let before = client.read("/v1/events?category=channel&limit=100").await["data"].clone();
    let reset = "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null where name = 'react_channels'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    client.create("/v1/contacts", json!({ "name": "Maria" })).await;
    server.settle().await;
    let after = client.read("/v1/events?category=channel&limit=100").await["data"].clone();
    assert_eq!(before, after);
    assert_eq!(client.read(&format!("/v1/teams/{named}")).await["alias"], Value::Null);
    assert_eq!(client.read(&format!("/v1/channels/{id}")).await["enabled"], false);
}

#[tokio::test]
async fn operators_see_what_is_said_take_it_and_lose_sight_of_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let site = connect(client, "live_chat", "Chat").await;
    let other = connect(client, "live_chat", "Other").await;
    let rights = ["conversation.*:own", "channel.read", "channel.join", "channel.leave", "user.read"];
    let (anna, annas) = user_with(&server, "anna@example.com", &rights).await;
    let (boris, boriss) = user_with(&server, "boris@example.com", &rights).await;
    let chat = brings(client, &site, "m1", "maria", "Good day").await["id"].as_str().unwrap().to_owned();
    let hidden = brings(client, &other, "m1", "maria", "Good day").await["id"].as_str().unwrap().to_owned();
    server.settle().await;
    let conversation = |command: &str| format!("/v1/conversations/{chat}/{command}");
    assert!(conversations(&annas).await.is_empty());
    annas.get(&format!("/v1/conversations/{chat}")).await.problem(404, "conversation_unknown");
    annas.post(&conversation("claim"), json!({})).await.problem(404, "conversation_unknown");

    client.run(&at(&site, "add_operators"), json!({ "users": [anna] })).await;
    server.settle().await;
    assert_eq!(conversations(&annas).await, [&*chat]);
    assert_eq!(annas.read(&conversation("messages")).await["data"][0]["body"], "Good day");
    annas.get(&format!("/v1/conversations/{hidden}")).await.problem(404, "conversation_unknown");
    let why = client.read(&conversation("access")).await;
    let hers = why["data"].as_array().unwrap().iter().find(|one| one["user"] == *anna).unwrap();
    assert_eq!((&hers["sees"]["by"], &hers["sees"]["with"]), (&json!("share"), &json!(site)));

    // It is given to who has access to the channel, and to nobody else.
    let given = client.post(&conversation("assign"), json!({ "assignee": boris })).await;
    let problem = given.problem(422, "conversation_not_an_operator");
    assert_eq!(problem["errors"][0]["pointer"], "/assignee");
    assert_eq!(annas.run(&conversation("claim"), json!({})).await.len(), 2);
    let sent = annas.run(&conversation("send_message"), json!({ "body": "How can we help?" })).await;
    assert_eq!(sent, ["conversation.message_queued"]);
    // Boris joins by himself, and leaves.
    boriss.run(&at(&site, "join"), json!({})).await;
    server.settle().await;
    assert_eq!(conversations(&boriss).await, [&*chat]);
    boriss.run(&at(&site, "leave"), json!({})).await;
    boriss.get(&format!("/v1/conversations/{chat}")).await.problem(404, "conversation_unknown");
    server.settle().await;
    assert!(conversations(&boriss).await.is_empty());

    // Whoever is let go sees it no longer, and what was hers is nobody's.
    client.run(&at(&site, "remove_operator"), json!({ "user": anna })).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["assignee_id"], Value::Null);
    annas.get(&format!("/v1/conversations/{chat}")).await.problem(404, "conversation_unknown");
    assert!(conversations(&annas).await.is_empty());
    // The same is said at the user.
    client.run(&format!("/v1/users/{anna}/grant_channel_access"), json!({ "channel": site })).await;
    server.settle().await;
    assert_eq!(conversations(&annas).await, [&*chat]);
    client.run(&format!("/v1/users/{anna}/revoke_channel_access"), json!({ "channel": site })).await;
    server.settle().await;
    assert!(conversations(&annas).await.is_empty());
    // What is in no channel is as it was.
    let plain = client.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    client.run(&format!("/v1/conversations/{plain}/assign"), json!({ "assignee": user(client, "Carlo").await })).await;
}

#[tokio::test]
async fn rules_give_conversations_to_operators_alone() {
    let server = Server::start().await;
    let client = &server.admin;
    let (anna, boris) = (user(client, "Anna").await, user(client, "Boris").await);
    let site = connect(client, "live_chat", "Chat").await;
    client.run(&at(&site, "add_operators"), json!({ "users": [boris] })).await;
    client.run(&at(&site, "leave"), json!({})).await;
    let agents = shipped_role(client, "agent").await;
    let give = json!({ "kind": "conversation", "command": "assign", "body": { "assignee": "{{ assignee.id }}" } });
    let definition = json!({ "selector": [{ "role": agents }], "strategy": "first", "actions": [{ "command": give }] });
    let rule = json!({ "name": "Give", "trigger": "conversation.message_received", "definition": definition });
    client.create("/v1/rules", rule).await;
    // In no channel the first of all is chosen, in one the first who answers there.
    let plain = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    client.run(&format!("/v1/conversations/{plain}/receive_message"), json!({ "body": "Good day" })).await;
    let chat = brings(client, &site, "m1", "maria", "Good day").await["id"].as_str().unwrap().to_owned();
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{plain}")).await["assignee_id"], anna);
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["assignee_id"], boris);
}

#[tokio::test]
async fn messages_come_in_by_one_door_once_and_stand_where_they_belong() {
    let server = Server::start().await;
    let client = &server.admin;
    let site = connect(client, "live_chat", "Chat").await;
    // Two at once begin one conversation.
    let all = futures::future::join_all((0..6).map(|number| {
        let (client, site) = (client.clone(), site.clone());
        async move { brings(&client, &site, &format!("m{}", number % 3), "maria", "Good day").await }
    }))
    .await;
    let chat = all[0]["id"].as_str().unwrap().to_owned();
    assert!(all.iter().all(|answer| answer["id"] == *chat), "{all:?}");
    server.settle().await;
    assert_eq!(conversations(client).await, [&*chat]);
    let messages = client.read(&format!("/v1/conversations/{chat}/messages")).await;
    assert_eq!(texts(&messages, "external_id").len(), 3);
    let shown = client.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!((&shown["channel_id"], &shown["channel_name"]), (&json!(site), &json!("Chat")));

    // Somebody else is somebody else; what is late stands where it belongs, with both times.
    let late =
        json!({ "external_id": "old", "sender": "maria", "body": "First", "written_at": "2026-01-01T10:00:00Z" });
    client.post(&at(&site, "messages"), late).await.expect(StatusCode::OK);
    assert_ne!(brings(client, &site, "m9", "boris", "Hello").await["id"], *chat);
    let number =
        json!({ "external_id": "n1", "identity": { "kind": "whatsapp", "value": "+39 06 555 0101" }, "body": "A" });
    let whatsapp = connect(client, "whatsapp", "WhatsApp").await;
    let by_number = client.post(&at(&whatsapp, "messages"), number).await.expect(StatusCode::CREATED);
    let spelt =
        json!({ "external_id": "n2", "identity": { "kind": "whatsapp", "value": "+39 (06) 5550101" }, "body": "B" });
    assert_eq!(client.post(&at(&whatsapp, "messages"), spelt).await.expect(StatusCode::OK)["id"], by_number["id"]);
    server.settle().await;
    let messages = client.read(&format!("/v1/conversations/{chat}/messages")).await;
    let first = &messages["data"][0];
    assert_eq!((&first["body"], &first["written_at"]), (&json!("First"), &json!("2026-01-01T10:00:00Z")));
    assert!(first["received_at"].as_str().unwrap() > "2026-06");
    assert_ne!(client.read(&format!("/v1/conversations/{chat}")).await["last_message"], "First");

    // A closed one reopens within the channel's time, and a new one begins after it; what was taken in stays taken in.
    let close = async || client.run(&format!("/v1/conversations/{chat}/close"), json!({})).await;
    client.run(&at(&site, "change_settings"), json!({ "reopen_after_s": 3600 })).await;
    close().await;
    assert_eq!(brings(client, &site, "m10", "maria", "Again").await["id"], *chat);
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["status"], "open");
    close().await;
    server.app.advance(std::time::Duration::from_secs(3700));
    let next = brings(client, &site, "m11", "maria", "Later").await;
    assert_ne!(next["id"], *chat);
    assert_eq!(brings(client, &site, "m12", "maria", "Later still").await["id"], next["id"]);
    let repeated = brings(client, &site, "m0", "maria", "Good day").await;
    assert_eq!((&repeated["id"], &repeated["events"]), (&json!(chat), &json!([])));
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["status"], "closed");

    // What cannot be taken in is refused, and changes nothing.
    client
        .post(&at(&site, "messages"), json!({ "external_id": "x", "body": "x" }))
        .await
        .problem(422, "channel_sender_missing");
    let message = || json!({ "external_id": "x", "sender": "x", "body": "x" });
    client.post(&at(NOBODY, "messages"), message()).await.problem(404, "channel_unknown");
    let form = connect(client, "form", "Form").await;
    client.post(&at(&form, "messages"), message()).await.problem(422, "channel_unable");
    client.run(&at(&site, "disable"), json!({})).await;
    client.post(&at(&site, "messages"), message()).await.problem(409, "channel_disabled");
    let start = |channel: &str, medium: &str| json!({ "medium": medium, "channel": channel });
    let refused = client.post("/v1/conversations", start(&site, "live_chat")).await;
    refused.problem(422, "conversation_channel_unfit");
    client.post("/v1/conversations", start(NOBODY, "live_chat")).await.problem(422, "conversation_channel_unfit");
    client.post("/v1/conversations", start(&whatsapp, "telegram")).await.problem(422, "conversation_channel_unfit");
    // A program needs no more than to be allowed to bring something in.
    let (_, program) = user_with(&server, "shop@example.com", &["channel.receive"]).await;
    brings(&program, &whatsapp, "p1", "shop", "Good day").await;
    let (_, nobody) = user_with(&server, "none@example.com", &["channel.read"]).await;
    assert_eq!(nobody.post(&at(&whatsapp, "messages"), message()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn secrets_of_channels_stand_nowhere() {
    let server = Server::start().await;
    let client = &server.admin;
    let shop = connect(client, "api", "Shop").await;
    let secret = "whsec_dGhpcyBpcyBhIHZlcnkgc2VjcmV0IHNlY3JldA==";
    let put = |secret: &str| {
        let (path, body) = (at(&shop, "credentials"), json!({ "secret": secret }));
        async move { client.put(&path, body).await }
    };
    put("whsec_c2hvcnQ=").await.problem(422, "channel_secret_invalid");
    let answered = put(secret).await;
    assert_eq!(answered.expect(StatusCode::OK)["events"][0]["type"], "channel.credentials_rotated");
    assert!(!answered.text.contains("dGhpcy"), "{}", answered.text);
    server.settle().await;
    let shown = client.get(&format!("/v1/channels/{shop}")).await;
    assert!(shown.json()["credentials_rotated_at"].is_string() && !shown.text.contains("dGhpcy"));
    assert!(!client.get("/v1/events?limit=1000").await.text.contains("dGhpcy"));
    let pool = &server.database.pool;
    let sealed: Vec<u8> = sqlx::query_scalar("select sealed from auth_channel_secret").fetch_one(pool).await.unwrap();
    assert!(!sealed.windows(6).any(|part| part == b"dGhpcy"));
    let tables: Vec<String> =
        sqlx::query_scalar("select table_name::text from information_schema.tables where table_schema = 'public'")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(tables.len() > 50);
    for table in tables {
        let found =
            format!("select count(*) from \"{table}\" t where t::text like '%dGhpcy%' or t::text like '%64476870%'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(found)).fetch_one(pool).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
    // Only one is kept.
    put("whsec_YW5vdGhlciB2ZXJ5IHNlY3JldCBzZWNyZXQgb25l").await.expect(StatusCode::OK);
    let kept: i64 = sqlx::query_scalar("select count(*) from auth_channel_secret").fetch_one(pool).await.unwrap();
    assert_eq!(kept, 1);
    let (_, viewer) = user_with(&server, "viewer@example.com", &["channel.*:own"]).await;
    let refused = viewer.put(&at(&shop, "credentials"), json!({ "secret": secret })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn seats_are_counted() {
    let server = Server::start().await;
    let client = &server.admin;
    let seats = client.read("/v1/tenants/me/seats").await;
    assert_eq!(seats, json!({ "seats": null, "taken": 1, "free": null }));
    client.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    client.put("/v1/plan", json!({ "plan": { "name": "Small", "seats": 5 } })).await.expect(StatusCode::OK);
    // Who is there already takes no further one by becoming an operator.
    let anna = user(client, "Carlo").await;
    let site = connect(client, "live_chat", "Chat").await;
    client.run(&at(&site, "add_operators"), json!({ "users": [anna] })).await;
    server.settle().await;
    let seats = client.read("/v1/tenants/me/seats").await;
    assert_eq!(seats, json!({ "seats": 5, "taken": 3, "free": 2 }));
    assert_eq!(each(&client.read("/v1/users").await, "name").len(), 3);
}
