//! What a ticket does, told by examples.

use serde_json::json;

use super::*;
use crate::{
    kernel::{
        custom::{Change, FieldType},
        given::{ANNA, BORIS, SUBJECT, TENANT, at, given},
        named::Either,
        record::{Happened, New as NewRecord},
    },
    org::field::Field,
};

const CAROL: Id = Id::from_bits(0xC);
const ACME: Id = Id::from_bits(0xD);
const PRINTER: Id = Id::from_bits(0xE);
const OWNED: Id = Id::from_bits(0xF);
const OTHER: Id = Id::from_bits(0x10);
const TEAM: Id = Id::from_bits(0x11);
const THIRD: Id = Id::from_bits(0x12);

fn new() -> New {
    let Command::Open(new) = change::examples().remove(0) else { unreachable!() };
    New { requester: None, team: None, entitlement: None, tags: BTreeSet::new(), ..new }
}

fn opened() -> Event {
    Event::Opened(Opened {
        number: 0,
        title: "Display stays dark".into(),
        description: None,
        requester: Some(Party::contact(CAROL)),
        company: Some(ACME),
        team: None,
        channel: "api".into(),
        origin: None,
        priority: Priority::LOW,
        stage: "new".into(),
        stage_means: Some(Means::Open),
        category: None,
        tags: BTreeSet::new(),
        custom: Custom::new(),
        split_from: None,
    })
}

fn message(last: u128) -> Event {
    let body = Personal::from("It stays dark.");
    let message_id = Id::from_bits(last);
    let attachments = vec![Attachment {
        upload_id: Id::from_bits(9),
        name: "photo.jpg".into(),
        media_type: Some("image/jpeg".into()),
        size: Some(1024),
    }];
    Event::MessageReceived {
        message_id,
        external_id: Some("x1".into()),
        from: Some(Party::contact(CAROL)),
        body,
        attachments,
        email: None,
        via_ticket: None,
    }
}

fn carol() -> [<Contact as Aggregate>::Event; 2] {
    let (fields, _) = <crate::crm::contact::Spec as record::Spec>::examples();
    let new =
        NewRecord { fields, custom: Custom::new(), owner: None, stage: None, tags: BTreeSet::new(), copied_from: None };
    let linked = crate::crm::contact::Event::CompanyLinked { company: ACME, role: None };
    [Either::Common(Happened::Created(new)), Either::Own(linked)]
}

fn granted(holder: Party) -> [<Entitlement as Aggregate>::Event; 1] {
    let grant = json!({ "product": PRINTER, "holder": holder });
    [crate::desk::entitlement::Event::Granted(serde_json::from_value(grant).unwrap())]
}

fn user() -> [<User as Aggregate>::Event; 1] {
    let profile = json!({ "email": "boris@example.com", "name": "Boris" });
    [crate::org::user::Event::Invited(serde_json::from_value(profile).unwrap())]
}

fn team_created() -> <Team as Aggregate>::Event {
    crate::org::team::Event::Created(serde_json::from_value(json!({ "name": "Support" })).unwrap())
}

fn moved(from: &str, to: &str, means: Means) -> Event {
    Event::StageChanged { from: from.into(), to: to.into(), means: Some(means) }
}

fn text(text: &str) -> Personal<String> {
    text.into()
}

