//! What the columns of a file of records mean: a TOML text, checked as a whole before a row is read.

use std::collections::BTreeMap;

use domain::{Time, kernel::custom::FieldType, org::field::Field};
use encoding_rs::Encoding;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    attributes::{Shape, Type, shape, shapes},
    layout::{self, Layout},
    mapping::{MappingError, When, delimiter, located, when},
    rows::{Cells, Fault, Header, Row},
    template::Template,
};

/// Kinds of which a record can be made by its name alone, when a row names one that there is not.
pub(crate) const MADE_BY_NAME: &[&str] = &["company", "contact", "product", "product_category", "project"];

/// What becomes of records that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Existing {
    /// They are brought to what the row says.
    #[default]
    Update,
    /// Only what they lack is filled in.
    Fill,
    /// They stay as they are.
    Keep,
}

/// What becomes of a row that names another record that there is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    /// The row is refused.
    #[default]
    Reject,
    /// The rest of the row is taken.
    Leave,
    /// The record is created, by its name.
    Create,
}

/// A checked mapping of a file of records.
#[derive(Clone)]
pub(crate) struct Sheet {
    pub(crate) shape: &'static Shape,
    /// The system the file comes from, unless the request names it.
    pub(crate) source: Option<String>,
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<u8>,
    pub(crate) encoding: Option<&'static Encoding>,
    /// What the other system calls the record.
    key: Option<Template>,
    /// When the record came into being.
    created: Option<Template>,
    pub(crate) existing: Existing,
    fields: Vec<(String, Said)>,
    custom: Vec<(String, Said)>,
    when: When,
    decimal: char,
}

/// A value that follows from a row.
#[derive(Clone)]
enum Said {
    Plain(Value),
    Cell(Cell),
    List(Vec<Said>),
    Table(Vec<(String, Said)>),
}

/// A value that follows from cells.
#[derive(Clone)]
struct Cell {
    from: Template,
    values: BTreeMap<String, Value>,
    otherwise: Option<Value>,
    /// What it says where the cells are blank.
    blank: Option<Value>,
    separator: Option<String>,
    missing: Missing,
    /// Whether only the first of several counts.
    first: bool,
    /// Whether a value that does not fit is left out, instead of refusing the row.
    leaves_unfit: bool,
}

/// Another record that a row names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mention {
    /// Where the id belongs in what the row says.
    pub(crate) pointer: String,
    /// What is left out where nothing is named.
    pub(crate) whole: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) missing: Missing,
}

