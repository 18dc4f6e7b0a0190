//! Dashboards: which there are, one with its widgets, and the records behind a number.

use maud::{Markup, html};
use serde_json::Value;

use crate::{
    charts::{self, Cell, Chart, Form, Look, Paint, Report, Table, Way},
    frame::{View, below, inside},
    parts::{self, Field, OPS, RANGES, STATISTICS, WIDGETS, choice, hidden, needs_script, submit},
};

/// A dashboard in a list of them.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Where it is.
    pub path: String,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
}

/// Every dashboard that somebody sees.
#[derive(Clone, Debug, Default)]
pub struct Dashboards {
    /// His own.
    pub mine: Vec<Listed>,
    /// Those of others that he sees.
    pub others: Vec<Listed>,
    /// Those that Deskfold brings along, by their ids.
    pub shipped: Vec<&'static str>,
}

/// A dashboard as somebody looks at it.
#[derive(Clone, Debug, Default)]
pub struct Dashboard {
    /// Its id: that of a record, or the name of one that Deskfold brings along.
    pub id: String,
    /// What it is called; one that Deskfold brings along has its name from here.
    pub name: String,
    /// Whether Deskfold brings it along.
    pub shipped: bool,
    /// Its pages: ids and names.
    pub pages: Vec<(String, String)>,
    /// The page that is shown.
    pub page: String,
    /// Over what it goes, as one chooses it: `last_7_days`; what was asked for instead.
    pub range: String,
    /// The days that were asked for.
    pub from: Option<String>,
    /// The days that were asked for.
    pub to: Option<String>,
    /// The day of the past that was asked for.
    pub as_of: Option<String>,
    /// Whether it is shown as it was.
    pub past: bool,
    /// In which time zone.
    pub zone: String,
    /// Up to which position it knows the log.
    pub position: i64,
    /// Whether whoever looks may change it.
    pub may_edit: bool,
    /// Whether whoever looks may have one of his own.
    pub may_create: bool,
    /// The saved reports that it may show: ids and names.
    pub reports: Vec<(String, String)>,
    /// What may be measured and by what, kind by kind.
    pub counted: Vec<Counted>,
    /// Its widgets.
    pub widgets: Vec<Widget>,
}

/// What may be measured of a kind of record, and by what.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// The kind.
    pub kind: &'static str,
    /// Measures.
    pub measures: Vec<&'static str>,
    /// Dimensions, periods among them.
    pub dimensions: Vec<&'static str>,
    /// The fields by which its records are filtered, each with the kind of its values: `text`, `integer`, `time`, ...
    pub fields: Vec<(&'static str, &'static str)>,
}

/// A widget as somebody looks at it.
#[derive(Clone, Debug, Default)]
pub struct Widget {
    /// Its id.
    pub id: String,
    /// What stands above it, if that was said.
    pub title: Option<String>,
    /// Column, row, width and height on the grid.
    pub place: [u32; 4],
    /// A range of its own.
    pub range: Option<String>,
    /// A time zone of its own.
    pub zone: Option<String>,
    /// What is in it.
    pub content: Content,
    /// All that it says of itself, as JSON, for whoever may change it.
    pub shows: Option<String>,
}

/// What a widget shows.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// Numbers beside those of the time before.
    Numbers {
        /// What there is.
        report: Report,
        /// What there was.
        before: Option<Report>,
        /// To the records behind.
        way: Way,
    },
    /// A chart.
    Chart {
        /// How it is drawn.
        form: Form,
        /// What is drawn.
        report: Report,
        /// To the records behind.
        way: Way,
    },
    /// A table.
    Table {
        /// What it shows.
        report: Report,
        /// To the records behind.
        way: Way,
    },
    /// Records.
    List(Records),
    /// What waits for whoever looks.
    Pending(Records),
    /// What happened lately.
    Feed(Vec<Happened>),
    /// A text.
    Text(String),
    /// It cannot be told: a code, and the same in words of the API.
    Fault(String, String),
    /// Nothing was asked of it.
    #[default]
    Unread,
}

