//! Data of real people: names in every spelling, phone numbers, e-mail addresses, money, countries and languages.

use deskfold_tests::{Client, Server, database};
use domain::kernel::{phone, text};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::{order, rule, task, tasks},
    world::{condition, contact, each, field, filtered, pages, party, texts, user},
};

async fn setting(client: &Client, key: &str, value: Value) {
    client.run("/v1/tenants/current/change_setting", json!({ "key": key, "value": value })).await;
}

/// The names in a list that a filter leaves.
async fn named(client: &Client, path: &str, filter: &Value) -> Vec<String> {
    texts(&client.read(&filtered(path, filter)).await, "name")
}

async fn person(client: &Client, name: &str, more: Value) -> String {
    let mut body = json!({ "name": name });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.create("/v1/contacts", body).await
}

#[tokio::test]
async fn one_number_in_two_spellings_is_one_contact_and_found_by_any() {
    let server = Server::start().await;
    let client = &server.admin;
    setting(client, "default_country", json!("UA")).await;
    let first = person(client, "Olena", json!({ "phone": "+380 (67) 123-45-67" })).await;
    for spelling in [
        "380671234567",
        "067 123-45-67",
        "00380671234567",
        "+380 67 123 45 67",
        "+380 (0)67 123 45 67",
        "０６７ １２３ ４５ ６７",
        "+380\u{a0}67\u{a0}123\u{2011}45\u{2011}67",
        "067 123-45-67 ext. 9",
    ] {
        let body = json!({ "name": "Olena again", "phone": spelling });
        let problem = client.post("/v1/contacts", body).await.problem(409, "contact_identity_taken");
        assert!(problem.to_string().contains(&first), "{problem}");
        let identity = json!({ "kind": "phone", "value": spelling });
        assert!(client.run(&format!("/v1/contacts/{first}/add_identity"), identity).await.is_empty(), "{spelling}");
    }
    let other = person(client, "Taras", json!({ "phone": "067 123-45-68 доб. 12" })).await;
    server.settle().await;
    for spelling in ["+380 (67) 123-45-67", "380671234567", "067 123-45-67", "0038067 1234567", "67 1234567"] {
        let found = named(client, "/v1/contacts", &condition("phone", "eq", spelling)).await;
        assert_eq!(found, ["Olena"], "{spelling}");
    }
    let found = async |op: &str, value: Value| named(client, "/v1/contacts", &condition("phone", op, value)).await;
    assert_eq!(found("contains", json!("(67) 123-45-6")).await, ["Olena", "Taras"]);
    assert_eq!(found("in", json!(["0671234568", "112"])).await, ["Taras"]);
    assert_eq!(found("ne", json!("380671234567")).await, ["Taras"]);
    assert_eq!(found("exact", json!("+380 (67) 123-45-67")).await, ["Olena"]);
    assert_eq!(found("exact", json!("380671234567")).await, [""; 0]);
    // Shown as typed; what it means stands beside it.
    let shown = client.read(&format!("/v1/contacts/{other}")).await;
    assert_eq!(shown["phone"], "067 123-45-68 доб. 12");
    assert_eq!((&shown["phone_e164"], &shown["phone_extension"]), (&json!("+380671234568"), &json!("12")));
    // Changed, it is free again in every spelling.
    client.run(&format!("/v1/contacts/{first}/edit"), json!({ "phone": "067 999-00-00" })).await;
    person(client, "Olena the Second", json!({ "phone": "380671234567" })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/contacts/{first}")).await;
    assert_eq!((&shown["phone_e164"], &shown["phone_extension"]), (&json!("+380679990000"), &Value::Null));
}

#[tokio::test]
async fn what_is_no_number_is_refused_where_a_person_types_it_and_kept_where_it_comes_from_outside() {
    let server = Server::start().await;
    let client = &server.admin;
    setting(client, "default_country", json!("UA")).await;
    for wrong in ["call me", "12", "+380 67", "067 123-45-67 or evenings", "067 123 45 67 89 01"] {
        for (path, more) in [
            ("/v1/contacts", json!({ "name": "A" })),
            ("/v1/companies", json!({ "name": "A" })),
            ("/v1/leads", json!({ "name": "A" })),
            ("/v1/users", json!({ "name": "A", "email": "a@example.com" })),
            ("/v1/orders", json!({ "source": "shop", "total": { "amount": "1", "currency": "EUR" } })),
        ] {
            let mut body = more;
            body["phone"] = json!(wrong);
            let problem = client.post(path, body).await.problem(422, "phone_invalid");
            assert_eq!(problem["errors"][0]["pointer"], "/phone", "{path} {wrong}: {problem}");
        }
    }
    let anna = person(client, "Anna", json!({ "phone": "067 123-45-67" })).await;
    let edit = client.post(&format!("/v1/contacts/{anna}/edit"), json!({ "phone": "none" })).await;
    edit.problem(422, "phone_invalid");
    // From outside: another system, a call, a message.
    let told = json!({ "name": "Boris", "phone": "ask his wife" });
    let put = client.put("/v1/contacts/by/external/shop/7", told).await;
    let boris = put.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    let hidden = client.create("/v1/calls", json!({ "from": "anonymous", "to": "044 200 00 00" })).await;
    let call = client.create("/v1/calls", json!({ "from": "0671234567", "to": "044 200 00 00" })).await;
    let identity = json!({ "kind": "whatsapp", "value": "who knows" });
    let chat = client.create("/v1/conversations", json!({ "medium": "whatsapp", "identity": identity })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/contacts/{boris}")).await;
    assert_eq!((&shown["phone"], &shown["phone_e164"]), (&json!("ask his wife"), &Value::Null), "kept and marked");
    let marked = json!({ "all": [condition("phone", "is_null", false), condition("phone_e164", "is_null", true)] });
    assert_eq!(named(client, "/v1/contacts", &marked).await, ["Boris"]);
    let shown = client.read(&format!("/v1/calls/{hidden}")).await;
    assert_eq!((&shown["from_number"], &shown["from_e164"]), (&json!("anonymous"), &Value::Null));
    assert_eq!(shown["to_e164"], "+380442000000");
    let of = async |value: &str| {
        let found = client.read(&filtered("/v1/calls", &condition("from_number", "eq", value))).await;
        texts(&found, "id")
    };
    assert_eq!(of("+380 67 123 45 67").await, [&*call]);
    assert_eq!(of("Anonymous").await, [&*hidden]);
    assert_eq!(client.read(&format!("/v1/conversations/{chat}")).await["identity"]["value"], "who knows");
    // A short number and, without a country, a local one may be right: kept and marked.
    setting(client, "default_country", Value::Null).await;
    for local in ["112", "555-0100"] {
        let id = person(client, "Local", json!({ "phone": local })).await;
        server.settle().await;
        let shown = client.read(&format!("/v1/contacts/{id}")).await;
        assert_eq!((&shown["phone"], &shown["phone_e164"]), (&json!(local), &Value::Null));
    }
}

#[tokio::test]
async fn text_is_kept_composed() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "contact", "nickname", "text", json!({})).await;
    let body = json!({ "name": "Jose\u{301}", "tags": ["Z\u{30c}"], "custom": { "nickname": "Pe\u{301}pe" } });
    let jose = client.create("/v1/contacts", body).await;
    client.run(&format!("/v1/contacts/{jose}/add_note"), json!({ "text": "Cafe\u{301}" })).await;
    let put = json!({ "name": "E\u{301}va" });
    client.put("/v1/contacts/by/external/shop/e%CC%81", put.clone()).await.expect(StatusCode::CREATED);
    client.put("/v1/contacts/by/external/shop/%C3%A9", put).await.expect(StatusCode::OK);
    server.settle().await;
    let shown = client.read(&format!("/v1/contacts/{jose}")).await;
    assert_eq!(
        (&shown["name"], &shown["tags"], &shown["notes"][0]["text"]),
        (&json!("José"), &json!(["Ž"]), &json!("Café"))
    );
    assert_eq!(shown["custom"]["nickname"], "Pépe");
    for spelling in ["José", "Jose\u{301}"] {
        for op in ["eq", "exact", "contains"] {
            assert_eq!(named(client, "/v1/contacts", &condition("name", op, spelling)).await, ["José"], "{op}");
        }
    }
    assert_eq!(named(client, "/v1/contacts", &condition("tags", "exact", "Z\u{30c}")).await, ["José"]);
    assert_eq!(named(client, "/v1/contacts", &condition("tags", "eq", "z\u{30c}")).await, ["José"]);
}

