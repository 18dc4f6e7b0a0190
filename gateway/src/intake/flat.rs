//! A JSON body as a row of cells: each value under its path, such as `customer.phone` or `items[0].name`.

use std::collections::BTreeMap;

use domain::kernel::text::composed;
use serde_json::Value;

use crate::import::{FileError, Header, Row};

/// A body, flat.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flat {
    cells: BTreeMap<String, String>,
    /// How many items the lists have.
    lists: BTreeMap<String, usize>,
}

/// A value in one cell; `None` where it has parts.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(composed(text).into_owned()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

impl Flat {
    pub(super) fn of(body: &Value) -> Flat {
        let mut flat = Flat::default();
        flat.take(String::new(), body);
        flat
    }

    fn take(&mut self, path: String, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.take(below, value);
                }
            }
            Value::Array(items) => {
                self.lists.insert(path.clone(), items.len());
                let texts: Option<Vec<String>> = items.iter().map(plain).collect();
                if let Some(texts) = texts {
                    self.keep(path.clone(), texts.join(";"));
                }
                for (at, item) in items.iter().enumerate() {
                    self.take(format!("{path}[{at}]"), item);
                }
            }
            _ => self.keep(path, plain(value).unwrap_or_default()),
        }
    }

    /// What has no name cannot be meant.
    fn keep(&mut self, path: String, text: String) {
        if !path.is_empty() {
            self.cells.entry(path).or_insert(text);
        }
    }

    /// How many items a list has; what is no list, and is there, is its only item.
    pub(super) fn items(&self, path: &str) -> usize {
        match self.lists.get(path) {
            Some(items) => *items,
            None => {
                let below = format!("{path}.");
                usize::from(self.cells.keys().any(|cell| cell.starts_with(&below)))
            }
        }
    }

    /// Whether a path is that of a list.
    pub(super) fn is_list(&self, path: &str) -> bool {
        self.lists.contains_key(path)
    }

    /// The row, with what its cells are called.
    pub(super) fn row(&self) -> Result<(Header, Row), FileError> {
        let header = Header::new(self.cells.keys().cloned().collect())?;
        let cells: Vec<String> = self.cells.values().cloned().collect();
        Ok((header, Row { number: 1, line: 1, cells, fault: None }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_a_row() {
        let body = json!({
            "id": 7, "paid": true, "note": null, "customer": { "phone": "+7 900" }, "tags": ["a", "b"],
            "items": [{ "name": "Lamp" }, { "name": "Bulb", "price": { "amount": 2.5 } }], "": "unmeant",
        });
        let flat = Flat::of(&body);
        let (header, row) = flat.row().unwrap();
        let cells = header.cells(&row.cells);
        for (path, text) in [
            ("id", "7"),
            ("paid", "true"),
            ("note", ""),
            ("customer.phone", "+7 900"),
            ("tags", "a;b"),
            ("tags[1]", "b"),
            ("items[0].name", "Lamp"),
            ("items[1].price.amount", "2.5"),
            ("none", ""),
        ] {
            assert_eq!(cells.get(path), text, "{path}");
        }
        assert_eq!((flat.items("items"), flat.items("tags"), flat.items("none"), flat.items("customer")), (2, 2, 0, 1));
    }
}
