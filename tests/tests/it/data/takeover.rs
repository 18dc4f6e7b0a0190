//! Nobody's data is left behind: desks of earlier programs, as dumps of their databases, are taken over whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use deskfold_tests::{Client, Database, Server, restored, root};
use domain::{
    Aggregate, catalogue,
    org::{field::Field, plan::Plan},
};
use eventstore::Log;
use projections::{List, ReadModels, lists};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, query_as, query_scalar};

use crate::{
    crm::feed_worlds,
    ground::program::{Running, home, output},
    kernel::past,
    org::{auth::user_with, browser::person, pictures::PIXEL},
    world::{contact, each, euros, field as custom_field, pages, party},
};

/// A desk of an earlier program.
struct Desk {
    /// The dump of its database: `tests/data/desks/<day>-at-<head of the log>.sql.gz`.
    dump: PathBuf,
    head: i64,
}

/// All that there are, oldest first.
fn desks() -> Vec<Desk> {
    let folder = fs::read_dir(root().join("tests/data/desks")).unwrap();
    let mut dumps: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    dumps.retain(|path| path.to_string_lossy().ends_with(".sql.gz"));
    dumps.sort();
    let head = |dump: &PathBuf| {
        let name = dump.file_name()?.to_str()?.strip_suffix(".sql.gz")?;
        name.split_once("-at-")?.1.parse().ok()
    };
    let named = |dump: PathBuf| {
        let head = head(&dump).unwrap_or_else(|| panic!("{} names no head of a log", dump.display()));
        Desk { dump, head }
    };
    dumps.into_iter().map(named).collect()
}

/// Tables whose rows come and go with the work; read models are compared otherwise.
const WORK: &[&str] = &[
    "_sqlx_migrations",
    "auth_session",
    "auth_throttle",
    "auth_token",
    "log_command",
    "log_parked",
    "log_setting",
    "log_subscription",
];

/// All that is stored and follows from nothing else, table by table: its columns, and how many rows it has, with a digest of
/// all their values.
async fn stored(pool: &PgPool, before: Option<&Stored>) -> Stored {
    let tables: Vec<(String, Vec<String>)> = match before {
        Some(before) => before.iter().map(|(table, (columns, _))| (table.clone(), columns.clone())).collect(),
        None => query_as(
            "select c.relname::text, array_agg(quote_ident(a.attname) order by a.attnum)
             from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
               and not c.relname like 'read\\_%' and not c.relname = any ($1)
             group by c.relname",
        )
        .bind(WORK)
        .fetch_all(pool)
        .await
        .unwrap(),
    };
    let mut stored = Stored::new();
    for (table, columns) in tables {
        let statement = format!(
            "select count(*) || ' rows ' || coalesce(md5(string_agg(md5(r), '' order by md5(r))), '')
             from (select row({})::text as r from {table}) t",
            columns.join(", ")
        );
        let digest: String = query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap();
        stored.insert(table, (columns, digest));
    }
    stored
}

type Stored = BTreeMap<String, (Vec<String>, String)>;

/// Waits until every read model serves and has all events, and finds each row by row as a fresh fold makes it, nothing
/// parked, and no table of an earlier version left.
async fn every_read_model_is_as_made_anew(database: &Database) {
    let log = Log::open(database.pool.clone(), eventstore::Options::default()).await.unwrap();
    let models = ReadModels::observe(log.clone(), projections::Options::default());
    let settled = models.settle(log.head().await.unwrap());
    tokio::time::timeout(Duration::from_secs(120), settled).await.expect("all is read").unwrap();
    for name in projections::names() {
        assert_eq!(projections::compare(&log, name).await.unwrap().differences, [], "{name}");
    }
    for status in models.status().await.unwrap() {
        assert_eq!((&*status.state, status.parked), ("serving", 0), "{status:?}");
    }
    let left: Vec<String> = query_scalar(
        "select tablename::text from pg_tables where schemaname = 'public' and tablename like 'read\\_%'
           and tablename <> 'read_model' and tablename not in
               (select unnest(array_remove(array[table_name, tally_name], null) || further_names) from read_model)",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(left, [""; 0], "tables of superseded versions are dropped");
    log.close().await;
}

/// At most so many, evenly out of all of them.
fn some<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}

