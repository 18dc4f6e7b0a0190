//! Mails that came back: by RFC 3464, and in the words of those who do not know it.

use super::{
    Bounce, Mail, address,
    automatic::{is_daemon, replies_by_subject},
    head,
    structure::{Content, Entity},
};

/// What came back, if the mail says so. `text` is what it says itself, without what it brings back.
pub(super) fn find(mail: &Mail, entity: &Entity, text: &str) -> Option<Bounce> {
    let mut seen = Seen::default();
    seen.look(entity);
    // Some programs pass a report on part by part.
    let reports = entity.kind.value == "multipart/report" || is_of_machine(mail);
    let mut bounce = match seen.status.as_deref().filter(|_| reports) {
        Some(status) => match told(status) {
            Told::Failed(bounce) => *bounce,
            // All is well, and that is all it says.
            Told::Delivered => return None,
            Told::Nothing => free(mail, text)?,
        },
        None => free(mail, text)?,
    };
    if bounce.reason.is_empty() {
        bounce.reason = first_words(text);
    }
    if bounce.recipient.is_none() {
        bounce.recipients = failed_recipients(mail, text);
        bounce.recipient = bounce.recipients.first().cloned();
    }
    bounce.message_id = seen
        .message_id
        .or_else(|| returned_id(text))
        .or_else(|| mail.references.last().cloned())
        .or_else(|| mail.in_reply_to.last().cloned());
    Some(bounce)
}

/// What a mail holds that speaks of delivery.
#[derive(Default)]
struct Seen {
    status: Option<String>,
    message_id: Option<String>,
}

impl Seen {
    fn look(&mut self, entity: &Entity) {
        match &entity.content {
            Content::Parts(parts) => parts.iter().for_each(|part| self.look(part)),
            Content::Message(_, Some(inner)) => {
                self.message_id = self.message_id.take().or_else(|| id(&inner.head));
            }
            Content::Message(raw, None) => self.returned(raw),
            Content::Leaf(bytes) => match entity.kind.value.as_str() {
                "message/delivery-status" | "message/global-delivery-status" if self.status.is_none() => {
                    self.status = Some(String::from_utf8_lossy(bytes).into_owned());
                }
                "text/rfc822-headers" | "message/rfc822-headers" | "message/global-headers" | "text/rfc822" => {
                    self.returned(bytes);
                }
                _ => {}
            },
            Content::Rest(_) => {}
        }
    }

    fn returned(&mut self, raw: &[u8]) {
        if self.message_id.is_none() {
            self.message_id = id(&head::read(raw, None).0);
        }
    }
}

fn id(head: &head::Head) -> Option<String> {
    super::body::ids(head.get("message-id")?).into_iter().next()
}

enum Told {
    Failed(Box<Bounce>),
    Delivered,
    Nothing,
}

/// What a delivery status says of each recipient.
fn told(status: &str) -> Told {
    let status = status.replace("\r\n", "\n").replace('\r', "\n");
    let mut groups: Vec<head::Head> = Vec::new();
    for group in status.split("\n\n").take(2_000) {
        let (head, _) = head::read(group.trim_start_matches('\n').as_bytes(), None);
        groups.push(head);
    }
    let of_recipients: Vec<&head::Head> =
        groups.iter().filter(|head| head.get("final-recipient").is_some() || head.get("action").is_some()).collect();
    let action = |head: &head::Head| {
        head.get("action").unwrap_or("failed").split([' ', '(', ';']).next().unwrap_or_default().to_ascii_lowercase()
    };
    let with = |wanted: &str| of_recipients.iter().filter(|head| action(head) == wanted).copied().collect::<Vec<_>>();
    let (failed, delayed) = (with("failed"), with("delayed"));
    let delays = failed.is_empty();
    let concerned = if delays { delayed } else { failed };
    let Some(first) = concerned.first() else {
        return if of_recipients.is_empty() { Told::Nothing } else { Told::Delivered };
    };
    let recipients: Vec<String> = concerned.iter().filter_map(|head| recipient(head)).collect();
    let diagnostic = first.decoded("diagnostic-code").unwrap_or_default();
    let reason = diagnostic
        .split_once(';')
        .filter(|(kind, _)| !kind.contains(' '))
        .map_or(diagnostic.as_str(), |(_, said)| said)
        .trim()
        .to_owned();
    let status = first.get("status").and_then(enhanced).or_else(|| enhanced(&reason));
    let permanent = !delays
        && match status.as_deref() {
            Some(status) => status.starts_with('5'),
            None => !reply_code(&reason).is_some_and(|code| code.starts_with('4')),
        };
    Told::Failed(Box::new(Bounce {
        message_id: None,
        recipient: recipients.first().cloned(),
        recipients,
        status,
        permanent,
        delayed: delays,
        reason,
    }))
}

