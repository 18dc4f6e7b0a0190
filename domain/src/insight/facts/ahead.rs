//! What is counted of one record, worked out as soon as something is told of it: the items of the measures that are asked for again
//! and again, each with what it is divided by. A report that finds them so need not look at the facts of all records; it finds
//! the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fact, How, MERGED, Measure, Source, Unit};

/// Something that was told of a record: when it happened, in microseconds; the position at which it was told; a moment, `!` before it,
/// or a dimension; its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Told(pub i64, pub i64, pub String, pub Value);

/// Marks a moment.
const MOMENT: char = '!';

/// One of what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// When it counts, or from when on; in microseconds.
    pub at: i64,
    /// Until when.
    pub end: End,
    /// The length in microseconds, or the score.
    pub measured: Option<i64>,
    /// The values of [`Source::ahead`] then, as texts.
    pub values: Vec<Option<String>>,
}

/// Until when an item counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It counts at one instant.
    At,
    /// It counts at any instant up to this one, in microseconds.
    Until(i64),
    /// It counts from then on.
    Open,
}

/// Items by the measure that counts them and their number among those of the record.
pub type Items = BTreeMap<(&'static str, usize), Item>;

impl Measure {
    /// The dimensions on which it rests.
    fn rests_on(&self) -> impl Iterator<Item = &'static str> {
        let (dimension, within) = match self.how {
            How::Level { dimension, within, .. } | How::Held { dimension, within } => (Some(dimension), within),
            _ => (None, None),
        };
        dimension.into_iter().chain(within.map(|(other, _)| other))
    }
}

impl Source {
    /// The measures that are worked out ahead.
    fn measured_ahead(&self) -> impl Iterator<Item = &'static Measure> {
        self.measures.iter().filter(|measure| measure.ahead)
    }

    /// Takes in what was told, if anything that is worked out ahead follows from it. What was told is in the order in which it happened;
    /// answers whether it is another then.
    pub fn take_in(&self, told: &mut Vec<Told>, (at, position): (i64, i64), fact: &Fact) -> bool {
        let (name, value) = match fact {
            Fact::Moment { moment, value } => {
                let of = |measure: &&Measure| measure.how.moments().contains(moment);
                if !self.measured_ahead().any(|measure| of(&measure)) {
                    return false;
                }
                // Of what is only asked for the first, others need not be remembered: they may be very many.
                let first = |measure: &Measure| matches!(measure.how, How::First { from, .. } if from != *moment);
                let name = format!("{MOMENT}{moment}");
                if self.measured_ahead().filter(of).all(first) {
                    if told.iter().any(|known| known.2 == name && (known.0, known.1) <= (at, position)) {
                        return false;
                    }
                    told.retain(|known| known.2 != name);
                }
                (name, value)
            }
            Fact::Value { dimension, value } => {
                let rests = || self.measured_ahead().any(|measure| measure.rests_on().any(|on| on == dimension));
                let is_known = self.ahead.contains(&&**dimension) || dimension == MERGED || rests();
                if self.ahead.is_empty() || !is_known {
                    return false;
                }
                (dimension.to_string(), value)
            }
            Fact::Part { .. } => return false,
        };
        let place = told.partition_point(|known| (known.0, known.1) <= (at, position));
        told.insert(place, Told(at, position, name, value.clone()));
        true
    }

    /// What is counted of a record of which this was told.
    pub fn items(&self, told: &[Told]) -> Items {
        let record = Record { source: self, told };
        // Told last, whenever it happened.
        let merged = told.iter().filter(|told| told.2 == MERGED).max_by_key(|told| told.1);
        let is_part = merged.is_some_and(|told| !told.3.is_null());
        let counted = self.measured_ahead().filter(|measure| measure.parts || !is_part);
        let items = counted.flat_map(|measure| {
            let mut items = record.items(measure);
            items.sort_by_key(|item| (item.at, item.end));
            (0..).zip(items).map(|(turn, item)| ((measure.name, turn), item))
        });
        items.collect()
    }
}

/// A stretch in which a dimension had a value.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    at: i64,
    until: Option<i64>,
    value: &'a Value,
}

/// A value as a report compares it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

struct Record<'a> {
    source: &'a Source,
    told: &'a [Told],
}

