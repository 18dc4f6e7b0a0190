//! What pages say, in the languages that they speak; one file of texts each.

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use unic_langid::LanguageIdentifier;

/// A language that pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Czech.
    Czech,
    /// Ukrainian.
    Ukrainian,
    /// Russian.
    Russian,
    /// Lithuanian.
    Lithuanian,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 5] =
        [Language::English, Language::Czech, Language::Ukrainian, Language::Russian, Language::Lithuanian];

    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Czech => "cs",
            Language::Ukrainian => "uk",
            Language::Russian => "ru",
            Language::Lithuanian => "lt",
        }
    }

    /// What it is called by those who speak it.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Czech => "Čeština",
            Language::Ukrainian => "Українська",
            Language::Russian => "Русский",
            Language::Lithuanian => "Lietuvių",
        }
    }

    /// The language that a tag such as `cs-CZ` means.
    pub fn of_tag(tag: &str) -> Option<Language> {
        let primary = tag.trim().split(['-', '_']).next()?;
        Language::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The language of whoever looks: what was chosen, first things first, else the best of `Accept-Language`.
    pub fn chosen(chosen: &[Option<&str>], accepted: &str) -> Language {
        let chosen = chosen.iter().flatten().find_map(|tag| Language::of_tag(tag));
        chosen.or_else(|| Language::accepted(accepted)).unwrap_or_default()
    }

    fn accepted(header: &str) -> Option<Language> {
        let mut best: Option<(f32, Language)> = None;
        for part in header.split(',') {
            let (tag, rest) = part.split_once(';').unwrap_or((part, ""));
            let quality = rest.trim().strip_prefix("q=").map_or(Some(1.0), |quality| quality.trim().parse().ok());
            let (Some(language), Some(quality)) = (Language::of_tag(tag), quality) else { continue };
            // Of two that are as welcome, the first.
            if quality > best.map_or(0.0, |(quality, _)| quality) {
                best = Some((quality, language));
            }
        }
        best.map(|(_, language)| language)
    }

    fn source(self) -> &'static str {
        match self {
            Language::English => include_str!("../texts/en.ftl"),
            Language::Czech => include_str!("../texts/cs.ftl"),
            Language::Ukrainian => include_str!("../texts/uk.ftl"),
            Language::Russian => include_str!("../texts/ru.ftl"),
            Language::Lithuanian => include_str!("../texts/lt.ftl"),
        }
    }

    /// The texts of the API's own words, such as `state-open`; English has none, since they are words already.
    fn words(self) -> &'static str {
        match self {
            Language::English => "",
            Language::Czech => include_str!("../texts/words/cs.ftl"),
            Language::Ukrainian => include_str!("../texts/words/uk.ftl"),
            Language::Russian => include_str!("../texts/words/ru.ftl"),
            Language::Lithuanian => include_str!("../texts/words/lt.ftl"),
        }
    }

    /// The API's words of a family (`state`, `command`, `field` or `event`) with what people call them.
    pub(crate) fn words_of(self, family: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let lines = self.words().lines().filter_map(|line| line.split_once(" = "));
        lines.filter(move |(name, _)| name.split_once('-').is_some_and(|(of, _)| of == family))
    }

    /// What people call a word of the API's: a state, a command, a field or an event of records. In English it is the word itself,
    /// made readable; `None` where a language has no text of it.
    pub fn word(self, family: &str, name: &str) -> Option<String> {
        if self == Language::English {
            return Some(name.replace('_', " "));
        }
        let wanted = format!("{family}-{name}");
        self.words_of(family).find(|(known, _)| *known == wanted).map(|(_, text)| text.to_owned())
    }

    fn bundle(self) -> Option<&'static FluentBundle<FluentResource>> {
        BUNDLES.iter().find(|(language, _)| *language == self).map(|(_, bundle)| bundle)
    }

    /// The text of this name.
    pub(crate) fn say(self, name: &str) -> String {
        self.say_with(name, &[])
    }

    /// One of a family of texts.
    pub(crate) fn say_of(self, family: &str, name: &str) -> String {
        self.say(&format!("{family}-{name}"))
    }

    /// Whether there is a text of this name in a family.
    pub fn has(self, family: &str, name: &str) -> bool {
        self.bundle().is_some_and(|bundle| bundle.has_message(&format!("{family}-{name}")))
    }

    /// The text of this name with values in it.
    pub(crate) fn say_with(self, name: &str, values: &[(&str, &str)]) -> String {
        self.formatted(name, values.iter().map(|(name, value)| (*name, FluentValue::from(*value))).collect())
    }

    /// The text of this name for so many.
    pub(crate) fn count(self, name: &str, count: u32) -> String {
        self.formatted(name, [("count", FluentValue::from(count))].into_iter().collect())
    }

    fn formatted(self, name: &str, values: FluentArgs<'_>) -> String {
        let Some((bundle, message)) = self.bundle().and_then(|bundle| Some((bundle, bundle.get_message(name)?))) else {
            return name.to_owned();
        };
        let Some(pattern) = message.value() else { return name.to_owned() };
        bundle.format_pattern(pattern, Some(&values), &mut Vec::new()).into_owned()
    }
}

/// Text as a value in an address.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

