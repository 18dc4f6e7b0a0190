//! The rows of a CSV file, read as a stream: what cannot be a row says why and does not stop the others.

use std::{borrow::Cow, collections::HashMap, io::Read, sync::Arc};

use domain::kernel::text::composed;

use super::layout::Layout;

/// Most bytes that one row may have: beyond it a quote is not closed, or it is no CSV file.
const ROW_BYTES: usize = 4 << 20;

/// Why a row is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Stable code.
    pub(crate) code: Cow<'static, str>,
    /// For a person.
    pub(crate) reason: String,
    /// The attribute that it lies in, as a JSON pointer.
    pub(crate) pointer: Option<String>,
}

impl Fault {
    /// A fault with this code.
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Fault {
        Fault { code: Cow::Borrowed(code), reason: reason.into(), pointer: None }
    }

    /// The same, saying of which attribute.
    pub(crate) fn of(self, attribute: &str) -> Fault {
        let pointer = self.pointer.or_else(|| Some(format!("/{attribute}")));
        Fault { code: self.code, reason: format!("{attribute}: {}", self.reason), pointer }
    }
}

impl From<domain::Rejection> for Fault {
    fn from(rejection: domain::Rejection) -> Fault {
        let pointers: Vec<&str> = rejection.errors.iter().map(|error| error.pointer.as_str()).collect();
        let reason = match pointers.as_slice() {
            [] => rejection.detail.into_owned(),
            pointers => format!("{} ({})", rejection.detail, pointers.join(", ")),
        };
        let pointer = rejection.errors.first().map(|error| error.pointer.clone());
        Fault { code: rejection.code, reason, pointer }
    }
}

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    /// It is not what an import takes; reading it again changes nothing.
    #[error("{0}")]
    Unfit(String),
    /// Its source is out of reach; later it may not be.
    #[error("{0}")]
    Unavailable(String),
}

/// The names of a file's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(Arc<(Vec<String>, HashMap<String, usize>)>);

impl Header {
    /// A header, unless a name is missing or there twice.
    pub(crate) fn new(names: Vec<String>) -> Result<Header, FileError> {
        let mut index = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(FileError::Unfit(format!("column {} of the header has no name", at + 1)));
            }
            if index.insert(name.clone(), at).is_some() {
                return Err(FileError::Unfit(format!("the header has two columns {name}")));
            }
        }
        Ok(Header(Arc::new((names, index))))
    }

    /// A header whose columns have names of their own: one without a name is called by its place, one that shares its name
    /// with columns before it is counted.
    fn named(names: Vec<String>) -> Result<Header, FileError> {
        let mut unique: Vec<String> = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let name = if name.is_empty() { format!("column {}", at + 1) } else { name };
            let counted = (2..).map(|turn| format!("{name} ({turn})"));
            let free = std::iter::once(name.clone()).chain(counted).find(|name| !unique.contains(name));
            unique.extend(free);
        }
        Header::new(unique)
    }

    /// The columns' names in their order.
    pub(crate) fn names(&self) -> &[String] {
        &self.0.0
    }

    /// Whether there is such a column.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.1.contains_key(name)
    }

    /// A row's cells by the names of their columns.
    pub(crate) fn cells<'a>(&'a self, cells: &'a [String]) -> Cells<'a> {
        Cells { header: self, cells }
    }
}

/// A row's cells by the names of their columns.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    header: &'a Header,
    cells: &'a [String],
}

impl<'a> Cells<'a> {
    /// A cell without the blanks around it; empty when there is no such column.
    pub(crate) fn get(&self, column: &str) -> &'a str {
        self.find(column).unwrap_or_default()
    }

    /// The same; `None` when there is no such column.
    pub(crate) fn find(&self, column: &str) -> Option<&'a str> {
        let at = *self.header.0.1.get(column)?;
        self.cells.get(at).map(|cell| cell.trim())
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// 1 for the first after the header.
    pub(crate) number: u64,
    /// Its first line in the file.
    pub(crate) line: u64,
    /// Its cells.
    pub(crate) cells: Vec<String>,
    /// Why it is no row of this file, if it is none.
    pub(crate) fault: Option<Fault>,
}

/// Reads rows one after another.
pub(crate) struct Rows<R: Read> {
    csv: csv::Reader<Bounded<R>>,
    header: Header,
    record: csv::ByteRecord,
    number: u64,
}