/// What a row says of its record, other records still by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) key: Option<String>,
    pub(crate) created: Option<Time>,
    /// Attributes by name, and `custom`. What the row says nothing of is not there.
    pub(crate) body: Map<String, Value>,
    pub(crate) mentions: Vec<Mention>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    record: String,
    source: Option<String>,
    key: Option<Template>,
    created: Option<Template>,
    #[serde(default)]
    existing: Existing,
    #[serde(default)]
    file: RawFile,
    #[serde(default)]
    time: RawTime,
    #[serde(default)]
    numbers: RawNumbers,
    #[serde(default)]
    fields: toml::Table,
    #[serde(default)]
    custom: toml::Table,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    delimiter: Option<char>,
    quote: Option<char>,
    encoding: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTime {
    format: Option<String>,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNumbers {
    decimal: Option<char>,
}

impl Said {
    fn of(value: toml::Value) -> Result<Said, String> {
        Ok(match value {
            toml::Value::String(text) => {
                let template = Template::parse(&text)?;
                match template.plain() {
                    Some(plain) => Said::Plain(plain.into()),
                    None => Said::Cell(Cell::from(template)),
                }
            }
            toml::Value::Array(values) => Said::List(values.into_iter().map(Said::of).collect::<Result<_, _>>()?),
            toml::Value::Table(table) if table.contains_key("column") || table.contains_key("value") => {
                Said::Cell(Cell::of(table)?)
            }
            toml::Value::Table(table) => Said::Table(said_of(table)?),
            toml::Value::Datetime(time) => Said::Plain(time.to_string().into()),
            plain => Said::Plain(json_of(plain)?),
        })
    }

    fn each_cell<'a>(&'a self, see: &mut impl FnMut(&'a Cell)) {
        match self {
            Said::Plain(_) => {}
            Said::Cell(cell) => see(cell),
            Said::List(all) => all.iter().for_each(|said| said.each_cell(see)),
            Said::Table(members) => members.iter().for_each(|(_, said)| said.each_cell(see)),
        }
    }
}

impl From<Template> for Cell {
    fn from(from: Template) -> Cell {
        let values = BTreeMap::new();
        Cell {
            from,
            values,
            otherwise: None,
            blank: None,
            separator: None,
            missing: Missing::Reject,
            first: false,
            leaves_unfit: false,
        }
    }
}

impl Cell {
    fn of(mut table: toml::Table) -> Result<Cell, String> {
        let from = match (table.remove("column"), table.remove("value")) {
            (Some(toml::Value::String(column)), None) => Template::of_column(&column),
            (None, Some(toml::Value::String(text))) => Template::parse(&text)?,
            _ => return Err("say either its column or its value, as a text".into()),
        };
        let values = match table.remove("values") {
            Some(toml::Value::Table(values)) => {
                values.into_iter().map(|(cell, value)| Ok((cell, json_of(value)?))).collect::<Result<_, String>>()?
            }
            Some(_) => return Err("values is a table: what a cell may hold = what it means".into()),
            None => BTreeMap::new(),
        };
        let separator = match table.remove("separator") {
            None => None,
            Some(toml::Value::String(separator)) if !separator.is_empty() => Some(separator),
            Some(_) => return Err("separator is a text, such as \";\"".into()),
        };
        let missing = match table.remove("missing") {
            None => Missing::Reject,
            Some(missing) => {
                missing.try_into().map_err(|_| "missing is \"reject\", \"leave\" or \"create\"".to_owned())?
            }
        };
        let first = match table.remove("first") {
            None => false,
            Some(toml::Value::Boolean(first)) => first,
            Some(_) => return Err("first is true or false".into()),
        };
        let leaves_unfit = match table.remove("unfit") {
            None => false,
            Some(toml::Value::String(unfit)) if unfit == "leave" || unfit == "reject" => unfit == "leave",
            Some(_) => return Err("unfit is \"reject\" or \"leave\"".into()),
        };
        let otherwise = table.remove("otherwise").map(json_of).transpose()?;
        let blank = table.remove("blank").map(json_of).transpose()?;
        match table.into_iter().next() {
            Some((unknown, _)) => {
                let known = "values, otherwise, blank, separator, first, missing and unfit";
                Err(format!("beside column or value there may be {known}, not {unknown}"))
            }
            None => Ok(Cell { from, values, otherwise, blank, separator, missing, first, leaves_unfit }),
        }
    }

    /// What the row says here, before it has a type.
    fn raw(&self, cells: &Cells<'_>) -> Result<Option<Value>, Fault> {
        let Some(mut text) = self.from.fill(cells) else { return Ok(self.blank.clone()) };
        if self.first {
            let mut parts = match self.separator.as_deref() {
                Some(separator) => text.split(separator).map(str::trim).collect::<Vec<_>>(),
                None => text.split([',', ';']).map(str::trim).collect(),
            }
            .into_iter();
            text = parts.find(|part| !part.is_empty()).unwrap_or_default().to_owned();
        }
        if self.values.is_empty() && self.otherwise.is_none() {
            return Ok(Some(text.into()));
        }
        let same = |(cell, _): &(&String, &Value)| cell.trim().to_lowercase() == text.trim().to_lowercase();
        let meant = self.values.get(&text).or_else(|| self.values.iter().find(same).map(|(_, value)| value));
        match meant.or(self.otherwise.as_ref()) {
            // What means nothing is said as an empty text.
            Some(Value::String(nothing)) if nothing.is_empty() => Ok(None),
            Some(value) => Ok(Some(value.clone())),
            None => {
                let column = self.from.columns().next().unwrap_or_default();
                let reason = format!("The mapping does not say what {text} in column {column} means.");
                Err(Fault::new("value_unmapped", reason))
            }
        }
    }
}

fn json_of(value: toml::Value) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

fn said_of(table: toml::Table) -> Result<Vec<(String, Said)>, String> {
    let member = |(name, value): (String, toml::Value)| match Said::of(value) {
        Ok(said) => Ok((name, said)),
        Err(error) => Err(format!("{name}: {error}")),
    };
    table.into_iter().map(member).collect()
}

fn one_byte(place: &str, given: char) -> Result<u8, String> {
    let byte = u8::try_from(given).ok().filter(u8::is_ascii_punctuation);
    byte.ok_or_else(|| format!("file.{place}: one ASCII character, such as \"'\""))
}

impl Sheet {
    /// Reads and checks a mapping.
    pub(crate) fn parse(text: &str) -> Result<Sheet, MappingError> {
        let raw: Raw = toml::from_str(text).map_err(|error| MappingError(vec![located(text, &error)]))?;
        Sheet::of(raw)
    }

    /// The same of a mapping that has been read as TOML.
    pub(crate) fn of_table(table: toml::Table) -> Result<Sheet, MappingError> {
        let raw = table.try_into().map_err(|error: toml::de::Error| MappingError(vec![error.message().to_owned()]))?;
        Sheet::of(raw)
    }

    /// One that says nothing by itself: what is said has the names of the API already.
    pub(crate) fn plain(shape: &'static Shape, existing: Existing) -> Result<Sheet, MappingError> {
        let when = when("", None, None).map_err(|error| MappingError(vec![error]))?;
        let (fields, custom) = (Vec::new(), Vec::new());
        let (source, delimiter, quote, encoding, key, created) = (None, None, None, None, None, None);
        let decimal = '.';
        Ok(Sheet { shape, source, delimiter, quote, encoding, key, created, existing, fields, custom, when, decimal })
    }

    fn of(raw: Raw) -> Result<Sheet, MappingError> {
        let mut faults = Vec::new();
        let Some(shape) = shape(&raw.record) else {
            let known: Vec<&str> = shapes().map(|shape| shape.kind.name).collect();
            return Err(MappingError(vec![format!("record: {} is none of {}", raw.record, known.join(", "))]));
        };
        let mut take = |place: &str, table: toml::Table| -> Vec<(String, Said)> {
            let mut all = Vec::new();
            for (name, value) in table {
                match Said::of(value) {
                    Ok(said) => all.push((name, said)),
                    Err(error) => faults.push(format!("{place}.{name}: {error}")),
                }
            }
            all
        };
        let (fields, custom) = (take("fields", raw.fields), take("custom", raw.custom));
        for (name, said) in &fields {
            match shape.attribute(name) {
                Some(attribute) => check(&attribute.kind, said, &format!("fields.{name}"), &mut faults),
                None => {
                    let known: Vec<&str> = shape.attributes.keys().map(String::as_str).collect();
                    faults.push(format!("fields.{name}: a {} has {}", raw.record, known.join(", ")));
                }
            }
        }
        for attribute in shape.needed() {
            if fields.iter().all(|(name, _)| *name != attribute.name) {
                faults.push(format!("fields.{}: a {} needs it", attribute.name, raw.record));
            }
        }
        if raw.key.as_ref().is_some_and(|key| key.plain().is_some()) {
            faults.push("key: it names no column, so that all rows would mean the same record".into());
        }
        let mut ok = |read: Result<u8, String>| read.map_err(|error| faults.push(error)).ok();
        let delimiter = raw.file.delimiter.and_then(|given| ok(delimiter(Some(given))));
        let quote = raw.file.quote.and_then(|given| ok(one_byte("quote", given)));
        let encoding = raw.file.encoding.as_deref().map(layout::encoding);
        let encoding = encoding.and_then(|read| read.map_err(|error| faults.push(error)).ok());
        let decimal = raw.numbers.decimal.unwrap_or('.');
        if !['.', ','].contains(&decimal) {
            faults.push("numbers.decimal: \".\" or \",\"".into());
        }
        let when = when("", raw.time.format, raw.time.zone.as_deref()).map_err(|error| faults.push(error));
        let (Ok(when), true) = (when, faults.is_empty()) else { return Err(MappingError(faults)) };
        let Raw { source, key, created, existing, .. } = raw;
        Ok(Sheet { shape, source, delimiter, quote, encoding, key, created, existing, fields, custom, when, decimal })
    }

    /// Checks that the file has every column that is named.
    pub(crate) fn check(&self, header: &Header) -> Result<(), MappingError> {
        let mut missing: Vec<&str> = self.columns().into_iter().filter(|column| !header.has(column)).collect();
        missing.sort_unstable();
        missing.dedup();
        let there = header.names().join(", ");
        let fault = |column: &str| format!("the file has no column {column}; it has {there}");
        let faults: Vec<String> = missing.into_iter().map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(MappingError(faults)) }
    }

    /// How a file is written that begins so: as the mapping says, or as it looks.
    pub(crate) fn layout(&self, encoding: &'static Encoding, head: &[u8]) -> Layout {
        let seen = Layout::of(self.encoding.unwrap_or(encoding), head);
        let (delimiter, quote) = (self.delimiter.unwrap_or(seen.delimiter), self.quote.unwrap_or(seen.quote));
        Layout { delimiter, quote, ..seen }
    }

    /// The columns that it names.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = self.key.iter().chain(&self.created).flat_map(Template::columns).collect();
        for (_, said) in self.fields.iter().chain(&self.custom) {
            said.each_cell(&mut |cell| columns.extend(cell.from.columns()));
        }
        columns
    }

    /// What each column says: the column, and the attribute, `custom.` before those that somebody defined.
    pub(crate) fn says(&self) -> Vec<(&str, String)> {
        let mut says: Vec<(&str, String)> = Vec::new();
        for (name, template) in [("key", &self.key), ("created", &self.created)] {
            says.extend(template.iter().flat_map(Template::columns).map(|column| (column, name.to_owned())));
        }
        let fields = self.fields.iter().map(|(name, said)| (name.clone(), said));
        for (name, said) in fields.chain(self.custom.iter().map(|(key, said)| (format!("custom.{key}"), said))) {
            said.each_cell(&mut |cell| says.extend(cell.from.columns().map(|column| (column, name.clone()))));
        }
        says
    }

    /// What a row says.
    pub(crate) fn read(&self, header: &Header, fields: &Field, row: &Row) -> Result<Spoken, Fault> {
        if let Some(fault) = &row.fault {
            return Err(fault.clone());
        }
        let cells = header.cells(&row.cells);
        let mut reading = Reading { sheet: self, cells, mentions: Vec::new() };
        let mut body = Map::new();
        for (name, said) in &self.fields {
            let Some(attribute) = self.shape.attribute(name) else { continue };
            if let Some(value) =
                reading.say(&attribute.kind, said, &format!("/{name}")).map_err(|fault| fault.of(name))?
            {
                body.insert(name.clone(), value);
            }
        }
        let mut custom = Map::new();
        for (key, said) in &self.custom {
            let kind = fields.definitions.get(key).map_or(Type::Json, |field| {
                let target = field.target.map(|target| target.kind().to_owned());
                custom_type(field.field_type, target)
            });
            if let Some(value) = reading.say(&kind, said, &format!("/custom/{key}")).map_err(|fault| fault.of(key))? {
                custom.insert(key.clone(), value);
            }
        }
        if !custom.is_empty() {
            body.insert("custom".into(), custom.into());
        }
        let mentions = reading.mentions;
        let fill = |template: &Option<Template>| template.as_ref().and_then(|template| template.fill(&cells));
        let key = fill(&self.key).map(|key| key.trim().to_owned());
        let created = fill(&self.created).map(|text| self.when.instant(&text)).transpose()?;
        Ok(Spoken { key, created, body, mentions })
    }
}

