//! Dashboards: all that their widgets show, in one answer.

mod addresses;
mod collections;
mod followed;
mod pictures;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Aggregate, Id, Time,
    insight::{
        clock::{Clock, Division},
        dashboard::{self, Dashboard, Fields},
        definition::Definition,
        shipped::Shipped,
        widget::{Collection, Kind, Page, Place, Shows, Statistic, Widget},
        window::Window,
    },
    kernel::record::Spec,
    org::tenant::Tenant,
};
use futures::{StreamExt, future::BoxFuture, stream};
use jiff::tz::TimeZone;
use projections::{
    ReadModel,
    crm::feed::Entry,
    insight::{facts::Facts, reports as facts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::collections::{listed, pending};
pub(in crate::http) use self::{
    addresses::{Address, Addresses, Signed, Wanted as WidgetWanted, Which as WhichAddress},
    collections::counted,
    followed::Followed,
    pictures::ImageOptions,
};
use super::reports::{self, Over, Past, ReportData};
use crate::http::{
    crm::feeds,
    kernel::{
        commands::id_of,
        request::{self, Body, Faults, Given, Nothing, POSITION, Params},
        routes::Routes,
    },
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Most periods that bars and lines are divided into: longer ones take their place beyond.
const READABLE: usize = 120;
/// Records that a list shows where it does not say how many.
const LISTED: u32 = 10;
/// Widgets that are told at the same time.
const TOGETHER: usize = 4;
/// What counts the records of a collection.
pub(in crate::http) const RECORDS: &str = "records";

/// `GET /dashboards/shipped`, `GET /dashboards/{id}/data`, `POST /dashboards/preview` and pictures of widgets.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/dashboards/shipped", shipped)
        .get("/dashboards/{id}/data", data)
        .post("/dashboards/preview", preview)
        .merge(pictures::routes())
        .merge(addresses::routes())
}

/// What is answered to anybody: pictures at addresses that somebody has handed out.
pub(in crate::http) fn open() -> Routes {
    addresses::open()
}

/// Over what the widgets of a dashboard go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct BoardOptions {
    /// Only the widgets of this page; of all pages by default.
    pub(in crate::http) page: Option<String>,
    /// Only these widgets: ids with commas between.
    pub(in crate::http) widgets: Option<String>,
    /// Another range instead of the dashboard's: `last_7_days`, `this_month`, `2026-01-01/2026-06-30`, ... Widgets with a range of
    /// their own keep it.
    #[schemars(with = "Option<String>")]
    pub(in crate::http) range: Option<String>,
    /// From this day on, in the time zone, or from this instant on, whatever ranges say.
    pub(in crate::http) from: Option<String>,
    /// Up to and including this day, or up to this instant, whatever ranges say.
    pub(in crate::http) to: Option<String>,
    /// A time zone from the IANA database for all of it.
    pub(in crate::http) tz: Option<String>,
    /// What was known then: an instant, a day, which is taken to its end in the tenant's time zone, or a position of the log.
    pub(in crate::http) as_known_at: Option<String>,
    /// The same, as lists call it.
    pub(in crate::http) known_at: Option<String>,
    /// What had happened by then: an instant or a day, taken to its end in the tenant's time zone. Or a position of the log.
    pub(in crate::http) as_of: Option<String>,
    /// Wait until it reflects this position.
    pub(in crate::http) min_position: Option<i64>,
}

/// What a dashboard shows.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct BoardData {
    /// Its name.
    pub(in crate::http) name: String,
    /// The range that its widgets have unless they say another one.
    #[schemars(with = "String")]
    pub(in crate::http) range: Window,
    /// The time zone of its days.
    pub(in crate::http) time_zone: String,
    /// Its pages, in their order.
    pub(in crate::http) pages: Vec<PageName>,
    /// Its widgets, page by page.
    pub(in crate::http) widgets: Vec<WidgetData>,
    /// The last position of the log that its numbers know. Asked for again as `as_known_at`, with the same days, they are the same.
    pub(in crate::http) position: i64,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PageName {
    /// Its id.
    pub(in crate::http) id: String,
    /// Its name.
    pub(in crate::http) name: String,
}

/// A widget with what it shows.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct WidgetData {
    /// Its id.
    pub(in crate::http) id: String,
    /// The page that it is on.
    pub(in crate::http) page: String,
    /// How it shows what it does.
    pub(in crate::http) kind: Kind,
    /// What stands above it, if that was said.
    pub(in crate::http) title: Option<String>,
    /// Where it stands.
    pub(in crate::http) place: Place,
    /// A range of its own, if it has one.
    #[schemars(with = "Option<String>")]
    pub(in crate::http) range: Option<Window>,
    /// A time zone of its own, if it has one.
    pub(in crate::http) time_zone: Option<String>,
    /// Which number of lengths and scores is drawn, if that was said.
    pub(in crate::http) statistic: Option<Statistic>,
    /// How many values are drawn at most, if that was said.
    pub(in crate::http) top: Option<u32>,
    /// Of charts: what the report says. Of counted collections: how many records there are now, as the measure `records`.
    pub(in crate::http) report: Option<ReportData>,
    /// Of numbers: the same for the time before.
    pub(in crate::http) before: Option<ReportData>,
    /// Of lists and of what waits: the records as they are now.
    pub(in crate::http) list: Option<ListData>,
    /// Of feeds: what happened, the latest first.
    pub(in crate::http) feed: Option<Vec<Entry>>,
    /// Of texts: the text.
    pub(in crate::http) text: Option<String>,
    /// Why it shows nothing.
    pub(in crate::http) problem: Option<WidgetProblem>,
}

