//! Search over everything: `GET /search`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Id, catalogue,
    crm::contact::Contact,
    kernel::{
        filter::FieldKind,
        search::{Field, Query, Term, Unfit, Wanted, query, words::words},
    },
    org::{tenant::Tenant, user::User},
};
use jiff::{ToSpan, civil::Date};
use projections::{
    List, ReadModel, Redirects,
    insight::search::{self, Asked, Hit, KINDS, Only, Search},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::kernel::{
    lists,
    request::{self, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Records of each kind, unless told otherwise, and at most.
const LIMIT: (usize, usize) = (5, 50);
/// What is said to whoever asks for nothing.
const EMPTY: &str = "There is nothing to search for: give words, a number or a field.";
/// People whose messages `from:` looks for.
const WRITERS: usize = 50;

/// `GET /search`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/search", answer)
}

/// What is searched for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct SearchOptions {
    /// What is searched for: words, `"phrases"`, `-exclusions`, `field:value`, `@people`, numbers.
    pub(in crate::http) q: String,
    /// Comma-separated kinds of records: `ticket,contact`. All that may be read unless told otherwise.
    pub(in crate::http) kind: Option<String>,
    /// Records of each kind: 1 to 50, 5 by default.
    pub(in crate::http) limit: Option<usize>,
    /// Whether records that are put away are found too.
    pub(in crate::http) archived: bool,
    /// Wait until the answer reflects this position.
    pub(in crate::http) min_position: Option<i64>,
}

/// What was found.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct SearchAnswer {
    /// By kind, the best first.
    pub(in crate::http) data: Vec<SearchGroup>,
    /// Whether nothing matches as it was typed, and what is told is merely called similarly.
    pub(in crate::http) similar: bool,
    /// The position that it reflects.
    pub(in crate::http) position: i64,
}

/// What was found of one kind.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct SearchGroup {
    /// The kind.
    pub(in crate::http) kind: String,
    /// How many records were found.
    pub(in crate::http) count: usize,
    /// Whether there are more than were counted: of what many records have, the newest alone are looked at.
    pub(in crate::http) more: bool,
    /// The best of them, the best first.
    pub(in crate::http) hits: Vec<SearchHit>,
}

/// A record that was found, and where it is.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct SearchHit {
    #[serde(flatten)]
    pub(in crate::http) hit: Hit,
    /// `self` is the record, `about` what it is about.
    pub(in crate::http) links: BTreeMap<&'static str, String>,
}

async fn answer(
    State(app): State<App>,
    caller: Caller,
    options: Given<SearchOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked: options, mut faults } = options;
    let wanted = faults.check(request::min_position(&app, &headers, options.min_position).await)?.flatten();
    let limit = faults.check(options.limit())?;
    let named = faults.check(options.kinds())?;
    let query = faults.check(options.query())?;
    let asked = match (query, named, limit) {
        (Some(query), Some(named), Some(limit)) => {
            faults.check(read(&app, &caller, query, named, limit, options.archived).await)?
        }
        _ => None,
    };
    faults.done()?;
    // Without a fault there is a question.
    let Some(asked) = asked else { return Err(invalid("search_empty", EMPTY)) };
    let found = find(&app, &caller, asked, wanted).await?;
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, found.position.into());
    Ok((headers, Json(found)).into_response())
}

/// The same for a page.
pub(in crate::http) async fn found(
    app: &App,
    caller: &Caller,
    options: &SearchOptions,
) -> Result<SearchAnswer, Problem> {
    let (query, named, limit) = (options.query()?, options.kinds()?, options.limit()?);
    let asked = read(app, caller, query, named, limit, options.archived).await?;
    find(app, caller, asked, options.min_position).await
}

/// What is asked, as far as it can be told without the read models, and the lists that it takes.
struct Read {
    query: Query,
    kinds: Vec<&'static str>,
    filters: BTreeMap<&'static str, (&'static List, Value)>,
    writers: Vec<String>,
    limit: usize,
    archived: bool,
}

fn invalid(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::invalid(code, detail).at("/q")
}

/// The kinds that the caller may search.
fn readable(caller: &Caller) -> Vec<&'static str> {
    let off: BTreeSet<&str> = caller.missing_kinds().collect();
    KINDS.iter().copied().filter(|kind| !off.contains(kind) && caller.may(&format!("{kind}.read"))).collect()
}

/// The kinds of these names, in the singular or the plural.
fn kinds_named(names: &str, place: &str) -> Result<Vec<&'static str>, Problem> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let named = names.map(|name| {
        let of = |kind: &&&str| **kind == name || catalogue::kind(kind).is_some_and(|known| known.plural == name);
        KINDS.iter().find(of).copied().ok_or_else(|| {
            let detail = format!("Nobody searches among {name}. There are: {}.", KINDS.join(", "));
            Problem::invalid("search_kind_unknown", detail).at(place)
        })
    });
    named.collect()
}

