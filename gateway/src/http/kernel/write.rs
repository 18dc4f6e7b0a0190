//! What a write says besides its command, the same on every route: who asks, whether it is only rehearsed, under which
//! conditions, and that it is carried out once.

use std::{borrow::Cow, ops::Deref};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use commands::{Accepted, Envelope, Refused};
use domain::{
    Authority, Id, Time, Via, catalogue,
    kernel::{aggregate::Deprecated, reference::Redirected},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::http::kernel::request::{POSITION, Params, text};
use crate::{
    app::App,
    auth::{Caller, SYSTEM},
    problem::Problem,
};

/// Makes a command safe to retry (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// When something happened in the world, if not now.
const OCCURRED_AT: &str = "deskfold-occurred-at";
/// The permission to say so.
const BACKDATE: &str = "event.backdate";
/// Under which command ids are derived from Idempotency-Keys.
const NAMESPACE: Uuid = Uuid::from_u128(0x6465_736b_666f_6c64_0000_0000_0000_0001);

/// Parameters of a write.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Options {
    /// Say what would be written, and write nothing.
    dry_run: bool,
}

/// Which version of a record a write is meant for.
enum Tag {
    Any,
    Version(i64),
}

/// A write as it was sent, without its body.
pub(in crate::http) struct Write {
    pub(in crate::http) caller: Caller,
    pub(in crate::http) dry_run: bool,
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl FromRequestParts<App> for Write {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Write, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(Options { dry_run }) = Params::from_request_parts(parts, app).await?;
        Ok(Write::of(parts, caller, dry_run))
    }
}

impl Write {
    /// One whose parameters have been read.
    pub(in crate::http) fn of(parts: &Parts, caller: Caller, dry_run: bool) -> Write {
        let (method, path, headers) = (parts.method.clone(), parts.uri.path().to_owned(), parts.headers.clone());
        Write { caller, dry_run, method, path, headers }
    }

    /// The same for a copy of a record at this version, to which its `If-Match` belongs.
    pub(in crate::http) fn of_copy(&self, version: i64) -> Result<Write, Problem> {
        if let Some(Tag::Version(expected)) = self.if_match()?
            && expected != version
        {
            return Err(Refused::Stale { expected: Some(expected), actual: version }.into());
        }
        let (mut headers, caller) = (self.headers.clone(), self.caller.clone());
        headers.remove("if-match");
        Ok(Write { caller, dry_run: self.dry_run, method: self.method.clone(), path: self.path.clone(), headers })
    }

    /// What `If-Match` says.
    fn if_match(&self) -> Result<Option<Tag>, Problem> {
        let invalid = || {
            let detail = "If-Match takes one ETag as this API gives it, such as \"7\", or *.";
            Problem::bad_request("if_match_invalid", detail)
        };
        Ok(match text(&self.headers, "if-match")? {
            None => None,
            Some("*") => Some(Tag::Any),
            Some(tag) => Some(Tag::Version(tag.trim().trim_matches('"').parse().map_err(|_| invalid())?)),
        })
    }

    /// The order that it gives for the record `id`; nobody carries out another one with its Idempotency-Key until this one
    /// is dropped. `body` is what the key stands for besides method and path.
    pub(in crate::http) fn envelope<'a>(&self, app: &'a App, id: Id, body: &[u8]) -> Result<Turn<'a>, Problem> {
        let mut envelope = Envelope::new(self.caller.tenant, id, self.caller.actor.clone(), Via::Api, app.now());
        envelope.authority = self.caller.authority.clone();
        envelope.dry_run = self.dry_run;
        let key = self.idempotency(body)?;
        // A rehearsal leaves the key to the request that is meant.
        if let Some((command_id, fingerprint)) = key.filter(|_| !self.dry_run) {
            envelope.command_id = command_id;
            envelope.fingerprint = fingerprint;
            envelope.remember = true;
        }
        match self.if_match()? {
            None => {}
            Some(Tag::Any) => envelope.must_exist = true,
            Some(Tag::Version(version)) => envelope.expected = Some(version),
        }
        match text(&self.headers, "if-none-match")? {
            None => {}
            Some("*") => envelope.must_be_new = true,
            Some(_) => {
                return Err(Problem::bad_request("if_none_match_invalid", "If-None-Match takes * on a write."));
            }
        }
        if let Some(at) = text(&self.headers, OCCURRED_AT)? {
            self.caller.must(BACKDATE)?;
            let invalid = || {
                let detail = "Deskfold-Occurred-At is an RFC 3339 instant, not in the future.";
                Problem::bad_request("occurred_at_invalid", detail)
            };
            let at: Time = at.parse().map_err(|_| invalid())?;
            if at > envelope.now {
                return Err(invalid());
            }
            envelope.occurred_at = Some(at);
        }
        let in_flight = InFlight::enter(app, &envelope)?;
        Ok(Turn { envelope, _in_flight: in_flight })
    }

    /// What the client calls what it sends, if it says so.
    pub(in crate::http) fn own_key(&self) -> Result<Option<&str>, Problem> {
        text(&self.headers, IDEMPOTENCY_KEY)
    }

    /// The command id and digest that the request's Idempotency-Key stands for.
    fn idempotency(&self, body: &[u8]) -> Result<Option<(Uuid, i64)>, Problem> {
        let Some(key) = text(&self.headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
        if key.is_empty() || key.len() > 255 {
            let detail = "An Idempotency-Key has 1 to 255 characters.";
            return Err(Problem::bad_request("idempotency_key_invalid", detail));
        }
        let id = Uuid::new_v5(&NAMESPACE, format!("{}/{}/{key}", self.caller.tenant, self.caller.pass.id()).as_bytes());
        let what = format!("{} {}", self.method, self.path);
        let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(body).finalize();
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        Ok(Some((id, i64::from_be_bytes(first))))
    }
}

