//! What chats are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    chat::conversation::{Conversation, Event},
    kernel::filter::FieldKind,
};

pub(super) const SOURCE: Source = Source {
    kind: "conversation",
    dimensions: DIMENSIONS,
    measures: MEASURES,
    ahead: AHEAD,
    tells: told::<Conversation>,
};

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("medium", FieldKind::Word),
    Dimension::of("channel_id", FieldKind::Id),
    Dimension::refers("contact_id", &["contact"]),
    Dimension::refers("assignee_id", &["user"]),
    Dimension { kind: FieldKind::Set, ..Dimension::refers("label_ids", &["label"]) },
];

/// By what the dashboards that are shipped divide.
const AHEAD: &[&str] = &["assignee_id", "medium"];

const MEASURES: &[Measure] = &[
    Measure::count("started", How::Each(&["started"]), "Chats begun.").ahead(),
    Measure::count(
        "closed",
        How::Last { of: "closed", undone: "reopened" },
        "Chats closed and not reopened since, each at its last closing.",
    )
    .ahead(),
    Measure::count("closings", How::Each(&["closed"]), "Every closing, those taken back too."),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening."),
    Measure::count("assigned", How::Each(&["assigned"]), "Every assignment to a user.").ahead(),
    Measure::count("handed_over", How::Each(&["handed_over"]), "Chats handed over by a bot."),
    Measure::count("received", How::Each(&["received"]), "Messages received."),
    Measure::count("replied", How::Each(&["replied"]), "Messages written by us."),
    Measure::count("sent", How::Each(&["sent"]), "Messages of ours that have left."),
    Measure::count(
        "backlog",
        How::Level { dimension: "status", value: "open", within: None },
        "Chats open at the end of each period.",
    )
    .ahead(),
    Measure::seconds(
        "first_reply",
        How::First { from: "started", to: &["sent"] },
        "From the beginning until the first message of ours has left, counted then.",
    )
    .ahead(),
    Measure::seconds(
        "next_reply",
        How::Next { from: "received", to: "sent" },
        "From the first message that waits until the next of ours has left, first replies aside, counted then.",
    ),
    Measure::seconds(
        "resolution",
        How::Whole { from: "started", to: &["closed"], undone: "reopened" },
        "From the beginning until the chat was closed for good, counted then.",
    ),
    Measure::seconds(
        "time_with_assignee",
        How::Held { dimension: "assignee_id", within: Some(("status", "open")) },
        "Each stretch in which a user was responsible for an open chat, counted when it ends.",
    ),
    Measure::points("rating", How::Each(&["rated"]), "How satisfied visitors are: 1 to 5.").ahead(),
];

impl Tells for Conversation {
    fn facts(event: Event) -> Vec<Fact> {
        match event {
            Event::Started(new) => {
                let mut facts =
                    vec![Fact::moment("started"), Fact::value("status", "open"), Fact::value("medium", new.medium)];
                facts.extend(new.channel.map(|channel| Fact::id("channel_id", Some(channel))));
                facts.extend(new.contact.map(|contact| Fact::id("contact_id", Some(contact))));
                facts
            }
            Event::MessageReceived { .. } => vec![Fact::moment("received")],
            Event::MessageQueued { again: false, .. } => vec![Fact::moment("replied")],
            Event::MessageSent { .. } => vec![Fact::moment("sent")],
            Event::Assigned { to, .. } => vec![Fact::moment("assigned"), Fact::id("assignee_id", Some(to))],
            Event::Unassigned { .. } => vec![Fact::id("assignee_id", None)],
            Event::ContactLinked { contact, .. } => vec![Fact::id("contact_id", Some(contact))],
            Event::ContactUnlinked { .. } => vec![Fact::id("contact_id", None)],
            Event::Labelled { label, .. } => vec![labelled(label.to_string(), true)],
            Event::Unlabelled { label } => vec![labelled(label.to_string(), false)],
            Event::HandedOver { .. } => vec![Fact::moment("handed_over")],
            Event::Closed => vec![Fact::moment("closed"), Fact::value("status", "closed")],
            Event::Reopened { .. } => vec![Fact::moment("reopened"), Fact::value("status", "open")],
            Event::Rated { score, .. } => vec![Fact::Moment { moment: "rated", value: json!(score) }],
            Event::MessageQueued { again: true, .. }
            | Event::MessageDelivered { .. }
            | Event::MessageRead { .. }
            | Event::MessageFailed { .. }
            | Event::MessageUncertain { .. }
            | Event::MessageEdited { .. }
            | Event::MessageDeleted { .. }
            | Event::MessageReactionsReceived { .. }
            | Event::MessageReactionQueued { .. }
            | Event::MessageReactionSent { .. }
            | Event::MessageReactionFailed { .. }
            | Event::ReadMarkerMoved { .. }
            | Event::Claimed { .. }
            | Event::BotStepShown { .. }
            | Event::BotStarted { .. }
            | Event::BotAnswerRefused { .. }
            | Event::BotFinished
            | Event::ConvertedToTicket { .. }
            | Event::TranscriptQueued { .. }
            | Event::TranscriptSent { .. }
            | Event::TranscriptFailed { .. }
            | Event::VisitorRevoked { .. }
            | Event::VisitorBlocked
            | Event::VisitorUnblocked
            | Event::BotAnswerGiven { .. } => Vec::new(),
        }
    }
}

fn labelled(part: String, holds: bool) -> Fact {
    Fact::Part { dimension: "label_ids", part, holds }
}
