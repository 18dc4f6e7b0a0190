//! From the tree of parts to what a mail says and brings.

use super::{
    Encryption, Limits, Mail, Mailbox, Part, address, automatic, bounce, calendar, charset, date, fold, html,
    smime::{self, Smime},
    structure::{self, Content, Entity},
    tnef, transfer, word,
};

/// A mail, from its tree.
pub(super) fn mail(entity: &Entity) -> Mail {
    let mut mail = fields(entity);
    let mut gathered = Gathered { of_mbox: entity.of_mbox, ..Gathered::default() };
    gathered.take(entity, Place { root: true, ..Place::default() });
    gathered.promote();
    let own = gathered.text(|said| !matches!(said, Said::Nested(_) | Said::Calendar(_)));
    mail.text = gathered.text(|_| true);
    mail.html = gathered.html();
    mail.encryption = gathered.encryption;
    if mail.encryption.is_none() && own.lines().any(|line| line.trim_end() == "-----BEGIN PGP MESSAGE-----") {
        mail.encryption = Some(Encryption::Pgp);
    }
    let invitations = gathered.text(|said| matches!(said, Said::Calendar(_)));
    let answer = if own.is_empty() { String::new() } else { fold::answer(&own, &mail.subject) };
    mail.answer = [answer, invitations].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
    if mail.answer.is_empty() {
        mail.answer = mail.text.trim().to_owned();
    }
    let unread = mail.html.as_ref().is_some_and(|html| html.len() > Limits::HTML);
    mail.cut |= gathered.cut || entity.head.cut || unread;
    mail.parts = gathered.parts;
    shown_within(&mut mail);
    mail.bounce = bounce::find(&mail, entity, &own);
    let report = Some(entity)
        .filter(|entity| entity.kind.value == "multipart/report")
        .map(|entity| entity.kind.get("report-type").unwrap_or_default().to_ascii_lowercase());
    mail.automatic = automatic::kind(&mail, report.as_deref());
    mail
}

/// How many places a mail can be said to have been delivered to.
const MOST_PLACES: usize = 200;

/// What the head says.
fn fields(entity: &Entity) -> Mail {
    let head = &entity.head;
    let domain = head.domain.as_deref();
    let mailboxes = |name: &str| -> Vec<Mailbox> {
        head.all(name).flat_map(|text| address::list(text, domain)).take(Limits::ADDRESSES).collect()
    };
    let authors =
        head.all("from").map(|text| address::list(text, domain)).find(|found| !found.is_empty()).unwrap_or_default();
    let mut delivered_to: Vec<String> = Vec::new();
    for name in ["delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "x-rcpt-to"] {
        for address in head.all(name).flat_map(|text| address::list(text, domain)).map(|mailbox| mailbox.address) {
            if delivered_to.len() < MOST_PLACES && !delivered_to.contains(&address) {
                delivered_to.push(address);
            }
        }
    }
    // `Received: from … by … for <address>; …`
    let passed_on = head.all("received").take(100).filter_map(|text| {
        let (_, after) = text.split_once(" for ")?;
        address::bare(after.trim_start().split([';', ' ']).next()?)
    });
    for address in passed_on {
        if delivered_to.len() < MOST_PLACES && !delivered_to.contains(&address) {
            delivered_to.push(address);
        }
    }
    Mail {
        message_id: head.get("message-id").and_then(|text| ids(text).into_iter().next()),
        in_reply_to: head.all("in-reply-to").flat_map(ids).take(Limits::IDS).collect(),
        references: distinct(head.all("references").flat_map(ids)),
        from: authors.first().cloned(),
        authors,
        sender: head.get("sender").and_then(|text| address::list(text, domain).into_iter().next()),
        reply_to: mailboxes("reply-to"),
        to: mailboxes("to"),
        cc: mailboxes("cc"),
        delivered_to,
        return_path: head.get("return-path").map(|text| {
            let text = text.trim();
            address::bare(text).unwrap_or_else(|| text.trim_matches(['<', '>', ' ']).to_owned())
        }),
        date: head.get("date").and_then(date::read),
        subject: head.decoded("subject").unwrap_or_default(),
        headers: head
            .fields
            .iter()
            .map(|field| (charset::line(&field.name), word::decoded(&field.text, domain)))
            .collect(),
        ..Mail::default()
    }
}

