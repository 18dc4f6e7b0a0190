//! Who may see what, and who may change it: every read route, every command, every relation, with callers who may everything,
//! see what is their team's, see what is their own, and may nothing.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Reply, Server};
use domain::{catalogue, kernel::access::FOLLOWING};
use gateway::openapi;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    kernel::references::{commands, sound, world},
    org::auth::user_with,
    world::{NOBODY, condition, each, everything, filtered, grant, pages, product, shipped_role, subject, texts},
};

/// Whether everybody sees all records of a kind who sees any.
fn is_open(kind: &str) -> bool {
    catalogue::kind(kind).unwrap().open.is_some()
}

/// What an answer says, without what is about the request itself.
pub(crate) fn said(reply: &Reply, id: &str) -> (u16, String) {
    let mut body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("trace_id");
    }
    (reply.status.as_u16(), body.to_string().replace(id, "ID"))
}

/// The same query, answered as of the last write.
pub(crate) fn fresh(client: &Client, position: i64) -> Client {
    client.header("deskfold-min-position", position)
}

pub(crate) async fn head(client: &Client) -> i64 {
    client.read("/v1/events?limit=1").await["position"].as_i64().unwrap()
}

#[tokio::test]
async fn every_read_route_shows_what_the_caller_sees_and_no_more() {
    let server = Server::start().await;
    let admin = &server.admin;
    let all = everything(&server, admin, "Word").await;
    let (_, own) = user_with(&server, "own@example.com", &["*:own"]).await;
    let (_, team) = user_with(&server, "team@example.com", &["*:team"]).await;
    let (_, none) = user_with(&server, "none@example.com", &[]).await;
    server.settle().await;
    let document = openapi::document();
    let (mut walled, mut listed) = (0, 0);
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        let Some(permission) = operation["x-permission"].as_str() else { continue };
        let tag = operation["tags"][0].as_str().unwrap();
        let Some(kind) = catalogue::kinds().find(|kind| kind.plural == tag) else { continue };
        // What Deskfold brings along is nobody's, and a stream has no end.
        if template.ends_with("/shipped") || template.contains("{image}") || template.ends_with("/stream") {
            continue;
        }
        if template.contains("{position}") || template.contains("{source}") || permission == "event.read" {
            continue;
        }
        let known = all.get(tag).and_then(|ids| ids.first());
        let id = known.map_or(NOBODY, String::as_str);
        let path = template.replace("{id}", if tag == "fields" { "ticket" } else { id });
        let whole = admin.get(&path).await;
        let refused = none.get(&path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{template} for nobody: {}", refused.text);
        if is_open(kind.name) || template.contains("picker") {
            continue;
        }
        for scoped in [&own, &team] {
            let found = scoped.get(&path).await;
            if template.contains("{id}") {
                if known.is_none() {
                    continue;
                }
                assert!(whole.status.is_success(), "{template}: {}", whole.text);
                let nobody = scoped.get(&template.replace("{id}", NOBODY)).await;
                assert_eq!(found.status, StatusCode::NOT_FOUND, "{template}: {}", found.text);
                assert_eq!(said(&found, id), said(&nobody, NOBODY), "{template}");
                walled += 1;
            } else if FOLLOWING.contains(&kind.name) || kind.name == "api_key" {
                // Some are about what everybody sees, and a key of one's own is one's own.
            } else if found.status.is_success() && whole.json()["data"].is_array() {
                assert_eq!(found.json()["data"], json!([]), "{template} shows {}", found.text);
                let counted = scoped.get(&format!("{path}?count=exact")).await;
                assert!(!counted.status.is_success() || counted.json()["total"] == 0, "{template}: {}", counted.text);
                listed += 1;
            }
        }
    }
    assert!(walled > 100 && listed > 15, "{walled} single reads and {listed} lists were looked at");
}

