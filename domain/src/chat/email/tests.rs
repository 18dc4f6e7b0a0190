//! What a mail does, told by examples.

use super::*;
use crate::{
    chat::channel,
    kernel::given::{Given, at, given},
};

const CHANNEL: Id = Id::from_bits(0xC);

fn example(place: usize) -> Command {
    Email::examples().swap_remove(place)
}

fn new() -> New {
    let Command::Send(new) = example(0) else { unreachable!() };
    New { channel: Some(CHANNEL), contact: None, ..new }
}

fn received() -> Received {
    let Command::Receive(received) = example(1) else { unreachable!() };
    received
}

fn taken() -> Taken {
    let Command::Take { taken, .. } = example(2) else { unreachable!() };
    taken
}

fn knowing(given: Given<Email>) -> Given<Email> {
    let connected = channel::New { kind: Kind::Email, name: "Help".into(), team: None };
    given.with::<Channel>(CHANNEL, [channel::Event::Connected(connected)])
}

fn outgoing(events: impl IntoIterator<Item = Event>) -> Given<Email> {
    given([Event::Queued(new())].into_iter().chain(events))
}

fn incoming(events: impl IntoIterator<Item = Event>) -> Given<Email> {
    given([Event::Received(received())].into_iter().chain(events))
}

#[test]
fn a_mail_comes_in_once_and_something_is_made_of_it_once() {
    given::<Email>([]).when(Command::Receive(received())).then([Event::Received(received())]);
    incoming([]).when(Command::Receive(received())).nothing();
    let take = |attempt| Command::Take { attempt, taken: taken() };
    incoming([]).when(take(1)).then([Event::Taken(taken())]);
    incoming([Event::Taken(taken())]).when(take(1)).nothing();
    let refuse = |attempt| Command::Refuse { attempt, code: "email_unreadable".into(), reason: "x".into() };
    let refused = Event::Refused { code: "email_unreadable".into(), reason: "x".into() };
    incoming([]).when(refuse(1)).then([refused.clone()]);
    incoming([refused.clone()]).when(take(1)).nothing();
    incoming([refused.clone()]).when(Command::TryAgain).then([Event::TriedAgain]);
    incoming([refused.clone(), Event::TriedAgain]).when(take(1)).nothing();
    incoming([refused.clone(), Event::TriedAgain]).when(take(2)).then([Event::Taken(taken())]);
    let dismiss = || Command::Dismiss { reason: None };
    incoming([refused.clone()]).when(dismiss()).then([Event::Dismissed { reason: None }]);
    incoming([]).when(dismiss()).rejected(UNDER_WAY);
    incoming([Event::Taken(taken())]).when(dismiss()).rejected(TAKEN);
    incoming([]).when(Command::Resend).rejected(NOT_OURS);
    incoming([]).when(Command::Send(new())).rejected(EXISTS);
    given::<Email>([]).when(Command::TryAgain).rejected(UNKNOWN);
}

#[test]
fn a_mail_leaves_once_unless_somebody_says_otherwise() {
    knowing(given([])).when(Command::Send(new())).then([Event::Queued(new())]);
    outgoing([]).when(Command::Send(new())).nothing();
    let other = New { body: "Something else".into(), ..new() };
    outgoing([]).when(Command::Send(other)).rejected(EXISTS);
    let sent = Event::Sent { message_id: "1@x".into() };
    let mark = || Command::MarkSent { message_id: "1@x".into() };
    outgoing([]).when(mark()).then([sent.clone()]);
    outgoing([sent.clone()]).when(mark()).nothing();
    outgoing([sent.clone()]).when(Command::Resend).rejected(GONE);
    outgoing([sent.clone()]).when(Command::Cancel).rejected(GONE);
    let failed = Event::Failed { error: "550".into() };
    outgoing([sent]).when(Command::MarkFailed { error: "550".into() }).then([failed.clone()]);
    outgoing([failed]).when(Command::Resend).then([Event::Requeued]);
    let uncertain = Event::Uncertain { reason: "gone".into() };
    outgoing([]).when(Command::MarkUncertain { reason: "gone".into() }).then([uncertain.clone()]);
    outgoing([uncertain.clone()]).when(Command::Cancel).rejected(GONE);
    outgoing([uncertain]).when(Command::Resend).then([Event::Requeued]);
    outgoing([]).when(Command::Cancel).then([Event::Cancelled]);
    outgoing([Event::Cancelled]).when(mark()).then([Event::Sent { message_id: "1@x".into() }]);
    outgoing([]).when(Command::TryAgain).rejected(NOT_OURS);
}

#[test]
fn a_mail_goes_to_somebody_by_a_channel_of_mail_and_holds_no_header_of_its_own() {
    let send = |change: &dyn Fn(&mut New)| {
        let mut new = new();
        change(&mut new);
        knowing(given([])).when(Command::Send(new))
    };
    send(&|new| new.to.clear()).rejected(NOBODY);
    send(&|new| new.subject = "a\r\nBcc: x@example.com".into()).rejected(SUBJECT_INVALID);
    send(&|new| new.to[0].name = Some("a\nb".into())).rejected(NAME_INVALID);
    send(&|new| new.to[0].address = "maria".into()).rejected(valid::EMAIL_INVALID);
    send(&|new| new.body = " ".into()).rejected(ticket::BODY_EMPTY);
    send(&|new| new.channel = Some(Id::from_bits(0xD))).rejected(CHANNEL_UNFIT);
    send(&|new| new.channel = None).rejected(CHANNEL_UNFIT);
    let about = New { channel: None, ticket: Some(Id::from_bits(0xE)), ..new() };
    given::<Email>([]).when(Command::Send(about.clone())).then([Event::Queued(about)]);
    let soon = New { send_at: Some(at(60)), ..new() };
    knowing(given([])).when(Command::Send(soon.clone())).then([Event::Queued(soon)]);
}

#[test]
fn a_sender_is_forged_where_a_check_says_so_and_none_clears_him() {
    use Verdict::{Fail, Pass, Unknown};
    let of = |spf, dkim, dmarc| Authentication { spf, dkim, dmarc }.is_forged();
    assert!(of(Pass, Pass, Fail) && of(Fail, Unknown, Unknown) && of(Pass, Fail, Unknown));
    assert!(!of(Fail, Pass, Unknown) && !of(Fail, Fail, Pass) && !of(Unknown, Unknown, Unknown));
}
