//! SVG of a chart: axes with round marks, a zero line, a legend, a tooltip and a way to the records at each mark.
//!
//! Nothing in it needs a script or a style sheet: it may stand in a page, a mail or a wiki.

use maud::{Markup, PreEscaped, html};

use super::{
    Chart, Form, Label, Point, Unit,
    format::{figure, tick},
    scale::Scale,
    told::Figures,
};
use crate::{Language, icons};

/// Where colours come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// From the style sheet of the page that it stands in, as bright as that is.
    Page,
    /// Its own, on a light ground.
    Light,
    /// Its own, on a dark ground.
    Dark,
}

/// How a chart is to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// In which language.
    pub language: Language,
    /// In which colours.
    pub paint: Paint,
    /// How wide, in pixels.
    pub width: f64,
    /// How high, in pixels.
    pub height: f64,
}

/// Colours that everybody can tell from each other (Okabe and Ito, <https://jfly.uni-koeln.de/color/>), those first that stand out
/// from both grounds.
const SERIES: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#8a8a8a"];
/// The first of them is too dark for a dark ground.
const SERIES_DARK: [&str; 8] = ["#4ea8de", "#e8762c", "#1fbf92", "#dd93bb", "#e69f00", "#a5d8f3", "#f0e442", "#a8a8a8"];
/// Where a line is broken, so that lines differ without colours too.
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];
/// How large texts are.
const SIZE: f64 = 12.0;

#[derive(Clone, Copy)]
enum Ink {
    Text,
    Soft,
    Line,
    Edge,
    Ground,
}

impl Paint {
    fn ink(self, ink: Ink) -> &'static str {
        match (self, ink) {
            (Paint::Page, Ink::Text) => "var(--ink)",
            (Paint::Page, Ink::Soft) => "var(--soft)",
            (Paint::Page, Ink::Line) => "var(--line)",
            (Paint::Page, Ink::Edge) => "var(--edge)",
            (Paint::Page, Ink::Ground) => "var(--sheet)",
            (Paint::Light, Ink::Text) => "#1b1e20",
            (Paint::Light, Ink::Soft) => "#555d63",
            (Paint::Light, Ink::Line) => "#dcddd8",
            (Paint::Light, Ink::Edge) => "#7b838a",
            (Paint::Light, Ink::Ground) => "#ffffff",
            (Paint::Dark, Ink::Text) => "#e9ecee",
            (Paint::Dark, Ink::Soft) => "#a9b2b9",
            (Paint::Dark, Ink::Line) => "#323a40",
            (Paint::Dark, Ink::Edge) => "#7d878f",
            (Paint::Dark, Ink::Ground) => "#1b1f22",
        }
    }

    fn series(self, number: usize) -> String {
        let number = number % SERIES.len();
        match self {
            Paint::Page => format!("var(--series-{number})"),
            Paint::Light => SERIES[number].to_owned(),
            Paint::Dark => SERIES_DARK[number].to_owned(),
        }
    }
}

/// A length or a place, no finer than anybody sees.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

/// How wide a text is, roughly.
fn breadth(text: &str) -> f64 {
    let wide = |c: char| {
        if matches!(c, 'i' | 'l' | 'j' | 't' | 'f' | '.' | ',' | ' ' | '\u{a0}' | ':' | '1') {
            4.2
        } else if matches!(c, 'W' | 'M' | 'm' | 'w') {
            11.0
        } else {
            7.1
        }
    };
    text.chars().map(wide).sum()
}

