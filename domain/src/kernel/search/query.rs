//! What somebody types to find something, read: words, "phrases", -exclusions, `field:value`, @people, numbers.
//!
//! Whatever is typed can be read: a quotation mark that is never closed ends with the text, and what is no field is words.

use super::{
    stems::stems,
    words::{BEGINNING, END, STEM, WHOLE, numbers, quoted, slips, words},
};
use crate::kernel::text::trimmed;

/// Most letters of a question.
pub const LONGEST: usize = 500;
/// Most terms of a question.
pub const MOST: usize = 20;
/// Fewest and most letters of a beginning that names are found by.
const BEGINNING_OF: std::ops::RangeInclusive<usize> = 2..=8;
/// Fewest letters of a beginning that any word is found by.
const ANYWHERE: usize = 4;
/// Fewest digits of what may be a phone number or the end of one.
const PHONE: usize = 6;

/// Whether what is found must or must not have it.
pub type Excluded = bool;

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words and the like: all of them.
    pub terms: Vec<Term>,
    /// Conditions on attributes: all of them.
    pub fields: Vec<Field>,
}

/// Something that is, or is not, to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether it is not to be there.
    pub excluded: Excluded,
    /// What.
    pub wanted: Wanted,
}

/// What is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A word, in any of its forms; whoever is still typing wants whatever begins with it.
    Word(String, bool),
    /// Words one after the other, to the letter; see above of the last.
    Phrase(Vec<String>, bool),
    /// Digits of a phone number, and the words that they were typed in.
    Phone(String, Vec<String>),
    /// Somebody of whose name or address these are beginnings.
    Person(Vec<String>),
}

/// A condition on an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Whether it is not to hold.
    pub excluded: Excluded,
    /// The attribute, as it was typed.
    pub name: String,
    /// What it is compared with, `>` and the like before it.
    pub value: String,
}

/// Why a text is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is nothing to search for.
    Empty,
    /// It is too long.
    TooLong,
}

/// A part of a question as it was typed.
struct Typed<'a> {
    excluded: Excluded,
    /// What stands before a colon.
    name: Option<&'a str>,
    person: bool,
    text: &'a str,
    quoted: bool,
    /// Whether anything stands behind it.
    done: bool,
}

/// Takes a text apart.
fn taken_apart(text: &str) -> Vec<Typed<'_>> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let excluded = rest.starts_with('-') && rest[1..].starts_with(|c: char| !c.is_whitespace() && c != '-');
        if excluded {
            rest = &rest[1..];
        }
        let person = rest.starts_with('@') && rest.len() > 1;
        if person {
            rest = &rest[1..];
        }
        let name = if person { None } else { name_before_colon(rest) };
        if let Some(name) = name {
            rest = &rest[name.len() + 1..];
        }
        let (text, quoted, after) = match rest.strip_prefix('"') {
            Some(inner) => match inner.find('"') {
                Some(end) => (&inner[..end], true, &inner[end + 1..]),
                None => (inner, true, ""),
            },
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (&rest[..end], false, &rest[end..])
            }
        };
        let done = !after.is_empty();
        parts.push(Typed { excluded, name, person, text, quoted, done });
        rest = after.trim_start();
    }
    parts
}

/// The name of an attribute, where a value follows it.
fn name_before_colon(text: &str) -> Option<&str> {
    let (name, value) = text.split_once(':')?;
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    let follows = value.starts_with(|c: char| !c.is_whitespace()) && !value.starts_with("//");
    (sound && follows).then_some(name)
}

