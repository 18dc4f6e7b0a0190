//! Merging: what is said to the merged one goes to the one that goes on, which shows what the merged one had; every list
//! follows; and a merge taken back leaves everything as it was.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Server};
use domain::kernel::filter::FieldKind;
use projections::Refers;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::rule,
    world::{condition, contact, euros, field, filtered, grant, pages, party, product, subject, texts, ticket, user},
};

fn at(ticket: &str, command: &str) -> String {
    format!("/v1/tickets/{ticket}/{command}")
}

/// The types of the events that a command wrote, and whose they are: `ticket.forwarded` is the record's own.
async fn written(client: &Client, path: &str, body: Value) -> Vec<(String, Option<String>)> {
    let accepted = client.post(path, body).await.expect(StatusCode::OK);
    let event = |event: &Value| {
        let stream = event["stream"].as_str().map(|stream| stream.split_once('-').unwrap().1.to_owned());
        (event["type"].as_str().unwrap().to_owned(), stream)
    };
    accepted["events"].as_array().unwrap().iter().map(event).collect()
}

async fn history(client: &Client, collection: &str, id: &str) -> Vec<String> {
    texts(&client.read(&format!("/v1/{collection}/{id}/history")).await, "type")
}

async fn bodies(client: &Client, ticket: &str) -> Vec<String> {
    texts(&client.read(&at(ticket, "thread")).await, "body")
}

#[tokio::test]
async fn a_message_to_a_merged_ticket_goes_to_the_one_that_goes_on_through_chains_and_says_so_in_both() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria").await;
    let asked = json!({ "title": "Part", "requester": party("contact", &maria) });
    let part = client.create("/v1/tickets", asked).await;
    let (middle, main) = (ticket(client, "Middle").await, ticket(client, "Main").await);
    client.run(&at(&part, "receive_message"), json!({ "body": "before", "external_id": "m0" })).await;
    client.run(&at(&part, "merge"), json!({ "into": middle })).await;
    client.run(&at(&middle, "merge"), json!({ "into": main })).await;
    client.run(&at(&main, "resolve"), json!({})).await;

    let there = |event: &str| (event.to_owned(), Some(main.clone()));
    let here = || ("ticket.forwarded".to_owned(), None);
    let message = json!({ "body": "It smokes again", "external_id": "m1" });
    let events = written(client, &at(&part, "receive_message"), message.clone()).await;
    assert_eq!(events, [here(), there("ticket.message_received"), there("ticket.reopened")]);
    assert!(written(client, &at(&part, "receive_message"), message.clone()).await.is_empty(), "delivered twice");
    let known = json!({ "body": "before", "external_id": "m0" });
    assert!(written(client, &at(&part, "receive_message"), known).await.is_empty(), "it was taken in before");
    let reply = json!({ "body": "Pull the plug" });
    let replied = written(client, &at(&part, "reply"), reply).await;
    assert_eq!(replied, [here(), there("ticket.reply_queued"), there("ticket.reply_sent")]);
    let noted = written(client, &at(&middle, "add_note"), json!({ "body": "Third one" })).await;
    assert_eq!(noted, [here(), there("ticket.note_added")]);
    let rated = written(client, &at(&part, "rate"), json!({ "score": 5 })).await;
    assert_eq!(rated, [here(), there("ticket.rated")]);

    server.settle().await;
    let main_history = client.read(&at(&main, "history")).await;
    let received = main_history["data"].as_array().unwrap().iter();
    let received = received.clone().find(|event| event["type"] == "ticket.message_received").unwrap();
    assert_eq!(received["data"]["via_ticket"], json!(part), "where it came from");
    assert_eq!(received["data"]["from"], party("contact", &maria), "who wrote it is not lost");
    let part_history = client.read(&at(&part, "history")).await;
    let forwarded = part_history["data"].as_array().unwrap().iter();
    let forwarded = forwarded.clone().find(|event| event["type"] == "ticket.forwarded").unwrap();
    assert_eq!(forwarded["data"]["into"], json!(main), "where it went");
    assert_eq!(bodies(client, &main).await, ["before", "It smokes again", "Pull the plug", "Third one"]);
    let shown = client.read(&format!("/v1/tickets/{main}")).await;
    assert_eq!((&shown["status"], &shown["rating"]), (&json!("open"), &json!(5)));

    // What is to be done to the merged one itself is refused, naming the one that goes on.
    for (command, body) in [
        ("assign", json!({ "assignee": maria })),
        ("change_priority", json!({ "priority": 3 })),
        ("tag", json!({ "tag": "vip" })),
        ("close", json!({})),
        ("follow", json!({})),
    ] {
        let problem = client.post(&at(&part, command), body).await.problem(409, "ticket_merged");
        assert!(problem["detail"].as_str().unwrap().contains(&*main), "{command}: {problem}");
    }

    // Taken back, the next message is its own again; what went on stays where it is, and is not taken in twice.
    client.run(&at(&part, "unmerge"), json!({})).await;
    assert!(written(client, &at(&part, "receive_message"), message).await.is_empty());
    client.run(&at(&part, "receive_message"), json!({ "body": "Alone" })).await;
    server.settle().await;
    assert_eq!(bodies(client, &part).await, ["before", "Alone"]);
    assert_eq!(bodies(client, &main).await, ["It smokes again", "Pull the plug", "Third one"]);
}

