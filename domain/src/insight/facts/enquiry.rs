//! What enquiries are counted by, and what is measured of them.

use super::{Dimension, Fact, How, Measure, Source, Tells, record::recorded, told};
use crate::{
    crm::enquiry::{Enquiry, Event, Spec},
    kernel::{filter::FieldKind, record},
};

pub(super) const SOURCE: Source =
    Source { kind: "enquiry", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Enquiry> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("stage", FieldKind::Word),
    Dimension::of("outcome", FieldKind::Word),
    Dimension::of("source", FieldKind::Text),
    Dimension::refers("owner_id", &["user"]),
    Dimension::refers("contact_id", &["contact"]),
    Dimension::of("tags", FieldKind::Tags),
    Dimension::of("archived", FieldKind::Bool),
];

const MEASURES: &[Measure] = &[
    Measure::count("created", How::Each(&["created"]), "Enquiries that came in."),
    Measure::count(
        "closed",
        How::Last { of: "closed", undone: "reopened" },
        "Enquiries closed and not reopened since, each at its last closing.",
    ),
    Measure::count("reopened", How::Each(&["reopened"]), "Every reopening."),
    Measure::count(
        "backlog",
        How::Level { dimension: "status", value: "open", within: Some(("archived", "false")) },
        "Enquiries neither closed nor put away at the end of each period.",
    ),
    Measure::count("offers", How::Each(&["offered"]), "Offers sent."),
    Measure::count(
        "external_offers",
        How::Each(&["offered_elsewhere"]),
        "Properties from elsewhere that were offered.",
    ),
    Measure::points(
        "offers_per_enquiry",
        How::Times { from: "created", of: "offered" },
        "How many offers each enquiry has had, counted when it came in.",
    ),
    Measure::seconds(
        "first_offer",
        How::First { from: "created", to: &["offered"] },
        "From the beginning until the first offer was sent, counted then.",
    ),
    Measure::seconds(
        "resolution",
        How::Whole { from: "created", to: &["closed"], undone: "reopened" },
        "From the beginning until the enquiry was closed for good, counted then.",
    ),
    Measure::seconds(
        "time_in_stage",
        How::Held { dimension: "stage", within: Some(("status", "open")) },
        "Each stay of an open enquiry in a stage, counted when it is over.",
    ),
];

impl Tells for Enquiry {
    fn facts(event: record::Event<Spec>) -> Vec<Fact> {
        recorded::<Spec>(event, &SOURCE, |event| match event {
            Event::OfferSent { .. } => vec![Fact::moment("offered")],
            Event::ExternalOfferNoted { .. } => vec![Fact::moment("offered_elsewhere")],
            Event::Closed { outcome } => {
                vec![Fact::moment("closed"), Fact::value("status", "closed"), Fact::value("outcome", outcome)]
            }
            Event::Reopened => {
                let outcome: Option<String> = None;
                vec![Fact::moment("reopened"), Fact::value("status", "open"), Fact::value("outcome", outcome)]
            }
            Event::CriteriaChanged { .. } => Vec::new(),
        })
    }
}
