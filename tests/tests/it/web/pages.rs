//! Pages over HTTP: who is let in and who is led elsewhere, what a browser may load and keep, and forms without scripts.

use std::collections::BTreeSet;

use deskfold_tests::{Reply, Server};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::org::browser::{Browser, PASSWORD, escaped, link, person};

/// The pages without parameters that are only for whoever is signed in, or those that anybody sees.
fn places(inside: bool) -> Vec<String> {
    let pages = gateway::pages().into_iter().filter(|route| route.keyed == inside && route.method == Method::GET);
    // A portal is at a host name of its tenant's.
    pages.map(|route| route.path).filter(|path| !path.contains('{') && path != "/portal").collect()
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

/// The addresses to which the plain forms of a page are sent, with what they send along unseen; those that a script fills in first
/// are none.
fn forms(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let value = |text: &str, name: &str| {
        let rest = text.split(&format!(" {name}=\"")).nth(1)?;
        Some(rest.split('"').next().unwrap().replace("&amp;", "&"))
    };
    let outside = page.split("<template").map(|part| part.rsplit("</template>").next().unwrap());
    let forms = outside.flat_map(|part| part.split("<form").skip(1)).filter_map(|form| form.split("</form>").next());
    let plain = forms.filter(|form| form.split('>').next().unwrap().contains("method=\"post\""));
    let form = |form: &str| {
        let inputs =
            form.split("<input").skip(1).filter(|input| input.split('>').next().unwrap().contains("\"hidden\""));
        let unseen = inputs.map(|input| (value(input, "name").unwrap(), value(input, "value").unwrap()));
        (value(form, "action").unwrap(), unseen.collect())
    };
    plain.map(form).collect()
}

/// What a page of a form that was refused says is wrong.
fn refusal(reply: &Reply) -> String {
    assert!(reply.status.is_client_error(), "{}: {}", reply.status, reply.text);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "{}", reply.text);
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    let said = reply.text.split("id=\"refusal\" role=\"alert\">").nth(1);
    said.unwrap_or_else(|| panic!("{}", reply.text)).split('<').next().unwrap().to_owned()
}

/// The same request of a browser in Czech, and of a program.
async fn both(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> (Reply, Reply) {
    let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let send = async |accept: &str| {
        let request = browser.client.request(Method::POST, path).header("origin", &browser.client.base);
        let request = request.header("content-type", "application/x-www-form-urlencoded").header("accept", accept);
        browser.send(request.header("accept-language", "cs").body(body.join("&"))).await
    };
    (send("text/html,application/xhtml+xml,*/*;q=0.8").await, send("*/*").await)
}

#[tokio::test]
async fn every_plain_form_that_is_refused_is_shown_again_in_the_language_of_the_person() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, anna) = person(&server, "anna@example.com", &["*"]).await;
    let boris = admin.create("/v1/users", json!({ "email": "boris@example.com", "name": "Boris" })).await;
    let link = link(admin, &boris, "password").await;
    let nobody = Browser::new(&server);
    let secret = link.strip_prefix(&admin.base).unwrap().to_owned();
    let (_, factor) = person(&server, "factor@example.com", &[]).await;
    let secret_of_factor = factor.post("/v1/me/prepare_second_factor", json!({ "password": PASSWORD })).await;
    let secret_of_factor = secret_of_factor.expect(StatusCode::OK)["secret"].as_str().unwrap().to_owned();
    let code = json!({ "code": crate::org::second_factor::code(&secret_of_factor, 0) });
    factor.post("/v1/me/enable_second_factor", code).await.expect(StatusCode::OK);
    let halfway = Browser::new(&server);
    halfway.sign_in("factor@example.com", PASSWORD).await.expect(StatusCode::OK);
    let mut tried = BTreeSet::new();
    let inside = places(true).into_iter().map(|path| (&anna, path));
    let outside = places(false).into_iter().map(|path| (&nobody, path));
    let others = [(&nobody, secret), (&halfway, "/sign_in/continue".to_owned())];
    for (browser, path) in inside.chain(outside).chain(others) {
        let shown = browser.get(&path).await;
        for (action, unseen) in forms(&shown.text) {
            // What no form says at all, and nothing of what one is to fill in.
            let unseen = unseen.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let fields: Vec<_> = unseen.chain([("surprise", "1")]).collect();
            let (page, problem) = both(browser, &action, &fields).await;
            let text = refusal(&page);
            assert_eq!((page.status, problem.header("content-type")), (problem.status, "application/problem+json"));
            let told = problem.json();
            let english =
                told["errors"].as_array().into_iter().flatten().map(|error| &error["detail"]).chain([&told["detail"]]);
            for english in english {
                assert!(!text.contains(english.as_str().unwrap()), "{action}: {text} is not Czech");
            }
            assert!(page.text.contains("<html lang=\"cs\"") && !text.trim().is_empty(), "{action}: {text}");
            if action.starts_with("/v1/sign_in") || action.starts_with("/v1/links") {
                let again = forms(&page.text).into_iter().any(|(other, _)| other == action);
                assert!(again, "{action} can be sent again: {}", page.text);
            }
            tried.insert(action);
        }
    }
    let met = [
        "/v1/sign_in",
        "/v1/sign_in/continue",
        "/v1/sign_in/forgotten",
        "/v1/links/follow",
        "/preferences",
        "/v1/me/sign_out",
    ];
    let more = [
        "/v1/me/change_profile",
        "/v1/me/change_password",
        "/v1/me/set_presence",
        "/v1/me/request_email",
        "/me/second_factor",
    ];
    for action in met.into_iter().chain(more) {
        assert!(tried.contains(action), "{action} is on no page: {tried:?}");
    }
}

