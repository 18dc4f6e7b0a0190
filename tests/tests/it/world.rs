//! A small world for tests: who asks, what they own, and shorthands for what every test of lists and records does.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::org::pictures::PIXEL;

/// A well-formed id that no record has.
pub(crate) const NOBODY: &str = "01K9Z3T8W0QX6V5N4M3K2J1H0G";

/// A company, one of its people, a product with a badge, and the company's entitlement to it.
pub(crate) struct Customer {
    pub(crate) company: String,
    pub(crate) contact: String,
    pub(crate) product: String,
    pub(crate) entitlement: String,
}

impl Customer {
    /// Rossi Srl, whose Ada Rossi writes, and which owns Hosting.
    pub(crate) async fn new(client: &Client) -> Customer {
        let company = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
        let contact = contact(client, "Ada Rossi").await;
        client.run(&format!("/v1/contacts/{contact}/link_company"), json!({ "company": company })).await;
        let badge = json!({ "name": "Hosting", "kind": "service", "color": "#00a09d", "icon": "server" });
        let product = client.create("/v1/products", badge).await;
        let entitlement = grant(client, &product, "company", &company).await;
        Customer { company, contact, product, entitlement }
    }

    /// A ticket that Ada opens about Hosting.
    pub(crate) async fn ticket(&self, client: &Client, title: &str) -> String {
        let requester = party("contact", &self.contact);
        let body = json!({ "title": title, "requester": requester, "entitlement": self.entitlement });
        client.create("/v1/tickets", body).await
    }
}

/// A record of any kind, as comments, tasks and relations refer to it.
pub(crate) fn subject(kind: &str, id: &str) -> Value {
    party(kind, id)
}

/// So many euros.
pub(crate) fn euros(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// A reference to a contact, company or user.
pub(crate) fn party(kind: &str, id: &str) -> Value {
    json!({ "kind": kind, "id": id })
}

pub(crate) async fn contact(client: &Client, name: &str) -> String {
    client.create("/v1/contacts", json!({ "name": name })).await
}

pub(crate) async fn product(client: &Client, name: &str) -> String {
    client.create("/v1/products", json!({ "name": name })).await
}

/// A colleague who can be given work: active, with the shipped role of agents.
pub(crate) async fn user(client: &Client, name: &str) -> String {
    colleague(client, name, "agent").await
}

/// A colleague with one of the roles that every tenant starts with.
pub(crate) async fn colleague(client: &Client, name: &str, role: &str) -> String {
    let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
    let id = client.create("/v1/users", json!({ "email": email, "name": name })).await;
    employ(client, &id, &shipped_role(client, role).await).await;
    id
}

/// Lets an invited colleague in and gives him a role.
pub(crate) async fn employ(client: &Client, user: &str, role: &str) {
    client.run(&format!("/v1/users/{user}/activate"), json!({})).await;
    client.run(&format!("/v1/users/{user}/grant_role"), json!({ "role": role })).await;
}

/// The id of a role that every tenant starts with.
pub(crate) async fn shipped_role(client: &Client, name: &str) -> String {
    let created = client.read("/v1/events?types=role.created&limit=10").await;
    let created = created["data"].as_array().unwrap().iter().find(|event| event["data"]["name"] == name);
    let stream = created.unwrap_or_else(|| panic!("no role {name}"))["stream"].as_str().unwrap();
    stream.trim_start_matches("role-").to_owned()
}

/// Gives a product to somebody; the entitlement.
pub(crate) async fn grant(client: &Client, product: &str, kind: &str, holder: &str) -> String {
    client.create("/v1/entitlements", json!({ "product": product, "holder": party(kind, holder) })).await
}

pub(crate) async fn ticket(client: &Client, title: &str) -> String {
    client.create("/v1/tickets", json!({ "title": title })).await
}

/// A custom field; `more` adds options and the like.
pub(crate) async fn field(client: &Client, entity: &str, key: &str, kind: &str, more: Value) {
    let mut body = json!({ "entity": entity, "key": key, "type": kind });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/v1/fields", body).await.expect(StatusCode::CREATED);
}

/// One field of every record of a page.
pub(crate) fn each(page: &Value, field: &str) -> Vec<Value> {
    page["data"].as_array().unwrap().iter().map(|record| record[field].clone()).collect()
}

/// The same as texts.
pub(crate) fn texts(page: &Value, field: &str) -> Vec<String> {
    each(page, field)
        .iter()
        .map(|value| value.as_str().unwrap_or_else(|| panic!("{field}: {value}")).to_owned())
        .collect()
}

/// The whole of a list, page by page.
pub(crate) async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = client.read(&path).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        next = page["next"].as_str().map(ToOwned::to_owned);
        assert!(all.len() < 10_000, "the pages of {path} never end");
    }
    all
}

