//! A form on a web site: what it asks, and what becomes of the answers.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Claim, Ctx, Decision, Faults, Id, Need, Personal, Rejection, Time, all,
    desk::product::Product,
    kernel::{
        custom::{self, FieldType},
        email,
        named::Either,
        phone,
        record::{self, Record, Row},
        text,
        valid::{self, EMAIL_INVALID, PHONE_INVALID, URL_INVALID},
    },
    must,
    org::{authority::DENIED, field, tenant::Tenant},
};

/// A form.
pub type Form = Record<Spec>;

/// What makes a record a form.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name, which stands above it.
    pub name: String,
    /// The last part of its address: small letters, digits and hyphens; no other form of the tenant has it.
    #[schemars(extend("format" = "word"))]
    pub slug: String,
    /// The team that its tickets are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "team"))]
    pub team: Option<Id>,
    /// What is said before the fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is said once it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanks: Option<String>,
    /// What the button says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub button: Option<String>,
    /// The language of its page, BCP 47; that of whoever looks by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub language: Option<String>,
    /// The web site that it belongs to: the page leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
}

/// What is typed into a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// A line of text.
    Text,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A web address.
    Url,
    /// A number.
    Number,
    /// A day.
    Date,
    /// One of its options.
    Select,
    /// Ticked or not.
    Checkbox,
    /// Several lines of text.
    Textarea,
    /// A file: it goes with the ticket, in a message of the sender's.
    File,
}

/// Where the name of a field stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelPosition {
    /// Above it.
    #[default]
    Above,
    /// To its left, where there is room.
    Left,
    /// Nowhere: it is read out only.
    Hidden,
}

/// On what somebody fills a form in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A phone.
    Phone,
    /// Anything else.
    Desktop,
}

/// One of the options of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What it stands for.
    pub value: String,
    /// What it is called; its value by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What another field must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The key of the other field, which comes before.
    #[schemars(extend("format" = "word"))]
    pub field: String,
    /// One of these; anything at all when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// When a field is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Visible {
    /// What other fields must hold, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Condition>,
    /// On which device alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its key within the form: small letters, digits and underscores, a letter first.
    #[schemars(extend("format" = "word"))]
    pub key: String,
    /// What it fills in: `contact.name`, `contact.email`, `contact.phone`, `ticket.title`, `ticket.description`,
    /// `ticket.priority`, `ticket.category`, `ticket.product` or `ticket.custom.<key>`. What fills in nothing is told in the
    /// ticket's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub maps_to: Option<String>,
    /// What is typed into it.
    pub input_type: InputType,
    /// Its name.
    pub label: String,
    /// Where that stands.
    #[serde(default)]
    pub label_position: LabelPosition,
    /// What is good to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What it shows as long as it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// What it holds at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it must be filled in, where it is shown.
    #[serde(default)]
    pub required: bool,
    /// The options of a select; those of `ticket.product` are the ids of products.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub options: Vec<Choice>,
    /// When it is shown; always by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_if: Option<Visible>,
    /// How it appears: kept for whoever shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub animation: Option<String>,
}

/// What may be asked of a form, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a field.
    AddField {
        /// The field.
        field: Field,
        /// The field before which it stands; after all others by default.
        #[serde(default)]
        #[schemars(extend("format" = "word"))]
        before: Option<String>,
    },
    /// Changes a field: the one with this key is as it is said here from now on.
    ChangeField {
        /// The field.
        field: Field,
    },
    /// Removes a field.
    RemoveField {
        /// Its key.
        #[schemars(extend("format" = "word"))]
        key: String,
    },
    /// Moves a field.
    MoveField {
        /// Its key.
        #[schemars(extend("format" = "word"))]
        key: String,
        /// The field before which it then stands; after all others when null.
        #[serde(default)]
        #[schemars(extend("format" = "word"))]
        before: Option<String>,
    },
    /// Lets a web site show the form and send what is filled in there.
    BindSite {
        /// The site, as browsers call it: `https://www.example.com`.
        #[schemars(extend("format" = "word"))]
        origin: String,
    },
    /// Lets it no longer.
    UnbindSite {
        /// The site.
        #[schemars(extend("format" = "word"))]
        origin: String,
    },
    /// Publishes it as it stands: its page shows this version from now on. Tickets and contacts come of it with the rights of
    /// whoever publishes.
    Publish,
    /// Takes its page away.
    Unpublish,
}

