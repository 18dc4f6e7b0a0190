//! Nobody gives or touches more than he has, the last administrator stays, and what a colleague wrote is the colleague's.

use std::collections::BTreeSet;

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    ground::program::{failure, output},
    org::{auth::user_with, browser::person},
    world::{NOBODY, condition, contact, employ, filtered, pages, shipped_role, subject, texts, user},
};

/// May give and touch users, roles and keys, and has next to nothing to give.
const LESS: &[&str] = &["user.*", "role.*", "api_key.*", "team.*", "rule.*", "property.share", "ticket.*"];

/// The position of the last event.
async fn head(client: &Client) -> Value {
    client.read("/v1/events?limit=1").await["position"].clone()
}

async fn key(client: &Client, body: Value) -> (String, String) {
    let issued = client.post("/v1/api_keys", body).await.expect(StatusCode::CREATED);
    (issued["id"].as_str().unwrap().to_owned(), issued["key"].as_str().unwrap().to_owned())
}

async fn me(client: &Client) -> String {
    client.read("/v1/me").await["user"].as_str().unwrap().to_owned()
}

async fn role(client: &Client, name: &str, permissions: &[&str]) -> String {
    client.create("/v1/roles", json!({ "name": name, "permissions": permissions })).await
}

/// Every command of users, roles and keys, with a body that speaks of `role`: what is in no table fails the test below.
fn commands(role: &str, channel: &str) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("user", "activate", json!({})),
        ("user", "change_profile", json!({ "email": "mine@example.com" })),
        ("user", "grant_role", json!({ "role": role })),
        ("user", "revoke_role", json!({ "role": role })),
        ("user", "grant_channel_access", json!({ "channel": channel })),
        ("user", "revoke_channel_access", json!({ "channel": channel })),
        ("user", "assign_calendar", json!({ "calendar": null })),
        ("user", "set_capacity", json!({ "kind": "ticket", "max": 1 })),
        ("user", "set_presence", json!({ "presence": "online" })),
        ("user", "hand_over", json!({ "to": channel })),
        ("user", "issue_link", json!({ "purpose": "password" })),
        ("user", "disable_second_factor", json!({})),
        ("user", "unlink_identity", json!({ "issuer": "https://id.example.com" })),
        ("user", "deactivate", json!({})),
        ("role", "change_permissions", json!({ "add": ["ticket.open"] })),
        ("role", "rename", json!({ "name": "Mine" })),
        ("role", "delete", json!({})),
        ("api_key", "rename", json!({ "name": "Mine" })),
        ("api_key", "revoke", json!({})),
    ]
}

/// Commands that bring something new into being: they touch nobody, and what they give is tried one by one.
const CREATING: &[&str] = &["user.invite", "role.create", "role.copy", "api_key.issue", "user.act_for"];

#[tokio::test]
async fn nobody_touches_a_user_a_role_or_a_key_that_has_more() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, less) = user_with(&server, "less@example.com", LESS).await;
    let more = role(admin, "More", &["ticket.*", "contact.edit"]).await;
    let boss = user(admin, "Boss").await;
    employ(admin, &boss, &more).await;
    let (boss_key, _) = key(admin, json!({ "name": "boss", "user": boss })).await;
    let target = |kind: &str| match kind {
        "user" => format!("/v1/users/{boss}"),
        "role" => format!("/v1/roles/{more}"),
        _ => format!("/v1/api_keys/{boss_key}"),
    };
    let channel = "01K9Z3T8W0QX6V5N4M3K2J1H0G";
    let table = commands(&more, channel);
    let known: BTreeSet<String> = table.iter().map(|(kind, command, _)| format!("{kind}.{command}")).collect();
    let permissions = admin.read("/v1/permissions").await["data"].as_array().unwrap().clone();
    for permission in permissions.iter().filter_map(Value::as_str) {
        let (kind, command) = permission.split_once('.').unwrap();
        let theirs = ["user", "role", "api_key"].contains(&kind) && command != "read" && !command.ends_with("_any");
        let elsewhere = CREATING.contains(&permission);
        assert!(!theirs || elsewhere || known.contains(permission), "{permission} is not tried");
    }
    let before = head(admin).await;
    for (kind, command, body) in &table {
        let refused = less.post(&format!("{}/{command}", target(kind)), body.clone()).await;
        refused.problem(403, "permission_denied");
    }
    assert_eq!(head(admin).await, before, "what is refused changes nothing");
    // Who has no more is touched.
    let equal = role(admin, "Equal", &["ticket.open"]).await;
    let peer = admin.create("/v1/users", json!({ "email": "peer@example.com", "name": "Peer" })).await;
    less.run(&format!("/v1/users/{peer}/activate"), json!({})).await;
    less.run(&format!("/v1/users/{peer}/grant_role"), json!({ "role": equal })).await;
    less.run(&format!("/v1/users/{peer}/change_profile"), json!({ "email": "other@example.com" })).await;
    let (peer_key, _) = key(&less, json!({ "name": "peer", "user": peer })).await;
    less.run(&format!("/v1/api_keys/{peer_key}/revoke"), json!({})).await;
    less.run(&format!("/v1/roles/{equal}/change_permissions"), json!({ "add": ["ticket.close"] })).await;
    less.run(&format!("/v1/users/{peer}/revoke_role"), json!({ "role": equal })).await;
    less.run(&format!("/v1/users/{peer}/deactivate"), json!({})).await;
    less.run(&format!("/v1/roles/{equal}/delete"), json!({})).await;
}

