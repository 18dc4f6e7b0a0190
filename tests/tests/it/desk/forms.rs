//! Forms of web sites: what is filled in becomes a ticket with its contact, or is kept with the reason why not.

use deskfold_tests::{Client, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Customer, NOBODY, condition, each, encoded, filtered};

/// A form about repairs: a number is asked for where something is to be repaired, and the product that is owned.
pub(crate) async fn form(client: &Client, product: &str) -> String {
    let form = client
        .create(
            "/v1/forms",
            json!({ "name": "Ask us", "slug": "ask", "text": "We answer within a day.", "website": "https://www.example.com" }),
        )
        .await;
    let topics = json!([{ "value": "price", "label": "A price" }, { "value": "repair", "label": "A repair" }]);
    let only_if = json!({ "all": [{ "field": "topic", "values": ["repair"] }] });
    for field in [
        json!({ "key": "name", "input_type": "text", "label": "Your name", "maps_to": "contact.name", "required": true }),
        json!({
            "key": "email", "input_type": "email", "label": "E-mail", "maps_to": "contact.email", "required": true,
            "help": "We answer there.", "placeholder": "you@example.com",
        }),
        json!({
            "key": "topic", "input_type": "select", "label": "What is it about?", "options": topics, "required": true,
            "label_position": "left",
        }),
        json!({
            "key": "serial", "input_type": "text", "label": "Serial number", "required": true, "visible_if": only_if,
        }),
        json!({
            "key": "product", "input_type": "select", "label": "Which product?", "maps_to": "ticket.product",
            "options": [{ "value": product, "label": "Hosting" }],
        }),
        json!({ "key": "story", "input_type": "textarea", "label": "Your question", "maps_to": "ticket.description", "required": true }),
        json!({ "key": "urgent", "input_type": "checkbox", "label": "It is urgent" }),
    ] {
        client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": field })).await;
    }
    client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
    form
}

/// Where its page is.
pub(crate) async fn address(client: &Client, slug: &str) -> String {
    let me = client.read("/v1/me").await;
    format!("/forms/{}/{slug}", me["tenant"].as_str().unwrap())
}

/// Publishes a form that asks for an address, and has something sent from nowhere that is known: it is kept.
pub(crate) async fn kept(client: &Client, form: &str, slug: &str) -> String {
    let email = json!({ "key": "email", "input_type": "email", "label": "E-mail", "maps_to": "contact.email" });
    client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": email })).await;
    client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
    let sent = client.request(Method::POST, &address(client, slug).await).header("accept", "application/json");
    let sent = sent.header("content-type", "application/x-www-form-urlencoded").body("email=eva%40example.com");
    assert_eq!(sent.send().await.unwrap().status(), StatusCode::OK);
    loop {
        let found = client.read(&filtered("/v1/form_submissions", &condition("form_id", "eq", form))).await;
        if let Some(id) = found["data"][0]["id"].as_str() {
            return id.to_owned();
        }
    }
}

/// Somebody outside, with a browser that follows nowhere by itself.
struct Outside {
    client: Client,
    base: String,
    path: String,
}

impl Outside {
    async fn new(server: &Server, slug: &str) -> Outside {
        let mut client = server.admin.staying();
        client.key = String::new();
        Outside { client, base: server.admin.base.clone(), path: address(&server.admin, slug).await }
    }

    async fn page(&self) -> String {
        let answer = self.client.request(Method::GET, &self.path).header("accept", "text/html").send().await;
        answer.unwrap().text().await.unwrap()
    }

    /// What the page says of itself.
    async fn token(&self) -> String {
        let page = self.page().await;
        page.split("name=\"_page\" value=\"")
            .nth(1)
            .unwrap_or_else(|| panic!("{page}"))
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }

    async fn send(&self, values: &[(&str, &str)], headers: &[(&str, &str)]) -> reqwest::Response {
        let body: Vec<String> = values.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let mut request = self.client.request(Method::POST, &self.path).body(body.join("&"));
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// A browser without scripts sends the page that it was shown a while ago.
    async fn sends(&self, token: &str, values: &[(&str, &str)]) -> reqwest::Response {
        let values: Vec<_> = values.iter().copied().chain([("_page", token), ("_link", "")]).collect();
        self.send(&values, &[("accept", "text/html"), ("origin", &self.base)]).await
    }
}

/// So much later that somebody has read the page.
fn later(server: &Server) {
    server.app.advance(std::time::Duration::from_secs(30));
}

async fn submissions(server: &Server) -> Value {
    server.settle().await;
    server.admin.read("/v1/form_submissions?sort=received_at").await
}

const MARIA: &[(&str, &str)] =
    &[("name", "Maria"), ("email", "maria@example.com"), ("topic", "price"), ("story", "How much is it?")];

fn with<'a>(values: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let others = values.iter().filter(|(key, _)| more.iter().all(|(other, _)| other != key));
    others.chain(more).copied().collect()
}

