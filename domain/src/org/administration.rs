//! That somebody can always do everything: the last way in for an administrator is not taken away.
//!
//! A way in is a user who is let in, may do everything and signs in with a password or by a provider, or a valid key of such
//! a user that may do everything too. Which may be such is looked up in the log ([`Administration`]); whether one is, is
//! decided over the streams of the key, its user and its roles, which must not change until what takes another way in is
//! appended. So of two administrators who shut each other out at the same moment one is refused.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    ActorKind, Aggregate, Ctx, Id, Need, Rejection,
    kernel::{
        aggregate::{AnyState, Stored},
        named::Undecodable,
    },
    org::{
        api_key::{ApiKey, Status},
        authority::Authority,
        role::Role,
        user::User,
    },
};

/// The refusal.
pub const LAST_ADMIN: Rejection = Rejection::conflict(
    "last_admin",
    "Nobody would be left who can do everything: no active user whose roles permit all and who can sign in or has a valid key.",
);

/// The kind of the fact that says what may be ways in, under the tenant's id.
pub const KIND: &str = "administration";
/// The kinds of record that it follows from.
pub const CATEGORIES: [&str; 3] = [User::KIND, Role::KIND, ApiKey::KIND];
/// The types of events that it follows from.
pub const TYPES: [&str; 13] = [
    "user.invited",
    "user.activated",
    "user.deactivated",
    "user.role_granted",
    "user.role_revoked",
    "user.password_set",
    "user.identity_linked",
    "user.identity_unlinked",
    "role.created",
    "role.permissions_changed",
    "role.deleted",
    "api_key.issued",
    "api_key.revoked",
];

/// Who may do what in a tenant, at a position of the log.
#[derive(Default)]
pub struct Administration {
    users: BTreeMap<Id, User>,
    roles: BTreeMap<Id, Arc<Role>>,
    keys: BTreeMap<Id, ApiKey>,
}

impl Administration {
    /// Takes in an event of a record.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take_in(&mut self, category: &str, id: Id, event_type: &str, data: &[u8]) -> Result<(), Undecodable> {
        match category {
            User::KIND => self.users.entry(id).or_default().evolve(&User::decode(event_type, data)?),
            Role::KIND => Arc::make_mut(self.roles.entry(id).or_default()).evolve(&Role::decode(event_type, data)?),
            ApiKey::KIND => self.keys.entry(id).or_default().evolve(&ApiKey::decode(event_type, data)?),
            _ => {}
        }
        Ok(())
    }

    /// Whoever has a seat: invited or let in.
    pub fn seated(&self) -> BTreeSet<Id> {
        self.users.iter().filter(|(_, user)| user.has_seat()).map(|(id, _)| *id).collect()
    }

    /// What may be ways in: whoever signs in, then the keys, those that never expire first.
    fn ways(&self) -> Vec<Way> {
        let role = |id: &Id| self.roles.get(id).cloned().unwrap_or_default();
        let has = |user: &User| Authority::new(user.roles.iter().map(role));
        let people = self.users.iter().filter(|(_, user)| user.is_active() && user.signs_in() && has(user).is_full());
        let people = people.map(|(id, _)| Way::User(*id));
        let full = |key: &ApiKey| {
            let user = key.user.and_then(|user| self.users.get(&user)).filter(|user| user.is_active());
            user.is_some_and(|user| bound_to(has(user), key.role.as_ref().map(role)).is_full())
        };
        let mut keys: Vec<(&Id, &ApiKey)> =
            self.keys.iter().filter(|(_, key)| key.status == Status::Active && full(key)).collect();
        keys.sort_by_key(|(id, key)| (key.expires_at.is_some(), **id));
        people.chain(keys.into_iter().map(|(id, _)| Way::Key(*id))).collect()
    }
}

/// By what an administrator may come in.
#[derive(Clone, Copy)]
enum Way {
    /// This user signs in.
    User(Id),
    /// By this key.
    Key(Id),
}

