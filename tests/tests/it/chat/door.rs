//! The door of channels: files are what they were found to be, teams decide over their own channels, agents see the chats that they
//! answer, and whoever floods, hides or claims is told.

use std::path::Path;

use deskfold_tests::{Client, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    live::Screen,
    replies::with_key,
    visitors::{at, visitor, writes},
};
use crate::world::{NOBODY, shipped_role, texts, ticket};

/// Sends a file as whatever media type; its upload.
async fn send(client: &Client, name: &str, bytes: Vec<u8>) -> String {
    let request = client.request(Method::POST, "/v1/uploads").query(&[("name", name)]);
    let sent = client.send(request.header("content-type", "image/png").body(bytes)).await.expect(StatusCode::CREATED);
    sent["id"].as_str().unwrap().to_owned()
}

fn of(file: &Value) -> (&Value, &Value) {
    (&file["media_type"], &file["size"])
}

#[tokio::test]
async fn a_file_is_what_it_was_found_to_be_whoever_names_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let text = send(admin, "notes.txt", b"Good day".to_vec()).await;
    let lie = json!({ "upload_id": text, "name": "photo.png", "media_type": "image/png", "size": 1 });
    let truth = (&json!("text/plain"), &json!(8));

    // In a ticket, in a conversation, in what a channel brings, in a quick reply and in what changes it.
    let ticket = ticket(admin, "Broken").await;
    admin.run(&format!("/v1/tickets/{ticket}/reply"), json!({ "body": "See", "attachments": [lie] })).await;
    let chat = admin.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    admin
        .run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": "See", "attachments": [lie] }))
        .await;
    let told = admin.create("/v1/channels", json!({ "kind": "api", "name": "Program" })).await;
    let message = json!({ "external_id": "1", "sender": "maria", "body": "See", "attachments": [lie] });
    let taken = admin.post(&format!("/v1/channels/{told}/messages"), message).await.expect(StatusCode::CREATED);
    let reply = json!({ "name": "See", "text": "See", "attachments": [lie] });
    let reply = admin.create("/v1/quick_replies", reply).await;
    server.settle().await;
    let first = |thread: &Value| thread["data"][0]["attachments"][0].clone();
    assert_eq!(of(&first(&admin.read(&format!("/v1/tickets/{ticket}/thread")).await)), truth);
    assert_eq!(of(&first(&admin.read(&format!("/v1/conversations/{chat}/messages")).await)), truth);
    let brought = taken["id"].as_str().unwrap();
    assert_eq!(of(&first(&admin.read(&format!("/v1/conversations/{brought}/messages")).await)), truth);
    let read = admin.read(&format!("/v1/quick_replies/{reply}")).await;
    assert_eq!(of(&read["attachments"][0]), truth);
    // To say the same lie again changes nothing.
    let same = admin.patch(&format!("/v1/quick_replies/{reply}"), json!({ "attachments": [lie] })).await;
    assert_eq!(same.expect(StatusCode::OK)["events"], json!([]));

    // A channel's limits are held against that: a lie passes nothing, and a truth about another file does not either.
    let instagram = admin.create("/v1/channels", json!({ "kind": "instagram", "name": "Instagram" })).await;
    let message = json!({ "external_id": "1", "sender": "maria", "body": "Good day" });
    let chat = admin.post(&format!("/v1/channels/{instagram}/messages"), message).await.expect(StatusCode::CREATED);
    let says = format!("/v1/conversations/{}/send_message", chat["id"].as_str().unwrap());
    let refused = admin.post(&says, json!({ "body": "", "attachments": [lie] })).await;
    let refused = refused.problem(422, "conversation_message_unsendable");
    assert_eq!(refused["errors"][0]["pointer"], "/attachments", "{refused}");
    let bare = json!({ "upload_id": text, "name": "photo.png" });
    admin
        .post(&says, json!({ "body": "", "attachments": [bare] }))
        .await
        .problem(422, "conversation_message_unsendable");
    let large = send(admin, "long.pdf", [b"%PDF-1.7\n".to_vec(), vec![b' '; 16 << 20]].concat()).await;
    let small = json!({ "upload_id": large, "name": "long.pdf", "media_type": "application/pdf", "size": 9 });
    let refused = admin.post(&says, json!({ "body": "", "attachments": [small] })).await;
    let refused = refused.problem(422, "conversation_message_unsendable");
    assert!(refused["detail"].as_str().unwrap().contains("larger"), "{refused}");
}

