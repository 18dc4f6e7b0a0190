//! A coloured word by which conversations are told apart.
//!
//! A label's id follows from the name it was first given, so that a name typed into a chat means the same label
//! everywhere, at once and without a list. A label that is renamed keeps its id; the new name leads to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, Ctx, Decision, Echo, Id, Need, Rejection, kernel::color::Color};

/// A new label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name; upper and lower case are the same.
    pub name: String,
    /// Its colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// Whether it is offered although nothing bears it: so is what somebody creates, and not what is typed into a chat.
    #[serde(default = "offered")]
    pub preset: bool,
}

fn offered() -> bool {
    true
}

/// What may be asked of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a label.
    Create(New),
    /// Renames it; the old name still leads to it.
    Rename {
        /// Its new name.
        name: String,
    },
    /// Gives it another colour.
    Recolor {
        /// Its new colour; null for none.
        color: Option<Color>,
    },
    /// Keeps it in the list although nothing bears it.
    Pin,
    /// Lets it leave the list when nothing bears it.
    Unpin,
}

/// What has happened to a label.
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
    /// It has another colour.
    ColorChanged {
        /// Before.
        from: Option<Color>,
        /// After.
        to: Option<Color>,
    },
    /// It stays in the list.
    Pinned,
    /// It leaves the list when nothing bears it.
    Unpinned,
    /// The name that this id stands for means another label.
    Redirected {
        /// That label.
        to: Id,
    },
}

/// A label, or a name that leads to one.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Its name, once it exists.
    pub name: Option<String>,
    /// The label that the name means, when it is another one.
    pub redirect: Option<Id>,
    color: Option<Color>,
    pinned: bool,
}

const UNKNOWN: Rejection = Rejection::missing("label_unknown", "There is no such label.");
/// A label's name that is blank or too long.
pub const NAME_INVALID: Rejection = Rejection::invalid("label_name_invalid", "A label has 1 to 64 characters.");
const NAME_TAKEN: Rejection =
    Rejection::conflict("label_name_taken", "Another label is called so, or was; use that one.");
const ID_UNFIT: Rejection = Rejection::invalid("label_id_unfit", "A label's id follows from its name.");

impl Label {
    /// The id that a name means, unless it leads elsewhere.
    pub fn id_for(tenant: Id, name: &str) -> Id {
        Id::named(&["label", &tenant.to_string(), &name.trim().to_lowercase()])
    }
}

/// Refuses a name that is blank or too long.
pub fn check_name(name: &str) -> Result<(), Rejection> {
    if name.trim().is_empty() || name.chars().count() > 64 { Err(NAME_INVALID.at("/name")) } else { Ok(()) }
}

fn create(label: &Label, new: &New, ctx: &Ctx<'_>) -> Decision<Event> {
    check_name(&new.name)?;
    if ctx.id != Label::id_for(ctx.tenant, &new.name) {
        return Err(ID_UNFIT);
    }
    match &label.name {
        _ if label.redirect.is_some() => Err(NAME_TAKEN.at("/name")),
        // Whoever types it again means this one.
        Some(name) if Label::id_for(ctx.tenant, name) == ctx.id => Ok(vec![]),
        Some(_) => Err(NAME_TAKEN.at("/name")),
        None => Ok(vec![Event::Created(New { name: new.name.trim().to_owned(), ..new.clone() })]),
    }
}