/// The ids in a field: in brackets, or as bare words where there are none.
pub(super) fn ids(text: &str) -> Vec<String> {
    let text = text.replace('\0', "");
    let clean = |id: &str| id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>();
    let fits = |id: &String| !id.is_empty() && id.len() <= 998;
    let mut found: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let end = rest.find(['>', '<']).unwrap_or(rest.len());
        found.extend(Some(clean(&rest[..end])).filter(fits));
        rest = &rest[end..];
        if found.len() > 20 * Limits::IDS {
            break;
        }
    }
    if found.is_empty() {
        let words =
            text.split(|c: char| c.is_whitespace() || c == ',').map(|word| clean(word.trim_matches(['<', '>', '"'])));
        found.extend(words.filter(|word| word.contains('@')).filter(fits).take(Limits::IDS));
        if found.is_empty() {
            // An id need not look like an address, where it is alone.
            let only = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '<' | '>'));
            found.extend(Some(clean(only)).filter(|id| fits(id) && !only.contains(char::is_whitespace)));
        }
    }
    found
}

/// Each once, and of very many the first and the last, by which threads are found.
fn distinct(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut found: Vec<String> = ids.filter(|id| seen.insert(id.clone())).collect();
    if found.len() > Limits::IDS {
        let last = found.split_off(found.len() - Limits::IDS + 1);
        found.truncate(1);
        found.extend(last);
    }
    found
}

/// A piece of what a mail says, in the order it says it.
enum Said {
    /// Its text, its HTML, or both as alternatives of one another.
    Own { plain: Option<String>, html: Option<String> },
    /// An invitation, made readable.
    Calendar(String),
    /// A mail within it, made readable.
    Nested(String),
    /// What is to be known of it.
    Note(String),
}

/// Whether it says nothing of its own.
fn is_silent(said: &Said) -> bool {
    match said {
        Said::Own { plain, html } => [plain, html].into_iter().flatten().all(|text| text.trim().is_empty()),
        _ => false,
    }
}

/// Where a part stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// It is the whole mail.
    root: bool,
    /// It is a file, whatever it says.
    file: bool,
    /// It is in a report, whose mails were ours.
    report: bool,
    /// It is one of several ways to say the same.
    alternative: bool,
}

#[derive(Default)]
struct Gathered {
    said: Vec<Said>,
    parts: Vec<Part>,
    /// Texts with names that may turn out to be what the mail says: where among the files they are.
    named_texts: Vec<(usize, Said)>,
    encryption: Option<Encryption>,
    cut: bool,
    of_mbox: bool,
}

impl Gathered {
    fn take(&mut self, entity: &Entity, place: Place) {
        let kind = entity.kind.value.as_str();
        match &entity.content {
            Content::Parts(parts) => self.parts_of(entity, parts, Place { root: false, ..place }),
            Content::Message(raw, inner) => self.message(entity, raw, inner.as_deref(), place),
            Content::Rest(raw) => {
                self.cut = true;
                self.file("rest.eml".to_owned(), Some("application/octet-stream".to_owned()), None, raw.clone());
            }
            Content::Leaf(bytes) => match kind {
                "text/x-amp-html" | "text/watch-html" if place.alternative => {}
                "text/calendar" | "application/ics" => self.calendar(entity, bytes),
                "application/ms-tnef" | "application/vnd.ms-tnef" => self.tnef(entity, bytes),
                "application/pkcs7-mime" | "application/x-pkcs7-mime" => self.smime(entity, bytes, place),
                "application/applefile" => {}
                _ if is_named(entity, "winmail.dat") => self.tnef(entity, bytes),
                _ if is_named(entity, "smime.p7m") => self.smime(entity, bytes, place),
                _ => self.leaf(entity, bytes, place),
            },
        }
    }

