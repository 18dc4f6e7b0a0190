//! Phone numbers: what was typed, the number it means, and the digits by which it is found.

use phonenumber::Mode;
use unicode_normalization::UnicodeNormalization;

use crate::{
    Country, Ctx, Need, Rejection,
    kernel::{text::is_blank, valid::PHONE_INVALID},
    org::tenant::Tenant,
};

/// A number as it is dialled from anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// E.164: a plus, the country's code and the number, nothing else.
    pub e164: String,
    /// The extension behind it.
    pub extension: Option<String>,
}

/// Fewest and most digits of a number with its country's code (E.164).
const LENGTH: std::ops::RangeInclusive<usize> = 7..=15;
/// Most digits of a short number: an emergency number, an extension within the house.
const SHORT: std::ops::RangeInclusive<usize> = 3..=6;

/// A text taken apart.
struct Parts {
    /// Whether it begins with the country's code: `+` or `00`.
    international: bool,
    digits: String,
    extension: Option<String>,
}

/// What may stand between the digits of a number.
const fn separates(c: char) -> bool {
    is_blank(c)
        || matches!(
            c,
            '-' | '(' | ')' | '.' | '/' | '[' | ']' | '~' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}'
        )
}

/// What an extension is called, longest first.
const EXTENSIONS: &[&str] =
    &["extension", "добавочный", "внутр", "extn", "anexo", "poste", "ext", "доб", "int", "вн", "x", "х"];

impl Parts {
    /// `None` when it is nothing like a number.
    fn of(text: &str) -> Option<Parts> {
        let text = text.nfkc().collect::<String>().to_lowercase();
        let text = text.trim_matches(is_blank);
        let text = text.strip_prefix("tel:").unwrap_or(text).trim_start_matches(is_blank);
        let (international, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && !separates(c)).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let mut digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let extension = match tail {
            "" => None,
            tail => match extension(tail) {
                Some(extension) => Some(extension),
                // Letters of a keypad: 0800 FLOWERS.
                None if digits.len() >= 3 => {
                    for c in tail.chars().filter(|c| !separates(*c)) {
                        digits.push(keypad(c)?);
                    }
                    None
                }
                None => return None,
            },
        };
        let (international, digits) = match digits.strip_prefix("00") {
            Some(rest) if !international => (true, rest.to_owned()),
            _ => (international, digits),
        };
        (digits.len() >= 3).then_some(Parts { international, digits, extension })
    }
}

fn extension(tail: &str) -> Option<String> {
    let rest = tail.trim_start_matches(|c| separates(c) || matches!(c, ',' | ';' | '#'));
    let word = EXTENSIONS.iter().find_map(|word| rest.strip_prefix(word));
    let rest = word.or_else(|| (rest.len() < tail.len()).then_some(rest))?;
    let rest = rest.trim_start_matches(|c| separates(c) || matches!(c, ':' | '=' | '#'));
    let sound = (1..=11).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| rest.to_owned())
}

fn keypad(c: char) -> Option<char> {
    Some(match c {
        '0'..='9' => c,
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        'w'..='z' => '9',
        _ => return None,
    })
}

fn parsed(country: Option<Country>, digits: &str) -> Option<phonenumber::PhoneNumber> {
    let country = match country {
        Some(country) => Some(country.to_string().parse().ok()?),
        None => None,
    };
    phonenumber::parse(country, digits).ok().filter(phonenumber::PhoneNumber::is_valid)
}

/// The number that a text means; `country` is where it is dialled without its country's code.
fn meant(parts: &Parts, country: Option<Country>) -> Option<phonenumber::PhoneNumber> {
    let abroad = || parsed(None, &format!("+{}", parts.digits));
    match country {
        Some(country) if !parts.international => parsed(Some(country), &parts.digits).or_else(abroad),
        _ => abroad(),
    }
}

/// Reads what somebody gives as a phone number. `Ok(None)`: it may be one, and nobody can say which: a short number, or
/// one without its country's code where no `country` is given.
///
/// # Errors
/// Why it is none.
pub fn read(text: &str, country: Option<Country>) -> Result<Option<Number>, String> {
    let Some(parts) = Parts::of(text) else { return Err("A phone number has digits, at least three.".into()) };
    if let Some(number) = meant(&parts, country) {
        return Ok(Some(Number { e164: number.format().mode(Mode::E164).to_string(), extension: parts.extension }));
    }
    let length = parts.digits.len();
    // Ranges are opened more often than programs are renewed: what is complete is believed.
    if parts.international && LENGTH.contains(&length) && !parts.digits.starts_with('0') {
        return Ok(Some(Number { e164: format!("+{}", parts.digits), extension: parts.extension }));
    }
    match country {
        _ if parts.international => {
            Err(format!("+{} is no number of any country: it has 7 to 15 digits.", parts.digits))
        }
        _ if SHORT.contains(&length) => Ok(None),
        None if LENGTH.contains(&length) => Ok(None),
        None => Err("A phone number has 3 to 15 digits.".into()),
        Some(country) => {
            Err(format!("{} is no number of {country}; give others with + and their country's code.", parts.digits))
        }
    }
}

/// What a text means as a number, if anything.
pub fn number(text: &str, country: Option<Country>) -> Option<Number> {
    read(text, country).ok().flatten()
}

/// What a record keeps beside a phone number as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialled {
    /// The number as it is dialled from anywhere (E.164); `None` when nobody can say.
    pub e164: Option<String>,
    /// The extension behind it.
    pub extension: Option<String>,
}

