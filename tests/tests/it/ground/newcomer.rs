//! The program itself, as somebody runs it who has just installed it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use deskfold_tests::{Server, database};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    ground::program::{Running, deskfold, failure, home, keys, output},
    org::browser::{Browser, PASSWORD},
    world::{texts, ticket},
};

/// The process of the private cluster.
fn postgres(home: &Path) -> PathBuf {
    let text = fs::read_to_string(home.join("data/postgres/postmaster.pid")).unwrap();
    Path::new("/proc").join(text.lines().next().unwrap().trim())
}

#[tokio::test]
async fn two_commands_are_all_it_takes_and_the_data_stays() {
    let home = home();
    let running = Running::start(home.path(), &[]).await;
    let printed = keys(&running.printed());
    let [key] = printed.as_slice() else { panic!("the key is printed once: {printed:?}") };
    let file = home.path().join("data/admin.key");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), key);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "nobody else reads it");
    let client = running.client(key);
    let opened = client.post("/v1/tickets", json!({ "title": "First" })).await;
    let position = opened.header("deskfold-position").to_owned();
    opened.expect(StatusCode::CREATED);
    let listed = client.header("deskfold-min-position", position).read("/v1/tickets").await;
    assert_eq!(texts(&listed, "title"), ["First"]);
    assert_eq!(client.read("/readyz").await["ready"], true);

    // It stops in order although somebody still listens, and takes its cluster with it.
    let cluster = postgres(home.path());
    assert!(cluster.exists());
    let stream = client.request(Method::GET, "/v1/events/stream").send().await.unwrap();
    let told = Instant::now();
    running.signal("TERM");
    let (well, log) = running.end().await;
    assert!(well && log.contains("stopped"), "{log}");
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    assert!(!cluster.exists(), "the cluster stops with it");
    drop(stream);

    // The second start knows what there is, and tells no secret.
    let running = Running::start(home.path(), &[]).await;
    assert_eq!(running.printed(), "");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), key);
    let client = running.client(key);
    assert_eq!(texts(&client.read("/v1/tickets").await, "title"), ["First"]);
    for number in 0..5 {
        ticket(&client, &format!("Accepted {number}")).await;
    }
    let head = client.read("/v1/events").await["position"].clone();

    // Killed, it leaves no cluster behind, and what it had accepted is there.
    let cluster = postgres(home.path());
    running.signal("KILL");
    let (well, _) = running.end().await;
    assert!(!well);
    let waited = Instant::now();
    while cluster.exists() {
        assert!(waited.elapsed() < Duration::from_secs(60), "the cluster outlives its server");
        tokio::task::yield_now().await;
    }
    let running = Running::start(home.path(), &[]).await;
    let client = running.client(key);
    // The dead process's lease on the read models runs out before they go on: until then clients are told to come back.
    let fresh = client.header("deskfold-min-position", &head);
    let mut listed = fresh.get("/v1/tickets?sort=number").await;
    for _ in 0..5 {
        if listed.status == StatusCode::SERVICE_UNAVAILABLE {
            listed.problem(503, "position_not_reached");
            listed = fresh.get("/v1/tickets?sort=number").await;
        }
    }
    let listed = listed.expect(StatusCode::OK);
    let expected = ["First", "Accepted 0", "Accepted 1", "Accepted 2", "Accepted 3", "Accepted 4"];
    assert_eq!(texts(&listed, "title"), expected);
    let next = client.post("/v1/tickets", json!({ "title": "Next" })).await.json();
    assert_eq!(next["events"][0]["data"]["number"], 7);
    running.signal("INT");
    assert!(running.end().await.0);
}

