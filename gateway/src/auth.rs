//! Who asks: by a bearer key or a session's cookie, the user it acts as, and what its roles permit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use commands::Refused;
use domain::{
    Actor, ActorKind, Aggregate, Authority, Id, Time,
    crm::contact::Contact,
    org::{
        api_key::ApiKey,
        role::Role,
        settings::{FEATURES, Feature},
        tenant::Tenant,
        user::User,
    },
};
use parking_lot::Mutex;
use rand::TryRng;
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    problem::Problem,
    sign_in::{Browser, Cookie},
};

/// What every key begins with, so that a leaked one is recognised.
const PREFIX: &str = "dfk_";
/// Whom a request is made for, when that is not the key's own user.
pub(crate) const ON_BEHALF_OF: &str = "deskfold-on-behalf-of";
/// The permission to act for others.
pub(crate) const ACT_FOR_OTHERS: &str = "user.act_for";

/// 256 random bits, in hex.
pub(crate) fn random() -> Result<String, rand::rngs::SysError> {
    let mut bytes = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(hex(&bytes))
}

/// A new key's secret and its digest.
pub(crate) fn new_secret() -> Result<(String, String), rand::rngs::SysError> {
    let secret = format!("{PREFIX}{}", random()?);
    let digest = digest(&secret);
    Ok((secret, digest))
}

/// SHA-256 of a secret, in hex: what is stored of it.
pub(crate) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let half = |bits: u8| char::from(if bits < 10 { b'0' + bits } else { b'a' + bits - 10 });
    bytes.iter().flat_map(|byte| [half(byte >> 4), half(byte & 15)]).collect()
}

/// What digits in hex say, two for each byte.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}

/// What keys were used when, written down now and then.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<(Id, Id), i64>>);

impl Uses {
    fn record(&self, tenant: Id, key: Id, now: Time) {
        self.0.lock().insert((tenant, key), now.as_microsecond());
    }

    /// Writes down what was recorded since the last time; what cannot be written is kept for the next.
    pub(crate) async fn write(&self, pool: &sqlx::PgPool) -> sqlx::Result<()> {
        let used = std::mem::take(&mut *self.0.lock());
        if used.is_empty() {
            return Ok(());
        }
        let written = Uses::store(&used, pool).await;
        if written.is_err() {
            let mut since = self.0.lock();
            for (key, time) in used {
                since.entry(key).or_insert(time);
            }
        }
        written
    }

    async fn store(used: &HashMap<(Id, Id), i64>, pool: &sqlx::PgPool) -> sqlx::Result<()> {
        let (mut tenants, mut keys, mut times) = (vec![], vec![], vec![]);
        for ((tenant, key), time) in used {
            tenants.push(tenant.to_string());
            keys.push(key.to_string());
            times.push(*time);
        }
        sqlx::query(
            "insert into auth_key_use (tenant_id, key_id, last_used_at)
             select tenant, key, 'epoch'::timestamptz + micros * interval '1 microsecond'
             from unnest($1::text[], $2::text[], $3::bigint[]) as used (tenant, key, micros)
             on conflict (tenant_id, key_id) do update
             set last_used_at = greatest(auth_key_use.last_used_at, excluded.last_used_at)",
        )
        .bind(tenants)
        .bind(keys)
        .bind(times)
        .execute(pool)
        .await?;
        Ok(())
    }
}

/// Keys by digest, as far as this process has seen them. A revoked key's state says so; its digest never changes hands.
#[derive(Default)]
pub(crate) struct KnownKeys(Mutex<HashMap<String, (Id, Id)>>);

/// How many digests are kept.
const KNOWN_KEYS: usize = 100_000;

/// By what somebody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// An API key.
    Key(Id),
    /// A session.
    Session(Id),
}

impl Pass {
    /// Its id: what limits and retries are counted under.
    pub(crate) fn id(self) -> Id {
        match self {
            Pass::Key(id) | Pass::Session(id) => id,
        }
    }

    /// The session's id.
    pub(crate) fn session(self) -> Option<Id> {
        match self {
            Pass::Key(_) => None,
            Pass::Session(id) => Some(id),
        }
    }
}

/// Somebody with a valid key, or who is signed in.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Id,
    pub(crate) pass: Pass,
    pub(crate) actor: Actor,
    /// Whether it is done for a contact, who sees what colleagues keep to themselves as little as anybody outside.
    for_contact: bool,
    /// What the caller may do: what the key's role permits, or the user's roles if it is bound to none.
    pub(crate) authority: Authority,
    settings: Arc<Tenant>,
}