#[tokio::test]
async fn every_command_of_what_one_does_not_see_finds_nothing_and_of_what_one_only_sees_is_refused() {
    let server = Server::start().await;
    let admin = &server.admin;
    let there = world(admin, "A").await;
    let (_, own) = user_with(&server, "own@example.com", &["*:own"]).await;
    let (_, seer) = user_with(&server, "seer@example.com", &["*.read", "*.read_any", "*:own"]).await;
    let (_, none) = user_with(&server, "none@example.com", &[]).await;
    let mut tried = 0;
    for asked in commands(|asked| !asked.creates) {
        let Some(id) = there.get(asked.kind) else { continue };
        // Of these the administrator is one's own or oneself.
        if is_open(asked.kind) {
            continue;
        }
        let body = sound(&asked, &there);
        let path = |id: &str| format!("/v1/{}/{id}/{}?dry_run=true", asked.plural, asked.name);
        let what = format!("{}.{}", asked.kind, asked.name);
        none.post(&path(id), body.clone()).await.problem(403, "permission_denied");
        let hidden = own.post(&path(id), body.clone()).await;
        let nobody = own.post(&path(NOBODY), body.clone()).await;
        if nobody.status == StatusCode::OK {
            // It begins one where there is none.
            hidden.problem(404, &format!("{}_unknown", asked.kind));
        } else {
            assert_eq!(said(&hidden, id), said(&nobody, NOBODY), "{what}: {}", hidden.text);
        }
        let seen = seer.post(&path(id), body.clone()).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{what}: {}", seen.text);
        assert_eq!(seen.json()["code"], "permission_denied", "{what}");
        // Whoever may everything is not stopped by a wall.
        assert_ne!(admin.post(&path(id), body).await.status, StatusCode::FORBIDDEN, "{what}");
        tried += 1;
    }
    assert!(tried > 100, "{tried} commands");
}

/// People around a deal: who stands in what relation to it.
struct Office {
    server: Server,
    contact: String,
    team: String,
    people: BTreeMap<&'static str, (String, Client)>,
}

impl Office {
    /// Eva and Fred work together, Otto and Nora alone; all of them see and change what is their own, Fred the team's.
    async fn new() -> Office {
        let server = Server::start().await;
        let own = ["*:own", "user.read", "team.read"];
        let mut people = BTreeMap::new();
        for (name, scope) in [("eva", "*:own"), ("fred", "*:team"), ("otto", "*:own"), ("nora", "*:own")] {
            let patterns = [own[1], own[2], scope];
            people.insert(name, user_with(&server, &format!("{name}@example.com"), &patterns).await);
        }
        let team = server.admin.create("/v1/teams", json!({ "name": "Sales" })).await;
        for name in ["eva", "fred"] {
            let member = json!({ "user": people[name].0 });
            server.admin.run(&format!("/v1/teams/{team}/add_member"), member).await;
        }
        let contact = server.admin.create("/v1/contacts", json!({ "name": "Ada" })).await;
        for (user, _) in people.values() {
            let share = json!({ "grantee": user, "level": "read" });
            server.admin.run(&format!("/v1/contacts/{contact}/share"), share).await;
        }
        Office { server, contact, team, people }
    }

    fn client(&self, name: &str) -> &Client {
        &self.people[name].1
    }

    fn user(&self, name: &str) -> &str {
        &self.people[name].0
    }

    /// Whether somebody sees a record, by itself and in its list alike; and whether he may change it and hand it on.
    async fn rights(&self, name: &str, plural: &str, id: &str, change: (&str, Value)) -> (bool, bool) {
        let client = fresh(self.client(name), head(&self.server.admin).await);
        let read = client.get(&format!("/v1/{plural}/{id}")).await;
        let sees = read.status.is_success();
        assert!(sees || read.status == StatusCode::NOT_FOUND, "{name}: {}", read.text);
        let list = client.read(&filtered(&format!("/v1/{plural}?count=exact"), &condition("id", "eq", id))).await;
        assert_eq!(list["data"].as_array().unwrap().len(), usize::from(sees), "{name}: the list of {plural}");
        assert_eq!(list["total"], i64::from(sees), "{name}: the count of {plural}");
        let history = client.get(&format!("/v1/{plural}/{id}/history")).await;
        assert_eq!(history.status.is_success(), sees, "{name}: the history, {}", history.text);
        let past = client.get(&format!("/v1/{plural}/{id}?as_of=2999-01-01")).await;
        assert_eq!(past.status.is_success(), sees, "{name}: the past, {}", past.text);
        let (command, body) = change;
        let changed = client.post(&format!("/v1/{plural}/{id}/{command}?dry_run=true"), body).await;
        let expected = if sees { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND };
        assert!(changed.status == StatusCode::OK || changed.status == expected, "{name}: {}", changed.text);
        (sees, changed.status == StatusCode::OK)
    }
}