#[tokio::test]
async fn what_a_merged_ticket_had_shows_on_the_other_and_unmerge_takes_exactly_that_back() {
    let server = Server::start().await;
    let client = &server.admin;
    let (anna, boris) = (user(client, "Anna").await, user(client, "Boris").await);
    let (part, middle, main, third) = (
        ticket(client, "Part").await,
        ticket(client, "Middle").await,
        ticket(client, "Main").await,
        ticket(client, "Third").await,
    );
    client.run(&at(&part, "tag"), json!({ "tag": "fire" })).await;
    client.run(&at(&main, "tag"), json!({ "tag": "own" })).await;
    client.run(&at(&part, "follow"), json!({ "user": boris })).await;
    client.run(&at(&part, "link"), json!({ "ticket": third, "kind": "blocks" })).await;
    client.run(&at(&part, "assign"), json!({ "assignee": anna })).await;
    server.settle().await;
    let stable = async |id: &str| {
        let mut shown = client.read(&format!("/v1/tickets/{id}")).await;
        for passing in ["version", "position", "updated_at"] {
            shown.as_object_mut().unwrap().remove(passing);
        }
        shown
    };
    let before = [stable(&part).await, stable(&middle).await, stable(&main).await, stable(&third).await];

    client.run(&at(&part, "merge"), json!({ "into": middle })).await;
    client.run(&at(&middle, "merge"), json!({ "into": main })).await;
    server.settle().await;
    let shown = stable(&main).await;
    assert_eq!(shown["tags"], json!(["fire", "own"]));
    assert_eq!(shown["followers"], json!([{ "id": boris, "name": "Boris" }]));
    assert_eq!(shown["assignee_id"], json!(anna), "it had none");
    let links = shown["linked_tickets"].as_array().unwrap();
    assert!(links.iter().any(|link| link["id"] == json!(third) && link["kind"] == "blocks"), "{links:?}");
    let seen = stable(&third).await;
    assert_eq!(seen["linked_tickets"][0]["id"], json!(main), "the other side names the one that goes on");
    let tagged = client.read(&filtered("/v1/tickets", &condition("tags", "contains", "fire"))).await;
    assert_eq!(texts(&tagged, "id"), [&*main], "found by what it shows, and the merged ones hide");
    let merged = client.read(&filtered("/v1/tickets", &condition("status", "eq", "merged"))).await;
    assert_eq!(merged["data"].as_array().unwrap().len(), 2, "unless they are asked for");
    let by_id = client.read(&filtered("/v1/tickets", &condition("id", "eq", &*part))).await;
    assert_eq!(texts(&by_id, "id"), [&*part]);

    // What is done by hand stays.
    client.run(&at(&main, "tag"), json!({ "tag": "later" })).await;
    client.run(&at(&part, "unmerge"), json!({})).await;
    server.settle().await;
    let shown = stable(&main).await;
    assert_eq!((&shown["tags"], &shown["followers"]), (&json!(["later", "own"]), &json!([])));
    assert_eq!((&shown["assignee_id"], stable(&middle).await["assignee_id"].clone()), (&Value::Null, Value::Null));
    client.run(&at(&middle, "unmerge"), json!({})).await;
    client.run(&at(&main, "untag"), json!({ "tag": "later" })).await;
    server.settle().await;
    let after = [stable(&part).await, stable(&middle).await, stable(&main).await, stable(&third).await];
    assert_eq!(after, before);

    // Somebody who was given the work on purpose keeps it.
    client.run(&at(&part, "merge"), json!({ "into": main })).await;
    client.run(&at(&main, "assign"), json!({ "assignee": anna })).await;
    client.run(&at(&part, "unmerge"), json!({})).await;
    server.settle().await;
    assert_eq!(stable(&main).await["assignee_id"], json!(anna));
}