    fn parts_of(&mut self, entity: &Entity, parts: &[Entity], place: Place) {
        let file = Place { file: true, ..place };
        match entity.kind.value.as_str() {
            "multipart/alternative" => self.alternative(parts, place),
            "multipart/related" => {
                let start = entity.kind.get("start").map(|id| id.trim_matches(['<', '>', ' ']).to_owned());
                let starts = |part: &Entity| start.is_some() && content_id(part) == start;
                let says =
                    |part: &Entity| part.kind.value.starts_with("text/") || part.kind.value.starts_with("multipart/");
                let root = parts.iter().position(starts).or_else(|| parts.iter().position(says));
                for (at, part) in parts.iter().enumerate() {
                    let says = part.kind.value.starts_with("multipart/");
                    self.take(part, if Some(at) == root || says { place } else { file });
                }
            }
            "multipart/signed" => {
                for (at, part) in parts.iter().enumerate() {
                    self.take(part, if at == 0 { place } else { file });
                }
            }
            "multipart/encrypted" => {
                let protocol = entity.kind.get("protocol").unwrap_or_default().to_ascii_lowercase();
                let by = if protocol.contains("pkcs7") { Encryption::Smime } else { Encryption::Pgp };
                self.encrypted(by);
                parts.iter().for_each(|part| self.take(part, file));
            }
            "multipart/report" => {
                for (at, part) in parts.iter().enumerate() {
                    let says = at == 0 || part.kind.value.starts_with("multipart/");
                    self.take(part, Place { report: true, file: !says || place.file, ..place });
                }
            }
            _ => parts.iter().for_each(|part| self.take(part, place)),
        }
    }

    /// The same in several ways: the plainest and the richest of them, and all files.
    fn alternative(&mut self, parts: &[Entity], place: Place) {
        let (mut plain, mut rich): (Option<String>, Option<String>) = (None, None);
        let mut others = Vec::new();
        for part in parts {
            let mut one = Gathered { of_mbox: self.of_mbox, ..Gathered::default() };
            one.take(part, Place { alternative: true, ..place });
            let is_plain = one
                .said
                .iter()
                .any(|said| matches!(said, Said::Own { plain: Some(text), .. } if !text.trim().is_empty()));
            let own = |said: &Said| matches!(said, Said::Own { .. });
            if plain.is_none() && is_plain && one.html().is_none_or(|_| rich.is_none()) {
                plain = Some(one.text(own)).filter(|text| !text.is_empty());
            }
            rich = one.html().or(rich);
            others.extend(one.said.into_iter().filter(|said| !own(said)));
            for file in one.parts {
                self.add(file);
            }
            self.encryption = self.encryption.or(one.encryption);
            self.cut |= one.cut;
        }
        if let (Some(text), Some(html)) = (&plain, &rich)
            && is_stub(text, html)
        {
            plain = None;
        }
        if plain.is_some() || rich.is_some() {
            self.said.push(Said::Own { plain, html: rich });
        }
        self.said.extend(others);
    }

    fn leaf(&mut self, entity: &Entity, bytes: &[u8], place: Place) {
        let kind = entity.kind.value.as_str();
        let attached = entity.disposition.value == "attachment";
        let name = file_name(entity);
        let speaks = matches!(
            kind,
            "text/plain"
                | "text/html"
                | "text/enriched"
                | "text/richtext"
                | "text/markdown"
                | "text/x-markdown"
                | "text/plaintext"
        );
        // What nobody knows is plain text, says RFC 2046, where it is all there is.
        let speaks = speaks
            || place.root
                && kind.starts_with("text/")
                && !matches!(kind, "text/csv" | "text/vcard" | "text/x-vcard" | "text/rtf");
        if !speaks || place.file || attached {
            self.leaf_file(entity, bytes);
            return;
        }
        let (bytes, found) = if kind == "text/plain" { without_files(bytes) } else { (bytes.to_vec(), Vec::new()) };
        let text = charset::clean(&charset::decode(
            &bytes,
            entity.kind.get("charset").or(of_meta(kind, &bytes).as_deref()),
            entity.head.domain.as_deref(),
        ));
        let said = self.spoken(entity, text);
        if name.is_some() {
            self.leaf_file(entity, &bytes);
            self.named_texts.push((self.parts.len().saturating_sub(1), said));
        } else {
            self.said.push(said);
        }
        for file in found {
            let name = charset::decode(&file.name, None, entity.head.domain.as_deref());
            self.file(safe_name(&name).unwrap_or_else(|| "file.bin".to_owned()), None, None, file.content);
        }
    }

