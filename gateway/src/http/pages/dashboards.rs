//! The pages of dashboards: all that somebody sees, one of them, and the records behind each number.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use domain::{
    Aggregate, catalogue,
    insight::{
        clock::Division,
        dashboard::{self, Dashboard},
        facts::{self, Unit as Counting},
        shipped::Shipped,
        widget::{Collection, KIND_UNKNOWN, Kind},
    },
    kernel::filter::FieldKind,
};
use projections::insight::reports::Badge;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use web::{
    charts::{Dimension, Form, Measure, Report, Row, Unit, Way},
    escaped, pages,
};

use super::{Insider, nothing, page};
use crate::{
    app::App,
    auth::Caller,
    http::{
        insight::{
            called::called,
            dashboards::{self, Board, BoardOptions, Frame, ListData, WidgetData},
            reports::{self, Past, RecordOptions, ReportData, UnitName, column},
        },
        kernel::{
            lists,
            request::{Faults, Given},
            routes::Routes,
        },
    },
    problem::Problem,
};

/// Records on a page of those behind a number.
const PAGE: u32 = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/dashboards", all)
        .get("/dashboards/{id}", one)
        .get("/dashboards/{id}/widgets/{widget}/records", behind)
}

async fn all(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !caller.may("report.read") || caller.is_outside() {
        return Ok(nothing(&view));
    }
    let shipped = Shipped::ALL.iter().map(|shipped| shipped.id()).collect();
    let mut told = pages::Dashboards { shipped, ..pages::Dashboards::default() };
    if caller.may("dashboard.read") {
        let me = caller.actor.principal().to_string();
        for row in rows(&app, &caller, &headers, "dashboard").await? {
            let text = |name: &str| row.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            let board = pages::Listed {
                path: format!("/dashboards/{}", text("id").unwrap_or_default()),
                name: text("name").unwrap_or_default(),
                description: text("description"),
                owner: text("owner_name").filter(|_| text("owner_id").as_deref() != Some(&*me)),
            };
            let own = text("owner_id").as_deref() == Some(&*me);
            if own { told.mine.push(board) } else { told.others.push(board) }
        }
    }
    Ok(page(pages::dashboards(&view, &told)))
}

/// The first records of a kind that somebody sees.
async fn rows(app: &App, caller: &Caller, headers: &HeaderMap, kind: &str) -> Result<Vec<Map<String, Value>>, Problem> {
    let Some(list) = reports::list_of(kind) else { return Ok(Vec::new()) };
    let live = json!({ "field": "archived", "op": "eq", "value": false });
    let asked = lists::Plain { filter: live, limit: Some(projections::MAX_LIMIT), ..lists::Plain::default() };
    Ok(lists::plain(list, app, caller, headers, asked).await?.rows)
}

/// What is asked of the page of a dashboard: empty fields of its form say nothing.
fn said(mut options: BoardOptions) -> BoardOptions {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    options.from = filled(options.from);
    options.to = filled(options.to);
    options.tz = filled(options.tz);
    options.range = filled(options.range);
    options.as_of = filled(options.as_of);
    options
}

