//! What a colleague wants to be told of, by what media, and when he wants to be left alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{
    ToSpan,
    civil::{DateTime, Time as OfDay},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Faults, Rejection, Time};

/// Of what somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NotificationKind")]
pub enum Kind {
    /// Something was assigned to him, or given him to own.
    Assigned,
    /// A rule made a task for him.
    RuleTask,
    /// He was named in a note or a comment.
    Mentioned,
    /// Somebody wrote in what is his, or what he follows.
    Replied,
    /// A task of his is due soon.
    DueSoon,
    /// The time of a task of his came, and it is not done.
    Overdue,
    /// Nothing: he tries whether he is reached.
    Test,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::Assigned, Kind::RuleTask, Kind::Mentioned, Kind::Replied, Kind::DueSoon, Kind::Overdue, Kind::Test];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Assigned => "assigned",
            Kind::RuleTask => "rule_task",
            Kind::Mentioned => "mentioned",
            Kind::Replied => "replied",
            Kind::DueSoon => "due_soon",
            Kind::Overdue => "overdue",
            Kind::Test => "test",
        }
    }
}

/// By what somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// The list in Deskfold, with its sign on every page.
    InApp,
    /// A mail of its own.
    Email,
    /// One mail a day.
    Digest,
    /// His browsers, where they were asked to.
    Push,
    /// A chat's incoming webhook, where he has named one.
    Chat,
}

impl Medium {
    /// All of them.
    pub const ALL: [Medium; 5] = [Medium::InApp, Medium::Email, Medium::Digest, Medium::Push, Medium::Chat];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Medium::InApp => "in_app",
            Medium::Email => "email",
            Medium::Digest => "digest",
            Medium::Push => "push",
            Medium::Chat => "chat",
        }
    }

    /// Whether it calls somebody who is not looking: then it waits until he is not left alone any more.
    pub const fn calls(self) -> bool {
        !matches!(self, Medium::InApp)
    }
}

/// By what media whoever has said nothing is told. Mail is asked for.
const USUAL: [Medium; 3] = [Medium::InApp, Medium::Push, Medium::Chat];
/// When the mail of a day leaves unless another time is said.
const DIGEST_AT: &str = "08:00";

/// From when to when somebody is left alone, each day, in his own time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// From when, such as `22:00`.
    pub from: String,
    /// Until when; earlier than `from` is the next day.
    pub until: String,
}

/// What somebody wants to be told of, by what media, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NotificationPreferences")]
pub struct Preferences {
    /// By what media, for each kind of notification. What is not named is told as usual: in the list, and by push and chat where these
    /// are set up. An empty list says nothing of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<Kind, BTreeSet<Medium>>,
    /// When mail, push and chat wait; never, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// When the one mail a day leaves, such as `08:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<String>,
}

/// A time of day that is none.
pub const TIME_INVALID: Rejection =
    Rejection::invalid("notification_time_invalid", "A time of day is written as 08:00, from 00:00 to 23:59.");
/// Hours that are none.
pub const QUIET_INVALID: Rejection =
    Rejection::invalid("notification_quiet_hours_invalid", "Quiet hours begin and end at different times.");
/// Mail twice.
pub const MEDIA_INVALID: Rejection = Rejection::invalid(
    "notification_media_invalid",
    "Of one kind of notification one is told by mails of their own or by one a day, not by both.",
);

fn of_day(text: &str) -> Option<OfDay> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    OfDay::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

