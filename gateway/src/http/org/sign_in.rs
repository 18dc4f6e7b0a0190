//! Signing in: by a password, by a link, by an OpenID provider; and what to do when the password is forgotten.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    Id,
    org::{
        tenant::Tenant,
        user::{LinkPurpose, Status},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::{Filled, Nothing, Params},
    routes::Routes,
};
use crate::{
    app::App,
    problem::Problem,
    sign_in::{Browser, Cookie, Outcome, STEP_SECONDS},
};

/// What is answered to anybody: `GET /sign_in`, `POST /sign_in`, and so on.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/sign_in", ways)
        .post("/sign_in", sign_in)
        .post("/sign_in/continue", go_on)
        .post("/sign_in/forgotten", forgotten)
        .get("/sign_in/provider", to_provider)
        .get("/sign_in/provider/callback", from_provider)
        .post("/links/look", look)
        .post("/links/follow", follow)
}

/// A path of this server, where a form or a provider leads: nobody is led elsewhere.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(in crate::http) struct Next(String);

impl TryFrom<String> for Next {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Next, Self::Error> {
        let own = path.starts_with('/') && !path[1..].starts_with(['/', '\\']);
        let plain = path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if own && plain { Ok(Next(path)) } else { Err("a path of this server begins with one slash") }
    }
}

impl Default for Next {
    fn default() -> Next {
        Next("/".to_owned())
    }
}

/// Text as a value in a query.
pub(in crate::http) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

impl Next {
    /// The path.
    pub(in crate::http) fn path(&self) -> &str {
        &self.0
    }