/// The records of a list that are streams of the log: id, first and last position, how many events, whether the last one
/// deleted it.
async fn streams(pool: &PgPool, tenant: &str, list: &List) -> Vec<(String, i64, i64, i64, bool)> {
    // Custom fields are parts of one stream for each kind that has them; a name that leads to another label is none itself.
    if !list.single || list.read == Field::KIND {
        return Vec::new();
    }
    query_as(
        "select substr(stream, length(category) + 2), min(position), max(position), count(*),
                (array_agg(type order by version desc))[1] like '%.deleted'
         from log_event where tenant_id = $1 and category = $2 group by stream, category
         having min(type) <> 'label.redirected' order by 2",
    )
    .bind(tenant)
    .bind(list.read)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// What the log itself says of a stream, as the API shows events: position, version, type and data.
async fn told(pool: &PgPool, tenant: &str, stream: &str) -> Vec<Value> {
    let events: Vec<(i64, i64, String, Vec<u8>)> = query_as(
        "select position, version, type, data from log_event where tenant_id = $1 and stream = $2 order by version",
    )
    .bind(tenant)
    .bind(stream)
    .fetch_all(pool)
    .await
    .unwrap();
    let show = |(position, version, kind, data): (i64, i64, String, Vec<u8>)| json!({ "position": position, "version": version, "type": kind, "data": shown(&kind, &data) });
    events.into_iter().map(show).collect()
}

/// An event's data as answers show it: without what is secret.
pub(crate) fn shown(kind: &str, data: &[u8]) -> Value {
    let data: Box<serde_json::value::RawValue> = serde_json::from_slice(data).unwrap();
    serde_json::from_str(catalogue::told(kind, &data).get()).unwrap()
}

/// The same of a history that was read over HTTP.
async fn history(client: &Client, path: &str) -> Vec<Value> {
    let show = |event: Value| json!({ "position": event["position"], "version": event["version"], "type": event["type"], "data": event["data"] });
    pages(client, &format!("{path}/history?limit=1000")).await.into_iter().map(show).collect()
}

/// Reads one record as it is, as it was, its history and its feed.
async fn read_whole(client: &Client, path: &str) {
    let record = client.read(path).await;
    let position = record["position"].as_i64().unwrap_or_else(|| panic!("{path}: {record}"));
    let then = client.read(&format!("{path}?as_of={position}")).await;
    assert_eq!(then["version"], record["version"], "{path}?as_of={position}");
    for link in ["history", "feed"] {
        if let Some(path) = record["links"][link].as_str() {
            let page = client.read(path).await;
            let told = page["data"].as_array().unwrap().len();
            // What only sorts other records is no news.
            assert!(told > 0 || link == "feed", "{path} tells of no event");
        }
    }
}

/// The lists of whatever is read by its id; what one was told is read at an address of one's own.
fn read_by_id() -> impl Iterator<Item = &'static List> {
    lists().filter(|list| lists().any(|other| other.lists(list.read)))
}

/// Reads what was taken over: every list, and of each kind some records as their events say.
async fn everything_is_served(client: &Client, pool: &PgPool, tenant: &str) {
    for list in read_by_id() {
        let path = format!("/v1/{}", list.path);
        if list.listed {
            let counted = client.read(&format!("{path}?limit=1&count=exact")).await["total"].clone();
            let all = pages(client, &format!("{path}?limit=200")).await;
            assert_eq!(counted, all.len(), "{path}");
            if list.single {
                for record in some(all, 6) {
                    read_whole(client, &format!("{path}/{}", record["id"].as_str().unwrap())).await;
                }
            }
        }
        for (id, first, last, events, is_deleted) in some(streams(pool, tenant, list).await, 10) {
            let path = format!("{path}/{id}");
            let told = told(pool, tenant, &format!("{}-{id}", list.read)).await;
            assert_eq!(history(client, &path).await, told, "{path}/history");
            for position in [first, last - 1].iter().filter(|position| **position >= first) {
                client.read(&format!("{path}?as_of={position}")).await;
            }
            let read = client.get(&path).await;
            if is_deleted && read.status == StatusCode::NOT_FOUND {
                read.problem(404, &format!("{}_unknown", list.read));
                continue;
            }
            let record = read.expect(StatusCode::OK);
            let says_so = record["deleted"] == true || record["status"] == "deleted";
            assert!(!is_deleted || says_so, "{path}: {record}");
            assert_eq!(record["version"], events - 1, "{path}: {record}");
            read_whole(client, &path).await;
        }
    }
}

