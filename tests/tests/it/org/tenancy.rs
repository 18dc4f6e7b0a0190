//! Two tenants in one deployment: whatever the one asks, on every route there is, it sees and touches nothing of the other.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Reply, Server};
use domain::{Aggregate, Id, catalogue};
use futures::StreamExt;
use gateway::openapi;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{NOBODY, condition, everything, filtered, import, pages, party, texts};

/// In every name and text of the one tenant, and nowhere else.
const MARK: &str = "Zebramark";

/// What is the one tenant's own, and must not be seen by another.
struct Secrets {
    records: BTreeMap<&'static str, Vec<String>>,
    /// Everything that names anything of it.
    marks: BTreeSet<String>,
}

/// The ids in a text: ULIDs as they stand in bodies and stream names.
fn ids(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 26 && word.parse::<Id>().is_ok()).map(ToOwned::to_owned)
}

impl Secrets {
    async fn of(server: &Server, client: &Client) -> Secrets {
        let mut records = everything(server, client, MARK).await;
        for collection in ["contacts", "companies", "products"] {
            let id = json!({ "source": MARK, "external_id": format!("{collection} {MARK}") });
            client.run(&format!("/v1/{collection}/{}/add_external_id", records[collection][0]), id).await;
        }
        server.settle().await;
        let mut marks = BTreeSet::from([client.key.clone()]);
        for event in pages(client, "/v1/events?limit=1000").await {
            marks.extend(ids(&event.to_string()));
            for name in ["id", "command_id", "correlation_id"] {
                marks.insert(event[name].as_str().unwrap().to_owned());
            }
            let stream = event["stream"].as_str().unwrap();
            if let Some(id) = stream.strip_prefix("field-") {
                // Commands on custom fields name the kind of record or the stream, not the row of a list.
                records.insert("fields", vec![id.to_owned()]);
            }
        }
        for route in gateway::routes() {
            if route.method == Method::GET
                && route.keyed
                && !route.path.contains('{')
                && !route.path.ends_with("/stream")
            {
                marks.extend(ids(&client.get(&route.path).await.text));
            }
        }
        // The system itself, in every tenant.
        marks.remove(&Id::NIL.to_string());
        for id in records.values().flatten() {
            assert!(marks.contains(id), "{id} is marked");
        }
        Secrets { records, marks }
    }

    /// No mark is in an answer, but those that the question had in it.
    #[track_caller]
    fn kept(&self, asked: &str, answer: &str) {
        let mut answer = answer.to_owned();
        let sent: Vec<_> =
            ids(asked).chain(asked.split('/').map(ToOwned::to_owned)).filter(|part| part.len() > 8).collect();
        for part in &sent {
            answer = answer.replace(part.as_str(), "");
        }
        let mark = answer.to_lowercase().find(&MARK.to_lowercase());
        assert_eq!(mark, None, "{asked} tells of the other tenant: {answer}");
        for id in ids(&answer) {
            assert!(!self.marks.contains(&id), "{asked} tells {id} of the other tenant: {answer}");
        }
        for mark in self.marks.iter().filter(|mark| mark.len() != 26) {
            assert!(!answer.contains(mark.as_str()), "{asked} tells {mark} of the other tenant: {answer}");
        }
    }

    fn of_collection(&self, collection: &str) -> &[String] {
        self.records.get(collection).unwrap_or_else(|| panic!("no records of {collection} to try {collection} with"))
    }
}

/// The commands of each kind by its collection; the one that creates is marked.
fn commands() -> BTreeMap<&'static str, Vec<(String, bool)>> {
    struct Collect(BTreeMap<&'static str, Vec<(String, bool)>>);
    impl catalogue::Visitor for Collect {
        fn visit<A: Aggregate>(&mut self) {
            let commands = A::commands(&mut schemars::SchemaGenerator::default()).into_iter();
            let commands = commands.map(|command| {
                // An order that makes no sense is put on record without having been placed.
                let creates = command.name == A::CREATE || (A::KIND, &*command.name) == ("order", "reject");
                (command.name, creates)
            });
            self.0.insert(A::PLURAL, commands.collect());
        }
    }
    let mut collect = Collect(BTreeMap::new());
    catalogue::visit_all(&mut collect);
    collect.0
}

