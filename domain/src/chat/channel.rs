//! A way in which people outside reach the desk, and by which it reaches them: a chat on a site, a messenger, a program.

mod door;
mod mail;

use std::collections::{BTreeMap, BTreeSet};

use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::door::{
    ANSWER_MISSING, ANSWER_TOO_LONG, ANSWER_UNASKED, Answered, Asks, BLOCKED, Captcha, Protection, Purpose, Question,
    answer, identity,
};
use self::door::{BLOCKS_FULL, CAPTCHA_INVALID, CAPTCHA_UNSEALED, QUESTIONS_INVALID, check_questions};
pub use self::mail::{ADDRESS_SCOPE, Dkim, Flood, Mail, Mailbox, Oauth, Outgoing, WhenClosed};
use self::mail::{ADDRESS_TAKEN, HEADER_INVALID, MAIL_INVALID};
use crate::{
    ActorKind, Aggregate, Claim, Ctx, Decision, Echo, Id, Need, Personal, Rejection, Time, all,
    crm::contact::{Identity, IdentityKind},
    kernel::{color::Color, custom, email, phone, reference::REFERENCE_UNFIT, sorted, valid},
    must,
    org::{
        authority::DENIED,
        team::{ChannelKind, Team},
        tenant::{MailServer, SEATS_TAKEN, Security},
        user::{self, Profile, User},
    },
};

/// Of what sort a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "KindOfChannel")]
pub enum Kind {
    /// Chat with visitors of a site.
    LiveChat,
    /// A form on a site.
    Form,
    /// Mail.
    Email,
    /// Telegram.
    Telegram,
    /// WhatsApp.
    Whatsapp,
    /// Instagram.
    Instagram,
    /// Messenger.
    Messenger,
    /// A site of one's own, which shows what is published and takes enquiries in.
    Website,
    /// A program of one's own.
    Api,
}

/// What channels of a kind can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CapabilitiesOfChannel")]
pub struct Capabilities {
    /// Of which kind.
    pub kind: Kind,
    /// Whether conversations are held in it.
    pub converses: bool,
    /// Whether Deskfold itself sends what is said in it; elsewhere a program does, and says so. A messenger's channel that has not
    /// been given what it needs for that (its credentials, and of Meta's the account) is a program's, too.
    pub sends: bool,
    /// Whether a message that is sent twice arrives once: after a crash it is then sent again without asking anybody.
    pub dedupes: bool,
    /// Most characters of a message.
    pub max_text: usize,
    /// Most characters of a message that carries a file.
    pub max_caption: usize,
    /// Whether messages carry files.
    pub files: bool,
    /// Most files of a message.
    pub max_files: usize,
    /// Most bytes of a file.
    pub max_file_bytes: u64,
    /// The types of files it takes: all of them when there is none here.
    pub file_types: &'static [&'static str],
    /// Whether a message can be answered with an emoji alone.
    pub reactions: bool,
    /// Whether it tells that a message was read.
    pub read_receipts: bool,
    /// Whether the other side can change or take back what they wrote.
    pub edits: bool,
    /// For so many hours after the other side last wrote one may write freely.
    pub reply_window_hours: Option<u32>,
    /// Whether there are templates, with which one may write at any time.
    pub templates: bool,
    /// Whether it is a button on pages: with an appearance and display rules.
    pub widget: bool,
    /// Whether pages of other sites speak to it: only those of the allowed origins.
    pub origins: bool,
    /// Whether a program is told by calling its URL.
    pub url: bool,
}

const MB: u64 = 1024 * 1024;
/// What WhatsApp takes (Cloud API, Media).
const OF_WHATSAPP: &[&str] = &[
    "image/jpeg",
    "image/png",
    "video/mp4",
    "video/3gpp",
    "audio/aac",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "text/plain",
    "application/pdf",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
];
/// What Instagram takes (Send API).
const OF_INSTAGRAM: &[&str] = &[
    "image/jpeg",
    "image/png",
    "image/gif",
    "video/mp4",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "audio/aac",
    "audio/mp4",
    "audio/wav",
    "application/pdf",
];

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::LiveChat,
        Kind::Form,
        Kind::Email,
        Kind::Telegram,
        Kind::Whatsapp,
        Kind::Instagram,
        Kind::Messenger,
        Kind::Website,
        Kind::Api,
    ];

    /// What it is called in lists and in the medium of a conversation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::LiveChat => "live_chat",
            Kind::Form => "form",
            Kind::Email => "email",
            Kind::Telegram => "telegram",
            Kind::Whatsapp => "whatsapp",
            Kind::Instagram => "instagram",
            Kind::Messenger => "messenger",
            Kind::Website => "website",
            Kind::Api => "api",
        }
    }

    /// What channels of this kind can: the one table that says so.
    pub fn can(self) -> Capabilities {
        let messenger = Capabilities {
            kind: self,
            converses: true,
            sends: true,
            dedupes: false,
            max_text: 4096,
            max_caption: 1024,
            files: true,
            max_files: 1,
            max_file_bytes: 16 * MB,
            file_types: &[],
            reactions: true,
            read_receipts: true,
            edits: true,
            reply_window_hours: None,
            templates: false,
            widget: false,
            origins: false,
            url: false,
        };
        let form = Capabilities {
            converses: false,
            sends: false,
            max_text: 20_000,
            max_caption: 20_000,
            max_files: 100,
            max_file_bytes: 20 * MB,
            reactions: false,
            read_receipts: false,
            edits: false,
            origins: true,
            ..messenger
        };
        match self {
            Kind::LiveChat => Capabilities {
                // What is committed is there, once.
                dedupes: true,
                max_text: 20_000,
                max_caption: 20_000,
                max_files: 100,
                max_file_bytes: 20 * MB,
                reactions: false,
                edits: false,
                widget: true,
                origins: true,
                ..messenger
            },
            Kind::Form | Kind::Website => form,
            Kind::Email => Capabilities {
                sends: false,
                max_text: 200_000,
                max_caption: 200_000,
                max_files: 100,
                max_file_bytes: 25 * MB,
                reactions: false,
                read_receipts: false,
                edits: false,
                ..messenger
            },
            Kind::Telegram => {
                Capabilities { max_files: 10, max_file_bytes: 50 * MB, read_receipts: false, ..messenger }
            }
            Kind::Whatsapp => {
                Capabilities { file_types: OF_WHATSAPP, reply_window_hours: Some(24), templates: true, ..messenger }
            }
            Kind::Instagram => Capabilities {
                max_text: 1000,
                max_caption: 0,
                max_file_bytes: 8 * MB,
                file_types: OF_INSTAGRAM,
                reply_window_hours: Some(24),
                ..messenger
            },
            Kind::Messenger => Capabilities {
                max_text: 2000,
                max_caption: 0,
                max_file_bytes: 25 * MB,
                reply_window_hours: Some(24),
                ..messenger
            },
            Kind::Api => Capabilities {
                max_text: 200_000,
                max_caption: 200_000,
                max_files: 100,
                max_file_bytes: 100 * MB,
                url: true,
                ..messenger
            },
        }
    }

    /// Whether it is one of Meta's, which all speak alike.
    pub fn is_metas(self) -> bool {
        matches!(self, Kind::Whatsapp | Kind::Instagram | Kind::Messenger)
    }

    /// Whether it is a messenger that Deskfold carries once it has been given what that needs.
    pub fn is_messenger(self) -> bool {
        self == Kind::Telegram || self.is_metas()
    }

    /// By what medium the conversations in it are.
    pub fn medium(self) -> &'static str {
        match self {
            Kind::Messenger => "facebook",
            other => other.name(),
        }
    }

    /// Whether a conversation by this medium can be held in it: in that of a program whichever it says.
    pub fn fits(self, medium: &str) -> bool {
        self.can().converses && (self == Kind::Api || self.medium() == medium)
    }
}

