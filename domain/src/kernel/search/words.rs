//! The words of a text, and what an index keeps of them: `tsvector`s of PostgreSQL, made here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
};

use super::stems::stems;
use crate::kernel::{phone, text::searched};

/// Most letters of a word that count.
const LONGEST: usize = 64;
/// Most words of a text that count: PostgreSQL tells places no further apart.
const MOST: usize = 16_000;
/// Words in between that keep phrases within one attribute.
const GAP: usize = 16;
/// Fewest and most letters of a beginning that is kept beside a word of a name.
const BEGINNINGS: Range<usize> = 2..9;
/// Fewest and most letters of a word of a name that is found with a slip in it.
const SLIPS: Range<usize> = 4..25;
/// Fewest digits of a phone number in a text.
const PHONE: usize = 9;
/// Fewest digits by which the end of a phone number is found: of an attribute, and in a text.
const ENDS: (usize, usize) = (4, 7);
/// Most digits of a phone number (E.164).
const DIGITS: usize = 15;

/// Marks the stem of a word that is not the word itself.
pub(super) const STEM: char = '~';
/// Marks the beginning of a word of a name.
pub(super) const BEGINNING: char = '^';
/// Marks a word of a name as it is, and without one of its letters.
const SLIP: char = '?';
/// Marks a whole phone number, and the end of one.
pub(super) const WHOLE: char = '=';
/// See [`WHOLE`].
pub(super) const END: char = '#';

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Where it stands, in bytes.
    pub place: Range<usize>,
    /// Without accents and capitals.
    pub plain: String,
}

/// The words of a text, in its order: letters and digits, apostrophes within a word left out.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, first) = rest.next()?;
            if !first.is_alphanumeric() {
                continue;
            }
            let (mut end, mut letters) = (start + first.len_utf8(), String::from(first));
            while let Some(&(place, c)) = rest.peek() {
                let follows = || text[place + c.len_utf8()..].chars().next().is_some_and(char::is_alphabetic);
                if c.is_alphanumeric() || is_mark(c) {
                    letters.push(c);
                } else if !(matches!(c, '\'' | '’' | 'ʼ') && letters.ends_with(char::is_alphabetic) && follows()) {
                    break;
                }
                end = place + c.len_utf8();
                rest.next();
            }
            let plain: String = plain(&letters).chars().take(LONGEST).collect();
            if !plain.is_empty() {
                return Some(Word { place: start..end, plain });
            }
        }
    })
}

/// A word without accents and capitals.
pub(super) fn plain(word: &str) -> String {
    searched(word).chars().map(own_letter).filter(|c| c.is_alphanumeric()).collect()
}

/// Letters that [`searched`] keeps from being taken apart.
const fn own_letter(c: char) -> char {
    match c {
        '\u{e000}' => 'й',
        '\u{e001}' => 'ї',
        '\u{e002}' => 'ў',
        '\u{e003}' => 'ѓ',
        '\u{e004}' => 'ќ',
        other => other,
    }
}

/// Accents that stand beside their letter.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{670}')
}

/// A word as it is, and without each one of its letters. Two words of which one is the other with a slip (a letter more, less, or another
/// one, two of them swapped) have one of these in common. Numbers are told apart by every digit, so they have none.
pub(super) fn slips(word: &str) -> BTreeSet<String> {
    let letters: Vec<char> = word.chars().collect();
    if !SLIPS.contains(&letters.len()) || letters.iter().any(char::is_ascii_digit) {
        return BTreeSet::new();
    }
    let without = |place: usize| {
        let rest = letters.iter().enumerate().filter(|(at, _)| *at != place);
        [SLIP].into_iter().chain(rest.map(|(_, letter)| *letter)).collect()
    };
    (0..=letters.len()).map(without).collect()
}

/// A run of digits that may be a phone number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Where it stands, in bytes.
    pub place: Range<usize>,
    /// Its digits, without the `00` of an international number.
    pub digits: String,
}

/// What may be phone numbers in a text, in its order.
pub fn numbers(text: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let between = |c: char| matches!(c, ' ' | '\u{a0}' | '-' | '.' | '/' | '(' | ')' | '\u{2011}'..='\u{2013}');
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        if !first.is_ascii_digit() {
            continue;
        }
        let mut end = start + 1;
        while let Some(&(place, c)) = rest.peek() {
            match c {
                c if c.is_ascii_digit() => end = place + 1,
                c if between(c) => {}
                _ => break,
            }
            rest.next();
        }
        let start = if text[..start].ends_with('+') { start - 1 } else { start };
        let digits = phone::digits(&text[start..end]);
        if digits.len() <= DIGITS {
            found.push(Number { place: start..end, digits });
        }
    }
    found
}

/// How much a word counts where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// In what a record is called.
    A,
    /// In an address of somebody, a code.
    B,
    /// In another attribute.
    C,
    /// In what somebody wrote.
    D,
}

/// What is kept of the texts of a record, or of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    lexemes: BTreeMap<String, BTreeSet<(usize, Weight)>>,
    next: usize,
}

