//! How a mail that leaves is written: headers by which every mail program threads it, plain text beside HTML, files, a signature.

use lettre::{
    Message,
    address::{Address as Bare, Envelope},
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        dkim::{DkimConfig, DkimSigningAlgorithm, DkimSigningKey},
        header::{ContentType, HeaderName, HeaderValue},
    },
};

use domain::{Time, chat::email::Address, kernel::email};

/// A mail that leaves.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who writes it.
    pub from: Address,
    /// Where answers go, where not there.
    pub reply_to: Option<String>,
    /// To whom.
    pub to: Vec<Address>,
    /// Who else gets it.
    pub cc: Vec<Address>,
    /// Who else gets it without the others knowing.
    pub bcc: Vec<Address>,
    /// What it is about.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// What stands under it.
    pub signature: Option<String>,
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// The Message-ID that it answers.
    pub in_reply_to: Option<String>,
    /// The Message-IDs before it, oldest first.
    pub references: Vec<String>,
    /// When it is sent.
    pub date: Time,
    /// Whether nobody wrote it: machines do not answer such a one.
    pub automatic: bool,
    /// Where whoever gets it says that he wants no more of the sort.
    pub unsubscribe: Option<String>,
    /// Its files.
    pub files: Vec<File>,
}

/// A file that leaves with a mail.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A mail as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Written {
    /// From whom and to whom, for the server.
    pub envelope: Envelope,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// By what a mail is signed.
pub struct Signing<'a> {
    /// Under which name the public key stands.
    pub selector: &'a str,
    /// The domain.
    pub domain: &'a str,
    /// The private key.
    pub key: &'a str,
}

/// Most Message-IDs that stand before it: the first, and the last ones.
const REFERENCES: usize = 20;

fn bare(address: &str) -> Result<Bare, String> {
    email::key(address).parse().map_err(|error| format!("{address}: {error}"))
}

/// An address as it is written: the name as it is, the domain as the name system has it.
fn mailbox(address: &Address) -> Result<Mailbox, String> {
    let (local, domain) =
        address.address.rsplit_once('@').ok_or_else(|| format!("{} is no address", &*address.address))?;
    let domain = email::ascii(domain).ok_or_else(|| format!("{domain} is no domain"))?;
    let parsed = Bare::new(local.trim(), domain).map_err(|error| format!("{}: {error}", &*address.address))?;
    Ok(Mailbox::new(address.name.as_ref().map(|name| name.0.clone()), parsed))
}

