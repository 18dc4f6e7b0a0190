//! Files from elsewhere: every row accounted for, nothing done twice, and an interrupted import goes on where it was.

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use clap::Parser;
use deskfold_tests::{Client, Kept, Reply, Server, config, database, root};
use gateway::{App, config::Cli};
use regex::Regex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::OnceCell;

/// The first row of the file that every case of these tests begins with.
const HEADER: &str = "case_id,activity,resource,timestamp,customer,product,seriousness,service_level,service_type,\
                      responsible_section,support_section,workgroup";

fn mapping() -> String {
    std::fs::read_to_string(root().join("deploy/import/italian-helpdesk.toml")).unwrap()
}

/// Real cases, chosen so that every activity and every sort of change is among them.
pub(crate) fn extract() -> String {
    std::fs::read_to_string(root().join("tests/fixtures/italian-helpdesk-extract.csv")).unwrap()
}

/// The whole log that the extract is from, where the project's data lies beside the repository.
pub(crate) fn whole() -> Option<String> {
    std::fs::read_to_string(root().join("../shared/data/italian-helpdesk.csv")).ok()
}

/// A desk into which the whole log has come.
pub(crate) struct Imported {
    pub(crate) server: Server,
    pub(crate) file: String,
    /// What its import said in the end.
    pub(crate) done: Value,
}

/// A desk of one test's own with the whole log, which comes in once for all of them; none where the log is not.
pub(crate) async fn with_the_whole_log() -> Option<Imported> {
    static DESK: OnceCell<(Kept, String, String, Value)> = OnceCell::const_new();
    let file = whole()?;
    let made = async || {
        let server = Server::start().await;
        let done = history(&server.admin, &file).await;
        server.settle().await;
        let (tenant, key) = (server.tenant.clone(), server.admin.key.clone());
        server.app.stop().await;
        (server.database.keep().await, tenant, key, done)
    };
    let (desk, tenant, key, done) = DESK.get_or_init(made).await;
    Some(Imported { server: Server::on(desk.copy().await, tenant, key).await, done: done.clone(), file })
}

/// The extract so many times over, as different cases.
fn many(times: usize) -> String {
    let extract = extract();
    let rows: Vec<&str> = extract.lines().skip(1).collect();
    let mut text = format!("{HEADER}\n");
    for time in 0..times {
        for row in &rows {
            text.push_str(&row.replacen("Case ", &format!("Case {time}-"), 1));
            text.push('\n');
        }
    }
    text
}

async fn send(client: &Client, fields: &[(&str, &str)], file: &str) -> Reply {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str(&format!(
        "--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"cases.csv\"\r\n\r\n{file}\r\n--X--\r\n"
    ));
    let request = client.request(Method::POST, "/v1/imports");
    client.send(request.header("content-type", "multipart/form-data; boundary=X").body(body)).await
}

/// Sends a file and waits until it has been dealt with.
async fn import(client: &Client, fields: &[(&str, &str)], file: &str) -> Value {
    let started = send(client, fields, file).await.expect(StatusCode::ACCEPTED);
    ended(client, started["links"]["progress"].as_str().unwrap()).await
}

pub(crate) async fn ended(client: &Client, progress: &str) -> Value {
    loop {
        let found = client.read(&format!("{progress}?wait=60")).await;
        if found["status"] != "running" {
            return found;
        }
    }
}

pub(crate) async fn history(client: &Client, file: &str) -> Value {
    import(client, &[("kind", "history"), ("mapping", &mapping())], file).await
}

pub(crate) fn counts(progress: &Value) -> (u64, u64, u64, u64) {
    let count = |name: &str| progress["counts"][name].as_u64().unwrap();
    assert_eq!(count("rows"), count("applied") + count("unchanged") + count("rejected"), "{progress}");
    (count("rows"), count("applied"), count("unchanged"), count("rejected"))
}

/// How many events there are, those of imports themselves left out.
pub(crate) async fn events(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from log_event where category <> 'import'").fetch_one(pool).await.unwrap()
}

