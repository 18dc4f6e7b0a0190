//! A whole list as it is at one moment, row by row in constant memory: a cursor over the ids in one snapshot of the
//! database, and the rows of so many ids at a time.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Id,
    kernel::custom::{Definitions, FieldType},
};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};

use crate::{
    Earlier, Error, List, ListRequest, ReadModel, ReadModels, RecordAccess, Sight,
    kernel::{
        earlier::Tables,
        list::{Step, condition, plan_once, steps, told},
        model::{Model, models},
        redirects, registry,
        sql::Sql,
        told::veil,
    },
    name_custom, needs,
};

/// Rows that are read at once.
const ROWS: usize = 500;

/// A list that is being read to its end.
pub struct Export {
    source: Source,
    sight: Sight,
    position: i64,
}

/// What is read.
enum Source {
    Now { list: &'static List, tenant: Id, custom: Definitions, transaction: PgConnection },
    Then(Box<Earlier>),
}

impl Export {
    /// Begins with the snapshot. Filter, order and sight are those of the request; pages and counts are not its business.
    /// `custom` are the custom fields of the list's kind.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        list: &'static List,
        read_models: &ReadModels,
        pool: &PgPool,
        tenant: Id,
        request: &ListRequest,
        custom: Definitions,
    ) -> Result<Export, Error> {
        let walls = matches!(request.sight, Sight::Walled(_)).then_some(RecordAccess::NAME);
        let names: BTreeSet<&'static str> = needs(list).iter().copied().chain(walls).collect();
        // What they have reached by now is in the snapshot, however late their checkpoints are written down.
        let mut reached = Vec::with_capacity(names.len());
        for name in &names {
            reached.push((*name, read_models.position(name).await?));
        }
        // A connection of its own, which ends with the export however that ends.
        let mut transaction = pool.acquire().await?.detach();
        transaction.execute("begin isolation level repeatable read read only").await?;
        lock(&mut transaction, &names, &custom).await?;
        let position = position(&mut transaction, &reached).await?;
        declare(list, &mut transaction, tenant, request, None).await?;
        plan_once(&mut transaction).await?;
        let source = Source::Now { list, tenant, custom, transaction };
        Ok(Export { source, sight: request.sight.clone(), position })
    }

    /// The same of a list as it was, which is known up to a position of the log.
    ///
    /// # Errors
    /// As [`Earlier::list`].
    pub async fn then(mut earlier: Earlier, request: &ListRequest, position: i64) -> Result<Export, Error> {
        earlier.declare(request).await?;
        Ok(Export { source: Source::Then(Box::new(earlier)), sight: request.sight.clone(), position })
    }

    /// The position of the log up to which the list is known in the snapshot.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The ids of the next rows; none at the end. Not of a list as it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_ids(&mut self) -> Result<Vec<Id>, Error> {
        let Source::Now { transaction, .. } = &mut self.source else { return Ok(Vec::new()) };
        let ids = fetch(transaction, ROWS).await?;
        ids.iter().map(|id| id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)).into())).collect()
    }

    /// The next rows, each the JSON that goes out; none at the end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next(&mut self) -> Result<Vec<Box<RawValue>>, Error> {
        let Export { source, sight, .. } = self;
        match source {
            Source::Then(earlier) => earlier.next(sight).await,
            Source::Now { list, tenant, custom, transaction } => {
                let ids = fetch(transaction, ROWS).await?;
                let mut rows = told(list, transaction, *tenant, ids).await?;
                veil(list, transaction, *tenant, sight, &mut rows).await?;
                name_custom(transaction, *tenant, sight, custom, &mut rows).await?;
                Ok(rows)
            }
        }
    }
}

/// Opens a cursor over the ids of all that match, in order; of the list as it is or as it was.
///
/// # Errors
/// When the database fails.
pub(crate) async fn declare(
    list: &'static List,
    transaction: &mut PgConnection,
    tenant: Id,
    request: &ListRequest,
    past: Option<&Arc<Tables>>,
) -> Result<(), sqlx::Error> {
    // All of it is wanted, and not the first rows soon.
    sqlx::query("set local cursor_tuple_fraction = 1").execute(&mut *transaction).await?;
    let filter = redirects::followed(list, &mut *transaction, tenant, &request.filter, past).await?;
    let seen = request.sight.over(list, transaction, tenant).await?;
    let steps = steps(list, request);
    let mut sql = Sql::over(list, tenant, past);
    sql.push("select t.id");
    condition(list, &mut sql, &filter, &seen, &steps);
    let order: Vec<_> = steps.iter().map(Step::order).collect();
    sql.push(" order by ").push(&order.join(", "));
    let statement = format!("declare export no scroll cursor for {}", sql.statement());
    let declare = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
    let _: Vec<(String,)> = Sql::supply(sql.values, declare).fetch_all(transaction).await?;
    Ok(())
}

/// The next ids of the cursor.
///
/// # Errors
/// When the database fails.
pub(crate) async fn fetch(transaction: &mut PgConnection, rows: usize) -> Result<Vec<String>, sqlx::Error> {
    let fetch = format!("fetch forward {rows} from export");
    sqlx::query_scalar(AssertSqlSafe(fetch)).persistent(false).fetch_all(transaction).await
}

/// Locks what a list is read from, before the snapshot is taken: no table is swapped for one that was filled after it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lock(
    transaction: &mut PgConnection,
    names: &BTreeSet<&'static str>,
    custom: &Definitions,
) -> Result<(), sqlx::Error> {
    let lock = format!("lock table {} in access share mode", views(names, custom).join(", "));
    sqlx::query(AssertSqlSafe(lock)).execute(transaction).await.map(drop)
}

/// The views that the rows are read from.
fn views(names: &BTreeSet<&'static str>, custom: &Definitions) -> Vec<String> {
    let of_models = models().filter(|model| names.contains(model.name)).flat_map(Model::names);
    let referred = custom.values().filter(|field| field.field_type == FieldType::Reference);
    let referred =
        referred.filter_map(|field| registry::listing(field.target?.kind())).map(|(view, _)| view.to_owned());
    let all: BTreeSet<String> = of_models.map(registry::view).chain(referred).collect();
    all.into_iter().collect()
}

/// The position that all of these read models have reached in this snapshot: what their checkpoints say in it, or what was
/// known before.
async fn position(snapshot: &mut PgConnection, reached: &[(&'static str, i64)]) -> Result<i64, sqlx::Error> {
    let (names, known): (Vec<&str>, Vec<i64>) = reached.iter().copied().unzip();
    let position: Option<i64> = sqlx::query_scalar(
        "select min(greatest(coalesce(s.position, 0), k.position)) from unnest($1::text[], $2::bigint[]) k (name, position)
         left join read_model m on m.name = k.name and m.state = 'serving'
         left join log_subscription s on s.name = m.name and s.version = m.generation",
    )
    .bind(names)
    .bind(known)
    .fetch_one(snapshot)
    .await?;
    Ok(position.unwrap_or(0))
}
