//! What bodies mean: by the mapping of their source, in the grammar of imports, or by their own fields where these have the
//! names of the API.

use domain::data::intake_source::Takes;
use serde_json::{Map, Value, json};

use super::flat::Flat;
use crate::import::{Existing, Fault, Header, MappingError, Missing, Row, Sheet, Spoken, Template, shape};

/// The members of a mapping that imports have not.
const DELIVERY: &str = "delivery";
const CONTACT: &str = "contact";
const CREATE: &str = "create";
/// In a list, says by which items of the body it is repeated.
const EACH: &str = "each";
/// Begins a path that starts at the top of the body, within a list.
const TOP: &str = "$.";

/// A mapping of a source.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    delivery: Option<Template>,
    record: toml::Table,
    contact: Option<toml::Table>,
    missing: Missing,
}

/// What a body says: of its record, and of the contact whom that is about.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) record: Part,
    pub(super) contact: Option<Part>,
    /// What becomes of a contact who is not known.
    pub(super) missing: Missing,
}

/// How something is read of a body.
pub(super) struct Part {
    pub(super) sheet: Sheet,
    pub(super) read: Read,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("read", &self.read).finish_non_exhaustive()
    }
}

/// Of what it is read.
#[derive(Debug)]
pub(super) enum Read {
    /// By the mapping, of cells.
    Cells(Header, Row),
    /// It is said already.
    Plainly(Spoken),
}

/// The attribute by which a record names its contact.
pub(super) fn link(takes: Takes) -> &'static str {
    match takes {
        Takes::Orders => "customer",
        Takes::Leads | Takes::Calls => "contact",
    }
}

fn fault(place: &str, what: impl std::fmt::Display) -> MappingError {
    MappingError(vec![format!("{place}: {what}")])
}

impl Mapping {
    /// Reads and checks a mapping of what a source hands in.
    pub(crate) fn parse(text: &str, takes: Takes) -> Result<Mapping, MappingError> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map_or_else(|| "mapping".to_owned(), |line| format!("line {line}"));
            fault(&place, error.message().trim())
        })?;
        let delivery = match table.remove(DELIVERY) {
            None => None,
            Some(toml::Value::String(text)) => {
                let template = Template::parse(&text).map_err(|error| fault(DELIVERY, error))?;
                if template.plain().is_some() {
                    return Err(fault(DELIVERY, "it names no field, so that all deliveries would be the same"));
                }
                Some(template)
            }
            Some(_) => return Err(fault(DELIVERY, "a text, such as \"{event_id}\"")),
        };
        let mut missing = if takes == Takes::Calls { Missing::Leave } else { Missing::Create };
        let contact = match table.remove(CONTACT) {
            None => None,
            Some(toml::Value::Table(mut contact)) => {
                missing = match contact.remove(CREATE) {
                    None | Some(toml::Value::Boolean(true)) => Missing::Create,
                    Some(toml::Value::Boolean(false)) => Missing::Leave,
                    Some(_) => return Err(fault("contact.create", "true or false")),
                };
                for part in ["time", "numbers"] {
                    if let (false, Some(said)) = (contact.contains_key(part), table.get(part)) {
                        contact.insert(part.into(), said.clone());
                    }
                }
                contact.insert("record".into(), "contact".into());
                contact.entry("existing").or_insert_with(|| "fill".into());
                Some(contact)
            }
            Some(_) => return Err(fault(CONTACT, "a table: what is said of the contact")),
        };
        match table.insert("record".into(), takes.kind().into()) {
            Some(toml::Value::String(kind)) if kind != takes.kind() => {
                return Err(fault("record", format!("{} become a {}, no {kind}", takes.name(), takes.kind())));
            }
            _ => {}
        }
        if table.contains_key("file") {
            return Err(fault("file", "what is handed in is no file"));
        }
        let mapping = Mapping { delivery, record: table, contact, missing };
        mapping.sheets(None)?;
        Ok(mapping)
    }

    /// What the source calls a delivery, where the mapping says so.
    pub(crate) fn delivery(&self, body: &Value) -> Option<String> {
        let (header, row) = Flat::of(body).row().ok()?;
        self.delivery.as_ref()?.fill(&header.cells(&row.cells)).map(|key| key.trim().to_owned())
    }

    /// The sheets for a body of this shape; for any, where none is given.
    fn sheets(&self, flat: Option<&Flat>) -> Result<(Sheet, Option<Sheet>), MappingError> {
        let record = Sheet::of_table(repeated(&self.record, flat)?)?;
        let contact = self.contact.as_ref().map(|contact| {
            let table = repeated(contact, flat)?;
            Sheet::of_table(table).map_err(|MappingError(faults)| {
                MappingError(faults.into_iter().map(|fault| format!("contact.{fault}")).collect())
            })
        });
        Ok((record, contact.transpose()?))
    }

    /// How a body is read.
    pub(super) fn read(&self, body: &Value) -> Result<Said, Fault> {
        let unreadable = |why: String| Fault::new("mapping_invalid", why);
        let flat = Flat::of(body);
        let (header, row) = flat.row().map_err(|error| unreadable(error.to_string()))?;
        let (record, contact) = self.sheets(Some(&flat)).map_err(|error| unreadable(error.to_string()))?;
        let part = |sheet| Part { sheet, read: Read::Cells(header.clone(), row.clone()) };
        Ok(Said { record: part(record), contact: contact.map(part), missing: self.missing })
    }
}