/// As much of a text as there is room for.
fn cut(text: &str, room: f64) -> String {
    if breadth(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if breadth(&kept) + 12.0 > room {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// The room that a chart is drawn in.
struct Plot<'a> {
    chart: &'a Chart,
    look: Look,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// A chart as SVG.
pub fn svg(chart: &Chart, look: &Look) -> String {
    let Look { paint, width, height, language } = *look;
    let empty = chart.series.iter().flat_map(|series| &series.points).all(|point| point.value.is_none());
    let legend =
        if chart.series.len() > 1 && chart.form != Form::HeatMap { legend(chart, look) } else { (html! {}, 0.0) };
    let plot = Plot { chart, look: *look, left: 0.0, top: legend.1, right: width, bottom: height };
    let body = match chart.form {
        _ if empty => html! {
            text x=(n(width / 2.0)) y=(n(height / 2.0)) text-anchor="middle" fill=(paint.ink(Ink::Soft)) {
                (language.say("chart-empty"))
            }
        },
        Form::HeatMap => plot.heat_map(),
        Form::Bar | Form::StackedBar if !chart.over_time => plot.along(),
        Form::Bar | Form::StackedBar => plot.columns(),
        Form::Line => plot.lines(),
    };
    let standing = paint != Paint::Page;
    let about = described(chart, language);
    html! {
        svg.chart xmlns=[standing.then_some("http://www.w3.org/2000/svg")] viewBox={ "0 0 " (n(width)) " " (n(height)) } width=(n(width)) height=(n(height))
            role="group" aria-label=[(!standing).then_some(&chart.title)] font-size=(n(SIZE))
            font-family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif" {
            @if standing {
                title { (chart.title) }
                desc { (about) }
                rect width=(n(width)) height=(n(height)) fill=(paint.ink(Ink::Ground)) {}
            } @else {
                desc { (about) }
            }
            @if !empty { (legend.0) }
            (body)
        }
    }
    .into_string()
}

/// What there is to see, in a sentence.
fn described(chart: &Chart, language: Language) -> String {
    let values =
        chart.series.iter().flat_map(|series| series.points.iter().zip(&chart.labels).map(move |p| (series, p)));
    let known = values.filter_map(|(series, (point, label))| Some((point.value?, series, label)));
    let Some((most, series, label)) = known.max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return language.say("chart-empty");
    };
    let at = if chart.series.len() > 1 { format!("{}, {}", label.text, series.name) } else { label.text.clone() };
    language.say_with("chart-most", &[("value", &figure(language, &chart.unit, most)), ("at", &at)])
}

/// What colour means what, in as many lines as it needs, and how high it is.
fn legend(chart: &Chart, look: &Look) -> (Markup, f64) {
    let (mut x, mut y) = (0.0, SIZE);
    let mut entries = Vec::new();
    for (number, series) in chart.series.iter().enumerate() {
        let name = cut(&series.name, (look.width * 0.6).max(80.0) - 20.0);
        let wide = breadth(&name) + 34.0;
        if x > 0.0 && x + wide > look.width {
            (x, y) = (0.0, y + SIZE * 1.6);
        }
        entries.push((number, name, x, y));
        x += wide;
    }
    let drawn = html! {
        @for (number, name, x, y) in entries {
            @let color = color(chart, look.paint, number);
            g {
                @if chart.form == Form::Line {
                    line x1=(n(x)) x2=(n(x + 16.0)) y1=(n(y - 4.0)) y2=(n(y - 4.0)) stroke=(color) stroke-width="2.5"
                        stroke-dasharray=(DASHES[number % DASHES.len()]) {}
                } @else if let Some(icon) = chart.series.get(number).and_then(|series| series.icon.as_deref()) {
                    (drawn_icon(icon, (x, y - 11.0), 14.0, &color))
                } @else {
                    rect x=(n(x)) y=(n(y - 10.0)) width="12" height="12" rx="2" fill=(color) stroke=(look.paint.ink(Ink::Edge)) {}
                }
                text x=(n(x + 20.0)) y=(n(y)) fill=(look.paint.ink(Ink::Text)) { (name) }
            }
        }
    };
    (drawn, y + 10.0)
}

/// The colour of a series: its own, or the one of its place.
fn color(chart: &Chart, paint: Paint, number: usize) -> String {
    let own = chart.series.get(number).and_then(|series| series.color.clone());
    own.unwrap_or_else(|| paint.series(number))
}

/// An icon of this size, its upper left corner here: a plate in its colour with the lines upon it.
fn drawn_icon(icon: &str, (x, y): (f64, f64), size: f64, color: &str) -> Markup {
    let scale = size / 24.0;
    html! {
        rect x=(n(x)) y=(n(y)) width=(n(size)) height=(n(size)) rx="3" fill=(color) {}
        path d=(icons::lines(icon)) transform={ "translate(" (n(x + size * 0.14)) " " (n(y + size * 0.14)) ") scale(" (format!("{:.3}", scale * 0.72)) ")" }
            fill="none" stroke=(upon(color)) stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round" {}
    }
}

/// What is seen upon a colour: black or white.
pub(crate) fn upon(color: &str) -> &'static str {
    let part = |from: usize| color.get(from..from + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(f64::from);
    let light = (part(1), part(3), part(5));
    let (Some(red), Some(green), Some(blue)) = light else { return "#ffffff" };
    if 0.299 * red + 0.587 * green + 0.114 * blue > 150.0 { "#1b1e20" } else { "#ffffff" }
}

/// A mark with its tooltip, and the way to the records that it counts.
fn mark(point: &Point, says: &str, drawn: &Markup) -> Markup {
    let whole = html! { title { (says) } (drawn) };
    match &point.link {
        Some(link) => html! { a href=(link) aria-label=(says) tabindex="-1" { (whole) } },
        None => html! { g { (whole) } },
    }
}

impl Plot<'_> {
    fn ink(&self, ink: Ink) -> &'static str {
        self.look.paint.ink(ink)
    }

    /// What a mark says.
    fn says(&self, label: &Label, series: &str, value: f64) -> String {
        let number = figure(self.look.language, &self.chart.unit, value);
        if self.chart.series.len() > 1 || self.chart.form == Form::HeatMap {
            format!("{}, {series}: {number}", label.text)
        } else {
            format!("{}: {number}", label.text)
        }
    }

    fn values(&self) -> Vec<f64> {
        self.chart.series.iter().flat_map(|series| &series.points).filter_map(|point| point.value).collect()
    }

    /// What the bars upon each other come to, above zero and below.
    fn stacked(&self) -> Vec<f64> {
        let at = |place: usize, below: bool| -> f64 {
            let values = self.chart.series.iter().filter_map(|series| series.points.get(place)?.value);
            values.filter(|value| (*value < 0.0) == below).sum()
        };
        (0..self.chart.labels.len()).flat_map(|place| [at(place, false), at(place, true)]).collect()
    }

    fn scale(&self, room: f64) -> Scale {
        let values = if self.chart.form == Form::StackedBar { self.stacked() } else { self.values() };
        Scale::of(&self.chart.unit, values.into_iter(), (room / 48.0).floor().clamp(2.0, 6.0))
    }

    /// The axis of numbers at the left with its lines, and the labels of time below: leaves the room between them.
    fn frame(&mut self) -> (Markup, Scale) {
        self.bottom -= SIZE * 1.8;
        self.top += SIZE * 0.6;
        let scale = self.scale(self.bottom - self.top);
        let language = self.look.language;
        let ticks: Vec<(f64, String)> =
            scale.ticks.iter().map(|at| (*at, tick(language, &self.chart.unit, *at))).collect();
        self.left = ticks.iter().map(|(_, text)| breadth(text)).fold(0.0, f64::max) + 8.0;
        self.right -= 8.0;
        let currency = if let Unit::Money(currency) = &self.chart.unit { Some(currency) } else { None };
        let axis = html! {
            @for (at, text) in &ticks {
                @let y = self.height_of(&scale, *at);
                line x1=(n(self.left)) x2=(n(self.right)) y1=(n(y)) y2=(n(y))
                    stroke=(self.ink(if *at == 0.0 { Ink::Edge } else { Ink::Line })) {}
                text x=(n(self.left - 6.0)) y=(n(y + 4.0)) text-anchor="end" fill=(self.ink(Ink::Soft)) { (text) }
            }
            @if let Some(currency) = currency {
                text x=(n(self.right)) y=(n(self.top - 2.0)) text-anchor="end" fill=(self.ink(Ink::Soft)) { (currency) }
            }
            (self.below())
        };
        (axis, scale)
    }

    fn height_of(&self, scale: &Scale, value: f64) -> f64 {
        self.bottom - scale.share(value) * (self.bottom - self.top)
    }

    /// How wide each label's room is, and where the middle of one is.
    fn slot(&self) -> f64 {
        (self.right - self.left) / self.chart.labels.len().max(1) as f64
    }

    fn middle(&self, place: usize) -> f64 {
        self.left + (place as f64 + 0.5) * self.slot()
    }

    /// The labels below, as many as there is room for.
    fn below(&self) -> Markup {
        let widest = self.chart.labels.iter().map(|label| breadth(&label.short)).fold(0.0, f64::max) + 10.0;
        let every = (widest / self.slot()).ceil().max(1.0) as usize;
        html! {
            @for (place, label) in self.chart.labels.iter().enumerate().step_by(every) {
                // Those at the ends stay within the picture.
                @let half = breadth(&label.short) / 2.0;
                @let x = self.middle(place).clamp(half.min(self.look.width / 2.0), (self.look.width - half).max(half));
                text x=(n(x)) y=(n(self.bottom + SIZE * 1.4)) text-anchor="middle" fill=(self.ink(Ink::Soft)) {
                    (cut(&label.short, (self.slot() * every as f64).max(24.0)))
                }
            }
        }
    }

    fn lines(mut self) -> Markup {
        let (axis, scale) = self.frame();
        let few = self.slot() >= 9.0;
        html! {
            (axis)
            @for (number, series) in self.chart.series.iter().enumerate() {
                @let color = color(self.chart, self.look.paint, number);
                path d=(self.path(&scale, &series.points)) fill="none" stroke=(color) stroke-width="2" stroke-linejoin="round"
                    stroke-dasharray=(DASHES[number % DASHES.len()]) {}
                @for (place, point) in series.points.iter().enumerate() {
                    @if let (Some(value), Some(label)) = (point.value, self.chart.labels.get(place)) {
                        @let (x, y) = (self.middle(place), self.height_of(&scale, value));
                        // A value that stands alone has no line that shows it.
                        @let alone = place.checked_sub(1).is_none_or(|p| series.points[p].value.is_none())
                            && series.points.get(place + 1).is_none_or(|next| next.value.is_none());
                        (mark(point, &self.says(label, &series.name, value), &html! {
                            @if few || alone { circle cx=(n(x)) cy=(n(y)) r="3" fill=(color) {} }
                            circle cx=(n(x)) cy=(n(y)) r=(n((self.slot() / 2.0).clamp(3.0, 9.0))) fill=(color) fill-opacity="0" {}
                        }))
                    }
                }
            }
        }
    }

    /// A line through points, broken where there is none.
    fn path(&self, scale: &Scale, points: &[Point]) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for (place, point) in points.iter().enumerate() {
            if let Some(value) = point.value {
                let step = if drawn { 'L' } else { 'M' };
                path.push_str(&format!("{step}{} {}", n(self.middle(place)), n(self.height_of(scale, value))));
            }
            drawn = point.value.is_some();
        }
        path
    }

    /// Bars that stand, over time.
    fn columns(mut self) -> Markup {
        let (axis, scale) = self.frame();
        let slot = self.slot();
        let stacks = self.chart.form == Form::StackedBar;
        let beside = if stacks { 1.0 } else { self.chart.series.len().max(1) as f64 };
        let gap = (slot * 0.2).min(8.0);
        let wide = ((slot - gap) / beside).clamp(0.8, 64.0);
        html! {
            (axis)
            @for (place, label) in self.chart.labels.iter().enumerate() {
                @let begin = self.middle(place) - wide * beside / 2.0;
                @for (number, from, to, point, value) in self.parts(place) {
                    @let x = if stacks { begin } else { begin + wide * number as f64 };
                    @let (y1, y2) = (self.height_of(&scale, from), self.height_of(&scale, to));
                    (mark(point, &self.says(label, &self.chart.series[number].name, value), &html! {
                        rect x=(n(x)) y=(n(y1.min(y2))) width=(n((wide - 0.5).max(0.6))) height=(n((y1 - y2).abs().max(0.5)))
                            fill=(self.bar_color(label, number)) stroke=(self.ink(Ink::Ground)) stroke-width="0.5" {}
                    }))
                }
            }
        }
    }

    /// The bars of a label: which series, from where to where, and what each says.
    fn parts(&self, place: usize) -> Vec<(usize, f64, f64, &Point, f64)> {
        let (mut above, mut below) = (0.0, 0.0);
        let mut parts = Vec::new();
        for (number, series) in self.chart.series.iter().enumerate() {
            let Some((point, value)) = series.points.get(place).and_then(|point| Some((point, point.value?))) else {
                continue;
            };
            if self.chart.form != Form::StackedBar {
                parts.push((number, 0.0, value, point, value));
                continue;
            }
            let from = if value < 0.0 { &mut below } else { &mut above };
            parts.push((number, *from, *from + value, point, value));
            *from += value;
        }
        parts.retain(|part| part.4 != 0.0);
        parts
    }

    /// A bar has the colour of what it stands for, where that has one.
    fn bar_color(&self, label: &Label, number: usize) -> String {
        let own = label.color.clone().filter(|_| self.chart.series.len() == 1);
        own.unwrap_or_else(|| color(self.chart, self.look.paint, number))
    }

    /// Bars that lie, each with its name before it and its number behind.
    fn along(mut self) -> Markup {
        let language = self.look.language;
        let names = self.chart.labels.iter().map(|label| breadth(&label.text)).fold(0.0, f64::max) + 10.0;
        // Icons stand between the names and the bars.
        let icons = if self.chart.labels.iter().any(|label| label.icon.is_some()) { 20.0 } else { 0.0 };
        self.left = names.min(self.look.width * 0.38) + icons;
        let stacks = self.chart.form == Form::StackedBar;
        let totals = self.stacked();
        let told = |value: f64| figure(language, &self.chart.unit, value);
        let widest = self.values().into_iter().chain(totals.iter().copied().filter(|_| stacks));
        let widest = widest.map(|value| breadth(&told(value))).fold(0.0, f64::max);
        self.right -= widest + 8.0;
        let scale = self.scale(self.right - self.left);
        let rows = self.chart.labels.len().max(1) as f64;
        let slot = ((self.bottom - self.top) / rows).min(40.0);
        let beside = if stacks { 1.0 } else { self.chart.series.len().max(1) as f64 };
        let tall = (slot * 0.72 / beside).max(1.5);
        let across = |value: f64| self.left + scale.share(value) * (self.right - self.left);
        let zero = across(0.0);
        html! {
            @for (place, label) in self.chart.labels.iter().enumerate() {
                @let middle = self.top + slot * (place as f64 + 0.5);
                @if slot >= SIZE * 0.9 {
                    text x=(n(self.left - icons - 8.0)) y=(n(middle + 4.0)) text-anchor="end" fill=(self.ink(Ink::Text)) {
                        title { (label.text) } (cut(&label.text, self.left - icons - 10.0))
                    }
                    @if let Some(icon) = &label.icon {
                        (drawn_icon(icon, (self.left - 21.0, middle - 7.0), 14.0, &self.bar_color(label, 0)))
                    }
                }
                @for (number, from, to, point, value) in self.parts(place) {
                    @let y = middle - tall * beside / 2.0 + if stacks { 0.0 } else { tall * number as f64 };
                    @let (x1, x2) = (across(from), across(to));
                    (mark(point, &self.says(label, &self.chart.series[number].name, value), &html! {
                        rect x=(n(x1.min(x2))) y=(n(y)) width=(n((x1 - x2).abs().max(1.0))) height=(n((tall - 0.5).max(1.0))) rx="1.5"
                            fill=(self.bar_color(label, number)) stroke=(self.ink(Ink::Ground)) stroke-width="0.5" {}
                        @if !stacks && tall >= SIZE * 0.8 {
                            text x=(n(x1.max(x2) + 5.0)) y=(n(y + tall / 2.0 + 4.0)) fill=(self.ink(Ink::Soft)) { (told(value)) }
                        }
                    }))
                }
                @if stacks && slot >= SIZE * 0.9 {
                    @let total = totals[place * 2];
                    text x=(n(across(total) + 5.0)) y=(n(middle + 4.0)) fill=(self.ink(Ink::Soft)) { (told(total)) }
                }
            }
            line x1=(n(zero)) x2=(n(zero)) y1=(n(self.top)) y2=(n(self.top + slot * rows)) stroke=(self.ink(Ink::Edge)) {}
        }
    }

    /// Squares: series from top to bottom, labels from left to right.
    fn heat_map(mut self) -> Markup {
        let language = self.look.language;
        let names = self.chart.series.iter().map(|series| breadth(&series.name)).fold(0.0, f64::max) + 10.0;
        self.left = names.min(self.look.width * 0.3);
        self.bottom -= SIZE * 3.6;
        let rows = self.chart.series.len().max(1) as f64;
        let tall = ((self.bottom - self.top) / rows).min(64.0);
        self.bottom = self.top + tall * rows;
        let most = Scale::of(&self.chart.unit, self.values().into_iter(), 4.0).most();
        let wide = self.slot();
        let hue = self.look.paint.series(0);
        let shade = |value: f64| if value <= 0.0 { 0.0 } else { 0.12 + 0.88 * (value / most).min(1.0) };
        let roomy = wide >= 30.0 && tall >= 18.0;
        html! {
            @for (row, series) in self.chart.series.iter().enumerate() {
                @let y = self.top + tall * row as f64;
                @if tall >= SIZE * 0.8 {
                    text x=(n(self.left - 6.0)) y=(n(y + tall / 2.0 + 4.0)) text-anchor="end" fill=(self.ink(Ink::Soft)) {
                        (cut(&series.name, self.left - 8.0))
                    }
                }
                @for (place, label) in self.chart.labels.iter().enumerate() {
                    @let none = Point::default();
                    @let point = series.points.get(place).unwrap_or(&none);
                    @let value = point.value.unwrap_or_default();
                    (mark(point, &self.says(label, &series.name, value), &html! {
                        rect x=(n(self.left + wide * place as f64 + 0.5)) y=(n(y + 0.5)) width=(n(wide - 1.0)) height=(n(tall - 1.0)) rx="2"
                            fill=(if value > 0.0 { hue.as_str() } else { self.ink(Ink::Line) })
                            fill-opacity=(format!("{:.2}", if value > 0.0 { shade(value) } else { 0.35 })) {}
                        @if roomy && value > 0.0 && shade(value) < 0.55 {
                            text x=(n(self.middle(place))) y=(n(y + tall / 2.0 + 4.0)) text-anchor="middle" fill=(self.ink(Ink::Text)) {
                                (tick(language, &self.chart.unit, value))
                            }
                        }
                    }))
                }
            }
            (self.below())
            @let y = self.bottom + SIZE * 2.3;
            @for step in 0..5 {
                rect x=(n(self.left + 22.0 * f64::from(step))) y=(n(y)) width="21" height="10" rx="2" fill=(hue)
                    fill-opacity=(format!("{:.2}", 0.12 + 0.22 * f64::from(step))) {}
            }
            text x=(n(self.left - 6.0)) y=(n(y + 9.0)) text-anchor="end" fill=(self.ink(Ink::Soft)) { "0" }
            text x=(n(self.left + 116.0)) y=(n(y + 9.0)) fill=(self.ink(Ink::Soft)) { (figure(language, &self.chart.unit, most)) }
        }
    }
}

