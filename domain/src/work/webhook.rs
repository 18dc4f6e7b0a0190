//! A webhook: an address that is told of events as they happen, as far as whoever set it up may see them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Ctx, Decision, FieldError, Id, Need, Rejection, Time, all, catalogue,
    kernel::{access::Relation, custom},
    must,
    org::field::Field,
    work::{
        automation::{Compiled, CustomTypes, Vocabulary, condition, event_fields},
        rule,
    },
};

/// Most entries in the list of types.
pub const MAX_TYPES: usize = 100;
/// Longest address.
const MAX_URL: usize = 2000;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;
/// For how long a former secret may go on counting: 30 days, in seconds.
pub const MAX_OVERLAP_S: u32 = 30 * 86_400;
/// For how long it does unless it is said: a day, in seconds.
pub const OVERLAP_S: u32 = 86_400;
/// The type of event by which a webhook is tried.
pub const TESTED: &str = "webhook.tested";

/// What is told to whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookSettings")]
pub struct Settings {
    /// The address, http or https.
    pub url: String,
    /// The types of events, such as `ticket.opened`; `ticket.*` is all that happens to tickets, `*` everything.
    pub types: Vec<String>,
    /// Which of them: a filter over `event.*` and the records that the event concerns, as they are after it; `{}` is all.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filter: Map<String, Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// With whose eyes it sees: what this user may not see does not leave by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookEyes")]
pub struct Eyes {
    /// The user.
    #[schemars(extend("x-held-reference" = "user"))]
    pub user: Id,
    /// The key by which the user spoke: what that permits at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "api_key"))]
    pub key: Option<Id>,
}

/// A new webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookSubscribed")]
pub struct New {
    /// What is told to whom.
    pub settings: Settings,
    /// Whether it works at once.
    pub enabled: bool,
    /// Under which id its secret is sealed.
    pub credential: Id,
    /// With whose eyes it sees.
    pub eyes: Eyes,
}

/// Why a webhook was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookDisabledBy")]
pub enum Cause {
    /// Somebody said so.
    Person,
    /// For three days it took nothing.
    Unreachable,
    /// It answered 410: it wants nothing any more.
    Gone,
    /// Nobody is left with whose eyes it could see.
    RightsEnded,
}

impl Cause {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Person => "person",
            Cause::Unreachable => "unreachable",
            Cause::Gone => "gone",
            Cause::RightsEnded => "rights_ended",
        }
    }
}

/// What may be asked of a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Sets one up.
    Subscribe(New),
    /// Tells something else, or somebody else.
    Change {
        /// What is told to whom.
        settings: Settings,
        /// With whose eyes it sees from now on.
        eyes: Eyes,
    },
    /// Gives it another secret.
    RotateSecret {
        /// Under which id that is sealed.
        credential: Id,
        /// For how many seconds the former one still counts.
        #[schemars(range(min = 0, max = 2592000))]
        overlap_s: u32,
    },
    /// Ends the time in which the former secret still counts.
    RetireFormerSecret,
    /// Lets it work; it goes on where it stopped.
    Enable {
        /// With whose eyes it sees from now on.
        eyes: Eyes,
    },
    /// Stops it.
    Disable {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Stops it, since it cannot go on.
    Stop {
        /// What stands in the way.
        cause: Cause,
        /// The same in words.
        reason: String,
    },
    /// Sends it an event that is there for nothing else.
    Test {
        /// What this test is called.
        #[schemars(extend("x-held-reference" = "any"))]
        test: Id,
    },
    /// Sends everything again from a position of the log.
    Replay {
        /// What this is called.
        #[schemars(extend("x-held-reference" = "any"))]
        replay: Id,
        /// The first position.
        #[schemars(range(min = 1, max = 9007199254740991i64))]
        from: i64,
    },
    /// Sends one event again.
    Redeliver {
        /// What this is called.
        #[schemars(extend("x-held-reference" = "any"))]
        redelivery: Id,
        /// The position of the event.
        #[schemars(range(min = 1, max = 9007199254740991i64))]
        position: i64,
    },
    /// Records that an event was not taken for three days while others were, and is not sent by itself any more.
    GiveUp {
        /// The position of the event.
        position: i64,
        /// Its type.
        event_type: String,
        /// What stood in the way.
        reason: String,
    },
    /// Puts it away for good; its log can still be read.
    Archive,
}

