//! Forms as people outside see and send them: a page, a script for other sites, and what they send.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, LazyLock},
};

use axum::{
    Form as Encoded, Json,
    extract::{FromRequest, Multipart, Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use commands::{Envelope, Refused};
use domain::{
    Actor, ActorKind, Aggregate, Authority, Id, Party, PartyKind, Personal, Rejection, Via,
    desk::{
        form::{self, Device, Field, Form, InputType, LabelPosition, Page, Values},
        form_submission::{self, FormSubmission, Noticed},
    },
    kernel::access::{Teams, Viewer},
    org::{team::Team, tenant::Tenant},
};
use governor::{Quota, RateLimiter, clock::DefaultClock, state::keyed::DefaultKeyedStateStore};
use projections::Sight;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use web::{Language, View, pages};

use super::{page, page_as, redirect, view_of};
use crate::{app::App, http::kernel::routes::Routes, problem::Problem, sign_in::Browser};

/// Everything under `/forms`, for anybody.
pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/forms/{tenant}/{slug}", show)
        .post("/forms/{tenant}/{slug}", submit)
        .get("/forms/{tenant}/{slug}/thanks", thanks)
        .open()
}

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

/// A form that is published.
struct Found {
    tenant: Id,
    id: Id,
    form: Arc<Form>,
    name: String,
    slug: String,
    help_first: bool,
}

impl Found {
    fn path(&self) -> String {
        format!("/forms/{}/{}", self.tenant, self.slug)
    }

    fn page(&self) -> Option<(u32, &Page)> {
        self.form.page()
    }

    /// What a page of it is signed for.
    fn owner(&self) -> String {
        format!("form {} {}", self.tenant, self.id)
    }

    fn view(&self, headers: &HeaderMap, browser: &Browser, path: String) -> View {
        let view = view_of(headers, browser, path, None);
        let set = self.page().and_then(|(_, page)| Language::of_tag(page.about.language.as_deref()?));
        // Whoever chose a language on this very page keeps it.
        match set.filter(|_| browser.cookie(crate::sign_in::Cookie::Language).is_none()) {
            Some(language) => View { language, ..view },
            None => view,
        }
    }
}

impl App {
    /// The form at an address, if its page is there.
    async fn form_at(&self, tenant: &str, slug: &str) -> Result<Option<Found>, Problem> {
        let Ok(tenant) = tenant.parse::<Id>() else { return Ok(None) };
        let owner = self.log.claim_owner(&tenant.to_string(), form::SLUG_SCOPE, slug).await?;
        let id = owner.and_then(|owner| owner.stream.split_once('-')?.1.parse::<Id>().ok());
        let Some(id) = id else { return Ok(None) };
        let (form, _) = self.commands.load_current::<Form>(tenant, id).await?;
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        if settings.missing_feature(Form::KIND).is_some() {
            return Ok(None);
        }
        let Some((_, shown)) = form.page() else { return Ok(None) };
        let help_first = match shown.about.team {
            Some(team) => self.commands.load::<Team>(tenant, team).await?.0.help_centre_published(),
            None => false,
        };
        let name = settings.name.clone().unwrap_or_default();
        Ok(Some(Found { tenant, id, form, name, slug: slug.to_owned(), help_first }))
    }

    /// What says when a page was made, and of which version it is, so that nobody else can say it.
    fn form_token(&self, found: &Found, version: u32) -> Result<String, Problem> {
        let said = format!("{}.{version}.{}", self.now().as_millisecond(), self.new_id());
        let mark = self.sign_in.sign(&found.owner(), &said)?;
        Ok(format!("{said}.{mark}"))
    }

    /// What such a token says, where it is one of ours.
    fn form_told(&self, found: &Found, token: &str) -> Result<Option<Told>, Problem> {
        let Some((said, mark)) = token.rsplit_once('.') else { return Ok(None) };
        if !self.sign_in.is_signed(&found.owner(), said, mark)? {
            return Ok(None);
        }
        let mut parts = said.split('.');
        let told = (|| {
            let made = parts.next()?.parse::<i64>().ok()?;
            let version = parts.next()?.parse().ok()?;
            let took_ms = u64::try_from(self.now().as_millisecond().saturating_sub(made)).unwrap_or_default();
            Some(Told { took_ms, version, nonce: parts.next()?.to_owned() })
        })();
        Ok(told)
    }
}

/// What a page says of itself when it is sent.
struct Told {
    took_ms: u64,
    version: u32,
    nonce: String,
}

fn device(browser: &Browser) -> Device {
    let phone = browser.user_agent.as_deref().is_some_and(|agent| agent.contains("Mobi"));
    if phone { Device::Phone } else { Device::Desktop }
}

fn shown_field(field: &Field) -> pages::HostedField {
    use pages::HostedInput;
    let input = match field.input_type {
        InputType::Text | InputType::File => HostedInput::Text,
        InputType::Email => HostedInput::Email,
        InputType::Phone => HostedInput::Tel,
        InputType::Url => HostedInput::Url,
        InputType::Number => HostedInput::Number,
        InputType::Date => HostedInput::Date,
        InputType::Select => HostedInput::Select,
        InputType::Checkbox => HostedInput::Checkbox,
        InputType::Textarea => HostedInput::Textarea,
    };
    let conditions = field.visible_if.iter().flat_map(|visible| &visible.all);
    pages::HostedField {
        key: field.key.clone(),
        input,
        label: field.label.clone(),
        label_position: match field.label_position {
            LabelPosition::Above => "above",
            LabelPosition::Left => "left",
            LabelPosition::Hidden => "hidden",
        },
        help: field.help.clone(),
        placeholder: field.placeholder.clone(),
        default: field.default.clone(),
        required: field.required,
        options: field.choices().map(|(value, label)| (value.to_owned(), label.to_owned())).collect(),
        conditions: conditions
            .map(|condition| pages::HostedCondition {
                field: condition.field.clone(),
                values: condition.values.clone(),
            })
            .collect(),
        autocomplete: match field.maps_to.as_deref() {
            Some("contact.name") => "name",
            Some("contact.email") => "email",
            Some("contact.phone") => "tel",
            _ => "off",
        },
        animation: field.animation.clone(),
    }
}

/// A form as it is shown on a device.
fn shown(
    app: &App,
    found: &Found,
    (version, page): (u32, &Page),
    device: Device,
) -> Result<pages::HostedForm, Problem> {
    let there = |field: &&Field| {
        field.visible_if.as_ref().is_none_or(|visible| visible.device.is_none_or(|only| only == device))
    };
    Ok(pages::HostedForm {
        tenant: found.name.clone(),
        action: found.path(),
        title: page.about.name.clone(),
        text: page.about.text.clone(),
        button: page.about.button.clone(),
        website: page.about.website.clone(),
        token: app.form_token(found, version)?,
        fields: page.fields.iter().filter(there).map(shown_field).collect(),
        values: BTreeMap::new(),
        faults: BTreeMap::new(),
    })
}

fn missing(headers: &HeaderMap, browser: &Browser) -> Response {
    page_as(StatusCode::NOT_FOUND, pages::form_missing(&view_of(headers, browser, "/".to_owned(), None)))
}

/// Whether people are asked for although the help centre comes first.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    contact: bool,
}