#[tokio::test]
async fn a_form_without_scripts_becomes_a_ticket_with_its_contact() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let form = form(client, &hosting.product).await;
    let outside = Outside::new(&server, "ask").await;
    let token = outside.token().await;
    later(&server);

    // What is missing or wrong is told beside the fields; what was filled in is still there.
    let wrong = with(MARIA, &[("email", "maria"), ("topic", "repair")]);
    let refused = outside.sends(&token, &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("field-email-wrong") && page.contains("field-serial-wrong"), "{page}");
    assert!(page.contains("value=\"Maria\"") && page.contains("How much is it?"), "{page}");
    assert!(!page.contains("field-story-wrong"));
    assert_eq!(submissions(&server).await["data"], json!([]), "nothing was sent yet");

    // A field that is not asked for is neither required nor taken.
    let sent = outside.sends(&token, &with(MARIA, &[("serial", "4711")])).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    assert_eq!(sent.headers()["location"], format!("{}/thanks", outside.path));
    let submission = submissions(&server).await["data"][0].clone();
    assert_eq!((&submission["status"], &submission["form_id"]), (&json!("accepted"), &json!(form)));
    let ticket = client.read(&format!("/v1/tickets/{}", submission["ticket_id"].as_str().unwrap())).await;
    assert_eq!((&ticket["title"], &ticket["channel"]), (&json!("Ask us"), &json!("form")));
    assert_eq!(ticket["origin"], format!("form_submissions/{}", submission["id"].as_str().unwrap()));
    assert_eq!(ticket["description"], "How much is it?\n\nWhat is it about?: A price");
    let maria = client.read(&format!("/v1/contacts/{}", ticket["requester_id"].as_str().unwrap())).await;
    assert_eq!((&maria["name"], &maria["email"]), (&json!("Maria"), &json!("maria@example.com")));
    let told = client.read("/v1/events?types=form_submission.received,contact.created,ticket.opened&limit=1000").await;
    let last: Vec<_> = told["data"].as_array().unwrap().iter().rev().take(3).collect();
    assert!(last.iter().all(|event| event["metadata"]["command_id"] == last[0]["metadata"]["command_id"]), "{last:?}");

    // Twice is once; other words on the same page are not.
    outside.sends(&token, &with(MARIA, &[("serial", "4711")])).await;
    assert_eq!(submissions(&server).await["data"].as_array().unwrap().len(), 1);
    outside.sends(&token, &with(MARIA, &[("story", "And when?"), ("email", "MARIA@example.com")])).await;
    assert_eq!(submissions(&server).await["data"].as_array().unwrap().len(), 2);
    assert_eq!(client.read(&filtered("/v1/contacts?count=exact", &condition("name", "eq", "Maria"))).await["total"], 1);
    server.stop().await;
}

#[tokio::test]
async fn the_ticket_is_about_what_its_sender_owns_and_nothing_else() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let mail = json!({ "kind": "email", "value": "ada@example.com" });
    client.run(&format!("/v1/contacts/{}/add_identity", hosting.contact), mail).await;
    form(client, &hosting.product).await;
    server.settle().await;
    let outside = Outside::new(&server, "ask").await;
    let token = outside.token().await;
    later(&server);
    let chosen = ("product", hosting.product.as_str());
    outside.sends(&token, &with(MARIA, &[("name", "Ada"), ("email", "Ada@example.com"), chosen])).await;
    outside.sends(&token, &with(MARIA, &[chosen])).await;
    let sent = submissions(&server).await;
    assert_eq!(each(&sent, "status"), [json!("accepted"), json!("accepted")]);
    assert_eq!(each(&sent, "contact_id")[0], json!(hosting.contact));
    let ticket = async |place: usize| {
        let id = sent["data"][place]["ticket_id"].as_str().unwrap();
        client.read(&format!("/v1/tickets/{id}")).await
    };
    let (ada, maria) = (ticket(0).await, ticket(1).await);
    assert_eq!((&ada["product_id"], &ada["entitlement_id"]), (&json!(hosting.product), &json!(hosting.entitlement)));
    assert_eq!(maria["product_id"], Value::Null);
    assert!(maria["description"].as_str().unwrap().contains("Which product?: Hosting"), "{maria}");
}

