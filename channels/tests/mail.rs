//! Raw mails in `tests/data/mail`, each beside what is expected of it; and that whatever else comes is read within bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use channels::mail::read::{
    Limits, Mail, Mailbox, Part, Shown, Unreadable, authentication, content_key, read, sanitised,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

fn corpus() -> Vec<(String, Vec<u8>, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/mail");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                fs::read(&path).unwrap(),
                path.with_extension("json"),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_mail_is_read_as_is_expected() {
    let corpus = corpus();
    assert!(corpus.len() >= 150, "only {} mails", corpus.len());
    let mut wrong = Vec::new();
    for (name, raw, expected) in &corpus {
        let expected = fs::read(expected).unwrap_or_else(|_| panic!("{name} has no expectation"));
        let expected: Map<String, Value> =
            serde_json::from_slice(&expected).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(expected.keys().any(|key| key != "about"), "{name} expects nothing");
        for (key, expected) in &expected {
            let found = found(key, expected, raw);
            if let Some(expected) = expected_of(key, expected).filter(|expected| *expected != found) {
                wrong.push(format!("{name}: {key}\n  expected {expected:#}\n  found    {found:#}"));
            }
        }
    }
    let only = std::env::var("MAIL").ok();
    wrong.retain(|wrong| only.as_deref().is_none_or(|only| wrong.contains(only)));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What `key` is compared with; `None` is for people.
fn expected_of(key: &str, expected: &Value) -> Option<Value> {
    match key {
        "about" => None,
        "authentication" => Some(expected["verdicts"].clone()),
        "shown" => {
            Some(json!({ "html": in_order(expected["html"].as_str().unwrap()), "blocked": expected["blocked"] }))
        }
        // Each file says as much of it as matters.
        _ if key.ends_with("_has") => Some(json!([])),
        _ if key.ends_with("_lacks") => Some(json!([])),
        _ => Some(expected.clone()),
    }
}

/// What the mail says of what an expectation names.
fn found(key: &str, expected: &Value, raw: &[u8]) -> Value {
    let mail = match read(raw) {
        Ok(mail) => mail,
        Err(why) => {
            return if key == "unreadable" { json!(format!("{why:?}")) } else { json!(format!("unreadable: {why}")) };
        }
    };
    let words = || expected.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let missing = |text: &str| json!(words().filter(|word| !text.contains(word)).collect::<Vec<_>>());
    let present = |text: &str| json!(words().filter(|word| text.contains(word)).collect::<Vec<_>>());
    let html = mail.html.clone().unwrap_or_default();
    match key {
        "about" => Value::Null,
        "unreadable" => json!("readable"),
        "message_id" => json!(mail.message_id),
        "in_reply_to" => json!(mail.in_reply_to),
        "references" => json!(mail.references),
        "from" => json!(mail.from.as_ref().map(mailbox)),
        "authors" => mailboxes(&mail.authors),
        "sender" => json!(mail.sender.as_ref().map(mailbox)),
        "reply_to" => mailboxes(&mail.reply_to),
        "to" => mailboxes(&mail.to),
        "cc" => mailboxes(&mail.cc),
        "delivered_to" => json!(mail.delivered_to),
        "return_path" => json!(mail.return_path),
        "date" => json!(mail.date.map(|date| date.to_string())),
        "subject" => json!(mail.subject),
        "text" => json!(mail.text),
        "answer" => json!(mail.answer),
        "html" => json!(mail.html),
        "text_has" => missing(&mail.text),
        "text_lacks" => present(&mail.text),
        "answer_has" => missing(&mail.answer),
        "answer_lacks" => present(&mail.answer),
        "html_has" => missing(&html),
        "html_lacks" => present(&html),
        "parts" => parts(&mail.parts, expected),
        "automatic" => json!(mail.automatic.map(|kind| format!("{kind:?}"))),
        "encryption" => json!(mail.encryption.map(|kind| format!("{kind:?}"))),
        "cut" => json!(mail.cut),
        "bounce" => bounce(&mail, expected),
        "headers" => headers(&mail, expected),
        "authentication" => {
            let trusted: Vec<String> = serde_json::from_value(expected["trusted"].clone()).unwrap();
            let found = authentication(&mail, &trusted);
            json!([found.spf, found.dkim, found.dmarc].map(|verdict| format!("{verdict:?}")))
        }
        "shown" => {
            let inline = |id: &str| Some(format!("/files/{id}"));
            let shown = Shown { remote_images: expected["remote"].as_bool().unwrap_or_default(), inline: &inline };
            let shown = sanitised(&html, &shown);
            json!({ "html": in_order(&shown.html), "blocked": shown.blocked })
        }
        _ => panic!("no expectation is called {key}"),
    }
}

fn mailbox(mailbox: &Mailbox) -> Value {
    match &mailbox.name {
        Some(name) => json!([name, mailbox.address]),
        None => json!([mailbox.address]),
    }
}

fn mailboxes(all: &[Mailbox]) -> Value {
    all.iter().map(mailbox).collect()
}

/// The files, each told by what the expectation at its place names.
fn parts(parts: &[Part], expected: &Value) -> Value {
    let named = |place: usize| expected[place].as_object().cloned().unwrap_or_default();
    let one = |(place, part): (usize, &Part)| {
        let mut told = Map::new();
        for (key, value) in [
            ("name", json!(part.name)),
            ("media_type", json!(part.media_type)),
            ("content_id", json!(part.content_id)),
            ("inline", json!(part.inline)),
            ("size", json!(part.content.len())),
            ("text", json!(String::from_utf8_lossy(&part.content))),
            (
                "sha256",
                json!(Sha256::digest(&part.content).iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            ),
        ] {
            if key == "name" || named(place).contains_key(key) {
                told.insert(key.to_owned(), value);
            }
        }
        Value::Object(told)
    };
    parts.iter().enumerate().map(one).collect()
}

fn bounce(mail: &Mail, expected: &Value) -> Value {
    let Some(bounce) = &mail.bounce else { return Value::Null };
    let mut told = json!({
        "message_id": bounce.message_id, "recipient": bounce.recipient, "recipients": bounce.recipients, "status": bounce.status,
        "permanent": bounce.permanent, "delayed": bounce.delayed, "reason": bounce.reason,
    });
    let named = expected.as_object().cloned().unwrap_or_default();
    told.as_object_mut().unwrap().retain(|key, _| named.contains_key(key));
    told
}

fn headers(mail: &Mail, expected: &Value) -> Value {
    let named = expected.as_object().unwrap();
    let found: BTreeMap<&String, Vec<&str>> = named.keys().map(|name| (name, mail.all(name).collect())).collect();
    json!(found)
}

/// What must be true of whatever is read.
fn sound(mail: &Mail) {
    assert!(!mail.text.contains('\0') && !mail.answer.contains('\0') && !mail.subject.contains('\0'));
    assert!(!mail.html.as_deref().unwrap_or_default().contains('\0'));
    assert!(!mail.subject.contains(['\n', '\r']));
    assert!(!mail.answer.is_empty() || mail.text.trim().is_empty(), "an answer is lost");
    assert!(
        mail.headers
            .iter()
            .all(|(name, value)| !name.contains(['\n', '\r', '\0']) && !value.contains(['\n', '\r', '\0']))
    );
    for part in &mail.parts {
        assert!(!part.name.is_empty() && !part.name.contains(['/', '\\', '\0', '\n', '\r']), "{:?}", part.name);
    }
    let all =
        mail.from.iter().chain(&mail.sender).chain(&mail.authors).chain(&mail.reply_to).chain(&mail.to).chain(&mail.cc);
    for Mailbox { address, name } in all {
        let (local, domain) = address.rsplit_once('@').expect("an address has both its parts");
        assert!(!local.is_empty() && !domain.is_empty() && domain.is_ascii() && domain == domain.to_lowercase());
        assert!(!address.contains(['\n', '\r', '\0']) && !name.as_deref().unwrap_or("x").is_empty());
    }
    for id in mail.message_id.iter().chain(&mail.in_reply_to).chain(&mail.references) {
        assert!(!id.is_empty() && !id.contains(['<', '>', '\0']) && !id.contains(char::is_whitespace), "{id:?}");
    }
    assert!(mail.parts.len() <= 2 * Limits::PARTS);
}

/// A mail that is cut off anywhere, and one in which bytes are others, is read without a panic, and soundly.
#[test]
fn whatever_comes_is_read() {
    let began = Instant::now();
    // Numbers that are the same each time.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let (mut readings, interesting) = (0, *b"\0\r\n <>()\"',;:=?-_@\x1b\xff\x80&%+~");
    for (name, raw, _) in corpus() {
        let step = (raw.len() / 12).max(1);
        let prefixes = (0..raw.len()).step_by(step).chain(raw.len().saturating_sub(3)..raw.len());
        let mut variants: Vec<Vec<u8>> = prefixes.map(|end| raw[..end].to_vec()).collect();
        for _ in 0..8 {
            let mut changed = raw.clone();
            for _ in 0..=next(6) {
                if changed.is_empty() {
                    break;
                }
                let at = next(changed.len());
                match next(5) {
                    0 => changed[at] = interesting[next(interesting.len())],
                    1 => changed[at] ^= 1 << next(8),
                    2 => changed.insert(at, interesting[next(interesting.len())]),
                    3 => drop(changed.drain(at..(at + next(80)).min(changed.len()))),
                    _ => {
                        let piece = changed[at..(at + next(200)).min(changed.len())].to_vec();
                        let to = next(changed.len());
                        changed.splice(to..to, piece);
                    }
                }
            }
            variants.push(changed);
        }
        for variant in variants {
            readings += 1;
            let outcome = catch_unwind(|| {
                let Ok(mail) = read(&variant) else { return };
                sound(&mail);
                let inline = |id: &str| Some(format!("/files/{id}"));
                if let Some(html) = &mail.html {
                    harmless(&sanitised(html, &Shown { remote_images: false, inline: &inline }).html);
                }
                assert_eq!(content_key(&mail, &variant).len(), 64);
                let _ = authentication(&mail, &["mx.example.org".to_owned()]);
            });
            assert!(outcome.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&variant));
        }
    }
    assert!(readings > 5_000, "{readings}");
    assert!(began.elapsed() < Duration::from_secs(240), "{:?}", began.elapsed());
}

/// Mails made to be slow or large are read within bounds, and what is left out is told.
#[test]
fn bombs_are_contained() {
    let head = "From: mallory@example.net\r\nMIME-Version: 1.0\r\n";
    let mut bombs: Vec<(&str, String, bool)> = Vec::new();
    let mut many = format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for number in 0..50_000 {
        many.push_str(&format!("--b\r\nContent-Type: text/plain; name=\"{number}.txt\"\r\n\r\nx\r\n"));
    }
    bombs.push(("thousands of parts", many + "--b--\r\n", true));
    let mut deep = head.to_owned();
    for depth in 0..5_000 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n"));
    }
    bombs.push(("parts within parts", deep + "\r\nbottom", true));
    let mails = head.to_owned()
        + &"Content-Type: message/rfc822\r\n\r\nFrom: mallory@example.net\r\n".repeat(20_000)
        + "\r\nbottom";
    bombs.push(("mails within mails", mails, true));
    bombs.push(("one large field", format!("{head}Subject: {}\r\n\r\nx", "=?utf-8?q?a?= ".repeat(300_000)), true));
    bombs.push(("many fields", format!("{head}{}\r\nx", "X-A: b\r\n".repeat(400_000)), true));
    bombs.push(("many addresses", format!("{head}To: {}\r\n\r\nx", "a@example.com, ".repeat(16_000)), false));
    bombs.push(("open brackets", format!("{head}To: {}\r\n\r\nx", "(".repeat(200_000)), false));
    bombs.push(("open quotes", format!("{head}To: {}\r\n\r\nx", "\" ".repeat(100_000)), false));
    bombs.push(("open angles", format!("{head}To: {}\r\n\r\nx", "<".repeat(200_000)), false));
    bombs.push((
        "encoded words without ends",
        format!("{head}Subject: {}\r\n\r\nx", "=?utf-8?q?".repeat(20_000)),
        false,
    ));
    bombs.push(("question marks", format!("{head}Subject: =?utf-8?q?{}\r\n\r\nx", "?=ab".repeat(50_000)), false));
    bombs.push(("quotes", format!("{head}\r\n{}", "> ".repeat(300_000)), false));
    bombs.push(("attributions", format!("{head}\r\n{}", "On 5 January 2026 at 10:00\n".repeat(30_000)), false));
    bombs.push(("fields of Outlook", format!("{head}\r\n{}", "From: x\nSent: y\n".repeat(20_000)), false));
    bombs.push((
        "dashes",
        format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n".repeat(500_000)),
        false,
    ));
    let html = format!("{head}Content-Type: text/html\r\n\r\n");
    bombs.push(("elements within elements", format!("{html}{}x", "<div>".repeat(50_000)), false));
    bombs.push(("tables within tables", format!("{html}{}x", "<table><tr><td>".repeat(20_000)), false));
    bombs.push((
        "formatting that never ends",
        format!("{html}{}x", "<b><i><font color=red><a href=x>".repeat(2_000)),
        false,
    ));
    bombs.push(("attributes", format!("{html}<p {}>x", "a=b ".repeat(100_000)), false));
    bombs.push(("entities", format!("{html}{}", "&NotEqualTilde;&amp".repeat(15_000)), false));
    bombs.push(("styles", format!("{html}<p style=\"{}\">x", "color:red;".repeat(100_000)), false));
    bombs.push(("unclosed comments", format!("{html}{}", "<!--".repeat(50_000)), false));
    bombs.push(("uuencoded files", format!("{head}\r\n{}", "begin 644 a\n#0V%T\n`\nend\n".repeat(10_000)), false));
    bombs.push(("ids", format!("{head}References: {}\r\n\r\nx", "<a@example.com> ".repeat(16_000)), false));
    bombs.push((
        "parameters",
        format!("{head}Content-Type: text/plain{}\r\n\r\nx", "; a*0*=utf-8''%41".repeat(15_000)),
        false,
    ));
    bombs.push(("angles that never close", format!("{head}To: {}\r\n\r\nx", "<a,".repeat(15_000)), false));
    bombs.push((
        "encoded words that never end",
        format!("{head}Subject: {}\r\n\r\nx", "=?u?q? ".repeat(10_000)),
        false,
    ));
    bombs.push(("content ids that never end", format!("{html}<img src=\"{}\">", "cid:".repeat(500_000)), false));
    let enriched = format!("{head}Content-Type: text/enriched\r\n\r\n");
    bombs.push(("commands that never end", format!("{enriched}{}", "<a".repeat(200_000)), false));
    bombs.push(("telephones", format!("{head}\r\nx\r\n{}", "Sent from my iPhone\r\n".repeat(30_000)), false));
    bombs.push(("signatures", format!("{head}\r\nx\r\n{}", "--\r\n".repeat(50_000)), false));
    let places: String = (0..9_000).map(|place| format!("a{place}@example.com, ")).collect();
    bombs.push(("places", format!("{head}{}\r\nx", format!("Delivered-To: {places}\r\n").repeat(10)), false));
    let failed: String = (0..20_000).map(|place| format!("a{place}@example.com\r\n")).collect();
    bombs.push((
        "failures",
        format!("Return-Path: <>\r\nX-Failed-Recipients: x@example.com\r\n{head}\r\nUndeliverable:\r\n{failed}"),
        false,
    ));
    bombs.push(("elements that are closed by others", format!("{html}{}x", "<div></span>".repeat(50_000)), false));
    let reopened: String = (0..300).map(|number| format!("<b class={number}>")).collect();
    bombs.push((
        "formatting that is opened again and again",
        format!("{html}{reopened}{}", "<p>x</p>".repeat(20_000)),
        false,
    ));
    bombs.push(("cells in drawings", format!("{html}<svg>{}", "<tr>".repeat(50_000)), false));
    for (name, raw, cut) in bombs {
        let began = Instant::now();
        let mail = read(raw.as_bytes()).unwrap_or_else(|why| panic!("{name}: {why}"));
        sound(&mail);
        assert_eq!(mail.cut, cut, "{name}");
        let shown = mail.html.as_deref().map(|html| sanitised(html, &Shown { remote_images: true, inline: &|_| None }));
        shown.iter().for_each(|shown| harmless(&shown.html));
        let kept: usize = mail.parts.iter().map(|part| part.content.len()).sum();
        assert!(kept <= 8 * raw.len() + 1_000_000, "{name}: {kept} bytes of {}", raw.len());
        // This machine may be busy, and what is tested unoptimised.
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", began.elapsed());
    }
    assert_eq!(read(b""), Err(Unreadable::Empty));
    assert_eq!(read(b"\r\n \r\n\0"), Err(Unreadable::Empty));
    assert_eq!(read(b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\n"), Err(Unreadable::NoHeader));
}

/// Nothing in HTML that is shown may run, fetch or leave its box.
fn harmless(html: &str) {
    let lower = html.to_ascii_lowercase();
    for element in [
        "<script",
        "<style",
        "<iframe",
        "<object",
        "<embed",
        "<form",
        "<input",
        "<button",
        "<meta",
        "<link",
        "<base",
        "<svg",
        "<math",
        "<template",
        "<!--",
    ] {
        assert!(!lower.contains(element), "{element} in {html}");
    }
    // Within tags only: text may say what it likes.
    for tag in lower.split('<').skip(1).filter_map(|rest| tag(rest)) {
        for word in [
            " on",
            "javascript:",
            "vbscript:",
            "url(",
            "expression(",
            "position:",
            "@import",
            "srcset",
            "formaction",
            "-moz-binding",
            "behavior:",
        ] {
            let inside = if word == " on" {
                attribute_names(tag).any(|name| name.starts_with("on"))
            } else {
                unquoted(tag).contains(word) || in_style(tag).contains(word)
            };
            assert!(!inside, "{word} in <{tag}>");
        }
        if tag.starts_with("a ") {
            assert!(tag.contains("rel=\"noopener noreferrer\"") && tag.contains("target=\"_blank\""), "<{tag}>");
        }
    }
}

/// HTML whose attributes stand in the order of their names: no other order means anything.
fn in_order(html: &str) -> String {
    let one = |rest: &str| {
        let Some(tag) = tag(rest).filter(|tag| tag.contains(' ')) else { return format!("<{rest}") };
        let mut pieces: Vec<&str> = tag.split("\" ").collect();
        let (name, first) = pieces[0].split_once(' ').unwrap();
        pieces[0] = first;
        let mut pieces: Vec<&str> = pieces.iter().map(|piece| piece.trim_end_matches('"')).collect();
        pieces.sort_unstable();
        format!("<{name} {}\">{}", pieces.join("\" "), &rest[tag.len() + 1..])
    };
    let mut pieces = html.split('<');
    let text = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(text, |html, rest| html + &one(rest))
}

fn tag(rest: &str) -> Option<&str> {
    let mut quoted = false;
    let end = rest.find(|c: char| {
        quoted ^= c == '"';
        c == '>' && !quoted
    })?;
    Some(&rest[..end])
}

fn attribute_names(tag: &str) -> impl Iterator<Item = &str> {
    tag.split('"')
        .step_by(2)
        .filter_map(|piece| piece.trim().strip_suffix('='))
        .filter_map(|piece| piece.split_whitespace().last())
}

/// A tag without the values of its attributes, but for those that are addresses.
fn unquoted(tag: &str) -> String {
    let pieces: Vec<&str> = tag.split('"').collect();
    let address = |place: usize| place > 0 && ["href=", "src="].iter().any(|name| pieces[place - 1].ends_with(name));
    let kept = pieces.iter().enumerate().filter(|(place, _)| place % 2 == 0 || address(*place));
    kept.map(|(_, piece)| *piece).collect::<Vec<_>>().join(" ")
}

fn in_style(tag: &str) -> &str {
    tag.split_once("style=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(style, _)| style)
}

#[test]
fn html_of_strangers_is_contained() {
    let inline = |id: &str| (id == "logo@example.com").then(|| "/v1/files/1".to_owned());
    let show = |html: &str, remote_images: bool| {
        let shown = sanitised(html, &Shown { remote_images, inline: &inline });
        harmless(&shown.html);
        (shown.html, shown.blocked)
    };
    for attack in ATTACKS {
        for remote in [false, true] {
            let (html, _) = show(attack, remote);
            assert!(
                !html.contains("alert(1)") || !html.contains('<') || html.contains("text alert(1)"),
                "{attack}\n{html}"
            );
        }
        // What is made harmless stays so when it is read again.
        let (once, _) = show(attack, true);
        harmless(&show(&once, true).0);
    }
    let expected = [
        ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>", 0),
        (
            "<a href=\"https://example.com/?a=1&amp;b=2\">x</a>",
            "<a href=\"https://example.com/?a=1&amp;b=2\" target=\"_blank\" rel=\"noopener noreferrer\">x</a>",
            0,
        ),
        (
            "<a href=\"mailto:jane@example.com\">x</a>",
            "<a href=\"mailto:jane@example.com\" target=\"_blank\" rel=\"noopener noreferrer\">x</a>",
            0,
        ),
        ("<a href=\"/v1/logout\" onclick=\"x()\">x</a>", "<a target=\"_blank\" rel=\"noopener noreferrer\">x</a>", 0),
        ("<img src=\"cid:logo@example.com\" alt=\"Logo\">", "<img src=\"/v1/files/1\" alt=\"Logo\">", 0),
        ("<img src=\"CID:logo%40example.com\">", "<img src=\"/v1/files/1\">", 0),
        ("<img src=\"cid:other@example.com\" alt=\"Other\">", "<img alt=\"Other\">", 0),
        (
            "<img src=\"https://example.com/a.png\" alt=\"A\"><img src=\"//example.com/b.png\">",
            "<img alt=\"A\"><img>",
            2,
        ),
        ("<img src=\"/v1/files/2\">", "<img>", 0),
        (
            "<img src=\"data:image/png;base64,AAAA\"><img src=\"data:image/svg+xml,&lt;svg&gt;\">",
            "<img src=\"data:image/png;base64,AAAA\"><img>",
            0,
        ),
        ("<img src=\"https://example.com/open.gif\" width=\"1\" height=\"1\">", "<img width=\"1\" height=\"1\">", 0),
        (
            "<p style=\"color:red;position:fixed;top:0;background:url(https://example.com/x)\">x</p>",
            "<p style=\"color:red\">x</p>",
            0,
        ),
        ("<div style=\"position:absolute;z-index:9999;width:100%\">x</div>", "<div style=\"width:100%\">x</div>", 0),
        (
            "<table background=\"https://example.com/x.png\" bgcolor=\"#fff\"><tr><td>x</td></tr></table>",
            "<table bgcolor=\"#fff\"><tbody><tr><td>x</td></tr></tbody></table>",
            0,
        ),
        ("<form action=\"https://example.com\"><input name=\"password\">Text</form>", "Text", 0),
        ("<style>p{color:red}</style><p id=\"x\" class=\"y\">x</p>", "<p>x</p>", 0),
        ("a<script>alert(1)</script>b", "ab", 0),
        ("<!--[if mso]><p>Outlook</p><![endif]--><p>All</p>", "<p>All</p>", 0),
    ];
    for (html, shown, blocked) in expected {
        let (found, count) = show(html, false);
        assert_eq!((in_order(&found), count), (in_order(shown), blocked), "{html}\n{found}");
    }
    let (asked, blocked) = show(
        "<img src=\"//example.com/a.png\"><img src=\"https://example.com/p.gif\" style=\"width:1px;height:1px\">",
        true,
    );
    assert_eq!(blocked, 0);
    assert!(asked.contains("https://example.com/a.png") && !asked.contains("p.gif"), "{asked}");
}

/// Collected from what has worked somewhere at some time, and made up in their manner.
const ATTACKS: [&str; 58] = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://example.net/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=\"x\" onerror=\"alert(1)\"/>",
    "<img/src='x'/onerror=alert(1)>",
    "<img src=`javascript:alert(1)`>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<img src=\"javascript:alert(1)\">",
    "<img src=\"jav&#x09;ascript:alert(1)\">",
    "<img src=\"&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)\">",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<a href=\" &#14; javascript:alert(1)\">x</a>",
    "<a href=\"java\nscript:alert(1)\">x</a>",
    "<a href=\"JaVaScRiPt:alert(1)\">x</a>",
    "<a href=\"vbscript:msgbox(1)\">x</a>",
    "<a href=\"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\">x</a>",
    "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
    "<a href=\"blob:https://example.com/x\">x</a>",
    "<a href=\"file:///etc/passwd\">x</a>",
    "<a href=\"https://example.com\" target=\"_self\" rel=\"opener\">x</a>",
    "<a href=\"https://example.com\" ping=\"https://example.net/track\">x</a>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text x=20 y=20>x</text></a></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<math href=\"javascript:alert(1)\">x</math>",
    "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id=\"</style><img onerror=alert(1) src>\">",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
    "<title><a title=\"</title><img src=x onerror=alert(1)>\">",
    "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">",
    "<iframe src=\"javascript:alert(1)\"></iframe>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<object data=\"javascript:alert(1)\"></object>",
    "<embed src=\"javascript:alert(1)\">",
    "<applet code=x></applet>",
    "<base href=\"https://example.net/\"><a href=\"x\">x</a>",
    "<meta http-equiv=\"refresh\" content=\"0;url=javascript:alert(1)\">",
    "<link rel=\"stylesheet\" href=\"https://example.net/x.css\">",
    "<body onload=alert(1) background=\"javascript:alert(1)\">x",
    "<div style=\"background-image:url(javascript:alert(1))\">x</div>",
    "<div style=\"width:expression(alert(1))\">x</div>",
    "<div style=\"width:exp/**/ression(alert(1))\">x</div>",
    "<div style=\"background:u\\72l(https://example.net/x)\">x</div>",
    "<div style=\"-moz-binding:url(https://example.net/x#y)\">x</div>",
    "<div style=\"position:fixed;inset:0;background:#fff\">x</div>",
    "<div style=\"color:red;}</style><script>alert(1)</script>\">x</div>",
    "<style>@import 'https://example.net/x.css';body{display:none}</style>",
    "<table><td background=\"javascript:alert(1)\">x</td></table>",
    "<input autofocus onfocus=alert(1)><select autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video><audio src=x onerror=alert(1)>",
    "<img srcset=\"https://example.net/x.png 1x\" src=\"https://example.net/x.png\">",
    "<button formaction=javascript:alert(1)>x</button><isindex action=javascript:alert(1)>",
    "<![CDATA[<img src=x onerror=alert(1)>]]><?xml version=1?><!DOCTYPE html [<!ENTITY x \"y\">]>",
];

/// One mail that comes by two ways is one, and two mails that share a Message-ID are two.
#[test]
fn a_mail_is_known_by_what_its_sender_made() {
    let one = "Message-ID: <a@example.com>\r\nFrom: jane@example.com\r\nSubject: Hello\r\nContent-Type: text/plain; charset=utf-8\r\n";
    let key = |raw: String| content_key(&read(raw.as_bytes()).unwrap(), raw.as_bytes());
    let by_lmtp = key(format!(
        "Return-Path: <jane@example.com>\r\nReceived: from a by b\r\nDelivered-To: desk@example.org\r\n{one}Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
    ));
    let by_imap = key(format!(
        "Received: from c by d\nX-Spam: no\n{}Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe  \n\n",
        one.replace('\r', "")
    ));
    assert_eq!(by_lmtp, by_imap);
    assert_ne!(by_lmtp, key(format!("{one}\r\nGrüße!\r\n")));
    assert_ne!(by_lmtp, key(format!("{one}\r\nGrüße\r\n").replace("jane", "john")));
    assert_ne!(by_lmtp, key(format!("{one}\r\nGrüße\r\n").replace("Hello", "Hallo")));
    let with_file = |content: &str| {
        key(format!(
            "{}\r\n--b\r\n\r\nx\r\n--b\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\n{content}\r\n--b--",
            one.replace("text/plain", "multipart/mixed; boundary=b")
        ))
    };
    assert_ne!(with_file("1"), with_file("2"));
    assert_eq!(with_file("1"), with_file("1"));
}
