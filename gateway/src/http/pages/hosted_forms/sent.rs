//! What people outside send with a form: read, held to its policies, and recorded.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32, sync::LazyLock};

use axum::{
    Json,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use commands::{Envelope, Refused};
use domain::{
    Actor, ActorKind, Aggregate, Authority, FieldError, Id, Party, PartyKind, Personal, Via,
    desk::{
        form::{Device, Page, Values},
        form_submission::{self, FormSubmission, Noticed},
        ticket::Attachment,
    },
    kernel::access::{Teams, Viewer},
    org::tenant::Tenant,
};
use governor::{Quota, RateLimiter, clock::DefaultClock, state::keyed::DefaultKeyedStateStore};
use projections::Sight;
use serde_json::{Value, json};
use uuid::Uuid;
use web::pages;

use super::{
    super::{
        page_as, redirect,
        sent::{Chosen, Sent},
    },
    Found, device, missing, shown,
};
use crate::{app::App, problem::Problem, sign_in::Browser};

/// Whose forms are filled in from where.
type Limiter = RateLimiter<(Id, IpAddr), DefaultKeyedStateStore<(Id, IpAddr)>, DefaultClock>;

fn limiter(per_minute: u32, burst: u32) -> Limiter {
    let of = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    RateLimiter::keyed(Quota::per_minute(of(per_minute)).allow_burst(of(burst)))
}

/// So much of one form comes from one address and is taken for what people send.
static USUAL: LazyLock<Limiter> = LazyLock::new(|| limiter(6, 12));
/// So much more is kept for somebody to look at; the rest is turned away.
static KEPT: LazyLock<Limiter> = LazyLock::new(|| limiter(6, 30));

/// What one person has: an address of IPv4, or the network that a household is given of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// What was filled in, and of which version of a form.
struct Filled<'a> {
    version: u32,
    page: &'a Page,
    values: Values,
    device: Device,
    noticed: Noticed,
}

/// What came in through a form, and how it is answered.
struct Submission<'a> {
    app: &'a App,
    found: &'a Found,
    origin: Option<String>,
    json: bool,
}

pub(super) async fn submit(
    State(app): State<App>,
    browser: Browser,
    Path((tenant, slug)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = accepted.contains("application/json");
    let Some(found) = app.form_at(&tenant, &slug).await? else {
        return match json {
            true => Err(Problem::missing("form_unknown", "There is no such form.")),
            false => Ok(missing(&headers, &browser)),
        };
    };
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).filter(|origin| *origin != "null");
    let origin = origin.map(str::to_lowercase);
    let submission = Submission { app: &app, found: &found, origin, json };
    let mut answer = match submission.take(&browser, &headers, request).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    };
    // A script on a site that may show the form reads what came of it.
    if let Some(origin) = submission.origin.as_ref().filter(|origin| found.form.state.sites.contains(*origin)) {
        let allowed = HeaderValue::from_str(origin).map_err(|error| Problem::broken(&error))?;
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        answer.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    Ok(answer)
}

