//! API keys: issuing one makes a secret that is shown once.

use axum::{Json, extract::State, response::Response};
use domain::{
    Aggregate, Id, Time, catalogue,
    org::{
        api_key::ApiKey,
        role::Role,
        tenant::Tenant,
        user::{Presence, User},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::{Body, Nothing, Params},
    routes::Routes,
    write::{Answer, Write, answer_with, is_new},
};
use crate::{app::App, auth::Caller, bootstrap::issue_key, problem::Problem};

/// `POST /api_keys`, `GET /me` and `GET /permissions`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/api_keys", issue).get("/me", me).get("/permissions", permissions)
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

/// Who the key belongs to.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Me {
    /// The tenant.
    tenant: Id,
    /// Its name.
    tenant_name: Option<String>,
    /// The user the key acts as.
    user: Id,
    /// The user's full name.
    name: String,
    /// The user's e-mail address.
    email: String,
    /// The user's language, BCP 47.
    locale: Option<String>,
    /// The user's time zone, IANA.
    time_zone: Option<String>,
    /// Whether the user is there to work.
    presence: Presence,
    /// The names of the user's roles.
    roles: Vec<String>,
    /// The key.
    key: Id,
    /// For whom this request is made, if for somebody else.
    on_behalf_of: Option<Id>,
    /// Every permission the key has.
    permissions: Vec<String>,
}

async fn me(State(app): State<App>, caller: Caller, Params(Nothing {}): Params<Nothing>) -> Result<Json<Me>, Problem> {
    let permissions = catalogue::permissions().iter().filter(|permission| caller.may(permission)).cloned().collect();
    let (tenant, key, actor) = (caller.tenant, caller.key, caller.actor);
    let (organisation, _) = app.commands.load::<Tenant>(tenant, tenant).await?;
    let (user, _) = app.commands.load::<User>(tenant, actor.id).await?;
    let mut roles = Vec::new();
    for role in &user.roles {
        roles.extend(app.commands.load::<Role>(tenant, *role).await?.0.name.clone());
    }
    let profile = user.profile.clone();
    Ok(Json(Me {
        tenant,
        tenant_name: organisation.name.clone(),
        user: actor.id,
        name: profile.name.0,
        email: profile.email.0,
        locale: profile.locale,
        time_zone: profile.time_zone,
        presence: user.presence,
        roles,
        key,
        on_behalf_of: actor.on_behalf_of,
        permissions,
    }))
}

/// Everything that a role can permit, without what belongs to features that are switched off.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Permissions {
    /// By name; a role may also use `ticket.*`, `*.read` and `*`.
    data: Vec<String>,
}

async fn permissions(caller: Caller, Params(Nothing {}): Params<Nothing>) -> Result<Json<Permissions>, Problem> {
    caller.must("role.read")?;
    let offered = |permission: &&String| caller.missing_feature(permission).is_none();
    Ok(Json(Permissions { data: catalogue::permissions().iter().filter(offered).cloned().collect() }))
}
