//! Numbers, lengths, amounts and periods as people write them.

use serde_json::Value;

use crate::Language;

/// What numbers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// How long, in seconds.
    Seconds,
    /// Points that were given.
    Points,
    /// The share of those that did: 1 is all of them.
    Share,
    /// An amount of this currency.
    Money(String),
}

/// What stands between the groups of digits, and before decimals.
fn marks(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::English => (",", "."),
        // A number is not broken in two at the end of a line.
        _ => ("\u{a0}", ","),
    }
}

/// A decimal number, digit by digit as it is written.
pub(crate) fn decimal(language: Language, text: &str) -> String {
    let (group, point) = marks(language);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, decimals) = digits.split_once('.').map_or((digits, ""), |(whole, decimals)| (whole, decimals));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push_str(group);
        }
        grouped.push(digit);
    }
    if decimals.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}{point}{decimals}") }
}

/// The same, with at most so many decimals.
pub(crate) fn rounded(language: Language, value: f64, most: usize) -> String {
    let text = format!("{value:.most$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    decimal(language, if text == "-0" { "0" } else { text })
}

/// How long it is, in the two largest units: 3 h 20 min.
pub(crate) fn length(language: Language, seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0), ("second", 1.0)];
    let (sign, seconds) = if seconds < 0.0 { ("−", -seconds) } else { ("", seconds) };
    if seconds < 60.0 {
        let text = rounded(language, seconds, if seconds < 10.0 { 1 } else { 0 });
        return format!("{sign}{text}\u{a0}{}", language.say_of("unit", "second"));
    }
    // Rounded to the smaller of the two, so that 59.7 min are 1 h.
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(3);
    let smaller = UNITS.get(first + 1).map_or(1.0, |(_, size)| *size);
    let mut rest = (seconds / smaller).round() * smaller;
    let mut parts = Vec::new();
    for (name, size) in UNITS {
        let whole = (rest / size).floor();
        rest -= whole * size;
        if whole > 0.0 {
            parts.push(format!("{}\u{a0}{}", rounded(language, whole, 0), language.say_of("unit", name)));
        }
    }
    parts.truncate(2);
    format!("{sign}{}", parts.join(" "))
}

/// A number of a unit.
pub(crate) fn figure(language: Language, unit: &Unit, value: f64) -> String {
    match unit {
        Unit::Count => rounded(language, value, 0),
        Unit::Points => rounded(language, value, 2),
        Unit::Share => format!("{}\u{a0}%", rounded(language, value * 100.0, 1)),
        Unit::Seconds => length(language, value),
        Unit::Money(currency) => format!("{}\u{a0}{currency}", rounded(language, value, 2)),
    }
}

/// The same beside an axis, where there is little room.
pub(crate) fn tick(language: Language, unit: &Unit, value: f64) -> String {
    let large = |value: f64| {
        let (name, size) = match value.abs() {
            large if large >= 1e9 => ("billion", 1e9),
            large if large >= 1e6 => ("million", 1e6),
            large if large >= 1e5 => ("thousand", 1e3),
            _ => return rounded(language, value, 2),
        };
        format!("{}\u{a0}{}", rounded(language, value / size, 2), language.say_of("unit", name))
    };
    match unit {
        Unit::Count | Unit::Points => large(value),
        Unit::Money(_) => large(value),
        Unit::Share => format!("{}\u{a0}%", rounded(language, value * 100.0, 1)),
        Unit::Seconds if value == 0.0 => "0".to_owned(),
        Unit::Seconds => length(language, value),
    }
}

