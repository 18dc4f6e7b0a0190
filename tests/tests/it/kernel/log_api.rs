//! The log for auditors, and as it grows.

use deskfold_tests::{Client, Server};
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn three_tickets(server: &Server) -> Vec<String> {
    let mut tickets = Vec::new();
    for title in ["a", "b", "c"] {
        tickets.push(server.admin.create("/v1/tickets", json!({ "title": title })).await);
    }
    server.admin.run(&format!("/v1/tickets/{}/close", tickets[0]), json!({})).await;
    tickets
}

fn positions(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn auditors_read_the_log_in_pages_both_ways() {
    let server = Server::start().await;
    let tickets = three_tickets(&server).await;
    let mut all = Vec::new();
    let mut next = Some("/v1/events?limit=3".to_owned());
    while let Some(path) = next {
        let page = server.admin.read(&path).await;
        all.extend(positions(&page));
        next = page["next"].as_str().map(ToOwned::to_owned);
    }
    let head = server.admin.read("/v1/events").await["position"].as_i64().unwrap();
    assert_eq!(all, (1..=head).collect::<Vec<_>>(), "dense, from the first");
    let newest = server.admin.read("/v1/events?backwards=true&limit=1").await;
    assert_eq!(newest["data"][0]["type"], "ticket.closed");
    assert_eq!(newest["data"][0]["stream"], format!("ticket-{}", tickets[0]));
    let opened = server.admin.read("/v1/events?types=ticket.opened").await;
    assert_eq!(opened["data"].as_array().unwrap().len(), 3);
    let closed = server.admin.read("/v1/events?category=ticket&types=ticket.closed,ticket.merged").await;
    assert_eq!(closed["data"].as_array().unwrap().len(), 1);
    let stream = server.admin.read(&format!("/v1/events?stream=ticket-{}", tickets[0])).await;
    assert_eq!(stream["data"].as_array().unwrap().len(), 2);
    let event = &stream["data"][0];
    for field in ["position", "stream", "version", "id", "type", "occurred_at", "recorded_at", "actor", "via", "data"] {
        assert!(!event[field].is_null(), "{field}: {event}");
    }
    assert!(event["command_id"].is_string() && event["correlation_id"].is_string());
    let recorded = stream["data"][1]["recorded_at"].as_str().unwrap();
    let before = server.admin.read(&format!("/v1/events?category=ticket&to={recorded}")).await;
    assert_eq!(before["data"].as_array().unwrap().len(), 3, "to is exclusive");
    let since = server.admin.read(&format!("/v1/events?category=ticket&from={recorded}")).await;
    assert_eq!(since["data"].as_array().unwrap().len(), 1);
    server.admin.get("/v1/events?types=ticket.exploded").await.problem(422, "event_type_unknown");
    server.admin.get("/v1/events?category=spaceship").await.problem(422, "category_unknown");
    server.admin.get("/v1/events?limit=0").await.problem(422, "limit_invalid");
    server.admin.get("/v1/events?color=red").await.problem(422, "parameter_invalid");
}

#[tokio::test]
async fn a_history_says_who_and_why_in_order() {
    let server = Server::start().await;
    let tickets = three_tickets(&server).await;
    let me = server.admin.read("/v1/me").await["user"].clone();
    let history = server.admin.read(&format!("/v1/tickets/{}/history", tickets[0])).await;
    let types: Vec<_> = history["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, [json!("ticket.opened"), json!("ticket.closed")]);
    assert_eq!(history["data"][1]["actor"], json!({ "kind": "user", "id": me }));
    assert_eq!(history["data"][1]["via"], "api");
    let last = server.admin.read(&format!("/v1/tickets/{}/history?backwards=true&limit=1", tickets[0])).await;
    assert_eq!(last["data"][0]["type"], "ticket.closed");
    let rest = server.admin.read(last["next"].as_str().unwrap()).await;
    assert_eq!((&rest["data"][0]["type"], &rest["next"]), (&json!("ticket.opened"), &Value::Null));
    server.admin.get("/v1/tickets/01K9Z3T8W0QX6V5N4M3K2J1H0G/history").await.problem(404, "ticket_unknown");
}

/// Reads events from a stream until `count` have come: (id, type).
async fn listen(client: &Client, path: &str, last: Option<&str>, count: usize) -> Vec<(i64, String)> {
    let mut request = client.request(Method::GET, path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut bytes = response.bytes_stream();
    let (mut text, mut found) = (String::new(), Vec::new());
    while found.len() < count {
        text.push_str(std::str::from_utf8(&bytes.next().await.expect("the stream goes on").unwrap()).unwrap());
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(kind)) = (field("id:"), field("event:")) {
                let data: Value = serde_json::from_str(field("data:").unwrap()).unwrap();
                assert_eq!(data["type"], kind);
                found.push((id.parse().unwrap(), kind.to_owned()));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test]
async fn a_listener_hears_what_happens_and_resumes_where_it_left_off() {
    let server = Server::start().await;
    three_tickets(&server).await;
    let path = "/v1/events/stream?category=ticket";
    let past = listen(&server.admin, &format!("{path}&after=0"), None, 4).await;
    assert_eq!(past.last().unwrap().1, "ticket.closed");
    let resumed = listen(&server.admin, path, Some(&past[1].0.to_string()), 2).await;
    assert_eq!(resumed, past[2..]);
    let last = past[3].0.to_string();
    let live = listen(&server.admin, path, Some(&last), 2);
    let act = async {
        server.admin.create("/v1/contacts", json!({ "name": "Not heard" })).await;
        let ticket = server.admin.create("/v1/tickets", json!({ "title": "d" })).await;
        server.admin.run(&format!("/v1/tickets/{ticket}/resolve"), json!({})).await;
    };
    let (heard, ()) = tokio::join!(live, act);
    assert_eq!(heard.iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>(), ["ticket.opened", "ticket.resolved"]);
    server.admin.get("/v1/events/stream?types=nope.nope").await.problem(422, "event_type_unknown");
    server.admin.header("last-event-id", "abc").get(path).await.problem(400, "last_event_id_invalid");
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams() {
    let server = Server::start().await;
    let response = server.admin.request(Method::GET, "/v1/events/stream").send().await.unwrap();
    server.app.stop().await;
    let rest: Vec<_> = response.bytes_stream().collect().await;
    assert!(rest.iter().all(Result::is_ok), "it ends; it is not torn off");
}
