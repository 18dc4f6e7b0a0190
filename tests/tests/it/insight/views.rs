//! Views: lists as people keep them, for themselves and for others, over HTTP.

use deskfold_tests::{Client, Reply, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    org::browser::{Browser, person},
    world::{condition, encoded, everything, field, filtered, pages, texts},
};

async fn view(client: &Client, body: Value) -> String {
    client.create("/v1/views", body).await
}

/// A page of the server's own changes something.
async fn patch(browser: &Browser, path: &str, body: Value) -> Reply {
    let request = browser.client.request(Method::PATCH, path).header("sec-fetch-site", "same-origin");
    browser.send(request.json(&body)).await
}

#[tokio::test]
async fn a_view_shows_its_list_as_whoever_looks_sees_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let permissions = ["ticket.*:own", "view.*:own"];
    let (anna_id, anna) = person(&server, "anna@example.com", &permissions).await;
    let (boris_id, boris) = person(&server, "boris@example.com", &permissions).await;
    let (_, clara) = person(&server, "clara@example.com", &["view.*:own"]).await;
    for (title, priority, assignee) in
        [("One", 0, &anna_id), ("Two", 3, &anna_id), ("Three", 2, &boris_id), ("Four", 1, &boris_id)]
    {
        admin.create("/v1/tickets", json!({ "title": title, "priority": priority, "assignee": assignee })).await;
    }
    let done = admin.create("/v1/tickets", json!({ "title": "Five", "assignee": anna_id })).await;
    admin.run(&format!("/v1/tickets/{done}/resolve"), json!({})).await;
    server.settle().await;
    let mine = json!({
        "name": "My open tickets",
        "collection": "tickets",
        "filter": { "all": [condition("assignee_id", "eq", "@me"), condition("status", "eq", "open")] },
        "columns": ["number", "title", "requester_name"],
        "sort": "-priority",
        "group_by": "priority",
    });
    let created = anna.post("/v1/views", mine.clone()).await.expect(StatusCode::CREATED);
    let id = created["id"].as_str().unwrap();
    let (own, records, counts) =
        (format!("/v1/views/{id}"), format!("/v1/views/{id}/records"), format!("/v1/views/{id}/counts"));
    server.settle().await;
    let seen = anna.get(&own).await.expect(StatusCode::OK);
    for part in ["name", "collection", "filter", "columns", "sort", "group_by"] {
        assert_eq!(seen[part], mine[part], "{part}");
    }
    assert_eq!(seen["owner_id"], anna_id, "whoever makes a view has it");
    let page = anna.get(&records).await.expect(StatusCode::OK);
    assert_eq!(texts(&page, "title"), ["Two", "One"]);
    assert_eq!((&page["columns"], &page["faults"]), (&mine["columns"], &json!([])));
    let first = anna.get(&format!("{records}?limit=1&count=exact")).await.expect(StatusCode::OK);
    assert_eq!((texts(&first, "title"), &first["total"]), (vec!["Two".to_owned()], &json!(2)));
    let second = anna.get(first["next"].as_str().unwrap()).await.expect(StatusCode::OK);
    assert_eq!((texts(&second, "title"), &second["next"]), (vec!["One".to_owned()], &Value::Null));
    let counted = anna.get(&counts).await.expect(StatusCode::OK);
    let groups = json!([{ "value": 0, "count": 1 }, { "value": 3, "count": 1 }]);
    assert_eq!((&counted["total"], &counted["groups"]), (&json!(2), &groups));

    // It is nobody else's until it is shared, and then shows everybody his own.
    for path in [&own, &records, &counts] {
        boris.get(path).await.problem(404, "view_unknown");
    }
    assert_eq!(boris.get("/v1/views").await.expect(StatusCode::OK)["data"], json!([]));
    let share = json!({ "grantee": boris_id, "level": "read" });
    anna.post(&format!("{own}/share"), share).await.expect(StatusCode::OK);
    server.settle().await;
    assert_eq!(texts(&boris.get("/v1/views").await.expect(StatusCode::OK), "name"), ["My open tickets"]);
    let page = boris.get(&records).await.expect(StatusCode::OK);
    assert_eq!(texts(&page, "title"), ["Three", "Four"]);
    patch(&boris, &own, json!({ "name": "Boris's" })).await.problem(403, "permission_denied");
    // A view is no way around the permission to read what it shows.
    let all = json!({ "name": "All", "collection": "tickets" });
    let all = anna.post("/v1/views", all).await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    server.settle().await;
    let page = anna.get(&format!("/v1/views/{all}/records")).await.expect(StatusCode::OK);
    assert_eq!(page["data"].as_array().unwrap().len(), 3, "one's own, the closed one too");
    let (clara_id, clara_view) = (clara.get("/v1/me").await.json()["user"].clone(), format!("/v1/views/{all}"));
    let share = json!({ "grantee": clara_id, "level": "write" });
    anna.post(&format!("{clara_view}/share"), share).await.expect(StatusCode::OK);
    clara.get(&format!("{clara_view}/records")).await.problem(403, "permission_denied");
    // What changes in the view shows at once.
    let edit = json!({ "filter": { "all": [condition("assignee_id", "eq", "@me")] }, "sort": "title" });
    patch(&anna, &own, edit).await.expect(StatusCode::OK);
    assert_eq!(texts(&anna.get(&records).await.expect(StatusCode::OK), "title"), ["Five", "One", "Two"]);
    // `@me` is whoever asks wherever lists are filtered, and nobody where none asks.
    let me = filtered("/v1/tickets", &condition("assignee_id", "in", json!(["@me"])));
    assert_eq!(boris.get(&me).await.expect(StatusCode::OK)["data"].as_array().unwrap().len(), 2);
    let me = filtered("/v1/tickets", &condition("follower_ids", "contains", "@me"));
    admin.get(&me).await.problem(422, "filter_field_unknown");
    let rule = json!({ "name": "Mine", "trigger": "ticket.opened", "definition": {
        "when": condition("ticket.assignee_id", "eq", "@me"), "actions": [{ "create_task": { "title": "x" } }],
    } });
    assert_eq!(admin.post("/v1/rules", rule).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_view_that_its_list_does_not_take_is_refused_with_the_place() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "size", "select", json!({ "options": ["s", "m"] })).await;
    let whole =
        json!({ "name": "Large", "collection": "tickets", "filter": { "all": [condition("custom.size", "eq", "m")] } });
    let id = view(client, whole.clone()).await;
    let wrong = [
        (json!({ "collection": "weather" }), "view_collection_unknown", "/collection"),
        (json!({ "filter": { "all": [condition("colour", "eq", 1)] } }), "filter_field_unknown", "/filter/all/0/field"),
        (json!({ "filter": { "all": [condition("title", "like", "x")] } }), "filter_op_unknown", "/filter/all/0/op"),
        (
            json!({ "filter": { "all": [condition("priority", "eq", "x")] } }),
            "filter_value_invalid",
            "/filter/all/0/value",
        ),
        (json!({ "filter": { "every": [] } }), "filter_malformed", "/filter"),
        (json!({ "sort": "-colour" }), "sort_field_unknown", "/sort"),
        (json!({ "columns": ["title", "colour"] }), "column_unknown", "/columns/1"),
        (json!({ "columns": ["custom.colour"] }), "column_unknown", "/columns/0"),
        (json!({ "group_by": "opened_at" }), "group_field_unknown", "/group_by"),
        (json!({ "collection": "contacts" }), "filter_field_unknown", "/filter/all/0/field"),
    ];
    for (part, code, pointer) in wrong {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        for reply in
            [client.post("/v1/views", body).await, client.patch(&format!("/v1/views/{id}"), part.clone()).await]
        {
            let problem = reply.problem(422, code);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{part}: {problem}");
        }
    }
    let two = json!({ "sort": "x", "columns": ["y"], "group_by": "z" });
    let problem = client.patch(&format!("/v1/views/{id}"), two).await.problem(422, "sort_field_unknown");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "every fault at once: {problem}");
    client.patch(&format!("/v1/views/{id}"), json!({ "name": "Very large" })).await.expect(StatusCode::OK);
    for path in ["records", "counts"] {
        let unknown = format!("/v1/views/{}/{path}", crate::world::NOBODY);
        client.get(&unknown).await.problem(404, "view_unknown");
        client.get(&format!("/v1/views/{id}/{path}?colour=1")).await.problem(422, "parameter_invalid");
    }
    client.get(&format!("/v1/views/{id}/records?limit=0")).await.problem(422, "limit_invalid");
}

