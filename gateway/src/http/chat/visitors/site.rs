//! An agency's own site: published properties out, enquiries in. `/site/{channel}/...`, for pages of any origin that the channel allows, and
//! for the site's own server.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use commands::Envelope;
use domain::{
    Actor, ActorKind, Aggregate, Authority, Facts, Id, Money, Personal, Time, Via,
    chat::channel,
    crm::{
        contact::{self, Identity, IdentityKind},
        enquiry::{self, Criteria, Enquiry},
        property::{Kind, Location, Media, MediaKind, Purpose, SITE},
    },
    kernel::{
        aggregate::AnyState,
        email::is_email,
        filter::Filter,
        named::Either,
        record::{Common, New},
        valid,
    },
    org::{tenant::Tenant, upload::Upload},
};
use projections::{List, ListRequest};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Chat, preflight, thread::Attached};
use crate::{
    app::App,
    http::kernel::{
        lists::invalid,
        request::{self, Body, Nothing, Params},
        routes::Routes,
    },
    problem::Problem,
    sign_in::Browser,
};

/// Properties on a page, unless it asks for fewer or more.
const USUAL: u32 = 20;
/// Properties on a page at most.
const MOST: u32 = 100;
/// Longest that somebody writes.
const LONGEST: usize = 5_000;

/// Everything under `/site/{channel}`.
pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Method::GET, "/site/{channel}/properties", get(published).options(preflight))
        .route(Method::GET, "/site/{channel}/properties/{property}", get(one).options(preflight))
        .route(Method::POST, "/site/{channel}/enquiries", post(enquire).options(preflight))
}

/// In what order.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SiteOrder")]
pub(in crate::http) enum Order {
    /// What came last first.
    #[default]
    Newest,
    /// What costs least first.
    Cheapest,
    /// What costs most first.
    Dearest,
    /// What is largest first.
    Largest,
}

/// What one looks for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SiteSearch")]
pub(in crate::http) struct Search {
    /// To buy or to rent.
    purpose: Option<Purpose>,
    /// What sort.
    kind: Option<Kind>,
    /// In which city.
    city: Option<String>,
    /// In which country, ISO 3166-1 alpha-2.
    country: Option<String>,
    /// In which currency it is priced, ISO 4217; needed with a price.
    currency: Option<String>,
    /// At least this price.
    price_from: Option<Decimal>,
    /// At most this price.
    price_to: Option<Decimal>,
    /// At least so many rooms.
    rooms_from: Option<u16>,
    /// At least so many square metres.
    area_from: Option<Decimal>,
    /// Words of its title or address.
    q: Option<String>,
    /// In what order.
    order: Order,
    /// How many, 1 to 100; 20 without it.
    limit: Option<u32>,
    /// The page after this cursor: `next` of the one before.
    after: Option<String>,
}

/// A picture of a property, or a film, a tour, a plan.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SitePicture")]
pub(in crate::http) struct Picture {
    /// What sort.
    kind: MediaKind,
    /// What it shows.
    caption: Option<String>,
    /// Where it is; absent where it is a file.
    url: Option<String>,
    /// The file, with addresses that need no key and stay the same all day.
    file: Option<Attached>,
}

/// A property as the world may see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteProperty")]
pub(in crate::http) struct Shown {
    /// Its id.
    id: Id,
    /// The title of its advertisement.
    name: String,
    /// What sort of property.
    kind: Kind,
    /// Whether it is sold or let.
    purpose: Purpose,
    /// What it costs.
    price: Option<Money>,
    /// Street and number.
    address: Option<String>,
    /// City.
    city: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    country: Option<String>,
    /// Where it lies.
    location: Option<Location>,
    /// Area in square metres, as text.
    area: Option<Decimal>,
    /// Rooms.
    rooms: Option<u16>,
    /// Its floor.
    floor: Option<i16>,
    /// Floors of the building.
    floors: Option<u16>,
    /// What it has.
    features: Vec<String>,
    /// The text of its advertisement.
    description: Option<String>,
    /// Pictures, the first one first.
    pictures: Vec<Picture>,
    /// When it last changed.
    updated_at: Time,
}

/// Published properties.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteProperties")]
pub(in crate::http) struct Page {
    /// The properties.
    data: Vec<Shown>,
    /// The cursor of the next page; null on the last.
    next: Option<String>,
}

