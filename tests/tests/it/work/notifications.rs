//! Notifications: whom something concerns is told once, by what he chose, of what he sees, until he has read it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use deskfold_tests::{Client, Reply, Server};
use p256::{
    PublicKey, SecretKey,
    ecdh::diffie_hellman,
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
    elliptic_curve::sec1::ToSec1Point,
};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{
    chat::live::Screen,
    org::{
        auth::user_with,
        browser::{Browser, PASSWORD, person},
    },
    work::rules::{events, order, role, rule, task},
    work::webhooks::{Receiver, Says},
    world::{NOBODY, condition, contact, filtered, subject, texts, ticket},
};

const LIST: &str = "/v1/me/notifications";

/// What somebody was told: the kinds, those told last first.
async fn told(client: &Client) -> Vec<String> {
    texts(&client.read(LIST).await, "kind")
}

/// What a screen hears next of notifications.
async fn hears(screen: &mut Screen) -> Value {
    let next = async {
        loop {
            let message = screen.next().await.expect("the stream goes on");
            // That one may more, by a further role, is told too.
            if message.event == "notification" {
                return message.data;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("it is heard")
}

async fn unread(client: &Client) -> Value {
    client.read(&format!("{LIST}/unread")).await["count"].clone()
}

#[tokio::test]
async fn whom_something_concerns_is_told_once_and_reads_it_everywhere() {
    let server = Server::start().await;
    let admin = &server.admin;
    let all = ["ticket.*", "comment.*", "task.*", "order.*", "contact.*"];
    let (anna_id, anna) = user_with(&server, "anna@example.com", &all).await;
    let (boris_id, boris) = user_with(&server, "boris@example.com", &all).await;
    let (cecil_id, cecil) = user_with(&server, "cecil@example.com", &["ticket.*:own", "comment.*:own"]).await;
    let mut screen = Screen::of(&anna, &format!("{LIST}/stream")).await;

    // What is assigned by somebody else; nobody is told of what he does himself.
    let printer = ticket(admin, "Printer").await;
    let path = format!("/v1/tickets/{printer}");
    admin.run(&format!("{path}/assign"), json!({ "assignee": anna_id })).await;
    let own = ticket(&anna, "My own").await;
    anna.run(&format!("/v1/tickets/{own}/assign"), json!({ "assignee": anna_id })).await;
    server.settle().await;
    let page = anna.read(LIST).await;
    assert_eq!(texts(&page, "kind"), ["assigned"], "{page}");
    let first = &page["data"][0];
    assert_eq!((&first["record_name"], &first["record_kind"]), (&json!("Printer"), &json!("ticket")));
    assert_eq!((&first["by_kind"], first["by_name"].is_string()), (&json!("user"), true));
    let heard = hears(&mut screen).await;
    assert_eq!((&heard["became"], &heard["notification"]), (&json!("sent"), &first["id"]));

    // Who is named sees the record, or is not told; who is named in what is his is told that he was named.
    let note = json!({ "body": "@boris@example.com please, with @cecil and @anna" });
    anna.run(&format!("{path}/add_note"), note).await;
    let comment = json!({ "subjects": [subject("ticket", &printer)], "text": "Done, @anna" });
    boris.create("/v1/comments", comment).await;
    admin.run(&format!("{path}/receive_message"), json!({ "body": "Still broken, @boris" })).await;
    server.settle().await;
    assert_eq!(told(&anna).await, ["replied", "mentioned", "assigned"]);
    assert_eq!(told(&boris).await, ["mentioned"]);
    assert!(told(&cecil).await.is_empty());

    // What a rule does is nobody's own deed.
    let sales = role(admin, "Sales").await;
    admin.run(&format!("/v1/users/{anna_id}/grant_role"), json!({ "role": sales })).await;
    let definition = json!({ "selector": [{ "role": sales }], "actions": [task("Call")] });
    rule(admin, "Call", "order.placed", 1, definition).await;
    order(&anna, "5.00", json!({})).await;
    server.settle().await;
    assert_eq!(told(&anna).await[0], "rule_task");
    assert_eq!(unread(&anna).await, 4);

    // Handling all events anew tells nobody anything.
    let before = events(admin, "notification.sent").await.len();
    let reset = "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null \
        where name = 'react_notifications'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    contact(admin, "Maria").await;
    server.settle().await;
    assert_eq!(events(admin, "notification.sent").await.len(), before);

    // Read on one screen is read on all.
    for _ in 0..3 {
        assert_eq!(hears(&mut screen).await["became"], "sent");
    }
    let which = json!({ "notifications": [first["id"]] });
    boris.post(&format!("{LIST}/mark_read"), which.clone()).await.problem(404, "notification_unknown");
    assert_eq!(anna.post(&format!("{LIST}/mark_read"), which.clone()).await.json()["count"], 1);
    assert_eq!(anna.post(&format!("{LIST}/mark_read"), which).await.json()["count"], 0);
    let heard = hears(&mut screen).await;
    assert_eq!((&heard["became"], &heard["notification"]), (&json!("read"), &first["id"]));
    server.settle().await;
    let open = filtered(LIST, &condition("read", "eq", false));
    assert_eq!(texts(&anna.read(&format!("{open}&limit=2")).await, "kind"), ["rule_task", "replied"]);
    let marked = anna.post(&format!("{LIST}/mark_read"), json!({})).await.json();
    assert_eq!(marked["count"], 3);
    let path = format!("{LIST}/unread?min_position={}", marked["position"]);
    assert_eq!(anna.read(&path).await["count"], 0);
    anna.post(&format!("{LIST}/mark_read"), json!({ "notifications": [NOBODY] }))
        .await
        .problem(404, "notification_unknown");

    // What one sees no longer is in no list; whoever is shut out is told nothing.
    admin.run(&format!("/v1/tickets/{printer}/assign"), json!({ "assignee": cecil_id })).await;
    server.settle().await;
    assert_eq!((told(&cecil).await, unread(&cecil).await), (vec!["assigned".to_owned()], json!(1)));
    admin.run(&format!("/v1/tickets/{printer}/assign"), json!({ "assignee": anna_id })).await;
    admin.run(&format!("/v1/users/{boris_id}/deactivate"), json!({})).await;
    admin.run(&format!("/v1/tickets/{printer}/add_note"), json!({ "body": "@boris @anna" })).await;
    server.settle().await;
    assert_eq!((told(&cecil).await, unread(&cecil).await), (vec![], json!(0)));
    let to = |event: &Value| event["data"]["to"].clone();
    let sent: Vec<Value> = events(admin, "notification.sent").await.iter().map(to).collect();
    assert_eq!(sent.iter().filter(|to| **to == *boris_id).count(), 1);
}

#[tokio::test]
async fn a_task_is_told_of_before_its_time_and_when_it_has_come() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (anna_id, anna) = user_with(&server, "anna@example.com", &["task.*"]).await;
    let create = async |title: &str, more: Value| {
        let mut body = json!({ "title": title, "due_in_s": 7200, "assignee": anna_id });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        admin.create("/v1/tasks", body).await
    };
    create("Call", json!({})).await;
    let done = create("Done", json!({})).await;
    create("Soon", json!({ "due_in_s": 1800 })).await;
    admin.run(&format!("/v1/tasks/{done}/complete"), json!({})).await;
    server.app.advance(Duration::from_secs(3700));
    server.settle().await;
    let mut kinds = told(&anna).await;
    kinds.sort();
    assert_eq!(kinds, ["assigned", "assigned", "assigned", "due_soon", "overdue"]);
    assert_eq!(events(admin, "task.became_due_soon").await.len(), 1);
    server.app.advance(Duration::from_secs(3700));
    server.settle().await;
    let page = anna.read(&filtered(LIST, &condition("kind", "eq", "overdue"))).await;
    assert_eq!(texts(&page, "record_name"), ["Call", "Soon"]);
}

/// A server of mail that takes everything: the mails that came.
async fn mailbox() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, mails) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let taken = Arc::clone(&mails);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 mail\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    let said = line.to_uppercase();
                    if said == "DATA" {
                        write.write_all(b"354 go on\r\n").await.unwrap();
                        let mut mail = String::new();
                        while let Ok(Some(line)) = lines.next_line().await {
                            if line == "." {
                                break;
                            }
                            mail += &line;
                            mail.push('\n');
                        }
                        taken.lock().push(mail);
                    }
                    let answer: &[u8] = if said == "QUIT" { b"221 bye\r\n" } else { b"250 mail\r\n" };
                    if write.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, mails)
}

