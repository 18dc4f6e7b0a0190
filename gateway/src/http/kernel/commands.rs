//! Every command of the catalogue as an endpoint.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use domain::{
    Aggregate, Id,
    catalogue::{self, Kind},
    data::intake_source::IntakeSource,
    insight::view::View,
    kernel::{custom, record},
    org::field::Field,
};
use serde_json::Value;

use crate::http::{
    data::intake,
    insight::views,
    kernel::{
        faults,
        request::Body,
        routes::Routes,
        write::{Answer, Write, answer_with},
    },
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `POST /tickets`, `PUT /tickets/{id}`, `POST /tickets/{id}/{command}`, and `PATCH /tickets/{id}` where there is an edit.
pub(in crate::http) fn routes() -> Routes {
    catalogue::kinds().fold(Routes::new(), |mut routes, kind| {
        let record = format!("/{}/{{id}}", kind.plural);
        if kind.commands.contains(kind.create) {
            routes =
                routes.post(&format!("/{}", kind.plural), move |state, write, body| create(kind, state, write, body));
            routes = routes
                .put(&record, move |state, id, write, body| command_of(kind, kind.create, state, id, write, body));
        }
        if kind.commands.contains("edit") {
            routes =
                routes.patch(&record, move |state, id, write, body| command_of(kind, "edit", state, id, write, body));
        }
        // Of what is told by Deskfold alone nobody asks anything.
        if kind.commands.is_empty() {
            return routes;
        }
        routes.post(
            &format!("{record}/{{command}}"),
            move |state, path: Path<(String, String)>, write, body| async move {
                let Path((id, name)) = path;
                command_of(kind, &name, state, Path(id), write, body).await
            },
        )
    })
}

async fn create(kind: &'static Kind, State(app): State<App>, write: Write, body: Body) -> Result<Response, Problem> {
    carry_out(kind, kind.create, None, &app, &write, &body).await
}

async fn command_of(
    kind: &'static Kind,
    name: &str,
    State(app): State<App>,
    Path(id): Path<String>,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    if name == COPY && kind.copies() {
        return copy(kind, &app, &id, &write, &body).await;
    }
    carry_out(kind, name, Some(&id), &app, &write, &body).await
}

/// What a record is copied by: the body is a merge patch of what the copy is created with.
const COPY: &str = "copy";

/// Creates another record like this one, archived or not, and says of which it is a copy. What is
/// retired of custom fields is not copied. `If-Match` is about the record that is copied.
async fn copy(kind: &'static Kind, app: &App, segment: &str, write: &Write, body: &Body) -> Result<Response, Problem> {
    let caller = &write.caller;
    caller.must(&format!("{}.read", kind.name))?;
    let mut source = kind.id_of(caller.tenant, segment).ok_or_else(|| no_id(kind.name, segment))?;
    let mut state = app.commands.state(&kind.need(source), caller.tenant).await?;
    while let Some(survivor) = kind.merged_into(&state).filter(|survivor| *survivor != source) {
        source = survivor;
        state = app.commands.state(&kind.need(source), caller.tenant).await?;
    }
    let unknown = || {
        let called = kind.name.replace('_', " ");
        Problem::missing(format!("{}_unknown", kind.name), format!("There is no such {called}."))
    };
    app.must_show(caller, kind.name, source).await?;
    let mut copy = kind.copy(&state).ok_or_else(unknown)?;
    if catalogue::takes_custom_fields(kind.name) {
        let (fields, _) = app.commands.load::<Field>(caller.tenant, Field::id_for(caller.tenant, kind.name)).await?;
        if let Some(custom) = copy.get_mut("custom").and_then(Value::as_object_mut) {
            custom::copied(custom, &fields.definitions);
        }
        copy["copied_from"] = source.to_string().into();
    }
    record::merge(&mut copy, body.value.clone());
    let body = Body { value: copy, bytes: body.bytes.clone() };
    let stream = format!("{}-{source}", kind.name);
    let version = app.log.stream_version(&caller.tenant.to_string(), &stream).await?;
    carry_out(kind, kind.create, None, app, &write.of_copy(version)?, &body).await
}

/// The record that a path names.
pub(in crate::http) fn id_of<A: Aggregate>(caller: &Caller, segment: &str) -> Result<Id, Problem> {
    A::id_of(caller.tenant, segment).ok_or_else(|| no_id(A::KIND, segment))
}

fn no_id(kind: &str, segment: &str) -> Problem {
    Problem::missing(format!("{kind}_unknown"), format!("{segment} is no id: an id is a ULID of 26 characters."))
}

/// Says in a command's body which part of a stream the path names.
async fn name_part(
    kind: &'static Kind,
    app: &App,
    caller: &Caller,
    whole: Id,
    part: Id,
    body: &mut Value,
) -> Result<(), Problem> {
    let state = app.commands.state(&kind.need(whole), caller.tenant).await?;
    let missing = || {
        Problem::missing(format!("{}_unknown", kind.name), format!("There is no such {}.", kind.name.replace('_', " ")))
    };
    let named = kind.part(&state, whole, part).ok_or_else(missing)?;
    let Some(body) = body.as_object_mut() else { return Ok(()) };
    for (field, value) in named {
        if *body.entry(field.clone()).or_insert_with(|| value.clone()) != value {
            let detail = format!("The path names another {}: {field} is {value} there.", kind.name.replace('_', " "));
            return Err(Problem::invalid("body_invalid", detail).at(format!("/{field}")));
        }
    }
    Ok(())
}

/// Refuses a body that only what is read or brought in can refuse: a view that its list does not take, a mapping that says nothing.
pub(in crate::http) async fn must_fit(
    app: &App,
    caller: &Caller,
    kind: &Kind,
    name: &str,
    id: Option<Id>,
    said: &Value,
) -> Result<(), Problem> {
    if kind.name == View::KIND && (name == kind.create || name == "edit") {
        views::must_fit(app, caller, id, said).await?;
    }
    if kind.name == IntakeSource::KIND && (name == kind.create || name == "edit") {
        intake::must_fit(app, caller, id, said).await?;
    }
    Ok(())
}

/// Carries out the command that is called `name` for the record that a path names, or for a new one.
async fn carry_out(
    kind: &'static Kind,
    name: &str,
    segment: Option<&str>,
    app: &App,
    write: &Write,
    body: &Body,
) -> Result<Response, Problem> {
    if !kind.commands.contains(name) {
        let known = kind.commands.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let detail = format!("{} has no command {name}. There are: {known}.", kind.plural);
        return Err(Problem::missing("command_unknown", detail));
    }
    let caller = &write.caller;
    let id = match segment {
        Some(segment) => Some(kind.id_of(caller.tenant, segment).ok_or_else(|| no_id(kind.name, segment))?),
        None => None,
    };
    caller.must(&format!("{}.{name}", kind.name))?;
    if let Some(id) = id {
        app.must_offer(caller, kind.name, id).await?;
    }
    let mut said = Cow::Borrowed(&body.value);
    if let (Some(part), Some(id)) = (segment.and_then(|segment| segment.parse::<Id>().ok()), id)
        && part != id
        && name != kind.create
    {
        name_part(kind, app, caller, id, part, said.to_mut()).await?;
    }
    must_fit(app, caller, kind, name, id, &said).await?;
    let command = match commands::read(kind.name, name, &said) {
        Ok(command) => command,
        Err(undecoded) => {
            return Err(faults::of_command(app, write, kind, id.unwrap_or_else(|| app.new_id()), undecoded).await);
        }
    };
    let id = id.or_else(|| command.id_for_new(caller.tenant)).unwrap_or_else(|| app.new_id());
    let envelope = write.envelope(app, id, &body.bytes)?;
    let (known_as, deprecated) = (command.known_as(id), command.deprecated());
    let mut accepted = app.commands.dispatch_any(&envelope, kind, vec![command]).await?;
    if accepted.id == id {
        accepted.id = known_as;
    }
    let created = name == kind.create && !accepted.events.is_empty() && !write.dry_run;
    let body = Json(Answer::from(&accepted).telling(deprecated));
    Ok(answer_with(&accepted, created.then_some(kind.plural), body))
}
