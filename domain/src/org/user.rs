//! A colleague: invited, given roles, present or away, and one day deactivated.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ActorKind, Aggregate, Authority, Claim, Ctx, Decision, Echo, Faults, Id, Need, Personal, Rejection, Time, all,
    kernel::{
        custom::{self, Changes},
        email,
        phone::{self, Dialled},
        record::{self, FIELD_INVALID, WORKED_OUT},
        valid,
    },
    org::{
        administration::{self, LAST_ADMIN, Seen},
        authority::DENIED,
        notifying::{self, Preferences},
        role::Role,
        tenant::{self, SEATS_TAKEN, Tenant},
    },
};

/// Who a colleague is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// E-mail address; no other user of the tenant may have it.
    #[schemars(extend("format" = "email"))]
    pub email: Personal<String>,
    /// Full name.
    pub name: Personal<String>,
    /// Phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "phone"))]
    pub phone: Option<Personal<String>>,
    /// The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_e164: Option<Personal<String>>,
    /// The extension in `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("readOnly" = true, "format" = "word"))]
    pub phone_extension: Option<Personal<String>>,
    /// City, by which rules choose people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    /// Language, BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Time zone, IANA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

impl Profile {
    /// Says what the phone number means.
    fn dial(&mut self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let dialled = Dialled::of(self.phone.as_ref().map(|phone| phone.as_str()), "/phone", ctx);
        let Dialled { e164, extension } = dialled.clone().unwrap_or_default();
        (self.phone_e164, self.phone_extension) = (e164.map(Personal), extension.map(Personal));
        dialled.map(drop)
    }

    fn check(&self) -> Result<(), Rejection> {
        all([
            valid::name(&self.name, "/name"),
            valid::email(Some(&self.email)),
            valid::locale(self.locale.as_deref()),
            valid::time_zone(self.time_zone.as_deref()),
        ])
    }
}

/// Whether a colleague is there to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// There.
    Online,
    /// Not at the desk for a moment.
    Away,
    /// Not there.
    #[default]
    Offline,
}

/// How it is known whether somebody is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceSource {
    /// Somebody threw the switch.
    #[default]
    Manual,
    /// A session began or ended.
    Session,
    /// Nothing was touched for a while.
    Idle,
    /// The working calendar says so.
    Calendar,
}

/// What a link is for that is handed to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkPurpose {
    /// To set a password: an invitation, or help for whoever forgot it.
    Password,
    /// To show that mail arrives at the new address.
    Email,
}

/// What may be asked of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Invites a colleague.
    Invite(Profile),
    /// Lets an invited or deactivated colleague in.
    Activate,
    /// Shuts a colleague out; what he did stays.
    Deactivate {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
        /// Who takes over whatever he is responsible for; nobody when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("x-reference" = "colleague", "x-refusal" = "user_successor_unfit"))]
        hand_over_to: Option<Id>,
    },
    /// Gives whatever the colleague is responsible for to another one.
    HandOver {
        /// Who takes it over.
        #[schemars(extend("x-reference" = "colleague", "x-refusal" = "user_successor_unfit"))]
        to: Id,
    },
    /// Records that everything that could be has been handed over.
    FinishHandOver {
        /// Who took it over.
        #[schemars(extend("x-held-reference" = "user"))]
        to: Id,
    },
    /// Changes the profile by JSON merge patch (RFC 7396). Only real changes are recorded.
    ChangeProfile(#[schemars(with = "record::Patch<Profile>")] Map<String, Value>),
    /// Gives a role.
    GrantRole {
        /// Which role.
        #[schemars(extend("x-reference" = "role", "x-refusal" = "user_role_unfit"))]
        role: Id,
    },
    /// Takes a role away.
    RevokeRole {
        /// Which role.
        #[schemars(extend("x-held-reference" = "role"))]
        role: Id,
    },
    /// Says whether the colleague is there.
    SetPresence {
        /// Whether there.
        presence: Presence,
        /// How that is known.
        #[serde(default)]
        source: PresenceSource,
    },
    /// Lets the colleague answer in a channel, which then has one more operator.
    GrantChannelAccess {
        /// Which channel.
        #[schemars(extend("x-held-reference" = "channel"))]
        channel: Id,
    },
    /// Takes a channel away, of which the colleague then is no operator.
    RevokeChannelAccess {
        /// Which channel.
        #[schemars(extend("x-held-reference" = "channel"))]
        channel: Id,
    },
    /// Says by which calendar the colleague works.
    AssignCalendar {
        /// Which calendar; null for the team's.
        calendar: Option<Id>,
    },
    /// Limits how much of one kind of work the colleague has at once.
    SetCapacity {
        /// Kind of work, such as `ticket` or `conversation`.
        kind: String,
        /// How many at most; null for no limit.
        #[schemars(range(min = 0, max = 1000000))]
        max: Option<u32>,
    },
    /// Records that a password was set. The password is nowhere in the log, nor anything that follows from it.
    SetPassword {
        /// Under which id its hash is kept.
        credential: Id,
        /// The link that permits it; absent when the user knew the former one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<Id>,
    },
    /// Records that the user asked for help, not knowing the password.
    ForgetPassword,
    /// Hands out a link. Its secret is nowhere in the log; a later one of the same purpose makes it worthless.
    IssueLink {
        /// What it is for.
        purpose: LinkPurpose,
        /// Under which id its secret's digest is kept.
        link: Id,
        /// When it becomes worthless by itself.
        expires_at: Time,
    },
    /// Asks that another address become the user's, once a link that is sent there was followed.
    RequestEmail {
        /// The address.
        #[schemars(extend("format" = "email"))]
        email: Personal<String>,
    },
    /// Makes the address that was asked for the user's.
    ConfirmEmail {
        /// The link that was followed.
        link: Id,
    },
    /// Records that the user proves who he is by codes of an app too.
    EnableSecondFactor {
        /// Under which id its secret is kept.
        credential: Id,
    },
    /// Lets the user sign in without a second factor again.
    DisableSecondFactor,
    /// Records that the user has other recovery codes.
    ReplaceRecoveryCodes {
        /// Under which id their digests are kept.
        codes: Id,
    },
    /// Records that one of the recovery codes was used up.
    UseRecoveryCode {
        /// How many are left.
        left: u32,
    },
    /// Records as whom an OpenID provider knows the user.
    LinkIdentity {
        /// The provider.
        issuer: String,
        /// As whom it knows the user.
        subject: Personal<String>,
    },
    /// Forgets as whom an OpenID provider knows the user.
    UnlinkIdentity {
        /// The provider.
        issuer: String,
    },
    /// Records that the user has another picture. The picture itself is nowhere in the log.
    ChangePicture {
        /// Under which id it is kept; null for none.
        picture: Option<Id>,
    },
    /// Records that the user has handed out an address at which anybody sees a picture of a widget, as the user sees it.
    AddressWidget {
        /// The id of the address.
        address: Id,
        /// The dashboard and the widget, with a dot between.
        widget: String,
        /// Until when it is good.
        expires_at: Time,
    },
    /// Takes such an address back: nothing is to be seen at it any more.
    WithdrawAddress {
        /// The id of the address.
        address: Id,
    },
    /// Records what the user wants to be told of, by what media, and when.
    SetNotificationPreferences(Preferences),
    /// Records that the user is told by a chat's incoming webhook. Its address is nowhere in the log.
    SetChatWebhook {
        /// Under which id it is kept; null for none.
        credential: Option<Id>,
    },
    /// Records that a browser of the user's takes pushed messages. Its address and keys are nowhere in the log.
    SubscribeBrowser {
        /// Under which id they are kept.
        browser: Id,
    },
    /// Records that it does so no more.
    UnsubscribeBrowser {
        /// Under which id they were kept.
        browser: Id,
    },
}

