//! The longer commands of a ticket, a function each.

use super::*;

/// The new value of an attribute that is never without one.
fn had<T>(faults: &mut Faults, name: &str, value: Option<Option<T>>) -> Option<T> {
    if matches!(value, Some(None)) {
        faults.add(record::must_have_a_value(name));
    }
    value.flatten()
}

impl Ticket {
    /// What a ticket that is over, or a part of another, still takes.
    pub(super) fn check_status(&self, command: &Command, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        use Command::*;
        // What was written here stays here. What is new belongs to the ticket that goes on: see `passes_on`.
        let merged = match command {
            Merge { .. } | Unmerge => true,
            RedactMessage { .. }
            | MarkReplySent { .. }
            | MarkReplyFailed { .. }
            | MarkReplyUncertain { .. }
            | CancelReply { .. }
            | ReceiveMessage { .. }
            | Reply { .. }
            | AddNote { .. } => self.passes_on(command).is_none(),
            _ => false,
        };
        let closed = matches!(
            command,
            Unmerge
                | RedactMessage { .. }
                | MarkReplySent { .. }
                | MarkReplyFailed { .. }
                | MarkReplyUncertain { .. }
                | CancelReply { .. }
                | AddParticipant { .. }
                | RemoveParticipant { .. }
                | Reopen
                | MoveStage { .. }
                | Close
                | ReceiveMessage { .. }
                | AddNote { .. }
                | Tag { .. }
                | Untag { .. }
                | SetCustom { .. }
                | Follow { .. }
                | Unfollow { .. }
                | Link { .. }
                | Unlink { .. }
                | Merge { .. }
                | Split { .. }
                | Wake
                | Rate { .. }
        );
        match self.status {
            Status::Merged if !merged => Err(self.is_merged(ctx)),
            Status::Closed if !closed => Err(CLOSED),
            _ => Ok(()),
        }
    }

    /// The refusal while it is a part of another, naming the one that goes on.
    fn is_merged(&self, ctx: &Ctx<'_>) -> Rejection {
        match self.merged_into.map(|into| merging::survivor::<Ticket>(into, ctx)) {
            Some(into) => MERGED.because(format!("The ticket is a part of {into}; use that one.")),
            None => MERGED,
        }
    }

    /// Whether a message was taken in before, here or where this one went.
    pub(super) fn has_taken(&self, message_id: Option<Id>, external_id: Option<&str>) -> bool {
        message_id.is_some_and(|id| self.messages.contains(&id))
            || external_id.is_some_and(|id| self.external.contains(id))
    }

    pub(super) fn edit(&self, opened: &Opened, edit: Edit, ctx: &Ctx<'_>) -> Decision<Event> {
        let Edit { title, description, priority, stage, category, custom } = edit;
        let mut faults = Faults::default();
        let mut events = Vec::new();
        if let Some(to) = had(&mut faults, "title", title).filter(|to| *to != opened.title) {
            faults.check(check_title(&to));
            events.push(Event::TitleChanged { from: opened.title.clone(), to });
        }
        if let Some(to) = description.filter(|to| *to != opened.description) {
            events.extend(match (opened.description.clone(), to) {
                (from, Some(to)) => Some(Event::DescriptionChanged { from, to }),
                (from, None) => from.map(|from| Event::DescriptionCleared { from }),
            });
        }
        if let Some(to) = had(&mut faults, "priority", priority).filter(|to| *to != opened.priority) {
            events.push(Event::PriorityChanged { from: opened.priority, to });
        }
        if let Some(to) = had(&mut faults, "stage", stage).filter(|to| *to != opened.stage)
            && let Some(to) = faults.check(stage_of(&to, &own_stages(opened, ctx)))
        {
            let means = to.means;
            events.push(moved(opened, to));
            events.extend(self.follows_from(means));
        }
        if let Some(to) = category.filter(|to| *to != opened.category) {
            events.push(Event::CategorySet { from: opened.category.clone(), to });
        }
        if let Some(custom) = custom {
            let custom = custom.unwrap_or_else(|| custom::all_cleared(&opened.custom));
            faults.check(custom::check_changes(Ticket::KIND, &opened.custom, &custom, ctx));
            let changes = custom::difference(&opened.custom, &custom);
            if !changes.is_empty() {
                events.push(Event::CustomChanged { changes });
            }
        }
        faults.done()?;
        Ok(events)
    }

