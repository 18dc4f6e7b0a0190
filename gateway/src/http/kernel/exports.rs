//! Whole lists as files: what the list shows, without its pages, as CSV, JSON lines or Parquet, from one snapshot of the database.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};
use domain::FieldError;
use futures::{Stream, StreamExt, stream};
use projections::{Export, List, ListRequest, kernel::columns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use crate::http::kernel::{
    csv::{self, Dialect, Separator, cell},
    lists::{Turn, earlier, filter_of, invalid, question, reached},
    moment::past,
    parquet,
    request::{self, Body, Given, Nothing, POSITION, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// How long whoever downloads may take nothing: then the snapshot is given up, and the file broken off.
const PATIENCE: Duration = Duration::from_secs(60);

/// `GET /tickets/export` and `POST /tickets/export` for every list.
pub(in crate::http) fn routes() -> Routes {
    projections::lists().filter(|list| list.listed).fold(Routes::new(), |routes, list| {
        let path = format!("/{}/export", list.path);
        let asked = move |app, caller, wanted, headers| in_address(list, app, caller, wanted, headers);
        let said = move |app, caller, nothing, headers, body| in_body(list, app, caller, nothing, headers, body);
        routes.get(&path, asked).post(&path, said)
    })
}

/// What a file is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ExportFormat")]
pub(in crate::http) enum Format {
    /// Lines of cells, after one with the names of the columns.
    #[default]
    Csv,
    /// A JSON object on each line.
    Jsonl,
    /// Apache Parquet: columns with types, for large lists and for whoever computes with them.
    Parquet,
}

/// What is asked of an export, in an address or in a body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Wanted<F> {
    filter: Option<F>,
    sort: Option<String>,
    /// `number,title,total.amount,custom.size`.
    columns: Option<String>,
    format: Format,
    bom: bool,
    separator: Separator,
    min_position: Option<i64>,
    as_of: Option<String>,
    known_at: Option<String>,
}

async fn in_address(
    list: &'static List,
    State(app): State<App>,
    caller: Caller,
    wanted: Given<Wanted<String>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked, mut faults } = wanted;
    let Wanted { filter, sort, columns, format, bom, separator, min_position, as_of, known_at } = asked;
    let filter = faults.check(filter_of(filter.as_deref()))?.flatten();
    let asked = Wanted { filter, sort, columns, format, bom, separator, min_position, as_of, known_at };
    export(list, &app, &caller, &headers, Given { asked, faults }).await
}

async fn in_body(
    list: &'static List,
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    export(list, &app, &caller, &headers, body.query(&json!({}))?).await
}

async fn export(
    list: &'static List,
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    wanted: Given<Wanted<Value>>,
) -> Result<Response, Problem> {
    caller.must("export.run")?;
    caller.must(&format!("{}.read", list.read))?;
    let Given { asked, mut faults } = wanted;
    let (request, custom) = question(list, app, caller, (asked.filter.as_ref(), asked.sort.as_deref()), None).await?;
    let request = faults.check(request)?;
    let names = asked.columns.as_deref().map(|names| names.split(',').map(str::trim).filter(|name| !name.is_empty()));
    let chosen = names.map(|names| columns::chosen(list, &custom, names, |_| "/columns".into()).map_err(first_of));
    let chosen = faults.check(chosen.transpose())?.flatten().filter(|chosen| !chosen.is_empty());
    let wanted = faults.check(request::min_position(app, headers, asked.min_position).await)?.flatten();
    let as_of = past(app, caller, asked.as_of.as_deref(), asked.known_at.as_deref()).await;
    let as_of = faults.check(as_of)?.flatten();
    faults.done()?;
    let request = ListRequest { as_of, ..request.unwrap_or_default() };
    let turn = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| busy())?;
    let all = columns::columns(list, &custom);
    let typed = (asked.format == Format::Parquet).then(|| {
        let names = chosen.as_ref().unwrap_or(&all).iter();
        names.map(|name| (name.clone(), columns::kind(list, &custom, name))).collect::<Vec<_>>()
    });
    let export = match as_of {
        Some(as_of) => {
            let Turn { earlier, position, .. } = earlier(list, app, caller, &request, (as_of, wanted), custom).await?;
            Export::then(earlier, &request, position).await?
        }
        None => {
            reached(list, app, &request.sight, wanted).await?;
            let reads = app.reads();
            Export::begin(list, &reads.models, &reads.pool, caller.tenant, &request, custom).await?
        }
    };
    let position = export.position();
    let day = app.now().to_string().chars().take("2026-01-01".len()).collect::<String>();
    let file = |end: &str| format!("{}-{day}.{end}", list.path);
    let pages = pages(app, export, turn);
    let mut response = match asked.format {
        Format::Csv => {
            let columns = chosen.unwrap_or(all);
            let names = columns.clone();
            let rows = pages.map(move |page| page?.iter().map(|row| cells(row, &columns)).collect());
            csv::file(&file("csv"), Dialect { bom: asked.bom, separator: asked.separator }, names, rows)
        }
        Format::Jsonl => {
            let lines = pages.map(move |page| lines(&page?, chosen.as_deref()));
            csv::download(&file("jsonl"), "application/jsonl", lines)
        }
        Format::Parquet => {
            let columns = chosen.unwrap_or(all);
            let rows = pages.map(move |page| page?.iter().map(|row| values(row, &columns)).collect());
            parquet::file(&file("parquet"), typed.unwrap_or_default(), rows)?
        }
    };
    response.headers_mut().insert(POSITION, position.into());
    Ok(response)
}

