//! API keys: issuing one makes a secret that is shown once.

use axum::{Json, extract::State, response::Response};
use domain::{Aggregate, Id, Time, catalogue, org::api_key::ApiKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::{Body, Nothing, Params},
    routes::Routes,
    write::{Answer, Write, answer_with, is_new},
};
use crate::{app::App, auth::Caller, bootstrap::issue_key, problem::Problem};

/// `POST /api_keys` and `GET /permissions`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/api_keys", issue).get("/permissions", permissions)
}

/// A new API key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct New {
    /// What it is for.
    name: String,
    /// The user it acts as; the caller by default.
    #[serde(default)]
    user: Option<Id>,
    /// The role that bounds it; by default it may do whatever its user may.
    #[serde(default)]
    role: Option<Id>,
    /// When it stops working; never by default.
    #[serde(default)]
    expires_at: Option<Time>,
}

/// An issued key: the answer of every command, and the secret.
#[derive(Serialize)]
struct Issued<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    /// The key itself; it is shown this once. Only its digest is kept, so a retry with the same Idempotency-Key cannot show
    /// it again, and a rehearsal has none to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

async fn issue(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    write.caller.must("api_key.issue")?;
    let envelope = write.envelope(&app, app.new_id(), &body.bytes)?;
    let new: New = body.read(&json!({ "name": "key" }))?;
    let user = new.user.unwrap_or_else(|| write.caller.actor.principal());
    let (secret, accepted) = issue_key(&app.commands, &envelope, &new.name, user, new.role, new.expires_at).await?;
    let key = (!accepted.repeated && !write.dry_run).then_some(secret);
    Ok(answer_with(
        &accepted,
        is_new(&accepted).then_some(ApiKey::PLURAL),
        Json(Issued { answer: Answer::from(&accepted), key }),
    ))
}

/// Everything that a role can permit, without what belongs to features that are switched off.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Permissions {
    /// By name; a role may also use `ticket.*`, `*.read` and `*`, and `:own` or `:team` at the end of any that is about records.
    data: Vec<String>,
}

async fn permissions(caller: Caller, Params(Nothing {}): Params<Nothing>) -> Result<Json<Permissions>, Problem> {
    caller.must("role.read")?;
    let offered = |permission: &&String| caller.missing_feature(permission).is_none();
    Ok(Json(Permissions { data: catalogue::permissions().iter().filter(offered).cloned().collect() }))
}
