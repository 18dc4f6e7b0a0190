//! Search: what is found by what, by whom, and what is not.

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{contact, encoded, party, product, subject, ticket},
};

/// What is found, as of now.
async fn found(server: &Server, client: &Client, asked: &str) -> Value {
    search(server, client, &format!("q={}", encoded(asked))).await
}

async fn search(server: &Server, client: &Client, query: &str) -> Value {
    let head = server.admin.read("/v1/events?limit=1").await["position"].clone();
    client.header("deskfold-min-position", head).read(&format!("/v1/search?{query}")).await
}

/// Text that was told in parts, with what matches in brackets.
fn told(pieces: &Value) -> String {
    let pieces = pieces.as_array().unwrap().iter();
    let one = |piece: &Value| match piece["hit"] == true {
        true => format!("[{}]", piece["text"].as_str().unwrap()),
        false => piece["text"].as_str().unwrap().to_owned(),
    };
    pieces.map(one).collect()
}

fn hits(answer: &Value) -> Vec<&Value> {
    answer["data"].as_array().unwrap().iter().flat_map(|group| group["hits"].as_array().unwrap()).collect()
}

/// The titles of what is found, without marks.
fn titles(answer: &Value) -> Vec<String> {
    let mut titles: Vec<String> = hits(answer).iter().map(|hit| told(&hit["title"]).replace(['[', ']'], "")).collect();
    titles.sort();
    titles
}

