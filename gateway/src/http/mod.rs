//! The HTTP API: its routes, and what happens to every request on its way.

mod chat;
mod crm;
mod data;
mod desk;
mod insight;
mod kernel;
pub mod openapi;
mod org;
mod pages;
mod work;

use std::{any::Any, time::Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use domain::catalogue;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate},
    },
};
use uuid::Uuid;

pub use self::kernel::routes::Route;
use self::kernel::routes::Routes;
pub(crate) use self::{kernel::rows::row_folds, work::webhooks::look};
use crate::{
    app::App,
    auth::Caller,
    problem::{Problem, TRACE},
    sign_in::Browser,
};

/// Names a request in answers and log lines.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every route, with what happens to every request.
pub(crate) fn router(app: App) -> Router {
    let limit = app.config.body_limit;
    let keyed = |router: Router<App>| router.route_layer(middleware::from_fn_with_state(app.clone(), limited));
    let present = |router: Router<App>| router.route_layer(middleware::from_fn_with_state(app.clone(), guarded));
    let visited =
        |router: Router<App>| router.route_layer(middleware::from_fn_with_state(app.clone(), chat::visitors::allowed));
    mount(keyed, present, visited)
        .merge(pages::routes().layered(present))
        .into_router()
        .merge(pages::assets())
        .merge(chat::visitors::pages())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), pages::refused))
        .layer(DefaultBodyLimit::max(limit))
        .layer(CompressionLayer::new().compress_when(worth_compressing()))
        .layer(middleware::from_fn(without_nul))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), observed))
        .with_state(app)
}

/// Whatever is not small, a stream of events, or compressed as it is.
fn worth_compressing() -> impl Predicate {
    DefaultPredicate::new()
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::const_new(kernel::parquet::MEDIA_TYPE))
}

/// Refuses paths with the character U+0000, which no database keeps.
async fn without_nul(request: Request, next: Next) -> Result<Response, Problem> {
    // What stands in the query is told by whoever reads it, at its place.
    if request.uri().path().contains("%00") {
        return Err(Problem::invalid("text_invalid", "The address holds the character U+0000."));
    }
    Ok(next.run(request).await)
}

/// What is answered to those who watch over this process.
pub(crate) fn health_router(app: App) -> Router {
    watched()
        .into_router()
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), observed))
        .with_state(app)
}

fn watched() -> Routes {
    Routes::new()
        .get("/healthz", kernel::health::alive)
        .get("/readyz", kernel::health::ready)
        .get("/metrics", kernel::health::metrics)
}

/// Everything that is answered; `keyed` guards what needs a key or a session, `present` what needs the database alone, `visited` what
/// pages of others ask.
fn mount(
    keyed: impl FnOnce(Router<App>) -> Router<App>,
    present: impl Fn(Router<App>) -> Router<App>,
    visited: impl FnOnce(Router<App>) -> Router<App>,
) -> Routes {
    let api = Routes::new()
        .merge(kernel::commands::routes())
        .merge(kernel::lists::routes())
        .merge(kernel::exports::routes())
        .merge(kernel::events::routes())
        .merge(kernel::stream::routes())
        .merge(kernel::walls::routes())
        .merge(org::keys::routes())
        .merge(org::tenants::routes())
        .merge(org::settings::routes())
        .merge(org::me::routes())
        .merge(org::links::routes())
        .merge(org::hosts::routes())
        .merge(org::providers::routes())
        .merge(org::pictures::routes())
        .merge(org::uploads::routes())
        .merge(org::plan::routes())
        .merge(desk::tickets::routes())
        .merge(chat::channels::routes())
        .merge(chat::chatbots::routes())
        .merge(chat::conversations::routes())
        .merge(chat::emails::routes())
        .merge(chat::messengers::routes())
        .merge(chat::inbox::routes())
        .merge(work::rules::routes())
        .merge(work::webhooks::routes())
        .merge(work::notifications::routes())
        .merge(org::holdings::routes())
        .merge(crm::callers::routes())
        .merge(crm::feeds::routes())
        .merge(work::explained::routes())
        .merge(data::external::routes())
        .merge(data::imports::routes())
        .merge(data::intake::routes())
        .merge(data::bulk::routes())
        .merge(data::archive::routes())
        .merge(data::previews::routes())
        .merge(insight::dashboards::routes())
        .merge(insight::reports::routes())
        .merge(insight::changes::routes())
        .merge(insight::views::routes())
        .merge(insight::search::routes())
        .layered(keyed);
    let anybody = openapi::routes().merge(org::sign_in::routes().merge(insight::dashboards::open()).layered(&present));
    let files = org::uploads::signed_routes().merge(chat::messengers::hooks()).layered(&present);
    let visitors = chat::visitors::routes().layered(visited);
    let open = watched().merge(openapi::pages()).merge(anybody.under("/v1")).merge(files).merge(visitors);
    api.under("/v1").merge(open.open())
}

