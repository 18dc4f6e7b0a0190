//! Who owns which product, as a file tells it: every row brings one entitlement to what the row says.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use commands::Envelope;
use domain::{
    Aggregate, Authority, Id, PartyKind, Time, Via,
    desk::entitlement::{Entitlement, Status},
    kernel::{custom::Definitions, external::ExternalId},
    org::field::Field,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Before, CONCURRENT, Failed, Run, Stop, Verdict, id_of,
    lookup::{Lookup, LookupError},
    mapping::{MappingError, When, delimiter, located, typed, when},
    rows::{Cells, Fault, Header, Row},
    target::Target,
    upsert::{self, Standing, Unfit, Wanted},
};

/// The columns of an entitlements file, the same when it is written; `custom.<key>` follows. The two names tell people
/// what the ids mean, and are not read.
pub(crate) const COLUMNS: &[&str] = &[
    "id",
    "product",
    "product_name",
    "holder_kind",
    "holder",
    "holder_name",
    "source",
    "external_id",
    "contract_number",
    "serial_number",
    "price",
    "currency",
    "quantity",
    "valid_from",
    "valid_to",
    "status",
];
/// What stands before the key of a custom field.
pub(crate) const CUSTOM: &str = "custom.";

/// What an entitlement's standing is called.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Missing => "missing",
        Status::Active => "active",
        Status::Revoked => "revoked",
        Status::Expired => "expired",
    }
}

/// How a file's columns are called, and what holds where it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) source: Option<String>,
    pub(crate) delimiter: u8,
    /// Our name to the file's.
    names: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    format: Option<String>,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    source: Option<String>,
    file: RawFile,
    columns: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    time: RawTime,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    delimiter: Option<char>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTime {
    format: Option<String>,
    zone: Option<String>,
}

fn is_known(column: &str) -> bool {
    COLUMNS.contains(&column) || column.strip_prefix(CUSTOM).is_some_and(|key| !key.is_empty())
}

impl Columns {
    /// Reads a mapping; without one every column is called as we call it.
    pub(crate) fn parse(text: Option<&str>) -> Result<Columns, MappingError> {
        let raw: Raw = match text {
            Some(text) => toml::from_str(text).map_err(|error| MappingError(vec![located(text, &error)]))?,
            None => Raw::default(),
        };
        let mut faults = Vec::new();
        for (place, ours) in [("columns", &raw.columns), ("defaults", &raw.defaults)] {
            for unknown in ours.keys().filter(|name| !is_known(name)) {
                let known = COLUMNS.join(", ");
                faults.push(format!("{place}.{unknown}: an entitlement has {known} and {CUSTOM}<key>"));
            }
        }
        let delimiter = delimiter(raw.file.delimiter).unwrap_or_else(|error| {
            faults.push(error);
            b','
        });
        if let Err(error) = when("", raw.time.format.clone(), raw.time.zone.as_deref()) {
            faults.push(error);
        }
        let Raw { source, columns: names, defaults, time: RawTime { format, zone }, .. } = raw;
        let columns = Columns { source, delimiter, names, defaults, format, zone };
        if faults.is_empty() { Ok(columns) } else { Err(MappingError(faults)) }
    }

    /// Checks that the file has what is needed and nothing that would be passed over in silence.
    pub(crate) fn check(&self, header: &Header) -> Result<(), MappingError> {
        let mut faults = Vec::new();
        for (ours, theirs) in self.names.iter().filter(|(_, theirs)| !header.has(theirs)) {
            faults.push(format!("columns.{ours}: the file has no column {theirs}"));
        }
        if self.names.is_empty() {
            for unknown in header.names().iter().filter(|name| !is_known(name)) {
                let known = COLUMNS.join(", ");
                faults.push(format!("column {unknown} is none of {known} and {CUSTOM}<key>; map it in [columns]"));
            }
        }
        let has = |ours: &str| self.defaults.contains_key(ours) || header.has(self.theirs(ours));
        let named = has("id") || (has("product") && has("holder"));
        if !named {
            faults.push("the file needs the columns product, holder_kind and holder, or id".into());
        }
        if has("holder") && !has("holder_kind") {
            faults.push("the file needs the column holder_kind: contact, company or user".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(MappingError(faults)) }
    }

    fn theirs<'a>(&'a self, ours: &'a str) -> &'a str {
        self.names.get(ours).map_or(ours, String::as_str)
    }

    /// The custom fields that the file has columns for: key and the file's column.
    fn custom<'a>(&'a self, header: &'a Header) -> Vec<(&'a str, &'a str)> {
        if self.names.is_empty() {
            return header
                .names()
                .iter()
                .filter_map(|name| Some((name.strip_prefix(CUSTOM)?, name.as_str())))
                .collect();
        }
        self.names.iter().filter_map(|(ours, theirs)| Some((ours.strip_prefix(CUSTOM)?, theirs.as_str()))).collect()
    }

