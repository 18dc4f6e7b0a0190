//! What a file is, as its own bytes tell: neither its name nor what whoever sent it says is believed.

/// What is text and nothing that a browser carries out, of which senders know better what it is: believed where all of it is text.
const TEXTS: &[&str] = &["application/json", "text/calendar", "text/csv", "text/markdown", "text/vcard"];
/// Whatever it is.
pub const UNKNOWN: &str = "application/octet-stream";
/// A picture made of markup, in which scripts may stand.
pub const SVG: &str = "image/svg+xml";

/// Tells whether bytes that come piece by piece are text in UTF-8.
#[derive(Debug, Default)]
pub struct TextCheck {
    rest: Vec<u8>,
    broken: bool,
}

impl TextCheck {
    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        if self.broken {
            return;
        }
        let joined;
        let bytes = match self.rest.is_empty() {
            true => piece,
            false => {
                joined = [&self.rest, piece].concat();
                &joined[..]
            }
        };
        let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
        if piece.iter().any(control) {
            self.broken = true;
            return;
        }
        self.rest = match std::str::from_utf8(bytes) {
            Ok(_) => Vec::new(),
            // The end may be the beginning of a character.
            Err(error) if error.error_len().is_none() => bytes[error.valid_up_to()..].to_vec(),
            Err(_) => {
                self.broken = true;
                Vec::new()
            }
        };
    }

    /// Whether all of it was text.
    pub fn done(&self) -> bool {
        !self.broken && self.rest.is_empty()
    }
}

/// The media type of a file that begins so. `is_text` says whether all of it is text, `declared` what whoever sent it calls it.
pub fn media_type(head: &[u8], is_text: bool, declared: &str) -> &'static str {
    let known = infer::get(head).map(|kind| kind.mime_type());
    if !is_text {
        // What is not all text is no text, whatever it begins with.
        return known.filter(|known| !known.starts_with("text/")).unwrap_or(UNKNOWN);
    }
    let beginning = String::from_utf8_lossy(&head[..head.len().min(4096)]).to_ascii_lowercase();
    let beginning = beginning.trim_start_matches('\u{feff}').trim_start();
    if beginning.starts_with('<') {
        let has = |tag: &str| beginning.contains(tag);
        return match () {
            () if has("<svg") => SVG,
            () if has("<!doctype html") || has("<html") || has("<script") || has("<body") || has("<head") => {
                "text/html"
            }
            () if has("<?xml") => "text/xml",
            () => "text/html",
        };
    }
    if let Some(known) = known.filter(|known| !known.starts_with("text/")) {
        return known;
    }
    let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    TEXTS.iter().find(|text| **text == declared).copied().unwrap_or("text/plain")
}

/// Whether a browser may show it where it is opened by itself: what can carry nothing out.
pub fn may_be_shown(media_type: &str) -> bool {
    matches!(media_type, "image/png" | "image/jpeg" | "image/webp" | "image/gif" | "text/plain")
        || media_type.starts_with("audio/")
        || media_type.starts_with("video/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell_what_a_file_is_and_names_do_not() {
        for (head, is_text, declared, told) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], false, "text/plain", "image/png"),
            (b"%PDF-1.7\n", true, "", "application/pdf"),
            (b"<html><script>alert(1)</script>", true, "image/png", "text/html"),
            (b"  <!DOCTYPE html><p>", true, "", "text/html"),
            (b"<script>alert(1)</script>", true, "text/plain", "text/html"),
            (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", true, "image/png", SVG),
            (b"\xef\xbb\xbf<svg/>", true, "", SVG),
            (b"<?xml version='1.0'?><order/>", true, "", "text/xml"),
            (b"a,b\n1,2\n", true, "text/csv; charset=utf-8", "text/csv"),
            (b"a,b\n1,2\n", true, "text/html", "text/plain"),
            (b"#!/bin/sh\nrm -rf /", true, "", "text/plain"),
            (b"<html>\xff\xfe", false, "", UNKNOWN),
            (b"\x01\x02\x03", false, "image/png", UNKNOWN),
            (b"MZ\x90\0", false, "image/png", "application/vnd.microsoft.portable-executable"),
        ] {
            assert_eq!(media_type(head, is_text, declared), told, "{:?}", String::from_utf8_lossy(head));
        }
        assert!(may_be_shown("image/png") && may_be_shown("audio/mpeg") && may_be_shown("text/plain"));
        for never in [SVG, "text/html", "text/xml", "application/pdf", UNKNOWN, "application/javascript"] {
            assert!(!may_be_shown(never), "{never}");
        }
    }

    #[test]
    fn text_is_told_across_the_edges_of_pieces() {
        let check = |pieces: &[&[u8]]| {
            let mut check = TextCheck::default();
            pieces.iter().for_each(|piece| check.take(piece));
            check.done()
        };
        assert!(check(&[b"caf\xc3", b"\xa9"]) && check(&[]) && check(&[b"\xf0\x9f", b"\x98", b"\x80!"]));
        assert!(!check(&[b"caf\xc3"]) && !check(&[b"caf\xc3", b"x"]) && !check(&[b"a\0b"]) && !check(&[b"\xff", b"x"]));
    }
}