    /// A text as what it says.
    fn spoken(&self, entity: &Entity, text: String) -> Said {
        let start = text.trim_start().get(..15).unwrap_or_default().to_ascii_lowercase();
        match entity.kind.value.as_str() {
            "text/html" => Said::Own { plain: None, html: Some(text) },
            // HTML by those who do not say so.
            _ if start.starts_with("<!doctype html") || start.starts_with("<html") => {
                Said::Own { plain: None, html: Some(text) }
            }
            "text/enriched" | "text/richtext" => Said::Own { plain: Some(enriched(&text)), html: None },
            _ => {
                let text = if self.of_mbox { from_mbox(&text) } else { text };
                let flowed = entity.kind.get("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
                let delsp = entity.kind.get("delsp").is_some_and(|delsp| delsp.eq_ignore_ascii_case("yes"));
                Said::Own { plain: Some(if flowed { unflowed(&text, delsp) } else { text }), html: None }
            }
        }
    }

    fn leaf_file(&mut self, entity: &Entity, bytes: &[u8]) {
        let kind = entity.kind.value.as_str();
        let name = file_name(entity).unwrap_or_else(|| made_name(kind));
        let media_type = Some(kind.to_owned()).filter(|_| entity.said);
        self.file(name, media_type, content_id(entity), bytes.to_vec());
    }

    fn message(&mut self, entity: &Entity, raw: &[u8], inner: Option<&Entity>, place: Place) {
        let subject = inner.and_then(|inner| inner.head.decoded("subject")).filter(|subject| !subject.is_empty());
        let name = file_name(entity).or_else(|| safe_name(&format!("{}.eml", subject.as_deref()?)));
        let name = name.unwrap_or_else(|| "message.eml".to_owned());
        self.file(name, Some("message/rfc822".to_owned()), content_id(entity), raw.to_vec());
        let Some(inner) = inner else {
            self.cut = true;
            return;
        };
        if place.report {
            return;
        }
        let mut nested = Gathered { of_mbox: inner.of_mbox, ..Gathered::default() };
        nested.take(inner, Place { root: true, ..Place::default() });
        nested.promote();
        let head = &inner.head;
        let mut lines = vec!["---------- Forwarded message ----------".to_owned()];
        for (label, name) in [("From", "from"), ("Date", "date"), ("Subject", "subject"), ("To", "to")] {
            lines.extend(head.decoded(name).filter(|text| !text.is_empty()).map(|text| format!("{label}: {text}")));
        }
        lines.push(String::new());
        lines.push(nested.text(|_| true));
        self.said.push(Said::Nested(lines.join("\n").trim_end().to_owned()));
        self.cut |= nested.cut;
        let html = nested.html().unwrap_or_default();
        let shown = html::content_ids(&html);
        // Pictures that are part of how it looks are in the mail itself.
        let files =
            nested.parts.into_iter().filter(|part| !part.content_id.as_ref().is_some_and(|id| shown.contains(id)));
        files.for_each(|file| self.add(Part { content_id: None, inline: false, ..file }));
    }

    fn calendar(&mut self, entity: &Entity, bytes: &[u8]) {
        let text = charset::clean(&charset::decode(
            bytes,
            entity.kind.get("charset").or(Some("utf-8")),
            entity.head.domain.as_deref(),
        ));
        if let Some(readable) = calendar::readable(&text)
            && !self.said.iter().any(|said| matches!(said, Said::Calendar(told) if *told == readable))
        {
            self.said.push(Said::Calendar(readable));
        }
        self.leaf_file(entity, bytes);
    }

    fn tnef(&mut self, entity: &Entity, bytes: &[u8]) {
        let Some(tnef) = tnef::read(bytes) else {
            self.leaf_file(entity, bytes);
            return;
        };
        let silent = self.said.iter().all(is_silent);
        if tnef.files.is_empty() && silent && tnef.text.is_none() && tnef.html.is_none() {
            self.leaf_file(entity, bytes);
        }
        if silent && (tnef.text.is_some() || tnef.html.is_some()) {
            let clean = |text: String| charset::clean(&text);
            self.said.push(Said::Own { plain: tnef.text.map(clean), html: tnef.html.map(clean) });
        }
        for file in tnef.files {
            let nested = file.nested.then(|| tnef::read(&file.content)).flatten();
            let name =
                safe_name(&file.name).unwrap_or_else(|| made_name(file.media_type.as_deref().unwrap_or_default()));
            match nested {
                // A mail of Outlook's own, of which there is no other form.
                Some(inner) => {
                    let text =
                        inner.text.or_else(|| inner.html.as_deref().map(html::text)).map(|text| charset::clean(&text));
                    if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                        self.said.push(Said::Nested(format!(
                            "---------- Forwarded message ----------\nSubject: {name}\n\n{}",
                            text.trim()
                        )));
                    }
                    for inside in inner.files {
                        let name = safe_name(&inside.name).unwrap_or_else(|| "file.bin".to_owned());
                        self.file(name, inside.media_type, inside.content_id, inside.content);
                    }
                }
                None => self.file(name, file.media_type, file.content_id, file.content),
            }
        }
    }

