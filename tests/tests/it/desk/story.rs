//! The product's story, told by the sources' own examples: an order comes in, the right manager gets a task, the customer's feed
//! shows it all, and an auditor asks why.

use std::time::Duration;

use deskfold_tests::{Client, Server};
use serde_json::{Value, json};

use crate::world::{Customer, condition, contact, filtered, instant, party, texts};

/// A shop: its sales managers by city, who look after orders.
struct Shop {
    server: Server,
    manager: String,
    petrova: String,
    piotr: String,
    marta: String,
}

/// A colleague with a role, who works in a city and is there.
async fn colleague(client: &Client, name: &str, city: &str, role: &str) -> String {
    let email = format!("{}@shop.example", name.to_lowercase());
    let id = client.create("/v1/users", json!({ "email": email, "name": name, "city": city })).await;
    client.run(&format!("/v1/users/{id}/activate"), json!({})).await;
    client.run(&format!("/v1/users/{id}/grant_role"), json!({ "role": role })).await;
    client.run(&format!("/v1/users/{id}/set_presence"), json!({ "presence": "online" })).await;
    id
}

impl Shop {
    async fn new() -> Shop {
        let server = Server::start().await;
        let client = &server.admin;
        let manager = client.create("/v1/roles", json!({ "name": "Sales manager", "permissions": ["*"] })).await;
        let petrova = colleague(client, "Petrova", "Moscow", &manager).await;
        let piotr = colleague(client, "Piotr", "Saint Petersburg", &manager).await;
        let marta = colleague(client, "Marta", "Moscow", &manager).await;
        Shop { server, manager, petrova, piotr, marta }
    }

    /// A rule on new orders.
    async fn rule(&self, name: &str, rank: i64, definition: Value) -> String {
        let rule = json!({ "name": name, "trigger": "order.placed", "rank": rank, "definition": definition });
        self.server.admin.create("/v1/rules", rule).await
    }

    /// An order of a customer; the order's id and the tasks it led to.
    async fn order(&self, customer: &str, total: &str, city: &str) -> (String, Vec<Value>) {
        let price = json!({ "amount": total, "currency": "RUB" });
        let order = json!({
            "source": "storefront", "customer": customer, "city": city, "name": "Maria Rossi",
            "phone": "+7 812 555 0101", "email": "maria.rossi@example.com",
            "items": [{ "name": "Oak table", "price": price }],
        });
        let id = self.server.admin.create("/v1/orders", order).await;
        (id.clone(), self.tasks(&id).await)
    }

    /// The tasks about a record, oldest first.
    async fn tasks(&self, record: &str) -> Vec<Value> {
        self.server.settle().await;
        let path = filtered("/v1/tasks?sort=created_at", &condition("subject_ids", "contains", record));
        self.server.admin.read(&path).await["data"].as_array().unwrap().clone()
    }
}

fn task(title: &str) -> Value {
    json!({ "create_task": { "title": title } })
}

#[tokio::test]
async fn an_order_is_confirmed_within_the_hour_by_any_sales_manager() {
    let shop = Shop::new().await;
    let client = &shop.server.admin;
    let call = json!({ "create_task": {
        "title": "Confirm order #ORDER_ID#", "text": "Call #NAME#, #PHONE#, #EMAIL#: {{ order.total.amount }} {{ order.total.currency }}.",
        "due_in_s": 3600, "priority": 2,
    } });
    let rule =
        shop.rule("Confirmation call", 100, json!({ "selector": [{ "role": shop.manager }], "actions": [call] })).await;
    let maria = contact(client, "Maria Rossi").await;
    let (order, tasks) = shop.order(&maria, "12000.00", "Kazan").await;
    let [task] = tasks.as_slice() else { panic!("{tasks:?}") };
    assert_eq!(task["title"], "Confirm order 1");
    assert_eq!(task["text"], "Call Maria Rossi, +7 812 555 0101, maria.rossi@example.com: 12000.00 RUB.");
    assert_eq!(task["priority"], 2);
    let managers = [&shop.petrova, &shop.piotr, &shop.marta];
    let assignee = task["assignee_id"].as_str().unwrap().to_owned();
    assert!(managers.iter().any(|manager| **manager == assignee), "{task}");
    let placed = client.read(&format!("/v1/events?stream=order-{order}")).await["data"][0].clone();
    assert_eq!(instant(&task["due_at"]).duration_since(instant(&placed["recorded_at"])).as_secs(), 3600);

    // The next orders go to those who have less to do.
    let mut busy = vec![assignee];
    for _ in 0..2 {
        let (_, tasks) = shop.order(&maria, "100.00", "Kazan").await;
        busy.push(tasks[0]["assignee_id"].as_str().unwrap().to_owned());
    }
    busy.sort();
    busy.dedup();
    assert_eq!(busy.len(), 3, "each manager has one task");

    // The auditor asks why: from the task to the rule's version, the order and the person who took it.
    let id = task["id"].as_str().unwrap();
    let created = client.read(&format!("/v1/events?stream=task-{id}")).await["data"][0].clone();
    let why = client.read(&format!("/v1/events/{}/why", created["position"])).await;
    let chain = why.to_string();
    assert!(chain.contains(&rule) && chain.contains(&order), "{why}");
    let effects = client.read(&format!("/v1/events/{}/effects", placed["position"])).await;
    assert!(effects.to_string().contains(id), "{effects}");

    // The customer's feed shows it all.
    let feed = client.read(&format!("/v1/contacts/{maria}/feed")).await;
    let types = texts(&feed, "type");
    assert!(types.contains(&"order.placed".to_owned()) && types.contains(&"task.created".to_owned()), "{types:?}");

    // Nobody calls within the hour: the task is overdue, and the feed knows.
    shop.server.app.advance(Duration::from_secs(3601));
    let tasks = shop.tasks(&order).await;
    assert_eq!(tasks[0]["overdue"], true);
    client.run(&format!("/v1/tasks/{id}/complete"), json!({ "outcome": "Confirmed by phone" })).await;
    let tasks = shop.tasks(&order).await;
    assert_eq!((&tasks[0]["status"], &tasks[0]["outcome"]), (&json!("completed"), &json!("Confirmed by phone")));
}

