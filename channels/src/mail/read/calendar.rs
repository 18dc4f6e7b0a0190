//! Invitations (RFC 5545, 5546) as lines that a person can read.

use super::charset;

/// What an invitation says: which event, when, where, and who asks or answers.
pub(super) fn readable(content: &str) -> Option<String> {
    let lines = unfolded(content);
    let method = lines.iter().find(|line| line.name == "METHOD").map(|line| line.value.to_ascii_uppercase());
    let begin = lines.iter().position(|line| {
        line.name == "BEGIN" && ["VEVENT", "VTODO"].iter().any(|kind| line.value.eq_ignore_ascii_case(kind))
    })?;
    let end = lines[begin..]
        .iter()
        .position(|line| line.name == "END" && line.value.eq_ignore_ascii_case(&lines[begin].value));
    let event = &lines[begin..end.map_or(lines.len(), |end| begin + end)];
    // What belongs to an alarm within has the same names, and comes later.
    let get = |name: &str| event.iter().find(|line| line.name == name && !line.value.trim().is_empty());
    let text = |name: &str| get(name).map(|line| charset::line(&unescaped(&line.value).replace('\n', ", ")));
    let attendee = get("ATTENDEE");
    let cancelled = get("STATUS").is_some_and(|line| line.value.eq_ignore_ascii_case("CANCELLED"));
    let kind = match method.as_deref() {
        Some("CANCEL") => "Cancelled",
        _ if cancelled => "Cancelled",
        Some("REPLY") => {
            match attendee.and_then(|line| line.parameter("PARTSTAT")).map(str::to_ascii_uppercase).as_deref() {
                Some("ACCEPTED") => "Accepted",
                Some("DECLINED") => "Declined",
                Some("TENTATIVE") => "Tentatively accepted",
                _ => "Answered",
            }
        }
        Some("COUNTER") => "Another time proposed",
        Some("REQUEST") => "Invitation",
        _ => "Event",
    };
    let mut out = format!("{kind}: {}", text("SUMMARY").unwrap_or_default()).trim_end().to_owned();
    if let Some(start) = get("DTSTART") {
        out.push_str("\nWhen: ");
        out.push_str(&span(start, get("DTEND").or(get("DUE"))));
    }
    if let Some(place) = text("LOCATION") {
        out.push_str("\nWhere: ");
        out.push_str(&place);
    }
    if let Some(organizer) = get("ORGANIZER") {
        out.push_str("\nOrganizer: ");
        out.push_str(&organizer.person());
    }
    if let (Some("REPLY" | "COUNTER"), Some(attendee)) = (method.as_deref(), attendee) {
        out.push_str("\nWho: ");
        out.push_str(&attendee.person());
    }
    Some(out)
}

struct Line {
    name: String,
    parameters: Vec<(String, String)>,
    value: String,
}

impl Line {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn person(&self) -> String {
        let address = self
            .value
            .get(..7)
            .filter(|start| start.eq_ignore_ascii_case("mailto:"))
            .map_or(self.value.as_str(), |_| &self.value[7..]);
        let line = match self.parameter("CN") {
            Some(name) if !name.is_empty() && name != address => format!("{name} <{address}>"),
            _ => address.to_owned(),
        };
        charset::line(&line)
    }
}

fn unfolded(content: &str) -> Vec<Line> {
    let mut joined: Vec<String> = Vec::new();
    for line in content.lines().take(20_000) {
        let line = line.trim_end_matches('\r');
        match line.strip_prefix([' ', '\t']) {
            Some(rest) if !joined.is_empty() => joined.last_mut().into_iter().for_each(|last| last.push_str(rest)),
            _ if joined.len() < 5_000 => joined.push(line.to_owned()),
            _ => break,
        }
    }
    joined.iter().filter_map(|line| parsed(line)).collect()
}

fn parsed(line: &str) -> Option<Line> {
    let mut quoted = false;
    let colon = line.find(|c: char| {
        quoted ^= c == '"';
        c == ':' && !quoted
    })?;
    let (head, value) = (&line[..colon], &line[colon + 1..]);
    let mut quoted = false;
    let mut pieces = head.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let name = pieces.next()?.trim().to_ascii_uppercase();
    let parameters = pieces.filter_map(|piece| piece.split_once('='));
    let parameters =
        parameters.map(|(name, value)| (name.to_ascii_uppercase(), value.trim_matches('"').to_owned())).collect();
    Some(Line { name, parameters, value: value.to_owned() })
}

fn unescaped(value: &str) -> String {
    let (mut out, mut letters) = (String::with_capacity(value.len()), value.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(letter),
        }
    }
    out
}

/// From when to when, as written there: in its own zone, not in ours.
fn span(start: &Line, end: Option<&Line>) -> String {
    let (Some(from), until) = (moment(&start.value), end.and_then(|line| moment(&line.value))) else {
        return start.value.clone();
    };
    let zone = if start.value.trim_end().ends_with('Z') { Some("UTC") } else { start.parameter("TZID") };
    let zone = zone.map(|zone| format!(" ({})", charset::line(zone))).unwrap_or_default();
    let (date, time) = &from;
    match (time, until) {
        (Some(time), Some((other, Some(ends)))) if other == *date => format!("{date} {time} – {ends}{zone}"),
        (Some(time), Some((other, Some(ends)))) => format!("{date} {time} – {other} {ends}{zone}"),
        (Some(time), _) => format!("{date} {time}{zone}"),
        (None, _) => date.clone(),
    }
}

/// `20260105T100000Z` as a date and, unless it is all day, a time.
fn moment(value: &str) -> Option<(String, Option<String>)> {
    let value = value.trim();
    let digits = |text: &str, range: std::ops::Range<usize>| {
        text.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
    };
    let date = format!("{}-{}-{}", digits(value, 0..4)?, digits(value, 4..6)?, digits(value, 6..8)?);
    let time = value
        .get(8..9)
        .filter(|t| t.eq_ignore_ascii_case("t"))
        .and_then(|_| Some(format!("{}:{}", digits(value, 9..11)?, digits(value, 11..13)?)));
    Some((date, time))
}
