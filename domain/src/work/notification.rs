//! What a colleague is told of what happened to a record that concerns him: once, by the media that he chose, until he has read it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Need, Party, Rejection, Time,
    kernel::{access::Relation, reference::Subject},
    org::{
        notifying::{Kind, Medium},
        tenant::Tenant,
        user::User,
    },
};

/// What somebody may be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Who is told.
    #[schemars(extend("x-held-reference" = "user"))]
    pub to: Id,
    /// Of what.
    pub kind: Kind,
    /// The record that it is about.
    #[schemars(extend("x-held-reference" = "any"))]
    pub record: Subject,
    /// Who did it; absent where nobody in particular did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "any"))]
    pub by: Option<Party>,
    /// Whether it is one of very many, that call nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quietly: bool,
    /// By this medium alone and now, whatever he chose: he tries whether it reaches him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Medium>,
}

/// What somebody was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Who was.
    pub to: Id,
    /// Of what.
    pub kind: Kind,
    /// By what media.
    pub medium: BTreeSet<Medium>,
    /// The record that it is about.
    pub record: Subject,
    /// Who did it; absent where nobody in particular did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Party>,
    /// When what calls somebody leaves, where that is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Time>,
    /// When the mail of the day leaves that tells of it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<Time>,
}

/// What may be asked of a notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Tells somebody something, by the media that he chose; nothing, where he wants to hear nothing of it.
    Send(New),
    /// Says that it has been read.
    MarkRead,
    /// Says that it has left by a medium.
    MarkDelivered {
        /// By which.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default)]
        device: Option<Id>,
    },
    /// Says that it never will.
    MarkFailed {
        /// By which medium.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default)]
        device: Option<Id>,
        /// Why not.
        reason: String,
    },
    /// Says that nobody knows whether it has.
    MarkUncertain {
        /// By which medium.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default)]
        device: Option<Id>,
        /// What happened.
        reason: String,
    },
}

/// What has happened to a notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody was told something.
    Sent(Sent),
    /// It has been read.
    Read,
    /// It has left by a medium.
    Delivered {
        /// By which.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Id>,
    },
    /// It never will.
    Failed {
        /// By which medium.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Id>,
        /// Why not.
        reason: String,
    },
    /// Nobody knows whether it has.
    Uncertain {
        /// By which medium.
        medium: Medium,
        /// For which of the person's browsers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Id>,
        /// What happened.
        reason: String,
    },
}

/// A notification, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// What was told.
    pub sent: Option<Sent>,
    /// Whether it has been read.
    pub read: bool,
    /// By what it has left or never will.
    ended: Vec<Ended>,
}

/// What became of a notification by a medium.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// By which.
    pub medium: Medium,
    /// For which browser.
    pub device: Option<Id>,
    /// Why it has not left, or what is not known of it; absent once it has.
    pub reason: Option<String>,
}

const UNKNOWN: Rejection = Rejection::missing("notification_unknown", "There is no such notification.");

impl Notification {
    /// The id of what somebody is told of an event: one for each, however often the event is looked at.
    pub fn id_for(tenant: Id, event: &str, to: Id) -> Id {
        Id::named(&[&tenant.to_string(), "notification", event, &to.to_string()])
    }

    /// Whether it is still to leave by a medium: what has been read calls nobody any more.
    pub fn waits(&self, medium: Medium, device: Option<Id>) -> bool {
        self.is_open(medium, device) && !self.read
    }

    /// What became of it, by each medium and for each browser.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    fn is_open(&self, medium: Medium, device: Option<Id>) -> bool {
        let sent = self.sent.as_ref().is_some_and(|sent| sent.medium.contains(&medium));
        sent && !self.ended.iter().any(|ended| ended.medium == medium && ended.device == device)
    }

    fn end(&self, medium: Medium, device: Option<Id>, event: Event) -> Decision<Event> {
        if self.sent.is_none() {
            return Err(UNKNOWN);
        }
        Ok(if self.is_open(medium, device) { vec![event] } else { vec![] })
    }
}

