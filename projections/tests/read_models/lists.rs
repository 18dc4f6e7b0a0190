//! Filters, orders, pages and cursors, on random rows.

use std::{cmp::Ordering, collections::BTreeSet};

use domain::{
    Id, catalogue,
    kernel::{
        custom::{Definition, Definitions, FieldType},
        filter::{FieldKind, Fields as _, Filter, Scalar},
        listing::NAMELESS,
    },
    work::automation::{CustomTypes, Vocabulary},
};
use projections::{
    Column, Count, List, ListError, ListRequest, Listed, Sort,
    chat::conversations::Conversations,
    columns_of,
    desk::ticket_list::{self, TicketList},
    explain, get, list,
    sales::orders::Orders,
    work::tasks::Tasks,
};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::world::{World, id, random};

const TITLES: &[&str] = &[
    "",
    "Printer",
    "printer on fire",
    " PRINTER\u{a0}",
    "100% _sure_",
    r"back\slash",
    "Ünïcode ÄÖ",
    "unicode ao",
    "ЁЖИК",
    "ежик",
    "Σίσυφος",
    "İstanbul",
    "Straße",
    "STRASSE",
    "Łódź",
    "+380 (67) 123-45-67",
];
const TAGS: &[&str] = &["vip", "VIP ", "new", "a b", "Ä", "A"];

fn definitions() -> Definitions {
    let field = |field_type| Definition {
        field_type,
        label: String::new(),
        options: vec![],
        target: None,
        required: false,
        personal: false,
        retired: false,
    };
    [
        ("words", FieldType::Text),
        ("mail", FieldType::Email),
        ("phone", FieldType::Phone),
        ("choice", FieldType::Select),
        ("size", FieldType::Number),
        ("price", FieldType::Decimal),
        ("due", FieldType::Date),
        ("seen", FieldType::Datetime),
        ("paid", FieldType::Bool),
        ("colours", FieldType::MultiSelect),
    ]
    .map(|(key, field_type)| (key.to_owned(), field(field_type)))
    .into()
}

/// A value of a kind, from few enough that rows share them.
fn value(kind: FieldKind, random: &mut StdRng) -> Value {
    let day = random.random_range(1..=4);
    match kind {
        kind if kind.is_text() => json!(TITLES.choose(random)),
        FieldKind::Integer => json!(random.random_range(-1..4)),
        FieldKind::Decimal => json!(["0.5", "0.50", "1", "-12.25", "3.1"].choose(random)),
        FieldKind::Bool => json!(random.random_bool(0.5)),
        FieldKind::Time => json!(format!("2026-01-0{day}T10:00:00.00000{}Z", random.random_range(0..2))),
        FieldKind::Date => json!(format!("2026-01-0{day}")),
        FieldKind::Id => json!(id(random.random_range(1..5))),
        _ => json!(TAGS.choose(random)),
    }
}

fn maybe(random: &mut StdRng, make: impl FnOnce(&mut StdRng) -> Value) -> Value {
    if random.random_bool(0.3) { Value::Null } else { make(random) }
}

/// A random ticket, whose `id` stands beside its row.
fn ticket(number: u64, random: &mut StdRng) -> Value {
    let status = |random: &mut StdRng| json!(["open", "resolved", "closed"].choose(random));
    let mut row = Map::new();
    for column in <TicketList as Listed>::COLUMNS.iter().filter(|column| column.names.is_none()) {
        let made = match column.name {
            "id" => json!(id(number)),
            "number" => json!(number),
            "status" => status(random),
            // What is merged is left out of lists; that has tests of its own.
            "merged_into" => Value::Null,
            "stage_means" => json!(["open", "waiting", "resolved", "closed"].choose(random)),
            "requester_kind" => maybe(random, |random| json!(["contact", "user"].choose(random))),
            "priority" | "reopened_count" | "message_count" => json!(random.random_range(0..4)),
            "rating" => maybe(random, |random| json!(random.random_range(1..=5))),
            "tags" => {
                let tags: BTreeSet<_> = TAGS.iter().filter(|_| random.random_bool(0.3)).collect();
                json!(tags)
            }
            _ if column.nullable => maybe(random, |random| value(column.kind, random)),
            _ => value(column.kind, random),
        };
        row.insert(column.name.to_owned(), made);
    }
    let mut custom = Map::new();
    for (key, definition) in definitions() {
        let kind = FieldKind::from(definition.field_type);
        if random.random_bool(0.7) {
            let one = value(kind, random);
            custom.insert(key, if kind.is_set() { json!([one]) } else { one });
        }
    }
    row.insert("custom".into(), custom.into());
    row.insert("status_before_merge".into(), Value::Null);
    row.insert("parts".into(), json!({}));
    // Through the row's own type: what it cannot hold is no row.
    let checked: ticket_list::Row = serde_json::from_value(row.clone().into()).unwrap();
    let mut row = serde_json::to_value(checked).unwrap();
    row["id"] = json!(id(number));
    row
}