pub(crate) async fn report(client: &Client, progress: &Value) -> Vec<Vec<String>> {
    let reply = client.get(progress["links"]["report"].as_str().unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("content-type").starts_with("text/csv"));
    rows(&reply.text)
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Every stream as its types, times and data, without what differs from run to run: ids, numbers drawn in the order of
/// arrival, and which of the tenant's own records it is.
async fn told(pool: &PgPool) -> Vec<String> {
    static IDS: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-7][0-9A-HJKMNP-TV-Z]{25}").unwrap());
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""number":\d+"#).unwrap());
    let rows: Vec<(String, String, i64, String)> = sqlx::query_as(
        "select stream, type, (extract(epoch from occurred_at) * 1000000)::bigint, convert_from(data, 'utf8')
         from log_event
         where stream in (select stream from log_event where convert_from(metadata, 'utf8')::jsonb ->> 'via' = 'import')
           and category <> 'import'
         order by stream, version",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut streams: BTreeMap<String, String> = BTreeMap::new();
    for (stream, kind, at, data) in rows {
        let data = NUMBER.replace_all(&IDS.replace_all(&data, "id"), "number").into_owned();
        streams.entry(stream).or_default().push_str(&format!("{kind} {at} {data}\n"));
    }
    let mut told: Vec<String> = streams.into_values().collect();
    told.sort();
    told
}

#[tokio::test]
async fn real_cases_come_in_with_their_own_times_and_people() {
    let server = Server::start().await;
    let admin = &server.admin;
    let first = history(admin, &extract()).await;
    assert_eq!((first["status"].as_str(), first["rows_total"].as_u64()), (Some("completed"), Some(241)));
    assert_eq!(counts(&first), (241, 241, 0, 0));
    assert_eq!(report(admin, &first).await.len(), 1);
    server.settle().await;

    let listed = admin.read("/v1/imports").await;
    let listed = &listed["data"][0];
    assert_eq!((listed["status"].as_str(), &listed["counts"]), (Some("completed"), &first["counts"]));
    assert_eq!(admin.read("/v1/tickets?count=exact").await["total"], 45);

    // Case 1345 was closed, and another customer's later row changes it all the same.
    let filter = json!({ "field": "title", "op": "starts_with", "value": "Case 1345:" });
    let found = admin.post("/v1/tickets/search", json!({ "filter": filter })).await.expect(StatusCode::OK);
    let ticket = &found["data"][0];
    assert_eq!(
        (ticket["status"].as_str(), ticket["company_name"].as_str()),
        (Some("closed"), Some("Customer Value 285"))
    );
    assert_eq!((&ticket["custom"]["service_type"], &ticket["priority"]), (&json!("Value 4"), &json!(3)));
    assert!(ticket["tags"].as_array().unwrap().contains(&json!("verified")), "{ticket}");
    let history = admin.read(&format!("/v1/tickets/{}/history", ticket["id"].as_str().unwrap())).await;
    let history = history["data"].as_array().unwrap();
    assert_eq!(history[0]["type"], "ticket.opened");
    assert!(history.iter().all(|event| event["via"] == "import" && event["occurred_at"].as_str() < Some("2014-12-31")));
    let verified = history.iter().find(|event| event["data"]["tag"] == "verified").unwrap();
    assert_eq!(verified["occurred_at"], "2011-06-08T17:05:32Z");
    let types: Vec<&str> = history.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let closed = types.iter().position(|kind| *kind == "ticket.closed").unwrap();
    let after = ["ticket.reopened", "ticket.team_changed", "ticket.requester_changed"];
    assert_eq!(types[closed + 1..closed + 4], after, "{types:?}");
    // Who did it, and for whom it was brought in.
    let agent = verified["actor"]["id"].as_str().unwrap();
    let me = admin.read("/v1/me").await;
    assert_eq!(admin.read(&format!("/v1/users/{agent}")).await["name"], "Agent Value 22");
    assert_eq!(verified["actor"]["on_behalf_of"], me["user"]);

    // The requester's company owns what its tickets are about.
    let product = ticket["product_name"].as_str().unwrap();
    let holders = json!({ "filter": { "field": "status", "op": "eq", "value": "active" } });
    let holders = admin.post("/v1/entitlements/search", holders).await.expect(StatusCode::OK);
    let owned = |row: &Value| row["holder_name"] == "Customer Value 285" && row["product_name"] == product;
    assert!(holders["data"].as_array().unwrap().iter().any(owned), "{product}");
}

#[tokio::test]
async fn the_same_file_twice_adds_no_event() {
    let server = Server::start().await;
    let first = history(&server.admin, &extract()).await;
    assert_eq!(counts(&first).1, 241);
    let before = events(&server.database.pool).await;
    let second = history(&server.admin, &extract()).await;
    assert_eq!((counts(&second), &second["counts"]["events"]), ((241, 0, 241, 0), &json!(0)));
    assert_eq!(events(&server.database.pool).await, before);

    // More of the same log adds only what is new.
    let more = format!(
        "{}Case 1,Take in charge ticket,Value 3,2013/01/01 08:00:00.000,Value 1,Value 1,Value 1,Value 2,\
        Value 1,Value 1,Value 1,Value 1\n",
        extract()
    );
    assert_eq!(counts(&history(&server.admin, &more).await), (242, 1, 241, 0));
}

#[tokio::test]
async fn the_whole_log_comes_in_without_a_rejection() {
    let Some(Imported { server, file, done }) = with_the_whole_log().await else {
        eprintln!("the whole log is not here; its extract is imported by the other tests");
        return;
    };
    assert_eq!(counts(&done), (21_348, 21_348, 0, 0));
    let before = events(&server.database.pool).await;
    assert_eq!(counts(&history(&server.admin, &file).await), (21_348, 0, 21_348, 0));
    assert_eq!(events(&server.database.pool).await, before);
    let tickets: i64 = sqlx::query_scalar("select count(*) from log_event where type = 'ticket.opened'")
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert_eq!(tickets, 4_580);
}

#[test]
fn an_import_that_is_killed_goes_on_and_does_the_same() {
    let file = many(18);
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let observer = runtime();
    let (undisturbed, wanted) = observer.block_on(async {
        let server = Server::start().await;
        let done = history(&server.admin, &file).await;
        let told = told(&server.database.pool).await;
        (done, told)
    });
    let rows = counts(&undisturbed).0;
    assert_eq!((rows, counts(&undisturbed).1), (241 * 18, rows));

    let database = observer.block_on(database());
    let (id, key) = {
        let dying = runtime();
        let started = dying.block_on(async {
            let pool = PgPool::connect(&database.url).await.unwrap();
            let (app, first) = App::start(config(&[]), pool.clone()).await.unwrap();
            let (address, _) = app.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let key = first.unwrap().key;
            let client = Client::new(address, &key);
            let fields = [("kind", "history"), ("mapping", &mapping())];
            let started = send(&client, &fields, &file).await.expect(StatusCode::ACCEPTED);
            // Into its second window, with rows carried out that nobody has recorded.
            let mut recorded = 0_i64;
            while recorded == 0 {
                recorded = sqlx::query_scalar("select rows_done from import_job").fetch_one(&pool).await.unwrap();
            }
            let at = events(&pool).await;
            while events(&pool).await < at + 100 {}
            (started["id"].as_str().unwrap().to_owned(), key)
        });
        // Everything of it stops where it stands, as by a kill: nothing is written down, no lease is given back.
        dying.shutdown_background();
        started
    };
    observer.block_on(async {
        let state: (i64, i64) =
            sqlx::query_as("select rows_done, rows_total from import_job").fetch_one(&database.pool).await.unwrap();
        assert!(state.0 > 0 && state.0 < state.1, "killed in the middle: {state:?}");
        sqlx::query("update import_job set lease_until = now()").execute(&database.pool).await.unwrap();
        let (app, first) = App::start(config(&[]), database.pool.clone()).await.unwrap();
        assert!(first.is_none());
        let (address, _) = app.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let client = Client::new(address, &key);
        let done = ended(&client, &format!("/v1/imports/{id}/progress")).await;
        assert_eq!(done["status"], "completed");
        assert_eq!(done["counts"], undisturbed["counts"]);
        let found = told(&database.pool).await;
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted);
        }
        app.stop().await;
    });
}

