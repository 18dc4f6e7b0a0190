//! What orders are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    kernel::{custom::Change, filter::FieldKind},
    sales::order::{self, Event, Order},
};

pub(super) const SOURCE: Source =
    Source { kind: "order", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<Order> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::of("status", FieldKind::Word),
    Dimension::of("source", FieldKind::Word),
    Dimension::of("cancelled", FieldKind::Bool),
    Dimension::of("city", FieldKind::Text),
    Dimension::refers("customer_id", &["contact"]),
    Dimension::refers("company_id", &["company"]),
];

const MEASURES: &[Measure] = &[
    Measure::count("placed", How::Each(&["placed"]), "Orders placed."),
    Measure::count("cancelled", How::Each(&["cancelled"]), "Orders called off."),
    Measure::count("payments", How::Each(&["paid"]), "Payments."),
    Measure::money("revenue", How::Each(&["placed"]), "What orders came to when they were placed."),
    Measure::money("paid", How::Each(&["paid"]), "What was paid."),
    Measure::seconds(
        "time_to_payment",
        How::First { from: "placed", to: &["paid"] },
        "From placing until the first payment, counted then.",
    ),
    Measure::seconds(
        "time_to_settlement",
        How::First { from: "placed", to: &["settled"] },
        "From placing until nothing was left to pay for the first time, counted then.",
    ),
    Measure::worth(
        "cancelled_value",
        How::Each(&["cancelled"]),
        "total",
        "What orders that were called off came to then.",
    ),
    Measure::seconds(
        "time_in_status",
        How::Held { dimension: "status", within: Some(("cancelled", "false")) },
        "Each stay in a status until the order was called off, counted when it is over.",
    ),
];

impl Tells for Order {
    fn facts(event: Event) -> Vec<Fact> {
        match event {
            Event::Placed(placed) => {
                let details = placed.details;
                let total = details.total.map(|total| json!(total)).unwrap_or_default();
                let mut facts = vec![
                    Fact::Moment { moment: "placed", value: total.clone() },
                    Fact::value("total", total),
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
                    "total" => Some(Fact::value("total", change.to)),
                    _ => None,
                };
                changes.into_iter().filter_map(changed).collect()
            }
            Event::StatusChanged { to, .. } => vec![Fact::value("status", to)],
            Event::Paid { amount, in_full, .. } => {
                let settled = in_full.then(|| Fact::moment("settled"));
                [Fact::Moment { moment: "paid", value: json!(amount) }].into_iter().chain(settled).collect()
            }
            Event::Cancelled { .. } => vec![Fact::moment("cancelled"), Fact::value("cancelled", true)],
            // What made no sense is no order.
            Event::Rejected { .. } => Vec::new(),
        }
    }
}