impl<R: Read> Rows<R> {
    /// Reads the header of what is UTF-8 already.
    pub(crate) fn open(source: R, layout: Layout) -> Result<Rows<R>, FileError> {
        let source = Bounded { source, since: 0 };
        let Layout { delimiter, quote, names_columns, .. } = layout;
        let mut csv = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).quote(quote).from_reader(source);
        let names = csv.byte_headers().map_err(|error| unreadable(&error))?.clone();
        let names = names.iter().map(|name| std::str::from_utf8(name).map(|name| composed(name.trim()).into_owned()));
        let names: Vec<String> = names
            .collect::<Result<_, _>>()
            .map_err(|_| FileError::Unfit("the header is not UTF-8: convert the file first".into()))?;
        if names.is_empty() {
            return Err(FileError::Unfit("the file is empty: its first line names the columns".into()));
        }
        let header = if names_columns { Header::named(names) } else { Header::new(names) }?;
        Ok(Rows { csv, header, record: csv::ByteRecord::new(), number: 0 })
    }

    /// The columns.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The next row, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, FileError> {
        self.csv.get_mut().since = 0;
        if !self.csv.read_byte_record(&mut self.record).map_err(|error| unreadable(&error))? {
            return Ok(None);
        }
        self.number += 1;
        let mut not_utf8 = None;
        let cells: Vec<String> = self
            .record
            .iter()
            .enumerate()
            .map(|(at, cell)| match std::str::from_utf8(cell) {
                Ok(cell) => composed(cell).into_owned(),
                Err(_) => {
                    not_utf8.get_or_insert(at);
                    String::from_utf8_lossy(cell).into_owned()
                }
            })
            .collect();
        let wanted = self.header.names().len();
        let fault = if cells.len() != wanted {
            Some(Fault::new("row_malformed", format!("The row has {} cells, the header {wanted}.", cells.len())))
        } else if let Some(at) = not_utf8 {
            Some(Fault::new("text_invalid", format!("Column {} is not UTF-8.", self.header.names()[at])))
        } else if let Some(at) = cells.iter().position(|cell| cell.contains('\0')) {
            Some(Fault::new("text_invalid", format!("Column {} holds the character U+0000.", self.header.names()[at])))
        } else {
            None
        };
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some(Row { number: self.number, line, cells, fault }))
    }
}

fn unreadable(error: &csv::Error) -> FileError {
    match error.kind() {
        csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            FileError::Unfit(error.to_string())
        }
        csv::ErrorKind::Io(error) => FileError::Unavailable(error.to_string()),
        _ => FileError::Unfit(error.to_string()),
    }
}

/// Refuses a row without end before it fills the memory.
struct Bounded<R> {
    source: R,
    since: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since > ROW_BYTES {
            let reason = format!("a row has more than {ROW_BYTES} bytes: is a quote not closed?");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
        }
        let read = self.source.read(buffer)?;
        self.since += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rows(text: &[u8]) -> Vec<Row> {
        let mut rows = Rows::open(text, Layout::separated_by(b',')).unwrap();
        std::iter::from_fn(|| rows.next().unwrap()).collect()
    }

    #[test]
    fn rows_have_numbers_lines_and_cells_by_name() {
        let found = rows(b"\xef\xbb\xbfcase, who \nA,\"x\ny\"\nB,z\n");
        let places: Vec<_> = found.iter().map(|row| (row.number, row.line, row.fault.is_none())).collect();
        assert_eq!(places, [(1, 2, true), (2, 4, true)]);
        let reader = Rows::open(&b"\xef\xbb\xbfcase, who \n"[..], Layout::separated_by(b',')).unwrap();
        let cells = reader.header().cells(&found[0].cells);
        assert_eq!((cells.get("case"), cells.get("who"), cells.find("none")), ("A", "x\ny", None));
    }

    #[test]
    fn a_row_that_is_none_does_not_stop_the_others() {
        let found = rows(b"a,b\n1\n1,2\n1,2,3\n\xff,2\n1,\0\n3,4\n");
        let codes: Vec<_> =
            found.iter().map(|row| row.fault.as_ref().map_or("ok".into(), |fault| fault.code.clone())).collect();
        assert_eq!(codes, ["row_malformed", "ok", "row_malformed", "text_invalid", "text_invalid", "ok"]);
        assert_eq!(found[5].number, 6);
    }

    #[test]
    fn a_file_that_is_none_says_why() {
        let error = |text: &[u8]| Rows::open(text, Layout::separated_by(b',')).map(|_| ()).unwrap_err().to_string();
        assert!(error(b"").contains("empty"));
        assert!(error(b"a,a\n").contains("two columns a"));
        assert!(error(b"a,,c\n").contains("column 2"));
        assert!(error(b"a,\xff\n").contains("UTF-8"));
    }

    #[test]
    fn columns_without_a_name_of_their_own_are_given_one() {
        let layout = Layout { names_columns: true, ..Layout::separated_by(b',') };
        let rows = Rows::open(&b"Phone,,Phone,Phone\n"[..], layout).unwrap();
        assert_eq!(rows.header().names(), ["Phone", "column 2", "Phone (2)", "Phone (3)"]);
    }

    #[test]
    fn a_row_without_end_is_stopped() {
        let mut text = b"a,b\n1,\"".to_vec();
        text.resize(ROW_BYTES * 2, b'x');
        let mut rows = Rows::open(&*text, Layout::separated_by(b',')).unwrap();
        assert!(matches!(rows.next(), Err(FileError::Unfit(why)) if why.contains("quote")));
    }
}