/// What has happened to a form, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It has a further field.
    FieldAdded {
        /// The field.
        field: Field,
        /// Its place, from 0.
        place: u32,
    },
    /// A field is otherwise.
    FieldChanged {
        /// Before.
        from: Field,
        /// After.
        to: Field,
    },
    /// It has a field less.
    FieldRemoved {
        /// The field.
        field: Field,
        /// Its place, from 0.
        place: u32,
    },
    /// A field stands elsewhere.
    FieldMoved {
        /// Its key.
        key: String,
        /// Its place before, from 0.
        from: u32,
        /// Its place after.
        to: u32,
    },
    /// A web site may show it.
    SiteBound {
        /// The site.
        origin: String,
    },
    /// A web site may show it no longer.
    SiteUnbound {
        /// The site.
        origin: String,
    },
    /// A version was published.
    Published {
        /// 1, 2, 3, ...
        version: u32,
        /// What it asks.
        page: Page,
    },
    /// Its page is gone.
    Unpublished,
}

/// A form as it was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// What stands above it, before and after.
    #[serde(flatten)]
    pub about: Fields,
    /// Its fields, in their order.
    pub fields: Vec<Field>,
}

/// What its list shows of a form besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Its fields, in their order, as they would be published.
    pub form_fields: Vec<Field>,
    /// The web sites that may show it.
    pub sites: BTreeSet<String>,
    /// Whether its page is there.
    pub published: bool,
    /// The number of the latest version; 0 before there is one.
    pub form_version: u32,
    /// When that was published.
    pub published_at: Option<Time>,
}

/// What its own commands remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its fields as they would be published.
    pub draft: Vec<Field>,
    /// The web sites that may show it.
    pub sites: BTreeSet<String>,
    /// Every version there ever was.
    pub versions: BTreeMap<u32, Page>,
    /// The version that its page shows.
    pub current: Option<u32>,
}

/// The scope in which forms claim the last part of their address.
pub const SLUG_SCOPE: &str = "form.slug";

const SLUG_INVALID: Rejection = Rejection::invalid(
    "form_slug_invalid",
    "A slug has 1 to 64 small letters, digits and hyphens, a letter or digit at both ends.",
);
const SLUG_TAKEN: Rejection = Rejection::conflict("form_slug_taken", "Another form has this slug.");
const KEY_INVALID: Rejection =
    Rejection::invalid("form_key_invalid", "A key has 1 to 64 small letters, digits and underscores, a letter first.");
const FIELD_EXISTS: Rejection = Rejection::conflict("form_field_exists", "The form has a field with this key already.");
const FIELD_UNKNOWN: Rejection = Rejection::invalid("form_field_unknown", "The form has no such field.");
const LABEL_INVALID: Rejection = Rejection::invalid("form_label_invalid", "A label has 1 to 500 characters.");
const OPTIONS_INVALID: Rejection = Rejection::invalid(
    "form_options_invalid",
    "A select has 1 to 200 options, each with a value of its own; nothing else has any.",
);
const DEFAULT_INVALID: Rejection =
    Rejection::invalid("form_default_invalid", "The field itself would not take this default.");
const MAPPING_INVALID: Rejection = Rejection::invalid(
    "form_mapping_invalid",
    "A field of this type cannot fill that in, or another one does already.",
);
const CONDITION_INVALID: Rejection =
    Rejection::invalid("form_condition_invalid", "This is no field that comes before, or it never holds this.");
const SITE_INVALID: Rejection = Rejection::invalid(
    "form_site_invalid",
    "A site is what browsers call its origin, such as https://www.example.com.",
);
/// How many files a form asks for.
const FILES: usize = 10;
const FIELDS_MISSING: Rejection = Rejection::conflict("form_fields_missing", "A form without fields asks nothing.");
const ADDRESS_MISSING: Rejection = Rejection::conflict(
    "form_address_missing",
    "Nobody could be answered: a field fills in contact.email or contact.phone.",
);
const CUSTOM_MISSING: Rejection = Rejection::conflict(
    "form_custom_missing",
    "Every ticket must have this custom field: a required field that is always shown fills it in.",
);
const TOO_MANY_FILES: Rejection = Rejection::conflict("form_too_many_files", "A form asks for at most 10 files.");
const TOO_MANY_FIELDS: Rejection = Rejection::conflict("form_too_many_fields", "A form has at most 100 fields.");