#[tokio::test]
async fn an_operator_works_beside_the_running_server() {
    let home = home();
    let running = Running::start(home.path(), &["--admin-email", "ada@example.com", "--tenant-name", "Acme"]).await;
    let data = home.path().join("data");
    let data = data.to_str().unwrap();
    let admin = running.client(&keys(&running.printed())[0]);
    let id = ticket(&admin, "One").await;
    ticket(&admin, "Two").await;
    let tenant = admin.read("/v1/me").await["tenant"].as_str().unwrap().to_owned();

    // Keys: issued on the spot, bounded by a role, revoked.
    let issued = output(&["key", "issue", "--data-dir", data, "--user", "Ada@Example.com", "--name", "shop"]).await;
    let shop = running.client(issued.trim());
    ticket(&shop, "Three").await;
    let issued =
        output(&["key", "issue", "--data-dir", data, "--user", "ada@example.com", "--role", "Viewer", "--days", "1"])
            .await;
    let viewer = running.client(issued.trim());
    viewer.get("/v1/tickets").await.expect(StatusCode::OK);
    viewer.post("/v1/tickets", json!({ "title": "x" })).await.problem(403, "permission_denied");
    let key = shop.read("/v1/me").await["key"].as_str().unwrap().to_owned();
    output(&["key", "revoke", "--data-dir", data, &key]).await;
    // The server hears of it through the log.
    let revoked = Instant::now();
    while shop.get("/v1/me").await.status == StatusCode::OK {
        assert!(revoked.elapsed() < Duration::from_secs(5), "a revoked key still opens");
    }
    shop.get("/v1/me").await.problem(401, "key_invalid");
    for command in [["key", "issue"], ["admin", "link"]] {
        let said = failure(&[&command[..], &["--data-dir", data, "--user", "nobody@example.com"]].concat()).await;
        assert!(said.contains("nobody@example.com"), "{said}");
    }

    // A way in for people: whoever is at the machine makes it.
    // It leads to where the server listens, wherever that is.
    let link = output(&["admin", "link", "--data-dir", data, "--user", "Ada@example.com"]).await;
    assert!(link.starts_with(&format!("{}/", admin.base)), "{link}");
    let browser = Browser::at(&admin);
    let followed = browser.post("/v1/links/follow", json!({ "link": link.trim(), "password": PASSWORD })).await;
    assert_eq!(followed.expect(StatusCode::OK)["state"], "signed_in");
    assert_eq!(browser.read("/v1/me").await["email"], "ada@example.com");

    // The log, as lines of JSON.
    let lines = async |arguments: &[&str]| -> Vec<Value> {
        let mut all = vec!["log", arguments[0], "--data-dir", data];
        all.extend(&arguments[1..]);
        output(&all).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let opened = lines(&["events", "--types", "ticket.opened"]).await;
    let titles: Vec<_> = opened.iter().map(|event| event["data"]["title"].clone()).collect();
    assert_eq!(titles, ["One", "Two", "Three"]);
    let after = opened[0]["position"].to_string();
    let rest = lines(&["events", "--types", "ticket.opened", "--after", &after, "--limit", "1"]).await;
    assert_eq!(rest, opened[1..2]);
    let stream = lines(&["events", "--stream", &format!("ticket-{id}"), "--tenant", &tenant]).await;
    assert_eq!(stream, opened[..1]);
    let subscriptions = lines(&["subscriptions"]).await;
    let names: Vec<_> = subscriptions.iter().map(|line| line["subscription"].as_str().unwrap().to_owned()).collect();
    assert!(projections::names().iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    assert!(lines(&["parked"]).await.is_empty());
    let said = failure(&["log", "replay", "--data-dir", data, "nothing"]).await;
    assert!(said.contains("ticket_list"), "it says which there are: {said}");

    // Read models are made anew while the old ones serve, and the server goes on with the new ones.
    let rebuilt = output(&["rebuild", "--data-dir", data, "ticket_list", "users"]).await;
    assert!(rebuilt.contains("ticket_list: rebuilt up to position") && rebuilt.contains("users:"), "{rebuilt}");
    let opened = admin.post("/v1/tickets", json!({ "title": "Four" })).await;
    let fresh = admin.header("deskfold-min-position", opened.header("deskfold-position"));
    assert_eq!(texts(&fresh.read("/v1/tickets?sort=number").await, "title"), ["One", "Two", "Three", "Four"]);
    let said = failure(&["rebuild", "--data-dir", data, "nothing"]).await;
    assert!(said.contains("there is no read model nothing"), "{said}");

    assert_eq!(output(&["migrate", "--data-dir", data]).await.trim(), "The schema is up to date.");
    let document: Value = serde_json::from_str(&output(&["openapi"]).await).unwrap();
    assert_eq!(document, admin.read("/v1/openapi.json").await);
    let created =
        output(&["tenant", "create", "--data-dir", data, "--name", "Other", "--admin-email", "b@example.com"]).await;
    let other = running.client(&keys(&created)[0]);
    assert!(texts(&other.read("/v1/tickets").await, "id").is_empty());
    let said = failure(&["key", "issue", "--data-dir", data, "--user", "ada@example.com"]).await;
    assert!(said.contains("--tenant") && said.contains(&tenant), "now it must be said which: {said}");

    let said = failure(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]).await;
    assert!(said.contains("in use by another deskfold"), "{said}");
    running.signal("TERM");
    assert!(running.end().await.0);

    // Without the server the subcommands start the cluster themselves, and stop it again.
    let opened = lines(&["events", "--types", "ticket.opened", "--tenant", &tenant]).await;
    assert_eq!(opened.len(), 4);
    assert!(!home.path().join("data/postgres/postmaster.pid").exists());
}

#[tokio::test]
async fn with_a_database_of_ones_own_it_needs_no_cluster() {
    let (home, database) = (home(), database().await);
    let own = ["--database-url", &*database.url];
    let running = Running::start(home.path(), &[&own[..], &["--log-format", "json"]].concat()).await;
    let key = keys(&running.printed()).remove(0);
    ticket(&running.client(&key), "Kept elsewhere").await;
    assert!(!home.path().join("data/postgres").exists());
    assert_eq!(fs::read_to_string(home.path().join("data/admin.key")).unwrap().trim(), key);
    // Another process of the same deployment answers too; it makes no second tenant.
    let elsewhere = crate::ground::program::home();
    let second = Running::start(elsewhere.path(), &own).await;
    assert_eq!(second.printed(), "");
    let position = second.client(&key).read("/v1/events").await["position"].clone();
    let listed = second.client(&key).header("deskfold-min-position", position).read("/v1/tickets").await;
    assert_eq!(texts(&listed, "title"), ["Kept elsewhere"]);
    for running in [second, running] {
        running.signal("TERM");
        assert!(running.end().await.0);
    }
    let said = failure(&["migrate", "--database-url", "postgres://127.0.0.1:1/nothing"]).await;
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    for (arguments, named) in [
        (vec!["serve", "--listen", "nowhere"], "--listen"),
        (vec!["serve", "--rate-limit", "many"], "--rate-limit"),
        (vec!["serve", "--timeout", "soon"], "30s"),
        (vec!["dance"], "dance"),
        (vec!["key", "issue"], "--user"),
    ] {
        let said = failure(&arguments).await;
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    let help = output(&["serve", "--help"]).await;
    for flag in ["--listen", "--data-dir", "--database-url", "--roles", "--rate-limit"] {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(output(&["--version"]).await.starts_with("deskfold "));
}

#[tokio::test]
async fn an_operator_proves_that_read_models_are_what_the_log_says() {
    let server = Server::start().await;
    for title in ["One", "Two", "Three"] {
        ticket(&server.admin, title).await;
    }
    server.settle().await;
    let verify = async |names: &[&str]| {
        let mut command = deskfold(&["rebuild", "--verify", "--database-url", &server.database.url]);
        command.args(names);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), told, String::from_utf8(output.stderr).unwrap())
    };
    let (well, told, said) = verify(&[]).await;
    assert!(well && told.ends_with("every row is what the log says\n"), "{told}{said}");
    for name in projections::names() {
        assert!(told.contains(&format!("read_{name}: ")), "{name}: {told}");
    }
    let line = |told: &str| told.lines().find(|line| line.starts_with("read_ticket_list: ")).unwrap().to_owned();
    assert!(line(&told).starts_with("read_ticket_list: 3 rows at position "), "{told}");

    // Somebody meddles with a table: it is found, and made anew it says the same again.
    let meddle = "update read_ticket_list set title = 'Three and a half' where title = 'Three'";
    sqlx::query(meddle).execute(&server.database.pool).await.unwrap();
    let (well, differing, said) = verify(&["users", "ticket_list"]).await;
    assert!(!well && said.contains("not what the log says: ticket_list;"), "{said}");
    assert!(differing.contains("Three and a half") && line(&differing) != line(&told), "{differing}");
    output(&["rebuild", "--database-url", &server.database.url, "ticket_list"]).await;
    let (well, again, said) = verify(&["ticket_list"]).await;
    assert!(well && line(&again) == line(&told), "{again}{said}");
    let (well, _, said) = verify(&["nothing"]).await;
    assert!(!well && said.contains("there is no read model nothing"), "{said}");
}
