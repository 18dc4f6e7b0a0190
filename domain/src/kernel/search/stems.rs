//! What inflected words have in common, in the languages that people write here: light stemmers, which take endings off and no
//! more. A text does not say in which language it is, so every stemmer of its script has a look at a word.

use std::collections::BTreeSet;

/// Fewest letters of a stem.
const LEAST: usize = 3;

/// Endings of Czech nouns and adjectives, without accents, longest first.
const CZECH: &[&str] = &[
    "atech", "etem", "ych", "ich", "eho", "iho", "emu", "imu", "ymi", "imi", "ami", "emi", "ach", "ech", "ata", "aty",
    "ama", "ove", "ovi", "ete", "eti", "em", "um", "am", "im", "ym", "ou", "mi", "os", "at", "es", "us", "a", "e", "i",
    "o", "u", "y",
];
/// Endings of Lithuanian nouns and adjectives, without accents, longest first.
const LITHUANIAN: &[&str] = &[
    "iuose", "iomis", "iams", "iais", "iaus", "uose", "omis", "emis", "imis", "umis", "iose", "ioms", "yse", "ose",
    "ese", "oje", "eje", "yje", "uje", "ams", "oms", "ems", "ims", "ums", "ais", "iai", "iui", "iam", "iu", "io", "ia",
    "ie", "us", "os", "es", "as", "is", "ys", "ai", "ei", "ui", "am", "om", "a", "e", "i", "o", "u", "y",
];
/// Endings of Russian words, longest first.
const RUSSIAN: &[&str] = &[
    "иями",
    "ается",
    "уется",
    "ями",
    "ами",
    "иях",
    "ыми",
    "ими",
    "ого",
    "его",
    "ому",
    "ему",
    "ует",
    "уют",
    "ешь",
    "ете",
    "ает",
    "яет",
    "ают",
    "яют",
    "ала",
    "али",
    "ало",
    "ила",
    "или",
    "ило",
    "ить",
    "ать",
    "ять",
    "еть",
    "ием",
    "иям",
    "ией",
    "ая",
    "яя",
    "ое",
    "ее",
    "ые",
    "ие",
    "ый",
    "ий",
    "ой",
    "ей",
    "ую",
    "юю",
    "ом",
    "ем",
    "ым",
    "им",
    "ых",
    "их",
    "ях",
    "ах",
    "ям",
    "ам",
    "ов",
    "ев",
    "ия",
    "ию",
    "ии",
    "ью",
    "ет",
    "ит",
    "ут",
    "ют",
    "ат",
    "ят",
    "ал",
    "ил",
    "а",
    "е",
    "и",
    "й",
    "о",
    "у",
    "ы",
    "ь",
    "ю",
    "я",
];
/// Endings of Ukrainian words, longest first.
const UKRAINIAN: &[&str] = &[
    "ується",
    "ється",
    "ями",
    "ами",
    "ові",
    "еві",
    "єві",
    "ого",
    "ому",
    "ими",
    "іми",
    "ують",
    "уєте",
    "ати",
    "яти",
    "ити",
    "іти",
    "ала",
    "али",
    "ало",
    "ила",
    "или",
    "ило",
    "ють",
    "уть",
    "ять",
    "ать",
    "ією",
    "ань",
    "ень",
    "ів",
    "їв",
    "ах",
    "ях",
    "ам",
    "ям",
    "ою",
    "ею",
    "єю",
    "ій",
    "ий",
    "ії",
    "ію",
    "ия",
    "их",
    "іх",
    "им",
    "ім",
    "ом",
    "ем",
    "єм",
    "ої",
    "ає",
    "ує",
    "ив",
    "ав",
    "ть",
    "у",
    "ю",
    "а",
    "я",
    "о",
    "е",
    "є",
    "и",
    "і",
    "ї",
    "й",
    "ь",
];

/// The stems of a word without accents and capitals. Numbers, codes and short words have none but themselves.
pub fn stems(word: &str) -> BTreeSet<String> {
    let letters = word.chars().count();
    if letters <= LEAST || !word.chars().all(char::is_alphabetic) {
        return BTreeSet::new();
    }
    if word.chars().all(|c| c.is_ascii_lowercase()) {
        return [english(word), czech(word), lithuanian(word)].into();
    }
    if word.chars().all(|c| matches!(c, '\u{400}'..='\u{52f}')) {
        return [russian(word), ukrainian(word)].into();
    }
    BTreeSet::new()
}

/// A word without the first of these endings that leaves enough of it.
fn without<'a>(word: &'a str, endings: &[&str]) -> &'a str {
    let rest = endings.iter().find_map(|ending| {
        let rest = word.strip_suffix(ending)?;
        (rest.chars().count() >= LEAST).then_some(rest)
    });
    rest.unwrap_or(word)
}

