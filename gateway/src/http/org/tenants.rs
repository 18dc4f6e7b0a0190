//! New tenants, created by whoever operates the deployment.

use axum::{Json, extract::State, response::Response};
use commands::Refused;
use domain::{Aggregate, Id, org::tenant::Tenant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::Body,
    routes::Routes,
    write::{Answer, Write, answer_with, is_new},
};
use crate::{app::App, auth::Caller, bootstrap, problem::Problem};

/// `POST /tenants`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/tenants", create)
}

/// A new tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct New {
    /// Its name.
    name: String,
    /// E-mail address of its first admin.
    admin_email: String,
}

/// A tenant that has just been created: the answer of every command, its admin, and the admin's key.
#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    admin: Id,
    /// The admin's API key; it is shown this once, and not again to a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

async fn create(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    app.must_operate(&write.caller).await?;
    if write.caller.actor.on_behalf_of.is_some() {
        let detail = "In a tenant that is yet to be made nobody acts for others: leave Deskfold-On-Behalf-Of out.";
        return Err(Problem::bad_request("header_unfit", detail));
    }
    let mut envelope = write.envelope(&app, app.new_id(), &body.bytes)?;
    let New { name, admin_email } = body.read(&json!({ "name": "name", "admin_email": "admin@example.com" }))?;
    // In a tenant of its own nobody of this one is known.
    envelope.by_deskfold();
    let founded = bootstrap::found_tenant(&app.commands, &envelope, &name, &admin_email).await.map_err(in_body)?;
    let bootstrap::Founded { accepted, admin, key } = founded;
    Ok(answer_with(
        &accepted,
        is_new(&accepted).then_some(Tenant::PLURAL),
        Json(Created { answer: Answer::from(&accepted), admin, key }),
    ))
}

/// The admin's address stands under another name here than in a user's profile.
fn in_body(refused: Refused) -> Problem {
    let mut problem = Problem::from(refused);
    problem.renamed("/email", "/admin_email");
    problem
}

impl App {
    /// Refuses whoever does not operate this deployment: only the first tenant's people do, everybody else is a guest in it.
    pub(in crate::http) async fn must_operate(&self, caller: &Caller) -> Result<(), Problem> {
        caller.must("tenant.operate")?;
        let operates = self.operator().await? == Some(caller.tenant);
        if operates { Ok(()) } else { Err(Problem::forbidden("tenant.operate")) }
    }

    /// The tenant that operates this deployment: the one the log begins with.
    async fn operator(&self) -> Result<Option<Id>, Problem> {
        let first = eventstore::Query { limit: 1, ..eventstore::Query::default() };
        Ok(self.log.read_all(&first).await?.first().and_then(|event| event.tenant.parse().ok()))
    }
}