/// Why a widget shows nothing. The others do.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct WidgetProblem {
    /// The code, as in answers that are problems.
    pub(in crate::http) code: String,
    /// The same in words.
    pub(in crate::http) detail: String,
    /// The status that an answer would have.
    pub(in crate::http) status: u16,
}

/// Records in a list.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ListData {
    /// Their kind.
    pub(in crate::http) of: String,
    /// What is told of each.
    pub(in crate::http) columns: Vec<String>,
    /// The first of them.
    pub(in crate::http) rows: Vec<ListedRow>,
    /// Whether there are more.
    pub(in crate::http) more: bool,
}

/// A record in a list.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ListedRow {
    /// Its id.
    pub(in crate::http) id: String,
    /// Its kind.
    pub(in crate::http) kind: String,
    /// Where it is.
    pub(in crate::http) link: String,
    /// What its columns say.
    pub(in crate::http) values: Map<String, Value>,
}

/// A dashboard that Deskfold brings along.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ShippedBoard {
    /// What it is called in paths: `desk`.
    id: &'static str,
    /// All that it says. A dashboard that is created with its id as `from_shipped` says the same.
    #[serde(flatten)]
    fields: Fields,
}

/// The dashboards that Deskfold brings along.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ShippedBoards {
    /// All of them.
    data: Vec<ShippedBoard>,
}

/// A dashboard that somebody looks at.
pub(in crate::http) struct Board {
    /// Its id, unless Deskfold brings it along or it is none yet.
    pub(in crate::http) id: Option<Id>,
    pub(in crate::http) shipped: Option<Shipped>,
    pub(in crate::http) fields: Fields,
}

impl Board {
    /// The saved one of this id, or one that Deskfold brings along, if the caller sees it.
    pub(in crate::http) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Board, Problem> {
        if let Some(shipped) = Shipped::named(id) {
            caller.must("report.read")?;
            if caller.is_outside() {
                return Err(Problem::forbidden("report.read"));
            }
            return Ok(Board { id: None, shipped: Some(shipped), fields: shipped.fields() });
        }
        caller.must("dashboard.read")?;
        let id = id_of::<Dashboard>(caller, id)?;
        let missing = || Problem::missing("dashboard_unknown", "There is no such dashboard.");
        let saved = app.commands.find::<Dashboard>(caller.tenant, id).await?.ok_or_else(missing)?;
        app.must_show(caller, Dashboard::KIND, id).await?;
        let fields = saved.fields.clone().ok_or_else(missing)?;
        Ok(Board { id: Some(id), shipped: None, fields })
    }

    fn widgets(&self) -> impl Iterator<Item = (&Page, &Widget)> {
        self.fields.pages.iter().flat_map(|page| page.widgets.iter().map(move |widget| (page, widget)))
    }
}