/// Records in a list.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Their kind.
    pub kind: String,
    /// The fields that are shown.
    pub columns: Vec<String>,
    /// Where each is, and what its fields say.
    pub rows: Vec<(Option<String>, Vec<Value>)>,
    /// Whether there are more.
    pub more: bool,
}

/// Something that happened.
#[derive(Clone, Debug, Default)]
pub struct Happened {
    /// In plain words.
    pub summary: String,
    /// Who did it.
    pub actor: Option<String>,
    /// When.
    pub at: String,
}

/// A record that a number counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Where it is.
    pub path: Option<String>,
    /// What it is called.
    pub name: String,
    /// When it counts.
    pub at: Option<String>,
    /// How long it took, in seconds.
    pub seconds: Option<f64>,
    /// What it came to, or what else is to be known.
    pub value: Option<String>,
}

/// The records behind a number.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    /// The dashboard: where it is, and what it is called.
    pub board: (String, String),
    /// What was counted.
    pub report: Report,
    /// The measure.
    pub measure: String,
    /// What its dimensions were.
    pub key: serde_json::Map<String, Value>,
    /// What counts.
    pub records: Vec<Counts>,
    /// Where there are more.
    pub next: Option<String>,
    /// Where they are shown as a list.
    pub list: Option<String>,
    /// The moment of the past at which they are looked at.
    pub then: Option<String>,
}

/// The page of all dashboards.
pub fn dashboards(view: &View, all: &Dashboards) -> String {
    let group = |name: &str, boards: &[Listed]| {
        html! {
            section.part aria-labelledby={ "boards-" (name) } {
                h2 id={ "boards-" (name) } { (view.say_of("dashboards", name)) }
                @if boards.is_empty() { p { (view.say("dashboards-none")) } }
                ul.rows {
                    @for board in boards {
                        li { div {
                            a href=(board.path) { (board.name) }
                            @if let Some(description) = &board.description { p.hint { (description) } }
                        } @if let Some(owner) = &board.owner { span.hint { (owner) } } }
                    }
                }
            }
        }
    };
    let copies: Vec<(&str, String)> = [("", view.say("dashboard-empty"))]
        .into_iter()
        .chain(all.shipped.iter().map(|id| (*id, view.say_of("shipped", id))))
        .collect();
    let content = html! {
        section.part aria-labelledby="boards-shipped" {
            h2 #boards-shipped { (view.say_of("dashboards", "shipped")) }
            ul.kinds {
                @for id in &all.shipped { li { a href={ "/dashboards/" (id) } { (view.say_of("shipped", id)) } } }
            }
        }
        (group("mine", &all.mine))
        (group("others", &all.others))
        @if view.may("dashboard.create") {
            (needs_script(view))
            details.panel {
                summary { (view.say("dashboard-new")) }
                form method="post" action="/v1/dashboards" data-api #new-board {
                    div.fields {
                        (Field { form: "new-board", name: "name", label: view.say("dashboard-name"), required: true, ..Field::default() }.show())
                        (choice("new-board", "from_shipped", &view.say("dashboard-from"), &copies, ""))
                    }
                    (submit(&view.say("dashboard-make")))
                }
            }
        }
    };
    inside(view, &view.say("dashboards-title"), &["dashboards.css", "dashboards.js"], &content)
}

/// What a dashboard that Deskfold brings along is called in the language of whoever looks.
pub fn shipped(view: &View, id: &str) -> String {
    view.say_of("shipped", id)
}

/// What a dashboard is called in the language of whoever looks.
fn called(view: &View, board: &Dashboard) -> String {
    if board.shipped { view.say_of("shipped", &board.id) } else { board.name.clone() }
}

