//! Forms that a browser sends without scripts: whoever is refused sees the page of the form again, with what is wrong.

use std::{collections::HashMap, net::SocketAddr};

use axum::{
    Form,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tower::ServiceExt;
use web::Refusal;

use super::routes;
use crate::{
    app::App,
    http::{kernel::request::too_large, org::sign_in::escaped},
};

/// Most of a problem that is read.
const PROBLEM: usize = 1024 * 1024;

/// Whether whoever asks wants to look at a page.
pub(in crate::http) fn looks(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|range| range.trim_start().starts_with("text/html"))
}

fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with(media_type))
}

/// Answers a browser that sent a plain form, or that a provider sent back, with a page where programs get a problem (RFC 9457).
pub(in crate::http) async fn refused(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_form = *request.method() == Method::POST && is(request.headers(), "application/x-www-form-urlencoded");
    let is_sent_back = request.uri().path().starts_with("/v1/sign_in/provider");
    if !looks(request.headers()) || !(is_form || is_sent_back) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let sent = to_bytes(body, app.config.body_limit).await.ok();
    let fields = fields(sent.clone().unwrap_or_default()).await;
    // Some pages lead elsewhere whoever is signed in already, others whoever is not: one of the last two is there for everybody.
    let places = [place(&parts.uri, &fields), "/".to_owned(), "/sign_in".to_owned()];
    let again: Vec<Request> = places.into_iter().filter_map(|place| again(&parts, place)).collect();
    let answer = match sent {
        Some(sent) => next.run(Request::from_parts(parts, Body::from(sent))).await,
        None => too_large().into_response(),
    };
    if !is(answer.headers(), "application/problem+json") || answer.status().is_success() {
        return answer;
    }
    let (head, body) = answer.into_parts();
    let said = to_bytes(body, PROBLEM).await.unwrap_or_default();
    let Some(refusal) = refusal(&said) else { return Response::from_parts(head, Body::from(said)) };
    for mut again in again {
        again.extensions_mut().insert(refusal.clone());
        let Ok(mut shown) = routes().into_router().with_state(app.clone()).oneshot(again).await;
        if is(shown.headers(), "text/html") {
            if shown.status() == StatusCode::OK {
                *shown.status_mut() = head.status;
            }
            for name in [header::SET_COOKIE, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
                let values = head.headers.get_all(&name).iter().cloned();
                values.for_each(|value| _ = shown.headers_mut().append(&name, value));
            }
            return shown;
        }
        // Whoever is not signed in any more is led to where one signs in, and back.
        if head.status == StatusCode::UNAUTHORIZED && shown.status().is_redirection() {
            return shown;
        }
    }
    Response::from_parts(head, Body::from(said))
}

/// The same browser that looks at a page.
fn again(parts: &Parts, place: String) -> Option<Request> {
    let mut again = Request::new(Body::empty());
    *again.uri_mut() = place.parse().ok()?;
    *again.headers_mut() = parts.headers.clone();
    again.headers_mut().remove(header::CONTENT_LENGTH);
    again.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        again.extensions_mut().insert(*peer);
    }
    Some(again)
}

/// What a form says.
async fn fields(sent: Bytes) -> HashMap<String, String> {
    let mut request = Request::new(Body::from(sent));
    *request.method_mut() = Method::POST;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    Form::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default()
}

/// The page of the form that was sent to this address.
fn place(sent_to: &Uri, fields: &HashMap<String, String>) -> String {
    let field = |name: &str| fields.get(name).map(|value| escaped(value)).unwrap_or_default();
    match sent_to.path() {
        "/v1/sign_in" => match fields.contains_key("tenant") {
            true => format!("/sign_in?next={}&tenant={}", field("next"), field("tenant")),
            false => format!("/sign_in?next={}", field("next")),
        },
        "/v1/sign_in/continue" => format!("/sign_in/continue?next={}", field("next")),
        "/v1/sign_in/forgotten" => "/sign_in/forgotten".to_owned(),
        "/v1/links/follow" => format!("/link/{}", field("link").rsplit('/').next().unwrap_or_default()),
        "/v1/me/enable_second_factor" | "/me/second_factor" => "/me/second_factor".to_owned(),
        "/v1/me/sign_out" => "/".to_owned(),
        "/preferences" => match fields.get("next").filter(|next| next.starts_with('/')) {
            Some(next) => next.clone(),
            None => "/sign_in".to_owned(),
        },
        path if path.starts_with("/v1/sign_in/") => "/sign_in".to_owned(),
        path if path.starts_with("/v1/users") => "/people".to_owned(),
        path if path.starts_with("/v1/roles") => "/roles".to_owned(),
        path if path.starts_with("/v1/tenants") => "/settings".to_owned(),
        _ => "/me".to_owned(),
    }
}

/// What a problem says is wrong.
fn refusal(said: &[u8]) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Fault {
        code: String,
    }
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: String,
        #[serde(default)]
        errors: Vec<Fault>,
    }
    let Problem { code, detail, errors } = serde_json::from_slice(said).ok()?;
    Some(Refusal { code, detail, fields: errors.into_iter().map(|fault| fault.code).collect() })
}
