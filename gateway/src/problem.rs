//! Errors as clients see them (RFC 9457); the only place that knows HTTP statuses.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use commands::Refused;
use domain::{
    Class, FieldError, Rejection,
    kernel::{named::Undecodable, reference::Subject},
};
use serde::Serialize;

tokio::task_local! {
    /// The request being answered, for its problems and log lines.
    pub(crate) static TRACE: String;
}

/// Where every code is explained, before the code itself.
pub(crate) const PROBLEMS: &str = "https://deskfold.dev/problems/";

/// A problem document, and the headers that go with it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: Cow<'static, str>,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The record that stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Box<Subject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem with this status and code.
    pub(crate) fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        let code = code.into();
        Problem {
            kind: format!("{PROBLEMS}{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            record: None,
            trace_id: TRACE.try_with(Clone::clone).ok(),
            retry_after: None,
        }
    }

    /// The status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its code, and what is said about it.
    pub(crate) fn told(&self) -> (String, String) {
        (self.code.clone().into_owned(), self.detail.clone())
    }

    /// The fields at fault.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// The same with the fields at fault.
    #[must_use]
    pub(crate) fn with(mut self, errors: Vec<FieldError>) -> Problem {
        self.errors = errors;
        self
    }

    /// The same, pointing at one field.
    #[must_use]
    pub(crate) fn at(self, pointer: impl Into<String>) -> Problem {
        let error = FieldError { pointer: pointer.into(), code: self.code.clone(), detail: self.detail.clone() };
        self.with(vec![error])
    }

    /// The same about a part of the body, which lies at this place.
    #[must_use]
    pub(crate) fn below(mut self, place: &str) -> Problem {
        self.errors.iter_mut().for_each(|error| error.pointer.insert_str(0, place));
        self
    }

    /// The same, telling when to come back, in seconds.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// A request that cannot be read.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// No valid key.
    pub(crate) fn unauthorized(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// The permission that the key lacks.
    pub(crate) fn forbidden(permission: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "permission_denied", format!("This needs the permission {permission}."))
    }

    /// No such thing.
    pub(crate) fn missing(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// Well-formed, but wrong.
    pub(crate) fn invalid(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// Not now.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    }

    /// The database is away.
    pub(crate) fn database_unavailable() -> Problem {
        let detail = "The database cannot be reached now. Try again; a command with the Idempotency-Key it had, since it may \
                      have been carried out.";
        Problem::unavailable("database_unavailable", detail)
    }

    /// There is no room to write.
    pub(crate) fn storage_full() -> Problem {
        let detail = "The database's disk is almost full: nothing is written until there is room. Reading goes on.";
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail).retry_after(10)
    }

    /// Something is broken: logged here, once, and told to the client without its inside.
    pub(crate) fn broken(error: &dyn std::fmt::Display) -> Problem {
        let trace = TRACE.try_with(Clone::clone).unwrap_or_default();
        tracing::error!(%error, trace_id = trace, "request failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something broke. The log knows the trace id.",
        )
    }

    /// A body that does not decode, with everything that is wrong with it.
    pub(crate) fn undecodable(faults: Vec<Undecodable>) -> Problem {
        let detail = match faults.first() {
            Some(first) if !first.pointer.is_empty() => format!("{}: {}", first.pointer, first.detail),
            first => first.map(|first| first.detail.clone()).unwrap_or_default(),
        };
        let error =
            |fault: Undecodable| FieldError { pointer: fault.pointer, code: fault.code.into(), detail: fault.detail };
        Problem::invalid("body_invalid", detail).with(faults.into_iter().map(error).collect())
    }

    /// Points elsewhere: a field that has another name in the body that was sent.
    pub(crate) fn renamed(&mut self, from: &str, to: &str) {
        self.errors.iter_mut().filter(|error| error.pointer == from).for_each(|error| error.pointer = to.to_owned());
    }

    /// Whether it is about places in the request, of which others may be at fault too.
    pub(crate) fn is_placed(&self) -> bool {
        self.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16() && !self.errors.is_empty()
    }

    /// The same with the fields at fault of another one.
    #[must_use]
    pub(crate) fn beside(self, other: Problem) -> Problem {
        self.and(other.errors)
    }

    /// The same with more fields at fault.
    #[must_use]
    pub(crate) fn and(mut self, more: Vec<FieldError>) -> Problem {
        self.errors.extend(more);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"deskfold\""));
        }
        response
    }
}

/// The status of a refusal of this class.
pub(crate) fn status_of(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Missing => StatusCode::NOT_FOUND,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::Conflict => StatusCode::CONFLICT,
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        let record = rejection.record;
        let problem = Problem::new(status_of(rejection.class), rejection.code, rejection.detail);
        Problem { record, ..problem.with(rejection.errors) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        match refused {
            Refused::Rejected(rejection) => rejection.into(),
            Refused::Stale { expected: None, .. } => {
                Problem::new(StatusCode::PRECONDITION_FAILED, "already_exists", "A record with this id exists already.")
            }
            Refused::Stale { expected: Some(expected), actual } => {
                let detail = format!("The record is at version {actual}, not {expected}. Read it again, then decide.");
                Problem::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", detail)
            }
            Refused::Absent => {
                Problem::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", "There is no such record yet.")
            }
            Refused::Reused => Problem::invalid(
                "idempotency_key_reused",
                "This Idempotency-Key was used for a different request. Use a new one.",
            ),
            Refused::Marked => Problem::new(StatusCode::CONFLICT, "done_before", "This has been done before."),
            Refused::Busy => Problem::unavailable("busy", "Too many others are changing this record. Try again."),
            Refused::Away(_) => Problem::database_unavailable(),
            Refused::Unavailable(error) => {
                tracing::warn!(error, "the log is not available");
                Problem::unavailable("log_unavailable", "The log cannot be reached now. Try again.")
            }
            Refused::StorageFull => Problem::storage_full(),
            Refused::Broken(error) => Problem::broken(&error),
        }
    }
}

impl From<eventstore::Lost> for Problem {
    // Whoever found out has said so in the log.
    fn from(_: eventstore::Lost) -> Problem {
        Problem::database_unavailable()
    }
}

impl From<eventstore::Error> for Problem {
    fn from(error: eventstore::Error) -> Problem {
        match error {
            eventstore::Error::Database(error)
                if eventstore::is_storage_full(&error) || eventstore::is_away(&error) =>
            {
                return error.into();
            }
            eventstore::Error::Lost(lost) => return lost.into(),
            _ => {}
        }
        tracing::warn!(%error, "the log is not available");
        Problem::unavailable("log_unavailable", "The log cannot be reached now. Try again.")
    }
}

impl From<projections::Error> for Problem {
    fn from(error: projections::Error) -> Problem {
        match error {
            projections::Error::Store(error) => error.into(),
            projections::Error::Log(error) => error.into(),
            error => Problem::broken(&error),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Problem {
        if eventstore::is_storage_full(&error) {
            tracing::error!(%error, "the database has no room left to write");
            return Problem::storage_full();
        }
        if eventstore::is_away(&error) {
            tracing::warn!(%error, "the database is not available");
            return Problem::database_unavailable();
        }
        Problem::broken(&error)
    }
}
