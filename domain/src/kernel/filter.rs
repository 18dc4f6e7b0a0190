//! One filter grammar for the whole product: lists, saved views, rule conditions and reports.
//!
//! ```json
//! {"all": [{"field": "status", "op": "ne", "value": "closed"},
//!          {"any": [{"field": "priority", "op": "gte", "value": 2}, {"field": "tags", "op": "contains", "value": "vip"}]},
//!          {"not": {"field": "custom.size", "op": "in", "value": ["s", "m"]}}]}
//! ```
//!
//! Every condition is true or false: on a field without a value `ne`, `not_in` and `is_null` are true, all others
//! false, and `not` turns the one into the other. A set without elements has no value. `{}` matches everything.
//!
//! Text that people type is compared as people read it: see [`crate::kernel::text`].

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use jiff::{Unit, civil::Date};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Country, FieldError, Id, Personal, Time,
    kernel::{
        custom::FieldType,
        email, phone,
        text::{composed, loose, searched, typed},
    },
};

/// How deep `all`, `any` and `not` may be nested.
pub const MAX_DEPTH: usize = 16;
/// Most conditions in one filter.
pub const MAX_CONDITIONS: usize = 200;
/// Most values in all the `in` and `not_in` of one filter together.
pub const MAX_VALUES: usize = 2000;

/// What sort of values a field has, and hence which ops it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Text that people type: names, cities, titles. Compared without regard to case and the blanks around it, accents
    /// kept; `contains` and `starts_with` ignore accents too, and `exact` compares to the letter.
    Text,
    /// A word or code that a program chose: statuses, kinds, currencies. Compared to the letter.
    Word,
    /// An e-mail address: as text, and the same in every spelling of its domain.
    Email,
    /// A phone number: compared and searched by its digits in any spelling.
    Phone,
    /// A whole number.
    Integer,
    /// An exact decimal, as a number or as text.
    Decimal,
    /// True or false.
    Bool,
    /// An instant, RFC 3339, to the microsecond.
    Time,
    /// A calendar day.
    Date,
    /// The id of a record.
    Id,
    /// A set of words or ids: `eq` and `contains` ask for an element, `in` for any of several.
    Set,
    /// A set of texts that people type, such as tags: as a set, its elements compared as text.
    Tags,
}

impl FieldKind {
    /// The ops it takes.
    pub const fn ops(self) -> &'static [Op] {
        use Op::*;
        match self {
            FieldKind::Text | FieldKind::Word | FieldKind::Email => {
                &[Eq, Ne, In, NotIn, Exact, Lt, Lte, Gt, Gte, Between, Contains, StartsWith, IsNull]
            }
            FieldKind::Phone => &[Eq, Ne, In, NotIn, Exact, Contains, StartsWith, IsNull],
            FieldKind::Integer | FieldKind::Decimal | FieldKind::Time | FieldKind::Date => {
                &[Eq, Ne, In, NotIn, Lt, Lte, Gt, Gte, Between, IsNull]
            }
            FieldKind::Bool | FieldKind::Id => &[Eq, Ne, In, NotIn, IsNull],
            FieldKind::Set | FieldKind::Tags => &[Eq, Ne, In, NotIn, Exact, Contains, IsNull],
        }
    }

    /// What a value of it looks like, for error messages.
    pub const fn wanted(self) -> &'static str {
        match self {
            FieldKind::Text | FieldKind::Word | FieldKind::Set | FieldKind::Tags => "text",
            FieldKind::Email => "an e-mail address or a part of one",
            FieldKind::Phone => "a phone number or a part of one",
            FieldKind::Integer => "a whole number",
            FieldKind::Decimal => "a decimal such as \"12.50\"",
            FieldKind::Bool => "true or false",
            FieldKind::Time => "an RFC 3339 instant such as \"2026-11-21T10:00:00Z\"",
            FieldKind::Date => "a date such as \"2026-11-21\"",
            FieldKind::Id => "an id (a ULID)",
        }
    }

    /// Reads a value of it; `None` when the JSON is no such value. Texts with a NUL are none: no database holds them.
    pub fn read(self, value: &Value) -> Option<Scalar> {
        let text = || value.as_str().filter(|text| !text.contains('\0'));
        Some(match self {
            kind if kind.is_text() || kind.is_set() => Scalar::Text(text()?.to_owned()),
            FieldKind::Integer => Scalar::Integer(value.as_i64()?),
            FieldKind::Decimal => Scalar::Decimal(match value {
                Value::Number(number) => Decimal::from_str(&number.to_string()).ok()?,
                _ => plain_decimal(text()?)?,
            }),
            FieldKind::Bool => Scalar::Bool(value.as_bool()?),
            FieldKind::Time => Scalar::Time(plain_time(text()?)?),
            FieldKind::Date => Scalar::Date(plain_date(text()?)?),
            FieldKind::Id => Scalar::Text(Id::from_str(text()?).ok()?.to_string()),
            _ => return None,
        })
    }

    /// Whether its values are texts, one each.
    pub const fn is_text(self) -> bool {
        matches!(self, FieldKind::Text | FieldKind::Word | FieldKind::Email | FieldKind::Phone)
    }

    /// Whether its values are several texts.
    pub const fn is_set(self) -> bool {
        matches!(self, FieldKind::Set | FieldKind::Tags)
    }

    /// The form in which a value that a record has is compared.
    fn compared(self, value: Scalar) -> Scalar {
        match (self, value) {
            (FieldKind::Text | FieldKind::Email | FieldKind::Tags, Scalar::Text(text)) => Scalar::Text(typed(&text)),
            (FieldKind::Phone, Scalar::Text(text)) => Scalar::Text(phone::digits(&text)),
            (_, value) => value,
        }
    }

    /// The forms in which a value is looked for: more than one where a record may have it in more than one.
    fn wanted_forms(self, value: Scalar, country: Option<Country>) -> Vec<Scalar> {
        match (self, value) {
            (FieldKind::Email, Scalar::Text(text)) => email::forms(&text).into_iter().map(Scalar::Text).collect(),
            (FieldKind::Phone, Scalar::Text(text)) => {
                phone::spellings(&text, country).into_iter().map(Scalar::Text).collect()
            }
            (kind, value) => vec![kind.compared(value)],
        }
    }

    /// The form in which a text is searched, or looked for.
    fn searched(self, text: &str) -> String {
        match self {
            FieldKind::Word => text.to_lowercase(),
            FieldKind::Phone => phone::digits(text),
            _ => searched(text),
        }
    }
}

