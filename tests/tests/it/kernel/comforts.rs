//! Small things that spare a client a request: names, totals, and refusals that say what stands in the way.

use deskfold_tests::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{condition, contact, each, field, filtered, texts, ticket, user};

#[tokio::test]
async fn me_has_a_name_and_roles() {
    let server = Server::start().await;
    server.settle().await;
    let me = server.admin.read("/v1/me").await;
    let user = server.admin.read(&format!("/v1/users/{}", me["user"].as_str().unwrap())).await;
    assert_eq!((&me["name"], &me["email"]), (&user["name"], &user["email"]));
    let tenant = server.admin.read(&format!("/v1/tenants/{}", server.tenant)).await;
    assert_eq!(me["tenant_name"], tenant["name"]);
    assert_eq!(me["roles"], json!(["admin"]));
}

#[tokio::test]
async fn a_note_on_a_contact_says_who_wrote_it() {
    let server = Server::start().await;
    let maria = contact(&server.admin, "Maria").await;
    let colleague = user(&server.admin, "Anna Agent").await;
    let note = |text: &str| json!({ "text": text });
    server.admin.run(&format!("/v1/contacts/{maria}/add_note"), note("Likes paper")).await;
    let anna = server.admin.header("Deskfold-On-Behalf-Of", &colleague);
    anna.run(&format!("/v1/contacts/{maria}/add_note"), note("Calls after noon")).await;
    server.settle().await;
    let read = server.admin.read(&format!("/v1/contacts/{maria}")).await;
    let me = server.admin.read("/v1/me").await;
    let authors: Vec<_> = read["notes"].as_array().unwrap().iter().map(|note| &note["author_id"]).collect();
    assert_eq!(authors, [&me["user"], &json!(colleague)]);
    assert_eq!(read["note_author_names"][&colleague], "Anna Agent");
    assert_eq!(read["note_author_names"][me["user"].as_str().unwrap()], me["name"]);
}

#[tokio::test]
async fn one_request_counts_by_stage_and_adds_up_what_is_unread() {
    let server = Server::start().await;
    let client = &server.admin;
    for stage in ["new", "new", "qualified", "contacted"] {
        client.create("/v1/leads", json!({ "name": "Maria", "stage": stage, "tags": ["vip", stage] })).await;
    }
    for messages in [2, 1, 0] {
        let chat = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
        for message in 0..messages {
            let body = json!({ "body": format!("Hello {message}") });
            client.run(&format!("/v1/conversations/{chat}/receive_message"), body).await;
        }
    }
    server.settle().await;
    let leads = client.read("/v1/leads?group=stage&limit=1").await;
    let group = |value: &str, count: i64| json!({ "value": value, "count": count });
    assert_eq!(leads["groups"], json!([group("new", 2), group("contacted", 1), group("qualified", 1)]));
    assert_eq!(leads["data"].as_array().unwrap().len(), 1);
    let only = client.read(&filtered("/v1/leads?group=tags", &condition("stage", "eq", "new"))).await;
    assert_eq!(only["groups"], json!([group("new", 2), group("vip", 2)]));
    let inbox = client.read("/v1/conversations?sum=unread_count,message_count").await;
    assert_eq!(inbox["sums"], json!({ "unread_count": 3, "message_count": 3 }));
    let answered = filtered("/v1/conversations?sum=unread_count&group=unread", &condition("unread", "eq", false));
    let answered = client.read(&answered).await;
    assert_eq!(answered["sums"]["unread_count"], 0);
    assert_eq!(answered["groups"], json!([{ "value": false, "count": 1 }]));
    let found = client.post("/v1/leads/search", json!({ "group": "stage" })).await.json();
    assert_eq!(found["groups"], leads["groups"]);
    let problem = client.get("/v1/leads?group=created_at").await.problem(422, "group_field_unknown");
    assert_eq!(problem["errors"][0]["pointer"], "/group");
    client.get("/v1/leads?sum=name").await.problem(422, "sum_field_unknown");
}