/// A field that was not filled in.
pub const VALUE_MISSING: Rejection = Rejection::invalid("form_value_missing", "This must be filled in.");
/// A value that a field does not take.
pub const VALUE_INVALID: Rejection = Rejection::invalid("form_value_invalid", "The field does not take this.");
/// A text that is too long for its field.
pub const VALUE_TOO_LONG: Rejection = Rejection::invalid("form_value_too_long", "This is too long.");
/// A value for a field that the form does not have.
pub const VALUE_UNKNOWN: Rejection = Rejection::invalid("form_value_unknown", "The form has no such field.");

/// What a field may fill in.
const MAPPINGS: &[(&str, &[InputType])] = &[
    ("contact.name", &[InputType::Text]),
    ("contact.email", &[InputType::Email]),
    ("contact.phone", &[InputType::Phone]),
    ("ticket.title", &[InputType::Text, InputType::Select]),
    ("ticket.description", &[InputType::Text, InputType::Textarea]),
    ("ticket.priority", &[InputType::Select]),
    ("ticket.category", &[InputType::Text, InputType::Select]),
    ("ticket.product", &[InputType::Select]),
];

/// Before the key of a custom field of tickets.
const CUSTOM: &str = "ticket.custom.";

impl Field {
    /// The custom field of tickets that it fills in.
    pub fn custom(&self) -> Option<&str> {
        self.maps_to.as_deref()?.strip_prefix(CUSTOM)
    }

    fn fills(&self, what: &str) -> bool {
        self.maps_to.as_deref() == Some(what)
    }

    /// The options, each with what it is called.
    pub fn choices(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|choice| (&*choice.value, choice.label.as_deref().unwrap_or(&choice.value)))
    }

    /// What a value is called for people.
    pub fn called<'a>(&'a self, value: &'a str) -> &'a str {
        self.choices().find(|(known, _)| *known == value).map_or(value, |(_, label)| label)
    }

    /// Whether it is shown to somebody on this device, given what was taken of the fields before it.
    pub fn is_visible(&self, taken: &Values, device: Device) -> bool {
        let Some(visible) = &self.visible_if else { return true };
        visible.device.is_none_or(|only| only == device)
            && visible.all.iter().all(|condition| {
                let value = taken.get(&condition.field).map(|value| value.as_str());
                value.is_some_and(|value| {
                    condition.values.is_empty() || condition.values.iter().any(|wanted| wanted == value)
                })
            })
    }

    /// The value that somebody means, none where nothing was filled in.
    fn value(&self, typed: &str, country: Option<crate::Country>) -> Result<Option<String>, Rejection> {
        let trimmed = text::trimmed(typed);
        if self.input_type == InputType::Checkbox {
            let ticked = !trimmed.is_empty() && !["false", "0", "off"].contains(&&*trimmed.to_lowercase());
            return Ok(ticked.then(|| "true".to_owned()));
        }
        if trimmed.is_empty() {
            return Ok(None);
        }
        let most = if self.input_type == InputType::Textarea { 20_000 } else { 500 };
        must(trimmed.chars().count() <= most, VALUE_TOO_LONG, "")?;
        let holds = |holds: bool, refusal: Rejection| must(holds, refusal, "");
        match self.input_type {
            InputType::Email => holds(email::is_email(trimmed), EMAIL_INVALID)?,
            InputType::Phone => {
                let number = phone::number(trimmed, country).ok_or(PHONE_INVALID)?;
                return Ok(Some(number.e164));
            }
            InputType::Url => holds(custom::is_url(trimmed), URL_INVALID)?,
            InputType::Number => holds(trimmed.parse::<rust_decimal::Decimal>().is_ok(), VALUE_INVALID)?,
            InputType::Date => holds(trimmed.parse::<jiff::civil::Date>().is_ok(), VALUE_INVALID)?,
            InputType::Select => holds(self.options.iter().any(|option| option.value == trimmed), VALUE_INVALID)?,
            InputType::Text => holds(!trimmed.contains('\n'), VALUE_INVALID)?,
            InputType::Checkbox | InputType::Textarea | InputType::File => {}
        }
        Ok(Some(trimmed.to_owned()))
    }
}

/// What was filled in, by the keys of fields.
pub type Values = BTreeMap<String, Personal<String>>;

