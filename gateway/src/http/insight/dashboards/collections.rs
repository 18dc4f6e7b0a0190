//! What widgets show of records themselves: their lists, how many there are, and what waits for whoever looks.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use domain::{catalogue, insight::widget::Collection};
use projections::insight::reports::{self as facts, Badge};
use serde_json::{Map, Value, json};

use super::{
    super::reports::{self, DimensionData, Links, MeasureData, Past, ReportData, RowData, UnitName, column},
    LISTED, ListData, ListedRow, RECORDS,
};
use crate::http::kernel::lists;
use crate::{app::App, auth::Caller, problem::Problem};

/// Records of a kind, in their list.
pub(super) async fn listed(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    past: &Past,
    collection: &Collection,
) -> Result<ListData, Problem> {
    let list = reports::list_of(&collection.of).ok_or_else(|| {
        Problem::invalid("widget_kind_unknown", format!("There is no list of records called {}.", collection.of))
    })?;
    let (as_of, known_at) = past.of_lists();
    let asked = lists::Plain {
        as_of,
        known_at,
        filter: Value::Object(collection.filter.clone()),
        sort: collection.sort.clone(),
        limit: Some(collection.limit.unwrap_or(LISTED)),
        ..lists::Plain::default()
    };
    let page = lists::plain(list, app, caller, headers, asked).await?;
    let plural = catalogue::kind(&collection.of).map_or("", |kind| kind.plural);
    let row = |row: &Map<String, Value>| {
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let values = collection.columns.iter().map(|name| (name.clone(), column(row, name)));
        let link = format!("/v1/{plural}/{id}");
        ListedRow { id, kind: collection.of.clone(), link, values: values.collect() }
    };
    Ok(ListData {
        of: collection.of.clone(),
        columns: collection.columns.clone(),
        rows: page.rows.iter().map(row).collect(),
        more: page.next.is_some(),
    })
}

/// The kind of records that a field of a list names, as far as its name says it.
fn named_by(field: &str) -> Option<&'static str> {
    let base = field.strip_suffix("_ids").or_else(|| field.strip_suffix("_id"))?;
    let people = ["assignee", "owner", "author"];
    let kind = if people.contains(&base) { "user" } else { base };
    catalogue::kind(kind).map(|kind| kind.name)
}

/// How many records of a kind there are, as a report would say it.
pub(in crate::http) async fn counted(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    past: &Past,
    collection: &Collection,
) -> Result<ReportData, Problem> {
    let list = reports::list_of(&collection.of).ok_or_else(|| {
        Problem::invalid("widget_kind_unknown", format!("There is no list of records called {}.", collection.of))
    })?;
    let (as_of, known_at) = past.of_lists();
    let asked = lists::Plain {
        as_of,
        known_at,
        filter: Value::Object(collection.filter.clone()),
        limit: Some(1),
        counted: true,
        group: collection.group.clone(),
        ..lists::Plain::default()
    };
    let page = lists::plain(list, app, caller, headers, asked).await?;
    let values = |count: i64| Map::from_iter([(RECORDS.to_owned(), count.into())]);
    let mut dimensions = Vec::new();
    let mut rows = Vec::new();
    if let Some(group) = &collection.group {
        let kinds: Vec<&str> = named_by(group).into_iter().collect();
        let texts = page.groups.iter().filter_map(|group| group.value.as_str());
        let ids = texts.filter(|_| !kinds.is_empty()).map(ToOwned::to_owned).collect();
        let sight = app.sight(caller).await?;
        let names = facts::names(&app.reads().pool, caller.tenant, &sight, &kinds, ids).await?;
        let badges: BTreeMap<String, Badge> =
            facts::badges(&app.reads().pool, caller.tenant, &kinds, names.keys()).await?;
        let key = |value: Value| Map::from_iter([(group.clone(), value)]);
        rows = page
            .groups
            .into_iter()
            .map(|group| RowData { key: key(group.value), values: values(group.count) })
            .collect();
        dimensions.push(DimensionData { name: group.clone(), names, badges, ..DimensionData::default() });
    }
    let about = if past.is_named() { "Records there were then." } else { "Records there are now." };
    let measure = MeasureData { name: RECORDS, unit: UnitName::Count, about, business_time: None, histogram: None };
    Ok(ReportData {
        of: collection.of.clone(),
        range: None,
        as_of: None,
        time_zone: String::new(),
        dimensions,
        measures: vec![measure],
        columns: Vec::new(),
        rows,
        totals: vec![RowData { key: Map::new(), values: values(page.total.unwrap_or_default()) }],
        links: Links { records: None },
        next: None,
        position: page.position,
    })
}

/// Open tickets and tasks that are the caller's, those that wait longest first.
pub(super) async fn pending(app: &App, caller: &Caller, headers: &HeaderMap, past: &Past) -> Result<ListData, Problem> {
    let me = caller.actor.principal().to_string();
    let mine = |open: Value| json!({ "all": [open, { "field": "assignee_id", "op": "eq", "value": me }] });
    let asked = [
        ("task", "due_at", "due_at", mine(json!({ "field": "open", "op": "eq", "value": true }))),
        ("ticket", "opened_at", "opened_at", mine(json!({ "field": "status", "op": "eq", "value": "open" }))),
    ];
    let columns: Vec<String> = ["title", "status", "since"].map(ToOwned::to_owned).into();
    let (mut rows, mut more) = (Vec::new(), false);
    for (kind, since, sort, filter) in asked {
        if !caller.may(&format!("{kind}.read")) {
            continue;
        }
        let Value::Object(filter) = filter else { continue };
        let collection = Collection {
            of: kind.to_owned(),
            filter,
            columns: vec!["title".to_owned(), "status".to_owned(), since.to_owned()],
            sort: Some(sort.to_owned()),
            group: None,
            limit: Some(LISTED),
        };
        let list = listed(app, caller, headers, past, &collection).await?;
        more |= list.more;
        rows.extend(list.rows.into_iter().map(|mut row| {
            let at = row.values.remove(since).unwrap_or_default();
            row.values.insert("since".to_owned(), at);
            row
        }));
    }
    Ok(ListData { of: "task".to_owned(), columns, rows, more })
}