#[tokio::test]
async fn nobody_gives_what_he_does_not_have() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (own, less) = user_with(&server, "less@example.com", LESS).await;
    let (boss, everything) = (me(admin).await, shipped_role(admin, "admin").await);
    let mine = role(&less, "Mine", &["ticket.open"]).await;
    let peer = less.create("/v1/users", json!({ "email": "peer@example.com", "name": "Peer" })).await;
    let flat = admin.create("/v1/properties", json!({ "name": "A flat" })).await;
    let before = head(admin).await;
    let giving: Vec<(String, Value, &str)> = vec![
        ("/v1/roles".into(), json!({ "name": "All", "permissions": ["*"] }), "/permissions"),
        ("/v1/roles".into(), json!({ "name": "Reader", "permissions": ["*.read"] }), "/permissions"),
        ("/v1/roles".into(), json!({ "name": "Any", "permissions": ["user.set_presence_any"] }), "/permissions"),
        (format!("/v1/roles/{mine}/change_permissions"), json!({ "add": ["*"] }), "/add"),
        (format!("/v1/roles/{mine}/change_permissions"), json!({ "add": ["contact.read"] }), "/add"),
        (format!("/v1/users/{own}/grant_role"), json!({ "role": everything }), "/role"),
        (format!("/v1/users/{peer}/grant_role"), json!({ "role": everything }), "/role"),
        ("/v1/api_keys".into(), json!({ "name": "x", "user": boss }), "/user"),
        ("/v1/api_keys".into(), json!({ "name": "x", "user": boss, "role": mine }), "/user"),
        ("/v1/api_keys".into(), json!({ "name": "x", "role": everything }), "/role"),
        ("/v1/api_keys".into(), json!({ "name": "x", "user": peer, "role": everything }), "/role"),
        (format!("/v1/properties/{flat}/share"), json!({ "grantee": peer, "level": "read" }), "/level"),
        (format!("/v1/properties/{flat}/share"), json!({ "grantee": peer, "level": "write" }), "/level"),
    ];
    for (path, body, place) in &giving {
        let refused = less.post(path, body.clone()).await.problem(403, "permission_denied");
        assert_eq!(refused["errors"][0]["pointer"], *place, "{path}: {refused}");
    }
    less.header("deskfold-on-behalf-of", &boss).get("/v1/me").await.problem(403, "permission_denied");
    assert_eq!(head(admin).await, before, "what is refused changes nothing");

    // A key that is bound to less gives no more than it has, whatever its user has.
    let narrow = role(admin, "Narrow", &["api_key.issue", "role.create"]).await;
    let (_, secret) = key(admin, json!({ "name": "narrow", "role": narrow })).await;
    let bound = server.client(&secret);
    bound.post("/v1/api_keys", json!({ "name": "wide" })).await.problem(403, "permission_denied");
    bound.post("/v1/roles", json!({ "name": "All", "permissions": ["*"] })).await.problem(403, "permission_denied");
    key(&bound, json!({ "name": "as narrow", "role": narrow })).await;
    // Who has less is acted for.
    admin.header("deskfold-on-behalf-of", &own).get("/v1/me").await.expect(StatusCode::OK);
}

