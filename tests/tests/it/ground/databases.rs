//! When the ground gives way: PostgreSQL killed, hanging, away, misnamed, or without room on its disk.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deskfold_tests::{Client, Server, free_port};
use futures::{StreamExt, future::join_all};
use gateway::postgres::{Embedded, Options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use crate::{
    ground::program::{Running, deskfold, failure, home, keys},
    world::ticket,
};

/// How long anything may take, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(90);

fn postmaster(data_dir: &Path) -> u32 {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// The server and all its processes.
fn family(data_dir: &Path) -> Vec<u32> {
    let server = postmaster(data_dir);
    let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
    let children = children.split_whitespace().map(|child| child.parse().unwrap());
    [server].into_iter().chain(children).collect()
}

fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    // One of them may end meanwhile.
    let _ = Command::new("kill").args(["-s", name]).args(processes).status().unwrap();
}

/// Asks until the answer is as it should be; that answer.
pub(crate) async fn until(client: &Client, path: &str, fits: impl Fn(StatusCode, &Value) -> bool) -> Value {
    let asking = async {
        loop {
            if let Ok(response) = client.request(Method::GET, path).send().await {
                let status = response.status();
                let body: Value = response.json().await.unwrap_or_default();
                if fits(status, &body) {
                    return body;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} is not as it should be"))
}

async fn until_ready(client: &Client) {
    until(client, "/readyz", |status, _| status == StatusCode::OK).await;
}

/// Opens a ticket, again and again with the same key until it is acknowledged.
async fn insist(client: &Client, title: &str) {
    let asking = async {
        loop {
            let request = client.request(Method::POST, "/v1/tickets").header("idempotency-key", title);
            if let Ok(response) = request.json(&json!({ "title": title })).send().await {
                let status = response.status();
                if status == StatusCode::CREATED {
                    return;
                }
                let answer: Value = response.json().await.unwrap_or_default();
                let later = status.is_server_error() || answer["code"] == "idempotency_key_in_flight";
                assert!(later, "{title}: {status} {answer}");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("no answer to {title}"));
}

/// Positions have no hole, and every title was opened once.
async fn check_log(client: &Client, titles: &[String]) -> u64 {
    let mut opened = BTreeMap::<String, usize>::new();
    let mut position = 0;
    loop {
        let page = client.read(&format!("/v1/events?after={position}&limit=1000")).await;
        let page = page["data"].as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        for event in page {
            position += 1;
            assert_eq!(event["position"], position, "positions are dense");
            if event["type"] == "ticket.opened" {
                *opened.entry(event["data"]["title"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    for title in titles {
        assert_eq!(opened.get(title), Some(&1), "{title} was acknowledged");
    }
    assert!(opened.values().all(|times| *times == 1), "{opened:?}");
    position
}

/// Follows the log until somebody has seen enough; the last id seen.
fn follow(response: reqwest::Response) -> watch::Receiver<u64> {
    let (seen, last) = watch::channel(0);
    tokio::spawn(async move {
        let (mut bytes, mut text) = (response.bytes_stream(), String::new());
        while let Some(Ok(piece)) = bytes.next().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((line, rest)) = text.split_once('\n') {
                if let Some(id) = line.strip_prefix("id:") {
                    seen.send_replace(id.trim().parse().unwrap());
                }
                text = rest.to_owned();
            }
        }
    });
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_postgresql_that_is_killed_comes_back_with_everything_acknowledged() {
    let home = home();
    let data = home.path().join("data");
    let mut running = Running::start(home.path(), &["--rate-limit", "0"]).await;
    let client = running.client(&keys(&running.printed())[0]);
    let stream = client.request(Method::GET, "/v1/events/stream?after=0").send().await.unwrap();
    let mut followed = follow(stream);
    let (stop, stopped) = watch::channel(false);
    let done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (client, stopped, done) = (client.clone(), stopped.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut titles = Vec::new();
                while !*stopped.borrow() {
                    let title = format!("{writer}-{}", titles.len());
                    insist(&client, &title).await;
                    titles.push(title);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                titles
            })
        })
        .collect();
    let more = async |count: usize| {
        let wanted = done.load(Ordering::Relaxed) + count;
        let growing = async {
            while done.load(Ordering::Relaxed) < wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, growing).await.expect("writers get on");
    };
    for _ in 0..3 {
        more(20).await;
        signal("KILL", &[postmaster(&data)]);
        running.says("the private PostgreSQL has ended: it was killed").await;
        running.says("the private PostgreSQL runs again").await;
    }
    more(20).await;
    stop.send_replace(true);
    let titles: Vec<String> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let head = check_log(&client, &titles).await;

    // Read models, and whoever follows the log, have it all without having been told to begin again.
    let path = format!("/v1/tickets?count=exact&limit=1&min_position={head}");
    let listed = until(&client, &path, |status, _| status == StatusCode::OK).await;
    assert_eq!(listed["total"], titles.len());
    tokio::time::timeout(PATIENCE, followed.wait_for(|seen| *seen >= head)).await.unwrap().unwrap();
    until_ready(&client).await;
    running.signal("TERM");
    let (well, log) = running.end().await;
    assert!(well, "{log}");
    assert!(!data.join("postgres/postmaster.pid").exists(), "it takes its cluster with it");
}

#[tokio::test]
async fn a_private_postgresql_that_cannot_be_had_ends_the_process_with_the_reason() {
    let home = home();
    let data = home.path().join("data");
    let running = Running::start(home.path(), &[]).await;
    let control = data.join("postgres/global/pg_control");
    let whole = fs::read(&control).unwrap();
    fs::write(&control, vec![0; whole.len()]).unwrap();
    signal("KILL", &[postmaster(&data)]);
    let (well, log) = running.end().await;
    assert!(!well, "whoever runs it sees it fail");
    for told in ["the private PostgreSQL is given up", "damaged", "restore a backup", "postgres.log", "deskfold: "] {
        assert!(log.contains(told), "{told}: {log}");
    }
    // Nor does it start that way; repaired, it does.
    let said = failure(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]).await;
    assert!(said.contains("damaged"), "{said}");
    fs::write(&control, whole).unwrap();
    let running = Running::start(home.path(), &[]).await;
    running.signal("TERM");
    assert!(running.end().await.0);
}

/// Sends several requests at once; what each was answered, and how long the last took.
async fn at_once(client: &Client, count: usize, mark: &str) -> (Vec<(StatusCode, Value)>, Duration) {
    let began = Instant::now();
    let asked = (0..count).map(|number| async move {
        let request = match number % 4 {
            0 => client.request(Method::GET, "/v1/tickets"),
            1 => client.request(Method::GET, "/v1/events"),
            2 => client.request(Method::GET, "/v1/tickets?min_position=1"),
            _ => {
                let title = format!("{mark}-{number}");
                let request = client.request(Method::POST, "/v1/tickets").header("idempotency-key", &title);
                request.json(&json!({ "title": title }))
            }
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or_default())
    });
    (join_all(asked).await, began.elapsed())
}

async fn ready_within(client: &Client, limit: Duration) -> Value {
    let began = Instant::now();
    let reply = client.get("/readyz").await;
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_noticed_in_time_and_goes_on_where_it_was() {
    const SECOND: Duration = Duration::from_secs(1);
    let home = home();
    let data = home.path().join("data");
    let running = Running::start(home.path(), &["--rate-limit", "0"]).await;
    let client = running.client(&keys(&running.printed())[0]);
    until_ready(&client).await;
    let stream = client.request(Method::GET, "/v1/events/stream?after=0").send().await.unwrap();
    let mut followed = follow(stream);
    at_once(&client, 8, "before").await;

    // Every process of the server stands still: nothing is refused, and nothing is answered.
    let stopped = family(&data);
    signal("STOP", &stopped);
    let ready = ready_within(&client, SECOND).await;
    assert_eq!((&ready["ready"], &ready["database"]), (&json!(false), &json!(false)));
    for mark in ["hanging", "hanging"] {
        let (answers, took) = at_once(&client, 16, mark).await;
        assert!(took < 5 * SECOND, "{took:?}");
        for (status, answer) in answers {
            assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("database_unavailable")), "{answer}");
        }
        ready_within(&client, SECOND).await;
    }
    client.get("/healthz").await.expect(StatusCode::OK);
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("\ndeskfold_database_up 0"), "{metrics}");
    signal("CONT", &stopped);
    until_ready(&client).await;

    // What was sent before is there once, whether it is repeated or not.
    let titles: Vec<String> =
        (0..16).filter(|number| number % 4 == 3).map(|number| format!("hanging-{number}")).collect();
    for title in &titles {
        insist(&client, title).await;
    }
    check_log(&client, &titles).await;

    // Those it has are served, and nobody new is let in: everybody is answered all the same.
    let server = postmaster(&data);
    signal("STOP", &[server]);
    for mark in ["closed", "still-closed"] {
        let (answers, took) = at_once(&client, 40, mark).await;
        assert!(took < 5 * SECOND, "{took:?}");
        for (status, answer) in answers {
            assert!(status.is_success() || answer["code"] == "database_unavailable", "{status} {answer}");
        }
        ready_within(&client, SECOND).await;
    }
    signal("CONT", &[server]);
    until_ready(&client).await;
    let head = check_log(&client, &titles).await;
    tokio::time::timeout(PATIENCE, followed.wait_for(|seen| *seen >= head)).await.unwrap().unwrap();
    running.signal("TERM");
    assert!(running.end().await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_elsewhere_may_go_and_come_back() {
    let home = home();
    let elsewhere = home.path().join("elsewhere");
    let database = Embedded::start(&elsewhere, &Options::default()).await.unwrap();
    let url = database.url("deskfold");
    let running = Running::start(home.path(), &["--rate-limit", "0", "--database-url", &url]).await;
    let client = running.client(&keys(&running.printed())[0]);
    insist(&client, "before").await;
    database.stop().await.unwrap();
    ready_within(&client, Duration::from_secs(1)).await;
    let (answers, took) = at_once(&client, 16, "away").await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    for (status, answer) in answers {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    }
    let database = Embedded::start(&elsewhere, &Options::default()).await.unwrap();
    until_ready(&client).await;
    insist(&client, "after").await;
    let head = check_log(&client, &["before".into(), "after".into()]).await;
    let path = format!("/v1/tickets?count=exact&min_position={head}");
    until(&client, &path, |status, _| status == StatusCode::OK).await;
    running.signal("TERM");
    assert!(running.end().await.0);
    database.stop().await.unwrap();
}

/// A port that leads to the server's socket; what the server says goes through `change`.
async fn port_to(socket: PathBuf, change: fn(&mut [u8])) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let there = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut said = vec![0; 64 << 10];
                while let Ok(length @ 1..) = from_server.read(&mut said).await {
                    change(&mut said[..length]);
                    if to_client.write_all(&said[..length]).await.is_err() {
                        break;
                    }
                }
                there.abort();
            });
        }
    });
    port
}

/// As a server of version 13 introduces itself.
fn thirteen(said: &mut [u8]) {
    let name = b"server_version\0";
    if let Some(place) = said.windows(name.len()).position(|window| window == name) {
        said[place + name.len()..place + name.len() + 2].copy_from_slice(b"13");
    }
}

/// A port whose listener does this with whoever comes.
async fn port_that<F: Future<Output = ()> + Send + 'static>(answers: fn(TcpStream) -> F) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answers(client));
        }
    });
    port
}

