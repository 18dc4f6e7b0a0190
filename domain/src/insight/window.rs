//! A range of the clock that moves on with it, such as the last seven days, or that stays, from one day to another.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{Zoned, civil::Date, tz::TimeZone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use crate::{Time, insight::clock::Division};

/// Most periods of a range that moves.
const MOST: u32 = 1_000;

/// A range of the clock, written `last_7_days`, `this_month`, `last_month`, `all` or `2026-01-01/2026-06-30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// From the first thing that happened up to now.
    All,
    /// So many periods, the one that goes on being the last of them.
    Last(u32, Division),
    /// The period that goes on.
    This(Division),
    /// The period before the one that goes on.
    Previous(Division),
    /// From a day to the end of another.
    Between(Date, Date),
}

/// The periods that a range may be made of, by their names for one and for several.
const PERIODS: &[(Division, &str, &str)] = &[
    (Division::Hour, "hour", "hours"),
    (Division::Day, "day", "days"),
    (Division::Week, "week", "weeks"),
    (Division::Month, "month", "months"),
    (Division::Quarter, "quarter", "quarters"),
    (Division::Year, "year", "years"),
];

/// Where a range begins and ends, and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edges {
    /// From this instant on; from the first thing that happened where there is none.
    pub from: Option<Time>,
    /// Up to this instant.
    pub to: Time,
    /// The time before, as far as this one has come.
    pub before: Option<(Time, Time)>,
}

impl Default for Window {
    fn default() -> Self {
        Window::Last(30, Division::Day)
    }
}

impl Window {
    /// Where it begins and ends as of an instant, in a time zone. `None` beyond the ends of the calendar.
    pub fn edges(self, now: Time, zone: &TimeZone) -> Option<Edges> {
        let here = now.to_zoned(zone.clone());
        let floor = |division: Division| division.floor(&here).ok();
        let (from, to) = match self {
            Window::All => {
                let to = Division::Day.next(&floor(Division::Day)?).ok()?.timestamp();
                return Some(Edges { from: None, to, before: None });
            }
            Window::Last(count, division) => {
                let last = floor(division)?;
                (back(&last, division, count.saturating_sub(1))?, division.next(&last).ok()?)
            }
            Window::This(division) => (floor(division)?, division.next(&floor(division)?).ok()?),
            Window::Previous(division) => (back(&floor(division)?, division, 1)?, floor(division)?),
            Window::Between(from, to) => {
                (from.to_zoned(zone.clone()).ok()?, to.tomorrow().ok()?.to_zoned(zone.clone()).ok()?)
            }
        };
        let before = match self {
            Window::All => None,
            Window::Last(count, division) => back(&from, division, count),
            Window::This(division) | Window::Previous(division) => back(&from, division, 1),
            Window::Between(..) => {
                let days = from.date().until(to.date()).ok()?;
                from.date().checked_sub(days).ok()?.to_zoned(zone.clone()).ok()
            }
        };
        let (from, to) = (from.timestamp(), to.timestamp());
        let begun = before.map(|before| before.timestamp());
        // What goes on is compared with as much of what was before.
        let whole = now >= to || now <= from;
        let ended = |begun: Time| if whole { from } else { from.min(begun + now.duration_since(from)) };
        Some(Edges { from: Some(from), to, before: begun.map(|begun| (begun, ended(begun))) })
    }
}

