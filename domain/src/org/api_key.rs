//! A key by which another program speaks in a user's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Authority, Claim, Ctx, Decision, Id, Need, Rejection, Time, all,
    kernel::{access::Relation, valid},
    must,
    org::{
        administration::{self, LAST_ADMIN, Seen},
        authority::DENIED,
        role::Role,
        user::{self, User},
    },
};

/// What may be asked of an API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Issues a key whose secret has just been made.
    Issue(Issue),
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Makes it worthless, for good.
    Revoke {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// A new API key. The secret itself is nowhere: only its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// What it is for.
    pub name: String,
    /// In whose name it speaks.
    #[schemars(extend("x-reference" = "user", "x-refusal" = "api_key_user_unfit"))]
    pub user: Id,
    /// What it may do at most; all that its user may when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "role", "x-refusal" = "api_key_role_unfit"))]
    pub role: Option<Id>,
    /// When it becomes worthless by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// SHA-256 of the secret, in hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub digest: String,
    /// The first characters of the secret, by which people tell keys apart.
    pub prefix: String,
}

/// What has happened to an API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was issued.
    Issued(Issue),
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// It is worthless.
    Revoked {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Where an API key stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// Opens doors, until it expires.
    Active,
    /// Worthless.
    Revoked,
}

/// A key by which another program speaks in a user's name.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Where it stands.
    pub status: Status,
    /// In whose name it speaks; absent before it is issued.
    pub user: Option<Id>,
    /// What it may do at most; all that its user may when absent.
    pub role: Option<Id>,
    /// When it becomes worthless by itself.
    pub expires_at: Option<Time>,
    name: String,
    digest: String,
}

const UNKNOWN: Rejection = Rejection::missing("api_key_unknown", "There is no such API key.");
const EXISTS: Rejection = Rejection::conflict("api_key_exists", "An API key with this id exists already.");
const REVOKED: Rejection = Rejection::conflict("api_key_revoked", "The API key is revoked.");
const DIGEST_INVALID: Rejection = Rejection::invalid(
    "api_key_digest_invalid",
    "A digest is 64 hex digits in small letters, a prefix the 4 to 16 characters before it.",
);
const DIGEST_TAKEN: Rejection = Rejection::conflict("api_key_digest_taken", "Another key has this secret.");
const EXPIRY_INVALID: Rejection = Rejection::invalid("api_key_expiry_invalid", "A key expires in the future.");
const USER_UNFIT: Rejection = Rejection::invalid("api_key_user_unfit", "There is no such user, or it is deactivated.");
const ROLE_UNFIT: Rejection = Rejection::invalid("api_key_role_unfit", "There is no such role, or it is deleted.");

impl ApiKey {
    fn revoked(&self) -> ApiKey {
        ApiKey { status: Status::Revoked, ..self.clone() }
    }

    /// Whether it opens doors at that time.
    pub fn is_valid_at(&self, now: Time) -> bool {
        self.status == Status::Active && self.expires_at.is_none_or(|at| now < at)
    }
}

fn issue(key: &ApiKey, new: Issue, ctx: &Ctx<'_>) -> Decision<Event> {
    if key.status != Status::Missing {
        return if key.digest == new.digest { Ok(vec![]) } else { Err(EXISTS) };
    }
    let digest = new.digest.len() == 64 && new.digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    all([
        valid::name(&new.name, "/name"),
        must(digest, DIGEST_INVALID, "/digest"),
        // A long prefix would give the secret away.
        must((4..=16).contains(&new.prefix.len()), DIGEST_INVALID, "/prefix"),
        must(new.expires_at.is_none_or(|at| at > ctx.now), EXPIRY_INVALID, "/expires_at"),
        must(ctx.fact::<User>(new.user).is_active(), USER_UNFIT, "/user"),
        must(new.role.is_none_or(|role| ctx.fact::<Role>(role).exists()), ROLE_UNFIT, "/role"),
    ])?;
    // In a colleague's name one does what the colleague may, however little the key permits.
    let in_whose_name = |refusal: Rejection| refusal.at("/user");
    if new.user != ctx.actor.id {
        ctx.must_have(&user::authority(new.user, ctx)).map_err(in_whose_name)?;
        ctx.must_reach_as(&user::authority(new.user, ctx)).map_err(in_whose_name)?;
    }
    match new.role {
        Some(role) => {
            let bound = Authority::new([ctx.fact(role)]);
            ctx.must_have(&bound).map_err(|refusal| refusal.at("/role"))?;
            if new.user != ctx.actor.id {
                ctx.must_reach_as(&bound).map_err(in_whose_name)?;
            }
        }
        None => ctx.must_have(&user::authority(new.user, ctx)).map_err(in_whose_name)?,
    }
    Ok(vec![Event::Issued(new)])
}

