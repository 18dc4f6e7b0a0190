//! What the columns of another help desk's file mean: a TOML text, checked as a whole before a row is read.

use std::collections::BTreeMap;

use domain::{
    Id, Party,
    crm::{company::Company, contact::Contact},
    desk::{
        entitlement::Entitlement,
        product::Product,
        product_category::ProductCategory,
        ticket::{Command, Priority, Status, Ticket},
    },
    kernel::{aggregate::Aggregate, custom::FieldType, named::Named},
    org::{team::Team, user::User},
};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    rows::{Cells, Fault, Header},
    template::Template,
};

/// What is wrong with a mapping: every fault with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub(crate) struct MappingError(pub(crate) Vec<String>);

/// A checked mapping of a history.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// The system the file comes from, unless the request names it.
    pub(crate) source: Option<String>,
    /// What stands between two cells.
    pub(crate) delimiter: u8,
    /// Which case a row belongs to.
    pub(crate) case: String,
    /// What was done.
    pub(crate) activity: String,
    /// When.
    pub(crate) time: When,
    /// Who did it.
    pub(crate) user: Option<RecordMap>,
    /// The company it concerns.
    pub(crate) company: Option<RecordMap>,
    /// Who asks.
    pub(crate) contact: Option<RecordMap>,
    /// The product's category.
    pub(crate) product_category: Option<RecordMap>,
    /// The product it is about.
    pub(crate) product: Option<RecordMap>,
    /// By what the requester owns the product.
    pub(crate) entitlement: Option<EntitlementMap>,
    /// The team that handles it.
    pub(crate) team: Option<RecordMap>,
    /// Attributes of the ticket.
    pub(crate) ticket: TicketMap,
    /// Its custom fields by key.
    pub(crate) custom: BTreeMap<String, CustomMap>,
    /// What each activity does, by its name in the file.
    pub(crate) activities: BTreeMap<String, Activity>,
    /// What any other activity does.
    pub(crate) otherwise: Option<Activity>,
}

/// How times are written.
#[derive(Clone, Debug)]
pub(crate) struct When {
    pub(crate) column: String,
    format: Option<String>,
    zone: TimeZone,
}

/// A record that rows speak of: which one, and what it is like when it is not there yet.
#[derive(Clone, Debug)]
pub(crate) struct RecordMap {
    pub(crate) key: Template,
    pub(crate) body: Vec<(String, Expr)>,
}

/// By what a holder owns a product.
#[derive(Clone, Debug)]
pub(crate) struct EntitlementMap {
    /// Whether the company holds it rather than the contact.
    pub(crate) by_company: bool,
    pub(crate) body: Vec<(String, Expr)>,
}

/// Attributes of a ticket.
#[derive(Clone, Debug)]
pub(crate) struct TicketMap {
    pub(crate) title: Template,
    pub(crate) description: Option<Template>,
    pub(crate) channel: String,
    pub(crate) origin: Option<Template>,
    pub(crate) category: Option<Template>,
    pub(crate) priority: Option<Expr>,
    pub(crate) tags: Vec<Template>,
}

/// A custom field of the tickets.
#[derive(Clone, Debug)]
pub(crate) struct CustomMap {
    pub(crate) value: Template,
    pub(crate) label: Option<String>,
    pub(crate) field_type: FieldType,
    /// The choices of a select; empty when values of the file become choices as they come.
    pub(crate) options: Vec<String>,
}

/// What an activity does to its ticket.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    pub(crate) steps: Vec<Step>,
    /// What is noted when it changes nothing; nothing is noted without it.
    pub(crate) note: Option<Template>,
}

/// One command of an activity.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) command: String,
    /// In which states of the ticket; in any when it is empty.
    pub(crate) when: Vec<Status>,
    pub(crate) arguments: Vec<(String, Expr)>,
}

/// A value that follows from a row.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Plain(Value),
    Text(Template),
    Record(Ref),
    Choice { from: Template, values: BTreeMap<String, Value>, otherwise: Option<Value> },
    List(Vec<Expr>),
    Table(Vec<(String, Expr)>),
}

/// A record that a row speaks of, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ref {
    Actor,
    Requester,
    Company,
    Team,
    Entitlement,
}

