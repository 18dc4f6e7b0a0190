//! What the benches share: a cluster with fsync on, a server in a process of its own, lean HTTP clients, figures.

#![allow(dead_code, unreachable_pub, reason = "each bench uses its part")]

mod crowd;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use domain::{Aggregate, Id, Time};
use eventstore::{Append, Expected, Log, NewEvent, StreamWrite};
use futures::StreamExt;
use gateway::{
    config::Cli,
    postgres::{Embedded, Options},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

/// Tells a server that it has all the read models of [`crowd`].
const CROWDED: &str = "BENCH_CROWDED";

/// Becomes the server if this process was started as one: a bench starts itself again, so that what it measures is what
/// it was built with.
pub async fn be_server_if_asked() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        if std::env::var_os(CROWDED).is_some() {
            crowd::register();
        }
        gateway::cli::run(Cli::parse()).await.unwrap();
        std::process::exit(0);
    }
}

/// A throwaway PostgreSQL that writes to the disk as one in earnest does, and has the memory that one has: tests make do
/// with little.
pub async fn cluster() -> Embedded {
    let settings = [
        ("max_wal_size", "16GB"),
        ("shared_buffers", "2GB"),
        ("effective_cache_size", "8GB"),
        ("maintenance_work_mem", "512MB"),
        ("work_mem", "16MB"),
        ("wal_buffers", "16MB"),
    ];
    let settings = settings.map(|(name, value)| (name.into(), value.into())).to_vec();
    Embedded::temporary(&Options { settings, ..Options::default() }).await.unwrap()
}

/// A new database with the whole schema.
pub async fn database(cluster: &Embedded, name: &str) -> PgPool {
    let mut maintenance = PgConnection::connect_with(&cluster.connect_options_for("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut maintenance).await.unwrap();
    maintenance.close().await.unwrap();
    // As the server's connections are.
    let options = cluster.connect_options_for(name).options([("jit", "off"), ("join_collapse_limit", "1")]);
    let pool = PgPoolOptions::new().max_connections(16).connect_with(options).await.unwrap();
    eventstore::MIGRATOR.run(&pool).await.unwrap();
    pool
}

/// `deskfold serve` in a process of its own, with everything it does by default.
pub struct Server {
    process: Child,
    directory: tempfile::TempDir,
    pub address: SocketAddr,
    pub key: String,
}

impl Server {
    /// Starts one over this database. The first one over a database learns the admin's key; later ones are told it.
    pub async fn start(url: &str, key: Option<&str>) -> Server {
        Server::with(url, key, &[]).await
    }

    /// The same with more arguments.
    pub async fn with(url: &str, key: Option<&str>, more: &[&str]) -> Server {
        Server::spawn(url, key, more, Command::new(std::env::current_exe().unwrap())).await
    }

    /// One with as many read models as a system three times the size: those there are not yet are empty.
    pub async fn crowded(url: &str, pool: &PgPool) -> Server {
        crowd::create(pool).await;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CROWDED, "yes");
        Server::spawn(url, None, &[], command).await
    }

    async fn spawn(url: &str, key: Option<&str>, more: &[&str], mut command: Command) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        command.arg("serve").args(["--database-url", url, "--rate-limit", "0"]);
        command.args(more).args(["--listen", &address.to_string()]).arg("--data-dir").arg(directory.path());
        command.env("DESKFOLD_LOG", "error").stdout(Stdio::null());
        let mut server = Server { process: command.spawn().unwrap(), directory, address, key: String::new() };
        while TcpStream::connect(address).await.is_err() {
            assert!(server.process.try_wait().unwrap().is_none(), "the server ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.key = match key {
            Some(key) => key.to_owned(),
            None => std::fs::read_to_string(server.directory.path().join("admin.key")).unwrap().trim().to_owned(),
        };
        server
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address, &self.key).await
    }

    pub async fn connections(&self, count: usize) -> Vec<Connection> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(self.connect().await);
        }
        connections
    }

    /// The memory it takes, in kB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, if it was stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One keep-alive connection: HTTP/1.1 with as little work as possible, so that the server has the machine.
pub struct Connection {
    stream: TcpStream,
    key: String,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Reply<'a> {
    pub status: u16,
    /// `Deskfold-Position`, 0 when there is none.
    pub position: i64,
    pub body: &'a [u8],
}

