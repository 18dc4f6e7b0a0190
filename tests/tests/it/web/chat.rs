//! The chat on a page of another origin, in a real browser: a visitor writes, is answered, loses nothing, and everybody can use it.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};
use deskfold_tests::{Client, Server};
use fantoccini::{Locator, elements::Element, key::Key};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chromium::{Chromium, Size, Window, is_stale};
use crate::{org::auth::user_with, world::texts};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody else's site, with a policy that lets no page do more than the chat is said to need.
#[derive(Clone)]
pub(super) struct Shop {
    desk: String,
    channel: String,
}

/// How its page is wanted.
#[derive(Deserialize)]
#[serde(default)]
struct Page {
    language: String,
    scheme: String,
    user: String,
    hash: String,
    /// Whether its policy lets pictures of the desk be shown.
    pictures: bool,
}

impl Default for Page {
    fn default() -> Page {
        Page { language: "en".into(), scheme: "light".into(), user: String::new(), hash: String::new(), pictures: true }
    }
}

impl Shop {
    /// Opens it; where it is.
    pub(super) async fn open(desk: &str, channel: &str) -> String {
        let shop = Shop { desk: desk.to_owned(), channel: channel.to_owned() };
        let router = Router::new().fallback(get(Shop::page)).with_state(shop);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    async fn page(State(Shop { desk, channel }): State<Shop>, Query(page): Query<Page>) -> impl IntoResponse {
        let Page { language, scheme, user, hash, pictures } = page;
        let pictures = if pictures { &desk } else { "'none'" };
        let policy = format!(
            "default-src 'none'; script-src {desk}; connect-src {desk}; img-src {pictures}; base-uri 'none'; form-action 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let identity =
            if user.is_empty() { String::new() } else { format!("data-user=\"{user}\" data-user-hash=\"{hash}\"") };
        let html = format!(
            "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>A shop</title>
            <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
            <meta name=\"color-scheme\" content=\"{scheme}\"></head>
            <body><main><h1>A shop of somebody else</h1><p>Bread and buns</p></main>
            <script src=\"{desk}/chat.js\" data-channel=\"{channel}\" data-name=\"Maria\" {identity} async></script></body></html>"
        );
        ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html))
    }
}

/// What is in the chat, behind the shadow in which it lives.
const INSIDE: &str = "const root = document.querySelector('deskfold-chat')?.shadowRoot; ";

impl Window {
    /// Waits until this is true of the chat.
    pub(super) async fn holds(&self, what: &str) {
        let true_now = format!("{INSIDE} try {{ return Boolean(root && ({what})) }} catch {{ return false }}");
        if !self.becomes(&true_now).await {
            let shown = self.run(&format!("{INSIDE} return root?.querySelector('.all').innerText")).await;
            panic!("not so: {what}\n{shown}\n{:?}", self.complaints().await);
        }
    }

    /// A part of the chat, as soon as it is shown.
    pub(super) async fn part(&self, css: &str) -> Element {
        self.holds(&format!("root.querySelector({})?.checkVisibility()", json!(css))).await;
        let host = self.client.find(Locator::Css("deskfold-chat")).await.unwrap();
        host.shadow_root().await.unwrap().find(Locator::Css(css)).await.unwrap()
    }

    /// Presses a part of the chat. What was drawn anew between finding and pressing was not pressed, and is found again.
    pub(super) async fn press(&self, css: &str) {
        while let Err(why) = self.part(css).await.click().await {
            assert!(is_stale(&why), "{css}: {why}");
        }
    }

    /// Types into a part of the chat.
    pub(super) async fn types_into(&self, css: &str, text: &str) {
        while let Err(why) = self.part(css).await.send_keys(text).await {
            assert!(is_stale(&why), "{css}: {why}");
        }
    }

    pub(super) async fn writes(&self, text: &str) {
        self.types_into(".text", &format!("{text}{}", char::from(Key::Enter))).await;
    }

    /// Waits until the messages are these, in this order and each once.
    pub(super) async fn reads(&self, messages: &[&str]) {
        let bodies = "[...root.querySelectorAll('li:not(.greeting) .body')].map((body) => body.textContent)";
        self.holds(&format!("JSON.stringify({bodies}) === {}", json!(json!(messages).to_string()))).await;
    }

