//! Whether the process lives, whether it can work, and what it counts.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Server};
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::ticket;

/// The metrics by name and labels, as Prometheus reads them.
async fn metrics(client: &Client) -> BTreeMap<String, f64> {
    let reply = client.get("/metrics").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("content-type").starts_with("text/plain"));
    let mut metrics = BTreeMap::new();
    let mut described = 0;
    for line in reply.text.lines() {
        if line.starts_with('#') {
            described += 1;
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(metrics.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} is told twice");
    }
    assert!(described > 20, "families have help and type");
    metrics
}

/// The sum of a metric over its labels.
fn sum(metrics: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    let of_family = |key: &&String| key.split('{').next() == Some(name) && key.contains(label);
    let found: Vec<_> = metrics.iter().filter(|(key, _)| of_family(key)).collect();
    assert!(!found.is_empty(), "there is no metric {name} with {label}");
    found.iter().map(|(_, value)| **value).sum()
}

#[tokio::test]
async fn everything_that_is_to_be_watched_is_counted() {
    let server = Server::start().await;
    let client = &server.admin;
    let before = metrics(&server.client("")).await;
    for number in 0..5 {
        ticket(client, &format!("Ticket {number}")).await;
    }
    client.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    let taken = json!({ "email": "anna@example.com", "name": "Another" });
    client.post("/v1/users", taken).await.problem(409, "user_email_taken");
    client.post("/v1/tickets", json!({ "title": "" })).await.problem(422, "title_invalid");
    client.get("/v1/tickets/01K9Z3T8W0QX6V5N4M3K2J1H0G").await.problem(404, "ticket_unknown");
    client.get("/nowhere").await.problem(404, "route_unknown");
    server.settle().await;
    client.read("/v1/tickets").await;
    let head = client.read("/v1/events").await["position"].as_f64().unwrap();
    let after = metrics(&server.client("")).await;
    let grown = |name: &str| sum(&after, name, "") - sum(&before, name, "");

    assert!((grown("deskfold_appends_total") - 6.0).abs() < 0.1, "refused commands are no appends");
    assert!((grown("deskfold_append_events_total") - 6.0).abs() < 0.1);
    let (batches, carried) = (grown("deskfold_append_batch_size_count"), grown("deskfold_append_batch_size_sum"));
    assert!(batches >= 1.0 && batches <= carried, "appends travel in batches: {carried} in {batches}");
    assert!((6.0..=8.0).contains(&carried), "the refused one travels too: {carried}");
    assert!((grown("deskfold_append_conflicts_total") - 1.0).abs() < 0.1, "the address was taken");
    assert!(sum(&after, "deskfold_append_retries_total", "") >= 0.0);
    assert!(grown("deskfold_append_seconds_count") >= 6.0 && grown("deskfold_append_seconds_sum") > 0.0);
    assert!(sum(&after, "deskfold_append_seconds_bucket", "le=\"+Inf\"") >= 6.0);
    assert!(grown("deskfold_command_seconds_count") >= 7.0, "refused ones take time too");
    assert!(grown("deskfold_command_rejections_total") >= 1.0);
    assert!(sum(&after, "deskfold_command_retries_total", "") >= 0.0);
    assert!(sum(&after, "deskfold_aggregate_loads_total", "") >= 1.0);
    assert!((sum(&after, "deskfold_log_position", "") - head).abs() < 0.1);
    let (idle, used) =
        (sum(&after, "deskfold_pool_connections", "idle"), sum(&after, "deskfold_pool_connections", "used"));
    assert!(idle >= 0.0 && used >= 0.0 && idle + used >= 1.0, "{idle} idle, {used} used");

    for read_model in projections::names() {
        let label = format!("subscription=\"{read_model}\"");
        assert!(sum(&after, "deskfold_subscription_lag_positions", &label).abs() < 0.1, "{read_model} has settled");
        assert!(sum(&after, "deskfold_subscription_lag_seconds", &label).abs() < 0.1, "{read_model} has settled");
        assert!(sum(&after, "deskfold_parked_events", &label).abs() < 0.1, "{read_model} has parked nothing");
    }
    assert!(sum(&after, "deskfold_subscription_events_total", "") >= 6.0);

    // HTTP by route, as it is mounted: neither ids nor unknown paths make new series.
    let opened = "method=\"POST\",route=\"/v1/tickets\",status=\"201\"";
    assert!((sum(&after, "deskfold_http_requests_total", opened) - 5.0).abs() < 0.1);
    assert!((sum(&after, "deskfold_http_requests_total", "route=\"/v1/tickets\",status=\"422\"") - 1.0).abs() < 0.1);
    assert!(
        (sum(&after, "deskfold_http_requests_total", "route=\"/v1/tickets/{id}\",status=\"404\"") - 1.0).abs() < 0.1
    );
    assert!((sum(&after, "deskfold_http_requests_total", "route=\"none\",status=\"404\"") - 1.0).abs() < 0.1);
    assert!(sum(&after, "deskfold_http_request_seconds_count", "method=\"POST\",route=\"/v1/tickets\"") >= 6.0);
    assert!(!after.keys().any(|name| name.contains("01K9Z3T8W0") || name.contains("nowhere")));
}