impl Connection {
    async fn open(address: SocketAddr, key: &str) -> Connection {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, key: key.to_owned(), out: Vec::new(), buffer: Vec::with_capacity(64 << 10) }
    }

    /// Sends a request and reads the whole answer.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> Reply<'_> {
        use std::io::Write;
        self.out.clear();
        let (key, length) = (&self.key, body.len());
        write!(
            self.out,
            "{method} {path} HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        self.stream.write_all(&self.out).await.unwrap();
        self.buffer.clear();
        let (head, length) = loop {
            self.read().await;
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
                break (end + 4, header(head, "content-length").unwrap().parse::<usize>().unwrap());
            }
        };
        while self.buffer.len() < head + length {
            self.read().await;
        }
        let text = std::str::from_utf8(&self.buffer[..head]).unwrap();
        Reply {
            status: text[9..12].parse().unwrap(),
            position: header(text, "deskfold-position").map_or(0, |position| position.parse().unwrap()),
            body: &self.buffer[head..head + length],
        }
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(read > 0, "the server hung up");
    }

    /// `GET` that must answer 200.
    pub async fn get(&mut self, path: &str) -> Reply<'_> {
        let reply = self.call("GET", path, "").await;
        assert!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
        reply
    }

    /// `POST` that must be accepted.
    pub async fn post(&mut self, path: &str, body: &str) -> Reply<'_> {
        let reply = self.call("POST", path, body).await;
        assert!(reply.status < 300, "{path}: {} {}", reply.status, reply.text());
        reply
    }

    /// Waits until the list, single tickets and threads show everything up to a position.
    pub async fn settle(&mut self, ticket: &str, position: i64) {
        for path in [
            "/v1/tickets?limit=1&".to_owned(),
            format!("/v1/tickets/{ticket}?"),
            format!("/v1/tickets/{ticket}/thread?"),
        ] {
            while self.call("GET", &format!("{path}min_position={position}"), "").await.status == 503 {}
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

impl Reply<'_> {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }

    /// The id of the record that was created.
    pub fn id(&self) -> String {
        const START: &[u8] = b"\"id\":\"";
        let at = self.body.windows(START.len()).position(|window| window == START).unwrap() + START.len();
        String::from_utf8(self.body[at..at + 26].to_vec()).unwrap()
    }
}

/// How long things took.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn extend(&mut self, other: Times) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[at].as_secs_f64() * 1000.0
    }
}

/// Appends per second through the log alone: each client has its streams of 50 events and expects exact versions.
pub async fn appends_per_second(log: &Log, clients: usize, length: Duration) -> f64 {
    const TENANT: &str = "01J00000000000000000000000";
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let log = log.clone();
        tokio::spawn(async move {
            let (mut stream, mut version, mut count) = (String::new(), -1, 0);
            while began.elapsed() < length {
                if version < 0 {
                    stream = format!("ticket-{}", &Uuid::now_v7().simple().to_string()[..26]);
                }
                let expected = if version < 0 { Expected::NoStream } else { Expected::Exact(version) };
                let append = Append {
                    tenant: TENANT.into(),
                    command_id: Uuid::now_v7(),
                    fingerprint: 0,
                    remember: false,
                    writes: vec![StreamWrite { stream: stream.clone(), expected, events: vec![event()] }],
                    claims: vec![],
                };
                version = log.append(append).await.unwrap().versions[0];
                if version >= 49 {
                    version = -1;
                }
                count += 1;
            }
            count
        })
    });
    let counts = futures::future::join_all(tasks).await;
    let count: usize = counts.into_iter().map(Result::unwrap).sum();
    count as f64 / began.elapsed().as_secs_f64()
}

/// A whole stream: what happened to a record, when, by whom and with whom.
pub fn stream<A: Aggregate>(
    id: Id,
    user: Id,
    subject: Option<Id>,
    events: impl IntoIterator<Item = (Time, A::Event)>,
) -> StreamWrite {
    let command = Uuid::from_u128(id.bits());
    let mut metadata = json!({
        "actor": { "kind": "user", "id": user }, "via": "api", "command_id": command, "correlation_id": command,
    });
    if let Some(subject) = subject {
        metadata["subject"] = json!(subject);
    }
    let metadata = bytes::Bytes::from(metadata.to_string());
    let events = events.into_iter().map(|(at, event)| {
        let (kind, data) = A::encode(&event);
        NewEvent {
            id: Uuid::now_v7(),
            kind,
            occurred_at: Some(at),
            is_json: true,
            data: data.into(),
            metadata: metadata.clone(),
            number: None,
        }
    });
    StreamWrite { stream: A::stream(id), expected: Expected::NoStream, events: events.collect() }
}

