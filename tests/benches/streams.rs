//! Open screens with the inbox: how soon a message is on all of them, and how much memory each takes of the server.
//! `cargo bench -p deskfold-tests --bench streams`, with `-- --streams 10000` for more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use common::{Server, Times, tell_time};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

#[derive(Parser)]
struct Arguments {
    /// How many screens are open.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Messages a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Most memory of the server for each stream, in kB.
const MOST: f64 = 30.0;
/// Chats that messages come in.
const CHATS: usize = 50;
/// Clients that bring messages.
const BRINGING: usize = 4;

#[tokio::main]
async fn main() {
    common::be_server_if_asked().await;
    let arguments = Arguments::parse();
    let cluster = common::cluster().await;
    drop(common::database(&cluster, "inbox").await);
    let server = Server::start(&cluster.url("inbox"), None).await;
    let mut chats = Vec::new();
    let mut connections = server.connections(BRINGING).await;
    for chat in 0..CHATS {
        let body = format!(r#"{{"medium": "live_chat", "visitor": {{"name": "Visitor {chat}"}}}}"#);
        chats.push(connections[0].post("/v1/conversations", &body).await.id());
    }
    // What a server does for its first clients it does once.
    let warm = Screens::open(&server, 20).await;
    bring(&mut connections, &chats, 50, 2).await;
    warm.close().await;

    let before = server.resident();
    let screens = Screens::open(&server, arguments.streams).await;
    let quiet = server.resident();
    let brought = bring(&mut connections, &chats, arguments.rate, arguments.seconds).await;
    // The last message is on its way still.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let busy = server.resident();
    let shown = screens.close().await;

    let mut times = Times::default();
    let mut missing = 0;
    for arrivals in &shown {
        for (position, began) in &brought {
            match arrivals.get(position) {
                Some(arrived) => times.add(arrived.duration_since(*began)),
                None => missing += 1,
            }
        }
    }
    assert_eq!(missing, 0, "every message is on every screen");
    let each = |after: f64| (after - before) / arguments.streams as f64;
    println!(
        "    {} screens, {} messages at {}/s: p50 {:.1} ms; a screen takes {:.1} kB before the first message, {:.1} kB after the last",
        arguments.streams,
        brought.len(),
        arguments.rate,
        times.percentile(50),
        each(quiet),
        each(busy)
    );
    tell_time("message to all other screens, p99", times.percentile(99), 100.0);
    let verdict = if each(busy) <= MOST { "reached" } else { "MISSED" };
    println!("memory of a screen {:.1} kB (at most {MOST}: {verdict})", each(busy));
    server.stop();
    cluster.stop().await.unwrap();
}

/// Brings messages in at a steady rate; when each was brought, by its position.
async fn bring(
    connections: &mut [common::Connection],
    chats: &[String],
    rate: u32,
    seconds: u32,
) -> Vec<(i64, Instant)> {
    let began = Instant::now();
    let every = Duration::from_secs(1) / rate;
    let parts = connections.iter_mut().enumerate().map(|(first, connection)| async move {
        let mut brought = Vec::new();
        for turn in (first as u32..rate * seconds).step_by(BRINGING) {
            tokio::time::sleep_until((began + every * turn).into()).await;
            let chat = &chats[turn as usize % chats.len()];
            let at = Instant::now();
            let path = format!("/v1/conversations/{chat}/receive_message");
            let position = connection.post(&path, r#"{"body": "Good day, where is my order?"}"#).await.position;
            brought.push((position, at));
        }
        brought
    });
    futures::future::join_all(parts).await.concat()
}

/// Screens that note when each position arrives.
struct Screens {
    open: JoinSet<HashMap<i64, Instant>>,
    close: watch::Sender<bool>,
}

impl Screens {
    async fn open(server: &Server, count: usize) -> Screens {
        let (close, closed) = watch::channel(false);
        let mut screens = Screens { open: JoinSet::new(), close };
        for _ in 0..count {
            let stream = listen(server.address, &server.key).await;
            screens.open.spawn(note(stream, closed.clone()));
        }
        screens
    }

    async fn close(self) -> Vec<HashMap<i64, Instant>> {
        let _ = self.close.send(true);
        self.open.join_all().await
    }
}

/// A stream of the inbox, past its head.
async fn listen(address: SocketAddr, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/inbox/stream HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn note(mut stream: TcpStream, mut closed: watch::Receiver<bool>) -> HashMap<i64, Instant> {
    let (mut arrivals, mut text, mut buffer) = (HashMap::new(), Vec::new(), vec![0; 4096]);
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read.unwrap(),
            _ = closed.changed() => return arrivals,
        };
        assert!(read > 0, "the server hung up");
        let now = Instant::now();
        text.extend_from_slice(&buffer[..read]);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            if let Some(id) = std::str::from_utf8(&line).unwrap().strip_prefix("id: ") {
                arrivals.entry(id.trim().parse().unwrap()).or_insert(now);
            }
        }
    }
}
