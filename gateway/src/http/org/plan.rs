//! What a tenant has agreed with whoever operates the deployment: its plan, and how many seats are taken.

use axum::{Json, extract::State, response::Response};
use domain::{
    Id,
    org::{
        plan::Plan,
        tenant::{Command, Tenant},
    },
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

/// `GET` and `PUT /plan`, and `GET /tenants/me/seats`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/plan", shown).put("/plan", set).get("/tenants/me/seats", seats)
}

/// The plan of the caller's tenant.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShownPlan")]
pub(in crate::http) struct Shown {
    /// The plan; null when none is agreed, and so nothing is limited.
    pub(in crate::http) plan: Option<Plan>,
    /// How many people are invited or active.
    pub(in crate::http) seats_taken: usize,
}

async fn shown(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Shown>, Problem> {
    caller.must("tenant.read")?;
    Ok(Json(app.plan(caller.tenant).await?))
}

/// The seats of the caller's tenant.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Seats {
    /// How many there are; null when nothing is limited.
    seats: Option<u32>,
    /// How many people are invited or active: each has one, whatever else they become, such as an operator of a channel.
    taken: u32,
    /// How many more people may be invited; null when nothing is limited.
    free: Option<u32>,
}

async fn seats(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Seats>, Problem> {
    caller.must("tenant.read")?;
    let Shown { plan, seats_taken } = app.plan(caller.tenant).await?;
    let taken = u32::try_from(seats_taken).unwrap_or(u32::MAX);
    let seats = plan.and_then(|plan| plan.seats);
    Ok(Json(Seats { seats, taken, free: seats.map(|seats| seats.saturating_sub(taken)) }))
}

impl App {
    /// The plan of a tenant, with how many of its seats are taken.
    pub(in crate::http) async fn plan(&self, tenant: Id) -> Result<Shown, Problem> {
        let (state, _) = self.commands.load_current::<Tenant>(tenant, tenant).await?;
        let seats_taken = match state.plan {
            Some(_) => state.seated().len(),
            None => self.commands.seated(tenant).await?.len(),
        };
        Ok(Shown { plan: state.plan.clone(), seats_taken })
    }
}

/// A plan and whose it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SetPlan")]
pub(in crate::http) struct New {
    /// The plan; null for none, and so for no limit.
    plan: Option<Plan>,
    /// The tenant; the caller's by default.
    #[serde(default)]
    tenant: Option<Id>,
}

/// Whoever operates the deployment says what is agreed: nobody gives himself more seats.
async fn set(State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    app.must_operate(&write.caller).await?;
    let mut turn = write.envelope(&app, write.caller.tenant, &body.bytes)?;
    let New { plan, tenant } = body.read(&json!({ "plan": Plan::example() }))?;
    let envelope = turn.for_tenant(tenant.unwrap_or(write.caller.tenant));
    let accepted = app.commands.dispatch::<Tenant>(envelope, Command::SetPlan { plan }).await?;
    Ok(answer(&accepted, None))
}
