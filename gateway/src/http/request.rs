//! What requests have in common: bodies, query parameters, and the headers of commands and queries.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use commands::Order;
use domain::{Id, Time, Via};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{app::App, auth::Caller, problem::Problem};

/// The log's position that an answer reflects or has reached.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("deskfold-position");
/// The position that a query waits for.
const MIN_POSITION: &str = "deskfold-min-position";
/// Makes a command safe to retry (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// When something happened in the world, if not now.
const OCCURRED_AT: &str = "deskfold-occurred-at";
/// The permission to say so.
const BACKDATE: &str = "event.backdate";
/// Under which command ids are derived from Idempotency-Keys.
const NAMESPACE: Uuid = Uuid::from_u128(0x6465_736b_666f_6c64_0000_0000_0000_0001);

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
            Ok(value @ Value::Object(_)) => Ok(Body { value, bytes }),
            Ok(_) => Err(Problem::invalid("body_invalid", "The body is a JSON object.")),
            Err(error) => Err(Problem::bad_request("body_malformed", format!("The body is no JSON: {error}."))),
        }
    }
}

impl Body {
    /// The body as a typed value; errors point at the field.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Problem> {
        serde_path_to_error::deserialize(self.value).map_err(|error| {
            Problem::undecodable(domain::named::located(&error.path().to_string(), &error.inner().to_string()))
        })
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
            Problem::bad_request("parameter_invalid", reason)
        })
    }
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Problem::bad_request("header_invalid", format!("{name} is not plain text.")))
}

/// The command id and digest that a request's Idempotency-Key stands for.
pub(crate) fn idempotency(
    headers: &HeaderMap,
    caller: &Caller,
    what: &str,
    body: &[u8],
) -> Result<Option<(Uuid, i64)>, Problem> {
    let Some(key) = text(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    if key.is_empty() || key.len() > 255 {
        let detail = "An Idempotency-Key has 1 to 255 characters.";
        return Err(Problem::bad_request("idempotency_key_invalid", detail));
    }
    let id = Uuid::new_v5(&NAMESPACE, format!("{}/{}/{key}", caller.tenant, caller.key).as_bytes());
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(body).finalize();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    Ok(Some((id, i64::from_be_bytes(first))))
}

/// The order that a request's headers describe, for the record `id`; `what` is its method and path.
pub(crate) fn order(
    app: &App,
    headers: &HeaderMap,
    caller: &Caller,
    id: Id,
    what: &str,
    body: &[u8],
) -> Result<Order, Problem> {
    let mut order = Order::new(caller.tenant, id, caller.actor.clone(), Via::Api, app.now());
    if let Some((command_id, fingerprint)) = idempotency(headers, caller, what, body)? {
        order.command_id = command_id;
        order.fingerprint = fingerprint;
        order.remember = true;
    }
    order.expected = match text(headers, "if-match")? {
        None | Some("*") => None,
        Some(tag) => Some(tag.trim().trim_matches('"').parse().map_err(|_| {
            Problem::bad_request("if_match_invalid", "If-Match takes one ETag as this API gives it, such as \"7\".")
        })?),
    };
    order.must_be_new = text(headers, "if-none-match")? == Some("*");
    if let Some(at) = text(headers, OCCURRED_AT)? {
        caller.must(BACKDATE)?;
        let invalid = || {
            Problem::bad_request(
                "occurred_at_invalid",
                "Deskfold-Occurred-At is an RFC 3339 instant, not in the future.",
            )
        };
        let at: Time = at.parse().map_err(|_| invalid())?;
        if at > order.now {
            return Err(invalid());
        }
        order.occurred_at = Some(at);
    }
    Ok(order)
}

/// The position that a query waits for: a header, or a parameter.
pub(crate) fn min_position(headers: &HeaderMap, parameter: Option<i64>) -> Result<Option<i64>, Problem> {
    match text(headers, MIN_POSITION)? {
        None => Ok(parameter),
        Some(value) => value.parse().map(Some).map_err(|_| {
            Problem::bad_request("min_position_invalid", "Deskfold-Min-Position is a position in the log.")
        }),
    }
}

/// Waits until a read model has reached the position that a query asks for.
pub(crate) async fn reach(app: &App, read_model: &str, position: Option<i64>) -> Result<(), Problem> {
    let Some(position) = position else { return Ok(()) };
    let limit: Duration = app.config.read_wait;
    if app.read_models.wait(read_model, position, limit).await? {
        return Ok(());
    }
    let detail = format!("{read_model} has not reached position {position} yet. Try again.");
    Err(Problem::unavailable("position_not_reached", detail))
}