/// Whether what is said can be of this type at all.
fn check(kind: &Type, said: &Said, place: &str, faults: &mut Vec<String>) {
    match (kind, said) {
        (Type::Object(members), Said::Table(table)) => {
            for (name, said) in table {
                match members.get(name) {
                    Some(kind) => check(kind, said, &format!("{place}.{name}"), faults),
                    None => {
                        let known: Vec<&str> = members.keys().map(String::as_str).collect();
                        faults.push(format!("{place}.{name}: there are {}", known.join(", ")));
                    }
                }
            }
        }
        (Type::AnyRecord, Said::Table(table)) => {
            let kind = table.iter().find(|(name, _)| name == "kind");
            let named = matches!(kind, Some((_, Said::Plain(Value::String(kind)))) if domain::catalogue::has(kind));
            let id = table.iter().any(|(name, _)| name == "id");
            if !named || !id || table.len() != 2 {
                faults.push(format!("{place}: {{ kind = \"contact\", id = \"{{column}}\" }} names a record"));
            }
        }
        (Type::AnyRecord, _) => faults.push(format!("{place}: a table with kind and id names a record")),
        (Type::Object(_) | Type::Json, _) | (Type::List(_), Said::Cell(_)) => {}
        (Type::List(kind), Said::List(all)) => {
            for (at, said) in all.iter().enumerate() {
                check(kind, said, &format!("{place}[{at}]"), faults);
            }
        }
        (_, Said::Table(_)) => faults.push(format!("{place}: it is one value, not a table")),
        (_, Said::List(_)) => faults.push(format!("{place}: it is one value, not a list")),
        (Type::Record(kind), Said::Cell(cell))
            if cell.missing == Missing::Create && !MADE_BY_NAME.contains(&kind.as_str()) =>
        {
            faults.push(format!("{place}: no {kind} can be made of a name alone; missing is \"reject\" or \"leave\""));
        }
        _ => {}
    }
}