fn rule_granting(role: &str, user: &str) -> Value {
    let grant = json!({ "kind": "user", "id": user, "command": "grant_role", "body": { "role": role } });
    json!({ "name": "Promote", "trigger": "contact.created", "definition": { "actions": [{ "command": grant }] } })
}

#[tokio::test]
async fn a_rule_has_the_rights_of_whoever_published_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let everything = shipped_role(admin, "admin").await;
    let (_, less) = user_with(&server, "less@example.com", &["rule.*", "user.*"]).await;
    let invite = async |name: &str| {
        admin.create("/v1/users", json!({ "email": format!("{name}@example.com"), "name": name })).await
    };
    // What became of the user's roles once the rule has been asked.
    let after = async |id: &str| {
        contact(admin, "Ada").await;
        server.settle().await;
        admin.read(&format!("/v1/users/{id}")).await["role_ids"].clone()
    };
    // He may grant roles, and so may publish a rule that grants one: not one that may do more than he.
    let first = invite("first").await;
    let rule = less.create("/v1/rules", rule_granting(&everything, &first)).await;
    assert_eq!(after(&first).await, json!([]));
    let run = admin.read(&format!("/v1/rules/{rule}/runs")).await["data"][0].clone();
    assert!(run["error"].as_str().is_some_and(|error| error.contains("permission_denied")), "{run}");
    less.run(&format!("/v1/rules/{rule}/disable"), json!({})).await;
    let second = invite("second").await;
    let published = admin.create("/v1/rules", rule_granting(&everything, &second)).await;
    assert_eq!(after(&second).await, json!([everything]));
    // Whoever lets a rule work may himself do what it does.
    admin.run(&format!("/v1/rules/{published}/disable"), json!({})).await;
    let (_, keeper) = user_with(&server, "keeper@example.com", &["rule.enable"]).await;
    keeper.post(&format!("/v1/rules/{published}/enable"), json!({})).await.problem(403, "permission_denied");
    less.run(&format!("/v1/rules/{published}/enable"), json!({})).await;
    // What is rehearsed takes the same permissions.
    let (_, author) = user_with(&server, "author@example.com", &["rule.create", "event.read"]).await;
    let mut draft = rule_granting(&everything, &first);
    draft.as_object_mut().unwrap().remove("name");
    let asked = json!({ "draft": draft, "position": head(admin).await });
    author.post("/v1/rules/dry_run", asked).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn whoever_signs_in_administers_without_a_key() {
    let server = Server::start().await;
    let (founder, everything) = (me(&server.admin).await, shipped_role(&server.admin, "admin").await);
    let (anna, browser) = person(&server, "anna@example.com", &["*"]).await;
    // The founder has the only key, and goes.
    browser.post(&format!("/v1/users/{founder}/deactivate"), json!({})).await.expect(StatusCode::OK);
    server.settle().await;
    let own = browser.read(&format!("/v1/users/{anna}")).await["role_ids"][0].as_str().unwrap().to_owned();
    let revoke = json!({ "role": own });
    let path = format!("/v1/users/{anna}/revoke_role");
    browser.post(&path, revoke.clone()).await.problem(409, "last_admin");
    // With another role of all rights it is not the last.
    let grant = json!({ "role": everything });
    browser.post(&format!("/v1/users/{anna}/grant_role"), grant).await.expect(StatusCode::OK);
    browser.post(&path, revoke).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_last_administrator_is_not_locked_out() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (boss, everything) = (me(admin).await, shipped_role(admin, "admin").await);
    let first = admin.read("/v1/me").await["key"].as_str().unwrap().to_owned();
    // Others who are no way in: a user of all rights without a key, one who is shut out, a key bound to less, one that has
    // expired, one that is revoked.
    let idle = user(admin, "Idle").await;
    employ(admin, &idle, &everything).await;
    let gone = user(admin, "Gone").await;
    employ(admin, &gone, &everything).await;
    key(admin, json!({ "name": "gone", "user": gone })).await;
    admin.run(&format!("/v1/users/{gone}/deactivate"), json!({})).await;
    let reader = role(admin, "Reader", &["*.read", "*.edit"]).await;
    key(admin, json!({ "name": "bound", "user": idle, "role": reader })).await;
    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(60);
    key(admin, json!({ "name": "short", "user": idle, "expires_at": soon.to_string() })).await;
    server.app.advance(std::time::Duration::from_secs(61));
    let (revoked, _) = key(admin, json!({ "name": "revoked", "user": idle })).await;
    admin.run(&format!("/v1/api_keys/{revoked}/revoke"), json!({})).await;
    let before = head(admin).await;
    let locking = [
        (format!("/v1/users/{boss}/deactivate"), json!({})),
        (format!("/v1/users/{boss}/revoke_role"), json!({ "role": everything })),
        (format!("/v1/api_keys/{first}/revoke"), json!({})),
        (format!("/v1/roles/{everything}/delete"), json!({})),
        (format!("/v1/roles/{everything}/change_permissions"), json!({ "remove": ["*"] })),
        (format!("/v1/roles/{everything}/change_permissions"), json!({ "add": ["*.read"], "remove": ["*"] })),
    ];
    for (path, body) in &locking {
        admin.post(path, body.clone()).await.problem(409, "last_admin");
        admin.post(&format!("{path}?dry_run=true"), body.clone()).await.problem(409, "last_admin");
    }
    assert_eq!(head(admin).await, before, "what is refused changes nothing");
    // A role that permits everything by name serves as well.
    let all: Vec<String> = admin.read("/v1/permissions").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|permission| permission.as_str().unwrap().to_owned())
        .collect();
    let change = json!({ "add": all, "remove": ["*"] });
    admin.run(&format!("/v1/roles/{everything}/change_permissions"), change).await;
    let change = json!({ "remove": ["ticket.open"] });
    admin.post(&format!("/v1/roles/{everything}/change_permissions"), change).await.problem(409, "last_admin");
    // With another way in, each way may be taken, until one is left.
    let (_, secret) = key(admin, json!({ "name": "second", "user": idle })).await;
    let second = server.client(&secret);
    second.run(&format!("/v1/users/{boss}/deactivate"), json!({})).await;
    admin.get("/v1/me").await.problem(401, "user_inactive");
    second.post(&format!("/v1/users/{idle}/deactivate"), json!({})).await.problem(409, "last_admin");
    second.run(&format!("/v1/users/{boss}/activate"), json!({})).await;
    second.run(&format!("/v1/users/{idle}/revoke_role"), json!({ "role": everything })).await;
    admin.post(&format!("/v1/api_keys/{first}/revoke"), json!({})).await.problem(409, "last_admin");
}