#[tokio::test]
async fn each_relation_lets_see_and_change_what_it_says() {
    let office = Office::new().await;
    let admin = &office.server.admin;
    let deal = |owner: &str| json!({ "name": "Flat", "contact": office.contact, "owner": office.user(owner) });
    let tag = || ("tag", json!({ "tag": "vip" }));
    let none = (false, false);
    let id = admin.create("/v1/deals", deal("eva")).await;
    let rights = |name: &'static str| office.rights(name, "deals", &id, tag());
    assert_eq!(rights("eva").await, (true, true), "who owns it");
    assert_eq!(rights("fred").await, (true, true), "a colleague, for whoever reaches the team's");
    assert_eq!((rights("otto").await, rights("nora").await), (none, none));
    // Shared with one to read, with another to change.
    for (name, level) in [("otto", "read"), ("nora", "write")] {
        let share = json!({ "grantee": office.user(name), "level": level });
        admin.run(&format!("/v1/deals/{id}/share"), share).await;
    }
    assert_eq!((rights("otto").await, rights("nora").await), ((true, false), (true, true)));
    let hand_on = json!({ "grantee": office.user("otto"), "level": "write" });
    let refused = office.client("nora").post(&format!("/v1/deals/{id}/share"), hand_on.clone()).await;
    refused.problem(403, "permission_denied");
    office.client("eva").run(&format!("/v1/deals/{id}/share"), hand_on).await;
    assert_eq!(rights("otto").await, (true, true));
    for name in ["otto", "nora"] {
        admin.run(&format!("/v1/deals/{id}/unshare"), json!({ "grantee": office.user(name) })).await;
    }
    assert_eq!((rights("otto").await, rights("nora").await), (none, none), "and no longer");
    // Given away.
    admin.run(&format!("/v1/deals/{id}/change_owner"), json!({ "owner": office.user("otto") })).await;
    assert_eq!((rights("eva").await, rights("otto").await, rights("fred").await), (none, (true, true), none));
    // Shared with a team.
    admin.run(&format!("/v1/deals/{id}/share"), json!({ "grantee": office.team, "level": "read" })).await;
    assert_eq!((rights("eva").await, rights("fred").await), ((true, false), (true, false)));
    admin.run(&format!("/v1/teams/{}/remove_member", office.team), json!({ "user": office.user("eva") })).await;
    assert_eq!((rights("eva").await, rights("fred").await), (none, (true, false)));
    // What somebody sees is in order on every page.
    for name in ["Cellar", "Attic", "Barn"] {
        let hers = json!({ "name": name, "contact": office.contact, "owner": office.user("nora") });
        admin.create("/v1/deals", hers).await;
    }
    let nora = fresh(office.client("nora"), head(admin).await);
    let sorted = ["Attic", "Barn", "Cellar"].map(|name| json!(name));
    for limit in 1..4 {
        let up = pages(&nora, &format!("/v1/deals?sort=name&limit={limit}")).await;
        assert!(up.iter().map(|deal| &deal["name"]).eq(&sorted), "{limit}: {up:?}");
        let down = pages(&nora, &format!("/v1/deals?sort=-name&limit={limit}")).await;
        assert!(down.iter().map(|deal| &deal["name"]).eq(sorted.iter().rev()), "{limit}: {down:?}");
    }
}

