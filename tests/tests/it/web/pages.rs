//! Pages over HTTP: who is let in and who is led elsewhere, what a browser may load and keep, and forms without scripts.

use deskfold_tests::{Reply, Server};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::org::browser::{Browser, PASSWORD, link, person};

/// The pages without parameters that are only for whoever is signed in, or those that anybody sees.
fn places(inside: bool) -> Vec<String> {
    let pages = gateway::pages().into_iter().filter(|route| route.keyed == inside && route.method == Method::GET);
    pages.map(|route| route.path).filter(|path| !path.contains('{')).collect()
}

/// A page, with all that every page must have.
fn page(reply: Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    let policy = reply.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
    assert_eq!((reply.header("cache-control"), reply.header("x-content-type-options")), ("no-store", "nosniff"));
    assert_eq!(reply.header("referrer-policy"), "same-origin");
    reply.text
}

fn done(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text);
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_where_one_signs_in_and_back() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &["*"]).await;
    let nobody = Browser::new(&server);
    for path in places(true) {
        page(anna.get(&path).await);
        let led = nobody.get(&path).await;
        assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, &*format!("/sign_in?next={path}")));
    }
    let led = nobody.get("/people?name=a&b").await;
    assert_eq!(led.header("location"), "/sign_in?next=/people%3Fname%3Da%26b");
    let asks = page(nobody.get(led.header("location")).await);
    assert!(asks.contains("name=\"next\" value=\"/people?name=a&amp;b\""), "{asks}");
    // Whoever is signed in already goes on at once, and nobody is led elsewhere.
    for (next, place) in [("/me", "/me"), ("//evil.example", "/"), ("https://evil.example", "/")] {
        let led = anna.get(&format!("/sign_in?next={next}")).await;
        assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, place));
    }
    // A key is for programs.
    let program = server.admin.staying().get("/me").await;
    assert_eq!((program.status, program.header("location")), (StatusCode::SEE_OTHER, "/sign_in?next=/me"));
    for path in places(false).iter().map(String::as_str).chain(["/sign_in/forgotten?sent=true"]) {
        page(nobody.get(path).await);
    }
}

#[tokio::test]
async fn what_a_page_loads_is_kept_for_ever_and_comes_from_this_server() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &["*"]).await;
    let mut loaded = 0;
    for path in places(true).into_iter().chain(["/sign_in/forgotten".to_owned()]) {
        let page = page(anna.get(&path).await);
        for file in page.split('"').filter(|text| text.starts_with("/assets/")) {
            let reply = anna.get(file).await;
            assert_eq!(reply.status, StatusCode::OK, "{file}");
            assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
            for imported in reply.text.split('"').filter(|text| text.starts_with("/assets/")) {
                assert_eq!(anna.get(imported).await.status, StatusCode::OK, "{file} imports {imported}");
            }
            loaded += 1;
        }
    }
    assert!(loaded > 20, "{loaded}");
    anna.get("/assets/style.css").await.problem(404, "route_unknown");
}

#[tokio::test]
async fn a_page_speaks_the_language_of_the_person_and_then_of_the_browser() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &[]).await;
    let in_lithuanian = async |browser: &Browser, path: &str| {
        let request = browser.client.request(Method::GET, path).header("accept-language", "de, lt;q=0.9, en;q=0.1");
        page(browser.send(request).await)
    };
    let nobody = Browser::new(&server);
    assert!(in_lithuanian(&nobody, "/sign_in").await.contains("<html lang=\"lt\" data-theme=\"auto\""));
    assert!(in_lithuanian(&anna, "/me").await.contains("<html lang=\"lt\""));
    // What somebody chooses counts more: in this browser, and in the profile of whoever is signed in.
    let wanted = [("language", "cs"), ("theme", "dark"), ("next", "/sign_in")];
    for browser in [&nobody, &anna] {
        let led = browser.submit("/preferences", &wanted).await;
        assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, "/sign_in"));
    }
    assert!(in_lithuanian(&nobody, "/sign_in").await.contains("<html lang=\"cs\" data-theme=\"dark\""));
    assert_eq!(anna.read("/v1/me").await["locale"], "cs");
    done(&anna.post("/v1/me/change_profile", json!({ "locale": "uk-UA" })).await);
    assert!(in_lithuanian(&anna, "/me").await.contains("<html lang=\"uk\" data-theme=\"dark\""));
    done(&anna.post("/v1/me/change_profile", json!({ "locale": null, "name": "Anna <b>" })).await);
    let page = in_lithuanian(&anna, "/").await;
    assert!(page.contains("<html lang=\"cs\"") && page.contains("Anna &lt;b&gt;"), "{page}");
    let elsewhere = [("language", "cs"), ("theme", "dark"), ("next", "//evil.example")];
    assert_eq!(nobody.submit("/preferences", &elsewhere).await.header("location"), "/");
}