#[tokio::test]
async fn rows_that_cannot_be_taken_are_told_with_their_reasons() {
    let server = Server::start().await;
    let rest = "Value 1,Value 1,Value 1,Value 1,Value 1,Value 1,Value 1,Value 1";
    let huge = "x".repeat(250);
    let file = format!(
        "{HEADER}\n\
         A,Closed,Value 1,2012/10/09 14:50:17.000,{rest}\n\
         ,Closed,Value 1,2012/10/09 14:50:17.000,{rest}\n\
         B,Closed,Value 1,yesterday,{rest}\n\
         B,Dance,Value 1,2012/10/09 14:50:17.000,{rest}\n\
         B,Closed,Value 1\n\
         B,Closed,Value 1,2012/10/09 14:50:17.000,{huge},Value 1,Value 1,Value 1,Value 1,Value 1,Value 1,Value 1\n\
         B,Closed,Value 1,2912/10/09 14:50:17.000,{rest}\n\
         B,Closed,Value 1,2012/10/09 14:50:17.000,Value 1,Value 1,Value 9,Value 1,Value 1,Value 1,Value 1,Value 1\n\
         \"B\",\"Wait\",\"Value \"\"2\"\"\",2012/10/09 14:50:17.000,{rest}\n"
    );
    let done = history(&server.admin, &file).await;
    assert_eq!(counts(&done), (9, 2, 0, 7));
    let report = report(&server.admin, &done).await;
    assert_eq!(report[0][..5], ["row", "line", "code", "reason", "case_id"].map(str::to_owned));
    let told: Vec<(&str, &str, &str)> =
        report[1..].iter().map(|row| (row[0].as_str(), row[1].as_str(), row[2].as_str())).collect();
    let wanted = [
        ("2", "3", "case_missing"),
        ("3", "4", "time_invalid"),
        ("4", "5", "activity_unmapped"),
        ("5", "6", "row_malformed"),
        ("6", "7", "name_invalid"),
        ("7", "8", "time_in_future"),
        ("8", "9", "value_unmapped"),
    ];
    assert_eq!(told, wanted);
    assert!(report[5][3].contains("company") && report[5][8] == huge, "{:?}", report[5]);

    // Mended, the refused rows come in, and the others are not done again.
    let mended = file.replace("yesterday", "2012/10/09 14:50:17.000");
    assert_eq!(counts(&history(&server.admin, &mended).await), (9, 1, 2, 6));
}