/// The example body of an operation.
fn example(document: &Value, method: &Method, path: &str) -> Option<Value> {
    let content =
        &document["paths"][path][method.as_str().to_lowercase()]["requestBody"]["content"]["application/json"];
    let first = content["examples"].as_object().and_then(|examples| examples.values().next());
    first.map(|example| example["value"].clone())
}

/// A request that a stranger makes on a route, with the other tenant's records in it.
struct Attempt {
    method: Method,
    path: String,
    body: Option<Value>,
    /// Makes a record of the stranger's own, or one that exists for everybody.
    creates: bool,
    /// Is about a record of the other tenant's.
    foreign: bool,
}

fn attempts(secrets: &Secrets) -> Vec<Attempt> {
    let document = openapi::document();
    let commands = commands();
    let mut attempts = Vec::new();
    for route in gateway::routes() {
        let collection = route.path.split('/').nth(2).unwrap_or_default().to_owned();
        let foreign = route.path.contains("{id}") || route.path.contains("{position}");
        let mut paths = vec![(route.path.clone(), route.path.clone(), false)];
        if route.path.contains("{command}") {
            let named = commands[&*collection].iter().map(|(name, creates)| {
                let path = route.path.replace("{command}", name);
                (path.clone(), path, *creates)
            });
            paths = named.collect();
        }
        for (path, template, creates) in paths {
            let filled: Vec<String> = if path.contains("{source}") {
                let external = match &*collection {
                    "entitlements" => format!("{MARK}-5"),
                    other => format!("{other}%20{MARK}"),
                };
                vec![path.replace("{source}", MARK).replace("{id}", &external)]
            } else if path.contains("{position}") {
                // The first event of all is the other tenant's.
                vec![path.replace("{position}", "1")]
            } else if foreign {
                let of = secrets.of_collection(&collection).iter();
                of.map(|id| path.replace("{id}", id).replace("{image}", "opened.svg").replace("{delivery}", NOBODY))
                    .collect()
            } else {
                vec![
                    path.replace("{file}", "docs.js")
                        .replace("{channel}", NOBODY)
                        .replace("{property}", &secrets.of_collection("properties")[0])
                        .replace("{image}", "desk.opened.svg")
                        .replace("{delivery}", NOBODY)
                        .replace("{signed}", "nothing"),
                ]
            };
            for path in filled {
                assert!(!path.contains('{'), "{path} is not filled");
                let own = route.method == Method::PUT || (route.method == Method::POST && !foreign);
                // An edit that is sent as a command has the example of the edit.
                let body = example(&document, &route.method, &template)
                    .or_else(|| example(&document, &Method::PATCH, template.trim_end_matches("/edit")));
                attempts.push(Attempt { method: route.method.clone(), path, body, creates: creates || own, foreign });
            }
        }
    }
    attempts
}

async fn attempt(client: &Client, attempt: &Attempt) -> Reply {
    // Of tus alone; nothing else looks at it.
    let mut request = client.request(attempt.method.clone(), &attempt.path).header("tus-resumable", "1.0.0");
    if attempt.path.contains("/resumable/") && attempt.method == Method::PATCH {
        request = request.header("content-type", "application/octet-stream").header("upload-offset", "0");
    }
    if let Some(body) = &attempt.body {
        request = request.json(body);
    }
    client.send(request).await
}

/// The whole log as a tenant sees it.
async fn log(client: &Client) -> Vec<Value> {
    pages(client, "/v1/events?limit=1000").await
}