/// A time as the API writes it.
#[track_caller]
pub(crate) fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no instant"))
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The path of a list with a filter.
pub(crate) fn filtered(path: &str, filter: &Value) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}filter={}", encoded(&filter.to_string()))
}

/// One condition.
pub(crate) fn condition(field: &str, op: &str, value: impl Into<Value>) -> Value {
    json!({ "field": field, "op": op, "value": value.into() })
}

/// The letters of a word that may be part of a slug.
fn plain(word: &str) -> String {
    word.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Some of everything, with a word in every name and text; the ids by collection, those of read models included.
pub(crate) async fn everything(server: &Server, client: &Client, word: &str) -> BTreeMap<&'static str, Vec<String>> {
    let mut all: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mail = |name: &str| format!("{name}@{}.example", word.to_lowercase());
    let text = |text: &str| format!("{text} {word}");
    field(client, "ticket", "site", "text", json!({ "label": text("Site") })).await;
    field(client, "ticket", "hours", "number", json!({})).await;
    field(client, "entitlement", "seats", "number", json!({ "label": text("Seats") })).await;
    for (name, industry) in [("Rossi", json!("retail")), ("Bianchi", json!(null))] {
        let body = json!({ "name": text(name), "industry": industry, "city": "Roma", "tags": [text(name)] });
        all.entry("companies").or_default().push(client.create("/v1/companies", body).await);
    }
    for (name, email) in [("Ada", json!(mail("ada"))), ("Dora", json!(null)), ("Carlo", json!(mail("carlo")))] {
        let body = json!({ "name": text(name), "email": email, "description": text("Knows") });
        all.entry("contacts").or_default().push(client.create("/v1/contacts", body).await);
    }
    let ada = all["contacts"][0].clone();
    let link = json!({ "company": all["companies"][0], "role": text("boss") });
    client.run(&format!("/v1/contacts/{ada}/link_company"), link).await;
    client.run(&format!("/v1/contacts/{ada}/add_note"), json!({ "text": text("Prefers calls") })).await;
    for (name, email) in [("Anna", mail("anna")), ("Boris", mail("boris"))] {
        let body = json!({ "name": text(name), "email": email, "job_title": text("agent") });
        all.entry("users").or_default().push(client.create("/v1/users", body).await);
    }
    let anna = all["users"][0].clone();
    let role = client.create("/v1/roles", json!({ "name": text("night"), "permissions": ["ticket.read"] })).await;
    for user in &all["users"] {
        employ(client, user, &role).await;
    }
    all.insert("roles", vec![role]);
    for name in ["First", "Second"] {
        all.entry("teams").or_default().push(client.create("/v1/teams", json!({ "name": text(name) })).await);
    }
    let team = all["teams"][0].clone();
    client.run(&format!("/v1/teams/{team}/add_member"), json!({ "user": anna })).await;
    client.run(&format!("/v1/teams/{team}/change_stages"), json!({ "stages": [text("in"), text("out")] })).await;
    for name in ["Services", "Goods"] {
        let body = json!({ "name": text(name) });
        all.entry("product_categories").or_default().push(client.create("/v1/product_categories", body).await);
    }
    for (place, name) in ["Billing", "Repairs"].into_iter().enumerate() {
        let body = json!({ "name": text(name), "place": place, "language": "en" });
        all.entry("article_categories").or_default().push(client.create("/v1/article_categories", body).await);
        let body = json!({ "name": text("About"), "body": text(name), "category": all["article_categories"][0] });
        let article = client.create("/v1/articles", body).await;
        client.run(&format!("/v1/articles/{article}/publish"), json!({})).await;
        all.entry("articles").or_default().push(article);
    }
    for (name, kind, color) in [("Hosting", "service", json!("#00a09d")), ("Router", "goods", json!(null))] {
        let body = json!({ "name": text(name), "kind": kind, "color": color, "sku": text(kind) });
        let id = client.create("/v1/products", body).await;
        let categorise = json!({ "category": all["product_categories"][0] });
        client.run(&format!("/v1/products/{id}/categorise"), categorise).await;
        all.entry("products").or_default().push(id);
    }
    let (hosting, rossi) = (all["products"][0].clone(), all["companies"][0].clone());
    for (kind, holder, seats) in [("contact", &ada, 5), ("company", &rossi, 7), ("user", &anna, 9)] {
        let body = json!({
            "product": hosting, "holder": party(kind, holder), "custom": { "seats": seats },
            "contract_number": text("2026/1"), "source": word, "external_id": format!("{word}-{seats}"),
        });
        let id = client.create("/v1/entitlements", body).await;
        all.entry("entitlements").or_default().push(id);
    }
    let revoke = json!({ "reason": text("returned") });
    client.run(&format!("/v1/entitlements/{}/revoke", all["entitlements"][2]), revoke).await;
    for (title, priority, custom) in [
        ("One", 0, json!({})),
        ("Two", 2, json!({ "site": text("a"), "hours": 3 })),
        ("Three", 2, json!({ "hours": 8 })),
    ] {
        let body = json!({
            "title": text(title), "description": text("Story"), "priority": priority, "custom": custom,
            "requester": party("contact", &ada), "entitlement": all["entitlements"][0], "tags": [text(title)],
        });
        all.entry("tickets").or_default().push(client.create("/v1/tickets", body).await);
    }
    let at = |index: usize, command: &str| format!("/v1/tickets/{}/{command}", all["tickets"][index]);
    client.run(&at(0, "receive_message"), json!({ "body": text("It is broken"), "external_id": text("mail") })).await;
    client.run(&at(0, "reply"), json!({ "body": text("Is it on?") })).await;
    client.run(&at(0, "add_note"), json!({ "body": text("Hopeless") })).await;
    client.run(&at(0, "assign"), json!({ "assignee": anna })).await;
    client.run(&at(0, "follow"), json!({ "user": anna })).await;
    client.run(&at(0, "link"), json!({ "ticket": all["tickets"][1] })).await;
    client.run(&at(1, "change_team"), json!({ "team": team })).await;
    client.run(&at(1, "rate"), json!({ "score": 4, "text": text("Fine") })).await;
    client.run(&at(2, "resolve"), json!({ "outcome": text("Replaced") })).await;
    let issued = client.post("/v1/api_keys", json!({ "name": text("shop"), "user": anna })).await;
    all.insert("api_keys", vec![issued.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()]);
    let handed = client.post(&format!("/v1/users/{anna}/issue_link"), json!({ "purpose": "password" })).await;
    let follow = json!({ "link": handed.expect(StatusCode::OK)["link"], "password": "seven tired otters" });
    let signed = server.client("").post("/v1/links/follow", follow).await.expect(StatusCode::OK);
    all.insert("sessions", vec![signed["session"].as_str().unwrap().to_owned()]);
    let me = client.read("/v1/me").await;
    all.insert("tenants", vec![me["tenant"].as_str().unwrap().to_owned()]);
    client.run(&format!("/v1/tenants/{}/rename", all["tenants"][0]), json!({ "name": text("Tenant") })).await;
    let file = format!("product,holder_kind,holder\n{hosting},contact,{ada}\n{word},contact,{ada}\n");
    all.insert("imports", vec![import(client, word, &file).await]);
    let tag =
        json!({ "kind": "ticket", "command": "tag", "body": { "tag": word }, "ids": all["tickets"], "dry_run": true });
    let bulk = client.post("/v1/bulk", tag).await.expect(StatusCode::ACCEPTED)["id"].clone();
    all.insert("bulk", vec![bulk.as_str().unwrap().to_owned()]);
    all.insert("uploads", vec![sent(client, &format!("door {word}.png"), PIXEL.to_vec()).await]);
    sold(client, word, &mut all).await;
    said(client, word, &mut all).await;
    to_do(server, client, word, &mut all).await;
    server.settle().await;
    for read_model in ["messages", "conversation_messages", "fields", "holdings"] {
        all.insert(read_model, texts(&client.read(&format!("/v1/{read_model}")).await, "id"));
    }
    let told = client.read("/v1/events?types=notification.sent&limit=1000").await;
    let told =
        texts(&told, "stream").iter().map(|stream| stream.trim_start_matches("notification-").to_owned()).collect();
    all.insert("notifications", told);
    all
}

