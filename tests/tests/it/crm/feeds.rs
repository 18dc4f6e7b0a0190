//! Feeds: what stands in whose feed, since when, until when, in what order and in what words.

use deskfold_tests::{Client, Server};
use domain::{Aggregate, catalogue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{colleague, contact, each, encoded, euros, everything, instant, party, product, texts},
};

/// A feed with everything in it that was done before.
async fn feed(server: &Server, client: &Client, path: &str) -> Value {
    let head = server.admin.read("/v1/events?limit=1").await["position"].clone();
    client.header("deskfold-min-position", head).read(path).await
}

/// What a feed says, newest first.
async fn said(server: &Server, client: &Client, path: &str) -> Vec<String> {
    texts(&feed(server, client, path).await, "summary")
}

fn has(said: &[String], what: &str) -> bool {
    said.iter().any(|said| said == what)
}

/// An agency: Maria looks for a flat, Oleg owns one.
struct Agency {
    maria: String,
    oleg: String,
    flat: String,
    house: String,
    enquiry: String,
}

impl Agency {
    async fn new(client: &Client) -> Agency {
        let maria = contact(client, "Maria Rossi").await;
        let oleg = contact(client, "Oleg Ivanov").await;
        let price = json!({ "amount": "310000", "currency": "EUR" });
        let flat = client.create("/v1/properties", json!({ "name": "Flat on Via Roma", "price": price })).await;
        let house = client.create("/v1/properties", json!({ "name": "House by the river" })).await;
        let enquiry = client.create("/v1/enquiries", json!({ "name": "A flat in Rome", "contact": maria })).await;
        Agency { maria, oleg, flat, house, enquiry }
    }
}

async fn relate(client: &Client, from: Value, to: Value, role: &str) -> String {
    client.create("/v1/relations", json!({ "from": from, "to": to, "role": role })).await
}

async fn comment(client: &Client, subjects: Value, text: &str) -> String {
    client.create("/v1/comments", json!({ "subjects": subjects, "text": text })).await
}

#[tokio::test]
async fn a_remark_on_an_enquiry_stands_in_the_feeds_of_those_it_concerns() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, oleg, enquiry, .. } = Agency::new(client).await;
    comment(client, json!([party("enquiry", &enquiry)]), "Wants a balcony").await;
    let note = json!({ "text": "Two rooms on the portal", "url": "https://portal.example/77" });
    client.run(&format!("/v1/enquiries/{enquiry}/note_external_offer"), note).await;
    let noted = "Offer from elsewhere noted: Two rooms on the portal (https://portal.example/77)";
    for path in [format!("/v1/enquiries/{enquiry}/feed"), format!("/v1/contacts/{maria}/feed")] {
        let said = said(&server, client, &path).await;
        assert_eq!(said[..3], [noted, "Comment: Wants a balcony", "Enquiry created: A flat in Rome"], "{path}");
    }
    assert!(!has(&said(&server, client, &format!("/v1/contacts/{oleg}/feed")).await, noted), "no concern of his");

    let page = feed(&server, client, &format!("/v1/contacts/{maria}/feed?types=comment")).await;
    let [entry] = page["data"].as_array().unwrap().as_slice() else { panic!("{page}") };
    let me = client.read("/v1/me").await;
    assert_eq!(entry["type"], "comment.added");
    assert_eq!(entry["text"], "Wants a balcony");
    assert_eq!((&entry["actor"]["kind"], &entry["actor"]["id"]), (&json!("user"), &me["user"]));
    assert!(entry["actor"]["name"].is_string());
    let of_enquiry = json!({ "kind": "enquiry", "id": enquiry, "name": "A flat in Rome" });
    assert_eq!(entry["subjects"][1], of_enquiry);
    assert_eq!(entry["recorded_at"], entry["occurred_at"]);
    let log = client.read(entry["links"]["event"].as_str().unwrap()).await;
    assert_eq!((&log["data"][0]["type"], &log["data"][0]["position"]), (&entry["type"], &entry["position"]));
    let history = client.read(&format!("{}/history", entry["links"]["record"].as_str().unwrap())).await;
    assert_eq!(each(&history, "position"), [entry["position"].clone()]);
}

#[tokio::test]
async fn a_deal_on_a_property_stands_in_the_feeds_of_its_contacts() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, oleg, flat, .. } = Agency::new(client).await;
    let oleg_feed = format!("/v1/contacts/{oleg}/feed");
    relate(client, party("contact", &oleg), party("property", &flat), "owner").await;
    let deal = client.create("/v1/deals", json!({ "name": "Via Roma", "property": flat, "contact": maria })).await;
    client.run(&format!("/v1/deals/{deal}/move_stage"), json!({ "stage": "negotiation" })).await;
    let sale = json!({ "property": flat, "contacts": [maria], "price": { "amount": "305000", "currency": "EUR" } });
    client.run(&format!("/v1/deals/{deal}/record"), sale).await;
    let sold = "Deal recorded: Flat on Via Roma, 305,000.00 EUR";
    for path in [
        oleg_feed.clone(),
        format!("/v1/contacts/{maria}/feed"),
        format!("/v1/properties/{flat}/feed"),
        format!("/v1/deals/{deal}/feed"),
    ] {
        let said = said(&server, client, &path).await;
        assert_eq!(said[..3], [sold, "Stage changed from new to negotiation", "Deal created: Via Roma"], "{path}");
    }
    // What it is called is what it is called now.
    client.patch(&format!("/v1/properties/{flat}"), json!({ "name": "Flat at number 1" })).await.expect(StatusCode::OK);
    let now = said(&server, client, &oleg_feed).await;
    assert!(has(&now, "Deal recorded: Flat at number 1, 305,000.00 EUR"), "{now:?}");
    assert_eq!(now[0], "Name changed from Flat on Via Roma to Flat at number 1");
}