pub(crate) async fn insert(pool: &PgPool, tenant: Id, rows: &[Value]) {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row["tenant_id"] = json!(tenant);
            row["version"] = json!(0);
            row["position"] = json!(1);
            row
        })
        .collect();
    for statement in [
        "insert into read_ticket_list select * from json_populate_recordset(null::read_ticket_list, $1::text::json)",
        "insert into read_ticket_updated select * from json_populate_recordset(null::read_ticket_updated, $1::text::json)",
    ] {
        sqlx::query(statement).bind(serde_json::to_string(&rows).unwrap()).execute(pool).await.unwrap();
    }
}

/// The table that the migration of the current version made.
async fn tickets(world: &World, count: u64, seed: u64) -> Vec<Value> {
    let mut random = random(seed);
    let rows: Vec<Value> = (0..count).map(|number| ticket(number, &mut random)).collect();
    insert(&world.database.pool, world.tenant, &rows).await;
    // Somebody else's rows must never show.
    let strangers: Vec<Value> = (0..20).map(|number| ticket(number, &mut random)).collect();
    insert(&world.database.pool, id(2), &strangers).await;
    rows
}

fn ids(rows: &[impl AsRef<str>]) -> Vec<String> {
    rows.iter()
        .map(|row| serde_json::from_str::<Value>(row.as_ref()).unwrap()["id"].as_str().unwrap().to_owned())
        .collect()
}

/// All pages, one after the other.
async fn all(world: &World, request: &ListRequest) -> Vec<String> {
    let mut request = request.clone();
    let mut found = Vec::new();
    loop {
        let page = list(List::of::<TicketList>(), &world.database.pool, world.tenant, &request).await.unwrap();
        assert!(page.data.len() <= request.limit as usize);
        found.extend(ids(&page.data.iter().map(|row| row.get()).collect::<Vec<_>>()));
        match page.next {
            Some(next) => {
                assert_eq!(page.data.len(), request.limit as usize, "only the last page is short");
                request.after = Some(next);
            }
            None => return found,
        }
    }
}

/// A random condition, or several.
fn filter(depth: u32, random: &mut StdRng) -> Value {
    match random.random_range(0..8) {
        0 if depth > 0 => json!({ "all": [filter(depth - 1, random), filter(depth - 1, random)] }),
        1 if depth > 0 => json!({ "any": [filter(depth - 1, random), filter(depth - 1, random)] }),
        2 if depth > 0 => json!({ "not": filter(depth - 1, random) }),
        _ => {
            let definitions = definitions();
            let mut fields: Vec<(String, FieldKind)> =
                <TicketList as Listed>::COLUMNS.iter().map(|column| (column.name.to_owned(), column.kind)).collect();
            // As likely as all columns together.
            for _ in 0..4 {
                fields
                    .extend(definitions.iter().map(|(key, field)| (format!("custom.{key}"), field.field_type.into())));
            }
            let (field, kind) = fields.choose(random).unwrap().clone();
            condition(&field, kind, random)
        }
    }
}