#[tokio::test]
async fn what_cannot_be_an_import_is_refused_before_it_runs() {
    let server = Server::start().await;
    let admin = &server.admin;
    let send = async |fields: &[(&str, &str)], file: &str| send(admin, fields, file).await;
    let mapping = mapping();
    let good = [("kind", "history"), ("mapping", mapping.as_str())];
    let problem = send(&[("kind", "history"), ("mapping", "[columns]\ncase = 1")], HEADER).await;
    assert!(problem.problem(422, "mapping_invalid")["detail"].as_str().unwrap().contains("line 2"));
    let problem = send(&good, "case_id,activity\n").await.problem(422, "mapping_invalid");
    assert!(problem["errors"].as_array().unwrap().len() > 3, "{problem}");
    send(&good, "").await.problem(422, "file_invalid");
    send(&[("kind", "mail")], HEADER).await.problem(422, "kind_invalid");
    send(&[("kind", "history")], HEADER).await.problem(422, "required");
    send(&[("sort", "history")], HEADER).await.problem(422, "body_invalid");
    send(&[good[0], good[1], ("source", "a/b")], HEADER).await.problem(422, "external_id_invalid");
    admin.post("/v1/imports", json!({})).await.problem(400, "body_unreadable");
    let left: i64 =
        sqlx::query_scalar("select count(*) from import_job").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(left, 0);

    // A key that may not import.
    let role = admin.create("/v1/roles", json!({ "name": "reader", "permissions": ["*.read"] })).await;
    let key = admin.post("/v1/api_keys", json!({ "name": "r", "role": role })).await.expect(StatusCode::CREATED);
    let reader = server.client(key["key"].as_str().unwrap());
    self::send(&reader, &good, HEADER).await.problem(403, "permission_denied");
    reader.get("/v1/entitlements.csv").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_rehearsal_counts_the_same_and_writes_nothing() {
    let server = Server::start().await;
    let file = extract().replacen("2012/10/09 14:51:01.000", "then", 1);
    let before = events(&server.database.pool).await;
    let fields = [("kind", "history"), ("mapping", &mapping()), ("dry_run", "true")];
    let rehearsed = import(&server.admin, &fields, &file).await;
    assert_eq!(events(&server.database.pool).await, before);
    assert_eq!(counts(&rehearsed), (241, 240, 0, 1));
    let real = history(&server.admin, &file).await;
    assert_eq!(real["counts"], rehearsed["counts"]);
}

#[tokio::test]
async fn a_cancelled_import_can_be_taken_up_again_and_a_retried_upload_starts_once() {
    let server = Server::with(&["--roles", "api,project"]).await;
    let retried = server.admin.header("Idempotency-Key", "upload-1");
    let fields = [("kind", "history"), ("mapping", &mapping())];
    let first = send(&retried, &fields, &extract()).await.expect(StatusCode::ACCEPTED);
    let again = send(&retried, &fields, &extract()).await.expect(StatusCode::ACCEPTED);
    assert_eq!(first["id"], again["id"]);
    send(&retried, &fields, HEADER).await.problem(422, "idempotency_key_reused");
    let import = format!("/v1/imports/{}", first["id"].as_str().unwrap());

    // Nobody runs it here, so that it can be cancelled in time.
    assert_eq!(server.admin.read(&format!("{import}/progress")).await["status"], "running");
    let cancelled = server.admin.run(&format!("{import}/cancel"), json!({ "reason": "wrong file" })).await;
    assert_eq!(cancelled, ["import.cancelled"]);
    let (runner, _) = App::start(config(&["--roles", "react"]), server.database.pool.clone()).await.unwrap();
    runner.settle().await.unwrap();
    let progress = server.admin.read(&format!("{import}/progress?wait=60")).await;
    assert_eq!((progress["status"].as_str(), counts(&progress).0), (Some("cancelled"), 0));

    let resumed = server.admin.run(&format!("{import}/resume"), json!({})).await;
    assert_eq!(resumed, ["import.started"]);
    let done = ended(&server.admin, &format!("{import}/progress")).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("completed"), (241, 241, 0, 0)));
    assert_eq!(server.admin.run(&format!("{import}/resume"), json!({})).await, Vec::<String>::new());
    let kept: i64 =
        sqlx::query_scalar("select count(*) from import_upload").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(kept, 0, "the file goes when nothing is left to do with it");
    runner.stop().await;
}