/// What values of a custom field are.
pub(crate) fn custom_type(field_type: FieldType, target: Option<String>) -> Type {
    match (field_type, target) {
        (FieldType::Number, _) => Type::Integer,
        (FieldType::Decimal, _) => Type::Decimal,
        (FieldType::Bool, _) => Type::Bool,
        (FieldType::Date, _) => Type::Date,
        (FieldType::Datetime, _) => Type::Time,
        (FieldType::MultiSelect, _) => Type::List(Box::new(Type::Text)),
        (FieldType::Money, _) => {
            Type::Object([("amount".into(), Type::Decimal), ("currency".into(), Type::Word(vec![]))].into())
        }
        (FieldType::Reference, Some(kind)) => Type::Record(kind),
        _ => Type::Text,
    }
}

/// One row as it is read.
struct Reading<'a> {
    sheet: &'a Sheet,
    cells: Cells<'a>,
    mentions: Vec<Mention>,
}

impl Reading<'_> {
    fn say(&mut self, kind: &Type, said: &Said, pointer: &str) -> Result<Option<Value>, Fault> {
        match (said, kind) {
            (Said::Plain(value), _) => self.typed(kind, value.clone(), pointer, None),
            (Said::Cell(cell), _) => {
                let said = match cell.raw(&self.cells)? {
                    Some(value) => self.typed(kind, value, pointer, Some(cell)),
                    None => Ok(None),
                };
                if cell.leaves_unfit { Ok(said.unwrap_or_default()) } else { said }
            }
            (Said::List(all), Type::List(kind)) => {
                let mut values = Vec::new();
                for said in all {
                    values.extend(self.say(kind, said, &format!("{pointer}/{}", values.len()))?);
                }
                Ok((!values.is_empty()).then_some(Value::Array(values)))
            }
            (Said::Table(table), Type::AnyRecord) => {
                let text = |name: &str| table.iter().find(|(member, _)| member == name).map(|(_, said)| said);
                let (Some(Said::Plain(Value::String(kind))), Some(id)) = (text("kind"), text("id")) else {
                    return Ok(None);
                };
                let before = self.mentions.len();
                let id = self.say(&Type::Record(kind.clone()), id, &format!("{pointer}/id"))?;
                self.mentions.iter_mut().skip(before).for_each(|mention| pointer.clone_into(&mut mention.whole));
                Ok(id.map(|id| json!({ "kind": kind, "id": id })))
            }
            (Said::Table(table), kind) => {
                let (mut values, mut varies, mut says) = (Map::new(), false, false);
                for (name, said) in table {
                    let of = match kind {
                        Type::Object(members) => members.get(name).unwrap_or(&Type::Json),
                        _ => &Type::Json,
                    };
                    let value = self.say(of, said, &format!("{pointer}/{name}"))?;
                    let cell = matches!(said, Said::Cell(_) | Said::List(_));
                    (varies, says) = (varies || cell, says || cell && value.is_some());
                    match value {
                        Some(value) => drop(values.insert(name.clone(), value)),
                        // A currency alone is no amount.
                        None if name == "amount" => return Ok(None),
                        None => {}
                    }
                }
                Ok((says || !varies).then_some(Value::Object(values)))
            }
            (Said::List(all), _) => {
                let mut values = Vec::new();
                for said in all {
                    values.extend(self.say(&Type::Json, said, pointer)?);
                }
                Ok(Some(Value::Array(values)))
            }
        }
    }

    fn typed(&mut self, kind: &Type, value: Value, pointer: &str, cell: Option<&Cell>) -> Result<Option<Value>, Fault> {
        let text = match value {
            Value::String(text) => text,
            Value::Null => return Ok(None),
            Value::Number(number) if matches!(kind, Type::Text | Type::Word(_) | Type::Decimal) => number.to_string(),
            value => return Ok(Some(value)),
        };
        let text = text.trim();
        let sheet = self.sheet;
        Ok(Some(match kind {
            Type::Text if pointer == "/country" => country(text)?.into(),
            Type::Text | Type::Json | Type::AnyRecord => text.into(),
            Type::Word(words) => {
                let loose = |word: &str| word.to_lowercase().replace([' ', '-'], "_");
                words.iter().find(|word| loose(word) == loose(text)).map_or(text, String::as_str).into()
            }
            Type::Integer => {
                let whole = number(text, sheet.decimal)?;
                let whole = whole
                    .split_once('.')
                    .filter(|(_, rest)| rest.bytes().all(|b| b == b'0'))
                    .map_or(&*whole, |(w, _)| w);
                let invalid = || Fault::new("number_invalid", format!("{text} is no whole number."));
                json!(whole.parse::<i64>().map_err(|_| invalid())?)
            }
            Type::Decimal => number(text, sheet.decimal)?.into(),
            Type::Bool => json!(truth(text)?),
            Type::Time => json!(sheet.when.instant(text)?),
            Type::Date => json!(sheet.when.day(text)?),
            Type::Record(kind) => {
                let missing = cell.map_or(Missing::Reject, |cell| cell.missing);
                let (pointer, text) = (pointer.to_owned(), text.to_owned());
                let whole = pointer.clone();
                self.mentions.push(Mention { pointer, whole, kind: kind.clone(), text: text.clone(), missing });
                text.into()
            }
            Type::List(kind) => {
                let parts: Vec<&str> = match cell.and_then(|cell| cell.separator.as_deref()) {
                    Some(separator) => text.split(separator).collect(),
                    None => text.split([',', ';']).collect(),
                };
                let mut values = Vec::new();
                for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
                    values.extend(self.typed(kind, part.into(), &format!("{pointer}/{}", values.len()), cell)?);
                }
                if values.is_empty() {
                    return Ok(None);
                }
                values.into()
            }
            // `12.50 EUR`
            Type::Object(members) if members.contains_key("amount") => match text.rsplit_once(' ') {
                Some((amount, currency)) => json!({ "amount": number(amount, sheet.decimal)?, "currency": currency }),
                None => text.into(),
            },
            Type::Object(_) => text.into(),
        }))
    }
}