const REFS: &[(&str, Ref)] = &[
    ("$actor", Ref::Actor),
    ("$requester", Ref::Requester),
    ("$company", Ref::Company),
    ("$team", Ref::Team),
    ("$entitlement", Ref::Entitlement),
];

/// The records that a row speaks of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refs {
    pub(crate) actor: Option<Id>,
    pub(crate) requester: Option<Party>,
    pub(crate) company: Option<Id>,
    pub(crate) team: Option<Id>,
    pub(crate) entitlement: Option<Id>,
}

impl Refs {
    fn value(&self, of: Ref) -> Option<Value> {
        let id = |id: Option<Id>| id.map(|id| Value::String(id.to_string()));
        match of {
            Ref::Actor => id(self.actor),
            Ref::Requester => self.requester.and_then(|party| serde_json::to_value(party).ok()),
            Ref::Company => id(self.company),
            Ref::Team => id(self.team),
            Ref::Entitlement => id(self.entitlement),
        }
    }
}

impl Expr {
    fn of(value: toml::Value) -> Result<Expr, String> {
        Ok(match value {
            toml::Value::String(text) if text.starts_with('$') => match REFS.iter().find(|(name, _)| *name == text) {
                Some((_, of)) => Expr::Record(*of),
                None => {
                    let known: Vec<_> = REFS.iter().map(|(name, _)| *name).collect();
                    return Err(format!("there is no {text}; there are {}", known.join(", ")));
                }
            },
            toml::Value::String(text) => {
                let template = Template::parse(&text)?;
                match template.plain() {
                    Some(plain) => Expr::Plain(plain.into()),
                    None => Expr::Text(template),
                }
            }
            toml::Value::Array(values) => Expr::List(values.into_iter().map(Expr::of).collect::<Result<_, _>>()?),
            toml::Value::Table(table) if table.contains_key("column") => Expr::choice(table)?,
            toml::Value::Table(table) => Expr::Table(body(table)?),
            toml::Value::Datetime(time) => Expr::Plain(time.to_string().into()),
            plain => Expr::Plain(serde_json::to_value(plain).map_err(|error| error.to_string())?),
        })
    }

    fn choice(mut table: toml::Table) -> Result<Expr, String> {
        let json = |value: toml::Value| serde_json::to_value(value).map_err(|error| error.to_string());
        let Some(toml::Value::String(column)) = table.remove("column") else {
            return Err("column is the name of a column".into());
        };
        let values = match table.remove("values") {
            Some(toml::Value::Table(values)) => {
                values.into_iter().map(|(cell, value)| Ok((cell, json(value)?))).collect::<Result<_, String>>()?
            }
            Some(_) => return Err("values is a table: what a cell may hold = what it means".into()),
            None => BTreeMap::new(),
        };
        let otherwise = table.remove("otherwise").map(json).transpose()?;
        if let Some((unknown, _)) = table.into_iter().next() {
            return Err(format!("beside column there may be values and otherwise, not {unknown}"));
        }
        let from = Template::of_column(&column);
        Ok(if values.is_empty() && otherwise.is_none() {
            Expr::Text(from)
        } else {
            Expr::Choice { from, values, otherwise }
        })
    }

    /// Its value in a row; `None` when the row says nothing.
    pub(crate) fn value(&self, cells: &Cells<'_>, refs: &Refs) -> Result<Option<Value>, Fault> {
        Ok(match self {
            Expr::Plain(value) => Some(value.clone()),
            Expr::Text(template) => template.fill(cells).map(Value::String),
            Expr::Record(of) => refs.value(*of),
            Expr::Choice { from, values, otherwise } => match from.fill(cells) {
                None => otherwise.clone(),
                Some(cell) => match values.get(&cell).or(otherwise.as_ref()) {
                    Some(value) => Some(value.clone()),
                    None => {
                        let column = from.columns().next().unwrap_or_default();
                        let reason = format!("The mapping does not say what {cell} in column {column} means.");
                        return Err(Fault::new("value_unmapped", reason));
                    }
                },
            },
            Expr::List(exprs) => {
                let values: Vec<_> = exprs.iter().map(|expr| expr.value(cells, refs)).collect::<Result<_, _>>()?;
                Some(Value::Array(values.into_iter().flatten().collect()))
            }
            Expr::Table(entries) => Some(Value::Object(object(entries, cells, refs)?)),
        })
    }

