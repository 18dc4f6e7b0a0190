//! What trusted servers found out about the sender (RFC 8601).

use super::{Authentication, Mail, Verdict};

/// What `Authentication-Results` of trusted servers say. `trusted` are the names (authserv-id) under which they say it; an
/// empty one trusts fields that have no name, as those of Microsoft 365.
///
/// What counts is the topmost field of a trusted server, and others of trusted servers that follow it before the next
/// `Received`: whatever stands below was there before the mail came, and anybody may have written it.
#[must_use]
pub fn authentication(mail: &Mail, trusted: &[String]) -> Authentication {
    let mut all = Authentication::default();
    let mut seen = false;
    for (name, value) in &mail.headers {
        if seen && name.eq_ignore_ascii_case("received") {
            break;
        }
        if !name.eq_ignore_ascii_case("authentication-results") {
            continue;
        }
        let value = without_comments(value);
        let mut pieces = value.split(';').map(str::trim);
        let Some(first) = pieces.next() else { continue };
        // A version may stand behind the name.
        let server = first.split_whitespace().next().unwrap_or_default();
        let unnamed = server.contains('=');
        let server = if unnamed { "" } else { server };
        if !trusted.iter().any(|trusted| trusted.trim().eq_ignore_ascii_case(server)) {
            continue;
        }
        seen = true;
        let found = results(std::iter::once(first).filter(|_| unnamed).chain(pieces));
        let fill = |held: &mut Verdict, found: Option<Verdict>| {
            if *held == Verdict::None {
                *held = found.unwrap_or_default();
            }
        };
        fill(&mut all.spf, found.0);
        fill(&mut all.dkim, found.1);
        fill(&mut all.dmarc, found.2);
    }
    all
}

/// The verdicts of one field. Of several signatures, one that holds is enough.
fn results<'a>(pieces: impl Iterator<Item = &'a str>) -> (Option<Verdict>, Option<Verdict>, Option<Verdict>) {
    let (mut spf, mut dkim, mut dmarc) = (None, None, None);
    for piece in pieces.take(100) {
        let Some((method, rest)) = piece.split_once('=') else { continue };
        let method = method.trim().split('/').next().unwrap_or_default().trim().to_ascii_lowercase();
        let word = rest.split_whitespace().next().unwrap_or_default();
        let verdict = verdict(word);
        match method.as_str() {
            "spf" => spf = spf.or(Some(verdict)),
            "dkim" if verdict == Verdict::Pass || dkim.is_none() => dkim = Some(verdict),
            "dmarc" => dmarc = dmarc.or(Some(verdict)),
            _ => {}
        }
    }
    (spf, dkim, dmarc)
}

fn verdict(word: &str) -> Verdict {
    match word.to_ascii_lowercase().as_str() {
        "pass" | "bestguesspass" => Verdict::Pass,
        "fail" | "hardfail" | "policy" => Verdict::Fail,
        "softfail" => Verdict::SoftFail,
        "neutral" => Verdict::Neutral,
        "temperror" | "permerror" | "unknown" | "error" => Verdict::Error,
        _ => Verdict::None,
    }
}

fn without_comments(text: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::with_capacity(text.len()), 0usize, false, false);
    for letter in text.chars() {
        if escaped {
            escaped = false;
            continue;
        }
        match letter {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            // What is quoted may say anything, and is no result.
            _ if quoted => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}
