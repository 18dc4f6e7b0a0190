//! The log for auditors: every event, filtered, and the history of one record.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use domain::{Aggregate, Time, catalogue};
use eventstore::{Direction, Query, Recorded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::http::kernel::{
    commands::id_of,
    request::{self, Faults, Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Events on a page unless asked otherwise.
const PAGE: i64 = 100;
/// Most events on a page.
const MOST: i64 = 1000;

/// `GET /events`, and `GET /{kind}/{id}/history` for every kind.
pub(in crate::http) fn routes() -> Routes {
    struct Mount(Routes);
    impl catalogue::Visitor for Mount {
        fn visit<A: Aggregate>(&mut self) {
            let routes = std::mem::take(&mut self.0);
            self.0 = routes.get(&format!("/{}/{{id}}/history", A::PLURAL), history::<A>);
        }
    }
    let mut mount = Mount(Routes::new().get("/events", list));
    catalogue::visit_all(&mut mount);
    mount.0
}

/// Which events.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Filter {
    /// Only after this position, in the direction of reading.
    pub(in crate::http) after: Option<i64>,
    /// Events on a page, 1 to 1000; 100 unless told otherwise.
    limit: Option<i64>,
    /// Comma-separated: `ticket.opened,ticket.closed`.
    pub(in crate::http) types: Option<String>,
    /// Comma-separated: `ticket,contact`.
    pub(in crate::http) category: Option<String>,
    /// One stream: `ticket-01J...`.
    pub(in crate::http) stream: Option<String>,
    /// Recorded at or after.
    from: Option<Time>,
    /// Recorded before.
    to: Option<Time>,
    /// Newest first.
    #[serde(default)]
    backwards: bool,
}

impl Filter {
    /// The parameters given that a stream cannot heed.
    pub(in crate::http) fn not_followed(&self) -> impl Iterator<Item = &'static str> {
        let given = [("limit", self.limit.is_some()), ("from", self.from.is_some()), ("to", self.to.is_some())];
        given.into_iter().chain([("backwards", self.backwards)]).filter(|(_, given)| *given).map(|(name, _)| name)
    }

    /// The types and categories asked for; unknown ones are a fault that names them.
    pub(in crate::http) fn names(&self, faults: &mut Faults) -> Result<(Vec<String>, Vec<String>), Problem> {
        let split = |text: &Option<String>| -> Vec<String> {
            let names = text.iter().flat_map(|text| text.split(','));
            names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        let (types, categories) = (split(&self.types), split(&self.category));
        let known = known_types();
        if let Some(unknown) = types.iter().find(|name| !known.contains(*name)) {
            let detail = format!("There is no event type {unknown}. GET /v1/openapi.json lists them.");
            faults.check::<()>(Err(Problem::invalid("event_type_unknown", detail).at("/types")))?;
        }
        let prefix = |category: &str| known.iter().any(|name| name.split('.').next() == Some(category));
        if let Some(unknown) = categories.iter().find(|category| !prefix(category)) {
            let detail = format!("There is no category {unknown}.");
            faults.check::<()>(Err(Problem::invalid("category_unknown", detail).at("/category")))?;
        }
        Ok((types, categories))
    }
}

/// Every event type of the catalogue.
fn known_types() -> &'static std::collections::BTreeSet<String> {
    struct Types(std::collections::BTreeSet<String>);
    impl catalogue::Visitor for Types {
        fn visit<A: Aggregate>(&mut self) {
            let events = A::events(&mut schemars::SchemaGenerator::default());
            self.0.extend(events.into_iter().map(|event| format!("{}.{}", A::KIND, event.name)));
        }
    }
    static TYPES: std::sync::LazyLock<std::collections::BTreeSet<String>> = std::sync::LazyLock::new(|| {
        let mut types = Types(std::collections::BTreeSet::new());
        catalogue::visit_all(&mut types);
        types.0
    });
    &TYPES
}

/// An event as the API shows it: the shape that everybody outside sees.
pub(in crate::http) fn shown(event: &Recorded) -> Result<Box<RawValue>, Problem> {
    let public = event.public().map_err(|error| Problem::broken(&error))?;
    let secret = catalogue::kind(event.category()).is_some_and(|kind| !kind.secrets.is_empty());
    if !secret {
        return Ok(public);
    }
    let told = || -> serde_json::Result<Box<RawValue>> {
        let mut envelope: Map<String, Value> = serde_json::from_str(public.get())?;
        if let Some(data) = envelope.get_mut("data") {
            let raw = serde_json::value::to_raw_value(data)?;
            *data = serde_json::from_str(catalogue::told(&event.kind, &raw).get())?;
        }
        serde_json::value::to_raw_value(&envelope)
    };
    told().map_err(|error| Problem::broken(&error))
}

#[derive(Serialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next: Option<String>,
    position: i64,
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Given<Filter>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("event.read")?;
    // The log itself is read, so that every position it has is there.
    request::min_position(&app, &headers, None).await?;
    let Given { asked: filter, mut faults } = query;
    if let (Some(after), false) = (filter.after, filter.backwards) {
        faults.check(request::must_exist(&app, after, "/after").await)?;
    }
    let (types, categories) = filter.names(&mut faults)?;
    let limit = faults.check(page_size(filter.limit))?.unwrap_or_default();
    faults.done()?;
    let direction = if filter.backwards { Direction::Backward } else { Direction::Forward };
    let query = Query {
        tenant: Some(caller.tenant.to_string()),
        after: filter.after,
        direction,
        limit: limit + 1,
        categories,
        types,
        stream: filter.stream,
        from: filter.from,
        to: filter.to,
        ..Query::default()
    };
    let head = app.log.head().await?;
    let mut events = app.log.read_all(&query).await?;
    let more = events.len() as i64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or_default());
    let next = events.last().filter(|_| more).map(|last| with_parameter(&uri, "after", &last.position.to_string()));
    respond(&app.visible(&caller, events).await?, next, head)
}