impl From<FieldType> for FieldKind {
    fn from(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Text | FieldType::Url => Self::Text,
            FieldType::Select => Self::Word,
            FieldType::Email => Self::Email,
            FieldType::Phone => Self::Phone,
            FieldType::Number => Self::Integer,
            // Of money the amount; a filter asks about its parts.
            FieldType::Decimal | FieldType::Money => Self::Decimal,
            FieldType::Reference => Self::Id,
            FieldType::Date => Self::Date,
            FieldType::Datetime => Self::Time,
            FieldType::Bool => Self::Bool,
            FieldType::MultiSelect => Self::Set,
        }
    }
}

/// Digits with at most one point: what PostgreSQL and `rust_decimal` read alike.
fn plain_decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { Decimal::from_str(text).ok() } else { None }
}

fn plain_time(text: &str) -> Option<Time> {
    let time = Time::from_str(text).ok()?.round(Unit::Microsecond).ok()?;
    (time >= FIRST_TIME).then_some(time)
}

fn plain_date(text: &str) -> Option<Date> {
    // Only `YYYY-MM-DD`: the parser knows more ways to write a date.
    let date = if text.len() == 10 { Date::from_str(text).ok()? } else { return None };
    (date.year() >= 1).then_some(date)
}

/// The first day of the year 1: before it databases count differently.
const FIRST_TIME: Time = Time::constant(-62_135_596_800, 0);

/// What is asked of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal, or without a value.
    Ne,
    /// One of several.
    In,
    /// None of several, or without a value.
    NotIn,
    /// Equal to the letter: case, blanks and spelling count. A set has exactly this element.
    Exact,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// From the first to the second of two values, both included.
    Between,
    /// Has this text somewhere in it, case and accents ignored; a set has this element.
    Contains,
    /// Begins with this text, case and accents ignored.
    StartsWith,
    /// Has no value (`true`), or has one (`false`).
    IsNull,
}

impl Op {
    /// Every op.
    pub const ALL: &'static [Op] = FieldKind::Text.ops();

    /// Its name in the grammar.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Eq => "eq",
            Op::Ne => "ne",
            Op::In => "in",
            Op::NotIn => "not_in",
            Op::Exact => "exact",
            Op::Lt => "lt",
            Op::Lte => "lte",
            Op::Gt => "gt",
            Op::Gte => "gte",
            Op::Between => "between",
            Op::Contains => "contains",
            Op::StartsWith => "starts_with",
            Op::IsNull => "is_null",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The fields that a filter may name.
pub trait Fields {
    /// The kind of a field; `None` when there is no such field.
    fn kind(&self, field: &str) -> Option<FieldKind>;

    /// Their names, for error messages.
    fn names(&self) -> Vec<String>;

    /// What a field is called here, where it may be called otherwise.
    fn called(&self, field: &str) -> Option<String> {
        let _ = field;
        None
    }

    /// The country whose phone numbers are written without its code.
    fn country(&self) -> Option<Country> {
        None
    }

    /// Whom [`ME`] means, where somebody asks.
    fn me(&self) -> Option<Id> {
        None
    }
}

/// In place of an id: whoever asks.
pub const ME: &str = "@me";

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text, or an id in its canonical form.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// An exact decimal.
    Decimal(Decimal),
    /// True or false.
    Bool(bool),
    /// An instant.
    Time(Time),
    /// A calendar day.
    Date(Date),
}