/// What has happened to a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was set up.
    Subscribed(New),
    /// It tells something else, or somebody else.
    Changed {
        /// Before.
        from: Settings,
        /// After.
        to: Settings,
        /// With whose eyes it sees.
        eyes: Eyes,
    },
    /// It has another secret.
    SecretRotated {
        /// Under which id that is sealed.
        credential: Id,
        /// Until when the former one counts too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former_until: Option<Time>,
    },
    /// The former secret counts no longer.
    FormerSecretRetired,
    /// It works.
    Enabled {
        /// With whose eyes it sees.
        eyes: Eyes,
    },
    /// It stopped.
    Disabled {
        /// Who or what stopped it.
        cause: Cause,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is tried: this event is sent to it, whatever types it asks for.
    Tested {
        /// What the test is called.
        test: Id,
    },
    /// Everything from a position on is sent again.
    Replayed {
        /// What this is called.
        replay: Id,
        /// The first position.
        from: i64,
    },
    /// One event is sent again.
    Redelivered {
        /// What this is called.
        redelivery: Id,
        /// The position of the event.
        position: i64,
    },
    /// An event was not taken for three days while others were, and is not sent by itself any more.
    GivenUp {
        /// The position of the event.
        position: i64,
        /// Its type.
        event_type: String,
        /// What stood in the way.
        reason: String,
    },
    /// It is put away.
    Archived,
}

/// A secret that counts besides the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Under which id it is sealed.
    pub credential: Id,
    /// Until when it counts.
    pub until: Time,
}

/// A webhook, as far as decisions and sending need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// What is told to whom; absent before it is set up.
    pub settings: Option<Settings>,
    /// With whose eyes it sees.
    pub eyes: Option<Eyes>,
    /// Whether it works.
    pub enabled: bool,
    /// Whether it is put away.
    pub archived: bool,
    /// Under which id its secret is sealed.
    pub credential: Option<Id>,
    /// The secret before, as long as it counts.
    pub former: Option<Former>,
    /// What was last asked of it once: to be tried, or to send something again.
    last: Option<Id>,
    /// What was last given up.
    given_up: Option<i64>,
}

/// There is no such webhook.
pub const UNKNOWN: Rejection = Rejection::missing("webhook_unknown", "There is no such webhook.");
const EXISTS: Rejection = Rejection::conflict("webhook_exists", "A webhook with this id exists already.");
const ARCHIVED: Rejection = Rejection::conflict("webhook_archived", "The webhook is archived.");
/// A webhook that does not work.
pub const DISABLED: Rejection = Rejection::conflict("webhook_disabled", "The webhook is disabled: enable it first.");
/// An address that cannot be called.
pub const URL_UNFIT: Rejection = Rejection::invalid(
    "webhook_url_invalid",
    "A webhook is called at an http or https address without a user's name or password in it, and in no private network unless the \
     operator of the server allows that.",
);
const TYPES_INVALID: Rejection = Rejection::invalid(
    "webhook_types_invalid",
    "A webhook asks for 1 to 100 types of events that there are, such as ticket.opened, for all of a kind, such as ticket.*, or for *.",
);
const FILTER_INVALID: Rejection =
    Rejection::invalid("webhook_filter_invalid", "The filter makes no sense; `errors` says where.");
const DESCRIPTION_INVALID: Rejection =
    Rejection::invalid("webhook_description_invalid", "A description has at most 1000 characters.");
/// A secret that is none.
pub const SECRET_INVALID: Rejection = Rejection::invalid(
    "webhook_secret_invalid",
    "A secret is whsec_ and 24 to 64 bytes in base64; without one, one is made.",
);
const OVERLAP_INVALID: Rejection =
    Rejection::invalid("webhook_overlap_invalid", "A former secret counts for 30 days at most.");
/// A position that nothing can be sent from.
pub const POSITION_INVALID: Rejection =
    Rejection::invalid("webhook_position_invalid", "Events are at positions from 1 to the end of the log.");

/// Whether types that are asked for have this one among them.
pub fn asks_for(types: &[String], event_type: &str) -> bool {
    types.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => event_type.starts_with(prefix),
        None => pattern == event_type,
    })
}

fn is_type(pattern: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(kind) => catalogue::has(kind),
        None => pattern == "*" || catalogue::has_event(pattern),
    }
}