#[tokio::test]
async fn what_a_merged_contact_had_shows_on_the_other_and_unmerge_takes_exactly_that_back() {
    let server = Server::start().await;
    let client = &server.admin;
    let company = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
    let twin =
        client.create("/v1/contacts", json!({ "name": "M. Rossi", "email": "m@rossi.example", "tags": ["vip"] }));
    let (twin, maria) = (twin.await, contact(client, "Maria").await);
    let of = |id: &str, command: &str| format!("/v1/contacts/{id}/{command}");
    client.run(&of(&twin, "link_company"), json!({ "company": company, "role": "buyer" })).await;
    client.run(&of(&twin, "add_note"), json!({ "text": "Likes tea" })).await;
    client.run(&of(&twin, "add_external_id"), json!({ "source": "shop", "external_id": "C-7" })).await;
    client.run(&of(&twin, "change_consent"), json!({ "purpose": "news", "state": "granted" })).await;
    server.settle().await;
    let stable = async |id: &str| {
        let mut shown = client.read(&format!("/v1/contacts/{id}")).await;
        for passing in ["version", "position", "updated_at"] {
            shown.as_object_mut().unwrap().remove(passing);
        }
        shown
    };
    let before = (stable(&twin).await, stable(&maria).await);
    client.run(&of(&twin, "merge"), json!({ "into": maria })).await;
    server.settle().await;
    let shown = stable(&maria).await;
    assert_eq!((&shown["tags"], &shown["company_ids"]), (&json!(["vip"]), &json!([company])));
    assert_eq!((&shown["companies"][0]["role"], &shown["notes"][0]["text"]), (&json!("buyer"), &json!("Likes tea")));
    assert_eq!(shown["identities"], json!([{ "kind": "email", "value": "m@rossi.example" }]));
    assert_eq!(
        (&shown["external_ids"][0]["external_id"], &shown["consents"]["news"]),
        (&json!("C-7"), &json!("granted"))
    );
    let list = texts(&client.read("/v1/contacts").await, "id");
    assert!(list.contains(&maria) && !list.contains(&twin), "the merged one hides");
    let people = client.read(&filtered("/v1/contacts", &condition("company_ids", "contains", &*company))).await;
    assert_eq!(texts(&people, "id"), [&*maria]);

    // What is said of the merged one belongs to the one that goes on.
    let went = written(client, &of(&twin, "add_note"), json!({ "text": "Moved to Milano" })).await;
    let there = |event: &str| (event.to_owned(), Some(maria.clone()));
    assert_eq!(went, [("contact.forwarded".to_owned(), None), there("contact.note_added")]);
    let withdrawn = json!({ "purpose": "news", "state": "withdrawn" });
    assert_eq!(written(client, &of(&twin, "change_consent"), withdrawn).await[1], there("contact.consent_changed"));
    let problem = client.post(&of(&twin, "tag"), json!({ "tag": "x" })).await.problem(409, "contact_merged");
    assert!(problem["detail"].as_str().unwrap().contains(&*maria), "{problem}");

    client.run(&of(&twin, "unmerge"), json!({})).await;
    server.settle().await;
    let after = stable(&maria).await;
    assert_eq!(
        (&after["notes"][0]["text"], &after["consents"]["news"]),
        (&json!("Moved to Milano"), &json!("withdrawn"))
    );
    let (mut after, mut known) = (after, before.1);
    for own in ["notes", "note_author_names", "consents"] {
        after.as_object_mut().unwrap().remove(own);
        known.as_object_mut().unwrap().remove(own);
    }
    assert_eq!((stable(&twin).await, after), (before.0, known));
}

