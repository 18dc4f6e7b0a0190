//! Facts: what each event says of a record's dimensions and moments. Any number of a report is a fold over them.
//!
//! A kind of record that reports count is a [`Source`]: what its dimensions are, what its events say, what may be measured.
//! Facts are only ever added. What held when follows from them: among those known at a moment, in the order in which they
//! happened, each holds until the next.

pub mod ahead;
mod call;
mod conversation;
mod deal;
mod enquiry;
mod lead;
mod offer;
mod order;
mod record;
mod rule_run;
mod task;
mod ticket;

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    Aggregate, Id,
    crm::{
        company::{self, Company},
        contact::{self, Contact},
    },
    desk::product::{self, Product},
    kernel::{
        filter::FieldKind,
        named::{Either, Undecodable},
    },
};

/// Something that an event says of its record.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// From then on this dimension has this value; null is none.
    Value {
        /// The dimension.
        dimension: Cow<'static, str>,
        /// Its value.
        value: Value,
    },
    /// From then on this is among the values of a dimension that has several, or no longer.
    Part {
        /// The dimension.
        dimension: &'static str,
        /// The value.
        part: String,
        /// Whether it is among them.
        holds: bool,
    },
    /// Something happened then.
    Moment {
        /// What.
        moment: &'static str,
        /// What belongs to it: a score, say.
        value: Value,
    },
}

impl Fact {
    fn moment(moment: &'static str) -> Fact {
        Fact::Moment { moment, value: Value::Null }
    }

    fn value(dimension: &'static str, value: impl Into<Value>) -> Fact {
        Fact::Value { dimension: dimension.into(), value: value.into() }
    }

    fn id(dimension: &'static str, id: Option<Id>) -> Fact {
        Fact::value(dimension, id.map(|id| id.to_string()))
    }
}

/// Something by which records are told apart.
#[derive(Clone, Copy, Debug)]
pub struct Dimension {
    /// Its name, as lists call it.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: FieldKind,
    /// The kinds of records that its values name, if they do.
    pub refers: &'static [&'static str],
    /// Where its value is another record's: the dimension that names the record, its kind, and its dimension.
    pub via: Option<(&'static str, &'static str, &'static str)>,
}

impl Dimension {
    const fn of(name: &'static str, kind: FieldKind) -> Dimension {
        Dimension { name, kind, refers: &[], via: None }
    }

    const fn refers(name: &'static str, refers: &'static [&'static str]) -> Dimension {
        Dimension { name, kind: FieldKind::Id, refers, via: None }
    }
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// How long: elapsed time, or business time by the report's calendar.
    Seconds,
    /// Points that were given, or how many of something each record has.
    Points,
    /// Of each record, 1 or 0: their mean is the share of those that did.
    Share,
    /// What it comes to, by currency.
    Money,
}

/// Something that reports measure.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub about: &'static str,
    /// What its numbers are.
    pub unit: Unit,
    /// How it follows from facts.
    pub how: How,
    /// Whether records that are a part of another one count too: what happened to them happened once.
    pub parts: bool,
    /// Of money that no moment tells: what this dimension came to when it counts.
    pub worth: Option<&'static str>,
    /// Whether what it counts is worked out as soon as it is told: see [`ahead`].
    pub ahead: bool,
}

/// How a measure follows from facts. Every item of it has an instant at which it counts.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Each moment of any of these names.
    Each(&'static [&'static str]),
    /// Each record once: at the last of these moments, if that was not taken back since.
    Last {
        /// The moment.
        of: &'static str,
        /// What takes it back.
        undone: &'static str,
    },
    /// The records of which a dimension has a value at the end of each period.
    Level {
        /// The dimension.
        dimension: &'static str,
        /// Its value.
        value: &'static str,
        /// Only while another dimension has this value.
        within: Option<(&'static str, &'static str)>,
    },
    /// Each record once: from a moment to the first of others.
    First {
        /// Where it begins.
        from: &'static str,
        /// Where it ends: the first of any of these.
        to: &'static [&'static str],
    },
    /// Each record once: from a moment to the first of others after which nothing was taken back.
    Whole {
        /// Where it begins.
        from: &'static str,
        /// Where it ends.
        to: &'static [&'static str],
        /// What takes it back.
        undone: &'static str,
    },
    /// Each turn after the first: from the first of these moments to the next of those that answer.
    Next {
        /// What waits.
        from: &'static str,
        /// What answers.
        to: &'static str,
    },
    /// Each stretch in which a dimension had one value, once it is over.
    Held {
        /// The dimension.
        dimension: &'static str,
        /// Only while another dimension had this value.
        within: Option<(&'static str, &'static str)>,
    },
    /// Each record once: as [`How::Whole`], if nothing was ever taken back and it was touched exactly once.
    OneTouch {
        /// Where it ends.
        to: &'static [&'static str],
        /// What takes it back.
        undone: &'static str,
        /// What touches it.
        touch: &'static str,
    },
    /// Each record once: whether the last thing that came of it is the one that is hoped for.
    Outcome {
        /// The moment at which it counts, whatever has come of it; without one it counts when something came of it.
        from: Option<&'static str>,
        /// What is hoped for.
        hoped: &'static str,
        /// What else may come of it.
        others: &'static [&'static str],
        /// What takes either back.
        undone: Option<&'static str>,
    },
    /// Each record once, at a moment: how often another moment came.
    Times {
        /// Where it counts.
        from: &'static str,
        /// What is counted of it.
        of: &'static str,
    },
}

