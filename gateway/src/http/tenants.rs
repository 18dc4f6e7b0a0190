//! New tenants, created by whoever operates the deployment.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use domain::Id;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{request::Body, routes::Routes};
use crate::{app::App, auth::Caller, bootstrap, problem::Problem};

/// `POST /tenants`.
pub(super) fn routes() -> Routes {
    Routes::new().post("/tenants", create)
}

/// A new tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    /// Its name.
    name: String,
    /// E-mail address of its first admin.
    admin_email: String,
}

/// A tenant that has just been created.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Created {
    /// The tenant.
    id: Id,
    /// Its admin.
    admin: Id,
    /// The admin's API key; it is shown this once.
    key: String,
}

async fn create(State(app): State<App>, caller: Caller, body: Body) -> Result<impl IntoResponse, Problem> {
    caller.must("tenant.operate")?;
    // Only the first tenant's people operate the deployment: everybody else is a guest in it.
    if app.operator().await? != Some(caller.tenant) {
        return Err(Problem::forbidden("tenant.operate"));
    }
    let new: New = body.read()?;
    let first = bootstrap::create_tenant(&app.commands, &new.name, &new.admin_email, app.now()).await?;
    let created = Created { id: first.tenant, admin: first.user, key: first.key };
    Ok((StatusCode::CREATED, Json(created)))
}

impl App {
    /// The tenant that operates this deployment: the one the log begins with.
    async fn operator(&self) -> Result<Option<Id>, Problem> {
        let first = eventstore::Query { limit: 1, ..eventstore::Query::default() };
        Ok(self.log.read_all(&first).await?.first().and_then(|event| event.tenant.parse().ok()))
    }
}