async fn show(
    State(app): State<App>,
    browser: Browser,
    Path((tenant, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (slug, is_script) = name.strip_suffix(".js").map_or((name.as_str(), false), |slug| (slug, true));
    let Some(found) = app.form_at(&tenant, slug).await? else {
        return Ok(if is_script { nothing_there() } else { missing(&headers, &browser) });
    };
    let Some(current) = found.page() else { return Ok(missing(&headers, &browser)) };
    let contact = format!("{}?contact=true", found.path());
    let view = found.view(&headers, &browser, if asked.contact { contact.clone() } else { found.path() });
    let form = shown(&app, &found, current, device(&browser))?;
    if is_script {
        let script = pages::form_script(&view, &form, &browser.origin, current.1.about.thanks.as_deref());
        let told = [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        ];
        return Ok((told, script).into_response());
    }
    if found.help_first && !asked.contact {
        return Ok(page(pages::form_help_first(&view, &form, &contact)));
    }
    Ok(page(pages::form(&view, &form)))
}

/// A script that there is not: it says so where it is looked for.
fn nothing_there() -> Response {
    let told = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (StatusCode::NOT_FOUND, told, "console.warn(\"Deskfold: there is no such form\");").into_response()
}

async fn thanks(
    State(app): State<App>,
    browser: Browser,
    Path((tenant, slug)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = app.form_at(&tenant, &slug).await? else { return Ok(missing(&headers, &browser)) };
    let Some((_, shown)) = found.page() else { return Ok(missing(&headers, &browser)) };
    let view = found.view(&headers, &browser, format!("{}/thanks", found.path()));
    let about = &shown.about;
    Ok(page(pages::form_thanks(&view, &found.name, about.thanks.as_deref(), about.website.as_deref())))
}

/// What was sent, by the names of its fields; files are none.
async fn sent(request: Request, app: &App) -> Result<BTreeMap<String, String>, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let Encoded(pairs) = Encoded::<Vec<(String, String)>>::from_request(request, app).await.map_err(|error| {
            let detail = "A form is sent as application/x-www-form-urlencoded or multipart/form-data.";
            match error.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => crate::http::kernel::request::too_large(),
                _ => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail),
            }
        })?;
        return Ok(pairs.into_iter().collect());
    }
    let unreadable = |_| Problem::bad_request("body_unreadable", "The body cannot be read as multipart/form-data.");
    let mut parts = Multipart::from_request(request, app)
        .await
        .map_err(|_| Problem::bad_request("body_unreadable", "The body cannot be read as multipart/form-data."))?;
    let mut values = BTreeMap::new();
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        let Some(name) = part.name().map(ToOwned::to_owned) else { continue };
        let is_file = part.file_name().is_some();
        let text = part.text().await.map_err(unreadable)?;
        if is_file && text.is_empty() {
            continue; // Nothing was chosen.
        }
        values.insert(name, text);
    }
    Ok(values)
}