#[tokio::test]
async fn a_request_repeated_after_an_import_has_ended_is_answered_and_sets_nothing_to_work() {
    let server = Server::start().await;
    let admin = &server.admin;
    let keyed = |key: &str| admin.header("Idempotency-Key", key);
    let mapping = mapping();
    let fields = [("kind", "history"), ("mapping", &*mapping)];
    let first = send(&keyed("whole"), &fields, &extract()).await;
    let progress = first.json()["links"]["progress"].as_str().unwrap().to_owned();
    let done = ended(admin, &progress).await;
    assert_eq!(done["status"], "completed");
    server.settle().await;
    let again = send(&keyed("whole"), &fields, &extract()).await;
    assert_eq!((again.status, &again.text), (StatusCode::ACCEPTED, &first.text));
    server.settle().await;
    assert_eq!(ended(admin, &progress).await, done);

    // One that fails, is taken up again, and fails again.
    let broken = format!("{}\n\"Case 1 and no end{}", extract().lines().next().unwrap(), "x".repeat(5 << 20));
    let failing = send(&keyed("broken"), &fields, &broken).await;
    let import = format!("/v1/imports/{}", failing.json()["id"].as_str().unwrap());
    assert_eq!(ended(admin, &format!("{import}/progress")).await["status"], "failed");
    let resume = async || keyed("again").post(&format!("{import}/resume"), json!({})).await;
    let resumed = resume().await;
    assert_eq!(resumed.json()["events"][0]["type"], "import.started", "{}", resumed.text);
    server.settle().await;
    let failed = ended(admin, &format!("{import}/progress")).await;
    assert_eq!(failed["status"], "failed");
    let before = admin.read(&format!("{import}/history")).await;
    let (again, replayed) = (resume().await, send(&keyed("broken"), &fields, &broken).await);
    assert_eq!((&again.text, &replayed.text), (&resumed.text, &failing.text));
    assert_eq!((again.header("idempotency-replayed"), replayed.header("idempotency-replayed")), ("true", "true"));
    server.settle().await;
    assert_eq!(admin.read(&format!("{import}/history")).await["data"], before["data"]);
    assert_eq!(ended(admin, &format!("{import}/progress")).await, failed);
    let other = keyed("again").post(&format!("{import}/resume"), json!({ "reason": "x" })).await;
    other.problem(422, "body_invalid");
}

#[tokio::test]
async fn an_import_is_cancelled_and_taken_up_again_with_keys_across_a_restart() {
    let server = Server::with(&["--roles", "api,project"]).await;
    let keyed = |key: &str| server.admin.header("Idempotency-Key", key);
    let mapping = mapping();
    let fields = [("kind", "history"), ("mapping", &*mapping)];
    let started = send(&keyed("upload"), &fields, &extract()).await;
    let import = format!("/v1/imports/{}", started.json()["id"].as_str().unwrap());
    let cancel = async || keyed("cancel").post(&format!("{import}/cancel"), json!({ "reason": "wrong file" })).await;
    let cancelled = cancel().await;
    assert_eq!(cancelled.json()["events"][0]["type"], "import.cancelled", "{}", cancelled.text);
    // The upload said again brings nothing back that was cancelled since.
    assert_eq!(send(&keyed("upload"), &fields, &extract()).await.text, started.text);
    let runner = async || App::start(config(&["--roles", "react"]), server.database.pool.clone()).await.unwrap().0;
    let first = runner().await;
    first.settle().await.unwrap();
    first.stop().await;
    assert_eq!(server.admin.read(&format!("{import}/progress")).await["status"], "cancelled");

    let resume = async || keyed("resume").post(&format!("{import}/resume"), json!({})).await;
    let resumed = resume().await;
    assert_eq!(resumed.json()["events"][0]["type"], "import.started", "{}", resumed.text);
    assert_eq!(cancel().await.text, cancelled.text, "said again, it cancels no later run");
    assert_eq!(server.admin.read(&format!("{import}/progress")).await["status"], "running");
    // Another process takes it up.
    let second = runner().await;
    let done = ended(&server.admin, &format!("{import}/progress")).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("completed"), (241, 241, 0, 0)));
    for (again, before) in [(resume().await, &resumed), (cancel().await, &cancelled)] {
        assert_eq!((again.status, &again.text), (before.status, &before.text));
    }
    assert_eq!(send(&keyed("upload"), &fields, &extract()).await.text, started.text);
    second.settle().await.unwrap();
    assert_eq!(ended(&server.admin, &format!("{import}/progress")).await, done);
    second.stop().await;
}