#[tokio::test]
async fn a_ticket_is_seen_by_who_handles_it_asks_for_it_or_opened_it() {
    let office = Office::new().await;
    let admin = &office.server.admin;
    let tag = || ("tag", json!({ "tag": "vip" }));
    let opened = office.client("otto").create("/v1/tickets", json!({ "title": "Mine" })).await;
    assert_eq!(office.rights("otto", "tickets", &opened, tag()).await, (true, true));
    assert_eq!(office.rights("nora", "tickets", &opened, tag()).await, (false, false));
    let asked = json!({ "title": "Broken", "requester": subject("user", office.user("nora")) });
    let asked = admin.create("/v1/tickets", asked).await;
    assert_eq!(office.rights("nora", "tickets", &asked, tag()).await, (true, true));
    admin.run(&format!("/v1/tickets/{asked}/assign"), json!({ "assignee": office.user("otto") })).await;
    assert_eq!(office.rights("otto", "tickets", &asked, tag()).await, (true, true));
    admin.run(&format!("/v1/tickets/{asked}/unassign"), json!({})).await;
    assert_eq!(office.rights("otto", "tickets", &asked, tag()).await, (false, false));
    admin.run(&format!("/v1/tickets/{asked}/change_team"), json!({ "team": office.team })).await;
    assert_eq!(office.rights("eva", "tickets", &asked, tag()).await, (false, false), "only her own");
    assert_eq!(office.rights("fred", "tickets", &asked, tag()).await, (true, true), "the team's");
    // What belongs to it goes with it.
    admin.run(&format!("/v1/tickets/{asked}/reply"), json!({ "body": "Is it on?" })).await;
    let position = head(admin).await;
    let fred = fresh(office.client("fred"), position);
    assert_eq!(fred.read(&format!("/v1/tickets/{asked}/thread")).await["data"].as_array().unwrap().len(), 1);
    let eva = fresh(office.client("eva"), position);
    eva.get(&format!("/v1/tickets/{asked}/thread")).await.problem(404, "ticket_unknown");
    eva.get(&format!("/v1/tickets/{asked}/feed")).await.problem(404, "ticket_unknown");
    assert_eq!(fred.read("/v1/messages").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(eva.read("/v1/messages").await["data"], json!([]));
    // Whoever sees the one that goes on sees what it was made of.
    admin.run(&format!("/v1/tickets/{opened}/merge"), json!({ "into": asked })).await;
    let part = format!("/v1/tickets/{opened}");
    fresh(office.client("fred"), head(admin).await).get(&part).await.expect(StatusCode::OK);
    office.client("eva").get(&part).await.problem(404, "ticket_unknown");
}

#[tokio::test]
async fn remarks_offers_and_feeds_show_what_is_about_what_one_sees() {
    let office = Office::new().await;
    let admin = &office.server.admin;
    let deal =
        |name: &str, owner: &str| json!({ "name": name, "contact": office.contact, "owner": office.user(owner) });
    let hers = admin.create("/v1/deals", deal("Hers", "eva")).await;
    let his = admin.create("/v1/deals", deal("His", "otto")).await;
    let remark = |deals: &[&String], text: &str| {
        let subjects: Vec<Value> = deals.iter().map(|id| subject("deal", id)).collect();
        json!({ "subjects": subjects, "text": text })
    };
    for (deals, text) in [(vec![&hers], "about hers"), (vec![&his], "about his"), (vec![&hers, &his], "about both")] {
        admin.create("/v1/comments", remark(&deals, text)).await;
    }
    let position = head(admin).await;
    let seen = |page: Value| {
        let mut texts = texts(&page, "text");
        texts.sort();
        texts
    };
    let (eva, otto) = (fresh(office.client("eva"), position), fresh(office.client("otto"), position));
    assert_eq!(seen(eva.read("/v1/comments").await), ["about both", "about hers"]);
    assert_eq!(seen(otto.read("/v1/comments").await), ["about both", "about his"]);
    assert_eq!(fresh(office.client("nora"), position).read("/v1/comments").await["data"], json!([]));
    // In a command another record is named only by whoever sees it.
    let blind = office.client("eva").post("/v1/comments", remark(&[&his], "I guess")).await;
    let nobody = office.client("eva").post("/v1/comments", remark(&[&NOBODY.to_owned()], "I guess")).await;
    assert_eq!(said(&blind, &his), said(&nobody, NOBODY));
    blind.problem(422, "reference_unfit");
    // The feed of the contact that both share, without the other's deals and their names.
    let feed = eva.read(&format!("/v1/contacts/{}/feed?limit=1000", office.contact)).await;
    let (text, names) = (feed.to_string(), each(&feed, "subjects"));
    assert!(text.contains("Hers") && text.contains("about both"), "{text}");
    assert!(!text.contains("\"His\"") && !text.contains("about his") && !text.contains(his.as_str()), "{names:?}");
    let whole = fresh(admin, position).read(&format!("/v1/contacts/{}/feed?limit=1000", office.contact)).await;
    assert!(whole.to_string().contains("about his"));
    // What is remarked about one's own may be tidied up, but not what a colleague wrote.
    let about_hers = pages(&eva, "/v1/comments").await;
    let about_hers = about_hers.iter().find(|comment| comment["text"] == "about hers").unwrap()["id"].clone();
    let edit = json!({ "text": "other" });
    let path = format!("/v1/comments/{}/edit", about_hers.as_str().unwrap());
    office.client("eva").post(&path, edit.clone()).await.expect(StatusCode::OK);
    office.client("otto").post(&path, edit).await.problem(404, "comment_unknown");
}

#[tokio::test]
async fn of_what_a_customer_has_only_what_one_sees_is_offered() {
    let office = Office::new().await;
    let (admin, ada) = (&office.server.admin, &office.contact);
    let company = admin.create("/v1/companies", json!({ "name": "Acme" })).await;
    admin.run(&format!("/v1/contacts/{ada}/link_company"), json!({ "company": company })).await;
    let [first, last] = [product(admin, "Aerial").await, product(admin, "Zipper").await];
    grant(admin, &first, "company", &company).await;
    let hers = grant(admin, &last, "contact", ada).await;
    let position = head(admin).await;
    let path = format!("/v1/entitlements/picker?requester_id={ada}&limit=1");
    // What comes first and is not seen takes nobody's place.
    let offered = fresh(office.client("eva"), position).read(&path).await;
    assert_eq!(texts(&offered, "id"), [hers.as_str()]);
    let offered = fresh(admin, position).read(&path).await;
    assert_ne!(texts(&offered, "id"), [hers.as_str()]);
}

#[tokio::test]
async fn whoever_creates_a_record_owns_it_unless_the_body_says_otherwise() {
    let office = Office::new().await;
    let eva = office.client("eva");
    for kind in catalogue::kinds().filter(|kind| kind.commands.contains("change_owner") && kind.open.is_none()) {
        let body = match kind.name {
            "deal" | "enquiry" => json!({ "name": "New", "contact": office.contact }),
            "report" => json!({ "name": "New", "definition": { "measures": ["opened"] } }),
            "view" => json!({ "name": "New", "collection": "tickets" }),
            "quick_reply" => json!({ "name": "New", "text": "New", "user": office.user("eva") }),
            "form" => json!({ "name": "New", "slug": "hers" }),
            "intake_source" => {
                json!({ "name": "New", "source": "hers", "takes": "leads", "mapping": "[fields]\nname = \"{name}\"\n" })
            }
            _ => json!({ "name": "New" }),
        };
        let created = eva.post(&format!("/v1/{}", kind.plural), body.clone()).await.expect(StatusCode::CREATED);
        assert_eq!(created["events"][0]["data"]["owner"], office.user("eva"), "{}", kind.name);
        let mut given = body;
        given["owner"] = office.user("otto").into();
        match kind.name {
            "form" => given["slug"] = "his".into(),
            "intake_source" => given["source"] = "his".into(),
            _ => {}
        }
        if kind.private {
            // What is one's own alone one sees, whoever owns it.
            continue;
        }
        let given = eva.post(&format!("/v1/{}", kind.plural), given).await.expect(StatusCode::CREATED);
        assert_eq!(given["events"][0]["data"]["owner"], office.user("otto"), "{}", kind.name);
        let path = format!("/v1/{}/{}", kind.plural, given["id"].as_str().unwrap());
        let gone = fresh(eva, given["position"].as_i64().unwrap()).get(&path).await;
        gone.problem(404, &format!("{}_unknown", kind.name));
    }
}

#[tokio::test]
async fn the_shipped_roles_do_what_they_say() {
    let server = Server::start().await;
    let admin = &server.admin;
    let hire = async |name: &str| {
        let role = shipped_role(admin, name).await;
        let email = format!("{name}@example.com");
        let user = admin.create("/v1/users", json!({ "email": email, "name": name })).await;
        crate::world::employ(admin, &user, &role).await;
        let issued =
            admin.post("/v1/api_keys", json!({ "name": "test", "user": user })).await.expect(StatusCode::CREATED);
        server.client(issued["key"].as_str().unwrap())
    };
    let theirs = admin.create("/v1/properties", json!({ "name": "Villa" })).await;
    let secrets = ["/v1/events", "/v1/events/stream", "/v1/api_keys", "/v1/roles", "/v1/tenants", "/v1/settings"];
    for name in ["agent", "viewer", "analyst", "broker"] {
        let client = hire(name).await;
        for path in secrets {
            client.get(path).await.problem(403, "permission_denied");
        }
        let found = client.get(&format!("/v1/properties/{theirs}/history")).await;
        assert_eq!(found.status == StatusCode::OK, name != "broker", "{name}");
        let edited = client.post(&format!("/v1/properties/{theirs}/tag?dry_run=true"), json!({ "tag": "sea" })).await;
        let expected = match name {
            "agent" => StatusCode::OK,
            "broker" => StatusCode::NOT_FOUND,
            _ => StatusCode::FORBIDDEN,
        };
        assert_eq!(edited.status, expected, "{name}: {}", edited.text);
        if name == "broker" {
            let own = client.create("/v1/properties", json!({ "name": "Hut" })).await;
            client.run(&format!("/v1/properties/{own}/tag"), json!({ "tag": "wood" })).await;
            let client = fresh(&client, head(admin).await);
            assert_eq!(texts(&client.read("/v1/properties").await, "name"), ["Hut"]);
        }
    }
    let auditor = hire("auditor").await;
    let log = pages(&auditor, "/v1/events?limit=1000").await;
    assert!(log.len() > 20);
    auditor.post(&format!("/v1/properties/{theirs}/archive"), json!({})).await.problem(403, "permission_denied");
    let digest: String = sqlx::query_scalar("select key from log_claim where scope = 'api_key.digest' limit 1")
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    let issued: Vec<_> = log.iter().filter(|event| event["type"] == "api_key.issued").collect();
    assert!(!issued.is_empty() && issued.iter().all(|event| event["data"].get("digest").is_none()), "{issued:?}");
    assert!(!json!(log).to_string().contains(&digest));
    let key = issued[0]["stream"].as_str().unwrap().trim_start_matches("api_key-").to_owned();
    assert!(!auditor.get(&format!("/v1/api_keys/{key}/history")).await.text.contains("digest"));
    let made = admin.post("/v1/api_keys", json!({ "name": "one more" })).await;
    assert!(made.status == StatusCode::CREATED && !made.text.contains("digest"), "{}", made.text);
}

#[tokio::test]
async fn nobody_reaches_by_another_key_or_name_what_he_does_not_reach_himself() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva, _) = user_with(&server, "eva@example.com", &["deal.*:own"]).await;
    let patterns = ["deal.*:own", "api_key.issue", "user.act_for", "user.read"];
    let (_, otto) = user_with(&server, "otto@example.com", &patterns).await;
    let refused = otto.post("/v1/api_keys", json!({ "name": "hers", "user": eva })).await;
    refused.problem(403, "permission_denied");
    otto.header("deskfold-on-behalf-of", &eva).get("/v1/deals").await.problem(403, "permission_denied");
    otto.post("/v1/api_keys", json!({ "name": "mine" })).await.expect(StatusCode::CREATED);
    // Whoever reaches all deals reaches hers too.
    let (_, boss) = user_with(&server, "boss@example.com", &["deal.*", "api_key.issue", "user.act_for"]).await;
    boss.post("/v1/api_keys", json!({ "name": "hers", "user": eva })).await.expect(StatusCode::CREATED);
    // Nobody gives a wider scope than he has.
    let (_, giver) = user_with(&server, "giver@example.com", &["role.*", "deal.*:team"]).await;
    giver.create("/v1/roles", json!({ "name": "own deals", "permissions": ["deal.read:own"] })).await;
    let wider = json!({ "name": "all deals", "permissions": ["deal.read"] });
    giver.post("/v1/roles", wider).await.problem(403, "permission_denied");
    let odd = json!({ "name": "odd", "permissions": ["event.read:own"] });
    admin.post("/v1/roles", odd).await.problem(422, "role_permission_unknown");
    let me = giver.read("/v1/me").await["permissions"].to_string();
    assert!(me.contains("\"deal.read:team\"") && me.contains("\"role.create\""), "{me}");
}

