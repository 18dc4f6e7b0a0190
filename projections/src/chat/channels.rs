//! Channels, as cards and lists show them. Table: `read_channels`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    chat::channel::{self, Channel, Display, Event, Kind},
    crm::contact::Identity,
    kernel::color::Color,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise, org::users::Reference};

/// The channels.
#[derive(Clone, Copy, Debug)]
pub struct Channels;

/// What holds on some pages, for visitors from some countries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DisplayRule {
    /// Its id.
    pub id: Id,
    /// A regular expression for the path of the page.
    pub path_regex: Option<String>,
    /// The countries of the visitors; all when there is none.
    pub countries: BTreeSet<String>,
    /// How the chat appears.
    pub display: Display,
    /// After how many seconds it opens by itself.
    pub delay_s: Option<u32>,
    /// The chatbot that speaks first.
    pub chatbot_id: Option<Id>,
    /// Whether it speaks only when no operator is there.
    pub only_if_no_operator: bool,
}

/// A way in which people outside reach the desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Of what sort.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The team that answers it.
    pub team_id: Option<Id>,
    /// Whether it is open.
    pub enabled: bool,
    /// The text beside the button.
    pub greeting: Option<String>,
    /// The colour of the button; none for the usual one.
    pub color: Option<Color>,
    /// How the chat appears on pages.
    pub display: Display,
    /// After how many seconds it opens by itself.
    pub delay_s: Option<u32>,
    /// What holds on some pages, for visitors from some countries: the first one that fits counts.
    pub display_rules: Vec<DisplayRule>,
    /// The users who answer.
    pub operator_ids: BTreeSet<Id>,
    /// The origins of pages that may speak to it; all when there is none.
    pub allowed_origins: BTreeSet<String>,
    /// For so many seconds after it was closed a conversation reopens; always without it.
    pub reopen_after_s: Option<u32>,
    /// Most messages that leave in a minute.
    pub max_per_minute: Option<u32>,
    /// The URL of the program that messages go to.
    pub url: Option<String>,
    /// Whether that program lets a message that is sent twice arrive once.
    pub dedupes: bool,
    /// The account at Meta that writes.
    pub account: Option<String>,
    /// How mail comes in and leaves.
    pub mail: channel::Mail,
    /// Which secrets it has besides: passwords of mail servers, the secret of Meta's app.
    pub mail_credentials: BTreeSet<channel::Purpose>,
    /// When it last got other credentials; none when it has none.
    pub credentials_rotated_at: Option<Time>,
    /// What visitors are asked before their first message.
    pub questions: Vec<channel::Question>,
    /// How much a browser must reckon before a chat begins, in bits.
    pub proof_of_work: Option<u8>,
    /// Who tells people from programs before a chat begins.
    pub captcha: Option<channel::Captcha>,
    /// Addresses that are kept out.
    pub blocked_identities: Vec<Identity>,
    /// When it was connected.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A channel with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The channel itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the team.
    pub team_name: Option<String>,
    /// The part before the `@` of its address, where it is a team's mail: it is the team's, and changed there.
    pub alias: Option<String>,
    /// The address of a channel of mail: its own, or the team's where the tenant has said under which domain its aliases are.
    pub address: Option<String>,
    /// The users who answer.
    pub operators: Vec<Reference>,
}

fn shown(id: Id, rule: channel::DisplayRule) -> DisplayRule {
    let channel::DisplayRule { path_regex, countries, display, delay_s, chatbot, only_if_no_operator } = rule;
    DisplayRule { id, path_regex, countries, display, delay_s, chatbot_id: chatbot, only_if_no_operator }
}

impl Row {
    fn place(&self, rule: Id) -> Option<usize> {
        self.display_rules.iter().position(|known| known.id == rule)
    }

    fn insert(&mut self, rule: DisplayRule, before: Option<Id>) {
        let place = before.and_then(|before| self.place(before)).unwrap_or(self.display_rules.len());
        self.display_rules.insert(place, rule);
    }
}