/// The page size asked for, or an error that says what is allowed.
pub(in crate::http) fn page_size(limit: Option<i64>) -> Result<i64, Problem> {
    match limit.unwrap_or(PAGE) {
        limit if (1..=MOST).contains(&limit) => Ok(limit),
        limit => Err(Problem::invalid("limit_invalid", format!("limit is 1 to {MOST}, not {limit}.")).at("/limit")),
    }
}

/// Parameters of a history.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct HistoryOptions {
    /// Only after this version, in the direction of reading.
    after: Option<i64>,
    /// Events on a page, 1 to 1000; 100 unless told otherwise.
    limit: Option<i64>,
    /// Newest first.
    backwards: bool,
}

async fn history<A: Aggregate>(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    query: Given<HistoryOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", A::KIND))?;
    let id = id_of::<A>(&caller, &id)?;
    request::min_position(&app, &headers, None).await?;
    let Given { asked: options, mut faults } = query;
    let limit = faults.check(page_size(options.limit))?.unwrap_or_default();
    faults.done()?;
    app.must_show(&caller, A::KIND, id).await?;
    let tenant = caller.tenant.to_string();
    let (direction, from) = match (options.backwards, options.after) {
        (false, after) => (Direction::Forward, after.map_or(0, |after| after.saturating_add(1))),
        (true, after) => (Direction::Backward, after.map_or(i64::MAX, |after| after - 1)),
    };
    let head = app.log.head().await?;
    let stream = A::stream(id);
    if app.log.stream_version(&tenant, &stream).await? < 0 {
        let kind = A::KIND;
        return Err(Problem::missing(
            format!("{kind}_unknown"),
            format!("There is no such {}.", kind.replace('_', " ")),
        ));
    }
    let mut events = app.log.read_stream(&tenant, &stream, from, direction, limit + 1).await?;
    let more = events.len() as i64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or_default());
    let next = events.last().filter(|_| more).map(|last| with_parameter(&uri, "after", &last.version.to_string()));
    respond(&app.visible(&caller, events).await?, next, head)
}

fn respond(events: &[Recorded], next: Option<String>, position: i64) -> Result<Response, Problem> {
    let data = events.iter().map(shown).collect::<Result<_, _>>()?;
    Ok(([(POSITION, position)], Json(Page { data, next, position })).into_response())
}

/// The same address with one query parameter replaced.
pub(in crate::http) fn with_parameter(uri: &Uri, name: &str, value: &str) -> String {
    replaced(uri, &[name], format!("{name}={value}"))
}

/// The same address with one query parameter replaced and another one taken out.
pub(in crate::http) fn with_parameter_instead(uri: &Uri, name: &str, value: &str, instead_of: &str) -> String {
    replaced(uri, &[name, instead_of], format!("{name}={value}"))
}

fn replaced(uri: &Uri, gone: &[&str], new: String) -> String {
    let stays = |part: &&str| !part.is_empty() && !gone.contains(&part.split('=').next().unwrap_or_default());
    let others = uri.query().unwrap_or_default().split('&').filter(stays);
    let parts: Vec<String> = others.map(ToOwned::to_owned).chain([new]).collect();
    format!("{}?{}", uri.path(), parts.join("&"))
}
