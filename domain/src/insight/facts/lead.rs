//! What leads are counted by, and what is measured of them.

use super::{Dimension, Fact, How, Measure, Source, Tells, record::recorded, told};
use crate::{
    crm::lead::{Event, Lead, Spec},
    kernel::{filter::FieldKind, record},
};

pub(super) const SOURCE: Source =
    Source { kind: "lead", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Lead> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("stage", FieldKind::Word),
    Dimension::of("source", FieldKind::Text),
    Dimension::of("city", FieldKind::Text),
    Dimension::refers("owner_id", &["user"]),
    Dimension::refers("contact_id", &["contact"]),
    Dimension::of("tags", FieldKind::Tags),
    Dimension::of("archived", FieldKind::Bool),
];

/// While a lead is worked on.
const OPEN: Option<(&str, &str)> = Some(("status", "open"));
const CONVERTED: How = How::Last { of: "converted", undone: "reopened" };

const MEASURES: &[Measure] = &[
    Measure::count("created", How::Each(&["created"]), "Leads that came in."),
    Measure::count("converted", CONVERTED, "Leads converted and not reopened since, each at its last conversion."),
    Measure::count(
        "lost",
        How::Last { of: "lost", undone: "reopened" },
        "Leads lost and not reopened since, each when it was lost last.",
    ),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening."),
    Measure::count(
        "backlog",
        How::Level { dimension: "status", value: "open", within: Some(("archived", "false")) },
        "Leads neither converted, lost nor put away at the end of each period.",
    ),
    Measure::worth("converted_value", CONVERTED, "amount", "What the leads that count as converted may be worth."),
    Measure::share(
        "conversion",
        How::Outcome { from: Some("created"), hoped: "converted", others: &["lost"], undone: Some("reopened") },
        "Of the leads that came in, counted then, those that have been converted.",
    ),
    Measure::share(
        "success_rate",
        How::Outcome { from: None, hoped: "converted", others: &["lost"], undone: Some("reopened") },
        "Of the leads that came to an end, each at its last one, those that were converted.",
    ),
    Measure::seconds(
        "time_to_conversion",
        How::Whole { from: "created", to: &["converted"], undone: "reopened" },
        "From the beginning until the lead was converted for good, counted then.",
    ),
    Measure::seconds(
        "time_in_stage",
        How::Held { dimension: "stage", within: OPEN },
        "Each stay of an open lead in a stage, counted when it is over.",
    ),
    Measure::seconds(
        "time_with_owner",
        How::Held { dimension: "owner_id", within: OPEN },
        "Each stretch in which a user owned an open lead, counted when it ends.",
    ),
];

impl Tells for Lead {
    fn facts(event: record::Event<Spec>) -> Vec<Fact> {
        recorded::<Spec>(event, &SOURCE, |event| match event {
            Event::Converted { .. } => vec![Fact::moment("converted"), Fact::value("status", "converted")],
            Event::Lost { .. } => vec![Fact::moment("lost"), Fact::value("status", "lost")],
            Event::Reopened => vec![Fact::moment("reopened"), Fact::value("status", "open")],
        })
    }
}