    /// A row's cell, or what holds without one: `None` when the file does not say, empty when it says "none".
    fn cell<'a>(&'a self, cells: &Cells<'a>, ours: &'a str) -> Option<&'a str> {
        let cell = cells.find(self.theirs(ours));
        match cell {
            Some(cell) if !cell.is_empty() => Some(cell),
            cell => self.defaults.get(ours).map(String::as_str).or(cell),
        }
    }

    fn time(&self, cells: &Cells<'_>, ours: &str) -> Result<Option<Value>, Fault> {
        match self.cell(cells, ours) {
            None => Ok(None),
            Some("") => Ok(Some(Value::Null)),
            Some(_) => {
                let when = when(self.theirs(ours), self.format.clone(), self.zone.as_deref());
                let when: When = when.map_err(|error| Fault::new("time_invalid", error))?;
                Ok(Some(json!(when.read(cells)?)))
            }
        }
    }
}

/// What a row says, its records still by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    id: Option<String>,
    product: Option<String>,
    holder: Option<(PartyKind, String)>,
    external: Option<ExternalId>,
    details: Map<String, Value>,
    standing: Option<Standing>,
    /// What tells it from the file's other rows.
    identity: String,
}

/// Reads a row.
fn read(columns: &Columns, header: &Header, fields: &Definitions, source: &str, row: &Row) -> Result<Said, Fault> {
    if let Some(fault) = &row.fault {
        return Err(fault.clone());
    }
    let cells = header.cells(&row.cells);
    let cell = |ours: &'static str| columns.cell(&cells, ours).filter(|cell| !cell.is_empty());
    let own = |ours: &'static str| cell(ours).map(str::to_owned);
    let holder = match (cell("holder_kind"), cell("holder")) {
        (_, None) => None,
        (Some("contact"), Some(holder)) => Some((PartyKind::Contact, holder.to_owned())),
        (Some("company"), Some(holder)) => Some((PartyKind::Company, holder.to_owned())),
        (Some("user"), Some(holder)) => Some((PartyKind::User, holder.to_owned())),
        (kind, Some(_)) => {
            let reason = format!("holder_kind is contact, company or user, not {}.", kind.unwrap_or("empty"));
            return Err(Fault::new("holder_kind_invalid", reason));
        }
    };
    let standing = match cell("status").map(str::to_lowercase).as_deref() {
        None => None,
        Some("active") => Some(Standing::Active),
        Some("revoked") => Some(Standing::Revoked),
        Some("expired") => Some(Standing::Expired),
        Some(other) => {
            let reason = format!("status is active, revoked or expired, not {other}.");
            return Err(Fault::new("status_invalid", reason));
        }
    };
    let external = cell("external_id").map(|external_id| ExternalId {
        source: cell("source").unwrap_or(source).to_owned(),
        external_id: external_id.to_owned(),
    });

    let mut details = Map::new();
    let mut say = |ours: &str, value: Option<Value>| {
        if let Some(value) = value {
            details.insert(ours.to_owned(), value);
        }
    };
    let text = |ours: &'static str| {
        columns.cell(&cells, ours).map(|cell| if cell.is_empty() { Value::Null } else { cell.into() })
    };
    say("contract_number", text("contract_number"));
    say("serial_number", text("serial_number"));
    say(
        "quantity",
        match text("quantity") {
            Some(Value::String(quantity)) => {
                let invalid = || Fault::new("quantity_invalid", format!("quantity is a whole number, not {quantity}."));
                Some(json!(quantity.parse::<u32>().map_err(|_| invalid())?))
            }
            quantity => quantity,
        },
    );
    say(
        "price",
        match (text("price"), cell("currency")) {
            (Some(Value::String(amount)), Some(currency)) => Some(json!({ "amount": amount, "currency": currency })),
            (Some(Value::String(_)), None) => {
                return Err(Fault::new("currency_missing", "A price has a currency, such as EUR."));
            }
            (price, _) => price,
        },
    );
    say("valid_from", columns.time(&cells, "valid_from")?);
    say("valid_to", columns.time(&cells, "valid_to")?);
    let custom = columns.custom(header).into_iter().map(|(key, column)| {
        let value = match (cells.get(column), fields.get(key)) {
            ("", _) => Value::Null,
            (cell, Some(field)) => typed(field.field_type, cell),
            (cell, None) => cell.into(),
        };
        (key.to_owned(), value)
    });
    // A column without a value asks for no field: it need not even be defined.
    let custom: Map<String, Value> =
        custom.filter(|(key, value)| !value.is_null() || fields.contains_key(key)).collect();
    if !custom.is_empty() {
        details.insert("custom".into(), custom.into());
    }

    let identity = match (cell("id"), &external) {
        (Some(id), _) => format!("id {id}"),
        (None, Some(external)) => format!("external {}", external.key()),
        (None, None) => {
            let parts = ["product", "holder_kind", "holder", "contract_number", "serial_number"];
            let parts: Vec<&str> = parts.into_iter().map(|part| cell(part).unwrap_or_default()).collect();
            format!("row {}", json!(parts))
        }
    };
    Ok(Said { id: own("id"), product: own("product"), holder, external, details, standing, identity })
}

