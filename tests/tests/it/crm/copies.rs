//! Copies: attributes, tags and custom fields go along, and nothing that is the record's own.

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{NOBODY, contact, euros, field, user},
};

#[tokio::test]
async fn a_copy_has_what_describes_the_record_and_nothing_of_its_own() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "property", "view", "text", json!({})).await;
    field(client, "property", "heating", "text", json!({})).await;
    let body = json!({
        "name": "Flat on Via Roma", "price": euros("310000"), "city": "Roma", "features": ["lift"], "tags": ["sea"],
        "custom": { "view": "sea", "heating": "gas" }, "owner": user(client, "Anna").await,
    });
    let flat = client.create("/v1/properties", body).await;
    client
        .run(
            &format!("/v1/properties/{flat}/share"),
            json!({ "grantee": user(client, "Boris").await, "level": "read" }),
        )
        .await;
    client.run("/v1/fields/property/retire", json!({ "key": "heating" })).await;
    client.run(&format!("/v1/properties/{flat}/archive"), json!({})).await;
    let path = format!("/v1/properties/{flat}/copy");
    let changes = json!({ "name": "Flat on Via Roma, again", "price": euros("299000"), "city": null });
    let dry = client.post(&format!("{path}?dry_run=true"), changes.clone()).await.expect(StatusCode::OK);
    assert_eq!(dry["events"][0]["type"], "property.created");
    let keyed = client.header("idempotency-key", "copy");
    let copied = keyed.post(&path, changes.clone()).await.expect(StatusCode::CREATED);
    assert_eq!(keyed.post(&path, changes).await.json()["id"], copied["id"], "asked twice");
    server.settle().await;
    let copy = client.read(&format!("/v1/properties/{}", copied["id"].as_str().unwrap())).await;
    assert_eq!(
        (&copy["name"], &copy["price"], &copy["city"]),
        (&json!("Flat on Via Roma, again"), &euros("299000"), &Value::Null)
    );
    assert_eq!(
        (&copy["features"], &copy["tags"], &copy["custom"]),
        (&json!(["lift"]), &json!(["sea"]), &json!({ "view": "sea" }))
    );
    assert_eq!(
        (&copy["copied_from"], &copy["owner_id"], &copy["archived"]),
        (&json!(flat), &client.read("/v1/me").await["user"], &json!(false))
    );
    assert_eq!(client.read("/v1/properties").await["data"].as_array().unwrap().len(), 1, "the source stays archived");
    let problem = client.post(&path, json!({ "owner": NOBODY })).await.problem(422, "reference_unfit");
    assert_eq!(problem["errors"][0]["pointer"], "/owner");
    client.post(&format!("/v1/properties/{NOBODY}/copy"), json!({})).await.problem(404, "property_unknown");
}

#[tokio::test]
async fn what_no_two_records_share_is_left_behind() {
    let server = Server::start().await;
    let client = &server.admin;
    let body = json!({ "name": "Ada Rossi", "email": "ada@example.com", "phone": "+390655501010", "city": "Roma" });
    let ada = client.create("/v1/contacts", body).await;
    let copied = client.post(&format!("/v1/contacts/{ada}/copy"), json!({})).await.expect(StatusCode::CREATED);
    let data = &copied["events"][0]["data"];
    assert_eq!((&data["email"], &data["phone"], &data["city"]), (&Value::Null, &Value::Null, &json!("Roma")));
    // One that is merged into another is taken for that one.
    let other = contact(client, "Other").await;
    client.run(&format!("/v1/contacts/{ada}/merge"), json!({ "into": other })).await;
    let copied = client.post(&format!("/v1/contacts/{ada}/copy"), json!({})).await.expect(StatusCode::CREATED);
    assert_eq!(copied["events"][0]["data"]["copied_from"], *other);
    let role = client.create("/v1/roles", json!({ "name": "night", "permissions": ["ticket.read"] })).await;
    let copied = client.post(&format!("/v1/roles/{role}/copy"), json!({})).await.expect(StatusCode::CREATED);
    assert_eq!(copied["events"][0]["data"]["name"], "night (copy)");
    let task = json!({ "create_task": { "title": "Call" } });
    let rule = json!({ "name": "Greet", "trigger": "order.placed", "definition": { "actions": [task] } });
    let rule = client.create("/v1/rules", rule).await;
    let copied = client.post(&format!("/v1/rules/{rule}/copy"), json!({})).await.expect(StatusCode::CREATED);
    let events = copied["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap());
    assert_eq!(events.collect::<Vec<_>>(), ["rule.created", "rule.version_published"], "it is not enabled");
}

#[tokio::test]
async fn every_descriptive_kind_is_copied_and_only_by_who_may_read_and_create() {
    let server = Server::start().await;
    let client = &server.admin;
    let ada = contact(client, "Ada").await;
    let (_, reader) = user_with(&server, "reader@example.com", &["*.read"]).await;
    let (_, maker) = user_with(&server, "maker@example.com", &["*.create"]).await;
    for plural in ["companies", "products", "projects", "leads", "deals", "enquiries", "properties", "contacts"] {
        let body =
            if plural == "enquiries" { json!({ "name": "One", "contact": ada }) } else { json!({ "name": "One" }) };
        let id = client.create(&format!("/v1/{plural}"), body).await;
        let path = format!("/v1/{plural}/{id}/copy");
        let copied = client.post(&path, json!({ "name": "Two" })).await.expect(StatusCode::CREATED);
        let data = &copied["events"][0]["data"];
        assert_eq!((&data["name"], &data["copied_from"]), (&json!("Two"), &json!(id)), "{plural}");
        for client in [&reader, &maker] {
            client.post(&path, json!({})).await.problem(403, "permission_denied");
        }
    }
}

/// What a new record may not have is left behind: retired options, and with them whatever would refuse the copy.
#[tokio::test]
async fn retired_options_stay_on_the_old_record_and_if_match_is_about_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let sizes = json!({ "options": ["s", "m"] });
    field(client, "contact", "size", "select", sizes.clone()).await;
    field(client, "contact", "sizes", "multi_select", sizes).await;
    let body = json!({ "name": "Maria", "custom": { "size": "m", "sizes": ["m", "s"] } });
    let maria = client.create("/v1/contacts", body).await;
    let options = json!(["s"]);
    for key in ["size", "sizes"] {
        client.run("/v1/fields/contact/change", json!({ "key": key, "options": options })).await;
    }
    server.settle().await;
    let path = format!("/v1/contacts/{maria}");
    assert_eq!(client.read(&path).await["custom"], json!({ "size": "m", "sizes": ["m", "s"] }));
    let tag = client.get(&path).await.header("etag").to_owned();
    let copied = client.header("if-match", &tag).post(&format!("{path}/copy"), json!({})).await;
    let copied = copied.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/contacts/{copied}")).await["custom"], json!({ "sizes": ["s"] }));
    let stale = client.header("if-match", "\"7\"").post(&format!("{path}/copy"), json!({})).await;
    stale.problem(412, "version_mismatch");
    let router = client.create("/v1/products", json!({ "name": "Router", "kind": "goods", "sku": "R-1" })).await;
    let copied = client.create(&format!("/v1/products/{router}/copy"), json!({})).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/products/{copied}")).await["sku"], Value::Null);
}
