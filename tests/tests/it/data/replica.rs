//! A streaming replica answers queries, keeps to the positions they ask for, and is done without while it is gone.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use deskfold_tests::Client;
use gateway::postgres::{Embedded, Options};
use reqwest::StatusCode;
use sqlx::{Connection, PgConnection, PgPool, query, query_as, query_scalar};

use crate::{
    ground::{
        databases::until,
        program::{Running, home, keys},
    },
    world::{texts, ticket},
};

/// What its socket is called after, in the server's directory.
const PORT: u16 = 5433;

/// A replica of a server; it is stopped, should a test fail.
struct Replica {
    programs: PathBuf,
    arguments: [String; 6],
    /// As whom the server runs, who is not whom the tests run as where that is root.
    owner: (u32, u32),
}

impl Replica {
    /// A copy of the server that begins to follow it, with a socket beside the server's.
    async fn of(server: &Embedded, directory: &Path) -> Replica {
        let known = server.connect_options();
        let mut connection = PgConnection::connect_with(&known).await.unwrap();
        let asked = query_scalar("select setting from pg_config where name = 'BINDIR'");
        let programs: String = asked.fetch_one(&mut connection).await.unwrap();
        let (socket, port) = (known.get_socket().unwrap().to_str().unwrap(), known.get_port().to_string());
        let owner = fs::metadata(socket).map(|found| (found.uid(), found.gid())).unwrap();
        fs::create_dir(directory).unwrap();
        chown(directory, Some(owner.0), Some(owner.1)).unwrap();
        let copy = directory.join("data");
        let copy = copy.to_str().unwrap();
        let from =
            ["-D", copy, "-R", "-X", "stream", "-c", "fast", "-h", socket, "-p", &port, "-U", known.get_username()];
        let mut command = Command::new(Path::new(&programs).join("pg_basebackup"));
        run(command.uid(owner.0).gid(owner.1).args(from)).await;
        // A replica has room for whatever its server may do.
        let room: Vec<(String, String)> = query_as(
            "select name, setting from pg_settings where name in ('max_connections', 'max_worker_processes',
                 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let room: String = room.iter().map(|(name, setting)| format!(" -c {name}={setting}")).collect();
        let at = format!("-k {socket} -p {PORT} -c listen_addresses=''{room}");
        let arguments = ["-D", copy, "-l", &format!("{copy}.log"), "-o", &at].map(ToOwned::to_owned);
        let replica = Replica { programs: programs.into(), arguments, owner };
        replica.start().await;
        replica
    }

    fn control(&self) -> Command {
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command.uid(self.owner.0).gid(self.owner.1);
        command
    }

    async fn start(&self) {
        let mut command = self.control();
        let started = command.args(&self.arguments).args(["-w", "start"]).stdout(Stdio::null()).status().unwrap();
        assert!(started.success(), "{}", fs::read_to_string(&self.arguments[3]).unwrap_or_default());
    }

    async fn stop(&self) {
        run(self.control().args(&self.arguments[..2]).args(["-m", "immediate", "-w", "stop"])).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have been stopped.
        let _ = self.control().args(&self.arguments[..2]).args(["-m", "immediate", "stop"]).output();
    }
}

async fn run(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut started = command.spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || started.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{command:?}");
}

/// Whether queries go to the replica, by the metrics.
async fn until_used(client: &Client, used: bool) {
    let line = format!("deskfold_read_replica_used {}", i32::from(used));
    while !client.get("/metrics").await.text.lines().any(|found| found == line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_go_to_the_replica_which_keeps_to_positions_and_may_be_gone() {
    let home = home();
    let settings = vec![("wal_level".into(), "replica".into()), ("max_wal_senders".into(), "4".into())];
    let options = Options { fsync: false, settings, ..Options::default() };
    let server = Embedded::start(&home.path().join("server"), &options).await.unwrap();
    let copy = Replica::of(&server, &home.path().join("replica")).await;

    let url = server.url("deskfold");
    let port = server.connect_options().get_port();
    let read = url.replacen(&format!(":{port}/"), &format!(":{PORT}/"), 1);
    assert_ne!(read, url);
    let arguments = ["--database-url", &url, "--database-read-url", &read, "--rate-limit", "0"];
    let running = Running::start(home.path(), &arguments).await;
    let client = running.client(&keys(&running.printed())[0]);
    until_used(&client, true).await;

    // What was written is read there at once by whoever asks for it, page and single record.
    for number in 0..20 {
        let id = ticket(&client, &format!("Ticket {number}")).await;
        let head = client.read("/v1/events?limit=1").await["position"].as_i64().unwrap();
        let asking = client.header("deskfold-min-position", head);
        let page = asking.get("/v1/tickets?sort=-number&limit=1").await;
        assert_eq!(texts(&page.expect(StatusCode::OK), "title"), [format!("Ticket {number}")]);
        asking.get(&format!("/v1/tickets/{id}")).await.expect(StatusCode::OK);
    }
    // They do go there: a replica that stands still shows what it knows, says so, and has nothing newer.
    let replica = PgPool::connect(&read).await.unwrap();
    query("select pg_wal_replay_pause()").execute(&replica).await.unwrap();
    let before = client.get("/v1/tickets?sort=-number&limit=1").await;
    let reached: i64 = before.header("deskfold-position").parse().unwrap();
    ticket(&client, "Not there yet").await;
    let page = client.get("/v1/tickets?sort=-number&limit=1").await;
    if page.header("deskfold-position").parse::<i64>().unwrap() == reached {
        assert_eq!(texts(&page.expect(StatusCode::OK), "title"), ["Ticket 19"]);
    }
    // Too far behind, it is done without; and asked again once it has caught up.
    ticket(&client, "Nor this").await;
    until_used(&client, false).await;
    let listed = until(&client, "/v1/tickets?sort=-number&limit=1", |status, _| status == StatusCode::OK).await;
    assert_eq!(texts(&listed, "title"), ["Nor this"]);
    query("select pg_wal_replay_resume()").execute(&replica).await.unwrap();
    until_used(&client, true).await;
    replica.close().await;

    copy.stop().await;
    until_used(&client, false).await;
    ticket(&client, "Without it").await;
    let head = client.read("/v1/events?limit=1").await["position"].as_i64().unwrap();
    let page = client.header("deskfold-min-position", head).read("/v1/tickets?sort=-number&limit=1").await;
    assert_eq!(texts(&page, "title"), ["Without it"]);
    copy.start().await;
    until_used(&client, true).await;
    running.signal("TERM");
    let (well, log) = running.end().await;
    assert!(well, "{log}");
    copy.stop().await;
    server.stop().await.unwrap();
}
