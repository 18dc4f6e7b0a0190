//! What appends are written with, on whichever way.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::metrics::Metrics;
use crate::options::Options;
use crate::partition::Keeper;
use crate::presence::Presence;
use crate::room::Room;
use crate::tail::Tail;

/// What the writers work with.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) pool: PgPool,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) tail: Tail,
    pub(crate) keeper: Keeper,
    pub(crate) presence: Presence,
    pub(crate) room: Room,
}

/// A connection that plans each statement of an append once, always by index: the tables grow under the plan.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let options = options.clone().application_name("deskfold log writer").disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(
        "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set enable_hashjoin = off;
         set enable_mergejoin = off; set default_transaction_isolation = 'read committed'",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

/// Whether the connection is lost with it, so that what was sent may have been committed.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::Database(_)) || connection_ended(error)
}

fn connection_ended(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
}