#[tokio::test]
async fn everybody_changes_his_own_profile_and_presence_and_nothing_else() {
    let server = Server::start().await;
    let (user, anna) = person(&server, "anna@example.com", &[]).await;
    let change = async |body| anna.post("/v1/me/change_profile", body).await;
    done(&change(json!({ "name": "Anna Bianchi", "time_zone": "Europe/Rome" })).await);
    done(&anna.post("/v1/me/set_presence", json!({ "presence": "online" })).await);
    let me = anna.read("/v1/me").await;
    assert_eq!((&me["name"], &me["time_zone"]), (&json!("Anna Bianchi"), &json!("Europe/Rome")));
    assert_eq!(me["presence"], "online");
    for unfit in [json!({ "email": "boss@example.com" }), json!({ "time_zone": "Nowhere" }), json!({ "name": "" })] {
        assert_eq!(change(unfit).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let of_others = format!("/v1/users/{user}/change_profile");
    anna.post(&of_others, json!({ "name": "Anna" })).await.problem(403, "permission_denied");
    server.admin.post("/v1/me/set_presence", json!({ "presence": "online" })).await.problem(403, "session_needed");
}

#[tokio::test]
async fn an_invited_person_comes_in_by_plain_forms() {
    let server = Server::start().await;
    let admin = &server.admin;
    let user = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    let whole = link(admin, &user, "password").await;
    let path = whole.strip_prefix(&admin.base).unwrap();
    let browser = Browser::new(&server);
    let asks = page(browser.get(path).await);
    assert!(asks.contains("action=\"/v1/links/follow\"") && asks.contains("anna@example.com"), "{asks}");
    let secret = path.rsplit('/').next().unwrap();
    let led = browser.submit("/v1/links/follow", &[("link", secret), ("password", PASSWORD), ("next", "/")]).await;
    assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, "/"));
    let start = page(browser.get("/").await);
    assert!(start.contains("href=\"/docs\"") && start.contains("href=\"/me\""), "{start}");
    assert!(!start.contains("href=\"/people\""), "nothing that she may not do is offered");
    let over = browser.get(path).await;
    assert_eq!(over.status, StatusCode::GONE);
    assert!(over.header("content-type").starts_with("text/html"));
    let led = browser.submit("/v1/me/sign_out_everywhere", &[("next", "/sign_in")]).await;
    assert_eq!(led.header("location"), "/sign_in");
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_without_scripts_is_led_through_the_code() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &[]).await;
    let wrong = anna.submit("/me/second_factor", &[("password", "not this one")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("That is not your password."), "{}", wrong.text);
    let prepared = page(anna.submit("/me/second_factor", &[("password", PASSWORD)]).await);
    assert!(prepared.contains("<svg class=\"qr\"") && prepared.contains("/v1/me/enable_second_factor"), "{prepared}");
    let secret = prepared.split("<p class=\"secret\"><code>").nth(1).unwrap().split('<').next().unwrap();
    let code = crate::org::second_factor::code(secret, 0);
    anna.post("/v1/me/enable_second_factor", json!({ "code": code })).await.expect(StatusCode::OK);
    let browser = Browser::new(&server);
    let fields = [("email", "anna@example.com"), ("password", PASSWORD), ("next", "/me?tab=1")];
    let led = browser.submit("/v1/sign_in", &fields).await;
    let place = "/sign_in/continue?next=/me%3Ftab%3D1";
    assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, place));
    let asks = page(browser.get(place).await);
    assert!(asks.contains("autocomplete=\"one-time-code\"") && asks.contains("value=\"/me?tab=1\""), "{asks}");
}

#[tokio::test]
async fn a_browser_that_finds_nothing_is_shown_a_page_and_a_program_a_problem() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let request = browser.client.request(Method::GET, "/nothing").header("accept", "text/html,*/*;q=0.8");
    let reply = browser.send(request).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::NOT_FOUND, "text/html; charset=utf-8"));
    browser.get("/nothing").await.problem(404, "route_unknown");
}