fn send(new: New, ctx: &Ctx<'_>) -> Vec<Event> {
    let user = ctx.fact::<User>(new.to);
    if !user.is_active() {
        return vec![];
    }
    let wanted = &user.notifications;
    let reaches = |medium: &Medium| match medium {
        Medium::Push => !user.browsers.is_empty() && !new.quietly,
        Medium::Chat => user.chat_webhook.is_some() && !new.quietly,
        Medium::Email => !new.quietly,
        Medium::InApp | Medium::Digest => true,
    };
    let chosen = new.only.map_or_else(|| wanted.media(new.kind), |only| [only].into());
    let medium: BTreeSet<Medium> = chosen.into_iter().filter(reaches).collect();
    if medium.is_empty() {
        return vec![];
    }
    let zone = user.profile.time_zone.clone().unwrap_or_else(|| ctx.fact::<Tenant>(ctx.tenant).time_zone());
    let calls = new.only.is_none() && medium.iter().any(|medium| medium.calls() && *medium != Medium::Digest);
    let held_until = Some(wanted.from(Medium::Push, ctx.now, &zone)).filter(|until| calls && *until > ctx.now);
    let digest_at = medium.contains(&Medium::Digest).then(|| wanted.from(Medium::Digest, ctx.now, &zone));
    let New { to, kind, record, by, .. } = new;
    vec![Event::Sent(Sent { to, kind, medium, record, by, held_until, digest_at })]
}

