//! Orders with their items and payments. Table: `read_orders`.

use domain::{
    Aggregate, Id, Money, Personal, Time,
    catalogue::listed,
    sales::order::{Details, Event, Item, NEW, Order},
};
use eventstore::Recorded;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Unreadable, decode,
    kernel::{
        fold::raise,
        record::{self, Attributes as _},
    },
};

/// The orders.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

/// What an order consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// Where it came in: `storefront`, `back_office`, `chat`, `api`, ...
    pub source: String,
    /// The number that it has there.
    pub external_number: Option<String>,
    /// The contact who ordered.
    pub customer_id: Option<Id>,
    /// The company that ordered.
    pub company_id: Option<Id>,
    /// Whom to ask for.
    pub name: Option<Personal<String>>,
    /// Where to call.
    pub phone: Option<Personal<String>>,
    /// That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.
    pub phone_e164: Option<Personal<String>>,
    /// The extension in it.
    pub phone_extension: Option<Personal<String>>,
    /// Where to write.
    pub email: Option<Personal<String>>,
    /// City to deliver to.
    pub city: Option<String>,
    /// Street and number to deliver to.
    pub address: Option<Personal<String>>,
    /// What is ordered.
    #[serde(default)]
    pub items: Vec<Item>,
    /// What is taken off.
    pub discount: Option<Money>,
    /// What delivery costs.
    pub shipping: Option<Money>,
    /// What is to be paid.
    pub total: Option<Money>,
    /// The conversation in which it was ordered.
    pub conversation_id: Option<Id>,
    /// The customer's remark.
    pub comment: Option<Personal<String>>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["customer", "company", "conversation"];
}

impl From<Details> for Attributes {
    fn from(details: Details) -> Attributes {
        let Details { source, external_number, customer, company, name, phone, email, city, .. } = details;
        let Details { phone_e164, phone_extension, .. } = details;
        let Details { address, items, discount, shipping, total, conversation, comment, .. } = details;
        Attributes {
            source,
            external_number,
            customer_id: customer,
            company_id: company,
            name,
            phone,
            phone_e164,
            phone_extension,
            email,
            city,
            address,
            items,
            discount,
            shipping,
            total,
            conversation_id: conversation,
            comment,
        }
    }
}

/// A payment for an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// Its id.
    pub payment_id: Id,
    /// How much.
    pub amount: Money,
    /// When it came in.
    pub paid_at: Time,
}

/// What a customer has ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// 1, 2, 3, ... within the tenant.
    pub number: u64,
    /// What it consists of.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// The shop's own word for how far it is.
    pub status: String,
    /// Payments, oldest first.
    pub payments: Vec<Payment>,
    /// What has been paid in all.
    pub paid: Option<Money>,
    /// Whether nothing is left to pay.
    pub paid_in_full: bool,
    /// When the last payment came in.
    pub paid_at: Option<Time>,
    /// Whether it was called off.
    pub cancelled: bool,
    /// Why it was called off.
    pub cancel_reason: Option<String>,
    /// When it was called off.
    pub cancelled_at: Option<Time>,
    /// When it was placed.
    pub placed_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// An order with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The order itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the contact who ordered.
    pub customer_name: Option<String>,
    /// Name of the company that ordered.
    pub company_name: Option<String>,
}

impl ReadModel for Orders {
    const NAME: &'static str = "orders";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Order::KIND];
    type Row = Row;