/// What has happened to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Was invited.
    Invited(Profile),
    /// May work.
    Activated,
    /// May work no longer.
    Deactivated {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What the user is responsible for goes to a colleague, piece by piece.
    HandOverBegun {
        /// Who takes it over.
        to: Id,
    },
    /// Whatever could be has been handed over.
    HandedOver {
        /// Who took it over.
        to: Id,
    },
    /// The profile changed.
    ProfileChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// Got a role.
    RoleGranted {
        /// Which role.
        role: Id,
    },
    /// Lost a role.
    RoleRevoked {
        /// Which role.
        role: Id,
    },
    /// Came, left for a moment, or went.
    PresenceChanged {
        /// Before.
        from: Presence,
        /// After.
        to: Presence,
        /// How that is known.
        source: PresenceSource,
    },
    /// May answer in a channel.
    ChannelAccessGranted {
        /// Which channel.
        channel: Id,
    },
    /// May answer there no longer.
    ChannelAccessRevoked {
        /// Which channel.
        channel: Id,
    },
    /// Works by another calendar.
    CalendarAssigned {
        /// Before.
        from: Option<Id>,
        /// After; null for the team's.
        to: Option<Id>,
    },
    /// Has another limit for one kind of work.
    CapacitySet {
        /// Kind of work.
        kind: String,
        /// How many at most; null for no limit.
        max: Option<u32>,
    },
    /// Has another password. All sessions ended with it.
    PasswordSet {
        /// Under which id its hash is kept.
        credential: Id,
    },
    /// Asked for help, not knowing the password.
    PasswordForgotten,
    /// Was given a link.
    LinkIssued {
        /// What it is for.
        purpose: LinkPurpose,
        /// Under which id its secret's digest is kept.
        link: Id,
        /// When it becomes worthless by itself.
        expires_at: Time,
    },
    /// Wants another address.
    EmailChangeRequested {
        /// Which.
        email: Personal<String>,
    },
    /// Followed the link that was sent to the new address.
    EmailConfirmed {
        /// The link.
        link: Id,
    },
    /// Proves who he is by codes of an app too.
    SecondFactorEnabled {
        /// Under which id its secret is kept.
        credential: Id,
    },
    /// Signs in without a second factor again.
    SecondFactorDisabled,
    /// Has other recovery codes.
    RecoveryCodesReplaced {
        /// Under which id their digests are kept.
        codes: Id,
    },
    /// Used a recovery code up.
    RecoveryCodeUsed {
        /// How many are left.
        left: u32,
    },
    /// Is known to an OpenID provider.
    IdentityLinked {
        /// The provider.
        issuer: String,
        /// As whom it knows the user.
        subject: Personal<String>,
    },
    /// Is no longer taken for whom an OpenID provider knows.
    IdentityUnlinked {
        /// The provider.
        issuer: String,
    },
    /// Has handed out an address at which anybody sees a picture of a widget, as the user sees it.
    WidgetAddressed {
        /// The id of the address.
        address: Id,
        /// The dashboard and the widget, with a dot between.
        widget: String,
        /// Until when it is good.
        expires_at: Time,
    },
    /// Has taken such an address back.
    AddressWithdrawn {
        /// The id of the address.
        address: Id,
    },
    /// Has another picture.
    PictureChanged {
        /// Before; null for none.
        from: Option<Id>,
        /// After; null for none.
        to: Option<Id>,
    },
    /// Wants to be told of other things, by other media, or at other times.
    NotificationPreferencesChanged {
        /// Before.
        from: Preferences,
        /// After.
        to: Preferences,
    },
    /// Is told by another incoming webhook of a chat.
    ChatWebhookSet {
        /// Under which id its address is kept; null for none.
        credential: Option<Id>,
    },
    /// A browser takes pushed messages.
    BrowserSubscribed {
        /// Under which id its address and keys are kept.
        browser: Id,
    },
    /// It does so no more.
    BrowserUnsubscribed {
        /// Under which id they were kept.
        browser: Id,
    },
}

/// How many recovery codes are made at once.
pub const RECOVERY_CODES: u32 = 10;

/// Where a user stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// Invited, not yet there.
    Invited,
    /// Works.
    Active,
    /// Shut out.
    Deactivated,
}

/// A colleague.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Where the user stands.
    pub status: Status,
    /// Who it is.
    pub profile: Profile,
    /// The roles the user has.
    pub roles: BTreeSet<Id>,
    /// Whether there.
    pub presence: Presence,
    /// How that is known; absent as long as nobody has said anything.
    presence_source: Option<PresenceSource>,
    /// The channels in which the user may answer.
    pub channels: BTreeSet<Id>,
    /// Who is taking over what the user is responsible for, until that is done.
    pub handing_over_to: Option<Id>,
    /// How often all sessions were ended at once: those that began before are over.
    pub era: u32,
    /// Under which id the password's hash is kept; absent without a password.
    pub password: Option<Id>,
    /// Under which id the second factor's secret is kept; absent without one.
    pub second_factor: Option<Id>,
    /// Under which id the recovery codes are kept, and how many are left.
    pub recovery: Option<(Id, u32)>,
    /// The address that is to be the user's once it is confirmed.
    pub wanted_email: Option<Personal<String>>,
    /// As whom OpenID providers know the user, by provider.
    pub identities: BTreeMap<String, Personal<String>>,
    /// Under which id the picture is kept.
    pub picture: Option<Id>,
    /// The addresses of pictures of widgets that were handed out and not taken back: of which widget, and until when each is good.
    pub addresses: BTreeMap<Id, (String, Time)>,
    /// What the user wants to be told of, by what media, and when.
    pub notifications: Preferences,
    /// Under which id the address of the chat's incoming webhook is kept by which the user is told.
    pub chat_webhook: Option<Id>,
    /// Under which ids the addresses and keys of browsers are kept that take pushed messages, those that came first first.
    pub browsers: Vec<Id>,
    /// The links that are of use, and until when.
    links: BTreeMap<LinkPurpose, (Id, Time)>,
    /// The link that was followed last to confirm an address.
    confirmed_by: Option<Id>,
    forgot_password: bool,
    calendar: Option<Id>,
    capacity: BTreeMap<String, u32>,
}

const UNKNOWN: Rejection = Rejection::missing("user_unknown", "There is no such user.");
/// Another user has this id.
pub const EXISTS: Rejection = Rejection::conflict("user_exists", "A user with this id exists already.");
/// Another user has this address.
pub const EMAIL_TAKEN: Rejection = Rejection::conflict("user_email_taken", "Another user has this e-mail address.");
const DEACTIVATED: Rejection = Rejection::conflict("user_deactivated", "The user is deactivated.");
/// A role that is not there.
pub const ROLE_UNFIT: Rejection = Rejection::invalid("user_role_unfit", "There is no such role, or it is deleted.");
const SUCCESSOR_UNFIT: Rejection = Rejection::invalid(
    "user_successor_unfit",
    "Work is handed over to another colleague, who is active and has a role.",
);
/// The refusal of a link that is of no use.
pub const LINK_INVALID: Rejection =
    Rejection::conflict("user_link_invalid", "The link is unknown, used, replaced by a later one, or too old.");
/// Most browsers that a user's messages are pushed to.
const MAX_BROWSERS: usize = 20;
/// Most addresses of pictures that are good at the same time.
const MAX_ADDRESSES: usize = 1000;
const TOO_MANY_ADDRESSES: Rejection =
    Rejection::conflict("picture_addresses_many", "Too many addresses of pictures are good: take some back first.");
/// The refusal of a picture's address that would expire at once, or too late.
pub const ADDRESS_EXPIRY_INVALID: Rejection =
    Rejection::invalid("picture_expiry_invalid", "An address of a picture is good for 1 to 366 days.");
const LINK_EXPIRY_INVALID: Rejection = Rejection::invalid("user_link_expiry_invalid", "A link expires in the future.");
const EMAIL_NOT_REQUESTED: Rejection =
    Rejection::conflict("user_email_not_requested", "No other address is wanted that could be confirmed.");
const NO_SECOND_FACTOR: Rejection =
    Rejection::conflict("user_no_second_factor", "The user signs in without a second factor.");
const IDENTITY_TAKEN: Rejection =
    Rejection::conflict("user_identity_taken", "The provider knows another user as this person.");
const IDENTITY_DIFFERS: Rejection =
    Rejection::conflict("user_identity_differs", "The provider knows the user as somebody else.");
const CAPACITY_INVALID: Rejection =
    Rejection::invalid("user_capacity_invalid", "A kind of work has 1 to 64 characters, such as ticket.");

/// What must be known to say whether a colleague [`can_work`]: the user, and then the user's roles. Nobody is given work
/// who is shut out at the same moment.
pub fn needs_to_work(user: Id, ctx: &Ctx<'_>) -> Vec<Need> {
    let roles = if ctx.facts.has(User::KIND, user) { ctx.fact::<User>(user).roles.clone() } else { BTreeSet::new() };
    [Need::guarded::<User>(user)].into_iter().chain(roles.into_iter().map(Need::of::<Role>)).collect()
}

/// Whether a colleague can be given work, as far as the facts go: [`User::can_work`].
pub fn can_work(user: Id, ctx: &Ctx<'_>) -> bool {
    ctx.fact::<User>(user).can_work(|role| ctx.fact::<Role>(role).exists())
}

/// What must be known to say what a user may do: the user, and then the user's roles. None of it may change meanwhile.
pub fn needs_of_authority(user: Id, ctx: &Ctx<'_>) -> Vec<Need> {
    let roles = if ctx.facts.has(User::KIND, user) { ctx.fact::<User>(user).needs_of_roles() } else { Vec::new() };
    [Need::guarded::<User>(user)].into_iter().chain(roles).collect()
}

/// What a user may do once let in, as far as the facts go.
pub fn authority(user: Id, ctx: &Ctx<'_>) -> Authority {
    ctx.fact::<User>(user).authority(ctx)
}

