//! What a tenant can set and what it can switch off: every setting and every feature, declared once.
//!
//! A setting is here because something reads it, and a feature because its kinds of record can be done without. Commands,
//! the API's document, `GET /v1/settings` and `GET /v1/features` follow from these two lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Rejection, kernel::valid};

/// A part of Deskfold that a tenant can do without.
#[derive(Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// The kinds of record that it consists of.
    pub kinds: &'static [&'static str],
}

/// Every feature. All are on until they are switched off. What is in none of them cannot be switched off: people, teams,
/// rights, contacts and companies, custom fields, comments, activities and relations.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "tickets",
        description: "Requests for help, as tickets of teams, and the forms on web sites that become some.",
        kinds: &["ticket", "form", "form_submission"],
    },
    Feature {
        name: "products",
        description: "The catalogue, and who owns which product.",
        kinds: &["product", "product_category", "entitlement"],
    },
    Feature {
        name: "chats",
        description: "Conversations with their labels, quick replies and chatbots.",
        kinds: &["chatbot", "conversation", "label", "quick_reply"],
    },
    Feature {
        name: "help_centre",
        description: "Articles in which customers find answers by themselves.",
        kinds: &["article", "article_category"],
    },
    Feature { name: "orders", description: "Orders that come in from shops.", kinds: &["order"] },
    Feature { name: "leads", description: "People who may become customers.", kinds: &["lead"] },
    Feature {
        name: "properties",
        description: "Real estate: what is offered, what is looked for, and offers.",
        kinds: &["property", "enquiry", "offer"],
    },
    Feature { name: "deals", description: "Sales under way.", kinds: &["deal"] },
    Feature { name: "calls", description: "Telephone calls.", kinds: &["call"] },
    Feature {
        name: "tasks",
        description: "Tasks and the projects that they are part of.",
        kinds: &["task", "project"],
    },
    Feature { name: "rules", description: "Rules that react to events.", kinds: &["rule", "rule_run"] },
    Feature { name: "imports", description: "Bringing files of other systems in.", kinds: &["import"] },
];

/// What somebody asks for is part of a feature that the tenant has switched off.
pub const FEATURE_DISABLED: Rejection =
    Rejection::forbidden("feature_disabled", "This is part of a feature that is switched off.");

/// A feature that there is not.
pub const FEATURE_UNKNOWN: Rejection = Rejection::invalid("feature_unknown", "There is no such feature.");

/// A setting that there is not.
pub const SETTING_UNKNOWN: Rejection = Rejection::invalid("setting_unknown", "There is no such setting.");

/// A value that a setting does not take.
pub const SETTING_INVALID: Rejection = Rejection::invalid("setting_invalid", "The setting does not take this value.");

impl Feature {
    /// The refusal when it is switched off.
    pub fn disabled(&self) -> Rejection {
        FEATURE_DISABLED.because(format!("The feature {} is switched off.", self.name))
    }
}

/// The feature of this name.
pub fn feature(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

/// The feature that a kind of record is part of; `None` when it cannot be switched off.
pub fn feature_of(kind: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.kinds.contains(&kind))
}

/// Reads the name of a feature.
pub(crate) fn check_feature(name: &str) -> Result<&'static Feature, Rejection> {
    feature(name).ok_or_else(|| {
        let names = FEATURES.iter().map(|feature| feature.name).collect::<Vec<_>>().join(", ");
        FEATURE_UNKNOWN.because(format!("There is no feature {name}; there are {names}.")).at("/feature")
    })
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    /// True or false.
    Bool,
    /// A country: two capital letters (ISO 3166-1).
    Country,
    /// A language tag (BCP 47).
    Language,
    /// The name of a time zone (IANA).
    TimeZone,
    /// A list of names, each of 1 to 64 characters.
    Names,
    /// A whole number, 1 to 10,000.
    Number,
}

/// What a tenant can set.
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// What it takes.
    pub setting_type: SettingType,
    /// What it does, for people.
    pub description: &'static str,
    /// Names that it had before; they still mean it.
    pub former: &'static [&'static str],
    default: fn() -> Value,
}

/// The country of telephone numbers without a country code, and of addresses without a country.
pub const DEFAULT_COUNTRY: &str = "default_country";
/// The language that names are sorted in.
pub const LANGUAGE: &str = "language";
/// When a day begins and ends.
pub const TIME_ZONE: &str = "time_zone";
/// Whether rules choose who handles an order.
pub const AUTOMATIC_ORDER_DISTRIBUTION: &str = "automatic_order_distribution";
/// The portals on which properties are advertised.
pub const PORTALS: &str = "portals";
/// The ways in which customers and colleagues reach each other.
pub const MEDIA: &str = "media";