    fn leads(&self) -> Response {
        match HeaderValue::from_str(&self.0) {
            Ok(place) => (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response(),
            Err(_) => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

/// Nothing to say, or where a form leads.
pub(in crate::http) fn done(next: Option<Next>) -> Response {
    next.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |next| next.leads())
}

/// A tenant to choose.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TenantChoice")]
pub(in crate::http) struct Choice {
    /// Its id.
    id: Id,
    /// Its name.
    name: String,
}

/// How far one has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SignInState")]
enum Stage {
    /// All the way: the cookie of the session is set.
    SignedIn,
    /// The address and the password are known in several tenants: choose one of `tenants`.
    TenantNeeded,
    /// A code of the app is needed, or a recovery code.
    CodeNeeded,
    /// The link did what it is for, which is not to sign in.
    Done,
}

/// How far one has come in signing in. Where more is needed, `POST /v1/sign_in/continue` goes on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignInProgress")]
pub(in crate::http) struct Progress {
    /// How far.
    state: Stage,
    /// The tenants to choose from.
    tenants: Vec<Choice>,
    /// The tenant, once signed in.
    tenant: Option<Id>,
    /// The user, once signed in.
    user: Option<Id>,
    /// The session, once signed in.
    session: Option<Id>,
}

/// Tells how far somebody has come, with the cookie that goes with it.
pub(in crate::http) async fn went_on(
    app: &App,
    browser: &Browser,
    outcome: Outcome,
    next: Option<Next>,
) -> Result<Response, Problem> {
    let mut progress =
        Progress { state: Stage::CodeNeeded, tenants: Vec::new(), tenant: None, user: None, session: None };
    let mut cookies = Vec::new();
    match outcome {
        Outcome::SignedIn { tenant, user, session, secret } => {
            progress.state = Stage::SignedIn;
            (progress.tenant, progress.user, progress.session) = (Some(tenant), Some(user), Some(session));
            let lifetime = app.config.sign_in.session_lifetime.as_secs();
            cookies.push(browser.set(Cookie::Session, &secret, lifetime)?);
            if browser.cookie(Cookie::Step).is_some() {
                cookies.push(browser.forget(Cookie::Step)?);
            }
        }
        Outcome::TenantNeeded { tenants, step } => {
            progress.state = Stage::TenantNeeded;
            for id in tenants {
                let (tenant, _) = app.commands.load::<Tenant>(id, id).await?;
                progress.tenants.push(Choice { id, name: tenant.name.clone().unwrap_or_default() });
            }
            cookies.push(browser.set(Cookie::Step, &step, STEP_SECONDS)?);
        }
        Outcome::CodeNeeded { step } => cookies.push(browser.set(Cookie::Step, &step, STEP_SECONDS)?),
    }
    let mut response = match next {
        Some(next) if progress.state == Stage::SignedIn => next.leads(),
        // A page asks for what is still needed.
        Some(next) => Next(format!("/sign_in/continue?next={}", escaped(&next.0))).leads(),
        None => Json(progress).into_response(),
    };
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The ways to sign in at this host.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignInWays")]
pub(in crate::http) struct Ways {
    /// The tenant to which the host name belongs; null when it belongs to none.
    tenant: Option<Choice>,
    /// What the tenant's OpenID provider is called; null when there is none.
    provider: Option<String>,
}

/// Of which tenant, where the host name does not say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct At {
    /// The tenant.
    #[serde(default)]
    tenant: Option<Id>,
}

async fn ways(
    State(app): State<App>,
    browser: Browser,
    Params(At { tenant }): Params<At>,
) -> Result<Json<Ways>, Problem> {
    let of_host = app.tenant_of_host(&browser).await?;
    let mut ways = Ways { tenant: None, provider: None };
    if let Some(id) = of_host {
        let (tenant, _) = app.commands.load_current::<Tenant>(id, id).await?;
        ways.tenant = Some(Choice { id, name: tenant.name.clone().unwrap_or_default() });
    }
    if let Some(id) = of_host.or(tenant) {
        ways.provider = app.provider(id).await?.map(|provider| provider.name);
    }
    Ok(Json(ways))
}

/// Who wants to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credentials")]
pub(in crate::http) struct SignIn {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
    /// The tenant, for whoever is known in several and knows which he wants.
    #[serde(default)]
    tenant: Option<Id>,
    /// Where a form leads once signed in: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn sign_in(
    State(app): State<App>,
    browser: Browser,
    Params(Nothing {}): Params<Nothing>,
    filled: Filled,
) -> Result<Response, Problem> {
    browser.must_not_be_foreign()?;
    let is_form = filled.is_form;
    let SignIn { email, password, tenant, next } =
        filled.body.read(&json!({ "email": "anna@example.com", "password": "x" }))?;
    let outcome = app.sign_in_by_password(&browser, &email, &password, tenant).await?;
    went_on(&app, &browser, outcome, next.filter(|_| is_form)).await
}

/// What was still needed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignInStep")]
pub(in crate::http) struct Continue {
    /// The tenant that is chosen.
    #[serde(default)]
    tenant: Option<Id>,
    /// A code of the app, or a recovery code.
    #[serde(default)]
    code: Option<String>,
    /// Where a form leads once signed in: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn go_on(
    State(app): State<App>,
    browser: Browser,
    Params(Nothing {}): Params<Nothing>,
    filled: Filled,
) -> Result<Response, Problem> {
    browser.must_not_be_foreign()?;
    let is_form = filled.is_form;
    let Continue { tenant, code, next } = filled.body.read(&json!({ "code": "123456" }))?;
    let outcome = app.continue_sign_in(&browser, tenant, code.as_deref()).await?;
    went_on(&app, &browser, outcome, next.filter(|_| is_form)).await
}

/// Whose password is forgotten.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForgottenPassword")]
pub(in crate::http) struct Forgotten {
    /// E-mail address.
    email: String,
    /// Where a form leads: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn forgotten(
    State(app): State<App>,
    browser: Browser,
    Params(Nothing {}): Params<Nothing>,
    filled: Filled,
) -> Result<Response, Problem> {
    browser.must_not_be_foreign()?;
    let is_form = filled.is_form;
    let Forgotten { email, next } = filled.body.read(&json!({ "email": "anna@example.com" }))?;
    app.forgot_password(&browser, email).await?;
    Ok(done(next.filter(|_| is_form)))
}

/// A link as it was handed out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LinkToLookAt")]
pub(in crate::http) struct Look {
    /// The whole link, or what stands behind its last slash.
    link: String,
}

/// What a link is for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LinkShown")]
pub(in crate::http) struct Link {
    /// To set a password, or to confirm an address.
    purpose: LinkPurpose,
    /// Whether it is the invitation of somebody who was never here.
    invitation: bool,
    /// The tenant.
    tenant: Choice,
    /// The person's full name.
    name: String,
    /// The person's address; the new one where it is to be confirmed.
    email: String,
}

async fn look(
    State(app): State<App>,
    browser: Browser,
    Params(Nothing {}): Params<Nothing>,
    filled: Filled,
) -> Result<Json<Link>, Problem> {
    browser.must_not_be_foreign()?;
    let Look { link } = filled.body.read(&json!({ "link": "x" }))?;
    let seen = app.look_at_link(&link).await?;
    let (handed, user) = (seen.handed, seen.user);
    let (tenant, _) = app.commands.load::<Tenant>(handed.tenant, handed.tenant).await?;
    let wanted = user.wanted_email.clone().filter(|_| handed.purpose == LinkPurpose::Email);
    Ok(Json(Link {
        purpose: handed.purpose,
        invitation: user.status == Status::Invited,
        tenant: Choice { id: handed.tenant, name: tenant.name.clone().unwrap_or_default() },
        name: user.profile.name.0.clone(),
        email: wanted.unwrap_or_else(|| user.profile.email.clone()).0,
    }))
}

/// A link, and what it asks for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LinkToFollow")]
pub(in crate::http) struct Follow {
    /// The whole link, or what stands behind its last slash.
    link: String,
    /// The new password, where it is to set one: at least 12 characters, of any kind.
    #[serde(default)]
    password: Option<String>,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn follow(
    State(app): State<App>,
    browser: Browser,
    Params(Nothing {}): Params<Nothing>,
    filled: Filled,
) -> Result<Response, Problem> {
    browser.must_not_be_foreign()?;
    let is_form = filled.is_form;
    let Follow { link, password, next } = filled.body.read(&json!({ "link": "x", "password": "x" }))?;
    let next = next.filter(|_| is_form);
    match app.follow_link(&link, password.as_deref(), &browser).await? {
        Some(outcome) => went_on(&app, &browser, outcome, next).await,
        None => {
            let progress =
                Progress { state: Stage::Done, tenants: Vec::new(), tenant: None, user: None, session: None };
            Ok(next.map_or_else(|| Json(progress).into_response(), |next| next.leads()))
        }
    }
}

/// Where to sign in by the provider, and where to go then.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ToProvider {
    /// The tenant, where the host name does not say.
    #[serde(default)]
    tenant: Option<Id>,
    /// Where to go once signed in: a path of this server; `/` in place of whatever is none.
    #[serde(default)]
    next: Option<String>,
}

async fn to_provider(
    State(app): State<App>,
    browser: Browser,
    Params(ToProvider { tenant, next }): Params<ToProvider>,
) -> Result<Response, Problem> {
    let (place, token) = app.send_to_provider(tenant, next, &browser).await?;
    let place = HeaderValue::from_str(&place).map_err(|error| Problem::broken(&error))?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    response.headers_mut().append(header::SET_COOKIE, browser.set(Cookie::Provider, &token, STEP_SECONDS)?);
    Ok(response)
}

/// What a provider sends somebody back with. It may say more, which is not looked at.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct FromProvider {
    /// For which Deskfold learns who it is.
    #[serde(default)]
    code: Option<String>,
    /// What Deskfold gave the browser on its way.
    #[serde(default)]
    state: Option<String>,
    /// Why the provider does not say who it is.
    #[serde(default)]
    error: Option<String>,
}

async fn from_provider(
    State(app): State<App>,
    browser: Browser,
    Params(answer): Params<FromProvider>,
) -> Result<Response, Problem> {
    let (Some(code), Some(state), None) = (answer.code, answer.state, answer.error) else {
        let detail = "The provider did not say who you are. Begin again, or sign in otherwise.";
        return Err(Problem::bad_request("provider_refused", detail));
    };
    let (outcome, next) = app.back_from_provider(code, &state, &browser).await?;
    let next = next.and_then(|path| Next::try_from(path).ok()).unwrap_or_default();
    let mut response = went_on(&app, &browser, outcome, Some(next)).await?;
    response.headers_mut().append(header::SET_COOKIE, browser.forget(Cookie::Provider)?);
    Ok(response)
}
