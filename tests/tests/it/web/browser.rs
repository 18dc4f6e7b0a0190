//! Pages in a real browser: what people do there, whether everybody can, and whether anything is wide, loud or forbidden.

use deskfold_tests::{Server, root};
use fantoccini::key::Key;
use reqwest::StatusCode;
use serde_json::json;

use super::chromium::{Chromium, Size, Window, is_its_turn};
use crate::{
    desk::forms::form,
    org::{
        browser::{PASSWORD, link, person},
        provider::Provider,
        second_factor::code,
    },
    world::Customer,
};

/// Signs somebody in through the page.
pub(super) async fn signs_in(window: &Window, email: &str) {
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

    // One more is shared with her, and she sees it at once: the list that she looks at fills itself.
    anna.goto("/records/properties").await;
    anna.settled().await;
    anna.mark().await;
    admin.run(&format!("/v1/properties/{other}/share"), json!({ "grantee": id, "level": "read" })).await;
    anna.saying("a", "House on the hill").await;
    anna.find("body[data-before]").await;
    anna.saying("a", "House on the hill").await.click().await.unwrap();
    anna.saying("h1", "House on the hill").await;
    // And so does the page of the record.
    anna.settled().await;
    anna.mark().await;
    admin.run(&format!("/v1/properties/{other}/edit"), json!({ "name": "House by the sea" })).await;
    anna.saying("h1", "House by the sea").await;
    anna.find("body[data-before]").await;

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
async fn a_role_is_given_a_permission_with_a_scope_and_loses_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "boss@example.com", &["*"]).await;
    let (_, eva) = person(&server, "eva@example.com", &["user.read"]).await;
    let deal = admin.create("/v1/deals", json!({ "name": "Via Roma" })).await;
    let Some(chromium) = Chromium::start().await else { return };
    let boss = chromium.window(&server, Size::Wide).await;
    signs_in(&boss, "boss@example.com").await;
    boss.goto("/roles").await;
    boss.settled().await;
    let role = boss.saying("h2", "eva@example.com").await.attr("id").await.unwrap().unwrap();
    let id = role.trim_start_matches("role-").to_owned();
    let section = format!("[data-id=\"{id}\"]");
    boss.click(&format!("{section} > details > summary")).await;
    boss.fill(&format!("#add-{id}"), "deal.*:own").await;
    boss.click(&format!("{section} form:has(#add-{id}) button")).await;
    // The table says what that means, in words.
    boss.saying("code", "deal.*:own").await;
    boss.saying("th", "Deals").await;
    boss.saying("td", "their own").await;
    let mine = async || eva.read(&format!("/v1/me/access?record=deal:{deal}")).await["detail"].clone();
    let known = async {
        while mine().await != "There is no such deal, or it is not yours." {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), known).await.expect("the permission is given");
    let permissions = eva.read("/v1/me").await["permissions"].to_string();
    assert!(permissions.contains("\"deal.read:own\"") && !permissions.contains("\"deal.read\""), "{permissions}");
    // What is none is refused, and said beside it.
    boss.fill(&format!("#add-{id}"), "unicorn.ride").await;
    boss.click(&format!("{section} form:has(#add-{id}) button")).await;
    boss.find(&format!("{section} form:has(#add-{id}) :is(.fault, .wrong):not(:empty)")).await;
    boss.click(&format!("{section} button[aria-label$=\": deal.*:own\"]")).await;
    boss.find(&format!("{section}:not(:has(button[aria-label$=\": deal.*:own\"]))")).await;
    assert_eq!(mine().await, "This needs the permission deal.read.");
    assert_eq!(boss.complaints().await.iter().filter(|line| !line.contains("422")).count(), 0);
    boss.close().await;
}