#[tokio::test]
async fn large_orders_cities_and_a_favourite_client_find_their_manager() {
    let shop = Shop::new().await;
    let client = &shop.server.admin;
    let sidorov = contact(client, "Sidorov").await;
    let maria = contact(client, "Maria Rossi").await;
    let own = json!({
        "when": condition("order.customer", "eq", sidorov.clone()),
        "selector": [{ "user": shop.petrova }], "actions": [task("Sidorov's order {{ order.number }}")],
    });
    let large = json!({
        "when": condition("order.total.amount", "between", json!(["50000", "1000000"])),
        "selector": [{ "user": shop.marta }], "actions": [task("Large order {{ order.number }}")],
    });
    let local = json!({
        "when": condition("order.city", "eq", "Saint Petersburg"),
        "selector": [{ "role": shop.manager, "city": { "equals": "order.city" } }],
        "actions": [task("Order {{ order.number }} from {{ order.city }}")],
    });
    let any = json!({ "selector": [{ "role": shop.manager }], "actions": [task("Order {{ order.number }}")] });
    for (name, rank, definition) in [("Any", 100, any), ("Local", 30, local), ("Large", 20, large), ("Sidorov", 1, own)]
    {
        shop.rule(name, rank, definition).await;
    }
    shop.server.settle().await;
    let table = client.read("/v1/rules?sort=trigger,rank").await;
    assert_eq!(texts(&table, "name"), ["Sidorov", "Large", "Local", "Any"]);
    for (customer, total, city, title, to) in [
        (&sidorov, "70000", "Saint Petersburg", "Sidorov's order 1", Some(&shop.petrova)),
        (&maria, "50000", "Saint Petersburg", "Large order 2", Some(&shop.marta)),
        (&maria, "1000000", "Moscow", "Large order 3", Some(&shop.marta)),
        (&maria, "49999.99", "saint petersburg ", "Order 4 from saint petersburg ", Some(&shop.piotr)),
        (&maria, "300", "Saint Petersburg", "Order 5 from Saint Petersburg", Some(&shop.piotr)),
        (&maria, "1000000.01", "Kazan", "Order 6", None),
    ] {
        let (_, tasks) = shop.order(customer, total, city).await;
        let [task] = tasks.as_slice() else { panic!("{title}: {tasks:?}") };
        assert_eq!(task["title"], title);
        assert!(to.is_none_or(|to| task["assignee_id"] == **to), "{task}");
    }
}

#[tokio::test]
async fn five_days_later_somebody_calls_unless_it_is_paid() {
    let shop = Shop::new().await;
    let client = &shop.server.admin;
    let maria = contact(client, "Maria Rossi").await;
    let later = json!({
        "selector": [{ "role": shop.manager }], "delay_s": 5 * 86_400, "recheck": true, "cancel_on": ["order.paid", "order.cancelled"],
        "actions": [task("Ask about the payment of order {{ order.number }}")],
    });
    let rule = shop.rule("Was it paid?", 100, later).await;
    let (paid, tasks) = shop.order(&maria, "900", "Kazan").await;
    assert!(tasks.is_empty(), "not yet");
    let (unpaid, _) = shop.order(&maria, "800", "Kazan").await;
    shop.server.app.advance(Duration::from_secs(86_400));
    let amount = json!({ "amount": "900", "currency": "RUB" });
    client.run(&format!("/v1/orders/{paid}/pay"), json!({ "amount": amount })).await;
    shop.server.settle().await;
    shop.server.app.advance(Duration::from_secs(4 * 86_400 + 60));
    assert!(shop.tasks(&paid).await.is_empty(), "it was paid");
    let tasks = shop.tasks(&unpaid).await;
    assert_eq!(tasks[0]["title"], "Ask about the payment of order 2");
    let runs = client.read(&format!("/v1/rules/{rule}/runs")).await;
    let mut statuses = texts(&runs, "status");
    statuses.sort();
    assert_eq!(statuses, ["cancelled", "executed"]);
}