#[tokio::test]
async fn of_two_administrators_who_shut_each_other_out_one_stays() {
    let server = Server::start().await;
    let (other, client) = server.beside(&[]).await;
    for round in 0..5 {
        let name = format!("Boss {round}");
        let (first, second) = (user(&server.admin, &name).await, user(&server.admin, &format!("{name} too")).await);
        let everything = shipped_role(&server.admin, "admin").await;
        let mut clients = Vec::new();
        for (boss, through) in [(&first, &server.admin), (&second, &client)] {
            employ(&server.admin, boss, &everything).await;
            let (_, secret) = key(&server.admin, json!({ "name": boss, "user": boss })).await;
            let mut own = through.clone();
            own.key = secret;
            clients.push(own);
        }
        // Nobody else is left.
        let boss = me(&server.admin).await;
        clients[0].run(&format!("/v1/users/{boss}/deactivate"), json!({})).await;
        let shut = async |by: &Client, whom: &str| by.post(&format!("/v1/users/{whom}/deactivate"), json!({})).await;
        let (one, two) = tokio::join!(shut(&clients[0], &second), shut(&clients[1], &first));
        let well = |reply: &deskfold_tests::Reply| reply.status == StatusCode::OK;
        assert!(well(&one) != well(&two), "{} {}", one.text, two.text);
        // Through the process that is asked next: the other's writes are heard of a little later.
        let mut left = server.admin.clone();
        left.key.clone_from(&clients[usize::from(!well(&one))].key);
        left.run(&format!("/v1/users/{boss}/activate"), json!({})).await;
        server.admin.get("/v1/me").await.expect(StatusCode::OK);
        let shut_out = if well(&one) { &first } else { &second };
        server.admin.run(&format!("/v1/users/{shut_out}/deactivate"), json!({})).await;
    }
    other.stop().await;
}

