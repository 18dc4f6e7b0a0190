//! What tickets are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, MERGED, Measure, Source, Tells, record::custom, told};
use crate::{
    Party, PartyKind,
    desk::ticket::{Event, Opened, Ticket},
    kernel::filter::FieldKind,
};

pub(super) const SOURCE: Source =
    Source { kind: "ticket", dimensions: DIMENSIONS, measures: MEASURES, ahead: AHEAD, tells: told::<Ticket> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("stage", FieldKind::Word),
    Dimension::of("priority", FieldKind::Integer),
    Dimension::of("category", FieldKind::Text),
    Dimension::of("channel", FieldKind::Word),
    Dimension::of("origin", FieldKind::Word),
    Dimension::of("requester_kind", FieldKind::Word),
    Dimension::refers("requester_id", &["contact", "user"]),
    Dimension::refers("company_id", &["company"]),
    Dimension::refers("team_id", &["team"]),
    Dimension::refers("assignee_id", &["user"]),
    Dimension::refers("product_id", &["product"]),
    Dimension {
        via: Some(("product_id", "product", "category_id")),
        ..Dimension::refers("product_category_id", &["product_category"])
    },
    Dimension::of("entitlement_id", FieldKind::Id),
    Dimension::of("tags", FieldKind::Tags),
];

/// By what the dashboards that are shipped divide.
const AHEAD: &[&str] = &["assignee_id", "team_id", "product_id", "priority"];

/// What ends work on a ticket.
const ENDS: &[&str] = &["resolved", "closed"];

const MEASURES: &[Measure] = &[
    Measure::count("opened", How::Each(&["opened"]), "Tickets opened.").ahead(),
    Measure::count(
        "resolved",
        How::Last { of: "resolved", undone: "reopened" },
        "Tickets resolved and not reopened since, each at its last resolution.",
    )
    .ahead(),
    Measure::count(
        "closed",
        How::Last { of: "closed", undone: "reopened" },
        "Tickets closed and not reopened since, each at its last closing.",
    )
    .ahead(),
    Measure::count("resolutions", How::Each(&["resolved"]), "Every resolution, those taken back too."),
    Measure::count("closings", How::Each(&["closed"]), "Every closing, those taken back too."),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening.").ahead(),
    Measure::count("assigned", How::Each(&["assigned"]), "Every assignment to a user.").ahead(),
    Measure::count("received", How::Each(&["received"]), "Messages received.").with_parts(),
    Measure::count("replied", How::Each(&["replied"]), "Replies written.").with_parts(),
    Measure::count("sent", How::Each(&["sent"]), "Replies that have left.").with_parts(),
    Measure::count(
        "backlog",
        How::Level { dimension: "status", value: "open", within: None },
        "Tickets open at the end of each period, neither resolved nor closed.",
    )
    .ahead(),
    Measure::count(
        "one_touch",
        How::OneTouch { to: ENDS, undone: "reopened", touch: "replied" },
        "Tickets resolved or closed with exactly one reply and never reopened.",
    ),
    Measure::seconds(
        "first_reply",
        How::First { from: "opened", to: &["sent"] },
        "From opening until the first reply has left, counted then.",
    )
    .ahead(),
    Measure::seconds(
        "next_reply",
        How::Next { from: "received", to: "sent" },
        "From the first message that waits until the next reply has left, first replies aside, counted then.",
    )
    .with_parts(),
    Measure::seconds(
        "first_resolution",
        How::First { from: "opened", to: ENDS },
        "From opening until the ticket was resolved or closed for the first time, counted then.",
    ),
    Measure::seconds(
        "resolution",
        How::Whole { from: "opened", to: ENDS, undone: "reopened" },
        "From opening until the ticket was resolved or closed for good, counted then.",
    )
    .ahead(),
    Measure::seconds(
        "time_in_stage",
        How::Held { dimension: "stage", within: None },
        "Each stay in a stage, counted when it is left.",
    ),
    Measure::seconds(
        "time_with_assignee",
        How::Held { dimension: "assignee_id", within: Some(("status", "open")) },
        "Each stretch in which a user was responsible for an open ticket, counted when it ends.",
    )
    .ahead(),
    Measure::points("rating", How::Each(&["rated"]), "How satisfied requesters are: 1 to 5."),
];

impl Tells for Ticket {
    fn facts(event: Event) -> Vec<Fact> {
        let stage = event.stage().map(|(to, _)| Fact::value("stage", to));
        let mut facts = facts(event);
        facts.extend(stage);
        facts
    }
}

