//! What is sold and to whom: orders, leads, properties, enquiries, offers that are never repeated by mistake, and deals.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{NOBODY, condition, contact, each, euros, filtered, pages, subject, texts};

fn item(name: &str, quantity: &str, price: Value) -> Value {
    json!({ "name": name, "quantity": quantity, "price": price })
}

#[tokio::test]
async fn an_order_is_reckoned_paid_and_found_by_its_customer() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ada, dora) = (contact(client, "Ada").await, contact(client, "Dora").await);
    let place = async |customer: &str, number: &str, price: &str, city: &str| {
        let body = json!({
            "source": "storefront", "external_number": number, "customer": customer, "city": city,
            "items": [item("Chair", "2", euros(price)), item("Table", "1", euros("100"))], "shipping": euros("5.50"),
        });
        client.create("/v1/orders", body).await
    };
    let first = place(&ada, "A-1", "10.25", "Roma").await;
    let large = place(&ada, "A-2", "24950", "Milano").await;
    let other = place(&dora, "A-3", "10", "Roma").await;
    server.settle().await;

    let shown = client.read(&format!("/v1/orders/{first}")).await;
    assert_eq!((&shown["number"], &shown["status"]), (&json!(1), &json!("new")));
    assert_eq!(shown["total"], euros("126.00"), "the items and the delivery");
    assert_eq!((&shown["customer_name"], &shown["items"][0]["quantity"]), (&json!("Ada"), &json!("2")));
    assert_eq!(texts(&client.read("/v1/orders").await, "id"), [&*other, &*large, &*first], "the latest first");
    let of = async |filter: Value| texts(&client.read(&filtered("/v1/orders", &filter)).await, "id");
    assert_eq!(of(condition("customer_id", "eq", &*ada)).await, [&*large, &*first]);
    assert_eq!(of(condition("total.amount", "between", json!(["50000", "1000000"]))).await, [&*large]);
    assert_eq!(of(condition("total.amount", "eq", json!(126))).await, [&*first], "as numbers are equal");
    assert_eq!(of(condition("city", "eq", "Roma")).await, [&*other, &*first]);
    let dear = client.read("/v1/orders?sort=-total.amount&limit=2").await;
    assert_eq!(texts(&dear, "id"), [&*large, &*first], "by amount, not by text");
    let rest = client.read(dear["next"].as_str().unwrap()).await;
    assert_eq!(texts(&rest, "id"), [&*other]);

    // Paid by and by.
    let pay = format!("/v1/orders/{first}/pay");
    client.run(&pay, json!({ "amount": euros("100.5") })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/orders/{first}")).await;
    assert_eq!((&shown["paid"], &shown["paid_in_full"]), (&euros("100.5"), &json!(false)));
    let paid = client.post(&pay, json!({ "amount": euros("25.50") })).await.expect(StatusCode::OK);
    assert_eq!(paid["events"][0]["data"]["in_full"], true);
    client.run(&format!("/v1/orders/{first}/change_status"), json!({ "status": "packed" })).await;
    server.settle().await;
    assert_eq!(of(condition("paid_in_full", "eq", true)).await, [&*first]);
    assert_eq!(of(condition("paid.amount", "gte", "126")).await, [&*first]);
    assert_eq!(of(condition("status", "eq", "packed")).await, [&*first]);
    let then = client.read(&format!("/v1/orders/{first}?as_of={}", shown["position"])).await;
    assert_eq!((&then["paid_in_full"], &then["status"]), (&json!(false), &json!("new")), "before the second payment");

    // An amendment that costs more leaves something to pay.
    let amend = json!({ "items": [item("Chair", "4", euros("50"))] });
    client.run(&format!("/v1/orders/{first}/amend"), amend).await;
    client.run(&format!("/v1/orders/{large}/cancel"), json!({ "reason": "Out of stock" })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/orders/{first}")).await;
    assert_eq!((&shown["total"], &shown["paid_in_full"]), (&euros("205.50"), &json!(false)));
    let shown = client.read(&format!("/v1/orders/{large}")).await;
    assert_eq!((&shown["cancelled"], &shown["cancel_reason"]), (&json!(true), &json!("Out of stock")));
    client
        .post(&format!("/v1/orders/{large}/pay"), json!({ "amount": euros("1") }))
        .await
        .problem(409, "order_cancelled");
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_or_put_on_record() {
    let server = Server::start().await;
    let client = &server.admin;
    let rubles = json!({ "amount": "5", "currency": "RUB" });
    let chair = item("Chair", "2", euros("10"));
    for (body, code, pointer) in [
        (json!({ "source": "shop" }), "order_empty", "/items"),
        (json!({ "source": "a/b", "items": [chair] }), "order_source_invalid", "/source"),
        (json!({ "source": "shop", "items": [item(" ", "1", euros("1"))] }), "order_item_invalid", "/items/0"),
        (json!({ "source": "shop", "items": [item("x", "0", euros("1"))] }), "order_item_invalid", "/items/0"),
        (json!({ "source": "shop", "items": [chair], "total": euros("19.99") }), "order_total_wrong", "/total"),
        (json!({ "source": "shop", "items": [chair], "discount": euros("21") }), "order_total_wrong", "/discount"),
        (json!({ "source": "shop", "items": [chair], "customer": NOBODY }), "reference_unfit", "/customer"),
        (json!({ "source": "shop", "items": [chair], "email": "nobody" }), "email_invalid", "/email"),
    ] {
        let problem = client.post("/v1/orders", body).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let mixed = json!({ "source": "shop", "items": [chair], "shipping": rubles });
    client.post("/v1/orders", mixed).await.problem(422, "order_currency_mixed");
    let numbered = json!({ "source": "shop", "external_number": "7", "items": [chair], "total": euros("20.00") });
    let order = client.create("/v1/orders", numbered.clone()).await;
    client.post("/v1/orders", numbered).await.problem(409, "order_number_taken");
    let pay = format!("/v1/orders/{order}/pay");
    client.post(&pay, json!({ "amount": rubles })).await.problem(422, "order_currency_mixed");
    client.post(&pay, json!({ "amount": euros("0") })).await.problem(422, "payment_amount_invalid");

    let rejected = json!({ "source": "shop", "errors": ["items: missing"] });
    client.run(&format!("/v1/orders/{NOBODY}/reject"), rejected).await;
    server.settle().await;
    assert_eq!(texts(&client.read("/v1/orders").await, "id"), [&*order], "it is no order");
    client.get(&format!("/v1/orders/{NOBODY}")).await.problem(404, "order_unknown");
    let history = client.read(&format!("/v1/orders/{NOBODY}/history")).await;
    assert_eq!(texts(&history, "type"), ["order.rejected"]);
}

/// Three properties, and what is asked about them.
struct Agency {
    flat: String,
    house: String,
    field: String,
    ada: String,
    enquiry: String,
}

impl Agency {
    async fn new(client: &Client) -> Agency {
        let property = async |name: &str, kind: &str, price: &str, rooms: Option<u8>, area: &str, city: &str| {
            let body = json!({
                "name": name, "kind": kind, "price": euros(price), "rooms": rooms, "area": area, "city": city,
                "features": if rooms.is_some() { json!(["balcony"]) } else { json!([]) },
            });
            client.create("/v1/properties", body).await
        };
        let flat = property("Three rooms", "apartment", "310000", Some(3), "78.5", "Roma").await;
        let house = property("A house", "house", "99000.90", Some(5), "120", "Bari").await;
        let field = property("A field", "land", "1000000", None, "9000", "Roma").await;
        let ada = contact(client, "Ada").await;
        let enquiry = enquiry(client, "A flat in Rome", &ada).await;
        Agency { flat, house, field, ada, enquiry }
    }
}

async fn enquiry(client: &Client, name: &str, contact: &str) -> String {
    let criteria =
        json!({ "kinds": ["apartment", "house"], "cities": ["Roma"], "price_to": euros("350000"), "rooms_from": 2 });
    client.create("/v1/enquiries", json!({ "name": name, "contact": contact, "criteria": criteria })).await
}

async fn offer(client: &Client, enquiry: &str, properties: &[&str]) -> String {
    client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": properties })).await
}

#[tokio::test]
async fn properties_are_found_by_what_they_are() {
    let server = Server::start().await;
    let client = &server.admin;
    let agency = Agency::new(client).await;
    server.settle().await;
    let of = async |filter: Value| {
        let path = filtered("/v1/properties?sort=created_at", &filter);
        texts(&client.read(&path).await, "id")
    };
    let (flat, house, field) = (&*agency.flat, &*agency.house, &*agency.field);
    assert_eq!(of(json!({})).await, [flat, house, field]);
    assert_eq!(of(condition("price.amount", "lte", "310000.00")).await, [flat, house]);
    assert_eq!(of(condition("area", "gt", json!(100))).await, [house, field]);
    assert_eq!(of(condition("rooms", "gte", 3)).await, [flat, house]);
    assert_eq!(of(condition("rooms", "is_null", true)).await, [field]);
    assert_eq!(of(condition("features", "contains", "balcony")).await, [flat, house]);
    let in_rome =
        json!({ "all": [condition("city", "eq", "Roma"), condition("kind", "in", json!(["apartment", "house"]))] });
    assert_eq!(of(in_rome).await, [flat]);
    assert_eq!(texts(&client.read("/v1/properties?sort=-price.amount").await, "id"), [field, flat, house]);
    assert_eq!(texts(&client.read("/v1/properties?sort=area").await, "id"), [flat, house, field], "78.5, 120, 9000");

    // A new price has an event of its own.
    let path = format!("/v1/properties/{flat}");
    let changed = client.patch(&path, json!({ "price": euros("299000"), "floor": 2 })).await.expect(StatusCode::OK);
    assert_eq!(
        each(&json!({ "data": changed["events"] }), "type"),
        [json!("property.price_changed"), json!("property.details_changed")]
    );
    for (number, caption) in [(1, "Kitchen"), (2, "Bath")] {
        let picture = json!({ "url": format!("https://pictures.example/{number}.jpg"), "caption": caption });
        client.run(&format!("{path}/add_media"), picture).await;
    }
    client.post(&format!("{path}/add_media"), json!({})).await.problem(422, "property_media_invalid");
    server.settle().await;
    let media = client.read(&path).await["media"].clone();
    let order = json!([media[1]["media_id"], media[0]["media_id"]]);
    client.run(&format!("{path}/reorder_media"), json!({ "order": order })).await;
    client.run(&format!("{path}/publish_to_portal"), json!({ "portal": "casa" })).await;
    client.run(&format!("{path}/publish_to_portal"), json!({ "portal": "immo" })).await;
    client.run(&format!("{path}/mark_portal_rejected"), json!({ "portal": "immo", "error": "No plan" })).await;
    let copy = json!({ "name": "Three rooms, second floor", "copied_from": flat });
    let copy = client.create("/v1/properties", copy).await;
    server.settle().await;
    let shown = client.read(&path).await;
    assert_eq!((&shown["price"], &shown["floor"]), (&euros("299000"), &json!(2)));
    assert_eq!(shown["media"][0]["caption"], "Bath");
    assert_eq!((&shown["portals"], &shown["portal_errors"]), (&json!(["casa"]), &json!({ "immo": "No plan" })));
    assert_eq!(of(condition("portals", "contains", "casa")).await, [flat]);
    assert_eq!(of(condition("copied_from", "eq", flat)).await, [&*copy]);
    let before = client.read(&format!("{path}?as_of={}", changed["position"].as_i64().unwrap() - 2)).await;
    assert_eq!((&before["price"], &before["media"]), (&euros("310000"), &json!([])));
}

#[tokio::test]
async fn the_same_property_is_never_offered_twice_by_mistake() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { flat, house, field, ada, enquiry: first } = Agency::new(client).await;
    let second = enquiry(client, "A flat by the sea", &ada).await;
    let send = |offer: &str| format!("/v1/offers/{offer}/send");
    let sent = offer(client, &first, &[&flat, &house]).await;
    client.post(&format!("/v1/offers/{sent}/accept"), json!({})).await.problem(409, "offer_not_sent");
    let events = client.run(&send(&sent), json!({ "medium": "email" })).await;
    assert_eq!(events, ["offer.sent", "enquiry.offer_sent", "contact.offer_received"]);
    assert!(client.run(&send(&sent), json!({ "medium": "email" })).await.is_empty(), "asked twice");

    // To the same enquiry, and to the same contact who enquires about something else.
    let again = offer(client, &first, &[&field, &flat]).await;
    let problem = client.post(&send(&again), json!({ "medium": "email" })).await.problem(409, "already_offered");
    assert!(problem["detail"].as_str().unwrap().contains(&*flat), "{problem}");
    let elsewhere = offer(client, &second, &[&house]).await;
    client.post(&send(&elsewhere), json!({ "medium": "phone" })).await.problem(409, "already_offered");
    let blank = json!({ "medium": "phone", "repeat_reason": " " });
    client.post(&send(&elsewhere), blank).await.problem(422, "repeat_reason_invalid");
    let forced = json!({ "medium": "phone", "repeat_reason": "It is cheaper now" });
    client.run(&send(&elsewhere), forced).await;
    // Another customer has not seen it.
    let dora = contact(client, "Dora").await;
    let other = enquiry(client, "Anything", &dora).await;
    let fresh = offer(client, &other, &[&flat]).await;
    client.run(&send(&fresh), json!({ "medium": "email" })).await;
    server.settle().await;

    let shown = client.read(&format!("/v1/offers/{elsewhere}")).await;
    assert_eq!(shown["repeated"], json!([{ "property": house, "offer": sent }]));
    assert_eq!((&shown["repeat_reason"], &shown["status"]), (&json!("It is cheaper now"), &json!("sent")));
    assert_eq!((&shown["contact_name"], &shown["enquiry_name"]), (&json!("Ada"), &json!("A flat by the sea")));
    assert_eq!(shown["properties"], json!([{ "id": house, "name": "A house" }]));
    let of = async |filter: Value| {
        let path = filtered("/v1/offers?sort=drafted_at", &filter);
        texts(&client.read(&path).await, "id")
    };
    assert_eq!(of(condition("enquiry_id", "eq", &*first)).await, [&*sent, &*again]);
    assert_eq!(of(condition("contact_id", "eq", &*ada)).await, [&*sent, &*again, &*elsewhere]);
    assert_eq!(of(condition("property_ids", "contains", &*flat)).await, [&*sent, &*again, &*fresh]);
    assert_eq!(of(condition("status", "eq", "draft")).await, [&*again]);
    let asked = client.read(&format!("/v1/enquiries/{first}")).await;
    let mut offered = vec![flat.clone(), house.clone()];
    offered.sort();
    assert_eq!((&asked["offered_property_ids"], &asked["offer_count"]), (&json!(offered), &json!(1)));

    // The draft is put right, and the customer answers.
    client.run(&format!("/v1/offers/{again}/revise"), json!({ "properties": [field] })).await;
    client.run(&send(&again), json!({ "medium": "email" })).await;
    let at = |command: &str| format!("/v1/offers/{again}/{command}");
    client.run(&at("mark_opened"), json!({})).await;
    client.post(&at("accept"), json!({ "properties": [flat] })).await.problem(422, "offer_property_unknown");
    client.run(&at("accept"), json!({})).await;
    client.post(&at("decline"), json!({})).await.problem(409, "offer_answered");
    client.post(&at("revise"), json!({ "properties": [flat] })).await.problem(409, "offer_sent");
    client.run(&format!("/v1/offers/{sent}/decline"), json!({ "reason": "Too far out" })).await;
    server.settle().await;
    let shown = client.read(&format!("/v1/offers/{again}")).await;
    assert_eq!((&shown["status"], &shown["accepted_property_ids"]), (&json!("accepted"), &json!([field])));
    assert!(shown["opened_at"].is_string() && shown["answered_at"].is_string(), "{shown}");
    assert_eq!(of(condition("status", "eq", "declined")).await, [&*sent]);
    for body in
        [json!({ "enquiry": NOBODY, "properties": [flat] }), json!({ "enquiry": first, "properties": [NOBODY] })]
    {
        client.post("/v1/offers", body).await.problem(422, "reference_unfit");
    }
    let twice = json!({ "enquiry": first, "properties": [flat, flat] });
    client.post("/v1/offers", twice).await.problem(422, "offer_properties_invalid");
}

#[tokio::test]
async fn an_enquiry_goes_on_until_it_is_closed() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { flat, ada, enquiry: id, .. } = Agency::new(client).await;
    let dora = contact(client, "Dora").await;
    let other = client
        .create("/v1/enquiries", json!({ "name": "To rent", "contact": dora, "criteria": { "purpose": "rent" } }))
        .await;
    let path = format!("/v1/enquiries/{id}");
    let noted = json!({ "text": "Two rooms by the river", "url": "https://portal.example/77" });
    client.run(&format!("{path}/note_external_offer"), noted).await;
    client.run(&format!("{path}/move_stage"), json!({ "stage": "viewing" })).await;
    client.post(&format!("{path}/move_stage"), json!({ "stage": "won" })).await.problem(422, "stage_unknown");
    let edited = client.patch(&path, json!({ "criteria": { "rooms_from": 3 } })).await.expect(StatusCode::OK);
    assert_eq!(edited["events"][0]["type"], "enquiry.criteria_changed");
    server.settle().await;
    let shown = client.read(&path).await;
    assert_eq!((&shown["stage"], &shown["status"]), (&json!("viewing"), &json!("open")));
    assert_eq!((&shown["contact_name"], &shown["criteria"]["rooms_from"]), (&json!("Ada"), &json!(3)));
    assert_eq!(shown["external_offers"][0]["text"], "Two rooms by the river");
    let of = async |filter: Value| texts(&client.read(&filtered("/v1/enquiries", &filter)).await, "id");
    assert_eq!(of(condition("contact_id", "eq", &*ada)).await, [&*id]);
    assert_eq!(of(condition("criteria.kinds", "contains", "house")).await, [&*id]);
    assert_eq!(of(condition("criteria.kinds", "is_null", true)).await, [&*other]);
    assert_eq!(of(condition("criteria.purpose", "eq", "rent")).await, [&*other]);
    assert_eq!(of(condition("criteria.price_to.amount", "gt", "300000")).await, [&*id]);
    assert_eq!(of(condition("criteria.rooms_from", "gte", 3)).await, [&*id]);
    assert_eq!(of(condition("stage", "eq", "new")).await, [&*other]);

    client.run(&format!("{path}/close"), json!({ "outcome": "Bought" })).await;
    client.post(&format!("{path}/move_stage"), json!({ "stage": "new" })).await.problem(409, "enquiry_closed");
    let late = offer(client, &id, &[&flat]).await;
    client.post(&format!("/v1/offers/{late}/send"), json!({ "medium": "email" })).await.problem(409, "enquiry_closed");
    server.settle().await;
    assert_eq!(of(condition("status", "eq", "open")).await, [&*other]);
    assert_eq!(client.read(&path).await["outcome"], "Bought");
    client.run(&format!("{path}/reopen"), json!({})).await;
    client.run(&format!("/v1/offers/{late}/send"), json!({ "medium": "email" })).await;
    server.settle().await;
    assert_eq!(of(condition("offered_property_ids", "contains", &*flat)).await, [&*id]);
    assert_eq!(client.read(&path).await["closed_at"], Value::Null);
}

#[tokio::test]
async fn leads_become_customers_or_do_not_and_deals_are_won_or_lost() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { flat, ada, enquiry, .. } = Agency::new(client).await;
    let lead = |name: &str, amount: &str| json!({ "name": name, "amount": euros(amount), "city": "Roma", "phone": "+39 06 555 0101" });
    let oleg = client.create("/v1/leads", lead("Oleg", "900.50")).await;
    let pia = client.create("/v1/leads", lead("Pia", "15000")).await;
    client.post("/v1/leads", json!({ "name": " " })).await.problem(422, "name_invalid");
    let deal = json!({ "name": "Flat", "contact": ada, "property": flat, "enquiry": enquiry, "amount": euros("305000"), "expected_on": "2027-03-31" });
    let deal = client.create("/v1/deals", deal).await;
    let at = |collection: &str, id: &str, command: &str| format!("/v1/{collection}/{id}/{command}");
    client.run(&at("leads", &oleg, "move_stage"), json!({ "stage": "qualified" })).await;
    client.post(&at("leads", &oleg, "convert"), json!({ "contact": NOBODY })).await.problem(422, "reference_unfit");
    client.run(&at("leads", &oleg, "convert"), json!({ "contact": ada, "deal": deal })).await;
    client.post(&at("leads", &oleg, "lose"), json!({})).await.problem(409, "lead_closed");
    client.run(&at("leads", &pia, "lose"), json!({ "reason": "Bought elsewhere" })).await;
    server.settle().await;
    let of = async |list: &str, filter: Value| texts(&client.read(&filtered(list, &filter)).await, "id");
    assert_eq!(of("/v1/leads", condition("status", "eq", "converted")).await, [&*oleg]);
    assert_eq!(of("/v1/leads", condition("converted_deal_id", "eq", &*deal)).await, [&*oleg]);
    assert_eq!(of("/v1/leads", condition("amount.amount", "gt", "1000")).await, [&*pia]);
    let shown = client.read(&format!("/v1/leads/{pia}")).await;
    assert_eq!((&shown["lost_reason"], &shown["stage"]), (&json!("Bought elsewhere"), &json!("new")));
    client.run(&at("leads", &pia, "reopen"), json!({})).await;

    let sale = json!({ "property": flat, "contacts": [ada], "price": euros("301000.00") });
    client.run(&at("deals", &deal, "record"), sale).await;
    client.run(&at("deals", &deal, "move_stage"), json!({ "stage": "contract" })).await;
    client.run(&at("deals", &deal, "win"), json!({ "reason": "Best price" })).await;
    client.post(&at("deals", &deal, "lose"), json!({})).await.problem(409, "deal_closed");
    client.post(&at("deals", &deal, "move_stage"), json!({ "stage": "new" })).await.problem(409, "deal_closed");
    client.post("/v1/deals", json!({ "name": "x", "contact": NOBODY })).await.problem(422, "reference_unfit");
    let debt = json!({ "name": "x", "amount": euros("-1") });
    client.post("/v1/deals", debt).await.problem(422, "amount_invalid");
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/leads/{pia}")).await["status"], "open");
    let shown = client.read(&format!("/v1/deals/{deal}")).await;
    for (name, value) in [
        ("status", json!("won")),
        ("reason", json!("Best price")),
        ("stage", json!("contract")),
        ("contact_name", json!("Ada")),
        ("property_name", json!("Three rooms")),
        ("enquiry_name", json!("A flat in Rome")),
        ("amount", euros("305000")),
        ("expected_on", json!("2027-03-31")),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(shown["sale"]["price"], euros("301000.00"));
    for filter in [
        condition("property_id", "eq", &*flat),
        condition("contact_id", "eq", &*ada),
        condition("expected_on", "between", json!(["2027-03-01", "2027-03-31"])),
        condition("sale.price.amount", "lt", "305000"),
        condition("status", "eq", "won"),
    ] {
        assert_eq!(of("/v1/deals", filter.clone()).await, [&*deal], "{filter}");
    }
}

#[tokio::test]
async fn records_are_related_and_found_from_either_end() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { flat, house, ada, .. } = Agency::new(client).await;
    let dora = contact(client, "Dora").await;
    let relate = async |from: Value, to: Value, role: &str| {
        client.create("/v1/relations", json!({ "from": from, "to": to, "role": role })).await
    };
    let owner = relate(subject("contact", &ada), subject("property", &flat), "owner").await;
    let spouse = relate(subject("contact", &dora), subject("contact", &ada), "spouse").await;
    let nearby = relate(subject("property", &house), subject("property", &flat), "nearby").await;
    let same = json!({ "from": subject("contact", &ada), "to": subject("property", &flat), "role": "owner" });
    let again = client.post("/v1/relations", same).await.expect(StatusCode::OK);
    assert_eq!((&again["id"], &again["events"]), (&json!(owner), &json!([])), "said twice, it is one");
    let selfish = json!({ "from": subject("contact", &ada), "to": subject("contact", &ada), "role": "friend" });
    client.post("/v1/relations", selfish).await.problem(422, "relation_same_record");
    let nobody = json!({ "from": subject("contact", &ada), "to": subject("property", NOBODY), "role": "owner" });
    client.post("/v1/relations", nobody).await.problem(422, "reference_unfit");
    server.settle().await;
    let of = async |record: &str| {
        let path = filtered("/v1/relations?sort=added_at", &condition("record_ids", "contains", record));
        texts(&client.read(&path).await, "id")
    };
    assert_eq!(of(&ada).await, [&*owner, &*spouse]);
    assert_eq!(of(&flat).await, [&*owner, &*nearby]);
    assert_eq!(of(&dora).await, [&*spouse]);
    let owned = json!({ "all": [condition("from_id", "eq", &*ada), condition("to_kind", "eq", "property"), condition("role", "eq", "owner")] });
    let owned = client.read(&filtered("/v1/relations", &owned)).await;
    assert_eq!(
        (texts(&owned, "to_id"), texts(&owned, "to_name")),
        (vec![flat.clone()], vec!["Three rooms".to_owned()])
    );
    assert_eq!(texts(&owned, "from_name"), ["Ada"]);
    let before = client.read("/v1/events").await["position"].clone();

    client.run(&format!("/v1/relations/{owner}/remove"), json!({})).await;
    server.settle().await;
    assert_eq!(of(&ada).await, [&*spouse], "what is over is left out");
    let ended = filtered("/v1/relations", &condition("removed", "eq", true));
    assert_eq!(texts(&client.read(&ended).await, "id"), [&*owner]);
    assert_eq!(client.read(&format!("/v1/relations/{owner}?as_of={before}")).await["removed"], false);
    relate(subject("contact", &ada), subject("property", &flat), "owner").await;
    server.settle().await;
    assert_eq!(pages(client, "/v1/relations?limit=1").await.len(), 3, "and comes back");
}

