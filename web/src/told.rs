//! What colleagues are told in mails, chats and messages of browsers, in their language.

use crate::texts::Language;

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Told<'a> {
    /// Of what somebody is told: `mentioned` and so on.
    pub kind: &'a str,
    /// The kind of the record.
    pub record_kind: &'a str,
    /// What the record is called, where it is called anything.
    pub called: Option<&'a str>,
    /// What whoever did it is called.
    pub by: Option<&'a str>,
    /// Where it is, if that is known.
    pub url: Option<&'a str>,
}

/// One line of it: what happened, and to what.
pub fn title(language: Language, told: &Told<'_>) -> String {
    let what = language.say_of("told", told.kind);
    match told.called {
        Some(called) => format!("{what}: {}", one_line(called)),
        None => what,
    }
}

/// Who did it.
pub fn by(told: &Told<'_>) -> String {
    told.by.map(one_line).unwrap_or_default()
}

/// What a text is in one line: nobody makes further lines, or headers of mails, by what he calls a record.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a mail is about that tells of these.
pub fn subject(language: Language, told: &[Told<'_>]) -> String {
    match told {
        [one] => title(language, one),
        several => format!("{} ({})", language.say("notifications-title"), several.len()),
    }
}

/// The text of that mail.
pub fn mail(language: Language, told: &[Told<'_>]) -> String {
    let each = told.iter().map(|told| {
        let mut lines = vec![title(language, told)];
        lines.extend(Some(by(told)).filter(|by| !by.is_empty()));
        lines.extend(told.url.map(ToOwned::to_owned));
        lines.join("\n")
    });
    let mut parts: Vec<String> = each.collect();
    let home = told.iter().find_map(|told| told.url).and_then(|url| {
        let path = url.find("://").and_then(|at| url[at + 3..].find('/').map(|path| at + 3 + path))?;
        url.get(..path)
    });
    if let Some(home) = home {
        parts.push(format!("{}\n{home}/notifications", language.say("notifications-choose")));
    }
    parts.join("\n\n")
}

/// The same for a chat, as those take it whose webhooks are like Slack's.
pub fn chat(language: Language, told: &Told<'_>) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let what = language.say_of("told", told.kind);
    let called = told.called.map(one_line).unwrap_or_else(|| match language.has("kind", told.record_kind) {
        true if told.kind != "test" => language.say_of("kind", told.record_kind),
        _ => "Deskfold".to_owned(),
    });
    let called = escaped(&called);
    let link = match told.url {
        Some(url) => format!("<{url}|{}>", called.replace('|', "¦")),
        None => called,
    };
    match by(told) {
        by if by.is_empty() => format!("*{what}*: {link}"),
        by => format!("*{what}*: {link} · {}", escaped(&by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told<'static> {
        Told {
            kind: "mentioned",
            record_kind: "ticket",
            called: Some("<Printer> | broken\r\nBcc: x@example.com"),
            by: Some("Anna & Co"),
            url: Some("https://desk.example.com/records/tickets/1"),
        }
    }

    #[test]
    fn it_is_said_in_the_language_of_whoever_is_told() {
        let about = subject(Language::English, &[told()]);
        assert_eq!(about, "You were mentioned: <Printer> | broken Bcc: x@example.com");
        assert!(title(Language::Czech, &told()).starts_with("Byli jste zmíněni: "));
        let text = mail(Language::English, &[told(), Told { kind: "overdue", ..Told::default() }]);
        assert!(text.contains("Anna & Co\nhttps://desk.example.com/records/tickets/1\n\nOverdue\n\n"), "{text}");
        assert!(text.ends_with("\nhttps://desk.example.com/notifications"), "{text}");
        for language in Language::ALL {
            assert!(!subject(language, &[told(), told()]).contains("notifications-"), "{language:?}");
        }
    }

    #[test]
    fn a_chat_takes_no_markup_from_what_a_record_is_called() {
        let link = "<https://desk.example.com/records/tickets/1|&lt;Printer&gt; ¦ broken Bcc: x@example.com>";
        assert_eq!(chat(Language::English, &told()), format!("*You were mentioned*: {link} · Anna &amp; Co"));
    }
}
