//! Dashboards: who sees what on them, what they show in one answer, pictures, pages, and what changes.

use deskfold_tests::{Client, Server};
use domain::insight::facts;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::{
        auth::user_with,
        browser::{Browser, person},
        changes::Listener,
    },
    world::{NOBODY, contact, encoded, everything, grant, party, texts},
};

/// A widget that shows a report of tickets.
fn chart(id: &str, (x, y): (u32, u32), kind: &str, measures: &[&str], dimensions: &[&str]) -> Value {
    let definition = json!({ "measures": measures, "dimensions": dimensions });
    json!({ "id": id, "place": { "x": x, "y": y, "w": 6, "h": 4 }, "shows": { "kind": kind, "definition": definition } })
}

fn board(widgets: Vec<Value>) -> Value {
    json!({ "name": "Help desk", "range": "all", "time_zone": "Europe/Rome",
        "pages": [{ "id": "one", "name": "One", "widgets": widgets }] })
}

/// A ticket that was opened then.
async fn opened(client: &Client, title: &str, at: &str, more: Value) -> String {
    let mut body = json!({ "title": title });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.header("deskfold-occurred-at", at).create("/v1/tickets", body).await
}

/// A widget of an answer.
fn widget<'a>(data: &'a Value, id: &str) -> &'a Value {
    data["widgets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|widget| widget["id"] == id)
        .unwrap_or_else(|| panic!("{id}: {data}"))
}

/// The number of a widget that stands for everything.
fn whole(data: &Value, id: &str, measure: &str) -> Value {
    let totals = widget(data, id)["report"]["totals"].as_array().unwrap();
    let whole = totals.iter().find(|row| row["key"] == json!({}));
    whole.map(|row| row["values"][measure].clone()).unwrap_or_default()
}

#[tokio::test]
async fn pages_and_widgets_come_and_go_and_what_makes_no_sense_is_pointed_at() {
    let server = Server::start().await;
    let client = &server.admin;
    let created = client.post("/v1/dashboards", json!({ "name": "Help desk" })).await.expect(StatusCode::CREATED);
    let (id, begun) = (created["id"].as_str().unwrap().to_owned(), created["position"].clone());
    let run = async |command: &str, body: Value| client.run(&format!("/v1/dashboards/{id}/{command}"), body).await;
    assert_eq!(run("add_page", json!({ "page": "one", "name": "One" })).await, ["dashboard.page_added"]);
    assert_eq!(run("add_page", json!({ "page": "one", "name": "One" })).await, [""; 0]);
    run("add_page", json!({ "page": "two", "name": "Two" })).await;
    let opened = chart("opened", (0, 0), "line", &["opened"], &["week"]);
    assert_eq!(run("add_widget", json!({ "page": "one", "widget": opened })).await, ["dashboard.widget_added"]);
    let second = chart("busy", (6, 0), "heat_map", &["opened"], &["weekday", "hour_of_day"]);
    run("add_widget", json!({ "page": "one", "widget": second })).await;
    // Two change places at once; one alone would lie upon the other.
    let place = |id: &str, x: u32| json!({ "widget": id, "place": { "x": x, "y": 0, "w": 6, "h": 4 } });
    let path = format!("/v1/dashboards/{id}");
    let upon = client.post(&format!("{path}/place_widgets"), json!({ "places": [place("busy", 3)] })).await;
    assert_eq!(upon.problem(422, "widgets_overlap")["errors"][0]["pointer"], "/places/0/place");
    let placed = run("place_widgets", json!({ "places": [place("busy", 0), place("opened", 6)] })).await;
    assert_eq!(placed, ["dashboard.widget_placed"; 2]);
    let shows = json!({ "kind": "bar", "definition": { "measures": ["closed"], "dimensions": ["product_id"] } });
    run("configure_widget", json!({ "widget": "opened", "shows": shows })).await;
    run("reorder_pages", json!({ "pages": ["two", "one"] })).await;
    run("rename_page", json!({ "page": "two", "name": "Later" })).await;
    run("remove_widget", json!({ "widget": "busy" })).await;
    server.settle().await;
    let seen = client.read(&path).await;
    assert_eq!(texts(&json!({ "data": seen["pages"] }), "name"), ["Later", "One"]);
    let widgets = seen["pages"][1]["widgets"].as_array().unwrap();
    assert_eq!((widgets.len(), &widgets[0]["shows"]["kind"], &widgets[0]["place"]["x"]), (1, &json!("bar"), &json!(6)));
    // Every fault of a body is told with its place.
    let wrong = board(vec![
        chart("opened", (0, 0), "line", &["sold"], &["week"]),
        chart("opened", (7, 0), "heat_map", &["opened"], &["month"]),
        json!({ "id": "list", "place": { "x": 0, "y": 9, "w": 6, "h": 4 }, "shows": { "kind": "list", "collection": { "of": "ticket", "columns": ["colour"] } } }),
    ]);
    let refused = client.post("/v1/dashboards", wrong).await.problem(422, "dashboard_id_taken");
    let mut told: Vec<(String, String)> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned()))
        .collect();
    told.sort();
    let at = |rest: &str, code: &str| (format!("/pages/0/widgets/{rest}"), code.to_owned());
    assert_eq!(
        told,
        [
            at("0/shows/definition/measures/0", "report_measure_unknown"),
            at("1/id", "dashboard_id_taken"),
            at("1/place", "widget_place_invalid"),
            at("1/shows/definition", "widget_shape_invalid"),
            at("2/shows/collection/columns/0", "widget_field_unknown"),
        ]
    );
    // What it said before is in its past.
    let past = client.read(&format!("{path}?as_of={begun}")).await;
    assert_eq!(past["pages"], json!([]));
}