/// A text as HTML: paragraphs, and addresses of pages that can be clicked.
fn html(text: &str, signature: Option<&str>) -> String {
    let paragraphs = |text: &str| {
        let parts = text.split("\n\n").filter(|part| !part.trim().is_empty());
        parts.map(|part| format!("<p>{}</p>", linked(part).replace('\n', "<br>\n"))).collect::<Vec<_>>().join("\n")
    };
    let signature = signature.map(|text| format!("\n<div class=\"signature\">-- <br>\n{}</div>", paragraphs(text)));
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head><body>\n{}{}\n</body></html>\n",
        paragraphs(text),
        signature.unwrap_or_default()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn linked(text: &str) -> String {
    let piece = |piece: &str| {
        let word = piece.trim_end_matches(char::is_whitespace);
        let end = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '>', '"']);
        let is_link = end.starts_with("https://") || end.starts_with("http://");
        match is_link {
            true => format!("<a href=\"{0}\">{0}</a>{1}", escaped(end), escaped(&piece[end.len()..])),
            false => escaped(piece),
        }
    };
    text.split_inclusive(char::is_whitespace).map(piece).collect()
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Writes a mail.
///
/// # Errors
/// What stands in the way; then it never leaves as it is.
pub fn write(letter: &Letter, signing: Option<&Signing<'_>>) -> Result<Written, String> {
    let mut builder = Message::builder()
        .from(mailbox(&letter.from)?)
        .subject(letter.subject.clone())
        .message_id(Some(format!("<{}>", letter.message_id)))
        .date(std::time::SystemTime::from(letter.date));
    if let Some(reply_to) = &letter.reply_to {
        let name = letter.from.name.clone();
        builder = builder.reply_to(mailbox(&Address { name, address: reply_to.as_str().into() })?);
    }
    for to in &letter.to {
        builder = builder.to(mailbox(to)?);
    }
    for cc in &letter.cc {
        builder = builder.cc(mailbox(cc)?);
    }
    if let Some(answered) = &letter.in_reply_to {
        builder = builder.in_reply_to(format!("<{answered}>"));
    }
    if !letter.references.is_empty() {
        let all = &letter.references;
        let last = &all[all.len().saturating_sub(REFERENCES).max(1)..];
        let kept = all.iter().take(1).chain(last).map(|id| format!("<{id}>"));
        builder = builder.references(kept.collect::<Vec<_>>().join(" "));
    }
    if letter.automatic {
        builder = builder.raw_header(header("Auto-Submitted", "auto-generated"));
        builder = builder.raw_header(header("X-Auto-Response-Suppress", "All"));
    }
    if let Some(unsubscribe) = &letter.unsubscribe {
        builder = builder.raw_header(header("List-Unsubscribe", &format!("<{unsubscribe}>")));
    }
    let recipients = letter.to.iter().chain(&letter.cc).chain(&letter.bcc);
    let recipients: Vec<Bare> = recipients.map(|to| bare(&to.address)).collect::<Result<_, _>>()?;
    let envelope = Envelope::new(Some(bare(&letter.from.address)?), recipients).map_err(|error| error.to_string())?;
    let plain = match &letter.signature {
        Some(signature) => format!("{}\n\n-- \n{signature}\n", letter.text.trim_end()),
        None => format!("{}\n", letter.text.trim_end()),
    };
    let alternative = MultiPart::alternative_plain_html(plain, html(&letter.text, letter.signature.as_deref()));
    let mut message = match letter.files.is_empty() {
        true => builder.multipart(alternative),
        false => {
            let file = |file: &File| -> Result<SinglePart, String> {
                let kind =
                    ContentType::parse(&file.media_type).or_else(|_| ContentType::parse("application/octet-stream"));
                let kind = kind.map_err(|error| error.to_string())?;
                Ok(Attachment::new(file.name.clone()).body(file.content.clone(), kind))
            };
            let mut mixed = MultiPart::mixed().multipart(alternative);
            for of in &letter.files {
                mixed = mixed.singlepart(file(of)?);
            }
            builder.multipart(mixed)
        }
    }
    .map_err(|error| error.to_string())?;
    if let Some(Signing { selector, domain, key }) = signing {
        let algorithm = match key.contains("-----BEGIN") {
            true => DkimSigningAlgorithm::Rsa,
            false => DkimSigningAlgorithm::Ed25519,
        };
        let key = DkimSigningKey::new(key.trim(), algorithm).map_err(|error| format!("the key of DKIM: {error}"))?;
        message.sign(&DkimConfig::default_config((*selector).to_owned(), (*domain).to_owned(), key));
    }
    Ok(Written { envelope, bytes: message.formatted() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::read;

    fn letter() -> Letter {
        let address = |name: &str, address: &str| Address { name: Some(name.into()), address: address.into() };
        Letter {
            from: address("Željka, Support", "help@example.com"),
            reply_to: Some("help+t1@example.com".into()),
            to: vec![address("Maria \"M\" Rossi", "maria@bücher.example")],
            cc: vec![],
            bcc: vec![address("B", "b@example.com")],
            subject: "Re: Дисплей темный [#7]".into(),
            text: "Please look at https://example.com/a?b=1&c=2.\n.\nFrom here <on>".into(),
            signature: Some("Anna".into()),
            message_id: "1@example.com".into(),
            in_reply_to: Some("0@mail.example".into()),
            references: vec!["0@mail.example".into()],
            date: "2026-01-01T00:00:00Z".parse().unwrap(),
            automatic: false,
            unsubscribe: None,
            files: vec![File { name: "ключ.txt".into(), media_type: "text/plain".into(), content: b"x".to_vec() }],
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let written = write(&letter(), None).unwrap();
        let mail = read::read(&written.bytes).unwrap();
        assert_eq!(mail.message_id.as_deref(), Some("1@example.com"));
        assert_eq!(
            (mail.in_reply_to, mail.references),
            (vec!["0@mail.example".to_owned()], vec!["0@mail.example".to_owned()])
        );
        assert_eq!(mail.subject, "Re: Дисплей темный [#7]");
        assert_eq!(mail.from.unwrap().name.as_deref(), Some("Željka, Support"));
        assert_eq!(mail.to[0].address, "maria@xn--bcher-kva.example");
        assert!(mail.text.contains("\n.\nFrom here <on>") && mail.answer.contains("https://example.com/a?b=1&c=2"));
        assert!(mail.html.unwrap().contains("<a href=\"https://example.com/a?b=1&amp;c=2\">"));
        assert_eq!((mail.parts.len(), mail.parts[0].name.as_str()), (1, "ключ.txt"));
        assert!(!String::from_utf8_lossy(&written.bytes).contains("b@example.com"), "nobody sees who gets it besides");
        let to: Vec<String> = written.envelope.to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["maria@xn--bcher-kva.example", "b@example.com"]);
    }

    #[test]
    fn it_is_signed_by_the_domain() {
        let key = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        let signing = Signing { selector: "desk", domain: "example.com", key };
        let written = write(&letter(), Some(&signing)).unwrap();
        let text = String::from_utf8_lossy(&written.bytes).into_owned();
        assert!(text.contains("DKIM-Signature: v=1; a=ed25519-sha256; d=example.com; s=desk"), "{text}");
        assert!(write(&letter(), Some(&Signing { key: "no key", ..signing })).is_err());
    }
}