impl<'a> Record<'a> {
    /// The moments of these names, in their order.
    fn moments(&self, of: &[&str]) -> impl DoubleEndedIterator<Item = &'a Told> {
        self.told.iter().filter(move |told| told.2.strip_prefix(MOMENT).is_some_and(|moment| of.contains(&moment)))
    }

    /// What was told of a dimension, in its order.
    fn of(&self, dimension: &str) -> impl DoubleEndedIterator<Item = &'a Told> {
        self.told.iter().filter(move |told| told.2 == dimension)
    }

    /// What the items at an instant are divided by.
    fn values(&self, seen: i64) -> Vec<Option<String>> {
        let value = |dimension: &&str| text(&self.of(dimension).rfind(|told| told.0 <= seen)?.3);
        self.source.ahead.iter().map(value).collect()
    }

    fn at(&self, at: i64, measured: Option<i64>) -> Item {
        Item { at, end: End::At, measured, values: self.values(at) }
    }

    /// The stretches in which a dimension had one value: of what happened at one instant the last counts, and a value that is said again
    /// goes on.
    fn stretches(&self, dimension: &str) -> Vec<Stretch<'a>> {
        let mut last: Vec<&Told> = Vec::new();
        for told in self.of(dimension) {
            last.pop_if(|before| before.0 == told.0);
            last.push(told);
        }
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        let mut before = &Value::Null;
        for Told(at, _, _, value) in last {
            if value != before {
                if let Some(stretch) = stretches.last_mut() {
                    stretch.until = Some(*at);
                }
                stretches.push(Stretch { at: *at, until: None, value });
            }
            before = value;
        }
        stretches
    }

    /// The same, only while another dimension has a value.
    fn within(&self, dimension: &str, within: Option<(&str, &str)>) -> Vec<Stretch<'a>> {
        let all = self.stretches(dimension);
        let Some((other, held)) = within else { return all };
        let while_held: Vec<_> =
            self.stretches(other).into_iter().filter(|stretch| text(stretch.value).as_deref() == Some(held)).collect();
        let both = all.iter().flat_map(|one| while_held.iter().map(move |other| (one, other)));
        let common = both.map(|(one, other)| Stretch {
            at: one.at.max(other.at),
            until: one.until.into_iter().chain(other.until).min(),
            value: one.value,
        });
        common.filter(|stretch| stretch.until.is_none_or(|until| stretch.at < until)).collect()
    }

    /// What a measure counts of it: as the statements of reports find it.
    fn items(&self, measure: &Measure) -> Vec<Item> {
        match measure.how {
            How::Each(of) => {
                let measured = |told: &Told| (measure.unit == Unit::Points).then(|| told.3.as_i64()).flatten();
                self.moments(of).map(|told| self.at(told.0, measured(told))).collect()
            }
            How::Last { of, undone } => {
                let last = self.moments(&[of, undone]).next_back();
                let holds = last.filter(|told| told.2.strip_prefix(MOMENT) == Some(of));
                holds.map(|told| self.at(told.0, None)).into_iter().collect()
            }
            How::First { from, to } => {
                let end = self.moments(to).next();
                self.lengths(from, end.map(|told| told.0))
            }
            How::Whole { from, to, undone } => {
                let undone = self.moments(&[undone]).next_back().map(|told| (told.0, told.1));
                let end = self.moments(to).find(|told| undone.is_none_or(|undone| undone < (told.0, told.1)));
                self.lengths(from, end.map(|told| told.0))
            }
            How::Level { dimension, value, within } => {
                let held = self.within(dimension, within);
                let held = held.into_iter().filter(|stretch| text(stretch.value).as_deref() == Some(value));
                held.flat_map(|stretch| self.slices(stretch)).collect()
            }
            How::Held { dimension, within } => {
                let held = self.within(dimension, within).into_iter().filter(|stretch| !stretch.value.is_null());
                let over = held.filter_map(|stretch| Some((stretch.at, stretch.until?)));
                let item = |(at, until)| Item { values: self.values(until - 1), ..self.at(until, Some(until - at)) };
                over.map(item).collect()
            }
            // None of them is worked out ahead: a test says so.
            How::Next { .. } | How::OneTouch { .. } | How::Outcome { .. } | How::Times { .. } => Vec::new(),
        }
    }

    /// From each moment that begins it until it ended.
    fn lengths(&self, from: &str, end: Option<i64>) -> Vec<Item> {
        let Some(end) = end else { return Vec::new() };
        self.moments(&[from]).map(|begun| self.at(end, Some(end - begun.0))).collect()
    }

    /// A stretch in as many parts as it takes for each to have one value of every dimension.
    fn slices(&self, stretch: Stretch<'_>) -> Vec<Item> {
        let inside = |at: &i64| *at > stretch.at && stretch.until.is_none_or(|until| *at < until);
        let mut cuts: Vec<i64> = vec![stretch.at];
        let divides = |told: &&Told| self.source.ahead.contains(&told.2.as_str());
        cuts.extend(self.told.iter().filter(divides).map(|told| told.0).filter(inside));
        cuts.dedup();
        let end = |until: i64| End::Until(until);
        let ends = cuts.iter().skip(1).copied().map(end).chain([stretch.until.map_or(End::Open, end)]);
        let mut slices: Vec<Item> = Vec::new();
        for (at, end) in cuts.iter().copied().zip(ends) {
            let values = self.values(at);
            match slices.last_mut().filter(|last| last.values == values) {
                Some(last) => last.end = end,
                None => slices.push(Item { at, end, measured: None, values }),
            }
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::insight::facts::{counted, source};

    /// What is counted of a ticket of which this was told, each at its instant.
    fn items(told: &[(i64, Fact)]) -> Items {
        let ticket = source("ticket").unwrap();
        let mut known = Vec::new();
        for (position, (at, fact)) in (0..).zip(told) {
            ticket.take_in(&mut known, (*at, position), fact);
        }
        ticket.items(&known)
    }

    fn of(items: &Items, measure: &str) -> Vec<(i64, End, Option<i64>, Option<String>)> {
        let of = items.iter().filter(|((name, _), _)| *name == measure);
        of.map(|(_, item)| (item.at, item.end, item.measured, item.values[0].clone())).collect()
    }

    fn told() -> Vec<(i64, Fact)> {
        let (assignee, status) = (|to: &str| Fact::value("assignee_id", to), |to: &str| Fact::value("status", to));
        vec![
            (10, Fact::moment("opened")),
            (10, status("open")),
            (20, assignee("anna")),
            (30, Fact::moment("sent")),
            (35, Fact::moment("sent")),
            (40, Fact::moment("closed")),
            (40, status("closed")),
            (50, Fact::moment("reopened")),
            (50, status("open")),
            (60, assignee("boris")),
            (70, Fact::moment("closed")),
            (70, status("closed")),
        ]
    }

    #[test]
    fn everything_that_is_counted_of_a_ticket_follows_from_what_was_told() {
        let items = items(&told());
        let (anna, boris) = (Some("anna".to_owned()), Some("boris".to_owned()));
        assert_eq!(of(&items, "opened"), [(10, End::At, None, None)]);
        assert_eq!(of(&items, "first_reply"), [(30, End::At, Some(20), anna.clone())]);
        assert_eq!(of(&items, "closed"), [(70, End::At, None, boris.clone())]);
        assert_eq!(of(&items, "resolution"), [(70, End::At, Some(60), boris.clone())]);
        let backlog = [
            (10, End::Until(20), None, None),
            (20, End::Until(40), None, anna.clone()),
            (50, End::Until(60), None, anna.clone()),
            (60, End::Until(70), None, boris.clone()),
        ];
        assert_eq!(of(&items, "backlog"), backlog);
        let held =
            [(40, End::At, Some(20), anna.clone()), (60, End::At, Some(10), anna), (70, End::At, Some(10), boris)];
        assert_eq!(of(&items, "time_with_assignee"), held);
    }

    #[test]
    fn what_is_told_late_falls_into_its_place_and_a_part_of_another_ticket_does_not_count() {
        let mut late = told();
        late.push((15, Fact::moment("sent")));
        late.push((5, Fact::value("assignee_id", "carla")));
        let items_late = items(&late);
        let carla = Some("carla".to_owned());
        assert_eq!(of(&items_late, "first_reply"), [(15, End::At, Some(5), carla.clone())]);
        assert_eq!(of(&items_late, "opened"), [(10, End::At, None, carla)]);
        late.push((80, Fact::value(MERGED, "another")));
        assert_eq!(items(&late), Items::new());
        late.push((90, Fact::value(MERGED, Value::Null)));
        assert_eq!(items(&late), items_late);
    }

    #[test]
    fn of_replies_no_more_than_the_first_is_remembered() {
        let ticket = source("ticket").unwrap();
        let mut known = Vec::new();
        for at in [30, 20, 40, 10, 50] {
            let is_first = known.iter().all(|told: &Told| told.0 > at);
            assert_eq!(ticket.take_in(&mut known, (at, at), &Fact::moment("sent")), is_first);
        }
        assert_eq!(known, [Told(10, 10, "!sent".into(), json!(null))]);
        assert!(!ticket.take_in(&mut known, (60, 60), &Fact::moment("received")), "nothing follows from it");
    }

    #[test]
    fn what_is_worked_out_ahead_can_be() {
        for source in counted() {
            for name in source.ahead {
                let dimension = source.dimension(name).unwrap();
                assert!(dimension.via.is_none() && !dimension.kind.is_set(), "{name}");
            }
            for measure in source.measured_ahead() {
                let told_apart = matches!(measure.unit, Unit::Count | Unit::Seconds | Unit::Points);
                assert!(told_apart && measure.worth.is_none() && !source.ahead.is_empty(), "{}", measure.name);
                let shape = matches!(
                    measure.how,
                    How::Each(_)
                        | How::Last { .. }
                        | How::First { .. }
                        | How::Whole { .. }
                        | How::Level { .. }
                        | How::Held { .. }
                );
                assert!(shape, "{}", measure.name);
            }
        }
    }
}
