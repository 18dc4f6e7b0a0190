//! What holds for every aggregate: names, examples, golden files, and that no order of commands breaks it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::*;
use crate::{
    Actor, Authority, Ctx, Decision, Facts, Id, Metadata, Time, Via,
    kernel::{
        access::Access,
        aggregate::{AnyState, Fold, fold},
        given::{ANNA, SUBJECT, TENANT, at, golden_path, stored},
        named::{Either, Named, Variant},
        record::Spec as _,
        undo,
    },
};

fn names(variants: &[Variant]) -> BTreeSet<&str> {
    variants.iter().map(|variant| variant.name.as_str()).collect()
}

#[test]
fn names_are_plain_and_everything_is_described() {
    #[derive(Default)]
    struct Names(BTreeSet<&'static str>, BTreeSet<&'static str>);
    impl Visitor for Names {
        fn visit<A: Aggregate>(&mut self) {
            assert!(self.0.insert(A::KIND), "two kinds are called {}", A::KIND);
            assert!(self.1.insert(A::PLURAL), "two collections are called {}", A::PLURAL);
            let generator = &mut SchemaGenerator::default();
            let (commands, events) = (A::commands(generator), A::events(generator));
            for variant in commands.iter().chain(&events) {
                let plain = variant.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                assert!(plain, "{}.{} is not in snake case", A::KIND, variant.name);
                assert!(!variant.description.is_empty(), "{}.{} is not described", A::KIND, variant.name);
            }
            // To split is the same in the past tense.
            let both = names(&commands).intersection(&names(&events)).copied().collect::<BTreeSet<_>>();
            assert!(both.is_subset(&BTreeSet::from(["split"])), "{}: {both:?} name commands and events", A::KIND);
            let commands = names(&commands);
            for name in A::INTERNAL.iter().chain(A::AHEAD).chain([&A::CREATE]) {
                assert!(commands.contains(name), "{} has no command {name}", A::KIND);
            }
        }
    }
    visit_all(&mut Names::default());
}

#[test]
fn every_command_has_an_example_that_goes_out_and_comes_back() {
    struct Examples;
    impl Visitor for Examples {
        fn visit<A: Aggregate>(&mut self) {
            let encoded: Vec<_> = A::examples().iter().map(Named::encode).collect();
            assert_eq!(encoded[0].0, A::CREATE, "the first example of {} creates it", A::KIND);
            let commands = A::commands(&mut SchemaGenerator::default());
            let examples: BTreeSet<&str> = encoded.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names(&commands), examples, "commands and examples of {}", A::KIND);
            for (name, data) in &encoded {
                let again = A::Command::decode(name, data).unwrap().encode();
                assert_eq!(again, (name.clone(), data.clone()), "{}.{name}", A::KIND);
            }
        }
    }
    visit_all(&mut Examples);
}

