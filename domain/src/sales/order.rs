//! What a customer has ordered, from the shop's till to the last payment.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Claim, Ctx, Decision, Faults, Id, Money, Need, Personal, Rejection, all,
    kernel::{
        access::Relation,
        custom::{self, Changes},
        money,
        phone::{self, Dialled},
        record::{self, WORKED_OUT},
        reference::{REFERENCE_UNFIT, Subject},
        valid,
    },
    must,
};

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// Stock keeping unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// How much or how many, as text.
    #[serde(default = "one")]
    #[schemars(extend("x-minimum" = "0", "x-maximum" = "1000000000"))]
    pub quantity: Decimal,
    /// The price of one.
    pub price: Money,
}

fn one() -> Decimal {
    Decimal::ONE
}

/// What an order consists of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// Where it came in: `storefront`, `back_office`, `chat`, `api`, ...
    #[schemars(extend("format" = "word"))]
    pub source: String,
    /// The number that it has there; no other order from that source may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub external_number: Option<String>,
    /// The contact who ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub customer: Option<Id>,
    /// The company that ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "company"))]
    pub company: Option<Id>,
    /// Whom to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// Where to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "phone"))]
    pub phone: Option<Personal<String>>,
    /// The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_e164: Option<Personal<String>>,
    /// The extension in `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_extension: Option<Personal<String>>,
    /// Where to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "email"))]
    pub email: Option<Personal<String>>,
    /// City to deliver to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Street and number to deliver to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// What is ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// What is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Money>,
    /// What delivery costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Money>,
    /// What is to be paid: the items less the discount plus the delivery, and reckoned for you when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// The conversation in which it was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "conversation"))]
    pub conversation: Option<Id>,
    /// The customer's remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Personal<String>>,
}

/// What may be asked of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Takes an order in.
    Place(Details),
    /// Changes it by JSON merge patch (RFC 7396). Only real changes are recorded; the total follows the items.
    Amend(#[schemars(with = "record::Patch<Details>")] Map<String, Value>),
    /// Moves it to another status.
    ChangeStatus {
        /// The shop's own word for it, such as `confirmed`.
        #[schemars(extend("format" = "word"))]
        status: String,
    },
    /// Records a payment.
    Pay {
        /// Its id; made for you when absent.
        #[serde(default)]
        payment_id: Option<Id>,
        /// How much.
        amount: Money,
    },
    /// Calls it off.
    Cancel {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Records an order that came in and made no sense.
    Reject {
        /// Where it came in.
        source: String,
        /// What was wrong with it.
        errors: Vec<String>,
    },
}

/// What placing an order recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// 1, 2, 3, ... within the tenant, drawn by the log.
    pub number: u64,
    /// What it consists of.
    #[serde(flatten)]
    pub details: Details,
}

/// What has happened to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was placed.
    Placed(Placed),
    /// It changed.
    Amended {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// It has another status.
    StatusChanged {
        /// Before.
        #[schemars(extend("format" = "word"))]
        from: String,
        /// After.
        #[schemars(extend("format" = "word"))]
        to: String,
    },
    /// A payment came in.
    Paid {
        /// Which payment.
        payment_id: Id,
        /// How much.
        amount: Money,
        /// Whether nothing is left to pay.
        in_full: bool,
    },
    /// It was called off.
    Cancelled {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It came in and made no sense.
    Rejected {
        /// Where it came in.
        source: String,
        /// What was wrong with it.
        errors: Vec<String>,
    },
}

/// The status of an order that was just placed.
pub const NEW: &str = "new";

/// An order.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What it consists of, once it is placed.
    pub placed: Option<Box<Placed>>,
    /// The shop's own word for how far it is.
    pub status: String,
    /// Whether it was called off.
    pub cancelled: bool,
    payments: BTreeMap<Id, Money>,
    rejected: Option<(String, Vec<String>)>,
}

const UNKNOWN: Rejection = Rejection::missing("order_unknown", "There is no such order.");
const EXISTS: Rejection = Rejection::conflict("order_exists", "An order with this id exists already.");
const NUMBER_TAKEN: Rejection =
    Rejection::conflict("order_number_taken", "Another order from this source has this number.");
const CANCELLED: Rejection = Rejection::conflict("order_cancelled", "The order is cancelled.");
const REJECTED: Rejection = Rejection::conflict("order_rejected", "The order was rejected when it came in.");
const SOURCE_INVALID: Rejection =
    Rejection::invalid("order_source_invalid", "A source has 1 to 64 characters and no slash.");
