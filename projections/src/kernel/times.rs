//! Times as they are told: RFC 3339 in UTC with a `Z`, to the microsecond, the same in lists and records as in events.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;

use crate::List;

/// What PostgreSQL writes behind a time in UTC, and the end of the text.
const OFFSET: &str = "+00:00\"";

/// The names under which rows of a list show times.
pub(crate) fn names(list: &'static List) -> Arc<[String]> {
    type Names = HashMap<&'static str, Arc<[String]>>;
    static NAMES: LazyLock<Mutex<Names>> = LazyLock::new(Mutex::default);
    NAMES.lock().entry(list.name).or_insert_with(|| of(list)).clone()
}

fn of(list: &'static List) -> Arc<[String]> {
    let schema = list.view_schema();
    let properties = schema["properties"].as_object();
    let times = properties.into_iter().flatten().filter(|(_, property)| property["format"] == "date-time");
    times.map(|(name, _)| name.clone()).collect()
}

/// A row as PostgreSQL makes it JSON, with its times as we tell them. Texts that look like times stay as they are.
pub(crate) fn told(row: String, names: &[String]) -> String {
    if !row.contains(OFFSET) {
        return row;
    }
    let bytes = row.as_bytes();
    let mut told = String::with_capacity(row.len());
    let (mut at, mut copied, mut depth, mut name) = (0, 0, 0, "");
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = end_of_text(bytes, at);
                if depth == 1 && bytes.get(end) == Some(&b':') {
                    name = &row[at + 1..end - 1];
                } else if depth == 1 && row[at..end].ends_with(OFFSET) && names.iter().any(|known| known == name) {
                    told.push_str(&row[copied..end - OFFSET.len()]);
                    told.push_str("Z\"");
                    copied = end;
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    told.push_str(&row[copied..]);
    told
}

/// Where the text that begins at `at` has ended.
fn end_of_text(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end_in_z_and_texts_stay() {
        let row = r#"{"title":"2026-01-01T10:00:00+00:00","opened_at":"2026-01-01T10:00:00.25+00:00","closed_at":null,"#
            .to_owned()
            + r#""custom":{"opened_at":"2026-01-01T10:00:00+00:00"},"text":"a \"opened_at\":\"x+00:00","updated_at":"2026-01-02T00:00:00+00:00"}"#;
        let wanted = r#"{"title":"2026-01-01T10:00:00+00:00","opened_at":"2026-01-01T10:00:00.25Z","closed_at":null,"#
            .to_owned()
            + r#""custom":{"opened_at":"2026-01-01T10:00:00+00:00"},"text":"a \"opened_at\":\"x+00:00","updated_at":"2026-01-02T00:00:00Z"}"#;
        assert_eq!(told(row, &["opened_at".to_owned(), "updated_at".to_owned()]), wanted);
        assert_eq!(told("{}".to_owned(), &[]), "{}");
    }

    #[test]
    fn lists_know_their_times() {
        let names = names(List::of::<crate::work::tasks::Tasks>());
        for name in ["due_at", "created_at", "updated_at", "closed_at"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|known| known == "title"));
    }
}