#[test]
fn opening_draws_a_number_and_starts_low_in_the_first_stage() {
    let bare: Command = serde_json::from_value(json!({ "open": { "title": "Display stays dark" } })).unwrap();
    let expected = Opened { requester: None, company: None, ..unwrap_opened(opened()) };
    given::<Ticket>([]).when(bare).then([Event::Opened(expected)]);
    assert_eq!(Ticket::counter(&opened()), Some("ticket"));
    assert!(Ticket::encode(&opened()).1.starts_with(br#"{"number":0,"#));
}

fn unwrap_opened(event: Event) -> Opened {
    match event {
        Event::Opened(opened) => opened,
        other => panic!("{other:?}"),
    }
}

#[test]
fn opening_records_all_it_is_told() {
    let command = New {
        requester: Some(Party::contact(CAROL)),
        team: Some(TEAM),
        assignee: Some(BORIS),
        entitlement: Some(OWNED),
        tags: ["display".to_owned()].into(),
        origin: Some("https://example.com/help".into()),
        ..new()
    };
    let events = given::<Ticket>([])
        .with::<Contact>(CAROL, carol())
        .with::<Team>(TEAM, [team_created()])
        .with::<User>(BORIS, user())
        .with::<Entitlement>(OWNED, granted(Party::company(ACME)))
        .when(Command::Open(command))
        .events();
    let opened = unwrap_opened(events[0].clone());
    assert_eq!((opened.company, opened.team), (Some(ACME), Some(TEAM)));
    assert_eq!(events[1], Event::ProductSelected { entitlement: OWNED, product: PRINTER });
    let assigned = Event::Assigned { from: None, to: BORIS, method: AssignMethod::Manual, rule_run: None };
    assert_eq!(events[2], assigned);
    events.iter().for_each(|event| assert_eq!(&crate::kernel::given::stored::<Ticket>(event), event));
}

#[test]
fn opening_refuses_what_makes_no_sense() {
    let refused = |new: New, rejection| given::<Ticket>([]).when(Command::Open(new)).rejected(rejection);
    refused(New { title: text("  "), ..new() }, TITLE_INVALID);
    refused(New { stage: Some("nowhere".into()), ..new() }, STAGE_UNKNOWN);
    refused(New { requester: Some(Party::contact(OTHER)), ..new() }, REQUESTER_UNKNOWN);
    refused(New { requester: Some(Party::company(ACME)), ..new() }, REQUESTER_INVALID);
    refused(New { team: Some(TEAM), ..new() }, TEAM_UNKNOWN);
    refused(New { entitlement: Some(OWNED), ..new() }, PRODUCT_NOT_OWNED);
    refused(New { tags: [String::new()].into(), ..new() }, TAG_INVALID);
    refused(New { custom: [("size".to_owned(), json!("s"))].into(), ..new() }, custom::UNKNOWN_FIELD);
    given::<Ticket>([opened()]).when(Command::Open(new())).rejected(EXISTS);
    given::<Ticket>([]).when(Command::Close).rejected(UNKNOWN);
}

#[test]
fn opening_twice_the_same_changes_nothing() {
    let again = New { requester: Some(Party::contact(CAROL)), ..new() };
    given::<Ticket>([opened()]).when(Command::Open(again)).nothing();
}

#[test]
fn an_edit_records_only_real_changes() {
    let size = crate::org::field::New {
        entity: "ticket".into(),
        key: "size".into(),
        label: None,
        field_type: FieldType::Text,
        options: vec![],
        target: None,
        required: false,
        personal: false,
    };
    let edit = Edit {
        title: Some(Some(text("Dark display"))),
        description: Some(Some(text("Since Monday."))),
        priority: Some(Some(Priority::URGENT)),
        stage: Some(Some("waiting".into())),
        category: Some(Some("hardware".into())),
        custom: Some(Some([("size".to_owned(), json!("s"))].into())),
    };
    let changed = [
        Event::TitleChanged { from: text("Display stays dark"), to: text("Dark display") },
        Event::DescriptionChanged { from: None, to: text("Since Monday.") },
        Event::PriorityChanged { from: Priority::LOW, to: Priority::URGENT },
        Event::StageChanged { from: "new".into(), to: "waiting".into(), means: Some(Means::Waiting) },
        Event::CategorySet { from: None, to: Some("hardware".into()) },
        Event::CustomChanged { changes: [("size".to_owned(), Change { from: json!(null), to: json!("s") })].into() },
    ];
    let fields = || [crate::org::field::Event::Defined(size.clone())];
    let id = Field::id_for(TENANT, "ticket");
    let command = || Command::Edit(edit.clone());
    given::<Ticket>([opened()]).with::<Field>(id, fields()).when(command()).then(changed.clone());
    let after = [opened()].into_iter().chain(changed);
    given::<Ticket>(after).with::<Field>(id, fields()).when(command()).nothing();
    let bad = [("size".to_owned(), json!(5))].into();
    given::<Ticket>([opened()])
        .with::<Field>(id, fields())
        .when(Command::SetCustom { custom: bad })
        .rejected(custom::INVALID_VALUE);
}

#[test]
fn null_clears_what_may_be_empty_and_is_refused_otherwise() {
    let edit =
        |patch: Value| <Command as crate::kernel::named::Named>::decode("edit", patch.to_string().as_bytes()).unwrap();
    let described = || Event::DescriptionChanged { from: None, to: text("x") };
    let sorted = || Event::CategorySet { from: None, to: Some("hardware".into()) };
    given::<Ticket>([opened(), described(), sorted()])
        .when(edit(json!({ "description": null, "category": null })))
        .then([
            Event::DescriptionCleared { from: text("x") },
            Event::CategorySet { from: Some("hardware".into()), to: None },
        ]);
    given::<Ticket>([opened()]).when(edit(json!({ "description": null, "category": null }))).nothing();
    for name in ["title", "priority", "stage"] {
        given::<Ticket>([opened()]).when(edit(json!({ name: null }))).rejected(record::FIELD_INVALID);
    }
}

#[test]
fn one_attribute_at_a_time_works_too() {
    let changed = |command, event| given::<Ticket>([opened()]).when(command).then([event]);
    let title = Event::TitleChanged { from: text("Display stays dark"), to: text("Dark") };
    changed(Command::ChangeTitle { title: text("Dark") }, title);
    changed(
        Command::ChangeDescription { description: text("x") },
        Event::DescriptionChanged { from: None, to: text("x") },
    );
    let urgent = Event::PriorityChanged { from: Priority::LOW, to: Priority::URGENT };
    changed(Command::ChangePriority { priority: Priority::URGENT }, urgent);
    changed(Command::MoveStage { stage: "in_progress".into() }, moved("new", "in_progress", Means::Open));
    changed(
        Command::SetCategory { category: Some("a".into()) },
        Event::CategorySet { from: None, to: Some("a".into()) },
    );
    given::<Ticket>([opened()]).when(Command::SetCategory { category: None }).nothing();
    given::<Ticket>([opened()]).when(Command::MoveStage { stage: "gone".into() }).rejected(STAGE_UNKNOWN);
}

#[test]
fn moving_to_a_stage_is_to_be_what_it_means() {
    let stage = |stage: &str| Command::MoveStage { stage: stage.into() };
    let named = |(name, means)| stage::Named { name: String::from(name), means: Some(means) };
    let stages = [
        ("inbox", Means::Open),
        ("bench", Means::Open),
        ("shop", Means::Waiting),
        ("ready", Means::Resolved),
        ("gone", Means::Closed),
    ];
    let stages = stage::understood(&stages.map(named));
    let (to, means) = stages.into_iter().map(|stage| (stage.name, stage.means)).unzip();
    let changed = crate::org::team::Event::StagesChanged { from: vec![], to, means };
    let team = || [team_created(), changed.clone()];
    let there = Event::Opened(Opened { team: Some(TEAM), stage: "inbox".into(), ..unwrap_opened(opened()) });
    let given =
        |events: Vec<Event>| given::<Ticket>([there.clone()].into_iter().chain(events)).with::<Team>(TEAM, team());
    let resolved = |stage| Event::Resolved { outcome: None, stage };
    let reopened = |stage| Event::Reopened { cause: ReopenCause::Request, stage };
    let closed = |stage| Event::Closed { stage };
    let with = |from: &str, to: &str, means| Some(StageMove { from: from.into(), to: to.into(), means });
    let bench = || moved("inbox", "bench", Means::Open);
    let ready = || moved("bench", "ready", Means::Resolved);
    given(vec![bench()]).when(stage("ready")).then([ready(), resolved(None)]);
    given(vec![bench()]).when(stage("gone")).then([moved("bench", "gone", Means::Closed), closed(None)]);
    let there = || resolved(with("bench", "ready", Means::Resolved));
    given(vec![bench()]).when(Command::Resolve { outcome: None }).then([there()]);
    given(vec![bench()]).when(Command::Close).then([closed(with("bench", "gone", Means::Closed))]);
    let over = || vec![bench(), there()];
    given(over()).when(Command::Resolve { outcome: None }).nothing();
    given(over()).when(Command::Reopen).then([reopened(with("ready", "bench", Means::Open))]);
    given(over()).when(stage("inbox")).then([moved("ready", "inbox", Means::Open), reopened(None)]);
    let gone = || moved("ready", "gone", Means::Closed);
    given(over()).when(stage("gone")).then([gone(), closed(None)]);
    let end = || over().into_iter().chain([gone(), closed(None)]).collect::<Vec<_>>();
    given(end()).when(stage("ready")).then([moved("gone", "ready", Means::Resolved), resolved(None)]);
    given(end()).when(stage("bench")).then([moved("gone", "bench", Means::Open), reopened(None)]);
    given(vec![bench()]).when(stage("shop")).then([moved("bench", "shop", Means::Waiting)]);
    let snoozed = || Event::Snoozed { until: at(60), stage: with("bench", "shop", Means::Waiting) };
    given(vec![bench()]).when(Command::Snooze { until: at(60) }).then([snoozed()]);
    let aside = || vec![bench(), snoozed()];
    given(aside()).when(Command::Wake).then([Event::Woken { stage: with("shop", "bench", Means::Open) }]);
    let awake = Event::Woken { stage: None };
    given(aside()).when(stage("inbox")).then([moved("shop", "inbox", Means::Open), awake]);
    let left = Event::TeamChanged { from: Some(TEAM), to: None };
    let solved = moved("ready", "solved", Means::Resolved);
    given(over()).when(Command::ChangeTeam { team: None }).then([left, solved]);
}

#[test]
fn a_team_brings_its_own_stages() {
    let team = || {
        [
            team_created(),
            crate::org::team::Event::StagesChanged {
                from: vec![],
                to: vec!["inbox".into(), "done".into()],
                means: vec![],
            },
        ]
    };
    let moved = [
        Event::TeamChanged { from: None, to: Some(TEAM) },
        Event::StageChanged { from: "new".into(), to: "inbox".into(), means: Some(Means::Open) },
    ];
    given::<Ticket>([opened()])
        .with::<Team>(TEAM, team())
        .when(Command::ChangeTeam { team: Some(TEAM) })
        .then(moved.clone());
    let there = || [opened()].into_iter().chain(moved.clone());
    given::<Ticket>(there()).with::<Team>(TEAM, team()).when(Command::ChangeTeam { team: Some(TEAM) }).nothing();
    given::<Ticket>(there())
        .with::<Team>(TEAM, team())
        .when(Command::MoveStage { stage: "new".into() })
        .rejected(STAGE_UNKNOWN);
    given::<Ticket>([opened()]).when(Command::ChangeTeam { team: Some(TEAM) }).rejected(TEAM_UNKNOWN);
}

#[test]
fn a_ticket_takes_only_products_its_requester_or_their_company_owns() {
    let select = || Command::SelectProduct { entitlement: OWNED };
    let selected = || Event::ProductSelected { entitlement: OWNED, product: PRINTER };
    let ticket = || given::<Ticket>([opened()]).with::<Contact>(CAROL, carol());
    ticket().with::<Entitlement>(OWNED, granted(Party::contact(CAROL))).when(select()).then([selected()]);
    ticket().with::<Entitlement>(OWNED, granted(Party::company(ACME))).when(select()).then([selected()]);
    ticket().with::<Entitlement>(OWNED, granted(Party::company(OTHER))).when(select()).rejected(PRODUCT_NOT_OWNED);
    ticket().when(select()).rejected(PRODUCT_NOT_OWNED);
    let revoked =
        granted(Party::contact(CAROL)).into_iter().chain([crate::desk::entitlement::Event::Revoked { reason: None }]);
    ticket().with::<Entitlement>(OWNED, revoked).when(select()).rejected(PRODUCT_NOT_OWNED);
    given::<Ticket>([opened(), selected()]).when(select()).nothing();
    given::<Ticket>([opened(), selected()]).when(Command::ClearProduct).then([Event::ProductCleared]);
    given::<Ticket>([opened()]).when(Command::ClearProduct).nothing();
}

#[test]
fn another_requester_who_does_not_own_the_product_clears_it() {
    let selected = Event::ProductSelected { entitlement: OWNED, product: PRINTER };
    let to = Some(Party::user(BORIS));
    let from = Some(Party::contact(CAROL));
    given::<Ticket>([opened(), selected])
        .with::<User>(BORIS, user())
        .with::<Entitlement>(OWNED, granted(Party::contact(CAROL)))
        .when(Command::ChangeRequester { requester: to })
        .then([Event::RequesterChanged { from, to, company: None }, Event::ProductCleared]);
    given::<Ticket>([opened()]).when(Command::ChangeRequester { requester: from }).nothing();
}

#[test]
fn a_user_is_made_responsible() {
    let assign = |assignee| Command::Assign { assignee, method: AssignMethod::Manual, rule_run: None };
    let assigned = |from, to| Event::Assigned { from, to, method: AssignMethod::Manual, rule_run: None };
    given::<Ticket>([opened()]).when(assign(BORIS)).then([assigned(None, BORIS)]);
    let given_boris = || given::<Ticket>([opened(), assigned(None, BORIS)]);
    given_boris().when(assign(BORIS)).nothing();
    given_boris().when(assign(ANNA)).then([assigned(Some(BORIS), ANNA)]);
    given_boris().when(Command::Unassign).then([Event::Unassigned { from: BORIS }]);
    given::<Ticket>([opened()]).when(Command::Unassign).nothing();
    given::<Ticket>([opened(), Event::Closed { stage: None }]).when(assign(BORIS)).rejected(CLOSED);
}

#[test]
fn a_message_is_taken_in_once_and_opens_what_was_over() {
    let receive = |external: &str| Command::ReceiveMessage {
        message_id: Some(Id::from_bits(0x20)),
        external_id: Some(external.into()),
        from: None,
        body: text("Hello?"),
        attachments: vec![],
        email: None,
    };
    let received = |external: &str| Event::MessageReceived {
        message_id: Id::from_bits(0x20),
        external_id: Some(external.into()),
        from: Some(Party::contact(CAROL)),
        body: text("Hello?"),
        attachments: vec![],
        email: None,
        via_ticket: None,
    };
    given::<Ticket>([opened(), message(0x30)]).when(receive("x1")).nothing();
    given::<Ticket>([opened()]).when(receive("x2")).then([received("x2")]);
    let reopened = Event::Reopened { cause: ReopenCause::CustomerMessage, stage: None };
    given::<Ticket>([opened(), Event::Closed { stage: None }])
        .when(receive("x2"))
        .then([received("x2"), reopened.clone()]);
    let resolved = Event::Resolved { outcome: Some("Replaced".into()), stage: None };
    given::<Ticket>([opened(), resolved]).when(receive("x2")).then([received("x2"), reopened]);
    let snoozed = Event::Snoozed { until: at(60), stage: None };
    given::<Ticket>([opened(), snoozed]).when(receive("x2")).then([received("x2"), Event::Woken { stage: None }]);
    let empty = Command::ReceiveMessage {
        message_id: None,
        external_id: None,
        from: None,
        body: text(" "),
        attachments: vec![],
        email: None,
    };
    given::<Ticket>([opened()]).when(empty).rejected(BODY_EMPTY);
}

#[test]
fn a_reply_leaves_by_its_channel() {
    let message_id = Id::from_bits(0x21);
    let reply =
        || Command::Reply { message_id: Some(message_id), body: text("Try this."), attachments: vec![], send_at: None };
    let queue = |again| Event::ReplyQueued {
        message_id,
        body: text("Try this."),
        attachments: vec![],
        again,
        send_at: None,
        via_ticket: None,
    };
    let queued = || queue(false);
    let sent = |external_id| Event::ReplySent { message_id, external_id };
    given::<Ticket>([opened()]).when(reply()).then([queued(), sent(None)]);
    let by_mail = || Event::Opened(Opened { channel: "email".into(), ..unwrap_opened(opened()) });
    given::<Ticket>([by_mail()]).when(reply()).then([queued()]);
    given::<Ticket>([by_mail(), queued()]).when(reply()).nothing();
    given::<Ticket>([by_mail(), message(0x21)]).when(reply()).rejected(MESSAGE_EXISTS);
    let mark_sent = || Command::MarkReplySent { message_id, external_id: Some("m1".into()) };
    given::<Ticket>([by_mail(), queued()]).when(mark_sent()).then([sent(Some("m1".into()))]);
    given::<Ticket>([by_mail(), queued(), sent(None)]).when(mark_sent()).nothing();
    given::<Ticket>([by_mail()]).when(mark_sent()).rejected(MESSAGE_UNKNOWN);
    let mark_failed = || Command::MarkReplyFailed { message_id, error: "550".into() };
    let failed = || Event::ReplyFailed { message_id, error: "550".into() };
    given::<Ticket>([by_mail(), queued()]).when(mark_failed()).then([failed()]);
    given::<Ticket>([by_mail(), queued(), failed()]).when(mark_failed()).nothing();
    // A mail that was accepted may come back. That it was accepted is told late; it is sent once more under its id.
    given::<Ticket>([by_mail(), queued(), sent(None)]).when(mark_failed()).then([failed()]);
    given::<Ticket>([by_mail(), queued(), failed()]).when(mark_sent()).nothing();
    given::<Ticket>([by_mail(), queued(), sent(None), failed()]).when(reply()).then([queue(true)]);
    given::<Ticket>([by_mail(), queued(), failed(), queue(true)]).when(mark_sent()).then([sent(Some("m1".into()))]);
}

#[test]
fn notes_are_added_and_texts_redacted() {
    let message_id = Id::from_bits(0x22);
    let note = || Command::AddNote { message_id: Some(message_id), body: text("Third one."), attachments: vec![] };
    let added = || Event::NoteAdded { message_id, body: text("Third one."), attachments: vec![], via_ticket: None };
    given::<Ticket>([opened(), Event::Closed { stage: None }]).when(note()).then([added()]);
    given::<Ticket>([opened(), added()]).when(note()).nothing();
    let redact = || Command::RedactMessage { message_id, reason: "A password".into() };
    let redacted = || Event::MessageRedacted { message_id, reason: "A password".into() };
    given::<Ticket>([opened(), added()]).when(redact()).then([redacted()]);
    given::<Ticket>([opened(), added(), redacted()]).when(redact()).nothing();
    given::<Ticket>([opened()]).when(redact()).rejected(MESSAGE_UNKNOWN);
}

#[test]
fn users_follow_and_stop_following() {
    let follow = |user| Command::Follow { user };
    let added = || Event::FollowerAdded { user: ANNA };
    given::<Ticket>([opened()]).with::<User>(ANNA, user()).when(follow(None)).then([added()]);
    given::<Ticket>([opened(), added()]).when(follow(Some(ANNA))).nothing();
    given::<Ticket>([opened()]).when(follow(Some(OTHER))).rejected(FOLLOWER_UNKNOWN);
    let removed = Event::FollowerRemoved { user: ANNA };
    given::<Ticket>([opened(), added()]).when(Command::Unfollow { user: None }).then([removed]);
    given::<Ticket>([opened()]).when(Command::Unfollow { user: None }).nothing();
}

#[test]
fn it_is_put_aside_and_comes_back() {
    let snooze = |seconds| Command::Snooze { until: at(seconds) };
    let with = |from: &str, to: &str, means| Some(StageMove { from: from.into(), to: to.into(), means });
    let snoozed = || Event::Snoozed { until: at(60), stage: with("new", "waiting", Means::Waiting) };
    given::<Ticket>([opened()]).when(snooze(60)).then([snoozed()]);
    given::<Ticket>([opened(), snoozed()]).when(snooze(60)).nothing();
    given::<Ticket>([opened()]).when(snooze(-60)).rejected(UNTIL_PAST);
    let woken = || Event::Woken { stage: with("waiting", "new", Means::Open) };
    given::<Ticket>([opened(), snoozed()]).when(Command::Wake).then([woken()]);
    given::<Ticket>([opened(), snoozed(), woken()]).when(Command::Wake).nothing();
}

#[test]
fn it_is_resolved_closed_and_reopened() {
    let resolve = || Command::Resolve { outcome: None };
    let with = |from: &str, to: &str, means| Some(StageMove { from: from.into(), to: to.into(), means });
    let resolved = || Event::Resolved { outcome: None, stage: with("new", "solved", Means::Resolved) };
    let reopened = |stage| Event::Reopened { cause: ReopenCause::Request, stage };
    let closed = |stage| Event::Closed { stage };
    given::<Ticket>([opened()]).when(resolve()).then([resolved()]);
    given::<Ticket>([opened(), resolved()]).when(resolve()).nothing();
    given::<Ticket>([opened(), resolved()]).when(Command::Close).then([closed(None)]);
    given::<Ticket>([opened()]).when(Command::Close).then([closed(with("new", "solved", Means::Resolved))]);
    let back = || reopened(with("solved", "new", Means::Open));
    given::<Ticket>([opened(), resolved()]).when(Command::Reopen).then([back()]);
    given::<Ticket>([opened(), resolved(), back()]).when(Command::Reopen).nothing();
    // From before stages went along.
    given::<Ticket>([opened(), closed(None)]).when(Command::Close).nothing();
    given::<Ticket>([opened(), closed(None)]).when(resolve()).rejected(CLOSED);
    given::<Ticket>([opened(), closed(None)]).when(Command::Reopen).then([reopened(None)]);
}

#[test]
fn a_merge_is_shown_on_both_and_can_be_undone() {
    let merge = || Command::Merge { into: OTHER };
    let merged = || Event::Merged { into: OTHER };
    given::<Ticket>([opened()]).with::<Ticket>(OTHER, [opened()]).when(merge()).then([merged()]);
    given::<Ticket>([opened(), merged()]).when(merge()).nothing();
    given::<Ticket>([opened(), merged()]).when(Command::Close).rejected(MERGED);
    given::<Ticket>([opened()]).when(merge()).rejected(OTHER_UNKNOWN);
    given::<Ticket>([opened()]).when(Command::Merge { into: SUBJECT }).rejected(SAME_TICKET);
    // What is itself a part of another is taken for that one.
    let elsewhere = || [opened(), Event::Merged { into: THIRD }];
    let chained = given::<Ticket>([opened()]).with::<Ticket>(OTHER, elsewhere()).with::<Ticket>(THIRD, [opened()]);
    chained.when(merge()).then([Event::Merged { into: THIRD }]);
    given::<Ticket>([opened(), Event::Merged { into: THIRD }])
        .with::<Ticket>(OTHER, elsewhere())
        .with::<Ticket>(THIRD, [opened()])
        .when(merge())
        .nothing();
    let unmerged = Event::Unmerged { from: OTHER };
    given::<Ticket>([opened(), Event::Closed { stage: None }, merged()])
        .when(Command::Unmerge)
        .then([unmerged.clone()]);
    let back = given::<Ticket>([opened(), Event::Closed { stage: None }, merged(), unmerged]);
    assert_eq!(back.state.status, Status::Closed, "as it was before the merge");
    given::<Ticket>([opened()]).when(Command::Unmerge).nothing();
    let from = Event::Unmerged { from: OTHER };
    assert_eq!(echoed(&from), Event::Unlinked { ticket: SUBJECT, kind: LinkKind::MergedFrom });
}

/// What a ticket brings along that is tagged, followed, linked and worked on.
fn brought() -> BTreeMap<Id, Brought> {
    let links = BTreeSet::from([Link { ticket: THIRD, kind: LinkKind::Blocks }]);
    let brought =
        Brought { tags: ["vip".to_owned()].into(), followers: [BORIS].into(), links, participants: [CAROL].into() };
    BTreeMap::from([(SUBJECT, brought)])
}

fn absorbed() -> Event {
    Event::Absorbed { ticket: SUBJECT, parts: brought(), assignee: Some(Inherited { user: ANNA, of: SUBJECT }) }
}

fn assigned(to: Id) -> Event {
    Event::Assigned { from: None, to, method: AssignMethod::Manual, rule_run: None }
}

#[test]
fn what_a_merged_ticket_had_the_other_has_until_the_merge_is_taken_back() {
    let had = || {
        let linked = Event::Linked { ticket: THIRD, kind: LinkKind::Blocks };
        let tagged = Event::Tagged { tag: "vip".into() };
        [opened(), tagged, Event::FollowerAdded { user: BORIS }, linked, assigned(ANNA)]
    };
    let merged = Event::Merged { into: OTHER };
    let other = |events: Vec<Event>| given::<Ticket>(had()).with::<Ticket>(OTHER, events).with::<User>(ANNA, user());
    let link = || Event::Linked { ticket: SUBJECT, kind: LinkKind::MergedFrom };
    assert_eq!(other(vec![opened()]).echoes(&merged), [(OTHER, link()), (OTHER, assigned(ANNA)), (OTHER, absorbed())]);
    let alone = Event::Absorbed { ticket: SUBJECT, parts: brought(), assignee: None };
    let worked_on = other(vec![opened(), assigned(BORIS)]);
    assert_eq!(worked_on.echoes(&merged), [(OTHER, link()), (OTHER, alone.clone())]);

    let whole = || vec![opened(), link(), assigned(ANNA), absorbed()];
    let document = |events: Vec<Event>| given::<Ticket>(events).state.document().unwrap();
    assert_eq!(document(whole())["tags"], json!(["vip"]));
    let released = Event::Released { ticket: SUBJECT, parts: [SUBJECT].into() };
    let back = |holder: Vec<Event>| given::<Ticket>(had()).with::<Ticket>(OTHER, holder);
    let echoes = back(whole()).echoes(&Event::Unmerged { from: OTHER });
    let unlinked = Event::Unlinked { ticket: SUBJECT, kind: LinkKind::MergedFrom };
    let unassigned = Event::Unassigned { from: ANNA };
    assert_eq!(echoes, [(OTHER, unlinked.clone()), (OTHER, released.clone()), (OTHER, unassigned.clone())]);
    let after = |more: Vec<Event>| document([whole(), more].concat());
    assert_eq!(after(vec![unlinked, released.clone(), unassigned]), document(vec![opened()]));

    // What somebody does on purpose stays, even where it showed before.
    let whole_ticket = || given::<Ticket>(whole()).with::<User>(ANNA, user()).with::<User>(BORIS, user());
    let tagged = || Event::Tagged { tag: "vip".into() };
    whole_ticket().when(Command::Tag { tag: "vip".into() }).then([tagged()]);
    assert_eq!(after(vec![tagged(), released.clone()])["tags"], json!(["vip"]));
    let assign = Command::Assign { assignee: ANNA, method: AssignMethod::Manual, rule_run: None };
    let again = Event::Assigned { from: Some(ANNA), to: ANNA, method: AssignMethod::Manual, rule_run: None };
    whole_ticket().when(assign).then([again.clone()]);
    let kept = back([whole(), vec![again]].concat()).echoes(&Event::Unmerged { from: OTHER });
    assert_eq!(kept.len(), 2, "nobody takes the work from who was given it on purpose");
    // What somebody removes is gone.
    let untagged = Event::Untagged { tag: "vip".into() };
    whole_ticket().when(Command::Untag { tag: "vip".into() }).then([untagged.clone()]);
    assert_eq!(after(vec![untagged])["tags"], Value::Null);
    let unfollow = Command::Unfollow { user: Some(BORIS) };
    whole_ticket().when(unfollow).then([Event::FollowerRemoved { user: BORIS }]);

    // Through chains: what one brings along and what it has of others.
    let onward = given::<Ticket>(whole()).with::<Ticket>(THIRD, [opened()]).with::<User>(ANNA, user()).at(OTHER);
    let echoes = onward.echoes(&Event::Merged { into: THIRD });
    let Some((THIRD, Event::Absorbed { parts, assignee, .. })) = echoes.last() else { panic!("{echoes:?}") };
    assert_eq!(parts.keys().collect::<Vec<_>>(), [&SUBJECT, &OTHER]);
    assert!(parts[&SUBJECT].links.is_empty(), "nobody is linked with itself");
    assert_eq!(assignee.map(|inherited| inherited.of), Some(SUBJECT));
}

#[test]
fn a_link_that_a_merged_ticket_brought_along_is_removed_everywhere() {
    let link = |ticket| Event::Unlinked { ticket, kind: LinkKind::Blocks };
    let seen = |ticket| Event::Unlinked { ticket, kind: LinkKind::BlockedBy };
    let other = || given::<Ticket>([opened(), absorbed()]).with::<Ticket>(SUBJECT, [opened()]).at(OTHER);
    other().when(Command::Unlink { ticket: THIRD, kind: LinkKind::Blocks }).then([link(THIRD)]);
    assert_eq!(other().echoes(&link(THIRD)), [(THIRD, seen(SUBJECT)), (SUBJECT, link(THIRD))]);
    // From the other side, by either name.
    let third = || {
        let linked = Event::Linked { ticket: SUBJECT, kind: LinkKind::BlockedBy };
        let merged = [opened(), Event::Merged { into: OTHER }];
        let there = given::<Ticket>([opened(), linked]).with::<Ticket>(SUBJECT, merged).at(THIRD);
        there.with::<Ticket>(OTHER, [opened(), absorbed()])
    };
    for ticket in [SUBJECT, OTHER] {
        third().when(Command::Unlink { ticket, kind: LinkKind::BlockedBy }).then([seen(SUBJECT)]);
    }
    assert_eq!(third().echoes(&seen(SUBJECT)), [(SUBJECT, link(THIRD)), (OTHER, link(THIRD))]);
    given::<Ticket>([opened()])
        .when(Command::Unlink { ticket: OTHER, kind: LinkKind::MergedFrom })
        .rejected(LINK_INVALID);
}

#[test]
fn what_is_said_to_a_merged_ticket_belongs_to_the_one_that_goes_on() {
    let merged = given::<Ticket>([opened(), message(0x30), Event::Merged { into: OTHER }]);
    let receive = |last: u128, external_id: Option<&str>| Command::ReceiveMessage {
        message_id: Some(Id::from_bits(last)),
        external_id: external_id.map(ToOwned::to_owned),
        from: None,
        body: text("Hello?"),
        attachments: vec![],
        email: None,
    };
    let passes_on = |command: &Command| merged.state.passes_on(command).is_some();
    assert!(passes_on(&receive(0x31, None)) && passes_on(&Command::Rate { score: 5, text: None }));
    assert!(!passes_on(&receive(0x30, None)) && !passes_on(&receive(0x31, Some("x1"))), "it was taken in before");
    assert!(!passes_on(&Command::Close));
    merged.when(receive(0x31, Some("x1"))).nothing();
    let facts = crate::Facts::default();
    let actor = Actor::user(ANNA);
    let ctx = Ctx {
        tenant: TENANT,
        id: SUBJECT,
        now: at(0),
        actor: &actor,
        authority: &crate::Authority::full(),
        seed: "command",
        facts: &facts,
    };
    let state = given::<Ticket>([opened(), Event::Merged { into: OTHER }]).state;
    let forwarded = state.passed_on(&receive(0x31, Some("x2")), OTHER, &ctx).unwrap();
    assert_eq!(
        crate::kernel::given::stored::<Ticket>(&forwarded),
        Event::Forwarded {
            command: "receive_message".into(),
            into: OTHER,
            message_id: Some(Id::from_bits(0x31)),
            external_id: Some("x2".into())
        }
    );
    // Delivered once more, even after the merge was taken back, it is known.
    let back = given::<Ticket>([opened(), forwarded, Event::Unmerged { from: OTHER }]);
    back.when(receive(0x32, Some("x2"))).nothing();
    let Event::Rated { via_ticket, .. } =
        Ticket::came_via(Event::Rated { score: 5, text: None, via_ticket: None }, SUBJECT)
    else {
        unreachable!()
    };
    assert_eq!(via_ticket, Some(SUBJECT));
}

/// What an event of an open ticket means in the other ticket's stream.
fn echoed(event: &Event) -> Event {
    let state = given::<Ticket>([opened()]).state;
    let (actor, facts) = (Actor::user(ANNA), crate::Facts::default());
    let ctx = Ctx {
        tenant: TENANT,
        id: SUBJECT,
        now: at(0),
        actor: &actor,
        authority: &crate::Authority::full(),
        seed: "command",
        facts: &facts,
    };
    let [echo] = state.echoes(event, &ctx).try_into().ok().unwrap();
    assert_eq!(echo.id, OTHER);
    Ticket::decode(&echo.event_type, &echo.data).unwrap()
}

#[test]
fn a_split_moves_messages_into_a_ticket_of_its_own() {
    let messages = BTreeSet::from([Id::from_bits(0x30)]);
    let split = |new_ticket| Command::Split { messages: messages.clone(), title: None, new_ticket };
    let done = Event::Split { new_ticket: OTHER, title: text("Display stays dark"), messages: messages.clone() };
    let ticket = || given::<Ticket>([opened(), message(0x30)]);
    ticket().when(split(Some(OTHER))).then([done.clone()]);
    let new = unwrap_opened(echoed(&done));
    assert_eq!((new.number, new.split_from, new.requester), (0, Some(SUBJECT), Some(Party::contact(CAROL))));
    ticket().with::<Ticket>(OTHER, [Event::Opened(new)]).when(split(Some(OTHER))).nothing();
    ticket().with::<Ticket>(OTHER, [opened()]).when(split(Some(OTHER))).rejected(EXISTS);
    ticket().when(split(Some(SUBJECT))).rejected(SAME_TICKET);
    given::<Ticket>([opened()]).when(split(None)).rejected(MESSAGE_UNKNOWN);
    let parted = || given::<Ticket>([opened(), message(0x30), done.clone()]);
    parted().when(split(None)).rejected(MESSAGE_UNKNOWN);
    let (message_id, reason) = (Id::from_bits(0x30), "A password".to_owned());
    let redact = Command::RedactMessage { message_id, reason: reason.clone() };
    parted().when(redact).then([Event::MessageRedacted { message_id, reason }]);
}

#[test]
fn links_show_on_both_sides() {
    let link = |kind| Command::Link { ticket: OTHER, kind };
    let linked = |kind| Event::Linked { ticket: OTHER, kind };
    given::<Ticket>([opened()])
        .with::<Ticket>(OTHER, [opened()])
        .when(link(LinkKind::Blocks))
        .then([linked(LinkKind::Blocks)]);
    given::<Ticket>([opened(), linked(LinkKind::Blocks)]).when(link(LinkKind::Blocks)).nothing();
    given::<Ticket>([opened()]).when(link(LinkKind::MergedFrom)).rejected(LINK_INVALID);
    given::<Ticket>([opened()]).when(link(LinkKind::Related)).rejected(OTHER_UNKNOWN);
    assert_eq!(echoed(&linked(LinkKind::Blocks)), Event::Linked { ticket: SUBJECT, kind: LinkKind::BlockedBy });
    let unlink = Command::Unlink { ticket: OTHER, kind: LinkKind::Blocks };
    let unlinked = Event::Unlinked { ticket: OTHER, kind: LinkKind::Blocks };
    given::<Ticket>([opened(), linked(LinkKind::Blocks)]).when(unlink.clone()).then([unlinked.clone()]);
    given::<Ticket>([opened()]).when(unlink).nothing();
    let there = Event::Unlinked { ticket: SUBJECT, kind: LinkKind::BlockedBy };
    assert_eq!(given::<Ticket>([opened(), linked(LinkKind::Blocks)]).echoes(&unlinked), [(OTHER, there)]);
}

#[test]
fn the_requester_rates_it() {
    let rate = |score| Command::Rate { score, text: Some(text("Quick!")) };
    let rated = || Event::Rated { score: 5, text: Some(text("Quick!")), via_ticket: None };
    given::<Ticket>([opened(), Event::Closed { stage: None }]).when(rate(5)).then([rated()]);
    given::<Ticket>([opened(), rated()]).when(rate(5)).nothing();
    given::<Ticket>([opened()]).when(rate(6)).rejected(SCORE_INVALID);
}

#[test]
fn tags_come_and_go() {
    let tag = |tag: &str| Command::Tag { tag: tag.into() };
    let tagged = || Event::Tagged { tag: "vip".into() };
    given::<Ticket>([opened()]).when(tag("vip")).then([tagged()]);
    given::<Ticket>([opened(), tagged()]).when(tag("vip")).nothing();
    given::<Ticket>([opened()]).when(tag("")).rejected(TAG_INVALID);
    let untag = || Command::Untag { tag: "vip".into() };
    given::<Ticket>([opened(), tagged()]).when(untag()).then([Event::Untagged { tag: "vip".into() }]);
    given::<Ticket>([opened()]).when(untag()).nothing();
}

#[test]
fn a_stale_edit_merges_when_it_touches_other_attributes() {
    let edit = Command::Edit(Edit { title: Some(Some(text("Dark"))), ..Default::default() });
    let priority = Event::PriorityChanged { from: Priority::LOW, to: Priority::URGENT };
    let title = Event::TitleChanged { from: text("a"), to: text("b") };
    assert!(Ticket::merges(&edit, &[priority, message(0x30)]));
    assert!(!Ticket::merges(&edit, &[title]));
    assert!(!Ticket::merges(&Command::Close, &[]));
}

#[test]
fn a_reply_is_taken_back_before_it_leaves_and_nobody_knows_of_one_that_may_have() {
    use Command::{CancelReply, MarkReplySent, MarkReplyUncertain};
    let message_id = Id::from_bits(0x21);
    let queued = |again, send_at| Event::ReplyQueued {
        message_id,
        body: text("Try this."),
        attachments: vec![],
        again,
        send_at,
        via_ticket: None,
    };
    let reply = |send_at| Command::Reply {
        message_id: Some(message_id),
        body: text("Try this."),
        attachments: vec![],
        send_at,
    };
    let mail = || given::<Ticket>([by_mail(), queued(false, None)]);
    given::<Ticket>([by_mail()]).when(reply(Some(at(60)))).then([queued(false, Some(at(60)))]);
    // What is over cannot be waited for.
    given::<Ticket>([by_mail()]).when(reply(Some(at(-60)))).then([queued(false, None)]);
    mail().when(CancelReply { message_id }).then([Event::ReplyCancelled { message_id }]);
    let cancelled = || given::<Ticket>([by_mail(), queued(false, None), Event::ReplyCancelled { message_id }]);
    assert!(mail().state.is_queued(message_id) && !cancelled().state.is_queued(message_id));
    cancelled().when(CancelReply { message_id }).nothing();
    cancelled().when(reply(None)).then([queued(true, None)]);
    // It was on its way already.
    let sent = Event::ReplySent { message_id, external_id: None };
    cancelled().when(MarkReplySent { message_id, external_id: None }).then([sent.clone()]);
    given::<Ticket>([by_mail(), queued(false, None), sent]).when(CancelReply { message_id }).rejected(REPLY_GONE);
    let mark = || MarkReplyUncertain { message_id, reason: "gone".into() };
    let uncertain = Event::ReplyUncertain { message_id, reason: "gone".into() };
    mail().when(mark()).then([uncertain.clone()]);
    let doubted = || given::<Ticket>([by_mail(), queued(false, None), uncertain.clone()]);
    doubted().when(mark()).nothing();
    doubted().when(CancelReply { message_id }).rejected(REPLY_GONE);
    doubted().when(reply(None)).then([queued(true, None)]);
    doubted().when(CancelReply { message_id: Id::from_bits(0x99) }).rejected(MESSAGE_UNKNOWN);
}

fn by_mail() -> Event {
    let Event::Opened(opened) = opened() else { unreachable!() };
    Event::Opened(Opened { channel: "email".into(), ..opened })
}

#[test]
fn contacts_take_part_besides_the_requester() {
    const DORA: Id = Id::from_bits(0xD0);
    let add = |contact| Command::AddParticipant { contact };
    let added = Event::ParticipantAdded { contact: DORA };
    given::<Ticket>([opened()]).alive(Contact::KIND, DORA).when(add(DORA)).then([added.clone()]);
    given::<Ticket>([opened()]).when(add(DORA)).rejected(PARTICIPANT_UNKNOWN);
    given::<Ticket>([opened()]).when(add(CAROL)).nothing();
    given::<Ticket>([opened(), added.clone()]).when(add(DORA)).nothing();
    let remove = Command::RemoveParticipant { contact: DORA };
    let removed = Event::ParticipantRemoved { contact: DORA };
    given::<Ticket>([opened(), added.clone()]).when(remove.clone()).then([removed.clone()]);
    given::<Ticket>([opened(), added.clone(), removed]).when(remove).nothing();
    assert_eq!(given::<Ticket>([opened(), added]).state.participants(), [DORA].into());
}