    pub(super) fn change_requester(&self, opened: &Opened, to: Option<Party>, ctx: &Ctx<'_>) -> Decision<Event> {
        if to == opened.requester {
            return Ok(vec![]);
        }
        check_requester(to, ctx)?;
        let company = companies_of(to, ctx).first().copied();
        let mut events = vec![Event::RequesterChanged { from: opened.requester, to, company }];
        if self.product.is_some_and(|(entitlement, _)| product_of(entitlement, to, ctx).is_err()) {
            events.push(Event::ProductCleared);
        }
        Ok(events)
    }

    /// What being in a stage means for a ticket that is not so yet.
    fn follows_from(&self, means: Means) -> Option<Event> {
        match (means, self.status) {
            (Means::Resolved, Status::Open | Status::Closed) => Some(Event::Resolved { outcome: None, stage: None }),
            (Means::Closed, Status::Open | Status::Resolved) => Some(Event::Closed { stage: None }),
            (Means::Open | Means::Waiting, Status::Resolved | Status::Closed) => {
                Some(Event::Reopened { cause: ReopenCause::Request, stage: None })
            }
            (Means::Open, Status::Open) => self.snoozed_until.map(|_| Event::Woken { stage: None }),
            _ => None,
        }
    }

    /// What its stage means.
    pub(super) fn means(&self, opened: &Opened, ctx: &Ctx<'_>) -> Means {
        let known = own_stages(opened, ctx).into_iter().find(|stage| stage.name == opened.stage);
        known.map(|stage| stage.means).or(opened.stage_means).unwrap_or_else(|| Means::usual(&opened.stage))
    }

    /// The stage that it goes to when it is to be worked on: its own if that means so, the last one that did, or the first.
    pub(super) fn open_stage(&self, opened: &Opened, ctx: &Ctx<'_>) -> Stage {
        let stages = own_stages(opened, ctx);
        let open = |name: &str| stages.iter().find(|stage| stage.name == name && stage.means == Means::Open);
        let last = self.last_open_stage.as_deref().and_then(open);
        let first = || stages.iter().find(|stage| stage.means == Means::Open);
        let stage = open(&opened.stage).or(last).or_else(first).cloned();
        stage.unwrap_or_else(|| Stage { name: opened.stage.clone(), means: self.means(opened, ctx) })
    }

    /// The move to a stage that means this, where it is in none and there is one.
    pub(super) fn stage_for(&self, opened: &Opened, means: Means, ctx: &Ctx<'_>) -> Option<StageMove> {
        let (stages, now) = (own_stages(opened, ctx), self.means(opened, ctx));
        let first = |means| stages.iter().find(|stage| stage.means == means).cloned();
        let to = match means {
            _ if now == means => None,
            Means::Open => Some(self.open_stage(opened, ctx)).filter(|stage| stage.means == Means::Open),
            // What is resolved does not wait, though it may be put aside.
            Means::Waiting if now != Means::Open => None,
            Means::Closed => first(Means::Closed).or_else(|| first(Means::Resolved).filter(|_| now != Means::Resolved)),
            means => first(means),
        };
        let to = to.filter(|to| to.name != opened.stage)?;
        Some(StageMove { from: opened.stage.clone(), to: to.name, means: to.means })
    }

    /// A stage that the new team does not have, or by which it means something else, gives way to the new team's first that
    /// means the same.
    pub(super) fn change_team(&self, opened: &Opened, to: Option<Id>, ctx: &Ctx<'_>) -> Decision<Event> {
        if to == opened.team {
            return Ok(vec![]);
        }
        let team = to.map(|team| team_of(team, ctx)).transpose()?;
        let stages = stages_of(team.as_deref());
        let mut events = vec![Event::TeamChanged { from: opened.team, to }];
        let here = stages.iter().find(|stage| stage.name == opened.stage);
        let means = match self.status {
            Status::Resolved => Means::Resolved,
            Status::Closed => Means::Closed,
            _ if here.is_none_or(|stage| stage.means == Means::Waiting)
                && opened.stage_means == Some(Means::Waiting) =>
            {
                Means::Waiting
            }
            _ => Means::Open,
        };
        if here.is_none_or(|stage| stage.means != means) {
            let first = |means| stages.iter().find(|stage| stage.means == means);
            let to = first(means).or(here).or_else(|| first(Means::Open));
            events.extend(to.filter(|to| to.name != opened.stage).map(|to| moved(opened, to.clone())));
        }
        Ok(events)
    }

