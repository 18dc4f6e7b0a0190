//! Where a text has what was searched for: the parts of it, those that match told from the others.

use std::{collections::BTreeSet, ops::Range};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    query::Wanted,
    stems::stems,
    words::{Word, numbers, words},
};

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Piece {
    /// The text itself, never markup.
    pub text: String,
    /// Whether it matches.
    pub hit: bool,
}

/// The places of a text that match, in order, none overlapping another.
fn places(text: &str, wanted: &[&Wanted]) -> Vec<Range<usize>> {
    let found: Vec<Word> = words(text).collect();
    let mut places: Vec<Range<usize>> = Vec::new();
    for wanted in wanted {
        match wanted {
            Wanted::Word(word, open) => {
                let forms: BTreeSet<String> = stems(word).into_iter().chain([word.clone()]).collect();
                let matches = |plain: &String| {
                    plain == word
                        || *open && plain.starts_with(word.as_str())
                        || forms.contains(plain)
                        || stems(plain).iter().any(|stem| forms.contains(stem))
                };
                places.extend(found.iter().filter(|word| matches(&word.plain)).map(|word| word.place.clone()));
            }
            Wanted::Person(words) => {
                let matches = |plain: &str| words.iter().any(|word| plain.starts_with(word.as_str()));
                places.extend(found.iter().filter(|word| matches(&word.plain)).map(|word| word.place.clone()));
            }
            Wanted::Phrase(phrase, open) => {
                let fits = |(index, (word, wanted)): (usize, (&Word, &String))| {
                    word.plain == *wanted
                        || *open && index + 1 == phrase.len() && word.plain.starts_with(wanted.as_str())
                };
                for run in found.windows(phrase.len().max(1)) {
                    if run.iter().zip(phrase).enumerate().all(fits) {
                        places.extend(run.iter().map(|word| word.place.clone()));
                    }
                }
            }
            Wanted::Phone(digits, typed) => {
                let same = |other: &str| {
                    let (short, long) =
                        if other.len() < digits.len() { (other, digits.as_str()) } else { (digits.as_str(), other) };
                    short.len() >= 6 && long.contains(short)
                };
                places
                    .extend(numbers(text).into_iter().filter(|number| same(&number.digits)).map(|number| number.place));
                places.extend(
                    found
                        .iter()
                        .filter(|word| typed == std::slice::from_ref(&word.plain))
                        .map(|word| word.place.clone()),
                );
            }
        }
    }
    places.sort_by_key(|place| (place.start, place.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for place in places {
        match apart.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => apart.push(place),
        }
    }
    apart
}

/// A text of at most about this many letters, with what matches told from the rest; longer ones are cut to where most of it matches.
/// `None` when nothing of it does.
pub fn marked(text: &str, wanted: &[&Wanted], letters: usize) -> Option<Vec<Piece>> {
    let places = places(text, wanted);
    let first = places.first()?;
    let within = if text.chars().count() <= letters { 0..text.len() } else { window(text, &places, first, letters) };
    let mut pieces = Vec::new();
    let mut add = |text: String, hit: bool| {
        if !text.is_empty() {
            pieces.push(Piece { text, hit });
        }
    };
    let mut at = within.start;
    let opening = if at > 0 { "…" } else { "" };
    let mut before = opening.to_owned();
    for place in places.iter().filter(|place| place.start >= within.start && place.end <= within.end) {
        before += &plain(&text[at..place.start]);
        add(std::mem::take(&mut before), false);
        add(plain(&text[place.clone()]), true);
        at = place.end;
    }
    before += &plain(&text[at..within.end]);
    if within.end < text.len() {
        before.push('…');
    }
    add(before, false);
    Some(pieces)
}

/// The beginning of a text, of at most about this many letters.
pub fn beginning(text: &str, letters: usize) -> Vec<Piece> {
    let end = text.char_indices().nth(letters).map(|(place, _)| place);
    let text = end.map_or_else(|| plain(text), |end| format!("{}…", plain(&text[..end]).trim_end()));
    if text.is_empty() { Vec::new() } else { vec![Piece { text, hit: false }] }
}

/// Blanks and ends of lines as one blank each.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || c.is_whitespace()) {
        match c.is_whitespace() {
            true if plain.ends_with(' ') => {}
            true => plain.push(' '),
            false => plain.push(c),
        }
    }
    plain
}

