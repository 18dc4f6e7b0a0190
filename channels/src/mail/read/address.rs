//! Addresses in header fields: with names, comments, groups and quotes, and with the mistakes that mailers make in them.

use super::{Limits, Mailbox, charset, word};

/// What stands in a field between two commas.
#[derive(Default)]
struct Item {
    /// Words outside of brackets: as they stand, and without their quotes.
    words: Vec<(String, String)>,
    angle: Option<String>,
    comments: Vec<String>,
}

/// The mailboxes that a field names; members of groups too.
pub(super) fn list(text: &str, domain: Option<&str>) -> Vec<Mailbox> {
    let found = once(text, domain);
    if !found.is_empty() || !text.contains("=?") {
        return found;
    }
    // Some encode the whole field, address and all.
    once(&word::decoded(text, domain), domain)
}

/// The one address of a field that has no name beside it: `Return-Path`, `Delivered-To`.
pub(super) fn bare(text: &str) -> Option<String> {
    once(text, None).into_iter().next().map(|mailbox| mailbox.address)
}

fn once(text: &str, domain: Option<&str>) -> Vec<Mailbox> {
    let mut found: Vec<Mailbox> = Vec::new();
    // The words before a comma that nobody quoted: `Doe, Jane <jane@example.com>`.
    let mut before: Vec<String> = Vec::new();
    for item in items(text) {
        if found.len() >= Limits::ADDRESSES {
            break;
        }
        let (address, named) = item.parted();
        let Some(address) = address else {
            let words = if item.angle.is_some() { String::new() } else { named.join(" ") };
            let words = if words.contains('@') { String::new() } else { words };
            if words.is_empty() {
                before.clear();
            } else {
                before.push(words);
            }
            before.truncate(4);
            continue;
        };
        let mut name = named.join(" ");
        if !before.is_empty() && item.angle.is_some() {
            before.push(name);
            name = before.join(", ");
        }
        before.clear();
        if name.is_empty() {
            name = item.comments.join(" ");
        }
        found.push(Mailbox { name: shown(&name, &address, domain), address });
    }
    found
}

impl Item {
    /// The address, and the words that are the name.
    fn parted(&self) -> (Option<String>, Vec<&str>) {
        let names = |words: &'_ [(String, String)], without: Option<usize>| -> Vec<usize> {
            (0..words.len()).filter(|place| Some(*place) != without).collect()
        };
        let pick =
            |places: Vec<usize>| places.into_iter().map(|place| self.words[place].1.as_str()).collect::<Vec<_>>();
        if let Some(found) = self.angle.as_deref().and_then(normal) {
            return (Some(found), pick(names(&self.words, None)));
        }
        let with = self.words.iter().rposition(|(word, _)| word.contains('@') && normal(word).is_some());
        if let Some(place) = with {
            return (normal(&self.words[place].0), pick(names(&self.words, Some(place))));
        }
        // `jane @ example . com`, as was once allowed.
        let joined: String = self.words.iter().map(|(word, _)| word.as_str()).collect();
        if joined.matches('@').count() == 1
            && let Some(found) = normal(&joined)
        {
            return (Some(found), Vec::new());
        }
        (None, pick(names(&self.words, None)))
    }
}

fn items(text: &str) -> Vec<Item> {
    let letters: Vec<char> = text.chars().collect();
    let mut items = Vec::new();
    let mut item = Item::default();
    let (mut raw, mut plain) = (String::new(), String::new());
    let mut place = 0;
    let end_word = |item: &mut Item, raw: &mut String, plain: &mut String| {
        if !raw.is_empty() {
            item.words.push((std::mem::take(raw), std::mem::take(plain)));
        }
    };
    while let Some(&letter) = letters.get(place) {
        place += 1;
        match letter {
            '"' => {
                let (inside, next) = quoted(&letters, place);
                // A quote that is never closed is a letter like others.
                let Some(next) = next else { continue };
                raw.push('"');
                for letter in inside.chars() {
                    if matches!(letter, '"' | '\\') {
                        raw.push('\\');
                    }
                    raw.push(letter);
                }
                raw.push('"');
                plain.push_str(&inside);
                place = next;
            }
            '(' => {
                let (inside, next) = comment(&letters, place);
                item.comments.push(inside);
                place = next;
            }
            '<' => {
                end_word(&mut item, &mut raw, &mut plain);
                // No address is that long.
                let near = place..letters.len().min(place + 2_000);
                let close = near.clone().find(|at| letters[*at] == '>');
                let stop = close.or_else(|| near.clone().find(|at| matches!(letters[*at], ',' | ';')));
                let stop = stop.unwrap_or(near.end);
                let inside: String = letters[place..stop].iter().collect();
                if item.angle.is_some() {
                    // Nothing between two addresses.
                    items.push(std::mem::take(&mut item));
                }
                item.angle = Some(inside);
                place = stop + usize::from(close.is_some());
            }
            '>' => {}
            ',' | ';' => {
                end_word(&mut item, &mut raw, &mut plain);
                items.push(std::mem::take(&mut item));
                if letter == ';' {
                    // What stood before the end of a group is no name of what follows.
                    items.push(Item::default());
                }
            }
            ':' if !raw.contains(['@', '[']) => {
                // The name of a group, or `mailto:`.
                (raw, plain, item) = (String::new(), String::new(), Item::default());
            }
            '=' if raw.is_empty() && letters.get(place) == Some(&'?') => {
                // An encoded word is one word, whatever stands in it.
                let encoded = encoded(&letters[place - 1..]);
                let take = encoded.unwrap_or(1);
                let text: String = letters[place - 1..place - 1 + take].iter().collect();
                raw.push_str(&text);
                plain.push_str(&text);
                place += take - 1;
            }
            _ if letter.is_whitespace() => end_word(&mut item, &mut raw, &mut plain),
            _ => {
                raw.push(letter);
                plain.push(letter);
            }
        }
    }
    end_word(&mut item, &mut raw, &mut plain);
    items.push(item);
    items
}

