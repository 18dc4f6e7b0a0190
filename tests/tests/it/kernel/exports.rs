//! Exports of every list: the rows of its pages, as files, whole and of one moment, over HTTP.

use std::{collections::BTreeSet, fs};

use deskfold_tests::{Client, Reply, Server};
use domain::kernel::custom::Definitions;
use projections::{List, kernel::columns};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    kernel::clients::python,
    world::{colleague, condition, contact, encoded, everything, field, filtered, pages, party, product, ticket},
};

/// The lines of a file of JSON lines.
fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/jsonl"), "{}", reply.text);
    reply.text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The columns of a CSV file, and its rows.
fn table(reply: &Reply, separator: u8) -> (Vec<String>, Vec<Vec<String>>) {
    let media_type = "text/csv; charset=utf-8; header=present";
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, media_type), "{}", reply.text);
    let text = reply.text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().iter().map(ToOwned::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect());
    (columns, rows.collect())
}

/// What stands in the cell of a value.
fn cell(value: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let text = match value {
        Value::Null => return String::new(),
        Value::Array(values) if values.iter().all(|value| !value.is_object()) => {
            values.iter().map(plain).collect::<Vec<_>>().join("; ")
        }
        value => plain(value),
    };
    let number = value.is_number() || text.parse::<f64>().is_ok() && !text.starts_with('+');
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number;
    if formula { format!("'{text}") } else { text }
}

fn listed() -> impl Iterator<Item = &'static List> {
    projections::lists().filter(|list| list.listed)
}

#[tokio::test]
async fn every_list_is_exported_row_for_row() {
    let server = Server::start().await;
    let client = &server.admin;
    everything(&server, client, "Word").await;
    let head = client.read("/v1/events?limit=1&backwards=true").await["data"][0]["position"].to_string();
    let (mut count, mut with_custom) = (0, 0);
    for list in listed() {
        let path = format!("/v1/{}", list.path);
        let shown = pages(client, &path).await;
        assert!(!shown.is_empty(), "{path} has something to export");
        let export = client.get(&format!("{path}/export?format=jsonl")).await;
        assert_eq!(lines(&export), shown, "{path}");
        let name = export.header("content-disposition");
        assert!(name.starts_with(&format!("attachment; filename=\"{}-20", list.path)) && name.ends_with(".jsonl\""));
        assert_eq!(export.header("deskfold-position"), head, "{path}");

        // In another order, and only some.
        let column = list.columns.iter().rfind(|column| column.sortable).unwrap();
        let sort = format!("sort=-{},id", column.name);
        let sorted = pages(client, &format!("{path}?{sort}")).await;
        assert_eq!(lines(&client.get(&format!("{path}/export?format=jsonl&{sort}")).await), sorted, "{path} {sort}");
        let some = condition("id", "in", json!([shown[0]["id"]]));
        let one = pages(client, &filtered(&path, &some)).await;
        assert_eq!(one.len(), 1, "{path}");
        let body = json!({ "filter": some, "format": "jsonl" });
        assert_eq!(lines(&client.post(&format!("{path}/export"), body).await), one, "{path}");

        // As CSV every value stands in its column.
        let (names, rows) = table(&client.get(&format!("{path}/export")).await, b',');
        assert_eq!(names[0], "id", "{path}: {names:?}");
        assert!(names.len() > 2 && names.iter().all(|name| name != "custom"), "{path}: {names:?}");
        with_custom += names.iter().filter(|name| name.starts_with("custom.")).count();
        let wanted: Vec<Vec<_>> =
            shown.iter().map(|row| names.iter().map(|name| cell(columns::value(row, name))).collect()).collect();
        assert_eq!(rows, wanted, "{path}");
        count += rows.len();
        // Whatever a row shows stands in some column.
        let none = Definitions::new();
        for name in shown[0].as_object().unwrap().keys().filter(|name| !name.starts_with("custom")) {
            let within = format!("{name}.");
            let told = names.iter().any(|column| column == name || column.starts_with(&within));
            assert!(told && columns::has_column(list, &none, name), "{path} exports {name}: {names:?}");
        }
        let (chosen, rows) = table(&client.get(&format!("{path}/export?columns=id,{}", names[1])).await, b',');
        assert_eq!(chosen, ["id", names[1].as_str()]);
        assert_eq!(rows.len(), shown.len(), "{path}");
    }
    assert!(count > 60 && with_custom == 3, "{count} rows, {with_custom} columns of custom fields");
}