#[tokio::test]
async fn a_wide_command_shows_and_changes_nothing_of_what_one_does_not_see() {
    let server = Server::start().await;
    let admin = &server.admin;
    let contact = admin.create("/v1/contacts", json!({ "name": "Maria" })).await;
    let body = json!({ "name": "Flat", "contact": contact, "description": "secret" });
    let deal = admin.create("/v1/deals", body).await;
    let (_, odd) = user_with(&server, "odd@example.com", &["deal.read:own", "deal.edit", "deal.tag"]).await;
    let edit = json!({ "description": "x" });
    for query in ["?dry_run=true", ""] {
        odd.patch(&format!("/v1/deals/{deal}{query}"), edit.clone()).await.problem(404, "deal_unknown");
        odd.post(&format!("/v1/deals/{deal}/tag{query}"), json!({ "tag": "x" })).await.problem(404, "deal_unknown");
    }
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/deals/{deal}")).await["description"], "secret");
    // A program that only writes does so to what it was told of.
    let (_, blind) = user_with(&server, "blind@example.com", &["deal.edit"]).await;
    blind.patch(&format!("/v1/deals/{deal}"), edit).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn nothing_reaches_a_hidden_record_through_one_that_was_merged_into_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, anna) = user_with(&server, "anna@example.com", &["*:own"]).await;
    let hidden = admin.create("/v1/contacts", json!({ "name": "Hidden" })).await;
    let merged = anna.create("/v1/contacts", json!({ "name": "Hers" })).await;
    let (covert, joined) = (admin.create("/v1/tickets", json!({ "title": "Covert" })).await, {
        anna.create("/v1/tickets", json!({ "title": "Hers" })).await
    });
    let (otto, _) = user_with(&server, "otto@example.com", &["*:own"]).await;
    anna.run(&format!("/v1/contacts/{merged}/share"), json!({ "grantee": otto, "level": "read" })).await;
    admin.run(&format!("/v1/contacts/{merged}/merge"), json!({ "into": hidden })).await;
    admin.run(&format!("/v1/tickets/{joined}/merge"), json!({ "into": covert })).await;
    let before = head(admin).await;
    let consent = json!({ "purpose": "newsletter", "granted": true, "source": "phone" });
    for (path, body) in [
        (format!("/v1/contacts/{merged}/request_erasure"), json!({ "basis": "consent withdrawn" })),
        (format!("/v1/contacts/{merged}/change_consent"), consent),
        (format!("/v1/contacts/{merged}/unmerge"), json!({})),
        (format!("/v1/tickets/{joined}/add_note"), json!({ "body": "x" })),
        (format!("/v1/tickets/{joined}/unmerge"), json!({})),
    ] {
        let reply = anna.post(&path, body).await;
        assert!([403, 404, 422].contains(&reply.status.as_u16()), "{path}: {}", reply.text);
        assert!(!reply.text.contains("Hidden") && !reply.text.contains("Covert"), "{path}: {}", reply.text);
    }
    let comment = json!({ "subject": { "kind": "contact", "id": merged }, "body": "x" });
    for (path, body) in [("/v1/comments", comment), ("/v1/deals", json!({ "name": "Flat", "contact": merged }))] {
        let reply = anna.post(path, body).await;
        assert!(reply.status.is_client_error() && !reply.text.contains(&hidden), "{path}: {}", reply.text);
    }
    assert_eq!(head(admin).await, before, "what is refused changes nothing");
    // With whom her own is shared is hers to say all the same.
    anna.run(&format!("/v1/contacts/{merged}/unshare"), json!({ "grantee": otto })).await;
    // Once what goes on is hers to see as well, so is the way to it.
    let (user, level) = (anna.read("/v1/me").await["user"].clone(), "write");
    admin.run(&format!("/v1/contacts/{hidden}/share"), json!({ "grantee": user, "level": level })).await;
    anna.run(&format!("/v1/contacts/{merged}/request_erasure"), json!({ "basis": "consent withdrawn" })).await;
}

