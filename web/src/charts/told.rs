//! What a report says, put into what is drawn: labels, series and tables, in the language of whoever looks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Chart, Form, Label, Point, Series, Unit,
    format::{decimal, figure, period},
};
use crate::{Language, texts::escaped};

/// Most series of a chart, each with a colour of its own.
const MAX_SERIES: usize = 8;
/// Most labels of bars that nobody has limited.
const MAX_LABELS: usize = 30;
/// Most rows and columns of a table.
const MAX_ROWS: usize = 500;

/// A dimension of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// Of periods: all of them.
    pub periods: Option<Vec<Value>>,
    /// Whether records may have several of its values.
    pub several: bool,
    /// What records are called.
    pub names: BTreeMap<String, String>,
    /// The colours that records have.
    pub colors: BTreeMap<String, String>,
    /// The names of the icons that records have.
    pub icons: BTreeMap<String, String>,
}

/// A measure of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// What its numbers are; the currency is said by each of them.
    pub unit: Unit,
    /// Whether what is told of it is how it is spread: `median` and so on.
    pub spread: bool,
}

/// Numbers with where they stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The value of each dimension; in totals only of some.
    pub key: Map<String, Value>,
    /// By measure.
    pub values: Map<String, Value>,
}

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What it is divided by.
    pub dimensions: Vec<Dimension>,
    /// What it measures.
    pub measures: Vec<Measure>,
    /// Its numbers.
    pub rows: Vec<Row>,
    /// The same for each value of a dimension by itself, and for everything.
    pub totals: Vec<Row>,
    /// Which number of lengths and scores is drawn.
    pub statistic: Option<String>,
    /// At most so many values of a dimension are drawn.
    pub top: Option<usize>,
    /// The kind of records that are counted as they are now, where no measure says what is counted.
    pub counts: Option<String>,
}

/// The address of the records behind numbers, to which a number is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way(pub String);

impl Way {
    fn to(&self, measure: &str, key: &Map<String, Value>) -> Option<String> {
        let cell = Value::Object(key.clone()).to_string();
        let joined = if self.0.contains('?') { '&' } else { '?' };
        (!self.0.is_empty()).then(|| format!("{}{joined}measure={measure}&cell={}", self.0, escaped(&cell)))
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) link: Option<String>,
    pub(crate) color: Option<String>,
    pub(crate) icon: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Whether there are numbers in it.
    pub(crate) numbers: bool,
}

/// Numbers as a table: the first column names the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) note: Option<String>,
}

/// One number that stands for everything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) value: Cell,
    /// What it was in the time before, and how much that is more or less, in hundredths.
    pub(crate) before: Option<(String, Option<i64>)>,
}

/// What people call the field of a dimension, or its period.
pub(crate) fn dimension(language: Language, name: &str) -> String {
    let periods = ["hour", "day", "week", "month", "quarter", "year", "weekday", "hour_of_day"];
    if periods.contains(&name) {
        return language.say_of("division", name);
    }
    if let Some(custom) = name.strip_prefix("custom.") {
        return custom.replace('_', " ");
    }
    let base = name.trim_end_matches("_ids").trim_end_matches("_id");
    language.word("field", base).or_else(|| language.word("field", name)).unwrap_or_else(|| base.replace('_', " "))
}

/// What people call a value of a field.
pub(crate) fn value(language: Language, field: &str, value: &Value) -> String {
    match value {
        Value::Null => language.say("not-set"),
        Value::Bool(true) => language.say_of("text", "yes"),
        Value::Bool(false) => language.say_of("text", "no"),
        Value::Number(level) if field == "priority" => language.say_of("priority", &level.to_string()),
        Value::String(text) if ["status", "stage", "reason"].contains(&field) => {
            capital(&language.word("state", text).unwrap_or_else(|| text.replace('_', " ")))
        }
        Value::String(text) if field.ends_with("kind") => {
            let name = format!("kind-{text}");
            Some(language.say(&name)).filter(|said| *said != name).unwrap_or_else(|| text.replace('_', " "))
        }
        Value::String(text) => text.replace('_', " "),
        other => other.to_string(),
    }
}

