//! Which table of a read model serves, which is being filled: the table `read_model`.

use std::{collections::HashMap, sync::LazyLock};

use eventstore::Log;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool};

use crate::{
    Error, List,
    kernel::{analytics, model::Model},
    lists as every,
};

/// One table of a read model.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Generation {
    /// The read model.
    pub(crate) name: String,
    /// 1, 2, 3, ...: also the version of its subscription.
    pub(crate) generation: i32,
    /// Of which code it is the work.
    pub(crate) version: i32,
    /// Its table.
    pub(crate) table_name: String,
    /// Its counters.
    pub(crate) tally_name: Option<String>,
    /// Its further tables, in the order of [`ReadModel::FURTHER`].
    pub(crate) further_names: Vec<String>,
    /// `building` or `serving`.
    pub(crate) state: String,
    /// Filled up to here, as long as it is being built; then its subscription knows.
    pub(crate) position: i64,
    /// Indexes to make once it is filled: what follows `on <table>`.
    pub(crate) indexes: Vec<String>,
}

const COLUMNS: &str =
    "select name, generation, version, table_name, tally_name, further_names, state, position, indexes
     from read_model";

impl Generation {
    pub(crate) fn serves(&self) -> bool {
        self.state == "serving"
    }

    /// All that is stored of it.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &String> {
        [&self.table_name].into_iter().chain(&self.tally_name).chain(&self.further_names)
    }

    /// All tables of all read models.
    pub(crate) async fn all(pool: &PgPool) -> Result<Vec<Generation>, sqlx::Error> {
        sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} order by name, generation"))).fetch_all(pool).await
    }

    /// The one that serves, locked until the transaction ends.
    pub(crate) async fn serving(connection: &mut PgConnection, name: &str) -> Result<Option<Generation>, sqlx::Error> {
        sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} where name = $1 and state = 'serving' for update")))
            .bind(name)
            .fetch_optional(connection)
            .await
    }

    /// The one of this version that is being built.
    pub(crate) async fn building(
        connection: &mut PgConnection,
        name: &str,
        version: i32,
    ) -> Result<Option<Generation>, sqlx::Error> {
        sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} where name = $1 and version = $2 and state = 'building'")))
            .bind(name)
            .bind(version)
            .fetch_optional(connection)
            .await
    }

    pub(crate) async fn insert(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "insert into read_model (name, generation, version, table_name, tally_name, further_names, state, position,
                                     indexes)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        )
        .bind(&self.name)
        .bind(self.generation)
        .bind(self.version)
        .bind(&self.table_name)
        .bind(&self.tally_name)
        .bind(&self.further_names)
        .bind(&self.state)
        .bind(self.position)
        .bind(&self.indexes)
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// The view that lists the records of a kind, and the column that says what one is called.
pub(crate) fn listing(kind: &str) -> Option<(&'static str, &'static str)> {
    lists().get(kind).and_then(|(list, view)| Some((view.as_str(), list.title()?)))
}

/// The kinds whose lists say what a record is called, each with the view of its list and the column that says it.
pub(crate) fn titles() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    lists().iter().filter_map(|(kind, (list, view))| Some((*kind, view.as_str(), list.title()?)))
}

/// The read models that list the records of some kind.
pub(crate) fn listings() -> impl Iterator<Item = &'static Model> {
    lists().values().map(|(list, _)| list.model)
}

/// By kind of record, its list, and the view that everybody queries.
fn lists() -> &'static HashMap<&'static str, (&'static List, String)> {
    type Lists = HashMap<&'static str, (&'static List, String)>;
    static LISTS: LazyLock<Lists> = LazyLock::new(|| {
        let of_kinds = every().filter(|list| list.lists(list.read));
        of_kinds.map(|list| (list.read, (list, view(list.name)))).collect()
    });
    &LISTS
}

/// The view that everybody queries.
pub(crate) fn view(name: &str) -> String {
    format!("read_{name}")
}

/// The table that the migration of a version created.
pub(crate) fn migrated(name: &str, version: i32) -> String {
    format!("read_{name}_v{version}")
}

/// Farther behind the head than this, a table is filled by the builder rather than by following the log.
const FAR: i64 = 20_000;
/// The events of a log so young that whoever finds an empty list in it is not misled: a new installation's first ones.
const YOUNG: i64 = 100;