/// The table with each list that follows the items of a body written out; of one item, where there is no body.
fn repeated(table: &toml::Table, flat: Option<&Flat>) -> Result<toml::Table, MappingError> {
    let mut table = table.clone();
    for part in ["fields", "custom"] {
        let Some(toml::Value::Table(fields)) = table.get_mut(part) else { continue };
        let mut gone = Vec::new();
        for (name, value) in fields.iter_mut() {
            let toml::Value::Table(item) = value else { continue };
            let Some(each) = item.remove(EACH) else { continue };
            let place = format!("{part}.{name}");
            let Some(each) = each.as_str().map(|each| each.trim_matches(['{', '}']).to_owned()) else {
                return Err(fault(&place, "each names a list of the body, such as \"items\""));
            };
            let items = flat.map_or(1, |flat| flat.items(&each));
            let is_list = flat.is_none_or(|flat| flat.is_list(&each));
            let mut all = Vec::with_capacity(items);
            for at in 0..items {
                let path = if is_list { format!("{each}[{at}]") } else { each.clone() };
                let below = below(&toml::Value::Table(item.clone()), &path).map_err(|error| fault(&place, error))?;
                all.push(below);
            }
            if all.is_empty() {
                gone.push(name.clone());
            }
            *value = toml::Value::Array(all);
        }
        gone.iter().for_each(|name| drop(fields.remove(name)));
    }
    Ok(table)
}

/// The path of a field of an item, from the top of the body.
fn from_top(column: &str, path: &str) -> String {
    match column.strip_prefix(TOP) {
        Some(top) => top.to_owned(),
        None if column == "." => path.to_owned(),
        None => format!("{path}.{column}"),
    }
}

/// The same with every field that it names below this path.
fn below(value: &toml::Value, path: &str) -> Result<toml::Value, String> {
    Ok(match value {
        toml::Value::String(text) => {
            let renamed = Template::parse(text)?.renamed(|column| Some(from_top(column, path)));
            renamed.unwrap_or_else(|| text.clone()).into()
        }
        toml::Value::Array(all) => all.iter().map(|one| below(one, path)).collect::<Result<Vec<_>, _>>()?.into(),
        toml::Value::Table(members) => {
            // What values mean is written beside the field that has them.
            let is_cell = members.contains_key("column") || members.contains_key("value");
            let mut table = toml::Table::new();
            for (name, value) in members {
                let value = match (name.as_str(), value) {
                    ("column", toml::Value::String(column)) => from_top(column, path).into(),
                    ("value", value) | (_, value) if !is_cell || name == "value" => below(value, path)?,
                    (_, value) => value.clone(),
                };
                table.insert(name.clone(), value);
            }
            table.into()
        }
        plain => plain.clone(),
    })
}