impl PartialOrd for Scalar {
    /// Values of one kind are ordered, values of different kinds are not.
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        use Scalar::*;
        match (self, other) {
            (Text(a), Text(b)) => a.partial_cmp(b),
            (Integer(a), Integer(b)) => a.partial_cmp(b),
            (Decimal(a), Decimal(b)) => a.partial_cmp(b),
            (Bool(a), Bool(b)) => a.partial_cmp(b),
            (Time(a), Time(b)) => a.partial_cmp(b),
            (Date(a), Date(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

/// A filter whose fields, ops and values are known to fit.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one of them; matches everything when there are none.
    All(Vec<Filter>),
    /// At least one of them; matches nothing when there are none.
    Any(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
    /// A condition on one field.
    Condition(Condition),
}

/// A condition on one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The field; `custom.<key>` is a custom one.
    pub field: String,
    /// Its kind.
    pub kind: FieldKind,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of a field, with the values it is held against in the form in which they are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `eq`, and `contains` of a set.
    Eq(Scalar),
    /// `ne`.
    Ne(Scalar),
    /// `in`.
    In(Vec<Scalar>),
    /// `not_in`.
    NotIn(Vec<Scalar>),
    /// `exact`.
    Exact(Scalar),
    /// `lt`.
    Lt(Scalar),
    /// `lte`.
    Lte(Scalar),
    /// `gt`.
    Gt(Scalar),
    /// `gte`.
    Gte(Scalar),
    /// `between`, both ends included.
    Between(Scalar, Scalar),
    /// `contains` of a text, in the form in which it is searched.
    Contains(String),
    /// `starts_with`, likewise.
    StartsWith(String),
    /// `is_null`.
    IsNull(bool),
}

/// Where the fields of one record are looked up.
pub trait Lookup {
    /// The value of a field; `None` or null when it has none.
    fn value(&self, field: &str) -> Option<&Value>;

    /// The id of the record that goes on for the one with this id, where that was merged into another.
    fn survivor(&self, id: &str) -> Option<&str> {
        let _ = id;
        None
    }
}

/// A record as its API shows it: `total.amount` is the member `amount` of `total`, and custom fields are under `custom`.
impl Lookup for Map<String, Value> {
    fn value(&self, field: &str) -> Option<&Value> {
        let mut names = field.split('.');
        let first = names.next().and_then(|name| self.get(name))?;
        names.try_fold(first, |value, name| value.get(name))
    }
}

impl Lookup for Value {
    fn value(&self, field: &str) -> Option<&Value> {
        Lookup::value(self.as_object()?, field)
    }
}

impl Filter {
    /// The filter that matches everything.
    pub const EVERYTHING: Filter = Filter::All(Vec::new());

    /// Reads a filter. Errors name the place in it by JSON pointer and say what would be allowed; their codes are
    /// `filter_malformed`, `filter_field_unknown`, `filter_op_unknown` and `filter_value_invalid`.
    pub fn parse(filter: &Value, fields: &impl Fields) -> Result<Filter, Vec<FieldError>> {
        let mut parser = Parser { fields, errors: Vec::new(), conditions: 0, values: 0 };
        let parsed = parser.filter(filter, &Place::Root, 1);
        match parsed {
            Some(parsed) if parser.errors.is_empty() => Ok(parsed),
            _ => Err(parser.errors),
        }
    }

    /// Whether a record matches.
    pub fn matches(&self, record: &impl Lookup) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|filter| filter.matches(record)),
            Filter::Any(filters) => filters.iter().any(|filter| filter.matches(record)),
            Filter::Not(filter) => !filter.matches(record),
            Filter::Condition(condition) => {
                let (condition, value) = condition.followed(record);
                condition.matches(value.as_deref())
            }
        }
    }

    /// Whether a record matches, and why: every condition with the value it found and what it says about it.
    pub fn explain(&self, record: &impl Lookup) -> (bool, Vec<Check>) {
        let mut checks = Vec::new();
        (self.check(record, "", &mut checks), checks)
    }

    fn check(&self, record: &impl Lookup, place: &str, checks: &mut Vec<Check>) -> bool {
        let mut each = |filters: &[Filter], name: &str| -> Vec<bool> {
            let check =
                |(index, filter): (usize, &Filter)| filter.check(record, &format!("{place}/{name}/{index}"), checks);
            filters.iter().enumerate().map(check).collect()
        };
        match self {
            Filter::All(filters) => each(filters, "all").into_iter().all(|holds| holds),
            Filter::Any(filters) => each(filters, "any").into_iter().any(|holds| holds),
            Filter::Not(filter) => !filter.check(record, &format!("{place}/not"), checks),
            Filter::Condition(condition) => {
                let (condition, actual) = condition.followed(record);
                let holds = condition.matches(actual.as_deref());
                let (op, value) = condition.test.parts(condition.kind);
                let actual = Personal(shortened(actual.as_deref()));
                let (place, field) = (place.to_owned(), condition.field.clone());
                checks.push(Check { place, field, op, value, actual, holds });
                holds
            }
        }
    }

    /// Whether it asks for records by a value of a field, this one if any: what matches is known to have it.
    pub fn asks_for(&self, field: &str, value: Option<&str>) -> bool {
        let is = |scalar: &Scalar| value.is_none_or(|value| *scalar == Scalar::Text(value.to_owned()));
        match self {
            Filter::All(filters) | Filter::Any(filters) => filters.iter().any(|filter| filter.asks_for(field, value)),
            Filter::Not(_) => false,
            Filter::Condition(condition) if condition.field != field => false,
            Filter::Condition(condition) => match &condition.test {
                Test::Eq(one) => is(one),
                Test::In(several) => several.iter().any(is),
                _ => false,
            },
        }
    }

    /// Shows every condition.
    pub fn conditions<'a>(&'a self, show: &mut impl FnMut(&'a Condition)) {
        match self {
            Filter::All(filters) | Filter::Any(filters) => filters.iter().for_each(|filter| filter.conditions(show)),
            Filter::Not(filter) => filter.conditions(show),
            Filter::Condition(condition) => show(condition),
        }
    }

    /// Whether it asks anything about a field.
    pub fn mentions(&self, field: &str) -> bool {
        match self {
            Filter::All(filters) | Filter::Any(filters) => filters.iter().any(|filter| filter.mentions(field)),
            Filter::Not(filter) => filter.mentions(field),
            Filter::Condition(condition) => condition.field == field,
        }
    }
}

/// One condition of a filter, held against a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Where in the filter it stands (JSON pointer).
    pub place: String,
    /// The field.
    pub field: String,
    /// What is asked of it.
    pub op: Op,
    /// What it is held against.
    pub value: Value,
    /// What was found; long texts are cut.
    pub actual: Personal<Value>,
    /// Whether the condition holds.
    pub holds: bool,
}

/// Longest text that a check repeats, in characters.
const MAX_ACTUAL: usize = 200;

