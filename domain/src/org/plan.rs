//! What a tenant has agreed with whoever operates the deployment: how many people it has seats for, and how it pays.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Faults, Money, Rejection, kernel::valid};

/// A plan: what the tenant has, what it costs, and who pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// How many people can be let in at most: whoever is invited or active has a seat. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub seats: Option<u32>,
    /// What it costs each period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// How often that is paid.
    #[serde(default)]
    pub period: Period,
    /// Until when it is paid: the day of the next payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_on: Option<Date>,
    /// Who pays, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

/// How often a plan is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Every month.
    #[default]
    Month,
    /// Every year.
    Year,
}

/// Who pays, and how. Numbers of cards and accounts have no place here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// To whom the invoice is made out.
    pub payer: String,
    /// Where the payer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where invoices are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "email"))]
    pub email: Option<String>,
    /// The payer's number with the tax office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// How it is paid, as people call it: `transfer`, `card ending in 4242`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// The refusal of a plan that makes no sense.
pub const PLAN_INVALID: Rejection = Rejection::invalid(
    "tenant_plan_invalid",
    "A plan has at least one seat, a price that is not negative, and texts of at most 256 characters.",
);

impl Plan {
    /// One to show how it is written.
    pub fn example() -> Plan {
        Plan {
            name: "Team".into(),
            seats: Some(25),
            price: serde_json::from_str(r#"{"amount":"249.00","currency":"EUR"}"#).ok(),
            period: Period::Month,
            renews_on: Some(Date::constant(2026, 12, 1)),
            payment: Some(Payment {
                payer: "Example Ltd".into(),
                address: Some("Via Roma 1, 00184 Roma, Italy".into()),
                email: Some("billing@example.com".into()),
                tax_id: Some("IT00743110157".into()),
                method: Some("card ending in 4242".into()),
            }),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        faults.check(valid::name(&self.name, "/plan/name"));
        if self.seats.is_some_and(|seats| !(1..=1_000_000).contains(&seats)) {
            faults.add(PLAN_INVALID.at("/plan/seats"));
        }
        faults.check(valid::amount(self.price.as_ref(), "/plan/price"));
        if let Some(payment) = &self.payment {
            faults.check(payment.check());
        }
        faults.done()
    }
}

impl Payment {
    fn check(&self) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        faults.check(valid::name(&self.payer, "/plan/payment/payer"));
        if self.email.as_ref().is_some_and(|email| valid::email(Some(email)).is_err()) {
            faults.add(valid::EMAIL_INVALID.at("/plan/payment/email"));
        }
        let texts = [
            (&self.address, "/plan/payment/address"),
            (&self.tax_id, "/plan/payment/tax_id"),
            (&self.method, "/plan/payment/method"),
        ];
        for (text, place) in texts {
            if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > 256) {
                faults.add(PLAN_INVALID.at(place));
            }
        }
        faults.done()
    }
}
