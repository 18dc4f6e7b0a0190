//! Suggests what the columns of a file mean, by their names in the languages of the house and by what their cells hold.

use std::collections::BTreeMap;

use domain::kernel::custom::Definitions;
use unicode_normalization::UnicodeNormalization;
use web::Language;

use super::{
    attributes::{Attribute, Shape, Type, shapes},
    layout::Layout,
    mapping::when,
    rows::{Header, Row},
    sheet::{MADE_BY_NAME, number},
};

/// What columns are called elsewhere, by attribute. The first of a kind's attributes that a name fits has it.
const SYNONYMS: &[(&str, &[&str])] = &[
    (
        "name",
        &[
            "full name",
            "display name",
            "customer name",
            "title",
            "jmeno",
            "cele jmeno",
            "nazev",
            "nazev firmy",
            "імʼя",
            "імя",
            "піб",
            "назва",
            "фио",
            "имя",
            "наименование",
            "название",
            "vardas",
            "vardas pavarde",
            "pavadinimas",
        ],
    ),
    (
        "title",
        &[
            "subject",
            "summary",
            "task",
            "task name",
            "name",
            "predmet",
            "nazev",
            "ukol",
            "тема",
            "задача",
            "завдання",
            "tema",
            "uzduotis",
        ],
    ),
    (
        "email",
        &[
            "e mail",
            "email address",
            "e mail address",
            "mail",
            "primary email",
            "requester email",
            "почта",
            "электронная почта",
            "эл почта",
            "електронна пошта",
            "пошта",
            "el pastas",
            "elektroninis pastas",
        ],
    ),
    (
        "phone",
        &[
            "phone number",
            "telephone",
            "tel",
            "work phone",
            "mobile",
            "mobile phone",
            "cell",
            "telefon",
            "telefonni cislo",
            "mobil",
            "номер телефона",
            "тел",
            "мобильный",
            "номер телефону",
            "мобільний",
            "telefonas",
            "tel nr",
            "mobilusis",
        ],
    ),
    (
        "further_phones",
        &["mobile phone number", "other phone", "second phone", "fax", "phone 2", "mobile phone", "mobile"],
    ),
    ("further_emails", &["other email", "second email", "additional emails", "email 2", "secondary email"]),
    (
        "company",
        &[
            "company name",
            "organization",
            "organisation",
            "account",
            "account name",
            "employer",
            "associated company",
            "firm",
            "firma",
            "spolecnost",
            "организация",
            "фирма",
            "організація",
            "фірма",
            "imone",
            "bendrove",
        ],
    ),
    (
        "customer",
        &[
            "contact",
            "client",
            "buyer",
            "customer email",
            "email",
            "zakaznik",
            "клиент",
            "покупатель",
            "клієнт",
            "покупець",
            "klientas",
            "pirkejas",
        ],
    ),
    ("contact", &["customer", "client", "associated contact", "contact email", "клиент", "клієнт", "klientas"]),
    ("requester", &["requester email", "email", "customer email", "contact"]),
    (
        "address",
        &[
            "street",
            "street address",
            "postal address",
            "address line 1",
            "adresa",
            "ulice",
            "улица",
            "вулиця",
            "gatve",
        ],
    ),
    ("city", &["town", "mesto", "obec", "населенный пункт", "населений пункт", "miestas"]),
    ("country", &["country region", "country code", "zeme", "stat", "salis"]),
    (
        "description",
        &[
            "notes",
            "note",
            "comment",
            "comments",
            "details",
            "about",
            "poznamka",
            "popis",
            "примечание",
            "заметки",
            "комментарий",
            "примітка",
            "нотатки",
            "pastabos",
            "aprasymas",
        ],
    ),
    ("text", &["description", "notes", "details", "body"]),
    ("website", &["web", "url", "web site", "homepage", "website url", "web page", "сайт", "svetaine"]),
    ("domain", &["domains", "company domain name", "email domain"]),
    ("industry", &["line of business", "sector", "obor", "отрасль", "галузь", "sritis"]),
    ("tags", &["labels", "keywords", "stitky", "теги", "метки", "мітки", "zymos"]),
    (
        "owner",
        &[
            "contact owner",
            "company owner",
            "deal owner",
            "lead owner",
            "account manager",
            "vlastnik",
            "ответственный",
            "відповідальний",
            "atsakingas",
        ],
    ),
    (
        "assignee",
        &["assigned to", "agent", "responsible", "owner", "resitel", "исполнитель", "виконавець", "vykdytojas"],
    ),
    ("team", &["group", "department", "tym", "отдел", "відділ", "skyrius"]),
    ("due_at", &["due", "due date", "deadline", "due by", "termin", "срок", "термін", "terminas"]),
    ("expected_on", &["close date", "expected close date", "closing date"]),
    ("amount", &["value", "deal amount", "sum", "castka", "сумма", "сума", "suma"]),
    ("price", &["unit price", "list price", "cost", "amount", "cena", "цена", "ціна", "kaina"]),
    (
        "total",
        &[
            "amount",
            "order total",
            "sum",
            "grand total",
            "celkem",
            "сумма",
            "итого",
            "сума",
            "разом",
            "is viso",
            "suma",
        ],
    ),
    (
        "external_number",
        &[
            "order number",
            "order id",
            "order no",
            "number",
            "no",
            "cislo objednavky",
            "номер заказа",
            "номер",
            "номер замовлення",
            "uzsakymo numeris",
        ],
    ),
    ("sku", &["article", "article number", "item number", "product code", "code", "артикул", "kodas"]),
    (
        "rooms",
        &["number of rooms", "pokoje", "pocet pokoju", "комнат", "количество комнат", "кількість кімнат", "kambariai"],
    ),
    ("area", &["square metres", "square meters", "size", "plocha", "площадь", "площа", "plotas"]),
    ("stage", &["lead status", "deal stage", "phase", "faze", "этап", "етап", "etapas"]),
    ("status", &["state", "stav", "состояние", "стан", "busena"]),
    ("pipeline", &["sales pipeline"]),
    ("source", &["lead source", "original source", "channel", "zdroj", "источник", "джерело", "saltinis"]),
    ("locale", &["language", "jazyk", "язык", "мова", "kalba"]),
    ("time_zone", &["timezone", "tz"]),
];
/// What the column of another system's own ids is called.
const KEYS: &[&str] = &["record id", "external id", "unique external id", "id", "uid", "uuid", "guid", "ид", "код"];
/// What the column is called that says when a record came into being.
const CREATED: &[&str] = &[
    "created",
    "created at",
    "create date",
    "creation date",
    "created time",
    "created on",
    "vytvoreno",
    "дата создания",
    "создан",
    "дата створення",
    "створено",
    "sukurta",
];
const CURRENCIES: &[&str] = &["currency", "currency code", "mena", "валюта", "valiuta"];
const FIRST_NAMES: &[&str] = &["first name", "given name", "forename", "krestni jmeno", "имя", "імʼя", "vardas"];
const LAST_NAMES: &[&str] = &["last name", "surname", "family name", "prijmeni", "фамилия", "прізвище", "pavarde"];
/// How times are written where they are not written as computers do.
const FORMATS: &[&str] = &[
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
];
/// The kinds that files are likeliest to hold, the likeliest first.
const LIKELY: &[&str] = &["contact", "company", "order", "product", "deal", "lead", "ticket", "task", "property"];

