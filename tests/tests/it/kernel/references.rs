//! What a command names is there: every reference of every command, over HTTP, and merged records taken for others.

use std::collections::BTreeMap;

use deskfold_tests::{Client, Server};
use domain::{
    Aggregate,
    catalogue::{self, Visitor},
    kernel::named::Named,
};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    desk::forms::kept,
    world::{NOBODY, contact, grant, party, sent, shipped_role, subject, user},
};

/// One record of every kind that others name, made by `client`; a letter tells several such worlds apart.
pub(crate) async fn world(client: &Client, letter: &str) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::new();
    let name = |what: &str| format!("{what} {letter}");
    all.insert("contact", contact(client, &name("Ada")).await);
    let named = [
        ("company", "companies"),
        ("product", "products"),
        ("product_category", "product_categories"),
        ("property", "properties"),
        ("project", "projects"),
        ("lead", "leads"),
        ("deal", "deals"),
        ("team", "teams"),
        ("label", "labels"),
        ("article_category", "article_categories"),
    ];
    for (kind, plural) in named {
        all.insert(kind, client.create(&format!("/v1/{plural}"), json!({ "name": name(kind) })).await);
    }
    let article = json!({ "name": name("How to pay"), "body": name("Open it"), "category": all["article_category"] });
    all.insert("article", client.create("/v1/articles", article).await);
    all.insert("user", user(client, &name("Anna")).await);
    all.insert("upload", sent(client, &name("prices"), name("Prices").into()).await);
    let role = json!({ "name": name("night"), "permissions": ["ticket.read"] });
    all.insert("role", client.create("/v1/roles", role).await);
    let enquiry = json!({ "name": name("Flat"), "contact": all["contact"] });
    all.insert("enquiry", client.create("/v1/enquiries", enquiry).await);
    let me = client.read("/v1/me").await;
    all.insert("tenant", me["tenant"].as_str().unwrap().to_owned());
    let me = me["user"].clone();
    let reply = json!({ "name": name("hello"), "text": "Good day", "user": me });
    all.insert("quick_reply", client.create("/v1/quick_replies", reply).await);
    all.insert("chatbot", client.create("/v1/chatbots", json!({ "name": name("Reception") })).await);
    let hello = json!({ "steps": [{ "id": "hello", "type": "message", "text": "Good day" }] });
    client.run(&format!("/v1/chatbots/{}/publish", all["chatbot"]), hello).await;
    let form = json!({ "name": name("Ask"), "slug": format!("ask-{}", letter.to_lowercase()) });
    all.insert("form", client.create("/v1/forms", form).await);
    let slug = format!("ask-{}", letter.to_lowercase());
    all.insert("form_submission", kept(client, &all["form"], &slug).await);
    let source = json!({
        "name": name("Till"), "source": format!("till-{}", letter.to_lowercase()), "takes": "leads",
        "mapping": "[fields]\nname = \"{name}\"\n",
    });
    all.insert("intake_source", client.create("/v1/intake_sources", source).await);
    let handed = json!({ "colour": name("red") });
    all.insert("delivery", client.create("/v1/intake/orders", handed).await);
    let hook = json!({ "url": "https://example.com/hook", "types": ["ticket.*"], "enabled": false });
    all.insert("webhook", client.create("/v1/webhooks", hook).await);
    let view = json!({ "name": name("Mine"), "collection": "tickets" });
    all.insert("view", client.create("/v1/views", view).await);
    let site = json!({ "kind": "live_chat", "name": name("Chat on our site") });
    all.insert("channel", client.create("/v1/channels", site).await);
    let chat = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    client.run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": "Good day" })).await;
    all.insert("conversation", chat);
    all.insert("ticket", client.create("/v1/tickets", json!({ "title": name("Broken") })).await);
    all.insert("task", client.create("/v1/tasks", json!({ "title": name("Call") })).await);
    let order = json!({ "source": "shop", "total": { "amount": "5", "currency": "EUR" } });
    all.insert("order", client.create("/v1/orders", order).await);
    all.insert("call", client.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "+39 06 555 0100" })).await);
    all.insert("entitlement", grant(client, &all["product"], "contact", &all["contact"]).await);
    let offer = json!({ "enquiry": all["enquiry"], "properties": [all["property"]] });
    all.insert("offer", client.create("/v1/offers", offer).await);
    let rule = json!({ "name": name("Greet"), "trigger": "order.placed" });
    all.insert("rule", client.create("/v1/rules", rule).await);
    let report = json!({ "name": name("Products"), "definition": { "measures": ["opened"] } });
    all.insert("report", client.create("/v1/reports", report).await);
    let place = json!({ "x": 0, "y": 0, "w": 4, "h": 4 });
    let widget = json!({ "id": "opened_by_week", "place": place, "shows": { "kind": "pending_work" } });
    let page = json!({ "id": "overview", "name": "Overview", "widgets": [widget] });
    all.insert(
        "dashboard",
        client
            .create(
                "/v1/dashboards",
                json!({ "name": name("Today"), "pages": [page, { "id": "later", "name": "Later" }] }),
            )
            .await,
    );
    all
}