/// Markup of a chart, made here, for a page.
pub(crate) fn drawn(chart: &Chart, look: &Look) -> Markup {
    PreEscaped(svg(chart, look))
}

/// A number that stands for itself, as a picture.
pub(crate) fn tile(title: &str, figures: &[Figures], look: &Look) -> String {
    let Look { paint, width, height, language } = *look;
    let step = height / figures.len().max(1) as f64;
    html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (n(width)) " " (n(height)) } width=(n(width)) height=(n(height))
            role="img" aria-label=(title) font-size=(n(SIZE))
            font-family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif" {
            title { (title) }
            rect width=(n(width)) height=(n(height)) fill=(paint.ink(Ink::Ground)) {}
            @for (place, told) in figures.iter().enumerate() {
                @let y = step * place as f64;
                text x="12" y=(n(y + step * 0.22)) fill=(paint.ink(Ink::Soft)) { (cut(&told.name, width - 24.0)) }
                text x="12" y=(n(y + step * 0.62)) font-size=(n((step * 0.34).min(40.0))) font-weight="650" fill=(paint.ink(Ink::Text)) {
                    (told.value.text)
                }
                @if let Some((was, change)) = &told.before {
                    @let sign = change.map(|change| format!("{}{}\u{a0}% ", if change < 0 { "−" } else { "+" }, change.abs()));
                    text x="12" y=(n(y + step * 0.86)) fill=(paint.ink(Ink::Soft)) {
                        (sign.unwrap_or_default()) (language.say_with("was-before", &[("value", was)]))
                    }
                }
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use super::{super::Series, *};

    fn chart(form: Form, over_time: bool, unit: Unit, series: &[&[Option<f64>]]) -> Chart {
        let count = series.iter().map(|points| points.len()).max().unwrap_or_default();
        let label = |place| Label { text: format!("Label {place}"), short: format!("L{place}"), ..Label::default() };
        let point = |value: &Option<f64>| Point { value: *value, link: Some("/there?a=1&b=2".into()) };
        let named = |(number, points): (usize, &&[Option<f64>])| Series {
            name: format!("Series {number}"),
            points: points.iter().map(point).collect(),
            ..Series::default()
        };
        Chart {
            form,
            title: "<Tickets>".into(),
            unit,
            over_time,
            labels: (0..count).map(label).collect(),
            series: series.iter().enumerate().map(named).collect(),
            note: None,
        }
    }

    fn drawn(chart: &Chart, width: f64) -> String {
        let text = svg(chart, &Look { language: Language::English, paint: Paint::Light, width, height: 240.0 });
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(!text.contains("style=") && !text.contains("<script") && !text.contains("class=\"x"), "{text}");
        assert!(text.contains("<title>&lt;Tickets&gt;</title>"), "{text}");
        for part in text.split("<rect ").skip(1) {
            let size = |name: &str| -> f64 {
                let rest = part.split(&format!("{name}=\"")).nth(1).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            };
            assert!(size("width") >= 0.0 && size("height") >= 0.0, "{part}");
        }
        text
    }

    const FORMS: [(Form, bool); 6] = [
        (Form::Line, true),
        (Form::Bar, true),
        (Form::Bar, false),
        (Form::StackedBar, true),
        (Form::StackedBar, false),
        (Form::HeatMap, false),
    ];

    #[test]
    fn nothing_one_value_negative_and_huge_numbers_are_drawn_by_every_form() {
        for (form, over_time) in FORMS {
            for width in [160.0, 343.0, 1200.0] {
                assert!(drawn(&chart(form, over_time, Unit::Count, &[]), width).contains("Nothing in this time"));
                assert!(drawn(&chart(form, over_time, Unit::Count, &[&[None, None]]), width).contains("Nothing in"));
                let one = drawn(&chart(form, over_time, Unit::Count, &[&[Some(3.0)]]), width);
                assert_eq!(one.matches("<a href=\"/there?a=1&amp;b=2\"").count(), 1, "{form:?}: {one}");
                assert!(one.contains(": 3</title>"), "{one}");
                drawn(
                    &chart(form, over_time, Unit::Money("EUR".into()), &[&[Some(-5.0), Some(2.5)], &[Some(1.0)]]),
                    width,
                );
                let huge = [Some(9e15), Some(1.0), Some(f64::MAX / 1e10), Some(0.0)];
                drawn(&chart(form, over_time, Unit::Seconds, &[&huge]), width);
            }
        }
    }

    #[test]
    fn axes_have_round_marks_a_zero_line_and_labels_that_do_not_meet() {
        let values: Vec<Option<f64>> = (0..90).map(|day| Some(f64::from(day % 17))).collect();
        let text = drawn(&chart(Form::Line, true, Unit::Count, &[&values]), 600.0);
        for mark in [">0<", ">5<", ">10<", ">15<", ">20<"] {
            assert!(text.contains(mark), "{mark}: {text}");
        }
        let mut ends = Vec::new();
        for part in text.split("<text ").skip(1).filter(|part| part.contains(">L")) {
            let x: f64 = part.split("x=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
            let label = part.split('>').nth(1).unwrap().split('<').next().unwrap();
            ends.push((x - breadth(label) / 2.0, x + breadth(label) / 2.0));
        }
        assert!(ends.len() > 5, "{}", ends.len());
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ends:?}");
        assert!(text.contains("stroke=\"#7b838a\""), "zero has a line of its own");
    }

    #[test]
    fn long_labels_are_cut_and_told_in_full_and_lines_differ_without_colours() {
        let mut long = chart(Form::Bar, false, Unit::Count, &[&[Some(3.0), Some(5.0)]]);
        long.labels[0].text = "A product with a name that nobody would ever write on an axis of any chart".into();
        let text = drawn(&long, 343.0);
        assert!(
            text.contains("…</text>") && text.contains(&format!("<title>{}</title>", long.labels[0].text)),
            "{text}"
        );
        let two =
            drawn(&chart(Form::Line, true, Unit::Count, &[&[Some(1.0), Some(2.0)], &[Some(2.0), Some(1.0)]]), 400.0);
        assert!(two.contains("stroke-dasharray=\"7 4\"") && two.contains("Series 1"), "{two}");
        // The colour of a product is the colour of its bar.
        long.labels[1].color = Some("#00a09d".into());
        assert!(drawn(&long, 343.0).contains("fill=\"#00a09d\""));
        // And its icon stands beside its name, and in a legend.
        let lines = icons::lines("printer");
        assert!(!drawn(&long, 343.0).contains(lines));
        long.labels[1].icon = Some("printer".into());
        assert!(drawn(&long, 343.0).contains(lines));
        let mut stacks = chart(Form::StackedBar, true, Unit::Count, &[&[Some(1.0)], &[Some(2.0)]]);
        stacks.series[0].icon = Some("printer".into());
        assert!(drawn(&stacks, 343.0).contains(lines));
    }

    #[test]
    fn what_has_no_value_breaks_the_line() {
        let gap = chart(Form::Line, true, Unit::Seconds, &[&[Some(60.0), None, Some(120.0), Some(90.0)]]);
        let text = drawn(&gap, 400.0);
        let path = text.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert!(text.contains("2\u{a0}min"), "{text}");
    }

    #[test]
    fn in_a_page_colours_are_those_of_the_page() {
        let one = chart(Form::Bar, true, Unit::Count, &[&[Some(3.0)]]);
        let look = Look { language: Language::English, paint: Paint::Page, width: 300.0, height: 200.0 };
        let text = svg(&one, &look);
        assert!(text.contains("var(--series-0)") && !text.contains("fill=\"#"), "{text}");
        let dark = svg(&one, &Look { paint: Paint::Dark, ..look });
        assert!(dark.contains("#1b1f22") && !dark.contains("var("), "{dark}");
    }
}
