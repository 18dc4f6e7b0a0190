//! Encoded words (RFC 2047) in header fields, and parameters (RFC 2231), as mailers write them.

use super::{charset, transfer};

/// One encoded word, taken apart.
struct Word<'a> {
    charset: &'a str,
    base64: bool,
    data: &'a str,
}

/// The text of a header field, its encoded words decoded, in one line.
pub(super) fn decoded(text: &str, domain: Option<&str>) -> String {
    let once = words(text, domain);
    // Some encode what is encoded already.
    let again = once.starts_with("=?") && once.ends_with("?=") && once.len() < text.len();
    charset::line(&if again { words(&once, domain) } else { once })
}

fn words(text: &str, domain: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    // Neighbours in one charset are decoded together: a letter may begin in one word and end in the next.
    let mut held: Option<(String, bool, Vec<u8>, String)> = None;
    let mut rest = text;
    let flush = |held: &mut Option<(String, bool, Vec<u8>, String)>, out: &mut String| {
        if let Some((charset, _, mut bytes, open)) = held.take() {
            bytes.extend(transfer::base64_word(open.as_bytes()));
            out.push_str(&charset::decode(&bytes, Some(&charset), domain));
        }
    };
    while let Some(at) = rest.find("=?") {
        let before = &rest[..at];
        let Some((word, after)) = word(&rest[at..]) else {
            flush(&mut held, &mut out);
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        };
        // White space between encoded words is only there to fold the line.
        if !(held.is_some() && before.chars().all(char::is_whitespace)) {
            flush(&mut held, &mut out);
            out.push_str(before);
        }
        if held
            .as_ref()
            .is_some_and(|(charset, base64, ..)| !charset.eq_ignore_ascii_case(word.charset) || *base64 != word.base64)
        {
            flush(&mut held, &mut out);
        }
        let (_, _, bytes, open) =
            held.get_or_insert_with(|| (word.charset.to_owned(), word.base64, Vec::new(), String::new()));
        if word.base64 {
            open.push_str(word.data);
            // A quantum that is cut here goes on in the next word.
            if open.ends_with('=') || open.len() % 4 == 0 {
                bytes.extend(transfer::base64_word(open.as_bytes()));
                open.clear();
            }
        } else {
            bytes.extend(transfer::q_word(word.data.as_bytes()));
        }
        rest = after;
    }
    flush(&mut held, &mut out);
    out.push_str(rest);
    out
}

/// The encoded word at the front, and what follows it.
fn word(text: &str) -> Option<(Word<'_>, &str)> {
    let inner = text.strip_prefix("=?")?;
    let (charset, rest) = inner.split_once('?')?;
    if charset.is_empty() || charset.len() > 60 || charset.contains(char::is_whitespace) {
        return None;
    }
    let (encoding, data) = rest.split_once('?')?;
    let base64 = match encoding {
        "B" | "b" => true,
        "Q" | "q" => false,
        _ => return None,
    };
    // The end may be cut off with the line, by those who count letters.
    let mut near = data.len().min(10_000);
    while !data.is_char_boundary(near) {
        near -= 1;
    }
    let (data, after) = match data[..near].find("?=") {
        // In "Q", a question mark that should have been encoded may stand right before an encoded byte.
        Some(end) if !base64 => {
            let mut end = end;
            while data.as_bytes().get(end + 2).is_some_and(u8::is_ascii_hexdigit)
                && transfer::hex_pair(&data.as_bytes()[end + 2..]).is_some()
                && let Some(next) = data[end + 2..].find("?=")
                && !data[end + 2..end + 2 + next].contains("=?")
            {
                end += 2 + next;
            }
            (&data[..end], &data[end + 2..])
        }
        Some(end) => (&data[..end], &data[end + 2..]),
        None => {
            let end = data.find(char::is_whitespace).unwrap_or(data.len());
            (&data[..end], &data[end..])
        }
    };
    let charset = charset.split('*').next().unwrap_or_default();
    Some((Word { charset, base64, data }, after))
}

/// A field's value and its parameters: `text/plain; charset=utf-8`.
#[derive(Default)]
pub(super) struct Parameters {
    /// What stands before the first semicolon.
    pub(super) value: String,
    all: Vec<(String, String)>,
}