const STATUS_INVALID: Rejection = Rejection::invalid("order_status_invalid", "A status has 1 to 64 characters.");
const ITEM_INVALID: Rejection =
    Rejection::invalid("order_item_invalid", "An item has a name, a quantity above zero and a price not below.");
const EMPTY: Rejection = Rejection::invalid("order_empty", "An order has items, or at least a total.");
const CURRENCY_MIXED: Rejection =
    Rejection::invalid("order_currency_mixed", "All amounts of an order are in one currency.");
const TOTAL_WRONG: Rejection =
    Rejection::invalid("order_total_wrong", "The total is the items less the discount plus the delivery.");
const TOO_LARGE: Rejection = Rejection::invalid("order_too_large", "The amounts are too large to add up.");
const AMOUNT_INVALID: Rejection = Rejection::invalid("payment_amount_invalid", "A payment is more than nothing.");
const PAYMENT_EXISTS: Rejection =
    Rejection::conflict("payment_exists", "A payment with this id and another amount is on record.");

impl Details {
    fn check(&self) -> Result<(), Rejection> {
        let source = self.source.trim();
        let named = !source.is_empty() && self.source.chars().count() <= 64 && !source.contains('/');
        let sound = |item: &Item| {
            !item.name.trim().is_empty() && item.quantity > Decimal::ZERO && !item.price.amount.is_sign_negative()
        };
        let items = self.items.iter().enumerate();
        all([
            must(named, SOURCE_INVALID, "/source"),
            valid::email(self.email.as_ref().map(|email| email.as_str())),
            valid::amount(self.discount.as_ref(), "/discount"),
            valid::amount(self.shipping.as_ref(), "/shipping"),
            valid::amount(self.total.as_ref(), "/total"),
            all(items.map(|(index, item)| {
                let pointer = format!("/items/{index}");
                if sound(item) { item.price.check(&format!("{pointer}/price")) } else { Err(ITEM_INVALID.at(pointer)) }
            })),
        ])
    }

    /// Says what the phone number means.
    fn dialled(self, ctx: &Ctx<'_>) -> Result<Details, Rejection> {
        let typed = self.phone.as_ref().map(|phone| phone.as_str());
        let Dialled { e164, extension } = Dialled::of(typed, "/phone", ctx)?;
        Ok(Details { phone_e164: e164.map(Personal), phone_extension: extension.map(Personal), ..self })
    }

    /// The same with its total, which must be what the parts add up to.
    fn with_total(self) -> Result<Details, Rejection> {
        self.check()?;
        let parts = self.items.iter().map(|item| &item.price).chain(&self.discount).chain(&self.shipping);
        let Some(currency) = self.total.iter().chain(parts.clone()).map(|money| money.currency).next() else {
            return Err(EMPTY.at("/items"));
        };
        if self.total.iter().chain(parts).any(|money| money.currency != currency) {
            return Err(CURRENCY_MIXED);
        }
        if self.items.is_empty() {
            return if self.total.is_some() { Ok(self) } else { Err(EMPTY.at("/items")) };
        }
        let amount = self.sum().ok_or(TOO_LARGE)?;
        let Money { amount, .. } = Money { amount, currency }.rounded();
        if amount.is_sign_negative() {
            return Err(TOTAL_WRONG.because("The discount is more than the rest.").at("/discount"));
        }
        match self.total {
            Some(total) if total.amount != amount => {
                Err(TOTAL_WRONG.because(format!("The parts add up to {amount}, not {}.", total.amount)).at("/total"))
            }
            Some(_) => Ok(self),
            None => Ok(Details { total: Some(Money { amount, currency }), ..self }),
        }
    }

    fn sum(&self) -> Option<Decimal> {
        let amount = |money: Option<Money>| money.map_or(Decimal::ZERO, |money| money.amount);
        let mut items = self.items.iter().map(|item| item.quantity.checked_mul(item.price.amount));
        let items = items.try_fold(Decimal::ZERO, |sum, item| sum.checked_add(item?));
        items?.checked_sub(amount(self.discount))?.checked_add(amount(self.shipping))
    }

    fn number_key(&self) -> BTreeSet<String> {
        self.external_number.iter().map(|number| format!("{}/{number}", self.source)).collect()
    }