/// A file that is sent in one request; its upload.
pub(crate) async fn sent(client: &Client, name: &str, bytes: Vec<u8>) -> String {
    let request = client.request(Method::POST, "/v1/uploads").query(&[("name", name)]).body(bytes);
    let sent = client.send(request).await.expect(StatusCode::CREATED);
    sent["id"].as_str().unwrap().to_owned()
}

/// What is sold and to whom: leads, properties, enquiries, offers, deals and orders.
async fn sold(client: &Client, word: &str, all: &mut BTreeMap<&'static str, Vec<String>>) {
    let text = |text: &str| format!("{text} {word}");
    let (ada, rossi) = (all["contacts"][0].clone(), all["companies"][0].clone());
    for (name, city, amount) in [
        ("Oleg", json!("Roma"), json!(euros("900.50"))),
        ("Pia", json!(null), json!(null)),
        ("Rita", json!("Bari"), json!(euros("1200"))),
    ] {
        let body =
            json!({ "name": text(name), "city": city, "amount": amount, "source": text("web"), "tags": [text(name)] });
        all.entry("leads").or_default().push(client.create("/v1/leads", body).await);
    }
    client.run(&format!("/v1/leads/{}/convert", all["leads"][1]), json!({ "contact": ada })).await;
    client.run(&format!("/v1/leads/{}/lose", all["leads"][2]), json!({ "reason": text("Bought elsewhere") })).await;
    for (name, kind, price, area, rooms) in [
        ("Via Roma", "apartment", json!(euros("310000.00")), json!("78.5"), json!(3)),
        ("Via Appia", "house", json!(euros("99000.9")), json!("120"), json!(5)),
        ("Field", "land", json!(null), json!(null), json!(null)),
    ] {
        let body = json!({
            "name": text(name), "kind": kind, "price": price, "area": area, "rooms": rooms, "city": "Roma",
            "features": [text("lift")], "description": text("Quiet"),
        });
        all.entry("properties").or_default().push(client.create("/v1/properties", body).await);
    }
    let flat = all["properties"][0].clone();
    let picture = json!({ "url": "https://pictures.example/1.jpg", "caption": text("Kitchen") });
    client.run(&format!("/v1/properties/{flat}/add_media"), picture).await;
    client.run(&format!("/v1/properties/{flat}/publish_to_portal"), json!({ "portal": "casa" })).await;
    for (name, rooms, price) in [("A flat", json!(2), json!(euros("350000"))), ("A house", json!(null), json!(null))] {
        let criteria = json!({ "kinds": ["apartment"], "cities": ["Roma"], "rooms_from": rooms, "price_to": price,
            "text": text("Near a park") });
        let body = json!({ "name": text(name), "contact": ada, "criteria": criteria, "source": text("web") });
        all.entry("enquiries").or_default().push(client.create("/v1/enquiries", body).await);
    }
    let enquiry = all["enquiries"][0].clone();
    client.run(&format!("/v1/enquiries/{enquiry}/note_external_offer"), json!({ "text": text("By the river") })).await;
    client.run(&format!("/v1/enquiries/{}/close", all["enquiries"][1]), json!({ "outcome": text("Bought") })).await;
    for property in [&all["properties"][1].clone(), &flat] {
        let body = json!({ "enquiry": enquiry, "properties": [property], "text": text("One for you") });
        all.entry("offers").or_default().push(client.create("/v1/offers", body).await);
    }
    client.run(&format!("/v1/offers/{}/send", all["offers"][1]), json!({ "medium": "email" })).await;
    for (name, amount, expected) in
        [("Flat", json!(euros("305000")), json!("2027-03-31")), ("House", json!(euros("99000.25")), json!(null))]
    {
        let body = json!({
            "name": text(name), "amount": amount, "contact": ada, "company": rossi, "property": flat,
            "enquiry": enquiry, "expected_on": expected, "pipeline": text("sales"),
        });
        all.entry("deals").or_default().push(client.create("/v1/deals", body).await);
    }
    let sale = json!({ "property": flat, "contacts": [ada], "price": euros("305000.00") });
    client.run(&format!("/v1/deals/{}/record", all["deals"][1]), sale).await;
    client.run(&format!("/v1/deals/{}/win", all["deals"][1]), json!({ "reason": text("Best price") })).await;
    for (number, city, price) in
        [("A-1", json!("Roma"), "9000.50"), ("A-2", json!(null), "12"), ("A-3", json!("Bari"), "70")]
    {
        let body = json!({
            "source": "storefront", "external_number": text(number), "customer": ada, "company": rossi, "city": city,
            "name": text("Ada"), "comment": text("Call first"),
            "items": [{ "name": text("Chair"), "quantity": "2", "price": euros(price) }],
        });
        all.entry("orders").or_default().push(client.create("/v1/orders", body).await);
    }
    client.run(&format!("/v1/orders/{}/pay", all["orders"][1]), json!({ "amount": euros("24") })).await;
    client.run(&format!("/v1/orders/{}/cancel", all["orders"][2]), json!({ "reason": text("Twice") })).await;
    let ends =
        |id: &str| json!({ "from": subject("contact", &ada), "to": subject("property", id), "role": text("owner") });
    for property in &all["properties"].clone()[..2] {
        all.entry("relations").or_default().push(client.create("/v1/relations", ends(property)).await);
    }
    client.run(&format!("/v1/relations/{}/remove", all["relations"][1]), json!({})).await;
}

