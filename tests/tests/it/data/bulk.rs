//! One command for many records: tried, carried out, halted, interrupted and taken back, each record by itself.

use deskfold_tests::{Client, Server};
use futures::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::imports;
use crate::world::{colleague, contact, ticket};

/// Begins a bulk; its id.
async fn begun(client: &Client, asked: Value) -> String {
    let started = client.post("/v1/bulk", asked).await;
    let body = started.expect(StatusCode::ACCEPTED);
    let id = body["id"].as_str().unwrap();
    assert_eq!(started.header("location"), format!("/v1/bulk/{id}"));
    assert_eq!(body["links"]["progress"], format!("/v1/bulk/{id}/progress"));
    id.to_owned()
}

/// Waits until a bulk has ended or is halted.
async fn ended(client: &Client, id: &str) -> Value {
    loop {
        let found = client.read(&format!("/v1/bulk/{id}/progress?wait=60")).await;
        if found["status"] != "running" {
            let count = |name: &str| found["counts"][name].as_u64().unwrap();
            assert_eq!(count("items"), count("applied") + count("unchanged") + count("refused"), "{found}");
            return found;
        }
    }
}

async fn bulk(client: &Client, asked: Value) -> (String, Value) {
    let id = begun(client, asked).await;
    let found = ended(client, &id).await;
    (id, found)
}

/// Takes back what a bulk or an import wrote.
pub(super) async fn undone(client: &Client, path: &str, asked: Value) -> (String, Value) {
    let started = client.post(&format!("{path}/undo"), asked).await.expect(StatusCode::ACCEPTED);
    let id = started["id"].as_str().unwrap().to_owned();
    let found = ended(client, &id).await;
    (id, found)
}

/// Items applied, unchanged and refused.
fn counts(progress: &Value) -> [u64; 3] {
    ["applied", "unchanged", "refused"].map(|name| progress["counts"][name].as_u64().unwrap())
}

async fn items(client: &Client, id: &str, which: &str) -> Vec<Value> {
    client.read(&format!("/v1/bulk/{id}/items?limit=1000{which}")).await["data"].as_array().unwrap().clone()
}

async fn status(client: &Client, id: &str) -> String {
    client.read(&format!("/v1/tickets/{id}")).await["status"].as_str().unwrap().to_owned()
}

/// A client with a key of a colleague's own.
async fn key_of(server: &Server, user: &str) -> Client {
    let issued = server.admin.post("/v1/api_keys", json!({ "name": "own", "user": user })).await;
    server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap())
}

