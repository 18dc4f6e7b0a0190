//! Reports: what counts when, as it was then and as it was known, and the records behind every number.

use deskfold_tests::{Client, Server};
use domain::insight::facts;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    data::imports,
    org::auth::user_with,
    world::{contact, grant, product, user},
};

/// The tests' range: all of it before any test is run.
const RANGE: &str = "from=2026-01-01&to=2026-12-31&tz=UTC";

pub(crate) async fn run(client: &Client, definition: Value, over: &str) -> Value {
    client.post(&format!("/v1/reports/run?{over}"), definition).await.expect(StatusCode::OK)
}

/// The numbers of a measure by the key of one dimension; nothing but rows.
pub(crate) fn numbers(report: &Value, dimension: &str, measure: &str) -> Vec<(Value, Value)> {
    let rows = report["rows"].as_array().unwrap().iter();
    let rows = rows.filter(|row| !row["values"][measure].is_null());
    rows.map(|row| (row["key"][dimension].clone(), row["values"][measure].clone())).collect()
}

pub(crate) fn total(report: &Value, measure: &str) -> Value {
    let whole = |row: &&Value| row["key"].as_object().unwrap().is_empty();
    report["totals"].as_array().unwrap().iter().find(whole).map_or(Value::Null, |row| row["values"][measure].clone())
}

async fn whole(client: &Client, measure: &str) -> Value {
    total(&run(client, json!({ "measures": [measure] }), RANGE).await, measure)
}

pub(crate) fn at(client: &Client, instant: &str) -> Client {
    client.header("deskfold-occurred-at", instant)
}

pub(crate) async fn open(client: &Client, instant: &str, more: Value) -> String {
    let mut body = json!({ "title": "Broken" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    at(client, instant).create("/v1/tickets", body).await
}

pub(crate) async fn does(client: &Client, instant: &str, ticket: &str, command: &str, body: Value) {
    at(client, instant).run(&format!("/v1/tickets/{ticket}/{command}"), body).await;
}

#[tokio::test]
async fn a_reopened_ticket_is_not_counted_closed_and_the_backlog_follows() {
    let server = Server::start().await;
    let admin = &server.admin;
    let first = open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    let second = open(admin, "2026-01-20T10:00:00Z", json!({})).await;
    does(admin, "2026-01-25T10:00:00Z", &first, "close", json!({})).await;
    does(admin, "2026-02-05T10:00:00Z", &second, "resolve", json!({})).await;
    server.settle().await;
    let by_month = |measures: Value| json!({ "measures": measures, "dimensions": ["month"] });
    let measures = json!(["opened", "closed", "closings", "reopened", "backlog", "resolved"]);
    let before = run(admin, by_month(measures.clone()), "from=2026-01-01&to=2026-04-30").await;
    assert_eq!(numbers(&before, "month", "closed"), [(json!("2026-01"), json!(1))]);
    assert_eq!(numbers(&before, "month", "backlog"), [(json!("2026-01"), json!(1))]);
    let known = before["position"].as_i64().unwrap();

    does(admin, "2026-03-01T10:00:00Z", &first, "reopen", json!({})).await;
    server.settle().await;
    let after = run(admin, by_month(measures.clone()), "from=2026-01-01&to=2026-04-30").await;
    assert_eq!(numbers(&after, "month", "closed"), []);
    assert_eq!(numbers(&after, "month", "closings"), [(json!("2026-01"), json!(1))]);
    assert_eq!(numbers(&after, "month", "reopened"), [(json!("2026-03"), json!(1))]);
    assert_eq!(numbers(&after, "month", "resolved"), [(json!("2026-02"), json!(1))]);
    let backlog = [(json!("2026-01"), json!(1)), (json!("2026-03"), json!(1)), (json!("2026-04"), json!(1))];
    assert_eq!(numbers(&after, "month", "backlog"), backlog);
    let [periods] = [&after["dimensions"][0]["periods"]];
    assert_eq!(*periods, json!(["2026-01", "2026-02", "2026-03", "2026-04"]));

    // What was known before is known again, to the last number.
    let again = format!("from=2026-01-01&to=2026-04-30&as_known_at={known}");
    assert_eq!(run(admin, by_month(measures), &again).await, before);
}

#[tokio::test]
async fn what_is_told_late_counts_when_it_happened_and_by_who_owned_it_then() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna, boris) = (user(admin, "Anna").await, user(admin, "Boris").await);
    let ticket = open(admin, "2026-01-10T10:00:00Z", json!({ "assignee": anna })).await;
    does(admin, "2026-03-10T10:00:00Z", &ticket, "assign", json!({ "assignee": boris })).await;
    server.settle().await;
    let by = json!({ "measures": ["backlog"], "dimensions": ["month", "assignee_id"] });
    let over = "from=2026-01-01&to=2026-04-30";
    let owners = |report: &Value| numbers(report, "assignee_id", "backlog");
    let first = run(admin, by.clone(), over).await;
    let [a, b] = [(json!(anna), json!(1)), (json!(boris), json!(1))];
    assert_eq!(owners(&first), [a.clone(), a.clone(), b.clone(), b.clone()]);
    let names = &first["dimensions"][1]["names"];
    assert_eq!((&names[&anna], &names[&boris]), (&json!("Anna"), &json!("Boris")));

    // Today somebody says that in the middle of February it was nobody's.
    does(admin, "2026-02-15T10:00:00Z", &ticket, "unassign", json!({})).await;
    server.settle().await;
    let second = run(admin, by.clone(), over).await;
    assert_eq!(owners(&second), [a.clone(), (json!(null), json!(1)), b.clone(), b]);
    let known = format!("{over}&as_known_at={}", first["position"]);
    assert_eq!(owners(&run(admin, by, &known).await), owners(&first));
    // As they are now, all of it is whose it is now: Boris's, who got it last.
    let now = json!({ "measures": ["opened"], "dimensions": ["assignee_id"], "values": "now" });
    assert_eq!(numbers(&run(admin, now, over).await, "assignee_id", "opened"), [(json!(boris), json!(1))]);
    let then = json!({ "measures": ["opened"], "dimensions": ["assignee_id"] });
    assert_eq!(numbers(&run(admin, then, over).await, "assignee_id", "opened"), [a]);
}