impl Aggregate for ApiKey {
    const KIND: &'static str = "api_key";
    const PLURAL: &'static str = "api_keys";
    const CREATE: &'static str = "issue";
    const INTERNAL: &'static [&'static str] = &["issue"];
    const SECRETS: &'static [&'static str] = &["digest"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        if let (Status::Active, Some(user), Command::Rename { .. } | Command::Revoke { .. }) =
            (self.status, self.user, &command)
        {
            let bound = self.role.map(|role| Authority::new([ctx.fact(role)]));
            ctx.must_have(&bound.unwrap_or_else(|| user::authority(user, ctx)))?;
        }
        match (command, self.status) {
            (Command::Issue(new), _) => issue(self, new, ctx),
            (_, Status::Missing) => Err(UNKNOWN),
            (Command::Revoke { .. }, Status::Revoked) => Ok(vec![]),
            (Command::Revoke { reason }, Status::Active) => {
                administration::check(Seen::Key(self), Seen::Key(&self.revoked()), ctx)?;
                Ok(vec![Event::Revoked { reason }])
            }
            (Command::Rename { .. }, Status::Revoked) => Err(REVOKED),
            (Command::Rename { name: to }, Status::Active) => {
                valid::name(&to, "/name")?;
                Ok(if self.name == to { vec![] } else { vec![Event::Renamed { from: self.name.clone(), to }] })
            }
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Issued(issue) => vec![Relation::Owner(Some(issue.user))],
            _ => Vec::new(),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Issued(new) => {
                let Issue { name, user, role, expires_at, digest, .. } = new.clone();
                *self = ApiKey { status: Status::Active, user: Some(user), role, expires_at, name, digest };
            }
            Event::Renamed { to, .. } => self.name.clone_from(to),
            Event::Revoked { .. } => self.status = Status::Revoked,
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let (user, role) = match command {
            Command::Issue(new) => (Some(new.user), new.role),
            Command::Rename { .. } | Command::Revoke { .. } => (self.user, self.role),
        };
        let mut needs: Vec<Need> = role.map(Need::guarded::<Role>).into_iter().collect();
        needs.extend(user.into_iter().flat_map(|user| user::needs_of_authority(user, ctx)));
        if matches!((command, self.status), (Command::Revoke { .. }, Status::Active)) {
            needs.extend(administration::needs(Seen::Key(&self.revoked()), ctx));
        }
        needs
    }

    /// A revoked key keeps its digest: the same secret never opens doors again.
    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        match event {
            Event::Issued(new) => vec![Claim::take("api_key.digest", &new.digest, DIGEST_TAKEN).globally()],
            Event::Renamed { .. } | Event::Revoked { .. } => vec![],
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, REVOKED, DIGEST_INVALID, DIGEST_TAKEN, EXPIRY_INVALID];
        refusals.extend([USER_UNFIT, ROLE_UNFIT, valid::NAME_INVALID, DENIED, LAST_ADMIN]);
        refusals
    }

    fn examples() -> Vec<Command> {
        let other = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let issue = Issue {
            name: "Shop".into(),
            user: other,
            role: Some(other),
            expires_at: "2030-01-01T00:00:00Z".parse().ok(),
            digest: "0123456789abcdef".repeat(4),
            prefix: "dk_01K9Z".into(),
        };
        vec![
            Command::Issue(issue),
            Command::Rename { name: "Web shop".into() },
            Command::Revoke { reason: Some("Leaked".into()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::given::{ANNA, BORIS, Given, at, given},
        org::role,
    };

    const AGENT: Id = Id::from_bits(0xC);
    const BOSS: Id = Id::from_bits(0xD);

    fn new() -> Issue {
        let Some(Command::Issue(issue)) = ApiKey::examples().into_iter().next() else { unreachable!() };
        Issue { user: ANNA, role: Some(AGENT), ..issue }
    }

    fn invited() -> user::Event {
        let Some(user::Command::Invite(profile)) = User::examples().into_iter().next() else { unreachable!() };
        user::Event::Invited(profile)
    }

    fn world(events: impl IntoIterator<Item = Event>) -> Given<ApiKey> {
        let agent = role::New { name: "Agent".into(), permissions: ["*".to_owned()].into() };
        given(events).with::<User>(ANNA, [invited()]).with::<Role>(AGENT, [role::Event::Created(agent)])
    }

    #[test]
    fn it_is_issued_once_in_a_user_s_name() {
        world([]).when(Command::Issue(new())).then([Event::Issued(new())]);
        world([Event::Issued(new())]).when(Command::Issue(new())).nothing();
        let other = Issue { digest: "f".repeat(64), ..new() };
        world([Event::Issued(new())]).when(Command::Issue(other)).rejected(EXISTS);
        given::<ApiKey>([]).when(Command::Issue(new())).rejected(USER_UNFIT);
        let gone = user::Event::Deactivated { reason: None };
        world([]).with::<User>(ANNA, [invited(), gone]).when(Command::Issue(new())).rejected(USER_UNFIT);
        world([]).when(Command::Issue(Issue { role: Some(ANNA), ..new() })).rejected(ROLE_UNFIT);
        let claim = format!("+api_key.digest {}", new().digest);
        assert_eq!(world([]).claims(&Event::Issued(new())), [claim]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |issue, why| world([]).when(Command::Issue(issue)).rejected(why);
        refused(Issue { name: "".into(), ..new() }, valid::NAME_INVALID);
        refused(Issue { digest: "secret".into(), ..new() }, DIGEST_INVALID);
        refused(Issue { digest: "F".repeat(64), ..new() }, DIGEST_INVALID);
        refused(Issue { prefix: "x".repeat(17), ..new() }, DIGEST_INVALID);
        refused(Issue { expires_at: Some(at(0)), ..new() }, EXPIRY_INVALID);
    }

    #[test]
    fn nobody_issues_renames_or_revokes_a_key_that_may_do_more_than_he() {
        let role = |patterns: &[&str]| {
            let permissions = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            role::Event::Created(role::New { name: "Role".into(), permissions })
        };
        let boss = [invited(), user::Event::RoleGranted { role: BOSS }];
        let world = |events: &[Event], patterns: &[&str]| {
            given::<ApiKey>(events.iter().cloned())
                .with::<User>(ANNA, boss.clone())
                .with::<Role>(BOSS, [role(&["*"])])
                .with::<Role>(AGENT, [role(&["ticket.*"])])
                .may(patterns)
        };
        let unbound = Issue { role: None, ..new() };
        let less = ["api_key.*", "ticket.*"];
        world(&[], &["*"]).by(BORIS).when(Command::Issue(unbound.clone())).events();
        world(&[], &less).by(BORIS).when(Command::Issue(unbound.clone())).rejected(DENIED);
        world(&[], &less).by(BORIS).when(Command::Issue(new())).rejected(DENIED);
        // Anna herself, with a key that is bound to less: no more than that key has.
        world(&[], &less).when(Command::Issue(unbound.clone())).rejected(DENIED);
        world(&[], &less).when(Command::Issue(new())).events();
        for command in [Command::Revoke { reason: None }, Command::Rename { name: "Mine".into() }] {
            world(&[Event::Issued(unbound.clone())], &less).when(command.clone()).rejected(DENIED);
            world(&[Event::Issued(new())], &less).when(command.clone()).events();
            world(&[Event::Issued(new())], &["api_key.*"]).when(command).rejected(DENIED);
        }
    }

    #[test]
    fn it_opens_doors_until_it_expires_or_is_revoked() {
        let issued = || Event::Issued(Issue { expires_at: Some(at(9)), ..new() });
        let revoked = || Event::Revoked { reason: Some("Leaked".into()) };
        let revoke = || Command::Revoke { reason: Some("Leaked".into()) };
        assert!(world([issued()]).state.is_valid_at(at(8)) && !world([issued()]).state.is_valid_at(at(9)));
        assert!(!world([issued(), revoked()]).state.is_valid_at(at(0)));
        world([issued()]).when(revoke()).then([revoked()]);
        world([issued(), revoked()]).when(revoke()).nothing();
        world([]).when(revoke()).rejected(UNKNOWN);
        let rename = |name: &str| Command::Rename { name: name.into() };
        let renamed = || Event::Renamed { from: "Shop".into(), to: "Web shop".into() };
        world([issued()]).when(rename("Web shop")).then([renamed()]);
        world([issued(), renamed()]).when(rename("Web shop")).nothing();
        world([issued()]).when(rename(" ")).rejected(valid::NAME_INVALID);
        world([issued(), revoked()]).when(rename("Web shop")).rejected(REVOKED);
        assert!(world([issued()]).claims(&revoked()).is_empty());
    }
}