/// Over what widgets go, whoever asked for it.
pub(in crate::http) struct Frame {
    now: Time,
    range: Window,
    from: Option<String>,
    to: Option<String>,
    tz: Option<String>,
    tenants: String,
    boards: Option<String>,
    known: i64,
    /// The instant by which things had happened, if one was asked for.
    happened: Option<Time>,
    /// The earlier moment that was asked for.
    past: Past,
}

/// What a chart widget is asked.
pub(in crate::http) struct Question {
    pub(in crate::http) definition: Definition,
    pub(in crate::http) over: Over,
    before: Option<Over>,
}

impl Frame {
    /// What is asked of a dashboard, once all that must be known for it is.
    pub(in crate::http) async fn new(
        app: &App,
        caller: &Caller,
        headers: &HeaderMap,
        fields: &Fields,
        options: &BoardOptions,
        mut faults: Faults,
    ) -> Result<Frame, Problem> {
        let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
        let tenants = tenant.time_zone();
        let range = options.range.as_deref().map(|text| {
            text.parse::<Window>().map_err(|detail| Problem::invalid("report_range_invalid", detail).at("/range"))
        });
        let range = faults.check(range.transpose())?.flatten();
        let zone = options.tz.as_deref().map(reports::zone_of).transpose();
        let zone = faults.check(zone)?.flatten();
        let zone = zone.or_else(|| TimeZone::get(fields.time_zone.as_deref().unwrap_or(&tenants)).ok());
        let zone = zone.unwrap_or(TimeZone::UTC);
        let past = Past {
            as_of: options.as_of.clone(),
            known_at: options.known_at.clone(),
            as_known_at: options.as_known_at.clone(),
        };
        let (known, happened) = past.resolve(app, caller, &mut faults).await?;
        for (place, text) in [("/from", &options.from), ("/to", &options.to)] {
            faults.check(reports::edge(text.as_deref(), &zone, place))?;
        }
        let wanted = faults.check(request::min_position(app, headers, options.min_position).await)?.flatten();
        faults.done()?;
        request::reach(app, Facts::NAME, wanted.max(known)).await?;
        let reached = app.reads().models.position(Facts::NAME).await?;
        // Of an earlier moment the ranges that move end there.
        let known_at = past.known_at.as_deref().or(past.as_known_at.as_deref());
        let then = happened.or_else(|| reports::edge(known_at, &zone, "/to").ok()?);
        Ok(Frame {
            now: then.map_or_else(|| app.now(), |then| then.min(app.now())),
            range: range.unwrap_or(fields.range),
            from: options.from.clone(),
            to: options.to.clone(),
            tz: options.tz.clone(),
            boards: fields.time_zone.clone(),
            tenants,
            known: known.map_or(reached, |known| known.min(reached)),
            happened,
            past,
        })
    }

    /// The time zone of the dashboard, or what was asked for instead.
    fn zone(&self) -> String {
        self.tz.clone().or_else(|| self.boards.clone()).unwrap_or_else(|| self.tenants.clone())
    }

    fn over(&self, from: Option<String>, to: Option<String>, tz: &str) -> Over {
        let as_of = self.happened.map(|then| then.to_string());
        let past = Past { as_of, as_known_at: Some(self.known.to_string()), known_at: None };
        Over { from, to, tz: Some(tz.to_owned()), past, min_position: None }
    }