impl Caller {
    /// Whether the caller has this permission.
    pub(crate) fn may(&self, permission: &str) -> bool {
        self.missing_feature(permission).is_none() && self.authority.allows(permission)
    }

    /// The feature that a permission belongs to, when the tenant has switched it off: nobody has that permission then.
    pub(crate) fn missing_feature(&self, permission: &str) -> Option<&'static Feature> {
        permission.split_once('.').and_then(|(kind, _)| self.missing_feature_of(kind))
    }

    /// The feature that a kind of record belongs to, when the tenant has switched it off.
    pub(crate) fn missing_feature_of(&self, kind: &str) -> Option<&'static Feature> {
        self.settings.missing_feature(kind)
    }

    /// The kinds of record of features that are switched off.
    pub(crate) fn missing_kinds(&self) -> impl Iterator<Item = &'static str> {
        let off = |feature: &&'static Feature| !self.settings.has_feature(feature.name);
        FEATURES.iter().filter(off).flat_map(|feature| feature.kinds).copied()
    }

    /// Whether nothing is switched off.
    pub(crate) fn has_every_feature(&self) -> bool {
        FEATURES.iter().all(|feature| self.settings.has_feature(feature.name))
    }

    /// Whether what is answered is for somebody who is no colleague.
    pub(crate) fn is_outside(&self) -> bool {
        self.for_contact || matches!(self.actor.kind, ActorKind::Customer | ActorKind::Visitor)
    }

    /// Refuses a caller without this permission.
    pub(crate) fn must(&self, permission: &str) -> Result<(), Problem> {
        if let Some(feature) = self.missing_feature(permission) {
            return Err(feature.disabled().into());
        }
        if self.may(permission) { Ok(()) } else { Err(Problem::forbidden(permission)) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Caller, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let browser = Browser::from_request_parts(parts, app).await?;
        let caller = app.caller(&parts.headers, &browser).await?;
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

fn missing() -> Problem {
    Problem::unauthorized("key_missing", "Send your API key: Authorization: Bearer dfk_..., or sign in.")
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| missing())?;
    let (scheme, secret) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(secret.trim())) } else { Err(missing()) }
}

/// Who is let in, before it is known for whom he asks.
struct LetIn {
    tenant: Id,
    pass: Pass,
    user: Id,
    /// What the pass permits at most; all that the user may when absent.
    bound: Option<Id>,
}

impl App {
    /// Who sent a request with these headers. A key that is sent counts, whatever cookies come with it.
    pub(crate) async fn caller(&self, headers: &HeaderMap, browser: &Browser) -> Result<Caller, Problem> {
        let LetIn { tenant, pass, user: user_id, bound } = match bearer(headers)? {
            Some(secret) => self.by_key(secret).await?,
            None => self.by_session(browser).await?,
        };
        let (user, _) = self.commands.load::<User>(tenant, user_id).await?;
        if !user.is_active() {
            return Err(Problem::unauthorized("user_inactive", "The user of this API key is deactivated."));
        }
        let mut authority = self.authority(tenant, &user).await?;
        // A key bound to a role has of that what the role permits; one without has whatever its user has.
        if let Some(role) = bound {
            authority = authority.within(self.commands.load::<Role>(tenant, role).await?.0);
        }
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let mut caller = Caller { tenant, pass, actor: Actor::user(user_id), for_contact: false, authority, settings };
        if let Some(other) = headers.get(ON_BEHALF_OF) {
            let (id, is_contact) = self.acted_for(&caller, other.to_str().unwrap_or_default()).await?;
            caller.actor.on_behalf_of = Some(id);
            caller.for_contact = is_contact;
        }
        Ok(caller)
    }

    /// Somebody as he would be let in now, for what goes on in his name after his request has been answered; `None` when he no
    /// longer would.
    pub(crate) async fn standing(&self, tenant: Id, actor: &Actor, key: Option<Id>) -> Result<Option<Caller>, Refused> {
        let (user, _) = self.commands.load_current::<User>(tenant, actor.id).await?;
        if !user.is_active() {
            return Ok(None);
        }
        let mut roles = Vec::with_capacity(user.roles.len());
        for role in &user.roles {
            roles.push(self.commands.load_current::<Role>(tenant, *role).await?.0);
        }
        let mut authority = Authority::new(roles);
        if let Some(key) = key {
            let (key, _) = self.commands.load_current::<ApiKey>(tenant, key).await?;
            if !key.is_valid_at(self.now()) {
                return Ok(None);
            }
            if let Some(role) = key.role {
                authority = authority.within(self.commands.load_current::<Role>(tenant, role).await?.0);
            }
        }
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let pass = key.map_or(Pass::Session(Id::NIL), Pass::Key);
        Ok(Some(Caller { tenant, pass, actor: actor.clone(), for_contact: false, authority, settings }))
    }