#[tokio::test]
async fn an_operator_gets_a_tenant_back_in_any_case() {
    let server = Server::start().await;
    let url = server.database.url.as_str();
    let admin = &server.admin;
    let (boss, everything) = (me(admin).await, shipped_role(admin, "admin").await);
    let first = admin.read("/v1/me").await["key"].as_str().unwrap().to_owned();
    let restored = async |user: &str| {
        let printed = output(&["admin", "restore", "--database-url", url, "--user", user]).await;
        let secret = printed.lines().find_map(|line| line.strip_prefix("key    ")).unwrap().to_owned();
        let client = server.client(&secret);
        client.run(&format!("/v1/tenants/{}/rename", server.tenant), json!({ "name": user })).await;
        let permissions = client.read("/v1/me").await["permissions"].as_array().unwrap().len();
        assert_eq!(permissions, client.read("/v1/permissions").await["data"].as_array().unwrap().len());
        client
    };
    // The last key is lost: whoever holds the machine may even revoke it.
    output(&["key", "revoke", "--database-url", url, &first]).await;
    let secret = output(&["key", "issue", "--database-url", url, "--user", "admin@localhost"]).await;
    let client = server.client(secret.trim());
    client.get("/v1/me").await.expect(StatusCode::OK);
    // A log of old may hold anything: nobody is let in, and no role permits everything.
    append(&server, &format!("user-{boss}"), "user.deactivated", json!({})).await;
    let lost = json!({ "added": [], "removed": ["*"] });
    append(&server, &format!("role-{everything}"), "role.permissions_changed", lost).await;
    let said = failure(&["key", "issue", "--database-url", url, "--user", "admin@localhost"]).await;
    assert!(said.contains("deskfold admin restore"), "{said}");
    let client = restored("admin@localhost").await;
    assert_eq!(me(&client).await, boss);
    let roles = client.read("/v1/events?types=role.created").await;
    let names: Vec<_> = roles["data"].as_array().unwrap().iter().map(|event| event["data"]["name"].clone()).collect();
    assert!(names.contains(&json!("restored admin 1")), "others' role is not made more: {names:?}");
    // Again, and for somebody who was never there; no further role is made.
    restored("admin@localhost").await;
    let client = restored("new@example.com").await;
    assert_ne!(me(&client).await, boss);
    append(&server, &format!("role-{everything}"), "role.deleted", json!({})).await;
    let client = restored("other@example.com").await;
    let roles = client.read("/v1/events?types=role.created").await["data"].as_array().unwrap().len();
    restored("third@example.com").await;
    assert_eq!(client.read("/v1/events?types=role.created").await["data"].as_array().unwrap().len(), roles);
}

/// An event that no command of today would write.
async fn append(server: &Server, stream: &str, kind: &str, data: Value) {
    use eventstore::{Append, Expected, Log, NewEvent, Options, StreamWrite};
    let log = Log::open(server.database.pool.clone(), Options::default()).await.unwrap();
    let actor = json!({ "kind": "system", "id": "00000000000000000000000000" });
    let id = uuid::Uuid::now_v7();
    let metadata = json!({ "actor": actor, "via": "api", "command_id": id, "correlation_id": id });
    let event = NewEvent {
        id,
        kind: kind.to_owned(),
        occurred_at: None,
        is_json: true,
        data: data.to_string().into(),
        metadata: metadata.to_string().into(),
        number: None,
    };
    let write = StreamWrite { stream: stream.to_owned(), expected: Expected::Any, events: vec![event] };
    let append = Append {
        tenant: server.tenant.clone(),
        command_id: id,
        fingerprint: 0,
        remember: false,
        writes: vec![write],
        claims: vec![],
    };
    log.append(append).await.unwrap();
    log.close().await;
    server.settle().await;
}

