//! Who calls: the cards of whoever is reached at a number.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{encoded, texts},
};

async fn cards(client: &Client, number: &str) -> Value {
    client.get(&format!("/v1/callers?number={}", encoded(number))).await.expect(StatusCode::OK)
}

#[tokio::test]
async fn a_caller_is_known_by_any_spelling_of_the_number() {
    let server = Server::start().await;
    let client = &server.admin;
    client.run("/v1/tenants/current/change_setting", json!({ "key": "default_country", "value": "CZ" })).await;
    let maria = json!({ "name": "Maria", "phone": "+420 601 555 010", "email": "maria@example.com" });
    let maria = client.create("/v1/contacts", maria).await;
    let company = client.create("/v1/companies", json!({ "name": "Acme" })).await;
    client.run(&format!("/v1/contacts/{maria}/link_company"), json!({ "company": company, "role": "buyer" })).await;
    for title in ["First", "Second"] {
        let ticket = json!({ "title": title, "requester": { "kind": "contact", "id": maria } });
        let ticket = client.create("/v1/tickets", ticket).await;
        if title == "First" {
            client.run(&format!("/v1/tickets/{ticket}/close"), json!({})).await;
        }
    }
    client.create("/v1/deals", json!({ "name": "Chairs", "contact": maria })).await;
    client.create("/v1/enquiries", json!({ "name": "A flat", "contact": maria })).await;
    server.settle().await;

    for spelling in ["+420 601 555 010", "00420601555010", "420-601-555-010", "601 555 010", "(601) 555010"] {
        let told = cards(client, spelling).await;
        assert_eq!((&told["e164"], texts(&told, "id")), (&json!("+420601555010"), vec![maria.clone()]), "{spelling}");
    }
    let card = cards(client, "601555010").await["data"][0].clone();
    assert_eq!((&card["name"], &card["email"]), (&json!("Maria"), &json!("maria@example.com")));
    assert_eq!(card["companies"], json!([{ "id": company, "name": "Acme", "role": "buyer" }]));
    let counts = [&card["open_tickets"], &card["open_deals"], &card["open_enquiries"]];
    assert_eq!(counts, [1, 1, 1].map(|count| json!(count)).each_ref(), "{card}");
    let lately = card["lately"].as_array().unwrap();
    assert!(lately.len() == 5 && lately[0]["type"] == "enquiry.created", "{card}");
    assert_eq!(card["links"]["self"], format!("/v1/contacts/{maria}"));

    // A further number, at which somebody else is reached by another network: both may be calling.
    let viber = json!({ "kind": "viber", "value": "+420 601 555 010" });
    let boris = client.create("/v1/contacts", json!({ "name": "Boris" })).await;
    client.run(&format!("/v1/contacts/{boris}/add_identity"), viber).await;
    // Where the same digits are a number of another country, they are not this one.
    let olina = client.create("/v1/contacts", json!({ "name": "Olina", "phone": "+420 298 211 234" })).await;
    let runa = client.create("/v1/contacts", json!({ "name": "Rúna", "phone": "+298 211234" })).await;
    let further = json!({ "kind": "phone", "value": "+420 777 123 456" });
    client.run(&format!("/v1/contacts/{maria}/add_identity"), further).await;
    server.settle().await;
    let both = cards(client, "601 555 010").await;
    let mut names = texts(&both, "name");
    names.sort();
    assert_eq!(names, ["Boris", "Maria"], "{both}");
    assert_eq!(texts(&cards(client, "777123456").await, "id"), std::slice::from_ref(&maria));
    assert_eq!(texts(&cards(client, "298 211 234").await, "id"), [olina]);
    assert_eq!(texts(&cards(client, "+298 21 12 34").await, "id"), [runa]);

    // Whoever was merged calls as the one that goes on, and who is put away is told so.
    client.run(&format!("/v1/contacts/{boris}/merge"), json!({ "into": maria })).await;
    client.run(&format!("/v1/contacts/{maria}/archive"), json!({})).await;
    server.settle().await;
    let merged = cards(client, "00420 601 555 010").await;
    assert_eq!((texts(&merged, "id"), &merged["data"][0]["archived"]), (vec![maria], &json!(true)), "{merged}");

    assert_eq!(cards(client, "+420 601 555 011").await["data"], json!([]));
    for nonsense in ["", "anonymous"] {
        let path = format!("/v1/callers?number={nonsense}");
        let problem = client.get(&path).await.problem(422, "phone_invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/number", "{problem}");
    }
}

#[tokio::test]
async fn a_card_shows_what_the_caller_of_the_api_may_see() {
    let server = Server::start().await;
    let client = &server.admin;
    let (broker, own) = user_with(&server, "broker@example.com", &["contact.*:own", "ticket.read:own"]).await;
    let (_, clerk) = user_with(&server, "clerk@example.com", &["contact.read"]).await;
    let (_, none) = user_with(&server, "none@example.com", &["ticket.read"]).await;
    let phone = "+420 601 555 010";
    let maria = client.create("/v1/contacts", json!({ "name": "Maria", "phone": phone })).await;
    let ticket = json!({ "title": "Secret", "requester": { "kind": "contact", "id": maria } });
    client.create("/v1/tickets", ticket).await;
    server.settle().await;
    none.get(&format!("/v1/callers?number={}", encoded(phone))).await.problem(403, "permission_denied");
    assert_eq!(cards(&own, phone).await["data"], json!([]), "what is a colleague's");
    let seen = cards(&clerk, phone).await;
    assert_eq!((&seen["data"][0]["name"], &seen["data"][0]["open_tickets"]), (&json!("Maria"), &Value::Null));
    assert!(!seen.to_string().contains("Secret"), "{seen}");
    client.run(&format!("/v1/contacts/{maria}/change_owner"), json!({ "owner": broker })).await;
    server.settle().await;
    let seen = cards(&own, phone).await;
    assert_eq!(texts(&seen, "id"), [maria]);
    let stranger = server.another_tenant("Quagga").await;
    assert_eq!(cards(&stranger, phone).await["data"], json!([]));
}
