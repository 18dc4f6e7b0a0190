//! A help desk team: its members, the channels it answers, the stages its tickets pass through.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Claim, Ctx, Decision, Id, Need, Rejection, all,
    kernel::valid,
    org::{
        authority::DENIED,
        stage::{self, Means, Named, STAGES_INVALID, Stage},
        user::User,
    },
};

/// A way in which tickets reach a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Mail to the team's alias.
    Email,
    /// Chat with visitors.
    LiveChat,
    /// A form on a web site.
    Form,
}

/// What may be asked of a team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a team.
    Create(New),
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Gives it another e-mail alias, or none.
    ChangeAlias {
        /// The part before the `@`; null for none.
        alias: Option<String>,
    },
    /// Takes a user in.
    AddMember {
        /// The user.
        #[schemars(extend("x-reference" = "user", "x-refusal" = "team_user_unfit"))]
        user: Id,
    },
    /// Lets a member go.
    RemoveMember {
        /// The user.
        #[schemars(extend("x-held-reference" = "user"))]
        user: Id,
    },
    /// Opens a channel.
    EnableChannel {
        /// Which one.
        kind: ChannelKind,
    },
    /// Closes a channel.
    DisableChannel {
        /// Which one.
        kind: ChannelKind,
    },
    /// Says which stages its tickets pass through, first to last, and what each means: `{"name": "on the bench", "means":
    /// "open"}`, or `waiting`, `resolved` or `closed`. A plain word means what it usually means; where none is said to
    /// resolve, the last one does. A ticket that moves to a stage that means resolved is resolved, and the other way round.
    ChangeStages {
        /// The stages; none for the usual ones.
        stages: Vec<Named>,
    },
    /// Says by which calendar it works.
    AssignCalendar {
        /// Which calendar; null for none.
        calendar: Option<Id>,
    },
    /// Shows its help centre to customers.
    PublishHelpCentre,
    /// Hides its help centre.
    UnpublishHelpCentre,
    /// Puts it away: it gets no new tickets.
    Archive {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Brings it back.
    Restore,
}

/// A new team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name; no other team of the tenant may have it.
    pub name: String,
    /// The part before the `@` of its e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// What has happened to a team.
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
    /// It has another e-mail alias.
    AliasChanged {
        /// Before.
        from: Option<String>,
        /// After.
        to: Option<String>,
    },
    /// A user joined.
    MemberAdded {
        /// The user.
        user: Id,
    },
    /// A member left.
    MemberRemoved {
        /// The user.
        user: Id,
    },
    /// A channel was opened.
    ChannelEnabled {
        /// Which one.
        kind: ChannelKind,
    },
    /// A channel was closed.
    ChannelDisabled {
        /// Which one.
        kind: ChannelKind,
    },
    /// Its tickets pass through other stages.
    StagesChanged {
        /// Before; none for the usual ones.
        from: Vec<String>,
        /// After; none for the usual ones.
        to: Vec<String>,
        /// What each of the stages after means; nothing where that was not recorded yet.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        means: Vec<Means>,
    },
    /// It works by another calendar.
    CalendarAssigned {
        /// Before.
        from: Option<Id>,
        /// After.
        to: Option<Id>,
    },
    /// Customers see its help centre.
    HelpCentrePublished,
    /// Customers see its help centre no longer.
    HelpCentreUnpublished,
    /// It was put away.
    Archived {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was brought back.
    Restored,
}

/// A help desk team.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Team {
    /// Its name; absent before it is created.
    pub name: Option<String>,
    /// Its e-mail alias.
    pub alias: Option<String>,
    /// Its members.
    pub members: BTreeSet<Id>,
    /// Its open channels.
    pub channels: BTreeSet<ChannelKind>,
    /// Channels that were open once and are closed.
    #[serde(default)]
    pub closed: BTreeSet<ChannelKind>,
    /// The stages of its tickets; empty for the usual ones.
    pub stages: Vec<Stage>,
    /// Whether it is put away.
    pub archived: bool,
    calendar: Option<Id>,
    help_centre: bool,
}

