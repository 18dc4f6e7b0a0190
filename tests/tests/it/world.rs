//! A small world for tests: who asks, what they own, and shorthands for what every test of lists and records does.

use deskfold_tests::Client;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A well-formed id that no record has.
pub const NOBODY: &str = "01K9Z3T8W0QX6V5N4M3K2J1H0G";

/// A company, one of its people, a product with a badge, and the company's entitlement to it.
pub struct Customer {
    pub company: String,
    pub contact: String,
    pub product: String,
    pub entitlement: String,
}

impl Customer {
    /// Rossi Srl, whose Ada Rossi writes, and which owns Hosting.
    pub async fn new(client: &Client) -> Customer {
        let company = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
        let contact = contact(client, "Ada Rossi").await;
        client.run(&format!("/v1/contacts/{contact}/link_company"), json!({ "company": company })).await;
        let badge = json!({ "name": "Hosting", "kind": "service", "color": "#00a09d", "icon": "server" });
        let product = client.create("/v1/products", badge).await;
        let entitlement = grant(client, &product, "company", &company).await;
        Customer { company, contact, product, entitlement }
    }

    /// A ticket that Ada opens about Hosting.
    pub async fn ticket(&self, client: &Client, title: &str) -> String {
        let requester = party("contact", &self.contact);
        let body = json!({ "title": title, "requester": requester, "entitlement": self.entitlement });
        client.create("/v1/tickets", body).await
    }
}

/// A reference to a contact, company or user.
pub fn party(kind: &str, id: &str) -> Value {
    json!({ "kind": kind, "id": id })
}

pub async fn contact(client: &Client, name: &str) -> String {
    client.create("/v1/contacts", json!({ "name": name })).await
}

pub async fn product(client: &Client, name: &str) -> String {
    client.create("/v1/products", json!({ "name": name })).await
}

pub async fn user(client: &Client, name: &str) -> String {
    let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
    client.create("/v1/users", json!({ "email": email, "name": name })).await
}

/// Gives a product to somebody; the entitlement.
pub async fn grant(client: &Client, product: &str, kind: &str, holder: &str) -> String {
    client.create("/v1/entitlements", json!({ "product": product, "holder": party(kind, holder) })).await
}

pub async fn ticket(client: &Client, title: &str) -> String {
    client.create("/v1/tickets", json!({ "title": title })).await
}

/// A custom field; `more` adds options and the like.
pub async fn field(client: &Client, entity: &str, key: &str, kind: &str, more: Value) {
    let mut body = json!({ "entity": entity, "key": key, "type": kind });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/v1/fields", body).await.expect(StatusCode::CREATED);
}

/// One field of every record of a page.
pub fn each(page: &Value, field: &str) -> Vec<Value> {
    page["data"].as_array().unwrap().iter().map(|record| record[field].clone()).collect()
}

/// The same as texts.
pub fn texts(page: &Value, field: &str) -> Vec<String> {
    each(page, field)
        .iter()
        .map(|value| value.as_str().unwrap_or_else(|| panic!("{field}: {value}")).to_owned())
        .collect()
}

/// The whole of a list, page by page.
pub async fn pages(client: &Client, path: &str) -> Vec<Value> {
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
pub fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no instant"))
}

/// A text as it stands in a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The path of a list with a filter.
pub fn filtered(path: &str, filter: &Value) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}filter={}", encoded(&filter.to_string()))
}

/// One condition.
pub fn condition(field: &str, op: &str, value: impl Into<Value>) -> Value {
    json!({ "field": field, "op": op, "value": value.into() })
}
