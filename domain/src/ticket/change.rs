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
    pub(super) fn check_status(&self, command: &Command) -> Result<(), Rejection> {
        use Command::*;
        let merged = matches!(command, Unmerge | RedactMessage { .. } | MarkReplySent { .. } | MarkReplyFailed { .. });
        let closed = merged
            || matches!(
                command,
                Reopen
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
        match (self.status, command) {
            // Asked twice: it is a part of that ticket.
            (Status::Merged, Merge { into }) if self.merged_into == Some(*into) => Ok(()),
            (Status::Merged, _) if !merged => Err(MERGED),
            (Status::Closed, _) if !closed => Err(CLOSED),
            _ => Ok(()),
        }
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
        if let Some(to) = had(&mut faults, "stage", stage).filter(|to| *to != opened.stage) {
            let team = opened.team.map(|team| ctx.fact::<Team>(team));
            if let Some(to) = faults.check(first_stage(Some(to), team.as_deref())) {
                events.push(Event::StageChanged { from: opened.stage.clone(), to });
            }
        }
        if let Some(to) = category.filter(|to| *to != opened.category) {
            events.push(Event::CategorySet { from: opened.category.clone(), to });
        }
        if let Some(custom) = custom {
            let custom = custom.unwrap_or_else(|| custom::all_cleared(&opened.custom));
            let definitions = ctx.fact::<Field>(Field::id_for(ctx.tenant, Ticket::KIND));
            faults.check(custom::check_changes(&definitions.definitions, &custom));
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

    /// A stage that the new team does not have gives way to the new team's first.
    pub(super) fn change_team(&self, opened: &Opened, to: Option<Id>, ctx: &Ctx<'_>) -> Decision<Event> {
        if to == opened.team {
            return Ok(vec![]);
        }
        let team = to.map(|team| team_of(team, ctx)).transpose()?;
        let stages = stages_of(team.as_deref());
        let mut events = vec![Event::TeamChanged { from: opened.team, to }];
        if !stages.contains(&opened.stage) {
            events.push(Event::StageChanged { from: opened.stage.clone(), to: stages[0].clone() });
        }
        Ok(events)
    }

    #[allow(clippy::too_many_arguments)] // The fields of the command, in its order.
    pub(super) fn receive(
        &self,
        opened: &Opened,
        message_id: Option<Id>,
        external_id: Option<String>,
        from: Option<Party>,
        body: Personal<String>,
        attachments: Vec<Attachment>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        check_body(&body, &attachments)?;
        let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
        if self.messages.contains(&message_id) || external_id.as_ref().is_some_and(|id| self.external.contains(id)) {
            return Ok(vec![]); // Delivered twice.
        }
        let from = from.or(opened.requester);
        let mut events = vec![Event::MessageReceived { message_id, external_id, from, body, attachments }];
        if matches!(self.status, Status::Resolved | Status::Closed) {
            events.push(Event::Reopened { cause: ReopenCause::CustomerMessage });
        }
        if self.snoozed_until.is_some() {
            events.push(Event::Woken);
        }
        Ok(events)
    }

    pub(super) fn reply(
        &self,
        opened: &Opened,
        message_id: Option<Id>,
        body: Personal<String>,
        attachments: Vec<Attachment>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        check_body(&body, &attachments)?;
        let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
        let again = match self.replies.get(&message_id) {
            Some(Delivery::Queued | Delivery::Sent) => return Ok(vec![]),
            Some(Delivery::Failed) => true,
            None if self.messages.contains(&message_id) => return Err(MESSAGE_EXISTS.at("/message_id")),
            None => false,
        };
        let queued = Event::ReplyQueued { message_id, body, attachments, again };
        let sent = Event::ReplySent { message_id, external_id: None };
        Ok(if DIRECT.contains(&opened.channel.as_str()) { vec![queued, sent] } else { vec![queued] })
    }

    pub(super) fn merge(&self, into: Id, ctx: &Ctx<'_>) -> Decision<Event> {
        if self.merged_into == Some(into) {
            return Ok(vec![]);
        }
        match other(into, ctx)?.status {
            Status::Merged => Err(MERGED.because("The other ticket is itself a part of another one.").at("/into")),
            _ => Ok(vec![Event::Merged { into }]),
        }
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
        if self.links.contains(&(ticket, kind)) {
            return Ok(vec![]);
        }
        if kind == LinkKind::MergedFrom {
            return Err(LINK_INVALID.at("/kind"));
        }
        other(ticket, ctx)?;
        Ok(vec![Event::Linked { ticket, kind }])
    }
}

fn other(ticket: Id, ctx: &Ctx<'_>) -> Result<std::sync::Arc<Ticket>, Rejection> {
    if ticket == ctx.id {
        return Err(SAME_TICKET);
    }
    let other = ctx.fact::<Ticket>(ticket);
    if other.opened.is_some() { Ok(other) } else { Err(OTHER_UNKNOWN) }
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
        },
        Reply { message_id: Some(id(0x21)), body: "Please hold the power key.".into(), attachments: vec![] },
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
