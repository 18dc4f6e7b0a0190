//! Long streams are loaded from snapshots after a restart, and no snapshot is ever needed, or believed against the log.

use deskfold_tests::{Client, Server};
use gateway::App;
use serde_json::json;
use sqlx::{query, query_scalar};

/// Events after which a stream has a snapshot, as `docs/operations.md` says.
const EVERY: usize = 500;

/// A metric's value.
async fn counted(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics").await.expect_text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).map(ToOwned::to_owned);
    line.unwrap_or_else(|| panic!("there is no {name}")).parse().unwrap()
}

/// A ticket on which people have written enough for a snapshot and some more, and the id of its last note.
async fn long_ticket(client: &Client) -> (String, String) {
    let id = client.create("/v1/tickets", json!({ "title": "It never ends" })).await;
    let mut last = String::new();
    for number in 0..EVERY + 20 {
        last = format!("01JQ000000000000000000{number:04}");
        note(client, &id, &last).await;
    }
    (id, last)
}

/// Adds a note; whether it was new.
async fn note(client: &Client, ticket: &str, id: &str) -> bool {
    let body = json!({ "message_id": id, "body": format!("Note {id}") });
    !client.run(&format!("/v1/tickets/{ticket}/add_note"), body).await.is_empty()
}

/// Loads a ticket in a process that has just started: how many of its events were read, how many snapshots were used and
/// how many found damaged. The last note is known, whichever way it was loaded, and a tag of this name is not.
async fn loaded(server: &Server, ticket: &str, last: &str, tag: &str) -> (u64, u64, u64) {
    let (app, client) = server.beside(&[]).await;
    let known = async || {
        let of = ["aggregate_events_total", "snapshots_used_total", "snapshots_unfit_total"];
        let mut values = [0; 3];
        for (value, name) in values.iter_mut().zip(of) {
            *value = counted(&client, &format!("deskfold_{name}")).await;
        }
        values
    };
    // The tenant and whoever asks are loaded first.
    let other = client.create("/v1/tickets", json!({ "title": "Another" })).await;
    assert!(note(&client, &other, last).await, "another ticket knows nothing of these notes");
    let before = known().await;
    assert!(!note(&client, ticket, last).await, "the last note is there already");
    assert_eq!(client.run(&format!("/v1/tickets/{ticket}/tag"), json!({ "tag": tag })).await, ["ticket.tagged"]);
    let after = known().await;
    settled(&app).await;
    app.stop().await;
    (after[0] - before[0], after[1] - before[1], after[2] - before[2])
}

async fn settled(app: &App) {
    app.settle().await.unwrap();
}

#[tokio::test]
async fn a_long_ticket_is_loaded_by_few_events_and_a_wrong_snapshot_is_ignored_and_replaced() {
    let server = Server::start().await;
    let (ticket, last) = long_ticket(&server.admin).await;
    server.settle().await;
    let all = EVERY as u64;
    let (events, used, unfit) = loaded(&server, &ticket, &last, "plain").await;
    assert!(events < 40, "{events} events were read");
    assert_eq!((used, unfit), (1, 0));

    // Each of these is a snapshot that must not be believed; the next process finds a right one again.
    let wrong = [
        ("another code folded it", "update log_snapshot set code = 'another'", 0),
        (
            "a bit of the state has turned over",
            "update log_snapshot set state = set_bit(state, 4000, 1 - get_bit(state, 4000))",
            1,
        ),
        ("half of the state is missing", "update log_snapshot set state = substr(state, 1, length(state) / 2)", 1),
        ("it is said to hold fewer events", "update log_snapshot set version = version - 1", 1),
        ("it is ahead of the log", "update log_snapshot set version = version + 100000", 0),
        ("it is of another history", "update log_snapshot set event_id = gen_random_uuid()", 1),
        ("all of them are thrown away", "truncate log_snapshot", 0),
    ];
    for (number, (what, change, damaged)) in wrong.into_iter().enumerate() {
        let changed = query(change).execute(&server.database.pool).await.unwrap();
        assert!(changed.rows_affected() == 1 || change.starts_with("truncate"), "{what}: there is a snapshot");
        let (events, used, unfit) = loaded(&server, &ticket, &last, &format!("wrong {number}")).await;
        assert!(events > all, "{what}: {events} events were read");
        assert_eq!((used, unfit), (0, damaged), "{what}");
        let (events, used, unfit) = loaded(&server, &ticket, &last, &format!("right {number}")).await;
        assert!(events < 40, "after {what}: {events} events were read");
        assert_eq!((used, unfit), (1, 0), "after {what}");
    }
    let tags = server.admin.read(&format!("/v1/tickets/{ticket}")).await["tags"].as_array().unwrap().len();
    assert_eq!(tags, 15, "none of it was lost");
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_holds_nobody_up_and_is_its_tenants_own() {
    let server = Server::start().await;
    // As long as somebody else holds the table, no snapshot can be written.
    let mut holding = server.database.pool.begin().await.unwrap();
    query("lock table log_snapshot in exclusive mode").execute(&mut *holding).await.unwrap();
    let (ticket, last) = long_ticket(&server.admin).await;
    assert!(!note(&server.admin, &ticket, &last).await);
    assert_eq!(counted(&server.admin, "deskfold_snapshots_written_total").await, 0);
    holding.rollback().await.unwrap();
    server.settle().await;
    // Whoever loads it next may write it down once more: there is one all the same.
    assert!(counted(&server.admin, "deskfold_snapshots_written_total").await >= 1);
    let kept: i64 = query_scalar("select count(*) from log_snapshot").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(kept, 1);

    // Another tenant has a ticket of the same id: it has its own story.
    let other = server.another_tenant("Other").await;
    other.put(&format!("/v1/tickets/{ticket}"), json!({ "title": "A short one" })).await;
    let (app, _) = server.beside(&[]).await;
    assert!(note(&other, &ticket, &last).await, "it has no notes yet");
    app.stop().await;
    server.stop().await;
}