    fn smime(&mut self, entity: &Entity, bytes: &[u8], place: Place) {
        let kind = entity.kind.get("smime-type").unwrap_or_default().to_ascii_lowercase();
        match smime::open(bytes) {
            Smime::Signed(inside) if !place.file && kind != "certs-only" && !inside.is_empty() => {
                let inner = structure::message(&inside);
                self.take(&inner, Place { root: false, ..place });
            }
            _ => {
                if !matches!(kind.as_str(), "certs-only" | "signed-data" | "compressed-data") && !place.file {
                    self.encrypted(Encryption::Smime);
                }
                self.leaf_file(entity, bytes);
            }
        }
    }

    fn encrypted(&mut self, by: Encryption) {
        self.encryption = Some(by);
        let by = match by {
            Encryption::Pgp => "OpenPGP",
            Encryption::Smime => "S/MIME",
        };
        self.said
            .push(Said::Note(format!("[This message is encrypted with {by}. What it says is in its attachment.]")));
    }

    fn file(&mut self, name: String, media_type: Option<String>, content_id: Option<String>, content: Vec<u8>) {
        self.add(Part { name, media_type, content_id, inline: false, content });
    }

    fn add(&mut self, part: Part) {
        if self.parts.len() >= 2 * Limits::PARTS {
            self.cut = true;
            return;
        }
        // Invitations come twice: to be seen, and to be opened.
        let same = |other: &Part| other.name == part.name && other.content == part.content;
        if self.parts.iter().rev().take(20).any(same) && part.content_id.is_none() {
            return;
        }
        self.parts.push(part);
    }

    /// Where nothing else says anything, a text that has a name is what the mail says.
    fn promote(&mut self) {
        if self.named_texts.is_empty() || !self.said.iter().all(is_silent) {
            return;
        }
        let (at, said) = self.named_texts.remove(0);
        if at < self.parts.len() {
            self.parts.remove(at);
        }
        self.said.insert(0, said);
    }

    fn text(&self, wanted: impl Fn(&Said) -> bool) -> String {
        let texts = self.said.iter().filter(|said| wanted(said)).map(|said| match said {
            Said::Own { plain: Some(plain), .. } => plain.clone(),
            Said::Own { html: Some(html), .. } => html::text(html),
            Said::Own { .. } => String::new(),
            Said::Calendar(text) | Said::Nested(text) | Said::Note(text) => text.clone(),
        });
        let texts: Vec<String> = texts
            .map(|text| text.trim_end().trim_matches('\n').to_owned())
            .filter(|text| !text.trim().is_empty())
            .collect();
        texts.join("\n\n")
    }