/// The beginning of the period so many before the one that begins here.
fn back(at: &Zoned, division: Division, count: u32) -> Option<Zoned> {
    let count = i64::from(count);
    let date = at.date();
    let span = jiff::Span::new();
    let day = match division {
        Division::Hour => return at.checked_sub(span.try_hours(count).ok()?).ok(),
        Division::Day | Division::Weekday | Division::HourOfDay => date.checked_sub(span.try_days(count).ok()?),
        Division::Week => date.checked_sub(span.try_weeks(count).ok()?),
        Division::Month => date.checked_sub(span.try_months(count).ok()?),
        Division::Quarter => date.checked_sub(span.try_months(count * 3).ok()?),
        Division::Year => date.checked_sub(span.try_years(count).ok()?),
    };
    day.ok()?.to_zoned(at.time_zone().clone()).ok()
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Window, &'static str> {
        const WRONG: &str = "a range is last_<number>_<hours, days, weeks, months, quarters or years>, this_<period>, \
            last_<period>, today, yesterday, all, or two days such as 2026-01-01/2026-06-30";
        let one = |name: &str| PERIODS.iter().find(|(_, one, _)| *one == name).map(|(division, ..)| *division);
        let several = |name: &str| PERIODS.iter().find(|(_, _, all)| *all == name).map(|(division, ..)| *division);
        let read = || match text {
            "all" => Some(Window::All),
            "today" => Some(Window::This(Division::Day)),
            "yesterday" => Some(Window::Previous(Division::Day)),
            _ => {
                if let Some((from, to)) = text.split_once('/') {
                    let day = |text: &str| text.parse::<Date>().ok().filter(|_| text.len() == 10);
                    let (from, to) = (day(from)?, day(to)?);
                    return (from <= to).then_some(Window::Between(from, to));
                }
                if let Some(name) = text.strip_prefix("this_") {
                    return one(name).map(Window::This);
                }
                let rest = text.strip_prefix("last_")?;
                if let Some((count, name)) = rest.split_once('_') {
                    let count = count.parse().ok().filter(|count| (1..=MOST).contains(count))?;
                    return several(name).map(|division| Window::Last(count, division));
                }
                one(rest).map(Window::Previous)
            }
        };
        read().ok_or(WRONG)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |of: &Division| PERIODS.iter().find(|(known, ..)| known == of).map_or("days", |(_, _, all)| all);
        match self {
            Window::All => f.write_str("all"),
            Window::This(Division::Day) => f.write_str("today"),
            Window::Previous(Division::Day) => f.write_str("yesterday"),
            Window::Last(count, division) => write!(f, "last_{count}_{}", several(division)),
            Window::This(division) => write!(f, "this_{}", division.name()),
            Window::Previous(division) => write!(f, "last_{}", division.name()),
            Window::Between(from, to) => write!(f, "{from}/{to}"),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Window {
    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "word",
            "examples": ["last_30_days", "this_month", "last_quarter", "all", "2026-01-01/2026-06-30"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(window: &str, now: &str) -> (Option<String>, String, Option<(String, String)>) {
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let edges = window.parse::<Window>().unwrap().edges(now.parse().unwrap(), &rome).unwrap();
        let before = edges.before.map(|(from, to)| (from.to_string(), to.to_string()));
        (edges.from.map(|from| from.to_string()), edges.to.to_string(), before)
    }

    fn told(from: &str, to: &str, before: (&str, &str)) -> (Option<String>, String, Option<(String, String)>) {
        (Some(from.into()), to.into(), Some((before.0.into(), before.1.into())))
    }

    #[test]
    fn ranges_are_days_of_the_zone_and_what_goes_on_is_compared_with_as_much_as_has_passed() {
        let noon = "2026-03-29T12:00:00Z";
        // The clocks went forward that night: the day has 23 hours, and 13 of them have passed.
        let before = ("2026-03-27T23:00:00Z", "2026-03-28T12:00:00Z");
        assert_eq!(edges("today", noon), told("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", before));
        let before = ("2026-03-15T23:00:00Z", "2026-03-22T12:00:00Z");
        assert_eq!(edges("last_7_days", noon), told("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z", before));
        let before = ("2025-12-31T23:00:00Z", "2026-01-31T23:00:00Z");
        assert_eq!(edges("last_month", noon), told("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", before));
        let before = ("2025-09-30T22:00:00Z", "2025-12-27T12:00:00Z");
        let quarter = edges("this_quarter", noon);
        assert_eq!((quarter.0.as_deref(), quarter.1.as_str()), (Some("2025-12-31T23:00:00Z"), "2026-03-31T22:00:00Z"));
        assert_eq!(quarter.2.unwrap().0, before.0);
        let before = ("2025-12-29T23:00:00Z", "2025-12-31T23:00:00Z");
        assert_eq!(edges("2026-01-01/2026-01-02", noon), told("2025-12-31T23:00:00Z", "2026-01-02T23:00:00Z", before));
        assert_eq!(edges("all", noon), (None, "2026-03-29T22:00:00Z".into(), None));
    }

    #[test]
    fn it_is_written_as_it_is_read_and_nonsense_is_refused() {
        for text in ["all", "today", "yesterday", "last_7_days", "this_year", "last_week", "2026-01-01/2026-01-01"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for text in ["", "last_0_days", "last_7_day", "last_days", "this_weekday", "2026-02-01/2026-01-01", "2026/2027"]
        {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
