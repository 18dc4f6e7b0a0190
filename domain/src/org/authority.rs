//! What somebody may do, as a whole: so that nobody gives what he does not have, nor touches who has more than he has.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use crate::{Rejection, catalogue, kernel::access::Reach, org::role::Role};

/// A permission is missing.
pub const DENIED: Rejection =
    Rejection::forbidden("permission_denied", "The key lacks a permission; the detail names it.");

/// All that somebody may do: what any of his roles permits, and of that what the one role does that the key in use is bound
/// to, if it is bound.
///
/// Of what several permit the widest counts.
#[derive(Clone, Debug)]
pub struct Authority {
    roles: Arc<[Arc<Role>]>,
    bound: Option<Arc<Role>>,
}

impl Authority {
    /// What these roles permit.
    pub fn new(roles: impl IntoIterator<Item = Arc<Role>>) -> Authority {
        Authority { roles: roles.into_iter().collect(), bound: None }
    }

    /// No more of it than this role permits.
    #[must_use]
    pub fn within(self, role: Arc<Role>) -> Authority {
        Authority { bound: Some(role), ..self }
    }

    /// What these patterns permit.
    pub fn of(patterns: &BTreeSet<String>) -> Authority {
        let role = Role { name: Some(String::new()), permissions: patterns.clone(), deleted: false };
        Authority::new([Arc::new(role)])
    }

    /// Everything: Deskfold itself, and whoever holds the machine.
    pub fn full() -> Authority {
        static FULL: LazyLock<Authority> = LazyLock::new(|| Authority::of(&BTreeSet::from(["*".to_owned()])));
        FULL.clone()
    }

    /// Nothing.
    pub fn none() -> Authority {
        Authority::new([])
    }

    /// Whether it permits this, such as `ticket.assign`, however far.
    pub fn allows(&self, permission: &str) -> bool {
        self.reach(permission).is_some()
    }

    /// How far it permits this. What may be one user's alone is read no further than one may read that of others.
    pub fn reach(&self, permission: &str) -> Option<Reach> {
        let reach = self.permitted(permission)?;
        let mut private = catalogue::private_reads().iter().filter(|(read, _)| read == permission);
        Some(private.next().map_or(reach, |(_, any)| reach.min(self.permitted(any).unwrap_or(Reach::Own))))
    }

    /// How far its roles permit this.
    fn permitted(&self, permission: &str) -> Option<Reach> {
        let reach = self.roles.iter().filter_map(|role| role.reach(permission)).max();
        self.bound.as_ref().map_or(reach, |bound| reach.min(bound.reach(permission)))
    }

    /// Whether some of what it permits does not reach everything, by the look of it.
    pub fn is_scoped(&self) -> bool {
        let all = self.roles.iter().chain(&self.bound);
        all.flat_map(|role| &role.permissions).any(|pattern| pattern.contains(':'))
    }

    /// Whether there are records that it does not reach, of kinds that it permits to read.
    pub fn is_walled(&self) -> bool {
        let partly = |(read, _): &(String, String)| self.reach(read).is_some_and(|reach| reach < Reach::All);
        self.is_scoped() || catalogue::private_reads().iter().any(partly)
    }

    /// The names of the roles that permit this as far as any does.
    pub fn roles(&self, permission: &str) -> BTreeSet<&str> {
        let reach = self.permitted(permission);
        let all = self.roles.iter().chain(&self.bound);
        let widest = all.filter(|role| reach.is_some() && role.reach(permission) == reach);
        widest.filter_map(|role| role.name.as_deref()).collect()
    }

    /// Whether it permits everything that can be permitted.
    pub fn is_full(&self) -> bool {
        catalogue::permissions().iter().all(|permission| self.reach(permission) == Some(Reach::All))
    }