#[test]
fn refusals_have_plain_codes_and_say_something() {
    struct Refusals;
    impl Visitor for Refusals {
        fn visit<A: Aggregate>(&mut self) {
            for refusal in A::refusals() {
                assert!(refusal.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{refusal}");
                assert!(refusal.detail.ends_with('.'), "{refusal}");
            }
        }
    }
    visit_all(&mut Refusals);
}

#[test]
fn permissions_are_all_commands_and_reads() {
    let all = permissions();
    for permission in ["ticket.assign", "ticket.read", "contact.edit", "user.grant_role", "event.read", "import.run"] {
        assert!(all.contains(permission), "{permission}");
    }
    assert!(!all.contains("contact.move_stage"), "contacts have no stages");
    assert!(all.iter().all(|permission| permission.split('.').count() == 2));
    assert!(has("ticket") && !has("unicorn"));
    assert!(takes_custom_fields("entitlement") && !takes_custom_fields("role"));
}

/// Every shape ever shipped has a golden file, written once and never edited. To add those of new events, run the tests
/// once with `DESKFOLD_GOLDEN=write` in the environment, and once more without.
#[test]
fn every_event_ever_shipped_can_be_read() {
    #[derive(Default)]
    struct Golden(Vec<String>);
    impl Visitor for Golden {
        fn visit<A: Aggregate>(&mut self) {
            let events = A::events(&mut SchemaGenerator::default());
            let kind = A::KIND;
            self.0.push(kind.to_owned());
            for name in names(&events) {
                let path = golden_path(&format!("{kind}.{name}"));
                assert!(path.exists(), "{kind}.{name} has no golden file: a test must write the event first");
            }
            for file in std::fs::read_dir(golden_path(&format!("{kind}.x")).parent().unwrap()).unwrap() {
                let path = file.unwrap().path();
                let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                let (event_type, data) = (golden["type"].as_str().unwrap(), &golden["data"]);
                let name = event_type.strip_prefix(&format!("{kind}.")).unwrap();
                assert_eq!(path.file_stem().unwrap(), name, "{} holds another event", path.display());
                let event = A::decode(event_type, data.to_string().as_bytes())
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                if names(&events).contains(name) {
                    let (again, text) = A::encode(&event);
                    let text: Value = serde_json::from_slice(&text).unwrap();
                    assert_eq!((again.as_str(), &text), (event_type, data), "{}", path.display());
                }
            }
        }
    }
    let mut golden = Golden::default();
    visit_all(&mut golden);
    for directory in std::fs::read_dir(golden_path("x.x").ancestors().nth(2).unwrap()).unwrap() {
        let name = directory.unwrap().file_name().into_string().unwrap();
        assert!(golden.0.contains(&name), "golden/{name} belongs to no kind");
    }
}

/// A record of this kind, as its first example makes it.
pub(crate) fn born(kind: &'static str) -> AnyState {
    World::default().born(kind)
}

/// One record of each kind, as its first example makes it: what the others' decisions depend on.
#[derive(Default)]
struct World {
    now: Time,
    empty: bool,
    born: HashMap<&'static str, AnyState>,
    told: HashMap<(&'static str, Id), AnyState>,
}

impl World {
    fn born(&mut self, kind: &'static str) -> AnyState {
        struct Birth<'a>(&'a mut World, &'static str, Option<AnyState>);
        impl Visitor for Birth<'_> {
            fn visit<A: Aggregate>(&mut self) {
                if A::KIND == self.1 {
                    let mut state = A::default();
                    let events = self.0.decide(&state, A::examples().remove(0), "birth").unwrap_or_default();
                    events.iter().for_each(|event| state.evolve(event));
                    self.2 = Some(AnyState::new(state));
                }
            }
        }
        if !self.born.contains_key(kind) {
            let mut before = World { now: at(0), born: std::mem::take(&mut self.born), ..World::default() };
            let mut birth = Birth(&mut before, kind, None);
            visit_all(&mut birth);
            let mut state = birth.2.unwrap();
            if kind == crate::org::user::User::KIND {
                // A colleague who can be given work.
                let role = crate::org::user::Event::RoleGranted { role: SUBJECT };
                let events =
                    [crate::org::user::Event::Activated, role].map(|event| crate::org::user::User::encode(&event));
                let mut events = events.iter().map(|(kind, data)| (kind.as_str(), data.as_slice(), &b""[..]));
                state = fold::<crate::org::user::User>(Some(state), &mut events).unwrap();
            }
            if kind == crate::chat::chatbot::Chatbot::KIND {
                // One that has something to say, and a form that can be filled in.
                let script = crate::chat::script::example();
                let published = Either::Own(crate::chat::chatbot::Event::VersionPublished { version: 1, script });
                state = after::<crate::chat::chatbot::Chatbot>(state, published);
            }
            if kind == crate::desk::form::Form::KIND {
                let (about, _) = crate::desk::form::Spec::examples();
                let page = crate::desk::form::Page { about, fields: vec![crate::desk::form::example()] };
                let published = Either::Own(crate::desk::form::Event::Published { version: 1, page });
                state = after::<crate::desk::form::Form>(state, published);
            }
            self.born = before.born;
            self.born.insert(kind, state);
        }
        self.born[kind].clone()
    }

    /// Another record: as echoes have left it, else as it was born or as nothing at all.
    fn other(&mut self, kind: &'static str, id: Id, fold: Fold) -> AnyState {
        match self.told.get(&(kind, id)) {
            Some(told) => told.clone(),
            None if self.empty || kind == crate::org::administration::KIND => {
                fold(None, &mut std::iter::empty()).unwrap()
            }
            None => self.born(kind),
        }
    }

    fn facts<A: Aggregate>(&mut self, state: &A, command: &A::Command, seed: &str) -> Facts {
        let mut facts = Facts::default();
        loop {
            let mut needs = state.needs(command, &ctx::<A>(self.now, seed, &facts));
            needs.retain(|need| !facts.has(need.kind, need.id));
            if needs.is_empty() {
                return facts;
            }
            for need in needs {
                facts.insert(need.kind, need.id, self.other(need.kind, need.id, need.fold));
            }
        }
    }

    fn decide<A: Aggregate>(&mut self, state: &A, command: A::Command, seed: &str) -> Decision<A::Event> {
        let facts = self.facts(state, &command, seed);
        state.decide(command, &ctx::<A>(self.now, seed, &facts))
    }
}

/// What happened and lasts: what was said, sent, paid or told elsewhere, who signed in, and what others rest on.
const LASTING: &[&str] = &[
    "tenant.alias_domain_added",
    "tenant.alias_domain_removed",
    "ticket.reply_cancelled",
    "email.cancelled",
    "email.dismissed",
    "email.failed",
    "email.queued",
    "email.received",
    "email.refused",
    "email.requeued",
    "email.sent",
    "email.taken",
    "email.tried_again",
    "email.uncertain",
    "notification.delivered",
    "notification.failed",
    "notification.read",
    "notification.sent",
    "notification.uncertain",
    "webhook.archived",
    "webhook.changed",
    "webhook.disabled",
    "webhook.enabled",
    "webhook.former_secret_retired",
    "webhook.given_up",
    "webhook.redelivered",
    "webhook.replayed",
    "webhook.secret_rotated",
    "webhook.subscribed",
    "webhook.tested",
    "tenant.alias_domain_set",
    "tenant.created",
    "tenant.feature_disabled",
    "tenant.feature_enabled",
    "tenant.host_name_added",
    "tenant.host_name_removed",
    "tenant.identity_provider_set",
    "tenant.mail_server_set",
    "tenant.plan_set",
    "tenant.portal_set",
    "contact.portal_session_started",
    "contact.portal_sessions_ended",
    "article.voted",
    "tenant.renamed",
    "tenant.retention_set",
    "tenant.setting_changed",
    "user.address_withdrawn",
    "user.browser_subscribed",
    "user.browser_unsubscribed",
    "user.chat_webhook_set",
    "user.email_change_requested",
    "user.email_confirmed",
    "user.hand_over_begun",
    "user.handed_over",
    "user.identity_linked",
    "user.identity_unlinked",
    "user.invited",
    "user.link_issued",
    "user.password_forgotten",
    "user.password_set",
    "user.recovery_code_used",
    "user.recovery_codes_replaced",
    "user.second_factor_disabled",
    "user.second_factor_enabled",
    "role.deleted",
    "team.stages_changed",
    "field.changed",
    "field.retired",
    "api_key.issued",
    "api_key.renamed",
    "api_key.revoked",
    "session.ended",
    "session.started",
    "channel.credentials_rotated",
    "channel.operator_invited",
    "channel.resumed",
    "channel.suspended",
    "upload.attached",
    "upload.carried",
    "upload.completed",
    "upload.deleted",
    "upload.detached",
    "contact.consent_changed",
    "contact.erasure_requested",
    "contact.note_deleted",
    "property.portal_rejected",
    "enquiry.external_offer_noted",
    "offer.accepted",
    "offer.declined",
    "offer.drafted",
    "offer.opened",
    "offer.revised",
    "offer.sent",
    "deal.recorded",
    "comment.deleted",
    "activity.withdrawn",
    "product_category.deleted",
    "entitlement.expired",
    "ticket.message_received",
    "ticket.message_redacted",
    "ticket.note_added",
    "ticket.rated",
    "ticket.reply_failed",
    "ticket.reply_queued",
    "ticket.reply_sent",
    "ticket.split",
    "form.published",
    "form.unpublished",
    "form_submission.accepted",
    "form_submission.received",
    "form_submission.rejected",
    "chatbot.version_published",
    "conversation.bot_answer_given",
    "conversation.bot_answer_refused",
    "conversation.bot_finished",
    "conversation.bot_started",
    "conversation.bot_step_shown",
    "conversation.converted_to_ticket",
    "conversation.handed_over",
    "conversation.message_uncertain",
    "conversation.message_deleted",
    "conversation.message_delivered",
    "conversation.message_edited",
    "conversation.message_reaction_failed",
    "conversation.message_reaction_queued",
    "conversation.message_reaction_sent",
    "conversation.message_reactions_received",
    "conversation.message_failed",
    "conversation.message_queued",
    "conversation.message_read",
    "conversation.message_received",
    "conversation.message_sent",
    "conversation.rated",
    "conversation.read_marker_moved",
    "conversation.transcript_failed",
    "conversation.transcript_queued",
    "conversation.transcript_sent",
    "conversation.visitor_revoked",
    "label.created",
    "order.cancelled",
    "order.paid",
    "order.rejected",
    "call.answered",
    "call.contact_linked",
    "call.ended",
    "call.missed",
    "call.received",
    "task.became_due_soon",
    "task.became_overdue",
    "task.started",
    "rule.deleted",
    "rule_run.cancelled",
    "rule_run.executed",
    "rule_run.failed",
    "rule_run.matched",
    "rule_run.parked",
    "rule_run.prepared",
    "rule_run.retried",
    "rule_run.scheduled",
    "rule_run.skipped",
    "import.cancelled",
    "import.completed",
    "import.failed",
    "import.started",
    "delivery.corrected",
    "delivery.dismissed",
    "delivery.received",
    "delivery.refused",
    "delivery.taken",
    "delivery.tried_again",
    "system_notice.cleared",
    "system_notice.raised",
    "bulk.cancelled",
    "bulk.completed",
    "bulk.failed",
    "bulk.paused",
    "bulk.requested",
    "bulk.resumed",
    "dashboard.page_added",
    "dashboard.page_removed",
    "dashboard.page_renamed",
    "dashboard.pages_reordered",
    "dashboard.widget_added",
    "dashboard.widget_configured",
    "dashboard.widget_placed",
    "dashboard.widget_removed",
];

/// What is not quite as it was when it is taken back: a task that is open again is not begun again, a ticket that is put aside
/// again is in the stage for that.
const LEAVES_A_TRACE: &[&str] = &[
    "conversation.contact_unlinked",
    "property.unpublished",
    "task.cancelled",
    "task.completed",
    "task.due_changed",
    "ticket.woken",
];

/// A state after one more event.
fn after<A: Aggregate>(state: AnyState, event: A::Event) -> AnyState {
    let (kind, data) = A::encode(&event);
    fold::<A>(Some(state), &mut std::iter::once((kind.as_str(), data.as_slice(), &b""[..]))).unwrap()
}

impl World {
    /// Takes the last events of a record back, and looks whether it is as it was before them.
    fn takes_back<A: Aggregate>(
        &mut self,
        before: &A,
        told: &[(String, Vec<u8>)],
        last: &[A::Event],
        seed: &str,
        undone: &mut BTreeSet<String>,
    ) {
        let metadata = serde_json::to_vec(&Metadata {
            actor: ACTOR,
            via: Via::Api,
            command_id: String::new(),
            causation_id: None,
            causation_position: None,
            depth: 0,
            correlation_id: String::new(),
            subject: None,
            redirected: Vec::new(),
        })
        .unwrap();
        let first = told.len() - last.len();
        let mut marked = told.iter().enumerate().map(|(place, (kind, data))| {
            ((kind.as_str(), data.as_slice(), metadata.as_slice()), (place >= first).then_some(0))
        });
        let names: Vec<String> = last.iter().map(|event| event.encode().0).collect();
        let commands = match undo::undo::<A>(&mut marked).unwrap() {
            Ok(commands) => commands,
            Err(obstacle) => {
                // What is told once more makes another state: it could never be taken back.
                if obstacle.rejection != undo::LASTING {
                    undone.insert(format!("{names:?} is not told twice"));
                }
                return;
            }
        };
        let mut state = before.clone();
        last.iter().for_each(|event| {
            state.evolve(&stored::<A>(event));
            state.attribute(event, &ACTOR);
        });
        for (turn, command) in commands.iter().enumerate() {
            let (name, data) = command.encode();
            let command = A::Command::decode(&name, &data).unwrap();
            // What has changed around it may refuse that, as it may refuse anybody.
            let Ok(events) = self.decide(&state, command, &format!("{seed}-undo-{turn}")) else { return };
            for event in &events {
                state.evolve(&stored::<A>(event));
                state.attribute(event, &ACTOR);
            }
        }
        undone.extend(names.iter().cloned());
        let created = first == 0;
        let traced = names.iter().any(|name| LEAVES_A_TRACE.contains(&format!("{}.{name}", A::KIND).as_str()));
        if !created && !traced {
            let (Some(Value::Object(is)), Some(Value::Object(was))) = (state.document(), before.document()) else {
                return;
            };
            let keys: BTreeSet<&String> =
                is.keys().chain(was.keys()).filter(|key| is.get(*key) != was.get(*key)).collect();
            for key in keys {
                undone.insert(format!("{names:?} leaves {key} {:?}, was {:?}", is.get(key), was.get(key)));
            }
        }
    }
}

const ACTOR: Actor = Actor::user(ANNA);

fn full() -> &'static Authority {
    static FULL: LazyLock<Authority> = LazyLock::new(Authority::full);
    &FULL
}

