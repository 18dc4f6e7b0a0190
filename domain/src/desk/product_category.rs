//! A group of products, itself in a group or at the top.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, Ctx, Decision, Id, Need, Rejection, all, kernel::valid};

/// What may be asked of a product category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a category.
    Create(New),
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Moves it into another category, or to the top.
    Move {
        /// The category above; null for the top.
        #[schemars(extend("x-reference" = "product_category", "x-refusal" = "product_category_parent_unfit"))]
        parent: Option<Id>,
    },
    /// Deletes it; what it holds is in no category then.
    Delete,
}

/// A new product category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name.
    pub name: String,
    /// The category above; none at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "product_category", "x-refusal" = "product_category_parent_unfit"))]
    pub parent: Option<Id>,
}

/// What has happened to a product category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created(New),
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// It is in another place.
    Moved {
        /// The category above before.
        from: Option<Id>,
        /// The category above after.
        to: Option<Id>,
    },
    /// It was deleted.
    Deleted,
}

/// A group of products.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProductCategory {
    /// Its name; absent before it is created.
    pub name: Option<String>,
    /// The category above.
    pub parent: Option<Id>,
    /// Whether it is deleted.
    pub deleted: bool,
}

const UNKNOWN: Rejection = Rejection::missing("product_category_unknown", "There is no such product category.");
const EXISTS: Rejection =
    Rejection::conflict("product_category_exists", "A product category with this id exists already.");
const DELETED: Rejection = Rejection::conflict("product_category_deleted", "The product category is deleted.");
const PARENT_UNFIT: Rejection =
    Rejection::invalid("product_category_parent_unfit", "There is no such category above, or it is deleted.");
const CYCLE: Rejection = Rejection::conflict("product_category_cycle", "A category cannot lie within itself.");

impl ProductCategory {
    /// Whether it was created and not deleted.
    pub fn exists(&self) -> bool {
        self.name.is_some() && !self.deleted
    }
}

/// The categories above, nearest first, as far as they are among the facts.
fn ancestors(parent: Option<Id>, ctx: &Ctx<'_>) -> Vec<Id> {
    let mut chain = Vec::new();
    let mut next = parent;
    while let Some(id) = next.filter(|id| !chain.contains(id)) {
        chain.push(id);
        let known = ctx.facts.has(ProductCategory::KIND, id);
        next = if known { ctx.fact::<ProductCategory>(id).parent } else { None };
    }
    chain
}

fn check_parent(parent: Option<Id>, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let chain = ancestors(parent, ctx);
    if chain.contains(&ctx.id) {
        return Err(CYCLE.at("/parent"));
    }
    let sound = chain.first().is_none_or(|nearest| ctx.fact::<ProductCategory>(*nearest).exists());
    if sound { Ok(()) } else { Err(PARENT_UNFIT.at("/parent")) }
}