/// A version before this one set imports to work that had ended long ago: whoever finds them so ends them.
#[tokio::test]
async fn a_job_whose_import_has_ended_ends_too() {
    let server = Server::start().await;
    let done = history(&server.admin, &extract()).await;
    server.settle().await;
    sqlx::query("update import_job set state = 'ready', ended_at = null").execute(&server.database.pool).await.unwrap();
    server.settle().await;
    let progress = format!("{}/progress", done["links"]["self"].as_str().unwrap());
    let after = ended(&server.admin, &progress).await;
    assert_eq!((&after["status"], &after["counts"]), (&json!("completed"), &done["counts"]));
}

#[tokio::test]
async fn two_tenants_import_the_same_file_apart() {
    let server = Server::start().await;
    let other = server.another_tenant("Other").await;
    let ours = history(&server.admin, &extract()).await;
    let theirs = history(&other, &extract()).await;
    assert_eq!(counts(&theirs), (241, 241, 0, 0));
    server.settle().await;
    assert_eq!(other.read("/v1/tickets?count=exact").await["total"], 45);
    let own = |progress: &Value| progress["links"]["self"].as_str().unwrap().to_owned();
    for path in ["progress", "report"] {
        other.get(&format!("{}/{path}", own(&ours))).await.problem(404, "import_unknown");
    }
    other.post(&format!("{}/resume", own(&ours)), json!({})).await.problem(404, "import_unknown");
    other.get("/v1/companies/by/external/elsewhere/1").await.problem(404, "company_unknown");
    let id = |client: &Client| {
        let client = client.clone();
        async move { client.read("/v1/companies/by/external/italian-helpdesk/Value%201").await["id"].clone() }
    };
    assert_ne!(id(&server.admin).await, id(&other).await);
    let exported = other.get("/v1/entitlements.csv").await;
    let listed = server.admin.read("/v1/entitlements?limit=200").await;
    for row in listed["data"].as_array().unwrap() {
        assert!(!exported.text.contains(row["id"].as_str().unwrap()));
    }
}

/// A product, a company, a contact and a colleague to whom products belong.
async fn people(client: &Client) {
    client.put("/v1/products/by/external/shop/hosting", json!({ "name": "Hosting" })).await.expect(StatusCode::CREATED);
    client.put("/v1/products/by/external/shop/laptop", json!({ "name": "Laptop" })).await.expect(StatusCode::CREATED);
    client.put("/v1/companies/by/external/crm/7", json!({ "name": "Rossi" })).await.expect(StatusCode::CREATED);
    let anna = json!({ "name": "Anna", "email": "anna@rossi.example.com" });
    client.put("/v1/contacts/by/external/crm/70", anna).await.expect(StatusCode::CREATED);
    client.create("/v1/users", json!({ "name": "Ugo", "email": "ugo@desk.example.com" })).await;
    for (key, kind) in [("seats", "number"), ("room", "text")] {
        let field = json!({ "entity": "entitlement", "key": key, "type": kind });
        client.post("/v1/fields", field).await.expect(StatusCode::CREATED);
    }
}