/// Words as they begin a line.
pub(crate) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Dimension {
    fn label(&self, language: Language, key: &Value) -> Label {
        if self.periods.is_some() {
            let (text, short) = period(language, &self.name, key);
            return Label { text, short, ..Label::default() };
        }
        let id = key.as_str().unwrap_or_default();
        let text = self.names.get(id).cloned().unwrap_or_else(|| value(language, &self.name, key));
        Label { short: text.clone(), text, color: self.colors.get(id).cloned(), icon: self.icons.get(id).cloned() }
    }

    fn is_cyclic(&self) -> bool {
        ["weekday", "hour_of_day"].contains(&self.name.as_str())
    }

    /// All of its periods; of those that come again every one.
    fn keys(&self) -> Option<Vec<Value>> {
        match self.name.as_str() {
            "weekday" => Some((1..=7).map(Value::from).collect()),
            "hour_of_day" => Some((0..24).map(Value::from).collect()),
            _ => self.periods.clone(),
        }
    }
}

impl Report {
    /// What people call a measure.
    fn label(&self, language: Language, measure: &Measure) -> String {
        let name = match &self.counts {
            Some(kind) => language.say_of("kind", kind),
            None => language.say_of("measure", &measure.name),
        };
        let statistic = || language.say_of("statistic", self.statistic(measure));
        if measure.spread { format!("{name} ({})", statistic()) } else { name }
    }

    /// What people call the measure of this name.
    pub(crate) fn called(&self, language: Language, name: &str) -> String {
        let measure = self.measures.iter().find(|measure| measure.name == name);
        measure.map_or_else(|| name.to_owned(), |measure| self.label(language, measure))
    }

    /// What the dimensions of a number are.
    pub(crate) fn about(&self, language: Language, key: &Map<String, Value>) -> Vec<String> {
        let told = |(name, value): (&String, &Value)| {
            let known = self.dimensions.iter().find(|dimension| dimension.name == *name)?;
            Some(format!("{}: {}", capital(&dimension(language, name)), known.label(language, value).text))
        };
        key.iter().filter_map(told).collect()
    }

    /// Which number of a spread is told.
    fn statistic(&self, measure: &Measure) -> &str {
        let usual = if matches!(measure.unit, Unit::Points | Unit::Share) { "mean" } else { "median" };
        self.statistic.as_deref().unwrap_or(usual)
    }

    /// What the numbers of a measure are as they are drawn: those of one currency.
    fn unit(&self, measure: &Measure) -> Unit {
        let statistic = self.statistic(measure);
        if measure.spread && (statistic == "count" || statistic == "sum" && measure.unit == Unit::Share) {
            return Unit::Count;
        }
        if let Unit::Money(_) = measure.unit {
            let mut known: BTreeMap<&String, usize> = BTreeMap::new();
            for row in self.rows.iter().chain(&self.totals) {
                let amounts = row.values.get(&measure.name).and_then(Value::as_object);
                amounts.into_iter().flat_map(Map::keys).for_each(|currency| *known.entry(currency).or_default() += 1);
            }
            let most = known.into_iter().max_by_key(|(_, count)| *count).map(|(currency, _)| currency.clone());
            return Unit::Money(most.unwrap_or_default());
        }
        measure.unit.clone()
    }

    /// The number of a measure that is drawn.
    fn number(&self, row: &Row, measure: &Measure, unit: &Unit) -> Option<f64> {
        let value = row.values.get(&measure.name)?;
        match (unit, value) {
            (Unit::Money(currency), Value::Object(amounts)) => amounts.get(currency)?.as_str()?.parse().ok(),
            (_, Value::Object(spread)) => spread.get(self.statistic(measure))?.as_f64(),
            (_, value) => value.as_f64(),
        }
    }

    /// The same in words, amounts of every currency.
    fn words(&self, language: Language, row: &Row, measure: &Measure) -> String {
        match row.values.get(&measure.name) {
            Some(Value::Object(amounts)) if matches!(measure.unit, Unit::Money(_)) => {
                let amounts = amounts.iter().filter_map(|(currency, amount)| Some((currency, amount.as_str()?)));
                let told = amounts.map(|(currency, amount)| format!("{}\u{a0}{currency}", decimal(language, amount)));
                told.collect::<Vec<_>>().join(", ")
            }
            Some(Value::Number(count)) => decimal(language, &count.to_string()),
            _ => {
                let unit = self.unit(measure);
                self.number(row, measure, &unit).map(|number| figure(language, &unit, number)).unwrap_or_default()
            }
        }
    }