#[tokio::test]
async fn no_route_shows_or_touches_anything_of_another_tenant() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let secrets = Secrets::of(&server, &server.admin).await;
    let (mine, theirs) = (log(&server.admin).await, log(&stranger).await);
    let head = server.admin.read("/v1/events").await["position"].clone();
    let (mut tried, mut refused) = (BTreeSet::new(), 0);
    for asked in attempts(&secrets) {
        if asked.creates || asked.path.ends_with("/stream") {
            continue;
        }
        let reply = attempt(&stranger, &asked).await;
        let what = format!("{} {} {}", asked.method, asked.path, asked.body.clone().unwrap_or_default());
        secrets.kept(&what, &format!("{} {:?}", reply.text, reply.headers));
        tried.insert(format!("{} {}", asked.method, asked.path));
        if asked.foreign {
            let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
            if code == "tenant_foreign" {
                // Whatever id it is, and whether there is such a tenant or not.
                let id = &secrets.of_collection("tenants")[0];
                let nobody = Attempt { path: asked.path.replace(id, NOBODY), ..asked };
                attempt(&stranger, &nobody).await.problem(403, "tenant_foreign");
            } else {
                assert_eq!(reply.status, StatusCode::NOT_FOUND, "{what}: {}", reply.text);
                // An answer to HEAD says nothing more.
                assert!(asked.method == Method::HEAD || code.ends_with("_unknown"), "{what}: {code}");
            }
            refused += 1;
        } else {
            assert_ne!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {}", reply.text);
        }
    }
    assert!(refused > 250, "records are tried: {refused}");
    assert_eq!(server.admin.read("/v1/events").await["position"], head, "nothing was written at all");
    assert_eq!((log(&server.admin).await, log(&stranger).await), (mine, theirs));
}

#[tokio::test]
async fn what_a_stranger_creates_under_the_same_names_is_its_own() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let secrets = Secrets::of(&server, &server.admin).await;
    let mine = log(&server.admin).await;
    for asked in attempts(&secrets) {
        // What somebody holds is listed under ids that follow from those of the records, which are the same here.
        let follows = asked.path.starts_with("/v1/holdings");
        if asked.creates && asked.path != "/v1/imports" && !follows {
            let reply = attempt(&stranger, &asked).await;
            let what = format!("{} {} {}", asked.method, asked.path, asked.body.clone().unwrap_or_default());
            assert_ne!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {}", reply.text);
            secrets.kept(&what, &format!("{} {:?}", reply.text, reply.headers));
        }
    }
    // The same id, address, name and external id: another tenant has never heard of them.
    let id = &secrets.of_collection("tickets")[0];
    let path = format!("/v1/tickets/{id}");
    stranger.put(&path, json!({ "title": "Mine" })).await;
    stranger.patch(&path, json!({ "title": "Mine too" })).await.expect(StatusCode::OK);
    server.settle().await;
    assert_eq!(stranger.read(&path).await["title"], "Mine too");
    assert_eq!(server.admin.read(&path).await["title"], format!("One {MARK}"));
    let address = format!("anna@{}.example", MARK.to_lowercase());
    stranger.create("/v1/users", json!({ "email": address, "name": "Another Anna" })).await;
    stranger.create("/v1/roles", json!({ "name": format!("night {MARK}"), "permissions": [] })).await;
    stranger.create("/v1/teams", json!({ "name": format!("First {MARK}") })).await;
    assert_eq!(log(&server.admin).await, mine, "nothing of it happened to the first tenant");
}