/// The year, month and day that a text begins with.
fn date(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.get(..10)?.split('-');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

fn month(language: Language, number: &str) -> String {
    language.say_of("month", number.trim_start_matches('0'))
}

fn day_of(language: Language, text: &str, name: &str) -> Option<String> {
    let (year, number, day) = date(text)?;
    let (month, day) = (month(language, number), day.trim_start_matches('0'));
    let values = [("year", year), ("month", month.as_str()), ("day", day)];
    let asked = if name == "date-short" { &values[1..] } else { &values[..] };
    Some(language.say_with(name, asked))
}

/// What a period is called: in full, and in short.
pub(crate) fn period(language: Language, division: &str, key: &Value) -> (String, String) {
    let same = |text: String| (text.clone(), text);
    let text = key.as_str().map_or_else(|| key.to_string(), ToOwned::to_owned);
    let day = |name: &str| day_of(language, &text, name).unwrap_or_else(|| text.clone());
    match division {
        "hour" => {
            let time = text.get(11..16).unwrap_or_default();
            (format!("{}, {time}", day("date-full")), time.to_owned())
        }
        "day" => (day("date-full"), day("date-short")),
        "week" => (language.say_with("week-of", &[("day", &day("date-full"))]), day("date-short")),
        "month" => {
            let (year, number) = text.split_once('-').unwrap_or((&text, ""));
            let values = [("year", year), ("month", &month(language, number))];
            same(language.say_with("date-month", &values))
        }
        "quarter" => {
            let (year, quarter) = text.split_once('-').unwrap_or((&text, ""));
            same(format!("{quarter} {year}"))
        }
        "weekday" => (language.say_of("weekday", &text), language.say_of("weekday-short", &text)),
        "hour_of_day" => (format!("{text}:00"), text),
        _ => same(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EN: Language = Language::English;
    const CS: Language = Language::Czech;

    #[test]
    fn numbers_are_written_as_in_the_language() {
        assert_eq!(rounded(EN, 1_234_567.0, 0), "1,234,567");
        assert_eq!(rounded(CS, 1234.5, 2), "1\u{a0}234,5");
        assert_eq!(rounded(EN, -0.001, 2), "0");
        assert_eq!(rounded(EN, -1500.25, 2), "−1,500.25");
        // No digit of an exact amount is lost.
        assert_eq!(decimal(EN, "12345678901234567890.10"), "12,345,678,901,234,567,890.10");
        assert_eq!(figure(EN, &Unit::Money("EUR".into()), 0.3), "0.3\u{a0}EUR");
        assert_eq!(figure(EN, &Unit::Share, 0.375), "37.5\u{a0}%");
        assert_eq!(tick(EN, &Unit::Count, 2_500_000.0), "2.5\u{a0}M");
        assert_eq!(tick(EN, &Unit::Count, 1e12), "1,000\u{a0}bn");
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        assert_eq!(length(EN, 12_000.0), "3\u{a0}h 20\u{a0}min");
        assert_eq!(length(EN, 3_599.8), "1\u{a0}h");
        assert_eq!(length(EN, 0.25), "0.2\u{a0}s");
        assert_eq!(length(EN, 42.0), "42\u{a0}s");
        assert_eq!(length(EN, 200_000.0), "2\u{a0}d 8\u{a0}h");
        assert_eq!(length(EN, -60.0), "−1\u{a0}min");
        assert_eq!(length(Language::Russian, 12_000.0), "3\u{a0}ч 20\u{a0}мин");
    }

    #[test]
    fn periods_have_names() {
        assert_eq!(period(EN, "day", &json!("2026-03-09")), ("9 Mar 2026".into(), "9 Mar".into()));
        assert_eq!(period(EN, "month", &json!("2026-11")).0, "Nov 2026");
        assert_eq!(
            period(EN, "hour", &json!("2026-03-29T03:00:00+02:00")),
            ("29 Mar 2026, 03:00".into(), "03:00".into())
        );
        assert_eq!(period(EN, "weekday", &json!(1)), ("Monday".into(), "Mon".into()));
        assert_eq!(period(EN, "quarter", &json!("2026-Q1")).0, "Q1 2026");
        assert_eq!(period(EN, "hour_of_day", &json!(7)), ("7:00".into(), "7".into()));
        assert_eq!(period(EN, "week", &json!("2026-03-09")).0, "Week of 9 Mar 2026");
    }
}