/// Makes sure that a table of this version serves or is being built, unless a newer version serves. Returns the tables.
pub(crate) async fn register(model: &Model, log: &Log) -> Result<(), Error> {
    let mut transaction = log.pool().begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('read_model', 0))").execute(&mut *transaction).await?;
    let known: Vec<Generation> = sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} where name = $1")))
        .bind(model.name)
        .fetch_all(&mut *transaction)
        .await?;
    if known.iter().any(|generation| generation.version >= model.version) {
        return Ok(());
    }
    let head = log.head().await?;
    let far = head > FAR;
    // What serves is read: a table that lacks what the log tells is filled first.
    let serves = known.is_empty() && head <= YOUNG;
    let mut generation = Generation {
        name: model.name.to_owned(),
        generation: known.iter().map(|generation| generation.generation).max().unwrap_or(0) + 1,
        version: model.version,
        table_name: migrated(model.name, model.version),
        tally_name: model.tally.map(|tally| migrated(tally, model.version)),
        further_names: model.further.iter().map(|name| migrated(name, model.version)).collect(),
        state: if serves { "serving" } else { "building" }.to_owned(),
        position: 0,
        indexes: Vec::new(),
    };
    if far {
        // Rows go into a table without indexes several times as fast.
        generation.indexes = indexes(&mut transaction, &generation.table_name).await?;
        let names: Vec<String> = sqlx::query_scalar(
            "select indexrelid::regclass::text from pg_index where indrelid = $1::text::regclass and not indisprimary",
        )
        .bind(&generation.table_name)
        .fetch_all(&mut *transaction)
        .await?;
        for name in names {
            sqlx::query(AssertSqlSafe(format!("drop index {name}"))).execute(&mut *transaction).await?;
        }
    }
    generation.insert(&mut transaction).await?;
    // The views show the tables of version 1 until they are told otherwise.
    if generation.serves() && model.version > 1 {
        show(model, &mut transaction, &generation).await?;
        drop_older(model, &mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Points the views at the tables of a generation.
pub(crate) async fn show(
    model: &Model,
    transaction: &mut PgConnection,
    generation: &Generation,
) -> Result<(), sqlx::Error> {
    for (name, table) in model.names().zip(generation.tables()) {
        point(transaction, &view(name), table).await?;
    }
    analytics::follow(transaction).await
}

/// Drops the tables that migrations created for older versions: those that never served here.
pub(crate) async fn drop_older(model: &Model, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    for version in 1..model.version {
        for name in model.names() {
            let drop = format!("drop table if exists {}", migrated(name, version));
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
        }
    }
    Ok(())
}

/// Points a view at another table. A view whose columns change is made anew, and so is what analysts see of it.
async fn point(transaction: &mut PgConnection, view: &str, table: &str) -> Result<(), sqlx::Error> {
    let mut savepoint = transaction.begin().await?;
    let replaced = sqlx::query(AssertSqlSafe(format!("create or replace view {view} as select * from {table}")))
        .execute(&mut *savepoint)
        .await;
    match replaced {
        Ok(_) => savepoint.commit().await?,
        // "invalid table definition": other columns than before.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P16") => {
            savepoint.rollback().await?;
            sqlx::query(AssertSqlSafe(format!("drop view {view} cascade"))).execute(&mut *transaction).await?;
            sqlx::query(AssertSqlSafe(format!("create view {view} as select * from {table}")))
                .execute(&mut *transaction)
                .await?;
        }
        Err(error) => return Err(error),
    }
    describe(transaction, view, table).await
}

/// Gives a view or table the comments of another table.
pub(crate) async fn describe(connection: &mut PgConnection, target: &str, source: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select read_model_describe($1, $2)").bind(target).bind(source).execute(connection).await?;
    Ok(())
}

/// The definitions of a table's indexes, without the primary key: what follows `on <table>`.
pub(crate) async fn indexes(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let definitions: Vec<String> = sqlx::query_scalar(
        "select pg_get_indexdef(indexrelid) from pg_index
         where indrelid = $1::text::regclass and not indisprimary order by indexrelid",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    Ok(definitions.iter().filter_map(|text| text.split_once(" USING ")).map(|(_, rest)| rest.to_owned()).collect())
}
