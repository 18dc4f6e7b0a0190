//! The mappings that Deskfold brings along for what other systems export.

use super::{rows::Header, template::Template};

/// A mapping for one export of another system.
#[derive(Debug)]
pub(crate) struct Shipped {
    /// Its name, such as `hubspot-contacts`.
    pub(crate) name: &'static str,
    /// The other system.
    pub(crate) system: &'static str,
    /// What it means, as TOML.
    pub(crate) text: &'static str,
    /// The columns by which such a file is known.
    known_by: &'static [&'static str],
    /// Columns that other versions of the other system call otherwise.
    also: &'static [(&'static str, &'static [&'static str])],
}

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../deploy/import/", $name, ".toml"))
    };
}

/// All of them.
pub(crate) const ALL: &[Shipped] = &[
    Shipped {
        name: "zendesk-users",
        system: "zendesk",
        text: text!("zendesk-users"),
        known_by: &["name", "email", "role", "organization"],
        also: &[("ID", &["External ID"]), ("Created at", &["Date created"])],
    },
    Shipped {
        name: "zendesk-organizations",
        system: "zendesk",
        text: text!("zendesk-organizations"),
        known_by: &["name", "details", "notes"],
        also: &[("ID", &["External ID"]), ("Domain names", &["Domains", "Default"])],
    },
    Shipped {
        name: "zendesk-tickets",
        system: "zendesk",
        text: text!("zendesk-tickets"),
        known_by: &["id", "requester", "subject", "ticket type", "via"],
        also: &[],
    },
    Shipped {
        name: "freshdesk-contacts",
        system: "freshdesk",
        text: text!("freshdesk-contacts"),
        known_by: &["email", "work phone", "mobile phone", "company"],
        also: &[
            ("Full name", &["Name"]),
            ("Contact ID", &["Unique external ID"]),
            ("About", &["Background information"]),
        ],
    },
    Shipped {
        name: "freshdesk-companies",
        system: "freshdesk",
        text: text!("freshdesk-companies"),
        known_by: &["description", "health score", "account tier"],
        also: &[("Company Name", &["Name"]), ("Domains", &["Domains for this company", "Company Domains"])],
    },
    Shipped {
        name: "freshdesk-tickets",
        system: "freshdesk",
        text: text!("freshdesk-tickets"),
        known_by: &["ticket id", "subject", "agent", "created time"],
        also: &[("Company Name", &["Company"])],
    },
    Shipped {
        name: "hubspot-contacts",
        system: "hubspot",
        text: text!("hubspot-contacts"),
        known_by: &["record id", "first name", "last name", "email"],
        also: &[
            ("Record ID", &["Contact ID", "Record ID - Contact"]),
            ("Associated Company", &["Company Name", "Primary Associated Company"]),
        ],
    },
    Shipped {
        name: "hubspot-companies",
        system: "hubspot",
        text: text!("hubspot-companies"),
        known_by: &["record id", "company name"],
        also: &[("Company Domain Name", &["Domain"]), ("Record ID", &["Company ID", "Record ID - Company"])],
    },
    Shipped {
        name: "hubspot-deals",
        system: "hubspot",
        text: text!("hubspot-deals"),
        known_by: &["record id", "deal name", "deal stage"],
        also: &[("Associated Contact", &["Associated Contacts"]), ("Record ID", &["Deal ID", "Record ID - Deal"])],
    },
    Shipped {
        name: "chatwoot-contacts",
        system: "chatwoot",
        text: text!("chatwoot-contacts"),
        known_by: &["id", "name", "email", "phone_number"],
        also: &[],
    },
];

/// The mapping of this name.
pub(crate) fn named(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|shipped| shipped.name == name.trim())
}

/// The mapping for such a file: the one that most of its columns are known by.
pub(crate) fn recognised(header: &Header) -> Option<&'static Shipped> {
    let names: Vec<String> = header.names().iter().map(|name| name.to_lowercase()).collect();
    let known = |shipped: &&Shipped| shipped.known_by.iter().all(|column| names.iter().any(|name| name == column));
    ALL.iter().filter(known).max_by_key(|shipped| shipped.known_by.len())
}