/// The page of a dashboard.
pub fn dashboard(view: &View, board: &Dashboard) -> String {
    let above = [("/dashboards", view.say("dashboards-title"))];
    let editing = board.may_edit.then_some("true");
    let content = html! {
        @if board.pages.len() > 1 || board.may_edit {
            nav.tabs aria-label=(view.say("pages")) {
                ul {
                    @for (id, name) in &board.pages {
                        li { a href={ "?page=" (id) } data-page=(id) aria-current=[(*id == board.page).then_some("page")] { (name) } }
                    }
                }
            }
        }
        (asked(view, board))
        @if board.past { (as_it_was(view, board.as_of.as_deref(), &format!("/dashboards/{}?page={}", board.id, board.page))) }
        p.fault role="alert" #fault {}
        @if board.may_edit || board.may_create { (tools(view, board)) }
        div.board #board data-id=(board.id) data-page=(board.page) data-position=(board.position) data-edit=[editing]
            data-past=[board.past.then_some("true")] data-shipped=[board.shipped.then_some("true")] {
            @for widget in &board.widgets { (shown(view, widget)) }
        }
        @if board.widgets.is_empty() { p.lead { (view.say("page-empty")) } }
        @if board.may_edit { (controls(view)) }
    };
    below(view, &above, &called(view, board), &["dashboards.css", "dashboards.js"], &content)
}

/// Says of what moment a page is, and leads to what is now.
fn as_it_was(view: &View, then: Option<&str>, now: &str) -> Markup {
    html! {
        p.notice {
            @match then {
                Some(then) => { (view.say("as-it-was-on")) " " time datetime=(then) { (then) } ". " }
                None => { (view.say("as-was-known")) " " }
            }
            a href=(now) { (view.say("as-it-is")) }
        }
    }
}

/// Over what it goes, and in which time zone.
fn asked(view: &View, board: &Dashboard) -> Markup {
    let mut ranges: Vec<(&str, String)> = RANGES.iter().map(|name| (*name, view.say_of("range", name))).collect();
    if board.from.is_some() || board.to.is_some() {
        ranges.insert(0, ("", view.say("range-days")));
    } else if !RANGES.contains(&board.range.as_str()) {
        ranges.insert(0, (board.range.as_str(), board.range.replace('_', " ")));
    }
    let chosen = if board.from.is_some() || board.to.is_some() { "" } else { &board.range };
    let day = |name: &str, label: String, value: &Option<String>| {
        let id = format!("over-{name}");
        html! {
            div.field {
                label for=(id) { (label) }
                input id=(id) name=(name) type="date" value=[value.as_deref()];
            }
        }
    };
    html! {
        form.over #over method="get" role="search" aria-label=(view.say("over")) {
            @if board.pages.len() > 1 { (hidden("page", &board.page)) }
            div.field {
                label for="over-range" { (view.say("range")) }
                select #over-range name="range" autocomplete="off" data-submits {
                    @for (value, text) in &ranges { option value=(value) selected[*value == chosen] { (text) } }
                }
            }
            (day("from", view.say("range-from"), &board.from))
            (day("to", view.say("range-to"), &board.to))
            (day("as_of", view.say("as-of"), &board.as_of))
            div.field {
                label for="over-tz" { (view.say("time-zone")) }
                input #over-tz name="tz" value=(board.zone) autocomplete="off" spellcheck="false";
            }
            button.secondary type="submit" { (view.say("show")) }
        }
    }
}

/// What may be done with it.
fn tools(view: &View, board: &Dashboard) -> Markup {
    html! {
        (needs_script(view))
        div.actions.tools {
            @if board.may_edit {
                button.secondary type="button" #edit aria-pressed="false" { (view.say("dashboard-edit")) }
            }
            @if board.may_create {
                form method="post" action="/v1/dashboards" data-api #copy {
                    (hidden("name", &called(view, board)))
                    @if board.shipped { (hidden("from_shipped", &board.id)) }
                    @if !board.shipped { (hidden("copied_from", &board.id)) }
                    button.secondary type="submit" { (view.say("dashboard-copy")) }
                    p.fault role="alert" {}
                }
            }
        }
        @if board.may_edit {
            div.editor #editor hidden {
                (adding(view, board))
                details.panel {
                    summary { (view.say("page-add")) }
                    form.line #page-new {
                        (Field { form: "page-new", name: "name", label: view.say("page-name"), required: true, ..Field::default() }.show())
                        button.secondary type="submit" { (view.say("add")) }
                        p.fault role="alert" {}
                    }
                    @if board.pages.iter().any(|(id, _)| *id == board.page) {
                        form.line #page-name {
                            @let name = board.pages.iter().find(|(id, _)| *id == board.page).map(|(_, name)| name.as_str());
                            (Field { form: "page-name", name: "name", label: view.say("page-rename"), required: true,
                                value: name.unwrap_or_default(), ..Field::default() }.show())
                            button.secondary type="submit" { (view.say("save")) }
                            p.fault role="alert" {}
                        }
                        p.actions {
                            button.secondary type="button" data-page-does="earlier" { (view.say("page-earlier")) }
                            button.secondary type="button" data-page-does="later" { (view.say("page-later")) }
                            button.danger type="button" data-page-does="remove" { (view.say("page-remove")) }
                        }
                    }
                }
                p.hint { (view.say("edit-hint")) }
            }
        }
    }
}