#[tokio::test]
async fn durations_are_elapsed_time_with_median_and_p90_and_one_touch_is_one_reply() {
    let server = Server::start().await;
    let admin = &server.admin;
    // First replies after 60, 120, 180 and 1000 seconds.
    for (minute, later) in [(0, "00:01:00"), (10, "00:12:00"), (20, "00:23:00"), (30, "00:46:40")] {
        let ticket = open(admin, &format!("2026-05-04T00:{minute:02}:00Z"), json!({})).await;
        does(admin, &format!("2026-05-04T{later}Z"), &ticket, "reply", json!({ "body": "Hello" })).await;
        does(admin, "2026-05-05T00:00:00Z", &ticket, "receive_message", json!({ "body": "And?" })).await;
        if minute > 0 {
            does(admin, "2026-05-05T02:00:00Z", &ticket, "reply", json!({ "body": "Done" })).await;
        }
        does(admin, "2026-05-05T03:00:00Z", &ticket, "close", json!({})).await;
    }
    server.settle().await;
    let first = whole(admin, "first_reply").await;
    let told = |name: &str| first[name].as_f64().unwrap();
    assert_eq!((told("count"), told("sum"), told("mean")), (4.0, 1360.0, 340.0));
    assert_eq!((told("min"), told("median"), told("p90"), told("max")), (60.0, 150.0, 754.0, 1000.0));
    assert_eq!(first["histogram"], json!([0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
    let next = whole(admin, "next_reply").await;
    assert_eq!((&next["count"], &next["median"]), (&json!(3), &json!(7200)));
    assert_eq!(whole(admin, "one_touch").await, json!(1));
    assert_eq!((whole(admin, "received").await, whole(admin, "sent").await), (json!(4), json!(7)));
    assert_eq!(whole(admin, "rating").await, json!({ "count": 0 }));
    assert_eq!(whole(admin, "resolution").await["max"], json!(97_200));
}

#[tokio::test]
async fn hours_are_those_of_the_report_s_zone_also_when_clocks_change() {
    let server = Server::start().await;
    let admin = &server.admin;
    // In Rome 02:30 comes twice, an hour apart, and the day has 25 hours.
    for instant in ["2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2025-10-25T22:00:00Z", "2025-10-26T22:59:59Z"] {
        open(admin, instant, json!({})).await;
    }
    server.settle().await;
    let rome = "from=2025-10-26&to=2025-10-26&tz=Europe/Rome";
    let by = |dimension: &str| json!({ "measures": ["opened", "backlog"], "dimensions": [dimension] });
    let hours = run(admin, by("hour"), rome).await;
    assert_eq!(hours["dimensions"][0]["periods"].as_array().unwrap().len(), 25);
    let twice = [
        (json!("2025-10-26T00:00:00+02:00"), json!(1)),
        (json!("2025-10-26T02:00:00+02:00"), json!(1)),
        (json!("2025-10-26T02:00:00+01:00"), json!(1)),
        (json!("2025-10-26T23:00:00+01:00"), json!(1)),
    ];
    assert_eq!(numbers(&hours, "hour", "opened"), twice);
    let days = run(admin, by("day"), rome).await;
    assert_eq!(numbers(&days, "day", "opened"), [(json!("2025-10-26"), json!(4))]);
    let of_day = json!({ "measures": ["opened"], "dimensions": ["hour_of_day"] });
    let of_day = numbers(&run(admin, of_day, rome).await, "hour_of_day", "opened");
    assert_eq!(of_day, [(json!(0), json!(1)), (json!(2), json!(2)), (json!(23), json!(1))]);
    let weekday = json!({ "measures": ["opened"], "dimensions": ["weekday"], "time_zone": "Europe/Rome" });
    let over = "from=2025-10-20&to=2025-11-02";
    assert_eq!(numbers(&run(admin, weekday, over).await, "weekday", "opened"), [(json!(7), json!(4))]);
    admin.post("/v1/reports/run?tz=Europe/Atlantis", by("day")).await.problem(422, "time_zone_invalid");
    let upside_down = "/v1/reports/run?from=2026-01-02&to=2026-01-01";
    admin.post(upside_down, by("day")).await.problem(422, "report_range_invalid");
}

#[tokio::test]
async fn the_most_problematic_products_and_their_categories_then_and_now() {
    let server = Server::start().await;
    let admin = &server.admin;
    let ada = contact(admin, "Ada").await;
    let category = |name: &'static str| admin.create("/v1/product_categories", json!({ "name": name }));
    let (old, new) = (category("Old").await, category("New").await);
    let (phone, router) = (product(admin, "Phone").await, product(admin, "Router").await);
    for product in [&phone, &router] {
        let into = json!({ "category": old });
        at(admin, "2026-01-01T00:00:00Z").run(&format!("/v1/products/{product}/categorise"), into).await;
    }
    let (phones, routers) = (grant(admin, &phone, "contact", &ada).await, grant(admin, &router, "contact", &ada).await);
    let asked = |entitlement: Option<&String>| json!({ "requester": { "kind": "contact", "id": ada }, "entitlement": entitlement });
    for entitlement in [Some(&routers), Some(&routers), Some(&phones), None] {
        open(admin, "2026-06-01T10:00:00Z", asked(entitlement)).await;
    }
    at(admin, "2026-07-01T00:00:00Z")
        .run(&format!("/v1/products/{router}/categorise"), json!({ "category": new }))
        .await;
    server.settle().await;
    let report = run(admin, json!({ "measures": ["opened"], "dimensions": ["product_id"] }), RANGE).await;
    let ranked = numbers(&report, "product_id", "opened");
    assert_eq!(ranked[0], (json!(router), json!(2)), "the most problematic first");
    assert!(ranked.contains(&(json!(phone), json!(1))) && ranked.contains(&(json!(null), json!(1))), "{ranked:?}");
    assert_eq!(report["dimensions"][0]["names"][&router], "Router");
    let by_category = |values: &str| {
        let filter = json!({ "field": "product_category_id", "op": "is_null", "value": false });
        json!({ "measures": ["opened"], "dimensions": ["product_category_id"], "values": values, "filter": filter })
    };
    let then = numbers(&run(admin, by_category("then"), RANGE).await, "product_category_id", "opened");
    assert_eq!(then, [(json!(old), json!(3))]);
    let now = numbers(&run(admin, by_category("now"), RANGE).await, "product_category_id", "opened");
    assert_eq!(now, [(json!(new), json!(2)), (json!(old), json!(1))]);
}

#[tokio::test]
async fn what_is_merged_counts_once_and_as_known_before_it_counted_twice() {
    let server = Server::start().await;
    let admin = &server.admin;
    let first = open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    let second = open(admin, "2026-01-11T10:00:00Z", json!({})).await;
    does(admin, "2026-01-12T10:00:00Z", &second, "receive_message", json!({ "body": "Hello" })).await;
    server.settle().await;
    let before = run(admin, json!({ "measures": ["opened", "backlog", "received"] }), RANGE).await;
    assert_eq!(total(&before, "opened"), 2);
    admin.run(&format!("/v1/tickets/{second}/merge"), json!({ "into": first })).await;
    server.settle().await;
    let counts = async || {
        let report = run(admin, json!({ "measures": ["opened", "backlog", "received"] }), RANGE).await;
        [total(&report, "opened"), total(&report, "backlog"), total(&report, "received")]
    };
    assert_eq!(counts().await, [json!(1), json!(1), json!(1)]);
    let known = format!("{RANGE}&as_known_at={}", before["position"]);
    assert_eq!(total(&run(admin, json!({ "measures": ["opened"] }), &known).await, "opened"), 2);
    admin.run(&format!("/v1/tickets/{second}/unmerge"), json!({})).await;
    server.settle().await;
    assert_eq!(counts().await, [json!(2), json!(2), json!(1)]);
    // A requester who was merged is counted with the one that goes on.
    let (ada, other) = (contact(admin, "Ada").await, contact(admin, "Ada L.").await);
    for who in [&ada, &other] {
        let requester = json!({ "requester": { "kind": "contact", "id": who } });
        open(admin, "2026-02-01T10:00:00Z", requester).await;
    }
    admin.run(&format!("/v1/contacts/{other}/merge"), json!({ "into": ada })).await;
    server.settle().await;
    let by = json!({ "measures": ["opened"], "dimensions": ["requester_id"] });
    let by = numbers(&run(admin, by, "from=2026-02-01&to=2026-02-01").await, "requester_id", "opened");
    assert_eq!(by, [(json!(ada), json!(2))]);
}

#[tokio::test]
async fn chats_are_counted_by_medium_label_and_whoever_answers() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = user(admin, "Anna").await;
    let label = |name: &'static str| admin.create("/v1/labels", json!({ "name": name, "preset": true }));
    let (vip, new) = (label("VIP").await, label("New").await);
    let begun = at(admin, "2026-03-01T10:00:00Z");
    let chat = begun.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    begun.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    let does = async |instant: &str, command: &str, body: Value| {
        at(admin, instant).run(&format!("/v1/conversations/{chat}/{command}"), body).await;
    };
    does("2026-03-01T10:00:05Z", "receive_message", json!({ "body": "Hello" })).await;
    for label in [&vip, &new] {
        does("2026-03-01T10:01:00Z", "label", json!({ "label": label })).await;
    }
    does("2026-03-01T10:10:00Z", "assign", json!({ "assignee": anna })).await;
    does("2026-03-01T11:10:00Z", "close", json!({})).await;
    server.settle().await;
    let chats = |measure: &str, dimension: &str| json!({ "of": "conversation", "measures": [measure], "dimensions": [dimension] });
    let by_medium = run(admin, chats("started", "medium"), RANGE).await;
    assert_eq!(numbers(&by_medium, "medium", "started").len(), 2);
    assert_eq!(total(&by_medium, "started"), 2);
    let by_label = run(admin, chats("closed", "label_ids"), RANGE).await;
    let names = by_label["dimensions"][0]["names"].as_object().unwrap();
    assert_eq!((names[&vip].as_str(), names[&new].as_str()), (Some("VIP"), Some("New")));
    assert_eq!((numbers(&by_label, "label_ids", "closed").len(), total(&by_label, "closed")), (2, json!(1)));
    let held = run(admin, chats("time_with_assignee", "assignee_id"), RANGE).await;
    let [(who, spread)]: [(Value, Value); 1] = numbers(&held, "assignee_id", "time_with_assignee").try_into().unwrap();
    assert_eq!((who, &spread["sum"]), (json!(anna), &json!(3600)));
    let days = run(admin, chats("backlog", "day"), "from=2026-03-01&to=2026-03-02&tz=UTC").await;
    let open = [(json!("2026-03-01"), json!(1)), (json!("2026-03-02"), json!(1))];
    assert_eq!((numbers(&days, "day", "backlog"), total(&days, "backlog")), (open.into(), json!(null)));
}

#[tokio::test]
async fn money_is_added_up_exactly_and_never_across_currencies() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut orders = Vec::new();
    for (day, amount, currency, city) in
        [("02-01", "0.10", "EUR", "Rome"), ("02-02", "0.20", "EUR", "Rome"), ("03-01", "7.30", "USD", "Riga")]
    {
        let body = json!({ "source": "shop", "city": city, "total": { "amount": amount, "currency": currency } });
        let placed = at(admin, &format!("2026-{day}T10:00:00Z"));
        orders.push(placed.create("/v1/orders", body).await);
    }
    let pay = json!({ "amount": { "amount": "0.05", "currency": "EUR" } });
    at(admin, "2026-02-01T11:00:00Z").run(&format!("/v1/orders/{}/pay", orders[0]), pay).await;
    at(admin, "2026-02-01T12:00:00Z").run(&format!("/v1/orders/{}/cancel", orders[0]), json!({})).await;
    server.settle().await;
    let measures = json!(["placed", "revenue", "paid", "cancelled", "time_to_payment"]);
    let definition = json!({ "of": "order", "measures": measures, "dimensions": ["city", "month"] });
    let report = run(admin, definition.clone(), RANGE).await;
    let rome = report["rows"].as_array().unwrap().iter().find(|row| row["key"]["city"] == "Rome").unwrap();
    assert_eq!((&rome["values"]["placed"], &rome["values"]["revenue"]), (&json!(2), &json!({ "EUR": "0.30" })));
    assert_eq!((&rome["values"]["paid"], &rome["values"]["cancelled"]), (&json!({ "EUR": "0.05" }), &json!(1)));
    assert_eq!(rome["values"]["time_to_payment"]["median"], 3600);
    assert_eq!(total(&report, "revenue"), json!({ "EUR": "0.30", "USD": "7.30" }));
    let behind = format!("/v1/reports/records?{RANGE}&measure=revenue&cell={{%22city%22:%22Riga%22}}");
    let behind = admin.post(&behind, definition).await.expect(StatusCode::OK);
    let [item] = behind["data"].as_array().unwrap().as_slice() else { panic!("{behind}") };
    assert_eq!((&item["id"], &item["money"]), (&json!(orders[2]), &json!({ "amount": "7.30", "currency": "USD" })));
    let kept = json!({ "of": "order", "measures": ["revenue"], "dimensions": ["cancelled"], "values": "now" });
    let csv = admin.post(&format!("/v1/reports/run?{RANGE}&format=csv"), kept).await.expect_text();
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines[0], "cancelled,revenue.EUR,revenue.USD");
    assert!(lines.contains(&"true,0.10,") && lines.contains(&"false,0.20,7.30"), "{csv}");
}