#[tokio::test]
async fn columns_separators_and_marks_are_chosen_and_what_is_unknown_is_named() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "size", "select", json!({ "options": ["s", "m"] })).await;
    field(client, "ticket", "cost", "money", json!({})).await;
    field(client, "ticket", "buyer", "reference", json!({ "target": "contact" })).await;
    let ada = contact(client, "Ada").await;
    let custom = json!({ "size": "m", "cost": { "amount": "-12.50", "currency": "EUR" }, "buyer": ada });
    let body = json!({ "title": "=1+1; \"x\"", "priority": 2, "custom": custom, "tags": ["@a", "b"] });
    client.create("/v1/tickets", body).await;
    server.settle().await;
    let named = "number,title,tags,custom.size,custom.cost.amount,custom.buyer,custom_names.buyer,custom.cost,title";
    let reply = client.get(&format!("/v1/tickets/export?columns={named}")).await;
    let wanted = format!(
        "number,title,tags,custom.size,custom.cost.amount,custom.buyer,custom_names.buyer,custom.cost\r\n\
         1,\"'=1+1; \"\"x\"\"\",'@a; b,m,-12.50,{ada},Ada,\"{{\"\"amount\"\":\"\"-12.50\"\",\"\"currency\"\":\"\"EUR\"\"}}\"\r\n"
    );
    assert_eq!(reply.text, wanted);
    let reply = client.get("/v1/tickets/export?columns=title,%20tags&separator=semicolon&bom=true").await;
    assert_eq!(reply.text, "\u{feff}title;tags\r\n\"'=1+1; \"\"x\"\"\";\"'@a; b\"\r\n");
    let body = json!({ "columns": "number,priority", "separator": "tab" });
    assert_eq!(client.post("/v1/tickets/export", body).await.text, "number\tpriority\r\n1\t2\r\n");
    let reply = client.get("/v1/tickets/export?format=jsonl&columns=title,custom.cost.amount,custom.size").await;
    // Formulas are the business of spreadsheets alone.
    let line = "{\"title\":\"=1+1; \\\"x\\\"\",\"custom.cost.amount\":\"-12.50\",\"custom.size\":\"m\"}\n";
    assert_eq!(reply.text, line);

    for (columns, detail) in [
        ("title,colour", "colour"),
        ("custom.colour", "custom.colour"),
        ("number.x", "number.x"),
        ("custom.cost.x", ""),
    ] {
        let problem = client.get(&format!("/v1/tickets/export?columns={columns}")).await.problem(422, "column_unknown");
        assert_eq!(problem["errors"][0]["pointer"], "/columns");
        let told = problem["detail"].as_str().unwrap();
        assert!(told.contains(detail) && told.contains("custom.cost.currency"), "{told}");
    }
    // Everything that is wrong is told at once.
    let wrong = format!("/v1/tickets/export?columns=x&sort=y&filter={}", encoded(&condition("z", "eq", 1).to_string()));
    let problem = client.get(&wrong).await.problem(422, "filter_field_unknown");
    let codes: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["filter_field_unknown", "sort_field_unknown", "column_unknown"]);
    for query in ["format=xls", "separator=pipe", "bom=maybe", "limit=3"] {
        client.get(&format!("/v1/tickets/export?{query}")).await.problem(422, "parameter_invalid");
    }
    client.post("/v1/tickets/export", json!({ "limit": 3 })).await.problem(422, "body_invalid");
    // Nothing is a file too: the names of its columns.
    let nothing = filtered("/v1/products/export?columns=id,name", &condition("name", "eq", "none"));
    assert_eq!(client.get(&nothing).await.text, "id,name\r\n");
}

