//! The harness of the tests: one private PostgreSQL per test process, and in it a migrated database for each test.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a set-up that fails is a test that fails, and the message is its report"
)]

pub mod document;
pub mod meta;
mod nats;
mod post;
mod server;
pub mod telegram;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use gateway::postgres::{Embedded, Options};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

pub use nats::{NatsServer, nats_server};
pub use post::PostOffice;
pub use server::{Client, Reply, SECRET_KEY, Server, config};

/// Migrated once and cloned for every test.
const TEMPLATE: &str = "deskfold_template";

/// The cluster of this process. It is never dropped, and need not be: it ends, and is deleted, with the process.
static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

struct Cluster {
    embedded: Embedded,
    /// Names of databases whose tests are over.
    finished: mpsc::Sender<String>,
}

/// A database of one test's own, with every migration applied. It is dropped in the background after its test.
#[derive(Debug)]
pub struct Database {
    /// Connections to it.
    pub pool: PgPool,
    /// How another process, or a `--database-url`, names it.
    pub url: String,
    name: String,
    finished: mpsc::Sender<String>,
}

/// A fresh, migrated database.
///
/// # Panics
/// If PostgreSQL cannot be started or a migration fails; the message says why.
pub async fn database() -> Database {
    named(TEMPLATE).await
}

/// A database like a template, by a name of its own.
async fn named(template: &str) -> Database {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let cluster = cluster().await;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    execute(&cluster.maintenance(), format!("create database {name} template {template} strategy file_copy")).await;
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .connect_with(cluster.embedded.connect_options_for(&name))
        .await
        .expect("connect to the test's database");
    Database { pool, url: cluster.embedded.url(&name), name, finished: cluster.finished.clone() }
}

/// A database of the tests' cluster as another program left it: a plain dump, compressed, is restored into it.
///
/// # Panics
/// As [`database`], and if the dump cannot be restored.
pub async fn restored(dump: &Path) -> Database {
    let database = named("template0").await;
    // What keeps a dump's meta-commands harmless is new in minor releases: others do not know it.
    let restore = r"gzip --decompress --stdout $0 | grep --invert-match -E '^\\(un)?restrict ' |
                    $1/psql --quiet --no-psqlrc --output /dev/null --set ON_ERROR_STOP=1";
    database.script(restore, dump).await;
    database
}

/// A database that stays as it is, and of which tests have copies. It goes with the process.
pub struct Kept {
    name: String,
}

impl Kept {
    /// A copy, as a database of one test's own.
    ///
    /// # Panics
    /// As [`database`].
    pub async fn copy(&self) -> Database {
        named(&self.name).await
    }
}

/// Waits until something is so that nobody announces: another's server is up, bytes have come over a connection. False when it
/// is not after half a minute.
pub async fn until(holds: impl AsyncFn() -> bool) -> bool {
    for _ in 0..600 {
        if holds().await {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    false
}

/// A port of loopback that nobody listens at, for a server that is told its port. It is below those that systems hand out by themselves,
/// so that no connection of another test takes it meanwhile, and no two tests of this process are given the same.
///
/// # Panics
/// When a thousand ports in a row are taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize * 101;
    let port = |number: usize| u16::try_from(12_000 + (first + number) % 20_000).unwrap_or(12_000);
    let mut tried = (0..1_000).map(|_| port(NEXT.fetch_add(1, Ordering::Relaxed)));
    tried.find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

/// The repository's root, where fixtures and documents are found.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

impl Database {
    /// Keeps it for other tests as it is now. Nobody may be connected to it any more.
    pub async fn keep(mut self) -> Kept {
        self.pool.close().await;
        Kept { name: std::mem::take(&mut self.name) }
    }

    /// Writes a plain dump of it to a file, compressed.
    ///
    /// # Panics
    /// If it cannot be dumped.
    pub async fn dump(&self, to: &Path) {
        self.script("$1/pg_dump --no-owner --no-privileges | gzip --no-name -9 > $0", to).await;
    }

    /// Runs a line of shell about a file, `$0`, with PostgreSQL's programs, of the version of its server, in `$1`.
    async fn script(&self, line: &str, file: &Path) {
        let directory = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'");
        let directory: String = directory.fetch_one(&self.pool).await.expect("ask where PostgreSQL's programs are");
        let options = self.pool.connect_options();
        let socket = options.get_socket().expect("the tests' PostgreSQL has a socket");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", line]).arg(file).arg(directory);
        command.env("PGHOST", socket).env("PGPORT", options.get_port().to_string());
        command.env("PGUSER", options.get_username()).env("PGDATABASE", &self.name);
        let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("wait for a script");
        let output = ended.expect("run a script");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        // Nobody listens any more only when the process, and the cluster with it, is ending.
        let _ = self.finished.send(std::mem::take(&mut self.name));
    }
}

impl Cluster {
    fn maintenance(&self) -> PgConnectOptions {
        self.embedded.connect_options_for("postgres")
    }
}

async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            let settings = vec![("max_wal_size".into(), "256MB".into()), ("min_wal_size".into(), "32MB".into())];
            let options = Options { fsync: false, max_connections: 400, settings, ..Options::default() };
            let embedded = Embedded::temporary(&options).await;
            let embedded = embedded.unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error}"));
            let maintenance = embedded.connect_options_for("postgres");
            execute(&maintenance, format!("create database {TEMPLATE}")).await;
            migrate(&embedded.connect_options_for(TEMPLATE)).await;
            execute(&maintenance, format!("alter database {TEMPLATE} with is_template true allow_connections false"))
                .await;
            let finished = drop_finished(maintenance);
            Cluster { embedded, finished }
        })
        .await
}

async fn migrate(database: &PgConnectOptions) {
    // Read when run rather than when compiled, so that a new migration needs no rebuild of the harness.
    let migrations = Migrator::new(root().join("migrations")).await.expect("read the migrations");
    let mut connection = PgConnection::connect_with(database).await.expect("connect to the template");
    migrations.run(&mut connection).await.expect("migrate the template");
    connection.close().await.expect("leave the template");
}

/// Drops databases one after another on a thread of its own: a test's runtime has ended by the time its database goes.
fn drop_finished(maintenance: PgConnectOptions) -> mpsc::Sender<String> {
    let (finished, names) = mpsc::channel::<String>();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for name in names {
            runtime.block_on(execute(&maintenance, format!("drop database {name} with (force)")));
        }
    };
    thread::Builder::new().name("drop-databases".into()).spawn(run).expect("a thread that drops databases");
    finished
}

async fn execute(database: &PgConnectOptions, statement: String) {
    let mut connection = PgConnection::connect_with(database).await.expect("connect to the tests' PostgreSQL");
    sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut connection).await.expect(&statement);
    connection.close().await.expect("leave the tests' PostgreSQL");
}
