//! Pages of records over HTTP: every collection there is, for whoever may read it and for whoever may not, and what their scripts ask.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Reply, Server};
use domain::catalogue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    org::browser::{Browser, person},
    world::{NOBODY, condition, encoded, everything, texts},
};

/// Kinds that have pages of their own, and those whose records are in no list.
const ELSEWHERE: [&str; 6] = ["api_key", "notification", "role", "session", "tenant", "user"];

/// A page that is there.
fn page(reply: Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    reply.text
}

/// The page that is shown where there is nothing.
async fn nothing(browser: &Browser, path: &str) {
    let reply = browser.get(path).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (StatusCode::NOT_FOUND, "text/html; charset=utf-8"),
        "{path}"
    );
    assert!(reply.text.contains("There is no such page, or it is not for you to see."), "{path}: {}", reply.text);
}

/// What a page tells its script: the data of the element of this id.
fn data(page: &str, id: &str) -> BTreeMap<String, String> {
    let element = page.split(&format!("id=\"{id}\"")).nth(1).unwrap().split('>').next().unwrap();
    let pairs = element.split(" data-").skip(1).filter_map(|part| part.split_once("=\""));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}

/// What a script of a page asks: nothing that is older than the page.
async fn ask(browser: &Browser, page: &BTreeMap<String, String>, path: &str) -> Value {
    let request = browser.client.request(Method::GET, path).header("deskfold-min-position", &page["position"]);
    browser.send(request).await.expect(StatusCode::OK)
}

/// The collections that the page of all of them leads to.
async fn offered(browser: &Browser) -> BTreeSet<String> {
    let page = page(browser.get("/records").await);
    assert!(!page.contains(">kind-") && !page.contains(">context-"), "everything has a name: {page}");
    let ways = page.split("href=\"/records/").skip(1).filter_map(|rest| rest.split('"').next());
    ways.map(ToOwned::to_owned).collect()
}

fn any(fields: &str, op: &str, value: &str) -> Value {
    let conditions: Vec<_> = fields.split(' ').map(|field| condition(field, op, value)).collect();
    json!({ "any": conditions })
}

#[tokio::test]
async fn every_collection_has_a_list_and_a_page_of_each_record_for_whoever_may_read_it() {
    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let (_, full) = person(&server, "full@example.com", &["*"]).await;
    let (_, none) = person(&server, "none@example.com", &[]).await;
    let collections = offered(&full).await;
    let there = catalogue::kinds().filter(|kind| !ELSEWHERE.contains(&kind.name)).map(|kind| kind.plural.to_owned());
    assert_eq!(collections, there.collect(), "all kinds but those that have pages of their own");
    assert_eq!(offered(&none).await, BTreeSet::new());
    assert!(!page(none.get("/").await).contains("/records"));
    for collection in &collections {
        let (path, api) = (format!("/records/{collection}"), format!("/v1/{collection}"));
        let id = &all[collection.as_str()][0];
        let one = format!("{path}/{id}");
        for hidden in [&path, &one] {
            nothing(&none, hidden).await;
        }
        nothing(&full, &format!("{path}/{NOBODY}")).await;
        nothing(&full, &format!("{path}/nobody")).await;
        // Whatever the script of the list may ask is answered.
        let list = data(&page(full.get(&path).await), "records");
        let mut asked = vec![format!("{api}?sort=-{}", list["changed"])];
        asked.extend(list.get("title").map(|title| format!("{api}?sort={title}")));
        for (fields, op, value) in [("searched", "contains", "word"), ("holders", "eq", "@me")] {
            let filter = json!({ "all": [any(&list[fields], op, value)] });
            if !list[fields].is_empty() {
                asked.push(format!("{api}?filter={}", encoded(&filter.to_string())));
            }
        }
        for path in asked {
            ask(&full, &list, &path).await;
        }
        let found = ask(&full, &list, &format!("{api}?limit=200")).await;
        let row = &found["data"][0];
        for field in list["states"].split(' ').filter(|field| !field.is_empty()).chain([list["changed"].as_str()]) {
            assert!(row[field].is_string(), "{collection}: {field} in {row}");
        }
        // And so is what the script of a record asks.
        let record = data(&page(full.get(&one).await), "record");
        let kind = record["kind"].as_str();
        assert_eq!(catalogue::kind(kind).unwrap().plural, collection);
        let own = format!("{api}/{id}");
        let now = ask(&full, &record, &own).await;
        let mine = ask(&full, &record, &format!("/v1/me/access?record={kind}:{id}")).await;
        let commands: BTreeSet<_> = record["commands"].split(' ').collect();
        assert_eq!(mine["commands"].as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), commands);
        let who = ask(&full, &record, &format!("{own}/access")).await;
        assert!(texts(&who, "name").contains(&"full@example.com".to_owned()), "{kind}: {who}");
        let history = ask(&full, &record, &format!("{own}/history?backwards=true&limit=20")).await;
        let latest = history["data"][0]["position"].as_i64().unwrap();
        let then = ask(&full, &record, &format!("{own}?as_of={latest}")).await;
        assert_eq!(then["version"], now["version"], "{kind}");
        page(full.get(&format!("{one}?as_of={latest}")).await);
        // What it says that fields refer to are kinds that there are, or fields that say it.
        for (field, of) in record["references"].split(' ').filter_map(|pair| pair.split_once('=')) {
            let said = of.strip_prefix('@').map_or(of, |by| row[by].as_str().unwrap_or("contact"));
            assert!(catalogue::has(said), "{kind}.{field} refers to {of}: {row}");
        }
    }
    for unknown in ["/records/nothing", "/records/users", "/records/holdings", "/records/messages/x"] {
        nothing(&full, unknown).await;
    }
}

