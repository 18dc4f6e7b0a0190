//! Conversations as an inbox shows them. Table: `read_conversations`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Personal, Time,
    catalogue::listed,
    chat::channel::Answered,
    chat::conversation::{Conversation, Event, MatchedBy, New, Status, Visitor},
    crm::contact::Identity,
    kernel::color::Color,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Tally, Unreadable, decode, kernel::fold::raise};

/// The inbox.
#[derive(Clone, Copy, Debug)]
pub struct Conversations;

/// A message lately written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recent {
    /// The message.
    pub message_id: Id,
    /// Whether the other side wrote it.
    pub received: bool,
    /// Whether any of us has read it.
    pub read: bool,
    /// Whether it is one of ours and could not be sent.
    pub failed: bool,
}

/// What was asked to be sent of it by mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript {
    /// Its id.
    pub transcript_id: Id,
    /// Where it goes.
    pub email: Personal<String>,
    /// The last message that it tells.
    pub up_to: Id,
    /// How far it has come.
    pub state: TranscriptState,
    /// Why it could not be sent.
    pub error: Option<String>,
    /// When it was asked for.
    pub requested_at: Time,
}

/// How far a transcript has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptState {
    /// It waits to be sent.
    Queued,
    /// It has left.
    Sent,
    /// It could not be sent.
    Failed,
}

/// So many messages back it is known who has read what.
const RECENT: usize = 50;

/// So many characters of the last message are shown.
const PREVIEW: usize = 200;

/// A chat with somebody outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// By what means: `live_chat`, `whatsapp`, `telegram`, ...
    pub medium: String,
    /// Through which of the channels of that sort.
    pub channel_id: Option<Id>,
    /// The address of the other side.
    pub identity: Option<Identity>,
    /// What is known of the visitor.
    pub visitor: Option<Visitor>,
    /// The display rule that matched.
    pub matched_rule_id: Option<Id>,
    /// Whom it is with, as far as known.
    pub contact_id: Option<Id>,
    /// How that is known.
    pub matched_by: Option<MatchedBy>,
    /// Where it stands.
    pub status: Status,
    /// Who is responsible.
    pub assignee_id: Option<Id>,
    /// The labels it bears.
    pub label_ids: BTreeSet<Id>,
    /// Whether the other side wrote last, leaving aside what we could not send.
    pub unanswered: bool,
    /// Whether the other side wrote something that none of us has read.
    pub unread: bool,
    /// How many such messages there are.
    pub unread_count: u32,
    /// The users who have read all that the other side wrote; nobody when it wrote nothing.
    pub read_by_ids: BTreeSet<Id>,
    /// Messages, both ways.
    pub message_count: u32,
    /// How the last message begins.
    pub last_message: Option<Personal<String>>,
    /// When the other side last wrote.
    pub last_received_at: Option<Time>,
    /// When one of us last wrote.
    pub last_sent_at: Option<Time>,
    /// When the last message was written; when it started, as long as there is none.
    pub active_at: Time,
    /// The last messages, oldest first.
    pub recent_messages: Vec<Recent>,
    /// Whether it is unknown of any message of ours whether it has left.
    pub uncertain: bool,
    /// Those messages.
    pub uncertain_message_ids: BTreeSet<Id>,
    /// The chatbot that talks in it, or did.
    pub chatbot_id: Option<Id>,
    /// The version of its script.
    pub chatbot_version: Option<u32>,
    /// What a chatbot said last: the step of its script.
    pub bot_step: Option<String>,
    /// What the visitor answered, by step.
    pub bot_answers: BTreeMap<String, Personal<String>>,
    /// Whether people have taken over from a chatbot.
    pub handed_over: bool,
    /// Whether the chatbot has said everything.
    pub bot_finished: bool,
    /// The tickets that it has become.
    pub ticket_ids: BTreeSet<Id>,
    /// What the visitor answered to the questions before the chat.
    pub answers: Vec<Answered>,
    /// Whether the other side is kept out.
    pub visitor_blocked: bool,
    /// What was asked to be sent of it by mail.
    pub transcripts: Vec<Transcript>,
    /// How satisfied the other side is: 1 (bad) to 5 (good).
    pub rating: Option<u8>,
    /// The rating in their words.
    pub rating_text: Option<Personal<String>>,
    /// How often it was reopened.
    pub reopened_count: u32,
    /// When it started.
    pub started_at: Time,
    /// When it was closed, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A label that a conversation bears.