    /// What a report is asked for a widget.
    pub(in crate::http) async fn question(
        &self,
        app: &App,
        caller: &Caller,
        shows: &Shows,
    ) -> Result<Question, Problem> {
        let mut definition = match (shows.report, &shows.definition) {
            (Some(report), _) => reports::saved(app, caller, &report.to_string()).await?.1,
            (None, Some(definition)) => definition.clone(),
            (None, None) => return Err(Problem::missing("report_unknown", "The widget has no report.")),
        };
        let own = shows.time_zone.clone().or_else(|| definition.time_zone.clone());
        let tz = self.tz.clone().or(own).or_else(|| self.boards.clone()).unwrap_or_else(|| self.tenants.clone());
        let zone = TimeZone::get(&tz).unwrap_or(TimeZone::UTC);
        let window = shows.range.unwrap_or(self.range);
        let beyond = || Problem::invalid("report_range_invalid", "The range leaves the calendar.").at("/range");
        let edges = window.edges(self.now, &zone).ok_or_else(beyond)?;
        // Days to come are not drawn as if nothing happened on them.
        let tomorrow = Window::This(Division::Day).edges(self.now, &zone).ok_or_else(beyond)?.to;
        let to = if edges.from.is_none_or(|from| from < tomorrow) { edges.to.min(tomorrow) } else { edges.to };
        let given = self.from.is_some() || self.to.is_some();
        let (from, to, before) = if given {
            (self.from.clone(), self.to.clone(), None)
        } else {
            (edges.from.map(|from| from.to_string()), Some(to.to_string()), edges.before)
        };
        let over = self.over(from, to, &tz);
        let before = before.filter(|_| shows.kind == Kind::Number);
        let before = before.map(|(from, to)| self.over(Some(from.to_string()), Some(to.to_string()), &tz));
        if matches!(shows.kind, Kind::Line | Kind::Bar | Kind::StackedBar) {
            self.make_readable(app, caller, &mut definition, &over, &zone).await?;
        }
        Ok(Question { definition, over, before })
    }

    /// Longer periods instead of more than can be told from each other.
    async fn make_readable(
        &self,
        app: &App,
        caller: &Caller,
        definition: &mut Definition,
        over: &Over,
        zone: &TimeZone,
    ) -> Result<(), Problem> {
        let to = reports::edge(over.to.as_deref(), zone, "/to")?.unwrap_or(self.now);
        let from = match reports::edge(over.from.as_deref(), zone, "/from")? {
            Some(from) => Some(from),
            None => {
                let (of, sight) = ((definition.of.as_str(), self.known), app.sight(caller).await?);
                facts::beginning(&app.reads().pool, caller.tenant, of, &sight).await?
            }
        };
        let Some(from) = from.filter(|from| *from < to) else { return Ok(()) };
        for name in &mut definition.dimensions {
            let many = |division: Division| {
                Clock::new(Some(division), zone, (from, to)).is_none_or(|clock| clock.keys.len() > READABLE)
            };
            while let Some(longer) = Division::named(name).filter(|now| many(*now)).and_then(Division::longer) {
                *name = longer.name().to_owned();
            }
        }
        Ok(())
    }
}

/// What a widget shows.
enum Told {
    Report(ReportData, Option<ReportData>),
    List(ListData),
    Feed(Vec<Entry>),
    Text(String),
}

async fn tell(app: &App, caller: &Caller, headers: &HeaderMap, frame: &Frame, shows: &Shows) -> Result<Told, Problem> {
    let now_only = || {
        let place = if frame.past.as_of.is_some() { "/as_of" } else { "/as_known_at" };
        let detail = "Feeds of a dashboard are as they are now.";
        if frame.past.is_named() { Err(request::parameter_invalid(place, detail)) } else { Ok(()) }
    };
    match shows.kind {
        Kind::Text => Ok(Told::Text(shows.text.clone().unwrap_or_default())),
        Kind::Feed => {
            now_only()?;
            let missing = || Problem::missing("dashboard_widget_unknown", "The widget is of no record.");
            let record = shows.record.as_ref().ok_or_else(missing)?;
            Ok(Told::Feed(feeds::lately(app, caller, headers, record, 20).await?))
        }
        Kind::PendingWork => Ok(Told::List(pending(app, caller, headers, &frame.past).await?)),
        kind => match &shows.collection {
            Some(collection) => {
                if kind == Kind::List {
                    Ok(Told::List(listed(app, caller, headers, &frame.past, collection).await?))
                } else {
                    Ok(Told::Report(counted(app, caller, headers, &frame.past, collection).await?, None))
                }
            }
            None => charted(app, caller, headers, frame, shows).await,
        },
    }
}

async fn charted(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    frame: &Frame,
    shows: &Shows,
) -> Result<Told, Problem> {
    let Question { definition, over, before } = frame.question(app, caller, shows).await?;
    if definition.is_list() {
        let collection = Collection {
            of: definition.of,
            filter: definition.filter,
            columns: definition.columns,
            sort: definition.sort,
            group: None,
            limit: shows.top,
        };
        return Ok(Told::List(listed(app, caller, headers, &frame.past, &collection).await?));
    }
    let data = reports::numbers(app, caller, headers, &definition, over).await?;
    let before = match before {
        Some(over) => Some(reports::numbers(app, caller, headers, &definition, over).await?),
        None => None,
    };
    Ok(Told::Report(data, before))
}