impl Settings {
    /// The types of events that it asks for, as far as they are known.
    pub fn event_types(&self) -> Vec<String> {
        catalogue::event_types().filter(|name| asks_for(&self.types, name) && name != TESTED).collect()
    }

    /// Its conditions for events of one type, with the custom fields of the tenant: fields of the other types have no value
    /// there.
    ///
    /// # Errors
    /// What makes no sense in them.
    pub fn condition(&self, event_type: &str, custom: &CustomTypes) -> Result<Compiled, Vec<FieldError>> {
        let known = |name: &String| Vocabulary::of(name, custom.clone());
        let others: Vec<Vocabulary> = self.representatives().iter().filter_map(known).collect();
        condition(event_type, &self.filter, custom.clone(), &others)
    }

    /// One type for each vocabulary that its conditions may draw on: those that ask about `event.*` draw on each type's own.
    fn representatives(&self) -> Vec<String> {
        let all = self.event_types();
        if event_fields(&self.filter) {
            return all;
        }
        let mut of_kinds = BTreeMap::new();
        for name in all {
            let kind = name.split('.').next().unwrap_or_default().to_owned();
            of_kinds.entry(kind).or_insert(name);
        }
        of_kinds.into_values().collect()
    }

    /// The kinds of record whose custom fields its conditions may ask about.
    pub fn kinds_with_custom_fields(&self) -> Vec<&'static str> {
        if self.filter.is_empty() {
            return Vec::new();
        }
        let mut kinds: Vec<_> =
            self.representatives().iter().flat_map(|name| rule::kinds_with_custom_fields(name)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn check(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let (url, description) = (&self.url, self.description.as_deref().unwrap_or_default());
        let sound = custom::is_url(url) && url.len() <= MAX_URL && !names_somebody(url);
        let unknown = self.types.iter().position(|name| !is_type(name));
        let types = match unknown {
            Some(at) => Err(TYPES_INVALID.at(format!("/types/{at}"))),
            None => must((1..=MAX_TYPES).contains(&self.types.len()), TYPES_INVALID, "/types"),
        };
        all([
            must(sound, URL_UNFIT, "/url"),
            types,
            must(description.chars().count() <= MAX_DESCRIPTION, DESCRIPTION_INVALID, "/description"),
        ])?;
        if self.filter.is_empty() {
            return Ok(());
        }
        let mut types = CustomTypes::new();
        for kind in self.kinds_with_custom_fields() {
            types.extend(rule::custom_types_of(kind, &ctx.fact::<Field>(Field::id_for(ctx.tenant, kind)), false));
        }
        let known = |name: &String| Vocabulary::of(name, types.clone());
        let names = self.representatives();
        let others: Vec<Vocabulary> = names.iter().filter_map(known).collect();
        // Of one type at least it must make sense; of the others nothing is told.
        let mut refused = None;
        for name in &names {
            match condition(name, &self.filter, types.clone(), &others) {
                Ok(_) => return Ok(()),
                Err(errors) => drop(refused.get_or_insert(errors)),
            }
        }
        let errors = refused.unwrap_or_default();
        let below = |error: FieldError| FieldError { pointer: format!("/filter{}", error.pointer), ..error };
        let detail = errors.first().map(|error| error.detail.clone()).unwrap_or_default();
        let errors = errors.into_iter().map(below).collect();
        Err(Rejection { errors, ..FILTER_INVALID.because(detail) })
    }

    fn needs(&self, ctx: &Ctx<'_>) -> Vec<Need> {
        let kinds = self.kinds_with_custom_fields().into_iter();
        kinds.map(|kind| Need::of::<Field>(Field::id_for(ctx.tenant, kind))).collect()
    }
}

/// Whether an address has a user's name or password in it: events are read by many.
fn names_somebody(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

impl Webhook {
    /// Under which ids the secrets are sealed that count now: the one in force first.
    pub fn credentials_at(&self, now: Time) -> Vec<Id> {
        let former = self.former.filter(|former| now < former.until).map(|former| former.credential);
        self.credential.into_iter().chain(former).collect()
    }

    /// Whether it is to be told anything.
    pub fn works(&self) -> bool {
        self.enabled && !self.archived && self.settings.is_some()
    }

    /// What is done once under an id: nothing when it was done before.
    fn once(&self, id: Id, event: Event) -> Decision<Event> {
        if self.last == Some(id) {
            return Ok(vec![]);
        }
        if self.enabled { Ok(vec![event]) } else { Err(DISABLED) }
    }
}

impl Aggregate for Webhook {
    const KIND: &'static str = "webhook";
    const PLURAL: &'static str = "webhooks";
    const CREATE: &'static str = "subscribe";
    const INTERNAL: &'static [&'static str] =
        &["subscribe", "change", "rotate_secret", "enable", "stop", "test", "replay", "redeliver", "give_up"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let Some(settings) = &self.settings else {
            return match command {
                Subscribe(new) => {
                    new.settings.check(ctx)?;
                    Ok(vec![Event::Subscribed(new)])
                }
                _ => Err(UNKNOWN),
            };
        };
        if self.archived {
            return match command {
                Archive | Stop { .. } | GiveUp { .. } => Ok(vec![]),
                _ => Err(ARCHIVED),
            };
        }
        Ok(match command {
            Subscribe(new) if self.credential == Some(new.credential) => vec![],
            Subscribe(_) => return Err(EXISTS),
            Change { settings: to, .. } if to == *settings => vec![],
            Change { settings: to, eyes } => {
                to.check(ctx)?;
                vec![Event::Changed { from: settings.clone(), to, eyes }]
            }
            RotateSecret { credential, .. } if self.credential == Some(credential) => vec![],
            RotateSecret { credential, overlap_s } => {
                must(overlap_s <= MAX_OVERLAP_S, OVERLAP_INVALID, "/overlap_s")?;
                let until = ctx.now.checked_add(jiff::SignedDuration::from_secs(overlap_s.into())).ok();
                vec![Event::SecretRotated { credential, former_until: until.filter(|_| overlap_s > 0) }]
            }
            RetireFormerSecret if self.former.is_some() => vec![Event::FormerSecretRetired],
            RetireFormerSecret => vec![],
            Enable { eyes } if !self.enabled => vec![Event::Enabled { eyes }],
            Disable { reason } if self.enabled => {
                vec![Event::Disabled { cause: Cause::Person, reason }]
            }
            Stop { cause, reason } if self.enabled => vec![Event::Disabled { cause, reason: Some(reason) }],
            Enable { .. } | Disable { .. } | Stop { .. } => vec![],
            Test { test } => return self.once(test, Event::Tested { test }),
            Replay { replay, from } => {
                must(from >= 1, POSITION_INVALID, "/from")?;
                return self.once(replay, Event::Replayed { replay, from });
            }
            Redeliver { redelivery, position } => {
                must(position >= 1, POSITION_INVALID, "/position")?;
                return self.once(redelivery, Event::Redelivered { redelivery, position });
            }
            GiveUp { position, .. } if self.given_up == Some(position) => vec![],
            GiveUp { position, event_type, reason } => vec![Event::GivenUp { position, event_type, reason }],
            Archive => vec![Event::Archived],
        })
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Subscribed(new) => {
                *self = Webhook {
                    settings: Some(new.settings.clone()),
                    eyes: Some(new.eyes),
                    enabled: new.enabled,
                    credential: Some(new.credential),
                    ..Webhook::default()
                };
            }
            Event::Changed { to, eyes, .. } => {
                (self.settings, self.eyes) = (Some(to.clone()), Some(*eyes));
            }
            Event::SecretRotated { credential, former_until } => {
                let before = self.credential.replace(*credential);
                let former = before.zip(*former_until);
                self.former = former.map(|(credential, until)| Former { credential, until });
            }
            Event::FormerSecretRetired => self.former = None,
            Event::Enabled { eyes } => (self.enabled, self.eyes) = (true, Some(*eyes)),
            Event::Disabled { .. } => self.enabled = false,
            Event::Tested { test: id } | Event::Replayed { replay: id, .. } => self.last = Some(*id),
            Event::Redelivered { redelivery, .. } => self.last = Some(*redelivery),
            Event::GivenUp { position, .. } => self.given_up = Some(*position),
            Event::Archived => (self.archived, self.enabled) = (true, false),
        }
    }