impl Page {
    /// What is taken of what somebody filled in: hidden fields are neither asked for nor taken.
    ///
    /// # Errors
    /// Everything that is missing or wrong, each at `/values/{key}`.
    pub fn take(&self, values: &Values, device: Device, country: Option<crate::Country>) -> Result<Values, Rejection> {
        let mut faults = Faults::default();
        let mut taken = Values::new();
        for field in &self.fields {
            if !field.is_visible(&taken, device) {
                continue;
            }
            let at = || format!("/values/{}", field.key);
            let typed = values.get(&field.key).map_or("", |value| value.as_str());
            match field.value(typed, country) {
                Ok(Some(value)) => drop(taken.insert(field.key.clone(), Personal(value))),
                Ok(None) => {
                    faults.check(must(!field.required, VALUE_MISSING, at()));
                }
                Err(refusal) => faults.add(Rejection { errors: Vec::new(), ..refusal }.at(at())),
            }
        }
        for key in values.keys().filter(|key| !self.fields.iter().any(|field| field.key == **key)) {
            faults.add(VALUE_UNKNOWN.at(format!("/values/{}", key.replace('~', "~0").replace('/', "~1"))));
        }
        faults.done()?;
        Ok(taken)
    }

    /// What was taken for what a ticket or contact is to have.
    pub fn filled<'a>(&self, taken: &'a Values, what: &str) -> Option<&'a str> {
        let field = self.fields.iter().find(|field| field.fills(what))?;
        taken.get(&field.key).map(|value| value.as_str())
    }
}

fn check_key(key: &str, pointer: &str) -> Result<(), Rejection> {
    let sound = key.len() <= 64
        && key.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    must(sound, KEY_INVALID, pointer)
}

fn check_slug(slug: &str) -> Result<(), Rejection> {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = slug.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    must(bytes.len() <= 64 && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(inner), SLUG_INVALID, "/slug")
}

/// A site as browsers call it, in small letters; `None` when it is none.
pub fn origin_of(typed: &str) -> Option<String> {
    let typed = text::trimmed(typed).trim_end_matches('/').to_lowercase();
    let (scheme, host) = typed.split_once("://")?;
    let sound = ["http", "https"].contains(&scheme)
        && !host.is_empty()
        && host.len() <= 260
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    sound.then_some(typed)
}

/// What is wrong with a field by itself.
fn check_field(field: &Field, below: &str) -> Result<(), Rejection> {
    let at = |member: &str| format!("{below}/{member}");
    let select = field.input_type == InputType::Select;
    let values: BTreeSet<&str> = field.options.iter().map(|option| text::trimmed(&option.value)).collect();
    let distinct = values.len() == field.options.len() && !values.contains("");
    let options = if select { (1..=200).contains(&values.len()) && distinct } else { field.options.is_empty() };
    let default = field.default.as_deref().is_none_or(|default| match field.input_type {
        InputType::Phone => true,
        InputType::File => false,
        _ => matches!(field.value(default, None), Ok(Some(_))),
    });
    all([
        check_key(&field.key, &at("key")),
        must(!text::trimmed(&field.label).is_empty() && field.label.chars().count() <= 500, LABEL_INVALID, at("label")),
        must(options, OPTIONS_INVALID, at("options")),
        must(default, DEFAULT_INVALID, at("default")),
        must(maps(field), MAPPING_INVALID, at("maps_to")),
    ])
}

/// Whether a field of this type can fill that in.
fn maps(field: &Field) -> bool {
    let Some(what) = field.maps_to.as_deref() else { return true };
    if field.custom().is_some() {
        return field.input_type != InputType::File;
    }
    MAPPINGS.iter().any(|(known, types)| *known == what && types.contains(&field.input_type))
}

/// A typed value as a custom field of this type has it; `None` when it cannot.
pub fn as_custom(field_type: FieldType, input: InputType, value: &str) -> Option<serde_json::Value> {
    use InputType::{Checkbox, Date, Email, Number, Phone, Select, Text, Textarea, Url};
    match (field_type, input) {
        (FieldType::Text, _) | (FieldType::Select, Select | Text) => Some(value.into()),
        (FieldType::Number, Number | Select) => value.parse::<i64>().ok().map(Into::into),
        (FieldType::Decimal, Number | Select) => {
            value.parse::<rust_decimal::Decimal>().ok().map(|decimal| decimal.to_string().into())
        }
        (FieldType::Bool, Checkbox) => Some(true.into()),
        (FieldType::Date, Date) | (FieldType::Url, Url) | (FieldType::Email, Email) | (FieldType::Phone, Phone) => {
            Some(value.into())
        }
        (FieldType::MultiSelect, Select) => Some(vec![value.to_owned()].into()),
        (_, Textarea) => None,
        _ => None,
    }
}