/// Every measure by every dimension and by months: as many records as the number says, for every cell and every total.
#[tokio::test]
async fn behind_every_number_are_as_many_records_as_it_counts() {
    let server = Server::start().await;
    let admin = &server.admin;
    let imported = imports::history(admin, &imports::extract()).await;
    assert_eq!(imported["status"], "completed");
    let ticket = open(admin, "2026-01-10T10:00:00Z", json!({ "tags": ["a", "b"], "category": "x" })).await;
    does(admin, "2026-01-10T11:00:00Z", &ticket, "receive_message", json!({ "body": "Hello" })).await;
    for hour in [12, 14] {
        does(admin, &format!("2026-01-10T{hour}:00:00Z"), &ticket, "reply", json!({ "body": "Hello" })).await;
        does(admin, &format!("2026-01-10T{}:00:00Z", hour + 1), &ticket, "receive_message", json!({ "body": "?" }))
            .await;
    }
    does(admin, "2026-01-10T16:00:00Z", &ticket, "rate", json!({ "score": 4 })).await;
    server.settle().await;
    let source = facts::source("ticket").unwrap();
    let measures: Vec<&str> = source.measures.iter().map(|measure| measure.name).collect();
    let mut dimensions: Vec<&str> = source.dimensions.iter().map(|dimension| dimension.name).collect();
    dimensions.extend(["custom.service_type", "weekday"]);
    let (mut looked_at, mut counted) = (0, 0);
    for dimension in dimensions {
        // A backlog has no weekdays.
        let cyclic = dimension == "weekday";
        let measures: Vec<&str> = measures.iter().copied().filter(|name| !cyclic || *name != "backlog").collect();
        let second = if cyclic { "stage" } else { "year" };
        let definition = json!({ "measures": measures, "dimensions": [dimension, second], "time_zone": "Europe/Rome" });
        let report = run(admin, definition.clone(), "").await;
        let over = format!(
            "from={}&to={}&as_known_at={}",
            report["range"]["from"].as_str().unwrap(),
            report["range"]["to"].as_str().unwrap(),
            report["position"]
        );
        let rows = report["rows"].as_array().unwrap().iter().chain(report["totals"].as_array().unwrap());
        let all: Vec<&Value> = rows.collect();
        // Each measure once for every key would be thousands of requests: the smallest, the largest and one between.
        for measure in measures {
            let number = |row: &Value| {
                let value = &row["values"][measure];
                value.as_i64().or_else(|| value["count"].as_i64()).unwrap_or_default()
            };
            let mut told: Vec<&Value> = all.iter().copied().filter(|row| !row["values"][measure].is_null()).collect();
            told.sort_by_key(|row| number(row));
            let chosen = [0, told.len() / 2, told.len().saturating_sub(1)].map(|place| told.get(place).copied());
            for row in chosen.into_iter().flatten() {
                let cell = row["key"].to_string().replace('"', "%22").replace('+', "%2B");
                let path = format!("/v1/reports/records?measure={measure}&cell={cell}&{over}&limit=1000");
                let page = admin.post(&path, definition.clone()).await.expect(StatusCode::OK);
                let found = page["data"].as_array().unwrap().len() as i64;
                assert_eq!((found, &page["next"]), (number(row), &Value::Null), "{measure} by {dimension}: {row}");
                looked_at += 1;
                counted += found;
            }
        }
    }
    assert!(looked_at > 500 && counted > 1000, "{looked_at} numbers, {counted} records");
}