#[tokio::test]
async fn a_teams_own_channel_follows_its_team() {
    let server = Server::start().await;
    let admin = &server.admin;
    let team = admin.create("/v1/teams", json!({ "name": "Help desk" })).await;
    let does = async |command: &str, body: Value| {
        admin.run(&format!("/v1/teams/{team}/{command}"), body).await;
        server.settle().await;
    };
    does("enable_channel", json!({ "kind": "live_chat" })).await;
    let channels = async || {
        let list = admin.read("/v1/channels?sort=kind").await;
        let each = list["data"].as_array().unwrap().clone();
        each.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect::<Vec<_>>()
    };
    let named = async || channels().await.into_iter().map(|(_, row)| row["name"].clone()).collect::<Vec<_>>();
    let open = async || channels().await.into_iter().map(|(_, row)| row["enabled"].clone()).collect::<Vec<_>>();
    assert_eq!(named().await, ["Help desk", "Help desk"]);
    let live = channels().await.into_iter().find(|(_, row)| row["kind"] == "live_chat").unwrap().0;
    let maria = visitor(&server, "maria");
    writes(&maria, &live, "1", "Good day").await;

    // They are called as the team is, as long as nobody calls them otherwise.
    does("rename", json!({ "name": "Care" })).await;
    assert_eq!(named().await, ["Care", "Care"]);
    admin.run(&format!("/v1/channels/{live}/rename"), json!({ "name": "Talk to us" })).await;
    does("rename", json!({ "name": "Happiness" })).await;
    assert_eq!(named().await, ["Happiness", "Talk to us"]);

    // They close with it, for visitors too, and nobody opens them against it.
    does("archive", json!({})).await;
    assert_eq!(open().await, [false, false]);
    maria.get(&at(&live, "config")).await.problem(409, "channel_disabled");
    let late = json!({ "external_id": "2", "body": "Are you there?" });
    maria.post(&at(&live, "messages"), late).await.problem(409, "channel_disabled");
    let enable = format!("/v1/channels/{live}/enable");
    admin.post(&enable, json!({})).await.problem(409, "channel_team_closed");
    does("restore", json!({})).await;
    assert_eq!(open().await, [true, true]);
    writes(&maria, &live, "2", "Are you there?").await;

    // What was closed by hand stays closed; the team's switch decides, and says so once.
    admin.run(&format!("/v1/channels/{live}/disable"), json!({})).await;
    does("archive", json!({})).await;
    does("restore", json!({})).await;
    assert_eq!(open().await, [true, false]);
    admin.run(&enable, json!({})).await;
    does("disable_channel", json!({ "kind": "live_chat" })).await;
    admin.post(&enable, json!({})).await.problem(409, "channel_team_closed");
    does("enable_channel", json!({ "kind": "live_chat" })).await;
    assert_eq!(open().await, [true, true]);
    let log = admin.read(&format!("/v1/events?stream=channel-{live}&limit=100")).await;
    let kinds: Vec<_> = log["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == format!("channel.{kind}")).count();
    assert_eq!((count("suspended"), count("resumed"), count("connected")), (1, 1, 1), "{kinds:?}");
}

#[tokio::test]
async fn an_agent_sees_the_chats_of_the_channels_that_he_answers() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna, annas) = with_key(&server, "Anna", "agent").await;
    let (_, viewer) = with_key(&server, "Vera", "viewer").await;
    let [shop, bank] = ["Shop", "Bank"].map(|name| json!({ "kind": "live_chat", "name": name }));
    let (shop, bank) = (admin.create("/v1/channels", shop).await, admin.create("/v1/channels", bank).await);
    let brings = async |channel: &str, who: &str| {
        let message = json!({ "external_id": who, "sender": who, "body": "Good day" });
        let taken = admin.post(&format!("/v1/channels/{channel}/messages"), message).await;
        taken.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    };
    let (of_shop, of_bank) = (brings(&shop, "maria").await, brings(&bank, "boris").await);
    let sees = async |client: &Client| {
        server.settle().await;
        let list = client.read("/v1/conversations?sort=id").await;
        list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((sees(&annas).await.len(), sees(&viewer).await.len()), (0, 2));
    annas.get(&format!("/v1/conversations/{of_shop}")).await.problem(404, "conversation_unknown");
    annas.post(&format!("/v1/conversations/{of_shop}/claim"), json!({})).await.problem(404, "conversation_unknown");

    // She joins, and sees, takes and is given what is said there; nothing of the other one.
    annas.run(&format!("/v1/channels/{shop}/join"), json!({})).await;
    assert_eq!(sees(&annas).await, [&*of_shop]);
    annas.run(&format!("/v1/conversations/{of_shop}/claim"), json!({})).await;
    annas.run(&format!("/v1/conversations/{of_shop}/send_message"), json!({ "body": "Good day!" })).await;
    let give = |who: &str| json!({ "assignee": who });
    admin
        .post(&format!("/v1/conversations/{of_bank}/assign"), give(&anna))
        .await
        .problem(422, "conversation_not_an_operator");
    // A colleague who is new is invited straight into the channel: the user, the role and the access at once, or nothing.
    let role = shipped_role(admin, "agent").await;
    let invite = format!("/v1/channels/{shop}/invite_operator");
    let eva = json!({ "email": "eva@example.com", "name": "Eva", "role": role });
    annas.post(&invite, eva.clone()).await.problem(403, "permission_denied");
    let plan = json!({ "tenant": server.tenant, "plan": { "name": "Team", "seats": 3 } });
    admin.put("/v1/plan", plan).await.expect(StatusCode::OK);
    admin.post(&invite, eva.clone()).await.problem(409, "seats_taken");
    let plan = json!({ "tenant": server.tenant, "plan": { "name": "Team", "seats": 5 } });
    admin.put("/v1/plan", plan).await.expect(StatusCode::OK);
    let invited = admin.post(&invite, eva.clone()).await.expect(StatusCode::OK);
    let id = invited["events"][0]["data"]["user"].as_str().unwrap();
    server.settle().await;
    let user = admin.read(&format!("/v1/users/{id}")).await;
    assert_eq!((&user["status"], &user["role_ids"]), (&json!("invited"), &json!([role])), "{user}");
    let shown = admin.read(&format!("/v1/channels/{shop}")).await;
    assert!(shown["operator_ids"].as_array().unwrap().contains(&json!(id)), "{shown}");
    let again = json!({ "email": "eva@example.com", "name": "Eva", "role": role });
    admin.post(&format!("/v1/channels/{bank}/invite_operator"), again).await.problem(409, "user_email_taken");
    // What she begins herself is hers, and what she is let go from is not hers any more.
    let own = annas.create("/v1/conversations", json!({ "medium": "telegram" })).await;
    annas.run(&format!("/v1/channels/{shop}/leave"), json!({})).await;
    assert_eq!(sees(&annas).await, [&*own]);
    let permits = admin.read(&format!("/v1/roles/{role}")).await["permissions"].to_string();
    assert!(permits.contains("\"conversation.*:own\"") && !permits.contains("\"conversation.read\""), "{permits}");
}