fn ctx<'a, A: Aggregate>(now: Time, seed: &'a str, facts: &'a Facts) -> Ctx<'a> {
    let id = A::examples().first().and_then(|command| A::id_for_new(TENANT, command)).unwrap_or(SUBJECT);
    Ctx { tenant: TENANT, id, now, actor: &ACTOR, authority: full(), seed, facts }
}

/// Numbers that look like chance and are the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let other = usize::try_from(self.0 % (last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

#[test]
fn in_any_order_commands_break_nothing_repeated_ones_add_nothing_and_snapshots_hold_it_all() {
    struct Shuffle(World, Vec<String>);
    impl Visitor for Shuffle {
        fn visit<A: Aggregate>(&mut self) {
            let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
            let mut accepted: BTreeMap<String, bool> = BTreeMap::new();
            let mut happened = Vec::new();
            let mut undone = BTreeSet::new();
            for round in 0..150 {
                // What is valid in one round has expired in the next.
                self.0.now = at(round % 2 * 400 * 86_400);
                self.0.told.clear();
                let mut commands: Vec<_> = A::examples().into_iter().chain(A::examples()).collect();
                // Now and then not even the first one is first.
                chance.shuffle(&mut commands[usize::from(round % 10 != 9)..]);
                let mut state = A::default();
                let mut told: Vec<(String, Vec<u8>)> = Vec::new();
                // The same, put away and taken out again after each event.
                let mut restored = A::default();
                let mut access = Access::default();
                for (step, command) in commands.iter().enumerate() {
                    // Now and then the others are not there.
                    self.0.empty = step % 5 == 4;
                    let (name, data) = command.encode();
                    let again = || A::Command::decode(&name, &data).unwrap();
                    let seed = format!("{round}/{step}");
                    let decision = self.0.decide(&state, again(), &seed);
                    if let Err(refusal) = &decision {
                        assert!(A::refusals().contains(refusal), "{refusal} is missing from {}'s refusals()", A::KIND);
                    }
                    *accepted.entry(name.clone()).or_default() |= decision.is_ok();
                    let events = decision.unwrap_or_default();
                    told.extend(events.iter().map(A::encode));
                    if !events.is_empty() {
                        self.0.takes_back(&state, &told, &events, &seed, &mut undone);
                    }
                    let facts = self.0.facts(&state, command, &seed);
                    let ctx = ctx::<A>(self.0.now, &seed, &facts);
                    for event in &events {
                        state.claims(event, &ctx);
                        for echo in state.echoes(event, &ctx) {
                            let known = self.0.other(echo.kind, echo.id, echo.fold);
                            let told = [(echo.event_type.as_str(), echo.data.as_slice(), &b""[..])];
                            let told = (echo.fold)(Some(known), &mut told.into_iter()).unwrap();
                            self.0.told.insert((echo.kind, echo.id), told);
                        }
                        state.subject(event, &ctx);
                        state.evolve(&stored::<A>(event));
                        state.attribute(event, &ACTOR);
                        restored.evolve(&stored::<A>(event));
                        restored.attribute(event, &ACTOR);
                        access.happened(A::relates(event), &ACTOR, Via::Api);
                        let bytes = snapshot::take(&restored, &access).unwrap();
                        let relations;
                        (restored, relations) = snapshot::restore(&bytes).unwrap();
                        assert_eq!(relations, access, "a snapshot of {} after {name}", A::KIND);
                        assert!(restored == state, "a snapshot of {} after {name} holds another state", A::KIND);
                        assert_eq!(snapshot::take(&state, &access).unwrap(), bytes, "snapshots of {} differ", A::KIND);
                    }
                    if !events.is_empty() {
                        let repeated = self.0.decide(&state, again(), &seed);
                        assert_eq!(repeated, Ok(vec![]), "{}.{name} was asked twice", A::KIND);
                    }
                    happened.extend(events);
                }
            }
            let idle: Vec<_> = accepted.iter().filter(|(_, accepted)| !**accepted).map(|(name, _)| name).collect();
            assert!(idle.is_empty(), "the examples {idle:?} of {} are refused in any order", A::KIND);
            let events = A::events(&mut SchemaGenerator::default());
            let lasts = |name: &str| LASTING.contains(&format!("{}.{name}", A::KIND).as_str());
            let seen: BTreeSet<String> = happened.iter().map(|event: &A::Event| event.encode().0).collect();
            let unsaid = names(&events)
                .into_iter()
                .filter(|name| lasts(name) == undone.contains(*name) && (lasts(name) || seen.contains(*name)));
            self.1.extend(undone.iter().filter(|name| name.contains(' ')).map(|name| format!("{}: {name}", A::KIND)));
            self.1.extend(unsaid.map(|name| format!("{}.{name}", A::KIND)));
            // Even a history that no command could have written folds.
            chance.shuffle(&mut happened);
            let mut state = A::default();
            happened.iter().for_each(|event| state.evolve(event));
            let bytes = snapshot::take(&state, &Access::default()).unwrap();
            assert!(snapshot::restore::<A>(&bytes) == Some((state, Access::default())), "{}", A::KIND);
        }
    }
    let mut shuffle = Shuffle(World::default(), Vec::new());
    visit_all(&mut shuffle);
    assert!(shuffle.1.is_empty(), "these are taken back, or else stand in LASTING: {:#?}", shuffle.1);
}

#[test]
fn ids_that_follow_from_a_command_or_a_path_are_the_same() {
    assert_eq!(
        crate::org::field::Field::id_of(TENANT, "ticket"),
        Some(crate::org::field::Field::id_for(TENANT, "ticket"))
    );
    assert_eq!(crate::org::field::Field::id_of(TENANT, "unicorn"), None);
    assert_eq!(crate::desk::ticket::Ticket::id_of(TENANT, &Id::from_bits(7).to_string()), Some(Id::from_bits(7)));
}