/// The part of a text in which most places are, from a little before the first of them, cut between words.
fn window(text: &str, places: &[Range<usize>], first: &Range<usize>, letters: usize) -> Range<usize> {
    let end_of =
        |start: usize| text[start..].char_indices().nth(letters).map_or(text.len(), |(place, _)| start + place);
    let counted = |start: &Range<usize>| {
        places.iter().filter(|place| place.start >= start.start && place.end <= end_of(start.start)).count()
    };
    let best = places.iter().take(50).fold((first, counted(first)), |best, place| match counted(place) {
        count if count > best.1 => (place, count),
        _ => best,
    });
    let lead = letters / 5;
    let start = text[..best.0.start].char_indices().rev().nth(lead).map_or(0, |(place, _)| place);
    let start = if start == 0 {
        0
    } else {
        text[start..best.0.start].find(char::is_whitespace).map_or(start, |place| start + place)
    };
    let end = end_of(start).max(best.0.end);
    let end = if end == text.len() {
        end
    } else {
        text[best.0.end..end].rfind(char::is_whitespace).map_or(end, |place| best.0.end + place)
    };
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::search::query::Query;

    fn shown(text: &str, asked: &str, letters: usize) -> Option<String> {
        let query = Query::parse(asked).unwrap();
        let pieces = marked(text, &query.sought().collect::<Vec<_>>(), letters)?;
        Some(
            pieces
                .iter()
                .map(|piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text.clone() })
                .collect(),
        )
    }

    #[test]
    fn what_matches_is_told_in_all_its_forms() {
        for (text, asked, expected) in [
            ("Dvě faktury za leden", "faktura", Some("Dvě [faktury] za leden")),
            ("Nová TISKÁRNA netiskne", "tiskarny", Some("Nová [TISKÁRNA] netiskne")),
            ("Рахунки за січень", "рахунків", Some("[Рахунки] за січень")),
            ("The printer is on fire, on ice", "\"on fire\"", Some("The printer is [on] [fire], on ice")),
            ("Call +420 777 123 456 today", "00420777123456", Some("Call [+420 777 123 456] today")),
            ("anna.novak@example.com", "nov", Some("anna.[novak]@example.com")),
            ("<b>bold</b> printers", "printer ", Some("<b>bold</b> [printers]")),
            ("Nothing of it", "printer", None),
        ] {
            assert_eq!(shown(text, asked, 200).as_deref(), expected, "{asked} in {text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_to_where_it_matches_and_between_words() {
        let text = format!("{} the printer\nprints {}", "before ".repeat(100), "after ".repeat(100));
        let found = shown(&text, "printer ", 60).unwrap();
        assert!(
            found.starts_with('…') && found.ends_with('…') && found.contains("the [printer] prints after"),
            "{found}"
        );
        assert!(found.chars().count() < 80, "{found}");
        assert_eq!(beginning("short", 10).len(), 1);
        assert_eq!(beginning("long enough", 4)[0].text, "long…");
    }

    #[test]
    fn pieces_together_are_the_text_whatever_it_is() {
        let texts =
            ["Příliš žluťoučký kůň 😀 e\u{301}", "日本語 printer", "Київ\u{a0}Київ, +380 67 123-45-67", "ẞ ß İ i̇"];
        for text in texts {
            for asked in ["kun", "printer", "київ", "0671234567", "ß", "i", "e"] {
                for letters in [3, 10, 1000] {
                    let query = Query::parse(asked).unwrap();
                    let Some(pieces) = marked(text, &query.sought().collect::<Vec<_>>(), letters) else { continue };
                    assert!(pieces.iter().any(|piece| piece.hit), "{asked} in {text}");
                    if letters == 1000 {
                        let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
                        assert_eq!(whole, plain(text));
                    }
                }
            }
        }
    }
}
