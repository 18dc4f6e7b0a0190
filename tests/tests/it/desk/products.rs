//! Products in the help desk: the catalogue, who owns what, which product a ticket may be about, and reports by product.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{
    Customer, NOBODY, condition, contact, each, field, filtered, grant, instant, party, product, texts, ticket, user,
};

/// The products that a requester may pick: entitlements and names.
async fn picker(client: &Client, kind: &str, requester: &str) -> (Vec<String>, Vec<String>) {
    let page = client.read(&format!("/v1/entitlements/picker?requester_kind={kind}&requester_id={requester}")).await;
    (texts(&page, "id"), texts(&page, "product_name"))
}

async fn offered(client: &Client, kind: &str, requester: &str) -> Vec<String> {
    picker(client, kind, requester).await.1
}

#[tokio::test]
async fn the_catalogue_has_products_in_categories_with_a_badge() {
    let server = Server::start().await;
    let client = &server.admin;
    let all = client.create("/v1/product_categories", json!({ "name": "All" })).await;
    let services = client.create("/v1/product_categories", json!({ "name": "Services", "parent": all })).await;
    let hosting = client
        .create(
            "/v1/products",
            json!({
                "name": "Hosting", "kind": "service", "description": "Ten sites", "color": "#00a09d", "icon": "server",
                "sku": "WH-10", "price": { "amount": "12.50", "currency": "EUR" },
            }),
        )
        .await;
    let router = client.create("/v1/products", json!({ "name": "Router", "kind": "goods" })).await;
    client.run(&format!("/v1/products/{hosting}/categorise"), json!({ "category": services })).await;
    let unfit = json!({ "category": NOBODY });
    client.post(&format!("/v1/products/{router}/categorise"), unfit).await.problem(422, "product_category_unfit");
    client.post("/v1/products", json!({ "name": "x", "color": "turquoise" })).await.problem(422, "body_invalid");
    server.settle().await;

    let shown = client.read(&format!("/v1/products/{hosting}")).await;
    let expected = json!({
        "name": "Hosting", "kind": "service", "description": "Ten sites", "color": "#00a09d", "icon": "server",
        "sku": "WH-10", "price": { "amount": "12.50", "currency": "EUR" }, "category_id": services,
        "category_name": "Services", "retired": false, "archived": false, "active_entitlements": 0,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!(texts(&client.read("/v1/products").await, "name"), ["Hosting", "Router"]);
    let of_category = filtered("/v1/products", &condition("category_id", "eq", &*services));
    assert_eq!(texts(&client.read(&of_category).await, "name"), ["Hosting"]);
    let goods = filtered("/v1/products", &condition("kind", "eq", "goods"));
    assert_eq!(texts(&client.read(&goods).await, "name"), ["Router"]);
    let tree = client.read("/v1/product_categories").await;
    assert_eq!(
        (texts(&tree, "name"), each(&tree, "parent_name")),
        (vec!["All".into(), "Services".into()], vec![Value::Null, json!("All")])
    );

    client
        .patch(&format!("/v1/products/{hosting}"), json!({ "color": "#ff0000", "icon": "cloud", "description": null }))
        .await
        .expect(StatusCode::OK);
    client.run(&format!("/v1/product_categories/{services}/rename"), json!({ "name": "Online" })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/products/{hosting}")).await;
    assert_eq!(
        (&shown["color"], &shown["icon"], &shown["description"]),
        (&json!("#ff0000"), &json!("cloud"), &Value::Null)
    );
    assert_eq!(shown["category_name"], "Online");
    let cycle = json!({ "parent": services });
    client.post(&format!("/v1/product_categories/{all}/move"), cycle).await.problem(409, "product_category_cycle");
    client.run(&format!("/v1/product_categories/{services}/delete"), json!({})).await;
    server.settle().await;
    assert_eq!(texts(&client.read("/v1/product_categories").await, "name"), ["All"]);
    assert_eq!(client.read(&format!("/v1/products/{hosting}")).await["category_name"], Value::Null);
}

#[tokio::test]
async fn the_picker_offers_what_the_requester_or_its_company_owns() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let phone = product(client, "Phone").await;
    let laptop = product(client, "Laptop").await;
    let own = grant(client, &phone, "contact", &customer.contact).await;
    let twice = grant(client, &phone, "contact", &customer.contact).await;
    assert_ne!(own, twice, "one may own two of a kind");
    let (stranger, boris) = (contact(client, "Dora").await, user(client, "Boris").await);
    grant(client, &laptop, "user", &boris).await;
    server.settle().await;
    let (entitlements, names) = picker(client, "contact", &customer.contact).await;
    assert_eq!(names, ["Hosting", "Phone", "Phone"], "its own and its company's, by name");
    assert_eq!(entitlements[0], customer.entitlement);
    assert_eq!(offered(client, "contact", &stranger).await, Vec::<String>::new());
    assert_eq!(offered(client, "user", &boris).await, ["Laptop"], "what a colleague was handed out");
    assert_eq!(offered(client, "company", &customer.company).await, ["Hosting"]);
    let search = format!("/v1/entitlements/picker?requester_id={}&search=HOST", customer.contact);
    assert_eq!(texts(&client.read(&search).await, "product_name"), ["Hosting"]);
    let limit = format!("/v1/entitlements/picker?requester_id={}&limit=1", customer.contact);
    assert_eq!(texts(&client.read(&limit).await, "product_name"), ["Hosting"]);

    client
        .run(&format!("/v1/contacts/{}/unlink_company", customer.contact), json!({ "company": customer.company }))
        .await;
    server.settle().await;
    assert_eq!(offered(client, "contact", &customer.contact).await, ["Phone", "Phone"], "no longer of that company");
}

#[tokio::test]
async fn what_a_merged_contact_owned_its_survivor_may_pick() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ada, twin) = (contact(client, "Ada").await, contact(client, "A. Rossi").await);
    let phone = product(client, "Phone").await;
    let own = grant(client, &phone, "contact", &twin).await;
    let ask = json!({ "title": "Broken", "requester": party("contact", &ada), "entitlement": own });
    client.post("/v1/tickets", ask.clone()).await.problem(409, "product_not_owned");
    client.run(&format!("/v1/contacts/{twin}/merge"), json!({ "into": ada })).await;
    server.settle().await;
    assert_eq!(offered(client, "contact", &ada).await, ["Phone"]);
    client.create("/v1/tickets", ask.clone()).await;
    client.run(&format!("/v1/contacts/{twin}/unmerge"), json!({})).await;
    server.settle().await;
    assert_eq!(offered(client, "contact", &ada).await, Vec::<String>::new());
    client.post("/v1/tickets", ask).await.problem(409, "product_not_owned");
}