#[tokio::test]
async fn everybody_exports_what_the_list_shows_him() {
    let server = Server::start().await;
    let admin = &server.admin;
    let role = json!({ "name": "seller", "permissions": ["ticket.read:own", "contact.read", "export.run"] });
    let role = admin.create("/v1/roles", role).await;
    let seller = colleague(admin, "Sem", "viewer").await;
    admin.run(&format!("/v1/users/{seller}/grant_role"), json!({ "role": role })).await;
    let viewer = crate::world::shipped_role(admin, "viewer").await;
    admin.run(&format!("/v1/users/{seller}/revoke_role"), json!({ "role": viewer })).await;
    let (own, other) = (ticket(admin, "Own").await, ticket(admin, "Another's").await);
    admin.run(&format!("/v1/tickets/{own}/assign"), json!({ "assignee": seller })).await;
    server.settle().await;
    let sem = key(&server, &seller).await;
    let ids = |reply: Reply| lines(&reply).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(sem.get("/v1/tickets/export?format=jsonl").await), std::slice::from_ref(&own));
    let asked = condition("id", "in", json!([own, other]));
    let body = json!({ "filter": asked, "format": "jsonl" });
    assert_eq!(ids(sem.post("/v1/tickets/export", body).await), [own]);
    let export = sem.get("/v1/tickets/export").await;
    assert!(!export.text.contains("Another"), "{}", export.text);
    sem.get("/v1/companies/export").await.problem(403, "permission_denied");
    // Reading alone is not enough to carry everything away.
    let agent = colleague(admin, "Ann", "agent").await;
    server.settle().await;
    let agent = key(&server, &agent).await;
    assert_eq!(agent.read("/v1/tickets").await["data"].as_array().unwrap().len(), 2);
    agent.get("/v1/tickets/export").await.problem(403, "permission_denied");
    // Nor does another tenant see any of it.
    let elsewhere = server.another_tenant("Elsewhere").await;
    assert_eq!(lines(&elsewhere.get("/v1/tickets/export?format=jsonl").await).len(), 0);
}

async fn key(server: &Server, user: &str) -> Client {
    let issued = server.admin.post("/v1/api_keys", json!({ "name": "test", "user": user })).await;
    server.client(issued.expect(StatusCode::CREATED)["key"].as_str().unwrap())
}

#[tokio::test]
async fn an_export_shows_one_moment_however_much_happens_meanwhile() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = product(client, "Hosting").await;
    let holder = party("contact", &contact(client, "Ada").await);
    // More than are read at once.
    let lines_of = |range: std::ops::Range<usize>| {
        let body = |number: usize| json!({ "title": format!("Ticket {number}"), "priority": number % 4 });
        futures::future::join_all(range.map(move |number| client.create("/v1/tickets", body(number))))
    };
    for start in (0..1200).step_by(100) {
        lines_of(start..start + 100).await;
    }
    server.settle().await;
    let writing = async {
        for round in 0..12 {
            lines_of(2000 + round * 10..2010 + round * 10).await;
            client.create("/v1/entitlements", json!({ "product": hosting, "holder": holder })).await;
        }
    };
    let exporting = async {
        let mut exports = Vec::new();
        for _ in 0..6 {
            exports.push(client.get("/v1/tickets/export?format=jsonl").await);
        }
        exports
    };
    let ((), exports) = futures::future::join(writing, exporting).await;
    server.settle().await;
    let opened = pages(client, "/v1/events?types=ticket.opened&limit=200").await;
    assert_eq!(opened.len(), 1320);
    let mut seen = BTreeSet::new();
    for export in exports {
        let position: i64 = export.header("deskfold-position").parse().unwrap();
        let rows = lines(&export);
        let by_then = opened.iter().filter(|event| event["position"].as_i64().unwrap() <= position).count();
        assert!(rows.len() >= by_then, "{} rows at {position}, where {by_then} tickets were open", rows.len());
        // The first so many that were opened, and no later one without those before it.
        let mut ids: Vec<_> = rows.iter().map(|row| format!("ticket-{}", row["id"].as_str().unwrap())).collect();
        let mut first: Vec<_> = opened[..rows.len()].iter().map(|event| event["stream"].as_str().unwrap()).collect();
        ids.sort_unstable();
        first.sort_unstable();
        assert_eq!(ids, first, "at {position}");
        seen.insert(rows.len());
    }
    assert!(seen.len() > 1, "something happened meanwhile: {seen:?}");
    let whole = client.request(Method::HEAD, "/v1/tickets/export");
    assert_eq!(client.send(whole).await.status, StatusCode::OK);
}

/// The bytes of a Parquet file.
async fn parquet(request: reqwest::RequestBuilder) -> Vec<u8> {
    let answer = request.send().await.unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!((answer.status(), &*media_type), (StatusCode::OK, "application/vnd.apache.parquet"));
    let name = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.ends_with(".parquet\""), "{name}");
    let file = answer.bytes().await.unwrap().to_vec();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    file
}

