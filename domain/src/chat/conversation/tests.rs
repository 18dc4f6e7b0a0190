//! What a conversation does, told by examples.

use super::*;
use crate::{
    chat::{
        channel::{self, Kind},
        quick_reply,
    },
    crm::contact,
    kernel::{
        aggregate::{AnyState, Facts},
        given::{ANNA, BORIS, Given, SUBJECT, TENANT, at, created, given},
        record::Spec as _,
    },
};

const MARIA: Id = Id::from_bits(0xC);
const INBOUND: Id = Id::from_bits(0x20);
const OUTBOUND: Id = Id::from_bits(0x21);
const HELLO: Id = Id::from_bits(0x30);

fn new() -> New {
    let Command::Start(new) = Conversation::examples().remove(0) else { unreachable!() };
    let identity = Identity {
        e164: Some("+39065550101".into()),
        ..Identity::new(contact::IdentityKind::Whatsapp, "+39 06 555 0101")
    };
    New { medium: "whatsapp".into(), identity: Some(identity), ..new }
}

fn chat(events: impl IntoIterator<Item = Event>) -> Given<Conversation> {
    given([Event::Started(new())].into_iter().chain(events))
}

fn received() -> Event {
    Event::MessageReceived {
        message_id: INBOUND,
        external_id: Some("wamid.0".into()),
        body: "Good day".into(),
        attachments: vec![Attachment { upload_id: MARIA, name: "a.jpg".into(), media_type: None, size: Some(1) }],
        reply_until: None,
        claimed_at: None,
    }
}

fn queue(label: Option<Id>, again: bool) -> Event {
    let quick_reply = label.map(|_| HELLO);
    Event::MessageQueued {
        message_id: OUTBOUND,
        body: "Hello".into(),
        attachments: vec![],
        quick_reply,
        label,
        again,
        template: None,
    }
}

fn queued(label: Option<Id>) -> Event {
    queue(label, false)
}

fn assigned(to: Id, method: AssignMethod) -> Event {
    Event::Assigned { from: None, to, method, rule_run: None }
}

fn linked() -> Event {
    Event::ContactLinked { contact: MARIA, matched_by: MatchedBy::Phone }
}

fn link() -> Command {
    Command::LinkContact { contact: MARIA, matched_by: MatchedBy::Phone }
}

#[test]
fn it_starts_once_with_whoever_is_there() {
    given::<Conversation>([]).when(Command::Start(new())).then([Event::Started(new())]);
    chat([]).when(Command::Start(new())).nothing();
    chat([]).when(Command::Start(New { medium: "telegram".into(), ..new() })).rejected(EXISTS);
    let known = New { contact: Some(MARIA), ..new() };
    given::<Conversation>([]).when(Command::Start(known.clone())).then([Event::Started(known)]);
    given::<Conversation>([]).when(Command::Start(New { medium: " ".into(), ..new() })).rejected(MEDIUM_INVALID);
    given::<Conversation>([]).when(Command::Close).rejected(UNKNOWN);
}

#[test]
fn a_message_is_taken_in_once_and_reopens_what_is_closed() {
    let Event::MessageReceived { external_id, body, attachments, .. } = received() else { unreachable!() };
    let receive = |message_id| Command::ReceiveMessage {
        message_id,
        external_id: external_id.clone(),
        body: body.clone(),
        attachments: attachments.clone(),
        claimed_at: None,
    };
    chat([]).when(receive(Some(INBOUND))).then([received()]);
    chat([received()]).when(receive(Some(INBOUND))).nothing();
    chat([received()]).when(receive(None)).nothing();
    let reopened = Event::Reopened { cause: ReopenCause::CustomerMessage };
    chat([Event::Closed]).when(receive(Some(INBOUND))).then([received(), reopened]);
    let empty = Command::ReceiveMessage {
        message_id: None,
        external_id: None,
        body: " ".into(),
        attachments: vec![],
        claimed_at: None,
    };
    chat([]).when(empty).rejected(BODY_EMPTY);
}

#[test]
fn a_message_of_ours_goes_its_way_and_never_back() {
    let send = |message_id, quick_reply| Command::SendMessage {
        message_id: Some(message_id),
        body: "Hello".into(),
        attachments: vec![],
        quick_reply,
        template: None,
    };
    chat([]).when(send(OUTBOUND, None)).then([queued(None)]);
    chat([queued(None)]).when(send(OUTBOUND, None)).nothing();
    chat([received()]).when(send(INBOUND, None)).rejected(MESSAGE_EXISTS);
    chat([Event::Closed]).when(send(OUTBOUND, None)).rejected(CLOSED);

    let sent = || Event::MessageSent { message_id: OUTBOUND, external_id: Some("wamid.1".into()) };
    let mark_sent = || Command::MarkMessageSent { message_id: OUTBOUND, external_id: Some("wamid.1".into()) };
    chat([queued(None)]).when(mark_sent()).then([sent()]);
    chat([queued(None), sent()]).when(mark_sent()).nothing();
    chat([]).when(mark_sent()).rejected(MESSAGE_UNKNOWN);
    let delivered = || Event::MessageDelivered { message_id: OUTBOUND };
    let deliver = || Command::MarkMessageDelivered { message_id: OUTBOUND };
    chat([queued(None), sent()]).when(deliver()).then([delivered()]);
    let read = || Event::MessageRead { message_id: OUTBOUND };
    let mark_read = || Command::MarkMessageRead { message_id: OUTBOUND };
    chat([queued(None), sent()]).when(mark_read()).then([read()]);
    chat([queued(None), sent(), read()]).when(deliver()).nothing();
    let failed = || Event::MessageFailed { message_id: OUTBOUND, error: "number unknown".into() };
    let fail = || Command::MarkMessageFailed { message_id: OUTBOUND, error: "number unknown".into() };
    chat([queued(None)]).when(fail()).then([failed()]);
    // What was accepted may fail; what has arrived has not failed.
    chat([queued(None), sent()]).when(fail()).then([failed()]);
    chat([queued(None), sent(), failed()]).when(fail()).nothing();
    chat([queued(None), delivered()]).when(fail()).nothing();
    chat([queued(None), failed()]).when(deliver()).then([delivered()]);
    // That it was accepted is told late. It is sent once more under its id.
    chat([queued(None), failed()]).when(mark_sent()).nothing();
    chat([queued(None), sent(), failed()]).when(send(OUTBOUND, None)).then([queue(None, true)]);
    chat([queued(None), failed(), queue(None, true)]).when(send(OUTBOUND, None)).nothing();
    chat([queued(None), failed(), queue(None, true)]).when(mark_sent()).then([sent()]);
}

