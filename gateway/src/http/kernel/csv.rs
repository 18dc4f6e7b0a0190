//! CSV files as they go out (RFC 4180), sent as they are made.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use csv::{Terminator, WriterBuilder};
use futures::{Stream, StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::Problem;

/// What stands between the cells of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CsvSeparator")]
pub(in crate::http) enum Separator {
    /// `,`, as RFC 4180 has it.
    #[default]
    Comma,
    /// `;`, which spreadsheets expect where a comma stands before decimals.
    Semicolon,
    /// A tab.
    Tab,
}

/// How a CSV file is written.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct Dialect {
    /// Whether it begins with a byte order mark: some spreadsheets take it for UTF-8 only then.
    pub(in crate::http) bom: bool,
    /// What stands between cells.
    pub(in crate::http) separator: Separator,
}

impl Dialect {
    /// Lines of the file.
    pub(in crate::http) fn lines(self, rows: &[Vec<String>]) -> Result<Bytes, csv::Error> {
        let separator = match self.separator {
            Separator::Comma => b',',
            Separator::Semicolon => b';',
            Separator::Tab => b'\t',
        };
        let mut writer = WriterBuilder::new()
            .flexible(true)
            .delimiter(separator)
            .terminator(Terminator::CRLF)
            .from_writer(Vec::new());
        for row in rows {
            writer.write_record(row)?;
        }
        let text = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(Bytes::from(text))
    }
}

/// A CSV file that is sent as it is made: the names of its columns, then its rows, page by page.
pub(in crate::http) fn file(
    name: &str,
    dialect: Dialect,
    columns: Vec<String>,
    pages: impl Stream<Item = Result<Vec<Vec<String>>, Problem>> + Send + 'static,
) -> Response {
    let mark = stream::iter(dialect.bom.then(|| Ok(Bytes::from_static("\u{feff}".as_bytes()))));
    let rows = stream::once(async move { Ok(vec![columns]) }).chain(pages);
    let lines = rows.map(move |page| dialect.lines(&page?).map_err(|error| Problem::broken(&error)));
    download(name, "text/csv; charset=utf-8; header=present", mark.chain(lines))
}

/// A file that is sent as it is made. An error in the middle breaks the connection off, so that nobody takes a part for the
/// whole.
pub(in crate::http) fn download(
    name: &str,
    media_type: &'static str,
    parts: impl Stream<Item = Result<Bytes, Problem>> + Send + 'static,
) -> Response {
    let parts = parts.map(|part| part.map_err(|problem| std::io::Error::other(format!("{problem:?}"))));
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// A value as a spreadsheet shows it: numbers as they are, texts so that none is taken for a formula, several values behind
/// one another, and whatever else as JSON.
pub(in crate::http) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => defused(text.clone()),
        Value::Array(values) if values.iter().all(|value| !value.is_array() && !value.is_object()) => {
            let texts: Vec<_> = values.iter().map(plain).collect();
            defused(texts.join("; "))
        }
        other => other.to_string(),
    }
}

/// A value of a list within a cell.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A text behind an apostrophe where a spreadsheet would take it for a formula. An exact decimal stays a number.
pub(in crate::http) fn defused(mut text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number(&text) {
        text.insert(0, '\'');
    }
    text
}

/// Digits with at most one point among them and at most a minus before them.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole) && are_digits(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_taken_for_a_formula_and_numbers_stay_numbers() {
        for (value, wanted) in [
            (json!("=1+1"), "'=1+1"),
            (json!("+39 06 555 0101"), "'+39 06 555 0101"),
            (json!("-2+3"), "'-2+3"),
            (json!("@sum(a1)"), "'@sum(a1)"),
            (json!("\tx"), "'\tx"),
            (json!("\rx"), "'\rx"),
            (json!("-"), "'-"),
            (json!("-1.2.3"), "'-1.2.3"),
            (json!("-12.50"), "-12.50"),
            (json!(-3), "-3"),
            (json!(true), "true"),
            (json!(null), ""),
            (json!("a=b"), "a=b"),
            (json!(["=a", "b", 3]), "'=a; b; 3"),
            (json!([]), ""),
            (json!([{ "a": 1 }]), r#"[{"a":1}]"#),
            (json!({ "a": "=b" }), r#"{"a":"=b"}"#),
        ] {
            assert_eq!(cell(&value), wanted, "{value}");
        }
    }

    #[test]
    fn lines_are_written_as_rfc_4180_has_them() {
        let rows = [vec!["a".to_owned(), "b, c".to_owned()], vec!["say \"x\"".to_owned(), "two\nlines".to_owned()]];
        let text = |dialect: Dialect| String::from_utf8(dialect.lines(&rows).unwrap().to_vec()).unwrap();
        assert_eq!(text(Dialect::default()), "a,\"b, c\"\r\n\"say \"\"x\"\"\",\"two\nlines\"\r\n");
        let semicolon = Dialect { separator: Separator::Semicolon, ..Dialect::default() };
        assert_eq!(text(semicolon), "a;b, c\r\n\"say \"\"x\"\"\";\"two\nlines\"\r\n");
        let tab = Dialect { separator: Separator::Tab, ..Dialect::default() };
        assert!(text(tab).starts_with("a\tb, c\r\n"));
    }
}
