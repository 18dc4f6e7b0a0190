//! Oneself: who one is and may be, and how one signs in.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use domain::{
    Id, Time, catalogue,
    kernel::access::Reach,
    org::{
        role::Role,
        tenant::Tenant,
        user::{Command, Presence, PresenceSource, User},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::http::{
    kernel::{
        request::{Filled, Nothing, Params},
        routes::Routes,
    },
    org::sign_in::{Next, done, went_on},
};
use crate::{
    app::App,
    auth::Caller,
    problem::Problem,
    sign_in::{Browser, Cookie},
};

/// `GET /me`, one's sessions, and how one signs in.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/me", me)
        .get("/me/sessions", sessions)
        .post("/me/end_session", end_session)
        .post("/me/sign_out", sign_out)
        .post("/me/sign_out_everywhere", sign_out_everywhere)
        .post("/me/change_profile", change_profile)
        .post("/me/set_presence", set_presence)
        .post("/me/change_password", change_password)
        .post("/me/request_email", request_email)
        .post("/me/prepare_second_factor", prepare_second_factor)
        .post("/me/enable_second_factor", enable_second_factor)
        .post("/me/disable_second_factor", disable_second_factor)
        .post("/me/replace_recovery_codes", replace_recovery_codes)
}

/// Somebody who is signed in, as himself. A program with a key signs nobody in or out.
pub(in crate::http) struct Oneself {
    pub(in crate::http) tenant: Id,
    pub(in crate::http) user: Id,
    session: Id,
}

impl FromRequestParts<App> for Oneself {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Oneself, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(Nothing {}) = Params::from_request_parts(parts, app).await?;
        match caller.pass.session().filter(|_| caller.actor.on_behalf_of.is_none()) {
            Some(session) => Ok(Oneself { tenant: caller.tenant, user: caller.actor.id, session }),
            None => {
                let detail = "Only whoever is signed in does this, for himself: no key does.";
                Err(Problem::new(StatusCode::FORBIDDEN, "session_needed", detail))
            }
        }
    }
}

/// Who asks.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Me {
    /// The tenant.
    tenant: Id,
    /// Its name.
    tenant_name: Option<String>,
    /// The user who asks, or as whom the key acts.
    user: Id,
    /// The user's full name.
    name: String,
    /// The user's e-mail address.
    email: String,
    /// The user's language, BCP 47.
    locale: Option<String>,
    /// The user's time zone, IANA.
    time_zone: Option<String>,
    /// Whether the user is there to work.
    presence: Presence,
    /// The names of the user's roles.
    roles: Vec<String>,
    /// The key; null for whoever is signed in.
    key: Option<Id>,
    /// The session; null for a key.
    session: Option<Id>,
    /// Whether the user has a password.
    password: bool,
    /// Whether the user signs in with a code too.
    second_factor: bool,
    /// How many recovery codes are left.
    recovery_codes: u32,
    /// The address that the user wants and has not confirmed.
    wanted_email: Option<String>,
    /// For whom this request is made, if for somebody else.
    on_behalf_of: Option<Id>,
    /// Every permission that the user or key has; `:own` or `:team` at the end where it does not reach everything.
    permissions: Vec<String>,
}

async fn me(State(app): State<App>, caller: Caller, Params(Nothing {}): Params<Nothing>) -> Result<Json<Me>, Problem> {
    let had = |permission: &String| {
        let reach = caller.authority.reach(permission).filter(|_| caller.may(permission))?;
        Some(match reach {
            Reach::All => permission.clone(),
            Reach::Team => format!("{permission}:team"),
            Reach::Own => format!("{permission}:own"),
        })
    };
    let permissions = catalogue::permissions().iter().filter_map(had).collect();
    let (tenant, pass, actor) = (caller.tenant, caller.pass, caller.actor);
    let (organisation, _) = app.commands.load::<Tenant>(tenant, tenant).await?;
    let (user, _) = app.commands.load::<User>(tenant, actor.id).await?;
    let roles = app.role_names(tenant, &user).await?;
    let profile = user.profile.clone();
    Ok(Json(Me {
        tenant,
        tenant_name: organisation.name.clone(),
        user: actor.id,
        name: profile.name.0,
        email: profile.email.0,
        locale: profile.locale,
        time_zone: profile.time_zone,
        presence: user.presence,
        roles,
        key: pass.session().is_none().then_some(pass.id()),
        session: pass.session(),
        password: user.password.is_some(),
        second_factor: user.second_factor.is_some(),
        recovery_codes: user.recovery.map_or(0, |(_, left)| left),
        wanted_email: user.wanted_email.clone().map(|email| email.0),
        on_behalf_of: actor.on_behalf_of,
        permissions,
    }))
}

impl App {
    /// What a user's roles are called.
    pub(in crate::http) async fn role_names(&self, tenant: Id, user: &User) -> Result<Vec<String>, Problem> {
        let mut names = Vec::with_capacity(user.roles.len());
        for role in &user.roles {
            names.extend(self.commands.load::<Role>(tenant, *role).await?.0.name.clone());
        }
        Ok(names)
    }
}

