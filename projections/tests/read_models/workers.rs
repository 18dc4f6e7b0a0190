//! Workers: exactly once, poison, waiting for a position.

use std::{sync::Arc, time::Duration};

use domain::desk::ticket::{Event, Ticket};
use eventstore::Log;
use projections::{AsOf, ReadModels, compare, desk::ticket_list::TicketList, names, row_as_of, status};
use sqlx::PgPool;

use crate::world::{World, id, opened, options, random, something};

pub(crate) async fn all_as_a_fresh_fold(log: &Log) {
    for name in names() {
        let differences = compare(log, name).await.unwrap().differences;
        assert!(differences.is_empty(), "{name}: {}", differences[0]);
    }
}

async fn parked(log: &Log, name: &str) -> i64 {
    status(log).await.unwrap().iter().find(|status| status.name == name).unwrap().parked
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_fold_every_event_exactly_once() {
    let world = Arc::new(World::new().await);
    let teller = Arc::clone(&world);
    let telling = tokio::spawn(async move {
        let mut random = random(1);
        for number in 0..40 {
            teller.tell::<Ticket>(id(number), [opened(number, "A ticket")]).await;
        }
        let mut last = 0;
        for turn in 0..2_000 {
            last = teller.tell::<Ticket>(id(turn % 40), [something(&mut random)]).await;
        }
        last
    });
    // Processes that die in the midst of their work, one after the other and two at a time.
    let database = world.database.options.clone();
    for round in 0..6 {
        let database = database.clone();
        let died = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let start = async {
                let pool = PgPool::connect_with(database).await.unwrap();
                let log = Log::open(pool.clone(), eventstore::Options::default()).await.unwrap();
                let first = ReadModels::start(log.clone(), options()).await.unwrap();
                let second = ReadModels::start(log, options()).await.unwrap();
                (first, second, pool)
            };
            let (first, _second, pool) = runtime.block_on(start);
            // Until it has done something of its own, and then without warning.
            runtime.block_on(async {
                let before = first.position("ticket_list").await.unwrap();
                first.wait("ticket_list", before + 50, Duration::from_secs(3)).await.unwrap();
                if round % 2 == 0 {
                    // Its connections are cut first: work under way fails at a place of its own.
                    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                               where datname = current_database() and pid <> pg_backend_pid() and query like '%read_%'";
                    let _ = sqlx::query(cut).execute(&pool).await;
                }
            });
            runtime.shutdown_background();
        });
        tokio::task::spawn_blocking(move || died.join().unwrap()).await.unwrap();
    }
    let last = telling.await.unwrap();
    let models = world.models().await;
    models.settle(last).await.unwrap();
    all_as_a_fresh_fold(&world.log).await;
    // The counters add up as well: 40 tickets, wherever they stand.
    let counted: i64 = sqlx::query_scalar("select sum(count)::bigint from read_tickets_by_product")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(counted, 40);
    assert_eq!(parked(&world.log, "ticket_list").await, 0);
    models.stop().await;
}

#[tokio::test]
async fn poison_is_parked_with_its_stream_and_the_rest_goes_on() {
    let world = World::new().await;
    let models = world.models().await;
    for number in [1, 2, 3] {
        world.tell::<Ticket>(id(number), [opened(number, "A ticket")]).await;
    }
    // One that the code cannot read, one that the database refuses.
    let unreadable = format!("ticket-{}", id(1));
    world.tell_raw(&unreadable, "ticket.teleported", "{}").await;
    let refused = r#"{"from":"A ticket","to":"A\u0000ticket"}"#;
    world.tell_raw(&format!("ticket-{}", id(2)), "ticket.title_changed", refused).await;
    for number in [1, 2, 3] {
        world.tell::<Ticket>(id(number), [Event::Closed { stage: None }]).await;
    }
    let last = world.tell_raw("ticket-of-nobody", "ticket.closed", "{}").await;
    models.settle(last).await.unwrap();
    let statuses: Vec<(String,)> = sqlx::query_as("select status from read_ticket_list order by number")
        .fetch_all(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(statuses.iter().map(|(status,)| &**status).collect::<Vec<_>>(), ["open", "open", "closed"]);
    assert_eq!(parked(&world.log, "ticket_list").await, 4);
    let generation = 1;
    let events = world.log.parked("ticket_list", generation).await.unwrap();
    let attempts: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.attempts)).collect();
    let expected = [("ticket.teleported", 1), ("ticket.title_changed", 1), ("ticket.closed", 0), ("ticket.closed", 0)];
    assert_eq!(attempts, expected);
    // Nobody is hurt who does not care for the event.
    assert_eq!(parked(&world.log, "contacts").await, 0);
    // A rebuild meets the same poison.
    let (progress, seen) = tokio::sync::watch::channel(projections::Progress::default());
    models.rebuild(&["ticket_list"], progress).await.unwrap();
    assert!(seen.borrow().done);
    assert_eq!(parked(&world.log, "ticket_list").await, 4);
    let again = world.log.parked("ticket_list", 2).await.unwrap();
    assert_eq!(again.iter().map(|event| (event.kind.as_str(), event.attempts)).collect::<Vec<_>>(), expected);
    all_as_a_fresh_fold(&world.log).await;
    models.stop().await;
}

#[tokio::test]
async fn a_reader_waits_for_its_own_writes_wherever_the_worker_is() {
    let world = World::new().await;
    let models = world.models().await;
    let elsewhere = ReadModels::observe(world.log.clone(), options());
    let last = world.tell::<Ticket>(id(1), [opened(1, "A ticket")]).await;
    for models in [&models, &elsewhere] {
        assert!(models.wait("ticket_list", last, Duration::from_secs(10)).await.unwrap());
        assert!(models.position("ticket_list").await.unwrap() >= last);
        assert!(!models.wait("ticket_list", last + 1, Duration::from_millis(30)).await.unwrap());
        assert!(models.wait("nonsense", 1, Duration::from_millis(30)).await.is_err());
    }
    models.stop().await;
    // What is committed while nobody works is folded by who comes next.
    let last = world.tell::<Ticket>(id(1), [Event::Closed { stage: None }]).await;
    let next = world.models().await;
    next.settle(last).await.unwrap();
    let (row, version, position) =
        row_as_of::<TicketList>(&world.log, world.tenant, id(1), AsOf::Position(last)).await.unwrap().unwrap();
    let stored: (String, i64, i64) = sqlx::query_as("select status, version, position from read_ticket_list")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(serde_json::to_value(row.status).unwrap(), stored.0);
    assert_eq!((version, position), (stored.1, stored.2));
    next.stop().await;
}
