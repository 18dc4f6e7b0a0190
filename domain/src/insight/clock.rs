//! Periods of a report in its time zone: hours to years, days of the week and hours of the day. Days on which clocks change
//! have 23 or 25 hours.

use jiff::{ToSpan, Zoned, civil::Date, tz::TimeZone};
use serde_json::Value;

use crate::Time;

/// Most periods of one report.
pub const MAX_PERIODS: usize = 100_000;

/// How a report is divided over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// By hour.
    Hour,
    /// By day.
    Day,
    /// By week, from Monday on.
    Week,
    /// By month.
    Month,
    /// By quarter.
    Quarter,
    /// By year.
    Year,
    /// By day of the week: 1 is Monday.
    Weekday,
    /// By hour of the day: 0 to 23.
    HourOfDay,
}

impl Division {
    /// Every one, by its name in definitions.
    pub const ALL: &'static [(&'static str, Division)] = &[
        ("hour", Division::Hour),
        ("day", Division::Day),
        ("week", Division::Week),
        ("month", Division::Month),
        ("quarter", Division::Quarter),
        ("year", Division::Year),
        ("weekday", Division::Weekday),
        ("hour_of_day", Division::HourOfDay),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Division> {
        Division::ALL.iter().find(|(known, _)| *known == name).map(|(_, division)| *division)
    }

    /// Its name in definitions.
    pub fn name(self) -> &'static str {
        Division::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// The next longer one, by which the same time has fewer periods; none for those that come again and again.
    pub fn longer(self) -> Option<Division> {
        match self {
            Division::Hour => Some(Division::Day),
            Division::Day => Some(Division::Week),
            Division::Week => Some(Division::Month),
            Division::Month => Some(Division::Quarter),
            Division::Quarter => Some(Division::Year),
            Division::Year | Division::Weekday | Division::HourOfDay => None,
        }
    }

    /// Whether its periods come again and again, so that none of them has an end.
    pub fn is_cyclic(self) -> bool {
        matches!(self, Division::Weekday | Division::HourOfDay)
    }

    /// The first instant of the period that an instant lies in.
    pub(super) fn floor(self, at: &Zoned) -> Result<Zoned, jiff::Error> {
        let date = at.date();
        let day = match self {
            Division::Hour | Division::HourOfDay => return Ok(top_of_hour(at)),
            Division::Day | Division::Weekday => date,
            Division::Week => date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())?,
            Division::Month => date.first_of_month(),
            Division::Quarter => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1)?,
            Division::Year => date.first_of_year(),
        };
        day.to_zoned(at.time_zone().clone())
    }

    /// The first instant of the next period, when this is the first of one.
    pub(super) fn next(self, at: &Zoned) -> Result<Zoned, jiff::Error> {
        let date = at.date();
        let day = match self {
            Division::Hour | Division::HourOfDay => return next_hour(at),
            Division::Day | Division::Weekday => date.tomorrow()?,
            Division::Week => date.checked_add(7.days())?,
            Division::Month => date.checked_add(1.month())?,
            Division::Quarter => date.checked_add(3.months())?,
            Division::Year => date.checked_add(1.year())?,
        };
        day.to_zoned(at.time_zone().clone())
    }
}

/// The instant at which this hour of the clock began.
fn top_of_hour(at: &Zoned) -> Zoned {
    let past = i64::from(at.minute()).minutes().seconds(i64::from(at.second()));
    let past = past.nanoseconds(i64::from(at.subsec_nanosecond()));
    match at.checked_sub(past) {
        // Where the clock was put forward by less than an hour, the hour began late.
        Ok(top) if top.hour() == at.hour() => top,
        _ => at.clone(),
    }
}

/// The instant at which the clock shows the next hour.
fn next_hour(at: &Zoned) -> Result<Zoned, jiff::Error> {
    let later = at.checked_add(1.hour())?;
    if later.minute() == 0 {
        return Ok(later);
    }
    let top = top_of_hour(&later);
    if later.hour() != at.hour() && top > *at {
        return Ok(top);
    }
    // The clock was put back by less than an hour: this one is longer.
    later.checked_add((60 - i64::from(later.minute())).minutes())
}

/// The periods between two instants.
#[derive(Clone, Debug)]
pub struct Clock {
    division: Option<Division>,
    /// What each period is called: periods that come again and again by the same name.
    pub keys: Vec<Value>,
    /// The first period begins at the first, the last ends at the last.
    pub bounds: Vec<Time>,
}

impl Clock {
    /// The periods of a division from an instant up to another, the first and the last as far as they lie between; all of it
    /// as one without a division. `None` when they are too many.
    pub fn new(division: Option<Division>, zone: &TimeZone, (from, to): (Time, Time)) -> Option<Clock> {
        let mut bounds = vec![from];
        if let Some(division) = division {
            let mut at = division.floor(&from.to_zoned(zone.clone())).ok()?;
            loop {
                at = division.next(&at).ok()?;
                if at.timestamp() >= to {
                    break;
                }
                if bounds.len() >= MAX_PERIODS {
                    return None;
                }
                bounds.push(at.timestamp());
            }
        }
        let keys = bounds.iter().map(|begin| key(division, &begin.to_zoned(zone.clone()))).collect();
        bounds.push(to);
        Some(Clock { division, keys, bounds })
    }

    /// Whether its periods come again and again.
    pub fn is_cyclic(&self) -> bool {
        self.division.is_some_and(Division::is_cyclic)
    }