/// Changes that a kind may take: the name of the command and its body.
fn changes() -> Vec<(&'static str, Value)> {
    vec![
        ("tag", json!({ "tag": "taken over" })),
        ("rename", json!({ "name": "Taken over" })),
        ("change_profile", json!({ "job_title": "Taken over" })),
        ("change_details", json!({ "serial_number": "taken over" })),
        ("add_note", json!({ "text": "Taken over" })),
        ("edit", json!({ "text": "Taken over" })),
        ("correct", json!({ "text": "Taken over" })),
        ("change", json!({ "text": "Taken over" })),
        ("amend", json!({ "comment": "Taken over" })),
        ("revise", json!({ "text": "Taken over" })),
        ("change_priority", json!({ "priority": 1 })),
        ("change_text", json!({ "text": "Taken over" })),
        ("mark_read", json!({})),
        ("receive_message", json!({ "body": "Taken over" })),
        ("remove", json!({})),
        ("end", json!({})),
        ("change_rank", json!({ "rank": 77 })),
        ("miss", json!({})),
        ("clear", json!({})),
        ("try_again", json!({})),
        ("dismiss", json!({})),
        ("end", json!({ "duration_s": 1 })),
        ("mark_opened", json!({})),
        ("send", json!({ "medium": "email" })),
        ("cancel", json!({})),
        ("disable", json!({})),
    ]
}