#[tokio::test]
async fn one_answer_has_all_that_widgets_show_as_whoever_looks_sees_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva_id, eva) =
        user_with(&server, "eva@example.com", &["ticket.*:own", "report.*:own", "dashboard.*:own", "product.read"])
            .await;
    let product = admin.create("/v1/products", json!({ "name": "Hosting", "color": "#00a09d" })).await;
    let ada = contact(admin, "Ada").await;
    let entitlement = grant(admin, &product, "contact", &ada).await;
    let about = json!({ "assignee": eva_id, "requester": party("contact", &ada), "entitlement": entitlement });
    let hers = opened(admin, "Hers", "2026-03-02T09:00:00Z", about).await;
    for day in ["2026-03-02", "2026-03-03", "2026-04-07"] {
        opened(admin, "Of others", &format!("{day}T10:30:00Z"), json!({ "priority": 3 })).await;
    }
    let report = json!({ "name": "Of mine", "definition": { "measures": ["opened"] } });
    let report = admin.create("/v1/reports", report).await;
    let saved = json!({ "id": "saved", "place": { "x": 0, "y": 20, "w": 3, "h": 2 }, "shows": { "kind": "number", "report": report } });
    let listed = json!({ "of": "ticket", "columns": ["title", "priority"], "sort": "title", "filter": { "field": "status", "op": "eq", "value": "open" } });
    let counted = json!({ "of": "ticket", "group": "priority" });
    let other = |id: &str, y: u32, shows: Value| json!({ "id": id, "place": { "x": 6, "y": y, "w": 6, "h": 2 }, "shows": shows });
    let all = board(vec![
        chart("opened", (0, 0), "number", &["opened"], &[]),
        chart("months", (6, 0), "bar", &["opened"], &["month"]),
        chart("hours", (0, 4), "heat_map", &["opened"], &["weekday", "hour_of_day"]),
        chart("products", (6, 4), "table", &["opened"], &["product_id"]),
        saved,
        other("list", 8, json!({ "kind": "list", "collection": listed })),
        other("counted", 10, json!({ "kind": "bar", "collection": counted })),
        other("pending", 12, json!({ "kind": "pending_work" })),
        other("feed", 14, json!({ "kind": "feed", "record": { "kind": "ticket", "id": hers } })),
        other("text", 16, json!({ "kind": "text", "text": "**Hello**" })),
    ]);
    let id = admin.create("/v1/dashboards", all.clone()).await;
    server.settle().await;
    let path = format!("/v1/dashboards/{id}/data");
    let data = admin.read(&path).await;
    assert_eq!(whole(&data, "opened", "opened"), 4);
    assert_eq!(whole(&data, "saved", "opened"), 4);
    assert_eq!(whole(&data, "counted", "records"), 4);
    let months = widget(&data, "months")["report"]["rows"].as_array().unwrap();
    assert_eq!(months[0], json!({ "key": { "month": "2026-03" }, "values": { "opened": 3 } }));
    // Nine o'clock in Greenwich is ten in Rome.
    let hours = widget(&data, "hours")["report"]["rows"].as_array().unwrap();
    assert!(hours.iter().any(|row| row["key"] == json!({ "weekday": 1, "hour_of_day": 10 })), "{hours:?}");
    assert_eq!(widget(&data, "products")["report"]["dimensions"][0]["badges"][&product]["color"], "#00a09d");
    let rows = widget(&data, "list")["list"]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["values"]["title"], &rows[0]["id"]), (4, &json!("Hers"), &json!(hers)));
    assert!(widget(&data, "feed")["feed"].as_array().unwrap().iter().any(|entry| entry["type"] == "ticket.opened"));
    assert_eq!(widget(&data, "text")["text"], "**Hello**");
    assert!(data["widgets"].as_array().unwrap().iter().all(|widget| widget["problem"].is_null()), "{data}");
    // Days, zones and earlier moments that are asked for count for all of it.
    let april = admin.read(&format!("{path}?from=2026-04-01&to=2026-04-30&widgets=opened,months")).await;
    assert_eq!((whole(&april, "opened", "opened"), april["widgets"].as_array().unwrap().len()), (json!(1), 2));
    let hours = admin.read(&format!("{path}?tz=Asia/Tokyo&widgets=hours")).await;
    let rows = widget(&hours, "hours")["report"]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["key"]["hour_of_day"] == 18), "{rows:?}");
    let then = data["position"].as_i64().unwrap();
    opened(admin, "Late", "2026-03-05T10:00:00Z", json!({})).await;
    server.settle().await;
    assert_eq!(whole(&admin.read(&path).await, "opened", "opened"), 5);
    let known = admin.read(&format!("{path}?as_known_at={then}")).await;
    assert_eq!((whole(&known, "opened", "opened"), &known["position"]), (json!(4), &json!(then)));
    assert_eq!(widget(&known, "list")["list"]["rows"].as_array().unwrap().len(), 4);
    assert_eq!(whole(&known, "counted", "records"), 4);
    assert_eq!(widget(&known, "feed")["problem"]["code"], "parameter_invalid", "feeds are as they are now");
    for (query, pointer, code) in [
        ("from=soon", "/from", "report_range_invalid"),
        ("range=last_0_days", "/range", "report_range_invalid"),
        ("tz=Mars/Base", "/tz", "time_zone_invalid"),
    ] {
        assert_eq!(admin.get(&format!("{path}?{query}")).await.problem(422, code)["errors"][0]["pointer"], pointer);
    }
    admin.get(&format!("{path}?page=three")).await.problem(422, "dashboard_page_unknown");
    // Eva sees the dashboard once it is shared; on it what is hers. The report in it is not, and says so in its place.
    eva.get(&path).await.problem(404, "dashboard_unknown");
    admin.run(&format!("/v1/dashboards/{id}/share"), json!({ "grantee": eva_id, "level": "read" })).await;
    server.settle().await;
    let seen = eva.read(&path).await;
    assert_eq!((whole(&seen, "opened", "opened"), whole(&seen, "counted", "records")), (json!(1), json!(1)));
    assert_eq!(widget(&seen, "saved")["problem"]["code"], "report_unknown");
    assert_eq!(texts(&json!({ "data": widget(&seen, "pending")["list"]["rows"] }), "id"), [hers.as_str()]);
    eva.post(&format!("/v1/dashboards/{id}/add_page"), json!({ "page": "x", "name": "X" }))
        .await
        .problem(403, "permission_denied");
    // The same is answered of one that is not saved.
    let tried = eva.post("/v1/dashboards/preview", all).await.expect(StatusCode::OK);
    assert_eq!(tried["widgets"], seen["widgets"]);
    let wrong = board(vec![chart("opened", (0, 0), "bar", &["opened"], &[])]);
    eva.post("/v1/dashboards/preview", wrong).await.problem(422, "widget_shape_invalid");
}