impl User {
    fn needs_of_roles(&self) -> Vec<Need> {
        self.roles.iter().copied().map(Need::guarded::<Role>).collect()
    }

    /// What the user may do once let in: whether let in or not, so that nobody lets in who may do more.
    fn authority(&self, ctx: &Ctx<'_>) -> Authority {
        Authority::new(self.roles.iter().map(|role| ctx.fact::<Role>(*role)))
    }

    /// Whether the user counts among those whom a plan has seats for.
    pub(crate) fn has_seat(&self) -> bool {
        matches!(self.status, Status::Invited | Status::Active)
    }

    /// Whether the user comes in without a key.
    pub(crate) fn signs_in(&self) -> bool {
        self.password.is_some() || !self.identities.is_empty()
    }

    /// As the user would be after a command that takes rights, or a way in, away.
    fn narrowed(&self, command: &Command) -> Option<User> {
        let event = match command {
            Command::Deactivate { reason, .. } => Event::Deactivated { reason: reason.clone() },
            Command::RevokeRole { role } => Event::RoleRevoked { role: *role },
            Command::UnlinkIdentity { issuer } => Event::IdentityUnlinked { issuer: issuer.clone() },
            _ => return None,
        };
        let mut after = self.clone();
        after.evolve(&event);
        self.is_active().then_some(after)
    }

    /// Whether a command leaves rights, name and standing of the user alone.
    fn touches_nothing(command: &Command) -> bool {
        use Command::{
            AddressWidget, ChangePicture, FinishHandOver, Invite, SetChatWebhook, SetNotificationPreferences,
            SetPresence, SubscribeBrowser, UnsubscribeBrowser, WithdrawAddress,
        };
        let own = matches!(command, ChangePicture { .. } | AddressWidget { .. } | WithdrawAddress { .. });
        let told = matches!(command, SetNotificationPreferences(_) | SetChatWebhook { .. });
        let pushed = matches!(command, SubscribeBrowser { .. } | UnsubscribeBrowser { .. });
        own || told || pushed || matches!(command, Invite(_) | SetPresence { .. } | FinishHandOver { .. })
    }

    /// Whether a change of presence follows: a pause makes only those away who were there, and whoever has thrown the switch by
    /// hand is not there again because of a touch or a session.
    fn heeds(&self, presence: Presence, source: PresenceSource) -> bool {
        match (source, presence) {
            (PresenceSource::Idle, Presence::Away) => self.presence == Presence::Online,
            (PresenceSource::Idle | PresenceSource::Session, Presence::Online) => {
                self.presence_source.is_none_or(|source| source != PresenceSource::Manual)
            }
            _ => true,
        }
    }

    /// Who is to take over what the user is responsible for.
    fn successor(command: &Command) -> Option<Id> {
        match command {
            Command::Deactivate { hand_over_to, .. } => *hand_over_to,
            Command::HandOver { to } => Some(*to),
            _ => None,
        }
    }

    /// The event by which a colleague begins to take over, unless that is so already.
    fn hand_over(&self, to: Option<Id>) -> Option<Event> {
        to.filter(|to| self.handing_over_to != Some(*to)).map(|to| Event::HandOverBegun { to })
    }

    /// Refuses whoever may not do this to this user: a colleague who has more is touched by nobody with less, and nobody
    /// gives what he does not have.
    fn check_rights(&self, command: &Command, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        if !Self::touches_nothing(command) {
            ctx.must_have(&self.authority(ctx))?;
        }
        match command {
            Command::SetPresence { .. } => ctx.must_own(Some(ctx.id), "user.set_presence"),
            Command::GrantRole { role } => {
                let role = ctx.fact::<Role>(*role);
                ctx.must_have(&Authority::new([role])).map_err(|refusal| refusal.at("/role"))
            }
            Command::GrantChannelAccess { channel } | Command::RevokeChannelAccess { channel } => {
                let own =
                    if ctx.id == ctx.actor.id { self.channels.contains(channel) } else { has_channel(*channel, ctx) };
                let detail = "Nobody gives, nor takes, access to a channel in which he may not answer himself.";
                if own || ctx.authority.is_full() { Ok(()) } else { Err(DENIED.because(detail).at("/channel")) }
            }
            _ => Ok(()),
        }
    }

    /// Whether the user can be given work: active, and not merely invited, with at least one role that `exists`.
    pub fn can_work(&self, exists: impl Fn(Id) -> bool) -> bool {
        self.status == Status::Active && self.roles.iter().any(|role| exists(*role))
    }

    /// Whether the user may act: invited or active.
    pub fn is_active(&self) -> bool {
        matches!(self.status, Status::Invited | Status::Active)
    }

    /// Refuses a link that is not the latest of its purpose, was used, or is too old.
    pub fn check_link(&self, purpose: LinkPurpose, link: Id, now: Time) -> Result<(), Rejection> {
        let fits = |(id, expires_at): &(Id, Time)| *id == link && now < *expires_at;
        if self.is_active() && self.links.get(&purpose).is_some_and(fits) { Ok(()) } else { Err(LINK_INVALID) }
    }

    /// What comes of what is about signing in.
    fn sign_in(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        Ok(match command {
            SetPassword { credential, .. } if self.password == Some(credential) => vec![],
            SetPassword { credential, link } => {
                link.map_or(Ok(()), |link| self.check_link(LinkPurpose::Password, link, ctx.now))?;
                // Whoever was invited has come.
                let came = (self.status == Status::Invited).then_some(Event::Activated);
                [Event::PasswordSet { credential }].into_iter().chain(came).collect()
            }
            ForgetPassword if self.forgot_password => vec![],
            ForgetPassword => vec![Event::PasswordForgotten],
            IssueLink { purpose, link, .. } if self.links.get(&purpose).is_some_and(|(id, _)| *id == link) => vec![],
            IssueLink { purpose: LinkPurpose::Email, .. } if self.wanted_email.is_none() => {
                return Err(EMAIL_NOT_REQUESTED);
            }
            IssueLink { expires_at, .. } if expires_at <= ctx.now => {
                return Err(LINK_EXPIRY_INVALID.at("/expires_at"));
            }
            IssueLink { purpose, link, expires_at } => vec![Event::LinkIssued { purpose, link, expires_at }],
            RequestEmail { email } => {
                valid::email(Some(&email))?;
                let so = self.wanted_email.as_ref().unwrap_or(&self.profile.email) == &email;
                if so { vec![] } else { vec![Event::EmailChangeRequested { email }] }
            }
            ConfirmEmail { link } if self.confirmed_by == Some(link) => vec![],
            ConfirmEmail { link } => {
                self.check_link(LinkPurpose::Email, link, ctx.now)?;
                let email = self.wanted_email.clone().ok_or(EMAIL_NOT_REQUESTED)?;
                let changes = record::difference(&self.profile, &Profile { email, ..self.profile.clone() });
                let changed = (!changes.is_empty()).then_some(Event::ProfileChanged { changes });
                changed.into_iter().chain([Event::EmailConfirmed { link }]).collect()
            }
            EnableSecondFactor { credential } if self.second_factor == Some(credential) => vec![],
            EnableSecondFactor { credential } => vec![Event::SecondFactorEnabled { credential }],
            DisableSecondFactor if self.second_factor.is_none() => vec![],
            DisableSecondFactor => vec![Event::SecondFactorDisabled],
            ReplaceRecoveryCodes { .. } | UseRecoveryCode { .. } if self.second_factor.is_none() => {
                return Err(NO_SECOND_FACTOR);
            }
            ReplaceRecoveryCodes { codes } if self.recovery.is_some_and(|(known, _)| known == codes) => vec![],
            ReplaceRecoveryCodes { codes } => vec![Event::RecoveryCodesReplaced { codes }],
            UseRecoveryCode { left } if self.recovery.is_none_or(|(_, before)| before <= left) => vec![],
            UseRecoveryCode { left } => vec![Event::RecoveryCodeUsed { left }],
            LinkIdentity { issuer, subject } => match self.identities.get(&issuer) {
                Some(known) if *known == subject => vec![],
                Some(_) => return Err(IDENTITY_DIFFERS),
                None => vec![Event::IdentityLinked { issuer, subject }],
            },
            UnlinkIdentity { issuer } if self.identities.contains_key(&issuer) => {
                vec![Event::IdentityUnlinked { issuer }]
            }
            _ => vec![],
        })
    }

    /// The names under which providers' people are the user's alone.
    fn identity_keys(&self) -> BTreeSet<String> {
        self.identities.iter().map(|(issuer, subject)| identity_key(issuer, subject)).collect()
    }

    fn email_key(&self) -> BTreeSet<String> {
        match self.status {
            Status::Missing => BTreeSet::new(),
            _ => BTreeSet::from([email::key(&self.profile.email), self.profile.email.to_lowercase()]),
        }
    }
}

/// The scope of [`identity_key`].
pub const IDENTITY: &str = "user.identity";

