//! Dashboards in a real browser: they follow what happens, are arranged with keys and pointer, and everybody can read them.

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::json;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size},
};
use crate::{
    data::imports::{extract, history, whole},
    org::browser::person,
};

#[tokio::test]
async fn a_dashboard_follows_what_happens_and_is_arranged_in_the_browser() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, anna) = person(&server, "anna@example.com", &["*"]).await;
    admin.create("/v1/tickets", json!({ "title": "First" })).await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;

    // Anna makes a copy of the shipped one.
    window.goto("/dashboards").await;
    window.saying("summary", "New dashboard").await.click().await.unwrap();
    window.fill("#new-board-name", "My desk").await;
    window.find("#new-board-from_shipped").await.select_by_label("Desk").await.unwrap();
    window.click("#new-board button[type=submit]").await;
    window.saying("h1", "My desk").await;
    let path = window.path().await;

    // What happens is shown without loading the page again.
    window.find("#widget-opened .figure a").await;
    window.settled().await;
    window.mark().await;
    admin.create("/v1/tickets", json!({ "title": "Second" })).await;
    window.saying("a", "Second").await;
    window.find("body[data-before]").await;

    // One widget moves by its arrows, and makes room by itself.
    window.click("#edit").await;
    window.click("#widget-opened button[data-does=down]").await;
    window.find("#widget-opened.y1").await;
    window.find("#widget-opened_and_closed.y3").await;
    window.click("#widget-closed button[data-does=remove]").await;
    window.find("#board:not(:has(#widget-closed))").await;
    let id = path.rsplit('/').next().unwrap().split('?').next().unwrap();
    let saved = anna.get(&format!("/v1/dashboards/{id}/data?widgets=opened,closed")).await.expect(StatusCode::OK);
    assert_eq!(saved["widgets"].as_array().unwrap().len(), 1);
    assert_eq!(saved["widgets"][0]["place"]["y"], 1);

    // A text is added.
    window.saying("summary", "Add a widget").await.click().await.unwrap();
    window.find("#add-kind").await.select_by_value("text").await.unwrap();
    window.fill("#add-text", "Be **kind**.").await;
    window.click("#add button[type=submit]").await;
    window.saying("b", "kind").await;
    assert_eq!(window.complaints().await, Vec::<String>::new());

    // A bar leads to its records.
    window.goto(&format!("{path}?range=all")).await;
    window.settled().await;
    window.click("#widget-opened .figure a").await;
    window.saying("a", "First").await;
    window.close().await;
}

#[tokio::test]
async fn every_shipped_dashboard_can_be_read_by_everybody_at_every_size() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["*"]).await;
    let Some(chromium) = Chromium::start().await else { return };
    let looks = std::env::var_os("DESKFOLD_SCREENSHOTS").is_some();
    let file = if looks { whole().unwrap_or_else(extract) } else { extract() };
    assert_eq!(history(admin, &file).await["counts"]["rejected"], 0);
    for (number, source) in ["shop", "site", "phone"].into_iter().cycle().take(30).enumerate() {
        let total = json!({ "amount": format!("{}.50", 10 + number * 7), "currency": "EUR" });
        let day = format!("2012-{:02}-{:02}T{:02}:10:00Z", 1 + number % 12, 1 + number % 27, 8 + number % 10);
        let order = json!({ "source": source, "total": total, "city": "Rome" });
        admin.header("deskfold-occurred-at", day).create("/v1/orders", order).await;
    }
    server.settle().await;
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;
    let over = "?from=2011-06-01&to=2012-12-31&tz=Europe/Rome&range=";
    for id in ["desk", "products", "chats", "sales", "rules", "team"] {
        for width in [390, 820, 1280, 1920] {
            window.sized(width, 900).await;
            window.goto(&format!("/dashboards/{id}{over}")).await;
            window.settled().await;
            for theme in ["light", "dark"] {
                window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
                if [(390, "dark"), (1280, "light")].contains(&(width, theme)) {
                    let barriers = window.barriers().await;
                    assert!(barriers.is_empty(), "{id}, {theme}, {width}: {barriers:#?}");
                }
                window.picture(&format!("dashboard-{id}-{width}-{theme}")).await;
            }
            assert!(!window.overflows().await, "{id} is wider than the window: {width}");
        }
        window.printed(true).await;
        window.picture(&format!("dashboard-{id}-print")).await;
        window.printed(false).await;
        let complaints = window.complaints().await;
        assert!(complaints.is_empty(), "{id}: {complaints:#?}");
    }
    window.close().await;
}