#[tokio::test]
async fn a_number_is_compared_with_the_time_before_and_many_days_become_months() {
    let server = Server::start().await;
    let client = &server.admin;
    for at in ["2026-01-10T10:00:00Z", "2026-02-10T10:00:00Z", "2026-02-11T10:00:00Z", "2024-02-11T10:00:00Z"] {
        opened(client, "Help", at, json!({})).await;
    }
    let mut all = board(vec![
        chart("opened", (0, 0), "number", &["opened"], &[]),
        chart("days", (6, 0), "line", &["opened"], &["day"]),
    ]);
    all["range"] = "2026-02-01/2026-02-28".into();
    let id = client.create("/v1/dashboards", all).await;
    server.settle().await;
    let data = client.read(&format!("/v1/dashboards/{id}/data")).await;
    assert_eq!(whole(&data, "opened", "opened"), 2);
    assert_eq!(widget(&data, "opened")["before"]["totals"][0]["values"]["opened"], 1);
    assert_eq!(widget(&data, "days")["report"]["dimensions"][0]["name"], "day");
    let years = client.read(&format!("/v1/dashboards/{id}/data?range=all")).await;
    assert_eq!(
        widget(&years, "days")["report"]["dimensions"][0]["name"],
        "month",
        "nearly three years of weeks are too many"
    );
    assert!(widget(&years, "opened")["before"].is_null());
}

