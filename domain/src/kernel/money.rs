//! Money: an exact amount in a currency.

use std::{borrow::Cow, fmt, str::FromStr};

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use crate::Rejection;

/// A currency by its three-letter code (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Currency([a, b, c])),
            _ => Err("a currency is three capital letters (ISO 4217), such as EUR"),
        }
    }
}

impl Currency {
    /// What ISO 4217 says of it; `None` of what was recorded before the codes were checked and is no currency.
    fn known(self) -> Option<iso_currency::Currency> {
        iso_currency::Currency::from_code(&self.to_string())
    }

    /// How many decimals its amounts have; `None` where the standard sets no number, as for gold.
    pub fn decimals(self) -> Option<u32> {
        self.known()?.exponent().map(u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217 code.", "examples": ["EUR"] })
    }
}

/// An exact amount in a currency; the amount is text in JSON so that no reader rounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Exact decimal amount, such as `12.50`.
    #[serde(with = "rust_decimal::serde::str")]
    #[schemars(with = "String", regex(pattern = r"^-?[0-9]+(\.[0-9]+)?$"))]
    pub amount: Decimal,
    /// Its currency.
    pub currency: Currency,
}

/// A code that ISO 4217 does not know.
pub const CURRENCY_UNKNOWN: Rejection = Rejection::invalid("currency_unknown", "There is no such currency (ISO 4217).");
/// An amount that nobody can pay.
pub const AMOUNT_TOO_FINE: Rejection =
    Rejection::invalid("amount_too_fine", "The amount has more decimals than its currency.");

/// The refusals of [`Money::check`].
pub const REFUSALS: [Rejection; 2] = [CURRENCY_UNKNOWN, AMOUNT_TOO_FINE];

impl Money {
    /// Refuses what is no currency, and more decimals than it has; `pointer` is its place in the body. What was recorded
    /// before this was checked stays as it is.
    pub fn check(&self, pointer: &str) -> Result<(), Rejection> {
        if self.currency.known().is_none() {
            let detail = format!("ISO 4217 knows no currency {}.", self.currency);
            return Err(CURRENCY_UNKNOWN.because(detail).at(format!("{pointer}/currency")));
        }
        match self.currency.decimals() {
            Some(decimals) if self.amount.normalize().scale() > decimals => {
                let detail = format!("An amount in {} has {decimals} decimals, not {}.", self.currency, self.amount);
                Err(AMOUNT_TOO_FINE.because(detail).at(format!("{pointer}/amount")))
            }
            _ => Ok(()),
        }
    }

    /// The nearest amount that can be paid, halves away from zero.
    #[must_use]
    pub fn rounded(self) -> Money {
        let decimals = self.currency.decimals().unwrap_or(Decimal::MAX_SCALE);
        let amount = self.amount.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
        Money { amount, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_text_and_currencies_are_checked() {
        let money: Money = serde_json::from_str(r#"{"amount":"12.50","currency":"EUR"}"#).unwrap();
        assert_eq!(serde_json::to_string(&money).unwrap(), r#"{"amount":"12.50","currency":"EUR"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":"1","currency":"euro"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount":12.5,"currency":"EUR"}"#).is_err());
    }

    #[test]
    fn only_what_can_be_paid_is_money() {
        let money = |amount: &str, currency: &str| Money {
            amount: amount.parse().unwrap(),
            currency: currency.parse().unwrap(),
        };
        let fine = [
            ("100", "JPY"),
            ("100.00", "JPY"),
            ("12.345", "KWD"),
            ("0.01", "EUR"),
            ("1.23456", "XAU"),
            ("-1.5", "USD"),
        ];
        for (amount, currency) in fine {
            assert_eq!(money(amount, currency).check(""), Ok(()), "{amount} {currency}");
        }
        assert_eq!(money("1", "XXQ").check("/price"), Err(CURRENCY_UNKNOWN));
        for (amount, currency) in [("100.5", "JPY"), ("0.001", "EUR"), ("1.2345", "KWD")] {
            let refused = money(amount, currency).check("/price").unwrap_err();
            assert_eq!((&refused, refused.errors[0].pointer.as_str()), (&AMOUNT_TOO_FINE, "/price/amount"));
        }
        assert_eq!(money("0.525", "EUR").rounded(), money("0.53", "EUR"));
        assert_eq!(money("99.5", "JPY").rounded(), money("100", "JPY"));
    }
}