    /// Gives the chat files as a hand does: a picture and a list.
    async fn gives(&self, how: &str) {
        let given = format!(
            "{INSIDE} const done = arguments[0];
            const canvas = Object.assign(document.createElement('canvas'), {{ width: 640, height: 400 }});
            const drawn = canvas.getContext('2d');
            drawn.fillStyle = '#c9822f'; drawn.fillRect(0, 0, 640, 400);
            drawn.fillStyle = '#fff3df'; drawn.fillRect(120, 120, 400, 160);
            canvas.toBlob((picture) => {{
                const data = new DataTransfer();
                data.items.add(new File([picture], 'A loaf of rye.png', {{ type: 'image/png' }}));
                data.items.add(new File(['rye, wheat'], 'list.txt', {{ type: 'text/plain' }}));
                {how};
                done();
            }});"
        );
        self.client.execute_async(&given, vec![]).await.unwrap();
    }

    /// Which part of the chat has the focus.
    async fn focused(&self) -> Value {
        self.run(&format!("{INSIDE} return root?.activeElement?.className ?? document.activeElement.tagName")).await
    }

    /// What is kept in the browser.
    pub(super) async fn kept(&self) -> Value {
        self.run("return { here: { ...localStorage }, tab: { ...sessionStorage }, cookies: document.cookie }").await
    }

    async fn is_offline(&self, offline: bool) {
        let conditions = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        for (cmd, params) in [("Network.enable", json!({})), ("Network.emulateNetworkConditions", conditions)] {
            self.own("goog/cdp/execute", json!({ "cmd": cmd, "params": params })).await.unwrap();
        }
    }
}

/// A channel in which Anna answers, and Anna.
pub(super) async fn bakery(server: &Server) -> (String, String, Client) {
    let (user, anna) = user_with(server, "anna@example.com", &["*"]).await;
    let channel = anna.create("/v1/channels", json!({ "kind": "live_chat", "name": "Bakery" })).await;
    (channel, user, anna)
}

pub(super) async fn looks(anna: &Client, channel: &str, looks: Value) {
    anna.run(&format!("/v1/channels/{channel}/change_appearance"), looks).await;
}

pub(super) async fn is_present(anna: &Client, user: &str, presence: &str) {
    anna.run(&format!("/v1/users/{user}/set_presence"), json!({ "presence": presence })).await;
}

