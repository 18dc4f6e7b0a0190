//! Pages of a dashboard, the widgets on them, and whether each makes sense where it stands.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Country, Faults, Id, Rejection,
    catalogue::{self, listed},
    insight::{definition::Definition, window::Window},
    kernel::{
        custom::Definitions,
        reference::Subject,
        valid::{self, TIME_ZONE_INVALID, is_time_zone},
    },
    must,
};

/// Columns of the grid.
pub const COLUMNS: u32 = 12;
/// Rows of the grid.
pub const ROWS: u32 = 100;
/// Most pages of a dashboard.
pub const MAX_PAGES: usize = 20;
/// Most widgets of a page.
pub const MAX_WIDGETS: usize = 40;

/// A page of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Its id among the pages of the dashboard: a word such as `overview`.
    #[schemars(extend("format" = "word"))]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it shows. No two may lie upon each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40))]
    pub widgets: Vec<Widget>,
}

/// Something that a page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Widget {
    /// Its id among the widgets of the dashboard: a word such as `opened_by_week`.
    #[schemars(extend("format" = "word"))]
    pub id: String,
    /// Where it stands, and how large it is.
    pub place: Place,
    /// What it shows.
    pub shows: Shows,
}

/// Where a widget stands on the grid of twelve columns, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its first column: 0 is the leftmost.
    #[schemars(range(min = 0, max = 11))]
    pub x: u32,
    /// Its first row: 0 is the topmost.
    #[schemars(range(min = 0, max = 99))]
    pub y: u32,
    /// How many columns it takes.
    #[schemars(range(min = 1, max = 12))]
    pub w: u32,
    /// How many rows it takes.
    #[schemars(range(min = 1, max = 12))]
    pub h: u32,
}

impl Place {
    pub(super) fn is_on_grid(self) -> bool {
        let along = |first: u32, size: u32, most: u32| size >= 1 && first.saturating_add(size) <= most;
        along(self.x, self.w, COLUMNS) && along(self.y, self.h, ROWS)
    }

    pub(super) fn meets(self, other: Place) -> bool {
        let apart = |a: u32, size: u32, b: u32, other: u32| a + size <= b || b + other <= a;
        !apart(self.x, self.w, other.x, other.w) && !apart(self.y, self.h, other.y, other.h)
    }
}

/// How a widget shows what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One number, and what it was in the time before.
    Number,
    /// Lines over time.
    Line,
    /// Bars.
    Bar,
    /// Bars upon each other.
    StackedBar,
    /// Squares that are the darker the more there is: days of the week by hours of the day.
    HeatMap,
    /// A table; of two dimensions a pivot.
    Table,
    /// Records of a collection.
    List,
    /// What waits for whoever looks: open tasks and tickets that are his.
    PendingWork,
    /// What happened to a record lately.
    Feed,
    /// A text.
    Text,
}

impl Kind {
    /// Whether it draws a report.
    pub fn is_chart(self) -> bool {
        matches!(self, Kind::Number | Kind::Line | Kind::Bar | Kind::StackedBar | Kind::HeatMap | Kind::Table)
    }

    /// Whether it may count the records of a collection.
    fn counts(self) -> bool {
        matches!(self, Kind::Number | Kind::Bar | Kind::Table)
    }
}

/// Which number of lengths and scores is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The one in the middle.
    Median,
    /// The average.
    Mean,
    /// Nine of ten are no larger.
    P90,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// All of them together.
    Sum,
    /// How many there are.
    Count,
}

/// Records of a kind as they are now: those to be listed, or to be counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// Their kind.
    #[schemars(extend("format" = "word"))]
    pub of: String,
    /// Only records that match this filter.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filter: Map<String, Value>,
    /// The fields that a list shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("items" = { "type": "string", "format": "word" }))]
    pub columns: Vec<String>,
    /// How a list is ordered: `-priority,opened_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// By what they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub group: Option<String>,
    /// How many a list shows: 10 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
}

/// What a widget shows, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shows {
    /// How it shows it.
    pub kind: Kind,
    /// What stands above it. Without one it says what it shows in the language of whoever looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// Of charts: the saved report that they draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "report"))]
    pub report: Option<Id>,
    /// Of charts: the report that they draw, where it is not a saved one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// Of lists: the records. Of numbers, bars and tables: the records that are counted, as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<Collection>,
    /// Of feeds: the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Subject>,
    /// Of texts: the text, in a small part of Markdown: headings, lists, links, emphasis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub text: Option<String>,
    /// Of lengths and scores: which number is drawn; the median of lengths and the mean of scores by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// At most so many values of a dimension are drawn, those with the most; the rest is told to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub top: Option<u32>,
    /// A range of its own instead of the dashboard's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Window>,
    /// A time zone of its own, from the IANA database, instead of the dashboard's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// What is no id of a page or widget.
