//! A real browser: Chromium without a screen, driven by WebDriver.

use std::{path::PathBuf, process::Stdio, time::Duration};

use deskfold_tests::{Server, root};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    error::{CmdError, ErrorStatus},
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// The driver of Chromium, which ends with the test, and every browser with it.
pub(super) struct Chromium {
    address: String,
    process: Child,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // A driver that is killed leaves its browsers behind: they are of one group.
        let group = self.process.id().map(|id| format!("-{id}"));
        let ended = std::process::Command::new("kill").args(["-KILL", "--"]).args(group).status();
        drop(ended);
    }
}

/// Whether a page is held to be without barriers in this light at this size, which takes long: every page is in each light and at
/// each size once, which of the four pairs by its turn.
pub(super) fn is_its_turn(turn: usize, size: Size, theme: &str) -> bool {
    (turn + size as usize + usize::from(theme == "dark")).is_multiple_of(2)
}

/// How large a window is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// A desk's.
    Wide,
    /// A telephone's.
    Phone,
}

/// A window with cookies of its own.
pub(super) struct Window {
    pub(super) client: Client,
    pub(super) base: String,
}

/// A command of Chromium's own.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Chromium {
    /// Starts it, unless there is none: then the test is skipped, and says so.
    pub(super) async fn start() -> Option<Chromium> {
        let there = std::process::Command::new("chromedriver").arg("--version").stdout(Stdio::null()).status();
        if there.is_err() {
            eprintln!("SKIPPED: there is no chromedriver; deploy/install-prerequisites.sh tests installs it");
            return None;
        }
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver runs");
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = output.next_line().await.unwrap().expect("the driver says where it listens");
            if let Some(port) = line.split("started successfully on port ").nth(1) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        Some(Chromium { address: format!("http://127.0.0.1:{port}"), process })
    }

    pub(super) async fn window(&self, server: &Server, size: Size) -> Window {
        let mut arguments = vec!["--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en"];
        // Chromium's own walls need rights that a container does not give.
        arguments.extend(["--no-sandbox", "--window-size=1280,900", "--force-color-profile=srgb"]);
        let mut options = json!({ "args": arguments });
        if let Size::Phone = size {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2.0 } });
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".into(), options);
        capabilities.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&self.address).await;
        Window { client: client.expect("Chromium starts"), base: server.admin.base.clone() }
    }
}

/// Whether what was found has been drawn anew since.
pub(super) fn is_stale(why: &CmdError) -> bool {
    matches!(why, CmdError::Standard(error) if error.error == ErrorStatus::StaleElementReference)
}

impl Window {
    pub(super) async fn goto(&self, path: &str) {
        let address = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.goto(&address).await.unwrap();
    }

