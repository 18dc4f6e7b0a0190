//! A sale in the making: its stages, its amount, and how it ended.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use crate::{
    Aggregate, Claim, Ctx, Decision, Id, Money, Need, Rejection, Time, all,
    crm::{
        contact::Contact,
        property::{Property, Purpose},
    },
    kernel::{
        custom::Changes,
        merging, money,
        named::Either,
        record::{self, Common, Record, Row},
        valid,
    },
};

/// A deal.
pub type Deal = Record<Spec>;

/// What makes a record a deal.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a deal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// What it is called.
    pub name: String,
    /// The pipeline it runs through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// What it is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// With whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
    /// With which company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "company"))]
    pub company: Option<Id>,
    /// The property it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "property"))]
    pub property: Option<Id>,
    /// The enquiry it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "enquiry"))]
    pub enquiry: Option<Id>,
    /// When it should be closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_on: Option<Date>,
    /// Anything worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What was sold to whom for how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sale {
    /// The property.
    #[schemars(extend("x-reference" = "property"))]
    pub property: Id,
    /// Who bought, sold or helped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contacts: BTreeSet<Id>,
    /// The price agreed on.
    pub price: Money,
}

impl Sale {
    /// Whether this is the other sale, contacts that were merged since being one.
    fn is(&self, other: &Sale, ctx: &Ctx<'_>) -> bool {
        let people = |sale: &Sale| -> BTreeSet<Id> {
            sale.contacts.iter().map(|contact| merging::survivor::<Contact>(*contact, ctx)).collect()
        };
        (self.property, self.price) == (other.property, other.price) && people(self) == people(other)
    }
}

/// What may be asked of a deal, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Records what was sold to whom for how much.
    Record(Sale),
    /// Says that it is won.
    Win {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Says that it is lost.
    Lose {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Takes its end back.
    Reopen,
}

/// What has happened to a deal, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is worth something else.
    AmountChanged {
        /// Before.
        from: Option<Money>,
        /// After.
        to: Option<Money>,
    },
    /// It is on record what was sold.
    Recorded(Sale),
    /// It was won.
    Won {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was lost.
    Lost {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It goes on.
    Reopened,
}

/// What a deal's own commands must remember.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Won (true), lost (false), or still open.
    pub won: Option<bool>,
    /// What was sold.
    pub sale: Option<Sale>,
}

const SOLD: Rejection = Rejection::conflict("deal_property_sold", "Another deal records the sale of this property.");
const CLOSED: Rejection = Rejection::conflict("deal_closed", "The deal is won or lost; reopen it first.");

/// How a deal ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not yet.
    #[default]
    Open,
    /// Well.
    Won,
    /// Not well.
    Lost,
}

