//! Following: what JetStream delivers goes into the memory of this process, so that PostgreSQL need not be asked.
//!
//! PostgreSQL stays the truth. Only a stream that agrees with the log is followed, only messages that are exactly what the
//! relay makes of an event are taken, and whatever is missing, late or not understood is read from PostgreSQL.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::Message;
use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Recorded;
use crate::log::Log;
use crate::nats::{Nats, TENANT, explained};
use crate::wire::Interner;

/// Messages asked for at once, and taken together at most.
const BATCH: usize = 512;
/// How long a request for messages stays open, and how often JetStream says meanwhile that it lives.
const EXPIRES: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long JetStream remembers a follower that has gone.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_millis(500);

/// Follows the log over JetStream.
#[derive(Debug)]
pub struct Following {
    follows: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Following {
    /// Begins to follow, and goes on whenever JetStream can be followed.
    pub fn spawn(log: &Log, nats: &Nats) -> Following {
        let (told, follows) = watch::channel(false);
        let (stop, mut stopped) = watch::channel(false);
        let mut follower = Follower { log: log.clone(), nats: nats.clone(), told, tenants: Interner::default() };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = follower.run() => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            follower.feed(false);
        });
        Following { follows, stop, task }
    }

    /// Whether events come from JetStream now; else from PostgreSQL.
    pub fn follows(&self) -> watch::Receiver<bool> {
        self.follows.clone()
    }

    /// Stops; the process goes on with PostgreSQL.
    pub async fn stop(self) {
        // A task that has ended already needs no order.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

struct Follower {
    log: Log,
    nats: Nats,
    told: watch::Sender<bool>,
    tenants: Interner,
}

impl Follower {
    fn feed(&self, fed: bool) {
        self.log.tail().feed(fed);
        self.told.send_replace(fed);
    }

    async fn run(&mut self) {
        let mut connection = self.nats.connection();
        let mut publishing = self.log.tail().publishing().subscribe();
        loop {
            // What this process publishes it has read from PostgreSQL already.
            let ready = async {
                connection.wait_for(|connection| connection.up).await?;
                publishing.wait_for(|publishing| !*publishing).await.map(drop)
            };
            if ready.await.is_err() {
                return;
            }
            let ended = tokio::select! {
                ended = self.follow() => ended,
                _ = publishing.wait_for(|publishing| *publishing) => None,
                _ = connection.wait_for(|connection| !connection.up) => None,
            };
            self.feed(false);
            if let Some(reason) = ended {
                tracing::info!(reason, "JetStream cannot be followed now; events come from PostgreSQL");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Follows until something is in the way, and says what.
    async fn follow(&mut self) -> Option<String> {
        match self.messages().await {
            Ok(messages) => {
                self.feed(true);
                tracing::info!("events come from JetStream");
                let mut batches = messages.ready_chunks(BATCH);
                while let Some(batch) = batches.next().await {
                    if let Err(reason) = self.take(batch) {
                        return Some(reason);
                    }
                }
                Some("the stream of messages has ended".into())
            }
            Err(reason) => Some(reason),
        }
    }

    async fn messages(&self) -> Result<pull::Stream, String> {
        let found = self.nats.standing(&self.log).await?;
        if found.info.is_none() {
            return Err("there is no stream yet".into());
        }
        if let Some(reason) = found.standing.refusal() {
            return Err(reason);
        }
        let stream = self.nats.context().get_stream_no_info(&self.nats.options().stream).await;
        let stream = stream.map_err(|error| explained("the stream", &error))?;
        let next = u64::try_from(self.log.tail().last() + 1).unwrap_or(1);
        let consumer = stream.create_consumer(pull::Config {
            description: Some("a Deskfold process".into()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        });
        let consumer = consumer.await.map_err(|error| explained("a consumer", &error))?;
        let messages = consumer.stream().max_messages_per_batch(BATCH).expires(EXPIRES).heartbeat(HEARTBEAT).messages();
        messages.await.map_err(|error| explained("messages", &error))
    }

    /// Hands over what is exactly ours, up to the first that is not.
    fn take(&mut self, batch: Vec<Result<Message, pull::MessagesError>>) -> Result<(), String> {
        let (known, wanted) = (self.log.tail().last(), self.log.tail().wanted());
        let mut events = Vec::with_capacity(batch.len());
        let mut last = known;
        let mut trouble = Ok(());
        for message in batch {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    trouble = Err(explained("messages", &error));
                    break;
                }
            };
            let Some(position) = message.info().ok().and_then(|info| i64::try_from(info.stream_sequence).ok()) else {
                continue;
            };
            if position <= known {
                continue;
            }
            if wanted {
                // Without a part of it the tail sees that something is missing, and reads it all.
                events.extend(self.event(&message).filter(|event| event.position == position));
            }
            last = position;
        }
        let whole = events.iter().zip(known + 1..).all(|(event, position)| event.position == position);
        if !whole || (wanted && events.last().map_or(known, |event| event.position) != last) {
            events.clear();
        }
        self.log.tail().delivered(events, last);
        trouble
    }

    fn event(&mut self, message: &Message) -> Option<Recorded> {
        let tenant = message.headers.as_ref()?.get(TENANT)?;
        Recorded::from_public(self.tenants.share(tenant.as_str()), &message.payload)
    }
}