/// A command of the catalogue with an example of its body, and the places where it names others.
pub(crate) struct Asked {
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) creates: bool,
    pub(crate) name: String,
    body: Value,
    pub(crate) places: Vec<(String, String)>,
}

pub(crate) fn commands(which: fn(&Asked) -> bool) -> Vec<Asked> {
    struct All(Vec<Asked>);
    impl Visitor for All {
        fn visit<A: Aggregate>(&mut self) {
            let kind = catalogue::kind(A::KIND).unwrap();
            for (name, data) in A::examples().iter().map(Named::encode) {
                let places = kind.references.get(&name).into_iter().flatten();
                let places: Vec<_> = places.map(|place| (place.pointer(), place.target().to_owned())).collect();
                if !A::offers(&name) {
                    continue;
                }
                let mut body: Value = serde_json::from_slice(&data).unwrap();
                body.as_object_mut().unwrap().retain(|_, member| !member.is_null());
                let creates = name == A::CREATE;
                self.0.push(Asked { kind: A::KIND, plural: A::PLURAL, creates, name, body, places });
            }
        }
    }
    let mut all = All(Vec::new());
    catalogue::visit_all(&mut all);
    all.0.retain(which);
    all.0
}

/// Sets what stands at a place; false when the body has no such place.
pub(crate) fn set(body: &mut Value, pointer: &str, value: &Value) -> bool {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.insert(last.to_owned(), value.clone())),
        Some(Value::Array(items)) if !items.is_empty() => items[0] = value.clone(),
        _ => return false,
    }
    true
}

/// What stands at a place: the id of a record, or its kind and id.
fn value(target: &str, id: &str) -> Value {
    if target == "any" { party("contact", id) } else { id.into() }
}

/// The kind that a place names, where any would do.
fn kind_of<'a>(target: &'a str, own: &'a str) -> &'a str {
    match target {
        "colleague" | "user_or_team" => "user",
        "any" => "contact",
        "same" => own,
        kind => kind,
    }
}

/// The body of an example in which everything that it names is there.
pub(crate) fn sound(asked: &Asked, there: &BTreeMap<&'static str, String>) -> Value {
    let mut body = if asked.name == "edit" || asked.name == "amend" { json!({}) } else { asked.body.clone() };
    match (asked.kind, asked.name.as_str()) {
        ("conversation", "label") => drop(body.as_object_mut().unwrap().remove("name")),
        ("conversation", "mark_read") => drop(body.as_object_mut().unwrap().remove("up_to")),
        // Whether somebody owns what they enquire about is another question.
        ("ticket", "open") => drop(body.as_object_mut().unwrap().remove("entitlement")),
        _ => {}
    }
    for (pointer, target) in &asked.places {
        let kind = kind_of(target, asked.kind);
        let first = pointer.replace('*', "0");
        match there.get(kind) {
            Some(_) if target == "same" => {}
            Some(id) if body.pointer(&first).is_some() => drop(set(&mut body, &first, &value(target, id))),
            Some(_) => {}
            // No client can have made one of these.
            None => drop(body.as_object_mut().map(|members: &mut Map<_, _>| members.remove(&first[1..]))),
        }
    }
    body
}