const UNKNOWN: Rejection = Rejection::missing("team_unknown", "There is no such team.");
const EXISTS: Rejection = Rejection::conflict("team_exists", "A team with this id exists already.");
const ARCHIVED: Rejection = Rejection::conflict("team_archived", "The team is archived; restore it first.");
const NAME_TAKEN: Rejection = Rejection::conflict("team_name_taken", "Another team has this name.");
/// An alias that is another team's.
pub const ALIAS_TAKEN: Rejection = Rejection::conflict("team_alias_taken", "Another team has this alias.");
const ALIAS_INVALID: Rejection = Rejection::invalid(
    "team_alias_invalid",
    "An alias has 1 to 64 small letters, digits, dots, hyphens and underscores, a letter or digit at both ends.",
);
const USER_UNFIT: Rejection = Rejection::invalid("team_user_unfit", "There is no such user, or it is deactivated.");

impl Team {
    /// Whether its help centre comes before its forms.
    pub fn help_centre_published(&self) -> bool {
        self.help_centre
    }

    fn name_key(&self) -> BTreeSet<String> {
        self.name.iter().map(|name| name.trim().to_lowercase()).collect()
    }
}

fn check_alias(alias: Option<&str>) -> Result<(), Rejection> {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let sound = |alias: &str| {
        let bytes = alias.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(b);
        bytes.len() <= 64 && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(inner)
    };
    if alias.is_none_or(sound) { Ok(()) } else { Err(ALIAS_INVALID.at("/alias")) }
}

/// The stages of these names, each with what it means, or usually means.
pub fn stages(names: &[String], means: &[Means]) -> Vec<Stage> {
    let named = names.iter().enumerate();
    let named = named.map(|(index, name)| Named { name: name.clone(), means: means.get(index).copied() });
    stage::understood(&named.collect::<Vec<_>>())
}

