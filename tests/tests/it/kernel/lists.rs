//! Every list: filters, orders, pages, counts and searches, over HTTP.

use std::{cmp::Ordering, collections::BTreeSet};

use deskfold_tests::{Client, Server};
use domain::{
    Id,
    kernel::{
        custom::{Definition, Definitions, FieldType},
        filter::{FieldKind, Filter, Lookup},
    },
};
use futures::{StreamExt, stream};
use projections::{List, columns_of};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{condition, contact, each, encoded, everything, field, filtered, instant, pages, texts, ticket};

fn definitions() -> Definitions {
    let of = |field_type| Definition {
        field_type,
        label: String::new(),
        options: Vec::new(),
        target: None,
        required: false,
        personal: false,
        retired: false,
    };
    [("site", FieldType::Text), ("hours", FieldType::Number), ("seats", FieldType::Number)]
        .into_iter()
        .map(|(key, field_type)| (key.to_owned(), of(field_type)))
        .collect()
}

fn matching(list: &'static List, filter: &Value, records: &[Value]) -> BTreeSet<String> {
    let definitions = definitions();
    let filter = Filter::parse(filter, &columns_of(list, &definitions, None)).unwrap();
    let matching = records.iter().filter(|record| filter.matches(*record));
    matching.map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

fn lists() -> Vec<&'static List> {
    let mut lists: Vec<&List> = Vec::new();
    for list in projections::lists().filter(|list| list.listed) {
        if lists.iter().all(|known| known.path != list.path) {
            lists.push(list);
        }
    }
    lists
}

/// A value for a column that no record has a value in.
fn some(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Phone => json!("112"),
        FieldKind::Integer => json!(1),
        FieldKind::Decimal => json!("1.5"),
        FieldKind::Bool => json!(true),
        FieldKind::Time => json!("2026-11-21T10:00:00Z"),
        FieldKind::Date => json!("2026-11-21"),
        FieldKind::Id => json!(crate::world::NOBODY),
        _ => json!("x"),
    }
}

/// A filter for every op of a field, held against values that records have.
fn filters(name: &str, kind: FieldKind, records: &[Value]) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for value in records.iter().filter_map(|record| Lookup::value(record, name)) {
        match value {
            Value::Null => {}
            Value::Array(elements) => values.extend(elements.iter().cloned()),
            value => values.push(value.clone()),
        }
    }
    values.sort_by(|a, b| compare(kind, a, b));
    values.dedup();
    let middle = values.get(values.len() / 2).cloned().unwrap_or_else(|| some(kind));
    let (first, last) = (values.first().unwrap_or(&middle), values.last().unwrap_or(&middle));
    let ops = kind.ops().iter().map(|op| {
        let part = |range: std::ops::Range<usize>| {
            let letters: Vec<char> = middle.as_str().unwrap_or_default().to_uppercase().chars().collect();
            let end = range.end.min(letters.len());
            letters[range.start.min(end)..end].iter().collect::<String>()
        };
        match op.name() {
            "in" | "not_in" => condition(name, op.name(), json!([first, some(kind)])),
            "between" => condition(name, op.name(), json!([first, middle])),
            "contains" if kind.is_text() => condition(name, "contains", part(1..4)),
            "starts_with" => condition(name, "starts_with", part(0..3)),
            "is_null" => condition(name, "is_null", last.is_null()),
            op => condition(name, op, middle.clone()),
        }
    });
    let mut filters: Vec<Value> = ops.collect();
    filters.push(condition(name, "is_null", true));
    filters.push(json!({ "not": condition(name, "eq", middle.clone()) }));
    filters
}