#[tokio::test]
async fn whoever_sees_few_records_has_those_counted_and_shown() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva, own) = user_with(&server, "eva@example.com", &["*:own"]).await;
    let (_, none) = user_with(&server, "none@example.com", &["report.read"]).await;
    open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    let hers = open(admin, "2026-01-11T10:00:00Z", json!({ "assignee": eva })).await;
    server.settle().await;
    let definition = || json!({ "measures": ["opened"], "dimensions": ["month"] });
    assert_eq!(total(&run(admin, definition(), RANGE).await, "opened"), 2);
    let seen = run(&own, definition(), RANGE).await;
    assert_eq!(numbers(&seen, "month", "opened"), [(json!("2026-01"), json!(1))]);
    let path = format!("/v1/reports/records?{RANGE}");
    let behind = own.post(&path, definition()).await.expect(StatusCode::OK);
    assert_eq!(behind["data"].as_array().unwrap().iter().map(|item| &item["id"]).collect::<Vec<_>>(), [&json!(hers)]);
    none.post("/v1/reports/run", definition()).await.problem(403, "permission_denied");
    // Without a beginning it begins with the first record that is seen: when others were there is nobody else's business.
    let (_, sees_none) = user_with(&server, "stranger@example.com", &["*:own"]).await;
    let begins = async |client: &Client| {
        let report = run(client, definition(), "tz=UTC").await;
        report["range"]["from"].as_str().unwrap()[..10].to_owned()
    };
    assert_eq!((begins(admin).await, begins(&own).await), ("2026-01-10".to_owned(), "2026-01-11".to_owned()));
    assert!(begins(&sees_none).await.as_str() > "2026-01-12", "nothing is there to begin with");
    // What she does not see is counted where her own refer to it, and not named.
    let company = admin.create("/v1/companies", json!({ "name": "Hidden" })).await;
    open(admin, "2026-01-12T10:00:00Z", json!({ "assignee": eva, "company": company })).await;
    server.settle().await;
    let by_company = json!({ "measures": ["opened"], "dimensions": ["company_id"] });
    let told = run(admin, by_company.clone(), RANGE).await;
    assert_eq!(told["dimensions"][0]["names"], json!({ company.clone(): "Hidden" }));
    let told = run(&own, by_company.clone(), RANGE).await;
    assert_eq!((total(&told, "opened"), &told["dimensions"][0]["names"]), (json!(2), &json!({})));
    let sheet = own.post(&format!("/v1/reports/run?{RANGE}&format=csv"), by_company).await.expect_text();
    assert!(sheet.contains(&company) && !sheet.contains("Hidden"), "{sheet}");
    // A report of somebody else's is not there, and one that is shared counts what is seen.
    let report = admin.create("/v1/reports", json!({ "name": "All", "definition": definition() })).await;
    own.get(&format!("/v1/reports/{report}/data")).await.problem(404, "report_unknown");
    admin.run(&format!("/v1/reports/{report}/share"), json!({ "grantee": eva, "level": "read" })).await;
    assert_eq!(total(&own.read(&format!("/v1/reports/{report}/data?{RANGE}")).await, "opened"), 2);
}