/// A number as the API takes it, of one that a person or a program wrote: `1 234,50`.
pub(crate) fn number(text: &str, decimal: char) -> Result<String, Fault> {
    let invalid = || {
        let other = if decimal == '.' { ',' } else { '.' };
        let reason = format!(
            "{text} is no number whose decimals stand behind a {decimal}; numbers.decimal = \"{other}\" says otherwise."
        );
        Fault::new("number_invalid", reason)
    };
    let tight: String = text.chars().filter(|letter| !letter.is_whitespace() && *letter != '\'').collect();
    let (sign, digits) = match tight.strip_prefix(['-', '−']) {
        Some(rest) => ("-", rest),
        None => ("", tight.strip_prefix('+').unwrap_or(&tight)),
    };
    let (whole, rest) = digits.split_once(decimal).unwrap_or((digits, ""));
    let grouping = if decimal == '.' { ',' } else { '.' };
    let mut groups = whole.split(grouping);
    let first = groups.next().unwrap_or_default();
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = groups.clone().all(|group| group.len() == 3 && is_digits(group));
    let short = groups.clone().next().is_none() || first.len() <= 3;
    if first.is_empty() || !is_digits(first) || !is_digits(rest) || !grouped || !short {
        return Err(invalid());
    }
    let whole: String = std::iter::once(first).chain(groups).collect();
    let point = if rest.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{rest}"))
}