#[tokio::test]
async fn a_stranger_cannot_refer_to_another_tenants_records() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let secrets = Secrets::of(&server, &server.admin).await;
    let of = |collection: &str| secrets.of_collection(collection)[0].clone();
    let ticket = stranger.create("/v1/tickets", json!({ "title": "Own" })).await;
    let contact = stranger.create("/v1/contacts", json!({ "name": "Own" })).await;
    let product = stranger.create("/v1/products", json!({ "name": "Own" })).await;
    let team = stranger.create("/v1/teams", json!({ "name": "Own" })).await;
    let user = stranger.create("/v1/users", json!({ "name": "Own", "email": "own@example.com" })).await;
    let enquiry = stranger.create("/v1/enquiries", json!({ "name": "Own", "contact": contact })).await;
    let lead = stranger.create("/v1/leads", json!({ "name": "Own" })).await;
    let deal = stranger.create("/v1/deals", json!({ "name": "Own" })).await;
    let call = stranger.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "main" })).await;
    let chat = stranger.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    let task = stranger.create("/v1/tasks", json!({ "title": "Own" })).await;
    let head = server.admin.read("/v1/events").await["position"].clone();
    let theirs = party("contact", &of("contacts"));
    let at = |command: &str| format!("/v1/tickets/{ticket}/{command}");
    for (path, body, status, code) in [
        ("/v1/tickets".to_owned(), json!({ "title": "x", "requester": theirs }), 422, "requester_unknown"),
        ("/v1/tickets".to_owned(), json!({ "title": "x", "team": of("teams") }), 422, "team_unfit"),
        ("/v1/tickets".to_owned(), json!({ "title": "x", "assignee": of("users") }), 422, "assignee_unknown"),
        (
            "/v1/tickets".to_owned(),
            json!({ "title": "x", "requester": party("contact", &contact), "entitlement": of("entitlements") }),
            409,
            "product_not_owned",
        ),
        ("/v1/tickets".to_owned(), json!({ "title": "x", "custom": { "site": "a" } }), 422, "custom_field_unknown"),
        (at("assign"), json!({ "assignee": of("users") }), 422, "assignee_unknown"),
        (at("follow"), json!({ "user": of("users") }), 422, "follower_unknown"),
        (at("change_team"), json!({ "team": of("teams") }), 422, "team_unfit"),
        (at("change_requester"), json!({ "requester": theirs }), 422, "requester_unknown"),
        (at("select_product"), json!({ "entitlement": of("entitlements") }), 409, "product_not_owned"),
        (at("merge"), json!({ "into": of("tickets") }), 422, "other_ticket_unknown"),
        (at("link"), json!({ "ticket": of("tickets") }), 422, "other_ticket_unknown"),
        (
            "/v1/entitlements".to_owned(),
            json!({ "product": of("products"), "holder": party("contact", &contact) }),
            422,
            "entitlement_product_unfit",
        ),
        (
            "/v1/entitlements".to_owned(),
            json!({ "product": product, "holder": theirs }),
            422,
            "entitlement_holder_unfit",
        ),
        (
            format!("/v1/products/{product}/categorise"),
            json!({ "category": of("product_categories") }),
            422,
            "product_category_unfit",
        ),
        (
            format!("/v1/contacts/{contact}/link_company"),
            json!({ "company": of("companies") }),
            422,
            "contact_company_unfit",
        ),
        (format!("/v1/contacts/{contact}/merge"), json!({ "into": of("contacts") }), 422, "contact_merge_unfit"),
        (format!("/v1/teams/{team}/add_member"), json!({ "user": of("users") }), 422, "team_user_unfit"),
        (
            "/v1/product_categories".to_owned(),
            json!({ "name": "x", "parent": of("product_categories") }),
            422,
            "product_category_parent_unfit",
        ),
    ] {
        stranger.post(&path, body).await.problem(status, code);
    }
    let money = json!({ "amount": "5", "currency": "EUR" });
    let about = |kind: &str, collection: &str| json!([{ "kind": kind, "id": of(collection) }]);
    let rule = |selector: Value| {
        let actions = json!([{ "create_task": { "title": "x" } }]);
        json!({ "name": "x", "trigger": "order.placed", "definition": { "actions": actions, "selector": [selector] } })
    };
    for (path, body) in [
        ("/v1/leads".to_owned(), json!({ "name": "x", "contact": of("contacts") })),
        (format!("/v1/leads/{lead}/convert"), json!({ "contact": of("contacts") })),
        (format!("/v1/leads/{lead}/convert"), json!({ "contact": contact, "deal": of("deals") })),
        ("/v1/enquiries".to_owned(), json!({ "name": "x", "contact": of("contacts") })),
        ("/v1/offers".to_owned(), json!({ "enquiry": of("enquiries"), "properties": [of("properties")] })),
        ("/v1/offers".to_owned(), json!({ "enquiry": enquiry, "properties": [of("properties")] })),
        ("/v1/deals".to_owned(), json!({ "name": "x", "property": of("properties") })),
        ("/v1/deals".to_owned(), json!({ "name": "x", "enquiry": of("enquiries") })),
        (format!("/v1/deals/{deal}/record"), json!({ "property": of("properties"), "price": money })),
        ("/v1/orders".to_owned(), json!({ "source": "x", "total": money, "customer": of("contacts") })),
        ("/v1/orders".to_owned(), json!({ "source": "x", "total": money, "conversation": of("conversations") })),
        (format!("/v1/calls/{call}/link_contact"), json!({ "contact": of("contacts") })),
        (format!("/v1/calls/{call}/answer"), json!({ "user": of("users") })),
        (format!("/v1/conversations/{chat}/assign"), json!({ "assignee": of("users") })),
        (format!("/v1/conversations/{chat}/link_contact"), json!({ "contact": of("contacts") })),
        (format!("/v1/conversations/{chat}/label"), json!({ "label": of("labels") })),
        (format!("/v1/conversations/{chat}/send_message"), json!({ "body": "x", "quick_reply": of("quick_replies") })),
        ("/v1/quick_replies".to_owned(), json!({ "name": "x", "text": "x", "label": of("labels") })),
        ("/v1/comments".to_owned(), json!({ "subjects": about("enquiry", "enquiries"), "text": "x" })),
        ("/v1/activities".to_owned(), json!({ "subjects": about("deal", "deals"), "kind": "visit", "text": "x" })),
        (
            "/v1/relations".to_owned(),
            json!({ "from": party("contact", &contact), "to": party("property", &of("properties")), "role": "owner" }),
        ),
        ("/v1/tasks".to_owned(), json!({ "title": "x", "subjects": about("order", "orders") })),
        ("/v1/tasks".to_owned(), json!({ "title": "x", "project": of("projects") })),
        (format!("/v1/tasks/{task}/assign"), json!({ "assignee": of("users") })),
        ("/v1/rules".to_owned(), rule(json!({ "user": of("users") }))),
        ("/v1/rules".to_owned(), rule(json!({ "role": of("roles") }))),
        ("/v1/rules".to_owned(), rule(json!({ "team": of("teams") }))),
    ] {
        stranger.post(&path, body).await.problem(422, "reference_unfit");
    }
    for body in [json!({ "name": "x", "user": of("users") }), json!({ "name": "x", "role": of("roles") })] {
        let reply = stranger.post("/v1/api_keys", body).await;
        assert!(reply.status.is_client_error(), "{}", reply.text);
    }
    let role = stranger.post(&format!("/v1/users/{user}/grant_role"), json!({ "role": of("roles") })).await;
    assert!(role.status.is_client_error(), "{}", role.text);
    for other in [of("users"), of("contacts")] {
        let acting = stranger.header("deskfold-on-behalf-of", other);
        acting.get("/v1/me").await.problem(422, "on_behalf_of_unknown");
    }
    assert_eq!(server.admin.read("/v1/events").await["position"], head, "nothing was written");

    // A file that names another tenant's records finds none of them.
    let file = format!(
        "product,holder_kind,holder\n{},contact,{}\nHosting {MARK},contact,{contact}\n{product},contact,{}\n",
        of("products"),
        of("contacts"),
        of("contacts"),
    );
    let import = import(&stranger, "Quagga", &file).await;
    let progress = stranger.read(&format!("/v1/imports/{import}/progress")).await;
    assert_eq!(progress["counts"]["rejected"], 3, "{progress}");
    let report = stranger.get(&format!("/v1/imports/{import}/report")).await.text;
    assert_eq!(report.lines().count(), 4, "{report}");
    assert!(!report.contains("Ada"), "{report}");
}

