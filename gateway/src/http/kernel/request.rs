//! What requests have in common: bodies, query parameters, and the headers of commands and queries.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header, request::Parts},
};
use domain::{
    FieldError, Id,
    kernel::named::{self, Undecodable, located},
};
use projections::List;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{app::App, problem::Problem};

/// The log's position that an answer reflects or has reached.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("deskfold-position");
/// The position that a query waits for.
const MIN_POSITION: &str = "deskfold-min-position";
/// A JSON object; an empty body is an empty one.
pub(crate) struct Body {
    pub(crate) value: Value,
    /// The bytes as they came, for the digest.
    pub(crate) bytes: Bytes,
}

/// A body of which there is too much.
pub(in crate::http) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than this server takes.")
}

/// Why a body cannot be taken in.
fn not_received(status: StatusCode, detail: String) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::bad_request("body_unreadable", detail),
    }
}

/// The body as it came, whatever it is.
pub(crate) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|error| not_received(error.status(), error.body_text()))
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let json = kind.is_empty() || kind.starts_with("application/json") || kind.contains("+json");
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() {
            return Ok(Body { value: Value::Object(Map::new()), bytes });
        }
        if !json {
            let detail = "Send JSON: Content-Type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail));
        }
        match serde_json::from_slice(&bytes) {
            Ok(mut value @ Value::Object(_)) => {
                if let Some(place) = domain::kernel::text::nul_at(&value) {
                    return Err(Problem::invalid("text_invalid", "A text holds the character U+0000.").at(place));
                }
                // Whatever comes in is kept composed: `é` is one letter, however it was typed.
                domain::kernel::text::compose(&mut value);
                Ok(Body { value, bytes })
            }
            Ok(_) => Err(Problem::invalid("body_invalid", "The body is a JSON object.")),
            Err(error) => Err(Problem::bad_request("body_malformed", format!("The body is no JSON: {error}."))),
        }
    }
}

impl Body {
    /// The body as a typed value; errors point at the fields. `like` is a body that would do.
    pub(crate) fn read<T: DeserializeOwned>(self, like: &Value) -> Result<T, Problem> {
        let Given { asked, faults } = self.query(like)?;
        faults.done()?;
        Ok(asked)
    }

    /// The same, when more of it is to be checked.
    pub(crate) fn query<T: DeserializeOwned>(self, like: &Value) -> Result<Given<T>, Problem> {
        let decode = named::read::<T>;
        let (found, asked) = match decode(self.value.clone()) {
            Ok(asked) => (Vec::new(), Some(asked)),
            Err(_) => named::faults(&self.value, like, decode),
        };
        let mut faults = Faults::default();
        if !found.is_empty() {
            faults.check::<()>(Err(Problem::undecodable(found)))?;
        }
        match asked {
            Some(asked) => Ok(Given { asked, faults }),
            None => Err(faults.0.unwrap_or_else(|| Problem::invalid("body_invalid", "The body cannot be read."))),
        }
    }
}

/// What is said in JSON, or as a plain form of HTML says it.
pub(crate) struct Filled {
    pub(crate) body: Body,
    /// Whether it is a form: whoever sent it waits for a page.
    pub(crate) is_form: bool,
}

impl<S: Send + Sync> FromRequest<S> for Filled {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Filled, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Ok(Filled { body: Body::from_request(request, state).await?, is_form: false });
        }
        let fields = axum::Form::<Vec<(String, String)>>::from_request(request, state).await;
        let fields = fields.map_err(|error| not_received(error.status(), error.body_text()))?;
        // What was left empty was not filled in.
        let filled = fields.0.into_iter().filter(|(_, value)| !value.is_empty());
        let value = Value::Object(filled.map(|(name, value)| (name, Value::String(value))).collect());
        Ok(Filled { body: Body { value, bytes: Bytes::new() }, is_form: true })
    }
}

/// Given parameters; whatever is wrong with them is told at once.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        let Given { asked, faults } = Given::read(&parts.uri)?;
        faults.done()?;
        Ok(Params(asked))
    }
}

/// Given parameters of which more is to be checked than that they can be read: where some cannot, the rest is checked
/// all the same.
pub(crate) struct Given<T> {
    /// What is asked, without what cannot be read.
    pub(crate) asked: T,
    /// What cannot be read.
    pub(crate) faults: Faults,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Given<T>, Problem> {
        Given::read(&parts.uri)
    }
}

/// What is wrong with a request, as far as it has been looked at. The first fault decides status, code and detail.
#[derive(Default)]
pub(crate) struct Faults(Option<Problem>);