#[test]
fn reports_lead_to_the_same_end_in_whatever_order_they_come() {
    let report = |to: Delivery| match to {
        Delivery::Queued => unreachable!(),
        Delivery::Uncertain => Command::MarkMessageUncertain { message_id: OUTBOUND, reason: "x".into() },
        Delivery::Sent => Command::MarkMessageSent { message_id: OUTBOUND, external_id: None },
        Delivery::Failed => Command::MarkMessageFailed { message_id: OUTBOUND, error: "x".into() },
        Delivery::Delivered => Command::MarkMessageDelivered { message_id: OUTBOUND },
        Delivery::Read => Command::MarkMessageRead { message_id: OUTBOUND },
    };
    let all = [Delivery::Uncertain, Delivery::Sent, Delivery::Failed, Delivery::Delivered, Delivery::Read];
    // Up to four reports, any of them several times.
    for number in 0..5_usize.pow(4) {
        let reports: Vec<Delivery> = (0..4).map(|place| all[number / 5_usize.pow(place) % 5]).collect();
        for length in 1..=4 {
            let mut before = vec![queued(None)];
            for to in &reports[..length] {
                let told = chat(before.clone()).when(report(*to)).events();
                before.extend(told);
            }
            let end = chat(before).state.outgoing[&OUTBOUND].0;
            assert_eq!(Some(&end), reports[..length].iter().max(), "{:?}", &reports[..length]);
        }
    }
}

fn channel_id() -> Id {
    new().channel.unwrap()
}

fn open_channel(kind: Kind, operators: &[Id]) -> Vec<channel::Event> {
    let connected = channel::Event::Connected(channel::New { kind, name: "Channel".into(), team: None });
    let operators = operators.iter().map(|user| channel::Event::OperatorAdded { user: *user });
    [connected].into_iter().chain(operators).collect()
}

#[test]
fn only_operators_of_its_channel_take_it_and_are_given_it() {
    let within = |operators: &[Id]| {
        let chat = chat([]).alive("user", ANNA).alive("contact", MARIA);
        chat.with::<Channel>(channel_id(), open_channel(Kind::Whatsapp, operators))
    };
    let give = |assignee| Command::Assign { assignee, method: AssignMethod::Manual, rule_run: None };
    within(&[]).when(Command::Claim).rejected(NOT_OPERATOR);
    within(&[BORIS]).when(give(ANNA)).rejected(NOT_OPERATOR);
    within(&[ANNA]).when(Command::Claim).then([Event::Claimed { user: ANNA }, assigned(ANNA, AssignMethod::Claimed)]);
    within(&[BORIS]).when(give(BORIS)).then([assigned(BORIS, AssignMethod::Manual)]);
    // Whoever says whom it is with takes it only if he may have it.
    within(&[BORIS]).when(link()).then([linked()]);
    within(&[ANNA]).when(link()).then([assigned(ANNA, AssignMethod::Claimed), linked()]);
    // What names a channel that Deskfold does not keep is as it was.
    chat([]).when(give(BORIS)).then([assigned(BORIS, AssignMethod::Manual)]);
    let relations = Conversation::relates(&Event::Started(new()));
    assert!(relations.contains(&Relation::Shared(channel_id(), Level::Write)));
}

#[test]
fn it_begins_in_a_channel_that_fits_and_nothing_passes_one_that_is_closed() {
    let start = |kind| given::<Conversation>([]).with::<Channel>(channel_id(), open_channel(kind, &[]));
    start(Kind::Whatsapp).when(Command::Start(new())).then([Event::Started(new())]);
    start(Kind::Api).when(Command::Start(new())).then([Event::Started(new())]);
    start(Kind::Telegram).when(Command::Start(new())).rejected(CHANNEL_UNFIT);
    start(Kind::Form).when(Command::Start(new())).rejected(CHANNEL_UNFIT);
    let closed = open_channel(Kind::Whatsapp, &[]).into_iter().chain([channel::Event::Disabled]);
    let closed = || chat([]).with::<Channel>(channel_id(), closed.clone());
    let receive = Command::ReceiveMessage {
        message_id: None,
        external_id: None,
        body: "x".into(),
        attachments: vec![],
        claimed_at: None,
    };
    let send = |attachments, body: &str| Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: body.into(),
        attachments,
        quick_reply: None,
        template: None,
    };
    closed().when(receive).rejected(CHANNEL_DISABLED);
    closed().when(send(vec![], "x")).rejected(CHANNEL_DISABLED);
    // Nothing is said that the channel cannot carry.
    let open = || chat([received()]).with::<Channel>(channel_id(), open_channel(Kind::Whatsapp, &[]));
    let file = |media_type: &str, size| Attachment {
        upload_id: MARIA,
        name: "a".into(),
        media_type: Some(media_type.into()),
        size: Some(size),
    };
    open().when(send(vec![], &"x".repeat(4097))).rejected(UNSENDABLE);
    open().when(send(vec![file("application/zip", 1)], "x")).rejected(UNSENDABLE);
    open().when(send(vec![file("image/png", 17 << 20)], "x")).rejected(UNSENDABLE);
    assert_eq!(open().when(send(vec![file("image/png", 1 << 20)], "x")).events().len(), 1);
}