fn facts(event: Event) -> Vec<Fact> {
    match event {
        Event::Opened(opened) => self::opened(opened),
        Event::PriorityChanged { to, .. } => vec![Fact::value("priority", to.level())],
        Event::CategorySet { to, .. } => vec![Fact::value("category", to)],
        Event::RequesterChanged { to, company, .. } => {
            requester(to).into_iter().chain([Fact::id("company_id", company)]).collect()
        }
        Event::ProductSelected { entitlement, product } => {
            vec![Fact::id("product_id", Some(product)), Fact::id("entitlement_id", Some(entitlement))]
        }
        Event::ProductCleared => vec![Fact::id("product_id", None), Fact::id("entitlement_id", None)],
        Event::Tagged { tag } => vec![Fact::Part { dimension: "tags", part: tag, holds: true }],
        Event::Untagged { tag } => vec![Fact::Part { dimension: "tags", part: tag, holds: false }],
        Event::CustomChanged { changes } => changes.into_iter().map(|(key, change)| custom(&key, change.to)).collect(),
        Event::Assigned { to, .. } => vec![Fact::moment("assigned"), Fact::id("assignee_id", Some(to))],
        Event::Unassigned { .. } => vec![Fact::id("assignee_id", None)],
        Event::TeamChanged { to, .. } => vec![Fact::id("team_id", to)],
        Event::MessageReceived { .. } => vec![Fact::moment("received")],
        Event::ReplyQueued { again: false, .. } => vec![Fact::moment("replied")],
        Event::ReplySent { .. } => vec![Fact::moment("sent")],
        Event::Resolved { .. } => vec![Fact::moment("resolved"), Fact::value("status", "resolved")],
        Event::Closed { .. } => vec![Fact::moment("closed"), Fact::value("status", "closed")],
        Event::Reopened { .. } => vec![Fact::moment("reopened"), Fact::value("status", "open")],
        Event::Merged { into } => vec![Fact::moment("merged"), Fact::id(MERGED, Some(into))],
        Event::Unmerged { .. } => vec![Fact::moment("unmerged"), Fact::id(MERGED, None)],
        Event::Rated { score, .. } => vec![Fact::Moment { moment: "rated", value: json!(score) }],
        Event::TitleChanged { .. }
        | Event::DescriptionChanged { .. }
        | Event::DescriptionCleared { .. }
        | Event::StageChanged { .. }
        | Event::ReplyQueued { again: true, .. }
        | Event::ReplyUncertain { .. }
        | Event::ReplyCancelled { .. }
        | Event::ParticipantAdded { .. }
        | Event::ParticipantRemoved { .. }
        | Event::ReplyFailed { .. }
        | Event::NoteAdded { .. }
        | Event::MessageRedacted { .. }
        | Event::FollowerAdded { .. }
        | Event::FollowerRemoved { .. }
        | Event::Snoozed { .. }
        | Event::Woken { .. }
        | Event::Split { .. }
        | Event::Linked { .. }
        | Event::Unlinked { .. }
        | Event::Absorbed { .. }
        | Event::Released { .. }
        | Event::Forwarded { .. } => Vec::new(),
    }
}

fn opened(opened: Opened) -> Vec<Fact> {
    let mut facts = vec![
        Fact::moment("opened"),
        Fact::value("status", "open"),
        Fact::value("stage", opened.stage),
        Fact::value("priority", opened.priority.level()),
        Fact::value("channel", opened.channel),
    ];
    // What it does not have needs no fact.
    facts.extend(opened.origin.map(|origin| Fact::value("origin", origin)));
    facts.extend(opened.category.map(|category| Fact::value("category", category)));
    facts.extend(opened.requester.into_iter().flat_map(|party| requester(Some(party))));
    facts.extend(opened.company.map(|company| Fact::id("company_id", Some(company))));
    facts.extend(opened.team.map(|team| Fact::id("team_id", Some(team))));
    facts.extend(opened.tags.into_iter().map(|part| Fact::Part { dimension: "tags", part, holds: true }));
    facts.extend(opened.custom.into_iter().map(|(key, value)| custom(&key, value)));
    facts
}

fn requester(party: Option<Party>) -> [Fact; 2] {
    let kind = party.map(|party| match party.kind {
        PartyKind::Contact => "contact",
        PartyKind::User => "user",
        PartyKind::Company => "company",
    });
    [Fact::value("requester_kind", kind), Fact::id("requester_id", party.map(|party| party.id))]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::Id;

    fn told(event: &str, data: Value) -> Vec<Fact> {
        SOURCE.tells(&format!("ticket.{event}"), data.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn opening_says_what_there_is_and_closing_when_the_stage_moved_too() {
        let opened = json!({ "number": 1, "title": "T", "channel": "api", "priority": 2, "stage": "new", "tags": ["a"],
            "custom": { "size": "xl" } });
        let facts = told("opened", opened);
        assert!(facts.contains(&Fact::moment("opened")) && facts.contains(&Fact::value("priority", 2)), "{facts:?}");
        assert!(facts.contains(&Fact::Part { dimension: "tags", part: "a".into(), holds: true }));
        assert!(facts.contains(&Fact::Value { dimension: "custom.size".into(), value: json!("xl") }));
        let closed = told("closed", json!({ "stage": { "from": "new", "to": "done", "means": "closed" } }));
        let expected = [Fact::moment("closed"), Fact::value("status", "closed"), Fact::value("stage", "done")];
        assert_eq!(closed, expected);
    }

    #[test]
    fn what_is_sent_once_more_is_no_other_reply_and_no_fact_holds_personal_data() {
        let reply = |again: bool| {
            told("reply_queued", json!({ "message_id": Id::from_bits(1), "body": "Hello", "again": again }))
        };
        assert_eq!((reply(false), reply(true)), (vec![Fact::moment("replied")], vec![]));
        let changed = told("title_changed", json!({ "from": "Ada Lovelace calls", "to": "Ada calls" }));
        assert_eq!(changed, []);
    }
}