/// How a chat appears on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DisplayOfChannel")]
pub enum Display {
    /// A button.
    #[default]
    Show,
    /// A button with the greeting beside it.
    ShowWithNotification,
    /// It opens by itself.
    AutoOpen,
    /// Not at all.
    Hide,
}

/// What a chat looks like on pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AppearanceOfChannel")]
pub struct Appearance {
    /// The text beside the button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// The colour of the button; null for the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// How it appears.
    #[serde(default)]
    pub display: Display,
    /// After how many seconds it opens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub delay_s: Option<u32>,
}

/// What holds on some pages, for visitors from some countries, in place of the appearance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisplayRule {
    /// A regular expression for the path of the page; every page without one. It takes time in proportion to the path: there are no
    /// look-arounds and no back-references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// The countries of the visitors, ISO 3166-1 alpha-2; all when there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub countries: BTreeSet<String>,
    /// How the chat appears.
    #[serde(default)]
    pub display: Display,
    /// After how many seconds it opens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub delay_s: Option<u32>,
    /// The chatbot that speaks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "chatbot"))]
    pub chatbot: Option<Id>,
    /// Whether it speaks only when no operator is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_if_no_operator: bool,
}

/// What else is set about a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SettingsOfChannel")]
pub struct Settings {
    /// The origins of pages that may speak to it, such as `https://www.example.com`; all when there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_origins: BTreeSet<String>,
    /// For so many seconds after it was closed a conversation reopens when the other side writes; after that a new one begins.
    /// Without it, it always reopens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub reopen_after_s: Option<u32>,
    /// Most messages that leave in a minute; as many as there are without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub max_per_minute: Option<u32>,
    /// The URL of the program that messages go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether that program heeds `webhook-id`, so that a message that is sent twice arrives once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dedupes: bool,
    /// The account at Meta that writes: the id of WhatsApp's phone number, of the page, or of the Instagram account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), extend("format" = "word"))]
    pub account: Option<String>,
}

/// A new channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewChannel")]
pub struct New {
    /// Of what sort.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The team that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "team"))]
    pub team: Option<Id>,
}

/// A colleague who is new, and answers in a channel from the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvitationOfOperator")]
pub struct Invitation {
    /// The user's id; made for you when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "user"))]
    pub user: Option<Id>,
    /// E-mail address; no other user of the tenant may have it.
    #[schemars(extend("format" = "email"))]
    pub email: Personal<String>,
    /// Full name.
    pub name: Personal<String>,
    /// The role that says what the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "role", "x-refusal" = "user_role_unfit"))]
    pub role: Option<Id>,
}

impl Invitation {
    fn user(&self, ctx: &Ctx<'_>) -> Id {
        self.user.unwrap_or_else(|| ctx.fresh("operator"))
    }

    fn profile(&self) -> Profile {
        Profile { email: self.email.clone(), name: self.name.clone(), ..Profile::default() }
    }

    /// What it means in the stream of the user.
    fn tell(&self, ctx: &Ctx<'_>) -> Result<Vec<Echo>, Rejection> {
        let user = self.user(ctx);
        let (invited, mut told) = Echo::of_new::<User>(user, user::Command::Invite(self.profile()), ctx)?;
        if let Some(role) = self.role {
            told.extend(Echo::of_next::<User>(invited, user, user::Command::GrantRole { role }, ctx)?.1);
        }
        Ok(told)
    }

    fn needs(&self, ctx: &Ctx<'_>) -> Vec<Need> {
        let (id, nobody) = (self.user(ctx), User::default());
        let here = Ctx { id, ..*ctx };
        let mut needs = vec![Need::guarded::<User>(id)];
        needs.extend(nobody.needs(&user::Command::Invite(self.profile()), &here));
        needs.extend(self.role.into_iter().flat_map(|role| nobody.needs(&user::Command::GrantRole { role }, &here)));
        needs
    }
}

