//! Search in a real browser: the box on every page by keyboard alone, the page of a search with and without scripts.

use deskfold_tests::Server;
use fantoccini::key::Key;
use serde_json::json;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size, Window},
};
use crate::{
    org::browser::{Browser, person},
    world::{contact, ticket},
};

async fn types(window: &Window, text: &str) {
    window.client.active_element().await.unwrap().send_keys(text).await.unwrap();
}

/// Waits until something of this name says this.
async fn option(window: &Window, text: &str) {
    window.saying("div[@role='option']//span", text).await;
}

#[tokio::test]
async fn the_box_on_every_page_finds_while_one_types_and_is_used_by_keyboard_alone() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["*"]).await;
    let fire = ticket(admin, "Tiskárna <b>hoří</b>").await;
    admin
        .run(
            &format!("/v1/tickets/{fire}/add_note"),
            json!({ "body": "V kanceláři voní kouř z tiskárny, volali jsme hasiče." }),
        )
        .await;
    ticket(admin, "Tiskárny nejsou online").await;
    contact(admin, "Petr Tiskař").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    for size in [Size::Wide, Size::Phone] {
        let window = chromium.window(&server, size).await;
        signs_in(&window, "anna@example.com").await;
        window.settled().await;
        types(&window, "/").await;
        types(&window, "tisk").await;
        option(&window, "Petr Tiskař").await;
        option(&window, "Tiskárna <b>hoří</b>").await;
        types(&window, "arny ").await;
        option(&window, "kouř").await;
        assert_eq!(window.run("return document.querySelectorAll('#seek-list mark').length > 2").await, true);
        for theme in ["light", "dark"] {
            window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{theme}, {size:?}: {barriers:#?}");
            window.picture(&format!("search-box-{size:?}-{theme}")).await;
        }
        assert!(!window.overflows().await, "{size:?}");
        // Escape closes, then empties; down and Enter go there.
        types(&window, &char::from(Key::Escape).to_string()).await;
        window.find("#seek-list[hidden]").await;
        types(&window, &char::from(Key::Escape).to_string()).await;
        assert_eq!(window.run("return document.getElementById('seek').value").await, "");
        types(&window, "hori").await;
        option(&window, "hoří").await;
        types(&window, &char::from(Key::Down).to_string()).await;
        window.find("[role=option][aria-selected=true]").await;
        let active = "return document.getElementById('seek').getAttribute('aria-activedescendant')";
        assert_eq!(window.run(active).await, "seek-0");
        types(&window, &char::from(Key::Enter).to_string()).await;
        window.arrives(&format!("/records/tickets/{fire}")).await;
        // Enter alone leads to the page of the search, which goes on while one types.
        types(&window, "/").await;
        types(&window, "tiskarny").await;
        option(&window, "kouř").await;
        types(&window, &char::from(Key::Enter).to_string()).await;
        window.arrives("/search?q=tiskarny").await;
        window.saying("p/mark", "tiskárny").await;
        window.fill("#seek", "hasic").await;
        window.saying("mark", "hasiče").await;
        window.fill("#seek", "nonsense:x").await;
        window.saying("p", "There is no such field").await;
        window.fill("#seek", "tiskarny").await;
        window.saying("p/mark", "tiskárny").await;
        window.saying("a", "Tiskárna <b>hoří</b>").await;
        for theme in ["light", "dark"] {
            window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{theme}, {size:?}: {barriers:#?}");
            window.picture(&format!("search-{size:?}-{theme}")).await;
        }
        assert!(!window.overflows().await, "{size:?}");
        let mut complaints = window.complaints().await;
        // The refusal of a field that there is not.
        complaints.retain(|complaint| !complaint.contains("/v1/search?q=nonsense"));
        assert!(complaints.is_empty(), "{complaints:#?}");
        window.close().await;
    }
}

#[tokio::test]
async fn the_page_of_a_search_is_there_without_scripts() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &["*"]).await;
    let (_, reader) = person(&server, "reader@example.com", &["ticket.read"]).await;
    let fire = ticket(&server.admin, "Printer on <fire>").await;
    contact(&server.admin, "Fire Brigade").await;
    server.settle().await;
    let page = async |browser: &Browser, path: &str| browser.get(path).await.text;
    let found = page(&anna, "/search?q=fire").await;
    assert!(found.contains(&format!("href=\"/records/tickets/{fire}\"")), "{found}");
    assert!(
        found.contains("Printer on &lt;<mark>fire</mark>&gt;") && found.contains("<mark>Fire</mark> Brigade"),
        "{found}"
    );
    assert!(!page(&reader, "/search?q=fire").await.contains("Brigade"));
    assert!(page(&anna, "/search?q=xyzzy").await.contains("Nothing found."));
    assert!(page(&anna, "/search?q=nonsense:x").await.contains("There is no such field to search by."));
    assert!(page(&anna, "/search").await.contains("id=\"seek\""));
    let start = page(&anna, "/").await;
    assert!(start.contains("action=\"/search\"") && start.contains("role=\"combobox\""), "{start}");
}