#[test]
fn some_channels_let_one_answer_only_for_a_time() {
    let day = SignedDuration::from_hours(24);
    let now = at(0);
    let until = |reply_until| {
        let Event::MessageReceived { message_id, external_id, body, attachments, .. } = received() else {
            unreachable!()
        };
        Event::MessageReceived { message_id, external_id, body, attachments, reply_until, claimed_at: None }
    };
    let within = |events: Vec<Event>, kind| chat(events).with::<Channel>(channel_id(), open_channel(kind, &[]));
    let receive = || Command::ReceiveMessage {
        message_id: Some(INBOUND),
        external_id: Some("wamid.0".into()),
        body: "Good day".into(),
        attachments: vec![],
        claimed_at: None,
    };
    let told = |kind| match within(vec![], kind).when(receive()).events().remove(0) {
        Event::MessageReceived { reply_until, .. } => reply_until,
        _ => unreachable!(),
    };
    assert_eq!((told(Kind::Whatsapp), told(Kind::Api)), (Some(now + day), None));
    let send = || Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: "Hello".into(),
        attachments: vec![],
        quick_reply: None,
        template: None,
    };
    within(vec![until(Some(now))], Kind::Whatsapp).when(send()).then([queued(None)]);
    let over = until(Some(now - SignedDuration::from_secs(1)));
    within(vec![over.clone()], Kind::Whatsapp).when(send()).rejected(WINDOW_CLOSED);
    within(vec![], Kind::Whatsapp).when(send()).rejected(WINDOW_CLOSED);
    within(vec![over], Kind::Api).when(send()).then([queued(None)]);
    within(vec![until(None)], Kind::Whatsapp).when(send()).then([queued(None)]);
}

#[test]
fn who_is_kept_out_writes_nothing_and_neither_does_his_address_elsewhere() {
    let identity = || new().identity.unwrap();
    let shut = || channel::Event::IdentityBlocked { identity: identity() };
    let with = |events: &[Event], more: Vec<channel::Event>| {
        let of_channel = open_channel(Kind::Whatsapp, &[]).into_iter().chain(more);
        chat(events.iter().cloned()).with::<Channel>(channel_id(), of_channel)
    };
    let receive = || Command::ReceiveMessage {
        message_id: None,
        external_id: None,
        body: "x".into(),
        attachments: vec![],
        claimed_at: None,
    };
    with(&[], vec![]).when(Command::BlockVisitor).then([Event::VisitorBlocked]);
    with(&[Event::VisitorBlocked], vec![]).when(Command::BlockVisitor).nothing();
    with(&[Event::VisitorBlocked], vec![]).when(receive()).rejected(channel::BLOCKED);
    with(&[], vec![shut()]).when(receive()).rejected(channel::BLOCKED);
    let elsewhere = given::<Conversation>([])
        .with::<Channel>(channel_id(), open_channel(Kind::Whatsapp, &[]).into_iter().chain([shut()]));
    elsewhere.when(Command::Start(new())).rejected(channel::BLOCKED);
    with(&[Event::VisitorBlocked], vec![]).when(Command::UnblockVisitor).then([Event::VisitorUnblocked]);
    let heard = |events: Vec<channel::Event>, event: Event| {
        with(&[], events).tells(&event).into_iter().map(|echo| echo.event_type).collect::<Vec<_>>()
    };
    assert_eq!(heard(vec![], Event::VisitorBlocked), ["channel.identity_blocked"]);
    assert_eq!(heard(vec![shut()], Event::VisitorUnblocked), ["channel.identity_unblocked"]);
    assert_eq!(
        (heard(vec![shut()], Event::VisitorBlocked).len(), heard(vec![], Event::VisitorUnblocked).len()),
        (0, 0)
    );
}

#[test]
fn tokens_are_made_worthless_once_for_what_was_said() {
    let live = || Event::Started(New { medium: "live_chat".into(), identity: None, ..new() });
    let revoked = || Event::VisitorRevoked { at: at(0) };
    let within = |events: &[Event]| given::<Conversation>([live()].into_iter().chain(events.iter().cloned()));
    chat([]).when(Command::RevokeVisitor).rejected(NO_TOKENS);
    assert_eq!(within(&[received()]).when(Command::RevokeVisitor).events().len(), 1);
    within(&[received(), revoked()]).when(Command::RevokeVisitor).nothing();
    let again = within(&[received(), revoked(), queued(None)]);
    assert_eq!((again.state.revoked_at(), again.when(Command::RevokeVisitor).events().len()), (Some(at(0)), 1));
}