/// What may be asked of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Connects it. The user who does is its first operator.
    Connect(New),
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Says what it looks like on pages.
    ChangeAppearance(Appearance),
    /// Adds a rule for some pages and visitors: of several that fit, the first one counts.
    AddDisplayRule {
        /// Its id; made for you when absent.
        #[serde(default)]
        display_rule: Option<Id>,
        /// What it says.
        rule: DisplayRule,
        /// The rule before which it stands; the last place without it.
        #[serde(default)]
        before: Option<Id>,
    },
    /// Changes a rule.
    ChangeDisplayRule {
        /// Which one.
        display_rule: Id,
        /// What it says.
        rule: DisplayRule,
    },
    /// Removes a rule.
    RemoveDisplayRule {
        /// Which one.
        display_rule: Id,
    },
    /// Moves a rule to another place.
    MoveDisplayRule {
        /// Which one.
        display_rule: Id,
        /// The rule before which it then stands; the last place without it.
        #[serde(default)]
        before: Option<Id>,
    },
    /// Takes users in who answer: they see its conversations, take them and are given them.
    AddOperators {
        /// The users.
        #[schemars(extend("x-reference" = "user"), length(min = 1, max = 200))]
        users: BTreeSet<Id>,
    },
    /// Invites a colleague who then answers in it: the user, the role and the access come at once, or none of them.
    InviteOperator(Invitation),
    /// Lets an operator go, who then sees its conversations no longer; those that were the operator's are nobody's.
    RemoveOperator {
        /// The user.
        #[schemars(extend("x-held-reference" = "user"))]
        user: Id,
    },
    /// Joins it oneself.
    Join,
    /// Leaves it oneself.
    Leave,
    /// Records that it has other credentials, which are sealed under this id.
    RotateCredentials {
        /// The id.
        credential: Id,
        /// Whose secret it is.
        #[serde(default, skip_serializing_if = "Purpose::is_usual")]
        of: Purpose,
    },
    /// Says what visitors are asked before their first message; nothing when there is no question.
    AskBefore {
        /// The questions, in order.
        #[schemars(length(max = 10))]
        questions: Vec<Question>,
    },
    /// Says what a page must have shown before a chat begins; nothing when it says nothing.
    ChangeProtection(Protection),
    /// Keeps whoever has this address out: what they write is refused from now on.
    BlockIdentity {
        /// The address.
        identity: Identity,
    },
    /// Lets them in again.
    UnblockIdentity {
        /// The address.
        identity: Identity,
    },
    /// Says how mail comes in and leaves.
    ChangeMail(Mail),
    /// Says what else is set about it.
    ChangeSettings(Settings),
    /// Opens it.
    Enable,
    /// Closes it: nothing comes in or leaves.
    Disable,
    /// Opens or closes a team's own channel as the team says.
    FollowTeam {
        /// What has happened there.
        team: TeamHas,
    },
}

/// What has happened in a team that has a channel of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeamHas {
    /// It has switched the channel on.
    SwitchedOn,
    /// It has switched the channel off.
    SwitchedOff,
    /// It was put away.
    GoneAway,
    /// It is back.
    ComeBack,
}

/// What has happened to a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was connected.
    Connected(New),
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// It looks otherwise on pages.
    AppearanceChanged(Appearance),
    /// It has one more display rule.
    DisplayRuleAdded {
        /// Its id.
        display_rule: Id,
        /// What it says.
        rule: DisplayRule,
        /// The rule before which it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Id>,
    },
    /// A display rule says something else.
    DisplayRuleChanged {
        /// Which one.
        display_rule: Id,
        /// What it says.
        rule: DisplayRule,
    },
    /// A display rule is gone.
    DisplayRuleRemoved {
        /// Which one.
        display_rule: Id,
    },
    /// A display rule has another place.
    DisplayRuleMoved {
        /// Which one.
        display_rule: Id,
        /// The rule before which it stands; it is the last one without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Id>,
    },
    /// A user answers.
    OperatorAdded {
        /// The user.
        user: Id,
    },
    /// A colleague was invited who answers in it.
    OperatorInvited(Invitation),
    /// A user answers no longer.
    OperatorRemoved {
        /// The user.
        user: Id,
    },
    /// It has other credentials, which stand sealed elsewhere.
    CredentialsRotated {
        /// Under which id.
        credential: Id,
        /// Whose secret it is.
        #[serde(default, skip_serializing_if = "Purpose::is_usual")]
        of: Purpose,
    },
    /// Visitors are asked something else before their first message.
    QuestionsChanged {
        /// The questions, in order.
        questions: Vec<Question>,
    },
    /// Something else must be shown before a chat begins.
    ProtectionChanged(Protection),
    /// Whoever has this address is kept out.
    IdentityBlocked {
        /// The address.
        identity: Identity,
    },
    /// They are let in again.
    IdentityUnblocked {
        /// The address.
        identity: Identity,
    },
    /// Mail comes in and leaves otherwise.
    MailChanged(Mail),
    /// Something else is set about it.
    SettingsChanged(Settings),
    /// It was opened.
    Enabled,
    /// It was closed.
    Disabled,
    /// It was closed with its team, which was put away.
    Suspended,
    /// It was opened with its team, which is back.
    Resumed,
}

/// A channel.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Of what sort; absent before it is connected.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: String,
    /// The team that answers it.
    pub team: Option<Id>,
    /// Whether it is open.
    pub enabled: bool,
    /// Whether it was open when its team was put away, so that it opens with it.
    #[serde(default)]
    pub suspended: bool,
    /// What it looks like.
    pub appearance: Appearance,
    /// Its display rules, in order.
    pub display_rules: Vec<(Id, DisplayRule)>,
    /// The users who answer.
    #[serde(deserialize_with = "sorted::set")]
    pub operators: BTreeSet<Id>,
    /// What else is set.
    pub settings: Settings,
    /// Under which id its credentials are sealed.
    pub credential: Option<Id>,
    /// Under which id the secret of its captcha is sealed.
    #[serde(default)]
    pub captcha_credential: Option<Id>,
    /// Under which ids the passwords of its mail servers, and the secret of Meta's app, are sealed.
    #[serde(default)]
    pub mail_credentials: BTreeMap<Purpose, Id>,
    /// How mail comes in and leaves.
    #[serde(default)]
    pub mail: Mail,
    /// What visitors are asked before their first message.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// What a page must have shown before a chat begins.
    #[serde(default)]
    pub protection: Protection,
    /// Who is kept out, by the name that an address claims.
    #[serde(default, deserialize_with = "sorted::map")]
    pub blocked: BTreeMap<String, Identity>,
}