fn shortened(value: Option<&Value>) -> Value {
    match value {
        Some(Value::String(text)) => text.chars().take(MAX_ACTUAL).collect::<String>().into(),
        Some(Value::Array(values)) => values.iter().take(50).map(|value| shortened(Some(value))).collect(),
        Some(Value::Object(_)) | None => Value::Null,
        Some(value) => value.clone(),
    }
}

impl From<&Scalar> for Value {
    fn from(scalar: &Scalar) -> Value {
        match scalar {
            Scalar::Text(text) => text.clone().into(),
            Scalar::Integer(number) => (*number).into(),
            Scalar::Decimal(number) => number.to_string().into(),
            Scalar::Bool(value) => (*value).into(),
            Scalar::Time(time) => time.to_string().into(),
            Scalar::Date(date) => date.to_string().into(),
        }
    }
}

impl Test {
    /// The op and the value that say this.
    fn parts(&self, kind: FieldKind) -> (Op, Value) {
        let list = |values: &[Scalar]| values.iter().map(Value::from).collect();
        match self {
            Test::Eq(value) if kind.is_set() => (Op::Contains, value.into()),
            Test::Eq(value) => (Op::Eq, value.into()),
            Test::Ne(value) => (Op::Ne, value.into()),
            Test::In(values) => (Op::In, list(values)),
            Test::NotIn(values) => (Op::NotIn, list(values)),
            Test::Exact(value) => (Op::Exact, value.into()),
            Test::Lt(value) => (Op::Lt, value.into()),
            Test::Lte(value) => (Op::Lte, value.into()),
            Test::Gt(value) => (Op::Gt, value.into()),
            Test::Gte(value) => (Op::Gte, value.into()),
            Test::Between(from, to) => (Op::Between, [from, to].into_iter().map(Value::from).collect()),
            Test::Contains(text) => (Op::Contains, text.clone().into()),
            Test::StartsWith(text) => (Op::StartsWith, text.clone().into()),
            Test::IsNull(wanted) => (Op::IsNull, (*wanted).into()),
        }
    }
}

impl Test {
    /// The values that are asked for one by one: where they are ids, a merged record may be among them.
    pub fn named(&self) -> &[Scalar] {
        match self {
            Test::Eq(value) | Test::Ne(value) | Test::Exact(value) => std::slice::from_ref(value),
            Test::In(values) | Test::NotIn(values) => values,
            _ => &[],
        }
    }

    fn named_mut(&mut self) -> &mut [Scalar] {
        match self {
            Test::Eq(value) | Test::Ne(value) | Test::Exact(value) => std::slice::from_mut(value),
            Test::In(values) | Test::NotIn(values) => values,
            _ => &mut [],
        }
    }
}

impl Condition {
    /// Whether it asks about ids.
    pub fn is_of_ids(&self) -> bool {
        matches!(self.kind, FieldKind::Id | FieldKind::Set)
    }

    /// The condition and the value that it is held against, merged records on both sides taken for those that go on.
    fn followed<'a>(&'a self, record: &'a impl Lookup) -> (Cow<'a, Condition>, Option<Cow<'a, Value>>) {
        let (mut condition, mut value) = (Cow::Borrowed(self), record.value(&self.field).map(Cow::Borrowed));
        if !self.is_of_ids() {
            return (condition, value);
        }
        let next = |scalar: &Scalar| match scalar {
            Scalar::Text(id) => record.survivor(id),
            _ => None,
        };
        if self.test.named().iter().any(|scalar| next(scalar).is_some()) {
            for scalar in condition.to_mut().test.named_mut() {
                if let Some(id) = next(scalar) {
                    *scalar = Scalar::Text(id.to_owned());
                }
            }
        }
        let next = |value: &Value| record.survivor(value.as_str()?);
        let merged = |value: &Value| match value {
            Value::Array(ids) => ids.iter().any(|id| next(id).is_some()),
            id => next(id).is_some(),
        };
        if let Some(value) = value.as_mut().filter(|value| merged(value)) {
            let ids = match value.to_mut() {
                Value::Array(ids) => ids.as_mut_slice(),
                id => std::slice::from_mut(id),
            };
            for id in ids {
                if let Some(next) = next(id).map(ToOwned::to_owned) {
                    *id = next.into();
                }
            }
        }
        (condition, value)
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        if self.kind.is_set() {
            let elements = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let read = || elements.iter().filter_map(|value| self.kind.read(value));
            let has = |wanted: &Scalar| read().any(|value| self.kind.compared(value) == *wanted);
            return match &self.test {
                Test::Eq(wanted) => has(wanted),
                Test::Ne(wanted) => !has(wanted),
                Test::In(wanted) => wanted.iter().any(has),
                Test::NotIn(wanted) => !wanted.iter().any(has),
                Test::Exact(wanted) => read().any(|value| value == *wanted),
                Test::IsNull(wanted) => elements.is_empty() == *wanted,
                _ => false,
            };
        }
        let Some(read) = value.and_then(|value| self.kind.read(value)) else {
            return matches!(self.test, Test::Ne(_) | Test::NotIn(_) | Test::IsNull(true));
        };
        if let Test::Exact(wanted) = &self.test {
            return read == *wanted;
        }
        let text = || match (self.kind, &read) {
            (FieldKind::Word, Scalar::Text(text)) => text.to_lowercase(),
            (FieldKind::Phone, Scalar::Text(text)) => phone::digits(text),
            (_, Scalar::Text(text)) => loose(text),
            _ => String::new(),
        };
        if let Test::Contains(part) = &self.test {
            return text().contains(part);
        }
        if let Test::StartsWith(part) = &self.test {
            return text().starts_with(part);
        }
        let value = self.kind.compared(read);
        match &self.test {
            Test::Eq(wanted) => value == *wanted,
            Test::Ne(wanted) => value != *wanted,
            Test::In(wanted) => wanted.contains(&value),
            Test::NotIn(wanted) => !wanted.contains(&value),
            Test::Lt(limit) => value < *limit,
            Test::Lte(limit) => value <= *limit,
            Test::Gt(limit) => value > *limit,
            Test::Gte(limit) => value >= *limit,
            Test::Between(from, to) => value >= *from && value <= *to,
            Test::IsNull(wanted) => !wanted,
            // Answered above.
            Test::Exact(_) | Test::Contains(_) | Test::StartsWith(_) => false,
        }
    }
}