#[tokio::test]
async fn names_are_compared_as_people_read_them() {
    let server = Server::start().await;
    let client = &server.admin;
    let names = [
        "Žluťoučký",
        "Straße",
        "Łódź",
        "Işık",
        "İbrahim",
        "Ёлкин",
        "Елкин",
        "José",
        "Jose",
        "\u{a0}Anna\u{200b}",
        "שרה",
        "Li 👩‍🚒",
        "Søren",
        "Σίσυφος",
        "100% _sure_",
    ];
    for name in names {
        person(client, name, json!({ "city": name, "tags": [name] })).await;
    }
    server.settle().await;
    let found = async |op: &str, value: &str| {
        let mut found = named(client, "/v1/contacts", &condition("name", op, value)).await;
        found.sort();
        found
    };
    let cases: &[(&str, &str, &[&str])] = &[
        ("contains", "zlut", &["Žluťoučký"]),
        ("starts_with", "ZLUT", &["Žluťoučký"]),
        ("contains", "ťouč", &["Žluťoučký"]),
        ("contains", "strass", &["Straße"]),
        ("contains", "lodz", &["Łódź"]),
        ("contains", "isik", &["Işık"]),
        ("contains", "ibrahim", &["İbrahim"]),
        ("contains", "елкин", &["Елкин", "Ёлкин"]),
        ("contains", "jose", &["Jose", "José"]),
        ("starts_with", "anna", &["\u{a0}Anna\u{200b}"]),
        ("contains", "soren", &["Søren"]),
        ("contains", "σισυφοσ", &["Σίσυφος"]),
        ("contains", "%", &["100% _sure_"]),
        ("contains", "שר", &["שרה"]),
        ("contains", "👩‍🚒", &["Li 👩‍🚒"]),
        ("eq", "ŽLUŤOUČKÝ", &["Žluťoučký"]),
        ("eq", "zlutoucky", &[]),
        ("eq", "STRASSE", &["Straße"]),
        ("eq", "ёлкин", &["Ёлкин"]),
        ("eq", "елкин ", &["Елкин"]),
        ("eq", "jose", &["Jose"]),
        ("eq", "łódź", &["Łódź"]),
        ("eq", "lodz", &[]),
        ("eq", "ışık", &[]),
        ("eq", "işık", &["Işık"]),
        ("eq", "anna", &["\u{a0}Anna\u{200b}"]),
        ("eq", "\u{200f}שרה\u{202c}", &["שרה"]),
        ("eq", "σίσυφοσ", &["Σίσυφος"]),
        ("exact", "anna", &[]),
        ("exact", "Jose", &["Jose"]),
        ("exact", "\u{a0}Anna\u{200b}", &["\u{a0}Anna\u{200b}"]),
    ];
    for (op, value, expected) in cases {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found(op, value).await, expected, "{op} {value}");
        if *op != "starts_with" && *op != "contains" {
            for other in ["city", "tags"] {
                let mut same = named(client, "/v1/contacts", &condition(other, op, *value)).await;
                same.sort();
                assert_eq!(same, expected, "{other} {op} {value}");
            }
        }
    }
    // A title, a tag of a ticket, a custom field: one rule for all text.
    field(client, "ticket", "site", "text", json!({})).await;
    let body = json!({ "title": "Čerpadlo nejede", "tags": ["Důležité"], "custom": { "site": "Žižkov " } });
    let ticket = client.create("/v1/tickets", body).await;
    server.settle().await;
    for filter in [
        condition("title", "eq", " čerpadlo NEJEDE"),
        condition("title", "contains", "cerpadlo"),
        condition("tags", "contains", "důležité"),
        condition("custom.site", "eq", "žižkov"),
        condition("custom.site", "contains", "zizkov"),
        condition("custom.site", "exact", "Žižkov "),
    ] {
        assert_eq!(texts(&client.read(&filtered("/v1/tickets", &filter)).await, "id"), [&*ticket], "{filter}");
    }
    // One tag is one tag, and is taken off as it is read.
    assert!(client.run(&format!("/v1/tickets/{ticket}/tag"), json!({ "tag": "DŮLEŽITÉ " })).await.is_empty());
    client.run(&format!("/v1/tickets/{ticket}/untag"), json!({ "tag": "důležité" })).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/tickets/{ticket}")).await["tags"], json!([]));
    // A name of blanks alone is none.
    let blank = json!({ "name": "\u{200b}\u{a0}" });
    client.post("/v1/contacts", blank).await.problem(422, "name_invalid");
}