#[tokio::test]
async fn entitlements_before_and_after_their_time_are_not_offered() {
    let server = Server::start().await;
    let client = &server.admin;
    let ada = contact(client, "Ada").await;
    let mut entitlements = Vec::new();
    for (name, from, to) in [
        ("Past", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"),
        ("Present", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"),
        ("Future", "2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z"),
    ] {
        let product = product(client, name).await;
        let body = json!({ "product": product, "holder": party("contact", &ada), "valid_from": from, "valid_to": to });
        entitlements.push(client.create("/v1/entitlements", body).await);
    }
    server.settle().await;
    assert_eq!(offered(client, "contact", &ada).await, ["Present"]);
    for (entitlement, ok) in entitlements.iter().zip([false, true, false]) {
        let body = json!({ "title": "x", "requester": party("contact", &ada), "entitlement": entitlement });
        let reply = client.post("/v1/tickets", body).await;
        match ok {
            true => drop(reply.expect(StatusCode::CREATED)),
            false => drop(reply.problem(409, "product_not_owned")),
        }
    }
    client.run(&format!("/v1/entitlements/{}/expire", entitlements[0]), json!({})).await;
    client
        .post(&format!("/v1/entitlements/{}/expire", entitlements[1]), json!({}))
        .await
        .problem(409, "entitlement_not_over");
    server.settle().await;
    let shown = client.read(&format!("/v1/entitlements/{}", entitlements[0])).await;
    assert_eq!(shown["status"], "expired");
}

#[tokio::test]
async fn a_ticket_takes_only_products_that_its_requester_owns() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let (stranger, boris) = (contact(client, "Dora").await, user(client, "Boris").await);
    for requester in [json!(null), party("contact", &stranger), party("user", &boris)] {
        let body = json!({ "title": "x", "requester": requester, "entitlement": customer.entitlement });
        let problem = client.post("/v1/tickets", body).await.problem(409, "product_not_owned");
        assert_eq!(problem["errors"][0]["pointer"], "/entitlement");
    }
    let body = json!({ "title": "x", "requester": party("contact", &customer.contact), "entitlement": NOBODY });
    client.post("/v1/tickets", body).await.problem(409, "product_not_owned");

    // Picked, changed and cleared on a ticket that is there.
    let body = json!({ "title": "x", "requester": party("contact", &customer.contact) });
    let id = client.create("/v1/tickets", body).await;
    let select = format!("/v1/tickets/{id}/select_product");
    client.run(&select, json!({ "entitlement": customer.entitlement })).await;
    assert!(client.run(&select, json!({ "entitlement": customer.entitlement })).await.is_empty(), "asked twice");
    let phone = product(client, "Phone").await;
    let strangers = grant(client, &phone, "contact", &stranger).await;
    client.post(&select, json!({ "entitlement": strangers })).await.problem(409, "product_not_owned");
    let own = grant(client, &phone, "contact", &customer.contact).await;
    assert_eq!(client.run(&select, json!({ "entitlement": own })).await, ["ticket.product_selected"]);
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/tickets/{id}")).await["product_name"], "Phone");
    client.run(&format!("/v1/tickets/{id}/clear_product"), json!({})).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/tickets/{id}")).await;
    assert_eq!((&shown["product_id"], &shown["entitlement_id"]), (&Value::Null, &Value::Null));

    // An internal asset: the colleague it was handed out to asks for help with it.
    let asset = grant(client, &phone, "user", &boris).await;
    let body = json!({ "title": "Screen broken", "requester": party("user", &boris), "entitlement": asset });
    let internal = client.create("/v1/tickets", body).await;
    server.settle().await;
    let about = filtered("/v1/tickets", &condition("entitlement_id", "eq", &*asset));
    assert_eq!(texts(&client.read(&about).await, "id"), [internal], "what was said about that asset");
}

#[tokio::test]
async fn a_revoked_product_stays_on_old_tickets_and_leaves_the_picker() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let old = customer.ticket(client, "Old").await;
    let revoke = format!("/v1/entitlements/{}/revoke", customer.entitlement);
    assert_eq!(client.run(&revoke, json!({ "reason": "Not paid" })).await, ["entitlement.revoked"]);
    assert!(client.run(&revoke, json!({ "reason": "Not paid" })).await.is_empty());
    server.settle().await;
    let shown = client.read(&format!("/v1/tickets/{old}")).await;
    assert_eq!((&shown["product_name"], &shown["entitlement_id"]), (&json!("Hosting"), &json!(customer.entitlement)));
    assert!(offered(client, "contact", &customer.contact).await.is_empty());
    let body = json!({ "title": "New", "requester": party("contact", &customer.contact), "entitlement": customer.entitlement });
    client.post("/v1/tickets", body.clone()).await.problem(409, "product_not_owned");
    let entitlement = client.read(&format!("/v1/entitlements/{}", customer.entitlement)).await;
    assert_eq!((&entitlement["status"], &entitlement["revoked_reason"]), (&json!("revoked"), &json!("Not paid")));
    assert!(entitlement["ended_at"].is_string());
    client.run(&format!("/v1/entitlements/{}/reinstate", customer.entitlement), json!({})).await;
    client.create("/v1/tickets", body.clone()).await;

    // Somebody else's now.
    let dora = contact(client, "Dora").await;
    let transfer = format!("/v1/entitlements/{}/transfer", customer.entitlement);
    assert_eq!(client.run(&transfer, json!({ "to": party("contact", &dora) })).await, ["entitlement.transferred"]);
    server.settle().await;
    assert!(offered(client, "contact", &customer.contact).await.is_empty());
    assert_eq!(offered(client, "contact", &dora).await, ["Hosting"]);
    client.post("/v1/tickets", body).await.problem(409, "product_not_owned");

    // A product that leaves the range is neither offered nor granted.
    client.run(&format!("/v1/products/{}/retire", customer.product), json!({ "reason": "Replaced" })).await;
    server.settle().await;
    assert!(offered(client, "contact", &dora).await.is_empty());
    let unfit = json!({ "product": customer.product, "holder": party("contact", &dora) });
    client.post("/v1/entitlements", unfit).await.problem(422, "entitlement_product_unfit");
    assert_eq!(client.read(&format!("/v1/tickets/{old}")).await["product_name"], "Hosting");
}

