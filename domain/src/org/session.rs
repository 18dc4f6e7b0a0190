//! A person's stay in a browser or app: it begins with signing in and ends, whatever becomes of the cookie.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Need, Personal, Rejection, Time,
    kernel::access::Relation,
    org::{
        authority::DENIED,
        user::{self, User},
    },
};

/// How somebody proved who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By a password.
    Password,
    /// By a link that an administrator handed out, and by which a password was set.
    Link,
    /// By an OpenID provider.
    OpenidConnect,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person signed out, here or from elsewhere.
    SignedOut,
    /// Somebody else ended it.
    Revoked,
    /// The person signed in again in the same browser.
    Replaced,
    /// It was not used for too long, or had lasted long enough.
    Expired,
    /// The password was set anew.
    PasswordSet,
    /// The person was shut out.
    UserDeactivated,
}

/// A new session. The cookie's secret is nowhere in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Who signed in.
    #[schemars(extend("x-reference" = "user", "x-refusal" = "session_user_unfit"))]
    pub user: Id,
    /// How the person proved who he is.
    pub method: Method,
    /// Whether by a second factor too.
    #[serde(default)]
    pub second_factor: bool,
    /// How often all sessions of the user had been ended at once before it began: it ends with the next time.
    #[serde(default)]
    pub era: u32,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub address: Option<Personal<String>>,
    /// What the browser or app calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal<String>>,
    /// When it ends at the latest.
    pub expires_at: Time,
}

/// What may be asked of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Begins it.
    Start(Start),
    /// Ends it: one's own, or with `session.end_any` a colleague's.
    End,
    /// Ends it for a reason of Deskfold's own.
    Conclude {
        /// Why.
        reason: Reason,
    },
}

/// What has happened to a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It began.
    Started(Start),
    /// It is over.
    Ended {
        /// Why.
        reason: Reason,
    },
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// Lasts.
    Active,
    /// Over.
    Ended,
}

/// A person's stay in a browser or app.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Where it stands.
    pub status: Status,
    /// Whose it is; absent before it began.
    pub user: Option<Id>,
    /// When it ends at the latest.
    pub expires_at: Option<Time>,
    era: u32,
}

const UNKNOWN: Rejection = Rejection::missing("session_unknown", "There is no such session.");
const EXISTS: Rejection = Rejection::conflict("session_exists", "A session with this id exists already.");
const USER_UNFIT: Rejection = Rejection::invalid(
    "session_user_unfit",
    "There is no such user, or it is deactivated, or has just been signed out.",
);

impl Session {
    /// Why it is over for this user at that time though nobody has ended it yet; `None` while it lasts.
    pub fn over(&self, user: &User, now: Time) -> Option<Reason> {
        if !user.is_active() {
            Some(Reason::UserDeactivated)
        } else if self.era != user.era {
            Some(Reason::PasswordSet)
        } else {
            self.expires_at.is_some_and(|at| at <= now).then_some(Reason::Expired)
        }
    }

    fn end(&self, ctx: &Ctx<'_>) -> Decision<Event> {
        let own = self.user == Some(ctx.actor.principal());
        ctx.must_own(self.user, "session.end")?;
        if let Some(user) = self.user.filter(|_| !own) {
            ctx.must_have(&user::authority(user, ctx))?;
        }
        Ok(vec![Event::Ended { reason: if own { Reason::SignedOut } else { Reason::Revoked } }])
    }
}