#[tokio::test]
async fn lists_by_name_follow_the_alphabet_and_so_do_their_pages() {
    let server = Server::start().await;
    let client = &server.admin;
    let mixed = [
        "Straße", "Šimon", "Čeněk", "Cyril", "chalupa", "Hana", "anna", "Anna", "Zdeněk", "Žofie", "dub", "Émile",
        "Anna",
    ];
    for name in mixed {
        person(client, name, json!({})).await;
    }
    server.settle().await;
    let order = async |path: &str| {
        let all = pages(client, path).await;
        all.iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let root = [
        "anna", "Anna", "Anna", "Čeněk", "chalupa", "Cyril", "dub", "Émile", "Hana", "Šimon", "Straße", "Zdeněk",
        "Žofie",
    ];
    for limit in [1, 2, 3, 100] {
        assert_eq!(order(&format!("/v1/contacts?limit={limit}")).await, root, "limit {limit}");
        let mut back = order(&format!("/v1/contacts?limit={limit}&sort=-name")).await;
        back.reverse();
        assert_eq!(back, root, "back, limit {limit}");
    }
    // In Czech č follows c, ch follows h, š follows s and ž follows z.
    let page = client.read("/v1/contacts?limit=2").await;
    setting(client, "language", json!("cs-CZ")).await;
    let czech = [
        "anna", "Anna", "Anna", "Cyril", "Čeněk", "dub", "Émile", "Hana", "chalupa", "Straße", "Šimon", "Zdeněk",
        "Žofie",
    ];
    for limit in [1, 2, 3, 100] {
        assert_eq!(order(&format!("/v1/contacts?limit={limit}")).await, czech, "limit {limit}");
    }
    client.get(page["next"].as_str().unwrap()).await.problem(422, "cursor_mismatch");
    // Other lists likewise.
    for name in ["Šroub", "Sud", "Trubka", "čep"] {
        client.create("/v1/products", json!({ "name": name })).await;
    }
    server.settle().await;
    assert_eq!(order("/v1/products?limit=1").await, ["čep", "Sud", "Šroub", "Trubka"]);
}

#[tokio::test]
async fn rules_and_selectors_compare_text_as_lists_do() {
    let server = Server::start().await;
    let client = &server.admin;
    setting(client, "default_country", json!("RU")).await;
    let of = async |name: &str, filter: Value| {
        rule(
            client,
            name,
            "order.placed",
            1,
            json!({ "when": filter, "actions": [task(name)], "on_match": "continue" }),
        )
        .await;
    };
    of("city", condition("order.city", "eq", "Санкт-Петербург")).await;
    of("letter", condition("order.city", "exact", "Санкт-Петербург")).await;
    of("part", condition("order.city", "contains", "ПЕТЕР")).await;
    of("phone", condition("order.phone", "eq", "8 921 555-01-01")).await;
    of("email", condition("order.email", "eq", "user@bücher.example")).await;
    of("accent", condition("order.name", "contains", "zlut")).await;
    let selected = user(client, "Boris").await;
    client.run(&format!("/v1/users/{selected}/change_profile"), json!({ "city": "САНКТ-ПЕТЕРБУРГ\u{a0}" })).await;
    let chosen =
        json!({ "when": {}, "actions": [task("chosen")], "selector": [{ "city": { "equals": "order.city" } }] });
    rule(client, "chosen", "order.placed", 2, chosen).await;
    server.settle().await;
    let body = json!({
        "city": "санкт-петербург ", "phone": "+7 921 555 01 01", "email": "USER@xn--bcher-kva.example", "name": "Žluťoučký"
    });
    order(client, "10", body).await;
    server.settle().await;
    let mut made = tasks(client).await;
    made.sort();
    let expected: Vec<_> = ["accent", "chosen", "city", "email", "part", "phone"]
        .map(|name| (name.to_owned(), (name == "chosen").then(|| selected.clone())))
        .into();
    assert_eq!(made, expected);
    // And the list agrees.
    for (filter, count) in [
        (condition("city", "eq", "Санкт-Петербург"), 1),
        (condition("city", "exact", "Санкт-Петербург"), 0),
        (condition("phone", "eq", "8 921 555-01-01"), 1),
        (condition("email", "eq", "user@bücher.example"), 1),
        (condition("name", "contains", "zlut"), 1),
    ] {
        assert_eq!(each(&client.read(&filtered("/v1/orders", &filter)).await, "id").len(), count, "{filter}");
    }
}

#[tokio::test]
async fn only_what_can_be_paid_is_money() {
    let server = Server::start().await;
    let client = &server.admin;
    let money = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency });
    let contact = contact(client, "Ada").await;
    let product = client.create("/v1/products", json!({ "name": "Chair" })).await;
    let order = client.create("/v1/orders", json!({ "source": "shop", "total": money("10", "EUR") })).await;
    let property =
        client.create("/v1/properties", json!({ "name": "Flat", "kind": "apartment", "purpose": "sale" })).await;
    let deal = client.create("/v1/deals", json!({ "name": "Flat", "contact": contact, "property": property })).await;
    let body = |path: &str, price: Value| -> (String, Value, &'static str) {
        let holder = party("contact", &contact);
        match path {
            "products" => ("/v1/products".into(), json!({ "name": "x", "price": price }), "/price"),
            "properties" => {
                let flat = json!({ "name": "x", "kind": "apartment", "purpose": "sale", "price": price });
                ("/v1/properties".into(), flat, "/price")
            }
            "leads" => ("/v1/leads".into(), json!({ "name": "x", "amount": price }), "/amount"),
            "deals" => ("/v1/deals".into(), json!({ "name": "x", "amount": price }), "/amount"),
            "entitlements" => {
                let granted = json!({ "product": product, "holder": holder, "price": price });
                ("/v1/entitlements".into(), granted, "/price")
            }
            "item" => {
                let items = json!([{ "name": "x", "price": price }]);
                ("/v1/orders".into(), json!({ "source": "shop", "items": items }), "/items/0/price")
            }
            "total" => ("/v1/orders".into(), json!({ "source": "shop", "total": price }), "/total"),
            "shipping" => {
                let total = json!({ "source": "shop", "total": money("9", "JPY"), "shipping": price });
                ("/v1/orders".into(), total, "/shipping")
            }
            "pay" => (format!("/v1/orders/{order}/pay"), json!({ "amount": price }), "/amount"),
            "record" => {
                let sale = json!({ "property": property, "contacts": [contact], "price": price });
                (format!("/v1/deals/{deal}/record"), sale, "/price")
            }
            _ => {
                let criteria = json!({ "purpose": "sale", "price_to": price });
                let enquiry = json!({ "name": "x", "contact": contact, "criteria": criteria });
                ("/v1/enquiries".into(), enquiry, "/criteria/price_to")
            }
        }
    };
    let kinds = [
        "products",
        "properties",
        "leads",
        "deals",
        "entitlements",
        "item",
        "total",
        "shipping",
        "pay",
        "record",
        "enquiries",
    ];
    for kind in kinds {
        let (path, asked, place) = body(kind, money("100.5", "JPY"));
        let problem = client.post(&path, asked).await.problem(422, "amount_too_fine");
        assert_eq!(problem["errors"][0]["pointer"], format!("{place}/amount"), "{kind}: {problem}");
        let (path, asked, place) = body(kind, money("100", "XXQ"));
        let problem = client.post(&path, asked).await.problem(422, "currency_unknown");
        assert_eq!(problem["errors"][0]["pointer"], format!("{place}/currency"), "{kind}: {problem}");
    }
    for (amount, currency) in [("100", "JPY"), ("100.0", "JPY"), ("1.234", "KWD"), ("0.01", "UAH")] {
        client.create("/v1/leads", json!({ "name": "x", "amount": money(amount, currency) })).await;
    }
    // What adds up to a part of a cent is rounded to what can be paid.
    let cloth = json!([{ "name": "Cloth", "quantity": "1.5", "price": money("0.35", "EUR") }]);
    let cut = client.create("/v1/orders", json!({ "source": "shop", "items": cloth })).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/orders/{cut}")).await["total"]["amount"], "0.53");
}

