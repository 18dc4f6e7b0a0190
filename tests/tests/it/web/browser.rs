//! Pages in a real browser: what people do there, whether everybody can, and whether anything is wide, loud or forbidden.

use deskfold_tests::{Server, root};
use fantoccini::key::Key;
use reqwest::StatusCode;
use serde_json::json;

use super::chromium::{Chromium, Size, Window};
use crate::org::{
    browser::{PASSWORD, link, person},
    provider::Provider,
};

/// Signs somebody in through the page.
async fn signs_in(window: &Window, email: &str) {
    window.goto("/sign_in").await;
    window.fill("[name=email]", email).await;
    window.fill("[name=password]", PASSWORD).await;
    window.click("main button[type=submit]").await;
    window.arrives("/").await;
}

#[tokio::test]
async fn a_person_invited_in_the_browser_sees_only_what_is_theirs_and_signs_out_everywhere() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "boss@example.com", &["*"]).await;
    let permissions = ["property.*:own", "user.read"];
    admin.create("/v1/roles", json!({ "name": "Broker on trial", "permissions": permissions })).await;
    let Some(chromium) = Chromium::start().await else { return };
    let boss = chromium.window(&server, Size::Wide).await;
    signs_in(&boss, "boss@example.com").await;

    // The boss invites Anna, and is shown a link for her.
    boss.goto("/people").await;
    boss.settled().await;
    boss.saying("summary", "Invite somebody").await.click().await.unwrap();
    boss.fill("#invite-name", "Anna Bianchi").await;
    boss.fill("#invite-email", "anna@example.com").await;
    boss.find("#invite-role").await.select_by_label("Broker on trial").await.unwrap();
    boss.click("#invite button[type=submit]").await;
    boss.saying("h2", "Anna Bianchi").await;
    let link = boss.saying("code", "/link/").await.text().await.unwrap();
    let path = link.strip_prefix(&admin.base).unwrap();

    // Anna sets a password and is in. An unfit one is told beside its field.
    let anna = chromium.window(&server, Size::Phone).await;
    anna.goto(path).await;
    anna.fill("[name=password]", "password1234").await;
    anna.click("main button[type=submit]").await;
    anna.saying("p", "Choose another password").await;
    anna.fill("[name=password]", PASSWORD).await;
    anna.click("main button[type=submit]").await;
    anna.arrives("/").await;
    anna.saying("h1", "Anna Bianchi").await;

    // She sees what is hers.
    server.settle().await;
    let filter = json!({ "field": "email", "op": "eq", "value": "anna@example.com" }).to_string();
    let found = admin.read(&format!("/v1/users?filter={}", crate::org::browser::escaped(&filter))).await;
    let id = found["data"][0]["id"].as_str().unwrap().to_owned();
    let hers = json!({ "name": "Flat in Via Garibaldi", "kind": "apartment", "owner": id });
    admin.create("/v1/properties", hers).await;
    let other = admin.create("/v1/properties", json!({ "name": "House on the hill", "kind": "house" })).await;
    server.settle().await;
    anna.goto("/records/properties").await;
    anna.settled().await;
    anna.saying("a", "Flat in Via Garibaldi").await;
    let listed = anna.text("main").await;
    assert!(!listed.contains("House on the hill"), "{listed}");
    anna.goto(&format!("/records/properties/{other}")).await;
    anna.saying("h1", "Nothing here").await;

    // One more is shared with her, and she sees it at once.
    admin.run(&format!("/v1/properties/{other}/share"), json!({ "grantee": id, "level": "read" })).await;
    anna.goto("/records/properties").await;
    anna.saying("a", "House on the hill").await.click().await.unwrap();
    anna.saying("h1", "House on the hill").await;

    // A provider that knows her signs the same person in, in another window.
    let mut provider = Provider::start(&server).await;
    provider.is_set(admin, "match", None).await;
    provider.knows(json!({ "a1": { "email": "anna@example.com", "email_verified": true, "name": "Anna" } })).await;
    let elsewhere = chromium.window(&server, Size::Wide).await;
    elsewhere.goto(&format!("/sign_in?tenant={}", server.tenant)).await;
    elsewhere.saying("a", "Elsewhere").await.click().await.unwrap();
    elsewhere.fill("[name=login]", "a1").await;
    elsewhere.fill("[name=password]", "x").await;
    elsewhere.click("button[type=submit]").await;
    elsewhere.saying("button", "Continue").await.click().await.unwrap();
    elsewhere.arrives("/").await;
    elsewhere.saying("h1", "Anna Bianchi").await;

    // She signs out everywhere.
    anna.goto("/me").await;
    anna.settled().await;
    anna.saying("button", "Sign out everywhere").await.click().await.unwrap();
    anna.arrives("/sign_in").await;
    elsewhere.goto("/me").await;
    elsewhere.arrives("/sign_in?next=/me").await;
    boss.goto("/me").await;
    boss.saying("h1", "My account").await;
    for window in [boss, anna, elsewhere] {
        window.close().await;
    }
}