#[tokio::test]
async fn a_process_that_works_says_so() {
    let server = Server::start().await;
    let anybody = server.client("");
    assert_eq!(anybody.read("/healthz").await, json!({ "status": "ok" }));
    let head = server.admin.read("/v1/events").await["position"].clone();
    let ready = anybody.read("/readyz").await;
    let storage = &ready["storage"];
    assert!(storage["state"] == "ok" && storage["free_bytes"].as_i64() > storage["min_free_bytes"].as_i64(), "{ready}");
    let whole = json!({ "ready": true, "database": true, "position": head, "building": [], "storage": storage });
    assert_eq!(ready, whole);
}

#[tokio::test]
async fn without_its_database_it_lives_but_is_not_ready() {
    let server = Server::start().await;
    ticket(&server.admin, "Before").await;
    server.database.pool.close().await;
    let anybody = server.client("");
    anybody.get("/healthz").await.expect(StatusCode::OK);
    let ready = anybody.get("/readyz").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((&ready["ready"], &ready["database"]), (&json!(false), &json!(false)));
    let reply = server.admin.get("/v1/tickets").await;
    let problem = reply.problem(503, "database_unavailable");
    assert!(!problem["detail"].as_str().unwrap().contains("pool"), "nothing about its inside: {problem}");
    assert!(reply.header("retry-after").parse::<u64>().is_ok());
}

#[tokio::test]
async fn a_process_is_not_ready_before_its_read_models_are() {
    let server = Server::with(&["--roles", "api"]).await;
    let anybody = server.client("");
    let ready = anybody.get("/readyz").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((&ready["ready"], &ready["database"]), (&json!(false), &json!(true)));
    let building: Vec<_> = ready["building"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(building, projections::names());
    // It writes all the same: the log needs no read model.
    ticket(&server.admin, "x").await;
    let late = server.admin.get("/v1/tickets?min_position=1");
    let reply = tokio::time::timeout(std::time::Duration::from_secs(20), late).await.unwrap();
    reply.problem(503, "read_model_building");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = Server::start().await;
    let named = server.admin.header("x-request-id", "from-the-proxy-7");
    let reply = named.get("/v1/me").await;
    assert_eq!(reply.header("x-request-id"), "from-the-proxy-7");
    let problem = named.get("/v1/nothing").await.problem(404, "route_unknown");
    assert_eq!(problem["trace_id"], "from-the-proxy-7");
    let own = server.admin.get("/v1/nothing").await;
    assert_eq!(own.problem(404, "route_unknown")["trace_id"], own.header("x-request-id"));
    for name in ["x-content-type-options", "cache-control"] {
        assert!(!own.header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn bodies_have_a_limit_and_a_kind() {
    let server = Server::with(&["--body-limit", "2000"]).await;
    let client = &server.admin;
    let large = json!({ "title": "x", "description": "x".repeat(3000) });
    client.post("/v1/tickets", large).await.problem(413, "body_too_large");
    let request = client.request(Method::POST, "/v1/tickets").header("content-type", "text/plain").body("title=x");
    client.send(request).await.problem(415, "media_type_unsupported");
    let request =
        client.request(Method::POST, "/v1/tickets").header("content-type", "application/json").body("{\"title\":");
    client.send(request).await.problem(400, "body_malformed");
    let request = client.request(Method::POST, "/v1/tickets").header("content-type", "application/json").body("[1]");
    client.send(request).await.problem(422, "body_invalid");
}

#[tokio::test]
async fn a_stopping_process_finishes_what_it_has_begun() {
    let server = Server::start().await;
    let client = server.admin.clone();
    let opens: futures::stream::FuturesUnordered<_> = (0..16)
        .map(|number| {
            let client = client.clone();
            async move {
                client.request(Method::POST, "/v1/tickets").json(&json!({ "title": format!("{number}") })).send().await
            }
        })
        .collect();
    let (answers, ()) = tokio::join!(opens.collect::<Vec<_>>(), server.app.stop());
    let mut accepted = 0;
    for answer in answers.into_iter().flatten() {
        match answer.status() {
            StatusCode::CREATED => accepted += 1,
            status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    let stored = "select count(*) from log_event where type = 'ticket.opened'";
    let stored: i64 = sqlx::query_scalar(stored).fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(stored, accepted, "what was answered is stored, and nothing else is");
}