#[tokio::test]
async fn a_relation_brings_its_past_in_and_takes_it_out() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { oleg, flat, .. } = Agency::new(client).await;
    let path = format!("/v1/contacts/{oleg}/feed");
    comment(client, json!([party("property", &flat)]), "Needs paint").await;
    let before = client.read("/v1/events").await["position"].clone();
    assert!(!has(&said(&server, client, &path).await, "Comment: Needs paint"));

    let relation = relate(client, party("contact", &oleg), party("property", &flat), "owner").await;
    let related = client.read("/v1/events").await["position"].clone();
    let now = said(&server, client, &path).await;
    assert_eq!(now[0], "Related: Oleg Ivanov, owner of Flat on Via Roma");
    assert!(has(&now, "Comment: Needs paint") && has(&now, "Property created: Flat on Via Roma"), "{now:?}");
    assert_eq!(said(&server, client, &format!("/v1/properties/{flat}/feed")).await, now, "and the other way round");
    let count = now.iter().filter(|said| said.starts_with("Related")).count();
    assert_eq!(count, 1, "each once, however many ways lead to it");

    client.run(&format!("/v1/relations/{relation}/remove"), json!({})).await;
    let now = said(&server, client, &path).await;
    assert_eq!(now[0], "No longer related: Oleg Ivanov, owner of Flat on Via Roma");
    assert_eq!(now[1], "Related: Oleg Ivanov, owner of Flat on Via Roma");
    assert_eq!(now.len(), 3, "and his own beginning: {now:?}");

    // As it was: entries, and what belonged together.
    let then = said(&server, client, &format!("{path}?as_of={before}")).await;
    assert_eq!(then, ["Contact created: Oleg Ivanov"]);
    let then = said(&server, client, &format!("{path}?as_of={related}")).await;
    assert!(has(&then, "Comment: Needs paint") && then.len() == 4, "{then:?}");
}

#[tokio::test]
async fn what_is_told_late_stands_where_it_happened() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Rossi").await;
    let path = format!("/v1/contacts/{maria}/feed");
    let visit = async |text: &str, at: &str| {
        let body = json!({ "kind": "visit", "subjects": [party("contact", &maria)], "text": text, "occurred_at": at });
        client.create("/v1/activities", body).await
    };
    let autumn = visit("Saw the flat", "2025-10-09T08:53:20Z").await;
    visit("Called by", "2024-01-02T10:00:00Z").await;
    visit("Came again", "2025-12-24T10:00:00Z").await;
    let created = "Contact created: Maria Rossi";
    assert_eq!(
        said(&server, client, &path).await,
        [created, "Visit: Came again", "Visit: Saw the flat", "Visit: Called by"]
    );
    let page = feed(&server, client, &format!("{path}?types=activity&limit=1")).await;
    let entry = &page["data"][0];
    assert_eq!(entry["occurred_at"], "2025-12-24T10:00:00Z");
    assert!(instant(&entry["recorded_at"]) > instant(&entry["occurred_at"]));

    // What had happened by then, and what was known by then.
    let oldest = said(&server, client, &format!("{path}?order=oldest")).await;
    assert_eq!(oldest, ["Visit: Called by", "Visit: Saw the flat", "Visit: Came again", created]);
    let correct = json!({ "occurred_at": "2023-05-05T05:05:05Z", "text": "Saw the house" });
    let before = client.read("/v1/events").await["position"].clone();
    client.run(&format!("/v1/activities/{autumn}/correct"), correct).await;
    assert_eq!(
        said(&server, client, &path).await,
        [created, "Visit: Came again", "Visit: Called by", "Visit: Saw the house"]
    );
    let then = said(&server, client, &format!("{path}?as_of={before}")).await;
    assert_eq!(then[2], "Visit: Saw the flat");
    client.run(&format!("/v1/activities/{autumn}/withdraw"), json!({})).await;
    assert_eq!(said(&server, client, &path).await, [created, "Visit: Came again", "Visit: Called by"]);
    // She did not exist here before she was created, whatever had happened to her.
    client.get(&format!("{path}?as_of=2025-01-01T00:00:00Z")).await.problem(404, "contact_unknown");

    let long_ago = client.header("deskfold-occurred-at", "2020-02-03T04:05:06Z");
    let oleg = contact(&long_ago, "Oleg Ivanov").await;
    let path = format!("/v1/contacts/{oleg}/feed");
    let text = |text: &str| json!({ "subjects": [party("contact", &oleg)], "text": text });
    let comment = client.create("/v1/comments", text("Now")).await;
    client.header("deskfold-occurred-at", "2021-01-01T00:00:00Z").create("/v1/comments", text("Then")).await;
    client.run(&format!("/v1/comments/{comment}/edit"), json!({ "text": "Now, rather" })).await;
    let created = "Contact created: Oleg Ivanov";
    assert_eq!(said(&server, client, &path).await, ["Comment: Now, rather", "Comment: Then", created]);
    assert_eq!(said(&server, client, &format!("{path}?as_of=2022-01-01T00:00:00Z")).await, ["Comment: Then", created]);
    let nothing = format!("{path}?known_at={}", encoded("2022-01-01T00:00:00Z"));
    client.get(&nothing).await.problem(404, "contact_unknown");
    client.run(&format!("/v1/comments/{comment}/delete"), json!({})).await;
    assert_eq!(said(&server, client, &path).await, ["Comment: Then", created]);
}