pub const ID_INVALID: Rejection = Rejection::invalid(
    "dashboard_id_invalid",
    "Pages and widgets are called by 1 to 60 lower-case letters, digits, - and _.",
);
/// An id that another page or widget has.
pub const ID_TAKEN: Rejection =
    Rejection::invalid("dashboard_id_taken", "Another page or widget of the dashboard has this id.");
/// Beyond the grid.
pub const PLACE_INVALID: Rejection =
    Rejection::invalid("widget_place_invalid", "The grid has 12 columns and 100 rows; a widget stands within it.");
/// On top of another one.
pub const OVERLAP: Rejection = Rejection::invalid("widgets_overlap", "Two widgets lie upon each other.");
/// What does not belong together.
pub const SHAPE_INVALID: Rejection = Rejection::invalid(
    "widget_shape_invalid",
    "A widget of this kind does not show this; the detail says what it shows.",
);
/// Records that there are not.
pub const KIND_UNKNOWN: Rejection = Rejection::invalid("widget_kind_unknown", "There are no records of this kind.");
/// No such field of a list.
pub const FIELD_UNKNOWN: Rejection =
    Rejection::invalid("widget_field_unknown", "The list has no such field; the detail lists those there are.");
/// Too many.
pub const FULL: Rejection =
    Rejection::invalid("dashboard_full", "A dashboard has at most 20 pages, and a page at most 40 widgets.");

/// What may be wrong with pages and widgets.
pub fn refusals() -> Vec<Rejection> {
    vec![
        ID_INVALID,
        ID_TAKEN,
        PLACE_INVALID,
        OVERLAP,
        SHAPE_INVALID,
        KIND_UNKNOWN,
        FIELD_UNKNOWN,
        FULL,
        TIME_ZONE_INVALID,
        valid::NAME_INVALID,
    ]
}

/// Whether something may be called so.
pub fn check_id(id: &str, pointer: impl Into<String>) -> Result<(), Rejection> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    must((1..=60).contains(&id.len()) && id.chars().all(fits), ID_INVALID, pointer)
}

/// Whether pages make sense, but for what their reports and lists say.
pub fn check(pages: &[Page]) -> Result<(), Rejection> {
    let mut faults = Faults::default();
    faults.check(must(pages.len() <= MAX_PAGES, FULL, "/pages"));
    let mut ids = BTreeSet::new();
    for (number, page) in pages.iter().enumerate() {
        let at = format!("/pages/{number}");
        faults.check(check_id(&page.id, format!("{at}/id")));
        faults.check(valid::name(&page.name, &format!("{at}/name")));
        faults.check(must(page.widgets.len() <= MAX_WIDGETS, FULL, format!("{at}/widgets")));
        faults.check(must(ids.insert(("page", &page.id)), ID_TAKEN, format!("{at}/id")));
        for (number, widget) in page.widgets.iter().enumerate() {
            let at = format!("{at}/widgets/{number}");
            faults.check(must(ids.insert(("widget", &widget.id)), ID_TAKEN, format!("{at}/id")));
            faults.check(widget.check(&at));
        }
        for at in layout(&page.widgets) {
            faults.add(OVERLAP.at(format!("/pages/{number}/widgets/{at}/place")));
        }
    }
    faults.done()
}

/// Which of some widgets lie upon one before them.
pub fn layout(widgets: &[Widget]) -> Vec<usize> {
    let meets = |(number, widget): (usize, &Widget)| {
        let before = widgets.iter().take(number);
        before.into_iter().any(|other| other.place.meets(widget.place)).then_some(number)
    };
    widgets.iter().enumerate().filter_map(meets).collect()
}

impl Widget {
    /// Whether it makes sense by itself; `at` is its place in the body.
    pub fn check(&self, at: &str) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        faults.check(check_id(&self.id, format!("{at}/id")));
        faults.check(must(self.place.is_on_grid(), PLACE_INVALID, format!("{at}/place")));
        faults.check(self.shows.check(&format!("{at}/shows")));
        faults.done()
    }
}

impl Shows {
    /// Nothing but its kind.
    pub fn new(kind: Kind) -> Shows {
        Shows {
            kind,
            title: None,
            report: None,
            definition: None,
            collection: None,
            record: None,
            text: None,
            statistic: None,
            top: None,
            range: None,
            time_zone: None,
        }
    }