impl Query {
    /// Reads what was typed.
    ///
    /// # Errors
    /// When there is nothing to search for, or too much.
    pub fn parse(text: &str) -> Result<Query, Unfit> {
        if text.chars().count() > LONGEST {
            return Err(Unfit::TooLong);
        }
        let parts = taken_apart(text);
        let mut query = Query::default();
        let mut index = 0;
        while let Some(part) = parts.get(index) {
            index += 1;
            if let Some(name) = part.name {
                let value = trimmed(part.text).to_owned();
                if !value.is_empty() {
                    let (excluded, name) = (part.excluded, name.to_lowercase());
                    query.fields.push(Field { excluded, name, value });
                }
                continue;
            }
            let typed: Vec<String> = words(part.text).map(|word| word.plain).collect();
            if typed.is_empty() {
                continue;
            }
            let open = !part.done && !part.quoted && !part.excluded;
            let wanted = if part.person {
                Wanted::Person(typed)
            } else if let Some((digits, taken)) = phone_at(&parts[index - 1..]) {
                index += taken - 1;
                let typed = parts[index - taken..index].iter().flat_map(|part| words(part.text));
                Wanted::Phone(digits, typed.map(|word| word.plain).collect())
            } else {
                match <[String; 1]>::try_from(typed) {
                    Ok([word]) => Wanted::Word(word, open),
                    Err(typed) => Wanted::Phrase(typed, open),
                }
            };
            query.terms.push(Term { excluded: part.excluded, wanted });
        }
        let sought = query.fields.len() + query.terms.iter().filter(|term| !term.excluded).count();
        if query.terms.len() + query.fields.len() > MOST {
            return Err(Unfit::TooLong);
        }
        if sought == 0 { Err(Unfit::Empty) } else { Ok(query) }
    }

    /// The number that was typed, if nothing else was: of a ticket or an order.
    pub fn number(&self) -> Option<u64> {
        let [Term { excluded: false, wanted }] = self.terms.as_slice() else { return None };
        let typed = match wanted {
            Wanted::Word(word, _) => word,
            Wanted::Phone(_, words) if words.len() == 1 => &words[0],
            _ => return None,
        };
        typed.parse().ok().filter(|number| i64::try_from(*number).is_ok())
    }

    /// What must be there.
    pub fn sought(&self) -> impl Iterator<Item = &Wanted> {
        self.terms.iter().filter(|term| !term.excluded).map(|term| &term.wanted)
    }

    /// What must not be there.
    pub fn unwanted(&self) -> impl Iterator<Item = &Wanted> {
        self.terms.iter().filter(|term| term.excluded).map(|term| &term.wanted)
    }

    /// Whether people alone are searched for.
    pub fn is_for_people(&self) -> bool {
        self.sought().any(|wanted| matches!(wanted, Wanted::Person(_)))
    }
}

/// A phone number that begins here, and how many parts it takes: `+420 777 123 456` is one.
fn phone_at(parts: &[Typed<'_>]) -> Option<(String, usize)> {
    let is_plain = |part: &&Typed<'_>| part.name.is_none() && !part.person && !part.quoted;
    let is_digits = |part: &&Typed<'_>| {
        part.text.chars().any(|c| c.is_ascii_digit())
            && part.text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | '/' | '(' | ')'))
    };
    let first = parts.first().filter(is_plain).filter(is_digits)?;
    let further = parts[1..].iter().take_while(|part| is_plain(part) && is_digits(part) && !part.excluded);
    let taken = 1 + further.take_while(|part| !part.text.starts_with('+')).count();
    let text: Vec<&str> = parts[..taken].iter().map(|part| part.text).collect();
    let found = numbers(&text.join(" "));
    match found.as_slice() {
        [number] if number.digits.len() >= PHONE => Some((number.digits.clone(), taken)),
        _ => {
            let alone = numbers(first.text);
            let [number] = alone.as_slice() else { return None };
            (number.digits.len() >= PHONE).then(|| (number.digits.clone(), 1))
        }
    }
}

/// A word in all forms that have a stem in common with it.
fn any_form(word: &str) -> Vec<String> {
    let mut forms = vec![quoted(word), quoted(&format!("{STEM}{word}"))];
    for stem in stems(word).into_iter().filter(|stem| stem != word) {
        forms.push(quoted(&stem));
        forms.push(quoted(&format!("{STEM}{stem}")));
    }
    forms
}

/// A word as a beginning of those of a name.
fn beginning(word: &str) -> String {
    let letters = word.chars().count();
    if BEGINNING_OF.contains(&letters) { quoted(&format!("{BEGINNING}{word}")) } else { quoted(word) }
}