#[tokio::test]
async fn the_stream_says_which_widgets_show_something_else() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva_id, eva) =
        user_with(&server, "eva@example.com", &["ticket.*:own", "report.*:own", "dashboard.*:own"]).await;
    let ticket = admin.create("/v1/tickets", json!({ "title": "Help" })).await;
    let other = |id: &str, y: u32, shows: Value| json!({ "id": id, "place": { "x": 6, "y": y, "w": 6, "h": 2 }, "shows": shows });
    let all = board(vec![
        chart("opened", (0, 0), "number", &["opened"], &[]),
        other("feed", 8, json!({ "kind": "feed", "record": { "kind": "ticket", "id": ticket } })),
        other("tasks", 10, json!({ "kind": "bar", "collection": { "of": "task", "group": "status" } })),
        other("text", 12, json!({ "kind": "text", "text": "Hello" })),
    ]);
    let id = admin.create("/v1/dashboards", all).await;
    admin.run(&format!("/v1/dashboards/{id}/share"), json!({ "grantee": eva_id, "level": "read" })).await;
    server.settle().await;
    let path = format!("/v1/dashboards/{id}/stream");
    let (mut admin_hears, mut eva_hears) = (Listener::new(admin, &path).await, Listener::new(&eva, &path).await);
    let told = async |listener: &mut Listener| listener.next().await.expect("it goes on").1["widgets"].clone();
    admin.create("/v1/tickets", json!({ "title": "Another" })).await;
    assert_eq!(told(&mut admin_hears).await, json!(["opened"]));
    admin.create("/v1/tasks", json!({ "title": "Call" })).await;
    assert_eq!(told(&mut admin_hears).await, json!(["tasks"]));
    admin.run(&format!("/v1/tickets/{ticket}/set_category"), json!({ "category": "hardware" })).await;
    assert_eq!(told(&mut admin_hears).await, json!(["opened", "feed"]));
    admin.run(&format!("/v1/dashboards/{id}/remove_widget"), json!({ "widget": "text" })).await;
    assert_eq!(told(&mut admin_hears).await, json!(["opened", "feed", "tasks"]));
    // Eva hears of none of the tickets that are not hers, but of the dashboard, and of hers.
    assert_eq!(told(&mut eva_hears).await, json!(["opened", "feed", "tasks"]));
    eva.create("/v1/tickets", json!({ "title": "Mine" })).await;
    assert_eq!(told(&mut eva_hears).await, json!(["opened"]));
    // Once it is no longer shared, the stream ends.
    admin.run(&format!("/v1/dashboards/{id}/unshare"), json!({ "grantee": eva_id })).await;
    while eva_hears.next().await.is_some() {}
}