#[tokio::test]
async fn an_archived_property_is_advertised_no_longer() {
    let server = Server::start().await;
    let client = &server.admin;
    let setting = json!({ "key": "portals", "value": ["casa.example"] });
    client.post("/v1/tenants/current/change_setting", setting).await;
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let portal = json!({ "portal": "casa.example" });
    client.run(&format!("/v1/properties/{flat}/publish_to_portal"), portal.clone()).await;
    let archived = client.run(&format!("/v1/properties/{flat}/archive"), json!({})).await;
    assert_eq!(archived, ["property.unpublished", "property.archived"]);
    let unpublish = format!("/v1/properties/{flat}/unpublish_from_portal");
    assert_eq!(client.run(&unpublish, portal.clone()).await, [""; 0], "it is so already");
    client.post(&format!("/v1/properties/{flat}/publish_to_portal"), portal).await.problem(409, "property_archived");
}

#[tokio::test]
async fn a_property_is_sold_by_one_deal_and_that_deal_is_found() {
    let server = Server::start().await;
    let client = &server.admin;
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let let_out = client.create("/v1/properties", json!({ "name": "Room", "purpose": "rent" })).await;
    let (first, second) = (
        client.create("/v1/deals", json!({ "name": "First" })).await,
        client.create("/v1/deals", json!({ "name": "Second" })).await,
    );
    let sale = |property: &str| json!({ "property": property, "price": euros("310000") });
    let record =
        async |deal: &str, property: &str| client.post(&format!("/v1/deals/{deal}/record"), sale(property)).await;
    record(&first, &flat).await.expect(StatusCode::OK);
    record(&second, &flat).await.problem(409, "deal_property_sold");
    server.settle().await;
    let sold = filtered("/v1/deals", &condition("sale.property", "eq", &*flat));
    assert_eq!(texts(&client.read(&sold).await, "id"), [&*first]);
    // A deal that is lost gives it back, and cannot take it back from another one.
    client.run(&format!("/v1/deals/{first}/lose"), json!({})).await;
    record(&second, &flat).await.expect(StatusCode::OK);
    client.post(&format!("/v1/deals/{first}/reopen"), json!({})).await.problem(409, "deal_property_sold");
    // So does one that is put away.
    client.run(&format!("/v1/deals/{second}/archive"), json!({})).await;
    client.run(&format!("/v1/deals/{first}/reopen"), json!({})).await;
    client.post(&format!("/v1/deals/{second}/restore"), json!({})).await.problem(409, "deal_property_sold");
    // What is to let is let again and again.
    for name in ["Third", "Fourth"] {
        let deal = client.create("/v1/deals", json!({ "name": name })).await;
        record(&deal, &let_out).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn an_offer_goes_to_whoever_enquires_when_it_is_sent() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ada, dora) = (contact(client, "Ada").await, contact(client, "Dora").await);
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let enquiry = enquiry(client, "Two rooms", &ada).await;
    let offer = offer(client, &enquiry, &[&flat]).await;
    client.patch(&format!("/v1/enquiries/{enquiry}"), json!({ "contact": dora })).await.expect(StatusCode::OK);
    let sent = client.post(&format!("/v1/offers/{offer}/send"), json!({ "medium": "email" })).await;
    assert_eq!(sent.expect(StatusCode::OK)["events"][0]["data"]["to"], *dora);
    server.settle().await;
    let read = client.read(&format!("/v1/offers/{offer}")).await;
    assert_eq!(
        (&read["sent_to_id"], &read["contact_id"], &read["contact_name"]),
        (&json!(dora), &json!(dora), &json!("Dora"))
    );
    for (contact, offers) in [(&dora, 1), (&ada, 0)] {
        let listed = client.read(&filtered("/v1/offers", &condition("contact_id", "eq", contact.clone()))).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), offers);
    }
}

