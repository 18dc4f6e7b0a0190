//! The harness of the tests at each aggregate's foot: given events, when a command, then events or a refusal.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use serde_json::json;

use crate::{
    Actor, Aggregate, Authority, Ctx, Decision, Echo, Facts, Id, Rejection, Time,
    kernel::{
        aggregate::AnyState,
        named::Either,
        record::{self, Happened, New, Spec},
    },
};

/// The record that the tests' commands are for.
pub(crate) const SUBJECT: Id = Id::from_bits(7);
/// A tenant.
pub(crate) const TENANT: Id = Id::from_bits(1);
/// A colleague.
pub(crate) const ANNA: Id = Id::from_bits(0xA);
/// Another colleague.
pub(crate) const BORIS: Id = Id::from_bits(0xB);

/// A moment `seconds` after 2026-01-01T00:00:00Z.
pub(crate) fn at(seconds: i64) -> Time {
    Time::from_second(1_767_225_600 + seconds).unwrap()
}

/// Starts a test from these events, each of which goes through its stored form and back.
pub(crate) fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in events {
        let event = stored::<A>(&event);
        state.evolve(&event);
        state.attribute(&event, &Actor::user(ANNA));
    }
    Given { state, facts: Facts::default(), actor: Actor::user(ANNA), authority: Authority::full(), id: SUBJECT }
}

pub(crate) struct Given<A> {
    pub(crate) state: A,
    facts: Facts,
    pub(crate) actor: Actor,
    authority: Authority,
    id: Id,
}

impl<A: Aggregate> Given<A> {
    /// Another aggregate that the decision depends on.
    pub(crate) fn with<B: Aggregate>(mut self, id: Id, events: impl IntoIterator<Item = B::Event>) -> Self {
        let state = AnyState::new(given::<B>(events).state);
        self.facts.insert(B::KIND, id, state);
        self
    }

    /// Another record that is there, as the first example of its kind makes it.
    pub(crate) fn alive(mut self, kind: &'static str, id: Id) -> Self {
        self.facts.insert(kind, id, crate::catalogue::tests::born(kind));
        self
    }

    /// Whoever asks may do this and no more.
    pub(crate) fn may(mut self, patterns: &[&str]) -> Self {
        self.authority = Authority::of(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect());
        self
    }

    /// It happens in this colleague's name.
    pub(crate) fn by(mut self, user: Id) -> Self {
        self.actor = Actor::user(user);
        self
    }

    /// A fact that is no aggregate's state.
    pub(crate) fn knowing(mut self, kind: &'static str, id: Id, state: AnyState) -> Self {
        self.facts.insert(kind, id, state);
        self
    }

    /// The record has this id.
    pub(crate) fn at(mut self, id: Id) -> Self {
        self.id = id;
        self
    }

    fn ctx(&self) -> Ctx<'_> {
        let Given { facts, actor, authority, id, .. } = self;
        Ctx { tenant: TENANT, id: *id, now: at(0), actor, authority, seed: "command", facts }
    }

    /// The names that an event takes (`+`) or gives back (`-`): `+user.email anna@example.com`.
    pub(crate) fn claims(&self, event: &A::Event) -> Vec<String> {
        let ctx = self.ctx();
        let claims = self.state.claims(&stored::<A>(event), &ctx).into_iter();
        claims
            .map(|claim| {
                assert!(
                    !claim.take || A::refusals().contains(&claim.taken),
                    "{} is missing from refusals()",
                    claim.taken
                );
                format!("{}{} {}", if claim.take { '+' } else { '-' }, claim.scope, claim.key)
            })
            .collect()
    }

    /// What an event means in other streams.
    pub(crate) fn tells(&self, event: &A::Event) -> Vec<Echo> {
        self.state.echoes(&stored::<A>(event), &self.ctx())
    }

    /// What an event means in other streams of the same kind.
    pub(crate) fn echoes(&self, event: &A::Event) -> Vec<(Id, A::Event)> {
        self.tells(event)
            .into_iter()
            .map(|echo| (echo.id, stored::<A>(&A::decode(&echo.event_type, &echo.data).unwrap())))
            .collect()
    }

    pub(crate) fn when(mut self, command: A::Command) -> Then<A> {
        loop {
            let mut needs = self.state.needs(&command, &self.ctx());
            needs.retain(|need| !self.facts.has(need.kind, need.id));
            if needs.is_empty() {
                break;
            }
            for need in needs {
                let missing = (need.fold)(None, &mut std::iter::empty()).unwrap();
                self.facts.insert(need.kind, need.id, missing);
            }
        }
        let decision = self.state.decide(command, &self.ctx());
        if let Err(rejection) = &decision {
            assert!(A::refusals().contains(rejection), "{rejection} is missing from {}'s refusals()", A::KIND);
        }
        Then { decision }
    }
}