/// A record in question, as it is or as it would be.
#[derive(Clone, Copy)]
pub enum Seen<'a> {
    /// A user.
    User(&'a User),
    /// A role.
    Role(&'a Role),
    /// A key.
    Key(&'a ApiKey),
}

impl Seen<'_> {
    /// The record `id`: the one in question, or a fact; what must be loaded when it is none yet.
    fn look<A: Aggregate>(self, id: Id, ctx: &Ctx<'_>) -> Result<Arc<A>, Need> {
        let own: &dyn Any = match self {
            Seen::User(user) => user,
            Seen::Role(role) => role,
            Seen::Key(key) => key,
        };
        match own.downcast_ref::<A>().filter(|_| id == ctx.id) {
            Some(own) => Ok(Arc::new(own.clone())),
            None if ctx.facts.has(A::KIND, id) => Ok(ctx.fact::<A>(id)),
            None => Err(Need::guarded::<A>(id)),
        }
    }

    /// Whether it is a way in.
    fn opens(self, way: Way, ctx: &Ctx<'_>) -> Result<bool, Need> {
        let (user, bound) = match way {
            Way::User(user) => (user, None),
            Way::Key(key) => {
                let key = self.look::<ApiKey>(key, ctx)?;
                let Some(user) = key.user.filter(|_| key.is_valid_at(ctx.now)) else { return Ok(false) };
                (user, key.role)
            }
        };
        let user = self.look::<User>(user, ctx)?;
        if !user.is_active() || matches!(way, Way::User(_)) && !user.signs_in() {
            return Ok(false);
        }
        let roles: Vec<_> = user.roles.iter().map(|role| self.look::<Role>(*role, ctx)).collect::<Result<_, _>>()?;
        let bound = bound.map(|role| self.look::<Role>(role, ctx)).transpose()?;
        Ok(bound_to(Authority::new(roles), bound).is_full())
    }
}

fn bound_to(authority: Authority, role: Option<Arc<Role>>) -> Authority {
    match role {
        Some(role) => authority.within(role),
        None => authority,
    }
}

fn ways(ctx: &Ctx<'_>) -> Vec<Way> {
    ctx.facts.state::<Administration>(KIND, ctx.tenant).map(|known| known.ways()).unwrap_or_default()
}

/// That it must be known who may do what.
pub fn need(ctx: &Ctx<'_>) -> Need {
    Need { kind: KIND, id: ctx.tenant, guarded: false, fold: nobody }
}

/// Whoever has a seat, as far as the facts go.
pub fn seated(ctx: &Ctx<'_>) -> BTreeSet<Id> {
    ctx.facts.state::<Administration>(KIND, ctx.tenant).map(|known| known.seated()).unwrap_or_default()
}

/// What must be known to [`check`] that a record may become `after`: one by one, until a way in is found that stays.
pub fn needs(after: Seen<'_>, ctx: &Ctx<'_>) -> Vec<Need> {
    if ctx.actor.kind == ActorKind::System {
        return Vec::new();
    }
    if !ctx.facts.has(KIND, ctx.tenant) {
        return vec![need(ctx)];
    }
    for way in ways(ctx) {
        match after.opens(way, ctx) {
            Ok(true) => return Vec::new(),
            Ok(false) => {}
            Err(need) => return vec![need],
        }
    }
    Vec::new()
}

/// Refuses a change that would take the last way in. Deskfold itself, and whoever is at the machine, may: he can make
/// another one.
pub fn check(before: Seen<'_>, after: Seen<'_>, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    if ctx.actor.kind == ActorKind::System {
        return Ok(());
    }
    let ways = ways(ctx);
    let open = |seen: Seen<'_>| ways.iter().any(|way| seen.opens(*way, ctx).unwrap_or_default());
    if !open(after) && open(before) { Err(LAST_ADMIN) } else { Ok(()) }
}

/// No stream says who administers: whoever loads facts knows where to look.
fn nobody(_: Option<AnyState>, _: &mut dyn Iterator<Item = Stored<'_>>) -> Result<AnyState, Undecodable> {
    Ok(AnyState::new(Administration::default()))
}
