//! What a name, an address, a locale or a time zone must look like, the same for every kind of record.

use std::sync::LazyLock;

use jiff::tz::TimeZoneDatabase;
use language_tags::LanguageTag;

use crate::{
    Country, Rejection,
    kernel::{
        custom, email as address,
        money::{AMOUNT_TOO_FINE, CURRENCY_UNKNOWN},
        text::is_blank,
    },
    must,
};

/// A name that is blank or too long.
pub const NAME_INVALID: Rejection = Rejection::invalid("name_invalid", "A name has 1 to 200 characters.");
/// Not an e-mail address.
pub const EMAIL_INVALID: Rejection = Rejection::invalid("email_invalid", "This is no e-mail address.");
/// Not a phone number.
pub const PHONE_INVALID: Rejection = Rejection::invalid("phone_invalid", "This is no phone number.");
/// Not an http(s) address.
pub const URL_INVALID: Rejection = Rejection::invalid("url_invalid", "This is no http or https address.");
/// Not a domain name.
pub const DOMAIN_INVALID: Rejection =
    Rejection::invalid("domain_invalid", "A domain is a host name such as example.com or bücher.example.");
/// Not a locale.
pub const LOCALE_INVALID: Rejection =
    Rejection::invalid("locale_invalid", "There is no such language: a language tag (BCP 47), such as de or pt-BR.");
/// Not a time zone.
pub const TIME_ZONE_INVALID: Rejection =
    Rejection::invalid("time_zone_invalid", "A time zone is a name from the IANA database, such as Europe/Rome.");
/// Not a country.
pub const COUNTRY_INVALID: Rejection =
    Rejection::invalid("country_invalid", "There is no such country: two letters (ISO 3166-1), such as IT.");
/// A negative amount of money.
pub const PRICE_INVALID: Rejection = Rejection::invalid("price_invalid", "A price is not negative.");

/// A negative amount of money where there can be none.
pub const AMOUNT_INVALID: Rejection = Rejection::invalid("amount_invalid", "An amount is not negative.");

/// The refusals of every check here.
pub fn refusals() -> Vec<Rejection> {
    vec![
        NAME_INVALID,
        EMAIL_INVALID,
        PHONE_INVALID,
        URL_INVALID,
        DOMAIN_INVALID,
        LOCALE_INVALID,
        TIME_ZONE_INVALID,
        COUNTRY_INVALID,
        PRICE_INVALID,
        AMOUNT_INVALID,
        CURRENCY_UNKNOWN,
        AMOUNT_TOO_FINE,
    ]
}

fn given(value: Option<&str>, holds: fn(&str) -> bool, refusal: Rejection, pointer: &str) -> Result<(), Rejection> {
    must(value.is_none_or(holds), refusal, pointer)
}

/// A name: not blank, at most 200 characters. `pointer` is its place in the body.
pub fn name(name: &str, pointer: &str) -> Result<(), Rejection> {
    must(!name.chars().all(is_blank) && name.chars().count() <= 200, NAME_INVALID, pointer)
}

/// An e-mail address, if there is one.
pub fn email(value: Option<&str>) -> Result<(), Rejection> {
    given(value, address::is_email, EMAIL_INVALID, "/email")
}

/// A web site, if there is one.
pub fn website(value: Option<&str>) -> Result<(), Rejection> {
    given(value, custom::is_url, URL_INVALID, "/website")
}

/// A domain name, if there is one.
pub fn domain(value: Option<&str>) -> Result<(), Rejection> {
    given(value, is_domain, DOMAIN_INVALID, "/domain")
}

/// A locale, if there is one.
pub fn locale(value: Option<&str>) -> Result<(), Rejection> {
    given(value, is_locale, LOCALE_INVALID, "/locale")
}

/// A time zone, if there is one.
pub fn time_zone(value: Option<&str>) -> Result<(), Rejection> {
    given(value, is_time_zone, TIME_ZONE_INVALID, "/time_zone")
}

/// A country, if there is one.
pub fn country(value: Option<&str>) -> Result<(), Rejection> {
    given(value, |text| text.parse::<Country>().is_ok(), COUNTRY_INVALID, "/country")
}

/// A price, if there is one.
pub fn price(value: Option<&crate::Money>) -> Result<(), Rejection> {
    value.map_or(Ok(()), |money| money.check("/price"))?;
    must(value.is_none_or(|money| !money.amount.is_sign_negative()), PRICE_INVALID, "/price")
}

/// An amount of money that is not negative, if there is one.
pub fn amount(value: Option<&crate::Money>, pointer: &str) -> Result<(), Rejection> {
    value.map_or(Ok(()), |money| money.check(pointer))?;
    must(value.is_none_or(|money| !money.amount.is_sign_negative()), AMOUNT_INVALID, pointer)
}

/// Whether a text is a domain name with at least one dot, in whatever script.
pub fn is_domain(text: &str) -> bool {
    text.contains('.') && !text.ends_with('.') && address::ascii(text).is_some_and(|ascii| ascii.len() <= 253)
}

/// Whether the registry of languages knows every part of a language tag (BCP 47).
pub fn is_locale(text: &str) -> bool {
    LanguageTag::parse(text).is_ok_and(|tag| tag.validate().is_ok())
}

/// Whether the IANA database knows this time zone. The database is part of the program, so that every machine and every
/// replay answers alike.
pub fn is_time_zone(name: &str) -> bool {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    ZONES.get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_takes_the_right_and_refuses_the_wrong() {
        type Case = (fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);
        let cases: [Case; 3] = [
            (
                is_domain,
                &["example.com", "a-b.co.uk", "Example.com", "bücher.example", "xn--bcher-kva.example"],
                &["example", "-a.com", "a..b", "", "a b.com", "a.", "127.0.0.1"],
            ),
            (
                is_locale,
                &["de", "pt-BR", "zh-Hans-CN", "sr-Latn", "de-at"],
                &["german", "pt_BR", "de-", "", "qx", "de-YX"],
            ),
            (
                is_time_zone,
                &["Europe/Rome", "europe/rome", "UTC", "America/Argentina/Ushuaia"],
                &["Europe/Atlantis", "+02:00", ""],
            ),
        ];
        for (check, right, wrong) in cases {
            right.iter().for_each(|text| assert!(check(text), "{text}"));
            wrong.iter().for_each(|text| assert!(!check(text), "{text}"));
        }
        assert_eq!(name("  ", "/name"), Err(NAME_INVALID));
        assert_eq!(name(&"x".repeat(201), "/name"), Err(NAME_INVALID));
        assert_eq!(name("\u{200b}\u{a0}", "/name"), Err(NAME_INVALID));
        for wrong in ["XX", "ITA", "italy", ""] {
            assert_eq!(country(Some(wrong)), Err(COUNTRY_INVALID), "{wrong}");
        }
        assert_eq!((country(Some("IT")), country(Some("it"))), (Ok(()), Ok(())));
        assert_eq!(country(None), Ok(()));
    }
}
