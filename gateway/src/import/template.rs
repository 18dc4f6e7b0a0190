//! Text with places for a row's cells: `{customer}`, `{agent|slug}`.

use serde::Deserialize;

use super::rows::Cells;

/// Text with places for cells. `{column}` is a cell as it stands, `{column|slug}` the same in small letters, digits and
/// hyphens; `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Cell { column: String, slug: bool },
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Template, String> {
        Template::parse(&text)
    }
}

impl Template {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let (place, after) = match (brace, rest.split_once('}')) {
                ("{", Some(found)) => found,
                ("{", None) => return Err(format!("a {{ is not closed in \"{text}\"")),
                _ => return Err(format!("a }} without a {{ in \"{text}\"; write }}}} for the brace itself")),
            };
            rest = after;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let (column, slug) = match place.split_once('|') {
                None => (place, false),
                Some((column, "slug")) => (column, true),
                Some((_, filter)) => return Err(format!("there is no |{filter} in \"{text}\"; there is |slug")),
            };
            if column.is_empty() {
                return Err(format!("{{}} names no column in \"{text}\""));
            }
            parts.push(Part::Cell { column: column.to_owned(), slug });
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// The cell of one column, as it stands.
    pub(crate) fn of_column(column: &str) -> Template {
        Template(vec![Part::Cell { column: column.to_owned(), slug: false }])
    }

    /// The same with columns called otherwise, as a mapping writes it. What no column holds is left out; `None` when nothing
    /// is left of its places.
    pub(crate) fn renamed(&self, name: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut text = String::new();
        let mut kept = self.plain().is_some();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(&plain.replace('{', "{{").replace('}', "}}")),
                Part::Cell { column, slug } => {
                    let Some(column) = name(column) else { continue };
                    kept = true;
                    let filter = if *slug { "|slug" } else { "" };
                    text.push_str(&format!("{{{column}{filter}}}"));
                }
            }
        }
        kept.then(|| text.trim().to_owned())
    }

    /// The columns it names.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Cell { column, .. } => Some(column.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Its text, when it has no places.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of a row; `None` when it says nothing there: every cell that it names is blank.
    pub(crate) fn fill(&self, cells: &Cells<'_>) -> Option<String> {
        let mut text = String::new();
        let mut says = self.plain().is_some();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Cell { column, slug } => {
                    let cell = cells.get(column);
                    says |= !cell.is_empty();
                    if *slug { text.push_str(&slugged(cell)) } else { text.push_str(cell) }
                }
            }
        }
        Some(text).filter(|text| says && !text.trim().is_empty())
    }
}

fn slugged(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::import::rows::Header;

    fn fill(template: &str) -> Option<String> {
        let header = Header::new(vec!["a".into(), "b c".into(), "blank".into()]).unwrap();
        let cells = ["Value 1".to_owned(), " x ".to_owned(), " ".to_owned()];
        Template::parse(template).unwrap().fill(&header.cells(&cells))
    }

    #[test]
    fn places_take_the_rows_cells() {
        assert_eq!(fill("{a} of {b c}").as_deref(), Some("Value 1 of x"));
        assert_eq!(fill("agent-{a|slug}@x").as_deref(), Some("agent-value-1@x"));
        assert_eq!(fill("plain {{a}}").as_deref(), Some("plain {a}"));
        assert_eq!(fill("{a}{blank}").as_deref(), Some("Value 1"));
    }

    #[test]
    fn blank_cells_say_nothing() {
        assert_eq!(fill("Customer {blank}"), None);
        assert_eq!(fill(""), None);
    }

    #[test]
    fn columns_are_called_otherwise_and_left_out() {
        let renamed = |text: &str| {
            let name = |column: &str| (column != "gone").then(|| column.to_uppercase());
            Template::parse(text).unwrap().renamed(name)
        };
        assert_eq!(renamed("{a} {gone}").as_deref(), Some("{A}"));
        assert_eq!(renamed("{{x}} {a|slug}").as_deref(), Some("{{x}} {A|slug}"));
        assert_eq!((renamed("{gone}"), renamed("plain").as_deref()), (None, Some("plain")));
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, why) in [("{a", "not closed"), ("a}", "without"), ("{a|upper}", "|slug"), ("{}", "no column")] {
            assert!(Template::parse(text).unwrap_err().contains(why), "{text}");
        }
        let columns: Vec<String> = Template::parse("{a}-{b|slug}").unwrap().columns().map(str::to_owned).collect();
        assert_eq!(columns, ["a", "b"]);
    }
}