#[tokio::test]
async fn offers_stand_in_the_feeds_of_enquiry_and_client() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, oleg, flat, house, enquiry } = Agency::new(client).await;
    let offer = |properties: &[&String]| json!({ "enquiry": enquiry, "properties": properties, "text": "Look" });
    let first = client.create("/v1/offers", offer(&[&flat, &house])).await;
    client.run(&format!("/v1/offers/{first}/send"), json!({ "medium": "email" })).await;
    client.run(&format!("/v1/offers/{first}/mark_opened"), json!({})).await;
    client.run(&format!("/v1/offers/{first}/accept"), json!({ "properties": [house] })).await;
    comment(client, json!([party("contact", &maria)]), "Is happy").await;
    let told = [
        "Offer accepted by Maria Rossi: House by the river",
        "Offer opened by Maria Rossi: Flat on Via Roma, House by the river",
        "Offer sent to Maria Rossi: Flat on Via Roma, House by the river",
        "Offer drafted for Maria Rossi: Flat on Via Roma, House by the river",
    ];
    for path in [format!("enquiries/{enquiry}"), format!("contacts/{maria}"), format!("properties/{flat}")] {
        let path = format!("/v1/{path}/feed?types=offer");
        assert_eq!(said(&server, client, &path).await, told, "{path}: each once, though three streams tell of it");
    }
    assert_eq!(said(&server, client, &format!("/v1/contacts/{oleg}/feed?types=offer")).await, Vec::<String>::new());

    let types = |types: &str| format!("/v1/contacts/{maria}/feed?types={types}");
    assert_eq!(said(&server, client, &types("comment")).await, ["Comment: Is happy"]);
    let both = said(&server, client, &types("offer.sent,comment")).await;
    assert_eq!(both, ["Comment: Is happy", told[2]]);
    let both = said(&server, client, &types("offer,offer.sent,%20comment")).await;
    assert_eq!((both.len(), both[0].as_str()), (5, "Comment: Is happy"));
    client.get(&types("offers")).await.problem(422, "feed_type_unknown");
    client.get(&types("offer.teleported")).await.problem(422, "feed_type_unknown");
    client.get(&types("api_key")).await.problem(422, "feed_type_unknown");
}

#[tokio::test]
async fn a_feed_is_read_both_ways() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Rossi").await;
    // Several at the same instant keep the order in which they were told.
    for (text, at) in [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3), ("f", 4), ("g", 5)] {
        let at = format!("2025-01-0{at}T00:00:00Z");
        let body = json!({ "kind": "call", "subjects": [party("contact", &maria)], "text": text, "occurred_at": at });
        client.create("/v1/activities", body).await;
    }
    let path = format!("/v1/contacts/{maria}/feed?types=activity&limit=3");
    let (mut pages, mut next) = (Vec::new(), Some(path.clone()));
    while let Some(path) = next {
        let page = feed(&server, client, &path).await;
        next = page["next"].as_str().map(ToOwned::to_owned);
        pages.push(page);
    }
    let all: Vec<Vec<String>> = pages.iter().map(|page| texts(page, "text")).collect();
    assert_eq!(all, [vec!["g", "f", "e"], vec!["d", "c", "b"], vec!["a"]]);
    // And back again.
    let back = client.read(pages[2]["previous"].as_str().unwrap()).await;
    assert_eq!(texts(&back, "text"), ["d", "c", "b"]);
    let first = client.read(back["previous"].as_str().unwrap()).await;
    assert_eq!(texts(&first, "text"), ["g", "f", "e"]);
    assert_eq!(texts(&client.read(first["next"].as_str().unwrap()).await, "text"), ["d", "c", "b"]);
    let newer = client.read(first["previous"].as_str().unwrap()).await;
    assert_eq!((&newer["data"], &newer["previous"]), (&json!([]), &first["previous"]));
    // What comes in later is newer than the first page.
    let body = json!({ "kind": "call", "subjects": [party("contact", &maria)], "text": "h" });
    client.create("/v1/activities", body).await;
    let newer = feed(&server, client, first["previous"].as_str().unwrap()).await;
    assert_eq!(texts(&newer, "text"), ["h"]);

    let oldest = client.read(&format!("{path}&order=oldest")).await;
    assert_eq!(texts(&oldest, "text"), ["a", "b", "c"]);
    let second = client.read(oldest["next"].as_str().unwrap()).await;
    assert_eq!(texts(&second, "text"), ["d", "e", "f"]);
    assert_eq!(texts(&client.read(second["previous"].as_str().unwrap()).await, "text"), ["a", "b", "c"]);

    for (more, status, code) in [
        ("after=1-1&before=1-1", 422, "cursor_invalid"),
        ("after=soon", 422, "cursor_invalid"),
        ("before=1", 422, "cursor_invalid"),
        ("order=random", 422, "parameter_invalid"),
        ("as_of=then", 422, "as_of_invalid"),
    ] {
        client.get(&format!("{path}&{more}")).await.problem(status, code);
    }
    client.get(&format!("/v1/contacts/{maria}/feed?limit=0")).await.problem(422, "limit_invalid");
    let head = client.read("/v1/events").await["position"].as_i64().unwrap();
    let late = client.header("deskfold-min-position", head + 1000).get(&path).await;
    late.problem(422, "position_ahead");
}