#[tokio::test]
async fn what_fails_a_policy_is_kept_and_becomes_a_ticket_after_all() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let form = form(client, &hosting.product).await;
    let outside = Outside::new(&server, "ask").await;
    let quick = outside.token().await;
    // Whoever sends it sees the same page whatever became of it.
    assert_eq!(outside.sends(&quick, MARIA).await.status(), StatusCode::SEE_OTHER);
    later(&server);
    let html = ("accept", "text/html");
    let own = ("origin", outside.base.as_str());
    let trapped = with(MARIA, &[("_link", "http://spam.example"), ("_page", &quick), ("story", "Buy")]);
    assert_eq!(outside.send(&trapped, &[html, own]).await.status(), StatusCode::SEE_OTHER);
    let foreign = with(MARIA, &[("_page", &quick), ("story", "From elsewhere")]);
    outside.send(&foreign, &[html, ("origin", "https://elsewhere.example")]).await;
    outside.send(MARIA, &[html]).await;
    let forged = with(MARIA, &[("_page", "1.1.x.00"), ("story", "Forged")]);
    outside.send(&forged, &[html]).await;
    let kept = submissions(&server).await;
    assert_eq!(each(&kept, "status"), vec![json!("rejected"); 5]);
    assert_eq!(each(&kept, "reason"), ["too_fast", "honeypot", "site", "site", "site"].map(Value::from));
    assert_eq!(client.read("/v1/tickets?count=exact").await["total"], 0);

    let id = kept["data"][0]["id"].as_str().unwrap();
    let made = client.run(&format!("/v1/form_submissions/{id}/accept"), json!({})).await;
    assert_eq!(made, ["form_submission.accepted", "contact.created", "ticket.opened"]);
    assert!(client.run(&format!("/v1/form_submissions/{id}/accept"), json!({})).await.is_empty());
    // The next one has an address that somebody has already: whoever accepts says who it is.
    let other = kept["data"][3]["id"].as_str().unwrap();
    let accept = format!("/v1/form_submissions/{other}/accept");
    client.post(&accept, json!({})).await.problem(409, "contact_identity_taken");
    let contact = client.read(&format!("/v1/form_submissions/{id}")).await["contact_id"].clone();
    client.run(&accept, json!({ "contact": contact })).await;
    client
        .post(&format!("/v1/form_submissions/{NOBODY}/accept"), json!({}))
        .await
        .problem(404, "form_submission_unknown");

    // A site that the form is bound to may send it by itself.
    client.run(&format!("/v1/forms/{form}/bind_site"), json!({ "origin": "https://shop.example" })).await;
    let json_answer = ("accept", "application/json");
    let site = ("origin", "https://shop.example");
    let sent = outside.send(&with(MARIA, &[("story", "From the shop")]), &[json_answer, site]).await;
    assert_eq!(sent.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!((sent.status(), sent.json::<Value>().await.unwrap()), (StatusCode::OK, json!({ "status": "received" })));
    let wrong = outside.send(&with(MARIA, &[("email", "x"), ("colour", "red")]), &[json_answer, site]).await;
    assert_eq!(wrong.headers()["access-control-allow-origin"], "https://shop.example");
    let wrong = wrong.json::<Value>().await.unwrap();
    let places: Vec<_> = wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(places, ["/values/email", "/values/colour"], "{wrong}");
    let last = submissions(&server).await["data"].as_array().unwrap().last().cloned().unwrap();
    assert_eq!((&last["status"], &last["site"]), (&json!("accepted"), &json!("https://shop.example")));

    // Too much from one address is kept for a while, and then turned away; what is sent as parts is taken alike.
    let mut states = Vec::new();
    for number in 0..50 {
        let story = format!("Number {number}");
        states.push(outside.send(&with(MARIA, &[("story", &story)]), &[json_answer, site]).await.status());
    }
    assert_eq!(states.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
    let flood = client.read(&filtered("/v1/form_submissions?count=exact", &condition("reason", "eq", "flood"))).await;
    assert!((20..=40).contains(&flood["total"].as_i64().unwrap()), "{}", flood["total"]);
}

#[tokio::test]
async fn a_form_is_built_published_and_taken_away() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let form = form(client, &hosting.product).await;
    let path = |command: &str| format!("/v1/forms/{form}/{command}");
    let outside = Outside::new(&server, "ask").await;

    // What is changed afterwards shows when it is published again; who began with the version before is taken with that.
    let token = outside.token().await;
    let phone = json!({ "key": "phone", "input_type": "phone", "label": "Phone", "maps_to": "contact.phone", "required": true });
    client.run(&path("add_field"), json!({ "field": phone, "before": "topic" })).await;
    assert!(!outside.page().await.contains("field-phone"));
    client.run(&path("publish"), json!({})).await;
    assert!(outside.page().await.contains("field-phone"));
    later(&server);
    assert_eq!(outside.sends(&token, MARIA).await.status(), StatusCode::SEE_OTHER);
    server.settle().await;
    let shown = client.read(&format!("/v1/forms/{form}")).await;
    assert_eq!((&shown["form_version"], &shown["published"]), (&json!(2), &json!(true)));
    let keys: Vec<_> = shown["form_fields"].as_array().unwrap().iter().map(|field| field["key"].clone()).collect();
    assert_eq!(keys, ["name", "email", "phone", "topic", "serial", "product", "story", "urgent"]);

    // Nothing is published that could not become a ticket.
    let room = json!({ "key": "room", "input_type": "text", "label": "Room", "maps_to": "ticket.custom.room" });
    client.run(&path("add_field"), json!({ "field": room })).await;
    let refused = client.post(&path("publish"), json!({})).await.problem(422, "form_mapping_invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/form_fields/8/maps_to");
    client.run(&path("remove_field"), json!({ "key": "room" })).await;
    let other = json!({ "name": "Another", "slug": "ask" });
    client.post("/v1/forms", other).await.problem(409, "form_slug_taken");

    // The help centre comes first where it is published, and leads to the form.
    let team = client.create("/v1/teams", json!({ "name": "Desk" })).await;
    client.run(&format!("/v1/teams/{team}/publish_help_centre"), json!({})).await;
    client.patch(&format!("/v1/forms/{form}"), json!({ "team": team })).await.expect(StatusCode::OK);
    client.run(&path("publish"), json!({})).await;
    let first = outside.page().await;
    assert!(first.contains("Contact us") && !first.contains("field-email"), "{first}");
    let contact = Outside { path: format!("{}?contact=true", outside.path), ..Outside::new(&server, "ask").await };
    assert!(contact.page().await.contains("field-email"));

    client.run(&format!("/v1/teams/{team}/unpublish_help_centre"), json!({})).await;
    assert!(outside.page().await.contains("field-email"));

    client.run(&path("unpublish"), json!({})).await;
    let gone = outside.client.request(Method::GET, &outside.path).header("accept", "text/html").send().await;
    assert_eq!(gone.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(outside.sends(&token, MARIA).await.status(), StatusCode::NOT_FOUND);
    client.run(&path("publish"), json!({})).await;
    client.run(&path("archive"), json!({})).await;
    assert!(outside.page().await.contains("There is no such form"));
}

#[tokio::test]
async fn what_cannot_become_a_ticket_is_kept_until_somebody_mends_it() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    form(client, &hosting.product).await;
    let outside = Outside::new(&server, "ask").await;
    let token = outside.token().await;
    later(&server);
    // Every ticket must have a room from now on, and the form does not ask for it.
    crate::world::field(client, "ticket", "room", "text", json!({ "required": true })).await;
    assert_eq!(outside.sends(&token, MARIA).await.status(), StatusCode::SEE_OTHER);
    let kept = submissions(&server).await["data"][0].clone();
    assert_eq!((&kept["reason"], &kept["reason_code"]), (&json!("unfit"), &json!("custom_field_required")));
    assert_eq!(kept["form_values"]["story"], "How much is it?");
    let accept = format!("/v1/form_submissions/{}/accept", kept["id"].as_str().unwrap());
    client.post(&accept, json!({})).await.problem(422, "custom_field_required");
    client.run("/v1/fields/ticket/retire", json!({ "key": "room" })).await;
    client.run(&accept, json!({})).await;
    server.settle().await;
    assert_eq!(client.read("/v1/tickets?count=exact").await["total"], 1);
}