/// The part of a row of the list of properties that the world may see, before its pictures are looked up.
#[derive(Deserialize)]
struct Row {
    id: Id,
    name: String,
    kind: Kind,
    purpose: Purpose,
    price: Option<Money>,
    address: Option<String>,
    city: Option<String>,
    country: Option<String>,
    location: Option<Location>,
    area: Option<Decimal>,
    rooms: Option<u16>,
    floor: Option<i16>,
    floors: Option<u16>,
    #[serde(default)]
    features: Vec<String>,
    description: Option<String>,
    #[serde(default)]
    media: Vec<Media>,
    updated_at: Time,
}

impl Shown {
    async fn of(app: &App, tenant: Id, row: Row) -> Result<Shown, Problem> {
        let mut pictures = Vec::with_capacity(row.media.len());
        for media in row.media {
            let file = match media.upload_id {
                Some(upload) => {
                    let (kept, _) = app.commands.load::<Upload>(tenant, upload).await?;
                    match kept.file.as_ref().filter(|_| kept.is_kept()) {
                        Some(file) => Some(Attached::of(app, tenant, upload, file)?),
                        None => continue,
                    }
                }
                None => None,
            };
            pictures.push(Picture { kind: media.kind, caption: media.caption, url: media.url, file });
        }
        let Row { id, name, kind, purpose, price, address, city, country, location, area, .. } = row;
        let Row { rooms, floor, floors, features, description, updated_at, .. } = row;
        Ok(Shown {
            id,
            name,
            kind,
            purpose,
            price,
            address,
            city,
            country,
            location,
            area,
            rooms,
            floor,
            floors,
            features,
            description,
            pictures,
            updated_at,
        })
    }
}

fn list() -> Result<&'static List, Problem> {
    let gone = || Problem::missing("route_unknown", "There are no properties here.");
    projections::lists().find(|list| list.lists("property")).ok_or_else(gone)
}

/// Properties that are published on the site, and for which this holds besides.
async fn read(
    app: &App,
    chat: &Chat,
    conditions: Vec<Value>,
    request: ListRequest,
    sort: Option<&str>,
) -> Result<(Vec<Shown>, Option<String>), Problem> {
    let list = list()?;
    let (tenant, _) = app.commands.load::<Tenant>(chat.tenant, chat.tenant).await?;
    if let Some(feature) = tenant.missing_feature("property") {
        return Err(feature.disabled().into());
    }
    let published = json!({ "field": "portals", "op": "contains", "value": SITE });
    let all: Vec<Value> = [published].into_iter().chain(conditions).collect();
    let all = json!({ "all": all });
    let asked = ListRequest::asked(list, (Some(&all), sort), &Default::default(), tenant.default_country(), None);
    let ListRequest { filter, sort, .. } = asked.map_err(invalid)?;
    let request = ListRequest { filter: Filter::All(vec![filter]), sort, ..request };
    request.check_after(list).map_err(|fault| invalid(vec![fault]))?;
    request::can_be_read(list, app).await?;
    let page = projections::list(list, &app.reads().pool, chat.tenant, &request).await?;
    let mut shown = Vec::with_capacity(page.data.len());
    for row in &page.data {
        let row: Row = serde_json::from_str(row.get()).map_err(|error| Problem::broken(&error))?;
        shown.push(Shown::of(app, chat.tenant, row).await?);
    }
    Ok((shown, page.next))
}

/// An answer with its tag, or that what the caller has still stands.
fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_vec(body).map_err(|error| Problem::broken(&error))?;
    let digest: String = Sha256::digest(&text)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let known = request::text(headers, "if-none-match")?.unwrap_or_default();
    let stands = known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*");
    let mut response = match stands {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).map_err(|error| Problem::broken(&error))?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    Ok(response)
}