#[test]
fn a_transcript_is_queued_once_for_what_was_said_and_comes_to_an_end() {
    let ask = |id: u128, email: &str| Command::RequestTranscript {
        transcript_id: Some(Id::from_bits(id)),
        email: email.into(),
        language: Some("it".into()),
    };
    let asked = |id: u128| Event::TranscriptQueued {
        transcript_id: Id::from_bits(id),
        email: "m@example.com".into(),
        up_to: INBOUND,
        language: Some("it".into()),
    };
    let failed = |id: u128| Event::TranscriptFailed { transcript_id: Id::from_bits(id), error: "no".into() };
    chat([]).when(ask(1, "m@example.com")).rejected(NOTHING_SAID);
    chat([received()]).when(ask(1, "nowhere")).rejected(valid::EMAIL_INVALID);
    chat([received()]).when(ask(1, " m@example.com ")).then([asked(1)]);
    chat([received(), asked(1)]).when(ask(2, "m@example.com")).nothing();
    chat([received(), asked(1), failed(1)]).when(ask(2, "m@example.com")).then([asked(2)]);
    let full = [received()].into_iter().chain((1..=10).flat_map(|id| [asked(id), failed(id)]));
    chat(full).when(ask(11, "m@example.com")).rejected(TRANSCRIPTS_FULL);
    let sent = |id: u128| Command::MarkTranscriptSent { transcript_id: Id::from_bits(id) };
    let left = Event::TranscriptSent { transcript_id: Id::from_bits(1) };
    chat([received()]).when(sent(1)).rejected(TRANSCRIPT_UNKNOWN);
    chat([received(), asked(1)]).when(sent(1)).then([left.clone()]);
    chat([received(), asked(1), left.clone()]).when(sent(1)).nothing();
    let fails = Command::MarkTranscriptFailed { transcript_id: Id::from_bits(1), error: "no".into() };
    chat([received(), asked(1), left]).when(fails).nothing();
    assert!(chat([received(), asked(1)]).state.transcript_queued(Id::from_bits(1)).is_some());
    assert!(chat([received(), asked(1), failed(1)]).state.transcript_queued(Id::from_bits(1)).is_none());
}

#[test]
fn what_came_in_through_a_channel_is_no_other_conversation_s() {
    let claims = chat([]).claims(&received());
    assert_eq!(claims, [format!("+{TAKEN_IN_SCOPE} {}/wamid.0", channel_id())]);
    let Event::MessageReceived { message_id, body, attachments, .. } = received() else { unreachable!() };
    let unnamed = Event::MessageReceived {
        message_id,
        external_id: None,
        body,
        attachments,
        reply_until: None,
        claimed_at: None,
    };
    assert!(chat([]).claims(&unnamed).is_empty());
    let elsewhere = given::<Conversation>([Event::Started(New { channel: None, ..new() })]);
    assert!(elsewhere.claims(&received()).is_empty());
}

#[test]
fn what_may_have_left_is_sent_once_more_by_a_person_alone() {
    let doubt = || Command::MarkMessageUncertain { message_id: OUTBOUND, reason: "interrupted".into() };
    let uncertain = || Event::MessageUncertain { message_id: OUTBOUND, reason: "interrupted".into() };
    let sent = || Event::MessageSent { message_id: OUTBOUND, external_id: None };
    let again = || Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: "Hello".into(),
        attachments: vec![],
        quick_reply: None,
        template: None,
    };
    chat([queued(None)]).when(doubt()).then([uncertain()]);
    chat([queued(None), uncertain()]).when(doubt()).nothing();
    chat([queued(None), sent()]).when(doubt()).nothing();
    chat([queued(None), uncertain()]).when(again()).then([queue(None, true)]);
    let mut program = chat([queued(None), uncertain()]);
    program.actor = crate::Actor { kind: ActorKind::Integration, ..program.actor };
    program.when(again()).rejected(UNCERTAIN);
    // Somebody knows after all.
    let mark_sent = || Command::MarkMessageSent { message_id: OUTBOUND, external_id: None };
    chat([queued(None), uncertain()]).when(mark_sent()).then([sent()]);
    assert!(chat([queued(None)]).state.is_queued(OUTBOUND));
    assert!(!chat([queued(None), uncertain()]).state.is_queued(OUTBOUND));
    assert!(chat([queued(None), uncertain(), queue(None, true)]).state.is_queued(OUTBOUND));
}

#[test]
fn the_label_of_a_quick_reply_comes_with_the_sent_message() {
    let label = quick_reply::Spec::examples().0.label;
    let send = Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: "Hello".into(),
        attachments: vec![],
        quick_reply: Some(HELLO),
        template: None,
    };
    chat([]).with::<QuickReply>(HELLO, created::<quick_reply::Spec>()).when(send).then([queued(label)]);
    let labelled = Event::Labelled { label: label.unwrap(), name: None, source: LabelSource::QuickReply };
    let read = Event::MessageRead { message_id: OUTBOUND };
    let sent = Event::MessageSent { message_id: OUTBOUND, external_id: None };
    let mark_sent = Command::MarkMessageSent { message_id: OUTBOUND, external_id: None };
    let mark_read = || Command::MarkMessageRead { message_id: OUTBOUND };
    chat([queued(label)]).when(mark_sent).then([sent.clone(), labelled.clone()]);
    chat([queued(label)]).when(mark_read()).then([read.clone(), labelled.clone()]);
    chat([queued(label), sent, labelled]).when(mark_read()).then([read]);
}

#[test]
fn one_person_takes_it() {
    let there = |events: Vec<Event>| chat(events).alive("user", ANNA);
    let claimed = || vec![Event::Claimed { user: ANNA }, assigned(ANNA, AssignMethod::Claimed)];
    there(vec![]).when(Command::Claim).then(claimed());
    there(claimed()).when(Command::Claim).nothing();
    there(vec![assigned(BORIS, AssignMethod::Manual)]).when(Command::Claim).rejected(TAKEN);
    chat([]).when(Command::Claim).rejected(NOT_A_USER);
    there(vec![Event::Closed]).when(Command::Claim).rejected(CLOSED);

    let assign = || Command::Assign { assignee: BORIS, method: AssignMethod::Rule, rule_run: Some(MARIA) };
    let given_away =
        || Event::Assigned { from: Some(ANNA), to: BORIS, method: AssignMethod::Rule, rule_run: Some(MARIA) };
    chat(claimed()).when(assign()).then([given_away()]);
    chat(claimed().into_iter().chain([given_away()])).when(assign()).nothing();
    chat(claimed()).when(Command::Unassign).then([Event::Unassigned { from: ANNA }]);
    chat([]).when(Command::Unassign).nothing();
}