    /// The first permission that the other has, or has further, and this one has not.
    pub fn lacks(&self, other: &Authority) -> Option<&'static str> {
        let beyond = |permission: &&String| other.reach(permission) > self.reach(permission);
        catalogue::permissions().iter().find(beyond).map(String::as_str)
    }

    /// The first permission that a colleague with this other authority has for what is the colleague's own, or a team's, and
    /// that does not reach everything here: in a colleague's name one would reach what one does not reach oneself.
    pub fn lacks_in_name_of(&self, other: &Authority) -> Option<&'static str> {
        let scoped = |permission: &&String| {
            other.reach(permission).is_some_and(|reach| reach < Reach::All) && self.reach(permission) < Some(Reach::All)
        };
        self.lacks(other).or_else(|| catalogue::permissions().iter().find(scoped).map(String::as_str))
    }

    /// The patterns that say the same.
    pub fn patterns(&self) -> BTreeSet<String> {
        if self.bound.is_none() {
            let roles = self.roles.iter().filter(|role| role.exists());
            return roles.flat_map(|role| role.permissions.iter().cloned()).collect();
        }
        let pattern = |permission: &String| match self.reach(permission)? {
            Reach::All => Some(permission.clone()),
            Reach::Team => Some(format!("{permission}:team")),
            Reach::Own => Some(format!("{permission}:own")),
        };
        catalogue::permissions().iter().filter_map(pattern).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(patterns: &[&str]) -> BTreeSet<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn more_is_whatever_the_other_has_not() {
        let lacks = |mine: &[&str], theirs: &[&str]| Authority::of(&set(mine)).lacks(&Authority::of(&set(theirs)));
        assert_eq!(lacks(&["*"], &["*"]), None);
        assert_eq!(lacks(&["*.read"], &["event.read", "ticket.read"]), None);
        assert_eq!(lacks(&["ticket.*"], &["ticket.open", "ticket.read"]), None);
        assert_eq!(lacks(&["ticket.*"], &["ticket.*", "contact.read"]), Some("contact.read"));
        assert_eq!(lacks(&["comment.*"], &["comment.edit_any"]), Some("comment.edit_any"));
        assert_eq!(lacks(&["contact.read:own"], &["contact.read:team"]), Some("contact.read"));
        assert_eq!(lacks(&["contact.read:team"], &["contact.read:own"]), None);
        assert_eq!(lacks(&["contact.read:own", "contact.read"], &["contact.read:team"]), None);
        let in_name =
            |mine: &[&str], theirs: &[&str]| Authority::of(&set(mine)).lacks_in_name_of(&Authority::of(&set(theirs)));
        assert_eq!(in_name(&["contact.read:own"], &["contact.read:own"]), Some("contact.read"));
        assert_eq!(in_name(&["contact.read"], &["contact.read:own"]), None);
        assert_eq!(in_name(&["contact.read"], &["contact.read"]), None);
        assert!(!Authority::of(&set(&["*:team"])).is_full() && Authority::of(&set(&["*:team"])).is_scoped());
        assert_eq!(lacks(&[], &[]), None);
        assert!(lacks(&["*.read"], &["*"]).is_some());
        let all: Vec<&str> = catalogue::permissions().iter().map(String::as_str).collect();
        assert_eq!(lacks(&all, &["*"]), None, "who has everything by name has as much as who has it by a star");
        assert!(Authority::of(&set(&all)).is_full() && Authority::full().is_full());
        assert!(!Authority::of(&set(&all[1..])).is_full() && !Authority::none().is_full());
    }

    #[test]
    fn what_is_one_user_s_alone_is_read_by_others_who_may_read_any() {
        let reach = |patterns: &[&str]| Authority::of(&set(patterns)).reach("quick_reply.read");
        assert_eq!(reach(&["quick_reply.*"]), Some(Reach::Own));
        assert_eq!(reach(&["*.read"]), Some(Reach::Own));
        assert_eq!(reach(&["*.read", "quick_reply.read_any"]), Some(Reach::All));
        assert_eq!((reach(&["*"]), reach(&["*:team"])), (Some(Reach::All), Some(Reach::Team)));
        assert_eq!((reach(&["quick_reply.read_any"]), reach(&["ticket.*"])), (None, None));
        let walled = |patterns: &[&str]| Authority::of(&set(patterns)).is_walled();
        assert!(walled(&["*.read"]) && walled(&["deal.read:own"]));
        assert!(!walled(&["*"]) && !walled(&["ticket.*"]) && !walled(&["*.read", "*.read_any"]));
    }

    #[test]
    fn its_patterns_say_the_same() {
        let role = |patterns: &[&str], deleted| {
            Arc::new(Role { name: Some("Role".into()), permissions: set(patterns), deleted })
        };
        let authority = Authority::new([role(&["ticket.*"], false), role(&["*.read"], false), role(&["*"], true)]);
        assert_eq!(authority.patterns(), set(&["*.read", "ticket.*"]));
        let same = |authority: &Authority| {
            let said = Authority::of(&authority.patterns());
            assert!(authority.lacks(&said).is_none() && said.lacks(authority).is_none() && !said.is_full());
        };
        same(&authority);
        // What a bound key permits is named one by one: what its role permits and its user has.
        let bound = authority.within(role(&["ticket.*:own", "contact.read:team", "user.deactivate"], false));
        assert_eq!(bound.reach("ticket.close"), Some(Reach::Own));
        assert_eq!(bound.reach("contact.read"), Some(Reach::Team));
        assert_eq!((bound.reach("user.deactivate"), bound.reach("user.read")), (None, None));
        same(&bound);
    }
}