async fn published(
    State(app): State<App>,
    chat: Chat,
    Params(search): Params<Search>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Search { purpose, kind, city, country, currency, price_from, price_to, rooms_from, area_from, q, .. } = search;
    let limit = search.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit_invalid", format!("A page has 1 to {MOST} properties.")).at("/limit"));
    }
    if currency.is_none() && (price_from.is_some() || price_to.is_some()) {
        let detail = "A price is compared in one currency: say which.";
        return Err(Problem::invalid("currency_missing", detail).at("/currency"));
    }
    let is = |field: &str, op: &str, value: Value| json!({ "field": field, "op": op, "value": value });
    let conditions = [
        purpose.map(|purpose| is("purpose", "eq", json!(purpose))),
        kind.map(|kind| is("kind", "eq", json!(kind))),
        city.map(|city| is("city", "eq", json!(city))),
        country.map(|country| is("country", "eq", json!(country.to_ascii_uppercase()))),
        currency.map(|currency| is("price.currency", "eq", json!(currency.to_ascii_uppercase()))),
        price_from.map(|price| is("price.amount", "gte", json!(price.to_string()))),
        price_to.map(|price| is("price.amount", "lte", json!(price.to_string()))),
        rooms_from.map(|rooms| is("rooms", "gte", json!(rooms))),
        area_from.map(|area| is("area", "gte", json!(area.to_string()))),
        q.filter(|words| !words.trim().is_empty()).map(|words| {
            let any: Vec<Value> = ["name", "address", "city"].map(|field| is(field, "contains", json!(words))).into();
            json!({ "any": any })
        }),
    ];
    let sort = match search.order {
        Order::Newest => "-created_at",
        Order::Cheapest => "price.amount",
        Order::Dearest => "-price.amount",
        Order::Largest => "-area",
    };
    let request = ListRequest { limit, after: search.after, ..ListRequest::default() };
    let conditions = conditions.into_iter().flatten().collect();
    let (data, next) = read(&app, &chat, conditions, request, Some(sort)).await?;
    tagged(&headers, &Page { data, next })
}

/// One that is published; of any other nothing is told.
async fn found(app: &App, chat: &Chat, id: Id) -> Result<Option<Shown>, Problem> {
    let only = vec![json!({ "field": "id", "op": "eq", "value": id.to_string() })];
    let (data, _) = read(app, chat, only, ListRequest { limit: 1, ..ListRequest::default() }, None).await?;
    Ok(data.into_iter().next())
}