#[tokio::test]
async fn queries_about_another_tenants_records_find_nothing() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let secrets = Secrets::of(&server, &server.admin).await;
    stranger.create("/v1/tickets", json!({ "title": "Own" })).await;
    server.settle().await;
    let instant = "2999-01-01T00:00:00Z";
    let position = server.admin.read("/v1/events").await["position"].as_i64().unwrap();
    for (collection, ids) in &secrets.records {
        // What one was told is one's own alone.
        let own = if *collection == "notifications" { "me/" } else { "" };
        let path = format!("/v1/{own}{collection}");
        let single =
            gateway::routes().iter().any(|route| route.path == format!("{path}/{{id}}") && route.method == Method::GET);
        for id in ids {
            let moments = [format!("as_of={position}"), format!("as_of={instant}"), format!("known_at={instant}")];
            for moment in moments.iter().filter(|_| single) {
                let reply = stranger.get(&format!("{path}/{id}?{moment}")).await;
                assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}/{id}?{moment}: {}", reply.text);
            }
            let found = stranger.read(&filtered(&format!("{path}?count=exact"), &condition("id", "eq", &**id))).await;
            assert_eq!((&found["data"], &found["total"]), (&json!([]), &json!(0)), "{path}");
            let either = json!({ "any": [condition("id", "eq", &**id), condition("id", "is_null", false)] });
            let found = stranger.post(&format!("{path}/search"), json!({ "filter": either, "limit": 200 })).await;
            secrets.kept("", &found.text);
        }
        // A cursor of another tenant's page leads on through one's own list.
        let page = server.admin.read(&format!("{path}?limit=1")).await;
        if let Some(next) = page["next"].as_str() {
            secrets.kept(next, &stranger.get(next).await.text);
        }
    }
    let of = |collection: &str| &secrets.of_collection(collection)[0];
    for kind in ["contact", "company", "user"] {
        let holder = match kind {
            "contact" => of("contacts"),
            "company" => of("companies"),
            _ => of("users"),
        };
        let path = format!("/v1/entitlements/picker?requester_id={holder}&requester_kind={kind}");
        assert_eq!(stranger.read(&path).await["data"], json!([]));
    }
    let events = stranger.read(&format!("/v1/events?stream=ticket-{}", of("tickets"))).await;
    assert_eq!(events["data"], json!([]));
    stranger
        .get(&format!("/v1/tickets/{}/thread?as_of={position}", of("tickets")))
        .await
        .problem(404, "ticket_unknown");
    let report = stranger.read("/v1/reports/tickets_by_product").await;
    assert_eq!(report["data"].as_array().unwrap().len(), 1, "its own ticket without a product: {report}");
    assert_eq!(report["data"][0]["total"], 1);
    let exported = stranger.get("/v1/entitlements.csv").await;
    assert_eq!(exported.text.lines().count(), 1, "{}", exported.text);
    assert_eq!(texts(&stranger.read("/v1/tickets").await, "title"), ["Own"]);

    for path in ["/metrics", "/readyz", "/healthz", "/docs", "/v1/openapi.json"] {
        let told = server.client("").get(path).await;
        assert_eq!(told.status, StatusCode::OK, "{path}");
        secrets.kept(path, &told.text);
    }
}