    fn each_template<'a>(&'a self, see: &mut impl FnMut(&'a Template)) {
        match self {
            Expr::Text(template) | Expr::Choice { from: template, .. } => see(template),
            Expr::List(exprs) => exprs.iter().for_each(|expr| expr.each_template(see)),
            Expr::Table(entries) => entries.iter().for_each(|(_, expr)| expr.each_template(see)),
            Expr::Plain(_) | Expr::Record(_) => {}
        }
    }

    /// Whether its value differs from row to row.
    fn varies(&self) -> bool {
        let mut varies = matches!(self, Expr::Choice { .. });
        self.each_template(&mut |_| varies = true);
        varies
    }

    /// A value such as it may have.
    fn sample(&self) -> Value {
        match self {
            Expr::Plain(value) => value.clone(),
            Expr::Text(_) => "sample".into(),
            Expr::Record(of) => {
                let id = Id::from_bits(1);
                let refs = Refs {
                    actor: Some(id),
                    requester: Some(Party::contact(id)),
                    company: Some(id),
                    team: Some(id),
                    entitlement: Some(id),
                };
                refs.value(*of).unwrap_or_default()
            }
            Expr::Choice { values, otherwise, .. } => {
                values.values().next().or(otherwise.as_ref()).cloned().unwrap_or_default()
            }
            Expr::List(exprs) => exprs.iter().map(Expr::sample).collect(),
            Expr::Table(entries) => entries.iter().map(|(key, expr)| (key.clone(), expr.sample())).collect(),
        }
    }
}

/// The object that a row says; what it says nothing of is left out.
pub(crate) fn object(entries: &[(String, Expr)], cells: &Cells<'_>, refs: &Refs) -> Result<Map<String, Value>, Fault> {
    let mut object = Map::new();
    for (key, expr) in entries {
        if let Some(value) = expr.value(cells, refs)? {
            object.insert(key.clone(), value);
        }
    }
    Ok(object)
}

fn body(table: toml::Table) -> Result<Vec<(String, Expr)>, String> {
    let entry = |(key, value): (String, toml::Value)| {
        Expr::of(value).map(|expr| (key.clone(), expr)).map_err(|error| format!("{key}: {error}"))
    };
    table.into_iter().map(entry).collect()
}

impl When {
    /// The instant that a row names.
    pub(crate) fn read(&self, cells: &Cells<'_>) -> Result<jiff::Timestamp, Fault> {
        match cells.get(&self.column) {
            "" => Err(Fault::new("time_missing", format!("Column {} is empty.", self.column))),
            text => self.instant(text),
        }
    }

    /// The instant that a text names.
    pub(crate) fn instant(&self, text: &str) -> Result<jiff::Timestamp, Fault> {
        let invalid = |why: String| Fault::new("time_invalid", format!("{text} is no time: {why}."));
        let instant = match &self.format {
            None => match text.parse::<jiff::Timestamp>() {
                Ok(instant) => Ok(instant),
                Err(_) => text.parse().and_then(|local: jiff::civil::DateTime| self.in_zone(local)),
            },
            Some(format) => jiff::fmt::strtime::parse(format, text).and_then(|parts| match parts.offset() {
                Some(_) => parts.to_timestamp(),
                None => self.in_zone(parts.to_date()?.to_datetime(parts.to_time()?)),
            }),
        };
        let instant = instant.map_err(|error| invalid(error.to_string()))?;
        jiff::Timestamp::from_microsecond(instant.as_microsecond()).map_err(|error| invalid(error.to_string()))
    }

    /// The day that a text names, with a time of day or without.
    pub(crate) fn day(&self, text: &str) -> Result<jiff::civil::Date, Fault> {
        let invalid = |error: jiff::Error| Fault::new("date_invalid", format!("{text} is no date: {error}."));
        match &self.format {
            None => text.parse::<jiff::civil::Date>().map_err(invalid),
            Some(format) => jiff::fmt::strtime::parse(format, text).and_then(|parts| parts.to_date()).map_err(invalid),
        }
    }

