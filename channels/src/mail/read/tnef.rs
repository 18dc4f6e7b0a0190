//! `winmail.dat`: what Outlook packs a mail's files into (MS-OXTNEF).

use encoding_rs::{Encoding, UTF_16LE, WINDOWS_1252};

/// What is in it.
#[derive(Default)]
pub(super) struct Tnef {
    pub(super) files: Vec<File>,
    /// The text, which is seldom there: mostly the mail says it beside.
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
}

/// A file in it.
#[derive(Default)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) content_id: Option<String>,
    pub(super) content: Vec<u8>,
    /// Whether it is a message in the same format.
    pub(super) nested: bool,
}

const SIGNATURE: u32 = 0x223E_9F78;
const MESSAGE: u8 = 1;
const ATTACHMENT: u8 = 2;

/// Reads it. What is broken in it ends the reading; what came before is kept.
pub(super) fn read(bytes: &[u8]) -> Option<Tnef> {
    let mut reader = Reader(bytes);
    if reader.u32()? != SIGNATURE {
        return None;
    }
    reader.take(2)?;
    let mut tnef = Tnef::default();
    let mut page = WINDOWS_1252;
    while let Some((level, id, data)) = attribute(&mut reader) {
        match (level, id & 0xFFFF) {
            (MESSAGE, 0x9007) => page = code_page(data).unwrap_or(page),
            (MESSAGE, 0x9003) => {
                for (id, value) in properties(data, page).unwrap_or_default() {
                    match (id, value) {
                        (0x1000, Value::Text(text)) => tnef.text = Some(text),
                        (0x1013, Value::Text(text)) => tnef.html = Some(text),
                        (0x1013, Value::Bytes(bytes)) => {
                            tnef.html = Some(super::charset::decode(&bytes, Some(page.name()), None));
                        }
                        _ => {}
                    }
                }
            }
            (MESSAGE, 0x800C) => tnef.text = Some(text(data, page)),
            (ATTACHMENT, 0x9002) if tnef.files.len() < super::Limits::PARTS => tnef.files.push(File::default()),
            (ATTACHMENT, id) => {
                let Some(file) = tnef.files.last_mut() else { continue };
                match id {
                    0x8010 if file.name.is_empty() => file.name = text(data, page),
                    0x800F if file.content.is_empty() => file.content = data.to_vec(),
                    0x9005 => described(file, data, page),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    tnef.files.retain(|file| !file.content.is_empty() || !file.name.is_empty());
    Some(tnef)
}

fn attribute<'a>(reader: &mut Reader<'a>) -> Option<(u8, u32, &'a [u8])> {
    let level = *reader.take(1)?.first()?;
    let id = reader.u32()?;
    let length = usize::try_from(reader.u32()?).ok()?;
    let data = reader.take(length)?;
    // The sum of its bytes, which tells nothing that its length does not.
    reader.take(2)?;
    [MESSAGE, ATTACHMENT].contains(&level).then_some((level, id, data))
}

fn described(file: &mut File, data: &[u8], page: &'static Encoding) {
    for (id, value) in properties(data, page).unwrap_or_default() {
        match (id, value) {
            (0x3707, Value::Text(name)) => file.name = name,
            (0x3704, Value::Text(name)) if file.name.is_empty() => file.name = name,
            (0x370E, Value::Text(kind)) => file.media_type = Some(kind.to_ascii_lowercase()),
            (0x3712, Value::Text(id)) => file.content_id = Some(id.trim_matches(['<', '>']).to_owned()),
            (0x3701, Value::Bytes(bytes)) if file.content.is_empty() => file.content = bytes,
            (0x3701, Value::Object(bytes)) => {
                // A message in a message is the same format, behind the name of its interface.
                file.nested = bytes.get(..4) == Some(&SIGNATURE.to_le_bytes());
                file.content = bytes;
            }
            _ => {}
        }
    }
}

enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Object(Vec<u8>),
    Other,
}

/// The MAPI properties that an attribute holds.
fn properties(data: &[u8], page: &'static Encoding) -> Option<Vec<(u32, Value)>> {
    let mut reader = Reader(data);
    let count = reader.u32()?;
    let mut found = Vec::new();
    for _ in 0..count.min(2_000) {
        let Some(property) = property(&mut reader, page) else { break };
        found.push(property);
    }
    Some(found)
}

fn property(reader: &mut Reader<'_>, page: &'static Encoding) -> Option<(u32, Value)> {
    let tag = reader.u32()?;
    let (id, kind) = (tag >> 16, tag & 0xFFFF);
    if id >= 0x8000 {
        // It has a name of its own.
        reader.take(16)?;
        if reader.u32()? == 0 {
            reader.take(4)?;
        } else {
            let length = usize::try_from(reader.u32()?).ok()?;
            reader.padded(length)?;
        }
    }
    let many = kind & 0x1000 != 0;
    let kind = kind & 0x0FFF;
    let value = match kind {
        // Numbers of two and of four bytes take four, larger ones eight, an id sixteen.
        0x0002 | 0x0003 | 0x0004 | 0x000A | 0x000B => {
            let count = if many { reader.u32()? } else { 1 };
            reader.take(usize::try_from(count).ok()?.checked_mul(4)?)?;
            Value::Other
        }
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => {
            let count = if many { reader.u32()? } else { 1 };
            reader.take(usize::try_from(count).ok()?.checked_mul(8)?)?;
            Value::Other
        }
        0x0048 => {
            let count = if many { reader.u32()? } else { 1 };
            reader.take(usize::try_from(count).ok()?.checked_mul(16)?)?;
            Value::Other
        }
        0x000D | 0x001E | 0x001F | 0x0102 => {
            let mut value = Value::Other;
            for place in 0..reader.u32()?.min(1_000) {
                let length = usize::try_from(reader.u32()?).ok()?;
                let bytes = reader.padded(length)?;
                if place > 0 {
                    continue;
                }
                value = match kind {
                    0x001E => Value::Text(text(bytes, page)),
                    0x001F => Value::Text(text(bytes, UTF_16LE)),
                    0x000D => Value::Object(bytes.get(16..).unwrap_or_default().to_vec()),
                    _ => Value::Bytes(bytes.to_vec()),
                };
            }
            value
        }
        _ => return None,
    };
    Some((id, value))
}

fn text(bytes: &[u8], encoding: &'static Encoding) -> String {
    encoding.decode_without_bom_handling(bytes).0.trim_end_matches('\0').to_owned()
}

fn code_page(data: &[u8]) -> Option<&'static Encoding> {
    let number = Reader(data).u32()?;
    let label = match number {
        65001 => "utf-8".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        _ => format!("windows-{number}"),
    };
    Encoding::for_label(label.as_bytes())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// So many bytes, and those that fill the last four.
    fn padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.take(length)?;
        self.take(length.wrapping_neg() % 4)?;
        Some(taken)
    }
}
