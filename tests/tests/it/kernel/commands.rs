//! What every command endpoint promises: envelopes, idempotency, versions, dry runs, clear errors.

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_command_answers_with_id_version_position_and_the_events_written() {
    let server = Server::start().await;
    let reply = server.admin.post("/v1/tickets", json!({ "title": "Printer on fire", "priority": 2 })).await;
    let opened = reply.expect(StatusCode::CREATED);
    let id = opened["id"].as_str().unwrap();
    assert_eq!(opened["version"], 0);
    assert_eq!(opened["events"][0]["type"], "ticket.opened");
    assert_eq!(opened["events"][0]["data"]["number"], 1, "numbers are drawn by the log");
    assert_eq!(reply.header("etag"), "\"0\"");
    assert_eq!(reply.header("location"), format!("/v1/tickets/{id}"));
    assert_eq!(reply.header("deskfold-position"), opened["position"].to_string());

    let second = server.admin.post("/v1/tickets", json!({ "title": "Printer wet" })).await.json();
    assert_eq!(second["events"][0]["data"]["number"], 2);
    let closed = server.admin.post(&format!("/v1/tickets/{id}/close"), json!({})).await.expect(StatusCode::OK);
    assert_eq!((&closed["version"], &closed["events"][0]["type"]), (&json!(1), &json!("ticket.closed")));
    let again = server.admin.post(&format!("/v1/tickets/{id}/close"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(again["events"], json!([]), "asked twice changes nothing");
    assert_eq!(again["version"], 1);
}

#[tokio::test]
async fn a_refused_command_burns_no_number_and_changes_nothing() {
    let server = Server::start().await;
    server.admin.post("/v1/tickets", json!({ "title": " " })).await.problem(422, "title_invalid");
    let unknown_team = json!({ "title": "x", "team": "01K9Z3T8W0QX6V5N4M3K2J1H0G" });
    server.admin.post("/v1/tickets", unknown_team).await.problem(422, "team_unfit");
    let opened = server.admin.post("/v1/tickets", json!({ "title": "First" })).await.json();
    assert_eq!(opened["events"][0]["data"]["number"], 1);
}

#[tokio::test]
async fn errors_name_the_field() {
    let server = Server::start().await;
    let problem = server.admin.post("/v1/tickets", json!({ "titel": "x" })).await.problem(422, "body_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/titel");
    assert_eq!(problem["errors"][0]["code"], "unknown_field");
    let problem = server.admin.post("/v1/tickets", json!({})).await.problem(422, "body_invalid");
    assert_eq!(
        (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
        (&json!("/title"), &json!("required"))
    );
    let problem =
        server.admin.post("/v1/tickets", json!({ "title": "x", "priority": 7 })).await.problem(422, "body_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/priority");
    let problem =
        server.admin.post("/v1/contacts", json!({ "name": "Eve", "nick": "e" })).await.problem(422, "body_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/nick");
    let nul = json!({ "title": "a\u{0}b" });
    server.admin.post("/v1/tickets", nul).await.problem(422, "text_invalid");
    let ticket = server.admin.create("/v1/tickets", json!({ "title": "x" })).await;
    let problem =
        server.admin.post(&format!("/v1/tickets/{ticket}/shout"), json!({})).await.problem(404, "command_unknown");
    assert!(problem["detail"].as_str().unwrap().contains("assign"), "it says which commands there are");
    server.admin.post("/v1/tickets/nonsense/close", json!({})).await.problem(404, "ticket_unknown");
    server.admin.post("/v1/tickets/01K9Z3T8W0QX6V5N4M3K2J1H0G/close", json!({})).await.problem(404, "ticket_unknown");
    server.admin.get("/v1/nothing").await.problem(404, "route_unknown");
    server.admin.delete("/v1/tickets").await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn bodies_that_are_not_json_objects_are_told_so() {
    let server = Server::start().await;
    let post = |body: &'static str, kind: &'static str| {
        let request = server.admin.request(reqwest::Method::POST, "/v1/tickets");
        server.admin.send(request.header("content-type", kind).body(body))
    };
    post("{", "application/json").await.problem(400, "body_malformed");
    post("[]", "application/json").await.problem(422, "body_invalid");
    post("title=x", "application/x-www-form-urlencoded").await.problem(415, "media_type_unsupported");
    let large = "x".repeat(2 << 20);
    server.admin.post("/v1/tickets", json!({ "title": large })).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn an_idempotency_key_applies_a_command_once() {
    let server = Server::start().await;
    let retrying = server.admin.header("idempotency-key", "order-17");
    let first = retrying.post("/v1/tickets", json!({ "title": "Once" })).await;
    let again = retrying.post("/v1/tickets", json!({ "title": "Once" })).await;
    let (one, two) = (first.expect(StatusCode::CREATED), again.expect(StatusCode::CREATED));
    assert_eq!(one, two, "the stored answer");
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    retrying.post("/v1/tickets", json!({ "title": "Other" })).await.problem(422, "idempotency_key_reused");
    server.settle().await;
    assert_eq!(server.admin.read("/v1/tickets").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_retry_is_answered_even_after_the_world_has_moved_on() {
    let server = Server::start().await;
    let ticket = server.admin.create("/v1/tickets", json!({ "title": "x" })).await;
    let retrying = server.admin.header("idempotency-key", "assign-me-not");
    let snoozed =
        retrying.post(&format!("/v1/tickets/{ticket}/tag"), json!({ "tag": "a" })).await.expect(StatusCode::OK);
    server.admin.run(&format!("/v1/tickets/{ticket}/untag"), json!({ "tag": "a" })).await;
    let again = retrying.post(&format!("/v1/tickets/{ticket}/tag"), json!({ "tag": "a" })).await.expect(StatusCode::OK);
    assert_eq!(snoozed, again, "not applied a second time");
    let history = server.admin.read(&format!("/v1/tickets/{ticket}/history")).await;
    assert_eq!(history["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn racing_retries_apply_a_command_once() {
    let server = Server::start().await;
    let retrying = server.admin.header("idempotency-key", "race");
    let replies =
        futures::future::join_all((0..8).map(|_| retrying.post("/v1/tickets", json!({ "title": "Race" })))).await;
    for reply in &replies {
        match reply.status {
            StatusCode::CREATED => {}
            _ => drop(reply.problem(409, "idempotency_key_in_flight")),
        }
    }
    assert!(replies.iter().any(|reply| reply.status == StatusCode::CREATED));
    server.settle().await;
    assert_eq!(server.admin.read("/v1/tickets").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_one_server_has_written_the_other_decides_by() {
    let server = Server::start().await;
    let (app, other) = server.beside(&["--roles", "api"]).await;
    let ticket = format!("/v1/tickets/{}", server.admin.create("/v1/tickets", json!({ "title": "x" })).await);
    for (here, there) in [(&server.admin, &other), (&other, &server.admin)].into_iter().cycle().take(20) {
        // Each finds nothing to do, or refuses, by what it remembers.
        for (by, command) in [(here, "resolve"), (there, "reopen"), (here, "resolve"), (there, "reopen")] {
            let body = if command == "resolve" { json!({ "outcome": "x" }) } else { json!({}) };
            let answer = by.post(&format!("{ticket}/{command}"), body).await.expect(StatusCode::OK);
            assert_eq!(answer["events"].as_array().unwrap().len(), 1, "{command}: {answer}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn versions_guard_against_lost_updates_and_disjoint_edits_merge() {
    let server = Server::start().await;
    let ticket = server.admin.create("/v1/tickets", json!({ "title": "x" })).await;
    let path = format!("/v1/tickets/{ticket}");
    let edit = async |tag: &str, body: Value| server.admin.header("if-match", tag).patch(&path, body).await;
    edit("\"0\"", json!({ "title": "y" })).await.expect(StatusCode::OK);
    edit("\"0\"", json!({ "title": "z" })).await.problem(412, "version_mismatch");
    let merged = edit("\"0\"", json!({ "priority": 3 })).await.expect(StatusCode::OK);
    assert_eq!(merged["version"], 2, "another attribute: nothing is lost");
    edit("\"99\"", json!({ "priority": 1 })).await.problem(412, "version_mismatch");
    edit("yesterday", json!({ "priority": 1 })).await.problem(400, "if_match_invalid");
    let own = "/v1/tickets/01K9Z3T8W0QX6V5N4M3K2J1H0G";
    let new = server.admin.header("if-none-match", "*");
    new.put(own, json!({ "title": "Mine" })).await.expect(StatusCode::CREATED);
    new.put(own, json!({ "title": "Mine" })).await.problem(412, "already_exists");
    server.admin.put(own, json!({ "title": "Other" })).await.problem(409, "ticket_exists");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let server = Server::start().await;
    let head = server.admin.read("/v1/events").await["position"].clone();
    let would = server.admin.post("/v1/tickets?dry_run=true", json!({ "title": "x" })).await.expect(StatusCode::OK);
    assert_eq!(would["events"][0]["type"], "ticket.opened");
    assert_eq!(server.admin.read("/v1/events").await["position"], head);
    server.admin.post("/v1/tickets?dry_run=true", json!({ "title": "" })).await.problem(422, "title_invalid");
    server.admin.post("/v1/tickets?dryrun=true", json!({ "title": "x" })).await.problem(422, "parameter_invalid");
}

#[tokio::test]
async fn concurrent_commands_on_one_ticket_all_get_their_turn() {
    let server = Server::start().await;
    let ticket = server.admin.create("/v1/tickets", json!({ "title": "Popular" })).await;
    let path = format!("/v1/tickets/{ticket}/add_note");
    let notes = (0..32).map(|n| server.admin.post(&path, json!({ "body": format!("note {n}") })));
    let mut versions: Vec<i64> = Vec::new();
    for reply in futures::future::join_all(notes).await {
        match reply.status {
            StatusCode::OK => versions.push(reply.json()["version"].as_i64().unwrap()),
            _ => drop(reply.problem(503, "busy")),
        }
    }
    versions.sort_unstable();
    let expected: Vec<i64> = (1..=i64::try_from(versions.len()).unwrap()).collect();
    assert_eq!(versions, expected, "every accepted one has a version of its own");
}