#[tokio::test]
async fn text_that_people_type_is_grouped_as_eq_compares_it_and_amounts_are_not_added_up_across_currencies() {
    let server = Server::start().await;
    let client = &server.admin;
    field(client, "lead", "street", "text", json!({})).await;
    field(client, "lead", "budget", "money", json!({})).await;
    for (city, tags) in [
        ("Praha", json!(["VIP", "vip"])),
        ("Praha", json!(["vip"])),
        ("praha", json!(["Vip"])),
        ("PRAHA ", json!([])),
        ("plzen", json!([])),
        ("Plzen", json!([])),
        ("Plzeň", json!([])),
    ] {
        let custom = json!({ "street": city, "budget": { "amount": "5", "currency": "EUR" } });
        let lead = json!({ "name": "Lead", "city": city, "tags": tags, "custom": custom });
        client.create("/v1/leads", lead).await;
    }
    client.create("/v1/leads", json!({ "name": "Nowhere" })).await;
    server.settle().await;
    let groups = async |field: &str| client.read(&format!("/v1/leads?group={field}&limit=1")).await["groups"].clone();
    let group = |value: Value, count: i64| json!({ "value": value, "count": count });
    // The most frequent spelling stands for all, the smallest where several are as frequent.
    let cities =
        json!([group(json!("Praha"), 4), group(json!("Plzen"), 2), group(json!("Plzeň"), 1), group(json!(null), 1)]);
    assert_eq!(groups("city").await, cities);
    assert_eq!(groups("custom.street").await, cities);
    let tags = groups("tags").await;
    assert_eq!(tags, json!([group(json!(null), 5), group(json!("VIP"), 3)]), "two spellings of a record count once");
    // A group counts what `eq` finds.
    for known in cities.as_array().unwrap().iter().filter(|group| !group["value"].is_null()) {
        let filter = condition("city", "eq", known["value"].clone());
        let found = client.read(&filtered("/v1/leads?count=exact&limit=1", &filter)).await;
        assert_eq!(found["total"], known["count"], "{known}");
    }
    for money in ["amount.amount", "custom.budget.amount", "custom.budget"] {
        client.get(&format!("/v1/leads?sum={money}")).await.problem(422, "sum_field_unknown");
    }
}

#[tokio::test]
async fn a_created_label_is_in_the_list_and_one_typed_into_a_chat_as_long_as_it_is_borne() {
    let server = Server::start().await;
    let client = &server.admin;
    client.create("/v1/labels", json!({ "name": "Gold" })).await;
    let chat = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    client.run(&format!("/v1/conversations/{chat}/label"), json!({ "name": "Typed" })).await;
    server.settle().await;
    let list = client.read("/v1/labels").await;
    assert_eq!(texts(&list, "name"), ["Gold", "Typed"]);
    let typed = each(&list, "id")[1].clone();
    client.run(&format!("/v1/conversations/{chat}/unlabel"), json!({ "label": typed })).await;
    server.settle().await;
    assert_eq!(texts(&client.read("/v1/labels").await, "name"), ["Gold"]);
}

#[tokio::test]
async fn a_taken_address_names_the_other_contact_and_the_field_also_in_a_dry_run() {
    let server = Server::start().await;
    let client = &server.admin;
    let taken = json!({ "name": "Maria", "email": "maria@example.com", "phone": "+39 06 555 0101" });
    let maria = client.create("/v1/contacts", taken).await;
    let other = contact(client, "Other").await;
    let by_phone = json!({ "name": "Again", "phone": "+39 06 555 0101" });
    for (path, body, pointer) in [
        ("/v1/contacts".to_owned(), json!({ "name": "Again", "email": "Maria@example.com" }), "/email"),
        ("/v1/contacts?dry_run=true".to_owned(), by_phone.clone(), "/phone"),
        ("/v1/contacts".to_owned(), by_phone, "/phone"),
        (
            format!("/v1/contacts/{other}/add_identity"),
            json!({ "kind": "email", "value": "maria@example.com" }),
            "/value",
        ),
    ] {
        let problem = client.post(&path, body).await.problem(409, "contact_identity_taken");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(problem["record"], json!({ "kind": "contact", "id": maria }), "{problem}");
    }
    let email = json!({ "email": "anna.agent@example.com", "name": "Anna Agent" });
    let anna = user(client, "Anna Agent").await;
    let problem = client.post("/v1/users", email).await.problem(409, "user_email_taken");
    assert_eq!((&problem["record"]["id"], &problem["errors"][0]["pointer"]), (&json!(anna), &json!("/email")));
}