impl Aggregate for Session {
    const KIND: &'static str = "session";
    const PLURAL: &'static str = "sessions";
    const CREATE: &'static str = "start";
    const INTERNAL: &'static [&'static str] = &["start", "conclude"];
    const OWN: &'static [&'static str] = &["end"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (self.status, command) {
            (Status::Missing, Command::Start(new)) => {
                let user = ctx.fact::<User>(new.user);
                if !user.is_active() || user.era != new.era {
                    return Err(USER_UNFIT.at("/user"));
                }
                Ok(vec![Event::Started(new)])
            }
            (Status::Missing, _) => Err(UNKNOWN),
            (_, Command::Start(new)) if self.user == Some(new.user) && self.expires_at == Some(new.expires_at) => {
                Ok(vec![])
            }
            (_, Command::Start(_)) => Err(EXISTS),
            (Status::Ended, _) => Ok(vec![]),
            (Status::Active, Command::End) => self.end(ctx),
            (Status::Active, Command::Conclude { reason }) => Ok(vec![Event::Ended { reason }]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Started(new) => {
                let Start { user, era, expires_at, .. } = new;
                *self = Session { status: Status::Active, user: Some(*user), expires_at: Some(*expires_at), era: *era };
            }
            Event::Ended { .. } => self.status = Status::Ended,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Started(new) => vec![Relation::Owner(Some(new.user))],
            Event::Ended { .. } => Vec::new(),
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            // Nobody signs in who is shut out at the same moment, or whose password is set anew.
            Command::Start(new) => vec![Need::guarded::<User>(new.user)],
            Command::End if self.user != Some(ctx.actor.principal()) => {
                self.user.map_or_else(Vec::new, |user| user::needs_of_authority(user, ctx))
            }
            Command::End | Command::Conclude { .. } => Vec::new(),
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Started(new) => Some(new.user),
            Event::Ended { .. } => self.user,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, USER_UNFIT, DENIED]
    }

    fn examples() -> Vec<Command> {
        let start = Start {
            user: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C),
            method: Method::Password,
            second_factor: true,
            era: 0,
            address: Some("203.0.113.7".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
            expires_at: "2030-01-01T00:00:00Z".parse().unwrap_or_default(),
        };
        vec![Command::Start(start), Command::End, Command::Conclude { reason: Reason::Expired }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::given::{ANNA, BORIS, Given, at, given},
        org::role::{self, Role},
    };

    const BOSS: Id = Id::from_bits(0xD);

    fn start() -> Start {
        let Some(Command::Start(start)) = Session::examples().into_iter().next() else { unreachable!() };
        Start { user: ANNA, era: 0, expires_at: at(60), ..start }
    }

    fn invited() -> user::Event {
        let Some(user::Command::Invite(profile)) = User::examples().into_iter().next() else { unreachable!() };
        user::Event::Invited(profile)
    }

    fn gone() -> user::Event {
        user::Event::Deactivated { reason: None }
    }

    fn world(events: impl IntoIterator<Item = Event>) -> Given<Session> {
        given(events).with::<User>(ANNA, [invited()])
    }

    #[test]
    fn it_begins_for_whoever_is_let_in_and_only_for_the_present() {
        world([]).when(Command::Start(start())).then([Event::Started(start())]);
        world([Event::Started(start())]).when(Command::Start(start())).nothing();
        let other = Start { user: BORIS, ..start() };
        world([Event::Started(start())]).when(Command::Start(other)).rejected(EXISTS);
        world([]).with::<User>(ANNA, [invited(), gone()]).when(Command::Start(start())).rejected(USER_UNFIT);
        let set = user::Event::PasswordSet { credential: BOSS };
        world([]).with::<User>(ANNA, [invited(), set]).when(Command::Start(start())).rejected(USER_UNFIT);
        world([]).when(Command::End).rejected(UNKNOWN);
    }

    #[test]
    fn it_is_over_when_it_is_ended_expires_or_all_of_the_user_s_are() {
        let session = world([Event::Started(start())]).state;
        let user = |events: &[user::Event]| given::<User>(events.iter().cloned()).state;
        assert_eq!(session.over(&user(&[invited()]), at(59)), None);
        assert_eq!(session.over(&user(&[invited()]), at(60)), Some(Reason::Expired));
        assert_eq!(session.over(&user(&[invited(), gone()]), at(0)), Some(Reason::UserDeactivated));
        let back = [invited(), gone(), user::Event::Activated];
        assert_eq!(session.over(&user(&back), at(0)), Some(Reason::PasswordSet), "it does not come back");
        let concluded = Event::Ended { reason: Reason::Expired };
        let conclude = Command::Conclude { reason: Reason::Expired };
        world([Event::Started(start())]).when(conclude.clone()).then([concluded.clone()]);
        world([Event::Started(start()), concluded]).when(conclude).nothing();
    }

    #[test]
    fn one_ends_one_s_own_and_a_colleague_s_only_by_permission() {
        let ended = |reason| [Event::Ended { reason }];
        let started = || world([Event::Started(start())]);
        started().by(ANNA).may(&[]).when(Command::End).then(ended(Reason::SignedOut));
        started().by(BORIS).may(&["session.end"]).when(Command::End).rejected(DENIED);
        started().by(BORIS).may(&["session.end_any"]).when(Command::End).then(ended(Reason::Revoked));
        let all = role::Event::Created(role::New { name: "Boss".into(), permissions: ["*".to_owned()].into() });
        let boss = [invited(), user::Event::RoleGranted { role: BOSS }];
        let of_boss = || started().with::<User>(ANNA, boss.clone()).with::<Role>(BOSS, [all.clone()]).by(BORIS);
        of_boss().may(&["session.*"]).when(Command::End).rejected(DENIED);
        of_boss().when(Command::End).then(ended(Reason::Revoked));
    }
}