/// The place in the filter that is being read; spelled out only when there is an error.
enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'static str),
    Element(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Member(above, name) => write!(f, "{above}/{name}"),
            Place::Element(above, index) => write!(f, "{above}/{index}"),
        }
    }
}

struct Parser<'a, F> {
    fields: &'a F,
    errors: Vec<FieldError>,
    conditions: usize,
    values: usize,
}

impl<F: Fields> Parser<'_, F> {
    fn refuse<T>(&mut self, place: &Place<'_>, code: &'static str, detail: impl Into<String>) -> Option<T> {
        self.errors.push(FieldError { pointer: place.to_string(), code: code.into(), detail: detail.into() });
        None
    }

    fn malformed<T>(&mut self, place: &Place<'_>, detail: impl Into<String>) -> Option<T> {
        self.refuse(place, "filter_malformed", detail)
    }

    fn filter(&mut self, filter: &Value, place: &Place<'_>, depth: usize) -> Option<Filter> {
        const SHAPES: &str =
            r#"A filter is {"all":[...]}, {"any":[...]}, {"not":{...}} or {"field":...,"op":...,"value":...}"#;
        let Some(members) = filter.as_object() else { return self.malformed(place, format!("{SHAPES}.")) };
        if depth > MAX_DEPTH {
            return self.malformed(place, format!("A filter is at most {MAX_DEPTH} levels deep."));
        }
        let Some(first) = members.keys().next() else {
            // Only the whole filter may be empty: elsewhere it is more likely a mistake.
            return if depth == 1 { Some(Filter::EVERYTHING) } else { self.malformed(place, format!("{SHAPES}.")) };
        };
        let known = |name: &str| ["all", "any", "not", "field", "op", "value"].contains(&name);
        if let Some(stranger) = members.keys().find(|name| !known(name)) {
            return self.malformed(place, format!("{SHAPES}, without {stranger}."));
        }
        if members.contains_key("field") || members.contains_key("op") {
            return self.condition(members, place);
        }
        if members.len() > 1 {
            return self.malformed(place, format!("{SHAPES}, only one of them."));
        }
        match (first.as_str(), &members[first]) {
            ("all", Value::Array(filters)) => self.several(filters, "all", place, depth).map(Filter::All),
            ("any", Value::Array(filters)) => self.several(filters, "any", place, depth).map(Filter::Any),
            ("all", _) => self.malformed(&Place::Member(place, "all"), "all takes a list of filters."),
            ("any", _) => self.malformed(&Place::Member(place, "any"), "any takes a list of filters."),
            ("not", inner) => {
                Some(Filter::Not(Box::new(self.filter(inner, &Place::Member(place, "not"), depth + 1)?)))
            }
            _ => self.malformed(place, format!("{SHAPES}.")),
        }
    }

    fn several(
        &mut self,
        filters: &[Value],
        name: &'static str,
        place: &Place<'_>,
        depth: usize,
    ) -> Option<Vec<Filter>> {
        let place = Place::Member(place, name);
        let read: Vec<_> = filters
            .iter()
            .enumerate()
            .map(|(index, filter)| self.filter(filter, &Place::Element(&place, index), depth + 1))
            .collect();
        read.into_iter().collect()
    }

    fn condition(&mut self, members: &Map<String, Value>, place: &Place<'_>) -> Option<Filter> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            if self.conditions == MAX_CONDITIONS + 1 {
                return self.malformed(place, format!("A filter has at most {MAX_CONDITIONS} conditions."));
            }
            return None;
        }
        if let Some(stranger) = members.keys().find(|name| !["field", "op", "value"].contains(&name.as_str())) {
            return self.malformed(place, format!("A condition has field, op and value, not {stranger}."));
        }
        let at = |name| Place::Member(place, name);
        let Some(field) = members.get("field").and_then(Value::as_str) else {
            return self.malformed(&at("field"), "A condition names its field.");
        };
        let called = self.fields.called(field);
        let field = called.as_deref().unwrap_or(field);
        let Some(op) = members.get("op").and_then(Value::as_str) else {
            return self.malformed(&at("op"), format!("A condition names its op: {}.", listed(Op::ALL)));
        };
        let Some(kind) = self.fields.kind(field) else {
            let names = self.fields.names().join(", ");
            let detail = format!("There is no field {field} to filter by; there are {names}.");
            return self.refuse(&at("field"), "filter_field_unknown", detail);
        };
        let Some(op) = kind.ops().iter().copied().find(|known| known.name() == op) else {
            let detail = if Op::ALL.iter().any(|known| known.name() == op) {
                format!("{field} does not take {op}; it takes {}.", listed(kind.ops()))
            } else {
                format!("There is no op {op}; {field} takes {}.", listed(kind.ops()))
            };
            return self.refuse(&at("op"), "filter_op_unknown", detail);
        };
        let value = members.get("value").unwrap_or(&Value::Null);
        let kind = by_digits_or_letters(kind, value);
        let test = self.test(field, kind, op, value, &at("value"))?;
        Some(Filter::Condition(Condition { field: field.to_owned(), kind, test }))
    }

    fn test(&mut self, field: &str, kind: FieldKind, op: Op, value: &Value, place: &Place<'_>) -> Option<Test> {
        Some(match op {
            Op::IsNull => match value {
                Value::Bool(wanted) => Test::IsNull(*wanted),
                _ => return self.refuse(place, "filter_value_invalid", "is_null takes true or false."),
            },
            Op::In | Op::NotIn => {
                let Some(values) = value.as_array() else {
                    return self.refuse(place, "filter_value_invalid", format!("{op} takes a list of values."));
                };
                self.values += values.len();
                if self.values > MAX_VALUES {
                    let detail = format!("A filter lists at most {MAX_VALUES} values in all.");
                    return self.refuse(place, "filter_value_invalid", detail);
                }
                let values: Vec<_> = values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| self.scalar(field, kind, value, &Place::Element(place, index)))
                    .collect();
                let values: Vec<Scalar> = values.into_iter().collect::<Option<_>>()?;
                let values = values.into_iter().flat_map(|value| self.forms(kind, value)).collect();
                if op == Op::In { Test::In(values) } else { Test::NotIn(values) }
            }
            Op::Between => match value.as_array().map(Vec::as_slice) {
                Some([from, to]) => {
                    let from = self.scalar(field, kind, from, &Place::Element(place, 0));
                    let to = self.scalar(field, kind, to, &Place::Element(place, 1));
                    Test::Between(kind.compared(from?), kind.compared(to?))
                }
                _ => return self.refuse(place, "filter_value_invalid", "between takes a list of two values."),
            },
            _ => {
                let value = self.scalar(field, kind, value, place)?;
                match (op, value) {
                    (Op::Contains, value) if kind.is_set() => Test::Eq(kind.compared(value)),
                    (Op::Eq, value) => match self.forms(kind, value) {
                        mut one if one.len() == 1 => Test::Eq(one.remove(0)),
                        several => Test::In(several),
                    },
                    (Op::Ne, value) => match self.forms(kind, value) {
                        mut one if one.len() == 1 => Test::Ne(one.remove(0)),
                        several => Test::NotIn(several),
                    },
                    (Op::Exact, value) => Test::Exact(value),
                    (Op::Contains, Scalar::Text(text)) => Test::Contains(kind.searched(&text)),
                    (Op::StartsWith, Scalar::Text(text)) => Test::StartsWith(kind.searched(&text)),
                    (Op::Lt, value) => Test::Lt(kind.compared(value)),
                    (Op::Lte, value) => Test::Lte(kind.compared(value)),
                    (Op::Gt, value) => Test::Gt(kind.compared(value)),
                    (Op::Gte, value) => Test::Gte(kind.compared(value)),
                    _ => return self.refuse(place, "filter_value_invalid", format!("{op} takes text.")),
                }
            }
        })
    }

    fn forms(&self, kind: FieldKind, value: Scalar) -> Vec<Scalar> {
        kind.wanted_forms(value, self.fields.country())
    }

    fn scalar(&mut self, field: &str, kind: FieldKind, value: &Value, place: &Place<'_>) -> Option<Scalar> {
        let me = self.fields.me().filter(|_| matches!(kind, FieldKind::Id | FieldKind::Set) && value == ME);
        let me = me.map(|me| Scalar::Text(me.to_string()));
        let read = me.or_else(|| kind.read(value)).map(|read| match read {
            // As text is kept, however it was typed here.
            Scalar::Text(text) => Scalar::Text(composed(&text).into_owned()),
            read => read,
        });
        if read.is_none() {
            let hint = if value.is_null() { "; use is_null to ask for fields without a value" } else { "" };
            let detail = format!("{field} is compared with {}{hint}.", kind.wanted());
            return self.refuse(place, "filter_value_invalid", detail);
        }
        read
    }
}

