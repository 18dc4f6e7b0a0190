//! The pages that people see: who looks is found out here, what they look like is `web`'s.

pub(in crate::http) mod dashboards;
mod forms;
mod hosted_forms;
mod jobs;
mod portal;
pub(in crate::http) mod records;
mod refused;
mod search;
mod sent;

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequestParts, Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{
    catalogue,
    org::{
        plan::Period,
        tenant::Tenant,
        user::{Command, LinkPurpose, Presence, Status, User},
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use web::{Language, Person, Refusal, Theme, View, pages};

pub(super) use self::refused::{looks, refused};
use super::{
    kernel::{request::Filled, routes::Routes},
    org::{
        plan::Shown,
        sign_in::{Next, escaped},
    },
};
use crate::{
    app::App,
    auth::Caller,
    problem::Problem,
    sign_in::{Browser, Cookie},
};

/// How long a browser keeps what is served under a name of its content: a year, the longest there is.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// How long a browser remembers how somebody wants pages to look, in seconds.
const REMEMBERED: u64 = 365 * 24 * 60 * 60;

/// Every page. They are no part of the API, and not in its document.
pub(super) fn routes() -> Routes {
    let outside = Routes::new()
        .get("/sign_in", sign_in)
        .get("/sign_in/continue", go_on)
        .get("/sign_in/forgotten", forgotten)
        .get("/link/{secret}", link)
        .post("/preferences", preferences);
    let inside = Routes::new()
        .get("/", start)
        .get("/me", me)
        .get("/me/second_factor", begin_second_factor)
        .post("/me/second_factor", prepare_second_factor)
        .get("/inbox", async |insider: Insider| insider.looks_at("conversation.read", pages::inbox))
        .get("/notifications", notifications)
        .get("/notices", async |insider: Insider| insider.looks_at("system_notice.read", pages::notices))
        .get("/people", async |insider: Insider| insider.looks_at("user.read", pages::people))
        .get("/roles", async |insider: Insider| insider.looks_at("role.read", pages::roles))
        .get("/settings", async |insider: Insider| insider.looks_at("tenant.read", pages::settings))
        .get("/webhooks", async |insider: Insider| insider.looks_at("webhook.read", pages::webhooks))
        .get("/plan", plan)
        .get("/search", search::search);
    inside
        .merge(dashboards::routes())
        .merge(records::routes())
        .merge(jobs::routes())
        .merge(outside.open())
        .merge(hosted_forms::routes())
        .merge(portal::routes())
}

/// What pages load.
pub(super) fn assets() -> Router<App> {
    Router::new().route("/assets/{file}", get(asset)).route("/push.js", get(push_worker))
}

/// What a browser runs while no page is open. It is looked at anew each time: browsers ask whether it has changed.
async fn push_worker() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, web::PUSH_WORKER).into_response()
}

fn page(html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, web::POLICY),
        // An address with a link's secret in it is told to nobody else.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), html).into_response()
}

/// A page that tells what went otherwise than one wanted.
fn page_as(status: StatusCode, html: String) -> Response {
    let mut response = page(html);
    *response.status_mut() = status;
    response
}

