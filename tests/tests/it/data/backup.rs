//! A running desk is backed up with `deploy/backup.sh`, and from each kind of backup a fresh server goes on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use deskfold_tests::{Client, NatsServer, root};
use gateway::postgres::{Embedded, Options};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tempfile::TempDir;

use crate::{
    ground::{
        databases::until,
        nats::agrees,
        program::{Running, deskfold, home, keys, output},
    },
    world::{texts, ticket},
};

/// A desk that runs on a private cluster and publishes to NATS.
struct Desk {
    home: TempDir,
    running: Running,
    key: String,
    nats: NatsServer,
}

impl Desk {
    async fn start() -> Desk {
        let (home, nats) = (home(), NatsServer::start());
        let running = Running::start(home.path(), &["--rate-limit", "0", "--nats-url", &nats.url()]).await;
        let key = keys(&running.printed()).remove(0);
        Desk { home, running, key, nats }
    }

    fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn client(&self) -> Client {
        self.running.client(&self.key)
    }

    /// Backs it up while it is written to, lets it go on, and stops it. Every event it had, and the file.
    async fn backed_up(&self, kind: &'static str) -> (BTreeMap<i64, String>, PathBuf) {
        let (client, backup) = (self.client(), self.home.path().join("backup"));
        for number in 0..10 {
            ticket(&client, &format!("Before {number}")).await;
        }
        let data_dir = self.data_dir();
        let [file, directory] = [&backup, &data_dir].map(|path| path.to_str().unwrap().to_owned());
        let saving = async move { script(&[kind, &file], &[("DESKFOLD_DATA_DIR", &directory)]).await };
        let mut saving = tokio::spawn(saving);
        let mut meanwhile = 0;
        let (well, said) = loop {
            let title = format!("Meanwhile {meanwhile}");
            tokio::select! {
                saved = &mut saving => break saved.unwrap(),
                // One page of a list holds them all.
                _ = ticket(&client, &title), if meanwhile < 180 => meanwhile += 1,
            }
        };
        assert!(well && meanwhile > 0, "{said}");
        for number in 0..3 {
            ticket(&client, &format!("After {number}")).await;
        }
        let head = client.read("/v1/events").await["position"].as_i64().unwrap();
        published(&client, head).await;
        let events = events(Embedded::running(&data_dir).expect("it runs")).await;
        assert_eq!(events.len(), usize::try_from(head).unwrap());
        self.running.signal("TERM");
        (events, backup)
    }
}

