//! A whole Deskfold in this process, on a free port and a database of its own, and a client that speaks HTTP to it.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use gateway::{
    App, FirstAdmin,
    config::{Cli, Command, Serve},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::{Database, database, document};

/// Under what tests' servers seal secrets.
/// The key that what is sealed in tests is sealed with.
pub const SECRET_KEY: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A running server.
pub struct Server {
    /// The first tenant's admin.
    pub admin: Client,
    /// The first tenant.
    pub tenant: String,
    /// The running system, for `settle()` and the clock.
    pub app: App,
    /// Its database.
    pub database: Database,
    /// Its data directory.
    pub folder: tempfile::TempDir,
    /// Where it answers.
    pub address: SocketAddr,
}

/// A client with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// `http://127.0.0.1:port`
    pub base: String,
    /// The API key.
    pub key: String,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as text.
    pub text: String,
}

/// The configuration of a test's server; `arguments` are those of `deskfold serve`.
pub fn config(arguments: &[&str]) -> Serve {
    let line = ["deskfold", "serve"].into_iter().chain(arguments.iter().copied());
    match Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).command {
        Command::Serve(config) => *config,
        other => panic!("{other:?}"),
    }
}

impl Server {
    /// Starts one with the defaults.
    pub async fn start() -> Server {
        Server::with(&[]).await
    }

    /// Starts one with these arguments of `deskfold serve`.
    pub async fn with(arguments: &[&str]) -> Server {
        let database = database().await;
        let folder = data_directory();
        let (app, address, first) = start(arguments, &database, &folder).await;
        let first = first.expect("an empty log gets its first admin");
        let admin = Client::new(address, &first.key);
        Server { admin, tenant: first.tenant.to_string(), app, database, folder, address }
    }

    /// Starts one on a copy of the database that another has had, for whoever was its admin.
    pub async fn on(database: Database, tenant: &str, key: &str) -> Server {
        Server::on_in(database, data_directory(), tenant, key).await
    }

    /// The same with this data directory.
    pub async fn on_in(database: Database, folder: tempfile::TempDir, tenant: &str, key: &str) -> Server {
        let (app, address, first) = start(&[], &database, &folder).await;
        assert!(first.is_none(), "there is a first tenant already");
        Server { admin: Client::new(address, key), tenant: tenant.to_owned(), app, database, folder, address }
    }

    /// Another process's worth of Deskfold on the same database, with these arguments of `deskfold serve`, and its admin.
    pub async fn beside(&self, arguments: &[&str]) -> (App, Client) {
        let mut all = arguments.to_vec();
        all.extend(["--rate-limit", "0", "--secret-key", SECRET_KEY]);
        let folder = self.folder.path().to_string_lossy();
        if !all.contains(&"--data-dir") {
            all.extend(["--data-dir", &folder]);
        }
        let pool = sqlx::PgPool::connect(&self.database.url).await.expect("connect to the test's database");
        let (app, first) = App::start(config(&all), pool).await.expect("the server starts");
        assert!(first.is_none(), "there is a first tenant already");
        let (address, _) = app.listen((Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
        (app, Client::new(address, &self.admin.key))
    }

    /// A client with another key.
    pub fn client(&self, key: &str) -> Client {
        Client::new(self.address, key)
    }

    /// Another tenant's admin.
    pub async fn another_tenant(&self, name: &str) -> Client {
        let body = json!({ "name": name, "admin_email": format!("admin@{}.example", name.to_lowercase()) });
        let created = self.admin.post("/v1/tenants", body).await.expect(StatusCode::CREATED);
        self.client(created["key"].as_str().expect("a key"))
    }

    /// Waits until everything that follows from what was appended has been done.
    pub async fn settle(&self) {
        self.app.settle().await.expect("everything settles");
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.app.stop().await;
    }
}

fn data_directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

async fn start(
    arguments: &[&str],
    database: &Database,
    folder: &tempfile::TempDir,
) -> (App, SocketAddr, Option<FirstAdmin>) {
    // No test goes on longer because a rate is limited; the limit has a test of its own.
    let mut all = arguments.to_vec();
    if !all.contains(&"--rate-limit") {
        all.extend(["--rate-limit", "0"]);
    }
    // Nor is a key made in a file.
    if !all.contains(&"--secret-key") {
        all.extend(["--secret-key", SECRET_KEY]);
    }
    let folder = folder.path().to_string_lossy();
    if !all.contains(&"--data-dir") {
        all.extend(["--data-dir", &folder]);
    }
    let (app, first) = App::start(config(&all), database.pool.clone()).await.expect("the server starts");
    let (address, _) = app.listen((Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
    (app, address, first)
}

/// Of clients that speak to servers of tests alone: reading the system's certificates takes longer than many a test's request.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}

impl Client {
    /// A client of the server at this address.
    pub fn new(address: SocketAddr, key: &str) -> Client {
        gateway::install_crypto_provider();
        let http = builder().build().expect("an HTTP client");
        Client { http, base: format!("http://{address}"), key: key.to_owned(), headers: Vec::new() }
    }

    /// The same, which stays where an answer leads elsewhere.
    #[must_use]
    pub fn staying(&self) -> Client {
        let builder = builder().redirect(reqwest::redirect::Policy::none());
        Client { http: builder.build().expect("an HTTP client"), ..self.clone() }
    }

    /// The same with one more header on every request.
    #[must_use]
    pub fn header(&self, name: &str, value: impl ToString) -> Client {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_string()));
        client
    }

    /// A request as it stands, for streams and uploads.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Sends a request and reads the whole answer, which must be one that the document describes.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let request = request.build().expect("a request");
        let method = request.method().clone();
        let response = self.http.execute(request).await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let path = response.url().path().to_owned();
        let text = response.text().await.expect("a whole answer");
        let reply = Reply { status, headers, text };
        document::hold(&method, &path, &reply);
        reply
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `GET` that must answer 200, as JSON.
    pub async fn read(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        reply.json()
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// `PUT`.
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// `PATCH`.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST` that must create something; its id.
    pub async fn create(&self, path: &str, body: Value) -> String {
        let created = self.post(path, body).await.expect(StatusCode::CREATED);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// `POST` of a command that must be accepted; the types of the events it wrote.
    pub async fn run(&self, path: &str, body: Value) -> Vec<String> {
        let accepted = self.post(path, body).await.expect(StatusCode::OK);
        let events = accepted["events"].as_array().expect("events").iter();
        events.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }
}

impl Reply {
    /// The body, which must have come with this status.
    #[track_caller]
    pub fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The body as text, which must have come with 200.
    #[track_caller]
    pub fn expect_text(self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.text
    }

    /// The body as JSON; null when there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The problem, which must have this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(code)), "{problem}");
        assert!(problem["trace_id"].is_string(), "{problem}");
        problem
    }

    /// A header's text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
