//! People sign in by an OpenID provider: a certified one, on this machine.

use std::process::Stdio;

use deskfold_tests::{Client, Reply, Server, root};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::browser::Browser;
use crate::world::employ;

/// The secret of the client at the provider.
const SECRET: &str = "a secret of the client";

/// A running provider.
pub(crate) struct Provider {
    issuer: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    // It is killed when it is dropped.
    _process: Child,
}

impl Provider {
    pub(crate) async fn start(server: &Server) -> Provider {
        let libraries = root().join("target/oidc/node_modules");
        assert!(libraries.is_dir(), "deploy/install-prerequisites.sh tests installs the provider");
        // Node looks for libraries above the file.
        let program = root().join("target/oidc/provider.mjs");
        std::fs::copy(root().join("tests/oidc/provider.mjs"), &program).unwrap();
        let mut process = Command::new("node")
            .arg(program)
            .env("CLIENT_SECRET", SECRET)
            .env("REDIRECT_URI", format!("{}/v1/sign_in/provider/callback", server.admin.base))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs: deploy/install-prerequisites.sh tests installs it");
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = loop {
            let line = output.next_line().await.unwrap().expect("the provider says where it is");
            if line.starts_with("http://") {
                break line;
            }
        };
        Provider { issuer, input, output, _process: process }
    }

    /// Says whom it knows.
    pub(crate) async fn knows(&mut self, accounts: Value) {
        self.input.write_all(format!("{accounts}\n").as_bytes()).await.unwrap();
        while self.output.next_line().await.unwrap().expect("an answer") != "known" {}
    }

    /// Says to the tenant that people sign in here.
    pub(crate) async fn is_set(&self, admin: &Client, first_sign_in: &str, role: Option<&str>) {
        let body = json!({
            "name": "Elsewhere", "issuer": self.issuer, "client_id": "deskfold", "client_secret": SECRET,
            "first_sign_in": first_sign_in, "role": role,
        });
        admin.put("/v1/identity_provider", body).await.expect(StatusCode::OK);
    }
}

/// What an answer of the provider says: where it leads, and its page.
struct Answer {
    leads: Option<String>,
    page: String,
}

/// The way of a person through the provider's pages, with the cookies that it sets.
struct AtProvider {
    http: reqwest::Client,
    cookies: std::collections::BTreeMap<String, String>,
}

impl AtProvider {
    fn new() -> AtProvider {
        gateway::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        AtProvider { http: http.build().unwrap(), cookies: Default::default() }
    }

    async fn ask(&mut self, method: Method, url: &str, form: Option<String>) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, url).header("cookie", cookies.join("; "));
        if let Some(form) = form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let response = request.send().await.unwrap();
        for line in response.headers().get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let place = response.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        let leads = place.map(|place| response.url().join(&place).unwrap().to_string());
        Answer { leads, page: response.text().await.unwrap() }
    }

    /// Signs in as `login` and agrees; where that leads: back to Deskfold.
    async fn sign_in(&mut self, url: &str, login: &str, home: &str) -> String {
        let mut answer = self.ask(Method::GET, url, None).await;
        for _ in 0..12 {
            match answer.leads {
                Some(back) if back.starts_with(&format!("{home}/")) => return back,
                Some(next) => answer = self.ask(Method::GET, &next, None).await,
                None => {
                    let action = answer.page.split("action=\"").nth(1).expect("a form").split('"').next().unwrap();
                    let action = reqwest::Url::parse(url).unwrap().join(action).unwrap().to_string();
                    let form = match answer.page.contains("name=\"login\"") {
                        true => format!("prompt=login&login={login}&password=x"),
                        false => "prompt=consent".to_owned(),
                    };
                    answer = self.ask(Method::POST, &action, Some(form)).await;
                }
            }
        }
        panic!("the provider leads in circles: {}", answer.page);
    }
}