async fn one(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    Path(id): Path<String>,
    asked: Given<BoardOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let board = match Board::find(&app, &caller, &id).await {
        Ok(board) => board,
        Err(problem) if problem.status().is_client_error() => return Ok(nothing(&view)),
        Err(problem) => return Err(problem),
    };
    let Given { asked, faults } = asked;
    let mut options = said(asked);
    let pages = &board.fields.pages;
    let shown = options.page.take().filter(|page| pages.iter().any(|known| known.id == *page));
    options.page = shown.or_else(|| pages.first().map(|page| page.id.clone()));
    // Whatever is wrong with what was typed is left aside, and the dashboard shown as it is.
    let told = match dashboards::answer(&app, &caller, &headers, &board, &options, faults).await {
        Err(problem) if problem.status().is_client_error() => {
            options = BoardOptions { page: options.page, ..BoardOptions::default() };
            dashboards::answer(&app, &caller, &headers, &board, &options, Faults::default()).await?
        }
        told => told?,
    };
    let may_edit = match board.id {
        Some(id) => app.changes(&caller, Dashboard::KIND, id, "add_widget").await?,
        None => false,
    };
    let named =
        |row: &Map<String, Value>| Some((row.get("id")?.as_str()?.to_owned(), row.get("name")?.as_str()?.to_owned()));
    let reports = match may_edit {
        true => rows(&app, &caller, &headers, "report").await?.iter().filter_map(named).collect(),
        false => Vec::new(),
    };
    let past = Past {
        as_of: options.as_of.clone(),
        known_at: options.known_at.clone(),
        as_known_at: options.as_known_at.clone(),
    };
    let base = format!("/dashboards/{id}");
    let shown = pages::Dashboard {
        name: told.name,
        shipped: board.shipped.is_some(),
        pages: told.pages.into_iter().map(|page| (page.id, page.name)).collect(),
        page: options.page.unwrap_or_default(),
        range: told.range.to_string(),
        from: options.from,
        to: options.to,
        as_of: options.as_of,
        past: past.is_named(),
        zone: told.time_zone,
        position: told.position,
        may_edit: may_edit && !past.is_named(),
        may_create: caller.may("dashboard.create"),
        reports,
        counted: if may_edit { counted(&caller) } else { Vec::new() },
        widgets: told
            .widgets
            .into_iter()
            .map(|widget| {
                let known = dashboard::find(&board.fields.pages, &widget.id).filter(|_| may_edit);
                let shows = known.and_then(|(_, known)| serde_json::to_string(&known.shows).ok());
                pages::Widget { shows, ..self::shown(widget, Some((&base, &past))) }
            })
            .collect(),
        id,
    };
    Ok(page(pages::dashboard(&view, &shown)))
}

/// What there is to measure of what somebody may read.
fn counted(caller: &Caller) -> Vec<pages::Counted> {
    let read = facts::counted().filter(|source| caller.may(&format!("{}.read", source.kind)));
    let periods = Division::ALL.iter().map(|(name, _)| *name);
    let of = |source: &'static facts::Source| pages::Counted {
        kind: source.kind,
        measures: source.measures.iter().map(|measure| measure.name).collect(),
        dimensions: source.dimensions.iter().map(|dimension| dimension.name).chain(periods.clone()).collect(),
        fields: fields(source.kind),
    };
    let measured: Vec<_> = read.map(of).collect();
    // What nothing measures is listed, and counted as it is.
    let others = super::records::collections(caller).filter(|other| measured.iter().all(|of| of.kind != other.kind));
    let others: Vec<_> = others
        .map(|other| pages::Counted { kind: other.kind, fields: fields(other.kind), ..Default::default() })
        .collect();
    measured.into_iter().chain(others).collect()
}

/// By what the records of a kind are filtered, with the kind of each value.
fn fields(kind: &str) -> Vec<(&'static str, &'static str)> {
    let columns = reports::list_of(kind).map(|list| list.columns).unwrap_or_default();
    let word = |kind: FieldKind| match kind {
        FieldKind::Text => "text",
        FieldKind::Word => "word",
        FieldKind::Email => "email",
        FieldKind::Phone => "phone",
        FieldKind::Integer => "integer",
        FieldKind::Decimal => "decimal",
        FieldKind::Bool => "bool",
        FieldKind::Time => "time",
        FieldKind::Date => "date",
        FieldKind::Id => "id",
        FieldKind::Set => "set",
        FieldKind::Tags => "tags",
    };
    columns.iter().map(|column| (column.name, word(column.kind))).collect()
}

