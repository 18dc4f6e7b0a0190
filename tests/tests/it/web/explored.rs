//! The real help desk explored in a real browser: from a dashboard to a number, its list, a ticket and that ticket on a past day.

use deskfold_tests::Server;
use serde_json::Value;

use super::{
    browser::signs_in,
    chromium::{Chromium, Size, Window},
};
use crate::{
    data::imports::{extract, history, whole},
    org::browser::person,
    world::{condition, encoded},
};

/// How many records a page leads to.
async fn led_to(window: &Window) -> usize {
    let count = window.run("return document.querySelectorAll('ul.records > li a').length").await;
    usize::try_from(count.as_u64().unwrap()).unwrap()
}

/// The number that a widget shows.
async fn figure(window: &Window, widget: &str) -> usize {
    let said = window.text(&format!("#widget-{widget} .figure")).await;
    said.replace(',', "").trim().parse().unwrap_or_else(|_| panic!("{widget} says {said}"))
}

#[tokio::test]
async fn the_real_desk_is_explored_from_a_dashboard_to_a_ticket_on_a_past_day() {
    let server = Server::start().await;
    let admin = &server.admin;
    person(&server, "anna@example.com", &["*"]).await;
    let Some(chromium) = Chromium::start().await else { return };
    // All four years where they are asked for, else the cases that tests go by: real rows, both.
    let asked = std::env::var_os("DESKFOLD_WHOLE_DESK").and_then(|_| whole());
    let done = history(admin, &asked.unwrap_or_else(extract)).await;
    assert_eq!(done["counts"]["rejected"], 0, "{done}");
    server.settle().await;
    let window = chromium.window(&server, Size::Wide).await;
    signs_in(&window, "anna@example.com").await;

    // The dashboard, over all of it: every ticket that was ever opened is counted.
    let every = admin.read("/v1/tickets?count=exact&limit=1").await["total"].as_u64().unwrap();
    window.goto("/dashboards/desk?range=all").await;
    window.settled().await;
    assert_eq!(figure(&window, "opened").await as u64, every);

    // On a day of its past less was open and less had been opened; the page says which day it shows.
    let day = "2010-12-31";
    window.goto(&format!("/dashboards/desk?range=all&as_of={day}")).await;
    window.settled().await;
    window.find(&format!("p.notice time[datetime='{day}']")).await;
    assert_eq!(window.run("return document.querySelector('#over-as_of').value").await, day);
    let (opened, backlog) = (figure(&window, "opened").await, figure(&window, "backlog").await);
    assert!(opened > 0 && (opened as u64) < every && backlog > 0 && backlog <= opened, "{opened}, {backlog}");
    let open = encoded(&condition("status", "eq", "open").to_string());
    let then = admin.read(&format!("/v1/tickets?count=exact&limit=200&as_of={day}&filter={open}")).await;

    // From the number to its list: the tickets that were in the backlog, as they were called.
    window.click("#widget-backlog .figure a").await;
    window.saying("h1", "Open backlog").await;
    window.find(&format!("p.notice time[datetime='{day}']")).await;
    let listed = led_to(&window).await;
    assert_eq!(listed, backlog.min(100));
    let names = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["title"].as_str().unwrap().to_owned()).collect()
    };
    let first = window.find("ul.records > li a").await.text().await.unwrap();
    let known = names(&admin.read(&format!("/v1/tickets?limit=200&as_of={day}")).await);
    assert!(known.iter().any(|title| first.contains(title)), "{first} is none of {known:?}");

    // The same as a list of that day, with all that lists can do.
    if backlog <= 100 {
        window.saying("a", "Show them as a list").await.click().await.unwrap();
        window.saying("h1", "Tickets").await;
        window.settled().await;
        window.find("ul.records > li a").await;
        assert_eq!(led_to(&window).await, backlog.min(50));
        window.find(&format!("#then:not([hidden]) time[datetime='{day}']")).await;
        window.find("#narrowed:not([hidden])").await;
        window.find("#bulk[hidden]").await;
        assert!(then["total"].as_u64().is_some());
    }

    // To a ticket, as it was on that day.
    window.click("ul.records > li a").await;
    window.find("#then:not([hidden])").await;
    window.settled().await;
    let path = window.path().await;
    let (place, moment) = path.split_once("?as_of=").unwrap();
    let id = place.rsplit('/').next().unwrap();
    let was = admin.read(&format!("/v1/tickets/{id}?as_of={moment}")).await;
    let now = admin.read(&format!("/v1/tickets/{id}")).await;
    assert!(was["version"].as_i64() < now["version"].as_i64(), "{was} {now}");
    assert_ne!(was["status"], now["status"]);
    assert!(window.text("h1").await.contains(was["title"].as_str().unwrap()));
    let told = window.text("#record").await;
    assert!(told.contains("Open") && !told.contains("Closed"), "{told}");

    // To its beginning, by its history; to another day; and to today.
    let whole = window.run("return document.querySelectorAll('#events > li').length").await;
    assert!(whole.as_u64().unwrap() > 1);
    window.mark().await;
    window.click("#events > li:last-child > a").await;
    window.reloaded().await;
    window.find("#then:not([hidden])").await;
    window.find("#events > li[aria-current=true]").await;
    window.run("document.querySelector('#moment-as_of').value = '2030-01-01'").await;
    window.mark().await;
    window.saying("button", "Show").await.click().await.unwrap();
    window.reloaded().await;
    assert!(window.path().await.ends_with("?as_of=2030-01-01"), "{}", window.path().await);
    assert!(window.text("#record").await.contains("Closed"));
    window.saying("a", "Show it as it is now").await.click().await.unwrap();
    window.arrives(place).await;
    assert!(window.text("#record").await.contains("Closed"));

    // Numbers of what is counted as it is lead to the list of the same day.
    window.goto(&format!("/dashboards/products?as_of={day}")).await;
    window.settled().await;
    let way = window.find("#widget-holders table a").await.attr("href").await.unwrap().unwrap();
    assert!(way.contains(&format!("as_of={day}")), "{way}");
    let count: usize = window
        .run("return document.querySelector('#widget-holders table a').textContent")
        .await
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    window.goto(&way).await;
    assert_eq!(led_to(&window).await, count.min(100));
    assert_eq!(window.complaints().await, Vec::<String>::new());
    window.close().await;
}
