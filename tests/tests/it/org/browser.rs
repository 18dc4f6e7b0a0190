//! A browser as far as the server knows one: it keeps cookies, and says from which page it comes.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Reply, Server};
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::world::employ;

/// A password that is none of the leaked ones, and nobody's name.
pub(crate) const PASSWORD: &str = "nine quiet herons";

/// A browser.
pub(crate) struct Browser {
    pub(crate) client: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(server: &Server) -> Browser {
        Browser::at(&server.client(""))
    }

    /// One that is sent where this client is.
    pub(crate) fn at(client: &Client) -> Browser {
        let mut client = client.staying();
        client.key = String::new();
        Browser { client, cookies: Mutex::default() }
    }

    /// The same cookies elsewhere: another process, another way of asking.
    pub(crate) fn moved(&self, client: &Client) -> Browser {
        let moved = Browser::at(client);
        *moved.cookies.lock() = self.cookies.lock().clone();
        moved
    }

    pub(crate) fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().clone()
    }

    fn with_cookies(&self, request: RequestBuilder) -> RequestBuilder {
        let pairs: Vec<_> = self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { request } else { request.header("cookie", pairs.join("; ")) }
    }

    fn keep(&self, reply: &Reply) {
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let gone = line.contains("Max-Age=0");
            let mut cookies = self.cookies.lock();
            if gone {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Sends a request as it stands, but for cookies.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        let reply = self.client.send(self.with_cookies(request)).await;
        self.keep(&reply);
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.client.request(Method::GET, path)).await
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        self.get(path).await.expect(StatusCode::OK)
    }

    /// A page of the server's own sends JSON.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        let request = self.client.request(Method::POST, path).header("sec-fetch-site", "same-origin");
        self.send(request.json(&body)).await
    }

    /// A page of the server's own sends a form, without a script.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let request = self.client.request(Method::POST, path).header("origin", &self.client.base);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        self.send(request.body(pairs.join("&"))).await
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Reply {
        self.post("/v1/sign_in", json!({ "email": email, "password": password })).await
    }
}

pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A link that the admin hands to a user.
pub(crate) async fn link(admin: &Client, user: &str, purpose: &str) -> String {
    let issued = admin.post(&format!("/v1/users/{user}/issue_link"), json!({ "purpose": purpose })).await;
    issued.expect(StatusCode::OK)["link"].as_str().unwrap().to_owned()
}

/// A colleague with a role of these permissions who was invited, has set a password, and is signed in.
pub(crate) async fn person(server: &Server, email: &str, permissions: &[&str]) -> (String, Browser) {
    let admin = &server.admin;
    let role = admin.create("/v1/roles", json!({ "name": email, "permissions": permissions })).await;
    let user = admin.create("/v1/users", json!({ "email": email, "name": email })).await;
    employ(admin, &user, &role).await;
    let link = link(admin, &user, "password").await;
    let browser = Browser::new(server);
    let followed = browser.post("/v1/links/follow", json!({ "link": link, "password": PASSWORD })).await;
    assert_eq!(followed.expect(StatusCode::OK)["state"], "signed_in");
    (user, browser)
}