fn quoted(letters: &[char], begin: usize) -> (String, Option<usize>) {
    let (mut out, mut place) = (String::new(), begin);
    while let Some(&letter) = letters.get(place) {
        place += 1;
        match letter {
            '"' => return (out, Some(place)),
            '\\' => {
                if let Some(&next) = letters.get(place) {
                    out.push(next);
                    place += 1;
                }
            }
            _ => out.push(letter),
        }
    }
    (out, None)
}

fn comment(letters: &[char], begin: usize) -> (String, usize) {
    let (mut out, mut place, mut depth) = (String::new(), begin, 1usize);
    while let Some(&letter) = letters.get(place) {
        place += 1;
        match letter {
            '\\' => {
                out.extend(letters.get(place));
                place += 1;
                continue;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        out.push(letter);
    }
    (out, place.min(letters.len()))
}

/// How long the encoded word at the front is.
fn encoded(letters: &[char]) -> Option<usize> {
    let mut marks = 0;
    for (place, pair) in letters.windows(2).enumerate().take(300).skip(2) {
        if pair[0].is_whitespace() {
            return None;
        }
        if pair[0] == '?' {
            if marks >= 2 && pair[1] == '=' {
                return Some(place + 2);
            }
            marks += 1;
        }
    }
    None
}

/// An address in the one form that it has everywhere, or `None` where it is none.
pub(super) fn normal(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{200B}' | '\u{FEFF}')).collect();
    let text = text.trim().trim_matches(['<', '>', '\'']).trim();
    let text = text.strip_prefix("mailto:").or_else(|| text.strip_prefix("MAILTO:")).unwrap_or(text);
    // The way by which it was once to go.
    let text = if text.starts_with('@') { text.split_once(':')?.1 } else { text };
    let (local, domain) = text.rsplit_once('@')?;
    let local = local.trim();
    let local = match local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) {
        Some(inside) => {
            let plain = inside.replace("\\\"", "\"").replace("\\\\", "\\");
            if is_dot_atom(&plain) { plain } else { local.to_owned() }
        }
        None => local.chars().filter(|c| !c.is_whitespace()).collect(),
    };
    let unquoted = !local.starts_with('"');
    if local.is_empty() || unquoted && local.contains(['<', '>', '(', ')', ',', ';', ':', '"', '@', '[', ']', '\\']) {
        return None;
    }
    let domain: String = domain.chars().filter(|c| !c.is_whitespace()).collect();
    let domain = domain.trim_matches(['.', ',', ';', '>', '"', '\'']);
    let domain = if domain.starts_with('[') && domain.ends_with(']') {
        domain.to_ascii_lowercase()
    } else {
        let ascii =
            idna::domain_to_ascii(domain).ok().or_else(|| domain.is_ascii().then(|| domain.to_ascii_lowercase()))?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        Some(ascii).filter(|ascii| ascii.chars().all(fits))?
    };
    let address = format!("{local}@{domain}");
    (!domain.is_empty() && address.len() <= 998).then_some(address)
}

fn is_dot_atom(text: &str) -> bool {
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
}

/// A name for people, unless it says no more than the address.
fn shown(name: &str, address: &str, domain: Option<&str>) -> Option<String> {
    let name = word::decoded(name, domain);
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = charset::line(&name);
    let inside = |quote: char| {
        name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote)).filter(|name| !name.is_empty())
    };
    let name = inside('"').or_else(|| inside('\'')).unwrap_or(&name).trim();
    let same = name.trim_matches(['<', '>']).eq_ignore_ascii_case(address);
    (!name.is_empty() && !same).then(|| name.to_owned())
}
