//! The portal: customers find help, sign in by a code, and see and do what is theirs, and nothing of anybody else.

use deskfold_tests::{PostOffice, Server, until};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::world::{condition, encoded, euros, filtered, grant, party};

/// Somebody outside with a browser that follows nowhere by itself.
struct Outside {
    http: reqwest::Client,
    base: String,
    home: String,
    cookie: String,
}

struct Seen {
    status: StatusCode,
    place: String,
    text: String,
}

impl Seen {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{} {}", self.place, self.text);
        self.text
    }

    /// The path that it leads to.
    #[track_caller]
    fn leads(self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.place
    }

    /// The value of a hidden field.
    #[track_caller]
    fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let rest = self.text.split(&field).nth(1).unwrap_or_else(|| panic!("no {name}: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Outside {
    fn new(server: &Server) -> Outside {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let home = format!("/portal/{}", server.tenant);
        Outside { http, base: server.admin.base.clone(), home, cookie: String::new() }
    }

    async fn sent(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let answer = request.header(header::COOKIE, &self.cookie).header("accept", "text/html").send().await.unwrap();
        let text = |name| answer.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        if let Some(set) = text(header::SET_COOKIE) {
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        let place = text(header::LOCATION).unwrap_or_default().to_owned();
        Seen { status: answer.status(), place, text: answer.text().await.unwrap() }
    }

    fn path(&self, path: &str) -> String {
        if path.starts_with("/portal/") || path.starts_with("/files/") {
            format!("{}{path}", self.base)
        } else {
            format!("{}{}{path}", self.base, self.home)
        }
    }

    async fn get(&mut self, path: &str) -> Seen {
        let request = self.http.get(self.path(path));
        self.sent(request).await
    }

    /// Sends a form of a page of this server.
    async fn post(&mut self, path: &str, values: &[(&str, &str)]) -> Seen {
        let body: Vec<String> = values.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let request = self.http.post(self.path(path)).header("origin", &self.base).body(body.join("&"));
        self.sent(request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    async fn give(&mut self, path: &str, values: &[(&str, &str)], files: &[(&str, &str)]) -> Seen {
        let mut body = String::new();
        for (name, value) in values {
            body += &format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        for (name, text) in files {
            let what = format!("content-disposition: form-data; name=\"files\"; filename=\"{name}\"");
            body += &format!("--edge\r\n{what}\r\ncontent-type: text/plain\r\n\r\n{text}\r\n");
        }
        body += "--edge--\r\n";
        let request = self.http.post(self.path(path)).header("origin", &self.base).body(body);
        let request = request.header("content-type", "multipart/form-data; boundary=edge");
        self.sent(request).await
    }
}

pub(crate) async fn portal(server: &Server, team: &str, more: Value) {
    let mut portal = json!({ "team": team });
    portal.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.admin.run("/v1/tenants/current/set_portal", json!({ "portal": portal })).await;
}

/// The desk with a team whose mail leaves by the office.
pub(crate) async fn desk(office: &PostOffice) -> (Server, String) {
    let smtp = format!("smtp+plain://127.0.0.1:{}", office.smtp);
    let server = Server::with(&["--smtp-url", &smtp, "--private-addresses"]).await;
    let client = &server.admin;
    client.run("/v1/tenants/current/set_alias_domain", json!({ "domain": "desk.example" })).await;
    let team = client.create("/v1/teams", json!({ "name": "Support" })).await;
    server.settle().await;
    (server, team)
}

/// The code in the mail of somebody who has so many, one of them with a code.
pub(crate) async fn code(office: &PostOffice, who: &str, count: usize) -> String {
    assert!(until(async || office.mailbox(who).len() == count).await, "{}", office.log());
    let mails = office.mailbox(who);
    six(mails.iter().find(|mail| mail.contains("Auto-Submitted")).unwrap())
}

async fn signs_in(server: &Server, office: &PostOffice, who: &str, count: usize) -> Outside {
    let mut outside = Outside::new(server);
    let asked = outside.post("/sign_in", &[("email", &format!("{who}@mail.example"))]).await;
    let token = asked.hidden("token");
    asked.ok();
    server.settle().await;
    let code = code(office, who, count).await;
    assert_eq!(
        outside.post("/code", &[("token", &token), ("code", &code)]).await.leads(),
        format!("{}/tickets", outside.home)
    );
    outside
}

#[tokio::test]
async fn whoever_has_a_question_finds_an_article_and_says_whether_it_helped() {
    let server = Server::start().await;
    let client = &server.admin;
    let mut outside = Outside::new(&server);
    assert_eq!(outside.get("").await.status, StatusCode::NOT_FOUND, "there is no portal yet");
    let team = client.create("/v1/teams", json!({ "name": "Support" })).await;
    let unfit = json!({ "portal": { "team": crate::world::NOBODY, "language": "no language" } });
    client.post("/v1/tenants/current/set_portal", unfit).await.problem(422, "portal_team_unfit");
    portal(&server, &team, json!({ "name": "Help & more", "welcome": "Good day", "color": "#123456" })).await;

    let billing = client.create("/v1/article_categories", json!({ "name": "Billing", "place": 1 })).await;
    let text = "# Pay\n\nOpen the **invoice** <script>alert(1)</script>";
    let body = json!({ "name": "How to pay", "body": text, "category": billing });
    let pay = client.create("/v1/articles", body).await;
    let other =
        client.create("/v1/articles", json!({ "name": "Jak platit", "body": "Otevřete", "language": "cs" })).await;
    let place = format!("/articles/{pay}");
    server.settle().await;
    assert_eq!(outside.get(&place).await.status, StatusCode::NOT_FOUND, "a draft is read by nobody");
    assert!(!outside.get("").await.ok().contains("How to pay"));
    client.run(&format!("/v1/articles/{pay}/publish"), json!({})).await;
    client.run(&format!("/v1/articles/{other}/publish"), json!({})).await;
    server.settle().await;
    let home = outside.get("").await.ok();
    for told in ["Help &amp; more", "Good day", "Billing", "How to pay", "Pay Open the invoice"] {
        assert!(home.contains(told), "{told}: {home}");
    }
    assert!(!home.contains("Jak platit"), "it is in another language");
    assert!(outside.get("/colors.css").await.ok().contains("#123456"));
    assert!(outside.get("?q=INVOICE").await.ok().contains("How to pay"));
    assert!(!outside.get("?q=invoice+lost").await.ok().contains("How to pay"), "each word must be in it");
    let read = outside.get(&place).await.ok();
    assert!(read.contains("<strong>invoice</strong>") && !read.contains("<script>alert"), "{read}");

    // What is written on is read once it is published again.
    let patch = json!({ "body": "Now otherwise" });
    client.patch(&format!("/v1/articles/{pay}"), patch).await.expect(StatusCode::OK);
    server.settle().await;
    assert!(!outside.get(&place).await.ok().contains("Now otherwise"));
    let article = client.read(&format!("/v1/articles/{pay}")).await;
    assert_eq!((&article["body"], &article["published_body"]), (&json!("Now otherwise"), &json!(text)));

    let vote = format!("{place}/vote");
    assert_eq!(
        outside.post(&vote, &[("helpful", "true")]).await.leads(),
        format!("{}{place}?voted=true", outside.home)
    );
    outside.post(&vote, &[("helpful", "true")]).await.leads();
    outside.post(&vote, &[("helpful", "false")]).await.leads();
    server.settle().await;
    let article = client.read(&format!("/v1/articles/{pay}")).await;
    assert_eq!(
        (&article["helpful"], &article["unhelpful"]),
        (&json!(0), &json!(1)),
        "one reader, who thought better of it"
    );
    client.run(&format!("/v1/articles/{pay}/publish"), json!({})).await;
    assert!(outside.get(&place).await.ok().contains("Now otherwise"));
    client.run(&format!("/v1/articles/{pay}/archive"), json!({})).await;
    assert_eq!(outside.get(&place).await.status, StatusCode::NOT_FOUND);
    // A form of a team whose help centre is published leads here first, and from here one comes to the form.
    let form = client.create("/v1/forms", json!({ "name": "Ask us", "slug": "ask", "team": team })).await;
    let email = json!({ "key": "email", "input_type": "email", "label": "E-mail", "maps_to": "contact.email" });
    client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": email })).await;
    client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
    client.run(&format!("/v1/teams/{team}/publish_help_centre"), json!({})).await;
    portal(&server, &team, json!({ "form": form })).await;
    let page = format!("/forms/{}/ask", server.tenant);
    assert!(client.get(&page).await.text.contains(&format!("href=\"{}\"", outside.home)), "the form leads to the help");
    assert!(
        outside.get("").await.ok().contains(&format!("href=\"{page}?contact=true\"")),
        "the help leads to the form"
    );
    // Closed, it is gone.
    client.run("/v1/tenants/current/set_portal", json!({ "portal": null })).await;
    assert_eq!(outside.get("").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_signs_in_by_a_code_and_has_his_own_tickets_and_no_others() {
    let Some(office) = PostOffice::start(&["maria", "carlo"]) else { return };
    let (server, team) = desk(&office).await;
    let client = &server.admin;
    portal(&server, &team, json!({})).await;
    let contact = async |name: &str, email: Option<&str>| {
        client.create("/v1/contacts", json!({ "name": name, "email": email })).await
    };
    let maria = contact("Maria Rossi", Some("maria@mail.example")).await;
    let (eva, carlo) = (contact("Eva", None).await, contact("Carlo", None).await);
    let company = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
    for who in [&maria, &eva] {
        client.run(&format!("/v1/contacts/{who}/link_company"), json!({ "company": company })).await;
    }
    let badge = json!({ "name": "Hosting", "kind": "service", "color": "#00a09d", "icon": "server" });
    let product = client.create("/v1/products", badge).await;
    let entitlement = grant(client, &product, "contact", &maria).await;
    let ticket = async |title: &str, who: &str, company: Option<&str>| {
        let body = json!({ "title": title, "requester": party("contact", who), "company": company, "team": team, "channel": "email" });
        client.create("/v1/tickets", body).await
    };
    let hers = ticket("The display stays dark", &maria, None).await;
    let colleagues = ticket("A secret of Eva", &eva, Some(&company)).await;
    let strangers = ticket("A secret of Carlo", &carlo, None).await;
    client.run(&format!("/v1/tickets/{hers}/add_note"), json!({ "body": "She is angry again" })).await;
    client.run(&format!("/v1/tickets/{hers}/reply"), json!({ "body": "Please hold the power key." })).await;
    server.settle().await;

    // Nobody is told who may sign in, and who may not gets no mail.
    let mut stranger = Outside::new(&server);
    assert_eq!(stranger.get("/tickets").await.leads(), format!("{}/sign_in", stranger.home));
    assert_eq!(stranger.post("/sign_in", &[("email", "carlo")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = stranger.post("/sign_in", &[("email", "carlo@mail.example")]).await;
    let token = asked.hidden("token");
    assert!(asked.ok().contains("carlo@mail.example"));
    let wrong = stranger.post("/code", &[("token", &token), ("code", "123456")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    server.settle().await;
    assert_eq!(office.mailbox("carlo").len(), 0);

    let mut outside = signs_in(&server, &office, "maria", 2).await;
    let mail = office.mailbox("maria").into_iter().find(|mail| mail.contains("Your code for")).unwrap();
    assert!(mail.contains("Auto-Submitted") && !mail.contains("{code}"), "{mail}");
    let events = client.read("/v1/events?types=email.queued&limit=100").await.to_string();
    assert!(events.contains("{code}"), "the code is in no event: {events}");

    // Hers, and nothing of anybody else, by whatever address.
    let listed = outside.get("/tickets").await.ok();
    assert!(listed.contains("The display stays dark") && !listed.contains("secret"), "{listed}");
    let read = outside.get(&format!("/tickets/{hers}")).await.ok();
    assert!(read.contains("Please hold the power key.") && !read.contains("angry"), "{read}");
    let reads = ["", "/reply", "/close", "/reopen", "/rate"];
    for other in [&colleagues, &strangers, &team, &maria] {
        for what in reads {
            let path = format!("/tickets/{other}{what}");
            let seen = match what {
                "" => outside.get(&path).await,
                "/reply" => outside.give(&path, &[("text", "Let me in")], &[]).await,
                "/rate" => outside.post(&path, &[("score", "1")]).await,
                _ => outside.post(&path, &[]).await,
            };
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{path}");
            assert!(!seen.text.contains("secret"), "{path}: {}", seen.text);
        }
    }
    server.settle().await;
    for other in [&colleagues, &strangers] {
        let thread = client.read(&format!("/v1/tickets/{other}/thread")).await;
        assert_eq!(thread["data"], json!([]), "nothing came of it");
        assert_eq!(client.read(&format!("/v1/tickets/{other}")).await["rating"], json!(null));
    }
    // What another site makes her browser send is refused.
    let foreign =
        outside.http.post(outside.path(&format!("/tickets/{hers}/close"))).header("origin", "https://evil.example");
    assert_eq!(outside.sent(foreign).await.status, StatusCode::FORBIDDEN);

    // She asks about what she owns, with a file; sent twice it is one ticket.
    let page = outside.get("/tickets/new").await;
    let once = page.hidden("once");
    assert!(page.ok().contains("Hosting"));
    let values = [("once", &*once), ("title", "No mail"), ("text", "Since Monday"), ("product", &*entitlement)];
    let place = outside.give("/tickets", &values, &[("log.txt", "No route")]).await.leads();
    let again = outside.give("/tickets", &values, &[("log.txt", "No route")]).await.leads();
    assert_eq!(place.split('?').next(), again.split('?').next());
    let read = outside.get(&place).await.ok();
    assert!(read.contains("log.txt") && read.matches("Since Monday").count() == 1, "{read}");
    let file = read.split("href=\"/files/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(outside.get(&format!("/files/{file}")).await.ok(), "No route");
    let opened = client.read(&filtered("/v1/tickets", &condition("title", "eq", "No mail"))).await;
    let opened = &opened["data"].as_array().unwrap()[..];
    assert_eq!(opened.len(), 1);
    let told = ["channel", "requester_id", "product_id", "team_id"].map(|name| opened[0][name].clone());
    assert_eq!(told, [json!("portal"), json!(maria), json!(product), json!(team)]);
    let id = opened[0]["id"].as_str().unwrap().to_owned();
    let first = &client.read("/v1/events?types=ticket.opened&limit=100").await["data"];
    let last = first.as_array().unwrap().last().unwrap();
    assert_eq!(last["actor"], json!({ "kind": "customer", "id": maria }));
    let empty = outside.give("/tickets", &[("title", "Nothing"), ("text", " ")], &[]).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(empty.text.contains("Nothing"), "what was typed is still there");
    let foreign = json!({ "product": product, "holder": party("contact", &carlo) });
    let foreign = client.create("/v1/entitlements", foreign).await;
    let theirs = [("title", "x"), ("text", "y"), ("product", &*foreign)];
    assert_eq!(outside.give("/tickets", &theirs, &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);

    // It is answered by mail and in the portal, closed, rated and opened again.
    client.run(&format!("/v1/tickets/{id}/reply"), json!({ "body": "Try again now." })).await;
    server.settle().await;
    assert!(until(async || office.mailbox("maria").len() == 3).await, "{}", office.log());
    let page = outside.get(&format!("/tickets/{id}")).await;
    let once = page.hidden("once");
    assert!(page.ok().contains("Try again now."));
    let reply = format!("/tickets/{id}/reply");
    let place = outside.give(&reply, &[("once", &once), ("text", "It works")], &[]).await.leads();
    outside.give(&reply, &[("once", &once), ("text", "It works")], &[]).await.leads();
    assert_eq!(outside.get(&place).await.ok().matches("It works").count(), 1);
    assert_eq!(outside.give(&reply, &[("text", " ")], &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    outside.post(&format!("/tickets/{id}/close"), &[]).await.leads();
    let place = outside.post(&format!("/tickets/{id}/rate"), &[("score", "4"), ("words", "Quick")]).await.leads();
    assert!(outside.get(&place).await.ok().contains("You gave 4 of 5"));
    assert_eq!(
        outside.post(&format!("/tickets/{id}/rate"), &[("score", "9")]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    server.settle().await;
    let closed = client.read(&format!("/v1/tickets/{id}")).await;
    assert_eq!((&closed["status"], &closed["rating"]), (&json!("closed"), &json!(4)));
    outside.post(&format!("/tickets/{id}/reopen"), &[]).await.leads();
    server.settle().await;
    assert_eq!(client.read(&format!("/v1/tickets/{id}")).await["status"], "open");

    // Those of her company, once the portal shows them; orders too.
    let order = json!({ "customer": eva, "company": company, "source": "shop", "external_number": "A-17", "total": euros("10") });
    client.post("/v1/orders", order).await.expect(StatusCode::CREATED);
    server.settle().await;
    assert!(!outside.get("/orders").await.ok().contains("A-17"));
    portal(&server, &team, json!({ "company_tickets": true })).await;
    assert!(outside.get("/tickets").await.ok().contains("A secret of Eva"));
    assert!(outside.get(&format!("/tickets/{colleagues}")).await.ok().contains("A secret of Eva"));
    assert!(outside.get("/orders").await.ok().contains("A-17"));
    assert_eq!(outside.get(&format!("/tickets/{strangers}")).await.status, StatusCode::NOT_FOUND);
    client.run(&format!("/v1/contacts/{maria}/unlink_company"), json!({ "company": company })).await;
    assert_eq!(outside.get(&format!("/tickets/{colleagues}")).await.status, StatusCode::NOT_FOUND);

    // Whoever is merged goes on as the other.
    let other = contact("M. Rossi", None).await;
    client.run(&format!("/v1/contacts/{maria}/merge"), json!({ "into": other })).await;
    server.settle().await;
    assert!(outside.get(&format!("/tickets/{hers}")).await.ok().contains("The display stays dark"));
    assert!(outside.get("/tickets").await.ok().contains("The display stays dark"));

    // A colleague signs her out everywhere.
    client.run(&format!("/v1/contacts/{maria}/end_portal_sessions"), json!({})).await;
    assert_eq!(outside.get("/tickets").await.leads(), format!("{}/sign_in", outside.home));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_for_a_while_and_for_whoever_may_sign_in() {
    let Some(office) = PostOffice::start(&["maria"]) else { return };
    let (server, team) = desk(&office).await;
    let client = &server.admin;
    portal(&server, &team, json!({ "sign_up": true, "language": "cs" })).await;
    let mut outside = Outside::new(&server);
    let asked = outside.post("/sign_in", &[("email", "Maria@mail.example")]).await;
    let token = asked.hidden("token");
    assert!(asked.ok().contains("Zadejte kód"), "the portal speaks Czech");
    server.settle().await;
    let first = code(&office, "maria", 1).await;
    assert!(office.mailbox("maria")[0].contains("Subject: "), "{}", office.mailbox("maria")[0]);
    let enter =
        |token: &str, code: &str| [("token".to_owned(), token.to_owned()), ("code".to_owned(), code.to_owned())];
    let tried = async |outside: &mut Outside, token: &str, code: &str| {
        let values = enter(token, code);
        let values: Vec<(&str, &str)> = values.iter().map(|(a, b)| (&**a, &**b)).collect();
        outside.post("/code", &values).await
    };
    let wrong = if first == "000000" { "000001" } else { "000000" };
    assert_eq!(tried(&mut outside, &token, wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(tried(&mut outside, &format!("{token}x"), &first).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    // Later it is over.
    server.app.advance(std::time::Duration::from_secs(11 * 60));
    assert_eq!(tried(&mut outside, &token, &first).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let token = outside.post("/sign_in", &[("email", "maria@mail.example")]).await.hidden("token");
    server.settle().await;
    assert!(until(async || office.mailbox("maria").len() == 2).await, "{}", office.log());
    let codes: Vec<String> = office.mailbox("maria").iter().map(|mail| six(mail)).collect();
    let second = codes.iter().find(|code| **code != first).unwrap().clone();
    assert_eq!(client.read("/v1/contacts").await["data"], json!([]), "nobody has shown yet that the address is his");
    tried(&mut outside, &token, &format!("{} {}", &second[..3], &second[3..])).await.leads();
    server.settle().await;
    let known = client.read("/v1/contacts").await["data"][0].clone();
    assert_eq!((&known["email"], &known["source"]), (&json!("maria@mail.example"), &json!("portal")));
    // Once.
    let mut thief = Outside::new(&server);
    assert_eq!(tried(&mut thief, &token, &second).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    outside.get("/tickets").await.ok();
    // The cookie is of this portal alone, and nobody makes it up.
    let other = client.post("/v1/tenants", json!({ "name": "Other", "admin_email": "a@other.example" })).await;
    let tenant = other.expect(StatusCode::CREATED)["tenant"].as_str().unwrap_or_default().to_owned();
    let elsewhere = outside.get(&format!("/portal/{tenant}/tickets")).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND, "there is no portal");
    let kept = outside.cookie.clone();
    outside.cookie = kept.replace('A', "B");
    if outside.cookie != kept {
        assert_eq!(outside.get("/tickets").await.status, StatusCode::SEE_OTHER);
    }
    outside.cookie = kept;
    // Signed out, the cookie is worth nothing.
    let kept = outside.cookie.clone();
    assert_eq!(outside.post("/sign_out", &[]).await.leads(), outside.home);
    outside.cookie = kept;
    assert_eq!(outside.get("/tickets").await.status, StatusCode::SEE_OTHER);
    // Whoever guesses waits.
    let token = thief.post("/sign_in", &[("email", "maria@mail.example")]).await.hidden("token");
    let mut last = StatusCode::OK;
    for _ in 0..7 {
        last = tried(&mut thief, &token, "12345").await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

fn six(mail: &str) -> String {
    let is = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    mail.split_whitespace().find(is).unwrap_or_else(|| panic!("no code in {mail}")).to_owned()
}