pub(crate) struct Then<A: Aggregate> {
    decision: Decision<A::Event>,
}

impl<A: Aggregate> Then<A> {
    #[track_caller]
    pub(crate) fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        let events = self.decision.expect("the command is accepted");
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>());
        for event in &events {
            assert_eq!(&stored::<A>(event), event);
        }
    }

    /// Already so: nothing happens.
    #[track_caller]
    pub(crate) fn nothing(self) {
        self.then([]);
    }

    // By value, so that a test reads `rejected(CLOSED)`.
    #[allow(clippy::needless_pass_by_value)]
    #[track_caller]
    pub(crate) fn rejected(self, expected: Rejection) {
        match self.decision {
            Ok(events) => panic!("expected {expected}, got {events:?}"),
            Err(rejection) => assert_eq!(rejection, expected, "{rejection}"),
        }
    }

    /// The events, for tests that look closer.
    #[track_caller]
    pub(crate) fn events(self) -> Vec<A::Event> {
        self.decision.expect("the command is accepted")
    }
}

/// A new record of a descriptive kind, as its examples have it.
pub(crate) fn new<S: Spec>() -> New<S::Fields> {
    let (fields, _) = S::examples();
    New { fields, custom: Default::default(), owner: None, stage: None, tags: Default::default(), copied_from: None }
}

/// What creates it.
pub(crate) fn created<S: Spec>() -> [record::Event<S>; 1] {
    [Either::Common(Happened::Created(new::<S>()))]
}

/// The event after a round trip through its stored form. With `DESKFOLD_GOLDEN=write` in the environment an event type
/// that has no golden file gets one.
pub(crate) fn stored<A: Aggregate>(event: &A::Event) -> A::Event {
    let (kind, data) = A::encode(event);
    if std::env::var("DESKFOLD_GOLDEN").is_ok_and(|value| value == "write") {
        write_golden(&kind, &data);
    }
    A::decode(&kind, &data).unwrap()
}

/// Of all events of a type in one run of the tests the longest becomes the golden file: it shows the most of the shape.
fn write_golden(kind: &str, data: &[u8]) {
    static WRITTEN: Mutex<BTreeMap<String, (usize, String)>> = Mutex::new(BTreeMap::new());
    let mut written = WRITTEN.lock().unwrap();
    let path = golden_path(kind);
    let shipped = kind.split_once('.').is_some_and(|(kind, _)| crate::catalogue::has(kind));
    if !shipped || path.exists() && !written.contains_key(kind) {
        return;
    }
    let data: serde_json::Value = serde_json::from_slice(data).unwrap();
    let text = serde_json::to_string_pretty(&json!({ "type": kind, "data": data })).unwrap() + "\n";
    let shape = (text.len(), text);
    if written.get(kind).is_none_or(|known| *known < shape) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &shape.1).unwrap();
        written.insert(kind.to_owned(), shape);
    }
}

/// Where the golden file of an event type lies: `golden/ticket/opened.json`.
pub(crate) fn golden_path(kind: &str) -> PathBuf {
    let (aggregate, name) = kind.split_once('.').unwrap();
    [env!("CARGO_MANIFEST_DIR"), "golden", aggregate, &format!("{name}.json")].iter().collect()
}

/// A map from pairs, for commands that take one.
pub(crate) fn map<V>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<String, V> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