/// There is no such channel.
pub const UNKNOWN: Rejection = Rejection::missing("channel_unknown", "There is no such channel.");
/// It is closed.
pub const DISABLED: Rejection =
    Rejection::conflict("channel_disabled", "The channel is disabled: nothing comes in or leaves.");
/// A team's own channel, which the team has closed.
const TEAM_CLOSED: Rejection = Rejection::conflict(
    "channel_team_closed",
    "It is a team's own channel, and the team decides: switch the channel on for the team, or restore the team, first.",
);
/// The scope in which channels are found by their ids alone, whatever tenant they are of.
pub const PUBLIC_SCOPE: &str = "channel";
const EXISTS: Rejection = Rejection::conflict("channel_exists", "A channel with this id exists already.");
/// It is none of the kinds that can.
pub const UNABLE: Rejection = Rejection::invalid("channel_unable", "Channels of this kind cannot do this.");
const GREETING_INVALID: Rejection =
    Rejection::invalid("channel_greeting_invalid", "A greeting has 1 to 500 characters.");
const DELAY_INVALID: Rejection = Rejection::invalid(
    "channel_delay_invalid",
    "A timer goes with opening by itself (auto_open), and with nothing else.",
);
const PATH_INVALID: Rejection = Rejection::invalid(
    "channel_path_invalid",
    "A path is a regular expression of at most 500 characters, without look-arounds and back-references.",
);
const CHATBOT_MISSING: Rejection =
    Rejection::invalid("channel_chatbot_missing", "Only a chatbot can speak when no operator is there.");
const RULES_FULL: Rejection = Rejection::conflict("channel_rules_full", "A channel has at most 100 display rules.");
const RULE_UNKNOWN: Rejection =
    Rejection::invalid("channel_display_rule_unknown", "The channel has no such display rule.");
const RULE_EXISTS: Rejection = Rejection::conflict(
    "channel_display_rule_exists",
    "The channel has another display rule with this id already, or had one.",
);
const ORIGIN_INVALID: Rejection = Rejection::invalid(
    "channel_origin_invalid",
    "An origin is https:// or http:// and a host, with a port where it is not the usual one, and nothing else.",
);
const NOT_A_USER: Rejection = Rejection::invalid("channel_not_a_user", "Only a user who is there joins or leaves.");

const ACCOUNT_INVALID: Rejection = Rejection::invalid(
    "channel_account_invalid",
    "An account at Meta is a number of at most 40 digits: the id of the phone number, the page or the Instagram account.",
);

/// A message of nobody's.
pub const SENDER_MISSING: Rejection =
    Rejection::invalid("channel_sender_missing", "Say who wrote it: a sender, an identity, or both.");
/// A name of a sender or a message that tells nothing apart.
pub const NAME_UNFIT: Rejection =
    Rejection::invalid("channel_name_unfit", "What a channel calls a sender or a message has 1 to 300 characters.");
/// A message that nobody has written in the channel.
pub const MESSAGE_UNKNOWN: Rejection =
    Rejection::invalid("channel_message_unknown", "Nothing is known of such a message in the channel.");
/// Credentials that cannot be any.
pub const SECRET_INVALID: Rejection = Rejection::invalid(
    "channel_secret_invalid",
    "A secret has 1 to 4,000 characters; that of a program is whsec_ and 24 to 64 bytes in base64, that of Telegram the token of a bot, 123456:ABC...",
);

/// Most display rules of a channel.
const MOST_RULES: usize = 100;

/// Whether a path matches, in time in proportion to it.
fn compiled(path: &str) -> Option<regex::Regex> {
    let sound = path.chars().count() <= 500;
    sound.then(|| RegexBuilder::new(path).size_limit(1 << 20).build().ok()).flatten()
}

fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    host.is_some_and(|host| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
        !host.is_empty() && host.len() <= 255 && host.chars().all(plain)
    }) && custom::is_url(origin)
}

/// Meta's ids are numbers.
fn is_account(account: &str) -> bool {
    (1..=40).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_digit())
}

/// What a team switches channels of a kind by.
fn switch_of(kind: Kind) -> Option<ChannelKind> {
    match kind {
        Kind::LiveChat => Some(ChannelKind::LiveChat),
        Kind::Email => Some(ChannelKind::Email),
        _ => None,
    }
}

fn check_display(display: Display, delay: Option<u32>, at: &str) -> Result<(), Rejection> {
    must(delay.is_none() || display == Display::AutoOpen, DELAY_INVALID, format!("{at}/delay_s"))
}

impl Settings {
    /// Whether a conversation that was closed then reopens now, when the other side writes.
    pub fn reopens(&self, closed: Time, now: Time) -> bool {
        self.reopen_after_s.is_none_or(|seconds| now.duration_since(closed).as_secs() <= i64::from(seconds))
    }
}

impl DisplayRule {
    /// Whether it holds on this path for a visitor from this country.
    pub fn holds(&self, path: &str, country: Option<&str>) -> bool {
        let country_fits = self.countries.is_empty() || country.is_some_and(|country| self.countries.contains(country));
        let path_fits = self.path_regex.as_ref().is_none_or(|regex| compiled(regex).is_some_and(|r| r.is_match(path)));
        country_fits && path_fits
    }

    /// The same with the codes of its countries in capitals.
    fn read(mut self) -> DisplayRule {
        self.countries = self.countries.iter().map(|country| country.trim().to_ascii_uppercase()).collect();
        self
    }

    fn check(&self) -> Result<(), Rejection> {
        let sound = self.path_regex.as_ref().is_none_or(|path| compiled(path).is_some());
        let mut checks = vec![
            must(sound, PATH_INVALID, "/rule/path_regex"),
            check_display(self.display, self.delay_s, "/rule"),
            must(!self.only_if_no_operator || self.chatbot.is_some(), CHATBOT_MISSING, "/rule/only_if_no_operator"),
        ];
        checks.extend(
            self.countries.iter().map(|country| {
                must(country.parse::<crate::Country>().is_ok(), valid::COUNTRY_INVALID, "/rule/countries")
            }),
        );
        all(checks)
    }
}