/// What its list shows of a deal besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// How it ended.
    pub status: Status,
    /// Why it was won or lost.
    pub reason: Option<String>,
    /// When it was won or lost, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// What was sold to whom for how much.
    pub sale: Option<Sale>,
    /// When that was put on record.
    pub sold_at: Option<Time>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "deal";
    const PLURAL: &'static str = "deals";
    const ABOUT: &'static str = "A sale in the making.";
    const ORDER: &'static str = "-created_at";
    const STAGES: &'static [&'static str] = &["new", "qualified", "proposal", "negotiation", "contract"];
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        let shown = &mut row.shown;
        let (status, reason, closed_at) = match event.clone() {
            Event::AmountChanged { to, .. } => {
                row.fields.amount = to;
                return;
            }
            Event::Recorded(sale) => {
                (shown.sale, shown.sold_at) = (Some(sale), Some(at));
                return;
            }
            Event::Won { reason } => (Status::Won, reason, Some(at)),
            Event::Lost { reason } => (Status::Lost, reason, Some(at)),
            Event::Reopened => (Status::Open, None, None),
        };
        (shown.status, shown.reason, shown.closed_at) = (status, reason, closed_at);
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([valid::name(&fields.name, "/name"), valid::amount(fields.amount.as_ref(), "/amount")])
    }

    fn person(fields: &Fields) -> Option<Id> {
        fields.contact
    }

    fn named(before: &Fields, after: &Fields, changes: &mut Changes) -> Vec<Event> {
        let amount = changes.remove("amount").map(|_| Event::AmountChanged { from: before.amount, to: after.amount });
        amount.into_iter().collect()
    }

    fn settled(deal: &Deal) -> Option<Rejection> {
        deal.state.won.map(|_| CLOSED)
    }

    fn undo(deal: &Deal, event: &Event) -> Option<Vec<record::Command<Self>>> {
        let amount = |amount: &Option<Money>| {
            let amount = serde_json::to_value(amount).unwrap_or_default();
            Either::Common(Common::Edit(Map::from_iter([("amount".to_owned(), amount)])))
        };
        Some(vec![match event {
            Event::AmountChanged { from, .. } => amount(from),
            Event::Recorded(_) => Either::Own(Command::Record(deal.state.sale.clone()?)),
            Event::Won { .. } | Event::Lost { .. } | Event::Reopened => Either::Own(match deal.state.won {
                Some(true) => Command::Win { reason: None },
                Some(false) => Command::Lose { reason: None },
                None => Command::Reopen,
            }),
        }])
    }

    fn decide(deal: &Deal, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        Ok(match (command, deal.state.won) {
            (Command::Record(sale), _) if deal.state.sale.as_ref().is_some_and(|known| known.is(&sale, ctx)) => vec![],
            (Command::Record(sale), _) => {
                valid::amount(Some(&sale.price), "/price")?;
                vec![Event::Recorded(sale)]
            }
            (Command::Win { reason }, None) => vec![Event::Won { reason }],
            (Command::Lose { reason }, None) => vec![Event::Lost { reason }],
            (Command::Win { .. }, Some(true)) | (Command::Lose { .. }, Some(false)) | (Command::Reopen, None) => vec![],
            (Command::Reopen, Some(_)) => vec![Event::Reopened],
            _ => return Err(CLOSED),
        })
    }

    fn evolve(deal: &mut Deal, event: &Event) {
        match event {
            Event::AmountChanged { to, .. } => {
                if let Some(fields) = &mut deal.fields {
                    fields.amount = *to;
                }
            }
            Event::Recorded(sale) => deal.state.sale = Some(sale.clone()),
            Event::Won { .. } => deal.state.won = Some(true),
            Event::Lost { .. } => deal.state.won = Some(false),
            Event::Reopened => deal.state.won = None,
        }
    }

    /// A property that is to let may be let again and again.
    fn needs(deal: &Deal, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        let sale = match command {
            Either::Own(Command::Record(sale)) => Some(sale),
            Either::Own(Command::Reopen) | Either::Common(Common::Restore) => deal.state.sale.as_ref(),
            _ => None,
        };
        let property = sale.map(|sale| Need::of::<Property>(sale.property));
        let sales = match command {
            Either::Own(Command::Record(sale)) => vec![Some(sale), deal.state.sale.as_ref()],
            _ => Vec::new(),
        };
        let contacts = sales.into_iter().flatten().flat_map(|sale| &sale.contacts);
        property.into_iter().chain(contacts.flat_map(|contact| merging::needs::<Contact>(*contact, ctx))).collect()
    }

    /// A property is sold once: by the deal that records it, until that is lost or put away.
    fn claims(deal: &Deal, event: &record::Event<Spec>, ctx: &Ctx<'_>) -> Vec<Claim> {
        let mut after = deal.clone();
        Aggregate::evolve(&mut after, event);
        let mut claims = Claim::moved("deal.sale", &sold(deal), &sold(&after), &SOLD);
        let is_to_let = |id: Id| {
            let known = ctx.facts.has(Property::KIND, id).then(|| ctx.fact::<Property>(id));
            known.is_some_and(|property| property.fields.as_ref().is_some_and(|fields| fields.purpose == Purpose::Rent))
        };
        claims.retain(|claim| !claim.take || !claim.key.parse().is_ok_and(is_to_let));
        claims
    }

    fn document(deal: &Deal, document: &mut Map<String, Value>) {
        let status = match deal.state.won {
            None => "open",
            Some(true) => "won",
            Some(false) => "lost",
        };
        document.insert("status".into(), status.into());
    }

    fn document_schemas() -> Vec<(&'static str, Value)> {
        vec![("status", json!({ "type": "string", "enum": ["open", "won", "lost"] }))]
    }

    fn refusals() -> Vec<Rejection> {
        [CLOSED, SOLD, valid::NAME_INVALID, valid::AMOUNT_INVALID].into_iter().chain(money::REFUSALS).collect()
    }

    fn examples() -> (Fields, Vec<Command>) {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let amount: Option<Money> = serde_json::from_str(r#"{"amount":"310000","currency":"EUR"}"#).ok();
        let fields = Fields {
            name: "Flat on Via Roma".into(),
            pipeline: Some("sales".into()),
            amount,
            contact: Some(id(0xC)),
            company: Some(id(0xD)),
            property: Some(id(0xE)),
            enquiry: Some(id(0xF)),
            expected_on: "2026-03-31".parse().ok(),
            description: Some("Waits for the bank.".into()),
        };
        let sale = amount.map(|price| Sale { property: id(0xE), contacts: [id(0xC)].into(), price });
        let ends =
            [Command::Win { reason: Some("Best price".into()) }, Command::Lose { reason: None }, Command::Reopen];
        (fields, sale.map(Command::Record).into_iter().chain(ends).collect())
    }
}

