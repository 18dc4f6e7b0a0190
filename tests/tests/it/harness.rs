//! Each test's database is migrated, its own, and gone afterwards.

use deskfold_tests::database;
use sqlx::{PgPool, query, query_scalar};

#[tokio::test]
async fn every_test_has_a_migrated_database_of_its_own() {
    let (one, other) = (database().await, database().await);
    query("create table only_here (id int)").execute(&one.pool).await.unwrap();
    let migrated = "select count(*) from _sqlx_migrations where success";
    let expected = std::fs::read_dir(deskfold_tests::root().join("migrations")).unwrap().count();
    for (database, has_table) in [(&one, true), (&other, false)] {
        let found: bool =
            query_scalar("select to_regclass('only_here') is not null").fetch_one(&database.pool).await.unwrap();
        assert_eq!(found, has_table);
        let applied: i64 = query_scalar(migrated).fetch_one(&database.pool).await.unwrap();
        assert_eq!(usize::try_from(applied).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_database_is_reached_by_its_url_and_dropped_after_its_test() {
    let (ours, watching) = (database().await, database().await);
    let by_url = PgPool::connect(&ours.url).await.unwrap();
    let name: String = query_scalar("select current_database()").fetch_one(&by_url).await.unwrap();
    drop(ours);

    let there = "select exists (select from pg_database where datname = $1)";
    while query_scalar::<_, bool>(there).bind(&name).fetch_one(&watching.pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(query("select 1").execute(&by_url).await.is_err());
}
