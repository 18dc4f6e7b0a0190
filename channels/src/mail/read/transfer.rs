//! What was wrapped for the way is unwrapped: base64, quoted-printable, uuencode, each as broken as it comes.

use super::charset::sextet;

/// The bytes of a body, by the `Content-Transfer-Encoding` that it claims.
pub(super) fn decode(body: &[u8], encoding: &str) -> Vec<u8> {
    let encoding =
        encoding.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';')).to_ascii_lowercase();
    match encoding.split([';', ' ', '(']).next().unwrap_or_default() {
        "base64" | "b64" | "base-64" => base64(body).unwrap_or_else(|| body.to_vec()),
        "quoted-printable" | "quotedprintable" | "qp" => quoted_printable(body),
        "uuencode" | "x-uuencode" | "x-uue" | "uue" => {
            uuencoded(body).into_iter().next().map_or_else(|| body.to_vec(), |file| file.content)
        }
        _ => body.to_vec(),
    }
}

/// Base64 with whatever else stands in it. `None` where it is plainly none.
fn base64(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let (mut bits, mut held, mut ended) = (0u32, 0, false);
    let (mut read, mut strange) = (0usize, 0usize);
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        // What a list adds below the padding was never encoded.
        if ended && !line.iter().all(|byte| sextet(*byte).is_some() || *byte == b'=') {
            break;
        }
        read += line.len();
        for (place, byte) in line.iter().enumerate() {
            if ended && byte.is_ascii_whitespace() && line[place..].iter().any(|byte| sextet(*byte).is_some()) {
                break;
            }
            if let Some(value) = sextet(*byte) {
                ended = false;
                (bits, held) = (bits << 6 | u32::from(value), held + 6);
                if held >= 8 {
                    held -= 8;
                    out.push((bits >> held) as u8);
                    bits &= (1 << held) - 1;
                }
            } else if *byte == b'=' {
                (bits, held, ended) = (0, 0, true);
            } else {
                strange += 1;
            }
        }
    }
    // Words have blanks and marks between them; base64 has at most what strayed into it.
    (strange * 10 <= read).then_some(out)
}

/// The base64 of an encoded word.
pub(super) fn base64_word(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text {
        match sextet(*byte) {
            Some(value) => {
                (bits, held) = (bits << 6 | u32::from(value), held + 6);
                if held >= 8 {
                    held -= 8;
                    out.push((bits >> held) as u8);
                    bits &= (1 << held) - 1;
                }
            }
            None if *byte == b'=' => (bits, held) = (0, 0),
            None => {}
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The byte that two hexadecimal digits at the front name.
pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    Some(hex(*text.first()?)? << 4 | hex(*text.get(1)?)?)
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut lines = body.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let returns = line.ends_with(b"\r");
        // White space at the end of a line is none of the writer's.
        let line = if last { line } else { line.trim_ascii_end() };
        let (line, soft) = match line.strip_suffix(b"=") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let mut rest = line;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match (byte, hex_pair(after)) {
                (b'=', Some(value)) => {
                    out.push(value);
                    rest = &after[2..];
                }
                _ => out.push(*byte),
            }
        }
        if !last && !soft {
            out.extend_from_slice(if returns { b"\r\n" } else { b"\n" });
        }
    }
    out
}

/// The "Q" of an encoded word.
pub(super) fn q_word(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, hex_pair(after)) {
            (b'=', Some(value)) => {
                out.push(value);
                rest = &after[2..];
            }
            (b'_', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    out
}

/// A file that stands uuencoded in a text.
pub(super) struct Uuencoded {
    /// Its name, as it stands there.
    pub(super) name: Vec<u8>,
    /// What is in it.
    pub(super) content: Vec<u8>,
    /// Where in the text it stands.
    pub(super) at: std::ops::Range<usize>,
}

/// The files that stand uuencoded in a text.
pub(super) fn uuencoded(body: &[u8]) -> Vec<Uuencoded> {
    let mut files = Vec::new();
    let mut open: Option<Uuencoded> = None;
    let mut place = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = place;
        place += line.len();
        let line = line.trim_ascii_end();
        if let Some(mut file) = open.take() {
            if line == b"end" {
                file.at.end = place;
                files.push(file);
            } else if line.is_empty() || line == b"`" {
                open = Some(file);
            } else if let Some(bytes) = uu_line(line) {
                file.content.extend(bytes);
                open = Some(file);
            }
        } else if let Some(name) = uu_begin(line)
            && files.len() < 100
        {
            open = Some(Uuencoded { name: name.to_vec(), content: Vec::new(), at: start..start });
        }
    }
    files
}

fn uu_begin(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"begin ")?;
    let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if !(3..=4).contains(&digits) || rest.get(digits) != Some(&b' ') {
        return None;
    }
    Some(rest[digits + 1..].trim_ascii()).filter(|name| !name.is_empty())
}

fn uu_line(line: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: u8| (0x20..=0x60).contains(&byte).then(|| (byte - 0x20) & 0x3F);
    let (length, letters) = line.split_first()?;
    let length = usize::from(value(*length)?);
    let mut out = Vec::with_capacity(length + 3);
    for four in letters.chunks(4) {
        let mut bits = 0u32;
        for place in 0..4 {
            // Blanks at the end of a line get lost on the way.
            bits = bits << 6 | u32::from(value(four.get(place).copied().unwrap_or(b' '))?);
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    while out.len() < length && out.len() < 63 {
        out.push(0);
    }
    out.truncate(length);
    Some(out)
}
