//! Every command of the catalogue as an endpoint.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use commands::{Accepted, Order};
use domain::{Aggregate, Id, catalogue, named::Named};
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
    struct Mount(Routes);
    impl catalogue::Visitor for Mount {
        fn visit<A: Aggregate>(&mut self) {
            let mut routes = std::mem::take(&mut self.0);
            let record = format!("/{}/{{id}}", A::PLURAL);
            if !A::INTERNAL.contains(&A::CREATE) {
                routes = routes.post(&format!("/{}", A::PLURAL), create::<A>);
                routes = routes.put(&record, create_at::<A>);
            }
            if commands_of::<A>().iter().any(|name| name == "edit") {
                routes = routes.patch(&record, edit::<A>);
            }
            self.0 = routes.post(&format!("{record}/{{command}}"), run::<A>);
        }
    }
    let mut mount = Mount(Routes::new());
    catalogue::visit_all(&mut mount);
    mount.0
}

/// The names of the commands that are mounted for a kind.
pub(super) fn commands_of<A: Aggregate>() -> Vec<String> {
    let commands = A::commands(&mut schemars::SchemaGenerator::default());
    commands.into_iter().map(|command| command.name).filter(|name| !A::INTERNAL.contains(&name.as_str())).collect()
}

/// Parameters of a command.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Say what would be written, and write nothing.
    dry_run: bool,
}

async fn create<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Params(options): Params<Options>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let command = decode::<A>(A::CREATE, &body)?;
    let id = A::id_for_new(caller.tenant, &command).unwrap_or_else(|| app.new_id());
    let order = request::order(&app, &headers, &caller, id, &what(&Method::POST, &uri), &body.bytes)?;
    carry_out::<A>(&app, &caller, order, A::CREATE, command, options).await
}

async fn create_at<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let command = decode::<A>(A::CREATE, &body)?;
    let order =
        request::order(&app, &headers, &caller, id_of::<A>(&caller, &id)?, &what(&Method::PUT, &uri), &body.bytes)?;
    carry_out::<A>(&app, &caller, order, A::CREATE, command, options).await
}

async fn edit<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let command = decode::<A>("edit", &body)?;
    let order =
        request::order(&app, &headers, &caller, id_of::<A>(&caller, &id)?, &what(&Method::PATCH, &uri), &body.bytes)?;
    carry_out::<A>(&app, &caller, order, "edit", command, options).await
}

async fn run<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    Params(options): Params<Options>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if A::INTERNAL.contains(&name.as_str()) {
        return Err(unknown_command::<A>(&name));
    }
    let command = decode::<A>(&name, &body)?;
    let order =
        request::order(&app, &headers, &caller, id_of::<A>(&caller, &id)?, &what(&Method::POST, &uri), &body.bytes)?;
    carry_out::<A>(&app, &caller, order, &name, command, options).await
}

fn what(method: &Method, uri: &Uri) -> String {
    format!("{method} {}", uri.path_and_query().map_or("", |path| path.as_str()))
}

fn decode<A: Aggregate>(name: &str, body: &Body) -> Result<A::Command, Problem> {
    A::Command::from_value(name, body.value.clone()).map_err(|error| match error.code {
        "unknown_name" => unknown_command::<A>(name),
        _ => Problem::undecodable(error),
    })
}

fn unknown_command<A: Aggregate>(name: &str) -> Problem {
    let known = commands_of::<A>().join(", ");
    Problem::missing("command_unknown", format!("{} has no command {name}. There are: {known}.", A::PLURAL))
}

/// The record that a path names.
pub(super) fn id_of<A: Aggregate>(caller: &Caller, segment: &str) -> Result<Id, Problem> {
    A::id_of(caller.tenant, segment).ok_or_else(|| {
        let kind = A::KIND;
        Problem::missing(format!("{kind}_unknown"), format!("{segment} is no id: an id is a ULID of 26 characters."))
    })
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

async fn carry_out<A: Aggregate>(
    app: &App,
    caller: &Caller,
    mut order: Order,
    name: &str,
    command: A::Command,
    options: Options,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.{name}", A::KIND))?;
    for (place, permission) in A::requires(&command) {
        caller.must(&permission).map_err(|problem| problem.at(place))?;
    }
    order.dry_run = options.dry_run;
    let _in_flight = InFlight::enter(app, &order)?;
    let accepted = app.commands.dispatch::<A>(&order, command).await?;
    let created = name == A::CREATE && !accepted.events.is_empty() && !order.dry_run;
    Ok(answer(&accepted, created.then(|| format!("/v1/{}/{}", A::PLURAL, accepted.id))))
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
