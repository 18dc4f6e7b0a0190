//! When something held, by position and by instant: intervals that follow from folding what had counted by then.

use std::{collections::BTreeMap, fmt::Display};

use domain::Time;

/// Intervals in their order, apart from each other: since when, and until when if ever.
pub(super) type Spans<K> = Vec<(K, Option<K>)>;

/// When something held.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    /// After which events of the log.
    pub(super) positions: Spans<i64>,
    /// When in the world, as it is known now.
    pub(super) instants: Spans<Time>,
}

impl Held {
    /// Ever since.
    pub(super) fn since(position: i64, at: Time) -> Held {
        Held { positions: vec![(position, None)], instants: vec![(at, None)] }
    }

    /// Whether it holds now.
    pub(super) fn now(&self) -> bool {
        self.positions.last().is_some_and(|(_, until)| until.is_none())
    }

    /// Whether it never held.
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.instants.is_empty()
    }

    /// When both held.
    pub(super) fn both(&self, other: &Held) -> Held {
        Held { positions: common(&self.positions, &other.positions), instants: common(&self.instants, &other.instants) }
    }
}

fn common<K: Copy + Ord>(one: &Spans<K>, other: &Spans<K>) -> Spans<K> {
    let end = |one: Option<K>, other: Option<K>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
    let both = pairs.map(|(one, other)| (one.0.max(other.0), end(one.1, other.1)));
    both.filter(|(since, until)| until.is_none_or(|until| *since < until)).collect()
}

/// When each of the things held that `what` finds in the state which events make: of the events that count by some
/// position or instant, in the order of the log. Both lists have all events in that order.
pub(super) fn held<E, S: Clone + Default, N: Clone + Ord>(
    positions: &[(i64, &E)],
    instants: &[(Time, &E)],
    step: impl Fn(&mut S, &E),
    what: impl Fn(&S) -> Vec<N>,
) -> BTreeMap<N, Held> {
    let mut all: BTreeMap<N, Held> = BTreeMap::new();
    for (name, spans) in spans(&states(positions, &step), &what) {
        all.entry(name).or_default().positions = spans;
    }
    for (name, spans) in spans(&states(instants, &step), &what) {
        all.entry(name).or_default().instants = spans;
    }
    all
}

/// The state from each position or instant on.
fn states<K: Copy + Ord, E, S: Clone + Default>(events: &[(K, &E)], step: impl Fn(&mut S, &E)) -> Vec<(K, S)> {
    let mut keys: Vec<K> = events.iter().map(|(key, _)| *key).collect();
    let is_orderly = keys.is_sorted();
    keys.sort_unstable();
    keys.dedup();
    if !is_orderly {
        let by = |key: K| {
            let mut state = S::default();
            events.iter().filter(|(other, _)| *other <= key).for_each(|(_, event)| step(&mut state, event));
            (key, state)
        };
        return keys.into_iter().map(by).collect();
    }
    // What was told in order need not be folded again and again.
    let (mut state, mut rest) = (S::default(), events);
    let by = |key: K| {
        let count = rest.iter().take_while(|(other, _)| *other == key).count();
        let (now, later) = rest.split_at(count);
        now.iter().for_each(|(_, event)| step(&mut state, event));
        rest = later;
        (key, state.clone())
    };
    keys.into_iter().map(by).collect()
}

fn spans<K: Copy + Ord, S, N: Clone + Ord>(states: &[(K, S)], what: impl Fn(&S) -> Vec<N>) -> BTreeMap<N, Spans<K>> {
    let mut all: BTreeMap<N, Spans<K>> = BTreeMap::new();
    let mut open: Vec<N> = Vec::new();
    for (key, state) in states {
        let now = what(state);
        for gone in open.iter().filter(|name| !now.contains(name)) {
            if let Some((_, until)) = all.get_mut(gone).and_then(|spans| spans.last_mut()) {
                *until = Some(*key);
            }
        }
        for name in now.iter().filter(|name| !open.contains(name)) {
            all.entry(name.clone()).or_default().push((*key, None));
        }
        open = now;
    }
    all
}

/// As PostgreSQL writes a multirange.
pub(super) fn text<K: Display>(spans: &Spans<K>) -> String {
    let one = |(since, until): &(K, Option<K>)| match until {
        Some(until) => format!("[{since},{until})"),
        None => format!("[{since},)"),
    };
    format!("{{{}}}", spans.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fold::tests::at;

    #[test]
    fn what_counts_by_an_instant_is_folded_in_the_order_of_the_log() {
        // To P on the 8th; to Q on the 20th; and, told last, back to P on the 12th.
        let events = ['P', 'Q', 'P'];
        let by = |days: [i64; 3]| days.map(at).into_iter().zip(&events).collect::<Vec<_>>();
        let positions: Vec<(i64, &char)> = (1..).zip(&events).collect();
        let held = held(
            &positions,
            &by([8, 20, 12]),
            |now: &mut Option<char>, to| *now = Some(*to),
            |now| now.iter().copied().collect(),
        );
        assert_eq!(held[&'P'].positions, [(1, Some(2)), (3, None)]);
        assert_eq!(held[&'P'].instants, [(at(8), None)], "on the 20th too: the log has P last");
        assert_eq!(held[&'Q'], Held { positions: vec![(2, Some(3))], instants: vec![] });
        assert!(held[&'P'].now() && !held[&'Q'].now());
    }

    #[test]
    fn both_hold_where_their_spans_meet() {
        let spans = |spans: &[(i64, Option<i64>)]| Held { positions: spans.to_vec(), instants: vec![] };
        let both = spans(&[(1, Some(5)), (7, None)]).both(&spans(&[(3, Some(8)), (9, Some(11))]));
        assert_eq!(both.positions, [(3, Some(5)), (7, Some(8)), (9, Some(11))]);
        assert_eq!(text(&both.positions), "{[3,5),[7,8),[9,11)}");
        assert_eq!(spans(&[(1, Some(3))]).both(&spans(&[(3, None)])), Held::default());
        assert!(Held::default().is_empty() && !Held::default().now());
        assert_eq!(text(&Held::since(2, at(0)).instants), "{[2026-01-01T00:00:00Z,)}");
    }
}