#[tokio::test]
async fn currencies_are_never_added_up() {
    let server = Server::start().await;
    let client = &server.admin;
    let money = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency });
    let order = client.create("/v1/orders", json!({ "source": "shop", "total": money("10", "EUR") })).await;
    let pay = format!("/v1/orders/{order}/pay");
    client.post(&pay, json!({ "amount": money("10", "USD") })).await.problem(422, "order_currency_mixed");
    client.run(&pay, json!({ "amount": money("4", "EUR") })).await;
    let amend = client.post(&format!("/v1/orders/{order}/amend"), json!({ "total": money("10", "USD") })).await;
    let problem = amend.problem(422, "order_currency_mixed");
    assert_eq!(problem["errors"][0]["pointer"], "/total/currency", "what is paid is paid in euros");
    let items = json!([{ "name": "a", "price": money("1", "EUR") }, { "name": "b", "price": money("1", "USD") }]);
    let mixed = json!({ "source": "shop", "items": items });
    client.post("/v1/orders", mixed).await.problem(422, "order_currency_mixed");
    server.settle().await;
    let shown = client.read(&format!("/v1/orders/{order}")).await;
    assert_eq!((&shown["paid"], &shown["paid_in_full"]), (&money("4", "EUR"), &json!(false)));
    // No list adds up amounts.
    for (list, field) in [("orders", "total.amount"), ("deals", "amount.amount"), ("properties", "price.amount")] {
        client.get(&format!("/v1/{list}?sum={field}")).await.problem(422, "sum_field_unknown");
    }
}