    /// What each period is called, where periods come again and again: by a number.
    pub fn labels(&self) -> Option<Vec<i64>> {
        self.is_cyclic().then(|| self.keys.iter().filter_map(Value::as_i64).collect())
    }

    /// What the period of this number, 1 for the first, is called; those that come again and again are called by a number.
    pub fn called(&self, number: &Value) -> Value {
        if self.is_cyclic() {
            return number.clone();
        }
        let place = number.as_u64().and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        place.and_then(|place| self.keys.get(place)).cloned().unwrap_or_default()
    }

    /// The number of the period that is called so.
    pub fn number(&self, called: &Value) -> Option<Value> {
        if self.is_cyclic() {
            return Some(called.clone());
        }
        let place = self.keys.iter().position(|key| key == called)?;
        Some((place + 1).into())
    }
}

/// What the period of an instant is called.
fn key(division: Option<Division>, at: &Zoned) -> Value {
    let Some(division) = division else { return Value::Null };
    let Ok(floor) = division.floor(at) else { return Value::Null };
    let date = floor.date();
    match division {
        Division::Hour => floor.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().into(),
        Division::Day | Division::Week => date.to_string().into(),
        Division::Month => format!("{:04}-{:02}", date.year(), date.month()).into(),
        Division::Quarter => format!("{:04}-Q{}", date.year(), (date.month() + 2) / 3).into(),
        Division::Year => format!("{:04}", date.year()).into(),
        Division::Weekday => date.weekday().to_monday_one_offset().into(),
        Division::HourOfDay => floor.hour().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(division: Division, zone: &str, from: &str, to: &str) -> Clock {
        let zone = TimeZone::get(zone).unwrap();
        Clock::new(Some(division), &zone, (from.parse().unwrap(), to.parse().unwrap())).unwrap()
    }

    fn texts(clock: &Clock) -> Vec<String> {
        clock.keys.iter().map(|key| key.as_str().map_or_else(|| key.to_string(), ToOwned::to_owned)).collect()
    }

    #[test]
    fn days_on_which_clocks_change_have_23_and_25_hours() {
        let spring = clock(Division::Hour, "Europe/Rome", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        assert_eq!(spring.bounds.len(), 24);
        assert_eq!(texts(&spring)[1..3], ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]);
        let autumn = clock(Division::Hour, "Europe/Rome", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        assert_eq!(autumn.bounds.len(), 26);
        assert_eq!(texts(&autumn)[2..4], ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]);
        let hours = clock(Division::HourOfDay, "Europe/Rome", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        assert_eq!(texts(&hours)[1..5], ["1", "2", "2", "3"]);
        let days = clock(Division::Day, "Europe/Rome", "2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z");
        assert_eq!(texts(&days), ["2026-03-29", "2026-03-30"]);
        assert_eq!(days.bounds[1].to_string(), "2026-03-29T22:00:00Z");
    }

    #[test]
    fn clocks_that_change_by_half_an_hour_or_at_midnight_lose_nothing() {
        // Lord Howe Island: by half an hour, back at 02:00 and forward at 02:00.
        for (from, to) in
            [("2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"), ("2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z")]
        {
            let hours = clock(Division::HourOfDay, "Australia/Lord_Howe", from, to);
            let expected: Vec<String> = (0..24).map(|hour| hour.to_string()).collect();
            assert_eq!(texts(&hours), expected);
        }
        // Beirut: forward at midnight, so that the day begins at one.
        let days = clock(Division::Day, "Asia/Beirut", "2026-03-27T22:00:00Z", "2026-03-30T21:00:00Z");
        assert_eq!(texts(&days), ["2026-03-28", "2026-03-29", "2026-03-30"]);
        assert_eq!(days.bounds[1].to_string(), "2026-03-28T22:00:00Z");
    }

    #[test]
    fn weeks_begin_on_monday_and_periods_at_the_ends_are_cut() {
        let weeks = clock(Division::Week, "UTC", "2026-01-01T12:00:00Z", "2026-01-13T00:00:00Z");
        assert_eq!(texts(&weeks), ["2025-12-29", "2026-01-05", "2026-01-12"]);
        assert_eq!(weeks.bounds[0].to_string(), "2026-01-01T12:00:00Z");
        let quarters = clock(Division::Quarter, "UTC", "2025-11-01T00:00:00Z", "2026-04-01T00:00:00Z");
        assert_eq!(texts(&quarters), ["2025-Q4", "2026-Q1"]);
        let weekdays = clock(Division::Weekday, "UTC", "2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z");
        assert_eq!(texts(&weekdays), ["7", "1"]);
        assert_eq!((weekdays.labels(), weekdays.called(&7.into())), (Some(vec![7, 1]), 7.into()));
        assert_eq!(
            (quarters.called(&2.into()), quarters.number(&"2026-Q1".into())),
            ("2026-Q1".into(), Some(2.into()))
        );
        assert_eq!((quarters.number(&"2026-Q2".into()), quarters.labels()), (None, None));
        let whole = Clock::new(None, &TimeZone::UTC, (weeks.bounds[0], weeks.bounds[3])).unwrap();
        assert_eq!((whole.bounds.len(), whole.keys), (2, vec![Value::Null]));
        let ages = ("0001-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
        assert!(Clock::new(Some(Division::Day), &TimeZone::UTC, ages).is_none());
    }
}
