//! Of all processes one takes in what messengers brought, several chats at once, each in its order; and looks after their channels.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    Id,
    chat::channel::{Channel, Kind},
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    Messengers, Stop, Whose, following, meta,
    store::{self, IDLE, Waiting},
    telegram,
};
use crate::turn::{Turn, backoff};

/// Held by the process that does.
const DOING: i64 = 7_813_887_473;
/// Chats of which something is taken in at once.
const AT_ONCE: usize = 8;
/// Attempts after which what cannot be had is done without.
const ATTEMPTS: i32 = 9;
/// Attempts after which a message will not be known.
const KNOWN_AFTER: i32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How long what waits for its channel to be opened waits at a time.
const CLOSED: Duration = Duration::from_secs(30);
/// How often is forgotten what is brought no more.
const TIDY: Duration = Duration::from_secs(60 * 60);

/// What is done, until it is stopped.
pub struct Working {
    messengers: Messengers,
    stopping: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Working {
    /// Begins.
    pub fn start(messengers: Messengers) -> Working {
        let stopping = CancellationToken::new();
        let task = tokio::spawn(run(messengers.clone(), stopping.clone()));
        Working { messengers, stopping, task: Mutex::new(Some(task)) }
    }

    /// Waits until nothing is there that can be taken in now, by whatever process. Without limit: put a timeout around it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self) -> Result<(), sqlx::Error> {
        let shared = &self.messengers.0;
        while store::is_any_ready(shared.commands.log().pool(), (shared.clock)()).await? {
            self.messengers.nudge();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Finishes what is under way.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // A task that panicked has been reported.
            let _ = task.await;
        }
    }
}

async fn run(messengers: Messengers, stopping: CancellationToken) {
    let pool = messengers.0.commands.log().pool().clone();
    while !stopping.is_cancelled() {
        match Turn::take(&pool, DOING).await {
            Ok(Some(turn)) => {
                if let Err(error) = work(&messengers, turn, &stopping).await {
                    tracing::warn!(%error, "messengers rest");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "it cannot be seen whose turn it is to look after messengers"),
        }
        tokio::select! {
            () = tokio::time::sleep(IDLE) => {}
            () = stopping.cancelled() => {}
        }
    }
}

async fn work(messengers: &Messengers, mut turn: Turn, stopping: &CancellationToken) -> Result<(), sqlx::Error> {
    let shared = &messengers.0;
    let pool = shared.commands.log().pool();
    let (lost, is_lost) = watch::channel(false);
    let following = tokio::spawn(following::run(messengers.clone(), stopping.clone(), is_lost));
    let busy: Arc<Mutex<HashSet<(String, String, String)>>> = Arc::default();
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut tidied: Option<Instant> = None;
    let outcome = loop {
        if stopping.is_cancelled() {
            break Ok(());
        }
        if let Err(error) = turn.check().await {
            break Err(error);
        }
        if tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            tidied = Some(Instant::now());
            if let Err(error) = store::forget(pool, (shared.clock)()).await {
                tracing::debug!(%error, "cannot forget what messengers brought long ago");
            }
        }
        let ready = match store::ready(pool, (shared.clock)()).await {
            Ok(ready) => ready,
            Err(error) => break Err(error),
        };
        for one in ready {
            if under_way.len() >= AT_ONCE {
                break;
            }
            let lane = (one.tenant.clone(), one.channel.clone(), one.lane.clone());
            if !busy.lock().insert(lane.clone()) {
                continue;
            }
            let (messengers, busy) = (messengers.clone(), Arc::clone(&busy));
            under_way.spawn(async move {
                if let Err(error) = messengers.take_one(&one).await {
                    tracing::warn!(channel = one.channel, %error, "it cannot be said what became of what a messenger brought");
                }
                busy.lock().remove(&lane);
                messengers.nudge();
            });
        }
        tokio::select! {
            () = shared.nudge.notified() => {}
            Some(_) = under_way.join_next() => {}
            () = tokio::time::sleep(IDLE) => {}
            () = stopping.cancelled() => {}
        }
    };
    // Whoever gets the turn next asks in our place.
    let _ = lost.send(true);
    while under_way.join_next().await.is_some() {}
    let _ = following.await;
    turn.give_back().await;
    outcome
}

impl Messengers {
    /// A channel that a messenger speaks to, as it stands.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn whose(&self, tenant: Id, id: Id) -> Result<Whose, commands::Refused> {
        let (channel, _) = self.0.commands.load_current::<Channel>(tenant, id).await?;
        Ok(Whose { tenant, id, channel })
    }

    async fn take_one(&self, one: &Waiting) -> Result<(), sqlx::Error> {
        let pool = self.0.commands.log().pool();
        let later = |pause: Duration| (self.0.clock)().checked_add(pause).unwrap_or_else(|_| (self.0.clock)());
        let (Ok(tenant), Ok(id)) = (one.tenant.parse(), one.channel.parse()) else {
            return store::settle(pool, one, Some("it belongs to nobody")).await;
        };
        let whose = match self.whose(tenant, id).await {
            Ok(whose) => whose,
            Err(refused) => return store::put_off(pool, one, later(FIRST_PAUSE), &refused.to_string(), false).await,
        };
        if !whose.channel.enabled {
            return store::put_off(pool, one, later(CLOSED), "the channel is disabled", false).await;
        }
        let last = one.attempts + 1 >= ATTEMPTS;
        match self.take(&whose, one, last).await {
            Ok(()) => store::settle(pool, one, None).await,
            Err(Stop::Later(why)) if !last => {
                let pause = backoff(one.attempts + 1, FIRST_PAUSE, LONGEST_PAUSE);
                store::put_off(pool, one, later(pause), &why, true).await
            }
            // Of what was said elsewhere nothing will be known; what comes after it need not wait long.
            Err(Stop::Unknown) if one.attempts + 1 >= KNOWN_AFTER => store::settle(pool, one, None).await,
            Err(why @ Stop::Unknown) => {
                let pause = FIRST_PAUSE / 2;
                store::put_off(pool, one, later(pause), &why.to_string(), true).await
            }
            // What cannot be reached is tried for ever: what came is not lost because we cannot write.
            Err(Stop::Later(why)) => store::put_off(pool, one, later(LONGEST_PAUSE), &why, true).await,
            Err(Stop::Never(why)) => {
                tracing::warn!(channel = one.channel, why, "what a messenger brought cannot be taken in");
                store::settle(pool, one, Some(&why)).await
            }
        }
    }

    async fn take(&self, whose: &Whose, one: &Waiting, last: bool) -> Result<(), Stop> {
        let happened = match whose.channel.kind {
            Some(Kind::Telegram) => telegram::reading::happened(&one.body),
            Some(kind) if kind.is_metas() => meta::reading::happened(kind, &one.body, one.came_at),
            _ => Err("it was brought to a channel of another kind".into()),
        };
        for happening in happened.map_err(Stop::Never)? {
            self.take_in(whose, happening, last).await?;
        }
        Ok(())
    }
}