#[tokio::test]
async fn a_part_is_switched_off_and_on() {
    let server = Server::start().await;
    let (_, boss_of) = person(&server, "boss@example.com", &["*"]).await;
    let Some(chromium) = Chromium::start().await else { return };
    let boss = chromium.window(&server, Size::Phone).await;
    signs_in(&boss, "boss@example.com").await;
    boss.goto("/settings").await;
    boss.settled().await;
    boss.find("button[aria-label=\"Deals\"][aria-checked=\"true\"]").await.click().await.unwrap();
    boss.find("button[aria-label=\"Deals\"][aria-checked=\"false\"]").await;
    boss_of.get("/v1/deals").await.problem(403, "feature_disabled");
    boss.goto("/records").await;
    assert!(!boss.text("main").await.contains("Deals"));
    boss.goto("/settings").await;
    boss.settled().await;
    boss.find("button[aria-label=\"Deals\"][aria-checked=\"false\"]").await.click().await.unwrap();
    boss.find("button[aria-label=\"Deals\"][aria-checked=\"true\"]").await;
    // Whoever switches by keyboard goes on where he was.
    let focused = boss.client.active_element().await.unwrap();
    assert_eq!(focused.attr("aria-label").await.unwrap().as_deref(), Some("Deals"));
    boss_of.get("/v1/deals").await.expect(StatusCode::OK);
    boss.close().await;
}

#[tokio::test]
async fn whoever_leaves_hands_over_what_is_open() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "boss@example.com", &["*"]).await;
    let (eva, _) = person(&server, "eva@example.com", &["*"]).await;
    let (otto, _) = person(&server, "otto@example.com", &["*"]).await;
    let ticket = admin.create("/v1/tickets", json!({ "title": "Broken" })).await;
    admin.run(&format!("/v1/tickets/{ticket}/assign"), json!({ "assignee": eva })).await;
    let deal = admin.create("/v1/deals", json!({ "name": "Via Roma", "owner": eva })).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let (boss, hers) = (chromium.window(&server, Size::Wide).await, chromium.window(&server, Size::Phone).await);
    signs_in(&hers, "eva@example.com").await;
    signs_in(&boss, "boss@example.com").await;
    boss.goto("/people").await;
    boss.settled().await;
    let card = format!("[data-id=\"{eva}\"]");
    boss.click(&format!("{card} > details > summary")).await;
    boss.find(&format!("#over-{eva}")).await.select_by_label("otto@example.com").await.unwrap();
    assert_eq!(
        boss.run(&format!(
            "return [...document.getElementById('over-{eva}').options].some(({{ value }}) => value === '{eva}')"
        ))
        .await,
        json!(false)
    );
    boss.fill(&format!("#reason-{eva}"), "Moved to Bari").await;
    boss.click(&format!("{card} button.danger")).await;
    boss.find(&format!("{card}:has(form[action$=\"/activate\"])")).await;
    assert!(boss.text(&card).await.contains("Moved to Bari"));
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/tickets/{ticket}")).await["assignee_id"], json!(otto));
    assert_eq!(admin.read(&format!("/v1/deals/{deal}")).await["owner_id"], json!(otto));
    // And she is out.
    hers.goto("/me").await;
    hers.arrives("/sign_in?next=/me").await;
    for window in [boss, hers] {
        window.close().await;
    }
}