    fn in_zone(&self, local: jiff::civil::DateTime) -> Result<jiff::Timestamp, jiff::Error> {
        Ok(local.to_zoned(self.zone.clone())?.timestamp())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    source: Option<String>,
    #[serde(default)]
    file: RawFile,
    columns: RawColumns,
    #[serde(default)]
    time: RawTime,
    user: Option<toml::Table>,
    company: Option<toml::Table>,
    contact: Option<toml::Table>,
    product_category: Option<toml::Table>,
    product: Option<toml::Table>,
    entitlement: Option<toml::Table>,
    team: Option<toml::Table>,
    ticket: RawTicket,
    #[serde(default)]
    custom: BTreeMap<String, RawCustom>,
    #[serde(default)]
    activities: BTreeMap<String, RawActivity>,
    otherwise: Option<RawActivity>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    delimiter: Option<char>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumns {
    case: String,
    activity: String,
    time: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTime {
    format: Option<String>,
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTicket {
    title: Template,
    description: Option<Template>,
    channel: Option<String>,
    origin: Option<Template>,
    category: Option<Template>,
    priority: Option<toml::Value>,
    #[serde(default)]
    tags: Vec<Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCustom {
    column: Option<String>,
    value: Option<Template>,
    label: Option<String>,
    #[serde(rename = "type")]
    field_type: FieldType,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawActivity {
    #[serde(default)]
    commands: Vec<toml::Table>,
    #[serde(default)]
    otherwise: Otherwise,
    note: Option<Template>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Otherwise {
    #[default]
    Note,
    Nothing,
}

/// What stands between two cells, as one byte.
pub(crate) fn delimiter(given: Option<char>) -> Result<u8, String> {
    let delimiter = given.unwrap_or(',');
    match u8::try_from(delimiter) {
        Ok(byte) if byte.is_ascii() && byte != b'"' && byte != b'\n' && byte != b'\r' => Ok(byte),
        _ => Err("file.delimiter: one ASCII character, such as \";\" or \"\\t\"".into()),
    }
}

/// A time format and zone.
pub(crate) fn when(column: &str, format: Option<String>, zone: Option<&str>) -> Result<When, String> {
    let zone = match zone {
        None | Some("UTC") => TimeZone::UTC,
        Some(name) => TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| format!("time.zone: {name} is no time zone of the IANA database, such as Europe/Rome"))?,
    };
    Ok(When { column: column.to_owned(), format, zone })
}

/// What TOML's parser says, with its line and column.
pub(crate) fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}: {message}")
        }
        None => message.to_owned(),
    }
}

impl Mapping {
    /// Reads and checks a mapping.
    pub(crate) fn parse(text: &str) -> Result<Mapping, MappingError> {
        let raw: Raw = toml::from_str(text).map_err(|error| MappingError(vec![located(text, &error)]))?;
        let mut check = Check(Vec::new());
        let mapping = check.mapping(raw);
        match mapping {
            Some(mapping) if check.0.is_empty() => Ok(mapping),
            _ => Err(MappingError(check.0)),
        }
    }

    /// Checks that the file has every column that is named.
    pub(crate) fn check(&self, header: &Header) -> Result<(), MappingError> {
        let mut missing: Vec<String> = Vec::new();
        let mut need = |column: &str| {
            if !header.has(column) && missing.iter().all(|known| known != column) {
                missing.push(column.to_owned());
            }
        };
        [&self.case, &self.activity, &self.time.column].into_iter().for_each(|column| need(column));
        self.each_template(&mut |template| template.columns().for_each(&mut need));
        if missing.is_empty() {
            return Ok(());
        }
        let there = header.names().join(", ");
        Err(MappingError(
            missing.into_iter().map(|column| format!("the file has no column {column}; it has {there}")).collect(),
        ))
    }

    /// What an activity does; `None` when the mapping does not know it.
    pub(crate) fn activity(&self, name: &str) -> Option<&Activity> {
        self.activities.get(name).or(self.otherwise.as_ref())
    }

    fn each_template<'a>(&'a self, see: &mut impl FnMut(&'a Template)) {
        let records = [&self.user, &self.company, &self.contact, &self.product_category, &self.product, &self.team];
        for record in records.into_iter().flatten() {
            see(&record.key);
            record.body.iter().for_each(|(_, expr)| expr.each_template(see));
        }
        for (_, expr) in self.entitlement.iter().flat_map(|entitlement| &entitlement.body) {
            expr.each_template(see);
        }
        let ticket = &self.ticket;
        see(&ticket.title);
        [&ticket.description, &ticket.origin, &ticket.category].into_iter().flatten().for_each(&mut *see);
        ticket.tags.iter().for_each(&mut *see);
        ticket.priority.iter().for_each(|expr| expr.each_template(see));
        self.custom.values().for_each(|field| see(&field.value));
        for activity in self.activities.values().chain(&self.otherwise) {
            activity.note.iter().for_each(&mut *see);
            for (_, expr) in activity.steps.iter().flat_map(|step| &step.arguments) {
                expr.each_template(see);
            }
        }
    }
}

/// Collects faults, so that all are told at once.
struct Check(Vec<String>);

impl Check {
    fn ok<T>(&mut self, place: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.0.push(format!("{place}: {error}"))).ok()
    }

    fn mapping(&mut self, raw: Raw) -> Option<Mapping> {
        let time = when(&raw.columns.time, raw.time.format, raw.time.zone.as_deref());
        let time = time.map_err(|error| self.0.push(error)).ok();
        let delimiter = delimiter(raw.file.delimiter).map_err(|error| self.0.push(error)).ok();
        let user = self.record::<User>("user", raw.user);
        let company = self.record::<Company>("company", raw.company);
        let contact = self.record::<Contact>("contact", raw.contact);
        let product_category = self.record::<ProductCategory>("product_category", raw.product_category);
        let product = self.record::<Product>("product", raw.product);
        let team = self.record::<Team>("team", raw.team);
        if product.is_some() && contact.is_none() {
            self.0
                .push("product: a ticket takes a product only from its requester, so say who asks in [contact]".into());
        }
        if product_category.is_some() && product.is_none() {
            self.0.push("product_category: there is no [product] to put into it".into());
        }
        let entitlement = product.is_some().then(|| self.entitlement(raw.entitlement, company.is_some()));
        let ticket = self.ticket(raw.ticket);
        let custom = raw.custom.into_iter().filter_map(|(key, field)| Some((key.clone(), self.custom(&key, field)?)));
        let custom: BTreeMap<_, _> = custom.collect();
        let mut activities = BTreeMap::new();
        for (name, activity) in raw.activities {
            let place = format!("activities.{name:?}");
            activities.insert(name, self.activity(&place, &raw.columns.activity, activity));
        }
        let otherwise = raw.otherwise.map(|activity| self.activity("otherwise", &raw.columns.activity, activity));
        if activities.is_empty() && otherwise.is_none() {
            self.0.push("activities: say what at least one activity does, or what any does in [otherwise]".into());
        }
        Some(Mapping {
            source: raw.source,
            delimiter: delimiter?,
            case: raw.columns.case,
            activity: raw.columns.activity,
            time: time?,
            user,
            company,
            contact,
            product_category,
            product,
            entitlement: entitlement.flatten(),
            team,
            ticket: ticket?,
            custom,
            activities,
            otherwise,
        })
    }

    fn record<A: Aggregate>(&mut self, place: &str, table: Option<toml::Table>) -> Option<RecordMap> {
        let mut table = table?;
        let key = match table.remove("key") {
            Some(toml::Value::String(key)) => Template::parse(&key),
            _ => Err("key says which one it is, such as \"{customer}\"".into()),
        };
        let key = self.ok(place, key);
        let body = self.ok(place, body(table));
        let (key, body) = (key?, body?);
        if key.plain().is_some() {
            self.0.push(format!("{place}: key names no column, so that all rows would mean the same one"));
        }
        self.command::<A>(place, A::CREATE, &body, true);
        Some(RecordMap { key, body })
    }

    fn entitlement(&mut self, table: Option<toml::Table>, has_company: bool) -> Option<EntitlementMap> {
        let mut table = table.unwrap_or_default();
        let by_company = match table.remove("holder") {
            None => has_company,
            Some(toml::Value::String(holder)) if holder == "company" && has_company => true,
            Some(toml::Value::String(holder)) if holder == "contact" => false,
            Some(_) => {
                self.0.push("entitlement: holder is \"company\" (then there is a [company]) or \"contact\"".into());
                return None;
            }
        };
        let body = self.ok("entitlement", body(table))?;
        let mut full = body.clone();
        full.push(("product".into(), Expr::Record(Ref::Company)));
        full.push(("holder".into(), Expr::Record(Ref::Requester)));
        self.command::<Entitlement>("entitlement", Entitlement::CREATE, &full, true);
        Some(EntitlementMap { by_company, body })
    }

    fn ticket(&mut self, raw: RawTicket) -> Option<TicketMap> {
        let priority = raw.priority.map(|priority| self.ok("ticket.priority", Expr::of(priority)));
        let priority = match priority {
            None => None,
            Some(priority) => Some(priority?),
        };
        let meant = match &priority {
            Some(Expr::Choice { values, otherwise, .. }) => values.values().chain(otherwise).cloned().collect(),
            Some(Expr::Plain(value)) => vec![value.clone()],
            Some(_) => {
                let example = "{ column = \"severity\", values = { low = 0, high = 3 }, otherwise = 1 }";
                self.0.push(format!("ticket.priority: a number from 0 to 3, or {example}"));
                vec![]
            }
            None => vec![],
        };
        for value in meant.iter().filter(|value| serde_json::from_value::<Priority>((*value).clone()).is_err()) {
            self.0.push(format!("ticket.priority: {value} is not 0 (low), 1, 2 or 3 (urgent)"));
        }
        let RawTicket { title, description, channel, origin, category, tags, .. } = raw;
        let channel = channel.unwrap_or_else(|| "import".into());
        Some(TicketMap { title, description, channel, origin, category, priority, tags })
    }

    fn custom(&mut self, key: &str, raw: RawCustom) -> Option<CustomMap> {
        let value = match (raw.column, raw.value) {
            (Some(column), None) => Template::of_column(&column),
            (None, Some(value)) => value,
            _ => {
                self.0.push(format!("custom.{key}: say either its column or its value"));
                return None;
            }
        };
        let select = matches!(raw.field_type, FieldType::Select | FieldType::MultiSelect);
        if !select && !raw.options.is_empty() {
            self.0.push(format!("custom.{key}: only a select has options"));
        }
        Some(CustomMap { value, label: raw.label, field_type: raw.field_type, options: raw.options })
    }

    fn activity(&mut self, place: &str, column: &str, raw: RawActivity) -> Activity {
        let mut steps = Vec::new();
        for (at, table) in raw.commands.into_iter().enumerate() {
            steps.extend(self.step(&format!("{place}.commands[{at}]"), table));
        }
        if raw.otherwise == Otherwise::Nothing && raw.note.is_some() {
            self.0.push(format!("{place}: with otherwise = \"nothing\" there is no note"));
        }
        let note = raw.note.unwrap_or_else(|| Template::of_column(column));
        Activity { steps, note: (raw.otherwise == Otherwise::Note).then_some(note) }
    }

    fn step(&mut self, place: &str, mut table: toml::Table) -> Option<Step> {
        let command = match table.remove("command") {
            Some(toml::Value::String(command)) => Ok(command),
            _ => Err("command names a command of tickets, such as \"assign\"".to_owned()),
        };
        let command = self.ok(place, command)?;
        let when = self.ok(place, statuses(table.remove("when")))?;
        let arguments = self.ok(place, body(table))?;
        if command == Ticket::CREATE {
            self.0.push(format!("{place}: a case's first row opens its ticket by itself"));
            return None;
        }
        self.command::<Ticket>(place, &command, &arguments, false);
        Some(Step { command, when, arguments })
    }

    /// Checks a command's name and arguments as far as that goes without a row.
    fn command<A: Aggregate>(&mut self, place: &str, name: &str, arguments: &[(String, Expr)], creates: bool) {
        let sample: Map<String, Value> = arguments.iter().map(|(key, expr)| (key.clone(), expr.sample())).collect();
        let varies = arguments.iter().any(|(_, expr)| expr.varies());
        let Err(error) = A::Command::from_value(name, Value::Object(sample)) else { return };
        if error.code == "unknown_name" {
            self.0.push(format!("{place}: there is no command {name}"));
        } else if error.code != "invalid" || !varies {
            let what = if creates { String::new() } else { format!("{name} ") };
            self.0.push(format!("{place}: {what}{}: {}", error.pointer.trim_start_matches('/'), error.detail));
        }
    }
}

fn statuses(when: Option<toml::Value>) -> Result<Vec<Status>, String> {
    let one_of = || "when is open, resolved or closed, or a list of them".to_owned();
    let names = match when {
        None => vec![],
        Some(toml::Value::Array(names)) => names,
        Some(name) => vec![name],
    };
    let status = |name: toml::Value| match name.as_str() {
        Some("open") => Ok(Status::Open),
        Some("resolved") => Ok(Status::Resolved),
        Some("closed") => Ok(Status::Closed),
        _ => Err(one_of()),
    };
    names.into_iter().map(status).collect()
}

/// A cell as a value of a custom field's type; what does not fit stays text, which the field then refuses.
pub(crate) fn typed(field_type: FieldType, text: &str) -> Value {
    match field_type {
        FieldType::Number => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            _ => text.into(),
        },
        FieldType::MultiSelect => {
            json!(text.split(';').map(str::trim).filter(|choice| !choice.is_empty()).collect::<Vec<_>>())
        }
        // `12.50 EUR`
        FieldType::Money => match text.split_once(' ') {
            Some((amount, currency)) => json!({ "amount": amount, "currency": currency.trim() }),
            None => text.into(),
        },
        _ => text.into(),
    }
}