#[tokio::test]
async fn tickets_and_orders_stand_in_the_feeds_of_customer_and_company() {
    let server = Server::start().await;
    let client = &server.admin;
    let company = client.create("/v1/companies", json!({ "name": "Rossi Srl" })).await;
    let ada = contact(client, "Ada Rossi").await;
    client.run(&format!("/v1/contacts/{ada}/link_company"), json!({ "company": company, "role": "buyer" })).await;
    let body = json!({ "title": "It is dark", "requester": party("contact", &ada), "company": company });
    let ticket = client.create("/v1/tickets", body).await;
    let message = json!({ "body": "My password is x" });
    let received = client.post(&format!("/v1/tickets/{ticket}/receive_message"), message).await;
    let received = received.expect(StatusCode::OK);
    client.run(&format!("/v1/tickets/{ticket}/change_priority"), json!({ "priority": 2 })).await;
    let money = |amount: &str| json!({ "amount": amount, "currency": "RUB" });
    let order = json!({ "source": "shop", "customer": ada, "total": money("100500") });
    let order = client.create("/v1/orders", order).await;
    let ada_feed = format!("/v1/contacts/{ada}/feed");
    for path in [ada_feed.clone(), format!("/v1/companies/{company}/feed")] {
        let said = said(&server, client, &path).await;
        let expected = [
            "Order placed: no. 1, 100,500.00 RUB",
            "Priority changed from low to high",
            "Message: My password is x",
            "Ticket opened, no. 1: It is dark",
            "Belongs to Rossi Srl: buyer",
        ];
        // The order names no company, but the company's feed gathers that of Ada.
        assert_eq!(said[..5], expected, "{path}");
    }
    let own = said(&server, client, &format!("/v1/orders/{order}/feed")).await;
    assert_eq!(own, ["Order placed: no. 1, 100,500.00 RUB"]);
    let own = said(&server, client, &format!("/v1/tickets/{ticket}/feed")).await;
    assert_eq!(own.len(), 3, "a ticket's feed is its own: {own:?}");

    // A text that is out of sight is in no feed either, nor in the past's.
    let message = received["events"][0]["data"]["message_id"].clone();
    let redact = json!({ "message_id": message, "reason": "A password" });
    client.run(&format!("/v1/tickets/{ticket}/redact_message"), redact).await;
    let page = feed(&server, client, &ada_feed).await;
    assert_eq!(page["data"][0]["summary"], "Message taken out of sight: A password");
    assert!(has(&texts(&page, "summary"), "Message, taken out of sight"), "{page}");
    assert!(!page.to_string().contains("password is"), "{page}");
    let then = feed(&server, client, &format!("{ada_feed}?as_of={}", received["position"])).await;
    assert_eq!(then["data"][0]["summary"], "Message, taken out of sight", "{then}");
    // A part of another ticket takes its feed along.
    let other = client.create("/v1/tickets", json!({ "title": "Still dark" })).await;
    client.run(&format!("/v1/tickets/{ticket}/merge"), json!({ "into": other })).await;
    let own = said(&server, client, &format!("/v1/tickets/{other}/feed")).await;
    assert!(has(&own, "Priority changed from low to high") && has(&own, "Merged into Still dark"), "{own:?}");
}

#[tokio::test]
async fn a_merged_contact_brings_its_feed_along() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, flat, .. } = Agency::new(client).await;
    let twin = contact(client, "M. Rossi").await;
    comment(client, json!([party("contact", &twin)]), "Called twice").await;
    let ticket = client.create("/v1/tickets", json!({ "title": "Keys", "requester": party("contact", &twin) })).await;
    relate(client, party("contact", &twin), party("property", &flat), "tenant").await;
    let path = format!("/v1/contacts/{maria}/feed");
    let before = client.read("/v1/events").await["position"].clone();
    let alone = said(&server, client, &path).await;
    client.run(&format!("/v1/contacts/{twin}/merge"), json!({ "into": maria })).await;
    let now = said(&server, client, &path).await;
    assert_eq!(now[0], "Merged into Maria Rossi");
    for what in ["Comment: Called twice", "Ticket opened, no. 1: Keys", "Property created: Flat on Via Roma"] {
        assert!(has(&now, what) && !has(&alone, what), "{what}: {now:?}");
    }
    client.run(&format!("/v1/tickets/{ticket}/change_priority"), json!({ "priority": 3 })).await;
    assert_eq!(said(&server, client, &path).await[0], "Priority changed from low to urgent");
    assert_eq!(said(&server, client, &format!("{path}?as_of={before}")).await, alone);
    client.run(&format!("/v1/contacts/{twin}/unmerge"), json!({})).await;
    assert_eq!(said(&server, client, &path).await, alone);
}

#[tokio::test]
async fn my_feed_is_what_i_did_and_what_is_mine() {
    let server = Server::start().await;
    let client = &server.admin;
    let (anna, agent) = user_with(&server, "anna@example.com", &["*.read", "ticket.*", "comment.*"]).await;
    let (_, other) = user_with(&server, "other@example.com", &["*.read"]).await;
    let ticket = client.create("/v1/tickets", json!({ "title": "Mine" })).await;
    let followed = client.create("/v1/tickets", json!({ "title": "Followed" })).await;
    client.create("/v1/tickets", json!({ "title": "Nobody's" })).await;
    let owned = client.create("/v1/contacts", json!({ "name": "Owned", "owner": anna })).await;
    client.run(&format!("/v1/tickets/{ticket}/assign"), json!({ "assignee": anna })).await;
    client.run(&format!("/v1/tickets/{followed}/follow"), json!({ "user": anna })).await;
    comment(client, json!([party("ticket", &ticket)]), "Hurry").await;
    comment(client, json!([party("contact", &owned)]), "A friend").await;
    let did = agent.create("/v1/tickets", json!({ "title": "By Anna" })).await;
    let mine = said(&server, &agent, "/v1/me/feed").await;
    let expected = [
        "Ticket opened, no. 4: By Anna",
        "Comment: A friend",
        "Comment: Hurry",
        "anna@example.com follows",
        "Assigned to anna@example.com",
        "Contact created: Owned",
        "Ticket opened, no. 2: Followed",
        "Ticket opened, no. 1: Mine",
    ];
    assert_eq!(mine, expected);
    assert_eq!(said(&server, &other, "/v1/me/feed").await, Vec::<String>::new());
    // No longer mine.
    client.run(&format!("/v1/tickets/{ticket}/unassign"), json!({})).await;
    let mine = said(&server, &agent, "/v1/me/feed").await;
    assert!(!has(&mine, "Comment: Hurry") && has(&mine, "Comment: A friend"), "{mine:?}");
    // Done in my name is done by me.
    let for_anna = client.header("deskfold-on-behalf-of", &anna);
    for_anna.run(&format!("/v1/tickets/{did}/change_priority"), json!({ "priority": 1 })).await;
    let page = feed(&server, &agent, "/v1/me/feed?limit=1").await;
    assert_eq!(page["data"][0]["summary"], "Priority changed from low to normal");
    assert_eq!(page["data"][0]["actor"]["on_behalf_of"]["id"], json!(anna));
}