#[test]
fn only_whoever_is_responsible_replies() {
    let say = || Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: "Hello".into(),
        attachments: vec![],
        quick_reply: None,
        template: None,
    };
    let agent = |events: Vec<Event>| chat(events).by(ANNA).may(&["conversation.*"]);
    agent(vec![]).when(say()).rejected(NOT_RESPONSIBLE);
    agent(vec![assigned(ANNA, AssignMethod::Claimed)]).when(say()).then([queued(None)]);
    let handed_over = || vec![assigned(ANNA, AssignMethod::Claimed), assigned(BORIS, AssignMethod::Manual)];
    agent(handed_over()).when(say()).rejected(NOT_RESPONSIBLE);
    agent(handed_over()).by(BORIS).when(say()).then([queued(None)]);
    agent(handed_over()).may(&["conversation.*", REPLY_ANY]).when(say()).then([queued(None)]);
    for kind in [ActorKind::Rule, ActorKind::Integration, ActorKind::System] {
        let mut program = agent(handed_over());
        program.actor = crate::Actor { kind, id: MARIA, on_behalf_of: None };
        program.when(say()).then([queued(None)]);
    }
    // Everything else that teams do is for everybody.
    agent(handed_over()).when(Command::Close).then([Event::Closed]);
}

/// The owner that the contact gets when it is linked, if any.
fn new_owner(before: &Given<Conversation>, owner: Option<Id>) -> Option<Happened<contact::Fields>> {
    let mut facts = Facts::default();
    let owned = Either::Common(Happened::OwnerChanged { from: None, to: owner, reason: None });
    let contact = given::<Contact>(created::<contact::Spec>().into_iter().chain([owned])).state;
    facts.insert("contact", MARIA, AnyState::new(contact));
    let actor = crate::Actor::user(ANNA);
    let now = at(0);
    let ctx = Ctx {
        tenant: TENANT,
        id: SUBJECT,
        now,
        actor: &actor,
        authority: &crate::Authority::full(),
        seed: "x",
        facts: &facts,
    };
    let echoes = before.state.echoes(&linked(), &ctx);
    echoes.first().map(|echo| match Contact::decode(&echo.event_type, &echo.data).unwrap() {
        Either::Common(happened) => happened,
        Either::Own(event) => panic!("{event:?}"),
    })
}

#[test]
fn a_linked_contact_belongs_to_whoever_is_responsible() {
    let there = |events: Vec<Event>| chat(events).alive("contact", MARIA).alive("user", ANNA);
    let boris = || assigned(BORIS, AssignMethod::Manual);
    there(vec![boris()]).when(link()).then([linked()]);
    // Nobody is: whoever links is from now on.
    there(vec![]).when(link()).then([assigned(ANNA, AssignMethod::Claimed), linked()]);
    there(vec![linked()]).when(link()).nothing();
    let owner = |from, to| Some(Happened::OwnerChanged { from, to: Some(to), reason: Some(LINKED.into()) });
    assert_eq!(new_owner(&chat([boris()]), Some(ANNA)), owner(Some(ANNA), BORIS));
    assert_eq!(new_owner(&chat([boris()]), None), owner(None, BORIS));
    assert_eq!(new_owner(&chat([boris()]), Some(BORIS)), None);
    assert_eq!(new_owner(&chat([]), Some(ANNA)), None);

    let unlinked = || Event::ContactUnlinked { contact: MARIA };
    there(vec![linked()]).when(Command::UnlinkContact).then([unlinked()]);
    there(vec![linked(), unlinked()]).when(Command::UnlinkContact).nothing();
    let other = Command::LinkContact { contact: BORIS, matched_by: MatchedBy::Manual };
    let other_linked = Event::ContactLinked { contact: BORIS, matched_by: MatchedBy::Manual };
    there(vec![boris(), linked()]).alive("contact", BORIS).when(other).then([unlinked(), other_linked]);
}

#[test]
fn a_label_typed_is_found_or_created() {
    let vip = Label::id_for(TENANT, "vip");
    let label = |label, name: Option<&str>| Command::Label {
        label,
        name: name.map(ToOwned::to_owned),
        source: LabelSource::Manual,
    };
    let labelled = |label, name: Option<&str>| Event::Labelled {
        label,
        name: name.map(ToOwned::to_owned),
        source: LabelSource::Manual,
    };
    chat([]).when(label(None, Some("VIP"))).then([labelled(vip, Some("VIP"))]);
    chat([labelled(vip, None)]).when(label(None, Some(" vip "))).nothing();
    chat([]).when(label(Some(vip), None)).then([labelled(vip, None)]);
    chat([]).when(label(None, None)).rejected(LABEL_UNCLEAR);
    chat([]).when(label(None, Some(" "))).rejected(label::NAME_INVALID);
    let renamed = chat([]).with::<Label>(vip, [label::Event::Redirected { to: MARIA }]);
    renamed.when(label(None, Some("vip"))).then([labelled(MARIA, Some("vip"))]);
    chat([labelled(vip, None)]).when(Command::Unlabel { label: vip }).then([Event::Unlabelled { label: vip }]);
    chat([]).when(Command::Unlabel { label: vip }).nothing();

    let echoed = |known: &[label::Event]| {
        let mut facts = Facts::default();
        let state = given::<Label>(known.iter().cloned()).state;
        facts.insert("label", vip, AnyState::new(state));
        let (actor, now) = (crate::Actor::user(ANNA), at(0));
        let ctx = Ctx {
            tenant: TENANT,
            id: SUBJECT,
            now,
            actor: &actor,
            authority: &crate::Authority::full(),
            seed: "x",
            facts: &facts,
        };
        chat([]).state.echoes(&labelled(vip, Some("VIP")), &ctx).len()
    };
    assert_eq!(echoed(&[]), 1);
    let new = label::New { name: "VIP".into(), color: None, preset: false };
    assert_eq!(echoed(&[label::Event::Created(new)]), 0);
}