/// Whether values of this input can become those of a custom field at all.
fn custom_fits(field_type: FieldType, field: &Field) -> bool {
    let sample = match field.input_type {
        InputType::Number => "1",
        InputType::Select => {
            return field.options.iter().all(|option| as_custom(field_type, field.input_type, &option.value).is_some());
        }
        _ => "x",
    };
    as_custom(field_type, field.input_type, sample).is_some()
}

/// Refuses to publish what could not become a ticket.
fn check_page(page: &Page, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    must(!page.fields.is_empty(), FIELDS_MISSING, "")?;
    let files = page.fields.iter().filter(|field| field.input_type == InputType::File).count();
    must(files <= FILES, TOO_MANY_FILES, "/form_fields")?;
    let mut faults = Faults::default();
    let definitions = &ctx.fact::<field::Field>(field::Field::id_for(ctx.tenant, "ticket")).definitions;
    let mut known: BTreeMap<&str, &Field> = BTreeMap::new();
    let mut filled: BTreeSet<&str> = BTreeSet::new();
    for (place, asked) in page.fields.iter().enumerate() {
        let at = |member: &str| format!("/form_fields/{place}/{member}");
        let fits = match (asked.maps_to.as_deref(), asked.custom()) {
            (_, Some(key)) => definitions
                .get(key)
                .is_some_and(|definition| !definition.retired && custom_fits(definition.field_type, asked)),
            (Some("ticket.priority"), _) => {
                asked.options.iter().all(|option| ["0", "1", "2", "3"].contains(&&*option.value))
            }
            (Some("ticket.product"), _) => asked.options.iter().all(|option| {
                option.value.parse::<Id>().is_ok_and(|product| ctx.fact::<Product>(product).fields.is_some())
            }),
            _ => true,
        };
        let alone = asked.maps_to.as_deref().is_none_or(|what| filled.insert(what));
        faults.check(must(fits && alone, MAPPING_INVALID, at("maps_to")));
        for (number, condition) in asked.visible_if.iter().flat_map(|visible| &visible.all).enumerate() {
            let other = known.get(condition.field.as_str());
            let holds = |other: &&Field| {
                other.input_type != InputType::Select
                    || condition.values.iter().all(|value| other.options.iter().any(|option| option.value == *value))
            };
            faults.check(must(
                other.is_some_and(holds),
                CONDITION_INVALID,
                format!("/form_fields/{place}/visible_if/all/{number}"),
            ));
        }
        known.insert(&asked.key, asked);
    }
    let fills = |what: &str| page.fields.iter().any(|field| field.fills(what));
    faults.check(must(fills("contact.email") || fills("contact.phone"), ADDRESS_MISSING, "/form_fields"));
    for (key, definition) in definitions.iter().filter(|(_, definition)| definition.required && !definition.retired) {
        let sure = page.fields.iter().any(|field| {
            field.custom() == Some(key) && field.visible_if.is_none() && (field.required || field.default.is_some())
        });
        if !sure {
            faults.add(
                CUSTOM_MISSING
                    .because(format!("Every ticket must have {key} ({}).", definition.label))
                    .at("/form_fields"),
            );
        }
    }
    faults.done()
}

impl Form {
    /// The version that its page shows.
    pub fn page(&self) -> Option<(u32, &Page)> {
        let version = self.state.current.filter(|_| !self.archived)?;
        self.state.versions.get(&version).map(|page| (version, page))
    }

    fn place_of(&self, key: &str, pointer: &str) -> Result<usize, Rejection> {
        let place = self.state.draft.iter().position(|field| field.key == key);
        place.ok_or_else(|| FIELD_UNKNOWN.at(pointer))
    }

    fn place_before(&self, before: Option<&str>) -> Result<usize, Rejection> {
        before.map_or(Ok(self.state.draft.len()), |key| self.place_of(key, "/before"))
    }
}