impl Wanted {
    /// As PostgreSQL reads a `tsquery`. `spellings` tells in which other ways a phone number is written; `widely`, what begins with
    /// the last word is looked for in all texts, which takes longer.
    pub fn tsquery(&self, spellings: &dyn Fn(&str) -> Vec<String>, widely: bool) -> String {
        let any = |forms: Vec<String>| format!("({})", forms.join(" | "));
        match self {
            Wanted::Word(word, open) => {
                let mut forms = any_form(word);
                if *open {
                    forms.push(beginning(word));
                    if widely && word.chars().count() >= ANYWHERE {
                        forms.push(format!("{}:*", quoted(word)));
                    }
                }
                any(forms)
            }
            Wanted::Phrase(words, open) => {
                let last = words.len().saturating_sub(1);
                let each = words.iter().enumerate().map(|(index, word)| match index == last && *open && widely {
                    true => format!("{}:*", quoted(word)),
                    false => quoted(word),
                });
                any(vec![each.collect::<Vec<_>>().join(" <-> ")])
            }
            Wanted::Phone(digits, words) => {
                let typed: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                let mut forms = vec![typed.join(" <-> "), quoted(&format!("{END}{digits}"))];
                forms.extend(spellings(digits).iter().map(|digits| quoted(&format!("{WHOLE}{digits}"))));
                if widely {
                    forms.push(format!("{}:*", quoted(&format!("{END}{digits}"))));
                }
                any(forms)
            }
            Wanted::Person(words) => {
                let each: Vec<String> = words.iter().map(|word| any(vec![quoted(word), beginning(word)])).collect();
                each.join(" & ")
            }
        }
    }

    /// The same of names in which a word of it is mistyped; none where no word of it can be told from others if it is, and of what is meant to
    /// the letter.
    pub fn tsquery_of_similar(&self) -> Option<String> {
        if !matches!(self, Wanted::Word(..) | Wanted::Person(_)) {
            return None;
        }
        let mut is_looser = false;
        let each = self.words().iter().map(|word| {
            let slips = slips(word);
            is_looser |= !slips.is_empty();
            let forms = if slips.is_empty() { any_form(word) } else { slips.iter().map(|slip| quoted(slip)).collect() };
            format!("({})", forms.join(" | "))
        });
        let each: Vec<String> = each.collect();
        is_looser.then(|| each.join(" & "))
    }