/// A widget with what it shows, or why it shows nothing.
fn look<'a>(
    app: &'a App,
    caller: &'a Caller,
    headers: &'a HeaderMap,
    frame: &'a Frame,
    page: &'a Page,
    widget: &'a Widget,
) -> BoxFuture<'a, WidgetData> {
    let shows = &widget.shows;
    let mut data = WidgetData {
        id: widget.id.clone(),
        page: page.id.clone(),
        kind: shows.kind,
        title: shows.title.clone(),
        place: widget.place,
        range: shows.range,
        time_zone: shows.time_zone.clone(),
        statistic: shows.statistic,
        top: shows.top,
        report: None,
        before: None,
        list: None,
        feed: None,
        text: None,
        problem: None,
    };
    Box::pin(async move {
        match tell(app, caller, headers, frame, shows).await {
            Ok(Told::Report(report, before)) => (data.report, data.before) = (Some(report), before),
            Ok(Told::List(list)) => data.list = Some(list),
            Ok(Told::Feed(entries)) => data.feed = Some(entries),
            Ok(Told::Text(text)) => data.text = Some(text),
            Err(problem) => {
                let (code, detail) = problem.told();
                data.problem = Some(WidgetProblem { code, detail, status: problem.status().as_u16() });
            }
        }
        data
    })
}

/// All that widgets show, each by itself.
pub(in crate::http) async fn answer(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    board: &Board,
    options: &BoardOptions,
    mut faults: Faults,
) -> Result<BoardData, Problem> {
    if let Some(page) = options.page.as_ref().filter(|page| !board.fields.pages.iter().any(|known| known.id == **page))
    {
        let detail = format!("The dashboard has no page called {page}.");
        faults.check::<()>(Err(Problem::invalid("dashboard_page_unknown", detail).at("/page")))?;
    }
    let named: Option<Vec<&str>> = options.widgets.as_deref().map(|names| names.split(',').collect());
    let frame = Frame::new(app, caller, headers, &board.fields, options, faults).await?;
    let wanted = board.widgets().filter(|(page, widget)| {
        options.page.as_ref().is_none_or(|asked| page.id == *asked)
            && named.as_ref().is_none_or(|named| named.contains(&widget.id.as_str()))
    });
    let widgets: Vec<_> = wanted.map(|(page, widget)| look(app, caller, headers, &frame, page, widget)).collect();
    let widgets = stream::iter(widgets).buffered(TOGETHER).collect().await;
    Ok(BoardData {
        name: board.fields.name.clone(),
        range: frame.range,
        time_zone: frame.zone(),
        pages: board
            .fields
            .pages
            .iter()
            .map(|page| PageName { id: page.id.clone(), name: page.name.clone() })
            .collect(),
        widgets,
        position: frame.known,
    })
}

fn respond(data: BoardData) -> Response {
    let position = data.position;
    let mut response = Json(data).into_response();
    response.headers_mut().insert(POSITION, position.into());
    response
}

async fn data(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<BoardOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked, faults } = options;
    let board = Board::find(&app, &caller, &id).await?;
    Ok(respond(answer(&app, &caller, &headers, &board, &asked, faults).await?))
}

async fn preview(
    State(app): State<App>,
    caller: Caller,
    options: Given<BoardOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.must("report.read")?;
    if caller.is_outside() {
        return Err(Problem::forbidden("report.read"));
    }
    let Given { asked, faults } = options;
    let mut fields: Fields = body.read(&json!({ "name": "x" }))?;
    dashboard::Spec::complete(&mut fields);
    dashboard::Spec::check(&fields)?;
    let board = Board { id: None, shipped: None, fields };
    Ok(respond(answer(&app, &caller, &headers, &board, &asked, faults).await?))
}

async fn shipped(caller: Caller, Params(Nothing {}): Params<Nothing>) -> Result<Json<ShippedBoards>, Problem> {
    caller.must("report.read")?;
    let data = Shipped::ALL.iter().map(|shipped| ShippedBoard { id: shipped.id(), fields: shipped.fields() });
    Ok(Json(ShippedBoards { data: data.collect() }))
}