async fn one(
    State(app): State<App>,
    chat: Chat,
    Path((_, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::missing("property_unknown", "No such property is published on this site.");
    let id: Id = id.parse().map_err(|_| missing())?;
    let property = found(&app, &chat, id).await?.ok_or_else(missing)?;
    tagged(&headers, &property)
}

/// What somebody asks on the site.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SiteEnquiry")]
pub(in crate::http) struct Asked {
    /// What the site calls it: the same one is taken in once.
    #[schemars(length(min = 1, max = 200))]
    external_id: String,
    /// How whoever asks is called.
    name: Personal<String>,
    /// E-mail address; this or a number is needed.
    #[serde(default)]
    email: Option<Personal<String>>,
    /// Telephone number.
    #[serde(default)]
    phone: Option<Personal<String>>,
    /// In their words.
    #[serde(default)]
    #[schemars(length(max = 5_000))]
    text: Option<Personal<String>>,
    /// The property that they ask about, which is published on the site.
    #[serde(default)]
    property: Option<Id>,
}

/// What has become of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteEnquired")]
pub(in crate::http) struct Enquired {
    /// The enquiry that it has become.
    enquiry: Id,
}

impl Asked {
    fn check(&self) -> Result<(), Problem> {
        let length = |text: &str| text.trim().chars().count();
        if !(1..=200).contains(&self.external_id.chars().count()) {
            let detail = "What the site calls an enquiry has 1 to 200 characters.";
            return Err(Problem::invalid("external_id_invalid", detail).at("/external_id"));
        }
        if !(1..=200).contains(&length(&self.name)) {
            return Err(Problem::from(valid::NAME_INVALID.at("/name")));
        }
        if self.email.as_ref().is_some_and(|email| !is_email(email.trim())) {
            return Err(Problem::from(valid::EMAIL_INVALID.at("/email")));
        }
        if self.email.is_none() && self.phone.as_ref().is_none_or(|phone| length(phone) == 0) {
            let detail = "Say by what whoever asks is reached: an e-mail address or a number.";
            return Err(Problem::invalid("enquiry_unreachable", detail).at("/email"));
        }
        if self.text.as_ref().is_some_and(|text| text.chars().count() > LONGEST) {
            let detail = format!("An enquiry has at most {LONGEST} characters.");
            return Err(Problem::invalid("enquiry_too_long", detail).at("/text"));
        }
        Ok(())
    }
}

async fn enquire(
    State(app): State<App>,
    chat: Chat,
    Params(Nothing {}): Params<Nothing>,
    browser: Browser,
    body: Body,
) -> Result<(StatusCode, Json<Enquired>), Problem> {
    let asked: Asked = body.read(&json!({ "external_id": "1", "name": "Maria", "email": "maria@example.com" }))?;
    asked.check()?;
    let from =
        Id::named(&["site", &chat.id.to_string(), &browser.address.map(|at| at.to_string()).unwrap_or_default()]);
    app.flood.take(browser.address, from, 1)?;
    let called = |what: &str| Id::named(&[what, &chat.id.to_string(), &asked.external_id]);
    let enquiry = called("site enquiry");
    if app.commands.find::<Enquiry>(chat.tenant, enquiry).await?.is_some() {
        return Ok((StatusCode::OK, Json(Enquired { enquiry })));
    }
    let about = match asked.property {
        Some(property) => {
            let missing = || Problem::invalid("property_unpublished", "No such property is published on this site.");
            Some(found(&app, &chat, property).await?.ok_or_else(|| missing().at("/property"))?)
        }
        None => None,
    };
    let envelope = |id: Id| {
        let actor = Actor { kind: ActorKind::Visitor, id: Id::NIL, on_behalf_of: None };
        let envelope = Envelope::new(chat.tenant, id, actor, Via::Form, app.now());
        let command_id = Uuid::from_u128(id.bits());
        Envelope { command_id, remember: true, authority: Authority::full(), from_outside: true, ..envelope }
    };
    let contact = contact_of(&app, &chat, &asked, &envelope(called("site contact"))).await?;
    let criteria = Criteria {
        purpose: about.as_ref().map(|shown| shown.purpose).unwrap_or_default(),
        kinds: about.iter().map(|shown| shown.kind).collect(),
        cities: about.iter().filter_map(|shown| shown.city.clone()).collect(),
        text: asked.text.clone().filter(|text| !text.trim().is_empty()),
        ..Criteria::default()
    };
    let name = about.as_ref().map_or_else(|| asked.name.trim().to_owned(), |shown| shown.name.clone());
    let fields = enquiry::Fields { name, contact, criteria, source: Some(SITE.to_owned()) };
    let (custom, tags) = Default::default();
    let new = New { fields, custom, owner: None, stage: None, tags, copied_from: None };
    let create = Either::Common(Common::Create(new));
    app.commands.dispatch::<Enquiry>(&envelope(enquiry), create).await?;
    Ok((StatusCode::CREATED, Json(Enquired { enquiry })))
}

/// Whoever asks: found by the address or the number, or made.
async fn contact_of(app: &App, chat: &Chat, asked: &Asked, envelope: &Envelope) -> Result<Id, Problem> {
    let email = asked.email.clone().map(|email| Identity::new(IdentityKind::Email, email));
    let phone = asked.phone.clone().map(|phone| Identity::new(IdentityKind::Phone, phone));
    let addresses: Vec<Identity> = {
        let (tenant, _) = app.commands.load::<Tenant>(chat.tenant, chat.tenant).await?;
        let mut facts = Facts::told(true);
        facts.insert(Tenant::KIND, chat.tenant, AnyState::new((*tenant).clone()));
        let ctx = envelope.ctx(envelope.now, "", &facts);
        email.into_iter().chain(phone).map(|address| address.read(&ctx)).collect()
    };
    let Asked { name, email, phone, .. } = asked;
    let new = contact::described(name.clone(), email.clone(), phone.clone(), Some(SITE.to_owned()));
    Ok(app.commands.contact_or_new(&addresses, envelope, new).await??)
}

/// Refuses what is no site, or closed.
pub(super) fn must_be_a_site(channel: &channel::Channel) -> Result<(), Problem> {
    match channel.kind {
        Some(channel::Kind::Website) if channel.enabled => Ok(()),
        Some(channel::Kind::Website) => Err(channel::DISABLED.into()),
        _ => Err(channel::UNKNOWN.into()),
    }
}
