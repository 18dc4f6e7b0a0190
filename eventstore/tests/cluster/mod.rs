//! A PostgreSQL cluster of our own on a Unix socket, gone when this process is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use eventstore::MIGRATOR;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A running cluster.
pub struct Cluster {
    pub directory: PathBuf,
    pub binaries: PathBuf,
    guard: Child,
}

/// Ends PostgreSQL and removes its files as soon as our end of its standard input closes, however we end.
const GUARD: &str = r#""$0" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=200 $2 & server=$!
read -r _; kill -TERM $server; kill -INT $server; wait $server; rm -rf "$1""#;

impl Cluster {
    pub fn start(settings: &str) -> Self {
        let binaries = binaries().expect("PostgreSQL's binaries: PG_BIN, PATH or /usr/lib/postgresql/*/bin");
        let directory = std::env::temp_dir().join(format!("eventstore-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&directory).unwrap();
        let user = other_user();
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir("/").env("LC_ALL", "C.UTF-8");
            if let Some((uid, gid)) = user {
                command.gid(gid).uid(uid);
            }
            command
        };
        let made = command(&binaries.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(directory.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = std::fs::File::create(directory.join("server.log")).unwrap();
        let guard = command(Path::new("/bin/sh"))
            .args(["-c", GUARD])
            .arg(binaries.join("postgres"))
            .arg(&directory)
            .arg(settings)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let cluster = Self { directory, binaries, guard };
        // The last line PostgreSQL writes there.
        let status = cluster.directory.join("data/postmaster.pid");
        let ready = || std::fs::read_to_string(&status).is_ok_and(|lines| lines.trim_end().ends_with("ready"));
        let began = std::time::Instant::now();
        while !ready() {
            assert!(began.elapsed().as_secs() < 60, "PostgreSQL does not start");
            std::thread::yield_now();
        }
        cluster
    }

    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .username("postgres")
            .database(database)
            .disable_statement_logging()
    }

    /// An empty database with the tables of the log.
    pub async fn migrated(&self, name: &str) {
        self.execute(&format!("create database {name}")).await;
        let mut connection = sqlx::PgConnection::connect_with(&self.options(name)).await.unwrap();
        let log: Vec<_> =
            MIGRATOR.iter().filter(|migration| migration.description.starts_with("log")).cloned().collect();
        let migrator = sqlx::migrate::Migrator { migrations: log.into(), ..sqlx::migrate::Migrator::DEFAULT };
        migrator.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub async fn execute(&self, statement: &str) {
        let mut connection = sqlx::PgConnection::connect_with(&self.options("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub async fn pool(&self, database: &str) -> PgPool {
        PgPoolOptions::new().max_connections(12).connect_with(self.options(database)).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The cluster all tests share, behind a socket that loses an answer when it is told to, and the connection with it: what was
/// asked has been done.
pub struct Lossy {
    directory: PathBuf,
    /// How many answers are still to be lost.
    losing: Arc<AtomicUsize>,
}

impl Lossy {
    /// Loses answers only on connections on which these words were once said.
    pub fn start(words: &'static str) -> Self {
        let directory = std::env::temp_dir().join(format!("lossy-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let lossy = Self { directory, losing: Arc::default() };
        let losing = Arc::clone(&lossy.losing);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(shared().directory.join(".s.PGSQL.5432")).await.unwrap();
                tokio::spawn(pass_on(client, server, words, Arc::clone(&losing)));
            }
        });
        lossy
    }

    pub fn options(&self, database: &str) -> PgConnectOptions {
        shared().options(database).socket(&self.directory)
    }

    pub fn lose_an_answer(&self) {
        self.losing.store(1, Ordering::Release);
    }

    pub fn has_lost(&self) -> bool {
        self.losing.load(Ordering::Acquire) == 0
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Passes on what client and server say, until either falls silent or an answer is lost.
async fn pass_on(mut client: UnixStream, mut server: UnixStream, words: &str, losing: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut meant = false;
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let Some(bytes) = count.ok().and_then(|count| asked.get(..count)).filter(|bytes| !bytes.is_empty()) else {
                    return;
                };
                meant |= bytes.windows(words.len()).any(|window| window == words.as_bytes());
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            count = server.read(&mut answered) => {
                let Some(bytes) = count.ok().and_then(|count| answered.get(..count)).filter(|bytes| !bytes.is_empty()) else {
                    return;
                };
                let lost = meant && losing.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
                if lost || client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The cluster all tests share.
pub fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start("-c fsync=off"))
}

/// The name of a database of one test's own.
pub async fn database() -> String {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    static CLONING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TEMPLATE.get_or_init(|| shared().migrated("migrated")).await;
    let name = format!("test_{}", Uuid::now_v7().simple());
    // A template can be copied by one at a time.
    let _cloning = CLONING.lock().await;
    shared().execute(&format!("create database {name} template migrated")).await;
    name
}

fn binaries() -> Option<PathBuf> {
    let given = std::env::var_os("PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    installed.sort_by_key(|entry| std::cmp::Reverse(entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0)));
    let installed = installed.into_iter().map(|entry| entry.path().join("bin"));
    given.into_iter().chain(std::env::split_paths(&path)).chain(installed).find(|bin| bin.join("initdb").exists())
}

/// PostgreSQL refuses to run as root: then another user runs it.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| {
        let named = |user| Some((id(&["-u", user])?, id(&["-g", user])?));
        named("postgres").or_else(|| named("nobody")).expect("a user to run PostgreSQL")
    })
}
