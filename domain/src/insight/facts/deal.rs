//! What deals are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, record::recorded, told};
use crate::{
    crm::deal::{Deal, Event, Spec},
    kernel::{filter::FieldKind, record},
};

pub(super) const SOURCE: Source =
    Source { kind: "deal", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Deal> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("stage", FieldKind::Word),
    Dimension::of("pipeline", FieldKind::Text),
    Dimension::refers("owner_id", &["user"]),
    Dimension::refers("contact_id", &["contact"]),
    Dimension::refers("company_id", &["company"]),
    Dimension::refers("property_id", &["property"]),
    Dimension::refers("enquiry_id", &["enquiry"]),
    Dimension::of("tags", FieldKind::Tags),
    Dimension::of("archived", FieldKind::Bool),
];

/// While a deal is worked on.
const OPEN: Option<(&str, &str)> = Some(("status", "open"));
const WON: How = How::Last { of: "won", undone: "reopened" };
const LOST: How = How::Last { of: "lost", undone: "reopened" };
/// Open deals, but for those that are put away.
const BACKLOG: How = How::Level { dimension: "status", value: "open", within: Some(("archived", "false")) };

const MEASURES: &[Measure] = &[
    Measure::count("created", How::Each(&["created"]), "Deals begun."),
    Measure::count("won", WON, "Deals won and not reopened since, each when it was won last."),
    Measure::count("lost", LOST, "Deals lost and not reopened since, each when it was lost last."),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening."),
    Measure::count("backlog", BACKLOG, "Deals neither won, lost nor put away at the end of each period."),
    Measure::worth("won_value", WON, "amount", "What the deals that count as won were worth then."),
    Measure::worth("lost_value", LOST, "amount", "What the deals that count as lost were worth then."),
    Measure::worth("open_value", BACKLOG, "amount", "What the open deals are worth at the end of each period."),
    Measure::money("sold", How::Each(&["sold"]), "The prices of the sales put on record."),
    Measure::share(
        "win_rate",
        How::Outcome { from: None, hoped: "won", others: &["lost"], undone: Some("reopened") },
        "Of the deals that ended, each at its last end, those that were won.",
    ),
    Measure::seconds(
        "time_to_win",
        How::Whole { from: "created", to: &["won"], undone: "reopened" },
        "From the beginning until the deal was won for good, counted then.",
    ),
    Measure::seconds(
        "time_to_end",
        How::Whole { from: "created", to: &["won", "lost"], undone: "reopened" },
        "From the beginning until the deal was won or lost for good, counted then.",
    ),
    Measure::seconds(
        "time_in_stage",
        How::Held { dimension: "stage", within: OPEN },
        "Each stay of an open deal in a stage, counted when it is over.",
    ),
    Measure::seconds(
        "time_with_owner",
        How::Held { dimension: "owner_id", within: OPEN },
        "Each stretch in which a user owned an open deal, counted when it ends.",
    ),
];

impl Tells for Deal {
    fn facts(event: record::Event<Spec>) -> Vec<Fact> {
        recorded::<Spec>(event, &SOURCE, |event| match event {
            Event::AmountChanged { to, .. } => vec![Fact::value("amount", to.map(|to| json!(to)))],
            Event::Recorded(sale) => vec![Fact::Moment { moment: "sold", value: json!(sale.price) }],
            Event::Won { .. } => vec![Fact::moment("won"), Fact::value("status", "won")],
            Event::Lost { .. } => vec![Fact::moment("lost"), Fact::value("status", "lost")],
            Event::Reopened => vec![Fact::moment("reopened"), Fact::value("status", "open")],
        })
    }
}