#[tokio::test]
async fn a_day_as_as_of_is_its_end_in_the_tenants_time_zone() {
    let server = Server::start().await;
    let client = &server.admin;
    let at = |instant: &str| client.header("Deskfold-Occurred-At", instant);
    let early = at("2026-03-01T08:00:00Z");
    let maria = contact(&early, "Maria").await;
    let path = format!("/v1/contacts/{maria}");
    // In Rome, half an hour before midnight and half an hour after.
    at("2026-03-01T22:30:00Z").patch(&path, json!({ "city": "Roma" })).await.expect(StatusCode::OK);
    at("2026-03-01T23:30:00Z").patch(&path, json!({ "city": "Milano" })).await.expect(StatusCode::OK);
    server.settle().await;
    let city = async |day: &str| client.read(&format!("{path}?as_of={day}")).await["city"].clone();
    assert_eq!(city("2026-03-01").await, "Milano");
    let rome = json!({ "key": "time_zone", "value": "Europe/Rome" });
    client.run(&format!("/v1/tenants/{}/change_setting", server.tenant), rome).await;
    assert_eq!((city("2026-03-01").await, city("2026-03-02").await), (json!("Roma"), json!("Milano")));
    client.get(&format!("{path}?as_of=2026-02-28")).await.problem(404, "contact_unknown");
    let feed = async |day: &str| texts(&client.read(&format!("{path}/feed?as_of={day}")).await, "type").len();
    assert_eq!((feed("2026-03-01").await, feed("2026-03-02").await), (2, 3));
    client.get(&format!("{path}?known_at=2026-03-01")).await.problem(404, "contact_unknown");
    for wrong in ["2026-03", "2026-02-30", "2026-03-01T10:00:00", "yesterday"] {
        let problem = client.get(&format!("{path}?as_of={wrong}")).await.json();
        assert_eq!(problem["code"], "as_of_invalid", "{wrong}: {problem}");
    }
}

/// By whom a chat is with and what labels it bears, in the words that people know them by.
#[tokio::test]
async fn chats_are_found_by_the_names_of_their_contact_and_labels() {
    let server = Server::start().await;
    let client = &server.admin;
    let jose = contact(client, "José Ortega").await;
    let josef = contact(client, "Josef Novák").await;
    let double = contact(client, "Pepa").await;
    let mut chats = Vec::new();
    for (contact, labels) in
        [(Some(&jose), &["Gold", "Refund"][..]), (Some(&josef), &["Gold"]), (Some(&double), &[]), (None, &[])]
    {
        let chat = client.create("/v1/conversations", json!({ "medium": "live_chat", "contact": contact })).await;
        for label in labels {
            client.run(&format!("/v1/conversations/{chat}/label"), json!({ "name": label })).await;
        }
        chats.push(chat);
    }
    let found = async |filter: Value| {
        server.settle().await;
        let mut ids = texts(&client.read(&filtered("/v1/conversations", &filter)).await, "id");
        ids.sort_by_key(|id| chats.iter().position(|chat| chat == id));
        ids.iter().map(|id| chats.iter().position(|chat| chat == id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found(condition("contact_name", "eq", " josé ortega")).await, [0]);
    assert_eq!(found(condition("contact_name", "starts_with", "jose")).await, [0, 1]);
    assert_eq!(found(condition("contact_name", "contains", "novak")).await, [1]);
    assert_eq!(found(condition("contact_name", "ne", "José Ortega")).await, [1, 2, 3]);
    assert_eq!(found(condition("contact_name", "is_null", true)).await, [3]);
    assert_eq!(found(condition("label_names", "contains", "gold")).await, [0, 1]);
    assert_eq!(found(condition("label_names", "in", json!(["Refund", "None"]))).await, [0]);
    assert_eq!(found(condition("label_names", "ne", "Gold")).await, [2, 3]);
    let both = json!({ "all": [
        condition("label_names", "eq", "GOLD"), { "not": condition("contact_name", "contains", "ortega") },
    ] });
    assert_eq!(found(both).await, [1]);
    // Who was merged goes by the name of whoever goes on, and by no other.
    client.run(&format!("/v1/contacts/{double}/merge"), json!({ "into": josef })).await;
    assert_eq!(found(condition("contact_name", "eq", "Josef Novák")).await, [1, 2]);
    assert_eq!(found(condition("contact_name", "eq", "Pepa")).await, [] as [usize; 0]);
    client.run(&format!("/v1/contacts/{double}/unmerge"), json!({})).await;
    assert_eq!(found(condition("contact_name", "eq", "Pepa")).await, [2]);
    let problem = client.get("/v1/conversations?group=contact_name").await.problem(422, "group_field_unknown");
    assert!(problem["detail"].as_str().unwrap().contains("contact_id"), "{problem}");
}

/// What only merging needs to know is shown nowhere.
#[tokio::test]
async fn the_status_before_a_merge_is_nobodys_business() {
    let server = Server::start().await;
    let client = &server.admin;
    let (one, other) = (ticket(client, "One").await, ticket(client, "Other").await);
    client.run(&format!("/v1/tickets/{one}/merge"), json!({ "into": other })).await;
    server.settle().await;
    let document = client.read("/v1/openapi.json").await.to_string();
    let read = client.read(&format!("/v1/tickets/{one}")).await;
    let listed = client.read(&filtered("/v1/tickets", &condition("id", "eq", one.clone()))).await;
    assert_eq!(listed["data"][0]["status"], "merged");
    for text in [document, read.to_string(), listed.to_string()] {
        assert!(!text.contains("status_before_merge"));
    }
}
