//! Who fits a selector, and who of them is chosen.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scene;
use crate::{
    Id,
    kernel::text::typed,
    org::user::Presence,
    work::rule::{Group, Strategy, Wanted},
};

/// A colleague, as far as rules choose by it. Only those who may be given work are shown to a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// The user.
    pub id: Id,
    /// Full name.
    pub name: String,
    /// The roles the user has.
    pub roles: BTreeSet<Id>,
    /// The teams the user is a member of.
    pub teams: BTreeSet<Id>,
    /// Where the user works.
    pub city: Option<String>,
    /// Whether there.
    pub presence: Presence,
    /// How much the user has to do: open tasks, or whatever else is counted.
    pub load: u32,
}

/// Somebody who fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The user.
    pub user: Id,
    /// The first group of the selector that the user fits, from 0.
    pub group: u32,
    /// How much the user has to do.
    pub load: u32,
}

/// Everybody who fits a group, in the order of ids.
pub(super) fn candidates(selector: &[Group], scene: &Scene, people: &[Person]) -> Vec<Candidate> {
    let fit = |person: &Person| {
        let group = selector.iter().position(|group| group.fits(person, scene))?;
        Some(Candidate { user: person.id, group: u32::try_from(group).unwrap_or(u32::MAX), load: person.load })
    };
    let mut candidates: Vec<_> = people.iter().filter_map(fit).collect();
    candidates.sort_by_key(|candidate| candidate.user);
    candidates.dedup_by_key(|candidate| candidate.user);
    candidates
}

/// Who of them is chosen; nobody when nobody fits.
pub(super) fn choose(strategy: Strategy, candidates: &[Candidate], last: Option<Id>, seed: &str) -> Vec<Id> {
    let chance = |candidate: &Candidate| Id::named(&[seed, &candidate.user.to_string()]);
    let chosen = match strategy {
        Strategy::All => return candidates.iter().map(|candidate| candidate.user).collect(),
        Strategy::First => candidates.iter().min_by_key(|candidate| (candidate.group, candidate.user)),
        Strategy::LeastBusy => candidates.iter().min_by_key(|candidate| (candidate.load, chance(candidate))),
        Strategy::RoundRobin => {
            let next = candidates.iter().find(|candidate| last.is_some_and(|last| candidate.user > last));
            next.or(candidates.first())
        }
    };
    chosen.map(|candidate| candidate.user).into_iter().collect()
}

impl Group {
    fn fits(&self, person: &Person, scene: &Scene) -> bool {
        let same = |a: &str, b: &str| typed(a) == typed(b);
        let named = |field: &str| scene.get(field).and_then(|value| value.as_str());
        let city = |wanted: &Wanted<String>| match (wanted, &person.city) {
            (_, None) => false,
            (Wanted::Is(name), Some(city)) => same(name, city),
            (Wanted::Same { equals }, Some(city)) => named(equals).is_some_and(|name| same(name, city)),
        };
        let user = |wanted: &Wanted<Id>| match wanted {
            Wanted::Is(user) => *user == person.id,
            Wanted::Same { equals } => named(equals).and_then(|text| text.parse().ok()) == Some(person.id),
        };
        self.user.as_ref().is_none_or(user)
            && self.role.is_none_or(|role| person.roles.contains(&role))
            && self.team.is_none_or(|team| person.teams.contains(&team))
            && self.presence.map_or(person.presence != Presence::Away, |presence| presence == person.presence)
            && self.city.as_ref().is_none_or(city)
    }
}
