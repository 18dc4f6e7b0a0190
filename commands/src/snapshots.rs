//! Snapshots of long streams: written in the background, out of the way of commands, and read instead of what is in them.

use domain::{
    Need,
    catalogue::{self, Kind},
    kernel::{aggregate::AnyState, snapshot::CODE},
};
use eventstore::{Log, Snapshot};
use prometheus::IntCounter;
use tokio::sync::{mpsc, watch};

use crate::cache::{Key, Known};

/// Events since its last snapshot that a stream has before there is a new one: folding so many takes a few milliseconds, and a
/// snapshot holds no more than they do by much, unless the stream is very long.
pub(crate) const EVERY: i64 = 500;
/// Snapshots that wait to be written. What finds no room is due again with the next event.
const WAITING: usize = 16;

/// What is counted of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    written: IntCounter,
    used: IntCounter,
    unfit: IntCounter,
}

impl Metrics {
    pub(crate) fn new<E>(counter: &impl Fn(&str, &str) -> Result<IntCounter, E>) -> Result<Metrics, E> {
        Ok(Metrics {
            written: counter("deskfold_snapshots_written_total", "Snapshots of long streams written.")?,
            used: counter("deskfold_snapshots_used_total", "Aggregates read from a snapshot on.")?,
            unfit: counter("deskfold_snapshots_unfit_total", "Snapshots of this code that were damaged, and ignored.")?,
        })
    }

    pub(crate) fn unfit(&self, stream: &str) {
        tracing::warn!(stream, "a damaged snapshot is ignored");
        self.unfit.inc();
    }
}

/// Snapshots of long streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Snapshots {
    metrics: Metrics,
    due: mpsc::Sender<(Key, Known)>,
    /// How many are due and not written.
    waiting: watch::Sender<usize>,
    stop: watch::Sender<bool>,
}

impl Snapshots {
    pub(crate) fn start(log: Log, metrics: Metrics) -> Snapshots {
        let (due, taken) = mpsc::channel(WAITING);
        let (waiting, stop) = (watch::Sender::new(0), watch::Sender::new(false));
        let writing = write(log, metrics.clone(), taken, waiting.clone());
        let mut stopped = stop.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = writing => {}
                // Nobody who could stop it is left: nobody either who has anything written.
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
        Snapshots { metrics, due, waiting, stop }
    }

    /// Has a snapshot written if one is due. Whether it will be.
    pub(crate) fn take(&self, key: &Key, known: &Known) -> bool {
        if known.version - known.snapshot < EVERY {
            return false;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let taken = self.due.try_send((*key, known.clone())).is_ok();
        if !taken {
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
        taken
    }

    /// What a snapshot says of a record; `None` when it cannot be understood.
    pub(crate) fn restore(&self, need: &Need, snapshot: &Snapshot) -> Option<Known> {
        let state = catalogue::kind(need.kind)?.restore(&snapshot.state)?;
        self.metrics.used.inc();
        let Snapshot { version, event_id, .. } = *snapshot;
        Some(Known { version, event_id, snapshot: version, state, fold: need.fold })
    }

    /// Waits until what is due is written.
    pub(crate) async fn settle(&self) {
        // This holds the sender.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// Writes no more.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
    }
}

async fn write(log: Log, metrics: Metrics, mut due: mpsc::Receiver<(Key, Known)>, waiting: watch::Sender<usize>) {
    while let Some((key, known)) = due.recv().await {
        let Key { tenant, kind, id } = key;
        if let Some(state) = bytes_of(catalogue::kind(kind), known.state).await {
            let (version, event_id) = (known.version, known.event_id);
            let (tenant, stream, code) = (tenant.to_string(), format!("{kind}-{id}"), CODE.to_owned());
            let snapshot = Snapshot { tenant, stream, version, event_id, code, state: state.into() };
            match log.keep_snapshot(&snapshot).await {
                Ok(()) => metrics.written.inc(),
                // It costs time after a restart, and nothing else.
                Err(error) => tracing::warn!(stream = snapshot.stream, %error, "a snapshot is not written"),
            }
        }
        waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// Large states take their time, which is no other task's.
async fn bytes_of(kind: Option<&'static Kind>, state: AnyState) -> Option<Vec<u8>> {
    tokio::task::spawn_blocking(move || kind?.snapshot(&state)).await.ok().flatten()
}
