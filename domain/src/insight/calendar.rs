//! Hours of work: the part of the time between two instants that counts where a report measures business time.
//!
//! An instant is within them when the clock on the wall says so, whatever clocks do that day: an hour that comes twice is worked
//! twice, one that is left out not at all.

use std::collections::BTreeSet;

use jiff::{
    ToSpan,
    civil::{Date, Time as OfDay},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Faults, Rejection, Time,
    kernel::valid::{TIME_ZONE_INVALID, is_time_zone},
    must,
};

/// Most stretches of work in one report.
const MAX_STRETCHES: usize = 200_000;

/// A week of work, with the days on which nobody does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// When there is work, on which days of the week. The same hours twice count once.
    #[schemars(length(min = 1, max = 50))]
    pub hours: Vec<Hours>,
    /// The days on which there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 1000))]
    pub holidays: BTreeSet<Date>,
    /// The time zone of its clock, from the IANA database; the report's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// From one time of the day to another, on some days of the week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The days of the week: 1 is Monday, 7 Sunday.
    #[schemars(length(min = 1, max = 7), inner(range(min = 1, max = 7)))]
    pub weekdays: BTreeSet<u8>,
    /// From this time on, as `09:00`.
    #[schemars(extend("format" = "word"))]
    pub from: String,
    /// Up to this time, as `17:30`; `24:00` is the end of the day.
    #[schemars(extend("format" = "word"))]
    pub to: String,
}

/// A calendar that makes no sense.
pub const CALENDAR_INVALID: Rejection = Rejection::invalid(
    "report_calendar_invalid",
    "A calendar has hours of work: days of the week from 1 to 7, and two times of the day such as 09:00 and 17:30, the earlier first.",
);

/// Minutes since midnight.
fn minutes(text: &str) -> Option<i16> {
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2)?;
    let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) || (hour, minute) == (24, 0);
    fits.then_some(hour * 60 + minute)
}