#[tokio::test]
async fn a_picture_is_chosen_shown_to_colleagues_and_removed() {
    let server = Server::start().await;
    let (user, api) = person(&server, "anna@example.com", &["user.read"]).await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Wide).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/me").await;
    anna.settled().await;
    let path = format!("/v1/users/{user}/picture");
    let initials = api.get(&path).await;
    assert_eq!(initials.header("content-type"), "image/svg+xml");
    let folder = tempfile::tempdir().unwrap();
    let (picture, none) = (folder.path().join("anna.png"), folder.path().join("none.png"));
    std::fs::write(&picture, anna.client.screenshot().await.unwrap()).unwrap();
    std::fs::write(&none, "no picture").unwrap();
    let choose = async |file: &std::path::Path| {
        anna.find("#picture-file").await.send_keys(file.to_str().unwrap()).await.unwrap();
    };
    anna.mark().await;
    choose(&picture).await;
    anna.reloaded().await;
    assert_eq!(api.get(&path).await.header("content-type"), "image/jpeg");
    // What is no picture is refused, and said so.
    choose(&none).await;
    anna.saying("p", "This is not a picture").await;
    assert_eq!(api.get(&path).await.header("content-type"), "image/jpeg");
    anna.mark().await;
    anna.saying("button", "Remove").await.click().await.unwrap();
    anna.reloaded().await;
    assert_eq!(api.get(&path).await.header("content-type"), "image/svg+xml");
    anna.close().await;
}

#[tokio::test]
async fn the_way_in_and_around_needs_no_mouse() {
    let server = Server::start().await;
    person(&server, "anna@example.com", &["*"]).await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    window.goto("/sign_in").await;
    window.settled().await;
    let press = async |keys: &str| {
        let focused = window.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    };
    // The first field has the focus; Tab leads on, Enter sends.
    press("anna@example.com").await;
    press(&char::from(Key::Tab).to_string()).await;
    press(&format!("{PASSWORD}{}", char::from(Key::Enter))).await;
    window.arrives("/").await;
    // The first stop of every page leads past the navigation.
    window.run("document.activeElement.blur()").await;
    window.find("body").await.send_keys(&char::from(Key::Tab).to_string()).await.unwrap();
    let focused = window.client.active_element().await.unwrap();
    assert_eq!(focused.attr("href").await.unwrap().as_deref(), Some("#content"));
    press(&char::from(Key::Enter).to_string()).await;
    let mut seen = Vec::new();
    for _ in 0..30 {
        press(&char::from(Key::Tab).to_string()).await;
        let focused = window.client.active_element().await.unwrap();
        let outlined = "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && s.outlineWidth !== '0px'";
        let place = focused.attr("href").await.unwrap();
        if let Some(place) = place.clone() {
            assert_eq!(window.run(outlined).await, json!(true), "one sees where one is: {place}");
            seen.push(place);
        }
        if place.as_deref() == Some("/docs") {
            break;
        }
    }
    for place in ["/records", "/people", "/roles", "/settings", "/plan", "/me", "/docs"] {
        assert!(seen.iter().any(|seen| seen == place), "{place} is not reached by keyboard: {seen:?}");
    }
    window.close().await;
}

/// Every page as it is looked at: parameters filled in.
async fn places(server: &Server) -> Vec<(String, bool)> {
    let admin = &server.admin;
    let user = admin.create("/v1/users", json!({ "email": "boris@example.com", "name": "Boris" })).await;
    let property =
        admin.create("/v1/properties", json!({ "name": "Flat in Via Garibaldi", "kind": "apartment" })).await;
    let link = link(admin, &user, "password").await;
    let pages = gateway::pages().into_iter().filter(|route| route.method == "GET");
    let filled = pages.map(|route| {
        let secret = link.rsplit('/').next().unwrap();
        let path =
            route.path.replace("{secret}", secret).replace("{collection}", "properties").replace("{id}", &property);
        assert!(!path.contains('{'), "what stands for the parameter of {path}?");
        (path, route.keyed)
    });
    filled.collect()
}

#[tokio::test]
async fn every_page_is_for_everybody_light_and_dark_wide_and_on_a_phone() {
    let server = Server::start().await;
    let (_, api) = person(&server, "anna@example.com", &["*"]).await;
    api.post("/v1/me/change_profile", json!({ "name": "Anna Bianchi" })).await;
    let plan = json!({ "plan": domain::org::plan::Plan::example() });
    server.admin.put("/v1/plan", plan).await.expect(StatusCode::OK);
    let places = places(&server).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    for size in [Size::Wide, Size::Phone] {
        let outside = chromium.window(&server, size).await;
        let inside = chromium.window(&server, size).await;
        signs_in(&inside, "anna@example.com").await;
        for (path, keyed) in &places {
            let window = if *keyed { &inside } else { &outside };
            window.goto(path).await;
            window.settled().await;
            for theme in ["light", "dark"] {
                window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
                let barriers = window.barriers().await;
                assert!(barriers.is_empty(), "{path}, {theme}, {size:?}: {barriers:#?}");
                window.picture(&format!("{}-{size:?}-{theme}", path.trim_matches('/').replace(['/', '?'], "_"))).await;
            }
            assert!(!window.overflows().await, "{path} is wider than the window: {size:?}");
            let complaints = window.complaints().await;
            assert!(complaints.is_empty(), "{path}: {complaints:#?}");
        }
        inside.close().await;
        outside.close().await;
    }
}

#[test]
fn scripts_have_the_types_that_they_say() {
    let compiler = root().join("target/node/node_modules/.bin/tsc");
    assert!(compiler.exists(), "deploy/install-prerequisites.sh tests installs TypeScript's compiler");
    let checked =
        std::process::Command::new(compiler).arg("--project").arg(root().join("web/jsconfig.json")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
