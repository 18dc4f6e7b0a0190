//! A nats-server of one test's own, on the loopback, that can be killed, emptied and held up.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A nats-server with JetStream on a port that stays the same. It is killed with this value.
pub struct NatsServer {
    home: TempDir,
    port: u16,
    user: Option<(String, String)>,
    child: Option<Child>,
}

impl NatsServer {
    /// A running one.
    pub fn start() -> NatsServer {
        NatsServer::with("")
    }

    /// A running one with more lines of configuration.
    pub fn with(lines: &str) -> NatsServer {
        let mut server = NatsServer::absent();
        server.configure(lines);
        server.run();
        server
    }

    /// A running one that asks for this user and password, or those in these further lines of configuration.
    pub fn guarded(user: &str, password: &str, others: &str) -> NatsServer {
        let mut server = NatsServer::absent();
        let users = format!("authorization {{ users: [\n{{ user: {user:?}, password: {password:?} }}\n{others}\n] }}");
        server.configure(&users);
        server.user = Some((user.to_owned(), password.to_owned()));
        server.run();
        server
    }

    /// One that does not run yet; its address is known.
    pub fn absent() -> NatsServer {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        let server = NatsServer { home: TempDir::new().expect("a directory"), port, user: None, child: None };
        server.configure("");
        server
    }

    fn configure(&self, lines: &str) {
        let (port, store) = (self.port, self.store());
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}, max_file_store: 1GB }}\n{lines}\n"
        );
        fs::write(self.home.path().join("nats.conf"), text).expect("write the configuration");
    }

    /// Where it listens, as a URL; with its user and password if it asks for them.
    pub fn url(&self) -> String {
        match &self.user {
            Some((user, password)) => self.url_of(user, password),
            None => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    /// Where it listens, for this user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let letter = |letter: char| match letter {
            letter if letter.is_ascii_alphanumeric() => letter.to_string(),
            other => other.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect(),
        };
        let escaped = |text: &str| text.chars().map(letter).collect::<String>();
        format!("nats://{}:{}@127.0.0.1:{}", escaped(user), escaped(password), self.port)
    }

    /// A client of its own.
    pub async fn client(&self) -> async_nats::Client {
        let mut options = async_nats::ConnectOptions::new();
        if let Some((user, password)) = self.user.clone() {
            options = options.user_and_password(user, password);
        }
        options.connect(format!("127.0.0.1:{}", self.port)).await.expect("nats-server answers")
    }

    /// Starts it on what it had stored, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::File::create(self.home.path().join("nats.log")).expect("its log");
        let mut child = Command::new(binary())
            .arg("-c")
            .arg(self.home.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server starts");
        let began = Instant::now();
        while !self.answers() {
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "nats-server does not start: {}", self.log());
            thread::yield_now();
        }
        self.child = Some(child);
    }

    /// The first line a server says is about itself.
    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("nats.log")).unwrap_or_default()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Removes everything it has stored. It must not be running.
    pub fn empty(&mut self) {
        assert!(self.child.is_none(), "it runs");
        fs::remove_dir_all(self.store()).expect("remove the store");
    }

    /// Sends it a signal: `STOP` holds it up without closing its connections, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }
}

/// What nats-server says with these arguments, and whether it ended well.
pub fn nats_server(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary()).args(arguments).output().expect("nats-server starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program: `NATS_SERVER_BIN`, on the path, or where Debian puts it.
fn binary() -> PathBuf {
    let given = env::var_os("NATS_SERVER_BIN").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join("nats-server"));
    let all = given.into_iter().chain(found).chain([Path::new("/usr/sbin/nats-server").to_owned()]);
    all.into_iter().find(|path| path.is_file()).expect("nats-server: deploy/install-prerequisites.sh installs it")
}
