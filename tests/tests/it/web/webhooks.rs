//! The page of webhooks in a real browser: one is set up, tried, and its log is read.

use deskfold_tests::Server;
use serde_json::json;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size},
};
use crate::{org::browser::person, work::webhooks::Receiver};

#[tokio::test]
async fn a_webhook_is_set_up_tried_and_disabled_on_its_page() {
    let server = Server::with(&["--private-addresses"]).await;
    person(&server, "anna@example.com", &["webhook.*", "ticket.*"]).await;
    let (_, none) = person(&server, "none@example.com", &["ticket.*"]).await;
    assert_eq!(none.get("/webhooks").await.status, 404);
    let Some(chromium) = Chromium::start().await else { return };
    let (receiver, address) = Receiver::start().await;
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;
    window.goto("/webhooks").await;
    window.settled().await;
    window.click("details.panel > summary").await;
    window.fill("[name=url]", &format!("http://{address}/hook")).await;
    window.fill("[name=types]", "ticket.*\ncontact.created").await;
    window.click("details.panel button[type=submit]").await;
    window.tells("#hook-secret code", "whsec_").await;
    window.tells("#webhooks section b", "Works").await;
    window.tells("#webhooks section", "ticket.*, contact.created").await;
    window.click("#webhooks form[action$='/test'] button").await;
    window.tells("#webhooks details[data-log] li b", "Taken").await;
    window.tells("#webhooks details[data-log] li", "webhook.tested").await;
    assert_eq!(receiver.types("/hook"), ["webhook.tested"]);
    window.is_for_everybody("webhooks").await;
    window.click("#webhooks form[action$='/disable'] button").await;
    window.tells("#webhooks section b", "Disabled").await;
    assert!(window.complaints().await.is_empty());
    server.settle().await;
    assert_eq!(server.admin.read("/v1/webhooks").await["data"][0]["types"], json!(["ticket.*", "contact.created"]));
}
