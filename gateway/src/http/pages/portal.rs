//! The portal of a tenant: whose it is, who is signed in, and what of the desk is theirs to see.

mod help;
mod tickets;

use axum::{
    extract::{DefaultBodyLimit, Form as Encoded, FromRequestParts, Path, RawPathParams, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use domain::{
    Id,
    crm::contact::{self, Contact},
    desk::form::Form,
    kernel::{email, named::Either},
    org::{portal::Portal, tenant::Tenant},
};
use projections::{ListRequest, Page};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use web::{Language, View, pages};

use super::{page, page_as, redirect, view_of};
use crate::{
    app::App,
    http::kernel::{lists::invalid, request, routes::Routes},
    problem::Problem,
    sign_in::{Asked, Browser, Cookie, Entered},
};

/// Everything under `/portal`, for anybody.
pub(super) fn routes() -> Routes {
    let large = || DefaultBodyLimit::max(tickets::LARGEST);
    Routes::new()
        .get("/portal", own)
        .get("/portal/{tenant}", help::home)
        .get("/portal/{tenant}/colors.css", colors)
        .get("/portal/{tenant}/articles/{id}", help::article)
        .post("/portal/{tenant}/articles/{id}/vote", help::vote)
        .get("/portal/{tenant}/sign_in", sign_in)
        .route(Method::POST, "/portal/{tenant}/sign_in", post(ask))
        .post("/portal/{tenant}/code", enter)
        .post("/portal/{tenant}/sign_out", sign_out)
        .get("/portal/{tenant}/tickets", tickets::list)
        .route(Method::POST, "/portal/{tenant}/tickets", post(tickets::open).layer(large()))
        .get("/portal/{tenant}/tickets/new", tickets::new)
        .get("/portal/{tenant}/tickets/{id}", tickets::show)
        .route(Method::POST, "/portal/{tenant}/tickets/{id}/reply", post(tickets::reply).layer(large()))
        .post("/portal/{tenant}/tickets/{id}/close", tickets::close)
        .post("/portal/{tenant}/tickets/{id}/reopen", tickets::reopen)
        .post("/portal/{tenant}/tickets/{id}/rate", tickets::rate)
        .get("/portal/{tenant}/orders", tickets::orders)
        .open()
}

/// A customer who is signed in.
struct Customer {
    /// As whom: what he does is done by this contact, even where another goes on for it.
    signed: Id,
    session: Id,
    /// Who he is now.
    contact: Id,
    name: String,
    /// The companies whose tickets and orders he sees.
    companies: Vec<Id>,
}

/// Whose portal it is, and who looks.
struct Here {
    app: App,
    tenant: Id,
    portal: Portal,
    frame: pages::PortalFrame,
    view: View,
    browser: Browser,
    customer: Option<Customer>,
}

impl FromRequestParts<App> for Here {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Here, Response> {
        let browser = Browser::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let tenant = params.iter().find(|(name, _)| *name == "tenant").and_then(|(_, id)| id.parse::<Id>().ok());
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let view = view_of(&parts.headers, &browser, path, None);
        let here = Here::of(app, tenant, view.clone(), browser).await.map_err(IntoResponse::into_response)?;
        here.ok_or_else(|| page_as(StatusCode::NOT_FOUND, pages::portal_missing(&view, None)))
    }
}

/// A portal and who is signed in to it; all others are led to where one signs in.
struct Inside {
    here: Here,
    customer: Customer,
}

impl FromRequestParts<App> for Inside {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Inside, Response> {
        let mut here = Here::from_request_parts(parts, app).await?;
        match here.customer.take() {
            Some(customer) => Ok(Inside { here, customer }),
            None => {
                let way = format!("{}/sign_in", here.home());
                Err(redirect(&way).unwrap_or_else(IntoResponse::into_response))
            }
        }
    }
}

impl Here {
    async fn of(app: &App, tenant: Option<Id>, view: View, browser: Browser) -> Result<Option<Here>, Problem> {
        let Some(tenant) = tenant else { return Ok(None) };
        let (settings, _) = app.commands.load_current::<Tenant>(tenant, tenant).await?;
        let Some(portal) = settings.portal.clone() else { return Ok(None) };
        let has = |kind: &str| settings.missing_feature(kind).is_none();
        let chosen = browser.cookie(Cookie::Language).is_some();
        let set = portal.language.as_deref().filter(|_| !chosen).and_then(Language::of_tag);
        let view = View { language: set.unwrap_or(view.language), ..view };
        let customer = match app.customer(tenant, &browser).await? {
            Some((signed, session, contact)) => {
                let (known, _) = app.commands.load_current::<Contact>(tenant, contact).await?;
                let name = known.fields.as_ref().map(|fields| fields.name.0.clone()).unwrap_or_default();
                let companies =
                    if portal.company_tickets { known.companies().into_iter().collect() } else { Vec::new() };
                Some(Customer { signed, session, contact, name, companies })
            }
            None => None,
        };
        let frame = pages::PortalFrame {
            name: portal.name.clone().or(settings.name.clone()).unwrap_or_default(),
            home: format!("/portal/{tenant}"),
            help: has("article"),
            tickets: has("ticket"),
            orders: has("order"),
            customer: customer.as_ref().map(|customer| customer.name.clone()),
        };
        Ok(Some(Here { app: app.clone(), tenant, portal, frame, view, browser, customer }))
    }

    fn home(&self) -> &str {
        &self.frame.home
    }

    fn missing(&self) -> Response {
        page_as(StatusCode::NOT_FOUND, pages::portal_missing(&self.view, Some(&self.frame)))
    }

    /// The page of the form by which one writes without signing in, if it is there.
    async fn form(&self) -> Result<Option<String>, Problem> {
        let Some(id) = self.portal.form else { return Ok(None) };
        let (form, _) = self.app.commands.load::<Form>(self.tenant, id).await?;
        let page = form.page().filter(|_| self.frame.tickets);
        Ok(page.map(|(_, page)| format!("/forms/{}/{}?contact=true", self.tenant, page.about.slug)))
    }

    /// A page of a list that this program asks for itself.
    async fn listed<R: DeserializeOwned>(
        &self,
        kind: &str,
        filter: &Value,
        sort: &str,
        request: ListRequest,
    ) -> Result<(Vec<R>, Page), Problem> {
        let Some(list) = projections::lists().find(|list| list.lists(kind)) else {
            return Err(Problem::missing("route_unknown", format!("There is no list of {kind}.")));
        };
        let asked = ListRequest::asked(list, (Some(filter), Some(sort)), &Default::default(), None, None);
        let ListRequest { filter, sort, .. } = asked.map_err(invalid)?;
        let request = ListRequest { filter, sort, ..request };
        request.check_after(list).map_err(|fault| invalid(vec![fault]))?;
        request::can_be_read(list, &self.app).await?;
        let page = projections::list(list, &self.app.reads().pool, self.tenant, &request).await?;
        let rows = page.data.iter().map(|row| serde_json::from_str(row.get()).map_err(|error| Problem::broken(&error)));
        Ok((rows.collect::<Result<_, _>>()?, page))
    }
}

/// `/portal` on a host name of a tenant leads to its portal.
async fn own(State(app): State<App>, browser: Browser, headers: HeaderMap) -> Result<Response, Problem> {
    match app.tenant_of_host(&browser).await? {
        Some(tenant) => redirect(&format!("/portal/{tenant}")),
        None => {
            let view = view_of(&headers, &browser, "/portal".to_owned(), None);
            Ok(page_as(StatusCode::NOT_FOUND, pages::portal_missing(&view, None)))
        }
    }
}

async fn colors(here: Here) -> Result<Response, Problem> {
    let color = here.portal.color.map(|color| (color.to_string(), color.readable().to_string()));
    let sheet = pages::portal_sheet(color.as_ref().map(|(ground, ink)| (&**ground, &**ink)));
    Ok(([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], sheet)
        .into_response())
}

async fn sign_in(here: Here) -> Result<Response, Problem> {
    if here.customer.is_some() || !here.frame.tickets {
        return redirect(&format!("{}/tickets", here.home()));
    }
    let at = pages::PortalSignIn::Address { typed: String::new(), fault: None };
    Ok(page(pages::portal_sign_in(&here.view, &here.frame, &at)))
}

/// Whether somebody has tried too often.
fn is_throttled(problem: &Problem) -> bool {
    problem.status() == StatusCode::TOO_MANY_REQUESTS
}

/// An address to sign in with.
#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    email: String,
}

async fn ask(here: Here, Encoded(Typed { email: typed }): Encoded<Typed>) -> Result<Response, Problem> {
    here.browser.must_not_be_foreign()?;
    let address = typed.trim().to_owned();
    let refused = |status, fault| {
        let at = pages::PortalSignIn::Address { typed: address.clone(), fault: Some(fault) };
        Ok(page_as(status, pages::portal_sign_in(&here.view, &here.frame, &at)))
    };
    if !email::is_email(&address) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "address");
    }
    let mail = pages::portal_mail(&here.view, &here.frame.name);
    match here.app.ask_for_code(here.tenant, &here.portal, &address, mail, &here.browser).await {
        Ok(Asked::Mailed(token)) => {
            let at = pages::PortalSignIn::Code { address, token, fault: None };
            Ok(page(pages::portal_sign_in(&here.view, &here.frame, &at)))
        }
        Ok(Asked::Nothing) => refused(StatusCode::SERVICE_UNAVAILABLE, "mail"),
        Err(problem) if is_throttled(&problem) => refused(StatusCode::TOO_MANY_REQUESTS, "often"),
        Err(problem) => Err(problem),
    }
}