/// As a list sorts: without a value last.
fn compare(kind: FieldKind, a: &Value, b: &Value) -> Ordering {
    match (kind.read(a), kind.read(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap(),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// All records of a list, those it leaves out included.
async fn whole(client: &Client, list: &List) -> Vec<Value> {
    let hiding = list.columns.iter().filter(|column| column.hides && column.kind == FieldKind::Bool);
    let either: Vec<_> = hiding.map(|column| condition(column.name, "in", json!([true, false]))).collect();
    let path = filtered(&format!("/v1/{}?limit=200", list.path), &json!({ "all": either }));
    client.read(&path).await["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_field_of_every_list_takes_every_op() {
    let server = Server::start().await;
    let client = &server.admin;
    let all = everything(&server, client, "Word").await;
    client.run(&format!("/v1/companies/{}/archive", all["companies"][1]), json!({})).await;
    client.run(&format!("/v1/teams/{}/archive", all["teams"][1]), json!({})).await;
    server.settle().await;
    let lists = lists();
    assert_eq!(lists.len(), 50, "every list of the catalogue");
    let mut asked = Vec::new();
    for list in &lists {
        let records = whole(client, list).await;
        assert!(!records.is_empty(), "{} has something to find", list.path);
        let custom = definitions().into_iter().filter(|(key, _)| match list.custom {
            Some("ticket") => key != "seats",
            Some("entitlement") => key == "seats",
            _ => false,
        });
        let custom = custom.map(|(key, field)| (format!("custom.{key}"), field.field_type.into()));
        let fields = list.columns.iter().map(|column| (column.name.to_owned(), column.kind)).chain(custom);
        for (name, kind) in fields {
            for filter in filters(&name, kind, &records) {
                let mut expected = matching(list, &filter, &records);
                for column in list.columns.iter().filter(|column| column.hides && column.name != name) {
                    let live = records.iter().filter(|record| record[column.name] != true);
                    let live: BTreeSet<_> = live.map(|record| record["id"].as_str().unwrap().to_owned()).collect();
                    expected = expected.intersection(&live).cloned().collect();
                }
                asked.push((format!("/v1/{}/search", list.path), filter, expected));
            }
        }
    }
    assert!(asked.len() > 1200, "fields and ops are asked: {}", asked.len());
    let mut found = 0;
    let mut answers = stream::iter(asked)
        .map(|(path, filter, expected)| async move {
            let reply = client.post(&path, json!({ "filter": filter, "limit": 200 })).await;
            assert_eq!(reply.status, StatusCode::OK, "{path} {filter}: {}", reply.text);
            let ids: BTreeSet<_> = texts(&reply.json(), "id").into_iter().collect();
            assert_eq!(ids, expected, "{path} {filter}");
            ids.len()
        })
        .buffer_unordered(16);
    while let Some(count) = answers.next().await {
        found += count;
    }
    assert!(found > 1000, "they do not match nothing: {found}");
}

#[tokio::test]
async fn every_list_is_sorted_by_every_field_and_read_to_its_end() {
    let server = Server::start().await;
    let client = &server.admin;
    everything(&server, client, "Word").await;
    for list in lists() {
        let usual = client.read(&format!("/v1/{}?limit=200&count=exact", list.path)).await;
        let all: BTreeSet<_> = texts(&usual, "id").into_iter().collect();
        assert_eq!(usual["total"], all.len(), "{}", list.path);
        assert_eq!(usual["next"], Value::Null, "{}", list.path);
        let paged: Vec<_> = pages(client, &format!("/v1/{}?limit=1", list.path)).await;
        let paged: Vec<_> = paged.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(paged, texts(&usual, "id"), "{} record by record", list.path);
        let sortable = list.columns.iter().filter(|column| column.sortable);
        let orders = sortable.flat_map(|column| [(column, false), (column, true)]);
        let mut answers = stream::iter(orders)
            .map(|(column, descending)| {
                let path =
                    format!("/v1/{}?limit=2&sort={}{}", list.path, if descending { "-" } else { "" }, column.name);
                let all = &all;
                async move {
                    let records = pages(client, &path).await;
                    let ids: BTreeSet<_> =
                        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
                    assert_eq!((&ids, records.len()), (all, all.len()), "{path}: each once");
                    if column.kind == FieldKind::Text {
                        // In the order of the alphabet, which the database knows: page by page as at once.
                        let whole = client.read(&path.replace("limit=2", "limit=200")).await;
                        let ids: Vec<_> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
                        assert_eq!(ids, texts(&whole, "id"), "{path}");
                        return;
                    }
                    for pair in records.windows(2) {
                        let value = |record: usize| Lookup::value(&pair[record], column.name).unwrap_or(&Value::Null);
                        let mut order = compare(column.kind, value(0), value(1));
                        if descending {
                            order = order.reverse();
                        }
                        assert_ne!(order, Ordering::Greater, "{path}: {} before {}", value(0), value(1));
                        let tie = order == Ordering::Equal;
                        assert!(!tie || pair[0]["id"].as_str() <= pair[1]["id"].as_str(), "{path}: ties by id");
                    }
                }
            })
            .buffer_unordered(8);
        while let Some(()) = answers.next().await {}
    }
}

#[tokio::test]
async fn the_most_urgent_and_then_the_oldest_tickets_come_first() {
    let server = Server::start().await;
    let client = &server.admin;
    for (title, priority, at) in [
        ("low, new", 0, "2026-01-04T00:00:00Z"),
        ("urgent, new", 3, "2026-01-03T00:00:00Z"),
        ("low, old", 0, "2026-01-01T00:00:00Z"),
        ("urgent, old", 3, "2026-01-02T00:00:00Z"),
        ("high", 2, "2026-01-05T00:00:00Z"),
    ] {
        let then = client.header("deskfold-occurred-at", at);
        then.create("/v1/tickets", json!({ "title": title, "priority": priority })).await;
    }
    server.settle().await;
    let expected = ["urgent, old", "urgent, new", "high", "low, old", "low, new"];
    assert_eq!(texts(&client.read("/v1/tickets").await, "title"), expected);
    let page = pages(client, "/v1/tickets?limit=2").await;
    assert_eq!(page.iter().map(|ticket| ticket["title"].clone()).collect::<Vec<_>>(), expected);
    let by_age = client.read("/v1/tickets?sort=opened_at").await;
    assert_eq!(texts(&by_age, "title"), ["low, old", "urgent, old", "urgent, new", "low, new", "high"]);
    let mixed = client.read("/v1/tickets?sort=priority,-opened_at").await;
    assert_eq!(texts(&mixed, "title"), ["low, new", "low, old", "high", "urgent, new", "urgent, old"]);
    let moved = client.read("/v1/tickets?limit=1&sort=-number").await;
    let id = moved["data"][0]["id"].as_str().unwrap();
    client.run(&format!("/v1/tickets/{id}/change_priority"), json!({ "priority": 3 })).await;
    server.settle().await;
    assert_eq!(texts(&client.read("/v1/tickets").await, "title")[2], "high", "a change moves it up");
}

#[tokio::test]
async fn next_leads_on_with_the_same_filter_and_order() {
    let server = Server::start().await;
    let client = &server.admin;
    for number in 0..9 {
        client.create("/v1/tickets", json!({ "title": format!("Ticket & {number}"), "priority": number % 3 })).await;
    }
    server.settle().await;
    let filter = condition("title", "contains", "t & ");
    let path = filtered("/v1/tickets?limit=2&sort=-priority,title&count=exact", &condition("priority", "gte", 1));
    let (mut titles, mut next, mut count) = (Vec::new(), Some(path), 0);
    while let Some(path) = next {
        let page = client.read(&path).await;
        assert_eq!(page["total"], 6, "counted on every page: {path}");
        titles.extend(texts(&page, "title"));
        next = page["next"].as_str().map(ToOwned::to_owned);
        count += 1;
    }
    assert_eq!(count, 3);
    assert_eq!(titles, ["Ticket & 2", "Ticket & 5", "Ticket & 8", "Ticket & 1", "Ticket & 4", "Ticket & 7"]);

    // A search is the same with its parts in the body, and `next` the cursor alone.
    let mut body = json!({ "filter": filter, "limit": 4, "sort": "number", "count": "estimate" });
    let mut numbers = Vec::new();
    loop {
        let page = client.post("/v1/tickets/search", body.clone()).await.expect(StatusCode::OK);
        assert!(page["total"].is_number());
        numbers.extend(each(&page, "number"));
        match page["next"].as_str() {
            Some(cursor) => body["after"] = json!(cursor),
            None => break,
        }
    }
    assert_eq!(numbers, (1..=9).map(|number| json!(number)).collect::<Vec<_>>());

    // A page stays what it is while others write before it.
    let first = client.read("/v1/tickets?limit=5").await;
    client.create("/v1/tickets", json!({ "title": "Urgent", "priority": 3 })).await;
    server.settle().await;
    let second = client.read(first["next"].as_str().unwrap()).await;
    let seen: BTreeSet<_> = texts(&first, "id").into_iter().chain(texts(&second, "id")).collect();
    assert_eq!(seen.len(), 9, "none twice and none left out");

    // A cursor is good for its own list, filter and order only.
    let cursor = first["next"].as_str().unwrap().split("after=").nth(1).unwrap().to_owned();
    for path in [
        format!("/v1/tickets?after={cursor}&sort=number"),
        filtered(&format!("/v1/tickets?after={cursor}"), &condition("priority", "eq", 1)),
        format!("/v1/contacts?after={cursor}"),
    ] {
        let problem = client.get(&path).await.problem(422, "cursor_mismatch");
        assert_eq!(problem["errors"][0]["pointer"], "/after");
    }
    for cursor in ["x", "%00", "AAAA"] {
        client.get(&format!("/v1/tickets?after={cursor}")).await.problem(422, "cursor_invalid");
    }
}

#[tokio::test]
async fn what_a_list_does_not_know_is_an_error_that_names_it() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "seats", "number", json!({})).await;
    for list in lists() {
        let problem = client
            .get(&filtered(&format!("/v1/{}", list.path), &condition("colour", "eq", 1)))
            .await
            .problem(422, "filter_field_unknown");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("colour") && list.columns.iter().all(|column| detail.contains(column.name)),
            "{detail}"
        );
        assert_eq!(problem["errors"][0]["pointer"], "/filter/field");
        let problem = client
            .get(&filtered(&format!("/v1/{}", list.path), &condition("id", "like", 1)))
            .await
            .problem(422, "filter_op_unknown");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("like") && detail.contains("not_in"), "{detail}");
        let problem = client.get(&format!("/v1/{}?sort=-colour", list.path)).await.problem(422, "sort_field_unknown");
        assert!(problem["detail"].as_str().unwrap().contains("colour"));
        client.get(&format!("/v1/{}?colour=red", list.path)).await.problem(422, "parameter_invalid");
        client.post(&format!("/v1/{}/search", list.path), json!({ "colour": 1 })).await.problem(422, "body_invalid");
        for limit in [0, 201] {
            client.get(&format!("/v1/{}?limit={limit}", list.path)).await.problem(422, "limit_invalid");
        }
    }
    for (filter, code, pointer, named) in [
        (condition("priority", "contains", 1), "filter_op_unknown", "/filter/op", "gte"),
        (condition("priority", "gte", "high"), "filter_value_invalid", "/filter/value", "whole number"),
        (condition("custom.size", "eq", 1), "filter_field_unknown", "/filter/field", "custom.seats"),
        (condition("custom.seats", "starts_with", "1"), "filter_op_unknown", "/filter/op", "custom.seats"),
        (condition("opened_at", "lt", "yesterday"), "filter_value_invalid", "/filter/value", "RFC 3339"),
        (
            condition("opened_at", "between", json!(["2026-01-01T00:00:00Z"])),
            "filter_value_invalid",
            "/filter/value",
            "",
        ),
        (condition("requester_id", "eq", "me"), "filter_value_invalid", "/filter/value", "ULID"),
        (condition("status", "in", "open"), "filter_value_invalid", "/filter/value", "list"),
        (
            json!({ "all": [{ "any": [condition("x", "eq", 1)] }] }),
            "filter_field_unknown",
            "/filter/all/0/any/0/field",
            "x",
        ),
        (json!({ "every": [] }), "filter_malformed", "/filter", "every"),
        (json!([]), "filter_malformed", "/filter", "all"),
    ] {
        let problem = client.get(&filtered("/v1/tickets", &filter)).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{filter}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{filter}: {problem}");
        let searched = client.post("/v1/tickets/search", json!({ "filter": filter })).await.problem(422, code);
        assert_eq!((&searched["errors"], &searched["detail"]), (&problem["errors"], &problem["detail"]));
    }
    let two = json!({ "all": [condition("x", "eq", 1), condition("y", "eq", 1)] });
    let problem = client.get(&filtered("/v1/tickets", &two)).await.problem(422, "filter_field_unknown");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "every fault at once");
    client.get("/v1/tickets?filter=%7Bnope").await.problem(422, "filter_malformed");
    let deep = (0..40).fold(condition("priority", "eq", 1), |filter, _| json!({ "not": filter }));
    client.get(&filtered("/v1/tickets", &deep)).await.problem(422, "filter_malformed");
}

