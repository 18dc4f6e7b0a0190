//! Rebuilding beside the table that serves: while events come in, after a kill, for newer code.

use std::{sync::Arc, time::Duration};

use domain::{
    desk::ticket::{Event, Ticket},
    kernel::custom::Definitions,
    org::role,
};
use eventstore::Log;
use projections::{List, ListRequest, Progress, ReadModels, desk::ticket_list::TicketList, list, rebuild, status};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    workers::all_as_a_fresh_fold,
    world::{World, id, opened, options, random, something},
};

/// The indexes of all that is stored of a read model.
async fn indexes(pool: &PgPool, name: &str) -> Vec<String> {
    let further: Vec<String> =
        sqlx::query_scalar("select unnest(further_names) from read_model where name = $1 and state = 'serving'")
            .bind(name)
            .fetch_all(pool)
            .await
            .unwrap();
    let tables = [vec![table(pool, name).await], further].concat();
    let definitions: Vec<String> = sqlx::query_scalar("select indexdef from pg_indexes where tablename = any ($1)")
        .bind(&tables)
        .fetch_all(pool)
        .await
        .unwrap();
    let mut indexes: Vec<String> =
        definitions.iter().map(|definition| definition.split_once(" USING ").unwrap().1.to_owned()).collect();
    indexes.sort();
    indexes
}