#[tokio::test]
async fn what_a_colleague_wrote_and_where_he_is_is_the_colleague_s() {
    let server = Server::start().await;
    let admin = &server.admin;
    let agent = async |name: &str| {
        let id = user(admin, name).await;
        let (_, secret) = key(admin, json!({ "name": name, "user": id })).await;
        (id, server.client(&secret))
    };
    let ((anna_id, anna), (boris_id, boris)) = (agent("Anna").await, agent("Boris").await);
    let ada = contact(&anna, "Ada").await;
    let about = json!([subject("contact", &ada)]);
    let ticket = anna.create("/v1/tickets", json!({ "title": "Broken" })).await;
    let site = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Site" })).await;
    admin.run(&format!("/v1/channels/{site}/add_operators"), json!({ "users": [anna_id, boris_id] })).await;
    let chat = anna.create("/v1/conversations", json!({ "medium": "live_chat", "channel": site })).await;
    anna.run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": "Good day" })).await;
    let comment = anna.create("/v1/comments", json!({ "subjects": about, "text": "x" })).await;
    let visit = json!({ "kind": "visit", "subjects": about, "text": "x" });
    let activity = anna.create("/v1/activities", visit).await;
    let reply = anna.create("/v1/quick_replies", json!({ "name": "hi", "text": "Hi", "user": anna_id })).await;
    let (kept, note) = ("01K9Z3T8W0QX6V5N4M3K2J1H0G", "01K9Z3T8W0QX6V5N4M3K2J1H0H");
    anna.run(&format!("/v1/contacts/{ada}/add_note"), json!({ "note_id": note, "text": "x" })).await;
    anna.run(&format!("/v1/tickets/{ticket}/add_note"), json!({ "message_id": kept, "body": "x" })).await;
    let commands = [
        (format!("/v1/users/{anna_id}/set_presence"), json!({ "presence": "away" })),
        (format!("/v1/comments/{comment}/edit"), json!({ "text": "y" })),
        (format!("/v1/activities/{activity}/correct"), json!({ "text": "y" })),
        (format!("/v1/contacts/{ada}/edit_note"), json!({ "note_id": note, "text": "y" })),
        (format!("/v1/quick_replies/{reply}/edit"), json!({ "text": "Hello" })),
        (format!("/v1/quick_replies/{reply}/tag"), json!({ "tag": "mine" })),
        (format!("/v1/conversations/{chat}/mark_read"), json!({ "user": anna_id })),
        (format!("/v1/tickets/{ticket}/redact_message"), json!({ "message_id": kept, "reason": "Wrong" })),
        (format!("/v1/comments/{comment}/delete"), json!({})),
        (format!("/v1/activities/{activity}/withdraw"), json!({})),
        (format!("/v1/contacts/{ada}/delete_note"), json!({ "note_id": note })),
        (format!("/v1/quick_replies/{reply}/archive"), json!({})),
    ];
    // A colleague may not, nor may he make a reply another's alone; whoever is away from this process's memory neither.
    let (other, beside) = server.beside(&[]).await;
    let elsewhere = {
        let mut client = beside.clone();
        client.key.clone_from(&boris.key);
        client
    };
    for (path, body) in &commands {
        for client in [&boris, &elsewhere] {
            let refused = client.post(path, body.clone()).await;
            // What is a colleague's alone he does not even see.
            match path.contains("quick_replies") {
                true => refused.problem(404, "quick_reply_unknown"),
                false => refused.problem(403, "permission_denied"),
            };
        }
    }
    let planted = json!({ "name": "hi", "text": "Hi", "user": anna_id });
    boris.post("/v1/quick_replies", planted).await.problem(403, "permission_denied");
    // Who has the permission for any may, and who wrote it may.
    let any = ["user.set_presence_any", "comment.edit_any", "comment.delete_any", "activity.correct_any"];
    let any = [&any[..], &["comment.edit", "user.set_presence"]].concat();
    let (_, lead) = user_with(&server, "lead@example.com", &any).await;
    lead.run(&commands[0].0, json!({ "presence": "online" })).await;
    lead.run(&commands[1].0, json!({ "text": "z" })).await;
    // The permission for any is no permission for the command itself.
    lead.post(&commands[8].0, json!({})).await.problem(403, "permission_denied");
    for (path, body) in &commands {
        let done = anna.run(path, body.clone()).await;
        assert_eq!(done.len(), 1, "{path}");
    }
    // What a customer wrote is nobody's own.
    let said = json!({ "body": "My card is 4111 1111 1111 1111", "message_id": "01K9Z3T8W0QX6V5N4M3K2J1H0J" });
    anna.run(&format!("/v1/tickets/{ticket}/receive_message"), said).await;
    let redact = json!({ "message_id": "01K9Z3T8W0QX6V5N4M3K2J1H0J", "reason": "A card" });
    boris.run(&format!("/v1/tickets/{ticket}/redact_message"), redact).await;
    other.stop().await;
}

