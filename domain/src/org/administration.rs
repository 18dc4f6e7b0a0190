//! That somebody can always do everything: the last way in for an administrator is not taken away.
//!
//! A way in is a key: it is valid, its user is let in, and what it may do is everything. Which keys may be such is looked up
//! in the log ([`Administration`]); whether one is, is decided over the streams of the key, its user and its roles, which
//! must not change until what takes another way in is appended. So of two administrators who shut each other out at the
//! same moment one is refused.

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
    "Nobody would be left who can do everything: no valid key of an active user whose roles permit all.",
);

/// The kind of the fact that says which keys may be ways in, under the tenant's id.
pub const KIND: &str = "administration";
/// The kinds of record that it follows from.
pub const CATEGORIES: [&str; 3] = [User::KIND, Role::KIND, ApiKey::KIND];
/// The types of events that it follows from.
pub const TYPES: [&str; 10] = [
    "user.invited",
    "user.activated",
    "user.deactivated",
    "user.role_granted",
    "user.role_revoked",
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

    /// The keys that may be ways in, those that never expire first.
    fn keys(&self) -> Vec<Id> {
        let role = |id: &Id| self.roles.get(id).cloned().unwrap_or_default();
        let full = |key: &ApiKey| {
            let user = key.user.and_then(|user| self.users.get(&user)).filter(|user| user.is_active());
            let has = |user: &User| bound_to(Authority::new(user.roles.iter().map(role)), key.role.as_ref().map(role));
            user.is_some_and(|user| has(user).is_full())
        };
        let mut keys: Vec<(&Id, &ApiKey)> =
            self.keys.iter().filter(|(_, key)| key.status == Status::Active && full(key)).collect();
        keys.sort_by_key(|(id, key)| (key.expires_at.is_some(), **id));
        keys.into_iter().map(|(id, _)| *id).collect()
    }
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

    /// Whether a key is a way in.
    fn opens(self, key: Id, ctx: &Ctx<'_>) -> Result<bool, Need> {
        let key = self.look::<ApiKey>(key, ctx)?;
        let Some(user) = key.user.filter(|_| key.is_valid_at(ctx.now)) else { return Ok(false) };
        let user = self.look::<User>(user, ctx)?;
        if !user.is_active() {
            return Ok(false);
        }
        let roles: Vec<_> = user.roles.iter().map(|role| self.look::<Role>(*role, ctx)).collect::<Result<_, _>>()?;
        let bound = key.role.map(|role| self.look::<Role>(role, ctx)).transpose()?;
        Ok(bound_to(Authority::new(roles), bound).is_full())
    }
}

fn bound_to(authority: Authority, role: Option<Arc<Role>>) -> Authority {
    match role {
        Some(role) => authority.within(role),
        None => authority,
    }
}

fn keys(ctx: &Ctx<'_>) -> Vec<Id> {
    ctx.facts.state::<Administration>(KIND, ctx.tenant).map(|known| known.keys()).unwrap_or_default()
}

/// That it must be known who may do what.
pub fn need(ctx: &Ctx<'_>) -> Need {
    Need { kind: KIND, id: ctx.tenant, guarded: false, fold: nobody }
}

/// Whoever has a seat, as far as the facts go.
pub fn seated(ctx: &Ctx<'_>) -> BTreeSet<Id> {
    ctx.facts.state::<Administration>(KIND, ctx.tenant).map(|known| known.seated()).unwrap_or_default()
}

/// What must be known to [`check`] that a record may become `after`: key by key, until one is found that stays a way in.
pub fn needs(after: Seen<'_>, ctx: &Ctx<'_>) -> Vec<Need> {
    if ctx.actor.kind == ActorKind::System {
        return Vec::new();
    }
    if !ctx.facts.has(KIND, ctx.tenant) {
        return vec![need(ctx)];
    }
    for key in keys(ctx) {
        match after.opens(key, ctx) {
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
    let keys = keys(ctx);
    let open = |seen: Seen<'_>| keys.iter().any(|key| seen.opens(*key, ctx).unwrap_or_default());
    if !open(after) && open(before) { Err(LAST_ADMIN) } else { Ok(()) }
}

/// No stream says who administers: whoever loads facts knows where to look.
fn nobody(_: Option<AnyState>, _: &mut dyn Iterator<Item = Stored<'_>>) -> Result<AnyState, Undecodable> {
    Ok(AnyState::new(Administration::default()))
}
