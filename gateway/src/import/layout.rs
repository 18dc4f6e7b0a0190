//! How a file is written: its encoding, what stands between two cells, and what around one.

use std::io::Read;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;

/// What may stand between two cells. Where several would do, the last: text has commas, and hardly a tab.
const DELIMITERS: &[u8] = b",|;\t";
/// Rows by which the separator is known.
const LOOKED_AT: usize = 50;
/// So many times as many sound characters as broken ones make a text UTF-8, with some broken rows.
const SOUND: usize = 16;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) encoding: &'static Encoding,
    /// What stands between two cells.
    pub(crate) delimiter: u8,
    /// What stands around a cell that has a separator in it.
    pub(crate) quote: u8,
    /// Whether columns without a name, and those that share one, are given names of their own.
    pub(crate) names_columns: bool,
}

impl Layout {
    /// UTF-8 with this between two cells.
    pub(crate) fn separated_by(delimiter: u8) -> Layout {
        Layout { encoding: UTF_8, delimiter, quote: b'"', names_columns: false }
    }

    /// How a file in this encoding is written that begins so, as far as one sees.
    pub(crate) fn of(encoding: &'static Encoding, head: &[u8]) -> Layout {
        let (delimiter, quote) = separated(&encoding.decode(head).0);
        Layout { encoding, delimiter, quote, names_columns: true }
    }

    /// The file as UTF-8. What is UTF-8 stays as it is, so that a broken cell can be told.
    pub(crate) fn decoded<'a>(&self, source: impl Read + 'a) -> Box<dyn Read + 'a> {
        if self.encoding == UTF_8 {
            return Box::new(source);
        }
        Box::new(DecodeReaderBytesBuilder::new().encoding(Some(self.encoding)).strip_bom(true).build(source))
    }
}

/// The encoding that people call so, such as `windows-1251` or `ISO-8859-2`.
pub(crate) fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let unknown = || format!("file.encoding: there is no encoding {name}; there are UTF-8, windows-1252 and so on");
    Encoding::for_label(name.as_bytes()).ok_or_else(unknown)
}

/// Finds out in which encoding a file is that comes piece by piece.
pub(crate) struct Guess {
    detector: EncodingDetector,
    head: Vec<u8>,
    /// The beginning of a character that the next piece may end.
    rest: Vec<u8>,
    sound: usize,
    broken: usize,
}

impl Guess {
    pub(crate) fn new() -> Guess {
        let detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        Guess { detector, head: Vec::new(), rest: Vec::new(), sound: 0, broken: 0 }
    }

    /// Takes the next piece in.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.head.extend(piece.iter().take(4 - self.head.len().min(4)));
        self.detector.feed(piece, false);
        let text = [std::mem::take(&mut self.rest).as_slice(), piece].concat();
        let mut read = 0;
        for chunk in text.utf8_chunks() {
            self.sound += chunk.valid().chars().filter(|letter| !letter.is_ascii()).count();
            read += chunk.valid().len() + chunk.invalid().len();
            let begun = || std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if chunk.invalid().is_empty() {
                continue;
            }
            if read == text.len() && begun() {
                self.rest = chunk.invalid().to_vec();
            } else {
                self.broken += 1;
            }
        }
    }

    /// What the file is in: what it says itself, UTF-8 where it can be read so, or the likeliest.
    pub(crate) fn encoding(mut self) -> &'static Encoding {
        if let Some((said, _)) = Encoding::for_bom(&self.head) {
            return said;
        }
        self.broken += usize::from(!self.rest.is_empty());
        if self.broken == 0 || self.sound > self.broken * SOUND {
            return UTF_8;
        }
        self.detector.feed(&[], true);
        self.detector.guess(None, Utf8Detection::Deny)
    }
}

