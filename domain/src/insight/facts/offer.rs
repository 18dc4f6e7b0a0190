//! What offers are counted by, and what is measured of them.

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    crm::offer::{Event, Offer},
    kernel::filter::FieldKind,
};

pub(super) const SOURCE: Source =
    Source { kind: "offer", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Offer> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("medium", FieldKind::Word),
    Dimension::refers("enquiry_id", &["enquiry"]),
    Dimension::refers("contact_id", &["contact"]),
];

const MEASURES: &[Measure] = &[
    Measure::count("drafted", How::Each(&["drafted"]), "Offers drafted."),
    Measure::count("offers", How::Each(&["sent"]), "Offers sent."),
    Measure::count("seen", How::Each(&["seen"]), "Offers that the customer has looked at, each time that was told."),
    Measure::count("accepted", How::Each(&["accepted"]), "Offers accepted, each time that was told."),
    Measure::count("declined", How::Each(&["declined"]), "Offers declined."),
    Measure::share(
        "acceptance",
        How::Outcome { from: Some("sent"), hoped: "accepted", others: &["declined"], undone: None },
        "Of the offers sent, counted then, those that have been accepted.",
    ),
    Measure::seconds(
        "time_to_answer",
        How::First { from: "sent", to: &["accepted", "declined"] },
        "From sending until the customer accepted or declined, counted then.",
    ),
];

impl Tells for Offer {
    fn facts(event: Event) -> Vec<Fact> {
        match event {
            Event::Drafted { enquiry, contact, .. } => {
                let mut facts = vec![
                    Fact::moment("drafted"),
                    Fact::value("status", "draft"),
                    Fact::id("contact_id", Some(contact)),
                ];
                facts.extend(enquiry.map(|enquiry| Fact::id("enquiry_id", Some(enquiry))));
                facts
            }
            Event::Sent { to, medium, .. } => vec![
                Fact::moment("sent"),
                Fact::value("status", "sent"),
                Fact::value("medium", medium),
                Fact::id("contact_id", Some(to)),
            ],
            Event::Opened => vec![Fact::moment("seen"), Fact::value("status", "opened")],
            Event::Accepted { .. } => vec![Fact::moment("accepted"), Fact::value("status", "accepted")],
            Event::Declined { .. } => vec![Fact::moment("declined"), Fact::value("status", "declined")],
            Event::Revised { .. } => Vec::new(),
        }
    }
}