fn condition(field: &str, kind: FieldKind, random: &mut StdRng) -> Value {
    let op = kind.ops().choose(random).unwrap().name();
    let value = match op {
        "in" | "not_in" => (0..random.random_range(0..4)).map(|_| value(kind, random)).collect(),
        "between" => json!([value(kind, random), value(kind, random)]),
        "is_null" => json!(random.random_bool(0.5)),
        "contains" | "starts_with" if kind.is_text() => {
            json!(
                ["", "PRINT", "%", "_", r"\", "ä", "ёж", "ΣΊΣΥΦΟΣ", "i̇", "100% _", "lod", "strass", "67 1"]
                    .choose(random)
            )
        }
        _ => value(kind, random),
    };
    json!({ "field": field, "op": op, "value": value })
}

#[tokio::test]
async fn every_filter_in_sql_gives_what_it_gives_in_memory() {
    let world = World::at_work().await;
    let rows = tickets(&world, 150, 1).await;
    let mut random = random(2);
    let definitions = definitions();
    let mut ops: BTreeSet<String> = BTreeSet::new();
    let (mut some, mut none, mut every) = (0, 0, 0);
    let mut check = async |filter: &Value| {
        let parsed = Filter::parse(filter, &columns_of(List::of::<TicketList>(), &definitions, None)).unwrap();
        let expected: BTreeSet<String> =
            rows.iter().filter(|row| parsed.matches(*row)).map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        match expected.len() {
            0 => none += 1,
            150 => every += 1,
            _ => some += 1,
        }
        let request = ListRequest { filter: parsed, limit: 200, count: Count::Exact, ..ListRequest::default() };
        let page = list(List::of::<TicketList>(), &world.database.pool, world.tenant, &request).await.unwrap();
        let found = ids(&page.data.iter().map(|row| row.get()).collect::<Vec<_>>());
        assert_eq!(found.len() as i64, page.total.unwrap());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{filter}");
    };
    // Every op of every field, then combinations.
    let fields: Vec<(String, FieldKind)> = <TicketList as Listed>::COLUMNS
        .iter()
        .map(|column| (column.name.to_owned(), column.kind))
        .chain(definitions.iter().map(|(key, field)| (format!("custom.{key}"), field.field_type.into())))
        .collect();
    for (field, kind) in &fields {
        let mut seen = BTreeSet::new();
        while seen.len() < kind.ops().len() {
            let condition = condition(field, *kind, &mut random);
            let op = condition["op"].as_str().unwrap().to_owned();
            if seen.insert(op.clone()) {
                check(&condition).await;
                check(&json!({ "not": condition })).await;
                ops.insert(op);
            }
        }
    }
    for _ in 0..400 {
        check(&filter(3, &mut random)).await;
    }
    assert_eq!(ops.len(), 13, "{ops:?}");
    assert!(
        some > 300 && none > 20 && every > 20,
        "the filters tell rows apart: {some} some, {none} none, {every} every"
    );
}

/// The order of two rows, computed without the database but for the alphabet: `titles` are in its order.
fn order(sort: &[Sort], titles: &[String], a: &Value, b: &Value) -> Ordering {
    let place = |text: &Value| text.as_str().and_then(|text| titles.iter().position(|title| title == text));
    for Sort { column, descending } in sort.iter().chain([&Sort::ascending("id")]) {
        let kind = <TicketList as Listed>::COLUMNS.iter().find(|known| known.name == *column).unwrap().kind;
        let in_order = |value: &Value| match kind {
            FieldKind::Text => place(value).map(|place| Scalar::Integer(place as i64)),
            kind => kind.read(value),
        };
        let (a, b) = (in_order(&a[*column]), in_order(&b[*column]));
        let order = match (&a, &b) {
            (None, None) => Ordering::Equal,
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
            (Some(a), Some(b)) => a.partial_cmp(b).unwrap(),
        };
        let order = if *descending { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// A filter copied from a list into a rule means the same: the columns of a list and the fields that rules ask about are of
/// the same kinds where they have the same names.
#[test]
fn lists_and_rules_know_the_same_kinds_of_fields() {
    let (mut strange, mut same) = (Vec::new(), 0);
    for list in projections::lists() {
        let Some(event) = catalogue::kind(list.read).and_then(|kind| kind.events.keys().next()) else { continue };
        let trigger = format!("{}.{event}", list.read);
        let vocabulary = Vocabulary::of(&trigger, CustomTypes::new()).unwrap();
        for column in list.columns {
            let field = format!("{}.{}", list.read, column.name);
            match vocabulary.kind(&field) {
                Some(kind) if kind == column.kind => same += 1,
                Some(kind) => strange.push(format!("{field}: {:?} in the list, {kind:?} in rules", column.kind)),
                None => {}
            }
        }
    }
    assert!(strange.is_empty(), "{strange:#?}");
    assert!(same > 60, "{same} fields");
}

#[tokio::test]
async fn pages_cover_every_row_once_in_any_order() {
    let world = World::at_work().await;
    let mut rows = tickets(&world, 120, 3).await;
    let mut random = random(4);
    let titles: Vec<String> =
        sqlx::query_scalar("select title from unnest($1::text[]) title order by title collate \"und-x-icu\"")
            .bind(TITLES)
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    let sortable: Vec<&Column> = <TicketList as Listed>::COLUMNS.iter().filter(|column| column.sortable).collect();
    for turn in 0..60 {
        let sort: Vec<Sort> = if turn == 0 {
            vec![]
        } else {
            let text = (0..random.random_range(1..=3))
                .map(|_| {
                    format!(
                        "{}{}",
                        if random.random_bool(0.5) { "-" } else { "" },
                        sortable.choose(&mut random).unwrap().name
                    )
                })
                .collect::<Vec<_>>()
                .join(",");
            ListRequest::parse(List::of::<TicketList>(), None, Some(&text), &definitions(), None).unwrap().sort
        };
        let filter = if turn % 3 == 0 { json!({ "field": "priority", "op": "ne", "value": 1 }) } else { json!({}) };
        let filter = Filter::parse(&filter, &columns_of(List::of::<TicketList>(), &definitions(), None)).unwrap();
        let effective = if sort.is_empty() { <TicketList as Listed>::DEFAULT_SORT } else { &sort };
        rows.sort_by(|a, b| order(effective, &titles, a, b));
        let expected: Vec<_> =
            rows.iter().filter(|row| filter.matches(*row)).map(|row| row["id"].as_str().unwrap()).collect();
        let request =
            ListRequest { filter, sort: sort.clone(), limit: random.random_range(1..40), ..ListRequest::default() };
        assert_eq!(all(&world, &request).await, expected, "{sort:?}");
    }
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_only() {
    let world = World::at_work().await;
    tickets(&world, 10, 5).await;
    let list =
        async |request: ListRequest| list(List::of::<TicketList>(), &world.database.pool, world.tenant, &request).await;
    let first = list(ListRequest { limit: 3, ..ListRequest::default() }).await.unwrap();
    let after = first.next;
    assert!(after.is_some());
    let code = async |request: ListRequest| match list(request).await {
        Err(ListError::Cursor(error)) => (error.pointer, error.code.into_owned()),
        other => panic!("{other:?}"),
    };
    let mismatch = ("/after".to_owned(), "cursor_mismatch".to_owned());
    let sort = vec![Sort::ascending("title")];
    assert_eq!(code(ListRequest { after: after.clone(), sort, ..ListRequest::default() }).await, mismatch);
    let filter = json!({ "field": "priority", "op": "gt", "value": 0 });
    let filter = Filter::parse(&filter, &columns_of(List::of::<TicketList>(), &definitions(), None)).unwrap();
    assert_eq!(code(ListRequest { after: after.clone(), filter, ..ListRequest::default() }).await, mismatch);
    let invalid = ("/after".to_owned(), "cursor_invalid".to_owned());
    assert_eq!(code(ListRequest { after: Some("hello".into()), ..ListRequest::default() }).await, invalid);
    // Another page size is the same list.
    assert_eq!(list(ListRequest { after, limit: 50, ..ListRequest::default() }).await.unwrap().data.len(), 7);
}

#[tokio::test]
async fn what_cannot_be_sorted_or_filtered_by_is_named() {
    let parse = |filter: Option<&Value>, sort: Option<&str>| {
        let errors = ListRequest::parse(List::of::<TicketList>(), filter, sort, &definitions(), None).unwrap_err();
        errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect::<Vec<_>>()
    };
    let filter = json!({ "any": [{ "field": "custom.colour", "op": "eq", "value": 1 }] });
    let found = parse(Some(&filter), Some("-opened_at,tags"));
    let expected = [("/filter/any/0/field", "filter_field_unknown"), ("/sort", "sort_field_unknown")];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn a_deep_page_of_a_product_is_a_range_of_an_index() {
    let world = World::at_work().await;
    let pool = &world.database.pool;
    let template = ticket(0, &mut random(6));
    insert(pool, world.tenant, &[template]).await;
    let columns = [
        ("number", "n"),
        ("priority", "n % 4"),
        ("product_id", "lpad((n % 7)::text, 26, '0')"),
        ("status", "(array['open', 'resolved', 'closed'])[1 + n % 3]"),
        ("opened_at", "timestamptz '2026-01-01' + n * interval '1 minute'"),
        ("updated_at", "timestamptz '2026-01-01' + n * interval '1 minute'"),
    ];
    let product = format!("{:026}", 3);
    let filters = [
        (json!({ "field": "product_id", "op": "eq", "value": product }), "product_id"),
        (json!({ "field": "status", "op": "eq", "value": "open" }), "status"),
        (json!({}), "priority"),
    ];
    every_page_is_a_range::<TicketList>(&world, &columns, &filters).await;

    // The order of the last change, which has a table of its own.
    let fill =
        "insert into read_ticket_updated select tenant_id, id, updated_at from read_ticket_list on conflict do nothing";
    sqlx::query(fill).execute(pool).await.unwrap();
    sqlx::query("analyze read_ticket_updated_v3").execute(pool).await.unwrap();
    let field = |field: &str, op: &str, value: Value| json!({ "field": field, "op": op, "value": value });
    let recent = field("updated_at", "gte", json!("2026-01-10T00:00:00Z"));
    let open = json!({ "all": [recent.clone(), field("status", "eq", json!("open"))] });
    for filter in [json!({}), recent, open] {
        for sort in ["updated_at", "-updated_at,-id"] {
            let request =
                ListRequest::parse(List::of::<TicketList>(), Some(&filter), Some(sort), &definitions(), None).unwrap();
            thirty_pages_are_ranges::<TicketList>(
                &world,
                request,
                "read_ticket_updated_v3_tenant_id_updated_at_id_idx",
            )
            .await;
        }
    }
}

/// Makes 40,000 rows of the one there is, and turns page after page of each filter: found by the index on these columns,
/// in its order.
async fn every_page_is_a_range<M: Listed>(world: &World, columns: &[(&str, &str)], filters: &[(Value, &str)]) {
    let pool = &world.database.pool;
    let table = List::of::<M>().model.table();
    let all: Vec<String> = sqlx::query_scalar(
        "select attname::text from pg_attribute where attrelid = $1::text::regclass and attnum > 0 order by attnum",
    )
    .bind(&table)
    .fetch_all(pool)
    .await
    .unwrap();
    let made = |column: &String| match columns.iter().find(|(name, _)| name == column) {
        _ if column == "id" => "lpad(n::text, 26, '0')".to_owned(),
        Some((_, made)) => (*made).to_owned(),
        None => format!("t.{column}"),
    };
    let made: Vec<String> = all.iter().map(made).collect();
    let statement =
        format!("insert into {table} select {} from {table} t, generate_series(1, 40000) n", made.join(", "));
    sqlx::query(AssertSqlSafe(statement)).execute(pool).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("analyze {table}"))).execute(pool).await.unwrap();
    for (filter, index) in filters {
        let filter = Filter::parse(filter, &columns_of(List::of::<M>(), &definitions(), None)).unwrap();
        let request = ListRequest { filter, ..ListRequest::default() };
        thirty_pages_are_ranges::<M>(world, request, &format!("{table}_tenant_id_{index}")).await;
    }
}

async fn thirty_pages_are_ranges<M: Listed>(world: &World, mut request: ListRequest, index: &str) {
    let pool = &world.database.pool;
    for page in 0..30 {
        let next = list(List::of::<M>(), pool, world.tenant, &request).await.unwrap().next;
        let plan = explain(List::of::<M>(), pool, world.tenant, &request).await.unwrap();
        for forbidden in ["Seq Scan on read_", "Sort", "Bitmap", "Hash"] {
            assert!(!plan.contains(forbidden), "page {page}: {plan}");
        }
        assert!(plan.contains(index), "page {page}: {plan}");
        assert!(next.is_some(), "page {page} is not the last");
        request.after = next;
    }
}

#[tokio::test]
async fn deep_pages_of_orders_tasks_and_chats_are_ranges_too() {
    let world = World::at_work().await;
    let models = world.models().await;
    let golden = |file: &str| {
        let path = crate::harness::root().join("domain/golden").join(file);
        let event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        (event["type"].as_str().unwrap().to_owned(), event["data"].to_string())
    };
    let mut last = 0;
    for file in ["order/placed.json", "task/created.json", "conversation/started.json"] {
        let (kind, data) = golden(file);
        let stream = format!("{}-{}", file.split('/').next().unwrap(), id(900));
        last = world.tell_raw(&stream, &kind, &data).await;
    }
    models.settle(last).await.unwrap();
    models.stop().await;
    let one_of = "lpad((n % 7)::text, 26, '0')";
    let equal = |field: &str, value: Value| json!({ "field": field, "op": "eq", "value": value });
    let third = json!(format!("{:026}", 3));
    let minutes = "timestamptz '2026-01-01' + n * interval '1 minute'";

    let columns = [
        ("customer_id", one_of),
        ("status", "(array['new', 'packed', 'sent'])[1 + n % 3]"),
        ("city", "(array['Roma', 'Bari'])[1 + n % 2]"),
        ("placed_at", minutes),
    ];
    let filters = [
        (json!({}), "placed_at"),
        (equal("customer_id", third.clone()), "customer_id"),
        (equal("status", json!("packed")), "status"),
        (equal("city", json!("roma ")), "text_typed_placed_at"),
    ];
    every_page_is_a_range::<Orders>(&world, &columns, &filters).await;

    let columns = [
        ("assignee_id", one_of),
        ("project_id", one_of),
        ("open", "n % 3 = 0"),
        ("priority", "n % 4"),
        ("due_at", "case when n % 5 > 0 then timestamptz '2026-01-01' + n * interval '1 minute' end"),
    ];
    let mine = json!({ "all": [equal("open", json!(true)), equal("assignee_id", third.clone())] });
    let filters = [
        (json!({}), "due_at"),
        (mine, "open_assignee_id"),
        (equal("assignee_id", third.clone()), "assignee_id"),
        (equal("project_id", third.clone()), "project_id"),
    ];
    every_page_is_a_range::<Tasks>(&world, &columns, &filters).await;

    let columns = [
        ("assignee_id", "case when n % 5 > 0 then lpad((n % 7)::text, 26, '0') end"),
        ("status", "(array['open', 'closed'])[1 + n % 2]"),
        ("unread", "n % 3 = 0"),
        ("unanswered", "n % 4 < 2"),
        ("active_at", minutes),
    ];
    let both = |field: &str, value: Value| json!({ "all": [equal("status", json!("open")), equal(field, value)] });
    let filters = [
        (json!({}), "active_at"),
        (equal("status", json!("open")), "status_active_at"),
        (both("assignee_id", third.clone()), "status_assignee_id"),
        (both("unanswered", json!(true)), "status_unanswered"),
        (equal("unread", json!(true)), "unread"),
        (equal("assignee_id", third), "assignee_id"),
    ];
    every_page_is_a_range::<Conversations>(&world, &columns, &filters).await;
}

#[tokio::test]
async fn every_list_is_what_its_document_says() {
    let properties =
        |schema: &Value| -> BTreeSet<String> { schema["properties"].as_object().unwrap().keys().cloned().collect() };
    let world = World::at_work().await;
    let pool = &world.database.pool;
    let listed: BTreeSet<_> = projections::lists().map(|list| list.name).collect();
    let others = ["feed", "timer", "causation", "redirects", "record_access", "facts", "search"];
    assert!(projections::names().into_iter().all(|name| listed.contains(name) != others.contains(&name)));
    for list in projections::lists() {
        let (name, columns, table) = (list.name, list.columns, list.model.table());
        let statement = format!(
            "select (select row_to_json(v) from (select {}) v)::text
             from json_populate_record(null::read_{name}, '{{\"tenant_id\": \"t\", \"id\": \"i\"}}') t
             cross join lateral (select t.*, null::jsonb as past) r {}",
            list.select, list.joins
        );
        let view = properties(&list.view_schema());
        let row = properties(&list.model.schema());
        let json: String = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap();
        let shown: Map<String, Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), view, "the view of {name}");
        let stored: Vec<(String, String, bool)> = sqlx::query_as(
            "select attname::text, format_type(atttypid, null), not attnotnull from pg_attribute
             where attrelid = $1::text::regclass and attnum > 0 order by attnum",
        )
        .bind(table)
        .fetch_all(pool)
        .await
        .unwrap();
        let kept = ["tenant_id", "id", "version", "position"];
        let own: BTreeSet<String> = stored
            .iter()
            .map(|(column, ..)| column.clone())
            .filter(|column| !kept.contains(&column.as_str()) && !INNER.contains(&column.as_str()))
            .collect();
        assert_eq!(own, row, "the table of {name}");
        for column in columns {
            if let Some(of) = column.names {
                assert!(shown.contains_key(column.name), "{name} shows {}", column.name);
                assert!(columns.iter().any(|other| other.name == of.column), "{name}.{}", of.column);
                continue;
            }
            let (root, member) = column.name.split_once('.').map_or((column.name, false), |(root, _)| (root, true));
            let (_, stored, nullable) = stored.iter().find(|(name, ..)| name == root).expect(column.name);
            if member {
                assert_eq!(stored, "jsonb", "{name}.{}", column.name);
                assert!(column.nullable || !nullable, "{name}.{}", column.name);
                continue;
            }
            let fits = match column.kind {
                FieldKind::Id => stored == "text",
                kind if kind.is_text() => stored == "text",
                FieldKind::Integer => stored == "integer" || stored == "bigint",
                FieldKind::Time => stored == "timestamp with time zone",
                FieldKind::Bool => stored == "boolean",
                FieldKind::Date => stored == "date",
                // Numbers would lose their last zeros on the way through JSON.
                FieldKind::Decimal => stored == "text",
                _ => stored == "text[]",
            };
            assert!(fits, "{name}.{} is {stored}", column.name);
            assert_eq!(column.nullable, *nullable, "{name}.{}", column.name);
        }
    }
}

/// Columns that folds alone read: no answer has them.
const INNER: &[&str] = &["parts", "status_before_merge"];

#[tokio::test]
async fn every_list_has_an_index_in_its_usual_order() {
    let world = World::at_work().await;
    // Of tenants there is one row.
    for list in projections::lists().filter(|list| list.listed && list.name != "tenants") {
        let step = |sort: &Sort| {
            let text = list.columns.iter().any(|column| column.name == sort.column && column.kind == FieldKind::Text);
            let collation = if text { " COLLATE \"und-x-icu\"" } else { "" };
            format!("{}{collation}{}", sort.column, if sort.descending { " DESC" } else { "" })
        };
        let id = list.default_sort.iter().all(|sort| sort.column != "id").then(|| "id".to_owned());
        let steps: Vec<_> = list.default_sort.iter().map(step).chain(id).collect();
        let (table, order) = (list.model.table(), format!("(tenant_id, {})", steps.join(", ")));
        // By one column the same index backwards will do: it leaves only ties to sort.
        let backwards = order.replace(" DESC, id)", ", id)");
        let found: bool = sqlx::query_scalar(
            "select exists (select from pg_indexes where tablename = $1 and indexdef like any ($2))",
        )
        .bind(&table)
        .bind([format!("%{order}"), format!("%{backwards}")])
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert!(found, "{table} has no index {order}");
    }
}

#[tokio::test]
async fn counting_is_exact_or_a_guess() {
    let world = World::at_work().await;
    tickets(&world, 150, 7).await;
    let pool = &world.database.pool;
    sqlx::query("analyze read_ticket_list_v3").execute(pool).await.unwrap();
    let total = async |count| {
        let request = ListRequest { limit: 1, count, ..ListRequest::default() };
        list(List::of::<TicketList>(), pool, world.tenant, &request).await.unwrap().total
    };
    assert_eq!(total(Count::None).await, None);
    assert_eq!(total(Count::Exact).await, Some(150));
    let guess = total(Count::Estimate).await.unwrap();
    assert!((100..=200).contains(&guess), "{guess}");
}

#[tokio::test]
async fn one_record_shows_as_in_its_list() {
    let world = World::at_work().await;
    tickets(&world, 5, 8).await;
    let pool = &world.database.pool;
    let page = list(List::of::<TicketList>(), pool, world.tenant, &ListRequest::default()).await.unwrap();
    for shown in page.data {
        let record: Value = serde_json::from_str(shown.get()).unwrap();
        let id: Id = record["id"].as_str().unwrap().parse().unwrap();
        let single = get(List::of::<TicketList>(), pool, world.tenant, id).await.unwrap().unwrap();
        assert_eq!(single.data.get(), shown.get());
        assert_eq!((single.version, single.position), (0, 1));
        assert!(get(List::of::<TicketList>(), pool, crate::world::id(3), id).await.unwrap().is_none());
    }
}

/// A word for analysts about every column of every table, taken from the code: what `before` does not say already.
fn comments(before: &str) -> String {
    let mut new = String::new();
    for model in projections::models() {
        let table = model.table();
        let said = projections::comments(model.name(), &table, &model.schema());
        if before.contains(&format!("comment on table {table} is ")) {
            // A column that every version of the table was given later is explained where it was.
            let later = |line: &str| {
                let column = line.strip_prefix(&format!("comment on column {table}."))?.strip_suffix(';')?;
                let (column, text) = column.split_once(" is ")?;
                Some(before.contains(&format!("('{}', '{column}', {text})", model.name())))
            };
            let known = |line: &str| before.contains(line) || later(line) == Some(true);
            let strange = said.lines().find(|line| !known(line));
            assert_eq!(strange, None, "{table} is explained otherwise, but it is released: raise VERSION");
        } else {
            new += &said;
        }
    }
    let head = "-- What each read model and each of its columns is, for those who come with SQL; the older ones are explained before.\n";
    if new.is_empty() { new } else { format!("{head}{new}") }
}

/// With `DESKFOLD_GOLDEN=write` in the environment the file is written: for columns that are new before their release.
#[tokio::test]
async fn every_column_is_explained() {
    let folder = crate::harness::root().join("migrations");
    let mut migrations: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    migrations.sort();
    let all: String = migrations.iter().map(|migration| std::fs::read_to_string(migration).unwrap()).collect();
    let missing = comments(&all);
    if std::env::var("DESKFOLD_GOLDEN").is_ok_and(|value| value == "write") && !missing.is_empty() {
        // A released migration never changes: what comes later is explained later.
        let newest = migrations.last().unwrap().file_name().unwrap().to_str().unwrap();
        let next = newest.split('_').next().unwrap().parse::<u64>().unwrap() + 1;
        std::fs::write(folder.join(format!("{next}_read_comments.sql")), &missing).unwrap();
    }
    assert_eq!(missing, "", "DESKFOLD_GOLDEN=write writes a migration that explains them");
    let world = World::at_work().await;
    let unexplained: Vec<String> = sqlx::query_scalar(
        "select attrelid::regclass || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid
         where c.relkind = 'v' and c.relname = any ($1) and attnum > 0 and col_description(attrelid, attnum) is null",
    )
    .bind(projections::names().iter().map(|name| format!("read_{name}")).collect::<Vec<_>>())
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(unexplained, Vec::<String>::new());
}

/// Rules ask about records by the names by which lists are filtered.
#[test]
fn the_lists_of_kinds_that_rules_see_have_the_fields_that_rules_know() {
    let mut checked = 0;
    for list in projections::lists() {
        let kind = catalogue::kind(list.read).unwrap();
        if !list.listed || kind.plural != list.path || kind.document.is_none() {
            continue;
        }
        let mut columns: Vec<_> =
            list.columns.iter().map(|column| (column.name, format!("{:?}", column.kind))).collect();
        let mut known: Vec<_> =
            catalogue::listed::fields(kind.name).map(|(name, kind)| (name, format!("{kind:?}"))).collect();
        columns.sort_unstable();
        known.sort_unstable();
        assert_eq!(columns, known, "say in domain/src/catalogue/listed.rs by what {} are filtered", list.path);
        checked += 1;
    }
    assert!(checked > 10);
}

/// The table of a described kind is made by a migration that its description writes: with `DESKFOLD_GOLDEN=write` in the
/// environment, for one that has none yet.
#[tokio::test]
async fn the_table_of_every_described_kind_is_the_one_that_its_description_makes() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let folder = crate::harness::root().join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let all: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for listing in catalogue::kinds().filter_map(|kind| kind.listing) {
        let migration = projections::migration(listing);
        let table = List::named(listing.name).unwrap().model.table();
        if !all.contains(&format!("create table {table} (")) {
            let last =
                files.last().and_then(|file| file.file_name()?.to_str()?.get(..14)?.parse::<u64>().ok()).unwrap();
            let path = folder.join(format!("{}_read_{}.sql", last + 1, listing.name));
            let writes = std::env::var("DESKFOLD_GOLDEN").is_ok_and(|value| value == "write");
            assert!(writes, "{} has no table: run this test with DESKFOLD_GOLDEN=write", listing.kind);
            std::fs::write(path, migration).unwrap();
            continue;
        }
        // Anew, beside the one that there is.
        let statements = migration.replace(&format!("{table} "), &format!("described.{table} "));
        let statements = statements.split("\ncomment on").next().unwrap();
        let statements = statements.split("\ncreate view").next().unwrap().to_owned();
        let anew = format!("create schema if not exists described;\n{statements}");
        sqlx::raw_sql(AssertSqlSafe(anew)).execute(pool).await.unwrap();
        let columns = async |table: String| -> BTreeSet<(String, String, bool)> {
            let columns: Vec<_> = sqlx::query_as(
                "select attname::text, replace(format_type(atttypid, null), 'integer', 'bigint'), attnotnull
                 from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
            )
            .bind(table)
            .fetch_all(pool)
            .await
            .unwrap();
            columns.into_iter().collect()
        };
        assert_eq!(columns(table.clone()).await, columns(format!("described.{table}")).await, "{table}");
    }
}

/// With `DESKFOLD_GOLDEN=write` in the environment the migration is written: when there is a new kind whose records have names.
#[test]
fn the_function_that_names_records_knows_every_kind_that_has_a_name() {
    let folder = crate::harness::root().join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let naming = projections::naming();
    let mut texts = files.iter().rev().map(|file| std::fs::read_to_string(file).unwrap());
    let newest = texts.find(|text| text.contains("function read_name(")).unwrap();
    if !newest.contains(&naming) {
        let writes = std::env::var("DESKFOLD_GOLDEN").is_ok_and(|value| value == "write");
        assert!(writes, "read_name does not know what it should: run this test with DESKFOLD_GOLDEN=write");
        let last = files.last().and_then(|file| file.file_name()?.to_str()?.get(..14)?.parse::<u64>().ok()).unwrap();
        let head = "-- What a record of any kind is called now, for whoever refers to records of several kinds: every kind that has names.\n";
        std::fs::write(folder.join(format!("{}_read_names.sql", last + 1)), format!("{head}{naming}")).unwrap();
    }
    assert!(naming.contains("when 'ticket' then (select r.title from read_ticket_list r where"), "{naming}");
}

/// What refers to a record tells its name, unless records of its kind have none.
#[test]
fn every_kind_has_a_name_or_a_title_or_is_known_to_have_none() {
    for kind in catalogue::kinds() {
        let list = projections::lists().find(|list| list.lists(kind.name));
        // The name in an order is that of whoever ordered.
        let named = list.is_some_and(|list| list.title().is_some()) && kind.name != "order";
        assert_ne!(named, NAMELESS.contains(&kind.name), "{}: see domain/src/kernel/listing.rs", kind.name);
    }
}