impl Dialled {
    /// What the command `ctx` means by a number; name [`need`] first. What comes from outside is kept as it is.
    ///
    /// # Errors
    /// `phone_invalid` at `pointer` when a person typed what is none.
    pub fn of(typed: Option<&str>, pointer: &str, ctx: &Ctx<'_>) -> Result<Dialled, Rejection> {
        let Some(typed) = typed else { return Ok(Dialled::default()) };
        match read(typed, ctx.fact::<Tenant>(ctx.tenant).default_country()) {
            Ok(Some(Number { e164, extension })) => Ok(Dialled { e164: Some(e164), extension }),
            Ok(None) => Ok(Dialled::default()),
            Err(_) if ctx.is_from_outside() => Ok(Dialled::default()),
            Err(why) => Err(PHONE_INVALID.because(why).at(pointer)),
        }
    }
}

/// The facts that [`Dialled::of`] asks: the tenant says in which country it is.
pub fn need(ctx: &Ctx<'_>) -> Need {
    Need::of::<Tenant>(ctx.tenant)
}

/// The digits of a text up to its extension, without the `00` of an international one: how numbers are compared. The
/// function `phone_digits` of the database does the same; a test holds the two together.
pub fn digits(text: &str) -> String {
    let text: String = text.nfkc().collect();
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[start..].chars().take_while(|c| c.is_ascii_digit() || separates(*c));
    let digits: String = number.filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("00") {
        Some(rest) => rest.to_owned(),
        None => digits,
    }
}

/// The digits of every spelling in which a record may have this number: from anywhere and within its country, and as it
/// is given here.
pub fn spellings(text: &str, country: Option<Country>) -> Vec<String> {
    let mut all = vec![digits(text)];
    if let Some(number) = Parts::of(text).and_then(|parts| meant(&parts, country)) {
        let (code, bare) = (number.country().code(), number.national().to_string());
        let inland = number.format().mode(Mode::National).to_string();
        let inland: String = inland.chars().filter(char::is_ascii_digit).collect();
        all.extend([format!("{code}{bare}"), format!("{code}{inland}"), inland, bare]);
    } else if let Some(number) = number(text, country) {
        all.push(number.e164.trim_start_matches('+').to_owned());
    }
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Option<Country> {
        Some(code.parse().unwrap())
    }

    fn e164(text: &str, code: &str) -> (String, Option<String>) {
        let number = read(text, country(code)).unwrap_or_else(|why| panic!("{text}: {why}"));
        number.map_or((String::new(), None), |number| (number.e164, number.extension))
    }

    #[test]
    fn every_spelling_is_one_number() {
        let spellings = [
            "+380 (67) 123-45-67",
            "380671234567",
            "067 123-45-67",
            "00380 67 123 45 67",
            "+380671234567",
            "tel:+380-67-123-45-67",
            "＋３８０ ６７ １２３ ４５ ６７",
            "+380\u{a0}67\u{a0}123\u{2011}45\u{2011}67",
            "\u{202a}+380 67 123 45 67\u{202c}",
            "(067) 123.45.67",
        ];
        for text in spellings {
            assert_eq!(e164(text, "UA"), ("+380671234567".into(), None), "{text}");
        }
        assert_eq!(number("380671234567", None), number("+380 67 123 45 67", None));
        assert_eq!(e164("+49 (0)30 123456", "UA").0, "+4930123456");
        assert_eq!(e164("+44 (0)20 7946 0958", "UA").0, "+442079460958");
        assert_eq!(e164("8 (921) 555-01-01", "RU").0, "+79215550101");
        assert_eq!(e164("+39 06 555 0101", "UA").0, "+39065550101");
        assert_eq!(e164("06 6982 1234", "IT").0, "+390669821234");
        assert_eq!(e164("1-800-FLOWERS", "US").0, "+18003569377");
    }

    #[test]
    fn extensions_stand_apart() {
        for text in [
            "+380 67 123 45 67 ext. 12",
            "067 123-45-67 x12",
            "067 123-45-67, доб. 12",
            "067 123-45-67 доб 12",
            "067 123-45-67 #12",
            "tel:+380671234567;ext=12",
            "067 123-45-67 вн. 12",
        ] {
            assert_eq!(e164(text, "UA"), ("+380671234567".into(), Some("12".into())), "{text}");
            assert!(["380671234567", "0671234567"].contains(&digits(text).as_str()), "{text}: {}", digits(text));
        }
    }

    #[test]
    fn what_may_be_one_is_kept_and_what_is_none_says_why() {
        for (text, code) in [("112", None), ("203", country("UA")), ("067 123-45-67", None), ("555-0100", None)] {
            assert_eq!(read(text, code), Ok(None), "{text}");
        }
        for (text, code) in [
            ("call me", None),
            ("", None),
            ("12", country("UA")),
            ("anonymous", country("UA")),
            ("+380 67", None),
            ("+0671234567", None),
            ("067 123-45-67 or evenings", country("UA")),
            ("12345678901234567", None),
        ] {
            let found = read(text, code);
            assert!(found.is_err(), "{text}: {found:?}");
        }
        assert!(read("067 123 45 67 89 01", country("UA")).unwrap_err().contains("UA"));
    }

    #[test]
    fn a_number_is_found_in_every_spelling_that_a_record_may_have() {
        let records = [
            "+380 (67) 123-45-67",
            "380671234567",
            "067 123-45-67",
            "67 123 45 67",
            "00380671234567",
            "+380 (0)67 1234567 x3",
        ];
        for asked in ["+380 67 1234567", "0671234567", "380671234567"] {
            let asked = spellings(asked, country("UA"));
            for record in records {
                assert!(asked.contains(&digits(record)), "{record}: {asked:?}");
            }
            assert!(!asked.contains(&digits("+380 67 123-45-68")));
        }
        assert_eq!(spellings("12", None), ["12"]);
    }
}