#[tokio::test]
async fn an_entitlement_has_details_and_custom_fields() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "entitlement", "seats", "number", json!({ "label": "Seats", "required": true })).await;
    field(client, "entitlement", "plan", "select", json!({ "options": ["s", "m"] })).await;
    let (ada, hosting) = (contact(client, "Ada").await, product(client, "Hosting").await);
    let body = json!({
        "product": hosting, "holder": party("contact", &ada), "contract_number": "2026/118", "serial_number": "SN-1",
        "price": { "amount": "12.50", "currency": "EUR" }, "quantity": 3, "valid_from": "2026-01-01T00:00:00Z",
        "custom": { "seats": 5 }, "source": "shop", "external_id": "order-7",
    });
    let entitlement = client.create("/v1/entitlements", body.clone()).await;
    client.post("/v1/entitlements", body.clone()).await.problem(409, "entitlement_external_id_taken");
    for (name, value, code, pointer) in [
        ("custom", json!({}), "custom_field_required", "/custom/seats"),
        ("custom", json!({ "seats": 1, "plan": "xl" }), "custom_value_invalid", "/custom/plan"),
        ("quantity", json!(0), "entitlement_quantity_invalid", "/quantity"),
        ("valid_to", json!("2025-01-01T00:00:00Z"), "entitlement_period_invalid", "/valid_to"),
        ("product", json!(NOBODY), "entitlement_product_unfit", "/product"),
        ("holder", party("company", NOBODY), "entitlement_holder_unfit", "/holder"),
    ] {
        let mut wrong = body.clone();
        wrong["external_id"] = json!("order-8");
        wrong[name] = value;
        let problem = client.post("/v1/entitlements", wrong).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let path = format!("/v1/entitlements/{entitlement}");
    let change = json!({ "serial_number": "SN-2", "contract_number": null, "custom": { "plan": "m" } });
    let changed = client.run(&format!("{path}/change_details"), change.clone()).await;
    assert_eq!(changed, ["entitlement.details_changed", "entitlement.custom_changed"]);
    assert!(client.run(&format!("{path}/change_details"), change).await.is_empty());
    server.settle().await;
    let shown = client.read(&path).await;
    let expected = json!({
        "product_name": "Hosting", "holder_kind": "contact", "holder_name": "Ada", "status": "active",
        "serial_number": "SN-2", "contract_number": null, "price": { "amount": "12.50", "currency": "EUR" },
        "quantity": 3, "custom": { "seats": 5, "plan": "m" }, "source": "shop", "external_id": "order-7",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!(instant(&shown["valid_from"]), instant(&json!("2026-01-01T00:00:00Z")));
    let many = filtered("/v1/entitlements", &condition("custom.seats", "gte", 5));
    assert_eq!(texts(&client.read(&many).await, "id"), [&*entitlement]);
    let fields = client.read("/v1/fields").await;
    assert_eq!(texts(&fields, "key"), ["plan", "seats"]);
    assert_eq!(each(&fields, "label"), ["plan", "Seats"]);
}

#[tokio::test]
async fn who_has_which_product_is_a_list() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let (phone, boris) = (product(client, "Phone").await, user(client, "Boris").await);
    let ada = grant(client, &phone, "contact", &customer.contact).await;
    grant(client, &phone, "user", &boris).await;
    let gone = grant(client, &phone, "company", &customer.company).await;
    client.run(&format!("/v1/entitlements/{gone}/revoke"), json!({})).await;
    server.settle().await;
    let holders =
        client.read(&filtered("/v1/entitlements?sort=granted_at", &condition("product_id", "eq", &*phone))).await;
    assert_eq!(texts(&holders, "holder_name"), ["Ada Rossi", "Boris", "Rossi Srl"]);
    assert_eq!(texts(&holders, "status"), ["active", "active", "revoked"]);
    let active = json!({ "all": [condition("product_id", "eq", &*phone), condition("status", "eq", "active")] });
    assert_eq!(client.read(&filtered("/v1/entitlements", &active)).await["data"].as_array().unwrap().len(), 2);
    let hers =
        json!({ "all": [condition("holder_kind", "eq", "contact"), condition("holder_id", "eq", &*customer.contact)] });
    assert_eq!(texts(&client.read(&filtered("/v1/entitlements", &hers)).await, "id"), [ada]);
    let catalogue = client.read("/v1/products").await;
    assert_eq!(each(&catalogue, "active_entitlements"), [json!(1), json!(2)], "Hosting and Phone");

    let csv = client.get("/v1/entitlements.csv").await;
    assert_eq!(csv.status, StatusCode::OK);
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines.len(), 1 + 4, "{}", csv.text);
    assert!(lines[0].contains("product") && lines[0].contains("holder"));
    assert!(csv.text.contains("Boris") && csv.text.contains("revoked"));
}