#[tokio::test]
async fn a_saved_report_has_versions_csv_and_records_behind_its_numbers() {
    let server = Server::start().await;
    let admin = &server.admin;
    let team = admin.create("/v1/teams", json!({ "name": "=SUM(A1), \"all\"" })).await;
    let ticket = open(admin, "2026-01-10T10:00:00Z", json!({ "team": team })).await;
    does(admin, "2026-01-10T10:01:30Z", &ticket, "close", json!({})).await;
    let definition = json!({ "measures": ["opened", "resolution"], "dimensions": ["team_id", "month"] });
    let report = admin.create("/v1/reports", json!({ "name": "Teams", "definition": definition })).await;
    server.settle().await;
    let path = format!("/v1/reports/{report}");
    let told = admin.read(&format!("{path}/data?{RANGE}")).await;
    assert_eq!(told["rows"].as_array().unwrap().len(), 1);
    let behind = told["links"]["records"].as_str().unwrap();
    let behind = admin.read(&format!("{behind}&measure=resolution")).await;
    let [item] = behind["data"].as_array().unwrap().as_slice() else { panic!("{behind}") };
    assert_eq!((&item["id"], &item["value"], &item["name"]), (&json!(ticket), &json!(90), &json!("Broken")));
    assert_eq!(item["link"], format!("/v1/tickets/{ticket}"));

    let csv = admin.get(&format!("{path}/data?{RANGE}&format=csv")).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let line = format!("{team},\"'=SUM(A1), \"\"all\"\"\",2026-01,1,1,90,90,90,90,90,90\r\n");
    let heads = "team_id,team_name,month,opened,resolution.count,resolution.sum,resolution.mean,resolution.min,\
                 resolution.median,resolution.p90,resolution.max\r\n";
    assert_eq!(csv.expect_text(), format!("{heads}{line}"));
    let sheet = admin.get(&format!("{path}/data?{RANGE}&format=csv&bom=true&separator=semicolon")).await;
    assert!(sheet.text.starts_with("\u{feff}team_id;team_name;month;opened;"), "{}", sheet.text);

    admin.patch(&path, json!({ "definition": { "measures": ["closed"] } })).await.expect(StatusCode::OK);
    admin.patch(&path, json!({ "definition": { "measures": ["sold"] } })).await.problem(422, "report_measure_unknown");
    server.settle().await;
    assert_eq!(admin.read(&path).await["report_version"], 2);
    let history = admin.read(&format!("{path}/history")).await;
    assert_eq!(history["data"][1]["type"], "report.version_published");
    assert_eq!(total(&admin.read(&format!("{path}/data?{RANGE}")).await, "closed"), 1);
    let wrong = admin.post("/v1/reports/run", json!({ "measures": ["opened"], "dimensions": ["city"] })).await;
    assert_eq!(wrong.problem(422, "report_dimension_unknown")["errors"][0]["pointer"], "/dimensions/0");
}