impl Preferences {
    /// Refuses what cannot be heeded.
    ///
    /// # Errors
    /// With all that is wrong.
    pub fn check(&self) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        let mut time = |text: &str, place: &str| {
            if of_day(text).is_none() {
                faults.add(TIME_INVALID.at(place));
            }
        };
        if let Some(quiet) = &self.quiet_hours {
            time(&quiet.from, "/quiet_hours/from");
            time(&quiet.until, "/quiet_hours/until");
        }
        if let Some(at) = &self.digest_at {
            time(at, "/digest_at");
        }
        if self.quiet_hours.as_ref().is_some_and(|quiet| quiet.from == quiet.until) {
            faults.add(QUIET_INVALID.at("/quiet_hours/until"));
        }
        for (kind, media) in &self.media {
            if media.contains(&Medium::Email) && media.contains(&Medium::Digest) {
                faults.add(MEDIA_INVALID.at(format!("/media/{}", kind.name())));
            }
        }
        faults.done()
    }

    /// By what media one is told of something of this kind.
    pub fn media(&self, kind: Kind) -> BTreeSet<Medium> {
        self.media.get(&kind).cloned().unwrap_or_else(|| USUAL.into())
    }

    /// When the mail of a day leaves.
    pub fn digest_at(&self) -> &str {
        self.digest_at.as_deref().unwrap_or(DIGEST_AT)
    }

    /// When something may leave by a medium, at the earliest: not within the hours in which one is left alone.
    pub fn from(&self, medium: Medium, now: Time, zone: &str) -> Time {
        if !medium.calls() {
            return now;
        }
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let local = zone.to_datetime(now);
        let local = if medium == Medium::Digest { self.digest_after(local) } else { local };
        let waits = self.after_quiet(local).unwrap_or(local);
        // What is said now leaves now, however the clocks are put.
        if waits == zone.to_datetime(now) {
            return now;
        }
        zone.to_ambiguous_timestamp(waits).compatible().unwrap_or(now).max(now)
    }

    fn digest_after(&self, local: DateTime) -> DateTime {
        let at = of_day(self.digest_at()).unwrap_or(OfDay::midnight());
        let today = local.date().to_datetime(at);
        if today > local { today } else { today.checked_add(1.day()).unwrap_or(today) }
    }

    /// The end of the quiet hours that a moment is in.
    fn after_quiet(&self, local: DateTime) -> Option<DateTime> {
        let quiet = self.quiet_hours.as_ref()?;
        let (from, until) = (of_day(&quiet.from)?, of_day(&quiet.until)?);
        let (time, today) = (local.time(), local.date().to_datetime(until));
        let tomorrow = || today.checked_add(1.day()).ok();
        match from < until {
            true => (from <= time && time < until).then_some(today),
            false if time >= from => tomorrow(),
            false => (time < until).then_some(today),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night() -> Preferences {
        let quiet_hours = Some(QuietHours { from: "22:00".into(), until: "07:00".into() });
        Preferences { quiet_hours, ..Preferences::default() }
    }

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_says_nothing_is_told_in_the_list_and_where_something_is_set_up() {
        let told = Preferences::default().media(Kind::Mentioned);
        assert!(told.contains(&Medium::InApp) && told.contains(&Medium::Push) && !told.contains(&Medium::Email));
        let media = [(Kind::Mentioned, [Medium::Digest].into()), (Kind::Overdue, BTreeSet::new())].into();
        let asked = Preferences { media, ..Preferences::default() };
        assert_eq!(asked.media(Kind::Mentioned), [Medium::Digest].into());
        assert!(asked.media(Kind::Overdue).is_empty());
    }

    #[test]
    fn quiet_hours_are_those_of_the_person_s_clock() {
        let (evening, night_end) = (at("2026-07-01T20:30:00Z"), at("2026-07-02T05:00:00Z"));
        assert_eq!(night().from(Medium::Push, evening, "Europe/Rome"), night_end, "22:30 there");
        assert_eq!(night().from(Medium::Push, at("2026-07-02T04:59:00Z"), "Europe/Rome"), night_end);
        assert_eq!(night().from(Medium::Push, night_end, "Europe/Rome"), night_end);
        assert_eq!(night().from(Medium::Push, evening, "UTC"), evening);
        assert_eq!(night().from(Medium::InApp, evening, "Europe/Rome"), evening, "the list calls nobody");
        assert_eq!(Preferences::default().from(Medium::Email, evening, "Europe/Rome"), evening);
        let noon = Some(QuietHours { from: "12:00".into(), until: "13:00".into() });
        let noon = Preferences { quiet_hours: noon, ..Preferences::default() };
        assert_eq!(noon.from(Medium::Chat, at("2026-07-01T12:30:00Z"), "UTC"), at("2026-07-01T13:00:00Z"));
        assert_eq!(noon.from(Medium::Chat, at("2026-07-01T13:30:00Z"), "UTC"), at("2026-07-01T13:30:00Z"));
        // The night in which clocks go back is an hour longer.
        assert_eq!(night().from(Medium::Push, at("2026-10-24T22:00:00Z"), "Europe/Rome"), at("2026-10-25T06:00:00Z"));
    }

    #[test]
    fn the_mail_of_a_day_leaves_at_its_time_and_not_at_night() {
        let digest = |at: &str| Preferences { digest_at: Some(at.into()), ..night() };
        let now = at("2026-07-01T10:00:00Z");
        assert_eq!(digest("18:00").from(Medium::Digest, now, "UTC"), at("2026-07-01T18:00:00Z"));
        assert_eq!(digest("10:00").from(Medium::Digest, now, "UTC"), at("2026-07-02T10:00:00Z"));
        assert_eq!(digest("06:00").from(Medium::Digest, now, "UTC"), at("2026-07-02T07:00:00Z"));
    }

    #[test]
    fn what_cannot_be_heeded_is_refused() {
        let quiet = |from: &str, until: &str| Preferences {
            quiet_hours: Some(QuietHours { from: from.into(), until: until.into() }),
            ..Preferences::default()
        };
        assert!(night().check().is_ok());
        assert_eq!(quiet("24:00", "07:00").check(), Err(TIME_INVALID.at("/quiet_hours/from")));
        assert_eq!(quiet("7:00", "08:00").check(), Err(TIME_INVALID.at("/quiet_hours/from")));
        assert_eq!(quiet("07:00", "07:00").check(), Err(QUIET_INVALID.at("/quiet_hours/until")));
        let media = [(Kind::Mentioned, [Medium::Digest, Medium::Email].into())].into();
        let twice = Preferences { media, ..Preferences::default() };
        assert_eq!(twice.check(), Err(MEDIA_INVALID.at("/media/mentioned")));
    }
}