/// What a body says in the names of the API itself.
pub(super) fn plainly(takes: Takes, body: &Value) -> Result<Said, Fault> {
    let unfit = |error: MappingError| Fault::new("mapping_invalid", error.to_string());
    let no_kind = || Fault::new("kind_unknown", format!("Nothing takes {}.", takes.name()));
    let shape = shape(takes.kind()).ok_or_else(no_kind)?;
    let Value::Object(body) = body else {
        return Err(Fault::new(
            "delivery_no_object",
            "The body is no object with fields: only a mapping may say what it means.",
        ));
    };
    let mut body = body.clone();
    let key = match body.remove("key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key.trim().to_owned()),
        Some(Value::Number(key)) => Some(key.to_string()),
        Some(_) => return Err(Fault::new("value_invalid", "key: a text, by which your system knows it.").of("key")),
    };
    if let Some(unknown) = body.keys().find(|name| shape.attribute(name).is_none() && *name != "custom") {
        let known: Vec<&str> = shape.attributes.keys().map(String::as_str).collect();
        let known = known.join(", ");
        let kind = takes.kind();
        let reason =
            format!("There is no such field: {kind} has {known}; a mapping of the source says what others mean.");
        return Err(Fault::new("unknown_field", reason).of(unknown));
    }
    if let Some(attribute) = shape.needed().find(|attribute| body.get(&attribute.name).is_none_or(Value::is_null)) {
        return Err(Fault::new("required", "This field is required.").of(&attribute.name));
    }
    let existing = if takes == Takes::Calls { Missing::Leave } else { Missing::Create };
    let sheet = Sheet::plain(shape, Existing::Update).map_err(unfit)?;
    let read = Read::Plainly(Spoken { key: key.filter(|key| !key.is_empty()), body, ..Spoken::default() });
    Ok(Said { record: Part { sheet, read }, contact: None, missing: existing })
}