#[test]
fn what_was_read_stays_read() {
    let talk = || [received(), queued(None)];
    let read = |up_to| Command::MarkRead { user: Some(BORIS), up_to };
    let moved = |up_to| Event::ReadMarkerMoved { user: BORIS, up_to };
    chat(talk()).when(read(Some(INBOUND))).then([moved(INBOUND)]);
    chat(talk()).when(read(None)).then([moved(OUTBOUND)]);
    chat(talk().into_iter().chain([moved(OUTBOUND)])).when(read(Some(INBOUND))).nothing();
    chat(talk().into_iter().chain([moved(INBOUND)])).when(read(None)).then([moved(OUTBOUND)]);
    chat([]).when(read(None)).nothing();
    chat(talk()).when(read(Some(MARIA))).rejected(MESSAGE_UNKNOWN);
}

#[test]
fn a_chatbot_talks_until_people_take_over() {
    let step = || "What can we do?".to_owned();
    let shown = || Event::BotStepShown { step: step() };
    let answered = || Event::BotAnswerGiven { step: step(), answer: "A price".into() };
    let over = || Event::HandedOver { reason: Some("Asked for a person".into()) };
    chat([]).when(Command::ShowBotStep { step: step() }).then([shown()]);
    chat([shown()]).when(Command::ShowBotStep { step: step() }).nothing();
    let answer = || Command::AnswerBot { step: step(), answer: "A price".into() };
    chat([shown()]).when(answer()).then([answered()]);
    chat([shown(), answered()]).when(answer()).nothing();
    let hand_over = || Command::HandOver { reason: Some("Asked for a person".into()) };
    chat([shown()]).when(hand_over()).then([over()]);
    chat([over()]).when(hand_over()).nothing();
    chat([]).when(Command::ShowBotStep { step: String::new() }).rejected(STEP_INVALID);
}

#[test]
fn it_ends_is_rated_and_goes_on() {
    chat([]).when(Command::Close).then([Event::Closed]);
    chat([Event::Closed]).when(Command::Close).nothing();
    let reopened = || Event::Reopened { cause: ReopenCause::Request };
    chat([Event::Closed]).when(Command::Reopen).then([reopened()]);
    chat([Event::Closed, reopened()]).when(Command::Reopen).nothing();
    let rate = |score| Command::Rate { score, text: Some("Quick!".into()) };
    let rated = || Event::Rated { score: 5, text: Some("Quick!".into()) };
    chat([Event::Closed]).when(rate(5)).then([rated()]);
    chat([rated()]).when(rate(5)).nothing();
    chat([]).when(rate(6)).rejected(SCORE_INVALID);
}

mod bots {
    use super::*;
    use crate::{
        ActorKind,
        chat::{
            chatbot::{self, Chatbot},
            script,
        },
        kernel::named::{Either, Named as _},
        org::field::Field,
    };

    const RECEPTION: Id = Id::from_bits(0xB07);

    /// A chat in which the example's script is followed, and in which this has happened.
    fn talk(events: impl IntoIterator<Item = Event>) -> Given<Conversation> {
        let started = New { chatbot: Some(RECEPTION), chatbot_version: Some(1), contact: None, ..new() };
        let published = chatbot::Event::VersionPublished { version: 1, script: script::example() };
        let reception = created::<chatbot::Spec>().into_iter().chain([Either::Own(published)]);
        let mut talk = given::<Conversation>([Event::Started(started)].into_iter().chain(events))
            .with::<Chatbot>(RECEPTION, reception)
            .with::<Field>(Field::id_for(TENANT, "ticket"), [])
            .with::<Field>(Field::id_for(TENANT, "contact"), []);
        talk.actor.kind = ActorKind::Bot;
        talk
    }

    fn shown(step: &str) -> Event {
        Event::BotStepShown { step: step.into() }
    }

    fn hears(words: &str) -> [Event; 1] {
        let received = Event::MessageReceived {
            message_id: INBOUND,
            external_id: None,
            body: words.into(),
            attachments: vec![],
            reply_until: None,
            claimed_at: None,
        };
        [received]
    }

    fn answers(step: &str, answer: &str) -> Event {
        Event::BotAnswerGiven { step: step.into(), answer: answer.into() }
    }

    fn reply(words: &str) -> Command {
        Command::LetBotReply { message_id: Some(INBOUND), body: Some(words.into()), contact: None }
    }

    fn begin() -> Command {
        Command::LetBotReply { message_id: None, body: None, contact: None }
    }

    /// What happens besides what is said.
    fn besides(events: Vec<Event>) -> Vec<Event> {
        events.into_iter().filter(|event| !matches!(event, Event::MessageQueued { .. })).collect()
    }