impl SearchOptions {
    fn limit(&self) -> Result<usize, Problem> {
        let (usual, most) = LIMIT;
        match self.limit.unwrap_or(usual) {
            limit if (1..=most).contains(&limit) => Ok(limit),
            limit => Err(Problem::invalid("limit_invalid", format!("limit is 1 to {most}, not {limit}.")).at("/limit")),
        }
    }

    fn kinds(&self) -> Result<Option<Vec<&'static str>>, Problem> {
        self.kind.as_deref().map(|names| kinds_named(names, "/kind")).transpose()
    }

    fn query(&self) -> Result<Query, Problem> {
        Query::parse(&domain::kernel::text::composed(&self.q)).map_err(|unfit| match unfit {
            Unfit::Empty => invalid("search_empty", EMPTY),
            Unfit::TooLong => {
                let (letters, terms) = (query::LONGEST, query::MOST);
                invalid("search_too_long", format!("A search has at most {letters} letters and {terms} terms."))
            }
        })
    }
}

async fn read(
    app: &App,
    caller: &Caller,
    query: Query,
    named: Option<Vec<&'static str>>,
    limit: usize,
    mut archived: bool,
) -> Result<Read, Problem> {
    let mut kinds = readable(caller);
    if let Some(named) = named {
        kinds.retain(|kind| named.contains(kind));
    }
    if query.is_for_people() {
        kinds.retain(|kind| [User::KIND, Contact::KIND].contains(kind));
    }
    let (mut writers, mut fields) = (Vec::new(), Vec::new());
    for field in &query.fields {
        match (field.name.as_str(), field.value.as_str()) {
            ("kind" | "type" | "in", names) => {
                let named = kinds_named(&names.to_lowercase(), "/q")?;
                kinds.retain(|kind| named.contains(kind) != field.excluded);
            }
            ("is", "archived") if !field.excluded => archived = true,
            ("from", name) if !field.excluded => writers.push(name.to_owned()),
            _ => fields.push(field),
        }
    }
    let filters = filters(app, caller, &kinds, &fields).await?;
    if !fields.is_empty() {
        kinds.retain(|kind| filters.contains_key(kind));
    }
    Ok(Read { query, kinds, filters, writers, limit, archived })
}

/// What the fields ask of the list of each kind that has them all.
async fn filters(
    app: &App,
    caller: &Caller,
    kinds: &[&'static str],
    fields: &[&Field],
) -> Result<BTreeMap<&'static str, (&'static List, Value)>, Problem> {
    let mut filters = BTreeMap::new();
    if fields.is_empty() {
        return Ok(filters);
    }
    let (mut known, mut unfit) = (BTreeSet::new(), None);
    for kind in kinds {
        let Some(list) = projections::lists().find(|list| list.lists(kind)) else { continue };
        let conditions: Option<Vec<Value>> = fields.iter().map(|field| condition(list, caller, field)).collect();
        known.extend(fields.iter().filter(|field| condition(list, caller, field).is_some()).map(|field| &field.name));
        let Some(conditions) = conditions else { continue };
        let filter = json!({ "all": conditions });
        match lists::question(list, app, caller, (Some(&filter), None), None).await?.0 {
            Ok(_) => drop(filters.insert(*kind, (list, filter))),
            Err(problem) => unfit = Some(problem),
        }
    }
    if let Some(field) = fields.iter().find(|field| !known.contains(&field.name)) {
        let detail = format!(
            "Nothing that is searched has a field {}. Those of a list are fields here too; so are kind, from and is:archived.",
            field.name
        );
        return Err(invalid("search_field_unknown", detail));
    }
    match unfit {
        Some(problem) if filters.is_empty() => {
            Err(invalid("search_value_invalid", format!("A field does not take that value. {}", problem.told().1)))
        }
        _ => Ok(filters),
    }
}

/// The condition on a list that a field asks for; `None` where the list has no such field.
fn condition(list: &'static List, caller: &Caller, field: &Field) -> Option<Value> {
    let column = |name: &str| list.columns.iter().find(|column| column.name == name);
    let is_id = ["me", "none"].contains(&field.value.as_str()) || field.value.parse::<Id>().is_ok();
    let (by_id, by_name) = (format!("{}_id", field.name), format!("{}_name", field.name));
    let of = |name: &str| column(name).map(|column| (column.name.to_owned(), column.kind));
    let found = of(&field.name)
        .or_else(|| of(&by_id).filter(|_| is_id))
        .or_else(|| of(&by_name))
        .or_else(|| of(&by_id))
        .or_else(|| of(&format!("{}s", field.name)))
        .or_else(|| of(&format!("{}_at", field.name)));
    let (name, kind) = match found {
        Some(found) => found,
        None if field.name.starts_with("custom.") && list.custom.is_some() => (field.name.clone(), FieldKind::Text),
        None => return None,
    };
    let me = caller.actor.principal().to_string();
    let each = field.value.split(',').map(str::trim).filter(|value| !value.is_empty());
    let each: Vec<Value> = each.map(|value| compared(&name, kind, if value == "me" { &me } else { value })).collect();
    let any = json!({ "any": each });
    Some(if field.excluded { json!({ "not": any }) } else { any })
}