#[tokio::test]
async fn a_rule_sees_the_contact_that_goes_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let (twin, maria) = (contact(client, "Twin").await, contact(client, "Maria").await);
    let open = client.create("/v1/tickets", json!({ "title": "Fire", "requester": party("contact", &twin) })).await;
    let asks = condition("ticket.requester.id", "eq", &*maria);
    let when = json!({ "all": [condition("contact.name", "eq", "Maria"), asks] });
    let task = json!({ "create_task": { "title": "Call {{ contact.name }}" } });
    rule(client, "Known", "ticket.resolved", 10, json!({ "when": when, "actions": [task] })).await;
    client.run(&format!("/v1/contacts/{twin}/merge"), json!({ "into": maria })).await;
    client.run(&at(&open, "resolve"), json!({})).await;
    server.settle().await;
    let tasks = client.read("/v1/tasks").await;
    assert!(texts(&tasks, "title")[0].ends_with("Maria"), "{tasks}");
    assert!(tasks["data"][0]["subject_ids"].as_array().unwrap().contains(&json!(maria)), "{tasks}");
}

#[tokio::test]
async fn what_a_merged_company_owned_may_be_picked_through_chains() {
    let server = Server::start().await;
    let client = &server.admin;
    let company = async |name: &str| client.create("/v1/companies", json!({ "name": name })).await;
    let (old, newer, newest) = (company("Old").await, company("Newer").await, company("Newest").await);
    let (first, second, maria) =
        (contact(client, "First").await, contact(client, "Second").await, contact(client, "Maria").await);
    let phone = product(client, "Phone").await;
    let theirs = grant(client, &phone, "company", &old).await;
    let hers = grant(client, &phone, "contact", &first).await;
    client.run(&format!("/v1/contacts/{maria}/link_company"), json!({ "company": newest })).await;
    let merge = async |collection: &str, from: &str, into: &str| {
        client.run(&format!("/v1/{collection}/{from}/merge"), json!({ "into": into })).await;
    };
    merge("companies", &old, &newer).await;
    merge("companies", &newer, &newest).await;
    merge("contacts", &first, &second).await;
    merge("contacts", &second, &maria).await;
    server.settle().await;
    let offered = client.read(&format!("/v1/entitlements/picker?requester_id={maria}")).await;
    let offered: BTreeSet<String> = texts(&offered, "id").into_iter().collect();
    assert_eq!(offered, BTreeSet::from([theirs.clone(), hers.clone()]));
    for entitlement in [&theirs, &hers] {
        let ask = json!({ "title": "Broken", "requester": party("contact", &maria), "entitlement": entitlement });
        client.create("/v1/tickets", ask).await;
    }
    client.run(&format!("/v1/companies/{newer}/unmerge"), json!({})).await;
    server.settle().await;
    let offered = client.read(&format!("/v1/entitlements/picker?requester_id={maria}")).await;
    assert_eq!(texts(&offered, "id"), [&*hers]);
    let ask = json!({ "title": "Broken", "requester": party("contact", &maria), "entitlement": theirs });
    client.post("/v1/tickets", ask).await.problem(409, "product_not_owned");
}

/// A column of a list that refers to records which may be merged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Referring {
    path: String,
    column: &'static str,
    kinds: Vec<&'static str>,
    is_set: bool,
}