#[tokio::test]
async fn an_e_mail_address_is_one_in_every_spelling_of_its_domain() {
    let server = Server::start().await;
    let client = &server.admin;
    let first = person(client, "User", json!({ "email": "User@BÜCHER.example" })).await;
    for same in [
        "user@bücher.example",
        "user@xn--bcher-kva.example",
        "USER@XN--BCHER-KVA.EXAMPLE",
        "user@bu\u{308}cher.example",
    ] {
        client.post("/v1/contacts", json!({ "name": "x", "email": same })).await.problem(409, "contact_identity_taken");
    }
    let ascii = person(client, "Ascii", json!({ "email": "info@xn--bcher-kva.example" })).await;
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/contacts/{first}")).await["email"], "User@BÜCHER.example", "as given");
    for (asked, found) in [
        ("user@xn--bcher-kva.example", "User"),
        ("USER@bücher.EXAMPLE", "User"),
        ("info@bücher.example", "Ascii"),
        ("Info@xn--bcher-kva.example", "Ascii"),
    ] {
        assert_eq!(named(client, "/v1/contacts", &condition("email", "eq", asked)).await, [found], "{asked}");
        assert_eq!(named(client, "/v1/contacts", &condition("email", "ne", asked)).await.len(), 1, "{asked}");
    }
    client.run(&format!("/v1/contacts/{ascii}/edit"), json!({ "email": "info@example.com" })).await;
    person(client, "Next", json!({ "email": "INFO@bücher.example" })).await;
    for wrong in
        ["anna", "a@@example.com", "a b@example.com", "@example.com", "anna@", "anna@-x.example", "anna@exa mple.com"]
    {
        let problem =
            client.post("/v1/contacts", json!({ "name": "x", "email": wrong })).await.problem(422, "email_invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/email", "{wrong}");
    }
    // Colleagues too.
    client.create("/v1/users", json!({ "name": "Uwe", "email": "uwe@bücher.example" })).await;
    let again = json!({ "name": "Uwe", "email": "UWE@xn--bcher-kva.example" });
    client.post("/v1/users", again).await.problem(409, "user_email_taken");
}