    /// After a merge patch; without a total of its own the patch has it reckoned anew.
    fn amended(&self, patch: &Map<String, Value>) -> Result<Details, Rejection> {
        let mut patch = patch.clone();
        WORKED_OUT.iter().for_each(|key| drop(patch.remove(*key)));
        let stays = patch.contains_key("total");
        let mut faults = Faults::default();
        let (amended, _) = record::patched(self, patch, &mut faults);
        let stays = stays || amended.items.is_empty();
        let total = amended.total.filter(|_| stays);
        let amended = faults.check(Details { total, ..amended }.with_total());
        faults.done()?;
        Ok(amended.unwrap_or_else(|| self.clone()))
    }
}

impl Placed {
    fn is_placed_by(&self, details: &Details, ctx: &Ctx<'_>) -> bool {
        let details = details.clone().with_total().and_then(|details| details.dialled(ctx));
        details.is_ok_and(|details| details == self.details)
    }
}

impl Order {
    fn pay(&self, placed: &Placed, payment_id: Option<Id>, amount: Money, ctx: &Ctx<'_>) -> Decision<Event> {
        let payment_id = payment_id.unwrap_or_else(|| ctx.fresh("payment"));
        match self.payments.get(&payment_id) {
            Some(known) if *known == amount => return Ok(vec![]),
            Some(_) => return Err(PAYMENT_EXISTS.at("/payment_id")),
            None => {}
        }
        amount.check("/amount")?;
        let total = placed.details.total.unwrap_or(amount);
        if amount.currency != total.currency {
            return Err(CURRENCY_MIXED.at("/amount/currency"));
        }
        if amount.amount <= Decimal::ZERO {
            return Err(AMOUNT_INVALID.at("/amount"));
        }
        let paid = self.paid().and_then(|paid| paid.checked_add(amount.amount)).ok_or(TOO_LARGE)?;
        Ok(vec![Event::Paid { payment_id, amount, in_full: paid >= total.amount }])
    }

    /// What has been paid so far, in the currency in which it is to be paid.
    fn paid(&self) -> Option<Decimal> {
        let total = self.placed.as_ref().and_then(|placed| placed.details.total);
        let counts = |payment: &&Money| total.is_none_or(|total| total.currency == payment.currency);
        let mut amounts = self.payments.values().filter(counts).map(|payment| payment.amount);
        amounts.try_fold(Decimal::ZERO, Decimal::checked_add)
    }
}

/// An order as rules see it.
#[derive(Serialize, JsonSchema)]
struct Document {
    #[serde(flatten)]
    placed: Placed,
    #[schemars(extend("format" = "word"))]
    status: String,
    cancelled: bool,
    paid: Decimal,
}