/// What a colleague is responsible for: (kind, record, open), of the whole list.
async fn holdings(server: &Server, user: &str) -> BTreeSet<(String, String, bool)> {
    server.settle().await;
    let all = pages(&server.admin, &format!("/v1/users/{user}/holdings?limit=2")).await;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    all.iter().map(|entry| (text(entry, "kind"), text(entry, "record_id"), entry["open"] == true)).collect()
}

/// Something of every kind that somebody can be responsible for, in the hands of `user`; (kind, record).
async fn work_of(client: &Client, user: &str) -> Vec<(&'static str, String)> {
    let ada = contact(client, "Ada").await;
    let mut all = Vec::new();
    for (kind, path, body) in [
        ("ticket", "tickets", json!({ "title": "Broken", "assignee": user })),
        ("conversation", "conversations", json!({ "medium": "live_chat" })),
        ("task", "tasks", json!({ "title": "Call", "assignee": user })),
        ("contact", "contacts", json!({ "name": "Dora", "owner": user })),
        ("company", "companies", json!({ "name": "Rossi", "owner": user })),
        ("product", "products", json!({ "name": "Hosting", "owner": user })),
        ("lead", "leads", json!({ "name": "Oleg", "owner": user })),
        ("property", "properties", json!({ "name": "A flat", "owner": user })),
        ("enquiry", "enquiries", json!({ "name": "A flat", "contact": ada, "owner": user })),
        ("deal", "deals", json!({ "name": "A flat", "owner": user })),
        ("project", "projects", json!({ "name": "House", "owner": user })),
        ("quick_reply", "quick_replies", json!({ "name": "hello", "text": "Good day", "owner": user })),
        ("report", "reports", json!({ "name": "Backlog", "definition": { "measures": ["backlog"] }, "owner": user })),
        ("dashboard", "dashboards", json!({ "name": "Today", "owner": user })),
        ("view", "views", json!({ "name": "Mine", "collection": "tickets", "owner": user })),
        ("chatbot", "chatbots", json!({ "name": "Reception", "owner": user })),
        ("form", "forms", json!({ "name": "Ask us", "slug": "ask", "owner": user })),
        ("article", "articles", json!({ "name": "How to pay", "body": "Open it", "owner": user })),
        ("article_category", "article_categories", json!({ "name": "Billing", "owner": user })),
        (
            "intake_source",
            "intake_sources",
            json!({
                "name": "Till", "source": "till", "takes": "leads", "mapping": "[fields]\nname = \"{name}\"\n",
                "owner": user,
            }),
        ),
    ] {
        let id = client.create(&format!("/v1/{path}"), body).await;
        if kind == "conversation" {
            client.run(&format!("/v1/conversations/{id}/assign"), json!({ "assignee": user })).await;
        }
        all.push((kind, id));
    }
    all
}

