//! The portal in a browser: a customer signs in by a code, asks, answers and rates, on a phone and at a desk, light and dark.

use deskfold_tests::PostOffice;
use serde_json::json;

use super::chromium::{Chromium, Size, Window, is_its_turn};
use crate::{
    desk::portal::{code, desk, portal},
    world::{condition, euros, filtered, grant},
};

/// Light and dark, without barriers, and no wider than the window.
async fn fits(window: &Window, name: &str, size: Size) {
    window.settled().await;
    for theme in ["light", "dark"] {
        window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
        window.picture(&format!("portal-{name}-{size:?}-{theme}")).await;
        if is_its_turn(name.len(), size, theme) {
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{name}, {theme}, {size:?}: {barriers:#?}");
        }
    }
    assert!(!window.overflows().await, "{name} is wider than the window: {size:?}");
    // A browser complains of pages that say what was wrong.
    let complaints: Vec<String> =
        window.complaints().await.into_iter().filter(|line| !line.contains("status of 422")).collect();
    assert!(complaints.is_empty(), "{name}: {complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_asks_and_is_answered_in_the_portal() {
    let Some(office) = PostOffice::start(&["maria"]) else { return };
    let (server, team) = desk(&office).await;
    let client = &server.admin;
    let more = json!({ "name": "Rossi Help", "welcome": "Good day! Find an answer, or ask us.", "color": "#0b5ca8", "company_tickets": true });
    portal(&server, &team, more).await;
    let maria = client.create("/v1/contacts", json!({ "name": "Maria Rossi", "email": "maria@mail.example" })).await;
    for (name, color, icon) in [("Hosting", "#00a09d", "server"), ("Router", "#ffd400", "wifi")] {
        let product = json!({ "name": name, "kind": "service", "color": color, "icon": icon });
        let product = client.create("/v1/products", product).await;
        grant(client, &product, "contact", &maria).await;
    }
    let order = json!({ "customer": maria, "source": "shop", "external_number": "A-17", "total": euros("10") });
    client.post("/v1/orders", order).await.expect(reqwest::StatusCode::CREATED);
    for (category, articles) in
        [("Billing", ["How to pay", "Where your invoices are"]), ("Repairs", ["A dark display", "Send it in"])]
    {
        let category = client
            .create("/v1/article_categories", json!({ "name": category, "description": "What people ask most." }))
            .await;
        for name in articles {
            let body = "Open the **invoice** and choose *Pay*.\n\n## Then\n\n1. Type your number.\n2. Done.\n\n> It takes a day.";
            let article =
                client.create("/v1/articles", json!({ "name": name, "body": body, "category": category })).await;
            client.run(&format!("/v1/articles/{article}/publish"), json!({})).await;
        }
    }
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let home = format!("/portal/{}", server.tenant);
    let window = chromium.window(&server, Size::Wide).await;
    window.sized(390, 844).await;
    window.goto(&home).await;
    fits(&window, "home", Size::Phone).await;
    window.saying("a", "How to pay").await.click().await.unwrap();
    window.saying("h1", "How to pay").await;
    fits(&window, "article", Size::Phone).await;
    window.click("button[value=true]").await;
    window.saying("p", "Thank you for telling us.").await;
    window.goto(&format!("{home}/tickets")).await;
    window.fill("#email", "maria@mail.example").await;
    fits(&window, "sign-in", Size::Phone).await;
    window.click("main button").await;
    window.find("#code").await;
    fits(&window, "code", Size::Phone).await;
    server.settle().await;
    window.fill("#code", "123").await;
    window.click("main button").await;
    window.find(".fault").await;
    fits(&window, "wrong-code", Size::Phone).await;
    window.fill("#code", &code(&office, "maria", 1).await).await;
    window.click("main button").await;
    window.saying("p", "You have not written to us yet.").await;
    window.click("main a.act").await;
    window.saying("span", "Hosting").await.click().await.unwrap();
    window.fill("#title", "The display stays dark").await;
    window.fill("#text", "Since the update.\nWhat can I do?").await;
    fits(&window, "new", Size::Phone).await;
    window.click("main button[type=submit]").await;
    window.saying("p", "Since the update.").await;
    let asked = client.read(&filtered("/v1/tickets", &condition("channel", "eq", "portal"))).await;
    assert_eq!(asked["data"][0]["product_name"], "Hosting");
    let ticket = asked["data"][0]["id"].as_str().unwrap();
    client
        .run(&format!("/v1/tickets/{ticket}/reply"), json!({ "body": "Please hold the power key for ten seconds." }))
        .await;
    client.run(&format!("/v1/tickets/{ticket}/resolve"), json!({})).await;
    server.settle().await;
    for size in [Size::Phone, Size::Wide] {
        if let Size::Wide = size {
            window.sized(1280, 900).await;
        }
        for (name, path) in
            [("home", ""), ("tickets", "/tickets"), ("ticket", &*format!("/tickets/{ticket}")), ("orders", "/orders")]
        {
            window.goto(&format!("{home}{path}")).await;
            fits(&window, &format!("{name}-signed"), size).await;
        }
    }
    window.goto(&format!("{home}/tickets/{ticket}")).await;
    window.saying("p", "Please hold the power key").await;
    window.click("input[value='5']").await;
    window.click(".rate button").await;
    window.saying("p", "You gave 5 of 5").await;
    window.click("form.leave button").await;
    window.saying("a", "Sign in").await;
    window.close().await;
}