/// What a file may mean.
pub(crate) struct Suggested {
    /// The mapping.
    pub(crate) table: toml::Table,
    /// Attributes that such a record needs and no column has.
    pub(crate) lacks: Vec<String>,
}

/// A name as it is compared with others.
pub(crate) fn loose(name: &str) -> String {
    let letters = name.nfkd().filter(|letter| !unicode_normalization::char::is_combining_mark(*letter));
    letters.filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is(column: &str, names: &[&str]) -> bool {
    let column = loose(column);
    names.iter().any(|name| loose(name) == column)
}

/// The file as it is looked at.
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    pub(crate) header: &'a Header,
    pub(crate) rows: &'a [Row],
    pub(crate) layout: Layout,
}

impl Sample<'_> {
    /// The cells of a column that are not blank.
    fn cells(&self, column: &str) -> Vec<&str> {
        let cells = self.rows.iter().map(|row| self.header.cells(&row.cells).get(column));
        cells.filter(|cell| !cell.is_empty()).collect()
    }

    /// The column that fits one of these names best: earlier names first.
    fn column(&self, names: &[String], taken: &[String]) -> Option<String> {
        let free = |column: &&String| !taken.contains(column);
        names
            .iter()
            .find_map(|name| self.header.names().iter().filter(free).find(|column| loose(column) == *name))
            .cloned()
    }

    /// The kind of records that the columns are likeliest of.
    pub(crate) fn kind(&self) -> Option<&'static Shape> {
        let file = loose(self.name);
        let rank = |shape: &Shape| LIKELY.iter().rev().position(|kind| *kind == shape.kind.name).map_or(0, |at| at + 1);
        let score = |shape: &Shape| {
            let found = self.columns(shape);
            let called = file.contains(&loose(shape.kind.plural)) || file.contains(shape.kind.name);
            let lacks = shape.needed().any(|attribute| !found.contains_key(&attribute.name));
            (!lacks && !found.is_empty(), found.len() + if called { 3 } else { 0 }, rank(shape))
        };
        shapes().max_by_key(|shape| score(shape))
    }

    /// Attributes with the columns that say them by their names.
    fn columns(&self, shape: &Shape) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut taken: Vec<String> = Vec::new();
        // What people call an attribute comes before what it may be called elsewhere.
        for own in [true, false] {
            // A second number is one behind a first.
            let further = |attribute: &&Attribute| attribute.name.starts_with("further_");
            let (behind, first): (Vec<_>, Vec<_>) = shape.attributes.values().partition(further);
            for attribute in first.into_iter().chain(behind) {
                if found.contains_key(&attribute.name) {
                    continue;
                }
                let names = if own { own_names(&attribute.name) } else { synonyms(shape, &attribute.name) };
                if let Some(column) = self.column(&names, &taken) {
                    taken.push(column.clone());
                    found.insert(attribute.name.clone(), column);
                }
            }
        }
        let parts = [FIRST_NAMES, LAST_NAMES].map(|names| self.header.names().iter().find(|column| is(column, names)));
        if let ([Some(first), Some(last)], true) = (parts, shape.attributes.contains_key("name")) {
            found.insert("name".into(), format!("{first}\u{0}{last}"));
        }
        found
    }

    /// What the columns mean, as a mapping of records of this kind.
    pub(crate) fn suggest(&self, shape: &Shape, definitions: &Definitions) -> Suggested {
        let mut found = self.columns(shape);
        let mut taken: Vec<String> =
            found.values().flat_map(|columns| columns.split('\u{0}')).map(str::to_owned).collect();
        let mut table = toml::Table::new();
        table.insert("record".into(), shape.kind.name.into());
        table.insert("source".into(), self.source.into());
        let own = [format!("{} id", shape.kind.name), format!("{} number", shape.kind.name)].map(|name| loose(&name));
        let keys: Vec<String> = own.into_iter().chain(KEYS.iter().map(|name| loose(name))).collect();
        if let Some(key) = self.column(&keys, &taken) {
            table.insert("key".into(), place(&key));
            taken.push(key);
        }
        let created: Vec<String> = CREATED.iter().map(|name| loose(name)).collect();
        let mut times: Vec<String> = Vec::new();
        if let Some(column) = self.column(&created, &taken).filter(|column| self.format(&[column]).is_some()) {
            table.insert("created".into(), place(&column));
            taken.push(column.clone());
            times.push(column);
        }
        let mut fields = toml::Table::new();
        let mut numbers: Vec<String> = Vec::new();
        let currency = self.header.names().iter().find(|column| is(column, CURRENCIES)).cloned();
        // Who has an address has a name, if no better one.
        if !found.contains_key("name")
            && let (true, Some(email)) = (shape.attributes.contains_key("name"), found.get("email").cloned())
        {
            found.insert("name".into(), email);
        }
        for (name, column) in &found {
            let Some(attribute) = shape.attribute(name) else { continue };
            match &attribute.kind {
                Type::Time | Type::Date => times.push(column.clone()),
                Type::Decimal | Type::Integer | Type::Object(_) => numbers.push(column.clone()),
                _ => {}
            }
            if let Some(value) = self.said(attribute, column, currency.as_deref()) {
                fields.insert(name.clone(), value);
            }
        }
        table.insert("fields".into(), fields.clone().into());
        let mut custom = toml::Table::new();
        for (key, field) in definitions.iter().filter(|(_, field)| !field.retired) {
            let names = [loose(key), loose(&field.label)];
            let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
            if let Some(column) = self.column(&names, &taken) {
                custom.insert(key.clone(), place(&column));
                taken.push(column);
            }
        }
        if !custom.is_empty() {
            table.insert("custom".into(), custom.into());
        }
        self.add_layout(&mut table, &times, &numbers);
        let lacking = shape.needed().filter(|attribute| !fields.contains_key(&attribute.name));
        let lacks = lacking.map(|attribute| attribute.name.clone()).collect();
        Suggested { table, lacks }
    }

    /// What an attribute's column says; `None` where it cannot be said so.
    fn said(&self, attribute: &Attribute, column: &str, currency: Option<&str>) -> Option<toml::Value> {
        let table = |members: &[(&str, toml::Value)]| {
            let members = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            toml::Value::Table(members.collect())
        };
        let named = |kind: &str, column: &str| {
            let missing = if MADE_BY_NAME.contains(&kind) { "create" } else { "leave" };
            table(&[("column", column.into()), ("missing", missing.into())])
        };
        Some(match &attribute.kind {
            Type::Record(kind) => named(kind, column),
            Type::AnyRecord => table(&[("kind", "contact".into()), ("id", named("contact", column))]),
            Type::Object(members) if members.contains_key("amount") => match currency {
                Some(currency) => table(&[("amount", place(column)), ("currency", place(currency))]),
                None => {
                    let whole = |cell: &&str| cell.rsplit_once(' ').is_some_and(|(_, word)| word.len() == 3);
                    let cells = self.cells(column);
                    (!cells.is_empty() && cells.iter().all(whole)).then(|| place(column))?
                }
            },
            Type::Object(_) | Type::Json => return None,
            Type::List(kind) if **kind != Type::Text => return None,
            Type::Word(words) if !words.is_empty() && !self.holds_words(column, words) => return None,
            // Numbers of another scale mean something else.
            Type::Integer if !self.cells(column).iter().all(|cell| number(cell, '.').is_ok()) => return None,
            Type::Text if attribute.name == "country" => table(&[("column", column.into()), ("unfit", "leave".into())]),
            _ => match column.split_once('\u{0}') {
                Some((first, last)) if [first, last].iter().all(|name| !name.contains(['{', '}'])) => {
                    format!("{{{first}}} {{{last}}}").into()
                }
                Some((first, _)) => place(first),
                None => place(column),
            },
        })
    }

    fn holds_words(&self, column: &str, words: &[String]) -> bool {
        self.cells(column).iter().all(|cell| words.iter().any(|word| loose(word) == loose(cell)))
    }

    /// The way in which all cells of these columns are times: `None` when they are none, empty when computers write so.
    fn format(&self, columns: &[&str]) -> Option<&'static str> {
        let cells: Vec<&str> = columns.iter().flat_map(|column| self.cells(column)).collect();
        let fits = |format: Option<&str>| {
            let Ok(when) = when("", format.map(str::to_owned), None) else { return false };
            cells.iter().all(|cell| when.instant(cell).is_ok() || when.day(cell).is_ok())
        };
        if fits(None) {
            return Some("");
        }
        FORMATS.iter().copied().find(|format| fits(Some(format)))
    }

    fn add_layout(&self, table: &mut toml::Table, times: &[String], numbers: &[String]) {
        let Layout { encoding, delimiter, quote, .. } = self.layout;
        let mut file = toml::Table::new();
        file.insert("encoding".into(), encoding.name().into());
        file.insert("delimiter".into(), char::from(delimiter).to_string().into());
        file.insert("quote".into(), char::from(quote).to_string().into());
        table.insert("file".into(), file.into());
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        if let Some(format) = self.format(&times).filter(|format| !format.is_empty()) {
            let format = toml::Table::from_iter([("format".to_owned(), format.into())]);
            table.insert("time".into(), format.into());
        }
        let cells: Vec<&str> = numbers.iter().flat_map(|column| self.cells(column)).collect();
        let cells: Vec<&str> =
            cells.iter().map(|cell| cell.rsplit_once(' ').map_or(*cell, |(amount, _)| amount)).collect();
        let all = |decimal: char| cells.iter().all(|cell| number(cell, decimal).is_ok());
        if !all('.') && all(',') {
            let decimal = toml::Table::from_iter([("decimal".to_owned(), ",".into())]);
            table.insert("numbers".into(), decimal.into());
        }
    }
}