impl How {
    /// The moments that it is made of.
    pub fn moments(&self) -> Vec<&'static str> {
        match *self {
            How::Each(of) => of.to_vec(),
            How::Last { of, undone } => vec![of, undone],
            How::Level { .. } | How::Held { .. } => Vec::new(),
            How::First { from, to } => [&[from], to].concat(),
            How::Whole { from, to, undone } => [&[from, undone], to].concat(),
            How::Next { from, to } => vec![from, to],
            How::OneTouch { to, undone, touch } => [&[undone, touch], to].concat(),
            How::Outcome { from, hoped, others, undone } => {
                from.into_iter().chain([hoped]).chain(undone).chain(others.iter().copied()).collect()
            }
            How::Times { from, of } => vec![from, of],
        }
    }
}

impl Measure {
    const fn count(name: &'static str, how: How, about: &'static str) -> Measure {
        Measure { name, about, unit: Unit::Count, how, parts: false, worth: None, ahead: false }
    }

    const fn seconds(name: &'static str, how: How, about: &'static str) -> Measure {
        Measure { unit: Unit::Seconds, ..Measure::count(name, how, about) }
    }

    const fn share(name: &'static str, how: How, about: &'static str) -> Measure {
        Measure { unit: Unit::Share, ..Measure::count(name, how, about) }
    }

    const fn points(name: &'static str, how: How, about: &'static str) -> Measure {
        Measure { unit: Unit::Points, ..Measure::count(name, how, about) }
    }

    /// Money that the moments themselves tell.
    const fn money(name: &'static str, how: How, about: &'static str) -> Measure {
        Measure { unit: Unit::Money, ..Measure::count(name, how, about) }
    }

    /// Money that a dimension of the record came to then.
    const fn worth(name: &'static str, how: How, of: &'static str, about: &'static str) -> Measure {
        Measure { worth: Some(of), ..Measure::money(name, how, about) }
    }

    const fn with_parts(self) -> Measure {
        Measure { parts: true, ..self }
    }

    /// What the dashboards that are shipped ask for.
    const fn ahead(self) -> Measure {
        Measure { ahead: true, ..self }
    }
}

/// A kind of record that says facts.
pub struct Source {
    /// The kind.
    pub kind: &'static str,
    /// The dimensions that reports know, custom fields aside; none when its facts are only for those of other kinds.
    pub dimensions: &'static [Dimension],
    /// What reports measure of it.
    pub measures: &'static [Measure],
    /// The dimensions by which numbers are asked for again and again: what is counted has them beside it.
    pub ahead: &'static [&'static str],
    tells: fn(&str, &[u8]) -> Result<Vec<Fact>, Undecodable>,
}

impl Source {
    /// Its dimension of this name.
    pub fn dimension(&self, name: &str) -> Option<&'static Dimension> {
        self.dimensions.iter().find(|known| known.name == name)
    }

    /// Its measure of this name.
    pub fn measure(&self, name: &str) -> Option<&'static Measure> {
        self.measures.iter().find(|known| known.name == name)
    }

    /// The moments from which its measures follow.
    pub fn moments(&self) -> Vec<&'static str> {
        let mut moments: Vec<_> = self.measures.iter().flat_map(|measure| measure.how.moments()).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// What a stored event says.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn tells(&self, event_type: &str, data: &[u8]) -> Result<Vec<Fact>, Undecodable> {
        (self.tells)(event_type, data)
    }
}

/// The dimension that names the record that another one became a part of.
pub const MERGED: &str = "merged_into";

/// Every kind of record that says facts.
pub const SOURCES: &[Source] = &[
    ticket::SOURCE,
    conversation::SOURCE,
    task::SOURCE,
    order::SOURCE,
    deal::SOURCE,
    call::SOURCE,
    lead::SOURCE,
    enquiry::SOURCE,
    offer::SOURCE,
    rule_run::SOURCE,
    Source { kind: "product", dimensions: &[], measures: &[], ahead: &[], tells: told::<Product> },
    Source { kind: "contact", dimensions: &[], measures: &[], ahead: &[], tells: told::<Contact> },
    Source { kind: "company", dimensions: &[], measures: &[], ahead: &[], tells: told::<Company> },
];

/// The kinds of records that say facts.
pub const KINDS: &[&str] = &[
    "ticket",
    "conversation",
    "task",
    "order",
    "deal",
    "call",
    "lead",
    "enquiry",
    "offer",
    "rule_run",
    "product",
    "contact",
    "company",
];