#[tokio::test]
async fn a_share_ends_though_the_record_is_put_away_or_merged() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (user, anna) = user_with(&server, "anna@example.com", &["*:own"]).await;
    let share = json!({ "grantee": user, "level": "write" });
    let contact = admin.create("/v1/contacts", json!({ "name": "Maria" })).await;
    let survivor = admin.create("/v1/contacts", json!({ "name": "Maria R." })).await;
    let deal = admin.create("/v1/deals", json!({ "name": "Flat", "contact": contact })).await;
    for path in [format!("/v1/contacts/{contact}"), format!("/v1/deals/{deal}")] {
        admin.run(&format!("{path}/share"), share.clone()).await;
    }
    anna.run(&format!("/v1/deals/{deal}/archive"), json!({})).await;
    admin.run(&format!("/v1/contacts/{contact}/merge"), json!({ "into": survivor })).await;
    for path in [format!("/v1/contacts/{contact}"), format!("/v1/deals/{deal}")] {
        fresh(&anna, head(admin).await).get(&path).await.expect(StatusCode::OK);
        admin.run(&format!("{path}/unshare"), json!({ "grantee": user })).await;
        let anna = fresh(&anna, head(admin).await);
        assert_eq!(anna.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // A team that was put away still lets its members go.
    let team = admin.create("/v1/teams", json!({ "name": "Care" })).await;
    admin.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": user })).await;
    admin.run(&format!("/v1/teams/{team}/archive"), json!({})).await;
    admin.run(&format!("/v1/teams/{team}/remove_member"), json!({ "user": user })).await;
}

#[tokio::test]
async fn a_bound_key_does_no_more_than_its_user() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (user, broker) = user_with(&server, "broker@example.com", &["ticket.*:own", "contact.read"]).await;
    let wide = admin.create("/v1/roles", json!({ "name": "Wide", "permissions": ["ticket.*", "user.read"] })).await;
    let issued = admin.post("/v1/api_keys", json!({ "name": "wide", "user": user, "role": wide })).await;
    let bound = server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap());
    let ticket = admin.create("/v1/tickets", json!({ "title": "Somebody's" })).await;
    let own = broker.create("/v1/tickets", json!({ "title": "Own" })).await;
    let bound = fresh(&bound, head(admin).await);
    bound.get(&format!("/v1/tickets/{ticket}")).await.problem(404, "ticket_unknown");
    assert_eq!(texts(&bound.read("/v1/tickets").await, "title"), ["Own"]);
    // What the user has and the key's role has not is not the key's either.
    for path in ["/v1/users", "/v1/contacts"] {
        bound.get(path).await.problem(403, "permission_denied");
    }
    bound.run(&format!("/v1/tickets/{own}/add_note"), json!({ "body": "x" })).await;
}