/// A widget as pages show it; `base` is the address of its dashboard and the moment at which one looks at it, if the records behind
/// its numbers may be led to.
pub(in crate::http) fn shown(widget: WidgetData, base: Option<(&str, &Past)>) -> pages::Widget {
    let WidgetData { id, kind, title, place, range, time_zone, statistic, top, .. } = widget;
    let statistic =
        statistic.and_then(|statistic| serde_json::to_value(statistic).ok()?.as_str().map(ToOwned::to_owned));
    let report = |data: ReportData| drawn(data, statistic.clone(), top);
    let way = |data: &ReportData| {
        let Some((base, past)) = base else { return Way::default() };
        let over = match &data.range {
            Some(range) => {
                let zone = escaped(&data.time_zone);
                let then = past.as_of.as_ref().map(|then| format!("&as_of={}", escaped(then))).unwrap_or_default();
                let position = data.position;
                // A position says by itself what was known.
                let known = if past.as_of.as_ref().is_some_and(|then| then.parse::<i64>().is_ok()) {
                    String::new()
                } else {
                    format!("&as_known_at={position}")
                };
                format!("?from={}&to={}&tz={zone}{known}{then}", range.from, range.to)
            }
            None => {
                let said = [("as_of", &past.as_of), ("known_at", &past.known_at), ("as_known_at", &past.as_known_at)];
                let said = said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
                let said: Vec<_> = said.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
                if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) }
            }
        };
        Way(format!("{base}/widgets/{id}/records{over}"))
    };
    let content = match (widget.problem, widget.report, widget.list, widget.feed, widget.text) {
        (Some(problem), ..) => pages::Content::Fault(problem.code, problem.detail),
        (_, Some(data), ..) => {
            let way = way(&data);
            let form = match kind {
                Kind::Line => Some(Form::Line),
                Kind::Bar => Some(Form::Bar),
                Kind::StackedBar => Some(Form::StackedBar),
                Kind::HeatMap => Some(Form::HeatMap),
                _ => None,
            };
            match form {
                Some(form) => pages::Content::Chart { form, report: report(data), way },
                None if kind == Kind::Table => pages::Content::Table { report: report(data), way },
                None => {
                    let before = widget.before.map(report);
                    pages::Content::Numbers { report: report(data), before, way }
                }
            }
        }
        (_, _, Some(list), ..) => {
            let then = base.and_then(|(_, past)| past.of_lists().0);
            let records = records(list, base.is_some(), then.as_deref());
            if kind == Kind::PendingWork { pages::Content::Pending(records) } else { pages::Content::List(records) }
        }
        (_, _, _, Some(entries), _) => {
            let happened = |entry: projections::crm::feed::Entry| pages::Happened {
                summary: entry.summary,
                actor: entry.actor.name,
                at: entry.occurred_at.to_string(),
            };
            pages::Content::Feed(entries.into_iter().map(happened).collect())
        }
        (_, _, _, _, Some(text)) => pages::Content::Text(text),
        _ => pages::Content::Unread,
    };
    pages::Widget {
        id,
        title,
        place: [place.x, place.y, place.w, place.h],
        range: range.map(|range| range.to_string()),
        zone: time_zone,
        content,
        shows: None,
    }
}

/// The page of a record, as it is or as it was then.
fn page_of(kind: &str, id: &str, then: Option<&str>) -> Option<String> {
    let then = then.map(|then| format!("?as_of={}", escaped(then))).unwrap_or_default();
    catalogue::kind(kind).map(|kind| format!("/records/{}/{id}{then}", kind.plural))
}

/// The page of a list that shows these records alone, as they are or as they were then.
fn list_of(kind: &str, filter: &Value, then: Option<&str>) -> Option<String> {
    let then = then.map(|then| format!("&as_of={}", escaped(then))).unwrap_or_default();
    let plural = catalogue::kind(kind).map(|kind| kind.plural)?;
    Some(format!("/records/{plural}?filter={}{then}", escaped(&filter.to_string())))
}

fn records(list: ListData, leads: bool, then: Option<&str>) -> pages::Records {
    let row = |row: dashboards::ListedRow| {
        let values = list.columns.iter().map(|name| row.values.get(name).cloned().unwrap_or_default()).collect();
        (page_of(&row.kind, &row.id, then).filter(|_| leads), values)
    };
    let rows = list.rows.into_iter().map(row).collect();
    pages::Records { kind: list.of, rows, more: list.more, columns: list.columns }
}

fn drawn(data: ReportData, statistic: Option<String>, top: Option<u32>) -> Report {
    let counts = data.measures.iter().any(|measure| measure.name == dashboards::RECORDS).then_some(data.of);
    let measure = |measure: reports::MeasureData| {
        let (unit, spread) = match measure.unit {
            UnitName::Count => (Unit::Count, false),
            UnitName::Seconds => (Unit::Seconds, true),
            UnitName::Points => (Unit::Points, true),
            UnitName::Share => (Unit::Share, true),
            UnitName::Money => (Unit::Money(String::new()), false),
        };
        Measure { name: measure.name.to_owned(), unit, spread }
    };
    let dimension = |dimension: reports::DimensionData| {
        let badges = &dimension.badges;
        let of = |part: fn(&Badge) -> &Option<String>| {
            badges.iter().filter_map(|(id, badge)| Some((id.clone(), part(badge).clone()?))).collect()
        };
        Dimension {
            colors: of(|badge| &badge.color),
            icons: of(|badge| &badge.icon),
            name: dimension.name,
            periods: dimension.periods,
            several: dimension.several,
            names: dimension.names,
        }
    };
    let row = |row: reports::RowData| Row { key: row.key, values: row.values };
    Report {
        dimensions: data.dimensions.into_iter().map(dimension).collect(),
        measures: data.measures.into_iter().map(measure).collect(),
        rows: data.rows.into_iter().map(row).collect(),
        totals: data.totals.into_iter().map(row).collect(),
        statistic,
        top: top.and_then(|top| usize::try_from(top).ok()),
        counts,
    }
}