    pub(super) fn receive(&self, opened: &Opened, said: Received, ctx: &Ctx<'_>) -> Decision<Event> {
        let Received { message_id, external_id, from, body, attachments, email } = said;
        check_body(&body, &attachments)?;
        let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
        let delivered = external_id.as_deref().is_some_and(|id| self.has_taken(None, Some(id)));
        if !delivered {
            self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
        }
        if delivered || self.has_taken(Some(message_id), None) || self.forwarded.contains(&message_id) {
            return Ok(vec![]); // Delivered twice.
        }
        let from = from.or(opened.requester);
        let mut events =
            vec![Event::MessageReceived { message_id, external_id, from, body, attachments, email, via_ticket: None }];
        // Whoever waited for the requester waits no longer.
        let mut stage = self.stage_for(opened, Means::Open, ctx);
        if matches!(self.status, Status::Resolved | Status::Closed) {
            events.push(Event::Reopened { cause: ReopenCause::CustomerMessage, stage: stage.take() });
        }
        if self.snoozed_until.is_some() {
            events.push(Event::Woken { stage: stage.take() });
        }
        events.extend(stage.map(|StageMove { from, to, means }| Event::StageChanged { from, to, means: Some(means) }));
        Ok(events)
    }

    pub(super) fn reply(
        &self,
        opened: &Opened,
        message_id: Option<Id>,
        (body, attachments, send_at): (Personal<String>, Vec<Attachment>, Option<Time>),
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        check_body(&body, &attachments)?;
        let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
        let again = match self.replies.get(&message_id) {
            Some(Delivery::Queued | Delivery::Sent) => {
                self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
                return Ok(vec![]);
            }
            Some(Delivery::Failed | Delivery::Uncertain | Delivery::Cancelled) => true,
            None if self.messages.contains(&message_id) => return Err(MESSAGE_EXISTS.at("/message_id")),
            None => false,
        };
        let send_at = send_at.filter(|at| *at > ctx.now);
        let queued = Event::ReplyQueued { message_id, body, attachments, again, send_at, via_ticket: None };
        let sent = Event::ReplySent { message_id, external_id: None };
        Ok(if DIRECT.contains(&opened.channel.as_str()) { vec![queued, sent] } else { vec![queued] })
    }

    pub(super) fn merge(&self, into: Id, ctx: &Ctx<'_>) -> Decision<Event> {
        let into = merging::survivor::<Ticket>(into, ctx);
        match self.merged_into.map(|known| merging::survivor::<Ticket>(known, ctx)) {
            Some(known) if known == into => return Ok(vec![]), // Asked twice: it is a part of that ticket.
            Some(_) => return Err(self.is_merged(ctx)),
            None => {}
        }
        other(into, "/into", ctx)?;
        Ok(vec![Event::Merged { into }])
    }

    /// What a merge means for the ticket that goes on: it shows what this one had, and has an assignee if either has.
    pub(super) fn merge_echoes(&self, into: Id, ctx: &Ctx<'_>) -> Vec<Echo> {
        let echo = |event: &Event| Echo::to::<Ticket>(into, event);
        let tags = self.opened.as_ref().map(|opened| opened.tags.clone()).unwrap_or_default();
        let links = self.links.iter().map(|(ticket, kind)| Link { ticket: *ticket, kind: *kind });
        let requester = self.opened.as_ref().and_then(|opened| opened.requester);
        let requester = requester.filter(|party| party.kind == PartyKind::Contact).map(|party| party.id);
        let participants = self.participants.iter().copied().chain(requester).collect();
        let own = Brought { tags, followers: self.followers.clone(), links: links.collect(), participants };
        let mut parts = self.brought.clone();
        parts.insert(ctx.id, own);
        for brought in parts.values_mut() {
            brought.links.retain(|link| link.kind != LinkKind::MergedFrom && link.ticket != into);
        }
        let works = |user: &Id| ctx.facts.has(User::KIND, *user) && ctx.fact::<User>(*user).is_active();
        let free = ctx.facts.has(Ticket::KIND, into) && ctx.fact::<Ticket>(into).assignee.is_none();
        let assignee = self.assignee.filter(|user| free && works(user));
        let of = self.inherited.map_or(ctx.id, |inherited| inherited.of);
        let assigned = |to| Event::Assigned { from: None, to, method: AssignMethod::Manual, rule_run: None };
        let mut echoes = vec![echo(&Event::Linked { ticket: ctx.id, kind: LinkKind::MergedFrom })];
        echoes.extend(assignee.map(|user| echo(&assigned(user))));
        let assignee = assignee.map(|user| Inherited { user, of });
        echoes.push(echo(&Event::Absorbed { ticket: ctx.id, parts, assignee }));
        echoes
    }

