//! Who calls: `GET /callers`, the cards of all who are reached at a number.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Id,
    crm::{contact::Contact, deal::Deal, enquiry::Enquiry},
    desk::ticket::Ticket,
    kernel::{
        filter::{Condition, FieldKind, Filter, Scalar, Test},
        phone,
        reference::Subject,
        valid,
    },
    org::tenant::Tenant,
};
use projections::{
    Count, List, ListRequest, ReadModel, Sight,
    crm::{contacts::Contacts, feed::Entry},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feeds::lately;
use crate::http::kernel::{
    request::{self, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// By what the contacts of a number are found: the scope of their addresses in the log.
const SCOPE: &str = "contact.identity";
/// The sorts of addresses that are numbers.
const DIALLED: &[&str] = &["phone", "whatsapp", "viber"];
/// Entries of the feed on a card.
const LATELY: i64 = 5;

/// `GET /callers`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/callers", callers)
}

/// Whose cards are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct CallerOptions {
    /// The number that calls, in any spelling; one without its country's code is one of the tenant's country.
    #[schemars(example = "+420 601 555 010", length(max = 200))]
    number: String,
    /// Wait until the answer reflects this position.
    min_position: Option<i64>,
}

/// A company that a caller belongs to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(in crate::http) struct CallerCompany {
    /// The company.
    id: Id,
    /// Its name.
    name: Option<String>,
    /// As what the caller belongs to it.
    role: Option<String>,
}

/// A further address of a caller, as far as it is a number.
#[derive(Clone, Debug, Deserialize)]
struct Address {
    e164: Option<String>,
}

/// Who calls.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(in crate::http) struct Person {
    /// The contact.
    id: Id,
    /// Name.
    name: Option<String>,
    /// `person` or `office`.
    kind: String,
    /// The main number.
    phone: Option<String>,
    /// That number as it is dialled from anywhere.
    phone_e164: Option<String>,
    /// The main e-mail address.
    email: Option<String>,
    /// Whether the contact is put away.
    archived: bool,
    /// Who owns the contact.
    owner_id: Option<Id>,
    /// The owner's name.
    owner_name: Option<String>,
    /// The companies it belongs to.
    companies: Vec<CallerCompany>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    identities: Vec<Address>,
}

/// The card of somebody who calls.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct CallerCard {
    #[serde(flatten)]
    person: Person,
    /// Open tickets that the contact asks for; null to whoever may read no tickets.
    open_tickets: Option<i64>,
    /// Open deals; null to whoever may read no deals.
    open_deals: Option<i64>,
    /// Open enquiries; null to whoever may read no enquiries.
    open_enquiries: Option<i64>,
    /// What happened last, newest first, as the contact's feed tells it.
    lately: Vec<Entry>,
    /// `self` is the contact, `feed` all that happened.
    links: BTreeMap<&'static str, String>,
}

/// All who are reached at a number.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Callers {
    /// The number as it is dialled from anywhere; null when nobody can say what was meant.
    e164: Option<String>,
    /// Everybody whom it may be, of those that the key may see.
    data: Vec<CallerCard>,
    /// The position that the cards reflect.
    position: i64,
}

/// A number that calls.
struct Number {
    e164: Option<String>,
    /// The digits of its spellings.
    spellings: Vec<String>,
}

impl Number {
    /// The names under which contacts may have claimed it.
    fn keys(&self) -> Vec<String> {
        let numbers = self.e164.iter().chain(&self.spellings);
        numbers.flat_map(|number| DIALLED.iter().map(move |kind| format!("{kind}:{number}"))).collect()
    }

    /// Whether somebody who was found is reached at it. The digits within one country are those of another number elsewhere.
    fn is_of(&self, person: &Person) -> bool {
        let Some(e164) = &self.e164 else { return true };
        let further = person.identities.iter().filter_map(|address| address.e164.as_ref());
        let mut understood = person.phone_e164.iter().chain(further).peekable();
        let elsewhere = |other: &String| self.spellings.iter().any(|digits| other.trim_start_matches('+') == digits);
        understood.clone().any(|other| other == e164) || !understood.any(elsewhere)
    }
}

fn eq(field: &str, kind: FieldKind, value: Scalar) -> Filter {
    Filter::Condition(Condition { field: field.to_owned(), kind, test: Test::Eq(value) })
}

