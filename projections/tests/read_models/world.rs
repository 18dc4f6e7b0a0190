//! A log of one test's own, and the ways to tell it what happened.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use domain::{Aggregate, Id, Time, desk::ticket, org::stage::Means};
use eventstore::{Append, Expected, Log, NewEvent, StreamWrite, SubscriptionOptions};
use projections::{Options, ReadModels};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::harness::{self, Database};

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) log: Log,
    pub(crate) tenant: Id,
    clock: AtomicI64,
}

/// 2026-01-01T00:00:00Z, and so many seconds.
pub(crate) fn at(seconds: i64) -> Time {
    Time::from_second(1_767_225_600 + seconds).unwrap()
}

pub(crate) fn id(number: u64) -> Id {
    Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + u128::from(number))
}

pub(crate) fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn options() -> Options {
    let subscription = SubscriptionOptions { lease: Duration::from_secs(1), ..SubscriptionOptions::default() };
    Options { subscription, poll: Duration::from_millis(100) }
}

impl World {
    pub(crate) async fn new() -> World {
        let database = harness::database().await;
        let log = Log::open(database.pool.clone(), eventstore::Options::default()).await.unwrap();
        World { database, log, tenant: id(1), clock: AtomicI64::new(0) }
    }

    /// A world whose read models have been at work, so that their views show the tables of the newest versions.
    pub(crate) async fn at_work() -> World {
        let world = World::new().await;
        world.models().await.stop().await;
        world
    }

    pub(crate) async fn models(&self) -> ReadModels {
        ReadModels::start(self.log.clone(), options()).await.unwrap()
    }

    /// Tells what happened to a record, a second after what was told before. Returns the position.
    pub(crate) async fn tell<A: Aggregate>(&self, id: Id, events: impl IntoIterator<Item = A::Event>) -> i64 {
        let at = at(self.clock.fetch_add(1, Ordering::Relaxed));
        self.tell_at::<A>(self.tenant, id, at, events).await
    }

    pub(crate) async fn tell_at<A: Aggregate>(
        &self,
        tenant: Id,
        id: Id,
        at: Time,
        events: impl IntoIterator<Item = A::Event>,
    ) -> i64 {
        let events = events.into_iter().map(|event| A::encode(&event)).collect();
        self.append(tenant, &A::stream(id), at, events).await
    }

    /// Tells something of any type and shape.
    pub(crate) async fn tell_raw(&self, stream: &str, kind: &str, data: &str) -> i64 {
        let at = at(self.clock.fetch_add(1, Ordering::Relaxed));
        self.append(self.tenant, stream, at, vec![(kind.to_owned(), data.as_bytes().to_vec())]).await
    }

    /// The same, done by this user.
    pub(crate) async fn tell_by(&self, user: Id, stream: &str, kind: &str, data: &str) -> i64 {
        let at = at(self.clock.fetch_add(1, Ordering::Relaxed));
        self.append_by(user, self.tenant, stream, at, vec![(kind.to_owned(), data.as_bytes().to_vec())]).await
    }

    async fn append(&self, tenant: Id, stream: &str, at: Time, events: Vec<(String, Vec<u8>)>) -> i64 {
        let user = "01K9Z3T8W0QX6V5N4M3K2J1H0G".parse().unwrap();
        self.append_by(user, tenant, stream, at, events).await
    }

    async fn append_by(&self, user: Id, tenant: Id, stream: &str, at: Time, events: Vec<(String, Vec<u8>)>) -> i64 {
        let metadata = serde_json::json!({
            "actor": { "kind": "user", "id": user }, "via": "api", "command_id": "", "correlation_id": "",
        });
        let metadata = metadata.to_string();
        let events = events
            .into_iter()
            .map(|(kind, data)| NewEvent {
                id: Uuid::now_v7(),
                kind,
                occurred_at: Some(at),
                data: data.into(),
                metadata: metadata.clone().into(),
                is_json: true,
                number: None,
            })
            .collect();
        let write = StreamWrite { stream: stream.to_owned(), expected: Expected::Any, events };
        let append = Append {
            tenant: tenant.to_string(),
            command_id: Uuid::now_v7(),
            fingerprint: 0,
            remember: false,
            writes: vec![write],
            claims: vec![],
        };
        self.log.append(append).await.unwrap().last_position
    }
}

/// A ticket that was opened with the least there is.
pub(crate) fn opened(number: u64, title: &str) -> ticket::Event {
    let opened = serde_json::json!({
        "number": number, "title": title, "channel": "api", "priority": number % 4, "stage": "new"
    });
    ticket::Event::Opened(serde_json::from_value(opened).unwrap())
}

/// Something that may happen to a ticket.
pub(crate) fn something(random: &mut StdRng) -> ticket::Event {
    use ticket::Event;
    let priority = |level: u8| ticket::Priority::try_from(level).unwrap();
    match random.random_range(0..12) {
        0 => Event::PriorityChanged { from: priority(0), to: priority(random.random_range(0..4)) },
        1 => Event::ProductSelected { entitlement: id(900), product: id(700 + random.random_range(0..5)) },
        2 => Event::ProductCleared,
        3 => Event::Tagged { tag: format!("tag {}", random.random_range(0..5)) },
        4 => Event::Untagged { tag: format!("tag {}", random.random_range(0..5)) },
        5 => Event::Resolved { outcome: None, stage: None },
        6 => Event::Closed { stage: None },
        7 => Event::Reopened { cause: ticket::ReopenCause::Request, stage: None },
        8 => Event::NoteAdded {
            message_id: id(random.next_u64()),
            body: "noted".into(),
            attachments: vec![],
            via_ticket: None,
        },
        9 => Event::MessageReceived {
            message_id: id(random.next_u64()),
            external_id: None,
            from: None,
            body: "hello".into(),
            attachments: vec![],
            email: None,
            via_ticket: None,
        },
        10 => Event::StageChanged { from: "new".into(), to: "waiting".into(), means: Some(Means::Waiting) },
        _ => Event::Snoozed { until: at(random.random_range(0..1_000_000)), stage: None },
    }
}
