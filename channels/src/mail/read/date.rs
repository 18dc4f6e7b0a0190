//! When a mail says it was written, in all the ways that mailers say it.

use domain::Time;
use jiff::{civil::DateTime, tz::Offset};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Months in other languages, by how they begin, for mailers that translate what they must not.
const MONTHS_ELSEWHERE: [(&str, i8); 26] = [
    ("mai", 5),
    ("mär", 3),
    ("okt", 10),
    ("dez", 12),
    ("led", 1),
    ("úno", 2),
    ("bře", 3),
    ("dub", 4),
    ("kvě", 5),
    ("srp", 8),
    ("zář", 9),
    ("říj", 10),
    ("lis", 11),
    ("pro", 12),
    ("янв", 1),
    ("фев", 2),
    ("мар", 3),
    ("апр", 4),
    ("май", 5),
    ("мая", 5),
    ("авг", 8),
    ("сен", 9),
    ("окт", 10),
    ("ноя", 11),
    ("дек", 12),
    ("déc", 12),
];

/// Zones by name, in minutes east of Greenwich. Letters of the military are of none, as RFC 5322 says: nobody used them right.
const ZONES: [(&str, i32); 34] = [
    ("UT", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("MET", 60),
    ("MEZ", 60),
    ("CEST", 120),
    ("MEST", 120),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("MSD", 240),
    ("SAMT", 240),
    ("YEKT", 300),
    ("JST", 540),
    ("KST", 540),
    ("AEST", 600),
    ("AEDT", 660),
];

/// Reads a date.
pub(super) fn read(text: &str) -> Option<Time> {
    let text = without_comments(text);
    let text = text.trim();
    if let Ok(time) = text.parse::<Time>() {
        return Some(time);
    }
    let (mut day, mut month, mut year) = (None, None, None);
    let (mut clock, mut offset, mut afternoon) = (None, None, None);
    let mut numbers: Vec<&str> = Vec::new();
    let letters: Vec<char> = text.chars().collect();
    let digit = |place: Option<usize>| place.and_then(|place| letters.get(place)).is_some_and(char::is_ascii_digit);
    let split = letters.iter().enumerate().map(|(place, letter)| match letter {
        ',' => ' ',
        // `2026-01-05T10:00:00` is two words.
        'T' | 't' if digit(place.checked_sub(1)) && digit(Some(place + 1)) => ' ',
        _ => *letter,
    });
    let split: String = split.collect();
    for word in split.split_whitespace().take(16) {
        let lower = word.to_lowercase();
        if clock.is_none() && word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()) {
            let (time, rest) = of_clock(word)?;
            clock = Some(time);
            offset = offset.or_else(|| zone(rest));
        } else if let Some(found) =
            Some(&lower).filter(|_| clock.is_some() && offset.is_none()).and_then(|_| zone(word))
        {
            offset = Some(found);
        } else if lower == "am" || lower == "pm" {
            afternoon = Some(lower == "pm");
        } else if let Some(found) = of_month(&lower) {
            month = month.or(Some(found));
        } else if let Some(parts) = with_dashes(word) {
            (year, month, day) = (Some(parts.0), Some(parts.1), Some(parts.2));
        } else if word.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.push(word.trim_end_matches('.'));
        }
    }
    for number in numbers {
        let value: i64 = number.parse().ok()?;
        if day.is_none() && number.len() <= 2 && (1..=31).contains(&value) {
            day = i8::try_from(value).ok();
        } else if year.is_none() {
            year = Some(of_year(value, number.len())?);
        }
    }
    let (mut hour, minute, second) = clock.unwrap_or((0, 0, 0));
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let date = DateTime::new(year?, month?, day?, hour, minute, second.min(59), 0).ok()?;
    let offset = Offset::from_seconds(offset.unwrap_or_default() * 60).ok()?;
    offset.to_timestamp(date).ok()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0usize;
    let outside = |letter: &char| {
        match letter {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(outside).collect()
}

fn of_clock(word: &str) -> Option<((i8, i8, i8), &str)> {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(word.len());
    let (digits, rest) = word.split_at(end);
    let mut parts = digits.split(':').map(str::parse::<i8>);
    let clock = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next().unwrap_or(Ok(0)).ok()?);
    // Parts of seconds say nothing.
    let rest = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    Some((clock, rest))
}

/// Minutes east of Greenwich, from `+0200`, `+02:00`, `GMT+2`, `CEST`, `"EST"`.
fn zone(word: &str) -> Option<i32> {
    let word = word.trim_matches(|c: char| matches!(c, '"' | '\'' | '[' | ']' | '.'));
    let upper = word.to_ascii_uppercase();
    let bare = upper.strip_prefix("GMT").or_else(|| upper.strip_prefix("UTC")).filter(|rest| !rest.is_empty());
    let signed = bare.unwrap_or(&upper);
    let sign = match signed.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return ZONES.iter().find(|(name, _)| *name == upper).map(|(_, minutes)| *minutes),
    };
    let digits: String = signed[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = if digits.len() <= 2 { (number, 0) } else { (number / 100, number % 100) };
    // No place on earth is that far: whoever says so knows no zone.
    Some(if hours <= 14 && minutes < 60 { sign * (hours * 60 + minutes) } else { 0 })
}

fn of_month(lower: &str) -> Option<i8> {
    let lower = lower.trim_end_matches('.');
    if lower.chars().count() < 3 || lower.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let known = ["mon", "monday", "sat", "sun", "sunday", "saturday"];
    if known.contains(&lower) {
        return None;
    }
    let start: String = lower.chars().take(3).collect();
    let english = MONTHS.iter().position(|month| *month == start).and_then(|place| i8::try_from(place + 1).ok());
    english.or_else(|| MONTHS_ELSEWHERE.iter().find(|(month, _)| *month == start).map(|(_, number)| *number))
}

/// `2026-01-05`, `05-Jan-26`, `5/1/2026` is left alone: nobody knows which is which.
fn with_dashes(word: &str) -> Option<(i16, i8, i8)> {
    let mut parts = word.splitn(3, '-');
    let (one, two, three) = (parts.next()?, parts.next()?, parts.next()?);
    if let (4, Ok(year), Ok(month), Ok(day)) = (one.len(), one.parse(), two.parse(), three.parse()) {
        return Some((year, month, day));
    }
    let year = of_year(three.parse().ok()?, three.len())?;
    Some((year, of_month(&two.to_lowercase())?, one.parse().ok()?))
}

/// Years of two and three digits mean what RFC 5322 says of them.
fn of_year(value: i64, digits: usize) -> Option<i16> {
    let year = match (digits, value) {
        (1 | 2, 0..=49) => value + 2000,
        (1 | 2, _) | (3, _) => value + 1900,
        _ => value,
    };
    i16::try_from(year).ok().filter(|year| (1900..=9999).contains(year))
}