#[tokio::test]
async fn every_reference_of_every_command_is_checked_within_the_tenant() {
    let server = Server::start().await;
    let client = &server.admin;
    let (ours, gone) = (world(client, "A").await, world(client, "B").await);
    let theirs = world(&server.another_tenant("Quagga").await, "C").await;
    let put_away = [
        ("contact", "archive"),
        ("company", "archive"),
        ("product", "archive"),
        ("property", "archive"),
        ("project", "archive"),
        ("deal", "archive"),
        ("enquiry", "archive"),
        ("quick_reply", "archive"),
        ("report", "archive"),
        ("team", "archive"),
        ("role", "delete"),
        ("product_category", "delete"),
        ("user", "deactivate"),
    ];
    for (kind, command) in put_away {
        let plural = catalogue::kind(kind).unwrap().plural;
        client.run(&format!("/v1/{plural}/{}/{command}", gone[kind]), json!({})).await;
    }
    let mut tried = 0;
    for asked in commands(|asked| !asked.places.is_empty()) {
        let path = match (asked.creates, ours.get(asked.kind)) {
            (true, _) => format!("/v1/{}", asked.plural),
            (false, Some(id)) => format!("/v1/{}/{id}/{}", asked.plural, asked.name),
            (false, None) => panic!("no {} to ask for {}", asked.kind, asked.name),
        };
        let body = sound(&asked, &ours);
        for (pointer, target) in &asked.places {
            let kind = kind_of(target, asked.kind);
            let archived = put_away.iter().any(|(known, _)| *known == kind) && target != "same";
            let wrong = [
                Some(NOBODY),
                theirs.get(kind).map(String::as_str),
                gone.get(kind).filter(|_| archived).map(String::as_str),
            ];
            for wrong in wrong.into_iter().flatten() {
                let (mut body, place) = (body.clone(), pointer.replace('*', "0"));
                if place.ends_with("/0") && body.pointer(&place).is_none() {
                    set(&mut body, place.trim_end_matches("/0"), &json!([null]));
                }
                if !set(&mut body, &place, &value(target, wrong)) {
                    continue; // A part of a rule that its example does not have.
                }
                let what = format!("{}.{} with {wrong} at {place}", asked.kind, asked.name);
                let reply = client.post(&path, body).await;
                assert!(matches!(reply.status.as_u16(), 409 | 422), "{what}: {} {}", reply.status, reply.text);
                let problem = reply.json();
                let told = problem["errors"].as_array().unwrap_or_else(|| panic!("{what}: {problem}")).iter();
                let told = told.filter(|error| error["pointer"].as_str().unwrap().starts_with(&place)).count();
                assert_eq!(told, 1, "{what}: {problem}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

#[tokio::test]
async fn a_rule_names_people_and_projects_that_are_there() {
    let server = Server::start().await;
    let client = &server.admin;
    let task = json!({ "title": "Call", "project": NOBODY });
    let definition = json!({
        "selector": [{ "user": NOBODY }, { "role": NOBODY, "team": NOBODY }, { "user": { "equals": "contact.owner" } }],
        "actions": [{ "create_task": task }],
    });
    let rule = json!({ "name": "Greet", "trigger": "order.placed", "definition": definition });
    let problem = client.post("/v1/rules", rule).await.problem(422, "reference_unfit");
    let mut told: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    told.sort_by_key(ToString::to_string);
    let below = |place: &str| json!(format!("/definition{place}"));
    let places = ["/actions/0/create_task/project", "/selector/0/user", "/selector/1/role", "/selector/1/team"];
    assert_eq!(told, places.map(below));
}

#[tokio::test]
async fn all_faults_of_a_body_are_told_references_among_them() {
    let server = Server::start().await;
    let client = &server.admin;
    let deal = json!({ "name": " ", "contact": NOBODY, "property": NOBODY, "owner": NOBODY });
    let problem = client.post("/v1/deals", deal).await.problem(422, "name_invalid");
    let told = |problem: &Value| {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors
            .map(|error| (error["pointer"].as_str().unwrap().to_owned(), error["code"].clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let told = told(&problem);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["/contact", "/name", "/owner", "/property"]);
    assert_eq!(told["/owner"], "reference_unfit");
}

#[tokio::test]
async fn what_a_record_names_already_may_have_gone_since() {
    let server = Server::start().await;
    let client = &server.admin;
    let ada = contact(client, "Ada").await;
    let body = json!({ "name": "Flat", "contact": ada });
    let deal = client.create("/v1/deals", body.clone()).await;
    client.run(&format!("/v1/contacts/{ada}/archive"), json!({})).await;
    let edit = json!({ "contact": ada, "pipeline": "rent" });
    client.patch(&format!("/v1/deals/{deal}"), edit).await.expect(StatusCode::OK);
    // Asked twice: it is so already.
    let again = json!({ "name": "Flat", "contact": ada, "pipeline": "rent" });
    assert_eq!(client.put(&format!("/v1/deals/{deal}"), again).await.expect(StatusCode::OK)["events"], json!([]));
    let other = client.post("/v1/deals", body).await.problem(422, "reference_unfit");
    assert_eq!(other["errors"][0]["pointer"], "/contact");
    // What is let go of need not be there.
    let grantee = user(client, "Anna").await;
    let shared = json!({ "grantee": grantee, "level": "read" });
    client.run(&format!("/v1/deals/{deal}/share"), shared).await;
    client.run(&format!("/v1/users/{grantee}/deactivate"), json!({})).await;
    let unshared = client.run(&format!("/v1/deals/{deal}/unshare"), json!({ "grantee": grantee })).await;
    assert_eq!(unshared, ["deal.unshared"]);
}

#[tokio::test]
async fn a_merged_record_is_taken_for_the_one_that_remains_and_the_answer_says_so() {
    let server = Server::start().await;
    let client = &server.admin;
    let (x, between, y) = (contact(client, "X").await, contact(client, "Between").await, contact(client, "Y").await);
    let placed = json!({ "source": "shop", "customer": x, "total": { "amount": "5", "currency": "EUR" } });
    let before = client.create("/v1/orders", placed.clone()).await;
    for (from, into) in [(&x, &between), (&between, &y)] {
        client.run(&format!("/v1/contacts/{from}/merge"), json!({ "into": into })).await;
    }
    let redirected = |pointer: &str| json!([{ "pointer": pointer, "from": x, "to": y }]);
    let cases = [
        ("orders", placed.clone(), "/customer"),
        ("deals", json!({ "name": "Flat", "contact": x }), "/contact"),
        ("enquiries", json!({ "name": "Flat", "contact": x }), "/contact"),
        ("tickets", json!({ "title": "Broken", "requester": party("contact", &x) }), "/requester/id"),
        ("comments", json!({ "text": "Seen", "subjects": [subject("contact", &x)] }), "/subjects/0/id"),
        ("tasks", json!({ "title": "Call", "subjects": [subject("contact", &x)] }), "/subjects/0/id"),
    ];
    for (plural, body, pointer) in cases {
        let path = format!("/v1/{plural}");
        let dry = client.post(&format!("{path}?dry_run=true"), body.clone()).await.expect(StatusCode::OK);
        assert_eq!(dry["redirected"], redirected(pointer), "{plural}");
        let created = client.post(&path, body).await.expect(StatusCode::CREATED);
        assert_eq!(created["redirected"], redirected(pointer), "{plural}");
        assert_eq!(created["events"][0]["data"].pointer(pointer), Some(&json!(y)), "{plural}");
    }
    // A relation's id follows from its ends.
    let company = client.create("/v1/companies", json!({ "name": "Rossi" })).await;
    let relation =
        |from: &str| json!({ "from": subject("contact", from), "to": subject("company", &company), "role": "owner" });
    let related = client.post("/v1/relations", relation(&x)).await.expect(StatusCode::CREATED);
    assert_eq!(related["redirected"], redirected("/from/id"));
    let again = client.post("/v1/relations", relation(&y)).await.expect(StatusCode::OK);
    assert_eq!((&again["id"], &again["events"], &again["redirected"]), (&related["id"], &json!([]), &Value::Null));
    // What was said before the merge, said again.
    assert_eq!(client.put(&format!("/v1/orders/{before}"), placed).await.expect(StatusCode::OK)["events"], json!([]));
    // Companies and tickets alike.
    let other = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
    client.run(&format!("/v1/companies/{company}/merge"), json!({ "into": other })).await;
    let linked = client.post(&format!("/v1/contacts/{y}/link_company"), json!({ "company": company })).await;
    assert_eq!(linked.expect(StatusCode::OK)["events"][0]["data"]["company"], *other);
    let tickets = [
        client.create("/v1/tickets", json!({ "title": "One" })).await,
        client.create("/v1/tickets", json!({ "title": "Two" })).await,
    ];
    client.run(&format!("/v1/tickets/{}/merge", tickets[0]), json!({ "into": tickets[1] })).await;
    let comment = json!({ "text": "Seen", "subjects": [subject("ticket", &tickets[0])] });
    let commented = client.post("/v1/comments", comment).await.expect(StatusCode::CREATED);
    assert_eq!(commented["events"][0]["data"]["subjects"][0]["id"], *tickets[1]);
    // Once more with what nobody is merged into any more.
    client.run(&format!("/v1/contacts/{x}/unmerge"), json!({})).await;
    let deal = client.post("/v1/deals", json!({ "name": "House", "contact": x })).await.expect(StatusCode::CREATED);
    assert_eq!((&deal["redirected"], &deal["events"][0]["data"]["contact"]), (&Value::Null, &json!(x)));
}

#[tokio::test]
async fn whoever_is_to_do_something_can_work() {
    let server = Server::start().await;
    let client = &server.admin;
    let invited = client.create("/v1/users", json!({ "email": "new@example.com", "name": "New" })).await;
    let ticket = client.create("/v1/tickets", json!({ "title": "Broken" })).await;
    let assign = async |expected: u16| {
        let reply = client.post(&format!("/v1/tickets/{ticket}/assign"), json!({ "assignee": invited })).await;
        assert_eq!(reply.status.as_u16(), expected, "{}", reply.text);
        reply.json()
    };
    assert_eq!(assign(422).await["code"], "assignee_unknown");
    client.run(&format!("/v1/users/{invited}/activate"), json!({})).await;
    assert_eq!(assign(422).await["errors"][0]["pointer"], "/assignee");
    let contact = json!({ "name": "Ada", "owner": invited });
    let problem = client.post("/v1/contacts", contact).await.problem(422, "reference_unfit");
    assert_eq!(problem["errors"][0]["pointer"], "/owner");
    let role = shipped_role(client, "agent").await;
    client.run(&format!("/v1/users/{invited}/grant_role"), json!({ "role": role })).await;
    assign(200).await;
}
