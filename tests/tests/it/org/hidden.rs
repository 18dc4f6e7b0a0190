//! What one does not see is told by nothing: not by commands that name it, not by names that are taken, not by what colleagues do
//! to sign in.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Reply, Server, restored, root};
use domain::{Id, catalogue};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    ground::program::{Running, home, output},
    kernel::references::{commands, set, sound, world},
    org::{
        auth::user_with,
        browser::{PASSWORD, person},
        walls::{fresh, head, said},
    },
    world::{NOBODY, condition, contact, each, employ, filtered, pages, party, product, shipped_role, texts},
};

/// The role that a user of [`user_with`] has, from now on with these permissions instead.
async fn narrow(admin: &Client, user: &str, from: &str, to: &[&str]) {
    let admin = fresh(admin, head(admin).await);
    let role = admin.read(&format!("/v1/users/{user}")).await["role_ids"][0].as_str().unwrap().to_owned();
    admin.run(&format!("/v1/roles/{role}/change_permissions"), json!({ "add": to, "remove": [from] })).await;
}

/// The kinds whose records are not everybody's.
fn walled(there: &BTreeMap<&'static str, String>) -> Vec<&'static str> {
    there.keys().copied().filter(|kind| catalogue::kind(kind).unwrap().open.is_none()).collect()
}

/// The places of all ids in a body.
fn ids(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() == 26 && text.parse::<Id>().is_ok() => found.push(pointer),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| ids(item, format!("{pointer}/{place}"), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, item)| ids(item, format!("{pointer}/{name}"), found));
        }
        _ => {}
    }
}

#[tokio::test]
async fn no_command_tells_a_hidden_record_that_it_names_from_none() {
    let server = Server::start().await;
    let hidden = world(&server.admin, "B").await;
    let (user, anna) = user_with(&server, "anna@example.com", &["*"]).await;
    let own = world(&anna, "A").await;
    narrow(&server.admin, &user, "*", &["*:own"]).await;
    let kinds = walled(&hidden);
    let (mut named, mut held) = (0, 0);
    for asked in commands(|_| true) {
        let path = match (asked.creates, own.get(asked.kind)) {
            (true, _) => format!("/v1/{}", asked.plural),
            (false, Some(id)) => format!("/v1/{}/{id}/{}", asked.plural, asked.name),
            (false, None) => continue,
        };
        let body = sound(&asked, &own);
        let compare = async |place: &str, made: &dyn Fn(&str) -> Value, id: &str, query: &str| {
            let with = |id: &str| {
                let mut body = body.clone();
                if place.ends_with("/0") && body.pointer(place).is_none() {
                    set(&mut body, place.trim_end_matches("/0"), &json!([null]));
                }
                set(&mut body, place, &made(id)).then_some(body)
            };
            let (Some(one), Some(other)) = (with(id), with(NOBODY)) else { return None };
            let one = anna.post(&format!("{path}{query}"), one).await;
            let other = anna.post(&format!("{path}{query}"), other).await;
            let what = format!("{}.{} with {id} at {place}", asked.kind, asked.name);
            // What is accepted has ids of its own.
            let told = |reply: &Reply, id: &str| match reply.status.is_success() {
                true => {
                    (reply.status.as_u16(), each(&json!({ "data": reply.json()["events"] }), "type").len().to_string())
                }
                false => said(reply, id),
            };
            assert_eq!(told(&one, id), told(&other, NOBODY), "{what}");
            Some(one.status)
        };
        for (pointer, target) in &asked.places {
            let place = pointer.replace('*', "0");
            let of = match target.as_str() {
                "any" => kinds.clone(),
                "same" => vec![asked.kind],
                kind => vec![kind],
            };
            for kind in of.into_iter().filter(|kind| kinds.contains(kind)) {
                let made = |id: &str| if target == "any" { party(kind, id) } else { json!(id) };
                let Some(status) = compare(&place, &made, &hidden[kind], "").await else { continue };
                assert!(status.is_client_error(), "{}.{}: {kind} at {place}", asked.kind, asked.name);
                named += usize::from(status != StatusCode::FORBIDDEN);
            }
        }
        // Whatever else is an id: of a part of the record, or of what it has already.
        let mut places = Vec::new();
        ids(&body, String::new(), &mut places);
        let checked: BTreeSet<String> = asked.places.iter().map(|(pointer, _)| pointer.replace('*', "0")).collect();
        for place in places.iter().filter(|place| !checked.iter().any(|known| place.starts_with(known))) {
            for kind in &kinds {
                held += usize::from(compare(place, &|id| json!(id), &hidden[kind], "?dry_run=true").await.is_some());
            }
        }
    }
    assert!(named > 120 && held > 200, "{named} named, {held} held");
}