/// A MaxMind file in which one half of all addresses (0.0.0.0/1) is of one country, and of nothing else is anything known.
fn countries(file: &Path, code: &str) {
    let text = |said: &str| [&[0x40 | u8::try_from(said.len()).unwrap()][..], said.as_bytes()].concat();
    let map = |pairs: &[(&str, Vec<u8>)]| {
        let members = pairs.iter().flat_map(|(name, value)| [text(name), value.clone()].concat());
        [0xE0 | u8::try_from(pairs.len()).unwrap()].into_iter().chain(members).collect::<Vec<u8>>()
    };
    let short = |number: u16| [&[0xA2][..], &number.to_be_bytes()].concat();
    let long = |number: u32| [&[0xC4][..], &number.to_be_bytes()].concat();
    let longer = |number: u64| [&[0x08, 0x02][..], &number.to_be_bytes()].concat();
    // One node of two records of 24 bits: the first leads to the data behind the tree, the second to nothing.
    let nodes = 1u8;
    let tree = [0, 0, nodes + 16, 0, 0, nodes];
    let data = map(&[("country", map(&[("iso_code", text(code))]))]);
    let about = map(&[
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", longer(1_767_225_600)),
        ("database_type", text("Country")),
        ("ip_version", short(4)),
        ("languages", vec![0x00, 0x04]),
        ("node_count", long(u32::from(nodes))),
        ("record_size", short(24)),
        ("description", map(&[])),
    ]);
    let whole = [&tree[..], &[0; 16], &data, b"\xAB\xCD\xEFMaxMind.com", &about].concat();
    std::fs::write(file, whole).unwrap();
}