    fn html(&self) -> Option<String> {
        let own: Vec<(&Option<String>, &Option<String>)> = self
            .said
            .iter()
            .filter_map(|said| match said {
                Said::Own { plain, html } => Some((plain, html)),
                _ => None,
            })
            .collect();
        if !own.iter().any(|(_, html)| html.as_ref().is_some_and(|html| !html.trim().is_empty())) {
            return None;
        }
        let pieces = own.into_iter().filter_map(|(plain, html)| match (html, plain) {
            (Some(html), _) => Some(html.clone()),
            (None, Some(plain)) if !plain.trim().is_empty() => Some(as_html(plain)),
            _ => None,
        });
        Some(pieces.collect::<Vec<_>>().join("\n"))
    }
}

/// Pictures that the HTML points to are seen within it.
fn shown_within(mail: &mut Mail) {
    let shown = mail.html.as_deref().map(html::content_ids).unwrap_or_default();
    for part in &mut mail.parts {
        part.inline = part.content_id.as_ref().is_some_and(|id| shown.contains(id));
    }
}

/// A text that only says that one should look at the other.
fn is_stub(text: &str, html: &str) -> bool {
    let text = text.trim();
    let lower = text.to_lowercase();
    let says = [
        "html",
        "view this email",
        "view this message",
        "view it in",
        "in your browser",
        "webové",
        "v prohlížeči",
        "браузер",
    ];
    text.chars().count() < 300
        && says.iter().any(|words| lower.contains(words))
        && html::text(html).chars().count() > 2 * text.chars().count()
}

fn as_html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<div>{}</div>", text.trim_end().replace('\n', "<br>\n"))
}

fn content_id(entity: &Entity) -> Option<String> {
    let text = entity.head.get("content-id")?;
    let id = charset::line(text).trim_matches(['<', '>', ' ']).to_owned();
    Some(id).filter(|id| !id.is_empty())
}

fn is_named(entity: &Entity, name: &str) -> bool {
    file_name(entity).is_some_and(|found| found.eq_ignore_ascii_case(name))
}

/// The name that a part gives itself.
fn file_name(entity: &Entity) -> Option<String> {
    let said = [
        entity.disposition.get("filename"),
        entity.kind.get("name"),
        entity.disposition.get("name"),
        entity.kind.get("filename"),
    ];
    said.into_iter().flatten().find_map(safe_name)
}

/// A name without folders and without what a file's name cannot have.
fn safe_name(name: &str) -> Option<String> {
    let name = charset::line(name);
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String =
        name.chars().map(|c| if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') { '_' } else { c }).collect();
    let name = name.trim().trim_end_matches('.').trim();
    if name.is_empty() || name.chars().all(|c| c == '.') {
        return None;
    }
    let count = name.chars().count();
    if count <= 200 {
        return Some(name.to_owned());
    }
    // What it is stands at its end.
    let end = name.rsplit_once('.').map(|(_, end)| end).filter(|end| end.chars().count() <= 10);
    let kept: String = name.chars().take(180).collect();
    Some(end.map_or(kept.clone(), |end| format!("{kept}.{end}")))
}

/// A name for what has none.
fn made_name(kind: &str) -> String {
    let name = match kind {
        "text/plain" => "text.txt",
        "text/html" => "text.html",
        "text/calendar" | "application/ics" => "invite.ics",
        "text/x-vcard" | "text/vcard" => "contact.vcf",
        "message/delivery-status" | "message/global-delivery-status" => "delivery-status.txt",
        "message/disposition-notification" => "disposition-notification.txt",
        "message/feedback-report" => "feedback-report.txt",
        "text/rfc822-headers" | "message/rfc822-headers" | "message/global-headers" => "headers.txt",
        "application/pgp-signature" => "signature.asc",
        "application/pgp-encrypted" => "version.asc",
        "application/pgp-keys" => "key.asc",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => "smime.p7s",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "smime.p7m",
        "application/ms-tnef" | "application/vnd.ms-tnef" => "winmail.dat",
        "application/pdf" => "file.pdf",
        "application/zip" => "file.zip",
        "application/xml" | "text/xml" => "file.xml",
        "application/json" => "file.json",
        "text/csv" => "file.csv",
        "text/rtf" | "application/rtf" => "file.rtf",
        "image/jpeg" | "image/jpg" | "image/pjpeg" => "image.jpg",
        "image/png" | "image/x-png" => "image.png",
        "image/gif" => "image.gif",
        "image/svg+xml" => "image.svg",
        "image/webp" => "image.webp",
        "image/bmp" => "image.bmp",
        "image/tiff" => "image.tif",
        "image/heic" => "image.heic",
        "audio/mpeg" => "audio.mp3",
        "audio/wav" | "audio/x-wav" => "audio.wav",
        "video/mp4" => "video.mp4",
        _ if kind.starts_with("text/") => "text.txt",
        _ => "file.bin",
    };
    name.to_owned()
}

/// The charset that HTML names in its own head.
fn of_meta(kind: &str, bytes: &[u8]) -> Option<String> {
    if kind != "text/html" {
        return None;
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4_096)]).to_ascii_lowercase();
    let meta = start.find("<meta").map(|at| &start[at..])?;
    let after = meta.find("charset=").map(|at| &meta[at + 8..])?;
    let label: String = after
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
        .collect();
    // Who could read this far does not read UTF-16.
    Some(label).filter(|label| !label.is_empty() && !label.starts_with("utf-16"))
}