#[tokio::test]
async fn products_exist_only_on_tickets() {
    let server = Server::start().await;
    for (path, body) in [
        ("contacts", json!({ "name": "Ada" })),
        ("companies", json!({ "name": "Rossi" })),
        ("teams", json!({ "name": "One" })),
    ] {
        let id = server.admin.create(&format!("/v1/{path}"), body).await;
        let select = json!({ "entitlement": NOBODY });
        server.admin.post(&format!("/v1/{path}/{id}/select_product"), select).await.problem(404, "command_unknown");
    }
}

/// Opens a ticket of a customer's at a time.
async fn opened_at(client: &Client, customer: &Customer, at: &str, with_product: bool) -> String {
    let mut body = json!({ "title": at, "requester": party("contact", &customer.contact) });
    if with_product {
        body["entitlement"] = json!(customer.entitlement);
    }
    client.header("deskfold-occurred-at", at).create("/v1/tickets", body).await
}

#[tokio::test]
async fn tickets_are_counted_by_product_and_over_time() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let mut tickets = Vec::new();
    for at in ["2026-01-05T10:00:00Z", "2026-01-05T23:59:59Z", "2026-01-20T10:00:00Z", "2026-03-01T00:00:00Z"] {
        tickets.push(opened_at(client, &customer, at, true).await);
    }
    let bare = opened_at(client, &customer, "2026-01-06T10:00:00Z", false).await;
    client.run(&format!("/v1/tickets/{}/resolve", tickets[0]), json!({})).await;
    client.run(&format!("/v1/tickets/{}/close", tickets[1]), json!({})).await;
    server.settle().await;

    let report = async |query: &str| client.read(&format!("/v1/reports/tickets_by_product{query}")).await;
    let all = report("").await;
    assert_eq!(each(&all, "product_name"), [json!("Hosting"), Value::Null], "most tickets first; without product last");
    assert_eq!(each(&all, "total"), [json!(4), json!(1)]);
    let hosting = &all["data"][0];
    assert_eq!((&hosting["open"], &hosting["resolved"], &hosting["closed"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!((&hosting["product_id"], &hosting["product_color"]), (&json!(customer.product), &json!("#00a09d")));

    let of_hosting = |report: &Value| -> Vec<(Value, Value)> {
        let rows = report["data"].as_array().unwrap().iter().filter(|row| row["product_name"] == "Hosting");
        rows.map(|row| (row["period"].clone(), row["total"].clone())).collect()
    };
    let expect =
        |pairs: &[(&str, i64)]| pairs.iter().map(|(day, count)| (json!(day), json!(count))).collect::<Vec<_>>();
    assert_eq!(
        of_hosting(&report("?interval=day").await),
        expect(&[("2026-01-05", 2), ("2026-01-20", 1), ("2026-03-01", 1)])
    );
    assert_eq!(
        of_hosting(&report("?interval=week").await),
        expect(&[("2026-01-05", 2), ("2026-01-19", 1), ("2026-02-23", 1)])
    );
    assert_eq!(of_hosting(&report("?interval=month").await), expect(&[("2026-01-01", 3), ("2026-03-01", 1)]));
    let january = report("?from=2026-01-05&to=2026-01-20&interval=month").await;
    assert_eq!(of_hosting(&january), expect(&[("2026-01-01", 3)]));
    assert_eq!(report("?from=2027-01-01").await["data"], json!([]));
    client.get("/v1/reports/tickets_by_product?interval=year").await.problem(422, "parameter_invalid");
    client.get("/v1/reports/tickets_by_product?from=soon").await.problem(422, "parameter_invalid");

    // The list tells the same.
    let of_product = filtered("/v1/tickets?count=exact", &condition("product_id", "eq", &*customer.product));
    assert_eq!(client.read(&of_product).await["total"], 4);

    // What changes about a ticket changes the counts.
    client.run(&format!("/v1/tickets/{bare}/select_product"), json!({ "entitlement": customer.entitlement })).await;
    client.run(&format!("/v1/tickets/{}/clear_product", tickets[2]), json!({})).await;
    client.run(&format!("/v1/tickets/{}/reopen", tickets[0]), json!({})).await;
    client.run(&format!("/v1/tickets/{}/merge", tickets[3]), json!({ "into": bare })).await;
    server.settle().await;
    let all = report("").await;
    assert_eq!(each(&all, "total"), [json!(3), json!(1)], "a merged ticket counts in the one it is part of");
    let hosting = &all["data"][0];
    assert_eq!((&hosting["open"], &hosting["resolved"], &hosting["closed"]), (&json!(2), &json!(0), &json!(1)));
}

#[tokio::test]
async fn whoever_may_read_products_sees_them_and_no_more() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    ticket(client, "x").await;
    let role = client.create("/v1/roles", json!({ "name": "shop", "permissions": ["product.read"] })).await;
    let issued = client.post("/v1/api_keys", json!({ "name": "shop", "role": role })).await.expect(StatusCode::CREATED);
    let shop = server.client(issued["key"].as_str().unwrap());
    server.settle().await;
    shop.get(&format!("/v1/products/{}", customer.product)).await.expect(StatusCode::OK);
    for path in [
        "/v1/entitlements".to_owned(),
        "/v1/entitlements.csv".to_owned(),
        "/v1/reports/tickets_by_product".to_owned(),
        format!("/v1/entitlements/picker?requester_id={}", customer.contact),
    ] {
        shop.get(&path).await.problem(403, "permission_denied");
    }
    shop.post("/v1/products", json!({ "name": "x" })).await.problem(403, "permission_denied");
}

#[tokio::test]
async fn granting_and_revoking_race_with_tickets_and_the_rule_holds() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = Customer::new(client).await;
    let body =
        json!({ "title": "x", "requester": party("contact", &customer.contact), "entitlement": customer.entitlement });
    let opens = futures::future::join_all((0..8).map(|_| client.post("/v1/tickets", body.clone())));
    let path = format!("/v1/entitlements/{}/revoke", customer.entitlement);
    let revoke = client.post(&path, json!({}));
    let (opened, revoked) = tokio::join!(opens, revoke);
    let revoked = revoked.expect(StatusCode::OK)["position"].as_i64().unwrap();
    for reply in opened {
        match reply.status {
            StatusCode::CREATED => {
                assert!(reply.json()["position"].as_i64().unwrap() <= revoked, "opened before it was revoked");
            }
            StatusCode::SERVICE_UNAVAILABLE => drop(reply.problem(503, "busy")),
            _ => drop(reply.problem(409, "product_not_owned")),
        }
    }
}