#[tokio::test]
async fn a_country_is_believed_from_whom_one_trusts_and_streams_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countries.mmdb");
    countries(&file, "it");
    let known = file.to_str().unwrap();
    let plain = ["--country-header", "cf-ipcountry", "--country-database", known, "--visitor-streams", "20"];
    let server = Server::with(&plain).await;
    let admin = &server.admin;
    let channel = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Shop" })).await;
    let shows = |country: &str, display: &str| json!({ "rule": { "countries": [country], "display": display } });
    let rules = format!("/v1/channels/{channel}/add_display_rule");
    admin.run(&rules, shows("DE", "hide")).await;
    admin.run(&rules, shows("IT", "show_with_notification")).await;
    let display = async |client: &Client| client.read(&at(&channel, "config")).await["display"].clone();
    // Whoever asks by himself is from where his address is, whatever he says; a proxy that is trusted is believed, and tells the address.
    let maria = visitor(&server, "maria");
    assert_eq!(display(&maria).await, "show_with_notification");
    assert_eq!(display(&maria.header("cf-ipcountry", "DE")).await, "show_with_notification");
    let (_trusting, theirs) = server.beside(&[&plain[..], &["--trusted-proxies", "127.0.0.0/8"]].concat()).await;
    let through = |lines: &[(&str, &str)]| {
        let mut bare = theirs.clone();
        bare.key = format!("dfv_{:A<43}", "maria");
        lines.iter().fold(bare, |client, (name, value)| client.header(name, value))
    };
    assert_eq!(display(&through(&[("cf-ipcountry", "de")])).await, "hide");
    assert_eq!(
        display(&through(&[("cf-ipcountry", "XX"), ("x-forwarded-for", "93.1.1.1")])).await,
        "show_with_notification"
    );
    assert_eq!(display(&through(&[("x-forwarded-for", "193.1.1.1")])).await, "show");

    // A visitor has a tenth of the streams that an address may have open, and what is closed counts no more.
    let chat = writes(&maria, &channel, "1", "Good day").await;
    let stream = at(&channel, "stream");
    let first = Screen::of(&maria, &stream).await;
    let second = Screen::of(&maria, &stream).await;
    let refused = maria.get(&stream).await;
    refused.problem(429, "streams_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    let paolo = visitor(&server, "paolo");
    writes(&paolo, &channel, "1", "Good day").await;
    drop(Screen::of(&paolo, &stream).await);
    drop(first);
    let again =
        deskfold_tests::until(async || maria.request(Method::GET, &stream).send().await.unwrap().status() == 200).await;
    assert!(again, "what is closed counts no more");
    drop(second);

    // What makes no sense where one resumes is refused, in the inbox too.
    for (client, stream) in [(&paolo, stream.as_str()), (admin, "/v1/inbox/stream")] {
        for odd in ["x", "-1", "99999999999999999999"] {
            client.header("last-event-id", odd).get(stream).await.problem(400, "last_event_id_invalid");
        }
        client.header("last-event-id", "999999").get(stream).await.problem(422, "position_ahead");
        client.get(&format!("{stream}?after=999999")).await.problem(422, "position_ahead");
    }

    // Names that tell nobody apart, and times to come.
    let brings = async |message: Value| admin.post(&format!("/v1/channels/{channel}/messages"), message).await;
    brings(json!({ "external_id": "x", "sender": " ", "body": "x" })).await.problem(422, "channel_name_unfit");
    brings(json!({ "external_id": "", "sender": "x", "body": "x" })).await.problem(422, "channel_name_unfit");
    let ahead = json!({ "external_id": "t", "sender": "x", "body": "x", "written_at": "2199-01-01T00:00:00Z" });
    let taken = brings(ahead).await.expect(StatusCode::CREATED);
    server.settle().await;
    let messages = admin.read(&format!("/v1/conversations/{}/messages", taken["id"].as_str().unwrap())).await;
    let message = &messages["data"][0];
    assert_eq!(message["claimed_at"], "2199-01-01T00:00:00Z", "{message}");
    assert!(message["written_at"].as_str().unwrap() < "2199");

    // A chat that has become a ticket does not become one of a team that there is not.
    let convert = format!("/v1/conversations/{}/convert_to_ticket", chat["conversation"].as_str().unwrap());
    admin.run(&convert, json!({})).await;
    admin.post(&convert, json!({ "team": NOBODY })).await.problem(422, "team_unfit");
    assert!(admin.run(&convert, json!({})).await.is_empty());
    let script = |steps: usize| {
        let step = |n: usize| json!({ "id": format!("s{n}"), "type": "message", "text": "Good day" });
        json!({ "script": { "steps": (0..steps).map(step).collect::<Vec<_>>() } })
    };
    admin.post("/v1/chatbots/rehearse", script(0)).await.problem(422, "chatbot_script_empty");
    admin.post("/v1/chatbots/rehearse", script(2000)).await.problem(422, "chatbot_script_too_long");
}

