//! Mail: what comes becomes a ticket or a message in one, what is answered leaves, and nobody enters a thread that is none of his.

use std::{io::Write, process::Stdio, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use deskfold_tests::{Client, PostOffice, Reply, Server, free_port, until};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    ground::program::deskfold,
    org::pictures::PIXEL,
    world::{condition, filtered, texts},
};

/// The server with a team whose alias is `support`, under `desk.example`; its channel of mail.
async fn desk(server: &Server) -> String {
    let client = &server.admin;
    client.run("/v1/tenants/current/set_alias_domain", json!({ "domain": "desk.example" })).await;
    let team = client.create("/v1/teams", json!({ "name": "Support" })).await;
    server.settle().await;
    let channels = client.read(&filtered("/v1/channels", &condition("team_id", "eq", &*team))).await;
    assert_eq!(channels["data"][0]["address"], "support@desk.example");
    channels["data"][0]["id"].as_str().unwrap().to_owned()
}

/// A mail of these header fields and this text.
fn mail(fields: &[(&str, &str)], text: &str) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{}\r\n{}\r\n", fields.concat(), text.replace('\n', "\r\n"))
}

async fn post(client: &Client, channel: &str, raw: &str) -> Reply {
    let request = client.request(Method::POST, &format!("/v1/channels/{channel}/email"));
    client.send(request.header("content-type", "message/rfc822").body(raw.to_owned())).await
}

/// Brings a mail in, and tells what became of it.
async fn brought(server: &Server, channel: &str, raw: &str) -> Value {
    let kept = post(&server.admin, channel, raw).await.json()["id"].as_str().unwrap().to_owned();
    server.settle().await;
    server.admin.read(&format!("/v1/emails/{kept}")).await
}

async fn thread(client: &Client, ticket: &str) -> Vec<Value> {
    client.read(&format!("/v1/tickets/{ticket}/thread")).await["data"].as_array().unwrap().clone()
}

/// The value of a header field, unfolded.
fn field<'a>(mail: &'a str, name: &str) -> &'a str {
    let head = mail.split("\r\n\r\n").next().unwrap();
    let line =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())));
    line.unwrap_or_else(|| panic!("no {name} in {mail}")).split_once(':').unwrap().1.trim()
}