fn redirect(place: &str) -> Result<Response, Problem> {
    let place = HeaderValue::from_str(place).map_err(|error| Problem::broken(&error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let found = web::asset(&format!("/assets/{file}"));
    let asset = found.ok_or_else(|| Problem::missing("route_unknown", format!("There is no file {file} here.")))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, FOR_EVER),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    Ok((headers, Bytes::from_static(asset.text.as_bytes())).into_response())
}

/// Who looks at a page, signed in or not.
struct Visitor {
    browser: Browser,
    view: View,
    caller: Option<Caller>,
}

/// How somebody looks at pages of whom nobody asks who he is.
fn view_of(headers: &HeaderMap, browser: &Browser, path: String, person: Option<Person>) -> View {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let set = person.as_ref().and_then(|person| person.locale.as_deref());
    View {
        language: Language::chosen(&[set, browser.cookie(Cookie::Language)], accepted),
        theme: browser.cookie(Cookie::Theme).and_then(Theme::of_name).unwrap_or_default(),
        path,
        person,
        refusal: None,
    }
}

/// What is shown to a browser where there is nothing.
pub(super) fn missing(headers: &HeaderMap, browser: &Browser) -> Response {
    nothing(&view_of(headers, browser, "/".to_owned(), None))
}

/// The chat of a channel as a page, for whoever has a link to it.
pub(super) fn chat(headers: &HeaderMap, browser: &Browser, channel: &str, name: &str) -> Response {
    page(pages::chat(&view_of(headers, browser, "/".to_owned(), None), channel, name))
}

/// The same for whoever is known.
fn nothing(view: &View) -> Response {
    page_as(StatusCode::NOT_FOUND, pages::missing(view))
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Visitor, Problem> {
        let browser = Browser::from_request_parts(parts, app).await?;
        let caller = match browser.cookie(Cookie::Session) {
            Some(_) => match app.caller(&parts.headers, &browser).await {
                // Pages are for whoever is signed in, as himself: programs have the API.
                Ok(caller) => {
                    Some(caller).filter(|caller| caller.pass.session().is_some() && caller.actor.on_behalf_of.is_none())
                }
                Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => None,
                Err(problem) => return Err(problem),
            },
            None => None,
        };
        let person = match &caller {
            Some(caller) => Some(app.person(caller).await?),
            None => None,
        };
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let refusal = parts.extensions.get::<Refusal>().cloned();
        let view = View { refusal, ..view_of(&parts.headers, &browser, path, person) };
        Ok(Visitor { browser, view, caller })
    }
}

/// Somebody who is signed in; whoever is not is led to where one signs in, and back.
struct Insider {
    view: View,
    caller: Caller,
}

impl Insider {
    /// A page for whoever has this permission; for all others there is none.
    fn looks_at(self, permission: &str, shown: fn(&View) -> String) -> Response {
        if self.caller.may(permission) { page(shown(&self.view)) } else { nothing(&self.view) }
    }
}

impl FromRequestParts<App> for Insider {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Insider, Response> {
        let visitor = Visitor::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        match visitor.caller {
            Some(caller) => Ok(Insider { view: visitor.view, caller }),
            None => {
                let way = format!("/sign_in?next={}", escaped(&visitor.view.path));
                Err(redirect(&way).unwrap_or_else(IntoResponse::into_response))
            }
        }
    }
}

impl App {
    async fn person(&self, caller: &Caller) -> Result<Person, Problem> {
        let (user, _) = self.commands.load::<User>(caller.tenant, caller.actor.id).await?;
        let (tenant, _) = self.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
        let permitted = catalogue::permissions().iter().filter(|permission| caller.may(permission));
        let profile = user.profile.clone();
        Ok(Person {
            id: caller.actor.id.to_string(),
            name: profile.name.0,
            email: profile.email.0,
            tenant: tenant.name.clone().unwrap_or_default(),
            tenant_id: caller.tenant.to_string(),
            locale: profile.locale,
            time_zone: profile.time_zone,
            permissions: permitted.cloned().collect(),
            collections: records::collections(caller).collect(),
        })
    }
}

async fn start(Insider { view, .. }: Insider) -> Response {
    page(pages::start(&view))
}

async fn notifications(Insider { view, .. }: Insider) -> Response {
    let mut shown = page(pages::notifications(&view));
    shown.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(web::PUSH_POLICY));
    shown
}

/// Where to go once signed in, and of which tenant, where the host name does not say.
#[derive(Deserialize)]
struct Wanted {
    next: Option<String>,
    tenant: Option<String>,
}

impl Wanted {
    /// A path of this server: the start page in place of whatever is none.
    fn next(&self) -> String {
        let own = self.next.clone().and_then(|path| Next::try_from(path).ok());
        own.map_or_else(|| "/".to_owned(), |next| next.path().to_owned())
    }
}

