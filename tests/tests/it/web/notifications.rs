//! Notifications in a real browser: the number on every page as it grows, read on one screen and on all, and what one wants.

use deskfold_tests::Server;
use serde_json::json;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size},
};
use crate::{org::browser::person, world::ticket};

#[tokio::test]
async fn the_number_is_on_every_page_and_what_is_read_on_one_screen_is_read_on_all() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna, _) = person(&server, "anna@example.com", &["ticket.*", "comment.*"]).await;
    let printer = ticket(admin, "<b>Printer</b>").await;
    let path = format!("/v1/tickets/{printer}");
    admin.run(&format!("{path}/assign"), json!({ "assignee": anna })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;
    window.tells("#told", "1").await;
    let other = chromium.window(&server, Size::Phone).await;
    signs_in(&other, "anna@example.com").await;
    other.tells("#told", "1").await;

    // It grows while one looks, wherever one is.
    admin.run(&format!("{path}/add_note"), json!({ "body": "@anna, please" })).await;
    server.settle().await;
    window.tells("#told", "2").await;
    other.tells("#told", "2").await;
    window.hits("#told").await;
    window.arrives("/notifications").await;
    window.tells("#told-list li:first-child h3", "You were mentioned").await;
    window.tells("#told-list li:first-child a", "<b>Printer</b>").await;
    window.is_for_everybody("notifications").await;
    window.hits("#told-list li:first-child [data-does=read]").await;
    window.tells("#told", "1").await;
    other.tells("#told", "1").await;
    window.hits("#read-all").await;
    window.sees("document.querySelector('#told').hidden && document.querySelector('#read-all').hidden").await;
    other.sees("document.querySelector('#told').hidden").await;

    // Of the two sorts of mail one excludes the other; what is chosen is kept.
    window.hits("#mentioned-email").await;
    window.hits("#mentioned-digest").await;
    window.sees("!document.querySelector('#mentioned-email').checked").await;
    window.run("document.querySelector('#quiet-from').value = '22:00'").await;
    window.hits("#wants button[type=submit]").await;
    window.tells("#wants-fault", "A time of day").await;
    window.run("document.querySelector('#quiet-until').value = '07:00'").await;
    window.hits("#wants button[type=submit]").await;
    window.sees("document.querySelector('#toast').classList.contains('shown')").await;
    window.goto("/notifications").await;
    window.settled().await;
    window.sees("document.querySelector('#mentioned-digest').checked").await;
    window.sees("document.querySelector('#quiet-until').value === '07:00'").await;
    let complaints = window.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("422")), "{complaints:?}");
}