#[tokio::test]
async fn a_quick_reply_of_one_user_s_is_seen_by_nobody_else() {
    let server = Server::start().await;
    let admin = &server.admin;
    let agent = shipped_role(admin, "agent").await;
    let mut people = BTreeMap::new();
    for name in ["anna", "boris", "clara"] {
        let (user, client) = user_with(&server, &format!("{name}@example.com"), &["team.read"]).await;
        admin.run(&format!("/v1/users/{user}/grant_role"), json!({ "role": agent })).await;
        people.insert(name, (user, client));
    }
    let ((anna_id, anna), (boris_id, boris), (_, clara)) = (&people["anna"], &people["boris"], &people["clara"]);
    let (_, broker) = user_with(&server, "broker@example.com", &["quick_reply.read"]).await;
    let (_, own) = user_with(&server, "own@example.com", &["*:own"]).await;
    let (_, auditor) = user_with(&server, "auditor@example.com", &["*.read", "*.read_any"]).await;
    let reply = |name: &str, user: Value| json!({ "name": name, "text": format!("Text of {name}"), "user": user });
    let everybodys = admin.create("/v1/quick_replies", reply("hello", Value::Null)).await;
    let hers = anna.create("/v1/quick_replies", reply("private", json!(anna_id))).await;
    let lent = anna.create("/v1/quick_replies", reply("lent", json!(anna_id))).await;
    let team = admin.create("/v1/teams", json!({ "name": "Sales" })).await;
    admin.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": boris_id })).await;
    anna.run(&format!("/v1/quick_replies/{lent}/share"), json!({ "grantee": team, "level": "read" })).await;
    let site = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Site" })).await;
    let all = json!({ "users": people.values().map(|(user, _)| user).collect::<Vec<_>>() });
    admin.run(&format!("/v1/channels/{site}/add_operators"), all).await;
    let chat = admin.create("/v1/conversations", json!({ "medium": "live_chat", "channel": site })).await;
    admin.run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": "Good day" })).await;
    let position = head(admin).await;
    for (who, client, expected) in [
        ("anna", anna, vec!["hello", "lent", "private"]),
        ("boris", boris, vec!["hello", "lent"]),
        ("clara", clara, vec!["hello"]),
        ("broker", &broker, vec!["hello"]),
        ("own", &own, vec!["hello"]),
        ("auditor", &auditor, vec!["hello", "lent", "private"]),
        ("admin", admin, vec!["hello", "lent", "private"]),
    ] {
        let client = fresh(client, position);
        let list = client.read("/v1/quick_replies?count=exact&sort=name").await;
        assert_eq!(texts(&list, "name"), expected, "{who}");
        assert_eq!(list["total"], expected.len(), "{who}");
        for (name, id) in [("hello", &everybodys), ("lent", &lent), ("private", &hers)] {
            let sees = expected.contains(&name);
            for path in ["", "/history", "?as_of=2999-01-01"] {
                let found = client.get(&format!("/v1/quick_replies/{id}{path}")).await;
                let nobody = client.get(&format!("/v1/quick_replies/{NOBODY}{path}")).await;
                assert_eq!(found.status.is_success(), sees, "{who}: {name}{path}: {}", found.text);
                assert!(sees || said(&found, id) == said(&nobody, NOBODY), "{who}: {name}{path}");
            }
            let mine = client.read(&format!("/v1/me/access?record=quick_reply:{id}")).await;
            assert_eq!(mine["sees"].is_object(), sees, "{who}: {name}: {mine}");
            let found = client.read(&filtered("/v1/quick_replies", &condition("name", "eq", name))).await;
            assert_eq!(each(&found, "id").len(), usize::from(sees), "{who}");
        }
    }
    // What is done with it, or names it.
    for (command, body) in [("edit", json!({ "text": "x" })), ("archive", json!({})), ("tag", json!({ "tag": "x" }))] {
        let path = |id: &str| format!("/v1/quick_replies/{id}/{command}");
        let refused = clara.post(&path(&hers), body.clone()).await;
        assert_eq!(said(&refused, &hers), said(&clara.post(&path(NOBODY), body.clone()).await, NOBODY));
        refused.problem(404, "quick_reply_unknown");
        own.post(&path(&everybodys), body).await.problem(403, "permission_denied");
    }
    let send = json!({ "body": "x", "quick_reply": hers });
    clara.run(&format!("/v1/conversations/{chat}/claim"), json!({})).await;
    let refused = clara.post(&format!("/v1/conversations/{chat}/send_message"), send.clone()).await;
    assert_eq!(refused.problem(422, "reference_unfit")["errors"][0]["pointer"], "/quick_reply");
    // Everybody's is changed by whoever may change such, and whose alone it is may change too.
    clara.patch(&format!("/v1/quick_replies/{everybodys}"), json!({ "text": "New" })).await.expect(StatusCode::OK);
    anna.patch(&format!("/v1/quick_replies/{hers}"), json!({ "user": null })).await.expect(StatusCode::OK);
    let clara = fresh(clara, head(admin).await);
    clara.get(&format!("/v1/quick_replies/{hers}")).await.expect(StatusCode::OK);
    clara.run(&format!("/v1/conversations/{chat}/send_message"), send).await;
    // Whoever has it alone owns it, whoever makes it.
    let made = admin.post("/v1/quick_replies", reply("given", json!(boris_id))).await.expect(StatusCode::CREATED);
    assert_eq!(made["events"][0]["data"]["owner"], *boris_id);
    let who = fresh(admin, head(admin).await).read(&format!("/v1/quick_replies/{hers}/access")).await;
    let clara = who["data"].as_array().unwrap().iter().find(|one| one["name"] == "clara@example.com").unwrap();
    assert_eq!(clara["sees"]["by"], "open");
}

