//! Credentials of channels: sealed under the key of the configuration, opened for whoever sends, shown to nobody.

use std::sync::Arc;

use channels::outbox::Secrets;
use domain::{Id, chat::channel::Channel};
use sqlx::PgPool;

use crate::{app::App, problem::Problem, sign_in::Seal};

/// Whose a sealed secret is: what is sealed for one channel is of no use to another.
fn owner(tenant: Id, channel: Id) -> String {
    format!("channel {tenant} {channel}")
}

/// What opens them for the outbox.
pub(crate) fn opened(pool: &PgPool, seal: &Arc<Seal>) -> Secrets {
    let (pool, seal) = (pool.clone(), Arc::clone(seal));
    Arc::new(move |tenant, channel, credential| {
        let (pool, seal) = (pool.clone(), Arc::clone(&seal));
        Box::pin(async move {
            let sealed: Option<Vec<u8>> = sqlx::query_scalar(
                "select sealed from auth_channel_secret where tenant_id = $1 and channel_id = $2 and credential = $3",
            )
            .bind(tenant.to_string())
            .bind(channel.to_string())
            .bind(credential.to_string())
            .fetch_optional(&pool)
            .await
            .map_err(|error| error.to_string())?;
            let Some(sealed) = sealed else { return Ok(None) };
            let damaged = || "the channel's secret cannot be opened: was the secret key changed?".to_owned();
            let secret = seal.open(&owner(tenant, channel), &sealed).map_err(|_| damaged())?;
            String::from_utf8(secret).map(Some).map_err(|_| damaged())
        })
    })
}

impl App {
    /// Keeps a channel's secret under an id, which is in force once the log says so.
    pub(crate) async fn keep_channel_secret(
        &self,
        (tenant, channel): (Id, Id),
        credential: Id,
        secret: &str,
    ) -> Result<(), Problem> {
        let sealed = self.sign_in.seal.close(&owner(tenant, channel), secret.as_bytes())?;
        sqlx::query(
            "insert into auth_channel_secret (tenant_id, channel_id, credential, sealed) values ($1, $2, $3, $4)",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .bind(credential.to_string())
        .bind(sealed)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Deletes the secrets of a channel that are not in force.
    pub(crate) async fn forget_other_channel_secrets(&self, tenant: Id, channel: Id) -> Result<(), Problem> {
        let (state, _) = self.commands.load_current::<Channel>(tenant, channel).await?;
        let in_force = [state.credential, state.captcha_credential].into_iter().flatten();
        let in_force: Vec<String> = in_force.map(|credential| credential.to_string()).collect();
        sqlx::query(
            "delete from auth_channel_secret
             where tenant_id = $1 and channel_id = $2 and not credential = any ($3)",
        )
        .bind(tenant.to_string())
        .bind(channel.to_string())
        .bind(in_force)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
