//! A whole tenant leaves one Deskfold in a file and goes on in another: nobody is locked in, and nothing is different.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    process::Stdio,
};

use deskfold_tests::{Client, Database, Server, database};
use eventstore::{Filler, Recorded, Refill};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, query_scalar};
use tempfile::TempDir;

use crate::{
    ground::program::{Running, deskfold, failure, home, keys, output},
    org::{
        auth::user_with,
        browser::{Browser, PASSWORD, person},
        pictures::{self, PIXEL},
    },
    world::{condition, contact, everything, filtered, pages, sent, ticket},
};

/// What nobody of the tenant could have written.
const NEIGHBOUR: &str = "Zwetschgenknödel";

/// The archive that is downloaded.
async fn downloaded(client: &Client) -> Vec<u8> {
    let answer = client.request(Method::GET, "/v1/archive").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().ends_with(".tar.gz\""));
    answer.bytes().await.unwrap().to_vec()
}

/// The tar file within.
fn unpacked(archive: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    MultiGzDecoder::new(archive).read_to_end(&mut tar).unwrap();
    tar
}

/// The files within a tar file: their names, and what is in them.
fn entries(tar: &[u8]) -> Vec<(String, &[u8])> {
    let (mut all, mut at) = (Vec::new(), 0);
    while tar[at] != 0 {
        let text = |from: usize, length: usize| {
            let field = &tar[at + from..at + from + length];
            std::str::from_utf8(field.split(|byte| *byte == 0).next().unwrap()).unwrap().trim()
        };
        let size = usize::from_str_radix(text(124, 12), 8).unwrap();
        all.push((text(0, 100).to_owned(), &tar[at + 512..at + 512 + size]));
        at += 512 + size.div_ceil(512) * 512;
    }
    all
}

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(tar).unwrap();
    gz.finish().unwrap()
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// Files of tests.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

async fn imported(into: &Database, folder: &TempDir, file: &str) -> Value {
    let folder = folder.path().to_str().unwrap();
    let import = ["archive", "import", "--database-url", &into.url, "--data-dir", folder, file];
    serde_json::from_str(&output(&import).await).unwrap()
}

async fn head(database: &Database) -> i64 {
    query_scalar("select coalesce(max(position), 0) from log_event").fetch_one(&database.pool).await.unwrap()
}

/// What has changed since by itself: when a key was last used, and which sessions nobody can go on with.
fn settled(path: &str, mut rows: Vec<Value>) -> Vec<Value> {
    match path {
        "sessions" => rows.clear(),
        "api_keys" => rows.iter_mut().for_each(|row| row["last_used_at"] = Value::Null),
        _ => {}
    }
    rows
}

/// Every list, now and as it was at some moments, and the whole log.
async fn seen(client: &Client, until: i64, moments: &[String]) -> BTreeMap<String, Vec<Value>> {
    let mut seen = BTreeMap::new();
    for list in projections::lists().filter(|list| list.listed) {
        let path = format!("/v1/{}?limit=200&min_position={until}", list.path);
        seen.insert(path.clone(), settled(list.path, pages(client, &path).await));
        for moment in moments {
            let path = format!("/v1/{}?limit=200&{moment}", list.path);
            let reply = client.get(&path).await;
            // Some lists have no past; then they have none there either.
            let rows = match reply.status {
                StatusCode::OK => pages(client, &path).await,
                _ => vec![reply.json()["code"].clone()],
            };
            seen.insert(path.clone(), settled(list.path, rows));
        }
    }
    let mut events = pages(client, "/v1/events?limit=1000").await;
    events.retain(|event| event["position"].as_i64().unwrap() <= until);
    seen.insert("events".into(), events);
    seen
}

#[track_caller]
fn same(before: &BTreeMap<String, Vec<Value>>, after: &BTreeMap<String, Vec<Value>>) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, before) in before {
        assert_eq!(before.len(), after[path].len(), "{path}");
        for (before, after) in before.iter().zip(&after[path]) {
            assert_eq!(before, after, "{path}");
        }
    }
}