fn english(word: &str) -> String {
    let is_vowel = |c: char| "aeiouy".contains(c);
    let singular = match word {
        word if word.ends_with("ies") && word.len() > 4 => format!("{}y", &word[..word.len() - 3]),
        word if ["sses", "xes", "zes", "ches", "shes"].iter().any(|ending| word.ends_with(ending)) => {
            word[..word.len() - 2].to_owned()
        }
        word if word.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)) => {
            word[..word.len() - 1].to_owned()
        }
        word => word.to_owned(),
    };
    let mut stem = ["ing", "ed"]
        .iter()
        .filter_map(|ending| singular.strip_suffix(ending))
        .find(|rest| rest.len() >= LEAST && rest.contains(is_vowel))
        .map_or_else(|| singular.clone(), ToOwned::to_owned);
    let mut end = stem.chars().rev();
    if stem.len() < singular.len()
        && let (Some(last), Some(before)) = (end.next(), end.next())
        && last == before
        && !"aeioulsz".contains(last)
    {
        stem.pop();
    }
    if stem.len() > LEAST && stem.ends_with('e') {
        stem.pop();
    }
    // Reply, replies, replied.
    if stem.len() > LEAST && stem.ends_with('y') && !stem[..stem.len() - 1].ends_with(is_vowel) {
        stem.pop();
        stem.push('i');
    }
    stem
}

/// Consonants change before some endings: Praha, Praze; ruka, ruce.
fn czech(word: &str) -> String {
    let mut stem = without(word, CZECH).to_owned();
    if stem.len() > LEAST && stem.len() < word.len() {
        let soft = [('c', 'k'), ('z', 'h')].into_iter().find(|(soft, _)| stem.ends_with(*soft));
        if let Some((_, hard)) = soft {
            stem.pop();
            stem.push(hard);
        }
    }
    stem
}

/// Consonants change before some endings: žodis, žodžio; matas, mačiau.
fn lithuanian(word: &str) -> String {
    let mut stem = without(word, LITHUANIAN).to_owned();
    if stem.len() > LEAST && stem.ends_with("dz") {
        stem.pop();
    } else if stem.len() > LEAST && stem.len() < word.len() && stem.ends_with('c') {
        stem.pop();
        stem.push('t');
    }
    stem
}

fn russian(word: &str) -> String {
    let word = ["ся", "сь"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    let stem = without(word, RUSSIAN);
    let stem = stem.strip_suffix('ь').unwrap_or(stem);
    // Длинна, длинный: one of two letters goes with some endings.
    stem.strip_suffix("нн").map_or_else(|| stem.to_owned(), |rest| format!("{rest}н"))
}

fn ukrainian(word: &str) -> String {
    let word = ["ся", "сь"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    let stem = without(word, UKRAINIAN);
    stem.strip_suffix('ь').unwrap_or(stem).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::search::words::plain;

    #[test]
    fn inflected_forms_have_a_stem_in_common_in_every_language() {
        for forms in [
            &["invoice", "invoices", "invoiced", "invoicing"][..],
            &["reply", "replies", "replied"],
            &["stop", "stopped", "stopping"],
            &["address", "addresses"],
            &["faktura", "faktury", "fakturu", "fakturou", "fakturách", "fakturami"],
            &["tiskárna", "tiskárny", "tiskárnu", "tiskárnám", "tiskárnách"],
            &["objednávka", "objednávky", "objednávce", "objednávku"],
            &["sąskaita", "sąskaitos", "sąskaitą", "sąskaitų", "sąskaitoms"],
            &["spausdintuvas", "spausdintuvo", "spausdintuvui", "spausdintuvai"],
            &["žodis", "žodžio", "žodžiai"],
            &["заявка", "заявки", "заявку", "заявкой", "заявками"],
            &["принтер", "принтера", "принтеры", "принтеров"],
            &["длинный", "длинная", "длинного"],
            &["рахунки", "рахунку", "рахунками", "рахунків"],
            &["помилка", "помилки", "помилку", "помилкою"],
        ] {
            let all: Vec<_> = forms.iter().map(|form| stems(&plain(form))).collect();
            let common = all.iter().cloned().reduce(|all, one| all.intersection(&one).cloned().collect());
            assert!(!common.unwrap_or_default().is_empty(), "{forms:?}: {all:?}");
        }
    }

    #[test]
    fn stems_stay_long_enough_and_codes_are_left_alone() {
        for word in ["ano", "up", "a4", "sn1234", "日本語日本"] {
            assert!(stems(word).is_empty(), "{word}");
        }
        for word in ["ones", "seed", "sing", "vody", "знает", "їхати"] {
            assert!(stems(word).iter().all(|stem| stem.chars().count() >= LEAST), "{word}: {:?}", stems(word));
        }
        assert_ne!(stems("printer"), stems("print"));
    }
}
