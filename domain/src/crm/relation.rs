//! What one record is to another: this contact is the owner of that flat.
//!
//! Its id follows from both ends and the role, so that saying it twice adds nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Rejection, all,
    kernel::{
        access,
        reference::{REFERENCE_UNFIT, Subject},
    },
    must,
    org::user::User,
};

/// Two records and what the first is to the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// The one.
    pub from: Subject,
    /// The other.
    pub to: Subject,
    /// What the one is to the other: `owner`, `buyer`, `spouse`, ...
    pub role: String,
}

/// What may be asked of a relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Relates two records.
    Add(Ends),
    /// Says that it is so no longer.
    Remove,
}

/// What has happened to a relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The two are related.
    Added(Ends),
    /// They are so no longer.
    Removed(Ends),
}

/// A relation.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its ends, once it was added.
    pub ends: Option<Ends>,
    /// Whether it was removed.
    pub removed: bool,
}

const UNKNOWN: Rejection = Rejection::missing("relation_unknown", "There is no such relation.");
const ROLE_INVALID: Rejection =
    Rejection::invalid("relation_role_invalid", "A role has 1 to 64 characters, such as owner.");
const END_UNFIT: Rejection = Rejection::invalid(
    "relation_end_unfit",
    "Relations join records, not colleagues: owners and assignees say who works on what.",
);
const SAME_RECORD: Rejection = Rejection::invalid("relation_same_record", "A record is not related to itself.");
const ID_UNFIT: Rejection = Rejection::invalid("relation_id_unfit", "A relation's id follows from its ends and role.");

impl Ends {
    /// The id of the relation between these ends.
    pub fn id(&self, tenant: Id) -> Id {
        let Ends { from, to, role } = self;
        let ends = [from.id.to_string(), to.id.to_string()];
        Id::named(&["relation", &tenant.to_string(), &from.kind, &ends[0], &to.kind, &ends[1], role.trim()])
    }

    /// A colleague is no end: what he does on other records is none of this one's business.
    fn check(&self) -> Result<(), Rejection> {
        let ends = [("/from", &self.from), ("/to", &self.to)];
        all(ends.map(|(pointer, end)| must(end.kind != User::KIND, END_UNFIT, pointer)))
    }
}

impl Aggregate for Relation {
    const KIND: &'static str = "relation";
    const PLURAL: &'static str = "relations";
    const CREATE: &'static str = "add";
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (command, &self.ends) {
            (Command::Add(ends), _) => {
                let named = !ends.role.trim().is_empty() && ends.role.chars().count() <= 64;
                let role = must(named, ROLE_INVALID, "/role");
                if ctx.id != ends.id(ctx.tenant) {
                    return Err(role.err().unwrap_or(ID_UNFIT));
                }
                ends.check()?;
                if self.ends.is_some() && !self.removed {
                    return Ok(vec![]);
                }
                all([role, must(ends.from != ends.to, SAME_RECORD, "/to")])?;
                Ok(vec![Event::Added(Ends { role: ends.role.trim().to_owned(), ..ends })])
            }
            (Command::Remove, None) => Err(UNKNOWN),
            (Command::Remove, Some(_)) if self.removed => Ok(vec![]),
            (Command::Remove, Some(ends)) => Ok(vec![Event::Removed(ends.clone())]),
        }
    }

    fn relates(event: &Event) -> Vec<access::Relation> {
        match event {
            Event::Added(ends) => vec![access::Relation::About("ends", vec![ends.from.clone(), ends.to.clone()])],
            Event::Removed(_) => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Added(_) => Command::Remove,
            Event::Removed(ends) => Command::Add(ends.clone()),
        }])
    }

    fn evolve(&mut self, event: &Event) {
        let (Event::Added(ends) | Event::Removed(ends)) = event;
        self.removed = matches!(event, Event::Removed(_));
        self.ends = Some(ends.clone());
    }

    fn id_for_new(tenant: Id, command: &Command) -> Option<Id> {
        match command {
            Command::Add(ends) => Some(ends.id(tenant)),
            Command::Remove => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, ROLE_INVALID, END_UNFIT, SAME_RECORD, ID_UNFIT, REFERENCE_UNFIT]
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let (from, to) = (Subject::new("contact", id(0xC)), Subject::new("property", id(0xD)));
        vec![Command::Add(Ends { from, to, role: "owner".into() }), Command::Remove]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, SUBJECT, TENANT, given};

    const MARIA: Id = Id::from_bits(0xC);
    const FLAT: Id = Id::from_bits(0xD);

    fn owner() -> Ends {
        Ends { from: Subject::new("contact", MARIA), to: Subject::new("property", FLAT), role: "owner".into() }
    }

    fn between(ends: &Ends, events: impl IntoIterator<Item = Event>) -> Given<Relation> {
        given(events).at(ends.id(TENANT))
    }

    #[test]
    fn two_records_are_related_once() {
        let add = || Command::Add(owner());
        between(&owner(), []).when(add()).then([Event::Added(owner())]);
        between(&owner(), [Event::Added(owner())]).when(add()).nothing();
        between(&owner(), []).at(SUBJECT).when(add()).rejected(ID_UNFIT);
        let twice = Ends { to: owner().from, ..owner() };
        between(&twice, []).when(Command::Add(twice.clone())).rejected(SAME_RECORD);
        let blank = Ends { role: " ".into(), ..owner() };
        between(&blank, []).when(Command::Add(blank.clone())).rejected(ROLE_INVALID);
        let colleague = Ends { to: Subject::new("user", FLAT), ..owner() };
        between(&colleague, []).alive("user", FLAT).when(Command::Add(colleague.clone())).rejected(END_UNFIT);
        // What was related before that was refused is so until it is removed.
        let related = || [Event::Added(colleague.clone())];
        between(&colleague, related()).when(Command::Remove).then([Event::Removed(colleague.clone())]);
        let others =
            [Ends { role: "tenant".into(), ..owner() }, Ends { from: owner().to, to: owner().from, ..owner() }];
        others.iter().for_each(|other| assert_ne!(other.id(TENANT), owner().id(TENANT)));
    }

    #[test]
    fn it_ends_and_comes_back() {
        let (added, removed) = (|| Event::Added(owner()), || Event::Removed(owner()));
        between(&owner(), [added()]).when(Command::Remove).then([removed()]);
        between(&owner(), [added(), removed()]).when(Command::Remove).nothing();
        between(&owner(), [added(), removed()]).when(Command::Add(owner())).then([added()]);
        between(&owner(), []).when(Command::Remove).rejected(UNKNOWN);
    }
}