#[tokio::test]
async fn entitlements_come_in_and_go_out_as_csv() {
    let server = Server::start().await;
    let admin = &server.admin;
    people(admin).await;
    let file = "product,holder_kind,holder,external_id,serial_number,price,currency,quantity,valid_from,valid_to,status,custom.seats\n\
                Hosting,company,crm:7,o-1,,12.50,EUR,1,2026-01-01T00:00:00Z,2097-01-01T00:00:00Z,active,5\n\
                shop:laptop,contact,anna@rossi.example.com,o-2,SN-1,,,,,,active,\n\
                shop:laptop,user,ugo@desk.example.com,o-3,\"SN,2\",,,,,,revoked,\n\
                shop:laptop,user,ugo@desk.example.com,,SN-3,,,,,,,\n\
                Unknown,company,crm:7,o-4,,,,,,,active,\n\
                Hosting,company,crm:8,o-5,,,,,,,active,\n\
                Hosting,company,crm:7,o-6,,12.50,,,,,active,\n\
                Hosting,company,crm:7,o-7,,,,,,,active,many\n\
                Hosting,company,crm:7,o-1,,12.50,EUR,2,2026-01-01T00:00:00Z,2097-01-01T00:00:00Z,active,5\n";
    let fields = [("kind", "entitlements"), ("source", "shop")];
    let done = import(admin, &fields, file).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("completed"), (9, 5, 0, 4)));
    let codes: Vec<String> = report(admin, &done).await[1..].iter().map(|row| row[2].clone()).collect();
    assert_eq!(codes, ["product_unknown", "holder_unknown", "currency_missing", "custom_value_invalid"]);
    // The first row of o-1 says one again, the last two.
    assert_eq!(counts(&import(admin, &fields, file).await), (9, 2, 3, 4));
    server.settle().await;

    let exported = admin.get("/v1/entitlements.csv").await;
    assert_eq!(exported.status, StatusCode::OK);
    assert!(exported.header("content-disposition").contains("entitlements.csv"));
    let table = rows(&exported.text);
    assert_eq!(table.len(), 5);
    let column = |name: &str| table[0].iter().position(|column| column == name).unwrap();
    let with = |serial: &str| table.iter().find(|row| row[column("serial_number")] == serial).unwrap();
    assert_eq!(with("SN,2")[column("status")], "revoked");
    assert_eq!(with("SN-1")[column("holder_name")], "Anna");
    let hosting = table.iter().find(|row| row[column("product_name")] == "Hosting").unwrap();
    let wanted = ["12.50", "EUR", "2", "5"];
    assert_eq!(["price", "currency", "quantity", "custom.seats"].map(|name| hosting[column(name)].as_str()), wanted);

    // What goes out comes in again and changes nothing.
    let before = events(&server.database.pool).await;
    let again = import(admin, &[("kind", "entitlements")], &exported.text).await;
    assert_eq!(counts(&again), (4, 0, 4, 0));
    assert_eq!(events(&server.database.pool).await, before);
    let edited = exported.text.replace("SN-1", "SN-1b");
    assert_eq!(counts(&import(admin, &[("kind", "entitlements")], &edited).await), (4, 1, 3, 0));
    server.settle().await;

    let filter = json!({ "field": "status", "op": "eq", "value": "revoked" }).to_string();
    let some = admin.request(Method::GET, "/v1/entitlements.csv").query(&[("filter", &filter)]);
    assert_eq!(rows(&admin.send(some).await.text).len(), 2);
    admin
        .get("/v1/entitlements.csv?filter=%7B%22field%22%3A%22colour%22%2C%22op%22%3A%22eq%22%2C%22value%22%3A1%7D")
        .await
        .problem(422, "filter_field_unknown");

    // Other names for the columns.
    let mapping = "[file]\ndelimiter = \";\"\n[columns]\nproduct = \"Articolo\"\nholder = \"Cliente\"\n\
                   valid_from = \"Dal\"\n[defaults]\nholder_kind = \"company\"\n[time]\nformat = \"%d/%m/%Y\"\n\
                   zone = \"Europe/Rome\"";
    let fields = [("kind", "entitlements"), ("mapping", mapping), ("source", "gestionale")];
    let done = import(admin, &fields, "Articolo;Cliente;Dal;Note\nHosting;crm:7;01/07/2026;x\n").await;
    assert_eq!(counts(&done), (1, 1, 0, 0));
    server.settle().await;
    let text = admin.get("/v1/entitlements.csv").await.text;
    assert!(text.contains("2026-06-30T22:00:00"), "{text}");
}