async fn sign_in(State(app): State<App>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let next = wanted.next();
    if visitor.caller.is_some() {
        return redirect(&next);
    }
    let of_host = app.tenant_of_host(&visitor.browser).await?;
    let asked = wanted.tenant.and_then(|id| id.parse().ok()).filter(|_| of_host.is_none());
    let mut ways = pages::Ways { asked: asked.map(|id: domain::Id| id.to_string()), ..pages::Ways::default() };
    if let Some(id) = of_host {
        ways.tenant = Some(app.choice(id).await?);
    }
    if let Some(id) = of_host.or(asked) {
        let way = format!("/v1/sign_in/provider?tenant={id}&next={}", escaped(&next));
        ways.provider = app.provider(id).await?.map(|provider| (provider.name, way));
    }
    Ok(page(pages::sign_in(&visitor.view, &ways, &next)))
}

impl App {
    async fn choice(&self, id: domain::Id) -> Result<pages::Tenant, Problem> {
        let (tenant, _) = self.commands.load::<Tenant>(id, id).await?;
        Ok(pages::Tenant { id: id.to_string(), name: tenant.name.clone().unwrap_or_default() })
    }
}

async fn go_on(State(app): State<App>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let (view, next) = (&visitor.view, wanted.next());
    let Some(tenants) = app.step_tenants(&visitor.browser).await? else {
        return Ok(page(pages::step_over(view, &next)));
    };
    if tenants.len() == 1 {
        return Ok(page(pages::code(view, &next)));
    }
    let mut choices = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        choices.push(app.choice(tenant).await?);
    }
    Ok(page(pages::tenants(view, &choices, &next)))
}

/// Whether help was asked for.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    sent: bool,
}

async fn forgotten(visitor: Visitor, Query(Asked { sent }): Query<Asked>) -> Response {
    page(if sent { pages::sent(&visitor.view) } else { pages::forgotten(&visitor.view) })
}

async fn link(State(app): State<App>, visitor: Visitor, Path(secret): Path<String>) -> Result<Response, Problem> {
    // Whose the page is, is whose the link is: whoever else is signed in here has nothing to do with it.
    let view = View { person: None, ..visitor.view };
    let seen = match app.look_at_link(&secret).await {
        Ok(seen) => seen,
        Err(problem) if problem.status().is_client_error() => {
            return Ok(page_as(StatusCode::GONE, pages::link_over(&view)));
        }
        Err(problem) => return Err(problem),
    };
    let purpose = match (seen.handed.purpose, seen.user.status) {
        (LinkPurpose::Email, _) => pages::LinkPurpose::Email,
        (LinkPurpose::Password, Status::Invited) => pages::LinkPurpose::Invitation,
        (LinkPurpose::Password, _) => pages::LinkPurpose::Password,
    };
    let wanted = seen.user.wanted_email.clone().filter(|_| purpose == pages::LinkPurpose::Email);
    let tenant = app.choice(seen.handed.tenant).await?.name;
    let name = seen.user.profile.name.0.clone();
    let email = wanted.unwrap_or_else(|| seen.user.profile.email.clone()).0;
    Ok(page(pages::link(&view, &pages::Link { secret, purpose, tenant, name, email })))
}

async fn me(State(app): State<App>, Insider { view, caller }: Insider) -> Result<Response, Problem> {
    let (tenant, id) = (caller.tenant, caller.actor.id);
    let (user, _) = app.commands.load_current::<User>(tenant, id).await?;
    let roles = app.role_names(tenant, &user).await?;
    let current = caller.pass.session().map(|session| session.to_string());
    let sessions = app.sessions_of(tenant, id).await?.into_iter().map(|session| pages::Session {
        current: current.as_ref() == Some(&session.session_id),
        id: session.session_id,
        method: session.method,
        address: session.address,
        user_agent: session.user_agent,
        started_at: session.started_at.to_jiff().to_string(),
        last_seen_at: session.last_seen_at.to_jiff().to_string(),
    });
    let presence = match user.presence {
        Presence::Online => "online",
        Presence::Away => "away",
        Presence::Offline => "offline",
    };
    Ok(page(pages::me(
        &view,
        &pages::Me {
            picture: user.picture.is_some(),
            phone: user.profile.phone.clone().map(|phone| phone.0),
            presence: presence.to_owned(),
            roles,
            password: user.password.is_some(),
            second_factor: user.second_factor.is_some(),
            recovery_codes: user.recovery.map_or(0, |(_, left)| left),
            wanted_email: user.wanted_email.clone().map(|email| email.0),
            sessions: sessions.collect(),
        },
    )))
}