/// A code.
#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    token: String,
    #[serde(default)]
    code: String,
}

async fn enter(here: Here, Encoded(Code { token, code }): Encoded<Code>) -> Result<Response, Problem> {
    here.browser.must_not_be_foreign()?;
    let wrong = |status, address: Option<String>, fault| {
        let at = match address {
            Some(address) => pages::PortalSignIn::Code { address, token: token.clone(), fault: Some(fault) },
            None => pages::PortalSignIn::Address { typed: String::new(), fault: Some(fault) },
        };
        Ok(page_as(status, pages::portal_sign_in(&here.view, &here.frame, &at)))
    };
    match here.app.enter_code(here.tenant, &here.portal, &token, &code, &here.browser).await {
        Ok(Entered::Signed(cookie)) => {
            let mut response = redirect(&format!("{}/tickets", here.home()))?;
            response.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Ok(Entered::Wrong(address)) => wrong(StatusCode::UNPROCESSABLE_ENTITY, address, "code"),
        Err(problem) if is_throttled(&problem) => wrong(StatusCode::TOO_MANY_REQUESTS, None, "often"),
        Err(problem) => Err(problem),
    }
}

async fn sign_out(here: Here) -> Result<Response, Problem> {
    here.browser.must_be_ours()?;
    if let Some(Customer { signed, session, .. }) = &here.customer {
        let command = contact::Command::EndPortalSessions { session: Some(*session) };
        let envelope = here.app.as_customer(here.tenant, *signed, *signed);
        here.app.commands.dispatch::<Contact>(&envelope, Either::Own(command)).await?;
    }
    let mut response = redirect(here.home())?;
    response.headers_mut().append(header::SET_COOKIE, here.browser.forget(Cookie::Portal)?);
    Ok(response)
}

/// The record that a path names.
fn named(Path((_, id)): &Path<(String, String)>) -> Option<Id> {
    id.parse().ok()
}