#[tokio::test]
async fn what_a_leaver_holds_is_listed_and_handed_over_with_the_deactivation() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna, boris) = (user(admin, "Anna").await, user(admin, "Boris").await);
    let work = work_of(admin, &anna).await;
    let kinds: BTreeSet<&str> = work.iter().map(|(kind, _)| *kind).collect();
    // Whatever takes a colleague by these commands is among them.
    for permission in admin.read("/v1/permissions").await["data"].as_array().unwrap() {
        let (kind, command) = permission.as_str().unwrap().split_once('.').unwrap();
        assert!(!["assign", "change_owner"].contains(&command) || kinds.contains(kind), "{permission}");
    }
    // Done, put away, and another's.
    let done = admin.create("/v1/tickets", json!({ "title": "Old", "assignee": anna })).await;
    admin.run(&format!("/v1/tickets/{done}/resolve"), json!({})).await;
    let away = admin.create("/v1/leads", json!({ "name": "Away", "owner": anna })).await;
    admin.run(&format!("/v1/leads/{away}/archive"), json!({})).await;
    let others = admin.create("/v1/tasks", json!({ "title": "Mine", "assignee": boris })).await;
    let left = [("lead".to_owned(), away, false), ("ticket".to_owned(), done.clone(), false)];
    let held: BTreeSet<_> = work.iter().map(|(kind, id)| ((*kind).to_owned(), id.clone(), true)).collect();
    let both: BTreeSet<_> = held.iter().cloned().chain(left.clone()).collect();
    assert_eq!(holdings(&server, &anna).await, both);
    let counted = admin.read(&format!("/v1/users/{anna}/holdings?group=kind&count=exact&limit=1")).await;
    assert_eq!(counted["total"], both.len());
    let tickets = counted["groups"].as_array().unwrap().iter().find(|group| group["value"] == "ticket");
    assert_eq!(tickets.unwrap()["count"], 2, "{counted}");
    let named = admin.read(&filtered(&format!("/v1/users/{anna}/holdings"), &condition("kind", "eq", "lead"))).await;
    assert_eq!(
        texts(&named, "name").into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["Oleg", "Away"].map(ToOwned::to_owned))
    );

    // Nobody hands over to somebody who cannot do it, or to himself.
    let invited = admin.create("/v1/users", json!({ "email": "new@example.com", "name": "New" })).await;
    for unfit in [invited.as_str(), anna.as_str(), NOBODY] {
        let leave = json!({ "hand_over_to": unfit });
        admin.post(&format!("/v1/users/{anna}/deactivate"), leave).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
        let hand_over = json!({ "to": unfit });
        admin.post(&format!("/v1/users/{anna}/hand_over"), hand_over).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(holdings(&server, &anna).await, both);
    let leave = json!({ "reason": "Left", "hand_over_to": boris });
    let events = admin.run(&format!("/v1/users/{anna}/deactivate"), leave.clone()).await;
    assert_eq!(events, ["user.deactivated", "user.hand_over_begun"]);
    assert_eq!(holdings(&server, &anna).await, BTreeSet::from(left));
    let theirs = holdings(&server, &boris).await;
    let expected: BTreeSet<_> = held.into_iter().chain([("task".to_owned(), others, true)]).collect();
    assert_eq!(theirs, expected);
    // The log says why, once for each, and that it is over.
    let log = admin.read("/v1/events?types=user.hand_over_begun,user.handed_over").await;
    assert_eq!(texts(&log, "type"), ["user.hand_over_begun", "user.handed_over"]);
    let begun = log["data"][0]["position"].clone();
    for (kind, id) in &work {
        let plural = domain::catalogue::kind(kind).unwrap().plural;
        let history = admin.read(&format!("/v1/{plural}/{id}/history")).await;
        let given: Vec<_> = history["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["data"]["to"] == json!(boris))
            .map(|event| event["causation_position"].clone())
            .collect();
        assert_eq!(given, std::slice::from_ref(&begun), "{kind}: {history}");
    }
    let settled = head(admin).await;
    server.settle().await;
    assert_eq!(head(admin).await, settled);
    // What is reopened is listed again, and goes the same way.
    admin.run(&format!("/v1/tickets/{done}/reopen"), json!({})).await;
    assert!(holdings(&server, &anna).await.contains(&("ticket".to_owned(), done.clone(), true)));
    admin.run(&format!("/v1/users/{anna}/hand_over"), json!({ "to": boris })).await;
    assert_eq!(holdings(&server, &anna).await.len(), 1);
    admin.get(&format!("/v1/users/{NOBODY}/holdings")).await.problem(404, "user_unknown");
}

#[tokio::test]
async fn work_is_handed_over_without_leaving_and_what_somebody_else_took_stays_his() {
    let server = Server::with(&["--roles", "api"]).await;
    let admin = &server.admin;
    let (anna, boris, carla) = (user(admin, "Anna").await, user(admin, "Boris").await, user(admin, "Carla").await);
    let ticket = async |title: &str| admin.create("/v1/tickets", json!({ "title": title, "assignee": anna })).await;
    let (first, second) = (ticket("First").await, ticket("Second").await);
    admin.run(&format!("/v1/users/{anna}/hand_over"), json!({ "to": boris })).await;
    // No worker has come to it yet.
    admin.run(&format!("/v1/tickets/{second}/assign"), json!({ "assignee": carla })).await;
    let (worker, _) = server.beside(&[]).await;
    worker.settle().await.unwrap();
    let assignee = async |id: &str| admin.read(&format!("/v1/tickets/{id}")).await["assignee_id"].clone();
    assert_eq!((assignee(&first).await, assignee(&second).await), (json!(boris), json!(carla)));
    let held = admin.read(&format!("/v1/users/{anna}/holdings")).await;
    assert_eq!(held["data"], json!([]));
    worker.stop().await;
}
