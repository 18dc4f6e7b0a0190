//! The inbox as it lives: what happens is on the other screens at once, who types is shown, and presence follows from open screens.

use std::time::Duration;

use deskfold_tests::{Client, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    org::{auth::user_with, walls::said},
    world::NOBODY,
};

/// A screen with the inbox.
pub(crate) struct Screen {
    response: reqwest::Response,
    text: String,
}

/// A message of the stream.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Option<i64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Screen {
    pub(crate) async fn open(client: &Client) -> Screen {
        Screen::of(client, "/v1/inbox/stream").await
    }

    /// One that shows another stream of events.
    pub(crate) async fn of(client: &Client, path: &str) -> Screen {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Screen { response, text: String::new() }
    }

    /// The next message; `None` once the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let message = field("data:").map(|data| Message {
                    id: field("id:").map(|id| id.parse().unwrap()),
                    event: field("event:").unwrap().to_owned(),
                    data: serde_json::from_str(data).unwrap(),
                });
                self.text = rest.to_owned();
                if message.is_some() {
                    return message;
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// What comes up to this event of a conversation.
    async fn until(&mut self, conversation: &str, event: &str) -> Vec<Message> {
        let mut heard = Vec::new();
        loop {
            let message = self.next().await.expect("the stream goes on");
            let is_it = message.event == event && message.data["stream"] == format!("conversation-{conversation}");
            heard.push(message);
            if is_it {
                return heard;
            }
        }
    }
}

async fn chat(client: &Client, name: &str) -> String {
    client.create("/v1/conversations", json!({ "medium": "live_chat", "visitor": { "name": name } })).await
}

async fn says(client: &Client, chat: &str, body: &str) {
    client.run(&format!("/v1/conversations/{chat}/receive_message"), json!({ "body": body })).await;
}

async fn shows(client: &Client, chat: &str, signal: &str) {
    let shown = client.post("/v1/inbox/signals", json!({ "conversation": chat, "signal": signal })).await;
    assert_eq!(shown.status, StatusCode::NO_CONTENT);
}

async fn presence(server: &Server, user: &str) -> String {
    server.settle().await;
    let read = server.admin.read(&format!("/v1/users/{user}")).await;
    read["presence"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_happens_in_a_chat_is_on_the_other_screens_and_nowhere_else() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (eva_id, eva) = user_with(&server, "eva@example.com", &["conversation.*:own", "user.read"]).await;
    let (_, clerk) = user_with(&server, "clerk@example.com", &["ticket.*"]).await;
    clerk.get("/v1/inbox/stream").await.problem(403, "permission_denied");
    let mut eva_sees = Screen::open(&eva).await;
    let mut admin_sees = Screen::open(admin).await;
    let stranger = server.another_tenant("Quagga").await;
    let mut stranger_sees = Screen::open(&stranger).await;

    let (hers, others) = (chat(admin, "Maria").await, chat(admin, "Paolo").await);
    says(admin, &others, "not for Eva").await;
    admin.run(&format!("/v1/conversations/{hers}/assign"), json!({ "assignee": eva_id })).await;
    says(admin, &hers, "for Eva").await;
    let heard = eva_sees.until(&hers, "conversation.message_received").await;
    assert!(heard.iter().all(|message| message.data["stream"] != format!("conversation-{others}")), "{heard:?}");
    let last = heard.last().unwrap();
    assert_eq!((last.id, &last.data["data"]["body"]), (last.data["position"].as_i64(), &json!("for Eva")));
    let whole = admin_sees.until(&hers, "conversation.message_received").await;
    let received = whole.iter().filter(|message| message.event == "conversation.message_received");
    assert_eq!(
        received.map(|message| message.data["data"]["body"].clone()).collect::<Vec<_>>(),
        ["not for Eva", "for Eva"]
    );

    // Whoever reconnects misses nothing and gets nothing twice.
    let position = last.id.unwrap();
    drop(eva_sees);
    says(admin, &hers, "while she was away").await;
    let mut eva_sees = Screen::open(&eva.header("Last-Event-ID", position)).await;
    says(admin, &hers, "afterwards").await;
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let message = eva_sees.next().await.unwrap();
        if message.event == "conversation.message_received" {
            bodies.push(message.data["data"]["body"].clone());
        }
    }
    assert_eq!(bodies, ["while she was away", "afterwards"]);

    // What she loses she is told is gone, and no more of it.
    admin.run(&format!("/v1/conversations/{hers}/unassign"), json!({})).await;
    says(admin, &hers, "after she lost it").await;
    let again = chat(&eva, "Her own").await;
    let heard = eva_sees.until(&again, "conversation.started").await;
    let gone: Vec<_> = heard.iter().filter(|message| message.event == "gone").collect();
    assert_eq!(gone.len(), 1, "{heard:?}");
    assert_eq!(gone[0].data["conversation"], *hers);
    assert!(heard.iter().all(|message| !message.data.to_string().contains("after she lost it")), "{heard:?}");

    let own = chat(&stranger, "Elsewhere").await;
    let heard = stranger_sees.until(&own, "conversation.started").await;
    let started = heard.iter().filter(|message| message.event.starts_with("conversation."));
    assert_eq!(started.count(), 1, "{heard:?}");
}