fn referring() -> Vec<Referring> {
    let mut found = Vec::new();
    for list in projections::lists().filter(|list| list.listed) {
        let path = format!("/v1/{}", list.path);
        for column in list.columns {
            let kinds = match column.refers {
                None => continue,
                Some(Refers::To(kind)) => vec![kind],
                Some(_) => vec!["contact", "company"],
            };
            let is_set = column.kind == FieldKind::Set;
            found.push(Referring { path: path.clone(), column: column.name, kinds, is_set });
        }
        if list.custom.is_some() {
            for (column, kind) in [("custom.a_contact", "contact"), ("custom.a_company", "company")] {
                found.push(Referring { path: path.clone(), column, kinds: vec![kind], is_set: false });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The kinds of record that have custom fields.
fn with_custom_fields() -> BTreeSet<&'static str> {
    projections::lists().filter_map(|list| list.custom).collect()
}

#[test]
fn every_column_that_is_called_after_a_kind_that_merges_follows_merges() {
    for list in projections::lists() {
        for column in list.columns.iter().filter(|column| matches!(column.kind, FieldKind::Id | FieldKind::Set)) {
            let meant = domain::kernel::merging::kinds_meant(&format!("{}.{}", list.read, column.name));
            let named = column.name != "id" && meant.len() == 1;
            assert!(!named || column.refers.is_some(), "{} of {} names a {meant:?}", column.name, list.path);
        }
    }
}

/// The value of a field of a record, by its name in filters.
fn value<'a>(record: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(record, |value, name| &value[name])
}

/// Something of every kind that refers to a contact and a company.
async fn refer_to(client: &Client, contact: &str, company: &str, property: &str, product: &str) {
    let about = json!([subject("contact", contact), subject("company", company)]);
    let custom = json!({ "a_contact": contact, "a_company": company });
    let named = |name: &str| json!({ "name": name, "custom": custom });
    let asked =
        json!({ "title": "Help", "requester": party("contact", contact), "company": company, "custom": custom });
    let ticket = client.create("/v1/tickets", asked).await;
    client.run(&at(&ticket, "receive_message"), json!({ "body": "Hello?" })).await;
    let owned = grant(client, product, "contact", contact).await;
    client.run(&format!("/v1/entitlements/{owned}/change_details"), json!({ "custom": custom })).await;
    grant(client, product, "company", company).await;
    let lead = client.create("/v1/leads", json!({ "name": "Lead", "contact": contact, "custom": custom })).await;
    client.run(&format!("/v1/leads/{lead}/convert"), json!({ "contact": contact })).await;
    let enquiry =
        client.create("/v1/enquiries", json!({ "name": "A flat", "contact": contact, "custom": custom })).await;
    let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": [property] })).await;
    client.run(&format!("/v1/offers/{offer}/send"), json!({ "medium": "email" })).await;
    let deal = json!({ "name": "Sale", "contact": contact, "company": company, "custom": custom });
    let deal = client.create("/v1/deals", deal).await;
    let flat = client.create("/v1/properties", named("Flat")).await;
    let sale = json!({ "property": flat, "contacts": [contact], "price": euros("10") });
    client.run(&format!("/v1/deals/{deal}/record"), sale).await;
    for collection in ["article_categories", "companies", "products", "projects"] {
        client.create(&format!("/v1/{collection}"), named("Of theirs")).await;
    }
    let reply = json!({ "name": format!("for {contact}"), "text": "Good day", "custom": custom });
    client.create("/v1/quick_replies", reply).await;
    client.create("/v1/articles", json!({ "name": "Theirs", "body": "Theirs", "custom": custom })).await;
    let report = json!({ "name": "Theirs", "definition": { "measures": ["opened"] }, "custom": custom });
    client.create("/v1/reports", report).await;
    client.create("/v1/views", json!({ "name": "Theirs", "collection": "tickets", "custom": custom })).await;
    for collection in ["dashboards", "chatbots"] {
        client.create(&format!("/v1/{collection}"), json!({ "name": "Theirs", "custom": custom })).await;
    }
    let slug = format!("for-{}", contact.to_lowercase());
    let form = client.create("/v1/forms", json!({ "name": "Theirs", "slug": slug, "custom": custom })).await;
    let sent = crate::desk::forms::kept(client, &form, &slug).await;
    client.run(&format!("/v1/form_submissions/{sent}/accept"), json!({ "contact": contact })).await;
    let letter = json!({ "ticket": ticket, "contact": contact, "to": [{ "address": "x@example.com" }], "subject": "Theirs", "body": "x" });
    client.create("/v1/emails", letter).await;
    let source = json!({
        "name": "Theirs", "source": slug, "takes": "leads", "mapping": "[fields]\nname = \"{name}\"\n", "custom": custom,
    });
    client.create("/v1/intake_sources", source).await;
    let asked = json!({ "name": "Asked", "contact": contact });
    client.post("/v1/intake/leads", asked).await.expect(StatusCode::CREATED);
    let item = json!({ "name": "Chair", "quantity": "1", "price": euros("10") });
    let order = json!({ "source": "shop", "customer": contact, "company": company, "items": [item] });
    client.create("/v1/orders", order).await;
    client.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "+39 06 555 0100", "contact": contact })).await;
    client.create("/v1/conversations", json!({ "medium": "live_chat", "contact": contact })).await;
    client.create("/v1/comments", json!({ "subjects": about, "text": "A remark" })).await;
    client.create("/v1/activities", json!({ "kind": "visit", "subjects": about, "text": "Saw it" })).await;
    client.create("/v1/tasks", json!({ "title": "Call", "subjects": about })).await;
    for (from, to) in [
        (subject("contact", contact), subject("property", property)),
        (subject("property", property), subject("company", company)),
        (subject("company", company), subject("property", property)),
        (subject("property", property), subject("contact", contact)),
    ] {
        client.create("/v1/relations", json!({ "from": from, "to": to, "role": "knows" })).await;
    }
    let person = client.create("/v1/contacts", named("Somebody")).await;
    client.run(&format!("/v1/contacts/{person}/link_company"), json!({ "company": company })).await;
    client.run(&format!("/v1/contacts/{contact}/tag"), json!({ "tag": "asked" })).await;
}