/// The form of a widget: of a new one, or of one that is there.
fn adding(view: &View, board: &Dashboard) -> Markup {
    let kinds: Vec<(&str, String)> = WIDGETS.iter().map(|name| (*name, view.say_of("widget", name))).collect();
    let named = |of: &&Counted| (of.kind, view.say_of("kind", of.kind));
    let measured: Vec<(&str, String)> =
        board.counted.iter().filter(|of| !of.measures.is_empty()).map(|of| named(&of)).collect();
    let listed: Vec<(&str, String)> =
        board.counted.iter().filter(|of| !of.fields.is_empty()).map(|of| named(&of)).collect();
    let mut ranges = vec![("", view.say("widget-range-board"))];
    ranges.extend(RANGES.iter().map(|name| (*name, view.say_of("range", name))));
    let mut statistics = vec![("", "–".to_owned())];
    statistics.extend(STATISTICS.iter().map(|name| (*name, view.say_of("statistic", name))));
    let field = |name: &str| charts::capital(&charts::dimension(view.language, name));
    let of_kinds = |name: &str, label: String, values: fn(&Counted) -> Vec<(&'static str, &'static str)>, of: &str| {
        let id = format!("add-{name}");
        html! {
            div.field {
                label for=(id) { (label) }
                select id=(id) name=(name) data-follows=(of) autocomplete="off" {
                    option value="" { "–" }
                    @for of in &board.counted {
                        @for (value, kind) in values(of) {
                            option value=(value) data-of=(of.kind) data-kind=[(!kind.is_empty()).then_some(kind)] { (field(value)) }
                        }
                    }
                }
            }
        }
    };
    let dimensions = |of: &Counted| of.dimensions.iter().map(|name| (*name, "")).collect::<Vec<_>>();
    let groups = |of: &Counted| {
        let fit = |kind: &str| ["word", "id", "bool", "text"].contains(&kind);
        of.fields.iter().copied().filter(|(_, kind)| fit(kind)).collect::<Vec<_>>()
    };
    html! {
        details.panel #adding {
            summary data-new=(view.say("widget-add")) data-old=(view.say("widget-change")) { (view.say("widget-add")) }
            form #add {
                div.fields {
                    (choice("add", "kind", &view.say("widget-kind"), &kinds, "line"))
                    (Field { form: "add", name: "title", label: view.say("widget-title"), hint: Some(view.say("widget-title-hint")),
                        ..Field::default() }.show())
                }
                div.fields data-for="number line bar stacked_bar heat_map table" {
                    div.field {
                        label for="add-report" { (view.say("widget-report")) }
                        select #add-report name="report" autocomplete="off" {
                            option value="" { (view.say("widget-own")) }
                            option value="@records" { (view.say("widget-records")) }
                            @for (id, name) in &board.reports { option value=(id) { (name) } }
                        }
                    }
                }
                div.fields data-for="number line bar stacked_bar heat_map table" data-source="own" {
                    (choice("add", "of", &view.say("widget-of"), &measured, "ticket"))
                    div.field {
                        label for="add-measure" { (view.say("widget-measure")) }
                        select #add-measure name="measure" data-follows="of" autocomplete="off" {
                            @for of in &board.counted {
                                @for measure in &of.measures {
                                    option value=(measure) data-of=(of.kind) { (view.say_of("measure", measure)) }
                                }
                            }
                        }
                    }
                    (of_kinds("by", view.say("widget-by"), dimensions, "of"))
                    (of_kinds("and", view.say("widget-and"), dimensions, "of"))
                }
                div.fields data-for="list number bar table" data-source="records" hidden {
                    (choice("add", "list", &view.say("widget-of"), &listed, "ticket"))
                }
                div.fields data-for="number bar table" data-source="records" hidden {
                    (of_kinds("group", view.say("widget-by"), groups, "list"))
                }
                div.fields data-for="list" hidden {
                    (Field { form: "add", name: "columns", label: view.say("widget-columns"), value: "title, status, assignee_name",
                        ..Field::default() }.show())
                    (Field { form: "add", name: "sort", label: view.say("order"), ..Field::default() }.show())
                }
                div.fields data-for="number line bar stacked_bar heat_map table" {
                    (choice("add", "range", &view.say("range"), &ranges, ""))
                    (choice("add", "statistic", &view.say("widget-statistic"), &statistics, ""))
                    (Field { form: "add", name: "top", label: view.say("widget-top"), kind: "number", ..Field::default() }.show())
                }
                fieldset.conditions data-for="number line bar stacked_bar heat_map table list" data-source="own records" {
                    legend { (view.say("widget-only")) }
                    div #conditions {}
                    p.actions { button.secondary type="button" #condition-add { (view.say("condition-add")) } }
                    details #conditions-json {
                        summary { (view.say("widget-filter")) }
                        div.field {
                            label for="add-filter" { (view.say("widget-filter")) }
                            textarea #add-filter name="filter" rows="3" spellcheck="false" {}
                        }
                    }
                    template #condition {
                        div.condition {
                            select data-part="field" aria-label=(view.say("condition-field")) autocomplete="off" {
                                @for of in &board.counted {
                                    @for (name, kind) in &of.fields { option value=(name) data-of=(of.kind) data-kind=(kind) { (field(name)) } }
                                }
                            }
                            select data-part="op" aria-label=(view.say("condition-op")) autocomplete="off" {
                                @for op in OPS { option value=(op) { (view.say_of("op", op)) } }
                            }
                            input id="condition-value-{number}" data-part="value" type="text" autocomplete="off" spellcheck="false";
                            label for="condition-value-{number}" { span.unseen { (view.say("condition-value")) } }
                            button.quiet type="button" data-part="remove" aria-label=(view.say_of("place", "remove")) { "×" }
                        }
                    }
                }
                div.field data-for="text" hidden {
                    label for="add-text" { (view.say_of("widget", "text")) }
                    textarea #add-text name="text" rows="5" {}
                }
                div.fields data-for="feed" hidden {
                    (choice("add", "feed", &view.say("widget-of"), &listed, "ticket"))
                    (Field { form: "add", name: "record", label: view.say("widget-record"), ..Field::default() }.show())
                }
                p.fault role="alert" {}
                p.actions {
                    button type="submit" data-new=(view.say("add")) data-old=(view.say("save")) { (view.say("add")) }
                    button.secondary type="button" #add-leave hidden { (view.say("widget-leave")) }
                }
            }
        }
    }
}