/// Runs `deploy/backup.sh`; whether it ended well, and what it said.
async fn script(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(root().join("deploy/backup.sh"));
    command.args(arguments).env_remove("DATABASE_URL").env_remove("DESKFOLD_DATA_DIR");
    command.env("DESKFOLD", deskfold(&[]).get_program()).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Waits until JetStream has everything up to here.
async fn published(client: &Client, position: i64) {
    let is_there = |_, ready: &Value| {
        ready["relay"]["state"] == "publishing" && ready["relay"]["position"].as_i64() >= Some(position)
    };
    until(client, "/readyz", is_there).await;
}

/// A digest of each event, as PostgreSQL itself makes one of the whole row.
async fn events(database: PgConnectOptions) -> BTreeMap<i64, String> {
    let mut connection = PgConnection::connect_with(&database).await.unwrap();
    let rows: Vec<(i64, String)> =
        sqlx::query_as("select position, md5(e::text) from log_event e").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.into_iter().collect()
}

/// A restored log holds what the desk had up to some moment of the backup, each event as it was, and nothing else.
fn is_a_beginning_of(whole: &BTreeMap<i64, String>, restored: &BTreeMap<i64, String>) {
    let last = i64::try_from(restored.len()).unwrap();
    assert!(restored.keys().copied().eq(1..=last), "positions have no hole");
    assert!(restored.iter().all(|(position, digest)| whole[position] == *digest), "each event is what it was");
    assert!(restored.len() + 3 <= whole.len(), "what came after the backup is not in it");
}

/// The restored desk answers with what it holds, rebuilds a read model to the same rows, and takes the next command.
async fn goes_on(client: &Client, head: i64, database: &[&str]) {
    until(client, "/readyz", |status, _| status == StatusCode::OK).await;
    assert_eq!(client.read("/v1/events").await["position"], head);
    let list = format!("/v1/tickets?sort=number&limit=200&min_position={head}");
    // Leases of the desk that was have first to run out.
    let listed = until(client, &list, |status, _| status == StatusCode::OK).await;
    let titles = texts(&listed, "title");
    assert!(titles.starts_with(&(0..10).map(|number| format!("Before {number}")).collect::<Vec<_>>()), "{titles:?}");
    assert!(!titles.iter().any(|title| title.starts_with("After")), "{titles:?}");
    let rebuilt = output(&[&["rebuild", "ticket_list"], database].concat()).await;
    assert!(rebuilt.contains(&format!("rebuilt up to position {head}")), "{rebuilt}");
    assert_eq!(client.read(&list).await, listed, "what is folded anew is what was there");
    ticket(client, "The next one").await;
    let newest = format!("/v1/tickets?sort=-number&limit=1&min_position={}", head + 1);
    let listed = until(client, &newest, |status, _| status == StatusCode::OK).await;
    assert_eq!(texts(&listed, "title"), ["The next one"]);
    let number = listed["data"][0]["number"].as_u64().unwrap();
    assert_eq!(number, titles.len() as u64 + 1, "numbers go on without a hole");
}

/// A restored log that ends before JetStream's stream does: the relay refuses it, until somebody rebuilds.
async fn refuses_until_rebuilt(client: &Client, nats: &NatsServer, database: &[&str], pool: &PgPool) {
    let refused = until(client, "/readyz", |_, ready| ready["relay"]["state"] == "refusing").await;
    assert_eq!((&refused["ready"], &refused["events_from"]), (&Value::Bool(true), &Value::from("postgresql")));
    let reason = refused["relay"]["reason"].as_str().unwrap();
    assert!(reason.contains("backup") && reason.contains("relay rebuild"), "{reason}");
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line == "deskfold_relay_refusing 1"), "the alert hears of it");

    output(&[&["relay", "rebuild", "--nats-url", &nats.url()], database].concat()).await;
    ticket(client, "After the rebuild").await;
    let head = client.read("/v1/events").await["position"].as_i64().unwrap();
    published(client, head).await;
    agrees(nats, pool, 1).await;
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line == "deskfold_relay_refusing 0"), "{metrics}");
}