    /// Takes exactly that back, from every ticket that went on for this one.
    pub(super) fn unmerge_echoes(&self, from: Id, ctx: &Ctx<'_>) -> Vec<Echo> {
        let unlinked = Event::Unlinked { ticket: ctx.id, kind: LinkKind::MergedFrom };
        let mut echoes = vec![Echo::to::<Ticket>(from, &unlinked)];
        let parts: BTreeSet<Id> = self.brought.keys().copied().chain([ctx.id]).collect();
        for holder in merging::chain::<Ticket>(from, ctx).into_iter().filter(|id| ctx.facts.has(Ticket::KIND, *id)) {
            let known = ctx.fact::<Ticket>(holder);
            let released = Event::Released { ticket: ctx.id, parts: parts.clone() };
            echoes.push(Echo::to::<Ticket>(holder, &released));
            if let Some(inherited) = known.inherited.filter(|inherited| parts.contains(&inherited.of)) {
                echoes.push(Echo::to::<Ticket>(holder, &Event::Unassigned { from: inherited.user }));
            }
        }
        echoes
    }

    pub(super) fn split(
        &self,
        opened: &Opened,
        messages: BTreeSet<Id>,
        title: Option<Personal<String>>,
        new_ticket: Option<Id>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        let new_ticket = new_ticket.unwrap_or_else(|| ctx.fresh("split"));
        if new_ticket == ctx.id {
            return Err(SAME_TICKET.at("/new_ticket"));
        }
        let target = ctx.fact::<Ticket>(new_ticket);
        if target.opened.as_ref().is_some_and(|target| target.split_from == Some(ctx.id)) {
            return Ok(vec![]); // Asked twice: it is split off.
        }
        if target.opened.is_some() {
            return Err(EXISTS.at("/new_ticket"));
        }
        if messages.is_empty() || !messages.is_subset(&self.messages) || !messages.is_disjoint(&self.moved) {
            return Err(MESSAGE_UNKNOWN.at("/messages"));
        }
        let title = title.unwrap_or_else(|| opened.title.clone());
        check_title(&title)?;
        Ok(vec![Event::Split { new_ticket, title, messages }])
    }

    pub(super) fn link(&self, ticket: Id, kind: LinkKind, ctx: &Ctx<'_>) -> Decision<Event> {
        let ticket = merging::survivor::<Ticket>(ticket, ctx);
        if self.links.contains(&(ticket, kind)) {
            return Ok(vec![]);
        }
        if kind == LinkKind::MergedFrom {
            return Err(LINK_INVALID.at("/kind"));
        }
        other(ticket, "/ticket", ctx)?;
        Ok(vec![Event::Linked { ticket, kind }])
    }

    /// The tickets to which it shows a link of this kind, its own and those that merged ones brought along.
    pub(super) fn linked(&self, kind: LinkKind) -> BTreeSet<Id> {
        let brought = self.brought.values().flat_map(|brought| &brought.links).map(|link| (link.ticket, link.kind));
        let all = self.links.iter().copied().chain(brought);
        all.filter(|(_, known)| *known == kind).map(|(ticket, _)| ticket).collect()
    }

    /// Removes the links to a ticket and to those that it goes on for.
    pub(super) fn unlink(&self, ticket: Id, kind: LinkKind, ctx: &Ctx<'_>) -> Decision<Event> {
        if kind == LinkKind::MergedFrom {
            return Err(LINK_INVALID.at("/kind"));
        }
        let meant = merging::survivor::<Ticket>(ticket, ctx);
        let linked = self.linked(kind).into_iter();
        let gone = linked.filter(|linked| *linked == ticket || merging::survivor::<Ticket>(*linked, ctx) == meant);
        Ok(gone.map(|ticket| Event::Unlinked { ticket, kind }).collect())
    }

