//! What a file looks like, what its columns may mean, and what its first rows would lead to: nothing is written.

use std::{borrow::Cow, collections::BTreeMap};

use commands::Commands;
use domain::{Actor, Id, kernel::custom::Definitions};
use serde_json::Value;

use super::{
    Before, Run, Stop, Verdict,
    attributes::{Shape, shape, shapes},
    layout::Layout,
    mapping::MappingError,
    records::Records,
    rows::{FileError, Header, Row, Rows},
    sheet::Sheet,
    shipped,
    suggest::{Sample, Suggested},
    target::Target,
};

/// Rows by which times and numbers are known, and that are rehearsed.
const LOOKED_AT: usize = 100;

/// A mapping's text, or that of the shipped mapping of this name, as it fits a file with this header.
pub(crate) fn shipped_or<'a>(
    text: &'a str,
    header: impl FnOnce() -> Result<Header, FileError>,
) -> Result<Cow<'a, str>, FileError> {
    match shipped::named(text) {
        Some(shipped) => Ok(shipped.fitted(&header()?).into()),
        None => Ok(text.into()),
    }
}

/// Whose mapping it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was sent along.
    Given,
    /// It belongs to a system whose export this is.
    Shipped(&'static str, &'static str),
    /// It was made for this file.
    Suggested,
}

/// What the columns mean.
pub(crate) struct Meant {
    pub(crate) known: Known,
    pub(crate) text: String,
    pub(crate) kind: &'static str,
    /// Each column with the attributes that it says.
    pub(crate) says: BTreeMap<String, Vec<String>>,
    /// What such a record needs and no column has.
    pub(crate) lacks: Vec<String>,
    /// The mapping itself, unless something is lacking.
    pub(crate) sheet: Option<Sheet>,
}

/// A file as it looks.
pub(crate) struct Look {
    pub(crate) layout: Layout,
    pub(crate) header: Header,
    pub(crate) rows: Vec<Row>,
}

/// The beginning of a file; `whole` when nothing comes after it.
pub(crate) fn look(head: &[u8], whole: bool, layout: Layout) -> Result<Look, FileError> {
    let mut file = Rows::open(layout.decoded(head), layout)?;
    let mut rows = Vec::new();
    while rows.len() <= LOOKED_AT
        && let Some(row) = file.next()?
    {
        rows.push(row);
    }
    // The last row may be cut off.
    if !whole && rows.len() <= LOOKED_AT {
        rows.pop();
    }
    rows.truncate(LOOKED_AT);
    Ok(Look { layout, header: file.header().clone(), rows })
}

/// The names of kinds of which a file may tell.
pub(crate) fn kinds() -> Vec<&'static str> {
    shapes().map(|shape| shape.kind.name).collect()
}

impl Look {
    /// The mapping that was sent along, or that fits: a shipped one where the file is another system's export, else one that
    /// follows from the names of its columns.
    pub(crate) fn meant(
        &self,
        given: Option<&str>,
        record: Option<&str>,
        name: &str,
        source: Option<&str>,
        definitions: impl FnOnce(&'static str) -> Definitions,
    ) -> Result<Meant, MappingError> {
        let of = |known: Known, text: String| -> Result<Meant, MappingError> {
            let sheet = Sheet::parse(&text)?;
            sheet.check(&self.header)?;
            let mut says: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (column, attribute) in sheet.says() {
                says.entry(column.to_owned()).or_default().push(attribute);
            }
            Ok(Meant { known, text, kind: sheet.shape.kind.name, says, lacks: Vec::new(), sheet: Some(sheet) })
        };
        if let Some(given) = given {
            return of(Known::Given, given.to_owned());
        }
        let unknown = |record: &str| MappingError(vec![format!("record: {record} is none of {}", kinds().join(", "))]);
        let wanted: Option<&'static Shape> = match record {
            Some(record) => Some(shape(record).ok_or_else(|| unknown(record))?),
            None => None,
        };
        if let Some(found) = shipped::recognised(&self.header) {
            let meant = of(Known::Shipped(found.system, found.name), found.fitted(&self.header));
            if let Ok(meant) = meant
                && wanted.is_none_or(|shape| shape.kind.name == meant.kind)
            {
                return Ok(meant);
            }
        }
        let source = source.unwrap_or("csv");
        let sample = Sample { name, source, header: &self.header, rows: &self.rows, layout: self.layout };
        let shape = wanted.or_else(|| sample.kind()).ok_or_else(|| unknown("it"))?;
        let Suggested { table, lacks } = sample.suggest(shape, &definitions(shape.kind.name));
        let text = table.to_string();
        if lacks.is_empty() {
            return of(Known::Suggested, text);
        }
        let (kind, says) = (shape.kind.name, BTreeMap::new());
        Ok(Meant { known: Known::Suggested, text, kind, says, lacks, sheet: None })
    }
}

/// What a row would lead to.
#[derive(Clone, Debug)]
pub(crate) struct Foreseen {
    pub(crate) row: u64,
    pub(crate) line: u64,
    /// `create`, `update`, `unchanged` or `reject`.
    pub(crate) outcome: &'static str,
    pub(crate) refusal: Option<(String, String)>,
    /// The record that is there already.
    pub(crate) record: Option<Id>,
    /// The commands with what they say.
    pub(crate) commands: Vec<(String, Value)>,
    /// How many other records may be the same.
    pub(crate) alike: usize,
}

/// Whose rehearsal it is.
pub(crate) struct Who {
    pub(crate) id: Id,
    pub(crate) tenant: Id,
    pub(crate) actor: Actor,
}

/// What the first rows would lead to, each after those before it; `Err` when that cannot be found out now.
pub(crate) async fn foresee(
    commands: Commands,
    who: Who,
    source: &str,
    sheet: Sheet,
    look: &Look,
    most: usize,
) -> Result<Vec<Foreseen>, String> {
    let Who { id, tenant, actor } = who;
    let run = Run { import: id, tenant, source: source.to_owned(), actor, handed: None };
    let mut records = Records::new(run, sheet, look.header.clone(), Target::new(commands, true));
    let rows: Vec<Row> = look.rows.iter().take(most).cloned().collect();
    let verdicts = records.window(rows, &Before::new()).await.map_err(|stop| match stop {
        Stop::Later(why) | Stop::Never(why) => why,
        Stop::Elsewhere | Stop::Ended => "it was interrupted".to_owned(),
    })?;
    let mut told = records.told();
    let alike: BTreeMap<u64, usize> =
        records.duplicates().into_iter().map(|found| (found.row, found.candidates.len())).collect();
    let mut foreseen: Vec<Foreseen> = Vec::new();
    for (row, verdict) in verdicts {
        let told = told.remove(&row.number);
        let creates = told.as_ref().is_some_and(|told| told.creates);
        let (outcome, refusal) = match verdict {
            Verdict::Applied(_) if creates => ("create", None),
            Verdict::Applied(_) => ("update", None),
            Verdict::Unchanged => ("unchanged", None),
            Verdict::Rejected(fault) => ("reject", Some((fault.code.into_owned(), fault.reason))),
        };
        let record = told.as_ref().filter(|told| !told.creates).map(|told| told.record);
        let commands = told.map(|told| told.commands).unwrap_or_default();
        let alike = alike.get(&row.number).copied().unwrap_or_default();
        foreseen.push(Foreseen { row: row.number, line: row.line, outcome, refusal, record, commands, alike });
    }
    foreseen.sort_by_key(|foreseen| foreseen.row);
    Ok(foreseen)
}
