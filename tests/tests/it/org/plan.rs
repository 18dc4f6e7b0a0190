//! Plans: what is agreed is shown, and whoever would be one more than there are seats is not let in.

use deskfold_tests::{Client, Server};
use domain::org::plan::Plan;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::browser::person;

fn plan(seats: u32) -> Value {
    json!({ "plan": Plan { seats: Some(seats), ..Plan::example() } })
}

async fn invite(client: &Client, name: &str) -> deskfold_tests::Reply {
    client.post("/v1/users", json!({ "email": format!("{name}@example.com"), "name": name })).await
}

async fn taken(client: &Client) -> u64 {
    client.read("/v1/plan").await["seats_taken"].as_u64().unwrap()
}

#[tokio::test]
async fn a_plan_limits_who_is_let_in_and_follows_who_comes_and_goes() {
    let server = Server::start().await;
    let admin = &server.admin;
    assert_eq!(admin.read("/v1/plan").await, json!({ "plan": null, "seats_taken": 1 }));
    let anna = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    assert_eq!(taken(admin).await, 2);
    admin.put("/v1/plan", plan(3)).await.expect(StatusCode::OK);
    // Asked again nothing happens.
    assert_eq!(admin.put("/v1/plan", plan(3)).await.expect(StatusCode::OK)["events"], json!([]));
    let shown = admin.read("/v1/plan").await;
    assert_eq!((&shown["plan"]["name"], &shown["plan"]["seats"]), (&json!("Team"), &json!(3)));
    assert_eq!(shown["plan"]["payment"]["method"], "card ending in 4242");
    let boris = invite(admin, "boris").await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    assert_eq!(taken(admin).await, 3);
    let refused = invite(admin, "clara").await.problem(409, "seats_taken");
    assert_eq!(refused["detail"], "The plan has 3 seats, and all are taken.");
    // Somebody who has a seat may be let in; who gives it back makes room, and then finds none.
    admin.run(&format!("/v1/users/{boris}/activate"), json!({})).await;
    admin.run(&format!("/v1/users/{boris}/deactivate"), json!({})).await;
    assert_eq!(taken(admin).await, 2);
    invite(admin, "clara").await.expect(StatusCode::CREATED);
    admin.post(&format!("/v1/users/{boris}/activate"), json!({})).await.problem(409, "seats_taken");
    // Fewer seats than are taken shut nobody out; without a plan there is no limit.
    admin.put("/v1/plan", plan(1)).await.expect(StatusCode::OK);
    assert_eq!(taken(admin).await, 3);
    admin.run(&format!("/v1/users/{anna}/activate"), json!({})).await;
    invite(admin, "dora").await.problem(409, "seats_taken");
    admin.put("/v1/plan", json!({ "plan": null })).await.expect(StatusCode::OK);
    invite(admin, "dora").await.expect(StatusCode::CREATED);
    assert_eq!(taken(admin).await, 4);
    for (unfit, code, pointer) in [
        (json!({ "plan": { "name": "Team", "seats": 0 } }), "tenant_plan_invalid", "/plan/seats"),
        (json!({ "plan": { "name": "" } }), "name_invalid", "/plan/name"),
        (
            json!({ "plan": { "name": "Team", "payment": { "payer": "A", "email": "b" } } }),
            "email_invalid",
            "/plan/payment/email",
        ),
    ] {
        let problem = admin.put("/v1/plan", unfit).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn who_comes_first_takes_the_last_seat_however_many_are_invited_at_once() {
    let server = Server::start().await;
    let admin = &server.admin;
    admin.put("/v1/plan", plan(4)).await.expect(StatusCode::OK);
    let names: Vec<_> = (0..12).map(|number| format!("guest{number}")).collect();
    let replies = join_all(names.iter().map(|name| invite(admin, name))).await;
    let let_in = replies.iter().filter(|reply| reply.status == StatusCode::CREATED).count();
    assert_eq!(let_in, 3, "three seats were left");
    for reply in replies.iter().filter(|reply| reply.status != StatusCode::CREATED) {
        reply.problem(409, "seats_taken");
    }
    assert_eq!(taken(admin).await, 4);
}

#[tokio::test]
async fn only_whoever_operates_the_deployment_says_what_is_agreed() {
    let server = Server::start().await;
    let guest = server.another_tenant("Guests").await;
    let id = guest.read("/v1/me").await["tenant"].clone();
    guest.put("/v1/plan", plan(100)).await.problem(403, "permission_denied");
    let mut agreed = plan(1);
    agreed["tenant"] = id;
    server.admin.put("/v1/plan", agreed).await.expect(StatusCode::OK);
    assert_eq!(guest.read("/v1/plan").await["plan"]["seats"], 1);
    assert_eq!(server.admin.read("/v1/plan").await["plan"], json!(null), "each has its own");
    invite(&guest, "anna").await.problem(409, "seats_taken");
    invite(&server.admin, "anna").await.expect(StatusCode::CREATED);
    let (_, clerk) = person(&server, "clerk@example.com", &["user.*"]).await;
    clerk.get("/v1/plan").await.problem(403, "permission_denied");
}