    async fn by_key(&self, secret: &str) -> Result<LetIn, Problem> {
        let invalid = || Problem::unauthorized("key_invalid", "The API key is not valid: unknown, revoked or expired.");
        let now = self.now();
        let digest = digest(secret);
        let known = self.known_keys.0.lock().get(&digest).copied();
        let (tenant, key) = match known {
            Some(known) => known,
            None => {
                let owner = self.log.claim_owner("", "api_key.digest", &digest).await?.ok_or_else(invalid)?;
                let id = owner.key().parse().map_err(|_| invalid())?;
                let tenant = owner.tenant.parse().map_err(|_| invalid())?;
                let mut known = self.known_keys.0.lock();
                if known.len() >= KNOWN_KEYS {
                    known.clear();
                }
                known.insert(digest, (tenant, id));
                (tenant, id)
            }
        };
        let (state, _) = self.commands.load::<ApiKey>(tenant, key).await?;
        if !state.is_valid_at(now) {
            return Err(invalid());
        }
        let user = state.user.ok_or_else(invalid)?;
        self.uses.record(tenant, key, now);
        Ok(LetIn { tenant, pass: Pass::Key(key), user, bound: state.role })
    }

    async fn by_session(&self, browser: &Browser) -> Result<LetIn, Problem> {
        let secret = browser.cookie(Cookie::Session).ok_or_else(missing)?;
        let known = self.session(secret, browser).await?;
        let known =
            known.ok_or_else(|| Problem::unauthorized("session_ended", "The session is over: sign in again."))?;
        browser.must_be_ours()?;
        Ok(LetIn { tenant: known.tenant, pass: Pass::Session(known.session), user: known.user, bound: None })
    }

    /// Brings up to date what this process remembers of who a caller is and what he may: an event of that may be known before it is.
    pub(crate) async fn recall(&self, caller: &Caller) -> Result<(), Problem> {
        let tenant = caller.tenant;
        let (user, _) = self.commands.load_current::<User>(tenant, caller.actor.id).await?;
        let mut roles = user.roles.clone();
        if let Pass::Key(key) = caller.pass {
            let (key, _) = self.commands.load_current::<ApiKey>(tenant, key).await?;
            roles.extend(key.role);
        }
        for role in roles {
            self.commands.load_current::<Role>(tenant, role).await?;
        }
        self.commands.load_current::<Tenant>(tenant, tenant).await?;
        Ok(())
    }

    /// What a user's roles permit.
    async fn authority(&self, tenant: Id, user: &User) -> Result<Authority, Problem> {
        let mut roles = Vec::with_capacity(user.roles.len());
        for role in &user.roles {
            roles.push(self.commands.load::<Role>(tenant, *role).await?.0);
        }
        Ok(Authority::new(roles))
    }

    /// The user or contact that a caller acts for, and whether it is a contact. Nobody acts for a colleague who may do more
    /// than he.
    async fn acted_for(&self, caller: &Caller, id: &str) -> Result<(Id, bool), Problem> {
        caller.must(ACT_FOR_OTHERS)?;
        let unknown =
            || Problem::invalid("on_behalf_of_unknown", "Deskfold-On-Behalf-Of names no active user and no contact.");
        let id: Id = id.parse().map_err(|_| unknown())?;
        let (user, _) = self.commands.load::<User>(caller.tenant, id).await?;
        if user.is_active() {
            let theirs = self.authority(caller.tenant, &user).await?;
            let more = caller.authority.lacks_in_name_of(&theirs);
            return more.map_or(Ok((id, false)), |permission| Err(Problem::forbidden(permission)));
        }
        // Whoever was merged is the one that goes on.
        let (mut id, mut seen) = (id, BTreeSet::new());
        loop {
            let (contact, _) = self.commands.load::<Contact>(caller.tenant, id).await?;
            match contact.merged_into().filter(|_| seen.insert(id)) {
                Some(into) => id = into,
                None if contact.is_live() => return Ok((id, true)),
                None => return Err(unknown()),
            }
        }
    }
}

/// A clock that only moves forward in whole microseconds, as the database stores them.
#[derive(Default)]
pub(crate) struct Clock {
    /// Microseconds that tests have added.
    ahead: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> Time {
        let micros = Time::now().as_microsecond() + self.ahead.load(Ordering::Relaxed);
        Time::from_microsecond(micros).unwrap_or_default()
    }

    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

/// The actor behind commands that nobody asked for over HTTP.
pub(crate) const SYSTEM: Actor = Actor { kind: ActorKind::System, id: Id::NIL, on_behalf_of: None };