/// The name under which a provider's person is one user's alone.
pub fn identity_key(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}

/// Whether whoever asks may answer in a channel.
fn has_channel(channel: Id, ctx: &Ctx<'_>) -> bool {
    ctx.actor.kind == ActorKind::User && ctx.fact::<User>(ctx.actor.id).channels.contains(&channel)
}

fn invite(user: &User, profile: Profile, ctx: &Ctx<'_>) -> Decision<Event> {
    let mut profile = profile;
    let dialled = profile.dial(ctx);
    match user.status {
        Status::Missing => {
            all([profile.check(), dialled])?;
            ctx.fact::<Tenant>(ctx.tenant).check_seat()?;
            Ok(vec![Event::Invited(profile)])
        }
        _ if user.profile == profile => Ok(vec![]),
        _ => Err(EXISTS),
    }
}

fn change_profile(user: &User, mut patch: Map<String, Value>, ctx: &Ctx<'_>) -> Decision<Event> {
    WORKED_OUT.iter().for_each(|key| drop(patch.remove(*key)));
    let mut faults = Faults::default();
    let (mut changed, _) = record::patched(&user.profile, patch, &mut faults);
    faults.check(changed.check());
    if changed.phone != user.profile.phone {
        faults.check(changed.dial(ctx));
    }
    faults.done()?;
    let changes = record::difference(&user.profile, &changed);
    Ok(if changes.is_empty() { vec![] } else { vec![Event::ProfileChanged { changes }] })
}

