//! Signals: who is typing and who is looking at what. They are in no log and no table; whoever misses one misses nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{ActorKind, Id};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use crate::app::App;

/// How long a signal says something, unless it is repeated.
const LASTS: Duration = Duration::from_secs(30);
/// Signals that a slow listener may be behind by.
const KEPT: usize = 1024;
/// Signals that wait for being told to other processes; what comes beyond that is not told to them.
const WAITING: usize = 4096;
/// How long signals are gathered before other processes are told: a notification takes a lock that commits take too.
const GATHER: Duration = Duration::from_millis(20);
/// Most bytes that PostgreSQL takes as one notification are 8,000.
const MOST: usize = 7_900;
/// How long to wait after other processes could not be heard.
const PAUSE: Duration = Duration::from_secs(1);
/// The channel of notifications.
const CHANNEL: &str = "signals";

/// What somebody is doing in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shown {
    /// Writing something.
    Typing,
    /// Looking at it.
    Looking,
    /// Neither any more.
    Left,
}

/// What somebody shows the others at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Signal")]
pub(crate) struct Signal {
    /// The conversation.
    pub(crate) conversation: Id,
    /// What is being done in it.
    pub(crate) signal: Shown,
    /// Whether it is a colleague (`user`), the other side (`visitor`) or a bot.
    pub(crate) kind: ActorKind,
    /// Which colleague, or which visitor.
    pub(crate) by: Id,
}

/// A signal, and the tenant whose screens it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) tenant: Id,
    pub(crate) signal: Signal,
}

/// What one process tells the others.
#[derive(Serialize, Deserialize)]
struct Heard {
    /// The process, which knows it already.
    from: Uuid,
    signals: Vec<Sent>,
}

/// Whose screens a signal is for, in which conversation, and whose it is.
type Place = (Id, Id, Id);

/// The signals of all screens.
pub(crate) struct Signals {
    here: broadcast::Sender<Arc<Sent>>,
    there: mpsc::Sender<Arc<Sent>>,
    /// What is shown at this moment, for screens that are opened now.
    shown: Mutex<HashMap<Place, (Arc<Sent>, Instant)>>,
}

impl Signals {
    /// Those of this process, and what is to be told to others.
    pub(crate) fn new() -> (Signals, mpsc::Receiver<Arc<Sent>>) {
        let (there, waiting) = mpsc::channel(WAITING);
        (Signals { here: broadcast::Sender::new(KEPT), there, shown: Mutex::default() }, waiting)
    }

    /// Shows something to all screens.
    pub(crate) fn show(&self, tenant: Id, signal: Signal) {
        let sent = Arc::new(Sent { tenant, signal });
        self.show_here(&sent);
        // Signals that other processes cannot be told of in time are out of date anyway.
        let _ = self.there.try_send(sent);
    }

    fn show_here(&self, sent: &Arc<Sent>) {
        let Signal { conversation, by, signal, .. } = sent.signal;
        let key = (sent.tenant, conversation, by);
        // Whoever begins to listen meanwhile is shown it either way.
        let mut shown = self.shown.lock();
        shown.retain(|_, (_, since)| since.elapsed() < LASTS);
        match signal {
            Shown::Left => drop(shown.remove(&key)),
            Shown::Typing | Shown::Looking => drop(shown.insert(key, (Arc::clone(sent), Instant::now()))),
        }
        // Nobody may be listening.
        let _ = self.here.send(Arc::clone(sent));
    }

    /// What is shown to a tenant's screens from now on, after what is shown now.
    pub(crate) fn listen(&self, tenant: Id) -> (Vec<Arc<Sent>>, broadcast::Receiver<Arc<Sent>>) {
        let shown = self.shown.lock();
        let listener = self.here.subscribe();
        let now = shown.values().filter(|(sent, since)| sent.tenant == tenant && since.elapsed() < LASTS);
        (now.map(|(sent, _)| Arc::clone(sent)).collect(), listener)
    }

    /// Shows here what other processes tell.
    async fn hear(&self, process: Uuid, pool: &PgPool) {
        loop {
            if let Err(error) = self.hear_once(process, pool).await {
                tracing::debug!(%error, "signals of other processes are not heard");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear_once(&self, process: Uuid, pool: &PgPool) -> sqlx::Result<()> {
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with((*pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        loop {
            let notification = listener.recv().await?;
            match serde_json::from_str::<Heard>(notification.payload()) {
                Ok(heard) if heard.from == process => {}
                Ok(heard) => heard.signals.into_iter().for_each(|sent| self.show_here(&Arc::new(sent))),
                // Of a later version of this program.
                Err(error) => tracing::debug!(%error, "a signal is not understood"),
            }
        }
    }
}

/// Tells other processes what is shown here.
async fn tell(process: Uuid, pool: &PgPool, mut waiting: mpsc::Receiver<Arc<Sent>>) {
    while let Some(first) = waiting.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut signals = vec![first];
        while let Ok(signal) = waiting.try_recv() {
            signals.push(signal);
        }
        for message in messages(process, &signals) {
            let told = sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(message).execute(pool).await;
            if let Err(error) = told {
                tracing::debug!(%error, "other processes are not told of signals");
            }
        }
    }
}

impl App {
    /// Passes signals between this process and others, until the system stops.
    pub(crate) async fn pass_signals_on(self, waiting: mpsc::Receiver<Arc<Sent>>) {
        let process = self.attendance.process;
        tokio::select! {
            () = tell(process, &self.pool, waiting) => {}
            () = self.signals.hear(process, &self.pool) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

/// The notifications that tell these signals, none too long.
fn messages(process: Uuid, signals: &[Arc<Sent>]) -> Vec<String> {
    // The longest signal is shorter than 400 bytes: ids and words.
    let told = signals.chunks(MOST / 400).map(|part| {
        let signals = part.iter().map(|sent| (**sent).clone()).collect();
        serde_json::to_string(&Heard { from: process, signals }).unwrap_or_default()
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(by: u32, signal: Shown) -> Signal {
        let conversation = Id::named(&["conversation"]);
        Signal { conversation, signal, kind: ActorKind::User, by: Id::named(&[&by.to_string()]) }
    }

    #[test]
    fn many_signals_are_told_in_notifications_that_postgresql_takes() {
        let sent = |by| Arc::new(Sent { tenant: Id::named(&["tenant"]), signal: signal(by, Shown::Typing) });
        let signals: Vec<_> = (0..500).map(sent).collect();
        let messages = messages(Uuid::nil(), &signals);
        assert!(messages.iter().all(|message| message.len() < 8000 && !message.is_empty()));
        let heard = messages.iter().flat_map(|message| serde_json::from_str::<Heard>(message).unwrap().signals);
        assert!(heard.eq(signals.iter().map(|sent| (**sent).clone())));
    }

    #[test]
    fn whoever_comes_later_is_shown_what_lasts() {
        let (signals, _waiting) = Signals::new();
        let tenant = Id::named(&["tenant"]);
        signals.show(tenant, signal(1, Shown::Looking));
        signals.show(tenant, signal(2, Shown::Typing));
        signals.show(tenant, signal(2, Shown::Left));
        let (now, mut later) = signals.listen(tenant);
        assert_eq!(now.iter().map(|sent| sent.signal.clone()).collect::<Vec<_>>(), [signal(1, Shown::Looking)]);
        assert!(signals.listen(Id::named(&["another"])).0.is_empty());
        signals.show(tenant, signal(3, Shown::Typing));
        assert_eq!(later.try_recv().unwrap().signal, signal(3, Shown::Typing));
    }
}