/// What a widget is moved and resized with; a script puts it into each.
fn controls(view: &View) -> Markup {
    let button = |does: &str, sign: &str| {
        let name = view.say_of("place", does);
        html! { button.quiet type="button" data-does=(does) aria-label=(name) title=(name) { (sign) } }
    };
    html! {
        template #controls {
            div.controls role="toolbar" aria-label=(view.say("widget-place")) {
                button.quiet.grip type="button" data-grip="move" aria-label=(view.say_of("place", "move")) title=(view.say_of("place", "move")) { "⠿" }
                (button("configure", "✎"))
                (button("left", "←")) (button("right", "→")) (button("up", "↑")) (button("down", "↓"))
                (button("wider", "⇥")) (button("narrower", "⇤")) (button("taller", "⤓")) (button("shorter", "⤒"))
                (button("remove", "×"))
                span.corner data-grip="size" aria-hidden="true" title=(view.say_of("place", "size")) {}
            }
        }
    }
}

/// A widget.
fn shown(view: &View, widget: &Widget) -> Markup {
    let [x, y, w, h] = widget.place;
    let language = view.language;
    let title = widget.title.clone().unwrap_or_else(|| match &widget.content {
        Content::Numbers { report, .. } | Content::Chart { report, .. } | Content::Table { report, .. } => {
            report.title(language)
        }
        Content::List(records) => view.say_of("kind", &records.kind),
        Content::Pending(_) => view.say_of("widget", "pending_work"),
        Content::Feed(_) => view.say_of("widget", "feed"),
        Content::Text(_) => view.say_of("widget", "text"),
        Content::Fault(..) | Content::Unread => widget.id.replace(['_', '-'], " "),
    });
    let own = widget.range.iter().map(|range| {
        if RANGES.contains(&range.as_str()) { view.say_of("range", range) } else { range.replace('_', " ") }
    });
    let own: Vec<String> = own.chain(widget.zone.clone()).collect();
    let id = format!("widget-{}", widget.id);
    html! {
        article.widget.{ "x" (x) }.{ "y" (y) }.{ "w" (w) }.{ "h" (h) } id=(id) data-widget=(widget.id) data-place={ (x) " " (y) " " (w) " " (h) }
            data-shows=[widget.shows.as_deref()] aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            @if !own.is_empty() { p.hint { (own.join(" · ")) } }
            @match &widget.content {
                Content::Numbers { report, before, way } => (numbers(view, report, before.as_ref(), way)),
                Content::Chart { form, report, way } => {
                    @let chart = Chart { title: title.clone(), ..report.chart(language, *form, way) };
                    (drawn(view, &chart, widget.place))
                    @if let Some(note) = &chart.note { p.hint { (note) } }
                    details.numbers {
                        summary { (view.say("as-table")) }
                        (table(view, &report.table(language, way), &title))
                        p.actions { button.link type="button" data-address { (view.say("address-make")) } }
                    }
                }
                Content::Table { report, way } => (table(view, &report.table(language, way), &title)),
                Content::List(list) | Content::Pending(list) => (records(view, list, &title)),
                Content::Feed(entries) => {
                    ol.lately {
                        @for entry in entries {
                            li { p { (entry.summary) } p.hint {
                                @if let Some(actor) = &entry.actor { (actor) " · " } time datetime=(entry.at) { (entry.at) }
                            } }
                        }
                    }
                }
                Content::Text(text) => div.prose { (prose(text)) },
                Content::Fault(code, detail) => {
                    @let name = format!("problem-{code}");
                    @let known = view.say(&name);
                    p.fault { (if known == name { detail } else { &known }) }
                }
                Content::Unread => {}
            }
        }
    }
}