#[tokio::test]
async fn who_types_and_who_looks_is_shown_to_those_who_see_the_chat_across_processes() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (_, beside) = server.beside(&["--roles", "api"]).await;
    let (eva_id, eva) = user_with(&server, "eva@example.com", &["conversation.*", "user.read"]).await;
    let (_, tom) = user_with(&server, "tom@example.com", &["conversation.*:own"]).await;
    let chat = chat(admin, "Maria").await;
    let mut admin_sees = Screen::open(admin).await;
    let mut elsewhere = Screen::open(&beside).await;
    let mut tom_sees = Screen::open(&tom).await;
    let mut eva_sees = Screen::open(&eva).await;
    let signal = |signal: &str| json!({ "conversation": chat, "signal": signal, "kind": "user", "by": eva_id });
    let next = async |screen: &mut Screen| loop {
        let message = screen.next().await.unwrap();
        if message.event == "signal" {
            assert_eq!(message.id, None, "what is stored nowhere moves nobody's place in the log");
            return message.data;
        }
    };
    // Until the other process listens, what is shown here is not heard there.
    for screen in [&mut admin_sees, &mut elsewhere] {
        loop {
            shows(&eva, &chat, "looking").await;
            let heard = tokio::time::timeout(Duration::from_millis(500), next(screen)).await;
            if let Ok(heard) = heard {
                assert_eq!(heard, signal("looking"));
                break;
            }
        }
    }
    // Whoever opens a screen now is shown what lasts.
    let mut later = Screen::open(admin).await;
    assert_eq!(next(&mut later).await, signal("looking"));
    shows(&eva, &chat, "typing").await;
    assert_eq!(next(&mut later).await, signal("typing"));
    shows(&eva, &chat, "left").await;
    assert_eq!(next(&mut later).await, signal("left"));
    // Her own screen does not tell her what she does, nor Tom's what he does not see.
    let mark = self::chat(&tom, "His own").await;
    for (screen, all) in [(&mut eva_sees, "Eva"), (&mut tom_sees, "Tom")] {
        let heard = screen.until(&mark, "conversation.started").await;
        assert!(heard.iter().all(|message| message.event != "signal"), "{all}: {heard:?}");
    }
    // A chat that he does not see is answered for as one that there is not, to the letter.
    let [hidden, none] = [&chat, NOBODY].map(|chat| json!({ "conversation": chat, "signal": "typing" }));
    let hidden = tom.post("/v1/inbox/signals", hidden).await;
    let none = tom.post("/v1/inbox/signals", none).await;
    assert_eq!(said(&hidden, &chat), said(&none, NOBODY));
    hidden.problem(404, "conversation_unknown");
    let unheard = json!({ "conversation": chat, "signal": "singing" });
    let refused = eva.post("/v1/inbox/signals", unheard).await.problem(422, "body_invalid");
    assert!(refused.to_string().contains("/signal"), "{refused}");
    let before = server.admin.read("/v1/events?backwards=true&limit=1").await["data"][0]["position"].clone();
    shows(&eva, &chat, "typing").await;
    let after = server.admin.read("/v1/events?backwards=true&limit=1").await["data"][0]["position"].clone();
    assert_eq!(before, after, "nothing is stored");
}