#[tokio::test]
async fn who_sees_a_part_makes_nobody_see_more_by_a_team() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (colleague, _) = user_with(&server, "colleague@example.com", &["deal.*:own"]).await;
    let (lead, scoped) = user_with(&server, "lead@example.com", &["deal.*:team", "team.*", "user.read"]).await;
    let team = scoped.create("/v1/teams", json!({ "name": "Mine" })).await;
    for user in [&lead, &colleague] {
        let add = scoped.post(&format!("/v1/teams/{team}/add_member"), json!({ "user": user })).await;
        add.problem(403, "permission_denied");
    }
    // Whoever hires need not see records; who sees all of them gives nothing away.
    let (_, office) = user_with(&server, "office@example.com", &["team.*", "user.read"]).await;
    office.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": lead })).await;
    admin.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": colleague })).await;
    scoped.run(&format!("/v1/teams/{team}/remove_member"), json!({ "user": colleague })).await;
}

#[tokio::test]
async fn it_is_explained_who_sees_a_record_now_and_then() {
    let office = Office::new().await;
    let admin = &office.server.admin;
    let body = json!({ "name": "Flat", "contact": office.contact, "owner": office.user("eva") });
    let deal = admin.create("/v1/deals", body).await;
    let before = head(admin).await;
    admin.run(&format!("/v1/deals/{deal}/share"), json!({ "grantee": office.user("otto"), "level": "read" })).await;
    let who = async |query: &str| {
        let answer = admin.read(&format!("/v1/deals/{deal}/access{query}")).await;
        let entry = |entry: &Value| (entry["name"].as_str().unwrap().to_owned(), entry.clone());
        answer["data"].as_array().unwrap().iter().map(entry).collect::<BTreeMap<_, _>>()
    };
    let now = who("").await;
    let by = |who: &BTreeMap<String, Value>, name: &str| {
        who.get(&format!("{name}@example.com")).map(|entry| entry["sees"]["by"].as_str().unwrap().to_owned())
    };
    assert_eq!(by(&now, "eva").as_deref(), Some("own"));
    assert_eq!(by(&now, "fred").as_deref(), Some("colleague"));
    assert_eq!(by(&now, "otto").as_deref(), Some("share"));
    assert_eq!(by(&now, "nora"), None);
    let otto = &now["otto@example.com"];
    assert_eq!((&otto["sees"]["level"], &otto["sees"]["reach"]), (&json!("read"), &json!("own")));
    assert!(otto["commands"].get("edit").is_none() && now["eva@example.com"]["commands"].get("edit").is_some());
    assert_eq!(now["eva@example.com"]["sees"]["roles"], json!(["eva@example.com"]));
    let then = who(&format!("?as_of={before}")).await;
    assert_eq!((by(&then, "otto"), by(&then, "eva").as_deref()), (None, Some("own")));
    admin.get(&format!("/v1/deals/{deal}/access?as_of=1")).await.problem(404, "deal_unknown");
    // Why I may or may not.
    let mine = async |name: &str, id: &str| {
        let mut mine = office.client(name).read(&format!("/v1/me/access?record=deal:{id}")).await;
        mine.as_object_mut().unwrap().remove("position");
        mine
    };
    let otto = mine("otto", &deal).await;
    assert_eq!((&otto["sees"]["by"], otto["commands"].get("edit")), (&json!("share"), None));
    assert!(mine("eva", &deal).await["commands"].get("edit").is_some());
    assert_eq!(mine("nora", &deal).await, mine("nora", NOBODY).await);
    assert_eq!(mine("nora", &deal).await["sees"], Value::Null);
    // And then: of what one sees now, what one might.
    let then = async |name: &str, id: &str, moment: &str| {
        let path = format!("/v1/me/access?record=deal:{id}&{moment}");
        let mut then = office.client(name).read(&path).await;
        then.as_object_mut().unwrap().remove("position");
        then
    };
    let past = format!("as_of={before}");
    assert_eq!(then("otto", &deal, &past).await["sees"], Value::Null, "it was not shared then");
    assert_eq!(then("eva", &deal, &past).await["sees"]["by"], "own");
    assert_eq!(then("otto", &deal, "as_of=2999-01-01").await, mine("otto", &deal).await);
    assert_eq!(then("eva", &deal, "as_of=1").await["sees"], Value::Null, "there was none");
    office.client("eva").get(&format!("/v1/me/access?record=deal:{deal}&as_of=x")).await.problem(422, "as_of_invalid");
    office.client("nora").get(&format!("/v1/deals/{deal}/access")).await.problem(404, "deal_unknown");
    admin.get("/v1/me/access?record=unicorn:1").await.problem(422, "parameter_invalid");
    admin.run(&format!("/v1/deals/{deal}/change_owner"), json!({ "owner": office.user("nora") })).await;
    assert_eq!(then("nora", &deal, &past).await["sees"], Value::Null);
    // Whoever sees it no more is told nothing of then.
    assert_eq!(then("eva", &deal, &past).await, then("eva", NOBODY, &past).await);
}
