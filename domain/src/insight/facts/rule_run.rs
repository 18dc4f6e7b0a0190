//! What runs of rules are counted by, and what is measured of them.

use serde_json::json;

use super::{Dimension, Fact, How, Measure, Source, Tells, told};
use crate::{
    kernel::filter::FieldKind,
    work::rule_run::{Asked, Event, RuleRun},
};

pub(super) const SOURCE: Source =
    Source { kind: "rule_run", dimensions: DIMENSIONS, measures: MEASURES, ahead: &[], tells: told::<RuleRun> };

const DIMENSIONS: &[Dimension] = &[
    Dimension::refers("rule_id", &["rule"]),
    Dimension::of("rule_version", FieldKind::Integer),
    Dimension::of("status", FieldKind::Word),
    Dimension::of("reason", FieldKind::Word),
    Dimension::of("trigger_type", FieldKind::Word),
    Dimension::of("subject_kind", FieldKind::Word),
];

const MEASURES: &[Measure] = &[
    Measure::count("runs", How::Each(&["matched", "skipped"]), "Each time a rule was asked about an event."),
    Measure::count("matched", How::Each(&["matched"]), "Each time a rule matched."),
    Measure::count("skipped", How::Each(&["skipped"]), "Each time a rule did nothing."),
    Measure::count("executed", How::Each(&["executed"]), "Runs carried out."),
    Measure::count("cancelled", How::Each(&["cancelled"]), "Runs called off."),
    Measure::count("failures", How::Each(&["failed"]), "Each time a run could not be carried out."),
    Measure::count("parked", How::Each(&["parked"]), "Each time a run was given up."),
    Measure::count(
        "backlog",
        How::Level { dimension: "status", value: "pending", within: None },
        "Runs that wait to be carried out at the end of each period.",
    ),
    Measure::share(
        "match_rate",
        How::Outcome { from: None, hoped: "matched", others: &["skipped"], undone: None },
        "Of the times a rule was asked, those in which it matched.",
    ),
    Measure::seconds(
        "time_to_execution",
        How::First { from: "matched", to: &["executed"] },
        "From the match until the run was carried out, counted then.",
    ),
];

fn asked(moment: &'static str, status: &'static str, asked: Asked) -> Vec<Fact> {
    vec![
        Fact::moment(moment),
        Fact::value("status", status),
        Fact::id("rule_id", Some(asked.rule)),
        Fact::value("rule_version", asked.version),
        Fact::value("trigger_type", asked.trigger.event_type),
        Fact::value("subject_kind", asked.trigger.subject.kind),
    ]
}

impl Tells for RuleRun {
    fn facts(event: Event) -> Vec<Fact> {
        let with =
            |moment: &'static str, status: &'static str| vec![Fact::moment(moment), Fact::value("status", status)];
        match event {
            Event::Matched(run) => asked("matched", "pending", run),
            Event::Skipped { asked: run, reason, .. } => {
                let mut facts = asked("skipped", "skipped", run);
                facts.push(Fact::value("reason", json!(reason)));
                facts
            }
            Event::Executed { .. } => with("executed", "executed"),
            Event::Cancelled { reason, .. } => {
                let mut facts = with("cancelled", "cancelled");
                facts.push(Fact::value("reason", json!(reason)));
                facts
            }
            Event::Failed { .. } => vec![Fact::moment("failed")],
            Event::Parked { .. } => with("parked", "parked"),
            Event::Retried => vec![Fact::value("status", "pending")],
            Event::Scheduled { .. } | Event::Prepared(_) => Vec::new(),
        }
    }
}