impl Calendar {
    /// Whether it makes sense; `at` is its place in the body.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, at: &str) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        faults.check(must((1..=50).contains(&self.hours.len()), CALENDAR_INVALID, format!("{at}/hours")));
        faults.check(must(self.holidays.len() <= 1000, CALENDAR_INVALID, format!("{at}/holidays")));
        for (number, hours) in self.hours.iter().enumerate() {
            let at = format!("{at}/hours/{number}");
            let known = !hours.weekdays.is_empty() && hours.weekdays.iter().all(|day| (1..=7).contains(day));
            faults.check(must(known, CALENDAR_INVALID, format!("{at}/weekdays")));
            let (from, to) = (minutes(&hours.from), minutes(&hours.to));
            faults.check(must(from.is_some_and(|from| from < 24 * 60), CALENDAR_INVALID, format!("{at}/from")));
            let later = to.is_some_and(|to| from.is_none_or(|from| from < to));
            faults.check(must(later, CALENDAR_INVALID, format!("{at}/to")));
        }
        let zone = self.time_zone.as_deref().is_none_or(is_time_zone);
        faults.check(must(zone, TIME_ZONE_INVALID, format!("{at}/time_zone")));
        faults.done()
    }

    /// Its stretches of work between two instants, in order and apart from each other; `None` when they are too many. `zone` is
    /// that of its clock unless it has one of its own.
    pub fn stretches(&self, zone: &TimeZone, (from, to): (Time, Time)) -> Option<Vec<(Time, Time)>> {
        let own = self.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let zone = own.as_ref().unwrap_or(zone);
        let mut worked: Vec<(Time, Time)> = Vec::new();
        let mut begun = from;
        // Between two changes of the clock its days are all alike.
        while begun < to {
            let next = zone.following(begun).next().map(|change| change.timestamp());
            let until = next.map_or(to, |next| next.min(to));
            let offset = zone.to_offset(begun);
            let (mut day, last) = (offset.to_datetime(begun).date(), offset.to_datetime(until).date());
            loop {
                for (open, shut) in self.day(day) {
                    let at = |minute: i16| {
                        let midnight = offset.to_timestamp(day.to_datetime(OfDay::midnight())).ok()?;
                        midnight.checked_add(i64::from(minute).minutes()).ok()
                    };
                    let (Some(open), Some(shut)) = (at(open), at(shut)) else { continue };
                    let (open, shut) = (open.max(begun), shut.min(until));
                    match worked.last_mut() {
                        _ if open >= shut => {}
                        Some((_, end)) if *end >= open => *end = shut.max(*end),
                        _ => worked.push((open, shut)),
                    }
                }
                if worked.len() > MAX_STRETCHES {
                    return None;
                }
                match day.tomorrow() {
                    Ok(next) if day < last => day = next,
                    _ => break,
                }
            }
            begun = until;
        }
        Some(worked)
    }

    /// The hours of a day, in order.
    fn day(&self, day: Date) -> Vec<(i16, i16)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        let weekday = u8::try_from(day.weekday().to_monday_one_offset()).unwrap_or_default();
        let those = self.hours.iter().filter(|hours| hours.weekdays.contains(&weekday));
        let mut hours: Vec<_> = those.filter_map(|hours| Some((minutes(&hours.from)?, minutes(&hours.to)?))).collect();
        hours.sort_unstable();
        hours
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(calendar: Value) -> Calendar {
        serde_json::from_value(calendar).unwrap()
    }

    /// The minutes of work between two instants, by looking at the clock on the wall once for each of them.
    fn counted(calendar: &Calendar, zone: &TimeZone, from: Time, to: Time) -> i64 {
        let zone = calendar.time_zone.as_deref().map_or_else(|| zone.clone(), |name| TimeZone::get(name).unwrap());
        let mut at = from;
        let mut count = 0;
        while at < to {
            let wall = at.to_zoned(zone.clone());
            let minute = i16::from(wall.hour()) * 60 + i16::from(wall.minute());
            let works = |hours: &Hours| {
                let day = u8::try_from(wall.weekday().to_monday_one_offset()).unwrap();
                let time = |text: &str| {
                    let (hour, minute) = text.split_once(':').unwrap();
                    hour.parse::<i16>().unwrap() * 60 + minute.parse::<i16>().unwrap()
                };
                hours.weekdays.contains(&day) && (time(&hours.from)..time(&hours.to)).contains(&minute)
            };
            count += i64::from(!calendar.holidays.contains(&wall.date()) && calendar.hours.iter().any(works));
            at += 1.minute();
        }
        count
    }

    /// A sequence that looks random and is the same every time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }

        fn calendar(&mut self) -> Calendar {
            let hours = (0..=self.below(4)).map(|_| {
                let from = self.below(24 * 60 - 1);
                let to = from + 1 + self.below(24 * 60 - from);
                let text = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
                let weekdays = (0..=self.below(6)).map(|_| u8::try_from(1 + self.below(7)).unwrap()).collect();
                Hours { weekdays, from: text(from), to: text(to) }
            });
            let hours = hours.collect();
            Calendar { hours, ..Calendar::default() }
        }
    }

    #[test]
    fn stretches_have_the_minutes_that_the_clock_on_the_wall_counts() {
        // Each with a time at which its clocks do something odd: an hour, half an hour, at midnight, a whole day that was left out.
        let odd = [
            ("Europe/Rome", "2026-03-29T01:00:00Z"),
            ("Europe/Rome", "2026-10-25T01:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
            ("Asia/Beirut", "2026-03-28T22:00:00Z"),
            ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("Asia/Kathmandu", "2026-05-01T00:00:00Z"),
            ("UTC", "2026-02-28T00:00:00Z"),
        ];
        let mut dice = Dice(20_261_128);
        for round in 0..400 {
            let (zone, around) = odd[round % odd.len()];
            let zone = TimeZone::get(zone).unwrap();
            let around: Time = around.parse().unwrap();
            let mut calendar = dice.calendar();
            calendar.check("").unwrap();
            if dice.below(3) == 0 {
                calendar.holidays.insert(around.to_zoned(zone.clone()).date());
            }
            let from = around - i64::try_from(dice.below(60 * 60)).unwrap().minutes();
            let to = around + i64::try_from(dice.below(60 * 60)).unwrap().minutes();
            let worked = calendar.stretches(&zone, (from, to)).unwrap();
            let length: i64 = worked.iter().map(|(open, shut)| (shut.as_second() - open.as_second()) / 60).sum();
            assert_eq!(length, counted(&calendar, &zone, from, to), "{calendar:?} in {zone:?} from {from} to {to}");
            assert!(worked.windows(2).all(|pair| pair[0].1 < pair[1].0), "apart, and in order: {worked:?}");
            assert!(worked.iter().all(|(open, shut)| from <= *open && open < shut && *shut <= to));
        }
    }

    #[test]
    fn nonsense_is_pointed_at() {
        let refused = |calendar: Value| -> Vec<String> {
            let refused = read(calendar).check("/calendar").err().map(|refused| refused.errors).unwrap_or_default();
            refused.into_iter().map(|error| error.pointer).collect()
        };
        let hours =
            |from: &str, to: &str, days: Value| json!({ "hours": [{ "weekdays": days, "from": from, "to": to }] });
        assert!(refused(hours("09:00", "24:00", json!([1, 7]))).is_empty());
        assert_eq!(refused(json!({ "hours": [] })), ["/calendar/hours"]);
        assert_eq!(refused(hours("09:00", "17:00", json!([0]))), ["/calendar/hours/0/weekdays"]);
        assert_eq!(refused(hours("17:00", "09:00", json!([1]))), ["/calendar/hours/0/to"]);
        assert_eq!(refused(hours("24:00", "24:00", json!([1]))), ["/calendar/hours/0/from", "/calendar/hours/0/to"]);
        assert_eq!(refused(hours("9:00", "17:60", json!([1]))), ["/calendar/hours/0/from", "/calendar/hours/0/to"]);
        let mut elsewhere = hours("09:00", "17:00", json!([1]));
        elsewhere["time_zone"] = "Europe/Atlantis".into();
        assert_eq!(refused(elsewhere), ["/calendar/time_zone"]);
    }
}