/// What two spellings of a column's name have in common.
fn loose(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Shipped {
    /// The same for a file with these columns, called as that calls them; what it has no column for is left out.
    pub(crate) fn fitted(&self, header: &Header) -> String {
        let theirs = |column: &str| -> Option<String> {
            let others = self.also.iter().filter(|(name, _)| *name == column).flat_map(|(_, others)| others.iter());
            let mut names = std::iter::once(column).chain(others.copied());
            names.find_map(|wanted| header.names().iter().find(|name| loose(name) == loose(wanted)).cloned())
        };
        let whole: toml::Table = self.text.parse().unwrap_or_default();
        let mut fitted = toml::Table::new();
        for (name, value) in whole {
            let value = match (name.as_str(), value) {
                // Where one attribute has no column the others may have theirs.
                ("fields" | "custom", toml::Value::Table(members)) => {
                    let kept =
                        members.into_iter().filter_map(|(name, value)| Some((name, with_columns(value, &theirs)?)));
                    Some(toml::Value::Table(kept.collect()))
                }
                ("key" | "created", value) => with_columns(value, &theirs),
                (_, value) => Some(value),
            };
            fitted.extend(value.map(|value| (name, value)));
        }
        toml::to_string(&fitted).unwrap_or_default()
    }
}

/// A value with its columns called as the file calls them; `None` when the file lacks one without which it says nothing.
fn with_columns(value: toml::Value, name: &impl Fn(&str) -> Option<String>) -> Option<toml::Value> {
    Some(match value {
        toml::Value::String(text) => match Template::parse(&text) {
            Ok(template) => template.renamed(name)?.into(),
            Err(_) => text.into(),
        },
        toml::Value::Array(values) => {
            let values: Vec<_> = values.into_iter().filter_map(|value| with_columns(value, name)).collect();
            if values.is_empty() { None? } else { values.into() }
        }
        toml::Value::Table(mut table) if table.contains_key("column") || table.contains_key("value") => {
            let place = if table.contains_key("column") { "column" } else { "value" };
            let text = table.get(place)?.as_str()?.to_owned();
            let found = match place {
                "column" => name(&text),
                _ => Template::parse(&text).ok()?.renamed(name),
            };
            match found {
                Some(found) => {
                    table.insert(place.to_owned(), found.into());
                    table.into()
                }
                // What a blank says, every row says then.
                None => table.remove("blank")?,
            }
        }
        toml::Value::Table(table) => {
            let mut members = toml::Table::new();
            for (member, value) in table {
                members.insert(member, with_columns(value, name)?);
            }
            members.into()
        }
        plain => plain,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::import::sheet::Sheet;

    fn header(names: &str) -> Header {
        Header::new(names.split(',').map(str::to_owned).collect()).unwrap()
    }

    #[test]
    fn every_shipped_mapping_is_one() {
        for shipped in ALL {
            let sheet = Sheet::parse(shipped.text).unwrap_or_else(|error| unreachable!("{}: {error}", shipped.name));
            assert_eq!(sheet.source.as_deref(), Some(shipped.system));
            assert!(shipped.name.starts_with(shipped.system));
            assert_eq!(named(shipped.name).unwrap().name, shipped.name);
            // Without any further column it is still a mapping.
            let columns = sheet.columns().into_iter().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
            let whole = shipped.fitted(&Header::new(columns.into_iter().collect()).unwrap());
            Sheet::parse(&whole).unwrap();
        }
    }

    #[test]
    fn a_mapping_is_fitted_to_the_columns_of_a_file() {
        let small = header("Record ID,First Name,Last Name,Email,Company name");
        let found = recognised(&small).unwrap();
        assert_eq!(found.name, "hubspot-contacts");
        let fitted = found.fitted(&small);
        let sheet = Sheet::parse(&fitted).unwrap();
        sheet.check(&small).unwrap();
        assert!(fitted.contains("{First Name} {Last Name}") && !fitted.contains("Phone"), "{fitted}");
        assert!(fitted.contains("Company name"), "{fitted}");
        let deals = header("Record ID,Deal Name,Deal Stage,Amount");
        let fitted = recognised(&deals).unwrap().fitted(&deals);
        assert!(fitted.contains("USD") && Sheet::parse(&fitted).is_ok(), "{fitted}");
        assert!(recognised(&header("Name,E-mail")).is_none());
    }
}