#[tokio::test]
async fn a_taken_name_tells_no_hidden_record_and_is_taken_however_one_asks() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (user, anna) = user_with(&server, "anna@example.com", &["*:own"]).await;
    let body = json!({ "name": "Maria", "email": "maria@example.com", "phone": "+39 06 555 0101" });
    let maria = admin.create("/v1/contacts", body.clone()).await;
    let erp = json!({ "source": "erp", "external_id": "7" });
    admin.run(&format!("/v1/contacts/{maria}/add_external_id"), erp.clone()).await;
    let mine = contact(&anna, "Mine").await;
    // That it is taken cannot be hidden, by whom can.
    let again = json!({ "name": "Again", "email": "MARIA@example.com" });
    for (path, body, code) in [
        ("/v1/contacts".to_owned(), again.clone(), "contact_identity_taken"),
        ("/v1/contacts?dry_run=true".to_owned(), again.clone(), "contact_identity_taken"),
        (format!("/v1/contacts/{mine}/add_external_id"), erp.clone(), "contact_external_id_taken"),
        (format!("/v1/contacts/{mine}/add_external_id?dry_run=true"), erp.clone(), "contact_external_id_taken"),
    ] {
        let refused = anna.post(&path, body).await;
        let problem = refused.problem(409, code);
        assert!(problem.get("record").is_none() && !refused.text.contains(&maria), "{}", refused.text);
        assert!(!refused.text.contains("Maria"), "{}", refused.text);
    }
    let by_name = "/v1/contacts/by/external/erp/7";
    for query in ["", "?dry_run=true"] {
        let refused = anna.put(&format!("{by_name}{query}"), json!({ "name": "Maria" })).await;
        let problem = refused.problem(409, "contact_external_id_taken");
        assert!(problem.get("record").is_none() && !refused.text.contains(&maria), "{}", refused.text);
    }
    let nobody = anna.get("/v1/contacts/by/external/erp/8").await.problem(404, "contact_unknown");
    let hidden = anna.get(by_name).await.problem(404, "contact_unknown");
    assert_eq!(hidden["detail"].as_str().unwrap().replace('7', "8"), nobody["detail"]);
    // A holder by his address, his id or his name elsewhere.
    let hosting = product(admin, "Hosting").await;
    let entitled = async |client: &Client, holder: &str| {
        let body = json!({ "product": hosting, "holder": party("contact", holder) });
        client.put("/v1/entitlements/by/external/erp/1", body).await
    };
    let none = entitled(&anna, "nobody@example.com").await;
    for holder in ["maria@example.com", "erp:7", &maria] {
        let hidden = entitled(&anna, holder).await;
        assert_eq!(said(&hidden, holder), said(&none, "nobody@example.com"), "{}", hidden.text);
    }
    entitled(admin, "maria@example.com").await.expect(StatusCode::CREATED);
    entitled(&anna, &mine).await.problem(409, "entitlement_external_id_taken");
    anna.delete("/v1/entitlements/by/external/erp/1").await.problem(404, "entitlement_unknown");
    // Once she sees her she is told which it is, and brings her up to date.
    let share = json!({ "grantee": user, "level": "write" });
    admin.run(&format!("/v1/contacts/{maria}/share"), share).await;
    let told = anna.post("/v1/contacts", again).await.problem(409, "contact_identity_taken");
    assert_eq!(told["record"], json!({ "kind": "contact", "id": maria }));
    anna.put(by_name, json!({ "name": "Maria R." })).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn how_a_colleague_signs_in_is_told_to_him_and_to_who_helps_him() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna, browser) = person(&server, "anna@example.com", &["user.read"]).await;
    let (_, colleague) = user_with(&server, "colleague@example.com", &["user.read", "user.deactivate"]).await;
    let (_, helper) = user_with(&server, "helper@example.com", &["user.read", "user.issue_link"]).await;
    let (_, auditor) = user_with(&server, "auditor@example.com", &["*.read"]).await;
    let change = json!({ "current": PASSWORD, "password": "ten noisy herons" });
    browser.post("/v1/me/change_password", change).await.expect(StatusCode::OK);
    let request = json!({ "email": "anna.new@example.com", "password": "ten noisy herons" });
    browser.post("/v1/me/change_email", request).await;
    admin.run(&format!("/v1/users/{anna}/change_profile"), json!({ "city": "Roma" })).await;
    let confidential = |page: &Value| -> BTreeSet<String> {
        texts(page, "type").into_iter().filter(|event| catalogue::is_confidential(event)).collect()
    };
    let path = format!("/v1/users/{anna}/history?limit=1000");
    let whole = admin.read(&path).await;
    let secret = confidential(&whole);
    assert!(secret.contains("user.password_set") && secret.contains("user.link_issued"), "{secret:?}");
    let seen = colleague.read(&path).await;
    assert_eq!(confidential(&seen), BTreeSet::new());
    assert!(texts(&seen, "type").contains(&"user.profile_changed".to_owned()));
    let all = texts(&whole, "type").into_iter().filter(|event| !catalogue::is_confidential(event));
    assert_eq!(texts(&seen, "type"), all.collect::<Vec<_>>(), "all else is told");
    for knows in [&helper, &auditor] {
        assert_eq!(confidential(&knows.read(&path).await), secret);
    }
    assert_eq!(confidential(&browser.read(&path).await), secret);
    // Pages of it are whole, whatever is left out of them.
    let (mut found, mut next) = (Vec::new(), Some(format!("/v1/users/{anna}/history?limit=2")));
    while let Some(path) = next {
        let page = colleague.read(&path).await;
        found.extend(texts(&page, "type"));
        next = page["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(found, texts(&seen, "type"));
    colleague.get("/v1/events").await.problem(403, "permission_denied");
    colleague.get("/v1/sessions").await.problem(403, "permission_denied");
    assert!(!pages(&auditor, "/v1/events?category=user&limit=1000").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_tenants_from_before_become_those_of_new_tenants_once() {
    let mut desks: Vec<_> = std::fs::read_dir(root().join("tests/data/desks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".sql.gz"))
        .collect();
    desks.sort();
    // The one of before there were walls.
    let database = restored(&desks[0]).await;
    let pool = &database.pool;
    let roles: Vec<(String, String)> = sqlx::query_as(
        "select stream, convert_from(data, 'UTF8')::jsonb->>'name' from log_event where type = 'role.created' order by position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let stream = |name: &str| {
        let found = roles.iter().find(|(_, called)| called == name);
        found.unwrap_or_else(|| panic!("no role {name} in {roles:?}")).0.clone()
    };
    let (agent, viewer) = (stream("agent"), stream("viewer"));
    let changes = async || -> Vec<(String, String)> {
        sqlx::query_as("select stream, convert_from(data, 'UTF8') from log_event where type = 'role.permissions_changed' order by position")
            .fetch_all(pool)
            .await
            .unwrap()
    };
    let before = changes().await;
    let (homes, own) = ([home(), home(), home()], ["--database-url", &*database.url, "--rate-limit", "0"]);
    // A process that only answers leaves it to those that act.
    let api = Running::start(homes[2].path(), &[&own[..], &["--roles", "api,project"]].concat()).await;
    assert_eq!(changes().await, before);
    let (one, other) = tokio::join!(Running::start(homes[0].path(), &own), Running::start(homes[1].path(), &own));
    let after = changes().await;
    let new: Vec<_> = after[before.len()..].iter().map(|(stream, _)| stream.clone()).collect();
    assert_eq!(new.iter().filter(|stream| **stream == agent).count(), 1, "{new:?}");
    assert_eq!(new.iter().collect::<BTreeSet<_>>().len(), new.len(), "once each: {new:?}");
    let key = output(&["key", "issue", "--user", "admin@localhost", "--database-url", &database.url]).await;
    let admin = api.client(key.trim());
    let permissions = async |stream: &str| -> BTreeSet<String> {
        let role = fresh(&admin, head(&admin).await);
        let role = role.read(&format!("/v1/roles/{}", stream.trim_start_matches("role-"))).await;
        serde_json::from_value(role["permissions"].clone()).unwrap()
    };
    for stream in [&agent, &viewer] {
        let permissions = permissions(stream).await;
        assert!(permissions.contains("deal.read") && !permissions.contains("*.read"), "{stream}: {permissions:?}");
        assert!(!permissions.contains("event.read"), "{permissions:?}");
    }
    // What the tenant says from now on is the tenant's, whatever programs are started.
    let id = agent.trim_start_matches("role-");
    admin
        .run(&format!("/v1/roles/{id}/change_permissions"), json!({ "add": ["*.read"], "remove": ["deal.read"] }))
        .await;
    for running in [one, other] {
        running.signal("TERM");
        assert!(running.end().await.0);
    }
    let length = changes().await.len();
    let again = Running::start(homes[0].path(), &own).await;
    assert_eq!(changes().await.len(), length);
    assert!(permissions(&agent).await.contains("*.read"));
    for running in [again, api] {
        running.signal("TERM");
        assert!(running.end().await.0);
    }
}

#[tokio::test]
async fn a_shipped_role_that_the_tenant_has_changed_stays_as_it_is() {
    let server = Server::start().await;
    let admin = &server.admin;
    // As it was shipped once, made by somebody here: what is called so is the tenant's own.
    let former = json!({ "name": "Reader", "permissions": ["*.read"] });
    let own = admin.create("/v1/roles", former).await;
    let agent = shipped_role(admin, "agent").await;
    admin.run(&format!("/v1/roles/{agent}/change_permissions"), json!({ "add": [], "remove": ["report.*"] })).await;
    let before = head(admin).await;
    let (app, beside) = server.beside(&[]).await;
    assert_eq!(head(&beside).await, before, "nothing was said");
    server.settle().await;
    for role in [own, agent] {
        beside.get(&format!("/v1/roles/{role}")).await.expect(StatusCode::OK);
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_said_to_be_nobody_s_is_nobody_s() {
    let server = Server::start().await;
    let admin = &server.admin;
    let role = shipped_role(admin, "agent").await;
    let (user, anna) = user_with(&server, "anna@example.com", &["contact.create"]).await;
    employ(admin, &user, &role).await;
    let ada = contact(&anna, "Ada").await;
    for kind in catalogue::kinds().filter(|kind| kind.commands.contains("change_owner")) {
        let mut body = match kind.name {
            "deal" | "enquiry" => json!({ "name": "New", "contact": ada }),
            "report" => json!({ "name": "New", "definition": { "measures": ["opened"] } }),
            "quick_reply" => json!({ "name": "New", "text": "New" }),
            "view" => json!({ "name": "New", "collection": "tickets" }),
            "form" => json!({ "name": "New", "slug": "new" }),
            "article" => json!({ "name": "New", "body": "New" }),
            "intake_source" => json!({
                "name": "New", "source": "new", "takes": "leads", "mapping": "[fields]\nname = \"{name}\"\n",
            }),
            _ => json!({ "name": "New" }),
        };
        body["owner"] = Value::Null;
        let path = format!("/v1/{}", kind.plural);
        let created = admin.post(&path, body.clone()).await.expect(StatusCode::CREATED);
        assert_eq!(created["events"][0]["data"].get("owner"), None, "{}", kind.name);
        let row = fresh(admin, head(admin).await).read(&format!("{path}/{}", created["id"].as_str().unwrap())).await;
        assert_eq!(row["owner_id"], Value::Null, "{}", kind.name);
        // Also where something else that it names was merged meanwhile.
        if kind.name == "deal" {
            let gone = contact(admin, "Ada B.").await;
            admin.run(&format!("/v1/contacts/{gone}/merge"), json!({ "into": ada })).await;
            body["contact"] = json!(gone);
            let created = admin.post(&path, body.clone()).await.expect(StatusCode::CREATED);
            assert_eq!(created["events"][0]["data"].get("owner"), None);
        }
        if kind.name != "product" {
            body.as_object_mut().unwrap().remove("owner");
            body["name"] = "Own".into();
            match kind.name {
                "form" => body["slug"] = "own".into(),
                "intake_source" => body["source"] = "own".into(),
                _ => {}
            }
            let own = admin.post(&path, body).await.expect(StatusCode::CREATED);
            assert_ne!(own["events"][0]["data"].get("owner"), None, "{}", kind.name);
        }
    }
}
