//! Many records at once in a real browser: chosen, tried, changed and taken back; and files that are brought in.

use deskfold_tests::Server;
use serde_json::{Value, json};

use super::{
    browser::signs_in,
    chromium::{Chromium, Size, Window},
};
use crate::{
    org::browser::person,
    world::{filtered, texts},
};

/// Waits until a bulk or an import is through.
async fn through(window: &Window) {
    window.saying("p", "Done,").await;
    window.settled().await;
}

#[tokio::test]
async fn tickets_are_chosen_in_their_list_closed_and_reopened_again() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["*"]).await;
    let (_, none) = person(&server, "none@example.com", &["ticket.*"]).await;
    let mut ids = Vec::new();
    for title in ["First", "Second", "Third", "Fourth"] {
        ids.push(admin.create("/v1/tickets", json!({ "title": title })).await);
    }
    admin.run(&format!("/v1/tickets/{}/close", ids[3]), json!({})).await;
    server.settle().await;
    assert!(!none.get("/records/tickets").await.text.contains("id=\"bulk\""), "not without the permission");
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;
    let statuses = async || -> Vec<Value> {
        let mut all = Vec::new();
        for id in &ids {
            all.push(admin.read(&format!("/v1/tickets/{id}")).await["status"].clone());
        }
        all
    };

    // Two are chosen by hand; what is to be done with them needs no more.
    window.goto("/records/tickets").await;
    window.settled().await;
    window.saying("summary", "Change many at once").await.click().await.unwrap();
    for id in &ids[..2] {
        window.click(&format!("#pick-{id}")).await;
    }
    assert_eq!(window.text("#bulk-chosen").await, "Chosen: 2");
    window.find("#bulk-command").await.select_by_value("close").await.unwrap();
    window.is_for_everybody("choosing").await;
    window.click("#bulk-form button[type=submit]").await;

    // It is tried: what would happen is shown, and nothing has.
    window.saying("h1", "One change for many records").await;
    through(&window).await;
    window.find("#tried:not([hidden])").await;
    let items = window.text("#items").await;
    assert!(items.contains("First") && items.contains("Second") && items.contains("Closed"), "{items}");
    assert_eq!(statuses().await, ["open", "open", "open", "closed"]);
    window.is_for_everybody("tried").await;

    // It is carried out on those, and on no others.
    window.mark().await;
    window.click("button[data-does=run]").await;
    window.reloaded().await;
    through(&window).await;
    window.find("#tried[hidden]").await;
    assert_eq!(statuses().await, ["closed", "closed", "open", "closed"]);

    // Somebody has reopened one meanwhile and gone on with it: taking back shows first what it can, and what not and why.
    admin.run(&format!("/v1/tickets/{}/reopen", ids[1]), json!({})).await;
    window.mark().await;
    window.click("button[data-does=undo]").await;
    window.reloaded().await;
    through(&window).await;
    window.find("#tried:not([hidden])").await;
    let told = window.text("main").await;
    assert!(told.contains("Takes back:") && told.contains("Reopened"), "{told}");
    window.find("#refusals:not([hidden]) li").await;
    window.is_for_everybody("taking_back").await;
    assert_eq!(statuses().await, ["closed", "open", "open", "closed"]);
    window.mark().await;
    window.click("button[data-does=run]").await;
    window.reloaded().await;
    through(&window).await;
    assert_eq!(statuses().await, ["open", "open", "open", "closed"]);

    // All that a list finds are given a priority; what makes no sense is told where it stands.
    window.goto("/records/tickets?name=ir").await;
    window.settled().await;
    window.saying("summary", "Change many at once").await.click().await.unwrap();
    window.click("button[data-choose=all]").await;
    window.saying("p", "Chosen: 2").await;
    window.find("#bulk-command").await.select_by_value("tag").await.unwrap();
    window.fill("#bulk-tag-tag", "urgent").await;
    window.click("#bulk-form button[type=submit]").await;
    through(&window).await;
    window.mark().await;
    window.click("button[data-does=run]").await;
    window.reloaded().await;
    through(&window).await;
    server.settle().await;
    let tagged = json!({ "field": "tags", "op": "contains", "value": "urgent" });
    let mut titles = texts(&admin.read(&filtered("/v1/tickets", &tagged)).await, "title");
    titles.sort();
    assert_eq!(titles, ["First", "Third"]);
    assert_eq!(window.complaints().await, Vec::<String>::new());
    window.close().await;
}

#[tokio::test]
async fn a_file_is_looked_at_tried_imported_and_taken_back() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["*"]).await;
    let (_, none) = person(&server, "none@example.com", &["contact.*"]).await;
    assert_eq!(none.get("/imports").await.status, 404);
    let Some(chromium) = Chromium::start().await else { return };
    let file = std::env::temp_dir().join(format!("deskfold-people-{}.csv", uuid::Uuid::now_v7()));
    let people = "Nr;Name;E-mail;Town\n1;Anna Rossi;anna@rossi.example;Rome\n2;Boris Novák;boris@novak.example;Brno\n3;;nobody;Vilnius\n";
    std::fs::write(&file, people).unwrap();
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;

    // What its columns mean is suggested, and what its first rows would lead to.
    window.goto("/imports?record=contact").await;
    window.settled().await;
    window.find("#import-file").await.send_keys(file.to_str().unwrap()).await.unwrap();
    window.find("#foreseen:not([hidden]) li").await;
    assert_eq!(window.run("return document.querySelector('[aria-label=\"E-mail\"]').value").await, "email");
    // Whatever it does not know is said by whoever does.
    window.find("[aria-label=Town]").await.select_by_value("city").await.unwrap();
    window.find("form:not([aria-busy=true])").await;
    let mapping = async || window.run("return document.querySelector('#import-mapping').value").await;
    let waits = window.client.wait().at_most(std::time::Duration::from_secs(20));
    waits.for_element(fantoccini::Locator::Css("form:not([aria-busy])")).await.unwrap();
    assert!(mapping().await.as_str().unwrap().contains("{Town}"), "{}", mapping().await);
    window.is_for_everybody("import").await;

    // All of it is tried, then brought in: one row is refused, and why is told.
    window.click("button[value=true]").await;
    window.saying("p", "Done,").await;
    window.find("#rejected:not([hidden]) li").await;
    assert_eq!(admin.read("/v1/contacts?count=exact&limit=1").await["total"], 0);
    window.click("button[value=false]").await;
    window.saying("h1", "Import of a file").await;
    through(&window).await;
    window.find("#rejected:not([hidden]) li").await;
    window.is_for_everybody("imported").await;
    server.settle().await;
    let cities = async || {
        let mut cities = texts(&admin.read("/v1/contacts").await, "city");
        cities.sort();
        cities
    };
    assert_eq!(cities().await, ["Brno", "Rome"]);

    // And taken back, after a look at what that does.
    window.click("button[data-does=undo]").await;
    window.saying("h1", "One change for many records").await;
    through(&window).await;
    window.mark().await;
    window.click("button[data-does=run]").await;
    window.reloaded().await;
    through(&window).await;
    server.settle().await;
    assert_eq!(cities().await, Vec::<String>::new());
    assert_eq!(window.complaints().await, Vec::<String>::new());
    window.close().await;
    std::fs::remove_file(file).unwrap();
}