#[tokio::test]
async fn parquet_has_types_and_the_same_values() {
    let server = Server::start().await;
    let client = &server.admin;
    everything(&server, client, "Word").await;
    for (key, kind, more) in [
        ("cost", "money", json!({})),
        ("share", "decimal", json!({})),
        ("due", "date", json!({})),
        ("seen", "datetime", json!({})),
        ("urgent", "bool", json!({})),
        ("sizes", "multi_select", json!({ "options": ["s", "m"] })),
    ] {
        field(client, "ticket", key, kind, more).await;
    }
    let custom = json!({
        "cost": { "amount": "-1234567.89", "currency": "EUR" }, "share": "0.0000000001", "due": "1969-12-31",
        "seen": "2026-01-02T03:04:05.000001Z", "urgent": true, "sizes": ["m", "s"],
    });
    client.create("/v1/tickets", json!({ "title": "=\"é\"\n🦀", "custom": custom })).await;
    server.settle().await;

    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| fs::write(directory.path().join(name), content).unwrap();
    for list in listed() {
        let path = format!("/v1/{}/export", list.path);
        let (names, _) = table(&client.get(&path).await, b',');
        let rows = client.get(&format!("{path}?format=jsonl&columns={}", names.join(","))).await;
        put(&format!("{}.jsonl", list.path), rows.text.as_bytes());
        put(
            &format!("{}.parquet", list.path),
            &parquet(client.request(Method::GET, &format!("{path}?format=parquet"))).await,
        );
    }
    // What has members is JSON where it is asked for as a whole; nothing has columns too.
    let some = "/v1/tickets/export?columns=id,custom.cost,tags,custom&format=";
    put("some.jsonl", client.get(&format!("{some}jsonl")).await.text.as_bytes());
    put("some.parquet", &parquet(client.request(Method::GET, &format!("{some}parquet"))).await);
    let nothing = filtered("/v1/orders/export?format=parquet", &condition("city", "eq", "Nowhere"));
    put("nothing.jsonl", b"");
    put("nothing.parquet", &parquet(client.request(Method::GET, &nothing)).await);
    // Reports, those that count and those that list.
    for (name, definition) in [
        ("opened", json!({ "measures": ["opened", "resolution"], "dimensions": ["month", "product_id"] })),
        ("daily", json!({ "measures": ["opened"], "dimensions": ["day", "priority"] })),
        ("hours", json!({ "measures": ["opened"], "dimensions": ["hour_of_day"] })),
        ("ordered", json!({ "of": "order", "measures": ["placed", "revenue"], "dimensions": ["city", "cancelled"] })),
        ("listed", json!({ "columns": ["number", "priority", "opened_at", "custom.share", "custom.due"] })),
    ] {
        let path = "/v1/reports/run?format=";
        let told = client.post(&format!("{path}csv"), definition.clone()).await.expect_text();
        put(&format!("{name}.csv"), told.as_bytes());
        let request = client.request(Method::POST, &format!("{path}parquet")).json(&definition);
        put(&format!("{name}.parquet"), &parquet(request).await);
    }
    let (exact, instant) = ("decimal128(38, 10)", "timestamp[us, tz=UTC]");
    let types = json!({
        "tickets": {
            "id": "string", "number": "int64", "opened_at": instant, "custom.hours": "int64", "custom.cost.amount": exact,
            "custom.cost.currency": "string", "custom.share": exact, "custom.due": "date32[day]", "custom.seen": instant,
            "custom.urgent": "bool", "custom.sizes": "string", "tags": "string",
        },
        "orders": { "total.amount": exact, "total.currency": "string", "paid_in_full": "bool", "items": "string" },
        "properties": { "area": exact, "rooms": "int64", "price.amount": exact },
        "deals": { "expected_on": "date32[day]" },
        "nothing": { "total.amount": exact },
        "opened": { "month": "string", "opened": "int64", "resolution.mean": "double", "product_name": "string" },
        "daily": { "day": "date32[day]", "priority": "int64" },
        "ordered": { "revenue.EUR": exact, "cancelled": "bool", "placed": "int64" },
        "hours": { "hour_of_day": "int64" },
        "listed": { "number": "int64", "opened_at": instant, "custom.share": exact, "custom.due": "date32[day]" },
    });
    put("types.json", types.to_string().as_bytes());
    if !python().args(["-c", "import pyarrow"]).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: pyarrow is not installed; deploy/install-prerequisites.sh puts it into target/python");
        return;
    }
    let mut check = python();
    check.arg(deskfold_tests::root().join("tests/parquet.py")).arg(directory.path()).stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    eprintln!("{told}");

    // What cannot be told exactly is not told at all: the file does not end.
    client.create("/v1/tickets", json!({ "title": "Fine", "custom": { "share": "0.00000000001" } })).await;
    server.settle().await;
    let broken = client.request(Method::GET, "/v1/tickets/export?format=parquet").send().await.unwrap();
    assert!(broken.bytes().await.is_err());
    assert_eq!(client.get("/v1/tickets/export?format=parquet&columns=id,title").await.status, StatusCode::OK);
}
