//! Lists through views: whether a view fits the list that it is for, the page that it shows, and how many there are.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, FieldError, Id,
    insight::view::{Fields, Tree, View},
    kernel::{custom::Definitions, record},
    org::tenant::Tenant,
};
use projections::{List, ListRequest, Totalled, kernel::columns};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::kernel::{
    commands::id_of,
    lists::{Asked, Counted, Listing, Paged, custom_fields, invalid, listing},
    request::{Given, POSITION},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /views/{id}/records` and `GET /views/{id}/counts`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/views/{id}/records", records).get("/views/{id}/counts", counts)
}

/// What of a view somebody may say about a list.
const PARTS: [&str; 5] = ["collection", "filter", "columns", "sort", "group_by"];

/// Refuses a view that its list does not take: a new one, or a change of what it says of the list.
pub(in crate::http) async fn must_fit(app: &App, caller: &Caller, id: Option<Id>, said: &Value) -> Result<(), Problem> {
    if PARTS.iter().all(|part| said.get(part).is_none()) {
        return Ok(());
    }
    let mut whole = match id {
        Some(id) => {
            let (view, _) = app.commands.load::<View>(caller.tenant, id).await?;
            serde_json::to_value(&view.fields).map_err(|error| Problem::broken(&error))?
        }
        None => Value::Null,
    };
    record::merge(&mut whole, said.clone());
    let part = |name: &str| whole.get(name).cloned().unwrap_or_default();
    // What is no view at all is refused where views are decided about.
    let read = |name: &str| part(name).as_str().map(ToOwned::to_owned);
    let Some(list) = read("collection").and_then(|path| list_of(&path)) else { return Ok(()) };
    let fields = Fields {
        name: String::new(),
        collection: list.path.to_owned(),
        filter: Tree(part("filter").as_object().cloned().unwrap_or_default()),
        columns: serde_json::from_value(part("columns")).unwrap_or_default(),
        sort: read("sort"),
        group_by: read("group_by"),
    };
    let unfit = Fit::of(list, app, caller, &fields).await?.unfit;
    if unfit.is_empty() { Ok(()) } else { Err(invalid(unfit)) }
}

fn list_of(path: &str) -> Option<&'static List> {
    projections::lists().find(|list| list.listed && list.path == path)
}

/// How what a view says fits its list as it is now.
struct Fit {
    /// What the list does not take.
    unfit: Vec<FieldError>,
    /// What it still takes, and nobody is offered any more.
    retired: Vec<FieldError>,
}

impl Fit {
    async fn of(list: &'static List, app: &App, caller: &Caller, view: &Fields) -> Result<Fit, Problem> {
        let custom = custom_fields(list, app, caller.tenant).await?;
        let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
        let (country, me) = (tenant.default_country(), Some(caller.actor.principal()));
        let filter = Value::Object(view.filter.0.clone());
        let asked = ListRequest::asked(list, (Some(&filter), view.sort.as_deref()), &custom, country, me);
        let names = view.columns.iter().map(String::as_str);
        let columns = columns::chosen(list, &custom, names, |place| format!("/columns/{place}"));
        let group = view.group_by.as_deref().map(|name| Totalled::group(list, name, &custom));
        let group = group.and_then(Result::err).map(|fault| FieldError { pointer: "/group_by".into(), ..fault });
        let faults = [asked.err(), columns.err()].into_iter().flatten().flatten();
        Ok(Fit { unfit: faults.chain(group).collect(), retired: retired(view, &custom) })
    }

    fn takes(&self, part: &str) -> bool {
        self.unfit.iter().all(|fault| !fault.pointer.starts_with(part))
    }
}

/// The custom fields that a view names and that were retired: records that have them keep them, and so does the view.
fn retired(view: &Fields, custom: &Definitions) -> Vec<FieldError> {
    let mut found = Vec::new();
    let mut look = |pointer: String, name: &str| {
        let key = name.strip_prefix("custom.").and_then(|path| path.split('.').next());
        if key.and_then(|key| custom.get(key)).is_some_and(|field| field.retired) {
            let detail = format!("{name} is retired: only records that had it before still have it.");
            found.push(FieldError { pointer, code: "field_retired".into(), detail });
        }
    };
    conditions(&Value::Object(view.filter.0.clone()), "/filter", &mut look);
    for (place, name) in view.columns.iter().enumerate() {
        look(format!("/columns/{place}"), name);
    }
    look("/group_by".into(), view.group_by.as_deref().unwrap_or_default());
    found
}

/// The fields that a filter names, each with its place.
fn conditions(filter: &Value, place: &str, look: &mut impl FnMut(String, &str)) {
    if let Some(field) = filter["field"].as_str() {
        look(format!("{place}/field"), field);
    }
    for name in ["all", "any"] {
        for (index, part) in filter[name].as_array().into_iter().flatten().enumerate() {
            conditions(part, &format!("{place}/{name}/{index}"), look);
        }
    }
    if filter["not"].is_object() {
        conditions(&filter["not"], &format!("{place}/not"), look);
    }
}

/// A page of a list through a view.
#[derive(Serialize)]
struct Seen {
    #[serde(flatten)]
    page: Listing,
    /// The columns that it shows; all where it names none.
    columns: Vec<String>,
    /// What of the view the list does not take any more, and is left out, or what is retired.
    faults: Vec<FieldError>,
}

/// How many records a view shows.
#[derive(Serialize)]
struct Counts {
    total: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<projections::Group>>,
    position: i64,
    faults: Vec<FieldError>,
}

async fn records(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    page: Given<Paged>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (list, view, fit) = app.view(&caller, &id).await?;
    let Given { asked, faults } = page;
    let sort = view.sort.filter(|_| fit.takes("/sort"));
    let asked = Asked::of(Value::Object(view.filter.0), (sort, None), asked);
    let page = listing(list, &app, &caller, (&uri, &headers), Given { asked, faults }).await?;
    let custom = custom_fields(list, &app, caller.tenant).await?;
    let columns = view.columns.into_iter().filter(|name| columns::has_column(list, &custom, name)).collect();
    let position = page.position;
    let faults = fit.unfit.into_iter().chain(fit.retired).collect();
    Ok(([(POSITION, position.to_string())], Json(Seen { page, columns, faults })).into_response())
}

/// What counts wait for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    min_position: Option<i64>,
    as_of: Option<String>,
    known_at: Option<String>,
}

async fn counts(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: Given<Wanted>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (list, view, fit) = app.view(&caller, &id).await?;
    let Given { asked: Wanted { min_position, as_of, known_at }, faults } = wanted;
    let group = view.group_by.filter(|_| fit.takes("/group_by"));
    let page = Paged { limit: Some(1), count: Some(Counted::Exact), min_position, as_of, known_at, ..Paged::default() };
    let asked = Asked::of(Value::Object(view.filter.0), (None, group), page);
    let page = listing(list, &app, &caller, (&uri, &headers), Given { asked, faults }).await?;
    let (position, (total, groups)) = (page.position, page.counted());
    let faults = fit.unfit.into_iter().chain(fit.retired).collect();
    Ok(([(POSITION, position.to_string())], Json(Counts { total, groups, position, faults })).into_response())
}

impl App {
    /// A view that the caller may see, with its list. A filter that the list no longer takes would show more if it were
    /// left out: then nothing is shown.
    async fn view(&self, caller: &Caller, segment: &str) -> Result<(&'static List, Fields, Fit), Problem> {
        caller.must("view.read")?;
        let missing = || Problem::missing("view_unknown", "There is no such view.");
        let id = id_of::<View>(caller, segment)?;
        self.must_show(caller, View::KIND, id).await?;
        let (view, _) = self.commands.load_current::<View>(caller.tenant, id).await?;
        let fields = view.fields.clone().ok_or_else(missing)?;
        let list = list_of(&fields.collection).ok_or_else(missing)?;
        let fit = Fit::of(list, self, caller, &fields).await?;
        if !fit.takes("/filter") {
            let detail = "The list no longer takes the filter of this view. Edit the view.";
            let unfit = fit.unfit.into_iter().filter(|fault| fault.pointer.starts_with("/filter")).collect();
            return Err(Problem::new(StatusCode::CONFLICT, "view_unfit", detail).with(unfit));
        }
        Ok((list, fields, fit))
    }
}