fn bracketed(text: &str) -> &str {
    text.trim_start_matches('<').trim_end_matches('>')
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_writes_from_a_real_mailbox_and_is_answered_there() {
    let Some(office) = PostOffice::start(&["customer", "other", "help"]) else { return };
    let (lmtp, smtp) = (format!("127.0.0.1:{}", office.desk), format!("smtp+plain://127.0.0.1:{}", office.smtp));
    let server = Server::with(&["--lmtp", &lmtp, "--smtp-url", &smtp, "--private-addresses"]).await;
    let client = &server.admin;
    let channel = desk(&server).await;
    let first = [
        ("From", "Maria Rossi <customer@mail.example>"),
        ("To", "Support <support@desk.example>"),
        ("Subject", "The display stays dark"),
        ("Message-ID", "<first@mail.example>"),
        ("Date", "Sun, 29 Nov 2026 09:00:00 +0000"),
    ];
    office.send("customer@mail.example", &["support@desk.example"], &mail(&first, "Since the update.\n\n-- \nMaria"));
    comes(&server, &office, async || client.read("/v1/tickets").await["data"].as_array().unwrap().len() == 1).await;
    let ticket = client.read("/v1/tickets").await["data"][0].clone();
    assert_eq!((&ticket["title"], &ticket["channel"]), (&json!("The display stays dark"), &json!("email")));
    assert_eq!(ticket["requester_name"], "Maria Rossi");
    let id = ticket["id"].as_str().unwrap();
    let said = thread(client, id).await;
    assert_eq!((said.len(), &said[0]["external_id"]), (1, &json!("first@mail.example")));
    assert!(said[0]["body"].as_str().unwrap().starts_with("Since the update."));

    // What is answered lies in the customer's mailbox, threads there, and comes back to the ticket.
    client.run(&format!("/v1/tickets/{id}/reply"), json!({ "body": "Please hold the power key." })).await;
    server.settle().await;
    assert!(until(async || office.mailbox("customer").len() == 1).await, "{}", office.log());
    let answer = office.mailbox("customer").remove(0);
    assert_eq!(field(&answer, "Subject"), "Re: The display stays dark [#1]");
    assert_eq!(
        (field(&answer, "In-Reply-To"), field(&answer, "To")),
        ("<first@mail.example>", "\"Maria Rossi\" <customer@mail.example>")
    );
    assert!(field(&answer, "From").ends_with("<support@desk.example>"), "{answer}");
    assert!(answer.contains("Please hold the power key."));
    let reply_to = field(&answer, "Reply-To");
    let reply_to = bracketed(&reply_to[reply_to.find('<').unwrap()..]).to_owned();
    assert!(reply_to.starts_with("support+t"), "{reply_to}");
    let said = thread(client, id).await;
    let message_id = bracketed(field(&answer, "Message-ID")).to_owned();
    assert_eq!((&said[1]["delivery"], &said[1]["external_id"]), (&json!("sent"), &json!(message_id)));
    let second = [
        ("From", "customer@mail.example"),
        ("To", &*reply_to),
        ("Subject", "Re: something else"),
        ("Message-ID", "<second@mail.example>"),
    ];
    let words = "It works!\n\nOn Sun, 29 Nov 2026 at 10:00, Support <support@desk.example> wrote:\n> Please hold the power key.";
    office.send("customer@mail.example", &[&reply_to], &mail(&second, words));
    comes(&server, &office, async || thread(client, id).await.len() == 3).await;
    let said = thread(client, id).await;
    assert_eq!(said[2]["body"], "It works!");
    let by = client.read(&format!("/v1/emails/{}", said[2]["email_id"].as_str().unwrap())).await;
    assert_eq!((&by["matched_by"], &by["ticket_id"], &by["status"]), (&json!("token"), &json!(id), &json!("taken")));
    let content = client.read(&format!("/v1/emails/{}/content", said[2]["email_id"].as_str().unwrap())).await;
    assert!(
        content["text"].as_str().unwrap().contains("> Please hold") && content["answer"] == "It works!",
        "{content}"
    );

    // Who has no mailbox: the news comes back, and the reply has failed.
    let nobody = client.create("/v1/contacts", json!({ "name": "Nobody", "email": "nobody@mail.example" })).await;
    let team = client.read(&format!("/v1/channels/{channel}")).await["team_id"].clone();
    let asked =
        json!({ "title": "Lost", "requester": { "kind": "contact", "id": nobody }, "channel": "email", "team": team });
    let lost = client.create("/v1/tickets", asked).await;
    client.run(&format!("/v1/tickets/{lost}/reply"), json!({ "body": "Hello?" })).await;
    server.settle().await;
    comes(&server, &office, async || thread(client, &lost).await[0]["delivery"] == "failed").await;
    let reply = &thread(client, &lost).await[0];
    assert!(reply["delivery_error"].as_str().unwrap().contains("5.1.1"), "{reply}");
    // A mail of its own, to somebody else, about the ticket: what he answers comes there.
    let offer = json!({ "channel": channel, "to": [{ "address": "other@mail.example" }], "subject": "Spare part?", "body": "Have you one?", "ticket": id });
    let sent = client.create("/v1/emails", offer).await;
    server.settle().await;
    assert!(until(async || office.mailbox("other").len() == 1).await, "{}", office.log());
    assert_eq!(client.read(&format!("/v1/emails/{sent}")).await["status"], "sent");
    let asked = office.mailbox("other").remove(0);
    let third = [
        ("From", "other@mail.example"),
        ("To", "support@desk.example"),
        ("In-Reply-To", field(&asked, "Message-ID")),
        ("Subject", "Re: Spare part?"),
    ];
    office.send("other@mail.example", &["support@desk.example"], &mail(&third, "Two of them."));
    comes(&server, &office, async || thread(client, id).await.len() == 4).await;
    let detail = client.read(&format!("/v1/tickets/{id}")).await;
    assert_eq!(texts(&json!({ "data": detail["participants"] }), "name"), ["other@mail.example"]);
    // From now on he hears what is answered.
    client.run(&format!("/v1/tickets/{id}/reply"), json!({ "body": "We send one." })).await;
    server.settle().await;
    assert!(
        until(async || office.mailbox("other").len() == 2 && office.mailbox("customer").len() == 2).await,
        "{}",
        office.log()
    );
    // A mailbox is fetched from as soon as something lies there, and answered from its own address.
    let help = client.create("/v1/channels", json!({ "kind": "email", "name": "Help" })).await;
    let imap = json!({ "host": "127.0.0.1", "port": office.imap, "security": "none", "username": "help@mail.example" });
    let settings = json!({ "address": "help@mail.example", "plus_addresses": true, "signature": "{{ team }} of Deskfold",
        "incoming": { "server": imap, "taken_folder": "Taken" } });
    client.run(&format!("/v1/channels/{help}/change_mail"), settings.clone()).await;
    let wrong = json!({ "secret": "wrong", "of": "incoming" });
    client.put(&format!("/v1/channels/{help}/credentials"), wrong).await.expect(StatusCode::OK);
    server.settle().await;
    let fares = format!("/v1/channels/{help}/mailbox");
    assert!(until(async || !client.read(&fares).await["error"].is_null()).await, "{}", office.log());
    let right = json!({ "secret": "secret", "of": "incoming" });
    client.put(&format!("/v1/channels/{help}/credentials"), right).await.expect(StatusCode::OK);
    assert!(until(async || client.read(&fares).await["connected"] == true).await, "{}", office.log());
    let fourth = [
        ("From", "customer@mail.example"),
        ("To", "help@mail.example"),
        ("Subject", "By mailbox"),
        ("Message-ID", "<fourth@mail.example>"),
        ("Date", "Sun, 29 Nov 2026 09:30:00 +0000"),
    ];
    office.send("customer@mail.example", &["help@mail.example"], &mail(&fourth, "Hello?"));
    let titled = filtered("/v1/tickets", &condition("title", "eq", "By mailbox"));
    comes(&server, &office, async || client.read(&titled).await["data"].as_array().unwrap().len() == 1).await;
    assert!(until(async || office.mailbox("help").is_empty() && office.mailbox("help/.Taken").len() == 1).await);
    let fetched = client.read(&titled).await["data"][0]["id"].as_str().unwrap().to_owned();
    client.run(&format!("/v1/tickets/{fetched}/reply"), json!({ "body": "Here." })).await;
    server.settle().await;
    assert!(until(async || office.mailbox("customer").len() == 3).await, "{}", office.log());
    let answer = office.mailbox("customer").remove(2);
    assert!(field(&answer, "From").ends_with("<help@mail.example>") && answer.contains("Help of Deskfold"), "{answer}");
    // It says so once more: the same mail, copied back into the mailbox, is taken in once.
    office.send("customer@mail.example", &["help@mail.example"], &mail(&fourth, "Hello?"));
    assert!(until(async || office.mailbox("help/.Taken").len() == 2).await, "{}", office.log());
    server.settle().await;
    assert_eq!(client.read(&titled).await["data"].as_array().unwrap().len(), 1);
    // A mail server pipes what it has into the program.
    let role = client.create("/v1/roles", json!({ "name": "Pipe", "permissions": ["channel.receive"] })).await;
    let key = client.post("/v1/api_keys", json!({ "name": "Pipe", "role": role })).await.json();
    let key = key["key"].as_str().unwrap().to_owned();
    let piped =
        mail(&[("From", "customer@mail.example"), ("To", "help@mail.example"), ("Subject", "Piped")], "By pipe.");
    let piping = |key: &str, channel: &str| {
        let at = format!("http://{}", server.address);
        let mut program = deskfold(&["mail-pipe", "--server", &at, "--channel", channel, "--key", key]);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(piped.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    let codes = tokio::task::block_in_place(|| {
        (piping(&key, &help), piping("wrong", &help), piping(&key, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
    });
    assert_eq!(codes, (Some(0), Some(75), Some(67)));
    let titled = filtered("/v1/tickets", &condition("title", "eq", "Piped"));
    comes(&server, &office, async || client.read(&titled).await["data"].as_array().unwrap().len() == 1).await;
    // What was said in a chat is told by mail, from the team that answered.
    client.run(&format!("/v1/teams/{}/enable_channel", team.as_str().unwrap()), json!({ "kind": "live_chat" })).await;
    server.settle().await;
    let live = client.read("/v1/channels").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|known| known["kind"] == "live_chat")
        .unwrap()["id"]
        .clone();
    let chat = client.create("/v1/conversations", json!({ "medium": "live_chat", "channel": live })).await;
    client.run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": "Are you open?" })).await;
    client.run(&format!("/v1/conversations/{chat}/send_message"), json!({ "body": "Until six." })).await;
    client
        .run(
            &format!("/v1/conversations/{chat}/request_transcript"),
            json!({ "email": "customer@mail.example", "language": "cs" }),
        )
        .await;
    server.settle().await;
    assert!(until(async || office.mailbox("customer").len() == 4).await, "{}", office.log());
    let told = office.mailbox("customer").into_iter().find(|mail| mail.contains("Are you open?")).unwrap();
    assert!(told.contains("Are you open?") && told.contains("Until six.") && told.contains("Vy"), "{told}");
    assert_eq!(field(&told, "Auto-Submitted"), "auto-generated");
    // An address that nobody has is refused at the door: its sender hears of it.
    let nowhere = [("From", "customer@mail.example"), ("To", "nowhere@desk.example"), ("Subject", "?")];
    office.send("customer@mail.example", &["nowhere@desk.example"], &mail(&nowhere, "Anybody?"));
    assert!(until(async || office.mailbox("customer").len() == 5).await, "{}", office.log());
    assert!(office.mailbox("customer")[4].contains("There is no such mailbox"));
    server.stop().await;
}

/// Waits until a mail that is on its way has come and something was made of it.
async fn comes(server: &Server, office: &PostOffice, holds: impl AsyncFn() -> bool) {
    let there = until(async || {
        server.settle().await;
        holds().await
    });
    assert!(there.await, "{}", office.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_finds_its_thread_by_what_nobody_makes_up_and_a_stranger_none() {
    let server = Server::start().await;
    let client = &server.admin;
    let channel = desk(&server).await;
    let maria = |id: &'static str, more: &[(&'static str, &str)], text: &str| {
        let mut fields =
            vec![("From", "Maria <maria@example.com>"), ("To", "support@desk.example"), ("Message-ID", id)];
        fields.extend(more.iter().map(|(name, value)| (*name, *value)));
        mail(&fields, text)
    };
    let first = maria("<1@example.com>", &[("Subject", "Dark")], "It stays dark.");
    let opened = brought(&server, &channel, &first).await;
    assert_eq!((&opened["status"], &opened["matched_by"]), (&json!("taken"), &json!("nothing")));
    let ticket = opened["ticket_id"].as_str().unwrap().to_owned();
    // The same mail once more is the same; other words under its id are another mail.
    let again = post(client, &channel, &format!("Received: from elsewhere\r\n{first}")).await;
    assert_eq!(again.expect(StatusCode::OK)["id"], opened["id"]);
    server.settle().await;
    assert_eq!(thread(client, &ticket).await.len(), 1);
    let dry = client.request(Method::POST, &format!("/v1/channels/{channel}/email?dry_run=true"));
    let dry = client.send(dry.body(maria("<dry@example.com>", &[("Subject", "x")], "x"))).await.expect(StatusCode::OK);
    client.get(&format!("/v1/emails/{}", dry["id"].as_str().unwrap())).await.problem(404, "email_unknown");

    // By reference, and by number: where the sender takes part.
    let refers = brought(
        &server,
        &channel,
        &maria("<2@example.com>", &[("Subject", "Dark"), ("References", "<1@example.com>")], "Still."),
    )
    .await;
    assert_eq!((&refers["matched_by"], &refers["ticket_id"]), (&json!("reference"), &json!(ticket)));
    let number =
        brought(&server, &channel, &maria("<3@example.com>", &[("Subject", "Your [#1] once more")], "And?")).await;
    assert_eq!((&number["matched_by"], &number["ticket_id"]), (&json!("number"), &json!(ticket)));
    // A stranger guesses the number, or was forwarded the mail: neither gets in.
    let strange = |id: &'static str, name: &'static str, value: &'static str| {
        mail(
            &[("From", "eve@example.org"), ("To", "support@desk.example"), ("Message-ID", id), (name, value)],
            "Let me in.",
        )
    };
    let guessed = brought(&server, &channel, &strange("<4@example.org>", "Subject", "[#1]")).await;
    assert!(guessed["matched_by"] == "nothing" && guessed["ticket_id"] != ticket, "{guessed}");
    let forwarded = brought(&server, &channel, &strange("<5@example.org>", "In-Reply-To", "<1@example.com>")).await;
    assert!(forwarded["matched_by"] == "nothing" && forwarded["ticket_id"] != ticket, "{forwarded}");
    let other = client.read(&format!("/v1/tickets/{}", forwarded["ticket_id"].as_str().unwrap())).await;
    assert_eq!(other["linked_tickets"][0]["id"], ticket, "whoever answers sees what it has to do with");
    assert_eq!(thread(client, &ticket).await.len(), 3);

    // What is closed opens again, or is followed up.
    client.run(&format!("/v1/tickets/{ticket}/close"), json!({})).await;
    brought(
        &server,
        &channel,
        &maria("<6@example.com>", &[("Subject", "x"), ("In-Reply-To", "<1@example.com>")], "Not solved."),
    )
    .await;
    assert_eq!(client.read(&format!("/v1/tickets/{ticket}")).await["status"], "open");
    // A machine's word is noted and opens nothing.
    client.run(&format!("/v1/tickets/{ticket}/close"), json!({})).await;
    let away = [("Subject", "Out of office"), ("In-Reply-To", "<1@example.com>"), ("Auto-Submitted", "auto-replied")];
    let away = brought(&server, &channel, &maria("<7@example.com>", &away, "I am away.")).await;
    assert_eq!((&away["automatic"], &away["ticket_id"]), (&json!("auto_reply"), &json!(ticket)));
    assert_eq!(client.read(&format!("/v1/tickets/{ticket}")).await["status"], "closed");
    assert_eq!(thread(client, &ticket).await[4]["kind"], "note");
    let lone = [("Subject", "Out of office"), ("Auto-Submitted", "auto-replied")];
    let lone = brought(&server, &channel, &maria("<8@example.com>", &lone, "I am away.")).await;
    assert_eq!((&lone["status"], &lone["ticket_id"]), (&json!("taken"), &Value::Null));
    client
        .run(
            &format!("/v1/channels/{channel}/change_mail"),
            json!({ "when_closed": "follow_up", "cc_participates": true,
        "trusted_servers": ["mx.desk.example"], "headers": { "X-Urgency": "priority", "X-Kind": "tags" },
        "flood": { "messages": 3, "minutes": 60 } }),
        )
        .await;
    let copied = [
        ("Subject", "x"),
        ("In-Reply-To", "<1@example.com>"),
        ("Cc", "Paolo <paolo@example.com>"),
        ("X-Urgency", "3 high"),
        ("X-Kind", "vip, hurry"),
    ];
    // She has written enough by the new rule; a fresh sender has not.
    let flooded = brought(&server, &channel, &maria("<9@example.com>", &copied, "And now?")).await;
    assert_eq!((&flooded["status"], &flooded["error_code"]), (&json!("refused"), &json!("email_flood")));
    let notices = client.read("/v1/notices").await;
    assert!(texts(&notices, "code").contains(&"email_flood".to_owned()), "{notices}");
    client.run(&format!("/v1/emails/{}/try_again", flooded["id"].as_str().unwrap()), json!({})).await;
    server.settle().await;
    let taken = client.read(&format!("/v1/emails/{}", flooded["id"].as_str().unwrap())).await;
    assert_eq!(taken["status"], "taken");
    let followed = client.read(&format!("/v1/tickets/{}", taken["ticket_id"].as_str().unwrap())).await;
    assert_eq!((&followed["priority"], &followed["tags"]), (&json!(3), &json!(["hurry", "vip"])));
    assert_eq!(texts(&json!({ "data": followed["participants"] }), "name"), ["Paolo"]);
    assert_eq!(followed["linked_tickets"][0]["id"], ticket);
    assert!(client.read("/v1/notices").await["data"].as_array().unwrap().is_empty(), "it was seen to");

    // Whoever is not who he says is nobody.
    let forged = [
        ("Authentication-Results", "mx.desk.example; dmarc=fail header.from=example.com"),
        ("Subject", "Reset"),
        ("References", "<1@example.com>"),
    ];
    let mut fields =
        vec![("From", "Maria <maria@example.com>"), ("To", "support@desk.example"), ("Message-ID", "<10@example.com>")];
    fields.extend(forged);
    client.run(&format!("/v1/channels/{channel}/change_mail"), json!({ "trusted_servers": ["mx.desk.example"] })).await;
    let forged = brought(&server, &channel, &mail(&fields, "Send me the password.")).await;
    assert!(forged["contact_id"].is_null() && forged["ticket_id"] != ticket, "{forged}");
    let doubted = client.read(&format!("/v1/tickets/{}", forged["ticket_id"].as_str().unwrap())).await;
    assert_eq!((&doubted["requester_id"], &doubted["tags"]), (&Value::Null, &json!(["unverified_sender"])));
    // Nor does anybody come into a ticket by a copy of such a mail; and what no address can be hinders nothing.
    client
        .run(
            &format!("/v1/channels/{channel}/change_mail"),
            json!({ "trusted_servers": ["mx.desk.example"], "cc_participates": true }),
        )
        .await;
    let long = format!("{}@example.com", "a".repeat(300));
    let copied = |id: &'static str, verdict: &str| {
        let said = format!("mx.desk.example; dmarc={verdict} header.from=example.org");
        let copies = format!("Spy <spy@example.org>, {long}");
        mail(
            &[
                ("From", "Lea <lea@example.org>"),
                ("To", "support@desk.example"),
                ("Subject", "Copy"),
                ("Message-ID", id),
                ("Cc", &copies),
                ("Authentication-Results", &said),
            ],
            "Hello.",
        )
    };
    for (id, verdict, parties) in [("<11@example.org>", "fail", 0), ("<12@example.org>", "pass", 1)] {
        let came = brought(&server, &channel, &copied(id, verdict)).await;
        assert_eq!(came["mail_cc"].as_array().map(Vec::len), Some(1), "{came}");
        let opened = client.read(&format!("/v1/tickets/{}", came["ticket_id"].as_str().unwrap())).await;
        assert_eq!(opened["participants"].as_array().map(Vec::len), Some(parties), "{verdict}: {opened}");
    }
    // What is hostile in it is not shown; its pictures are, and what stands elsewhere only when it is asked for.
    let parts = format!(
        "--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p onclick=\"steal()\">Look</p><script>steal()</script>\
         <img src=\"cid:door\"><img src=\"https://example.org/spy.png\" width=\"300\" height=\"200\">\r\n\
         --x\r\nContent-Type: image/png; name=\"door.png\"\r\nContent-ID: <door>\r\nContent-Disposition: inline; filename=\"door.png\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --x\r\nContent-Type: text/plain; name=\"log.txt\"\r\nContent-Disposition: attachment; filename=\"log.txt\"\r\n\r\nIt said no.\r\n--x--",
        STANDARD.encode(PIXEL)
    );
    let fields = [
        ("From", "Zoe <zoe@example.org>"),
        ("To", "support@desk.example"),
        ("Subject", "Picture"),
        ("Message-ID", "<20@example.org>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "multipart/related; boundary=x"),
    ];
    let shown =
        brought(&server, &channel, &format!("{}\r\n", mail(&fields, "").trim_end().to_owned() + "\r\n\r\n" + &parts))
            .await;
    assert_eq!(shown["status"], "taken", "{shown}");
    let said = thread(client, shown["ticket_id"].as_str().unwrap()).await;
    assert_eq!(texts(&json!({ "data": said[0]["attachments"] }), "name"), ["door.png", "log.txt"], "{said:?}");
    assert_eq!(said[0]["attachments"][0]["media_type"], "image/png");
    let address = format!("/v1/emails/{}/content", shown["id"].as_str().unwrap());
    let content = client.read(&address).await;
    let html = content["html"].as_str().unwrap();
    assert!(html.contains("Look") && !html.contains("steal") && !html.contains("example.org"), "{html}");
    assert_eq!(content["blocked_images"], 1);
    let door = html.split('"').find(|part| part.contains("/files/")).unwrap_or_else(|| panic!("{html}"));
    assert!(!server.client("").get(door).await.expect_text().is_empty(), "whoever sees the mail sees its pictures");
    let asked = client.read(&format!("{address}?remote_images=true")).await;
    assert!(asked["html"].as_str().unwrap().contains("example.org/spy.png"), "{asked}");
    // What cannot be read is kept, and says so.
    let broken = brought(&server, &channel, "\u{1}\u{2} no mail at all").await;
    assert_eq!((&broken["status"], &broken["error_code"]), (&json!("refused"), &json!("email_unreadable")));
    let raw = client.get(&format!("/v1/uploads/{}/content", broken["raw_id"].as_str().unwrap())).await;
    assert_eq!(raw.expect_text(), "\u{1}\u{2} no mail at all");
    post(client, &channel, "").await.problem(422, "email_empty");
    server.stop().await;
}

/// How a server treats the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treats {
    /// It is too busy.
    Busy,
    /// It knows no such recipient.
    Unknown,
    /// It hangs up when it has heard all.
    HangsUp,
    /// It takes the mail.
    Takes,
}

/// A mail server that plays what goes wrong; what it was told, whole.
async fn moody(treats: Vec<Treats>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&heard);
    tokio::spawn(async move {
        for treat in treats {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let greeting = if treat == Treats::Busy { "421 4.3.2 later\r\n" } else { "220 moody\r\n" };
            writer.write_all(greeting.as_bytes()).await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = match line.split([' ', ':']).next().unwrap() {
                    "RCPT" if treat == Treats::Unknown => "550 5.1.1 nobody here\r\n",
                    "DATA" => {
                        writer.write_all(b"354 go on\r\n").await.unwrap();
                        let mut mail = String::new();
                        while let Some(line) = lines.next_line().await.unwrap().filter(|line| line != ".") {
                            mail.push_str(&line);
                            mail.push_str("\r\n");
                        }
                        told.lock().push(mail);
                        if treat == Treats::HangsUp {
                            break;
                        }
                        "250 2.0.0 ok\r\n"
                    }
                    "QUIT" => {
                        let _ = writer.write_all(b"221 bye\r\n").await;
                        break;
                    }
                    _ => "250 ok\r\n",
                };
                if writer.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_twice_unless_a_person_says_so_and_can_be_taken_back_before() {
    let (port, heard) =
        moody(vec![Treats::Busy, Treats::HangsUp, Treats::Takes, Treats::Unknown, Treats::Takes, Treats::Takes]).await;
    let server = Server::with(&["--smtp-url", &format!("smtp+plain://127.0.0.1:{port}")]).await;
    let client = &server.admin;
    let channel = desk(&server).await;
    let raw = mail(
        &[
            ("From", "maria@example.com"),
            ("To", "support@desk.example"),
            ("Subject", "Dark"),
            ("Message-ID", "<1@example.com>"),
        ],
        "Dark.",
    );
    let ticket = brought(&server, &channel, &raw).await["ticket_id"].as_str().unwrap().to_owned();
    let reply = format!("/v1/tickets/{ticket}/reply");
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    client.run(&reply, json!({ "message_id": id, "body": "Try this." })).await;
    server.settle().await;
    let state = async |place: usize| thread(client, &ticket).await[place]["delivery"].clone();
    // A server that is busy is tried again later.
    assert_eq!(state(1).await, "queued");
    server.app.advance(Duration::from_secs(60));
    server.settle().await;
    // It broke off when all was said: nobody knows, and nobody but a person tries again.
    assert_eq!(state(1).await, "uncertain");
    server.app.advance(Duration::from_secs(24 * 3600));
    server.settle().await;
    assert_eq!(heard.lock().len(), 1);
    assert!(texts(&client.read("/v1/notices").await, "code").contains(&"message_uncertain".to_owned()));
    client.run(&reply, json!({ "message_id": id, "body": "Try this." })).await;
    server.settle().await;
    assert_eq!((state(1).await, heard.lock().len()), (json!("sent"), 2));
    let twice = heard.lock().clone();
    assert_eq!(field(&twice[0], "Message-ID"), field(&twice[1], "Message-ID"), "whoever has got both sees one");
    // A recipient who is refused is named.
    client.run(&reply, json!({ "body": "And this." })).await;
    server.settle().await;
    let refused = thread(client, &ticket).await[2].clone();
    assert_eq!(refused["delivery"], "failed");
    let why = refused["delivery_error"].as_str().unwrap();
    assert!(why.contains("maria@example.com") && why.contains("5.1.1"), "{why}");
    // What can be taken back has not left; what has a time of its own waits for it, and holds up nothing.
    client.run(&format!("/v1/channels/{channel}/change_mail"), json!({ "undo_s": 30 })).await;
    let mistake = "01ARZ3NDEKTSV4RRFFQ69G5FAW";
    client.run(&reply, json!({ "message_id": mistake, "body": "A mistake." })).await;
    server.settle().await;
    client.run(&format!("/v1/tickets/{ticket}/cancel_reply"), json!({ "message_id": mistake })).await;
    // The clock is a day and a minute ahead by now.
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    client.run(&reply, json!({ "body": "Good morning.", "send_at": tomorrow })).await;
    client.run(&reply, json!({ "body": "See you." })).await;
    server.settle().await;
    server.app.advance(Duration::from_secs(60));
    server.settle().await;
    assert_eq!((state(3).await, state(4).await, state(5).await), (json!("cancelled"), json!("queued"), json!("sent")));
    server.app.advance(Duration::from_secs(25 * 3600));
    server.settle().await;
    assert_eq!((state(3).await, state(4).await), (json!("cancelled"), json!("sent")));
    let said: Vec<String> = heard.lock().iter().skip(2).cloned().collect();
    assert!(said.len() == 2 && said[0].contains("See you.") && said[1].contains("Good morning."), "{said:?}");
    let gone = client.post(&format!("/v1/tickets/{ticket}/cancel_reply"), json!({ "message_id": id })).await;
    gone.problem(409, "ticket_reply_gone");
    server.stop().await;
}

/// Hands a mail over by LMTP; what is answered to its recipient.
async fn handed_over(port: u16, to: &str, mail: &str) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let said = [
        format!("LHLO x\r\nMAIL FROM:<maria@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\n"),
        format!("{mail}\r\n.\r\nQUIT\r\n"),
    ];
    let mut last = String::new();
    writer.write_all(said[0].as_bytes()).await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        // The greeting and what is told of extensions say nothing.
        match line.get(..3) {
            Some("354") => writer.write_all(said[1].as_bytes()).await.unwrap(),
            Some("550") => return line,
            Some("221") => return last,
            _ => last = line,
        }
    }
    last
}

#[tokio::test]
async fn the_domains_and_the_server_of_a_tenant_are_those_of_its_mail() {
    let lmtp = free_port();
    let (port, heard) = moody(vec![Treats::Takes]).await;
    let at = format!("127.0.0.1:{lmtp}");
    let server = Server::with(&["--lmtp", &at, "--mail-domain", "desk.test", "--private-addresses"]).await;
    let client = &server.admin;
    desk(&server).await;
    let tenant = server.tenant.to_lowercase();
    let letter = |number: u32| {
        mail(
            &[("From", "maria@example.com"), ("Subject", "Hello"), ("Message-ID", &format!("<{number}@example.com>"))],
            "Hello.",
        )
    };
    // Under the domain that it says, under the usual one of its own, and with anything behind a plus.
    for (number, to) in [(1, "support@desk.example".to_owned()), (2, format!("support+x@{tenant}.desk.test"))] {
        let answer = handed_over(lmtp, &to, &letter(number)).await;
        assert!(answer.starts_with("250 2.0.0"), "{to}: {answer}");
    }
    let further = json!({ "domain": "further.example" });
    assert!(handed_over(lmtp, "support@further.example", &letter(3)).await.starts_with("550 5.1.1"));
    client.run("/v1/tenants/current/add_alias_domain", further.clone()).await;
    assert!(handed_over(lmtp, "support@further.example", &letter(3)).await.starts_with("250 2.0.0"));
    let other = server.another_tenant("Other").await;
    other.post("/v1/tenants/current/set_alias_domain", further.clone()).await.problem(409, "tenant_alias_domain_taken");
    client.run("/v1/tenants/current/remove_alias_domain", further).await;
    assert!(handed_over(lmtp, "support@further.example", &letter(4)).await.starts_with("550 5.1.1"));
    assert!(handed_over(lmtp, "nobody@desk.example", &letter(4)).await.starts_with("550 5.1.1"));
    server.settle().await;
    let tickets = client.read("/v1/tickets?count=exact").await;
    assert_eq!(tickets["data"].as_array().unwrap().len(), 3);
    // Without a server a reply waits for a program; with the tenant's it leaves.
    let ticket = tickets["data"][0]["id"].as_str().unwrap();
    let set = json!({ "direction": "outgoing", "server": { "host": "127.0.0.1", "port": port, "security": "none" } });
    client.run("/v1/tenants/current/set_mail_server", set).await;
    client.run(&format!("/v1/tickets/{ticket}/reply"), json!({ "body": "Good day." })).await;
    server.settle().await;
    assert!(heard.lock()[0].contains("Good day."));
    server.stop().await;
}
