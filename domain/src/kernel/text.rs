//! Text as people type it: the form it is kept in, the form it is compared in, and the form it is searched in.
//!
//! | form | made by | case | accents | outer spaces |
//! |---|---|---|---|---|
//! | kept | [`composed`] | as typed | as typed, composed (NFC) | as typed |
//! | compared: `eq`, `in`, ranges | [`typed`] | ignored | kept | ignored |
//! | searched: `contains`, `starts_with` | [`loose`] | ignored | ignored | ignored |
//!
//! The functions `text_typed` and `text_loose` of the database do the same to stored text (`migrations/`); a test holds
//! the two together, letter by letter.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::Value;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::Id;

/// Composed characters (NFC): the form in which all text is kept.
pub fn composed(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Composes every text in a JSON value, and every name of a member.
pub fn compose(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(other) = composed(text) {
                *text = other;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(compose),
        Value::Object(members) => {
            if members.keys().any(|name| matches!(composed(name), Cow::Owned(_))) {
                let named = std::mem::take(members).into_iter();
                *members = named.map(|(name, value)| (composed(&name).into_owned(), value)).collect();
            }
            members.values_mut().for_each(compose);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a character shows nothing: white space, and what only joins, separates or turns the direction of letters.
pub const fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// A text without the blanks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// The form in which texts are equal that differ in case or in the blanks around them. Accents stay: `José` is not `jose`.
/// ß is ss, as it is in capitals; ς is σ.
pub fn typed(text: &str) -> String {
    if text.is_ascii() {
        return trimmed(text).to_ascii_lowercase();
    }
    same_letters(&trimmed(&composed(text)).to_lowercase())
}

/// The element of a set of texts that this one equals: to the letter, else as people read it.
pub fn find<'a>(set: &'a BTreeSet<String>, text: &str) -> Option<&'a String> {
    set.get(text).or_else(|| {
        let wanted = typed(text);
        set.iter().find(|known| typed(known) == wanted)
    })
}

/// Letters that only case or their place in a word tells apart.
fn same_letters(lower: &str) -> String {
    lower.replace('ß', "ss").replace('ς', "σ")
}

/// The form in which a text is searched: as [`typed`], and without accents. ł, ø, đ and ı are l, o, d and i; й and ї stay
/// the letters that they are, ё is е.
pub fn loose(text: &str) -> String {
    searched(trimmed(text))
}

/// The same for a part of a text, whose outer blanks count.
pub fn searched(part: &str) -> String {
    if part.is_ascii() {
        return part.to_ascii_lowercase();
    }
    let apart: String = composed(part).chars().map(protected).nfkd().collect();
    let mut plain = String::with_capacity(apart.len());
    for c in apart.to_lowercase().chars().filter(|c| !is_mark(*c) && !is_invisible(*c)) {
        match c {
            'ß' => plain.push_str("ss"),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'þ' => plain.push_str("th"),
            'ς' => plain.push('σ'),
            'ł' => plain.push('l'),
            'ø' => plain.push('o'),
            'đ' | 'ð' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ŧ' => plain.push('t'),
            'ı' => plain.push('i'),
            'ŋ' => plain.push('n'),
            other => plain.push(other),
        }
    }
    plain
}

/// Letters of their own that only look like a letter with an accent: kept from being taken apart.
const fn protected(c: char) -> char {
    match c {
        'й' | 'Й' => '\u{e000}',
        'ї' | 'Ї' => '\u{e001}',
        'ў' | 'Ў' => '\u{e002}',
        'ѓ' | 'Ѓ' => '\u{e003}',
        'ќ' | 'Ќ' => '\u{e004}',
        other => other,
    }
}

/// What only joins, separates or turns the direction of letters, and soft hyphens.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Accents, and the vowel marks of Hebrew and Arabic.
const fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}'
            | '\u{5c7}' | '\u{64b}'..='\u{652}' | '\u{670}'
    )
}