#[tokio::test]
async fn charts_are_pictures_that_stand_for_themselves() {
    let server = Server::start().await;
    let client = &server.admin;
    opened(client, "Help", "2026-03-02T09:00:00Z", json!({})).await;
    let all = board(vec![
        chart("months", (0, 0), "bar", &["opened"], &["month"]),
        chart("opened", (6, 0), "number", &["opened"], &[]),
        json!({ "id": "text", "place": { "x": 0, "y": 8, "w": 6, "h": 4 }, "shows": { "kind": "text", "text": "Hello" } }),
    ]);
    let id = client.create("/v1/dashboards", all).await;
    server.settle().await;
    let path = format!("/v1/dashboards/{id}/widgets");
    let drawn =
        client.get(&format!("{path}/months.svg?from=2026-03-01&to=2026-04-30&language=cs&width=500&height=250")).await;
    assert_eq!((drawn.status, drawn.header("content-type")), (StatusCode::OK, "image/svg+xml"));
    assert!(
        drawn.text.starts_with("<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 500 250\""),
        "{}",
        drawn.text
    );
    for part in ["<title>Otevřené · měsíc</title>", "<title>bře 2026: 1</title>", "#ffffff", "<desc>"] {
        assert!(drawn.text.contains(part), "{part}: {}", drawn.text);
    }
    assert!(!drawn.text.contains("var(") && !drawn.text.contains("href"), "{}", drawn.text);
    let named = client.get(&format!("/v1/widgets/{id}.months.svg?from=2026-03-01&to=2026-04-30&theme=dark")).await;
    assert!(named.text.contains("<title>Mar 2026: 1</title>") && named.text.contains("#1b1f22"), "{}", named.text);
    let number = client.get(&format!("{path}/opened.svg")).await;
    assert!(number.text.contains(">1</text>"), "{}", number.text);
    client.get(&format!("{path}/text.svg")).await.problem(422, "widget_shape_invalid");
    client.get(&format!("{path}/months.svg?width=9")).await.problem(422, "parameter_invalid");
    client.get(&format!("{path}/months")).await.problem(404, "dashboard_widget_unknown");
    client.get(&format!("{path}/none.svg")).await.problem(404, "dashboard_widget_unknown");
    client.get(&format!("/v1/dashboards/{NOBODY}/widgets/months.svg")).await.problem(404, "dashboard_unknown");
    let desk = client.get("/v1/widgets/desk.opened_and_closed.svg").await;
    assert_eq!(desk.status, StatusCode::OK, "{}", desk.text);
}

#[tokio::test]
async fn shipped_dashboards_are_there_for_whoever_reads_reports_and_are_copied() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, reader) = user_with(&server, "reader@example.com", &["*.read"]).await;
    let (_, none) = user_with(&server, "none@example.com", &["ticket.read"]).await;
    let all = reader.read("/v1/dashboards/shipped").await;
    let ids = texts(&all, "id");
    assert_eq!(ids, ["desk", "products", "chats", "sales", "rules", "team"]);
    opened(admin, "Help", "2026-03-02T09:00:00Z", json!({})).await;
    server.settle().await;
    for id in &ids {
        let data = reader.read(&format!("/v1/dashboards/{id}/data?range=all")).await;
        for widget in data["widgets"].as_array().unwrap() {
            assert!(widget["problem"].is_null(), "{id}: {widget}");
        }
        none.get(&format!("/v1/dashboards/{id}/data")).await.problem(403, "permission_denied");
        none.get(&format!("/v1/dashboards/{id}/stream")).await.problem(403, "permission_denied");
        let copy = admin.create("/v1/dashboards", json!({ "name": "Copy", "from_shipped": id })).await;
        let copied = admin.read(&format!("/v1/dashboards/{copy}/data?range=all")).await;
        assert_eq!(copied["widgets"].as_array().unwrap().len(), data["widgets"].as_array().unwrap().len());
    }
    let desk = reader.read("/v1/dashboards/desk/data?range=all").await;
    assert_eq!(whole(&desk, "opened", "opened"), 1);
    none.get("/v1/dashboards/shipped").await.problem(403, "permission_denied");
}