#[tokio::test]
async fn nobody_reads_in_a_feed_what_they_may_not_read() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, flat, enquiry, .. } = Agency::new(client).await;
    let path = format!("/v1/contacts/{maria}/feed");
    relate(client, party("contact", &maria), party("property", &flat), "tenant").await;
    client.create("/v1/deals", json!({ "name": "Secret", "contact": maria, "property": flat })).await;
    comment(client, json!([party("enquiry", &enquiry)]), "Wants a balcony").await;
    let (_, clerk) = user_with(&server, "clerk@example.com", &["contact.read", "relation.read", "comment.read"]).await;
    let page = feed(&server, &clerk, &path).await;
    let types = texts(&page, "type");
    assert_eq!(types, ["comment.added", "relation.added", "contact.created"]);
    assert_eq!(page["data"][1]["summary"], "Related: Maria Rossi, tenant of a property");
    let kinds: Vec<String> =
        page["data"].as_array().unwrap().iter().flat_map(|entry| texts_of(&entry["subjects"])).collect();
    assert!(kinds.iter().all(|kind| ["comment", "relation", "contact"].contains(&kind.as_str())), "{kinds:?}");
    assert!(!page.to_string().contains("Via Roma") && !page.to_string().contains("Secret"), "{page}");
    clerk.get(&format!("/v1/properties/{flat}/feed")).await.problem(403, "permission_denied");
    assert_eq!(said(&server, &clerk, "/v1/me/feed").await, Vec::<String>::new());
    assert_eq!(said(&server, &clerk, &format!("{path}?types=deal")).await, Vec::<String>::new());

    let stranger = server.another_tenant("Quagga").await;
    stranger.get(&path).await.problem(404, "contact_unknown");
    let same = stranger.put(&format!("/v1/contacts/{maria}"), json!({ "name": "Namesake" })).await;
    same.expect(StatusCode::CREATED);
    assert_eq!(said(&server, &stranger, &path).await, ["Contact created: Namesake"]);
    assert_eq!(said(&server, client, &path).await.len(), 6);
    client.get("/v1/contacts/01K9Z3T8W0QX6V5N4M3K2J1H0G/feed").await.problem(404, "contact_unknown");
    client.get("/v1/contacts/nobody/feed").await.problem(404, "contact_unknown");
}

