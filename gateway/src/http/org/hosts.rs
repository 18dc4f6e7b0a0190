//! Host names, by which people come to one of several tenants behind one server.

use axum::{Json, extract::State, response::Response};
use domain::{
    Id,
    org::tenant::{Command, Tenant},
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

/// `GET`, `POST` and `DELETE /host_names`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/host_names", list).post("/host_names", add).post("/host_names/remove", remove)
}

/// The host names of the caller's tenant.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct HostNames {
    /// In order.
    data: Vec<String>,
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<HostNames>, Problem> {
    caller.must("tenant.read")?;
    let (tenant, _) = app.commands.load_current::<Tenant>(caller.tenant, caller.tenant).await?;
    Ok(Json(HostNames { data: tenant.host_names.iter().cloned().collect() }))
}

/// A host name and whose it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HostName {
    /// The name, in any script, without scheme and port.
    host: String,
    /// The tenant; the caller's by default.
    #[serde(default)]
    tenant: Option<Id>,
}

async fn add(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    carry_out(&app, write, body, |host| Command::AddHostName { host }).await
}

async fn remove(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    carry_out(&app, write, body, |host| Command::RemoveHostName { host }).await
}

/// Whoever has a name gets everybody who comes by it: only those who operate the deployment give and take them.
async fn carry_out(
    app: &App,
    write: Write,
    body: Body,
    command: impl FnOnce(String) -> Command,
) -> Result<Response, Problem> {
    app.must_operate(&write.caller).await?;
    let mut turn = write.envelope(app, write.caller.tenant, &body.bytes)?;
    let HostName { host, tenant } = body.read(&json!({ "host": "desk.example.com" }))?;
    let envelope = turn.for_tenant(tenant.unwrap_or(write.caller.tenant));
    let accepted = app.commands.dispatch::<Tenant>(envelope, command(host)).await?;
    Ok(answer(&accepted, None))
}