/// All rows of some tables that are a tenant's.
async fn rows(database: &Database, tenant: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for (table, owner) in [
        ("log_event", "tenant_id"),
        ("log_stream", "tenant_id"),
        ("log_claim", "owner_tenant"),
        ("log_counter", "tenant_id"),
        ("log_command", "tenant_id"),
        ("import_job", "tenant_id"),
        ("import_rejection", "tenant_id"),
        ("bulk_job", "tenant_id"),
        ("bulk_item", "tenant_id"),
        ("react_pending_run", "tenant_id"),
        ("auth_picture", "tenant_id"),
        ("react_file", "tenant_id"),
    ] {
        // A stream that somebody relied on and that nobody began has no events that would go along.
        let begun = if table == "log_stream" { " and version >= 0" } else { "" };
        let rows = format!("select t::text from {table} t where {owner} = $1{begun} order by 1");
        let rows = query_scalar(sqlx::AssertSqlSafe(rows)).bind(tenant).fetch_all(&database.pool).await.unwrap();
        all.push((table.to_owned(), rows));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_goes_on_in_another_deskfold_as_if_it_had_always_been_there() {
    let source = Server::start().await;
    let client = &source.admin;
    let other = source.another_tenant("Others").await;
    let (_, anna) = person(&source, "picture@example.com", &[]).await;
    assert_eq!(pictures::send(&anna, PIXEL).await.status, StatusCode::NO_CONTENT);
    ticket(&other, NEIGHBOUR).await;
    let all = everything(&source, client, "Mine").await;
    everything(&source, &other, NEIGHBOUR).await;
    let much = (0..700_000u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    let large = sent(client, "large.bin", much.clone()).await;
    let early = head(&source.database).await;
    let instant: String = query_scalar("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        .fetch_one(&source.database.pool)
        .await
        .unwrap();
    // Merged, to be erased, and known by a key.
    let twin = contact(client, "Ada again").await;
    client.run(&format!("/v1/contacts/{twin}/merge"), json!({ "into": all["contacts"][0] })).await;
    let erase = json!({ "basis": "GDPR article 17" });
    client.run(&format!("/v1/contacts/{}/request_erasure", all["contacts"][1]), erase).await;
    let keyed = client.header("idempotency-key", "the-only-one");
    let body = json!({ "title": "Once" });
    let once = keyed.post("/v1/tickets", body.clone()).await.expect(StatusCode::CREATED);
    client.run(&format!("/v1/tickets/{}/change_title", all["tickets"][0]), json!({ "title": "Later" })).await;
    ticket(&other, NEIGHBOUR).await;
    source.settle().await;

    let position = head(&source.database).await;
    let archive = downloaded(client).await;
    let moments = [format!("as_of={early}"), format!("known_at={instant}")];
    let before = seen(client, position, &moments).await;
    let stored = rows(&source.database, &source.tenant).await;
    assert!(stored.iter().all(|(table, rows)| !rows.is_empty() || table == "react_pending_run"), "{stored:?}");

    // Nothing of others, and nothing to sign in with.
    let tar = unpacked(&archive);
    assert!(contains(&tar, "Ada again") && contains(&tar, "manifest.json"));
    assert!(!contains(&tar, NEIGHBOUR));
    let secrets: Vec<String> = query_scalar(
        "select encode(hash, 'hex') from auth_password union all select encode(hash, 'base64') from auth_password
         union all select digest from auth_session union all select digest from auth_token",
    )
    .fetch_all(&source.database.pool)
    .await
    .unwrap();
    assert!(secrets.len() > 3);
    for secret in secrets.iter().map(String::as_str).chain([client.key.as_str(), "seven tired otters"]) {
        assert!(!contains(&tar, secret), "{secret}");
    }

    // The command line writes the same of a desk that runs, and checks what it wrote.
    let files = Files::new();
    let file = files.path("mine.tar.gz");
    let url = ["--database-url", source.database.url.as_str(), "--data-dir", source.folder.path().to_str().unwrap()];
    let ambiguous = failure(&[&["archive", "export"], &url[..], &[&file]].concat()).await;
    assert!(ambiguous.contains("--tenant"), "{ambiguous}");
    let export = [&["archive", "export", "--tenant", &source.tenant], &url[..], &[&file]].concat();
    let told: Value = serde_json::from_str(&output(&export).await).unwrap();
    assert_eq!((&told["tenant"], &told["position"]), (&json!(source.tenant), &json!(position)));
    assert_eq!(serde_json::from_str::<Value>(&output(&["archive", "verify", &file]).await).unwrap(), told);
    assert!(fs::read_dir(files.0.path()).unwrap().count() == 1, "nothing half done is left");

    let (target, folder) = (database().await, tempfile::tempdir().unwrap());
    let import = imported(&target, &folder, &files.put("downloaded.tar.gz", &archive)).await;
    assert_eq!((&import["tenant"], &import["events"]), (&told["tenant"], &told["events"]));
    assert_eq!(rows(&target, &source.tenant).await, stored, "each row is what it was");
    let strangers: i64 = query_scalar("select count(*) from log_event where tenant_id <> all ($1)")
        .bind(vec![source.tenant.clone(), "0".repeat(26)])
        .fetch_one(&target.pool)
        .await
        .unwrap();
    assert_eq!(strangers, 0);
    let log: Value = serde_json::from_str(&output(&["log", "verify", "--database-url", &target.url]).await).unwrap();
    assert_eq!(log["position"], position, "positions have no hole");

    let server = Server::on_in(target, folder, &source.tenant, &client.key).await;
    server.settle().await;
    let here = &server.admin;
    same(&before, &seen(here, position, &moments).await);
    // Files came along, large ones in stretches, and others' did not.
    for (upload, bytes) in [(&all["uploads"][0], None), (&large, Some(&much))] {
        let path = format!("/v1/uploads/{upload}/content");
        let of =
            async |client: &Client| client.request(Method::GET, &path).send().await.unwrap().bytes().await.unwrap();
        let (there, here) = (of(client).await, of(here).await);
        assert!(!there.is_empty() && there == here && bytes.is_none_or(|bytes| here == bytes[..]));
    }
    let verified = ["files", "verify", "--digests", "--database-url", &server.database.url];
    let verified = [&verified[..], &["--data-dir", server.folder.path().to_str().unwrap()]].concat();
    let verified: Value = serde_json::from_str(&output(&verified).await).unwrap();
    assert_eq!((&verified["missing"], &verified["superfluous"]), (&json!([]), &json!([])), "{verified}");
    let parked: i64 = query_scalar("select count(*) from log_parked").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(parked, 0, "what was elsewhere troubles nobody");
    let open = here.read(&filtered("/v1/sessions", &condition("ended_at", "is_null", true))).await;
    assert_eq!(open["data"], json!([]), "nobody could go on with these");
    server.client(&other.key).get("/v1/tickets").await.problem(401, "key_invalid");
    let url = server.database.url.clone();
    output(&["rebuild", "--verify", "--database-url", &url]).await;

    // Commands go on where they were: repeats, names that are taken, versions, numbers.
    let again = here.header("idempotency-key", "the-only-one").post("/v1/tickets", body).await;
    assert_eq!(again.expect(StatusCode::CREATED)["id"], once["id"]);
    let taken = json!({ "name": "Another", "email": "picture@example.com" });
    here.post("/v1/users", taken).await.problem(409, "user_email_taken");
    let next = async |server: &Server| {
        let id = ticket(&server.admin, "The next one").await;
        server.settle().await;
        server.admin.read(&format!("/v1/tickets/{id}")).await["number"].clone()
    };
    assert_eq!(next(&server).await, next(&source).await);
    assert!(head(&server.database).await > position);

    // Who worked there gets in again by a link, and by it alone.
    let sign_in = json!({ "email": "picture@example.com", "password": PASSWORD });
    let browser = Browser::at(here);
    browser.post("/v1/sign_in", sign_in.clone()).await.problem(401, "sign_in_failed");
    let link = ["admin", "link", "--user", "picture@example.com", "--url", &here.base, "--database-url", &url];
    let follow = json!({ "link": output(&link).await.trim(), "password": PASSWORD });
    let followed = browser.post("/v1/links/follow", follow).await.expect(StatusCode::OK);
    assert_eq!(followed["state"], "signed_in", "{followed}");
    assert_eq!(Browser::at(here).post("/v1/sign_in", sign_in).await.expect(StatusCode::OK)["state"], "signed_in");

    // What is there is not overwritten.
    let refused = failure(&["archive", "import", "--database-url", &url, &file]).await;
    assert!(refused.contains("not empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused_and_a_killed_import_begins_anew() {
    let source = Server::start().await;
    for number in 0..30 {
        ticket(&source.admin, &format!("Ticket {number}")).await;
    }
    let archive = downloaded(&source.admin).await;
    let tar = unpacked(&archive);
    let (files, target) = (Files::new(), database().await);

    // Another word, a part less, a line less, the end cut off, the middle spoilt, another file altogether.
    let place = |word: &str| tar.windows(word.len()).position(|part| part == word.as_bytes()).unwrap();
    let mut changed = tar.clone();
    changed[place("Ticket 17")] = b'C';
    let mut renamed = tar.clone();
    let name = place("events/000001.jsonl");
    renamed[name..name + 6].copy_from_slice(b"others");
    let cut = &tar[..place("manifest.json")];
    let mut spoilt = archive.clone();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 0x55;
    for (name, content, why) in [
        ("changed", packed(&changed), "events/000001.jsonl is not what the manifest says"),
        ("renamed", packed(&renamed), "damaged"),
        ("cut", packed(cut), "cut off"),
        ("short", archive[..archive.len() - 100].to_vec(), "damaged"),
        ("spoilt", spoilt, "damaged"),
        ("none", b"Dear Sir or Madam".to_vec(), "damaged"),
        ("later", packed(&with_format(&tar, 2)), "a later Deskfold"),
    ] {
        let file = files.put(name, &content);
        let told = failure(&["archive", "verify", &file]).await;
        assert!(told.contains(why), "{name}: {told}");
        let told = failure(&["archive", "import", "--database-url", &target.url, &file]).await;
        assert!(told.contains(why), "{name}: {told}");
        assert_eq!(head(&target).await, 0, "{name}");
    }

    // Killed when all of it is written and nothing committed.
    let file = files.put("whole", &archive);
    let mut holding = PgConnection::connect(&target.url).await.unwrap();
    holding.execute("begin; lock table log_stream in share row exclusive mode").await.unwrap();
    let mut command = deskfold(&["archive", "import", "--database-url", &target.url, &file]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waits = "select exists (select from pg_stat_activity where datname = current_database()
                                and query like 'insert into log_stream%' and wait_event_type = 'Lock')";
    while !query_scalar::<_, bool>(waits).fetch_one(&target.pool).await.unwrap() {
        assert!(child.try_wait().unwrap().is_none(), "it waits");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    holding.execute("rollback").await.unwrap();
    let gone = "select not exists (select from pg_stat_activity where datname = current_database()
                                   and query like 'insert into log_stream%' and state <> 'idle')";
    while !query_scalar::<_, bool>(gone).fetch_one(&target.pool).await.unwrap() {}
    assert_eq!(head(&target).await, 0, "all of it or nothing");

    // Once more; and a server that is started meanwhile waits, and then finds a tenant instead of making one.
    holding.execute("begin; lock table log_stream in share row exclusive mode").await.unwrap();
    let mut command = deskfold(&["archive", "import", "--database-url", &target.url, &file]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !query_scalar::<_, bool>(waits).fetch_one(&target.pool).await.unwrap() {
        assert!(child.try_wait().unwrap().is_none(), "it waits");
    }
    let (home, url) = (home(), target.url.clone());
    let directory = home.path().to_owned();
    let starting =
        tokio::spawn(async move { Running::start(&directory, &["--rate-limit", "0", "--database-url", &url]).await });
    let stands = "select exists (select from pg_stat_activity where datname = current_database()
                                 and query = 'select pg_advisory_lock($1)' and wait_event_type = 'Lock')";
    while !query_scalar::<_, bool>(stands).fetch_one(&target.pool).await.unwrap() {
        assert!(!starting.is_finished());
    }
    holding.execute("rollback").await.unwrap();
    let running = starting.await.unwrap();
    assert!(tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap().success());
    assert!(keys(&running.printed()).is_empty(), "nobody has made another tenant");
    assert_eq!(head(&target).await, head(&source.database).await);
    assert_eq!(rows(&target, &source.tenant).await, rows(&source.database, &source.tenant).await);
    let tickets = running.client(&source.admin.key).read("/v1/tickets?count=exact&min_position=1").await;
    assert_eq!(tickets["total"], 30);
}

/// Few positions or many that were elsewhere: the log has no hole, its times never run backwards, and it goes on.
#[tokio::test]
async fn what_was_elsewhere_is_filled_however_much_it_is() {
    let target = database().await;
    let tenant = "01K9Z3T8W0QX6V5N4M3K2J1H0G";
    let filler = Filler {
        tenant: "0".repeat(26).into(),
        stream: "elsewhere-0".into(),
        kind: "elsewhere.happened".into(),
        metadata: "{}".into(),
    };
    let event = |position: i64, version: i64, second: i64| Recorded {
        position,
        tenant: tenant.into(),
        stream: "note-1".into(),
        version,
        id: uuid::Uuid::now_v7(),
        kind: "note.made".into(),
        occurred_at: jiff::Timestamp::UNIX_EPOCH,
        recorded_at: jiff::Timestamp::from_second(1_700_000_000 + second).unwrap(),
        is_json: true,
        data: "{}".into(),
        metadata: "{}".into(),
    };
    let refilled = async |events: Vec<Recorded>, until: i64| {
        let mut refill = Refill::begin(&target.pool, until, filler.clone()).await?;
        refill.push(events).await?;
        refill.finish(until).await?;
        refill.commit().await
    };
    for (wrong, why) in [
        (vec![event(3, 0, 0), event(3, 1, 0)], "too late"),
        (vec![event(3, 0, 5), event(4, 1, 4)], "too late"),
        (vec![event(3, 0, 0), event(4, 2, 0)], "lacks events"),
        (vec![event(3, 1, 0), event(4, 0, 0)], "lacks events"),
    ] {
        let refused = refilled(wrong, 9).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
        assert_eq!(head(&target).await, 0);
    }
    let events = vec![event(3, 0, 0), event(4, 1, 0), event(900, 2, 1), event(5000, 3, 2)];
    let begun = std::time::Instant::now();
    refilled(events, 100_000).await.unwrap();
    eprintln!("100,000 positions in {:?}", begun.elapsed());
    assert!(refilled(Vec::new(), 1).await.unwrap_err().to_string().contains("not empty"));
    let log: Value = serde_json::from_str(&output(&["log", "verify", "--database-url", &target.url]).await).unwrap();
    assert_eq!(log["position"], 100_000);
    let log = eventstore::Log::open(target.pool.clone(), eventstore::Options::default()).await.unwrap();
    for (instant, position) in [(0, 899), (1, 4999), (2, 100_000)] {
        let instant = jiff::Timestamp::from_second(1_700_000_000 + instant).unwrap();
        assert_eq!(log.position_at(instant).await.unwrap(), position);
    }
    log.close().await;
}

/// The same archive as a later program would have made it.
fn with_format(tar: &[u8], format: u32) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let word = b"\"format\": 1";
    let at = tar.windows(word.len()).position(|part| part == word).unwrap();
    tar[at + word.len() - 1] = b'0' + u8::try_from(format).unwrap();
    tar
}

/// Whoever adds a table says whether its rows go along, and if not why.
#[tokio::test]
async fn every_table_is_in_an_archive_or_left_out_for_a_reason() {
    let server = Server::start().await;
    let tar = unpacked(&downloaded(&server.admin).await);
    let manifest: Value = serde_json::from_slice(entries(&tar).last().unwrap().1).unwrap();
    let (kept, left_out) = (manifest["kept"].as_array().unwrap(), manifest["left_out"].as_object().unwrap());
    assert!(left_out.values().all(|why| !why.as_str().unwrap().is_empty()));
    let tables: Vec<String> = query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
           and not relname like 'read\\_%'",
    )
    .fetch_all(&server.database.pool)
    .await
    .unwrap();
    for table in &tables {
        let is_kept = kept.iter().any(|kept| kept == table);
        assert_ne!(is_kept, left_out.contains_key(table), "{table}: see gateway/src/archive.rs");
    }
    // The files that were sent are kept in no table.
    assert_eq!(tables.len() + 1, kept.len() + left_out.len());
    let (_, agent) = user_with(&server, "agent@example.com", &["export.run", "event.read", "*.read"]).await;
    agent.get("/v1/archive").await.problem(403, "permission_denied");
}