fn texts_of(subjects: &Value) -> Vec<String> {
    subjects.as_array().unwrap().iter().map(|subject| subject["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn feeds_can_be_made_anew_from_the_log() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, flat, enquiry, .. } = Agency::new(client).await;
    let relation = relate(client, party("contact", &maria), party("property", &flat), "tenant").await;
    let deal = client.create("/v1/deals", json!({ "name": "Via Roma", "contact": maria, "property": flat })).await;
    client.patch(&format!("/v1/deals/{deal}"), json!({ "property": null })).await.expect(StatusCode::OK);
    let remark = comment(client, json!([party("enquiry", &enquiry)]), "One").await;
    client.run(&format!("/v1/comments/{remark}/edit"), json!({ "text": "Two" })).await;
    client.run(&format!("/v1/relations/{relation}/remove"), json!({})).await;
    server.settle().await;
    let log = eventstore::Log::open(server.database.pool.clone(), eventstore::Options::default()).await.unwrap();
    assert_eq!(projections::compare(&log, "feed").await.unwrap().differences, []);
    let path = format!("/v1/contacts/{maria}/feed");
    let before = feed(&server, client, &path).await;
    projections::rebuild(&log, &["feed"], tokio::sync::watch::Sender::default()).await.unwrap();
    let after = feed(&server, client, &path).await;
    assert_eq!(before["data"], after["data"]);
    // What is not as the log says is found, in each of the tables.
    let pool = &server.database.pool;
    for statement in [
        "update read_feed set name = 'x' where kind = 'contact'",
        "delete from read_feed_entry where type = 'relation.added'",
        "update read_feed_link set holds = true",
    ] {
        let before = projections::compare(&log, "feed").await.unwrap().differences.len();
        sqlx::raw_sql(statement).execute(pool).await.unwrap();
        assert!(projections::compare(&log, "feed").await.unwrap().differences.len() > before, "{statement}");
    }
    log.close().await;
}

#[tokio::test]
async fn a_relation_with_a_colleague_is_refused_and_an_old_one_gathers_nothing() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Rossi").await;
    let anna = colleague(client, "Anna", "agent").await;
    let ends = |from: &Value, to: &Value| json!({ "from": from, "to": to, "role": "friend" });
    let (user, person) = (party("user", &anna), party("contact", &maria));
    for (body, pointer) in [(ends(&user, &person), "/from"), (ends(&person, &user), "/to")] {
        let refused = client.post("/v1/relations", body).await.problem(422, "relation_end_unfit");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    // One that was made when that was not refused yet.
    let role = "friend";
    let ends = domain::crm::relation::Ends {
        from: serde_json::from_value(person).unwrap(),
        to: serde_json::from_value(user).unwrap(),
        role: role.into(),
    };
    let relation = ends.id(server.tenant.parse().unwrap());
    let added = domain::crm::relation::Event::Added(ends);
    let (kind, data) = domain::crm::relation::Relation::encode(&added);
    let me = client.read("/v1/me").await;
    let metadata = json!({
        "actor": { "kind": "user", "id": me["user"] }, "via": "api",
        "command_id": uuid::Uuid::nil(), "correlation_id": uuid::Uuid::nil(),
    });
    let log = eventstore::Log::open(server.database.pool.clone(), eventstore::Options::default()).await.unwrap();
    log.append(eventstore::Append {
        tenant: server.tenant.clone(),
        writes: vec![eventstore::StreamWrite {
            stream: domain::crm::relation::Relation::stream(relation),
            expected: eventstore::Expected::NoStream,
            events: vec![eventstore::NewEvent {
                id: uuid::Uuid::now_v7(),
                kind,
                occurred_at: None,
                is_json: true,
                data: data.into(),
                metadata: metadata.to_string().into(),
                number: None,
            }],
        }],
        command_id: uuid::Uuid::now_v7(),
        fingerprint: 0,
        remember: false,
        claims: Vec::new(),
    })
    .await
    .unwrap();
    log.close().await;
    client.create("/v1/contacts", json!({ "name": "Her own", "owner": anna })).await;
    server.settle().await;
    let relation = client.read(&format!("/v1/relations/{relation}")).await;
    assert_eq!(relation["role"], role, "it stays readable");
    let now = said(&server, client, &format!("/v1/contacts/{maria}/feed")).await;
    assert_eq!(now, ["Related: Maria Rossi, friend of Anna", "Contact created: Maria Rossi"]);
    let anna_feed = said(&server, client, &format!("/v1/users/{anna}/feed")).await;
    assert_eq!(anna_feed, ["Contact created: Her own"], "nor does her own feed gather that of Maria");
}

#[tokio::test]
async fn a_remark_stands_wherever_what_it_is_about_stands() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, oleg, flat, enquiry, .. } = Agency::new(client).await;
    let anna = colleague(client, "Anna", "agent").await;
    relate(client, party("contact", &oleg), party("property", &flat), "owner").await;
    let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": [flat] })).await;
    let deal = client.create("/v1/deals", json!({ "name": "Via Roma", "property": flat, "contact": maria })).await;
    let task = json!({ "title": "Call her", "subjects": [party("contact", &maria)], "assignee": anna });
    let task = client.create("/v1/tasks", task).await;
    let call = json!({ "from": "+39 06 555 0101", "to": "main", "contact": maria });
    let call = client.create("/v1/calls", call).await;
    for (kind, id) in [("offer", &offer), ("deal", &deal), ("task", &task), ("call", &call)] {
        comment(client, json!([party(kind, id)]), &format!("On the {kind}")).await;
        let visit = json!({ "kind": "visit", "subjects": [party(kind, id)], "text": format!("For the {kind}") });
        client.create("/v1/activities", visit).await;
    }
    let remarks = async |path: &str| said(&server, client, &format!("/v1/{path}/feed?types=comment,activity")).await;
    let on = |kinds: &[&str]| -> Vec<String> {
        kinds.iter().flat_map(|kind| [format!("Visit: For the {kind}"), format!("Comment: On the {kind}")]).collect()
    };
    for (path, kinds) in [
        (format!("contacts/{maria}"), vec!["call", "task", "deal", "offer"]),
        // The flat is his: what is offered and sold of it stands in his feed, and so does what is remarked about that.
        (format!("contacts/{oleg}"), vec!["deal", "offer"]),
        (format!("properties/{flat}"), vec!["deal", "offer"]),
        (format!("enquiries/{enquiry}"), vec!["offer"]),
        (format!("offers/{offer}"), vec!["offer"]),
        (format!("tasks/{task}"), vec!["task"]),
        (format!("users/{anna}"), vec!["task"]),
    ] {
        assert_eq!(remarks(&path).await, on(&kinds), "{path}");
    }
    let whole = said(&server, client, &format!("/v1/contacts/{oleg}/feed")).await;
    assert!(has(&whole, "Comment: On the offer"), "without types too: {whole:?}");
    // They go where it goes, and the past stays as it was.
    let before = client.read("/v1/events?limit=1").await["position"].clone();
    client.patch(&format!("/v1/deals/{deal}"), json!({ "property": null })).await.expect(StatusCode::OK);
    client.run(&format!("/v1/calls/{call}/link_contact"), json!({ "contact": oleg })).await;
    assert_eq!(remarks(&format!("contacts/{oleg}")).await, on(&["call", "offer"]));
    assert_eq!(remarks(&format!("contacts/{maria}")).await, on(&["task", "deal", "offer"]));
    let path = format!("/v1/contacts/{oleg}/feed?types=comment,activity&as_of={before}");
    assert_eq!(said(&server, client, &path).await, on(&["deal", "offer"]));
}