/// What one person has: an address of IPv4, or the network that a household is given of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// What came in through a form, and how it is answered.
struct Submission<'a> {
    app: &'a App,
    found: &'a Found,
    origin: Option<String>,
    json: bool,
}

async fn submit(
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
        let Submission { app, found, origin, .. } = self;
        let mut typed = sent(request, app).await?;
        let trapped = typed.remove(pages::TRAP).is_some_and(|text| !text.trim().is_empty());
        let told = match typed.remove(pages::TOKEN) {
            Some(token) => app.form_told(found, &token)?,
            None => None,
        };
        let device = device(browser);
        let Some((current, _)) = found.page() else { return Err(unpublished()) };
        let version = told.as_ref().map_or(current, |told| told.version);
        let page = found.form.state.versions.get(&version).ok_or_else(unpublished)?;
        // A file field that was left empty says nothing, nor does what a browser adds of its own.
        let values: Values = typed.iter().map(|(key, value)| (key.clone(), Personal(value.clone()))).collect();

        let ours = |origin: &String| {
            *origin == browser.origin.to_lowercase()
                || app.config.sign_in.public_url.as_deref().is_some_and(|url| url.eq_ignore_ascii_case(origin))
                || found.form.state.sites.contains(origin)
        };
        let allowed_site = origin.as_ref().map_or(told.is_some(), ours);
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
        let noticed = Noticed { trapped, took_ms: told.as_ref().map(|told| told.took_ms), allowed_site, flooding };
        let id = match &told {
            // The same page with the same words was sent twice.
            Some(told) => {
                let said = serde_json::to_string(&typed).unwrap_or_default();
                Id::named(&["form_submission", &found.tenant.to_string(), &found.id.to_string(), &told.nonce, &said])
            }
            None => app.new_id(),
        };
        match self.record(id, version, page, values, device, noticed).await? {
            Ok(()) => self.thank(),
            Err(refusal)
                if refusal.errors.iter().all(|error| error.pointer.starts_with("/values/"))
                    && !refusal.errors.is_empty() =>
            {
                if self.json {
                    return Err(Problem::from(refusal));
                }
                let view = found.view(headers, browser, found.path());
                let faults = refusal
                    .errors
                    .into_iter()
                    .map(|error| (error.pointer.trim_start_matches("/values/").to_owned(), error.code.into_owned()));
                let form = pages::HostedForm {
                    values: if typed.is_empty() { BTreeMap::from([(String::new(), String::new())]) } else { typed },
                    faults: faults.collect(),
                    ..shown(app, found, (version, page), device)?
                };
                Ok(page_as(StatusCode::UNPROCESSABLE_ENTITY, pages::form(&view, &form)))
            }
            Err(refusal) => Err(Problem::from(refusal)),
        }
    }

    /// Records what was sent; a refusal says what is wrong with it.
    async fn record(
        &self,
        id: Id,
        version: u32,
        page: &Page,
        values: Values,
        device: Device,
        noticed: Noticed,
    ) -> Result<Result<(), Rejection>, Problem> {
        let Submission { app, found, origin, .. } = self;
        let tenant = found.tenant;
        let country = app.commands.load::<Tenant>(tenant, tenant).await?.0.default_country();
        let taken = page.take(&values, device, country).unwrap_or_default();
        let addresses = form_submission::addresses(page, &taken);
        let actor = Actor { kind: ActorKind::Visitor, id: Id::NIL, on_behalf_of: None };
        let envelope = Envelope::new(tenant, id, actor, Via::Form, app.now());
        let command_id = Uuid::from_u128(id.bits());
        let envelope = Envelope { command_id, remember: true, authority: Authority::full(), ..envelope };
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
                        return Ok(Err(refusal));
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