/// Signs in by the provider from beginning to end; what Deskfold answers to whoever comes back.
async fn signs_in(browser: &Browser, tenant: &str, login: &str) -> Reply {
    let sent = browser.get(&format!("/v1/sign_in/provider?tenant={tenant}&next=/me")).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let home = browser.client.base.clone();
    let back = AtProvider::new().sign_in(sent.header("location"), login, &home).await;
    browser.get(back.strip_prefix(&home).unwrap()).await
}

#[tokio::test]
async fn a_provider_signs_a_colleague_in_and_knows_him_by_its_own_name_from_then_on() {
    let server = Server::start().await;
    let admin = &server.admin;
    let role = admin.create("/v1/roles", json!({ "name": "desk", "permissions": ["ticket.read"] })).await;
    let anna = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    admin.run(&format!("/v1/users/{anna}/grant_role"), json!({ "role": role })).await;
    let mut provider = Provider::start(&server).await;
    provider.is_set(admin, "match", None).await;
    let known = |email: &str, verified: bool| json!({ "email": email, "email_verified": verified, "name": "Somebody" });
    provider.knows(json!({ "a1": known("Anna@Example.com", true), "m1": known("anna@example.com", false) })).await;
    assert_eq!(
        Browser::new(&server).read(&format!("/v1/sign_in?tenant={}", server.tenant)).await["provider"],
        "Elsewhere"
    );

    // An address that nobody has verified is nobody's.
    let mallory = Browser::new(&server);
    signs_in(&mallory, &server.tenant, "m1").await.problem(403, "identity_unknown");
    mallory.get("/v1/me").await.problem(401, "key_missing");

    let browser = Browser::new(&server);
    let reply = signs_in(&browser, &server.tenant, "a1").await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/me"));
    let me = browser.read("/v1/me").await;
    assert_eq!((&me["user"], &me["roles"]), (&json!(anna), &json!(["desk"])));
    assert_eq!(browser.read("/v1/me/sessions").await["data"][0]["method"], "openid_connect");
    let log = admin.read("/v1/events?types=user.identity_linked,user.activated").await;
    let linked = log["data"].as_array().unwrap().iter().find(|event| event["type"] == "user.identity_linked").unwrap();
    assert_eq!(linked["data"], json!({ "issuer": provider.issuer, "subject": "a1" }));

    // Her address changes there, and is somebody else's: each remains who he is.
    provider.knows(json!({ "a1": known("other@example.com", true), "b1": known("anna@example.com", true) })).await;
    let again = Browser::new(&server);
    signs_in(&again, &server.tenant, "a1").await;
    assert_eq!(again.read("/v1/me").await["user"], json!(anna));
    let stranger = Browser::new(&server);
    signs_in(&stranger, &server.tenant, "b1").await.problem(409, "user_identity_differs");
    stranger.get("/v1/me").await.problem(401, "key_missing");
    // Until whoever may says that the other one is she.
    admin.run(&format!("/v1/users/{anna}/unlink_identity"), json!({ "issuer": provider.issuer })).await;
    signs_in(&stranger, &server.tenant, "b1").await;
    assert_eq!(stranger.read("/v1/me").await["user"], json!(anna));
    // Whoever is shut out stays out.
    admin.run(&format!("/v1/users/{anna}/deactivate"), json!({})).await;
    signs_in(&Browser::new(&server), &server.tenant, "b1").await.problem(403, "identity_unknown");
}