/// A column as a mapping names it.
fn place(column: &str) -> toml::Value {
    if column.contains(['{', '}', '|']) {
        return toml::Table::from_iter([("column".to_owned(), column.into())]).into();
    }
    format!("{{{column}}}").into()
}

/// What an attribute is called in the languages of the house.
fn own_names(attribute: &str) -> Vec<String> {
    let words = Language::ALL.into_iter().filter_map(|language| language.word("field", attribute));
    std::iter::once(attribute.to_owned()).chain(words).map(|name| loose(&name)).collect()
}

/// What it may be called elsewhere.
fn synonyms(shape: &Shape, attribute: &str) -> Vec<String> {
    let title = ["name", "title"].contains(&attribute).then(|| loose(&format!("{} name", shape.kind.name)));
    let names = SYNONYMS.iter().filter(|(name, _)| *name == attribute).flat_map(|(_, names)| names.iter());
    // What a person does is not what a person is called.
    let names = names.filter(|name| **name != "title" || !["contact", "lead"].contains(&shape.kind.name));
    title.into_iter().chain(names.map(|name| loose(name))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::import::{attributes::shape, sheet::Sheet};

    /// The mapping that is suggested for a file, and whether it is one.
    fn suggested(name: &str, kind: Option<&str>, text: &str) -> (String, toml::Table) {
        let mut lines = text.lines().map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>());
        let header = Header::new(lines.next().unwrap()).unwrap();
        let row =
            |(at, cells): (usize, Vec<String>)| Row { number: at as u64 + 1, line: at as u64 + 2, cells, fault: None };
        let rows: Vec<Row> = lines.enumerate().map(row).collect();
        let layout = Layout::separated_by(b'|');
        let sample = Sample { name, source: "csv", header: &header, rows: &rows, layout };
        let shape = kind.and_then(shape).unwrap_or_else(|| sample.kind().unwrap());
        let Suggested { table, lacks } = sample.suggest(shape, &Definitions::new());
        assert_eq!(lacks, Vec::<String>::new(), "{table}");
        Sheet::parse(&table.to_string()).unwrap().check(&header).unwrap();
        (shape.kind.name.to_owned(), table)
    }

    #[test]
    fn columns_are_known_by_their_names_in_the_languages_of_the_house() {
        let of = |text: &str| {
            let (kind, table) = suggested("rows.csv", None, text);
            (kind, table["fields"].as_table().unwrap().clone())
        };
        let (kind, fields) = of("Id|First Name|Last Name|E-mail|Mobile|Company name|City\n1|A|B|a@b.example|1|R|Roma");
        assert_eq!((&*kind, fields["name"].as_str()), ("contact", Some("{First Name} {Last Name}")));
        assert_eq!(
            (fields["phone"].as_str(), fields["company"]["column"].as_str()),
            (Some("{Mobile}"), Some("Company name"))
        );
        let (kind, fields) = of("Имя|Почта|Телефон|Компания|Город\nОльга|o@x.example|1|Ромашка|Томск");
        assert_eq!(
            (&*kind, fields["city"].as_str(), fields["email"].as_str()),
            ("contact", Some("{Город}"), Some("{Почта}"))
        );
        for header in ["Jméno|E-mail|Telefon|Město", "Імʼя|Пошта|Телефон|Місто", "Vardas|El. paštas|Telefonas|Miestas"]
        {
            let (kind, fields) = of(&format!("{header}\na|a@b.example|1|c"));
            assert_eq!((&*kind, fields.len()), ("contact", 4), "{header}: {fields}");
        }
    }

    #[test]
    fn cells_tell_how_times_and_numbers_are_written() {
        let text = "Order number|Customer|Total|Currency|Created at\n7|a@b.example|1.250,50|EUR|31.01.2026 10:00";
        let (kind, table) = suggested("orders.csv", None, text);
        assert_eq!((&*kind, table["time"]["format"].as_str()), ("order", Some("%d.%m.%Y %H:%M")));
        assert_eq!(table["numbers"]["decimal"].as_str(), Some(","));
        assert_eq!(table["fields"]["total"]["currency"].as_str(), Some("{Currency}"));
        assert_eq!(table["fields"]["external_number"].as_str(), Some("{Order number}"));
        let (kind, table) =
            suggested("x.csv", None, "Task|Assigned to|Deadline\nCall|u@desk.example|2026-12-01T10:00:00Z");
        assert_eq!((&*kind, table["fields"]["due_at"].as_str()), ("task", Some("{Deadline}")));
        // What its cells do not fit is left for a person to say.
        let (_, table) = suggested("x.csv", Some("ticket"), "Subject|Priority\nBroken|High");
        assert!(table["fields"].get("priority").is_none(), "{table}");
    }
}