/// After how many minutes without a touch whoever has the inbox open is away.
pub const AWAY_AFTER: &str = "away_after_minutes";
/// How large a file may be, in mebibytes.
pub const UPLOAD_LARGEST: &str = "upload_max_mebibytes";
/// What files may be.
pub const UPLOAD_TYPES: &str = "upload_types";
/// How long files are kept that nothing refers to, in days.
pub const UPLOAD_RETENTION: &str = "upload_retention_days";

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: DEFAULT_COUNTRY,
        setting_type: SettingType::Country,
        description: "The country of telephone numbers that are given without a country code.",
        former: &[],
        default: || Value::Null,
    },
    Setting {
        key: LANGUAGE,
        setting_type: SettingType::Language,
        description: "The language in whose order lists are sorted by text; the root order of Unicode by default.",
        former: &[],
        default: || Value::Null,
    },
    Setting {
        key: TIME_ZONE,
        setting_type: SettingType::TimeZone,
        description: "The time zone in which a day begins and ends.",
        former: &[],
        default: || json!("UTC"),
    },
    Setting {
        key: AUTOMATIC_ORDER_DISTRIBUTION,
        setting_type: SettingType::Bool,
        description: "Whether rules about orders choose who is to do what. Off, their tasks wait for somebody to take \
                      them.",
        former: &["order_distribution", "orders.distribute"],
        default: || json!(true),
    },
    Setting {
        key: PORTALS,
        setting_type: SettingType::Names,
        description: "The portals on which properties can be advertised.",
        former: &[],
        default: || {
            json!(["avito", "casa", "cian", "domclick", "idealista", "immo", "immobiliare", "rightmove", "zillow"])
        },
    },
    Setting {
        key: MEDIA,
        setting_type: SettingType::Names,
        description: "The ways in which customers and colleagues reach each other: the media of conversations and \
                      offers, and the channels of tickets.",
        former: &[],
        default: || {
            json!([
                "api",
                "chat",
                "email",
                "facebook",
                "form",
                "import",
                "in_person",
                "instagram",
                "letter",
                "live_chat",
                "phone",
                "portal",
                "sms",
                "telegram",
                "viber",
                "vk",
                "whatsapp"
            ])
        },
    },
    Setting {
        key: AWAY_AFTER,
        setting_type: SettingType::Number,
        description: "After how many minutes without a touch a colleague who has the inbox open is away.",
        former: &[],
        default: || json!(10),
    },
    Setting {
        key: UPLOAD_LARGEST,
        setting_type: SettingType::Number,
        description: "How large a file may be that somebody sends, in mebibytes; the server takes none that is larger than \
                      its own limit.",
        former: &[],
        default: || json!(25),
    },
    Setting {
        key: UPLOAD_TYPES,
        setting_type: SettingType::Names,
        description: "The media types that files may have, as their own bytes tell: image/png, image/*, \
                      application/vnd.openxmlformats*; an empty list for all.",
        former: &[],
        default: || json!([]),
    },
    Setting {
        key: UPLOAD_RETENTION,
        setting_type: SettingType::Number,
        description: "For how many days a file is kept that no record refers to, or no longer.",
        former: &[],
        default: || json!(30),
    },
];

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).field("setting_type", &self.setting_type).finish()
    }
}

impl Setting {
    /// Its value as long as nobody has set it.
    pub fn default(&self) -> Value {
        (self.default)()
    }

    /// Whether it takes this value.
    pub fn takes(&self, value: &Value) -> bool {
        let text = |sound: fn(&str) -> bool| value.as_str().is_some_and(sound);
        match self.setting_type {
            SettingType::Bool => value.is_boolean(),
            SettingType::Country => text(|text| valid::country(Some(text)).is_ok()),
            SettingType::Language => text(valid::is_locale),
            SettingType::TimeZone => text(valid::is_time_zone),
            SettingType::Names => value.as_array().is_some_and(|names| {
                let sound = |name: &Value| {
                    name.as_str().is_some_and(|name| name.trim() == name && (1..=64).contains(&name.chars().count()))
                };
                names.len() <= MAX_NAMES && names.iter().all(sound)
            }),
            SettingType::Number => value.as_u64().is_some_and(|number| (1..=10_000).contains(&number)),
        }
    }

    /// What a value of it looks like, for error messages.
    pub fn wanted(&self) -> &'static str {
        match self.setting_type {
            SettingType::Bool => "true or false",
            SettingType::Country => "a country of two capital letters (ISO 3166-1), such as \"IT\"",
            SettingType::Language => "a language tag (BCP 47), such as \"de\" or \"pt-BR\"",
            SettingType::TimeZone => "a time zone from the IANA database, such as \"Europe/Rome\"",
            SettingType::Names => "a list of at most 200 names of 1 to 64 characters",
            SettingType::Number => "a whole number, 1 to 10,000",
        }
    }
}

/// Most names in a setting that takes names.
const MAX_NAMES: usize = 200;

/// The setting that this name means, or once meant.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key || setting.former.contains(&key))
}

/// The name under which a setting is kept: its present one. Words that mean no setting stay what they are.
pub fn canonical(key: &str) -> &str {
    setting(key).map_or(key, |setting| setting.key)
}

/// Reads a change of a setting; null is the default.
pub(crate) fn check_setting(key: &str, value: &Value) -> Result<&'static Setting, Rejection> {
    let setting = setting(key).ok_or_else(|| {
        let keys = SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ");
        SETTING_UNKNOWN.because(format!("There is no setting {key}; there are {keys}.")).at("/key")
    })?;
    if value.is_null() || setting.takes(value) {
        return Ok(setting);
    }
    Err(SETTING_INVALID.because(format!("{} is {}.", setting.key, setting.wanted())).at("/value"))
}

/// Refuses a name that is not in a setting that takes names.
pub(crate) fn check_name(known: &[String], name: &str, refusal: Rejection, pointer: &str) -> Result<(), Rejection> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(refusal.because(format!("{name} is not one of {}.", known.join(", "))).at(pointer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_takes_its_own_default_and_names_are_unique() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(setting.default().is_null() || setting.takes(&setting.default()), "{setting:?}");
            assert!(!setting.takes(&json!({ "a": 1 })) && !setting.takes(&json!("\u{7}")), "{setting:?}");
            for name in setting.former.iter().chain([&setting.key]) {
                assert!(names.insert(*name), "{name} means two settings");
            }
        }
    }

    #[test]
    fn every_kind_of_a_feature_exists_and_is_part_of_one_feature() {
        let mut kinds = BTreeSet::new();
        for kind in FEATURES.iter().flat_map(|feature| feature.kinds) {
            assert!(crate::catalogue::has(kind), "{kind}");
            assert!(kinds.insert(*kind), "{kind} is part of two features");
        }
    }
}