impl Aggregate for ProductCategory {
    const KIND: &'static str = "product_category";
    const PLURAL: &'static str = "product_categories";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("everybody chooses from the catalogue");
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let Some(name) = &self.name else {
            let Command::Create(new) = command else { return Err(UNKNOWN) };
            all([valid::name(&new.name, "/name"), check_parent(new.parent, ctx)])?;
            return Ok(vec![Event::Created(new)]);
        };
        match command {
            Command::Create(new) if *name == new.name && self.parent == new.parent => Ok(vec![]),
            Command::Create(_) => Err(EXISTS),
            Command::Delete => Ok(if self.deleted { vec![] } else { vec![Event::Deleted] }),
            _ if self.deleted => Err(DELETED),
            Command::Rename { name: to } => {
                valid::name(&to, "/name")?;
                Ok(if *name == to { vec![] } else { vec![Event::Renamed { from: name.clone(), to }] })
            }
            Command::Move { parent } if parent == self.parent => Ok(vec![]),
            Command::Move { parent } => {
                check_parent(parent, ctx)?;
                Ok(vec![Event::Moved { from: self.parent, to: parent }])
            }
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Created(_) => Command::Delete,
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::Moved { from, .. } => Command::Move { parent: *from },
            Event::Deleted => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(new) => {
                self.name = Some(new.name.clone());
                self.parent = new.parent;
            }
            Event::Renamed { to, .. } => self.name = Some(to.clone()),
            Event::Moved { to, .. } => self.parent = *to,
            Event::Deleted => self.deleted = true,
        }
    }

    fn is_live(&self) -> bool {
        self.exists()
    }

    /// The whole chain above, link by link; guarded, since two moves at once could close a circle.
    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let (Command::Create(New { parent, .. }) | Command::Move { parent }) = command else { return vec![] };
        let chain = ancestors(*parent, ctx);
        chain.into_iter().filter(|id| *id != ctx.id).map(Need::guarded::<ProductCategory>).collect()
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, DELETED, PARENT_UNFIT, CYCLE, valid::NAME_INVALID]
    }

    fn examples() -> Vec<Command> {
        let above = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        vec![
            Command::Create(New { name: "Hosting".into(), parent: None }),
            Command::Rename { name: "Hosting and mail".into() },
            Command::Move { parent: Some(above) },
            Command::Delete,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, SUBJECT, given};

    const SERVICES: Id = Id::from_bits(0xC);
    const ALL: Id = Id::from_bits(0xD);

    fn created(name: &str, parent: Option<Id>) -> Event {
        Event::Created(New { name: name.into(), parent })
    }

    /// Services, which lie in All.
    fn world(events: impl IntoIterator<Item = Event>, above_all: Option<Id>) -> Given<ProductCategory> {
        given(events)
            .with::<ProductCategory>(SERVICES, [created("Services", Some(ALL))])
            .with::<ProductCategory>(ALL, [created("All", above_all)])
    }

    #[test]
    fn it_is_created_at_the_top_or_in_another() {
        for parent in [None, Some(SERVICES)] {
            let create = || Command::Create(New { name: "Hosting".into(), parent });
            world([], None).when(create()).then([created("Hosting", parent)]);
            world([created("Hosting", parent)], None).when(create()).nothing();
        }
        let create = |name: &str, parent| Command::Create(New { name: name.into(), parent });
        world([created("Hosting", None)], None).when(create("Mail", None)).rejected(EXISTS);
        world([], None).when(create(" ", None)).rejected(valid::NAME_INVALID);
        given::<ProductCategory>([]).when(create("Hosting", Some(ALL))).rejected(PARENT_UNFIT);
        given::<ProductCategory>([]).when(create("Hosting", Some(SUBJECT))).rejected(CYCLE);
    }

    #[test]
    fn it_moves_but_never_into_itself() {
        let to = |parent| Command::Move { parent };
        let hosting = || [created("Hosting", None)];
        let moved = || Event::Moved { from: None, to: Some(SERVICES) };
        world(hosting(), None).when(to(Some(SERVICES))).then([moved()]);
        world(hosting().into_iter().chain([moved()]), None).when(to(Some(SERVICES))).nothing();
        world(hosting(), None).when(to(Some(SUBJECT))).rejected(CYCLE);
        // Services lies in All, and All in this one.
        world(hosting(), Some(SUBJECT)).when(to(Some(SERVICES))).rejected(CYCLE);
        // A circle that should not be there is walked once.
        world(hosting(), Some(SERVICES)).when(to(Some(SERVICES))).then([moved()]);
        given::<ProductCategory>(hosting())
            .with::<ProductCategory>(ALL, [created("All", None), Event::Deleted])
            .when(to(Some(ALL)))
            .rejected(PARENT_UNFIT);
    }

    #[test]
    fn it_is_renamed_and_deleted() {
        let rename = |name: &str| Command::Rename { name: name.into() };
        let renamed = || Event::Renamed { from: "Hosting".into(), to: "Mail".into() };
        let hosting = || created("Hosting", None);
        given::<ProductCategory>([hosting()]).when(rename("Mail")).then([renamed()]);
        given::<ProductCategory>([hosting(), renamed()]).when(rename("Mail")).nothing();
        given::<ProductCategory>([hosting()]).when(rename("")).rejected(valid::NAME_INVALID);
        given::<ProductCategory>([hosting()]).when(Command::Delete).then([Event::Deleted]);
        given::<ProductCategory>([hosting(), Event::Deleted]).when(Command::Delete).nothing();
        given::<ProductCategory>([hosting(), Event::Deleted]).when(rename("Mail")).rejected(DELETED);
        given::<ProductCategory>([]).when(Command::Delete).rejected(UNKNOWN);
    }
}
