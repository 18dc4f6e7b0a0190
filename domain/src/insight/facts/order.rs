//! What orders are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, Unit, told};
use crate::{
    kernel::{custom::Change, filter::FieldKind},
    sales::order::{self, Event, Order},
};

pub(super) const SOURCE: Source =
    Source { kind: "order", dimensions: DIMENSIONS, measures: MEASURES, tells: told::<Order> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("source", FieldKind::Word),
    Dimension::of("cancelled", FieldKind::Bool),
    Dimension::of("city", FieldKind::Text),
    Dimension::refers("customer_id", &["contact"]),
    Dimension::refers("company_id", &["company"]),
];

const MEASURES: &[Measure] = &[
    Measure::count("placed", How::Each("placed"), "Orders placed."),
    Measure::count("cancelled", How::Each("cancelled"), "Orders called off."),
    Measure::count("payments", How::Each("paid"), "Payments."),
    Measure {
        unit: Unit::Money,
        ..Measure::count("revenue", How::Each("placed"), "What orders came to when they were placed.")
    },
    Measure { unit: Unit::Money, ..Measure::count("paid", How::Each("paid"), "What was paid.") },
    Measure::seconds(
        "time_to_payment",
        How::First { from: "placed", to: &["paid"] },
        "From placing until the first payment, counted then.",
    ),
];

impl Tells for Order {
    fn facts(event: Event) -> Vec<Fact> {
        match event {
            Event::Placed(placed) => {
                let details = placed.details;
                let total = details.total.map(|total| json!(total)).unwrap_or_default();
                let mut facts = vec![
                    Fact::Moment { moment: "placed", value: total },
                    Fact::value("status", order::NEW),
                    Fact::value("cancelled", false),
                    Fact::value("source", details.source),
                ];
                facts.extend(details.city.map(|city| Fact::value("city", city)));
                facts.extend(details.customer.map(|customer| Fact::id("customer_id", Some(customer))));
                facts.extend(details.company.map(|company| Fact::id("company_id", Some(company))));
                facts
            }
            Event::Amended { changes } => {
                let changed = |(key, change): (String, Change)| match key.as_str() {
                    "city" => Some(Fact::value("city", change.to)),
                    "customer" => Some(Fact::value("customer_id", change.to)),
                    "company" => Some(Fact::value("company_id", change.to)),
                    "source" => Some(Fact::value("source", change.to)),
                    _ => None,
                };
                changes.into_iter().filter_map(changed).collect()
            }
            Event::StatusChanged { to, .. } => vec![Fact::value("status", to)],
            Event::Paid { amount, .. } => vec![Fact::Moment { moment: "paid", value: json!(amount) }],
            Event::Cancelled { .. } => vec![Fact::moment("cancelled"), Fact::value("cancelled", true)],
            // What made no sense is no order.
            Event::Rejected { .. } => Vec::new(),
        }
    }
}
