//! The stream of what changes: each hears of the records that he sees and of nothing else, and misses nothing.

use std::collections::BTreeSet;

use deskfold_tests::{Client, Server};
use domain::catalogue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{org::auth::user_with, world::everything};

/// A listener.
pub(crate) struct Listener {
    response: reqwest::Response,
    text: String,
}

impl Listener {
    /// Listens to what comes after a position, as browsers say or as the address does.
    pub(crate) async fn new(client: &Client, path: &str) -> Listener {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listener { response, text: String::new() }
    }

    /// The next message: its id, and what it says. `None` once the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let said = field("data:").map(|data| {
                    let mut said: Value = serde_json::from_str(data).unwrap();
                    match field("event:") {
                        Some("changed") => assert_eq!(field("id:"), Some(&*said["position"].to_string())),
                        other => {
                            assert_eq!(other, Some("access"));
                            assert_eq!(said.as_object().unwrap().len(), 1, "{said}");
                            (said["kind"], said["id"]) = (json!("access"), json!(""));
                        }
                    }
                    (field("id:").unwrap().parse().unwrap(), said)
                });
                self.text = rest.to_owned();
                if said.is_some() {
                    return said;
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// What it hears up to a record.
    async fn until(&mut self, id: &str) -> Vec<(String, String)> {
        let mut heard = Vec::new();
        loop {
            let (_, said) = self.next().await.expect("the stream goes on");
            assert_eq!(said.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "kind", "position"]);
            let text = |name: &str| said[name].as_str().unwrap().to_owned();
            heard.push((text("kind"), text("id")));
            if said["id"] == id {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn one_hears_of_what_one_sees_as_soon_as_one_does_and_no_longer() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva_id, eva) = user_with(&server, "eva@example.com", &["property.*:own"]).await;
    let mut eva_hears = Listener::new(&eva, "/v1/changes/stream").await;
    let mut admin_hears = Listener::new(admin, "/v1/changes/stream").await;
    let stranger = server.another_tenant("Quagga").await;
    let mut stranger_hears = Listener::new(&stranger, "/v1/changes/stream").await;
    let property = async |name: &str| admin.create("/v1/properties", json!({ "name": name })).await;
    let order = async |id: &str, command: &str, body: Value| {
        admin.run(&format!("/v1/properties/{id}/{command}"), body).await;
    };
    let mark = async || eva.create("/v1/properties", json!({ "name": "Mark" })).await;
    let of = |id: &str| ("property".to_owned(), id.to_owned());
    let (hidden, shared) = (property("Hidden").await, property("Shared").await);
    order(&hidden, "edit", json!({ "city": "Roma" })).await;
    admin.create("/v1/contacts", json!({ "name": "Ada" })).await;
    let first = mark().await;
    assert_eq!(eva_hears.until(&first).await, [of(&first)], "nothing of what is not hers");
    order(&shared, "share", json!({ "grantee": eva_id, "level": "read" })).await;
    assert_eq!(eva_hears.until(&shared).await, [of(&shared)]);
    order(&shared, "edit", json!({ "city": "Bari" })).await;
    assert_eq!(eva_hears.until(&shared).await, [of(&shared)]);
    // That it is gone she hears, and nothing of what happens to it then.
    order(&shared, "unshare", json!({ "grantee": eva_id })).await;
    assert_eq!(eva_hears.until(&shared).await, [of(&shared)]);
    order(&shared, "edit", json!({ "city": "Pisa" })).await;
    order(&hidden, "change_owner", json!({ "owner": null })).await;
    let second = mark().await;
    assert_eq!(eva_hears.until(&second).await, [of(&second)]);
    // What a role gives from now on counts at once.
    let role = admin.create("/v1/roles", json!({ "name": "Calls", "permissions": ["call.read"] })).await;
    admin.run(&format!("/v1/users/{eva_id}/grant_role"), json!({ "role": role })).await;
    let call = admin.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "main" })).await;
    let access = || ("access".to_owned(), String::new());
    assert_eq!(eva_hears.until(&call).await, [access(), ("call".to_owned(), call.clone())]);
    let whole = admin_hears.until(&call).await;
    for id in [&hidden, &shared, &first, &second] {
        assert!(whole.contains(&of(id)), "{whole:?}");
    }
    let own = stranger.create("/v1/contacts", json!({ "name": "Own" })).await;
    assert_eq!(stranger_hears.until(&own).await, [("contact".to_owned(), own.clone())], "nothing of other tenants");
    // Whoever may nothing any more hears nothing any more.
    admin.run(&format!("/v1/users/{eva_id}/deactivate"), json!({})).await;
    property("Afterwards").await;
    assert_eq!(eva_hears.next().await, None);
}