#[tokio::test]
async fn a_refused_form_says_what_is_wrong_and_keeps_where_one_wants_to_go() {
    let server = Server::start().await;
    let (_, anna) = person(&server, "anna@example.com", &[]).await;
    let nobody = Browser::new(&server);
    let wrong = [("email", "anna@example.com"), ("password", "wrong"), ("next", "/me?tab=1")];
    let (page, problem) = both(&nobody, "/v1/sign_in", &wrong).await;
    assert_eq!(refusal(&page), "To není správně. Zkontrolujte adresu, heslo a kód.");
    assert!(page.text.contains("name=\"next\" value=\"/me?tab=1\""), "{}", page.text);
    problem.problem(401, "sign_in_failed");
    let wrong = [("current", "not this one"), ("password", "nine loud herons"), ("next", "/me")];
    assert_eq!(refusal(&both(&anna, "/v1/me/change_password", &wrong).await.0), "To není vaše heslo.");
    let odd = [("name", "Anna"), ("time_zone", "Nowhere")];
    let (page, problem) = both(&anna, "/v1/me/change_profile", &odd).await;
    assert_eq!(refusal(&page), "Takové časové pásmo není. Jmenuje se například Europe/Prague.");
    assert!(page.text.contains("action=\"/v1/me/change_profile\""));
    problem.problem(422, "time_zone_invalid");
    // What another site sends is refused to be read too, and a browser that a provider sent back is told on the page where one signs in.
    let foreign = anna.client.request(Method::POST, "/v1/sign_in").header("origin", "https://evil.example");
    let foreign = foreign.header("content-type", "application/x-www-form-urlencoded").header("accept", "text/html");
    let foreign = nobody.send(foreign.body("email=a%40b.cz&password=x")).await;
    assert_eq!(
        (foreign.status, refusal(&foreign).as_str()),
        (StatusCode::FORBIDDEN, "Please reload the page and try again.")
    );
    let back = nobody.client.request(Method::GET, "/v1/sign_in/provider/callback?error=denied");
    let back = nobody.send(back.header("accept", "text/html")).await;
    assert_eq!(back.status, StatusCode::BAD_REQUEST);
    assert!(refusal(&back).starts_with("The sign-in provider did not say who you are."), "{}", back.text);
    // Whoever is not signed in any more is led to where one signs in.
    let (led, problem) = both(&nobody, "/v1/me/change_profile", &[("name", "Anna")]).await;
    assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, "/sign_in?next=/me"));
    problem.problem(401, "key_missing");
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