/// Which number of a widget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Number {
    measure: Option<String>,
    cell: Option<String>,
    from: Option<String>,
    to: Option<String>,
    tz: Option<String>,
    as_known_at: Option<String>,
    known_at: Option<String>,
    as_of: Option<String>,
    after: Option<String>,
}

impl Number {
    /// The same, one page further.
    fn further(&self, path: &str, after: String) -> String {
        let Number { measure, cell, from, to, tz, as_known_at, known_at, as_of, .. } = self;
        let named = [
            ("measure", measure),
            ("cell", cell),
            ("from", from),
            ("to", to),
            ("tz", tz),
            ("as_known_at", as_known_at),
            ("known_at", known_at),
            ("as_of", as_of),
        ];
        let asked =
            named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).chain([("after", after)]);
        let asked: Vec<_> = asked.map(|(name, value)| format!("{name}={}", escaped(&value))).collect();
        format!("{path}?{}", asked.join("&"))
    }
}

async fn behind(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    Path((id, widget)): Path<(String, String)>,
    asked: Given<Number>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let told = told(&app, &caller, &headers, (&id, &widget), asked).await;
    match told {
        Ok(mut told) => {
            if Shipped::named(&id).is_some() {
                told.board.1 = pages::shipped(&view, &id);
            }
            Ok(page(pages::behind(&view, &told)))
        }
        Err(problem) if problem.status().is_client_error() => Ok(nothing(&view)),
        Err(problem) => Err(problem),
    }
}

async fn told(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    (id, widget): (&str, &str),
    asked: Given<Number>,
) -> Result<pages::Behind, Problem> {
    let Given { asked, faults } = asked;
    let board = Board::find(app, caller, id).await?;
    let missing = || Problem::missing("dashboard_widget_unknown", "The dashboard has no such widget.");
    let (_, known) = dashboard::find(&board.fields.pages, widget).ok_or_else(missing)?;
    let key = reports::cell_of(asked.cell.as_deref().unwrap_or("{}"))?;
    let path = format!("/dashboards/{id}/widgets/{widget}/records");
    let from = (format!("/dashboards/{id}"), board.fields.name.clone());
    if let Some(collection) = &known.shows.collection {
        return collected(app, caller, headers, collection, (&asked, key, &path), from).await;
    }
    let options = BoardOptions {
        from: asked.from.clone(),
        to: asked.to.clone(),
        tz: asked.tz.clone(),
        as_known_at: asked.as_known_at.clone(),
        known_at: asked.known_at.clone(),
        as_of: asked.as_of.clone(),
        ..BoardOptions::default()
    };
    let frame = Frame::new(app, caller, headers, &board.fields, &options, faults).await?;
    let question = Box::pin(frame.question(app, caller, &known.shows)).await?;
    let over = question.over;
    let numbers = Box::pin(reports::numbers(app, caller, headers, &question.definition, over.clone())).await?;
    let record_options = RecordOptions {
        measure: asked.measure.clone(),
        cell: asked.cell.clone(),
        from: over.from,
        to: over.to,
        tz: over.tz,
        as_known_at: over.past.as_known_at,
        known_at: over.past.known_at,
        as_of: over.past.as_of,
        limit: Some(i64::from(PAGE)),
        after: asked.after.clone(),
        min_position: None,
    };
    let given = Given { asked: record_options, faults: Faults::default() };
    let found = reports::records_of(app, caller, headers, &question.definition, given).await?;
    let (kind, then) = (question.definition.of, asked.as_of.as_deref());
    // A list takes as many as stand in an address.
    let ids: BTreeSet<_> = found.data.iter().map(|item| item.id).collect();
    let whole = found.next.is_none() && asked.after.is_none() && !ids.is_empty();
    let list = || list_of(&kind, &json!({ "field": "id", "op": "in", "value": ids }), then);
    let list = if whole { list() } else { None };
    let unit =
        facts::source(&kind).and_then(|source| source.measure(asked.measure.as_deref()?)).map(|known| known.unit);
    let records = found.data.into_iter().map(|item| {
        let length = unit == Some(Counting::Seconds);
        let money = item.money.map(|money| format!("{} {}", money.amount, money.currency));
        let number = item.value.as_ref().filter(|_| !length).map(ToString::to_string);
        pages::Counts {
            path: page_of(&kind, &item.id.to_string(), then),
            name: item.name.unwrap_or_else(|| item.id.to_string()),
            at: Some(item.at.to_string()),
            seconds: item.value.filter(|_| length).and_then(|seconds| seconds.as_f64()),
            value: money.or(number),
        }
    });
    Ok(pages::Behind {
        board: from,
        measure: asked.measure.clone().or_else(|| question.definition.measures.first().cloned()).unwrap_or_default(),
        report: drawn(numbers, None, None),
        key,
        records: records.collect(),
        next: found.next.map(|after| asked.further(&path, after)),
        list,
        then: asked.as_of,
    })
}