/// What countries are called besides their names in the standard.
const COUNTRIES: &[(&str, &str)] = &[
    ("czech republic", "CZ"),
    ("great britain", "GB"),
    ("ivory coast", "CI"),
    ("korea", "KR"),
    ("macedonia", "MK"),
    ("south korea", "KR"),
    ("turkiye", "TR"),
    ("uk", "GB"),
    ("united kingdom", "GB"),
];

/// The code of a country (ISO 3166-1 alpha-2), by one of its codes or by what it is called in English.
fn country(text: &str) -> Result<&'static str, Fault> {
    let plain = text.trim().to_lowercase();
    let plain = plain.strip_prefix("the ").unwrap_or(&plain);
    let known = COUNTRIES.iter().find(|(name, _)| *name == plain).map(|(_, code)| *code);
    let found = known.or_else(|| Some(plain.parse::<celes::Country>().ok()?.alpha2));
    found.ok_or_else(|| Fault::new("country_unknown", format!("{text} is no country; say which with values.")))
}

/// Yes or no, in the languages of the house.
fn truth(text: &str) -> Result<bool, Fault> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "x" | "ano" | "так" | "да" | "taip" => Ok(true),
        "false" | "no" | "n" | "0" | "ne" | "ні" | "нет" => Ok(false),
        _ => Err(Fault::new("bool_invalid", format!("{text} is neither yes nor no."))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn said(mapping: &str, header: &str, row: &str) -> Result<Spoken, Fault> {
        let sheet = Sheet::parse(mapping).unwrap();
        let header = Header::new(header.split('|').map(str::to_owned).collect()).unwrap();
        sheet.check(&header).unwrap();
        let cells = row.split('|').map(str::to_owned).collect();
        sheet.read(&header, &Field::default(), &Row { number: 1, line: 2, cells, fault: None })
    }

    const CONTACTS: &str = r#"
record = "contact"
key = "{Id}"
created = "{Since}"
[fields]
name = "{First} {Last}"
email = "{Mail}"
kind = { column = "Sort", values = { "Mr" = "person", "Firm" = "office" } }
company = { column = "Firm", missing = "create" }
tags = "{Tags}"
[time]
format = "%d.%m.%Y"
zone = "Europe/Prague"
"#;
    const HEADER: &str = "Id|First|Last|Mail|Sort|Firm|Tags|Since";

    #[test]
    fn a_row_says_what_its_columns_mean_and_blanks_say_nothing() {
        let spoken = said(CONTACTS, HEADER, "7|Anna||anna@x.example|firm|Rossi|a, b|01.03.2026").unwrap();
        let wanted = json!({
            "name": "Anna", "email": "anna@x.example", "kind": "office", "company": "Rossi", "tags": ["a", "b"]
        });
        assert_eq!((spoken.key.as_deref(), Value::Object(spoken.body)), (Some("7"), wanted));
        assert_eq!(spoken.created.unwrap().to_string(), "2026-02-28T23:00:00Z");
        let mention = &spoken.mentions[0];
        assert_eq!((&*mention.pointer, &*mention.kind, mention.missing), ("/company", "company", Missing::Create));
        let spoken = said(CONTACTS, HEADER, "8|Anna|Rossi|||||").unwrap();
        assert_eq!(Value::Object(spoken.body), json!({ "name": "Anna Rossi" }));
        assert_eq!(said(CONTACTS, HEADER, "8|Anna||x|Mrs|||").unwrap_err().code, "value_unmapped");
    }

    #[test]
    fn values_have_the_types_of_their_attributes() {
        let mapping = r#"
record = "property"
[fields]
name = "{Name}"
price = { amount = "{Price}", currency = "EUR" }
rooms = "{Rooms}"
area = "{Area}"
features = { column = "Has", separator = "/" }
[numbers]
decimal = ","
"#;
        let header = "Name|Price|Rooms|Area|Has";
        let spoken = said(mapping, header, "Flat|1.250.000,50|3|71,5|lift/balcony").unwrap();
        let wanted = json!({
            "name": "Flat", "price": { "amount": "1250000.50", "currency": "EUR" }, "rooms": 3, "area": "71.5",
            "features": ["lift", "balcony"],
        });
        assert_eq!(Value::Object(spoken.body), wanted);
        let spoken = said(mapping, header, "Flat||||").unwrap();
        assert_eq!(Value::Object(spoken.body), json!({ "name": "Flat" }));
        assert_eq!(said(mapping, header, "Flat|12.5|||").unwrap_err().code, "number_invalid");
        assert_eq!(said(mapping, header, "Flat||many||").unwrap_err().code, "number_invalid");
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (text, decimal, wanted) in
            [("1,234.50", '.', "1234.50"), ("-12", '.', "-12"), ("1 234,5", ',', "1234.5"), ("1'000", '.', "1000")]
        {
            assert_eq!(number(text, decimal).as_deref(), Ok(wanted), "{text}");
        }
        for (text, decimal) in [("12,50", '.'), ("1.5", ','), ("", '.'), ("abc", '.'), ("1234,567", '.')] {
            assert!(number(text, decimal).is_err(), "{text}");
        }
    }

    #[test]
    fn countries_have_codes_and_names() {
        for (text, wanted) in
            [("it", "IT"), ("Germany", "DE"), ("United Kingdom", "GB"), ("The Netherlands", "NL"), ("DEU", "DE")]
        {
            assert_eq!(country(text), Ok(wanted));
        }
        let mapping = "record = \"company\"\n[fields]\nname = \"{n}\"\ncountry = { column = \"c\", unfit = \"leave\" }\n\
                       domain = { column = \"d\", first = true }";
        let spoken = said(mapping, "n|c|d", "Rossi|Atlantis|a.example, b.example").unwrap();
        assert_eq!(Value::Object(spoken.body), json!({ "name": "Rossi", "domain": "a.example" }));
        let strict = mapping.replace("leave", "reject");
        assert_eq!(said(&strict, "n|c|d", "Rossi|Atlantis|").unwrap_err().code, "country_unknown");
    }

    #[test]
    fn a_mapping_is_checked_as_a_whole() {
        let faults = |text: &str| Sheet::parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(faults("record = \"role\"").contains("none of"));
        assert!(faults("record = \"contact\"").contains("fields.name"));
        let text = "record = \"contact\"\nkey = \"x\"\n[file]\nencoding = \"morse\"\n[fields]\nname = \"{a\"\ncolour = \"red\"\n\
                    email = { column = \"m\", upper = true }\nowner = { column = \"o\", missing = \"create\" }";
        let found = faults(text);
        for wanted in ["key", "file.encoding", "fields.name", "fields.colour", "upper", "fields.owner"] {
            assert!(found.contains(wanted), "{wanted} is not in {found}");
        }
        let text = "record = \"task\"\n[fields]\ntitle = \"{t}\"\nsubjects = [{ kind = \"contact\", id = \"{c}\" }]";
        let spoken = said(text, "t|c", "Call|anna@x.example").unwrap();
        assert_eq!(spoken.body["subjects"], json!([{ "kind": "contact", "id": "anna@x.example" }]));
        assert_eq!((&*spoken.mentions[0].pointer, &*spoken.mentions[0].whole), ("/subjects/0/id", "/subjects/0"));
        assert_eq!(said(text, "t|c", "Call|").unwrap().body.get("subjects"), None);
    }
}
