//! Random secrets that are good for a while, kept as digests: links, and the steps between a password and a session.

use domain::Time;
use jiff_sqlx::ToSqlx;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgPool, types::Json};

use crate::{
    app::App,
    auth::{digest, random},
    problem::Problem,
};

/// What such a secret is for. No one is taken for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A link that was handed out.
    Link,
    /// A password was right, and more is needed.
    SignIn,
    /// Somebody was sent to an OpenID provider.
    Provider,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Link => "link",
            Purpose::SignIn => "sign_in",
            Purpose::Provider => "provider",
        }
    }
}

/// A new secret that stands for `data`.
pub(super) async fn make(
    pool: &PgPool,
    purpose: Purpose,
    data: &impl Serialize,
    expires_at: Time,
) -> Result<String, Problem> {
    let token = random().map_err(|error| Problem::broken(&error))?;
    let data = serde_json::to_value(data).map_err(|error| Problem::broken(&error))?;
    sqlx::query("insert into auth_token (digest, purpose, data, expires_at) values ($1, $2, $3, $4)")
        .bind(digest(&token))
        .bind(purpose.name())
        .bind(Json(data))
        .bind(expires_at.to_sqlx())
        .execute(pool)
        .await?;
    Ok(token)
}

impl App {
    /// A new secret that stands for `data`.
    pub(super) async fn make_token(
        &self,
        purpose: Purpose,
        data: &impl Serialize,
        expires_at: Time,
    ) -> Result<String, Problem> {
        make(&self.pool, purpose, data, expires_at).await
    }

    /// What a secret stands for, if it is still good.
    pub(super) async fn token<T: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        purpose: Purpose,
        token: &str,
    ) -> Result<Option<T>, Problem> {
        let data: Option<Json<T>> =
            sqlx::query_scalar("select data from auth_token where digest = $1 and purpose = $2 and expires_at > $3")
                .bind(digest(token))
                .bind(purpose.name())
                .bind(self.now().to_sqlx())
                .fetch_optional(&self.pool)
                .await?;
        Ok(data.map(|data| data.0))
    }

    /// Makes a secret worthless. Whether it was good until now: of two who come with it one gets true.
    pub(super) async fn drop_token(&self, purpose: Purpose, token: &str) -> Result<bool, Problem> {
        let dropped = sqlx::query("delete from auth_token where digest = $1 and purpose = $2")
            .bind(digest(token))
            .bind(purpose.name())
            .execute(&self.pool)
            .await?;
        Ok(dropped.rows_affected() == 1)
    }

    /// Deletes those whose time has passed.
    pub(super) async fn forget_tokens(&self) -> sqlx::Result<()> {
        sqlx::query("delete from auth_token where expires_at <= $1")
            .bind(self.now().to_sqlx())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