/// An order whose turn it is.
pub(in crate::http) struct Turn<'a> {
    envelope: Envelope,
    _in_flight: Option<InFlight<'a>>,
}

impl Deref for Turn<'_> {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

impl Turn<'_> {
    /// The same for another record.
    pub(in crate::http) fn about(&mut self, id: Id) -> &Envelope {
        self.envelope.id = id;
        &self.envelope
    }

    /// The same for another tenant as a record of itself.
    pub(in crate::http) fn for_tenant(&mut self, tenant: Id) -> &Envelope {
        if tenant != self.envelope.tenant {
            // There nobody of this one is known.
            self.by_deskfold();
        }
        (self.envelope.tenant, self.envelope.id) = (tenant, tenant);
        &self.envelope
    }

    /// Deskfold itself asks.
    pub(in crate::http) fn by_deskfold(&mut self) {
        self.envelope.actor = SYSTEM;
        self.envelope.authority = Authority::full();
    }

    /// The same, as another system tells it.
    pub(in crate::http) fn told_from_outside(mut self) -> Self {
        self.envelope.from_outside = true;
        self
    }

    /// The same through another channel.
    pub(in crate::http) fn through(mut self, via: Via) -> Self {
        self.envelope.via = via;
        self
    }
}

/// Holds a client's command id while the command is carried out.
struct InFlight<'a>(&'a App, Uuid);

impl<'a> InFlight<'a> {
    fn enter(app: &'a App, envelope: &Envelope) -> Result<Option<InFlight<'a>>, Problem> {
        if !envelope.remember {
            return Ok(None);
        }
        if app.in_flight.lock().insert(envelope.command_id) {
            return Ok(Some(InFlight(app, envelope.command_id)));
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

/// The body of an accepted command.
#[derive(Serialize)]
pub(in crate::http) struct Answer<'a> {
    id: Id,
    version: i64,
    position: i64,
    events: Vec<Written<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    redirected: &'a [Redirected],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deprecated: Vec<Deprecated>,
}

impl Answer<'_> {
    /// The same with the names in the request that are called otherwise now.
    pub(in crate::http) fn telling(self, deprecated: Vec<Deprecated>) -> Self {
        Self { deprecated, ..self }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
}

impl<'a> From<&'a Accepted> for Answer<'a> {
    fn from(accepted: &'a Accepted) -> Answer<'a> {
        let events = accepted.events.iter();
        let events = events
            .map(|event| Written {
                kind: &event.kind,
                data: catalogue::told(&event.kind, &event.data),
                stream: event.stream.as_deref(),
            })
            .collect();
        let Accepted { id, version, position, redirected, .. } = accepted;
        Answer { id: *id, version: *version, position: *position, events, redirected, deprecated: Vec::new() }
    }
}

/// Whether the record came into being by this command: all its events are the ones written. A rehearsal creates nothing.
pub(in crate::http) fn is_new(accepted: &Accepted) -> bool {
    let own = accepted.events.iter().filter(|event| event.stream.is_none()).count();
    own > 0 && i64::try_from(own) == Ok(accepted.version + 1)
}

/// 201 with the place of what was created, in this collection, or 200; with its version as ETag and the position reached.
pub(in crate::http) fn answer(accepted: &Accepted, created_in: Option<&str>) -> Response {
    answer_with(accepted, created_in, Json(Answer::from(accepted)))
}

/// The same with another body.
pub(in crate::http) fn answer_with(accepted: &Accepted, created_in: Option<&str>, body: impl IntoResponse) -> Response {
    let location = created_in.map(|plural| format!("/v1/{plural}/{}", accepted.id));
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