/// A page that is there.
async fn page(browser: &Browser, path: &str) -> String {
    let reply = browser.get(path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    reply.text
}

#[tokio::test]
async fn a_page_shows_charts_and_each_number_leads_to_the_records_that_it_counts() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, eva) = person(&server, "eva@example.com", &["*"]).await;
    let (_, none) = person(&server, "none@example.com", &["ticket.read"]).await;
    for (title, at) in
        [("First", "2026-03-02T09:00:00Z"), ("Second", "2026-03-03T09:00:00Z"), ("Third", "2026-04-03T09:00:00Z")]
    {
        opened(admin, title, at, json!({})).await;
    }
    let all = board(vec![
        chart("months", (0, 0), "bar", &["opened"], &["month"]),
        chart("opened", (6, 0), "number", &["opened"], &[]),
        json!({ "id": "counted", "place": { "x": 0, "y": 8, "w": 6, "h": 4 },
            "shows": { "kind": "bar", "title": "By <state>", "collection": { "of": "ticket", "group": "status" } } }),
    ]);
    let created = eva.post("/v1/dashboards", all).await.expect(StatusCode::CREATED);
    let id = created["id"].as_str().unwrap();
    server.settle().await;
    let list = page(&eva, "/dashboards").await;
    assert!(
        list.contains(&format!("href=\"/dashboards/{id}\"")) && list.contains("href=\"/dashboards/desk\""),
        "{list}"
    );
    let shown = page(&eva, &format!("/dashboards/{id}")).await;
    for part in [
        "<svg class=\"chart\"",
        "Opened · month",
        "By &lt;state&gt;",
        "As a table",
        "<th scope=\"row\">Mar 2026</th>",
        "x6 y0 w6 h4",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Every number leads to as many records as it says.
    let links: Vec<String> = shown
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.contains("/records?"))
        .map(|link| link.replace("&amp;", "&"))
        .collect();
    assert!(links.len() > 4, "{links:?}");
    let march = links.iter().find(|link| link.contains(&encoded("2026-03"))).unwrap();
    let behind = page(&eva, march).await;
    assert!(behind.contains("First") && behind.contains("Second") && !behind.contains("Third"), "{behind}");
    assert_eq!(behind.matches("href=\"/records/tickets/").count(), 2, "{behind}");
    let counted = links.iter().find(|link| link.contains("/widgets/counted/")).unwrap();
    assert_eq!(page(&eva, counted).await.matches("href=\"/records/tickets/").count(), 3);
    // One widget alone, as scripts ask for it; another time; nonsense is left aside.
    let one = page(&eva, &format!("/dashboards/{id}?widgets=months")).await;
    assert!(one.contains("id=\"widget-months\"") && !one.contains("id=\"widget-opened\""), "{one}");
    let april = page(&eva, &format!("/dashboards/{id}?range=&from=2026-04-01&to=2026-04-30&tz=UTC")).await;
    assert!(april.contains("value=\"2026-04-01\"") && !april.contains("<th scope=\"row\">Mar 2026</th>"), "{april}");
    page(&eva, &format!("/dashboards/{id}?tz=nowhere&from=x")).await;
    for shipped in ["desk", "products", "chats", "sales", "rules", "team"] {
        page(&eva, &format!("/dashboards/{shipped}")).await;
    }
    for hidden in [format!("/dashboards/{id}"), "/dashboards".into(), "/dashboards/desk".into(), march.clone()] {
        assert_eq!(none.get(&hidden).await.status, StatusCode::NOT_FOUND, "{hidden}");
    }
    assert_eq!(eva.get(&format!("/dashboards/{NOBODY}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_record_behind_a_number_has_the_name_that_its_list_gives_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    everything(&server, admin, "Word").await;
    server.settle().await;
    for source in facts::counted() {
        let mut found = 0;
        for measure in source.measures {
            let asked = json!({ "of": source.kind, "measures": [measure.name] });
            let records =
                admin.post("/v1/reports/records?from=2001-01-01&to=2100-01-01", asked).await.expect(StatusCode::OK);
            for record in records["data"].as_array().unwrap() {
                let name = record["name"].as_str().unwrap_or_default();
                assert!(!name.is_empty() && record["id"] != name, "{}, {}: {record}", source.kind, measure.name);
                found += 1;
            }
        }
        assert!(found > 0, "{}", source.kind);
    }
    // Whoever sees a call but not who calls is not told who that is.
    let calls = json!({ "of": "call", "measures": ["calls"] });
    let path = "/v1/reports/records?from=2001-01-01&to=2100-01-01";
    let names = async |client: &Client| {
        let found = client.post(path, calls.clone()).await.expect(StatusCode::OK);
        texts(&found, "name")
    };
    let told = names(admin).await;
    let (_, caller) = user_with(&server, "ivo@example.com", &["report.read", "call.read", "contact.*:own"]).await;
    let veiled = names(&caller).await;
    assert_eq!(veiled.len(), told.len());
    assert_ne!(veiled, told);
    assert!(veiled.iter().all(|name| !name.contains("Word") || name.contains("+39")), "{veiled:?}");
}

#[tokio::test]
async fn a_dashboard_of_a_past_day_leads_to_what_there_was_on_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, eva) = person(&server, "eva@example.com", &["*"]).await;
    let first = opened(admin, "First", "2026-03-02T09:00:00Z", json!({})).await;
    opened(admin, "Second", "2026-03-10T09:00:00Z", json!({})).await;
    let later = admin.header("deskfold-occurred-at", "2026-03-12T09:00:00Z");
    later.run(&format!("/v1/tickets/{first}/change_title"), json!({ "title": "Renamed" })).await;
    later.run(&format!("/v1/tickets/{first}/close"), json!({})).await;
    let counted = json!({ "id": "counted", "place": { "x": 0, "y": 8, "w": 6, "h": 4 },
        "shows": { "kind": "bar", "collection": { "of": "ticket", "group": "status" } } });
    let all = board(vec![chart("backlog", (0, 0), "number", &["backlog"], &[]), counted]);
    let created = eva.post("/v1/dashboards", all).await.expect(StatusCode::CREATED);
    let id = created["id"].as_str().unwrap();
    server.settle().await;
    let day = "2026-03-05";
    let shown = page(&eva, &format!("/dashboards/{id}?as_of={day}")).await;
    assert!(shown.contains("data-past") && shown.contains(&format!("datetime=\"{day}\"")), "{shown}");
    assert!(!shown.contains("id=\"edit\""), "the past is not changed");
    let ways = shown.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let ways: Vec<String> = ways.filter(|way| way.contains("/records?")).map(|way| way.replace("&amp;", "&")).collect();
    for widget in ["backlog", "counted"] {
        let way = ways.iter().find(|way| way.contains(&format!("/widgets/{widget}/"))).unwrap();
        assert!(way.contains(&format!("as_of={day}")), "{way}");
        let behind = page(&eva, way).await;
        // It was there alone, and had its first name; the way to it goes to that day too.
        assert!(behind.contains("First") && !behind.contains("Renamed") && !behind.contains("Second"), "{behind}");
        assert!(behind.contains(&format!("href=\"/records/tickets/{first}?as_of=2026-03-0")), "{behind}");
        assert!(behind.contains("href=\"/records/tickets?filter="), "{behind}");
        assert!(behind.contains("as_of=2026-03-05"), "{behind}");
    }
    // Today the same numbers lead to what there is today.
    let shown = page(&eva, &format!("/dashboards/{id}")).await;
    let way = shown.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let way = way
        .map(|way| way.replace("&amp;", "&"))
        .find(|way| way.contains("/widgets/counted/") && way.contains("closed"));
    let behind = page(&eva, &way.unwrap()).await;
    assert!(behind.contains("Renamed") && !behind.contains("as_of="), "{behind}");
}

