//! A service or goods that the company sells or hands out.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Claim, Ctx, Decision, Id, Money, Need, Rejection, Time, all,
    desk::product_category::ProductCategory,
    kernel::{
        color::Color,
        external::{EXTERNAL_ID_INVALID, ExternalId},
        named::Either,
        record::{self, Record, Row},
        valid,
    },
};

/// A product.
pub type Product = Record<Spec>;

/// What makes a record a product.
#[derive(Clone, Default)]
pub struct Spec;

/// What sort of product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something done.
    #[default]
    Service,
    /// Something had.
    Goods,
}

/// Attributes of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// What sort of product.
    #[serde(default)]
    pub kind: Kind,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The colour of its badge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// The name of its badge's icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub icon: Option<String>,
    /// Stock keeping unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// List price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}

/// What may be asked of a product, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Puts it into a category, or into none.
    Categorise {
        /// The category; null for none.
        #[schemars(extend("x-reference" = "product_category", "x-refusal" = "product_category_unfit"))]
        category: Option<Id>,
    },
    /// Takes it out of the range: nobody can be granted it any more, who has it keeps it.
    Retire {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Brings it back into the range.
    Reinstate,
    /// Records what another system calls this product.
    AddExternalId(ExternalId),
    /// Forgets what another system calls it.
    RemoveExternalId(ExternalId),
}

/// What has happened to a product, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is in another category.
    Categorised {
        /// Before.
        from: Option<Id>,
        /// After.
        to: Option<Id>,
    },
    /// It left the range.
    Retired {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is back in the range.
    Reinstated,
    /// Another system's id was recorded.
    ExternalIdAdded(ExternalId),
    /// Another system's id was forgotten.
    ExternalIdRemoved(ExternalId),
}

/// What a product's own commands must remember, and its list shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// Its category.
    #[schemars(extend("x-reference" = "product_category"))]
    pub category: Option<Id>,
    /// Whether it has left the range.
    pub retired: bool,
    /// What other systems call it.
    pub external_ids: BTreeSet<ExternalId>,
}

const EXTERNAL_ID_TAKEN: Rejection =
    Rejection::conflict("product_external_id_taken", "Another product has this external id.");
const CATEGORY_UNFIT: Rejection =
    Rejection::invalid("product_category_unfit", "There is no such product category, or it is deleted.");

impl State {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Categorised { to, .. } => self.category = *to,
            Event::Retired { .. } => self.retired = true,
            Event::Reinstated => self.retired = false,
            Event::ExternalIdAdded(id) => drop(self.external_ids.insert(id.clone())),
            Event::ExternalIdRemoved(id) => drop(self.external_ids.remove(id)),
        }
    }
}

impl Product {
    /// Whether somebody can be granted it: neither archived nor retired.
    pub fn is_on_offer(&self) -> bool {
        self.is_live() && !self.state.retired
    }
}