#[derive(Clone, Debug, JsonSchema)]
pub struct Label {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its colour.
    pub color: Option<Color>,
}

/// A conversation with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The conversation itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the channel.
    pub channel_name: Option<String>,
    /// Name of the contact.
    pub contact_name: Option<String>,
    /// Name of whoever is responsible.
    pub assignee_name: Option<String>,
    /// The labels it bears.
    pub labels: Vec<Label>,
    /// What they are called.
    pub label_names: Vec<String>,
}

impl Row {
    fn started(new: New, at: Time) -> Row {
        Row {
            medium: new.medium,
            channel_id: new.channel,
            identity: new.identity,
            visitor: new.visitor,
            matched_rule_id: new.matched_rule,
            contact_id: new.contact,
            matched_by: None,
            status: Status::Open,
            assignee_id: None,
            label_ids: BTreeSet::new(),
            unanswered: false,
            unread: false,
            unread_count: 0,
            read_by_ids: BTreeSet::new(),
            message_count: 0,
            last_message: None,
            last_received_at: None,
            last_sent_at: None,
            active_at: at,
            recent_messages: Vec::new(),
            uncertain: false,
            uncertain_message_ids: BTreeSet::new(),
            chatbot_id: new.chatbot,
            chatbot_version: new.chatbot_version,
            bot_step: None,
            bot_answers: BTreeMap::new(),
            handed_over: false,
            bot_finished: false,
            ticket_ids: BTreeSet::new(),
            answers: new.answers,
            visitor_blocked: false,
            transcripts: Vec::new(),
            rating: None,
            rating_text: None,
            reopened_count: 0,
            started_at: at,
            closed_at: None,
            updated_at: at,
        }
    }

    fn written(&mut self, message_id: Id, body: &str, received: bool, at: Time) {
        self.message_count += 1;
        // What arrives late, behind what was written after it, is not the last word.
        if self.last_message.is_none() || at >= self.active_at {
            self.last_message = Some(Personal(body.chars().take(PREVIEW).collect()));
        }
        raise(&mut self.active_at, at);
        self.unanswered = received;
        if received {
            self.last_received_at = self.last_received_at.max(Some(at));
            self.read_by_ids.clear();
            self.unread_count += 1;
            self.unread = true;
        } else {
            self.last_sent_at = self.last_sent_at.max(Some(at));
        }
        if self.recent_messages.len() == RECENT {
            self.recent_messages.remove(0);
        }
        self.recent_messages.push(Recent { message_id, received, read: false, failed: false });
    }

    /// A message says something else now: the last one is told by its words.
    fn says(&mut self, message_id: Id, body: &str) {
        if self.recent_messages.last().is_some_and(|last| last.message_id == message_id) {
            self.last_message = Some(Personal(body.chars().take(PREVIEW).collect()));
        }
    }

    /// One of our messages could not be sent, or could be after all. What has failed is no answer.
    fn failed(&mut self, message_id: Id, failed: bool) {
        let ours = self.recent_messages.iter_mut().find(|recent| recent.message_id == message_id && !recent.received);
        let Some(ours) = ours.filter(|ours| ours.failed != failed) else { return };
        ours.failed = failed;
        let last = self.recent_messages.iter().rev().find(|recent| recent.received || !recent.failed);
        self.unanswered = last.map_or(self.last_received_at.is_some(), |last| last.received);
    }

    /// It is unknown whether one of our messages has left, or known after all.
    fn doubted(&mut self, message_id: Id, doubted: bool) {
        if doubted {
            self.uncertain_message_ids.insert(message_id);
        } else {
            self.uncertain_message_ids.remove(&message_id);
        }
        self.uncertain = !self.uncertain_message_ids.is_empty();
    }