#[tokio::test]
async fn a_list_report_shows_columns_of_the_records_that_match_and_goes_out_as_csv() {
    let server = Server::start().await;
    let admin = &server.admin;
    let ada = contact(admin, "Ada").await;
    let phone = product(admin, "Phone").await;
    let owned = grant(admin, &phone, "contact", &ada).await;
    let requester = json!({ "kind": "contact", "id": ada });
    for priority in [1, 3] {
        let asked = json!({ "requester": requester, "entitlement": owned, "priority": priority, "tags": ["a", "b"] });
        open(admin, "2026-01-10T10:00:00Z", asked).await;
    }
    open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    server.settle().await;
    let of_phone = json!({ "field": "product_name", "op": "eq", "value": "phone" });
    let columns = json!(["number", "product_name", "priority", "tags"]);
    let definition = json!({ "columns": columns, "sort": "number", "filter": of_phone });
    let report = admin.create("/v1/reports", json!({ "name": "Phones", "definition": definition })).await;
    server.settle().await;
    let path = format!("/v1/reports/{report}/data");
    let told = admin.read(&path).await;
    let rows: Vec<&Value> = told["rows"].as_array().unwrap().iter().map(|row| &row["values"]).collect();
    let row = |number: u8, priority: u8| json!({ "number": number, "product_name": "Phone", "priority": priority, "tags": ["a", "b"] });
    assert_eq!(rows, [&row(1, 1), &row(2, 3)]);
    let first = admin.read(&format!("{path}?limit=1")).await;
    let second = admin.read(&format!("{path}?limit=1&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&second["rows"][0]["values"], &second["next"]), (&row(2, 3), &Value::Null));
    let csv = admin.get(&format!("{path}?format=csv")).await.expect_text();
    assert_eq!(csv, "number,product_name,priority,tags\r\n1,Phone,1,a; b\r\n2,Phone,3,a; b\r\n");
    admin.get(&format!("{path}?from=2026-01-01")).await.problem(422, "parameter_invalid");
    let unknown = json!({ "columns": ["number", "color"] });
    admin.post("/v1/reports/run", unknown).await.problem(422, "report_column_unknown");
    let both: Map<String, Value> =
        [("columns".to_owned(), json!(["number"])), ("measures".to_owned(), json!(["opened"]))].into_iter().collect();
    admin.post("/v1/reports/run", both.into()).await.problem(422, "report_shape_invalid");
}