/// A name as a part of an address, as far as it is written in Latin letters; without their accents.
pub fn slug(name: &str) -> String {
    let small = loose(name);
    let mut slug = String::new();
    for c in small.chars().take(60) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// What a record of this kind may be called in an address after its name, the best first: one that nobody has is as good. The last
/// is nobody else's.
pub fn slugs(name: &str, kind: &str, id: Id) -> Vec<String> {
    let own = Some(slug(name)).filter(|own| !own.is_empty()).unwrap_or_else(|| kind.to_owned());
    let id = id.to_string().to_lowercase();
    let unique = format!("{own}-{}", id.get(id.len().saturating_sub(6)..).unwrap_or_default());
    let numbered = (2..10).map(|number| format!("{own}-{number}"));
    std::iter::once(own.clone()).chain(numbered).chain([unique]).collect()
}

/// Where a text with the character U+0000, which no database keeps, stands in a value: a JSON pointer.
pub fn nul_at(value: &Value) -> Option<String> {
    let below = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1").replace('\0', "");
        nul_at(value).map(|rest| format!("/{key}{rest}"))
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| below(&at.to_string(), item)),
        Value::Object(members) => members.iter().find_map(|(key, member)| match key.contains('\0') {
            true => Some(String::new()),
            false => below(key, member),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slug_is_what_is_left_of_a_name() {
        assert_eq!(slug("Help Desk, Prague"), "help-desk-prague");
        assert_eq!(slug("Péče o zákazníky"), "pece-o-zakazniky");
        assert_eq!(slug("Поддержка"), "");
        assert_eq!(slug("  2nd line! "), "2nd-line");
    }

    #[test]
    fn what_no_database_keeps_is_found_at_its_place() {
        assert_eq!(nul_at(&json!({ "a": "x\0" })).as_deref(), Some("/a"));
        assert_eq!(nul_at(&json!({ "a": { "b/c": ["x", "y\0"] } })).as_deref(), Some("/a/b~1c/1"));
        assert_eq!(nul_at(&json!({ "a\0": 1 })).as_deref(), Some(""));
        assert_eq!(nul_at(&json!(["x", 1, null, { "a": "b" }])), None);
    }

    #[test]
    fn text_is_kept_composed() {
        assert_eq!(composed("Jose\u{301}"), "José");
        assert!(matches!(composed("José"), Cow::Borrowed(_)));
        let mut value = json!({ "cafe\u{301}": ["Jose\u{301}", 1, { "b": "Z\u{30c}" }] });
        compose(&mut value);
        assert_eq!(value, json!({ "café": ["José", 1, { "b": "Ž" }] }));
    }

    #[test]
    fn what_differs_in_case_and_outer_blanks_is_equal() {
        let same: &[(&str, &str)] = &[
            ("Санкт-Петербург", " санкт-петербург "),
            ("Anna", "\u{a0}ANNA\u{200b}"),
            ("José", "JOSE\u{301}"),
            ("Straße", "STRASSE"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("İzmir", "i\u{307}zmir"),
            ("עברית", "\u{200f}עברית\u{202c}"),
            ("👩‍🚒 Anna", "👩‍🚒 anna"),
        ];
        for (a, b) in same {
            assert_eq!(typed(a), typed(b), "{a} and {b}");
            assert_eq!(loose(a), loose(b), "{a} and {b}");
        }
        let apart: &[(&str, &str)] = &[
            ("José", "Jose"),
            ("Ёлкин", "Елкин"),
            ("Łódź", "Lodz"),
            ("ışık", "isik"),
            ("Žluťoučký", "zlutoucky"),
            ("Anna  Maria", "Anna Maria"),
        ];
        for (a, b) in apart {
            assert_ne!(typed(a), typed(b), "{a} and {b}");
        }
    }

    #[test]
    fn what_differs_in_accents_is_found() {
        let found: &[(&str, &str)] = &[
            ("Žluťoučký", "zlut"),
            ("Čeněk", "cenek"),
            ("Łódź", "lodz"),
            ("Işık", "ISIK"),
            ("Ёлкин", "елкин"),
            ("Straße", "strass"),
            ("Søren Ærø", "aero"),
            ("Anna\u{a0}Maria", "anna maria"),
            ("０６７", "067"),
            ("ﬁnn", "finn"),
            ("José", "e\u{301}"),
            ("שָׁלוֹם", "שלום"),
        ];
        for (text, part) in found {
            assert!(loose(text).contains(&searched(part)), "{part} in {text}: {} in {}", searched(part), loose(text));
        }
        let tags = BTreeSet::from(["VIP".to_owned(), "vip".to_owned(), "Žlutý".to_owned()]);
        assert_eq!(find(&tags, "vip").map(String::as_str), Some("vip"), "to the letter first");
        assert_eq!(find(&tags, " žlutý").map(String::as_str), Some("Žlutý"));
        assert_eq!(find(&tags, "zluty"), None);
        assert!(!loose("мой").contains(&searched("мои")));
        assert_eq!(searched(" an"), " an");
    }
}
