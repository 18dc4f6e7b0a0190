//! Every command of the catalogue as an endpoint.

use axum::{
    Json,
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use commands::{Accepted, AnyCommand, Order};
use domain::{
    Aggregate, Id,
    catalogue::{self, Kind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    request::{self, Body, POSITION, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `POST /tickets`, `PUT /tickets/{id}`, `POST /tickets/{id}/{command}`, and `PATCH /tickets/{id}` where there is an edit.
pub(super) fn routes() -> Routes {
    catalogue::kinds().fold(Routes::new(), |mut routes, kind| {
        let record = format!("/{}/{{id}}", kind.plural);
        if kind.commands.contains(kind.create) {
            routes = routes.post(&format!("/{}", kind.plural), move |state, caller, options, request| {
                create(kind, state, caller, options, request)
            });
            routes = routes.put(&record, move |state, caller, id, options, request| {
                command_of(kind, kind.create, state, caller, id, options, request)
            });
        }
        if kind.commands.contains("edit") {
            routes = routes.patch(&record, move |state, caller, id, options, request| {
                command_of(kind, "edit", state, caller, id, options, request)
            });
        }
        routes.post(
            &format!("{record}/{{command}}"),
            move |state, caller, path: Path<(String, String)>, options, request| async move {
                let Path((id, name)) = path;
                command_of(kind, &name, state, caller, Path(id), options, request).await
            },
        )
    })
}

/// Parameters of a command.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Say what would be written, and write nothing.
    dry_run: bool,
}

/// What is asked for, besides by whom.
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
}

impl FromRequest<App> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Asked, Problem> {
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        Ok(Asked { method, uri, headers, body: Body::from_request(request, app).await? })
    }
}

async fn create(
    kind: &'static Kind,
    State(app): State<App>,
    caller: Caller,
    Params(options): Params<Options>,
    asked: Asked,
) -> Result<Response, Problem> {
    let command = decode(kind, kind.create, &asked.body)?;
    let id = command.id_for_new(caller.tenant).unwrap_or_else(|| app.new_id());
    carry_out(kind, kind.create, &app, &caller, id, command, options, &asked).await
}

async fn command_of(
    kind: &'static Kind,
    name: &str,
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    asked: Asked,
) -> Result<Response, Problem> {
    let command = decode(kind, name, &asked.body)?;
    let id = kind.id_of(caller.tenant, &id).ok_or_else(|| no_id(kind.name, &id))?;
    carry_out(kind, name, &app, &caller, id, command, options, &asked).await
}

fn decode(kind: &Kind, name: &str, body: &Body) -> Result<AnyCommand, Problem> {
    AnyCommand::decode(kind.name, name, body.value.clone()).map_err(|error| match error.code {
        "unknown_name" => {
            let known = kind.commands.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("{} has no command {name}. There are: {known}.", kind.plural);
            Problem::missing("command_unknown", detail)
        }
        _ => Problem::undecodable(error),
    })
}

/// The record that a path names.
pub(super) fn id_of<A: Aggregate>(caller: &Caller, segment: &str) -> Result<Id, Problem> {
    A::id_of(caller.tenant, segment).ok_or_else(|| no_id(A::KIND, segment))
}

fn no_id(kind: &str, segment: &str) -> Problem {
    Problem::missing(format!("{kind}_unknown"), format!("{segment} is no id: an id is a ULID of 26 characters."))
}

/// Holds a client's command id while the command is carried out.
pub(super) struct InFlight<'a>(&'a App, Uuid);

impl<'a> InFlight<'a> {
    pub(super) fn enter(app: &'a App, order: &Order) -> Result<Option<InFlight<'a>>, Problem> {
        if !order.remember {
            return Ok(None);
        }
        if app.in_flight.lock().insert(order.command_id) {
            return Ok(Some(InFlight(app, order.command_id)));
        }
        let detail = "The first request with this Idempotency-Key is still being carried out. Try again.";
        Err(Problem::new(StatusCode::CONFLICT, "idempotency_key_in_flight", detail).retry_after(1))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.lock().remove(&self.1);
    }
}

#[allow(clippy::too_many_arguments, reason = "all of it is what one request says")]
async fn carry_out(
    kind: &Kind,
    name: &str,
    app: &App,
    caller: &Caller,
    id: Id,
    command: AnyCommand,
    options: Options,
    asked: &Asked,
) -> Result<Response, Problem> {
    let what = format!("{} {}", asked.method, asked.uri.path_and_query().map_or("", |path| path.as_str()));
    let mut order = request::order(app, &asked.headers, caller, id, &what, &asked.body.bytes)?;
    caller.must(&format!("{}.{name}", kind.name))?;
    for (place, permission) in command.requires() {
        caller.must(&permission).map_err(|problem| problem.at(place))?;
    }
    order.dry_run = options.dry_run;
    let _in_flight = InFlight::enter(app, &order)?;
    let accepted = app.commands.dispatch_any(&order, command).await?;
    let created = name == kind.create && !accepted.events.is_empty() && !order.dry_run;
    Ok(answer(&accepted, created.then(|| format!("/v1/{}/{}", kind.plural, accepted.id))))
}

/// The body of an accepted command.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    id: Id,
    version: i64,
    position: i64,
    events: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
}

impl<'a> From<&'a Accepted> for Answer<'a> {
    fn from(accepted: &'a Accepted) -> Answer<'a> {
        let events = accepted.events.iter();
        let events = events
            .map(|event| Written { kind: &event.kind, data: &event.data, stream: event.stream.as_deref() })
            .collect();
        Answer { id: accepted.id, version: accepted.version, position: accepted.position, events }
    }
}

/// 201 with the new record's place, or 200; with its version as ETag and the position reached.
pub(super) fn answer(accepted: &Accepted, location: Option<String>) -> Response {
    answer_with(accepted, location, Json(Answer::from(accepted)))
}

/// The same with another body.
pub(super) fn answer_with(accepted: &Accepted, location: Option<String>, body: impl IntoResponse) -> Response {
    let status = if location.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(POSITION, HeaderValue::from(accepted.position));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", accepted.version)) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    if accepted.repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}