/// Old records go on: of each kind some record takes a command, and none breaks.
async fn old_records_take_commands(client: &Client, pool: &PgPool, tenant: &str) -> BTreeSet<&'static str> {
    let mut refused = BTreeSet::new();
    for list in lists().filter(|list| list.single) {
        let kind = catalogue::kind(list.read).unwrap();
        let mut taken = false;
        let mut streams = streams(pool, tenant, list).await;
        streams.retain(|(.., is_deleted)| !is_deleted);
        let streams = some(streams, 12);
        if streams.is_empty() {
            continue;
        }
        for (id, ..) in streams {
            for (command, body) in changes().into_iter().filter(|(command, _)| kind.commands.contains(*command)) {
                let path = format!("/v1/{}/{id}/{command}", list.path);
                let reply = client.post(&path, body).await;
                assert!(!reply.status.is_server_error(), "{path}: {}", reply.text);
                taken |= reply.status.is_success();
            }
        }
        if !taken {
            refused.insert(list.read);
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn desks_of_earlier_programs_are_taken_over_whole() {
    let desks = desks();
    assert!(!desks.is_empty());
    for Desk { dump, head } in desks {
        let name = dump.display();
        let database = restored(&dump).await;
        let pool = &database.pool;
        let before = stored(pool, None).await;
        assert!(before["log_event"].1.starts_with(&format!("{head} rows ")), "{name}: {}", before["log_event"].1);

        // The program is started on it. Nothing that was said is changed, and nothing is said anew.
        let home = home();
        let own = ["--database-url", &*database.url, "--rate-limit", "0"];
        let running = Running::start(home.path(), &[&own[..], &["--roles", "api,project"]].concat()).await;
        assert_eq!(running.printed(), "", "{name}: there is an administrator already");
        every_read_model_is_as_made_anew(&database).await;
        assert_eq!(stored(pool, Some(&before)).await, before, "{name}");

        // The log goes on where it ended.
        let issue = ["key", "issue", "--user", "admin@localhost", "--database-url", &database.url];
        let key = output(&issue).await;
        let client = running.client(key.trim());
        let issued = client.read(&format!("/v1/events?after={head}")).await;
        assert_eq!(each(&issued, "position"), [head + 1], "{name}: {issued}");
        assert_eq!(each(&issued, "type"), ["api_key.issued"]);
        let opened = client.post("/v1/tickets", json!({ "title": "Next" })).await;
        assert_eq!(opened.header("deskfold-position"), (head + 2).to_string(), "{name}: {}", opened.text);
        let client = client.header("deskfold-min-position", head + 2);
        assert_eq!(client.read("/readyz").await["ready"], true);
        let tenant = client.read("/v1/me").await["tenant"].as_str().unwrap().to_owned();
        everything_is_served(&client, pool, &tenant).await;
        running.signal("TERM");
        assert!(running.end().await.0);

        // So does everything that was there, now with rules and timers.
        let running = Running::start(home.path(), &own).await;
        let client = running.client(key.trim());
        let refused = old_records_take_commands(&client, pool, &tenant).await;
        // What was imported was imported, and what ran has run; what was sent through a form takes one command, once.
        let over = BTreeSet::from(["bulk", "form_submission", "import", "rule_run"]);
        assert!(refused.is_subset(&over), "{name}: no old record takes any command: {refused:?}");
        every_read_model_is_as_made_anew(&database).await;
        running.signal("TERM");
        assert!(running.end().await.0);
        let kept: i64 = query_scalar("select count(*) from log_event where position <= $1")
            .bind(head)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(kept, head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_half_of_a_desk_while_it_is_taken_over() {
    for Desk { dump, .. } in desks() {
        let name = dump.display();
        let database = restored(&dump).await;
        // The earlier program may still be running, and reads its own tables.
        let tables: Vec<String> = query_scalar(
            "select unnest(array_remove(array[table_name, tally_name], null) || further_names) from read_model",
        )
        .fetch_all(&database.pool)
        .await
        .unwrap();
        let rows = async || -> Vec<i64> {
            let mut rows = Vec::new();
            for table in &tables {
                let statement = format!("select count(*) from {table}");
                rows.push(query_scalar(AssertSqlSafe(statement)).fetch_one(&database.pool).await.unwrap());
            }
            rows
        };
        let seen = rows().await;
        // The new program answers, and nobody fills its tables.
        let home = home();
        let own = ["--database-url", &*database.url, "--rate-limit", "0", "--read-wait", "50ms"];
        let running = Running::start(home.path(), &[&own[..], &["--roles", "api"]].concat()).await;
        let issue = ["key", "issue", "--user", "admin@localhost", "--database-url", &database.url];
        let key = output(&issue).await;
        let client = running.client(key.trim());
        let ready = client.get("/readyz").await.json();
        let building: BTreeSet<&str> = ready["building"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(ready["ready"], building.is_empty(), "{name}: {ready}");
        let tenant = client.read("/v1/me").await["tenant"].as_str().unwrap().to_owned();
        let mut later = Vec::new();
        for list in read_by_id() {
            let mut paths = vec![format!("/v1/{}?limit=200", list.path)];
            if !list.listed {
                paths.clear();
            }
            for (id, _, last, ..) in some(streams(&database.pool, &tenant, list).await, 3) {
                let path = format!("/v1/{}/{id}", list.path);
                paths.extend([format!("{path}?as_of={last}"), format!("{path}/feed"), path]);
            }
            for path in paths {
                let reply = client.get(&path).await;
                match reply.status {
                    StatusCode::SERVICE_UNAVAILABLE => {
                        reply.problem(503, "read_model_building");
                        assert!(reply.header("retry-after").parse::<u64>().is_ok());
                        later.push(path);
                    }
                    // Deleted.
                    StatusCode::NOT_FOUND if !path.contains("?limit") => {}
                    // Not every kind has feeds.
                    StatusCode::METHOD_NOT_ALLOWED if path.ends_with("/feed") => {}
                    status => assert_eq!(status, StatusCode::OK, "{name}: {path}: {}", reply.text),
                }
            }
        }
        // An administrator sees everything, and need not wait for who sees what.
        // Walls and facts have no lists of their own.
        let waits = building.iter().any(|model| !["record_access", "facts"].contains(model));
        assert_eq!(later.is_empty(), !waits, "{name}: {building:?}");
        assert_eq!(rows().await, seen, "{name}: {tables:?} serve whoever has read them so far");
        // Somebody fills them, and the same process shows them whole.
        let worker = crate::ground::program::home();
        let filling = Running::start(worker.path(), &[&own[..], &["--roles", "project"]].concat()).await;
        every_read_model_is_as_made_anew(&database).await;
        assert_eq!(client.read("/readyz").await["ready"], true, "{name}");
        for path in later {
            let reply = client.get(&path).await;
            let is_there = [StatusCode::OK, StatusCode::NOT_FOUND].contains(&reply.status);
            assert!(is_there, "{name}: {path}: {}", reply.text);
        }
        for running in [filling, running] {
            running.signal("TERM");
            assert!(running.end().await.0);
        }
    }
}

/// The next program has to take over what this one can make.
#[tokio::test]
async fn the_newest_desk_has_every_kind() {
    let newest = desks().pop().unwrap();
    let database = restored(&newest.dump).await;
    let kinds: Vec<String> =
        query_scalar("select distinct category from log_event order by 1").fetch_all(&database.pool).await.unwrap();
    let mut all: Vec<_> = catalogue::kinds().map(|kind| kind.name).collect();
    all.sort_unstable();
    assert_eq!(kinds, all, "make desk-dump adds a desk of today's program");
}

/// Not a test: makes a desk of today's program, with all kinds of records and much that happens to them, and adds its dump to
/// those that later programs take over.
#[tokio::test]
#[ignore = "run by make desk-dump"]
async fn make_a_desk() {
    let server = Server::start().await;
    let client = &server.admin;
    past::films(&server).await;
    more_to_come_over(client).await;
    somebody_comes_and_goes(&server).await;
    let (colleague, agent) = user_with(&server, "colleague@example.com", &["*"]).await;
    feed_worlds::play(&server, (&colleague, &agent), 7, 500, 3).await;
    server.settle().await;
    let head = client.read("/v1/events?limit=1").await["position"].clone();
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    server.app.stop().await;
    let dump = root().join(format!("tests/data/desks/{day}-at-{head}.sql.gz"));
    server.database.dump(&dump).await;
    eprintln!("{}", dump.display());
}

/// A plan with its seats, somebody who signs in, sends a picture, has a record to herself, and leaves.
async fn somebody_comes_and_goes(server: &Server) {
    let client = &server.admin;
    client.put("/v1/plan", json!({ "plan": Plan::example() })).await.expect(StatusCode::OK);
    let (guest, browser) = person(server, "guest@example.com", &["property.*:own", "contact.*:team"]).await;
    let picture = browser.client.request(Method::PUT, "/v1/me/picture").header("sec-fetch-site", "same-origin");
    assert_eq!(browser.send(picture.body(PIXEL)).await.status, StatusCode::NO_CONTENT);
    let flat = json!({ "name": "Flat in Via Garibaldi", "kind": "apartment" });
    browser.post("/v1/properties", flat).await.expect(StatusCode::CREATED);
    client.run(&format!("/v1/users/{guest}/deactivate"), json!({ "reason": "Left" })).await;
}

/// What neither films nor random worlds have: settings, options, sales, merges of what has tags, and much merged twice.
async fn more_to_come_over(client: &Client) {
    let country = json!({ "key": "default_country", "value": "UA" });
    client.run("/v1/tenants/current/change_setting", country).await;
    let options =
        json!([{ "value": "lite", "label": "Lite" }, { "value": "full", "label": "Full", "color": "#00a09d" }]);
    custom_field(client, "contact", "plan", "select", json!({ "options": options })).await;
    custom_field(client, "contact", "worth", "money", json!({})).await;
    custom_field(client, "contact", "friend", "reference", json!({ "target": "contact" })).await;
    let body = json!({
        "name": "Čeněk Šimon", "phone": "+380 (67) 123-45-67", "email": "Cenek@Example.com", "tags": ["Zlatý", "old"],
        "custom": { "plan": "lite", "worth": euros("12.50") },
    });
    let first = client.create("/v1/contacts", body).await;
    let mut chain = vec![first.clone()];
    for name in ["José", "Straße"] {
        let custom = json!({ "friend": first, "plan": "full" });
        let next = client.create("/v1/contacts", json!({ "name": name, "tags": [name], "custom": custom })).await;
        client.create("/v1/tickets", json!({ "title": name, "requester": party("contact", &next) })).await;
        client.create("/v1/deals", json!({ "name": name, "contact": next })).await;
        chain.push(next);
    }
    for pair in chain.windows(2) {
        client.run(&format!("/v1/contacts/{}/merge", pair[0]), json!({ "into": pair[1] })).await;
    }
    client.run(&format!("/v1/contacts/{}/unmerge", chain[0]), json!({})).await;
    let flat = client.create("/v1/properties", json!({ "name": "Sold once" })).await;
    let buyer = contact(client, "Buyer").await;
    let deal = client.create("/v1/deals", json!({ "name": "Sale", "contact": buyer, "property": flat })).await;
    let sale = json!({ "property": flat, "contacts": [buyer], "price": euros("305000.00") });
    client.run(&format!("/v1/deals/{deal}/record"), sale).await;
    client.post(&format!("/v1/contacts/{buyer}/copy"), json!({ "name": "Copied" })).await.expect(StatusCode::CREATED);
}