#[tokio::test]
async fn one_hears_that_one_sees_more_or_less_by_a_role_or_a_team() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva_id, eva) = user_with(&server, "eva@example.com", &["property.*:team"]).await;
    let (fred_id, _) = user_with(&server, "fred@example.com", &["property.*:own"]).await;
    let team = admin.create("/v1/teams", json!({ "name": "Sales" })).await;
    let other = admin.create("/v1/teams", json!({ "name": "Others" })).await;
    admin.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": fred_id })).await;
    let body = json!({ "name": "Villa", "owner": fred_id });
    let villa = admin.create("/v1/properties", body).await;
    server.settle().await;
    let mut hears = Listener::new(&eva, "/v1/changes/stream").await;
    let sees = async || eva.get(&format!("/v1/properties/{villa}")).await.status == StatusCode::OK;
    let mark = async || eva.create("/v1/properties", json!({ "name": "Mark" })).await;
    let access = ("access".to_owned(), String::new());
    for (path, body, sees_it, told) in [
        (format!("teams/{team}/add_member"), json!({ "user": eva_id }), true, true),
        (format!("teams/{team}/remove_member"), json!({ "user": fred_id }), false, true),
        (format!("teams/{team}/add_member"), json!({ "user": fred_id }), true, true),
        // What is no concern of hers is none.
        (format!("teams/{other}/add_member"), json!({ "user": fred_id }), true, false),
        (format!("teams/{team}/rename"), json!({ "name": "Sale" }), true, false),
        (format!("teams/{team}/remove_member"), json!({ "user": eva_id }), false, true),
    ] {
        admin.run(&format!("/v1/{path}"), body).await;
        assert_eq!(sees().await, sees_it, "{path}");
        let mark = mark().await;
        let heard = hears.until(&mark).await;
        assert_eq!(heard.contains(&access), told, "{path}: {heard:?}");
    }
    // Whoever was away is told what was decided about him meanwhile.
    let before = admin.read("/v1/events?limit=1").await["position"].as_i64().unwrap();
    admin.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": eva_id })).await;
    let last = mark().await;
    let heard = Listener::new(&eva, &format!("/v1/changes/stream?after={before}")).await.until(&last).await;
    assert!(heard.contains(&access), "{heard:?}");
}

#[tokio::test]
async fn whoever_comes_back_hears_what_changed_in_between_once_and_only_what_he_sees() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (user, eva) = user_with(&server, "eva@example.com", &["*:own"]).await;
    let all = everything(&server, admin, "Word").await;
    for (collection, command) in [("deals", "share"), ("properties", "share"), ("companies", "share")] {
        let grant = json!({ "grantee": user, "level": "read" });
        admin.run(&format!("/v1/{collection}/{}/{command}", all[collection][0]), grant).await;
    }
    let mark = eva.create("/v1/leads", json!({ "name": "Mark" })).await;
    // From the beginning on, be it read from the log: of hidden records nothing is told.
    let heard = Listener::new(&eva, "/v1/changes/stream?after=0").await.until(&mark).await;
    let kinds: BTreeSet<_> = heard.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(["deal", "property", "company", "lead"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let (access, heard): (Vec<_>, Vec<_>) = heard.into_iter().partition(|(kind, _)| kind == "access");
    assert_eq!(access.len(), 1, "what was decided about her meanwhile is told once");
    for (kind, id) in heard.iter().filter(|(kind, _)| catalogue::kind(kind).unwrap().open.is_none()) {
        let mine = eva.read(&format!("/v1/me/access?record={kind}:{id}")).await;
        assert_ne!(mine["sees"], Value::Null, "{kind} {id} is told and not seen");
    }
    let told = Listener::new(admin, "/v1/changes/stream?after=0").await.until(&mark).await;
    assert!(told.len() > heard.len() + 20, "{} of {}", heard.len(), told.len());
    let once: BTreeSet<_> = told.iter().collect();
    assert!(once.len() > 60 && told.len() < 2 * once.len(), "several changes of a record at a time are one");
    // Where it left off.
    let mut listener = Listener::new(&eva, "/v1/changes/stream?after=0").await;
    let first = loop {
        let (position, said) = listener.next().await.unwrap();
        if said["kind"] != "access" {
            break position;
        }
    };
    let resumed = Listener::new(&eva.header("last-event-id", first), "/v1/changes/stream").await.until(&mark).await;
    assert_eq!(resumed.into_iter().filter(|(kind, _)| kind != "access").collect::<Vec<_>>(), heard[1..]);
    eva.header("last-event-id", "abc").get("/v1/changes/stream").await.problem(400, "last_event_id_invalid");
    eva.get("/v1/changes/stream?after=1000000").await.problem(422, "position_ahead");
    eva.get("/v1/changes/stream?kind=deal").await.problem(422, "parameter_invalid");
    server.client("").get("/v1/changes/stream").await.problem(401, "key_missing");
}
