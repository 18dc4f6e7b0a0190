//! Keys, roles, permissions, acting for others, limits.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::json;

use crate::world::employ;

/// A user with a role of these permissions, and a client that acts as that user.
pub(crate) async fn user_with(server: &Server, email: &str, permissions: &[&str]) -> (String, Client) {
    let role = server.admin.create("/v1/roles", json!({ "name": email, "permissions": permissions })).await;
    let user = server.admin.create("/v1/users", json!({ "email": email, "name": email })).await;
    employ(&server.admin, &user, &role).await;
    let issued =
        server.admin.post("/v1/api_keys", json!({ "name": "test", "user": user })).await.expect(StatusCode::CREATED);
    (user, server.client(issued["key"].as_str().unwrap()))
}

#[tokio::test]
async fn without_a_valid_key_there_is_no_way_in() {
    let server = Server::start().await;
    for (key, code) in [("", "key_missing"), ("dfk_wrong", "key_invalid")] {
        let reply = server.client(key).get("/v1/tickets").await;
        reply.problem(401, code);
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"deskfold\"");
    }
    assert_eq!(server.client("").get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_does_what_its_role_permits_and_nothing_else() {
    let server = Server::start().await;
    let (_, reader) = user_with(&server, "reader@example.com", &["ticket.read", "ticket.open"]).await;
    let ticket = reader.create("/v1/tickets", json!({ "title": "x" })).await;
    let denied = reader.post(&format!("/v1/tickets/{ticket}/close"), json!({})).await.problem(403, "permission_denied");
    assert!(denied["detail"].as_str().unwrap().contains("ticket.close"));
    reader.get("/v1/contacts").await.problem(403, "permission_denied");
    reader.get("/v1/events").await.problem(403, "permission_denied");
    reader.get(&format!("/v1/tickets/{ticket}/history")).await.expect(StatusCode::OK);
    let me = reader.read("/v1/me").await;
    assert_eq!(me["permissions"], json!(["ticket.open", "ticket.read"]));
}

#[tokio::test]
async fn a_key_bound_to_a_role_may_less_than_its_user() {
    let server = Server::start().await;
    let role = server.admin.create("/v1/roles", json!({ "name": "feed", "permissions": ["event.read"] })).await;
    let issued = server.admin.post("/v1/api_keys", json!({ "name": "feed", "role": role })).await.json();
    let bounded = server.client(issued["key"].as_str().unwrap());
    bounded.get("/v1/events").await.expect(StatusCode::OK);
    bounded.post("/v1/tickets", json!({ "title": "x" })).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_revoked_expired_or_orphaned_key_is_worthless() {
    let server = Server::start().await;
    let (user, client) = user_with(&server, "gone@example.com", &["*.read"]).await;
    client.get("/v1/me").await.expect(StatusCode::OK);
    server.admin.run(&format!("/v1/users/{user}/deactivate"), json!({})).await;
    client.get("/v1/me").await.problem(401, "user_inactive");

    let issued = server.admin.post("/v1/api_keys", json!({ "name": "short" })).await.expect(StatusCode::CREATED);
    let short = server.client(issued["key"].as_str().unwrap());
    short.get("/v1/me").await.expect(StatusCode::OK);
    server.admin.run(&format!("/v1/api_keys/{}/revoke", issued["id"].as_str().unwrap()), json!({})).await;
    short.get("/v1/me").await.problem(401, "key_invalid");

    let past = json!({ "name": "late", "expires_at": "2020-01-01T00:00:00Z" });
    server.admin.post("/v1/api_keys", past).await.problem(422, "api_key_expiry_invalid");
}

#[tokio::test]
async fn an_expired_key_stops_working_when_its_time_has_come() {
    let server = Server::start().await;
    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
    let body = json!({ "name": "an hour", "expires_at": soon.to_string() });
    let issued = server.admin.post("/v1/api_keys", body).await.expect(StatusCode::CREATED);
    let client = server.client(issued["key"].as_str().unwrap());
    client.get("/v1/me").await.expect(StatusCode::OK);
    server.app.advance(std::time::Duration::from_secs(3601));
    client.get("/v1/me").await.problem(401, "key_invalid");
}

#[tokio::test]
async fn secrets_are_shown_once_and_kept_nowhere() {
    let server = Server::start().await;
    let keyed = server.admin.header("idempotency-key", "k1");
    let issued = keyed.post("/v1/api_keys", json!({ "name": "shop" })).await.expect(StatusCode::CREATED);
    let secret = issued["key"].as_str().unwrap();
    let again = keyed.post("/v1/api_keys", json!({ "name": "shop" })).await.expect(StatusCode::CREATED);
    assert_eq!((&again["id"], again.get("key")), (&issued["id"], None));
    let log = server.admin.get("/v1/events?limit=1000").await.text;
    assert!(!log.contains(secret) && !log.contains(&server.admin.key));
    server.settle().await;
    let listed = server.admin.get("/v1/api_keys").await;
    assert!(listed.text.contains("shop") && !listed.text.contains("digest"), "{}", listed.text);
}

#[tokio::test]
async fn acting_for_another_keeps_both_names() {
    let server = Server::start().await;
    let (boris, _) = user_with(&server, "boris@example.com", &["*.read"]).await;
    let me = server.admin.read("/v1/me").await;
    let for_boris = server.admin.header("deskfold-on-behalf-of", &boris);
    let ticket = for_boris.create("/v1/tickets", json!({ "title": "For Boris" })).await;
    let history = server.admin.read(&format!("/v1/tickets/{ticket}/history")).await;
    assert_eq!(history["data"][0]["actor"], json!({ "kind": "user", "id": me["user"], "on_behalf_of": boris }));
    let nobody = server.admin.header("deskfold-on-behalf-of", "01K9Z3T8W0QX6V5N4M3K2J1H0G");
    nobody.get("/v1/me").await.problem(422, "on_behalf_of_unknown");
    let (_, plain) = user_with(&server, "plain@example.com", &["ticket.*"]).await;
    plain.header("deskfold-on-behalf-of", &boris).get("/v1/me").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn each_key_has_its_own_rate_limit() {
    let server = Server::with(&["--rate-limit", "5"]).await;
    let issued = server.admin.post("/v1/api_keys", json!({ "name": "other" })).await.expect(StatusCode::CREATED);
    let other = server.client(issued["key"].as_str().unwrap());
    let mut refused = None;
    for _ in 0..6 {
        let reply = server.admin.get("/v1/me").await;
        assert_eq!(reply.header("x-ratelimit-limit"), "5");
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(reply);
        }
    }
    let refused = refused.expect("the sixth request is too many");
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(refused.header("ratelimit").contains("r=0"));
    assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=5;w=60");
    other.get("/v1/me").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn back_dating_needs_its_permission() {
    let server = Server::start().await;
    let then = server.admin.header("deskfold-occurred-at", "2020-02-03T04:05:06Z");
    let ticket = then.create("/v1/tickets", json!({ "title": "Long ago" })).await;
    let history = server.admin.read(&format!("/v1/tickets/{ticket}/history")).await;
    assert_eq!(history["data"][0]["occurred_at"], "2020-02-03T04:05:06Z");
    assert_ne!(history["data"][0]["recorded_at"], "2020-02-03T04:05:06Z");
    let future = server.admin.header("deskfold-occurred-at", "2999-01-01T00:00:00Z");
    future.post("/v1/tickets", json!({ "title": "x" })).await.problem(400, "occurred_at_invalid");
    let (_, agent) = user_with(&server, "agent@example.com", &["ticket.*"]).await;
    let dated = agent.header("deskfold-occurred-at", "2020-02-03T04:05:06Z");
    dated.post("/v1/tickets", json!({ "title": "x" })).await.problem(403, "permission_denied");
}