/// A text without the files that stand in it, and these.
fn without_files(bytes: &[u8]) -> (Vec<u8>, Vec<transfer::Uuencoded>) {
    let begins = bytes.starts_with(b"begin ") || bytes.windows(7).any(|seven| seven == b"\nbegin ");
    let files = if begins { transfer::uuencoded(bytes) } else { Vec::new() };
    let mut text = Vec::with_capacity(bytes.len());
    let mut place = 0;
    for file in &files {
        text.extend_from_slice(&bytes[place..file.at.start]);
        place = file.at.end;
    }
    text.extend_from_slice(&bytes[place..]);
    (text, files)
}

/// Lines that an mbox quoted, since they would have begun a mail.
fn from_mbox(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('>') {
        Some(rest) if rest.trim_start_matches('>').starts_with("From ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// `format=flowed` (RFC 3676) as lines of their own length.
fn unflowed(text: &str, delsp: bool) -> String {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for line in text.split('\n') {
        let depth = line.bytes().take_while(|byte| *byte == b'>').count();
        let body = &line[depth..];
        let body = body.strip_prefix(' ').unwrap_or(body);
        let signature = body == "-- ";
        let flows = body.ends_with(' ') && !signature;
        let kept = if flows && delsp { &body[..body.len() - 1] } else { body };
        match out.last_mut() {
            Some((last, joined)) if open && *last == depth && !signature => joined.push_str(kept),
            _ => out.push((depth, kept.to_owned())),
        }
        open = flows;
    }
    let line = |(depth, line): (usize, String)| {
        if depth == 0 { line } else { format!("{} {line}", ">".repeat(depth)).trim_end().to_owned() }
    };
    out.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `text/enriched` (RFC 1896) without its commands.
fn enriched(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut parameter, mut verbatim) = (false, 0usize);
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("<<") {
            if !parameter {
                out.push('<');
            }
            rest = after;
        } else if let Some((command, after)) = rest.strip_prefix('<').and_then(|inner| {
            let end = inner.bytes().take(62).position(|byte| byte == b'>')?;
            Some((&inner[..end], &inner[end + 1..]))
        }) {
            match command.to_ascii_lowercase().as_str() {
                "param" => parameter = true,
                "/param" => parameter = false,
                "nofill" => verbatim += 1,
                "/nofill" => verbatim = verbatim.saturating_sub(1),
                "nl" => out.push('\n'),
                "paragraph" | "/paragraph" => out.push('\n'),
                _ => {}
            }
            rest = after;
        } else if letter == '\n' && verbatim == 0 {
            let lines = rest.len() - rest.trim_start_matches('\n').len();
            if !parameter {
                // One end of a line is a blank; of more, all but one are meant.
                out.push_str(&if lines == 1 { " ".to_owned() } else { "\n".repeat(lines - 1) });
            }
            rest = &rest[lines..];
        } else {
            if !parameter {
                out.push(letter);
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}
