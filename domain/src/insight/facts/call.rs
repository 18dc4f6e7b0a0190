//! What phone calls are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    kernel::filter::FieldKind,
    sales::call::{Call, Event},
};

pub(super) const SOURCE: Source =
    Source { kind: "call", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Call> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("to_e164", FieldKind::Word),
    Dimension::refers("contact_id", &["contact"]),
    Dimension::refers("user_id", &["user"]),
];

const MEASURES: &[Measure] = &[
    Measure::count("calls", How::Each(&["received"]), "Calls that came in."),
    Measure::count("answered", How::Each(&["answered"]), "Calls that somebody took."),
    Measure::count("missed", How::Each(&["missed"]), "Calls that nobody took."),
    Measure::share(
        "answer_rate",
        How::Outcome { from: None, hoped: "answered", others: &["missed"], undone: None },
        "Of the calls that were taken or missed, those that were taken.",
    ),
    Measure::seconds(
        "time_to_answer",
        How::First { from: "received", to: &["answered"] },
        "From the first ring until somebody took the call, counted then.",
    ),
    Measure::seconds(
        "talk_time",
        How::Each(&["ended"]),
        "How long calls lasted, as the exchange says, counted at the end; never business time.",
    ),
];

impl Tells for Call {
    fn facts(event: Event) -> Vec<Fact> {
        match event {
            Event::Received(new) => {
                let mut facts = vec![Fact::moment("received"), Fact::value("status", "ringing")];
                facts.extend(new.to_e164.map(|to| Fact::value("to_e164", to)));
                facts.extend(new.contact.map(|contact| Fact::id("contact_id", Some(contact))));
                facts
            }
            Event::ContactLinked { contact } => vec![Fact::id("contact_id", Some(contact))],
            Event::Answered { user } => {
                vec![Fact::moment("answered"), Fact::value("status", "answered"), Fact::id("user_id", Some(user))]
            }
            Event::Missed { .. } => vec![Fact::moment("missed"), Fact::value("status", "missed")],
            Event::Ended { duration_s } => {
                vec![Fact::Moment { moment: "ended", value: json!(duration_s) }, Fact::value("status", "ended")]
            }
        }
    }
}
