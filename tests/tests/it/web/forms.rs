//! Forms in a real browser: a field that is asked for only sometimes, everybody's eyes, and a site of another origin.

use std::time::Duration;

use deskfold_tests::Server;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::chromium::{Chromium, Size};
use crate::{
    desk::forms::{address, form},
    world::Customer,
};

/// Somebody else's site, which says this at every address and takes no script but from there.
async fn site(desk: &str, page: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let policy =
        format!("default-src 'none'; script-src {desk}; connect-src {desk}; require-trusted-types-for 'script'");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-security-policy: {policy}\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{page}",
                page.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    origin
}

#[tokio::test]
async fn a_field_that_is_asked_for_only_sometimes_is_filled_in_and_becomes_a_ticket() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let mail = json!({ "kind": "email", "value": "ada@example.com" });
    client.run(&format!("/v1/contacts/{}/add_identity", hosting.contact), mail).await;
    let form = form(client, &hosting.product).await;
    let photo = json!({ "key": "photo", "input_type": "file", "label": "A photo", "help": "Of the damage" });
    client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": photo })).await;
    client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    let path = address(client, "ask").await;
    window.goto(&path).await;
    window.find("html[data-settled]").await;
    let shows_serial = "return !document.querySelector('#field-serial').closest('.field').hidden";
    assert_eq!(window.run(shows_serial).await, json!(false));
    window.is_for_everybody("form-empty").await;

    window.fill("#field-name", "Ada Rossi").await;
    window.fill("#field-email", "ada@example.com").await;
    window.find("#field-topic").await.select_by_label("A repair").await.unwrap();
    assert_eq!(window.run(shows_serial).await, json!(true));
    assert_eq!(window.run("return document.querySelector('#field-serial').required").await, json!(true));
    window.fill("#field-serial", " ").await;
    window.find("#field-product").await.select_by_label("Hosting").await.unwrap();
    window.fill("#field-story", "It does not turn on.").await;
    server.app.advance(Duration::from_secs(30));

    // The server says the same as the browser would.
    window.run("document.querySelector('form.asks').noValidate = true").await;
    window.click("form.asks button[type=submit]").await;
    window.find("#field-serial[aria-invalid=true]").await;
    window.saying("p", "Please fill this in").await;
    window.is_for_everybody("form-faults").await;
    window.fill("#field-serial", "4711").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("door.png");
    std::fs::write(&file, crate::org::pictures::PIXEL).unwrap();
    window.find("#field-photo").await.send_keys(file.to_str().unwrap()).await.unwrap();
    window.click("form.asks button[type=submit]").await;
    window.saying("h1", "Thank you").await;
    assert_eq!(window.path().await, format!("{path}/thanks"));
    window.is_for_everybody("form-thanks").await;
    let complaints = window.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("422")), "{complaints:?}");

    server.settle().await;
    let ticket = client.read("/v1/tickets").await["data"][0].clone();
    assert_eq!((&ticket["requester_id"], &ticket["product_id"]), (&json!(hosting.contact), &json!(hosting.product)));
    let told = client.read(&format!("/v1/tickets/{}", ticket["id"].as_str().unwrap())).await;
    assert!(told["description"].as_str().unwrap().contains("Serial number: 4711"), "{told}");
    let thread = client.read(&format!("/v1/tickets/{}/thread", ticket["id"].as_str().unwrap())).await;
    assert_eq!(thread["data"][0]["attachments"][0]["name"], "door.png", "{thread}");
    window.goto("/forms/nobody/nothing").await;
    window.saying("h1", "There is no such form").await;
    window.close().await;
}

#[tokio::test]
async fn a_site_of_another_origin_shows_the_form_and_sends_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let form = form(client, &hosting.product).await;
    let Some(chromium) = Chromium::start().await else { return };
    let script = format!("{}{}.js", client.base, address(client, "ask").await);
    let page =
        format!("<!doctype html><html lang=en><title>Shop</title><h1>Shop</h1><script src=\"{script}\"></script>");
    let origin = site(&client.base, page).await;
    let window = chromium.window(&server, Size::Wide).await;
    window.goto(&origin).await;
    let inside = |script: &str| {
        format!("const root = [...document.querySelectorAll('div')].find((div) => div.shadowRoot).shadowRoot; {script}")
    };
    let fill = "for (const [key, value] of Object.entries({ name: 'Maria', email: 'maria@example.com', topic: 'repair',
            story: 'It is broken' })) root.querySelector(`#field-${key}`).value = value;
        root.querySelector('form').dispatchEvent(new Event('input'));
        return root.querySelector('#field-serial').required && !root.querySelector('#field-serial').disabled";
    assert_eq!(window.run(&inside(fill)).await, json!(true));
    let sends = inside("root.querySelector('#field-serial').value = '4711'; root.querySelector('button').click();");
    let until = async |text: &str| {
        let says = inside(&format!("return root.textContent.includes({})", json!(text)));
        assert!(
            window.becomes(&says).await,
            "it never says {text}: {}",
            window.run(&inside("return root.textContent")).await
        );
    };
    server.app.advance(Duration::from_secs(30));
    // A site that the form is not bound to learns nothing, and what it sends is kept.
    window.run(&sends).await;
    until("server").await;
    server.settle().await;
    let kept = client.read("/v1/form_submissions").await["data"][0].clone();
    assert_eq!((&kept["status"], &kept["reason"], &kept["site"]), (&json!("rejected"), &json!("site"), &json!(origin)));
    window.complaints().await;

    client.run(&format!("/v1/forms/{form}/bind_site"), json!({ "origin": origin })).await;
    window.goto(&origin).await;
    window.picture("form-embedded").await;
    window.run(&inside(fill)).await;
    server.app.advance(Duration::from_secs(30));
    window
        .run(&inside(
            "root.querySelector('form').noValidate = true;
        root.querySelector('#field-email').value = 'maria'; root.querySelector('button').click();",
        ))
        .await;
    until("Please look at the marked fields").await;
    window.run(&inside("root.querySelector('#field-email').value = 'maria@example.com';")).await;
    window.run(&sends).await;
    until("We have received what you sent").await;
    server.settle().await;
    assert_eq!(client.read("/v1/tickets?count=exact").await["total"], 1);
    assert_eq!(window.client.get_all_cookies().await.unwrap().len(), 0);
    let complaints = window.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("422")), "{complaints:?}");
    window.close().await;
}