impl Index {
    /// Adds a text. Of what a record is called, beginnings of words are kept too, and by what they are found if they are mistyped.
    pub fn text(&mut self, text: &str, weight: Weight) {
        for word in words(text) {
            self.next += 1;
            if self.next > MOST {
                return;
            }
            if weight <= Weight::B {
                let letters: Vec<char> = word.plain.chars().collect();
                for end in BEGINNINGS.filter(|end| *end <= letters.len()) {
                    self.mark(&format!("{BEGINNING}{}", letters[..end].iter().collect::<String>()));
                }
            }
            if weight == Weight::A {
                slips(&word.plain).iter().for_each(|slip| self.mark(slip));
            }
            for stem in stems(&word.plain).into_iter().filter(|stem| *stem != word.plain) {
                self.lexemes.entry(format!("{STEM}{stem}")).or_default().insert((self.next, weight));
            }
            self.lexemes.entry(word.plain).or_default().insert((self.next, weight));
        }
        self.next += GAP;
        for number in numbers(text).into_iter().filter(|number| number.digits.len() >= PHONE) {
            self.digits(&number.digits, ENDS.1);
        }
    }

    /// Adds a phone number.
    pub fn phone(&mut self, number: &str) {
        self.text(number, Weight::B);
        let digits = phone::digits(number);
        if (3..=DIGITS).contains(&digits.len()) {
            self.digits(&digits, ENDS.0);
        }
    }

    fn digits(&mut self, digits: &str, least: usize) {
        self.mark(&format!("{WHOLE}{digits}"));
        for start in 0..=digits.len().saturating_sub(least) {
            self.mark(&format!("{END}{}", &digits[start..]));
        }
    }

    /// Adds a word that is none of a text.
    pub fn mark(&mut self, mark: &str) {
        self.lexemes.entry(mark.to_owned()).or_default();
    }

    /// As PostgreSQL reads a `tsvector`.
    pub fn tsvector(&self) -> String {
        let mut vector = String::new();
        for (lexeme, places) in &self.lexemes {
            if !vector.is_empty() {
                vector.push(' ');
            }
            vector += &quoted(lexeme);
            for (index, (place, weight)) in places.iter().take(255).enumerate() {
                let weight = match weight {
                    Weight::A => "A",
                    Weight::B => "B",
                    Weight::C => "C",
                    Weight::D => "",
                };
                let between = if index == 0 { ':' } else { ',' };
                // Writing to a string does not fail.
                let _ = write!(vector, "{between}{place}{weight}");
            }
        }
        vector
    }
}

/// A lexeme as it stands in a `tsvector` or `tsquery`.
pub fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).map(|word| word.plain).collect()
    }

    #[test]
    fn words_are_letters_and_digits_without_accents_and_capitals() {
        assert_eq!(all("Příliš žluťoučký kůň!"), ["prilis", "zlutoucky", "kun"]);
        assert_eq!(all("Комп’ютер не працює, don't"), ["компютер", "не", "працює", "dont"]);
        assert_eq!(all("Київ, йод, Ёлка"), ["київ", "йод", "елка"]);
        assert_eq!(all("anna.novak@example.com"), ["anna", "novak", "example", "com"]);
        assert_eq!(all(" 'quoted' -- A4/B5 "), ["quoted", "a4", "b5"]);
        for text in ["Ke\u{301}k", "日本語", "e\u{301}", "\u{301}"] {
            for word in words(text) {
                assert!(text.is_char_boundary(word.place.start) && text.is_char_boundary(word.place.end), "{text}");
            }
        }
    }

    #[test]
    fn phone_numbers_are_found_by_their_digits_in_every_spelling() {
        for text in ["+420 777 123 456", "call 00420777123456.", "(+420) 777-123-456", "tel. 420777123456"] {
            let found: Vec<_> = numbers(text).into_iter().map(|number| number.digits).collect();
            assert_eq!(found, ["420777123456"], "{text}");
            let mut index = Index::default();
            index.text(text, Weight::D);
            for lexeme in ["=420777123456", "#777123456", "#7123456"] {
                assert!(index.lexemes.contains_key(lexeme), "{text}: {lexeme}");
            }
        }
        assert_eq!(numbers("1 2 3 4 5 6 7 8 9 10 11 12 13"), [], "too many digits");
    }

    #[test]
    fn a_vector_is_quoted_weighted_and_placed() {
        let mut index = Index::default();
        index.text("Ab\\c o'clock", Weight::D);
        index.mark("it's");
        assert_eq!(index.tsvector(), "'ab':1 'c':2 'it''s' 'oclock':3 '~ocloc':3".replace(" '~ocloc':3", ""));
        let mut index = Index::default();
        index.text("Faktury", Weight::A);
        let vector = index.tsvector();
        assert!(vector.contains("'faktury':1A") && vector.contains("'~faktur':1A"), "{vector}");
        assert!(vector.contains("'^fa'") && vector.contains("'^faktury'"), "{vector}");
        assert!(vector.contains("'?faktury'") && vector.contains("'?faktry'"), "{vector}");
    }

    #[test]
    fn two_words_with_a_slip_between_them_have_something_in_common_and_others_have_nothing() {
        let alike = |one: &str, other: &str| !slips(one).is_disjoint(&slips(other));
        for mistyped in ["novakova", "novakowa", "novakva", "novvakova", "novaokva", "ovakova", "novakov"] {
            assert!(alike("novakova", mistyped) && alike(mistyped, "novakova"), "{mistyped}");
        }
        assert!(alike("рахунок", "рахунак") && alike("test", "text"));
        for other in ["nowakowa", "nova", "kovarova", "novotna"] {
            assert!(!alike("novakova", other), "{other}");
        }
        for other in ["2024", "2025", "ab", "rx7800"] {
            assert_eq!(slips(other), BTreeSet::new(), "{other}");
        }
    }
}
