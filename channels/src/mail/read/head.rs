//! The head of a message or part: its fields, wherever their lines break.

use super::{Limits, charset, word};

/// A header field: its name as written, and its value in one line, encoded words not yet decoded.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) text: String,
}

/// All header fields of a message or part.
#[derive(Default)]
pub(super) struct Head {
    pub(super) fields: Vec<Field>,
    /// The last part of the sender's domain, which helps to guess charsets.
    pub(super) domain: Option<String>,
    /// Whether there were more than are read.
    pub(super) cut: bool,
}

impl Head {
    /// The first field of this name that says anything.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|text| !text.trim().is_empty())
    }

    /// All fields of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.text.as_str())
    }

    /// A field's text for people, its encoded words decoded.
    pub(super) fn decoded(&self, name: &str) -> Option<String> {
        self.get(name).map(|text| word::decoded(text, self.domain.as_deref()))
    }

    /// A field that has parameters.
    pub(super) fn parameters(&self, name: &str) -> word::Parameters {
        self.get(name).map(|text| word::parameters(text, self.domain.as_deref())).unwrap_or_default()
    }
}

/// Reads the head at the beginning, and says where the body begins. `domain` is what is known of the sender already.
pub(super) fn read(raw: &[u8], domain: Option<&str>) -> (Head, usize) {
    let (fields, body, cut) = split(raw);
    let domain = domain.map(str::to_owned).or_else(|| domain_of(&fields));
    let label = charset_of(&fields);
    let text = |value: &[u8]| {
        let text = charset::decode(value, label.as_deref().filter(|_| !value.is_ascii()), domain.as_deref());
        text.replace('\0', "")
    };
    let fields = fields
        .iter()
        .map(|(name, value)| Field { name: String::from_utf8_lossy(name).into_owned(), text: text(value) });
    (Head { fields: fields.collect(), domain, cut }, body)
}

type Raw = (Vec<u8>, Vec<u8>);

/// The raw fields, where the body begins, and whether some were left out.
fn split(raw: &[u8]) -> (Vec<Raw>, usize, bool) {
    let mut fields: Vec<Raw> = Vec::new();
    let mut cut = false;
    let mut place = 0;
    while place < raw.len() {
        let end = raw[place..].iter().position(|byte| *byte == b'\n').map_or(raw.len(), |at| place + at + 1);
        let line = trimmed(&raw[place..end]);
        let blank = line.iter().all(u8::is_ascii_whitespace);
        if blank && (line.is_empty() || fields.is_empty() || ends_here(raw, end)) {
            return (fields, end, cut);
        }
        if fields.is_empty() && (line.starts_with(b"From ") || line.starts_with(b">From ")) && colon(line).is_none() {
            // The separator of an mbox.
            place = end;
            continue;
        }
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        match (folded, colon(line)) {
            (true, _) if !fields.is_empty() => continued(&mut fields, line, &mut cut),
            (false, Some(at)) => {
                if fields.len() < Limits::FIELDS {
                    let name = line[..at].trim_ascii_end().to_vec();
                    let value = line[at + 1..].trim_ascii();
                    cut |= value.len() > Limits::FIELD;
                    fields.push((name, value[..value.len().min(Limits::FIELD)].to_vec()));
                } else {
                    cut = true;
                }
            }
            _ if fields.is_empty() => return (fields, place, cut),
            // A line that was broken without being folded, if the head goes on after it; else the body, without an empty line before it.
            _ if goes_on(raw, end) => continued(&mut fields, line, &mut cut),
            _ => return (fields, place, cut),
        }
        place = end;
    }
    (fields, raw.len(), cut)
}

fn continued(fields: &mut [Raw], line: &[u8], cut: &mut bool) {
    let Some((_, value)) = fields.last_mut() else { return };
    let line = line.trim_ascii();
    if value.len() + line.len() > Limits::FIELD {
        *cut = true;
        return;
    }
    if !value.is_empty() && !line.is_empty() {
        value.push(b' ');
    }
    value.extend_from_slice(line);
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
    &line[..end]
}

/// Where the colon of a field is, if the line begins one.
pub(super) fn colon(line: &[u8]) -> Option<usize> {
    let at = line.iter().take(120).position(|byte| *byte == b':')?;
    let name = line[..at].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(at)
}

/// Whether a line of white space ends the head: it does, unless the head plainly goes on.
fn ends_here(raw: &[u8], next: usize) -> bool {
    let line = raw[next..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    colon(line).is_none() && !line.starts_with(b" ") && !line.starts_with(b"\t")
}

/// Whether another field follows before the head ends.
fn goes_on(raw: &[u8], next: usize) -> bool {
    let lines = raw[next..].split(|byte| *byte == b'\n').map(trimmed).take(8).take_while(|line| !line.is_empty());
    lines.into_iter().any(|line| {
        colon(line).is_some_and(|at| {
            let name = &line[..at];
            let known: [&[u8]; 12] = [
                b"from",
                b"to",
                b"cc",
                b"subject",
                b"date",
                b"message-id",
                b"mime-version",
                b"reply-to",
                b"in-reply-to",
                b"references",
                b"received",
                b"return-path",
            ];
            let lower = name.to_ascii_lowercase();
            known.contains(&lower.as_slice()) || lower.starts_with(b"content-") || lower.starts_with(b"x-")
        })
    })
}

/// The last part of the domain that the mail says it is from.
fn domain_of(fields: &[Raw]) -> Option<String> {
    let (_, from) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"from"))?;
    let at = from.iter().rposition(|byte| *byte == b'@')?;
    let end = |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let domain = from[at + 1..].split(end).next()?;
    let last = domain.rsplit(|byte| *byte == b'.').next()?.to_ascii_lowercase();
    String::from_utf8(last).ok().filter(|last| !last.is_empty() && last.bytes().all(charset::is_of_domain))
}

/// The charset that `Content-Type` names, which raw bytes in other fields are most likely in too.
fn charset_of(fields: &[Raw]) -> Option<String> {
    let (_, value) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))?;
    let text = String::from_utf8_lossy(value);
    word::parameters(&text, None).get("charset").map(str::to_owned)
}