impl Parameters {
    /// A parameter by its name in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a value with parameters: continued, encoded, quoted or not as they should be.
pub(super) fn parameters(text: &str, domain: Option<&str>) -> Parameters {
    let pieces = pieces(text);
    let mut pieces = pieces.iter().map(String::as_str);
    let value = pieces.next().unwrap_or_default();
    let mut all: Vec<(String, String)> = Vec::new();
    // Name, number, whether its bytes are percent-encoded, value.
    let mut continued: Vec<(String, usize, bool, String)> = Vec::new();
    for piece in pieces.take(200) {
        let Some((name, value)) = piece.split_once('=') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let value = unquoted(value.trim());
        match name.split_once('*') {
            None => {
                if !all.iter().any(|(found, _)| *found == name) {
                    let value = without_star(&value, domain).unwrap_or_else(|| decoded(&value, domain));
                    all.push((name, value));
                }
            }
            Some((name, rest)) => {
                let encoded = rest.is_empty() || rest.ends_with('*');
                let number = rest.trim_end_matches('*').parse().unwrap_or_default();
                continued.push((name.to_owned(), number, encoded, value));
            }
        }
    }
    continued.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let mut rest = continued.as_slice();
    while let Some((name, ..)) = rest.first() {
        let count = rest.iter().take_while(|(found, ..)| found == name).count();
        let value = joined(&rest[..count], domain);
        // What is said in full counts for more than what is said for old mailers beside it.
        all.retain(|(found, _)| found != name);
        all.push((name.clone(), value));
        rest = &rest[count..];
    }
    Parameters { value: charset::line(value).to_ascii_lowercase(), all }
}

/// A value that is encoded as only those with a star in their name may be: `filename=utf-8''%C5%BD.txt`.
fn without_star(value: &str, domain: Option<&str>) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (language, encoded) = rest.split_once('\'')?;
    let known =
        ["utf-8", "iso-8859-", "windows-", "koi8-"].iter().any(|known| charset.to_ascii_lowercase().starts_with(known));
    let fits = known && language.len() <= 8 && encoded.contains('%');
    fits.then(|| charset::line(&charset::decode(&percent(encoded), Some(charset), domain)))
}

fn joined(pieces: &[(String, usize, bool, String)], domain: Option<&str>) -> String {
    let mut charset: Option<String> = None;
    let mut bytes = Vec::new();
    for (place, (_, _, encoded, value)) in pieces.iter().enumerate() {
        let mut value = value.as_str();
        if place == 0 && *encoded {
            let mut parts = value.splitn(3, '\'');
            if let (Some(name), Some(_), Some(rest)) = (parts.next(), parts.next(), parts.next()) {
                charset = Some(name.to_owned()).filter(|name| !name.is_empty());
                value = rest;
            }
        }
        if *encoded { bytes.extend(percent(value)) } else { bytes.extend(value.as_bytes()) }
    }
    let text = charset::decode(&bytes, charset.as_deref(), domain);
    // Some encode in both ways at once.
    if text.contains("=?") { decoded(&text, domain) } else { charset::line(&text) }
}

/// The bytes of a percent-encoded text.
pub(super) fn percent(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, transfer::hex_pair(after)) {
            (b'%', Some(value)) => {
                out.push(value);
                rest = &after[2..];
            }
            _ => out.push(*byte),
        }
    }
    out
}

/// What stands between semicolons outside of quotes; comments are left out.
fn pieces(text: &str) -> Vec<String> {
    let (mut out, mut now) = (Vec::new(), String::new());
    let (mut quoted, mut escaped, mut depth) = (false, false, 0usize);
    for letter in text.chars() {
        if escaped {
            escaped = false;
            if depth == 0 {
                now.push(letter);
            }
            continue;
        }
        match letter {
            '\\' if quoted || depth > 0 => {
                escaped = true;
                if depth == 0 {
                    now.push(letter);
                }
            }
            '"' if depth == 0 => {
                quoted = !quoted;
                now.push(letter);
            }
            ';' if !quoted && depth == 0 => out.push(std::mem::take(&mut now)),
            // A name may have brackets, though it should be quoted then.
            '(' if !quoted && !now.contains('=') => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            _ => now.push(letter),
        }
    }
    out.push(now);
    out
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        let single = value.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
        return single.unwrap_or(value).to_owned();
    };
    let (mut out, mut escaped) = (String::with_capacity(inner.len()), false);
    for letter in inner.chars() {
        match letter {
            // Folders of Windows are written as they are by those who do not know of escaping.
            '\\' if !escaped => escaped = true,
            '"' if !escaped => break,
            _ => {
                if escaped && !matches!(letter, '"' | '\\') {
                    out.push('\\');
                }
                escaped = false;
                out.push(letter);
            }
        }
    }
    out
}
