//! A chatbot: what it asks visitors before people take over, as whole versions that never change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Country, Ctx, Decision, Rejection, Time,
    chat::script::{self, Script},
    kernel::{
        record::{self, Record, Row},
        valid,
    },
    org::authority::DENIED,
};

/// A chatbot.
pub type Chatbot = Record<Spec>;

/// What makes a record a chatbot.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a chatbot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What may be asked of a chatbot, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Publishes a version of its script: chats that begin from now on follow it, those under way finish on theirs.
    Publish(Script),
}

/// What has happened to a chatbot, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A version was published.
    VersionPublished {
        /// 1, 2, 3, ...
        version: u32,
        /// What it says and asks.
        script: Script,
    },
}

/// A version that was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// 1, 2, 3, ...
    pub version: u32,
    /// When it was published.
    pub published_at: Time,
    /// What it says and asks.
    pub script: Script,
}

/// What its list shows of a chatbot besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// The number of the latest version; 0 before there is one.
    pub script_version: u32,
    /// When that was published.
    pub published_at: Option<Time>,
    /// Every version there ever was, the first one first: chats finish on the one that they began with.
    pub versions: Vec<Version>,
}

/// The published versions by their number.
pub type Versions = BTreeMap<u32, Script>;

/// There is no version that could talk to anybody.
pub const UNPUBLISHED: Rejection =
    Rejection::conflict("chatbot_unpublished", "The chatbot has no version that could talk to anybody.");

/// The version that a chat follows: the one asked for, or the latest.
///
/// # Errors
/// When the chatbot is not there, put away, or has no such version.
pub fn version_of(chatbot: &Chatbot, asked: Option<u32>) -> Result<(u32, &Script), Rejection> {
    if chatbot.fields.is_none() {
        return Err(Chatbot::unknown());
    }
    let found = match asked {
        Some(version) => chatbot.state.get_key_value(&version),
        None if chatbot.archived => None,
        None => chatbot.state.last_key_value(),
    };
    found.map(|(version, script)| (*version, script)).ok_or(UNPUBLISHED)
}

impl record::Spec for Spec {
    const KIND: &'static str = "chatbot";
    const PLURAL: &'static str = "chatbots";
    const ABOUT: &'static str = "What asks visitors in a chat before people take over.";
    const OPEN: Option<&'static str> = Some("chatbots talk to everybody");
    const COPIES: bool = false;
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = Versions;

    fn shows(row: &mut Row<Spec>, event: &Event, at: Time) {
        let Event::VersionPublished { version, script } = event.clone();
        row.shown.script_version = version;
        row.shown.published_at = Some(at);
        row.shown.versions.push(Version { version, published_at: at, script });
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        valid::name(&fields.name, "/name")
    }

    fn decide(chatbot: &Chatbot, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let Command::Publish(script) = command;
        if chatbot.state.values().next_back() == Some(&script) {
            return Ok(vec![]);
        }
        script::check(&script)?;
        // What a bot does in a chat it does with these rights.
        if script.opens_tickets() {
            ctx.must("ticket.open")?;
            ctx.must("contact.create")?;
        }
        let version = chatbot.state.keys().next_back().map_or(1, |last| last + 1);
        Ok(vec![Event::VersionPublished { version, script }])
    }

    fn evolve(chatbot: &mut Chatbot, event: &Event) {
        let Event::VersionPublished { version, script } = event;
        chatbot.state.insert(*version, script.clone());
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = valid::refusals();
        refusals.extend(script::refusals());
        refusals.extend([UNPUBLISHED, DENIED]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let fields = Fields { name: "Reception".into(), description: Some("Asks what it is about.".into()) };
        (fields, vec![Command::Publish(script::example())])
    }
}

/// The country in which a number without a country's code is dialled, for a tenant.
pub fn country_of(ctx: &Ctx<'_>) -> Option<Country> {
    ctx.fact::<crate::org::tenant::Tenant>(ctx.tenant).default_country()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        given::{Given, created, given},
        named::Either,
        record::{Common, Happened},
    };

    fn bot(events: impl IntoIterator<Item = Event>) -> Given<Chatbot> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    fn publish(script: Script) -> record::Command<Spec> {
        Either::Own(Command::Publish(script))
    }

    fn published(version: u32, script: Script) -> Event {
        Event::VersionPublished { version, script }
    }

    #[test]
    fn versions_are_counted_and_stay() {
        let first = script::example();
        let mut second = first.clone();
        second.steps[0].text = "Welcome back".into();
        bot([]).when(publish(first.clone())).then([Either::Own(published(1, first.clone()))]);
        bot([published(1, first.clone())]).when(publish(first.clone())).nothing();
        let both = [published(1, first.clone()), published(2, second.clone())];
        bot([published(1, first.clone())]).when(publish(second.clone())).then([Either::Own(both[1].clone())]);
        let known = bot(both).state;
        assert_eq!(version_of(&known, Some(1)), Ok((1, &first)));
        assert_eq!(version_of(&known, None), Ok((2, &second)));
        assert_eq!(version_of(&known, Some(3)), Err(UNPUBLISHED));
        assert_eq!(version_of(&bot([]).state, None), Err(UNPUBLISHED));
        assert_eq!(version_of(&Chatbot::default(), None), Err(Chatbot::unknown()));
    }

    #[test]
    fn one_that_is_put_away_begins_no_chat_and_finishes_those_under_way() {
        let gone = given::<Chatbot>(created::<Spec>().into_iter().chain([
            Either::Own(published(1, script::example())),
            Either::Common(Happened::Archived { reason: None }),
        ]));
        assert_eq!(version_of(&gone.state, None), Err(UNPUBLISHED));
        assert_eq!(version_of(&gone.state, Some(1)).map(|(version, _)| version), Ok(1));
        gone.when(publish(script::example())).rejected(Chatbot::put_away());
        bot([])
            .when(Either::Common(Common::Archive { reason: None }))
            .then([Either::Common(Happened::Archived { reason: None })]);
    }

    #[test]
    fn whoever_has_it_open_tickets_may_open_them_himself() {
        bot([]).may(&["chatbot.*"]).when(publish(script::example())).rejected(DENIED);
        let mut plain = script::example();
        plain.steps.retain(|step| step.does != script::Does::CreateTicket);
        let published = Either::Own(published(1, plain.clone()));
        bot([]).may(&["chatbot.*"]).when(publish(plain)).then([published]);
    }
}