pub(in crate::http) fn busy() -> Problem {
    let detail = "As many exports are being made as there may be at once. Try again when one of them is done.";
    Problem::unavailable("exports_busy", detail).retry_after(5)
}

/// They all stand at one place: the first is told, with the names of the others.
fn first_of(faults: Vec<FieldError>) -> Problem {
    invalid(faults.into_iter().take(1).collect())
}

/// The rows, read on as fast as they are taken.
fn pages(
    app: &App,
    mut export: Export,
    turn: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Vec<Box<RawValue>>, Problem>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(1);
    let (presence, stopping) = (app.log.presence().clone(), app.stopping.clone());
    tokio::spawn(async move {
        let _turn = turn;
        loop {
            let page = match presence.guard(export.next()).await {
                Ok(page) => page.map_err(Problem::from),
                Err(lost) => Err(lost.into()),
            };
            let is_last = page.as_ref().map_or(true, Vec::is_empty);
            let sent = tokio::select! {
                sent = timeout(PATIENCE, sender.send(page)) => matches!(sent, Ok(Ok(()))),
                () = stopping.cancelled() => false,
            };
            if is_last || !sent {
                return;
            }
        }
    });
    // Only an empty page is the end: where none comes, somebody has given up.
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver: mpsc::Receiver<Result<Vec<_>, Problem>> = receiver?;
        match receiver.recv().await {
            Some(Ok(page)) if page.is_empty() => None,
            Some(Ok(page)) => Some((Ok(page), Some(receiver))),
            Some(Err(problem)) => Some((Err(problem), None)),
            None => Some((Err(Problem::unavailable("timeout", "The download was given up.")), None)),
        }
    })
}

fn read(row: &RawValue) -> Result<Value, Problem> {
    serde_json::from_str(row.get()).map_err(|error| Problem::broken(&error))
}

fn cells(row: &RawValue, columns: &[String]) -> Result<Vec<String>, Problem> {
    let row = read(row)?;
    Ok(columns.iter().map(|column| cell(columns::value(&row, column))).collect())
}

fn values(row: &RawValue, columns: &[String]) -> Result<Vec<Value>, Problem> {
    let row = read(row)?;
    Ok(columns.iter().map(|column| columns::value(&row, column).clone()).collect())
}

/// Rows as JSON, each on its line: as the list shows them, or their chosen columns by name.
fn lines(rows: &[Box<RawValue>], chosen: Option<&[String]>) -> Result<Bytes, Problem> {
    let mut lines = String::new();
    for row in rows {
        match chosen {
            None if !row.get().contains(['\n', '\r']) => lines.push_str(row.get()),
            None => lines.push_str(&read(row)?.to_string()),
            Some(columns) => {
                let row = read(row)?;
                let member = |column: &String| format!("{}:{}", json!(column), columns::value(&row, column));
                lines.push_str(&format!("{{{}}}", columns.iter().map(member).collect::<Vec<_>>().join(",")));
            }
        }
        lines.push('\n');
    }
    Ok(Bytes::from(lines))
}