#[tokio::test]
async fn domains_countries_languages_and_time_zones_are_those_that_exist() {
    type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static str);
    let server = Server::start().await;
    let client = &server.admin;
    let cases: &[Case] = &[
        (
            "/v1/companies",
            "domain",
            &["bücher.example", "Example.com", "xn--bcher-kva.example"],
            &["example", "a b.com", "-a.com"],
            "domain_invalid",
        ),
        ("/v1/contacts", "country", &["IT", "it", "UA"], &["XX", "ITA", "Italy"], "country_invalid"),
        (
            "/v1/contacts",
            "locale",
            &["de", "pt-BR", "zh-Hans-CN", "DE-at"],
            &["german", "pt_BR", "qx", "de-YX"],
            "locale_invalid",
        ),
        (
            "/v1/contacts",
            "time_zone",
            &["Europe/Rome", "europe/rome", "UTC"],
            &["Rome", "Europe/Atlantis", "+02:00"],
            "time_zone_invalid",
        ),
    ];
    for (path, key, right, wrong, code) in cases {
        for value in *right {
            client.create(path, json!({ "name": *value, *key: value })).await;
        }
        for value in *wrong {
            let problem = client.post(path, json!({ "name": "x", *key: value })).await.problem(422, code);
            assert_eq!(problem["errors"][0]["pointer"], format!("/{key}"), "{value}");
        }
    }
    server.settle().await;
    // Shown as given, and the same however it is written.
    let mut found = named(client, "/v1/contacts", &condition("country", "eq", "IT")).await;
    found.sort();
    assert_eq!(found, ["IT", "it"]);
    assert_eq!(named(client, "/v1/contacts", &condition("time_zone", "eq", "EUROPE/ROME")).await.len(), 2);
}

