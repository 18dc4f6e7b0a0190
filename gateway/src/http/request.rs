//! What requests have in common: bodies, query parameters, and the headers of commands and queries.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use domain::named::{faults, located};
use projections::Listed;
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

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let json = kind.is_empty() || kind.starts_with("application/json") || kind.contains("+json");
        let bytes = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is larger than this server takes.",
            ),
            _ => Problem::bad_request("body_unreadable", error.body_text()),
        })?;
        if bytes.is_empty() {
            return Ok(Body { value: Value::Object(Map::new()), bytes });
        }
        if !json {
            let detail = "Send JSON: Content-Type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail));
        }
        match serde_json::from_slice(&bytes) {
            Ok(mut value @ Value::Object(_)) => {
                // Whatever comes in is kept composed: `é` is one letter, however it was typed.
                domain::text::compose(&mut value);
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
        let decode = |value: Value| {
            serde_path_to_error::deserialize::<_, T>(value)
                .map_err(|error| located(&error.path().to_string(), &error.inner().to_string()))
        };
        decode(self.value.clone()).map_err(|_| Problem::undecodable(faults(&self.value, like, decode).0))
    }
}

/// Query parameters; an unknown one is an error that names it.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|query| Params(query.0)).map_err(|error| {
            let text = error.body_text();
            let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
            // A value that does not fit is told behind its name.
            let (name, reason) = match reason.split_once(": ") {
                Some((name, reason)) if !name.contains([' ', '`']) => (name, reason),
                _ => (".", reason),
            };
            let found = located(name, reason);
            let name = found.pointer.trim_start_matches('/');
            let detail = match found.code {
                "invalid" if !name.is_empty() => format!("{name}: {}", found.detail),
                _ => found.detail.replacen("field", "parameter", 1),
            };
            parameter_invalid(&found.pointer, detail)
        })
    }
}

/// No query parameters: any is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A query parameter that is unknown or has a value that does not fit; `pointer` is `/` and its name.
pub(crate) fn parameter_invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid("parameter_invalid", detail).at(pointer)
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
    let limit: Duration = app.config.read_wait;
    let wanted = position.unwrap_or(0);
    if app.read_models.wait(read_model, wanted, limit).await? {
        return Ok(());
    }
    if !app.read_models.serves(read_model).await? {
        let detail = format!("{read_model} is being filled from the log for this version of Deskfold. Try again.");
        return Err(Problem::unavailable("read_model_building", detail));
    }
    let detail = format!("{read_model} has not reached position {wanted} yet. Try again.");
    Err(Problem::unavailable("position_not_reached", detail))
}

/// Waits until every read model that a list is made of can be read: after an upgrade some are being filled.
pub(crate) async fn can_be_read<M: Listed>(app: &App) -> Result<(), Problem> {
    if app.read_models.all_serve() {
        return Ok(());
    }
    for name in projections::needs::<M>() {
        reach(app, name, None).await?;
    }
    Ok(())
}