fn ids(answer: &Value) -> Vec<String> {
    hits(answer).iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

async fn titles_of(server: &Server, client: &Client, asked: &str) -> Vec<String> {
    titles(&found(server, client, asked).await)
}

async fn note(client: &Client, ticket: &str, body: &str) {
    client.run(&format!("/v1/tickets/{ticket}/add_note"), json!({ "body": body })).await;
}

#[tokio::test]
async fn words_are_found_in_all_their_forms_in_five_languages_with_and_without_accents() {
    let server = Server::start().await;
    let client = &server.admin;
    for title in [
        "Tiskárny netisknou",
        "Рахунки за січень",
        "Принтеры не печатают",
        "Spausdintuvai neveikia",
        "Printers are burning",
    ] {
        ticket(client, title).await;
    }
    for (asked, expected) in [
        ("tiskárnu", "Tiskárny netisknou"),
        ("tiskarnam", "Tiskárny netisknou"),
        ("TISKÁRNY", "Tiskárny netisknou"),
        ("рахунків", "Рахунки за січень"),
        ("принтера", "Принтеры не печатают"),
        ("spausdintuvo", "Spausdintuvai neveikia"),
        ("printer burned", "Printers are burning"),
        ("netisk", "Tiskárny netisknou"),
        ("\"за січень\"", "Рахунки за січень"),
        ("\"printers are\" -spausdintuvas", "Printers are burning"),
    ] {
        assert_eq!(titles_of(&server, client, asked).await, [expected], "{asked}");
    }
    for asked in ["\"are printers\"", "printers -burning", "tiskárna рахунок", "xyzzyx"] {
        assert_eq!(titles_of(&server, client, asked).await, Vec::<String>::new(), "{asked}");
    }
    let answer = found(&server, client, "printer burning").await;
    assert_eq!(told(&hits(&answer)[0]["title"]), "[Printers] are [burning]");
}

#[tokio::test]
async fn a_thread_leads_to_its_ticket_and_words_may_stand_in_different_messages() {
    let server = Server::start().await;
    let client = &server.admin;
    let one = ticket(client, "Heating").await;
    let other = ticket(client, "Cooling").await;
    note(client, &one, "The <b>boiler</b> leaks water in the cellar").await;
    note(client, &one, "A plumber was called").await;
    note(client, &other, "A plumber was called").await;
    client.run(&format!("/v1/tickets/{one}/reply"), json!({ "body": "We send somebody tomorrow" })).await;
    for asked in ["boiler", "boiler plumber", "heating tomorrow plumber", "\"leaks water\""] {
        assert_eq!(titles_of(&server, client, asked).await, ["Heating"], "{asked}");
    }
    assert_eq!(titles_of(&server, client, "plumber").await, ["Cooling", "Heating"]);
    assert_eq!(titles_of(&server, client, "plumber -boiler").await, ["Cooling"], "in any message");
    assert_eq!(titles_of(&server, client, "boiler cooling").await, Vec::<String>::new());
    let answer = found(&server, client, "boiler").await;
    let [hit] = hits(&answer)[..] else { panic!("{answer}") };
    let fragment = &hit["fragments"][0];
    assert_eq!(told(&fragment["text"]), "The <b>[boiler]</b> leaks water in the cellar", "text, never markup");
    assert!(fragment["part"].is_string() && fragment["writer"]["kind"] == "user", "{fragment}");
    assert_eq!(hit["links"]["self"], format!("/v1/tickets/{one}"));
    // A message that is moved leads to where it went; one that is out of sight nowhere.
    let thread = client.read(&format!("/v1/tickets/{one}/thread")).await;
    let message = thread["data"][0]["message_id"].clone();
    let split = json!({ "title": "The cellar", "messages": [message] });
    client.run(&format!("/v1/tickets/{one}/split"), split).await;
    assert_eq!(titles_of(&server, client, "boiler").await, ["The cellar"]);
    let redact = json!({ "message_id": message, "reason": "private" });
    let redacted = client.post(&format!("/v1/tickets/{one}/redact_message"), redact).await;
    assert!(redacted.status.is_success(), "{}", redacted.text);
    assert_eq!(titles_of(&server, client, "boiler").await, Vec::<String>::new());
}

#[tokio::test]
async fn every_kind_is_found_by_its_own_words() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Quokka").await;
    client.create("/v1/companies", json!({ "name": "Quokka Ltd" })).await;
    client.create("/v1/properties", json!({ "name": "Quokka House", "address": "Via Roma 5" })).await;
    client.create("/v1/enquiries", json!({ "name": "Quokka enquiry", "contact": maria })).await;
    client.create("/v1/deals", json!({ "name": "Quokka deal" })).await;
    client.create("/v1/leads", json!({ "name": "Quokka lead", "source": "web" })).await;
    client.create("/v1/tasks", json!({ "title": "Feed the quokka" })).await;
    product(client, "Quokka food").await;
    let about = ticket(client, "Quokka escaped").await;
    let comment = json!({ "subjects": [subject("ticket", &about)], "text": "The quokka is back" });
    client.create("/v1/comments", comment).await;
    let price = json!({ "amount": "5", "currency": "EUR" });
    let item = json!({ "name": "Quokka toy", "quantity": "1", "price": price });
    client.create("/v1/orders", json!({ "source": "shop", "items": [item] })).await;
    let started = json!({ "medium": "live_chat", "visitor": { "name": "Quokka fan" } });
    let conversation = client.create("/v1/conversations", started).await;
    let message = json!({ "body": "Is the wombat here too?" });
    client.run(&format!("/v1/conversations/{conversation}/receive_message"), message).await;
    let answer = found(&server, client, "quokka").await;
    let mut kinds: Vec<&str> =
        answer["data"].as_array().unwrap().iter().map(|group| group["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = [
        "comment",
        "company",
        "contact",
        "conversation",
        "deal",
        "enquiry",
        "lead",
        "order",
        "product",
        "property",
        "task",
        "ticket",
    ];
    assert_eq!(kinds, expected);
    for group in answer["data"].as_array().unwrap() {
        assert_eq!((&group["count"], &group["more"]), (&json!(1), &json!(false)), "{group}");
        for hit in group["hits"].as_array().unwrap() {
            let place = hit["links"]["self"].as_str().unwrap();
            client.get(place).await.expect(StatusCode::OK);
            let marked = told(&hit["title"])
                + &hit["fragments"].as_array().unwrap().iter().map(|f| told(&f["text"])).collect::<String>();
            assert!(marked.to_lowercase().contains("[quokka]"), "{hit}");
        }
    }
    let comment = answer["data"].as_array().unwrap().iter().find(|group| group["kind"] == "comment").unwrap();
    assert_eq!(comment["hits"][0]["links"]["about"], format!("/v1/tickets/{about}"));
    assert_eq!(ids(&found(&server, client, "wombat").await), [conversation]);
    let only = search(&server, client, "q=quokka&kind=deal,tickets&limit=1").await;
    assert_eq!(titles(&only), ["Quokka deal", "Quokka escaped"]);
}

#[tokio::test]
async fn people_are_found_by_phone_numbers_in_any_spelling_addresses_and_parts_of_them() {
    let server = Server::start().await;
    let client = &server.admin;
    let anna = json!({ "name": "Anna Nováková", "email": "a.novak@posta.example.com", "phone": "+420 777 123 456" });
    let anna = client.create("/v1/contacts", anna).await;
    let other = json!({ "name": "Petr Dvořák", "email": "petr@example.org", "phone": "+421 777 123 457" });
    client.create("/v1/contacts", other).await;
    let called = ticket(client, "Missed call").await;
    note(client, &called, "Call back: 00420 777-123-456 please").await;
    for asked in [
        "+420 777 123 456",
        "00420777123456",
        "777123456",
        "777 123 456",
        "+420-777-123-456",
        "(+420) 777 123 456",
        "123456",
    ] {
        let answer = found(&server, client, asked).await;
        assert!(ids(&answer).contains(&anna), "{asked}: {answer}");
        assert!(!titles(&answer).contains(&"Petr Dvořák".to_owned()), "{asked}: {answer}");
        if asked != "123456" {
            assert!(ids(&answer).contains(&called), "{asked}: {answer}");
        }
    }
    for asked in [
        "a.novak@posta.example.com",
        "novak",
        "posta",
        "novak@posta",
        "A.NOVAK@POSTA.EXAMPLE.COM",
        "nova",
        "@anna",
        "@nov",
    ] {
        assert_eq!(ids(&found(&server, client, asked).await), std::slice::from_ref(&anna), "{asked}");
    }
    let zuzana = client.create("/v1/users", json!({ "email": "zuzana@example.com", "name": "Zuzana Anna" })).await;
    ticket(client, "Anna is waiting").await;
    let mut people = ids(&found(&server, client, "@anna").await);
    people.sort();
    let mut expected = vec![anna.clone(), zuzana];
    expected.sort();
    assert_eq!(people, expected, "people alone");
    // Mistyped.
    let answer = found(&server, client, "Novakowa").await;
    assert_eq!((ids(&answer), &answer["similar"]), (vec![anna], &json!(true)));
    assert_eq!(found(&server, client, "novak").await["similar"], false);
}

#[tokio::test]
async fn an_exact_number_comes_first() {
    let server = Server::start().await;
    let client = &server.admin;
    let first = ticket(client, "First").await;
    ticket(client, "1 1 1 1 1").await;
    let second = ticket(client, "The second").await;
    for (asked, id) in [("1", &first), ("#1", &first), ("3", &second)] {
        let answer = found(&server, client, asked).await;
        let hit = hits(&answer)[0];
        assert_eq!((hit["id"].as_str().unwrap(), &hit["exact"]), (id.as_str(), &json!(true)), "{asked}: {answer}");
    }
    let answer = found(&server, client, "1").await;
    assert_eq!(hits(&answer)[1]["title"][0]["text"], "1");
}

#[tokio::test]
async fn fields_are_those_of_the_lists() {
    let server = Server::start().await;
    let client = &server.admin;
    let (agent, as_agent) = user_with(&server, "agent@example.com", &["*"]).await;
    let box_of = product(client, "Big Box").await;
    let maria = contact(client, "Maria Rossi").await;
    let grant = crate::world::grant(client, &box_of, "contact", &maria).await;
    let body =
        json!({ "title": "Alpha one", "requester": party("contact", &maria), "entitlement": grant, "tags": ["vip"] });
    let one = client.create("/v1/tickets", body).await;
    let two = ticket(client, "Alpha two").await;
    client.run(&format!("/v1/tickets/{one}/assign"), json!({ "assignee": agent })).await;
    client.run(&format!("/v1/tickets/{two}/close"), json!({})).await;
    client
        .run(
            &format!("/v1/tickets/{one}/receive_message"),
            json!({ "body": "From Maria herself", "from": party("contact", &maria) }),
        )
        .await;
    client.create("/v1/tasks", json!({ "title": "Alpha task" })).await;
    for (asked, expected) in [
        ("alpha status:closed", &["Alpha two"][..]),
        ("alpha -status:closed kind:ticket", &["Alpha one"]),
        ("alpha product:\"Big Box\"", &["Alpha one"]),
        ("product:\"big b\"", &["Alpha one"]),
        ("alpha assignee:me", &["Alpha one"]),
        ("assignee:me", &["Alpha one"]),
        ("alpha tag:vip", &["Alpha one"]),
        ("alpha kind:task", &["Alpha task"]),
        ("alpha -kind:ticket,tasks", &[]),
        ("from:maria", &["Alpha one"]),
        ("herself from:maria", &["Alpha one"]),
        ("herself from:me", &[]),
        ("alpha requester:rossi", &["Alpha one"]),
        ("alpha created:>2020-01-01 kind:task", &["Alpha task"]),
        ("alpha created:<2020-01-01 kind:task", &[]),
        ("alpha assignee:none kind:ticket", &["Alpha two"]),
    ] {
        assert_eq!(titles_of(&server, &as_agent, asked).await, expected, "{asked}");
    }
    for (asked, code) in [
        ("", "search_empty"),
        ("-x", "search_empty"),
        ("alpha nonsense:x", "search_field_unknown"),
        ("kind:nonsense", "search_kind_unknown"),
        ("priority:purple", "search_value_invalid"),
    ] {
        let problem = client.get(&format!("/v1/search?q={}", encoded(asked))).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], "/q", "{asked}: {problem}");
    }
    client.get(&format!("/v1/search?q={}", "x".repeat(501))).await.problem(422, "search_too_long");
    client.get("/v1/search?q=x&limit=51").await.problem(422, "limit_invalid");
    client.get("/v1/search?q=x&kind=x").await.problem(422, "search_kind_unknown");
    client.get("/v1/search?q=x&nonsense=1").await.problem(422, "parameter_invalid");
    assert_eq!(titles_of(&server, client, "\"alpha one").await, ["Alpha one"], "a quotation that is never closed");
}