    async fn appears(&self, place: Locator<'_>) -> Element {
        let waits = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(20));
        match waits.for_element(place).await {
            Ok(element) => element,
            Err(error) => panic!("{place:?} is not at {}: {error}\n{}", self.path().await, self.text("body").await),
        }
    }

    /// The element, as soon as it is there.
    pub(super) async fn find(&self, css: &str) -> Element {
        self.appears(Locator::Css(css)).await
    }

    /// The innermost element of this name that says this, as soon as there is one.
    pub(super) async fn saying(&self, name: &str, text: &str) -> Element {
        let says = format!("contains(normalize-space(.), {})", json!(text));
        self.appears(Locator::XPath(&format!("//body//{name}[{says}][not(.//{name}[{says}])]"))).await
    }

    pub(super) async fn text(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    pub(super) async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub(super) async fn click(&self, css: &str) {
        // What is drawn anew at that moment is looked for once more.
        loop {
            match self.find(css).await.click().await {
                Err(why) if is_stale(&why) => {}
                clicked => return clicked.unwrap(),
            }
        }
    }

    /// Where the window is: path and query.
    pub(super) async fn path(&self) -> String {
        let address = self.client.current_url().await.unwrap();
        address.as_str().strip_prefix(&self.base).unwrap_or(address.as_str()).to_owned()
    }

    /// Waits until the window is there, and the page is filled.
    pub(super) async fn arrives(&self, path: &str) {
        let address = Url::parse(&format!("{}{path}", self.base)).unwrap();
        let waits = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(20));
        if let Err(error) = waits.for_url(&address).await {
            panic!("at {}, not {path}: {error}\n{}", self.path().await, self.text("body").await);
        }
        self.settled().await;
    }

    /// Waits until nothing of the page is still being filled.
    pub(super) async fn settled(&self) {
        self.find("html.scripted:not(:has(main [aria-busy=\"true\"]))").await;
    }

    /// Marks the page, so that one sees when it was loaded anew.
    pub(super) async fn mark(&self) {
        self.run("document.body.dataset.before = ''").await;
    }

    /// Waits until the page was loaded anew since it was marked.
    pub(super) async fn reloaded(&self) {
        self.find("body:not([data-before])").await;
        self.settled().await;
    }

    pub(super) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Whether a function of this body becomes true before patience ends.
    pub(super) async fn becomes(&self, body: &str) -> bool {
        let script = format!(
            "const done = arguments[0]; const until = Date.now() + {}; const holds = () => {{ {body} }};
             const look = () => {{ if (holds()) done(true); else if (Date.now() > until) done(false); else setTimeout(look, 20); }};
             look();",
            PATIENCE.as_millis()
        );
        self.client.execute_async(&script, vec![]).await.is_ok_and(|held| held == json!(true))
    }

    pub(super) async fn own(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Own { path, body }).await
    }

    /// What the browser complains of since the last time: scripts that fail, and whatever a policy forbids.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let log = self.own("se/log", json!({ "type": "browser" })).await.unwrap();
        let lines = log.as_array().unwrap().iter();
        let severe = lines.filter(|line| line["level"] == "SEVERE");
        severe.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// What axe-core finds wrong with the page for people who see, hear or move less well.
    pub(super) async fn barriers(&self) -> Vec<String> {
        let axe = root().join("target/node/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).expect("deploy/install-prerequisites.sh tests installs axe-core");
        self.client.execute(&axe, vec![]).await.unwrap();
        let run = "const done = arguments[arguments.length - 1];
            axe.run(document).then(({ violations }) => done(violations.flatMap(({ id, help, nodes }) =>
                nodes.map((node) => `${id} (${help}): ${node.html} ${node.failureSummary}`))), (error) => done([String(error)]));";
        let found = self.client.execute_async(run, vec![]).await.unwrap();
        found.as_array().unwrap().iter().map(|barrier| barrier.as_str().unwrap().to_owned()).collect()
    }

    /// Whether anything is wider than the window, which one would have to scroll sideways for.
    pub(super) async fn overflows(&self) -> bool {
        self.run("return document.documentElement.scrollWidth > document.documentElement.clientWidth").await
            == json!(true)
    }

    /// Keeps a picture of the whole page in the folder that `DESKFOLD_SCREENSHOTS` names, if it names one.
    pub(super) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("DESKFOLD_SCREENSHOTS").map(PathBuf::from) else { return };
        let whole =
            json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true, "format": "png" } });
        let taken = self.own("goog/cdp/execute", whole).await.unwrap();
        let bytes = data_encoding::BASE64.decode(taken["data"].as_str().unwrap().as_bytes()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Whether everybody can read the page, on a desk and on a telephone, by day and by night.
    pub(super) async fn is_for_everybody(&self, name: &str) {
        for width in [375, 1280] {
            self.sized(width, 900).await;
            for theme in ["light", "dark"] {
                self.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
                let barriers = self.barriers().await;
                assert!(barriers.is_empty(), "{name}, {theme}, {width}: {barriers:#?}");
                self.picture(&format!("{name}-{width}-{theme}")).await;
            }
            assert!(!self.overflows().await, "{name} is wider than the window: {width}");
        }
    }

    /// Makes the window as wide and high as this.
    pub(super) async fn sized(&self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        let sized = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.own("goog/cdp/execute", sized).await.unwrap();
    }

    /// Shows the page as it is printed, or as it is on the screen again.
    pub(super) async fn printed(&self, printed: bool) {
        let media = if printed { "print" } else { "" };
        let shown = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "media": media } });
        self.own("goog/cdp/execute", shown).await.unwrap();
    }

    pub(super) async fn close(self) {
        self.client.close().await.unwrap();
    }
}