/// Takes an event in, where fields are kept.
fn take(fields: &mut Vec<Field>, event: &Event) {
    let limited = |place: u32, len: usize| (place as usize).min(len);
    match event {
        Event::FieldAdded { field, place } if fields.iter().all(|known| known.key != field.key) => {
            fields.insert(limited(*place, fields.len()), field.clone());
        }
        Event::FieldChanged { to, .. } => {
            if let Some(field) = fields.iter_mut().find(|field| field.key == to.key) {
                field.clone_from(to);
            }
        }
        Event::FieldRemoved { field, .. } => fields.retain(|known| known.key != field.key),
        Event::FieldMoved { key, to, .. } => {
            if let Some(from) = fields.iter().position(|field| field.key == *key) {
                let field = fields.remove(from);
                fields.insert(limited(*to, fields.len()), field);
            }
        }
        _ => {}
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl record::Spec for Spec {
    const KIND: &'static str = "form";
    const PLURAL: &'static str = "forms";
    const ABOUT: &'static str = "A form on a web site that becomes tickets.";
    const UNIQUE: &'static [&'static str] = &["slug"];
    const COPIES: bool = false;
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        take(&mut row.shown.form_fields, event);
        match event {
            Event::SiteBound { origin } => drop(row.shown.sites.insert(origin.clone())),
            Event::SiteUnbound { origin } => drop(row.shown.sites.remove(origin)),
            Event::Published { version, .. } => {
                row.shown.published = true;
                row.shown.form_version = *version;
                row.shown.published_at = Some(at);
            }
            Event::Unpublished => row.shown.published = false,
            _ => {}
        }
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            check_slug(&fields.slug),
            must(fields.language.as_deref().is_none_or(valid::is_locale), valid::LOCALE_INVALID, "/language"),
            valid::website(fields.website.as_deref()),
        ])
    }

    fn put_away(form: &Form) -> Vec<Event> {
        form.state.current.map(|_| Event::Unpublished).into_iter().collect()
    }

    fn claims(form: &Form, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        let slug = |form: &Form| form.fields.iter().map(|fields| fields.slug.clone()).collect();
        let mut after = form.clone();
        crate::Aggregate::evolve(&mut after, event);
        Claim::moved(SLUG_SCOPE, &slug(form), &slug(&after), &SLUG_TAKEN.at("/slug"))
    }

    fn needs(form: &Form, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        let Either::Own(Command::Publish) = command else { return Vec::new() };
        let products = form.state.draft.iter().filter(|field| field.fills("ticket.product"));
        let products = products.flat_map(|field| &field.options).filter_map(|option| option.value.parse::<Id>().ok());
        products.map(Need::of::<Product>).chain([custom::needs("ticket", ctx)]).collect()
    }

    fn decide(form: &Form, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let draft = &form.state.draft;
        Ok(match command {
            Command::AddField { field, before } => {
                check_field(&field, "/field")?;
                if let Some(known) = draft.iter().find(|known| known.key == field.key) {
                    return if *known == field { Ok(vec![]) } else { Err(FIELD_EXISTS.at("/field/key")) };
                }
                must(draft.len() < 100, TOO_MANY_FIELDS, "/field")?;
                vec![Event::FieldAdded { field, place: number(form.place_before(before.as_deref())?) }]
            }
            Command::ChangeField { field } => {
                check_field(&field, "/field")?;
                let from = draft[form.place_of(&field.key, "/field/key")?].clone();
                if from == field { vec![] } else { vec![Event::FieldChanged { from, to: field }] }
            }
            Command::RemoveField { key } => match form.place_of(&key, "/key") {
                Ok(place) => vec![Event::FieldRemoved { field: draft[place].clone(), place: number(place) }],
                Err(_) => vec![],
            },
            Command::MoveField { key, before } => {
                let from = form.place_of(&key, "/key")?;
                let before = form.place_before(before.as_deref())?;
                // What stands before it moves up as it leaves.
                let to = if before > from { before - 1 } else { before };
                if to == from { vec![] } else { vec![Event::FieldMoved { key, from: number(from), to: number(to) }] }
            }
            Command::BindSite { origin } => {
                let origin = origin_of(&origin).ok_or_else(|| SITE_INVALID.at("/origin"))?;
                if form.state.sites.contains(&origin) { vec![] } else { vec![Event::SiteBound { origin }] }
            }
            Command::UnbindSite { origin } => {
                let origin = origin_of(&origin).unwrap_or(origin);
                if form.state.sites.contains(&origin) { vec![Event::SiteUnbound { origin }] } else { vec![] }
            }
            Command::Publish => {
                let Some(about) = form.fields.clone() else { return Err(Form::unknown()) };
                let page = Page { about, fields: draft.clone() };
                if form.page().is_some_and(|(_, current)| *current == page) {
                    return Ok(vec![]);
                }
                check_page(&page, ctx)?;
                // What comes of it is what whoever publishes it might do himself.
                ctx.must("ticket.open")?;
                ctx.must("contact.create")?;
                let version = form.state.versions.keys().next_back().map_or(1, |last| last + 1);
                vec![Event::Published { version, page }]
            }
            Command::Unpublish => form.state.current.map(|_| Event::Unpublished).into_iter().collect(),
        })
    }

    fn undo(form: &Form, event: &Event) -> Option<Vec<record::Command<Self>>> {
        let before = |place: usize| form.state.draft.get(place).map(|field| field.key.clone());
        Some(vec![Either::Own(match event {
            Event::FieldAdded { field, .. } => Command::RemoveField { key: field.key.clone() },
            Event::FieldChanged { from, .. } => Command::ChangeField { field: from.clone() },
            Event::FieldRemoved { field, place } => {
                Command::AddField { field: field.clone(), before: before(*place as usize + 1) }
            }
            Event::FieldMoved { key, from, .. } => {
                Command::MoveField { key: key.clone(), before: before(*from as usize + 1) }
            }
            Event::SiteBound { origin } => Command::UnbindSite { origin: origin.clone() },
            Event::SiteUnbound { origin } => Command::BindSite { origin: origin.clone() },
            Event::Published { .. } | Event::Unpublished => return None,
        })])
    }

    fn evolve(form: &mut Form, event: &Event) {
        take(&mut form.state.draft, event);
        match event {
            Event::SiteBound { origin } => drop(form.state.sites.insert(origin.clone())),
            Event::SiteUnbound { origin } => drop(form.state.sites.remove(origin)),
            Event::Published { version, page } => {
                form.state.versions.insert(*version, page.clone());
                form.state.current = Some(*version);
            }
            Event::Unpublished => form.state.current = None,
            _ => {}
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend([
            SLUG_INVALID,
            SLUG_TAKEN,
            KEY_INVALID,
            FIELD_EXISTS,
            FIELD_UNKNOWN,
            LABEL_INVALID,
            OPTIONS_INVALID,
            DEFAULT_INVALID,
            MAPPING_INVALID,
            CONDITION_INVALID,
            SITE_INVALID,
            FIELDS_MISSING,
            ADDRESS_MISSING,
            CUSTOM_MISSING,
            TOO_MANY_FILES,
            TOO_MANY_FIELDS,
            DENIED,
        ]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let fields = Fields {
            name: "Contact us".into(),
            slug: "contact".into(),
            team: None,
            text: Some("We answer within a day.".into()),
            thanks: Some("Thank you.".into()),
            button: Some("Send".into()),
            language: Some("en".into()),
            website: Some("https://www.example.com".into()),
        };
        let origin = || "https://www.example.com".to_owned();
        let commands = vec![
            Command::AddField { field: example(), before: None },
            Command::ChangeField { field: Field { help: Some("We answer there.".into()), ..example() } },
            Command::MoveField { key: "email".into(), before: None },
            Command::BindSite { origin: origin() },
            Command::Publish,
            Command::Unpublish,
            Command::UnbindSite { origin: origin() },
            Command::RemoveField { key: "email".into() },
        ];
        (fields, commands)
    }
}

/// A field that asks for an e-mail address.
pub fn example() -> Field {
    Field {
        key: "email".into(),
        maps_to: Some("contact.email".into()),
        input_type: InputType::Email,
        label: "E-mail".into(),
        label_position: LabelPosition::Above,
        help: None,
        placeholder: Some("you@example.com".into()),
        default: None,
        required: true,
        options: Vec::new(),
        visible_if: None,
        animation: None,
    }
}

/// What must be known to take in what somebody filled in: in which country.
pub fn country_need(ctx: &Ctx<'_>) -> Need {
    Need::of::<Tenant>(ctx.tenant)
}

#[cfg(test)]
mod tests;