/// What no contact or company is written into here: only people who act write as themselves.
const WRITTEN_BY_USERS: &[&str] = &["author_id"];

async fn ids(client: &Client, list: &Referring, id: &str) -> BTreeSet<String> {
    let op = if list.is_set { "contains" } else { "eq" };
    let filter = json!({ "all": [condition(list.column, op, id)] });
    let path = format!("{}&limit=200&count=exact", filtered(&list.path, &filter));
    let page = client.read(&path).await;
    let found: BTreeSet<String> = texts(&page, "id").into_iter().collect();
    assert_eq!(page["total"], json!(found.len()), "{list:?} counts");
    found
}

/// Every list that refers to something, whole, without what a merge rightly moves on.
async fn everything(client: &Client) -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::new();
    let paths: BTreeSet<String> = referring().into_iter().map(|list| list.path).collect();
    for path in paths.into_iter().chain(["/v1/companies".to_owned()]) {
        let mut records = pages(client, &format!("{path}?limit=200&sort=id")).await;
        for record in &mut records {
            for passing in ["version", "position", "updated_at"] {
                record.as_object_mut().unwrap().remove(passing);
            }
        }
        all.insert(path, records);
    }
    all
}

#[tokio::test]
async fn every_list_follows_merges_through_chains_and_unmerge_restores_every_answer() {
    let server = Server::start().await;
    let client = &server.admin;
    for kind in with_custom_fields() {
        for target in ["contact", "company"] {
            field(client, kind, &format!("a_{target}"), "reference", json!({ "target": target })).await;
        }
    }
    let property = client.create("/v1/properties", json!({ "name": "Via Roma", "kind": "apartment" })).await;
    let phone = product(client, "Phone").await;
    let tagged = json!({ "actions": [{ "create_task": { "title": "Look" } }] });
    rule(client, "Asked", "contact.tagged", 10, tagged).await;
    let mut ends = Vec::new();
    for name in ["X", "Y", "Z"] {
        let company = client.create("/v1/companies", json!({ "name": format!("{name} Srl") })).await;
        let contact = contact(client, name).await;
        refer_to(client, &contact, &company, &property, &phone).await;
        ends.push(BTreeMap::from([("contact", contact), ("company", company)]));
    }
    server.settle().await;
    let head = client.read("/v1/deals?limit=1").await["position"].clone();
    let lists = referring();
    let of = |kind: &str, which: usize| ends[which][kind].clone();
    let mut apart: BTreeMap<(Referring, &str), Vec<BTreeSet<String>>> = BTreeMap::new();
    for list in lists.iter().filter(|list| !WRITTEN_BY_USERS.contains(&list.column)) {
        for kind in list.kinds.iter().copied().filter(|kind| *kind != "ticket") {
            // A requester is no company, a rule is asked about contacts here.
            if kind == "company" && ["requester_id", "subject_id"].contains(&list.column) {
                continue;
            }
            let mut each = Vec::new();
            for which in 0..3 {
                each.push(ids(client, list, &of(kind, which)).await);
                assert!(
                    !each[which].is_empty(),
                    "nothing refers to a {kind} by {list:?}: the test must make something"
                );
            }
            apart.insert((list.clone(), kind), each);
        }
    }
    assert!(apart.len() > 20, "{}", apart.len());
    let before = everything(client).await;

    for (turn, merged) in [(0, 1), (1, 2)].into_iter().enumerate() {
        for kind in ["contact", "company"] {
            let plural = if kind == "contact" { "contacts" } else { "companies" };
            let path = format!("/v1/{plural}/{}/merge", of(kind, merged.0));
            client.run(&path, json!({ "into": of(kind, merged.1) })).await;
        }
        server.settle().await;
        for ((list, kind), apart) in &apart {
            let union: BTreeSet<String> = apart[..=merged.1].iter().flatten().cloned().collect();
            for which in 0..=merged.1 {
                let found = ids(client, list, &of(kind, which)).await;
                assert_eq!(found, union, "{list:?} after merge {turn}, asked for {which}");
            }
            let op = if list.is_set { "contains" } else { "eq" };
            let filter = condition(list.column, op, of(kind, 0));
            let page = client.read(&format!("{}&limit=200", filtered(&list.path, &filter))).await;
            let survivor = json!(of(kind, merged.1));
            for record in page["data"].as_array().unwrap() {
                let shown = value(record, list.column);
                let names = *shown == survivor || shown.as_array().is_some_and(|all| all.contains(&survivor));
                assert!(names, "{list:?} shows {shown}, not {survivor}");
            }
            let groups = client.read(&format!("{}?group={}&limit=1", list.path, list.column)).await["groups"].clone();
            let one = json!({ "value": survivor, "count": union.len() });
            assert!(groups.as_array().unwrap().contains(&one), "{list:?} counts {groups}, not {one}");
        }
    }
    // Grouped, what is one counts as one.
    let groups = client.read("/v1/deals?group=contact_id&limit=1").await;
    assert_eq!(groups["groups"], json!([{ "value": of("contact", 2), "count": 3 }]));
    // As of then, as it was then; as of now, as it is now.
    let deal = &texts(&client.read("/v1/deals?sort=id&limit=1").await, "id")[0];
    let then = client.read(&format!("/v1/deals/{deal}?as_of={head}")).await;
    let now_at = client.read("/v1/deals?limit=1").await["position"].clone();
    let now = client.read(&format!("/v1/deals/{deal}?as_of={now_at}")).await;
    let today = client.read(&format!("/v1/deals/{deal}")).await;
    assert_eq!((&then["contact_id"], &then["contact_name"]), (&json!(of("contact", 0)), &json!("X")));
    assert_eq!((&now["contact_id"], &now["company_id"]), (&today["contact_id"], &today["company_id"]));
    assert_eq!(today["contact_name"], "Z");

    for which in [1, 0] {
        for (kind, plural) in [("contact", "contacts"), ("company", "companies")] {
            client.run(&format!("/v1/{plural}/{}/unmerge", of(kind, which)), json!({})).await;
        }
    }
    server.settle().await;
    let after = everything(client).await;
    for (path, records) in &before {
        assert_eq!(&after[path], records, "{path}");
    }
    for ((list, kind), apart) in &apart {
        for (which, known) in apart.iter().enumerate() {
            assert_eq!(&ids(client, list, &of(kind, which)).await, known, "{list:?}");
        }
    }
    let noted = history(client, "contacts", &of("contact", 0)).await;
    assert_eq!(noted.iter().filter(|event| *event == "contact.unmerged").count(), 1);
}