#[tokio::test]
async fn an_agencys_own_site_shows_what_is_published_and_hands_enquiries_in() {
    let server = Server::start().await;
    let admin = &server.admin;
    let site = admin.create("/v1/channels", json!({ "kind": "website", "name": "example.com" })).await;
    let origins = json!({ "allowed_origins": ["https://www.example.com"] });
    admin.run(&format!("/v1/channels/{site}/change_settings"), origins).await;
    let property = async |name: &str, city: &str, amount: &str, published: bool| {
        let price = json!({ "amount": amount, "currency": "EUR" });
        let body =
            json!({ "name": name, "city": city, "price": price, "rooms": 3, "area": "80", "tags": ["internal"] });
        let id = admin.create("/v1/properties", body).await;
        if published {
            admin.run(&format!("/v1/properties/{id}/publish_to_portal"), json!({ "portal": "website" })).await;
        }
        id
    };
    let loft = property("Loft", "Rome", "300000", true).await;
    let house = property("House", "Milan", "500000", true).await;
    let secret = property("Secret", "Rome", "100", false).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(640, 480).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let photo = send(admin, "front.png", png.into_inner()).await;
    let media = json!({ "upload_id": photo, "caption": "The front" });
    admin.run(&format!("/v1/properties/{loft}/add_media"), media).await;
    server.settle().await;

    // Whoever comes needs no key, sees what is published, and of that what the world may see.
    let nobody = server.client("");
    let at = |what: &str| format!("/site/{site}/{what}");
    let page = nobody.read(&at("properties?order=cheapest")).await;
    assert_eq!(texts(&page, "name"), ["Loft", "House"]);
    assert!(!page.to_string().contains("internal") && page["data"][0].get("owner_id").is_none(), "{page}");
    let picture = &page["data"][0]["pictures"][0];
    assert_eq!((&picture["caption"], &picture["file"]["media_type"]), (&json!("The front"), &json!("image/png")));
    let path = picture["file"]["thumbnail"]["url"].as_str().unwrap();
    assert_eq!(nobody.request(Method::GET, path).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(texts(&nobody.read(&at("properties?city=rome&rooms_from=2&q=lof")).await, "name"), ["Loft"]);
    assert_eq!(texts(&nobody.read(&at("properties?currency=eur&price_from=400000")).await, "name"), ["House"]);
    assert!(texts(&nobody.read(&at("properties?purpose=rent")).await, "name").is_empty());
    nobody.get(&at("properties?price_to=1")).await.problem(422, "currency_missing");
    nobody.get(&at("properties?limit=0")).await.problem(422, "limit_invalid");
    nobody.get(&at("properties?after=x")).await.problem(422, "cursor_invalid");
    // Page by page, and not again what one has already.
    let first = nobody.read(&at("properties?limit=1")).await;
    let next = first["next"].as_str().unwrap();
    let second = nobody.read(&at(&format!("properties?limit=1&after={next}"))).await;
    assert_eq!((texts(&first, "name"), texts(&second, "name")), (vec!["House".into()], vec!["Loft".into()]));
    assert_eq!(second["next"], Value::Null);
    let whole = nobody.get(&at(&format!("properties/{loft}"))).await;
    let same = nobody.header("if-none-match", whole.header("etag")).get(&at(&format!("properties/{loft}"))).await;
    assert_eq!((whole.json()["name"].clone(), same.status), (json!("Loft"), StatusCode::NOT_MODIFIED));
    nobody.get(&at(&format!("properties/{secret}"))).await.problem(404, "property_unknown");
    let foreign = nobody.header("origin", "https://evil.example");
    foreign.get(&at("properties")).await.problem(403, "origin_not_allowed");

    // An enquiry is taken in once: with whom it is found or made, and what is looked for.
    let asks =
        json!({ "external_id": "7", "name": "Maria", "email": "maria@example.com", "text": "Free?", "property": loft });
    let ours = nobody.header("origin", "https://www.example.com");
    let taken = ours.post(&at("enquiries"), asks.clone()).await.expect(StatusCode::CREATED);
    assert_eq!(ours.post(&at("enquiries"), asks).await.expect(StatusCode::OK), taken);
    let again = json!({ "external_id": "8", "name": "M.", "email": "Maria@example.com" });
    let other = ours.post(&at("enquiries"), again).await.expect(StatusCode::CREATED);
    server.settle().await;
    let read = async |taken: &Value| admin.read(&format!("/v1/enquiries/{}", taken["enquiry"].as_str().unwrap())).await;
    let (enquiry, other) = (read(&taken).await, read(&other).await);
    assert_eq!((&enquiry["name"], &enquiry["source"]), (&json!("Loft"), &json!("website")));
    assert_eq!((&enquiry["criteria"]["text"], &enquiry["criteria"]["cities"]), (&json!("Free?"), &json!(["Rome"])));
    assert_eq!(enquiry["contact_id"], other["contact_id"]);
    let bare = json!({ "external_id": "9", "name": "Maria" });
    ours.post(&at("enquiries"), bare).await.problem(422, "enquiry_unreachable");
    let hidden = json!({ "external_id": "9", "name": "Maria", "phone": "1", "property": secret });
    ours.post(&at("enquiries"), hidden).await.problem(422, "property_unpublished");

    // What is published no longer is gone, and so is the whole when the channel is closed.
    admin.run(&format!("/v1/properties/{house}/unpublish_from_portal"), json!({ "portal": "website" })).await;
    server.settle().await;
    assert_eq!(texts(&nobody.read(&at("properties")).await, "name"), ["Loft"]);
    let chat = admin.create("/v1/channels", json!({ "kind": "live_chat", "name": "Chat" })).await;
    nobody.get(&format!("/site/{chat}/properties")).await.problem(404, "channel_unknown");
    nobody.get(&format!("/chat/{site}/config")).await.problem(404, "channel_unknown");
    admin.run(&format!("/v1/channels/{site}/disable"), json!({})).await;
    nobody.get(&at("properties")).await.problem(409, "channel_disabled");
}