    #[test]
    fn it_begins_once_and_waits() {
        let events = talk([]).when(begin()).events();
        assert_eq!(besides(events.clone()), [shown("hello"), shown("topic")]);
        let said: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::MessageQueued { body, .. } => Some(body.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(said, ["Good day!", "What is it about?\n1. A price\n2. A repair\n3. A person"]);
        talk(events).when(begin()).nothing();
        // What was written before it had asked is no answer.
        talk(hears("A price").into_iter().chain([shown("topic")])).when(reply("A price")).nothing();
        chat(hears("A price")).when(reply("A price")).nothing();
    }

    #[test]
    fn an_answer_leads_on_and_none_is_asked_again() {
        let asked = |words: &str| talk([shown("topic")].into_iter().chain(hears(words)));
        let events = asked("2").when(reply("2")).events();
        assert_eq!(besides(events), [answers("topic", "A repair"), shown("email")]);
        let refused = Event::BotAnswerRefused {
            step: "topic".into(),
            message_id: INBOUND,
            code: "chatbot_answer_not_offered".into(),
        };
        let events = asked("Hm").when(reply("Hm")).events();
        assert_eq!(besides(events.clone()), [refused]);
        // Asked about the same message again, it has nothing to add.
        talk([shown("topic")].into_iter().chain(hears("Hm")).chain(events)).when(reply("Hm")).nothing();
        let events = asked("a person").when(reply("a person")).events();
        let over = Event::HandedOver { reason: None };
        assert_eq!(besides(events.clone()), [answers("topic", "A person"), shown("person"), over]);
        talk([shown("topic")].into_iter().chain(hears("a person")).chain(events)).when(reply("x")).nothing();
    }

    #[test]
    fn it_falls_silent_where_people_are() {
        let events = [shown("topic")].into_iter().chain(hears("2")).collect::<Vec<_>>();
        let quiet = Event::HandedOver { reason: Some("claimed".into()) };
        let assign = Command::Assign { assignee: ANNA, method: AssignMethod::Manual, rule_run: None };
        talk(events.clone()).when(assign).then([assigned(ANNA, AssignMethod::Manual), quiet.clone()]);
        talk(events.clone().into_iter().chain([quiet])).when(reply("2")).nothing();
        talk(events.into_iter().chain([Event::Closed])).when(reply("2")).nothing();
        let start = || Command::StartBot { chatbot: RECEPTION, version: None };
        talk([]).when(start()).nothing();
        talk([assigned(ANNA, AssignMethod::Manual), Event::BotFinished]).when(start()).rejected(BOT_TOO_LATE);
        let begun = Event::BotStarted { chatbot: RECEPTION, version: 1 };
        talk([Event::BotFinished]).when(start()).then([begun]);
    }

    #[test]
    fn what_was_said_becomes_a_ticket_of_somebody_who_becomes_a_contact() {
        let before = [answers("topic", "A price"), answers("email", "maria@example.com"), shown("story")];
        let before: Vec<_> = before.into_iter().chain(hears("It broke")).collect();
        let events = talk(before.clone()).when(reply("It broke")).events();
        let besides = besides(events.clone());
        assert_eq!(besides[..2], [answers("story", "It broke"), shown("ticket")]);
        let Event::ContactLinked { contact, .. } = besides[2] else { panic!("{besides:?}") };
        let Event::ConvertedToTicket { ticket, title, source, .. } = &besides[3] else { panic!("{besides:?}") };
        assert_eq!((title.as_str(), source.from), ("From the chat", INBOUND));
        assert_eq!(besides[4..], [shown("bye"), Event::BotFinished]);
        let at = |name: &str| events.iter().position(|event| event.encode().0 == name).unwrap();
        let told = |name: &str| {
            let so_far = before.iter().chain(&events[..at(name)]).cloned();
            let mut there =
                talk(so_far).with::<Contact>(contact, []).with::<Ticket>(*ticket, []).with::<Tenant>(TENANT, []);
            there.actor.kind = ActorKind::Bot;
            there.tells(&events[at(name)])
        };
        let born = told("contact_linked");
        assert_eq!((born[0].event_type.as_str(), born[0].id), ("contact.created", contact));
        assert_eq!(born[0].claims[0].key, "email:maria@example.com");
        let opened = told("converted_to_ticket");
        let data: Value = serde_json::from_slice(&opened[0].data).unwrap();
        assert_eq!(
            (opened[0].event_type.as_str(), &data["requester"]["id"]),
            ("ticket.opened", &serde_json::json!(contact))
        );
        assert!(data["description"].as_str().unwrap().starts_with("Maria: It broke"), "{data}");
        assert_eq!(data["origin"], format!("conversations/{SUBJECT}"));
    }

    #[test]
    fn anybody_who_may_makes_a_ticket_of_a_chat_once_for_what_was_said() {
        let convert =
            |new_ticket| Command::ConvertToTicket { new_ticket, title: None, team: None, priority: Priority::LOW };
        chat([]).when(convert(None)).rejected(NOTHING_SAID);
        let source = Source { from: INBOUND, to: INBOUND, messages: 1 };
        let made = Event::ConvertedToTicket {
            ticket: MARIA,
            title: "Good day".into(),
            team: None,
            priority: Priority::LOW,
            source,
            step: None,
        };
        chat([received()]).when(convert(Some(MARIA))).then([made.clone()]);
        chat([received(), made.clone()]).when(convert(None)).nothing();
        let events = chat([received(), made, queued(None)]).when(convert(None)).events();
        assert!(matches!(events[..], [Event::ConvertedToTicket { source: Source { messages: 2, .. }, .. }]));
    }
}

#[test]
fn the_other_side_changes_and_takes_back_what_it_wrote_and_nobody_what_we_did() {
    let edit = |message_id, body: &str, edited_at| Command::ReceiveEdit { message_id, body: body.into(), edited_at };
    let edited = |body: &str, seconds| Event::MessageEdited {
        message_id: INBOUND,
        body: body.into(),
        edited_at: at(0) - SignedDuration::from_secs(seconds),
    };
    let early = || Some(at(0) - SignedDuration::from_secs(9));
    let known = || chat([received()]);
    known().when(edit(INBOUND, "Good evening", None)).then([edited("Good evening", 0)]);
    known().when(edit(INBOUND, "Good day", None)).nothing();
    chat([received(), edited("Good evening", 0)]).when(edit(INBOUND, "Good morning", early())).nothing();
    let tomorrow = at(0) + SignedDuration::from_hours(24);
    known().when(edit(INBOUND, "Good evening", Some(tomorrow))).then([edited("Good evening", 0)]);
    chat([queued(None)]).when(edit(OUTBOUND, "x", None)).rejected(MESSAGE_UNKNOWN);
    let deleted = || Event::MessageDeleted { message_id: INBOUND };
    known().when(Command::ReceiveDeletion { message_id: INBOUND }).then([deleted()]);
    chat([received(), deleted()]).when(Command::ReceiveDeletion { message_id: INBOUND }).nothing();
    chat([received(), deleted()]).when(edit(INBOUND, "x", None)).nothing();
    // In a chat on a page nobody does.
    let in_page = || known().with::<Channel>(channel_id(), open_channel(Kind::LiveChat, &[]));
    in_page().when(edit(INBOUND, "x", None)).rejected(NO_EDITS);
    in_page().when(Command::ReceiveDeletion { message_id: INBOUND }).rejected(NO_EDITS);
    // A ticket tells what is said now.
    let state = chat([received(), edited("Good evening", 0)]).state;
    assert_eq!(state.told[0].body.as_str(), "Good evening");
    assert!(chat([received(), deleted()]).state.told.is_empty());
}

#[test]
fn both_sides_answer_a_message_with_an_emoji() {
    let theirs = |reactions: &[&str]| Event::MessageReactionsReceived {
        message_id: INBOUND,
        reactions: reactions.iter().map(ToString::to_string).collect(),
    };
    let take = |reactions: &[&str]| Command::ReceiveReactions {
        message_id: INBOUND,
        reactions: reactions.iter().map(ToString::to_string).collect(),
    };
    let known = |events: Vec<Event>| chat([received()].into_iter().chain(events));
    known(vec![]).when(take(&["👍"])).then([theirs(&["👍"])]);
    known(vec![theirs(&["👍"])]).when(take(&["👍"])).nothing();
    known(vec![theirs(&["👍"])]).when(take(&[])).then([theirs(&[])]);
    known(vec![]).when(take(&[])).nothing();
    known(vec![]).when(take(&["two words"])).rejected(REACTION_INVALID);
    chat([]).when(take(&["👍"])).rejected(MESSAGE_UNKNOWN);

    let react = |emoji: Option<&str>| Command::React { message_id: INBOUND, reaction: emoji.map(ToOwned::to_owned) };
    let ours = |emoji: Option<&str>| Event::MessageReactionQueued {
        message_id: INBOUND,
        reaction: emoji.map(ToOwned::to_owned),
    };
    let (left, failed) = (
        || Event::MessageReactionSent { message_id: INBOUND },
        || Event::MessageReactionFailed { message_id: INBOUND, error: "Too old".into() },
    );
    let mine = &known;
    mine(vec![]).when(react(Some("🙏"))).then([ours(Some("🙏"))]);
    mine(vec![ours(Some("🙏")), left()]).when(react(Some("🙏"))).nothing();
    mine(vec![ours(Some("🙏")), left()]).when(react(None)).then([ours(None)]);
    mine(vec![ours(Some("🙏")), failed()]).when(react(Some("🙏"))).then([ours(Some("🙏"))]);
    mine(vec![Event::MessageDeleted { message_id: INBOUND }]).when(react(Some("🙏"))).rejected(MESSAGE_UNKNOWN);
    mine(vec![])
        .with::<Channel>(channel_id(), open_channel(Kind::LiveChat, &[]))
        .when(react(Some("🙏")))
        .rejected(NO_REACTIONS);
    let sent = Command::MarkReactionSent { message_id: INBOUND };
    let error = || Command::MarkReactionFailed { message_id: INBOUND, error: "Too old".into() };
    known(vec![ours(Some("🙏"))]).when(sent.clone()).then([left()]);
    known(vec![ours(Some("🙏")), left()]).when(error()).nothing();
    known(vec![ours(Some("🙏"))]).when(error()).then([failed()]);
    known(vec![]).when(sent).rejected(MESSAGE_UNKNOWN);
}

#[test]
fn after_the_window_a_template_is_sent_and_what_has_left_is_found_by_its_name() {
    let template = |name: &str| Template { name: name.into(), language: "en_US".into(), parameters: vec!["17".into()] };
    let send = |template: Template, attachments| Command::SendMessage {
        message_id: Some(OUTBOUND),
        body: "Your order 17 is ready".into(),
        attachments,
        quick_reply: None,
        template: Some(template),
    };
    let within = |kind| chat([]).with::<Channel>(channel_id(), open_channel(kind, &[]));
    let events = within(Kind::Whatsapp).when(send(template("order_ready"), vec![])).events();
    assert!(matches!(&events[..], [Event::MessageQueued { template: Some(_), .. }]), "{events:?}");
    within(Kind::Whatsapp).when(send(template("order ready"), vec![])).rejected(TEMPLATE_INVALID);
    within(Kind::Telegram).when(send(template("order_ready"), vec![])).rejected(TEMPLATE_UNFIT);
    let Event::MessageReceived { attachments, .. } = received() else { unreachable!() };
    within(Kind::Whatsapp).when(send(template("order_ready"), attachments)).rejected(UNSENDABLE);
    let sent = Event::MessageSent { message_id: OUTBOUND, external_id: Some("wamid.9".into()) };
    let state = chat([queued(None), sent.clone()]).state;
    assert_eq!((state.sent_as(OUTBOUND), state.sent_under("wamid.9")), (Some("wamid.9"), Some(OUTBOUND)));
    assert_eq!(chat([queued(None)]).claims(&sent).len(), 1);
}
