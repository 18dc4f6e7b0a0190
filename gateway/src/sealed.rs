//! Secrets of channels and webhooks: sealed under the key of the configuration, opened for whoever sends, shown to nobody.

use std::sync::Arc;

use channels::outbox::Secrets;
use domain::Id;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{app::App, problem::Problem, sign_in::Seal};

/// Whose secrets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of {
    /// Their table, and in it the column of whose they are.
    table: &'static str,
    column: &'static str,
    /// What is sealed for one sort is of no use to another.
    sort: &'static str,
}

/// Those of channels.
pub(crate) const CHANNELS: Of = Of { table: "auth_channel_secret", column: "channel_id", sort: "channel" };
/// Those of webhooks.
pub(crate) const WEBHOOKS: Of = Of { table: "auth_webhook_secret", column: "webhook_id", sort: "webhook" };

/// How colleagues are reached: the webhooks of their chats, and their browsers.
pub(crate) const USERS: Of = Of { table: "auth_notification_way", column: "user_id", sort: "user" };

impl Of {
    /// Whose a sealed secret is: what is sealed for one record is of no use to another.
    fn owner(self, tenant: Id, record: Id) -> String {
        format!("{} {tenant} {record}", self.sort)
    }
}

/// What opens them for whoever sends.
pub(crate) fn opened(of: Of, pool: &PgPool, seal: &Arc<Seal>) -> Secrets {
    let (pool, seal) = (pool.clone(), Arc::clone(seal));
    Arc::new(move |tenant, record, credential| {
        let (pool, seal) = (pool.clone(), Arc::clone(&seal));
        Box::pin(async move {
            let Of { table, column, .. } = of;
            let find = format!("select sealed from {table} where tenant_id = $1 and {column} = $2 and credential = $3");
            let sealed: Option<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(find))
                .bind(tenant.to_string())
                .bind(record.to_string())
                .bind(credential.to_string())
                .fetch_optional(&pool)
                .await
                .map_err(|error| error.to_string())?;
            let Some(sealed) = sealed else { return Ok(None) };
            let damaged = || format!("the {}'s secret cannot be opened: was the secret key changed?", of.sort);
            let secret = seal.open(&of.owner(tenant, record), &sealed).map_err(|_| damaged())?;
            String::from_utf8(secret).map(Some).map_err(|_| damaged())
        })
    })
}

impl App {
    /// Keeps a record's secret under an id, which is in force once the log says so.
    pub(crate) async fn keep_secret(
        &self,
        of: Of,
        (tenant, record): (Id, Id),
        credential: Id,
        secret: &str,
    ) -> Result<(), Problem> {
        let sealed = self.sign_in.seal.close(&of.owner(tenant, record), secret.as_bytes())?;
        let Of { table, column, .. } = of;
        // What is known by what it is of is kept anew.
        let keep = format!(
            "insert into {table} (tenant_id, {column}, credential, sealed) values ($1, $2, $3, $4)
             on conflict (tenant_id, {column}, credential) do update set sealed = excluded.sealed"
        );
        sqlx::query(AssertSqlSafe(keep))
            .bind(tenant.to_string())
            .bind(record.to_string())
            .bind(credential.to_string())
            .bind(sealed)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Deletes the secrets of a record but for those in force.
    pub(crate) async fn forget_other_secrets(
        &self,
        of: Of,
        (tenant, record): (Id, Id),
        in_force: impl IntoIterator<Item = Id>,
    ) -> Result<(), Problem> {
        let in_force: Vec<String> = in_force.into_iter().map(|credential| credential.to_string()).collect();
        let Of { table, column, .. } = of;
        let forget =
            format!("delete from {table} where tenant_id = $1 and {column} = $2 and not credential = any ($3)");
        sqlx::query(AssertSqlSafe(forget))
            .bind(tenant.to_string())
            .bind(record.to_string())
            .bind(in_force)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