    /// What it says, in a few words: what stands above a widget that has no title.
    pub(crate) fn title(&self, language: Language) -> String {
        let measures: Vec<_> = self.measures.iter().map(|measure| self.label(language, measure)).collect();
        let by: Vec<_> = self.dimensions.iter().map(|known| dimension(language, &known.name)).collect();
        let measures =
            if measures.len() > 3 { format!("{}, …", measures[..3].join(", ")) } else { measures.join(", ") };
        if by.is_empty() { capital(&measures) } else { format!("{} · {}", capital(&measures), by.join(" × ")) }
    }

    /// Everything in a few numbers, beside what they were in the time before.
    pub(crate) fn figures(&self, language: Language, before: Option<&Report>, way: &Way) -> Vec<Figures> {
        let whole = |report: &Report| report.totals.iter().find(|row| row.key.is_empty()).cloned().unwrap_or_default();
        let row = whole(self);
        let of = |measure: &Measure| {
            let unit = self.unit(measure);
            let now = self.number(&row, measure, &unit);
            let text = self.words(language, &row, measure);
            let usual = || if measure.spread { "–".to_owned() } else { "0".to_owned() };
            let before = before.map(|before| {
                let row = whole(before);
                let was = before.number(&row, measure, &unit);
                let text = before.words(language, &row, measure);
                let share = now.zip(was.filter(|was| *was != 0.0)).map(|(now, was)| (now - was) / was.abs() * 100.0);
                let text = if text.is_empty() { usual() } else { text };
                (text, share.map(|share| share.round().clamp(-1e6, 1e6) as i64))
            });
            let text = if text.is_empty() { usual() } else { text };
            let link = now.filter(|_| self.is_counted()).and_then(|_| way.to(&measure.name, &Map::new()));
            let name = self.label(language, measure);
            Figures { name, value: Cell { text, link, ..Cell::default() }, before }
        };
        self.measures.iter().map(of).collect()
    }

    /// Whether the records behind its numbers can be asked for.
    fn is_counted(&self) -> bool {
        !self.measures.is_empty()
    }