impl Faults {
    /// Takes the outcome of a check in; its value, if it passed. A problem that is about no place in the request ends all.
    pub(crate) fn check<T>(&mut self, outcome: Result<T, Problem>) -> Result<Option<T>, Problem> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(problem) if problem.is_placed() => {
                self.0 = Some(match self.0.take() {
                    Some(first) => first.beside(problem),
                    None => problem,
                });
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Refuses if anything was found.
    pub(crate) fn done(self) -> Result<(), Problem> {
        self.0.map_or(Ok(()), Err)
    }
}

impl<T: DeserializeOwned> Given<T> {
    /// Reads them as often as something is at fault, each time without that.
    fn read(uri: &Uri) -> Result<Given<T>, Problem> {
        let query = uri.query().unwrap_or_default();
        let mut parts: Vec<String> = query.split('&').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
        let mut found: Vec<Undecodable> = Vec::new();
        let mut missing = BTreeSet::new();
        loop {
            let fault = match decoded(&parts.join("&")) {
                Ok(asked) => {
                    let mut faults = Faults::default();
                    if !found.is_empty() {
                        faults.check::<()>(Err(unreadable(found)))?;
                    }
                    return Ok(Given { asked, faults });
                }
                Err(fault) => fault,
            };
            let name = fault.pointer.trim_start_matches('/').to_owned();
            let before = parts.len();
            match fault.code {
                "required" if missing.insert(name.clone()) => {
                    // Only ids are ever required: this one stands in.
                    parts.push(format!("{name}={}", Id::NIL));
                }
                "twice" => {
                    let mut seen = false;
                    parts.retain(|part| name_of(part) != name || !std::mem::replace(&mut seen, true));
                }
                _ => parts.retain(|part| name_of(part) != name),
            }
            if !found.iter().any(|known| known.pointer == fault.pointer) {
                found.push(fault);
            }
            if parts.len() == before {
                return Err(unreadable(found));
            }
        }
    }
}

/// The problem of query parameters that cannot be read.
fn unreadable(found: Vec<Undecodable>) -> Problem {
    let detail = found.first().map(|first| first.detail.clone()).unwrap_or_default();
    let error = |fault: Undecodable| FieldError {
        pointer: fault.pointer,
        code: PARAMETER_INVALID.into(),
        detail: fault.detail,
    };
    Problem::invalid(PARAMETER_INVALID, detail).with(found.into_iter().map(error).collect())
}

/// The name of one query parameter.
fn name_of(part: &str) -> String {
    decoded::<Vec<(String, String)>>(part).ok().and_then(|pairs| pairs.into_iter().next()).unwrap_or_default().0
}

/// A query as a typed value, or its first fault.
fn decoded<T: DeserializeOwned>(query: &str) -> Result<T, Undecodable> {
    let unreadable =
        || Undecodable { pointer: String::new(), code: "invalid", detail: "The query cannot be read.".into() };
    let uri: Uri = format!("/?{query}").parse().map_err(|_| unreadable())?;
    axum::extract::Query::<T>::try_from_uri(&uri).map(|query| query.0).map_err(|error| {
        let text = error.body_text();
        let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
        // A value that does not fit is told behind its name.
        let (name, reason) = match reason.split_once(": ") {
            Some((name, reason)) if !name.contains([' ', '`']) => (name, reason),
            _ => (".", reason),
        };
        if let Some(name) = reason.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next()) {
            let detail = format!("{name} is given twice.");
            return Undecodable { pointer: format!("/{name}"), code: "twice", detail };
        }
        let found = located(name, reason);
        let name = found.pointer.trim_start_matches('/');
        let detail = match found.code {
            "invalid" if !name.is_empty() => format!("{name}: {}", found.detail),
            _ => found.detail.replacen("field", "parameter", 1),
        };
        Undecodable { detail, ..found }
    })
}

/// No query parameters: any is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The code of query parameters that cannot be read.
const PARAMETER_INVALID: &str = "parameter_invalid";

/// A query parameter that is unknown or has a value that does not fit; `pointer` is `/` and its name.
pub(crate) fn parameter_invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(PARAMETER_INVALID, detail).at(pointer)
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Problem::bad_request("header_invalid", format!("{name} is not plain text.")))
}

/// The position that a query waits for: a header, or a parameter. One that the log has not come to is refused: no waiting
/// would bring it about.
pub(crate) async fn min_position(
    app: &App,
    headers: &HeaderMap,
    parameter: Option<i64>,
) -> Result<Option<i64>, Problem> {
    let wanted = match text(headers, MIN_POSITION)? {
        None => parameter,
        Some(value) => Some(value.parse().map_err(|_| {
            Problem::bad_request("min_position_invalid", "Deskfold-Min-Position is a position in the log.")
        })?),
    };
    let place = if headers.contains_key(MIN_POSITION) { "" } else { "/min_position" };
    if let Some(position) = wanted {
        must_exist(app, position, place).await?;
    }
    Ok(wanted)
}

/// Refuses a position that the log has not come to. What this process knows of the log may be behind: the database says.
pub(crate) async fn must_exist(app: &App, position: i64, place: &str) -> Result<(), Problem> {
    if position <= *app.log.tail().watch().borrow() {
        return Ok(());
    }
    let head = app.log.head().await?;
    if position <= head {
        return Ok(());
    }
    let detail = format!("The log ends at position {head}; there is no position {position} yet.");
    let problem = Problem::invalid("position_ahead", detail);
    Err(if place.is_empty() { problem } else { problem.at(place) })
}

/// Waits until a read model can be read and has reached the position that a query asks for, if it asks for one.
pub(crate) async fn reach(app: &App, read_model: &str, position: Option<i64>) -> Result<(), Problem> {
    let (limit, models): (Duration, _) = (app.config.read_wait, &app.reads().models);
    let wanted = position.unwrap_or(0);
    if models.wait(read_model, wanted, limit).await? {
        return Ok(());
    }
    if !models.serves(read_model).await? {
        let detail = format!("{read_model} is being filled from the log for this version of Deskfold. Try again.");
        return Err(Problem::unavailable("read_model_building", detail));
    }
    let detail = format!("{read_model} has not reached position {wanted} yet. Try again.");
    Err(Problem::unavailable("position_not_reached", detail))
}

/// Waits until every read model that a list is made of can be read: after an upgrade some are being filled.
pub(crate) async fn can_be_read(list: &'static List, app: &App) -> Result<(), Problem> {
    if app.reads().models.all_serve() {
        return Ok(());
    }
    for name in projections::needs(list).iter() {
        reach(app, name, None).await?;
    }
    Ok(())
}