/// A chart at each of the widths that it has on different screens; the style sheet shows one of them.
fn drawn(view: &View, chart: &Chart, [_, _, w, h]: [u32; 4]) -> Markup {
    let height = f64::from(h) * 80.0 - 96.0;
    let wide = f64::from(w) * 102.0 - 44.0;
    let look = |width: f64, height: f64| Look { language: view.language, paint: Paint::Page, width, height };
    // Below each other there is room enough for all that is drawn.
    let tall = if chart.over_time || chart.form == Form::HeatMap {
        height.max(200.0)
    } else {
        34.0 * chart.labels.len() as f64 + 30.0
    };
    let tall = tall.clamp(120.0, 420.0);
    html! {
        figure aria-label=(chart.title) {
            div.at-wide { (charts::drawn(chart, &look(wide, height.max(90.0)))) }
            @if w > 6 { div.at-middle { (charts::drawn(chart, &look(680.0, tall))) } }
            div.at-narrow.only[w > 6] { (charts::drawn(chart, &look(310.0, tall))) }
        }
    }
}

fn numbers(view: &View, report: &Report, before: Option<&Report>, way: &Way) -> Markup {
    let figures = report.figures(view.language, before, way);
    let alone = figures.len() == 1;
    html! {
        @for figure in figures {
            @if !alone { p.hint { (figure.name) } }
            p.figure { (cell(&figure.value)) }
            @if let Some((was, change)) = figure.before {
                p.change {
                    @match change {
                        Some(0) => span { "= " },
                        Some(change) => {
                            span aria-hidden="true" { (if change > 0 { "▲ " } else { "▼ " }) }
                            b { (if change > 0 { "+" } else { "−" }) (change.abs()) "\u{a0}%" } " "
                        }
                        None => {}
                    }
                    (view.say_with("was-before", &[("value", &was)]))
                }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    html! {
        @if let Some(icon) = &cell.icon {
            (parts::badge(icon, cell.color.as_deref()))
        } @else if let Some(color) = &cell.color {
            svg.swatch viewBox="0 0 10 10" width="10" height="10" aria-hidden="true" { circle cx="5" cy="5" r="5" fill=(color) {} }
        }
        @match &cell.link {
            Some(link) => a href=(link) { (cell.text) },
            None => (cell.text),
        }
    }
}

fn table(view: &View, table: &Table, title: &str) -> Markup {
    html! {
        @if table.rows.is_empty() { p.hint { (view.say("chart-empty")) } }
        @if !table.rows.is_empty() {
            div.scrolls tabindex="0" role="group" aria-label=(title) {
                table.figures {
                    thead { tr { @for column in &table.columns { th scope="col" class=[column.numbers.then_some("n")] { (column.name) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr {
                                @for (place, known) in row.iter().enumerate() {
                                    @if place == 0 { th scope="row" { (cell(known)) } }
                                    @else { td.n { (cell(known)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(note) = &table.note { p.hint { (note) } }
    }
}

/// What a field of a record says.
fn field(view: &View, name: &str, value: &Value) -> Markup {
    let is_moment = |text: &str| text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    match value {
        Value::Null => html! {},
        Value::String(text) if is_moment(text) => html! { time datetime=(text) { (text) } },
        Value::String(text) if ["status", "stage"].contains(&name) => {
            html! { span.badge { (charts::value(view.language, name, &text.as_str().into())) } }
        }
        Value::String(text) => html! { (text) },
        Value::Number(number) if name == "number" => html! { "#" (number) },
        Value::Number(_) | Value::Bool(_) => html! { (charts::value(view.language, name, value)) },
        Value::Array(items) => html! { (items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")) },
        Value::Object(members) => match (members.get("amount"), members.get("currency")) {
            (Some(Value::String(amount)), Some(Value::String(currency))) => {
                html! { data.money value=(amount) data-currency=(currency) { (amount) " " (currency) } }
            }
            _ => html! {},
        },
    }
}

fn records(view: &View, list: &Records, title: &str) -> Markup {
    let named = |name: &String| charts::capital(&charts::dimension(view.language, name.trim_end_matches("_name")));
    // What a record is called leads to it, or else what stands first.
    let leads =
        list.columns.iter().position(|name| ["title", "name", "contact_name"].contains(&name.as_str())).unwrap_or(0);
    html! {
        @if list.rows.is_empty() { p.hint { (view.say("list-empty")) } }
        @if !list.rows.is_empty() {
            div.scrolls tabindex="0" role="group" aria-label=(title) {
                table.figures {
                    thead { tr { @for name in &list.columns { th scope="col" { (named(name)) } } } }
                    tbody {
                        @for (path, row) in &list.rows {
                            tr {
                                @for (place, value) in row.iter().enumerate() {
                                    @let shown = field(view, list.columns.get(place).map_or("", String::as_str), value);
                                    td {
                                        @match path {
                                            Some(path) if place == leads => a href=(path) {
                                                @if value.is_null() { (view.say("not-set")) } @else { (shown) }
                                            },
                                            _ => (shown),
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if list.more { p.hint { (view.say("list-more")) } }
    }
}

/// A small part of Markdown: headings, lists, paragraphs, links, emphasis.
fn prose(text: &str) -> Markup {
    let blocks: Vec<&str> = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).collect();
    html! {
        @for block in blocks {
            @let heading = block.trim_start_matches('#');
            @if heading.len() < block.len() { h3 { (inline(heading.trim())) } }
            @else if block.lines().all(|line| line.trim_start().starts_with("- ")) {
                ul.bullets { @for line in block.lines() { li { (inline(line.trim_start().trim_start_matches("- "))) } } }
            }
            @else { p { (inline(block)) } }
        }
    }
}

/// Emphasis and links within a line; whatever is neither stays as it is.
fn inline(text: &str) -> Markup {
    let between = |open: &str, close: &str| -> Option<(usize, usize, usize)> {
        let begin = text.find(open)?;
        let end = text.get(begin + open.len()..)?.find(close)? + begin + open.len();
        (end > begin + open.len()).then_some((begin, end, end + close.len()))
    };
    let link = between("[", "]").and_then(|(begin, end, after)| {
        let rest = text.get(after..)?.strip_prefix('(')?;
        let address = rest.get(..rest.find(')')?)?;
        let safe = ["https://", "http://", "mailto:", "/"].iter().any(|start| address.starts_with(start));
        safe.then(|| {
            (
                begin,
                after + address.len() + 2,
                html! { a href=(address) rel="noopener noreferrer" { (&text[begin + 1..end]) } },
            )
        })
    });
    let strong = between("**", "**").map(|(begin, end, after)| (begin, after, html! { b { (&text[begin + 2..end]) } }));
    let emphasis =
        between("*", "*").map(|(begin, end, after)| (begin, after, html! { em { (&text[begin + 1..end]) } }));
    let first = [link, strong, emphasis].into_iter().flatten().min_by_key(|(begin, ..)| *begin);
    match first {
        Some((begin, after, markup)) => html! { (&text[..begin]) (markup) (inline(&text[after..])) },
        None => html! { (text) },
    }
}

/// The page of the records behind a number.
pub fn behind(view: &View, told: &Behind) -> String {
    let (path, name) = &told.board;
    let above = [("/dashboards", view.say("dashboards-title")), (path.as_str(), name.clone())];
    let about = told.report.about(view.language, &told.key);
    let title = told.report.called(view.language, &told.measure);
    let content = html! {
        @if !about.is_empty() { p.lead { (about.join(" · ")) } }
        @if let Some(then) = &told.then {
            p.notice { (view.say("as-it-was-on")) " " time datetime=(then) { (then) } ". " }
        }
        @if told.records.is_empty() { p { (view.say("list-empty")) } }
        ul.records {
            @for Counts { path, name, at, seconds, value } in &told.records {
                li {
                    div { @match path { Some(path) => a href=(path) { (name) }, None => (name) } }
                    @if let Some(seconds) = seconds { span.whose { (charts::length(view.language, *seconds)) } }
                    @if let Some(value) = value { span.whose { (value) } }
                    @if let Some(at) = at { time datetime=(at) { (at) } }
                }
            }
        }
        @if told.next.is_some() || told.list.is_some() {
            p.actions {
                @if let Some(next) = &told.next { a.button.secondary href=(next) { (view.say("more")) } }
                @if let Some(list) = &told.list { a.button.secondary href=(list) { (view.say("as-list")) } }
            }
        }
    };
    below(view, &above, &title, &[], &content)
}

/// A picture of a widget that stands for itself; `None` where there is nothing to draw.
pub fn picture(widget: &Widget, look: &Look) -> Option<String> {
    let titled = |report: &Report| widget.title.clone().unwrap_or_else(|| report.title(look.language));
    match &widget.content {
        Content::Chart { form, report, way } => {
            let chart = Chart { title: titled(report), ..report.chart(look.language, *form, way) };
            Some(charts::svg(&chart, look))
        }
        Content::Numbers { report, before, way } => {
            let figures = report.figures(look.language, before.as_ref(), way);
            Some(charts::tile(&titled(report), &figures, look))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_know_a_little_markdown_and_no_markup() {
        let text = "# Rota\n\n- **Anna** on *Monday*\n- see [the wiki](https://example.com)\n\n<b>2 * 3</b> [x](javascript:alert)";
        assert_eq!(
            prose(text).into_string(),
            "<h3>Rota</h3><ul class=\"bullets\"><li><b>Anna</b> on <em>Monday</em></li><li>see \
             <a href=\"https://example.com\" rel=\"noopener noreferrer\">the wiki</a></li></ul>\
             <p>&lt;b&gt;2 * 3&lt;/b&gt; [x](javascript:alert)</p>"
        );
    }
}