    /// What became of a transcript.
    fn left(&mut self, transcript: Id, state: TranscriptState, error: Option<String>) {
        if let Some(known) = self.transcripts.iter_mut().find(|known| known.transcript_id == transcript) {
            known.state = state;
            known.error = error;
        }
    }

    /// A user has read so far. Whoever reads what is not among the last messages has not read the last ones.
    fn read(&mut self, user: Id, up_to: Id) {
        let Some(place) = self.recent_messages.iter().position(|recent| recent.message_id == up_to) else { return };
        let (read, rest) = self.recent_messages.split_at_mut(place + 1);
        read.iter_mut().for_each(|recent| recent.read = true);
        let unread = rest.iter().filter(|recent| recent.received && !recent.read).count();
        self.unread_count = self.unread_count.min(u32::try_from(unread).unwrap_or(u32::MAX));
        self.unread = self.unread_count > 0;
        if rest.iter().all(|recent| !recent.received) && self.last_received_at.is_some() {
            self.read_by_ids.insert(user);
        }
    }
}

impl ReadModel for Conversations {
    const NAME: &'static str = "conversations";
    const VERSION: i32 = 4;
    const KINDS: &'static [&'static str] = &[Conversation::KIND];
    const TALLY: Option<&'static str> = Some("conversations_by_label");
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Conversation>(event)?;
        if let Event::Started(new) = happened {
            return Ok(Some(Row::started(new, at)));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::MessageReceived { message_id, body, .. } => row.written(message_id, &body, true, at),
            Event::MessageQueued { message_id, again: true, .. } => {
                row.failed(message_id, false);
                row.doubted(message_id, false);
            }
            Event::MessageQueued { message_id, body, .. } => row.written(message_id, &body, false, at),
            Event::MessageEdited { message_id, body, .. } => row.says(message_id, &body),
            // What was taken back is read nowhere.
            Event::MessageDeleted { message_id } => row.says(message_id, ""),
            Event::MessageReactionsReceived { .. }
            | Event::MessageReactionQueued { .. }
            | Event::MessageReactionSent { .. }
            | Event::MessageReactionFailed { .. } => {}
            Event::ReadMarkerMoved { user, up_to } => row.read(user, up_to),
            Event::Assigned { to, .. } => row.assignee_id = Some(to),
            Event::Unassigned { .. } => row.assignee_id = None,
            Event::ContactLinked { contact, matched_by } => {
                row.contact_id = Some(contact);
                row.matched_by = Some(matched_by);
            }
            Event::ContactUnlinked { .. } => {
                row.contact_id = None;
                row.matched_by = None;
            }
            Event::Labelled { label, .. } => drop(row.label_ids.insert(label)),
            Event::Unlabelled { label } => drop(row.label_ids.remove(&label)),
            Event::BotStarted { chatbot, version } => {
                row.chatbot_id = Some(chatbot);
                row.chatbot_version = Some(version);
                row.bot_step = None;
                row.bot_answers.clear();
                row.handed_over = false;
                row.bot_finished = false;
            }
            Event::BotFinished => row.bot_finished = true,
            Event::ConvertedToTicket { ticket, .. } => drop(row.ticket_ids.insert(ticket)),
            Event::BotStepShown { step } => row.bot_step = Some(step),
            Event::BotAnswerGiven { step, answer } => drop(row.bot_answers.insert(step, answer)),
            Event::HandedOver { .. } => row.handed_over = true,
            Event::Closed => {
                row.status = Status::Closed;
                row.closed_at = Some(at);
            }
            Event::Reopened { .. } => {
                row.status = Status::Open;
                row.closed_at = None;
                row.reopened_count += 1;
            }
            Event::Rated { score, text } => {
                row.rating = Some(score);
                row.rating_text = text;
            }
            Event::MessageUncertain { message_id, .. } => row.doubted(message_id, true),
            Event::MessageFailed { message_id, .. } => {
                row.failed(message_id, true);
                row.doubted(message_id, false);
            }
            Event::MessageSent { message_id, .. }
            | Event::MessageDelivered { message_id }
            | Event::MessageRead { message_id } => {
                row.failed(message_id, false);
                row.doubted(message_id, false);
            }
            Event::VisitorBlocked => row.visitor_blocked = true,
            Event::VisitorUnblocked => row.visitor_blocked = false,
            Event::TranscriptQueued { transcript_id, email, up_to, language: _ } => {
                let state = TranscriptState::Queued;
                let asked = Transcript { transcript_id, email, up_to, state, error: None, requested_at: at };
                row.transcripts.push(asked);
            }
            Event::TranscriptSent { transcript_id } => row.left(transcript_id, TranscriptState::Sent, None),
            Event::TranscriptFailed { transcript_id, error } => {
                row.left(transcript_id, TranscriptState::Failed, Some(error));
            }
            Event::Started(_)
            | Event::Claimed { .. }
            | Event::BotAnswerRefused { .. }
            | Event::VisitorRevoked { .. } => {}
        }
        Ok(Some(row))
    }

    /// Conversations by label.
    fn tally(row: &Row) -> Vec<Tally> {
        row.label_ids.iter().map(|label| Tally { key: vec![("label_id", label.to_string())], count: 1 }).collect()
    }
}

