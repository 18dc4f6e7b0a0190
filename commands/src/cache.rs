//! Aggregates as this process knows them, by version, so that a hot command reads no stream.

use std::sync::Arc;

use domain::{
    Id,
    kernel::aggregate::{AnyState, Fold},
};
use eventstore::{Log, Recorded};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

/// What a state belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: Id,
    pub(crate) kind: &'static str,
    pub(crate) id: Id,
}

/// A state and the version of its stream, -1 when there is none.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) version: i64,
    /// The event of that version; nil when there is none.
    pub(crate) event_id: Uuid,
    /// The version of its latest snapshot, as far as known here; -1 when there is none.
    pub(crate) snapshot: i64,
    pub(crate) state: AnyState,
    pub(crate) fold: Fold,
}

impl Known {
    /// A record that has no events.
    pub(crate) fn nothing(fold: Fold) -> Known {
        // To a fold, any state that is not its own is none.
        Known { version: -1, event_id: Uuid::nil(), snapshot: -1, state: AnyState::new(()), fold }
    }
}

/// Recent aggregates. An append that relies on an outdated one conflicts, and it is loaded anew; whoever appends nothing
/// brings it up to date first. A newer state never gives way to an older one.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    states: quick_cache::sync::Cache<Key, Known>,
    /// Held from the look at what is there until it is replaced.
    replacing: Mutex<()>,
}

impl Cache {
    /// Room for this many aggregates.
    pub fn new(capacity: usize) -> Cache {
        Cache(Arc::new(Shared { states: quick_cache::sync::Cache::new(capacity), replacing: Mutex::new(()) }))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Known> {
        self.0.states.get(key)
    }

    /// Keeps the newer of the two.
    pub(crate) fn put(&self, key: Key, known: Known) {
        let _replacing = self.0.replacing.lock();
        if self.get(&key).is_none_or(|old| old.version < known.version) {
            self.0.states.insert(key, known);
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.0.states.remove(key);
    }

    /// Follows the log, so that what other processes append reaches the states known here.
    pub(crate) fn follow(self, log: Log, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut head = log.tail().watch();
            let mut position = *head.borrow();
            loop {
                match log.tail().after(position, 1024).await {
                    Ok(events) if !events.is_empty() => {
                        for event in events {
                            position = event.position;
                            self.take_in(&event);
                        }
                        continue;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        // What was missed is unknown: better to know nothing.
                        tracing::warn!(%error, "cannot follow the log; forgetting cached aggregates");
                        self.0.states.clear();
                    }
                }
                tokio::select! {
                    moved = head.changed() => if moved.is_err() { return },
                    _ = stop.changed() => return,
                }
            }
        })
    }

    fn take_in(&self, event: &Recorded) {
        let (Ok(tenant), Ok(id)) = (event.tenant.parse(), event.key().parse()) else { return };
        let Some(kind) = kind_of(event.category()) else { return };
        let key = Key { tenant, kind, id };
        let Some(known) = self.get(&key) else { return };
        if known.version >= event.version {
            return;
        }
        let folded = (known.fold)(
            Some(known.state.clone()),
            &mut std::iter::once((&*event.kind, &*event.data, &*event.metadata)),
        );
        match folded {
            Ok(state) if known.version + 1 == event.version => {
                self.put(key, Known { version: event.version, event_id: event.id, state, ..known });
            }
            _ => self.forget(&key),
        }
    }
}

/// The kind as the catalogue names it, which lives as long as the program.
fn kind_of(category: &str) -> Option<&'static str> {
    struct Find<'a>(&'a str, Option<&'static str>);
    impl domain::catalogue::Visitor for Find<'_> {
        fn visit<A: domain::Aggregate>(&mut self) {
            if A::KIND == self.0 {
                self.1 = Some(A::KIND);
            }
        }
    }
    let mut find = Find(category, None);
    domain::catalogue::visit_all(&mut find);
    find.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::thread;

    use domain::{Aggregate, crm::contact::Contact, kernel::aggregate::fold};

    use super::*;

    #[test]
    fn a_newer_state_never_gives_way_to_an_older_one() {
        let cache = Cache::new(100);
        let key = Key { tenant: Id::NIL, kind: Contact::KIND, id: Id::from_bits(1) };
        let known = |version| Known { version, ..Known::nothing(fold::<Contact>) };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..50_000).for_each(|version| cache.put(key, known(version))));
            }
            let mut last = -1;
            while last < 49_999 {
                let now = cache.get(&key).map_or(-1, |known| known.version);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
    }
}