static BUNDLES: LazyLock<Vec<(Language, FluentBundle<FluentResource>)>> = LazyLock::new(|| {
    Language::ALL
        .into_iter()
        .map(|language| {
            let tag: LanguageIdentifier = language.tag().parse().unwrap_or_default();
            let mut bundle = FluentBundle::new_concurrent(vec![tag]);
            // All of them are written from left to right.
            bundle.set_use_isolating(false);
            let resource = FluentResource::try_new(language.source().to_owned());
            bundle.add_resource_overriding(resource.unwrap_or_else(|(sound, _)| sound));
            (language, bundle)
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
    };

    use super::*;

    /// Each text with the names of the values in it.
    fn texts(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let mut texts = BTreeMap::new();
        let mut current = String::new();
        for line in language.source().lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line.split_once(" =").filter(|_| !line.starts_with([' ', '}'])) {
                assert!(texts.insert(name.to_owned(), BTreeSet::new()).is_none(), "{language:?}: {name} twice");
                current = name.to_owned();
            }
            for value in line.split('$').skip(1) {
                let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
                texts.get_mut(&current).unwrap().insert(value[..end].to_owned());
            }
        }
        texts
    }

    #[test]
    fn every_language_has_every_text_with_the_same_values() {
        let english = texts(Language::English);
        assert!(english.len() > 100);
        for language in Language::ALL {
            assert!(FluentResource::try_new(language.source().to_owned()).is_ok(), "{language:?} cannot be read");
            let own = texts(language);
            let missing: Vec<_> = english.keys().filter(|name| !own.contains_key(*name)).collect();
            let more: Vec<_> = own.keys().filter(|name| !english.contains_key(*name)).collect();
            assert!(missing.is_empty() && more.is_empty(), "{language:?} lacks {missing:?}, has {more:?} too many");
            for (name, values) in &english {
                assert_eq!(&own[name], values, "{language:?}: {name}");
                assert!(!language.say(name).trim().is_empty(), "{language:?}: {name}");
            }
        }
    }

    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                let text = fs::read_to_string(path).unwrap();
                found.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }

    #[test]
    fn every_text_is_used_and_every_text_used_is_there() {
        let mut source = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut source);
        let mut used = BTreeSet::new();
        for call in ["say(\"", "say_with(\"", "count(\""] {
            used.extend(source.split(call).skip(1).filter_map(|rest| rest.split('"').next()).map(ToOwned::to_owned));
        }
        for (of, names) in crate::parts::FAMILIES.iter().chain(crate::parts::DRAWN) {
            used.extend(names.iter().map(|name| format!("{of}-{name}")));
        }
        let known: BTreeSet<_> = texts(Language::English).into_keys().collect();
        let unknown: Vec<_> = used.difference(&known).collect();
        let unused: Vec<_> = known.difference(&used).collect();
        assert!(unknown.is_empty() && unused.is_empty(), "unknown: {unknown:?}, unused: {unused:?}");
    }

    #[test]
    fn every_language_has_the_same_words_of_the_api() {
        let words = |language: Language| {
            let resource = FluentResource::try_new(language.words().to_owned());
            assert!(resource.is_ok(), "{language:?} cannot be read");
            let families = ["state", "command", "field", "event"];
            let words: Vec<_> = families.iter().flat_map(|family| language.words_of(family)).collect();
            let lines = language.words().lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
            assert_eq!(words.len(), lines, "{language:?} has lines that are no words");
            assert!(
                words.iter().all(|(_, text)| !text.trim().is_empty() && !text.contains(['{', '}'])),
                "{language:?}"
            );
            let names: BTreeSet<_> = words.iter().map(|(name, _)| *name).collect();
            assert_eq!(names.len(), lines, "{language:?} has a word twice");
            names
        };
        let czech = words(Language::Czech);
        assert!(czech.len() > 500, "{}", czech.len());
        for language in Language::ALL.into_iter().filter(|language| *language != Language::English) {
            let own = words(language);
            let differing: Vec<_> = czech.symmetric_difference(&own).collect();
            assert!(differing.is_empty(), "{language:?}: {differing:?}");
        }
        assert_eq!(Language::English.word("command", "change_owner").as_deref(), Some("change owner"));
        assert_eq!(Language::Czech.word("command", "change_owner").as_deref(), Some("změnit vlastníka"));
        assert_eq!(Language::Czech.word("command", "fly"), None);
    }

    #[test]
    fn the_person_chooses_first_and_the_browser_after() {
        let chosen = Language::chosen;
        assert_eq!(chosen(&[Some("cs-CZ"), Some("lt")], "ru"), Language::Czech);
        assert_eq!(chosen(&[Some("de"), Some("lt")], "ru"), Language::Lithuanian);
        assert_eq!(chosen(&[None, None], "de, uk;q=0.5, lt;q=0.8"), Language::Lithuanian);
        assert_eq!(chosen(&[None], "cs;q=0, *;q=0.1"), Language::English);
        assert_eq!(chosen(&[], "RU-ru"), Language::Russian);
    }

    #[test]
    fn numbers_take_the_form_that_the_language_gives_them() {
        let forms = |language: Language| [1, 2, 11].map(|count| language.count("recovery-left", count));
        for language in Language::ALL {
            let [one, few, many] = forms(language);
            assert!(one.contains('1') && few.contains('2') && many.contains("11"), "{one} {few} {many}");
            let slavic = !matches!(language, Language::English);
            assert_eq!(few.replace('2', "") != many.replace("11", ""), slavic, "{few} {many}");
        }
    }
}