impl Listed for Conversations {
    const PATH: &'static str = Conversation::PLURAL;
    const READ: &'static str = Conversation::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("medium"),
        Column::id("channel_id").nullable(),
        Column::word("identity.kind").nullable(),
        Column::text("identity.value").nullable(),
        Column::text("visitor.name").nullable(),
        Column::word("visitor.country").nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::word("status"),
        Column::id("assignee_id").nullable(),
        Column::set("label_ids"),
        Column::bool("unanswered"),
        Column::bool("unread"),
        Column::integer("unread_count"),
        Column::set("read_by_ids"),
        Column::integer("message_count"),
        Column::text("last_message").nullable(),
        Column::time("last_received_at").nullable(),
        Column::time("last_sent_at").nullable(),
        Column::time("active_at"),
        Column::bool("uncertain"),
        Column::id("chatbot_id").nullable(),
        Column::bool("handed_over"),
        Column::bool("bot_finished"),
        Column::set("ticket_ids").of(Refers::To("ticket")),
        Column::bool("visitor_blocked"),
        Column::integer("rating").nullable(),
        Column::integer("reopened_count"),
        Column::time("started_at"),
        Column::time("closed_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::CONTACT),
        Column::called(&listed::ASSIGNEE),
        Column::called(&listed::LABELS),
        Column::called(&listed::CHANNEL),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("active_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.medium, t.channel_id, channel.name as channel_name, t.identity, t.visitor, \
        t.matched_rule_id, r.contact_id, contact.name as contact_name, t.matched_by, t.status, t.assignee_id, \
        assignee.name as assignee_name, t.label_ids, \
        array(select json_build_object('id', l.id, 'name', l.name, 'color', l.color) from read_labels l \
            where l.tenant_id = t.tenant_id and l.id = any (t.label_ids) order by l.name collate \"und-x-icu\", l.id) as labels, \
        array(select l.name from read_labels l where l.tenant_id = t.tenant_id and l.id = any (t.label_ids) \
            order by l.name collate \"und-x-icu\", l.id) as label_names, \
        t.unanswered, t.unread, t.unread_count, t.read_by_ids, t.message_count, t.last_message, t.last_received_at, \
        t.last_sent_at, t.active_at, t.recent_messages, t.uncertain, t.uncertain_message_ids, t.chatbot_id, t.chatbot_version, t.bot_step, t.bot_answers, t.handed_over, \
        t.bot_finished, t.ticket_ids, t.answers, t.visitor_blocked, t.transcripts, t.rating, t.rating_text, t.reopened_count, t.started_at, t.closed_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id \
        left join read_channels channel on channel.tenant_id = t.tenant_id and channel.id = t.channel_id \
        left join read_users assignee on assignee.tenant_id = t.tenant_id and assignee.id = t.assignee_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    fn started() -> Event {
        event::<Conversation>("started", json!({ "medium": "live_chat", "visitor": { "name": "Maria" } }))
    }

    fn received(message: u128) -> Event {
        event::<Conversation>("message_received", json!({ "message_id": id(message), "body": "Good day" }))
    }

    fn queued(message: u128) -> Event {
        event::<Conversation>("message_queued", json!({ "message_id": id(message), "body": "How can we help?" }))
    }

    fn read(user: u128, up_to: u128) -> Event {
        Event::ReadMarkerMoved { user: id(user), up_to: id(up_to) }
    }

    fn row(events: impl IntoIterator<Item = Event>) -> Row {
        folded::<Conversations, Conversation>([started()].into_iter().chain(events)).unwrap()
    }

    #[test]
    fn it_is_unanswered_until_one_of_us_writes() {
        refuses_strangers::<Conversations, Conversation>(&started());
        assert_eq!((row([]).unanswered, row([]).active_at), (false, at(0)));
        let asked = row([received(1)]);
        assert_eq!((asked.unanswered, asked.message_count, asked.active_at), (true, 1, at(1)));
        assert_eq!(asked.last_message, Some("Good day".into()));
        let answered = row([received(1), queued(2)]);
        assert_eq!((answered.unanswered, answered.last_sent_at), (false, Some(at(2))));
        assert!(row([received(1), queued(2), received(3)]).unanswered);
    }

    #[test]
    fn what_failed_is_no_answer_until_it_is_sent_after_all() {
        let failed = |message| Event::MessageFailed { message_id: id(message), error: "number unknown".into() };
        let delivered = |message| Event::MessageDelivered { message_id: id(message) };
        let unanswered = |events: &[Event]| row(events.iter().cloned()).unanswered;
        assert!(unanswered(&[received(1), queued(2), failed(2)]), "its only answer failed");
        assert!(!unanswered(&[received(1), queued(2), queued(3), failed(2)]), "the other one is under way");
        assert!(unanswered(&[received(1), queued(2), queued(3), failed(2), failed(3)]));
        assert!(!unanswered(&[received(1), queued(2), failed(2), delivered(2)]));
        assert!(!unanswered(&[queued(2), failed(2)]), "nobody asked");
        assert!(!unanswered(&[queued(1), received(2), queued(3), failed(1)]), "an older one failed");
        let again = json!({ "message_id": id(2), "body": "How can we help?", "again": true });
        let again = event::<Conversation>("message_queued", again);
        let again = row([received(1), queued(2), failed(2), again]);
        assert_eq!((again.unanswered, again.message_count), (false, 2), "sent once more");
        let many = (10..100).flat_map(|message| [queued(message), failed(message)]);
        assert!(row([received(1)].into_iter().chain(many)).unanswered, "the question is no longer among the last ones");
    }

    #[test]
    fn what_may_have_left_or_not_is_told_until_it_is_known() {
        let uncertain = Event::MessageUncertain { message_id: id(2), reason: "interrupted".into() };
        let doubted = row([received(1), queued(2), uncertain.clone()]);
        assert_eq!((doubted.uncertain, doubted.uncertain_message_ids), (true, [id(2)].into()));
        assert!(!doubted.unanswered, "it may be an answer");
        assert!(!row([received(1), queued(2), uncertain, Event::MessageDelivered { message_id: id(2) }]).uncertain);
    }

    #[test]
    fn it_is_unread_until_somebody_reads_it_and_each_reads_for_oneself() {
        let unread = row([received(1), queued(2), received(3)]);
        assert_eq!((unread.unread, unread.unread_count, unread.read_by_ids.len()), (true, 2, 0));
        let half = row([received(1), queued(2), received(3), read(7, 2)]);
        assert_eq!((half.unread_count, half.read_by_ids.len()), (1, 0));
        let all = [received(1), queued(2), received(3), read(7, 2), read(7, 3)];
        assert_eq!((row(all.clone()).unread, row(all.clone()).read_by_ids), (false, [id(7)].into()));
        // Another user reads later, and less: what was read stays read.
        let more = all.clone().into_iter().chain([read(8, 1)]);
        assert_eq!((row(more.clone()).unread_count, row(more.clone()).read_by_ids), (0, [id(7)].into()));
        assert_eq!(row(more.clone().chain([read(8, 3)])).read_by_ids, [id(7), id(8)].into());
        // What we write is no news to us; what they write is.
        assert_eq!(row(more.clone().chain([queued(4)])).read_by_ids, [id(7)].into());
        assert_eq!(row(all.clone().into_iter().chain([queued(4), read(8, 4)])).read_by_ids, [id(7), id(8)].into());
        let news = row(more.chain([received(5)]));
        assert_eq!((news.unread_count, news.read_by_ids.len()), (1, 0));
    }

    #[test]
    fn only_the_last_messages_are_kept() {
        let many = (1..=120).map(received);
        let row = row(many.chain([read(7, 3)]));
        assert_eq!((row.recent_messages.len(), row.unread_count, row.message_count), (RECENT, 120, 120));
        let events = [started()].into_iter().chain((1..=120).map(received)).chain([read(7, 118)]);
        let row = folded::<Conversations, Conversation>(events).unwrap();
        assert_eq!((row.unread_count, row.unread), (2, true));
    }

    #[test]
    fn it_is_assigned_linked_labelled_closed_reopened_and_rated() {
        let assigned = event::<Conversation>("assigned", json!({ "from": null, "to": id(2), "method": "claimed" }));
        let events = [
            Event::Claimed { user: id(2) },
            assigned,
            Event::ContactLinked { contact: id(3), matched_by: MatchedBy::Phone },
            event::<Conversation>("labelled", json!({ "label": id(4), "source": "manual" })),
            event::<Conversation>("labelled", json!({ "label": id(5), "source": "manual" })),
            Event::Unlabelled { label: id(5) },
            Event::BotStepShown { step: "What?".into() },
            Event::BotAnswerGiven { step: "What?".into(), answer: "A price".into() },
            Event::HandedOver { reason: None },
            Event::Closed,
        ];
        let closed = row(events.clone());
        assert_eq!((closed.status, closed.closed_at), (Status::Closed, Some(at(10))));
        assert_eq!((closed.assignee_id, closed.contact_id), (Some(id(2)), Some(id(3))));
        assert_eq!((closed.matched_by, closed.label_ids.clone()), (Some(MatchedBy::Phone), [id(4)].into()));
        assert_eq!((closed.bot_answers.len(), closed.handed_over), (1, true));
        assert_eq!(Conversations::tally(&closed)[0].key, [("label_id", id(4).to_string())]);
        let queued =
            |transcript: u128| json!({ "transcript_id": id(transcript), "email": "m@example.com", "up_to": id(9) });
        let more = [
            Event::Reopened { cause: Default::default() },
            Event::Unassigned { from: id(2) },
            Event::ContactUnlinked { contact: id(3) },
            Event::Rated { score: 5, text: None },
            Event::VisitorBlocked,
            event::<Conversation>("transcript_queued", queued(1)),
            event::<Conversation>("transcript_queued", queued(2)),
            Event::TranscriptSent { transcript_id: id(1) },
            Event::TranscriptFailed { transcript_id: id(2), error: "no such mailbox".into() },
        ];
        let row = row(events.into_iter().chain(more));
        assert_eq!((row.status, row.closed_at, row.reopened_count), (Status::Open, None, 1));
        let states: Vec<_> = row.transcripts.iter().map(|one| (one.state, one.error.as_deref())).collect();
        let came = [(TranscriptState::Sent, None), (TranscriptState::Failed, Some("no such mailbox"))];
        assert_eq!((row.visitor_blocked, states.as_slice()), (true, &came[..]));
        assert_eq!((row.assignee_id, row.contact_id, row.matched_by, row.rating), (None, None, None, Some(5)));
    }
}