/// The records of a collection that a number counts.
async fn collected(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    collection: &Collection,
    (asked, key, path): (&Number, Map<String, Value>, &str),
    board: (String, String),
) -> Result<pages::Behind, Problem> {
    let missing = || Problem::from(KIND_UNKNOWN);
    let list = reports::list_of(&collection.of).ok_or_else(missing)?;
    let is = |(field, value): (&String, &Value)| match value {
        Value::Null => json!({ "field": field, "op": "is_null", "value": true }),
        value => json!({ "field": field, "op": "eq", "value": value }),
    };
    let mut all: Vec<Value> = key.iter().map(is).collect();
    if !collection.filter.is_empty() {
        all.push(Value::Object(collection.filter.clone()));
    }
    let past =
        Past { as_of: asked.as_of.clone(), known_at: asked.known_at.clone(), as_known_at: asked.as_known_at.clone() };
    let (as_of, known_at) = past.of_lists();
    let filter = match all.len() {
        0 => json!({}),
        _ => json!({ "all": all }),
    };
    let plain = lists::Plain {
        filter: filter.clone(),
        sort: collection.sort.clone(),
        limit: Some(PAGE),
        after: asked.after.clone(),
        as_of: as_of.clone(),
        known_at: known_at.clone(),
        ..lists::Plain::default()
    };
    let found = lists::plain(list, app, caller, headers, plain).await?;
    let numbers = dashboards::counted(app, caller, headers, &past, collection).await?;
    let then = as_of.as_deref();
    let record = |row: &Map<String, Value>| {
        let text = |name: &str| column(row, name).as_str().map(ToOwned::to_owned);
        let id = text("id").unwrap_or_default();
        pages::Counts {
            path: page_of(&collection.of, &id, then),
            name: called(list, row).unwrap_or_else(|| id.clone()),
            at: text("updated_at"),
            seconds: None,
            value: None,
        }
    };
    // What was known at a moment is no address of a list.
    let way = if known_at.is_none() { list_of(&collection.of, &filter, then) } else { None };
    Ok(pages::Behind {
        board,
        measure: dashboards::RECORDS.to_owned(),
        report: drawn(numbers, None, None),
        key,
        records: found.rows.iter().map(record).collect(),
        next: found.next.map(|after| asked.further(path, after)),
        list: way,
        then: as_of,
    })
}

#[cfg(test)]
mod tests {
    use domain::insight::facts;
    use web::Language;

    #[test]
    fn whatever_is_measured_has_a_name_in_every_language() {
        for source in facts::counted() {
            for measure in source.measures {
                for language in Language::ALL {
                    assert!(language.has("measure", measure.name), "{language:?}: {}", measure.name);
                }
            }
            for dimension in source.dimensions {
                let base = dimension.name.trim_end_matches("_ids").trim_end_matches("_id");
                for language in Language::ALL {
                    let word = language.word("field", base).or_else(|| language.word("field", dimension.name));
                    assert!(word.is_some(), "{language:?}: {}", dimension.name);
                }
            }
        }
    }
}