/// A session that lasts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MySession")]
pub(in crate::http) struct Session {
    /// Its id.
    id: Id,
    /// Whether it is the one that asks.
    current: bool,
    /// How the person proved who he is: `password`, `link` or `openid_connect`.
    method: String,
    /// From which address.
    address: Option<String>,
    /// What the browser or app calls itself.
    user_agent: Option<String>,
    /// When it began.
    started_at: Time,
    /// When it was last used, within a minute.
    last_seen_at: Time,
    /// When it ends at the latest.
    expires_at: Time,
}

/// One's sessions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MySessions")]
pub(in crate::http) struct Sessions {
    /// Those used last first.
    data: Vec<Session>,
}

async fn sessions(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Sessions>, Problem> {
    let current = caller.pass.session();
    let lasting = app.sessions_of(caller.tenant, caller.actor.id).await?;
    let data = lasting.into_iter().filter_map(|session| {
        let id: Id = session.session_id.parse().ok()?;
        Some(Session {
            id,
            current: Some(id) == current,
            method: session.method,
            address: session.address,
            user_agent: session.user_agent,
            started_at: session.started_at.to_jiff(),
            last_seen_at: session.last_seen_at.to_jiff(),
            expires_at: session.expires_at.to_jiff(),
        })
    });
    Ok(Json(Sessions { data: data.collect() }))
}

/// Which session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WhichSession")]
pub(in crate::http) struct Which {
    /// One of one's own.
    session: Id,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn end_session(
    State(app): State<App>,
    oneself: Oneself,
    browser: Browser,
    filled: Filled,
) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let Which { session, next } = filled.body.read(&json!({ "session": "01K9Z3T8W0QX6V5N4M3K2J1H0G" }))?;
    let own = app.sessions_of(oneself.tenant, oneself.user).await?;
    if !own.iter().any(|known| known.session_id == session.to_string()) {
        return Err(Problem::missing("session_unknown", "There is no such session."));
    }
    app.end_session(oneself.tenant, oneself.user, session).await?;
    let next = next.filter(|_| is_form);
    if session == oneself.session { signed_out(&browser, next) } else { Ok(done(next)) }
}

/// Nothing more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignOut")]
pub(in crate::http) struct Plain {
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

/// The answer to whoever is signed in no longer: the browser forgets the cookie.
fn signed_out(browser: &Browser, next: Option<Next>) -> Result<Response, Problem> {
    let mut response = done(next);
    response.headers_mut().append(header::SET_COOKIE, browser.forget(Cookie::Session)?);
    Ok(response)
}

async fn sign_out(
    State(app): State<App>,
    oneself: Oneself,
    browser: Browser,
    filled: Filled,
) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let Plain { next } = filled.body.read(&json!({}))?;
    app.end_session(oneself.tenant, oneself.user, oneself.session).await?;
    signed_out(&browser, next.filter(|_| is_form))
}

async fn sign_out_everywhere(
    State(app): State<App>,
    oneself: Oneself,
    browser: Browser,
    filled: Filled,
) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let Plain { next } = filled.body.read(&json!({}))?;
    for session in app.sessions_of(oneself.tenant, oneself.user).await? {
        if let Ok(session) = session.session_id.parse() {
            app.end_session(oneself.tenant, oneself.user, session).await?;
        }
    }
    signed_out(&browser, next.filter(|_| is_form))
}

/// Something that is said, be it null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What changes in one's profile; what is not named stays, null clears.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChangeMyProfile")]
pub(in crate::http) struct ChangeProfile {
    /// Full name.
    #[serde(default)]
    name: Option<String>,
    /// Phone number.
    #[serde(default, deserialize_with = "given")]
    phone: Option<Option<String>>,
    /// Language, BCP 47.
    #[serde(default, deserialize_with = "given")]
    locale: Option<Option<String>>,
    /// Time zone, IANA.
    #[serde(default, deserialize_with = "given")]
    time_zone: Option<Option<String>>,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn change_profile(State(app): State<App>, oneself: Oneself, filled: Filled) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let asked = filled.body.read::<ChangeProfile>(&json!({ "name": "Anna" }))?;
    let named = [
        ("name", asked.name.map(Some)),
        ("phone", asked.phone),
        ("locale", asked.locale),
        ("time_zone", asked.time_zone),
    ];
    let changes = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
    app.as_oneself(oneself.tenant, oneself.user, Command::ChangeProfile(changes)).await?;
    Ok(done(asked.next.filter(|_| is_form)))
}

/// Whether one is there to work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SetMyPresence")]
pub(in crate::http) struct SetPresence {
    /// Whether there.
    presence: Presence,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn set_presence(State(app): State<App>, oneself: Oneself, filled: Filled) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let SetPresence { presence, next } = filled.body.read(&json!({ "presence": "online" }))?;
    let command = Command::SetPresence { presence, source: PresenceSource::Manual };
    app.as_oneself(oneself.tenant, oneself.user, command).await?;
    Ok(done(next.filter(|_| is_form)))
}