/// What is said: calls, conversations with their labels and quick replies, comments and activities.
async fn said(client: &Client, word: &str, all: &mut BTreeMap<&'static str, Vec<String>>) {
    let text = |text: &str| format!("{text} {word}");
    let (ada, anna) = (all["contacts"][0].clone(), all["users"][0].clone());
    for contact in [json!(ada), json!(null)] {
        let body = json!({ "from": "+39 06 555 0101", "to": text("main"), "contact": contact });
        all.entry("calls").or_default().push(client.create("/v1/calls", body).await);
    }
    client.run(&format!("/v1/calls/{}/miss", all["calls"][1]), json!({})).await;
    let preset = json!({ "name": text("VIP"), "color": "#00a09d", "preset": true });
    all.insert("labels", vec![client.create("/v1/labels", preset).await]);
    let me = client.read("/v1/me").await["user"].clone();
    for name in ["hello", "prices"] {
        let body = json!({ "name": text(name), "text": text("Good day"), "label": all["labels"][0], "user": me });
        all.entry("quick_replies").or_default().push(client.create("/v1/quick_replies", body).await);
    }
    for measures in [json!(["opened"]), json!(["backlog", "resolution"])] {
        let definition = json!({ "measures": measures, "dimensions": ["month", "product_id"] });
        let body = json!({ "name": text("Products"), "definition": definition });
        all.entry("reports").or_default().push(client.create("/v1/reports", body).await);
    }
    for number in 0..2 {
        let page = json!({ "id": "overview", "name": text("Overview"), "widgets": [widget("opened_by_week", number)] });
        let later = json!({ "id": "later", "name": "Later" });
        let body = json!({ "name": text("Today"), "pages": [page, later] });
        all.entry("dashboards").or_default().push(client.create("/v1/dashboards", body).await);
    }
    for name in ["Reception", "Night"] {
        let body = json!({ "name": text(name), "description": text("Asks") });
        all.entry("chatbots").or_default().push(client.create("/v1/chatbots", body).await);
    }
    let hello = json!({ "steps": [{ "id": "hello", "type": "message", "text": text("Good day") }] });
    client.run(&format!("/v1/chatbots/{}/publish", all["chatbots"][0]), hello).await;
    for (kind, name) in [("live_chat", "Chat"), ("api", "Shop")] {
        let body = json!({ "kind": kind, "name": text(name) });
        all.entry("channels").or_default().push(client.create("/v1/channels", body).await);
    }
    for (medium, contact, name) in
        [("live_chat", json!(null), "Maria"), ("telegram", json!(ada), "Ada"), ("whatsapp", json!(null), "Olga")]
    {
        let identity = json!({ "kind": "telegram", "value": text(name) });
        let visitor = json!({ "name": text(name), "country": "IT" });
        let body = json!({ "medium": medium, "contact": contact, "identity": identity, "visitor": visitor });
        all.entry("conversations").or_default().push(client.create("/v1/conversations", body).await);
    }
    let at = |index: usize, command: &str| format!("/v1/conversations/{}/{command}", all["conversations"][index]);
    client.run(&at(0, "receive_message"), json!({ "body": text("Good day"), "external_id": text("w") })).await;
    client.run(&at(1, "receive_message"), json!({ "body": text("Are you there?") })).await;
    client.run(&at(1, "assign"), json!({ "assignee": anna })).await;
    client.run(&at(1, "send_message"), json!({ "body": text("Yes"), "quick_reply": all["quick_replies"][0] })).await;
    client.run(&at(1, "mark_read"), json!({})).await;
    client.run(&at(1, "label"), json!({ "name": text("Late") })).await;
    client.run(&at(2, "rate"), json!({ "score": 5, "text": text("Quick") })).await;
    client.run(&at(2, "close"), json!({})).await;
    let about = json!([subject("contact", &ada), subject("enquiry", &all["enquiries"][0])]);
    for remark in ["Wants to see it", "Wrong"] {
        let body = json!({ "subjects": about, "text": text(remark), "internal": true });
        all.entry("comments").or_default().push(client.create("/v1/comments", body).await);
    }
    client.run(&format!("/v1/comments/{}/delete", all["comments"][1]), json!({ "reason": text("Wrong") })).await;
    for (kind, day) in [("visit", "2026-01-05"), ("letter", "2025-12-01")] {
        let when = format!("{day}T10:00:00Z");
        let body = json!({ "kind": text(kind), "subjects": about, "text": text("Saw the flat"), "occurred_at": when });
        all.entry("activities").or_default().push(client.create("/v1/activities", body).await);
    }
}