async fn plan(State(app): State<App>, Insider { view, caller }: Insider) -> Result<Response, Problem> {
    if !caller.may("tenant.read") {
        return Ok(nothing(&view));
    }
    let Shown { plan, seats_taken } = app.plan(caller.tenant).await?;
    let shown = plan.map(|plan| {
        let payment = plan.payment;
        let method = payment.as_ref().and_then(|payment| payment.method.clone());
        let payer = payment.map(|payment| [Some(payment.payer), payment.address, payment.email, payment.tax_id]);
        pages::Plan {
            name: plan.name,
            seats: plan.seats,
            price: plan.price.map(|price| (price.amount.to_string(), price.currency.to_string())),
            period: match plan.period {
                Period::Month => "month",
                Period::Year => "year",
            },
            renews_on: plan.renews_on.map(|day| day.to_string()),
            payer: payer.into_iter().flatten().flatten().collect(),
            method,
        }
    });
    Ok(page(pages::plan(&view, shown.as_ref(), seats_taken)))
}

async fn begin_second_factor(Insider { view, .. }: Insider) -> Response {
    page(pages::prepared(&view, &pages::SecondFactor::Begun))
}

/// One's password, since a session left open is not enough.
#[derive(Deserialize)]
struct Confirmed {
    #[serde(default)]
    password: String,
}

async fn prepare_second_factor(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    filled: Filled,
) -> Result<Response, Problem> {
    let (tenant, id) = (caller.tenant, caller.actor.id);
    let Confirmed { password } = filled.body.read(&json!({ "password": "x" }))?;
    app.confirm_password(tenant, id, &password).await?;
    let person = view.person.clone().unwrap_or_default();
    let made = app.prepare_second_factor(tenant, id, (&person.tenant, &person.email)).await?;
    Ok(page(pages::prepared(&view, &pages::SecondFactor::Prepared { secret: made.secret, uri: made.uri })))
}

/// How somebody wants pages to look.
#[derive(Deserialize)]
struct Preferences {
    language: String,
    theme: String,
    next: String,
}

/// Remembers it in the browser; the language of whoever is signed in, in the profile.
async fn preferences(State(app): State<App>, visitor: Visitor, filled: Filled) -> Result<Response, Problem> {
    let Visitor { browser, view, caller } = visitor;
    browser.must_not_be_foreign()?;
    let wanted: Preferences = filled.body.read(&json!({ "language": "en", "theme": "auto", "next": "/" }))?;
    let language = Language::of_tag(&wanted.language).unwrap_or_default();
    let theme = Theme::of_name(&wanted.theme).unwrap_or_default();
    if let Some(caller) = caller.filter(|_| language != view.language) {
        let change: Map<String, Value> = [("locale".to_owned(), language.tag().into())].into_iter().collect();
        app.as_oneself(caller.tenant, caller.actor.id, Command::ChangeProfile(change)).await?;
    }
    let next = Next::try_from(wanted.next).unwrap_or_default();
    let mut response = redirect(next.path())?;
    for (cookie, value) in [(Cookie::Language, language.tag()), (Cookie::Theme, theme.name())] {
        response.headers_mut().append(header::SET_COOKIE, browser.set(cookie, value, REMEMBERED)?);
    }
    Ok(response)
}