#[tokio::test]
async fn an_event_stream_carries_ones_own_events_alone() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let secrets = Secrets::of(&server, &server.admin).await;
    let paths = ["/v1/events/stream?after=0", "/v1/events/stream?category=ticket&after=0"];
    let watched = format!("/v1/events/stream?after=0&stream=ticket-{}", secrets.of_collection("tickets")[0]);
    let listen = async |path: &str| {
        let response = stranger.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        (response.bytes_stream(), String::new())
    };
    let mut streams = vec![listen(paths[0]).await, listen(paths[1]).await];
    let (mut silent, mut overheard) = listen(&watched).await;
    // The first tenant goes on while the other listens, from the log as well as live.
    for round in 0..3 {
        let title = format!("Round {round} {MARK}");
        server.admin.create("/v1/tickets", json!({ "title": title })).await;
        stranger.create("/v1/tickets", json!({ "title": format!("Own {round}") })).await;
    }
    for (stream, text) in &mut streams {
        while !text.contains("Own 2") {
            let chunk = stream.next().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        secrets.kept("", text);
        assert_eq!(text.matches("ticket.opened").count(), 2 * 3, "as event and in the data: {text}");
    }
    server.app.stop().await;
    while let Some(Ok(chunk)) = silent.next().await {
        overheard.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(!overheard.contains("data:"), "{overheard}");
}

#[tokio::test]
async fn only_the_first_tenant_operates_the_deployment() {
    let server = Server::start().await;
    let stranger = server.another_tenant("Quagga").await;
    let body = json!({ "name": "Third", "admin_email": "admin@third.example" });
    stranger.post("/v1/tenants", body).await.problem(403, "permission_denied");
    let me = stranger.read("/v1/me").await;
    server.settle().await;
    assert_eq!(texts(&stranger.read("/v1/tenants").await, "id"), [me["tenant"].as_str().unwrap()]);
    assert_eq!(texts(&server.admin.read("/v1/tenants").await, "id"), [&*server.tenant]);
    assert_ne!(me["tenant"], *server.tenant);
    // The same key of a retry means another command for another tenant.
    let (first, other) = (server.admin.header("idempotency-key", "k"), stranger.header("idempotency-key", "k"));
    let ticket = first.create("/v1/tickets", json!({ "title": "First" })).await;
    assert_ne!(other.create("/v1/tickets", json!({ "title": "Other" })).await, ticket);
}
