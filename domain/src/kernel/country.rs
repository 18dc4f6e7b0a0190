//! Countries by their codes (ISO 3166-1).

use std::{fmt, str::FromStr};

use iso_currency::Country as Known;

/// A country by its two letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

impl FromStr for Country {
    type Err = &'static str;

    /// Small letters mean the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = text.to_ascii_uppercase();
        match (code.as_bytes(), Known::from_str(&code)) {
            (&[a, b], Ok(_)) => Ok(Country([a, b])),
            _ => Err("a country is two letters (ISO 3166-1), such as IT"),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_countries_are_countries() {
        for (text, code) in [("IT", "IT"), ("ua", "UA"), ("SS", "SS")] {
            assert_eq!(Country::from_str(text).map(|country| country.to_string()), Ok(code.to_owned()));
        }
        for text in ["XX", "ITA", "I", "", "И", "QQ"] {
            assert!(Country::from_str(text).is_err(), "{text}");
        }
    }
}