#[tokio::test]
async fn only_what_one_may_read_is_offered() {
    let server = Server::start().await;
    let deal = server.admin.create("/v1/deals", json!({ "name": "Via Roma" })).await;
    let (_, anna) = person(&server, "anna@example.com", &["deal.read", "user.read"]).await;
    assert_eq!(offered(&anna).await, BTreeSet::from(["deals".to_owned()]));
    assert!(page(anna.get("/").await).contains("href=\"/records\""));
    let record = page(anna.get(&format!("/records/deals/{deal}")).await);
    assert!(record.contains("data-collections=\"deal=deals\"") && record.contains("data-people"), "{record}");
    nothing(&anna, "/records/contacts").await;
    // What is switched off is not there.
    let off = json!({ "feature": "deals" });
    server.admin.post("/v1/tenants/current/disable_feature", off).await.expect(StatusCode::OK);
    assert_eq!(offered(&anna).await, BTreeSet::new());
    nothing(&anna, "/records/deals").await;
    nothing(&anna, &format!("/records/deals/{deal}")).await;
}

#[tokio::test]
async fn whom_a_record_is_shared_with_sees_it_at_the_next_look() {
    let server = Server::start().await;
    let permissions = ["deal.*:own", "user.read"];
    let (anna_id, anna) = person(&server, "anna@example.com", &permissions).await;
    let (boris_id, boris) = person(&server, "boris@example.com", &permissions).await;
    let deals = async |browser: &Browser| {
        let list = data(&page(browser.get("/records/deals").await), "records");
        texts(&ask(browser, &list, "/v1/deals").await, "name")
    };
    let created = anna.post("/v1/deals", json!({ "name": "Via Roma" })).await.expect(StatusCode::CREATED);
    let deal = created["id"].as_str().unwrap();
    let (one, own) = (format!("/records/deals/{deal}"), format!("/v1/deals/{deal}"));
    assert_eq!((deals(&anna).await, deals(&boris).await), (vec!["Via Roma".to_owned()], vec![]));
    page(anna.get(&one).await);
    nothing(&boris, &one).await;
    let share = json!({ "grantee": boris_id, "level": "read" });
    anna.post(&format!("{own}/share"), share).await.expect(StatusCode::OK);
    assert_eq!(deals(&boris).await, ["Via Roma"]);
    let record = data(&page(boris.get(&one).await), "record");
    let seen = ask(&boris, &record, &own).await;
    assert_eq!(seen["shared"], json!({ boris_id.clone(): "read" }));
    let mine = ask(&boris, &record, &format!("/v1/me/access?record=deal:{deal}")).await;
    assert_eq!((&mine["sees"]["by"], &mine["commands"]["share"]), (&json!("share"), &Value::Null));
    let who = ask(&boris, &record, &format!("{own}/access")).await;
    let users = texts(&who, "user");
    assert!(users.contains(&anna_id) && users.contains(&boris_id), "{users:?}");
    anna.post(&format!("{own}/unshare"), json!({ "grantee": boris_id })).await.expect(StatusCode::OK);
    assert_eq!(deals(&boris).await, Vec::<String>::new());
    nothing(&boris, &one).await;
}
