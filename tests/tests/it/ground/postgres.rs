//! The newcomer's database: started without help, kept over restarts, never shared, never left behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gateway::postgres::{Embedded, EmbeddedError, Options};
use sqlx::{Connection, PgConnection, PgPool, query, query_scalar};
use tempfile::TempDir;

fn quick() -> Options {
    Options { fsync: false, ..Options::default() }
}

fn directory(mode: u32) -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(mode)).tempdir().unwrap()
}

/// A directory that the user PostgreSQL runs as can enter, should we be root.
fn open_directory() -> TempDir {
    directory(0o755)
}

async fn connect(embedded: &Embedded) -> PgConnection {
    PgConnection::connect_with(&embedded.connect_options()).await.unwrap()
}

fn server_process(data_dir: &Path) -> u32 {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {process}");
}

#[tokio::test]
async fn data_outlives_a_stop_and_a_start() {
    let directory = open_directory();
    let data_dir = directory.path().join("data");
    let embedded = Embedded::start(&data_dir, &quick()).await.unwrap();
    let mut connection = connect(&embedded).await;
    query("create table kept as select 42 as answer").execute(&mut connection).await.unwrap();
    embedded.stop().await.unwrap();
    assert!(!data_dir.join("postgres/postmaster.pid").exists(), "PostgreSQL has ended when stop returns");

    let embedded = Embedded::start(&data_dir, &quick()).await.unwrap();
    let mut connection = connect(&embedded).await;
    let answer: i32 = query_scalar("select answer from kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(answer, 42);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn the_cluster_is_private_and_speaks_utf8_in_the_c_collation() {
    let directory = open_directory();
    let embedded = Embedded::start(directory.path(), &Options::default()).await.unwrap();
    let mut connection = connect(&embedded).await;
    for (setting, expected) in [
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("server_encoding", "UTF8"),
        ("timezone", "UTC"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
    ] {
        let found: String =
            query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, expected, "{setting}");
    }
    let collation: String = query_scalar(
        "select datcollate::text || ' ' || datlocprovider::text from pg_database where datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(collation, "C c");
    let mode = fs::metadata(directory.path().join("postgres")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_deskfold_is_refused_but_can_reach_the_first_ones_cluster() {
    let directory = open_directory();
    assert!(Embedded::running(directory.path()).is_none());
    let embedded = Embedded::start(directory.path(), &quick()).await.unwrap();
    let refused = Embedded::start(directory.path(), &quick()).await.unwrap_err();
    assert!(matches!(&refused, EmbeddedError::InUse { owner, .. } if *owner == std::process::id().to_string()));

    let options = Embedded::running(directory.path()).unwrap();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let name: String = query_scalar("select current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(name, "deskfold");
    embedded.stop().await.unwrap();
    assert!(Embedded::running(directory.path()).is_none());
}

#[tokio::test]
async fn a_killed_server_recovers_at_the_next_start() {
    let directory = open_directory();
    let embedded = Embedded::start(directory.path(), &Options::default()).await.unwrap();
    let mut connection = connect(&embedded).await;
    query("create table kept as select 42 as answer").execute(&mut connection).await.unwrap();
    let process = server_process(directory.path());
    signal("KILL", process);
    embedded.stop().await.unwrap();

    // The worst case: the killed server's process id now belongs to another process of the same user.
    let pid_file = directory.path().join("postgres/postmaster.pid");
    let stale = fs::read_to_string(&pid_file).unwrap();
    fs::write(&pid_file, stale.replacen(&process.to_string(), &std::process::id().to_string(), 1)).unwrap();

    let embedded = Embedded::start(directory.path(), &quick()).await.unwrap();
    let mut connection = connect(&embedded).await;
    let answer: i32 = query_scalar("select answer from kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(answer, 42);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_behind_is_stopped_before_the_next_starts() {
    let directory = open_directory();
    let embedded = Embedded::start(directory.path(), &quick()).await.unwrap();
    let mut connection = connect(&embedded).await;
    query("create table kept as select 42 as answer").execute(&mut connection).await.unwrap();
    let process = server_process(directory.path());
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let keeper: u32 = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    // Without its keeper, both halves of it, nobody stops PostgreSQL when Deskfold ends.
    let children = children.split_whitespace().map(|child| child.parse::<u32>().unwrap());
    let (server, watcher): (Vec<u32>, Vec<u32>) = children.partition(|child| *child == process);
    assert_eq!((server.len(), watcher.len()), (1, 1));
    signal("KILL", watcher[0]);
    signal("KILL", keeper);
    embedded.stop().await.unwrap();
    query("select 1").execute(&mut connection).await.expect("the orphan lives");

    let embedded = Embedded::start(directory.path(), &quick()).await.unwrap();
    assert_ne!(server_process(directory.path()), process);
    let mut connection = connect(&embedded).await;
    query("select answer from kept").execute(&mut connection).await.unwrap();
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_with_a_long_path_gets_its_socket_elsewhere() {
    let directory = open_directory();
    let data_dir = directory.path().join("a long, \"quoted\" name ".repeat(8)).join("data");
    let embedded = Embedded::start(&data_dir, &quick()).await.unwrap();
    query("select 1").execute(&mut connect(&embedded).await).await.unwrap();
    let sockets = embedded.connect_options().get_socket().unwrap().clone();
    assert!(!sockets.starts_with(&data_dir));
    assert_eq!(sockets.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    embedded.stop().await.unwrap();
    assert!(!sockets.exists());
}

/// PostgreSQL refuses root, and whom root runs it as may not enter root's own directories.
#[tokio::test]
async fn a_data_directory_closed_to_the_clusters_user_links_to_an_open_one() {
    let (closed, fallback) = (directory(0o700), open_directory());
    let is_root = closed.path().metadata().unwrap().uid() == 0;
    let options = Options { fallback: fallback.path().to_owned(), ..quick() };
    for answer in [1, 2] {
        let embedded = Embedded::start(closed.path(), &options).await.unwrap();
        let mut connection = connect(&embedded).await;
        query("create table if not exists kept (answer bigint generated always as identity, given int)")
            .execute(&mut connection)
            .await
            .unwrap();
        let kept: i64 = query_scalar("insert into kept (given) values (0) returning answer")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(kept, answer);
        embedded.stop().await.unwrap();
    }
    assert_eq!(closed.path().join("postgres").is_symlink(), is_root);
    let cluster = closed.path().join("postgres").canonicalize().unwrap();
    assert_eq!(cluster.parent() == Some(fallback.path()), is_root);
    assert_ne!(cluster.metadata().unwrap().uid(), 0);
}

#[tokio::test]
async fn a_path_with_quotes_commas_and_spaces_holds_a_cluster() {
    let directory = open_directory();
    let data_dir = directory.path().join("a, \"b\" 'c' $d");
    let embedded = Embedded::start(&data_dir, &quick()).await.unwrap();
    let pool = PgPool::connect(&embedded.url("deskfold")).await.unwrap();
    query("select 1").execute(&pool).await.unwrap();
    pool.close().await;
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_by_name() {
    let directory = open_directory();
    Embedded::start(directory.path(), &quick()).await.unwrap().stop().await.unwrap();
    fs::write(directory.path().join("postgres/PG_VERSION"), "12\n").unwrap();
    let message = Embedded::start(directory.path(), &quick()).await.unwrap_err().to_string();
    assert!(message.contains("made by PostgreSQL 12") && message.contains("install PostgreSQL 12"), "{message}");
}

#[tokio::test]
async fn a_directory_that_is_no_cluster_is_left_alone() {
    let directory = open_directory();
    fs::create_dir(directory.path().join("postgres")).unwrap();
    fs::write(directory.path().join("postgres/thesis.txt"), "draft").unwrap();
    let refused = Embedded::start(directory.path(), &quick()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::NotACluster(_)), "{refused}");
    assert_eq!(fs::read_to_string(directory.path().join("postgres/thesis.txt")).unwrap(), "draft");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let directory = open_directory();
    let settings = vec![("shared_buffers".to_owned(), "much".to_owned())];
    let refused = Embedded::start(directory.path(), &Options { settings, ..quick() }).await.unwrap_err();
    assert!(matches!(&refused, EmbeddedError::Start { tail, .. } if tail.contains("shared_buffers")), "{refused}");
    // And the data directory is free again once the failed server is gone.
    Embedded::start(directory.path(), &quick()).await.unwrap().stop().await.unwrap();
}

/// Not a test of its own: the process that the next one kills.
#[tokio::test]
#[ignore = "run by a_killed_process_leaves_no_cluster_behind"]
async fn process_to_be_killed() {
    let embedded = Embedded::temporary(&quick()).await.unwrap();
    eprintln!("cluster: {}", embedded.data_dir().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_process_leaves_no_cluster_behind() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            concat!(module_path!(), "::process_to_be_killed").split_once("::").unwrap().1,
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let data_dir = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("cluster: ").map(PathBuf::from));
    let data_dir = data_dir.expect("the child has started its cluster");
    let process = server_process(&data_dir);
    child.kill().unwrap();
    child.wait().unwrap();

    while data_dir.exists() {
        tokio::task::yield_now().await;
    }
    assert!(!Path::new(&format!("/proc/{process}")).exists());
}