#[tokio::test]
async fn a_team_that_takes_forms_gets_one_to_begin_with_once() {
    let server = Server::start().await;
    let client = &server.admin;
    let team = client.create("/v1/teams", json!({ "name": "Help Desk" })).await;
    let channel = |command: &str| format!("/v1/teams/{team}/{command}_channel");
    client.run(&channel("enable"), json!({ "kind": "form" })).await;
    client.run(&channel("enable"), json!({ "kind": "live_chat" })).await;
    server.settle().await;
    let forms = client.read("/v1/forms").await;
    assert_eq!((each(&forms, "slug"), each(&forms, "team_id")), (vec![json!("help-desk")], vec![json!(team)]));
    let id = forms["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(forms["data"][0]["published"], false, "somebody looks at it first");
    client.run(&format!("/v1/forms/{id}/publish"), json!({})).await;
    let outside = Outside::new(&server, "help-desk").await;
    assert!(outside.page().await.contains("field-message"));
    client.run(&channel("disable"), json!({ "kind": "form" })).await;
    server.settle().await;
    assert!(outside.page().await.contains("There is no such form"));
    // One that somebody built for the team goes and comes with the switch.
    let built = form(client, &Customer::new(client).await.product).await;
    client.patch(&format!("/v1/forms/{built}"), json!({ "team": team })).await.expect(StatusCode::OK);
    client.run(&format!("/v1/forms/{built}/publish"), json!({})).await;
    let asks = Outside::new(&server, "ask").await;
    assert!(asks.page().await.contains("There is no such form"));
    client.run(&channel("enable"), json!({ "kind": "form" })).await;
    server.settle().await;
    assert!(asks.page().await.contains("field-email"));
    assert_eq!(client.read("/v1/forms?count=exact").await["total"], 2);
    // A slug that is taken is no obstacle.
    client.create("/v1/forms", json!({ "name": "Other", "slug": "sales" })).await;
    let sales = client.create("/v1/teams", json!({ "name": "Sales" })).await;
    client.run(&format!("/v1/teams/{sales}/enable_channel"), json!({ "kind": "form" })).await;
    server.settle().await;
    let slugs = each(&client.read("/v1/forms?sort=slug").await, "slug");
    assert!(slugs.len() == 4 && slugs[3].as_str().unwrap().starts_with("sales-"), "{slugs:?}");
}

/// What a browser sends of a form with files: each its field, name, media type and bytes.
fn parts(values: &[(&str, &str)], files: &[(&str, &str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in values {
        let part = format!("--X\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    for (key, name, media_type, bytes) in files {
        let head = format!("--X\r\nContent-Disposition: form-data; name=\"{key}\"; filename=\"{name}\"\r\n");
        body.extend(format!("{head}Content-Type: {media_type}\r\n\r\n").into_bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--X--\r\n");
    body
}

#[tokio::test]
async fn files_of_a_form_come_with_the_ticket() {
    let server = Server::start().await;
    let client = &server.admin;
    let hosting = Customer::new(client).await;
    let form = form(client, &hosting.product).await;
    for (key, label) in [("photo", "A photo"), ("offer", "An offer")] {
        let field = json!({ "key": key, "input_type": "file", "label": label, "required": key == "photo" });
        client.run(&format!("/v1/forms/{form}/add_field"), json!({ "field": field })).await;
    }
    client.run(&format!("/v1/forms/{form}/publish"), json!({})).await;
    let outside = Outside::new(&server, "ask").await;
    let page = outside.page().await;
    assert!(page.contains("multipart/form-data") && page.contains("type=\"file\""), "{page}");
    let token = outside.token().await;
    later(&server);
    let values: Vec<_> = MARIA.iter().copied().chain([("_page", token.as_str()), ("_link", "")]).collect();
    let send = async |accept: &str, files: &[(&str, &str, &str, &[u8])]| {
        let request = outside.client.request(Method::POST, &outside.path).header("accept", accept);
        let request = request.header("origin", &outside.base).header("content-type", "multipart/form-data; boundary=X");
        request.body(parts(&values, files)).send().await.unwrap()
    };
    let door: (&str, &str, &str, &[u8]) = ("photo", "door.png", "image/png", crate::org::pictures::PIXEL);
    let offer: (&str, &str, &str, &[u8]) = ("offer", "offer.pdf", "application/pdf", b"%PDF-1.4 An offer");

    // What is missing, empty, not what it says, or of a kind that is not taken, is told at its field; nothing stays of it.
    let faults = async |answer: reqwest::Response| {
        let told = answer.json::<Value>().await.unwrap();
        let faults = told["errors"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
        faults.map(|fault| format!("{} {}", fault["pointer"], fault["code"]).replace('"', "")).collect::<Vec<_>>()
    };
    let json_answer = "application/json";
    assert_eq!(faults(send(json_answer, &[offer]).await).await, ["/values/photo form_value_missing"]);
    // A second file for one field, and one that nobody asks for, do not go unnoticed.
    let twice = faults(send(json_answer, &[door, door]).await).await;
    assert_eq!(twice, ["/values/photo form_value_invalid"]);
    let strange: (&str, &str, &str, &[u8]) = ("other", "x.txt", "text/plain", b"x");
    assert_eq!(faults(send(json_answer, &[door, strange]).await).await, ["/values/other form_value_unknown"]);
    let empty: (&str, &str, &str, &[u8]) = ("photo", "door.png", "image/png", b"");
    assert_eq!(faults(send(json_answer, &[empty]).await).await, ["/values/photo upload_empty"]);
    let types = json!({ "key": "upload_types", "value": ["image/*"] });
    client.run("/v1/tenants/current/change_setting", types).await;
    assert_eq!(faults(send(json_answer, &[door, offer]).await).await, ["/values/offer upload_type_refused"]);
    let refused = send("text/html", &[door, offer]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("field-offer-wrong") && page.contains("value=\"Maria\""), "{page}");
    let types = json!({ "key": "upload_types", "value": [] });
    client.run("/v1/tenants/current/change_setting", types).await;
    assert_eq!(submissions(&server).await["data"], json!([]));

    // Sent twice it is one ticket, and whoever sees the ticket sees the files.
    for _ in 0..2 {
        assert_eq!(send("text/html", &[door, offer]).await.status(), StatusCode::SEE_OTHER);
    }
    let sent = submissions(&server).await;
    assert_eq!(each(&sent, "status"), [json!("accepted")]);
    let submission = &sent["data"][0];
    assert_eq!(submission["form_values"]["photo"], "door.png");
    let ticket = submission["ticket_id"].as_str().unwrap();
    let told = client.read(&format!("/v1/tickets/{ticket}")).await["description"].clone();
    assert!(told.as_str().unwrap().contains("A photo: door.png"), "{told}");
    let thread = client.read(&format!("/v1/tickets/{ticket}/thread")).await;
    let names: Vec<_> = thread["data"][0]["attachments"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["door.png", "offer.pdf"]);
    assert_eq!(thread["data"][0]["author_id"], submission["contact_id"]);
    let upload = submission["form_files"]["photo"]["upload_id"].as_str().unwrap();
    let upload = client.read(&format!("/v1/uploads/{upload}")).await;
    assert_eq!(upload["reference_count"], 2, "the submission and the ticket: {upload}");

    // A browser sends a field in which no file was chosen without a name and empty.
    let nothing: (&str, &str, &str, &[u8]) = ("offer", "", "application/octet-stream", b"");
    let another = [("story", "Another"), ("email", "eva@example.com")];
    let sent = with(&values, &another);
    let request = outside.client.request(Method::POST, &outside.path).header("accept", json_answer);
    let request = request.header("origin", &outside.base).header("content-type", "multipart/form-data; boundary=X");
    assert_eq!(request.body(parts(&sent, &[door, nothing])).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(submissions(&server).await["data"][1]["status"], "accepted");

    // What is kept keeps its files too.
    let quick = outside.token().await;
    let values: Vec<_> = MARIA.iter().copied().chain([("_page", quick.as_str()), ("_link", "x")]).collect();
    let request = outside.client.request(Method::POST, &outside.path).header("accept", json_answer);
    let request = request.header("origin", &outside.base).header("content-type", "multipart/form-data; boundary=X");
    assert_eq!(request.body(parts(&values, &[door])).send().await.unwrap().status(), StatusCode::OK);
    let kept = submissions(&server).await["data"][2].clone();
    assert_eq!(kept["reason"], "honeypot");
    let accept = format!("/v1/form_submissions/{}/accept", kept["id"].as_str().unwrap());
    client.run(&accept, json!({ "contact": submission["contact_id"] })).await;
    server.settle().await;
    let ticket = submissions(&server).await["data"][2]["ticket_id"].clone();
    let thread = client.read(&format!("/v1/tickets/{}/thread", ticket.as_str().unwrap())).await;
    assert_eq!(thread["data"][0]["attachments"][0]["name"], "door.png");
}
