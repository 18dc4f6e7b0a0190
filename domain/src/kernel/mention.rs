//! Colleagues who are named in a text with an `@` before: by name, address, or id.

use std::collections::BTreeSet;

use crate::Id;

/// Somebody who may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person<'a> {
    /// Who.
    pub id: Id,
    /// The full name.
    pub name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
}

/// Whether a text names anybody at all.
pub fn mentions_anybody(text: &str) -> bool {
    places(text).next().is_some()
}

/// Those of these people whom a text names: `@[id]`, `@Anna Berg`, `@anna.berg@example.com`, `@anna.berg`, or `@Anna` where no other
/// is called so. The longest name that fits counts; what fits several people names none of them.
pub fn mentioned(text: &str, people: &[Person<'_>]) -> BTreeSet<Id> {
    places(text).filter_map(|rest| named(rest, people)).collect()
}

/// What follows each `@` that begins a word: one within a word is part of an address.
fn places(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('@').filter_map(|(at, _)| {
        let within = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let rest = &text[at + 1..];
        let begins = rest.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '[');
        (!within && begins).then_some(rest)
    })
}

fn named(rest: &str, people: &[Person<'_>]) -> Option<Id> {
    if let Some(picked) = rest.strip_prefix('[') {
        let id: Id = picked.split_once(']')?.0.parse().ok()?;
        return people.iter().any(|person| person.id == id).then_some(id);
    }
    let mut longest = 0;
    let mut who = BTreeSet::new();
    for person in people {
        let handle = person.email.split('@').next().unwrap_or_default();
        let first = person.name.split_whitespace().next().unwrap_or_default();
        let fits = [person.name.trim(), person.email, handle, first].into_iter().filter_map(|key| begins(rest, key));
        let Some(length) = fits.max() else { continue };
        if length > longest {
            longest = length;
            who.clear();
        }
        if length == longest {
            who.insert(person.id);
        }
    }
    who.pop_first().filter(|_| who.is_empty())
}

/// How many bytes of a text a name takes with which it begins, whatever the case; `None` where it does not, or goes on as another
/// word.
fn begins(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars().flat_map(char::to_lowercase);
    let mut left = wanted.next()?;
    for (at, letter) in text.char_indices() {
        for lower in letter.to_lowercase() {
            if lower != left {
                return None;
            }
            let end = at + letter.len_utf8();
            match wanted.next() {
                Some(next) => left = next,
                None => return ends(&text[end..]).then_some(end),
            }
        }
    }
    None
}

/// Whether a word ends before this.
fn ends(rest: &str) -> bool {
    let mut letters = rest.chars();
    match letters.next() {
        Some('.' | '@' | '-' | '+') => !letters.next().is_some_and(char::is_alphanumeric),
        Some(next) => !next.is_alphanumeric() && next != '_',
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Person<'_> = Person { id: Id::from_bits(1), name: "Anna Berg", email: "a.berg@example.com" };
    const ANNE: Person<'_> = Person { id: Id::from_bits(2), name: "Anna Bergmann", email: "anne@example.com" };
    const JURGIS: Person<'_> = Person { id: Id::from_bits(3), name: "Jurgis Žukas", email: "jurgis@example.com" };

    fn of(text: &str) -> Vec<Id> {
        mentioned(text, &[ANNA, ANNE, JURGIS]).into_iter().collect()
    }

    #[test]
    fn a_colleague_is_named_by_name_address_or_id() {
        assert_eq!(of("@Anna Berg, please look"), [ANNA.id]);
        assert_eq!(of("ask @anna bergmann."), [ANNE.id]);
        assert_eq!(of("(@a.berg@example.com) and @JURGIS ŽUKAS"), [ANNA.id, JURGIS.id]);
        assert_eq!(of("@a.berg: done. @jurgis!"), [ANNA.id, JURGIS.id]);
        assert_eq!(of(&format!("@[{}] @[{}]", ANNE.id, Id::from_bits(9))), [ANNE.id]);
    }

    #[test]
    fn what_is_not_clear_names_nobody() {
        assert!(of("@Anna").is_empty(), "two are called so");
        assert!(of("write to jurgis@jurgis.example").is_empty());
        assert!(of("@jurgis.other and @jurgisson and @ jurgis and @").is_empty());
        assert!(of("@[").is_empty());
        assert!(!mentions_anybody("a@b.example @") && mentions_anybody("hello @x"));
    }
}