/// Whether an address has a name or a password before its host.
fn names_somebody(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

impl Channel {
    /// The id of a team's channel of a kind, which Deskfold makes for it.
    pub fn of_team(team: Id, kind: Kind) -> Id {
        Id::named(&["channel", &team.to_string(), kind.name()])
    }

    /// The team whose own channel this is, made by Deskfold for it.
    fn own_team(&self, id: Id) -> Option<Id> {
        let kind = self.kind?;
        self.team.filter(|team| Channel::of_team(*team, kind) == id)
    }

    /// Refuses to open a team's own channel while the team is put away, or has switched it off.
    fn must_be_let_open(&self, kind: Kind, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let Some(team) = self.own_team(ctx.id) else { return Ok(()) };
        let team = ctx.fact::<Team>(team);
        let switched_off = switch_of(kind).is_some_and(|switch| team.closed.contains(&switch));
        if team.archived || switched_off { Err(TEAM_CLOSED) } else { Ok(()) }
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.kind.is_some()
    }

    /// What it can, once it is there.
    pub fn can(&self) -> Option<Capabilities> {
        let kind = self.kind?;
        let can = kind.can();
        let sends = can.sends && (!kind.is_messenger() || self.is_carried());
        Some(Capabilities { sends, dedupes: can.dedupes || self.settings.dedupes, ..can })
    }

    /// Whether it is a messenger's channel that was given what is needed to carry it.
    pub fn is_carried(&self) -> bool {
        let named = |kind: Kind| !kind.is_metas() || self.settings.account.is_some();
        self.credential.is_some() && self.kind.is_some_and(|kind| kind.is_messenger() && named(kind))
    }

    /// The display rule that holds on a page for a visitor: the first one that fits.
    pub fn rule_for(&self, path: &str, country: Option<&str>) -> Option<&(Id, DisplayRule)> {
        self.display_rules.iter().find(|(_, rule)| rule.holds(path, country))
    }

    /// Refuses what no conversation is held in, and what is closed.
    pub fn must_converse(&self) -> Result<(), Rejection> {
        let Some(kind) = self.kind else { return Err(UNKNOWN) };
        if !kind.can().converses {
            return Err(UNABLE.because("No conversations are held in channels of this kind."));
        }
        if self.enabled { Ok(()) } else { Err(DISABLED) }
    }

    /// Under which id a secret of its is sealed.
    pub fn credential_of(&self, of: Purpose) -> Option<Id> {
        match of {
            Purpose::Channel => self.credential,
            Purpose::Captcha => self.captcha_credential,
            Purpose::Incoming | Purpose::Outgoing | Purpose::Dkim | Purpose::App => {
                self.mail_credentials.get(&of).copied()
            }
        }
    }

    /// Under which ids its secrets are sealed.
    pub fn credentials(&self) -> Vec<Id> {
        Purpose::ALL.into_iter().filter_map(|of| self.credential_of(of)).collect()
    }

    fn place(&self, rule: Id) -> Option<usize> {
        self.display_rules.iter().position(|(id, _)| *id == rule)
    }

    fn must_have(&self, rule: Id, at: &str) -> Result<usize, Rejection> {
        self.place(rule).ok_or_else(|| RULE_UNKNOWN.at(at))
    }

    /// The rule that stands after the one at a place.
    fn after(&self, place: usize) -> Option<Id> {
        self.display_rules.get(place + 1).map(|(id, _)| *id)
    }

    fn must(&self, can: fn(&Capabilities) -> bool, at: &str) -> Result<(), Rejection> {
        must(self.kind.is_some_and(|kind| can(&kind.can())), UNABLE, at)
    }

    fn oneself(ctx: &Ctx<'_>) -> Result<Id, Rejection> {
        let user = ctx.actor.principal();
        let is_user = ctx.actor.kind == ActorKind::User && ctx.fact::<User>(user).is_active();
        if is_user { Ok(user) } else { Err(NOT_A_USER) }
    }

    /// Refuses to take anybody in for who does not see everything: an operator sees what others write in the channel.
    fn must_let_in(ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let detail = "Whoever answers in a channel sees more for it: who does not see everything of what he sees takes nobody in.";
        if ctx.authority.is_scoped() { Err(DENIED.because(detail)) } else { Ok(()) }
    }

    fn check_settings(&self, settings: &Settings) -> Result<(), Rejection> {
        let url = settings.url.as_deref();
        all([
            if settings.allowed_origins.is_empty() { Ok(()) } else { self.must(|can| can.origins, "/allowed_origins") },
            must(settings.allowed_origins.iter().all(|origin| is_origin(origin)), ORIGIN_INVALID, "/allowed_origins"),
            if url.is_none() { Ok(()) } else { self.must(|can| can.url, "/url") },
            if settings.dedupes { self.must(|can| can.url, "/dedupes") } else { Ok(()) },
            // Whoever must show a password has credentials for that: events are read by many.
            must(url.is_none_or(|url| custom::is_url(url) && !names_somebody(url)), valid::URL_INVALID, "/url"),
            if settings.account.is_none() {
                Ok(())
            } else {
                must(self.kind.is_some_and(Kind::is_metas), UNABLE, "/account")
            },
            must(settings.account.as_deref().is_none_or(is_account), ACCOUNT_INVALID, "/account"),
            if settings.reopen_after_s.is_some() { self.must(|can| can.converses, "/reopen_after_s") } else { Ok(()) },
            if settings.max_per_minute.is_some() { self.must(|can| can.converses, "/max_per_minute") } else { Ok(()) },
        ])
    }

    fn insert(&mut self, id: Id, rule: DisplayRule, before: Option<Id>) {
        // Told once more it is the same.
        self.display_rules.retain(|(known, _)| *known != id);
        let place = before.and_then(|before| self.place(before)).unwrap_or(self.display_rules.len());
        self.display_rules.insert(place, (id, rule));
    }
}

impl Aggregate for Channel {
    const KIND: &'static str = "channel";
    const PLURAL: &'static str = "channels";
    const CREATE: &'static str = "connect";
    const INTERNAL: &'static [&'static str] = &["rotate_credentials", "follow_team"];
    const OPEN: Option<&'static str> =
        Some("work is shared out among channels; what is said in them is its operators' to see");
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let Some(kind) = self.kind else {
            let Connect(new) = command else { return Err(UNKNOWN) };
            valid::name(&new.name, "/name")?;
            let first = Self::oneself(ctx).ok().map(|user| Event::OperatorAdded { user });
            return Ok([Event::Connected(new)].into_iter().chain(first).collect());
        };
        Ok(match command {
            Connect(new) if new.kind == kind && new.team == self.team => vec![],
            Connect(_) => return Err(EXISTS),
            Rename { name: to } => {
                valid::name(&to, "/name")?;
                if self.name == to { vec![] } else { vec![Event::Renamed { from: self.name.clone(), to }] }
            }
            ChangeAppearance(appearance) => {
                self.must(|can| can.widget, "")?;
                let length = appearance.greeting.as_ref().map(|text| text.trim().chars().count());
                all([
                    must(length.is_none_or(|length| (1..=500).contains(&length)), GREETING_INVALID, "/greeting"),
                    check_display(appearance.display, appearance.delay_s, ""),
                ])?;
                if self.appearance == appearance { vec![] } else { vec![Event::AppearanceChanged(appearance)] }
            }
            AddDisplayRule { display_rule, rule, before } => {
                self.must(|can| can.widget, "")?;
                let rule = rule.read();
                rule.check()?;
                let id = display_rule.unwrap_or_else(|| ctx.fresh("display_rule"));
                match self.place(id).map(|place| &self.display_rules[place].1) {
                    Some(known) if *known == rule => return Ok(vec![]),
                    Some(_) => return Err(RULE_EXISTS.at("/display_rule")),
                    None => {}
                }
                before.map_or(Ok(0), |before| self.must_have(before, "/before"))?;
                if self.display_rules.len() >= MOST_RULES {
                    return Err(RULES_FULL);
                }
                vec![Event::DisplayRuleAdded { display_rule: id, rule, before }]
            }
            ChangeDisplayRule { display_rule, rule } => {
                let rule = rule.read();
                rule.check()?;
                let place = self.must_have(display_rule, "/display_rule")?;
                let same = self.display_rules[place].1 == rule;
                if same { vec![] } else { vec![Event::DisplayRuleChanged { display_rule, rule }] }
            }
            RemoveDisplayRule { display_rule } => {
                self.place(display_rule).map(|_| Event::DisplayRuleRemoved { display_rule }).into_iter().collect()
            }
            MoveDisplayRule { display_rule, before } => {
                let place = self.must_have(display_rule, "/display_rule")?;
                before.map_or(Ok(0), |before| self.must_have(before, "/before"))?;
                let there = self.after(place) == before || before == Some(display_rule);
                if there { vec![] } else { vec![Event::DisplayRuleMoved { display_rule, before }] }
            }
            AddOperators { users } => {
                let new: Vec<Id> = users.difference(&self.operators).copied().collect();
                if !new.is_empty() {
                    Self::must_let_in(ctx)?;
                }
                new.into_iter().map(|user| Event::OperatorAdded { user }).collect()
            }
            InviteOperator(invitation) => {
                let user = invitation.user(ctx);
                if self.operators.contains(&user) {
                    return Ok(vec![]);
                }
                Self::must_let_in(ctx)?;
                if ctx.fact::<User>(user).status != user::Status::Missing {
                    return Err(user::EXISTS.at("/user"));
                }
                let invitation = Invitation { user: Some(user), ..invitation };
                invitation.tell(ctx)?;
                vec![Event::OperatorInvited(invitation), Event::OperatorAdded { user }]
            }
            RemoveOperator { user } if self.operators.contains(&user) => vec![Event::OperatorRemoved { user }],
            Join => {
                let user = Self::oneself(ctx)?;
                if self.operators.contains(&user) { vec![] } else { vec![Event::OperatorAdded { user }] }
            }
            Leave => {
                let user = ctx.actor.principal();
                if self.operators.contains(&user) { vec![Event::OperatorRemoved { user }] } else { vec![] }
            }
            RotateCredentials { of: Purpose::Incoming | Purpose::Outgoing | Purpose::Dkim, .. }
                if kind != Kind::Email =>
            {
                return Err(UNABLE.at("/of"));
            }
            RotateCredentials { of: Purpose::App, .. } if !kind.is_metas() => return Err(UNABLE.at("/of")),
            RotateCredentials { credential, of } if self.credential_of(of) != Some(credential) => {
                vec![Event::CredentialsRotated { credential, of }]
            }
            AskBefore { questions } => {
                self.must(|can| can.widget, "")?;
                check_questions(&questions)?;
                if self.questions == questions { vec![] } else { vec![Event::QuestionsChanged { questions }] }
            }
            ChangeProtection(protection) => {
                self.must(|can| can.widget, "")?;
                protection.check()?;
                // Without its secret nobody could be asked, and nobody would be let in.
                let sealed = protection.captcha.is_none() || self.captcha_credential.is_some();
                must(sealed, CAPTCHA_UNSEALED, "/captcha")?;
                if self.protection == protection { vec![] } else { vec![Event::ProtectionChanged(protection)] }
            }
            BlockIdentity { identity } => {
                self.must(|can| can.converses, "")?;
                let identity = identity.read(ctx);
                if self.blocks(&identity) {
                    return Ok(vec![]);
                }
                self.must_have_room(&identity)?;
                vec![Event::IdentityBlocked { identity }]
            }
            UnblockIdentity { identity } => {
                let identity = identity.read(ctx);
                if self.blocks(&identity) { vec![Event::IdentityUnblocked { identity }] } else { vec![] }
            }
            ChangeSettings(settings) => {
                self.check_settings(&settings)?;
                if self.settings == settings { vec![] } else { vec![Event::SettingsChanged(settings)] }
            }
            ChangeMail(mail) => {
                must(kind == Kind::Email, UNABLE, "")?;
                mail.check()?;
                if self.mail == mail { vec![] } else { vec![Event::MailChanged(mail)] }
            }
            Enable if !self.enabled => {
                self.must_be_let_open(kind, ctx)?;
                vec![Event::Enabled]
            }
            // Closed by hand it stays closed when its team comes back.
            Disable | FollowTeam { team: TeamHas::SwitchedOff } if self.enabled || self.suspended => {
                vec![Event::Disabled]
            }
            FollowTeam { team: TeamHas::SwitchedOn } if !self.enabled => vec![Event::Enabled],
            FollowTeam { team: TeamHas::GoneAway } if self.enabled => vec![Event::Suspended],
            FollowTeam { team: TeamHas::ComeBack } if self.suspended => vec![Event::Resumed],
            _ => vec![],
        })
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Connected(new) => {
                self.kind = Some(new.kind);
                self.name.clone_from(&new.name);
                self.team = new.team;
                self.enabled = true;
            }
            Event::Renamed { to, .. } => self.name.clone_from(to),
            Event::AppearanceChanged(appearance) => self.appearance = appearance.clone(),
            Event::DisplayRuleAdded { display_rule, rule, before } => self.insert(*display_rule, rule.clone(), *before),
            Event::DisplayRuleChanged { display_rule, rule } => {
                if let Some(place) = self.place(*display_rule) {
                    self.display_rules[place].1 = rule.clone();
                }
            }
            Event::DisplayRuleRemoved { display_rule } => self.display_rules.retain(|(id, _)| id != display_rule),
            Event::DisplayRuleMoved { display_rule, before } => {
                if let Some(place) = self.place(*display_rule) {
                    let (id, rule) = self.display_rules.remove(place);
                    self.insert(id, rule, *before);
                }
            }
            Event::OperatorAdded { user } => drop(self.operators.insert(*user)),
            // That the user answers is told beside it.
            Event::OperatorInvited(_) => {}
            Event::OperatorRemoved { user } => drop(self.operators.remove(user)),
            Event::CredentialsRotated { credential, of: Purpose::Channel } => self.credential = Some(*credential),
            Event::CredentialsRotated { credential, of: Purpose::Captcha } => {
                self.captcha_credential = Some(*credential);
            }
            Event::CredentialsRotated { credential, of } => drop(self.mail_credentials.insert(*of, *credential)),
            Event::MailChanged(mail) => self.mail = mail.clone(),
            Event::QuestionsChanged { questions } => self.questions.clone_from(questions),
            Event::ProtectionChanged(protection) => self.protection = protection.clone(),
            Event::IdentityBlocked { identity } => drop(self.blocked.insert(identity.key(), identity.clone())),
            Event::IdentityUnblocked { identity } => drop(self.blocked.remove(&identity.key())),
            Event::SettingsChanged(settings) => self.settings = settings.clone(),
            Event::Enabled | Event::Resumed => (self.enabled, self.suspended) = (true, false),
            Event::Disabled => (self.enabled, self.suspended) = (false, false),
            Event::Suspended => (self.enabled, self.suspended) = (false, true),
        }
    }

    /// Pages name a channel without saying whose it is.
    fn claims(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Claim> {
        match event {
            Event::Connected(_) => vec![Claim::take(PUBLIC_SCOPE, ctx.id.to_string(), EXISTS).globally()],
            Event::MailChanged(mail) => {
                let of = |mail: &Mail| mail.address.iter().map(|address| email::key(address)).collect();
                let moved = Claim::moved(ADDRESS_SCOPE, &of(&self.mail), &of(mail), &ADDRESS_TAKEN.at("/address"));
                moved.into_iter().map(Claim::globally).collect()
            }
            _ => vec![],
        }
    }

    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        match event {
            // It was told once already when it was decided.
            Event::OperatorInvited(invitation) => invitation.tell(ctx).unwrap_or_default(),
            _ => vec![],
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::OperatorInvited(invitation) => invitation.user,
            _ => None,
        }
    }

    fn requires(command: &Command) -> Vec<(String, String)> {
        let Command::InviteOperator(invitation) = command else { return Vec::new() };
        let invite = (String::new(), "user.invite".to_owned());
        let grant = invitation.role.map(|_| ("/role".to_owned(), "user.grant_role".to_owned()));
        [invite].into_iter().chain(grant).collect()
    }

    fn is_live(&self) -> bool {
        self.exists() && self.enabled
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::InviteOperator(invitation) => invitation.needs(ctx),
            Command::Connect(_) | Command::Join => vec![Need::of::<User>(ctx.actor.principal())],
            Command::BlockIdentity { .. } | Command::UnblockIdentity { .. } => vec![phone::need(ctx)],
            // What the team says at the same moment counts.
            Command::Enable => self.own_team(ctx.id).map(Need::guarded::<Team>).into_iter().collect(),
            _ => vec![],
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        let rule = |id: &Id| self.place(*id).map(|place| (place, self.display_rules[place].1.clone()));
        Some(vec![match event {
            Event::Connected(_) | Event::Enabled => Command::Disable,
            Event::Disabled => Command::Enable,
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::AppearanceChanged(_) => Command::ChangeAppearance(self.appearance.clone()),
            Event::DisplayRuleAdded { display_rule, .. } => Command::RemoveDisplayRule { display_rule: *display_rule },
            Event::DisplayRuleChanged { display_rule, .. } => {
                Command::ChangeDisplayRule { display_rule: *display_rule, rule: rule(display_rule)?.1 }
            }
            Event::DisplayRuleRemoved { display_rule } => {
                let (place, rule) = rule(display_rule)?;
                Command::AddDisplayRule { display_rule: Some(*display_rule), rule, before: self.after(place) }
            }
            Event::DisplayRuleMoved { display_rule, .. } => {
                let (place, _) = rule(display_rule)?;
                Command::MoveDisplayRule { display_rule: *display_rule, before: self.after(place) }
            }
            Event::OperatorAdded { user } => Command::RemoveOperator { user: *user },
            Event::OperatorRemoved { user } => Command::AddOperators { users: [*user].into() },
            Event::SettingsChanged(_) => Command::ChangeSettings(self.settings.clone()),
            Event::MailChanged(_) => Command::ChangeMail(self.mail.clone()),
            Event::QuestionsChanged { .. } => Command::AskBefore { questions: self.questions.clone() },
            Event::ProtectionChanged(_) => Command::ChangeProtection(self.protection.clone()),
            Event::IdentityBlocked { identity } => Command::UnblockIdentity { identity: identity.clone() },
            Event::IdentityUnblocked { identity } => Command::BlockIdentity { identity: identity.clone() },
            // They follow from what is undone in the team; whoever was invited is deactivated, not forgotten.
            Event::OperatorInvited(_) => return None,
            Event::CredentialsRotated { .. } | Event::Suspended | Event::Resumed => return None,
        }])
    }

    fn refusals() -> Vec<Rejection> {
        let states = [
            UNKNOWN,
            EXISTS,
            DISABLED,
            UNABLE,
            SENDER_MISSING,
            NAME_UNFIT,
            NOT_A_USER,
            RULE_UNKNOWN,
            RULE_EXISTS,
            RULES_FULL,
            TEAM_CLOSED,
        ];
        let fields = [
            GREETING_INVALID,
            DELAY_INVALID,
            PATH_INVALID,
            CHATBOT_MISSING,
            ORIGIN_INVALID,
            SECRET_INVALID,
            ACCOUNT_INVALID,
            MESSAGE_UNKNOWN,
        ];
        let shared = [valid::NAME_INVALID, valid::URL_INVALID, valid::COUNTRY_INVALID, REFERENCE_UNFIT, DENIED];
        let door = [QUESTIONS_INVALID, CAPTCHA_INVALID, CAPTCHA_UNSEALED, BLOCKS_FULL, BLOCKED];
        let mail = [MAIL_INVALID, HEADER_INVALID, ADDRESS_TAKEN, valid::DOMAIN_INVALID];
        let people = [user::EXISTS, user::EMAIL_TAKEN, user::ROLE_UNFIT, SEATS_TAKEN];
        let answers = [ANSWER_UNASKED, ANSWER_TOO_LONG, valid::EMAIL_INVALID, valid::PHONE_INVALID];
        states.into_iter().chain(fields).chain(door).chain(mail).chain(answers).chain(people).chain(shared).collect()
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let rule = |path: &str| DisplayRule {
            path_regex: Some(path.into()),
            countries: ["IT".into()].into(),
            display: Display::AutoOpen,
            delay_s: Some(10),
            chatbot: Some(id(0xB)),
            only_if_no_operator: true,
        };
        let appearance = Appearance {
            greeting: Some("How can we help?".into()),
            color: "#00a09d".parse().ok(),
            display: Display::ShowWithNotification,
            delay_s: None,
        };
        let settings = Settings {
            allowed_origins: ["https://www.example.com".into()].into(),
            reopen_after_s: Some(604_800),
            max_per_minute: Some(60),
            url: None,
            dedupes: false,
            account: None,
        };
        let server = |host: &str, port| MailServer {
            host: host.into(),
            port,
            security: Security::Tls,
            username: Some("help@example.com".into()),
        };
        let mail = Mail {
            address: Some("help@example.com".into()),
            plus_addresses: true,
            incoming: Some(Mailbox {
                server: server("imap.example.com", 993),
                folder: "INBOX".into(),
                taken_folder: Some("Taken".into()),
                oauth: None,
            }),
            outgoing: Some(Outgoing { server: server("smtp.example.com", 465), oauth: None }),
            trusted_servers: ["mx.example.com".into()].into(),
            cc_participates: true,
            headers: BTreeMap::from([("X-Priority-Of-Customer".into(), "priority".into())]),
            signature: Some("{{ agent }}, {{ team }}".into()),
            undo_s: Some(10),
            ..Mail::default()
        };
        let question = |key: &str, asks, label: Option<&str>| Question {
            key: key.into(),
            asks,
            label: label.map(ToOwned::to_owned),
            required: asks == Asks::Email,
        };
        let questions = vec![
            question("name", Asks::Name, None),
            question("email", Asks::Email, None),
            question("order", Asks::Text, Some("Which order is it about?")),
        ];
        let captcha = Captcha {
            verify_url: "https://challenges.cloudflare.com/turnstile/v0/siteverify".into(),
            site_key: "0x4AAAAAAA".into(),
        };
        let protection = Protection { proof_of_work: Some(16), captcha: Some(captcha) };
        vec![
            Command::Connect(New { kind: Kind::LiveChat, name: "Chat on our site".into(), team: None }),
            Command::Rename { name: "Chat".into() },
            Command::ChangeAppearance(appearance),
            Command::AddDisplayRule { display_rule: Some(id(0x10)), rule: rule("^/prices"), before: None },
            Command::AddDisplayRule { display_rule: Some(id(0x11)), rule: rule("^/help"), before: Some(id(0x10)) },
            Command::ChangeDisplayRule { display_rule: id(0x10), rule: rule("^/(prices|offers)") },
            Command::MoveDisplayRule { display_rule: id(0x10), before: Some(id(0x11)) },
            Command::RemoveDisplayRule { display_rule: id(0x11) },
            Command::AddOperators { users: [id(0xC)].into() },
            Command::InviteOperator(Invitation {
                user: Some(id(0xF)),
                email: "eva@example.com".into(),
                name: "Eva".into(),
                role: None,
            }),
            Command::RemoveOperator { user: id(0xC) },
            Command::Join,
            Command::Leave,
            Command::RotateCredentials { credential: id(0xD), of: Purpose::Channel },
            Command::AskBefore { questions },
            Command::RotateCredentials { credential: id(0xE), of: Purpose::Captcha },
            Command::ChangeProtection(protection),
            Command::BlockIdentity { identity: Identity::new(IdentityKind::Email, "spam@example.com") },
            Command::UnblockIdentity { identity: Identity::new(IdentityKind::Email, "spam@example.com") },
            Command::ChangeMail(mail),
            Command::Connect(New { kind: Kind::Email, name: "Mail".into(), team: None }),
            Command::ChangeSettings(settings),
            Command::Disable,
            Command::Enable,
            Command::FollowTeam { team: TeamHas::GoneAway },
            Command::FollowTeam { team: TeamHas::ComeBack },
        ]
    }
}

#[cfg(test)]
mod tests;