/// The property that a deal sells, while that stands.
fn sold(deal: &Deal) -> BTreeSet<String> {
    let stands = deal.state.won != Some(false) && !deal.archived;
    deal.state.sale.iter().filter(|_| stands).map(|sale| sale.property.to_string()).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::kernel::{
        given::{Given, created, given},
        record::{Common, Happened, Spec as _},
    };

    fn flat(events: impl IntoIterator<Item = Event>) -> Given<Deal> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    fn edit(patch: &Value) -> record::Command<Spec> {
        Either::Common(Common::Edit(patch.as_object().unwrap().clone()))
    }

    #[test]
    fn a_new_amount_has_an_event_of_its_own() {
        let from = Spec::examples().0.amount;
        let to = from.map(|money| Money { amount: 300_000.into(), ..money });
        let changed = || Event::AmountChanged { from, to };
        flat([]).when(edit(&json!({ "amount": to }))).then([Either::Own(changed())]);
        flat([changed()]).when(edit(&json!({ "amount": to }))).nothing();
        let events = flat([]).when(edit(&json!({ "amount": to, "pipeline": "rent" }))).events();
        assert!(
            matches!(&events[..], [Either::Own(_), Either::Common(Happened::DetailsChanged { changes })] if changes.len() == 1)
        );
        let debt = json!({ "amount": { "amount": "-1", "currency": "EUR" } });
        flat([]).when(edit(&debt)).rejected(valid::AMOUNT_INVALID);
    }

    #[test]
    fn a_sale_is_recorded_and_it_ends_one_way_or_the_other() {
        let (_, commands) = Spec::examples();
        let record = || Either::Own(commands[0].clone());
        let Command::Record(sale) = commands[0].clone() else { unreachable!() };
        let recorded = || Event::Recorded(sale.clone());
        flat([]).when(record()).then([Either::Own(recorded())]);
        flat([recorded()]).when(record()).nothing();
        let property = sale.property;
        assert_eq!(flat([]).claims(&Either::Own(recorded())), [format!("+deal.sale {property}")]);
        let lost = || Either::Own(Event::Lost { reason: None });
        assert_eq!(flat([recorded()]).claims(&lost()), [format!("-deal.sale {property}")]);
        let archived = Either::Common(Happened::Archived { reason: None });
        assert_eq!(flat([recorded()]).claims(&archived), [format!("-deal.sale {property}")]);
        let won = || Event::Won { reason: Some("Best price".into()) };
        let lose = || Either::Own(Command::Lose { reason: Some("Too dear".into()) });
        flat([]).when(Either::Own(commands[1].clone())).then([Either::Own(won())]);
        flat([won()]).when(Either::Own(commands[1].clone())).nothing();
        flat([won()]).when(lose()).rejected(CLOSED);
        flat([won()]).when(Either::Common(Common::MoveStage { stage: "contract".into() })).rejected(CLOSED);
        flat([won()]).when(Either::Own(Command::Reopen)).then([Either::Own(Event::Reopened)]);
        let lost = Event::Lost { reason: Some("Too dear".into()) };
        flat([won(), Event::Reopened]).when(lose()).then([Either::Own(lost)]);
    }
}