/// Another password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangePassword {
    /// The one until now.
    current: String,
    /// The new one: at least 12 characters, of any kind.
    password: String,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn change_password(
    State(app): State<App>,
    oneself: Oneself,
    browser: Browser,
    filled: Filled,
) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let change = filled.body.read::<ChangePassword>(&json!({ "current": "x", "password": "x" }))?;
    let Oneself { tenant, user, .. } = oneself;
    let elsewhere = |mut problem: Problem| {
        problem.renamed("/password", "/current");
        problem
    };
    app.confirm_password(tenant, user, &change.current).await.map_err(elsewhere)?;
    let person = app.set_password(tenant, user, &change.password, None).await?;
    // All sessions are over; whoever has just shown that he knows the password goes on in a new one.
    let outcome = app.go_on_as(&browser, person).await?;
    went_on(&app, &browser, outcome, change.next.filter(|_| is_form)).await
}

/// Another address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RequestEmail {
    /// The address that is wanted.
    email: String,
    /// One's password.
    password: String,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

async fn request_email(State(app): State<App>, oneself: Oneself, filled: Filled) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let asked = filled.body.read::<RequestEmail>(&json!({ "email": "anna@example.com", "password": "x" }))?;
    app.confirm_password(oneself.tenant, oneself.user, &asked.password).await?;
    let command = Command::RequestEmail { email: asked.email.into() };
    app.as_oneself(oneself.tenant, oneself.user, command).await?;
    Ok(done(asked.next.filter(|_| is_form)))
}

/// One's password, since a session left open is not enough.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfirmPassword")]
pub(in crate::http) struct Confirm {
    /// One's password.
    password: String,
    /// Where a form leads when it is done: a path of this server.
    #[serde(default)]
    next: Option<Next>,
}

/// What an app that makes codes is told.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PreparedSecondFactor")]
pub(in crate::http) struct Prepared {
    /// The secret, to type into the app; it is shown this once.
    secret: String,
    /// The same as an address that apps read from a picture.
    uri: String,
}

async fn prepare_second_factor(
    State(app): State<App>,
    oneself: Oneself,
    filled: Filled,
) -> Result<Json<Prepared>, Problem> {
    let Oneself { tenant, user, .. } = oneself;
    let asked = filled.body.read::<Confirm>(&json!({ "password": "x" }))?;
    app.confirm_password(tenant, user, &asked.password).await?;
    let (organisation, _) = app.commands.load::<Tenant>(tenant, tenant).await?;
    let (state, _) = app.commands.load::<User>(tenant, user).await?;
    let name = organisation.name.clone().unwrap_or_default();
    let made = app.prepare_second_factor(tenant, user, (&name, &state.profile.email)).await?;
    Ok(Json(Prepared { secret: made.secret, uri: made.uri }))
}

/// A code of the app.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FirstCode")]
pub(in crate::http) struct WithCode {
    /// Six digits.
    code: String,
}

/// Codes for when the app is lost.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecoveryCodes")]
pub(in crate::http) struct Codes {
    /// Each is good once; they are shown this once.
    recovery_codes: Vec<String>,
}

async fn enable_second_factor(
    State(app): State<App>,
    oneself: Oneself,
    filled: Filled,
) -> Result<Json<Codes>, Problem> {
    let Oneself { tenant, user, .. } = oneself;
    let asked = filled.body.read::<WithCode>(&json!({ "code": "123456" }))?;
    let wrong = || Problem::invalid("code_wrong", "That is not the code that the app shows now.").at("/code");
    let prepared = app.prepared_second_factor(tenant, user).await?;
    let credential = prepared.ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, "second_factor_unprepared", "Prepare a second factor first.")
    })?;
    if !app.takes_code(tenant, user, credential, &asked.code).await? {
        return Err(wrong());
    }
    let codes = app.make_recovery_codes(tenant, user, credential).await?;
    app.as_oneself(tenant, user, Command::EnableSecondFactor { credential }).await?;
    app.forget_other_factors(tenant, user).await?;
    Ok(Json(Codes { recovery_codes: codes.0 }))
}

async fn disable_second_factor(State(app): State<App>, oneself: Oneself, filled: Filled) -> Result<Response, Problem> {
    let is_form = filled.is_form;
    let Oneself { tenant, user, .. } = oneself;
    let asked = filled.body.read::<Confirm>(&json!({ "password": "x" }))?;
    app.confirm_password(tenant, user, &asked.password).await?;
    app.as_oneself(tenant, user, Command::DisableSecondFactor).await?;
    app.forget_other_factors(tenant, user).await?;
    Ok(done(asked.next.filter(|_| is_form)))
}

async fn replace_recovery_codes(
    State(app): State<App>,
    oneself: Oneself,
    filled: Filled,
) -> Result<Json<Codes>, Problem> {
    let Oneself { tenant, user, .. } = oneself;
    let asked = filled.body.read::<Confirm>(&json!({ "password": "x" }))?;
    app.confirm_password(tenant, user, &asked.password).await?;
    let id = app.new_id();
    let codes = app.make_recovery_codes(tenant, user, id).await?;
    app.as_oneself(tenant, user, Command::ReplaceRecoveryCodes { codes: id }).await?;
    app.forget_other_factors(tenant, user).await?;
    Ok(Json(Codes { recovery_codes: codes.0 }))
}