#[tokio::test]
async fn an_offer_needs_no_enquiry_where_a_contact_will_do() {
    let server = Server::start().await;
    let client = &server.admin;
    let ada = contact(client, "Ada").await;
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let enquiry = enquiry(client, "Two rooms", &ada).await;
    let send = async |offer: &str| client.post(&format!("/v1/offers/{offer}/send"), json!({ "medium": "email" })).await;
    let first = client.create("/v1/offers", json!({ "contact": ada, "properties": [flat] })).await;
    let sent = send(&first).await.expect(StatusCode::OK);
    assert_eq!(sent["events"][0]["data"]["to"], *ada);
    // What the contact was offered before counts, whatever for.
    let second = offer(client, &enquiry, &[&flat]).await;
    send(&second).await.problem(409, "already_offered");
    server.settle().await;
    let shown = client.read(&format!("/v1/offers/{first}")).await;
    assert_eq!((&shown["enquiry_id"], &shown["contact_id"]), (&Value::Null, &json!(ada)));
    for unclear in
        [json!({ "properties": [flat] }), json!({ "properties": [flat], "contact": ada, "enquiry": enquiry })]
    {
        client.post("/v1/offers", unclear).await.problem(422, "offer_for_whom");
    }
    client.run(&format!("/v1/enquiries/{enquiry}/archive"), json!({})).await;
    let third = client.create("/v1/properties", json!({ "name": "House" })).await;
    client.run(&format!("/v1/offers/{second}/revise"), json!({ "properties": [third] })).await;
    send(&second).await.problem(422, "reference_unfit");
}
