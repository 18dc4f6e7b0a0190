//! Forms as people outside see them: a page, and a script for other sites.

mod sent;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use domain::{
    Aggregate, Id,
    desk::{
        article::Article,
        form::{self, Device, Field, Form, InputType, LabelPosition, Page},
    },
    org::{
        team::{ChannelKind, Team},
        tenant::Tenant,
    },
};
use serde::Deserialize;
use web::{Language, View, pages};

use super::{page, page_as, view_of};
use crate::{app::App, http::kernel::routes::Routes, problem::Problem, sign_in::Browser};

/// Everything under `/forms`, for anybody.
pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/forms/{tenant}/{slug}", show)
        .route(Method::POST, "/forms/{tenant}/{slug}", post(sent::submit).layer(DefaultBodyLimit::max(LARGEST)))
        .get("/forms/{tenant}/{slug}/thanks", thanks)
        .open()
}

/// So many bytes has all that is sent with a form, files included.
const LARGEST: usize = 64 << 20;
/// A form that is published.
struct Found {
    tenant: Id,
    id: Id,
    form: Arc<Form>,
    name: String,
    slug: String,
    help_first: bool,
    /// Where the help centre is, while the portal is open.
    help: Option<String>,
}

impl Found {
    fn path(&self) -> String {
        format!("/forms/{}/{}", self.tenant, self.slug)
    }

    fn page(&self) -> Option<(u32, &Page)> {
        self.form.page()
    }

    /// Whether a version of it has a file in this field.
    fn asks_for_file(&self, key: &str) -> bool {
        let mut fields = self.form.state.versions.values().flat_map(|page| &page.fields);
        fields.any(|field| field.key == key && field.input_type == InputType::File)
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
        let id = owner.and_then(|owner| owner.key().parse::<Id>().ok());
        let Some(id) = id else { return Ok(None) };
        let (form, _) = self.commands.load_current::<Form>(tenant, id).await?;
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        if settings.missing_feature(Form::KIND).is_some() {
            return Ok(None);
        }
        let Some((_, shown)) = form.page() else { return Ok(None) };
        let mut help_first = false;
        if let Some(team) = shown.about.team {
            let (team, _) = self.commands.load::<Team>(tenant, team).await?;
            if team.archived || team.closed.contains(&ChannelKind::Form) {
                return Ok(None);
            }
            help_first = team.help_centre_published();
        }
        let name = settings.name.clone().unwrap_or_default();
        let reads = settings.missing_feature(Article::KIND).is_none();
        let help = settings.portal.as_ref().filter(|_| reads).map(|_| format!("/portal/{tenant}"));
        Ok(Some(Found { tenant, id, form, name, slug: slug.to_owned(), help_first, help }))
    }

    /// What says when a page was made, and of which version it is, so that nobody else can say it.
    fn form_token(&self, found: &Found, version: u32) -> Result<String, Problem> {
        let said = format!("{}.{version}.{}", self.now().as_millisecond(), self.new_id());
        let mark = self.sign_in.sign(&found.owner(), &said)?;
        Ok(format!("{said}.{mark}"))
    }

    /// What such a token says, where it is one of ours.
    fn form_told(&self, found: &Found, token: &str) -> Result<Option<Shown>, Problem> {
        let Some((said, mark)) = token.rsplit_once('.') else { return Ok(None) };
        if !self.sign_in.is_signed(&found.owner(), said, mark)? {
            return Ok(None);
        }
        let mut parts = said.split('.');
        let told = (|| {
            let made = parts.next()?.parse::<i64>().ok()?;
            let version = parts.next()?.parse().ok()?;
            let took_ms = u64::try_from(self.now().as_millisecond().saturating_sub(made)).unwrap_or_default();
            Some(Shown { took_ms, version, nonce: parts.next()?.to_owned() })
        })();
        Ok(told)
    }
}

/// What a page says of itself when it is sent.
struct Shown {
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
        InputType::Text => HostedInput::Text,
        InputType::File => HostedInput::File,
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
        return Ok(page(pages::form_help_first(&view, &form, &contact, found.help.as_deref())));
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