async fn web_server(mut client: TcpStream) {
    let mut request = [0; 64];
    let _ = client.read(&mut request).await;
    let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
}

async fn silent(client: TcpStream) {
    std::future::pending::<()>().await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_url_is_told_at_once_with_the_reason() {
    let home = home();
    let data = home.path().join("elsewhere");
    let database = Embedded::start(&data, &Options { fsync: false, ..Options::default() }).await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::raw_sql("create role guarded login password 'right-word'").execute(&mut connection).await.unwrap();
    let rules = data.join("postgres/pg_hba.conf");
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all guarded scram-sha-256\n{before}")).unwrap();
    sqlx::query("select pg_reload_conf()").execute(&mut connection).await.unwrap();
    let socket = database.connect_options().get_socket().unwrap().join(".s.PGSQL.5432");
    let real = port_to(socket.clone(), |_| {}).await;
    let old = port_to(socket, thirteen).await;
    let (web, silent) = (port_that(web_server).await, port_that(silent).await);
    let closed = free_port();
    let own = home.path().join("own");
    let own = own.to_str().unwrap();

    let at = |port: u16, rest: &str| format!("postgres://guarded:wrong-word@127.0.0.1:{port}/{rest}");
    let sure = |rest: &str| format!("postgres://guarded:right-word@127.0.0.1:{real}/{rest}");
    let cases = [
        (at(closed, "deskfold"), "the connection is refused", 4),
        (at(1, "deskfold").replace("127.0.0.1", "nowhere.invalid"), "there is no host nowhere.invalid", 8),
        (at(real, "deskfold"), "the password of user guarded is wrong", 4),
        (sure("nowhere"), "there is no database nowhere", 4),
        (sure("deskfold?sslmode=require"), "no TLS", 4),
        (at(real, "deskfold").replace("guarded", "stranger"), "does not let user stranger in", 4),
        (at(old, "deskfold").replace("wrong", "right"), "it is PostgreSQL 13", 4),
        (at(web, "deskfold"), "does not speak PostgreSQL's protocol", 4),
        (at(silent, "deskfold"), "there is no answer within 5 s", 9),
        ("postgres://127.0.0.1:port/x".to_owned(), "write it like postgres://user:password@host:5432/database", 4),
    ];
    for (url, reason, seconds) in &cases {
        let began = Instant::now();
        let said = failure(&["log", "subscriptions", "--data-dir", own, "--database-url", url]).await;
        assert!(said.contains(reason), "{url}: {said}");
        assert!(!said.contains("-word"), "the password is nobody's business: {said}");
        assert!(began.elapsed() < Duration::from_secs(*seconds), "{url}: {:?}", began.elapsed());
        if url.contains("127.0.0.1:") && !url.contains(":port") {
            assert!(said.contains("postgres://") && said.contains("@127.0.0.1:"), "where it is: {said}");
        }
    }

    // Whoever uses the database tells it alike.
    let url = at(real, "deskfold");
    for words in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["migrate"],
        &["key", "issue", "--user", "admin@localhost"],
        &["key", "revoke", "01K9Z3T8W0QX6V5N4M3K2J1H0G"],
        &["tenant", "create", "--name", "Acme", "--admin-email", "ada@acme.example"],
        &["log", "events"],
        &["log", "parked"],
        &["log", "replay", "ticket_list"],
        &["rebuild", "ticket_list"],
        &["relay", "status", "--nats-url", "nats://127.0.0.1:1"],
        &["relay", "rebuild", "--nats-url", "nats://127.0.0.1:1"],
    ] {
        let all = [words, &["--data-dir", own, "--database-url", &url]].concat();
        let said = failure(&all).await;
        let told = said.lines().last().unwrap_or_default();
        let expected = format!(
            "deskfold: cannot use the database postgres://guarded@127.0.0.1:{real}/deskfold: the password of user guarded \
             is wrong or missing"
        );
        assert_eq!(told, expected, "{words:?}");
    }
    // An import speaks to a server, and says as much of that.
    let file = home.path().join("rows.csv");
    fs::write(&file, "a\n1\n").unwrap();
    let server = format!("http://127.0.0.1:{closed}");
    let words = ["import", "history", "--server", &server, "--key", "dfk_x", file.to_str().unwrap()];
    let said = failure(&words).await;
    assert!(said.contains(&server) && said.to_lowercase().contains("connection refused"), "{said}");
    // With the right words it goes.
    let mut migrate = deskfold(&["migrate", "--data-dir", own, "--database-url", &database.url("deskfold")]);
    assert!(migrate.output().unwrap().status.success());
    connection.close().await.unwrap();
    database.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_found_before_a_cluster_is_started() {
    let home = home();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = home.path().join("data");
    let said = failure(&["serve", "--listen", &address, "--data-dir", data.to_str().unwrap()]).await;
    assert!(said.contains(&address) && said.contains("another program listens there"), "{said}");
    assert!(!data.exists(), "nothing was made");
    drop(taken);
    let running = Running::start(home.path(), &[]).await;
    running.signal("TERM");
    assert!(running.end().await.0);
}

#[tokio::test]
async fn with_too_little_room_writes_are_refused_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    // No disk is wholly free.
    let server = Server::with(&["--storage-dir", place, "--min-free-space", "100%"]).await;
    let client = &server.admin;
    let refused = client.post("/v1/tickets", json!({ "title": "x" })).await;
    refused.problem(507, "storage_full");
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    let me = client.read("/v1/me").await;
    let user = me["user"].as_str().unwrap();
    let rename = format!("/v1/tenants/{}/rename", server.tenant);
    client.post(&rename, json!({ "name": "Acme" })).await.problem(507, "storage_full");
    client.put("/v1/contacts/by/external/shop/7", json!({ "name": "Ada" })).await.problem(507, "storage_full");
    client.post("/v1/api_keys", json!({ "name": "x", "user": user })).await.problem(507, "storage_full");
    let tenant = json!({ "name": "Acme", "admin_email": "ada@acme.example" });
    client.post("/v1/tenants", tenant).await.problem(507, "storage_full");
    let form = "--X\r\ncontent-disposition: form-data; name=\"kind\"\r\n\r\nentitlements\r\n--X--\r\n";
    let upload = client.request(Method::POST, "/v1/imports").header("content-type", "multipart/form-data; boundary=X");
    client.send(upload.body(form)).await.problem(507, "storage_full");
    // What the domain refuses is told as ever, and what changes nothing needs no room.
    client.post("/v1/tickets", json!({ "title": "" })).await.problem(422, "title_invalid");
    let dry = client.post("/v1/tickets?dry_run=true", json!({ "title": "x" })).await;
    assert!(dry.status.is_success(), "{}", dry.text);
    assert_eq!(client.read("/v1/tickets").await["data"], json!([]));
    client.read("/v1/events").await;

    let ready = client.read("/readyz").await;
    assert_eq!((&ready["ready"], &ready["storage"]["state"]), (&json!(true), &json!("low")));
    let bytes = |name: &str| ready["storage"][name].as_u64().unwrap();
    assert!(bytes("free_bytes") < bytes("min_free_bytes"));
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("\ndeskfold_storage_full 1"), "{metrics}");
    assert!(metrics.contains(&format!("deskfold_storage_free_bytes{{directory=\"{place}\"}}")), "{metrics}");
    server.stop().await;

    // Where nothing is to stay free, or nothing is known, nothing is refused.
    for arguments in [&["--storage-dir", place, "--min-free-space", "0"][..], &[]] {
        let server = Server::with(arguments).await;
        ticket(&server.admin, "x").await;
        let metrics = server.admin.get("/metrics").await.text;
        assert!(metrics.contains("\ndeskfold_storage_full 0"), "{metrics}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_by_postgresql_itself_and_forgotten_when_there_is_room() {
    let server = Server::start().await;
    let client = &server.admin;
    let before = ticket(client, "Before").await;
    // As PostgreSQL fails when it cannot extend a file. Whoever reads meanwhile waits, in the order in which readers lock.
    let full = "
        lock table log_event in access exclusive mode;
        create function no_room() returns trigger language plpgsql as
            $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
        create trigger no_room before insert on log_event for each row execute function no_room()";
    sqlx::raw_sql(full).execute(&server.database.pool).await.unwrap();
    client.post("/v1/tickets", json!({ "title": "x" })).await.problem(507, "storage_full");
    // From now on nobody tries for a while.
    let room = "lock table log_event in access exclusive mode; drop trigger no_room on log_event";
    sqlx::raw_sql(room).execute(&server.database.pool).await.unwrap();
    client.post("/v1/tickets", json!({ "title": "x" })).await.problem(507, "storage_full");
    client.read(&format!("/v1/tickets/{before}/history")).await;
    let ready = client.read("/readyz").await;
    assert_eq!((&ready["ready"], &ready["storage"]["state"]), (&json!(true), &json!("full")));
    let began = Instant::now();
    while client.post("/v1/tickets", json!({ "title": "After" })).await.status != StatusCode::CREATED {
        assert!(began.elapsed() < PATIENCE, "there is room again");
    }
    assert_eq!(client.read("/readyz").await["storage"]["state"], "ok");
}

/// A small file system of its own; `None` where mounting is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Option<SmallDisk> {
        fs::create_dir(at).unwrap();
        let size = format!("size={mebibytes}m,mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(SmallDisk(at.to_owned()));
        }
        eprintln!("skipped: nobody may mount a small file system here; run as root outside of a container");
        None
    }

    /// Fills it but for so many bytes.
    fn fill(&self, but: u64) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        fs::set_permissions(self.0.join("filler"), fs::Permissions::from_mode(0o600)).unwrap();
        let piece = vec![1; 256 << 10];
        while self.free() > but {
            if file.write_all(&piece).is_err() {
                return;
            }
        }
    }

    fn free(&self) -> u64 {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk_writes_stop_in_time_and_what_is_full_all_the_same_comes_back() {
    let home = home();
    let data = home.path().join("data");
    let Some(disk) = SmallDisk::mount(&data, 400) else { return };
    let running = Running::start(home.path(), &["--rate-limit", "0"]).await;
    let client = running.client(&keys(&running.printed())[0]);
    insist(&client, "before").await;
    disk.fill(30 << 20);
    until(&client, "/readyz", |status, body| status == StatusCode::OK && body["storage"]["state"] == "low").await;
    client.post("/v1/tickets", json!({ "title": "x" })).await.problem(507, "storage_full");
    until(&client, "/v1/tickets", |status, body| status == StatusCode::OK && body["data"][0]["title"] == "before")
        .await;
    disk.make_room();
    until(&client, "/readyz", |status, body| status == StatusCode::OK && body["storage"]["state"] == "ok").await;
    insist(&client, "between").await;
    running.signal("TERM");
    assert!(running.end().await.0);

    // Whoever wants no warning: PostgreSQL runs out of room under load, and is started again until there is some.
    let running = Running::start(home.path(), &["--rate-limit", "0", "--min-free-space", "0"]).await;
    let client = running.client(&client.key);
    let text = "x".repeat(100 << 10);
    disk.fill(1 << 20);
    let began = Instant::now();
    let mut titles = vec!["before".to_owned(), "between".to_owned()];
    loop {
        let title = format!("full-{}", titles.len());
        let body = json!({ "title": title, "description": text });
        let Ok(response) = client.request(Method::POST, "/v1/tickets").json(&body).send().await else { continue };
        match response.status() {
            StatusCode::CREATED => titles.push(title),
            status => {
                let answer: Value = response.json().await.unwrap_or_default();
                let code = answer["code"].as_str().unwrap_or_default();
                assert!(
                    ["storage_full", "database_unavailable", "log_unavailable"].contains(&code),
                    "{status} {answer}"
                );
                break;
            }
        }
        assert!(began.elapsed() < PATIENCE, "the disk is never full");
    }
    disk.make_room();
    insist(&client, "after").await;
    titles.push("after".into());
    let page = client.read("/v1/events?limit=1000&types=ticket.opened").await;
    let opened: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|event| event["data"]["title"].as_str().unwrap()).collect();
    for title in &titles {
        assert!(opened.contains(&title.as_str()), "{title} was acknowledged: {opened:?}");
    }
    running.signal("TERM");
    running.end().await;
    drop(disk);
}