/// Every route of the API.
pub fn routes() -> Vec<Route> {
    sorted(&mount(|router| router, |router| router, |router| router))
}

/// Every page; those that are keyed are for whoever is signed in.
pub fn pages() -> Vec<Route> {
    sorted(&pages::routes())
}

fn sorted(routes: &Routes) -> Vec<Route> {
    let mut routes = routes.list().to_vec();
    routes.sort_by(|a, b| (&a.path, a.method.as_str()).cmp(&(&b.path, b.method.as_str())));
    routes
}

/// A browser that looks for a page is shown one.
async fn no_route(browser: Browser, request: Request) -> Response {
    if pages::looks(request.headers()) && !request.uri().path().starts_with("/v1/") {
        return pages::missing(request.headers(), &browser);
    }
    Problem::missing("route_unknown", format!("There is nothing at {}. See /docs.", request.uri().path()))
        .into_response()
}

async fn no_method(request: Request) -> Problem {
    let detail = format!("{} does not take {}. See /docs.", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Problem::broken(&format!("panic: {}", said.unwrap_or("unknown"))).into_response()
}

/// Answers at once while the database is away, and as soon as it is lost.
async fn limited(State(app): State<App>, request: Request, next: Next) -> Response {
    let presence = app.log.presence().clone();
    let answer = presence.guard(counted(app, request, next)).await;
    answer.unwrap_or_else(|lost| Problem::from(lost).into_response())
}

/// The same for what anybody may ask.
async fn guarded(State(app): State<App>, request: Request, next: Next) -> Response {
    let answer = app.log.presence().guard(next.run(request)).await;
    answer.unwrap_or_else(|lost| Problem::from(lost).into_response())
}

/// Knows the caller before anything else is looked at, and counts the request against the key's limit.
async fn counted(app: App, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match Caller::from_request_parts(&mut parts, &app).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, body);
    // Before anything of the request is read: what is switched off is not there.
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let collection = path.strip_prefix("/v1/").unwrap_or(path.trim_start_matches('/')).split('/').next();
    let kind = catalogue::kinds().find(|kind| Some(kind.plural) == collection);
    if let Some(feature) = kind.and_then(|kind| caller.missing_feature(&format!("{}.read", kind.name))) {
        return Problem::from(feature.disabled()).into_response();
    }
    match app.limits.take(caller.pass.id()) {
        Ok(allowance) => {
            let mut response = next.run(request).await;
            if let Some(allowance) = allowance {
                allowance.write(response.headers_mut());
            }
            response
        }
        Err((problem, allowance)) => {
            let mut response = problem.into_response();
            allowance.write(response.headers_mut());
            response
        }
    }
}

/// Names, times and counts every request, and gives up on one that takes too long.
async fn observed(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = given.filter(|id| id.len() <= 128).map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned);
    let long = route.starts_with("/v1/uploads")
        || route.starts_with("/files/")
        || route.starts_with("/v1/imports")
        || route.starts_with("/v1/bulk")
        || route == "/v1/rules/backtest";
    let mut response = TRACE
        .scope(id.clone(), async {
            if long {
                return next.run(request).await;
            }
            match tokio::time::timeout(app.config.timeout, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::unavailable("timeout", "This took too long. Try again.").into_response(),
            }
        })
        .await;
    let elapsed = started.elapsed();
    let status = response.status();
    app.http_metrics.seconds.with_label_values(&[method.as_str(), &route]).observe(elapsed.as_secs_f64());
    app.http_metrics.total.with_label_values(&[method.as_str(), &route, status.as_str()]).inc();
    tracing::debug!(%method, route, status = status.as_u16(), ms = elapsed.as_millis(), request_id = id, "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