#[tokio::test]
async fn presence_follows_open_screens_and_pauses_but_not_against_ones_own_word() {
    let server = Server::start().await;
    let (eva_id, eva) = user_with(&server, "eva@example.com", &["conversation.*", "user.set_presence"]).await;
    let mut admin_sees = Screen::open(&server.admin).await;
    assert_eq!(presence(&server, &eva_id).await, "offline");
    let screen = Screen::open(&eva).await;
    let second = Screen::open(&eva).await;
    assert_eq!(presence(&server, &eva_id).await, "online");
    let came = loop {
        let message = admin_sees.next().await.unwrap();
        if message.data["stream"] == format!("user-{eva_id}") {
            break message;
        }
    };
    assert_eq!(came.event, "user.presence_changed");
    assert_eq!(came.data["data"], json!({ "from": "offline", "to": "online", "source": "session" }));

    // A pause makes her away, a touch brings her back; how long a pause is the tenant says.
    server.admin.run("/v1/tenants/current/change_setting", json!({ "key": "away_after_minutes", "value": 5 })).await;
    server.app.advance(Duration::from_secs(4 * 60));
    assert_eq!(presence(&server, &eva_id).await, "online");
    server.app.advance(Duration::from_secs(61));
    assert_eq!(presence(&server, &eva_id).await, "away");
    assert_eq!(eva.post("/v1/inbox/touch", json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(presence(&server, &eva_id).await, "online");

    // One screen closed is not all of them.
    let gone = async |server: &Server| {
        for _ in 0..200 {
            server.app.advance(Duration::from_secs(45));
            eva.post("/v1/inbox/touch", json!({})).await;
            if presence(server, &eva_id).await == "offline" {
                return true;
            }
        }
        false
    };
    drop(screen);
    server.app.advance(Duration::from_secs(45));
    assert_eq!(presence(&server, &eva_id).await, "online");
    drop(second);
    assert!(gone(&server).await, "the last screen is closed");
    // Back at the desk; but whoever says that she is not there is not, whatever is open and touched.
    let _screen = Screen::open(&eva).await;
    assert_eq!(presence(&server, &eva_id).await, "online");
    let off = json!({ "presence": "offline" });
    eva.run(&format!("/v1/users/{eva_id}/set_presence"), off).await;
    let _another = Screen::open(&eva).await;
    eva.post("/v1/inbox/touch", json!({})).await;
    assert_eq!(presence(&server, &eva_id).await, "offline");
}

#[tokio::test]
async fn nothing_is_given_by_rules_to_whoever_is_away() {
    let server = Server::start().await;
    let admin = &server.admin;
    let role = admin
        .create("/v1/roles", json!({ "name": "Chats", "permissions": ["conversation.*", "user.set_presence"] }))
        .await;
    let mut people = Vec::new();
    for name in ["eva", "tom"] {
        let user = admin.create("/v1/users", json!({ "email": format!("{name}@example.com"), "name": name })).await;
        crate::world::employ(admin, &user, &role).await;
        admin.run(&format!("/v1/users/{user}/set_presence"), json!({ "presence": "online" })).await;
        people.push(user);
    }
    let rule = json!({
        "name": "Whoever is there", "trigger": "conversation.started",
        "definition": {
            "selector": [{ "role": role }], "strategy": "least_busy",
            "actions": [{ "command": { "kind": "conversation", "command": "assign", "body": { "assignee": "{{ assignee.id }}" } } }],
        },
    });
    let rule = admin.create("/v1/rules", rule).await;
    admin.run(&format!("/v1/rules/{rule}/enable"), json!({})).await;
    admin.run(&format!("/v1/users/{}/set_presence", people[0]), json!({ "presence": "away" })).await;
    for name in ["Maria", "Paolo", "Ugo"] {
        let chat = chat(admin, name).await;
        server.settle().await;
        let read = admin.read(&format!("/v1/conversations/{chat}")).await;
        assert_eq!(read["assignee_id"], people[1], "{read}");
    }
}