#[tokio::test]
async fn a_product_decides_how_urgent_a_ticket_is_and_whose() {
    let shop = Shop::new().await;
    let client = &shop.server.admin;
    let customer = Customer::new(client).await;
    let rule = json!({
        "name": "Hosting is urgent", "trigger": "ticket.product_selected",
        "definition": {
            "when": condition("event.product", "eq", customer.product.clone()),
            "selector": [{ "user": shop.piotr }],
            "actions": [
                { "command": { "kind": "ticket", "command": "change_priority", "body": { "priority": 3 } } },
                { "command": { "kind": "ticket", "command": "assign", "body": { "assignee": "{{ assignee.id }}" } } },
            ],
        },
    });
    client.create("/v1/rules", rule).await;
    let ticket = customer.ticket(client, "The site is down").await;
    let other = client.create("/v1/tickets", json!({ "title": "A question" })).await;
    shop.server.settle().await;
    let urgent = client.read(&format!("/v1/tickets/{ticket}")).await;
    assert_eq!((&urgent["priority"], &urgent["assignee_id"]), (&json!(3), &json!(shop.piotr)));
    assert_eq!(client.read(&format!("/v1/tickets/{other}")).await["priority"], 0);
}

#[tokio::test]
async fn an_enquiry_gets_two_offers_a_comment_a_property_from_elsewhere_and_a_deal() {
    let shop = Shop::new().await;
    let client = &shop.server.admin;
    let (maria, oleg) = (contact(client, "Maria Rossi").await, contact(client, "Oleg Ivanov").await);
    let price = |amount: &str| json!({ "amount": amount, "currency": "EUR" });
    let property = async |name: &str, amount: &str| {
        client.create("/v1/properties", json!({ "name": name, "price": price(amount) })).await
    };
    let flat = property("Flat on Via Roma", "310000").await;
    let house = property("House by the river", "450000").await;
    let owner = json!({ "from": party("contact", &oleg), "to": party("property", &flat), "role": "owner" });
    client.create("/v1/relations", owner).await;
    let enquiry = client.create("/v1/enquiries", json!({ "name": "A flat in Rome", "contact": maria })).await;
    let offer = async |properties: Value| {
        let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": properties })).await;
        (offer.clone(), client.post(&format!("/v1/offers/{offer}/send"), json!({ "medium": "email" })).await)
    };
    let (first, sent) = offer(json!([flat])).await;
    assert!(sent.status.is_success(), "{}", sent.text);
    let (_, sent) = offer(json!([house])).await;
    assert!(sent.status.is_success(), "{}", sent.text);
    let (third, refused) = offer(json!([flat])).await;
    refused.problem(409, "already_offered");
    let again = json!({ "medium": "email", "repeat_reason": "The price has fallen" });
    client.run(&format!("/v1/offers/{third}/send"), again).await;

    let comment = json!({ "subjects": [party("enquiry", &enquiry)], "text": "Wants to see it on Friday" });
    client.create("/v1/comments", comment).await;
    let elsewhere = json!({ "text": "Two rooms on the portal", "url": "https://portal.example/77" });
    client.run(&format!("/v1/enquiries/{enquiry}/note_external_offer"), elsewhere).await;
    client.run(&format!("/v1/offers/{first}/accept"), json!({})).await;
    let deal = json!({ "name": "Via Roma", "contact": maria, "property": flat, "enquiry": enquiry });
    let deal = client.create("/v1/deals", deal).await;
    let sale = json!({ "property": flat, "contacts": [maria, oleg], "price": price("305000") });
    client.run(&format!("/v1/deals/{deal}/record"), sale).await;
    client.run(&format!("/v1/deals/{deal}/win"), json!({})).await;
    shop.server.settle().await;

    let feed = async |path: &str| texts(&client.read(&format!("/v1/{path}/feed")).await, "type");
    let marias = feed(&format!("contacts/{maria}")).await;
    for kind in
        ["offer.sent", "comment.added", "enquiry.external_offer_noted", "offer.accepted", "deal.recorded", "deal.won"]
    {
        assert!(marias.iter().any(|found| found == kind), "{kind} is missing in {marias:?}");
    }
    let olegs = feed(&format!("contacts/{oleg}")).await;
    assert!(olegs.iter().any(|found| found == "deal.recorded"), "the owner of the flat: {olegs:?}");
    assert!(!olegs.iter().any(|found| found == "enquiry.external_offer_noted"), "none of his business: {olegs:?}");
    let only = client.read(&format!("/v1/enquiries/{enquiry}/feed?types=offer.sent,comment")).await;
    assert_eq!(texts(&only, "type"), ["comment.added", "offer.sent", "offer.sent", "offer.sent"]);
}