#[tokio::test]
async fn filters_combine() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "ticket", "size", "select", json!({ "options": ["s", "m", "l"] })).await;
    field(client, "ticket", "price", "decimal", json!({})).await;
    field(client, "ticket", "due", "date", json!({})).await;
    field(client, "ticket", "paid", "bool", json!({})).await;
    field(client, "ticket", "colors", "multi_select", json!({ "options": ["red", "blue"] })).await;
    for (title, priority, tags, custom) in [
        (
            "A",
            0,
            json!([]),
            json!({ "size": "s", "price": "9.90", "due": "2026-01-01", "paid": true, "colors": ["red"] }),
        ),
        ("B", 1, json!(["vip"]), json!({ "size": "m", "price": "10.00", "due": "2026-02-01", "paid": false })),
        ("C", 2, json!(["vip", "late"]), json!({ "size": "l", "price": "100", "colors": ["red", "blue"] })),
        ("D", 3, json!(["late"]), json!({})),
    ] {
        let body = json!({ "title": title, "priority": priority, "tags": tags, "custom": custom });
        client.create("/v1/tickets", body).await;
    }
    server.settle().await;
    let cases = [
        (json!({}), "ABCD"),
        (json!({ "any": [condition("title", "eq", "A"), condition("title", "eq", "D")] }), "AD"),
        (json!({ "all": [condition("priority", "gte", 1), { "not": condition("tags", "contains", "late") }] }), "B"),
        (json!({ "not": { "any": [condition("tags", "eq", "vip"), condition("priority", "eq", 0)] } }), "D"),
        (json!({ "any": [] }), ""),
        (json!({ "all": [] }), "ABCD"),
        (condition("custom.size", "in", json!(["s", "m"])), "AB"),
        (condition("custom.size", "not_in", json!(["s", "m"])), "CD"),
        (condition("custom.size", "ne", "s"), "BCD"),
        (condition("custom.price", "gt", "9.95"), "BC"),
        (condition("custom.price", "eq", "10"), "B"),
        (condition("custom.price", "between", json!(["9.9", 10])), "AB"),
        (condition("custom.due", "lt", "2026-02-01"), "A"),
        (condition("custom.paid", "eq", false), "B"),
        (condition("custom.paid", "is_null", true), "CD"),
        (condition("custom.colors", "contains", "blue"), "C"),
        (condition("custom.colors", "in", json!(["red"])), "AC"),
        (condition("custom.colors", "is_null", true), "BD"),
        (condition("tags", "in", json!(["vip", "late"])), "BCD"),
        (condition("tags", "is_null", true), "A"),
        (condition("status", "in", json!([])), ""),
    ];
    for (filter, expected) in cases {
        let found = client.read(&filtered("/v1/tickets?sort=title", &filter)).await;
        assert_eq!(texts(&found, "title").concat(), expected, "{filter}");
    }
    let odd = "50% of_it \\ 'quoted' \"twice\" ünïcode";
    client.create("/v1/tickets", json!({ "title": odd })).await;
    server.settle().await;
    for (part, finds) in [
        ("50%", true),
        ("0% OF_IT", true),
        ("_it \\ '", true),
        ("\"TWICE\" ÜN", true),
        ("50x", false),
        ("of it", false),
    ] {
        let found = client.read(&filtered("/v1/tickets", &condition("title", "contains", part))).await;
        let expected = if finds { vec![odd.to_owned()] } else { vec![] };
        assert_eq!(texts(&found, "title"), expected, "{part} stands for itself");
    }
}