#[tokio::test]
async fn a_second_factor_is_switched_on_and_asked_for_at_the_next_sign_in() {
    let server = Server::start().await;
    person(&server, "anna@example.com", &[]).await;
    let Some(chromium) = Chromium::start().await else { return };
    let anna = chromium.window(&server, Size::Phone).await;
    signs_in(&anna, "anna@example.com").await;
    anna.goto("/me").await;
    anna.saying("a", "Switch on").await.click().await.unwrap();
    anna.arrives("/me/second_factor").await;
    // Not without the password: the page says so itself.
    anna.fill("[name=password]", "not this one").await;
    anna.click("main button[type=submit]").await;
    anna.saying("p", "That is not your password.").await;
    anna.fill("[name=password]", PASSWORD).await;
    anna.click("main button[type=submit]").await;
    anna.find("svg.qr").await;
    let secret = anna.text(".secret code").await;
    anna.fill("[name=code]", "000000").await;
    anna.click("main button[type=submit]").await;
    anna.saying("p", "That is not the code that the app shows now.").await;
    anna.fill("[name=code]", &code(&secret, 0)).await;
    anna.click("main button[type=submit]").await;
    anna.saying("h3", "Your recovery codes").await;
    let spare = anna.text(".codes li").await;
    anna.saying("a", "I have kept them").await.click().await.unwrap();
    anna.arrives("/me").await;
    anna.saying("b", "It is on.").await;
    anna.saying("button", "Sign out").await.click().await.unwrap();
    anna.arrives("/sign_in").await;
    // Each code counts once: the next one signs in, and so does a recovery code.
    for good in [code(&secret, 30), spare] {
        anna.goto("/sign_in").await;
        anna.fill("[name=email]", "anna@example.com").await;
        anna.fill("[name=password]", PASSWORD).await;
        anna.click("main button[type=submit]").await;
        anna.arrives("/sign_in/continue?next=%2F").await;
        anna.fill("[name=code]", &good).await;
        anna.click("main button[type=submit]").await;
        anna.arrives("/").await;
        anna.saying("button", "Sign out").await.click().await.unwrap();
        anna.arrives("/sign_in").await;
    }
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
    let channel = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Shop" })).await;
    let tried =
        json!({ "kind": "property", "ids": [property], "command": "tag", "body": { "tag": "sold" }, "dry_run": true });
    let bulk = admin.post("/v1/bulk", tried).await.expect(StatusCode::ACCEPTED)["id"].as_str().unwrap().to_owned();
    let mapping = "record = \"contact\"\nsource = \"crm\"\nkey = \"{Id}\"\n[fields]\nname = \"{Name}\"";
    let fields = [("kind", "records"), ("mapping", mapping)];
    let begun = crate::data::records::upload(admin, "/v1/imports", &fields, "rows.csv", b"Id,Name\n1,Maria\n").await;
    let import = begun.expect(StatusCode::ACCEPTED)["id"].as_str().unwrap().to_owned();
    let hosting = Customer::new(admin).await;
    form(admin, &hosting.product).await;
    let team = admin.create("/v1/teams", json!({ "name": "Help" })).await;
    admin.run("/v1/tenants/current/set_portal", json!({ "portal": { "team": team, "color": "#ffd400" } })).await;
    let text = json!({ "name": "How to pay", "body": "## Open it\n\n1. Choose **Pay**.\n\n> Or ask [us](/portal)." });
    let article = admin.create("/v1/articles", text).await;
    admin.run(&format!("/v1/articles/{article}/publish"), json!({})).await;
    // On a host of its own a tenant's portal is there without its name; what it loads is no page.
    let is_page = |path: &str| path != "/portal" && !path.ends_with(".css");
    let pages = gateway::pages().into_iter().filter(|route| route.method == "GET" && is_page(&route.path));
    let filled = pages.map(|route| {
        let secret = link.rsplit('/').next().unwrap();
        let path = route.path.replace("/dashboards/{id}", "/dashboards/desk").replace("{widget}", "opened");
        let path = path
            .replace("/articles/{id}", &format!("/articles/{article}"))
            .replace("/bulk/{id}", &format!("/bulk/{bulk}"))
            .replace("/imports/{id}", &format!("/imports/{import}"));
        let path = path.replace("{secret}", secret).replace("{collection}", "properties").replace("{id}", &property);
        let path = path.replace("{channel}", &channel);
        let path = path.replace("{tenant}", &server.tenant).replace("{slug}", "ask");
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
        for (turn, (path, keyed)) in places.iter().enumerate() {
            let window = if *keyed { &inside } else { &outside };
            window.goto(path).await;
            window.settled().await;
            for theme in ["light", "dark"] {
                window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
                if is_its_turn(turn, size, theme) {
                    let barriers = window.barriers().await;
                    assert!(barriers.is_empty(), "{path}, {theme}, {size:?}: {barriers:#?}");
                }
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