    /// The link goes from the other ticket, from the merged one that brought it along, and from whoever shows it for them.
    pub(super) fn unlink_echoes(&self, ticket: Id, kind: LinkKind, ctx: &Ctx<'_>) -> Vec<Echo> {
        let link = Link { ticket, kind };
        let brought =
            self.brought.iter().filter(|(_, brought)| brought.links.contains(&link)).map(|(holder, _)| *holder);
        let own = self.links.contains(&(ticket, kind)).then_some(ctx.id);
        let mut echoes = Vec::new();
        for holder in own.into_iter().chain(brought) {
            let there = Event::Unlinked { ticket: holder, kind: kind.seen_from_the_other() };
            let others = merging::chain::<Ticket>(ticket, ctx).into_iter().filter(|other| *other != ctx.id);
            echoes.extend(others.map(|other| Echo::to::<Ticket>(other, &there)));
            let holders = merging::chain::<Ticket>(holder, ctx).into_iter().take_while(|holder| *holder != ctx.id);
            echoes.extend(holders.map(|holder| Echo::to::<Ticket>(holder, &Event::Unlinked { ticket, kind })));
        }
        echoes
    }
}

/// The stages of its team.
fn own_stages(opened: &Opened, ctx: &Ctx<'_>) -> Vec<Stage> {
    stages_of(opened.team.map(|team| ctx.fact::<Team>(team)).as_deref())
}

fn moved(opened: &Opened, to: Stage) -> Event {
    Event::StageChanged { from: opened.stage.clone(), to: to.name, means: Some(to.means) }
}

fn other(ticket: Id, pointer: &str, ctx: &Ctx<'_>) -> Result<std::sync::Arc<Ticket>, Rejection> {
    if ticket == ctx.id {
        return Err(SAME_TICKET.at(pointer));
    }
    let other = ctx.fact::<Ticket>(ticket);
    if other.opened.is_some() { Ok(other) } else { Err(OTHER_UNKNOWN.at(pointer)) }
}

/// An example of every command.
pub(super) fn examples() -> Vec<Command> {
    use Command::*;
    let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
    let message_id = id(0x20);
    let body = || Personal::from("The display stays dark after the update.");
    vec![
        Open(New {
            title: "Display stays dark".into(),
            description: Some(body()),
            requester: Some(Party::contact(id(1))),
            company: None,
            team: Some(id(2)),
            assignee: None,
            channel: Some("phone".into()),
            origin: None,
            priority: Priority(2),
            stage: None,
            category: Some("hardware".into()),
            entitlement: Some(id(3)),
            tags: ["display".to_owned()].into(),
            custom: Custom::new(),
        }),
        Edit(super::Edit {
            priority: Some(Some(Priority::URGENT)),
            category: Some(Some("firmware".into())),
            ..Default::default()
        }),
        ChangeTitle { title: "Display stays dark after update".into() },
        ChangeDescription { description: body() },
        ChangePriority { priority: Priority(2) },
        MoveStage { stage: "in_progress".into() },
        SetCategory { category: Some("hardware".into()) },
        ChangeRequester { requester: Some(Party::contact(id(4))) },
        SelectProduct { entitlement: id(3) },
        ClearProduct,
        Tag { tag: "vip".into() },
        Untag { tag: "vip".into() },
        SetCustom { custom: [("serial_number".to_owned(), "SN-1".into())].into() },
        Assign { assignee: id(5), method: AssignMethod::Manual, rule_run: None },
        Unassign,
        ChangeTeam { team: Some(id(2)) },
        ReceiveMessage {
            message_id: Some(message_id),
            external_id: None,
            from: None,
            body: body(),
            attachments: vec![],
            email: None,
        },
        Reply {
            message_id: Some(id(0x21)),
            body: "Please hold the power key.".into(),
            attachments: vec![],
            send_at: None,
        },
        CancelReply { message_id: id(0x21) },
        MarkReplyUncertain { message_id: id(0x21), reason: "The server went away.".into() },
        AddParticipant { contact: id(4) },
        RemoveParticipant { contact: id(4) },
        MarkReplySent { message_id: id(0x21), external_id: Some("<1@mail.example>".into()) },
        MarkReplyFailed { message_id: id(0x21), error: "550 mailbox unavailable".into() },
        AddNote { message_id: Some(id(0x22)), body: "Third one this week.".into(), attachments: vec![] },
        RedactMessage { message_id, reason: "Held a password".into() },
        Follow { user: Some(id(5)) },
        Unfollow { user: Some(id(5)) },
        Snooze { until: Time::from_second(4_102_444_800).unwrap_or_default() },
        Wake,
        Resolve { outcome: Some("Firmware replaced".into()) },
        Close,
        Reopen,
        Merge { into: id(6) },
        Unmerge,
        Split { messages: [message_id].into(), title: Some("A second matter".into()), new_ticket: None },
        Link { ticket: id(6), kind: LinkKind::BlockedBy },
        Unlink { ticket: id(6), kind: LinkKind::BlockedBy },
        Rate { score: 5, text: Some("Quick!".into()) },
    ]
}