impl Aggregate for Label {
    const KIND: &'static str = "label";
    const PLURAL: &'static str = "labels";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("everybody labels with them");
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let name = match (command, &self.name) {
            (Command::Create(new), _) => return create(self, &new, ctx),
            (_, None) => return Err(UNKNOWN),
            (Command::Rename { name: to }, Some(name)) if to.trim() == name => return Ok(vec![]),
            (Command::Rename { name: to }, Some(name)) => (to.trim().to_owned(), name.clone()),
            (Command::Recolor { color }, _) if color == self.color => return Ok(vec![]),
            (Command::Recolor { color }, _) => {
                return Ok(vec![Event::ColorChanged { from: self.color, to: color }]);
            }
            (Command::Pin, _) => return Ok(if self.pinned { vec![] } else { vec![Event::Pinned] }),
            (Command::Unpin, _) => return Ok(if self.pinned { vec![Event::Unpinned] } else { vec![] }),
        };
        let (to, from) = name;
        check_name(&to)?;
        let meant = Label::id_for(ctx.tenant, &to);
        if meant != ctx.id && ctx.fact::<Label>(meant).name.is_some() {
            return Err(NAME_TAKEN.at("/name"));
        }
        Ok(vec![Event::Renamed { from, to }])
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::ColorChanged { from, .. } => Command::Recolor { color: *from },
            Event::Pinned => Command::Unpin,
            Event::Unpinned => Command::Pin,
            Event::Created(_) | Event::Redirected { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(new) => {
                self.name = Some(new.name.clone());
                self.color.clone_from(&new.color);
                self.pinned = new.preset;
            }
            Event::Renamed { to, .. } => self.name = Some(to.clone()),
            Event::ColorChanged { to, .. } => self.color.clone_from(to),
            Event::Pinned => self.pinned = true,
            Event::Unpinned => self.pinned = false,
            Event::Redirected { to } => self.redirect = Some(*to),
        }
    }

    fn is_live(&self) -> bool {
        self.name.is_some()
    }

    fn merged_into(&self) -> Option<Id> {
        self.redirect
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Rename { name } => vec![Need::guarded::<Label>(Label::id_for(ctx.tenant, name))],
            _ => Vec::new(),
        }
    }

    /// The new name leads here.
    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let Event::Renamed { to, .. } = event else { return Vec::new() };
        let meant = Label::id_for(ctx.tenant, to);
        let leads_here = meant == ctx.id || ctx.fact::<Label>(meant).redirect == Some(ctx.id);
        if leads_here { Vec::new() } else { vec![Echo::to::<Label>(meant, &Event::Redirected { to: ctx.id })] }
    }

    fn id_for_new(tenant: Id, command: &Command) -> Option<Id> {
        match command {
            Command::Create(new) => Some(Label::id_for(tenant, &new.name)),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, NAME_INVALID, NAME_TAKEN, ID_UNFIT]
    }

    fn examples() -> Vec<Command> {
        vec![
            Command::Create(New { name: "VIP".into(), color: "#00a09d".parse().ok(), preset: true }),
            Command::Rename { name: "Gold".into() },
            Command::Recolor { color: None },
            Command::Pin,
            Command::Unpin,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, SUBJECT, TENANT, given};

    fn new() -> New {
        New { name: "VIP".into(), color: "#00a09d".parse().ok(), preset: true }
    }

    fn vip(events: impl IntoIterator<Item = Event>) -> Given<Label> {
        given([Event::Created(new())].into_iter().chain(events)).at(Label::id_for(TENANT, "vip"))
    }

    fn renamed() -> Event {
        Event::Renamed { from: "VIP".into(), to: "Gold".into() }
    }

    #[test]
    fn a_name_means_one_label_however_it_is_written() {
        let create = |name: &str| Command::Create(New { name: name.into(), ..new() });
        given::<Label>([]).at(Label::id_for(TENANT, "vip")).when(create(" VIP ")).then([Event::Created(new())]);
        vip([]).when(create("vip")).nothing();
        vip([]).at(SUBJECT).when(create("vip")).rejected(ID_UNFIT);
        vip([]).when(create(" ")).rejected(NAME_INVALID);
        vip([renamed()]).when(create("vip")).rejected(NAME_TAKEN);
        let gold = given::<Label>([Event::Redirected { to: SUBJECT }]).at(Label::id_for(TENANT, "gold"));
        gold.when(create("gold")).rejected(NAME_TAKEN);
    }

    #[test]
    fn a_new_name_leads_to_it() {
        let rename = |name: &str| Command::Rename { name: name.into() };
        let gold = Label::id_for(TENANT, "gold");
        vip([]).when(rename("Gold")).then([renamed()]);
        vip([renamed()]).when(rename("Gold")).nothing();
        let id = Label::id_for(TENANT, "vip");
        assert_eq!(vip([]).with::<Label>(gold, []).echoes(&renamed()), [(gold, Event::Redirected { to: id })]);
        let leads = [Event::Redirected { to: id }];
        assert_eq!(vip([]).with::<Label>(gold, leads).echoes(&renamed()), []);
        let other = [Event::Created(New { name: "Gold".into(), ..new() })];
        vip([]).with::<Label>(gold, other).when(rename("gold")).rejected(NAME_TAKEN);
        given::<Label>([]).when(rename("gold")).rejected(UNKNOWN);
    }

    #[test]
    fn it_is_pinned_and_coloured() {
        vip([]).when(Command::Pin).nothing();
        vip([]).when(Command::Unpin).then([Event::Unpinned]);
        vip([Event::Unpinned]).when(Command::Pin).then([Event::Pinned]);
        let recolored = || Event::ColorChanged { from: new().color, to: None };
        vip([]).when(Command::Recolor { color: None }).then([recolored()]);
        vip([recolored()]).when(Command::Recolor { color: None }).nothing();
    }
}