#[tokio::test]
async fn a_picture_is_seen_at_its_address_without_a_key_as_long_as_its_maker_sees_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, anna) =
        person(&server, "anna@example.com", &["report.read", "dashboard.*:own", "ticket.*:own"]).await;
    let (_, boris) = person(&server, "boris@example.com", &["report.read", "dashboard.*:own"]).await;
    let opens = async |title: &str, owner: Option<&str>| {
        let id = opened(admin, title, "2026-03-02T09:00:00Z", json!({})).await;
        if let Some(owner) = owner {
            admin.run(&format!("/v1/tickets/{id}/assign"), json!({ "assignee": owner })).await;
        }
    };
    opens("Hers", Some(&anna_id)).await;
    opens("Another's", None).await;
    server.settle().await;
    let all = board(vec![chart("opened", (0, 0), "number", &["opened"], &[])]);
    let id = &admin.create("/v1/dashboards", all).await;
    let share = json!({ "grantee": anna_id, "level": "read" });
    admin.run(&format!("/v1/dashboards/{id}/share"), share.clone()).await;
    server.settle().await;
    let wanted =
        json!({ "widget": format!("{id}.opened"), "days": 2, "theme": "dark", "width": 400, "language": "cs" });
    let made = anna.post("/v1/me/address_widget", wanted.clone()).await.expect(StatusCode::CREATED);
    let path = made["path"].as_str().unwrap();
    let nobody = Browser::new(&server);
    let seen = async |path: &str| {
        let reply = nobody.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "image/svg+xml");
        assert!(reply.header("content-security-policy").contains("sandbox"));
        reply.text
    };
    let gone = async |path: &str| {
        nobody.get(path).await.problem(404, "picture_unknown");
    };
    // It shows what she sees, not what there is, in the way that she asked for.
    let drawn = seen(path).await;
    assert!(drawn.contains(">1<") && drawn.contains("width=\"400\"") && drawn.contains("#1b1f22"), "{drawn}");
    // It is alive: what she sees next is in it too.
    opens("Hers too", Some(&anna_id)).await;
    server.settle().await;
    assert!(seen(path).await.contains(">2<"));
    // Nothing in it can be changed, and no other address is made of it.
    for (from, to) in [
        ("width=400", "width=900"),
        ("opened.svg", "closed.svg"),
        ("theme=dark", "theme=light"),
        (&anna_id[..], NOBODY),
    ] {
        gone(&path.replacen(from, to, 1)).await;
    }
    gone(path.split("&signature").next().unwrap()).await;
    gone(&format!("/v1/pictures/{id}.opened.svg")).await;
    let last = path.chars().last().unwrap();
    gone(&format!("{}{}", &path[..path.len() - 1], if last == '0' { '1' } else { '0' })).await;
    // Whoever does not see the dashboard makes none, no key does, and what makes no sense is pointed at.
    boris.post("/v1/me/address_widget", wanted.clone()).await.problem(404, "dashboard_unknown");
    admin.post("/v1/me/address_widget", wanted.clone()).await.problem(403, "session_needed");
    let with = |name: &str, value: Value| {
        let mut other = wanted.clone();
        other[name] = value;
        other
    };
    let refused = anna.post("/v1/me/address_widget", with("days", json!(367))).await;
    assert_eq!(refused.problem(422, "picture_expiry_invalid")["errors"][0]["pointer"], "/days");
    let refused = anna.post("/v1/me/address_widget", with("widget", json!(format!("{id}.nothing")))).await;
    assert_eq!(refused.problem(404, "dashboard_widget_unknown")["errors"][0]["pointer"], "/widget");
    let refused = anna.post("/v1/me/address_widget", with("width", json!(9))).await;
    refused.problem(422, "parameter_invalid");
    // One that is taken back is good no longer; another one still is.
    let second =
        anna.post("/v1/me/address_widget", json!({ "widget": "desk.opened" })).await.expect(StatusCode::CREATED);
    assert_eq!(anna.read("/v1/me/widget_addresses").await["data"].as_array().unwrap().len(), 2);
    let which = json!({ "address": second["id"] });
    seen(second["path"].as_str().unwrap()).await;
    boris.post("/v1/me/withdraw_address", which.clone()).await.problem(404, "picture_unknown");
    assert_eq!(anna.post("/v1/me/withdraw_address", which).await.status, StatusCode::NO_CONTENT);
    gone(second["path"].as_str().unwrap()).await;
    seen(path).await;
    let good = anna.read("/v1/me/widget_addresses").await;
    assert_eq!((good["data"].as_array().unwrap().len(), &good["data"][0]["id"]), (1, &made["id"]));
    assert!(good["data"][0]["path"].is_null(), "the address is told once");
    // Whoever is shut out shows nothing to anybody, and whoever comes back does again.
    admin.run(&format!("/v1/users/{anna_id}/deactivate"), json!({})).await;
    gone(path).await;
    admin.run(&format!("/v1/users/{anna_id}/activate"), json!({})).await;
    seen(path).await;
    // So does a dashboard that she does not see any more.
    admin.run(&format!("/v1/dashboards/{id}/unshare"), json!({ "grantee": anna_id })).await;
    gone(path).await;
    admin.run(&format!("/v1/dashboards/{id}/share"), share).await;
    seen(path).await;
    // And then it is too old.
    server.app.advance(std::time::Duration::from_secs(2 * 24 * 3600 + 1));
    gone(path).await;
}
