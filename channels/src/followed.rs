//! Tasks that follow what is wanted: one for each thing, ended when it is wanted no more, begun anew when it is wanted otherwise or
//! its task is over.

use std::collections::BTreeMap;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A task, and what it was begun for.
struct One<W> {
    wanted: W,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The tasks, by what each of them follows.
pub(crate) struct Followed<K, W>(BTreeMap<K, One<W>>);

impl<K: Ord + Copy, W: PartialEq> Followed<K, W> {
    /// None yet.
    pub(crate) fn new() -> Followed<K, W> {
        Followed(BTreeMap::new())
    }

    /// Sees to it that there is a task for whatever is wanted, and no other.
    pub(crate) async fn follow(
        &mut self,
        wanted: BTreeMap<K, W>,
        begin: impl Fn(K, &W, CancellationToken) -> JoinHandle<()>,
    ) {
        let is_over = |(key, one): &(&K, &One<W>)| wanted.get(key) != Some(&one.wanted) || one.task.is_finished();
        let over: Vec<K> = self.0.iter().filter(is_over).map(|(key, _)| *key).collect();
        for key in over {
            if let Some(one) = self.0.remove(&key) {
                one.stop.cancel();
                // A task that panicked has been reported.
                let _ = one.task.await;
            }
        }
        for (key, wanted) in wanted {
            self.0.entry(key).or_insert_with(|| {
                let stop = CancellationToken::new();
                let task = begin(key, &wanted, stop.clone());
                One { wanted, stop, task }
            });
        }
    }

    /// Ends them all.
    pub(crate) async fn end(self) {
        self.0.values().for_each(|one| one.stop.cancel());
        for one in self.0.into_values() {
            let _ = one.task.await;
        }
    }
}