impl record::Spec for Spec {
    const KIND: &'static str = "product";
    const PLURAL: &'static str = "products";
    const ABOUT: &'static str = "A product.";
    const OPEN: Option<&'static str> = Some("everybody chooses from the catalogue");
    const LIST: (&'static str, i32) = ("product_catalogue", 1);
    const UNIQUE: &'static [&'static str] = &["sku"];
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = State;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, _: Time) {
        row.shown.take(event);
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([valid::name(&fields.name, "/name"), valid::price(fields.price.as_ref())])
    }

    fn undo(_: &Product, event: &Event) -> Option<Vec<record::Command<Self>>> {
        Some(vec![Either::Own(match event {
            Event::Categorised { from, .. } => Command::Categorise { category: *from },
            Event::Retired { .. } => Command::Reinstate,
            Event::Reinstated => Command::Retire { reason: None },
            Event::ExternalIdAdded(id) => Command::RemoveExternalId(id.clone()),
            Event::ExternalIdRemoved(id) => Command::AddExternalId(id.clone()),
        })])
    }

    fn decide(product: &Product, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let state = &product.state;
        Ok(match command {
            Command::Categorise { category } if category == state.category => vec![],
            Command::Categorise { category } => {
                if category.is_some_and(|category| !ctx.fact::<ProductCategory>(category).exists()) {
                    return Err(CATEGORY_UNFIT.at("/category"));
                }
                vec![Event::Categorised { from: state.category, to: category }]
            }
            Command::Retire { reason } if !state.retired => vec![Event::Retired { reason }],
            Command::Reinstate if state.retired => vec![Event::Reinstated],
            Command::AddExternalId(id) if !state.external_ids.contains(&id) => {
                id.check()?;
                vec![Event::ExternalIdAdded(id)]
            }
            Command::RemoveExternalId(id) if state.external_ids.contains(&id) => vec![Event::ExternalIdRemoved(id)],
            _ => vec![],
        })
    }

    fn evolve(product: &mut Product, event: &Event) {
        product.state.take(event);
    }

    fn needs(_: &Product, command: &record::Command<Spec>, _: &Ctx<'_>) -> Vec<Need> {
        match command {
            Either::Own(Command::Categorise { category: Some(category) }) => {
                vec![Need::guarded::<ProductCategory>(*category)]
            }
            _ => vec![],
        }
    }

    fn claims(_: &Product, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        match event {
            Either::Own(Event::ExternalIdAdded(id)) => {
                vec![Claim::take("product.external", id.key(), EXTERNAL_ID_TAKEN.at("/external_id"))]
            }
            Either::Own(Event::ExternalIdRemoved(id)) => vec![Claim::release("product.external", id.key())],
            _ => vec![],
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend([EXTERNAL_ID_INVALID, EXTERNAL_ID_TAKEN, CATEGORY_UNFIT]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let article = ExternalId { source: "shop".into(), external_id: "A-77".into() };
        let fields = Fields {
            name: "Web hosting".into(),
            kind: Kind::Service,
            description: Some("Ten sites and mail".into()),
            color: "#00a09d".parse().ok(),
            icon: Some("server".into()),
            sku: Some("WH-10".into()),
            price: serde_json::from_str(r#"{"amount":"12.50","currency":"EUR"}"#).ok(),
        };
        let commands = vec![
            Command::Categorise { category: Some(Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C)) },
            Command::AddExternalId(article.clone()),
            Command::RemoveExternalId(article),
            Command::Retire { reason: Some("Replaced by the cloud plan".into()) },
            Command::Reinstate,
        ];
        (fields, commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desk::product_category,
        kernel::{
            given::{Given, given},
            record::{Common, Happened, New, Spec as _},
        },
    };

    const HOSTING: Id = Id::from_bits(0xC);

    fn new(fields: Fields) -> New<Fields> {
        New { fields, custom: Default::default(), owner: None, stage: None, tags: [].into(), copied_from: None }
    }

    fn web_hosting(events: impl IntoIterator<Item = Event>) -> Given<Product> {
        let created = Either::Common(Happened::Created(new(Spec::examples().0)));
        given([created].into_iter().chain(events.into_iter().map(Either::Own)))
    }

    #[test]
    fn attributes_that_make_no_sense_are_refused() {
        let fields = || Spec::examples().0;
        let refused =
            |fields, why| given::<Product>([]).when(Either::Common(Common::Create(new(fields)))).rejected(why);
        refused(Fields { name: " ".into(), ..fields() }, valid::NAME_INVALID);
        let debt = serde_json::from_str(r#"{"amount":"-1","currency":"EUR"}"#).ok();
        refused(Fields { price: debt, ..fields() }, valid::PRICE_INVALID);
        let color = |text: &str| serde_json::json!({ "name": "Hosting", "color": text });
        assert!(serde_json::from_value::<Fields>(color("hsl(180, 100%, 25%)")).is_ok());
        assert!(serde_json::from_value::<Fields>(color("turquoise")).is_err());
    }

    #[test]
    fn it_moves_between_categories_that_exist() {
        use product_category::{Event as CategoryEvent, New as NewCategory};
        let category = || CategoryEvent::Created(NewCategory { name: "Hosting".into(), parent: None });
        let put = |category| Either::Own(Command::Categorise { category });
        let moved = |from, to| Event::Categorised { from, to };
        let world = |events: Vec<Event>| web_hosting(events).with::<ProductCategory>(HOSTING, [category()]);
        world(vec![]).when(put(Some(HOSTING))).then([Either::Own(moved(None, Some(HOSTING)))]);
        let there = || vec![moved(None, Some(HOSTING))];
        world(there()).when(put(Some(HOSTING))).nothing();
        world(there()).when(put(None)).then([Either::Own(moved(Some(HOSTING), None))]);
        web_hosting([]).when(put(Some(HOSTING))).rejected(CATEGORY_UNFIT);
        web_hosting([])
            .with::<ProductCategory>(HOSTING, [category(), CategoryEvent::Deleted])
            .when(put(Some(HOSTING)))
            .rejected(CATEGORY_UNFIT);
    }

    #[test]
    fn it_leaves_the_range_and_comes_back() {
        let retire = || Either::Own(Command::Retire { reason: Some("Replaced".into()) });
        let retired = || Event::Retired { reason: Some("Replaced".into()) };
        web_hosting([]).when(retire()).then([Either::Own(retired())]);
        web_hosting([retired()]).when(retire()).nothing();
        assert!(!web_hosting([retired()]).state.is_on_offer());
        let back = || Either::Own(Command::Reinstate);
        web_hosting([retired()]).when(back()).then([Either::Own(Event::Reinstated)]);
        web_hosting([]).when(back()).nothing();
        assert!(web_hosting([retired(), Event::Reinstated]).state.is_on_offer());
    }

    #[test]
    fn other_systems_call_it_what_they_like() {
        let id = || ExternalId { source: "shop".into(), external_id: "A-77".into() };
        let (add, added) = (|| Either::Own(Command::AddExternalId(id())), || Event::ExternalIdAdded(id()));
        let (remove, removed) = (|| Either::Own(Command::RemoveExternalId(id())), || Event::ExternalIdRemoved(id()));
        web_hosting([]).when(add()).then([Either::Own(added())]);
        web_hosting([added()]).when(add()).nothing();
        web_hosting([added()]).when(remove()).then([Either::Own(removed())]);
        web_hosting([]).when(remove()).nothing();
        assert_eq!(web_hosting([]).claims(&Either::Own(added())), ["+product.external shop/A-77"]);
        assert_eq!(web_hosting([added()]).claims(&Either::Own(removed())), ["-product.external shop/A-77"]);
        let blank = ExternalId { external_id: " ".into(), ..id() };
        web_hosting([]).when(Either::Own(Command::AddExternalId(blank))).rejected(EXTERNAL_ID_INVALID);
    }
}