#[tokio::test]
async fn whoever_comes_from_the_provider_becomes_a_colleague_where_that_is_wanted() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut provider = Provider::start(&server).await;
    let role = admin.create("/v1/roles", json!({ "name": "newcomer", "permissions": ["ticket.read"] })).await;
    provider.is_set(admin, "match", None).await;
    let claims = json!({ "email": "carla@example.com", "email_verified": true, "name": "Carla Neri" });
    provider.knows(json!({ "c1": claims, "c2": { "email": "dora@example.com", "email_verified": false } })).await;
    signs_in(&Browser::new(&server), &server.tenant, "c1").await.problem(403, "identity_unknown");
    let without = json!({
        "name": "x", "issuer": provider.issuer, "client_id": "deskfold", "client_secret": SECRET, "first_sign_in": "create",
    });
    admin.put("/v1/identity_provider", without).await.problem(422, "tenant_provider_role_unfit");
    provider.is_set(admin, "create", Some(&role)).await;
    let browser = Browser::new(&server);
    signs_in(&browser, &server.tenant, "c1").await;
    let me = browser.read("/v1/me").await;
    assert_eq!((&me["name"], &me["email"]), (&json!("Carla Neri"), &json!("carla@example.com")));
    assert_eq!(me["roles"], json!(["newcomer"]));
    signs_in(&Browser::new(&server), &server.tenant, "c2").await.problem(403, "identity_unknown");
    // It is one colleague, however often she comes.
    signs_in(&Browser::new(&server), &server.tenant, "c1").await;
    server.settle().await;
    assert_eq!(admin.read("/v1/users?count=exact").await["total"], 2);
}

#[tokio::test]
async fn an_answer_counts_for_the_browser_that_asked_once() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut provider = Provider::start(&server).await;
    let user = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    let role = admin.create("/v1/roles", json!({ "name": "desk", "permissions": [] })).await;
    employ(admin, &user, &role).await;
    provider.is_set(admin, "match", None).await;
    provider.knows(json!({ "a1": { "email": "anna@example.com", "email_verified": true } })).await;
    let home = admin.base.clone();
    let way = format!("/v1/sign_in/provider?tenant={}&next=//evil.example", server.tenant);
    let browser = Browser::new(&server);
    let sent = browser.get(&way).await;
    assert!(sent.header("set-cookie").contains("HttpOnly; SameSite=Lax"), "{}", sent.header("set-cookie"));
    let place = sent.header("location").to_owned();
    for part in ["code_challenge_method=S256", "state=", "nonce=", "response_type=code"] {
        assert!(place.contains(part), "{place}");
    }
    let back = AtProvider::new().sign_in(&place, "a1", &home).await;
    let back = back.strip_prefix(&home).unwrap();
    // In another browser, which has asked something else, it is no answer.
    let victim = Browser::new(&server);
    victim.get(back).await.problem(400, "provider_answer_invalid");
    victim.get(&way).await;
    victim.get(back).await.problem(400, "provider_answer_invalid");
    let reply = browser.get(back).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/"), "nobody is led elsewhere");
    browser.get(back).await.problem(400, "provider_answer_invalid");
    browser.get("/v1/sign_in/provider/callback?error=access_denied").await.problem(400, "provider_refused");

    // A wrong secret is the provider's refusal, and an issuer that is not there is told without a word of where it is.
    let wrong = json!({ "name": "x", "issuer": provider.issuer, "client_id": "deskfold", "client_secret": "wrong" });
    admin.put("/v1/identity_provider", wrong).await.expect(StatusCode::OK);
    signs_in(&Browser::new(&server), &server.tenant, "a1").await.problem(502, "provider_unavailable");
    let nowhere = json!({ "name": "x", "issuer": "http://127.0.0.1:1", "client_id": "x", "client_secret": "x" });
    admin.put("/v1/identity_provider", nowhere).await.expect(StatusCode::OK);
    let refused = Browser::new(&server).get(&way).await.problem(502, "provider_unavailable");
    assert!(!refused["detail"].as_str().unwrap().contains("127.0.0.1"), "{refused}");
    assert_eq!(admin.read("/v1/identity_provider").await["provider"]["issuer"], "http://127.0.0.1:1");
    admin.send(admin.request(Method::DELETE, "/v1/identity_provider")).await.expect(StatusCode::OK);
    browser.get(&way).await.problem(404, "provider_missing");
    let kept: i64 =
        sqlx::query_scalar("select count(*) from auth_provider_secret").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(kept, 0);
    // Only whoever can do everything says who gets in as whom.
    let (_, less) = super::auth::user_with(&server, "less@example.com", &["tenant.*"]).await;
    let body = json!({ "name": "x", "issuer": provider.issuer, "client_id": "x", "client_secret": "x" });
    less.put("/v1/identity_provider", body).await.problem(403, "permission_denied");
}