/// The source of a kind.
pub fn source(kind: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.kind == kind)
}

/// The kinds that reports count.
pub fn counted() -> impl Iterator<Item = &'static Source> {
    SOURCES.iter().filter(|source| !source.measures.is_empty())
}

/// An aggregate whose events say facts.
trait Tells: Aggregate {
    fn facts(event: Self::Event) -> Vec<Fact>;
}

fn told<A: Tells>(event_type: &str, data: &[u8]) -> Result<Vec<Fact>, Undecodable> {
    Ok(A::facts(A::decode(event_type, data)?))
}

impl Tells for Product {
    fn facts(event: Self::Event) -> Vec<Fact> {
        match event {
            Either::Own(product::Event::Categorised { to, .. }) => vec![Fact::id("category_id", to)],
            _ => Vec::new(),
        }
    }
}

impl Tells for Contact {
    fn facts(event: Self::Event) -> Vec<Fact> {
        match event {
            Either::Own(contact::Event::Merged { into, .. }) => vec![Fact::id(MERGED, Some(into))],
            Either::Own(contact::Event::Unmerged { .. }) => vec![Fact::id(MERGED, None)],
            _ => Vec::new(),
        }
    }
}

impl Tells for Company {
    fn facts(event: Self::Event) -> Vec<Fact> {
        match event {
            Either::Own(company::Event::Merged { into, .. }) => vec![Fact::id(MERGED, Some(into))],
            Either::Own(company::Event::Unmerged { .. }) => vec![Fact::id(MERGED, None)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use serde_json::json;

    use super::*;
    use crate::{
        catalogue::{self, listed},
        kernel::merging,
    };

    #[test]
    fn the_kinds_are_those_of_the_sources_and_whatever_merges_says_so() {
        assert_eq!(SOURCES.iter().map(|source| source.kind).collect::<Vec<_>>(), KINDS);
        for kind in merging::KINDS {
            let data = json!({ "into": Id::from_bits(1), "redirects": [] }).to_string();
            let told = source(kind).unwrap().tells(&format!("{kind}.merged"), data.as_bytes()).unwrap();
            assert!(told.contains(&Fact::id(MERGED, Some(Id::from_bits(1)))), "{kind}");
        }
    }

    #[test]
    fn dimensions_are_called_as_lists_call_them_and_measures_use_moments_that_are_told() {
        for source in counted() {
            let beyond = |dimension: &&Dimension| dimension.via.is_none();
            for dimension in source.dimensions.iter().filter(beyond) {
                assert_eq!(listed::kind_of(source.kind, dimension.name), Some(dimension.kind), "{}", dimension.name);
                assert!(dimension.refers.iter().all(|kind| catalogue::has(kind)), "{}", dimension.name);
            }
            let names: BTreeSet<_> = source.measures.iter().map(|measure| measure.name).collect();
            assert_eq!(names.len(), source.measures.len(), "{}", source.kind);
        }
    }

    /// What the events that were ever recorded of a kind say.
    fn told_by(source: &Source) -> Vec<Fact> {
        let golden = format!("{}/golden/{}", env!("CARGO_MANIFEST_DIR"), source.kind);
        let files = fs::read_dir(golden).unwrap().map(|file| file.unwrap().path());
        let events = files.map(|path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap());
        let told = |event: Value| source.tells(event["type"].as_str().unwrap(), event["data"].to_string().as_bytes());
        events.flat_map(|event| told(event).unwrap()).collect()
    }

    #[test]
    fn every_moment_that_is_told_is_measured_and_every_dimension_is_told() {
        for source in counted() {
            let facts = told_by(source);
            let told: BTreeSet<&str> = facts
                .iter()
                .filter_map(|fact| if let Fact::Moment { moment, .. } = fact { Some(*moment) } else { None })
                .collect();
            let used: BTreeSet<&str> = source.measures.iter().flat_map(|measure| measure.how.moments()).collect();
            let merging = ["merged", "unmerged"];
            let idle: Vec<_> = told.difference(&used).filter(|moment| !merging.contains(moment)).collect();
            assert!(idle.is_empty() && used.is_subset(&told), "{}: {idle:?}, {used:?}", source.kind);
            let valued = |name: &str| {
                facts.iter().any(|fact| match fact {
                    Fact::Value { dimension, .. } => dimension == name,
                    Fact::Part { dimension, .. } => *dimension == name,
                    Fact::Moment { .. } => false,
                })
            };
            let worths = source.measures.iter().filter_map(|measure| measure.worth);
            let own =
                source.dimensions.iter().filter(|dimension| dimension.via.is_none()).map(|dimension| dimension.name);
            // The example of a call is one of before numbers were worked out.
            let silent: Vec<&str> = own.chain(worths).filter(|name| *name != "to_e164" && !valued(name)).collect();
            assert!(silent.is_empty(), "{}: nothing says {silent:?}", source.kind);
        }
    }
}