/// A browser that takes what is pushed to it.
struct Pushed {
    key: SecretKey,
    auth: [u8; 16],
}

impl Pushed {
    fn new() -> Pushed {
        Pushed { key: SecretKey::from_slice(&[42; 32]).unwrap(), auth: [7; 16] }
    }

    fn public(&self) -> Vec<u8> {
        self.key.public_key().to_sec1_point(false).as_bytes().to_vec()
    }

    fn keys(&self) -> Value {
        json!({ "p256dh": URL_SAFE_NO_PAD.encode(self.public()), "auth": URL_SAFE_NO_PAD.encode(self.auth) })
    }

    /// What was pushed, decrypted by RFC 8291.
    fn read(&self, body: &[u8]) -> Value {
        let hash = |key: &[u8], parts: &[&[u8]]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
        };
        let (salt, theirs, sealed) = (&body[..16], &body[21..21 + usize::from(body[20])], &body[21 + 65..]);
        let sender = PublicKey::from_sec1_bytes(theirs).unwrap();
        let shared = diffie_hellman(self.key.to_nonzero_scalar(), sender.as_affine());
        let first = hash(&self.auth, &[shared.raw_secret_bytes()]);
        let secret = hash(&first, &[b"WebPush: info\0", &self.public(), theirs, &[1]]);
        let both = hash(salt, &[&secret]);
        let key = hash(&both, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let nonce = hash(&both, &[b"Content-Encoding: nonce\0\x01"]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
        let mut opened = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
        let opened = key.open_in_place(nonce, Aad::empty(), &mut opened).unwrap();
        serde_json::from_slice(opened.strip_suffix(&[2]).unwrap()).unwrap()
    }
}

/// The claims of whoever pushes, if they are signed by the key that he names.
fn claims(authorization: &str, key: &str) -> Value {
    let (token, named) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(named, key);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let key = VerifyingKey::from_sec1_bytes(&decoded(key)).unwrap();
    key.verify(signed.as_bytes(), &Signature::from_slice(&decoded(signature)).unwrap()).unwrap();
    serde_json::from_slice(&decoded(signed.split_once('.').unwrap().1)).unwrap()
}

async fn put(browser: &Browser, path: &str, body: Value) -> Reply {
    let request = browser.client.request(Method::PUT, path).header("sec-fetch-site", "same-origin");
    browser.send(request.json(&body)).await
}

/// An hour from now, or before, on a clock in Greenwich.
fn of_day(hours: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    at.to_string().split_once('T').unwrap().1[..5].to_owned()
}

#[tokio::test]
async fn each_is_told_by_the_media_that_he_chose_and_left_alone_when_he_wants_to_be() {
    let (receiver, address) = Receiver::start().await;
    let (post, mails) = mailbox().await;
    let server = Server::with(&["--private-addresses", "--smtp-url", &format!("smtp+plain://{post}")]).await;
    let admin = &server.admin;
    admin.run("/v1/host_names", json!({ "host": "desk.example.com" })).await;
    let (anna_id, anna) = person(&server, "anna@example.com", &["ticket.*"]).await;
    admin.run(&format!("/v1/users/{anna_id}/change_profile"), json!({ "locale": "cs" })).await;
    let key = admin.post("/v1/api_keys", json!({ "name": "test", "user": anna_id })).await.expect(StatusCode::CREATED);
    let keyed = server.client(key["key"].as_str().unwrap());
    let (chat, browser) = (format!("http://{address}/chat?key=secret"), Pushed::new());

    // What is unfit is refused at its place.
    let path = "/v1/me/notification_preferences";
    for (body, code, place) in [
        (
            json!({ "quiet_hours": { "from": "25:00", "until": "07:00" } }),
            "notification_time_invalid",
            "/quiet_hours/from",
        ),
        (json!({ "media": { "mentioned": ["email", "digest"] } }), "notification_media_invalid", "/media/mentioned"),
    ] {
        assert_eq!(put(&anna, path, body).await.problem(422, code)["errors"][0]["pointer"], place);
    }
    put(&anna, "/v1/me/chat_webhook", json!({ "url": "ftp://x" })).await.problem(422, "url_invalid");
    let endpoint = format!("http://{address}/push");
    let unfit = json!({ "endpoint": endpoint, "keys": { "p256dh": "BA", "auth": "x" } });
    anna.post("/v1/me/subscribe_push", unfit).await.problem(422, "push_keys_invalid");
    server.admin.put("/v1/me/notification_preferences", json!({})).await.problem(403, "session_needed");

    // By mail, in a chat and to a browser; of what is not wanted by nothing.
    let wanted = json!({ "media": { "mentioned": ["in_app", "email", "chat", "push"], "replied": [], "assigned": ["in_app", "digest"] }, "digest_at": of_day(5) });
    put(&anna, path, wanted.clone()).await.expect(StatusCode::OK);
    assert_eq!(anna.read(path).await["quiet_hours"], Value::Null);
    assert_eq!(anna.read(path).await["media"]["assigned"], json!(["in_app", "digest"]));
    assert_eq!(put(&anna, "/v1/me/chat_webhook", json!({ "url": chat })).await.status, StatusCode::NO_CONTENT);
    let fit = json!({ "endpoint": endpoint, "keys": browser.keys() });
    assert_eq!(anna.post("/v1/me/subscribe_push", fit).await.status, StatusCode::NO_CONTENT);
    let printer = ticket(admin, "Printer <3>").await;
    let path_of = format!("/v1/tickets/{printer}");
    let mention = async || admin.run(&format!("{path_of}/add_note"), json!({ "body": "@anna, look" })).await;
    mention().await;
    server.settle().await;
    let told = receiver.heard("/chat");
    let text = serde_json::from_slice::<Value>(&told[0].body).unwrap()["text"].as_str().unwrap().to_owned();
    let link = format!("https://desk.example.com/records/tickets/{printer}");
    assert!(text.contains("Byli jste zmíněni") && text.contains(&format!("<{link}|Printer &lt;3&gt;>")), "{text}");
    let pushed = receiver.heard("/push");
    let message = browser.read(&pushed[0].body);
    assert_eq!(message["title"], "Byli jste zmíněni: Printer <3>");
    assert_eq!(message["url"], format!("/records/tickets/{printer}"));
    let header = |name: &str| pushed[0].headers[name].to_str().unwrap().to_owned();
    let key = anna.read("/v1/me/push_key").await["key"].as_str().unwrap().to_owned();
    let claimed = claims(&header("authorization"), &key);
    assert_eq!(claimed["aud"], format!("http://{address}"));
    assert_eq!(
        (header("content-encoding"), header("topic")),
        ("aes128gcm".into(), message["tag"].as_str().unwrap().into())
    );
    let came = std::mem::take(&mut *mails.lock());
    assert_eq!((told.len(), pushed.len(), came.len()), (1, 1, 1));
    assert!(
        came[0].contains("To: \"anna@example.com\" <anna@example.com>") || came[0].contains("<anna@example.com>"),
        "{}",
        came[0]
    );
    assert!(came[0].contains("Auto-Submitted: auto-generated") && came[0].contains("notifications@desk.example.com"));
    assert_eq!(events(admin, "notification.delivered").await.len(), 3);
    admin.run(&format!("{path_of}/assign"), json!({ "assignee": anna_id })).await;
    admin.run(&format!("{path_of}/receive_message"), json!({ "body": "Hello" })).await;
    server.settle().await;
    assert_eq!(events(admin, "notification.sent").await.len(), 2, "what was said is not wanted");

    // In quiet hours the list has it at once; the rest waits, and is not said to whoever has read it meanwhile.
    let mut quietly = wanted.clone();
    quietly["quiet_hours"] = json!({ "from": of_day(-1), "until": of_day(1) });
    put(&anna, path, quietly).await.expect(StatusCode::OK);
    mention().await;
    mention().await;
    server.settle().await;
    assert!(receiver.heard("/chat").is_empty() && receiver.heard("/push").is_empty() && mails.lock().is_empty());
    let page = anna.read(&format!("{LIST}?limit=1")).await;
    assert_eq!(page["data"][0]["kind"], "mentioned");
    anna.post(&format!("{LIST}/mark_read"), json!({ "notifications": [page["data"][0]["id"]] }))
        .await
        .expect(StatusCode::OK);
    let second = admin.create("/v1/tickets", json!({ "title": "Screen" })).await;
    admin.run(&format!("/v1/tickets/{second}/assign"), json!({ "assignee": anna_id })).await;
    server.app.advance(Duration::from_secs(2 * 60 * 60));
    server.settle().await;
    assert_eq!((receiver.heard("/chat").len(), receiver.heard("/push").len(), mails.lock().len()), (1, 1, 1));

    // One mail a day tells of the rest. A browser that is gone is forgotten.
    mails.lock().clear();
    server.app.advance(Duration::from_secs(24 * 60 * 60));
    server.settle().await;
    let came = mails.lock().clone();
    assert_eq!(came.len(), 1, "{came:?}");
    assert!(came[0].contains("List-Unsubscribe: <https://desk.example.com/notifications"), "{}", came[0]);
    let by_digest = |event: &&Value| event["data"]["medium"] == "digest";
    assert_eq!(events(admin, "notification.delivered").await.iter().filter(by_digest).count(), 2);
    receiver.says(|_| Says::Status(410, &[]));
    mention().await;
    server.settle().await;
    assert_eq!(keyed.read("/v1/me/notification_ways").await["browsers"], json!([]));
    receiver.says(|_| Says::Status(200, &[]));
    anna.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let tried = anna.post("/v1/me/test_notification", json!({ "medium": "chat" })).await.expect(StatusCode::OK);
    assert_eq!(tried["delivered"], true, "{tried}");
    anna.post("/v1/me/test_notification", json!({ "medium": "push" })).await.problem(422, "notification_medium_unfit");

    // Handling all events anew sends nothing, and no event tells where somebody is reached.
    receiver.heard("/chat");
    mails.lock().clear();
    let reset =
        "update log_subscription set position = 0, epoch = epoch + 1, leased_until = null where name = 'react_outbox'";
    sqlx::query(reset).execute(&server.database.pool).await.unwrap();
    contact(admin, "Maria").await;
    server.settle().await;
    assert!(receiver.heard("/chat").is_empty() && mails.lock().is_empty());
    let all = admin.get("/v1/events?limit=1000&order=desc").await.text;
    assert!(!all.contains("key=secret") && !all.contains(&endpoint));
}
