//! The OpenID provider by which people of a tenant sign in.

use axum::{Json, extract::State, response::Response};
use domain::{
    Id,
    org::tenant::{Command, FirstSignIn, IdentityProvider, Tenant},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::{Body, Nothing, Params},
    routes::Routes,
    write::{Write, answer},
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET`, `PUT` and `DELETE /identity_provider`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/identity_provider", shown).put("/identity_provider", set).delete("/identity_provider", removed)
}

/// The provider of the caller's tenant.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShownIdentityProvider")]
pub(in crate::http) struct Shown {
    /// The provider; null when there is none. Its secret is not shown.
    provider: Option<IdentityProvider>,
}

async fn shown(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Shown>, Problem> {
    caller.must("tenant.read")?;
    Ok(Json(Shown { provider: app.provider(caller.tenant).await? }))
}

/// A provider with the secret of Deskfold's client there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct New {
    /// What people call it.
    name: String,
    /// Its issuer: an https URL, below which `/.well-known/openid-configuration` is found.
    issuer: String,
    /// As whom Deskfold is known there.
    client_id: String,
    /// The client's secret; it is kept sealed and shown to nobody.
    client_secret: String,
    /// What happens when somebody comes from there for the first time.
    #[serde(default)]
    first_sign_in: FirstSignIn,
    /// The role of those who are created.
    #[serde(default)]
    role: Option<Id>,
}

async fn set(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    write.caller.must("tenant.set_identity_provider")?;
    let tenant = write.caller.tenant;
    let envelope = write.envelope(&app, tenant, &body.bytes)?;
    let new: New = body.read(&json!({ "name": "x", "issuer": "x", "client_id": "x", "client_secret": "x" }))?;
    let credential = app.new_id();
    if !write.dry_run {
        app.keep_provider_secret(tenant, credential, &new.client_secret).await?;
    }
    let New { name, issuer, client_id, first_sign_in, role, .. } = new;
    let provider = IdentityProvider { name, issuer, client_id, credential, first_sign_in, role };
    let command = Command::SetIdentityProvider { provider: Some(provider) };
    let done = app.commands.dispatch::<Tenant>(&envelope, command).await;
    if !write.dry_run {
        app.forget_other_provider_secrets(tenant).await?;
    }
    Ok(answer(&done?, None))
}

async fn removed(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    write.caller.must("tenant.set_identity_provider")?;
    let envelope = write.envelope(&app, write.caller.tenant, &body.bytes)?;
    let Nothing {} = body.read(&json!({}))?;
    let command = Command::SetIdentityProvider { provider: None };
    let accepted = app.commands.dispatch::<Tenant>(&envelope, command).await?;
    if !write.dry_run {
        app.forget_other_provider_secrets(write.caller.tenant).await?;
    }
    Ok(answer(&accepted, None))
}