impl Submission<'_> {
    async fn take(&self, browser: &Browser, headers: &HeaderMap, request: Request) -> Result<Response, Problem> {
        let Submission { app, found, .. } = self;
        let mut flooding = false;
        if let Some(address) = browser.address.map(network) {
            flooding = USUAL.check_key(&(found.id, address)).is_err();
            if flooding && KEPT.check_key(&(found.id, address)).is_err() {
                return Ok(self.flooded(browser, headers));
            }
            if USUAL.len() > 10_000 {
                USUAL.retain_recent();
                KEPT.retain_recent();
            }
        }
        let takes = |key: &str| usize::from(found.asks_for_file(key));
        let sent = Sent::read(request, app, found.tenant, &takes).await?;
        let answer = self.take_in(browser, headers, &sent, flooding).await;
        sent.forget(app).await;
        answer
    }

    async fn take_in(
        &self,
        browser: &Browser,
        headers: &HeaderMap,
        sent: &Sent,
        flooding: bool,
    ) -> Result<Response, Problem> {
        let Submission { app, found, origin, .. } = self;
        let mut typed = sent.typed.clone();
        let trapped = typed.remove(pages::TRAP).is_some_and(|text| !text.trim().is_empty());
        let token = typed.remove(pages::TOKEN);
        let told = match &token {
            Some(token) => app.form_told(found, token)?,
            None => None,
        };
        let device = device(browser);
        let Some((current, _)) = found.page() else { return Err(unpublished()) };
        let version = told.as_ref().map_or(current, |told| told.version);
        let page = found.form.state.versions.get(&version).ok_or_else(unpublished)?;
        let ours = |origin: &String| {
            *origin == browser.origin.to_lowercase()
                || app.config.sign_in.public_url.as_deref().is_some_and(|url| url.eq_ignore_ascii_case(origin))
                || found.form.state.sites.contains(origin)
        };
        let allowed_site = origin.as_ref().map_or(told.is_some(), ours);
        let noticed = Noticed { trapped, took_ms: told.as_ref().map(|told| told.took_ms), allowed_site, flooding };
        let id = match &told {
            // The same page with the same words was sent twice.
            Some(told) => {
                let said = serde_json::to_string(&typed).unwrap_or_default();
                Id::named(&["form_submission", &found.tenant.to_string(), &found.id.to_string(), &told.nonce, &said])
            }
            None => app.new_id(),
        };
        let values: Values = typed.iter().map(|(key, value)| (key.clone(), Personal(value.clone()))).collect();
        let filled = Filled { version, page, values, device, noticed };
        let faults = match self.record(id, filled, &sent.files).await? {
            Ok(()) => return self.thank(),
            Err(problem)
                if !problem.errors().is_empty()
                    && problem.errors().iter().all(|error| error.pointer.starts_with("/values/")) =>
            {
                problem
            }
            Err(problem) => return Err(problem),
        };
        if self.json {
            return Err(faults);
        }
        let view = found.view(headers, browser, found.path());
        let faults = faults.errors().iter();
        let faults =
            faults.map(|error| (error.pointer.trim_start_matches("/values/").to_owned(), error.code.to_string()));
        let form = pages::HostedForm {
            values: if typed.is_empty() { BTreeMap::from([(String::new(), String::new())]) } else { typed },
            faults: faults.collect(),
            // Whoever mends one word in a moment has read the page for longer.
            token: token.filter(|_| told.is_some()).map_or_else(|| app.form_token(found, version), Ok)?,
            ..shown(app, found, (version, page), device)?
        };
        Ok(page_as(StatusCode::UNPROCESSABLE_ENTITY, pages::form(&view, &form)))
    }

    /// Keeps the files that came as uploads, where they are asked for.
    async fn keep(
        &self,
        files: &[Chosen],
        taken: &Values,
    ) -> Result<Result<BTreeMap<String, Attachment>, Problem>, Problem> {
        let Submission { app, found, .. } = self;
        let limits = app.uploads.intake.limits(found.tenant, None).await?;
        let (mut kept, mut faults) = (BTreeMap::new(), Vec::new());
        for file in files.iter().filter(|file| taken.contains_key(&file.key)) {
            match file.keep(app, &self.envelope(file.upload), &limits).await? {
                Ok(attachment) => drop(kept.insert(file.key.clone(), attachment)),
                Err((code, detail)) => {
                    faults.push(FieldError { pointer: format!("/values/{}", file.key), code: code.into(), detail });
                }
            }
        }
        Ok(match faults.first() {
            Some(first) => Err(Problem::invalid(first.code.clone(), first.detail.clone()).with(faults)),
            None => Ok(kept),
        })
    }

    /// As whom somebody outside writes.
    fn envelope(&self, id: Id) -> Envelope {
        let actor = Actor { kind: ActorKind::Visitor, id: Id::NIL, on_behalf_of: None };
        let envelope = Envelope::new(self.found.tenant, id, actor, Via::Form, self.app.now());
        let command_id = Uuid::from_u128(id.bits());
        Envelope { command_id, remember: true, authority: Authority::full(), ..envelope }
    }

    /// Records what was sent; a refusal says what is wrong with it.
    async fn record(&self, id: Id, filled: Filled<'_>, files: &[Chosen]) -> Result<Result<(), Problem>, Problem> {
        let Submission { app, found, origin, .. } = self;
        let Filled { version, page, values, device, noticed } = filled;
        let tenant = found.tenant;
        if app.commands.load_current::<FormSubmission>(tenant, id).await?.0.is_live() {
            return Ok(Ok(()));
        }
        let country = app.commands.load::<Tenant>(tenant, tenant).await?.0.default_country();
        let taken = page.take(&values, device, country);
        let files = match &taken {
            Ok(taken) => match self.keep(files, taken).await? {
                Ok(kept) => kept,
                Err(problem) => return Ok(Err(problem)),
            },
            Err(_) => BTreeMap::new(),
        };
        let taken = taken.unwrap_or_default();
        let addresses = form_submission::addresses(page, &taken);
        let envelope = self.envelope(id);
        let mut nameless = false;
        for turn in 0.. {
            let contact = match nameless {
                true => None,
                false => app.commands.contact_at(tenant, &addresses).await?,
            };
            let entitlement = match (contact, page.filled(&taken, "ticket.product")) {
                (Some(contact), Some(product)) => self.owned(contact, product).await?,
                _ => None,
            };
            let command = form_submission::Command::Submit {
                form: found.id,
                version,
                values: values.clone(),
                files: files.clone(),
                site: origin.clone(),
                device,
                noticed: noticed.clone(),
                contact,
                entitlement,
                nameless,
            };
            match app.commands.dispatch::<FormSubmission>(&envelope, command).await {
                Ok(_) => return Ok(Ok(())),
                Err(Refused::Rejected(refusal)) => {
                    let about_values = refusal.errors.iter().any(|error| error.pointer.starts_with("/values/"));
                    if about_values || turn == 2 {
                        return Ok(Err(refusal.into()));
                    }
                    // Somebody else got the address a moment ago: asked again he is known. Whoever has it and is put away is
                    // nobody who asks.
                    nameless = turn == 1;
                }
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(unpublished())
    }

    /// By what a contact, or one of the companies it belongs to, owns a product now.
    async fn owned(&self, contact: Id, product: &str) -> Result<Option<Id>, Problem> {
        let Submission { app, found, .. } = self;
        let (authority, teams) = (Authority::full(), Teams::default());
        let sight = Sight::of(&Viewer { user: Id::NIL, authority: &authority, teams: &teams });
        let holder = Party { kind: PartyKind::Contact, id: contact };
        let owned =
            projections::entitlement_picker(&app.reads().pool, found.tenant, holder, app.now(), None, &sight, 200);
        let owned = owned.await?;
        let rows = owned.iter().filter_map(|row| serde_json::from_str::<Value>(row.get()).ok());
        let of_product = rows.filter(|row| row["product_id"] == product);
        Ok(of_product.filter_map(|row| row["id"].as_str()?.parse().ok()).next())
    }

    /// Whatever became of it: whoever sent it is thanked.
    fn thank(&self) -> Result<Response, Problem> {
        if self.json {
            return Ok(Json(json!({ "status": "received" })).into_response());
        }
        redirect(&format!("{}/thanks", self.found.path()))
    }

    fn flooded(&self, browser: &Browser, headers: &HeaderMap) -> Response {
        let wait = [(header::RETRY_AFTER, HeaderValue::from_static("60"))];
        if self.json {
            let detail = "A lot was sent from this address just now. Try again in a minute.";
            return Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(60).into_response();
        }
        let view = self.found.view(headers, browser, self.found.path());
        let answer = page_as(StatusCode::TOO_MANY_REQUESTS, pages::form_flooded(&view, &self.found.name));
        (wait, answer).into_response()
    }
}

fn unpublished() -> Problem {
    Problem::from(form_submission::UNPUBLISHED)
}