impl ReadModel for Channels {
    const NAME: &'static str = "channels";
    const VERSION: i32 = 4;
    const KINDS: &'static [&'static str] = &[Channel::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Channel>(event)?;
        if let Event::Connected(new) = happened {
            return Ok(Some(Row {
                kind: new.kind,
                name: new.name,
                team_id: new.team,
                enabled: true,
                greeting: None,
                color: None,
                display: Display::default(),
                delay_s: None,
                display_rules: Vec::new(),
                operator_ids: BTreeSet::new(),
                allowed_origins: BTreeSet::new(),
                reopen_after_s: None,
                max_per_minute: None,
                url: None,
                dedupes: false,
                account: None,
                mail: channel::Mail::default(),
                mail_credentials: BTreeSet::new(),
                credentials_rotated_at: None,
                questions: Vec::new(),
                proof_of_work: None,
                captcha: None,
                blocked_identities: Vec::new(),
                created_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Connected(_) => {}
            Event::Renamed { to, .. } => row.name = to,
            Event::AppearanceChanged(to) => {
                row.greeting = to.greeting;
                row.color = to.color;
                row.display = to.display;
                row.delay_s = to.delay_s;
            }
            Event::DisplayRuleAdded { display_rule, rule, before } => row.insert(shown(display_rule, rule), before),
            Event::DisplayRuleChanged { display_rule, rule } => {
                if let Some(place) = row.place(display_rule) {
                    row.display_rules[place] = shown(display_rule, rule);
                }
            }
            Event::DisplayRuleRemoved { display_rule } => row.display_rules.retain(|known| known.id != display_rule),
            Event::DisplayRuleMoved { display_rule, before } => {
                if let Some(place) = row.place(display_rule) {
                    let rule = row.display_rules.remove(place);
                    row.insert(rule, before);
                }
            }
            Event::OperatorInvited(_) => {}
            Event::OperatorAdded { user } => drop(row.operator_ids.insert(user)),
            Event::OperatorRemoved { user } => drop(row.operator_ids.remove(&user)),
            Event::CredentialsRotated { of: channel::Purpose::Captcha, .. } => {}
            Event::CredentialsRotated {
                of:
                    of @ (channel::Purpose::Incoming
                    | channel::Purpose::Outgoing
                    | channel::Purpose::Dkim
                    | channel::Purpose::App),
                ..
            } => {
                row.mail_credentials.insert(of);
            }
            Event::MailChanged(to) => row.mail = to,
            Event::CredentialsRotated { .. } => row.credentials_rotated_at = Some(at),
            Event::SettingsChanged(to) => {
                row.allowed_origins = to.allowed_origins;
                row.reopen_after_s = to.reopen_after_s;
                row.max_per_minute = to.max_per_minute;
                row.url = to.url;
                row.dedupes = to.dedupes;
                row.account = to.account;
            }
            Event::QuestionsChanged { questions } => row.questions = questions,
            Event::ProtectionChanged(to) => {
                row.proof_of_work = to.proof_of_work;
                row.captcha = to.captcha;
            }
            Event::IdentityBlocked { identity } => row.blocked_identities.push(identity),
            Event::IdentityUnblocked { identity } => {
                row.blocked_identities.retain(|known| known.key() != identity.key());
            }
            Event::Enabled | Event::Resumed => row.enabled = true,
            Event::Disabled | Event::Suspended => row.enabled = false,
        }
        Ok(Some(row))
    }
}

impl Listed for Channels {
    const PATH: &'static str = Channel::PLURAL;
    const READ: &'static str = Channel::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("kind"),
        Column::text("name"),
        Column::id("team_id").nullable(),
        Column::bool("enabled"),
        Column::word("display"),
        Column::set("operator_ids"),
        Column::time("credentials_rotated_at").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::called(&listed::TEAM),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.kind, t.name, t.team_id, team.name as team_name, \
        case when t.kind = 'email' then team.alias end as alias, \
        case when t.kind = 'email' then coalesce(t.mail->>'address', team.alias || '@' || tenant.alias_domain) end as address, t.enabled, t.greeting, t.color, t.display, t.delay_s, \
        t.display_rules, t.operator_ids, \
        array(select json_build_object('id', u.id, 'name', u.name) from read_users u \
            where u.tenant_id = t.tenant_id and u.id = any (t.operator_ids) order by u.name collate \"und-x-icu\", u.id) as operators, \
        t.allowed_origins, t.reopen_after_s, t.max_per_minute, t.url, t.dedupes, t.account, t.mail, t.mail_credentials, t.credentials_rotated_at, \
        t.questions, t.proof_of_work, t.captcha, t.blocked_identities, t.created_at, \
        t.updated_at";
    const JOINS: &'static str = "left join read_teams team on team.tenant_id = t.tenant_id and team.id = t.team_id \
        left join read_tenants tenant on tenant.tenant_id = t.tenant_id and tenant.id = t.tenant_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_channel_has_looks_rules_operators_and_settings() {
        let connected = event::<Channel>("connected", json!({ "kind": "live_chat", "name": "Chat", "team": id(9) }));
        refuses_strangers::<Channels, Channel>(&connected);
        let looks = json!({ "greeting": "Hello", "color": "#00a09d", "display": "auto_open", "delay_s": 5 });
        let rule = |number: u128, path: &str, before: Option<u128>| {
            let rule = json!({ "path_regex": path, "countries": ["IT"], "display": "hide", "chatbot": id(7) });
            let added = json!({ "display_rule": id(number), "rule": rule, "before": before.map(id) });
            event::<Channel>("display_rule_added", added)
        };
        let changed = json!({ "display_rule": id(1), "rule": { "display": "show" } });
        let settings = json!({ "allowed_origins": ["https://a.example"], "reopen_after_s": 60, "max_per_minute": 9 });
        let blocked = |address: &str, name: &str| {
            event::<Channel>(name, json!({ "identity": { "kind": "email", "value": address } }))
        };
        let events = [
            connected,
            event::<Channel>("appearance_changed", looks),
            rule(1, "^/a", None),
            rule(2, "^/b", Some(1)),
            rule(3, "^/c", None),
            event::<Channel>("display_rule_changed", changed),
            Event::DisplayRuleMoved { display_rule: id(3), before: Some(id(2)) },
            Event::DisplayRuleRemoved { display_rule: id(2) },
            Event::OperatorAdded { user: id(4) },
            Event::OperatorAdded { user: id(5) },
            Event::OperatorRemoved { user: id(4) },
            event::<Channel>("settings_changed", settings),
            Event::CredentialsRotated { credential: id(6), of: channel::Purpose::Channel },
            Event::Renamed { from: "Chat".into(), to: "Help".into() },
            Event::Disabled,
            event::<Channel>("questions_changed", json!({ "questions": [{ "key": "name", "type": "name" }] })),
            event::<Channel>("protection_changed", json!({ "proof_of_work": 12 })),
            blocked("a@example.com", "identity_blocked"),
            blocked("b@example.com", "identity_blocked"),
            blocked("A@example.com", "identity_unblocked"),
        ];
        let row = folded::<Channels, Channel>(events).unwrap();
        assert_eq!((row.name.as_str(), row.enabled, row.team_id), ("Help", false, Some(id(9))));
        assert_eq!((row.display, row.delay_s, row.greeting.as_deref()), (Display::AutoOpen, Some(5), Some("Hello")));
        let rules: Vec<_> = row.display_rules.iter().map(|rule| (rule.id, rule.path_regex.as_deref())).collect();
        assert_eq!(rules, [(id(3), Some("^/c")), (id(1), None)]);
        assert_eq!((row.operator_ids, row.reopen_after_s), ([id(5)].into(), Some(60)));
        assert_eq!(row.credentials_rotated_at, Some(at(12)));
        assert_eq!((row.questions.len(), row.proof_of_work, row.captcha), (1, Some(12), None));
        let blocked: Vec<_> = row.blocked_identities.iter().map(|identity| identity.value.as_str()).collect();
        assert_eq!(blocked, ["b@example.com"]);
    }
}
