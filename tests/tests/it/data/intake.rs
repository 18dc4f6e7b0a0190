//! The intake: what shops and telephone systems hand in is kept, taken once, and put right where it cannot be taken.

use std::collections::BTreeSet;

use deskfold_tests::{Client, SECRET_KEY, Server, until};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    ground::{crash::Node, program::home},
    org::auth::user_with,
    world::{condition, filtered, texts},
};

/// A mapping of a shop with fields of its own.
const SHOP: &str = r#"
delivery = "{event}"
key = "{order.id}"
[fields]
name = "{order.client.name}"
email = "{order.client.mail}"
phone = "{order.client.phone}"
status = { column = "order.state", values = { OPEN = "new", DONE = "done" }, blank = "new" }
[fields.items]
each = "order.lines"
name = "{title}"
quantity = "{count}"
price = { amount = "{price}", currency = "{$.order.currency}" }
[contact.fields]
name = "{order.client.name}"
email = "{order.client.mail}"
phone = "{order.client.phone}"
"#;

async fn hand_in(client: &Client, place: &str, body: Value) -> Value {
    let reply = client.post(&format!("/v1/intake/{place}"), body).await;
    assert!(reply.status.is_success(), "{}", reply.text);
    reply.json()
}

async fn source(server: &Server, name: &str, takes: &str, mapping: &str) -> String {
    let body = json!({ "name": name, "source": name, "takes": takes, "mapping": mapping });
    server.admin.create("/v1/intake_sources", body).await
}

