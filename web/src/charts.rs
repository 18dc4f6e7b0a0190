//! Charts: what a report says, drawn. A pure function makes SVG of numbers, a language, a theme and a size.

mod format;
mod scale;
mod svg;
mod told;

pub use self::{
    format::Unit,
    svg::{Look, Paint, svg},
    told::{Dimension, Measure, Report, Row, Way},
};
pub(crate) use self::{
    format::length,
    svg::{drawn, tile, upon},
    told::{Cell, Table, capital, dimension, value},
};

/// How a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines.
    Line,
    /// Bars beside each other.
    Bar,
    /// Bars upon each other.
    StackedBar,
    /// Squares that are the darker the more there is.
    HeatMap,
}

/// What is to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// How.
    pub form: Form,
    /// What it is called.
    pub title: String,
    /// What its numbers are.
    pub unit: Unit,
    /// Whether its labels are periods, which follow upon each other from left to right.
    pub over_time: bool,
    /// Along the axis.
    pub labels: Vec<Label>,
    /// The numbers, label by label.
    pub series: Vec<Series>,
    /// What else is to be known: that there is more than is drawn.
    pub note: Option<String>,
}

/// What stands along an axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label {
    /// In full.
    pub text: String,
    /// As short as an axis needs it.
    pub short: String,
    /// The colour that the record has itself: a product's.
    pub color: Option<String>,
    /// The name of its icon.
    pub icon: Option<String>,
}

/// Numbers that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// The colour that the record has itself: a product's.
    pub color: Option<String>,
    /// The name of its icon.
    pub icon: Option<String>,
    /// A number for each label.
    pub points: Vec<Point>,
}

/// A number of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// How much; none where there is nothing to say.
    pub value: Option<f64>,
    /// Where the records behind it are.
    pub link: Option<String>,
}