/// The contact as its record tells of it, where nothing else does: who ordered, asked or called.
pub(super) fn implied(takes: Takes, source: &str, record: &Map<String, Value>) -> Option<Spoken> {
    let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    if record.get(link(takes)).is_some_and(|linked| !linked.is_null()) {
        return None;
    }
    let (email, phone) = match takes {
        Takes::Calls => (None, text("from")),
        _ => (text("email"), text("phone")),
    };
    email.or(phone)?;
    let mut body = Map::new();
    let name = if takes == Takes::Calls { None } else { text("name") };
    let said = [("name", name.or(email).or(phone)), ("email", email), ("phone", phone), ("source", Some(source))];
    body.extend(said.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?)))));
    Some(Spoken { body, ..Spoken::default() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use domain::org::field::Field;

    use super::*;

    const SHOP: &str = r#"
delivery = "{event_id}"
key = "{order.id}"
[fields]
name = "{order.client.name}"
phone = "{order.client.phone}"
status = { column = "order.state", values = { "NEW" = "new", "DONE" = "done" } }
[fields.items]
each = "order.lines"
name = "{title}"
sku = { column = "code" }
quantity = "{count}"
price = { amount = "{price}", currency = "{$.order.currency}" }
[contact]
key = "{order.client.id}"
[contact.fields]
name = "{order.client.name}"
phone = "{order.client.phone}"
"#;

    fn faults(text: &str) -> String {
        Mapping::parse(text, Takes::Orders).unwrap_err().to_string()
    }

    fn spoken(part: &Part) -> Spoken {
        match &part.read {
            Read::Cells(header, row) => part.sheet.read(header, &Field::default(), row).unwrap(),
            Read::Plainly(spoken) => spoken.clone(),
        }
    }

    #[test]
    fn a_mapping_says_what_a_body_means() {
        let mapping = Mapping::parse(SHOP, Takes::Orders).unwrap();
        let body = json!({
            "event_id": "e-1",
            "order": {
                "id": 1001, "currency": "EUR", "state": "NEW",
                "client": { "id": 7, "name": "Maria", "phone": "+39 06 555 0101" },
                "lines": [
                    { "title": "Lamp", "code": "L-1", "count": 2, "price": 12.5 },
                    { "title": "Bulb", "count": 1, "price": "3" },
                ],
            },
        });
        assert_eq!(mapping.delivery(&body).as_deref(), Some("e-1"));
        let said = mapping.read(&body).unwrap();
        let order = spoken(&said.record);
        assert_eq!(order.key.as_deref(), Some("1001"));
        let euros = |amount: &str| json!({ "amount": amount, "currency": "EUR" });
        assert_eq!(
            order.body["items"],
            json!([
                { "name": "Lamp", "sku": "L-1", "quantity": "2", "price": euros("12.5") },
                { "name": "Bulb", "quantity": "1", "price": euros("3") },
            ])
        );
        assert_eq!(order.body["status"], "new");
        let contact = spoken(&said.contact.unwrap());
        assert_eq!((contact.key.as_deref(), &contact.body["name"]), (Some("7"), &json!("Maria")));
        // A body without any items says nothing of them.
        let empty = mapping.read(&json!({ "order": { "lines": [] } })).unwrap();
        assert!(!spoken(&empty.record).body.contains_key("items"));
        // One that is no list is its only item.
        let single = mapping.read(&json!({ "order": { "lines": { "title": "Lamp" } } })).unwrap();
        assert_eq!(spoken(&single.record).body["items"], json!([{ "name": "Lamp" }]));
    }

    #[test]
    fn faults_name_their_place() {
        assert!(faults("key = ").starts_with("line 1: "));
        assert!(faults("delivery = \"all\"").contains("delivery: it names no field"));
        assert!(faults("[fields]\ncolour = \"{x}\"").contains("fields.colour: a order has"));
        assert!(faults("[contact.fields]\nnick = \"{x}\"").contains("contact.fields.nick"));
        assert!(faults("[contact.fields]\nemail = \"{x}\"").contains("contact.fields.name: a contact needs it"));
        assert!(faults("[fields.items]\neach = 1\nname = \"{x}\"").contains("fields.items: each names a list"));
        assert!(faults("[fields.items]\neach = \"items\"\nname = \"{x\"").contains("fields.items"));
        assert!(faults("[fields.items]\neach = \"items\"\ncolour = \"{x}\"").contains("colour"));
        assert!(faults("record = \"lead\"").contains("record: orders become a order"));
        assert!(faults("[file]\nquote = \"'\"").contains("no file"));
        assert!(faults("[contact]\ncreate = \"no\"").contains("contact.create: true or false"));
    }

    #[test]
    fn the_names_of_the_api_need_no_mapping() {
        let said =
            plainly(Takes::Calls, &json!({ "key": 9, "from": "+39 06 1", "to": "+39 06 2", "status": "missed" }));
        let call = spoken(&said.unwrap().record);
        assert_eq!((call.key.as_deref(), &call.body["status"]), (Some("9"), &json!("missed")));
        let refused = |takes, body: Value| plainly(takes, &body).map(|_| ()).unwrap_err();
        let unknown = refused(Takes::Orders, json!({ "colour": "red" }));
        assert_eq!((&*unknown.code, unknown.pointer.as_deref()), ("unknown_field", Some("/colour")));
        let missing = refused(Takes::Calls, json!({ "from": "+39 06 1" }));
        assert_eq!((&*missing.code, missing.pointer.as_deref()), ("required", Some("/to")));
        assert_eq!(&*refused(Takes::Leads, json!([1])).code, "delivery_no_object");
    }

    #[test]
    fn a_record_tells_of_its_contact() {
        let of = |takes, body: Value| implied(takes, "shop", body.as_object().unwrap()).map(|spoken| spoken.body);
        let order = of(Takes::Orders, json!({ "name": "Maria", "phone": "+39 06 1" })).unwrap();
        assert_eq!(
            (&order["name"], &order["phone"], &order["source"]),
            (&json!("Maria"), &json!("+39 06 1"), &json!("shop"))
        );
        assert_eq!(of(Takes::Orders, json!({ "email": "m@example.com" })).unwrap()["name"], "m@example.com");
        assert_eq!(of(Takes::Calls, json!({ "from": "+39 06 1" })).unwrap()["phone"], "+39 06 1");
        assert!(of(Takes::Orders, json!({ "name": "Maria" })).is_none());
        assert!(of(Takes::Leads, json!({ "name": "Maria", "phone": "1", "contact": "x" })).is_none());
    }
}