    fn at<'a>(&'a self, keys: &[(&str, &Value)]) -> Option<&'a Row> {
        self.rows.iter().find(|row| keys.iter().all(|(name, value)| row.key.get(*name) == Some(value)))
    }

    /// The values of a dimension that is no period, those with the most first, and how many there are besides.
    fn values(&self, dimension: &Dimension, measure: &Measure, most: usize) -> (Vec<Value>, Vec<Value>) {
        let unit = self.unit(measure);
        let mut sums: Vec<(Value, f64)> = Vec::new();
        for row in &self.rows {
            let Some(key) = row.key.get(&dimension.name) else { continue };
            let number = self.number(row, measure, &unit).unwrap_or_default();
            match sums.iter_mut().find(|(known, _)| known == key) {
                Some((_, sum)) => *sum += number,
                None => sums.push((key.clone(), number)),
            }
        }
        // What has an order of its own keeps it.
        if sums.iter().all(|(key, _)| key.is_number()) {
            sums.sort_by_key(|(key, _)| key.as_i64());
        } else {
            sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        let mut keys: Vec<Value> = sums.into_iter().map(|(key, _)| key).collect();
        let rest = if keys.len() > most { keys.split_off(most) } else { Vec::new() };
        (keys, rest)
    }

    /// Which dimension stands along the axis, and which one makes series.
    fn sides(&self, form: Form) -> (Option<&Dimension>, Option<&Dimension>) {
        let (first, second) = (self.dimensions.first(), self.dimensions.get(1));
        let Some((one, other)) = first.zip(second) else { return (first, None) };
        let time = |dimension: &Dimension| dimension.periods.is_some() && !dimension.is_cyclic();
        // Days of the week stand below each other, hours beside.
        let turned = match form {
            Form::HeatMap => one.name != "hour_of_day" && (other.periods.is_some() || !time(one)),
            _ => !time(one) && time(other),
        };
        if turned { (second, first) } else { (first, second) }
    }

    /// What is drawn of it.
    pub(crate) fn chart(&self, language: Language, form: Form, way: &Way) -> Chart {
        let empty = Dimension::default();
        let (along, apart) = self.sides(form);
        let along = along.unwrap_or(&empty);
        let first = self.measures.first();
        let unit = first.map_or(Unit::Count, |measure| self.unit(measure));
        let top = self.top.unwrap_or(MAX_LABELS);
        let (keys, rest) = match (along.keys(), first) {
            (Some(keys), _) => (keys, Vec::new()),
            (None, Some(measure)) => self.values(along, measure, if apart.is_some() { MAX_LABELS } else { top }),
            (None, None) => Default::default(),
        };
        let nothing = self.rows.is_empty();
        let zero = |measure: &Measure| (!nothing && !measure.spread).then_some(0.0);
        let point = |measure: &Measure, keys: &[(&str, &Value)]| {
            let value = self.at(keys).and_then(|row| self.number(row, measure, &unit));
            let key = keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
            let link = value.and_then(|_| way.to(&measure.name, &key));
            Point { value: value.or_else(|| zero(measure)), link }
        };
        let mut labels: Vec<Label> = keys.iter().map(|key| along.label(language, key)).collect();
        let mut series = Vec::new();
        let mut note = (!rest.is_empty()).then(|| language.count("and-more", rest.len() as u32));
        let adds =
            !matches!(unit, Unit::Seconds | Unit::Points | Unit::Share) && first.is_some_and(|measure| !measure.spread);
        match (apart, first) {
            (Some(apart), Some(measure)) => {
                let most =
                    if form == Form::HeatMap { MAX_LABELS } else { self.top.unwrap_or(MAX_SERIES).min(MAX_SERIES) };
                let (values, others) =
                    apart.keys().map_or_else(|| self.values(apart, measure, most), |keys| (keys, Vec::new()));
                for value in &values {
                    let Label { text, color, icon, .. } = apart.label(language, value);
                    let points = keys.iter().map(|key| point(measure, &[(&along.name, key), (&apart.name, value)]));
                    series.push(Series { name: text, color, icon, points: points.collect() });
                }
                if !others.is_empty() && adds && !apart.several && form == Form::StackedBar {
                    let sum = |key: &Value| -> f64 {
                        let cells =
                            others.iter().map(|value| point(measure, &[(&along.name, key), (&apart.name, value)]));
                        cells.filter_map(|point| point.value).sum()
                    };
                    let points = keys.iter().map(|key| Point { value: Some(sum(key)), link: None }).collect();
                    let name = language.count("others", others.len() as u32);
                    // The last colour is grey.
                    series.truncate(MAX_SERIES - 1);
                    series.push(Series { name, color: Some("#8a8a8a".into()), icon: None, points });
                } else if !others.is_empty() {
                    note = Some(language.count("and-more", others.len() as u32));
                }
            }
            (None, Some(_)) => {
                for measure in self.measures.iter().filter(|measure| self.unit(measure) == unit) {
                    let name = self.label(language, measure);
                    let mut points: Vec<Point> = keys.iter().map(|key| point(measure, &[(&along.name, key)])).collect();
                    if !rest.is_empty() && adds && !along.several {
                        let others = rest.iter().map(|key| point(measure, &[(&along.name, key)]));
                        let sum = others.filter_map(|point| point.value).sum();
                        points.push(Point { value: Some(sum), link: None });
                    }
                    series.push(Series { name, points, ..Series::default() });
                }
                if !rest.is_empty() && adds && !along.several {
                    let text = language.count("others", rest.len() as u32);
                    labels.push(Label { short: text.clone(), text, color: Some("#8a8a8a".into()), icon: None });
                    note = None;
                }
            }
            (_, None) => {}
        }
        let over_time = along.periods.is_some();
        Chart { form, title: self.title(language), unit, over_time, labels, series, note }
    }

    /// All of it as a table; of two dimensions and one measure a pivot.
    pub(crate) fn table(&self, language: Language, way: &Way) -> Table {
        let cell = |row: Option<&Row>, measure: &Measure, key: Map<String, Value>| {
            let text = row.map(|row| self.words(language, row, measure)).unwrap_or_default();
            let link = if text.is_empty() { None } else { way.to(&measure.name, &key) };
            Cell { text, link, ..Cell::default() }
        };
        let numbers = |name: String| Column { name, numbers: true };
        let named = |label: Label| Cell { text: label.text, link: None, color: label.color, icon: label.icon };
        let most = self.top.unwrap_or(MAX_ROWS);
        let (Some(first), Some(measure)) = (self.dimensions.first(), self.measures.first()) else {
            let columns = self.measures.iter().map(|measure| numbers(self.label(language, measure)));
            let whole = self.totals.iter().find(|row| row.key.is_empty());
            let cells = self.measures.iter().map(|measure| cell(whole, measure, Map::new()));
            let columns = [Column::default()].into_iter().chain(columns).collect();
            return Table { columns, rows: vec![[Cell::default()].into_iter().chain(cells).collect()], note: None };
        };
        let (keys, rest) = match first.keys() {
            Some(keys) => (keys, Vec::new()),
            None => self.values(first, measure, most),
        };
        let note = (!rest.is_empty()).then(|| language.count("and-more", rest.len() as u32));
        let head = Column { name: capital(&dimension(language, &first.name)), numbers: false };
        if let Some(second) = self.dimensions.get(1) {
            let (values, _) =
                second.keys().map_or_else(|| self.values(second, measure, MAX_ROWS), |keys| (keys, Vec::new()));
            let columns = values.iter().map(|value| numbers(second.label(language, value).text));
            let row = |key: &Value| {
                let cells = values.iter().map(|value| {
                    let place = [(first.name.as_str(), key), (second.name.as_str(), value)];
                    let keys = json!({ &first.name: key, &second.name: value });
                    cell(self.at(&place), measure, keys.as_object().cloned().unwrap_or_default())
                });
                [named(first.label(language, key))].into_iter().chain(cells).collect()
            };
            let rows = keys.iter().map(row).collect();
            return Table { columns: [head].into_iter().chain(columns).collect(), rows, note };
        }
        let columns = self.measures.iter().map(|measure| numbers(self.label(language, measure)));
        let row = |key: &Value| {
            let found = self.at(&[(&first.name, key)]);
            let keys = Map::from_iter([(first.name.clone(), key.clone())]);
            let cells = self.measures.iter().map(|measure| cell(found, measure, keys.clone()));
            [named(first.label(language, key))].into_iter().chain(cells).collect()
        };
        let rows = keys.iter().map(row).collect();
        Table { columns: [head].into_iter().chain(columns).collect(), rows, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Language = Language::English;

    fn report(dimensions: &[&str], measures: &[(&str, Unit)], rows: Value) -> Report {
        let periods = |name: &str| (name == "month").then(|| vec![json!("2026-01"), json!("2026-02")]);
        let row = |row: &Value| Row {
            key: row["key"].as_object().cloned().unwrap(),
            values: row["values"].as_object().cloned().unwrap(),
        };
        Report {
            dimensions: dimensions
                .iter()
                .map(|name| Dimension { name: (*name).into(), periods: periods(name), ..Dimension::default() })
                .collect(),
            measures: measures
                .iter()
                .map(|(name, unit)| Measure {
                    name: (*name).into(),
                    unit: unit.clone(),
                    spread: *unit == Unit::Seconds,
                })
                .collect(),
            rows: rows.as_array().unwrap().iter().map(row).collect(),
            ..Report::default()
        }
    }

    fn counts(of: &[(&str, i64)]) -> Value {
        of.iter().map(|(name, count)| json!({ "key": { "city": name }, "values": { "placed": count } })).collect()
    }

    #[test]
    fn those_with_the_most_are_drawn_and_the_rest_is_told() {
        let many = [("Rome", 5), ("Brno", 9), ("Kyiv", 1), ("Vilnius", 2)];
        let mut cities = report(&["city"], &[("placed", Unit::Count)], counts(&many));
        cities.top = Some(2);
        let chart = cities.chart(EN, Form::Bar, &Way("/behind?a=1".into()));
        let labels: Vec<_> = chart.labels.iter().map(|label| label.text.as_str()).collect();
        assert_eq!(labels, ["Brno", "Rome", "2 others"]);
        let points = &chart.series[0].points;
        assert_eq!(points.iter().filter_map(|point| point.value).collect::<Vec<_>>(), [9.0, 5.0, 3.0]);
        let link = "/behind?a=1&measure=placed&cell=%7B%22city%22%3A%22Brno%22%7D";
        assert_eq!((points[0].link.as_deref(), &points[2].link), (Some(link), &None));
        let table = cities.table(EN, &Way::default());
        assert_eq!((table.rows.len(), table.note.as_deref()), (2, Some("and 2 more")));
        assert_eq!(chart.title, "Orders placed · city");
    }

    #[test]
    fn what_has_no_number_in_a_period_is_none_of_counts_and_no_length() {
        let rows = json!([{ "key": { "month": "2026-02" }, "values": { "opened": 3, "resolution": { "count": 1, "median": 90.0 } } }]);
        let mut months = report(&["month"], &[("opened", Unit::Count), ("resolution", Unit::Seconds)], rows.clone());
        let chart = months.chart(EN, Form::Line, &Way::default());
        // A length has another axis: it is in the table.
        assert_eq!((chart.series.len(), chart.over_time), (1, true));
        assert_eq!(chart.series[0].points.iter().map(|point| point.value).collect::<Vec<_>>(), [Some(0.0), Some(3.0)]);
        let cells: Vec<_> = months.table(EN, &Way::default()).rows[1].iter().map(|cell| cell.text.clone()).collect();
        assert_eq!(cells, ["Feb 2026", "3", "1\u{a0}min 30\u{a0}s"]);
        months.measures.remove(0);
        let chart = months.chart(EN, Form::Line, &Way::default());
        assert_eq!(chart.series[0].points.iter().map(|point| point.value).collect::<Vec<_>>(), [None, Some(90.0)]);
    }

    #[test]
    fn amounts_are_drawn_in_one_currency_and_told_in_all() {
        let rows = json!([
            { "key": { "city": "Rome" }, "values": { "revenue": { "EUR": "10.50", "USD": "3" } } },
            { "key": { "city": "Brno" }, "values": { "revenue": { "EUR": "1200.10" } } },
        ]);
        let money = report(&["city"], &[("revenue", Unit::Money(String::new()))], rows);
        let chart = money.chart(EN, Form::Bar, &Way::default());
        assert_eq!(chart.unit, Unit::Money("EUR".into()));
        assert_eq!(
            chart.series[0].points.iter().map(|point| point.value).collect::<Vec<_>>(),
            [Some(1200.1), Some(10.5)]
        );
        assert_eq!(money.table(EN, &Way::default()).rows[1][1].text, "10.50\u{a0}EUR, 3\u{a0}USD");
    }

    #[test]
    fn a_heat_map_has_every_day_below_and_every_hour_beside() {
        let rows = json!([{ "key": { "weekday": 2, "hour_of_day": 9 }, "values": { "opened": 4 } }]);
        for names in [["weekday", "hour_of_day"], ["hour_of_day", "weekday"]] {
            let mut hours = report(&names, &[("opened", Unit::Count)], rows.clone());
            hours.dimensions.iter_mut().for_each(|dimension| dimension.periods = Some(vec![json!(2)]));
            let chart = hours.chart(EN, Form::HeatMap, &Way::default());
            assert_eq!((chart.labels.len(), chart.series.len()), (24, 7));
            assert_eq!(chart.series[1].points[9].value, Some(4.0));
        }
    }

    #[test]
    fn numbers_are_compared_with_the_time_before() {
        let whole = |count: i64| Report {
            totals: vec![Row { key: Map::new(), values: json!({ "opened": count }).as_object().cloned().unwrap() }],
            ..report(&[], &[("opened", Unit::Count)], json!([]))
        };
        let figures = whole(1500).figures(EN, Some(&whole(1000)), &Way("/there".into()));
        assert_eq!((figures[0].value.text.as_str(), &figures[0].before), ("1,500", &Some(("1,000".into(), Some(50)))));
        let none = whole(5).figures(EN, Some(&whole(0)), &Way::default());
        assert_eq!(none[0].before, Some(("0".into(), None)));
    }
}