impl Aggregate for Team {
    const KIND: &'static str = "team";
    const PLURAL: &'static str = "teams";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("work is shared out among teams");
    const AHEAD: &'static [&'static str] = &["assign_calendar"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let Some(name) = &self.name else {
            let Create(new) = command else { return Err(UNKNOWN) };
            all([valid::name(&new.name, "/name"), check_alias(new.alias.as_deref())])?;
            return Ok(vec![Event::Created(new)]);
        };
        // Its members go on seeing what is shared with it: whoever is to see it no longer is let go.
        if self.archived && !matches!(command, Create(_) | Archive { .. } | Restore | RemoveMember { .. }) {
            return Err(ARCHIVED);
        }
        Ok(match command {
            Create(new) if *name == new.name && self.alias == new.alias => vec![],
            Create(_) => return Err(EXISTS),
            Rename { name: to } => {
                valid::name(&to, "/name")?;
                if *name == to { vec![] } else { vec![Event::Renamed { from: name.clone(), to }] }
            }
            ChangeAlias { alias: to } => {
                check_alias(to.as_deref())?;
                if self.alias == to { vec![] } else { vec![Event::AliasChanged { from: self.alias.clone(), to }] }
            }
            AddMember { user } if !self.members.contains(&user) => {
                // A member sees what is shared with the team, and by `:team` all members see what is the member's.
                if ctx.authority.is_scoped() {
                    let detail = "Whoever is in a team sees more for it: who does not see everything of what he sees takes nobody in.";
                    return Err(DENIED.because(detail));
                }
                vec![Event::MemberAdded { user }]
            }
            RemoveMember { user } if self.members.contains(&user) => vec![Event::MemberRemoved { user }],
            EnableChannel { kind } if !self.channels.contains(&kind) => vec![Event::ChannelEnabled { kind }],
            DisableChannel { kind } if self.channels.contains(&kind) => vec![Event::ChannelDisabled { kind }],
            ChangeStages { stages } => {
                let stages = stage::understood(&stages);
                stage::check(&stages)?;
                if self.stages == stages {
                    return Ok(vec![]);
                }
                let from = self.stages.iter().map(|stage| stage.name.clone()).collect();
                let (to, means) = stages.into_iter().map(|stage| (stage.name, stage.means)).unzip();
                vec![Event::StagesChanged { from, to, means }]
            }
            AssignCalendar { calendar: to } if self.calendar != to => {
                vec![Event::CalendarAssigned { from: self.calendar, to }]
            }
            PublishHelpCentre if !self.help_centre => vec![Event::HelpCentrePublished],
            UnpublishHelpCentre if self.help_centre => vec![Event::HelpCentreUnpublished],
            Archive { reason } if !self.archived => vec![Event::Archived { reason }],
            Restore if self.archived => vec![Event::Restored],
            _ => vec![],
        })
    }

    fn is_live(&self) -> bool {
        self.name.is_some() && !self.archived
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Created(_) | Event::Restored => Command::Archive { reason: None },
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::AliasChanged { from, .. } => Command::ChangeAlias { alias: from.clone() },
            Event::MemberAdded { user } => Command::RemoveMember { user: *user },
            Event::MemberRemoved { user } => Command::AddMember { user: *user },
            Event::ChannelEnabled { kind } => Command::DisableChannel { kind: *kind },
            Event::ChannelDisabled { kind } => Command::EnableChannel { kind: *kind },
            Event::CalendarAssigned { from, .. } => Command::AssignCalendar { calendar: *from },
            Event::HelpCentrePublished => Command::UnpublishHelpCentre,
            Event::HelpCentreUnpublished => Command::PublishHelpCentre,
            Event::Archived { .. } => Command::Restore,
            Event::StagesChanged { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(new) => {
                self.name = Some(new.name.clone());
                self.alias.clone_from(&new.alias);
            }
            Event::Renamed { to, .. } => self.name = Some(to.clone()),
            Event::AliasChanged { to, .. } => self.alias.clone_from(to),
            Event::MemberAdded { user } => drop(self.members.insert(*user)),
            Event::MemberRemoved { user } => drop(self.members.remove(user)),
            Event::ChannelEnabled { kind } => {
                self.channels.insert(*kind);
                self.closed.remove(kind);
            }
            Event::ChannelDisabled { kind } => {
                self.channels.remove(kind);
                self.closed.insert(*kind);
            }
            Event::StagesChanged { to, means, .. } => self.stages = stages(to, means),
            Event::CalendarAssigned { to, .. } => self.calendar = *to,
            Event::HelpCentrePublished => self.help_centre = true,
            Event::HelpCentreUnpublished => self.help_centre = false,
            Event::Archived { .. } => self.archived = true,
            Event::Restored => self.archived = false,
        }
    }

    fn needs(&self, command: &Command, _: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::AddMember { user } => vec![Need::guarded::<User>(*user)],
            _ => vec![],
        }
    }

    /// An archived team keeps its name and alias: it may come back.
    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let mut after = self.clone();
        after.evolve(event);
        let alias = |team: &Team| team.alias.iter().cloned().collect();
        let mut claims = Claim::moved("team.name", &self.name_key(), &after.name_key(), &NAME_TAKEN.at("/name"));
        claims.extend(Claim::moved("team.alias", &alias(self), &alias(&after), &ALIAS_TAKEN.at("/alias")));
        claims
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, ARCHIVED, NAME_TAKEN, ALIAS_TAKEN, ALIAS_INVALID];
        refusals.extend([USER_UNFIT, STAGES_INVALID, DENIED, valid::NAME_INVALID]);
        refusals
    }

    fn examples() -> Vec<Command> {
        let other = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        vec![
            Command::Create(New { name: "Customer care".into(), alias: Some("help".into()) }),
            Command::Rename { name: "Customer happiness".into() },
            Command::ChangeAlias { alias: Some("support".into()) },
            Command::AddMember { user: other },
            Command::RemoveMember { user: other },
            Command::EnableChannel { kind: ChannelKind::LiveChat },
            Command::DisableChannel { kind: ChannelKind::LiveChat },
            Command::ChangeStages {
                stages: vec![
                    "new".into(),
                    Named { name: "at the works".into(), means: Some(Means::Waiting) },
                    "done".into(),
                ],
            },
            Command::AssignCalendar { calendar: Some(other) },
            Command::PublishHelpCentre,
            Command::UnpublishHelpCentre,
            Command::Archive { reason: Some("Merged with sales".into()) },
            Command::Restore,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{ANNA, Given, given};

    fn new() -> New {
        New { name: "Customer care".into(), alias: Some("help".into()) }
    }

    fn care(events: impl IntoIterator<Item = Event>) -> Given<Team> {
        given([Event::Created(new())].into_iter().chain(events))
    }

    /// What `command` leads to after `before`, and that asking again changes nothing.
    #[track_caller]
    fn leads_to<const N: usize>(before: [Event; N], command: &Command, event: Event) {
        care(before.clone()).when(command.clone()).then([event.clone()]);
        care(before.into_iter().chain([event])).when(command.clone()).nothing();
    }

    #[test]
    fn it_is_created_once_with_a_name_and_alias_of_its_own() {
        given::<Team>([]).when(Command::Create(new())).then([Event::Created(new())]);
        care([]).when(Command::Create(new())).nothing();
        care([]).when(Command::Create(New { alias: None, ..new() })).rejected(EXISTS);
        given::<Team>([]).when(Command::Restore).rejected(UNKNOWN);
        given::<Team>([]).when(Command::Create(New { name: " ".into(), ..new() })).rejected(valid::NAME_INVALID);
        for alias in ["", "Help", "help desk", ".help", "help-", "hélp", &"x".repeat(65)] {
            let create = Command::Create(New { alias: Some(alias.into()), ..new() });
            given::<Team>([]).when(create).rejected(ALIAS_INVALID);
        }
        let nobody = given::<Team>([]);
        assert_eq!(nobody.claims(&Event::Created(new())), ["+team.name customer care", "+team.alias help"]);
    }

    #[test]
    fn name_and_alias_change() {
        let renamed = Event::Renamed { from: "Customer care".into(), to: "Care".into() };
        assert_eq!(care([]).claims(&renamed), ["-team.name customer care", "+team.name care"]);
        leads_to([], &Command::Rename { name: "Care".into() }, renamed);
        care([]).when(Command::Rename { name: "".into() }).rejected(valid::NAME_INVALID);
        let changed = Event::AliasChanged { from: Some("help".into()), to: None };
        assert_eq!(care([]).claims(&changed), ["-team.alias help"]);
        leads_to([], &Command::ChangeAlias { alias: None }, changed);
        care([]).when(Command::ChangeAlias { alias: Some("@".into()) }).rejected(ALIAS_INVALID);
    }

    #[test]
    fn colleagues_who_are_there_join() {
        let add = || Command::AddMember { user: ANNA };
        let added = || Event::MemberAdded { user: ANNA };
        care([]).when(add()).then([added()]);
        care([added()]).when(add()).nothing();
        leads_to([added()], &Command::RemoveMember { user: ANNA }, Event::MemberRemoved { user: ANNA });
    }

    #[test]
    fn channels_calendar_and_help_centre() {
        let kind = ChannelKind::LiveChat;
        leads_to([], &Command::EnableChannel { kind }, Event::ChannelEnabled { kind });
        let enabled = [Event::ChannelEnabled { kind }];
        leads_to(enabled, &Command::DisableChannel { kind }, Event::ChannelDisabled { kind });
        let assigned = Event::CalendarAssigned { from: None, to: Some(ANNA) };
        leads_to([], &Command::AssignCalendar { calendar: Some(ANNA) }, assigned);
        leads_to([], &Command::PublishHelpCentre, Event::HelpCentrePublished);
        leads_to([Event::HelpCentrePublished], &Command::UnpublishHelpCentre, Event::HelpCentreUnpublished);
    }

    #[test]
    fn stages_have_names_of_their_own() {
        let change = |stages: &[&str]| Command::ChangeStages { stages: stages.iter().map(|s| (*s).into()).collect() };
        let to = || vec!["new".to_owned(), "at home".into()];
        let changed = |means: &[Means]| Event::StagesChanged { from: vec![], to: to(), means: means.to_vec() };
        leads_to([], &change(&["new", "at home"]), changed(&[Means::Open, Means::Resolved]));
        let meant = |means: &[Means]| care([changed(means)]).state.stages.iter().map(|s| s.means).collect::<Vec<_>>();
        assert_eq!(meant(&[]), [Means::Open, Means::Resolved], "from before stages had meanings");
        assert_eq!(meant(&[Means::Open, Means::Closed]), [Means::Open, Means::Closed]);
        let shelf = Command::ChangeStages { stages: vec![Named { name: "shelf".into(), means: Some(Means::Waiting) }] };
        care([]).when(shelf).rejected(STAGES_INVALID);
        for stages in [&["new", " new"][..], &[" "], &[&"x".repeat(65)], &["x"; 51]] {
            care([]).when(change(stages)).rejected(STAGES_INVALID);
        }
    }

    #[test]
    fn an_archived_team_rests_until_it_is_restored() {
        let archived = || Event::Archived { reason: Some("Merged".into()) };
        leads_to([], &Command::Archive { reason: Some("Merged".into()) }, archived());
        care([archived()]).when(Command::PublishHelpCentre).rejected(ARCHIVED);
        let member = Event::MemberAdded { user: ANNA };
        leads_to([member, archived()], &Command::RemoveMember { user: ANNA }, Event::MemberRemoved { user: ANNA });
        assert!(!care([archived()]).state.is_live());
        leads_to([archived()], &Command::Restore, Event::Restored);
        assert!(care([archived(), Event::Restored]).state.is_live());
        assert!(care([]).claims(&archived()).is_empty());
    }
}
