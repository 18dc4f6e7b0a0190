//! Whether the process lives, whether it can work, and what it counts.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use eventstore::{RelayState, RelayStatus};
use prometheus::TextEncoder;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{app::App, problem::Problem};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_millis(600);

/// The process lives.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

pub(in crate::http) async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// What the process needs in order to work.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Ready {
    /// Whether it should get requests.
    ready: bool,
    /// Whether the database answers.
    database: bool,
    /// The last position of the log, when the database answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
    /// Read models that cannot be read yet: the tables of this version are being filled from the log.
    building: Vec<&'static str>,
    /// The room on the database's disk, as far as it is known. Without enough of it writes are refused and reads go on, so
    /// that the process stays ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<StorageReadiness>,
    /// How the relay to NATS fares, if it is among this process's roles. The API does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<RelayReadiness>,
    /// Where this process learns of others' events: `nats`, or `postgresql` while NATS is not to be had. Absent where no NATS
    /// is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_from: Option<&'static str>,
}

/// The room on the database's disk.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct StorageReadiness {
    /// `ok`; `low` while too little is free, and `full` just after PostgreSQL itself found no room: then writes are refused.
    state: &'static str,
    /// Bytes that are free, where the place of the files is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    /// Bytes that must stay free.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_free_bytes: Option<u64>,
}

impl StorageReadiness {
    fn of(app: &App) -> Option<StorageReadiness> {
        let (room, measured) = (app.log.room(), app.storage.last());
        let state = match (room.is_low(), room.has_run_out()) {
            (_, true) => "full",
            (true, false) => "low",
            (false, false) => "ok",
        };
        let known = measured.is_some() || state != "ok";
        let (free_bytes, min_free_bytes) = measured.map(|measure| (measure.free, measure.min_free)).unzip();
        known.then_some(StorageReadiness { state, free_bytes, min_free_bytes })
    }
}

/// How the relay to NATS fares.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct RelayReadiness {
    /// `publishing`; `standing_by` while another process publishes; `degraded` while it cannot and tries again;
    /// `refusing` when JetStream holds what is not the log's, and somebody must decide.
    state: &'static str,
    /// The last event known to be in JetStream.
    position: i64,
    /// Events that are not there yet.
    behind: i64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<RelayStatus> for RelayReadiness {
    fn from(status: RelayStatus) -> Self {
        let state = match status.state {
            RelayState::Publishing => "publishing",
            RelayState::StandingBy => "standing_by",
            RelayState::Degraded => "degraded",
            RelayState::Refusing => "refusing",
        };
        RelayReadiness { state, position: status.position, behind: status.behind, reason: status.reason }
    }
}

pub(in crate::http) async fn ready(State(app): State<App>) -> impl IntoResponse {
    let asked = async { (app.log.head().await.ok(), app.read_models.building().await.ok()) };
    let asked = tokio::time::timeout(PATIENCE, app.log.presence().guard(asked)).await;
    let (position, building) = asked.ok().and_then(Result::ok).unwrap_or_default();
    let database = position.is_some() && building.is_some();
    let position = position.filter(|_| database);
    let building = building.unwrap_or_default();
    let ready = database && building.is_empty() && !app.stopping.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let relay = app.relay().map(|status| status.borrow().clone().into());
    let events_from = app.follows_nats().map(|follows| if *follows.borrow() { "nats" } else { "postgresql" });
    let storage = StorageReadiness::of(&app);
    (status, Json(Ready { ready, database, position, building, storage, relay, events_from }))
}

pub(in crate::http) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let (size, idle) = (i64::from(app.pool.size()), i64::try_from(app.pool.num_idle()).unwrap_or_default());
    app.gauges.pool.with_label_values(&["idle"]).set(idle);
    app.gauges.pool.with_label_values(&["used"]).set((size - idle).max(0));
    app.gauges.position.set(*app.log.tail().watch().borrow());
    app.gauges.database_up.set(i64::from(app.log.presence().is_there()));
    app.storage.show(app.log.room().is_full());
    let text = TextEncoder::new().encode_to_string(&app.registry.gather()).map_err(|error| Problem::broken(&error))?;
    Ok(([("content-type", "text/plain; version=0.0.4")], text))
}
