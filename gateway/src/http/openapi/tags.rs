//! The tags of the document, by the contexts of the product: a long page reads like a table of contents.

use std::{any, collections::BTreeMap};

use domain::Aggregate;
use serde_json::{Value, json};

/// The contexts in the order in which people look for them, with their names.
const CONTEXTS: &[(&str, &str)] = &[
    ("desk", "Help desk"),
    ("chat", "Inbox"),
    ("crm", "Customers"),
    ("sales", "Sales"),
    ("work", "Tasks and rules"),
    ("insight", "Reports, dashboards and views"),
    ("org", "Organisation"),
    ("data", "Bringing data in"),
    (PLATFORM, "Platform"),
];

/// The context of what belongs to no kind of record.
const PLATFORM: &str = "platform";

/// The context of a kind, and its place among them.
pub(in crate::http) fn context_of<A: Aggregate>() -> (usize, &'static str) {
    let own = context(any::type_name::<A>());
    let place = CONTEXTS.iter().position(|(context, _)| *context == own);
    (place.unwrap_or(CONTEXTS.len()), own)
}

/// Tags as they are put together.
#[derive(Default)]
pub(super) struct Tags {
    /// Its context and what is said of it, by tag.
    all: BTreeMap<String, (String, String)>,
    /// The context of each kind.
    kinds: BTreeMap<&'static str, String>,
}

impl Tags {
    /// The collection of a kind, and what is said of it.
    pub(super) fn kind<A: Aggregate>(&mut self, text: String) {
        let context = context(any::type_name::<A>());
        self.kinds.insert(A::KIND, context.to_owned());
        self.all.insert(A::PLURAL.to_owned(), (context.to_owned(), text));
    }

    /// A tag beside the kinds' own that belongs to the context of `kind`.
    pub(super) fn beside(&mut self, tag: &str, kind: &str) {
        let context = self.kinds.get(kind).map_or(PLATFORM, String::as_str).to_owned();
        self.all.entry(tag.to_owned()).or_insert((context, String::new()));
    }

    /// A tag that is used.
    pub(super) fn used(&mut self, tag: &str) {
        self.all.entry(tag.to_owned()).or_insert((PLATFORM.to_owned(), String::new()));
    }

    /// All of them by context.
    pub(super) fn list(&self) -> Value {
        let tags = CONTEXTS.iter().flat_map(|(context, _)| self.of(context));
        tags.map(|(tag, text)| json!({ "name": tag, "description": text })).collect()
    }

    /// The contexts with their tags, as the documentation page shows them.
    pub(super) fn groups(&self) -> Value {
        let groups = CONTEXTS.iter().map(|(context, title)| {
            let tags: Vec<_> = self.of(context).map(|(tag, _)| tag).collect();
            json!({ "name": title, "tags": tags })
        });
        groups.collect()
    }

    fn of<'a>(&'a self, context: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.all.iter().filter(move |(_, (own, _))| own == context).map(|(tag, (_, text))| (tag, text))
    }
}

/// The context in which a type of domain is at home: the room it stands in. A test holds every kind to the list.
fn context(type_name: &str) -> &str {
    let path = type_name.rsplit("domain::").next().unwrap_or_default();
    path.split("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::openapi::document;

    #[test]
    fn every_tag_stands_in_one_context_and_those_of_one_stand_together() {
        let document = document();
        let names = |tags: &Value| -> Vec<String> {
            tags.as_array()
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().or(tag["name"].as_str()).unwrap().to_owned())
                .collect()
        };
        let groups = document["x-tagGroups"].as_array().unwrap();
        let grouped: Vec<_> = groups.iter().flat_map(|group| names(&group["tags"])).collect();
        assert_eq!(grouped, names(&document["tags"]));
        let used: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["tags"][0].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(grouped.iter().cloned().collect::<BTreeSet<_>>(), used);
        assert_eq!(grouped.len(), used.len());
        let of = |title: &str| {
            let group = groups.iter().find(|group| group["name"] == title).unwrap();
            names(&group["tags"])
        };
        for (title, tag) in [
            ("Help desk", "tickets"),
            ("Help desk", "messages"),
            ("Inbox", "conversations"),
            ("Customers", "leads"),
            ("Sales", "orders"),
            ("Tasks and rules", "rules"),
            ("Reports, dashboards and views", "dashboards"),
            ("Reports, dashboards and views", "views"),
            ("Organisation", "users"),
            ("Bringing data in", "imports"),
            ("Platform", "events"),
        ] {
            assert!(of(title).iter().any(|known| known == tag), "{tag} is not in {title}: {groups:?}");
        }
    }
}
