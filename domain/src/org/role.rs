//! A named set of permissions that users and API keys are given.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Aggregate, Claim, Ctx, Decision, Need, Rejection, all, catalogue,
    kernel::{access::Reach, valid},
    must,
    org::{
        administration::{self, LAST_ADMIN, Seen},
        authority::{Authority, DENIED},
    },
};

/// What may be asked of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a role.
    Create(New),
    /// Adds and removes permissions.
    ChangePermissions {
        /// Patterns to add.
        #[serde(default)]
        add: BTreeSet<String>,
        /// Patterns to remove, exactly as they were added.
        #[serde(default)]
        remove: BTreeSet<String>,
    },
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Deletes it: whoever has it may do nothing by it any more.
    Delete,
}

/// A new role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name; no other role of the tenant may have it.
    pub name: String,
    /// What it permits: `ticket.assign`, `ticket.*`, `*.read` or `*`; with `:own` or `:team` at the end, to one's own records
    /// or to those of one's teams alone: `ticket.*:team`.
    pub permissions: BTreeSet<String>,
}

/// What has happened to a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created(New),
    /// It permits something else.
    PermissionsChanged {
        /// Patterns that it has now.
        added: BTreeSet<String>,
        /// Patterns that it has no longer.
        removed: BTreeSet<String>,
    },
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// It was deleted.
    Deleted,
}

/// A named set of permissions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its name; absent before it is created.
    pub name: Option<String>,
    /// What it permits.
    pub permissions: BTreeSet<String>,
    /// Whether it is deleted.
    pub deleted: bool,
}

const UNKNOWN: Rejection = Rejection::missing("role_unknown", "There is no such role.");
const EXISTS: Rejection = Rejection::conflict("role_exists", "A role with this id exists already.");
const DELETED: Rejection = Rejection::conflict("role_deleted", "The role is deleted.");
const NAME_TAKEN: Rejection = Rejection::conflict("role_name_taken", "Another role has this name.");
const PERMISSION_UNKNOWN: Rejection =
    Rejection::invalid("role_permission_unknown", "A permission must match something that can be permitted.");

/// How a permission ends that says that one may do to a colleague's what others do to their own: `comment.edit_any`.
pub const OF_OTHERS: &str = "_any";

/// Whether the pattern (`*`, `ticket.*`, `*.read`, `ticket.assign`) covers the permission (`ticket.assign`). All of one kind
/// (`comment.*`) is all that one does to one's own: what may be done to a colleague's (`comment.edit_any`) is named.
pub fn covers(pattern: &str, permission: &str) -> bool {
    match (pattern.split_once('.'), permission.split_once('.')) {
        (Some((kind, action)), Some((of, what))) => {
            let every = action == "*" && (kind == "*" || !what.ends_with(OF_OTHERS));
            (kind == "*" || kind == of) && (every || action == what)
        }
        _ => pattern == "*",
    }
}

/// How far a pattern (`ticket.*:team`) permits a permission (`ticket.assign`), if it does. What belongs to no kind of record
/// is had in full or not at all.
pub fn reach(pattern: &str, permission: &str) -> Option<Reach> {
    let (pattern, reach) = match pattern.split_once(':') {
        None => (pattern, Reach::All),
        Some((pattern, "team")) => (pattern, Reach::Team),
        Some((pattern, "own")) => (pattern, Reach::Own),
        Some(_) => return None,
    };
    let fits = reach == Reach::All || !catalogue::UNSCOPED.contains(&permission);
    (fits && covers(pattern, permission)).then_some(reach)
}

impl Role {
    /// Whether it was created and not deleted.
    pub fn exists(&self) -> bool {
        self.name.is_some() && !self.deleted
    }

    /// Whether it permits this, such as `ticket.assign`.
    pub fn allows(&self, permission: &str) -> bool {
        self.reach(permission).is_some()
    }