async fn ended(running: Running) {
    running.signal("TERM");
    let (well, log) = running.end().await;
    assert!(well, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_a_running_desk_is_restored_into_a_fresh_server() {
    let desk = Desk::start().await;
    let (whole, dump) = desk.backed_up("dump").await;
    let Desk { running, key, nats, home: old } = desk;
    assert!(running.end().await.0);

    let fresh = home();
    let options = Options { fsync: false, ..Options::default() };
    let server = Embedded::start(&fresh.path().join("server"), &options).await.unwrap();
    let url = server.url("deskfold");
    let environment = [("DATABASE_URL", url.as_str())];
    let dump = dump.to_str().unwrap();
    let (well, said) = script(&["restore", dump], &environment).await;
    assert!(well, "{said}");
    let restored = events(server.connect_options()).await;
    is_a_beginning_of(&whole, &restored);
    let (well, said) = script(&["check", dump], &environment).await;
    assert!(well && said.contains("as it was"), "{said}");
    let (well, said) = script(&["restore", dump], &environment).await;
    assert!(!well && said.contains("not empty"), "what is there is not overwritten: {said}");

    let database = ["--database-url", url.as_str()];
    let running = Running::start(fresh.path(), &[&database[..], &["--nats-url", &nats.url()]].concat()).await;
    assert!(keys(&running.printed()).is_empty(), "the desk is not a new one");
    let client = running.client(&key);
    goes_on(&client, i64::try_from(restored.len()).unwrap(), &database).await;
    let pool = PgPool::connect(&url).await.unwrap();
    refuses_until_rebuilt(&client, &nats, &database, &pool).await;

    // One event that is not what it was, and one that is missing, are found.
    ended(running).await;
    let spoil = "update log_event set data = data || ' '::bytea where position = 3";
    sqlx::query(spoil).execute(&pool).await.unwrap();
    let (well, said) = script(&["check", dump], &environment).await;
    assert!(!well && said.contains("not that of the backup"), "{said}");
    sqlx::query("delete from log_event where position = 3").execute(&pool).await.unwrap();
    let (well, said) = script(&["check", dump], &environment).await;
    assert!(!well && said.contains("has not the events"), "{said}");
    pool.close().await;
    server.stop().await.unwrap();
    drop(old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_of_a_running_desk_becomes_a_private_cluster() {
    let desk = Desk::start().await;
    let (whole, base) = desk.backed_up("base").await;
    let Desk { running, key, nats, home: old } = desk;
    assert!(running.end().await.0);

    let fresh = home();
    let data_dir = fresh.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    copied(&base, &data_dir.join("postgres"));
    let environment = [("DESKFOLD_DATA_DIR", data_dir.to_str().unwrap())];
    let (well, said) = script(&["check", base.to_str().unwrap()], &environment).await;
    assert!(well && said.contains("as it was"), "{said}");

    let database = ["--data-dir", data_dir.to_str().unwrap()];
    let running = Running::start(fresh.path(), &["--rate-limit", "0", "--nats-url", &nats.url()]).await;
    let reached = Embedded::running(&data_dir).expect("it runs");
    let restored = events(reached.clone()).await;
    is_a_beginning_of(&whole, &restored);
    let client = running.client(&key);
    goes_on(&client, i64::try_from(restored.len()).unwrap(), &database).await;
    let pool = PgPool::connect_with(reached).await.unwrap();
    refuses_until_rebuilt(&client, &nats, &database, &pool).await;
    pool.close().await;
    ended(running).await;
    drop(old);
}

/// A base backup and every change since then: nothing acknowledged is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_and_the_archived_wal_lose_nothing() {
    let home = home();
    let archive = home.path().join("archive");
    fs::create_dir(&archive).unwrap();
    open_to_everybody(&archive);
    let settings = [
        ("archive_mode", "on".to_owned()),
        ("archive_command", format!("cp %p {}/%f", archive.display())),
        ("restore_command", format!("cp {}/%f %p", archive.display())),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let options = Options { settings, ..Options::default() };
    let server = Embedded::start(&home.path().join("server"), &options).await.unwrap();
    let url = server.url("deskfold");
    let running = Running::start(home.path(), &["--rate-limit", "0", "--database-url", &url]).await;
    let key = keys(&running.printed()).remove(0);
    let client = running.client(&key);
    for number in 0..10 {
        ticket(&client, &format!("Before {number}")).await;
    }
    let base = home.path().join("base");
    let (well, said) = script(&["base", base.to_str().unwrap()], &[("DATABASE_URL", &url)]).await;
    assert!(well, "{said}");
    for number in 0..5 {
        ticket(&client, &format!("Since {number}")).await;
    }
    ended(running).await;
    let whole = events(server.connect_options()).await;
    // The last segment is archived when the server stops, as it is when it is full.
    server.stop().await.unwrap();

    let restored = home.path().join("restored");
    fs::create_dir(&restored).unwrap();
    copied(&base, &restored.join("postgres"));
    let cluster = restored.join("postgres");
    fs::write(cluster.join("recovery.signal"), "").unwrap();
    owned_like(&cluster, &home.path().join("server/postgres"));
    let server = Embedded::start(&restored, &options).await.unwrap();
    let recovered = async {
        let mut connection = PgConnection::connect_with(&server.connect_options()).await.unwrap();
        let recovering = "select pg_is_in_recovery()";
        while sqlx::query_scalar::<_, bool>(recovering).fetch_one(&mut connection).await.unwrap() {}
        connection.close().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), recovered).await.expect("it recovers");
    assert_eq!(events(server.connect_options()).await, whole, "nothing is missing, nothing is different");

    let url = server.url("deskfold");
    let (well, said) = script(&["check", base.to_str().unwrap()], &[("DATABASE_URL", &url)]).await;
    assert!(well, "{said}");
    let running = Running::start(home.path(), &["--rate-limit", "0", "--database-url", &url]).await;
    let client = running.client(&key);
    until(&client, "/readyz", |status, _| status == StatusCode::OK).await;
    ticket(&client, "The next one").await;
    let head = client.read("/v1/events").await["position"].clone();
    let listed = client.read(&format!("/v1/tickets?sort=number&min_position={head}")).await;
    assert_eq!(texts(&listed, "title").len(), 16);
    ended(running).await;
    server.stop().await.unwrap();
}

/// As `docs/operations.md` says it is done: with owners and modes.
fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn owned_like(files: &Path, other: &Path) {
    let reference = format!("--reference={}", other.display());
    assert!(Command::new("chown").arg("-R").arg(reference).arg(files).status().unwrap().success());
}

fn open_to_everybody(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
}