/// What is to be done: projects, tasks and rules.
async fn to_do(server: &Server, client: &Client, word: &str, all: &mut BTreeMap<&'static str, Vec<String>>) {
    let text = |text: &str| format!("{text} {word}");
    let anna = all["users"][0].clone();
    for (name, trigger, rank, more) in [
        ("Confirm", "order.placed", 20, json!({})),
        ("Call back", "call.missed", 10, json!({})),
        (
            "Greet",
            "project.created",
            10,
            json!({ "when": condition("project.name", "starts_with", "Cust"), "delay_s": 86_400 }),
        ),
    ] {
        let mut definition =
            json!({ "actions": [{ "create_task": { "title": text("Call") } }], "selector": [{ "user": anna }] });
        definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "name": text(name), "trigger": trigger, "rank": rank, "definition": definition });
        all.entry("rules").or_default().push(client.create("/v1/rules", body).await);
    }
    for name in ["Customers", "House"] {
        let body = json!({ "name": text(name), "description": text("Calls") });
        all.entry("projects").or_default().push(client.create("/v1/projects", body).await);
    }
    for (title, priority, due, assignee) in [
        ("Call", 3, json!("2999-01-01T10:00:00Z"), json!(anna)),
        ("Visit", 0, json!(null), json!(null)),
        ("Write", 0, json!("2998-01-01T10:00:00Z"), json!(null)),
    ] {
        let body = json!({
            "title": text(title), "text": text("All of it"), "priority": priority, "due_at": due, "assignee": assignee,
            "project": all["projects"][0], "subjects": [subject("order", &all["orders"][0])],
        });
        all.entry("tasks").or_default().push(client.create("/v1/tasks", body).await);
    }
    client.run(&format!("/v1/tasks/{}/complete", all["tasks"][2]), json!({ "outcome": text("Done") })).await;
    for (name, collection, sort, group) in
        [("Mine", "tickets", json!("-priority"), json!("stage")), ("All", "orders", json!(null), json!(null))]
    {
        let body = json!({
            "name": text(name), "collection": collection, "filter": condition("id", "is_null", false), "columns": ["id"],
            "sort": sort, "group_by": group,
        });
        all.entry("views").or_default().push(client.create("/v1/views", body).await);
    }
    for (title, slug) in [("Ask", "ask"), ("Complain", "complain")] {
        let body = json!({
            "name": text(title), "slug": format!("{slug}-{}", plain(word)), "text": text("We answer"),
            "team": all["teams"][1],
        });
        let form = client.create("/v1/forms", body).await;
        let email = json!({
            "key": "email", "input_type": "email", "label": text("E-mail"), "maps_to": "contact.email", "required": true,
        });
        client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": email })).await;
        client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
        all.entry("forms").or_default().push(form);
    }
    let me = client.read("/v1/me").await;
    let page = format!("/forms/{}/ask-{}", me["tenant"].as_str().unwrap(), plain(word));
    for name in ["eva", "olga"] {
        let sent = client.request(Method::POST, &page).header("accept", "application/json");
        let sent = sent.header("content-type", "application/x-www-form-urlencoded");
        let sent = sent.body(format!("email={name}%40{}.example", word.to_lowercase())).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK);
    }
    server.settle().await;
    let channels = client.read(&filtered("/v1/channels", &condition("team_id", "eq", &*all["teams"][0]))).await;
    let ada = all["contacts"][0].clone();
    for name in ["Offer", "Reminder"] {
        let letter = json!({
            "channel": channels["data"][0]["id"], "contact": ada, "ticket": all["tickets"][0],
            "to": [{ "name": text("Ada"), "address": format!("ada@{}.example", word.to_lowercase()) }],
            "subject": text(name), "body": text("As we said"),
        });
        all.entry("emails").or_default().push(client.create("/v1/emails", letter).await);
    }
    server.settle().await;
    let kept = client.read("/v1/form_submissions?sort=received_at").await;
    all.insert("form_submissions", texts(&kept, "id"));
    for name in ["shop", "till"] {
        let plain = word.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let source = format!("{name}-{plain}");
        let mapping = "key = \"{number}\"\n[fields]\ntotal = { amount = \"{sum}\", currency = \"EUR\" }\n";
        let body = json!({ "name": text(name), "source": source, "takes": "orders", "mapping": mapping });
        let id = client.create("/v1/intake_sources", body).await;
        all.entry("intake_sources").or_default().push(id);
        // What makes no sense is kept, and somebody is told.
        let body = json!({ "number": word, "sum": word });
        let kept = client.post(&format!("/v1/intake/orders?source={source}"), body).await.expect(StatusCode::CREATED);
        all.entry("deliveries").or_default().push(kept["id"].as_str().unwrap().to_owned());
        // It stays in the house.
        let url = format!("https://{name}.example/hook");
        let hook =
            json!({ "url": url, "types": ["ticket.*"], "description": text("Hook of the shop"), "enabled": false });
        all.entry("webhooks").or_default().push(client.create("/v1/webhooks", hook).await);
    }
    server.settle().await;
    let raised = client.read("/v1/notices?sort=raised_at").await;
    all.insert("notices", texts(&raised, "id"));
    let runs = client.read(&format!("/v1/rules/{}/runs?sort=trigger_position", all["rules"][2])).await;
    all.insert("rule_runs", texts(&runs, "id"));
    assert_eq!(texts(&runs, "status"), ["pending", "skipped"]);
}

/// Rehearses an import of entitlements until it has ended; the import.
pub(crate) async fn import(client: &Client, source: &str, file: &str) -> String {
    let part = |head: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let mut body = part("name=\"kind\"", "entitlements");
    body += &part("name=\"dry_run\"", "true");
    body += &part("name=\"source\"", source);
    body += &part(&format!("name=\"file\"; filename=\"{source}.csv\""), file);
    body += "--X--\r\n";
    let request = client.request(Method::POST, "/v1/imports");
    let request = request.header("content-type", "multipart/form-data; boundary=X").body(body);
    let started = client.send(request).await.expect(StatusCode::ACCEPTED);
    let progress = started["links"]["progress"].as_str().unwrap();
    let ended = client.read(&format!("{progress}?wait=60")).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    started["id"].as_str().unwrap().to_owned()
}

/// A chart on a page of a dashboard, at this column.
pub(crate) fn widget(id: &str, x: u32) -> Value {
    let definition = json!({ "measures": ["opened"], "dimensions": ["week"] });
    json!({ "id": id, "place": { "x": x, "y": 0, "w": 4, "h": 4 }, "shows": { "kind": "line", "definition": definition } })
}