#[tokio::test]
async fn a_visitor_of_another_site_is_answered_and_nothing_is_lost_or_doubled() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    let shop = Shop::open(&server.admin.base, &channel).await;
    looks(&anna, &channel, json!({ "greeting": "Ask us about bread.", "display": "show_with_notification" })).await;
    let settings = json!({ "allowed_origins": [shop] });
    anna.run(&format!("/v1/channels/{channel}/change_settings"), settings).await;
    is_present(&anna, &user, "online").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let maria = chromium.window(&server, Size::Wide).await;

    // A button and a greeting; nothing is kept before she writes.
    maria.goto(&shop).await;
    maria.holds("root.querySelector('.greet').textContent === 'Ask us about bread.'").await;
    maria.press(".launch").await;
    maria.holds("root.querySelector('.presence').textContent === 'We are here'").await;
    assert_eq!(maria.focused().await, "text");
    assert_eq!(maria.kept().await, json!({ "here": {}, "tab": {}, "cookies": "" }));

    // What she writes is text, and links in it lead out.
    maria.writes("Do you have <b>rye</b>? https://example.com/rye?x=1.").await;
    let first = "Do you have <b>rye</b>? https://example.com/rye?x=1.";
    maria.reads(&[first]).await;
    maria.holds("root.querySelector('.own .foot').textContent.endsWith('· Sent')").await;
    maria.holds("!root.querySelector('.body b') && root.querySelector('.body a').rel.includes('noopener')").await;
    maria.holds("root.querySelector('.body a').href === 'https://example.com/rye?x=1'").await;
    let kept = maria.kept().await;
    assert!(kept["here"].to_string().contains("dfv_") && kept["cookies"] == "", "{kept}");
    server.settle().await;
    let chats = anna.read("/v1/conversations").await;
    let chat = chats["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((chats["data"].as_array().unwrap().len(), &chats["data"][0]["channel_id"]), (1, &json!(channel)));

    // A second tab is in the same conversation.
    let one = maria.client.window().await.unwrap();
    let other = maria.client.new_window(true).await.unwrap().handle;
    let (one, other) = (&one, &other);
    let at = async |tab: &fantoccini::wd::WindowHandle| maria.client.switch_to_window(tab.clone()).await.unwrap();
    at(other).await;
    maria.goto(&format!("{shop}/bread")).await;
    maria.press(".launch").await;
    maria.reads(&[first]).await;

    // Anna types, and answers; it is there in both, and she knows that it was read.
    let does = async |command: &str, body: Value| {
        anna.run(&format!("/v1/conversations/{chat}/{command}"), body).await;
    };
    does("claim", json!({})).await;
    anna.post("/v1/inbox/signals", json!({ "conversation": chat, "signal": "typing" })).await;
    maria.holds("root.querySelector('.typing').innerText.includes('anna@example.com is typing')").await;
    does("send_message", json!({ "body": "We do." })).await;
    maria.reads(&[first, "We do."]).await;
    maria.holds("root.querySelector('.typing').hidden").await;
    let read = async {
        loop {
            server.settle().await;
            let messages = anna.read(&format!("/v1/conversations/{chat}/messages")).await;
            if messages["data"][1]["delivery"] == "read" {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("what is shown is read");
    maria.writes("Two, please.").await;
    let all = [first, "We do.", "Two, please."];
    maria.reads(&all).await;
    at(one).await;
    maria.reads(&all).await;

    // A page that is loaded anew goes on where it was.
    maria.goto(&format!("{shop}/?again")).await;
    maria.reads(&all).await;
    maria.holds("root.querySelector('dialog').open").await;
    assert_eq!(maria.complaints().await, Vec::<String>::new());

    // Without a network it waits, and neither side's words are lost.
    maria.is_offline(true).await;
    maria.writes("Are you there?").await;
    maria.holds("root.querySelector('.notice').textContent.startsWith('The connection is lost')").await;
    maria.holds("root.querySelector('li:last-child .foot').textContent === 'Sending'").await;
    does("send_message", json!({ "body": "They are warm." })).await;
    maria.is_offline(false).await;
    maria.holds("root.querySelector('.own:last-child .foot, li:nth-last-child(2).own .foot').textContent.endsWith('· Sent')").await;
    maria
        .holds("root.querySelectorAll('li:not(.greeting)').length === 5 && root.querySelector('.notice').hidden")
        .await;
    server.settle().await;
    let messages = anna.read(&format!("/v1/conversations/{chat}/messages")).await;
    assert_eq!(messages["data"].as_array().unwrap().len(), 5, "{messages}");
    let lost = maria.complaints().await;
    assert!(lost.iter().all(|line| line.contains("ERR_INTERNET_DISCONNECTED")), "{lost:?}");

    // What is written while she looks elsewhere is counted, and no more once she has seen it in the other tab.
    maria.press(".shut").await;
    assert_eq!(maria.focused().await, "launch");
    does("send_message", json!({ "body": "Shall we keep them?" })).await;
    maria.holds("root.querySelector('.count').textContent === '1' && root.querySelector('.launch').ariaLabel.includes('New messages: 1')").await;
    at(other).await;
    maria.holds("root.querySelectorAll('li:not(.greeting)').length === 6").await;
    at(one).await;
    maria.holds("root.querySelector('.count').hidden").await;
    maria.press(".launch").await;

    // She ends it, by keyboard, and says how it was.
    maria.press(".end").await;
    assert_eq!(maria.focused().await, "act yes");
    maria.press(".yes").await;
    maria.part(".stars").await;
    maria.press(".stars label:nth-child(4)").await;
    maria.types_into("#words", "Warm indeed").await;
    maria.press(".rate .act").await;
    maria.holds("root.querySelector('.asked').innerText.includes('Thank you')").await;
    server.settle().await;
    let closed = anna.read(&format!("/v1/conversations/{chat}")).await;
    assert_eq!(closed["status"], "closed", "{closed}");

    // Whoever writes again opens it again; whoever begins anew leaves the old one behind.
    maria.writes("One more thing").await;
    maria.holds("root.querySelector('.asked').hidden").await;
    server.settle().await;
    assert_eq!(anna.read(&format!("/v1/conversations/{chat}")).await["status"], "open");
    does("close", json!({})).await;
    maria.press(".again").await;
    maria.reads(&[]).await;
    assert_eq!(maria.kept().await["here"], json!({}));
    at(other).await;
    maria.reads(&[]).await;
    maria.writes("Something else").await;
    maria.reads(&["Something else"]).await;
    at(one).await;
    maria.reads(&["Something else"]).await;
    server.settle().await;
    assert_eq!(anna.read("/v1/conversations").await["data"].as_array().unwrap().len(), 2);
    assert_eq!(maria.complaints().await, Vec::<String>::new());
    assert_eq!(maria.kept().await["cookies"], "");
    maria.close().await;
}

/// Dropped on the chat.
const DROPPED: &str = "const panel = root.querySelector('.panel');
    panel.dispatchEvent(new DragEvent('dragover', { dataTransfer: data, bubbles: true, cancelable: true }));
    panel.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))";
/// Pasted into the text.
const PASTED: &str = "root.querySelector('.text').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }))";
/// Chosen from the computer.
const PICKED: &str = "const picker = root.querySelector('.picker'); picker.files = data.files; picker.dispatchEvent(new Event('change'))";

#[tokio::test]
async fn files_are_chosen_looked_at_and_sent_once() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    let shop = Shop::open(&server.admin.base, &channel).await;
    is_present(&anna, &user, "online").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let maria = chromium.window(&server, Size::Wide).await;
    maria.goto(&shop).await;
    maria.press(".launch").await;

    // Whatever way they came, nothing leaves before she says so.
    maria.gives(PICKED).await;
    maria.holds("root.querySelectorAll('.tray li').length === 2").await;
    maria.press(".tray li:nth-child(2) button").await;
    maria.gives(PASTED).await;
    maria.holds("root.querySelectorAll('.tray li').length === 3").await;
    maria.press(".tray li:nth-child(2) button").await;
    server.settle().await;
    let none = |list: &Value| list["data"].as_array().unwrap().is_empty();
    assert!(none(&anna.read("/v1/uploads").await) && none(&anna.read("/v1/conversations").await));

    // Files alone are a message, over a network that is lost meanwhile too, and each is there once.
    maria.is_offline(true).await;
    maria.press(".send").await;
    maria.holds("root.querySelector('.notice').textContent.startsWith('The connection is lost')").await;
    maria.is_offline(false).await;
    maria.holds("root.querySelector('.own .foot').textContent.endsWith('· Sent')").await;
    maria.holds("root.querySelector('.own img').naturalWidth === 320").await;
    server.settle().await;
    assert_eq!(anna.read("/v1/uploads").await["data"].as_array().unwrap().len(), 2);
    let chats = anna.read("/v1/conversations").await;
    let chat = chats["data"][0]["id"].as_str().unwrap();
    let said = anna.read(&format!("/v1/conversations/{chat}/messages")).await;
    let names = said["data"][0]["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect::<Vec<_>>();
    assert_eq!((said["data"].as_array().unwrap().len(), names), (1, vec!["A loaf of rye.png", "list.txt"]));

    // A page that lets no pictures of others be shown has them by name, and so has one that is loaded anew.
    maria.goto(&format!("{shop}/?pictures=false")).await;
    maria.holds("root.querySelectorAll('.own a.file').length === 2 && !root.querySelector('img')").await;
    maria.close().await;
}

#[tokio::test]
async fn everybody_can_use_the_chat_on_every_screen_in_every_light() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    let shop = Shop::open(&server.admin.base, &channel).await;
    let Some(chromium) = Chromium::start().await else { return };
    let mut chats: Vec<String> = Vec::new();
    for size in [Size::Wide, Size::Phone] {
        for (scheme, language, color) in [("light", "en", "#ffd400"), ("dark", "uk", "#0b6b5d")] {
            looks(
                &anna,
                &channel,
                json!({ "greeting": "Ask us about bread.", "color": color, "display": "show_with_notification" }),
            )
            .await;
            is_present(&anna, &user, "offline").await;
            server.settle().await;
            let window = chromium.window(&server, size).await;
            let looked_at = async |name: &str| {
                let barriers = window.barriers().await;
                assert!(barriers.is_empty(), "{name}, {scheme}, {size:?}: {barriers:#?}");
                assert!(!window.overflows().await, "{name}, {size:?}");
                window.picture(&format!("chat-{name}-{size:?}-{scheme}")).await;
            };
            window.goto(&format!("{shop}/?scheme={scheme}&language={language}")).await;
            window.part(".greet").await;
            looked_at("greeting").await;

            // Nobody is there: an address is asked for, and looked at.
            window.press(".launch").await;
            window.part(".mail").await;
            looked_at("offline").await;
            if let Size::Phone = size {
                window.holds("root.querySelector('.panel').getBoundingClientRect().width === innerWidth").await;
            }
            window.types_into("#email", "maria at example").await;
            window.writes("Have you rye?").await;
            window.holds("root.querySelector('.wrong').textContent && root.activeElement.id === 'email'").await;
            looked_at("wrong").await;
            let email = window.part("#email").await;
            email.clear().await.unwrap();
            email.send_keys("maria@example.com").await.unwrap();
            window.writes("").await;
            window.reads(&["Have you rye?"]).await;
            window.holds("root.querySelector('.mail').hidden").await;
            window.holds("root.querySelector('.own .foot').textContent.includes('·')").await;
            server.settle().await;
            let found = texts(&anna.read("/v1/conversations").await, "id");
            let chat = found.into_iter().find(|id| !chats.contains(id)).expect("a conversation began");
            chats.push(chat.clone());
            let said = anna.read(&format!("/v1/conversations/{chat}")).await.to_string();
            assert!(said.contains("maria@example.com"), "{said}");

            is_present(&anna, &user, "online").await;
            window.holds("root.querySelector('.presence').classList.contains('here')").await;
            let does = async |command: &str, body: Value| {
                anna.run(&format!("/v1/conversations/{chat}/{command}"), body).await;
            };
            does("claim", json!({})).await;
            does("send_message", json!({ "body": "Every morning, from six. See https://example.com/rye" })).await;
            window.holds("root.querySelectorAll('.other:not(.greeting)').length === 1").await;
            anna.post("/v1/inbox/signals", json!({ "conversation": chat, "signal": "typing" })).await;
            window.part(".typing").await;
            looked_at("open").await;

            // Files are looked at before they are sent.
            window.gives(DROPPED).await;
            window.holds("root.querySelectorAll('.tray li').length === 2 && root.querySelector('.tray canvas')").await;
            looked_at("chosen").await;
            window.writes("This one").await;
            window.holds("root.querySelector('.own img').naturalWidth === 320").await;
            window
                .holds(
                    "root.querySelectorAll('.own:last-child .file').length === 1 && root.querySelector('.tray').hidden",
                )
                .await;
            looked_at("files").await;

            let press = async |key: Key| {
                let script = format!("{INSIDE} return root.activeElement");
                let focused = window.client.execute(&script, vec![]).await.unwrap();
                let id = focused.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
                let element = Element::from_element_id(window.client.clone(), id.into());
                element.send_keys(&char::from(key).to_string()).await.unwrap();
            };
            // Faces are chosen by arrow keys, and Escape leads back step by step.
            window.press(".face").await;
            press(Key::Right).await;
            looked_at("faces").await;
            let second = "root.activeElement === root.querySelector('.faces button:nth-child(2)')";
            window.holds(second).await;
            press(Key::Enter).await;
            window.holds("root.querySelector('.text').value === '😂' && root.activeElement.className === 'text'").await;
            press(Key::Escape).await;
            window.holds("!root.querySelector('dialog').open && root.activeElement.className === 'launch'").await;
            does("send_message", json!({ "body": "Shall we keep one?" })).await;
            window.part(".count").await;
            looked_at("unread").await;
            window.press(".launch").await;
            window.press(".end").await;
            looked_at("sure").await;
            window.press(".yes").await;
            window.press(".stars label:nth-child(3)").await;
            looked_at("rating").await;
            window.press(".rate .act").await;
            window.part(".again").await;
            looked_at("rated").await;
            assert_eq!(window.complaints().await, Vec::<String>::new());
            window.close().await;
        }
    }
}