/// The commands that the steps of a row come to.
pub(crate) fn commands(steps: &[Step], status: Status, cells: &Cells<'_>, refs: &Refs) -> Result<Vec<Command>, Fault> {
    let mut commands = Vec::new();
    for step in steps.iter().filter(|step| step.when.is_empty() || step.when.contains(&status)) {
        let arguments = object(&step.arguments, cells, refs)?;
        let command = Command::from_value(&step.command, Value::Object(arguments)).map_err(|error| {
            let code = if error.code == "required" { "value_missing" } else { "value_invalid" };
            let place = error.pointer.trim_start_matches('/');
            Fault::new(code, format!("{} of {}: {}", place, step.command, error.detail))
        })?;
        commands.push(command);
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SMALL: &str = r#"
[columns]
case = "case"
activity = "what"
time = "at"
[time]
format = "%d.%m.%Y %H:%M"
zone = "Europe/Rome"
[user]
key = "{who}"
name = "{who}"
email = "{who|slug}@example.com"
[ticket]
title = "{case}"
[activities.take]
commands = [
    { command = "reopen", when = ["resolved", "closed"] },
    { command = "assign", assignee = "$actor" },
]
"#;

    fn faults(text: &str) -> String {
        Mapping::parse(text).unwrap_err().to_string()
    }

    fn with(more: &str) -> String {
        format!("{SMALL}{more}")
    }

    #[test]
    fn a_mapping_is_read() {
        let mapping = Mapping::parse(SMALL).unwrap();
        let header = Header::new(["case", "what", "at", "who"].map(str::to_owned).into()).unwrap();
        assert_eq!(mapping.check(&header), Ok(()));
        let cells = ["1", "take", "09.10.2012 14:50", "Anna"].map(str::to_owned);
        let cells = header.cells(&cells);
        assert_eq!(mapping.time.read(&cells).unwrap().to_string(), "2012-10-09T12:50:00Z");
        let anna = Id::from_bits(7);
        let refs = Refs { actor: Some(anna), ..Refs::default() };
        let steps = &mapping.activity("take").unwrap().steps;
        let assign = || Command::from_value("assign", json!({ "assignee": anna })).unwrap();
        assert_eq!(commands(steps, Status::Open, &cells, &refs).unwrap(), [assign()]);
        assert_eq!(commands(steps, Status::Closed, &cells, &refs).unwrap(), [Command::Reopen, assign()]);
        let nobody = commands(steps, Status::Open, &cells, &Refs::default()).unwrap_err();
        assert_eq!(nobody.code, "value_missing");
        assert!(mapping.activity("drop").is_none());
    }

    #[test]
    fn faults_name_their_place() {
        assert!(faults("[columns]\ncase = 1").starts_with("line 2, column 8: "));
        assert!(faults(&with("[bonus]\n")).contains("bonus"));
        assert!(faults(&SMALL.replace("Europe/Rome", "Europe/Atlantis")).contains("time.zone: Europe/Atlantis"));
        let step = |step: &str| faults(&with(&format!("[activities.x]\ncommands = [{step}]\n")));
        assert!(step(r#"{ command = "fly" }"#).contains("activities.\"x\".commands[0]: there is no command fly"));
        assert!(step(r#"{ command = "move_stage", stages = "a" }"#).contains("stages"));
        assert!(step(r#"{ command = "tag" }"#).contains("tag"));
        assert!(step(r#"{ command = "open" }"#).contains("opens its ticket by itself"));
        assert!(step(r#"{ command = "assign", assignee = "$boss" }"#).contains("there is no $boss"));
        assert!(step(r#"{ command = "assign", assignee = "anna" }"#).contains("assignee"));
        assert!(step(r#"{ command = "close", when = "merged" }"#).contains("when is open"));
        assert!(step(r#"{ command = "tag", tag = "{x" }"#).contains("not closed"));
        assert!(faults(&with("[company]\nname = \"{who}\"\n")).contains("company: key"));
        assert!(faults(&with("[company]\nkey = \"x\"\nname = \"x\"\n")).contains("names no column"));
        assert!(faults(&with("[company]\nkey = \"{who}\"\nnames = \"x\"\n")).contains("names"));
        assert!(faults(&with("[product]\nkey = \"{who}\"\nname = \"x\"\n")).contains("say who asks"));
        assert!(faults(&with("[custom.a]\ntype = \"text\"\n")).contains("custom.a: say either"));
        let priority = SMALL.replace("title = \"{case}\"", "title = \"{case}\"\npriority = 7");
        assert!(faults(&priority).contains("7 is not 0"));
    }

    #[test]
    fn a_file_without_a_named_column_is_refused() {
        let header = Header::new(["case", "what", "at"].map(str::to_owned).into()).unwrap();
        let error = Mapping::parse(SMALL).unwrap().check(&header).unwrap_err();
        assert_eq!(error.0, ["the file has no column who; it has case, what, at"]);
    }

    #[test]
    fn choices_say_what_a_cell_means() {
        let header = Header::new(vec!["s".into()]).unwrap();
        let expr = Expr::of(toml::from_str::<toml::Table>("column='s'\nvalues={a=1}").unwrap().into()).unwrap();
        let value = |cell: &str| expr.value(&header.cells(&[cell.to_owned()]), &Refs::default());
        assert_eq!(value("a").unwrap(), Some(json!(1)));
        assert_eq!(value("").unwrap(), None);
        assert_eq!(value("b").unwrap_err().code, "value_unmapped");
    }

    #[test]
    fn times_are_read_as_the_file_writes_them() {
        let header = Header::new(vec!["at".into()]).unwrap();
        let read = |format: Option<&str>, text: &str| {
            let when = when("at", format.map(str::to_owned), None).unwrap();
            when.read(&header.cells(&[text.to_owned()])).map(|time| time.to_string()).map_err(|fault| fault.code)
        };
        let padua = Some("%Y/%m/%d %H:%M:%S%.f");
        assert_eq!(read(padua, "2012/10/09 14:50:17.000").unwrap(), "2012-10-09T14:50:17Z");
        assert_eq!(read(None, "2012-10-09T14:50:17+02:00").unwrap(), "2012-10-09T12:50:17Z");
        assert_eq!(read(None, "2012-10-09 14:50:17.123456789").unwrap(), "2012-10-09T14:50:17.123456Z");
        assert_eq!(read(Some("%Y-%m-%d"), "2012-10-09").unwrap(), "2012-10-09T00:00:00Z");
        assert_eq!(read(Some("%Y-%m-%d %H:%M %z"), "2012-10-09 14:50 +0200").unwrap(), "2012-10-09T12:50:00Z");
        assert_eq!(read(padua, "yesterday").unwrap_err(), "time_invalid");
        assert_eq!(read(padua, " ").unwrap_err(), "time_missing");
    }
}