    /// The words that it consists of.
    pub fn words(&self) -> &[String] {
        match self {
            Wanted::Word(word, _) => std::slice::from_ref(word),
            Wanted::Phrase(words, _) | Wanted::Phone(_, words) | Wanted::Person(words) => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, open: bool) -> Term {
        Term { excluded: false, wanted: Wanted::Word(text.into(), open) }
    }

    #[test]
    fn words_phrases_exclusions_fields_and_people_are_told_apart() {
        let query = Query::parse("Printer \"on  Fire\" -noise status:open -product:\"Big Box\" @anna tisk").unwrap();
        assert_eq!(query.terms[0], word("printer", false));
        assert_eq!(query.terms[1].wanted, Wanted::Phrase(vec!["on".into(), "fire".into()], false));
        assert_eq!(query.terms[2], Term { excluded: true, wanted: Wanted::Word("noise".into(), false) });
        assert_eq!(query.terms[3].wanted, Wanted::Person(vec!["anna".into()]));
        assert_eq!(query.terms[4], word("tisk", true));
        let field = |excluded, name: &str, value: &str| Field { excluded, name: name.into(), value: value.into() };
        assert_eq!(query.fields, [field(false, "status", "open"), field(true, "product", "Big Box")]);
        assert!(query.is_for_people());
    }

    #[test]
    fn phone_numbers_are_one_term_in_every_spelling() {
        for text in ["+420 777 123 456", "00420777123456", "+420-777-123-456", "(+420) 777 123 456"] {
            let query = Query::parse(text).unwrap();
            let [Term { wanted: Wanted::Phone(digits, _), .. }] = query.terms.as_slice() else { panic!("{query:?}") };
            assert_eq!(digits, "420777123456", "{text}");
        }
        let query = Query::parse("novak 777123456 brno").unwrap();
        assert_eq!(query.terms.len(), 3);
        assert_eq!(Query::parse("#1234").unwrap().number(), Some(1234));
        assert_eq!(Query::parse("1234567").unwrap().number(), Some(1_234_567));
        assert_eq!(Query::parse("1234 x").unwrap().number(), None);
    }

    #[test]
    fn only_what_asks_for_nothing_or_too_much_is_refused() {
        for text in ["", "  ", "\"\"", "-x", "--", "@", "?!"] {
            assert_eq!(Query::parse(text), Err(Unfit::Empty), "{text}");
        }
        assert_eq!(Query::parse(&"x".repeat(501)), Err(Unfit::TooLong));
        assert_eq!(Query::parse(&"x ".repeat(21)), Err(Unfit::TooLong));
        assert_eq!(Query::parse("\"never closed").unwrap().terms.len(), 1);
        assert_eq!(Query::parse("http://example.com").unwrap().fields, []);
        assert_eq!(Query::parse("Re: hello").unwrap().fields, []);
    }

    /// Texts of everything that has a meaning, by chance; the same ones every time.
    fn random_texts() -> impl Iterator<Item = String> {
        const PARTS: &[&str] = &[
            "\"", "-", "@", ":", " ", " ", "status", "to", "'", "\\", "é", "ůž", "Київ", "+", "420", "777", "123456",
            "(", ")", "&", "|", "!", "<->", "*", "\u{301}", "😀", ".", "a", "b4", "//", "\u{0}", "ß", "İ", "\t",
        ];
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut next = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        std::iter::repeat_with(move || (0..next(12)).map(|_| PARTS[next(PARTS.len())]).collect())
    }

    #[test]
    fn whatever_is_typed_is_read_and_asks_for_nothing_but_its_words() {
        for text in random_texts().take(20_000) {
            let Ok(query) = Query::parse(&text) else { continue };
            let all: Vec<String> = words(&text).map(|word| word.plain).collect();
            for term in &query.terms {
                assert!(!term.wanted.words().is_empty(), "{text:?}");
                for word in term.wanted.words() {
                    assert!(all.contains(word), "{text:?}: {word}");
                }
                for widely in [false, true] {
                    let written = term.wanted.tsquery(&|digits| vec![digits.to_owned()], widely);
                    // Outside of quotes stand operators alone, and every quote is closed.
                    let outside: String = written.split('\'').step_by(2).collect();
                    assert!(outside.chars().all(|c| "()|&<->:* ".contains(c)), "{text:?}: {written}");
                    assert_eq!(written.matches('\'').count() % 2, 0, "{text:?}: {written}");
                }
            }
            // What is said twice with blanks in between is read as the same.
            let blanks = text.replace(' ', "  ");
            assert_eq!(Query::parse(&blanks), Ok(query), "{text:?}");
        }
    }

    #[test]
    fn a_question_written_anew_is_read_as_the_same() {
        for text in random_texts().take(20_000) {
            let Ok(query) = Query::parse(&text) else { continue };
            let mut written: Vec<String> = Vec::new();
            for Field { excluded, name, value } in &query.fields {
                if value.contains('"') {
                    continue;
                }
                written.push(format!("{}{name}:\"{value}\"", if *excluded { "-" } else { "" }));
            }
            for Term { excluded, wanted } in &query.terms {
                let sign = if *excluded { "-" } else { "" };
                written.push(match wanted {
                    Wanted::Word(word, _) => format!("{sign}{word}"),
                    Wanted::Phrase(words, _) => format!("{sign}\"{}\"", words.join(" ")),
                    Wanted::Person(words) => format!("{sign}@\"{}\"", words.join(" ")),
                    Wanted::Phone(digits, _) => format!("{sign}+{digits}"),
                });
            }
            let Ok(again) = Query::parse(&format!("{} ", written.join(" "))) else { continue };
            let count = |query: &Query| query.terms.iter().filter(|term| term.excluded).count();
            assert_eq!(count(&again), count(&query), "{text:?}: {written:?}");
        }
    }
}