    /// The kinds of records that its report or list is about, as far as it says so itself.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        let report = self.definition.as_ref().map(|definition| definition.of.as_str());
        report.into_iter().chain(self.collection.as_ref().map(|collection| collection.of.as_str()))
    }

    /// Whether its members belong together; `at` is its place in the body.
    pub fn check(&self, at: &str) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        let sources = [self.report.is_some(), self.definition.is_some(), self.collection.is_some()];
        let several = sources.iter().filter(|given| **given).count();
        let mut wrong = |place: &str, detail: &'static str| {
            faults.add(SHAPE_INVALID.because(detail).at(format!("{at}/{place}")));
        };
        let collected = self.collection.is_some();
        match self.kind {
            kind if kind.is_chart() => {
                if several != 1 || collected && !kind.counts() {
                    let detail =
                        "It draws a saved report or a definition; numbers, bars and tables may count a collection.";
                    wrong("kind", detail);
                }
                if let Some(definition) = &self.definition {
                    let by = definition.dimensions.len();
                    match kind {
                        Kind::Table => {}
                        _ if definition.is_list() => wrong("definition", "A chart measures; lists are tables."),
                        Kind::Line | Kind::Bar | Kind::StackedBar if by == 0 => {
                            wrong("definition", "What it draws is divided by one or two dimensions.");
                        }
                        Kind::HeatMap if by != 2 => wrong("definition", "A heat map is divided by two dimensions."),
                        _ => {}
                    }
                }
            }
            Kind::List if !(collected && several == 1) => wrong("collection", "A list shows a collection."),
            Kind::Feed if self.record.is_none() => wrong("record", "A feed is of a record."),
            Kind::Text if self.text.is_none() => wrong("text", "A text shows a text."),
            Kind::PendingWork | Kind::Feed | Kind::Text if several > 0 => {
                wrong("kind", "It shows no report and no list.");
            }
            _ => {}
        }
        if self.record.is_some() && self.kind != Kind::Feed {
            wrong("record", "Only a feed is of a record.");
        }
        if self.text.is_some() && self.kind != Kind::Text {
            wrong("text", "Only a text shows a text.");
        }
        if self.time_zone.as_deref().is_some_and(|zone| !is_time_zone(zone)) {
            faults.add(TIME_ZONE_INVALID.at(format!("{at}/time_zone")));
        }
        if let Some(collection) = &self.collection {
            faults.check(collection.check(self.kind, &format!("{at}/collection")));
        }
        faults.done()
    }

    /// Whether its definition says what there is to say, with the custom fields of each kind.
    pub fn fits<'a>(
        &self,
        at: &str,
        custom: impl Fn(&str) -> Option<&'a Definitions>,
        country: Option<Country>,
    ) -> Result<(), Rejection> {
        let Some(definition) = &self.definition else { return Ok(()) };
        let none = Definitions::new();
        let known = custom(&definition.of).unwrap_or(&none);
        definition.compile(known, country).map(drop).map_err(|mut refused| {
            refused.errors.iter_mut().for_each(|error| error.pointer.insert_str(0, &format!("{at}/definition")));
            refused
        })
    }
}

impl Collection {
    fn check(&self, kind: Kind, at: &str) -> Result<(), Rejection> {
        if !catalogue::has(&self.of) {
            return Err(KIND_UNKNOWN
                .because(format!("There are no records called {}.", self.of))
                .at(format!("{at}/of")));
        }
        let mut faults = Faults::default();
        let known: Vec<&str> = listed::fields(&self.of).map(|(name, _)| name).collect();
        let unknown = |name: &str| !known.is_empty() && !known.contains(&name) && !name.starts_with("custom.");
        let refusal = |name: &str, place: String| {
            FIELD_UNKNOWN.because(format!("There is no {name}; there are {}.", known.join(", "))).at(place)
        };
        for (number, name) in self.columns.iter().enumerate().filter(|(_, name)| unknown(name)) {
            faults.add(refusal(name, format!("{at}/columns/{number}")));
        }
        if let Some(name) = self.group.as_deref().filter(|name| unknown(name)) {
            faults.add(refusal(name, format!("{at}/group")));
        }
        if kind == Kind::List && self.columns.is_empty() {
            faults.add(SHAPE_INVALID.because("A list says which columns it shows.").at(format!("{at}/columns")));
        }
        if matches!(kind, Kind::Bar | Kind::Table) && self.group.is_none() {
            faults.add(SHAPE_INVALID.because("What is counted is divided by a group.").at(format!("{at}/group")));
        }
        faults.done()
    }
}