/// A condition on a field as the grammar of filters has it.
fn compared(name: &str, kind: FieldKind, typed: &str) -> Value {
    if typed == "none" {
        return json!({ "field": name, "op": "is_null", "value": true });
    }
    let signs = [(">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt")];
    let sign = signs.into_iter().find_map(|(sign, op)| Some((op, typed.strip_prefix(sign)?)));
    let (op, text) = sign.map_or((None, typed), |(op, rest)| (Some(op), rest));
    let value: Value = match kind {
        FieldKind::Integer => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
        FieldKind::Bool => match text.to_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            other => other.into(),
        },
        _ => text.into(),
    };
    if kind == FieldKind::Time
        && let Ok(day) = text.parse::<Date>()
    {
        let begins = |day: Date| format!("{day}T00:00:00Z");
        let next = day.checked_add(1.day()).unwrap_or(day);
        return match op {
            Some(op @ ("gt" | "lte")) => {
                json!({ "field": name, "op": if op == "gt" { "gte" } else { "lt" }, "value": begins(next) })
            }
            Some(op) => json!({ "field": name, "op": op, "value": begins(day) }),
            None => json!({ "all": [
                { "field": name, "op": "gte", "value": begins(day) },
                { "field": name, "op": "lt", "value": begins(next) },
            ] }),
        };
    }
    let usual = match kind {
        FieldKind::Text | FieldKind::Email | FieldKind::Phone | FieldKind::Set | FieldKind::Tags => "contains",
        _ => "eq",
    };
    json!({ "field": name, "op": op.unwrap_or(usual), "value": value })
}

async fn find(app: &App, caller: &Caller, read: Read, wanted: Option<i64>) -> Result<SearchAnswer, Problem> {
    let sight = app.sight_at(caller, wanted).await?;
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let mut position = i64::MAX;
    for name in [Search::NAME, Redirects::NAME] {
        request::reach(app, name, wanted).await?;
        position = position.min(app.reads().models.position(name).await?);
    }
    let mut only = BTreeMap::new();
    for (kind, (list, filter)) in read.filters {
        let (asked, _) = lists::question(list, app, caller, (Some(&filter), None), None).await?;
        let request = asked?;
        position = position.min(lists::reached(list, app, &request.sight, wanted).await?);
        only.insert(kind, Only { list, request });
    }
    let mut asked = Asked {
        query: read.query,
        kinds: read.kinds,
        only,
        writers: None,
        limit: read.limit,
        archived: read.archived,
        outside: caller.is_outside(),
        country: tenant.default_country(),
        sight,
    };
    if !read.writers.is_empty() {
        let mut writers = Vec::new();
        for name in &read.writers {
            writers.extend(self::writers(app, caller, name, position, &asked).await?);
        }
        asked.writers = Some(writers);
    }
    let page = search::search(&app.reads().pool, caller.tenant, position, &asked).await?;
    let data = page.data.into_iter().map(|group| SearchGroup {
        kind: group.kind,
        count: group.count,
        more: group.more,
        hits: group.hits.into_iter().map(shown).collect(),
    });
    Ok(SearchAnswer { data: data.collect(), similar: page.similar, position })
}

/// The people whom somebody means by a name or an address.
async fn writers(app: &App, caller: &Caller, name: &str, position: i64, like: &Asked) -> Result<Vec<Id>, Problem> {
    if name == "me" {
        return Ok(vec![caller.actor.principal()]);
    }
    let wanted = Wanted::Person(words(name).map(|word| word.plain).collect());
    if wanted.words().is_empty() {
        return Ok(Vec::new());
    }
    let mut kinds = readable(caller);
    kinds.retain(|kind| [User::KIND, Contact::KIND].contains(kind));
    let asked = Asked {
        query: Query { terms: vec![Term { excluded: false, wanted }], fields: Vec::new() },
        kinds,
        only: BTreeMap::new(),
        writers: None,
        limit: WRITERS,
        archived: true,
        outside: like.outside,
        country: like.country,
        sight: like.sight.clone(),
    };
    let page = search::search(&app.reads().pool, caller.tenant, position, &asked).await?;
    // Whoever is called similarly is somebody else.
    let hits = page.data.into_iter().filter(|_| !page.similar).flat_map(|group| group.hits);
    Ok(hits.flat_map(|hit| [Some(hit.id), hit.merged]).flatten().collect())
}

fn shown(hit: Hit) -> SearchHit {
    let path = |kind: &str, id: Id| catalogue::kind(kind).map(|kind| format!("/v1/{}/{id}", kind.plural));
    let about = hit.about.as_ref().and_then(|about| path(&about.kind, about.id));
    let links = [("self", path(&hit.kind, hit.id)), ("about", about)];
    SearchHit { links: links.into_iter().filter_map(|(name, link)| Some((name, link?))).collect(), hit }
}