#[tokio::test]
async fn a_field_that_is_retired_is_told_and_breaks_no_view() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "size", "select", json!({ "options": ["s", "m"] })).await;
    for size in ["s", "m", "m"] {
        client.create("/v1/tickets", json!({ "title": size, "custom": { "size": size } })).await;
    }
    let body = json!({
        "name": "Large", "collection": "tickets", "filter": { "not": condition("custom.size", "eq", "s") },
        "columns": ["title", "custom.size"], "group_by": "custom.size",
    });
    let id = view(client, body).await;
    client.run("/v1/fields/ticket/retire", json!({ "key": "size" })).await;
    server.settle().await;
    let page = client.read(&format!("/v1/views/{id}/records")).await;
    assert_eq!(texts(&page, "title"), ["m", "m"]);
    let places: Vec<_> = page["faults"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(places, ["/filter/not/field", "/columns/1", "/group_by"]);
    assert!(page["faults"].as_array().unwrap().iter().all(|fault| fault["code"] == "field_retired"), "{page}");
    let counts = client.read(&format!("/v1/views/{id}/counts")).await;
    assert_eq!((&counts["total"], &counts["groups"]), (&json!(2), &json!([{ "value": "m", "count": 2 }])));
    assert_eq!(counts["faults"], page["faults"]);
    // Whatever else it says is still changed.
    client
        .patch(&format!("/v1/views/{id}"), json!({ "name": "Large ones", "sort": "title" }))
        .await
        .expect(StatusCode::OK);
}