fn euros(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn delivered(event: &str, order: &Value) -> Value {
    json!({ "event": event, "order": order })
}

#[tokio::test]
async fn what_a_shop_hands_in_becomes_an_order_with_its_contact_once() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, shop) = user_with(&server, "shop@example.com", &["intake.orders"]).await;

    // In the names of the API it needs no mapping.
    let lamp = json!({ "name": "Lamp", "quantity": "2", "price": euros("12.50") });
    let body = json!({ "key": "1001", "name": "Maria Rossi", "phone": "+39 06 555 0101", "items": [lamp] });
    let retrying = shop.header("idempotency-key", "evt-1");
    let first = retrying.post("/v1/intake/orders?source=web", body.clone()).await;
    let location = first.header("location").to_owned();
    let first = first.expect(StatusCode::CREATED);
    assert_eq!(
        (&first["delivery"]["status"], location),
        (&json!("taken"), format!("/v1/deliveries/{}", first["id"].as_str().unwrap()))
    );
    let again = retrying.post("/v1/intake/orders?source=web", body.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json(), first);
    server.settle().await;
    let order = admin.read(&format!("/v1/orders/{}", first["delivery"]["record"]["id"].as_str().unwrap())).await;
    assert_eq!((&order["source"], &order["external_number"]), (&json!("web"), &json!("1001")));
    assert_eq!((&order["total"], &order["items"][0]["name"]), (&euros("25.00"), &json!("Lamp")));
    let maria = first["delivery"]["contact"].as_str().unwrap().to_owned();
    assert_eq!(order["customer_id"], *maria);
    let contact = admin.read(&format!("/v1/contacts/{maria}")).await;
    assert_eq!((&contact["name"], &contact["source"]), (&json!("Maria Rossi"), &json!("web")));

    // A key of a shop does that, and nothing else.
    shop.get("/v1/orders").await.problem(403, "permission_denied");
    shop.get("/v1/deliveries").await.problem(403, "permission_denied");
    shop.post("/v1/intake/leads", body.clone()).await.problem(403, "permission_denied");
    let no_json = shop.request(Method::POST, "/v1/intake/orders").body("order=1");
    // What is no JSON, or no text, is kept as it came and asks for attention, as everything that cannot be taken.
    let odd = shop.send(no_json).await.expect(StatusCode::CREATED);
    assert_eq!(
        (&odd["delivery"]["status"], &odd["delivery"]["code"]),
        (&json!("refused"), &json!("delivery_body_invalid"))
    );
    assert!(odd["delivery"]["reason"].as_str().unwrap().contains("expected value"), "{odd}");
    let bytes = b"\xcf\xf0\xe8\xe2\xe5\xf2\x00".to_vec();
    let request = shop.header("idempotency-key", "cp1251").request(Method::POST, "/v1/intake/orders");
    let bare = shop.send(request.body(bytes.clone())).await.expect(StatusCode::CREATED);
    assert_eq!(bare["delivery"]["code"], "delivery_body_invalid", "{bare}");
    shop.send(shop.request(Method::POST, "/v1/intake/orders").body(" ")).await.problem(400, "body_malformed");
    server.settle().await;
    let came = |of: &Value| format!("/v1/deliveries/{}/body", of["id"].as_str().unwrap());
    let kept = admin.get(&came(&odd)).await;
    assert_eq!((kept.text.as_str(), kept.header("content-type")), ("order=1", "text/plain; charset=utf-8"));
    let answer = admin.request(Method::GET, &came(&bare)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    assert_eq!(admin.read("/v1/notices?count=exact").await["total"], 2);
    let right =
        json!({ "body": r#"{"name":"Odd","items":[{"name":"Lamp","price":{"amount":"1","currency":"EUR"}}]}"# });
    for one in [&odd, &bare] {
        admin.run(&format!("/v1/deliveries/{}/correct", one["id"].as_str().unwrap()), right.clone()).await;
    }
    server.settle().await;
    assert_eq!(admin.read("/v1/notices?count=exact").await["total"], 0);
    // What is wrong deep in a body is pointed at.
    let priced = json!({ "name": "Lamp", "price": { "amount": "1", "currency": "XXQ" } });
    let deep = shop.post("/v1/intake/orders", json!({ "name": "Maria", "items": [priced] })).await;
    let deep = deep.expect(StatusCode::CREATED);
    assert_eq!(deep["delivery"]["pointer"], "/items/0/price/currency", "{deep}");
    admin.run(&format!("/v1/deliveries/{}/dismiss", deep["id"].as_str().unwrap()), json!({})).await;
    shop.post("/v1/intake/orders?source=My%20Shop", body).await.problem(422, "intake_source_name_invalid");

    // A mapping is checked when it is set, at once and whole.
    let unfit = "delivery = \"x\"\n[fields]\n";
    let set = |mapping: &str| json!({ "name": "Till", "source": "till", "takes": "orders", "mapping": mapping });
    let problem = admin.post("/v1/intake_sources", set(unfit)).await.problem(422, "mapping_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/mapping", "{problem}");
    let unfit = admin.post("/v1/intake_sources", set("[fields]\ncolour = \"{x}\"")).await;
    assert!(unfit.problem(422, "mapping_invalid")["detail"].as_str().unwrap().contains("fields.colour"));
    let till = source(&server, "till", "orders", SHOP).await;
    admin.post("/v1/intake_sources", set(SHOP)).await.problem(409, "intake_source_name_taken");
    admin
        .patch(&format!("/v1/intake_sources/{till}"), json!({ "mapping": "key = 1" }))
        .await
        .problem(422, "mapping_invalid");

    // The same person by another spelling of the number; what was not known of her is filled in.
    let client = json!({ "name": "M. Rossi", "phone": "0039-06-555-0101", "mail": "maria@example.com" });
    let lines = json!([
        { "title": "Bulb", "count": 3, "price": 1.5 },
        { "title": "Cable", "count": 1, "price": "4" },
    ]);
    let ordered = json!({ "id": 7, "currency": "EUR", "state": "OPEN", "client": client, "lines": lines });
    let would = hand_in(&shop, "orders?source=till&dry_run=true", delivered("e-1", &ordered)).await;
    assert_eq!(would["delivery"]["status"], "taken", "{would}");
    let taken = hand_in(&shop, "orders?source=till", delivered("e-1", &ordered)).await;
    assert_eq!(
        (&taken["delivery"]["status"], &taken["delivery"]["contact"]),
        (&json!("taken"), &json!(maria)),
        "{taken}"
    );
    let again = shop.post("/v1/intake/orders?source=till", delivered("e-1", &ordered)).await.expect(StatusCode::OK);
    assert_eq!((&again["id"], &again["events"], &again["delivery"]), (&taken["id"], &json!([]), &taken["delivery"]));
    let other = json!({ "id": 8, "currency": "EUR", "client": client, "lines": lines });
    shop.post("/v1/intake/orders?source=till", delivered("e-1", &other)).await.problem(409, "delivery_differs");
    server.settle().await;
    let id = taken["delivery"]["record"]["id"].as_str().unwrap();
    let order = admin.read(&format!("/v1/orders/{id}")).await;
    assert_eq!((&order["total"], &order["status"]), (&euros("8.5"), &json!("new")), "{order}");
    let contact = admin.read(&format!("/v1/contacts/{maria}")).await;
    assert_eq!((&contact["name"], &contact["email"]), (&json!("Maria Rossi"), &json!("maria@example.com")));

    // What is told of the same order later brings it up to date.
    let done = json!({ "id": 7, "currency": "EUR", "state": "DONE", "client": client, "lines": lines });
    let later = hand_in(&shop, "orders?source=till", delivered("e-2", &done)).await;
    assert_eq!(later["delivery"]["record"], taken["delivery"]["record"], "{later}");
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/orders/{id}")).await["status"], "done");
    assert_eq!(texts(&admin.read("/v1/orders").await, "id").len(), 4);
    assert_eq!(texts(&admin.read("/v1/contacts").await, "id"), [maria]);
    let events = admin.read(&format!("/v1/events?stream=order-{id}")).await;
    let caused = events["data"][0]["causation_position"].as_i64();
    assert!(caused.is_some_and(|position| position > 0), "{events}");
}

#[tokio::test]
async fn what_cannot_be_taken_is_kept_and_noticed_until_it_is_put_right() {
    let server = Server::start().await;
    let admin = &server.admin;
    let till = source(&server, "till", "orders", SHOP).await;
    let (_, shop) = user_with(&server, "shop@example.com", &["intake.orders", "intake.leads"]).await;
    let (_, stranger) =
        user_with(&server, "stranger@example.com", &["system_notice.read:own", "delivery.read:own"]).await;
    let client = json!({ "name": "Maria", "phone": "+39 06 555 0101" });
    let order = |price: &str| {
        let lines = json!([{ "title": "Lamp", "count": 1, "price": price }]);
        json!({ "id": 7, "currency": "EUR", "client": client, "lines": lines })
    };
    let refused = hand_in(&shop, "orders?source=till", delivered("e-1", &order("12,x"))).await;
    let became = &refused["delivery"];
    assert_eq!((&became["status"], &became["code"]), (&json!("refused"), &json!("number_invalid")), "{refused}");
    assert_eq!((&became["pointer"], &became["record"]), (&json!("/items"), &Value::Null), "{refused}");
    server.settle().await;
    let id = refused["id"].as_str().unwrap();
    // Nothing is left behind of it, but itself.
    for list in ["orders", "contacts"] {
        assert_eq!(admin.read(&format!("/v1/{list}")).await["data"], json!([]), "{list}");
    }
    let notices = admin.read("/v1/notices?count=exact").await;
    let notice = notices["data"][0].clone();
    assert_eq!(
        (&notices["total"], &notice["about"], &notice["subject_id"]),
        (&json!(1), &json!("delivery_refused"), &json!(id))
    );
    assert_eq!((&notice["code"], &notice["raised_count"]), (&json!("number_invalid"), &json!(1)), "{notice}");
    assert_eq!(admin.read(&format!("/v1/deliveries/{id}/body")).await, delivered("e-1", &order("12,x")));
    // Whoever does not see the delivery sees neither its notice nor what is in it.
    assert_eq!(stranger.read("/v1/notices").await["data"], json!([]));
    stranger.get(&format!("/v1/deliveries/{id}/body")).await.problem(404, "delivery_unknown");
    let other = server.another_tenant("Other").await;
    assert_eq!(other.read("/v1/notices").await["data"], json!([]));
    other.get(&format!("/v1/deliveries/{id}/body")).await.problem(404, "delivery_unknown");

    // As it is it fails again; corrected it is taken, and the notice is seen to.
    admin.run(&format!("/v1/deliveries/{id}/try_again"), json!({})).await;
    server.settle().await;
    assert_eq!(admin.read(&format!("/v1/deliveries/{id}")).await["attempts"], 2);
    let body = "no json";
    let correct = format!("/v1/deliveries/{id}/correct");
    admin.post(&correct, json!({ "body": body })).await.problem(422, "delivery_body_invalid");
    let body = delivered("e-1", &order("12.50")).to_string();
    assert_eq!(admin.run(&correct, json!({ "body": body })).await, ["delivery.corrected"]);
    server.settle().await;
    let taken = admin.read(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(
        (&taken["status"], &taken["attempts"], &taken["code"]),
        (&json!("taken"), &json!(3), &Value::Null),
        "{taken}"
    );
    let placed = admin.read(&format!("/v1/orders/{}", taken["record_id"].as_str().unwrap())).await;
    assert_eq!((&placed["total"], &placed["customer_id"]), (&euros("12.50"), &taken["contact_id"]));
    assert_eq!(admin.read("/v1/notices").await["data"], json!([]));
    let seen_to = admin.read(&filtered("/v1/notices", &condition("cleared", "eq", true))).await;
    assert_eq!(
        (texts(&seen_to, "id"), &seen_to["data"][0]["cleared_by"]),
        (vec![notice["id"].as_str().unwrap().to_owned()], &Value::Null)
    );
    admin.post(&format!("/v1/deliveries/{id}/dismiss"), json!({})).await.problem(409, "delivery_taken");
    // The shop that sends it once more is told what became of it.
    let again = hand_in(&shop, "orders?source=till", delivered("e-1", &order("12,x"))).await;
    assert_eq!((&again["events"], &again["delivery"]["status"]), (&json!([]), &json!("taken")));

    // A mapping that is mended helps what waits for it.
    let odd = json!({ "id": 9, "currency": "EUR", "state": "LOST", "client": client, "lines": order("1")["lines"] });
    let odd = hand_in(&shop, "orders?source=till", delivered("e-9", &odd)).await;
    assert_eq!(odd["delivery"]["code"], "value_unmapped", "{odd}");
    let mended = SHOP.replace("DONE = \"done\"", "DONE = \"done\", LOST = \"lost\"");
    admin.patch(&format!("/v1/intake_sources/{till}"), json!({ "mapping": mended })).await.expect(StatusCode::OK);
    admin.run(&format!("/v1/deliveries/{}/try_again", odd["id"].as_str().unwrap()), json!({})).await;
    server.settle().await;
    let taken = admin.read(&format!("/v1/deliveries/{}", odd["id"].as_str().unwrap())).await;
    assert_eq!(taken["status"], "taken", "{taken}");

    // What is no order at all, a lead where there are none, and a message that does not leave.
    let list = hand_in(&shop, "orders", json!([1, 2])).await;
    assert_eq!(list["delivery"]["code"], "delivery_no_object");
    let wrong = hand_in(&shop, "orders", json!({ "key": "5", "colour": "red" })).await;
    assert_eq!(
        (&wrong["delivery"]["code"], &wrong["delivery"]["pointer"]),
        (&json!("unknown_field"), &json!("/colour"))
    );
    admin.run("/v1/tenants/current/disable_feature", json!({ "feature": "leads" })).await;
    let lead = hand_in(&shop, "leads", json!({ "name": "Boris", "phone": "+39 06 555 0102" })).await;
    assert_eq!(lead["delivery"]["code"], "feature_disabled", "{lead}");
    let chat = admin.create("/v1/conversations", json!({ "medium": "email" })).await;
    let sent = admin.post(&format!("/v1/conversations/{chat}/send_message"), json!({ "body": "Hello" })).await;
    let message = sent.expect(StatusCode::OK)["events"][0]["data"]["message_id"].clone();
    let lost = json!({ "message_id": message, "error": "number unknown" });
    admin.run(&format!("/v1/conversations/{chat}/mark_message_failed"), lost).await;
    server.settle().await;
    let waiting = admin.read("/v1/notices?count=exact&sort=raised_at").await;
    assert_eq!(waiting["total"], 4, "{waiting}");
    let failed = &waiting["data"][3];
    assert_eq!(
        (&failed["about"], &failed["subject_id"], &failed["reason"]),
        (&json!("message_failed"), &json!(chat), &json!("number unknown"))
    );

    // One is given up, one is cleared, and then all.
    admin.run(&format!("/v1/deliveries/{}/dismiss", list["id"].as_str().unwrap()), json!({ "reason": "a test" })).await;
    let cleared = admin.run(&format!("/v1/notices/{}/clear", failed["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(cleared, ["system_notice.cleared"]);
    server.settle().await;
    assert_eq!(admin.read("/v1/notices?count=exact").await["total"], 2);
    let all = json!({ "kind": "system_notice", "command": "clear", "filter": {} });
    admin.post("/v1/bulk", all).await.expect(StatusCode::ACCEPTED);
    server.settle().await;
    assert_eq!(admin.read("/v1/notices").await["data"], json!([]));
    // It is kept all the same.
    let kept = admin.read(&filtered("/v1/deliveries", &condition("status", "eq", "refused"))).await;
    assert_eq!(texts(&kept, "code").len(), 2, "{kept}");
    // A character that no database keeps holds nobody up.
    let call = |to: &str| json!({ "from": "+39 06 555 0109", "to": to });
    let broken = hand_in(admin, "calls", call("desk\u{0}")).await;
    assert_eq!(broken["delivery"]["status"], "refused");
    assert_eq!((&broken["delivery"]["code"], &broken["delivery"]["pointer"]), (&json!("text_invalid"), &json!("/to")));
    let sound = hand_in(admin, "calls", call("desk")).await;
    assert_eq!(sound["delivery"]["status"], "taken", "{sound}");
}

#[tokio::test]
async fn calls_and_leads_know_their_contact_by_any_spelling_of_the_number() {
    let server = Server::start().await;
    let admin = &server.admin;
    admin.run("/v1/tenants/current/change_setting", json!({ "key": "default_country", "value": "CZ" })).await;
    let maria = admin.create("/v1/contacts", json!({ "name": "Maria", "phone": "+420 601 555 010" })).await;
    let (_, exchange) = user_with(&server, "exchange@example.com", &["intake.calls"]).await;
    let (anna, _) = user_with(&server, "anna@example.com", &["call.read"]).await;
    let mapping = include_str!("../../../../deploy/intake/telephone-calls.toml");
    source(&server, "exchange", "calls", mapping).await;
    let happens = async |call: &str, event: &str, more: Value| {
        let mut body = json!({ "uuid": call, "event": event, "caller": "601 555-010", "called": "+420 222 000 111" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hand_in(&exchange, "calls?source=exchange", body).await["delivery"].clone()
    };
    let rang = happens("c-1", "ring", json!({})).await;
    let missed = happens("c-1", "missed", json!({ "talk_seconds": 0 })).await;
    assert_eq!((&missed["record"], &missed["contact"]), (&rang["record"], &json!(maria)), "{missed}");
    let other = happens("c-2", "ring", json!({ "caller": "00420601555010" })).await;
    happens("c-2", "answer", json!({ "agent_email": "anna@example.com" })).await;
    happens("c-2", "hangup", json!({ "talk_seconds": "95", "agent_email": "anna@example.com" })).await;
    // A call that is told only once it is over, and one of nobody who is known: nobody is made of a number alone.
    let told = json!({ "agent_email": "anna@example.com", "talk_seconds": 5 });
    let told = happens("c-3", "hangup", told).await;
    let unknown = happens("c-4", "missed", json!({ "caller": "anonymous" })).await;
    assert_eq!((&told["status"], &unknown["contact"]), (&json!("taken"), &Value::Null), "{told} {unknown}");
    server.settle().await;
    let call = async |told: &Value| admin.read(&format!("/v1/calls/{}", told["record"]["id"].as_str().unwrap())).await;
    let first = call(&rang).await;
    assert_eq!((&first["status"], &first["contact_id"]), (&json!("missed"), &json!(maria)), "{first}");
    let second = call(&other).await;
    assert_eq!(
        (&second["status"], &second["user_id"], &second["duration_s"]),
        (&json!("ended"), &json!(anna), &json!(95))
    );
    assert_eq!((&call(&told).await["status"], &call(&unknown).await["status"]), (&json!("ended"), &json!("missed")));
    let feed = admin.read(&format!("/v1/contacts/{maria}/feed?limit=100")).await;
    let types: BTreeSet<String> = texts(&feed, "type").into_iter().collect();
    for event in ["call.received", "call.missed", "call.ended"] {
        assert!(types.contains(event), "{event} is not among {types:?}");
    }
    assert_eq!(texts(&admin.read("/v1/contacts").await, "id"), std::slice::from_ref(&maria));
    assert_eq!(admin.read("/v1/notices").await["data"], json!([]));

    // Whoever asks and is not known is made a contact, once; who was put away is nobody's contact, and is not made again.
    let lead = |key: &str, phone: &str| json!({ "key": key, "name": "Boris", "phone": phone, "description": "A flat" });
    let boris = hand_in(admin, "leads", lead("l-1", "+420 777 123 456")).await["delivery"].clone();
    let again = hand_in(admin, "leads", lead("l-2", "777 123 456")).await["delivery"].clone();
    assert_eq!((&again["contact"], again["record"] == boris["record"]), (&boris["contact"], false), "{again}");
    let id = boris["contact"].as_str().unwrap();
    admin.run(&format!("/v1/contacts/{id}/archive"), json!({})).await;
    let last = hand_in(admin, "leads", lead("l-3", "+420777123456")).await["delivery"].clone();
    assert_eq!((&last["status"], &last["contact"]), (&json!("taken"), &Value::Null), "{last}");
    server.settle().await;
    assert_eq!(texts(&admin.read("/v1/contacts").await, "id"), [maria]);
    assert_eq!(texts(&admin.read("/v1/leads").await, "name"), ["Boris"; 3]);
    // The same without a key is another lead, unless it is the same delivery.
    let nameless = json!({ "name": "Olga", "email": "olga@example.com" });
    let once = admin.header("idempotency-key", "olga-1");
    for _ in 0..2 {
        hand_in(&once, "leads", nameless.clone()).await;
    }
    hand_in(&admin.header("idempotency-key", "olga-2"), "leads", nameless).await;
    server.settle().await;
    assert_eq!(texts(&admin.read("/v1/leads?count=exact").await, "name").len(), 5);
}

#[tokio::test]
async fn whatever_is_killed_when_everything_is_taken_once() {
    const ORDERS: usize = 60;
    // This one only looks; the other takes, and is killed.
    let server = Server::with(&["--roles", "api,project"]).await;
    let home = home();
    let more = ["--secret-key", SECRET_KEY];
    let mut desk = Node::start(home.path(), "desk", &server.database.url, &more).await;
    let shop = desk.client(&server.admin.key);
    let spellings = ["+39 06 555 01", "0039 06 555 01", "+39-06-555-01", "(+39) 06 555.01"];
    let handed = async |at: usize, shop: &Client| {
        let phone = format!("{}{:02}", spellings[at % 4], at % 10);
        let item = json!({ "name": "Lamp", "price": euros("12.50") });
        let body =
            json!({ "key": at.to_string(), "name": format!("Buyer {}", at % 10), "phone": phone, "items": [item] });
        let request = shop.request(Method::POST, "/v1/intake/orders?source=web");
        request.header("idempotency-key", format!("evt-{at}")).json(&body).send().await
    };
    // A shop tries again until it is told; the desk is killed while it takes what has come.
    let asks = |at: usize| {
        let (shop, handed) = (shop.clone(), &handed);
        async move { until(async || handed(at, &shop).await.is_ok_and(|reply| reply.status().is_success())).await }
    };
    let rest = async {
        // Each time in the middle of it: some have come, and not all of those are taken.
        for so_many in [5_i64, 20, 40] {
            let come = "select count(*) >= $1 from log_event where type = 'delivery.received'";
            let pool = &server.database.pool;
            until(async || sqlx::query_scalar::<_, bool>(come).bind(so_many).fetch_one(pool).await.unwrap()).await;
            desk.kill();
            desk.run().await;
        }
    };
    let (told, ()) = tokio::join!(join_all((0..ORDERS).map(asks)), rest);
    assert!(told.iter().all(|told| *told), "the shop is told of each");
    let look = &server.admin;
    let settled = async || {
        let taken = look
            .read(&format!("{}&count=exact&limit=1", filtered("/v1/deliveries", &condition("status", "eq", "taken"))))
            .await;
        taken["total"] == ORDERS
    };
    assert!(until(settled).await, "{}", look.read("/v1/deliveries?limit=5&sort=status").await);
    let orders = look.read("/v1/orders?limit=200").await;
    let numbers: BTreeSet<String> = texts(&orders, "external_number").into_iter().collect();
    assert_eq!((texts(&orders, "id").len(), numbers.len()), (ORDERS, ORDERS));
    assert!(orders["data"].as_array().unwrap().iter().all(|order| order["customer_id"].is_string()));
    assert_eq!(texts(&look.read("/v1/contacts?limit=200").await, "id").len(), 10);
    let counted = "select count(*) from log_event where type = $1";
    for (kind, count) in
        [("delivery.taken", ORDERS), ("order.placed", ORDERS), ("order.amended", 0), ("delivery.refused", 0)]
    {
        let found: i64 = sqlx::query_scalar(counted).bind(kind).fetch_one(&server.database.pool).await.unwrap();
        assert_eq!(found, i64::try_from(count).unwrap(), "{kind}");
    }
}