/// Whom we wrote to, rather than where it was passed on to.
fn recipient(head: &head::Head) -> Option<String> {
    ["original-recipient", "final-recipient"].iter().find_map(|name| {
        let text = head.get(name)?;
        let text = text.split_once(';').map_or(text, |(_, address)| address);
        address::bare(text.trim())
    })
}

const OPENINGS: [&str; 40] = [
    "не может быть доставлено",
    "не удалось доставить",
    "не вдалося доставити",
    "nebylo možné doručit",
    "nelze doručit",
    "nepodařilo se doručit",
    "konnte nicht zugestellt",
    "pas pu être remis",
    "no se ha podido entregar",
    "nie można dostarczyć",
    "qmail-send program",
    "message that you sent could not be delivered",
    "message you sent could not be delivered",
    "this is the mail system at host",
    "this is the postfix program",
    "i'm sorry to have to inform you",
    "delivery to the following recipient",
    "did not reach some or all of the intended recipients",
    "could not be delivered",
    "couldn't be delivered",
    "wasn't delivered",
    "was not delivered",
    "delivery has failed",
    "delivery failed",
    "permanent fatal errors",
    "undeliverable",
    "undelivered",
    "unable to deliver",
    "returned to sender",
    "mail delivery failed",
    "no such user",
    "user unknown",
    "mailbox unavailable",
    "message delivery has been delayed",
    "could not send message for past",
    "has not yet been delivered",
    "delivery is delayed",
    "nedoručiteln",
    "unzustellbar",
    "не доставлено",
];

/// Whether it is from what carries mail, and not from somebody.
fn is_of_machine(mail: &Mail) -> bool {
    mail.return_path.as_deref() == Some("")
        || mail.from.as_ref().is_some_and(|from| is_daemon(&from.address))
        || mail.header("from").is_some_and(|from| from.to_ascii_lowercase().contains("mailer-daemon"))
}

/// A bounce in free form: from what carries mail, saying that it could not.
fn free(mail: &Mail, text: &str) -> Option<Bounce> {
    let of_machine = is_of_machine(mail);
    let named = mail.header("x-failed-recipients").is_some();
    let lower = own(text).to_lowercase();
    let subject = mail.subject.to_lowercase();
    let subjects = [
        "undelivered mail",
        "mail delivery failed",
        "delivery status notification",
        "failure notice",
        "undeliverable",
        "returned mail",
        "delivery failure",
        "mail delivery system",
        "delivery failed",
        "delivery delayed",
        "mail could not be delivered",
        "unzustellbar",
        "nedoručiteln",
        "undelivered",
        "delivery notification",
        "message delayed",
    ];
    let says =
        OPENINGS.iter().any(|words| lower.contains(words)) || subjects.iter().any(|words| subject.contains(words));
    // An answer by itself has an empty sender too, and may quote anything.
    let replies = replies_by_subject(&mail.subject)
        || mail.header("auto-submitted").is_some_and(|said| said.to_ascii_lowercase().starts_with("auto-replied"));
    if !(named || of_machine && says)
        || replies && !named && !mail.from.as_ref().is_some_and(|from| is_daemon(&from.address))
    {
        return None;
    }
    let recipients = failed_recipients(mail, text);
    let reason = reason(own(text), recipients.first().map(String::as_str));
    let status = enhanced(&reason).or_else(|| enhanced(own(text)));
    let waits = [
        "will be retried",
        "will retry",
        "still trying",
        "has been delayed",
        "is delayed",
        "warning message only",
        "not yet been delivered",
        "do not need to resend",
        "need to resend your message",
        "could not send message for past",
        "delivery will continue",
        "will keep trying",
        "delivery attempts will continue",
    ];
    let delayed =
        waits.iter().any(|words| lower.contains(words)) && !lower.contains("giving up") && !lower.contains("permanent");
    let permanent = !delayed
        && match (status.as_deref(), reply_code(&reason)) {
            (Some(status), _) => status.starts_with('5'),
            (None, Some(code)) => code.starts_with('5'),
            (None, None) => true,
        };
    Some(Bounce {
        message_id: None,
        recipient: recipients.first().cloned(),
        recipients,
        status,
        permanent,
        delayed,
        reason,
    })
}