/// A phone number that is asked for by a text without a digit (`anonymous`) is compared as text.
fn by_digits_or_letters(kind: FieldKind, value: &Value) -> FieldKind {
    let has_digits = |value: &Value| value.as_str().is_none_or(|text| !phone::digits(text).is_empty());
    match (kind, value) {
        (FieldKind::Phone, Value::Array(values)) if !values.iter().all(has_digits) => FieldKind::Text,
        (FieldKind::Phone, value) if !has_digits(value) => FieldKind::Text,
        (kind, _) => kind,
    }
}

fn listed(ops: &[Op]) -> String {
    ops.iter().map(|op| op.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Tickets;

    impl Fields for Tickets {
        fn kind(&self, field: &str) -> Option<FieldKind> {
            Some(match field {
                "title" => FieldKind::Text,
                "status" => FieldKind::Word,
                "phone" => FieldKind::Phone,
                "email" => FieldKind::Email,
                "priority" => FieldKind::Integer,
                "opened_at" => FieldKind::Time,
                "product_id" => FieldKind::Id,
                "tags" => FieldKind::Tags,
                "archived" => FieldKind::Bool,
                "custom.price" | "total.amount" => FieldKind::from(FieldType::Decimal),
                "custom.due" => FieldKind::from(FieldType::Date),
                _ => return None,
            })
        }

        fn names(&self) -> Vec<String> {
            vec!["title".into(), "priority".into()]
        }

        fn country(&self) -> Option<Country> {
            Some("UA".parse().unwrap())
        }
    }

    fn matches(filter: &Value, record: &Value) -> bool {
        Filter::parse(filter, &Tickets).unwrap().matches(record)
    }

    const GONE: &str = "01K9Z3T8W0QX6V5N4M3K2J1H0A";
    const NEXT: &str = "01K9Z3T8W0QX6V5N4M3K2J1H0B";
    const OTHER: &str = "01K9Z3T8W0QX6V5N4M3K2J1H0C";

    /// A record, seen by somebody who knows that one of two others is merged.
    struct Knowing(Value);

    impl Lookup for Knowing {
        fn value(&self, field: &str) -> Option<&Value> {
            Lookup::value(&self.0, field)
        }

        fn survivor(&self, id: &str) -> Option<&str> {
            (id == GONE).then_some(NEXT)
        }
    }

    #[test]
    fn merged_records_are_one_with_those_that_go_on_and_traces_say_so() {
        let filter =
            |field: &str, op: &str, value: Value| Filter::parse(&condition(field, op, value), &Tickets).unwrap();
        let holds = |op: &str, value: Value, actual: &str| {
            filter("product_id", op, value).matches(&Knowing(json!({ "product_id": actual })))
        };
        for (named, found) in [(GONE, GONE), (GONE, NEXT), (NEXT, GONE), (NEXT, NEXT)] {
            assert!(holds("eq", json!(named), found) && holds("in", json!([OTHER, named]), found), "{named}, {found}");
            assert!(!holds("ne", json!(named), found) && !holds("not_in", json!([named]), found), "{named}, {found}");
        }
        assert!(!holds("eq", json!(OTHER), GONE) && holds("ne", json!(GONE), OTHER));
        let (_, trace) = filter("product_id", "eq", json!(GONE)).explain(&Knowing(json!({ "product_id": NEXT })));
        assert_eq!((&trace[0].value, &*trace[0].actual, trace[0].holds), (&json!(NEXT), &json!(NEXT), true));
        assert!(!filter("title", "eq", json!(GONE)).matches(&Knowing(json!({ "title": NEXT }))), "text is no id");
    }

    #[allow(clippy::needless_pass_by_value)] // Written in place at every call.
    fn condition(field: &str, op: &str, value: Value) -> Value {
        json!({ "field": field, "op": op, "value": value })
    }

    fn errors(filter: &Value) -> Vec<(String, String)> {
        let errors = Filter::parse(filter, &Tickets).unwrap_err();
        errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
    }

    #[test]
    fn each_op_means_what_it_says() {
        let record = json!({
            "title": "Grüße from the Printer", "priority": 2, "opened_at": "2026-01-02T00:00:00Z", "archived": false,
            "product_id": "01K9Z3T8W0QX6V5N4M3K2J1H0G", "tags": ["vip", "new"],
            "custom": { "price": "12.50", "due": "2026-03-01" }, "total": { "amount": "100.00", "currency": "EUR" }
        });
        let yes = [
            condition("title", "eq", json!("Grüße from the Printer")),
            condition("title", "contains", json!("the printer")),
            condition("title", "starts_with", json!("grüß")),
            condition("title", "gt", json!("A")),
            condition("priority", "gte", json!(2)),
            condition("priority", "between", json!([1, 2])),
            condition("priority", "in", json!([2, 3])),
            condition("priority", "not_in", json!([0, 1])),
            condition("priority", "ne", json!(1)),
            condition("opened_at", "lt", json!("2026-01-02T01:00:00+00:30")),
            condition("product_id", "eq", json!("01k9z3t8w0qx6v5n4m3k2j1h0g")),
            condition("tags", "eq", json!("vip")),
            condition("tags", "contains", json!("new")),
            condition("tags", "in", json!(["old", "new"])),
            condition("tags", "ne", json!("old")),
            condition("archived", "eq", json!(false)),
            condition("custom.price", "eq", json!(12.5)),
            condition("custom.price", "lt", json!("12.51")),
            condition("custom.due", "lte", json!("2026-03-01")),
            condition("total.amount", "between", json!([100, "250"])),
            json!({ "all": [] }),
        ];
        for filter in &yes {
            assert!(matches(filter, &record), "{filter}");
            assert!(!matches(&json!({ "not": filter }), &record), "not {filter}");
        }
        assert!(matches(&json!({}), &record));
        assert!(matches(&condition("title", "contains", json!("GRUSSE")), &record), "ß is ss in capitals");
        assert!(!matches(&json!({ "any": [] }), &record));
        assert!(matches(&json!({ "any": [condition("priority", "eq", json!(9)), yes[0]] }), &record));
        assert!(!matches(&json!({ "all": [condition("priority", "eq", json!(9)), yes[0]] }), &record));
    }

    #[test]
    fn text_is_compared_as_people_read_it_and_words_to_the_letter() {
        let record = json!({
            "title": "Санкт-Петербург", "status": "open", "tags": ["VIP", "Žluť"],
            "phone": "+380 (67) 123-45-67", "email": "Anna@BÜCHER.example"
        });
        let yes = [
            condition("title", "eq", json!(" санкт-петербург\u{a0}")),
            condition("title", "in", json!(["САНКТ-ПЕТЕРБУРГ"])),
            condition("title", "exact", json!("Санкт-Петербург")),
            condition("tags", "eq", json!("vip ")),
            condition("tags", "contains", json!("žluť")),
            condition("tags", "exact", json!("VIP")),
            condition("status", "contains", json!("OPE")),
            condition("phone", "eq", json!("067 123-45-67")),
            condition("phone", "eq", json!("00380671234567")),
            condition("phone", "contains", json!("(67) 123")),
            condition("phone", "exact", json!("+380 (67) 123-45-67")),
            condition("phone", "ne", json!("067 123-45-68")),
            condition("email", "eq", json!("anna@xn--bcher-kva.example")),
            condition("email", "contains", json!("bucher")),
        ];
        for filter in &yes {
            assert!(matches(filter, &record), "{filter}");
        }
        let no = [
            condition("title", "exact", json!("санкт-петербург")),
            condition("tags", "exact", json!("vip")),
            condition("tags", "eq", json!("zlut")),
            condition("status", "eq", json!("Open")),
            condition("phone", "exact", json!("380671234567")),
            condition("phone", "ne", json!("380671234567")),
            condition("phone", "eq", json!("anonymous")),
            condition("email", "ne", json!("ANNA@bücher.example")),
        ];
        for filter in &no {
            assert!(!matches(filter, &record), "{filter}");
        }
    }

    #[test]
    fn without_a_value_only_ne_not_in_and_is_null_are_true() {
        let record = json!({ "title": null, "tags": [] });
        for (field, value) in [("title", json!("x")), ("priority", json!(1)), ("tags", json!("x"))] {
            assert!(!matches(&condition(field, "eq", value.clone()), &record), "{field}");
            assert!(!matches(&condition(field, "in", json!([value])), &record), "{field}");
            assert!(matches(&condition(field, "ne", value.clone()), &record), "{field}");
            assert!(matches(&condition(field, "not_in", json!([value])), &record), "{field}");
            assert!(matches(&condition(field, "is_null", json!(true)), &record), "{field}");
            assert!(!matches(&condition(field, "is_null", json!(false)), &record), "{field}");
            assert!(matches(&json!({ "not": condition(field, "eq", value) }), &record), "{field}");
        }
        assert!(!matches(&condition("priority", "lt", json!(5)), &record));
        assert!(!matches(&condition("title", "contains", json!("")), &record));
    }

    #[test]
    fn every_condition_is_explained() {
        let filter = json!({ "any": [
            condition("title", "contains", json!("Printer")),
            { "not": condition("tags", "eq", json!("vip")) },
            condition("custom.price", "between", json!(["1", "2"])),
        ]});
        let filter = Filter::parse(&filter, &Tickets).unwrap();
        let record = json!({ "title": "x".repeat(500), "tags": ["vip"], "custom": { "price": "1.50" } });
        let (matches, checks) = filter.explain(&record);
        assert_eq!(matches, filter.matches(&record));
        let seen: Vec<_> = checks.iter().map(|check| (check.place.as_str(), check.op, check.holds)).collect();
        let expected =
            [("/any/0", Op::Contains, false), ("/any/1/not", Op::Contains, true), ("/any/2", Op::Between, true)];
        assert_eq!(seen, expected);
        assert_eq!(checks[0].actual.as_str().map(str::len), Some(MAX_ACTUAL));
        assert_eq!((&checks[2].value, &*checks[2].actual), (&json!(["1", "2"]), &json!("1.50")));
    }

    #[test]
    fn errors_name_the_place_and_what_would_be_allowed() {
        let wrong = json!({ "all": [
            condition("titel", "eq", json!("x")),
            { "any": [condition("title", "like", json!("x")), condition("tags", "lt", json!("x"))] },
            { "not": condition("priority", "eq", json!("high")) },
            condition("priority", "in", json!([1, "two"])),
            condition("priority", "between", json!([1])),
            condition("title", "eq", Value::Null),
            { "fields": 1 },
            {},
        ]});
        let found = errors(&wrong);
        let expected = [
            ("/all/0/field", "filter_field_unknown"),
            ("/all/1/any/0/op", "filter_op_unknown"),
            ("/all/1/any/1/op", "filter_op_unknown"),
            ("/all/2/not/value", "filter_value_invalid"),
            ("/all/3/value/1", "filter_value_invalid"),
            ("/all/4/value", "filter_value_invalid"),
            ("/all/5/value", "filter_value_invalid"),
            ("/all/6", "filter_malformed"),
            ("/all/7", "filter_malformed"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
        let detail = &Filter::parse(&wrong, &Tickets).unwrap_err()[1].detail;
        assert!(detail.contains("There is no op like") && detail.contains("starts_with"), "{detail}");
        for malformed in [json!([]), json!({ "all": {} }), json!({ "all": [], "any": [] }), json!({ "field": "title" })]
        {
            assert_eq!(errors(&malformed)[0].1, "filter_malformed", "{malformed}");
        }
        let invalid = [
            condition("title", "eq", json!("a\0b")),
            condition("opened_at", "eq", json!("0000-12-31T23:59:59Z")),
            condition("opened_at", "eq", json!("2026-01-01")),
            condition("custom.due", "eq", json!("0000-12-31")),
            condition("custom.due", "eq", json!("20260101")),
            condition("custom.price", "eq", json!("1_000")),
            condition("priority", "eq", json!(1.5)),
            condition("priority", "in", json!(vec![1; MAX_VALUES + 1])),
        ];
        for filter in invalid {
            assert_eq!(errors(&filter)[0].1, "filter_value_invalid", "{filter}");
        }
    }

    #[test]
    fn size_and_depth_are_limited() {
        let mut deep = condition("title", "eq", json!("x"));
        for _ in 0..MAX_DEPTH {
            deep = json!({ "not": deep });
        }
        assert_eq!(errors(&deep)[0].1, "filter_malformed");
        let wide = json!({ "all": vec![condition("title", "eq", json!("x")); MAX_CONDITIONS + 9] });
        assert_eq!(errors(&wide), [(format!("/all/{MAX_CONDITIONS}"), "filter_malformed".to_owned())]);
    }
}