/// Appends streams past commands, many at once.
pub async fn seed(log: &Log, tenant: Id, streams: impl Iterator<Item = StreamWrite>) {
    const TOGETHER: usize = 40;
    let mut streams = streams;
    let batches = std::iter::from_fn(|| {
        let writes: Vec<StreamWrite> = streams.by_ref().take(TOGETHER).collect();
        let tenant = tenant.to_string();
        let append =
            Append { tenant, command_id: Uuid::now_v7(), fingerprint: 0, remember: false, writes, claims: vec![] };
        (!append.writes.is_empty()).then_some(append)
    });
    let appended = futures::stream::iter(batches).map(|append| {
        let log = log.clone();
        tokio::spawn(async move { log.append(append).await.unwrap() })
    });
    appended.buffer_unordered(16).for_each(async |done| drop(done.unwrap())).await;
}

/// Events per second when the whole log is read, each as JSON.
pub async fn replay(log: &Log, head: i64) -> f64 {
    let began = Instant::now();
    let mut pages = log.replay(0, head);
    while let Some(page) = pages.next().await {
        for event in page.unwrap() {
            let _: Value = event.decode().unwrap();
        }
    }
    head as f64 / began.elapsed().as_secs_f64()
}

/// Waits until every read model has everything.
pub async fn reached(log: &Log, pool: &PgPool) {
    let head = log.head().await.unwrap();
    let behind = "select count(*) from log_subscription where position < $1 and name <> 'react_rules'";
    while sqlx::query_scalar::<_, i64>(behind).bind(head).fetch_one(pool).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The tenant of a log that has one, and a user who works there.
pub async fn tenant_and_user(server: &Server, pool: &PgPool) -> (Id, Id) {
    let user = r#"{"name": "Anna", "email": "anna@example.com"}"#;
    let user = server.connect().await.post("/v1/users", user).await.id();
    let tenant: String = sqlx::query_scalar("select tenant_id from log_event limit 1").fetch_one(pool).await.unwrap();
    (tenant.parse().unwrap(), user.parse().unwrap())
}

/// 250 bytes of data and 110 of metadata.
fn event() -> NewEvent {
    let filled = |start: &str, length: usize| format!("{start}{}\"}}", "x".repeat(length - start.len() - 2));
    NewEvent {
        id: Uuid::now_v7(),
        kind: "ticket.note_added".into(),
        occurred_at: None,
        is_json: true,
        data: filled(r#"{"message_id":"01J2Z3K4M5N6P7Q8R9S0T1V2W3","body":""#, 250).into(),
        metadata: filled(r#"{"actor":{"kind":"user","id":"01J2Z3K4M5N6P7Q8R9S0T1V2W4"},"via":"api","x":""#, 110).into(),
        number: None,
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line of the table: a rate, and how it compares with another of the same run.
pub fn tell_rate(what: &str, rate: f64, against: &str, other: f64, target: f64) {
    let ratio = rate / other;
    let verdict = if ratio >= target { "reached" } else { "MISSED" };
    println!(
        "{what:<42} {rate:>10.0}/s   {against:<34} {other:>10.0}/s   ratio {ratio:.2} (at least {target:.2}: {verdict})"
    );
}

/// One line of the table: a time in milliseconds, and how it compares with another of the same run.
pub fn tell_times(what: &str, milliseconds: f64, against: &str, other: f64, most: f64) {
    let ratio = milliseconds / other;
    let verdict = if ratio <= most { "reached" } else { "MISSED" };
    println!(
        "{what:<42} {milliseconds:>9.2} ms   {against:<34} {other:>9.2} ms   ratio {ratio:.2} (at most {most:.2}: {verdict})"
    );
}

/// One line of the table: a time, and the most it may be, both in milliseconds.
pub fn tell_time(what: &str, milliseconds: f64, most: f64) {
    tell_times(what, milliseconds, "the most it may be", most, 1.0);
}