impl Aggregate for Order {
    const KIND: &'static str = "order";
    const PLURAL: &'static str = "orders";
    const CREATE: &'static str = "place";
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let (placed, command) = match (&self.placed, &self.rejected, command) {
            (None, Some((from, why)), Reject { source, errors }) if (from, why) == (&source, &errors) => {
                return Ok(vec![]);
            }
            (None, Some(_), _) => return Err(REJECTED),
            (None, None, Place(details)) => {
                let details = details.with_total()?.dialled(ctx)?;
                return Ok(vec![Event::Placed(Placed { number: 0, details })]);
            }
            (None, None, Reject { source, errors }) => return Ok(vec![Event::Rejected { source, errors }]),
            (None, None, _) => return Err(UNKNOWN),
            (Some(placed), _, command) => (placed, command),
        };
        match command {
            Place(details) if placed.is_placed_by(&details, ctx) => Ok(vec![]),
            Place(_) | Reject { .. } => Err(EXISTS),
            Cancel { .. } if self.cancelled => Ok(vec![]),
            _ if self.cancelled => Err(CANCELLED),
            Amend(patch) => {
                let amended = placed.details.amended(&patch)?;
                let amended = match amended.phone == placed.details.phone {
                    true => amended,
                    false => amended.dialled(ctx)?,
                };
                // What was paid in one currency is not paid in another.
                let paid = self.payments.values().next().map(|payment| payment.currency);
                if paid.is_some_and(|paid| amended.total.is_some_and(|total| total.currency != paid)) {
                    return Err(CURRENCY_MIXED
                        .because("It is paid in another currency already.")
                        .at("/total/currency"));
                }
                let changes = record::difference(&placed.details, &amended);
                Ok(if changes.is_empty() { vec![] } else { vec![Event::Amended { changes }] })
            }
            ChangeStatus { status } if status == self.status => Ok(vec![]),
            ChangeStatus { status } if status.trim().is_empty() || status.chars().count() > 64 => {
                Err(STATUS_INVALID.at("/status"))
            }
            ChangeStatus { status } => Ok(vec![Event::StatusChanged { from: self.status.clone(), to: status }]),
            Pay { payment_id, amount } => self.pay(placed, payment_id, amount, ctx),
            Cancel { reason } => Ok(vec![Event::Cancelled { reason }]),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        const ABOUT: [(&str, &str); 3] =
            [("customer", "contact"), ("company", "company"), ("conversation", "conversation")];
        let about = |attribute, kind: &str, id: Option<Id>| {
            Relation::About(attribute, id.map(|id| Subject::new(kind, id)).into_iter().collect())
        };
        match event {
            Event::Placed(Placed { details, .. }) => {
                let ids = [details.customer, details.company, details.conversation];
                ABOUT.into_iter().zip(ids).map(|((attribute, kind), id)| about(attribute, kind, id)).collect()
            }
            Event::Amended { changes } => {
                let changed = |(attribute, kind): (&'static str, &str)| {
                    let change = changes.get(attribute)?;
                    Some(about(attribute, kind, change.to.as_str().and_then(|id| id.parse().ok())))
                };
                ABOUT.into_iter().filter_map(changed).collect()
            }
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Placed(_) => Command::Cancel { reason: None },
            Event::Amended { changes } => Command::Amend(custom::before(changes).into_iter().collect()),
            Event::StatusChanged { from, .. } => Command::ChangeStatus { status: from.clone() },
            Event::Paid { .. } | Event::Cancelled { .. } | Event::Rejected { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Placed(placed) => {
                self.placed = Some(Box::new(placed.clone()));
                NEW.clone_into(&mut self.status);
            }
            Event::Amended { changes } => {
                if let Some(placed) = &mut self.placed {
                    record::apply_changes(&mut placed.details, changes);
                }
            }
            Event::StatusChanged { to, .. } => self.status.clone_from(to),
            Event::Paid { payment_id, amount, .. } => drop(self.payments.insert(*payment_id, *amount)),
            Event::Cancelled { .. } => self.cancelled = true,
            Event::Rejected { source, errors } => self.rejected = Some((source.clone(), errors.clone())),
        }
    }

    fn is_live(&self) -> bool {
        self.placed.is_some()
    }

    fn document(&self) -> Option<Value> {
        let placed = (**self.placed.as_ref()?).clone();
        let paid = self.paid().unwrap_or_default();
        serde_json::to_value(Document { placed, status: self.status.clone(), cancelled: self.cancelled, paid }).ok()
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(Document::json_schema(generator))
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let phone = match command {
            Command::Place(details) => details.phone.is_some(),
            Command::Amend(patch) => patch.contains_key("phone"),
            _ => false,
        };
        phone.then(|| phone::need(ctx)).into_iter().collect()
    }

    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let number =
            |order: &Order| order.placed.as_ref().map(|placed| placed.details.number_key()).unwrap_or_default();
        if !matches!(event, Event::Placed(_) | Event::Amended { .. }) {
            return Vec::new();
        }
        let mut after = self.clone();
        after.evolve(event);
        Claim::moved("order.external_number", &number(self), &number(&after), &NUMBER_TAKEN.at("/external_number"))
    }