impl Aggregate for User {
    const KIND: &'static str = "user";
    const PLURAL: &'static str = "users";
    const CREATE: &'static str = "invite";
    const OPEN: Option<&'static str> = Some("colleagues are named everywhere");
    const INTERNAL: &'static [&'static str] = &[
        "finish_hand_over",
        "set_password",
        "forget_password",
        "issue_link",
        "request_email",
        "confirm_email",
        "enable_second_factor",
        "replace_recovery_codes",
        "use_recovery_code",
        "link_identity",
        "change_picture",
        "address_widget",
        "withdraw_address",
        "set_notification_preferences",
        "set_chat_webhook",
        "subscribe_browser",
        "unsubscribe_browser",
    ];
    const AHEAD: &'static [&'static str] = &["assign_calendar", "set_capacity"];
    const OWN: &'static [&'static str] = &["set_presence"];
    const CONFIDENTIAL: &'static [&'static str] = &[
        "password_set",
        "password_forgotten",
        "link_issued",
        "email_change_requested",
        "email_confirmed",
        "second_factor_enabled",
        "second_factor_disabled",
        "recovery_codes_replaced",
        "recovery_code_used",
        "identity_linked",
        "identity_unlinked",
        "widget_addressed",
        "address_withdrawn",
        "notification_preferences_changed",
        "chat_webhook_set",
        "browser_subscribed",
        "browser_unsubscribed",
    ];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        match (self.status, &command) {
            (_, Invite(_)) => {}
            (Status::Missing, _) => return Err(UNKNOWN),
            // Whoever is shut out may still be let in again, corrected and stripped of rights.
            (
                Status::Deactivated,
                Activate
                | Deactivate { .. }
                | HandOver { .. }
                | FinishHandOver { .. }
                | ChangeProfile(_)
                | RevokeRole { .. }
                | RevokeChannelAccess { .. }
                | UnsubscribeBrowser { .. },
            ) => {}
            (Status::Deactivated, _) => return Err(DEACTIVATED),
            _ => {}
        }
        if self.status != Status::Missing {
            self.check_rights(&command, ctx)?;
        }
        if let Some(after) = self.narrowed(&command) {
            administration::check(Seen::User(self), Seen::User(&after), ctx)?;
        }
        if let Some(to) = Self::successor(&command)
            && (to == ctx.id || !can_work(to, ctx))
        {
            let place = if matches!(command, HandOver { .. }) { "/to" } else { "/hand_over_to" };
            return Err(SUCCESSOR_UNFIT.at(place));
        }
        Ok(match command {
            Invite(profile) => return invite(self, profile, ctx),
            ChangeProfile(patch) => return change_profile(self, patch, ctx),
            Activate if self.status != Status::Active => {
                if !self.has_seat() {
                    ctx.fact::<Tenant>(ctx.tenant).check_seat()?;
                }
                vec![Event::Activated]
            }
            Deactivate { reason, hand_over_to } => {
                let left = (self.status != Status::Deactivated).then_some(Event::Deactivated { reason });
                left.into_iter().chain(self.hand_over(hand_over_to)).collect()
            }
            HandOver { to } => self.hand_over(Some(to)).into_iter().collect(),
            FinishHandOver { to } if self.handing_over_to == Some(to) => vec![Event::HandedOver { to }],
            GrantRole { role } if !self.roles.contains(&role) => {
                if !ctx.fact::<Role>(role).exists() {
                    return Err(ROLE_UNFIT.at("/role"));
                }
                vec![Event::RoleGranted { role }]
            }
            RevokeRole { role } if self.roles.contains(&role) => vec![Event::RoleRevoked { role }],
            SetPresence { presence, source } if presence != self.presence && self.heeds(presence, source) => {
                vec![Event::PresenceChanged { from: self.presence, to: presence, source }]
            }
            GrantChannelAccess { channel } if !self.channels.contains(&channel) => {
                vec![Event::ChannelAccessGranted { channel }]
            }
            RevokeChannelAccess { channel } if self.channels.contains(&channel) => {
                vec![Event::ChannelAccessRevoked { channel }]
            }
            AssignCalendar { calendar } if calendar != self.calendar => {
                vec![Event::CalendarAssigned { from: self.calendar, to: calendar }]
            }
            ChangePicture { picture: to } if to != self.picture => {
                vec![Event::PictureChanged { from: self.picture, to }]
            }
            AddressWidget { address, widget, expires_at } if !self.addresses.contains_key(&address) => {
                let live = self.addresses.values().filter(|(_, until)| *until > ctx.now).count();
                if live >= MAX_ADDRESSES {
                    return Err(TOO_MANY_ADDRESSES);
                }
                if expires_at <= ctx.now {
                    return Err(ADDRESS_EXPIRY_INVALID.at("/expires_at"));
                }
                vec![Event::WidgetAddressed { address, widget, expires_at }]
            }
            WithdrawAddress { address } if self.addresses.contains_key(&address) => {
                vec![Event::AddressWithdrawn { address }]
            }
            SetNotificationPreferences(to) => {
                to.check()?;
                let from = self.notifications.clone();
                if from == to { vec![] } else { vec![Event::NotificationPreferencesChanged { from, to }] }
            }
            SetChatWebhook { credential } if credential != self.chat_webhook => {
                vec![Event::ChatWebhookSet { credential }]
            }
            SubscribeBrowser { browser } if !self.browsers.contains(&browser) => {
                // Whoever has that many has long forgotten the first.
                let oldest = self.browsers.first().copied().filter(|_| self.browsers.len() >= MAX_BROWSERS);
                let oldest = oldest.map(|browser| Event::BrowserUnsubscribed { browser });
                oldest.into_iter().chain([Event::BrowserSubscribed { browser }]).collect()
            }
            UnsubscribeBrowser { browser } if self.browsers.contains(&browser) => {
                vec![Event::BrowserUnsubscribed { browser }]
            }
            SetCapacity { kind, .. } if kind.trim().is_empty() || kind.chars().count() > 64 => {
                return Err(CAPACITY_INVALID.at("/kind"));
            }
            SetCapacity { kind, max } if self.capacity.get(&kind).copied() != max => {
                vec![Event::CapacitySet { kind, max }]
            }
            command => return self.sign_in(command, ctx),
        })
    }

    fn is_live(&self) -> bool {
        self.is_active()
    }

    fn forgetful(self) -> Self {
        User { era: 0, ..self }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Activated => Command::Deactivate { reason: None, hand_over_to: None },
            Event::Deactivated { .. } => Command::Activate,
            Event::ProfileChanged { changes } => Command::ChangeProfile(custom::before(changes).into_iter().collect()),
            Event::RoleGranted { role } => Command::RevokeRole { role: *role },
            Event::RoleRevoked { role } => Command::GrantRole { role: *role },
            Event::PresenceChanged { from, .. } => {
                Command::SetPresence { presence: *from, source: PresenceSource::default() }
            }
            Event::ChannelAccessGranted { channel } => Command::RevokeChannelAccess { channel: *channel },
            Event::ChannelAccessRevoked { channel } => Command::GrantChannelAccess { channel: *channel },
            Event::CalendarAssigned { from, .. } => Command::AssignCalendar { calendar: *from },
            Event::CapacitySet { kind, .. } => {
                Command::SetCapacity { kind: kind.clone(), max: self.capacity.get(kind).copied() }
            }
            Event::PictureChanged { from, .. } => Command::ChangePicture { picture: *from },
            Event::WidgetAddressed { address, .. } => Command::WithdrawAddress { address: *address },
            Event::NotificationPreferencesChanged { from, .. } => Command::SetNotificationPreferences(from.clone()),
            _ => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Invited(profile) => {
                self.status = Status::Invited;
                self.profile = profile.clone();
            }
            Event::Activated => self.status = Status::Active,
            Event::Deactivated { .. } => {
                self.status = Status::Deactivated;
                (self.presence, self.presence_source) = (Presence::Offline, None);
                self.era += 1;
                self.links.clear();
                self.forgot_password = false;
            }
            Event::HandOverBegun { to } => self.handing_over_to = Some(*to),
            Event::HandedOver { .. } => self.handing_over_to = None,
            Event::ProfileChanged { changes } => record::apply_changes(&mut self.profile, changes),
            Event::PasswordSet { credential } => {
                self.password = Some(*credential);
                self.era += 1;
                self.links.remove(&LinkPurpose::Password);
                self.forgot_password = false;
            }
            Event::PasswordForgotten => self.forgot_password = true,
            Event::LinkIssued { purpose, link, expires_at } => {
                self.links.insert(*purpose, (*link, *expires_at));
                self.forgot_password &= *purpose != LinkPurpose::Password;
            }
            Event::EmailChangeRequested { email } => {
                self.wanted_email = Some(email.clone());
                self.links.remove(&LinkPurpose::Email);
            }
            Event::EmailConfirmed { link } => {
                self.wanted_email = None;
                self.confirmed_by = Some(*link);
                self.links.remove(&LinkPurpose::Email);
            }
            Event::SecondFactorEnabled { credential } => {
                self.second_factor = Some(*credential);
                self.recovery = Some((*credential, RECOVERY_CODES));
            }
            Event::SecondFactorDisabled => (self.second_factor, self.recovery) = (None, None),
            Event::RecoveryCodesReplaced { codes } => self.recovery = Some((*codes, RECOVERY_CODES)),
            Event::RecoveryCodeUsed { left } => self.recovery = self.recovery.map(|(codes, _)| (codes, *left)),
            Event::IdentityLinked { issuer, subject } => {
                self.identities.insert(issuer.clone(), subject.clone());
            }
            Event::IdentityUnlinked { issuer } => drop(self.identities.remove(issuer)),
            Event::PictureChanged { to, .. } => self.picture = *to,
            Event::WidgetAddressed { address, widget, expires_at } => {
                self.addresses.insert(*address, (widget.clone(), *expires_at));
            }
            Event::AddressWithdrawn { address } => drop(self.addresses.remove(address)),
            Event::NotificationPreferencesChanged { to, .. } => self.notifications = to.clone(),
            Event::ChatWebhookSet { credential } => self.chat_webhook = *credential,
            Event::BrowserSubscribed { browser } => self.browsers.push(*browser),
            Event::BrowserUnsubscribed { browser } => self.browsers.retain(|known| known != browser),
            Event::RoleGranted { role } => drop(self.roles.insert(*role)),
            Event::RoleRevoked { role } => drop(self.roles.remove(role)),
            Event::PresenceChanged { to, source, .. } => {
                (self.presence, self.presence_source) = (*to, Some(*source));
            }
            Event::ChannelAccessGranted { channel } => drop(self.channels.insert(*channel)),
            Event::ChannelAccessRevoked { channel } => drop(self.channels.remove(channel)),
            Event::CalendarAssigned { to, .. } => self.calendar = *to,
            Event::CapacitySet { kind, max: Some(max) } => drop(self.capacity.insert(kind.clone(), *max)),
            Event::CapacitySet { kind, max: None } => drop(self.capacity.remove(kind)),
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let mut needs = if User::touches_nothing(command) { Vec::new() } else { self.needs_of_roles() };
        if matches!(command, Command::Invite(_) | Command::Activate | Command::Deactivate { .. }) {
            needs.push(Need::guarded::<Tenant>(ctx.tenant));
        }
        match command {
            Command::Invite(profile) => needs.extend(profile.phone.iter().map(|_| phone::need(ctx))),
            Command::ChangeProfile(patch) if patch.contains_key("phone") => needs.push(phone::need(ctx)),
            Command::GrantRole { role } => needs.push(Need::guarded::<Role>(*role)),
            Command::GrantChannelAccess { .. } | Command::RevokeChannelAccess { .. }
                if ctx.actor.kind == ActorKind::User && ctx.actor.id != ctx.id =>
            {
                needs.push(Need::of::<User>(ctx.actor.id));
            }
            _ => {}
        }
        if let Some(to) = Self::successor(command).filter(|to| *to != ctx.id) {
            needs.extend(needs_to_work(to, ctx));
        }
        // Only of somebody who can do everything can the last way in be taken.
        let known = || self.roles.iter().all(|role| ctx.facts.has(Role::KIND, *role));
        if let Some(after) = self.narrowed(command)
            && known()
            && self.authority(ctx).is_full()
        {
            needs.extend(administration::needs(Seen::User(&after), ctx));
        }
        needs
    }

    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let mut after = self.clone();
        after.evolve(event);
        let mut claims = Claim::moved("user.email", &self.email_key(), &after.email_key(), &EMAIL_TAKEN.at("/email"));
        claims.extend(Claim::moved(IDENTITY, &self.identity_keys(), &after.identity_keys(), &IDENTITY_TAKEN));
        claims
    }

    /// Where there is a plan the tenant knows who has a seat of it.
    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let mut after = self.clone();
        after.evolve(event);
        let user = ctx.id;
        let seat = match (self.has_seat(), after.has_seat()) {
            (false, true) => tenant::Event::SeatTaken { user },
            (true, false) => tenant::Event::SeatFreed { user },
            _ => return Vec::new(),
        };
        let counts = ctx.fact::<Tenant>(ctx.tenant).plan.is_some();
        counts.then(|| Echo::to::<Tenant>(ctx.tenant, &seat)).into_iter().collect()
    }

    fn subject(&self, _: &Event, ctx: &Ctx<'_>) -> Option<Id> {
        Some(ctx.id)
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend([UNKNOWN, EXISTS, EMAIL_TAKEN, DEACTIVATED, ROLE_UNFIT, CAPACITY_INVALID, FIELD_INVALID]);
        refusals.extend([SUCCESSOR_UNFIT, DENIED, LAST_ADMIN, LINK_INVALID, LINK_EXPIRY_INVALID, EMAIL_NOT_REQUESTED]);
        refusals.extend([NO_SECOND_FACTOR, IDENTITY_TAKEN, IDENTITY_DIFFERS, SEATS_TAKEN]);
        refusals.extend([TOO_MANY_ADDRESSES, ADDRESS_EXPIRY_INVALID]);
        refusals.extend([notifying::TIME_INVALID, notifying::QUIET_INVALID, notifying::MEDIA_INVALID]);
        refusals
    }

    fn examples() -> Vec<Command> {
        let other = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let profile = Profile {
            email: "anna@example.com".into(),
            name: "Anna Bianchi".into(),
            phone: Some("+39 06 555 0102".into()),
            phone_e164: Some("+39065550102".into()),
            phone_extension: None,
            city: Some("Roma".into()),
            job_title: Some("Support engineer".into()),
            locale: Some("it".into()),
            time_zone: Some("Europe/Rome".into()),
        };
        let patch = Map::from_iter([("job_title".to_owned(), "Team lead".into())]);
        vec![
            Command::Invite(profile),
            Command::Activate,
            Command::ChangeProfile(patch),
            Command::GrantRole { role: other },
            Command::RevokeRole { role: other },
            Command::SetPresence { presence: Presence::Online, source: PresenceSource::Manual },
            Command::GrantChannelAccess { channel: other },
            Command::RevokeChannelAccess { channel: other },
            Command::AssignCalendar { calendar: Some(other) },
            Command::SetCapacity { kind: "ticket".into(), max: Some(20) },
            Command::HandOver { to: other },
            Command::FinishHandOver { to: other },
            Command::ForgetPassword,
            Command::IssueLink {
                purpose: LinkPurpose::Password,
                link: other,
                expires_at: "2030-01-01T00:00:00Z".parse().unwrap_or_default(),
            },
            Command::SetPassword { credential: other, link: Some(other) },
            Command::IssueLink {
                purpose: LinkPurpose::Email,
                link: other,
                expires_at: "2030-01-01T00:00:00Z".parse().unwrap_or_default(),
            },
            Command::RequestEmail { email: "anna.bianchi@example.com".into() },
            Command::ConfirmEmail { link: other },
            Command::EnableSecondFactor { credential: other },
            Command::ReplaceRecoveryCodes { codes: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000D) },
            Command::UseRecoveryCode { left: 9 },
            Command::DisableSecondFactor,
            Command::LinkIdentity { issuer: "https://id.example.com".into(), subject: "anna".into() },
            Command::UnlinkIdentity { issuer: "https://id.example.com".into() },
            Command::ChangePicture { picture: Some(other) },
            Command::AddressWidget {
                address: other,
                widget: "desk.opened".into(),
                expires_at: "2030-01-01T00:00:00Z".parse().unwrap_or_default(),
            },
            Command::WithdrawAddress { address: other },
            Command::SetNotificationPreferences(Preferences {
                media: [(notifying::Kind::Mentioned, [notifying::Medium::Email].into())].into(),
                quiet_hours: Some(notifying::QuietHours { from: "22:00".into(), until: "07:00".into() }),
                digest_at: Some("17:00".into()),
            }),
            Command::SetChatWebhook { credential: Some(other) },
            Command::SubscribeBrowser { browser: other },
            Command::UnsubscribeBrowser { browser: other },
            Command::Deactivate { reason: Some("Left the company".into()), hand_over_to: Some(other) },
        ]
    }
}

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::*;
    use crate::{
        kernel::{
            custom::Change,
            given::{ANNA, BORIS, Given, TENANT, at, given},
        },
        org::{
            api_key::{self, ApiKey},
            plan::Plan,
            role,
        },
    };

    const AGENT: Id = Id::from_bits(0xC);
    const BOSS: Id = Id::from_bits(0xD);

    fn profile() -> Profile {
        let Some(Command::Invite(profile)) = User::examples().into_iter().next() else { unreachable!() };
        profile
    }

    fn anna(events: impl IntoIterator<Item = Event>) -> Given<User> {
        given([Event::Invited(profile())].into_iter().chain(events))
    }

    fn agent() -> role::Event {
        role::Event::Created(role::New { name: "Agent".into(), permissions: ["*".to_owned()].into() })
    }

    fn narrow() -> role::Event {
        role::Event::Created(role::New { name: "Agent".into(), permissions: ["ticket.*".to_owned()].into() })
    }

    fn gone() -> Event {
        Event::Deactivated { reason: Some("Left".into()) }
    }

    /// What `command` leads to after `before`, and that asking again changes nothing.
    #[track_caller]
    fn leads_to<const N: usize>(before: [Event; N], command: &Command, event: Event) {
        anna(before.clone()).when(command.clone()).then([event.clone()]);
        anna(before.into_iter().chain([event])).when(command.clone()).nothing();
    }

    #[test]
    fn a_colleague_is_invited_once() {
        given::<User>([]).when(Command::Invite(profile())).then([Event::Invited(profile())]);
        anna([]).when(Command::Invite(profile())).nothing();
        let other = Profile { name: "Anna Neri".into(), ..profile() };
        anna([]).when(Command::Invite(other)).rejected(EXISTS);
        let refused = |profile, why| given::<User>([]).when(Command::Invite(profile)).rejected(why);
        refused(Profile { name: "".into(), ..profile() }, valid::NAME_INVALID);
        refused(Profile { email: "anna".into(), ..profile() }, valid::EMAIL_INVALID);
        refused(Profile { phone: Some("none".into()), ..profile() }, valid::PHONE_INVALID);
        refused(Profile { locale: Some("Italian".into()), ..profile() }, valid::LOCALE_INVALID);
        refused(Profile { time_zone: Some("Rome".into()), ..profile() }, valid::TIME_ZONE_INVALID);
        given::<User>([]).when(Command::Activate).rejected(UNKNOWN);
    }

    #[test]
    fn an_address_is_one_user_s_alone() {
        let invited = Event::Invited(Profile { email: "Anna@example.com".into(), ..profile() });
        assert_eq!(given::<User>([]).claims(&invited), ["+user.email anna@example.com"]);
        let to = |address: &str| {
            let change = Change { from: json!("anna@example.com"), to: json!(address) };
            Event::ProfileChanged { changes: [("email".to_owned(), change)].into() }
        };
        assert_eq!(
            anna([]).claims(&to("a@example.com")),
            ["-user.email anna@example.com", "+user.email a@example.com"]
        );
        assert!(anna([]).claims(&to("ANNA@example.com")).is_empty());
        assert!(anna([]).claims(&gone()).is_empty());
    }

    #[test]
    fn who_is_shut_out_gets_nothing_new_and_may_be_let_in_again() {
        leads_to([], &Command::Activate, Event::Activated);
        leads_to([Event::Activated], &Command::Deactivate { reason: Some("Left".into()), hand_over_to: None }, gone());
        leads_to([gone()], &Command::Activate, Event::Activated);
        assert!(anna([]).state.is_active() && !anna([gone()]).state.is_active());
        let online = Command::SetPresence { presence: Presence::Online, source: PresenceSource::Manual };
        for command in [online, Command::GrantRole { role: AGENT }, Command::GrantChannelAccess { channel: AGENT }] {
            anna([gone()]).when(command).rejected(DEACTIVATED);
        }
        leads_to(
            [Event::RoleGranted { role: AGENT }, gone()],
            &Command::RevokeRole { role: AGENT },
            Event::RoleRevoked { role: AGENT },
        );
    }

    #[test]
    fn the_profile_changes() {
        let change = |patch: Value| Command::ChangeProfile(patch.as_object().unwrap().clone());
        let title = Change { from: json!("Support engineer"), to: json!("Team lead") };
        let changed = Event::ProfileChanged { changes: [("job_title".to_owned(), title)].into() };
        leads_to([], &change(json!({ "job_title": "Team lead" })), changed);
        anna([]).when(change(json!({ "email": null }))).rejected(FIELD_INVALID);
        anna([]).when(change(json!({ "salary": 1 }))).rejected(FIELD_INVALID);
        anna([]).when(change(json!({ "email": "anna" }))).rejected(valid::EMAIL_INVALID);
    }

    #[test]
    fn roles_that_exist_are_granted_and_revoked() {
        let grant = || Command::GrantRole { role: AGENT };
        let granted = || Event::RoleGranted { role: AGENT };
        anna([]).with::<Role>(AGENT, [agent()]).when(grant()).then([granted()]);
        anna([granted()]).when(grant()).nothing();
        anna([]).when(grant()).rejected(ROLE_UNFIT);
        anna([]).with::<Role>(AGENT, [agent(), role::Event::Deleted]).when(grant()).rejected(ROLE_UNFIT);
        leads_to([granted()], &Command::RevokeRole { role: AGENT }, Event::RoleRevoked { role: AGENT });
    }

    #[test]
    fn who_has_more_is_touched_by_nobody_with_less() {
        let boss = || {
            let everything = role::New { name: "Boss".into(), permissions: ["*".to_owned()].into() };
            anna([Event::Activated, Event::RoleGranted { role: BOSS }])
                .with::<Role>(BOSS, [role::Event::Created(everything)])
                .with::<Role>(AGENT, [narrow()])
        };
        let boris = || anna([Event::Activated]).with::<Role>(AGENT, [narrow()]);
        let patch = json!({ "email": "mine@example.com" }).as_object().unwrap().clone();
        let touching = [
            Command::Deactivate { reason: None, hand_over_to: None },
            Command::Activate,
            Command::ChangeProfile(patch),
            Command::GrantRole { role: AGENT },
            Command::RevokeRole { role: BOSS },
            Command::AssignCalendar { calendar: Some(AGENT) },
            Command::SetCapacity { kind: "ticket".into(), max: Some(1) },
        ];
        for command in touching {
            boss().may(&["user.*", "ticket.*"]).by(BORIS).when(command.clone()).rejected(DENIED);
            boris().may(&["user.*", "ticket.*"]).by(BORIS).when(command).events();
        }
        let grant = |role| Command::GrantRole { role };
        boris().may(&["user.*", "ticket.open"]).when(grant(AGENT)).rejected(DENIED);
        boris().with::<Role>(BOSS, [agent()]).may(&["user.*", "ticket.*"]).when(grant(BOSS)).rejected(DENIED);
    }

    #[test]
    fn nobody_gives_a_channel_in_which_he_may_not_answer() {
        let grant = || Command::GrantChannelAccess { channel: AGENT };
        let granted = || Event::ChannelAccessGranted { channel: AGENT };
        let may = ["user.*"];
        anna([]).may(&may).by(BORIS).when(grant()).rejected(DENIED);
        anna([]).may(&may).at(ANNA).when(grant()).rejected(DENIED);
        anna([])
            .may(&may)
            .by(BORIS)
            .with::<User>(BORIS, [Event::Invited(profile()), granted()])
            .when(grant())
            .then([granted()]);
        anna([]).by(BORIS).when(grant()).then([granted()]);
    }

    #[test]
    fn only_one_s_own_presence_is_switched() {
        let online = || Command::SetPresence { presence: Presence::Online, source: PresenceSource::Manual };
        anna([]).at(ANNA).may(&["user.set_presence"]).when(online()).events();
        anna([]).at(BORIS).may(&["user.*"]).when(online()).rejected(DENIED);
        anna([]).at(BORIS).may(&["user.set_presence_any"]).when(online()).events();
    }

    #[test]
    fn the_last_administrator_stays() {
        let boss = || given::<User>([Event::Invited(profile()), Event::RoleGranted { role: BOSS }]).at(ANNA);
        let world = |mut given: Given<User>, keys: &[(Id, Id)]| {
            let mut known = administration::Administration::default();
            let everything =
                role::Event::Created(role::New { name: "Boss".into(), permissions: ["*".to_owned()].into() });
            let mut take =
                |category, id, (kind, data): (String, Vec<u8>)| known.take_in(category, id, &kind, &data).unwrap();
            take(Role::KIND, BOSS, Role::encode(&everything));
            given = given.with::<Role>(BOSS, [everything]);
            for (key, user) in keys {
                let Some(api_key::Command::Issue(new)) = ApiKey::examples().into_iter().next() else { unreachable!() };
                let issued =
                    api_key::Event::Issued(api_key::Issue { user: *user, role: None, expires_at: None, ..new });
                take(ApiKey::KIND, *key, ApiKey::encode(&issued));
                given = given.with::<ApiKey>(*key, [issued]);
                let of = [Event::Invited(profile()), Event::RoleGranted { role: BOSS }];
                of.iter().for_each(|event| take(User::KIND, *user, User::encode(event)));
                if *user != ANNA {
                    given = given.with::<User>(*user, of);
                }
            }
            given.knowing(administration::KIND, TENANT, crate::kernel::aggregate::AnyState::new(known))
        };
        let (first, second) = (Id::from_bits(0xE1), Id::from_bits(0xE2));
        let leave = || Command::Deactivate { reason: None, hand_over_to: None };
        let revoke = || Command::RevokeRole { role: BOSS };
        world(boss(), &[(first, ANNA)]).when(leave()).rejected(LAST_ADMIN);
        world(boss(), &[(first, ANNA)]).when(revoke()).rejected(LAST_ADMIN);
        world(boss(), &[(first, ANNA), (second, ANNA)]).when(leave()).rejected(LAST_ADMIN);
        world(boss(), &[(first, ANNA), (second, BORIS)]).when(leave()).events();
        world(boss(), &[(first, ANNA), (second, BORIS)]).when(revoke()).events();
        world(boss(), &[(first, BORIS)]).when(leave()).events();
        world(boss(), &[]).when(leave()).events();
    }

    #[test]
    fn who_administers_may_sign_in_instead_of_having_a_key() {
        let has = || [Event::Invited(profile()), Event::RoleGranted { role: BOSS }];
        let secret = || Event::PasswordSet { credential: Id::from_bits(0xC1) };
        let provider = || Event::IdentityLinked { issuer: "https://id.example.com".into(), subject: "a".into() };
        let world = |anna: &[Event], boris: &[Event]| {
            let mut known = administration::Administration::default();
            let everything =
                role::Event::Created(role::New { name: "Boss".into(), permissions: ["*".to_owned()].into() });
            let (kind, data) = Role::encode(&everything);
            known.take_in(Role::KIND, BOSS, &kind, &data).unwrap();
            for (user, events) in [(ANNA, anna), (BORIS, boris)] {
                for (kind, data) in has().iter().chain(events).map(User::encode) {
                    known.take_in(User::KIND, user, &kind, &data).unwrap();
                }
            }
            let given = given::<User>(has().into_iter().chain(anna.iter().cloned())).at(ANNA);
            let given = given.with::<Role>(BOSS, [everything]);
            let given = given.with::<User>(BORIS, has().into_iter().chain(boris.iter().cloned()));
            given.knowing(administration::KIND, TENANT, crate::kernel::aggregate::AnyState::new(known))
        };
        let leave = || Command::Deactivate { reason: None, hand_over_to: None };
        let unlink = || Command::UnlinkIdentity { issuer: "https://id.example.com".into() };
        world(&[secret()], &[]).when(leave()).rejected(LAST_ADMIN);
        world(&[secret()], &[secret()]).when(leave()).events();
        world(&[secret()], &[provider()]).when(leave()).events();
        world(&[provider()], &[]).when(unlink()).rejected(LAST_ADMIN);
        world(&[provider(), secret()], &[]).when(unlink()).events();
    }

    #[test]
    fn a_password_is_set_by_the_latest_link_once_and_whoever_was_invited_has_come() {
        let (first, second, credential) = (Id::from_bits(0x21), Id::from_bits(0x22), Id::from_bits(0x23));
        let purpose = LinkPurpose::Password;
        let issued = |link| Event::LinkIssued { purpose, link, expires_at: at(60) };
        let issue = |link| Command::IssueLink { purpose, link, expires_at: at(60) };
        let set = |link| Command::SetPassword { credential, link: Some(link) };
        let done = || Event::PasswordSet { credential };
        leads_to([], &issue(first), issued(first));
        anna([]).when(Command::IssueLink { purpose, link: first, expires_at: at(0) }).rejected(LINK_EXPIRY_INVALID);
        anna([issued(first)]).when(set(first)).then([done(), Event::Activated]);
        anna([Event::Activated, issued(first)]).when(set(first)).then([done()]);
        anna([issued(first), issued(second)]).when(set(first)).rejected(LINK_INVALID);
        anna([issued(first), Event::PasswordSet { credential: first }]).when(set(first)).rejected(LINK_INVALID);
        anna([issued(first), done()]).when(set(first)).nothing();
        anna([issued(first), gone()]).when(set(first)).rejected(DEACTIVATED);
        anna([issued(first), gone(), Event::Activated]).when(set(first)).rejected(LINK_INVALID);
        assert_eq!(anna([issued(first)]).state.check_link(purpose, first, at(60)), Err(LINK_INVALID));
        leads_to([], &Command::ForgetPassword, Event::PasswordForgotten);
        anna([Event::PasswordForgotten, issued(first)]).when(Command::ForgetPassword).then([Event::PasswordForgotten]);
        assert_eq!(anna([done(), gone(), Event::Activated, done()]).state.era, 3, "each ended all sessions");
    }

    #[test]
    fn another_address_is_the_user_s_when_it_is_confirmed() {
        let (purpose, link) = (LinkPurpose::Email, Id::from_bits(0x21));
        let issue = || Command::IssueLink { purpose, link, expires_at: at(60) };
        anna([]).when(issue()).rejected(EMAIL_NOT_REQUESTED);
        let wanted = || Event::EmailChangeRequested { email: "neri@example.com".into() };
        leads_to([], &Command::RequestEmail { email: "neri@example.com".into() }, wanted());
        anna([]).when(Command::RequestEmail { email: "neri".into() }).rejected(valid::EMAIL_INVALID);
        let issued = || Event::LinkIssued { purpose, link, expires_at: at(60) };
        let confirm = Command::ConfirmEmail { link };
        anna([wanted()]).when(confirm.clone()).rejected(LINK_INVALID);
        anna([wanted(), issued(), wanted()]).when(confirm.clone()).rejected(LINK_INVALID);
        let change = Change { from: json!("anna@example.com"), to: json!("neri@example.com") };
        let changed = Event::ProfileChanged { changes: [("email".to_owned(), change)].into() };
        let confirmed = || Event::EmailConfirmed { link };
        anna([wanted(), issued()]).when(confirm.clone()).then([changed.clone(), confirmed()]);
        let after = [wanted(), issued(), changed, confirmed()];
        anna(after.clone()).when(confirm.clone()).nothing();
        anna(after.clone()).when(Command::ConfirmEmail { link: Id::from_bits(0x22) }).rejected(LINK_INVALID);
        let wants_again = Event::EmailChangeRequested { email: "rossi@example.com".into() };
        anna(after.iter().cloned().chain([wants_again])).when(confirm).nothing();
        assert_eq!(anna(after).state.profile.email.as_str(), "neri@example.com");
    }

    #[test]
    fn a_second_factor_comes_with_recovery_codes_that_are_used_up() {
        let (credential, codes) = (Id::from_bits(0x21), Id::from_bits(0x22));
        let enabled = || Event::SecondFactorEnabled { credential };
        leads_to([], &Command::EnableSecondFactor { credential }, enabled());
        leads_to([enabled()], &Command::DisableSecondFactor, Event::SecondFactorDisabled);
        let used = |left| Event::RecoveryCodeUsed { left };
        leads_to([enabled()], &Command::UseRecoveryCode { left: 9 }, used(9));
        anna([enabled(), used(8)]).when(Command::UseRecoveryCode { left: 9 }).nothing();
        anna([]).when(Command::UseRecoveryCode { left: 9 }).rejected(NO_SECOND_FACTOR);
        let replaced = Event::RecoveryCodesReplaced { codes };
        leads_to([enabled()], &Command::ReplaceRecoveryCodes { codes }, replaced.clone());
        assert_eq!(anna([enabled(), used(1), replaced]).state.recovery, Some((codes, RECOVERY_CODES)));
        assert_eq!(anna([enabled(), Event::SecondFactorDisabled]).state.recovery, None);
    }

    #[test]
    fn a_provider_s_person_is_one_user_s_alone() {
        let issuer = || "https://id.example.com".to_owned();
        let link = |subject: &str| Command::LinkIdentity { issuer: issuer(), subject: subject.into() };
        let linked = || Event::IdentityLinked { issuer: issuer(), subject: "a".into() };
        leads_to([], &link("a"), linked());
        anna([linked()]).when(link("b")).rejected(IDENTITY_DIFFERS);
        assert_eq!(anna([]).claims(&linked()), ["+user.identity https://id.example.com a"]);
        let unlinked = || Event::IdentityUnlinked { issuer: issuer() };
        leads_to([linked()], &Command::UnlinkIdentity { issuer: issuer() }, unlinked());
        assert_eq!(anna([linked()]).claims(&unlinked()), ["-user.identity https://id.example.com a"]);
    }

    #[test]
    fn what_somebody_is_responsible_for_is_handed_over_to_a_colleague_who_can_do_it() {
        let able = || [Event::Invited(profile()), Event::Activated, Event::RoleGranted { role: AGENT }];
        let world = |events: &[Event]| {
            anna(events.iter().cloned()).at(ANNA).with::<User>(BORIS, able()).with::<Role>(AGENT, [agent()])
        };
        let leave = || Command::Deactivate { reason: Some("Left".into()), hand_over_to: Some(BORIS) };
        let begun = || Event::HandOverBegun { to: BORIS };
        world(&[]).when(leave()).then([gone(), begun()]);
        world(&[gone(), begun()]).when(leave()).nothing();
        world(&[gone()]).when(leave()).then([begun()]);
        let hand_over = |to| Command::HandOver { to };
        world(&[]).when(hand_over(BORIS)).then([begun()]);
        world(&[begun()]).when(hand_over(BORIS)).nothing();
        let done = || Event::HandedOver { to: BORIS };
        world(&[begun()]).when(Command::FinishHandOver { to: BORIS }).then([done()]);
        world(&[begun(), done()]).when(Command::FinishHandOver { to: BORIS }).nothing();
        world(&[begun()]).when(Command::FinishHandOver { to: ANNA }).nothing();
        world(&[begun(), done()]).when(hand_over(BORIS)).then([begun()]);
        world(&[]).when(hand_over(ANNA)).rejected(SUCCESSOR_UNFIT);
        for unfit in [&able()[..1], &able()[..2], &[]] {
            let world = anna([]).at(ANNA).with::<User>(BORIS, unfit.iter().cloned());
            world.when(leave()).rejected(SUCCESSOR_UNFIT);
        }
    }

    #[test]
    fn work_is_for_active_colleagues_with_a_role_that_exists() {
        let can_work = |events: &[Event], live: bool| anna(events.iter().cloned()).state.can_work(|_| live);
        let granted = Event::RoleGranted { role: AGENT };
        assert!(can_work(&[Event::Activated, granted.clone()], true));
        assert!(!can_work(std::slice::from_ref(&granted), true), "only invited");
        assert!(!can_work(&[Event::Activated], true), "no role");
        assert!(!can_work(&[Event::Activated, granted.clone()], false), "a deleted role");
        assert!(!can_work(&[Event::Activated, granted, gone()], true), "deactivated");
        assert!(!User::default().can_work(|_| true));
    }

    #[test]
    fn what_was_switched_by_hand_no_touch_and_no_session_switches_back() {
        use Presence::{Away, Offline, Online};
        use PresenceSource::{Idle, Manual, Session};
        let set = |presence, source| Command::SetPresence { presence, source };
        let changed = |from, to, source| Event::PresenceChanged { from, to, source };
        let opened = changed(Offline, Online, Session);
        let paused = changed(Online, Away, Idle);
        anna([]).when(set(Away, Idle)).nothing();
        anna([opened.clone()]).when(set(Away, Idle)).then([paused.clone()]);
        anna([opened.clone(), paused.clone()]).when(set(Online, Idle)).then([changed(Away, Online, Idle)]);
        anna([opened.clone(), paused]).when(set(Offline, Session)).then([changed(Away, Offline, Session)]);
        let left = changed(Online, Offline, Manual);
        anna([opened.clone(), left.clone()]).when(set(Online, Session)).nothing();
        anna([opened.clone(), left.clone()]).when(set(Online, Idle)).nothing();
        anna([opened, left]).when(set(Online, Manual)).then([changed(Offline, Online, Manual)]);
    }

    #[test]
    fn presence_channels_calendar_and_capacity() {
        let (from, to) = (Presence::Offline, Presence::Online);
        let came = Event::PresenceChanged { from, to, source: PresenceSource::Session };
        leads_to([], &Command::SetPresence { presence: to, source: PresenceSource::Session }, came.clone());
        assert_eq!(anna([came, gone()]).state.presence, Presence::Offline);
        let granted = Event::ChannelAccessGranted { channel: AGENT };
        leads_to([], &Command::GrantChannelAccess { channel: AGENT }, granted.clone());
        let revoked = Event::ChannelAccessRevoked { channel: AGENT };
        leads_to([granted], &Command::RevokeChannelAccess { channel: AGENT }, revoked);
        let assigned = Event::CalendarAssigned { from: None, to: Some(AGENT) };
        leads_to([], &Command::AssignCalendar { calendar: Some(AGENT) }, assigned);
        let capacity = |max| Command::SetCapacity { kind: "ticket".into(), max };
        let set = |max| Event::CapacitySet { kind: "ticket".into(), max };
        leads_to([], &capacity(Some(20)), set(Some(20)));
        leads_to([set(Some(20))], &capacity(None), set(None));
        anna([]).when(Command::SetCapacity { kind: " ".into(), max: None }).rejected(CAPACITY_INVALID);
    }

    #[test]
    fn whoever_is_let_in_takes_a_seat_of_the_plan_and_whoever_leaves_gives_it_back() {
        let set = |seats, seated| {
            let to = Some(Plan { seats: Some(seats), ..Plan::example() });
            [tenant::Event::Created { name: "Example".into() }, tenant::Event::PlanSet { from: None, to, seated }]
        };
        let full = || set(1, [BORIS].into());
        given::<User>([]).with::<Tenant>(TENANT, full()).when(Command::Invite(profile())).rejected(SEATS_TAKEN);
        anna([gone()]).with::<Tenant>(TENANT, full()).when(Command::Activate).rejected(SEATS_TAKEN);
        // Whoever is invited has one already.
        anna([]).with::<Tenant>(TENANT, full()).when(Command::Activate).then([Event::Activated]);
        let told = |given: Given<User>, plan: bool, event| {
            let events = set(2, [BORIS].into());
            let told = given.with::<Tenant>(TENANT, events.into_iter().take(if plan { 2 } else { 1 })).tells(&event);
            told.into_iter().map(|echo| (echo.id, echo.event_type)).collect::<Vec<_>>()
        };
        let one = |name: &str| vec![(TENANT, name.to_owned())];
        assert_eq!(told(given([]), true, Event::Invited(profile())), one("tenant.seat_taken"));
        assert_eq!(told(anna([]), true, gone()), one("tenant.seat_freed"));
        assert_eq!(told(anna([gone()]), true, Event::Activated), one("tenant.seat_taken"));
        assert_eq!(told(anna([]), true, Event::Activated), []);
        assert_eq!(told(anna([]), false, gone()), []);
    }

    #[test]
    fn a_picture_is_changed_and_removed() {
        let (first, second) = (Id::from_bits(0x31), Id::from_bits(0x32));
        let change = |from, to| Event::PictureChanged { from, to };
        leads_to([], &Command::ChangePicture { picture: Some(first) }, change(None, Some(first)));
        let before = [change(None, Some(first))];
        leads_to(before.clone(), &Command::ChangePicture { picture: Some(second) }, change(Some(first), Some(second)));
        leads_to(before, &Command::ChangePicture { picture: None }, change(Some(first), None));
    }

    #[test]
    fn addresses_of_pictures_are_handed_out_for_a_while_and_taken_back() {
        let address = Id::from_bits(0x41);
        let widget = || "desk.opened".to_owned();
        let addressed = || Event::WidgetAddressed { address, widget: widget(), expires_at: at(60) };
        let command = |expires_at| Command::AddressWidget { address, widget: widget(), expires_at };
        leads_to([], &command(at(60)), addressed());
        anna([]).when(command(at(0))).rejected(ADDRESS_EXPIRY_INVALID.at("/expires_at"));
        leads_to([addressed()], &Command::WithdrawAddress { address }, Event::AddressWithdrawn { address });
        anna([addressed(), Event::AddressWithdrawn { address }]).when(Command::WithdrawAddress { address }).nothing();
        anna([addressed(), gone()]).when(command(at(60))).rejected(DEACTIVATED);
    }
}