#[tokio::test]
async fn other_systems_bring_their_records_up_to_date_by_their_own_ids() {
    let server = Server::start().await;
    let admin = &server.admin;
    people(admin).await;
    let path = "/v1/companies/by/external/crm/7";
    let same = admin.put(path, json!({ "name": "Rossi" })).await;
    assert_eq!((same.status, same.json()["events"].as_array().unwrap().len()), (StatusCode::OK, 0));
    let changed = admin.put(path, json!({ "name": "Rossi S.r.l.", "city": "Roma", "tags": ["vip"] })).await;
    let changed = changed.expect(StatusCode::OK);
    let types: Vec<&Value> = changed["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["company.details_changed", "company.tagged"]);
    let found = admin.get(path).await;
    let shown = found.expect(StatusCode::OK);
    assert_eq!((shown["name"].as_str(), shown["city"].as_str()), (Some("Rossi S.r.l."), Some("Roma")));
    assert_eq!(found.header("etag"), format!("\"{}\"", shown["version"]));
    admin.header("If-Match", "\"0\"").put(path, json!({ "name": "Other" })).await.problem(412, "version_mismatch");
    let problem = admin.put(path, json!({ "nome": "x" })).await;
    assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", problem.text);
    admin.put("/v1/companies/by/external/crm/8", json!({ "city": "Roma" })).await.problem(422, "body_invalid");
    admin.get("/v1/contacts/by/external/crm/7").await.problem(404, "contact_unknown");
    admin.get("/v1/tickets/by/external/crm/7").await.problem(404, "route_unknown");

    // An id with a slash, and two at once: one record.
    let path = "/v1/contacts/by/external/crm/a%2F1";
    let (one, two) = tokio::join!(
        admin.put(path, json!({ "name": "Bruno", "city": "Bari" })),
        admin.put(path, json!({ "name": "Bruno", "city": "Pisa" }))
    );
    assert_eq!(one.json()["id"], two.json()["id"], "{} {}", one.text, two.text);
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201], "{} {}", one.text, two.text);

    let path = "/v1/entitlements/by/external/shop/order-1";
    let grant = json!({ "product": "shop:hosting", "holder": { "kind": "company", "id": "crm:7" }, "quantity": 2 });
    let created = admin.put(path, grant.clone()).await.expect(StatusCode::CREATED);
    assert_eq!(created["events"][0]["type"], "entitlement.granted");
    assert_eq!(admin.put(path, grant.clone()).await.expect(StatusCode::OK)["events"], json!([]));
    let moved = json!({ "holder": { "kind": "contact", "id": "anna@rossi.example.com" }, "quantity": null });
    let moved = admin.put(path, moved).await.expect(StatusCode::OK);
    let types: Vec<&Value> = moved["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["entitlement.transferred", "entitlement.details_changed"]);
    let other = json!({ "product": "shop:laptop" });
    admin.put(path, other).await.problem(409, "entitlement_product_differs");
    admin.put(path, json!({ "product": "shop:gone" })).await.problem(422, "product_unknown");
    assert_eq!(admin.delete(path).await.expect(StatusCode::OK)["events"][0]["type"], "entitlement.revoked");
    assert_eq!(admin.delete(path).await.expect(StatusCode::OK)["events"], json!([]));
    assert_eq!(admin.read(path).await["status"], "revoked");
    let back = admin.put(path, json!({})).await.expect(StatusCode::OK);
    assert_eq!(back["events"][0]["type"], "entitlement.reinstated");
    admin.delete("/v1/entitlements/by/external/shop/none").await.problem(404, "entitlement_unknown");
}

#[tokio::test]
async fn the_command_line_sends_a_file_and_follows_it() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("cases.csv");
    std::fs::write(&file, extract().replacen("2012/10/09 14:51:01.000", "then", 1)).unwrap();
    let mapping = root().join("deploy/import/italian-helpdesk.toml");
    let run = async |key: &str, mapping: &std::path::Path| {
        let words = ["deskfold", "import", "history", "--server", &server.admin.base, "--key", key, "--mapping"];
        let words = words.into_iter().chain([mapping.to_str().unwrap(), file.to_str().unwrap()]);
        gateway::cli::run(Cli::try_parse_from(words).unwrap()).await
    };
    run(&server.admin.key, &mapping).await.unwrap();
    let report = std::fs::read_to_string(folder.path().join("cases.rejected.csv")).unwrap();
    let report = rows(&report);
    assert_eq!((report.len(), report[1][2].as_str()), (2, "time_invalid"));
    server.settle().await;
    assert_eq!(server.admin.read("/v1/tickets?count=exact").await["total"], 45);

    let refused = run("dfk_wrong", &mapping).await.unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[columns]\ncase = 1").unwrap();
    let refused = run(&server.admin.key, &wrong).await.unwrap_err().to_string();
    assert!(refused.contains("line 2"), "{refused}");
}