#[tokio::test]
async fn the_chat_opens_hides_and_speaks_as_the_channel_and_the_page_say() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    let shop = Shop::open(&server.admin.base, &channel).await;
    is_present(&anna, &user, "online").await;
    let rule = |path: &str, display: &str| json!({ "rule": { "path_regex": path, "display": display } });
    for (path, display) in [("^/hidden", "hide"), ("^/opens", "auto_open")] {
        anna.run(&format!("/v1/channels/{channel}/add_display_rule"), rule(path, display)).await;
    }
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    let window = chromium.window(&server, Size::Wide).await;
    window.goto(&format!("{shop}/hidden")).await;
    window.holds("root.querySelector('.all').hidden").await;
    // It opens unasked, and nobody is torn away from what he does; on a telephone it covers nothing.
    window.goto(&format!("{shop}/opens")).await;
    window.holds("root.querySelector('dialog').open").await;
    assert_eq!(window.focused().await, "BODY");
    // A page that moves without being loaded is another page.
    window.run("history.pushState(null, '', '/hidden')").await;
    window.holds("root.querySelector('.all').hidden").await;
    let phone = chromium.window(&server, Size::Phone).await;
    phone.goto(&format!("{shop}/opens")).await;
    phone.part(".launch").await;
    phone.holds("!root.querySelector('dialog').open").await;
    phone.close().await;

    // From right to left the button is on the left.
    window.goto(&format!("{shop}/?language=ar")).await;
    window.press(".launch").await;
    window.holds("root.querySelector('dialog').getBoundingClientRect().left < 40").await;
    window.picture("chat-rtl").await;
    for (language, said) in [("cs-CZ", "Jsme tu"), ("uk", "Ми на зв’язку"), ("ru", "Мы на связи"), ("lt", "Mes čia")]
    {
        window.goto(&format!("{shop}/?language={language}")).await;
        window.press(".launch").await;
        window.holds(&format!("root.querySelector('.presence').textContent === {}", json!(said))).await;
    }
    assert_eq!(window.complaints().await, Vec::<String>::new());

    // Whose hash is not the site's is not let in, and told that nothing was sent.
    window.goto(&format!("{shop}/?user=42&hash=00")).await;
    window.press(".launch").await;
    window.writes("It is me").await;
    window.holds("root.querySelector('.failed .foot').textContent.startsWith('Not sent')").await;
    assert_eq!(window.kept().await["here"], json!({}), "what began nothing is not remembered");
    assert_eq!(window.complaints().await.iter().filter(|line| !line.contains("403")).count(), 0);

    // Pages of other origins are not spoken with.
    let settings = json!({ "allowed_origins": ["https://elsewhere.example"] });
    anna.run(&format!("/v1/channels/{channel}/change_settings"), settings).await;
    server.settle().await;
    window.goto(&shop).await;
    let refused = async { while !window.complaints().await.iter().any(|line| line.contains("403")) {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("the chat asks, and is refused");
    assert_eq!(window.run("return document.querySelector('deskfold-chat')").await, Value::Null);
    window.close().await;
}

#[tokio::test]
async fn a_link_in_a_mail_leads_to_the_chat_as_a_page() {
    let server = Server::start().await;
    let (channel, user, anna) = bakery(&server).await;
    looks(&anna, &channel, json!({ "greeting": "Ask us about bread." })).await;
    is_present(&anna, &user, "online").await;
    server.settle().await;
    let Some(chromium) = Chromium::start().await else { return };
    for size in [Size::Wide, Size::Phone] {
        let window = chromium.window(&server, size).await;
        window.goto(&format!("/chat/{channel}")).await;
        window.find("html.scripted").await;
        window.saying("h1", "Bakery").await;
        assert_eq!(window.kept().await, json!({ "here": {}, "tab": {}, "cookies": "" }));
        window.writes("Good day").await;
        window.reads(&["Good day"]).await;
        window.holds("root.querySelector('.own .foot').textContent.endsWith('· Sent')").await;
        for theme in ["light", "dark"] {
            window.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
            let barriers = window.barriers().await;
            assert!(barriers.is_empty(), "{theme}, {size:?}: {barriers:#?}");
            window.picture(&format!("chat-page-{size:?}-{theme}")).await;
        }
        assert!(!window.overflows().await);
        assert_eq!(window.complaints().await, Vec::<String>::new());
        assert_eq!(window.kept().await["cookies"], "");
        window.close().await;
    }
}