async fn callers(
    State(app): State<App>,
    caller: Caller,
    options: Given<CallerOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("contact.read")?;
    let Given { asked: options, mut faults } = options;
    let wanted = faults.check(request::min_position(&app, &headers, options.min_position).await)?.flatten();
    let is_number = options.number.chars().count() <= 200 && !phone::digits(&options.number).is_empty();
    faults.check(if is_number { Ok(()) } else { Err(Problem::from(valid::PHONE_INVALID.at("/number"))) })?;
    faults.done()?;
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let country = tenant.default_country();
    let number = Number {
        e164: phone::number(&options.number, country).map(|number| number.e164),
        spellings: phone::spellings(&options.number, country),
    };

    let list = List::of::<Contacts>();
    request::can_be_read(list, &app).await?;
    request::reach(&app, Contacts::NAME, wanted).await?;
    let position = app.reads().models.position(Contacts::NAME).await?;
    let sight = app.sight_at(&caller, wanted).await?;
    let ids = holders(&app, &caller, &number).await?;
    let mut data = Vec::new();
    for person in people(&app, &caller, &ids, &sight).await?.into_iter().filter(|person| number.is_of(person)) {
        let id = person.id;
        let open = async |kind: &str, whose: &str| open(&app, &caller, kind, whose, id, (&sight, wanted)).await;
        let path = format!("/v1/{}/{id}", Contact::PLURAL);
        data.push(CallerCard {
            open_tickets: open(Ticket::KIND, "requester_id").await?,
            open_deals: open(Deal::KIND, "contact_id").await?,
            open_enquiries: open(Enquiry::KIND, "contact_id").await?,
            lately: lately(&app, &caller, &headers, &Subject::new(Contact::KIND, id), LATELY).await?,
            links: [("feed", format!("{path}/feed")), ("self", path)].into(),
            person,
        });
    }
    Ok(([(POSITION, position)], Json(Callers { e164: number.e164, data, position })).into_response())
}

/// Everybody who has claimed a number; of those who were merged the one that goes on.
async fn holders(app: &App, caller: &Caller, number: &Number) -> Result<BTreeSet<Id>, Problem> {
    let mut holders = BTreeSet::new();
    for stream in app.log.claim_owners(&caller.tenant.to_string(), SCOPE, &number.keys()).await? {
        let Some(mut id) = stream.split_once('-').and_then(|(_, id)| id.parse::<Id>().ok()) else { continue };
        let mut seen = BTreeSet::from([id]);
        while let Some(into) = app.commands.load::<Contact>(caller.tenant, id).await?.0.merged_into() {
            if !seen.insert(into) {
                break;
            }
            id = into;
        }
        holders.insert(id);
    }
    Ok(holders)
}

/// Those of the contacts that the caller sees, those that are put away among them.
async fn people(app: &App, caller: &Caller, ids: &BTreeSet<Id>, sight: &Sight) -> Result<Vec<Person>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let test = Test::In(ids.iter().map(|id| Scalar::Text(id.to_string())).collect());
    let these = Filter::Condition(Condition { field: "id".into(), kind: FieldKind::Id, test });
    let archived = |archived: bool| eq("archived", FieldKind::Bool, Scalar::Bool(archived));
    let filter = Filter::All(vec![these, Filter::Any(vec![archived(false), archived(true)])]);
    let request = ListRequest { filter, sight: sight.clone(), ..ListRequest::default() };
    let page = projections::list(List::of::<Contacts>(), &app.reads().pool, caller.tenant, &request).await?;
    let read = page.data.iter().map(|row| serde_json::from_str(row.get()));
    read.collect::<Result<_, _>>().map_err(|error| Problem::broken(&error))
}

/// How many records of a kind are open that somebody stands behind, of those that the caller sees.
async fn open(
    app: &App,
    caller: &Caller,
    kind: &str,
    whose: &str,
    id: Id,
    (sight, wanted): (&Sight, Option<i64>),
) -> Result<Option<i64>, Problem> {
    let is_off = caller.missing_kinds().any(|missing| missing == kind);
    let Some(list) = projections::lists().find(|list| list.lists(kind)).filter(|_| !is_off) else { return Ok(None) };
    if !caller.may(&format!("{kind}.read")) {
        return Ok(None);
    }
    request::can_be_read(list, app).await?;
    request::reach(app, list.name, wanted).await?;
    let whose = eq(whose, FieldKind::Id, Scalar::Text(id.to_string()));
    let filter = Filter::All(vec![whose, eq("status", FieldKind::Word, Scalar::Text("open".into()))]);
    let request = ListRequest { filter, limit: 1, count: Count::Exact, sight: sight.clone(), ..ListRequest::default() };
    Ok(projections::list(list, &app.reads().pool, caller.tenant, &request).await?.total)
}
