//! Stages of teams: what being in one means, both ways.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{condition, filtered, ticket};

async fn team(client: &Client, name: &str, stages: Value) -> String {
    let team = client.create("/v1/teams", json!({ "name": name })).await;
    client.run(&format!("/v1/teams/{team}/change_stages"), json!({ "stages": stages })).await;
    team
}

/// Stage, what it means, and status of a ticket: as it shows by itself and in the list.
async fn stands(server: &Server, client: &Client, id: &str) -> (String, String, String) {
    server.settle().await;
    let one = client.read(&format!("/v1/tickets/{id}")).await;
    let list = client.read(&filtered("/v1/tickets", &condition("id", "eq", id))).await["data"][0].clone();
    let text = |field: &str| {
        assert_eq!(one[field], list[field]);
        one[field].as_str().unwrap().to_owned()
    };
    (text("stage"), text("stage_means"), text("status"))
}

fn is(stage: &str, means: &str, status: &str) -> (String, String, String) {
    (stage.to_owned(), means.to_owned(), status.to_owned())
}

#[tokio::test]
async fn a_team_s_own_last_stage_resolves_and_resolving_moves_there() {
    let server = Server::start().await;
    let client = &server.admin;
    let team = team(client, "Repairs", json!(["received", "on the bench", "back home"])).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/teams/{team}")).await;
    assert_eq!(
        shown["stages"],
        json!([
            { "name": "received", "means": "open" }, { "name": "on the bench", "means": "open" },
            { "name": "back home", "means": "resolved" },
        ])
    );
    let id = client.create("/v1/tickets", json!({ "title": "Broken", "team": team })).await;
    let at = |command: &str| format!("/v1/tickets/{id}/{command}");
    client.run(&at("move_stage"), json!({ "stage": "on the bench" })).await;
    client.run(&at("move_stage"), json!({ "stage": "back home" })).await;
    assert_eq!(stands(&server, client, &id).await, is("back home", "resolved", "resolved"));
    client.run(&at("receive_message"), json!({ "body": "It still smokes" })).await;
    assert_eq!(stands(&server, client, &id).await, is("on the bench", "open", "open"));
    client.run(&at("resolve"), json!({ "outcome": "Put out" })).await;
    assert_eq!(stands(&server, client, &id).await, is("back home", "resolved", "resolved"));
    client.run(&at("reopen"), json!({})).await;
    assert_eq!(stands(&server, client, &id).await, is("on the bench", "open", "open"));
    // A patch of the stage means the same.
    client.patch(&format!("/v1/tickets/{id}"), json!({ "stage": "back home" })).await.expect(StatusCode::OK);
    assert_eq!(stands(&server, client, &id).await, is("back home", "resolved", "resolved"));
}

#[tokio::test]
async fn stages_say_what_they_mean() {
    let server = Server::start().await;
    let client = &server.admin;
    let stages = json!([
        "inbox", { "name": "bench" }, { "name": "supplier", "means": "waiting" },
        { "name": "ready", "means": "resolved" }, { "name": "gone", "means": "closed" },
    ]);
    let team = team(client, "Repairs", stages).await;
    let id = client.create("/v1/tickets", json!({ "title": "Broken", "team": team })).await;
    let at = |command: &str| format!("/v1/tickets/{id}/{command}");
    client.run(&at("move_stage"), json!({ "stage": "bench" })).await;
    client.run(&at("snooze"), json!({ "until": "2099-01-01T00:00:00Z" })).await;
    assert_eq!(stands(&server, client, &id).await, is("supplier", "waiting", "open"));
    client.run(&at("wake"), json!({})).await;
    assert_eq!(stands(&server, client, &id).await, is("bench", "open", "open"));
    client.run(&at("close"), json!({})).await;
    assert_eq!(stands(&server, client, &id).await, is("gone", "closed", "closed"));
    client.run(&at("move_stage"), json!({ "stage": "ready" })).await;
    assert_eq!(stands(&server, client, &id).await, is("ready", "resolved", "resolved"));
    client.run(&at("move_stage"), json!({ "stage": "inbox" })).await;
    assert_eq!(stands(&server, client, &id).await, is("inbox", "open", "open"));
    client.run(&at("resolve"), json!({})).await;
    // Without a team the usual stages apply: what is resolved stays so.
    client.run(&at("change_team"), json!({ "team": null })).await;
    assert_eq!(stands(&server, client, &id).await, is("solved", "resolved", "resolved"));
    let over = client.read(&filtered("/v1/tickets", &condition("stage_means", "eq", "resolved"))).await;
    assert_eq!(over["data"].as_array().unwrap().len(), 1);

    let change = format!("/v1/teams/{team}/change_stages");
    let shelf = json!({ "stages": [{ "name": "shelf", "means": "waiting" }] });
    client.post(&change, shelf).await.problem(422, "team_stages_invalid");
    let odd = client.post(&change, json!({ "stages": ["a", { "name": "b", "means": "lost" }] })).await;
    assert_eq!(odd.problem(422, "body_invalid")["errors"][0]["pointer"], "/stages/1/means");
}

#[tokio::test]
async fn the_usual_stages_mean_what_they_say() {
    let server = Server::start().await;
    let client = &server.admin;
    let id = ticket(client, "Broken").await;
    let at = |command: &str| format!("/v1/tickets/{id}/{command}");
    client.run(&at("move_stage"), json!({ "stage": "waiting" })).await;
    assert_eq!(stands(&server, client, &id).await, is("waiting", "waiting", "open"));
    client.run(&at("receive_message"), json!({ "body": "Here you are" })).await;
    assert_eq!(stands(&server, client, &id).await, is("new", "open", "open"));
    client.run(&at("move_stage"), json!({ "stage": "solved" })).await;
    assert_eq!(stands(&server, client, &id).await, is("solved", "resolved", "resolved"));
    let born = client.create("/v1/tickets", json!({ "title": "Done at the door", "stage": "solved" })).await;
    assert_eq!(stands(&server, client, &born).await, is("solved", "resolved", "resolved"));
}