#[tokio::test]
async fn what_somebody_does_not_see_is_in_no_hit_count_or_fragment() {
    let server = Server::start().await;
    let client = &server.admin;
    let (broker, own) =
        user_with(&server, "broker@example.com", &["property.*:own", "comment.*:own", "ticket.read:own"]).await;
    let (_, clerk) = user_with(&server, "clerk@example.com", &["contact.read"]).await;
    let mine = client.create("/v1/properties", json!({ "name": "Villa Gamma", "owner": broker })).await;
    let hidden = client.create("/v1/properties", json!({ "name": "Villa Gamma hidden" })).await;
    for (about, text) in [(&mine, "gamma seen"), (&hidden, "gamma unseen")] {
        client.create("/v1/comments", json!({ "subjects": [subject("property", about)], "text": text })).await;
    }
    contact(client, "Gamma Ray").await;
    let secret = ticket(client, "Gamma ticket").await;
    note(client, &secret, "gamma note").await;
    let answer = found(&server, &own, "gamma").await;
    assert_eq!(titles(&answer), ["", "Villa Gamma"], "{answer}");
    for group in answer["data"].as_array().unwrap() {
        assert_eq!(group["count"], 1, "{group}");
    }
    assert!(!answer.to_string().contains("unseen") && !answer.to_string().contains("hidden"), "{answer}");
    assert_eq!(titles_of(&server, &clerk, "gamma").await, ["Gamma Ray"]);
    assert_eq!(titles_of(&server, &own, "name:gamma kind:property").await, ["Villa Gamma"]);
    // What is shared is found at once.
    let share = json!({ "grantee": broker, "level": "read" });
    client.run(&format!("/v1/properties/{hidden}/share"), share).await;
    assert_eq!(
        found(&server, &own, "gamma").await["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g["count"].as_u64().unwrap())
            .sum::<u64>(),
        4
    );
    let nobody = user_with(&server, "none@example.com", &[]).await.1;
    assert_eq!(titles_of(&server, &nobody, "gamma").await, Vec::<String>::new());
    assert_eq!(found(&server, &nobody, "1").await["data"], json!([]));
    // Another tenant finds nothing.
    let other = server.another_tenant("Other").await;
    assert_eq!(hits(&other.read("/v1/search?q=gamma").await).len(), 0);
}

#[tokio::test]
async fn what_only_colleagues_may_see_is_found_by_them_alone() {
    let server = Server::start().await;
    let client = &server.admin;
    let maria = contact(client, "Maria Rossi").await;
    let body = json!({ "title": "Keys", "requester": party("contact", &maria) });
    let keys = client.create("/v1/tickets", body).await;
    note(client, &keys, "Whisper in a note").await;
    let secret = json!({ "subjects": [party("contact", &maria)], "text": "Whisper in a comment", "internal": true });
    client.create("/v1/comments", secret).await;
    client.run(&format!("/v1/contacts/{maria}/add_note"), json!({ "text": "Whisper about her" })).await;
    client.run(&format!("/v1/tickets/{keys}/reply"), json!({ "body": "Spoken aloud" })).await;
    assert_eq!(hits(&found(&server, client, "whisper").await).len(), 3);
    let for_maria = client.header("deskfold-on-behalf-of", &maria);
    let answer = found(&server, &for_maria, "whisper").await;
    assert_eq!(answer["data"], json!([]), "{answer}");
    assert_eq!(titles_of(&server, &for_maria, "aloud").await, ["Keys"]);
    assert_eq!(
        titles_of(&server, &for_maria, "keys -whisper").await,
        ["Keys"],
        "nobody learns of it by leaving it out"
    );
    assert_eq!(titles_of(&server, client, "keys -whisper").await, Vec::<String>::new());
}

#[tokio::test]
async fn merged_records_lead_to_the_one_that_goes_on_and_what_is_put_away_is_found_on_request() {
    let server = Server::start().await;
    let client = &server.admin;
    let kept = ticket(client, "Kept").await;
    let gone = ticket(client, "Zebra in the garden").await;
    note(client, &gone, "It has stripes").await;
    client.run(&format!("/v1/tickets/{gone}/merge"), json!({ "into": kept })).await;
    for asked in ["zebra", "stripes", "zebra stripes"] {
        let answer = found(&server, client, asked).await;
        let [hit] = hits(&answer)[..] else { panic!("{asked}: {answer}") };
        assert_eq!((&hit["id"], &hit["merged"]), (&json!(kept), &json!(gone)), "{asked}");
        assert_eq!(told(&hit["title"]), "Kept");
        assert!(hit["fragments"].to_string().contains("true"), "{hit}");
    }
    let put_away = contact(client, "Zebra Finch").await;
    client.run(&format!("/v1/contacts/{put_away}/archive"), json!({})).await;
    assert_eq!(titles_of(&server, client, "finch").await, Vec::<String>::new());
    assert_eq!(titles_of(&server, client, "finch is:archived").await, ["Zebra Finch"]);
    let answer = search(&server, client, "q=finch&archived=true").await;
    assert_eq!((titles(&answer), &hits(&answer)[0]["archived"]), (vec!["Zebra Finch".to_owned()], &json!(true)));
    let text = json!({ "subjects": [party("ticket", &kept)], "text": "Zebra crossing" });
    let comment = client.create("/v1/comments", text).await;
    assert_eq!(hits(&found(&server, client, "crossing").await).len(), 1);
    client.run(&format!("/v1/comments/{comment}/delete"), json!({})).await;
    assert_eq!(hits(&found(&server, client, "crossing").await).len(), 0);
    let renamed = json!({ "title": "Quagga" });
    client.patch(&format!("/v1/tickets/{kept}"), renamed).await;
}

#[tokio::test]
async fn an_answer_says_what_it_reflects_and_waits_for_what_was_written() {
    let server = Server::start().await;
    let client = &server.admin;
    for turn in 0..5 {
        let reply = client.post("/v1/tickets", json!({ "title": format!("Turn number{turn}") })).await;
        let position = reply.json()["position"].as_i64().unwrap();
        let reply = client.get(&format!("/v1/search?q=number{turn}&min_position={position}")).await;
        let answer = reply.expect(StatusCode::OK);
        assert_eq!(hits(&answer).len(), 1, "{answer}");
        assert!(answer["position"].as_i64().unwrap() >= position, "{answer}");
        assert_eq!(reply.header("deskfold-position"), answer["position"].to_string());
    }
    client.get("/v1/search?q=x&min_position=1000000").await.problem(422, "position_ahead");
}

#[tokio::test]
async fn of_what_very_many_records_have_the_newest_are_told_and_that_there_are_others() {
    let server = Server::start().await;
    let client = &server.admin;
    for number in 1..=305 {
        ticket(client, &format!("Common trouble no{number}")).await;
    }
    let answer = search(&server, client, "q=common%20&limit=50").await;
    let group = &answer["data"][0];
    assert_eq!((&group["count"], &group["more"]), (&json!(300), &json!(true)));
    let numbers: Vec<i64> = hits(&answer).iter().map(|hit| hit["number"].as_i64().unwrap()).collect();
    assert!(numbers.len() == 50 && numbers.iter().all(|number| *number > 5), "{numbers:?}");
    // What is rare is found however old it is.
    assert_eq!(titles_of(&server, client, "common no1 ").await, ["Common trouble no1"]);
    assert_eq!(titles_of(&server, client, "\"trouble no2\"").await, ["Common trouble no2"]);
    let narrowed = search(&server, client, "q=common%20-no305%20kind:ticket&limit=1").await;
    assert_eq!((&narrowed["data"][0]["count"], &narrowed["data"][0]["more"]), (&json!(299), &json!(true)));
}