async fn table(pool: &PgPool, name: &str) -> String {
    sqlx::query_scalar("select table_name from read_model where name = $1 and state = 'serving'")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_misses_nothing_that_happens_meanwhile() {
    let world = Arc::new(World::new().await);
    let pool = &world.database.pool;
    let models = world.models().await;
    for number in 0..50 {
        world.tell::<Ticket>(id(number), [opened(number, "A ticket")]).await;
    }
    models.settle(50).await.unwrap();
    let before = (indexes(pool, "ticket_list").await, indexes(pool, "feed").await);
    assert_eq!(before.1.len(), 4, "{before:?}");
    let (stop, stopped) = watch::channel(false);
    let teller = Arc::clone(&world);
    let telling = tokio::spawn(async move {
        let mut random = random(2);
        let mut last = 0;
        while !*stopped.borrow() {
            last = teller.tell::<Ticket>(id(u64::from(last as u32 % 50)), [something(&mut random)]).await;
        }
        last
    });
    for round in 0..3 {
        for name in ["ticket_list", "ticket_thread", "feed"] {
            let (progress, seen) = watch::channel(Progress::default());
            models.rebuild(&[name], progress).await.unwrap();
            let seen = *seen.borrow();
            assert!(seen.done && seen.position >= 50, "{seen:?}");
            let version = [("ticket_list", 3), ("ticket_thread", 2), ("feed", 2)]
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(1, |(_, version)| *version);
            assert_eq!(table(pool, name).await, format!("read_{name}_v{version}_g{}", round + 2));
        }
    }
    stop.send_replace(true);
    let last = telling.await.unwrap();
    models.settle(last).await.unwrap();
    all_as_a_fresh_fold(&world.log).await;
    assert_eq!((indexes(pool, "ticket_list").await, indexes(pool, "feed").await), before);
    // What was served before is gone: tables, checkpoints, entries.
    let tables: i64 = sqlx::query_scalar(
        "select count(*) from pg_tables
         where tablename like any (array['read\\_ticket\\_list%', 'read\\_tickets\\_by%', 'read\\_ticket\\_updated%', 'read\\_feed%'])",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(tables, 6);
    models.stop().await;
    assert_eq!(world.log.subscriptions().await.unwrap().len(), projections::names().len());
    assert!(status(&world.log).await.unwrap().iter().all(|status| status.state == "serving"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_where_it_was() {
    let world = World::new().await;
    let mut random = random(3);
    let mut events = Vec::new();
    for turn in 0..200 {
        events.push(if turn == 0 { opened(1, "A ticket") } else { something(&mut random) });
    }
    for number in 0..300 {
        world.tell::<Ticket>(id(number), events.clone()).await;
    }
    let database = world.database.options.clone();
    let pool = &world.database.pool;
    // Nobody has folded anything yet, and 60,000 events are far enough for a builder.
    let build = move |enough: i64| {
        let database = database.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let pool = PgPool::connect_with(database).await.unwrap();
                let log = Log::open(pool.clone(), eventstore::Options::default()).await.unwrap();
                let _models = ReadModels::start(log, options()).await.unwrap();
                loop {
                    let filled: i64 = sqlx::query_scalar(
                        "select coalesce(max(position), 0) from read_model where name = 'ticket_thread'",
                    )
                    .fetch_one(&pool)
                    .await
                    .unwrap();
                    if filled >= enough {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            });
            runtime.shutdown_background();
        }
    };
    tokio::task::spawn_blocking(build(1)).await.unwrap();
    let filled: (i64, String) = sqlx::query_as("select position, state from read_model where name = 'ticket_thread'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert!(filled.0 > 0, "{filled:?}");
    let models = world.models().await;
    models.settle(60_000).await.unwrap();
    all_as_a_fresh_fold(&world.log).await;
    assert!(indexes(pool, "ticket_list").await.len() > 10, "indexes come with the swap");
    models.stop().await;
}

#[tokio::test]
async fn newer_code_fills_its_own_table_while_the_old_one_serves() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let new = role::New { name: "Agent".into(), permissions: ["ticket.*".to_owned()].into() };
    let models = world.models().await;
    let last = world.tell::<role::Role>(id(1), [role::Event::Created(new)]).await;
    models.settle(last).await.unwrap();
    models.stop().await;
    let mut transaction = pool.begin().await.unwrap();
    projections::analytics::install(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    // As an older version would have left it: another table, with other columns.
    for statement in [
        "drop view read_roles cascade",
        "alter table read_roles_v1 rename to read_roles_v0",
        "alter table read_roles_v0 rename column name to title",
        "create view read_roles as select * from read_roles_v0",
        "create table read_roles_v1 (like read_roles_v0 including all)",
        "alter table read_roles_v1 rename column title to name",
        "update read_model set version = 0, table_name = 'read_roles_v0' where name = 'roles'",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    // Older code leaves a newer table alone; newer code replaces an older one.
    let log: &Log = &world.log;
    // What analysts see cannot be made of that: nothing else waits for it.
    let seen = "select count(*) from pg_attribute where attrelid = to_regclass('analytics.roles') and attname = 'name'";
    for (name, columns) in [("teams", 0_i64), ("roles", 1)] {
        let (progress, _) = watch::channel(Progress::default());
        tokio::time::timeout(Duration::from_secs(20), rebuild(log, &[name], progress)).await.unwrap().unwrap();
        let found: i64 = sqlx::query_scalar(seen).fetch_one(pool).await.unwrap();
        assert_eq!(found, columns, "once {name} serves");
    }
    let name: String = sqlx::query_scalar("select name from read_roles").fetch_one(pool).await.unwrap();
    assert_eq!(name, "Agent");
    assert_eq!(table(pool, "roles").await, "read_roles_v1");
    let models = world.models().await;
    let renamed = role::Event::Renamed { from: "Agent".into(), to: "Helper".into() };
    let last = world.tell::<role::Role>(id(1), [renamed]).await;
    models.settle(last).await.unwrap();
    let name: String = sqlx::query_scalar("select name from read_roles").fetch_one(pool).await.unwrap();
    assert_eq!(name, "Helper");
    models.stop().await;
}

#[tokio::test]
async fn a_released_list_gives_way_to_its_next_version() {
    let world = World::new().await;
    let pool = &world.database.pool;
    // As the first release left it.
    sqlx::query(
        "insert into read_model (name, generation, version, table_name, tally_name, state)
         values ('ticket_list', 1, 1, 'read_ticket_list_v1', 'read_tickets_by_product_v1', 'serving')",
    )
    .execute(pool)
    .await
    .unwrap();
    for number in 0..3 {
        world.tell::<Ticket>(id(number), [opened(number, "A ticket")]).await;
    }
    let (progress, _) = watch::channel(Progress::default());
    tokio::time::timeout(Duration::from_secs(20), rebuild(&world.log, &["ticket_list"], progress))
        .await
        .unwrap()
        .unwrap();
    let models = world.models().await;
    let last = world.tell::<Ticket>(id(0), [Event::Closed { stage: None }]).await;
    models.settle(last).await.unwrap();
    assert_eq!(table(pool, "ticket_list").await, "read_ticket_list_v3");
    let request =
        ListRequest::parse(List::of::<TicketList>(), None, Some("-updated_at"), &Definitions::new(), None).unwrap();
    let page = list(List::of::<TicketList>(), pool, world.tenant, &request).await.unwrap();
    let numbers: Vec<Value> =
        page.data.iter().map(|row| serde_json::from_str::<Value>(row.get()).unwrap()["number"].take()).collect();
    assert_eq!(numbers, [0, 2, 1], "the one that was closed last comes first");
    let counted: i64 =
        sqlx::query_scalar("select sum(count)::bigint from read_tickets_by_product where status = 'closed'")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(counted, 1);
    let left: i64 = sqlx::query_scalar(
        "select count(*) from pg_tables where tablename ~ '^read_ticket.*_v[12]$' and tablename ~ 'list|product'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(left, 0, "what was served before is gone");
    models.stop().await;
}
