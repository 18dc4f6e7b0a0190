//! System notices in a real browser: seen from every page, put right by keyboard, cleared one and all.

use deskfold_tests::Server;
use fantoccini::key::Key;
use serde_json::json;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size},
};
use crate::org::browser::person;

#[tokio::test]
async fn an_order_that_made_no_sense_is_corrected_on_the_page_of_notices() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["system_notice.*", "delivery.*", "order.read", "bulk.*:own", "bulk.run"])
        .await;
    let (_, none) = person(&server, "none@example.com", &["ticket.*"]).await;
    assert_eq!(none.get("/notices").await.status, 404);
    let price = json!({ "amount": "12.50", "currency": "EUR" });
    for (key, name) in [("1001", ""), ("1002", " "), ("1003", "")] {
        let item = json!({ "name": name, "price": price });
        let order = json!({ "key": key, "name": "<b>Maria</b>", "phone": "+39 06 555 0101", "items": [item] });
        admin.post("/v1/intake/orders?source=web", order).await;
    }
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;
    window.tells("#attention", "3").await;
    window.find("#attention").await.send_keys(&String::from(char::from(Key::Enter))).await.unwrap();
    window.arrives("/notices").await;
    window.tells("#notices li:first-child h3", "could not be taken").await;
    window.tells("#notices li:first-child", "An item of the order lacks a name").await;

    // The body is there as it came; a key opens it, and it is corrected and tried.
    let summary = window.find("#notices li:first-child summary").await;
    summary.send_keys(&String::from(char::from(Key::Enter))).await.unwrap();
    let body = "document.querySelector('#notices li:first-child textarea')";
    window.sees(&format!("{body}.value.includes('\"1003\"')")).await;
    window.is_for_everybody("notices").await;
    window.run(&format!("{body}.value = 'no json'")).await;
    window.hits("#notices li:first-child button[value=correct]").await;
    window.tells("#notices li:first-child form .fault", "The body is no JSON").await;
    window.run(&format!("{body}.value = {body}.defaultValue")).await;
    window.hits("#notices li:first-child button[value=try_again]").await;
    window.tells("#notices li:first-child form .fault", "lacks a name").await;
    window.run(&format!("{body}.value = {body}.value.replace('\"name\": \"\"', '\"name\": \"Lamp\"')")).await;
    window.hits("#notices li:first-child button[value=correct]").await;
    window.sees("document.querySelectorAll('#notices > li').length === 2").await;
    window.tells("#attention", "2").await;
    server.settle().await;
    let orders = admin.read("/v1/orders").await;
    assert_eq!(orders["data"][0]["items"][0]["name"], "Lamp", "{orders}");

    // One is cleared, then all: the sign goes.
    window.hits("#notices li:first-child [data-does=clear]").await;
    window.sees("document.querySelectorAll('#notices > li').length === 1").await;
    window.hits("#clear-all").await;
    window.tells("#count", "Nothing waits").await;
    window.sees("document.querySelector('#attention').hidden").await;
    window.is_for_everybody("notices-none").await;
    let complaints = window.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("422")), "{complaints:?}");
    server.settle().await;
    assert_eq!(admin.read("/v1/notices").await["data"], json!([]));
}