    /// It is whose who set it up, whoever has changed it since.
    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Subscribed(new) => vec![Relation::Owner(Some(new.eyes.user))],
            _ => Vec::new(),
        }
    }

    fn is_live(&self) -> bool {
        self.settings.is_some() && !self.archived
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Subscribe(New { settings, .. }) | Command::Change { settings, .. } => settings.needs(ctx),
            _ => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, ARCHIVED, DISABLED, URL_UNFIT, TYPES_INVALID, FILTER_INVALID];
        refusals.extend([DESCRIPTION_INVALID, SECRET_INVALID, OVERLAP_INVALID, POSITION_INVALID]);
        refusals
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let eyes = Eyes { user: id(0xA), key: Some(id(0xB)) };
        let filter = serde_json::json!({ "field": "ticket.priority", "op": "gte", "value": 2 });
        let settings = Settings {
            url: "https://shop.example/hooks/deskfold".into(),
            types: vec!["ticket.opened".into(), "ticket.closed".into()],
            filter: filter.as_object().cloned().unwrap_or_default(),
            description: Some("Pager of the night shift".into()),
        };
        let all = Settings { types: vec!["ticket.*".into()], filter: Map::new(), ..settings.clone() };
        vec![
            Command::Subscribe(New { settings, enabled: true, credential: id(0xC), eyes }),
            Command::Change { settings: all, eyes: Eyes { key: None, ..eyes } },
            Command::RotateSecret { credential: id(0xD), overlap_s: OVERLAP_S },
            Command::RetireFormerSecret,
            Command::Test { test: id(0xE) },
            Command::Replay { replay: id(0xF), from: 42 },
            Command::Redeliver { redelivery: id(0x10), position: 43 },
            Command::GiveUp { position: 44, event_type: "ticket.closed".into(), reason: "it answered 500".into() },
            Command::Stop { cause: Cause::Gone, reason: "it answered 410 Gone".into() },
            Command::Enable { eyes },
            Command::Disable { reason: Some("Being moved".into()) },
            Command::Archive,
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::given::{ANNA, BORIS, at, given};

    fn new() -> New {
        let Some(Command::Subscribe(new)) = Webhook::examples().into_iter().next() else { unreachable!() };
        new
    }

    fn with(change: impl FnOnce(&mut Settings)) -> New {
        let mut new = new();
        change(&mut new.settings);
        new
    }

    #[test]
    fn it_is_set_up_changed_and_put_away() {
        let Some(Command::Change { settings, eyes }) = Webhook::examples().into_iter().nth(1) else { unreachable!() };
        let changed = Event::Changed { from: new().settings, to: settings.clone(), eyes };
        given::<Webhook>([]).when(Command::Subscribe(new())).then([Event::Subscribed(new())]);
        given::<Webhook>([Event::Subscribed(new())]).when(Command::Subscribe(new())).nothing();
        let other = New { credential: ANNA, ..new() };
        given::<Webhook>([Event::Subscribed(new())]).when(Command::Subscribe(other)).rejected(EXISTS);
        given::<Webhook>([Event::Subscribed(new())])
            .when(Command::Change { settings: settings.clone(), eyes })
            .then([changed.clone()]);
        given::<Webhook>([Event::Subscribed(new()), changed]).when(Command::Change { settings, eyes }).nothing();
        given::<Webhook>([Event::Subscribed(new()), Event::Archived]).when(Command::Archive).nothing();
        given::<Webhook>([Event::Subscribed(new()), Event::Archived]).when(Command::Enable { eyes }).rejected(ARCHIVED);
        given::<Webhook>([]).when(Command::RetireFormerSecret).rejected(UNKNOWN);
    }

    #[test]
    fn what_cannot_be_told_is_refused_at_its_place() {
        let refused = |change: fn(&mut Settings), refusal: Rejection, pointer: &str| {
            let refusal = refusal.at(pointer);
            given::<Webhook>([]).when(Command::Subscribe(with(change))).rejected(refusal);
        };
        refused(|settings| settings.url = "ftp://example.com".into(), URL_UNFIT, "/url");
        refused(|settings| settings.url = "https://me:secret@example.com/".into(), URL_UNFIT, "/url");
        refused(|settings| settings.types = vec![], TYPES_INVALID, "/types");
        refused(|settings| settings.types = vec!["*".into(), "unicorn.*".into()], TYPES_INVALID, "/types/1");
        refused(|settings| settings.types = vec!["ticket.eaten".into()], TYPES_INVALID, "/types/0");
        refused(|settings| settings.types = vec!["tick*".into()], TYPES_INVALID, "/types/0");
        refused(|settings| settings.description = Some("x".repeat(1001)), DESCRIPTION_INVALID, "/description");
    }

    #[test]
    fn conditions_ask_about_what_any_of_its_types_has() {
        let filtered = |types: &[&str], filter: Value| {
            with(|settings| {
                settings.types = types.iter().map(|name| (*name).to_owned()).collect();
                settings.filter = filter.as_object().cloned().unwrap();
            })
        };
        let takes = |types: &[&str], filter: Value| {
            let new = filtered(types, filter);
            given::<Webhook>([]).when(Command::Subscribe(new.clone())).then([Event::Subscribed(new)]);
        };
        takes(&["ticket.*", "order.placed"], json!({ "field": "order.total.amount", "op": "gt", "value": "10" }));
        takes(&["ticket.*"], json!({ "field": "event.to", "op": "eq", "value": "open" }));
        takes(&["*"], json!({ "field": "ticket.priority", "op": "gte", "value": 2 }));
        let errors = |types: &[&str], filter: Value| {
            let errors = filtered(types, filter).settings.condition(types[0], &CustomTypes::new()).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        let unknown = json!({ "all": [{ "field": "unicorn", "op": "eq", "value": 1 }] });
        assert_eq!(errors(&["ticket.opened"], unknown), ["/all/0/field"]);
    }

    #[test]
    fn types_are_asked_for_by_name_by_kind_or_all() {
        let asks = |patterns: &[&str], name: &str| {
            asks_for(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>(), name)
        };
        assert!(asks(&["ticket.opened"], "ticket.opened") && !asks(&["ticket.opened"], "ticket.opened.v2"));
        assert!(asks(&["ticket.*"], "ticket.closed") && !asks(&["ticket.*"], "ticketing.closed"));
        assert!(asks(&["contact.created", "*"], "order.placed") && !asks(&[], "order.placed"));
    }

    #[test]
    fn two_secrets_count_for_a_while() {
        let first = new().credential;
        let rotated = |credential, former_until| Event::SecretRotated { credential, former_until };
        let mut webhook = Webhook::default();
        for event in [Event::Subscribed(new()), rotated(ANNA, Some(at(100)))] {
            webhook.evolve(&event);
        }
        assert_eq!(webhook.credentials_at(at(99)), [ANNA, first]);
        assert_eq!(webhook.credentials_at(at(100)), [ANNA]);
        webhook.evolve(&rotated(BORIS, Some(at(200))));
        assert_eq!(webhook.credentials_at(at(150)), [BORIS, ANNA], "never more than two");
        webhook.evolve(&Event::FormerSecretRetired);
        assert_eq!(webhook.credentials_at(at(150)), [BORIS]);
        let events = [Event::Subscribed(new()), rotated(ANNA, None)];
        given::<Webhook>(events.clone()).when(Command::RetireFormerSecret).nothing();
        let long = Command::RotateSecret { credential: BORIS, overlap_s: MAX_OVERLAP_S + 1 };
        given::<Webhook>(events).when(long).rejected(OVERLAP_INVALID.at("/overlap_s"));
    }

    #[test]
    fn what_cannot_go_on_stops_and_is_asked_for_nothing_then() {
        let stop = || Command::Stop { cause: Cause::Unreachable, reason: "it answered 500".into() };
        let stopped = || Event::Disabled { cause: Cause::Unreachable, reason: Some("it answered 500".into()) };
        given::<Webhook>([Event::Subscribed(new())]).when(stop()).then([stopped()]);
        given::<Webhook>([Event::Subscribed(new()), stopped()]).when(stop()).nothing();
        given::<Webhook>([Event::Subscribed(new()), stopped()]).when(Command::Test { test: ANNA }).rejected(DISABLED);
        let eyes = Eyes { user: BORIS, key: None };
        given::<Webhook>([Event::Subscribed(new()), stopped()])
            .when(Command::Enable { eyes })
            .then([Event::Enabled { eyes }]);
        given::<Webhook>([Event::Subscribed(new())])
            .when(Command::Replay { replay: ANNA, from: 0 })
            .rejected(POSITION_INVALID.at("/from"));
    }
}