    /// How far it permits this: the widest of its patterns counts.
    pub fn reach(&self, permission: &str) -> Option<Reach> {
        let patterns = self.permissions.iter().filter(|_| self.exists());
        patterns.filter_map(|pattern| reach(pattern, permission)).max()
    }

    /// What whoever has it alone may do.
    fn authority(&self) -> Authority {
        Authority::of(&self.permissions)
    }

    /// The event by which it permits more and less.
    fn permissions_changed(&self, add: &BTreeSet<String>, remove: &BTreeSet<String>) -> Option<Event> {
        let added: BTreeSet<_> = add.difference(&self.permissions).cloned().collect();
        let removed = remove.intersection(&self.permissions).filter(|pattern| !add.contains(*pattern));
        let removed: BTreeSet<_> = removed.cloned().collect();
        let same = added.is_empty() && removed.is_empty();
        (!same).then_some(Event::PermissionsChanged { added, removed })
    }

    /// As it would be after a command by which it permits less.
    fn narrowed(&self, command: &Command) -> Option<Role> {
        let event = match command {
            Command::ChangePermissions { add, remove } if !remove.is_empty() => {
                self.permissions_changed(add, remove)?
            }
            Command::Delete => Event::Deleted,
            _ => return None,
        };
        let mut after = self.clone();
        after.evolve(&event);
        self.exists().then_some(after)
    }

    fn name_key(&self) -> BTreeSet<String> {
        self.name.iter().filter(|_| !self.deleted).map(|name| name.trim().to_lowercase()).collect()
    }
}

fn check_permissions(patterns: &BTreeSet<String>, pointer: &str) -> Result<(), Rejection> {
    all(patterns.iter().map(|pattern| {
        let known = catalogue::permissions().iter().any(|permission| reach(pattern, permission).is_some());
        let refusal = PERMISSION_UNKNOWN.because(format!("Nothing is permitted by {pattern}."));
        must(known, refusal, pointer)
    }))
}

