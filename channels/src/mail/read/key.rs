//! What makes one mail the same as another: what its sender made, not the way it came.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Mail;

/// A digest of what the sender made. A mail that comes by two ways has one; two mails that share a Message-ID have two.
#[must_use]
pub fn content_key(mail: &Mail, raw: &[u8]) -> String {
    let mut digest = Sha256::new();
    // Every piece with its length, so that none can pass for another.
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(b"deskfold mail 1");
    add(mail.message_id.as_deref().unwrap_or_default().as_bytes());
    for author in &mail.authors {
        add(author.address.as_bytes());
    }
    add(mail.date.map(|date| date.as_second().to_string()).unwrap_or_default().as_bytes());
    add(mail.subject.as_bytes());
    add(settled(&mail.text).as_bytes());
    add(settled(mail.html.as_deref().unwrap_or_default()).as_bytes());
    for part in &mail.parts {
        add(part.name.as_bytes());
        // Ends of lines change on the way, where text is not encoded.
        let text =
            part.media_type.as_deref().is_some_and(|kind| kind.starts_with("text/") || kind.starts_with("message/"));
        if text {
            let bytes: Vec<u8> = part.content.iter().copied().filter(|byte| *byte != b'\r').collect();
            add(bytes.trim_ascii_end());
        } else {
            add(&part.content);
        }
    }
    if mail.message_id.is_none() && mail.text.is_empty() && mail.html.is_none() && mail.parts.is_empty() {
        add(raw);
    }
    digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// White space at the ends of lines and of the text is no one's.
fn settled(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}