impl Ticket {
    /// What takes an event back.
    pub(super) fn taken_back(&self, event: &Event) -> Option<Vec<Command>> {
        // What came with it goes with it.
        let stage = |moved: &Option<StageMove>| {
            moved.iter().map(|moved| Command::MoveStage { stage: moved.from.clone() }).collect::<Vec<_>>()
        };
        let edit = |edit: Edit| vec![Command::Edit(edit)];
        Some(match event {
            // It cannot be put away: it is over.
            Event::Opened(_) => vec![Command::Close],
            Event::TitleChanged { from, .. } => edit(Edit { title: Some(Some(from.clone())), ..Edit::default() }),
            Event::DescriptionChanged { from, .. } => edit(Edit { description: Some(from.clone()), ..Edit::default() }),
            Event::DescriptionCleared { from } => {
                edit(Edit { description: Some(Some(from.clone())), ..Edit::default() })
            }
            Event::PriorityChanged { from, .. } => vec![Command::ChangePriority { priority: *from }],
            Event::StageChanged { from, .. } => vec![Command::MoveStage { stage: from.clone() }],
            Event::CategorySet { from, .. } => vec![Command::SetCategory { category: from.clone() }],
            Event::RequesterChanged { from, .. } => vec![Command::ChangeRequester { requester: *from }],
            Event::ProductSelected { .. } | Event::ProductCleared => match self.product {
                Some((entitlement, _)) => vec![Command::SelectProduct { entitlement }],
                None => vec![Command::ClearProduct],
            },
            Event::Tagged { tag } => vec![Command::Untag { tag: tag.clone() }],
            Event::Untagged { tag } => vec![Command::Tag { tag: tag.clone() }],
            Event::CustomChanged { changes } => vec![Command::SetCustom { custom: custom::before(changes) }],
            Event::Assigned { from: Some(from), .. } | Event::Unassigned { from } => {
                vec![Command::Assign { assignee: *from, method: AssignMethod::Manual, rule_run: None }]
            }
            Event::Assigned { from: None, .. } => vec![Command::Unassign],
            Event::TeamChanged { from, .. } => vec![Command::ChangeTeam { team: *from }],
            Event::ParticipantAdded { contact } => vec![Command::RemoveParticipant { contact: *contact }],
            Event::ParticipantRemoved { contact } => vec![Command::AddParticipant { contact: *contact }],
            Event::FollowerAdded { user } => vec![Command::Unfollow { user: Some(*user) }],
            Event::FollowerRemoved { user } => vec![Command::Follow { user: Some(*user) }],
            Event::Snoozed { stage: moved, .. } => std::iter::once(Command::Wake).chain(stage(moved)).collect(),
            Event::Woken { .. } => vec![Command::Snooze { until: self.snoozed_until? }],
            Event::Resolved { stage: moved, .. }
            | Event::Closed { stage: moved }
            | Event::Reopened { stage: moved, .. } => {
                let opened = matches!(event, Event::Closed { .. }).then_some(Command::Reopen);
                let commands = match self.status {
                    Status::Resolved => opened.into_iter().chain([Command::Resolve { outcome: None }]).collect(),
                    Status::Closed => vec![Command::Close],
                    _ => vec![Command::Reopen],
                };
                commands.into_iter().chain(stage(moved)).collect()
            }
            Event::Merged { .. } => vec![Command::Unmerge],
            Event::Unmerged { from } => vec![Command::Merge { into: *from }],
            Event::Linked { ticket, kind } => vec![Command::Unlink { ticket: *ticket, kind: *kind }],
            Event::Unlinked { ticket, kind } => vec![Command::Link { ticket: *ticket, kind: *kind }],
            Event::MessageReceived { .. }
            | Event::ReplyQueued { .. }
            | Event::ReplySent { .. }
            | Event::ReplyFailed { .. }
            | Event::ReplyUncertain { .. }
            | Event::ReplyCancelled { .. }
            | Event::NoteAdded { .. }
            | Event::MessageRedacted { .. }
            | Event::Split { .. }
            | Event::Rated { .. }
            | Event::Absorbed { .. }
            | Event::Released { .. }
            | Event::Forwarded { .. } => return None,
        })
    }
}