#[tokio::test]
async fn every_list_of_records_has_views_that_show_what_it_shows() {
    let server = Server::start().await;
    let client = &server.admin;
    everything(&server, client, "Word").await;
    let of_kinds = projections::lists().filter(|list| list.listed && list.lists(list.read) && list.read != "view");
    let mut count = 0;
    for list in of_kinds {
        let all = pages(client, &format!("/v1/{}", list.path)).await;
        let id = all[0]["id"].clone();
        let column = list.columns.iter().rfind(|column| column.sortable).unwrap();
        let sort = format!("-{}", column.name);
        let filter = condition("id", "ne", id);
        let shown = pages(client, &filtered(&format!("/v1/{}?sort={sort}", list.path), &filter)).await;
        let body =
            json!({ "name": list.path, "collection": list.path, "filter": filter, "sort": sort, "columns": ["id"] });
        let view = view(client, body).await;
        let through = pages(client, &format!("/v1/views/{view}/records?limit=2")).await;
        assert_eq!(through, shown, "{}", list.path);
        let counts = client.read(&format!("/v1/views/{view}/counts")).await;
        assert_eq!(counts["total"], shown.len(), "{}", list.path);
        count += 1;
    }
    assert!(count > 20, "{count} lists");
}

#[tokio::test]
async fn the_page_of_a_list_offers_its_views() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &["ticket.read", "view.*:own", "export.run"]).await;
    let (_, boris) = person(&server, "boris@example.com", &["ticket.read"]).await;
    let page = anna.get("/records/tickets").await.text;
    for part in ["name=\"view\"", "id=\"saving\"", "id=\"board\"", "name=\"group\"", "/v1/tickets/export?format=csv"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = boris.get("/records/tickets").await.text;
    for part in ["name=\"view\"", "id=\"saving\"", "/v1/tickets/export"] {
        assert!(!page.contains(part), "{part}: {page}");
    }
    // What its script asks.
    let mine = json!({ "name": "Mine", "collection": "tickets", "filter": { "all": [{ "any": [condition("assignee_id", "eq", "@me")] }] } });
    anna.post("/v1/views", mine).await.expect(StatusCode::CREATED);
    server.settle().await;
    let filter = encoded(&condition("collection", "eq", "tickets").to_string());
    let views = anna.get(&format!("/v1/views?limit=200&filter={filter}")).await.expect(StatusCode::OK);
    assert_eq!(texts(&views, "name"), ["Mine"]);
}