    fn counter(event: &Event) -> Option<&'static str> {
        matches!(event, Event::Placed(_)).then_some("order")
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Placed(placed) => placed.details.customer,
            _ => self.placed.as_ref().and_then(|placed| placed.details.customer),
        }
    }

    /// Payments and amendments of other attributes do not disturb each other.
    fn merges(command: &Command, since: &[Event]) -> bool {
        since.iter().all(|event| match (command, event) {
            (Command::Pay { .. }, Event::Paid { .. } | Event::StatusChanged { .. }) => true,
            (Command::Amend(_), Event::Paid { .. } | Event::StatusChanged { .. }) => true,
            (Command::Amend(patch), Event::Amended { changes }) => changes.keys().all(|key| !patch.contains_key(key)),
            _ => false,
        })
    }

    fn refusals() -> Vec<Rejection> {
        let states = [UNKNOWN, EXISTS, NUMBER_TAKEN, CANCELLED, REJECTED, PAYMENT_EXISTS];
        let fields = [SOURCE_INVALID, STATUS_INVALID, ITEM_INVALID, EMPTY, CURRENCY_MIXED, TOTAL_WRONG, TOO_LARGE];
        let shared = [AMOUNT_INVALID, REFERENCE_UNFIT, record::FIELD_INVALID, valid::AMOUNT_INVALID];
        let addresses = [valid::EMAIL_INVALID, valid::PHONE_INVALID];
        states.into_iter().chain(fields).chain(shared).chain(addresses).chain(money::REFUSALS).collect()
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let Ok(currency) = "RUB".parse() else { return Vec::new() };
        let money = |amount: i64| Money { amount: amount.into(), currency };
        let item = |name: &str, quantity: i64, price: i64| Item {
            name: name.into(),
            sku: Some("CH-7".into()),
            quantity: quantity.into(),
            price: money(price),
        };
        let details = Details {
            source: "storefront".into(),
            external_number: Some("A-1007".into()),
            customer: Some(id(0xC)),
            company: Some(id(0xD)),
            name: Some("Maria Rossi".into()),
            phone: Some("+7 812 555 0101".into()),
            phone_e164: Some("+78125550101".into()),
            phone_extension: None,
            email: Some("maria.rossi@example.com".into()),
            city: Some("Saint Petersburg".into()),
            address: Some("Nevsky 1".into()),
            items: vec![item("Chair", 10, 9000), item("Table", 1, 12_000)],
            discount: Some(money(2000)),
            shipping: Some(money(500)),
            total: Some(money(100_500)),
            conversation: Some(id(0xE)),
            comment: Some("Call before you come.".into()),
        };
        vec![
            Command::Place(details),
            Command::Amend(Map::from_iter([("city".to_owned(), "Moscow".into())])),
            Command::ChangeStatus { status: "confirmed".into() },
            Command::Pay { payment_id: Some(id(0xF)), amount: money(100_500) },
            Command::Cancel { reason: Some("Out of stock".into()) },
            Command::Reject { source: "storefront".into(), errors: vec!["items: missing".into()] },
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::given::{Given, given};

    fn details() -> Details {
        let Command::Place(details) = Order::examples().remove(0) else { unreachable!() };
        details
    }

    fn bare() -> Details {
        Details { customer: None, company: None, conversation: None, ..details() }
    }

    fn placed() -> Event {
        Event::Placed(Placed { number: 0, details: details() })
    }

    fn order(events: impl IntoIterator<Item = Event>) -> Given<Order> {
        given::<Order>([placed()].into_iter().chain(events))
    }

    fn rubles(amount: i64) -> Money {
        Money { amount: amount.into(), currency: "RUB".parse().unwrap() }
    }

    fn amend(patch: &Value) -> Command {
        Command::Amend(patch.as_object().unwrap().clone())
    }

    #[test]
    fn placing_draws_a_number_and_names_who_must_be_there() {
        given::<Order>([]).when(Command::Place(details())).then([placed()]);
        order([]).when(Command::Place(details())).nothing();
        order([]).when(Command::Place(bare())).rejected(EXISTS);
        assert_eq!(Order::counter(&placed()), Some("order"));
        let (_, data) = Order::encode(&placed());
        assert!(data.starts_with(br#"{"number":0,"#), "the log writes the number there");
        assert_eq!(given::<Order>([]).claims(&placed()), ["+order.external_number storefront/A-1007"]);
    }

    #[test]
    fn the_total_is_reckoned_or_must_be_right() {
        let place = |details| given::<Order>([]).when(Command::Place(details));
        let events = place(Details { total: None, ..bare() }).events();
        assert!(matches!(&events[..], [Event::Placed(placed)] if placed.details.total == Some(rubles(100_500))));
        place(Details { total: Some(rubles(99_999)), ..bare() }).rejected(TOTAL_WRONG);
        place(Details { total: None, discount: Some(rubles(999_999)), ..bare() }).rejected(TOTAL_WRONG);
        let euro = Money { currency: "EUR".parse().unwrap(), ..rubles(100_500) };
        place(Details { total: Some(euro), ..bare() }).rejected(CURRENCY_MIXED);
        place(Details { items: vec![], total: None, ..bare() }).rejected(EMPTY);
        place(Details { items: vec![], total: Some(rubles(1)), ..bare() }).events();
        let item = |quantity, price| Item { quantity, price, ..details().items.remove(0) };
        place(Details { items: vec![item(Decimal::ZERO, rubles(1))], ..bare() }).rejected(ITEM_INVALID);
        let huge = Money { amount: Decimal::MAX, ..rubles(1) };
        place(Details { items: vec![item(Decimal::TWO, huge)], total: None, ..bare() }).rejected(TOO_LARGE);
        place(Details { source: "a/b".into(), ..bare() }).rejected(SOURCE_INVALID);
    }

    #[test]
    fn it_is_amended_and_the_total_follows() {
        let items = json!([{ "name": "Chair", "quantity": "2", "price": { "amount": "9000", "currency": "RUB" } }]);
        let events = order([]).when(amend(&json!({ "items": items, "city": "Moscow" }))).events();
        let [Event::Amended { changes }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(changes.keys().collect::<Vec<_>>(), ["city", "items", "total"]);
        assert_eq!(changes["total"].to, json!({ "amount": "16500", "currency": "RUB" }));
        order(events).when(amend(&json!({ "city": "Moscow" }))).nothing();
        order([]).when(amend(&json!({ "total": rubles(1) }))).rejected(TOTAL_WRONG);
        order([]).when(amend(&json!({ "items": 7 }))).rejected(record::FIELD_INVALID);
        let renumbered = order([]).when(amend(&json!({ "external_number": "A-2" }))).events();
        let claims = order([]).claims(&renumbered[0]);
        assert_eq!(claims, ["-order.external_number storefront/A-1007", "+order.external_number storefront/A-2"]);
    }

    #[test]
    fn it_moves_on_is_paid_and_ends() {
        let confirmed = || Event::StatusChanged { from: NEW.into(), to: "confirmed".into() };
        let confirm = || Command::ChangeStatus { status: "confirmed".into() };
        order([]).when(confirm()).then([confirmed()]);
        order([confirmed()]).when(confirm()).nothing();
        order([]).when(Command::ChangeStatus { status: " ".into() }).rejected(STATUS_INVALID);

        let payment = |last, amount| (Some(Id::from_bits(last)), rubles(amount));
        let pay = |(payment_id, amount)| Command::Pay { payment_id, amount };
        let paid = |last, amount, in_full| {
            let (payment_id, amount) = payment(last, amount);
            Event::Paid { payment_id: payment_id.unwrap(), amount, in_full }
        };
        order([]).when(pay(payment(1, 500))).then([paid(1, 500, false)]);
        order([paid(1, 500, false)]).when(pay(payment(1, 500))).nothing();
        order([paid(1, 500, false)]).when(pay(payment(1, 501))).rejected(PAYMENT_EXISTS);
        order([paid(1, 500, false)]).when(pay(payment(2, 100_000))).then([paid(2, 100_000, true)]);
        order([]).when(pay(payment(1, 0))).rejected(AMOUNT_INVALID);

        let cancel = || Command::Cancel { reason: Some("Out of stock".into()) };
        let cancelled = || Event::Cancelled { reason: Some("Out of stock".into()) };
        order([]).when(cancel()).then([cancelled()]);
        order([cancelled()]).when(cancel()).nothing();
        order([cancelled()]).when(confirm()).rejected(CANCELLED);
    }

    #[test]
    fn what_made_no_sense_is_on_record() {
        let reject = || Command::Reject { source: "storefront".into(), errors: vec!["items: missing".into()] };
        let rejected = || Event::Rejected { source: "storefront".into(), errors: vec!["items: missing".into()] };
        given::<Order>([]).when(reject()).then([rejected()]);
        given::<Order>([rejected()]).when(reject()).nothing();
        given::<Order>([rejected()]).when(Command::Place(bare())).rejected(REJECTED);
        order([]).when(reject()).rejected(EXISTS);
    }

    #[test]
    fn rules_see_what_it_is_now() {
        let amount = rubles(500);
        let paid = Event::Paid { payment_id: Id::from_bits(1), amount, in_full: false };
        let document = order([paid]).state.document().unwrap();
        assert_eq!(document["total"]["amount"], "100500");
        assert_eq!((&document["status"], &document["paid"]), (&json!("new"), &json!("500")));
        assert_eq!(Order::default().document(), None);
    }
}