impl Aggregate for Notification {
    const KIND: &'static str = "notification";
    const PLURAL: &'static str = "notifications";
    const CREATE: &'static str = "send";
    const INTERNAL: &'static [&'static str] = &["send", "mark_read", "mark_delivered", "mark_failed", "mark_uncertain"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match command {
            Command::Send(_) if self.sent.is_some() => Ok(vec![]),
            Command::Send(new) => Ok(send(new, ctx)),
            Command::MarkRead => match &self.sent {
                Some(sent) if sent.to == ctx.actor.principal() => {
                    Ok(if self.read { vec![] } else { vec![Event::Read] })
                }
                _ => Err(UNKNOWN),
            },
            Command::MarkDelivered { medium, device } => self.end(medium, device, Event::Delivered { medium, device }),
            Command::MarkFailed { medium, device, reason } => {
                self.end(medium, device, Event::Failed { medium, device, reason })
            }
            Command::MarkUncertain { medium, device, reason } => {
                self.end(medium, device, Event::Uncertain { medium, device, reason })
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Sent(sent) => self.sent = Some(sent.clone()),
            Event::Read => self.read = true,
            Event::Delivered { medium, device } => {
                self.ended.push(Ended { medium: *medium, device: *device, reason: None });
            }
            Event::Failed { medium, device, reason } | Event::Uncertain { medium, device, reason } => {
                self.ended.push(Ended { medium: *medium, device: *device, reason: Some(reason.clone()) });
            }
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            // Nobody is told who is shut out at the same moment, or has just said that he does not want to be.
            Command::Send(new) if self.sent.is_none() => {
                vec![Need::guarded::<User>(new.to), Need::of::<Tenant>(ctx.tenant)]
            }
            _ => Vec::new(),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Sent(sent) => vec![Relation::Owner(Some(sent.to))],
            _ => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN]
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let (medium, device) = (Medium::Push, Some(id(0xE)));
        let reason = || "it answered 410 Gone".to_owned();
        vec![
            Command::Send(New {
                to: Id::from_bits(0xA),
                kind: Kind::Mentioned,
                record: Subject::new("ticket", id(0xC)),
                by: Some(Party::user(id(0xB))),
                quietly: false,
                only: None,
            }),
            Command::MarkRead,
            Command::MarkDelivered { medium: Medium::Email, device: None },
            Command::MarkFailed { medium, device, reason: reason() },
            Command::MarkUncertain { medium: Medium::Chat, device: None, reason: "no answer within 10 seconds".into() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::given::{ANNA, BORIS, Given, given},
        org::{
            notifying::{Preferences, QuietHours},
            user::{Event as OfUser, Profile},
        },
    };

    const BROWSER: Id = Id::from_bits(0xB0);

    fn new() -> New {
        let record = Subject::new("ticket", Id::from_bits(0xC));
        New { to: ANNA, kind: Kind::Mentioned, record, by: Some(Party::user(BORIS)), quietly: false, only: None }
    }

    fn sent(medium: &[Medium]) -> Sent {
        let New { to, kind, record, by, .. } = new();
        Sent { to, kind, medium: medium.iter().copied().collect(), record, by, held_until: None, digest_at: None }
    }

    fn preferring(preferences: Preferences) -> Vec<OfUser> {
        let (from, to) = (Preferences::default(), preferences);
        vec![
            OfUser::Invited(Profile { email: "anna@example.com".into(), name: "Anna".into(), ..Profile::default() }),
            OfUser::Activated,
            OfUser::NotificationPreferencesChanged { from, to },
            OfUser::BrowserSubscribed { browser: BROWSER },
        ]
    }

    fn given_preferences(preferences: Preferences) -> Given<Notification> {
        given::<Notification>([]).with::<User>(ANNA, preferring(preferences))
    }

    #[test]
    fn somebody_is_told_once_by_the_media_that_he_chose() {
        let usual = Event::Sent(sent(&[Medium::InApp, Medium::Push]));
        given_preferences(Preferences::default()).when(Command::Send(new())).then([usual.clone()]);
        given::<Notification>([usual]).when(Command::Send(new())).nothing();
        let media = [(Kind::Mentioned, [Medium::Email].into())].into();
        let mail = Preferences { media, ..Preferences::default() };
        given_preferences(mail).when(Command::Send(new())).then([Event::Sent(sent(&[Medium::Email]))]);
        let media = [(Kind::Mentioned, BTreeSet::new())].into();
        let nothing = Preferences { media, ..Preferences::default() };
        given_preferences(nothing).when(Command::Send(new())).nothing();
        let quietly = New { quietly: true, ..new() };
        let listed = Event::Sent(sent(&[Medium::InApp]));
        given_preferences(Preferences::default()).when(Command::Send(quietly)).then([listed]);
        let tried = New { only: Some(Medium::Email), ..new() };
        let mailed = Event::Sent(sent(&[Medium::Email]));
        given_preferences(Preferences::default()).when(Command::Send(tried)).then([mailed]);
    }

    #[test]
    fn whoever_is_shut_out_is_told_nothing() {
        let mut shut_out = preferring(Preferences::default());
        shut_out.push(OfUser::Deactivated { reason: None });
        given::<Notification>([]).with::<User>(ANNA, shut_out).when(Command::Send(new())).nothing();
        given::<Notification>([]).when(Command::Send(new())).nothing();
    }

    #[test]
    fn what_calls_somebody_waits_while_he_is_left_alone() {
        let quiet_hours = Some(QuietHours { from: "00:00".into(), until: "23:59".into() });
        let events = given_preferences(Preferences { quiet_hours, ..Preferences::default() })
            .when(Command::Send(new()))
            .events();
        let [Event::Sent(sent)] = &events[..] else { panic!("{events:?}") };
        assert!(sent.held_until.is_some() && sent.medium.contains(&Medium::InApp));
    }

    #[test]
    fn it_is_read_by_whoever_was_told_and_calls_nobody_then() {
        let told = || Event::Sent(sent(&[Medium::InApp, Medium::Push]));
        given::<Notification>([told()]).when(Command::MarkRead).then([Event::Read]);
        given::<Notification>([told(), Event::Read]).when(Command::MarkRead).nothing();
        given::<Notification>([told()]).by(BORIS).when(Command::MarkRead).rejected(UNKNOWN);
        let mut known = Notification::default();
        known.evolve(&told());
        assert!(known.waits(Medium::Push, Some(BROWSER)) && !known.waits(Medium::Chat, None));
        known.evolve(&Event::Read);
        assert!(!known.waits(Medium::Push, Some(BROWSER)));
    }

    #[test]
    fn it_leaves_once_by_each_medium() {
        let delivered = || Event::Delivered { medium: Medium::Push, device: Some(BROWSER) };
        let deliver = || Command::MarkDelivered { medium: Medium::Push, device: Some(BROWSER) };
        let told = || Event::Sent(sent(&[Medium::InApp, Medium::Push]));
        given::<Notification>([told()]).when(deliver()).then([delivered()]);
        given::<Notification>([told(), delivered()]).when(deliver()).nothing();
        let (medium, device) = (Medium::Push, Some(BROWSER));
        let reason = || "it answered 410 Gone".to_owned();
        let fail = || Command::MarkFailed { medium, device, reason: reason() };
        given::<Notification>([told(), delivered()]).when(fail()).nothing();
        let failed = Event::Failed { medium, device, reason: reason() };
        given::<Notification>([told()]).when(fail()).then([failed]);
        let unsure = Command::MarkUncertain { medium, device, reason: reason() };
        let uncertain = Event::Uncertain { medium, device, reason: reason() };
        given::<Notification>([told()]).when(unsure).then([uncertain]);
        given::<Notification>([]).when(deliver()).rejected(UNKNOWN);
    }
}