#[tokio::test]
async fn messages_and_remarks_follow_a_merged_ticket() {
    let server = Server::start().await;
    let client = &server.admin;
    let (part, main) = (ticket(client, "Part").await, ticket(client, "Main").await);
    client.run(&at(&part, "receive_message"), json!({ "body": "one" })).await;
    client.run(&at(&main, "receive_message"), json!({ "body": "two" })).await;
    let about = |id: &str| json!({ "subjects": [subject("ticket", id)], "text": "A remark" });
    let remark = client.create("/v1/comments", about(&part)).await;
    client.run(&at(&part, "merge"), json!({ "into": main })).await;
    server.settle().await;
    let messages = client.read(&filtered("/v1/messages", &condition("ticket_id", "eq", &*main))).await;
    assert_eq!(texts(&messages, "body"), ["one", "two"]);
    let remarks = client.read(&filtered("/v1/comments", &condition("subject_ids", "contains", &*main))).await;
    assert_eq!(texts(&remarks, "id"), [&*remark]);
    assert_eq!(remarks["data"][0]["subjects"], json!([subject("ticket", &main)]));
    client.run(&at(&part, "unmerge"), json!({})).await;
    server.settle().await;
    let messages = client.read(&filtered("/v1/messages", &condition("ticket_id", "eq", &*main))).await;
    assert_eq!(texts(&messages, "body"), ["two"]);
}