#[tokio::test]
async fn whatever_can_be_remarked_about_has_a_feed_that_its_links_name() {
    struct Kinds(Vec<(&'static str, &'static str)>);
    impl catalogue::Visitor for Kinds {
        fn visit<A: Aggregate>(&mut self) {
            self.0.push((A::KIND, A::PLURAL));
        }
    }
    let server = Server::start().await;
    let client = &server.admin;
    let mut all = everything(&server, client, "Word").await;
    let fresh = colleague(client, "Fresh", "agent").await;
    all.insert("users", vec![fresh]);
    let mut kinds = Kinds(Vec::new());
    catalogue::visit_all(&mut kinds);
    let mut count = 0;
    for (kind, plural) in kinds.0 {
        for id in all.get(plural).into_iter().flatten() {
            let text = format!("On {kind} {id}");
            let body = json!({ "subjects": [party(kind, id)], "text": text });
            let reply = client.post("/v1/comments", body).await;
            let feed_path = format!("/v1/{plural}/{id}/feed");
            if reply.status == StatusCode::CREATED {
                let said = said(&server, client, &format!("{feed_path}?types=comment")).await;
                assert!(has(&said, &format!("Comment: {text}")), "{feed_path}: {said:?}");
                let links = &client.read(&format!("/v1/{plural}/{id}")).await["links"];
                assert_eq!(links["feed"], feed_path, "{links}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
    let comment = &all["comments"][0];
    assert_eq!(client.read(&format!("/v1/comments/{comment}")).await["links"]["feed"], Value::Null);
}

#[tokio::test]
async fn internal_comments_are_shown_to_no_contact_and_on_no_contacts_behalf() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, enquiry, .. } = Agency::new(client).await;
    let ticket = client.create("/v1/tickets", json!({ "title": "Keys", "requester": party("contact", &maria) })).await;
    let about = json!([party("contact", &maria), party("enquiry", &enquiry)]);
    let secret = json!({ "subjects": about, "text": "Whisper one", "internal": true });
    let hidden = client.create("/v1/comments", secret).await;
    client.run(&format!("/v1/comments/{hidden}/edit"), json!({ "text": "Whisper two" })).await;
    comment(client, about, "Spoken aloud").await;
    let note = client.post(&format!("/v1/tickets/{ticket}/add_note"), json!({ "body": "Whisper three" })).await;
    client.run(&format!("/v1/tickets/{ticket}/reply"), json!({ "body": "Good day" })).await;
    server.settle().await;
    let for_maria = client.header("deskfold-on-behalf-of", &maria);
    let (note, first) = (&note.json()["position"], client.read(&format!("/v1/comments/{hidden}/history")).await);
    let first = &first["data"][0]["position"];
    let all = "{\"field\": \"internal\", \"op\": \"eq\", \"value\": true}";
    let paths = [
        format!("/v1/contacts/{maria}/feed"),
        format!("/v1/contacts/{maria}/feed?types=comment"),
        format!("/v1/enquiries/{enquiry}/feed"),
        format!("/v1/tickets/{ticket}/feed"),
        "/v1/me/feed".to_owned(),
        "/v1/comments".to_owned(),
        format!("/v1/comments?filter={}&count=exact", encoded(all)),
        "/v1/messages".to_owned(),
        format!("/v1/comments/{hidden}"),
        format!("/v1/comments/{hidden}?as_of={first}"),
        format!("/v1/comments/{hidden}/history"),
        format!("/v1/tickets/{ticket}/history"),
        format!("/v1/tickets/{ticket}/thread"),
        format!("/v1/tickets/{ticket}/thread?as_of={note}"),
        "/v1/events?limit=1000".to_owned(),
        format!("/v1/events?stream=comment-{hidden}"),
        format!("/v1/events/{first}/why"),
        format!("/v1/events/{first}/effects"),
        format!("/v1/events/{note}/why"),
    ];
    let mut seen = 0;
    for path in &paths {
        let shown = for_maria.get(path).await;
        assert!(!shown.text.contains("Whisper"), "{path}: {}", shown.text);
        assert!(shown.status == StatusCode::OK || shown.status == StatusCode::NOT_FOUND, "{path}: {}", shown.text);
        assert!(!shown.text.contains("\"total\":1"), "{path}: not even their number: {}", shown.text);
        seen += usize::from(client.get(path).await.text.contains("Whisper"));
    }
    assert!(seen >= paths.len() - 2, "colleagues see them: {seen} of {}", paths.len());
    assert!(has(&said(&server, &for_maria, &format!("/v1/contacts/{maria}/feed")).await, "Comment: Spoken aloud"));
    // Nor are they answered with when something is done to them.
    for (command, body) in [("edit", json!({ "text": "x" })), ("delete", json!({}))] {
        for more in ["", "?dry_run=true"] {
            let path = format!("/v1/comments/{hidden}/{command}{more}");
            for_maria.post(&path, body.clone()).await.problem(404, "comment_unknown");
        }
    }
    let draft = json!({ "name": "x", "trigger": "comment.added", "definition": { "actions": [] } });
    let rehearsed = for_maria.post("/v1/rules/dry_run", json!({ "draft": draft, "position": first })).await;
    rehearsed.problem(403, "permission_denied");
    // The stream of events.
    let request = for_maria.request(Method::GET, "/v1/events/stream?after=0");
    let mut stream = request.send().await.unwrap();
    let mut read = String::new();
    while !read.contains("Good day") {
        read += &String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap());
    }
    assert!(read.contains("Spoken aloud") && !read.contains("Whisper"), "{read}");
}

#[tokio::test]
async fn told_out_of_order_a_feed_as_of_an_instant_is_what_the_log_says() {
    let server = Server::start().await;
    let client = &server.admin;
    let on = |day: u32| client.header("deskfold-occurred-at", format!("2025-10-{day:02}T00:00:00Z"));
    let property = async |name: &str| on(1).create("/v1/properties", json!({ "name": name })).await;
    let (p, q) = (property("P").await, property("Q").await);
    let deal = on(8).create("/v1/deals", json!({ "name": "Sale", "property": p })).await;
    on(20).patch(&format!("/v1/deals/{deal}"), json!({ "property": q })).await.expect(StatusCode::OK);
    on(12).patch(&format!("/v1/deals/{deal}"), json!({ "property": p })).await.expect(StatusCode::OK);
    let path = format!("/v1/properties/{p}/feed?as_of=2025-10-15T00:00:00Z");
    let expected = ["Property changed from Q to P", "Deal created: Sale", "Property created: P"];
    for limit in [100, 1, 2, 3] {
        let (mut all, mut next) = (Vec::new(), Some(format!("{path}&limit={limit}")));
        while let Some(path) = next {
            let page = feed(&server, client, &path).await;
            all.extend(texts(&page, "summary"));
            next = page["next"].as_str().map(ToOwned::to_owned);
        }
        assert_eq!(all, expected, "limit {limit}");
    }

    let (a, b) = (contact(&on(1), "A").await, contact(&on(1), "B").await);
    let deal = on(8).create("/v1/deals", json!({ "name": "Other sale" })).await;
    let sale = |contacts: &[&String]| json!({ "property": p, "contacts": contacts, "price": euros("1") });
    on(20).run(&format!("/v1/deals/{deal}/record"), sale(&[&a])).await;
    on(12).run(&format!("/v1/deals/{deal}/record"), sale(&[&a, &b])).await;
    for day in [15, 25] {
        let as_of = format!("as_of=2025-10-{day}T00:00:00Z");
        let record = client.read(&format!("/v1/deals/{deal}?{as_of}")).await;
        for who in [&a, &b] {
            assert!(record.to_string().contains(who.as_str()), "{record}");
            let said = said(&server, client, &format!("/v1/contacts/{who}/feed?{as_of}")).await;
            assert!(has(&said, "Deal created: Other sale"), "{day}: {said:?}");
        }
    }
}

#[tokio::test]
async fn summaries_name_what_they_speak_of() {
    let server = Server::start().await;
    let client = &server.admin;
    let Agency { maria, oleg, flat, house, enquiry } = Agency::new(client).await;
    let anna = colleague(client, "Anna", "agent").await;
    let deal = json!({ "name": "Via Roma", "contact": maria, "property": flat, "amount": euros("305000") });
    let deal = client.create("/v1/deals", deal).await;
    let at = |command: &str| format!("/v1/deals/{deal}/{command}");
    client.patch(&format!("/v1/deals/{deal}"), json!({ "contact": oleg })).await.expect(StatusCode::OK);
    client.run(&at("change_owner"), json!({ "owner": anna })).await;
    client.run(&at("win"), json!({})).await;
    client.run(&at("reopen"), json!({})).await;
    client.run(&at("lose"), json!({ "reason": "Too dear" })).await;
    client.run(&at("archive"), json!({})).await;
    let now = said(&server, client, &format!("/v1/deals/{deal}/feed")).await;
    for expected in [
        "Deal archived: Via Roma, 305,000.00 EUR",
        "Deal lost: Via Roma, 305,000.00 EUR (Too dear)",
        "Deal won: Via Roma, 305,000.00 EUR",
        "Contact changed from Maria Rossi to Oleg Ivanov",
        "Deal created: Via Roma, 305,000.00 EUR",
    ] {
        assert!(has(&now, expected), "{expected}: {now:#?}");
    }
    assert!(now.iter().any(|said| said.starts_with("Owner ") && said.ends_with("Anna")), "{now:#?}");
    let router = product(client, "Router").await;
    let entitlement = json!({ "product": router, "holder": party("contact", &maria) });
    let entitlement = client.create("/v1/entitlements", entitlement).await;
    client.run(&format!("/v1/entitlements/{entitlement}/revoke"), json!({})).await;
    let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": [flat, house] })).await;
    client.run(&format!("/v1/offers/{offer}/send"), json!({ "medium": "email" })).await;
    client.run(&format!("/v1/offers/{offer}/decline"), json!({ "reason": "Too far out" })).await;
    let task = json!({ "title": "Call back", "subjects": [party("contact", &maria)] });
    let task = client.create("/v1/tasks", task).await;
    client.run(&format!("/v1/tasks/{task}/complete"), json!({})).await;
    let now = said(&server, client, &format!("/v1/contacts/{maria}/feed")).await;
    let expected = [
        "Task completed: Call back",
        "Task created: Call back",
        "Offer declined by Maria Rossi: Flat on Via Roma, House by the river (Too far out)",
        "Offer sent to Maria Rossi: Flat on Via Roma, House by the river",
        "Offer drafted for Maria Rossi: Flat on Via Roma, House by the river",
        "Entitlement revoked: Router",
        "Owns Router",
    ];
    assert_eq!(now[..7], expected);
}

#[tokio::test]
async fn previous_is_never_null() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Rossi").await;
    let path = format!("/v1/contacts/{maria}/feed?types=comment");
    for order in ["newest", "oldest"] {
        let empty = feed(&server, client, &format!("{path}&order={order}")).await;
        assert_eq!((&empty["data"], &empty["next"]), (&json!([]), &Value::Null));
        assert!(empty["previous"].is_string(), "{empty}");
    }
    let before_all = feed(&server, client, &format!("{path}&order=newest")).await;
    comment(client, json!([party("contact", &maria)]), "First").await;
    comment(client, json!([party("contact", &maria)]), "Second").await;
    let came_in = feed(&server, client, before_all["previous"].as_str().unwrap()).await;
    assert_eq!(texts(&came_in, "text"), ["Second", "First"]);
    // Behind the end, either way, the page before has the last entry again.
    for (order, last) in [("newest", "First"), ("oldest", "Second")] {
        let page = feed(&server, client, &format!("{path}&order={order}&limit=2")).await;
        let end = page["data"][1].clone();
        let micros = instant(&end["occurred_at"]).as_microsecond();
        let behind = format!("{path}&order={order}&limit=1&after={micros}-{}", end["position"]);
        let behind = feed(&server, client, &behind).await;
        assert_eq!(behind["data"], json!([]));
        let back = feed(&server, client, behind["previous"].as_str().unwrap()).await;
        assert_eq!(texts(&back, "text"), [last], "{order}");
    }
}
