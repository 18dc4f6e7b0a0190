//! What files are called: a name for people, from which nothing follows for where anything is written.

use unicode_normalization::UnicodeNormalization;

/// Most characters of a name.
const LONGEST: usize = 200;
/// What a file is called that has no name.
const NAMELESS: &str = "file";

/// Characters that make a name look like another one: they turn the direction of writing, join, or show nothing.
fn deceives(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The name without a path, without characters that deceive or that no system takes, and not too long.
pub fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last
        .nfc()
        .filter(|c| !c.is_control() && !deceives(*c))
        .map(|c| if matches!(c, '"' | '<' | '>' | ':' | '|' | '?' | '*') { '_' } else { c })
        .collect();
    // Windows takes no blanks and dots at the end; dots at the beginning hide a file.
    let plain = plain.trim().trim_matches('.').trim();
    if plain.is_empty() {
        return NAMELESS.to_owned();
    }
    if plain.chars().count() <= LONGEST {
        return plain.to_owned();
    }
    let (stem, extension) = split(plain);
    let extension = extension.filter(|extension| extension.chars().count() <= 20);
    let room = LONGEST - extension.map_or(0, |extension| extension.chars().count() + 1);
    let stem: String = stem.chars().take(room).collect();
    extension.map_or(stem.clone(), |extension| format!("{stem}.{extension}"))
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, Some(extension)),
        _ => (name, None),
    }
}

/// The name with another ending, for a file that has become something else.
pub fn ending(name: &str, extension: &str) -> String {
    format!("{}.{extension}", split(name).0)
}

/// `Content-Disposition` (RFC 6266): whether it is shown or saved, and under which name.
pub fn disposition(inline: bool, name: &str) -> String {
    let how = if inline { "inline" } else { "attachment" };
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{how}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// The name in a `Content-Disposition`, plain or encoded (RFC 8187).
pub fn in_disposition(header: &str) -> Option<String> {
    let parameter = |wanted: &str| {
        header.split(';').skip(1).find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let extended = parameter("filename*").and_then(|value| {
        let (charset, rest) = value.split_once('\'')?;
        let encoded = rest.split_once('\'')?.1;
        charset.eq_ignore_ascii_case("utf-8").then(|| decoded(encoded)).flatten()
    });
    extended.or_else(|| parameter("filename")).filter(|name| !name.is_empty())
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_and_looks_like_what_it_is() {
        for (sent, kept) in [
            ("prices.pdf", "prices.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\Foto 1.JPG", "Foto 1.JPG"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\u{200b}b\u{0}c\r\nd.txt", "abcd.txt"),
            ("Cafe\u{301}.txt", "Café.txt"),
            ("..", "file"),
            ("", "file"),
            ("   ", "file"),
            (".htaccess", "htaccess"),
            ("con?\"<x>.txt ", "con___x_.txt"),
        ] {
            assert_eq!(clean(sent), kept, "{sent:?}");
        }
        let long = clean(&format!("{}.jpeg", "ž".repeat(500)));
        assert!(long.ends_with("ž.jpeg") && long.chars().count() == LONGEST);
        assert_eq!(ending("door.webp", "jpg"), "door.jpg");
        assert_eq!(ending("door", "jpg"), "door.jpg");
    }

    #[test]
    fn a_disposition_is_safe_in_any_header_and_comes_back() {
        let header = disposition(false, "Smlouva \"č. 1\"; x=y.pdf");
        assert_eq!(
            header,
            "attachment; filename=\"Smlouva __. 1_; x=y.pdf\"; filename*=UTF-8''Smlouva%20%22%C4%8D.%201%22%3B%20x%3Dy.pdf"
        );
        assert!(header.is_ascii());
        assert_eq!(
            in_disposition("attachment; filename*=UTF-8''%C4%8Desko.pdf; filename=x.pdf").as_deref(),
            Some("česko.pdf")
        );
        assert_eq!(in_disposition("attachment; filename=\"a b.pdf\"").as_deref(), Some("a b.pdf"));
        for nameless in [
            "attachment",
            "attachment; filename*=UTF-8''%zz",
            "attachment; filename=\"\"",
            "attachment; filename*=UTF-8''%",
        ] {
            assert_eq!(in_disposition(nameless), None, "{nameless}");
        }
    }
}