#[tokio::test]
async fn the_database_compares_every_letter_as_the_program_does() {
    let database = database().await;
    // Every letter of the planes that people write in, alone and among others, and what a database of an older Unicode
    // does not know yet left out.
    let letters = (1..0x1_FBFFu32).filter_map(char::from_u32).filter(|c| {
        let code = *c as u32;
        !(0xD800..0xF900).contains(&code)
            && !(0x3400..0x4DC0).contains(&code)
            && !(0x4E00..0xA000).contains(&code)
            && !(0xAC00..0xD7A4).contains(&code)
    });
    let samples: Vec<String> = letters.flat_map(|c| [c.to_string(), format!(" a{c}\u{301}B{c} ")]).collect();
    let mut told = Vec::new();
    for chunk in samples.chunks(20_000) {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select text_typed(s), text_loose(s), phone_digits(s)
             from unnest($1::text[]) with ordinality as sample (s, n) order by n",
        )
        .bind(chunk)
        .fetch_all(&database.pool)
        .await
        .unwrap();
        for (sample, (typed, loose, digits)) in chunk.iter().zip(rows) {
            let ours = (text::typed(sample), text::loose(sample), phone::digits(sample));
            if ours != (typed.clone(), loose.clone(), digits.clone()) {
                let differs = format!("{}: {ours:?}, not {:?}", sample.escape_unicode(), (typed, loose, digits));
                told.push((sample.clone(), differs));
            }
        }
    }
    // A program and a database know letters of different years; nobody's name has those yet.
    let old = |sample: &str| !sample.chars().any(|c| c >= '\u{530}' && !('\u{1e00}'..'\u{2000}').contains(&c));
    let wrong: Vec<_> = told.iter().filter(|(sample, _)| old(sample)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(told.len() < samples.len() / 200, "{} of {}: {:#?}", told.len(), samples.len(), &told[..60]);
    let people =
        ["Žluťoučký", "Straße", "Łódź", "Işık", "İbrahim", "Ёлкин", "Й", "José", "שָׁלוֹם", "ﬁ", "ΣΊΣΥΦΟΣ", "Đặng", "Ⅷ"];
    for name in people {
        let (typed, loose): (String, String) =
            sqlx::query_as("select text_typed($1), text_loose($1)").bind(name).fetch_one(&database.pool).await.unwrap();
        assert_eq!((typed, loose), (text::typed(name), text::loose(name)), "{name}");
    }
    let numbers = [
        "+380 (67) 123-45-67 ext. 12",
        "00380671234567",
        "０６７",
        "anonymous",
        "",
        "tel:+1-202-555-0100;ext=7",
        "067\u{a0}123\u{200b}45",
        "12/34\u{2011}5 доб. 6",
    ];
    for number in numbers {
        let digits: String =
            sqlx::query_scalar("select phone_digits($1)").bind(number).fetch_one(&database.pool).await.unwrap();
        assert_eq!(digits, phone::digits(number), "{number}");
    }
}