    /// An order that made no sense when it came in is none: it is in the log alone.
    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Order>(event)?;
        if let Event::Placed(placed) = happened {
            return Ok(Some(Row {
                number: placed.number,
                attributes: placed.details.into(),
                status: NEW.to_owned(),
                payments: Vec::new(),
                paid: None,
                paid_in_full: false,
                paid_at: None,
                cancelled: false,
                cancel_reason: None,
                cancelled_at: None,
                placed_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Placed(_) | Event::Rejected { .. } => {}
            Event::Amended { changes } => {
                row.attributes.change(changes);
                row.reckon();
            }
            Event::StatusChanged { to, .. } => row.status = to,
            Event::Paid { payment_id, amount, .. } => {
                row.payments.push(Payment { payment_id, amount, paid_at: at });
                row.paid_at = row.paid_at.max(Some(at));
                row.reckon();
            }
            Event::Cancelled { reason } => {
                row.cancelled = true;
                row.cancel_reason = reason;
                row.cancelled_at = Some(at);
            }
        }
        Ok(Some(row))
    }
}

impl Row {
    /// What is paid, and whether that is all: the total may have changed since.
    fn reckon(&mut self) {
        let Some(first) = self.payments.first() else { return };
        // Currencies are never added up: what counts is what is paid in the currency of the total.
        let currency = self.attributes.total.map_or(first.amount.currency, |total| total.currency);
        let counts = |payment: &&Payment| payment.amount.currency == currency;
        let amounts = self.payments.iter().filter(counts).map(|payment| payment.amount.amount);
        let amount = amounts.fold(Decimal::ZERO, Decimal::saturating_add);
        self.paid = Some(Money { amount, currency });
        self.paid_in_full = self.attributes.total.is_none_or(|total| amount >= total.amount);
    }
}

impl Listed for Orders {
    const PATH: &'static str = Order::PLURAL;
    const READ: &'static str = Order::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::integer("number"),
        Column::word("source"),
        Column::word("external_number").nullable(),
        Column::reference("customer_id", Refers::To("contact")).nullable(),
        Column::reference("company_id", Refers::To("company")).nullable(),
        Column::text("name").nullable(),
        Column::phone("phone").nullable(),
        Column::word("phone_e164").nullable(),
        Column::word("phone_extension").nullable(),
        Column::email("email").nullable(),
        Column::text("city").nullable(),
        Column::text("address").nullable(),
        Column::word("status"),
        Column::decimal("total.amount").nullable(),
        Column::word("total.currency").nullable(),
        Column::decimal("paid.amount").nullable(),
        Column::bool("paid_in_full"),
        Column::bool("cancelled"),
        Column::id("conversation_id").nullable(),
        Column::text("comment").nullable(),
        Column::time("placed_at"),
        Column::time("paid_at").nullable(),
        Column::time("cancelled_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::CUSTOMER),
        Column::called(&listed::COMPANY),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("placed_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.number, t.source, t.external_number, r.customer_id, \
        customer.name as customer_name, r.company_id, company.name as company_name, t.name, t.phone, t.phone_e164, t.phone_extension, t.email, t.city, \
        t.address, t.items, t.discount, t.shipping, t.total, t.conversation_id, t.comment, t.status, t.payments, \
        t.paid, t.paid_in_full, t.paid_at, t.cancelled, t.cancel_reason, t.cancelled_at, t.placed_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_contacts customer on customer.tenant_id = t.tenant_id and customer.id = r.customer_id \
        left join read_companies company on company.tenant_id = t.tenant_id and company.id = r.company_id";
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    fn rubles(amount: &str) -> Value {
        json!({ "amount": amount, "currency": "RUB" })
    }

    fn placed() -> Event {
        let chair = json!({ "name": "Chair", "quantity": "2", "price": rubles("9000.50") });
        let order = json!({ "number": 7, "source": "storefront", "customer": id(1), "city": "Moscow", "items": [chair],
            "total": rubles("18001.00") });
        event::<Order>("placed", order)
    }

    fn paid(payment: u128, amount: &str) -> Event {
        let paid = json!({ "payment_id": id(payment), "amount": rubles(amount), "in_full": false });
        event::<Order>("paid", paid)
    }

    #[test]
    fn an_order_is_amended_paid_and_cancelled() {
        refuses_strangers::<Orders, Order>(&placed());
        let row = folded::<Orders, Order>([placed(), paid(1, "8000.50")]).unwrap();
        assert_eq!((row.number, row.attributes.customer_id, row.status.as_str()), (7, Some(id(1)), "new"));
        assert_eq!((row.paid.unwrap().amount.to_string(), row.paid_in_full), ("8000.50".into(), false));
        let row = folded::<Orders, Order>([placed(), paid(1, "8000.50"), paid(2, "10000.50")]).unwrap();
        assert_eq!((row.paid.unwrap().amount.to_string(), row.paid_in_full), ("18001.00".into(), true));
        assert_eq!((row.payments.len(), row.paid_at), (2, Some(at(2))));
        let amended = event::<Order>(
            "amended",
            json!({ "changes": {
            "customer": { "from": id(1), "to": id(2) }, "city": { "from": "Moscow", "to": null },
            "items": { "from": [], "to": null }, "total": { "from": null, "to": rubles("20000") },
        } }),
        );
        let status = Event::StatusChanged { from: "new".into(), to: "confirmed".into() };
        let cancelled = Event::Cancelled { reason: Some("Out of stock".into()) };
        let row = folded::<Orders, Order>([placed(), paid(1, "18001"), status, amended, cancelled]).unwrap();
        assert_eq!(
            (row.attributes.customer_id, row.attributes.city, row.attributes.items.len()),
            (Some(id(2)), None, 0)
        );
        assert!(!row.paid_in_full, "it costs more now");
        assert_eq!((row.status.as_str(), row.cancelled, row.cancelled_at), ("confirmed", true, Some(at(4))));
        let rejected = Event::Rejected { source: "storefront".into(), errors: vec!["items: missing".into()] };
        assert_eq!(folded::<Orders, Order>([rejected]), None);
    }
}