async fn tickets(client: &Client, how_many: usize) -> Vec<String> {
    let open = |number: usize| async move { ticket(client, &format!("Printer {number}")).await };
    stream::iter(0..how_many).map(open).buffered(32).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_a_filter_finds_are_closed_and_opened_again_but_for_what_changed_since() {
    let server = Server::start().await;
    let admin = &server.admin;
    let all = tickets(admin, 6).await;
    ticket(admin, "Something else").await;
    admin.run(&format!("/v1/tickets/{}/close", all[0]), json!({})).await;
    admin.run(&format!("/v1/tickets/{}/resolve", all[1]), json!({})).await;
    server.settle().await;
    let filter = json!({ "field": "title", "op": "contains", "value": "Printer" });
    let close = |dry_run: bool| json!({ "kind": "ticket", "command": "close", "filter": filter, "dry_run": dry_run });

    let (tried, found) = bulk(admin, close(true)).await;
    assert_eq!((counts(&found), &found["items_total"], &found["dry_run"]), ([5, 1, 0], &json!(6), &json!(true)));
    let would = items(admin, &tried, "&outcome=applied").await;
    assert_eq!(would.len(), 5);
    assert_eq!(would[0]["events"][0]["type"], "ticket.closed");
    assert!(would[0]["events"][0]["data"].is_object(), "{}", would[0]);
    assert_eq!(status(admin, &all[2]).await, "open");

    let (closed, found) = bulk(admin, close(false)).await;
    assert_eq!((&found["status"], counts(&found)), (&json!("completed"), [5, 1, 0]));
    server.settle().await;
    for ticket in &all {
        assert_eq!(status(admin, ticket).await, "closed");
    }
    let stage = admin.read(&format!("/v1/tickets/{}", all[2])).await["stage"].clone();
    let told = items(admin, &closed, "&outcome=applied").await;
    assert_eq!(told[0]["events"][0]["type"], "ticket.closed");
    let position = told[0]["position"].as_i64().unwrap();
    let last = admin.read(&format!("/v1/events?after={}&limit=1", position - 1)).await;
    assert_eq!(last["data"][0]["correlation_id"], uuid_of(&closed), "everything of a bulk is one story");

    // Somebody opens one by hand and closes it again: it stands as the bulk left it. Another stays open.
    admin.run(&format!("/v1/tickets/{}/reopen", all[3]), json!({})).await;
    admin.run(&format!("/v1/tickets/{}/add_note", all[4]), json!({ "body": "Who closed this?" })).await;
    let (rehearsed, found) = undone(admin, &format!("/v1/bulk/{closed}"), json!({ "dry_run": true })).await;
    assert_eq!(counts(&found), [4, 0, 1], "{found}");
    assert_eq!(items(admin, &rehearsed, "&outcome=applied").await[0]["events"][0]["type"], "ticket.reopened");
    assert_eq!(status(admin, &all[2]).await, "closed");

    let (taken_back, found) = undone(admin, &format!("/v1/bulk/{closed}"), json!({})).await;
    assert_eq!((counts(&found), &found["items_total"]), ([4, 0, 1], &json!(5)));
    assert_eq!(found["refusals"][0]["code"], "undo_overtaken");
    let refused = &items(admin, &taken_back, "&outcome=refused").await[0];
    assert_eq!(refused["record"], json!({ "kind": "ticket", "id": all[3] }));
    assert!(refused["detail"].as_str().unwrap().contains("ticket.reopened at position"), "{refused}");
    server.settle().await;
    let mut now = Vec::new();
    for ticket in &all {
        now.push(status(admin, ticket).await);
    }
    assert_eq!(now, ["closed", "resolved", "open", "open", "open", "open"]);
    assert_ne!(admin.read(&format!("/v1/tickets/{}", all[2])).await["stage"], stage, "the stage went back too");
    let listed = admin.read(&format!("/v1/bulk/{closed}")).await;
    assert_eq!((&listed["undone_by"], &listed["status"]), (&json!(taken_back), &json!("completed")));
    let of_it = format!("/v1/bulk?filter={{\"field\":\"undoes_id\",\"op\":\"eq\",\"value\":\"{closed}\"}}");
    assert_eq!(admin.read(&of_it).await["data"].as_array().unwrap().len(), 2);

    // Taking back is itself taken back.
    let (_, found) = undone(admin, &format!("/v1/bulk/{taken_back}"), json!({})).await;
    assert_eq!(counts(&found), [4, 0, 0], "{found}");
    assert_eq!(status(admin, &all[2]).await, "closed");
    // What was only tried wrote nothing.
    admin.post(&format!("/v1/bulk/{tried}/undo"), json!({})).await.problem(409, "bulk_undo_dry_run");
}

/// An id as the UUID that it is too.
fn uuid_of(id: &str) -> String {
    let bits = id.parse::<domain::Id>().unwrap().bits();
    uuid::Uuid::from_u128(bits).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_stays_and_whatever_can_be_taken_back_is_as_it_was() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = colleague(admin, "Anna", "agent").await;
    let all = tickets(admin, 2).await;
    server.settle().await;
    let mut was = admin.read(&format!("/v1/tickets/{}", all[0])).await;
    let ask = |command: &str, body: Value| json!({ "kind": "ticket", "command": command, "body": body, "ids": all });
    let mut begun = Vec::new();
    for (command, body) in [
        ("edit", json!({ "title": "Scanner", "priority": 3, "description": "It blinks." })),
        ("assign", json!({ "assignee": anna })),
        ("tag", json!({ "tag": "vip" })),
        ("resolve", json!({})),
    ] {
        let (id, found) = bulk(admin, ask(command, body)).await;
        assert_eq!(counts(&found), [2, 0, 0], "{command}: {found}");
        begun.push(id);
    }
    for id in begun.iter().rev() {
        let (_, found) = undone(admin, &format!("/v1/bulk/{id}"), json!({})).await;
        assert_eq!(counts(&found), [2, 0, 0], "{found}");
    }
    server.settle().await;
    let mut is = admin.read(&format!("/v1/tickets/{}", all[0])).await;
    for passing in ["version", "position", "updated_at", "first_assigned_at", "resolved_at", "reopened_count"] {
        for ticket in [&mut was, &mut is] {
            ticket.as_object_mut().unwrap().remove(passing);
        }
    }
    assert_eq!(is, was);

    let (said, _) = bulk(admin, ask("add_note", json!({ "body": "Solved by 2.1" }))).await;
    let (undo, found) = undone(admin, &format!("/v1/bulk/{said}"), json!({})).await;
    assert_eq!(counts(&found), [0, 0, 2]);
    let refused = &items(admin, &undo, "").await[0];
    assert_eq!(refused["code"], "undo_lasting");
    assert!(refused["detail"].as_str().unwrap().contains("ticket.note_added"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_decided_about_by_itself_with_the_rights_of_whoever_asks() {
    let server = Server::start().await;
    let admin = &server.admin;
    let broker = colleague(admin, "Bruno", "broker").await;
    let viewer = colleague(admin, "Vera", "viewer").await;
    let other = colleague(admin, "Ola", "broker").await;
    let (broker, viewer, other) =
        (key_of(&server, &broker).await, key_of(&server, &viewer).await, key_of(&server, &other).await);
    let (theirs, own) = (contact(admin, "Ada").await, contact(&broker, "Ben").await);
    let gone = contact(&broker, "Cyd").await;
    broker.run(&format!("/v1/contacts/{gone}/archive"), json!({})).await;
    server.settle().await;

    let edit = |ids: Value| json!({ "kind": "contact", "command": "tag", "body": { "tag": "vip" }, "ids": ids });
    let (id, found) = bulk(&broker, edit(json!([theirs, own, gone, own]))).await;
    assert_eq!((counts(&found), &found["items_total"]), ([1, 0, 2], &json!(3)), "named twice is named once");
    let told = items(&broker, &id, "").await;
    assert_eq!(told.len(), 2, "nothing is told of what is hidden: {told:?}");
    let codes: Vec<Value> = items(admin, &id, "").await.iter().map(|item| item["code"].clone()).collect();
    assert_eq!(codes, [json!("contact_unknown"), Value::Null, json!("contact_archived")]);
    // A filter finds what whoever asks sees.
    let (_, found) =
        bulk(&broker, json!({ "kind": "contact", "command": "untag", "body": { "tag": "vip" }, "filter": {} })).await;
    assert_eq!((counts(&found), &found["items_total"]), ([1, 0, 0], &json!(1)));

    viewer.post("/v1/bulk", edit(json!([own]))).await.problem(403, "permission_denied");
    let close = json!({ "kind": "ticket", "command": "close", "filter": {} });
    broker.post("/v1/bulk", close).await.problem(403, "permission_denied");
    other.get(&format!("/v1/bulk/{id}")).await.problem(404, "bulk_unknown");
    for path in ["progress", "items"] {
        other.get(&format!("/v1/bulk/{id}/{path}")).await.problem(404, "bulk_unknown");
    }
    for command in ["undo", "cancel", "pause", "resume"] {
        other.post(&format!("/v1/bulk/{id}/{command}"), json!({})).await.problem(404, "bulk_unknown");
    }
    server.settle().await;
    assert_eq!(other.read("/v1/bulk").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_record_would_take_is_refused_at_once() {
    let server = Server::start().await;
    let admin = &server.admin;
    let ask = |more: Value| {
        let mut asked = json!({ "kind": "ticket", "command": "change_priority", "body": { "priority": 2 }, "ids": [] });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        admin.post("/v1/bulk", asked)
    };
    ask(json!({ "kind": "unicorn" })).await.problem(422, "bulk_kind_unknown");
    ask(json!({ "command": "open" })).await.problem(422, "bulk_command_unknown");
    ask(json!({ "command": "explode" })).await.problem(422, "bulk_command_unknown");
    let unfit = ask(json!({ "body": { "priority": "high" } })).await.problem(422, "body_invalid");
    assert_eq!(unfit["errors"][0]["pointer"], "/body/priority");
    ask(json!({ "filter": {} })).await.problem(422, "bulk_which");
    ask(json!({ "ids": null })).await.problem(422, "bulk_which");
    ask(json!({ "ids": ["x"] })).await.problem(422, "body_invalid");
    let wrong = ask(json!({ "ids": null, "filter": { "field": "smell", "op": "eq", "value": 1 } })).await;
    assert!(
        wrong.problem(422, "filter_field_unknown")["errors"][0]["pointer"].as_str().unwrap().starts_with("/filter")
    );
    let many: Vec<String> = (0..10_001).map(|bits: u128| domain::Id::from_bits(bits).to_string()).collect();
    ask(json!({ "ids": many })).await.problem(422, "bulk_too_many");
    admin.post("/v1/bulk/01K9Z3T8W0QX6V5N4M3K2J1H0G/undo", json!({})).await.problem(404, "bulk_unknown");
    server.settle().await;
    assert_eq!(admin.read("/v1/bulk").await["data"], json!([]));
    // An Idempotency-Key begins one.
    let again = admin.header("idempotency-key", "once");
    let asked = json!({ "kind": "ticket", "command": "close", "filter": {} });
    let (first, second) = (again.post("/v1/bulk", asked.clone()).await, again.post("/v1/bulk", asked).await);
    assert_eq!(first.expect(StatusCode::ACCEPTED)["id"], second.expect(StatusCode::ACCEPTED)["id"]);
    assert_eq!(second.header("idempotency-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_halts_goes_on_and_is_cancelled() {
    let server = Server::start().await;
    let admin = &server.admin;
    // That nobody knows them takes as long to find out as anything.
    let unknown = |from: u128| {
        (0..10_000).map(|more| domain::Id::from_bits((1 << 90) + from + more).to_string()).collect::<Vec<_>>()
    };
    let close = |ids: Vec<String>| json!({ "kind": "ticket", "command": "close", "ids": ids });
    let id = begun(admin, close(unknown(0))).await;
    admin.run(&format!("/v1/bulk/{id}/pause"), json!({})).await;
    admin.post(&format!("/v1/bulk/{id}/undo"), json!({})).await.problem(409, "bulk_undo_running");
    server.settle().await;
    let halted = ended(admin, &id).await;
    assert_eq!(halted["status"], "paused");
    assert!(halted["counts"]["items"].as_u64().unwrap() < 10_000, "{halted}");
    admin.run(&format!("/v1/bulk/{id}/resume"), json!({})).await;
    let found = ended(admin, &id).await;
    assert_eq!((&found["status"], counts(&found)), (&json!("completed"), [0, 0, 10_000]));
    assert_eq!(found["refusals"][0]["code"], "ticket_unknown");
    admin.post(&format!("/v1/bulk/{id}/cancel"), json!({})).await.problem(409, "bulk_ended");

    let id = begun(admin, close(unknown(20_000))).await;
    admin.run(&format!("/v1/bulk/{id}/cancel"), json!({ "reason": "Wrong list" })).await;
    let found = ended(admin, &id).await;
    assert_eq!(found["status"], "cancelled");
    assert!(found["counts"]["items"].as_u64().unwrap() < 10_000, "{found}");
    admin.post(&format!("/v1/bulk/{id}/resume"), json!({})).await.problem(409, "bulk_ended");
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/bulk/{id}")).await["reason"], "Wrong list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_that_is_interrupted_goes_on_elsewhere_and_does_nothing_twice() {
    let server = Server::start().await;
    let (worker, admin) = server.beside(&[]).await;
    let all = tickets(&admin, 1000).await;
    server.settle().await;
    let id = begun(&server.admin, json!({ "kind": "ticket", "command": "close", "filter": {} })).await;
    // Whichever of the two runs it: one stops in the middle, the other goes on.
    let (address, key) = (server.admin.clone(), id.clone());
    while address.read(&format!("/v1/bulk/{key}/progress")).await["counts"]["items"] == 0 {}
    server.app.stop().await;
    let found = ended(&admin, &id).await;
    assert_eq!((&found["status"], counts(&found)), (&json!("completed"), [1000, 0, 0]));
    let undo = admin.post(&format!("/v1/bulk/{id}/undo"), json!({})).await.expect(StatusCode::ACCEPTED);
    let undo = undo["id"].as_str().unwrap().to_owned();
    while admin.read(&format!("/v1/bulk/{undo}/progress")).await["counts"]["items"] == 0 {}
    let (second, admin) = server.beside(&[]).await;
    worker.stop().await;
    let found = ended(&admin, &undo).await;
    assert_eq!((&found["status"], counts(&found)), (&json!("completed"), [1000, 0, 0]));
    second.settle().await.unwrap();
    for ticket in [&all[0], &all[499], &all[999]] {
        let told = admin.read(&format!("/v1/events?stream=ticket-{ticket}")).await;
        let types: Vec<_> = told["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
        assert_eq!(types, ["ticket.opened", "ticket.closed", "ticket.reopened"]);
    }
    let open = admin
        .read("/v1/tickets?count=exact&limit=1&filter={\"field\":\"status\",\"op\":\"eq\",\"value\":\"open\"}")
        .await;
    assert_eq!(open["total"], 1000, "{open}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_taken_back_but_for_what_people_have_worked_with_since() {
    let server = Server::start().await;
    let admin = &server.admin;
    let found = imports::history(admin, &imports::extract()).await;
    let import = found["id"].as_str().unwrap().to_owned();
    server.settle().await;
    let companies = admin.read("/v1/companies?limit=200").await["data"].as_array().unwrap().clone();
    let kept = companies[0]["id"].as_str().unwrap();
    admin.run(&format!("/v1/companies/{kept}/tag"), json!({ "tag": "ours" })).await;
    let (undo, found) = undone(admin, &format!("/v1/imports/{import}"), json!({})).await;
    assert_eq!(found["status"], "completed", "{found}");
    server.settle().await;
    let refused = items(admin, &undo, "&outcome=refused").await;
    let stays = refused.iter().find(|item| item["record"]["id"] == kept).unwrap();
    assert_eq!(stays["code"], "undo_overtaken");
    let left = admin.read("/v1/companies?limit=200").await["data"].as_array().unwrap().clone();
    assert_eq!(left.iter().map(|company| company["id"].as_str().unwrap()).collect::<Vec<_>>(), [kept], "{found}");
    let open = admin.read("/v1/tickets?filter={\"field\":\"status\",\"op\":\"eq\",\"value\":\"open\"}").await;
    assert_eq!(open["data"], json!([]), "tickets that were opened are over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_ends_when_whoever_asked_is_no_longer_let_in() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = colleague(admin, "Anna", "agent").await;
    let client = key_of(&server, &anna).await;
    let ids: Vec<String> = (0..10_000).map(|more| domain::Id::from_bits((1 << 90) + more).to_string()).collect();
    let id = begun(&client, json!({ "kind": "ticket", "command": "close", "ids": ids })).await;
    admin.run(&format!("/v1/users/{anna}/deactivate"), json!({})).await;
    let found = ended(admin, &id).await;
    assert_eq!(found["status"], "failed");
    assert!(found["reason"].as_str().unwrap().contains("deactivated"), "{found}");
}