/// What stands between two cells and around one, as the beginning of the file shows it.
fn separated(text: &str) -> (u8, u8) {
    let quote = quote(text);
    let columns = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new();
        reader.flexible(true).has_headers(false).delimiter(delimiter).quote(quote);
        let mut rows = reader.from_reader(text.as_bytes());
        let mut widths: Vec<usize> =
            rows.records().map_while(Result::ok).take(LOOKED_AT + 1).map(|row| row.len()).collect();
        // The last one may be cut off.
        if widths.len() > 2 {
            widths.pop();
        }
        let width = widths.first().copied().unwrap_or_default();
        let alike = widths.iter().filter(|other| **other == width).count();
        (width > 1).then(|| (alike * 100 / widths.len().max(1), width))
    };
    let ranked =
        DELIMITERS.iter().enumerate().filter_map(|(rank, delimiter)| Some((columns(*delimiter)?, rank, *delimiter)));
    (ranked.max().map_or(b',', |(_, _, delimiter)| delimiter), quote)
}

/// A file whose header has every name between single quotes has its cells so.
fn quote(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default().trim_start_matches('\u{FEFF}').trim();
    let quoted = |name: &str| name.len() > 1 && name.starts_with('\'') && name.ends_with('\'');
    let single = DELIMITERS.iter().any(|delimiter| {
        let names: Vec<&str> = header.split(char::from(*delimiter)).collect();
        names.len() > 1 && names.iter().all(|name| quoted(name.trim()))
    });
    if single { b'\'' } else { b'"' }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use encoding_rs::{UTF_16LE, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};

    use super::*;

    fn guessed(pieces: &[&[u8]]) -> &'static str {
        let mut guess = Guess::new();
        pieces.iter().for_each(|piece| guess.push(piece));
        guess.encoding().name()
    }

    #[test]
    fn an_encoding_is_known_by_its_text() {
        assert_eq!(guessed(&[b"name,city\nAnna,Roma\n"]), "UTF-8");
        let text = "имя,город\nОльга Петрова,Санкт-Петербург\n";
        assert_eq!(guessed(&[text.as_bytes()]), "UTF-8");
        // A character may lie on both sides of a piece's end.
        assert_eq!(guessed(&[&text.as_bytes()[..1], &text.as_bytes()[1..]]), "UTF-8");
        assert_eq!(guessed(&[&WINDOWS_1251.encode(text).0]), "windows-1251");
        let czech = "jméno,město\nŽofie Dvořáková,Plzeň\nJiří Němec,Ústí nad Labem\nŠárka Křížová,Třebíč\n";
        assert!(["windows-1250", "ISO-8859-2"].contains(&guessed(&[&WINDOWS_1250.encode(czech).0])));
        let western = "nom,ville\nRenée Müller,Besançon\nZoë Fürst,Orléans\n";
        assert_eq!(guessed(&[&WINDOWS_1252.encode(western).0]), "windows-1252");
        let wide: Vec<u8> = "\u{FEFF}имя".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(guessed(&[&wide]), "UTF-16LE");
        let mut text = String::new();
        Layout { encoding: UTF_16LE, ..Layout::separated_by(b',') }.decoded(&*wide).read_to_string(&mut text).unwrap();
        assert_eq!(text, "имя");
    }

    #[test]
    fn a_broken_row_does_not_change_the_encoding_of_the_others() {
        let mut text = "Žofie Dvořáková, Plzeň, Jiří Němec, Ústí nad Labem, Šárka Křížová, Třebíč".as_bytes().to_vec();
        text.extend(b"\xff\n");
        assert_eq!(guessed(&[&text]), "UTF-8");
    }

    #[test]
    fn a_separator_is_known_by_the_rows() {
        assert_eq!(separated("a,b\n1,2\n"), (b',', b'"'));
        assert_eq!(separated("a;b\n\"1;2\";3,4\n"), (b';', b'"'));
        assert_eq!(separated("name\tcity, country\nAnna\tRoma, Italy\n"), (b'\t', b'"'));
        assert_eq!(separated("'a'|'b'\n'1|2'|'3'\n"), (b'|', b'\''));
        assert_eq!(separated("alone\nx,y\n"), (b',', b'"'));
        assert!(encoding("latin1").is_ok() && encoding("morse").is_err());
    }
}
