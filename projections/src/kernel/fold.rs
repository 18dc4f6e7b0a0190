//! Small things that several folds need.

use domain::Time;

/// An instant as precise as the tables are: to the microsecond.
pub(crate) fn micros(time: Time) -> Time {
    time.round(jiff::Unit::Microsecond).unwrap_or(time)
}

/// Moves an instant forward, never back: imports tell old news late.
pub(crate) fn raise(time: &mut Time, to: Time) {
    *time = (*time).max(to);
}

#[cfg(test)]
pub(crate) mod tests {
    //! The harness of the folds' tests: events in, row out, no database.

    use domain::{Aggregate, Id, Time};
    use eventstore::Recorded;

    use crate::{ReadModel, Unreadable};

    /// The record that the tests' events happen to.
    pub(crate) const SUBJECT: Id = Id::from_bits(7);

    /// 2026-01-01T00:00:00Z, and so many seconds.
    pub(crate) fn at(seconds: i64) -> Time {
        Time::from_second(1_767_225_600 + seconds).unwrap()
    }

    /// An id.
    pub(crate) const fn id(number: u128) -> Id {
        Id::from_bits(number)
    }

    /// An event as the log holds it: the second one of a stream happened a second after the first.
    pub(crate) fn recorded<A: Aggregate>(version: i64, event: &A::Event) -> Recorded {
        let (kind, data) = A::encode(event);
        Recorded {
            position: version + 1,
            tenant: "tenant".into(),
            stream: A::stream(SUBJECT).into(),
            version,
            id: Default::default(),
            kind: kind.into(),
            occurred_at: at(version),
            recorded_at: at(version),
            is_json: true,
            data: data.into(),
            metadata: r#"{"actor":{"kind":"user","id":"0000000000000000000000000A"},"via":"api","command_id":"","correlation_id":""}"#.into(),
        }
    }

    /// An event from its name and data.
    #[allow(clippy::needless_pass_by_value)] // Written in place at every call.
    pub(crate) fn event<A: Aggregate>(name: &str, data: serde_json::Value) -> A::Event {
        A::decode(&format!("{}.{name}", A::KIND), data.to_string().as_bytes()).unwrap()
    }

    /// The row after these events; each step goes through the table's form and back.
    pub(crate) fn folded<M: ReadModel, A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Option<M::Row> {
        let mut row: Option<M::Row> = None;
        for (version, event) in (0..).zip(events) {
            let event = recorded::<A>(version, &event);
            row = M::apply(SUBJECT, row, &event).unwrap();
            row = row.map(|row| serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap());
        }
        row
    }

    /// What is no event of a kind is refused, whatever the row.
    pub(crate) fn refuses_strangers<M: ReadModel, A: Aggregate>(first: &A::Event) {
        let first = recorded::<A>(0, first);
        let stranger = Recorded { kind: format!("{}.teleported", A::KIND).into(), ..first.clone() };
        assert!(matches!(M::apply(SUBJECT, None, &stranger), Err(Unreadable(_))));
        let row = M::apply(SUBJECT, None, &first).unwrap();
        assert!(row.is_some());
        assert!(matches!(M::apply(SUBJECT, row, &stranger), Err(Unreadable(_))));
    }
}
