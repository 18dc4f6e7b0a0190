//! Something that went wrong without anybody at the screen: it asks for attention until somebody clears it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Personal, Rejection, all,
    kernel::{access::Relation, reference::Subject, valid},
};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NoticeAbout")]
pub enum About {
    /// What another system handed in could not be taken.
    DeliveryRefused,
    /// Nothing could be made of a mail.
    EmailRefused,
    /// A message that was to leave never will.
    MessageFailed,
    /// Nobody knows whether a message has left.
    MessageUncertain,
    /// A webhook works no more.
    WebhookDisabled,
    /// A webhook did not take an event for three days.
    WebhookEventGivenUp,
}

impl About {
    /// All of them.
    pub const ALL: [About; 6] = [
        About::DeliveryRefused,
        About::EmailRefused,
        About::MessageFailed,
        About::MessageUncertain,
        About::WebhookDisabled,
        About::WebhookEventGivenUp,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            About::DeliveryRefused => "delivery_refused",
            About::EmailRefused => "email_refused",
            About::MessageFailed => "message_failed",
            About::MessageUncertain => "message_uncertain",
            About::WebhookDisabled => "webhook_disabled",
            About::WebhookEventGivenUp => "webhook_event_given_up",
        }
    }
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raised {
    /// What went wrong.
    pub about: About,
    /// The record that it went wrong with: whoever sees that sees the notice.
    #[schemars(extend("x-held-reference" = "any"))]
    pub subject: Subject,
    /// The stable code of what stood in the way.
    #[schemars(extend("format" = "word"))]
    pub code: String,
    /// The same for a person.
    pub reason: Personal<String>,
    /// The field that it lies in, as a JSON pointer, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub pointer: Option<String>,
}

/// What may be asked of a notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Asks for attention.
    Raise(Raised),
    /// Says that it has been seen to, or needs no more attention.
    Clear,
}

/// What has happened to a notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It asks for attention.
    Raised(Raised),
    /// It does so no more.
    Cleared,
}

/// A notice, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemNotice {
    raised: Option<Raised>,
    cleared: bool,
}

const UNKNOWN: Rejection = Rejection::missing("system_notice_unknown", "There is no such notice.");

impl SystemNotice {
    /// The id of the notice that something went wrong with a record: one for each, however often it does.
    pub fn id_for(tenant: Id, about: About, subject: &Subject) -> Id {
        Id::named(&[&tenant.to_string(), "system_notice", about.name(), &subject.kind, &subject.id.to_string()])
    }
}

impl Aggregate for SystemNotice {
    const KIND: &'static str = "system_notice";
    const PLURAL: &'static str = "notices";
    const CREATE: &'static str = "raise";
    const INTERNAL: &'static [&'static str] = &["raise"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, _: &Ctx<'_>) -> Decision<Event> {
        match (command, &self.raised) {
            (Command::Raise(new), _) => {
                all([valid::name(&new.code, "/code")])?;
                if !self.cleared && self.raised.as_ref() == Some(&new) {
                    return Ok(vec![]);
                }
                Ok(vec![Event::Raised(new)])
            }
            (Command::Clear, None) => Err(UNKNOWN),
            (Command::Clear, Some(_)) if self.cleared => Ok(vec![]),
            (Command::Clear, Some(_)) => Ok(vec![Event::Cleared]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Raised(raised) => *self = SystemNotice { raised: Some(raised.clone()), cleared: false },
            Event::Cleared => self.cleared = true,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Raised(raised) => vec![Relation::About("subject", vec![raised.subject.clone()])],
            Event::Cleared => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, valid::NAME_INVALID]
    }

    fn examples() -> Vec<Command> {
        let id = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000D);
        vec![
            Command::Raise(Raised {
                about: About::DeliveryRefused,
                subject: Subject::new("delivery", id),
                code: "value_invalid".into(),
                reason: "price: 12,x is no number.".into(),
                pointer: Some("/items/0/price".into()),
            }),
            Command::Clear,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::given::given;

    fn raised() -> Raised {
        let Some(Command::Raise(raised)) = SystemNotice::examples().into_iter().next() else { unreachable!() };
        raised
    }

    #[test]
    fn it_asks_for_attention_until_it_is_cleared() {
        let raise = || Command::Raise(raised());
        given::<SystemNotice>([]).when(raise()).then([Event::Raised(raised())]);
        given::<SystemNotice>([Event::Raised(raised())]).when(raise()).nothing();
        given::<SystemNotice>([Event::Raised(raised())]).when(Command::Clear).then([Event::Cleared]);
        given::<SystemNotice>([Event::Raised(raised()), Event::Cleared]).when(Command::Clear).nothing();
        given::<SystemNotice>([]).when(Command::Clear).rejected(UNKNOWN);
    }

    #[test]
    fn what_goes_wrong_again_asks_again() {
        given::<SystemNotice>([Event::Raised(raised()), Event::Cleared])
            .when(Command::Raise(raised()))
            .then([Event::Raised(raised())]);
        let other = Raised { code: "required".into(), ..raised() };
        given::<SystemNotice>([Event::Raised(raised())])
            .when(Command::Raise(other.clone()))
            .then([Event::Raised(other)]);
    }

    #[test]
    fn there_is_one_for_each_thing_that_goes_wrong_with_a_record() {
        let tenant = Id::from_bits(1);
        let of = |about, id| SystemNotice::id_for(tenant, about, &Subject::new("delivery", Id::from_bits(id)));
        assert_eq!(of(About::DeliveryRefused, 2), of(About::DeliveryRefused, 2));
        assert_ne!(of(About::DeliveryRefused, 2), of(About::DeliveryRefused, 3));
        assert_ne!(of(About::MessageFailed, 2), of(About::MessageUncertain, 2));
    }
}