/// A row with what it says.
type Entry = (Row, Result<Said, Fault>);

/// Brings entitlements in, window by window.
pub(crate) struct Entitlements {
    run: Run,
    columns: Columns,
    header: Header,
    target: Target,
    lookup: Arc<Lookup>,
}

impl Entitlements {
    pub(crate) fn new(run: Run, columns: Columns, header: Header, target: Target) -> Entitlements {
        let lookup = Arc::new(Lookup::new(target.log().clone(), run.tenant));
        Entitlements { run, columns, header, target, lookup }
    }

    /// Deals with rows: those of one entitlement in order, others at once.
    pub(crate) async fn window(&mut self, rows: Vec<Row>, before: &Before) -> Result<Vec<(Row, Verdict)>, Stop> {
        let fields = Field::id_for(self.run.tenant, Entitlement::KIND);
        let fields = self.target.state::<Field>(self.run.tenant, fields).await?;
        let mut groups: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        let mut order_of: HashMap<String, u64> = HashMap::new();
        for row in rows {
            let said = read(&self.columns, &self.header, &fields.definitions, &self.run.source, &row);
            let at = match &said {
                Ok(said) => *order_of.entry(said.identity.clone()).or_insert(row.number),
                Err(_) => row.number,
            };
            groups.entry(at).or_default().push((row, said));
        }
        let this = &*self;
        let verdicts: Vec<Vec<(Row, Verdict)>> = stream::iter(groups.into_values())
            .map(|group| async move {
                let mut verdicts = Vec::with_capacity(group.len());
                for (row, said) in group {
                    let verdict = match (before.get(&row.number), said) {
                        (Some(events), _) => Verdict::events(*events),
                        (None, Err(fault)) => Verdict::Rejected(fault),
                        (None, Ok(said)) => Verdict::of(this.row(&row, said).await)?,
                    };
                    verdicts.push((row, verdict));
                }
                Ok::<_, Stop>(verdicts)
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        Ok(verdicts.into_iter().flatten().collect())
    }

    async fn row(&self, row: &Row, said: Said) -> Result<usize, Failed> {
        let tenant = self.run.tenant;
        let known = match &said.external {
            Some(external) => self.target.claimed(tenant, "entitlement.external", &external.key()).await?,
            None => None,
        };
        let id = match (&said.id, known) {
            (Some(text), known) => {
                let invalid = || Fault::new("id_invalid", format!("{text} is no id."));
                let id: Id = text.parse().map_err(|_| invalid())?;
                if known.is_some_and(|known| known != id) {
                    let reason = format!("The entitlement with this external id is not {id}.");
                    return Err(Fault::new("entitlement_external_id_taken", reason).into());
                }
                id
            }
            (None, Some(known)) => known,
            (None, None) => match &said.external {
                Some(external) => id_of(tenant, &external.source, Entitlement::KIND, &external.external_id),
                None => id_of(tenant, &self.run.source, Entitlement::KIND, &said.identity),
            },
        };
        let state = self.target.state::<Entitlement>(tenant, id).await?;
        let product = match &said.product {
            Some(product) => Some(self.lookup.product(product).await.map_err(not_found)?),
            None => None,
        };
        let holder = match &said.holder {
            Some((kind, holder)) => Some(self.lookup.holder(*kind, holder).await.map_err(not_found)?),
            None => None,
        };
        let Said { external, details, standing, .. } = said;
        let wanted = Wanted { product, holder, details, standing, external };
        let commands = upsert::commands(&state, wanted).map_err(|unfit| match unfit {
            Unfit::Rejected(rejection) => Fault::from(rejection),
            Unfit::Undecodable(error) => Fault::new("value_invalid", format!("{}: {}", error.pointer, error.detail)),
        })?;
        if commands.is_empty() {
            return Ok(0);
        }
        let mut envelope = Envelope::new(tenant, id, self.run.actor.clone(), Via::Import, Time::now());
        // It tells what happened elsewhere: `import.run` is the right to do so.
        envelope.authority = Authority::full();
        envelope.command_id = self.run.command_id(row.number);
        envelope.correlation_id = Some(self.run.correlation());
        Ok(self.target.carry_out::<Entitlement>(&envelope, commands).await?)
    }
}

fn not_found(error: LookupError) -> Failed {
    match error {
        LookupError::None(fault) => Failed::Fault(fault),
        LookupError::Log(error) => Failed::Refused(commands::Refused::Unavailable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use domain::kernel::custom::{Definition, FieldType};

    use super::*;

    fn said(header: &str, row: &str) -> Result<Said, Fault> {
        let columns = Columns::parse(None).unwrap();
        let header = Header::new(header.split(',').map(str::to_owned).collect()).unwrap();
        columns.check(&header).unwrap();
        let seats = Definition {
            field_type: FieldType::Number,
            label: String::new(),
            options: vec![],
            target: None,
            required: false,
            personal: false,
            retired: false,
        };
        let fields = Definitions::from([("seats".to_owned(), seats)]);
        let row = Row { number: 1, line: 2, cells: row.split(',').map(str::to_owned).collect(), fault: None };
        read(&columns, &header, &fields, "shop", &row)
    }

    const HEADER: &str = "product,holder_kind,holder,external_id,price,currency,quantity,valid_to,status,custom.seats";

    #[test]
    fn a_row_says_what_is_owned_by_whom() {
        let said = said(HEADER, "Hosting,company,crm:7,42,12.50,EUR,3,2027-01-01T00:00:00Z,Active,5").unwrap();
        assert_eq!(said.holder, Some((PartyKind::Company, "crm:7".into())));
        assert_eq!(said.external, Some(ExternalId { source: "shop".into(), external_id: "42".into() }));
        assert_eq!(said.standing, Some(Standing::Active));
        let wanted = json!({
            "price": { "amount": "12.50", "currency": "EUR" }, "quantity": 3, "valid_to": "2027-01-01T00:00:00Z",
            "custom": { "seats": 5 }
        });
        assert_eq!(Value::Object(said.details), wanted);
    }

    #[test]
    fn an_empty_cell_clears_and_an_absent_column_says_nothing() {
        let said = said(HEADER, "Hosting,company,crm:7,42,,,,,,").unwrap();
        let wanted = json!({ "price": null, "quantity": null, "valid_to": null, "custom": { "seats": null } });
        assert_eq!((Value::Object(said.details), said.standing), (wanted, None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let code = |row: &str| said(HEADER, row).unwrap_err().code;
        assert_eq!(code("Hosting,firm,crm:7,42,,,,,,"), "holder_kind_invalid");
        assert_eq!(code("Hosting,company,crm:7,42,12,,,,,"), "currency_missing");
        assert_eq!(code("Hosting,company,crm:7,42,,,some,,,"), "quantity_invalid");
        assert_eq!(code("Hosting,company,crm:7,42,,,,soon,,"), "time_invalid");
        assert_eq!(code("Hosting,company,crm:7,42,,,,,lost,"), "status_invalid");
    }

    #[test]
    fn rows_are_told_apart_by_id_external_id_or_content() {
        let one = said("product,holder_kind,holder,serial_number", "P,user,a@b,1").unwrap();
        let other = said("product,holder_kind,holder,serial_number", "P,user,a@b,2").unwrap();
        assert_ne!(one.identity, other.identity);
    }

    #[test]
    fn columns_may_have_other_names() {
        let text = "[columns]\nproduct = \"Articolo\"\nholder = \"Cliente\"\n[defaults]\nholder_kind = \"company\"";
        let columns = Columns::parse(Some(text)).unwrap();
        let header = Header::new(vec!["Articolo".into(), "Cliente".into(), "Note".into()]).unwrap();
        assert_eq!(columns.check(&header), Ok(()));
        let row = Row { number: 1, line: 2, cells: vec!["P".into(), "crm:1".into(), "x".into()], fault: None };
        let said = read(&columns, &header, &Definitions::new(), "shop", &row).unwrap();
        assert_eq!((said.product.as_deref(), said.holder), (Some("P"), Some((PartyKind::Company, "crm:1".into()))));
        let faults = |text: &str| Columns::parse(Some(text)).unwrap_err().to_string();
        assert!(faults("[columns]\ncolour = \"x\"").contains("columns.colour"));
        assert!(faults("[rows]").contains("rows"));
        let lacking = Header::new(vec!["product".into(), "what".into()]).unwrap();
        let error = Columns::parse(None).unwrap().check(&lacking).unwrap_err();
        assert!(error.to_string().contains("column what") && error.to_string().contains("holder"));
    }
}