impl Aggregate for Role {
    const KIND: &'static str = "role";
    const PLURAL: &'static str = "roles";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("what a colleague may do is no secret");
    const COPIES: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let may_give = |patterns: &BTreeSet<String>, pointer: &str| {
            ctx.must_have(&Authority::of(patterns)).map_err(|refusal| refusal.at(pointer))
        };
        let Some(name) = &self.name else {
            let Command::Create(new) = command else { return Err(UNKNOWN) };
            all([valid::name(&new.name, "/name"), check_permissions(&new.permissions, "/permissions")])?;
            may_give(&new.permissions, "/permissions")?;
            return Ok(vec![Event::Created(new)]);
        };
        if self.exists() && !matches!(command, Command::Create(_)) {
            ctx.must_have(&self.authority())?;
        }
        if let Some(after) = self.narrowed(&command) {
            administration::check(Seen::Role(self), Seen::Role(&after), ctx)?;
        }
        match command {
            Command::Create(new) if *name == new.name && self.permissions == new.permissions => Ok(vec![]),
            Command::Create(_) => Err(EXISTS),
            Command::Delete => Ok(if self.deleted { vec![] } else { vec![Event::Deleted] }),
            _ if self.deleted => Err(DELETED),
            Command::ChangePermissions { add, remove } => {
                check_permissions(&add, "/add")?;
                may_give(&add, "/add")?;
                Ok(self.permissions_changed(&add, &remove).into_iter().collect())
            }
            Command::Rename { name: to } => {
                valid::name(&to, "/name")?;
                Ok(if *name == to { vec![] } else { vec![Event::Renamed { from: name.clone(), to }] })
            }
        }
    }

    fn is_live(&self) -> bool {
        self.exists()
    }

    /// No two roles have one name: a copy is told so until somebody renames it.
    fn copy(&self) -> Option<Value> {
        let name = self.name.as_ref().filter(|_| !self.deleted)?;
        Some(json!({ "name": format!("{name} (copy)"), "permissions": self.permissions }))
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Created(_) => Command::Delete,
            Event::PermissionsChanged { added, removed } => {
                Command::ChangePermissions { add: removed.clone(), remove: added.clone() }
            }
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::Deleted => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(new) => {
                self.name = Some(new.name.clone());
                self.permissions = new.permissions.clone();
            }
            Event::PermissionsChanged { added, removed } => {
                self.permissions.retain(|pattern| !removed.contains(pattern));
                self.permissions.extend(added.iter().cloned());
            }
            Event::Renamed { to, .. } => self.name = Some(to.clone()),
            Event::Deleted => self.deleted = true,
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        self.narrowed(command).map(|after| administration::needs(Seen::Role(&after), ctx)).unwrap_or_default()
    }

    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let mut after = self.clone();
        after.evolve(event);
        Claim::moved("role.name", &self.name_key(), &after.name_key(), &NAME_TAKEN.at("/name"))
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, DELETED, NAME_TAKEN, PERMISSION_UNKNOWN, valid::NAME_INVALID, DENIED, LAST_ADMIN]
    }

    fn examples() -> Vec<Command> {
        let set = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        vec![
            Command::Create(New { name: "Agent".into(), permissions: set(&["*.read", "ticket.*"]) }),
            Command::ChangePermissions { add: set(&["contact.*"]), remove: set(&["*.read"]) },
            Command::Rename { name: "Support agent".into() },
            Command::Delete,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::{Given, given};

    fn set(patterns: &[&str]) -> BTreeSet<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    fn new(patterns: &[&str]) -> New {
        New { name: "Agent".into(), permissions: set(patterns) }
    }

    fn agent(events: impl IntoIterator<Item = Event>) -> Given<Role> {
        given([Event::Created(new(&["ticket.*", "*.read"]))].into_iter().chain(events))
    }

    #[test]
    fn patterns_cover_what_they_say() {
        let cases = [
            ("*", "ticket.assign", true),
            ("ticket.*", "ticket.assign", true),
            ("ticket.*", "contact.assign", false),
            ("*.read", "contact.read", true),
            ("*.read", "contact.edit", false),
            ("ticket.assign", "ticket.assign", true),
            ("ticket.assign", "ticket.assigned", false),
            ("ticket", "ticket.assign", false),
            ("comment.*", "comment.edit", true),
            ("comment.*", "comment.edit_any", false),
            ("comment.edit_any", "comment.edit_any", true),
            ("*.edit_any", "comment.edit_any", true),
            ("*", "comment.edit_any", true),
        ];
        for (pattern, permission, expected) in cases {
            assert_eq!(covers(pattern, permission), expected, "{pattern} {permission}");
        }
        use Reach::{All, Own, Team};
        let scoped = [
            ("ticket.*:own", "ticket.assign", Some(Own)),
            ("ticket.*:team", "ticket.assign", Some(Team)),
            ("ticket.*", "ticket.assign", Some(All)),
            ("*:own", "contact.read", Some(Own)),
            ("*.read:own", "report.read", Some(Own)),
            ("*.read:own", "event.read", None),
            ("*:team", "tenant.operate", None),
            ("*", "tenant.operate", Some(All)),
            ("ticket.*:all", "ticket.assign", None),
        ];
        for (pattern, permission, expected) in scoped {
            assert_eq!(reach(pattern, permission), expected, "{pattern} {permission}");
        }
        let both = Role { permissions: set(&["*.read:own", "ticket.*:team"]), ..agent([]).state };
        assert_eq!(
            (both.reach("ticket.read"), both.reach("deal.read"), both.reach("deal.edit")),
            (Some(Team), Some(Own), None)
        );
        let role = agent([]).state;
        assert!(role.allows("ticket.open") && role.allows("event.read") && !role.allows("contact.edit"));
        assert!(!agent([Event::Deleted]).state.allows("ticket.open"));
    }

    #[test]
    fn only_what_can_be_permitted_is() {
        let create = |patterns: &[&str]| given::<Role>([]).when(Command::Create(new(patterns)));
        create(&["*.read", "ticket.*"]).then([Event::Created(new(&["*.read", "ticket.*"]))]);
        create(&["ticket.fly"]).rejected(PERMISSION_UNKNOWN);
        create(&["unicorn.*"]).rejected(PERMISSION_UNKNOWN);
        create(&["ticket.*:own", "*.read:team"]).then([Event::Created(new(&["ticket.*:own", "*.read:team"]))]);
        create(&["ticket.*:mine"]).rejected(PERMISSION_UNKNOWN);
        create(&["event.read:own"]).rejected(PERMISSION_UNKNOWN);
        let nameless = New { name: " ".into(), ..new(&["*"]) };
        given::<Role>([]).when(Command::Create(nameless)).rejected(valid::NAME_INVALID);
        let change = |add: &[&str], remove: &[&str]| Command::ChangePermissions { add: set(add), remove: set(remove) };
        let changed = Event::PermissionsChanged { added: set(&["contact.edit"]), removed: set(&["*.read"]) };
        agent([]).when(change(&["contact.edit", "ticket.*"], &["*.read", "user.*"])).then([changed.clone()]);
        agent([changed]).when(change(&["contact.edit"], &["*.read"])).nothing();
        agent([]).when(change(&["ticket.*"], &["ticket.*"])).nothing();
        agent([]).when(change(&["ticket.fly"], &[])).rejected(PERMISSION_UNKNOWN);
    }

    #[test]
    fn nobody_gives_or_touches_a_role_that_permits_more_than_he_may() {
        let less = ["role.*", "ticket.*", "*.read"];
        let create = |patterns: &[&str]| given::<Role>([]).may(&less).when(Command::Create(new(patterns)));
        create(&["ticket.*"]).then([Event::Created(new(&["ticket.*"]))]);
        for more in [&["*"][..], &["ticket.*", "contact.edit"], &["comment.edit_any"], &["*.assign"]] {
            create(more).rejected(DENIED);
        }
        let change = |add: &[&str], remove: &[&str]| Command::ChangePermissions { add: set(add), remove: set(remove) };
        agent([]).may(&less).when(change(&["user.invite"], &[])).rejected(DENIED);
        agent([]).may(&less).when(change(&["role.create"], &["*.read"])).events();
        let admin = || given::<Role>([Event::Created(new(&["*"]))]).may(&less);
        admin().when(change(&[], &["*"])).rejected(DENIED);
        admin().when(change(&["ticket.open"], &[])).rejected(DENIED);
        admin().when(Command::Rename { name: "Nobody".into() }).rejected(DENIED);
        admin().when(Command::Delete).rejected(DENIED);
    }

    #[test]
    fn it_is_created_once_renamed_and_deleted() {
        let create = |patterns: &[&str]| Command::Create(new(patterns));
        agent([]).when(create(&["ticket.*", "*.read"])).nothing();
        agent([]).when(create(&["*"])).rejected(EXISTS);
        let rename = |name: &str| Command::Rename { name: name.into() };
        let renamed = Event::Renamed { from: "Agent".into(), to: "Helper".into() };
        agent([]).when(rename("Helper")).then([renamed.clone()]);
        agent([renamed.clone()]).when(rename("Helper")).nothing();
        agent([]).when(rename("")).rejected(valid::NAME_INVALID);
        agent([]).when(Command::Delete).then([Event::Deleted]);
        agent([Event::Deleted]).when(Command::Delete).nothing();
        agent([Event::Deleted]).when(rename("Helper")).rejected(DELETED);
        given::<Role>([]).when(Command::Delete).rejected(UNKNOWN);
        assert_eq!(given::<Role>([]).claims(&Event::Created(new(&["*"]))), ["+role.name agent"]);
        assert_eq!(agent([]).claims(&renamed), ["-role.name agent", "+role.name helper"]);
        assert_eq!(agent([]).claims(&Event::Deleted), ["-role.name agent"]);
    }
}