/// What a free form says itself, before what it brings back.
fn own(text: &str) -> &str {
    let marks = [
        "--- below this line is a copy",
        "------ this is a copy",
        "----- original message",
        "---------- original message",
        "--- the header of the original",
        "----- original message follows",
        "message header follows",
        "original message headers",
        "--- enclosed is a copy",
        "----- message header",
        "------ the body of the message",
        "-----original message",
        "----- unsent message",
        "original message header",
    ];
    let lower = text.to_ascii_lowercase();
    let end = marks.iter().filter_map(|mark| lower.find(mark)).min().unwrap_or(text.len());
    &text[..end]
}

fn failed_recipients(mail: &Mail, text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |address: String| {
        if !found.contains(&address) && !is_daemon(&address) && found.len() < 100 {
            found.push(address);
        }
    };
    for named in mail.all("x-failed-recipients") {
        address::list(named, None).into_iter().for_each(|mailbox| add(mailbox.address));
    }
    // Whom the report itself is for is not whom it is about.
    let ours = |address: &str| {
        mail.to.iter().any(|to| to.address.eq_ignore_ascii_case(address))
            || mail.delivered_to.iter().any(|to| to.eq_ignore_ascii_case(address))
    };
    let lines: Vec<&str> = own(text).lines().collect();
    if found.is_empty() {
        // Lines that begin with an address, or are one.
        for line in &lines {
            let line = line.trim().trim_start_matches(['*', '-', '\'', '"']).trim_start();
            let first = line.split([' ', '\t', ':', '\'', '"']).next().unwrap_or_default();
            let address = address::normal(first).filter(|address| address.contains('.') && !ours(address));
            if let Some(address) = address
                && found.len() < 100
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
    }
    if found.is_empty() {
        let words = lines.iter().flat_map(|line| {
            line.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | '"' | '\'' | ',' | ';'))
        });
        let address = words
            .filter(|word| word.contains('@'))
            .filter_map(|word| address::normal(word.trim_end_matches([':', '.'])))
            .find(|address| !ours(address) && !is_daemon(address));
        found.extend(address);
    }
    found
}

/// Why: what stands beside or below the address, or says it with a code.
fn reason(text: &str, recipient: Option<&str>) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let about = recipient.and_then(|recipient| {
        let recipient = recipient.to_lowercase();
        lines.iter().position(|line| line.to_lowercase().contains(&recipient))
    });
    if let Some(about) = about {
        let beside = lines[about].split_once(": ").map(|(_, said)| said.trim()).filter(|said| said.len() > 8);
        let below = lines[about + 1..].iter().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
        let words: Vec<&str> = beside.into_iter().chain(below.copied()).take(12).collect();
        if !words.is_empty() {
            return words.join(" ");
        }
    }
    let coded = lines.iter().find(|line| enhanced(line).is_some() || reply_code(line).is_some());
    coded.map_or_else(String::new, |line| (*line).to_owned())
}

fn first_words(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    lines.take(6).collect::<Vec<_>>().join(" ")
}

/// An enhanced status code (RFC 3463) in a text: `5.1.1`, and no part of an address of the network.
fn enhanced(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    words
        .map(|word| word.trim_end_matches('.').trim_start_matches('.'))
        .find(|word| is_enhanced(word))
        .map(str::to_owned)
}

fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    matches!(parts[..], ["2" | "4" | "5", subject, detail] if [subject, detail].iter().all(|part| (1..=3).contains(&part.len())))
}

/// A reply code of SMTP in a text.
fn reply_code(text: &str) -> Option<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.into_iter().find(|word| {
        word.len() == 3
            && (word.starts_with('4') || word.starts_with('5'))
            && word.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The Message-ID of what comes back within the text.
fn returned_id(text: &str) -> Option<String> {
    text.lines().take(5_000).find_map(|line| {
        let line = line.trim_start_matches(['>', ' ', '\t', '|']);
        let (name, value) = line.split_once(':')?;
        let fits = name.trim().eq_ignore_ascii_case("message-id");
        fits.then(|| super::body::ids(value)).and_then(|ids| ids.into_iter().next())
    })
}
