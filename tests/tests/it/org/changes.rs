//! The stream of what changes: each hears of the records that he sees and of nothing else, and misses nothing.

use std::collections::BTreeSet;

use deskfold_tests::{Client, Server};
use domain::catalogue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{org::auth::user_with, world::everything};

/// A listener.
struct Listener {
    response: reqwest::Response,
    text: String,
}

impl Listener {
    /// Listens to what comes after a position, as browsers say or as the address does.
    async fn new(client: &Client, path: &str) -> Listener {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listener { response, text: String::new() }
    }

    /// The next message: its id, and what it says. `None` once the stream has ended.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let said = field("data:").map(|data| {
                    assert_eq!(field("event:"), Some("changed"));
                    (field("id:").unwrap().parse().unwrap(), serde_json::from_str(data).unwrap())
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
            let (position, said) = self.next().await.expect("the stream goes on");
            assert_eq!(said["position"], position);
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
    order(&shared, "unshare", json!({ "grantee": eva_id })).await;
    order(&shared, "edit", json!({ "city": "Pisa" })).await;
    let second = mark().await;
    assert_eq!(eva_hears.until(&second).await, [of(&second)]);
    // What a role gives from now on counts at once.
    let role = admin.create("/v1/roles", json!({ "name": "Calls", "permissions": ["call.read"] })).await;
    admin.run(&format!("/v1/users/{eva_id}/grant_role"), json!({ "role": role })).await;
    let call = admin.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "main" })).await;
    assert_eq!(eva_hears.until(&call).await, [("call".to_owned(), call.clone())]);
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
    let (first, _) = listener.next().await.unwrap();
    let resumed = Listener::new(&eva.header("last-event-id", first), "/v1/changes/stream").await.until(&mark).await;
    assert_eq!(resumed, heard[1..]);
    eva.header("last-event-id", "abc").get("/v1/changes/stream").await.problem(400, "last_event_id_invalid");
    eva.get("/v1/changes/stream?after=1000000").await.problem(422, "position_ahead");
    eva.get("/v1/changes/stream?kind=deal").await.problem(422, "parameter_invalid");
    server.client("").get("/v1/changes/stream").await.problem(401, "key_missing");
}