#[tokio::test]
async fn archived_records_are_left_out_unless_asked_for() {
    let server = Server::start().await;
    let client = &server.admin;
    for (path, body) in [
        ("/v1/contacts", json!({ "name": "Ada" })),
        ("/v1/companies", json!({ "name": "Rossi" })),
        ("/v1/products", json!({ "name": "Hosting" })),
        ("/v1/teams", json!({ "name": "One" })),
    ] {
        let gone = client.create(path, body).await;
        let mut other = json!({ "name": "Another" });
        if path == "/v1/contacts" {
            other["email"] = json!("b@example.com");
        }
        let stays = client.create(path, other).await;
        client.run(&format!("{path}/{gone}/archive"), json!({})).await;
        server.settle().await;
        assert_eq!(texts(&client.read(path).await, "id"), [&*stays], "{path}");
        assert_eq!(client.read(&format!("{path}?count=exact")).await["total"], 1);
        let archived = filtered(path, &condition("archived", "eq", true));
        assert_eq!(texts(&client.read(&archived).await, "id"), [&*gone], "{path}");
        let named = filtered(path, &condition("name", "is_null", false));
        assert_eq!(
            texts(&client.read(&named).await, "id"),
            [&*stays],
            "a filter by something else leaves them out too"
        );
        let both =
            filtered(path, &json!({ "any": [condition("archived", "eq", true), condition("archived", "eq", false)] }));
        assert_eq!(client.read(&both).await["data"].as_array().unwrap().len(), 2);
        assert_eq!(client.read(&format!("{path}/{gone}")).await["archived"], true, "it can still be read by itself");
        client.run(&format!("{path}/{gone}/restore"), json!({})).await;
        server.settle().await;
        assert_eq!(client.read(path).await["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_list_tells_which_position_it_reflects() {
    let server = Server::start().await;
    let client = &server.admin;
    ticket(client, "x").await;
    contact(client, "Ada").await;
    server.settle().await;
    let head = client.read("/v1/events").await["position"].clone();
    for list in lists() {
        let reply = client.get(&format!("/v1/{}", list.path)).await;
        let page = reply.expect(StatusCode::OK);
        assert_eq!(page["position"], head, "{}", list.path);
        assert_eq!(reply.header("deskfold-position"), head.to_string(), "{}", list.path);
        let ids: Vec<Id> = texts(&page, "id").iter().map(|id| id.parse().unwrap()).collect();
        assert_eq!(ids.len(), page["data"].as_array().unwrap().len());
    }
    let since = client.read("/v1/tickets").await["data"][0]["opened_at"].clone();
    let filter = condition("opened_at", "eq", since.clone());
    assert_eq!(client.read(&filtered("/v1/tickets", &filter)).await["data"].as_array().unwrap().len(), 1);
    let micros = format!("{:.6}", instant(&since));
    let same = format!("/v1/tickets?filter={}", encoded(&condition("opened_at", "eq", micros).to_string()));
    assert_eq!(client.read(&same).await["data"].as_array().unwrap().len(), 1, "to the microsecond");
}
